/* SPDX-License-Identifier: MIT */
/* An array that is taken fits into memory of the file's order of size, and can be read. */
#include "fuzz.h"

#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mtl__npy npy;
    mtl_error err = {0};
    mtl_status st = mtl__npy_open(&npy, data, (int64_t)size, &err);
    MUST(st == MTL_OK || st == MTL_ERR_FORMAT || st == MTL_ERR_VERSION);
    MUST((st == MTL_OK) == (err.message[0] == '\0'));
    if (st != MTL_OK)
        return 0;
    MUST(npy.rows > 0 && npy.cols > 0 && npy.rows <= (int64_t)size / npy.cols);
    float *out = malloc((size_t)(npy.rows * npy.cols) * sizeof *out);
    MUST(out != NULL);
    mtl__npy_read(&npy, out, npy.cols);
    free(out);
    return 0;
}
