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

VEC_INLINE vf first_sum(const float *out, int n, bool accumulate)
{
    return accumulate ? take(out, n) : vf_set1(0.0f);
}

/* Four groups of columns at once: four chains hide the latency of an addition. */
static inline void columns_64(int64_t rows, const float *x, int64_t ldx, float *out,
                              bool accumulate)
{
    vf a = first_sum(out, 16, accumulate), b = first_sum(out + 16, 16, accumulate);
    vf c = first_sum(out + 32, 16, accumulate), d = first_sum(out + 48, 16, accumulate);
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * ldx;
        a = vf_add(a, vf_load(row));
        b = vf_add(b, vf_load(row + 16));
        c = vf_add(c, vf_load(row + 32));
        d = vf_add(d, vf_load(row + 48));
    }
    vf_store(out, a);
    vf_store(out + 16, b);
    vf_store(out + 32, c);
    vf_store(out + 48, d);
}

VEC_INLINE void columns_group(int64_t rows, const float *x, int64_t ldx, float *out,
                              bool accumulate, int64_t j, int n)
{
    vf s = first_sum(out + j, n, accumulate);
    for (int64_t r = 0; r < rows; r++)
        s = vf_add(s, take(x + r * ldx + j, n));
    put(out + j, n, s);
}

static void col_sums(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *out,
                     bool accumulate)
{
    int64_t j = 0;
    for (; j + 64 <= cols; j += 64)
        columns_64(rows, x + j, ldx, out + j, accumulate);
    EACH_GROUP_LIGHT(cols - j, columns_group, rows, x + j, ldx, out + j, accumulate);
}

#endif
