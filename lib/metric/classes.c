/* SPDX-License-Identifier: MIT */
/* Metrics of decisions and probabilities. A probability above 0.5 decides for class 1, the highest
   one (the first of equals) for a class. */
#include <float.h>

#include "base/math64.h"
#include "base/text.h"
#include "metric/metric_priv.h"

static int64_t decide(const mtl__metric_args *a, const float *p)
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
typedef row_sum row_fn(const mtl__metric_args *a, int64_t row);

/* R = sum w s / sum w m over rows with s and m from fn. The labels of a row go together, so the
   standard error is that of a ratio of sums over rows: sqrt(sum (w (s - R m))^2) / sum w m (Cochran
   1977, section 2.11). With one label per row and equal weights this is sqrt(p (1 - p) / n) for a
   share and, with `is_sample`, the deviation of the sample over sqrt(n) for a mean. */
static void mean_over_labels(const mtl__metric_args *a, row_fn *fn, bool is_sample, double *value,
                             double *standard_error)
{
    double sum = 0, labels = 0, weight = 0, weight2 = 0, squares = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        double w = mtl__metric_weight(a, i);
        row_sum r = fn(a, i);
        sum += w * r.sum;
        labels += w * r.labels;
        weight += r.labels > 0 ? w : 0;
        weight2 += r.labels > 0 ? w * w : 0;
    }
    if (!(labels > 0))
        return;
    *value = sum / labels;
    for (int64_t i = 0; i < a->rows; i++) {
        row_sum r = fn(a, i);
        double d = mtl__metric_weight(a, i) * (r.sum - *value * r.labels);
        squares += d * d;
    }
    if (is_sample)
        squares *= mtl__metric_bessel(weight, weight2);
    *standard_error = sqrt(squares) / labels;
}

static row_sum row_hits(const mtl__metric_args *a, int64_t row)
{
    const float *p = mtl__metric_predicted(a, row), *y = mtl__metric_label(a, row);
    row_sum r = {0, 0};
    if (a->label_cols == 1)
        return isnan(y[0]) ? r : (row_sum){decide(a, p) == (int64_t)y[0], 1};
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

static row_sum row_log_loss(const mtl__metric_args *a, int64_t row)
{
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

mtl_status mtl__metric_accuracy(const mtl__metric_args *a, const double *params, double *value,
                                double *standard_error, mtl_error *err)
{
    (void)params, (void)err;
    mean_over_labels(a, row_hits, false, value, standard_error);
    return MTL_OK;
}

mtl_status mtl__metric_log_loss(const mtl__metric_args *a, const double *params, double *value,
                                double *standard_error, mtl_error *err)
{
    (void)params;
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        for (int64_t j = 0; j < a->outputs; j++)
            if (!(p[j] >= 0 && p[j] <= 1) && !isnan(y[a->label_cols == 1 ? 0 : j]))
                return MTL_FAIL(err, MTL_ERR_VALUE,
                                "log_loss: row %lld, column %lld: %s is no probability",
                                (long long)i, (long long)j, mtl__num(p[j]).text);
    }
    mean_over_labels(a, row_log_loss, true, value, standard_error);
    return MTL_OK;
}

/* ---- F1 ---- */

enum { AVERAGE_BINARY, AVERAGE_MACRO, AVERAGE_MICRO, AVERAGE_WEIGHTED };

/* Weights of rows by class. F1 = 2 hits / (decided + labelled), undefined when that is 0 / 0. */
typedef struct tally {
    double hits, decided, labelled;
} tally;

static double f1(tally t)
{
    double both = t.decided + t.labelled;
    return both > 0 ? 2 * t.hits / both : (double)NAN;
}

/* A binary task has classes 0 and 1; of a multilabel one each column is a class. */
static void count_rows(const mtl__metric_args *a, tally *t)
{
    for (int64_t i = 0; i < a->rows; i++) {
        const float *p = mtl__metric_predicted(a, i), *y = mtl__metric_label(a, i);
        const double w = mtl__metric_weight(a, i);
        if (a->label_cols == 1 && !isnan(y[0])) {
            int64_t decided = decide(a, p), labelled = (int64_t)y[0];
            t[decided].decided += w;
            t[labelled].labelled += w;
            t[labelled].hits += decided == labelled ? w : 0;
        }
        for (int64_t j = 0; a->label_cols > 1 && j < a->outputs; j++) {
            if (isnan(y[j]))
                continue;
            t[j].decided += p[j] > 0.5f ? w : 0;
            t[j].labelled += y[j] > 0.5f ? w : 0;
            t[j].hits += p[j] > 0.5f && y[j] > 0.5f ? w : 0;
        }
    }
}

/* Classes without F1 stay out of the means. */
static double average_f1(const tally *t, int64_t classes, int average)
{
    tally all = {0, 0, 0};
    double sum = 0, weight = 0;
    for (int64_t c = 0; c < classes; c++) {
        double figure = f1(t[c]), w = average == AVERAGE_WEIGHTED ? t[c].labelled : 1;
        all.hits += t[c].hits;
        all.decided += t[c].decided;
        all.labelled += t[c].labelled;
        if (!isnan(figure)) {
            sum += w * figure;
            weight += w;
        }
    }
    if (average == AVERAGE_MICRO)
        return f1(all);
    return weight > 0 ? sum / weight : (double)NAN;
}

mtl_status mtl__metric_f1(const mtl__metric_args *a, const double *params, double *value,
                          double *standard_error, mtl_error *err)
{
    (void)standard_error; /* none is defined */
    const int64_t classes = mtl__max(a->outputs, 2), bytes = classes * (int64_t)sizeof(tally);
    const bool has_two_classes = a->label_cols == 1 && classes == 2;
    int average = (int)params[0];
    if (average < 0)
        average = has_two_classes ? AVERAGE_BINARY : AVERAGE_MACRO;
    if (average == AVERAGE_BINARY && !has_two_classes)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "f1: average=binary needs two classes, not %lld outputs",
                        (long long)a->outputs);
    tally *t = mtl__alloc_zero(a->al, bytes);
    if (!t)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "f1: no memory for %lld classes", (long long)classes);
    count_rows(a, t);
    *value = average == AVERAGE_BINARY ? f1(t[1]) : average_f1(t, classes, average);
    mtl__free(a->al, t, bytes);
    return MTL_OK;
}
