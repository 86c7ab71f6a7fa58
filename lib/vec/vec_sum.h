/* SPDX-License-Identifier: MIT */
/* Reductions. Lanes start from +0 and are never -0 after an addition of +0, so the zeros that fill
   the last group change nothing but the sign of a zero, at every level alike. Included by
   vec_body.h. */
#ifndef MTL__VEC_SUM_H
#define MTL__VEC_SUM_H

VEC_INLINE void sum_group(vf *lanes, const float *x, int64_t i, int n)
{
    *lanes = vf_add(*lanes, take(x + i, n));
}

static float sum(int64_t n, const float *x)
{
    vf lanes = vf_set1(0.0f);
    EACH_GROUP_LIGHT(n, sum_group, &lanes, x);
    return vf_sum(lanes);
}

VEC_INLINE void dot_group(vf *lanes, const float *x, const float *y, int64_t i, int n)
{
    *lanes = vf_fma(take(x + i, n), take(y + i, n), *lanes);
}

static float dot(int64_t n, const float *x, const float *y)
{
    vf lanes = vf_set1(0.0f);
    EACH_GROUP_LIGHT(n, dot_group, &lanes, x, y);
    return vf_sum(lanes);
}

/* 0 x is NaN for an infinity or NaN, and a sum keeps it. */
VEC_INLINE void finite_group(vf *lanes, const float *x, int64_t i, int n)
{
    *lanes = vf_fma(take(x + i, n), vf_set1(0.0f), *lanes);
}

static bool all_finite(int64_t n, const float *x)
{
    vf lanes = vf_set1(0.0f);
    EACH_GROUP_LIGHT(n, finite_group, &lanes, x);
    return vm_all(vf_eq(lanes, lanes));
}

/* --- columns ------------------------------------------------------------------------------ */

/* `n` lanes of a column group, over `rows` rows from x on. */
VEC_INLINE void columns_group(int rows, const float *x, int64_t ldx, float *out, int64_t j, int n)
{
    vf s = take(out + j, n);
    for (int r = 0; r < rows; r++)
        s = vf_add(s, take(x + r * ldx + j, n));
    put(out + j, n, s);
}

/* Four rows at a time, each read from end to end: down the columns a wide matrix would be read at
   a page for each row. */
static void col_sums(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *out,
                     bool accumulate)
{
    if (!accumulate)
        memset(out, 0, (size_t)cols * sizeof *out);
    for (; rows >= 4; rows -= 4, x += 4 * ldx)
        EACH_GROUP_LIGHT(cols, columns_group, 4, x, ldx, out);
    for (; rows > 0; rows--, x += ldx)
        EACH_GROUP_LIGHT(cols, columns_group, 1, x, ldx, out);
}

#endif
