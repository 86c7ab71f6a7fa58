/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    mtl_status code;
    const char *name;
} names[] = {
    {MTL_OK, "MTL_OK"},
    {MTL_ERR_NOMEM, "MTL_ERR_NOMEM"},
    {MTL_ERR_INVALID, "MTL_ERR_INVALID"},
    {MTL_ERR_RANGE, "MTL_ERR_RANGE"},
    {MTL_ERR_SHAPE, "MTL_ERR_SHAPE"},
    {MTL_ERR_KEY, "MTL_ERR_KEY"},
    {MTL_ERR_TYPE, "MTL_ERR_TYPE"},
    {MTL_ERR_NAME, "MTL_ERR_NAME"},
    {MTL_ERR_VALUE, "MTL_ERR_VALUE"},
    {MTL_ERR_DATA, "MTL_ERR_DATA"},
    {MTL_ERR_BUSY, "MTL_ERR_BUSY"},
    {MTL_ERR_STATE, "MTL_ERR_STATE"},
    {MTL_ERR_IO, "MTL_ERR_IO"},
    {MTL_ERR_FORMAT, "MTL_ERR_FORMAT"},
    {MTL_ERR_CHECKSUM, "MTL_ERR_CHECKSUM"},
    {MTL_ERR_VERSION, "MTL_ERR_VERSION"},
    {MTL_ERR_DIVERGED, "MTL_ERR_DIVERGED"},
};

const char *mtl__status_name(mtl_status code)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++)
        if (names[i].code == code)
            return names[i].name;
    return "unknown status";
}

mtl_status mtl__fail(mtl_error *err, mtl_status code, const char *format, ...)
{
    if (!err || err->code != MTL_OK)
        return code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->code = code;
    return code;
}

mtl_status mtl__fail_null(mtl_error *err, const char *name)
{
    return MTL_FAIL(err, MTL_ERR_INVALID, "%s is NULL", name);
}
