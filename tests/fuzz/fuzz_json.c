/* SPDX-License-Identifier: MIT */
/* A text that is taken can be walked to the last value, each member is found by its key, and what
   the writer makes of a string reads back as the same string. */
#include "fuzz.h"

#include <string.h>

#include "io/json.h"

static const mtl__allocator *const al = &mtl__allocator_default;

static void check_string(mtl__json v)
{
    mtl__bytes b;
    mtl__json again;
    char *copy = mtl__json_strdup(v, al);
    MUST(copy && mtl__json_is(v, copy));
    MUST(mtl__utf8_is_valid(copy, (int64_t)strlen(copy)));
    mtl__bytes_init(&b, al);
    mtl__json_write_string(&b, copy);
    MUST(mtl__json_check(b.p, b.size, al, &again, NULL) == MTL_OK);
    MUST(mtl__json_compare(v, again) == 0);
    mtl__bytes_free(&b);
    mtl__strfree(al, copy);
}

static int64_t walk(mtl__json v, int depth)
{
    mtl__json_iter it = mtl__json_iterate(v);
    mtl__json key, value;
    int64_t i, n = 0;
    double x;
    bool b;
    MUST(depth <= MTL__JSON_DEPTH);
    switch (mtl__json_type_of(v)) {
    case MTL__JSON_STRING:
        check_string(v);
        break;
    case MTL__JSON_NUMBER:
        MUST(mtl__json_f64(v, &x));
        MUST(!mtl__json_i64(v, &i) || (double)i == x);
        break;
    case MTL__JSON_BOOL:
        MUST(mtl__json_bool(v, &b));
        break;
    case MTL__JSON_NONE:
        abort();
    default:
        break;
    }
    for (; mtl__json_next(&it, &key, &value); n++) {
        if (it.object && n < 50) { /* a search for each of very many would take n^2 */
            char *name = mtl__json_strdup(key, al);
            MUST(mtl__json_member(v, name).s == value.s);
            mtl__strfree(al, name);
        }
        walk(value, depth + 1);
    }
    MUST(n == mtl__json_count(v));
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mtl__json root;
    mtl_error err = {0};
    mtl_status st = mtl__json_check((const char *)data, (int64_t)size, al, &root, &err);
    MUST(st == MTL_OK || st == MTL_ERR_FORMAT);
    MUST((st == MTL_OK) == (err.message[0] == '\0'));
    if (st == MTL_OK)
        walk(root, 0);
    return 0;
}
