/* SPDX-License-Identifier: MIT */
/* Rows of which only some columns are given, all others being 0. */
#ifndef MTL__SPARSE_H
#define MTL__SPARSE_H

#include <stdint.h>

typedef struct mtl__sparse_row {
    int64_t count;
    const int32_t *column; /* ascending */
    const float *value;
} mtl__sparse_row;

/* A batch of them as a network sees it: scaled, missing ones 0. */
typedef struct mtl__sparse {
    const mtl__sparse_row *row;
    const float *inverse; /* [columns]: of the scale */
} mtl__sparse;

static inline float mtl__sparse_value(const mtl__sparse *s, const mtl__sparse_row *r, int64_t i)
{
    float x = r->value[i] * s->inverse[r->column[i]];
    return x == x ? x : 0;
}

#endif
