/* SPDX-License-Identifier: MIT */
/* The learning rate range test: Smith 2017, "Cyclical learning rates for training neural networks",
   section 3.3, with equal factors between the rates. */
#include "train/fit.h"

#include <math.h>
#include <string.h>

/* One step at each rate; the sweep ends when the smoothed loss is so many times the lowest. */
#define RATE_FROM  1e-7
#define RATE_SHAPE "geometric:final=1e8"
#define STEPS      100
#define SMOOTHING  0.9
#define EXPLODED   4.0

typedef struct sweep {
    mtl_report *report;
    int64_t series_rate, series_loss, series_smooth;
    int64_t count;
    double mean, weight; /* of the losses so far; 1 - SMOOTHING^count */
    double lowest;
} sweep;

static void change_settings(void *arg, mtl__train_settings *set)
{
    (void)arg;
    set->epochs = STEPS; /* at least one step in each */
    set->rate = RATE_FROM;
    mtl_status st = mtl__choice_parse(&mtl__schedules, RATE_SHAPE, -1, &set->schedule, NULL);
    if (st == MTL_OK)
        st = mtl__choice_parse(&mtl__averages, "none", -1, &set->average, NULL);
    assert(st == MTL_OK);
    (void)st;
    set->warm_up = 0;
    set->patience = 0;
    set->train_metrics = false;
}

static void record(void *arg, mtl__trainer *t)
{
    sweep *s = arg;
    s->mean = SMOOTHING * s->mean + (1 - SMOOTHING) * t->step_loss;
    s->weight = SMOOTHING * s->weight + (1 - SMOOTHING);
    double smooth = s->mean / s->weight;
    mtl__report_push(s->report, s->series_rate, t->now.optim.rate);
    mtl__report_push(s->report, s->series_loss, t->step_loss);
    mtl__report_push(s->report, s->series_smooth, smooth);
    s->lowest = s->count++ == 0 || smooth < s->lowest ? smooth : s->lowest;
    if (smooth > EXPLODED * s->lowest)
        t->reason = "diverged";
    else if (s->count == STEPS)
        t->reason = "steps";
}

static mtl_status add_recorder(void *arg, mtl__trainer *t, mtl_error *err)
{
    (void)err;
    t->sched.steps = STEPS;
    mtl__trainer_hook(t, (mtl__hook){.self = arg, .after_step = record});
    return MTL_OK;
}

/* The rate where the smoothed loss falls most from its neighbour before to the one behind, up to
   the lowest loss. The first tenth does not count: the mean has hardly anything to smooth yet. */
static double suggest(const sweep *s)
{
    const double *rate = s->report->entry[s->series_rate].series;
    const double *loss = s->report->entry[s->series_smooth].series;
    double steepest = 0, suggested = NAN;
    int64_t low = 0;
    for (int64_t i = 0; i < s->count; i++)
        low = loss[i] < loss[low] ? i : low;
    for (int64_t i = STEPS / 10; i <= low && i + 1 < s->count; i++)
        if (loss[i + 1] - loss[i - 1] < steepest) {
            steepest = loss[i + 1] - loss[i - 1];
            suggested = rate[i];
        }
    return suggested;
}

static mtl_status start_report(sweep *s, mtl_context *ctx, mtl_error *err)
{
    mtl_status st;
    MTL_TRY(st, mtl__report_create(ctx, &s->report, err), done);
    MTL_TRY(st, mtl__report_text(s->report, "reason", "", err), done);
    MTL_TRY(st, mtl__report_number(s->report, "suggested", NULL, NULL, NAN, err), done);
    MTL_TRY(st,
            mtl__report_series(s->report, "learning_rate", NULL, NULL, STEPS, &s->series_rate, err),
            done);
    MTL_TRY(st, mtl__report_series(s->report, "loss", NULL, NULL, STEPS, &s->series_loss, err),
            done);
    MTL_TRY(st,
            mtl__report_series(s->report, "loss/smooth", NULL, NULL, STEPS, &s->series_smooth, err),
            done);
done:
    return st;
}

/* A loss that is not finite ends a sweep like one that grows; without any step it is a failure. */
static mtl_status run(sweep *s, mtl_model *copy, const mtl_dataset *train, const mtl_options *o,
                      mtl_error *err)
{
    const mtl__fit_changes changes = {
        .self = s, .settings = change_settings, .trainer = add_recorder};
    const char *reason = "diverged";
    mtl_report *fit = NULL;
    mtl_error mine = {0};
    mtl_status st = mtl__fit_changed(copy, train, NULL, o, &changes, &fit, &mine);
    if (st == MTL_OK)
        reason = mtl__report_find(fit, "reason")->text;
    else if (st == MTL_ERR_DIVERGED && s->count > 0)
        st = MTL_OK;
    else
        return mtl__fail(err, st, "%s", mine.message);
    mtl__report_set_text(s->report, "reason", reason);
    mtl__report_set_number(s->report, "suggested", suggest(s));
    mtl__report_destroy(fit);
    return st;
}

mtl_status mtl__lr_find(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                        mtl_report **report, mtl_error *err)
{
    mtl_model *copy = NULL;
    sweep s = {0};
    mtl_status st = mtl__model_clone(m, &copy, err);
    if (st == MTL_OK)
        st = start_report(&s, m->ctx, err);
    if (st == MTL_OK)
        st = run(&s, copy, train, o, err);
    if (st == MTL_OK) {
        *report = s.report;
        s.report = NULL;
    }
    mtl__report_destroy(s.report);
    mtl__model_destroy(copy);
    return st;
}
