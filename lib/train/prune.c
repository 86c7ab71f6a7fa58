/* SPDX-License-Identifier: MIT */
#include "train/prune.h"

#include <math.h>
#include <string.h>

#include "model/subset.h"
#include "train/judge.h"
#include "train/mixture.h"

/* Greedy selection (Caruana et al. 2004; Gorishniy et al. 2025, TabM): the member that is best alone,
   then the one that makes the mean of those chosen best, as long as that gets better. */
typedef struct selection {
    const mtl_model *m;
    mtl__judge *judge; /* of all members: labels, weights and loss */
    int64_t members, floats;
    float *held;       /* [members, floats]: what each predicts */
    double *sum;       /* [floats]: of those chosen */
    double *p, *unit;  /* [outputs] */
    double *base;      /* [tasks]: loss of all of them, NaN = no label */
    int64_t *chosen, count;
    double best;       /* objective of those chosen */
} selection;

/* Mean loss of a task when what was chosen is joined by `more`, NULL = nobody. */
static double task_loss(selection *s, int64_t task, int64_t count, const float *more)
{
    const mtl__task_spec *t = &s->m->spec->task[task];
    const mtl__judge *j = s->judge;
    const int64_t outputs = s->m->net.outputs, column = s->m->net.task[task].column;
    const int64_t cols = mtl__label_cols(t->kind, t->outputs);
    double sum = 0, total = 0;
    for (int64_t r = 0; r < j->rows; r++) {
        const int64_t at = r * outputs + column;
        for (int64_t k = 0; k < t->outputs; k++)
            s->p[k] = (s->sum[at + k] + (more ? (double)more[at + k] : 0)) / (double)count;
        const double loss = mtl__row_loss(t, j->label[task] + r * cols, s->p, s->unit + column,
                                          s->m->pipe.zero_weight + column,
                                          s->m->pipe.class_weight + column);
        const double weight = j->weight[task] ? (double)j->weight[task][r] : 1;
        if (isnan(loss))
            continue;
        sum += weight * loss;
        total += weight;
    }
    return total > 0 ? sum / total : (double)NAN;
}

/* Mean over the tasks of their losses as shares of those of all members. */
static double objective(selection *s, int64_t count, const float *more)
{
    double sum = 0, tasks = 0;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        if (s->judge->label[t] && s->base[t] > 0) {
            sum += task_loss(s, t, count, more) / s->base[t];
            tasks++;
        }
    return tasks > 0 ? sum / tasks : 0;
}

static void join(selection *s, int64_t member)
{
    for (int64_t i = 0; i < s->floats; i++)
        s->sum[i] += (double)s->held[member * s->floats + i];
}

static bool is_chosen(const selection *s, int64_t member)
{
    for (int64_t i = 0; i < s->count; i++)
        if (s->chosen[i] == member)
            return true;
    return false;
}

/* Of equals the first; false when nobody makes it better. */
static bool choose_one(selection *s)
{
    int64_t best = -1;
    double least = s->best;
    for (int64_t k = 0; k < s->members; k++) {
        if (is_chosen(s, k))
            continue;
        const double now = objective(s, s->count + 1, s->held + k * s->floats);
        if (now < least) {
            least = now;
            best = k;
        }
    }
    if (best < 0)
        return false;
    join(s, best);
    s->chosen[s->count++] = best;
    s->best = least;
    return true;
}

/* What a member predicts: that of a network of it twice, whose mean it is. */
static mtl_status hold(selection *s, int64_t member, const mtl_dataset *data, mtl_error *err)
{
    const int64_t twice[2] = {member, member};
    mtl_model *one = NULL;
    mtl__judge *j = NULL;
    mtl_status st = mtl__model_subset(s->m, twice, 2, &one, err);
    if (st == MTL_OK)
        st = mtl__judge_data(one, data, "held_out", &j, err);
    if (st == MTL_OK)
        memcpy(s->held + member * s->floats, j->predicted, (size_t)s->floats * sizeof *s->held);
    mtl__judge_destroy(j);
    mtl__model_destroy(one);
    return st;
}

static void plan(selection *s, mtl__arena *a)
{
    int64_t floats;
    if (!mtl__mul_size(s->members, s->floats, &floats))
        floats = INT64_MAX;
    s->held = mtl__arena_floats(a, floats);
    s->sum = mtl__arena_take(a, s->floats, sizeof *s->sum);
    s->p = mtl__arena_take(a, s->m->net.outputs, sizeof *s->p);
    s->unit = mtl__arena_take(a, s->m->net.outputs, sizeof *s->unit);
    s->base = mtl__arena_take(a, s->m->net.tasks, sizeof *s->base);
    s->chosen = mtl__arena_take(a, s->members, sizeof *s->chosen);
}

static mtl_status prepare(selection *s, const mtl_dataset *data, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t k = 0; k < s->members && st == MTL_OK; k++)
        st = hold(s, k, data, err);
    for (int64_t i = 0; i < s->m->net.outputs; i++)
        s->unit[i] = s->m->pipe.y_scale[i] > 0 ? (double)s->m->pipe.y_scale[i] : 1;
    memset(s->sum, 0, (size_t)s->floats * sizeof *s->sum);
    for (int64_t k = 0; k < s->members && st == MTL_OK; k++)
        join(s, k);
    for (int64_t t = 0; t < s->m->net.tasks && st == MTL_OK; t++)
        s->base[t] = s->judge->label[t] ? task_loss(s, t, s->members, NULL) : (double)NAN;
    memset(s->sum, 0, (size_t)s->floats * sizeof *s->sum);
    s->best = INFINITY;
    return st;
}

static mtl_status write_report(const selection *s, const mtl__judge *after, mtl_report **out,
                               mtl_error *err)
{
    mtl_report *r = NULL;
    int64_t entry = 0;
    mtl_status st;
    MTL_TRY(st, mtl__report_create(s->m->ctx, &r, err), done);
    MTL_TRY(st, mtl__judge_report(after, "loss", r, err), done);
    MTL_TRY(st, mtl__judge_report(s->judge, "loss_of_all", r, err), done);
    MTL_TRY(st, mtl__report_series(r, "member", NULL, NULL, s->count, &entry, err), done);
    for (int64_t i = 0; i < s->count; i++)
        mtl__report_push(r, entry, (double)s->chosen[i]);
    *out = r;
    r = NULL;
done:
    mtl__report_destroy(r);
    return st;
}

mtl_status mtl__prune(const mtl_model *m, const mtl_dataset *held_out, int64_t most, mtl_model **out,
                      mtl_report **report, mtl_error *err)
{
    selection s = {.m = m, .members = m->net.members};
    mtl__arena arena = {0};
    mtl__judge *after = NULL;
    mtl_model *best = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__judge_data(m, held_out, "held_out", &s.judge, err), done);
    s.floats = s.judge->rows * m->net.outputs;
    plan(&s, &arena);
    if (!mtl__arena_reserve(&arena, &m->ctx->al)) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the predictions of %lld members",
                      (long long)s.members);
        goto done;
    }
    plan(&s, &arena);
    MTL_TRY(st, prepare(&s, held_out, err), done);
    while (s.count < most && choose_one(&s)) {
    }
    if (s.count == 0) /* losses that are no numbers choose nobody */
        s.chosen[s.count++] = 0;
    MTL_TRY(st, mtl__model_subset(m, s.chosen, s.count, &best, err), done);
    if (report) {
        MTL_TRY(st, mtl__judge_data(best, held_out, "held_out", &after, err), done);
        MTL_TRY(st, write_report(&s, after, report, err), done);
    }
    *out = best;
    best = NULL;
done:
    mtl__judge_destroy(after);
    mtl__judge_destroy(s.judge);
    mtl__model_destroy(best);
    mtl__arena_release(&arena, &m->ctx->al);
    return st;
}
