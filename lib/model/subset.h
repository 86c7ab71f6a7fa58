/* SPDX-License-Identifier: MIT */
/* Some members of an ensemble in one network as a network of their own. */
#ifndef MTL__SUBSET_H
#define MTL__SUBSET_H

#include "model/model.h"

/* member [count]: numbers, in their order in the result; of count > 1 the same one may come twice, and
   what each predicts has the bits it had. One alone becomes a plain network, its factors multiplied into
   the matrices; MTL_ERR_STATE where a norm stands between. Not calibrated. */
mtl_status mtl__model_subset(const mtl_model *m, const int64_t *member, int64_t count, mtl_model **out,
                             mtl_error *err);

#endif
