/* SPDX-License-Identifier: MIT */
/* Networks as candidates: one of all tasks, or of each. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/candidate.h"

/* Fewer labels are too few for a network of one task. Of members it has a part: there are many such
   networks, and one that is needed is better by far. */
enum { SINGLE_LABELS = 200, SINGLE_PART = 4, SINGLE_TASKS = 16, SINGLE_LOSSES = 3 };
/* Values are worth a mixture with a network that is a little worse on one part. */
#define SINGLE_WORSE 1.1
/* Of the networks of all tasks with and without embeddings one that is worse by so much has had its
   turn: a costly one sooner. */
#define NUMERIC_WORSE 1.02
#define SHARED_WORSE  1.1
/* Of more columns an embedding makes the first layer the most costly one; of more values it takes
   too long. */
enum { NUMERIC_COLUMNS = 32, NUMERIC_VALUES = 160000 };
/* Numbers in which a network's predictions of all epochs are kept; more, and those of its best
   epoch stand in for them. */
#define HISTORY 8388608

static mtl__turn *turns(const mtl__selection *s, int kind)
{
    return s->turns + kind * s->run;
}

/* --- one network ----------------------------------------------------------------------------- */

static mtl_status describe(const mtl__selection *s, int kind, int64_t task, mtl_spec **out,
                           mtl_error *err)
{
    const mtl_spec *whole = s->m->spec;
    const mtl__option_group *g = &mtl__fit_options;
    mtl_spec *d = NULL;
    mtl_status st = mtl__spec_clone(whole, true, &d, err);
    if (st == MTL_OK && s->own_shape) {
        if (kind == MTL__NUMERIC)
            st = mtl__spec_add_numeric(d, mtl__option_str(s->o, g, "embedding"), s->columns,
                                       s->column, err);
        if (st == MTL_OK)
            st = mtl__spec_add_layers(d, mtl__option_str(s->o, g, "layers"), err);
        if (st == MTL_OK)
            st = mtl__spec_set_initializer(d, "he_uniform", err);
        d->members = mtl__option_i64(s->o, g, "members");
        if (kind == MTL__SINGLE && whole->tasks > 1)
            d->members = mtl__max(1, d->members / SINGLE_PART);
        for (int64_t t = 0; t < whole->tasks; t++)
            if (whole->task[t].loss->has_thresholds)
                d->members = 1; /* an ensemble has none */
        d->ensemble = MTL__MINI;
    }
    for (int64_t t = 0; t < whole->tasks && st == MTL_OK; t++)
        if (task < 0 || t == task)
            st = mtl__spec_copy_task(d, &whole->task[t], true, err);
    if (st == MTL_OK)
        *out = d;
    else
        mtl__spec_destroy(d);
    return st;
}

static int32_t stop_now(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return 0;
}

static void change_settings(void *self, mtl__train_settings *set)
{
    const mtl__selection *s = self;
    set->seed += (uint64_t)s->part;
    if (s->is_cancelled)
        set->progress = stop_now;
    if (s->deadline > 0) {
        const double left = s->deadline - mtl__seconds();
        set->time_limit = left > 1e-9 ? left : 1e-9;
    }
    if (s->is_part) { /* of one task */
        set->is_part = true;
        set->weighting = (mtl__weighting_set){0};
    }
}

static void record(void *self, mtl__trainer *t)
{
    mtl__turn *u = self;
    const int64_t size = u->rows * u->outputs;
    if (u->slots == 1 && t->best_epoch != t->epoch)
        return;
    memcpy(u->p + (u->slots > 1 ? t->epoch - 1 : 0) * size, t->valid->predicted,
           (size_t)size * sizeof *u->p);
}

static mtl_status add_recorder(void *self, mtl__trainer *t, mtl_error *err)
{
    mtl__selection *s = self;
    mtl__turn *u = turns(s, s->kind) + s->part;
    int64_t all;
    *u = (mtl__turn){
        .al = &s->m->ctx->al, .net = t->m, .rows = t->valid->rows, .outputs = t->m->net.outputs};
    const bool fits = mtl__mul_size(u->rows * u->outputs, t->set.epochs, &all) && all <= HISTORY;
    u->slots = fits ? t->set.epochs : 1;
    u->p = mtl__alloc_array(u->al, u->slots, u->rows * u->outputs * (int64_t)sizeof *u->p);
    if (!u->p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows",
                        (long long)u->rows);
    mtl__trainer_hook(t, (mtl__hook){.self = u, .after_epoch = record});
    return MTL_OK;
}

static void free_turn(mtl__turn *u)
{
    if (u->al)
        mtl__free(u->al, u->p, u->slots * u->rows * u->outputs * (int64_t)sizeof *u->p);
    mtl__report_destroy(u->report);
    *u = (mtl__turn){0};
}

static void note_end(mtl__selection *s, const mtl_report *r)
{
    const char *reason = mtl__report_find(r, "reason")->text;
    s->is_cancelled = s->is_cancelled || strcmp(reason, "cancelled") == 0;
    s->is_cut = s->is_cut || s->is_cancelled || strcmp(reason, "time_limit") == 0;
}

/* A network of all tasks or of one, on all parts but s->part. */
static mtl_status train_network(mtl__selection *s, int kind, int64_t task, mtl_error *err)
{
    const mtl__fit_changes changes = {
        .self = s, .settings = change_settings, .trainer = add_recorder};
    mtl_spec *spec = NULL;
    mtl_model *net = NULL;
    mtl_dataset *part[2] = {NULL, NULL};
    mtl_error mine = {0};
    mtl__turn *u = turns(s, kind) + s->part;
    s->kind = kind;
    s->is_tried = true;
    s->is_part = task >= 0 && s->m->net.tasks > 1;
    mtl_status st = describe(s, kind, task, &spec, &mine);
    if (st == MTL_OK)
        st = mtl__model_create_blank(spec, &net, &mine);
    if (st == MTL_OK)
        st = mtl__folds_part(&s->folds, s->part, task, &part[0], &part[1], &mine);
    if (st == MTL_OK)
        st = mtl__fit_changed(net, part[0], part[1], s->o, &changes, &u->report, &mine);
    if (st == MTL_OK) {
        note_end(s, u->report);
        st = mtl__selection_add(s, (mtl__part){net, kind, s->part, task, 0}, &mine);
        net = NULL;
    }
    if (st != MTL_OK)
        free_turn(u);
    mtl__model_destroy(net);
    mtl__dataset_destroy(part[0]);
    mtl__dataset_destroy(part[1]);
    mtl__spec_destroy(spec);
    return mtl__pardon(st, &mine, err);
}

/* --- predictions of rows left out ------------------------------------------------------------- */

static const mtl__entry *curve(const mtl__turn *u)
{
    return u->report ? mtl__report_find(u->report, "loss/valid") : NULL;
}

/* The epoch (from 0) at which a part's network is judged: the one that the other parts' networks
   would choose, since its own best has been chosen by the rows that judge it. -1 = there is none.
 */
static int64_t epoch_of(const mtl__selection *s, const mtl__turn *turn, int64_t part)
{
    const mtl__entry *own = curve(&turn[part]);
    int64_t best = -1, others = 0;
    double least = INFINITY;
    if (!own || !own->count)
        return -1;
    for (int64_t i = 0; i < s->run; i++)
        others += i != part && curve(&turn[i]) && curve(&turn[i])->count;
    if (!others)
        return (int64_t)mtl__report_find(turn[part].report, "best_epoch")->number - 1;
    for (int64_t e = 0;; e++) {
        double sum = 0;
        for (int64_t i = 0; i < s->run; i++) {
            const mtl__entry *c = curve(&turn[i]);
            if (i == part || !c || !c->count)
                continue;
            if (e >= c->count)
                return mtl__min(best, own->count - 1);
            sum += c->series[e];
        }
        if (sum <= least) {
            least = sum;
            best = e;
        }
    }
}

/* All parts of a candidate had their turn. */
static void settle(mtl__selection *s, int kind, int64_t task)
{
    for (int64_t i = 0; i < s->run; i++) {
        const mtl__turn *u = turns(s, kind) + i;
        const int64_t e = epoch_of(s, turns(s, kind), i);
        if (e >= 0)
            mtl__selection_put(s, kind, i, task, u->net,
                               u->p + (u->slots > 1 ? e : 0) * u->rows * u->outputs);
    }
}

void mtl__selection_free_turns(mtl__selection *s, int kind)
{
    for (int64_t i = 0; i < s->run; i++)
        free_turn(turns(s, kind) + i);
}

/* Of a network of all tasks; the first one is told as that of a fit. */
static void settle_all(mtl__selection *s, int kind)
{
    settle(s, kind, -1);
    if (!s->report) {
        s->report = turns(s, kind)->report;
        turns(s, kind)->report = NULL;
    }
    mtl__selection_free_turns(s, kind);
}

/* --- the candidates -------------------------------------------------------------------------- */

/* task NULL: of all. */
static double best_loss(const mtl_report *r, const char *task)
{
    char name[320];
    const mtl__entry *e;
    const int64_t best = (int64_t)mtl__report_find(r, "best_epoch")->number;
    snprintf(name, sizeof name, "loss/valid%s%.256s", task ? "/" : "", task ? task : "");
    e = mtl__report_find(r, name);
    return e && best > 0 && best <= e->count ? e->series[best - 1] : (double)INFINITY;
}

/* The network of the first part, which is this member, is the last of its kind. */
static void drop_first(mtl__selection *s, int kind, int64_t member)
{
    mtl__model_destroy(s->list[member].net);
    s->count--;
    for (int64_t k = member; k < s->count; k++)
        s->list[k] = s->list[k + 1];
    free_turn(turns(s, kind));
}

/* Columns of two values gain nothing. */
static void find_columns(mtl__selection *s)
{
    const mtl_dataset *d = s->all.data;
    s->columns = 0;
    for (int64_t j = 0; j < d->inputs; j++) {
        float seen[2] = {NAN, NAN};
        bool is_more = false;
        for (int64_t r = 0; r < d->rows && !is_more; r++) {
            const float x = mtl__array_row(&d->x, r)[j];
            if (isnan(x) || x == seen[0] || x == seen[1])
                continue;
            is_more = !isnan(seen[1]);
            seen[!isnan(seen[0])] = x;
        }
        if (is_more)
            s->column[s->columns++] = j;
    }
}

static bool has_numeric(mtl__selection *s)
{
    if (!s->own_shape || !s->mix.held[MTL__NUMERIC])
        return false;
    find_columns(s);
    return s->columns > 0 && s->columns <= NUMERIC_COLUMNS &&
           s->columns * s->all.data->rows <= NUMERIC_VALUES;
}

/* Parts from `first` on, one at least where a task has nothing yet. */
static mtl_status run_turns(mtl__selection *s, int kind, int64_t first, int64_t end, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (s->part = first; s->part < end && st == MTL_OK; s->part++)
        if (!mtl__selection_is_over(s) || !mtl__selection_is_enough(s))
            st = train_network(s, kind, -1, err);
    return st;
}

/* -1, or the kind whose network of the first part is so much worse that it is dropped. */
static int drop_worse(mtl__selection *s)
{
    const mtl_report *a = turns(s, MTL__SHARED)->report, *b = turns(s, MTL__NUMERIC)->report;
    if (!a || !b)
        return -1;
    const double shared = best_loss(a, NULL), numeric = best_loss(b, NULL);
    if (numeric < NUMERIC_WORSE * shared && shared < SHARED_WORSE * numeric)
        return -1;
    const bool is_shared = numeric < shared;
    drop_first(s, is_shared ? MTL__SHARED : MTL__NUMERIC, s->count - (is_shared ? 2 : 1));
    return is_shared ? MTL__SHARED : MTL__NUMERIC;
}

/* With and without embeddings; the first part of both says whether others of both have a turn. */
mtl_status mtl__run_networks(mtl__selection *s, int kind, mtl_error *err)
{
    const bool has_both = s->mix.held[MTL__SHARED] && has_numeric(s);
    const int other = kind == MTL__SHARED ? MTL__NUMERIC : MTL__SHARED;
    int dropped = -1;
    if (kind == MTL__NUMERIC && (s->mix.held[MTL__SHARED] || !has_numeric(s)))
        return MTL_OK; /* done with the other, or none */
    mtl_status st = run_turns(s, kind, 0, 1, err);
    if (st == MTL_OK && has_both)
        st = run_turns(s, other, 0, 1, err);
    if (st == MTL_OK && has_both)
        dropped = drop_worse(s);
    if (st == MTL_OK && dropped != kind)
        st = run_turns(s, kind, 1, s->run, err);
    settle_all(s, kind);
    if (st == MTL_OK && has_both && dropped != other)
        st = run_turns(s, other, 1, s->run, err);
    if (has_both)
        settle_all(s, other);
    return st;
}

static bool goes_on(const mtl__selection *s, int kind, int64_t task)
{
    const mtl__task_spec *t = &s->m->spec->task[task];
    const double factor = mtl__kind_is_class(t->kind) ? 1 : SINGLE_WORSE;
    return !s->report ||
           best_loss(turns(s, kind)->report, t->name) < factor * best_loss(s->report, t->name);
}

/* A network of one task that is no match for the shared one on the first part goes no further;
 *balance: how many fewer did than did not. */
static mtl_status run_task(mtl__selection *s, int kind, int64_t task, int64_t *balance,
                           mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (s->folds.label[task] < 0 || mtl__folds_labels(&s->folds, -1, task) < SINGLE_LABELS)
        return MTL_OK;
    for (s->part = 0; s->part < s->run && st == MTL_OK && !mtl__selection_is_over(s); s->part++) {
        const int64_t before = s->count;
        st = train_network(s, kind, task, err);
        if (s->part || s->count == before)
            continue;
        *balance += goes_on(s, kind, task) ? -1 : 1;
        if (goes_on(s, kind, task))
            continue;
        drop_first(s, kind, s->count - 1);
        break;
    }
    settle(s, kind, task);
    mtl__selection_free_turns(s, kind);
    return st;
}

/* Where the first ones bring nothing, others are not tried. A network of one task is the shared
 * one. */
mtl_status mtl__run_single(mtl__selection *s, int kind, mtl_error *err)
{
    const int64_t tasks = s->m->net.tasks, most = mtl__min(tasks, SINGLE_TASKS);
    int64_t balance = 0;
    mtl_status st = MTL_OK;
    if (tasks == 1 && s->mix.held[MTL__SHARED])
        return MTL_OK;
    for (int64_t t = 0; t < most && st == MTL_OK && balance < SINGLE_LOSSES; t++)
        st = run_task(s, kind, t, &balance, err);
    return st;
}
