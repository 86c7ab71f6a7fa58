/* SPDX-License-Identifier: MIT */
/* 4 lanes, a q register. c/simd_c.h says what each operation means. */
#ifndef MTL__SIMD_NEON_H
#define MTL__SIMD_NEON_H

#include <arm_neon.h>

#include "base/base.h"

#define LANES      4
#define VEC_INLINE MTL__INLINE

typedef float32x4_t vf;
typedef uint32x4_t vi;
typedef uint32x4_t vm; /* all bits of a lane set or all clear */

VEC_INLINE vf vf_set1(float a)
{
    return vdupq_n_f32(a);
}

VEC_INLINE vf vf_load(const float *p)
{
    return vld1q_f32(p);
}

VEC_INLINE void vf_store(float *p, vf a)
{
    vst1q_f32(p, a);
}

VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    float x[LANES];
    vf_store(x, vf_set1(fill));
    for (int i = 0; i < n; i++)
        x[i] = p[i];
    return vf_load(x);
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    float x[LANES];
    vf_store(x, a);
    for (int i = 0; i < n; i++)
        p[i] = x[i];
}

VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    vf r = vdupq_n_f32(p[0]);
    r = vsetq_lane_f32(p[stride], r, 1);
    r = vsetq_lane_f32(p[2 * stride], r, 2);
    return vsetq_lane_f32(p[3 * stride], r, 3);
}

VEC_INLINE void vf_scatter(float *p, int64_t stride, vf a)
{
    float x[LANES];
    vf_store(x, a);
    for (int i = 0; i < LANES; i++)
        p[i * stride] = x[i];
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

VEC_INLINE vf vf_sqrt(vf a)
{
    return vsqrtq_f32(a);
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}

/* Not vmaxq_f32 and vminq_f32: those return NaN if either is, and order the zeros. */
VEC_INLINE vf vf_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

VEC_INLINE vm vf_lt(vf a, vf b)
{
    return vcltq_f32(a, b);
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    return vcleq_f32(a, b);
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    return vceqq_f32(a, b);
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    return vbslq_f32(m, a, b);
}

VEC_INLINE bool vm_all(vm m)
{
    return vminvq_u32(m) == UINT32_MAX;
}

VEC_INLINE vi vf_bits(vf a)
{
    return vreinterpretq_u32_f32(a);
}

VEC_INLINE vf vi_floats(vi a)
{
    return vreinterpretq_f32_u32(a);
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    return vdupq_n_u32(a);
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    return vaddq_u32(a, b);
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    return vsubq_u32(a, b);
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    return vandq_u32(a, b);
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    return vorrq_u32(a, b);
}

VEC_INLINE vi vi_xor(vi a, vi b)
{
    return veorq_u32(a, b);
}

VEC_INLINE vi vi_load(const uint32_t *p)
{
    return vld1q_u32(p);
}

VEC_INLINE void vi_store(uint32_t *p, vi a)
{
    vst1q_u32(p, a);
}

VEC_INLINE vi vi_mul_wide(vi a, vi b, vi *high)
{
    uint32x4_t first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vget_low_u32(b)));
    uint32x4_t last = vreinterpretq_u32_u64(vmull_high_u32(a, b));
    *high = vuzp2q_u32(first, last);
    return vuzp1q_u32(first, last);
}

/* By a register: the immediate forms need a literal where optimisation is off. */
VEC_INLINE vi vi_shl(vi a, int bits)
{
    return vshlq_u32(a, vdupq_n_s32(bits));
}

VEC_INLINE vi vi_sar(vi a, int bits)
{
    return vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(a), vdupq_n_s32(-bits)));
}

VEC_INLINE vf vi_convert(vi a)
{
    return vcvtq_f32_s32(vreinterpretq_s32_u32(a));
}

VEC_INLINE void vf_leave(void)
{
}

VEC_INLINE float vf_sum(vf a)
{
    float32x2_t s2 = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

VEC_INLINE float vf_largest(vf a)
{
    return vmaxvq_f32(a);
}

#endif
