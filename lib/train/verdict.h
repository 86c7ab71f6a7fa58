/* SPDX-License-Identifier: MIT */
/* Does sharing help? The option "judge" of mtl_fit(). */
#ifndef MTL__VERDICT_H
#define MTL__VERDICT_H

#include "train/race.h"

/* mtl_fit() with judge = 1, without the checks of its arguments; the model is claimed. Behind a race of
   weightings, whose options these are, or race NULL. */
mtl_status mtl__verdict_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, const mtl__race *race, mtl_report **report,
                            mtl_error *err);

/* floor.c: the exact linear models of a network without layers, task by task. Tasks that have none stay
   as they are: quantiles, thresholds, a loss of the caller's, streamed or sparse inputs, no label.
   MTL_ERR_DATA when that is all of them. */
bool mtl__floor_serves(const mtl__task_spec *t);
/* The same weights for all tasks of one value each under squared error, in their units, each with an
   intercept of its own: what tasks of few rows have in common. Others stay as they are. */
bool mtl__floor_pools(const mtl__task_spec *t);
mtl_status mtl__floor_fit_pooled(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                                 mtl_error *err);
/* What the linear models say of rows that are left out, found with them. */
typedef struct mtl__floor_parts {
    const int32_t *of_row; /* [rows of train]: the part, -1 = none */
    int32_t count;
    float *p; /* out, [rows, outputs] as predict gives them: of a row with a part and a label by the model
                 of the other parts' rows, else by that of all */
    bool (*is_over)(const void *self); /* asked before each task but the first: the others have no model */
    const void *self;
    int64_t tasks; /* out: from this one on they have none */
} mtl__floor_parts;
mtl_status mtl__floor_fit(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                          mtl__floor_parts *parts, mtl_error *err); /* parts NULL = none */

#endif
