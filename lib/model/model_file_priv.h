/* SPDX-License-Identifier: MIT */
/* A model's file: model_file.c has the whole, spec_file.c the description, pipeline_file.c the rest. */
#ifndef MTL__MODEL_FILE_PRIV_H
#define MTL__MODEL_FILE_PRIV_H

#include "model/model.h"

/* The model's arrays under their names in a file; the names of targets' scaling are made here. */
typedef struct mtl__tensor_list {
    const mtl__allocator *al;
    mtl__tensor *tensor;
    char **made; /* [capacity]: names to free */
    char prefix[40];
    int64_t count, capacity;
    bool failed;
} mtl__tensor_list;

/* extra: room for so many more. Free the list whatever the result. */
mtl_status mtl__tensors_list(const mtl_model *m, int64_t extra, mtl__tensor_list *l, mtl_error *err);
void mtl__tensors_free(mtl__tensor_list *l);
/* Into a model of the file's description. */
mtl_status mtl__tensors_read(mtl_model *m, const mtl__safetensors *in, mtl_error *err);

/* A JSON text with its 0 at the end; members NULL = none. */
void mtl__spec_write(mtl__bytes *b, const mtl_spec *s, const mtl__members *members);
/* Without the members; what a setter refuses has the setter's status. */
mtl_status mtl__spec_read(mtl_context *ctx, mtl__json root, mtl_spec **out, mtl_error *err);

/* Whether the model was fitted and set, what is frozen, the calibration: a JSON text. */
void mtl__pipeline_write(mtl__bytes *b, const mtl_model *m);
mtl_status mtl__pipeline_read(mtl_model *m, mtl__json root, mtl_error *err);

#endif
