/* SPDX-License-Identifier: MIT */
/* What the families of metrics share. Before a metric runs, shapes, weights and all labels and
   predictions that it will read have been checked. */
#ifndef MTL__METRIC_PRIV_H
#define MTL__METRIC_PRIV_H

#include <math.h>

#include "base/order.h"
#include "metric/metric.h"

typedef mtl_status mtl__metric_fn(const mtl__metric_args *a, const double *params, double *value,
                                  double *standard_error, mtl_error *err);

mtl__metric_fn mtl__metric_accuracy, mtl__metric_log_loss, mtl__metric_brier, mtl__metric_top_k;
mtl__metric_fn mtl__metric_ece;
mtl__metric_fn mtl__metric_f1, mtl__metric_precision, mtl__metric_recall;
mtl__metric_fn mtl__metric_balanced_accuracy, mtl__metric_mcc;
mtl__metric_fn mtl__metric_roc_auc, mtl__metric_average_precision;
mtl__metric_fn mtl__metric_rmse, mtl__metric_mae, mtl__metric_median_error, mtl__metric_pinball;
mtl__metric_fn mtl__metric_poisson_deviance, mtl__metric_r2, mtl__metric_relative_rmse;

/* [2 * rows] to sort rows in, to be freed with *bytes; or NULL. */
mtl__ordered *mtl__metric_ordered(const mtl__metric_args *a, int64_t *bytes);
mtl_status mtl__metric_no_memory(const mtl__metric_args *a, mtl_error *err);

/* The class that a row's probabilities decide for, of a task with one label column. */
int64_t mtl__metric_decide(const mtl__metric_args *a, const float *p);

/* One column of class numbers for several outputs; else every output has a label column. */
static inline bool mtl__metric_is_multiclass(const mtl__metric_args *a)
{
    return a->label_cols == 1 && a->outputs > 1;
}

static inline const float *mtl__metric_predicted(const mtl__metric_args *a, int64_t row)
{
    return a->predicted + row * a->predicted_stride;
}

static inline const float *mtl__metric_label(const mtl__metric_args *a, int64_t row)
{
    return a->label + row * a->label_stride;
}

static inline double mtl__metric_weight(const mtl__metric_args *a, int64_t row)
{
    return a->weight ? a->weight[row] : 1;
}

/* n / (n - 1) for n = (sum w)^2 / sum w^2, the number of rows of equal weight that would be worth
   as much (Kish 1965); NaN when that is one row. */
static inline double mtl__metric_bessel(double sum_w, double sum_w2)
{
    double n = sum_w * sum_w / sum_w2;
    return n > 1 ? n / (n - 1) : (double)NAN;
}

#endif
