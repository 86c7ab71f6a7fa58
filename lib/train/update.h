/* SPDX-License-Identifier: MIT */
/* From gradients to new parameters: clipping, the optimizer at the schedule's rate, frozen slices,
   averaging. */
#ifndef MTL__UPDATE_H
#define MTL__UPDATE_H

#include "train/trainer.h"

/* Memory and figures; call it again after the arena was reserved. feed must be planned. */
void mtl__update_plan(mtl__trainer *t, mtl__arena *arena);

/* One step from t->grads. */
void mtl__update_run(mtl__trainer *t);

/* Copy what the guards hold, or put it back. */
void mtl__update_guards(mtl__trainer *t, bool take);

/* At the end of an epoch, before it is judged: what is averaged by epochs. */
void mtl__update_epoch(mtl__trainer *t);

/* Exchange the model's parameters and their average, if there is one yet. */
void mtl__update_swap(mtl__trainer *t);

#endif
