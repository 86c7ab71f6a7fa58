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

mtl_status mtl__floor_fit(mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                          mtl_error *err)
{
    mtl__binding b = {0};
    mtl__scaling s = {0};
    int64_t first = 0;
    mtl_status st = mtl__binding_create(m, train, "train", &b, err);
    while (st == MTL_OK && first < m->net.tasks && !can_solve(m, &b, first))
        first++;
    if (st == MTL_OK && first == m->net.tasks)
        st = MTL_FAIL(err, MTL_ERR_DATA, "task \"%.64s\" has no linear model",
                      m->spec->task[0].name);
    if (st == MTL_OK)
        st = mtl__fit_scaling(m, &b, o, &s, err);
    if (st == MTL_OK)
        mtl__scaling_apply(&s, m);
    for (int64_t t = first; t < m->net.tasks && st == MTL_OK; t++)
        if (can_solve(m, &b, t))
            st = solve(m, t, &b, o, err);
    mtl__scaling_free(&s);
    mtl__binding_free(&b);
    return st;
}
