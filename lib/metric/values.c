/* SPDX-License-Identifier: MIT */
/* Metrics of values. Several columns give the mean of the columns' figures, over those that have
   one. */
#include "base/math64.h"
#include "metric/metric_priv.h"

typedef struct column_sums {
    double weight, first, mean;     /* of the labels; first: the first label; mean: above first */
    double error, residual, spread; /* sums: losses; e^2; squared deviations of labels */
} column_sums;

static mtl_status make_columns(const mtl__metric_args *a, column_sums **out, mtl_error *err)
{
    *out = mtl__alloc_zero(a->al, a->outputs * (int64_t)sizeof **out);
    if (*out)
        return MTL_OK;
    return mtl__metric_no_memory(a, err);
}

static void free_columns(const mtl__metric_args *a, column_sums *c)
{
    mtl__free(a->al, c, a->outputs * (int64_t)sizeof *c);
}

/* ---- Mean errors ---- */

/* What a prediction costs; its mean over rows is the figure of a column, or the root of that. */
typedef struct cost {
    double (*of)(double p, double y, double q);
    double q;
    bool has_root;
} cost;

static double squared(double p, double y, double q)
{
    (void)q;
    return (p - y) * (p - y);
}

static double absolute(double p, double y, double q)
{
    (void)q;
    return fabs(p - y);
}

/* The loss whose mean the q-quantile makes least (Koenker & Bassett 1978). */
static double pinball(double p, double y, double q)
{
    return y >= p ? q * (y - p) : (1 - q) * (p - y);
}

/* 2 (y log(y / p) - y + p), of a rate p > 0 and a count y >= 0. */
static double deviance(double p, double y, double q)
{
    (void)q;
    if (!(p > 0 && y >= 0))
        return (double)NAN;
    return 2 * ((y > 0 ? y * mtl__log_f64(y / p) : 0) - y + p);
}

static double cost_of(const cost *k, float p, float y)
{
    return k->of((double)p, (double)y, k->q);
}

static void add_errors(const mtl__metric_args *a, const cost *k, column_sums *c)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        for (int64_t j = 0; j < a->outputs; j++)
            if (!isnan(y[j]) && w > 0) {
                c[j].weight += w;
                c[j].error += w * cost_of(k, p[j], y[j]);
            }
    }
}

/* Standard error of the sum of the columns' figures. A row moves the mean of a column by
   w (loss - mean) / sum w and its root by that over 2 root (delta method); what it moves in several
   columns adds up, since the columns of a row are not independent. */
static double error_of_sum(const mtl__metric_args *a, const cost *k, const column_sums *c)
{
    double squares = 0, sum_w = 0, sum_w2 = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        double influence = 0;
        bool has_label = false;
        for (int64_t j = 0; j < a->outputs; j++) {
            if (isnan(y[j]) || !(w > 0))
                continue;
            has_label = true;
            double mean = c[j].error / c[j].weight;
            double slope = !k->has_root ? 1 : mean > 0 ? 0.5 / sqrt(mean) : 0;
            influence += slope * w * (cost_of(k, p[j], y[j]) - mean) / c[j].weight;
        }
        squares += influence * influence;
        sum_w += has_label ? w : 0;
        sum_w2 += has_label ? w * w : 0;
    }
    return sqrt(squares * mtl__metric_bessel(sum_w, sum_w2));
}

static mtl_status mean_cost(const mtl__metric_args *a, cost k, double *value,
                            double *standard_error, mtl_error *err)
{
    column_sums *c;
    double sum = 0, columns = 0;
    mtl_status st = make_columns(a, &c, err);
    if (st != MTL_OK)
        return st;
    add_errors(a, &k, c);
    for (int64_t j = 0; j < a->outputs; j++)
        if (c[j].weight > 0) {
            double mean = c[j].error / c[j].weight;
            sum += k.has_root ? sqrt(mean) : mean;
            columns++;
        }
    if (columns > 0) {
        *value = sum / columns;
        *standard_error = error_of_sum(a, &k, c) / columns;
    }
    free_columns(a, c);
    return MTL_OK;
}

mtl_status mtl__metric_rmse(const mtl__metric_args *a, const double *params, double *value,
                            double *standard_error, mtl_error *err)
{
    (void)params;
    return mean_cost(a, (cost){squared, 0, true}, value, standard_error, err);
}

mtl_status mtl__metric_mae(const mtl__metric_args *a, const double *params, double *value,
                           double *standard_error, mtl_error *err)
{
    (void)params;
    return mean_cost(a, (cost){absolute, 0, false}, value, standard_error, err);
}

mtl_status mtl__metric_pinball(const mtl__metric_args *a, const double *params, double *value,
                               double *standard_error, mtl_error *err)
{
    return mean_cost(a, (cost){pinball, params[0], false}, value, standard_error, err);
}

mtl_status mtl__metric_poisson_deviance(const mtl__metric_args *a, const double *params,
                                        double *value, double *standard_error, mtl_error *err)
{
    (void)params;
    return mean_cost(a, (cost){deviance, 0, false}, value, standard_error, err);
}

/* ---- The median of errors ---- */

static double error_of_row(const mtl__metric_args *a, int64_t row, int64_t column)
{
    return absolute(mtl__metric_predicted(a, row)[column], mtl__metric_label(a, row)[column], 0);
}

/* The rows of a column by |e|; returns their number. Rows without weight are left out. */
static int64_t sort_errors(const mtl__metric_args *a, int64_t column, mtl__ordered *rows)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->rows; i++)
        if (!isnan(mtl__metric_label(a, i)[column]) && mtl__metric_weight(a, i) > 0)
            rows[n++] = (mtl__ordered){mtl__order_key((float)error_of_row(a, i, column)), i};
    mtl__order_sort(n, rows, rows + n);
    return n;
}

/* The error up to which half of the weight lies; where that is a whole interval its middle. */
static double median_of(const mtl__metric_args *a, int64_t column, int64_t n,
                        const mtl__ordered *rows)
{
    double total = 0, below = 0;
    int64_t i = 0;
    for (int64_t k = 0; k < n; k++)
        total += mtl__metric_weight(a, rows[k].row);
    for (; i < n - 1; i++) {
        below += mtl__metric_weight(a, rows[i].row);
        if (2 * below >= total)
            break;
    }
    double e = error_of_row(a, rows[i].row, column);
    return 2 * below == total ? (e + error_of_row(a, rows[i + 1].row, column)) / 2 : e;
}

mtl_status mtl__metric_median_error(const mtl__metric_args *a, const double *params, double *value,
                                    double *standard_error, mtl_error *err)
{
    (void)params, (void)standard_error; /* none is defined */
    int64_t bytes;
    double sum = 0, columns = 0;
    mtl__ordered *rows = mtl__metric_ordered(a, &bytes);
    if (!rows)
        return mtl__metric_no_memory(a, err);
    for (int64_t j = 0; j < a->outputs; j++) {
        int64_t n = sort_errors(a, j, rows);
        sum += n ? median_of(a, j, n, rows) : 0;
        columns += n > 0;
    }
    if (columns > 0)
        *value = sum / columns;
    mtl__free(a->al, rows, bytes);
    return MTL_OK;
}

/* ---- Errors against those of the mean ---- */

/* Labels are taken from the column's first one on (the last one before the first weight counts as
   well), so that equal labels have a spread of exactly 0. */
static void add_means(const mtl__metric_args *a, column_sums *c)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        for (int64_t j = 0; j < a->outputs; j++) {
            if (isnan(y[j]))
                continue;
            if (c[j].weight == 0)
                c[j].first = y[j];
            c[j].weight += w;
            c[j].mean += w * (y[j] - c[j].first);
        }
    }
    for (int64_t j = 0; j < a->outputs; j++)
        c[j].mean = c[j].weight > 0 ? c[j].mean / c[j].weight : 0;
}

static void add_spread(const mtl__metric_args *a, column_sums *c)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        for (int64_t j = 0; j < a->outputs; j++) {
            if (isnan(y[j]))
                continue;
            double deviation = y[j] - c[j].first - c[j].mean;
            c[j].spread += w * deviation * deviation;
            c[j].residual += w * squared(p[j], y[j], 0);
        }
    }
}

/* Undefined where all labels are equal. */
static mtl_status against_mean(const mtl__metric_args *a, bool has_root, double *value,
                               mtl_error *err)
{
    column_sums *c;
    double sum = 0, columns = 0;
    mtl_status st = make_columns(a, &c, err);
    if (st != MTL_OK)
        return st;
    add_means(a, c);
    add_spread(a, c);
    for (int64_t j = 0; j < a->outputs; j++)
        if (c[j].spread > 0) {
            double ratio = c[j].residual / c[j].spread;
            sum += has_root ? sqrt(ratio) : 1 - ratio;
            columns++;
        }
    if (columns > 0)
        *value = sum / columns;
    free_columns(a, c);
    return MTL_OK;
}

mtl_status mtl__metric_r2(const mtl__metric_args *a, const double *params, double *value,
                          double *standard_error, mtl_error *err)
{
    (void)params, (void)standard_error; /* none is defined */
    return against_mean(a, false, value, err);
}

mtl_status mtl__metric_relative_rmse(const mtl__metric_args *a, const double *params, double *value,
                                     double *standard_error, mtl_error *err)
{
    (void)params, (void)standard_error; /* none is defined */
    return against_mean(a, true, value, err);
}
