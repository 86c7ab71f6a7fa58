/* SPDX-License-Identifier: MIT */
/* 8 lanes, a ymm register. c/simd_c.h says what each operation means. */
#ifndef MTL__SIMD_AVX2_H
#define MTL__SIMD_AVX2_H

#include <immintrin.h>

#include "base/base.h"

#define LANES      8
#define VEC_INLINE MTL__INLINE

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm; /* all bits of a lane set or all clear */

VEC_INLINE vf vf_set1(float a)
{
    return _mm256_set1_ps(a);
}

VEC_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

VEC_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}

VEC_INLINE vi first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    const vi m = first_lanes(n);
    return _mm256_blendv_ps(vf_set1(fill), _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    _mm256_maskstore_ps(p, first_lanes(n), a);
}

VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    return _mm256_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride],
                          p[5 * stride], p[6 * stride], p[7 * stride]);
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
    return _mm256_add_ps(a, b);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

VEC_INLINE vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

VEC_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

VEC_INLINE vm vf_lt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}

VEC_INLINE bool vm_all(vm m)
{
    return _mm256_movemask_ps(m) == 0xff;
}

VEC_INLINE vi vf_bits(vf a)
{
    return _mm256_castps_si256(a);
}

VEC_INLINE vf vi_floats(vi a)
{
    return _mm256_castsi256_ps(a);
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    return _mm256_set1_epi32((int)a);
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}

VEC_INLINE vi vi_xor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}

VEC_INLINE vi vi_load(const uint32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

VEC_INLINE void vi_store(uint32_t *p, vi a)
{
    _mm256_storeu_si256((__m256i *)p, a);
}

VEC_INLINE vi vi_mul_wide(vi a, vi b, vi *high)
{
    __m256i even_lanes = _mm256_mul_epu32(a, b);
    __m256i odd_lanes = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even_lanes, 32), odd_lanes, 0xaa);
    return _mm256_blend_epi32(even_lanes, _mm256_slli_epi64(odd_lanes, 32), 0xaa);
}

/* Macros: the count must be a literal where optimisation is off. */
#define vi_shl(v, n) _mm256_slli_epi32((v), (n))
#define vi_sar(v, n) _mm256_srai_epi32((v), (n))

VEC_INLINE vf vi_convert(vi a)
{
    return _mm256_cvtepi32_ps(a);
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
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

VEC_INLINE float vf_largest(vf a)
{
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

#endif
