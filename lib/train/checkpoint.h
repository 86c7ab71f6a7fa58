/* SPDX-License-Identifier: MIT */
/* A run in a file: the model as any model file has it, and beside it what a run goes on from. A run
   that is taken up from it has the bits of one that was never stopped. */
#ifndef MTL__CHECKPOINT_H
#define MTL__CHECKPOINT_H

#include "train/trainer.h"

/* What to write, where and how often; path "" = nothing. */
typedef struct mtl__checkpoint {
    const char *path;
    int64_t every_steps;  /* 0 = not by steps */
    double every_seconds; /* 0 = not by time; both 0 = after each epoch */
    const mtl_options *options;
    const mtl_dataset *train, *valid; /* as given by the caller; valid may be NULL */
    uint32_t print[2];                /* of their contents */
    int64_t last_step;
    double last_time;
} mtl__checkpoint;

/* Set up from options (c->options), whose texts it borrows; and, when there is a path and the
   fingerprints were taken, hang it into a trainer. */
void mtl__checkpoint_init(mtl__checkpoint *c, const mtl_options *o, const mtl_dataset *train,
                          const mtl_dataset *valid);
void mtl__checkpoint_hook(mtl__checkpoint *c, mtl__trainer *t);

/* Can a run of this model be written? MTL_ERR_STATE when not. */
mtl_status mtl__checkpoint_check(const mtl_model *m, mtl_error *err);

/* Write one now, after the fingerprints of the data were taken, which costs a pass over them once. */
mtl_status mtl__checkpoint_prepare(mtl__checkpoint *c, mtl_error *err);
mtl_status mtl__checkpoint_write(const mtl__checkpoint *c, mtl__trainer *t, const char *path,
                                 mtl_error *err);

/* A checkpoint that was read: the model, the options of the run, and the state of its trainer. */
typedef struct mtl__resumption {
    mtl_model *model;
    mtl_options *options;
    const mtl__allocator *al;
    void *data;
    int64_t bytes;
    mtl__safetensors file;
    char *text;
    mtl__json root; /* of the text */
} mtl__resumption;

mtl_status mtl__checkpoint_read(mtl_context *ctx, const char *path, mtl__resumption *out,
                                mtl_error *err);
void mtl__resumption_free(mtl__resumption *r);

/* Are these the data of the run? MTL_ERR_DATA naming what differs. */
mtl_status mtl__resumption_check(const mtl__resumption *r, const mtl_dataset *train,
                                 const mtl_dataset *valid, mtl_error *err);

/* Put the state into a trainer made from the same options and data, after it was started. */
mtl_status mtl__resumption_restore(const mtl__resumption *r, mtl__trainer *t, mtl_error *err);

#endif
