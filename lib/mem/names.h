/* SPDX-License-Identifier: MIT */
/* Finds a name among many. Names have the numbers 0, 1, 2 ... in the order in which they were
   added. The strings belong to the caller and stay where they are. Zeroes are an empty index. */
#ifndef MTL__NAMES_H
#define MTL__NAMES_H

#include "mem/alloc.h"

typedef struct mtl__names {
    const char **name; /* [capacity / 2], in one block with slot */
    uint32_t *slot;    /* [capacity]: number + 1, 0 = free; linear probing, at most half full */
    int64_t count, capacity;
} mtl__names;

void mtl__names_free(mtl__names *n, const mtl__allocator *al);

/* Room for one more name; false when memory is short. */
bool mtl__names_reserve(mtl__names *n, const mtl__allocator *al);
/* Only with room; the name is not there yet. */
void mtl__names_add(mtl__names *n, const char *name);
/* Take the one that was added last out again. */
void mtl__names_drop_last(mtl__names *n);

/* Number of the name, or -1. */
int64_t mtl__names_find(const mtl__names *n, const char *name);
/* Slots looked at to find it, or to find that it is not there; 0 for an empty index. */
int64_t mtl__names_probes(const mtl__names *n, const char *name);

/* A copy of a list of names, in one block of memory, which is freed as a whole; NULL = no memory. */
const char **mtl__name_list_copy(const mtl__allocator *al, int64_t count, const char *const *names);
/* NULL is fine. */
void mtl__name_list_free(const mtl__allocator *al, int64_t count, const char **names);

#endif
