/* SPDX-License-Identifier: MIT */
#include "transfer/scores.h"

#include <math.h>
#include <string.h>

#include "base/fpstate.h"

/* --- the measure ------------------------------------------------------------------------------- */

static void plan_measure(const mtl__job *job, mtl__measure *m, mtl__arena *a)
{
    m->by = mtl__arena_take(a, job->tasks, sizeof *m->by);
    for (int64_t t = 0; t < job->tasks; t++) {
        double *by = mtl__arena_take(a, job->task[t].outputs, sizeof *by);
        if (m->by)
            m->by[t] = by;
    }
}

/* In label units; mean: that of the labels. */
static double variance_of(const mtl__sample *s, const mtl__sample_task *t, int64_t outputs,
                          int64_t j, double *mean)
{
    double sum = 0, square = 0, n = 0;
    const double scale = (double)t->scale[j];
    for (int64_t i = 0; i < s->rows; i++) {
        const double y = (double)t->y[i * outputs + j];
        if (isnan(y))
            continue;
        sum += y;
        square += y * y;
        n++;
    }
    *mean = n > 0 ? sum / n * scale + (double)t->mean[j] : 0;
    return n > 0 ? (square - sum * sum / n) / n * scale * scale : 0;
}

static double mean_weight(const mtl__sample *s, const mtl__sample_task *t, int64_t outputs)
{
    double sum = 0, n = 0;
    for (int64_t i = 0; i < s->rows && t->w; i++) {
        int64_t j = 0;
        while (j < outputs && isnan(t->y[i * outputs + j]))
            j++;
        sum += j < outputs ? (double)t->w[i] : 0;
        n += j < outputs;
    }
    return sum > 0 ? sum / n : 1;
}

/* Values: each output by its variance, all of equal say; classes: all by the sum of theirs. Of
   quantiles the middle one stands for the value. Values that do not vary are measured by their square,
   classes as they are. */
static bool measure_task(const mtl__new_task *task, const mtl__sample *s, const mtl__sample_task *t,
                         double *by)
{
    const bool has_classes = mtl__kind_is_class(task->kind);
    const double weight = mean_weight(s, t, task->outputs);
    double all = 0;
    for (int64_t j = 0; j < task->outputs; j++) {
        double mean;
        const double variance = variance_of(s, t, task->outputs, j, &mean);
        all += variance > 0 ? variance : 0;
        by[j] = variance > 0 ? variance : mean * mean > 0 ? mean * mean : 1;
    }
    for (int64_t j = 0; j < task->outputs; j++) {
        if (has_classes)
            by[j] = 1 / (all > 0 ? all : 1);
        else if (task->kind == MTL_QUANTILE)
            by[j] = j == task->outputs / 2 ? 1 / by[j] : 0;
        else
            by[j] = 1 / (by[j] * (double)task->outputs);
        by[j] /= weight;
    }
    return all > 0;
}

mtl_status mtl__measure_create(const mtl__job *job, const mtl_dataset *rows, mtl__measure *out,
                               mtl_error *err)
{
    mtl__measure m = {.al = &job->source->ctx->al, .varies = true};
    mtl__sample s = {0};
    plan_measure(job, &m, &m.arena);
    if (!mtl__arena_reserve(&m.arena, m.al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    plan_measure(job, &m, &m.arena);
    mtl_status st = mtl__sample_create(job, rows, &s, err);
    for (int64_t t = 0; t < job->tasks && st == MTL_OK; t++)
        m.varies = measure_task(&job->task[t], &s, &s.task[t], m.by[t]) && m.varies;
    mtl__sample_free(&s);
    if (st == MTL_OK)
        *out = m;
    else
        mtl__measure_free(&m);
    return st;
}

void mtl__measure_free(mtl__measure *m)
{
    if (m->al)
        mtl__arena_release(&m->arena, m->al);
    *m = (mtl__measure){0};
}

int64_t mtl__job_width(const mtl__job *job)
{
    int64_t width = 0;
    for (int64_t t = 0; t < job->tasks; t++)
        width += job->task[t].outputs;
    return width;
}

/* --- one split --------------------------------------------------------------------------------- */

typedef struct split {
    const mtl__job *job;
    const mtl__measure *measure;
    const mtl_dataset *test;
    mtl__sample made, seen; /* of the rows made from, of those judged on */
    float *x, *out;         /* [rows, inputs] as they come, [rows, widest task] */
    double *z;              /* [widest task] */
    int64_t widest, width;  /* outputs of a task, of all */
    float *residual;        /* of the candidate's first variant, [variants, stride, width] */
    int64_t stride;
    mtl__arena arena;
} split;

/* Of a task's predictions for row i: the squares of all outputs make the row's error. Missing labels
   add nothing. */
static void take_residuals(split *x, int64_t variant, int64_t task, int64_t i)
{
    const int64_t outputs = x->job->task[task].outputs;
    const mtl__sample_task *t = &x->seen.task[task];
    const double *by = x->measure->by[task];
    const double weight = (t->w ? (double)t->w[i] : 1) / (double)x->job->tasks;
    float *to = x->residual + (variant * x->stride + i) * x->width;
    for (int64_t k = 0; k < task; k++)
        to += x->job->task[k].outputs;
    for (int64_t j = 0; j < outputs; j++) {
        const float y = t->y[i * outputs + j];
        if (!isnan(y) && by[j] > 0)
            to[j] = (float)(sqrt(weight * by[j]) *
                            (x->z[j] - ((double)y * (double)t->scale[j] + (double)t->mean[j])));
    }
}

static void start(const split *x, int64_t variants, float value)
{
    for (int64_t v = 0; v < variants; v++)
        for (int64_t i = 0; i < x->seen.rows * x->width; i++)
            x->residual[v * x->stride * x->width + i] = value;
}

static mtl_status score_heads(split *x, const mtl__strategy *how, mtl_error *err)
{
    const int64_t variants = mtl__variants(how), cols = x->seen.inputs + x->seen.hidden;
    start(x, variants, 0);
    for (int64_t t = 0; t < x->job->tasks; t++) {
        mtl__heads h = {0};
        mtl_status st =
            mtl__heads_create(x->job, &x->made, t, how, 0, variants, 1e-3, &h, err);
        if (st != MTL_OK)
            return st;
        if (!h.count)
            start(x, variants, NAN);
        for (int64_t v = 0; v < h.count; v++)
            for (int64_t i = 0; i < x->seen.rows; i++) {
                mtl__heads_predict(&h, x->job->task[t].kind, v, x->seen.phi + i * cols,
                                   &x->made.task[t], x->z);
                take_residuals(x, v, t, i);
            }
        mtl__heads_free(&h);
    }
    return MTL_OK;
}

/* On the part of the trunk that the rows made from are for. */
static mtl_status score_cut(split *x, const mtl_dataset *train, const mtl__strategy *how,
                            mtl_error *err)
{
    split part = *x;
    mtl__job job = *x->job;
    mtl_model *cut = NULL;
    mtl_status st = mtl__cut(x->job, train, &cut, err);
    if (st != MTL_OK || !cut)
        return st == MTL_OK ? score_heads(x, how, err) : st;
    job.source = cut;
    job.is_cut = true;
    part.job = &job;
    part.made = part.seen = (mtl__sample){0};
    st = mtl__sample_create(&job, train, &part.made, err);
    if (st == MTL_OK)
        st = mtl__sample_create(&job, x->test, &part.seen, err);
    if (st == MTL_OK)
        st = score_heads(&part, how, err);
    mtl__sample_free(&part.made);
    mtl__sample_free(&part.seen);
    mtl__model_destroy(cut);
    return st;
}

static mtl_status look(void *self, const mtl_model *m, int64_t variant, mtl_error *err)
{
    split *x = self;
    for (int64_t t = 0; t < x->job->tasks; t++) {
        const int64_t outputs = x->job->task[t].outputs;
        const int64_t number = mtl__spec_task(m->spec, x->job->task[t].name);
        mtl_status st = mtl__model_predict(m, number, x->seen.rows, x->x, x->test->inputs, x->out,
                                           outputs, err);
        if (st != MTL_OK)
            return st;
        for (int64_t i = 0; i < x->seen.rows; i++) {
            for (int64_t j = 0; j < outputs; j++)
                x->z[j] = (double)x->out[i * outputs + j];
            take_residuals(x, variant, t, i);
        }
    }
    return MTL_OK;
}

/* A run that does not stay finite is no candidate; nor one whose model lacks a tensor that the option
   "groups" means, where it has other tasks than the one that is to come. */
static bool is_no_candidate(const split *x, const mtl__strategy *how, mtl_status st)
{
    return st == MTL_ERR_DIVERGED || (st == MTL_ERR_NAME && (how->fresh || x->job->alone));
}

/* Models: stopped on their way, or just made. */
static mtl_status score_models(split *x, const mtl_dataset *train, const mtl__strategy *how,
                              bool *is_cancelled, mtl_error *err)
{
    mtl__watch watch = {x, look, false};
    mtl_model *m = NULL;
    mtl_error why = {0};
    const bool steps = how->family == MTL__STEPS;
    start(x, mtl__variants(how), steps ? 0 : NAN);
    mtl_status st = mtl__move(x->job, train, how, steps ? -1 : 0, &watch, &m, NULL, &why);
    if (st == MTL_OK && !steps) {
        start(x, 1, 0);
        st = look(x, m, 0, &why);
    }
    mtl__model_destroy(m);
    *is_cancelled = watch.is_cancelled;
    if (watch.is_cancelled || is_no_candidate(x, how, st)) {
        start(x, mtl__variants(how), NAN);
        return MTL_OK;
    }
    return st == MTL_OK ? MTL_OK : MTL_FAIL(err, st, "%s", why.message);
}

static void plan(split *x, mtl__arena *a)
{
    const int64_t rows = x->test->rows;
    x->x = mtl__arena_take(a, rows, x->test->inputs * (int64_t)sizeof(float));
    x->out = mtl__arena_take(a, rows, x->widest * (int64_t)sizeof(float));
    x->z = mtl__arena_take(a, x->widest, sizeof *x->z);
}

static mtl_status prepare(split *x, const mtl_dataset *train, mtl_error *err)
{
    for (int64_t t = 0; t < x->job->tasks; t++)
        x->widest = mtl__max(x->widest, x->job->task[t].outputs);
    x->width = mtl__job_width(x->job);
    plan(x, &x->arena);
    if (!mtl__arena_reserve(&x->arena, &x->job->source->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    plan(x, &x->arena);
    mtl_status st = mtl__sample_create(x->job, train, &x->made, err);
    if (st == MTL_OK)
        st = mtl__sample_create(x->job, x->test, &x->seen, err);
    if (st == MTL_OK)
        mtl__array_gather(&x->test->x, x->test->inputs, (mtl__rows){.count = x->test->rows}, x->x,
                          x->test->inputs);
    return st;
}

/* Between two pieces of work: is there time for another? */
static void look_up(mtl__contest *c, const mtl_options *o)
{
    c->done++;
    if (c->stop_at > 0 && mtl__seconds() >= c->stop_at)
        c->is_over = true;
    if (!o || !o->progress)
        return;
    int32_t answer = o->progress(0, c->done, c->planned, NAN, NAN, o->progress_user);
    mtl__fp_enter(); /* whatever the callback did to the state */
    if (answer != MTL_CONTINUE)
        c->is_over = c->is_stopped = true;
}

mtl_status mtl__score_split(mtl__contest *c, const mtl__job *job, const mtl_dataset *train,
                            const mtl_dataset *test, const mtl__measure *measure, float *residual,
                            int64_t stride, int64_t at, mtl_error *err)
{
    split x = {.job = job, .measure = measure, .test = test, .stride = stride};
    mtl_status st = prepare(&x, train, err);
    int64_t i = 0;
    bool is_cancelled = false;
    for (; i < c->candidates && st == MTL_OK && !c->is_over; i++) {
        const mtl__strategy *how = c->how[i];
        const bool heads = how->family != MTL__STEPS && mtl__solves_heads(job, how);
        if ((heads && !mtl__heads_serve(c->job, how)) ||
            (mtl__strategy_draws(job, how) && !job->drawn[how->phase[0].align]))
            continue;
        x.residual = residual + (c->first[i] * stride + at) * x.width;
        st = how->cuts ? score_cut(&x, train, how, err)
             : heads   ? score_heads(&x, how, err)
                       : score_models(&x, train, how, &is_cancelled, err);
        if (is_cancelled)
            c->is_over = c->is_stopped = true;
        else
            look_up(c, job->o);
    }
    c->is_whole = i == c->candidates && !is_cancelled;
    mtl__sample_free(&x.made);
    mtl__sample_free(&x.seen);
    mtl__arena_release(&x.arena, &job->source->ctx->al);
    return st;
}
