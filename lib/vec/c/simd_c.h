/* SPDX-License-Identifier: MIT */
/* The 16 virtual lanes in plain C. This is the definition of every operation: the headers of the
   instruction sets give the same bits.

   vf = 16 floats, vi = 16 integers of 32 bits (arithmetic modulo 2^32), vm = 16 truth values.
   A partial group has n lanes, 1 <= n <= 15. */
#ifndef MTL__SIMD_C_H
#define MTL__SIMD_C_H

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "base/fma.h"

/* Inlined, the loops over 16 lanes would make the smallest level the largest by far; most of its
   time goes into the FMA anyway. */
#define VEC_INLINE __attribute__((noinline, unused)) static

typedef struct vf {
    float x[16];
} vf;
typedef struct vi {
    uint32_t x[16];
} vi;
typedef struct vm {
    bool x[16];
} vm;

/* type r with r.x[i] = expression, for i = 0 .. 15 */
#define EACH_LANE(type, expression)                                                                \
    type r;                                                                                        \
    for (int i = 0; i < 16; i++)                                                                   \
        r.x[i] = (expression);                                                                     \
    return r

VEC_INLINE vf vf_set1(float a)
{
    EACH_LANE(vf, a);
}

VEC_INLINE vf vf_load(const float *p)
{
    EACH_LANE(vf, p[i]);
}

/* Lanes from n on are `fill`, and their memory is not read. */
VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    EACH_LANE(vf, i < n ? p[i] : fill);
}

/* Lane i from p[i * stride]. */
VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    EACH_LANE(vf, p[i * stride]);
}

VEC_INLINE void vf_store(float *p, vf a)
{
    memcpy(p, a.x, sizeof a.x);
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    for (int i = 0; i < n; i++)
        p[i] = a.x[i];
}

VEC_INLINE void vf_scatter(float *p, int64_t stride, vf a)
{
    for (int i = 0; i < 16; i++)
        p[i * stride] = a.x[i];
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] + b.x[i]);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] - b.x[i]);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] * b.x[i]);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] / b.x[i]);
}

VEC_INLINE vf vf_sqrt(vf a)
{
    EACH_LANE(vf, sqrtf(a.x[i]));
}

/* a b + c and c - a b, rounded once. */
VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    EACH_LANE(vf, mtl__fma(a.x[i], b.x[i], c.x[i]));
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    EACH_LANE(vf, mtl__fma(-a.x[i], b.x[i], c.x[i]));
}

/* b where the two are equal or one is NaN, as x86 has it. */
VEC_INLINE vf vf_max(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] > b.x[i] ? a.x[i] : b.x[i]);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    EACH_LANE(vf, a.x[i] < b.x[i] ? a.x[i] : b.x[i]);
}

/* Comparisons are false for NaN. */
VEC_INLINE vm vf_lt(vf a, vf b)
{
    EACH_LANE(vm, a.x[i] < b.x[i]);
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    EACH_LANE(vm, a.x[i] <= b.x[i]);
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    EACH_LANE(vm, a.x[i] == b.x[i]);
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    EACH_LANE(vf, m.x[i] ? a.x[i] : b.x[i]);
}

VEC_INLINE bool vm_all(vm m)
{
    bool all = true;
    for (int i = 0; i < 16; i++)
        all = all && m.x[i];
    return all;
}

/* The same bits read as integers, and back. */
VEC_INLINE vi vf_bits(vf a)
{
    vi r;
    memcpy(r.x, a.x, sizeof r.x);
    return r;
}

VEC_INLINE vf vi_floats(vi a)
{
    vf r;
    memcpy(r.x, a.x, sizeof r.x);
    return r;
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    EACH_LANE(vi, a);
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    EACH_LANE(vi, a.x[i] + b.x[i]);
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    EACH_LANE(vi, a.x[i] - b.x[i]);
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    EACH_LANE(vi, a.x[i] & b.x[i]);
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    EACH_LANE(vi, a.x[i] | b.x[i]);
}

VEC_INLINE vi vi_shl(vi a, int bits)
{
    EACH_LANE(vi, a.x[i] << bits);
}

/* Arithmetic: the sign comes in from the left. */
VEC_INLINE vi vi_sar(vi a, int bits)
{
    EACH_LANE(vi, (uint32_t)((int32_t)a.x[i] >> bits));
}

/* The signed value as a float; callers stay within +-2^24, where that is exact. */
VEC_INLINE vf vi_convert(vi a)
{
    EACH_LANE(vf, (float)(int32_t)a.x[i]);
}

/* The fixed tree: lanes 8 apart, then 4, 2, 1. */
VEC_INLINE float vf_sum(vf a)
{
    for (int half = 8; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            a.x[i] += a.x[i + half];
    return a.x[0];
}

/* The largest lane; any lane if there is a NaN. */
VEC_INLINE float vf_largest(vf a)
{
    for (int half = 8; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            a.x[i] = a.x[i] > a.x[i + half] ? a.x[i] : a.x[i + half];
    return a.x[0];
}

#undef EACH_LANE

#endif
