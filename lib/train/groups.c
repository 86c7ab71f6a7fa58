/* SPDX-License-Identifier: MIT */
#include "train/groups.h"

#include <string.h>

enum { RATE, DECAY };

static const mtl__choice_param params[] = {
    [RATE] = {"rate", 1, 0, 1e6, NULL},
    [DECAY] = {"decay", 1, 0, 1e6, NULL},
    {NULL, 0, 0, 0, NULL},
};

typedef struct entry {
    char name[256];
    mtl__group group;
} entry;

/* Reads one entry and goes behind it. */
static mtl_status next_entry(const char **text, entry *e, mtl_error *err)
{
    const size_t length = strcspn(*text, ";"), name = strcspn(*text, ":;");
    mtl__choice c;
    if (name == 0 || name >= sizeof e->name)
        return MTL_FAIL(err, MTL_ERR_RANGE, "groups: \"%.64s\" has no name, or too long a one",
                        *text);
    memcpy(e->name, *text, name);
    e->name[name] = 0;
    const mtl__choice_row row = {e->name, params};
    const mtl__choice_table table = {"group", &row, 1, sizeof row};
    mtl_status st = mtl__choice_parse(&table, *text, (int64_t)length, &c, err);
    if (st != MTL_OK)
        return st;
    e->group = (mtl__group){c.value[RATE], c.value[DECAY]};
    *text += length + ((*text)[length] == ';');
    return MTL_OK;
}

static bool means_any(const char *name, const mtl_model *m)
{
    for (int64_t i = 0; i < m->params; i++)
        if (mtl__param_matches(&m->param[i], name))
            return true;
    return false;
}

mtl_status mtl__groups_check(const char *text, const mtl_model *m, mtl_error *err)
{
    mtl_status st = MTL_OK;
    entry e;
    while (*text && st == MTL_OK) {
        st = next_entry(&text, &e, err);
        if (st == MTL_OK && !means_any(e.name, m))
            st = MTL_FAIL(err, MTL_ERR_NAME, "groups: no tensor is meant by \"%.96s\"", e.name);
    }
    return st;
}

mtl__group mtl__group_of(const char *text, const mtl__param *p)
{
    mtl__group found = {1, 1};
    entry e;
    while (*text && next_entry(&text, &e, NULL) == MTL_OK)
        if (mtl__param_matches(p, e.name))
            found = e.group;
    return found;
}
