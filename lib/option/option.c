/* SPDX-License-Identifier: MIT */
#include "option/option.h"

#include <string.h>

#include "base/text.h"

/* Options belong to no context: they come from the C library. */
static const mtl__allocator *const al = &mtl__allocator_default;

mtl_options *mtl__options_create(const mtl__option_group *group)
{
    mtl_options *o = mtl__alloc_zero(al, sizeof *o);
    if (!o)
        return NULL;
    o->group = group;
    o->value = mtl__alloc_zero(al, group->count * (int64_t)sizeof *o->value);
    if (!o->value) {
        mtl__options_destroy(o);
        return NULL;
    }
    for (int64_t i = 0; i < group->count; i++)
        o->value[i].number = group->options[i].initial;
    return o;
}

void mtl__options_destroy(mtl_options *o)
{
    if (!o)
        return;
    for (int64_t i = 0; o->value && i < o->group->count; i++)
        mtl__strfree(al, o->value[i].text);
    mtl__free(al, o->value, o->group->count * (int64_t)sizeof *o->value);
    mtl__free(al, o, sizeof *o);
}

mtl_status mtl__options_copy(const mtl_options *o, const mtl__option_group *group, mtl_options **out,
                             mtl_error *err)
{
    mtl_options *copy = mtl__options_create(group);
    bool fine = copy != NULL;
    for (int64_t i = 0; fine && o && i < group->count; i++) {
        copy->value[i].number = o->value[i].number;
        copy->value[i].is_set = o->value[i].is_set;
        if (o->value[i].text)
            fine = (copy->value[i].text = mtl__strdup(al, o->value[i].text)) != NULL;
    }
    if (!fine) {
        mtl__options_destroy(copy);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a copy of options");
    }
    copy->progress = o ? o->progress : NULL;
    copy->progress_user = o ? o->progress_user : NULL;
    *out = copy;
    return MTL_OK;
}

static int64_t index_of(const mtl__option_group *group, const char *key)
{
    for (int64_t i = 0; i < group->count; i++)
        if (strcmp(group->options[i].key, key) == 0)
            return i;
    return -1;
}

mtl_status mtl__option_find(const mtl__option_group *group, const char *key, int64_t *index,
                            mtl_error *err)
{
    const char *keys[64];
    int64_t i = index_of(group, key);
    if (i >= 0) {
        *index = i;
        return MTL_OK;
    }
    int64_t count = mtl__min(group->count, MTL__COUNT_OF(keys));
    for (i = 0; i < count; i++)
        keys[i] = group->options[i].key;
    int64_t nearest = mtl__nearest(key, keys, count);
    if (nearest >= 0)
        return MTL_FAIL(err, MTL_ERR_KEY, "%s options have no key \"%.64s\"; did you mean \"%s\"?",
                        group->name, key, keys[nearest]);
    return MTL_FAIL(err, MTL_ERR_KEY, "%s options have no key \"%.64s\"", group->name, key);
}

static mtl_status expect_type(const mtl__option *d, int32_t type, mtl_error *err)
{
    static const char *const names[] = {"", "a whole number", "a number", "a text"};
    if (d->type == type)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_TYPE, "option \"%s\" is %s, not %s", d->key, names[d->type],
                    names[type]);
}

mtl_status mtl__option_check_number(const mtl__option *d, double value, bool whole, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (d->type == MTL_TYPE_STR || !whole)
        st = expect_type(d, whole ? MTL_TYPE_I64 : MTL_TYPE_F64, err);
    if (st != MTL_OK)
        return st;
    if (value >= d->low && value <= d->high)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_RANGE, "option \"%s\" must be in %s, not %s", d->key, d->range,
                    mtl__num(value).text);
}

static mtl_status check_list(const mtl__option *d, const char *list, mtl_error *err)
{
    mtl__choice unused;
    mtl_status st = MTL_OK;
    int64_t length;
    const char *word = mtl__next_word(&list, &length);
    if (!word)
        return MTL_FAIL(err, MTL_ERR_RANGE, "option \"%s\" is empty", d->key);
    for (; st == MTL_OK && word; word = mtl__next_word(&list, &length))
        st = mtl__choice_parse(d->choices, word, length, &unused, err);
    return st;
}

mtl_status mtl__option_check_text(const mtl__option *d, const char *value, mtl_error *err)
{
    mtl__choice unused;
    mtl_status st = expect_type(d, MTL_TYPE_STR, err);
    if (st != MTL_OK)
        return st;
    if (d->is_list)
        return check_list(d, value, err);
    if (d->choices)
        return mtl__choice_parse(d->choices, value, -1, &unused, err);
    if (*d->range && mtl__text_index(d->range, value, (int64_t)strlen(value)) < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "option \"%s\" must be one of %s, not \"%.64s\"",
                        d->key, d->range, value);
    return MTL_OK;
}

mtl_status mtl__options_set_number(mtl_options *o, const char *key, double value, bool whole,
                                   mtl_error *err)
{
    int64_t i;
    mtl_status st = mtl__option_find(o->group, key, &i, err);
    if (st == MTL_OK)
        st = mtl__option_check_number(&o->group->options[i], value, whole, err);
    if (st == MTL_OK) {
        o->value[i].number = value;
        o->value[i].is_set = true;
    }
    return st;
}

mtl_status mtl__options_set_text(mtl_options *o, const char *key, const char *value, mtl_error *err)
{
    int64_t i;
    mtl_status st = mtl__option_find(o->group, key, &i, err);
    if (st == MTL_OK)
        st = mtl__option_check_text(&o->group->options[i], value, err);
    if (st != MTL_OK)
        return st;
    char *copy = mtl__strdup(al, value);
    if (!copy)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "option \"%s\": no memory", key);
    mtl__strfree(al, o->value[i].text);
    o->value[i].text = copy;
    o->value[i].is_set = true;
    return MTL_OK;
}

mtl_status mtl__options_set(mtl_options *o, const char *key, const char *value, mtl_error *err)
{
    int64_t i;
    double number;
    mtl_status st = mtl__option_find(o->group, key, &i, err);
    if (st != MTL_OK || o->group->options[i].type == MTL_TYPE_STR)
        return st == MTL_OK ? mtl__options_set_text(o, key, value, err) : st;
    const char *end = value + strlen(value);
    if (mtl__parse_f64(value, end, &number) != end)
        return MTL_FAIL(err, MTL_ERR_RANGE, "option \"%s\": \"%.64s\" is no number", key, value);
    return mtl__options_set_number(o, key, number, o->group->options[i].type == MTL_TYPE_I64, err);
}

bool mtl__options_has(const mtl_options *o, const char *key)
{
    return o && o->value[index_of(o->group, key)].is_set;
}

mtl_status mtl__options_expect(const mtl_options *o, const mtl__option_group *group, mtl_error *err)
{
    if (!o || o->group == group)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_TYPE, "expected %s options, got %s options", group->name,
                    o->group->name);
}

static double number_of(const mtl_options *o, const mtl__option_group *group, const char *key)
{
    int64_t i = index_of(group, key);
    assert(i >= 0 && (!o || o->group == group));
    return o ? o->value[i].number : group->options[i].initial;
}

int64_t mtl__option_i64(const mtl_options *o, const mtl__option_group *group, const char *key)
{
    return (int64_t)number_of(o, group, key);
}

double mtl__option_f64(const mtl_options *o, const mtl__option_group *group, const char *key)
{
    return number_of(o, group, key);
}

const char *mtl__option_str(const mtl_options *o, const mtl__option_group *group, const char *key)
{
    int64_t i = index_of(group, key);
    assert(i >= 0 && (!o || o->group == group));
    return o && o->value[i].text ? o->value[i].text : group->options[i].initial_text;
}

mtl__choice mtl__option_choice(const mtl_options *o, const mtl__option_group *group,
                               const char *key)
{
    mtl__choice c = {0};
    const mtl__option *d = &group->options[index_of(group, key)];
    mtl_status st = mtl__choice_parse(d->choices, mtl__option_str(o, group, key), -1, &c, NULL);
    assert(st == MTL_OK); /* checked when it was set */
    (void)st;
    return c;
}

int64_t mtl__option_index(const mtl_options *o, const mtl__option_group *group, const char *key)
{
    const mtl__option *d = &group->options[index_of(group, key)];
    const char *text = mtl__option_str(o, group, key);
    return mtl__text_index(d->range, text, (int64_t)strlen(text));
}
