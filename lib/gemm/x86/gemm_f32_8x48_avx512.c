/* SPDX-License-Identifier: MIT */
/* Full tile 8 x 48: 24 sums, 3 vectors of S and one of R in 32 registers; 11 loads for 24 FMAs.
   Up to 8 columns have vectors of half the width, of which a CPU does as many, or twice as many. */
#include "gemm/gemm_kernel.h"

#include <immintrin.h>

enum { LANE_BITS = 4, LANES = 1 << LANE_BITS };
typedef __m512 vec;
typedef __mmask16 mask;
#define FREE_MASK 1
#define TWICE(rows, vectors) false
#define ROWS_1 8
#define ROWS_2 8
#define ROWS_3 8

MTL__INLINE mask first_lanes(int n)
{
    return (mask)(0xffffu >> (LANES - n));
}

MTL__INLINE vec zero(void)
{
    vec x = _mm512_setzero_ps();
    __asm__("" : "+v"(x)); /* 24 of them, not one and 23 copies that cost a slot each */
    return x;
}

MTL__INLINE vec splat(const float *p)
{
    return _mm512_set1_ps(*p);
}

MTL__INLINE vec load(const float *p)
{
    return _mm512_loadu_ps(p);
}

MTL__INLINE vec load_some(const float *p, mask some)
{
    return _mm512_maskz_loadu_ps(some, p);
}

MTL__INLINE void store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}

MTL__INLINE void store_some(float *p, mask some, vec x)
{
    _mm512_mask_storeu_ps(p, some, x);
}

MTL__INLINE vec fused(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#include "gemm/tile_priv.h"

/* --- up to 8 columns ------------------------------------------------------------------------- */

enum { TALL = 16 };

/* TALL rows: twice the chains that hide the latency of the FMA. An address has a base and an index
   times 1 or 2, as in tile_priv.h: four bases. */
static void tile_tall(const mtl__gemm_tile *t)
{
    const __mmask8 some = (__mmask8)(0xffu >> (8 - t->cols));
    const int64_t row = t->r_by_cols ? 1 : t->ldr, step = t->r_by_cols ? t->ldr : 1;
    const int64_t row3 = 3 * row, lds = t->lds;
    const float *s = t->s, *r[TALL / 4];
    __m256 sum[TALL];
    EACH(i, TALL / 4)
        r[i] = t->r + 4 * i * row;
    EACH(i, TALL)
        sum[i] = t->accumulate ? _mm256_maskz_loadu_ps(some, t->c + i * t->ldc)
                               : _mm256_setzero_ps();
    for (int64_t k = t->k; k > 0; k--) {
        const __m256 x = _mm256_maskz_loadu_ps(some, s);
        EACH(i, TALL / 4) {
            sum[4 * i] = _mm256_fmadd_ps(_mm256_set1_ps(r[i][0]), x, sum[4 * i]);
            sum[4 * i + 1] = _mm256_fmadd_ps(_mm256_set1_ps(r[i][row]), x, sum[4 * i + 1]);
            sum[4 * i + 2] = _mm256_fmadd_ps(_mm256_set1_ps(r[i][2 * row]), x, sum[4 * i + 2]);
            sum[4 * i + 3] = _mm256_fmadd_ps(_mm256_set1_ps(r[i][row3]), x, sum[4 * i + 3]);
            r[i] += step;
            __asm__("" : "+r"(r[i]));
        }
        s += lds;
    }
    EACH(i, TALL)
        _mm256_mask_storeu_ps(t->c + i * t->ldc, some, sum[i]);
}

/* Up to four chains wait for the FMA, whatever their width. The tiles of the AVX2 level have 8 lanes. */
static void any_tile(const mtl__gemm_tile *t)
{
    if (t->cols > LANES / 2 || t->rows <= 4)
        tile(t);
    else if (t->rows <= 8)
        mtl__gemm_avx2.tile(t);
    else if (t->rows == TALL)
        tile_tall(t);
    else
        tile_pair(mtl__gemm_avx2.tile, t);
}

/* --- packing ---------------------------------------------------------------------------------- */

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

/* 16 rows by 4 columns. Rows r, r+4, r+8, r+12 go into the four 128-bit lanes of one register on
   the way from memory, which costs no shuffle; what is left is a 4x4 transpose inside the lanes. */
MTL__INLINE void transpose_lanes(__m512 x[4])
{
    __m512 a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
    __m512 c = _mm512_unpacklo_ps(x[2], x[3]), d = _mm512_unpackhi_ps(x[2], x[3]);
    x[0] = _mm512_shuffle_ps(a, c, 0x44);
    x[1] = _mm512_shuffle_ps(a, c, 0xee);
    x[2] = _mm512_shuffle_ps(b, d, 0x44);
    x[3] = _mm512_shuffle_ps(b, d, 0xee);
}

/* The same at an edge: rows from `rows` on and columns outside `columns` are not touched. */
MTL__INLINE __m128 one_row(const float *p, int64_t lds, int row, int rows, __mmask8 columns)
{
    return row < rows ? _mm_maskz_loadu_ps(columns, p + row * lds) : _mm_setzero_ps();
}

MTL__INLINE __m512 some_rows(const float *p, int64_t lds, int row, int rows, __mmask8 columns)
{
    __m512 x = _mm512_castps128_ps512(one_row(p, lds, row, rows, columns));
    x = _mm512_insertf32x4(x, one_row(p, lds, row + 4, rows, columns), 1);
    x = _mm512_insertf32x4(x, one_row(p, lds, row + 8, rows, columns), 2);
    return _mm512_insertf32x4(x, one_row(p, lds, row + 12, rows, columns), 3);
}

/* Up to four rows, as of a head of a network: no wider stores than they need. */
static void transpose_few(float *dst, int64_t ldd, const float *src, int64_t lds, int rows,
                          int64_t depth)
{
    const __mmask8 ends = (__mmask8)(0xfu >> (4 - rows));
    for (int64_t p = 0; p < depth; p += 4) {
        int columns = (int)mtl__min(4, depth - p);
        __mmask8 some = (__mmask8)(0xfu >> (4 - columns));
        __m128 x[4];
        UNROLL for (int i = 0; i < 4; i++)
            x[i] = one_row(src + p, lds, i, rows, some);
        _MM_TRANSPOSE4_PS(x[0], x[1], x[2], x[3]);
        UNROLL for (int i = 0; i < 4; i++)
            if (i < columns)
                _mm_mask_storeu_ps(dst + (p + i) * ldd, ends, x[i]);
    }
}

static void transpose_edge(float *dst, int64_t ldd, const float *src, int64_t lds, int rows,
                           int64_t depth)
{
    for (int64_t p = 0; p < depth; p += 4) {
        int columns = (int)mtl__min(4, depth - p);
        __mmask8 some = (__mmask8)(0xfu >> (4 - columns));
        __m512 x[4];
        UNROLL for (int i = 0; i < 4; i++)
            x[i] = some_rows(src + p, lds, i, rows, some);
        transpose_lanes(x);
        UNROLL for (int i = 0; i < 4; i++)
            if (i < columns)
                store_some(dst + (p + i) * ldd, first_lanes(rows), x[i]);
    }
}

/* The same of whole rows and by halves: loads of 512 bits that put a part into its place take as
   long as whole ones, and these take half; the two stores fill a line one after the other. */
MTL__INLINE __m256 two_rows(const float *p, int64_t lds)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * lds),
                                1);
}

MTL__INLINE void transpose_half(const float *p, int64_t lds, __m256 x[4])
{
    __m256 r0 = two_rows(p, lds), r1 = two_rows(p + lds, lds);
    __m256 r2 = two_rows(p + 2 * lds, lds), r3 = two_rows(p + 3 * lds, lds);
    __m256 a = _mm256_unpacklo_ps(r0, r1), b = _mm256_unpackhi_ps(r0, r1);
    __m256 c = _mm256_unpacklo_ps(r2, r3), d = _mm256_unpackhi_ps(r2, r3);
    x[0] = _mm256_shuffle_ps(a, c, 0x44);
    x[1] = _mm256_shuffle_ps(a, c, 0xee);
    x[2] = _mm256_shuffle_ps(b, d, 0x44);
    x[3] = _mm256_shuffle_ps(b, d, 0xee);
}

static void transpose(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                      int64_t depth)
{
    int64_t whole = depth & ~(int64_t)3;
    for (; width >= LANES; width -= LANES, dst += LANES, src += LANES * lds) {
        for (int64_t p = 0; p < whole; p += 4) {
            __m256 x[4], y[4];
            transpose_half(src + p, lds, x);
            transpose_half(src + p + 8 * lds, lds, y);
            UNROLL for (int i = 0; i < 4; i++)
            {
                float *to = dst + (p + i) * ldd;
                _mm256_storeu_ps(to, x[i]);
                _mm256_storeu_ps(to + LANES / 2, y[i]);
            }
        }
        transpose_edge(dst + whole * ldd, ldd, src + whole, lds, LANES, depth - whole);
    }
    if (width > 4)
        transpose_edge(dst, ldd, src, lds, (int)width, depth);
    else if (width > 0)
        transpose_few(dst, ldd, src, lds, (int)width, depth);
}

const mtl__gemm mtl__gemm_avx512 = {
    .name = "avx512 8x48",
    .run = mtl__gemm_drive,
    .workspace = mtl__gemm_drive_workspace,
    .tile = any_tile,
    .copy = copy,
    .transpose = transpose,
    .lane_bits = LANE_BITS,
    .vectors = 3,
    .rows = {ROWS_1, ROWS_2, ROWS_3},
    .half_rows = TALL,
    .panel = 16,
    .far = 512,
    .nc = 480,
    .kc = 256,
};
