/* SPDX-License-Identifier: MIT */
/* Softmax of rows, alone and inside the cross-entropy. The sum of a row keeps 16 virtual lanes:
   column c is added to lane c mod 16 in ascending order, and the fixed tree adds the lanes. The
   rule can be run along a row (vectors are columns) or down LANES rows at once (vectors are rows,
   and the tree adds whole ones), which is faster for few classes. The bits are the same. Included
   by vec_body.h. */
#ifndef MTL__VEC_SOFTMAX_H
#define MTL__VEC_SOFTMAX_H

/* Up to so many columns go down the rows. Along short rows, each masked store also holds up the
   load of the next row, which it overlaps; from two full groups on that is paid for. */
enum { NARROW = 31 };

/* Not with one lane, for which the two are the same. */
VEC_INLINE bool is_narrow(int64_t cols)
{
    return LANES > 1 && cols <= NARROW;
}

/* --- along a row -------------------------------------------------------------------------- */

/* exp(z - top) of one row, 0 where z - top is below `least`. The columns of a last group that is not
   full stay here: read back from memory, they would wait for the masked store before. */
typedef struct row_exps {
    vf rest;
    float top, total;
} row_exps;

/* e[c] = exp(z[c] - top) for full groups; e NULL = not wanted, e = z allowed. A NaN may be lost in
   the search for the top, but not in the sum. */
VEC_OUTLINE row_exps exp_row(int64_t cols, const float *z, float least, float *e)
{
    const float none = -(float)INFINITY;
    vf largest = vf_set1(none), group = largest, lanes[SUMS];
    clear_lanes(lanes);
    for (int64_t c = 0; c < cols; c += LANES)
        largest = vf_max(largest, take_or(z + c, group_size(c, cols), none));
    const float top = vf_largest(largest);
    for (int64_t c = 0; c < cols; c += LANES) {
        const int n = group_size(c, cols);
        group = vf_exp_from(vf_set1(least), vf_sub(take_or(z + c, n, none), vf_set1(top)));
        lanes[c / LANES % SUMS] = vf_add(lanes[c / LANES % SUMS], group);
        if (e && n == LANES)
            vf_store(e + c, group);
    }
    return (row_exps){.rest = group, .top = top, .total = sum_lanes(lanes)};
}

/* Group c of the exponentials of a row whose full groups are in e. */
VEC_INLINE vf exps_group(const row_exps *x, const float *e, int64_t c, int n)
{
    return n == LANES ? vf_load(e + c) : x->rest;
}

VEC_OUTLINE void softmax_row(int64_t cols, float *z)
{
    const row_exps x = exp_row(cols, z, -(float)INFINITY, z);
    const vf total = vf_set1(x.total);
    for (int64_t c = 0; c < cols; c += LANES) {
        const int n = group_size(c, cols);
        put(z + c, n, vf_div(exps_group(&x, z, c, n), total));
    }
}

/* z of the row's class; NaN for a label that is no class. */
static inline float label_logit(int64_t cols, const float *z, float label)
{
    if (!(label >= 0.0f && label < (float)cols))
        return (float)NAN;
    int64_t c = (int64_t)label;
    return (float)c == label && c < cols ? z[c] : (float)NAN;
}

/* g[c] = weight (e[c] / total - (c is the label)). */
VEC_INLINE void entropy_grad_row(int64_t cols, const row_exps *x, float *g, float label,
                                 float weight)
{
    static const float lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f), total = vf_set1(x->total);
    for (int64_t c = 0; c < cols; c += LANES) {
        const int n = group_size(c, cols);
        vf column = vf_add(vf_load(lane), vf_set1((float)c));
        vf hit = vf_select(vf_eq(column, vf_set1(label)), one, zero);
        vf p = vf_div(exps_group(x, g, c, n), total);
        put(g + c, n, vf_mul(vf_set1(weight), vf_sub(p, hit)));
    }
}

/* --- down LANES rows, cols <= NARROW -------------------------------------------------------- */

/* e[c] = exp(z[c] - top), from `least` on, for all rows at once; returns the sums.
   relative = z[label] - top, NaN for a label that is no class. */
VEC_OUTLINE vf exp_rows(int64_t cols, const float *z, int64_t ldz, vf label, float least,
                        vf e[NARROW], vf *relative)
{
    vf lanes[16], top = vf_set1(-(float)INFINITY), found = vf_set1((float)NAN);
    for (int64_t c = 0; c < cols; c++) {
        e[c] = vf_gather(z + c, ldz);
        top = vf_max(top, e[c]);
    }
    for (int64_t c = 0; c < cols; c++) {
        vf x = vf_sub(e[c], top);
        found = vf_select(vf_eq(label, vf_set1((float)c)), x, found);
        e[c] = vf_exp_from(vf_set1(least), x);
        lanes[c % 16] = c < 16 ? e[c] : vf_add(lanes[c % 16], e[c]);
    }
    *relative = found;
    /* Lanes that no column reaches are 0 and would change nothing. */
    for (int64_t half = 8; half >= 1; half /= 2)
        for (int64_t c = 0; c < half && c + half < cols; c++)
            lanes[c] = vf_add(lanes[c], lanes[c + half]);
    return lanes[0];
}

VEC_OUTLINE void softmax_rows(int64_t cols, float *z, int64_t ldz)
{
    vf e[NARROW], relative, total = exp_rows(cols, z, ldz, vf_set1(NO_LABEL), -(float)INFINITY, e,
                                         &relative);
    for (int64_t c = 0; c < cols; c++)
        vf_scatter(z + c, ldz, vf_div(e[c], total));
}

static void softmax(int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    int64_t r = 0;
    if (cols == 0)
        return;
    if (is_narrow(cols))
        for (; r + LANES <= rows; r += LANES)
            softmax_rows(cols, z + r * ldz, ldz);
    for (; r < rows; r++)
        softmax_row(cols, z + r * ldz);
    vf_leave();
}

/* --- cross-entropy ------------------------------------------------------------------------ */

/* log(sum of exp(z - top)) - (z_label - top) of each row, weighted, 0 without a label. */
VEC_INLINE vf row_losses(vf total, vf relative, vf label, vf weight)
{
    vf loss = vf_mul(weight, vf_sub(vf_log(total), relative));
    return vf_select(vf_eq(label, label), loss, vf_set1(0.0f));
}

/* Rows from the first of a block on. */
typedef struct entropy_args {
    const float *z, *y, *w;
    float *g;
    int64_t ldz, ldg;
    float scale;
} entropy_args;

VEC_OUTLINE vf entropy_all_rows(int64_t cols, const entropy_args *a)
{
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    vf label = vf_load(a->y), weight = a->w ? vf_load(a->w) : one;
    vf e[NARROW], relative, total = exp_rows(cols, a->z, a->ldz, label, NO_LOGIT, e, &relative);
    const vf scaled = vf_mul(vf_set1(a->scale), weight);
    for (int64_t c = 0; a->g && c < cols; c++) {
        const vm hit = vf_eq(label, vf_set1((float)c));
        vf g = vf_mul(scaled, vf_sub(vf_div(e[c], total), vf_select(hit, one, zero)));
        vf_scatter(a->g + c, a->ldg, vf_select(vf_eq(label, label), g, zero));
    }
    return row_losses(total, relative, label, weight);
}

/* One row of a block: its sum and z_label - top; its gradient. */
VEC_OUTLINE void entropy_row(int64_t cols, const float *z, float label, float weight, float *g,
                             float *total, float *relative)
{
    if (label != label) { /* no label: the row is not looked at */
        for (int64_t c = 0; g && c < cols; c++)
            g[c] = 0.0f;
        return;
    }
    const float logit = label_logit(cols, z, label);
    const row_exps x = exp_row(cols, z, NO_LOGIT, g);
    *total = x.total;
    *relative = logit - x.top;
    if (g)
        entropy_grad_row(cols, &x, g, label, weight);
}

VEC_OUTLINE vf entropy_any_rows(int n, int64_t cols, const entropy_args *a)
{
    float label[LANES], weight[LANES], total[LANES], relative[LANES];
    vf_store(label, vf_set1(NO_LABEL));
    vf_store(weight, vf_set1(1.0f));
    vf_store(total, vf_set1(1.0f));
    vf_store(relative, vf_set1(0.0f));
    for (int r = 0; r < n; r++) {
        label[r] = a->y[r];
        if (a->w)
            weight[r] = a->w[r];
        entropy_row(cols, a->z + r * a->ldz, label[r], a->scale * weight[r],
                    a->g ? a->g + r * a->ldg : NULL, &total[r], &relative[r]);
    }
    return row_losses(vf_load(total), vf_load(relative), vf_load(label), vf_load(weight));
}

static float softmax_cross_entropy(int64_t rows, int64_t cols, const float *z, int64_t ldz,
                                   const float *y, const float *w, float scale, float *g,
                                   int64_t ldg)
{
    vf lanes[SUMS];
    if (cols == 0)
        return 0.0f;
    clear_lanes(lanes);
    for (int64_t r = 0; r < rows; r += LANES) {
        const entropy_args a = {.z = z + r * ldz,
                                .y = y + r,
                                .w = w ? w + r : NULL,
                                .g = g ? g + r * ldg : NULL,
                                .ldz = ldz,
                                .ldg = ldg,
                                .scale = scale};
        const int n = group_size(r, rows);
        vf losses = n == LANES && is_narrow(cols) ? entropy_all_rows(cols, &a)
                                                  : entropy_any_rows(n, cols, &a);
        lanes[r / LANES % SUMS] = vf_add(lanes[r / LANES % SUMS], losses);
    }
    const float total = sum_lanes(lanes);
    vf_leave();
    return total;
}

#endif
