/* SPDX-License-Identifier: MIT */
#include "option/choice.h"

#include <string.h>

#include "base/text.h"

static const mtl__choice_row *row_at(const mtl__choice_table *t, int64_t i)
{
    return (const mtl__choice_row *)((const char *)t->rows + i * t->row_bytes);
}

static bool same(const char *name, const char *text, int64_t length)
{
    return (int64_t)strlen(name) == length && memcmp(name, text, (size_t)length) == 0;
}

/* Where c first stands in [text, end), or end. */
static const char *find(const char *text, const char *end, char c)
{
    const char *p = memchr(text, c, (size_t)(end - text));
    return p ? p : end;
}

int64_t mtl__text_index(const char *list, const char *text, int64_t length)
{
    const char *end = list + strlen(list);
    for (int64_t i = 0; list <= end; i++) {
        const char *stop = find(list, end, '|');
        if (stop - list == length && memcmp(list, text, (size_t)length) == 0)
            return i;
        list = stop + 1;
    }
    return -1;
}

const char *mtl__next_word(const char **list, int64_t *length)
{
    const char *word = *list + strspn(*list, " ");
    *length = (int64_t)strcspn(word, " ");
    *list = word + *length;
    return *length ? word : NULL;
}

static mtl_status unknown_name(const mtl__choice_table *t, const char *text, int64_t length,
                               mtl_error *err)
{
    const char *names[64];
    char name[64];
    int64_t count = mtl__min(t->count, MTL__COUNT_OF(names));
    for (int64_t i = 0; i < count; i++)
        names[i] = row_at(t, i)->name;
    int n = (int)mtl__min(length, (int64_t)sizeof name - 1);
    memcpy(name, text, (size_t)n);
    name[n] = 0;
    int64_t nearest = mtl__nearest(name, names, count);
    if (nearest >= 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "no %s is called \"%s\"; did you mean \"%s\"?", t->what,
                        name, names[nearest]);
    return MTL_FAIL(err, MTL_ERR_RANGE, "no %s is called \"%s\"; the first one is \"%s\"", t->what,
                    name, names[0]);
}

static mtl_status parse_number(const char *name, const mtl__choice_param *p, const char *text,
                               const char *end, double *value, mtl_error *err)
{
    double x;
    if (mtl__parse_f64(text, end, &x) != end || text == end)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: %s must be a number, not \"%.*s\"", name, p->key,
                        (int)(end - text), text);
    if (!(x >= p->low && x <= p->high))
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: %s must be in %s .. %s, not %s", name, p->key,
                        mtl__num(p->low).text, mtl__num(p->high).text, mtl__num(x).text);
    *value = x;
    return MTL_OK;
}

static mtl_status check_list(const char *name, const mtl__choice_param *p, const char *text,
                             const char *end, mtl_error *err)
{
    for (const char *stop; text <= end; text = stop + 1) {
        double unused;
        stop = find(text, end, *MTL__CHOICE_LIST);
        mtl_status st = parse_number(name, p, text, stop, &unused, err);
        if (st != MTL_OK)
            return st;
    }
    return MTL_OK;
}

bool mtl__choice_next(const char **list, double *value)
{
    const char *end = *list + strcspn(*list, "/,");
    const char *stop = mtl__parse_f64(*list, end, value);
    if (!stop)
        return false;
    *list = stop + (*stop == *MTL__CHOICE_LIST);
    return true;
}

static mtl_status parse_value(const char *name, const mtl__choice_param *p, const char *start,
                              const char *text, const char *end, double *value, mtl_error *err)
{
    if (p->texts && *p->texts == *MTL__CHOICE_LIST) {
        *value = (double)(text - start);
        return check_list(name, p, text, end, err);
    }
    if (p->texts && *p->texts == *MTL__CHOICE_TEXT) {
        *value = (double)(end - text);
        return MTL_OK;
    }
    if (p->texts && *p->texts) {
        int64_t i = mtl__text_index(p->texts, text, end - text);
        *value = (double)i;
        return i >= 0 ? MTL_OK
                      : MTL_FAIL(err, MTL_ERR_RANGE, "%s: %s must be one of %s, not \"%.*s\"", name,
                                 p->key, p->texts, (int)(end - text), text);
    }
    double x;
    mtl_status st = parse_number(name, p, text, end, &x, err);
    if (st != MTL_OK)
        return st;
    if (p->texts && x != (double)(int64_t)x)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: %s must be a whole number, not %s", name, p->key,
                        mtl__num(x).text);
    *value = x;
    return MTL_OK;
}

/* Where the parameter at text ends: at a comma, but for free text. */
static const char *param_end(const mtl__choice_row *row, const char *text, const char *end)
{
    const char *equals = find(text, end, '=');
    for (int i = 0; row->param && row->param[i].key; i++)
        if (row->param[i].texts && *row->param[i].texts == *MTL__CHOICE_TEXT &&
            same(row->param[i].key, text, equals - text))
            return end;
    return find(text, end, ',');
}

/* One "key=value" of [text, end) in the choice that starts at start. */
static mtl_status parse_param(const mtl__choice_row *row, const char *start, const char *text,
                              const char *end, double *values, mtl_error *err)
{
    const char *equals = find(text, end, '=');
    for (int i = 0; row->param && row->param[i].key; i++)
        if (equals < end && same(row->param[i].key, text, equals - text))
            return parse_value(row->name, &row->param[i], start, equals + 1, end, &values[i], err);
    return MTL_FAIL(err, MTL_ERR_RANGE, "%s has no parameter \"%.*s\"%s%s", row->name,
                    (int)(equals - text), text, row->param ? "; it has " : "",
                    row->param ? row->param[0].key : "");
}

mtl_status mtl__choice_parse(const mtl__choice_table *table, const char *text, int64_t length,
                             mtl__choice *out, mtl_error *err)
{
    const char *end = text + (length < 0 ? (int64_t)strlen(text) : length);
    const char *name_end = find(text, end, ':');
    const mtl__choice_row *row = NULL;
    for (int64_t i = 0; i < table->count && !row; i++)
        if (same(row_at(table, i)->name, text, name_end - text))
            row = row_at(table, i);
    if (!row)
        return unknown_name(table, text, name_end - text, err);

    mtl__choice c = {.row = row};
    for (int i = 0; row->param && row->param[i].key; i++)
        c.value[i] = row->param[i].initial;
    for (const char *p = name_end; p < end;) {
        const char *stop = param_end(row, p + 1, end);
        mtl_status st = parse_param(row, text, p + 1, stop, c.value, err);
        if (st != MTL_OK)
            return st;
        p = stop;
    }
    *out = c;
    return MTL_OK;
}
