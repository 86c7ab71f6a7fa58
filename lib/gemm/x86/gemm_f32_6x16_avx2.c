/* SPDX-License-Identifier: MIT */
/* Full tile 6 x 16: 12 sums, 2 vectors of S and one of R in 16 registers; 8 loads for 12 FMAs. */
#include "gemm/gemm_kernel.h"

#include <immintrin.h>

enum { LANE_BITS = 3, LANES = 1 << LANE_BITS };
typedef __m256 vec;
typedef struct mask {
    __m256i lanes;
    int n;
} mask;
#define FREE_MASK 0
/* 25 instructions in 6 cycles, where older CPUs do four a cycle. */
#define TWICE(rows, vectors) ((rows) == 6 && (vectors) == 2)
#define ROWS_1 8
#define ROWS_2 6
#define ROWS_3 1 /* wider ones would be 4 rows high: 3 kB for outputs of 17 to 24 columns */

MTL__INLINE mask first_lanes(int n)
{
    const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (mask){_mm256_cmpgt_epi32(_mm256_set1_epi32(n), at), n};
}

MTL__INLINE vec zero(void)
{
    vec x = _mm256_setzero_ps();
    __asm__("" : "+x"(x)); /* 12 of them, not one and 11 copies that cost a slot each */
    return x;
}

MTL__INLINE vec splat(const float *p)
{
    return _mm256_broadcast_ss(p);
}

MTL__INLINE vec load(const float *p)
{
    return _mm256_loadu_ps(p);
}

MTL__INLINE vec load_some(const float *p, mask some)
{
    return _mm256_maskload_ps(p, some.lanes);
}

MTL__INLINE void store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

MTL__INLINE void store_some(float *p, mask some, vec x)
{
    /* By halves: a masked store takes some 20 cycles on AMD's cores. */
    if (some.n == LANES) {
        store(p, x);
        return;
    }
    __m128 part = _mm256_castps256_ps128(x);
    if (some.n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (some.n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (some.n & 1)
        _mm_store_ss(p, part);
}

MTL__INLINE vec fused(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

#include "gemm/tile_priv.h"

static void copy(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                 int64_t depth)
{
    for (int64_t p = 0; p < depth; p++, dst += ldd, src += lds) {
        int64_t j = 0;
        for (; j + LANES <= width; j += LANES)
            store(dst + j, load(src + j));
        if (j < width) {
            mask some = first_lanes((int)(width - j));
            store_some(dst + j, some, load_some(src + j, some));
        }
    }
}

/* 8 rows by 4 columns. Rows r and r+4 go into the two 128-bit lanes of one register on the way from
   memory, which costs no shuffle; what is left is a 4x4 transpose inside the lanes. */
MTL__INLINE void transpose_lanes(__m256 x[4])
{
    __m256 a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
    __m256 c = _mm256_unpacklo_ps(x[2], x[3]), d = _mm256_unpackhi_ps(x[2], x[3]);
    x[0] = _mm256_shuffle_ps(a, c, 0x44);
    x[1] = _mm256_shuffle_ps(a, c, 0xee);
    x[2] = _mm256_shuffle_ps(b, d, 0x44);
    x[3] = _mm256_shuffle_ps(b, d, 0xee);
}

/* Rows from `rows` on are not touched, nor columns outside `some`. */
MTL__INLINE __m128 one_row(const float *p, int64_t lds, int row, int rows, __m128i some)
{
    return row < rows ? _mm_maskload_ps(p + row * lds, some) : _mm_setzero_ps();
}

static void transpose_edge(float *dst, int64_t ldd, const float *src, int64_t lds, int rows,
                           int64_t depth)
{
    for (int64_t p = 0; p < depth; p += 4) {
        int columns = (int)mtl__min(4, depth - p);
        __m128i some = _mm256_castsi256_si128(first_lanes(columns).lanes);
        __m256 x[4];
        UNROLL for (int i = 0; i < 4; i++)
            x[i] = _mm256_insertf128_ps(
                _mm256_castps128_ps256(one_row(src + p, lds, i, rows, some)),
                one_row(src + p, lds, i + 4, rows, some), 1);
        transpose_lanes(x);
        UNROLL for (int i = 0; i < 4; i++)
            if (i < columns)
                store_some(dst + (p + i) * ldd, first_lanes(rows), x[i]);
    }
}

static void transpose(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                      int64_t depth)
{
    int64_t whole = depth & ~(int64_t)3;
    for (; width >= LANES; width -= LANES, dst += LANES, src += LANES * lds) {
        for (int64_t p = 0; p < whole; p += 4) {
            const float *from = src + p;
            __m256 x[4];
            UNROLL for (int i = 0; i < 4; i++)
                x[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + i * lds)),
                                            _mm_loadu_ps(from + (i + 4) * lds), 1);
            transpose_lanes(x);
            UNROLL for (int i = 0; i < 4; i++)
                store(dst + (p + i) * ldd, x[i]);
        }
        transpose_edge(dst + whole * ldd, ldd, src + whole, lds, LANES, depth - whole);
    }
    if (width > 0)
        transpose_edge(dst, ldd, src, lds, (int)width, depth);
}

const mtl__gemm mtl__gemm_avx2 = {
    .name = "avx2 6x16",
    .run = mtl__gemm_drive,
    .workspace = mtl__gemm_drive_workspace,
    .tile = tile,
    .copy = copy,
    .transpose = transpose,
    .lane_bits = LANE_BITS,
    .vectors = 2,
    .rows = {ROWS_1, ROWS_2, ROWS_3},
    .panel = 24,
    .far = 256,
    .nc = 480,
    .kc = 192,
};
