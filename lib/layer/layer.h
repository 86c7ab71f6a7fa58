/* SPDX-License-Identifier: MIT */
/* Layers: what a layer is, and one row of operations for each type. A layer holds no numbers: its
   parameters are offsets into the model's flat vector. */
#ifndef MTL__LAYER_H
#define MTL__LAYER_H

#include "ctx/context.h"
#include "layer/activation.h"

typedef struct mtl__layer_type mtl__layer_type;

typedef struct mtl__layer {
    const mtl__layer_type *type;
    int64_t in, out;
    mtl__act act;                      /* dense */
    double rate;                       /* dropout */
    int64_t weight, bias;              /* offsets into the parameters, -1 = has none */
    int32_t id;                        /* number among all layers of the network */
} mtl__layer;

/* What a forward or backward pass runs in. */
typedef struct mtl__pass {
    const mtl__gemm *gemm;
    const mtl__vec *vec;
    mtl__pool *pool;
    float *gemm_work;
    const float *params;
    bool weights_packed; /* predict only: weights are what mtl__gemm_pack_b made of them */
    float *grads;    /* backward only; as long as params */
    uint64_t seed;   /* training only: of dropout */
    int64_t counter; /* training only: rows that went through before this batch */
} mtl__pass;

/* A batch as a layer sees it: inputs, outputs, and what it keeps from forward for backward. */
typedef struct mtl__layer_io {
    int64_t rows;
    const float *x;
    int64_t ldx;
    float *y;
    int64_t ldy;
    float *kept; /* kept_per_row numbers for each row; NULL in predict */
} mtl__layer_io;

/* Gradients, of what a layer makes from its activation's argument on: for dense, of x W + b. So
   whoever computes dx multiplies it with the derivative of the activation that made x. */
typedef struct mtl__layer_grad {
    float *dy; /* [rows, out], may be overwritten */
    int64_t lddy;
    float *dx; /* [rows, in], NULL = not wanted */
    int64_t lddx;
    bool dx_adds;            /* add to what is in dx */
    const mtl__act *made_by; /* the activation whose output x is; row NULL = none */
    const float *made_slope; /* its derivative [rows, in], where it is a curve */
    bool want_params;               /* write the gradients of the parameters */
} mtl__layer_grad;

struct mtl__layer_type {
    const char *name;
    bool training_only; /* predict passes the input on */
    /* Numbers to keep per row between forward and backward. */
    int64_t (*kept_per_row)(const mtl__layer *l);
    void (*forward)(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io);
    void (*backward)(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g);
};

extern const mtl__layer_type mtl__dense_layer;
extern const mtl__layer_type mtl__dropout_layer;

/* Whether dx is to be multiplied with a derivative. */
static inline bool mtl__layer_has_slope(const mtl__layer_grad *g)
{
    return g->made_by && g->made_by->row && (g->made_by->row->backward || !g->made_by->row->forward);
}

/* Multiply a part of dx, rows x cols from (row0, col0) on, with the derivative of what made x. */
void mtl__layer_slope(const mtl__layer *l, const mtl__vec *v, const mtl__layer_io *io,
                      const mtl__layer_grad *g, int64_t row0, int64_t rows, int64_t col0,
                      int64_t cols);

/* Floats of GEMM scratch that a pass over this layer needs. */
int64_t mtl__layer_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                             bool training);

#endif
