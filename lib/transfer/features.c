/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "data/csr.h"
#include "score/score.h"
#include "transfer/move.h"

/* --- the trunk's outputs ------------------------------------------------------------------------ */

/* Of the first layers of the trunk's list. */
static mtl_status make_eye(const mtl_model *source, int64_t layers, int64_t width, mtl_model **out,
                           mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__spec_clone(source->spec, true, &spec, err), done);
    spec->linear_skip = false;
    spec->trunk.count = layers;
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

mtl_status mtl__model_eye(const mtl_model *source, mtl_model **out, mtl_error *err)
{
    return make_eye(source, source->spec->trunk.count, source->net.trunk_out, out, err);
}

/* --- where to cut ------------------------------------------------------------------------------- */

int64_t mtl__cut_depths(const mtl_spec *s)
{
    int64_t depths = 0;
    for (int64_t i = 0; i < s->trunk.count; i++)
        depths += s->trunk.layer[i].type == &mtl__dense_layer;
    return depths;
}

/* Layers before dense layer number `depth`, counted from 0, and the units of the one before it. */
static int64_t layers_to(const mtl_spec *s, int64_t depth, int64_t *units)
{
    int64_t i = 0;
    for (int64_t dense = 0; i < s->trunk.count; i++) {
        if (s->trunk.layer[i].type != &mtl__dense_layer)
            continue;
        if (dense++ == depth)
            break;
        *units = s->trunk.layer[i].units;
    }
    return i;
}

/* Columns less their means over the rows that have a number: for an intercept, which the score has not. */
static void centre(float *x, int64_t rows, int64_t cols, int64_t ld)
{
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0, n = 0;
        for (int64_t i = 0; i < rows; i++) {
            const float v = x[i * ld + j];
            sum += isnan(v) ? 0 : (double)v;
            n += !isnan(v);
        }
        for (int64_t i = 0; i < rows; i++)
            x[i * ld + j] = (float)((double)x[i * ld + j] - sum / n);
    }
}

/* Rows of the inputs, as the caller gave them, one after another. */
static void gather_block(const mtl_dataset *d, int64_t first, int64_t rows, float *x)
{
    mtl__array_gather(&d->x, d->inputs, (mtl__rows){.first = first, .count = rows}, x, d->inputs);
}

/* What columns promise for the job's tasks, their labels less their means: the mean over tasks; NaN where
   no label varies. */
static mtl_status promise_of(const mtl__job *job, const mtl__sample *s, float *x, int64_t cols, int64_t ld,
                             double *score, mtl_error *err)
{
    mtl_status st = MTL_OK;
    *score = 0;
    centre(x, s->rows, cols, ld);
    for (int64_t t = 0; t < job->tasks && st == MTL_OK; t++) {
        double one = 0;
        centre(s->task[t].y, s->rows, job->task[t].outputs, job->task[t].outputs);
        const mtl__score_args a = {.rows = s->rows,
                                   .cols = cols,
                                   .x = x,
                                   .x_stride = ld,
                                   .label_cols = job->task[t].outputs,
                                   .label = s->task[t].y,
                                   .label_stride = job->task[t].outputs,
                                   .al = s->al};
        st = mtl__score_compute("logme", &a, &one, err);
        *score += one / (double)job->tasks;
    }
    return st;
}

/* Of the trunk of a model. */
static mtl_status promise_of_trunk(const mtl__job *job, const mtl_model *m, const mtl_dataset *rows,
                                   double *score, mtl_error *err)
{
    mtl__job of = *job;
    mtl__sample s = {0};
    of.source = m;
    mtl_status st = mtl__sample_create(&of, rows, &s, err);
    if (st == MTL_OK)
        st = promise_of(&of, &s, s.phi + s.inputs, s.hidden, s.inputs + s.hidden, score, err);
    mtl__sample_free(&s);
    return st;
}

mtl_status mtl__promise_of_tasks(const mtl__job *job, const mtl_dataset *rows, double *score, mtl_error *err)
{
    const mtl_model *m = job->source;
    const int64_t cols = rows->inputs, out = m->net.outputs;
    float *x = mtl__alloc_array(&m->ctx->al, rows->rows, (cols + out) * (int64_t)sizeof *x), *z;
    mtl__sample s = {0};
    if (!x)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows", (long long)rows->rows);
    z = x + rows->rows * cols;
    mtl_status st = mtl__sample_create(job, rows, &s, err);
    if (st == MTL_OK) {
        gather_block(rows, 0, rows->rows, x);
        st = mtl__model_predict(m, -1, rows->rows, x, cols, z, out, err);
    }
    for (int64_t t = 0, at = 0; t < m->net.tasks && st == MTL_OK; at += m->spec->task[t++].outputs)
        st = promise_of(job, &s, z + at, m->spec->task[t].outputs, out, &score[t], err);
    mtl__sample_free(&s);
    mtl__free(&m->ctx->al, x, rows->rows * (cols + out) * (int64_t)sizeof *x);
    return st;
}

mtl_status mtl__cut(const mtl__job *job, const mtl_dataset *rows, mtl_model **out, mtl_error *err)
{
    const mtl_spec *spec = job->source->spec;
    double best;
    mtl_model *m = NULL;
    *out = NULL;
    mtl_status st = promise_of_trunk(job, job->source, rows, &best, err);
    for (int64_t depth = mtl__cut_depths(spec) - 1; depth > 0 && st == MTL_OK; depth--) {
        int64_t units = 0;
        double score;
        const int64_t layers = layers_to(spec, depth, &units);
        MTL_TRY(st, make_eye(job->source, layers, units, &m, err), done);
        MTL_TRY(st, promise_of_trunk(job, m, rows, &score, err), done);
        if (score > best) {
            mtl__model_destroy(*out);
            *out = m;
            m = NULL;
            best = score;
        }
        mtl__model_destroy(m);
        m = NULL;
    }
done:
    mtl__model_destroy(m);
    if (st != MTL_OK) {
        mtl__model_destroy(*out);
        *out = NULL;
    }
    return st;
}

/* --- rows --------------------------------------------------------------------------------------- */

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
