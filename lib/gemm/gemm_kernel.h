/* SPDX-License-Identifier: MIT */
/* The record of a backend, and the contract of its kernels. docs/kernels.md draws the panels. */
#ifndef MTL__GEMM_KERNEL_H
#define MTL__GEMM_KERNEL_H

#include "gemm/gemm.h"

/* One register tile: C [rows, cols] (+)= R [rows, k] S [k, cols].
   S has its k rows `lds` apart and its columns side by side, so columns are vectorised; R is read
   one element at a time and broadcast. For each output one chain of FMAs in ascending k, from 0, or
   from C when accumulating. Nothing outside the matrices is read or written, none is aligned. */
typedef struct mtl__gemm_tile {
    int64_t k; /* >= 0; 0 stores zeros, or leaves C as it is when accumulating */
    const float *r, *s;
    int64_t ldr, lds;
    float *c;
    int64_t ldc;
    int rows, cols; /* up to MTL__GEMM_MAX_VECTORS vectors; one row alone up to MTL__GEMM_WIDE */
    bool r_by_cols; /* element (i, p) of R lies at r[p * ldr + i], else at r[i * ldr + p] */
    bool accumulate;
} mtl__gemm_tile;
typedef void mtl__gemm_tile_fn(const mtl__gemm_tile *t);

/* Packing. copy: dst[p * ldd + j] = src[p * lds + j]; transpose: dst[p * ldd + j] =
   src[j * lds + p]; for p < depth, j < width. Exactly these are read and written. */
typedef void mtl__gemm_pack_fn(float *dst, int64_t ldd, const float *src, int64_t lds,
                               int64_t width, int64_t depth);

/* A row alone needs this many vectors, each a chain, to keep two FMA units of latency 4 busy. */
enum { MTL__GEMM_MAX_VECTORS = 3, MTL__GEMM_WIDE = 8 };

struct mtl__gemm {
    const char *name;
    /* How to run a call and how much scratch that takes: the driver in gemm.c, or a library. */
    void (*run)(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work);
    int64_t (*workspace)(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n, int64_t k,
                         int slots);

    mtl__gemm_tile_fn *tile;
    mtl__gemm_pack_fn *copy, *transpose;
    int lane_bits; /* a vector holds 1 << lane_bits floats */
    int vectors;   /* of a full-size tile: nr = vectors * lanes */
    int rows[MTL__GEMM_MAX_VECTORS]; /* most rows of a tile of 1, 2, 3 vectors */
    int half_rows; /* of a tile of up to half a vector, if that has a tile of its own; else 0 */
    int panel;     /* rows packed together: a multiple of rows[vectors - 1] */
    /* Floats between columns of R from which on they are packed: the fewer rows a tile has, the
       more often it comes back to the same line of each column. */
    int far;
    /* kc * nc floats are half of a second-level cache, for a block of S; no block has more than nc
       columns, a multiple of nr. */
    int nc, kc;
};

/* The driver of the native kernels. */
void mtl__gemm_drive(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work);
int64_t mtl__gemm_drive_workspace(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n,
                                  int64_t k, int slots);

extern const mtl__gemm mtl__gemm_c;
#if MTL__ARCH_X86
extern const mtl__gemm mtl__gemm_avx2, mtl__gemm_avx512;
#elif MTL__ARCH_ARM64
extern const mtl__gemm mtl__gemm_neon;
#endif

static inline int mtl__gemm_lanes(const mtl__gemm *g)
{
    return 1 << g->lane_bits;
}

#endif
