/* SPDX-License-Identifier: MIT */
#include "metric/metric.h"

#include "base/text.h"
#include "metric/metric_priv.h"

/* The initial -1 = as the shape suggests. */
static const mtl__choice_param over_classes[] = {
    {"average", -1, 0, 3, "binary|macro|micro|weighted"},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param over_columns[] = {
    {"average", 0, 0, 1, "macro|weighted"},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param bins[] = {
    {"bins", 10, 1, 10000, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param most_likely[] = {
    {"k", 5, 1, 16777216, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param quantile[] = {
    {"q", 0.5, 0, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};

enum {
    VALUES = MTL__METRIC_VALUES,
    CLASSES = MTL__METRIC_CLASSES,
    MULTICLASS = MTL__METRIC_MULTICLASS
};

/* A new row is named in the range of the option "metrics" (train/evaluate.c) too. */
static const mtl__metric rows[] = {
    {{"auto", NULL}, 0, false, NULL}, /* in lists: the usual ones */
    {{"accuracy", NULL}, CLASSES, false, mtl__metric_accuracy},
    {{"balanced_accuracy", NULL}, CLASSES, false, mtl__metric_balanced_accuracy},
    {{"f1", over_classes}, CLASSES, false, mtl__metric_f1},
    {{"precision", over_classes}, CLASSES, false, mtl__metric_precision},
    {{"recall", over_classes}, CLASSES, false, mtl__metric_recall},
    {{"mcc", NULL}, CLASSES, false, mtl__metric_mcc},
    {{"roc_auc", over_columns}, CLASSES, false, mtl__metric_roc_auc},
    {{"average_precision", over_columns}, CLASSES, false, mtl__metric_average_precision},
    {{"log_loss", NULL}, CLASSES, true, mtl__metric_log_loss},
    {{"brier", NULL}, CLASSES, true, mtl__metric_brier},
    {{"ece", bins}, CLASSES, true, mtl__metric_ece},
    {{"top_k", most_likely}, MULTICLASS, false, mtl__metric_top_k},
    {{"rmse", NULL}, VALUES, false, mtl__metric_rmse},
    {{"relative_rmse", NULL}, VALUES, false, mtl__metric_relative_rmse},
    {{"mae", NULL}, VALUES, false, mtl__metric_mae},
    {{"median_error", NULL}, VALUES, false, mtl__metric_median_error},
    {{"r2", NULL}, VALUES, false, mtl__metric_r2},
    {{"pinball", quantile}, VALUES, false, mtl__metric_pinball},
    {{"poisson_deviance", NULL}, VALUES, false, mtl__metric_poisson_deviance},
};

const mtl__choice_table mtl__metric_table = MTL__CHOICE_TABLE("metric", rows);

static mtl_status check_shape(const mtl__metric *m, const char *name, const mtl__metric_args *a,
                              mtl_error *err)
{
    const bool fits = m->serves == MTL__METRIC_MULTICLASS
                          ? mtl__metric_is_multiclass(a)
                          : a->label_cols == a->outputs ||
                                (m->serves != MTL__METRIC_VALUES && a->label_cols == 1);
    int64_t n;
    if (a->rows < 0 || a->outputs < 1 || !fits)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld rows, %lld outputs for %lld label columns",
                        name, (long long)a->rows, (long long)a->outputs, (long long)a->label_cols);
    if (a->predicted_stride < a->outputs || a->label_stride < a->label_cols)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "%s: strides %lld and %lld for %lld outputs and %lld label columns", name,
                        (long long)a->predicted_stride, (long long)a->label_stride,
                        (long long)a->outputs, (long long)a->label_cols);
    if (!mtl__mul_size(a->rows, mtl__max(a->predicted_stride, a->label_stride), &n) ||
        !mtl__mul_size(n, sizeof(double), &n))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld rows exceed memory", name,
                        (long long)a->rows);
    if (a->rows > 0 && (!a->predicted || !a->label))
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s: NULL for %lld rows", name, (long long)a->rows);
    return MTL_OK;
}

static bool is_valid_label(const mtl__metric *m, const mtl__metric_args *a, float y)
{
    if (m->serves == MTL__METRIC_VALUES)
        return isfinite(y);
    double classes = mtl__metric_is_multiclass(a) ? (double)a->outputs : 2;
    return y >= 0 && y < classes && y == (float)(int64_t)y;
}

/* Values of one row; columns without a label are not looked at. */
static mtl_status check_row(const mtl__metric *m, const char *name, const mtl__metric_args *a,
                            int64_t row, mtl_error *err)
{
    const float *y = mtl__metric_label(a, row), *p = mtl__metric_predicted(a, row);
    if (a->weight && !(a->weight[row] >= 0 && isfinite(a->weight[row])))
        return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld has weight %s", name, (long long)row,
                        mtl__num(a->weight[row]).text);
    for (int64_t j = 0; j < a->label_cols; j++)
        if (!isnan(y[j]) && !is_valid_label(m, a, y[j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld has label %s", name,
                            (long long)row, (long long)j, mtl__num(y[j]).text);
    for (int64_t j = 0; j < a->outputs; j++) {
        if (isnan(y[a->label_cols == 1 ? 0 : j]))
            continue;
        if (isnan(p[j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld: the prediction is nan",
                            name, (long long)row, (long long)j);
        if (m->wants_probabilities && !(p[j] >= 0 && p[j] <= 1))
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld: %s is no probability",
                            name, (long long)row, (long long)j, mtl__num(p[j]).text);
    }
    return MTL_OK;
}

mtl__ordered *mtl__metric_ordered(const mtl__metric_args *a, int64_t *bytes)
{
    if (!mtl__mul_size(a->rows, 2 * sizeof(mtl__ordered), bytes))
        return NULL;
    return mtl__alloc(a->al, *bytes);
}

mtl_status mtl__metric_no_memory(const mtl__metric_args *a, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a metric of %lld rows and %lld outputs",
                    (long long)a->rows, (long long)a->outputs);
}

mtl_status mtl__metric_find(const char *name, mtl__choice *out, mtl_error *err)
{
    mtl_error why = {0};
    if (mtl__choice_parse(&mtl__metric_table, name, -1, out, &why) != MTL_OK)
        return MTL_FAIL(err, MTL_ERR_NAME, "%s", why.message);
    if (out->row == &rows[0])
        return MTL_FAIL(err, MTL_ERR_NAME, "\"%s\" is no metric", name);
    return MTL_OK;
}

mtl_status mtl__metric_compute(const char *name, const mtl__metric_args *a, double *value,
                               double *standard_error, mtl_error *err)
{
    mtl__choice c;
    double v = (double)NAN, se = (double)NAN;
    mtl_status st = mtl__metric_find(name, &c, err);
    if (st != MTL_OK)
        return st;
    const mtl__metric *m = c.row;
    st = check_shape(m, name, a, err);
    for (int64_t i = 0; i < a->rows && st == MTL_OK; i++)
        st = check_row(m, name, a, i, err);
    if (st == MTL_OK)
        st = m->fn(a, c.value, &v, &se, err);
    if (st != MTL_OK)
        return st;
    *value = v;
    if (standard_error)
        *standard_error = se;
    return MTL_OK;
}
