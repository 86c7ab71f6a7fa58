/* SPDX-License-Identifier: MIT */
/* NumPy's .npy files, versions 1 to 3, of one or two dimensions; see docs/formats.md. */
#ifndef MTL__NPY_H
#define MTL__NPY_H

#include "io/file.h"

struct mtl__npy_type;

/* An array in memory, checked: all of its elements lie in the bytes given, and nothing behind. */
typedef struct mtl__npy {
    const struct mtl__npy_type *type;
    bool big_endian, fortran_order;
    int32_t rank;
    int64_t rows, cols; /* cols = 1 when rank = 1 */
    const char *data;   /* borrowed */
} mtl__npy;

/* MTL_ERR_FORMAT for what is malformed or not read: pickled objects, other types, other ranks. */
mtl_status mtl__npy_open(mtl__npy *in, const void *bytes, int64_t size, mtl_error *err);

/* No header reaches beyond so many bytes: mtl__npy_open looks at no others. */
#define MTL__NPY_HEAD 10016

int64_t mtl__npy_element_bytes(const mtl__npy *in);

/* out [rows, cols], rows ld floats apart. Integers and doubles are rounded to nearest. */
void mtl__npy_read(const mtl__npy *in, float *out, int64_t ld);

/* A float32 array, version 1, C order; rank 1 takes cols = 1. The file is replaced (io/file.h). */
mtl_status mtl__npy_write(const char *path, int32_t rank, int64_t rows, int64_t cols,
                          const float *data, int64_t ld, const mtl__allocator *al, mtl_error *err);

#endif
