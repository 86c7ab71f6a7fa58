/* SPDX-License-Identifier: MIT */
#include "mem/arena.h"

#include <string.h>

void *mtl__arena_take(mtl__arena *a, int64_t count, int64_t size)
{
    int64_t bytes, end;
    if (!mtl__mul_size(count, size, &bytes) || !mtl__add_size(bytes, MTL__ALIGN - 1, &bytes) ||
        !mtl__add_size(a->used, bytes / MTL__ALIGN * MTL__ALIGN, &end)) {
        a->overflow = true;
        return NULL;
    }
    char *p = a->p ? a->p + a->used : NULL;
    a->used = end;
    assert(!a->p || a->used <= a->capacity);
    return p;
}

bool mtl__arena_reserve_raw(mtl__arena *a, const mtl__allocator *al)
{
    if (a->overflow)
        return false;
    a->p = mtl__alloc(al, a->used);
    a->capacity = a->used;
    a->used = 0;
    return a->p != NULL;
}

bool mtl__arena_reserve(mtl__arena *a, const mtl__allocator *al)
{
    if (!mtl__arena_reserve_raw(a, al))
        return false;
    memset(a->p, 0, (size_t)a->capacity);
    return true;
}

void mtl__arena_release(mtl__arena *a, const mtl__allocator *al)
{
    mtl__free(al, a->p, a->capacity);
    *a = (mtl__arena){0};
}
