/* SPDX-License-Identifier: MIT */
/* The exact head of a task on fixed features: L2-penalised least squares, logistic or softmax
   regression, for a whole path of penalties. */
#ifndef MTL__HEAD_H
#define MTL__HEAD_H

#include "base/error.h"
#include "mem/alloc.h"

/* Penalties: row count times these, against features whose variances sum to 1. */
enum { MTL__HEAD_PENALTIES = 8 };

typedef struct mtl__head_data {
    int64_t rows, cols, outputs;
    int32_t kind;
    const float *phi;   /* [rows, cols], rows ld apart */
    int64_t ld;
    int64_t block;      /* columns of the first block; the rest is a second one of equal say */
    int64_t learnt;     /* first column that a network made: units that hardly ever fire there have
                           deviations that say nothing, so small ones are not scaled up */
    const float *y;     /* [rows, outputs]: values, or 0 and 1; NaN = missing */
    const float *w;     /* [rows], NULL = 1 */
    const float *offset; /* [rows, outputs]: what is added to the head's outputs, NULL = 0 */
} mtl__head_data;

/* Kinds that have an exact head. */
bool mtl__head_serves(int32_t kind);

/* Minimise sum w * loss(offset + b + W phi, y) / mean(w) + lambda / 2 * |W|^2 over standardised
   features, for the penalties first .. first + count, the largest first, each from the one before it
   (Boehning 1992's bound on the curvature, which the singular vectors of the features make diagonal;
   accelerated as in O'Donoghue & Candes 2015; least squares end after one step). The intercept is
   free, but that class tasks have half a row of each class more, at the features' means.
   out [count, outputs, cols + 1]: weights of phi as it came, then the intercept. */
mtl_status mtl__head_path(const mtl__head_data *d, const mtl__allocator *al, int64_t first,
                          int64_t count, double tolerance, double *out, mtl_error *err);

/* The intercepts alone, no features: means, smoothed log odds, log of the mean, quantiles. */
mtl_status mtl__head_constant(const mtl__head_data *d, const float *quantile,
                              const mtl__allocator *al, double *out, mtl_error *err);

/* In place: what the network predicts of its outputs, by kind. */
void mtl__head_link(int32_t kind, int64_t outputs, double *z);

#endif
