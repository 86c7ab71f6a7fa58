/* SPDX-License-Identifier: MIT */
/* What features, or another task's predictions, promise for a task; see mtl_transferability() in
   mtl.h for shapes, names and formulas. */
#ifndef MTL__SCORE_H
#define MTL__SCORE_H

#include "base/error.h"
#include "mem/alloc.h"
#include "thread/pool.h"

typedef struct mtl__score_args {
    int64_t rows, cols, x_stride, classes, label_cols, label_stride;
    const float *x, *label;
    const mtl__allocator *al;
    mtl__pool *pool; /* may be NULL; same bits */
} mtl__score_args;

/* score = NaN and MTL_OK where the figure is undefined. */
mtl_status mtl__score_compute(const char *kind, const mtl__score_args *a, double *score,
                              mtl_error *err);

#endif
