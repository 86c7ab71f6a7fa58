/* SPDX-License-Identifier: MIT */
/* What gates make of their experts, for the report: the mean weight of each over an epoch's rows. */
#ifndef MTL__GATES_H
#define MTL__GATES_H

#include "base/error.h"
#include "mem/arena.h"

struct mtl__trainer;

typedef struct mtl__gates {
    int64_t count;   /* logits of all gates, 0 = none are told of */
    double *sum;     /* [count + 1], the last one of rows */
    int64_t *series; /* [count] */
    float *part;     /* [count] */
} mtl__gates;

void mtl__gates_plan(struct mtl__trainer *t, mtl__arena *arena);
mtl_status mtl__gates_series(struct mtl__trainer *t, mtl_error *err);
/* Of the rows of a batch that has gone forward. */
void mtl__gates_note(struct mtl__trainer *t);
/* At the end of an epoch. */
void mtl__gates_push(struct mtl__trainer *t);

#endif
