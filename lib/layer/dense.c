/* SPDX-License-Identifier: MIT */
/* y = act(x W + b), W [in, out]. */
#include "layer/layer.h"

typedef struct epilogue_arg {
    mtl__bias_act_fn *act;
    const float *bias;
} epilogue_arg;

static void add_bias_and_activate(const void *arg, int64_t rows, int64_t cols, float *c,
                                  int64_t ldc, int64_t row0, int64_t col0)
{
    const epilogue_arg *e = arg;
    (void)row0;
    e->act(rows, cols, c, ldc, e->bias + col0);
}

/* Every member is named, so that none is cleared first: that took longer than a row's arithmetic. */
static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const epilogue_arg arg = {l->activation->forward(p->vec), p->params + l->bias};
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_NN,
        .m = io->rows,
        .n = l->out,
        .k = l->in,
        .a = io->x,
        .lda = io->ldx,
        .b = p->params + l->weight,
        .ldb = l->out,
        .b_packed = p->weights_packed,
        .c = io->y,
        .ldc = io->ldy,
        .accumulate = false,
        .epilogue = add_bias_and_activate,
        .epilogue_arg = &arg,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
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

/* dW = x' dy, db = column sums of dy. */
static void parameter_gradients(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                                const mtl__layer_grad *g)
{
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_TN,
        .m = l->in,
        .n = l->out,
        .k = io->rows,
        .a = io->x,
        .lda = io->ldx,
        .b = g->dy,
        .ldb = g->lddy,
        .c = p->grads + l->weight,
        .ldc = l->out,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
    sums_arg sums = {p->vec, io->rows, g->dy, g->lddy, p->grads + l->bias};
    mtl__pool_ranges(p->pool, l->out, 1 + 65536 / io->rows, sum_columns, &sums);
}

typedef struct slope_arg {
    mtl__act_grad_fn *slope;
    const float *x;
    int64_t ldx;
} slope_arg;

static void multiply_slope(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                           int64_t row0, int64_t col0)
{
    const slope_arg *s = arg;
    s->slope(rows, cols, s->x + row0 * s->ldx + col0, s->ldx, c, ldc);
}

/* dx = dy W', times the derivative of what made x. */
static void input_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g)
{
    const slope_arg arg = {mtl__activation_slope(g->made_by, p->vec), io->x, io->ldx};
    const mtl__gemm_call call = {
        .kind = MTL__GEMM_NT,
        .m = io->rows,
        .n = l->in,
        .k = l->out,
        .a = g->dy,
        .lda = g->lddy,
        .b = p->params + l->weight,
        .ldb = l->out,
        .c = g->dx,
        .ldc = g->lddx,
        .accumulate = g->dx_adds,
        .epilogue = arg.slope ? multiply_slope : NULL,
        .epilogue_arg = &arg,
    };
    mtl__gemm_run(p->gemm, &call, p->pool, p->gemm_work);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    if (g->want_params)
        parameter_gradients(l, p, io, g);
    if (g->dx)
        input_gradient(l, p, io, g);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

const mtl__layer_type mtl__dense_layer = {
    .name = "dense",
    .kept_per_row = keeps_nothing,
    .forward = forward,
    .backward = backward,
};

int64_t mtl__layer_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                             bool training)
{
    if (l->weight < 0)
        return 0;
    int64_t need = mtl__gemm_workspace(g, MTL__GEMM_NN, rows, l->out, l->in, slots);
    if (!training)
        return need;
    need = mtl__max(need, mtl__gemm_workspace(g, MTL__GEMM_TN, l->in, l->out, rows, slots));
    return mtl__max(need, mtl__gemm_workspace(g, MTL__GEMM_NT, rows, l->in, l->out, slots));
}
