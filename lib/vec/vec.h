/* SPDX-License-Identifier: MIT */
/* Element-wise functions, reductions, losses and optimizer updates on float32 arrays, one table of
   pointers per CPU level, the same bits at every level.

   Arrays need no alignment. Outputs may be the same array as an input, not overlap it otherwise.
   Two-dimensional arguments are rows x cols with a stride between rows (ld >= cols), in elements.
   Any count may be 0. What an element becomes does not depend on where in the array it stands.

   Sums keep 16 virtual lanes: element i is added to lane i mod 16 in ascending order, starting from
   0, and the lanes are added by one fixed tree (8 apart, then 4, 2, 1); the last group of 16 is
   filled up with zeros. In dot the addition is an FMA. In the sums of losses i is the row, so what a
   column gives does not depend on the columns beside it; in the sum of a softmax row i is the
   column, so a row's bits do not depend on the rows around it. NaN passes through everything but standardize and the label masks; its sign and
   payload are the hardware's. */
#ifndef MTL__VEC_H
#define MTL__VEC_H

#include "base/base.h"
#include "cpu/cpu.h"

/* Constants of one Adam step: Kingma & Ba 2015, algorithm 1, with the penalty's gradient
   l2 * w + l1 * sign(w) added to g.  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
   w -= step_size * m / (sqrt(v) * inv_sqrt_bias2 + eps), step_size = rate / (1 - b1^t),
   inv_sqrt_bias2 = 1 / sqrt(1 - b2^t). 1 - b is taken from the floats here, so the caller's powers
   must start from them too: 0.999f and 0.999 differ by 1e-5 of what they leave to 1. Each sum of
   products is one FMA on a rounded product: g' = fma(l1, sign(w), fma(l2, w, g)), m = fma(b1, m,
   (1 - b1) g'), v = fma(b2, v, ((1 - b2) g') g'), w = fma(-step_size, m / fma(sqrt(v),
   inv_sqrt_bias2, eps), w). A subnormal m or v becomes 0, and so does g' below 2^-56 in the square. */
typedef struct mtl__adam_step {
    float beta1, beta2, eps, step_size, inv_sqrt_bias2, l1, l2;
} mtl__adam_step;

/* Constants of one step of any other optimizer, each sum of products one FMA on a rounded product:
   e = fma(l1, sign(w), fma(l2, w, g));
   v = fma(v_keep, v, (v_new e) e), top = max(top, v), root = fma(sqrt(top or v), root_scale, eps);
   e = e / root, if divide_first;
   u = fma(use_m, m, use_e e), then m = fma(m_keep, m, m_new e); without m, u = use_e e;
   u = u / root, unless divide_first; u = its sign (0 and NaN stay), if sign;
   w = fma(-rate, u, keep w). A subnormal m or v becomes 0, and so does e below 2^-56 in its square.
   Lines of what is NULL are left out. */
typedef struct mtl__update_step {
    float l1, l2, keep, rate;
    float m_keep, m_new, use_m, use_e;
    float v_keep, v_new, root_scale, eps;
    bool divide_first, sign;
} mtl__update_step;

typedef void mtl__map_fn(int64_t n, const float *x, float *y);
/* c[r][j] = act(c[r][j] + bias[j]) in place; bias NULL = none. */
typedef void mtl__bias_act_fn(int64_t rows, int64_t cols, float *c, int64_t ldc, const float *bias);
/* d[r][j] *= act'(.), the derivative from the activation's output y; relu selects, so that a unit
   with y <= 0 gives 0 whatever d is. */
typedef void mtl__act_grad_fn(int64_t rows, int64_t cols, const float *y, int64_t ldy, float *d,
                              int64_t ldd);
/* Activations with their derivative at hand: x is the argument. The error of the value is below 3e-7
   of the larger of |value| and 1, and but for elu, whose exp(x) - 1 is a difference, and cos below 1e-5
   of the value far out in a tail; that of the derivative is below 2e-6. Tested. */
typedef enum mtl__curve_kind {
    MTL__CURVE_LEAKY_RELU, /* x > 0 ? x : a x */
    MTL__CURVE_ELU,        /* b (x > 0 ? x : a (exp(x) - 1)) */
    MTL__CURVE_GELU,       /* x Phi(x) */
    MTL__CURVE_GELU_TANH,  /* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
    MTL__CURVE_SILU,       /* x sigmoid(x) */
    MTL__CURVE_SOFTPLUS,   /* log(1 + exp(x)) */
    MTL__CURVE_HARD_SWISH, /* x min(max(x + 3, 0), 6) / 6 */
    MTL__CURVE_MISH,       /* x tanh(softplus(x)) */
    MTL__CURVE_SOFT_CLIP,  /* x / sqrt(1 + (a x)^2) */
    MTL__CURVE_COS,        /* cos(2 pi x), 1 beyond 2^20 */
} mtl__curve_kind;
typedef struct mtl__curve {
    mtl__curve_kind kind;
    float a, b;
} mtl__curve;

/* Independent outputs side by side, [rows, cols]: what the losses below work on. */
typedef struct mtl__columns {
    int64_t rows, cols;
    const float *z; /* outputs of the network */
    int64_t ldz;
    const float *y;     /* labels, rows without a gap, NaN = none */
    const float *w;     /* weights, laid out as y; NULL = 1 */
    const float *scale; /* [cols] of the gradient */
    float *g;           /* gradient, (scale * w) * dloss/dz, 0 where there is no label; NULL = not
                           wanted; may be z */
    int64_t ldg;
    float *sum;  /* [cols] out: sum of w * loss, each product rounded, 0 where there is no label */
    float *work; /* MTL__COLUMNS_WORK for each column */
} mtl__columns;
enum { MTL__COLUMNS_WORK = 64 };
typedef void mtl__columns_fn(const mtl__columns *c);

/* Loss of the rows of z [rows, cols] against the labels y [rows], NaN = no label; w [rows] = row
   weights or NULL for 1. Gradient as above, to g. Returns the sum of w * loss. */
typedef float mtl__rows_loss_fn(int64_t rows, int64_t cols, const float *z, int64_t ldz,
                                const float *y, const float *w, float scale, float *g,
                                int64_t ldg);

typedef struct mtl__vec {
    const char *name; /* "c", "avx2", ... */

    /* y = f(x); error bounds in ULP stand in vec_math.h and are tested. */
    mtl__map_fn *exp, *log, *log1p, *tanh, *sigmoid;

    mtl__bias_act_fn *bias_identity, *bias_relu, *bias_tanh, *bias_sigmoid;
    mtl__act_grad_fn *grad_relu, *grad_tanh, *grad_sigmoid;
    /* c = f(c + bias) in place, bias NULL = none, and the derivative there to slope (NULL = not wanted). */
    void (*curve)(const mtl__curve *f, int64_t rows, int64_t cols, float *c, int64_t ldc,
                  const float *bias, float *slope, int64_t lds);

    /* Softmax of each row in place: exp(z - max) / sum. All NaN where z has NaN or +inf, or nothing
       above -inf. */
    void (*softmax)(int64_t rows, int64_t cols, float *z, int64_t ldz);

    /* y += a x;  x *= a;  y = a x + b y (each one FMA or one product, then FMA). */
    void (*axpy)(int64_t n, float a, const float *x, float *y);
    void (*scale)(int64_t n, float a, float *x);
    void (*mul)(int64_t n, const float *x, float *y); /* y *= x */
    void (*product)(int64_t n, const float *a, const float *b, float *y);      /* y = a b */
    void (*add_product)(int64_t n, const float *a, const float *b, float *y); /* y += a b, rounded */
    /* y [n * times]: each x[index[i]] so many times. */
    void (*repeat)(int64_t n, int64_t times, const float *x, const int64_t *index, float *y);
    /* y = fma(a, x - y, y): where they are equal and finite, y keeps its bits. */
    void (*blend)(int64_t n, float a, const float *x, float *y);
    /* x into [-limit, limit]; NaN stays. */
    void (*clamp)(int64_t n, float limit, float *x);

    float (*sum)(int64_t n, const float *x);
    float (*dot)(int64_t n, const float *x, const float *y);
    bool (*all_finite)(int64_t n, const float *x);

    /* out[j] (+)= sum over rows of x[r][j], down the rows in order, from 0 or from out[j]. */
    void (*col_sums)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *out,
                     bool accumulate);

    /* y [rows, cols], rows without a gap: (x - mean) * inv_scale column by column, and 0 where x is
       NaN. Row r of x is at x + (index ? index[r] : r) * ldx. */
    void (*standardize)(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                        const int64_t *index, const float *mean, const float *inv_scale, float *y);

    /* Sums of w, or of 1, over the labels that are not NaN; z, scale and g are not read. */
    mtl__columns_fn *label_weights;

    /* Labels 0 or 1 (or between, soft labels), z = logits: max(z, 0) - z y + log1p(exp(-|z|)),
       gradient sigmoid(z) - y, with exp(-|z|) = 0 from |z| = 43 on. Stable for any finite z; the loss of
       an infinite one may be NaN. */
    mtl__columns_fn *binary_cross_entropy;
    /* (z - y)^2, gradient 2 (z - y). */
    mtl__columns_fn *squared_error;
    /* cols classes, labels hold class numbers. The loss of row r is element r of the sum; softmax in
       the gradient has the bits of softmax(), and is 0 for logits more than 43 below the largest. A label that is no class number makes the loss NaN;
       nothing is read for it. */
    mtl__rows_loss_fn *softmax_cross_entropy;

    /* out [4, blocks]: the words of blocks of Philox4x32-10 (rng/rng.h), numbered by the first two words
       of the counter, low word first. */
    void (*philox)(const uint32_t counter[4], const uint32_t key[2], int64_t blocks, uint32_t *out);

    void (*adam)(int64_t n, float *w, const float *g, float *m, float *v, const mtl__adam_step *s);
    /* m, v and top may be NULL. */
    void (*update)(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                   const mtl__update_step *s);
} mtl__vec;

/* The table of a level, or of the best one below it that this architecture has. Never NULL. */
const mtl__vec *mtl__vec_table(mtl__cpu_level level);

#endif
