/* SPDX-License-Identifier: MIT */
/* Folds of the training rows; in each the same rows train a shared network, a network and a linear
   model for each task, and the same others judge them, and what the two networks predict together. The
   choice of each task is then trained on all rows, and the model becomes what was chosen. */
#include "train/verdict.h"

#include <math.h>
#include <string.h>

#include "model/mix.h"
#include "train/affinity.h"

/* A mixture is of both networks. It stands in as many rows of the contest as there are shares that the
   single one may have. */
enum { LINEAR, SHARED, SINGLE, MIXTURE, KINDS };
enum { SHARES = 3, ROWS = MIXTURE + SHARES };
enum { LEAST_BATCH = 4 }; /* rows; a norm of a batch needs some */
static const char *const names[KINDS] = {"linear", "shared", "single", "mixture"};

typedef struct verdict {
    mtl__contest f;
    mtl_model *m;
    const mtl_dataset *valid;
    const mtl__race *race; /* of the weighting, or NULL */
    bool watches;          /* the network being trained */
    mtl__affinity *watch;  /* or NULL: has nothing to see */
    int64_t *choice; /* [tasks]: of the contest's rows */
    double share;    /* of the rows that the net being trained has labels of */
} verdict;

static const double *losses(const verdict *v, int64_t kind, int64_t task)
{
    return mtl__contest_row(&v->f, 0, kind, task);
}

static double share_of_single(int64_t row)
{
    return row < MIXTURE ? row == SINGLE : (double)(row - MIXTURE + 1) / (SHARES + 1);
}

/* --- training one of them ---------------------------------------------------------------------- */

static void limit(void *self, mtl__train_settings *set)
{
    const verdict *v = self;
    const double rows = (double)set->batch_rows * v->share;
    set->batch_rows = mtl__max((int64_t)rows, mtl__min(set->batch_rows, LEAST_BATCH));
    mtl__contest_limit(&v->f, set);
}

/* The description of a kind of candidate; task -1 = all. */
static mtl_status describe(const verdict *v, int64_t kind, int64_t task, mtl_spec **out,
                           mtl_error *err)
{
    const mtl_spec *whole = v->m->spec;
    const bool has_layers = kind == SHARED || kind == SINGLE;
    mtl_spec *s = NULL;
    mtl_status st = has_layers ? mtl__spec_clone(whole, kind == SINGLE, &s, err)
                               : mtl__spec_create(whole->ctx, whole->inputs, &s, err);
    if (st == MTL_OK && kind == LINEAR)
        s->missing_indicators = whole->missing_indicators;
    if (st == MTL_OK && kind == MIXTURE)
        s->of_members = true;
    for (int64_t t = 0; t < v->f.tasks && st == MTL_OK && kind != SHARED; t++)
        if (task < 0 || t == task)
            st = mtl__spec_copy_task(s, &whole->task[t], kind == SINGLE, err);
    if (st == MTL_OK)
        *out = s;
    else
        mtl__spec_destroy(s);
    return st;
}

/* The rows with a label of the task, for a network that knows no other. Its batches are smaller by as
   much, so that an epoch has the steps of the shared network's, with as many labels in each. */
static mtl_status own_rows(verdict *v, int64_t task, const mtl_dataset *rows, mtl_dataset **out,
                           mtl_error *err)
{
    const mtl__allocator *al = &v->m->ctx->al;
    const int64_t i = mtl__dataset_task(rows, v->m->spec->task[task].name);
    const int64_t bytes = rows->rows * (int64_t)sizeof(int64_t);
    int64_t *own = mtl__alloc(al, bytes), count = 0;
    if (!own)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the rows of a task");
    for (int64_t r = 0; r < rows->rows && i >= 0; r++)
        if (mtl__labels_at(&rows->labels[i], r))
            own[count++] = r;
    v->share = rows->rows ? (double)count / (double)rows->rows : 1;
    mtl_status st = count ? mtl__dataset_subset(rows, count, own, out, err)
                          : MTL_FAIL(err, MTL_ERR_DATA, "no row has a label of task \"%.64s\"",
                                     v->m->spec->task[task].name);
    mtl__free(al, own, bytes);
    return st;
}

/* A task alone has nothing to be weighed against, and not all the tensors that groups may mean. */
static void limit_single(void *self, mtl__train_settings *set)
{
    limit(self, set);
    set->is_part = true;
    set->weighting = (mtl__weighting_set){0};
}

/* A look every as many steps as there are tasks takes as long as those steps. What has nothing to
   compare is not watched. */
static mtl_status watch(void *self, mtl__trainer *t, mtl_error *err)
{
    verdict *v = self;
    mtl_error mine = {0};
    if (!v->watches)
        return MTL_OK;
    const mtl_status st = mtl__affinity_watch(t, mtl__max(v->f.tasks, t->set.weighting.every),
                                              &v->watch, &mine);
    return st == MTL_ERR_NOMEM ? mtl__fail(err, st, "%s", mine.message) : MTL_OK;
}

/* report may be NULL. */
static mtl_status train(verdict *v, int64_t kind, int64_t task, const mtl_dataset *rows,
                        mtl_model **out, mtl_report **report, mtl_error *err)
{
    const mtl__fit_changes changes = {
        .self = v, .settings = kind == SINGLE ? limit_single : limit, .reserve = watch};
    mtl_spec *s = NULL;
    mtl_model *net = NULL;
    mtl_report *r = NULL;
    mtl_dataset *own = NULL;
    mtl_status st = describe(v, kind, task, &s, err);
    v->share = 1;
    if (st == MTL_OK && kind == SINGLE)
        st = own_rows(v, task, rows, &own, err);
    if (st == MTL_OK)
        st = mtl__model_create_blank(s, &net, err);
    if (st == MTL_OK && kind == LINEAR)
        st = mtl__floor_fit(net, rows, v->f.o, NULL, err);
    else if (st == MTL_OK)
        st = mtl__fit_changed(net, own ? own : rows, v->valid, v->f.o, &changes, &r, err);
    if (st == MTL_OK && r)
        mtl__contest_note(&v->f, r);
    if (st == MTL_OK) {
        *out = net;
        net = NULL;
        if (report) {
            *report = r;
            r = NULL;
        }
    }
    mtl__report_destroy(r);
    mtl__model_destroy(net);
    mtl__dataset_destroy(own);
    mtl__spec_destroy(s);
    return st;
}

/* --- folds ------------------------------------------------------------------------------------- */

/* *net stays NULL where there is none to be had. */
static mtl_status compete(verdict *v, int64_t kind, int64_t task, mtl_dataset *const part[2],
                          mtl_model **net, mtl_error *err)
{
    mtl_error mine = {0};
    const mtl_status st = train(v, kind, task, part[0], net, NULL, &mine);
    return mtl__contest_judge(&v->f, kind, task, st, &mine, *net, part[1], err);
}

/* The two networks as one model of a task, in equal shares; taken over, also on failure. */
static mtl_status pair(const verdict *v, int64_t task, mtl_model *net[2], mtl_model **out,
                       mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_status st = describe(v, MIXTURE, task, &spec, err);
    mtl__members *s = mtl__members_alloc(&v->m->ctx->al, 2, 1);
    if (st == MTL_OK && !s)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for 2 members");
    for (int i = 0; i < 2; i++) {
        if (s) {
            s->model[i] = net[i];
            s->weight[i] = 0.5;
        } else {
            mtl__model_destroy(net[i]);
        }
        net[i] = NULL;
    }
    if (st == MTL_OK)
        st = mtl__members_model(spec, s, out, err);
    else
        mtl__members_free(s, &v->m->ctx->al);
    mtl__spec_destroy(spec);
    return st;
}

/* What the shared network (net[0], which stays) and the single one predict together, on the rows with a
   label of the task. */
static mtl_status mix(verdict *v, int64_t task, mtl_model *net[2], const mtl_dataset *held,
                      mtl_error *err)
{
    mtl_model *both = NULL;
    mtl_dataset *own = NULL;
    mtl_error mine = {0};
    mtl_status st = own_rows(v, task, held, &own, &mine);
    if (st != MTL_OK)
        return st == MTL_ERR_DATA ? MTL_OK : mtl__fail(err, st, "%s", mine.message);
    st = pair(v, task, net, &both, err);
    for (int i = 0; i < SHARES && st == MTL_OK; i++) {
        const double share = share_of_single(MIXTURE + i);
        both->forward.mix->share[0].weight = 1 - share;
        both->forward.mix->share[1].weight = share;
        st = mtl__contest_judge(&v->f, MIXTURE + i, task, MTL_OK, &mine, both, own, err);
    }
    if (both) {
        net[0] = both->members->model[0];
        both->members->model[0] = NULL;
    }
    mtl__model_destroy(both);
    mtl__dataset_destroy(own);
    return st;
}

static mtl_status run_task(verdict *v, int64_t task, mtl_model **shared, mtl_dataset *const part[2],
                           mtl_error *err)
{
    mtl_model *linear = NULL, *net[2] = {*shared, NULL};
    mtl_status st = compete(v, LINEAR, task, part, &linear, err);
    mtl__model_destroy(linear);
    if (v->f.tasks > 1 && st == MTL_OK)
        st = compete(v, SINGLE, task, part, &net[1], err);
    if (net[0] && net[1] && st == MTL_OK && !v->f.is_cut)
        st = mix(v, task, net, part[1], err);
    *shared = net[0];
    mtl__model_destroy(net[1]);
    return st;
}

static mtl_status run_fold(void *self, mtl_dataset *const part[2], mtl_error *err)
{
    verdict *v = self;
    mtl_model *shared = NULL;
    mtl_status st = compete(v, SHARED, -1, part, &shared, err);
    for (int64_t t = 0; t < v->f.tasks && st == MTL_OK && !v->f.is_cut; t++)
        st = run_task(v, t, &shared, part, err);
    for (int i = 0; i < 2 && v->f.tasks == 1; i++) /* the same network */
        mtl__contest_row(&v->f, i, SINGLE, 0)[v->f.done] =
            mtl__contest_row(&v->f, i, SHARED, 0)[v->f.done];
    mtl__model_destroy(shared);
    return st;
}

/* --- the verdict ------------------------------------------------------------------------------- */

static double mean_of(const verdict *v, int64_t what, int64_t kind, int64_t task)
{
    return mtl__contest_mean(&v->f, mtl__contest_row(&v->f, what, kind, task));
}

/* Judged wherever sharing was, without a failure? */
static bool is_complete(const verdict *v, int64_t kind, int64_t task)
{
    return mtl__contest_complete(&v->f, losses(v, kind, task), losses(v, SHARED, task));
}

/* Of kind b over kind a, by paired losses. */
static mtl__gain compare(const verdict *v, int64_t task, int64_t a, int64_t b)
{
    return mtl__contest_compare(&v->f, losses(v, a, task), losses(v, b, task));
}

/* Of the rows first .. last the one of least mean loss; -1 = none has all figures. */
static int64_t least(const verdict *v, int64_t task, int64_t first, int64_t last)
{
    int64_t best = -1;
    for (int64_t k = first; k <= last; k++)
        if (is_complete(v, k, task) &&
            (best < 0 || mean_of(v, 0, k, task) < mean_of(v, 0, best, task)))
            best = k;
    return best;
}

static bool is_clearly_better(const verdict *v, int64_t task, int64_t b, int64_t a)
{
    const mtl__gain g = compare(v, task, a, b);
    return g.mean > g.error;
}

/* Neither network is the simpler one, so that one is taken which is expected to be better. Both together
   must be better by more than a standard error, and so must all that in place of a linear model. */
static int64_t choose(const verdict *v, int64_t task)
{
    const int64_t mixture = least(v, task, MIXTURE, ROWS - 1);
    int64_t best = least(v, task, SHARED, SINGLE);
    if (best >= 0 && mixture >= 0 && is_clearly_better(v, task, mixture, best))
        best = mixture;
    if (is_complete(v, LINEAR, task) && (best < 0 || !is_clearly_better(v, task, best, LINEAR)))
        best = LINEAR;
    return best < 0 ? SHARED : best;
}

/* --- telling it -------------------------------------------------------------------------------- */

static double relative_gain(const verdict *v, int64_t task)
{
    const double shared = mean_of(v, 1, SHARED, task), single = mean_of(v, 1, SINGLE, task);
    const bool is_error = !mtl__kind_is_class(v->m->spec->task[task].kind);
    return (is_error ? single - shared : shared - single) / single;
}

static mtl_status tell_task(const verdict *v, int64_t task, mtl_report *r, mtl_error *err)
{
    static const char *const what[2][KINDS] = {
        {"judge/loss/linear", "judge/loss/shared", "judge/loss/single", "judge/loss/mixture"},
        {"judge/metric/linear", "judge/metric/shared", "judge/metric/single",
         "judge/metric/mixture"}};
    const mtl__gain g = compare(v, task, SINGLE, SHARED);
    const int64_t mixture = mtl__max(MIXTURE, least(v, task, MIXTURE, ROWS - 1));
    const struct {
        const char *name;
        double value;
    } row[] = {{"judge/gain", g.mean},
               {"judge/gain_error", g.error},
               {"judge/gain_low", g.mean - g.half},
               {"judge/gain_high", g.mean + g.half},
               {"judge/negative_transfer", g.mean + g.half < 0},
               {"judge/share_of_single", share_of_single(v->choice[task])}};
    const char *name = v->m->spec->task[task].name;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < 2 * KINDS && st == MTL_OK; i++) {
        const int64_t kind = i % KINDS == MIXTURE ? mixture : i % KINDS;
        st = mtl__report_number(r, what[i / KINDS][i % KINDS], name, NULL,
                                mean_of(v, i / KINDS, kind, task), err);
    }
    for (int i = 0; i < MTL__COUNT_OF(row) && st == MTL_OK; i++)
        st = mtl__report_number(r, row[i].name, name, NULL, row[i].value, err);
    return st == MTL_OK ? mtl__report_text_of(r, "judge/choice", name,
                                              names[mtl__min(v->choice[task], MIXTURE)], err)
                        : st;
}

static mtl_status tell(const verdict *v, mtl_report *r, mtl_error *err)
{
    double sum = 0;
    int64_t n = 0;
    mtl_status st = mtl__report_number(r, "judge/folds", NULL, NULL, (double)v->f.done, err);
    for (int64_t t = 0; t < v->f.tasks && st == MTL_OK; t++) {
        const double x = relative_gain(v, t);
        sum += isfinite(x) ? x : 0;
        n += isfinite(x);
        st = tell_task(v, t, r, err);
    }
    return st == MTL_OK ? mtl__report_number(r, "judge/delta_m", NULL, NULL,
                                             n ? sum / (double)n : (double)NAN, err)
                        : st;
}

/* --- what was chosen --------------------------------------------------------------------------- */

/* Tasks that the shared network serves, alone or beside another; those that have a model of their own. */
static int64_t count(const verdict *v, bool own)
{
    int64_t n = 0;
    for (int64_t t = 0; t < v->f.tasks; t++)
        n += own ? v->choice[t] != SHARED : v->choice[t] != LINEAR && v->choice[t] != SINGLE;
    return n;
}

/* The shared network first, where it serves a task; then one member for each task that has one. It stays
   where it is when the callback stops one of them. */
static mtl_status add_members(verdict *v, mtl_model **shared, mtl__members *s, mtl_error *err)
{
    const bool keeps = count(v, false) > 0;
    int64_t at = keeps;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < v->f.tasks && st == MTL_OK && !v->f.is_cancelled; t++) {
        const double share = v->choice[t] == LINEAR ? 1 : share_of_single(v->choice[t]);
        if (keeps)
            s->weight[t] = 1 - share;
        if (share == 0)
            continue;
        s->weight[at * v->f.tasks + t] = share;
        st = train(v, mtl__min(v->choice[t], SINGLE), t, v->f.train, &s->model[at++], NULL, err);
    }
    if (keeps && !v->f.is_cancelled) {
        s->model[0] = *shared;
        *shared = NULL;
    }
    return st;
}

/* The shared network becomes a model of members. */
static mtl_status assemble(verdict *v, mtl_model **shared, mtl_error *err)
{
    const mtl__allocator *al = &v->m->ctx->al;
    mtl_spec *spec = NULL;
    const int64_t members = (count(v, false) > 0) + count(v, true);
    mtl__members *s = mtl__members_alloc(al, members, v->f.tasks);
    mtl_status st = s ? describe(v, MIXTURE, -1, &spec, err)
                      : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members",
                                 (long long)members);
    if (st == MTL_OK)
        st = add_members(v, shared, s, err);
    if (st == MTL_OK && !v->f.is_cancelled) {
        mtl__model_destroy(*shared);
        *shared = NULL;
        st = mtl__members_model(spec, s, shared, err);
    } else {
        mtl__members_free(s, al);
    }
    mtl__spec_destroy(spec);
    return st;
}

static mtl_status finish(verdict *v, mtl_report **report, mtl_error *err)
{
    static const char *const groups[] = {"judge/group", "judge/groups", "judge/groups_score"};
    mtl_model *net = NULL;
    mtl_report *r = NULL;
    v->f.is_cut = false;
    v->watches = v->f.tasks > 1 && mtl__option_i64(v->f.o, &mtl__fit_options, "judge_groups");
    mtl_status st = train(v, SHARED, -1, v->f.train, &net, &r, err);
    v->watches = false;
    if (st == MTL_OK && v->watch && mtl__affinity_steps(v->watch) > 0)
        st = mtl__affinity_groups(v->watch, groups, r, err);
    mtl__affinity_free(v->watch);
    for (int64_t t = 0; t < v->f.tasks; t++)
        v->choice[t] = v->f.is_cancelled ? SHARED : choose(v, t);
    if (st == MTL_OK && count(v, true) > 0)
        st = assemble(v, &net, err);
    for (int64_t t = 0; t < v->f.tasks && v->f.is_cancelled; t++)
        v->choice[t] = SHARED;
    if (st == MTL_OK && v->f.is_cut)
        mtl__report_set_text(r, "reason", v->f.is_cancelled ? "cancelled" : "time_limit");
    if (st == MTL_OK)
        st = tell(v, r, err);
    if (st == MTL_OK && v->race)
        st = mtl__race_tell(v->race, r, err);
    if (st == MTL_OK) {
        mtl__model_swap(v->m, net);
        if (report) {
            *report = r;
            r = NULL;
        }
    }
    mtl__report_destroy(r);
    mtl__model_destroy(net);
    return st;
}

/* --- the call ---------------------------------------------------------------------------------- */

static mtl_status check(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                        mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const char *sampling = mtl__option_str(o, g, "sampling");
    if (m->members)
        return mtl__members_refuse(m, "training", err);
    if (m->is_set)
        return MTL_FAIL(err, MTL_ERR_STATE, "judge = 1 compares networks that begin anew: the model "
                                            "was trained, or a tensor was set or frozen");
    if (*mtl__option_str(o, g, "checkpoint"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "judge = 1 trains many networks, which no checkpoint "
                                              "holds");
    if (strcmp(sampling, "shuffle") != 0)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "judge = 1 trains networks of single tasks: sampling must be shuffle, not "
                        "\"%.64s\"", sampling);
    if (train->rows < 4)
        return MTL_FAIL(err, MTL_ERR_DATA, "judge = 1 needs at least 4 training rows, not %lld",
                        (long long)train->rows);
    return MTL_OK;
}

static void take(verdict *v, mtl__arena *a)
{
    mtl__contest_take(&v->f, a);
    v->choice = mtl__arena_take(a, v->f.tasks, sizeof *v->choice);
}

mtl_status mtl__verdict_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, const mtl__race *race, mtl_report **report,
                            mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    verdict v = {.f = {.m = m, .train = train, .o = o, .tasks = m->net.tasks, .kinds = ROWS,
                       .limit = mtl__option_f64(o, g, "time_limit"), .after = 1.75},
                 .m = m,
                 .valid = valid,
                 .race = race};
    mtl__arena arena = {0};
    mtl__binding all;
    mtl_status st = check(m, train, o, err);
    if (st != MTL_OK)
        return st;
    /* Rows in question are named by their place in all of the data. */
    MTL_TRY(st, mtl__binding_create(m, train, "train", &all, err), done);
    mtl__binding_free(&all);
    v.f.folds = mtl__contest_count(mtl__option_i64(o, g, "judge_folds"), train);
    take(&v, &arena);
    if (!mtl__arena_reserve_raw(&arena, &m->ctx->al)) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for judging %lld tasks", (long long)v.f.tasks);
        goto done;
    }
    take(&v, &arena);
    mtl__contest_clear(&v.f);
    st = mtl__contest_run(&v.f, run_fold, &v, err);
    if (st == MTL_OK)
        st = finish(&v, report, err);
    mtl__arena_release(&arena, &m->ctx->al);
done:
    return st;
}
