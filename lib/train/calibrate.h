/* SPDX-License-Identifier: MIT */
/* What held-out rows say about a model's probabilities and errors; see mtl_model_calibrate(). */
#ifndef MTL__CALIBRATE_H
#define MTL__CALIBRATE_H

#include "train/judge.h"

extern const mtl__option_group mtl__calibrate_options;

/* mtl_model_calibrate() without the checks of its arguments. report may be NULL. */
mtl_status mtl__calibrate(mtl_model *m, const mtl_dataset *held_out, const mtl_options *o,
                          mtl_report **report, mtl_error *err);

#endif
