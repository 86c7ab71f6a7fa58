/* SPDX-License-Identifier: MIT */
/* Losses of independent outputs: one pass that writes the gradient with masks and weights applied.
   Included by vec_body.h. */
#ifndef MTL__VEC_LOSS_H
#define MTL__VEC_LOSS_H

/* --- 16 consecutive elements of a rows x cols array, wherever its rows lie ------------------ */

typedef struct cursor {
    int64_t i, row, col; /* of the first element of the group; i = row * cols + col */
    int64_t cols, step_rows, step_cols;
} cursor;

static inline cursor cursor_make(int64_t cols)
{
    return (cursor){.cols = cols, .step_rows = 16 / cols, .step_cols = 16 % cols};
}

VEC_INLINE void cursor_next(cursor *at)
{
    at->i += 16;
    at->row += at->step_rows;
    at->col += at->step_cols;
    if (at->col >= at->cols) {
        at->col -= at->cols;
        at->row++;
    }
}

/* n elements from there, with a stride of ld between rows and step within a row (0: one number for
   all of a row). */
static inline void cursor_read(const cursor *at, const float *p, int64_t ld, int64_t step, int n,
                               float *out)
{
    int64_t row = at->row, col = at->col;
    for (int k = 0; k < n; k++) {
        out[k] = p[row * ld + col * step];
        if (++col == at->cols) {
            col = 0;
            row++;
        }
    }
}

static inline void cursor_write(const cursor *at, float *p, int64_t ld, int n, const float *x)
{
    int64_t row = at->row, col = at->col;
    for (int k = 0; k < n; k++) {
        p[row * ld + col] = x[k];
        if (++col == at->cols) {
            col = 0;
            row++;
        }
    }
}

/* The rows do not follow each other, or the group is not full. The cursor comes by value, so that
   the caller's stays in registers. */
VEC_OUTLINE vf take_scattered(cursor at, const float *p, int64_t ld, int64_t step, int n,
                              float fill)
{
    if (at.cols == 1 && n == 16)
        return vf_gather(p + at.i * ld, ld);
    float x[16];
    vf_store(x, vf_set1(fill));
    cursor_read(&at, p, ld, step, n, x);
    return vf_load(x);
}

VEC_OUTLINE void put_scattered(cursor at, float *p, int64_t ld, int n, vf a)
{
    float x[16];
    vf_store(x, a);
    cursor_write(&at, p, ld, n, x);
}

VEC_INLINE vf take_rows(const cursor *at, const float *p, int64_t ld, int n, float fill)
{
    return n == 16 && ld == at->cols ? vf_load(p + at->i) : take_scattered(*at, p, ld, 1, n, fill);
}

VEC_INLINE void put_rows(const cursor *at, float *p, int64_t ld, int n, vf a)
{
    if (n == 16 && ld == at->cols)
        vf_store(p + at->i, a);
    else
        put_scattered(*at, p, ld, n, a);
}

/* Of each element its row's weight. */
VEC_INLINE vf take_weights(const cursor *at, const float *w, int n)
{
    return w ? take_scattered(*at, w, 1, 0, n, 0.0f) : vf_set1(1.0f);
}

/* --- one pass over the labels --------------------------------------------------------------- */

/* Labels that fill the last group. */
#define NO_LABEL ((float)NAN)

typedef struct loss_lanes {
    vf loss, grad; /* grad = dloss / dz */
} loss_lanes;

typedef loss_lanes loss_lanes_fn(vf z, vf y);

/* The arguments of mtl__loss_fn but for the shape. */
typedef struct loss_args {
    const float *z, *y, *w;
    float *g;
    int64_t ldz, ldy, ldg;
    vf scale;
} loss_args;

VEC_INLINE void loss_group(loss_lanes_fn *f, const loss_args *a, vf *lanes, const cursor *at, int n)
{
    const vf zero = vf_set1(0.0f);
    vf z = take_rows(at, a->z, a->ldz, n, 0.0f), y = take_rows(at, a->y, a->ldy, n, NO_LABEL);
    vf w = take_weights(at, a->w, n);
    const vm labelled = vf_eq(y, y);
    const loss_lanes l = f(z, y);
    *lanes = vf_add(*lanes, vf_select(labelled, vf_mul(w, l.loss), zero));
    if (a->g) {
        vf g = vf_mul(vf_mul(a->scale, w), l.grad);
        put_rows(at, a->g, a->ldg, n, vf_select(labelled, g, zero));
    }
}

VEC_INLINE float loss_pass(loss_lanes_fn *f, int64_t rows, int64_t cols, const loss_args *a)
{
    const int64_t count = rows * cols;
    if (count == 0)
        return 0.0f;
    vf lanes = vf_set1(0.0f);
    cursor at = cursor_make(cols);
    for (; at.i < count; cursor_next(&at))
        loss_group(f, a, &lanes, &at, group_size(at.i, count));
    return vf_sum(lanes);
}

/* max(z, 0) - z y + log(1 + exp(-|z|)); gradient sigmoid(z) - y. */
VEC_INLINE loss_lanes binary_lanes(vf z, vf y)
{
    vf e = vf_exp(vf_minus_abs(z));
    vf linear = vf_fnma(z, y, vf_max(vf_set1(0.0f), z));
    return (loss_lanes){.loss = vf_add(linear, log1p_finite(e)),
                        .grad = vf_sub(sigmoid_from(z, e), y)};
}

static float binary_cross_entropy(int64_t rows, int64_t cols, const float *z, int64_t ldz,
                                  const float *y, int64_t ldy, const float *w, float scale,
                                  float *g, int64_t ldg)
{
    const loss_args a = {z, y, w, g, ldz, ldy, ldg, vf_set1(scale)};
    return loss_pass(binary_lanes, rows, cols, &a);
}

VEC_INLINE loss_lanes squared_lanes(vf z, vf y)
{
    vf d = vf_sub(z, y);
    return (loss_lanes){.loss = vf_mul(d, d), .grad = vf_add(d, d)};
}

static float squared_error(int64_t rows, int64_t cols, const float *z, int64_t ldz, const float *y,
                           int64_t ldy, const float *w, float scale, float *g, int64_t ldg)
{
    const loss_args a = {z, y, w, g, ldz, ldy, ldg, vf_set1(scale)};
    return loss_pass(squared_lanes, rows, cols, &a);
}

static float label_weight(int64_t rows, int64_t cols, const float *y, int64_t ldy, const float *w)
{
    const int64_t count = rows * cols;
    if (count == 0)
        return 0.0f;
    vf lanes = vf_set1(0.0f);
    cursor at = cursor_make(cols);
    for (; at.i < count; cursor_next(&at)) {
        const int n = group_size(at.i, count);
        vf label = take_rows(&at, y, ldy, n, NO_LABEL);
        vf weight = vf_select(vf_eq(label, label), take_weights(&at, w, n), vf_set1(0.0f));
        lanes = vf_add(lanes, weight);
    }
    return vf_sum(lanes);
}

#endif
