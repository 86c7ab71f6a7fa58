/* SPDX-License-Identifier: MIT */
/* The best members of an ensemble in one network, by rows that were held out. */
#ifndef MTL__PRUNE_H
#define MTL__PRUNE_H

#include "train/report.h"

/* mtl_model_prune() without the checks of its arguments. */
mtl_status mtl__prune(const mtl_model *m, const mtl_dataset *held_out, int64_t most, mtl_model **out,
                      mtl_report **report, mtl_error *err);

#endif
