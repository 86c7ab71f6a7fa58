/* SPDX-License-Identifier: MIT */
/* Choosing a strategy: candidates and floors on folds of the target's rows and in simulations. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "data/csr.h"
#include "rng/rng.h"
#include "transfer/domain.h"
#include "transfer/scores.h"
#include "transfer/transfer.h"

enum {
    MOST_ROWS = 2000, /* of the target, to choose by */
    FEW = 20, SOME = 60, /* rows up to which folds are repeated 4 and 2 times */
};

/* A share of the time is kept for the model that is chosen. */
static const double TO_CHOOSE = 0.75, TO_SIMULATE = 0.4;

typedef struct chooser {
    const mtl__job *job;
    const mtl_dataset *target;
    const mtl__allocator *al;
    uint64_t seed;
    mtl_dataset *rows; /* of the target: labelled ones, NULL = none, in a new domain */
    mtl_dataset *bare; /* in a new domain: the others, where they are as many, or NULL */
    mtl__contest c;
    mtl__measure measure;
    mtl__verdict *verdict; /* [candidates] */
    int64_t winner, best;
    double started;
} chooser;

/* --- candidates -------------------------------------------------------------------------------- */

static bool is_candidate(const chooser *x, const mtl__strategy *how, const mtl__strategy *only)
{
    if (only)
        return how == only;
    return how->in_auto && (x->job->known || !how->needs_known) &&
           mtl__strategy_serves(x->job, how);
}

/* In a new domain what the source has is simpler than what its few labels say. */
static bool comes_late(const chooser *x, const mtl__strategy *how)
{
    return x->job->same && how->family != MTL__AS_IS && how->family != MTL__STATISTICS;
}

static mtl_status list_candidates(chooser *x, const mtl__strategy *only, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const int64_t most = mtl__strategy_count();
    c->al = x->al;
    c->job = x->job;
    c->how = mtl__alloc_array(x->al, most, sizeof *c->how);
    c->first = mtl__alloc_array(x->al, most + 1, sizeof *c->first);
    x->verdict = mtl__alloc_array(x->al, most, sizeof *x->verdict);
    if (!c->how || !c->first || !x->verdict)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for candidates");
    c->first[0] = 0;
    for (int64_t i = 0; i < 2 * most; i++) {
        const mtl__strategy *how = mtl__strategy_at(i % most);
        if (comes_late(x, how) != (i >= most) || !is_candidate(x, how, only))
            continue;
        c->how[c->candidates++] = how;
        c->variants += mtl__variants(how);
        c->first[c->candidates] = c->variants;
    }
    return MTL_OK;
}

static int64_t number_of(const mtl__contest *c, const char *name)
{
    for (int64_t i = 0; i < c->candidates; i++)
        if (strcmp(c->how[i]->choice.name, name) == 0)
            return i;
    return -1;
}

/* --- rows -------------------------------------------------------------------------------------- */

/* Here, where rows have the numbers that the caller knows. */
static mtl_status check_groups(const chooser *x, int64_t count, const int64_t *rows, mtl_error *err)
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
static mtl_status take_bare(chooser *x, const int64_t *labelled, int64_t count, mtl_error *err)
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

static mtl_status take_rows(chooser *x, mtl_error *err)
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
    if (count > MOST_ROWS) {
        mtl__rng r = mtl__rng_make(x->seed, MTL__RNG_SIMULATE, UINT32_MAX);
        mtl__rng_shuffle(&r, rows, count);
        count = MOST_ROWS;
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
static mtl__split_by split_by(const chooser *x)
{
    const char *group = mtl__option_str(x->job->o, &mtl__transfer_options, "group_by");
    if (*group)
        return (mtl__split_by){.task = mtl__dataset_task(x->rows, group), .is_grouped = true};
    const mtl__new_task *t = &x->job->task[0];
    const bool has_classes = t->kind == MTL_BINARY || t->kind == MTL_MULTICLASS;
    return (mtl__split_by){.task = has_classes ? mtl__dataset_task(x->rows, t->name) : -1};
}

/* As many as there are wanted, or groups for; 0 = none can be made. */
static mtl_status count_folds(const chooser *x, const mtl__split_by *by, int64_t *folds,
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

static mtl_status run_fold(chooser *x, const mtl__split_by *by, mtl__fold fold, uint64_t seed,
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
    c->at += test->rows;
    mtl__dataset_destroy(train);
    mtl__dataset_destroy(test);
    return st;
}

static mtl_status run_folds(chooser *x, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const mtl__split_by by = split_by(x);
    const int64_t n = x->rows->rows;
    int64_t folds;
    mtl_status st = count_folds(x, &by, &folds, err);
    if (st != MTL_OK || folds == 0)
        return st;
    c->repeats = n <= FEW ? 4 : n <= SOME ? 2 : 1;
    c->rows = n * c->repeats;
    c->planned += folds * c->repeats * c->candidates;
    c->own = mtl__alloc_array(x->al, c->variants, c->rows * (int64_t)sizeof *c->own);
    if (!c->own)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    for (int64_t i = 0; i < c->variants * c->rows; i++)
        c->own[i] = NAN;
    for (int64_t r = 0; r < c->repeats && st == MTL_OK; r++)
        for (int64_t k = 0; k < folds && st == MTL_OK && !c->is_over; k++)
            st = run_fold(x, &by, (mtl__fold){folds, k}, x->seed + (uint64_t)r, err);
    return st;
}

static void keep_time(chooser *x, double share)
{
    const double deadline = x->job->deadline;
    x->c.stop_at = deadline > 0 ? x->started + share * (deadline - x->started) : 0;
    x->c.is_over = x->c.is_stopped;
}

static mtl_status gather_evidence(chooser *x, const mtl__strategy *only, mtl_error *err)
{
    mtl__contest *c = &x->c;
    const int64_t tasks = mtl__option_i64(x->job->o, &mtl__transfer_options, "simulations");
    mtl_status st;
    MTL_TRY(st, mtl__measure_create(x->job, x->rows, &x->measure, err), done);
    if (!only && tasks > 0 && x->job->known && !x->job->same) {
        c->room = 2 * tasks;
        c->planned += c->room * c->candidates;
        c->simulated = mtl__alloc_array(x->al, c->room, c->variants * (int64_t)sizeof(double));
        if (!c->simulated)
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for simulations");
        keep_time(x, TO_SIMULATE);
        MTL_TRY(st, mtl__simulate(c, x->job, x->rows->rows, err), done);
    }
    keep_time(x, TO_CHOOSE);
    st = run_folds(x, err);
done:
    return st;
}

/* The linear floor is what the others are measured against, or else no transfer; the variant that
   serves it best. */
static mtl__evidence evidence_of(const chooser *x)
{
    const mtl__contest *c = &x->c;
    mtl__evidence e = {.candidates = c->candidates, .first = c->first, .rows = c->own ? c->rows : 0,
                       .repeats = c->repeats, .own = c->own, .simulations = c->simulations,
                       .simulated = c->simulated};
    const int64_t linear = number_of(c, "linear");
    const int64_t floor = linear < 0 ? number_of(c, "scratch") : linear;
    double least = INFINITY;
    for (int64_t v = 0; floor >= 0 && v < mtl__variants(c->how[floor]); v++) {
        double sum = 0, simulated = 0;
        const int64_t at = c->first[floor] + v;
        for (int64_t i = 0; i < e.rows; i++)
            sum += (double)e.own[at * e.rows + i] / (double)e.rows;
        for (int64_t i = 0; i < e.simulations; i++)
            simulated += e.simulated[i * c->variants + at] / (double)e.simulations;
        if (sum + simulated < least) {
            least = sum + simulated;
            e.reference = at;
        }
    }
    return e;
}

/* --- report ------------------------------------------------------------------------------------ */

/* Layers of the trunk that the model rests on. */
static double cut_of(const chooser *x, const mtl__strategy *how)
{
    const bool uses = how->family == MTL__STEPS || how->family == MTL__AS_IS ||
                      (how->features & MTL__ON_TRUNK);
    return uses ? (double)x->job->source->net.trunk_layers : 0;
}

static mtl_status report_candidate(const chooser *x, int64_t i, mtl_report *r, mtl_error *err)
{
    const mtl__strategy *how = x->c.how[i];
    const mtl__verdict *v = &x->verdict[i];
    const struct {
        const char *what;
        double value;
    } figures[] = {
        {"score", v->score},          {"mean", v->mean},
        {"standard_error", v->error}, {"simulated", v->simulated},
        {"variant", (double)v->variant}, {"cut", cut_of(x, how)},
        {"known_weight", how->needs_known || (how->family == MTL__STEPS && how->phase[0].known &&
                                              x->job->known)
                             ? mtl__option_f64(x->job->o, &mtl__transfer_options, "replay")
                             : 0},
    };
    mtl_status st = MTL_OK;
    for (int k = 0; k < MTL__COUNT_OF(figures) && st == MTL_OK; k++)
        st = mtl__report_number(r, "candidate", how->choice.name, figures[k].what,
                                figures[k].value, err);
    return st;
}

/* To three decimals, for people. */
static mtl__num_text short_number(double x)
{
    return mtl__num(fabs(x) < 1e12 ? (double)(int64_t)(x * 1000 + (x < 0 ? -0.5 : 0.5)) / 1000 : x);
}

static mtl_status report_why(const chooser *x, const mtl__evidence *e, mtl_report *r,
                             mtl_error *err)
{
    const mtl__contest *c = &x->c;
    mtl__bytes text;
    double difference = 0, error = 0;
    if (x->winner < 0)
        return mtl__report_text(r, "why",
                                x->rows ? "nothing could be compared: the simplest one"
                                        : "no row has a label to choose by: the source as it is",
                                err);
    mtl__compare(e, c->first[x->winner] + x->verdict[x->winner].variant,
                 c->first[x->best] + x->verdict[x->best].variant, &difference, &error);
    mtl__bytes_init(&text, x->al);
    if (x->winner == x->best)
        mtl__bytes_format(&text, "%s has the lowest error", c->how[x->winner]->choice.name);
    else
        mtl__bytes_format(&text, "%s is simpler than %s and worse by %s +- %s only",
                          c->how[x->winner]->choice.name, c->how[x->best]->choice.name,
                          short_number(difference).text, short_number(error).text);
    mtl__bytes_format(&text, ", by %lld rows and %lld simulations", (long long)x->rows->rows,
                      (long long)c->simulations);
    mtl__bytes_append(&text, "", 1);
    mtl_status st = text.failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a report")
                                : mtl__report_text(r, "why", text.p, err);
    mtl__bytes_free(&text);
    return st;
}

/* How much lower the error is than that of no transfer, with an interval of 95 %. */
static mtl_status report_gain(const chooser *x, const mtl__evidence *e, mtl_report *r,
                              mtl_error *err)
{
    const int64_t scratch = number_of(&x->c, "scratch");
    double gain, error;
    if (x->winner < 0 || scratch < 0 || x->verdict[scratch].variant < 0)
        return MTL_OK;
    mtl__compare(e, x->c.first[scratch] + x->verdict[scratch].variant,
                 x->c.first[x->winner] + x->verdict[x->winner].variant, &gain, &error);
    mtl_status st = mtl__report_number(r, "gain", NULL, NULL, gain, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "gain", "low", NULL, gain - 1.96 * error, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "gain", "high", NULL, gain + 1.96 * error, err);
    return st;
}

/* The known tasks' main metrics on their rows. */
static mtl_status report_known(const chooser *x, const mtl_model *m, const char *when,
                               mtl_report *r, mtl_error *err)
{
    mtl__binding bound = {0};
    mtl__judge *j = NULL;
    mtl_status st = mtl__binding_create_of(m, x->job->source->spec, x->job->known,
                                           "known", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(m, &bound, &j, err);
    if (st != MTL_OK)
        return st;
    mtl__judge_run(j);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK; t++) {
        const mtl__task_spec *task = &m->spec->task[t];
        double value;
        if (!j->label[t] || mtl__spec_task(x->job->source->spec, task->name) < 0)
            continue;
        st = mtl__judge_metric(j, mtl__judge_main_metric(task->kind), t, &value, err);
        if (st == MTL_OK)
            st = mtl__report_number(r, "known", when, task->name, value, err);
    }
    if (st == MTL_OK)
        st = mtl__binding_status(&j->bound, err);
    mtl__judge_destroy(j);
    return st;
}

static mtl_status write_report(const chooser *x, const mtl__evidence *e, const mtl_model *m,
                               mtl_report *r, mtl_error *err)
{
    const bool keeps = mtl__spec_task(m->spec, x->job->source->spec->task[0].name) >= 0;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < x->c.candidates && st == MTL_OK; i++)
        st = report_candidate(x, i, r, err);
    if (st == MTL_OK)
        st = report_why(x, e, r, err);
    if (st == MTL_OK)
        st = report_gain(x, e, r, err);
    if (st == MTL_OK && x->job->known)
        st = report_known(x, x->job->source, "before", r, err);
    if (st == MTL_OK && x->job->known && keeps)
        st = report_known(x, m, "after", r, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "simulations", NULL, NULL, (double)x->c.simulations, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "seconds", "all", NULL, mtl__seconds() - x->started, err);
    return st;
}

/* --- all of it --------------------------------------------------------------------------------- */

/* Where nothing could be compared: the simplest candidate that can be made, in the middle of its path. */
static mtl_status make_simplest(chooser *x, mtl_model **m, mtl_report **r, mtl_error *err)
{
    const mtl__strategy *how = x->c.how[0];
    return mtl__move(x->job, x->target, how, mtl__variants(how) / 2, NULL, m, r, err);
}

static mtl_status make_chosen(chooser *x, mtl_model **out, mtl_report **report, mtl_error *err)
{
    const mtl__evidence e = evidence_of(x);
    mtl_report *r = NULL;
    mtl_model *m = NULL;
    mtl_status st;
    x->winner = mtl__choose(&e, x->verdict, &x->best);
    if (x->winner < 0)
        st = make_simplest(x, &m, &r, err);
    else
        st = mtl__move(x->job, x->target, x->c.how[x->winner], x->verdict[x->winner].variant, NULL,
                       &m, &r, err);
    if (st == MTL_OK)
        st = write_report(x, &e, m, r, err);
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

static void free_chooser(chooser *x)
{
    const mtl__contest *c = &x->c;
    const int64_t most = mtl__strategy_count();
    mtl__free(x->al, c->how, most * (int64_t)sizeof *c->how);
    mtl__free(x->al, c->first, (most + 1) * (int64_t)sizeof *c->first);
    mtl__free(x->al, x->verdict, most * (int64_t)sizeof *x->verdict);
    mtl__free(x->al, c->own, c->variants * c->rows * (int64_t)sizeof *c->own);
    mtl__free(x->al, c->simulated, c->room * c->variants * (int64_t)sizeof *c->simulated);
    mtl__measure_free(&x->measure);
    mtl__dataset_destroy(x->rows);
    mtl__dataset_destroy(x->bare);
}

/* All that a run would refuse, before the first one. */
static mtl_status check_data(const mtl__job *job, const mtl_dataset *target, mtl_error *err)
{
    const int64_t inputs = job->source->net.raw_inputs;
    mtl__binding known = {0};
    mtl_status st = mtl__dataset_in_memory(target, "a strategy that has to be chosen", err);
    if (st == MTL_OK)
        st = mtl__dataset_is_dense(target, "a strategy that has to be chosen", err);
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
    chooser x = {.job = job, .target = target, .al = &job->source->ctx->al, .winner = -1,
                 .seed = (uint64_t)mtl__option_i64(job->o, &mtl__transfer_options, "seed"),
                 .started = mtl__seconds()};
    mtl_status st = check_data(job, target, err);
    if (st == MTL_OK)
        st = take_rows(&x, err);
    if (st == MTL_OK)
        st = list_candidates(&x, only, err);
    if (st == MTL_OK && x.rows)
        st = gather_evidence(&x, only, err);
    if (st == MTL_OK)
        st = make_chosen(&x, out, report, err);
    free_chooser(&x);
    return st;
}
