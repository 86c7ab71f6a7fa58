/* SPDX-License-Identifier: MIT */
#include "transfer/parts.h"

#include <string.h>

#include "model/members.h"

typedef struct parts {
    const mtl__job *job;
    mtl_model *model[MTL__MOST_MEMBERS];
    mtl__part part[MTL__MOST_MEMBERS];
    mtl__part *head; /* [heads] of which one of them is the mean, where there are several */
    int64_t count, planned, heads;
    bool is_cancelled;
} parts;

bool mtl__is_head(const mtl__job *job, const mtl__strategy *how)
{
    return how->family != MTL__STEPS && mtl__solves_heads(job, how) && !how->cuts;
}

/* A head on all that heads can be on. */
static const mtl__strategy *widest_head(void)
{
    int64_t i = 0;
    while (mtl__strategy_at(i)->family != MTL__HEAD ||
           mtl__strategy_at(i)->features != (MTL__ON_INPUTS | MTL__ON_TRUNK))
        i++;
    return mtl__strategy_at(i);
}

/* One member for all heads, in the place of the first of them; in the blend their weights have sum 1. */
static void plan(parts *x, const mtl__part *part, int64_t count)
{
    int64_t at = -1;
    for (int64_t i = 0; i < count; i++) {
        if (!mtl__is_head(x->job, part[i].how)) {
            x->part[x->planned++] = part[i];
            continue;
        }
        x->head[x->heads++] = part[i];
        if (at < 0)
            x->part[at = x->planned++] = part[i];
        else
            x->part[at].weight += part[i].weight;
    }
    for (int64_t i = 0; i < x->heads; i++)
        x->head[i].weight /= x->part[at].weight;
    if (x->heads > 1)
        x->part[at].how = widest_head();
}

static mtl_status make(parts *x, const mtl_dataset *target, mtl_report **report, mtl_error *err)
{
    mtl__job job = *x->job;
    const int64_t k = x->count;
    const mtl__strategy *how = x->part[k].how;
    mtl_report *r = NULL;
    if (job.deadline > 0) {
        const double now = mtl__seconds();
        job.deadline = now + (job.deadline - now) / (double)(x->planned - k);
    }
    if (x->heads > 1 && mtl__is_head(&job, how)) {
        job.blend = x->head;
        job.blends = x->heads;
    }
    mtl_status st = mtl__move(&job, target, how, x->part[k].variant, NULL, &x->model[k], &r, err);
    if (st != MTL_OK)
        return st;
    x->count++;
    const mtl__entry *reason = mtl__report_find(r, "reason");
    x->is_cancelled = reason && strcmp(reason->text, "cancelled") == 0;
    if (k == 0)
        *report = r;
    else
        mtl__report_destroy(r);
    return MTL_OK;
}

/* How much a part leaves of what is known; below 0 = it has none of it. */
static int keeps(const mtl__job *job, const mtl__strategy *how)
{
    if (how->fresh || how->cuts)
        return -1;
    if (how->family == MTL__STATISTICS)
        return 0;
    if (how->family != MTL__STEPS)
        return 2;
    return job->known && how->phase[how->phases - 1].known;
}

/* To the front: its tasks are all that there are. */
static void keeper_first(parts *x)
{
    int64_t best = 0;
    for (int64_t k = 1; k < x->count; k++)
        if (keeps(x->job, x->part[k].how) > keeps(x->job, x->part[best].how))
            best = k;
    mtl_model *m = x->model[best];
    const mtl__part part = x->part[best];
    x->model[best] = x->model[0];
    x->part[best] = x->part[0];
    x->model[0] = m;
    x->part[0] = part;
}

static bool is_of_job(const mtl__job *job, const char *task)
{
    int64_t i = 0;
    while (i < job->tasks && strcmp(job->task[i].name, task) != 0)
        i++;
    return i < job->tasks;
}

static mtl_status average(parts *x, mtl_model **out, mtl_error *err)
{
    keeper_first(x);
    const mtl_spec *spec = x->model[0]->spec;
    const mtl__allocator *al = &x->model[0]->ctx->al;
    double *weight = mtl__alloc_array(al, x->count, spec->tasks * (int64_t)sizeof *weight);
    if (!weight)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)x->count);
    for (int64_t k = 0; k < x->count; k++)
        for (int64_t t = 0; t < spec->tasks; t++)
            weight[k * spec->tasks + t] =
                is_of_job(x->job, spec->task[t].name) ? x->part[k].weight : k == 0;
    mtl_status st = mtl__members_average((const mtl_model *const *)x->model, x->count, weight, out,
                                         err);
    mtl__free(al, weight, x->count * spec->tasks * (int64_t)sizeof *weight);
    return st;
}

mtl_status mtl__move_average(const mtl__job *job, const mtl_dataset *target, const mtl__part *part,
                             int64_t count, mtl_model **out, mtl_report **report, mtl_error *err)
{
    const mtl__allocator *al = &job->source->ctx->al;
    parts x = {.job = job, .head = mtl__alloc_array(al, count, sizeof *x.head)};
    mtl_report *r = NULL;
    mtl_status st = MTL_OK;
    if (!x.head)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld parts", (long long)count);
    plan(&x, part, count);
    while (x.count < x.planned && st == MTL_OK && !x.is_cancelled)
        st = make(&x, target, &r, err);
    if (st == MTL_OK && x.count > 1) {
        st = average(&x, out, err);
    } else if (st == MTL_OK) {
        *out = x.model[0];
        x.model[0] = NULL;
    }
    if (st == MTL_OK && x.is_cancelled)
        mtl__report_set_text(r, "reason", "cancelled");
    if (st == MTL_OK)
        *report = r;
    else
        mtl__report_destroy(r);
    for (int64_t k = 0; k < x.count; k++)
        mtl__model_destroy(x.model[k]);
    mtl__free(al, x.head, count * (int64_t)sizeof *x.head);
    return st;
}
