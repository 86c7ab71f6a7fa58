/* SPDX-License-Identifier: MIT */
/* Candidates on parts of the rows, what they predict of the rows left out, and the model of members
   that follows from it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/mixture.h"
#include "train/preset.h"
#include "train/verdict.h"

/* Fewer labels are too few for a network of one task. Of members it has a part: there are many such
   networks, and one that is needed is better by far. */
enum { SINGLE_LABELS = 200, SINGLE_PART = 4, SINGLE_TASKS = 16, SINGLE_LOSSES = 3 };
enum { POOLED_LABELS = 2 }; /* of a row, on average at most */
/* Values are worth a mixture with a network that is a little worse on one part. */
#define SINGLE_WORSE 1.1
/* Numbers in which a network's predictions of all epochs are kept; more, and those of its best epoch
   stand in for them. */
#define HISTORY 8388608

static const char *const names[MTL__KINDS] = {"pooled", "linear", "shared", "single"};

typedef struct member {
    mtl_model *net;
    int kind;
    int64_t part, task; /* part -1 = trained on all rows; task -1 = all */
} member;

/* What a network said of the rows left out, epoch by epoch. */
typedef struct turn {
    const mtl__allocator *al;
    const mtl_model *net;
    float *p; /* [slots, rows, outputs] */
    int64_t slots, rows, outputs;
    mtl_report *report; /* NULL = no turn */
} turn;

typedef struct selection {
    mtl_model *m;
    const mtl_dataset *train;
    const mtl_options *o;
    bool own_shape;
    mtl_dataset *joint; /* training and validation rows, or NULL */
    mtl__binding all;
    mtl__folds folds;
    int64_t run; /* parts that are left out in turn */
    mtl__mixture mix;
    member *list;
    int64_t count, capacity;
    turn *turn; /* [run] */
    int64_t part; /* being trained */
    double begun, deadline; /* 0 = none */
    bool is_cut, is_cancelled, is_part;
    mtl_report *report;
} selection;

static bool is_over(const selection *s)
{
    return s->is_cancelled || (s->deadline > 0 && mtl__seconds() >= s->deadline);
}

/* --- members ------------------------------------------------------------------------------------- */

static bool serves(const selection *s, const member *k, int64_t task)
{
    return (k->task < 0 || k->task == task) && s->folds.label[task] >= 0 &&
           mtl__folds_labels(&s->folds, k->part, task) > 0 &&
           (k->kind != MTL__LINEAR || mtl__floor_serves(&s->m->spec->task[task])) &&
           (k->kind != MTL__POOLED || mtl__floor_pools(&s->m->spec->task[task]));
}

/* Has every task a member? */
static bool is_enough(const selection *s)
{
    for (int64_t t = 0; t < s->m->net.tasks; t++) {
        bool any = s->folds.label[t] < 0 && s->count > 0;
        for (int64_t k = 0; k < s->count; k++)
            any = any || serves(s, &s->list[k], t);
        if (!any)
            return false;
    }
    return true;
}

/* Takes the network over, also on failure. */
static mtl_status add_member(selection *s, member k, mtl_error *err)
{
    const mtl__allocator *al = &s->m->ctx->al;
    const int64_t size = sizeof *s->list;
    if (s->count == s->capacity) {
        const int64_t more = s->capacity ? 2 * s->capacity : 8;
        void *p = mtl__realloc(al, s->list, s->capacity * size, more * size);
        if (!p) {
            mtl__model_destroy(k.net);
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)more);
        }
        s->list = p;
        s->capacity = more;
    }
    s->list[s->count++] = k;
    return MTL_OK;
}

static mtl_status describe(const selection *s, int kind, int64_t task, mtl_spec **out,
                           mtl_error *err)
{
    const mtl_spec *whole = s->m->spec;
    const mtl__option_group *g = &mtl__fit_options;
    mtl_spec *d = NULL;
    mtl_status st = kind <= MTL__LINEAR ? mtl__spec_create(whole->ctx, whole->inputs, &d, err)
                                        : mtl__spec_clone(whole, true, &d, err);
    if (st == MTL_OK && kind <= MTL__LINEAR)
        d->missing_indicators = whole->missing_indicators;
    if (st == MTL_OK && kind > MTL__LINEAR && s->own_shape) {
        st = mtl__spec_add_layers(d, mtl__option_str(s->o, g, "layers"), err);
        if (st == MTL_OK)
            st = mtl__spec_set_initializer(d, "he_uniform", err);
        d->members = mtl__option_i64(s->o, g, "members");
        if (task >= 0 && whole->tasks > 1)
            d->members = mtl__max(1, d->members / SINGLE_PART);
        for (int64_t t = 0; t < whole->tasks; t++)
            if (whole->task[t].loss->has_thresholds)
                d->members = 1; /* an ensemble has none */
        d->ensemble = MTL__MINI;
    }
    for (int64_t t = 0; t < whole->tasks && st == MTL_OK; t++)
        if (task < 0 || t == task)
            st = mtl__spec_copy_task(d, &whole->task[t], kind > MTL__LINEAR, err);
    if (st == MTL_OK)
        *out = d;
    else
        mtl__spec_destroy(d);
    return st;
}

/* --- one network --------------------------------------------------------------------------------- */

static int32_t stop_now(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return 0;
}

static void change_settings(void *self, mtl__train_settings *set)
{
    const selection *s = self;
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
    turn *u = self;
    const int64_t size = u->rows * u->outputs;
    if (u->slots == 1 && t->best_epoch != t->epoch)
        return;
    memcpy(u->p + (u->slots > 1 ? t->epoch - 1 : 0) * size, t->valid->predicted,
           (size_t)size * sizeof *u->p);
}

static mtl_status add_recorder(void *self, mtl__trainer *t, mtl_error *err)
{
    selection *s = self;
    turn *u = &s->turn[s->part];
    int64_t all;
    *u = (turn){.al = &s->m->ctx->al, .net = t->m, .rows = t->valid->rows, .outputs = t->m->net.outputs};
    const bool fits = mtl__mul_size(u->rows * u->outputs, t->set.epochs, &all) && all <= HISTORY;
    u->slots = fits ? t->set.epochs : 1;
    u->p = mtl__alloc_array(u->al, u->slots, u->rows * u->outputs * (int64_t)sizeof *u->p);
    if (!u->p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows",
                        (long long)u->rows);
    mtl__trainer_hook(t, (mtl__hook){.self = u, .after_epoch = record});
    return MTL_OK;
}

static void free_turn(turn *u)
{
    if (u->al)
        mtl__free(u->al, u->p, u->slots * u->rows * u->outputs * (int64_t)sizeof *u->p);
    mtl__report_destroy(u->report);
    *u = (turn){0};
}

static void note_end(selection *s, const mtl_report *r)
{
    const char *reason = mtl__report_find(r, "reason")->text;
    s->is_cancelled = s->is_cancelled || strcmp(reason, "cancelled") == 0;
    s->is_cut = s->is_cut || s->is_cancelled || strcmp(reason, "time_limit") == 0;
}

/* What is no failure of the call: a candidate that diverges, or has nothing to learn from, is none. */
static mtl_status pardon(mtl_status st, const mtl_error *mine, mtl_error *err)
{
    if (st == MTL_OK || st == MTL_ERR_DIVERGED || st == MTL_ERR_DATA)
        return MTL_OK;
    return mtl__fail(err, st, "%s", mine->message);
}

/* A network of all tasks or of one, on all parts but s->part. */
static mtl_status train_network(selection *s, int64_t task, mtl_error *err)
{
    const mtl__fit_changes changes = {
        .self = s, .settings = change_settings, .trainer = add_recorder};
    const int kind = task < 0 ? MTL__SHARED : MTL__SINGLE;
    mtl_spec *spec = NULL;
    mtl_model *net = NULL;
    mtl_dataset *part[2] = {NULL, NULL};
    mtl_error mine = {0};
    turn *u = &s->turn[s->part];
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
        st = add_member(s, (member){net, kind, s->part, task}, &mine);
        net = NULL;
    }
    if (st != MTL_OK)
        free_turn(u);
    mtl__model_destroy(net);
    mtl__dataset_destroy(part[0]);
    mtl__dataset_destroy(part[1]);
    mtl__spec_destroy(spec);
    return pardon(st, &mine, err);
}

/* --- predictions of rows left out ------------------------------------------------------------------ */

/* From p [rows of the part with a label of `task`, outputs of net]. */
static void put(selection *s, int kind, int64_t part, int64_t task, const mtl_model *net,
                const float *p)
{
    const mtl_model *m = s->m;
    const member of = {NULL, kind, part, task};
    float *held = s->mix.held[kind];
    for (int64_t r = 0; r < s->folds.data->rows; r++) {
        if (!mtl__folds_has(&s->folds, part, task, r))
            continue;
        for (int64_t t = 0; t < m->net.tasks; t++) {
            const int64_t from = net->net.task[task < 0 ? t : 0].column;
            if (serves(s, &of, t))
                memcpy(held + r * m->net.outputs + m->net.task[t].column, p + from,
                       (size_t)m->spec->task[t].outputs * sizeof *held);
        }
        p += net->net.outputs;
    }
}

static const mtl__entry *curve(const turn *u)
{
    return u->report ? mtl__report_find(u->report, "loss/valid") : NULL;
}

/* The epoch (from 0) at which a part's network is judged: the one that the other parts' networks would
   choose, since its own best has been chosen by the rows that judge it. -1 = there is none. */
static int64_t epoch_of(const selection *s, int64_t part)
{
    const mtl__entry *own = curve(&s->turn[part]);
    int64_t best = -1, others = 0;
    double least = INFINITY;
    if (!own || !own->count)
        return -1;
    for (int64_t i = 0; i < s->run; i++)
        others += i != part && curve(&s->turn[i]) && curve(&s->turn[i])->count;
    if (!others)
        return (int64_t)mtl__report_find(s->turn[part].report, "best_epoch")->number - 1;
    for (int64_t e = 0;; e++) {
        double sum = 0;
        for (int64_t i = 0; i < s->run; i++) {
            const mtl__entry *c = curve(&s->turn[i]);
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
static void settle(selection *s, int64_t task)
{
    for (int64_t i = 0; i < s->run; i++) {
        const turn *u = &s->turn[i];
        const int64_t e = epoch_of(s, i);
        if (e >= 0)
            put(s, task < 0 ? MTL__SHARED : MTL__SINGLE, i, task, u->net,
                u->p + (u->slots > 1 ? e : 0) * u->rows * u->outputs);
    }
}

static void free_turns(selection *s)
{
    for (int64_t i = 0; i < s->run; i++)
        free_turn(&s->turn[i]);
}

/* --- the candidates ------------------------------------------------------------------------------ */

static mtl_status fit_linear(selection *s, int kind, const mtl_dataset *rows, int64_t part,
                             mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *net = NULL;
    mtl_status st = describe(s, kind, -1, &spec, err);
    if (st == MTL_OK)
        st = mtl__model_create_blank(spec, &net, err);
    mtl__spec_destroy(spec);
    if (st == MTL_OK)
        st = kind == MTL__POOLED ? mtl__floor_fit_pooled(net, rows, s->o, err)
                                 : mtl__floor_fit(net, rows, s->o, err);
    if (st == MTL_OK)
        return add_member(s, (member){net, kind, part, -1}, err);
    mtl__model_destroy(net);
    return st;
}

static mtl_status linear_part(selection *s, int kind, int64_t part, mtl_error *err)
{
    mtl_dataset *rows[2] = {NULL, NULL};
    mtl_error mine = {0};
    mtl__binding bound;
    mtl__judge *j = NULL;
    mtl_status st = mtl__folds_part(&s->folds, part, -1, &rows[0], &rows[1], &mine);
    if (st == MTL_OK)
        st = fit_linear(s, kind, rows[0], part, &mine);
    if (st == MTL_OK)
        st = mtl__binding_create(s->list[s->count - 1].net, rows[1], "train", &bound, &mine);
    if (st == MTL_OK)
        st = mtl__judge_create(s->list[s->count - 1].net, &bound, &j, &mine);
    if (st == MTL_OK) {
        mtl__judge_run(j);
        put(s, kind, part, -1, j->m, j->predicted);
    }
    mtl__judge_destroy(j);
    mtl__dataset_destroy(rows[0]);
    mtl__dataset_destroy(rows[1]);
    return pardon(st, &mine, err);
}

static mtl_status run_linear(selection *s, int kind, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < s->run && st == MTL_OK && !(i && is_over(s)); i++)
        st = linear_part(s, kind, i, err);
    return st;
}

/* Where rows have one task each, or few, tasks of one value each: else each task has rows of its own in
   plenty, and all together may be more than memory holds. */
static bool is_for_pooling(const selection *s)
{
    int64_t tasks = 0, labels = 0;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        if (s->folds.label[t] >= 0 && mtl__floor_pools(&s->m->spec->task[t])) {
            labels += mtl__folds_labels(&s->folds, -1, t);
            tasks++;
        }
    return s->mix.held[MTL__POOLED] && tasks > 1 && labels <= POOLED_LABELS * s->folds.data->rows;
}

static mtl_status run_shared(selection *s, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (s->part = 0; s->part < s->run && st == MTL_OK; s->part++)
        if (!is_over(s) || !is_enough(s))
            st = train_network(s, -1, err);
    settle(s, -1);
    return st;
}

static double best_loss(const mtl_report *r, const char *task)
{
    char name[320];
    const mtl__entry *e;
    const int64_t best = (int64_t)mtl__report_find(r, "best_epoch")->number;
    snprintf(name, sizeof name, "loss/valid/%.256s", task);
    e = mtl__report_find(r, name);
    return e && best > 0 && best <= e->count ? e->series[best - 1] : (double)INFINITY;
}

static bool goes_on(const selection *s, int64_t task)
{
    const mtl__task_spec *t = &s->m->spec->task[task];
    const double factor = mtl__kind_is_class(t->kind) ? 1 : SINGLE_WORSE;
    return !s->report || best_loss(s->turn[0].report, t->name) <
                             factor * best_loss(s->report, t->name);
}

/* A network of one task that is no match for the shared one on the first part goes no further;
   *balance: how many fewer did than did not. */
static mtl_status run_single(selection *s, int64_t task, int64_t *balance, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (s->folds.label[task] < 0 || mtl__folds_labels(&s->folds, -1, task) < SINGLE_LABELS)
        return MTL_OK;
    for (s->part = 0; s->part < s->run && st == MTL_OK && !is_over(s); s->part++) {
        const int64_t before = s->count;
        st = train_network(s, task, err);
        if (s->part || s->count == before)
            continue;
        *balance += goes_on(s, task) ? -1 : 1;
        if (goes_on(s, task))
            continue;
        mtl__model_destroy(s->list[--s->count].net);
        free_turn(&s->turn[0]);
        break;
    }
    settle(s, task);
    free_turns(s);
    return st;
}

/* Where the first ones bring nothing, others are not tried. */
static mtl_status run_singles(selection *s, mtl_error *err)
{
    const int64_t tasks = mtl__min(s->m->net.tasks, SINGLE_TASKS);
    int64_t balance = 0;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < tasks && st == MTL_OK && balance < SINGLE_LOSSES; t++)
        st = run_single(s, t, &balance, err);
    return st;
}

static mtl_status run_candidates(selection *s, mtl_error *err)
{
    mtl_status st = is_for_pooling(s) ? run_linear(s, MTL__POOLED, err) : MTL_OK;
    if (st == MTL_OK && s->mix.held[MTL__LINEAR])
        st = run_linear(s, MTL__LINEAR, err);
    if (st == MTL_OK && s->mix.held[MTL__SHARED])
        st = run_shared(s, err);
    s->report = s->turn[0].report; /* the first one is told as that of a fit */
    s->turn[0].report = NULL;
    free_turns(s);
    /* A network of one task is the shared one. */
    if (st == MTL_OK && s->mix.held[MTL__SINGLE] &&
        (s->m->net.tasks > 1 || !s->mix.held[MTL__SHARED]))
        st = run_singles(s, err);
    return st;
}

/* --- the result ---------------------------------------------------------------------------------- */

/* A linear model of all rows in the place of those of parts. */
static mtl_status refit_linear(selection *s, int kind, mtl_error *err)
{
    const int64_t before = s->count;
    int64_t kept = 0;
    bool any = false;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        any = any || s->mix.weight[kind * s->m->net.tasks + t] > 0;
    if (!any || is_over(s))
        return MTL_OK;
    mtl_status st = fit_linear(s, kind, s->train, -1, err);
    for (int64_t k = 0; k < s->count && st == MTL_OK; k++) {
        if (k < before && s->list[k].kind == kind)
            mtl__model_destroy(s->list[k].net);
        else
            s->list[kept++] = s->list[k];
    }
    if (st == MTL_OK)
        s->count = kept;
    return st;
}

/* Those of a kind that serve a task, or all of it where none does. */
static void share(const selection *s, int kind, int64_t task, double weight, double *to)
{
    const int64_t tasks = s->m->net.tasks;
    int64_t n = 0, of_kind = 0;
    for (int64_t k = 0; k < s->count; k++) {
        of_kind += s->list[k].kind == kind && s->list[k].task < 0;
        n += s->list[k].kind == kind && serves(s, &s->list[k], task);
    }
    for (int64_t k = 0; k < s->count; k++)
        if (s->list[k].kind == kind && (n ? serves(s, &s->list[k], task) : s->list[k].task < 0))
            to[k * tasks + task] = weight / (double)(n ? n : of_kind);
}

/* Weights [members, tasks]. A task without any figure goes with the shared networks, or what there
   is. */
static void find_weights(const selection *s, double *to)
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
        for (int64_t k = 0; k < s->count; k++)
            if (s->list[k].kind == MTL__SHARED)
                best = MTL__SHARED;
        share(s, best, t, 1, to);
    }
}

static mtl_status check_served(const selection *s, mtl_error *err)
{
    for (int64_t t = 0; t < s->m->net.tasks; t++) {
        bool any = false;
        for (int64_t k = 0; k < s->count; k++)
            any = any || (s->list[k].task < 0 && s->list[k].kind > MTL__LINEAR) ||
                  serves(s, &s->list[k], t) ||
                  (s->folds.label[t] < 0 && mtl__floor_serves(&s->m->spec->task[t]));
        if (!any)
            return MTL_FAIL(err, s->count ? MTL_ERR_DATA : MTL_ERR_DIVERGED,
                            "task \"%.64s\": %s", s->m->spec->task[t].name,
                            s->count ? "none of the candidates serves it" : "all networks diverged");
    }
    return MTL_OK;
}

/* One member for all tasks is the result itself. */
static int64_t only_member(const selection *s, const double *weight)
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

static bool has_weight(const selection *s, int64_t k, const double *weight)
{
    bool any = false;
    for (int64_t t = 0; t < s->m->net.tasks; t++)
        any = any || weight[k * s->m->net.tasks + t] > 0;
    return any;
}

/* The members that have a weight, as one model. */
static mtl_status join_members(selection *s, const double *weight, mtl_model **out, mtl_error *err)
{
    const mtl_spec *whole = s->m->spec;
    const int64_t tasks = whole->tasks;
    int64_t count = 0;
    mtl_spec *spec = NULL;
    for (int64_t k = 0; k < s->count; k++)
        count += has_weight(s, k, weight);
    mtl__members *members = mtl__members_alloc(&whole->ctx->al, count, tasks);
    mtl_status st = members ? mtl__spec_create(whole->ctx, whole->inputs, &spec, err)
                            : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members",
                                       (long long)count);
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

static mtl_status make_result(selection *s, mtl_model **out, mtl_error *err)
{
    const mtl__allocator *al = &s->m->ctx->al;
    mtl_status st = check_served(s, err);
    if (st == MTL_OK)
        st = mtl__mixture_solve(&s->mix, err);
    for (int kind = MTL__POOLED; kind <= MTL__LINEAR && st == MTL_OK; kind++)
        st = refit_linear(s, kind, err);
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

/* --- telling it ---------------------------------------------------------------------------------- */

static mtl_status tell(const selection *s, mtl_report *r, mtl_error *err)
{
    static const char *const loss[] = {"mixture/loss/pooled", "mixture/loss/linear", "mixture/loss/shared",
                                       "mixture/loss/single", "mixture/loss/mixed"};
    static const char *const weight[] = {"mixture/weight/pooled", "mixture/weight/linear", "mixture/weight/shared",
                                         "mixture/weight/single"};
    const int64_t tasks = s->m->net.tasks;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < tasks; t++) {
        const char *task = s->m->spec->task[t].name;
        for (int k = 0; k <= MTL__KINDS && st == MTL_OK; k++)
            st = mtl__report_number(r, loss[k], task, NULL, s->mix.loss[k * tasks + t], err);
        for (int k = 0; k < MTL__KINDS && st == MTL_OK; k++)
            st = mtl__report_number(r, weight[k], task, NULL, s->mix.weight[k * tasks + t], err);
    }
    return st;
}

static mtl_status make_report(selection *s, mtl_error *err)
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

/* --- the call ------------------------------------------------------------------------------------ */

/* All rows that take part, every label and input checked where it stands in the caller's data. */
static mtl_status bind(selection *s, const mtl_dataset *valid, mtl_error *err)
{
    const mtl_dataset *const parts[] = {s->train, valid};
    mtl__binding seen;
    mtl_status st = MTL_OK;
    if (!valid)
        return mtl__binding_create(s->m, s->train, "train", &s->all, err);
    for (int i = 0; i < 2 && st == MTL_OK; i++) {
        st = mtl__binding_create(s->m, parts[i], i ? "valid" : "train", &seen, err);
        if (st == MTL_OK)
            mtl__binding_free(&seen);
    }
    if (st == MTL_OK)
        st = mtl__dataset_concat(2, parts, &s->joint, err);
    return st == MTL_OK ? mtl__binding_create(s->m, s->joint, "valid", &s->all, err) : st;
}

static mtl_status deal(selection *s, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const char *group_by = mtl__option_str(s->o, g, "group_by");
    const int64_t group = *group_by ? mtl__dataset_task(s->all.data, group_by) : -1;
    if (*group_by && group < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "group_by: the data has no labels \"%.64s\"", group_by);
    const int64_t count = mtl__min(mtl__option_i64(s->o, g, "folds"), s->train->rows / 2);
    mtl_status st = mtl__folds_deal(s->m, &s->all, count, group, s->joint ? s->train->rows : 0,
                                    (uint64_t)mtl__option_i64(s->o, g, "seed"), &s->folds, err);
    const int64_t run = mtl__option_i64(s->o, g, "folds_run");
    s->run = run ? mtl__min(run, s->folds.count) : s->folds.count;
    return st;
}

static void take(selection *s, mtl__arena *a)
{
    const mtl_model *m = s->m;
    const char *list = mtl__option_str(s->o, &mtl__fit_options, "candidates"), *word;
    int64_t length;
    s->turn = mtl__arena_take(a, s->run, sizeof *s->turn);
    s->mix.weight = mtl__arena_take(a, MTL__KINDS * m->net.tasks, sizeof *s->mix.weight);
    s->mix.loss = mtl__arena_take(a, (MTL__KINDS + 1) * m->net.tasks, sizeof *s->mix.loss);
    while ((word = mtl__next_word(&list, &length)))
        for (int k = 0; k < MTL__KINDS; k++)
            if (!s->mix.held[k] && mtl__text_index(names[k], word, length) == 0)
                s->mix.held[k] = mtl__arena_take(a, s->all.data->rows,
                                                 m->net.outputs * (int64_t)sizeof(float));
}

static mtl_status reserve(selection *s, mtl__arena *a, mtl_error *err)
{
    const int64_t numbers = s->all.data->rows * s->m->net.outputs;
    take(s, a);
    if (!mtl__arena_reserve(a, &s->m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows",
                        (long long)s->all.data->rows);
    take(s, a);
    for (int k = 0; k < MTL__KINDS; k++)
        for (int64_t i = 0; s->mix.held[k] && i < numbers; i++)
            s->mix.held[k][i] = NAN;
    return MTL_OK;
}

mtl_status mtl__selection_run(mtl_model *m, bool own_shape, const mtl_dataset *train,
                              const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                              mtl_report **report, mtl_error *err)
{
    const double limit = mtl__option_f64(o, &mtl__fit_options, "time_limit");
    selection s = {.m = m, .train = train, .o = o, .own_shape = own_shape, .begun = mtl__seconds()};
    mtl__arena arena = {0};
    mtl_model *net = NULL;
    mtl_status st;
    s.deadline = limit > 0 ? s.begun + limit : 0;
    s.mix.m = m;
    s.mix.folds = &s.folds;
    MTL_TRY(st, bind(&s, valid, err), done);
    MTL_TRY(st, deal(&s, err), done);
    MTL_TRY(st, reserve(&s, &arena, err), done);
    MTL_TRY(st, run_candidates(&s, err), done);
    s.is_cut = s.is_cut || is_over(&s);
    MTL_TRY(st, make_result(&s, &net, err), done);
    MTL_TRY(st, make_report(&s, err), done);
    *out = net;
    *report = s.report;
    net = NULL;
    s.report = NULL;
done:
    mtl__model_destroy(net);
    for (int64_t k = 0; k < s.count; k++)
        mtl__model_destroy(s.list[k].net);
    mtl__free(&m->ctx->al, s.list, s.capacity * (int64_t)sizeof *s.list);
    if (s.turn)
        free_turns(&s);
    mtl__report_destroy(s.report);
    mtl__arena_release(&arena, &m->ctx->al);
    mtl__folds_free(&s.folds);
    mtl__binding_free(&s.all);
    mtl__dataset_destroy(s.joint);
    return st;
}
