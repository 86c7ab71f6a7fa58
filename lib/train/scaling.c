/* SPDX-License-Identifier: MIT */
#include "train/fit.h"

#include <float.h>
#include <math.h>
#include <string.h>

static float *copy_of(const mtl__allocator *al, const float *values, int64_t n)
{
    float *p = mtl__alloc_array(al, n, sizeof *p);
    return p ? memcpy(p, values, (size_t)n * sizeof *p) : NULL;
}

/* --- balanced class weights ---------------------------------------------------------------------- */

/* Of the labels that each class has to its weight, labels / (classes * labels of the class) over the
   classes that occur; 1 for one that does not. */
static void weigh_classes(int64_t classes, const int64_t *count, int64_t step, float *weight)
{
    int64_t labels = 0, occur = 0;
    for (int64_t c = 0; c < classes; c++) {
        labels += count[c * step];
        occur += count[c * step] > 0;
    }
    for (int64_t c = 0; c < classes; c++) {
        double n = (double)count[c * step];
        weight[c] = n > 0 ? (float)((double)labels / ((double)occur * n)) : 1;
    }
}

/* count: [outputs] of a multiclass task, else [2, outputs] for the labels 0 and 1. */
static void count_labels(const mtl__binding *b, int64_t label, bool by_class, int64_t outputs,
                         int64_t *count)
{
    const mtl__labels *l = &b->data->labels[label];
    for (int64_t r = 0; r < b->data->rows; r++) {
        const float *y = mtl__array_row(&l->y, r);
        for (int64_t j = 0; j < l->cols; j++)
            if (!isnan(y[j]))
                count[by_class ? (int64_t)y[j] : (int64_t)y[j] * outputs + j]++;
    }
}

static mtl_status balance_task(const mtl_model *m, const mtl__binding *b, int64_t task,
                               mtl__scaling *s, mtl_error *err)
{
    const mtl__task_spec *t = &m->spec->task[task];
    const bool by_class = t->kind == MTL_MULTICLASS;
    float *zero = s->zero_weight + m->net.task[task].column;
    float *one = s->class_weight + m->net.task[task].column;
    int64_t bytes = 2 * t->outputs * (int64_t)sizeof(int64_t);
    int64_t *count = mtl__alloc_zero(s->al, bytes);
    if (!count)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for class weights");
    count_labels(b, b->label[task], by_class, t->outputs, count);
    if (by_class)
        weigh_classes(t->outputs, count, 1, one);
    for (int64_t j = 0; j < t->outputs && !by_class; j++) {
        float pair[2];
        weigh_classes(2, count + j, t->outputs, pair);
        zero[j] = pair[0];
        one[j] = pair[1];
    }
    mtl__free(s->al, count, bytes);
    return MTL_OK;
}

/* --- all of it ----------------------------------------------------------------------------------- */

/* A quantile task has one label column, whose figures all of its outputs share. */
static mtl_status fit_target_scale(const mtl_model *m, const mtl__binding *b, int64_t task,
                                   mtl__scaling *s, mtl_error *err)
{
    float *mean = s->y_mean + m->net.task[task].column, *scale = s->y_scale + m->net.task[task].column;
    mtl_status st = mtl__scaler_fit_labels(b->data, b->label[task], mean, scale, err);
    int64_t cols = mtl__model_label_cols(m, task);
    for (int64_t j = cols; st == MTL_OK && j < m->spec->task[task].outputs; j++) {
        mean[j] = mean[0];
        scale[j] = scale[0];
    }
    return st;
}

/* Least and largest label of each column; a column without labels has no limits. */
static void fit_limits(const mtl_model *m, const mtl__binding *b, int64_t task, mtl__scaling *s)
{
    const mtl__labels *l = &b->data->labels[b->label[task]];
    float *low = s->y_low + m->net.task[task].column, *high = s->y_high + m->net.task[task].column;
    for (int64_t j = 0; j < m->spec->task[task].outputs; j++) {
        low[j] = FLT_MAX;
        high[j] = -FLT_MAX;
        for (int64_t r = 0; r < b->data->rows; r++) {
            const float y = mtl__array_row(&l->y, r)[j < l->cols ? j : 0];
            low[j] = y < low[j] ? y : low[j];
            high[j] = y > high[j] ? y : high[j];
        }
        if (low[j] > high[j]) {
            low[j] = -FLT_MAX;
            high[j] = FLT_MAX;
        }
    }
}

static mtl_status fit_inputs_by(const mtl_model *m, const mtl__binding *b, mtl__scaler_kind kind,
                                mtl__scaling *s, mtl_error *err)
{
    mtl__warp *warp = &s->x_warp;
    int64_t count;
    s->fits_inputs = true;
    warp->knots = mtl__scaler_knots(kind, b->data->rows);
    if (warp->knots && mtl__mul_size(s->raw_inputs, warp->knots, &count))
        warp->knot = mtl__alloc_array(s->al, count, sizeof *warp->knot);
    if (warp->knots && !warp->knot) {
        warp->knots = 0;
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scaling of %lld columns",
                        (long long)s->raw_inputs);
    }
    mtl_status st = mtl__scaler_fit_inputs_by(b->data, kind, warp->knots, s->x_mean, s->x_scale,
                                              warp->knot, err);
    if (st == MTL_OK)
        mtl__model_keep_unwarped(m, warp->knots, warp->knot);
    return st;
}

/* --- edges of bins ------------------------------------------------------------------------------- */

/* The layer of bins, NULL = there is none. */
static const mtl__layer *binned(const mtl_model *m)
{
    for (int64_t i = 0; i < m->net.trunk_layers; i++)
        if (m->net.layer[i].type == &mtl__ple_layer)
            return &m->net.layer[i];
    return NULL;
}

/* The edges of a column as the network sees them: equal ones are merged, and such as make a bin so
   narrow that what is beyond the outer ones would be in other units; the last one is repeated. */
static void merge_edges(float *edge, int64_t count)
{
    const float least = 1e-5f * (edge[count - 1] - edge[0]);
    int64_t n = 1;
    for (int64_t i = 1; i < count; i++)
        if (edge[i] - edge[n - 1] > least)
            edge[n++] = edge[i];
    for (; n < count; n++)
        edge[n] = edge[n - 1];
}

/* Scaling keeps order, so the quantiles of what is scaled are the scaled quantiles. row [raw_inputs],
   seen [inputs]. */
static void scale_edges(const mtl_model *m, mtl__scaling *s, const mtl__layer *l, float *row,
                        float *inverse, float *seen)
{
    const int64_t knots = l->features + 1;
    const mtl__input_scale scale = {.raw_inputs = s->raw_inputs,
                                    .inputs = s->inputs,
                                    .mean = s->x_mean,
                                    .inverse = inverse,
                                    .warp = s->fits_inputs ? s->x_warp : m->pipe.warp};
    for (int64_t j = 0; j < s->inputs; j++)
        inverse[j] = 1 / s->x_scale[j];
    memset(row, 0, (size_t)s->raw_inputs * sizeof *row);
    for (int64_t k = 0; k < knots; k++) {
        for (int64_t c = 0; c < l->embeds; c++)
            row[m->spec->numeric[c]] = s->edges[c * knots + k];
        mtl__forward_scale(m->ctx->vec, &scale, 1, row, s->raw_inputs, NULL, seen);
        for (int64_t c = 0; c < l->embeds; c++)
            s->edges[c * knots + k] = seen[m->spec->numeric[c]];
    }
    for (int64_t c = 0; c < l->embeds; c++)
        merge_edges(s->edges + c * knots, knots);
}

static mtl_status fit_edges(const mtl_model *m, const mtl__binding *b, const mtl__layer *l,
                            mtl__scaling *s, mtl_error *err)
{
    const int64_t knots = l->features + 1, floats = s->raw_inputs + 2 * s->inputs;
    s->edges = mtl__alloc_array(s->al, l->embeds * knots, sizeof *s->edges);
    s->edge_floats = s->edges ? l->embeds * knots : 0;
    float *work = mtl__alloc_array(s->al, floats, sizeof *work);
    mtl_status st = s->edges && work ? MTL_OK
                                     : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld bins",
                                                (long long)l->features);
    if (st == MTL_OK)
        st = mtl__scaler_quantiles(b->data, l->embeds, m->spec->numeric, knots, s->edges, err);
    if (st == MTL_OK)
        scale_edges(m, s, l, work, work + s->raw_inputs, work + s->raw_inputs + s->inputs);
    mtl__free(s->al, work, floats * (int64_t)sizeof *work);
    return st;
}

mtl_status mtl__scaling_create(const mtl_model *m, const mtl__binding *b, bool fit_inputs,
                               mtl__scaler_kind kind, bool clip, const bool *fit_target, mtl__scaling *out, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl__scaling s = {.al = al,
                      .inputs = m->net.inputs,
                      .outputs = m->net.outputs,
                      .raw_inputs = m->net.raw_inputs};
    mtl_status st = MTL_OK;
    s.x_mean = copy_of(al, m->pipe.x_mean, s.inputs);
    s.x_scale = copy_of(al, m->pipe.x_scale, s.inputs);
    s.y_mean = copy_of(al, m->pipe.y_mean, s.outputs);
    s.y_scale = copy_of(al, m->pipe.y_scale, s.outputs);
    s.y_low = copy_of(al, m->pipe.y_low, s.outputs);
    s.y_high = copy_of(al, m->pipe.y_high, s.outputs);
    s.is_clipped = clip || m->pipe.is_clipped;
    s.zero_weight = copy_of(al, m->pipe.zero_weight, s.outputs);
    s.class_weight = copy_of(al, m->pipe.class_weight, s.outputs);
    const bool names_inputs = b->data->input_names && !m->pipe.input_names;
    if (names_inputs)
        s.input_names = mtl__name_list_copy(al, s.raw_inputs, b->data->input_names);
    if (!s.x_mean || !s.x_scale || !s.y_mean || !s.y_scale || !s.zero_weight || !s.class_weight ||
        !s.y_low || !s.y_high || (names_inputs && !s.input_names))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scaling");
    if (st == MTL_OK && fit_inputs)
        st = fit_inputs_by(m, b, kind, &s, err);
    if (st == MTL_OK)
        mtl__model_keep_categories(m, s.x_mean, s.x_scale);
    const mtl__layer *bins = binned(m);
    if (st == MTL_OK && bins && (fit_inputs || !m->pipe.is_fitted))
        st = fit_edges(m, b, bins, &s, err);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK && !m->pipe.is_fitted; t++)
        if (mtl__spec_is_balanced(&m->spec->task[t]) && b->label[t] >= 0)
            st = balance_task(m, b, t, &s, err);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK; t++)
        if (mtl__kind_is_scaled(m->spec->task[t].kind) && b->label[t] >= 0 && fit_target[t])
            st = fit_target_scale(m, b, t, &s, err);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK && clip; t++)
        if (mtl__kind_is_scaled(m->spec->task[t].kind) && b->label[t] >= 0 &&
            (fit_target[t] || !m->pipe.is_fitted))
            fit_limits(m, b, t, &s);
    if (st == MTL_OK)
        *out = s;
    else
        mtl__scaling_free(&s);
    return st;
}

void mtl__scaling_apply(mtl__scaling *s, mtl_model *m)
{
    if (s->fits_inputs)
        mtl__model_set_warp(m, s->x_warp);
    s->x_warp = (mtl__warp){0};
    if (s->edges)
        memcpy(m->values + binned(m)->edges, s->edges, (size_t)s->edge_floats * sizeof *s->edges);
    mtl__model_name_inputs(m, s->input_names);
    s->input_names = NULL;
    memcpy(m->pipe.x_mean, s->x_mean, (size_t)s->inputs * sizeof(float));
    memcpy(m->pipe.x_scale, s->x_scale, (size_t)s->inputs * sizeof(float));
    memcpy(m->pipe.y_low, s->y_low, (size_t)s->outputs * sizeof(float));
    memcpy(m->pipe.y_high, s->y_high, (size_t)s->outputs * sizeof(float));
    m->pipe.is_clipped = s->is_clipped;
    mtl__model_scaled(m);
    memcpy(m->pipe.y_mean, s->y_mean, (size_t)s->outputs * sizeof(float));
    memcpy(m->pipe.y_scale, s->y_scale, (size_t)s->outputs * sizeof(float));
    memcpy(m->pipe.zero_weight, s->zero_weight, (size_t)s->outputs * sizeof(float));
    memcpy(m->pipe.class_weight, s->class_weight, (size_t)s->outputs * sizeof(float));
    m->pipe.is_fitted = true;
}

void mtl__scaling_free(mtl__scaling *s)
{
    if (!s->al)
        return;
    mtl__free(s->al, s->x_warp.knot, mtl__warp_bytes(s->raw_inputs, &s->x_warp));
    if (s->edges)
        mtl__free(s->al, s->edges, s->edge_floats * (int64_t)sizeof *s->edges);
    mtl__name_list_free(s->al, s->raw_inputs, s->input_names);
    mtl__free(s->al, s->x_mean, s->inputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->x_scale, s->inputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_low, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_high, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_mean, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_scale, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->zero_weight, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->class_weight, s->outputs * (int64_t)sizeof(float));
    *s = (mtl__scaling){0};
}
