/* SPDX-License-Identifier: MIT */
/* Matrix products in float32, row-major. Pointers and strides only: it knows no tensor.

   Every output is one chain of fused multiply-adds in ascending k, starting from 0, or from C when
   accumulating. So the bits do not depend on the kernel, the blocking, the threads or the CPU. */
#ifndef MTL__GEMM_H
#define MTL__GEMM_H

#include "base/base.h"
#include "cpu/cpu.h"
#include "thread/pool.h"

typedef enum mtl__gemm_kind {
    MTL__GEMM_NN, /* C [m,n] = A [m,k] B [k,n]      forward: X W */
    MTL__GEMM_NT, /* C [m,n] = A [m,k] (B [n,k])'   input gradient: dY W' */
    MTL__GEMM_TN, /* C [m,n] = (A [k,m])' B [k,n]   weight gradient: X' dY */
} mtl__gemm_kind;

/* Called once for each finished block of C, from any worker, while the block is warm in the cache:
   rows x cols numbers at c = C + row0 * ldc + col0. */
typedef void mtl__gemm_epilogue_fn(const void *arg, int64_t rows, int64_t cols, float *c,
                                   int64_t ldc, int64_t row0, int64_t col0);

typedef struct mtl__gemm_call {
    mtl__gemm_kind kind;
    int64_t m, n, k; /* any may be 0; with k = 0 C becomes 0, or stays when accumulating */
    const float *a;
    int64_t lda; /* strides in elements between rows as stored; lda >= stored columns */
    const float *b;
    int64_t ldb;
    float *c;
    int64_t ldc;
    bool b_packed;   /* NN only: b is what mtl__gemm_pack_b made of B, ldb is not used */
    bool accumulate; /* C += instead of C =; without it C is never read */
    mtl__gemm_epilogue_fn *epilogue; /* bias, activation, ...; NULL = none */
    const void *epilogue_arg;
} mtl__gemm_call;

/* A backend at one CPU level, with its block sizes. Constant, shared by all contexts. */
typedef struct mtl__gemm mtl__gemm;

/* The native implementation for a level, or for the best one below it. Never NULL. */
const mtl__gemm *mtl__gemm_native(mtl__cpu_level level);

/* The BLIS backend, or NULL when libmtl was built without it. Its bits are BLIS's own. */
const mtl__gemm *mtl__gemm_blis(void);

/* "avx512 14x32", "blis 0.9.0", ... */
const char *mtl__gemm_name(const mtl__gemm *g);

/* Floats of 64-byte aligned scratch that mtl__gemm_run needs for this size with this many slots;
   for any m' <= m, n' <= n, k' <= k it is enough too. */
int64_t mtl__gemm_workspace(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n,
                            int64_t k, int slots);

/* A constant B [k,n] that many calls use (weights of a predictor) can be laid out once: packed gets
   mtl__gemm_packed_floats() floats, 64-byte aligned, and serves any m. Same bits. 0 floats with k
   and n above 0: the backend has no such form. */
int64_t mtl__gemm_packed_floats(const mtl__gemm *g, int64_t k, int64_t n);
void mtl__gemm_pack_b(const mtl__gemm *g, int64_t k, int64_t n, const float *b, int64_t ldb,
                      float *packed);

/* Allocates nothing. Uses the pool when the product is large enough to pay for it. */
void mtl__gemm_run(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work);

#endif
