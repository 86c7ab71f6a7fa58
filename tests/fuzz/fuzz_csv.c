/* SPDX-License-Identifier: MIT */
/* The first byte chooses the dialect, the rest is the file. In what pieces the bytes come must make
   no difference to names, values and messages. */
#include "fuzz.h"

#include <string.h>

#include "io/csv.h"

static const mtl__allocator *const al = &mtl__allocator_default;

typedef struct text_source {
    const uint8_t *p;
    int64_t size, piece;
} text_source;

static int64_t read_text(void *user, void *p, int64_t size)
{
    text_source *t = user;
    int64_t n = mtl__min(mtl__min(size, t->piece), t->size);
    if (n > 0)
        memcpy(p, t->p, (size_t)n);
    t->p += n;
    t->size -= n;
    return n;
}

/* All that the reader tells, as bytes. */
static void run(const uint8_t *data, size_t size, const mtl__csv_dialect *dialect, int64_t piece,
                mtl__bytes *told)
{
    text_source text = {data, (int64_t)size, piece};
    mtl__csv *csv = NULL;
    mtl_error err = {0};
    mtl_status st =
        mtl__csv_open_source(&csv, (mtl__source){read_text, &text}, "x", dialect, al, &err);
    if (st == MTL_OK) {
        int64_t columns = mtl__csv_column_count(csv);
        float *row = malloc((size_t)columns * sizeof *row);
        bool more = true;
        MUST(row != NULL && columns > 0);
        for (int64_t i = 0; i < columns; i++)
            mtl__bytes_text(told, mtl__csv_column_name(csv, i));
        while ((st = mtl__csv_next(csv, row, &more, &err)) == MTL_OK && more)
            mtl__bytes_append(told, row, columns * (int64_t)sizeof *row);
        free(row);
        mtl__csv_close(csv);
    }
    MUST(st == MTL_OK || st == MTL_ERR_FORMAT);
    mtl__bytes_text(told, err.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mtl__csv_dialect dialects[] = {
        {',', false}, {';', false}, {'\t', true}, {'x', true}};
    if (size == 0)
        return 0;
    const mtl__csv_dialect *dialect = &dialects[data[0] % 4];
    mtl__bytes whole, pieces;
    mtl__bytes_init(&whole, al);
    mtl__bytes_init(&pieces, al);
    run(data + 1, size - 1, dialect, INT64_MAX, &whole);
    run(data + 1, size - 1, dialect, 1, &pieces);
    MUST(whole.size == pieces.size && !whole.failed && !pieces.failed);
    MUST(whole.size == 0 || memcmp(whole.p, pieces.p, (size_t)whole.size) == 0);
    mtl__bytes_free(&whole);
    mtl__bytes_free(&pieces);
    return 0;
}
