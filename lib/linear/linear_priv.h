/* SPDX-License-Identifier: MIT */
#ifndef MTL__LINEAR_PRIV_H
#define MTL__LINEAR_PRIV_H

#include "linear/linear.h"
#include "mem/arena.h"

enum {
    MTL__LINEAR_SPAN = 256,  /* of rows or columns that a product takes at a time */
    MTL__LINEAR_BLOCK = 16,  /* rows of a job */
    MTL__LINEAR_PARTS = 32,  /* of sums over all rows, at most */
    MTL__LINEAR_LAMBDAS = 64 /* in a list, at most */
};

/* Inputs of the rows in question, standardised as they are read. */
typedef struct mtl__standard {
    int64_t rows, cols;
    const float *x;
    int64_t stride;
    const int64_t *row;     /* [rows] of x */
    double *mean, *inverse; /* [cols]; inverse 0 for a constant column */
} mtl__standard;

/* Columns first .. first + count of row i. */
void mtl__standard_read(const mtl__standard *s, int64_t i, int64_t first, int64_t count,
                        double *out);

/* What the models see: coordinates on the principal axes, or the standardised columns. */
typedef struct mtl__design {
    const mtl__standard *s;
    const double *weight; /* [rows], sum 1 */
    int64_t k;            /* coordinates */
    double *f;            /* [rows, k]; NULL: the columns themselves */
    double *spread;       /* [k] mean squares of the coordinates; NULL = 1 */
    bool by_rows;         /* axes found from the products of rows */
    double *product;      /* [m, m], m the smaller of rows and cols; then its eigenvectors */
    double *axes;         /* the last k rows of it */
    double *values;       /* [m] */
    double *panel;        /* [max(m, slots * BLOCK), max(SPAN, cols)]: scratch */
    double *scratch;      /* [rows + cols + m] */
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

/* One task's model of some columns of labels, or of one. */
typedef struct mtl__glm {
    const mtl__design *d;
    mtl__linear_family family;
    int64_t c;           /* outputs that belong together */
    const double *y;     /* [rows] */
    const double *train; /* [rows], sum 1; 0 = left out */
    double lambda;
    double *theta; /* [c, k + 1], the bias last */
    double *grad, *step, *direction, *rest, *precond, *curved, *diagonal; /* likewise */
    double *u, *along, *mean;                                             /* [rows, c] */
    double *part;    /* [MTL__LINEAR_PARTS, c, k + 1] */
    double *scratch; /* [slots, cols + 2 c] */
    bool *is_absent; /* [c]: no row of this class is trained on */
} mtl__glm;

void mtl__glm_take(mtl__glm *g, mtl__arena *a);
/* Fits theta from where it is (`cold`: from the start) and leaves the outputs of all rows in u. */
void mtl__glm_fit(mtl__glm *g, bool cold, double tolerance);
double mtl__glm_loss(const mtl__glm *g, int64_t row, const double *u);

/* Losses of left-out rows for each lambda, [rows, lambdas], and the choice by them. */
typedef struct mtl__left_out {
    int64_t rows, lambdas;
    const double *weight; /* [rows]; 0 = never left out */
    double *loss;
} mtl__left_out;

/* Mean and standard error at lambda number l; NaN without rows. */
void mtl__left_out_mean(const mtl__left_out *o, int64_t l, double *mean, double *error);
/* The best of the first `tried` lambdas, or the first within a standard error of it. */
int64_t mtl__left_out_choose(const mtl__left_out *o, int64_t tried, bool one_se);

/* Ridge of one column in closed form: hat is [rows, lambdas], leverages of the rows, found once;
   theta [lambdas, k + 1] is scratch. */
void mtl__ridge_leverages(const mtl__design *d, int64_t lambdas, const double *lambda,
                          double *theta, double *hat);
/* theta, and the squared errors of each row alone left out. */
void mtl__ridge_path(const mtl__design *d, int64_t lambdas, const double *lambda, const double *hat,
                     const double *y, double *theta, double *loss);

#endif
