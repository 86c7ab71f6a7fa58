/* SPDX-License-Identifier: MIT */
/* One lane in plain C. This is the definition of every operation: the headers of the instruction
   sets give the same bits in each of their lanes.

   vf = LANES floats, vi = LANES integers of 32 bits (arithmetic modulo 2^32), vm = LANES truth
   values. A partial group has n lanes, 1 <= n < LANES, so there is none here. */
#ifndef MTL__SIMD_C_H
#define MTL__SIMD_C_H

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "base/fma.h"

#define LANES 1

/* What is called more than once stays a function: this level is to be small. */
#define VEC_INLINE static inline

typedef float vf;
typedef uint32_t vi;
typedef bool vm;

VEC_INLINE vf vf_set1(float a)
{
    return a;
}

VEC_INLINE vf vf_load(const float *p)
{
    return *p;
}

/* Lanes from n on are `fill`, and their memory is not read. */
VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    return n > 0 ? *p : fill;
}

/* Lane i from p[i * stride]. */
VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    (void)stride;
    return *p;
}

VEC_INLINE void vf_store(float *p, vf a)
{
    *p = a;
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    if (n > 0)
        *p = a;
}

VEC_INLINE void vf_scatter(float *p, int64_t stride, vf a)
{
    (void)stride;
    *p = a;
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    return a + b;
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return a - b;
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return a * b;
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return a / b;
}

VEC_INLINE vf vf_sqrt(vf a)
{
    return sqrtf(a);
}

/* a b + c and c - a b, rounded once. */
VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return mtl__fma(a, b, c);
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return mtl__fma(-a, b, c);
}

/* b where the two are equal or one is NaN, as x86 has it. */
VEC_INLINE vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}

/* Comparisons are false for NaN. */
VEC_INLINE vm vf_lt(vf a, vf b)
{
    return a < b;
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    return a <= b;
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    return a == b;
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    return m ? a : b;
}

VEC_INLINE bool vm_all(vm m)
{
    return m;
}

/* The same bits read as integers, and back. */
VEC_INLINE vi vf_bits(vf a)
{
    vi r;
    memcpy(&r, &a, sizeof r);
    return r;
}

VEC_INLINE vf vi_floats(vi a)
{
    vf r;
    memcpy(&r, &a, sizeof r);
    return r;
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    return a;
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    return a + b;
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    return a - b;
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    return a & b;
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    return a | b;
}

VEC_INLINE vi vi_xor(vi a, vi b)
{
    return a ^ b;
}

VEC_INLINE vi vi_load(const uint32_t *p)
{
    return *p;
}

VEC_INLINE void vi_store(uint32_t *p, vi a)
{
    *p = a;
}

/* The low half of a b; the high one to *high. */
VEC_INLINE vi vi_mul_wide(vi a, vi b, vi *high)
{
    const uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    return (uint32_t)product;
}

VEC_INLINE vi vi_shl(vi a, int bits)
{
    return a << bits;
}

/* Arithmetic: the sign comes in from the left. */
VEC_INLINE vi vi_sar(vi a, int bits)
{
    return (uint32_t)((int32_t)a >> bits);
}

/* The signed value as a float; callers stay within +-2^24, where that is exact. */
VEC_INLINE vf vi_convert(vi a)
{
    return (float)(int32_t)a;
}

/* Lanes LANES / 2 apart are added, then half as far apart, down to neighbours. */
VEC_INLINE void vf_leave(void)
{
}

VEC_INLINE float vf_sum(vf a)
{
    return a;
}

/* The largest lane; any lane if there is a NaN. */
VEC_INLINE float vf_largest(vf a)
{
    return a;
}

#endif
