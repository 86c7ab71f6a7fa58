/* SPDX-License-Identifier: MIT */
/* How far the features of two domains lie apart, and the penalty that draws them together. */
#ifndef MTL__ALIGN_H
#define MTL__ALIGN_H

#include "train/trainer.h"

typedef enum mtl__distance {
    MTL__NO_DISTANCE,
    MTL__CORAL, /* |C1 - C2|_F^2 / (4 cols^2), covariances (Sun & Saenko 2016, eq. 1) */
    MTL__MMD,   /* sum over i, j of c_i c_j k(x_i, x_j), c = 1 / n of the first part and -1 / n of the
                   second (Gretton et al. 2012, eq. 5, biased); k the sum of exp(-d^2 / (2 a m)) for a
                   = 1/2, 1, 2, m the mean d^2 of all pairs, which makes it free of the scale */
} mtl__distance;

/* Of rows 0 .. split from the others; 0 where a part has too few rows: two for CORAL, one for MMD. */
typedef struct mtl__parts {
    int64_t rows, split, cols;
    const float *x; /* [rows, cols], without gaps */
} mtl__parts;

/* In doubles. */
int64_t mtl__distance_room(int64_t rows, int64_t cols);
/* gradient [rows, cols] = factor * that of the distance, or NULL. work: see above, its allocator's
   alignment. */
double mtl__distance_of(mtl__distance kind, const mtl__parts *p, double *work, double factor,
                        float *gradient);

/* The penalty in a run whose batches have rows of a first and a second data set: weight * distance of
   the trunk's outputs. Hangs a hook into the trainer, which must end first. */
typedef struct mtl__aligner {
    const mtl__allocator *al;
    mtl__distance kind;
    double weight;
    double *work;
    int64_t room;
} mtl__aligner;

mtl_status mtl__align(mtl__trainer *t, mtl__distance kind, double weight, mtl__aligner *out,
                      mtl_error *err);
void mtl__align_free(mtl__aligner *a);

#endif
