/* SPDX-License-Identifier: MIT */
/* The definition: what every other kernel must give, bit for bit. */
#include "base/fma.h"
#include "gemm/gemm_kernel.h"

enum { LANE_BITS = 4, LANES = 1 << LANE_BITS, VECTORS = 3, COLS = LANES * VECTORS, ROWS = 4 };
enum { MOST = LANES * MTL__GEMM_WIDE };

static void tile(const mtl__gemm_tile *t)
{
    assert(t->rows <= ROWS && t->cols <= (t->rows == 1 ? MOST : COLS));
    for (int i = 0; i < t->rows; i++) {
        float *c = t->c + i * t->ldc, sum[MOST];
        for (int j = 0; j < t->cols; j++)
            sum[j] = t->accumulate ? c[j] : 0.0f;
        for (int64_t p = 0; p < t->k; p++) {
            float r = t->r_by_cols ? t->r[p * t->ldr + i] : t->r[i * t->ldr + p];
            const float *s = t->s + p * t->lds;
            for (int j = 0; j < t->cols; j++)
                sum[j] = mtl__fma(r, s[j], sum[j]);
        }
        for (int j = 0; j < t->cols; j++)
            c[j] = sum[j];
    }
}

static void copy(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                 int64_t depth)
{
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = 0; j < width; j++)
            dst[p * ldd + j] = src[p * lds + j];
}

static void transpose(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t width,
                      int64_t depth)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t p = 0; p < depth; p++)
            dst[p * ldd + j] = src[j * lds + p];
}

const mtl__gemm mtl__gemm_c = {
    .name = "c 4x48",
    .run = mtl__gemm_drive,
    .workspace = mtl__gemm_drive_workspace,
    .tile = tile,
    .copy = copy,
    .transpose = transpose,
    .lane_bits = LANE_BITS,
    .vectors = VECTORS,
    .rows = {ROWS, ROWS, ROWS},
    .panel = ROWS,
    .far = 256,
    .nc = 480,
    .kc = 256,
};
