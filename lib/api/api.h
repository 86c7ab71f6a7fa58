/* SPDX-License-Identifier: MIT */
/* What the files of exported functions share. Arguments are checked here and nowhere below. */
#ifndef MTL__API_H
#define MTL__API_H

#include "base/error.h"
#include "base/fpstate.h"

#define REQUIRE(pointer)                                                                           \
    do {                                                                                           \
        if (!(pointer))                                                                            \
            return mtl__fail_null(err, #pointer);                                                  \
    } while (0)

/* A matrix argument [rows, cols] with a stride. */
static inline mtl_status mtl__check_matrix(const char *name, const void *p, int64_t rows,
                                           int64_t cols, int64_t stride, mtl_error *err)
{
    int64_t size;
    if (rows < 0 || cols < 0)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: [%lld, %lld] has a negative size", name,
                        (long long)rows, (long long)cols);
    if (stride < cols)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: row stride %lld is less than its %lld columns",
                        name, (long long)stride, (long long)cols);
    if (!mtl__mul_size(rows, stride, &size) || size > INT64_MAX / (int64_t)sizeof(float))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld rows with stride %lld are too many", name,
                        (long long)rows, (long long)stride);
    if (!p && rows > 0 && cols > 0)
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s is NULL", name);
    return MTL_OK;
}

#endif
