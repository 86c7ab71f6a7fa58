/* SPDX-License-Identifier: MIT */
/* Rows of inputs as linear methods see them: standardised as they are read, or as coordinates on
   their principal axes. */
#ifndef MTL__DESIGN_H
#define MTL__DESIGN_H

#include "mem/arena.h"
#include "thread/pool.h"

#define MTL__LINEAR_BASIS 1024

enum {
    MTL__LINEAR_SPAN = 256, /* of rows or columns that a product takes at a time */
    MTL__LINEAR_BLOCK = 16  /* rows of a job */
};

/* Inputs of the rows in question, standardised as they are read. */
typedef struct mtl__standard {
    int64_t rows, cols;
    const float *x;
    int64_t stride;
    const int64_t *row;     /* [rows] of x */
    double *mean, *inverse; /* [cols]; inverse 0 for a constant column */
} mtl__standard;

/* Mean and inverse by the rows' weights of sum 1, missing values left out; scratch [2 cols]. */
void mtl__standard_fit(const mtl__standard *s, const double *weight, double *scratch);
/* Columns first .. first + count of row i. */
void mtl__standard_read(const mtl__standard *s, int64_t i, int64_t first, int64_t count,
                        double *out);

/* What the models see: coordinates on the principal axes, or the standardised columns. */
typedef struct mtl__design {
    const mtl__standard *s;
    const double *weight; /* [rows], sum 1 */
    bool wants_basis;     /* else all runs on the standardised columns */
    int64_t k;            /* coordinates */
    double *f;            /* [rows, k]; NULL: the columns themselves */
    double *spread;       /* [k] mean squares of the coordinates; NULL = 1 */
    bool by_rows;         /* axes found from the products of rows */
    double *product;      /* [m, m], m the smaller of rows and cols; then its eigenvectors */
    double *axes;         /* the last k rows of it */
    double *values;       /* [m] */
    double *panel;        /* [max(m, slots * BLOCK), max(SPAN, cols)]: scratch */
    double *scratch;      /* [rows + 2 cols + m] */
    mtl__pool *pool;
} mtl__design;

void mtl__design_take(mtl__design *d, mtl__arena *a);
/* Is it worth finding the axes? */
bool mtl__design_has_basis(int64_t rows, int64_t cols);
/* False where the products overflow. */
bool mtl__design_find_basis(mtl__design *d);
/* Row i; scratch [cols] where there are no coordinates. */
const double *mtl__design_row(const mtl__design *d, int64_t i, double *scratch);
/* Weights of the standardised columns [cols] from those of the coordinates. */
void mtl__design_weights(const mtl__design *d, const double *theta, double *v);

#endif
