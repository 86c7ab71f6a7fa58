/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include "train/calibrate.h"
#include "transfer/transfer.h"

/* All groups. A new one is a row here and a number in mtl.h. */
static const mtl__option_group *const groups[] = {
    &mtl__context_options,  &mtl__fit_options,       &mtl__transfer_options,
    &mtl__evaluate_options, &mtl__csv_options,       &mtl__make_classification_options,
    &mtl__task_options,     &mtl__calibrate_options,
    &mtl__make_regression_options, &mtl__make_tasks_options,
};

static const mtl__option_group *find_group(int32_t id)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(groups); i++)
        if (groups[i]->id == id)
            return groups[i];
    return NULL;
}

mtl_status mtl_options_create(int32_t group, mtl_options **out, mtl_error *err)
{
    REQUIRE(out);
    const mtl__option_group *g = find_group(group);
    if (!g || g == &mtl__task_options) /* those are set on the spec */
        return MTL_FAIL(err, MTL_ERR_INVALID, "no group of options has number %d", group);
    mtl_options *o = mtl__options_create(g);
    if (!o)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for options");
    *out = o;
    return MTL_OK;
}

void mtl_options_destroy(mtl_options *options)
{
    mtl__options_destroy(options);
}

mtl_status mtl_options_set_i64(mtl_options *options, const char *key, int64_t value, mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    return mtl__options_set_number(options, key, (double)value, true, err);
}

mtl_status mtl_options_set_f64(mtl_options *options, const char *key, double value, mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    return mtl__options_set_number(options, key, value, false, err);
}

mtl_status mtl_options_set_str(mtl_options *options, const char *key, const char *value,
                               mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    REQUIRE(value);
    return mtl__options_set_text(options, key, value, err);
}

/* Row of a key, which must be of the given type. */
static mtl_status find_typed(const mtl_options *o, const char *key, int32_t type, mtl_error *err)
{
    int64_t i;
    mtl_status st = mtl__option_find(o->group, key, &i, err);
    if (st == MTL_OK && o->group->options[i].type != type)
        st = MTL_FAIL(err, MTL_ERR_TYPE, "option \"%s\" is of another type", key);
    return st;
}

mtl_status mtl_options_get_i64(const mtl_options *options, const char *key, int64_t *value,
                               mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    REQUIRE(value);
    mtl_status st = find_typed(options, key, MTL_TYPE_I64, err);
    if (st == MTL_OK)
        *value = mtl__option_i64(options, options->group, key);
    return st;
}

mtl_status mtl_options_get_f64(const mtl_options *options, const char *key, double *value,
                               mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    REQUIRE(value);
    mtl_status st = find_typed(options, key, MTL_TYPE_F64, err);
    if (st == MTL_OK)
        *value = mtl__option_f64(options, options->group, key);
    return st;
}

mtl_status mtl_options_get_str(const mtl_options *options, const char *key, const char **value,
                               mtl_error *err)
{
    REQUIRE(options);
    REQUIRE(key);
    REQUIRE(value);
    mtl_status st = find_typed(options, key, MTL_TYPE_STR, err);
    if (st == MTL_OK)
        *value = mtl__option_str(options, options->group, key);
    return st;
}

mtl_status mtl_options_set_progress(mtl_options *options, mtl_progress_cb cb, void *user,
                                    mtl_error *err)
{
    REQUIRE(options);
    if (!options->group->has_progress)
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s options have no progress reports",
                        options->group->name);
    options->progress = cb;
    options->progress_user = user;
    return MTL_OK;
}

int64_t mtl_option_count(int32_t group)
{
    const mtl__option_group *g = find_group(group);
    return g ? g->count : 0;
}

mtl_status mtl_option_info(int32_t group, int64_t index, const char **key, int32_t *type,
                           const char **default_value, const char **range, const char **meaning,
                           mtl_error *err)
{
    const mtl__option_group *g = find_group(group);
    if (!g || index < 0 || index >= g->count)
        return MTL_FAIL(err, MTL_ERR_RANGE, "group %d has no option number %lld", group,
                        (long long)index);
    const mtl__option *d = &g->options[index];
    const struct {
        const char **out, *value;
    } text[] = {
        {key, d->key}, {default_value, d->initial_text}, {range, d->range}, {meaning, d->meaning}};
    for (int i = 0; i < 4; i++)
        if (text[i].out)
            *text[i].out = text[i].value;
    if (type)
        *type = d->type;
    return MTL_OK;
}
