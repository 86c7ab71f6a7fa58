/* SPDX-License-Identifier: MIT */
#include "train/binding.h"

#include <math.h>
#include <string.h>

#include "data/csr.h"

/* Losses of amounts above 0 cannot take a 0, which the task's kind allows. */
static mtl_status check_positive(const mtl__task_spec *t, const mtl__labels *l, int64_t rows,
                                 mtl_error *err)
{
    if (!t->loss->is_positive || t->loss_cb)
        return MTL_OK;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < l->cols; j++)
            if (mtl__array_row(&l->y, r)[j] <= 0)
                return MTL_FAIL(err, MTL_ERR_VALUE,
                                "task \"%.64s\": row %lld, column %lld is 0; the loss %s needs "
                                "labels above 0",
                                t->name, (long long)r, (long long)j, t->loss->choice.name);
    return MTL_OK;
}

static mtl_status bind_task(const mtl_model *m, const mtl_spec *of, mtl__binding *b, int64_t task,
                            mtl_error *err)
{
    const mtl__task_spec *t = &m->spec->task[task];
    const bool is_meant = !of || mtl__spec_task(of, t->name) >= 0;
    b->label[task] = is_meant ? mtl__dataset_task(b->data, t->name) : -1;
    if (b->label[task] < 0)
        return MTL_OK;
    mtl_status st = mtl__dataset_check_labels(b->data, b->label[task], t->kind, t->outputs, err);
    if (st == MTL_OK)
        st = check_positive(t, &b->data->labels[b->label[task]], b->data->rows, err);
    return st;
}

static bool has_label(const mtl__binding *b, int64_t task)
{
    const mtl__labels *labels = &b->data->labels[b->label[task]];
    for (int64_t r = 0; r < b->data->rows; r++)
        for (int64_t j = 0; j < labels->cols; j++)
            if (!isnan(mtl__array_row(&labels->y, r)[j]))
                return true;
    return false;
}

static mtl_status check_shape(const mtl_model *m, const mtl_dataset *data, const char *what,
                              mtl_error *err)
{
    if (data->inputs != m->net.raw_inputs)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: the model has %lld input columns, the data %lld",
                        what, (long long)m->net.raw_inputs, (long long)data->inputs);
    if (data->rows == 0)
        return MTL_FAIL(err, MTL_ERR_DATA, "%s: the data set has no rows", what);
    mtl_status st = MTL_OK;
    if (mtl__dataset_is_sparse(data))
        st = mtl__model_takes_sparse(m, what, err);
    return st == MTL_OK ? mtl__dataset_check_inputs(data, err) : st;
}

/* ---- Streamed inputs ---- */

int64_t mtl__binding_window(const mtl_dataset *d)
{
    return d->stream ? mtl__min(d->rows, mtl__max(mtl__dataset_window(d), MTL__BLOCK_ROWS)) : d->rows;
}

static mtl_status make_window(mtl__binding *b, mtl_error *err)
{
    const mtl_dataset *d = b->data;
    if (!d->stream)
        return MTL_OK;
    int64_t rows = mtl__binding_window(d), count;
    mtl__window *w = mtl__alloc_zero(b->al, sizeof *w);
    if (w && mtl__mul_size(rows, d->inputs, &count))
        w->x = mtl__alloc_array(b->al, count, sizeof *w->x);
    if (!w || !w->x) {
        mtl__free(b->al, w, sizeof *w);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a window of %lld rows", (long long)rows);
    }
    w->capacity = rows;
    b->window = w;
    return MTL_OK;
}

void mtl__binding_load(const mtl__binding *b, int64_t first, int64_t count)
{
    mtl__window *w = b->window;
    if (!w || (first >= w->first && first + count <= w->first + w->count))
        return;
    w->first = first;
    w->count = mtl__min(w->capacity, b->data->rows - first);
    assert(count <= w->count);
    mtl_status st = mtl__dataset_read(b->data, first, w->count, w->x, &w->why);
    for (int64_t i = 0; st != MTL_OK && i < w->count * b->data->inputs; i++)
        w->x[i] = 0; /* for what is still to run before the failure is seen */
}

mtl_status mtl__binding_status(const mtl__binding *b, mtl_error *err)
{
    if (!b->window || b->window->why.code == MTL_OK)
        return MTL_OK;
    return MTL_FAIL(err, b->window->why.code, "%s", b->window->why.message);
}

/* ---- Life ---- */

static mtl_status create(const mtl_model *m, const mtl_spec *of, const mtl_dataset *data,
                         bool bare, const char *what, mtl__binding *out, mtl_error *err)
{
    mtl__binding b = {.data = data, .tasks = m->net.tasks, .al = &m->ctx->al};
    bool any = bare;
    mtl_status st = check_shape(m, data, what, err);
    if (st != MTL_OK)
        return st;
    b.label = mtl__alloc_array(b.al, b.tasks, sizeof *b.label);
    if (!b.label)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld tasks", (long long)b.tasks);
    st = make_window(&b, err);
    for (int64_t t = 0; t < b.tasks && st == MTL_OK; t++) {
        st = bind_task(m, of, &b, t, err);
        if (st == MTL_OK && !any && b.label[t] >= 0)
            any = has_label(&b, t);
    }
    if (st == MTL_OK && !any)
        st = MTL_FAIL(err, MTL_ERR_DATA, "%s: the data set has labels of no task of the model",
                      what);
    if (st == MTL_OK)
        *out = b;
    else
        mtl__binding_free(&b);
    return st;
}

mtl_status mtl__binding_create(const mtl_model *m, const mtl_dataset *data, const char *what,
                               mtl__binding *out, mtl_error *err)
{
    return create(m, NULL, data, false, what, out, err);
}

mtl_status mtl__binding_create_of(const mtl_model *m, const mtl_spec *of, const mtl_dataset *data,
                                  const char *what, mtl__binding *out, mtl_error *err)
{
    return create(m, of, data, false, what, out, err);
}

mtl_status mtl__binding_create_bare(const mtl_model *m, const mtl_dataset *data, const char *what,
                                    mtl__binding *out, mtl_error *err)
{
    return create(m, NULL, data, true, what, out, err);
}

void mtl__binding_free(mtl__binding *b)
{
    if (b->window) {
        mtl__free(b->al, b->window->x, b->window->capacity * b->data->inputs * (int64_t)sizeof(float));
        mtl__free(b->al, b->window, sizeof *b->window);
    }
    if (b->label)
        mtl__free(b->al, b->label, b->tasks * (int64_t)sizeof *b->label);
    if (b->ready)
        mtl__free(b->al, b->ready, b->ready_bytes);
    *b = (mtl__binding){0};
}

bool mtl__binding_is_sparse(const mtl__binding *b)
{
    return mtl__dataset_is_sparse(b->data);
}

void mtl__binding_sparse(const mtl__binding *b, mtl__rows rows, mtl__sparse_row *to)
{
    for (int64_t i = 0; i < rows.count; i++)
        to[i] = mtl__dataset_sparse_row(b->data, rows.index ? rows.index[i] : rows.first + i);
}

/* Unfolded, for who asks for all columns; sparse inputs have no indicators. */
static void fill_sparse(const mtl__binding *b, const mtl_model *m, mtl__rows rows, float *x)
{
    const int64_t inputs = m->net.inputs;
    for (int64_t i = 0; i < rows.count; i++)
        mtl__csr_fill_row(b->data, rows.index ? rows.index[i] : rows.first + i, x + i * inputs);
    if (!m->members)
        m->ctx->vec->standardize(rows.count, inputs, x, inputs, NULL, m->pipe.x_mean,
                                 m->pipe.x_inverse, x);
}

static void take_ready(const mtl__binding *b, int64_t inputs, mtl__rows rows, float *x)
{
    for (int64_t i = 0; i < rows.count; i++)
        memcpy(x + i * inputs, b->ready + (rows.index ? rows.index[i] : rows.first + i) * inputs,
               (size_t)inputs * sizeof *x);
}

void mtl__binding_make_ready(mtl__binding *b, const mtl_model *m)
{
    int64_t count;
    if (b->ready || m->members || m->pipe.warp.knots <= 1 || b->window || mtl__binding_is_sparse(b) ||
        !mtl__mul_size(b->data->rows, m->net.inputs, &count))
        return;
    float *ready = mtl__alloc_array(b->al, count, sizeof *ready);
    if (!ready)
        return;
    mtl__binding_inputs(b, m, (mtl__rows){.count = b->data->rows}, NULL, ready);
    b->ready = ready;
    b->ready_bytes = count * (int64_t)sizeof *ready;
}

void mtl__binding_inputs(const mtl__binding *b, const mtl_model *m, mtl__rows rows,
                         int64_t *scratch, float *x)
{
    if (mtl__binding_is_sparse(b)) {
        fill_sparse(b, m, rows, x);
        return;
    }
    if (b->ready) {
        take_ready(b, m->net.inputs, rows, x);
        return;
    }
    mtl__array window = {.stride = m->net.raw_inputs};
    const mtl__array *a = &b->data->x;
    const float *base;
    if (b->window) {
        window.p = b->window->x;
        a = &window;
        rows.first -= b->window->first;
        for (int64_t i = 0; rows.index && i < rows.count; i++)
            scratch[i] = rows.index[i] - b->window->first;
        rows.index = rows.index ? scratch : NULL;
    }
    const int64_t *index = mtl__array_places(a, rows, scratch, &base);
    const mtl__input_scale scale = mtl__model_scale(m);
    mtl__forward_scale(m->ctx->vec, &scale, rows.count, base, a->stride, index, x);
}
