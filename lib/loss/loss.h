/* SPDX-License-Identifier: MIT */
/* Losses: one row each, with the link that turns the network's output into what predict gives.

   The three that nearly every network uses are kernels of vec. All others are put together from the
   maps of vec (exp, log, log1p, sigmoid), which have the same bits at every level, and plain C
   around them, compiled once. */
#ifndef MTL__LOSS_H
#define MTL__LOSS_H

#include "base/error.h"
#include "option/choice.h"
#include "vec/vec.h"

typedef void mtl__link_fn(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz);

/* Outputs that a link turns into these predictions, of one row and in place. */
typedef void mtl__unlink_fn(int64_t cols, float *p);

/* Loss and slope, dloss / dz, of n <= MTL__LOSS_CHUNK outputs, each for itself. Where y is NaN
   whatever is written is not looked at. */
typedef void mtl__element_fn(const mtl__vec *v, const double *param, int64_t n, const float *z,
                             const float *y, float *loss, float *slope);
enum { MTL__LOSS_CHUNK = 256 };

/* Rows of outputs with one label each. */
typedef struct mtl__rows_args {
    int64_t rows, cols;
    const float *z; /* [rows, cols] */
    int64_t ldz;
    const float *y, *w; /* [rows]: label, NaN = none; weight, NULL = 1 */
    float scale;
    float *g; /* (scale * w) * dloss / dz, 0 without a label; NULL = not wanted; not z */
    int64_t ldg;
    const double *param;
    const float *list; /* quantiles, or NULL */
} mtl__rows_args;

/* Returns the sum of w * loss. */
typedef double mtl__by_rows_fn(const mtl__vec *v, const mtl__rows_args *a);

/* Of outputs that are independent of each other, a kernel or an element function; of outputs with
   one label for all of them, a kernel or by_rows; none for "auto". A row with a kernel and one of
   the others uses the kernel while its parameters have their initial values. */
typedef struct mtl__loss {
    mtl__choice_row choice;
    uint32_t kinds; /* bit 1 << kind for each kind of task that it serves */
    mtl__columns_fn *(*columns_kernel)(const mtl__vec *);
    mtl__rows_loss_fn *(*rows_kernel)(const mtl__vec *);
    mtl__element_fn *element;
    mtl__by_rows_fn *by_rows;
    mtl__link_fn *link;     /* in place; NULL = identity */
    bool is_positive;       /* labels have to be above 0 */
    bool has_thresholds;    /* outputs but the first do not depend on the inputs: their weights are
                               0 and stay so, their biases are trained */
} mtl__loss;

/* Row 0 is "auto": the first loss below it that serves the task's kind. A name may stand in several
   rows, for different kinds; the first of them has the parameters of all. */
extern const mtl__choice_table mtl__losses;

/* The loss of a text, "huber:delta=2", for a kind of task, and its parameters. MTL_ERR_RANGE when it
   does not serve the kind. */
mtl_status mtl__loss_choose(const char *text, const char *task, int32_t kind, const mtl__loss **out,
                            double param[MTL__CHOICE_PARAMS], mtl_error *err);

/* Is parameter number i at its initial value (true also for i past the last one)? */
bool mtl__loss_is_initial(const mtl__loss *loss, const double *param, int i);

/* The way back from what a link gives; NULL for the identity. */
mtl__unlink_fn *mtl__loss_unlink(mtl__link_fn *link);

/* Are the outputs independent of each other? */
static inline bool mtl__loss_is_by_columns(const mtl__loss *loss)
{
    return loss->columns_kernel || loss->element;
}

void mtl__loss_columns(const mtl__vec *v, const mtl__loss *loss, const double *param,
                       const mtl__columns *c);
double mtl__loss_rows(const mtl__vec *v, const mtl__loss *loss, const mtl__rows_args *a);

#endif
