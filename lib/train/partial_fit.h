/* SPDX-License-Identifier: MIT */
/* Training on a stream: each call is one pass over the rows that came, and the optimizer goes on from
   the call before. What it goes on from lives with the model, not in its files. */
#ifndef MTL__PARTIAL_FIT_H
#define MTL__PARTIAL_FIT_H

#include "train/fit.h"

/* mtl_partial_fit() without the checks of its arguments; the model is claimed. */
mtl_status mtl__partial_fit(mtl_model *m, const mtl_dataset *data, const mtl_options *o,
                            mtl_report **report, mtl_error *err);

#endif
