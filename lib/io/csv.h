/* SPDX-License-Identifier: MIT */
/* Tables of numbers as text, read row by row whatever their size; the dialect is in
   docs/formats.md. Every error is MTL_ERR_FORMAT (or MTL_ERR_IO) and names the file, the line, the
   row of data, the column, and shows what was found. */
#ifndef MTL__CSV_H
#define MTL__CSV_H

#include "io/file.h"

typedef struct mtl__csv_dialect {
    char separator; /* 0 = ',' */
    bool no_quotes; /* a quote is a character like any other */
} mtl__csv_dialect;

typedef struct mtl__csv mtl__csv;

/* Open and read the header line. dialect may be NULL. */
mtl_status mtl__csv_open(mtl__csv **out, const char *path, const mtl__csv_dialect *dialect,
                         const mtl__allocator *al, mtl_error *err);
/* The same from any source of bytes; `name` stands for the path in messages. */
mtl_status mtl__csv_open_source(mtl__csv **out, mtl__source source, const char *name,
                                const mtl__csv_dialect *dialect, const mtl__allocator *al,
                                mtl_error *err);
/* csv may be NULL. */
void mtl__csv_close(mtl__csv *csv);

int64_t mtl__csv_column_count(const mtl__csv *csv);
/* UTF-8; no two are equal. */
const char *mtl__csv_column_name(const mtl__csv *csv, int64_t column);

/* Which columns mtl__csv_next() gives, and in which order; the others may hold any text. At first
   all in the order of the file. A column may be named once. MTL_ERR_RANGE, MTL_ERR_NAME. */
mtl_status mtl__csv_select(mtl__csv *csv, const int64_t *columns, int64_t count, mtl_error *err);

/* Texts instead of numbers; everything by column of the file. */
typedef struct mtl__csv_texts {
    const bool *is_text; /* [columns] cells that are not missing go to take(), without outer blanks */
    mtl_status (*take)(void *user, int64_t column, const char *text, float *value, mtl_error *err);
    void *user;
    bool *found; /* NULL, or [columns]: a cell that is no number sets it and is missing, no failure */
} mtl__csv_texts;

void mtl__csv_set_texts(mtl__csv *csv, const mtl__csv_texts *texts);

/* The next row: values [selected columns], NaN where the cell is empty, NA, NaN or null. *more is
   false, and values are not written, at the end. After a failure the reader is of no more use. */
mtl_status mtl__csv_next(mtl__csv *csv, float *values, bool *more, mtl_error *err);

/* Rows given so far. */
int64_t mtl__csv_row(const mtl__csv *csv);

#endif
