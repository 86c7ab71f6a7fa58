/* SPDX-License-Identifier: MIT */
/* Ensembles in one network: BatchEnsemble (Wen, Tran & Ba 2020, eq. 3) in the form of TabM (Gorishniy,
   Kotelnikov & Babenko 2025): y_i = s_i * (W (r_i * x_i)) + b_i with one W for all members i.

   The k members of a row follow each other: member i of row r is row r k + i. So a matrix that they
   share is one product over all of them, and what is a member's own, [k, cols], meets k rows at once
   as one long row. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
} job;

enum { GRAIN = 65536 }; /* floats of a part of the work */

static int64_t groups(const mtl__layer *l, const mtl__layer_io *io)
{
    return io->rows / mtl__layer_members(l);
}

enum { COLUMNS = 512 }; /* whose sums stay in the nearest cache while the rows go by */

/* --- factors ------------------------------------------------------------------------------------- */

/* A group of rows is `parts` stretches of `width`: one, or where the layer expands one a member. */
static int64_t parts_of(const mtl__layer *l)
{
    return l->expands ? l->members : 1;
}

static int64_t width_of(const mtl__layer *l)
{
    return l->expands ? l->in : l->members * l->in;
}

static int64_t x_stride(const mtl__layer *l, int64_t ld)
{
    return l->expands ? ld : l->members * ld;
}

static void multiply_groups(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const float *factor = j->p->params + l->scale;
    int64_t width = width_of(l), wide = l->members * l->in;
    for (int64_t r = first; r < first + count; r++)
        for (int64_t i = 0; i < parts_of(l); i++)
            j->p->vec->product(width, j->io->x + r * x_stride(l, j->io->ldx), factor + i * width,
                               j->io->y + r * wide + i * width);
}

static void factors_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    job j = {l, p, io, NULL};
    assert(io->ldy == l->out && (l->expands || io->ldx == l->in));
    mtl__pool_ranges(p->pool, groups(l, io), 1 + GRAIN / (l->members * l->in), multiply_groups, &j);
}

/* Gradients of some of the k * in factors. */
static void sum_factors(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    int64_t width = width_of(l), wide = l->members * l->in;
    for (int64_t n; count > 0; first += n, count -= n) {
        const int64_t col = first % width;
        float *sum = j->p->grads + l->scale + first;
        n = mtl__min(mtl__min(count, COLUMNS), width - col);
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t r = 0; r < groups(l, j->io); r++)
            j->p->vec->add_product(n, j->io->x + r * x_stride(l, j->io->ldx) + col,
                                   j->g->dy + r * wide + first, sum);
    }
}

/* Where the members part: the gradients of all of them, in their order. */
static void hand_down_groups(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const mtl__layer_grad *g = j->g;
    const float *factor = j->p->params + l->scale;
    const int64_t in = l->in, wide = l->members * in;
    for (int64_t r = first; r < first + count; r++) {
        float *dx = g->dx + r * g->lddx;
        const float *dy = g->dy + r * wide;
        if (!g->dx_adds)
            j->p->vec->product(in, dy, factor, dx);
        for (int64_t i = g->dx_adds ? 0 : 1; i < l->members; i++)
            j->p->vec->add_product(in, dy + i * in, factor + i * in, dx);
        if (mtl__layer_has_slope(g))
            mtl__layer_slope(j->p->vec, j->io, g, r, 1, 0, in);
    }
}

/* Elsewhere some of the k * in columns of all groups, while what the factors' gradients read is warm. */
static void hand_down_columns(const job *j, int64_t first, int64_t n)
{
    const mtl__vec *v = j->p->vec;
    const mtl__layer_grad *g = j->g;
    const mtl__activation *by = mtl__layer_has_slope(g) ? g->made_by->row : NULL;
    const int64_t wide = j->l->members * j->l->in;
    const float *factor = j->p->params + j->l->scale + first;
    float *sum = g->want_params ? j->p->grads + j->l->scale + first : NULL;
    if (sum)
        memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t at = first, r = 0; r < groups(j->l, j->io); r++, at += wide) {
        const float *x = j->io->x + at, *dy = g->dy + at;
        float *dx = g->dx + at;
        if (sum)
            v->add_product(n, x, dy, sum);
        if (g->dx_adds)
            v->add_product(n, dy, factor, dx);
        else
            v->product(n, dy, factor, dx);
        if (by && by->backward)
            by->backward(v)(1, n, x, n, dx, n);
        else if (by)
            v->mul(n, g->made_slope + at, dx);
    }
}

static void hand_down_some(void *arg, int64_t first, int64_t count)
{
    for (int64_t n; count > 0; first += n, count -= n) {
        n = mtl__min(count, COLUMNS);
        hand_down_columns(arg, first, n);
    }
}

static void factors_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                             const mtl__layer_grad *g)
{
    job j = {l, p, io, g};
    const int64_t wide = l->members * l->in, grain = 1 + GRAIN / groups(l, io);
    const bool apart = !g->dx || l->expands;
    assert(g->lddy == l->out && (!g->dx || l->expands || g->lddx == l->in));
    if (!apart)
        mtl__pool_ranges(p->pool, wide, grain, hand_down_some, &j);
    if (apart && g->want_params)
        mtl__pool_ranges(p->pool, wide, grain, sum_factors, &j);
    if (apart && g->dx)
        mtl__pool_ranges(p->pool, groups(l, io), 1 + GRAIN / wide, hand_down_groups, &j);
}

/* Random signs where the members part, so that they see different inputs; behind a numeric embedding
   normal numbers, one for all that an input has become (as TabM has it). Else ones. */
static void draw_factors(const mtl__layer *l, mtl__rng *rng, float *w)
{
    const int64_t rest = l->in - l->embeds * l->units;
    const bool parts = l->expands && l->members > 1;
    for (int64_t i = 0; i < l->members; i++)
        for (int64_t j = 0; j < l->in; j++, w++)
            if (!parts || !l->embeds)
                *w = parts && mtl__rng_u32(rng) % 2 ? -1 : 1;
            else
                *w = j > rest && (j - rest) % l->units ? w[-1] : (float)mtl__rng_normal(rng);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

static const mtl__layer_param factors_params[] = {
    {"scale", offsetof(mtl__layer, scale), MTL__FACTORS, 1, NULL, draw_factors},
};

const mtl__layer_type mtl__factors_layer = {
    .name = "factors",
    .param = factors_params,
    .params = MTL__COUNT_OF(factors_params),
    .kept_per_row = keeps_nothing,
    .forward = factors_forward,
    .backward = factors_backward,
};

/* --- dense with members' own scale and bias ------------------------------------------------------- */

/* x W before it is scaled, [rows, out], behind the derivative of a curve. */
static float *unscaled(const mtl__layer *l, const mtl__layer_io *io)
{
    if (!io->kept)
        return NULL;
    return io->kept + (mtl__act_is_curve(&l->act) ? io->rows * l->out : 0);
}

static void scale_and_activate(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                               int64_t row0, int64_t col0)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const mtl__activation *by = l->act.row;
    mtl__bias_act_fn *act = by->forward ? by->forward(v) : NULL;
    const float *after = j->io->after;
    float *slope = after ? NULL : j->io->kept;
    for (int64_t r = row0; r < row0 + rows; r++, c += ldc) {
        const int64_t own = r % l->members * l->out + col0;
        const float *bias = j->p->params + l->bias + own;
        float *y = j->io->y + r * j->io->ldy + col0;
        v->product(cols, c, j->p->params + l->scale + own, y);
        if (act)
            act(1, cols, y, cols, bias);
        else
            v->curve(&l->act.curve, 1, cols, y, cols, bias, slope ? slope + r * l->out + col0 : NULL, cols);
        if (after)
            v->mul(cols, after + own, y);
    }
}

static void member_dense_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const job j = {l, p, io, NULL};
    float *u = unscaled(l, io);
    const mtl__gemm_call call = {.kind = MTL__GEMM_NN,
                                 .m = io->rows,
                                 .n = l->out,
                                 .k = l->in,
                                 .a = io->x,
                                 .lda = io->ldx,
                                 .b = p->params + l->weight,
                                 .ldb = l->out,
                                 .b_packed = p->weights_packed,
                                 .c = u ? u : io->y,
                                 .ldc = u ? l->out : io->ldy,
                                 .epilogue = scale_and_activate,
                                 .epilogue_arg = &j};
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

/* From the gradient of what the factors behind make of y to that of y's argument: y is made again, which
   takes less than to carry it through memory. */
static void through_factors(const job *j, int64_t first, int64_t n, const float *u, float *dy)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const mtl__activation *by = l->act.row;
    const float *bias = j->p->params + l->bias + first;
    float y[COLUMNS], slope[COLUMNS];
    v->product(n, u, j->p->params + l->scale + first, y);
    if (by->forward)
        by->forward(v)(1, n, y, n, bias);
    else
        v->curve(&l->act.curve, 1, n, y, n, bias, slope, n);
    if (j->g->dafter)
        v->add_product(n, y, dy, j->g->dafter + first);
    v->mul(n, j->io->after + first, dy);
    if (by->backward)
        by->backward(v)(1, n, y, n, dy, n);
    else if (!by->forward)
        v->mul(n, slope, dy);
}

static void unscale_columns(const job *j, int64_t first, int64_t cols)
{
    const mtl__layer *l = j->l;
    const mtl__pass *p = j->p;
    const float *u = unscaled(l, j->io) + first;
    const int64_t wide = l->members * l->out;
    float *bias = p->grads + l->bias + first, *scale = p->grads + l->scale + first;
    const bool want = j->g->want_params;
    if (want) {
        memset(bias, 0, (size_t)cols * sizeof *bias);
        memset(scale, 0, (size_t)cols * sizeof *scale);
    }
    if (j->g->dafter)
        memset(j->g->dafter + first, 0, (size_t)cols * sizeof *bias);
    for (int64_t r = 0; r < groups(l, j->io); r++) {
        float *dy = j->g->dy + r * wide + first;
        if (j->io->after)
            through_factors(j, first, cols, u + r * wide, dy);
        if (want) {
            p->vec->axpy(cols, 1, dy, bias);
            p->vec->add_product(cols, u + r * wide, dy, scale);
        }
        p->vec->mul(cols, p->params + l->scale + first, dy);
    }
}

/* Gradients of some of the k * out scales and biases; dy becomes the gradient of x W. */
static void unscale(void *arg, int64_t first, int64_t count)
{
    for (int64_t n; count > 0; first += n, count -= n) {
        n = mtl__min(count, COLUMNS);
        unscale_columns(arg, first, n);
    }
}

static void member_dense_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                                  const mtl__layer_grad *g)
{
    job j = {l, p, io, g};
    assert(g->lddy == l->out);
    mtl__pool_ranges(p->pool, l->members * l->out, 1 + GRAIN / groups(l, io), unscale, &j);
    if (g->want_params)
        mtl__dense_weight_rows(l, p, io, g, 0, l->in, p->grads + l->weight);
    if (g->dx)
        mtl__dense_input_gradient(l, p, mtl__dense_all(l), io, g);
}

static int64_t keeps_unscaled(const mtl__layer *l)
{
    return mtl__act_is_curve(&l->act) ? 2 * l->out : l->out;
}

static const mtl__layer_param member_dense_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, NULL, NULL},
    {"scale", offsetof(mtl__layer, scale), MTL__FACTORS, 1, NULL, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, NULL, NULL},
};

const mtl__layer_type mtl__member_dense_layer = {
    .name = "member dense",
    .param = member_dense_params,
    .params = MTL__COUNT_OF(member_dense_params),
    .is_product = true,
    .kept_per_row = keeps_unscaled,
    .forward = member_dense_forward,
    .backward = member_dense_backward,
};

/* --- heads ---------------------------------------------------------------------------------------- */

int64_t mtl__member_stride(const mtl__layer *l, const mtl__gemm *g, bool packed)
{
    return packed ? mtl__round_floats(mtl__gemm_packed_floats(g, l->in, l->out)) : l->in * l->out;
}

/* The derivative of what made x, of one member's rows while they are warm. */
static void multiply_slope(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                           int64_t row0, int64_t col0)
{
    const job *j = arg;
    (void)c, (void)ldc;
    mtl__layer_slope(j->p->vec, j->io, j->g, row0, rows, col0, cols);
}

typedef struct bias_arg {
    const mtl__vec *vec;
    const float *bias;
} bias_arg;

static void add_bias(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                     int64_t row0, int64_t col0)
{
    const bias_arg *a = arg;
    (void)row0;
    a->vec->bias_identity(rows, cols, c, ldc, a->bias + col0);
}

/* The products of member i: g NULL on the way forward. */
static void member_product(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g, mtl__gemm_kind kind, int64_t i)
{
    const int64_t k = l->members, step = mtl__member_stride(l, p->gemm, p->weights_packed);
    const bias_arg bias = {p->vec, p->params + l->bias + i * l->out};
    mtl__layer_io own = *io;
    mtl__layer_grad back = {0};
    const job slope = {l, p, &own, &back};
    mtl__gemm_call call = {.kind = kind,
                           .m = groups(l, io),
                           .n = l->out,
                           .k = l->in,
                           .a = io->x + i * io->ldx,
                           .lda = k * io->ldx,
                           .b = p->params + l->weight + i * step,
                           .ldb = l->out,
                           .b_packed = p->weights_packed,
                           .c = io->y + i * io->ldy,
                           .ldc = k * io->ldy,
                           .epilogue = g ? NULL : add_bias,
                           .epilogue_arg = &bias};
    if (kind == MTL__GEMM_TN) {
        call.m = l->in;
        call.k = groups(l, io);
        call.b = g->dy + i * g->lddy;
        call.ldb = k * g->lddy;
        call.c = p->grads + l->weight + i * step;
        call.ldc = l->out;
    } else if (kind == MTL__GEMM_NT) {
        call.n = l->in;
        call.k = l->out;
        call.a = g->dy + i * g->lddy;
        call.lda = k * g->lddy;
        call.c = g->dx + i * g->lddx;
        call.ldc = k * g->lddx;
        call.accumulate = g->dx_adds;
        own.x += i * io->ldx;
        own.ldx *= k;
        back = *g;
        back.dx = call.c;
        back.lddx = call.ldc;
        back.made_slope += g->made_slope ? i * g->ldslope : 0;
        back.ldslope *= k;
        call.epilogue = mtl__layer_has_slope(g) ? multiply_slope : NULL;
        call.epilogue_arg = &slope;
    }
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

static void head_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    for (int64_t i = 0; i < l->members; i++)
        member_product(l, p, io, NULL, MTL__GEMM_NN, i);
}

static void head_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g)
{
    for (int64_t i = 0; i < l->members; i++) {
        if (g->want_params) {
            member_product(l, p, io, g, MTL__GEMM_TN, i);
            p->vec->col_sums(groups(l, io), l->out, g->dy + i * g->lddy, l->members * g->lddy,
                             p->grads + l->bias + i * l->out, false);
        }
        if (g->dx)
            member_product(l, p, io, g, MTL__GEMM_NT, i);
    }
}

static const mtl__layer_param member_head_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, NULL, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, NULL, NULL},
};

const mtl__layer_type mtl__member_head_layer = {
    .name = "member head",
    .param = member_head_params,
    .params = MTL__COUNT_OF(member_head_params),
    .is_product = true,
    .kept_per_row = keeps_nothing,
    .forward = head_forward,
    .backward = head_backward,
};
