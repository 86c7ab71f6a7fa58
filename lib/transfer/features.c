/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "data/csr.h"
#include "transfer/move.h"

/* --- the trunk's outputs ------------------------------------------------------------------------ */

mtl_status mtl__model_eye(const mtl_model *source, mtl_model **out, mtl_error *err)
{
    const int64_t width = source->net.trunk_out;
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__spec_clone(source->spec, true, &spec, err), done);
    spec->linear_skip = false;
    MTL_TRY(st, mtl__spec_add_task(spec, "h", MTL_REGRESSION, width, err), done);
    MTL_TRY(st, mtl__model_create_blank(spec, &m, err), done);
    MTL_TRY(st, mtl__model_adopt(m, source, err), done);
    const mtl__param *p = &m->param[mtl__model_param(m, "head.h.weight")];
    for (int64_t i = 0; i < width; i++)
        m->values[p->offset + i * p->ld + i] = 1;
    *out = m;
    m = NULL;
done:
    mtl__model_destroy(m);
    mtl__spec_destroy(spec);
    return st;
}

/* Rows of the inputs, as the caller gave them, one after another. */
static void gather_block(const mtl_dataset *d, int64_t first, int64_t rows, float *x)
{
    mtl__array_gather(&d->x, d->inputs, (mtl__rows){.first = first, .count = rows}, x, d->inputs);
}

static mtl_status fill_phi(const mtl_model *source, const mtl_dataset *d, float *x,
                           mtl__sample *s, mtl_error *err)
{
    const int64_t cols = s->inputs + s->hidden;
    const mtl__input_scale scale = mtl__model_scale(source);
    mtl_model *eye = NULL;
    mtl_status st = s->hidden ? mtl__model_eye(source, &eye, err) : MTL_OK;
    for (int64_t at = 0; at < d->rows && st == MTL_OK; at += MTL__BLOCK_ROWS) {
        const int64_t rows = mtl__min(MTL__BLOCK_ROWS, d->rows - at);
        float *scaled = x + MTL__BLOCK_ROWS * d->inputs, *phi = s->phi + at * cols;
        gather_block(d, at, rows, x);
        mtl__forward_scale(source->ctx->vec, &scale, rows, x, d->inputs, NULL, scaled);
        for (int64_t i = 0; i < rows; i++)
            memcpy(phi + i * cols, scaled + i * s->inputs, (size_t)s->inputs * sizeof *phi);
        if (eye)
            st = mtl__model_predict(eye, -1, rows, x, d->inputs, phi + s->inputs, cols, err);
    }
    mtl__model_destroy(eye);
    return st;
}

/* --- labels ------------------------------------------------------------------------------------- */

static void fill_classes(const mtl__labels *l, int64_t rows, int64_t classes, float *y)
{
    for (int64_t i = 0; i < rows; i++) {
        const float label = *mtl__array_row(&l->y, i);
        for (int64_t c = 0; c < classes; c++)
            y[i * classes + c] = isnan(label) ? label : (float)(label == (float)c);
    }
}

/* One column for all outputs where there is but one. */
static void fill_values(const mtl__labels *l, int64_t rows, int64_t outputs,
                        const mtl__sample_task *t)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < outputs; j++) {
            const float label = mtl__array_row(&l->y, i)[j < l->cols ? j : 0];
            t->y[i * outputs + j] = (label - t->mean[j]) / t->scale[j];
        }
}

/* The head is there already, and with it the units that it predicts in. */
static void take_units(const mtl_model *source, const mtl__new_task *task, mtl__sample_task *t)
{
    const int64_t column = source->net.task[mtl__spec_task(source->spec, task->name)].column;
    memcpy(t->mean, source->pipe.y_mean + column, (size_t)task->outputs * sizeof *t->mean);
    memcpy(t->scale, source->pipe.y_scale + column, (size_t)task->outputs * sizeof *t->scale);
}

static mtl_status fill_task(const mtl__job *job, const mtl_dataset *d, const mtl__new_task *task,
                            mtl__sample_task *t, mtl_error *err)
{
    const int64_t number = mtl__dataset_task(d, task->name);
    const mtl__labels *l = &d->labels[number];
    const mtl__array *w = mtl__dataset_weight(d, number);
    mtl_status st = MTL_OK;
    for (int64_t j = 0; j < task->outputs; j++)
        t->scale[j] = 1;
    if (mtl__kind_is_scaled(task->kind) && job->same)
        take_units(job->source, task, t);
    else if (mtl__kind_is_scaled(task->kind))
        st = mtl__scaler_fit_labels(d, number, t->mean, t->scale, err);
    const int64_t first = job->same || !mtl__kind_is_scaled(task->kind) ? task->outputs : l->cols;
    for (int64_t j = first; j < task->outputs; j++) {
        t->mean[j] = t->mean[0];
        t->scale[j] = t->scale[0];
    }
    if (task->kind == MTL_MULTICLASS)
        fill_classes(l, d->rows, task->outputs, t->y);
    else
        fill_values(l, d->rows, task->outputs, t);
    if (w)
        mtl__array_gather(w, 1, (mtl__rows){.count = d->rows}, t->w, 1);
    else
        t->w = NULL;
    return st;
}

/* --- life --------------------------------------------------------------------------------------- */

static void plan(const mtl__job *job, const mtl_dataset *d, mtl__sample *s, float **x,
                 mtl__arena *a)
{
    const int64_t cols = s->inputs + s->hidden;
    s->phi = mtl__arena_take(a, d->rows, cols * (int64_t)sizeof(float));
    *x = mtl__arena_take(a, MTL__BLOCK_ROWS, (d->inputs + s->inputs) * (int64_t)sizeof(float));
    s->task = mtl__arena_take(a, job->tasks, sizeof *s->task);
    for (int64_t t = 0; t < job->tasks; t++) {
        const int64_t outputs = job->task[t].outputs;
        const mtl__sample_task task = {
            mtl__arena_take(a, d->rows, outputs * (int64_t)sizeof(float)),
            mtl__arena_floats(a, d->rows), mtl__arena_floats(a, outputs),
            mtl__arena_floats(a, outputs)};
        if (s->task)
            s->task[t] = task;
    }
}

/* One row of outputs for each row: an ensemble has one for each member, and no exact heads. */
static bool has_features(const mtl__network *net)
{
    return net->trunk_layers > 0 && mtl__network_has_features(net);
}

mtl_status mtl__sample_create(const mtl__job *job, const mtl_dataset *d, mtl__sample *out,
                              mtl_error *err)
{
    const mtl_model *source = job->source;
    mtl__sample s = {.al = &source->ctx->al,
                     .rows = d->rows,
                     .inputs = source->net.inputs,
                     .hidden = has_features(&source->net) ? source->net.trunk_out : 0};
    float *x;
    mtl_status st = mtl__dataset_in_memory(d, "a transfer with exact heads", err);
    if (st == MTL_OK)
        st = mtl__dataset_is_dense(d, "a transfer with exact heads", err);
    if (st != MTL_OK)
        return st;
    plan(job, d, &s, &x, &s.arena);
    if (!mtl__arena_reserve(&s.arena, s.al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for features of %lld rows",
                        (long long)d->rows);
    plan(job, d, &s, &x, &s.arena);
    st = fill_phi(source, d, x, &s, err);
    for (int64_t t = 0; t < job->tasks && st == MTL_OK; t++)
        st = fill_task(job, d, &job->task[t], &s.task[t], err);
    if (st == MTL_OK)
        *out = s;
    else
        mtl__sample_free(&s);
    return st;
}

void mtl__sample_free(mtl__sample *s)
{
    if (s->al)
        mtl__arena_release(&s->arena, s->al);
    *s = (mtl__sample){0};
}
