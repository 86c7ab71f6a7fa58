/* SPDX-License-Identifier: MIT */
/* What building a network consists of. */
#ifndef MTL__NETWORK_PRIV_H
#define MTL__NETWORK_PRIV_H

#include "model/network.h"

/* Append a layer with its tensors; false when they do not fit. Its width becomes *width. */
bool mtl__network_add(mtl__network *net, const mtl__layer *what, int64_t *width);
/* A layer of a spec as it stands, on one row of all tasks. */
bool mtl__network_add_from_spec(mtl__network *net, const mtl_spec *spec, const mtl__layer_spec *s,
                                int64_t *width);

#endif
