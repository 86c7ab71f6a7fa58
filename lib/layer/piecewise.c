/* SPDX-License-Identifier: MIT */
/* ple, a numeric embedding: piecewise linear maps of a column, with joints where its training values
   are (Gorishniy, Rubachev & Babenko 2022, section 3.2), in the form of TabM: y = x s + b + e W, where

     e_t = (x - edge_t) / (edge_t+1 - edge_t), cut off at 0 and 1 but for the outer ends of the first bin
           and the last.

   All e before the bin of x are 1 and all behind it 0, so e W is a running sum of the rows of W up to
   there and a share of one more: of a table, not a product with as many terms as there are bins. The
   gradient of W is the same the other way. */
#include "layer/layer.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* A column's edges ascend; what follows the first that does not is padding. */
static int64_t count_bins(const mtl__layer *l, const float *edge)
{
    int64_t n = 0;
    while (n < l->features && edge[n + 1] > edge[n])
        n++;
    return n;
}

static const float *edges_of(const mtl__layer *l, const mtl__pass *p, int64_t c)
{
    return p->params + l->edges + c * (l->features + 1);
}

/* Number of the bin of x among n > 0. */
static int64_t bin_of(const float *edge, int64_t n, float x)
{
    int64_t low = 0, count = n - 1; /* among the inner edges */
    while (count > 0) {
        const int64_t half = count / 2;
        const bool is_above = x >= edge[low + half + 1];
        low = is_above ? low + half + 1 : low;
        count = is_above ? count - half - 1 : half;
    }
    return low;
}

/* What is kept of a column for each row: number of the bin, and e there. */
static float *kept_of(const mtl__layer *l, const mtl__layer_io *io, int64_t r, int64_t c)
{
    return io->kept + (r * l->embeds + c) * 2;
}

/* base[t] = b + rows of W before t. */
static void sum_up(const mtl__layer *l, const mtl__pass *p, int64_t c, int64_t bins, float *base)
{
    const int64_t units = l->units;
    const float *w = p->params + l->weight + c * l->features * units;
    memcpy(base, p->params + l->bias + c * units, (size_t)units * sizeof *base);
    for (int64_t t = 0; t + 1 < bins; t++) {
        memcpy(base + (t + 1) * units, base + t * units, (size_t)units * sizeof *base);
        p->vec->axpy(units, 1, w + t * units, base + (t + 1) * units);
    }
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const int64_t units = l->units;
    float *base = p->gemm_work;
    mtl__numeric_pass(l, io);
    for (int64_t c = 0; c < l->embeds; c++) {
        const float *edge = edges_of(l, p, c), *slope = p->params + l->scale + c * units;
        const float *w = p->params + l->weight + c * l->features * units;
        const int64_t bins = count_bins(l, edge);
        float *y = io->y + mtl__numeric_rest(l) + c * units;
        sum_up(l, p, c, bins, base);
        for (int64_t r = 0; r < io->rows; r++, y += io->ldy) {
            const float x = io->x[r * io->ldx + l->columns[c]];
            const int64_t t = bins ? bin_of(edge, bins, x) : 0;
            const float e = bins ? (x - edge[t]) / (edge[t + 1] - edge[t]) : 0;
            memcpy(y, base + t * units, (size_t)units * sizeof *y);
            p->vec->axpy(units, x, slope, y);
            p->vec->axpy(units, e, w + t * units, y);
            if (io->kept) {
                kept_of(l, io, r, c)[0] = (float)t;
                kept_of(l, io, r, c)[1] = e;
            }
        }
    }
}

/* dW_t = sums of e dy in bin t, and of dy in those above. */
static void matrix_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g, int64_t c, float *above)
{
    const int64_t units = l->units, floats = l->features * units;
    float *dw = p->grads + l->weight + c * floats;
    const float *dy = g->dy + mtl__numeric_rest(l) + c * units;
    memset(dw, 0, (size_t)floats * sizeof *dw);
    memset(above, 0, (size_t)floats * sizeof *above);
    for (int64_t r = 0; r < io->rows; r++) {
        const float *kept = kept_of(l, io, r, c);
        const int64_t at = (int64_t)kept[0] * units;
        p->vec->axpy(units, kept[1], dy + r * g->lddy, dw + at);
        p->vec->axpy(units, 1, dy + r * g->lddy, above + at);
    }
    for (int64_t t = count_bins(l, edges_of(l, p, c)) - 2; t >= 0; t--) {
        p->vec->axpy(units, 1, above + (t + 1) * units, dw + t * units);
        p->vec->axpy(units, 1, above + (t + 1) * units, above + t * units);
    }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    const int64_t units = l->units, rest = mtl__numeric_rest(l);
    for (int64_t c = 0; c < l->embeds && g->want_params; c++) {
        matrix_gradient(l, p, io, g, c, p->gemm_work);
        mtl__numeric_gradient(l, p, io, c, g->dy + rest + c * units, g->lddy, units,
                              p->grads + l->scale + c * units,
                              p->gemm_work + mtl__round_floats(l->features * units));
    }
    if (g->want_params)
        p->vec->col_sums(io->rows, l->embeds * units, g->dy + rest, g->lddy, p->grads + l->bias, false);
    mtl__numeric_hand_down(l, p, io, g);
}

static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    const int64_t own = mtl__round_floats(l->features * l->units);
    return own + (training ? mtl__gemm_workspace(g, MTL__GEMM_TN, 1, l->units, rows, slots) : 0);
}

static int64_t keeps_places(const mtl__layer *l)
{
    return 2 * l->embeds;
}

static mtl__shape of_edges(const mtl__layer *l)
{
    return (mtl__shape){1, l->embeds * (l->features + 1)};
}

static mtl__shape of_matrix(const mtl__layer *l)
{
    return (mtl__shape){l->embeds * l->features, l->units};
}

static mtl__shape of_units(const mtl__layer *l)
{
    return (mtl__shape){l->embeds, l->units};
}

/* Edges come from the data, not from the seed. */
static void draw_nothing(const mtl__layer *l, mtl__rng *rng, float *w)
{
    (void)l, (void)rng, (void)w;
}

static void draw_linear(const mtl__layer *l, mtl__rng *rng, float *w)
{
    mtl__numeric_draw(rng, l->embeds * l->units, 1 / sqrt((double)l->units), w);
}

static const mtl__layer_param params[] = {
    {"edges", offsetof(mtl__layer, edges), MTL__STATE, 0, of_edges, draw_nothing},
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 0, of_matrix, NULL},
    {"scale", offsetof(mtl__layer, scale), MTL__FACTORS, 1, of_units, draw_linear},
    {"bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, of_units, draw_linear},
};

const mtl__layer_type mtl__ple_layer = {
    .name = "ple",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .workspace = workspace,
    .kept_per_row = keeps_places,
    .forward = forward,
    .backward = backward,
};
