/* SPDX-License-Identifier: MIT */
#ifndef MTL__LINEAR_PRIV_H
#define MTL__LINEAR_PRIV_H

#include "linear/design.h"
#include "linear/linear.h"

enum {
    MTL__LINEAR_PARTS = 32,  /* of sums over all rows, at most */
    MTL__LINEAR_LAMBDAS = 64 /* in a list, at most */
};

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
/* theta [k + 1] of the rows outside of a part, part being [rows]; normal: [k + 1, k + 1], scratch. */
void mtl__ridge_without(const mtl__design *d, double lambda, const double *y, const int32_t *part,
                        int32_t number, double *normal, double *theta);

#endif
