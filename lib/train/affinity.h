/* SPDX-License-Identifier: MIT */
/* What the tasks' gradients in the trunk are to each other while a copy of the model is trained. */
#ifndef MTL__AFFINITY_H
#define MTL__AFFINITY_H

#include "train/fit.h"

/* mtl_task_affinity() without the checks of its arguments. */
mtl_status mtl__task_affinity(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                              mtl_report **report, mtl_error *err);

#endif
