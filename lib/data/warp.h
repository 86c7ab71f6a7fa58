/* SPDX-License-Identifier: MIT */
/* What a scaler does to a column's figures beyond moving and scaling them: bending their ends, or
   giving each the normal number of its rank. */
#ifndef MTL__WARP_H
#define MTL__WARP_H

#include "data/dataset.h"

/* One knot of a column is the limit that its scaled values do not reach, x / sqrt(1 + (x / limit)^2),
   0 = it is not bent, negative = it becomes 0. More are its values at evenly spaced ranks: a value
   becomes the standard normal quantile of its own rank, linear between knots, amid equal ones their
   mean. A column whose first knot is above its last is not ranked; where they are equal, all of it
   becomes 0. */
typedef struct mtl__warp {
    int64_t knots; /* of a column; 0 = nothing is done */
    float *knot;   /* [columns, knots] */
} mtl__warp;

static inline int64_t mtl__warp_bytes(int64_t cols, const mtl__warp *w)
{
    return cols * w->knots * (int64_t)sizeof *w->knot;
}

enum { MTL__WARP_KNOTS = 1000 }; /* at most */
#define MTL__WARP_LIMIT 3        /* of a single knot */
#define MTL__WARP_ZERO (-1)

/* Where a quantile is clipped to: ranks of 1e-7 and 1 - 1e-7, as scikit-learn has it. */
#define MTL__WARP_END 5.199337582601775

/* A row of `cols` columns: x as it came, y moved and scaled, with 0 in the place of NaN. */
void mtl__warp_row(const mtl__vec *vec, const mtl__warp *w, int64_t cols, const float *x, float *y);

/* The standard normal quantile for 0 < p < 1; error below 1e-15 of it (Wichura 1988, AS 241). */
double mtl__normal_quantile(double p);

#endif
