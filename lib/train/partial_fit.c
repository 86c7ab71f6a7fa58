/* SPDX-License-Identifier: MIT */
#include "train/partial_fit.h"

#include <string.h>

enum { BLOCKS = 2 };

/* What the next call goes on from. */
typedef struct state {
    mtl_model *m;
    const mtl__optimizer *optimizer; /* of the vectors; another one starts anew */
    mtl__train_now now;
    int64_t step, rows_seen, calls;
    float *vector[MTL__OPTIM_VECTORS]; /* [net.params] each, NULL = none */
    const mtl__aggregation *weighting; /* of the blocks; another one starts anew */
    double *block[BLOCKS];
    int64_t count[BLOCKS];
} state;

static void free_state(void *kept)
{
    state *s = kept;
    const mtl__allocator *al = &s->m->ctx->al;
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++)
        mtl__free(al, s->vector[i], s->m->net.params * (int64_t)sizeof(float));
    for (int i = 0; i < BLOCKS; i++)
        mtl__free(al, s->block[i], s->count[i] * (int64_t)sizeof(double));
    mtl__free(al, s, sizeof *s);
}

static state *state_of(mtl_model *m)
{
    if (!m->kept) {
        state *s = mtl__alloc_zero(&m->ctx->al, sizeof *s);
        if (!s)
            return NULL;
        s->m = m;
        m->kept = s;
        m->kept_free = free_state;
    }
    return m->kept;
}

/* One pass; a random order is another one in each call. */
static void one_pass(void *self, mtl__train_settings *set)
{
    const state *s = self;
    set->epochs = 1;
    set->patience = 0;
    set->seed += (uint64_t)s->calls;
}

/* Blocks of another length are of another weighting. */
static bool reserve_blocks(state *s, mtl__weighting *w)
{
    const mtl__allocator *al = &s->m->ctx->al;
    double *values;
    int64_t count;
    for (int i = 0; mtl__weighting_block(w, i, &values, &count); i++) {
        if (s->block[i] && s->count[i] == count)
            continue;
        double *block = mtl__alloc_zero(al, count * (int64_t)sizeof *block);
        if (!block)
            return false;
        mtl__free(al, s->block[i], s->count[i] * (int64_t)sizeof(double));
        s->block[i] = block;
        s->count[i] = count;
        s->weighting = NULL;
    }
    return true;
}

static void copy_blocks(state *s, mtl__weighting *w, bool to_trainer)
{
    double *values;
    int64_t count;
    for (int i = 0; mtl__weighting_block(w, i, &values, &count); i++)
        memcpy(to_trainer ? values : s->block[i], to_trainer ? s->block[i] : values,
               (size_t)count * sizeof *values);
}

static mtl_status reserve(void *self, mtl__trainer *t, mtl_error *err)
{
    state *s = self;
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++) {
        if (t->optim.state[i] && !s->vector[i])
            s->vector[i] = mtl__alloc_zero(&s->m->ctx->al, s->m->net.params * (int64_t)sizeof(float));
        if (t->optim.state[i] && !s->vector[i])
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the state of a stream");
    }
    if (!reserve_blocks(s, &t->weighting))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the state of a stream");
    return MTL_OK;
}

static void copy(float *to, const float *from, size_t bytes)
{
    if (!to)
        return;
    if (from)
        memcpy(to, from, bytes);
    else
        memset(to, 0, bytes); /* begins anew when it is in use again */
}

static void copy_vectors(state *s, mtl__trainer *t, bool to_trainer)
{
    const size_t bytes = (size_t)s->m->net.params * sizeof(float);
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++)
        copy(to_trainer ? t->optim.state[i] : s->vector[i],
             to_trainer ? s->vector[i] : t->optim.state[i], bytes);
}

/* When the pass is over, or was ended in its middle. */
static void keep(void *self, mtl__trainer *t)
{
    state *s = self;
    s->optimizer = t->optim.row;
    s->now = t->now;
    s->step = t->step;
    s->rows_seen = t->rows_seen;
    s->calls++;
    copy_vectors(s, t, false);
    s->weighting = t->weighting.agg.row;
    copy_blocks(s, &t->weighting, false);
}

static mtl_status go_on(void *self, mtl__trainer *t, mtl_error *err)
{
    state *s = self;
    (void)err;
    if (s->optimizer == t->optim.row) {
        t->now = s->now;
        t->step = s->step;
        t->rows_seen = s->rows_seen;
        copy_vectors(s, t, true);
    }
    if (t->weighting.is_on && s->weighting == t->weighting.agg.row) {
        copy_blocks(s, &t->weighting, true);
        mtl__weighting_resume(&t->weighting);
    }
    mtl__trainer_hook(t, (mtl__hook){.self = s, .at_end = keep});
    return MTL_OK;
}

static mtl_status check_options(const mtl_options *o, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    static const char *const refused[] = {"schedule", "dropout_schedule", "decay_schedule",
                                          "average", "checkpoint"};
    for (int i = 0; i < MTL__COUNT_OF(refused); i++) {
        const char *value = mtl__option_str(o, g, refused[i]);
        if (*value && strcmp(value, "constant") != 0 && strcmp(value, "none") != 0)
            return MTL_FAIL(err, MTL_ERR_INVALID,
                            "partial_fit knows no end, so it takes no \"%s\"", refused[i]);
    }
    if (mtl__option_i64(o, g, "judge"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "partial_fit sees rows once: no judge");
    if (mtl__option_f64(o, g, "validation_split") > 0)
        return MTL_FAIL(err, MTL_ERR_INVALID, "partial_fit trains on all rows: no validation_split");
    return MTL_OK;
}

mtl_status mtl__partial_fit(mtl_model *m, const mtl_dataset *data, const mtl_options *o,
                            mtl_report **report, mtl_error *err)
{
    mtl_status st = check_options(o, err);
    if (st != MTL_OK)
        return st;
    state *s = state_of(m);
    if (!s)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the state of a stream");
    const mtl__fit_changes changes = {
        .self = s, .settings = one_pass, .reserve = reserve, .trainer = go_on};
    return mtl__fit_changed(m, data, NULL, o, &changes, report, err);
}
