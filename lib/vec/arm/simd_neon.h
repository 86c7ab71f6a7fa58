/* SPDX-License-Identifier: MIT */
/* The 16 virtual lanes as four q registers. c/simd_c.h says what each operation means. */
#ifndef MTL__SIMD_NEON_H
#define MTL__SIMD_NEON_H

#include <arm_neon.h>

#include "base/base.h"

#define VEC_INLINE MTL__INLINE

typedef struct vf {
    float32x4_t q[4];
} vf;
typedef struct vi {
    uint32x4_t q[4];
} vi;
typedef struct vm {
    uint32x4_t q[4]; /* all bits of a lane set or all clear */
} vm;

/* The same expression for each quarter i. */
#define QUARTERS(type, expression)                                                                 \
    type r;                                                                                        \
    for (int i = 0; i < 4; i++)                                                                    \
        r.q[i] = (expression);                                                                     \
    return r

VEC_INLINE vf vf_set1(float a)
{
    QUARTERS(vf, vdupq_n_f32(a));
}

VEC_INLINE vf vf_load(const float *p)
{
    QUARTERS(vf, vld1q_f32(p + 4 * i));
}

VEC_INLINE void vf_store(float *p, vf a)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, a.q[i]);
}

VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    float x[16];
    vf_store(x, vf_set1(fill));
    for (int i = 0; i < n; i++)
        x[i] = p[i];
    return vf_load(x);
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    float x[16];
    vf_store(x, a);
    for (int i = 0; i < n; i++)
        p[i] = x[i];
}

VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    vf r;
    for (int i = 0; i < 4; i++) {
        const float *s = p + 4 * i * stride;
        r.q[i] = vdupq_n_f32(s[0]);
        r.q[i] = vsetq_lane_f32(s[stride], r.q[i], 1);
        r.q[i] = vsetq_lane_f32(s[2 * stride], r.q[i], 2);
        r.q[i] = vsetq_lane_f32(s[3 * stride], r.q[i], 3);
    }
    return r;
}

VEC_INLINE void vf_scatter(float *p, int64_t stride, vf a)
{
    float x[16];
    vf_store(x, a);
    for (int i = 0; i < 16; i++)
        p[i * stride] = x[i];
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    QUARTERS(vf, vaddq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    QUARTERS(vf, vsubq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    QUARTERS(vf, vmulq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    QUARTERS(vf, vdivq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vf vf_sqrt(vf a)
{
    QUARTERS(vf, vsqrtq_f32(a.q[i]));
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    QUARTERS(vf, vfmaq_f32(c.q[i], a.q[i], b.q[i]));
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    QUARTERS(vf, vfmsq_f32(c.q[i], a.q[i], b.q[i]));
}

/* Not vmaxq_f32 and vminq_f32: those return NaN if either is, and order the zeros. */
VEC_INLINE vf vf_max(vf a, vf b)
{
    QUARTERS(vf, vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]));
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    QUARTERS(vf, vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]));
}

VEC_INLINE vm vf_lt(vf a, vf b)
{
    QUARTERS(vm, vcltq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    QUARTERS(vm, vcleq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    QUARTERS(vm, vceqq_f32(a.q[i], b.q[i]));
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    QUARTERS(vf, vbslq_f32(m.q[i], a.q[i], b.q[i]));
}

VEC_INLINE bool vm_all(vm m)
{
    uint32x4_t all = vandq_u32(vandq_u32(m.q[0], m.q[1]), vandq_u32(m.q[2], m.q[3]));
    return vminvq_u32(all) == UINT32_MAX;
}

VEC_INLINE vi vf_bits(vf a)
{
    QUARTERS(vi, vreinterpretq_u32_f32(a.q[i]));
}

VEC_INLINE vf vi_floats(vi a)
{
    QUARTERS(vf, vreinterpretq_f32_u32(a.q[i]));
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    QUARTERS(vi, vdupq_n_u32(a));
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    QUARTERS(vi, vaddq_u32(a.q[i], b.q[i]));
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    QUARTERS(vi, vsubq_u32(a.q[i], b.q[i]));
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    QUARTERS(vi, vandq_u32(a.q[i], b.q[i]));
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    QUARTERS(vi, vorrq_u32(a.q[i], b.q[i]));
}

/* By a register: the immediate forms need a literal where optimisation is off. */
VEC_INLINE vi vi_shl(vi a, int bits)
{
    QUARTERS(vi, vshlq_u32(a.q[i], vdupq_n_s32(bits)));
}

VEC_INLINE vi vi_sar(vi a, int bits)
{
    QUARTERS(vi,
             vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(a.q[i]), vdupq_n_s32(-bits))));
}

VEC_INLINE vf vi_convert(vi a)
{
    QUARTERS(vf, vcvtq_f32_s32(vreinterpretq_s32_u32(a.q[i])));
}

VEC_INLINE float vf_sum(vf a)
{
    float32x4_t s4 = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

VEC_INLINE float vf_largest(vf a)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.q[0], a.q[2]), vmaxq_f32(a.q[1], a.q[3])));
}

#undef QUARTERS

#endif
