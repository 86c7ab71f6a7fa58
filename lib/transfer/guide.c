/* SPDX-License-Identifier: MIT */
#include "transfer/guide.h"

#include <string.h>

bool mtl__guide_knows(const mtl__guiding *g, int64_t task)
{
    return mtl__spec_task(g->job->source->spec, g->m->spec->task[task].name) >= 0;
}

static void plan_about(mtl__guiding *g, mtl__arena *a)
{
    g->rate = g->row->rates ? mtl__arena_take(a, g->m->params, sizeof *g->rate) : NULL;
    g->unlabelled = g->row->distils ? mtl__arena_take(a, g->m->net.tasks, sizeof *g->unlabelled) : NULL;
}

mtl_status mtl__guide_begin(mtl__guiding *g, const struct mtl__guide *row, const mtl__job *job,
                            const char *name, const double *value, mtl_model *m,
                            mtl__train_settings *set, mtl_error *err)
{
    *g = (mtl__guiding){.row = row, .job = job, .m = m, .name = name};
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
        g->unlabelled[i] = mtl__guide_knows(g, i);
    set->rates = g->rate;
    set->unlabelled = g->unlabelled;
    return MTL_OK;
}

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
                                         .before_update = row->before_update});
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
