/* SPDX-License-Identifier: MIT */
#include "transfer/guide.h"

#include <string.h>

#include "base/text.h"
#include "train/weighting.h"

bool mtl__guide_knows(const mtl__guiding *g, int64_t task)
{
    return mtl__spec_task(g->job->source->spec, g->m->spec->task[task].name) >= 0;
}

static void plan_about(mtl__guiding *g, mtl__arena *a)
{
    g->rate = g->row->rates ? mtl__arena_take(a, g->m->params, sizeof *g->rate) : NULL;
    g->unlabelled =
        g->row->teaches ? mtl__arena_take(a, g->m->net.tasks, sizeof *g->unlabelled) : NULL;
    g->text = g->row->weighting ? mtl__arena_take(a, 64 + 2 * g->m->net.tasks, 1) : NULL;
}

/* "gated:main=0/0/1", 1 being the tasks of the job. */
static mtl_status set_weighting(mtl__guiding *g, mtl__train_settings *set, mtl_error *err)
{
    const mtl__aggregation *given = set->weighting.kind.row;
    if (!(given->uses & MTL__AGG_PLAIN))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "strategy \"%s\" weighs the tasks itself: weighting \"%s\" "
                        "does not go with it",
                        g->name, given->choice.name);
    char *at = g->text + strlen(g->row->weighting);
    memcpy(g->text, g->row->weighting, strlen(g->row->weighting));
    for (int64_t i = 0; i < g->m->net.tasks; i++) {
        *at++ = mtl__job_means(g->job, g->m->spec->task[i].name) ? '1' : '0';
        *at++ = '/';
    }
    at[-1] = 0;
    set->weighting.text = g->text;
    return mtl__choice_parse(&mtl__aggregate_table, g->text, -1, &set->weighting.kind, err);
}

mtl_status mtl__guide_begin(mtl__guiding *g, const struct mtl__guide *row, const mtl__job *job,
                            const char *name, const double *value, mtl_model *m,
                            const mtl_dataset *target, mtl__train_settings *set, mtl_error *err)
{
    *g = (mtl__guiding){.row = row, .job = job, .m = m, .target = target, .name = name};
    memcpy(g->value, value, sizeof g->value);
    mtl_status st = row && row->check ? row->check(g, err) : MTL_OK;
    if (!row || st != MTL_OK)
        return st;
    plan_about(g, &g->about);
    if (!mtl__arena_reserve(&g->about, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for strategy \"%s\"", name);
    plan_about(g, &g->about);
    for (int64_t i = 0; g->rate && i < m->params; i++)
        g->rate[i] = 1;
    if (g->rate)
        row->rates(g, 0, g->rate);
    for (int64_t i = 0; g->unlabelled && i < m->net.tasks; i++)
        g->unlabelled[i] = row->teaches(g, i);
    set->rates = g->rate;
    set->unlabelled = g->unlabelled;
    return g->text ? set_weighting(g, set, err) : MTL_OK;
}

const struct mtl__guide mtl__gated = {.weighting = "gated:main="};
const struct mtl__guide mtl__a_gem = {.weighting = "a_gem:main="};

mtl_status mtl__guide_hang(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    const struct mtl__guide *row = g->row;
    if (!row)
        return MTL_OK;
    if (row->plan) {
        row->plan(g, t, &g->arena);
        if (!mtl__arena_reserve(&g->arena, &g->m->ctx->al))
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for strategy \"%s\"", g->name);
        row->plan(g, t, &g->arena);
    }
    mtl_status st = row->start ? row->start(g, t, err) : MTL_OK;
    if (st == MTL_OK)
        mtl__trainer_hook(t, (mtl__hook){.self = g,
                                         .before_step = row->before_step,
                                         .before_backward = row->before_backward,
                                         .before_update = row->before_update,
                                         .at_end = row->at_end});
    return st;
}

void mtl__guide_end(mtl__guiding *g)
{
    if (!g->row)
        return;
    mtl__model_destroy(g->teacher.m);
    mtl__arena_release(&g->about, &g->m->ctx->al);
    mtl__arena_release(&g->arena, &g->m->ctx->al);
    *g = (mtl__guiding){0};
}
