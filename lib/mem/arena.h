/* SPDX-License-Identifier: MIT */
/* One block, sized before the first step, from which a step takes all that it needs.
   Plan and take run the same code: with p = NULL an arena only counts. */
#ifndef MTL__ARENA_H
#define MTL__ARENA_H

#include "mem/alloc.h"

typedef struct mtl__arena {
    char *p; /* NULL while planning */
    int64_t used, capacity;
    bool overflow; /* a size did not fit into int64_t */
} mtl__arena;

/* count * size bytes, aligned to MTL__ALIGN; NULL while planning. */
void *mtl__arena_take(mtl__arena *a, int64_t count, int64_t size);

static inline float *mtl__arena_floats(mtl__arena *a, int64_t count)
{
    return mtl__arena_take(a, count, sizeof(float));
}

/* After planning: allocate a->used bytes, zeroed, and start again from the front. */
bool mtl__arena_reserve(mtl__arena *a, const mtl__allocator *al);
/* The same, not zeroed: for what is written before it is read. */
bool mtl__arena_reserve_raw(mtl__arena *a, const mtl__allocator *al);
void mtl__arena_release(mtl__arena *a, const mtl__allocator *al);

#endif
