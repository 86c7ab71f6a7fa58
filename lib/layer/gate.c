/* SPDX-License-Identifier: MIT */
/* Mixtures of experts: each task's stream is the sum of the experts' that it may read, weighted by the
   softmax of a linear function of what the experts saw (Ma et al. 2018, eq. 6; Tang et al. 2020, eq. 2
   to 8). x: the experts' streams; y: a stream for each task and, between two levels, one of all experts
   before them; what it reads back: the row that the experts saw, or a stream for each of y's.

   The columns of the one matrix are the logits, gate after gate. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
    float *chance, *slope; /* [rows, logits]: the softmax, its gradient */
} job;

/* Streams that a gate weighs, the first of its logits, and the stream of logit k. */
static int64_t experts_of(const mtl__layer *l, int64_t gate)
{
    return gate < l->to.shared ? mtl__streams_count(l->from) : l->from.shared + l->from.own;
}

static int64_t first_logit(const mtl__layer *l, int64_t gate)
{
    const int64_t all = mtl__min(gate, l->to.shared) * mtl__streams_count(l->from);
    return all + mtl__max(gate - l->to.shared, 0) * (l->from.shared + l->from.own);
}

static int64_t expert_of(const mtl__layer *l, int64_t gate, int64_t k)
{
    return gate < l->to.shared || k < l->from.shared ? k : k + (gate - l->to.shared) * l->from.own;
}

int64_t mtl__gate_logits(const mtl__layer *l)
{
    return first_logit(l, mtl__streams_count(l->to));
}

static int64_t width_of(const mtl__layer *l)
{
    return l->in / mtl__streams_count(l->from);
}

/* Rows that some 10 us are worth. */
static int64_t grain(const mtl__layer *l)
{
    return 1 + 32768 / (l->cols * width_of(l));
}

/* --- the logits: a dense layer of all gates, or one for each ------------------------------------- */

/* Gates that read streams of their own; else they are one product. */
static bool is_split(const mtl__layer *l)
{
    return mtl__streams_count(l->skip) > 1;
}

static int64_t products(const mtl__layer *l)
{
    return is_split(l) ? mtl__streams_count(l->to) : 1;
}

/* Product i as a dense layer without bias and activation, and what it sees: its x, its y in `logits`. */
static mtl__layer product_at(const mtl__layer *l, const mtl__layer_io *io, int64_t i, float *logits,
                             mtl__layer_io *of)
{
    mtl__layer one = *l;
    const int64_t first = is_split(l) ? first_logit(l, i) : 0;
    one.in = l->rows;
    one.out = is_split(l) ? experts_of(l, i) : l->cols;
    one.weight += first;
    /* The streams read are those of y, and one of all in front that the last level has no gate for. */
    const int64_t stream = is_split(l) ? i + l->skip.shared - l->to.shared : 0;
    *of = (mtl__layer_io){.rows = io->rows,
                          .x = io->skip ? io->skip + stream * l->rows : NULL,
                          .ldx = io->ldskip,
                          .y = logits + first,
                          .ldy = l->cols};
    return one;
}

static void logits_forward(const job *j, float *work)
{
    for (int64_t i = 0; i < products(j->l); i++) {
        mtl__layer_io of;
        const mtl__layer one = product_at(j->l, j->io, i, j->chance, &of);
        const mtl__gemm_call call = {.kind = MTL__GEMM_NN,
                                     .m = of.rows,
                                     .n = one.out,
                                     .k = one.in,
                                     .a = of.x,
                                     .lda = of.ldx,
                                     .b = j->p->params + one.weight,
                                     .ldb = one.cols,
                                     .c = of.y,
                                     .ldc = of.ldy};
        if (of.x)
            mtl__gemm_run(j->p->gemm, &call, j->p->pool, work);
        else
            mtl__layer_sparse_product(&one, j->p, &of, NULL, NULL);
    }
}

/* A stream that no gate reads has no gradient of its own. */
static void clear_unread(const job *j)
{
    const mtl__layer_grad *g = j->g;
    const bool any = j->l->skip.shared > j->l->to.shared;
    for (int64_t r = 0; r < j->io->rows && any && is_split(j->l) && !g->dskip_adds; r++)
        memset(g->dskip + r * g->lddskip, 0, (size_t)j->l->rows * sizeof *g->dskip);
}

static void logits_backward(const job *j, float *work)
{
    mtl__pass p = *j->p;
    p.gemm_work = work;
    for (int64_t i = 0; i < products(j->l); i++) {
        mtl__layer_io of;
        const mtl__layer one = product_at(j->l, j->io, i, j->slope, &of);
        mtl__layer_grad d = {.dy = of.y, .lddy = of.ldy, .dx = j->g->dskip, .lddx = j->g->lddskip,
                             .dx_adds = j->g->dskip_adds};
        if (j->g->want_params)
            mtl__dense_weight_rows(&one, &p, &of, &d, 0, one.in, p.grads + one.weight);
        if (!d.dx)
            continue;
        d.dx += of.x - j->io->skip;
        mtl__dense_input_gradient(&one, &p, mtl__dense_all(&one), &of, &d);
    }
    if (j->g->dskip)
        clear_unread(j);
}

/* --- the mixture ---------------------------------------------------------------------------------- */

static void mix_rows(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t width = width_of(l);
    for (int64_t gate = 0; gate < mtl__streams_count(l->to); gate++) {
        const int64_t n = experts_of(l, gate);
        float *chance = j->chance + first * l->cols + first_logit(l, gate);
        v->softmax(count, n, chance, l->cols);
        for (int64_t r = first; r < first + count; r++, chance += l->cols) {
            const float *x = j->io->x + r * j->io->ldx;
            float *y = j->io->y + r * j->io->ldy + gate * width;
            memset(y, 0, (size_t)width * sizeof *y);
            for (int64_t k = 0; k < n; k++)
                v->axpy(width, chance[k], x + expert_of(l, gate, k) * width, y);
        }
    }
}

/* The logits' scratch lies in front of the products'. */
static float *behind(const mtl__layer *l, const mtl__pass *p, int64_t rows)
{
    return p->gemm_work + mtl__round_floats(rows * l->cols);
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    job j = {.l = l, .p = p, .io = io, .chance = io->kept ? io->kept : p->gemm_work};
    logits_forward(&j, behind(l, p, io->rows));
    mtl__pool_ranges(p->pool, io->rows, grain(l), mix_rows, &j);
}

/* With d_k = <dy, x_k>: the gradient of logit k is chance_k (d_k - sum chance d). */
static void slope_of(const job *j, int64_t gate, int64_t n, const float *x, const float *dy,
                     const float *chance, float *slope)
{
    const int64_t width = width_of(j->l);
    for (int64_t k = 0; k < n; k++)
        slope[k] = j->p->vec->dot(width, dy, x + expert_of(j->l, gate, k) * width);
    const float mean = j->p->vec->dot(n, chance, slope);
    for (int64_t k = 0; k < n; k++)
        slope[k] = chance[k] * (slope[k] - mean);
}

static void unmix_rows(void *arg, int64_t first, int64_t count)
{
    const job *j = arg;
    const mtl__layer *l = j->l;
    const mtl__layer_grad *g = j->g;
    const int64_t width = width_of(l), gates = mtl__streams_count(l->to);
    for (int64_t r = first; r < first + count; r++) {
        const float *x = j->io->x + r * j->io->ldx;
        float *dx = g->dx ? g->dx + r * g->lddx : NULL;
        if (dx && !g->dx_adds)
            memset(dx, 0, (size_t)l->in * sizeof *dx);
        for (int64_t gate = 0; gate < gates; gate++) {
            const int64_t at = r * l->cols + first_logit(l, gate), n = experts_of(l, gate);
            const float *dy = g->dy + r * g->lddy + gate * width;
            slope_of(j, gate, n, x, dy, j->chance + at, j->slope + at);
            for (int64_t k = 0; k < n && dx; k++)
                j->p->vec->axpy(width, j->chance[at + k], dy, dx + expert_of(l, gate, k) * width);
        }
        if (dx && mtl__layer_has_slope(g))
            mtl__layer_slope(j->p->vec, j->io, g, r, 1, 0, l->in);
    }
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    job j = {l, p, io, g, io->kept, p->gemm_work};
    mtl__pool_ranges(p->pool, io->rows, grain(l), unmix_rows, &j);
    if (g->want_params || g->dskip)
        logits_backward(&j, behind(l, p, io->rows));
}

static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    return mtl__round_floats(rows * l->cols) +
           mtl__product_workspace(g, rows, l->rows, l->cols, slots, training);
}

static int64_t keeps_chances(const mtl__layer *l)
{
    return l->cols;
}

/* Gates start as the mean of their experts. */
static const mtl__layer_param params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 0, NULL, NULL},
};

const mtl__layer_type mtl__gate_layer = {
    .name = "gate",
    .param = params,
    .params = MTL__COUNT_OF(params),
    .reads_back = true,
    .workspace = workspace,
    .kept_per_row = keeps_chances,
    .forward = forward,
    .backward = backward,
};
