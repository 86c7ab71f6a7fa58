/* SPDX-License-Identifier: MIT */
/* What a run found, by name: numbers, series and texts. */
#ifndef MTL__REPORT_H
#define MTL__REPORT_H

#include "ctx/context.h"

typedef struct mtl__entry {
    char *name;
    int32_t type; /* MTL_TYPE_F64, _STR, _SERIES */
    double number;
    const char *text;
    char *copy; /* of text, when it is the report's own */
    double *series;
    int64_t count, capacity;
} mtl__entry;

struct mtl_report {
    mtl_context *ctx;
    mtl__entry *entry;
    int64_t count, capacity;
};

mtl_status mtl__report_create(mtl_context *ctx, mtl_report **out, mtl_error *err);
void mtl__report_destroy(mtl_report *r);

/* Names are joined from up to three parts with '/'; NULL parts are left out. */
mtl_status mtl__report_number(mtl_report *r, const char *a, const char *b, const char *c,
                              double value, mtl_error *err);
mtl_status mtl__report_text(mtl_report *r, const char *name, const char *text, mtl_error *err);
mtl_status mtl__report_text_of(mtl_report *r, const char *a, const char *b, const char *text,
                               mtl_error *err);
/* Reserve a series now, so that mtl__report_push needs no memory; *index = its entry. */
mtl_status mtl__report_series(mtl_report *r, const char *a, const char *b, const char *c,
                              int64_t capacity, int64_t *index, mtl_error *err);
void mtl__report_push(mtl_report *r, int64_t index, double value);
/* Fill in, without memory, what was reported before; the text must be a constant of the library. */
void mtl__report_set_number(mtl_report *r, const char *name, double value);
void mtl__report_set_text(mtl_report *r, const char *name, const char *text);

const mtl__entry *mtl__report_find(const mtl_report *r, const char *name);
mtl_status mtl__report_json(const mtl_report *r, char **text, mtl_error *err);

#endif
