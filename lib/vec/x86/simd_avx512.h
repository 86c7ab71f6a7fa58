/* SPDX-License-Identifier: MIT */
/* 16 lanes, a zmm register. c/simd_c.h says what each operation means. */
#ifndef MTL__SIMD_AVX512_H
#define MTL__SIMD_AVX512_H

#include <immintrin.h>

#include "base/base.h"

#define LANES      16
#define VEC_INLINE MTL__INLINE

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

VEC_INLINE vf vf_set1(float a)
{
    return _mm512_set1_ps(a);
}

VEC_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

VEC_INLINE vm first_lanes(int n)
{
    return (vm)((1u << n) - 1);
}

VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    return _mm512_mask_loadu_ps(vf_set1(fill), first_lanes(n), p);
}

VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    const float *q = p + 8 * stride;
    __m256 low = _mm256_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride],
                                p[5 * stride], p[6 * stride], p[7 * stride]);
    __m256 high = _mm256_setr_ps(q[0], q[stride], q[2 * stride], q[3 * stride], q[4 * stride],
                                 q[5 * stride], q[6 * stride], q[7 * stride]);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

VEC_INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
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
    return _mm512_add_ps(a, b);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

VEC_INLINE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

VEC_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

VEC_INLINE vm vf_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

VEC_INLINE bool vm_all(vm m)
{
    return m == 0xffff;
}

VEC_INLINE vi vf_bits(vf a)
{
    return _mm512_castps_si512(a);
}

VEC_INLINE vf vi_floats(vi a)
{
    return _mm512_castsi512_ps(a);
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    return _mm512_set1_epi32((int)a);
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}

VEC_INLINE vi vi_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}

VEC_INLINE vi vi_load(const uint32_t *p)
{
    return _mm512_loadu_si512(p);
}

VEC_INLINE void vi_store(uint32_t *p, vi a)
{
    _mm512_storeu_si512(p, a);
}

VEC_INLINE vi vi_mul_wide(vi a, vi b, vi *high)
{
    const __mmask16 odd = 0xaaaa;
    __m512i even_lanes = _mm512_mul_epu32(a, b);
    __m512i odd_lanes = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    *high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even_lanes, 32), odd, odd_lanes);
    return _mm512_mask_mov_epi32(even_lanes, odd, _mm512_slli_epi64(odd_lanes, 32));
}

/* Macros: the count must be a literal where optimisation is off. */
#define vi_shl(a, bits) _mm512_slli_epi32((a), (bits))
#define vi_sar(a, bits) _mm512_srai_epi32((a), (bits))

VEC_INLINE vf vi_convert(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

/* At the end of a kernel that is called for a row: what runs next was compiled without AVX, and until
   the upper halves are clear each of its instructions on floats waits for them (170 ns a call). Compilers
   do this themselves but where they are asked for small code. */
VEC_INLINE void vf_leave(void)
{
    _mm256_zeroupper();
}

VEC_INLINE float vf_sum(vf a)
{
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

VEC_INLINE float vf_largest(vf a)
{
    __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

/* One instruction instead of two; Adam has as many others as its root and division take. */
#define MTL__VF_DROP_SUBNORMAL 1
VEC_INLINE vf vf_drop_subnormal(vf x)
{
    enum { ZERO_OR_SUBNORMAL = 0x26 }; /* for clang a literal */
    return _mm512_mask_mov_ps(x, _mm512_fpclass_ps_mask(x, ZERO_OR_SUBNORMAL), vf_set1(0.0f));
}

/* One instruction that rounds once, so equal to the generic one in vec_math.h. */
#define MTL__VF_LDEXP 1
VEC_INLINE vf vf_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

#endif
