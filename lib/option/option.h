/* SPDX-License-Identifier: MIT */
/* Options by key. A group is one table, kept in the folder that reads it; the table checks values,
   documents itself (mtl_option_info) and gives the defaults. */
#ifndef MTL__OPTION_H
#define MTL__OPTION_H

#include "mem/alloc.h"
#include "option/choice.h"

typedef struct mtl__option {
    const char *key;
    int32_t type;
    const char *initial_text, *range, *meaning;
    double initial, low, high; /* numbers; whole numbers stay below 2^53 */
    /* Texts: a table of choices, or NULL: then range lists the choices, "" = free. */
    const mtl__choice_table *choices;
    bool is_list; /* of choices, separated by blanks */
} mtl__option;

/* Numbers are written once and turned into text by the preprocessor. */
#define MTL__OPTION_I64(key, initial, low, high, meaning)                                          \
    {key, MTL_TYPE_I64, #initial, #low " .. " #high, meaning, initial, low, high, NULL, false}
#define MTL__OPTION_F64(key, initial, low, high, meaning)                                          \
    {key, MTL_TYPE_F64, #initial, #low " .. " #high, meaning, initial, low, high, NULL, false}
#define MTL__OPTION_STR(key, initial, range, choices, meaning)                                     \
    {key, MTL_TYPE_STR, initial, range, meaning, 0, 0, 0, choices, false}
#define MTL__OPTION_LIST(key, initial, range, choices, meaning)                                    \
    {key, MTL_TYPE_STR, initial, range, meaning, 0, 0, 0, choices, true}
#define MTL__SEED_MAX 9007199254740991

typedef struct mtl__option_group {
    int32_t id; /* MTL_OPTIONS_* */
    const char *name;
    const mtl__option *options;
    int64_t count;
    bool has_progress;
} mtl__option_group;

#define MTL__OPTION_GROUP(id, name, table, has_progress)                                           \
    {id, name, table, MTL__COUNT_OF(table), has_progress}

typedef struct mtl__option_value {
    double number;
    char *text; /* NULL = the initial text */
    bool is_set; /* by its user, be it to the initial value */
} mtl__option_value;

struct mtl_options {
    const mtl__option_group *group;
    mtl__option_value *value; /* [group->count] */
    mtl_progress_cb progress;
    void *progress_user;
};

mtl_options *mtl__options_create(const mtl__option_group *group);
void mtl__options_destroy(mtl_options *o);
/* A copy of o, or of the group's defaults when o is NULL. */
mtl_status mtl__options_copy(const mtl_options *o, const mtl__option_group *group, mtl_options **out,
                             mtl_error *err);
mtl_status mtl__options_set_number(mtl_options *o, const char *key, double value, bool whole,
                                   mtl_error *err);
mtl_status mtl__options_set_text(mtl_options *o, const char *key, const char *value,
                                 mtl_error *err);
/* Row of a key; MTL_ERR_KEY naming the nearest. */
mtl_status mtl__option_find(const mtl__option_group *group, const char *key, int64_t *index,
                            mtl_error *err);

/* The same from a text, of any type: "0.001", "adam:beta2=0.95". */
mtl_status mtl__options_set(mtl_options *o, const char *key, const char *value, mtl_error *err);
/* Did the user set it? false for o = NULL. */
bool mtl__options_has(const mtl_options *o, const char *key);

/* Check a value without keeping it. */
mtl_status mtl__option_check_number(const mtl__option *d, double value, bool whole, mtl_error *err);
mtl_status mtl__option_check_text(const mtl__option *d, const char *value, mtl_error *err);

/* MTL_ERR_TYPE when options (not NULL) are of another group. */
mtl_status mtl__options_expect(const mtl_options *o, const mtl__option_group *group,
                               mtl_error *err);

/* Values as the library reads them: o may be NULL (defaults); the key must be in the group. */
int64_t mtl__option_i64(const mtl_options *o, const mtl__option_group *group, const char *key);
double mtl__option_f64(const mtl_options *o, const mtl__option_group *group, const char *key);
const char *mtl__option_str(const mtl_options *o, const mtl__option_group *group, const char *key);
/* For an option with a table of choices. */
mtl__choice mtl__option_choice(const mtl_options *o, const mtl__option_group *group,
                               const char *key);
/* For an option whose range lists the choices: the number of the chosen one. */
int64_t mtl__option_index(const mtl_options *o, const mtl__option_group *group, const char *key);

#endif
