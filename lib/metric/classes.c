/* SPDX-License-Identifier: MIT */
/* Metrics of decisions and probabilities. A probability above 0.5 decides for class 1, the highest
   one (the first of equals) for a class. */
#include <float.h>

#include "base/math64.h"
#include "metric/metric_priv.h"

int64_t mtl__metric_decide(const mtl__metric_args *a, const float *p)
{
    int64_t best = 0;
    if (a->outputs == 1)
        return p[0] > 0.5f;
    for (int64_t j = 1; j < a->outputs; j++)
        if (p[j] > p[best])
            best = j;
    return best;
}

/* ---- Means over labels ---- */

typedef struct row_sum {
    double sum, labels;
} row_sum;

/* Sum of a figure over the labels of a row, and their number. */
typedef row_sum row_fn(const mtl__metric_args *a, const double *params, int64_t row);

/* R = sum w s / sum w m over rows with s and m from fn. The labels of a row go together, so the
   standard error is that of a ratio of sums over rows: sqrt(sum (w (s - R m))^2) / sum w m (Cochran
   1977, section 2.11). With one label per row and equal weights this is sqrt(p (1 - p) / n) for a
   share and, with `is_sample`, the deviation of the sample over sqrt(n) for a mean. */
static mtl_status mean_over_labels(const mtl__metric_args *a, row_fn *fn, bool is_sample,
                                   const double *params, double *value, double *standard_error)
{
    double sum = 0, labels = 0, weight = 0, weight2 = 0, squares = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        double w = mtl__metric_weight(a, i);
        row_sum r = fn(a, params, i);
        sum += w * r.sum;
        labels += w * r.labels;
        weight += r.labels > 0 ? w : 0;
        weight2 += r.labels > 0 ? w * w : 0;
    }
    if (!(labels > 0))
        return MTL_OK;
    *value = sum / labels;
    for (int64_t i = 0; i < a->rows; i++) {
        row_sum r = fn(a, params, i);
        double d = mtl__metric_weight(a, i) * (r.sum - *value * r.labels);
        squares += d * d;
    }
    if (is_sample)
        squares *= mtl__metric_bessel(weight, weight2);
    *standard_error = sqrt(squares) / labels;
    return MTL_OK;
}

static row_sum row_hits(const mtl__metric_args *a, const double *params, int64_t row)
{
    (void)params;
    const float *p = mtl__metric_predicted(a, row), *y = mtl__metric_label(a, row);
    row_sum r = {0, 0};
    if (a->label_cols == 1)
        return isnan(y[0]) ? r : (row_sum){mtl__metric_decide(a, p) == (int64_t)y[0], 1};
    for (int64_t j = 0; j < a->outputs; j++)
        if (!isnan(y[j])) {
            r.sum += (p[j] > 0.5f) == (y[j] > 0.5f);
            r.labels++;
        }
    return r;
}

/* A float32 probability is never nearer to 0 or 1 than this, as in scikit-learn >= 1.2. */
static double clipped(float p)
{
    return p < FLT_EPSILON ? FLT_EPSILON : p > 1 - FLT_EPSILON ? 1 - FLT_EPSILON : p;
}

static double binary_loss(float p, float y)
{
    return -mtl__log_f64(y > 0.5f ? clipped(p) : 1 - clipped(p));
}

static row_sum row_log_loss(const mtl__metric_args *a, const double *params, int64_t row)
{
    (void)params;
    const float *p = mtl__metric_predicted(a, row), *y = mtl__metric_label(a, row);
    row_sum r = {0, 0};
    if (mtl__metric_is_multiclass(a)) {
        double total = 0;
        if (isnan(y[0]))
            return r;
        for (int64_t j = 0; j < a->outputs; j++)
            total += clipped(p[j]);
        return (row_sum){-mtl__log_f64(clipped(p[(int64_t)y[0]]) / total), 1};
    }
    for (int64_t j = 0; j < a->outputs; j++)
        if (!isnan(y[j])) {
            r.sum += binary_loss(p[j], y[j]);
            r.labels++;
        }
    return r;
}

/* The squared distance of the probabilities from what came true (Brier 1950); with two classes half
   of it, the square of one error, so that it does not depend on the number of outputs. */
static row_sum row_brier(const mtl__metric_args *a, const double *params, int64_t row)
{
    const float *p = mtl__metric_predicted(a, row), *y = mtl__metric_label(a, row);
    const bool is_multiclass = mtl__metric_is_multiclass(a);
    row_sum r = {0, 0};
    (void)params;
    for (int64_t j = 0; j < a->outputs; j++) {
        const float label = y[is_multiclass ? 0 : j];
        if (isnan(label))
            continue;
        double e = (double)p[j] - (is_multiclass ? label == (float)j : label);
        r.sum += e * e;
        r.labels++;
    }
    if (is_multiclass && r.labels > 0)
        r = (row_sum){a->outputs == 2 ? r.sum / 2 : r.sum, 1};
    return r;
}

/* Of equal probabilities the later classes come first, as in scikit-learn. */
static row_sum row_top_k(const mtl__metric_args *a, const double *params, int64_t row)
{
    const float *p = mtl__metric_predicted(a, row), *y = mtl__metric_label(a, row);
    double before = 0;
    if (isnan(y[0]))
        return (row_sum){0, 0};
    const int64_t labelled = (int64_t)y[0];
    for (int64_t j = 0; j < a->outputs; j++)
        before += p[j] > p[labelled] || (p[j] == p[labelled] && j > labelled);
    return (row_sum){before < params[0], 1};
}

mtl_status mtl__metric_accuracy(const mtl__metric_args *a, const double *params, double *value,
                                double *standard_error, mtl_error *err)
{
    (void)err;
    return mean_over_labels(a, row_hits, false, params, value, standard_error);
}

mtl_status mtl__metric_log_loss(const mtl__metric_args *a, const double *params, double *value,
                                double *standard_error, mtl_error *err)
{
    (void)err;
    return mean_over_labels(a, row_log_loss, true, params, value, standard_error);
}

mtl_status mtl__metric_brier(const mtl__metric_args *a, const double *params, double *value,
                             double *standard_error, mtl_error *err)
{
    (void)err;
    return mean_over_labels(a, row_brier, true, params, value, standard_error);
}

mtl_status mtl__metric_top_k(const mtl__metric_args *a, const double *params, double *value,
                             double *standard_error, mtl_error *err)
{
    (void)err;
    return mean_over_labels(a, row_top_k, false, params, value, standard_error);
}

/* ---- Calibration ---- */

/* Sums of weight * probability and of weight * outcome of the rows in a bin; their difference is
   what the bin adds. */
typedef struct bin {
    double probability, outcome;
} bin;

/* Number i of the bin (i / bins, (i + 1) / bins]; 0 is in the first. */
static int64_t bin_of(double p, double bins)
{
    const int64_t i = (int64_t)(p * bins);
    return i > 0 && (double)i == p * bins ? i - 1 : i;
}

static double calibration_error(const mtl__metric_args *a, int64_t column, double bins, bin *b)
{
    const bool is_multiclass = mtl__metric_is_multiclass(a);
    double weight = 0, sum = 0;
    for (int64_t i = 0; i < (int64_t)bins; i++)
        b[i] = (bin){0, 0};
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), y = mtl__metric_label(a, i)[column];
        const int64_t j = is_multiclass ? mtl__metric_decide(a, p) : column;
        const double w = mtl__metric_weight(a, i);
        if (isnan(y))
            continue;
        bin *to = &b[bin_of(p[j], bins)];
        weight += w;
        to->probability += w * p[j];
        to->outcome += w * (is_multiclass ? y == (float)j : y);
    }
    for (int64_t i = 0; i < (int64_t)bins; i++)
        sum += fabs(b[i].outcome - b[i].probability);
    return weight > 0 ? sum / weight : (double)NAN;
}

mtl_status mtl__metric_ece(const mtl__metric_args *a, const double *params, double *value,
                           double *standard_error, mtl_error *err)
{
    (void)standard_error; /* none is defined */
    const int64_t bytes = (int64_t)params[0] * (int64_t)sizeof(bin);
    double sum = 0, columns = 0;
    bin *b = mtl__alloc(a->al, bytes);
    if (!b)
        return mtl__metric_no_memory(a, err);
    for (int64_t j = 0; j < a->label_cols; j++) {
        double figure = calibration_error(a, j, params[0], b);
        sum += isnan(figure) ? 0 : figure;
        columns += !isnan(figure);
    }
    if (columns > 0)
        *value = sum / columns;
    mtl__free(a->al, b, bytes);
    return MTL_OK;
}
