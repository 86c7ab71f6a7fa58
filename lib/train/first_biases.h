/* SPDX-License-Identifier: MIT */
/* First biases from the rows that a fit begins with, for initialisers that have it so. */
#ifndef MTL__FIRST_BIASES_H
#define MTL__FIRST_BIASES_H

#include "train/trainer.h"

/* MTL_ERR_STATE for a network that cannot have them. */
mtl_status mtl__first_biases_check(const mtl_model *m, bool is_sparse, mtl_error *err);
/* Are they still to be drawn in a model whose weights are drawn, as in the file of a run before its first
   step? */
bool mtl__first_biases_are_due(const mtl_model *m);
/* From the batch that is there; the weights are drawn, the biases 0. */
void mtl__first_biases(mtl__trainer *t);

#endif
