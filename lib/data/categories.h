/* SPDX-License-Identifier: MIT */
/* The texts that the numbers of categorical input columns stand for. Data sets that come from each
   other share them by count; once a data set has them they do not change. */
#ifndef MTL__CATEGORIES_H
#define MTL__CATEGORIES_H

#include <stdatomic.h>

#include "mem/names.h"

typedef struct mtl__category {
    bool is_on;       /* the column is categorical */
    mtl__names names; /* by their numbers; owned */
} mtl__category;

typedef struct mtl__categories {
    atomic_int refs;
    mtl__allocator al;
    int64_t columns;
    mtl__category column[];
} mtl__categories;

/* No column is categorical yet. NULL when memory is short. */
mtl__categories *mtl__categories_create(const mtl__allocator *al, int64_t columns);
/* One user more or less; the last one frees them. NULL is fine. */
void mtl__categories_ref(mtl__categories *c);
void mtl__categories_unref(mtl__categories *c);

/* The next number of a column for a name that is not there yet; false when memory is short. */
bool mtl__categories_add(mtl__categories *c, int64_t column, const char *name);
/* The first column in which two of the same width differ, or -1. */
int64_t mtl__categories_differ(const mtl__categories *a, const mtl__categories *b);

#endif
