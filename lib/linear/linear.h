/* SPDX-License-Identifier: MIT */
/* Linear models of one task, exact and convex: what a network has to beat, heads on features that
   stay as they are, and the measure of what features are worth.

   The outputs are u = b + x W. Minimised is, over the rows with a label and a weight above 0,

       sum of w loss(u, y) / sum of w  +  lambda / 2 * sum of v^2,

   where v are the weights of the columns standardised over these rows (mean 0, deviation 1, by the
   rows' weights; a missing input is its column's mean); a constant column has weight 0. Intercepts
   are free. lambda is chosen from a list by losses on rows left out.

   Up to MTL__LINEAR_BASIS columns or rows (the fewer count) all runs in the coordinates of the
   inputs' principal axes, found once: ridge then has every lambda and every left-out row in closed
   form, and Newton's system is nearly diagonal. Beyond, conjugate gradients on the inputs. */
#ifndef MTL__LINEAR_H
#define MTL__LINEAR_H

#include "base/error.h"
#include "linear/design.h"
#include "mem/alloc.h"
#include "thread/pool.h"

typedef enum mtl__linear_family {
    MTL__LINEAR_SQUARE,   /* (u - y)^2 / 2; columns of values */
    MTL__LINEAR_LOGISTIC, /* cross-entropy of sigmoid(u); columns of 0 and 1, each for itself */
    MTL__LINEAR_SOFTMAX,  /* cross-entropy of softmax(u); one column of class numbers */
    MTL__LINEAR_POISSON,  /* exp(u) - y u; columns of numbers >= 0 */
} mtl__linear_family;

typedef struct mtl__linear_problem {
    mtl__linear_family family;
    int64_t rows, cols, outputs;
    const float *x; /* [rows, cols]; NaN = missing */
    int64_t x_stride;
    const float *label; /* [rows, outputs], of softmax [rows, 1]; NaN = missing */
    int64_t label_stride;
    const float *weight; /* [rows] >= 0, or NULL = 1 */
    /* The choice of lambda. */
    const double *lambda; /* [lambdas] descending, above 0; NULL = a list of the family's own */
    int64_t lambdas;
    bool one_se; /* the largest lambda within a standard error of the best, not the best */
    /* Rows left out together: [rows] in [0, folds), or NULL = drawn from seed, classes spread
       evenly. folds = 0: 5. Not used by ridge in closed form, which leaves out each row alone
       unless `fold` is given. With folds = 1 and one lambda none are left out. */
    const int32_t *fold;
    int32_t folds;
    uint64_t seed;
    /* For result.held: [rows] numbers of parts in [0, parts), or -1; NULL = none. */
    const int32_t *part;
    int32_t parts;
    double tolerance; /* of models fitted to choose, relative; 0 = as far as choosing needs */
    const mtl__allocator *al;
    mtl__pool *pool; /* may be NULL; same bits */
} mtl__linear_problem;

/* Of one output, or of all outputs of softmax. */
typedef struct mtl__linear_figure {
    int64_t rows;  /* with a label and a weight above 0; 0 = weights and bias are 0 */
    double lambda; /* chosen */
    /* Mean of the family's loss on left-out rows at that lambda, but (u - y)^2 of values, and its
       standard error over rows; NaN where no row could be left out. */
    double loss, standard_error;
} mtl__linear_figure;

typedef struct mtl__linear_result {
    double *weights;            /* [cols, outputs]: for the inputs as given, not standardised */
    double *bias;               /* [outputs] */
    mtl__linear_figure *figure; /* [outputs], of softmax [1]; NULL = not wanted */
    /* [rows, outputs], NULL = not wanted: u of rows with a part and a label by the model, at the
       lambda chosen by all rows, of those that are not in the part; others stay as they are. Ridge in
       closed form finds it from sums that it has. */
    double *held;
} mtl__linear_result;

/* Where all labels are of one class (or 0) or of a class there are none, the intercept is that of
   half a row more. MTL_ERR_VALUE for an input, label or weight that cannot be, naming row and
   column; MTL_ERR_NOMEM; the result is then untouched. Runs on the caller's floating-point state.
 */
mtl_status mtl__linear_fit(const mtl__linear_problem *p, const mtl__linear_result *out,
                           mtl_error *err);

#endif
