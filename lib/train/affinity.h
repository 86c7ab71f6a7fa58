/* SPDX-License-Identifier: MIT */
/* What the tasks' gradients in the trunk are to each other while a copy of the model is trained. */
#ifndef MTL__AFFINITY_H
#define MTL__AFFINITY_H

#include "train/fit.h"

/* A look at a run: what it sees before every `every`-th step of the trainer, leaving nothing behind. */
typedef struct mtl__affinity mtl__affinity;

/* Hangs itself into a trainer that is not started, for as long as that lives. MTL_ERR_INVALID,
   MTL_ERR_STATE, MTL_ERR_RANGE where there is nothing to compare or too much. */
mtl_status mtl__affinity_watch(mtl__trainer *t, int64_t every, mtl__affinity **out, mtl_error *err);
void mtl__affinity_free(mtl__affinity *w);
int64_t mtl__affinity_steps(const mtl__affinity *w); /* looked at */
/* The groups that follow to the report: "PREFIXgroup/TASK", "PREFIXgroups" and "PREFIXgroups/score". */
mtl_status mtl__affinity_groups(mtl__affinity *w, const char *const name[3], mtl_report *r,
                                mtl_error *err);

/* mtl_task_affinity() without the checks of its arguments. */
mtl_status mtl__task_affinity(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                              mtl_report **report, mtl_error *err);

#endif
