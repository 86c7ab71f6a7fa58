/* SPDX-License-Identifier: MIT */
#include "data/array_priv.h"

#include <math.h>
#include <string.h>

mtl__block *mtl__block_create(const mtl__allocator *al, int64_t count, int64_t size)
{
    int64_t bytes;
    if (!mtl__mul_size(count, size, &bytes))
        return NULL;
    mtl__block *b = mtl__alloc(al, sizeof *b);
    void *p = mtl__alloc(al, bytes);
    if (!b || !p) {
        mtl__free(al, b, sizeof *b);
        mtl__free(al, p, bytes);
        return NULL;
    }
    atomic_init(&b->refs, 1);
    b->al = *al;
    b->bytes = bytes;
    b->p = p;
    return b;
}

void mtl__block_ref(mtl__block *b)
{
    if (b)
        atomic_fetch_add(&b->refs, 1);
}

void mtl__block_unref(mtl__block *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    mtl__allocator al = b->al;
    mtl__free(&al, b->p, b->bytes);
    mtl__free(&al, b, sizeof *b);
}

void mtl__array_ref(const mtl__array *a)
{
    mtl__block_ref(a->owner);
    mtl__block_ref(a->index_owner);
}

void mtl__array_release(mtl__array *a)
{
    mtl__block_unref(a->owner);
    mtl__block_unref(a->index_owner);
    *a = (mtl__array){0};
}

bool mtl__array_alloc(const mtl__allocator *al, int64_t rows, int64_t cols, mtl__array *out)
{
    int64_t count;
    mtl__block *b = NULL;
    if (mtl__mul_size(rows, cols, &count))
        b = mtl__block_create(al, count, sizeof(float));
    if (!b)
        return false;
    *out = (mtl__array){.p = b->p, .stride = cols, .owner = b};
    return true;
}

void mtl__array_copy(const mtl__array *a, int64_t rows, int64_t cols, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * cols, mtl__array_row(a, i), (size_t)cols * sizeof *to);
}

void mtl__array_gather(const mtl__array *a, int64_t cols, mtl__rows rows, float *to, int64_t ld)
{
    for (int64_t i = 0; i < rows.count; i++) {
        const float *from = mtl__array_row(a, rows.index ? rows.index[i] : rows.first + i);
        if (cols == 1)
            to[i * ld] = *from;
        else
            memcpy(to + i * ld, from, (size_t)cols * sizeof *to);
    }
}

void mtl__array_prefetch(const mtl__array *a, int64_t cols, mtl__rows rows)
{
    for (int64_t i = 0; i < rows.count; i++) {
        const float *from = mtl__array_row(a, rows.index ? rows.index[i] : rows.first + i);
        for (int64_t j = 0; j < cols; j += 16)
            __builtin_prefetch(from + j);
    }
}

const int64_t *mtl__array_places(const mtl__array *a, mtl__rows rows, int64_t *scratch,
                                 const float **base)
{
    *base = a->p;
    if (!rows.index) {
        if (!a->index)
            *base += rows.first * a->stride;
        return a->index ? a->index + rows.first : NULL;
    }
    if (!a->index)
        return rows.index;
    for (int64_t i = 0; i < rows.count; i++)
        scratch[i] = a->index[rows.index[i]];
    return scratch;
}

void mtl__array_fill(float *p, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = value;
}

bool mtl__labels_at(const mtl__labels *l, int64_t row)
{
    for (int64_t j = 0; j < l->cols; j++)
        if (!isnan(mtl__array_row(&l->y, row)[j]))
            return true;
    return false;
}
