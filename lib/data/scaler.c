/* SPDX-License-Identifier: MIT */
#include "data/scaler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "data/array_priv.h"

/* Moments of columns side by side: loops over columns have no branch, so that compilers make vectors
   of them. Sums are of x - first, a column's first value: a constant column gives exactly 0 however
   many rows it has. */
typedef struct moments {
    int64_t cols;
    double *first, *count, *sum, *mean, *squares; /* mean of x - first; squared deviations from it */
} moments;

enum { VECTORS = 5 };

static moments moments_in(double *p, int64_t cols)
{
    return (moments){cols, p, p + cols, p + 2 * cols, p + 3 * cols, p + 4 * cols};
}

/* The first value of each column; 0 where there is none. */
static void find_first(const mtl__array *a, int64_t rows, moments *m)
{
    int64_t missing = m->cols;
    for (int64_t i = 0; i < rows && missing > 0; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < m->cols; j++)
            if (m->count[j] == 0 && !isnan(x[j])) {
                m->first[j] = (double)x[j];
                m->count[j] = 1;
                missing--;
            }
    }
    memset(m->count, 0, (size_t)m->cols * sizeof *m->count);
}

static void add_values(int64_t cols, const float *restrict x, const double *restrict first,
                       double *restrict count, double *restrict sum)
{
    for (int64_t j = 0; j < cols; j++) {
        double value = (double)x[j], deviation = value - first[j];
        count[j] += value == value ? 1.0 : 0.0;
        sum[j] += value == value ? deviation : 0.0;
    }
}

static void add_squares(int64_t cols, const float *restrict x, const double *restrict first,
                        const double *restrict mean, double *restrict squares)
{
    for (int64_t j = 0; j < cols; j++) {
        double value = (double)x[j], deviation = value - first[j] - mean[j];
        squares[j] += value == value ? deviation * deviation : 0.0;
    }
}

static void compute(const mtl__array *a, int64_t rows, moments *m)
{
    find_first(a, rows, m);
    for (int64_t i = 0; i < rows; i++)
        add_values(m->cols, mtl__array_row(a, i), m->first, m->count, m->sum);
    for (int64_t j = 0; j < m->cols; j++)
        m->mean[j] = m->count[j] > 0 ? m->sum[j] / m->count[j] : 0;
    for (int64_t i = 0; i < rows; i++)
        add_squares(m->cols, mtl__array_row(a, i), m->first, m->mean, m->squares);
}

static mtl_status fit(const mtl_dataset *d, const mtl__array *a, int64_t cols, float *mean,
                      float *scale, mtl_error *err)
{
    const int64_t bytes = VECTORS * cols * (int64_t)sizeof(double);
    double *p = mtl__alloc_zero(&d->ctx->al, bytes);
    if (!p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scales of %lld columns",
                        (long long)cols);
    moments m = moments_in(p, cols);
    compute(a, d->rows, &m);
    for (int64_t j = 0; j < cols; j++) {
        double deviation = m.count[j] > 1 ? sqrt(m.squares[j] / m.count[j]) : 0;
        mean[j] = (float)(m.first[j] + m.mean[j]);
        /* Below FLT_MIN the reciprocal would be infinite in float: constant for our purposes. */
        scale[j] = deviation >= FLT_MIN ? (float)deviation : 1;
    }
    mtl__free(&d->ctx->al, p, bytes);
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
