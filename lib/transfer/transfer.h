/* SPDX-License-Identifier: MIT */
/* Moving a model to new tasks. A strategy is a row of phases; each phase is one run of the trainer. */
#ifndef MTL__TRANSFER_H
#define MTL__TRANSFER_H

#include "train/fit.h"

extern const mtl__option_group mtl__transfer_options;

/* mtl_transfer() without the checks of its arguments. */
mtl_status mtl__transfer(const mtl_model *source, const mtl_dataset *target,
                         const mtl_dataset *known, const mtl_options *o, mtl_model **out,
                         mtl_report **report, mtl_error *err);

#endif
