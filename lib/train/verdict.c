/* SPDX-License-Identifier: MIT */
/* Folds of the training rows; in each the same rows train a shared network, a network and a linear
   model for each task, and the same others judge them. The choice of each task is then trained on
   all rows, and the model becomes what was chosen. */
#include "train/verdict.h"

#include <math.h>
#include <string.h>

/* From simple to costly. */
enum { LINEAR, SHARED, SINGLE, KINDS };
enum { LEAST_BATCH = 4 }; /* rows; a norm of a batch needs some */
static const char *const names[KINDS] = {"linear", "shared", "single"};

typedef struct verdict {
    mtl_model *m;
    const mtl_dataset *train, *valid;
    const mtl_options *o;
    int64_t tasks, folds, done; /* done: folds in which nothing was cut off */
    double *figure;             /* [2, KINDS, tasks, folds]: losses, main metrics; NaN = none */
    int64_t *choice;            /* [tasks] */
    double deadline;            /* 0 = none */
    double until;               /* when the net being trained has to be done */
    double share; /* of the rows that the net being trained has labels of */
    bool is_cut, is_cancelled;
} verdict;

static double *figures(const verdict *v, int64_t what, int64_t kind, int64_t task)
{
    return v->figure + ((what * KINDS + kind) * v->tasks + task) * v->folds;
}

/* --- training one of them ---------------------------------------------------------------------- */

static int32_t stop_now(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return 0;
}

static void limit(void *self, mtl__train_settings *set)
{
    const verdict *v = self;
    const double rows = (double)set->batch_rows * v->share;
    set->batch_rows = mtl__max((int64_t)rows, mtl__min(set->batch_rows, LEAST_BATCH));
    if (v->is_cancelled)
        set->progress = stop_now;
    if (v->deadline > 0) {
        const double left = v->until - mtl__seconds();
        set->time_limit = left > 1e-9 ? left : 1e-9;
    }
}

/* The description of a kind of candidate; task -1 = all. */
static mtl_status describe(const verdict *v, int64_t kind, int64_t task, mtl_spec **out,
                           mtl_error *err)
{
    const mtl_spec *whole = v->m->spec;
    mtl_spec *s = NULL;
    mtl_status st = kind == LINEAR ? mtl__spec_create(whole->ctx, whole->inputs, &s, err)
                                   : mtl__spec_clone(whole, kind == SINGLE, &s, err);
    if (st == MTL_OK && kind == LINEAR)
        s->missing_indicators = whole->missing_indicators;
    if (st == MTL_OK && kind != SHARED)
        st = mtl__spec_copy_task(s, &whole->task[task], kind == SINGLE, err);
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

static void note_end(verdict *v, const mtl_report *r)
{
    const char *reason = mtl__report_find(r, "reason")->text;
    v->is_cancelled = v->is_cancelled || strcmp(reason, "cancelled") == 0;
    v->is_cut = v->is_cut || v->is_cancelled || strcmp(reason, "time_limit") == 0;
}

/* A task alone has nothing to be weighed against, and not all the tensors that groups may mean. */
static void limit_single(void *self, mtl__train_settings *set)
{
    limit(self, set);
    set->is_part = true;
    set->weighting = (mtl__weighting_set){0};
}

/* report may be NULL. */
static mtl_status train(verdict *v, int64_t kind, int64_t task, const mtl_dataset *rows,
                        mtl_model **out, mtl_report **report, mtl_error *err)
{
    const mtl__fit_changes changes = {.self = v, .settings = kind == SINGLE ? limit_single : limit};
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
        st = mtl__floor_fit(net, rows, v->o, err);
    else if (st == MTL_OK)
        st = mtl__fit_changed(net, own ? own : rows, v->valid, v->o, &changes, &r, err);
    if (st == MTL_OK && r)
        note_end(v, r);
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

static mtl_status look(verdict *v, int64_t kind, const mtl_model *net, const mtl_dataset *rows,
                       mtl_error *err)
{
    mtl__binding bound;
    mtl__judge *j = NULL;
    mtl_status st = mtl__binding_create(net, rows, "train", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(net, &bound, &j, err);
    if (st != MTL_OK)
        return st;
    mtl__judge_run(j);
    st = mtl__binding_status(&j->bound, err);
    v->is_cancelled = v->is_cancelled || j->targets.refused >= 0;
    v->is_cut = v->is_cut || v->is_cancelled;
    for (int64_t t = 0; t < net->net.tasks && st == MTL_OK; t++) {
        const mtl__task_spec *task = &net->spec->task[t];
        const int64_t own = mtl__spec_task(v->m->spec, task->name);
        figures(v, 0, kind, own)[v->done] = j->task_loss[t];
        st = mtl__judge_metric(j, mtl__judge_main_metric(task->kind), t,
                               &figures(v, 1, kind, own)[v->done], err);
    }
    mtl__judge_destroy(j);
    return st;
}

/* One candidate in one fold. Without labels it has no figures; one that diverges has lost. */
static mtl_status compete(verdict *v, int64_t kind, int64_t task, mtl_dataset *const part[2],
                          mtl_error *err)
{
    mtl_model *net = NULL;
    mtl_error mine = {0};
    mtl_status st = train(v, kind, task, part[0], &net, NULL, &mine);
    if (st == MTL_OK)
        st = look(v, kind, net, part[1], &mine);
    mtl__model_destroy(net);
    if (st == MTL_ERR_DIVERGED)
        for (int64_t t = 0; t < v->tasks; t++)
            if (task < 0 || task == t)
                figures(v, 0, kind, t)[v->done] = INFINITY;
    if (st == MTL_OK || st == MTL_ERR_DIVERGED || st == MTL_ERR_DATA)
        return MTL_OK;
    return mtl__fail(err, st, "%s", mine.message);
}

static mtl_status run_fold(verdict *v, mtl_error *err)
{
    const mtl__split_by by = {.task = -1};
    const uint64_t seed = (uint64_t)mtl__option_i64(v->o, &mtl__fit_options, "seed");
    mtl_dataset *part[2] = {NULL, NULL};
    mtl_status st = mtl__dataset_kfold(v->train, &by, (mtl__fold){v->folds, v->done}, seed,
                                       &part[0], &part[1], err);
    if (st == MTL_OK)
        st = compete(v, SHARED, -1, part, err);
    for (int64_t t = 0; t < v->tasks && st == MTL_OK && !v->is_cut; t++) {
        st = compete(v, LINEAR, t, part, err);
        if (v->tasks > 1 && st == MTL_OK)
            st = compete(v, SINGLE, t, part, err);
    }
    for (int i = 0; i < 2 && v->tasks == 1; i++) /* the same network */
        figures(v, i, SINGLE, 0)[v->done] = figures(v, i, SHARED, 0)[v->done];
    mtl__dataset_destroy(part[0]);
    mtl__dataset_destroy(part[1]);
    return st;
}

/* The first fold has a third of the time; a later one begins when it and what comes after all folds,
   a fit of all rows, can be expected to fit. */
static mtl_status run_folds(verdict *v, mtl_error *err)
{
    const double limit = mtl__option_f64(v->o, &mtl__fit_options, "time_limit");
    const double begun = mtl__seconds();
    double fold = 0;
    mtl_status st = MTL_OK;
    v->deadline = limit > 0 ? begun + limit : 0;
    while (st == MTL_OK && v->done < v->folds && !v->is_cut) {
        const double now = mtl__seconds(), after = fold * 1.25;
        v->until = v->done ? v->deadline - after : begun + limit / 3;
        if (limit > 0 && now + fold > v->until)
            break;
        st = run_fold(v, err);
        fold = fmax(fold, mtl__seconds() - now);
        v->done += st == MTL_OK && !v->is_cut;
    }
    v->until = v->deadline;
    return st;
}

/* --- the verdict ------------------------------------------------------------------------------- */

typedef struct gain {
    double mean, error, half; /* half of the 95 % interval */
    int64_t folds;
} gain;

/* Half of the 95 % interval of Student's t, by degrees of freedom. */
static const float student[] = {NAN,   12.71f, 4.303f, 3.182f, 2.776f, 2.571f, 2.447f,
                                2.365f, 2.306f, 2.262f, 2.228f, 2.201f, 2.179f, 2.160f,
                                2.145f, 2.131f, 2.120f, 2.110f, 2.101f, 2.093f};

/* Of kind b over kind a, by paired losses. Training rows overlap between folds, so the variance of
   the mean is that of folds times 1 / folds + judged rows / training rows (Nadeau & Bengio 2003). */
static gain compare(const verdict *v, int64_t task, int64_t a, int64_t b)
{
    const double *x = figures(v, 0, a, task), *y = figures(v, 0, b, task);
    gain g = {0};
    double squares = 0;
    for (int64_t f = 0; f < v->done; f++)
        if (!isnan(x[f] - y[f])) {
            g.mean += x[f] - y[f];
            g.folds++;
        }
    g.mean /= (double)g.folds; /* NaN without any */
    for (int64_t f = 0; f < v->done; f++)
        if (!isnan(x[f] - y[f]))
            squares += (x[f] - y[f] - g.mean) * (x[f] - y[f] - g.mean);
    g.error = sqrt(squares / (double)(g.folds - 1) *
                   (1 / (double)g.folds + 1 / (double)(v->folds - 1)));
    if (g.folds < 2)
        g.error = NAN;
    g.half = g.error * (double)student[g.folds < 2 ? 0 : g.folds - 1];
    return g;
}

static double mean_of(const verdict *v, int64_t what, int64_t kind, int64_t task)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t f = 0; f < v->done; f++) {
        const double x = figures(v, what, kind, task)[f];
        sum += isnan(x) ? 0 : x;
        n += !isnan(x);
    }
    return n ? sum / (double)n : (double)NAN;
}

/* Judged wherever sharing was, without a failure? */
static bool is_complete(const verdict *v, int64_t kind, int64_t task)
{
    int64_t n = 0;
    for (int64_t f = 0; f < v->done; f++) {
        const double x = figures(v, 0, kind, task)[f];
        if (isnan(x) && isnan(figures(v, 0, SHARED, task)[f]))
            continue;
        if (!isfinite(x))
            return false;
        n++;
    }
    return n > 1;
}

/* The simplest whose loss is within a standard error of the best. */
static int64_t choose(const verdict *v, int64_t task)
{
    int64_t best = -1;
    for (int64_t k = 0; k < KINDS; k++)
        if (is_complete(v, k, task) &&
            (best < 0 || mean_of(v, 0, k, task) < mean_of(v, 0, best, task)))
            best = k;
    for (int64_t k = 0; k < best; k++) {
        const gain g = compare(v, task, k, best);
        if (is_complete(v, k, task) && g.mean <= g.error)
            return k;
    }
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
        {"judge/loss/linear", "judge/loss/shared", "judge/loss/single"},
        {"judge/metric/linear", "judge/metric/shared", "judge/metric/single"}};
    const gain g = compare(v, task, SINGLE, SHARED);
    const struct {
        const char *name;
        double value;
    } row[] = {{"judge/gain", g.mean},
               {"judge/gain_error", g.error},
               {"judge/gain_low", g.mean - g.half},
               {"judge/gain_high", g.mean + g.half},
               {"judge/negative_transfer", g.mean + g.half < 0}};
    const char *name = v->m->spec->task[task].name;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < 2 * KINDS && st == MTL_OK; i++)
        st = mtl__report_number(r, what[i / KINDS][i % KINDS], name, NULL,
                                mean_of(v, i / KINDS, i % KINDS, task), err);
    for (int i = 0; i < MTL__COUNT_OF(row) && st == MTL_OK; i++)
        st = mtl__report_number(r, row[i].name, name, NULL, row[i].value, err);
    return st == MTL_OK ? mtl__report_text_of(r, "judge/choice", name, names[v->choice[task]], err)
                        : st;
}

static mtl_status tell(const verdict *v, mtl_report *r, mtl_error *err)
{
    double sum = 0;
    int64_t n = 0;
    mtl_status st = mtl__report_number(r, "judge/folds", NULL, NULL, (double)v->done, err);
    for (int64_t t = 0; t < v->tasks && st == MTL_OK; t++) {
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

/* Is there a task that is served by the shared network? */
static bool is_chosen(const verdict *v, int64_t kind)
{
    for (int64_t t = 0; t < v->tasks; t++)
        if (v->choice[t] == kind)
            return true;
    return false;
}

/* The shared network first, where it serves a task; then one member for each other task. It stays
   where it is when the callback stops one of them. */
static mtl_status add_members(verdict *v, mtl_model **shared, mtl__members *s, mtl_error *err)
{
    const bool keeps = is_chosen(v, SHARED);
    int64_t at = keeps;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < v->tasks && st == MTL_OK && !v->is_cancelled; t++) {
        if (v->choice[t] == SHARED) {
            s->weight[t] = 1;
            continue;
        }
        s->weight[at * v->tasks + t] = 1;
        st = train(v, v->choice[t], t, v->train, &s->model[at++], NULL, err);
    }
    if (keeps && !v->is_cancelled) {
        s->model[0] = *shared;
        *shared = NULL;
    }
    return st;
}

/* The shared network becomes a model of members. */
static mtl_status assemble(verdict *v, mtl_model **shared, mtl_error *err)
{
    const mtl_spec *whole = v->m->spec;
    const mtl__allocator *al = &whole->ctx->al;
    mtl_spec *spec = NULL;
    int64_t count = is_chosen(v, SHARED);
    for (int64_t t = 0; t < v->tasks; t++)
        count += v->choice[t] != SHARED;
    mtl__members *s = mtl__members_alloc(al, count, v->tasks);
    mtl_status st = s ? mtl__spec_create(whole->ctx, whole->inputs, &spec, err)
                      : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)count);
    for (int64_t t = 0; t < v->tasks && st == MTL_OK; t++)
        st = mtl__spec_copy_task(spec, &whole->task[t], false, err);
    if (st == MTL_OK)
        st = add_members(v, shared, s, err);
    if (st == MTL_OK && !v->is_cancelled) {
        mtl__model_destroy(*shared);
        *shared = NULL;
        spec->of_members = true;
        st = mtl__members_model(spec, s, shared, err);
    } else {
        mtl__members_free(s, al);
    }
    mtl__spec_destroy(spec);
    return st;
}

static mtl_status finish(verdict *v, mtl_report **report, mtl_error *err)
{
    mtl_model *net = NULL;
    mtl_report *r = NULL;
    v->is_cut = false;
    mtl_status st = train(v, SHARED, -1, v->train, &net, &r, err);
    for (int64_t t = 0; t < v->tasks; t++)
        v->choice[t] = v->is_cancelled ? SHARED : choose(v, t);
    if (st == MTL_OK && (is_chosen(v, LINEAR) || is_chosen(v, SINGLE)))
        st = assemble(v, &net, err);
    for (int64_t t = 0; t < v->tasks && v->is_cancelled; t++)
        v->choice[t] = SHARED;
    if (st == MTL_OK && v->is_cut)
        mtl__report_set_text(r, "reason", v->is_cancelled ? "cancelled" : "time_limit");
    if (st == MTL_OK)
        st = tell(v, r, err);
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
    v->figure = mtl__arena_take(a, 2 * KINDS * v->folds, v->tasks * (int64_t)sizeof *v->figure);
    v->choice = mtl__arena_take(a, v->tasks, sizeof *v->choice);
}

mtl_status mtl__verdict_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, mtl_report **report, mtl_error *err)
{
    verdict v = {.m = m, .train = train, .valid = valid, .o = o, .tasks = m->net.tasks};
    mtl__arena arena = {0};
    mtl__binding all;
    mtl_status st = check(m, train, o, err);
    if (st != MTL_OK)
        return st;
    /* Rows in question are named by their place in all of the data. */
    MTL_TRY(st, mtl__binding_create(m, train, "train", &all, err), done);
    mtl__binding_free(&all);
    v.folds = mtl__min(mtl__option_i64(o, &mtl__fit_options, "judge_folds"), train->rows / 2);
    take(&v, &arena);
    if (!mtl__arena_reserve_raw(&arena, &m->ctx->al)) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for judging %lld tasks", (long long)v.tasks);
        goto done;
    }
    take(&v, &arena);
    for (int64_t i = 0; i < 2 * KINDS * v.tasks * v.folds; i++)
        v.figure[i] = NAN;
    st = run_folds(&v, err);
    if (st == MTL_OK)
        st = finish(&v, report, err);
    mtl__arena_release(&arena, &m->ctx->al);
done:
    return st;
}
