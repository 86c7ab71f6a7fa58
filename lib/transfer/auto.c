/* SPDX-License-Identifier: MIT */
/* Choosing a strategy: candidates and floors on folds of the target's rows and in simulations. */
#include <math.h>
#include <string.h>

#include "base/order.h"
#include "data/csr.h"
#include "rng/rng.h"
#include "transfer/auto_priv.h"
#include "transfer/domain.h"
#include "transfer/transfer.h"

enum {
    MOST_ROWS = 2000, LEAST_ROWS = 50, /* of the target, to choose by */
    MOST_RESIDUALS = 1 << 18, /* of one variant */
    FEW = 20, SOME = 60, /* rows up to which folds are repeated 4 and 2 times */
    DRAW_STEPS = 1000,
};

/* A share of the time is kept for the model that is chosen. */
static const double TO_CHOOSE = 0.75, TO_SIMULATE = 0.4;

/* Standard errors that an average has to lie below a floor (see mtl__evidence): of one that is
   expected from simulations, too; in a new domain without such, where the source as it is is known to
   serve. Own rows of a new task alone do not know their error well enough to doubt by. */
static const double DOUBT = 0.5, DOUBT_SAME = 1;

/* --- candidates -------------------------------------------------------------------------------- */

static bool is_candidate(const mtl__chooser *x, const mtl__strategy *how, const mtl__strategy *only)
{
    if (only)
        return how == only;
    const bool draws = mtl__strategy_draws(x->job, how) && x->bare;
    return (how->in_auto || draws) && (x->rows || !mtl__strategy_learns(x->job, how)) &&
           (x->job->known || !how->needs_known) && mtl__strategy_serves(x->job, how);
}

/* In a new domain what the source has is simpler than what its few labels say. */
static bool comes_late(const mtl__chooser *x, const mtl__strategy *how)
{
    return x->job->same && how->family != MTL__AS_IS && how->family != MTL__STATISTICS;
}

/* What needs no transfer, or no training; without labels the source as it is alone. */
static bool is_floor(const mtl__chooser *x, const mtl__strategy *how)
{
    return how->family == MTL__CONSTANT || how->family == MTL__AS_IS ||
           (how->family == MTL__STATISTICS && x->rows) || how->fresh ||
           (how->family == MTL__HEAD && how->features == MTL__ON_INPUTS);
}

static mtl_status list_candidates(mtl__chooser *x, const mtl__strategy *only, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const int64_t most = mtl__strategy_count();
    c->al = x->al;
    c->job = x->job;
    c->width = mtl__job_width(x->job);
    c->how = mtl__alloc_array(x->al, most, sizeof *c->how);
    c->first = mtl__alloc_array(x->al, most + 1, sizeof *c->first);
    x->verdict = mtl__alloc_array(x->al, most, sizeof *x->verdict);
    x->is_floor = mtl__alloc_array(x->al, most, sizeof *x->is_floor);
    x->model = mtl__alloc_array(x->al, most, sizeof *x->model);
    x->part = mtl__alloc_array(x->al, most, sizeof *x->part);
    if (!c->how || !c->first || !x->verdict || !x->is_floor || !x->model || !x->part)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for candidates");
    c->first[0] = 0;
    for (int64_t i = 0; i < 2 * most; i++) {
        const mtl__strategy *how = mtl__strategy_at(i % most);
        if (comes_late(x, how) != (i >= most) || !is_candidate(x, how, only))
            continue;
        x->is_floor[c->candidates] = is_floor(x, how);
        x->model[c->candidates] = mtl__is_head(x->job, how) ? 0 : 1 + c->candidates;
        c->how[c->candidates++] = how;
        c->variants += mtl__variants(how);
        c->first[c->candidates] = c->variants;
    }
    return MTL_OK;
}

/* --- rows -------------------------------------------------------------------------------------- */

/* Here, where rows have the numbers that the caller knows. */
static mtl_status check_groups(const mtl__chooser *x, int64_t count, const int64_t *rows, mtl_error *err)
{
    const char *group = mtl__option_str(x->job->o, &mtl__transfer_options, "group_by");
    const int64_t label = *group ? mtl__dataset_task(x->target, group) : -1;
    for (int64_t i = 0; i < count && label >= 0; i++)
        if (isnan(*mtl__array_row(&x->target->labels[label].y, rows[i])))
            return MTL_FAIL(err, MTL_ERR_VALUE,
                            "target: row %lld has no group: its label \"%.64s\" is missing",
                            (long long)rows[i], group);
    return MTL_OK;
}

/* Rows whose inputs are seen while none of the labels is: those without any. */
static mtl_status take_bare(mtl__chooser *x, const int64_t *labelled, int64_t count, mtl_error *err)
{
    const int64_t all = x->target->rows;
    int64_t *rows = mtl__alloc_array(x->al, all, sizeof *rows), bare = 0;
    if (!rows)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)all);
    for (int64_t i = 0, k = 0; i < all; i++)
        if (k < count && labelled[k] == i)
            k++;
        else
            rows[bare++] = i;
    mtl_status st = mtl__dataset_subset(x->target, bare, rows, &x->bare, err);
    mtl__free(x->al, rows, all * (int64_t)sizeof *rows);
    return st;
}

static mtl_status take_rows(mtl__chooser *x, mtl_error *err)
{
    const int64_t all = x->target->rows;
    int64_t *rows = mtl__alloc_array(x->al, all, sizeof *rows), count = 0;
    if (!rows)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)all);
    for (int64_t i = 0; i < all; i++)
        if (mtl__has_label(x->job, x->target, i))
            rows[count++] = i;
    mtl_status st = check_groups(x, count, rows, err);
    if (st == MTL_OK && x->job->same && all - count >= count)
        st = take_bare(x, rows, count, err);
    const int64_t room = mtl__max(MOST_RESIDUALS / mtl__job_width(x->job), LEAST_ROWS);
    if (count > mtl__min(MOST_ROWS, room)) {
        mtl__rng r = mtl__rng_make(x->seed, MTL__RNG_SIMULATE, UINT32_MAX);
        mtl__rng_shuffle(&r, rows, count);
        count = mtl__min(MOST_ROWS, room);
    }
    if (st == MTL_OK)
        st = count          ? mtl__dataset_subset(x->target, count, rows, &x->rows, err)
             : x->job->same ? MTL_OK
                            : MTL_FAIL(err, MTL_ERR_DATA,
                                       "target: all labels of the new tasks are missing");
    mtl__free(x->al, rows, all * (int64_t)sizeof *rows);
    return st;
}

/* By the groups, or else by the first new task's classes. */
static mtl__split_by split_by(const mtl__chooser *x)
{
    const char *group = mtl__option_str(x->job->o, &mtl__transfer_options, "group_by");
    if (*group)
        return (mtl__split_by){.task = mtl__dataset_task(x->rows, group), .is_grouped = true};
    const mtl__new_task *t = &x->job->task[0];
    const bool has_classes = t->kind == MTL_BINARY || t->kind == MTL_MULTICLASS;
    return (mtl__split_by){.task = has_classes ? mtl__dataset_task(x->rows, t->name) : -1};
}

/* As many as there are wanted, or groups for; 0 = none can be made. */
static mtl_status count_folds(const mtl__chooser *x, const mtl__split_by *by, int64_t *folds,
                              mtl_error *err)
{
    int64_t k = mtl__min(x->rows->rows,
                         mtl__option_i64(x->job->o, &mtl__transfer_options, "folds"));
    for (; k >= 2; k--) {
        mtl_dataset *train, *test;
        mtl_error why = {0};
        mtl_status st = mtl__dataset_kfold(x->rows, by, (mtl__fold){k, 0}, x->seed, &train, &test,
                                           &why);
        if (st == MTL_OK) {
            mtl__dataset_destroy(train);
            mtl__dataset_destroy(test);
            break;
        }
        if (st != MTL_ERR_DATA)
            return MTL_FAIL(err, st, "%s", why.message);
    }
    *folds = k >= 2 ? k : 0;
    return MTL_OK;
}

/* --- evidence ---------------------------------------------------------------------------------- */

/* Of a held-out row: its group, or where it stands among the target's rows. */
static int64_t key_of(const mtl__chooser *x, const mtl__split_by *by, const mtl_dataset *test, int64_t row)
{
    if (by->is_grouped)
        return mtl__order_key(*mtl__array_row(&test->labels[by->task].y, row));
    return mtl__array_row(&test->x, row) - x->rows->x.p;
}

static mtl_status run_fold(mtl__chooser *x, const mtl__split_by *by, mtl__fold fold, uint64_t seed,
                           mtl_error *err)
{
    mtl_dataset *train = NULL, *test = NULL;
    mtl__contest *c = &x->c;
    mtl_status st = mtl__dataset_kfold(x->rows, by, fold, seed, &train, &test, err);
    if (st != MTL_OK)
        return st;
    mtl__job job = *x->job;
    job.deadline = c->stop_at;
    job.domain = x->bare;
    st = mtl__score_split(c, &job, train, test, &x->measure, c->own, c->rows, c->at, err);
    for (int64_t i = 0; i < test->rows; i++)
        x->key[c->at + i] = key_of(x, by, test, i);
    if (c->is_whole)
        c->at += test->rows;
    else if (c->at == 0)
        x->partial = test->rows;
    mtl__dataset_destroy(train);
    mtl__dataset_destroy(test);
    return st;
}

/* In the order in which they come. */
static void number_units(mtl__chooser *x, int64_t rows)
{
    mtl__contest *c = &x->c;
    c->units = 0;
    for (int64_t i = 0; i < rows; i++) {
        int64_t k = 0;
        while (k < i && x->key[k] != x->key[i])
            k++;
        c->unit[i] = k < i ? c->unit[k] : c->units++;
    }
}

static mtl_status run_folds(mtl__chooser *x, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const mtl__split_by by = split_by(x);
    const int64_t n = x->rows->rows;
    int64_t folds;
    mtl_status st = count_folds(x, &by, &folds, err);
    if (st != MTL_OK || folds == 0)
        return st;
    const int64_t repeats = n <= FEW ? 4 : n <= SOME ? 2 : 1;
    c->rows = n * repeats;
    c->planned += folds * repeats * c->candidates;
    c->own = mtl__alloc_array(x->al, c->variants, c->rows * c->width * (int64_t)sizeof *c->own);
    c->unit = mtl__alloc_array(x->al, c->rows, sizeof *c->unit);
    x->key = mtl__alloc_array(x->al, c->rows, sizeof *x->key);
    if (!c->own || !c->unit || !x->key)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    for (int64_t i = 0; i < c->variants * c->rows * c->width; i++)
        c->own[i] = NAN;
    for (int64_t r = 0; r < repeats && st == MTL_OK; r++)
        for (int64_t k = 0; k < folds && st == MTL_OK && !c->is_over; k++)
            st = run_fold(x, &by, (mtl__fold){folds, k}, x->seed + (uint64_t)r, err);
    number_units(x, c->at ? c->at : x->partial);
    return st;
}

static void keep_time(mtl__chooser *x, double share)
{
    const double deadline = x->job->deadline;
    x->c.stop_at = deadline > 0 ? x->started + share * (deadline - x->started) : 0;
    x->c.is_over = x->c.is_stopped;
}

static mtl_status simulate(mtl__chooser *x, mtl_error *err)
{
    const int64_t rows = x->rows ? x->rows->rows : 0;
    return x->job->same ? mtl__simulate_back(&x->c, x->job, x->bare, rows, err)
                        : mtl__simulate(&x->c, x->job, rows, err);
}

static mtl_status gather_evidence(mtl__chooser *x, const mtl__strategy *only, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const int64_t tasks = mtl__option_i64(x->job->o, &mtl__transfer_options, "simulations");
    mtl_status st = MTL_OK;
    if (x->rows)
        MTL_TRY(st, mtl__measure_create(x->job, x->rows, &x->measure, err), done);
    if (!only && tasks > 0 && x->job->known && (x->bare || !x->job->same)) {
        c->room = 2 * tasks;
        c->planned += c->room * c->candidates;
        c->simulated = mtl__alloc_array(x->al, c->room,
                                       c->variants * c->variants * (int64_t)sizeof(double));
        if (!c->simulated)
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for simulations");
        keep_time(x, TO_SIMULATE);
        MTL_TRY(st, simulate(x, err), done);
    }
    keep_time(x, TO_CHOOSE);
    if (x->rows && x->bare && x->job->known && !only)
        MTL_TRY(st, mtl__draw_near(c, &x->own, x->bare, err), done);
    if (x->rows)
        st = run_folds(x, err);
done:
    return st;
}

mtl__evidence mtl__chooser_evidence(const mtl__chooser *x)
{
    const mtl__contest *c = &x->c;
    return (mtl__evidence){.candidates = c->candidates, .first = c->first, .is_floor = x->is_floor,
                           .model = x->model,
                           .rows = c->at ? c->at : x->partial, .room = c->rows, .width = c->width,
                           .own = c->own, .units = c->units, .unit = c->unit,
                           .is_flat = !x->measure.varies,
                           .simulations = c->simulations, .simulated = c->simulated,
                           .lacking = mtl__contest_lacks(c),
                           .doubt = c->simulations ? DOUBT : x->job->same ? DOUBT_SAME : 0,
                           .scratch = x->scratch};
}

/* --- all of it --------------------------------------------------------------------------------- */

/* Where nothing could be compared: the simplest candidate that can be made, in the middle of its path. */
static mtl_status make_simplest(mtl__chooser *x, mtl_model **m, mtl_report **r, mtl_error *err)
{
    const mtl__strategy *how = x->c.how[0];
    return mtl__move(x->job, x->target, how, mtl__variants(how) / 2, NULL, m, r, err);
}

static void take_parts(mtl__chooser *x)
{
    mtl__part *part = x->part;
    for (int64_t i = 0; i < x->c.candidates; i++) {
        const mtl__verdict *v = &x->verdict[i];
        int64_t at = x->parts;
        if (!(v->weight > 0))
            continue;
        for (; at > 0 && part[at - 1].weight < v->weight; at--)
            part[at] = part[at - 1];
        part[at] = (mtl__part){x->c.how[i], v->variant, v->weight};
        x->parts++;
    }
}

static mtl_status choose(mtl__chooser *x, mtl_error *err)
{
    const int64_t n = x->c.candidates, most = mtl__option_i64(x->job->o, &mtl__transfer_options,
                                                              "members");
    x->scratch = mtl__alloc_array(x->al, mtl__choice_scratch(n, x->c.rows) + 2 * n,
                                  sizeof *x->scratch);
    if (!x->scratch)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a choice");
    x->weight = x->scratch + mtl__choice_scratch(n, x->c.rows);
    x->other = x->weight + n;
    const mtl__evidence e = mtl__chooser_evidence(x);
    x->choice = mtl__choose(&e, most, x->verdict);
    take_parts(x);
    return MTL_OK;
}

static mtl_status make_chosen(mtl__chooser *x, mtl_model **out, mtl_report **report, mtl_error *err)
{
    mtl_report *r = NULL;
    mtl_model *m = NULL;
    mtl_status st = choose(x, err);
    if (st == MTL_OK && x->choice.winner < 0)
        st = make_simplest(x, &m, &r, err);
    else if (st == MTL_OK)
        st = mtl__move_average(x->job, x->target, x->part, x->parts, &m, &r, err);
    if (st == MTL_OK)
        st = mtl__chooser_report(x, m, r, err);
    if (st == MTL_OK && x->choice.winner >= 0)
        mtl__report_set_text(r, "strategy", x->c.how[x->choice.winner]->choice.name);
    if (st == MTL_OK && x->c.is_stopped)
        mtl__report_set_text(r, "reason", "cancelled");
    if (st == MTL_OK) {
        *out = m;
        m = NULL;
        if (report) {
            *report = r;
            r = NULL;
        }
    }
    mtl__model_destroy(m);
    mtl__report_destroy(r);
    return st;
}

static void free_chooser(mtl__chooser *x)
{
    const mtl__contest *c = &x->c;
    const int64_t most = mtl__strategy_count();
    mtl__free(x->al, c->how, most * (int64_t)sizeof *c->how);
    mtl__free(x->al, c->first, (most + 1) * (int64_t)sizeof *c->first);
    mtl__free(x->al, x->verdict, most * (int64_t)sizeof *x->verdict);
    mtl__free(x->al, x->model, most * (int64_t)sizeof *x->model);
    mtl__free(x->al, x->part, most * (int64_t)sizeof *x->part);
    mtl__free(x->al, x->is_floor, most * (int64_t)sizeof *x->is_floor);
    mtl__free(x->al, c->unit, c->rows * (int64_t)sizeof *c->unit);
    mtl__free(x->al, x->key, c->rows * (int64_t)sizeof *x->key);
    mtl__free(x->al, x->scratch,
              (mtl__choice_scratch(c->candidates, c->rows) + 2 * c->candidates) *
                  (int64_t)sizeof *x->scratch);
    mtl__free(x->al, c->own, c->variants * c->rows * c->width * (int64_t)sizeof *c->own);
    mtl__free(x->al, c->simulated,
              c->room * c->variants * c->variants * (int64_t)sizeof *c->simulated);
    mtl__measure_free(&x->measure);
    mtl__drawn_free(&x->own);
    mtl__dataset_destroy(x->rows);
    mtl__dataset_destroy(x->bare);
}

/* All that a run would refuse, before the first one. */
static mtl_status check_data(const mtl__job *job, const mtl_dataset *target, mtl_error *err)
{
    const int64_t inputs = job->source->net.raw_inputs;
    mtl__binding known = {0};
    const bool is_sparse = mtl__dataset_is_sparse(target);
    mtl_status st = MTL_OK;
    if (is_sparse || target->stream)
        st = MTL_FAIL(err, MTL_ERR_STATE,
                      "target: its inputs are %s, and strategies are chosen by rows in memory that "
                      "are dense: name a strategy of steps (fine_tune, lp_ft, probe, scratch)",
                      is_sparse ? "sparse" : "streamed");
    if (st == MTL_OK && target->inputs != inputs)
        st = MTL_FAIL(err, MTL_ERR_SHAPE, "target: the model has %lld input columns, the data %lld",
                      (long long)inputs, (long long)target->inputs);
    if (st == MTL_OK)
        st = mtl__dataset_check_inputs(target, err);
    for (int64_t t = 0; t < job->tasks && st == MTL_OK; t++)
        st = mtl__dataset_check_labels(target, mtl__dataset_task(target, job->task[t].name),
                                       job->task[t].kind, job->task[t].outputs, err);
    if (st == MTL_OK && job->known)
        st = mtl__binding_create(job->source, job->known, "known", &known, err);
    mtl__binding_free(&known);
    return st;
}

mtl_status mtl__transfer_chosen(const mtl__job *job, const mtl_dataset *target,
                                const mtl__strategy *only, mtl_model **out, mtl_report **report,
                                mtl_error *err)
{
    mtl__chooser x = {.job = &x.own, .own = *job, .target = target, .al = &job->source->ctx->al,
                 .choice = {-1, -1, 0, NAN},
                 .seed = (uint64_t)mtl__option_i64(job->o, &mtl__transfer_options, "seed"),
                 .started = mtl__seconds()};
    mtl_status st = check_data(job, target, err);
    if (st == MTL_OK)
        st = take_rows(&x, err);
    if (st == MTL_OK)
        st = list_candidates(&x, only, err);
    x.own.draw_steps = DRAW_STEPS;
    if (st == MTL_OK && (x.rows || x.bare))
        st = gather_evidence(&x, only, err);
    if (st == MTL_OK)
        st = make_chosen(&x, out, report, err);
    free_chooser(&x);
    return st;
}
