/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <string.h>

#include "ctx/context.h"

int32_t mtl_version(void)
{
    return MTL_VERSION_MAJOR * 10000 + MTL_VERSION_MINOR * 100 + MTL_VERSION_PATCH;
}

const char *mtl_version_string(void)
{
    return MTL_VERSION_STRING;
}

const char *mtl_status_name(mtl_status status)
{
    return mtl__status_name(status);
}

int32_t mtl_has(const char *feature)
{
    return feature && strcmp(feature, "blis") == 0 && mtl__gemm_blis() != NULL;
}

const char *mtl_cpu_level(const mtl_context *ctx)
{
    return mtl__cpu_name(ctx ? ctx->level : mtl__cpu_choose("auto"));
}

void mtl_free(void *p)
{
    mtl__buffer_free(p);
}

mtl_error *mtl_error_create(void)
{
    return mtl__alloc_zero(&mtl__allocator_default, sizeof(mtl_error));
}

void mtl_error_destroy(mtl_error *err)
{
    mtl__free(&mtl__allocator_default, err, sizeof *err);
}

mtl_status mtl_error_code(const mtl_error *err)
{
    return err ? err->code : MTL_OK;
}

const char *mtl_error_message(const mtl_error *err)
{
    return err ? err->message : "";
}

void mtl_error_clear(mtl_error *err)
{
    if (err)
        *err = (mtl_error){0};
}
