/* SPDX-License-Identifier: MIT */
#include "linear/design.h"

#include <math.h>
#include <string.h>

#include "solve/solve.h"

void mtl__standard_read(const mtl__standard *s, int64_t i, int64_t first, int64_t count,
                        double *out)
{
    const float *x = s->x + s->row[i] * s->stride + first;
    const double *mean = s->mean + first, *inverse = s->inverse + first;
    for (int64_t j = 0; j < count; j++) {
        const double z = ((double)x[j] - mean[j]) * inverse[j];
        out[j] = z == z ? z : 0;
    }
}

/* Two passes down the rows. A column whose deviation is within rounding of its mean is constant. */
void mtl__standard_fit(const mtl__standard *s, const double *weight, double *scratch)
{
    double *total = scratch, *square = scratch + s->cols;
    const size_t bytes = (size_t)s->cols * sizeof(double);
    for (int pass = 0; pass < 2; pass++) {
        memset(total, 0, bytes);
        memset(square, 0, bytes);
        for (int64_t i = 0; i < s->rows; i++) {
            const float *x = s->x + s->row[i] * s->stride;
            for (int64_t j = 0; j < s->cols; j++) {
                const double e = pass == 0 ? (double)x[j] : (double)x[j] - s->mean[j];
                const double w = e == e ? weight[i] : 0;
                total[j] += w;
                square[j] += w > 0 ? w * (pass == 0 ? e : e * e) : 0;
            }
        }
        for (int64_t j = 0; j < s->cols; j++) {
            const double mean = total[j] > 0 ? square[j] / total[j] : 0;
            if (pass == 0)
                s->mean[j] = mean;
            else
                s->inverse[j] = mean > 1e-26 * s->mean[j] * s->mean[j] ? 1 / sqrt(mean) : 0;
        }
    }
}

/* ---- Memory ---- */

/* Coordinates of at most 128 MB, for which what closed forms save is not lost to memory. */
bool mtl__design_has_basis(int64_t rows, int64_t cols)
{
    const int64_t m = mtl__min(rows, cols);
    return m <= MTL__LINEAR_BASIS && (double)rows * (double)m <= 0x1p24;
}

void mtl__design_take(mtl__design *d, mtl__arena *a)
{
    const int64_t n = d->s->rows, cols = d->s->cols, m = mtl__min(n, cols);
    const int64_t block = MTL__LINEAR_BLOCK * (int64_t)mtl__pool_slots(d->pool);
    d->scratch = mtl__arena_take(a, n + 2 * cols + m, sizeof(double));
    d->f = d->spread = NULL; /* of other rows, maybe */
    if (!d->wants_basis)
        return;
    d->f = mtl__arena_take(a, n * m, sizeof(double));
    d->product = mtl__arena_take(a, m * m, sizeof(double));
    d->values = mtl__arena_take(a, m, sizeof(double));
    const int64_t spans = m * MTL__LINEAR_SPAN;
    d->panel = mtl__arena_take(a, mtl__max(spans, block * cols), sizeof(double));
}

/* ---- Products ---- */

typedef struct product {
    int64_t m, span;
    const double *panel; /* [m, span] */
    double *out;         /* [m, m] */
} product;

static void product_job(void *arg, int64_t job, int slot)
{
    const product *p = arg;
    (void)slot;
    const int64_t first = job * MTL__LINEAR_BLOCK, end = mtl__min(p->m, first + MTL__LINEAR_BLOCK);
    for (int64_t j = 0; j < end; j++)
        for (int64_t i = mtl__max(first, j); i < end; i++)
            p->out[i * p->m + j] +=
                mtl__dot_f64(p->span, p->panel + i * p->span, p->panel + j * p->span);
}

static void add_product(const mtl__design *d, int64_t m, int64_t span)
{
    product p = {m, span, d->panel, d->product};
    const int64_t jobs = (m + MTL__LINEAR_BLOCK - 1) / MTL__LINEAR_BLOCK;
    mtl__pool_run(mtl__pool_pays(d->pool, m * m * span) ? d->pool : NULL, jobs, product_job, &p);
}

/* Means of products of the columns, over spans of rows. */
static void columns_product(const mtl__design *d)
{
    const int64_t n = d->s->rows, cols = d->s->cols;
    for (int64_t first = 0; first < n; first += MTL__LINEAR_SPAN) {
        const int64_t span = mtl__min(n - first, MTL__LINEAR_SPAN);
        for (int64_t r = 0; r < span; r++) {
            const double root = sqrt(d->weight[first + r]);
            mtl__standard_read(d->s, first + r, 0, cols, d->scratch);
            for (int64_t j = 0; j < cols; j++)
                d->panel[j * span + r] = root * d->scratch[j];
        }
        add_product(d, cols, span);
    }
}

/* Products of the rows, each times the root of its weight, over spans of columns. */
static void rows_product(const mtl__design *d)
{
    const int64_t n = d->s->rows, cols = d->s->cols;
    for (int64_t first = 0; first < cols; first += MTL__LINEAR_SPAN) {
        const int64_t span = mtl__min(cols - first, MTL__LINEAR_SPAN);
        for (int64_t i = 0; i < n; i++) {
            const double root = sqrt(d->weight[i]);
            double *row = d->panel + i * span;
            mtl__standard_read(d->s, i, first, span, row);
            for (int64_t j = 0; j < span; j++)
                row[j] *= root;
        }
        add_product(d, n, span);
    }
}

/* ---- Axes ---- */

static void coordinates_job(void *arg, int64_t job, int slot)
{
    const mtl__design *d = arg;
    const int64_t first = job * MTL__LINEAR_BLOCK, cols = d->s->cols;
    const int64_t count = mtl__min(d->s->rows - first, MTL__LINEAR_BLOCK);
    double *rows = d->panel + slot * MTL__LINEAR_BLOCK * cols;
    for (int64_t r = 0; r < count; r++)
        mtl__standard_read(d->s, first + r, 0, cols, rows + r * cols);
    for (int64_t j = 0; j < d->k; j++)
        for (int64_t r = 0; r < count; r++)
            d->f[(first + r) * d->k + j] = mtl__dot_f64(cols, d->axes + j * cols, rows + r * cols);
}

static void find_coordinates(mtl__design *d)
{
    const int64_t n = d->s->rows;
    if (!d->by_rows) {
        const int64_t jobs = (n + MTL__LINEAR_BLOCK - 1) / MTL__LINEAR_BLOCK;
        mtl__pool *pool = mtl__pool_pays(d->pool, n * d->k * d->s->cols) ? d->pool : NULL;
        mtl__pool_run(pool, jobs, coordinates_job, d);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d->k; j++)
            d->f[i * d->k + j] = d->axes[j * n + i] * sqrt(d->spread[j] / d->weight[i]);
}

bool mtl__design_find_basis(mtl__design *d)
{
    const int64_t n = d->s->rows, m = mtl__min(n, d->s->cols);
    d->by_rows = n < d->s->cols;
    memset(d->product, 0, (size_t)(m * m) * sizeof(double));
    if (d->by_rows)
        rows_product(d);
    else
        columns_product(d);
    if (!mtl__eigen_symmetric(m, d->product, m, d->values, d->scratch))
        return false;
    /* What rounding leaves of 0 is no axis. */
    const double least = m > 0 ? d->values[m - 1] * 1e-13 * (double)m : 0;
    d->k = 0;
    while (d->k < m && d->values[m - 1 - d->k] > least)
        d->k++;
    d->axes = d->product + (m - d->k) * m;
    d->spread = d->values + (m - d->k);
    find_coordinates(d);
    return true;
}

const double *mtl__design_row(const mtl__design *d, int64_t i, double *scratch)
{
    if (d->f)
        return d->f + i * d->k;
    mtl__standard_read(d->s, i, 0, d->s->cols, scratch);
    return scratch;
}

/* An axis found from rows is the sum over rows of q_i sqrt(w_i / spread) z_i. */
void mtl__design_weights(const mtl__design *d, const double *theta, double *v)
{
    const int64_t n = d->s->rows, cols = d->s->cols;
    double *of_row = d->scratch, *z = d->scratch + n;
    if (!d->f) {
        memcpy(v, theta, (size_t)cols * sizeof *v);
        return;
    }
    memset(v, 0, (size_t)cols * sizeof *v);
    if (!d->by_rows) {
        for (int64_t j = 0; j < d->k; j++)
            mtl__axpy_f64(cols, theta[j], d->axes + j * cols, v);
        return;
    }
    memset(of_row, 0, (size_t)n * sizeof *of_row);
    for (int64_t j = 0; j < d->k; j++)
        mtl__axpy_f64(n, theta[j] / sqrt(d->spread[j]), d->axes + j * n, of_row);
    for (int64_t i = 0; i < n; i++) {
        mtl__standard_read(d->s, i, 0, cols, z);
        mtl__axpy_f64(cols, of_row[i] * sqrt(d->weight[i]), z, v);
    }
}
