/* SPDX-License-Identifier: MIT */
/* The network run for predict: nothing is kept for backward. */
#include "model/network.h"

#include <string.h>

/* Run layers [first, first + count) for predict; the result goes to out [rows, ldo], or stands where
   the return value says when out is NULL. */
static const float *predict_chain(const mtl__network *net, const mtl__pass *p,
                                  const mtl__buffers *b, int64_t first, int64_t count,
                                  int64_t rows, const float *x, int64_t ldx, float *out,
                                  int64_t ldo)
{
    for (int64_t i = first; i < first + count; i++) {
        const mtl__layer *l = &net->layer[i];
        if (l->type->training_only)
            continue;
        float *turn = x == b->turn[0] ? b->turn[1] : b->turn[0];
        bool last = out && i == first + count - 1;
        const mtl__layer_io io = {.rows = rows,
                                  .x = x,
                                  .ldx = ldx,
                                  .y = last ? out : turn,
                                  .ldy = last ? ldo : l->out};
        l->type->forward(l, p, &io);
        x = io.y;
        ldx = io.ldy;
    }
    return x;
}

void mtl__network_predict(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                          int64_t rows, const float *x, int64_t ldx)
{
    const float *h = predict_chain(net, p, b, 0, net->trunk_layers, rows, x, ldx, NULL, 0);
    int64_t ldh = h == x ? ldx : net->trunk_out;
    if (net->heads > 1 && h != x) {
        /* Towers use the buffers by turns too: keep the trunk's output apart. */
        memcpy(b->dh, h, (size_t)(rows * net->trunk_out) * sizeof *h);
        h = b->dh;
    }
    for (int64_t i = 0; i < net->heads; i++) {
        const mtl__chain *c = &net->head[i];
        predict_chain(net, p, b, c->first, c->count, rows, h, ldh, b->z + c->column, net->outputs);
    }
}
