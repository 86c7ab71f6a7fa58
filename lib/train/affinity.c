/* SPDX-License-Identifier: MIT */
/* Before each step its batch is looked at: the gradient of each task's loss in the trunk, the pairs'
   cosines (Yu et al. 2020), and the losses after a step of each task alone (Fifty et al. 2021).
   Nothing of that stays behind: the step itself computes all of it anew. */
#include "train/affinity.h"

#include <math.h>
#include <string.h>

#include "aggregate/grouping.h"
#include "train/jacobian.h"

enum { MOST_TASKS = 256 };

static const double enough = 0.9; /* share of the best score */

/* Figures of pairs. */
enum { COSINE, MAGNITUDE, CONFLICT, AFFINITY, FIGURES };

struct mtl__affinity {
    const mtl_model *m;
    const mtl__allocator *al; /* of the context, which outlives the model */
    int64_t every;
    mtl__arena arena;
    mtl__jacobian j;
    float *moved, *state; /* [net.params]: after a task's step; statistics that nobody wants */
    double *gram;  /* [tasks, tasks] */
    double *loss;  /* [tasks] before a step; NaN = takes no part */
    double *sum;   /* [FIGURES, tasks, tasks] */
    double *count; /* the same */
    int64_t *group;
    int64_t steps; /* looked at */
};

typedef mtl__affinity watch;

static int64_t at(const watch *w, int figure, int64_t i, int64_t j)
{
    const int64_t n = w->m->net.tasks;
    return (figure * n + i) * n + j;
}

/* A figure that overflowed is none. */
static void note(watch *w, int figure, int64_t i, int64_t j, double value)
{
    if (!isfinite(value))
        return;
    w->sum[at(w, figure, i, j)] += value;
    w->count[at(w, figure, i, j)] += 1;
}

/* NaN without any. */
static double mean(const watch *w, int figure, int64_t i, int64_t j)
{
    return w->sum[at(w, figure, i, j)] / w->count[at(w, figure, i, j)];
}

/* --- a batch ------------------------------------------------------------------------------------- */

static double mean_loss(const mtl__trainer *t, int64_t task)
{
    const mtl__targets *x = &t->feed.batch.targets;
    return x->weight[task] > 0 && t->task_weight[task] > 0 ? x->loss[task] / x->weight[task]
                                                            : (double)NAN;
}

/* Losses of the batch with these parameters; false when a callback did not go on. */
static bool run(watch *w, mtl__trainer *t, mtl__pass *p, float *dz)
{
    const mtl__batch *b = &t->feed.batch;
    p->state = w->state;
    mtl__network_forward(&w->m->net, p, &t->buffers, t->chain_on, b->rows, b->x, w->m->net.inputs);
    mtl__targets_run(&t->feed.batch.targets, b->rows, t->buffers.z, t->task_weight, dz);
    return t->feed.batch.targets.refused < 0;
}

/* A gradient of 0 has no direction. */
static void compare(watch *w)
{
    const int64_t n = w->m->net.tasks;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            if (!isnan(w->loss[i]) && !isnan(w->loss[j]))
                w->gram[i * n + j] = mtl__jacobian_dot(&w->j, w->m->ctx->vec, i, j);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double a = w->gram[i * n + i], b = w->gram[j * n + j], ab = w->gram[i * n + j];
            if (isnan(w->loss[i]) || isnan(w->loss[j]) || !(a > 0) || !(b > 0))
                continue;
            note(w, COSINE, j, i, ab / (sqrt(a) * sqrt(b)));
            note(w, MAGNITUDE, j, i, 2 * sqrt(a) * sqrt(b) / (a + b));
            note(w, CONFLICT, j, i, ab < 0);
        }
}

/* The trunk after a step of plain gradient descent on one task. */
static void step_trunk(const watch *w, const mtl__trainer *t, int64_t task)
{
    const double rate = t->set.rate * mtl__sched_factor(&t->sched, &t->now.sched, t->step);
    const float *g = w->j.grad + task * w->j.floats;
    memcpy(w->moved, w->m->values, (size_t)w->m->net.params * sizeof *w->moved);
    for (int64_t i = 0; i < w->j.pieces; i++) {
        const mtl__piece *p = &w->j.piece[i];
        for (int64_t r = 0; r < p->rows; r++)
            w->m->ctx->vec->axpy(p->cols, (float)(-rate * p->rate), g + r * p->cols,
                                 w->moved + p->offset + r * p->ld);
        g += mtl__round_floats(p->rows * p->cols);
    }
}

/* Fifty et al. 2021, equation 2. Of a loss that is 0 or less there is no share. */
static bool look_ahead(watch *w, mtl__trainer *t, mtl__pass *p, int64_t task)
{
    step_trunk(w, t, task);
    p->params = w->moved;
    if (!run(w, t, p, NULL))
        return false;
    for (int64_t j = 0; j < w->m->net.tasks; j++)
        if (w->loss[j] > 0)
            note(w, AFFINITY, task, j, 1 - mean_loss(t, j) / w->loss[j]);
    return true;
}

static void observe(void *self, mtl__trainer *t)
{
    watch *w = self;
    const int64_t tasks = w->m->net.tasks;
    mtl__pass p = mtl__trainer_pass(t);
    if (t->step % w->every != 0 || !run(w, t, &p, t->buffers.dz))
        return;
    for (int64_t i = 0; i < tasks; i++) {
        const double loss = mean_loss(t, i);
        w->loss[i] = isfinite(loss) ? loss : (double)NAN;
    }
    mtl__jacobian_run(t, &p, w->loss, &w->j);
    compare(w);
    for (int64_t i = 0; i < tasks; i++)
        if (!isnan(w->loss[i]) && !look_ahead(w, t, &p, i))
            return;
    w->steps++;
}

/* --- before the fit ------------------------------------------------------------------------------ */

static void take(watch *w, const mtl__trainer *t, mtl__arena *a)
{
    const mtl__network *net = &w->m->net;
    const int64_t n = net->tasks;
    mtl__jacobian_plan(t, a, &w->j);
    w->moved = mtl__arena_floats(a, net->params);
    w->state = mtl__arena_floats(a, net->params);
    w->gram = mtl__arena_take(a, n * n, sizeof *w->gram);
    w->loss = mtl__arena_take(a, n, sizeof *w->loss);
    w->sum = mtl__arena_take(a, FIGURES * n * n, sizeof *w->sum);
    w->count = mtl__arena_take(a, FIGURES * n * n, sizeof *w->count);
    w->group = mtl__arena_take(a, n, sizeof *w->group);
}

static mtl_status check_network(const mtl__trainer *t, mtl_error *err)
{
    const mtl__network *net = &t->m->net;
    if (t->feed.is_sparse)
        return MTL_FAIL(err, MTL_ERR_INVALID, "mtl_task_affinity: sparse inputs have no gradient "
                                              "that is whole");
    if (net->has_streams)
        return MTL_FAIL(err, MTL_ERR_STATE, "mtl_task_affinity: the model's tasks do not share all of the "
                                            "trunk: architecture \"shared\" alone has one");
    if (net->members > 1)
        return MTL_FAIL(err, MTL_ERR_STATE, "mtl_task_affinity: the model is an ensemble in one "
                                            "network, whose members have gradients of their own");
    if (net->tasks > MOST_TASKS)
        return MTL_FAIL(err, MTL_ERR_RANGE, "mtl_task_affinity: %lld tasks, must be 1 .. %d",
                        (long long)net->tasks, MOST_TASKS);
    return MTL_OK;
}

static mtl_status reserve(watch *w, const mtl__trainer *t, mtl_error *err)
{
    mtl__arena arena = {0};
    take(w, t, &arena);
    if (w->j.floats == 0)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "mtl_task_affinity: no tensor of the trunk is trained, the tasks share "
                        "nothing");
    if (!mtl__arena_reserve(&arena, w->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the gradients of %lld tasks",
                        (long long)w->m->net.tasks);
    take(w, t, &arena);
    w->arena = arena;
    mtl__jacobian_start(t, &w->j);
    return MTL_OK;
}

mtl_status mtl__affinity_watch(mtl__trainer *t, int64_t every, mtl__affinity **out, mtl_error *err)
{
    mtl_status st = check_network(t, err);
    if (st != MTL_OK)
        return st;
    watch *w = mtl__alloc_zero(&t->m->ctx->al, sizeof *w);
    if (!w)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory to compare tasks");
    w->m = t->m;
    w->al = &t->m->ctx->al;
    w->every = every;
    st = reserve(w, t, err);
    if (st != MTL_OK) {
        mtl__affinity_free(w);
        return st;
    }
    mtl__trainer_hook(t, (mtl__hook){.self = w, .before_step = observe});
    *out = w;
    return MTL_OK;
}

void mtl__affinity_free(mtl__affinity *w)
{
    if (!w)
        return;
    mtl__arena_release(&w->arena, w->al);
    mtl__free(w->al, w, sizeof *w);
}

int64_t mtl__affinity_steps(const mtl__affinity *w)
{
    return w->steps;
}

static mtl_status begin(void *self, mtl__trainer *t, mtl_error *err)
{
    return mtl__affinity_watch(t, t->set.weighting.every, self, err);
}

static void change_settings(void *self, mtl__train_settings *set)
{
    (void)self;
    set->train_metrics = false;
}

/* --- after it ------------------------------------------------------------------------------------ */

static mtl_status tell_pairs(const watch *w, mtl_report *r, mtl_error *err)
{
    static const char *const name[FIGURES] = {"cosine", "magnitude", "conflict", "affinity"};
    const mtl__task_spec *task = w->m->spec->task;
    const int64_t n = w->m->net.tasks;
    mtl_status st = MTL_OK;
    for (int f = 0; f < FIGURES; f++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = f == AFFINITY ? 0 : i + 1; j < n && st == MTL_OK; j++)
                st = mtl__report_number(r, name[f], task[i].name, task[j].name,
                                        mean(w, f, i, j), err);
    return st;
}

/* The fewest groups that score nearly as much as any number: where all tasks help each other as much,
   no more than noise is gained by parting them. */
static mtl_status group_tasks(watch *w, const double *affinity, double *score, mtl_error *err)
{
    const int64_t n = w->m->net.tasks;
    const mtl__allocator *al = &w->m->ctx->al;
    double best;
    mtl_status st = mtl__task_groups(n, affinity, n, n, w->group, &best, al, err);
    *score = -(double)INFINITY;
    for (int64_t k = 1; k <= n && st == MTL_OK && !(*score >= enough * best); k++)
        st = mtl__task_groups(n, affinity, n, k, w->group, score, al, err);
    return st;
}

/* By what helps and harms others; what was never seen does neither. */
mtl_status mtl__affinity_groups(mtl__affinity *w, const char *const name[3], mtl_report *r,
                                mtl_error *err)
{
    const int64_t n = w->m->net.tasks;
    double score, *affinity = w->sum + at(w, AFFINITY, 0, 0);
    int64_t groups = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            const double value = mean(w, AFFINITY, i, j);
            affinity[i * n + j] = i == j || !(fabs(value) <= MTL__MOST_AFFINITY) ? 0 : value;
        }
    mtl_status st = group_tasks(w, affinity, &score, err);
    for (int64_t i = 0; i < n && st == MTL_OK; i++) {
        groups = mtl__max(groups, w->group[i] + 1);
        st = mtl__report_number(r, name[0], w->m->spec->task[i].name, NULL, (double)w->group[i], err);
    }
    if (st == MTL_OK)
        st = mtl__report_number(r, name[1], NULL, NULL, (double)groups, err);
    return st == MTL_OK ? mtl__report_number(r, name[2], NULL, NULL, score, err) : st;
}

static mtl_status tell(watch *w, const mtl_report *fit, mtl_report *r, mtl_error *err)
{
    static const char *const from_fit[] = {"epochs", "steps"};
    static const char *const groups[] = {"group", "groups", "groups/score"};
    mtl_status st = mtl__report_text(r, "reason", mtl__report_find(fit, "reason")->text, err);
    for (int i = 0; i < MTL__COUNT_OF(from_fit) && st == MTL_OK; i++)
        st = mtl__report_number(r, from_fit[i], NULL, NULL,
                                mtl__report_find(fit, from_fit[i])->number, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "observed", NULL, NULL, (double)w->steps, err);
    if (st == MTL_OK)
        st = tell_pairs(w, r, err);
    return st == MTL_OK ? mtl__affinity_groups(w, groups, r, err) : st;
}

/* --- the call ------------------------------------------------------------------------------------ */

static mtl_status check(const mtl_options *o, mtl_error *err)
{
    if (mtl__option_i64(o, &mtl__fit_options, "judge"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "mtl_task_affinity: judge = 1 trains many networks");
    if (*mtl__option_str(o, &mtl__fit_options, "checkpoint"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "mtl_task_affinity: its run is not kept, there is "
                                              "nothing for a checkpoint");
    return MTL_OK;
}

mtl_status mtl__task_affinity(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                              mtl_report **report, mtl_error *err)
{
    watch *w = NULL;
    mtl_model *copy = NULL;
    mtl_report *fit = NULL, *r = NULL;
    const mtl__fit_changes changes = {.self = &w, .settings = change_settings, .reserve = begin};
    mtl_status st = check(o, err);
    if (st == MTL_OK)
        st = mtl__model_clone(m, &copy, err);
    if (st == MTL_OK)
        st = mtl__fit_changed(copy, train, NULL, o, &changes, &fit, err);
    if (st == MTL_OK)
        st = mtl__report_create(m->ctx, &r, err);
    if (st == MTL_OK)
        st = tell(w, fit, r, err);
    if (st == MTL_OK) {
        *report = r;
        r = NULL;
    }
    mtl__report_destroy(r);
    mtl__report_destroy(fit);
    mtl__affinity_free(w);
    mtl__model_destroy(copy);
    return st;
}
