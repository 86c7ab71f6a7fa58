/* SPDX-License-Identifier: MIT */
/* Which label columns of a data set belong to which tasks of a model. */
#ifndef MTL__BINDING_H
#define MTL__BINDING_H

#include "model/model.h"

typedef struct mtl__binding {
    const mtl_dataset *data;
    int64_t *label; /* [tasks of the model]: number of the labels in data, -1 = none */
    int64_t tasks;
    const mtl__allocator *al;
} mtl__binding;

/* Checks columns, inputs, labels and weights. MTL_ERR_DATA when the data set has no rows or labels of
   no task. `what` names the data set in messages: "train", "valid", ... */
mtl_status mtl__binding_create(const mtl_model *m, const mtl_dataset *data, const char *what,
                               mtl__binding *out, mtl_error *err);
void mtl__binding_free(mtl__binding *b);

/* Inputs of some rows, scaled, to x [rows, inputs]. scratch: see mtl__array_places. */
void mtl__binding_inputs(const mtl__binding *b, const mtl_model *m, mtl__rows rows,
                         int64_t *scratch, float *x);

#endif
