/* SPDX-License-Identifier: MIT */
#include "train/preset.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "train/race.h"

typedef struct setting {
    const char *key, *value, *some, *many; /* of SOME_ROWS, MANY_ROWS and more; NULL = as of fewer */
} setting;

struct mtl__preset {
    const char *name;
    int64_t passed, passed_some; /* rows that a network sees at most, passed_some of SOME_ROWS and more */
    setting row[16];
};

enum { PASSED = 600000 };
/* From here on fewer members, passes, then parts and candidates are enough; more take too long. */
enum { SOME_ROWS = 2500, MANY_ROWS = 5000 };

/* Adam's second moment over few steps: RealMLP (Holzmueller et al. 2024).
   One trunk for all members with heads of their own, decay 3e-4, patience 16: TabM (Gorishniy et
   al. 2025). The average of parameters makes a constant rate end as a falling one would. */
#define OF_ALL                                                                                     \
    {.key = "optimizer", .value = "adamw:beta2=0.95,weight_decay=0.0003"},                         \
        {.key = "average", .value = "ema:decay=0.99"}, {.key = "learning_rate", .value = "0.008"}, \
        {.key = "layers", .value = "128:relu,128:relu"},                                           \
    {                                                                                              \
        .key = "embedding", .value = "ple:size=8,bins=32"                                          \
    }

static const mtl__preset presets[] = {
    {"fast",
     PASSED,
     PASSED,
     {OF_ALL,
      {"members", "8", NULL, "4"},
      {"candidates", "shared", NULL, NULL},
      {"folds", "5", NULL, NULL},
      {"folds_run", "1", NULL, NULL},
      {"epochs", "100", NULL, NULL},
      {"patience", "10", NULL, NULL}}},
    /* With more rows half of the passes do as well, if the rate falls at the end; half of the members do not
       where labels are noisy. */
    {"good",
     PASSED,
     PASSED / 2,
     {OF_ALL,
      {"members", "8", NULL, "4"},
      {"schedule", "constant", "flat_cos", NULL},
      {"candidates", "pooled linear shared numeric single", NULL, "pooled linear shared numeric"},
      {"folds", "5", NULL, "3"},
      {"patience", "16", NULL, NULL}}},
    {"best",
     PASSED,
     PASSED,
     {OF_ALL,
      {"members", "8", NULL, "4"},
      {"candidates", "pooled linear shared numeric single", NULL, NULL},
      {"folds", "10", NULL, "5"},
      {"patience", "24", NULL, NULL}}},
};

enum { AUTO, PLAIN, FIRST };
enum { AUTO_ROWS = 20, LEAST_ROWS = 4 };
enum { LEAST_EPOCHS = 10, MOST_EPOCHS = 200 };

/* --- which one ------------------------------------------------------------------------------- */

static bool has_layers(const mtl_spec *s)
{
    bool any = s->trunk.count > 0 || s->linear_skip || s->members > 1 || s->of_members;
    for (int64_t t = 0; t < s->tasks; t++)
        any = any || s->task[t].tower.count > 0;
    return any;
}

static bool has_callbacks(const mtl_spec *s)
{
    bool any = false;
    for (int64_t t = 0; t < s->tasks; t++)
        any = any || s->task[t].loss_cb;
    return any;
}

/* Did the user say how a network is to be trained? These options say other things. */
static bool says_how(const mtl_options *o)
{
    static const char *const others[] = {"preset",   "seed",      "time_limit", "candidates",
                                         "folds",    "folds_run", "layers",     "members",
                                         "group_by", "embedding"};
    for (int64_t i = 0; o && i < o->group->count; i++) {
        bool is_other = !o->value[i].is_set;
        for (int k = 0; k < MTL__COUNT_OF(others); k++)
            is_other = is_other || strcmp(o->group->options[i].key, others[k]) == 0;
        if (!is_other)
            return true;
    }
    return false;
}

static bool suits(const mtl_model *m, const mtl_dataset *train, const mtl_options *o)
{
    return !m->is_set && !m->members && !has_layers(m->spec) && !has_callbacks(m->spec) &&
           !says_how(o) && train->rows >= AUTO_ROWS && !train->csr.start && !train->stream;
}

static mtl_status check(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                        const char *name, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const char *sampling = mtl__option_str(o, g, "sampling");
    if (m->members)
        return mtl__members_refuse(m, "training", err);
    if (m->is_set)
        return MTL_FAIL(err, MTL_ERR_STATE,
                        "preset %s trains networks that begin anew: the model was "
                        "trained, or a tensor was set or frozen",
                        name);
    if (mtl__option_i64(o, g, "judge") || *mtl__option_str(o, g, "checkpoint") ||
        mtl__race_is_wanted(o))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "preset %s trains many networks, for which there is no "
                        "judge, no checkpoint and no weighting \"auto\"",
                        name);
    if (strcmp(sampling, "shuffle") != 0)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "preset %s trains networks of single tasks: sampling "
                        "must be shuffle, not \"%.64s\"",
                        name, sampling);
    if (train->csr.start || has_callbacks(m->spec))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "preset %s is not for sparse inputs or losses of the "
                        "caller's",
                        name);
    if (train->rows < LEAST_ROWS)
        return MTL_FAIL(err, MTL_ERR_DATA, "preset %s needs at least %d training rows, not %lld",
                        name, LEAST_ROWS, (long long)train->rows);
    return mtl__dataset_in_memory(train, name, err);
}

mtl_status mtl__preset_find(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                            const mtl__preset **out, mtl_error *err)
{
    int64_t number = mtl__option_index(o, &mtl__fit_options, "preset");
    mtl_status st = MTL_OK;
    *out = NULL;
    if (number == AUTO)
        number = suits(m, train, o) ? FIRST + 1 : PLAIN; /* good */
    else if (number != PLAIN)
        st = check(m, train, o, presets[number - FIRST].name, err);
    if (st == MTL_OK && number != PLAIN)
        *out = &presets[number - FIRST];
    return st;
}

mtl_status mtl__preset_refuse(const mtl_options *o, const char *what, mtl_error *err)
{
    if (mtl__option_index(o, &mtl__fit_options, "preset") <= PLAIN)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_INVALID, "%s one network: preset \"%s\" is for mtl_fit()", what,
                    mtl__option_str(o, &mtl__fit_options, "preset"));
}

/* --- filling in ------------------------------------------------------------------------------ */

/* Rows of a step: some twenty steps an epoch, between 32 rows, fewer of which are mostly noise, and
   256. */
static int64_t batch_rows(int64_t rows)
{
    int64_t batch = 32;
    while (batch < 256 && batch * 40 <= rows)
        batch *= 2;
    return batch;
}

static const char *value_of(const setting *s, int64_t rows)
{
    if (rows >= MANY_ROWS && s->many)
        return s->many;
    return rows >= SOME_ROWS && s->some ? s->some : s->value;
}

/* What the user did not set. */
static mtl_status fill(const mtl__preset *p, int64_t rows, mtl_options *o, mtl_error *err)
{
    char batch[24], epochs[24];
    snprintf(batch, sizeof batch, "%lld", (long long)batch_rows(rows));
    snprintf(epochs, sizeof epochs, "%lld",
             (long long)mtl__max(LEAST_EPOCHS,
                                 mtl__min(MOST_EPOCHS, (rows < SOME_ROWS ? p->passed : p->passed_some) / rows)));
    const setting by_rows[] = {
        {.key = "batch_size", .value = batch}, {.key = "epochs", .value = epochs}, {.key = NULL}};
    const setting *const lists[] = {p->row, by_rows};
    mtl_status st = MTL_OK;
    for (int i = 0; i < 2; i++)
        for (const setting *s = lists[i]; s->key && st == MTL_OK; s++)
            if (!mtl__options_has(o, s->key))
                st = mtl__options_set(o, s->key, value_of(s, rows), err);
    return st;
}

/* "preset/KEY": what the preset did, as options take it. */
static mtl_status tell(const mtl__preset *p, const mtl_options *o, mtl_report *r, mtl_error *err)
{
    const mtl__option_group *g = o->group;
    mtl_status st = mtl__report_text(r, "preset", p->name, err);
    for (int64_t i = 0; i < g->count && st == MTL_OK; i++) {
        const char *key = g->options[i].key;
        if (!o->value[i].is_set || strcmp(key, "preset") == 0)
            continue;
        const char *text = g->options[i].type == MTL_TYPE_STR ? mtl__option_str(o, g, key)
                                                              : mtl__num(o->value[i].number).text;
        st = mtl__report_text_of(r, "preset", key, text, err);
    }
    return st;
}

mtl_status mtl__preset_fill(int64_t rows, mtl_options *o, mtl_error *err)
{
    return fill(&presets[1], rows, o, err);
}

mtl_status mtl__preset_fit(mtl_model *m, const mtl__preset *p, const mtl_dataset *train,
                           const mtl_dataset *valid, const mtl_options *o, mtl_report **report,
                           mtl_error *err)
{
    mtl_options *own = NULL;
    mtl_report *r = NULL;
    mtl_model *net = NULL;
    mtl_status st = mtl__options_copy(o, &mtl__fit_options, &own, err);
    if (st == MTL_OK)
        st = fill(p, train->rows, own, err);
    if (st == MTL_OK)
        st = mtl__selection_run(m, !has_layers(m->spec), train, valid, own, &net, &r, err);
    if (st == MTL_OK)
        st = tell(p, own, r, err);
    if (st == MTL_OK)
        mtl__model_swap(m, net);
    if (st == MTL_OK && report) {
        *report = r;
        r = NULL;
    }
    mtl__report_destroy(r);
    mtl__model_destroy(net);
    mtl__options_destroy(own);
    return st;
}
