/* SPDX-License-Identifier: MIT */
/* Rows of inputs with labels by task. Arrays are borrowed, or owned and shared by count; a subset
   is a list of row numbers over the same arrays. */
#ifndef MTL__DATASET_H
#define MTL__DATASET_H

#include <stdatomic.h>

#include "ctx/context.h"
#include "data/categories.h"
#include "mem/names.h"

/* A block of memory that several data sets use. */
typedef struct mtl__block {
    atomic_int refs;
    mtl__allocator al;
    int64_t bytes;
    void *p;
} mtl__block;

/* A matrix; row i of the data set is row (index ? index[i] : i) of it. */
typedef struct mtl__array {
    const float *p; /* NULL = not there */
    int64_t stride;
    const int64_t *index; /* NULL = as they stand */
    mtl__block *owner;    /* of p, NULL = borrowed */
    mtl__block *index_owner;
} mtl__array;

/* Sparse inputs, see csr.h; start NULL = they are not sparse. */
typedef struct mtl__csr {
    const int64_t *start;
    const int32_t *column;
    const float *value;
    mtl__block *owner; /* of all three, NULL = borrowed */
} mtl__csr;

typedef struct mtl__labels {
    char *task;
    int64_t cols;
    mtl__array y;
    mtl__array weight; /* one column; p = NULL: the data set's weights, or 1 */
    int32_t kind;      /* 0 = not stated */
    int64_t outputs;
    mtl__categories *classes; /* texts that the numbers stand for, in its one column, or NULL */
} mtl__labels;

typedef struct mtl__stream mtl__stream; /* request.h */

struct mtl_dataset {
    mtl_context *ctx;
    int64_t rows, inputs;
    mtl__array x;      /* of sparse inputs only the index */
    mtl__csr csr;
    mtl__array weight; /* for tasks without weights of their own */
    mtl__labels *labels;
    int64_t tasks, tasks_capacity;
    mtl__names names; /* of the tasks, by their numbers */
    const char **input_names; /* [inputs], or NULL */
    mtl__stream *stream; /* inputs are read from there, from row stream_first on, and x is empty */
    int64_t stream_first;
    mtl__categories *categories; /* of the inputs, or NULL */
};

static inline const float *mtl__array_row(const mtl__array *a, int64_t row)
{
    return a->p + (a->index ? a->index[row] : row) * a->stride;
}

/* Some rows of a data set: index[0 .. count), or first .. first + count where index is NULL. */
typedef struct mtl__rows {
    const int64_t *index;
    int64_t first, count;
} mtl__rows;

/* Copy rows of an array with `cols` columns to `to`, ld apart. */
void mtl__array_gather(const mtl__array *a, int64_t cols, mtl__rows rows, float *to, int64_t ld);
/* Ask for them, so that the gather does not wait for the memory. */
void mtl__array_prefetch(const mtl__array *a, int64_t cols, mtl__rows rows);
/* Where rows stand: row i at *base + (result ? result[i] : i) * a->stride. scratch [rows.count] is
   used for a subset only, and may be NULL where rows.index is. */
const int64_t *mtl__array_places(const mtl__array *a, mtl__rows rows, int64_t *scratch,
                                 const float **base);

/* Weights of a task: its own, the data set's, or NULL for 1. */
static inline const mtl__array *mtl__dataset_weight(const mtl_dataset *d, int64_t task)
{
    if (d->labels[task].weight.p)
        return &d->labels[task].weight;
    return d->weight.p ? &d->weight : NULL;
}

/* Has a row a label? */
bool mtl__labels_at(const mtl__labels *l, int64_t row);

/* Number of the task of that name, -1 when it has no labels. */
int64_t mtl__dataset_task(const mtl_dataset *d, const char *name);

mtl_status mtl__dataset_create(mtl_context *ctx, const float *x, int64_t rows, int64_t cols,
                               int64_t row_stride, mtl_dataset **out, mtl_error *err);
void mtl__dataset_destroy(mtl_dataset *d);
mtl_status mtl__dataset_copy(const mtl_dataset *d, mtl_dataset **out, mtl_error *err);
mtl_status mtl__dataset_set_labels(mtl_dataset *d, const char *task, int64_t cols, const float *y,
                                   int64_t stride, mtl_error *err);
/* Give d input names (copied), or other ones. names: [inputs]. */
mtl_status mtl__dataset_put_names(mtl_dataset *d, const char *const *names, mtl_error *err);
mtl_status mtl__dataset_set_kind(mtl_dataset *d, const char *task, int32_t kind, int64_t outputs,
                                 mtl_error *err);
mtl_status mtl__dataset_set_weights(mtl_dataset *d, const char *task, const float *weight,
                                    mtl_error *err);
mtl_status mtl__dataset_add_rows(mtl_dataset *d, const char *task, int64_t rows, const float *x,
                                 int64_t x_stride, int64_t cols, const float *y, int64_t y_stride,
                                 mtl_error *err);

/* Views that share the arrays of d. */
mtl_status mtl__dataset_subset(const mtl_dataset *d, int64_t count, const int64_t *rows,
                               mtl_dataset **out, mtl_error *err);
mtl_status mtl__dataset_range(const mtl_dataset *d, int64_t first, int64_t count, mtl_dataset **out,
                              mtl_error *err);
/* The same rows with a copy of the inputs in other columns: number column[j] of d under names[j], -1 =
   missing (NaN). what: whose rows, for errors; MTL_ERR_STATE for streamed and sparse ones. */
mtl_status mtl__dataset_select_columns(const mtl_dataset *d, const char *what, int64_t count,
                                       const int64_t *column, const char *const *names,
                                       mtl_dataset **out, mtl_error *err);
mtl_status mtl__dataset_concat(int64_t count, const mtl_dataset *const *parts, mtl_dataset **out,
                               mtl_error *err);

/* split.c. stratify: a task's number, or -1. */
mtl_status mtl__dataset_split(const mtl_dataset *d, int64_t stratify, double fraction,
                              uint64_t seed, mtl_dataset **first, mtl_dataset **second,
                              mtl_error *err);

/* What rows are split by: nothing; the classes of a task; groups, which stay whole, given by number
   [rows] or by a task's label. */
typedef struct mtl__split_by {
    int64_t task; /* -1 = none */
    const int64_t *groups;
    bool is_grouped;
} mtl__split_by;

typedef struct mtl__fold {
    int64_t count, number;
} mtl__fold;

/* fold.c */
mtl_status mtl__dataset_split_grouped(const mtl_dataset *d, const mtl__split_by *by,
                                      double fraction, uint64_t seed, mtl_dataset **first,
                                      mtl_dataset **second, mtl_error *err);
mtl_status mtl__dataset_kfold(const mtl_dataset *d, const mtl__split_by *by, mtl__fold fold,
                              uint64_t seed, mtl_dataset **train, mtl_dataset **test,
                              mtl_error *err);

/* request.c. window: rows in memory at a time, 0 = by their bytes. */
mtl_status mtl__dataset_create_stream(mtl_context *ctx, int64_t rows, int64_t cols, int64_t window,
                                      mtl_rows_cb read, void *user, mtl_dataset **out,
                                      mtl_error *err);
mtl_status mtl__dataset_open_npy(mtl_context *ctx, const char *path, int64_t window,
                                 mtl_dataset **out, mtl_error *err);
/* MTL_ERR_STATE for a data set whose inputs are streamed. what: who asks. */
mtl_status mtl__dataset_in_memory(const mtl_dataset *d, const char *what, mtl_error *err);
/* Rows of streamed inputs to hold in memory at a time; 0 = all are in memory. */
int64_t mtl__dataset_window(const mtl_dataset *d);
/* Streamed inputs of some rows to `to`. */
mtl_status mtl__dataset_read(const mtl_dataset *d, int64_t first, int64_t rows, float *to,
                             mtl_error *err);
/* All inputs in order, which are not sparse, in pieces where they are streamed: row i of a piece is row first + i. */
typedef void mtl__scan_fn(void *arg, const mtl__array *x, int64_t first, int64_t rows);
mtl_status mtl__dataset_scan(const mtl_dataset *d, mtl__scan_fn *fn, void *arg, mtl_error *err);

/* kind.c: what the labels of a task mean: as stated by set_kind, else read off them by the rule in
   mtl.h (mtl_dataset_set_kind). */
mtl_status mtl__dataset_kind(const mtl_dataset *d, int64_t task, int32_t *kind, int64_t *outputs,
                             mtl_error *err);

/* check.c: MTL_ERR_VALUE for an infinite input, naming row and column. */
mtl_status mtl__dataset_check_inputs(const mtl_dataset *d, mtl_error *err);
/* MTL_ERR_VALUE for a label that the kind does not allow, naming task, row and column;
   MTL_ERR_SHAPE when the columns do not fit; MTL_ERR_VALUE for a weight that is negative or not
   finite. */
mtl_status mtl__dataset_check_labels(const mtl_dataset *d, int64_t task, int32_t kind,
                                     int64_t outputs, mtl_error *err);

/* load.c, generate.c, make.c */
extern const mtl__option_group mtl__csv_options;
extern const mtl__option_group mtl__make_classification_options;
extern const mtl__option_group mtl__make_regression_options;
extern const mtl__option_group mtl__make_tasks_options;
/* like: a data set whose inputs and categories the file has to have, or NULL. */
mtl_status mtl__dataset_load_csv(mtl_context *ctx, const char *path, const mtl_options *o,
                                 const mtl_dataset *like, mtl_dataset **out, mtl_error *err);
mtl_status mtl__dataset_load_npy(mtl_context *ctx, const char *path, mtl_dataset **out,
                                 mtl_error *err);
mtl_status mtl__dataset_load_npy_labels(mtl_dataset *d, const char *task, const char *path,
                                        mtl_error *err);
mtl_status mtl__dataset_make_classification(mtl_context *ctx, const mtl_options *o,
                                            mtl_dataset **out, mtl_error *err);
/* make.c. coefficients [inputs, targets or tasks], count of them; or NULL. */
mtl_status mtl__dataset_make_regression(mtl_context *ctx, const mtl_options *o, int64_t count,
                                        float *coefficients, mtl_dataset **out, mtl_error *err);
mtl_status mtl__dataset_make_tasks(mtl_context *ctx, const mtl_options *o, int64_t count,
                                   float *coefficients, mtl_dataset **out, mtl_error *err);

#endif
