/* SPDX-License-Identifier: MIT */
#include "train/weighting.h"

#include <math.h>
#include <string.h>

#include "model/architecture.h"
#include "train/trainer.h"

/* --- memory --------------------------------------------------------------------------------------
 */

enum { MOST_COSINES = 16 }; /* tasks of which the report has all cosines */
/* Values of all tasks' gradients that a kind may look at, and keep in a checkpoint as text. */
static const int64_t most_values = 1 << 22;

mtl_status mtl__weighting_check(const mtl__weighting_set *set, const mtl_model *m, bool is_sparse,
                                mtl_error *err)
{
    const mtl__aggregation *row = set->kind.row;
    const mtl__network *net = &m->net;
    const mtl__architecture *architecture = m->spec->architecture.row;
    const bool by_values = row->uses & MTL__AGG_JACOBIAN || ((row->uses & MTL__AGG_GRAM) && net->has_streams);
    if (by_values && !architecture->compares)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" compares gradients of what all tasks share: architecture "
                        "\"%s\" has nothing of it",
                        row->choice.name, architecture->choice.name);
    if (by_values && net->has_streams && (set->features || set->by_layer))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" with architecture \"%s\" compares gradients by parameters: "
                        "weighting_scope = trunk",
                        row->choice.name, architecture->choice.name);
    if (!(row->uses & MTL__AGG_PLAIN) && net->members > 1)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "an ensemble in one network is trained with weighting \"sum\" alone");
    if ((row->uses & MTL__AGG_JACOBIAN) &&
        (is_sparse || set->features || set->by_layer || set->every > 1))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" needs every value of every task's gradient in every step: "
                        "weighting_scope = trunk, weighting_every = 1, and inputs that are not sparse",
                        row->choice.name);
    if (by_values && net->params > most_values / net->tasks)
        return MTL_FAIL(err, MTL_ERR_RANGE,
                        "weighting \"%s\" keeps a gradient for each task: %lld tasks and %lld parameters "
                        "are too many, their product must be at most %lld",
                        row->choice.name, (long long)net->tasks, (long long)net->params,
                        (long long)most_values);
    if (is_sparse && !set->features && (row->uses & MTL__AGG_GRAM))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" of sparse inputs compares gradients by the trunk's output alone: "
                        "weighting_scope = features",
                        row->choice.name);
    if (set->by_layer && !(row->uses & (MTL__AGG_GRAM | MTL__AGG_PLAIN)))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting_scope = layer is for kinds that compare gradients, not for \"%s\"",
                        row->choice.name);
    return mtl__aggregator_check(&set->kind, set->text, net->tasks, err);
}

static double *figures(mtl__weighting *w, double **at, int64_t count)
{
    double *p = *at;
    w->figures += count;
    *at += p ? count : 0;
    return p;
}

/* The same for a plan (figure NULL), which counts. */
static void lay_out(mtl__weighting *w, int64_t tasks, double *at)
{
    const int64_t pairs = w->wants_gram ? tasks * tasks : 0;
    w->figures = 0;
    w->kept = (mtl__weighting_kept){.step = figures(w, &at, 1),
                                    .weight = figures(w, &at, w->scopes * tasks),
                                    .sum = figures(w, &at, tasks),
                                    .count = figures(w, &at, tasks),
                                    .cosine = figures(w, &at, pairs),
                                    .pairs = figures(w, &at, pairs),
                                    .conflicts = figures(w, &at, 1),
                                    .compared = figures(w, &at, 1)};
}

void mtl__weighting_plan(mtl__trainer *t, mtl__arena *arena)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    const mtl__aggregation *row = t->set.weighting.kind.row;
    w->is_on = row && !(row->uses & MTL__AGG_PLAIN);
    if (!w->is_on)
        return;
    w->wants_gram = row->uses & MTL__AGG_GRAM;
    w->scopes = t->set.weighting.by_layer ? mtl__max(1, net->trunk_layers) : 1;
    w->has_rows = row->uses & MTL__AGG_JACOBIAN || (w->wants_gram && net->has_streams);
    if (w->has_rows) {
        mtl__jacobian_plan(t, arena, &w->jacobian);
        w->update = mtl__arena_floats(arena, w->jacobian.floats);
    }
    mtl__aggregator_plan(&w->agg, &t->set.weighting.kind, t->set.weighting.text, net->tasks,
                         w->jacobian.floats, t->set.seed, arena);
    if (w->agg.epoch_steps == 0)
        w->agg.epoch_steps = mtl__max(1, t->feed.steps / t->set.weighting.every);
    w->state = t->set.weighting.by_layer
                   ? mtl__arena_take(arena, w->scopes, w->agg.states * (int64_t)sizeof *w->state)
                   : w->agg.state;
    lay_out(w, net->tasks, NULL);
    w->figure = mtl__arena_take(arena, w->figures, sizeof *w->figure);
    lay_out(w, net->tasks, w->figure);
    w->name = mtl__arena_take(arena, net->tasks, sizeof *w->name);
    w->loss = mtl__arena_take(arena, net->tasks, sizeof *w->loss);
    w->scale = mtl__arena_take(arena, net->tasks, sizeof *w->scale);
    w->factor = mtl__arena_floats(arena, net->outputs);
    w->series = mtl__arena_take(arena, net->tasks, sizeof *w->series);
    w->dz = mtl__arena_floats(arena, mtl__feed_max_rows(&t->feed) * net->outputs);
    w->values = row->uses & MTL__AGG_FEEDBACK ? mtl__arena_floats(arena, net->params) : NULL;
    w->heads_on = mtl__arena_take(arena, net->layers, sizeof *w->heads_on);
    w->trunk_on = mtl__arena_take(arena, net->layers, sizeof *w->trunk_on);
    if (!w->wants_gram) {
        w->live = mtl__arena_take(arena, net->tasks, sizeof *w->live);
        return;
    }
    w->cosines = mtl__arena_take(arena, net->tasks * net->tasks, sizeof *w->cosines);
    if (t->set.weighting.by_layer)
        w->gram = mtl__arena_take(arena, net->tasks * net->tasks, sizeof *w->gram);
    if (w->has_rows) {
        w->live = mtl__arena_take(arena, net->tasks, sizeof *w->live);
        w->gramian.sum = mtl__arena_take(arena, net->tasks * net->tasks, sizeof *w->gramian.sum);
        return;
    }
    mtl__gramian_plan(t, t->set.weighting.features, t->set.weighting.by_layer, arena, &w->gramian);
    w->live = w->gramian.live;
}

void mtl__weighting_start(mtl__trainer *t)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    if (!w->is_on)
        return;
    w->agg.step = 0;
    memset(w->state, 0, (size_t)(w->scopes * w->agg.states) * sizeof *w->state);
    for (int64_t i = 0; i < net->tasks; i++)
        w->name[i] = t->m->spec->task[i].name;
    for (int64_t i = 0; i < w->scopes * net->tasks; i++)
        w->kept.weight[i] = 1;
}

void mtl__weighting_select(mtl__trainer *t)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    for (int64_t i = 0; w->is_on && i < net->layers; i++) {
        const bool in_trunk = i < net->trunk_layers;
        w->heads_on[i] = t->layer_on[i] && !in_trunk;
        w->trunk_on[i] = t->layer_on[i] && in_trunk;
    }
    if (w->has_rows)
        mtl__jacobian_start(t, &w->jacobian);
    else if (w->wants_gram)
        mtl__gramian_start(t, &w->gramian);
}

/* --- weights -------------------------------------------------------------------------------------
 */

/* Cosines and conflicts of this step to the epoch's sums. */
static void note_cosines(mtl__trainer *t, const double *gram, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++) {
            const double size = sqrt(gram[i * count + i]) * sqrt(gram[j * count + j]);
            const int64_t at = w->live[i] * t->m->net.tasks + w->live[j];
            if (!(size > 0))
                continue;
            w->kept.cosine[at] += gram[i * count + j] / size;
            w->kept.pairs[at] += 1;
            *w->kept.conflicts += gram[i * count + j] < 0;
            *w->kept.compared += 1;
        }
}

/* From the Gramian of the live tasks to one of all: what is absent is not looked at, its loss being
   NaN. In place, from the end. */
static void spread(const mtl__trainer *t, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    const int64_t tasks = t->m->net.tasks;
    double *gram = w->gramian.sum;
    for (int64_t i = count - 1; i >= 0; i--)
        for (int64_t j = count - 1; j >= 0; j--)
            gram[w->live[i] * tasks + w->live[j]] = gram[i * count + j];
}

static bool is_finite(const double *x, int64_t n)
{
    bool fine = true;
    for (int64_t i = 0; i < n; i++)
        fine = fine && isfinite(x[i]);
    return fine;
}

/* The tasks that take part in this step: losses are means times the tasks' own weights. */
static int64_t find_live(mtl__trainer *t)
{
    const mtl__weighting *w = &t->weighting;
    const mtl__targets *x = &t->feed.batch.targets;
    int64_t count = 0;
    for (int64_t i = 0; i < t->m->net.tasks; i++) {
        const bool is_live = x->weight[i] > 0 && t->task_weight[i] > 0;
        w->loss[i] = is_live ? t->task_weight[i] * (x->loss[i] / x->weight[i]) : (double)NAN;
        if (is_live)
            w->live[count++] = i;
    }
    return count;
}

/* Is there a Gramian to go by? If not the run ends. */
static bool is_gramian(mtl__trainer *t, int64_t count)
{
    const bool fine = is_finite(t->weighting.gramian.sum, count * count);
    if (!fine)
        t->step_loss = (double)INFINITY;
    return fine;
}

/* New weights of the live tasks in a scope; w->scale is room for them. */
static mtl_status ask(mtl__trainer *t, int64_t scope, int64_t count, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    const int64_t tasks = t->m->net.tasks;
    const mtl__agg_step step = {
        .gram = w->gramian.sum, .gram_stride = tasks, .losses = w->loss, .names = w->name};
    if (w->wants_gram)
        spread(t, count);
    w->agg.state = w->state + scope * w->agg.states;
    w->agg.step = (int64_t)*w->kept.step;
    mtl_status st = mtl__aggregator_run(&w->agg, &step, w->scale, NULL, NULL, err);
    for (int64_t i = 0; i < count && st == MTL_OK; i++)
        w->kept.weight[scope * tasks + w->live[i]] = w->scale[w->live[i]];
    return st;
}

static void compare_rows(mtl__trainer *t, const mtl__pass *p, int64_t count)
{
    mtl__weighting *w = &t->weighting;
    mtl__jacobian *j = &w->jacobian;
    mtl__jacobian_run(t, p, w->loss, j);
    for (int64_t a = 0; a < count; a++)
        for (int64_t b = 0; b <= a; b++)
            w->gramian.sum[a * count + b] = w->gramian.sum[b * count + a] =
                mtl__jacobian_dot(j, t->m->ctx->vec, w->live[a], w->live[b]);
}

static mtl_status weigh(mtl__trainer *t, const mtl__pass *p, int64_t count, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    if (w->wants_gram && count > 0) {
        if (w->has_rows)
            compare_rows(t, p, count);
        else
            mtl__gramian_run(t, p, &w->gramian, count);
        if (!is_gramian(t, count))
            return MTL_OK;
        note_cosines(t, w->gramian.sum, count);
    }
    mtl_status st = ask(t, 0, count, err);
    *w->kept.step = (double)w->agg.step;
    return st;
}

/* Kinds that look at single values give the gradient itself. */
static mtl_status aggregate_rows(mtl__trainer *t, const mtl__pass *p, int64_t count, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    mtl__jacobian *j = &w->jacobian;
    mtl__jacobian_run(t, p, w->loss, j);
    for (int64_t i = 0; i < count; i++)
        if (!t->m->ctx->vec->all_finite(j->floats, j->grad + w->live[i] * j->floats)) {
            t->step_loss = (double)INFINITY;
            return MTL_OK;
        }
    const mtl__agg_step step = {
        .rows = j->grad, .row_stride = j->floats, .losses = w->loss, .names = w->name};
    mtl_status st = mtl__aggregator_run(&w->agg, &step, w->scale, w->update, NULL, err);
    for (int64_t i = 0; i < count && st == MTL_OK; i++)
        w->kept.weight[w->live[i]] = w->scale[w->live[i]];
    *w->kept.step = (double)w->agg.step;
    return st;
}

/* dz times the tasks' weights. */
static void scale_dz(const mtl__trainer *t)
{
    const mtl__weighting *w = &t->weighting;
    const int64_t ld = t->m->net.outputs;
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        for (int64_t j = 0; j < t->m->spec->task[i].outputs; j++)
            w->factor[t->m->net.task[i].column + j] = (float)w->kept.weight[i];
    for (int64_t r = 0; r < t->feed.batch.rows; r++)
        t->m->ctx->vec->mul(ld, w->factor, t->buffers.dz + r * ld);
}

static void note_weights(mtl__trainer *t, int64_t scope, double part, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    for (int64_t i = 0; i < count; i++)
        w->kept.sum[w->live[i]] += part * w->kept.weight[scope * t->m->net.tasks + w->live[i]];
}

/* --- by layer ------------------------------------------------------------------------------------
 */

typedef struct layers {
    mtl__trainer *t;
    int64_t count, on; /* live tasks, layers that have weights */
    bool asks;
    mtl_status st;
    mtl_error *err;
} layers;

static bool weigh_layer(void *self, int64_t layer, double *scale)
{
    layers *s = self;
    const mtl__weighting *w = &s->t->weighting;
    const int64_t pairs = s->count * s->count;
    if (s->asks) {
        if (!is_gramian(s->t, s->count))
            return false;
        for (int64_t i = 0; i < pairs; i++)
            w->gram[i] += w->gramian.sum[i];
        s->st = ask(s->t, layer, s->count, s->err);
    }
    for (int64_t i = 0; i < s->count; i++)
        scale[i] = w->kept.weight[layer * s->t->m->net.tasks + w->live[i]];
    note_weights(s->t, layer, 1 / (double)s->on, s->count);
    return s->st == MTL_OK;
}

/* The trunk's gradient, each layer's with weights of its own. Cosines are of all layers together. */
static mtl_status backward_layers(mtl__trainer *t, const mtl__pass *p, int64_t count, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    layers s = {.t = t, .count = count, .asks = t->step % t->set.weighting.every == 0, .err = err};
    for (int64_t i = 0; i < t->m->net.trunk_layers; i++)
        s.on += t->layer_on[i];
    memset(w->gram, 0, (size_t)(count * count) * sizeof *w->gram);
    mtl__gramian_layers(t, p, &w->gramian, count, s.asks, weigh_layer, &s);
    if (s.st != MTL_OK || !isfinite(t->step_loss) || !s.asks)
        return s.st;
    note_cosines(t, w->gram, count);
    *w->kept.step = (double)w->agg.step;
    return MTL_OK;
}

mtl_status mtl__weighting_backward(mtl__trainer *t, const mtl__pass *p, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const size_t bytes = (size_t)(b->rows * net->outputs) * sizeof(float);
    const int64_t count = find_live(t);
    mtl_status st = MTL_OK;
    if (!isfinite(t->step_loss))
        return MTL_OK;
    const bool has_trunk = mtl__network_trunk_stop(net, t->layer_on) < net->trunk_layers;
    const bool by_layer = t->set.weighting.by_layer && count > 0;
    const bool by_values = w->has_rows && !w->wants_gram;
    if (t->buffers.has_dh && (by_layer || by_values))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" puts the trunk's gradient together from the tasks' alone: "
                        "it is not for strategies with a penalty on the trunk's output, but with "
                        "weighting_scope = trunk of a kind that needs no more than inner products",
                        w->agg.row->choice.name);
    if (has_trunk) {
        if (by_layer)
            st = backward_layers(t, p, count, err);
        else if (by_values)
            st = aggregate_rows(t, p, count, err);
        else if (t->step % t->set.weighting.every == 0)
            st = weigh(t, p, count, err);
        if (st != MTL_OK || !isfinite(t->step_loss))
            return st;
        for (int64_t i = 0; i < count; i++)
            w->kept.count[w->live[i]] += 1;
    }
    if (has_trunk && !by_layer)
        note_weights(t, 0, 1, count);
    if (has_trunk && !by_layer && !by_values) {
        memcpy(w->dz, t->buffers.dz, bytes);
        scale_dz(t);
        mtl__network_backward(net, p, &t->buffers, t->chain_on, w->trunk_on, b->rows, b->x,
                              net->inputs);
        memcpy(t->buffers.dz, w->dz, bytes);
        if (w->has_rows)
            mtl__jacobian_get(&w->jacobian, p->grads, w->update);
    }
    /* What tasks own has its gradient behind the heads'. */
    mtl__network_backward(net, p, &t->buffers, t->chain_on,
                          w->has_rows && net->has_streams ? t->layer_on : w->heads_on, b->rows, b->x,
                          net->inputs);
    if (w->has_rows && has_trunk)
        mtl__jacobian_put(&w->jacobian, w->update, p->grads);
    return MTL_OK;
}

/* The same rows once more, as they were seen before the update. */
void mtl__weighting_after_step(mtl__trainer *t)
{
    mtl__weighting *w = &t->weighting;
    const mtl__batch *b = &t->feed.batch;
    if (!w->is_on || !(w->agg.row->uses & MTL__AGG_FEEDBACK) || w->agg.step == 0 ||
        t->step % t->set.weighting.every != 0)
        return;
    mtl__pass p = mtl__trainer_pass(t);
    p.state = w->values;
    mtl__network_forward(&t->m->net, &p, &t->buffers, t->chain_on, b->rows, b->x, t->m->net.inputs);
    mtl__targets_run(&t->feed.batch.targets, b->rows, t->buffers.z, t->task_weight, NULL);
    find_live(t);
    mtl__aggregator_feedback(&w->agg, w->loss);
}

/* --- report --------------------------------------------------------------------------------------
 */

static mtl_status pair_series(mtl__trainer *t, int64_t i, int64_t j, mtl_error *err)
{
    const char *first = t->m->spec->task[j].name, *second = t->m->spec->task[i].name;
    return mtl__report_series(t->report, "cosine", first, second, t->set.epochs,
                              &t->weighting.cosines[i * t->m->net.tasks + j], err);
}

mtl_status mtl__weighting_series(mtl__trainer *t, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    const mtl__targets *x = &t->feed.batch.targets;
    const int64_t tasks = t->m->net.tasks;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; w->is_on && i < tasks && st == MTL_OK; i++) {
        w->series[i] = -1;
        if (mtl__targets_has_task(x, i))
            st = mtl__report_series(t->report, "weight", t->m->spec->task[i].name, NULL,
                                    t->set.epochs, &w->series[i], err);
    }
    if (!w->is_on || !w->wants_gram)
        return st;
    if (st == MTL_OK)
        st = mtl__report_series(t->report, "conflicts", NULL, NULL, t->set.epochs, &w->conflicts,
                                err);
    for (int64_t i = 0; i < tasks; i++)
        for (int64_t j = 0; j < i && st == MTL_OK; j++) {
            w->cosines[i * tasks + j] = -1;
            if (tasks <= MOST_COSINES && w->series[i] >= 0 && w->series[j] >= 0)
                st = pair_series(t, i, j, err);
        }
    return st;
}

/* The mean of an epoch, NaN of nothing; the sums start again. */
static void push(mtl__trainer *t, int64_t series, double *sum, double *count)
{
    if (series >= 0)
        mtl__report_push(t->report, series, *count > 0 ? *sum / *count : (double)NAN);
    *sum = *count = 0;
}

void mtl__weighting_push(mtl__trainer *t)
{
    mtl__weighting *w = &t->weighting;
    const int64_t tasks = t->m->net.tasks;
    for (int64_t i = 0; w->is_on && i < tasks; i++)
        push(t, w->series[i], &w->kept.sum[i], &w->kept.count[i]);
    if (!w->is_on || !w->wants_gram)
        return;
    push(t, w->conflicts, w->kept.conflicts, w->kept.compared);
    for (int64_t i = 0; i < tasks; i++)
        for (int64_t j = 0; j < i; j++)
            push(t, w->cosines[i * tasks + j], &w->kept.cosine[i * tasks + j],
                 &w->kept.pairs[i * tasks + j]);
}

/* --- going on ------------------------------------------------------------------------------------
 */

bool mtl__weighting_block(mtl__weighting *w, int index, double **values, int64_t *count)
{
    *values = index == 0 ? w->figure : w->state;
    *count = index == 0 ? w->figures : w->scopes * w->agg.states;
    return w->is_on && index < 2;
}

bool mtl__weighting_resume(mtl__weighting *w)
{
    if (!w->is_on)
        return true;
    const double step = *w->kept.step;
    if (!is_finite(w->figure, w->figures) || !is_finite(w->state, w->scopes * w->agg.states) ||
        !(step >= 0 && step < 0x1p53) || step != (double)(int64_t)step)
        return false;
    w->agg.step = (int64_t)step;
    return true;
}
