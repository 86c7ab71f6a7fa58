/* SPDX-License-Identifier: MIT */
/* Copies of the model are trained on folds of the training rows, one with each weighting that is in the
   race, and judged on the rows left out, each task by its loss beside what it is with the sum.
   The model is then fitted as if the winner's name had been in the options. */
#include "train/race.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "base/text.h"
#include "data/csr.h"
#include "train/verdict.h"

/* From simple to costly. */
enum { SUM, INVERSE_ROOT, INVERSE, UW, IMTL_L, GLS, FAMO, UPGRAD, FAIRGRAD, KINDS };

/* With a power: constant weights, the losses of training to this power. */
static const struct {
    const char *name;
    double power;
} kinds[KINDS] = {{"sum", 0}, {"inverse_root", -0.5}, {"inverse", -1}, {"uw", 0},      {"imtl_l", 0},
                  {"gls", 0}, {"famo", 0},            {"upgrad", 0},  {"fairgrad", 0}};

static const double most_ratio = 100; /* of two such weights */
enum { LOOKS = 3 };                   /* folds after which the worse half leaves the race */

struct mtl__race {
    mtl__contest f;
    mtl__arena arena;
    const mtl_dataset *valid;
    mtl_options *o; /* with the name of the one that is being trained; in the end the winner's */
    bool is_on[KINDS];
    double *score[KINDS]; /* [folds] */
    double *loss;         /* [tasks] of training with the sum, in this fold; NaN = unknown */
    double *log_loss;     /* [tasks]: sum of their logarithms over folds */
    double *weight;       /* [tasks] */
    int64_t best, winner;
    bool is_alone; /* the sum */
};

bool mtl__race_is_wanted(const mtl_options *o)
{
    const mtl__choice kind = mtl__option_choice(o, &mtl__fit_options, "weighting");
    return mtl__aggregation_uses(&kind) & MTL__AGG_CHOICE;
}

/* --- names --------------------------------------------------------------------------------------- */

/* With the mean 1; a task without a loss has the largest. */
static void find_weights(mtl__race *r, double power, const double *loss)
{
    double most = 0, sum = 0;
    for (int64_t t = 0; t < r->f.tasks; t++) {
        r->weight[t] = loss[t] > 0 ? mtl__exp_f64(power * mtl__log_f64(loss[t])) : INFINITY;
        most = loss[t] > 0 ? mtl__max_f64(most, r->weight[t]) : most;
    }
    for (int64_t t = 0; t < r->f.tasks; t++) {
        r->weight[t] = mtl__min_f64(mtl__max_f64(r->weight[t], most / most_ratio), most);
        sum += r->weight[t];
    }
    for (int64_t t = 0; t < r->f.tasks; t++)
        r->weight[t] *= (double)r->f.tasks / sum;
}

/* "constant:weights=1.25/0.75" */
static mtl_status name_constant(mtl__race *r, double power, const double *loss, mtl_error *err)
{
    mtl__bytes b;
    mtl__bytes_init(&b, &r->f.m->ctx->al);
    find_weights(r, power, loss);
    for (int64_t t = 0; t < r->f.tasks; t++) {
        mtl__bytes_text(&b, t ? "/" : "constant:weights=");
        mtl__bytes_text(&b, mtl__num((double)(int64_t)(1000 * r->weight[t] + 0.5) / 1000).text);
    }
    mtl__bytes_append(&b, "", 1);
    mtl_status st = b.failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for weights of tasks")
                             : mtl__options_set_text(r->o, "weighting", b.p, err);
    mtl__bytes_free(&b);
    return st;
}

static mtl_status name_kind(mtl__race *r, int64_t kind, const double *loss, mtl_error *err)
{
    if (kinds[kind].power < 0)
        return name_constant(r, kinds[kind].power, loss, err);
    return mtl__options_set_text(r->o, "weighting", kinds[kind].name, err);
}

/* --- a fold -------------------------------------------------------------------------------------- */

static void limit(void *self, mtl__train_settings *set)
{
    const mtl__race *r = self;
    mtl__contest_limit(&r->f, set);
}

static void take_losses(void *self, mtl__trainer *t)
{
    mtl__race *r = self;
    memcpy(r->loss, t->epoch_loss, (size_t)r->f.tasks * sizeof *r->loss);
}

static mtl_status watch_losses(void *self, mtl__trainer *t, mtl_error *err)
{
    (void)err;
    mtl__trainer_hook(t, (mtl__hook){.self = self, .at_end = take_losses});
    return MTL_OK;
}

/* A weighting that this data does not suit, by losses below 0 say, has lost like one that diverges. */
static mtl_status compete(mtl__race *r, int64_t kind, mtl_dataset *const part[2], mtl_error *err)
{
    const mtl__fit_changes changes = {
        .self = r, .settings = limit, .trainer = kind == SUM ? watch_losses : NULL};
    mtl_model *net = NULL;
    mtl_report *report = NULL;
    mtl_error mine = {0};
    mtl_status st = name_kind(r, kind, r->loss, err);
    if (st != MTL_OK)
        return st;
    st = mtl__model_clone(r->f.m, &net, &mine);
    if (st == MTL_OK)
        st = mtl__fit_changed(net, part[0], r->valid, r->o, &changes, &report, &mine);
    if (st == MTL_OK)
        mtl__contest_note(&r->f, report);
    if (st == MTL_ERR_VALUE && kind != SUM)
        st = MTL_ERR_DIVERGED;
    st = mtl__contest_judge(&r->f, kind, -1, st, &mine, net, part[1], err);
    mtl__report_destroy(report);
    mtl__model_destroy(net);
    return st;
}

/* Constant weights need losses above 0. */
static void check_losses(mtl__race *r)
{
    bool any = false, fine = true;
    for (int64_t t = 0; t < r->f.tasks; t++) {
        any = any || r->loss[t] > 0;
        fine = fine && !(r->loss[t] <= 0);
    }
    if (!any || !fine)
        r->is_on[INVERSE] = r->is_on[INVERSE_ROOT] = false;
}

/* How much larger a loss is than the sum's, as a share of the mean of both: the same in size where one
   has come out small and where the other has, so that no fold outweighs the others. */
static double excess(double loss, double sum)
{
    return !isfinite(loss) ? loss : loss == sum ? 0 : 2 * (loss - sum) / (fabs(loss) + fabs(sum));
}

/* The mean of this over the tasks by their own weights, fold by fold. */
static void find_scores(mtl__race *r)
{
    const mtl_spec *spec = r->f.m->spec;
    for (int64_t k = 0; k < KINDS; k++)
        for (int64_t f = 0; f < r->f.done; f++) {
            double sum = 0, weights = 0;
            for (int64_t t = 0; t < r->f.tasks; t++) {
                const double base = mtl__contest_row(&r->f, 0, SUM, t)[f];
                const double weight = spec->task[t].weight;
                if (!isfinite(base))
                    continue;
                sum += weight > 0 ? weight * excess(mtl__contest_row(&r->f, 0, k, t)[f], base) : 0;
                weights += weight;
            }
            r->score[k][f] = sum / weights; /* NaN of nothing */
        }
}

static bool is_complete(const mtl__race *r, int64_t kind)
{
    return r->is_on[kind] && mtl__contest_complete(&r->f, r->score[kind], r->score[SUM]);
}

/* Is a better than b? Of equals the simpler one. */
static bool is_better(const mtl__race *r, int64_t a, int64_t b)
{
    const double x = mtl__contest_mean(&r->f, r->score[a]), y = mtl__contest_mean(&r->f, r->score[b]);
    return is_complete(r, a) && (!is_complete(r, b) || x < y || (x == y && a < b));
}

/* The sum stays; of the others those that fewer than half are better than. */
static void halve(mtl__race *r)
{
    bool stays[KINDS] = {true};
    int64_t count = 0;
    for (int64_t k = SUM + 1; k < KINDS; k++)
        count += r->is_on[k];
    for (int64_t k = SUM + 1; k < KINDS; k++) {
        int64_t better = 0;
        for (int64_t i = SUM + 1; i < KINDS; i++)
            better += i != k && r->is_on[i] && is_better(r, i, k);
        stays[k] = is_complete(r, k) && better < (count + 1) / 2;
    }
    memcpy(r->is_on, stays, sizeof stays);
}

static mtl_status run_fold(void *self, mtl_dataset *const part[2], mtl_error *err)
{
    mtl__race *r = self;
    mtl_status st = MTL_OK;
    if (r->f.done == LOOKS) {
        find_scores(r);
        halve(r);
    }
    for (int64_t t = 0; t < r->f.tasks; t++)
        r->loss[t] = NAN;
    for (int64_t k = 0; k < KINDS && st == MTL_OK && !r->f.is_cut; k++) {
        if (r->is_on[k])
            st = compete(r, k, part, err);
        if (k == SUM && !r->f.is_cut)
            check_losses(r);
    }
    for (int64_t t = 0; t < r->f.tasks && !r->f.is_cut; t++)
        r->log_loss[t] += r->loss[t] > 0 ? mtl__log_f64(r->loss[t]) : 0;
    return st;
}

/* --- the end ------------------------------------------------------------------------------------- */

/* What is trained has the same form with all of them, so that none is the simpler one: it is the best of
   those that cost no more than the sum, unless one that compares gradients in every step is better by more
   than a standard error. */
static void choose(mtl__race *r)
{
    find_scores(r);
    for (int64_t k = 0; k < KINDS; k++) {
        r->best = is_better(r, k, r->best) ? k : r->best;
        r->winner = k < UPGRAD ? r->best : r->winner;
    }
    const mtl__gain g = mtl__contest_compare(&r->f, r->score[r->winner], r->score[r->best]);
    if (!is_complete(r, r->winner) || g.mean > g.error)
        r->winner = r->best;
}

/* The options that a fit goes on with. */
static mtl_status settle(mtl__race *r, double begun, mtl_error *err)
{
    const double limit = mtl__option_f64(r->o, &mtl__fit_options, "time_limit");
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < r->f.tasks; t++)
        r->loss[t] = mtl__exp_f64(r->log_loss[t] / (double)mtl__max(1, r->f.done));
    if (r->f.is_cancelled)
        r->winner = SUM;
    st = name_kind(r, r->winner, r->loss, err);
    if (st == MTL_OK && limit > 0)
        st = mtl__options_set_number(r->o, "time_limit",
                                     mtl__max_f64(1e-9, limit - (mtl__seconds() - begun)), false,
                                     err);
    if (r->f.is_cancelled)
        r->o->progress = mtl__contest_stop;
    return st;
}

/* --- the call ------------------------------------------------------------------------------------ */

static mtl_status check(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                        mtl_error *err)
{
    mtl__binding all;
    if (m->members)
        return mtl__members_refuse(m, "training", err);
    if (*mtl__option_str(o, &mtl__fit_options, "checkpoint"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "weighting \"auto\" trains many networks, which no "
                                              "checkpoint holds");
    if (train->rows < 4)
        return MTL_FAIL(err, MTL_ERR_DATA, "weighting \"auto\" needs at least 4 training rows, not "
                                           "%lld", (long long)train->rows);
    /* Rows in question are named by their place in all of the data. */
    mtl_status st = mtl__binding_create(m, train, "train", &all, err);
    if (st == MTL_OK)
        mtl__binding_free(&all);
    return st;
}

/* Those that serve this network and data; alone, the sum has won. */
static mtl_status line_up(mtl__race *r, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    mtl_status st = MTL_OK;
    r->is_on[SUM] = true;
    for (int64_t t = 0; t < r->f.tasks; t++)
        r->loss[t] = 1;
    for (int64_t k = SUM + 1; k < KINDS && st == MTL_OK && r->f.tasks > 1; k++) {
        st = name_kind(r, k, r->loss, err);
        if (st != MTL_OK)
            return st;
        const mtl__weighting_set set = mtl__read_weighting(r->o, g);
        r->is_on[k] = r->f.m->net.trunk_layers > 0 &&
                      mtl__weighting_check(&set, r->f.m, mtl__dataset_is_sparse(r->f.train), NULL) == MTL_OK;
    }
    return st;
}

static void take(mtl__race *r, mtl__arena *a)
{
    mtl__contest_take(&r->f, a);
    for (int64_t k = 0; k < KINDS; k++)
        r->score[k] = mtl__arena_take(a, r->f.folds, sizeof *r->score[k]);
    r->loss = mtl__arena_take(a, r->f.tasks, sizeof *r->loss);
    r->log_loss = mtl__arena_take(a, r->f.tasks, sizeof *r->log_loss);
    r->weight = mtl__arena_take(a, r->f.tasks, sizeof *r->weight);
}

static mtl_status reserve(mtl__race *r, mtl_error *err)
{
    mtl__arena arena = {0};
    take(r, &arena);
    if (!mtl__arena_reserve(&arena, &r->f.m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a race of weightings");
    take(r, &arena);
    r->arena = arena;
    mtl__contest_clear(&r->f);
    return MTL_OK;
}

static mtl_status race(mtl__race *r, const mtl_options *o, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const double begun = mtl__seconds();
    int64_t count = 0;
    mtl_status st = mtl__options_copy(o, g, &r->o, err);
    if (st != MTL_OK)
        return st;
    r->f.o = r->o;
    r->f.folds = mtl__contest_count((int64_t)mtl__option_choice(o, g, "weighting").value[0], r->f.train);
    st = reserve(r, err);
    if (st == MTL_OK)
        st = line_up(r, err);
    for (int64_t k = 0; k < KINDS; k++)
        count += r->is_on[k];
    r->is_alone = count == 1;
    if (st == MTL_OK && !r->is_alone)
        st = mtl__contest_run(&r->f, run_fold, r, err);
    if (st == MTL_OK)
        choose(r);
    return st == MTL_OK ? settle(r, begun, err) : st;
}

static void free_race(mtl__race *r)
{
    const mtl__allocator *al = &r->f.m->ctx->al;
    mtl__arena_release(&r->arena, al);
    mtl__options_destroy(r->o);
    mtl__free(al, r, sizeof *r);
}

static mtl_status run_race(const mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                           const mtl_options *o, mtl__race **out, mtl_error *err)
{
    const double limit = mtl__option_f64(o, &mtl__fit_options, "time_limit");
    const bool judge = mtl__option_i64(o, &mtl__fit_options, "judge");
    mtl_status st = check(m, train, o, err);
    if (st != MTL_OK)
        return st;
    mtl__race *r = mtl__alloc_zero(&m->ctx->al, sizeof *r);
    if (!r)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a race of weightings");
    r->f = (mtl__contest){.m = m, .train = train, .tasks = m->net.tasks, .kinds = KINDS,
                        .limit = judge ? limit / 2 : limit, .after = judge ? 0 : 0.5};
    r->valid = valid;
    st = race(r, o, err);
    if (st == MTL_OK)
        *out = r;
    else
        free_race(r);
    return st;
}

/* --- telling it ---------------------------------------------------------------------------------- */

static mtl_status tell_kind(const mtl__race *r, int64_t kind, mtl_report *report, mtl_error *err)
{
    const mtl__gain g = mtl__contest_compare(&r->f, r->score[SUM], r->score[kind]);
    const char *name = kinds[kind].name;
    if (isnan(g.mean)) /* was not in the race */
        return MTL_OK;
    mtl_status st = mtl__report_number(report, "race/gain", name, NULL, g.mean, err);
    return st == MTL_OK ? mtl__report_number(report, "race/gain_error", name, NULL, g.error, err) : st;
}

static const char *why(const mtl__race *r)
{
    if (r->f.is_cancelled)
        return "the callback stopped the race";
    if (r->is_alone)
        return "no other weighting serves these tasks, this network and this data";
    if (r->f.done < 2)
        return "there was no time for two folds";
    return r->winner == r->best ? "it has the lowest loss on rows left out"
                                : "one that compares gradients is better by a standard error or less";
}

mtl_status mtl__race_tell(const mtl__race *r, mtl_report *report, mtl_error *err)
{
    mtl_status st = mtl__report_text(report, "race/weighting",
                                     mtl__option_str(r->o, &mtl__fit_options, "weighting"), err);
    if (st == MTL_OK)
        st = mtl__report_text(report, "race/winner", kinds[r->winner].name, err);
    if (st == MTL_OK)
        st = mtl__report_text(report, "race/why", why(r), err);
    if (st == MTL_OK)
        st = mtl__report_number(report, "race/folds", NULL, NULL, (double)r->f.done, err);
    for (int64_t k = 0; k < KINDS && st == MTL_OK; k++)
        st = tell_kind(r, k, report, err);
    return st;
}

static mtl_status tell(void *self, mtl__trainer *t, mtl_error *err)
{
    return mtl__race_tell(self, t->report, err);
}

mtl_status mtl__race_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                         const mtl_options *o, mtl_report **report, mtl_error *err)
{
    mtl__race *r;
    mtl_status st = run_race(m, train, valid, o, &r, err);
    if (st != MTL_OK)
        return st;
    const mtl__fit_changes changes = {.self = r, .reserve = tell};
    if (mtl__option_i64(o, &mtl__fit_options, "judge"))
        st = mtl__verdict_fit(m, train, valid, r->o, r, report, err);
    else
        st = mtl__fit_changed(m, train, valid, r->o, &changes, report, err);
    free_race(r);
    return st;
}
