/* SPDX-License-Identifier: MIT */
/* cosine, a numeric embedding: a * [x, cos(2 pi (x w + b))] + c, element by element. Rows are gone through
   from end to end, all columns of a row at once, in vectors as wide as y: where x itself stands w and b
   are 0. The cosines are not kept for the way back but made again, which takes less than to carry them
   through memory. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

/* Vectors of [embeds, units]; the first three are what a prediction needs. Each part of the work has
   its columns of them. */
enum { FREQUENCY, PHASE, X, WAVE, SLOPE, FIRST, OF_PHASE, OF_FREQUENCY, VECTORS };
/* Columns whose vectors stay in the nearest cache while the rows go by. */
enum { COLUMNS = 512 };
enum { GRAIN = 8192 }; /* numbers of a part of the work */

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
} job;

static int64_t wide(const mtl__layer *l)
{
    return mtl__round_floats(l->embeds * l->units);
}

static float *vector(const job *j, int which, int64_t c)
{
    return j->p->gemm_work + which * wide(j->l) + c * j->l->units;
}

/* From a tensor [embeds, features] to a vector. */
static void widen(const job *j, int64_t tensor, int which, int64_t c)
{
    float *to = vector(j, which, c);
    to[0] = 0;
    memcpy(to + 1, j->p->params + tensor + c * j->l->features, (size_t)j->l->features * sizeof *to);
}

static void begin(const job *j, int64_t first, int64_t count)
{
    for (int64_t c = first; c < first + count; c++) {
        widen(j, j->l->frequency, FREQUENCY, c);
        widen(j, j->l->phase, PHASE, c);
    }
}

static void make_waves(const job *j, int64_t r, int64_t first, int64_t n, float *wave, float *slope)
{
    static const mtl__curve cosine = {MTL__CURVE_COS, 0, 0};
    const mtl__vec *v = j->p->vec;
    float *x = vector(j, X, first);
    v->repeat(n / j->l->units, j->l->units, j->io->x + r * j->io->ldx, j->l->columns + first, x);
    v->product(n, x, vector(j, FREQUENCY, first), wave);
    v->curve(&cosine, 1, n, wave, n, vector(j, PHASE, first), slope, n);
}

static void forward_columns(const job *j, int64_t first, int64_t count)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t at = first * l->units, n = count * l->units;
    const float *a = j->p->params + l->scale + at, *c = j->p->params + l->bias + at;
    begin(j, first, count);
    for (int64_t r = 0; r < j->io->rows; r++) {
        const float *x = j->io->x + r * j->io->ldx;
        float *y = j->io->y + r * j->io->ldy + mtl__numeric_rest(l) + at;
        make_waves(j, r, first, n, y, NULL);
        v->mul(n, a, y);
        v->axpy(n, 1, c, y);
        for (int64_t i = 0; i < count; i++) {
            const float ax = a[i * l->units] * x[l->columns[first + i]];
            y[i * l->units] = ax + c[i * l->units];
        }
    }
}

/* dy * a is the gradient of the cosines; a multiplies the sums, which are fewer. Where x stands, the slope
   is made 1, so that the sum of x times it is that of x dy. */
static void backward_columns(const job *j, int64_t first, int64_t count)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t at = first * l->units, n = count * l->units;
    float *wave = vector(j, WAVE, first), *slope = vector(j, SLOPE, first);
    float *one = vector(j, FIRST, first), *a = j->p->grads + l->scale + at;
    begin(j, first, count);
    memset(a, 0, (size_t)n * sizeof *a);
    memset(vector(j, OF_PHASE, first), 0, (size_t)n * sizeof *a);
    memset(vector(j, OF_FREQUENCY, first), 0, (size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++)
        one[i] = i % l->units == 0;
    for (int64_t r = 0; r < j->io->rows; r++) {
        const float *dy = j->g->dy + r * j->g->lddy + mtl__numeric_rest(l) + at;
        make_waves(j, r, first, n, wave, slope);
        v->add_product(n, dy, wave, a);
        v->axpy(n, 1, one, slope);
        v->mul(n, dy, slope);
        v->axpy(n, 1, slope, vector(j, OF_PHASE, first));
        v->add_product(n, vector(j, X, first), slope, vector(j, OF_FREQUENCY, first));
    }
    v->col_sums(j->io->rows, n, j->g->dy + mtl__numeric_rest(l) + at, j->g->lddy,
                j->p->grads + l->bias + at, false);
    for (int64_t c = first; c < first + count; c++) {
        const float *scale = j->p->params + l->scale + c * l->units + 1;
        j->p->grads[l->scale + c * l->units] = vector(j, OF_FREQUENCY, c)[0];
        v->product(l->features, scale, vector(j, OF_FREQUENCY, c) + 1,
                   j->p->grads + l->frequency + c * l->features);
        v->product(l->features, scale, vector(j, OF_PHASE, c) + 1,
                   j->p->grads + l->phase + c * l->features);
    }
}

/* Columns in parts for the cache. */
static void in_parts(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const int64_t most = mtl__max(1, COLUMNS / j->l->units);
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
    mtl__pool_ranges(p->pool, l->embeds, 1 + GRAIN / (io->rows * l->units), in_parts, &j);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    job j = {l, p, io, g};
    if (g->want_params)
        mtl__pool_ranges(p->pool, l->embeds, 1 + GRAIN / (io->rows * l->units), in_parts, &j);
    mtl__numeric_hand_down(l, p, io, g);
}

static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    (void)g, (void)rows, (void)slots;
    return (training ? VECTORS : WAVE) * wide(l);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

static mtl__shape of_units(const mtl__layer *l)
{
    return (mtl__shape){l->embeds, l->units};
}

static const mtl__layer_param params[] = {
    {"frequency", offsetof(mtl__layer, frequency), MTL__FACTORS, 1, mtl__numeric_features,
     mtl__numeric_draw_frequencies},
    {"phase", offsetof(mtl__layer, phase), MTL__FACTORS, 0, mtl__numeric_features, NULL},
    {"scale", offsetof(mtl__layer, scale), MTL__FACTORS, 1, of_units, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, of_units, NULL},
};

const mtl__layer_type mtl__cosine_layer = {
    .name = "cosine",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .workspace = workspace,
    .kept_per_row = keeps_nothing,
    .forward = forward,
    .backward = backward,
};
