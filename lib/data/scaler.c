/* SPDX-License-Identifier: MIT */
#include "data/scaler.h"

#include <float.h>
#include <math.h>

#include "base/order.h"
#include "data/array_priv.h"
#include "data/csr.h"

/* What is fitted: columns of one array, which may come in pieces. */
typedef struct fitting {
    int64_t cols;
    mtl__moments *c; /* [cols] */
} fitting;

static void add_values(void *arg, const mtl__array *a, int64_t first, int64_t rows)
{
    const fitting *f = arg;
    const int64_t cols = f->cols;
    mtl__moments *c = f->c;
    (void)first;
    for (int64_t i = 0; i < rows; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < cols; j++) {
            if (isnan(x[j]))
                continue;
            if (c[j].count++ == 0)
                c[j].first = x[j];
            c[j].offset += x[j] - c[j].first;
        }
    }
}

static void add_squares(void *arg, const mtl__array *a, int64_t first, int64_t rows)
{
    const fitting *f = arg;
    const int64_t cols = f->cols;
    mtl__moments *c = f->c;
    (void)first;
    for (int64_t i = 0; i < rows; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < cols; j++) {
            double deviation = x[j] - c[j].first - c[j].offset;
            if (!isnan(x[j]))
                c[j].squares += deviation * deviation;
        }
    }
}

/* One pass over the inputs (y = NULL) or over labels. */
static mtl_status pass(const mtl_dataset *d, const mtl__array *y, mtl__scan_fn *fn, fitting *f,
                       mtl_error *err)
{
    if (!y)
        return mtl__dataset_scan(d, fn, f, err);
    fn(f, y, 0, d->rows);
    return MTL_OK;
}

static mtl_status take_moments(const mtl_dataset *d, const mtl__array *y, int64_t cols,
                               mtl__moments *c, mtl_error *err)
{
    fitting f = {cols, c};
    mtl_status st = pass(d, y, add_values, &f, err);
    for (int64_t j = 0; j < cols; j++)
        c[j].offset = c[j].count ? c[j].offset / (double)c[j].count : 0;
    if (st == MTL_OK)
        st = pass(d, y, add_squares, &f, err);
    for (int64_t j = 0; j < cols; j++)
        c[j].mean = c[j].first + c[j].offset;
    return st;
}

mtl_status mtl__dataset_moments(const mtl_dataset *d, mtl__moments *out, mtl_error *err)
{
    return take_moments(d, NULL, d->inputs, out, err);
}

double mtl__moments_deviation(const mtl__moments *m)
{
    return m->count > 1 ? sqrt(m->squares / (double)m->count) : 0;
}

static mtl_status fit(const mtl_dataset *d, const mtl__array *y, int64_t cols, float *mean,
                      float *scale, mtl_error *err)
{
    const int64_t bytes = cols * (int64_t)sizeof(mtl__moments);
    mtl__moments *c = mtl__alloc_zero(&d->ctx->al, bytes);
    if (!c)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scales of %lld columns",
                        (long long)cols);
    mtl_status st = take_moments(d, y, cols, c, err);
    for (int64_t j = 0; j < cols && st == MTL_OK; j++) {
        const double deviation = mtl__moments_deviation(&c[j]);
        mean[j] = (float)c[j].mean;
        /* Below FLT_MIN the reciprocal would be infinite in float: constant for our purposes. */
        scale[j] = deviation >= FLT_MIN ? (float)deviation : 1;
    }
    mtl__free(&d->ctx->al, c, bytes);
    return st;
}

/* ---- By order ---- */

/* Of the sorted values of a column, between neighbours by their distance (NumPy's "linear"). */
static double quantile(const mtl_dataset *d, const mtl__ordered *a, int64_t n, int64_t col, double q)
{
    const double at = q * (double)(n - 1);
    const int64_t i = (int64_t)at, next = mtl__min(i + 1, n - 1);
    const double low = mtl__array_row(&d->x, a[i].row)[col];
    return low + (at - (double)i) * ((double)mtl__array_row(&d->x, a[next].row)[col] - low);
}

static int64_t sort_column(const mtl_dataset *d, int64_t col, mtl__ordered *a)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->rows; i++) {
        float x = mtl__array_row(&d->x, i)[col];
        if (!isnan(x))
            a[n++] = (mtl__ordered){mtl__order_key(x), i};
    }
    mtl__order_sort(n, a, a + n);
    return n;
}

/* ---- By the largest magnitude ---- */

typedef struct largest {
    int64_t cols;
    float *scale;
} largest;

static void raise(float *scale, float x)
{
    if (fabsf(x) > *scale)
        *scale = fabsf(x);
}

static void raise_rows(void *arg, const mtl__array *a, int64_t first, int64_t rows)
{
    const largest *l = arg;
    (void)first;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < l->cols; j++)
            raise(&l->scale[j], mtl__array_row(a, i)[j]);
}

static mtl_status fit_max_abs(const mtl_dataset *d, float *mean, float *scale, mtl_error *err)
{
    largest l = {d->inputs, scale};
    mtl_status st = MTL_OK;
    mtl__array_fill(mean, d->inputs, 0);
    mtl__array_fill(scale, d->inputs, 0);
    if (!mtl__dataset_is_sparse(d))
        st = mtl__dataset_scan(d, raise_rows, &l, err);
    for (int64_t i = 0; i < d->rows && mtl__dataset_is_sparse(d); i++) {
        const mtl__sparse_row r = mtl__dataset_sparse_row(d, i);
        for (int64_t j = 0; j < r.count; j++)
            raise(&scale[r.column[j]], r.value[j]);
    }
    for (int64_t j = 0; j < d->inputs; j++)
        scale[j] = scale[j] >= FLT_MIN ? scale[j] : 1;
    return st;
}

/* ---- The choice ---- */

/* A knot for 30 rows, as TabM has it. */
int64_t mtl__scaler_knots(mtl__scaler_kind kind, int64_t rows)
{
    if (kind != MTL__SCALER_QUANTILE)
        return kind == MTL__SCALER_ROBUST_CLIP;
    const int64_t knots = mtl__min(mtl__max(rows / 30, 10), MTL__WARP_KNOTS);
    return mtl__max(mtl__min(knots, rows), 2);
}

static float usable(double range)
{
    return range < FLT_MIN ? 1 : range < FLT_MAX ? (float)range : FLT_MAX;
}

/* Of a column's n sorted values its figures, those of one that has none being 0 and 1. */
static void fit_sorted(const mtl_dataset *d, const mtl__ordered *a, int64_t n, int64_t col,
                       mtl__scaler_kind kind, float *mean, float *scale)
{
    const bool by_range = kind == MTL__SCALER_MIN_MAX;
    const double q = by_range ? 0 : 0.25;
    double low = n ? quantile(d, a, n, col, q) : 0, high = n ? quantile(d, a, n, col, 1 - q) : 0;
    double range = by_range ? (high - low) / 2 : high - low;
    *mean = (float)(n && !by_range ? quantile(d, a, n, col, 0.5) : low + (high - low) / 2);
    if (n && kind == MTL__SCALER_ROBUST_CLIP && range < FLT_MIN)
        range = (quantile(d, a, n, col, 1) - quantile(d, a, n, col, 0)) / 2;
    *scale = usable(range);
}

static void fit_quantiles(const mtl_dataset *d, const mtl__ordered *a, int64_t n, int64_t col,
                          int64_t knots, float *knot)
{
    for (int64_t i = 0; i < knots; i++) {
        knot[i] = n ? (float)quantile(d, a, n, col, (double)i / (double)(knots - 1)) : 0;
        knot[i] = i && knot[i] < knot[i - 1] ? knot[i - 1] : knot[i];
    }
}

static void fit_knots(const mtl_dataset *d, const mtl__ordered *a, int64_t n, int64_t col,
                      int64_t knots, float *knot)
{
    const bool is_constant = !n || quantile(d, a, n, col, 0) == quantile(d, a, n, col, 1);
    if (knots == 1)
        *knot = is_constant ? MTL__WARP_ZERO : MTL__WARP_LIMIT;
    else
        fit_quantiles(d, a, n, col, knots, knot);
}

/* Memory to sort a column in. */
static mtl_status alloc_order(const mtl_dataset *d, const char *what, mtl__ordered **a,
                              int64_t *bytes, mtl_error *err)
{
    mtl_status st = mtl__dataset_in_memory(d, what, err);
    *bytes = 2 * d->rows * (int64_t)sizeof **a;
    if (st == MTL_OK) {
        *a = mtl__alloc(&d->ctx->al, *bytes);
        if (!*a)
            st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory to sort %lld rows", (long long)d->rows);
    }
    return st;
}

mtl_status mtl__scaler_quantiles(const mtl_dataset *d, int64_t count, const int64_t *columns,
                                 int64_t knots, float *knot, mtl_error *err)
{
    mtl__ordered *a;
    int64_t bytes;
    mtl_status st = alloc_order(d, "quantiles of columns", &a, &bytes, err);
    for (int64_t i = 0; i < count && st == MTL_OK; i++)
        fit_quantiles(d, a, sort_column(d, columns[i], a), columns[i], knots, knot + i * knots);
    if (st == MTL_OK)
        mtl__free(&d->ctx->al, a, bytes);
    return st;
}

static mtl_status fit_by_order(const mtl_dataset *d, mtl__scaler_kind kind, int64_t knots,
                               float *mean, float *scale, float *knot, mtl_error *err)
{
    mtl__ordered *a;
    int64_t bytes;
    mtl_status st = alloc_order(d, "scaler by order", &a, &bytes, err);
    if (st != MTL_OK)
        return st;
    for (int64_t j = 0; j < d->inputs; j++) {
        const int64_t n = sort_column(d, j, a);
        mean[j] = 0;
        scale[j] = 1;
        if (kind != MTL__SCALER_QUANTILE)
            fit_sorted(d, a, n, j, kind, &mean[j], &scale[j]);
        fit_knots(d, a, n, j, knots, knot + j * knots);
    }
    mtl__free(&d->ctx->al, a, bytes);
    return MTL_OK;
}

mtl_status mtl__scaler_fit_inputs_by(const mtl_dataset *d, mtl__scaler_kind kind, int64_t knots,
                                     float *mean, float *scale, float *knot, mtl_error *err)
{
    const bool is_sparse = mtl__dataset_is_sparse(d);
    if (kind == MTL__SCALER_MAX_ABS || (kind == MTL__SCALER_AUTO && is_sparse))
        return fit_max_abs(d, mean, scale, err);
    if (is_sparse)
        return MTL_FAIL(err, MTL_ERR_STATE, "scaler: sparse inputs have max_abs alone");
    if (kind <= MTL__SCALER_STANDARD)
        return mtl__scaler_fit_inputs(d, mean, scale, err);
    return fit_by_order(d, kind, knots, mean, scale, knot, err);
}

mtl_status mtl__scaler_fit_inputs(const mtl_dataset *d, float *mean, float *scale, mtl_error *err)
{
    return fit(d, NULL, d->inputs, mean, scale, err);
}

mtl_status mtl__scaler_fit_labels(const mtl_dataset *d, int64_t task, float *mean, float *scale,
                                  mtl_error *err)
{
    const mtl__labels *l = &d->labels[task];
    return fit(d, &l->y, l->cols, mean, scale, err);
}
