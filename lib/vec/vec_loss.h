/* SPDX-License-Identifier: MIT */
/* Losses of independent outputs, many columns in one pass that writes the gradient with masks and
   weights applied. Included by vec_body.h. */
#ifndef MTL__VEC_LOSS_H
#define MTL__VEC_LOSS_H

/* Labels that fill the last group. */
#define NO_LABEL ((float)NAN)

typedef struct loss_lanes {
    vf loss, grad; /* grad = dloss / dz */
} loss_lanes;

typedef loss_lanes loss_lanes_fn(vf z, vf y);

/* Up to 16 rows that follow each other without a gap, so that they can be gone through as one long
   row: element e of each stands in the same column and goes to the same lane, lanes[e]. */
typedef struct loss_block {
    const float *z, *y, *w, *scale;
    float *g, *lanes;
} loss_block;

VEC_INLINE void loss_group(loss_lanes_fn *f, const loss_block *b, int64_t e, int n)
{
    const vf zero = vf_set1(0.0f);
    const vf y = take_or(b->y + e, n, NO_LABEL), w = b->w ? take(b->w + e, n) : vf_set1(1.0f);
    const vm labelled = vf_eq(y, y);
    const loss_lanes l = f(take(b->z + e, n), y);
    vf loss = vf_select(labelled, vf_mul(w, l.loss), zero);
    put(b->lanes + e, n, vf_add(take(b->lanes + e, n), loss));
    if (b->g) {
        vf g = vf_mul(vf_mul(take(b->scale + e, n), w), l.grad);
        put(b->g + e, n, vf_select(labelled, g, zero));
    }
}

static void copy_rows(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                      int64_t ldy)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            y[r * ldy + j] = x[r * ldx + j];
}

/* Add up the 16 lanes of each column by the tree of vf_sum. */
static void fold_lanes(int64_t cols, float *lanes, float *sum)
{
    for (int64_t n = 8 * cols; n >= cols; n /= 2)
        axpy(n, 1.0f, lanes + n, lanes);
    copy_rows(1, cols, lanes, cols, sum, cols);
}

VEC_INLINE void loss_pass(loss_lanes_fn *f, const mtl__columns *c)
{
    const int64_t cols = c->cols, size = 16 * cols;
    if (cols == 0)
        return;
    float *lanes = c->work, *scale = lanes + size, *z = scale + size, *g = z + size;
    memset(lanes, 0, (size_t)size * sizeof *lanes);
    if (c->g)
        copy_rows(16, cols, c->scale, 0, scale, cols);
    for (int64_t r = 0; r < c->rows; r += 16) {
        const int64_t rows = mtl__min(16, c->rows - r);
        loss_block b = {c->z + r * c->ldz, c->y + r * cols, NULL, scale, NULL, lanes};
        if (c->w)
            b.w = c->w + r * cols;
        if (c->ldz != cols) {
            copy_rows(rows, cols, b.z, c->ldz, z, cols);
            b.z = z;
        }
        if (c->g)
            b.g = c->ldg == cols ? c->g + r * cols : g;
        EACH_GROUP_HEAVY(rows * cols, loss_group, f, &b);
        if (b.g == g)
            copy_rows(rows, cols, g, cols, c->g + r * c->ldg, c->ldg);
    }
    fold_lanes(cols, lanes, c->sum);
}

/* max(z, 0) - z y + log(1 + exp(-|z|)); gradient sigmoid(z) - y. */
VEC_INLINE loss_lanes binary_lanes(vf z, vf y)
{
    vf e = vf_exp_from(vf_set1(NO_LOGIT), vf_minus_abs(z));
    vf linear = vf_fnma(z, y, vf_max(vf_set1(0.0f), z));
    return (loss_lanes){.loss = vf_add(linear, log1p_finite(e)),
                        .grad = vf_sub(sigmoid_from(z, e), y)};
}

static void binary_cross_entropy(const mtl__columns *c)
{
    loss_pass(binary_lanes, c);
}

VEC_INLINE loss_lanes squared_lanes(vf z, vf y)
{
    vf d = vf_sub(z, y);
    return (loss_lanes){.loss = vf_mul(d, d), .grad = vf_add(d, d)};
}

static void squared_error(const mtl__columns *c)
{
    loss_pass(squared_lanes, c);
}

VEC_INLINE void weight_group(const float *y, const float *w, float *lanes, int64_t e, int n)
{
    const vf label = take_or(y + e, n, NO_LABEL), weight = w ? take(w + e, n) : vf_set1(1.0f);
    vf counts = vf_select(vf_eq(label, label), weight, vf_set1(0.0f));
    put(lanes + e, n, vf_add(take(lanes + e, n), counts));
}

static void label_weights(const mtl__columns *c)
{
    const int64_t size = 16 * c->cols, count = c->rows * c->cols;
    if (size == 0)
        return;
    memset(c->work, 0, (size_t)size * sizeof *c->work);
    for (int64_t e = 0; e < count; e += size)
        EACH_GROUP_LIGHT(mtl__min(size, count - e), weight_group, c->y + e, c->w ? c->w + e : NULL,
                         c->work);
    fold_lanes(c->cols, c->work, c->sum);
}

#endif
