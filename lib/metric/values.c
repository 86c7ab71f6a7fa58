/* SPDX-License-Identifier: MIT */
/* Metrics of values. Several columns give the mean of the columns' figures, over those that have
   one. */
#include "metric/metric_priv.h"

typedef struct column {
    double weight, first, mean;     /* of the labels; first: the first label; mean: above first */
    double error, residual, spread; /* sums: |e| or e^2; e^2; squared deviations of labels */
} column;

static mtl_status make_columns(const mtl__metric_args *a, column **out, mtl_error *err)
{
    *out = mtl__alloc_zero(a->al, a->outputs * (int64_t)sizeof **out);
    if (*out)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)a->outputs);
}

static void free_columns(const mtl__metric_args *a, column *c)
{
    mtl__free(a->al, c, a->outputs * (int64_t)sizeof *c);
}

/* ---- Mean errors ---- */

static double loss_of(bool is_squared, float p, float y)
{
    double e = (double)p - (double)y;
    return is_squared ? e * e : fabs(e);
}

static void add_errors(const mtl__metric_args *a, bool is_squared, column *c)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        for (int64_t j = 0; j < a->outputs; j++)
            if (!isnan(y[j])) {
                c[j].weight += w;
                c[j].error += w * loss_of(is_squared, p[j], y[j]);
            }
    }
}

/* Standard error of the sum of the columns' figures. A row moves the mean of a column by
   w (loss - mean) / sum w and its root by that over 2 root (delta method); what it moves in several
   columns adds up, since the columns of a row are not independent. */
static double error_of_sum(const mtl__metric_args *a, bool is_squared, const column *c)
{
    double squares = 0, sum_w = 0, sum_w2 = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        double influence = 0;
        bool has_label = false;
        for (int64_t j = 0; j < a->outputs; j++) {
            if (isnan(y[j]) || !(c[j].weight > 0))
                continue;
            has_label = true;
            double mean = c[j].error / c[j].weight;
            double slope = !is_squared ? 1 : mean > 0 ? 0.5 / sqrt(mean) : 0;
            influence += slope * w * (loss_of(is_squared, p[j], y[j]) - mean) / c[j].weight;
        }
        squares += influence * influence;
        sum_w += has_label ? w : 0;
        sum_w2 += has_label ? w * w : 0;
    }
    return sqrt(squares * mtl__metric_bessel(sum_w, sum_w2));
}

static mtl_status mean_error(const mtl__metric_args *a, bool is_squared, double *value,
                             double *standard_error, mtl_error *err)
{
    column *c;
    double sum = 0, columns = 0;
    mtl_status st = make_columns(a, &c, err);
    if (st != MTL_OK)
        return st;
    add_errors(a, is_squared, c);
    for (int64_t j = 0; j < a->outputs; j++)
        if (c[j].weight > 0) {
            double mean = c[j].error / c[j].weight;
            sum += is_squared ? sqrt(mean) : mean;
            columns++;
        }
    if (columns > 0) {
        *value = sum / columns;
        *standard_error = error_of_sum(a, is_squared, c) / columns;
    }
    free_columns(a, c);
    return MTL_OK;
}

mtl_status mtl__metric_rmse(const mtl__metric_args *a, const double *params, double *value,
                            double *standard_error, mtl_error *err)
{
    (void)params;
    return mean_error(a, true, value, standard_error, err);
}

mtl_status mtl__metric_mae(const mtl__metric_args *a, const double *params, double *value,
                           double *standard_error, mtl_error *err)
{
    (void)params;
    return mean_error(a, false, value, standard_error, err);
}

/* ---- R2 ---- */

/* Labels are taken from the column's first one on (the last one before the first weight counts as
   well), so that equal labels have a spread of exactly 0. */
static void add_means(const mtl__metric_args *a, column *c)
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

static void add_spread(const mtl__metric_args *a, column *c)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        for (int64_t j = 0; j < a->outputs; j++) {
            if (isnan(y[j]))
                continue;
            double deviation = y[j] - c[j].first - c[j].mean;
            c[j].spread += w * deviation * deviation;
            c[j].residual += w * loss_of(true, p[j], y[j]);
        }
    }
}

/* 1 - residual / spread; undefined where all labels are equal. */
mtl_status mtl__metric_r2(const mtl__metric_args *a, const double *params, double *value,
                          double *standard_error, mtl_error *err)
{
    (void)params, (void)standard_error; /* none is defined */
    column *c;
    double sum = 0, columns = 0;
    mtl_status st = make_columns(a, &c, err);
    if (st != MTL_OK)
        return st;
    add_means(a, c);
    add_spread(a, c);
    for (int64_t j = 0; j < a->outputs; j++)
        if (c[j].spread > 0) {
            sum += 1 - c[j].residual / c[j].spread;
            columns++;
        }
    if (columns > 0)
        *value = sum / columns;
    free_columns(a, c);
    return MTL_OK;
}
