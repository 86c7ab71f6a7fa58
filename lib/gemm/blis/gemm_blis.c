/* SPDX-License-Identifier: MIT */
/* BLIS behind the same driver interface. Its bits are its own.

   It is loaded when a context asks for it, not linked: linked against the shared library, libmtl.so
   would need BLIS wherever it was built on a machine that has it; linked against Debian's static
   one (0.9, bli_sgemm alone, stripped) it would grow by 10 MB, nearly all of it kernels for other CPUs. Of its
   interface only the object-free call with row and column strides is used, the same since BLIS
   0.1; the size of its integers, the one thing a build of BLIS may change, is asked for. So no
   header of BLIS is needed to build this file; where it is found, tests/kernels/blis_abi.c holds
   the declarations below against it. */
#include "gemm/gemm_kernel.h"

#include "gemm/blis/blis_priv.h"

#if MTL__WITH_BLIS

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
    mtl__gemm record;
    char name[32];
    mtl__blis_sgemm_fn *sgemm;
    bool loaded;
} blis;

static void run(const mtl__gemm *g, const mtl__gemm_call *call, mtl__pool *pool, float *work)
{
    (void)g, (void)pool, (void)work;
    const mtl__gemm_call *q = call;
    /* A transposed matrix is one with its strides exchanged; BLIS takes its arguments without
       const, and does not write them. */
    bool tn = q->kind == MTL__GEMM_TN, nt = q->kind == MTL__GEMM_NT;
    float one = 1.0f, zero = 0.0f;
    union {
        const float *in;
        float *out;
    } a = {q->a}, b = {q->b};
    /* With beta = 0 BLIS does not read C. */
    blis.sgemm(MTL__BLIS_NO_TRANSPOSE, MTL__BLIS_NO_TRANSPOSE, q->m, q->n, q->k, &one, a.out,
               tn ? 1 : q->lda, tn ? q->lda : 1, b.out, nt ? 1 : q->ldb, nt ? q->ldb : 1,
               q->accumulate ? &one : &zero, q->c, q->ldc, 1);
    if (q->epilogue)
        q->epilogue(q->epilogue_arg, q->m, q->n, q->c, q->ldc, 0, 0);
}

static int64_t workspace(const mtl__gemm *g, mtl__gemm_kind kind, int64_t m, int64_t n, int64_t k,
                         int slots)
{
    (void)g, (void)kind, (void)m, (void)n, (void)k, (void)slots;
    return 0;
}

/* POSIX gives functions as object pointers; copying the bytes is its own way out. */
static bool symbol(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static void load_blis(void)
{
    static const char *const names[] = {"libblis.so.4", "libblis.so.5", "libblis.so"};
    void *library = NULL;
    for (int i = 0; i < MTL__COUNT_OF(names) && !library; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    mtl__blis_int_size_fn *int_size;
    mtl__blis_version_fn *version;
    if (!symbol(library, "bli_sgemm", &blis.sgemm) ||
        !symbol(library, "bli_info_get_int_type_size", &int_size) ||
        !symbol(library, "bli_info_get_version_str", &version) || int_size() != 64) {
        dlclose(library);
        return;
    }
    snprintf(blis.name, sizeof blis.name, "blis %s", version());
    blis.record = (mtl__gemm){.name = blis.name, .run = run, .workspace = workspace};
    blis.loaded = true;
}

/* Written once, read only after that: pthread_once orders the two. */
const mtl__gemm *mtl__gemm_blis(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_blis);
    return blis.loaded ? &blis.record : NULL;
}

#else

const mtl__gemm *mtl__gemm_blis(void)
{
    return NULL;
}

#endif
