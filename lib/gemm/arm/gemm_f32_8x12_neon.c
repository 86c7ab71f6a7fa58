/* SPDX-License-Identifier: MIT */
/* Full tile 8 x 12: 24 sums, 3 vectors of S and one of R in 32 registers. */
#include "gemm/gemm_kernel.h"

#include <arm_neon.h>

enum { LANE_BITS = 2, LANES = 1 << LANE_BITS };
typedef float32x4_t vec;
typedef int mask; /* the number of lanes: there are no masked loads */
#define FREE_MASK 0
#define TWICE(rows, vectors) true
#define ROWS_1 8
#define ROWS_2 8
#define ROWS_3 8

MTL__INLINE mask first_lanes(int n)
{
    return n;
}

MTL__INLINE vec zero(void)
{
    return vdupq_n_f32(0.0f);
}

MTL__INLINE vec splat(const float *p)
{
    return vld1q_dup_f32(p);
}

MTL__INLINE vec load(const float *p)
{
    return vld1q_f32(p);
}

MTL__INLINE vec load_some(const float *p, mask some)
{
    vec x = vld1q_lane_f32(p, zero(), 0);
    if (some > 1)
        x = vld1q_lane_f32(p + 1, x, 1);
    if (some > 2)
        x = vld1q_lane_f32(p + 2, x, 2);
    return x;
}

MTL__INLINE void store(float *p, vec x)
{
    vst1q_f32(p, x);
}

MTL__INLINE void store_some(float *p, mask some, vec x)
{
    vst1q_lane_f32(p, x, 0);
    if (some > 1)
        vst1q_lane_f32(p + 1, x, 1);
    if (some > 2)
        vst1q_lane_f32(p + 2, x, 2);
}

MTL__INLINE vec fused(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

#include "gemm/tile_priv.h"

static void copy(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                 int64_t depth)
{
    for (int64_t p = 0; p < depth; p++, dst += ldd, src += lds) {
        int64_t j = 0;
        for (; j + LANES <= width; j += LANES)
            store(dst + j, load(src + j));
        for (; j < width; j++)
            dst[j] = src[j];
    }
}

MTL__INLINE void transpose_4x4(float *dst, int64_t ldd, const float *src, int64_t lds)
{
    float32x4x2_t a = vtrnq_f32(load(src), load(src + lds));
    float32x4x2_t b = vtrnq_f32(load(src + 2 * lds), load(src + 3 * lds));
    store(dst, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
    store(dst + ldd, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
    store(dst + 2 * ldd, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
    store(dst + 3 * ldd, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}

static void transpose(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                      int64_t depth)
{
    int64_t w = width & ~(int64_t)3, d = depth & ~(int64_t)3;
    for (int64_t j = 0; j < w; j += LANES)
        for (int64_t p = 0; p < d; p += LANES)
            transpose_4x4(dst + p * ldd + j, ldd, src + j * lds + p, lds);
    for (int64_t j = 0; j < width; j++)
        for (int64_t p = j < w ? d : 0; p < depth; p++)
            dst[p * ldd + j] = src[j * lds + p];
}

const mtl__gemm mtl__gemm_neon = {
    .name = "neon 8x12",
    .run = mtl__gemm_drive,
    .workspace = mtl__gemm_drive_workspace,
    .tile = tile,
    .copy = copy,
    .transpose = transpose,
    .lane_bits = LANE_BITS,
    .vectors = 3,
    .rows = {ROWS_1, ROWS_2, ROWS_3},
    .panel = 16,
    .far = 256,
    .nc = 240,
    .kc = 256,
};
