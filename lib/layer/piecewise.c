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

/* Some columns at work, whose tables stay in a near cache while the rows go by, each row from end to end:
   down a column a wide matrix would be read at a page for each row, all of them in one set of the cache. */
enum { COLUMNS = 16, TABLE_FLOATS = 8192, GRAIN = 2048 };

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
} job;

/* Scratch as large as a column's rows of W. */
static float *table_of(const job *j, int64_t c)
{
    return j->p->gemm_work + c * j->l->features * j->l->units;
}

/* base[t] = b + rows of W before t. */
static void sum_up(const job *j, int64_t c, int64_t bins)
{
    const int64_t units = j->l->units;
    const float *w = j->p->params + j->l->weight + c * j->l->features * units;
    float *base = table_of(j, c);
    memcpy(base, j->p->params + j->l->bias + c * units, (size_t)units * sizeof *base);
    for (int64_t t = 0; t + 1 < bins; t++) {
        memcpy(base + (t + 1) * units, base + t * units, (size_t)units * sizeof *base);
        j->p->vec->axpy(units, 1, w + t * units, base + (t + 1) * units);
    }
}

static void forward_columns(const job *j, int64_t first, int64_t count)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t units = l->units, floats = l->features * units;
    int64_t bins[COLUMNS];
    for (int64_t i = 0; i < count; i++) {
        bins[i] = count_bins(l, edges_of(l, j->p, first + i));
        sum_up(j, first + i, bins[i]);
    }
    for (int64_t r = 0; r < j->io->rows; r++) {
        const float *x = j->io->x + r * j->io->ldx;
        const float *slope = j->p->params + l->scale + first * units;
        const float *edge = edges_of(l, j->p, first), *base = table_of(j, first);
        const float *w = j->p->params + l->weight + first * floats;
        float *y = j->io->y + r * j->io->ldy + mtl__numeric_rest(l) + first * units;
        for (int64_t i = 0; i < count; i++) {
            const float xi = x[l->columns[first + i]];
            const int64_t t = bins[i] ? bin_of(edge, bins[i], xi) : 0;
            const float e = bins[i] ? (xi - edge[t]) / (edge[t + 1] - edge[t]) : 0;
            memcpy(y, base + t * units, (size_t)units * sizeof *y);
            v->axpy(units, xi, slope, y);
            v->axpy(units, e, w + t * units, y);
            if (j->io->kept) {
                kept_of(l, j->io, r, first + i)[0] = (float)t;
                kept_of(l, j->io, r, first + i)[1] = e;
            }
            y += units, slope += units, base += floats, w += floats;
            edge += l->features + 1;
        }
    }
}

/* dW_t = sums of e dy in bin t, and of dy in those above. */
static void backward_columns(const job *j, int64_t first, int64_t count)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t units = l->units, floats = l->features * units;
    float *scale = j->p->grads + l->scale + first * units;
    float *w = j->p->grads + l->weight + first * floats;
    memset(scale, 0, (size_t)(count * units) * sizeof *scale);
    memset(w, 0, (size_t)(count * floats) * sizeof *w);
    memset(table_of(j, first), 0, (size_t)(count * floats) * sizeof *w);
    for (int64_t r = 0; r < j->io->rows; r++) {
        const float *x = j->io->x + r * j->io->ldx, *kept = kept_of(l, j->io, r, first);
        const float *dy = j->g->dy + r * j->g->lddy + mtl__numeric_rest(l) + first * units;
        for (int64_t i = 0; i < count; i++, dy += units) {
            const int64_t at = i * floats + (int64_t)kept[2 * i] * units;
            v->axpy(units, kept[2 * i + 1], dy, w + at);
            v->axpy(units, 1, dy, table_of(j, first) + at);
            v->axpy(units, x[l->columns[first + i]], dy, scale + i * units);
        }
    }
    for (int64_t c = first; c < first + count; c++, w += floats) {
        float *above = table_of(j, c);
        for (int64_t t = count_bins(l, edges_of(l, j->p, c)) - 2; t >= 0; t--) {
            v->axpy(units, 1, above + (t + 1) * units, w + t * units);
            v->axpy(units, 1, above + (t + 1) * units, above + t * units);
        }
    }
    v->col_sums(j->io->rows, count * units, j->g->dy + mtl__numeric_rest(l) + first * units,
                j->g->lddy, j->p->grads + l->bias + first * units, false);
}

static void in_parts(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const int64_t most = mtl__max(1, mtl__min(COLUMNS, TABLE_FLOATS / (j->l->features * j->l->units)));
    for (int64_t n; count > 0; first += n, count -= n) {
        n = mtl__min(most, count);
        if (j->g)
            backward_columns(j, first, n);
        else
            forward_columns(j, first, n);
    }
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    job j = {l, p, io, NULL};
    mtl__numeric_pass(l, io);
    mtl__pool_ranges(p->pool, l->embeds, 1 + GRAIN / io->rows, in_parts, &j);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    job j = {l, p, io, g};
    if (g->want_params)
        mtl__pool_ranges(p->pool, l->embeds, 1 + GRAIN / io->rows, in_parts, &j);
    mtl__numeric_hand_down(l, p, io, g);
}

static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    (void)g, (void)rows, (void)slots, (void)training;
    return l->embeds * l->features * l->units;
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
