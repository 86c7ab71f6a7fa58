/* SPDX-License-Identifier: MIT */
/* Does sharing help? The option "judge" of mtl_fit(). */
#ifndef MTL__VERDICT_H
#define MTL__VERDICT_H

#include "train/fit.h"

/* mtl_fit() with judge = 1, without the checks of its arguments; the model is claimed. */
mtl_status mtl__verdict_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, mtl_report **report, mtl_error *err);

/* floor.c: the exact linear model of a network without layers that has one task. MTL_ERR_DATA for a
   task or data that have none: quantiles, thresholds, a loss of the caller's, streamed or sparse
   inputs, no label. */
mtl_status mtl__floor_fit(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                          mtl_error *err);

#endif
