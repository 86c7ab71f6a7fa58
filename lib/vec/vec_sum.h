/* SPDX-License-Identifier: MIT */
/* Reductions. Lanes start from +0 and are never -0 after an addition of +0, so the zeros that fill
   the last group change nothing but the sign of a zero, at every level alike. Included by
   vec_body.h. */
#ifndef MTL__VEC_SUM_H
#define MTL__VEC_SUM_H

/* The 16 lanes of a sum are SUMS vectors. */
#define SUMS (16 / LANES)

VEC_INLINE void clear_lanes(vf lanes[SUMS])
{
    for (int i = 0; i < SUMS; i++)
        lanes[i] = vf_set1(0.0f);
}

VEC_INLINE float sum_lanes(vf lanes[SUMS])
{
    for (int half = SUMS / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = vf_add(lanes[i], lanes[i + half]);
    return vf_sum(lanes[0]);
}

/* Call group(vector of lanes, ..., i, n) for each group. */
#define EACH_GROUP_SUM(count, lanes, group, ...)                                                   \
    do {                                                                                           \
        int64_t at_ = 0;                                                                           \
        for (; at_ + 16 <= (count); at_ += 16)                                                     \
            for (int s_ = 0; s_ < SUMS; s_++)                                                      \
                group(&(lanes)[s_], __VA_ARGS__, at_ + s_ * LANES, LANES);                         \
        for (int s_ = 0; s_ < SUMS; s_++, at_ += LANES)                                            \
            if (at_ < (count))                                                                     \
                group(&(lanes)[s_], __VA_ARGS__, at_, group_size(at_, (count)));                   \
    } while (0)

VEC_INLINE void sum_group(vf *lanes, const float *x, int64_t i, int n)
{
    *lanes = vf_add(*lanes, take(x + i, n));
}

static float sum(int64_t n, const float *x)
{
    vf lanes[SUMS];
    clear_lanes(lanes);
    EACH_GROUP_SUM(n, lanes, sum_group, x);
    const float total = sum_lanes(lanes);
    vf_leave();
    return total;
}

VEC_INLINE void dot_group(vf *lanes, const float *x, const float *y, int64_t i, int n)
{
    *lanes = vf_fma(take(x + i, n), take(y + i, n), *lanes);
}

static float dot(int64_t n, const float *x, const float *y)
{
    vf lanes[SUMS];
    clear_lanes(lanes);
    EACH_GROUP_SUM(n, lanes, dot_group, x, y);
    const float total = sum_lanes(lanes);
    vf_leave();
    return total;
}

/* 0 x is NaN for an infinity or NaN, and a sum keeps it. */
VEC_INLINE void finite_group(vf *sum, const float *x, int64_t i, int n)
{
    *sum = vf_fma(take(x + i, n), vf_set1(0.0f), *sum);
}

static bool all_finite(int64_t n, const float *x)
{
    vf sum = vf_set1(0.0f);
    EACH_GROUP_LIGHT(n, finite_group, &sum, x);
    const bool finite = vm_all(vf_eq(sum, sum));
    vf_leave();
    return finite;
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
    vf_leave();
}

#endif
