/* SPDX-License-Identifier: MIT */
/* Layer norm (Ba, Kiros & Hinton 2016) and batch norm (Ioffe & Szegedy 2015): y = gamma xhat + beta,
   xhat = (x - mean) / sqrt(variance + eps), over the columns of a row or the rows of a batch. */
#include "layer/layer.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void fill(float *x, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
}

/* Gradients of gamma and beta; dy xhat goes to product [rows, out]. */
static void parameter_gradients(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                                const mtl__layer_grad *g, float *product)
{
    const mtl__vec *v = p->vec;
    for (int64_t r = 0; r < io->rows; r++) {
        memcpy(product + r * l->out, g->dy + r * g->lddy, (size_t)l->out * sizeof *product);
        v->mul(l->out, io->kept + r * l->out, product + r * l->out);
    }
    v->col_sums(io->rows, l->out, product, l->out, p->grads + l->weight, false);
    v->col_sums(io->rows, l->out, g->dy, g->lddy, p->grads + l->bias, false);
}

/* --- layer norm -------------------------------------------------------------------------------- */

/* xhat, then 1 / deviation of each row behind all of them. */
static int64_t keeps_row(const mtl__layer *l)
{
    return l->out + 1;
}

/* A vector of ones, and in training dy xhat. */
static int64_t layer_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    (void)g, (void)slots;
    return mtl__round_floats(l->in) * (training ? rows + 1 : 1);
}

typedef struct norm_rows {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g; /* backward only */
} norm_rows;

static void forward_rows(void *arg, int64_t first, int64_t count)
{
    const norm_rows *a = arg;
    const mtl__vec *v = a->p->vec;
    const mtl__layer_io *io = a->io;
    const float *ones = a->p->gemm_work;
    int64_t n = a->l->in;
    for (int64_t r = first; r < first + count; r++) {
        float *y = io->y + r * io->ldy;
        memcpy(y, io->x + r * io->ldx, (size_t)n * sizeof *y);
        v->axpy(n, -v->sum(n, y) / (float)n, ones, y);
        float inverse = 1 / sqrtf(v->dot(n, y, y) / (float)n + (float)a->l->eps);
        v->scale(n, inverse, y);
        if (io->kept) {
            memcpy(io->kept + r * n, y, (size_t)n * sizeof *y);
            io->kept[io->rows * n + r] = inverse;
        }
        v->mul(n, a->p->params + a->l->weight, y);
        v->axpy(n, 1, a->p->params + a->l->bias, y);
    }
}

static int64_t row_grain(const mtl__layer *l)
{
    return 1 + 16384 / l->in;
}

static void layer_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    norm_rows arg = {l, p, io, NULL};
    fill(p->gemm_work, l->in, 1);
    mtl__pool_ranges(p->pool, io->rows, row_grain(l), forward_rows, &arg);
}

/* In place: dy = (d - mean(d) - xhat mean(d xhat)) / deviation with d = gamma dy. */
static void backward_rows(void *arg, int64_t first, int64_t count)
{
    const norm_rows *a = arg;
    const mtl__vec *v = a->p->vec;
    int64_t n = a->l->in;
    for (int64_t r = first; r < first + count; r++) {
        float *d = a->g->dy + r * a->g->lddy;
        const float *xhat = a->io->kept + r * n;
        v->mul(n, a->p->params + a->l->weight, d);
        float mean = v->sum(n, d) / (float)n, slope = v->dot(n, d, xhat) / (float)n;
        v->axpy(n, -slope, xhat, d);
        v->axpy(n, -mean, a->p->gemm_work, d);
        v->scale(n, a->io->kept[a->io->rows * n + r], d);
    }
}

static void layer_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g)
{
    norm_rows arg = {l, p, io, g};
    if (g->want_params)
        parameter_gradients(l, p, io, g, p->gemm_work + mtl__round_floats(l->in));
    if (!g->dx)
        return;
    fill(p->gemm_work, l->in, 1);
    mtl__pool_ranges(p->pool, io->rows, row_grain(l), backward_rows, &arg);
    mtl__layer_hand_down(l, p, io, g);
}

static const mtl__layer_param layer_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__VECTOR, 1, NULL, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__VECTOR, 0, NULL, NULL},
};

const mtl__layer_type mtl__layer_norm_layer = {
    .name = "layer_norm",
    .param = layer_params,
    .params = MTL__COUNT_OF(layer_params),
    .by_stream = true,
    .workspace = layer_workspace,
    .kept_per_row = keeps_row,
    .forward = layer_forward,
    .backward = layer_backward,
};

/* --- batch norm -------------------------------------------------------------------------------- */

static int64_t keeps_xhat(const mtl__layer *l)
{
    return l->out;
}

/* Vectors of columns, and in training a matrix. */
enum { ZEROS, ONES, SHIFT, FACTOR, VECTORS };

static int64_t batch_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    (void)g, (void)slots;
    return mtl__round_floats(l->out) * (VECTORS + (training ? rows : 0));
}

static float *vector(const mtl__layer *l, const mtl__pass *p, int which)
{
    return p->gemm_work + which * mtl__round_floats(l->out);
}

static void fill_vectors(const mtl__layer *l, const mtl__pass *p)
{
    fill(vector(l, p, ZEROS), l->out, 0);
    fill(vector(l, p, ONES), l->out, 1);
}

/* The batch's own statistics are used while the layer is trained. */
static bool is_training(const mtl__layer *l, const mtl__pass *p)
{
    return p->trains && p->trains[l->id];
}

/* gamma / sqrt(running variance + eps) to FACTOR. */
static void running_factor(const mtl__layer *l, const mtl__pass *p)
{
    float *factor = vector(l, p, FACTOR);
    for (int64_t j = 0; j < l->out; j++)
        factor[j] = p->params[l->weight + j] /
                    sqrtf(p->params[l->variance + j] + (float)l->eps);
}

static void forward_running(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    running_factor(l, p);
    p->vec->standardize(io->rows, l->out, io->x, io->ldx, NULL, p->params + l->mean,
                        vector(l, p, FACTOR), io->y);
    p->vec->bias_identity(io->rows, l->out, io->y, io->ldy, p->params + l->bias);
}

/* The running variance is unbiased, the one that normalises is not (as everywhere). */
static void follow(const mtl__layer *l, const mtl__pass *p, int64_t rows, const float *mean,
                   const float *variance)
{
    float m = (float)l->momentum, unbiased = (float)rows / (float)(rows - 1);
    for (int64_t j = 0; j < l->out && rows > 1; j++) {
        float *to_mean = &p->state[l->mean + j], *to_variance = &p->state[l->variance + j];
        *to_mean += m * (mean[j] - *to_mean);
        *to_variance += m * (variance[j] * unbiased - *to_variance);
    }
}

/* Between forward and backward the gradient's stretch of the running mean, which has no gradient,
   holds 1 / deviation of the batch. */
static void batch_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const mtl__vec *v = p->vec;
    float *mean = vector(l, p, SHIFT), *variance = vector(l, p, FACTOR);
    int64_t n = l->out, rows = io->rows;
    assert(io->ldy == n);
    if (!is_training(l, p)) {
        forward_running(l, p, io);
        return;
    }
    float *inverse = p->grads + l->mean;
    fill_vectors(l, p);
    v->col_sums(rows, n, io->x, io->ldx, mean, false);
    v->scale(n, 1 / (float)rows, mean);
    v->standardize(rows, n, io->x, io->ldx, NULL, mean, vector(l, p, ONES), io->y);
    memcpy(io->kept, io->y, (size_t)(rows * n) * sizeof(float));
    v->mul(rows * n, io->kept, io->kept);
    v->col_sums(rows, n, io->kept, n, variance, false);
    v->scale(n, 1 / (float)rows, variance);
    for (int64_t j = 0; j < n; j++)
        inverse[j] = 1 / sqrtf(variance[j] + (float)l->eps);
    follow(l, p, rows, mean, variance);
    v->standardize(rows, n, io->y, n, NULL, vector(l, p, ZEROS), inverse, io->kept);
    v->standardize(rows, n, io->kept, n, NULL, vector(l, p, ZEROS), p->params + l->weight, io->y);
    v->bias_identity(rows, n, io->y, n, p->params + l->bias);
}

/* In place: dy = (dy - mean(dy) - xhat mean(dy xhat)) gamma / deviation, means over the rows; or
   dy gamma / deviation where the statistics are constants. */
static void batch_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g)
{
    const mtl__vec *v = p->vec;
    float *shift = vector(l, p, SHIFT), *factor = vector(l, p, FACTOR);
    float *matrix = vector(l, p, VECTORS), *zeros = vector(l, p, ZEROS);
    int64_t n = l->out, rows = io->rows;
    assert(g->lddy == n);
    fill_vectors(l, p);
    if (g->want_params)
        parameter_gradients(l, p, io, g, matrix);
    if (!g->dx)
        return;
    if (is_training(l, p)) {
        const float *gamma = p->params + l->weight, *inverse = p->grads + l->mean;
        for (int64_t j = 0; j < n; j++) {
            shift[j] = p->grads[l->weight + j] / (float)rows;
            factor[j] = -shift[j] * gamma[j] * inverse[j];
        }
        v->standardize(rows, n, io->kept, n, NULL, zeros, factor, matrix);
        for (int64_t j = 0; j < n; j++) {
            shift[j] = p->grads[l->bias + j] / (float)rows;
            factor[j] = gamma[j] * inverse[j];
        }
        v->standardize(rows, n, g->dy, n, NULL, shift, factor, g->dy);
        v->axpy(rows * n, 1, matrix, g->dy);
    } else {
        running_factor(l, p);
        v->standardize(rows, n, g->dy, n, NULL, zeros, factor, g->dy);
    }
    mtl__layer_hand_down(l, p, io, g);
}

static const mtl__layer_param batch_params[] = {
    {"weight", offsetof(mtl__layer, weight), MTL__VECTOR, 1, NULL, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__VECTOR, 0, NULL, NULL},
    {"running_mean", offsetof(mtl__layer, mean), MTL__STATE, 0, NULL, NULL},
    {"running_var", offsetof(mtl__layer, variance), MTL__STATE, 1, NULL, NULL},
};

const mtl__layer_type mtl__batch_norm_layer = {
    .name = "batch_norm",
    .param = batch_params,
    .params = MTL__COUNT_OF(batch_params),
    .workspace = batch_workspace,
    .kept_per_row = keeps_xhat,
    .forward = batch_forward,
    .backward = batch_backward,
};

/* --- the choice -------------------------------------------------------------------------------- */

static const mtl__choice_param layer_norm_params[] = {
    [MTL__NORM_EPS] = {"eps", 1e-5, 1e-12, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__choice_param batch_norm_params[] = {
    [MTL__NORM_EPS] = {"eps", 1e-5, 1e-12, 1, NULL},
    [MTL__NORM_MOMENTUM] = {"momentum", 0.1, 0, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__norm rows[] = {
    {{"layer", layer_norm_params}, &mtl__layer_norm_layer},
    {{"batch", batch_norm_params}, &mtl__batch_norm_layer},
};

const mtl__choice_table mtl__norms = MTL__CHOICE_TABLE("norm", rows);
