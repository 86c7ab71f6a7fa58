/* SPDX-License-Identifier: MIT */
/* The yardstick of --bench and of mtl_bench: independent FMA chains that never leave the registers. */
#include "peak.h"

#include <math.h>
#include <time.h>

#if MTL__ARCH_X86
#include <immintrin.h>
#elif MTL__ARCH_ARM64
#include <arm_neon.h>
#endif

enum { CHAINS = 12, STEPS = 20000 };

/* Each returns the flops done; the sum of the chains goes to *sink so that they must be made. */
typedef double peak_fn(float x, float *sink);

static double peak_c(float x, float *sink)
{
    float c[CHAINS];
    for (int j = 0; j < CHAINS; j++)
        c[j] = x * (float)j;
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < CHAINS; j++)
            c[j] = fmaf(c[j], x, x);
    for (int j = 0; j < CHAINS; j++)
        *sink += c[j];
    return 2.0 * STEPS * CHAINS;
}

#if MTL__ARCH_X86
/* The chains are named, not an array, so that no compiler puts them into memory, and start from
   different values, so that none makes one of them all. */
#define CHAIN_LIST(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

__attribute__((target("avx2,fma"))) static double peak_avx2(float x, float *sink)
{
    const __m256 v = _mm256_set1_ps(x);
#define MAKE(i) __m256 c##i = _mm256_set1_ps(x * (i));
#define STEP(i) c##i = _mm256_fmadd_ps(c##i, v, v);
#define SINK(i) *sink += _mm256_cvtss_f32(c##i);
    CHAIN_LIST(MAKE)
    for (int i = 0; i < STEPS; i++) {
        CHAIN_LIST(STEP)
    }
    CHAIN_LIST(SINK)
#undef MAKE
#undef STEP
#undef SINK
    return 2.0 * 8 * STEPS * CHAINS;
}

__attribute__((target("avx512f"))) static double peak_avx512(float x, float *sink)
{
    const __m512 v = _mm512_set1_ps(x);
#define MAKE(i) __m512 c##i = _mm512_set1_ps(x * (i));
#define STEP(i) c##i = _mm512_fmadd_ps(c##i, v, v);
#define SINK(i) *sink += _mm512_cvtss_f32(c##i);
    CHAIN_LIST(MAKE)
    for (int i = 0; i < STEPS; i++) {
        CHAIN_LIST(STEP)
    }
    CHAIN_LIST(SINK)
#undef MAKE
#undef STEP
#undef SINK
    return 2.0 * 16 * STEPS * CHAINS;
}
#elif MTL__ARCH_ARM64
static double peak_neon(float x, float *sink)
{
    const float32x4_t v = vdupq_n_f32(x);
    float32x4_t c[CHAINS];
    for (int j = 0; j < CHAINS; j++)
        c[j] = vdupq_n_f32(x * (float)j);
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < CHAINS; j++)
            c[j] = vfmaq_f32(v, c[j], v);
    for (int j = 0; j < CHAINS; j++)
        *sink += vgetq_lane_f32(c[j], 0);
    return 2.0 * 4 * STEPS * CHAINS;
}
#endif

static peak_fn *const peaks[] = {
    [MTL__CPU_C] = peak_c,
#if MTL__ARCH_X86
    [MTL__CPU_AVX2] = peak_avx2,
    [MTL__CPU_AVX512] = peak_avx512,
#elif MTL__ARCH_ARM64
    [MTL__CPU_NEON] = peak_neon,
#endif
};

static double measure(peak_fn *fn)
{
    double best = 0.0;
    float sink = 0.0f;
    for (int i = 0; i < 3; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        double flops = fn(0.5f, &sink);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double t = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        best = fmax(best, flops / t * 1e-9);
    }
    volatile float keep = sink;
    (void)keep;
    return best;
}

double ck_peak(mtl__cpu_level level)
{
    return measure(peaks[level]);
}
