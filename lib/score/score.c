/* SPDX-License-Identifier: MIT */
#include "score/score.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "option/choice.h"
#include "score/score_priv.h"

typedef enum score_of { RAW_FEATURES, CENTRED_FEATURES, PREDICTIONS, PROBE } score_of;

typedef struct score_row {
    mtl__choice_row choice;
    score_of of;
    bool serves_values;
    mtl__score_fn *fn; /* of PROBE none */
} score_row;

static const mtl__choice_param shrinkage[] = {
    {"shrinkage", -1, -1, 1, NULL}, /* -1 = as the data suggest */
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param rate[] = {
    {"eps", 1e-4, 1e-12, 1e12, NULL},
    {"scale", 1, 0, 1, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param folds[] = {
    {"folds", 5, 2, 1000000, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};

static const score_row rows[] = {
    {{"logme", NULL}, RAW_FEATURES, true, mtl__score_logme},
    {{"h_score", shrinkage}, CENTRED_FEATURES, false, mtl__score_h},
    {{"transrate", rate}, CENTRED_FEATURES, false, mtl__score_transrate},
    {{"leep", NULL}, PREDICTIONS, false, mtl__score_leep},
    {{"nce", NULL}, PREDICTIONS, false, mtl__score_nce},
    {{"cv_probe", folds}, PROBE, true, NULL},
};

static const mtl__choice_table table = MTL__CHOICE_TABLE("transferability", rows);

/* ---- Checks ---- */

static mtl_status check_shape(const score_row *k, const mtl__score_args *a, mtl_error *err)
{
    if (a->classes == 0 && !k->serves_values)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: wants classes, not values", k->choice.name);
    if (a->classes < 0 || a->classes > 16777216 || a->label_cols < 1 || a->cols < 1 ||
        (a->classes > 0 && a->label_cols != 1))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld columns, %lld classes, %lld label columns",
                        k->choice.name, (long long)a->cols, (long long)a->classes,
                        (long long)a->label_cols);
    return MTL_OK;
}

static mtl_status check_row(const score_row *k, const mtl__score_args *a, int64_t i, mtl_error *err)
{
    const float *x = a->x + i * a->x_stride, *y = a->label + i * a->label_stride;
    double sum = 0;
    bool is_used = false;
    for (int64_t j = 0; j < a->label_cols; j++) {
        const bool fits =
            a->classes == 0 ? isfinite(y[j])
                            : y[j] >= 0 && y[j] < (float)a->classes && y[j] == (float)(int64_t)y[j];
        if (!isnan(y[j]) && !fits)
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld has label %s",
                            k->choice.name, (long long)i, (long long)j, mtl__num(y[j]).text);
        is_used = is_used || !isnan(y[j]);
    }
    for (int64_t j = 0; j < a->cols && is_used; j++) {
        const bool fits = k->of == PREDICTIONS ? x[j] >= 0 && x[j] <= 1 : isfinite(x[j]);
        if (!fits)
            return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld, column %lld is %s%s", k->choice.name,
                            (long long)i, (long long)j, mtl__num(x[j]).text,
                            k->of == PREDICTIONS ? ", no probability" : "");
        sum += (double)x[j];
    }
    if (is_used && k->of == PREDICTIONS && a->cols > 1 && !(sum > 0))
        return MTL_FAIL(err, MTL_ERR_VALUE, "%s: row %lld has no probability above 0",
                        k->choice.name, (long long)i);
    return MTL_OK;
}

/* ---- Rows ---- */

static float label_of(const mtl__score_args *a, int64_t i, int64_t col)
{
    return a->label[i * a->label_stride + col];
}

/* How many rows have a label of this column; *varies: they are not all the same. */
static int64_t count_rows(const mtl__score_args *a, int64_t col, bool *varies)
{
    int64_t n = 0;
    float first = 0;
    *varies = false;
    for (int64_t i = 0; i < a->rows; i++) {
        const float y = label_of(a, i, col);
        if (isnan(y))
            continue;
        first = n++ == 0 ? y : first;
        *varies = *varies || y != first;
    }
    return n;
}

static void take(mtl__score_rows *r, const score_row *k, double **weight, mtl__arena *arena)
{
    const int64_t n = r->n, m = mtl__min(n, r->s.cols), classes = r->a->classes;
    const int64_t z = mtl__max(r->s.cols, 2);
    r->row = mtl__arena_take(arena, n, sizeof *r->row);
    r->y = mtl__arena_take(arena, n, sizeof *r->y);
    r->size = mtl__arena_take(arena, classes, sizeof *r->size);
    r->s.mean = mtl__arena_take(arena, r->s.cols, sizeof(double));
    r->s.inverse = mtl__arena_take(arena, r->s.cols, sizeof(double));
    *weight = mtl__arena_take(arena, n, sizeof **weight);
    if (k->of != PREDICTIONS)
        mtl__design_take(&r->d, arena);
    /* Means of classes, a product of columns, or counts by two classes: enough for each. */
    r->room = mtl__arena_take(arena, n + m * m + (classes + 1) * z, sizeof(double));
}

/* Mean and, where asked for, deviation of the columns; else the features as they are. */
static void fill(mtl__score_rows *r, const score_row *k, int64_t col, double *weight)
{
    const mtl__score_args *a = r->a;
    const bool is_centred = k->of == CENTRED_FEATURES;
    const bool is_scaled = is_centred && k->choice.param == rate && r->param[1] != 0;
    int64_t n = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        const float y = label_of(a, i, col);
        if (isnan(y))
            continue;
        r->row[n] = i;
        r->y[n] = (double)y;
        if (a->classes > 0)
            r->size[(int64_t)y]++;
        weight[n++] = 1 / (double)r->n;
    }
    if (is_centred)
        mtl__standard_fit(&r->s, weight, r->d.scratch);
    for (int64_t j = 0; j < r->s.cols && !is_scaled; j++)
        r->s.inverse[j] = 1;
}

/* Each class as a column of 0 and 1; the mean of those that have rows. */
static double over_classes(mtl__score_rows *r, mtl__score_fn *fn)
{
    double sum = 0, present = 0;
    for (int64_t c = 0; c < r->a->classes; c++) {
        if (r->size[c] == 0)
            continue;
        for (int64_t i = 0; i < r->n; i++)
            r->y[i] = (double)label_of(r->a, r->row[i], 0) == (double)c;
        sum += fn(r);
        present++;
    }
    return sum / present;
}

/* The score by one column of labels, which are not all the same. */
static mtl_status score_column(const score_row *k, const mtl__score_args *a, const double *param,
                               int64_t n, int64_t col, double *score, mtl_error *err)
{
    mtl__score_rows r = {.a = a, .param = param, .n = n};
    mtl__arena arena = {0};
    double *weight;
    mtl_status st = MTL_OK;
    r.s = (mtl__standard){.rows = n, .cols = a->cols, .x = a->x, .stride = a->x_stride};
    r.d = (mtl__design){.s = &r.s, .wants_basis = true, .pool = a->pool};
    take(&r, k, &weight, &arena);
    if (!mtl__arena_reserve(&arena, a->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a score of %lld rows and %lld columns",
                        (long long)n, (long long)a->cols);
    take(&r, k, &weight, &arena);
    r.s.row = r.row;
    r.d.weight = weight;
    fill(&r, k, col, weight);
    if (k->of != PREDICTIONS && !mtl__design_find_basis(&r.d))
        st = MTL_FAIL(err, MTL_ERR_VALUE, "%s: the features are too large", k->choice.name);
    else
        *score = k->of == RAW_FEATURES && a->classes > 0 ? over_classes(&r, k->fn) : k->fn(&r);
    mtl__arena_release(&arena, a->al);
    return st;
}

static mtl_status score_columns(const score_row *k, const mtl__score_args *a, const double *param,
                                double *score, mtl_error *err)
{
    double sum = 0, here = 0, used = 0;
    for (int64_t c = 0; c < a->label_cols; c++) {
        bool varies;
        const int64_t n = count_rows(a, c, &varies);
        if (!varies)
            continue;
        mtl_status st = score_column(k, a, param, n, c, &here, err);
        if (st != MTL_OK)
            return st;
        sum += here;
        used++;
    }
    *score = used > 0 ? sum / used : (double)NAN;
    return MTL_OK;
}

mtl_status mtl__score_compute(const char *kind, const mtl__score_args *a, double *score,
                              mtl_error *err)
{
    mtl__choice c;
    mtl_error why = {0};
    double value = (double)NAN;
    if (mtl__choice_parse(&table, kind, -1, &c, &why) != MTL_OK)
        return MTL_FAIL(err, MTL_ERR_NAME, "%s", why.message);
    const score_row *k = c.row;
    mtl_status st = check_shape(k, a, err);
    for (int64_t i = 0; i < a->rows && st == MTL_OK; i++)
        st = check_row(k, a, i, err);
    bool varies = false;
    for (int64_t j = 0; j < a->label_cols && st == MTL_OK && !varies; j++)
        count_rows(a, j, &varies);
    if (st == MTL_OK && varies)
        st = k->of == PROBE ? mtl__score_probe(a, c.value, &value, err)
                            : score_columns(k, a, c.value, &value, err);
    if (st == MTL_OK)
        *score = value;
    return st;
}
