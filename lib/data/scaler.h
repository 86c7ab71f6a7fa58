/* SPDX-License-Identifier: MIT */
/* Standard scaling, fitted in double down the rows in order (two passes), missing values left out.
 */
#ifndef MTL__SCALER_H
#define MTL__SCALER_H

#include "data/dataset.h"

/* mean [inputs] and scale [inputs]: population standard deviation, 1 for a column that is constant
   or has fewer than two values; mean 0 for a column without values. */
mtl_status mtl__scaler_fit_inputs(const mtl_dataset *d, float *mean, float *scale, mtl_error *err);
/* The same for the label columns of a task. */
mtl_status mtl__scaler_fit_labels(const mtl_dataset *d, int64_t task, float *mean, float *scale,
                                  mtl_error *err);

#endif
