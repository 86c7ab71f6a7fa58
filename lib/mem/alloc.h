/* SPDX-License-Identifier: MIT */
/* The only place that calls malloc. Sizes and alignments come back on free. */
#ifndef MTL__ALLOC_H
#define MTL__ALLOC_H

#include "base/base.h"

typedef struct mtl__allocator {
    void *(*alloc)(size_t bytes, size_t align, void *user);
    void (*free)(void *p, size_t bytes, size_t align, void *user);
    void *user;
} mtl__allocator;

/* aligned_alloc / free of the C library. */
extern const mtl__allocator mtl__allocator_default;

/* NULL on failure or when bytes is negative; bytes = 0 is served as 1. Aligned to MTL__ALIGN. */
void *mtl__alloc(const mtl__allocator *al, int64_t bytes);
void *mtl__alloc_zero(const mtl__allocator *al, int64_t bytes);
/* count * size checked. */
void *mtl__alloc_array(const mtl__allocator *al, int64_t count, int64_t size);
/* bytes as given to mtl__alloc (count * size); p may be NULL. */
void mtl__free(const mtl__allocator *al, void *p, int64_t bytes);
/* A new block with the old contents; the old one is freed on success and kept on failure (NULL). */
void *mtl__realloc(const mtl__allocator *al, void *p, int64_t old_bytes, int64_t new_bytes);

/* A copy of a string, freed by mtl__strfree. */
char *mtl__strdup(const mtl__allocator *al, const char *s);
void mtl__strfree(const mtl__allocator *al, char *s);

/* Blocks that leave the library: they remember their allocator and size (public mtl_free). */
void *mtl__buffer_alloc(const mtl__allocator *al, int64_t bytes);
void mtl__buffer_free(void *p);

/* A growing array of bytes; text is built in it and handed out by mtl__bytes_take(). */
typedef struct mtl__bytes {
    const mtl__allocator *al;
    char *p;
    int64_t size, capacity;
    bool failed; /* an allocation failed: all later appends do nothing */
} mtl__bytes;

void mtl__bytes_init(mtl__bytes *b, const mtl__allocator *al);
void mtl__bytes_free(mtl__bytes *b);
void mtl__bytes_append(mtl__bytes *b, const void *p, int64_t size);
void mtl__bytes_text(mtl__bytes *b, const char *s);
void mtl__bytes_format(mtl__bytes *b, const char *format, ...) MTL__PRINTF(2, 3);

#endif
