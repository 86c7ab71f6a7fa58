/* SPDX-License-Identifier: MIT */
/* The option "groups": settings of named tensors, "trunk.0:rate=0.1,decay=0;head:rate=2". */
#ifndef MTL__GROUPS_H
#define MTL__GROUPS_H

#include "model/model.h"

typedef struct mtl__group {
    double rate, decay; /* factors of the learning rate; of l1, l2 and decoupled decay */
} mtl__group;

/* MTL_ERR_NAME when an entry means no tensor, MTL_ERR_RANGE for one that cannot be read. */
mtl_status mtl__groups_check(const char *text, const mtl_model *m, mtl_error *err);

/* Settings of a tensor: those of the last entry that means it, by default 1. The text was checked.
 */
mtl__group mtl__group_of(const char *text, const mtl__param *p);

#endif
