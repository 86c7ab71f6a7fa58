/* SPDX-License-Identifier: MIT */
/* Element-wise kernels. Included by vec_body.h. */
#ifndef MTL__VEC_MAP_H
#define MTL__VEC_MAP_H

/* n = LANES, or fewer lanes at the end of an array; `fill` then fills the group. */
VEC_INLINE vf take_or(const float *p, int n, float fill)
{
    return n == LANES ? vf_load(p) : vf_load_n(p, n, fill);
}

VEC_INLINE vf take(const float *p, int n)
{
    return take_or(p, n, 0.0f);
}

VEC_INLINE void put(float *p, int n, vf a)
{
    if (n == LANES)
        vf_store(p, a);
    else
        vf_store_n(p, n, a);
}

/* Size of the group that starts at i. */
VEC_INLINE int group_size(int64_t i, int64_t count)
{
    return LANES == 1 ? 1 : (int)mtl__min(count - i, LANES);
}

/* Call group(..., i, n) for the elements [i, i + n) of each group. LIGHT: for a few operations,
   compiled once for whole groups and once for the rest. HEAVY: for a long body, compiled once, at
   the price of a well predicted branch at each load and store. */
#define EACH_GROUP_LIGHT(count, group, ...)                                                        \
    do {                                                                                           \
        int64_t at_ = 0;                                                                           \
        for (; at_ + LANES <= (count); at_ += LANES)                                               \
            group(__VA_ARGS__, at_, LANES);                                                        \
        if (at_ < (count))                                                                         \
            group(__VA_ARGS__, at_, (int)((count)-at_));                                           \
    } while (0)

#define EACH_GROUP_HEAVY(count, group, ...)                                                        \
    do {                                                                                           \
        for (int64_t at_ = 0; at_ < (count); at_ += LANES)                                         \
            group(__VA_ARGS__, at_, group_size(at_, (count)));                                     \
    } while (0)

typedef vf unary_fn(vf x);

/* --- y = f(x) ----------------------------------------------------------------------------- */

VEC_INLINE void map_group(unary_fn *f, const float *x, float *y, int64_t i, int n)
{
    put(y + i, n, f(take(x + i, n)));
}

static void map_exp(int64_t n, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, map_group, vf_exp, x, y);
    vf_leave();
}

static void map_log(int64_t n, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, map_group, vf_log, x, y);
    vf_leave();
}

static void map_log1p(int64_t n, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, map_group, vf_log1p, x, y);
    vf_leave();
}

static void map_tanh(int64_t n, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, map_group, vf_tanh, x, y);
    vf_leave();
}

static void map_sigmoid(int64_t n, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, map_group, vf_sigmoid, x, y);
    vf_leave();
}

/* --- bias and activation ------------------------------------------------------------------ */

VEC_INLINE vf act_identity(vf x)
{
    return x;
}

/* 0 > x ? 0 : x, so NaN stays NaN. */
VEC_INLINE vf act_relu(vf x)
{
    return vf_max(vf_set1(0.0f), x);
}

VEC_INLINE void bias_group(unary_fn *act, float *c, const float *bias, int64_t j, int n)
{
    vf x = take(c + j, n);
    if (bias)
        x = vf_add(x, take(bias + j, n));
    put(c + j, n, act(x));
}

VEC_INLINE void bias_rows(unary_fn *act, int64_t rows, int64_t cols, float *c, int64_t ldc,
                          const float *bias)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_GROUP_LIGHT(cols, bias_group, act, c + r * ldc, bias);
    vf_leave();
}

/* 16 short rows without a gap between them are one row, whose bias is the bias 16 times. Row by row
   each masked store would hold up the load behind it, which it overlaps. */
static void bias_identity(int64_t rows, int64_t cols, float *c, int64_t ldc, const float *bias)
{
    if (!bias)
        return;
    if (cols < 16 && ldc == cols && rows >= 16) {
        float repeated[16 * 16];
        for (int64_t i = 0; i < 16 * cols; i++)
            repeated[i] = i < cols ? bias[i] : repeated[i - cols];
        bias_identity(rows / 16, 16 * cols, c, 16 * cols, repeated);
        c += rows / 16 * 16 * cols;
        rows %= 16;
    }
    bias_rows(act_identity, rows, cols, c, ldc, bias);
}

static void bias_relu(int64_t rows, int64_t cols, float *c, int64_t ldc, const float *bias)
{
    bias_rows(act_relu, rows, cols, c, ldc, bias);
}

/* Adds the bias, then maps row by row: the row is still in the cache, and the long bodies of the
   two functions are not compiled again. */
static inline void bias_then_map(mtl__map_fn *map, int64_t rows, int64_t cols, float *c,
                                 int64_t ldc, const float *bias)
{
    bias_identity(rows, cols, c, ldc, bias);
    for (int64_t r = 0; r < rows; r++)
        map(cols, c + r * ldc, c + r * ldc);
}

static void bias_tanh(int64_t rows, int64_t cols, float *c, int64_t ldc, const float *bias)
{
    bias_then_map(map_tanh, rows, cols, c, ldc, bias);
}

static void bias_sigmoid(int64_t rows, int64_t cols, float *c, int64_t ldc, const float *bias)
{
    bias_then_map(map_sigmoid, rows, cols, c, ldc, bias);
}

/* --- each number several times ------------------------------------------------------------- */

VEC_INLINE void repeat_group(vf x, float *y, int64_t i, int n)
{
    put(y + i, n, x);
}

static void repeat(int64_t n, int64_t times, const float *x, const int64_t *index, float *y)
{
    for (int64_t i = 0; i < n; i++, y += times)
        EACH_GROUP_HEAVY(times, repeat_group, vf_set1(x[index[i]]), y);
    vf_leave();
}

/* --- derivative of the activation, from its output y --------------------------------------- */

typedef vf act_grad_group_fn(vf y, vf d);

/* 0 where y <= 0; not a product, so an infinite d at a dead unit gives 0. */
VEC_INLINE vf d_relu(vf y, vf d)
{
    const vf zero = vf_set1(0.0f);
    return vf_select(vf_le(y, zero), zero, d);
}

VEC_INLINE vf d_tanh(vf y, vf d)
{
    return vf_mul(d, vf_fnma(y, y, vf_set1(1.0f)));
}

VEC_INLINE vf d_sigmoid(vf y, vf d)
{
    return vf_mul(d, vf_fnma(y, y, y));
}

VEC_INLINE void grad_group(act_grad_group_fn *f, const float *y, float *d, int64_t j, int n)
{
    put(d + j, n, f(take(y + j, n), take(d + j, n)));
}

VEC_INLINE void grad_rows(act_grad_group_fn *f, int64_t rows, int64_t cols, const float *y,
                          int64_t ldy, float *d, int64_t ldd)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_GROUP_HEAVY(cols, grad_group, f, y + r * ldy, d + r * ldd);
    vf_leave();
}

static void grad_relu(int64_t rows, int64_t cols, const float *y, int64_t ldy, float *d,
                      int64_t ldd)
{
    grad_rows(d_relu, rows, cols, y, ldy, d, ldd);
}

static void grad_tanh(int64_t rows, int64_t cols, const float *y, int64_t ldy, float *d,
                      int64_t ldd)
{
    grad_rows(d_tanh, rows, cols, y, ldy, d, ldd);
}

static void grad_sigmoid(int64_t rows, int64_t cols, const float *y, int64_t ldy, float *d,
                         int64_t ldd)
{
    grad_rows(d_sigmoid, rows, cols, y, ldy, d, ldd);
}

/* --- vectors ------------------------------------------------------------------------------ */

VEC_INLINE void axpy_group(vf a, const float *x, float *y, int64_t i, int n)
{
    put(y + i, n, vf_fma(a, take(x + i, n), take(y + i, n)));
}

static void axpy(int64_t n, float a, const float *x, float *y)
{
    EACH_GROUP_LIGHT(n, axpy_group, vf_set1(a), x, y);
    vf_leave();
}

VEC_INLINE void scale_group(vf a, float *x, int64_t i, int n)
{
    put(x + i, n, vf_mul(a, take(x + i, n)));
}

static void scale(int64_t n, float a, float *x)
{
    EACH_GROUP_LIGHT(n, scale_group, vf_set1(a), x);
    vf_leave();
}

VEC_INLINE void mul_group(const float *x, float *y, int64_t i, int n)
{
    put(y + i, n, vf_mul(take(y + i, n), take(x + i, n)));
}

static void mul(int64_t n, const float *x, float *y)
{
    EACH_GROUP_LIGHT(n, mul_group, x, y);
    vf_leave();
}

VEC_INLINE void product_group(const float *a, const float *b, float *y, int64_t i, int n)
{
    put(y + i, n, vf_mul(take(a + i, n), take(b + i, n)));
}

static void product(int64_t n, const float *a, const float *b, float *y)
{
    EACH_GROUP_LIGHT(n, product_group, a, b, y);
    vf_leave();
}

VEC_INLINE void add_product_group(const float *a, const float *b, float *y, int64_t i, int n)
{
    put(y + i, n, vf_add(take(y + i, n), vf_mul(take(a + i, n), take(b + i, n))));
}

static void add_product(int64_t n, const float *a, const float *b, float *y)
{
    EACH_GROUP_LIGHT(n, add_product_group, a, b, y);
    vf_leave();
}

VEC_INLINE void blend_group(vf a, const float *x, float *y, int64_t i, int n)
{
    vf to = take(y + i, n);
    put(y + i, n, vf_fma(a, vf_sub(take(x + i, n), to), to));
}

static void blend(int64_t n, float a, const float *x, float *y)
{
    EACH_GROUP_HEAVY(n, blend_group, vf_set1(a), x, y);
    vf_leave();
}

VEC_INLINE void clamp_group(float limit, float *x, int64_t i, int n)
{
    vf y = vf_max(vf_set1(-limit), take(x + i, n));
    put(x + i, n, vf_min(vf_set1(limit), y));
}

static void clamp(int64_t n, float limit, float *x)
{
    EACH_GROUP_HEAVY(n, clamp_group, limit, x);
    vf_leave();
}

VEC_INLINE void standardize_group(const float *x, const float *mean, const float *inv_scale,
                                  float *y, int64_t j, int n)
{
    vf v = take(x + j, n);
    vf s = vf_mul(vf_sub(v, take(mean + j, n)), take(inv_scale + j, n));
    put(y + j, n, vf_select(vf_eq(v, v), s, vf_set1(0.0f)));
}

/* Rows at random places come from main memory: ask for some 32 cache lines ahead. */
VEC_INLINE void prefetch_row(const float *row, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += 16)
        __builtin_prefetch(row + j);
}

static void standardize(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                        const int64_t *index, const float *mean, const float *inv_scale, float *y)
{
    const int64_t ahead = 1 + 512 / mtl__max(cols, 1);
    for (int64_t r = 0; r < rows; r++) {
        if (index && r + ahead < rows)
            prefetch_row(x + index[r + ahead] * ldx, cols);
        const float *row = x + (index ? index[r] : r) * ldx;
        EACH_GROUP_HEAVY(cols, standardize_group, row, mean, inv_scale, y + r * cols);
    }
    vf_leave();
}

#endif
