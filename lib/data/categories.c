/* SPDX-License-Identifier: MIT */
#include "data/categories.h"

#include <string.h>

mtl__categories *mtl__categories_create(const mtl__allocator *al, int64_t columns)
{
    int64_t bytes = (int64_t)sizeof(mtl__categories) + columns * (int64_t)sizeof(mtl__category);
    mtl__categories *c = mtl__alloc_zero(al, bytes);
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    c->al = *al;
    c->columns = columns;
    return c;
}

void mtl__categories_ref(mtl__categories *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
}

void mtl__categories_unref(mtl__categories *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    const mtl__allocator al = c->al;
    for (int64_t j = 0; j < c->columns; j++) {
        mtl__names *names = &c->column[j].names;
        for (int64_t i = 0; i < names->count; i++)
            mtl__strfree(&al, (char *)(uintptr_t)names->name[i]); /* they are ours */
        mtl__names_free(names, &al);
    }
    mtl__free(&al, c, (int64_t)sizeof *c + c->columns * (int64_t)sizeof *c->column);
}

bool mtl__categories_add(mtl__categories *c, int64_t column, const char *name)
{
    mtl__names *names = &c->column[column].names;
    char *copy = mtl__names_reserve(names, &c->al) ? mtl__strdup(&c->al, name) : NULL;
    if (copy)
        mtl__names_add(names, copy);
    return copy != NULL;
}

int64_t mtl__categories_differ(const mtl__categories *a, const mtl__categories *b)
{
    for (int64_t j = 0; a != b && j < a->columns; j++) {
        const mtl__category *p = &a->column[j], *q = &b->column[j];
        if (p->is_on != q->is_on || p->names.count != q->names.count)
            return j;
        for (int64_t i = 0; i < p->names.count; i++)
            if (strcmp(p->names.name[i], q->names.name[i]) != 0)
                return j;
    }
    return -1;
}
