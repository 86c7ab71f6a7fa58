/* SPDX-License-Identifier: MIT */
/* Moving a model to new tasks: the strategies, and the call. */
#ifndef MTL__TRANSFER_H
#define MTL__TRANSFER_H

#include "transfer/move.h"

/* mtl_transfer() without the checks of its arguments. */
mtl_status mtl__transfer(const mtl_model *source, const mtl_dataset *target,
                         const mtl_dataset *known, const mtl_options *o, mtl_model **out,
                         mtl_report **report, mtl_error *err);

/* auto.c: the strategy `only`, or the best of all when it is NULL, with the best of its variants. */
mtl_status mtl__transfer_chosen(const mtl__job *job, const mtl_dataset *target,
                                const mtl__strategy *only, mtl_model **out, mtl_report **report,
                                mtl_error *err);

#endif
