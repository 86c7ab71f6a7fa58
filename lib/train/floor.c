/* SPDX-License-Identifier: MIT */
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

/* Inputs and the labels of one task as the network sees them, and what is found. */
typedef struct exact {
    int64_t task, outputs, labels;
    float *x, *y, *w, *head;
    int64_t *scratch;
    double *weights, *bias;
} exact;

static void take(exact *f, const mtl_model *m, const mtl__binding *b, mtl__arena *a)
{
    const int64_t in = m->net.inputs, out = f->outputs, rows = b->data->rows;
    const bool has_weights = mtl__dataset_weight(b->data, b->label[f->task]) != NULL;
    f->x = mtl__arena_take(a, rows, in * (int64_t)sizeof(float));
    f->y = mtl__arena_take(a, rows, f->labels * (int64_t)sizeof(float));
    f->w = has_weights ? mtl__arena_floats(a, rows) : NULL;
    f->head = mtl__arena_take(a, in, out * (int64_t)sizeof(float));
    f->scratch = mtl__arena_take(a, rows, sizeof *f->scratch);
    f->weights = mtl__arena_take(a, in, out * (int64_t)sizeof(double));
    f->bias = mtl__arena_take(a, out, sizeof(double));
}

static void read_rows(exact *f, const mtl_model *m, const mtl__binding *b)
{
    const mtl__rows all = {.count = b->data->rows};
    const int64_t label = b->label[f->task], column = m->net.task[f->task].column;
    mtl__binding_inputs(b, m, all, f->scratch, f->x);
    mtl__array_gather(&b->data->labels[label].y, f->labels, all, f->y, f->labels);
    if (f->w)
        mtl__array_gather(mtl__dataset_weight(b->data, label), 1, all, f->w, 1);
    if (!mtl__kind_is_scaled(m->spec->task[f->task].kind))
        return;
    for (int64_t i = 0; i < all.count * f->labels; i++)
        f->y[i] = (f->y[i] - m->pipe.y_mean[column + i % f->labels]) /
                  m->pipe.y_scale[column + i % f->labels];
}

static void set_head(mtl_model *m, const exact *f)
{
    const int64_t in = m->net.inputs, out = f->outputs;
    for (int64_t i = 0; i < m->params; i++) {
        const bool is_bias = m->param[i].role != MTL__MATRIX;
        const double *from = is_bias ? f->bias : f->weights;
        if (m->param[i].task != f->task)
            continue;
        for (int64_t j = 0; j < (is_bias ? out : in * out); j++)
            f->head[j] = (float)from[j];
        mtl__param_set(m, &m->param[i], f->head);
    }
    m->is_set = true;
}

static mtl_status solve(mtl_model *m, int64_t task, const mtl__binding *b, const mtl_options *o,
                        mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl__arena arena = {0};
    exact f = {.task = task,
               .outputs = m->spec->task[task].outputs,
               .labels = mtl__model_label_cols(m, task)};
    take(&f, m, b, &arena);
    if (!mtl__arena_reserve_raw(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a linear model of %lld rows",
                        (long long)b->data->rows);
    take(&f, m, b, &arena);
    read_rows(&f, m, b);
    const mtl__linear_problem p = {
        .family = (mtl__linear_family)family_of(&m->spec->task[task]),
        .rows = b->data->rows,
        .cols = m->net.inputs,
        .outputs = f.outputs,
        .x = f.x,
        .x_stride = m->net.inputs,
        .label = f.y,
        .label_stride = f.labels,
        .weight = f.w,
        .seed = (uint64_t)mtl__option_i64(o, &mtl__fit_options, "seed"),
        .al = al,
        .pool = atomic_load(&m->ctx->pool),
    };
    const mtl__linear_result found = {.weights = f.weights, .bias = f.bias};
    mtl_status st = mtl__linear_fit(&p, &found, err);
    if (st == MTL_OK)
        set_head(m, &f);
    mtl__arena_release(&arena, al);
    return st;
}

static bool can_solve(const mtl_model *m, const mtl__binding *b, int64_t task)
{
    return b->label[task] >= 0 && mtl__floor_serves(&m->spec->task[task]) && !b->window &&
           !mtl__binding_is_sparse(b);
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
                      mtl_error *err)
{
    mtl__binding b = {0};
    mtl__scaling s = {0};
    int64_t first = 0;
    mtl_status st = mtl__binding_create(m, train, "train", &b, err);
    while (st == MTL_OK && first < m->net.tasks &&
           !(pooled ? is_pooled(m, &b, first) : can_solve(m, &b, first)))
        first++;
    if (st == MTL_OK && first == m->net.tasks)
        st = MTL_FAIL(err, MTL_ERR_DATA, "task \"%.64s\" has no linear model",
                      m->spec->task[0].name);
    if (st == MTL_OK)
        st = mtl__fit_scaling(m, &b, o, &s, err);
    if (st == MTL_OK)
        mtl__scaling_apply(&s, m);
    if (st == MTL_OK && pooled)
        st = solve_pool(m, &b, o, err);
    for (int64_t t = first; t < m->net.tasks && !pooled && st == MTL_OK; t++)
        if (can_solve(m, &b, t))
            st = solve(m, t, &b, o, err);
    mtl__scaling_free(&s);
    mtl__binding_free(&b);
    return st;
}

mtl_status mtl__floor_fit(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                          mtl_error *err)
{
    return fit(m, false, train, o, err);
}

mtl_status mtl__floor_fit_pooled(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                                 mtl_error *err)
{
    return fit(m, true, train, o, err);
}
