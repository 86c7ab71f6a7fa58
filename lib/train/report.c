/* SPDX-License-Identifier: MIT */
#include "train/report.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "io/json.h"

mtl_status mtl__report_create(mtl_context *ctx, mtl_report **out, mtl_error *err)
{
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_report *r = mtl__alloc_zero(&ctx->al, sizeof *r);
    if (!r) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a report");
    }
    r->ctx = ctx;
    *out = r;
    return MTL_OK;
}

void mtl__report_destroy(mtl_report *r)
{
    if (!r)
        return;
    mtl_context *ctx = r->ctx;
    for (int64_t i = 0; i < r->count; i++) {
        mtl__entry *e = &r->entry[i];
        mtl__strfree(&ctx->al, e->name);
        mtl__strfree(&ctx->al, e->copy);
        mtl__free(&ctx->al, e->series, e->capacity * (int64_t)sizeof *e->series);
    }
    mtl__free(&ctx->al, r->entry, r->capacity * (int64_t)sizeof *r->entry);
    mtl__free(&ctx->al, r, sizeof *r);
    mtl__context_unref(ctx);
}

static char *join(const mtl__allocator *al, const char *a, const char *b, const char *c)
{
    const char *const part[] = {a, b, c};
    mtl__bytes name;
    mtl__bytes_init(&name, al);
    for (int i = 0; i < 3; i++) {
        if (!part[i])
            continue;
        if (name.size)
            mtl__bytes_text(&name, "/");
        mtl__bytes_text(&name, part[i]);
    }
    mtl__bytes_append(&name, "", 1);
    char *copy = name.failed ? NULL : mtl__strdup(al, name.p);
    mtl__bytes_free(&name);
    return copy;
}

static mtl_status no_memory(mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the report");
}

/* A new entry with its name set; NULL when memory is short. */
static mtl__entry *add(mtl_report *r, int32_t type, const char *a, const char *b, const char *c)
{
    const int64_t size = sizeof *r->entry;
    if (r->count == r->capacity) {
        int64_t more = r->capacity ? 2 * r->capacity : 16;
        void *p = mtl__realloc(&r->ctx->al, r->entry, r->capacity * size, more * size);
        if (!p)
            return NULL;
        r->entry = p;
        r->capacity = more;
    }
    char *name = join(&r->ctx->al, a, b, c);
    if (!name)
        return NULL;
    mtl__entry *e = &r->entry[r->count++];
    *e = (mtl__entry){.name = name, .type = type};
    return e;
}

mtl_status mtl__report_number(mtl_report *r, const char *a, const char *b, const char *c,
                              double value, mtl_error *err)
{
    mtl__entry *e = add(r, MTL_TYPE_F64, a, b, c);
    if (!e)
        return no_memory(err);
    e->number = value;
    return MTL_OK;
}

mtl_status mtl__report_text(mtl_report *r, const char *name, const char *text, mtl_error *err)
{
    return mtl__report_text_of(r, name, NULL, text, err);
}

mtl_status mtl__report_text_of(mtl_report *r, const char *a, const char *b, const char *text,
                               mtl_error *err)
{
    mtl__entry *e = add(r, MTL_TYPE_STR, a, b, NULL);
    if (!e)
        return no_memory(err);
    e->copy = mtl__strdup(&r->ctx->al, text);
    e->text = e->copy ? e->copy : "";
    return e->copy ? MTL_OK : no_memory(err);
}

mtl_status mtl__report_series(mtl_report *r, const char *a, const char *b, const char *c,
                              int64_t capacity, int64_t *index, mtl_error *err)
{
    mtl__entry *e = add(r, MTL_TYPE_SERIES, a, b, c);
    if (!e)
        return no_memory(err);
    e->series = mtl__alloc_array(&r->ctx->al, capacity, sizeof *e->series);
    if (!e->series)
        return no_memory(err);
    e->capacity = capacity;
    *index = r->count - 1;
    return MTL_OK;
}

void mtl__report_push(mtl_report *r, int64_t index, double value)
{
    mtl__entry *e = &r->entry[index];
    assert(e->count < e->capacity);
    e->series[e->count++] = value;
}

static int64_t index_of(const mtl_report *r, const char *name)
{
    for (int64_t i = 0; i < r->count; i++)
        if (strcmp(r->entry[i].name, name) == 0)
            return i;
    return -1;
}

const mtl__entry *mtl__report_find(const mtl_report *r, const char *name)
{
    int64_t i = index_of(r, name);
    return i < 0 ? NULL : &r->entry[i];
}

void mtl__report_set_number(mtl_report *r, const char *name, double value)
{
    r->entry[index_of(r, name)].number = value;
}

void mtl__report_set_text(mtl_report *r, const char *name, const char *text)
{
    r->entry[index_of(r, name)].text = text;
}

static void json_number(mtl__bytes *b, double x)
{
    char text[MTL__NUM_SIZE];
    if (!isfinite(x)) {
        mtl__bytes_text(b, "null");
        return;
    }
    mtl__bytes_append(b, text, mtl__format_f64(x, text));
}

static void json_entry(mtl__bytes *b, const mtl__entry *e)
{
    mtl__json_write_string(b, e->name);
    mtl__bytes_text(b, ": ");
    switch (e->type) {
    case MTL_TYPE_STR:
        mtl__json_write_string(b, e->text);
        break;
    case MTL_TYPE_F64:
        json_number(b, e->number);
        break;
    default:
        mtl__bytes_text(b, "[");
        for (int64_t i = 0; i < e->count; i++) {
            if (i)
                mtl__bytes_text(b, ", ");
            json_number(b, e->series[i]);
        }
        mtl__bytes_text(b, "]");
    }
}

mtl_status mtl__report_json(const mtl_report *r, char **text, mtl_error *err)
{
    mtl__bytes b;
    mtl__bytes_init(&b, &r->ctx->al);
    mtl__bytes_text(&b, "{");
    for (int64_t i = 0; i < r->count; i++) {
        mtl__bytes_text(&b, i ? ",\n " : "\n ");
        json_entry(&b, &r->entry[i]);
    }
    mtl__bytes_text(&b, "\n}\n");
    mtl__bytes_append(&b, "", 1);
    char *copy = b.failed ? NULL : mtl__buffer_alloc(&r->ctx->al, b.size);
    if (copy)
        memcpy(copy, b.p, (size_t)b.size);
    mtl__bytes_free(&b);
    if (!copy)
        return no_memory(err);
    *text = copy;
    return MTL_OK;
}
