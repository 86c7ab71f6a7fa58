/* SPDX-License-Identifier: MIT */
/* The 16 virtual lanes as two ymm registers. c/simd_c.h says what each operation means. */
#ifndef MTL__SIMD_AVX2_H
#define MTL__SIMD_AVX2_H

#include <immintrin.h>

#include "base/base.h"

#define VEC_INLINE MTL__INLINE

typedef struct vf {
    __m256 a, b; /* lanes 0-7 and 8-15 */
} vf;
typedef struct vi {
    __m256i a, b;
} vi;
typedef struct vm {
    __m256 a, b; /* all bits of a lane set or all clear */
} vm;

/* The same instruction on both halves of one, two or three operands. */
#define BOTH(type, op, x)        ((type){op((x).a), op((x).b)})
#define BOTH2(type, op, x, y)    ((type){op((x).a, (y).a), op((x).b, (y).b)})
#define BOTH3(type, op, x, y, z) ((type){op((x).a, (y).a, (z).a), op((x).b, (y).b, (z).b)})

VEC_INLINE vf vf_set1(float a)
{
    return (vf){_mm256_set1_ps(a), _mm256_set1_ps(a)};
}

VEC_INLINE vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

VEC_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a.a);
    _mm256_storeu_ps(p + 8, a.b);
}

VEC_INLINE vi first_lanes(int n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vi){_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane),
                _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane)};
}

VEC_INLINE vf vf_load_n(const float *p, int n, float fill)
{
    const vi m = first_lanes(n);
    const vf f = vf_set1(fill);
    /* A mask of zeros reads nothing, but p + 8 must still lie in the array to be formed. */
    const float *q = n > 8 ? p + 8 : p;
    return (vf){_mm256_blendv_ps(f.a, _mm256_maskload_ps(p, m.a), _mm256_castsi256_ps(m.a)),
                _mm256_blendv_ps(f.b, _mm256_maskload_ps(q, m.b), _mm256_castsi256_ps(m.b))};
}

VEC_INLINE void vf_store_n(float *p, int n, vf a)
{
    const vi m = first_lanes(n);
    _mm256_maskstore_ps(p, m.a, a.a);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, m.b, a.b);
}

VEC_INLINE __m256 gather8(const float *p, int64_t stride)
{
    return _mm256_setr_ps(p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride],
                          p[5 * stride], p[6 * stride], p[7 * stride]);
}

VEC_INLINE vf vf_gather(const float *p, int64_t stride)
{
    return (vf){gather8(p, stride), gather8(p + 8 * stride, stride)};
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
    return BOTH2(vf, _mm256_add_ps, a, b);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return BOTH2(vf, _mm256_sub_ps, a, b);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return BOTH2(vf, _mm256_mul_ps, a, b);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return BOTH2(vf, _mm256_div_ps, a, b);
}

VEC_INLINE vf vf_sqrt(vf a)
{
    return BOTH(vf, _mm256_sqrt_ps, a);
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return BOTH3(vf, _mm256_fmadd_ps, a, b, c);
}

VEC_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return BOTH3(vf, _mm256_fnmadd_ps, a, b, c);
}

VEC_INLINE vf vf_max(vf a, vf b)
{
    return BOTH2(vf, _mm256_max_ps, a, b);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return BOTH2(vf, _mm256_min_ps, a, b);
}

#define CMP_LT(x, y) _mm256_cmp_ps((x), (y), _CMP_LT_OQ)
#define CMP_LE(x, y) _mm256_cmp_ps((x), (y), _CMP_LE_OQ)
#define CMP_EQ(x, y) _mm256_cmp_ps((x), (y), _CMP_EQ_OQ)

VEC_INLINE vm vf_lt(vf a, vf b)
{
    return BOTH2(vm, CMP_LT, a, b);
}

VEC_INLINE vm vf_le(vf a, vf b)
{
    return BOTH2(vm, CMP_LE, a, b);
}

VEC_INLINE vm vf_eq(vf a, vf b)
{
    return BOTH2(vm, CMP_EQ, a, b);
}

VEC_INLINE vf vf_select(vm m, vf a, vf b)
{
    return BOTH3(vf, _mm256_blendv_ps, b, a, m);
}

VEC_INLINE bool vm_all(vm m)
{
    return _mm256_movemask_ps(_mm256_and_ps(m.a, m.b)) == 0xff;
}

VEC_INLINE vi vf_bits(vf a)
{
    return BOTH(vi, _mm256_castps_si256, a);
}

VEC_INLINE vf vi_floats(vi a)
{
    return BOTH(vf, _mm256_castsi256_ps, a);
}

VEC_INLINE vi vi_set1(uint32_t a)
{
    return (vi){_mm256_set1_epi32((int)a), _mm256_set1_epi32((int)a)};
}

VEC_INLINE vi vi_add(vi a, vi b)
{
    return BOTH2(vi, _mm256_add_epi32, a, b);
}

VEC_INLINE vi vi_sub(vi a, vi b)
{
    return BOTH2(vi, _mm256_sub_epi32, a, b);
}

VEC_INLINE vi vi_and(vi a, vi b)
{
    return BOTH2(vi, _mm256_and_si256, a, b);
}

VEC_INLINE vi vi_or(vi a, vi b)
{
    return BOTH2(vi, _mm256_or_si256, a, b);
}

/* Macros: the count must be a literal where optimisation is off. */
#define vi_shl(v, n) ((vi){_mm256_slli_epi32((v).a, (n)), _mm256_slli_epi32((v).b, (n))})
#define vi_sar(v, n) ((vi){_mm256_srai_epi32((v).a, (n)), _mm256_srai_epi32((v).b, (n))})

VEC_INLINE vf vi_convert(vi a)
{
    return BOTH(vf, _mm256_cvtepi32_ps, a);
}

VEC_INLINE float vf_sum(vf a)
{
    __m256 s8 = _mm256_add_ps(a.a, a.b);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

VEC_INLINE float vf_largest(vf a)
{
    __m256 s8 = _mm256_max_ps(a.a, a.b);
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

#undef CMP_LT
#undef CMP_LE
#undef CMP_EQ
#undef BOTH
#undef BOTH2
#undef BOTH3

#endif
