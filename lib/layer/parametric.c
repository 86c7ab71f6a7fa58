/* SPDX-License-Identifier: MIT */
/* y = x + a (f(x) - x) with a share a of the activation f for each column (RealMLP: Holzmueller, Grinsztajn &
   Steinwart 2024, section 3), of members of TabM for each of theirs. Kept for the way back: f(x) - x, which
   is the derivative towards a, and that towards x. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

enum { PART = 256 }; /* columns at a time */

static const float *share_of(const mtl__layer *l, const mtl__pass *p, int64_t row)
{
    return p->params + l->scale + (l->shares ? 0 : row % mtl__layer_members(l) * l->out);
}

/* d = f(x) - x, and the derivative of y to slope, NULL = not wanted. */
static void take(const mtl__layer *l, const mtl__vec *v, int64_t n, const float *x, const float *a,
                 const float *ones, float *d, float *slope)
{
    const mtl__activation *by = l->mixed.row;
    memcpy(d, x, (size_t)n * sizeof *d);
    if (by->forward)
        by->forward(v)(1, n, d, n, NULL);
    else
        v->curve(&l->mixed.curve, 1, n, d, n, NULL, slope, n);
    if (slope) {
        if (by->forward)
            memcpy(slope, ones, (size_t)n * sizeof *slope);
        if (by->backward)
            by->backward(v)(1, n, d, n, slope, n);
        v->axpy(n, -1, ones, slope);
        v->mul(n, a, slope);
        v->axpy(n, 1, ones, slope);
    }
    v->axpy(n, -1, x, d);
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    float ones[PART], own[PART];
    for (int i = 0; i < PART; i++)
        ones[i] = 1;
    for (int64_t r = 0; r < io->rows; r++)
        for (int64_t j = 0, n; j < l->out; j += n) {
            const float *x = io->x + r * io->ldx + j, *a = share_of(l, p, r) + j;
            float *y = io->y + r * io->ldy + j, *kept = io->kept ? io->kept + 2 * r * l->out + j : NULL;
            float *d = kept ? kept : own;
            n = mtl__min(PART, l->out - j);
            take(l, p->vec, n, x, a, ones, d, kept ? kept + l->out : NULL);
            memcpy(y, x, (size_t)n * sizeof *y);
            p->vec->add_product(n, a, d, y);
        }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    const int64_t n = l->out;
    if (g->want_params)
        memset(p->grads + l->scale, 0, (size_t)mtl__layer_floats(l, 0) * sizeof(float));
    for (int64_t r = 0; r < io->rows; r++) {
        const float *kept = io->kept + 2 * r * n;
        float *dy = g->dy + r * g->lddy;
        if (g->want_params)
            p->vec->add_product(n, kept, dy, p->grads + (share_of(l, p, r) - p->params));
        p->vec->mul(n, kept + n, dy);
    }
    if (g->dx)
        mtl__layer_hand_down(l, p, io, g);
}

static int64_t keeps_both(const mtl__layer *l)
{
    return 2 * l->out;
}

static mtl__shape of_share(const mtl__layer *l)
{
    return (mtl__shape){l->shares ? 1 : mtl__layer_members(l), l->cols};
}

static const mtl__layer_param params[] = {
    {"share", offsetof(mtl__layer, scale), MTL__FACTORS, 1, of_share, NULL},
};

const mtl__layer_type mtl__parametric_layer = {
    .name = "parametric",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .kept_per_row = keeps_both,
    .forward = forward,
    .backward = backward,
};
