/* SPDX-License-Identifier: MIT */
/* What the numbers of a data set may be. */
#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "data/array_priv.h"
#include "data/csr.h"

/* For the start of a message: task "name", or the word for no task. */
typedef struct who_text {
    char text[96];
} who_text;

static who_text who(const char *task, const char *otherwise)
{
    who_text w;
    snprintf(w.text, sizeof w.text, task ? "task \"%.64s\"" : "%.64s", task ? task : otherwise);
    return w;
}

mtl_status mtl__array_check(const char *task, const float *p, int64_t rows, int64_t cols,
                            int64_t stride, mtl_error *err)
{
    int64_t n;
    who_text w = who(task, "inputs");
    if (rows < 0 || cols < 1 || stride < cols)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld rows, %lld columns, stride %lld", w.text,
                        (long long)rows, (long long)cols, (long long)stride);
    if (!mtl__mul_size(rows, stride, &n) || !mtl__mul_size(n, sizeof(float), &n))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld rows of stride %lld exceed memory", w.text,
                        (long long)rows, (long long)stride);
    if (!p && rows > 0)
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s: NULL for %lld rows", w.text, (long long)rows);
    return MTL_OK;
}

mtl_status mtl__array_check_weights(const char *task, const mtl__array *w, int64_t rows,
                                    mtl_error *err)
{
    for (int64_t i = 0; i < rows; i++) {
        float x = *mtl__array_row(w, i);
        if (!(x >= 0 && isfinite(x)))
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld has weight %s",
                            who(task, "row weights").text, (long long)i, mtl__num(x).text);
    }
    return MTL_OK;
}

/* The first infinite input. */
typedef struct infinite {
    int64_t cols, row, column; /* row -1 = none */
    float x;
} infinite;

static void find_infinite(void *arg, const mtl__array *a, int64_t first, int64_t rows)
{
    infinite *f = arg;
    for (int64_t i = 0; i < rows && f->row < 0; i++) {
        const float *x = mtl__array_row(a, i);
        for (int64_t j = 0; j < f->cols; j++)
            if (isinf(x[j])) {
                *f = (infinite){f->cols, first + i, j, x[j]};
                break;
            }
    }
}

static void find_sparse_infinite(const mtl_dataset *d, infinite *f)
{
    for (int64_t i = 0; i < d->rows && f->row < 0; i++) {
        const mtl__sparse_row r = mtl__dataset_sparse_row(d, i);
        for (int64_t j = 0; j < r.count && f->row < 0; j++)
            if (isinf(r.value[j]))
                *f = (infinite){f->cols, i, r.column[j], r.value[j]};
    }
}

mtl_status mtl__dataset_check_inputs(const mtl_dataset *d, mtl_error *err)
{
    infinite f = {.cols = d->inputs, .row = -1};
    mtl_status st = MTL_OK;
    if (mtl__dataset_is_sparse(d))
        find_sparse_infinite(d, &f);
    else
        st = mtl__dataset_scan(d, find_infinite, &f, err);
    if (st == MTL_OK && f.row >= 0)
        return MTL_FAIL(err, MTL_ERR_VALUE, "inputs: row %lld, column %lld is %s",
                        (long long)f.row, (long long)f.column, mtl__num(f.x).text);
    return st;
}

/* ---- Labels by kind ---- */

static bool is_bit(float y, int64_t outputs)
{
    (void)outputs;
    return y == 0 || y == 1;
}

static bool is_class(float y, int64_t outputs)
{
    /* The range comes first: a float past that of int64_t must not be converted. */
    return y >= 0 && (double)y < (double)outputs && y == (float)(int64_t)y;
}

static bool is_amount(float y, int64_t outputs)
{
    (void)outputs;
    return y >= 0 && isfinite(y);
}

static bool is_finite(float y, int64_t outputs)
{
    (void)outputs;
    return isfinite(y);
}

/* By kind. columns: of labels, 0 = one per output. */
static const struct kind_rule {
    const char *name, *labels;
    int64_t columns, low, high; /* outputs are in low .. high */
    bool (*is_label)(float y, int64_t outputs);
} rules[] = {
    [MTL_BINARY] = {"binary", "0 or 1", 1, 1, 1, is_bit},
    [MTL_MULTICLASS] = {"multiclass", "a class number", 1, 2, INT64_MAX, is_class},
    [MTL_MULTILABEL] = {"multilabel", "0 or 1", 0, 1, INT64_MAX, is_bit},
    [MTL_REGRESSION] = {"regression", "finite", 0, 1, INT64_MAX, is_finite},
    [MTL_COUNT] = {"count", "finite and >= 0", 0, 1, INT64_MAX, is_amount},
    [MTL_QUANTILE] = {"quantile", "finite", 1, 1, INT64_MAX, is_finite},
};

mtl_status mtl__array_check_kind(const char *task, int64_t cols, int32_t kind, int64_t outputs,
                                 mtl_error *err)
{
    if (kind < MTL_BINARY || kind > MTL_QUANTILE)
        return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": no kind has number %d", task,
                        (int)kind);
    const struct kind_rule *r = &rules[kind];
    if (outputs >= r->low && outputs <= r->high && cols == (r->columns ? r->columns : outputs))
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_SHAPE,
                    "task \"%.64s\": %lld label columns for %s with %lld outputs", task,
                    (long long)cols, r->name, (long long)outputs);
}

mtl_status mtl__dataset_check_labels(const mtl_dataset *d, int64_t task, int32_t kind,
                                     int64_t outputs, mtl_error *err)
{
    const mtl__labels *l = &d->labels[task];
    const mtl__array *w = mtl__dataset_weight(d, task);
    mtl_status st = mtl__array_check_kind(l->task, l->cols, kind, outputs, err);
    if (st == MTL_OK && w)
        st = mtl__array_check_weights(l->weight.p ? l->task : NULL, w, d->rows, err);
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < d->rows; i++) {
        const float *y = mtl__array_row(&l->y, i);
        for (int64_t j = 0; j < l->cols; j++)
            if (!isnan(y[j]) && !rules[kind].is_label(y[j], outputs))
                return MTL_FAIL(
                    err, MTL_ERR_VALUE,
                    "task \"%.64s\": row %lld, column %lld is %s, not %s (%s, %lld outputs)",
                    l->task, (long long)i, (long long)j, mtl__num(y[j]).text, rules[kind].labels,
                    rules[kind].name, (long long)outputs);
    }
    return MTL_OK;
}
