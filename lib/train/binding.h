/* SPDX-License-Identifier: MIT */
/* Which label columns of a data set belong to which tasks of a model. */
#ifndef MTL__BINDING_H
#define MTL__BINDING_H

#include "model/model.h"

/* Rows of streamed inputs that are in memory. The first failure to read stays. */
typedef struct mtl__window {
    int64_t first, count, capacity;
    float *x; /* [capacity, inputs] */
    mtl_error why;
} mtl__window;

typedef struct mtl__binding {
    const mtl_dataset *data;
    int64_t *label; /* [tasks of the model]: number of the labels in data, -1 = none */
    int64_t tasks;
    mtl__window *window; /* NULL = all inputs are in memory */
    float *ready;        /* [rows, inputs], scaled; NULL = they are when they are asked for */
    int64_t ready_bytes;
    const mtl__allocator *al;
} mtl__binding;

/* Checks columns, inputs, labels and weights. MTL_ERR_DATA when the data set has no rows or labels of
   no task. `what` names the data set in messages: "train", "valid", ... */
mtl_status mtl__binding_create(const mtl_model *m, const mtl_dataset *data, const char *what,
                               mtl__binding *out, mtl_error *err);
void mtl__binding_free(mtl__binding *b);

/* The same, but that the data set need not have a label. */
mtl_status mtl__binding_create_bare(const mtl_model *m, const mtl_dataset *data, const char *what,
                                    mtl__binding *out, mtl_error *err);

/* Of the tasks that `of` has too alone; labels of the others are not looked at. NULL = all. */
mtl_status mtl__binding_create_of(const mtl_model *m, const mtl_spec *of, const mtl_dataset *data,
                                  const char *what, mtl__binding *out, mtl_error *err);

/* Scale all inputs now, for good, where it takes long and they are in memory: those that are told by
   ranks. Without memory for that nothing is done, and all comes out the same. */
void mtl__binding_make_ready(mtl__binding *b, const mtl_model *m);

/* Rows that a window on the data set holds; all of them where the inputs are in memory. */
int64_t mtl__binding_window(const mtl_dataset *d);

/* Streamed inputs only: have rows first .. first + count in memory, at most the window's capacity,
   which is a batch of the judge at least. */
void mtl__binding_load(const mtl__binding *b, int64_t first, int64_t count);
/* Whether all reading went well so far. */
mtl_status mtl__binding_status(const mtl__binding *b, mtl_error *err);

/* Inputs of some rows, which are in memory, scaled, to x [rows, inputs]. scratch: see mtl__array_places;
   with a window as well where rows.index is given. */
void mtl__binding_inputs(const mtl__binding *b, const mtl_model *m, mtl__rows rows,
                         int64_t *scratch, float *x);
/* Of sparse inputs the rows as they are. */
bool mtl__binding_is_sparse(const mtl__binding *b);
void mtl__binding_sparse(const mtl__binding *b, mtl__rows rows, mtl__sparse_row *to);

#endif
