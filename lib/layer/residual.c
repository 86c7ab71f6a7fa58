/* SPDX-License-Identifier: MIT */
/* y = x + what some layers before had as input (He et al. 2016), to each of several streams where that
   is one for all of them. The network hands the gradient to both; here is the way down through x. */
#include "layer/layer.h"

#include <string.h>

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    for (int64_t r = 0; r < io->rows; r++) {
        float *y = io->y + r * io->ldy;
        memcpy(y, io->x + r * io->ldx, (size_t)l->in * sizeof *y);
        for (int64_t at = 0; at < l->in; at += mtl__residual_width(l))
            p->vec->axpy(mtl__residual_width(l), 1, io->skip + r * io->ldskip, y + at);
    }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    if (g->dx)
        mtl__layer_hand_down(l, p, io, g);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

const mtl__layer_type mtl__residual_layer = {
    .name = "residual",
    .reads_back = true,
    .kept_per_row = keeps_nothing,
    .forward = forward,
    .backward = backward,
};
