/* SPDX-License-Identifier: MIT */
/* Layers: what a layer is, and one row of operations for each type. A layer holds no numbers: its
   parameters are offsets into the model's flat vector. */
#ifndef MTL__LAYER_H
#define MTL__LAYER_H

#include "ctx/context.h"
#include "layer/activation.h"
#include "rng/rng.h"
#include "vec/sparse.h"

typedef struct mtl__layer_type mtl__layer_type;

/* Stretches of equal width that lie side by side in a row, each the features of an expert or of a task:
   first the shared ones, then `own` for each task. All 0: a row is one stretch of all tasks. */
typedef struct mtl__streams {
    int64_t shared, tasks, own;
} mtl__streams;

static inline int64_t mtl__streams_count(mtl__streams s)
{
    const int64_t n = s.shared + s.tasks * s.own;
    return n ? n : 1;
}

/* The task that a stream belongs to, -1 = all. */
static inline int64_t mtl__streams_owner(mtl__streams s, int64_t stream)
{
    return stream < s.shared || !s.own ? -1 : (stream - s.shared) / s.own;
}

typedef struct mtl__layer {
    const mtl__layer_type *type;
    int64_t in, out;
    mtl__act act;           /* dense */
    mtl__act mixed;         /* parametric: of which y has a share */
    bool adds;              /* dense: to what is in y, in place of overwriting it */
    double rate;            /* dropout; factors of inputs, parametric: factor of the learning rate */
    double eps, momentum;   /* norms */
    int64_t column;         /* embedding: of its x; what reads back: layers since that */
    int64_t input;          /* embedding: its column among the network's inputs */
    int64_t rows, cols;     /* shape of the matrix; cols is the length of vectors too */
    int64_t weight, bias;   /* offsets into the parameters, -1 = has none */
    int64_t scale;          /* the same, of factors */
    int64_t mean, variance; /* the same, of batch norm's running statistics */
    const int64_t *columns; /* numeric embedding: places of its columns in x, ascending */
    int64_t embeds;         /* their number; factors: that of the embedding in front */
    int64_t units;          /* columns of y for each of them, the last ones */
    int64_t features;       /* of each: frequencies or bins */
    double spread;          /* of the first frequencies */
    bool shares;            /* one matrix for all columns, one share for all members */
    int64_t frequency, phase, edges; /* offsets */
    int64_t members;        /* of an ensemble: rows of its y for each row of the network; 0 = 1 */
    bool expands;           /* factors: x has one row where y has one for each member */
    mtl__streams from, to;  /* what x and y consist of */
    mtl__streams skip;      /* what it reads back consists of */
    bool starts_at_zero;    /* its matrix is not drawn */
    bool joined; /* factors: while training, the layer below applies them as it writes out */
    int32_t id;             /* number among all layers of the network */
} mtl__layer;

typedef enum mtl__param_role {
    MTL__MATRIX, /* [rows, cols]: drawn, penalties apply */
    MTL__VECTOR, /* [cols]: starts at a constant, no penalties */
    MTL__STATE,  /* [cols]: follows the data while the layer is trained, has no gradient */
    MTL__FACTORS /* [members, cols]: starts at a constant or is drawn, no penalties */
} mtl__param_role;

typedef struct mtl__shape {
    int64_t rows, cols;
} mtl__shape;

/* A tensor that layers of a type have. */
typedef struct mtl__layer_param {
    const char *name; /* the last part of its name */
    size_t member;    /* of mtl__layer: its offset */
    mtl__param_role role;
    float initial; /* of vectors and states; a matrix with 0 is not drawn */
    /* Another shape than the role's; NULL = that one. */
    mtl__shape (*shape)(const mtl__layer *l);
    /* First values of what has rows; NULL = as the network's initialiser says, or `initial`. */
    void (*draw)(const mtl__layer *l, mtl__rng *rng, float *w);
} mtl__layer_param;

static inline int64_t mtl__layer_members(const mtl__layer *l)
{
    return l->members > 1 ? l->members : 1;
}

static inline bool mtl__role_has_rows(mtl__param_role role)
{
    return role == MTL__MATRIX || role == MTL__FACTORS;
}

/* What a forward or backward pass runs in. */
typedef struct mtl__pass {
    const mtl__gemm *gemm;
    const mtl__vec *vec;
    mtl__pool *pool;
    float *gemm_work;
    const mtl__sparse *sparse; /* the network's inputs, where a layer's x is NULL */
    const float *params;
    bool weights_packed; /* predict only: weights are what mtl__gemm_pack_b made of them */
    float *grads;    /* training only; as long as params */
    float *state;    /* training only: params once more, for those that are no parameters */
    const bool *trains; /* training only: [layers] whose parameters are trained */
    double dropout;  /* training only: factor of its rates, 0 .. 1 */
    uint64_t seed;   /* training only: of dropout */
    int64_t counter; /* training only: rows that went through before this batch */
} mtl__pass;

/* A batch as a layer sees it: inputs, outputs, and what it keeps from forward for backward. rows: of
   y, and of x but where the layer expands. */
typedef struct mtl__layer_io {
    int64_t rows;
    const float *x; /* NULL = the pass's sparse inputs, for products alone */
    int64_t ldx;
    float *y;
    int64_t ldy;
    const float *skip; /* what it reads back: a residual adds it, a gate weighs by it */
    int64_t ldskip;
    float *kept; /* kept_per_row numbers for each row; NULL in predict */
    const float *after; /* factors [members, out] that y is multiplied with, of the layer above; NULL */
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
    int64_t ldslope;
    float *dskip; /* of what it reads back, NULL = not wanted; a residual leaves that to the network */
    int64_t lddskip;
    bool dskip_adds;
    bool want_params; /* write the gradients of the parameters */
    float *dafter;    /* of the factors behind, NULL = not wanted */
} mtl__layer_grad;

struct mtl__layer_type {
    const char *name;
    const mtl__layer_param *param;
    int32_t params;
    bool training_only; /* predict passes the input on */
    bool is_product;    /* its weight may be in panels (mtl__gemm_pack_b) in predict */
    bool reads_back;    /* the output of a layer further below, or the inputs, as well */
    bool by_stream;     /* runs on each of several streams by itself */
    /* Floats of scratch (gemm_work); NULL = those of a product, or none. */
    int64_t (*workspace)(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training);
    /* Numbers to keep per row between forward and backward. */
    int64_t (*kept_per_row)(const mtl__layer *l);
    void (*forward)(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io);
    void (*backward)(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g);
};

extern const mtl__layer_type mtl__dense_layer;
extern const mtl__layer_type mtl__dropout_layer;
extern const mtl__layer_type mtl__skip_layer; /* x W, for all heads, from the network's inputs */
extern const mtl__layer_type mtl__layer_norm_layer;
extern const mtl__layer_type mtl__batch_norm_layer;
extern const mtl__layer_type mtl__embedding_layer;
extern const mtl__layer_type mtl__cosine_layer; /* numeric embeddings */
extern const mtl__layer_type mtl__plr_layer;
extern const mtl__layer_type mtl__pbld_layer;
extern const mtl__layer_type mtl__ple_layer;
extern const mtl__layer_type mtl__parametric_layer; /* an activation with shares of its own */
extern const mtl__layer_type mtl__residual_layer;
extern const mtl__layer_type mtl__stitch_layer; /* tasks take from each other's streams */
extern const mtl__layer_type mtl__gate_layer; /* mixtures of experts, one for each task */
/* Columns of its matrix, from what it reads and makes. */
int64_t mtl__gate_logits(const mtl__layer *l);
extern const mtl__layer_type mtl__factors_layer;      /* x times factors of the member's own */
extern const mtl__layer_type mtl__member_dense_layer; /* dense, scale and bias the member's own */
extern const mtl__layer_type mtl__member_head_layer;  /* a matrix [in, out] for each member, one
                                                         below the other */

/* "layer:eps=1e-5", "batch:momentum=0.1,eps=1e-5": rows whose type is one of the norms. */
typedef struct mtl__norm {
    mtl__choice_row choice;
    const mtl__layer_type *type;
} mtl__norm;
enum { MTL__NORM_EPS, MTL__NORM_MOMENTUM }; /* values of the choice */
extern const mtl__choice_table mtl__norms;

/* Where tensor number i of a layer begins. */
static inline int64_t *mtl__layer_offset(mtl__layer *l, int32_t i)
{
    return (int64_t *)(void *)((char *)l + l->type->param[i].member);
}

static inline mtl__shape mtl__layer_shape(const mtl__layer *l, int32_t i)
{
    const mtl__layer_param *p = &l->type->param[i];
    if (p->shape)
        return p->shape(l);
    return (mtl__shape){p->role == MTL__MATRIX    ? l->rows
                        : p->role == MTL__FACTORS ? mtl__layer_members(l)
                                                  : 1,
                        l->cols};
}

static inline int64_t mtl__layer_floats(const mtl__layer *l, int32_t i)
{
    const mtl__shape s = mtl__layer_shape(l, i);
    return s.rows * s.cols;
}

/* "cosine:size=8", ...: rows whose type is a numeric embedding, with the places of their parameters
   among the values of the choice, -1 = has none. */
typedef struct mtl__numeric {
    mtl__choice_row choice;
    const mtl__layer_type *type;
    int features, spread, shares; /* the first one is units */
} mtl__numeric;
extern const mtl__choice_table mtl__numerics;
/* The row of a type; NULL = it is no numeric embedding. */
const mtl__numeric *mtl__numeric_of(const mtl__layer_type *type);
static inline bool mtl__type_is_embedding(const mtl__layer_type *type)
{
    return type == &mtl__embedding_layer || mtl__numeric_of(type);
}
/* What all of them do with the columns that they leave as they are: they come first in y. Nothing
   below them is trained through the others, whose dx is 0. */
static inline int64_t mtl__numeric_rest(const mtl__layer *l)
{
    return l->in - l->embeds;
}
void mtl__numeric_pass(const mtl__layer *l, const mtl__layer_io *io);
/* n numbers, uniform within -bound .. bound. */
void mtl__numeric_draw(mtl__rng *rng, int64_t n, double bound, float *w);
mtl__shape mtl__numeric_features(const mtl__layer *l);
void mtl__numeric_draw_frequencies(const mtl__layer *l, mtl__rng *rng, float *w);
void mtl__numeric_hand_down(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g);

/* Floats from one member's matrix to the next, as they stand in the parameters or in panels. */
int64_t mtl__member_stride(const mtl__layer *l, const mtl__gemm *g, bool packed);

/* streams.c: a layer, on every stream by itself where its type wants that. */
static inline bool mtl__layer_is_split(const mtl__layer *l)
{
    return l->type->by_stream && mtl__streams_count(l->from) > 1;
}
void mtl__streams_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io);
void mtl__streams_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g);
/* As a layer of one stream, its width aside. */
mtl__layer mtl__layer_of_stream(const mtl__layer *l);
/* Numbers that it keeps per row, of all streams. */
int64_t mtl__layer_kept(const mtl__layer *l);

/* Columns of what a residual adds: all of its own, or one of its streams. */
static inline int64_t mtl__residual_width(const mtl__layer *l)
{
    return mtl__streams_count(l->skip) == mtl__streams_count(l->to) ? l->in
                                                                    : l->in / mtl__streams_count(l->to);
}

static inline void mtl__layer_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    if (mtl__layer_is_split(l))
        mtl__streams_forward(l, p, io);
    else
        l->type->forward(l, p, io);
}

/* dx from the gradient in dy, which has its layout: added or copied, times the slope. For layers that
   work in place. */
void mtl__layer_hand_down(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g);

/* Whether dx is to be multiplied with a derivative. */
static inline bool mtl__layer_has_slope(const mtl__layer_grad *g)
{
    return g->made_by && g->made_by->row && (g->made_by->row->backward || !g->made_by->row->forward);
}

/* Multiply a part of dx, rows x cols from (row0, col0) on, with the derivative of what made x. */
void mtl__layer_slope(const mtl__vec *v, const mtl__layer_io *io,
                      const mtl__layer_grad *g, int64_t row0, int64_t rows, int64_t col0,
                      int64_t cols);

/* sparse.c: x W for the sparse inputs of the pass, and the gradient x' dy, which is added to what is
   there: rows of columns that the batch has must be 0 before, others are not touched. */
void mtl__layer_sparse_product(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                               mtl__gemm_epilogue_fn *epilogue, const void *arg);
void mtl__layer_sparse_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                                const mtl__layer_grad *g);
/* Some inputs and outputs of a dense layer, side by side. */
typedef struct mtl__dense_part {
    int64_t input, inputs, output, outputs;
} mtl__dense_part;
static inline mtl__dense_part mtl__dense_all(const mtl__layer *l)
{
    return (mtl__dense_part){0, l->in, 0, l->out};
}
/* dx of a dense layer, of the part's inputs from its outputs alone: x, dx, the slope and dy begin with
   the first of them. */
void mtl__dense_input_gradient(const mtl__layer *l, const mtl__pass *p, mtl__dense_part part,
                               const mtl__layer_io *io, const mtl__layer_grad *g);
/* The rows `row` .. of dW = x' dy, [count, out] without gaps. */
void mtl__dense_weight_rows(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g, int64_t row, int64_t count, float *out);

/* Floats of scratch that products of [rows, in] with a matrix [in, out] need. */
int64_t mtl__product_workspace(const mtl__gemm *g, int64_t rows, int64_t in, int64_t out, int slots,
                               bool training);
/* Floats of GEMM scratch that a pass over this layer needs. */
int64_t mtl__layer_workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                             bool training);

#endif
