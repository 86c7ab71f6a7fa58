/* SPDX-License-Identifier: MIT */
#include "ctx/context.h"

#include <stdarg.h>
#include <stdio.h>

enum { GEMM_AUTO, GEMM_NATIVE, GEMM_BLIS };

static const mtl__option table[] = {
    MTL__OPTION_I64("threads", 0, 0, 1024, "threads for large work; 0 = one per CPU"),
    MTL__OPTION_STR("cpu", "auto", "auto|c|neon|avx2|avx512", NULL,
                    "highest instruction set to use; the CPU's own limit holds all the same"),
    MTL__OPTION_STR("gemm", "auto", "auto|native|blis", NULL,
                    "matrix product: auto = native; blis gives BLIS's own bits"),
};

const mtl__option_group mtl__context_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_CONTEXT, "context", table, false);

mtl_status mtl__context_create(const mtl_options *o, mtl_context **out, mtl_error *err)
{
    const mtl__option_group *g = &mtl__context_options;
    mtl_context *ctx = mtl__alloc_zero(&mtl__allocator_default, sizeof *ctx);
    if (!ctx)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a context");
    atomic_init(&ctx->refs, 1);
    ctx->al = mtl__allocator_default;
    ctx->threads = (int)mtl__option_i64(o, g, "threads");
    if (ctx->threads == 0)
        ctx->threads = mtl__cpu_count();
    ctx->level = mtl__cpu_choose(mtl__option_str(o, g, "cpu"));
    ctx->vec = mtl__vec_table(ctx->level);
    bool blis = mtl__option_index(o, g, "gemm") == GEMM_BLIS;
    ctx->gemm = blis ? mtl__gemm_blis() : mtl__gemm_native(ctx->level);
    if (!ctx->gemm) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_INVALID, "option \"gemm\" is blis, which is not there");
    }
    *out = ctx;
    return MTL_OK;
}

/* The pool is made here, not in create, since it must come from the allocator set in between. */
static mtl_status ensure_pool(mtl_context *ctx, mtl_error *err)
{
    if (ctx->threads <= 1 || atomic_load(&ctx->pool))
        return MTL_OK;
    mtl__pool *pool = mtl__pool_create(&ctx->al, ctx->threads), *none = NULL;
    if (!pool)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a pool of %d threads", ctx->threads);
    if (!atomic_compare_exchange_strong(&ctx->pool, &none, pool))
        mtl__pool_destroy(pool); /* another thread was first */
    return MTL_OK;
}

mtl_status mtl__context_ref(mtl_context *ctx, mtl_context **out, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (ctx)
        atomic_fetch_add(&ctx->refs, 1);
    else
        st = mtl__context_create(NULL, &ctx, err);
    if (st != MTL_OK)
        return st;
    atomic_store(&ctx->in_use, true);
    st = ensure_pool(ctx, err);
    if (st == MTL_OK)
        *out = ctx;
    else
        mtl__context_unref(ctx);
    return st;
}

void mtl__context_unref(mtl_context *ctx)
{
    if (!ctx || atomic_fetch_sub(&ctx->refs, 1) != 1)
        return;
    mtl__pool_destroy(atomic_load(&ctx->pool));
    mtl__free(&mtl__allocator_default, ctx, sizeof *ctx);
}

void mtl__log(const mtl_context *ctx, int32_t level, const char *format, ...)
{
    char text[512];
    if (!ctx->log)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctx->log(level, text, ctx->log_user);
}
