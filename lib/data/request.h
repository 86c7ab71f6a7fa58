/* SPDX-License-Identifier: MIT */
/* Inputs that are read on request, by rows: those of a data set larger than memory. */
#ifndef MTL__REQUEST_H
#define MTL__REQUEST_H

#include "data/dataset.h"

/* Shared by count between data sets. */
struct mtl__stream {
    atomic_int refs;
    mtl__allocator al;
    int64_t cols, window; /* rows in memory at a time */
    mtl_rows_cb read;
    void *user;
    void (*end)(mtl__stream *s); /* NULL, or called with the last one's end */
};

/* A data set over a stream that was made with one reference, which is the data set's on success. */
mtl_status mtl__dataset_make_stream(mtl_context *ctx, int64_t rows, mtl__stream *s,
                                    mtl_dataset **out, mtl_error *err);
void mtl__stream_ref(mtl__stream *s);
void mtl__stream_unref(mtl__stream *s);

#endif
