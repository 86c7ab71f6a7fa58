/* SPDX-License-Identifier: MIT */
#ifndef MTL__AGGREGATE_PRIV_H
#define MTL__AGGREGATE_PRIV_H

#include <math.h>

#include "aggregate/aggregate.h"
#include "base/math64.h"
#include "solve/solve.h"

/* min 1/2 x'Ax - b'x over x >= 0, A positive semidefinite, where it has a minimum: the active set
   method of Lawson & Hanson 1974 (chapter 23) on normal equations, with the factor updated. Exact
   but for rounding. */
typedef struct mtl__qp {
    int64_t k;
    const double *a; /* [k, k] */
    double *b, *x;   /* [k]; b is the caller's to fill */
    int64_t free;    /* variables above 0, and which: */
    int64_t *set;
    bool *is_free, *is_shut; /* [k] */
    double *factor;          /* [k, k], rows of the Cholesky factor of A[set, set] */
    double *slope, *z;       /* [k] */
} mtl__qp;

/* Returns the largest violation of the optimality conditions, relative to b. */
double mtl__qp_solve(mtl__qp *q);
/* out[set] = A[set, set]^-1 rhs[set]; elsewhere 0. */
void mtl__qp_solve_free(const mtl__qp *q, const double *rhs, double *out);

/* One step of the k tasks that take part. */
typedef struct mtl__agg {
    struct mtl_aggregator *a;
    int64_t k;
    const int64_t *live; /* [k]: their numbers among all */
    const double *g;     /* [k, k] Gramian */
    const double *c;     /* [k, k] Gramian of the rows scaled to length 1 */
    const double *s;     /* [k] lengths */
    const double *loss;  /* [k] */
    double *pref;        /* [k], 1 where none is given */
    double *w;           /* [k] out, 0 before */
    double residual;     /* out, 0 before */
    double *work;
    const float *rows; /* with JACOBIAN */
    int64_t row_stride;
    float *update; /* may be NULL */
} mtl__agg;

typedef void mtl__agg_fn(mtl__agg *p);

mtl__agg_fn mtl__agg_sum, mtl__agg_mean, mtl__agg_constant, mtl__agg_rlw;
mtl__agg_fn mtl__agg_mgda, mtl__agg_cagrad, mtl__agg_upgrad, mtl__agg_dualproj;
mtl__agg_fn mtl__agg_pcgrad, mtl__agg_gradvac;
mtl__agg_fn mtl__agg_imtl_g, mtl__agg_aligned, mtl__agg_config;
mtl__agg_fn mtl__agg_fairgrad, mtl__agg_nash, mtl__agg_gradnorm;
mtl__agg_fn mtl__agg_graddrop, mtl__agg_db, mtl__agg_excess;
mtl__agg_fn mtl__agg_gated, mtl__agg_a_gem;
mtl__agg_fn mtl__agg_uw, mtl__agg_imtl_l, mtl__agg_dwa, mtl__agg_gls, mtl__agg_stch, mtl__agg_famo;

/* Value number i of the kind's parameters. */
static inline double mtl__agg_param(const mtl__agg *p, int i)
{
    return p->a->choice.value[i];
}

/* y = A x, A [k, k]. */
static inline void mtl__agg_times(int64_t k, const double *a, const double *x, double *y)
{
    for (int64_t i = 0; i < k; i++)
        y[i] = mtl__dot_f64(k, a + i * k, x);
}

/* x / (sum of x), all >= 0, some above. */
static inline void mtl__agg_to_simplex(int64_t k, double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < k; i++)
        sum += x[i];
    for (int64_t i = 0; i < k; i++)
        x[i] /= sum;
}

/* x = softmax of x. */
static inline void mtl__agg_softmax(int64_t k, double *x)
{
    double most = x[0];
    for (int64_t i = 1; i < k; i++)
        most = mtl__max_f64(most, x[i]);
    for (int64_t i = 0; i < k; i++)
        x[i] = mtl__exp_f64(x[i] - most);
    mtl__agg_to_simplex(k, x);
}

#endif
