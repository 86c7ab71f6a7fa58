/* SPDX-License-Identifier: MIT */
/* From candidates on parts to a model of members, and what is told of it. */
#include <string.h>

#include "train/candidate.h"

/* Those of a kind that serve a task, or all of it where none does. */
static void share(const mtl__selection *s, int kind, int64_t task, double weight, double *to)
{
    const int64_t tasks = s->m->net.tasks;
    int64_t n = 0, of_kind = 0;
    for (int64_t k = 0; k < s->count; k++) {
        of_kind += s->list[k].kind == kind && s->list[k].task < 0;
        n += s->list[k].kind == kind && mtl__part_serves(s, &s->list[k], task);
    }
    for (int64_t k = 0; k < s->count; k++)
        if (s->list[k].kind == kind &&
            (n ? mtl__part_serves(s, &s->list[k], task) : s->list[k].task < 0))
            to[k * tasks + task] = weight / (double)(n ? n : of_kind);
}

/* Weights [members, tasks]. A task without any figure goes with the shared networks, or what there
   is. */
static void find_weights(const mtl__selection *s, double *to)
{
    const int64_t tasks = s->m->net.tasks;
    for (int64_t t = 0; t < tasks; t++) {
        double sum = 0;
        for (int kind = 0; kind < MTL__KINDS; kind++) {
            const double w = s->mix.weight[kind * tasks + t];
            if (w > 0)
                share(s, kind, t, w, to);
            sum += w;
        }
        if (sum > 0)
            continue;
        int best = s->list[0].kind;
        for (int64_t k = 0; k < s->count && best != MTL__SHARED; k++)
            if (!mtl__candidate_rows[s->list[k].kind].is_exact && s->list[k].task < 0)
                best = s->list[k].kind;
        share(s, best, t, 1, to);
    }
}

static mtl_status check_served(const mtl__selection *s, mtl_error *err)
{
    for (int64_t t = 0; t < s->m->net.tasks; t++) {
        bool any = false;
        for (int64_t k = 0; k < s->count; k++)
            any = any || (s->list[k].task < 0 && !mtl__candidate_rows[s->list[k].kind].is_exact) ||
                  mtl__part_serves(s, &s->list[k], t) ||
                  (s->folds.label[t] < 0 && mtl__floor_serves(&s->m->spec->task[t]));
        if (!any)
            return MTL_FAIL(err, s->count || !s->is_tried ? MTL_ERR_DATA : MTL_ERR_DIVERGED,
                            "task \"%.64s\": %s", s->m->spec->task[t].name,
                            s->count || !s->is_tried ? "none of the candidates serves it"
                                                     : "all networks diverged");
    }
    return MTL_OK;
}

/* One member for all tasks is the result itself. */
static int64_t only_member(const mtl__selection *s, const double *weight)
{
    for (int64_t k = 0; k < s->count; k++) {
        int64_t t = 0;
        while (t < s->m->net.tasks && weight[k * s->m->net.tasks + t] == 1)
            t++;
        if (t == s->m->net.tasks)
            return k;
    }
    return -1;
}

static bool has_weight(const mtl__selection *s, int64_t k, const double *weight)
{
    bool any = false;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        any = any || weight[k * s->m->net.tasks + t] > 0;
    return any;
}

/* The members that have a weight, as one model. */
static mtl_status join_members(mtl__selection *s, const double *weight, mtl_model **out,
                               mtl_error *err)
{
    const mtl_spec *whole = s->m->spec;
    const int64_t tasks = whole->tasks;
    int64_t count = 0;
    mtl_spec *spec = NULL;
    for (int64_t k = 0; k < s->count; k++)
        count += has_weight(s, k, weight);
    mtl__members *members = mtl__members_alloc(&whole->ctx->al, count, tasks);
    mtl_status st =
        members ? mtl__spec_create(whole->ctx, whole->inputs, &spec, err)
                : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)count);
    for (int64_t t = 0; t < tasks && st == MTL_OK; t++)
        st = mtl__spec_copy_task(spec, &whole->task[t], false, err);
    for (int64_t k = count = 0; k < s->count && st == MTL_OK; k++) {
        if (!has_weight(s, k, weight))
            continue;
        memcpy(members->weight + count * tasks, weight + k * tasks, (size_t)tasks * sizeof *weight);
        members->model[count++] = s->list[k].net;
        s->list[k].net = NULL;
    }
    if (st == MTL_OK) {
        spec->of_members = true;
        st = mtl__members_model(spec, members, out, err);
    } else {
        mtl__members_free(members, &whole->ctx->al);
    }
    mtl__spec_destroy(spec);
    return st;
}

mtl_status mtl__selection_result(mtl__selection *s, mtl_model **out, mtl_error *err)
{
    const mtl__allocator *al = &s->m->ctx->al;
    mtl_status st = check_served(s, err);
    if (st == MTL_OK)
        st = mtl__mixture_solve(&s->mix, err);
    for (int kind = 0; kind < MTL__KINDS && st == MTL_OK; kind++)
        if (mtl__candidate_rows[kind].is_exact)
            st = mtl__refit_linear(s, kind, err);
    if (st != MTL_OK)
        return st;
    const int64_t bytes = s->count * s->m->net.tasks * (int64_t)sizeof(double);
    double *weight = mtl__alloc_zero(al, bytes);
    if (!weight)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the weights of members");
    find_weights(s, weight);
    const int64_t only = only_member(s, weight);
    if (only >= 0) {
        *out = s->list[only].net;
        s->list[only].net = NULL;
    } else {
        st = join_members(s, weight, out, err);
    }
    mtl__free(al, weight, bytes);
    return st;
}

/* "mixture/loss/KIND/TASK" and "mixture/weight/KIND/TASK". */
static mtl_status tell(const mtl__selection *s, mtl_report *r, mtl_error *err)
{
    const int64_t tasks = s->m->net.tasks;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < tasks; t++)
        for (int k = 0; k < 2 * MTL__KINDS + 1 && st == MTL_OK; k++) {
            const bool is_loss = k <= MTL__KINDS;
            const int kind = is_loss ? k : k - MTL__KINDS - 1;
            st = mtl__report_number(r, is_loss ? "mixture/loss" : "mixture/weight",
                                    kind < MTL__KINDS ? mtl__candidate_rows[kind].choice.name
                                                      : "mixed",
                                    s->m->spec->task[t].name,
                                    (is_loss ? s->mix.loss : s->mix.weight)[kind * tasks + t], err);
        }
    return st;
}

mtl_status mtl__selection_report(mtl__selection *s, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (!s->report) {
        st = mtl__report_create(s->m->ctx, &s->report, err);
        if (st == MTL_OK)
            st = mtl__report_text(s->report, "reason", "solved", err);
        if (st == MTL_OK)
            st = mtl__report_number(s->report, "seconds", NULL, NULL, 0, err);
    }
    if (st == MTL_OK)
        st = tell(s, s->report, err);
    if (st != MTL_OK)
        return st;
    mtl__report_set_number(s->report, "seconds", mtl__seconds() - s->begun);
    if (s->is_cancelled || s->is_cut)
        mtl__report_set_text(s->report, "reason", s->is_cancelled ? "cancelled" : "time_limit");
    return MTL_OK;
}
