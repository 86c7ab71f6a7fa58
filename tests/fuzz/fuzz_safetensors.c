/* SPDX-License-Identifier: MIT */
/* A file that is taken has all its tensors inside, and written again gives a file with the same
   tensors. The checksum, where there is one, is first made right: no fuzzer would find it. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "io/byteorder.h"
#include "io/crc32c.h"
#include "io/safetensors.h"

static const mtl__allocator *const al = &mtl__allocator_default;

static void repair(char *p, int64_t size)
{
    static const char key[] = "\"mtl.checksum\":\"";
    char digits[9], *at = memmem(p, (size_t)size, key, sizeof key - 1);
    if (!at || p + size - at < (int64_t)sizeof key + 8)
        return;
    at += sizeof key - 1;
    memset(at, '0', 8);
    snprintf(digits, sizeof digits, "%08x", mtl__crc32c(0, p, size));
    memcpy(at, digits, 8);
}

static char *check_tensor(const mtl__safetensors *in, int64_t i, const char *end, mtl__tensor *out)
{
    mtl__tensor_info t = mtl__safetensors_at(in, i), same;
    char *name = mtl__json_strdup(t.name, al);
    MUST(name && t.data >= in->data && t.count * 4 <= end - t.data);
    MUST(mtl__safetensors_find(in, name, &same) && same.data == t.data && same.count == t.count);
    *out = (mtl__tensor){.name = name, .rank = t.rank};
    memcpy(out->shape, t.shape, sizeof t.shape);
    out->ld = t.rank == 2 ? t.shape[1] : 0;
    out->data = mtl__alloc(al, t.count * 4);
    MUST(out->data != NULL);
    return name;
}

static void check_again(const mtl__safetensors *in, mtl__tensor *tensors)
{
    mtl__safetensors_out what = {tensors, in->tensor_count, NULL, 0};
    mtl__safetensors again;
    void *p;
    int64_t size;
    MUST(mtl__safetensors_read(in, tensors, in->tensor_count, NULL) == MTL_OK);
    MUST(mtl__safetensors_write_buffer(&what, al, &p, &size, NULL) == MTL_OK);
    MUST(mtl__safetensors_open(&again, p, size, true, al, NULL) == MTL_OK);
    MUST(again.tensor_count == in->tensor_count);
    for (int64_t i = 0; i < in->tensor_count; i++) {
        mtl__tensor_info a = mtl__safetensors_at(in, i), b = mtl__safetensors_at(&again, i);
        MUST(mtl__json_compare(a.name, b.name) == 0 && a.rank == b.rank && a.count == b.count);
        MUST(memcmp(a.data, b.data, (size_t)a.count * 4) == 0);
    }
    mtl__safetensors_close(&again);
    mtl__buffer_free(p);
}

static void check_file(const mtl__safetensors *in, const char *end)
{
    int64_t n = in->tensor_count;
    mtl__tensor *tensors = calloc((size_t)n + 1, sizeof *tensors);
    char **names = calloc((size_t)n + 1, sizeof *names);
    MUST(tensors && names);
    for (int64_t i = 0; i < n; i++)
        names[i] = check_tensor(in, i, end, &tensors[i]);
    check_again(in, tensors);
    for (int64_t i = 0; i < n; i++) {
        mtl__free(al, tensors[i].data, mtl__safetensors_at(in, i).count * 4);
        mtl__strfree(al, names[i]);
    }
    free(names);
    free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mtl__safetensors in;
    mtl_error err = {0};
    char *copy = malloc(size ? size : 1);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    repair(copy, (int64_t)size);
    mtl_status st = mtl__safetensors_open(&in, copy, (int64_t)size, false, al, &err);
    MUST(st == MTL_OK || st == MTL_ERR_FORMAT || st == MTL_ERR_CHECKSUM);
    MUST((st == MTL_OK) == (err.message[0] == '\0'));
    if (st == MTL_OK) {
        check_file(&in, copy + size);
        mtl__safetensors_close(&in);
    }
    free(copy);
    return 0;
}
