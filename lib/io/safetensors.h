/* SPDX-License-Identifier: MIT */
/* Named float32 tensors and strings in one file, in the safetensors format that many programs read;
   docs/formats.md says what is ours in it, first of all the checksum over the whole file. Knows no
   model: what the names and strings mean is for the caller. */
#ifndef MTL__SAFETENSORS_H
#define MTL__SAFETENSORS_H

#include "io/file.h"
#include "io/json.h"

enum { MTL__TENSOR_RANK = 4 };

/* A tensor in memory, row-major. Of rank 2 it may be a slice of the columns of a larger matrix: its
   rows then lie ld >= shape[1] floats apart. For other ranks ld is not looked at. */
typedef struct mtl__tensor {
    const char *name;
    int32_t rank;
    int64_t shape[MTL__TENSOR_RANK];
    float *data;
    int64_t ld;
} mtl__tensor;

typedef struct mtl__text_pair {
    const char *key, *value;
} mtl__text_pair;

/* ---- writing ---- */

/* What goes into one file. The checksum is added to the texts. */
typedef struct mtl__safetensors_out {
    const mtl__tensor *tensors;
    int64_t tensor_count;
    const mtl__text_pair *texts;
    int64_t text_count;
} mtl__safetensors_out;

/* Replace a file (io/file.h). MTL_ERR_FORMAT when a name occurs twice or is no UTF-8. */
mtl_status mtl__safetensors_write(const mtl__safetensors_out *what, const char *path,
                                  const mtl__allocator *al, mtl_error *err);
/* The same bytes in memory, for mtl__buffer_free(). */
mtl_status mtl__safetensors_write_buffer(const mtl__safetensors_out *what, const mtl__allocator *al,
                                         void **buffer, int64_t *size, mtl_error *err);

/* ---- reading ---- */

/* A file in memory, checked as a whole: every tensor lies inside it and none over another. The
   bytes are borrowed until mtl__safetensors_close(). */
typedef struct mtl__safetensors {
    const mtl__allocator *al;
    const char *data; /* where the tensors start */
    mtl__json header, texts;
    uint32_t *names; /* offsets of the tensors' names in the header, sorted by name */
    int64_t tensor_count;
} mtl__safetensors;

/* need_checksum: a file without one is refused; a wrong one always is (MTL_ERR_CHECKSUM). On
   failure there is nothing to close. Memory: at most 20 bytes per tensor, less than its entry. */
mtl_status mtl__safetensors_open(mtl__safetensors *in, const void *bytes, int64_t size,
                                 bool need_checksum, const mtl__allocator *al, mtl_error *err);
void mtl__safetensors_close(mtl__safetensors *in);

/* A string by key; none when there is no such key. */
mtl__json mtl__safetensors_text(const mtl__safetensors *in, const char *key);

/* A tensor in the file: little-endian floats at `data`, which need not be aligned. */
typedef struct mtl__tensor_info {
    mtl__json name;
    int32_t rank;
    int64_t shape[MTL__TENSOR_RANK], count;
    const char *data;
} mtl__tensor_info;

/* Number i in the order of the names. */
mtl__tensor_info mtl__safetensors_at(const mtl__safetensors *in, int64_t i);
bool mtl__safetensors_find(const mtl__safetensors *in, const char *name, mtl__tensor_info *out);

/* Fill tensors (with their slices) by name. All or nothing: MTL_ERR_FORMAT when one is not in the
   file or has another shape there. */
mtl_status mtl__safetensors_read(const mtl__safetensors *in, const mtl__tensor *tensors,
                                 int64_t count, mtl_error *err);

#endif
