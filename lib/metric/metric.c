/* SPDX-License-Identifier: MIT */
#include "metric/metric.h"

#include "base/text.h"
#include "metric/metric_priv.h"

/* The initial -1 of f1's average = as the shape suggests. */
static const mtl__choice_param f1_params[] = {
    {"average", -1, 0, 3, "binary|macro|micro|weighted"},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__metric rows[] = {
    {{"accuracy", NULL}, true, false, mtl__metric_accuracy},
    {{"f1", f1_params}, true, false, mtl__metric_f1},
    {{"roc_auc", NULL}, true, false, mtl__metric_roc_auc},
    {{"log_loss", NULL}, true, false, mtl__metric_log_loss},
    {{"rmse", NULL}, false, true, mtl__metric_rmse},
    {{"mae", NULL}, false, true, mtl__metric_mae},
    {{"r2", NULL}, false, true, mtl__metric_r2},
};

const mtl__choice_table mtl__metric_table = MTL__CHOICE_TABLE("metric", rows);

static mtl_status check_shape(const mtl__metric *m, const char *name, const mtl__metric_args *a,
                              mtl_error *err)
{
    const bool fits = a->label_cols == a->outputs || (m->for_classes && a->label_cols == 1);
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
    if (m->for_values)
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
    for (int64_t j = 0; j < a->outputs; j++)
        if (isnan(p[j]) && !isnan(y[a->label_cols == 1 ? 0 : j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld: the prediction is nan",
                            name, (long long)row, (long long)j);
    return MTL_OK;
}

mtl_status mtl__metric_compute(const char *name, const mtl__metric_args *a, double *value,
                               double *standard_error, mtl_error *err)
{
    mtl__choice c;
    mtl_error why = {0};
    double v = (double)NAN, se = (double)NAN;
    if (mtl__choice_parse(&mtl__metric_table, name, -1, &c, &why) != MTL_OK)
        return MTL_FAIL(err, MTL_ERR_NAME, "%s", why.message);
    const mtl__metric *m = c.row;
    mtl_status st = check_shape(m, name, a, err);
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
