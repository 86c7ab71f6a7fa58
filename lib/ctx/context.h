/* SPDX-License-Identifier: MIT */
/* The context: what every handle needs of its surroundings, counted by its users. */
#ifndef MTL__CONTEXT_H
#define MTL__CONTEXT_H

#include <stdatomic.h>

#include "base/error.h"
#include "gemm/gemm.h"
#include "mem/alloc.h"
#include "option/option.h"
#include "thread/pool.h"
#include "vec/vec.h"

struct mtl_context {
    atomic_int refs;
    atomic_bool in_use; /* something was made from it: the allocator is settled */
    mtl__allocator al;
    int threads;
    _Atomic(mtl__pool *) pool; /* made with the first handle; NULL for one thread */
    mtl__cpu_level level;
    const mtl__gemm *gemm;
    const mtl__vec *vec;
    mtl_log_cb log;
    void *log_user;
};

extern const mtl__option_group mtl__context_options;

mtl_status mtl__context_create(const mtl_options *o, mtl_context **out, mtl_error *err);

/* One more user of ctx, or of a new default context when ctx is NULL. */
mtl_status mtl__context_ref(mtl_context *ctx, mtl_context **out, mtl_error *err);
/* One user less; the last one frees it. NULL is fine. */
void mtl__context_unref(mtl_context *ctx);

enum { MTL__LOG_WARNING = 1, MTL__LOG_INFO = 2 };
void mtl__log(const mtl_context *ctx, int32_t level, const char *format, ...) MTL__PRINTF(3, 4);

#endif
