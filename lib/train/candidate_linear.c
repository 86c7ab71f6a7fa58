/* SPDX-License-Identifier: MIT */
/* Linear models as candidates: one of each task, or one of all. */
#include <string.h>

#include "train/candidate.h"

enum { POOLED_LABELS = 2 }; /* of a row, on average at most */

static mtl_status make_net(const mtl__selection *s, mtl_model **out, mtl_error *err)
{
    const mtl_spec *whole = s->m->spec;
    mtl_spec *spec = NULL;
    mtl_status st = mtl__spec_create(whole->ctx, whole->inputs, &spec, err);
    if (st == MTL_OK)
        spec->missing_indicators = whole->missing_indicators;
    for (int64_t t = 0; t < whole->tasks && st == MTL_OK; t++)
        st = mtl__spec_copy_task(spec, &whole->task[t], false, err);
    if (st == MTL_OK)
        st = mtl__model_create_blank(spec, out, err);
    mtl__spec_destroy(spec);
    return st;
}

static mtl_status fit_linear(mtl__selection *s, int kind, const mtl_dataset *rows, int64_t part,
                             mtl_error *err)
{
    mtl_model *net = NULL;
    mtl_status st = make_net(s, &net, err);
    if (st == MTL_OK)
        st = kind == MTL__POOLED ? mtl__floor_fit_pooled(net, rows, s->o, err)
                                 : mtl__floor_fit(net, rows, s->o, NULL, err);
    if (st == MTL_OK)
        return mtl__selection_add(s, (mtl__part){net, kind, part, -1, 0}, err);
    mtl__model_destroy(net);
    return st;
}

/* --- part by part ---------------------------------------------------------------------------- */

static mtl_status linear_part(mtl__selection *s, int kind, int64_t part, mtl_error *err)
{
    mtl_dataset *rows[2] = {NULL, NULL};
    mtl_error mine = {0};
    mtl__binding bound;
    mtl__judge *j = NULL;
    mtl_status st = mtl__folds_part(&s->folds, part, -1, &rows[0], &rows[1], &mine);
    if (st == MTL_OK)
        st = fit_linear(s, kind, rows[0], part, &mine);
    if (st == MTL_OK)
        st = mtl__binding_create(s->list[s->count - 1].net, rows[1], "train", &bound, &mine);
    if (st == MTL_OK)
        st = mtl__judge_create(s->list[s->count - 1].net, &bound, &j, &mine);
    if (st == MTL_OK) {
        mtl__judge_run(j);
        mtl__selection_put(s, kind, part, -1, j->m, j->predicted);
    }
    mtl__judge_destroy(j);
    mtl__dataset_destroy(rows[0]);
    mtl__dataset_destroy(rows[1]);
    return mtl__pardon(st, &mine, err);
}

static mtl_status run_parts(mtl__selection *s, int kind, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < s->run && st == MTL_OK && !(i && mtl__selection_is_over(s)); i++)
        st = linear_part(s, kind, i, err);
    return st;
}

/* Where rows have one task each, or few, tasks of one value each: else each task has rows of its
   own in plenty, and all together may be more than memory holds. */
static bool is_for_pooling(const mtl__selection *s)
{
    int64_t tasks = 0, labels = 0;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        if (s->folds.label[t] >= 0 && mtl__floor_pools(&s->m->spec->task[t])) {
            labels += mtl__folds_labels(&s->folds, -1, t);
            tasks++;
        }
    return tasks > 1 && labels <= POOLED_LABELS * s->folds.data->rows;
}

mtl_status mtl__run_pooled(mtl__selection *s, int kind, mtl_error *err)
{
    return is_for_pooling(s) ? run_parts(s, kind, err) : MTL_OK;
}

/* --- all parts at once ----------------------------------------------------------------------- */

/* What has no linear model will have a network. */
static bool may_end(const void *self)
{
    const mtl__selection *s = self;
    return s->mix.held[MTL__SHARED] && mtl__selection_is_over(s);
}

static void put_parts(const mtl__selection *s, const mtl__floor_parts *found)
{
    const mtl_model *m = s->m;
    float *held = s->mix.held[MTL__LINEAR];
    for (int64_t t = 0; t < m->net.tasks; t++)
        for (int64_t i = 0; i < s->run; i++) {
            const mtl__part of = {.kind = MTL__LINEAR, .part = i, .task = -1, .end = found->tasks};
            const int64_t column = m->net.task[t].column;
            for (int64_t r = 0; r < s->folds.data->rows && mtl__part_serves(s, &of, t); r++)
                if (s->folds.of_row[r] == i)
                    memcpy(held + r * m->net.outputs + column,
                           found->p + r * m->net.outputs + column,
                           (size_t)m->spec->task[t].outputs * sizeof *held);
        }
}

/* The model of all rows, and with it what those of parts say of the others. */
static mtl_status run_at_once(mtl__selection *s, mtl_error *err)
{
    const int64_t bytes = s->train->rows * s->m->net.outputs * (int64_t)sizeof(float);
    mtl__floor_parts parts = {
        .of_row = s->folds.of_row, .count = (int32_t)s->run, .is_over = may_end, .self = s};
    mtl_model *net = NULL;
    mtl_error mine = {0};
    parts.p = mtl__alloc(&s->m->ctx->al, bytes);
    if (!parts.p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows",
                        (long long)s->train->rows);
    mtl_status st = make_net(s, &net, &mine);
    if (st == MTL_OK)
        st = mtl__floor_fit(net, s->train, s->o, &parts, &mine);
    if (st == MTL_OK) {
        put_parts(s, &parts);
        st = mtl__selection_add(s, (mtl__part){net, MTL__LINEAR, -1, -1, parts.tasks}, &mine);
        net = NULL;
    }
    mtl__model_destroy(net);
    mtl__free(&s->m->ctx->al, parts.p, bytes);
    return mtl__pardon(st, &mine, err);
}

mtl_status mtl__run_linear(mtl__selection *s, int kind, mtl_error *err)
{
    return s->joint ? run_parts(s, kind, err) : run_at_once(s, err);
}

/* --- the end --------------------------------------------------------------------------------- */

mtl_status mtl__refit_linear(mtl__selection *s, int kind, mtl_error *err)
{
    const int64_t before = s->count;
    int64_t kept = 0;
    bool any = false;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        any = any || s->mix.weight[kind * s->m->net.tasks + t] > 0;
    for (int64_t k = 0; k < s->count; k++) /* found at once */
        any = any && !(s->list[k].kind == kind && s->list[k].part < 0);
    if (!any || mtl__selection_is_over(s))
        return MTL_OK;
    mtl_status st = fit_linear(s, kind, s->train, -1, err);
    for (int64_t k = 0; k < s->count && st == MTL_OK; k++) {
        if (k < before && s->list[k].kind == kind)
            mtl__model_destroy(s->list[k].net);
        else
            s->list[kept++] = s->list[k];
    }
    if (st == MTL_OK)
        s->count = kept;
    return st;
}
