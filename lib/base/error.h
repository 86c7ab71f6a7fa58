/* SPDX-License-Identifier: MIT */
/* The error handle: a code and a message with the figures. The first failure wins. */
#ifndef MTL__ERROR_H
#define MTL__ERROR_H

#include <mtl/mtl.h>

#include "base/base.h"

struct mtl_error {
    mtl_status code;
    char message[512];
};

/* Record code and message in err (may be NULL; kept if it already holds a failure); returns code.
   The format must not use %f or its kin, which follow the locale: use mtl__num() and %s. */
mtl_status mtl__fail(mtl_error *err, mtl_status code, const char *format, ...) MTL__PRINTF(3, 4);

/* MTL_ERR_INVALID: "NAME is NULL". */
mtl_status mtl__fail_null(mtl_error *err, const char *name);

const char *mtl__status_name(mtl_status code);

/* The comma tells the compiler, too, that what a failing call leaves unset is never read. */
#define MTL_FAIL(err, code, ...) (mtl__fail((err), (code), __VA_ARGS__), (code))

/* Run a call that returns a status; on failure keep it in `st` and go to `label`. */
#define MTL_TRY(st, call, label)                                                                   \
    do {                                                                                           \
        if (((st) = (call)) != MTL_OK)                                                             \
            goto label;                                                                            \
    } while (0)

#endif
