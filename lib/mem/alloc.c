/* SPDX-License-Identifier: MIT */
#include "mem/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large blocks may stand in huge pages: rows of a large matrix lie on a page each, more of them than
   the TLB holds, and products of 1024 x 1024 matrices took 5 % longer without. */
enum { HUGE_PAGE = 2 << 20 };

static void *default_alloc(size_t bytes, size_t align, void *user)
{
    void *p = NULL;
    bool large = bytes >= 2 * (size_t)HUGE_PAGE;
    (void)user;
    if (posix_memalign(&p, large ? HUGE_PAGE : align, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (large)
        madvise(p, bytes, MADV_HUGEPAGE); /* a wish: nothing is lost when it is not granted */
#endif
    return p;
}

static void default_free(void *p, size_t bytes, size_t align, void *user)
{
    (void)bytes, (void)align, (void)user;
    free(p);
}

const mtl__allocator mtl__allocator_default = {default_alloc, default_free, NULL};

static size_t served(int64_t bytes)
{
    return bytes > 0 ? (size_t)bytes : 1;
}

void *mtl__alloc(const mtl__allocator *al, int64_t bytes)
{
    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2)
        return NULL;
    return al->alloc(served(bytes), MTL__ALIGN, al->user);
}

void *mtl__alloc_zero(const mtl__allocator *al, int64_t bytes)
{
    void *p = mtl__alloc(al, bytes);
    if (p)
        memset(p, 0, served(bytes));
    return p;
}

void *mtl__alloc_array(const mtl__allocator *al, int64_t count, int64_t size)
{
    int64_t bytes;
    return mtl__mul_size(count, size, &bytes) ? mtl__alloc(al, bytes) : NULL;
}

void mtl__free(const mtl__allocator *al, void *p, int64_t bytes)
{
    if (p)
        al->free(p, served(bytes), MTL__ALIGN, al->user);
}

void *mtl__realloc(const mtl__allocator *al, void *p, int64_t old_bytes, int64_t new_bytes)
{
    void *q = mtl__alloc(al, new_bytes);
    if (!q)
        return NULL;
    if (p)
        memcpy(q, p, (size_t)mtl__min(old_bytes, new_bytes));
    mtl__free(al, p, old_bytes);
    return q;
}

char *mtl__strdup(const mtl__allocator *al, const char *s)
{
    int64_t bytes = (int64_t)strlen(s) + 1;
    char *copy = mtl__alloc(al, bytes);
    return copy ? memcpy(copy, s, (size_t)bytes) : NULL;
}

void mtl__strfree(const mtl__allocator *al, char *s)
{
    if (s)
        mtl__free(al, s, (int64_t)strlen(s) + 1);
}

/* A buffer is preceded by one aligned block that holds what its release needs. */
typedef struct buffer_head {
    mtl__allocator al;
    int64_t bytes;
} buffer_head;

_Static_assert(sizeof(buffer_head) <= MTL__ALIGN, "the head must keep the buffer aligned");

void *mtl__buffer_alloc(const mtl__allocator *al, int64_t bytes)
{
    int64_t total;
    if (!mtl__add_size(bytes, MTL__ALIGN, &total))
        return NULL;
    char *p = mtl__alloc(al, total);
    if (!p)
        return NULL;
    buffer_head head = {*al, total};
    memcpy(p, &head, sizeof head);
    return p + MTL__ALIGN;
}

void mtl__buffer_free(void *p)
{
    if (!p)
        return;
    buffer_head head;
    char *start = (char *)p - MTL__ALIGN;
    memcpy(&head, start, sizeof head);
    mtl__free(&head.al, start, head.bytes);
}

void mtl__bytes_init(mtl__bytes *b, const mtl__allocator *al)
{
    *b = (mtl__bytes){.al = al};
}

void mtl__bytes_free(mtl__bytes *b)
{
    mtl__free(b->al, b->p, b->capacity);
    mtl__bytes_init(b, b->al);
}

static bool reserve(mtl__bytes *b, int64_t more)
{
    int64_t need;
    if (b->failed || !mtl__add_size(b->size, more, &need) || need > INT64_MAX / 2) {
        b->failed = true;
        return false;
    }
    if (need <= b->capacity)
        return true;
    int64_t capacity = mtl__max(need, mtl__max(256, b->capacity * 2));
    char *p = mtl__realloc(b->al, b->p, b->capacity, capacity);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->capacity = capacity;
    return true;
}

void mtl__bytes_append(mtl__bytes *b, const void *p, int64_t size)
{
    if (size > 0 && reserve(b, size)) {
        memcpy(b->p + b->size, p, (size_t)size);
        b->size += size;
    }
}

void mtl__bytes_text(mtl__bytes *b, const char *s)
{
    mtl__bytes_append(b, s, (int64_t)strlen(s));
}

void mtl__bytes_format(mtl__bytes *b, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mtl__bytes_append(b, text, mtl__min(n, (int64_t)sizeof text - 1));
}
