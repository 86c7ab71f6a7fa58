/* SPDX-License-Identifier: MIT */
#include "transfer/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/math64.h"
#include "mem/arena.h"
#include "solve/solve.h"

static const double penalty[MTL__HEAD_PENALTIES] = {3, 1, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0001};

enum { STEPS = 400 };

bool mtl__head_serves(int32_t kind)
{
    return kind == MTL_BINARY || kind == MTL_MULTICLASS || kind == MTL_MULTILABEL ||
           kind == MTL_REGRESSION;
}

static double sigmoid(double z)
{
    const double e = mtl__exp_f64(-fabs(z));
    return (z > 0 ? 1 : e) / (1 + e);
}

static void softmax(int64_t n, double *z)
{
    double highest = z[0], sum = 0;
    for (int64_t j = 1; j < n; j++)
        highest = z[j] > highest ? z[j] : highest;
    for (int64_t j = 0; j < n; j++)
        sum += z[j] = mtl__exp_f64(z[j] - highest);
    for (int64_t j = 0; j < n; j++)
        z[j] /= sum;
}

void mtl__head_link(int32_t kind, int64_t outputs, double *z)
{
    if (kind == MTL_MULTICLASS)
        softmax(outputs, z);
    for (int64_t j = 0; j < outputs; j++)
        if (kind == MTL_BINARY || kind == MTL_MULTILABEL)
            z[j] = sigmoid(z[j]);
        else if (kind == MTL_COUNT)
            z[j] = mtl__exp_f64(z[j]);
        else if (kind == MTL_QUANTILE && j > 0) /* loss/rows.c */
            z[j] = z[j - 1] + mtl__log_f64(1 + mtl__exp_f64(z[j]));
}

/* Rows that half a row of each class come to: of an output its two. */
static double halves_of(const mtl__head_data *d)
{
    return d->kind == MTL_REGRESSION ? 0 : d->kind == MTL_MULTICLASS ? (double)d->outputs / 2 : 1;
}

/* --- features ----------------------------------------------------------------------------------- */

/* The features in the coordinates of their singular vectors, and what an iteration needs. */
typedef struct solver {
    const mtl__head_data *d;
    int64_t small, wide;      /* vectors; coordinates with the intercept's */
    double *psi;              /* [rows, cols], centred and scaled */
    double *mean, *scale;     /* [cols] */
    double *square;           /* [wide]: sums of squares of the coordinates */
    double *matrix, *scratch; /* [small, small], [small] */
    double *z;                /* [rows, wide] */
    double *back;             /* [small, cols]: features' weights of a coordinate */
    double *at, *ahead, *gradient; /* [outputs, wide] */
    double *out;              /* [outputs] of a row */
    double curvature;         /* bound of the loss's, weights included */
    double weight_mean;
} solver;

static void plan(solver *s, mtl__arena *a)
{
    const mtl__head_data *d = s->d;
    const struct {
        double **p;
        int64_t rows, cols;
    } list[] = {
        {&s->psi, d->rows, d->cols},      {&s->mean, d->cols, 1},
        {&s->scale, d->cols, 1},          {&s->square, s->wide, 1},
        {&s->matrix, s->small, s->small}, {&s->scratch, s->small, 1},
        {&s->z, d->rows, s->wide},        {&s->back, s->small, d->cols},
        {&s->at, d->outputs, s->wide},    {&s->ahead, d->outputs, s->wide},
        {&s->gradient, d->outputs, s->wide}, {&s->out, d->outputs, 1},
    };
    for (int i = 0; i < MTL__COUNT_OF(list); i++) {
        int64_t bytes = 0;
        if (!mtl__mul_size(list[i].cols, (int64_t)sizeof(double), &bytes))
            a->overflow = true;
        *list[i].p = mtl__arena_take(a, list[i].rows, bytes);
    }
}

static double mean_of(const mtl__head_data *d, int64_t j)
{
    double sum = 0;
    for (int64_t i = 0; i < d->rows; i++)
        sum += (double)d->phi[i * d->ld + j];
    return sum / (double)d->rows;
}

static double deviation_of(const mtl__head_data *d, int64_t j, double mean)
{
    double square = 0;
    for (int64_t i = 0; i < d->rows; i++) {
        const double x = (double)d->phi[i * d->ld + j] - mean;
        square += x * x;
    }
    return sqrt(square / (double)d->rows);
}

/* The least deviation that is believed of a column that a network made: a part of the usual one. */
static double least_deviation(const solver *s)
{
    const mtl__head_data *d = s->d;
    double square = 0;
    for (int64_t j = d->learnt; j < d->cols; j++)
        square += s->scale[j] * s->scale[j];
    return d->learnt < d->cols ? 0.3 * sqrt(square / (double)(d->cols - d->learnt)) : 0;
}

/* Columns of a block share its variance evenly; a constant column takes no part. */
static void standardise(solver *s)
{
    const mtl__head_data *d = s->d;
    const int64_t blocks = d->block < d->cols ? 2 : 1;
    for (int64_t j = 0; j < d->cols; j++) {
        s->mean[j] = mean_of(d, j);
        s->scale[j] = deviation_of(d, j, s->mean[j]);
    }
    const double least = least_deviation(s);
    for (int64_t j = 0; j < d->cols; j++) {
        const int64_t of_block = j < d->block ? d->block : d->cols - d->block;
        const bool varies = s->scale[j] > 1e-6 * (1e-6 + fabs(s->mean[j]));
        const double deviation =
            j >= d->learnt && s->scale[j] < least ? least : s->scale[j];
        s->scale[j] = varies ? 1 / (deviation * sqrt((double)(of_block * blocks))) : 0;
        for (int64_t i = 0; i < d->rows; i++)
            s->psi[i * d->cols + j] = ((double)d->phi[i * d->ld + j] - s->mean[j]) * s->scale[j];
    }
}

/* Products of rows, or of columns, whichever are fewer. */
static void multiply(solver *s)
{
    const int64_t n = s->d->rows, p = s->d->cols;
    memset(s->matrix, 0, (size_t)(s->small * s->small) * sizeof *s->matrix);
    for (int64_t i = 0; i < n; i++) {
        const double *row = s->psi + i * p;
        for (int64_t j = 0; j <= i && n <= p; j++)
            s->matrix[i * n + j] = mtl__dot_f64(p, row, s->psi + j * p);
        for (int64_t a = 0; a < p && n > p; a++)
            mtl__axpy_f64(a + 1, row[a], row, s->matrix + a * p);
    }
}

/* Coordinates z and the way back; directions in which the features do not vary stay 0. */
static bool rotate(solver *s)
{
    const int64_t n = s->d->rows, p = s->d->cols, r = s->small;
    multiply(s);
    if (r > 0 && !mtl__eigen_symmetric(r, s->matrix, r, s->square, s->scratch))
        return false;
    const double least = r ? 1e-10 * s->square[r - 1] : 0;
    for (int64_t k = 0; k < r; k++) {
        double *v = s->matrix + k * r, *back = s->back + k * p;
        if (!(s->square[k] > least)) {
            s->square[k] = 0;
            continue;
        }
        const double length = sqrt(s->square[k]);
        if (n > p)
            memcpy(back, v, (size_t)p * sizeof *back);
        for (int64_t i = 0; i < n && n <= p; i++)
            mtl__axpy_f64(p, v[i] / length, s->psi + i * p, back);
        for (int64_t i = 0; i < n; i++)
            s->z[i * s->wide + k] = n <= p ? v[i] * length : mtl__dot_f64(p, s->psi + i * p, v);
    }
    for (int64_t i = 0; i < n; i++)
        s->z[i * s->wide + r] = 1;
    s->square[r] = (double)n + halves_of(s->d);
    return true;
}

/* --- the minimum -------------------------------------------------------------------------------- */

static double weight_of(const solver *s, int64_t row)
{
    return s->d->w ? (double)s->d->w[row] / s->weight_mean : 1;
}

static void bound_curvature(solver *s)
{
    const mtl__head_data *d = s->d;
    double sum = 0, most = 0;
    s->weight_mean = 1;
    for (int64_t i = 0; i < d->rows && d->w; i++)
        sum += (double)d->w[i];
    if (sum > 0)
        s->weight_mean = sum / (double)d->rows;
    for (int64_t i = 0; i < d->rows; i++)
        most = weight_of(s, i) > most ? weight_of(s, i) : most;
    s->curvature = most * (d->kind == MTL_REGRESSION ? 1 : d->kind == MTL_MULTICLASS ? 0.5 : 0.25);
}

/* Of the losses at the point ahead; elements without a label have none. */
static void slope(solver *s)
{
    const mtl__head_data *d = s->d;
    memset(s->gradient, 0, (size_t)(d->outputs * s->wide) * sizeof *s->gradient);
    for (int64_t i = 0; i < d->rows; i++) {
        const double *z = s->z + i * s->wide;
        for (int64_t c = 0; c < d->outputs; c++) {
            s->out[c] = mtl__dot_f64(s->wide, s->ahead + c * s->wide, z);
            if (d->offset)
                s->out[c] += (double)d->offset[i * d->outputs + c];
        }
        mtl__head_link(d->kind, d->outputs, s->out);
        for (int64_t c = 0; c < d->outputs; c++) {
            const float y = d->y[i * d->outputs + c];
            if (!isnan(y))
                mtl__axpy_f64(s->wide, weight_of(s, i) * (s->out[c] - (double)y), z,
                              s->gradient + c * s->wide);
        }
    }
}

/* Half a row of each class where all features are at their means: with none of them the head is that of
   mtl__head_constant(), and that of a single class stays finite. */
static void add_halves(solver *s)
{
    const mtl__head_data *d = s->d;
    const double rows = halves_of(d), even = d->kind == MTL_MULTICLASS ? 1 / (double)d->outputs : 0.5;
    for (int64_t c = 0; c < d->outputs; c++)
        s->out[c] = s->ahead[c * s->wide + s->small];
    mtl__head_link(d->kind, d->outputs, s->out);
    for (int64_t c = 0; c < d->outputs && rows > 0; c++)
        s->gradient[c * s->wide + s->small] += rows * (s->out[c] - even);
}

/* One step of every coordinate by its own bound; returns how far, against how far from 0, both in the
   bound's norm. turn: sum by which the momentum points uphill. */
static double step(solver *s, double lambda, double momentum, double *turn)
{
    const int64_t total = s->d->outputs * s->wide;
    double moved = 0, size = 0;
    *turn = 0;
    for (int64_t i = 0; i < total; i++) {
        const int64_t k = i % s->wide;
        const double pull = k == s->small ? 0 : lambda;
        const double bound = s->curvature * s->square[k] + pull;
        if (!(bound > 0))
            continue;
        const double next = s->ahead[i] - (s->gradient[i] + pull * s->ahead[i]) / bound;
        const double by = next - s->at[i];
        *turn += bound * (s->ahead[i] - next) * by;
        moved += bound * by * by;
        size += bound * next * next;
        s->at[i] = next;
        s->ahead[i] = next + momentum * by;
    }
    return sqrt(moved / (size + 1e-12));
}

static void minimise(solver *s, double lambda, double tolerance)
{
    const int64_t total = s->d->outputs * s->wide;
    double before = 1, turn;
    memcpy(s->ahead, s->at, (size_t)total * sizeof *s->at);
    for (int i = 0; i < STEPS; i++) {
        const double now = (1 + sqrt(1 + 4 * before * before)) / 2;
        slope(s);
        add_halves(s);
        if (step(s, lambda, (before - 1) / now, &turn) < tolerance)
            return;
        before = now;
        if (turn > 0) {
            before = 1;
            memcpy(s->ahead, s->at, (size_t)total * sizeof *s->at);
        }
    }
}

/* Back to weights of the features as they came. */
static void write_head(const solver *s, double *out)
{
    const mtl__head_data *d = s->d;
    for (int64_t c = 0; c < d->outputs; c++) {
        double *w = out + c * (d->cols + 1);
        const double *at = s->at + c * s->wide;
        memset(w, 0, (size_t)d->cols * sizeof *w);
        for (int64_t k = 0; k < s->small; k++)
            mtl__axpy_f64(d->cols, at[k], s->back + k * d->cols, w);
        w[d->cols] = at[s->small];
        for (int64_t j = 0; j < d->cols; j++) {
            w[j] *= s->scale[j];
            w[d->cols] -= w[j] * s->mean[j];
        }
    }
}

mtl_status mtl__head_path(const mtl__head_data *d, const mtl__allocator *al, int64_t first,
                          int64_t count, double tolerance, double *out, mtl_error *err)
{
    const int64_t small = mtl__min(d->rows, d->cols);
    solver s = {.d = d, .small = small, .wide = small + 1};
    mtl__arena arena = {0};
    plan(&s, &arena);
    if (!mtl__arena_reserve(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a head on %lld features",
                        (long long)d->cols);
    plan(&s, &arena);
    standardise(&s);
    bound_curvature(&s);
    const bool done = rotate(&s);
    for (int64_t i = 0; i < count && done; i++) {
        minimise(&s, penalty[first + i] * (double)d->rows, tolerance);
        write_head(&s, out + i * d->outputs * (d->cols + 1));
    }
    mtl__arena_release(&arena, al);
    return done ? MTL_OK
                : MTL_FAIL(err, MTL_ERR_DIVERGED, "the features of a head are not finite");
}

/* --- no features -------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Quantiles of the labels, between the two nearest. Labels stand in the first column. */
static mtl_status quantiles(const mtl__head_data *d, const float *quantile,
                            const mtl__allocator *al, double *out, mtl_error *err)
{
    float *sorted = mtl__alloc_array(al, d->rows, sizeof *sorted);
    int64_t n = 0;
    if (!sorted)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for quantiles");
    for (int64_t i = 0; i < d->rows; i++)
        if (!isnan(d->y[i * d->outputs]))
            sorted[n++] = d->y[i * d->outputs];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t j = 0; j < d->outputs; j++) {
        const double q = quantile ? (double)quantile[j]
                                  : (double)(j + 1) / (double)(d->outputs + 1);
        const double at = q * (double)(n - 1);
        const int64_t low = (int64_t)at, high = mtl__min(low + 1, n - 1);
        out[j] = n ? (double)sorted[low] +
                         (at - (double)low) * ((double)sorted[high] - (double)sorted[low])
                   : 0;
    }
    for (int64_t j = d->outputs - 1; j > 0; j--) { /* as the link takes them */
        const double gap = out[j] - out[j - 1];
        out[j] = mtl__log_f64(mtl__exp_f64(gap > 1e-3 ? gap : 1e-3) - 1);
    }
    mtl__free(al, sorted, d->rows * (int64_t)sizeof *sorted);
    return MTL_OK;
}

mtl_status mtl__head_constant(const mtl__head_data *d, const float *quantile,
                              const mtl__allocator *al, double *out, mtl_error *err)
{
    if (d->kind == MTL_QUANTILE)
        return quantiles(d, quantile, al, out, err);
    for (int64_t j = 0; j < d->outputs; j++) {
        double sum = 0, total = 0, rows = 0;
        for (int64_t i = 0; i < d->rows; i++) {
            const float y = d->y[i * d->outputs + j];
            const double w = d->w ? (double)d->w[i] : 1;
            if (isnan(y))
                continue;
            sum += w * (double)y;
            total += w;
            rows++;
        }
        if (total > 0) { /* weights of mean 1, so that half a row is one */
            sum *= rows / total;
            total = rows;
        }
        const double rest = total - sum + 0.5;
        sum += d->kind == MTL_REGRESSION ? 0 : 0.5;
        out[j] = d->kind == MTL_REGRESSION   ? (total > 0 ? sum / total : 0)
                 : d->kind == MTL_MULTICLASS ? mtl__log_f64(sum)
                 : d->kind == MTL_COUNT      ? mtl__log_f64(sum / (total + 0.5))
                                             : mtl__log_f64(sum / rest);
    }
    return MTL_OK;
}
