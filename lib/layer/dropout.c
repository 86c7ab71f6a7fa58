/* SPDX-License-Identifier: MIT */
/* Inverted dropout (Srivastava et al. 2014): y = x * mask, mask 0 or 1 / (1 - rate). */
#include "layer/layer.h"
#include "rng/rng.h"

static int64_t keeps_mask(const mtl__layer *l)
{
    return l->in;
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    /* Element numbers go on from batch to batch, so no two batches share a mask. */
    mtl__rng_dropout(p->seed, (uint32_t)l->id, p->counter * mtl__layer_members(l) * l->in,
                     io->rows * l->in, (float)(l->rate * p->dropout), io->kept);
    for (int64_t r = 0; r < io->rows; r++) {
        const float *x = io->x + r * io->ldx, *mask = io->kept + r * l->in;
        float *y = io->y + r * io->ldy;
        for (int64_t j = 0; j < l->in; j++)
            y[j] = x[j] * mask[j];
    }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    if (!g->dx)
        return;
    for (int64_t r = 0; r < io->rows; r++) {
        const float *mask = io->kept + r * l->in, *d = g->dy + r * g->lddy;
        float *out = g->dx + r * g->lddx;
        for (int64_t j = 0; j < l->in; j++)
            out[j] = g->dx_adds ? out[j] + d[j] * mask[j] : d[j] * mask[j];
    }
    if (mtl__layer_has_slope(g))
        mtl__layer_slope(p->vec, io, g, 0, io->rows, 0, l->in);
}

const mtl__layer_type mtl__dropout_layer = {
    .name = "dropout",
    .training_only = true,
    .kept_per_row = keeps_mask,
    .forward = forward,
    .backward = backward,
};
