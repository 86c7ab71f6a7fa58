/* SPDX-License-Identifier: MIT */
/* The columns that the rows of a sparse batch have. */
#ifndef MTL__TOUCHED_H
#define MTL__TOUCHED_H

#include "mem/arena.h"
#include "vec/sparse.h"

typedef struct mtl__touched {
    int32_t *column; /* ascending, each once */
    int64_t count;
    uint64_t *word, *group; /* a bit for each column; for each word */
    int64_t groups;
} mtl__touched;

void mtl__touched_plan(mtl__touched *t, int64_t columns, mtl__arena *arena);
void mtl__touched_collect(mtl__touched *t, int64_t rows, const mtl__sparse_row *row);

#endif
