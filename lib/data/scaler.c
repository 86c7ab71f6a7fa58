/* SPDX-License-Identifier: MIT */
#include "data/scaler.h"

#include <float.h>
#include <math.h>

#include "data/array_priv.h"

/* Of one column. Sums are of x - first, its first value: a constant column gives exactly 0 however
   many rows it has. */
typedef struct column {
    double first, sum, mean, squares; /* mean of x - first; sum of squared deviations from it */
    int64_t count;
} column;

static void add_values(const mtl__array *a, int64_t rows, int64_t cols, column *c)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < cols; j++) {
            if (isnan(x[j]))
                continue;
            if (c[j].count++ == 0)
                c[j].first = x[j];
            c[j].sum += x[j] - c[j].first;
        }
    }
}

static void add_squares(const mtl__array *a, int64_t rows, int64_t cols, column *c)
{
    for (int64_t j = 0; j < cols; j++)
        c[j].mean = c[j].count ? c[j].sum / (double)c[j].count : 0;
    for (int64_t i = 0; i < rows; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < cols; j++) {
            double deviation = x[j] - c[j].first - c[j].mean;
            if (!isnan(x[j]))
                c[j].squares += deviation * deviation;
        }
    }
}

static mtl_status fit(const mtl_dataset *d, const mtl__array *a, int64_t cols, float *mean,
                      float *scale, mtl_error *err)
{
    const int64_t bytes = cols * (int64_t)sizeof(column);
    column *c = mtl__alloc_zero(&d->ctx->al, bytes);
    if (!c)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scales of %lld columns",
                        (long long)cols);
    add_values(a, d->rows, cols, c);
    add_squares(a, d->rows, cols, c);
    for (int64_t j = 0; j < cols; j++) {
        double deviation = c[j].count > 1 ? sqrt(c[j].squares / (double)c[j].count) : 0;
        mean[j] = (float)(c[j].first + c[j].mean);
        /* Below FLT_MIN the reciprocal would be infinite in float: constant for our purposes. */
        scale[j] = deviation >= FLT_MIN ? (float)deviation : 1;
    }
    mtl__free(&d->ctx->al, c, bytes);
    return MTL_OK;
}

mtl_status mtl__scaler_fit_inputs(const mtl_dataset *d, float *mean, float *scale, mtl_error *err)
{
    return fit(d, &d->x, d->inputs, mean, scale, err);
}

mtl_status mtl__scaler_fit_labels(const mtl_dataset *d, int64_t task, float *mean, float *scale,
                                  mtl_error *err)
{
    const mtl__labels *l = &d->labels[task];
    return fit(d, &l->y, l->cols, mean, scale, err);
}
