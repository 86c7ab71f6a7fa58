/* SPDX-License-Identifier: MIT */
/* A layer on streams: stretches of a row that lie side by side, of experts or of tasks. The weights of
   all streams are one matrix, the columns of a stream next to those of the one before; so a layer
   whose streams all read the same row is one product, and others are one for each stream. */
#include "layer/layer.h"

mtl__layer mtl__layer_of_stream(const mtl__layer *l)
{
    mtl__layer one = *l;
    one.in = l->in / mtl__streams_count(l->from);
    one.out = l->out / mtl__streams_count(l->to);
    one.from = one.to = (mtl__streams){0};
    return one;
}

int64_t mtl__layer_kept(const mtl__layer *l)
{
    const mtl__layer one = mtl__layer_of_stream(l);
    return mtl__layer_is_split(l) ? mtl__streams_count(l->to) * l->type->kept_per_row(&one)
                                  : l->type->kept_per_row(l);
}

/* The stream of x that stream i of y is made from: its own, or that of its task or of all. */
static int64_t source_of(const mtl__layer *l, int64_t i)
{
    if (mtl__streams_count(l->from) == mtl__streams_count(l->to))
        return i;
    const int64_t task = mtl__streams_owner(l->to, i);
    return task < 0 ? 0 : l->from.shared + task;
}

/* Stream i as a layer with what it sees. A curve's slopes lie as its outputs do, what norms keep
   stream by stream. */
static mtl__layer stream_at(const mtl__layer *l, const mtl__pass *p, int64_t i, mtl__layer_io *io)
{
    mtl__layer one = mtl__layer_of_stream(l);
    const int64_t x = source_of(l, i) * one.in, y = i * one.out;
    for (int32_t k = 0; k < l->type->params; k++) {
        const bool in_panels =
            p->weights_packed && l->type->is_product && l->type->param[k].role == MTL__MATRIX;
        *mtl__layer_offset(&one, k) += in_panels ? i * mtl__member_stride(&one, p->gemm, true) : y;
    }
    io->x += x;
    io->y += y;
    if (io->kept)
        io->kept += l->type->is_product ? y : i * io->rows * l->type->kept_per_row(&one);
    return one;
}

void mtl__streams_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    for (int64_t i = 0; i < mtl__streams_count(l->to); i++) {
        mtl__layer_io of = *io;
        const mtl__layer one = stream_at(l, p, i, &of);
        one.type->forward(&one, p, &of);
    }
}

/* Several streams may be made from one: all but the first add to its gradient. What made x has a
   derivative only where every stream has its own. */
void mtl__streams_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g)
{
    for (int64_t i = 0; i < mtl__streams_count(l->to); i++) {
        mtl__layer_io of = *io;
        mtl__layer_grad d = *g;
        const mtl__layer one = stream_at(l, p, i, &of);
        const int64_t x = source_of(l, i);
        d.dy += i * one.out;
        d.made_slope += g->made_slope ? x * one.in : 0;
        d.dx_adds = g->dx_adds || (i > 0 && source_of(l, i - 1) == x);
        if (d.dx)
            d.dx += x * one.in;
        one.type->backward(&one, p, &of, &d);
    }
}
