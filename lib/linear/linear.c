/* SPDX-License-Identifier: MIT */
#include "linear/linear.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "base/text.h"
#include "linear/linear_priv.h"
#include "rng/rng.h"
#include "solve/solve.h"

#define FOLDS           5
#define LARGE           2e7 /* inputs, from where on one of the folds is left out only */
#define TO_CHOOSE       1e-4
#define TO_CHOOSE_LARGE 1e-2
#define TO_KEEP         1e-9

/* Columns of labels that the same rows have, and all that is made of them. */
typedef struct work {
    const mtl__linear_problem *p;
    const double *lambda;
    int64_t lambdas;
    int32_t folds;
    bool wants_held;
    mtl__standard s;
    mtl__design d;
    mtl__glm g;
    mtl__left_out o;
    int64_t *row;
    double *weight, *y, *train, *judged;
    double *hat, *theta; /* of ridge: [rows, lambdas], [lambdas, k + 1]; else theta: [folds, ...] */
    double *columns;     /* [cols]: weights of the standardised columns */
    int32_t *fold, *part;
    double *normal; /* of ridge, for parts: [k + 1, k + 1] */
    int64_t *order; /* drawing the folds; [rows + outputs + 2] */
} work;

/* ---- Checks ---- */

static bool is_label(const mtl__linear_problem *p, float y)
{
    switch (p->family) {
    case MTL__LINEAR_LOGISTIC:
        return y == 0 || y == 1;
    case MTL__LINEAR_SOFTMAX:
        return y >= 0 && y < (float)p->outputs && y == (float)(int64_t)y;
    case MTL__LINEAR_POISSON:
        return y >= 0 && isfinite(y);
    default:
        return isfinite(y);
    }
}

static int64_t label_columns(const mtl__linear_problem *p)
{
    return p->family == MTL__LINEAR_SOFTMAX ? 1 : p->outputs;
}

static mtl_status check_row(const mtl__linear_problem *p, int64_t i, mtl_error *err)
{
    const float *x = p->x + i * p->x_stride, *y = p->label + i * p->label_stride;
    bool is_used = false;
    if (p->weight && !(p->weight[i] >= 0 && isfinite(p->weight[i])))
        return MTL_FAIL(err, MTL_ERR_VALUE, "linear model: row %lld has weight %s", (long long)i,
                        mtl__num(p->weight[i]).text);
    for (int64_t j = 0; j < label_columns(p); j++) {
        is_used = is_used || !isnan(y[j]);
        if (!isnan(y[j]) && !is_label(p, y[j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "linear model: row %lld, column %lld has label %s",
                            (long long)i, (long long)j, mtl__num(y[j]).text);
    }
    for (int64_t j = 0; j < p->cols && is_used; j++)
        if (isinf(x[j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "linear model: row %lld, column %lld is %s",
                            (long long)i, (long long)j, mtl__num(x[j]).text);
    return MTL_OK;
}

/* ---- Rows and columns ---- */

static float label_of(const mtl__linear_problem *p, int64_t i, int64_t col)
{
    return p->label[i * p->label_stride + col];
}

static bool is_in(const mtl__linear_problem *p, int64_t i, int64_t col)
{
    return !isnan(label_of(p, i, col)) && (!p->weight || p->weight[i] > 0);
}

static bool has_the_same_rows(const mtl__linear_problem *p, int64_t a, int64_t b)
{
    for (int64_t i = 0; i < p->rows; i++)
        if (is_in(p, i, a) != is_in(p, i, b))
            return false;
    return true;
}

/* Weights are parts of their sum. */
static void gather_rows(work *w, int64_t col)
{
    const mtl__linear_problem *p = w->p;
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < p->rows; i++)
        if (is_in(p, i, col)) {
            w->row[n] = i;
            w->weight[n] = p->weight ? (double)p->weight[i] : 1;
            sum += w->weight[n++];
        }
    for (int64_t i = 0; i < n; i++)
        w->weight[i] /= sum;
}

/* A random order, dealt to the folds class after class. */
static void draw_folds(work *w)
{
    const int64_t n = w->s.rows;
    const bool has_classes =
        w->p->family == MTL__LINEAR_SOFTMAX || w->p->family == MTL__LINEAR_LOGISTIC;
    int64_t *next = w->order + n; /* card of each class */
    mtl__rng r = mtl__rng_make(w->p->seed, MTL__RNG_LINEAR, 0);
    memset(next, 0, (size_t)(w->p->outputs + 2) * sizeof *next);
    for (int64_t i = 0; i < n; i++) {
        w->order[i] = i;
        next[has_classes ? (int64_t)w->y[i] + 1 : 1]++;
    }
    for (int64_t c = 1; c < w->p->outputs + 2; c++)
        next[c] += next[c - 1];
    mtl__rng_shuffle(&r, w->order, n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t class = has_classes ? (int64_t)w->y[w->order[i]] : 0;
        w->fold[w->order[i]] = (int32_t)(next[class]++ % w->folds);
    }
}

static void choose_folds(work *w)
{
    if (w->p->fold)
        for (int64_t i = 0; i < w->s.rows; i++)
            w->fold[i] = w->p->fold[w->row[i]];
    else
        draw_folds(w);
}

/* ---- One column ---- */

static void keep(const work *w, const mtl__linear_result *out, const double *theta, int64_t output)
{
    const int64_t k = w->d.k, outputs = w->p->outputs;
    double bias = theta[k];
    mtl__design_weights(&w->d, theta, w->columns);
    for (int64_t j = 0; j < w->p->cols; j++) {
        const double v = w->columns[j] * w->s.inverse[j];
        bias -= v * w->s.mean[j];
        out->weights[j * outputs + output] = v;
    }
    out->bias[output] = bias;
}

static void keep_figure(const work *w, const mtl__linear_result *out, int64_t output, int64_t l)
{
    mtl__linear_figure f = {w->s.rows, w->lambda[l], (double)NAN, (double)NAN};
    mtl__left_out_mean(&w->o, l, &f.loss, &f.standard_error);
    out->figure[output] = f;
}

/* u of a part's rows by theta [c, k + 1]. */
static void keep_held(const work *w, const mtl__linear_result *out, int32_t part,
                      const double *theta, int64_t output)
{
    const int64_t k = w->d.k;
    for (int64_t i = 0; i < w->s.rows; i++) {
        if (w->part[i] != part)
            continue;
        const double *f = mtl__design_row(&w->d, i, w->d.scratch);
        double *u = out->held + w->row[i] * w->p->outputs + output;
        for (int64_t j = 0; j < w->g.c; j++)
            u[j] = theta[j * (k + 1) + k] + mtl__dot_f64(k, theta + j * (k + 1), f);
    }
}

static void fit_ridge(work *w, const mtl__linear_result *out, int64_t output)
{
    const int64_t n = w->s.rows;
    mtl__ridge_path(&w->d, w->lambdas, w->lambda, w->hat, w->y, w->theta, w->o.loss);
    for (int64_t i = 0; i < n; i++)
        w->judged[i] = n > 1 ? w->weight[i] : 0;
    const int64_t l = mtl__left_out_choose(&w->o, w->lambdas, w->p->one_se);
    keep(w, out, w->theta + l * (w->d.k + 1), output);
    keep_figure(w, out, output, l);
    for (int32_t part = 0; w->part && part < w->p->parts; part++) {
        mtl__ridge_without(&w->d, w->lambda[l], w->y, w->part, part, w->normal, w->theta);
        keep_held(w, out, part, w->theta, output);
    }
}

/* The rows of a fold have no part; false if none is left, or none is left out. */
static bool leave_out(work *w, const int32_t *fold_of, int32_t fold)
{
    double sum = 0, all = 0;
    for (int64_t i = 0; i < w->s.rows; i++) {
        w->train[i] = fold_of[i] == fold ? 0 : w->weight[i];
        sum += w->train[i];
        all += w->weight[i];
    }
    if (!(sum > 0) || !(sum < all))
        return false;
    for (int64_t i = 0; i < w->s.rows; i++)
        w->train[i] /= sum;
    return true;
}

static bool is_large(const work *w)
{
    return (double)w->s.rows * (double)w->d.k * (double)w->g.c > LARGE;
}

static double tolerance_of(const work *w)
{
    if (w->p->tolerance > 0)
        return w->p->tolerance;
    return is_large(w) ? TO_CHOOSE_LARGE : TO_CHOOSE;
}

static void judge_fold(work *w, int32_t fold, int64_t l)
{
    mtl__glm *g = &w->g;
    const int64_t size = g->c * (w->d.k + 1);
    if (!leave_out(w, w->fold, fold))
        return;
    g->theta = w->theta + fold * size;
    g->lambda = w->lambda[l];
    mtl__glm_fit(g, l == 0, tolerance_of(w));
    for (int64_t i = 0; i < w->s.rows; i++)
        if (w->fold[i] == fold) {
            const double loss = mtl__glm_loss(g, i, g->u + i * g->c);
            w->o.loss[i * w->lambdas + l] = g->family == MTL__LINEAR_SQUARE ? 2 * loss : loss;
            w->judged[i] = w->weight[i];
        }
}

/* From the largest lambda down, until the losses on left-out rows rise for the second time above
   the best by its standard error: smaller ones cost more and promise less. */
static int64_t choose_lambda(work *w)
{
    double mean, error, least = (double)INFINITY, least_error = 0;
    int rises = 0;
    int64_t l = 0;
    memset(w->judged, 0, (size_t)w->s.rows * sizeof(double));
    const int32_t folds = is_large(w) ? 1 : w->folds;
    for (; l < w->lambdas && rises < 2; l++) {
        for (int32_t fold = 0; fold < folds; fold++)
            judge_fold(w, fold, l);
        mtl__left_out_mean(&w->o, l, &mean, &error);
        if (mean < least) {
            least = mean;
            least_error = isnan(error) ? 0 : error;
        }
        rises += mean > least + least_error;
    }
    return mtl__left_out_choose(&w->o, l, w->p->one_se);
}

static void fit_glm(work *w, const mtl__linear_result *out, int64_t output)
{
    mtl__glm *g = &w->g;
    int64_t l = 0;
    g->d = &w->d;
    g->family = w->p->family;
    g->y = w->y;
    g->train = w->train;
    if (w->folds > 1 && w->s.rows > 1) {
        choose_folds(w);
        l = choose_lambda(w);
    } else {
        memset(w->judged, 0, (size_t)w->s.rows * sizeof(double));
    }
    memcpy(w->train, w->weight, (size_t)w->s.rows * sizeof(double));
    g->theta = w->theta;
    g->lambda = w->lambda[l];
    mtl__glm_fit(g, true, TO_KEEP);
    for (int64_t j = 0; j < g->c; j++)
        keep(w, out, g->theta + j * (w->d.k + 1), output + j);
    keep_figure(w, out, output, l);
    for (int32_t part = 0; w->part && part < w->p->parts; part++)
        if (leave_out(w, w->part, part)) { /* from where the part before has ended */
            mtl__glm_fit(g, false, TO_CHOOSE);
            keep_held(w, out, part, g->theta, output);
        }
}

/* ---- Columns that the same rows have ---- */

static bool is_closed_form(const work *w)
{
    return w->p->family == MTL__LINEAR_SQUARE && !w->p->fold && w->d.wants_basis;
}

static void take(work *w, mtl__arena *a)
{
    const mtl__linear_problem *p = w->p;
    const int64_t n = w->s.rows, l = w->lambdas;
    const int64_t k = w->d.wants_basis ? mtl__min(n, p->cols) : p->cols;
    double **const of_rows[] = {&w->weight, &w->y, &w->train, &w->judged};
    w->g.c = p->family == MTL__LINEAR_SOFTMAX ? p->outputs : 1;
    for (int i = 0; i < MTL__COUNT_OF(of_rows); i++)
        *of_rows[i] = mtl__arena_take(a, n, sizeof(double));
    w->row = mtl__arena_take(a, n, sizeof(int64_t));
    w->fold = mtl__arena_take(a, n, sizeof(int32_t));
    w->part = w->wants_held ? mtl__arena_take(a, n, sizeof(int32_t)) : NULL;
    w->order = mtl__arena_take(a, n + p->outputs + 2, sizeof(int64_t));
    w->s.mean = mtl__arena_take(a, p->cols, sizeof(double));
    w->s.inverse = mtl__arena_take(a, p->cols, sizeof(double));
    w->columns = mtl__arena_take(a, p->cols, sizeof(double));
    w->o.loss = mtl__arena_take(a, n * l, sizeof(double));
    mtl__design_take(&w->d, a);
    w->theta = mtl__arena_take(a, mtl__max(l, w->folds) * w->g.c * (k + 1), sizeof(double));
    if (is_closed_form(w))
        w->hat = mtl__arena_take(a, n * l, sizeof(double));
    else
        mtl__glm_take(&w->g, a);
    if (is_closed_form(w) && w->wants_held)
        w->normal = mtl__arena_take(a, (k + 1) * (k + 1), sizeof(double));
}

static mtl_status prepare(work *w, int64_t col, mtl_error *err)
{
    gather_rows(w, col);
    w->s.x = w->p->x;
    w->s.stride = w->p->x_stride;
    w->s.row = w->row;
    for (int64_t i = 0; w->part && i < w->s.rows; i++)
        w->part[i] = w->p->part[w->row[i]];
    w->d.weight = w->weight;
    w->o.weight = w->judged;
    mtl__standard_fit(&w->s, w->weight, w->d.scratch);
    w->d.k = w->s.cols;
    if (w->d.f && !mtl__design_find_basis(&w->d))
        return MTL_FAIL(err, MTL_ERR_VALUE, "linear model: the inputs are too large");
    if (is_closed_form(w))
        mtl__ridge_leverages(&w->d, w->lambdas, w->lambda, w->theta, w->hat);
    return MTL_OK;
}

static void fit_nothing(const mtl__linear_problem *p, const mtl__linear_result *out, int64_t output,
                        int64_t count)
{
    for (int64_t c = output; c < output + count; c++) {
        for (int64_t j = 0; j < p->cols; j++)
            out->weights[j * p->outputs + c] = 0;
        out->bias[c] = 0;
    }
    out->figure[output] = (mtl__linear_figure){0, (double)NAN, (double)NAN, (double)NAN};
}

/* All columns from col on that have its rows; those done are marked. */
static mtl_status fit_columns(work *w, int64_t col, bool *done, const mtl__linear_result *out,
                              mtl_error *err)
{
    const mtl__linear_problem *p = w->p;
    const bool is_softmax = p->family == MTL__LINEAR_SOFTMAX;
    mtl__arena arena = {0};
    mtl_status st;
    w->s.rows = 0;
    for (int64_t i = 0; i < p->rows; i++)
        w->s.rows += is_in(p, i, col);
    w->o.rows = w->s.rows;
    w->d.wants_basis = mtl__design_has_basis(w->s.rows, p->cols);
    if (w->s.rows == 0) {
        done[col] = true;
        fit_nothing(p, out, col, is_softmax ? p->outputs : 1);
        return MTL_OK;
    }
    take(w, &arena);
    if (!mtl__arena_reserve(&arena, p->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM,
                        "no memory for a linear model of %lld rows and %lld columns",
                        (long long)w->s.rows, (long long)p->cols);
    take(w, &arena);
    MTL_TRY(st, prepare(w, col, err), release);
    for (int64_t c = col; c < label_columns(p); c++) {
        if (done[c] || (c > col && !has_the_same_rows(p, col, c)))
            continue;
        done[c] = true;
        for (int64_t i = 0; i < w->s.rows; i++)
            w->y[i] = (double)label_of(p, w->row[i], c);
        (is_closed_form(w) ? fit_ridge : fit_glm)(w, out, c);
    }
release:
    mtl__arena_release(&arena, p->al);
    return st;
}

/* 10^(first), 10^(first - step), ...: wide enough for any task, finer where it costs nothing. */
static int64_t list_lambdas(double *list, double first, double last, int64_t per_decade)
{
    const int64_t count = (int64_t)((first - last) * (double)per_decade + 0.5) + 1;
    for (int64_t i = 0; i < count; i++)
        list[i] = mtl__exp_f64(2.302585092994046 * (first - (double)i / (double)per_decade));
    return count;
}

static mtl_status check_problem(const mtl__linear_problem *p, mtl_error *err)
{
    assert(p->rows >= 0 && p->cols >= 0 && p->outputs >= 1);
    assert(p->lambdas <= MTL__LINEAR_LAMBDAS && (p->lambda || p->lambdas == 0));
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < p->rows && st == MTL_OK; i++)
        st = check_row(p, i, err);
    return st;
}

/* Into a result of its own, so that a failure leaves the caller's as it was. */
static mtl_status fit_all(work *w, const mtl__linear_result *made, bool *done, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t c = 0; c < label_columns(w->p) && st == MTL_OK; c++)
        if (!done[c])
            st = fit_columns(w, c, done, made, err);
    return st;
}

mtl_status mtl__linear_fit(const mtl__linear_problem *p, const mtl__linear_result *out,
                           mtl_error *err)
{
    double list[MTL__LINEAR_LAMBDAS];
    work w = {.p = p, .lambda = p->lambda, .lambdas = p->lambdas};
    mtl__arena arena = {0};
    mtl__linear_result made = {0};
    bool *done = NULL;
    mtl_status st = check_problem(p, err);
    if (st != MTL_OK)
        return st;
    if (!p->lambda) {
        w.lambda = list;
        const bool is_free =
            p->family == MTL__LINEAR_SQUARE && !p->fold && mtl__design_has_basis(p->rows, p->cols);
        w.lambdas = is_free ? list_lambdas(list, 4, -6, 2) : list_lambdas(list, 3, -5, 1);
    }
    w.folds = p->folds == 0 ? FOLDS : p->folds;
    w.wants_held = p->part && out->held;
    w.s.cols = p->cols;
    w.d.s = &w.s;
    w.d.pool = p->pool;
    w.g.d = &w.d;
    w.o.lambdas = w.lambdas;
    for (int pass = 0; pass < 2; pass++) {
        made.weights = mtl__arena_take(&arena, p->cols * p->outputs, sizeof(double));
        made.bias = mtl__arena_take(&arena, p->outputs, sizeof(double));
        made.held = w.wants_held ? mtl__arena_take(&arena, p->rows * p->outputs, sizeof(double)) : NULL;
        made.figure = mtl__arena_take(&arena, p->outputs, sizeof *made.figure);
        done = mtl__arena_take(&arena, p->outputs, sizeof *done);
        if (pass == 0 && !mtl__arena_reserve(&arena, p->al))
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a linear model of %lld columns",
                            (long long)p->cols);
    }
    if (made.held)
        memcpy(made.held, out->held, (size_t)(p->rows * p->outputs) * sizeof(double));
    st = fit_all(&w, &made, done, err);
    if (st == MTL_OK) {
        memcpy(out->weights, made.weights, (size_t)(p->cols * p->outputs) * sizeof(double));
        memcpy(out->bias, made.bias, (size_t)p->outputs * sizeof(double));
        if (made.held)
            memcpy(out->held, made.held, (size_t)(p->rows * p->outputs) * sizeof(double));
        if (out->figure)
            memcpy(out->figure, made.figure, (size_t)label_columns(p) * sizeof *made.figure);
    }
    mtl__arena_release(&arena, p->al);
    return st;
}
