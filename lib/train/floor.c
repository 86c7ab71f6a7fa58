/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "linear/linear.h"
#include "train/verdict.h"

/* Families by the kind of task; -1 = none. */
static int family_of(const mtl__task_spec *t)
{
    static const int of_kind[] = {
        [MTL_BINARY] = MTL__LINEAR_LOGISTIC,     [MTL_MULTICLASS] = MTL__LINEAR_SOFTMAX,
        [MTL_MULTILABEL] = MTL__LINEAR_LOGISTIC, [MTL_REGRESSION] = MTL__LINEAR_SQUARE,
        [MTL_COUNT] = MTL__LINEAR_POISSON,       [MTL_QUANTILE] = -1,
    };
    return t->loss->has_thresholds || t->loss_cb ? -1 : of_kind[t->kind];
}

bool mtl__floor_serves(const mtl__task_spec *t)
{
    return family_of(t) >= 0;
}

bool mtl__floor_pools(const mtl__task_spec *t)
{
    return family_of(t) == MTL__LINEAR_SQUARE && t->outputs == 1;
}

/* Inputs, the labels of some tasks as the network sees them, and what is found. */
typedef struct exact {
    const bool *in; /* [tasks] */
    int64_t first, outputs, labels; /* the first of them; columns of all */
    float *x, *y, *w, *head;
    int64_t *scratch;
    double *weights, *bias, *held;
} exact;

static void take(exact *f, const mtl_model *m, const mtl__binding *b, bool is_held, mtl__arena *a)
{
    const int64_t in = m->net.inputs, out = f->outputs, rows = b->data->rows;
    const bool has_weights = mtl__dataset_weight(b->data, b->label[f->first]) != NULL;
    f->x = mtl__arena_take(a, rows, in * (int64_t)sizeof(float));
    f->y = mtl__arena_take(a, rows, f->labels * (int64_t)sizeof(float));
    f->w = has_weights ? mtl__arena_floats(a, rows) : NULL;
    f->head = mtl__arena_take(a, in, out * (int64_t)sizeof(float));
    f->scratch = mtl__arena_take(a, rows, sizeof *f->scratch);
    f->weights = mtl__arena_take(a, in, out * (int64_t)sizeof(double));
    f->bias = mtl__arena_take(a, out, sizeof(double));
    f->held = is_held ? mtl__arena_take(a, rows, out * (int64_t)sizeof(double)) : NULL;
}

static void read_rows(exact *f, const mtl_model *m, const mtl__binding *b)
{
    const mtl__rows all = {.count = b->data->rows};
    float *y = f->y;
    mtl__binding_inputs(b, m, all, f->scratch, f->x);
    if (f->w)
        mtl__array_gather(mtl__dataset_weight(b->data, b->label[f->first]), 1, all, f->w, 1);
    for (int64_t t = f->first; t < m->net.tasks; t++) {
        const int64_t cols = mtl__model_label_cols(m, t), column = m->net.task[t].column;
        if (!f->in[t])
            continue;
        mtl__array_gather(&b->data->labels[b->label[t]].y, cols, all, y, f->labels);
        for (int64_t i = 0; i < all.count && mtl__kind_is_scaled(m->spec->task[t].kind); i++)
            for (int64_t j = 0; j < cols; j++)
                y[i * f->labels + j] = (y[i * f->labels + j] - m->pipe.y_mean[column + j]) /
                                       m->pipe.y_scale[column + j];
        y += cols;
    }
}

/* The head of a task, whose outputs begin at `at`. */
static void set_head(mtl_model *m, const exact *f, int64_t task, int64_t at)
{
    const int64_t in = m->net.inputs, out = m->spec->task[task].outputs;
    for (int64_t i = 0; i < m->params; i++) {
        const bool is_bias = m->param[i].role != MTL__MATRIX;
        if (m->param[i].task != task)
            continue;
        for (int64_t j = 0; j < out; j++)
            for (int64_t k = 0; k < (is_bias ? 1 : in); k++)
                f->head[k * out + j] = (float)(is_bias ? f->bias[at + j]
                                                       : f->weights[k * f->outputs + at + j]);
        mtl__param_set(m, &m->param[i], f->head);
    }
    m->is_set = true;
}

/* Into z [rows, outputs of the model]. */
static void put_held(const mtl_model *m, const exact *f, int64_t rows, int64_t task, int64_t at,
                     float *z)
{
    z += m->net.task[task].column;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < m->spec->task[task].outputs; j++)
            z[i * m->net.outputs + j] = (float)f->held[i * f->outputs + at + j];
}

/* The tasks of a group, whose labels the same rows have: what is found of the inputs serves all. */
static mtl_status solve(mtl_model *m, const bool *in, int64_t first, const mtl__binding *b,
                        const mtl_options *o, mtl__floor_parts *parts, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const int64_t rows = b->data->rows;
    mtl__arena arena = {0};
    exact f = {.in = in, .first = first};
    for (int64_t t = first; t < m->net.tasks; t++) {
        f.outputs += in[t] ? m->spec->task[t].outputs : 0;
        f.labels += in[t] ? mtl__model_label_cols(m, t) : 0;
    }
    take(&f, m, b, parts != NULL, &arena);
    if (!mtl__arena_reserve_raw(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a linear model of %lld rows",
                        (long long)rows);
    take(&f, m, b, parts != NULL, &arena);
    read_rows(&f, m, b);
    for (int64_t i = 0; f.held && i < rows * f.outputs; i++)
        f.held[i] = NAN;
    const mtl__linear_problem p = {
        .family = (mtl__linear_family)family_of(&m->spec->task[first]),
        .rows = rows,
        .cols = m->net.inputs,
        .outputs = f.outputs,
        .x = f.x,
        .x_stride = m->net.inputs,
        .label = f.y,
        .label_stride = f.labels,
        .weight = f.w,
        .part = parts ? parts->of_row : NULL,
        .parts = parts ? parts->count : 0,
        .seed = (uint64_t)mtl__option_i64(o, &mtl__fit_options, "seed"),
        .al = al,
        .pool = atomic_load(&m->ctx->pool),
    };
    const mtl__linear_result found = {.weights = f.weights, .bias = f.bias, .held = f.held};
    mtl_status st = mtl__linear_fit(&p, &found, err);
    for (int64_t t = first, at = 0; t < m->net.tasks && st == MTL_OK; t++) {
        if (!in[t])
            continue;
        set_head(m, &f, t, at);
        if (f.held)
            put_held(m, &f, rows, t, at, parts->p);
        at += m->spec->task[t].outputs;
    }
    mtl__arena_release(&arena, al);
    return st;
}

static bool can_solve(const mtl_model *m, const mtl__binding *b, int64_t task)
{
    return b->label[task] >= 0 && mtl__floor_serves(&m->spec->task[task]) && !b->window &&
           !mtl__binding_is_sparse(b);
}

static bool goes_with(const mtl_model *m, const mtl__binding *b, int64_t task, int64_t other)
{
    const int family = family_of(&m->spec->task[task]);
    const mtl__labels *l = &b->data->labels[b->label[task]], *k = &b->data->labels[b->label[other]];
    if (family == MTL__LINEAR_SOFTMAX || family != family_of(&m->spec->task[other]) ||
        mtl__dataset_weight(b->data, b->label[task]) != mtl__dataset_weight(b->data, b->label[other]))
        return false;
    for (int64_t r = 0; r < b->data->rows; r++)
        if (mtl__labels_at(l, r) != mtl__labels_at(k, r))
            return false;
    return true;
}

/* Group after group; in: [tasks], scratch, then [tasks] that are done. */
static mtl_status solve_all(mtl_model *m, bool *in, const mtl__binding *b, const mtl_options *o,
                            mtl__floor_parts *parts, mtl_error *err)
{
    const int64_t tasks = m->net.tasks;
    bool *done = in + tasks, any = false;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < tasks && st == MTL_OK; t++) {
        if (done[t] || !can_solve(m, b, t))
            continue;
        if (parts && any && parts->is_over(parts->self)) {
            parts->tasks = t;
            break;
        }
        memset(in, 0, (size_t)tasks * sizeof *in);
        for (int64_t k = t; k < tasks; k++) {
            in[k] = k == t || (!done[k] && can_solve(m, b, k) && goes_with(m, b, t, k));
            done[k] = done[k] || in[k];
        }
        st = solve(m, in, t, b, o, parts, err);
        any = true;
    }
    return st;
}

/* What the models of all rows say, under what is said of rows left out. */
static mtl_status predict_all(const mtl_model *m, mtl__binding *b, float *z, mtl_error *err)
{
    const int64_t outputs = m->net.outputs;
    mtl__judge *j = NULL;
    mtl_status st = mtl__judge_create(m, b, &j, err);
    *b = (mtl__binding){0};
    if (st != MTL_OK)
        return st;
    j->is_raw = true;
    mtl__judge_run(j);
    for (int64_t i = 0; i < j->rows * outputs; i++)
        z[i] = isnan(z[i]) ? j->predicted[i] : z[i];
    mtl__forward_link(&m->forward, j->rows, z, outputs);
    mtl__judge_destroy(j);
    return st;
}

/* --- one model for all tasks --------------------------------------------------------------------- */

/* Rows of all tasks one after the other, inputs and targets without their task's means. */
typedef struct pool {
    int64_t rows;
    float *all, *x, *y, *w, *head; /* all: [rows of the data, inputs] */
    int64_t *scratch;
    double *mean; /* [tasks, inputs] */
    double *weights, bias;
} pool;

static void take_pool(pool *p, const mtl_model *m, const mtl__binding *b, mtl__arena *a)
{
    const int64_t in = m->net.inputs;
    p->all = mtl__arena_take(a, b->data->rows, in * (int64_t)sizeof(float));
    p->scratch = mtl__arena_take(a, b->data->rows, sizeof *p->scratch);
    p->x = mtl__arena_take(a, p->rows, in * (int64_t)sizeof(float));
    p->y = mtl__arena_floats(a, p->rows);
    p->w = mtl__arena_floats(a, p->rows);
    p->head = mtl__arena_floats(a, in);
    p->mean = mtl__arena_take(a, m->net.tasks, in * (int64_t)sizeof(double));
    p->weights = mtl__arena_take(a, in, sizeof(double));
}

static bool is_pooled(const mtl_model *m, const mtl__binding *b, int64_t task)
{
    return can_solve(m, b, task) && mtl__floor_pools(&m->spec->task[task]);
}

/* The rows of a task from row `at` on; returns their end. */
static int64_t stack(pool *p, const mtl_model *m, const mtl__binding *b, int64_t task, int64_t at)
{
    const mtl__labels *l = &b->data->labels[b->label[task]];
    const mtl__array *weight = mtl__dataset_weight(b->data, b->label[task]);
    const int64_t in = m->net.inputs, column = m->net.task[task].column, first = at;
    double *mean = p->mean + task * in, total = 0;
    for (int64_t r = 0; r < b->data->rows; r++) {
        if (!mtl__labels_at(l, r))
            continue;
        const float *x = p->all + r * in;
        p->w[at] = weight ? *mtl__array_row(weight, r) : 1;
        p->y[at] = (*mtl__array_row(&l->y, r) - m->pipe.y_mean[column]) / m->pipe.y_scale[column];
        for (int64_t j = 0; j < in; j++) {
            p->x[at * in + j] = x[j];
            mean[j] += (double)p->w[at] * (double)x[j];
        }
        total += (double)p->w[at++];
    }
    for (int64_t j = 0; j < in && total > 0; j++)
        mean[j] /= total;
    for (int64_t r = first; r < at; r++)
        for (int64_t j = 0; j < in; j++)
            p->x[r * in + j] -= (float)mean[j];
    return at;
}

/* The same weights for each task, and an intercept of its own. */
static void set_heads(mtl_model *m, const mtl__binding *b, pool *p)
{
    const int64_t in = m->net.inputs;
    for (int64_t i = 0; i < m->params; i++) {
        const mtl__param *q = &m->param[i];
        const bool is_bias = q->role != MTL__MATRIX;
        double bias = p->bias;
        if (q->task < 0 || !is_pooled(m, b, q->task))
            continue;
        for (int64_t j = 0; j < in; j++) {
            p->head[j] = (float)p->weights[j];
            bias -= p->weights[j] * p->mean[q->task * in + j];
        }
        if (is_bias)
            p->head[0] = (float)bias;
        mtl__param_set(m, q, p->head);
    }
    m->is_set = true;
}

static mtl_status solve_pool(mtl_model *m, const mtl__binding *b, const mtl_options *o,
                             mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const mtl__rows all = {.count = b->data->rows};
    mtl__arena arena = {0};
    pool p = {0};
    for (int64_t t = 0; t < m->net.tasks; t++)
        for (int64_t r = 0; r < all.count && is_pooled(m, b, t); r++)
            p.rows += mtl__labels_at(&b->data->labels[b->label[t]], r);
    take_pool(&p, m, b, &arena);
    if (!mtl__arena_reserve(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a linear model of %lld rows",
                        (long long)p.rows);
    take_pool(&p, m, b, &arena);
    mtl__binding_inputs(b, m, all, p.scratch, p.all);
    int64_t at = 0;
    for (int64_t t = 0; t < m->net.tasks; t++)
        if (is_pooled(m, b, t))
            at = stack(&p, m, b, t, at);
    const mtl__linear_problem problem = {
        .family = MTL__LINEAR_SQUARE,
        .rows = p.rows,
        .cols = m->net.inputs,
        .outputs = 1,
        .x = p.x,
        .x_stride = m->net.inputs,
        .label = p.y,
        .label_stride = 1,
        .weight = p.w,
        .seed = (uint64_t)mtl__option_i64(o, &mtl__fit_options, "seed"),
        .al = al,
        .pool = atomic_load(&m->ctx->pool),
    };
    const mtl__linear_result found = {.weights = p.weights, .bias = &p.bias};
    mtl_status st = mtl__linear_fit(&problem, &found, err);
    if (st == MTL_OK)
        set_heads(m, b, &p);
    mtl__arena_release(&arena, al);
    return st;
}

/* --- the calls ----------------------------------------------------------------------------------- */

static mtl_status fit(mtl_model *m, bool pooled, const mtl_dataset *train, const mtl_options *o,
                      mtl__floor_parts *parts, mtl_error *err)
{
    const int64_t tasks = m->net.tasks, bytes = 2 * tasks * (int64_t)sizeof(bool);
    mtl__binding b = {0};
    mtl__scaling s = {0};
    int64_t first = 0;
    bool *in = mtl__alloc_zero(&m->ctx->al, bytes);
    if (!in)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld tasks", (long long)tasks);
    for (int64_t i = 0; parts && i < train->rows * m->net.outputs; i++)
        parts->p[i] = NAN;
    mtl_status st = mtl__binding_create(m, train, "train", &b, err);
    while (st == MTL_OK && first < tasks && !(pooled ? is_pooled(m, &b, first) : can_solve(m, &b, first)))
        first++;
    if (st == MTL_OK && first == tasks)
        st = MTL_FAIL(err, MTL_ERR_DATA, "task \"%.64s\" has no linear model",
                      m->spec->task[0].name);
    if (st == MTL_OK)
        st = mtl__fit_scaling(m, &b, o, &s, err);
    if (st == MTL_OK)
        mtl__scaling_apply(&s, m);
    if (parts)
        parts->tasks = tasks;
    if (st == MTL_OK)
        st = pooled ? solve_pool(m, &b, o, err) : solve_all(m, in, &b, o, parts, err);
    if (st == MTL_OK && parts)
        st = predict_all(m, &b, parts->p, err);
    mtl__scaling_free(&s);
    mtl__binding_free(&b);
    mtl__free(&m->ctx->al, in, bytes);
    return st;
}

mtl_status mtl__floor_fit(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                          mtl__floor_parts *parts, mtl_error *err)
{
    return fit(m, false, train, o, parts, err);
}

mtl_status mtl__floor_fit_pooled(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                                 mtl_error *err)
{
    return fit(m, true, train, o, NULL, err);
}
