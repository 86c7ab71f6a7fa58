/* SPDX-License-Identifier: MIT */
/* A column of category numbers becomes a row of a table; the other columns pass. The scaler gives
   number + 1, and 0 where it is missing, so row 0 is that of unknown categories. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

static int64_t table_row(const mtl__layer *l, float x)
{
    if (!(x >= 1 && x < (float)l->rows))
        return 0;
    int64_t row = (int64_t)x;
    return (float)row == x ? row : 0;
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const size_t before = (size_t)l->column, behind = (size_t)(l->in - l->column - 1);
    for (int64_t r = 0; r < io->rows; r++) {
        const float *x = io->x + r * io->ldx;
        float *y = io->y + r * io->ldy;
        memcpy(y, x, before * sizeof *y);
        memcpy(y + before, x + before + 1, behind * sizeof *y);
        memcpy(y + before + behind, p->params + l->weight + table_row(l, x[before]) * l->cols,
               (size_t)l->cols * sizeof *y);
    }
}

/* Rows of the batch in order, so the sum of a category's has one order. */
static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    const int64_t before = l->column, behind = l->in - before - 1;
    float *table = p->grads + l->weight;
    if (g->want_params)
        memset(table, 0, (size_t)(l->rows * l->cols) * sizeof *table);
    for (int64_t r = 0; r < io->rows; r++) {
        const float *dy = g->dy + r * g->lddy;
        if (g->want_params)
            p->vec->axpy(l->cols, 1, dy + before + behind,
                         table + table_row(l, io->x[r * io->ldx + before]) * l->cols);
        if (g->dx) {
            float *dx = g->dx + r * g->lddx;
            if (!g->dx_adds)
                memset(dx, 0, (size_t)l->in * sizeof *dx);
            p->vec->axpy(before, 1, dy, dx);
            p->vec->axpy(behind, 1, dy + before, dx + before + 1);
        }
    }
}

/* Standard normal, like inputs that are scaled; unknown categories start at their mean. */
static void draw(const mtl__layer *l, mtl__rng *rng, float *w)
{
    for (int64_t i = 0; i < l->rows * l->cols; i++)
        w[i] = i < l->cols ? 0 : (float)mtl__rng_normal(rng);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

static const mtl__layer_param params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, NULL, draw},
};

const mtl__layer_type mtl__embedding_layer = {
    .name = "embedding",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .kept_per_row = keeps_nothing,
    .forward = forward,
    .backward = backward,
};
