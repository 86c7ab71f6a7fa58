/* SPDX-License-Identifier: MIT */
/* Making a trainer: what is trained, with which memory, and what will be reported. */
#include "model/architecture.h"
#include "train/groups.h"
#include "train/update.h"

#include <math.h>
#include <string.h>

/* --- what is trained --------------------------------------------------------------------------- */

static mtl__group group_of(const mtl__trainer *t, const mtl__param *p)
{
    mtl__group group = mtl__group_of(t->set.groups, p);
    if (t->set.rates)
        group.rate *= t->set.rates[p - t->m->param];
    return group;
}

/* Has a task labels, or a hook that does without? */
static bool takes_part(const mtl__trainer *t, int64_t task)
{
    return mtl__targets_has_task(&t->feed.batch.targets, task) ||
           (t->set.unlabelled && t->set.unlabelled[task]);
}

/* Factor of the rate that comes with the network: of scaled inputs, of shares of an activation, and of a matrix W / sqrt(in) whose
   W an optimizer moves that does not look at the gradient's size (Jacot et al. 2018, section 3). */
static double own_rate(const mtl__trainer *t, const mtl__param *p)
{
    const mtl__layer *l = &t->m->net.layer[p->layer];
    const mtl__layer_param *what = &l->type->param[p->number];
    if ((l->type == &mtl__factors_layer && l->members == 1) || l->type == &mtl__parametric_layer)
        return l->rate;
    const bool is_drawn = p->role == MTL__MATRIX && !what->draw && what->initial != 0;
    return is_drawn && t->m->spec->initializer->ntk ? 1 / sqrt((double)l->in) : 1;
}

bool mtl__trainer_trains(const mtl__trainer *t, const mtl__param *p)
{
    if (p->is_frozen || p->role == MTL__STATE || group_of(t, p).rate == 0 || own_rate(t, p) == 0)
        return false;
    return p->task < 0 ? t->set.trunk_factor > 0 : takes_part(t, p->task);
}

static void mark_layers(mtl__trainer *t)
{
    const mtl_model *m = t->m;
    for (int64_t i = 0; i < m->params; i++)
        if (mtl__trainer_trains(t, &m->param[i]))
            t->layer_on[m->param[i].layer] = true;
    for (int64_t i = 0; i < m->net.tasks; i++)
        if (takes_part(t, i))
            t->chain_on[m->net.task[i].chain] = true;
}

/* One column alone is a row that every step touches. */
bool mtl__trainer_is_lazy(const mtl__trainer *t, int64_t layer)
{
    const mtl__network *net = &t->m->net;
    return t->feed.is_sparse && t->set.lazy && net->inputs > 1 &&
           mtl__network_reads_inputs(net, layer);
}

/* Append a range, or lengthen the last one when it ends here with the same settings. */
static void add_range(mtl__trainer *t, const mtl__range *r)
{
    mtl__range *last = t->ranges ? &t->range[t->ranges - 1] : NULL;
    if (last && last->ld == r->ld && last->first + last->count == r->first && last->rate_factor == r->rate_factor &&
        last->l1 == r->l1 && last->l2 == r->l2 && last->decay == r->decay)
        last->count += r->count;
    else
        t->range[t->ranges++] = *r;
}

/* The first one from `from` on of the parts of this tensor of a layer that is trained, or -1. */
static int64_t next_trained(const mtl__trainer *t, int64_t from, int64_t layer, int32_t number)
{
    for (int64_t i = from; i < t->m->params; i++) {
        const mtl__param *p = &t->m->param[i];
        if (p->layer == layer && p->number == number && mtl__trainer_trains(t, p))
            return i;
    }
    return -1;
}

static bool any_trained(const mtl__trainer *t, int64_t layer, int32_t number)
{
    return next_trained(t, 0, layer, number) >= 0;
}

/* Factors of the rate, and of penalties. What tasks have of their own in the trunk is new as heads are. */
static mtl__group factors_of(const mtl__trainer *t, const mtl__param *p)
{
    mtl__group group = group_of(t, p);
    group.rate *= p->task < 0 ? t->set.trunk_factor : 1;
    return group;
}

static void range_of(mtl__trainer *t, int64_t first, int64_t count, const mtl__param *p)
{
    const mtl__group group = factors_of(t, p);
    const double own = own_rate(t, p);
    const double decay = p->role == MTL__MATRIX ? group.decay : 0;
    const bool by_rows = p->role == MTL__MATRIX && mtl__trainer_is_lazy(t, p->layer);
    /* What decays by itself does so at the rate of all. */
    add_range(t, &(mtl__range){first, count, group.rate * own, decay * t->set.l1,
                               decay * t->set.l2, decay / (own > 0 ? own : 1), by_rows ? p->ld : 0});
}

/* The parts of a lazy matrix side by side: the first row of each says where the others lie. */
static void add_lazy(mtl__trainer *t, int64_t layer, int32_t number)
{
    for (int64_t i = next_trained(t, 0, layer, number); i >= 0;
         i = next_trained(t, i + 1, layer, number))
        range_of(t, t->m->param[i].offset, mtl__param_cols(&t->m->param[i]), &t->m->param[i]);
}

/* Slices of one matrix with settings of their own: row by row. */
static void add_rows(mtl__trainer *t, const mtl__param *p)
{
    for (int64_t r = 0; r < mtl__param_rows(p); r++)
        range_of(t, p->offset + r * p->ld, mtl__param_cols(p), p);
}

/* Can slices of one tensor have settings of their own? */
static bool may_differ(const mtl__trainer *t)
{
    return *t->set.groups || (t->m->net.has_streams && t->set.trunk_factor != 1);
}

/* Tensor `number` of a layer, as a whole where its parts agree. */
static void add_ranges(mtl__trainer *t, int64_t layer, int32_t number, int64_t first, int64_t count)
{
    const int64_t start = next_trained(t, 0, layer, number);
    if (start < 0)
        return;
    const mtl__param *p = &t->m->param[start];
    const mtl__group group = factors_of(t, p);
    bool agree = true;
    for (int64_t i = start; i >= 0 && may_differ(t); i = next_trained(t, i + 1, layer, number)) {
        mtl__group other = factors_of(t, &t->m->param[i]);
        agree = agree && other.rate == group.rate && other.decay == group.decay;
    }
    if (agree)
        range_of(t, first, count, p);
    else
        for (int64_t i = start; i >= 0; i = next_trained(t, i + 1, layer, number))
            add_rows(t, &t->m->param[i]);
}

static void make_ranges(mtl__trainer *t)
{
    const mtl__network *net = &t->m->net;
    for (int64_t i = 0; i < net->layers; i++) {
        mtl__layer l = net->layer[i];
        for (int32_t k = 0; k < l.type->params && t->layer_on[i]; k++)
            /* Whole cache lines: the padding has gradient 0 and stays 0. */
            if (l.type->param[k].role == MTL__MATRIX && mtl__trainer_is_lazy(t, i))
                add_lazy(t, i, k);
            else
                add_ranges(t, i, k, *mtl__layer_offset(&l, k),
                           mtl__round_floats(mtl__layer_floats(&l, k)));
    }
}

void mtl__trainer_select(mtl__trainer *t)
{
    memset(t->layer_on, 0, (size_t)t->m->net.layers * sizeof *t->layer_on);
    memset(t->chain_on, 0, (size_t)t->m->net.heads * sizeof *t->chain_on);
    t->ranges = 0;
    mark_layers(t);
    make_ranges(t);
    mtl__weighting_select(t);
}

/* The most ranges that there can be. */
static int64_t most_ranges(const mtl__trainer *t)
{
    int64_t count = 4 * t->m->net.layers; /* no layer trains more tensors */
    for (int64_t i = 0; i < t->m->params; i++) {
        bool by_rows = mtl__trainer_is_lazy(t, t->m->param[i].layer);
        if (!t->m->param[i].whole && (by_rows || may_differ(t)))
            count += by_rows ? 1 : mtl__param_rows(&t->m->param[i]);
    }
    return count;
}

/* Does a slice get a gradient although it is not trained? */
static bool has_gradient(const mtl__trainer *t, const mtl__param *p)
{
    return p->layer < t->m->net.trunk_layers || takes_part(t, p->task);
}

static bool is_penalised(const mtl__trainer *t)
{
    return t->set.l1 > 0 || t->set.l2 > 0 || mtl__optim_decay(&t->set.optimizer) > 0;
}

/* Slices that lie inside a range but must not move. Without a penalty a slice that has no gradient
   does not move anyway. */
static bool needs_guard(const mtl__trainer *t, const mtl__param *p)
{
    if (p->role == MTL__MATRIX && mtl__trainer_is_lazy(t, p->layer))
        return false; /* its range leaves out what is not trained */
    return !p->whole && !mtl__trainer_trains(t, p) && (is_penalised(t) || has_gradient(t, p)) &&
           any_trained(t, p->layer, p->number);
}

/* Weights of the thresholds of an ordinal task have no gradient and are 0, which no penalty moves,
   unless they were set. */
static bool has_set_thresholds(const mtl__trainer *t, const mtl__param *p)
{
    bool any = false;
    if (!is_penalised(t) || !mtl__model_has_thresholds(t->m, p))
        return false;
    for (int64_t r = 0; r < p->shape[0]; r++)
        for (int64_t j = 1; j < p->shape[1]; j++)
            any = any || t->m->values[p->offset + r * p->ld + j] != 0;
    return any;
}

static void make_guards(mtl__trainer *t, mtl__arena *arena)
{
    t->guards = 0;
    t->guard = mtl__arena_take(arena, t->m->params, sizeof *t->guard);
    for (int64_t i = 0; i < t->m->params; i++) {
        const mtl__param *p = &t->m->param[i];
        const bool all = needs_guard(t, p);
        if (!all && !has_set_thresholds(t, p))
            continue;
        const int64_t first = all ? 0 : 1, rows = mtl__param_rows(p), cols = mtl__param_cols(p) - first;
        float *copy = mtl__arena_floats(arena, rows * cols);
        if (t->guard)
            t->guard[t->guards] = (mtl__guard){p->offset + first, p->ld, rows, cols, copy};
        t->guards++;
    }
}

/* --- memory ------------------------------------------------------------------------------------ */

static void plan(mtl__trainer *t, mtl__arena *arena)
{
    const mtl__network *net = &t->m->net;
    const mtl__gemm *gemm = t->m->ctx->gemm;
    int slots = mtl__pool_slots(atomic_load(&t->m->ctx->pool));
    mtl__feed_plan(&t->feed, t->m, &t->bound[0], t->bound[1].label ? &t->bound[1] : NULL,
                   t->set.batch_rows, t->set.shuffle, &t->set.sampling, t->set.seed, arena);
    mtl__network_plan(net, gemm, slots, mtl__feed_max_rows(&t->feed), arena, &t->buffers);
    if (t->feed.is_sparse)
        mtl__touched_plan(&t->touched, net->inputs, arena);
    mtl__update_plan(t, arena);
    mtl__weighting_plan(t, arena);
    mtl__gates_plan(t, arena);
    t->soft = mtl__soft_plan(t, arena);
    t->last_good = mtl__arena_floats(arena, net->params);
    t->best = t->set.patience ? mtl__arena_floats(arena, net->params) : NULL;
    t->range = mtl__arena_take(arena, most_ranges(t), sizeof *t->range);
    t->layer_on = mtl__arena_take(arena, net->layers, sizeof *t->layer_on);
    t->chain_on = mtl__arena_take(arena, net->heads, sizeof *t->chain_on);
    t->task_weight = mtl__arena_take(arena, net->tasks, sizeof *t->task_weight);
    t->sum = mtl__arena_take(arena, net->tasks, sizeof *t->sum);
    t->total = mtl__arena_take(arena, net->tasks, sizeof *t->total);
    t->epoch_loss = mtl__arena_take(arena, net->tasks, sizeof *t->epoch_loss);
    t->series = mtl__arena_take(arena, net->tasks, sizeof *t->series);
    make_guards(t, arena);
}

static mtl_status reserve(mtl__trainer *t, mtl_error *err)
{
    const mtl_model *m = t->m;
    mtl__arena arena = {0};
    plan(t, &arena);
    if (!mtl__arena_reserve(&arena, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for training");
    plan(t, &arena);
    t->arena = arena;
    for (int64_t i = 0; i < m->net.tasks; i++)
        t->task_weight[i] =
            m->spec->task[i].weight * (t->set.task_factor ? t->set.task_factor[i] : 1);
    mtl__weighting_start(t);
    mtl__trainer_select(t);
    return MTL_OK;
}

/* --- report ------------------------------------------------------------------------------------ */

static mtl_status add_task_series(mtl__trainer *t, int64_t task, mtl_error *err)
{
    const mtl__task_spec *spec = &t->m->spec->task[task];
    const char *metric = mtl__judge_main_metric(spec->kind);
    mtl__task_series *s = &t->series[task];
    int64_t n = t->set.epochs;
    mtl_status st = MTL_OK;
    *s = (mtl__task_series){-1, -1, -1, -1};
    if (mtl__targets_has_task(&t->feed.batch.targets, task))
        st = mtl__report_series(t->report, "loss/train", spec->name, NULL, n, &s->loss_train, err);
    if (st == MTL_OK && t->valid && t->valid->label[task]) {
        st = mtl__report_series(t->report, "loss/valid", spec->name, NULL, n, &s->loss_valid, err);
        if (st == MTL_OK)
            st = mtl__report_series(t->report, "metric", metric, spec->name, n, &s->metric_valid,
                                    err);
    }
    if (st == MTL_OK && t->train && t->train->label[task])
        st = mtl__report_series(t->report, "metric/train", metric, spec->name, n, &s->metric_train,
                                err);
    return st;
}

/* All entries are made now: the end of a fit needs no memory and cannot fail. */
static mtl_status start_report(mtl__trainer *t, mtl_error *err)
{
    static const char *const numbers[] = {"epochs", "steps", "best_epoch", "seconds"};
    int64_t n = t->set.epochs;
    mtl_status st;
    MTL_TRY(st, mtl__report_create(t->m->ctx, &t->report, err), done);
    MTL_TRY(st, mtl__report_text(t->report, "reason", "", err), done);
    for (int i = 0; i < MTL__COUNT_OF(numbers); i++)
        MTL_TRY(st, mtl__report_number(t->report, numbers[i], NULL, NULL, NAN, err), done);
    MTL_TRY(st, mtl__report_series(t->report, "loss/train", NULL, NULL, n, &t->series_train, err),
            done);
    MTL_TRY(st, mtl__report_series(t->report, "learning_rate", NULL, NULL, n, &t->series_rate, err),
            done);
    if (t->valid)
        MTL_TRY(st,
                mtl__report_series(t->report, "loss/valid", NULL, NULL, n, &t->series_valid, err),
                done);
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        MTL_TRY(st, add_task_series(t, i, err), done);
    MTL_TRY(st, mtl__weighting_series(t, err), done);
    MTL_TRY(st, mtl__gates_series(t, err), done);
done:
    return st;
}

/* Settings that this model or this data cannot serve. */
static mtl_status check_settings(const mtl__trainer *t, mtl_error *err)
{
    if (mtl__sched_needs_validation(&t->set.schedule) && !t->valid)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "schedule \"%s\" needs validation rows: give mtl_fit() a validation data "
                        "set or the option \"validation_split\"",
                        ((const mtl__choice_row *)t->set.schedule.row)->name);
    const mtl__choice *share[] = {&t->set.dropout_schedule, &t->set.decay_schedule};
    for (int i = 0; i < MTL__COUNT_OF(share); i++)
        if (share[i]->row && mtl__sched_needs_validation(share[i]))
            return MTL_FAIL(err, MTL_ERR_INVALID,
                            "dropout_schedule and decay_schedule know no \"plateau\"");
    if (mtl__sched_sets_momentum(&t->set.schedule) && !mtl__optim_has_momentum(&t->set.optimizer))
        return MTL_FAIL(err, MTL_ERR_INVALID, "max_momentum: optimizer %s has no momentum above 0",
                        ((const mtl__choice_row *)t->set.optimizer.row)->name);
    if (t->bound[1].label && mtl__binding_is_sparse(&t->bound[0]) != mtl__binding_is_sparse(&t->bound[1]))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "the inputs of one data set are sparse, of the other not");
    const mtl__aggregation *weighting = t->set.weighting.kind.row;
    if (weighting && (weighting->uses & MTL__AGG_JACOBIAN) && t->set.rates)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" keeps gradients of the same tensors from step to step: it is "
                        "not for strategies with rates of tensors", weighting->choice.name);
    const mtl__architecture *architecture = t->m->spec->architecture.row;
    if (architecture->pulls && mtl__binding_is_sparse(&t->bound[0]))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "architecture \"soft\" moves all weights in every step, sparse inputs only those "
                        "of their columns");
    if (weighting) {
        mtl_status st = mtl__weighting_check(&t->set.weighting, t->m,
                                             mtl__binding_is_sparse(&t->bound[0]), err);
        if (st != MTL_OK)
            return st;
    }
    return t->set.is_part ? MTL_OK : mtl__groups_check(t->set.groups, t->m, err);
}

/* --- life -------------------------------------------------------------------------------------- */

static mtl_status add_judges(mtl__trainer *t, mtl__binding *valid, mtl_error *err)
{
    mtl__binding train;
    mtl_status st = MTL_OK;
    if (valid)
        st = mtl__judge_create(t->m, valid, &t->valid, err);
    if (st == MTL_OK && t->set.train_metrics) {
        st = mtl__binding_create(t->m, t->bound[0].data, "train", &train, err);
        if (st == MTL_OK)
            st = mtl__judge_create(t->m, &train, &t->train, err);
    }
    return st;
}

mtl_status mtl__trainer_create(mtl_model *m, const mtl__train_settings *set, mtl__binding *first,
                               mtl__binding *second, mtl__binding *valid, mtl__trainer **out,
                               mtl_error *err)
{
    mtl_status st;
    mtl__trainer *t = mtl__alloc_zero(&m->ctx->al, sizeof *t);
    if (!t) {
        mtl__binding_free(first);
        if (second)
            mtl__binding_free(second);
        if (valid)
            mtl__binding_free(valid);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a trainer");
    }
    t->m = m;
    t->set = *set;
    t->bound[0] = *first;
    if (second)
        t->bound[1] = *second;
    t->train_loss = t->valid_loss = NAN;
    MTL_TRY(st, add_judges(t, valid, err), fail);
    MTL_TRY(st, check_settings(t, err), fail);
    MTL_TRY(st, reserve(t, err), fail);
    MTL_TRY(st, start_report(t, err), fail);
    mtl__trainer_add_hooks(t);
    *out = t;
    return MTL_OK;
fail:
    mtl__trainer_destroy(t);
    return st;
}

void mtl__trainer_destroy(mtl__trainer *t)
{
    if (!t)
        return;
    const mtl__allocator *al = &t->m->ctx->al;
    mtl__report_destroy(t->report);
    mtl__judge_destroy(t->valid);
    mtl__judge_destroy(t->train);
    mtl__arena_release(&t->arena, al);
    for (int i = 0; i < MTL__SOURCES; i++)
        mtl__binding_free(&t->bound[i]);
    mtl__free(al, t, sizeof *t);
}
