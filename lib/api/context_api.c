/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include "ctx/context.h"

mtl_status mtl_context_create(const mtl_options *options, mtl_context **out, mtl_error *err)
{
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__context_options, err);
    return st == MTL_OK ? mtl__context_create(options, out, err) : st;
}

void mtl_context_destroy(mtl_context *ctx)
{
    mtl__context_unref(ctx);
}

mtl_status mtl_context_set_allocator(mtl_context *ctx, mtl_alloc_cb alloc_cb, mtl_free_cb free_cb,
                                     void *user, mtl_error *err)
{
    REQUIRE(ctx);
    if (!alloc_cb != !free_cb)
        return MTL_FAIL(err, MTL_ERR_INVALID, "alloc_cb and free_cb go together");
    if (atomic_load(&ctx->in_use))
        return MTL_FAIL(err, MTL_ERR_STATE, "something was already made from the context");
    ctx->al = alloc_cb ? (mtl__allocator){alloc_cb, free_cb, user} : mtl__allocator_default;
    return MTL_OK;
}

mtl_status mtl_context_set_log(mtl_context *ctx, mtl_log_cb cb, void *user, mtl_error *err)
{
    REQUIRE(ctx);
    ctx->log = cb;
    ctx->log_user = user;
    return MTL_OK;
}
