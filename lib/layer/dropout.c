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
    mtl__rng_dropout(p->seed, (uint32_t)l->id, p->vec->philox,
                     p->counter * mtl__layer_members(l) * l->in, io->rows * l->in,
                     (float)(l->rate * p->dropout), io->kept);
    for (int64_t r = 0; r < io->rows; r++)
        p->vec->product(l->in, io->x + r * io->ldx, io->kept + r * l->in, io->y + r * io->ldy);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    void (*product)(int64_t n, const float *a, const float *b, float *y) =
        g->dx_adds ? p->vec->add_product : p->vec->product;
    if (!g->dx)
        return;
    for (int64_t r = 0; r < io->rows; r++)
        product(l->in, g->dy + r * g->lddy, io->kept + r * l->in, g->dx + r * g->lddx);
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
