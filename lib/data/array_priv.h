/* SPDX-License-Identifier: MIT */
/* Arrays of data sets and the blocks behind them. */
#ifndef MTL__ARRAY_PRIV_H
#define MTL__ARRAY_PRIV_H

#include "data/dataset.h"

/* count * size bytes with one user, or NULL. */
mtl__block *mtl__block_create(const mtl__allocator *al, int64_t count, int64_t size);
/* One user more or less; the last one frees it. NULL is fine. */
void mtl__block_ref(mtl__block *b);
void mtl__block_unref(mtl__block *b);

/* One user more of the array's blocks; one less, and the array is empty. */
void mtl__array_ref(const mtl__array *a);
void mtl__array_release(mtl__array *a);

/* An array that owns [rows, cols], not filled; false when memory is short. */
bool mtl__array_alloc(const mtl__allocator *al, int64_t rows, int64_t cols, mtl__array *out);

/* The numbers of an array that was made by mtl__array_alloc and is not shared yet. */
static inline float *mtl__array_own(const mtl__array *a)
{
    assert(a->owner && a->p == a->owner->p);
    return a->owner->p;
}

/* Copy rows 0 .. rows-1 to `to` with stride cols. */
void mtl__array_copy(const mtl__array *a, int64_t rows, int64_t cols, float *to);
void mtl__array_fill(float *p, int64_t n, float value);

/* Rows, columns and stride of a caller's matrix: labels of a task, or inputs (NULL). */
mtl_status mtl__array_check(const char *task, const float *p, int64_t rows, int64_t cols,
                            int64_t stride, mtl_error *err);
/* MTL_ERR_VALUE for a weight that is negative or not finite. task: NULL = those of all tasks. */
mtl_status mtl__array_check_weights(const char *task, const mtl__array *w, int64_t rows,
                                    mtl_error *err);
/* MTL_ERR_SHAPE when a kind with so many outputs cannot stand in so many label columns. */
mtl_status mtl__array_check_kind(const char *task, int64_t cols, int32_t kind, int64_t outputs,
                                 mtl_error *err);

/* All arrays of a data set as one list: inputs, weights, then labels and weights of each task. */
enum { MTL__ARRAY_X = 0, MTL__ARRAY_WEIGHT = 1 };

static inline int64_t mtl__array_count(const mtl_dataset *d)
{
    return 2 + 2 * d->tasks;
}

static inline mtl__array *mtl__array_at(mtl_dataset *d, int64_t i)
{
    if (i < 2)
        return i == MTL__ARRAY_X ? &d->x : &d->weight;
    mtl__labels *l = &d->labels[(i - 2) / 2];
    return i % 2 ? &l->weight : &l->y;
}

static inline mtl__array mtl__array_of(const mtl_dataset *d, int64_t i)
{
    if (i < 2)
        return i == MTL__ARRAY_X ? d->x : d->weight;
    return i % 2 ? d->labels[(i - 2) / 2].weight : d->labels[(i - 2) / 2].y;
}

static inline int64_t mtl__array_cols(const mtl_dataset *d, int64_t i)
{
    if (i % 2)
        return 1;
    return i == MTL__ARRAY_X ? d->inputs : d->labels[(i - 2) / 2].cols;
}

/* A data set over x, without tasks. On success it has taken x's references over. */
mtl_status mtl__dataset_make(mtl_context *ctx, int64_t rows, int64_t inputs, const mtl__array *x,
                             mtl_dataset **out, mtl_error *err);
/* A data set that owns its inputs, which are not filled yet. */
mtl_status mtl__dataset_make_owner(mtl_context *ctx, int64_t rows, int64_t inputs,
                                   mtl_dataset **out, mtl_error *err);
/* Set or replace labels. On success the data set has taken y's references over. */
mtl_status mtl__dataset_put_labels(mtl_dataset *d, const char *task, int64_t cols,
                                   const mtl__array *y, mtl_error *err);
/* Room for one more task; nothing that can be seen changes. */
mtl_status mtl__dataset_reserve_task(mtl_dataset *d, mtl_error *err);
/* A data set with the same rows, tasks and arrays. */
mtl_status mtl__dataset_share(const mtl_dataset *d, mtl_dataset **out, mtl_error *err);
/* MTL_ERR_NAME for a task without labels, else its number. */
mtl_status mtl__dataset_find(const mtl_dataset *d, const char *task, int64_t *number,
                             mtl_error *err);

#endif
