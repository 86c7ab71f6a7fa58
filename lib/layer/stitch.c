/* SPDX-License-Identifier: MIT */
/* A cross-stitch unit (Misra et al. 2016, eq. 1): each task's stream takes from all streams. The matrix
   holds what a task (column) takes of a task (row) beside its own: y_t = x_t + sum_s a[s][t] x_s. So it
   starts as the identity at 0, which is what penalties pull it to. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
} job;

static int64_t width_of(const mtl__layer *l)
{
    return l->in / l->cols;
}

/* Rows, or sums over all rows, that some 10 us are worth. */
static int64_t grain(const mtl__layer *l, int64_t each)
{
    return 1 + 32768 / (each * width_of(l));
}

static void stitch_rows(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const int64_t tasks = l->cols, width = width_of(l);
    const float *a = j->p->params + l->weight;
    for (int64_t r = first; r < first + count; r++) {
        const float *x = j->io->x + r * j->io->ldx;
        float *y = j->io->y + r * j->io->ldy;
        memcpy(y, x, (size_t)l->in * sizeof *y);
        for (int64_t t = 0; t < tasks; t++)
            for (int64_t s = 0; s < tasks; s++)
                j->p->vec->axpy(width, a[s * tasks + t], x + s * width, y + t * width);
    }
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    job j = {l, p, io, NULL};
    mtl__pool_ranges(p->pool, io->rows, grain(l, l->cols * l->cols), stitch_rows, &j);
}

/* Of pairs s * tasks + t: rows in order. */
static void sum_products(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const int64_t tasks = l->cols, width = width_of(l);
    for (int64_t i = first; i < first + count; i++) {
        const float *x = j->io->x + i / tasks * width, *dy = j->g->dy + i % tasks * width;
        float sum = 0;
        for (int64_t r = 0; r < j->io->rows; r++)
            sum += j->p->vec->dot(width, x + r * j->io->ldx, dy + r * j->g->lddy);
        j->p->grads[l->weight + i] = sum;
    }
}

static void unstitch_rows(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const mtl__layer_grad *g = j->g;
    const int64_t tasks = l->cols, width = width_of(l);
    const float *a = j->p->params + l->weight;
    for (int64_t r = first; r < first + count; r++) {
        const float *dy = g->dy + r * g->lddy;
        float *dx = g->dx + r * g->lddx;
        if (g->dx_adds)
            j->p->vec->axpy(l->in, 1, dy, dx);
        else
            memcpy(dx, dy, (size_t)l->in * sizeof *dx);
        for (int64_t s = 0; s < tasks; s++)
            for (int64_t t = 0; t < tasks; t++)
                j->p->vec->axpy(width, a[s * tasks + t], dy + t * width, dx + s * width);
        if (mtl__layer_has_slope(g))
            mtl__layer_slope(j->p->vec, j->io, g, r, 1, 0, l->in);
    }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    job j = {l, p, io, g};
    if (g->want_params)
        mtl__pool_ranges(p->pool, l->cols * l->cols, grain(l, io->rows), sum_products, &j);
    if (g->dx)
        mtl__pool_ranges(p->pool, io->rows, grain(l, l->cols * l->cols), unstitch_rows, &j);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

static const mtl__layer_param params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 0, NULL, NULL},
};

const mtl__layer_type mtl__stitch_layer = {
    .name = "stitch",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .kept_per_row = keeps_nothing,
    .forward = forward,
    .backward = backward,
};
