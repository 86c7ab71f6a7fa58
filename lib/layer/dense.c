/* SPDX-License-Identifier: MIT */
/* y = act(x W + b), W [in, out], and what all layers share. */
#include "layer/layer.h"

#include <stddef.h>
#include <string.h>

typedef struct epilogue_arg {
    const mtl__vec *vec;
    const mtl__act *act;
    mtl__bias_act_fn *fn; /* NULL = a curve */
    const float *bias;
    float *slope; /* [rows, cols] of a curve to keep, or NULL; of all streams */
    int64_t cols;
} epilogue_arg;

static void add_bias_and_activate(const void *arg, int64_t rows, int64_t cols, float *c,
                                  int64_t ldc, int64_t row0, int64_t col0)
{
    const epilogue_arg *e = arg;
    if (e->fn)
        e->fn(rows, cols, c, ldc, e->bias + col0);
    else
        e->vec->curve(&e->act->curve, rows, cols, c, ldc, e->bias + col0,
                      e->slope ? e->slope + row0 * e->cols + col0 : NULL, e->cols);
}

/* y = x W, or added to y. Every member is named, so that none is cleared first: that took longer than
   a row's arithmetic. */
MTL__INLINE void product(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                         mtl__gemm_epilogue_fn *epilogue, const void *arg)
{
    if (!io->x) {
        mtl__layer_sparse_product(l, p, io, epilogue, arg);
        return;
    }
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_NN,
        .m = io->rows,
        .n = l->out,
        .k = l->in,
        .a = io->x,
        .lda = io->ldx,
        .b = p->params + l->weight,
        .ldb = l->cols,
        .b_packed = p->weights_packed,
        .c = io->y,
        .ldc = io->ldy,
        .accumulate = l->adds,
        .epilogue = epilogue,
        .epilogue_arg = arg,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const mtl__activation *row = l->act.row;
    const epilogue_arg arg = {.vec = p->vec,
                              .act = &l->act,
                              .fn = row->forward ? row->forward(p->vec) : NULL,
                              .bias = p->params + l->bias,
                              .slope = io->kept,
                              .cols = l->cols};
    product(l, p, io, add_bias_and_activate, &arg);
}

typedef struct sums_arg {
    const mtl__vec *vec;
    int64_t rows;
    const float *dy;
    int64_t lddy;
    float *out;
} sums_arg;

static void sum_columns(void *arg, int64_t first, int64_t cols)
{
    const sums_arg *s = arg;
    s->vec->col_sums(s->rows, cols, s->dy + first, s->lddy, s->out + first, false);
}

void mtl__dense_weight_rows(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g, int64_t row, int64_t count, float *out)
{
    if (!io->x) {
        mtl__layer_sparse_gradient(l, p, io, g);
        return;
    }
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_TN,
        .m = count,
        .n = l->out,
        .k = io->rows,
        .a = io->x + row,
        .lda = io->ldx,
        .b = g->dy,
        .ldb = g->lddy,
        .c = out,
        .ldc = l->cols,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

/* dW = x' dy. */
static void weight_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g)
{
    mtl__dense_weight_rows(l, p, io, g, 0, l->in, p->grads + l->weight);
}

/* db = column sums of dy. */
static void bias_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g)
{
    sums_arg sums = {p->vec, io->rows, g->dy, g->lddy, p->grads + l->bias};
    mtl__pool_ranges(p->pool, l->out, 1 + 65536 / io->rows, sum_columns, &sums);
}

void mtl__layer_hand_down(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g)
{
    for (int64_t r = 0; r < io->rows; r++) {
        float *to = g->dx + r * g->lddx;
        const float *from = g->dy + r * g->lddy;
        if (g->dx_adds)
            p->vec->axpy(l->in, 1, from, to);
        else
            memcpy(to, from, (size_t)l->in * sizeof *to);
    }
    if (mtl__layer_has_slope(g))
        mtl__layer_slope(p->vec, io, g, 0, io->rows, 0, l->in);
}

void mtl__layer_slope(const mtl__vec *v, const mtl__layer_io *io,
                      const mtl__layer_grad *g, int64_t row0, int64_t rows, int64_t col0,
                      int64_t cols)
{
    const mtl__activation *by = g->made_by->row;
    float *d = g->dx + row0 * g->lddx + col0;
    if (by->backward)
        by->backward(v)(rows, cols, io->x + row0 * io->ldx + col0, io->ldx, d, g->lddx);
    for (int64_t r = 0; r < rows && !by->forward; r++)
        v->mul(cols, g->made_slope + (row0 + r) * g->ldslope + col0, d + r * g->lddx);
}

typedef struct slope_arg {
    const mtl__layer *l;
    const mtl__vec *vec;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
} slope_arg;

static void multiply_slope(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                           int64_t row0, int64_t col0)
{
    const slope_arg *s = arg;
    (void)c, (void)ldc;
    mtl__layer_slope(s->vec, s->io, s->g, row0, rows, col0, cols);
}

/* dx = dy W', times the derivative of what made x. */
void mtl__dense_input_gradient(const mtl__layer *l, const mtl__pass *p, mtl__dense_part part,
                               const mtl__layer_io *io, const mtl__layer_grad *g)
{
    const slope_arg arg = {l, p->vec, io, g};
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_NT,
        .m = io->rows,
        .n = part.inputs,
        .k = part.outputs,
        .a = g->dy,
        .lda = g->lddy,
        .b = p->params + l->weight + part.input * l->cols + part.output,
        .ldb = l->cols,
        .c = g->dx,
        .ldc = g->lddx,
        .accumulate = g->dx_adds,
        .epilogue = mtl__layer_has_slope(g) ? multiply_slope : NULL,
        .epilogue_arg = &arg,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    if (g->want_params) {
        weight_gradient(l, p, io, g);
        bias_gradient(l, p, io, g);
    }
    if (g->dx)
        mtl__dense_input_gradient(l, p, mtl__dense_all(l), io, g);
}

static int64_t keeps_slope(const mtl__layer *l)
{
    return mtl__act_is_curve(&l->act) ? l->out : 0;
}

static const mtl__layer_param dense_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, NULL, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__VECTOR, 0, NULL, NULL},
};

const mtl__layer_type mtl__dense_layer = {
    .name = "dense",
    .param = dense_params,
    .params = MTL__COUNT_OF(dense_params),
    .is_product = true,
    .by_stream = true,
    .kept_per_row = keeps_slope,
    .forward = forward,
    .backward = backward,
};

/* --- the linear skip: the heads' z starts from it ---------------------------------------------- */

static void skip_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    product(l, p, io, NULL, NULL);
}

static void skip_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g)
{
    assert(!g->dx);
    if (g->want_params)
        weight_gradient(l, p, io, g);
}

static const mtl__layer_param skip_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__MATRIX, 0, NULL, NULL},
};

const mtl__layer_type mtl__skip_layer = {
    .name = "skip",
    .param = skip_params,
    .params = MTL__COUNT_OF(skip_params),
    .is_product = true,
    .kept_per_row = keeps_slope,
    .forward = skip_forward,
    .backward = skip_backward,
};

int64_t mtl__product_workspace(const mtl__gemm *g, int64_t rows, int64_t in, int64_t out, int slots,
                               bool training)
{
    int64_t need = mtl__gemm_workspace(g, MTL__GEMM_NN, rows, out, in, slots);
    if (!training)
        return need;
    need = mtl__max(need, mtl__gemm_workspace(g, MTL__GEMM_TN, in, out, rows, slots));
    return mtl__max(need, mtl__gemm_workspace(g, MTL__GEMM_NT, rows, in, out, slots));
}

int64_t mtl__layer_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                             bool training)
{
    if (mtl__layer_is_split(l)) {
        const mtl__layer one = mtl__layer_of_stream(l);
        return mtl__layer_workspace(&one, g, rows, slots, training);
    }
    if (l->type->workspace)
        return l->type->workspace(l, g, rows, slots, training);
    return l->type->is_product ? mtl__product_workspace(g, rows, l->in, l->out, slots, training) : 0;
}
