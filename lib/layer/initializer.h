/* SPDX-License-Identifier: MIT */
/* How weights are drawn: one row each. */
#ifndef MTL__INITIALIZER_H
#define MTL__INITIALIZER_H

#include "option/choice.h"
#include "rng/rng.h"

typedef struct mtl__initializer {
    mtl__choice_row choice;
    bool normal;     /* else uniform */
    bool fan_both;   /* variance 2 / (in + out), else 2 / in */
    bool ntk;        /* variance 1 / in, and the learning rate is divided by sqrt(in) */
    int hull;        /* rows in the mix that a first bias is; 0 = biases start at 0 */
    bool orthogonal; /* columns, or rows where there are fewer, are made orthonormal */
} mtl__initializer;

extern const mtl__choice_table mtl__initializers;

/* Draw w [in, out], rows ld apart. */
void mtl__initialize(const mtl__initializer *init, mtl__rng *rng, mtl__rng_blocks_fn *blocks,
                     int64_t in, int64_t out, float *w, int64_t ld);

#endif
