/* SPDX-License-Identifier: MIT */
#include "train/fit.h"

#include <string.h>

static float *copy_of(const mtl__allocator *al, const float *values, int64_t n)
{
    float *p = mtl__alloc_array(al, n, sizeof *p);
    return p ? memcpy(p, values, (size_t)n * sizeof *p) : NULL;
}

mtl_status mtl__scaling_create(const mtl_model *m, const mtl__binding *b, bool fit_inputs,
                               const bool *fit_target, mtl__scaling *out, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl__scaling s = {.al = al, .inputs = m->net.inputs, .outputs = m->net.outputs};
    mtl_status st = MTL_OK;
    s.x_mean = copy_of(al, m->pipe.x_mean, s.inputs);
    s.x_scale = copy_of(al, m->pipe.x_scale, s.inputs);
    s.y_mean = copy_of(al, m->pipe.y_mean, s.outputs);
    s.y_scale = copy_of(al, m->pipe.y_scale, s.outputs);
    if (!s.x_mean || !s.x_scale || !s.y_mean || !s.y_scale)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scaling");
    if (st == MTL_OK && fit_inputs)
        st = mtl__scaler_fit_inputs(b->data, s.x_mean, s.x_scale, err);
    if (st == MTL_OK)
        mtl__model_keep_categories(m, s.x_mean, s.x_scale);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK; t++) {
        int64_t column = m->net.task[t].column;
        if (m->spec->task[t].kind == MTL_REGRESSION && b->label[t] >= 0 && fit_target[t])
            st = mtl__scaler_fit_labels(b->data, b->label[t], s.y_mean + column,
                                        s.y_scale + column, err);
    }
    if (st == MTL_OK)
        *out = s;
    else
        mtl__scaling_free(&s);
    return st;
}

void mtl__scaling_apply(const mtl__scaling *s, mtl_model *m)
{
    memcpy(m->pipe.x_mean, s->x_mean, (size_t)s->inputs * sizeof(float));
    memcpy(m->pipe.x_scale, s->x_scale, (size_t)s->inputs * sizeof(float));
    for (int64_t i = 0; i < s->inputs; i++)
        m->pipe.x_inverse[i] = 1 / s->x_scale[i];
    memcpy(m->pipe.y_mean, s->y_mean, (size_t)s->outputs * sizeof(float));
    memcpy(m->pipe.y_scale, s->y_scale, (size_t)s->outputs * sizeof(float));
    m->pipe.is_fitted = true;
}

void mtl__scaling_free(mtl__scaling *s)
{
    if (!s->al)
        return;
    mtl__free(s->al, s->x_mean, s->inputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->x_scale, s->inputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_mean, s->outputs * (int64_t)sizeof(float));
    mtl__free(s->al, s->y_scale, s->outputs * (int64_t)sizeof(float));
    *s = (mtl__scaling){0};
}
