/* SPDX-License-Identifier: MIT */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "train/first_biases.h"
#include "train/update.h"

/* --- one step ---------------------------------------------------------------------------------- */

double mtl__trainer_share(const mtl__trainer *t, const mtl__choice *schedule)
{
    mtl__sched s;
    mtl__sched_now now;
    if (!schedule->row)
        return 1;
    mtl__sched_init(&s, schedule, 0, t->set.epochs * t->feed.steps, t->feed.steps, &now);
    const double factor = mtl__sched_factor(&s, &now, t->step);
    return factor < 1 ? factor : 1;
}

mtl__pass mtl__trainer_pass(const mtl__trainer *t)
{
    return (mtl__pass){.gemm = t->m->ctx->gemm,
                       .vec = t->m->ctx->vec,
                       .pool = atomic_load(&t->m->ctx->pool),
                       .gemm_work = t->buffers.gemm_work,
                       .sparse = &t->feed.batch.sparse,
                       .params = t->m->values,
                       .grads = t->grads,
                       .state = t->m->values,
                       .trains = t->layer_on,
                       .dropout = mtl__trainer_share(t, &t->set.dropout_schedule),
                       .seed = t->set.seed,
                       .counter = t->rows_seen};
}

/* Losses of the batch and their gradient. A task without a label takes no part; a batch that a callback
   refuses none at all. */
static void losses(mtl__trainer *t)
{
    mtl__targets *x = &t->feed.batch.targets;
    mtl__targets_run(x, t->feed.batch.rows, t->buffers.z, t->task_weight, t->buffers.dz);
    if (x->refused >= 0)
        return;
    t->step_loss = 0;
    for (int64_t i = 0; i < t->m->net.tasks; i++) {
        t->sum[i] += x->loss[i];
        t->total[i] += x->weight[i];
        if (x->weight[i] > 0)
            t->step_loss += t->task_weight[i] * (x->loss[i] / x->weight[i]);
    }
}

static mtl_status run_step(mtl__trainer *t, mtl_error *err)
{
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const mtl__pass pass = mtl__trainer_pass(t);
    mtl_status st = MTL_OK;
    if (t->draws_biases)
        mtl__first_biases(t);
    t->draws_biases = false;
    mtl__network_forward(net, &pass, &t->buffers, t->chain_on, b->rows, b->x, net->inputs);
    losses(t);
    if (t->feed.batch.targets.refused >= 0) {
        t->reason = "cancelled";
        return MTL_OK;
    }
    t->buffers.has_dh = false;
    if (t->gates.count)
        mtl__gates_note(t);
    for (int64_t i = 0; i < t->hooks; i++)
        if (t->hook[i].before_backward)
            t->hook[i].before_backward(t->hook[i].self, t);
    if (t->weighting.is_on)
        st = mtl__weighting_backward(t, &pass, err);
    else
        mtl__network_backward(net, &pass, &t->buffers, t->chain_on, t->layer_on, b->rows, b->x,
                              net->inputs);
    if (st != MTL_OK)
        return st;
    if (t->feed.is_sparse)
        mtl__touched_collect(&t->touched, b->rows, b->row);
    mtl__model_clear_fixed(t->m, t->grads, t->touched.column, t->touched.count);
    mtl__feed_prefetch(&t->feed); /* the update leaves the memory idle */
    mtl__update_run(t);
    mtl__weighting_after_step(t);
    t->rows_seen += b->rows;
    t->step++;
    return MTL_OK;
}

/* --- the loop ---------------------------------------------------------------------------------- */

/* Mean losses of the tasks from the sums of the epoch so far; returns their weighted sum. */
static double mean_losses(const mtl__trainer *t, double *mean)
{
    double loss = 0;
    bool any = false;
    for (int64_t i = 0; i < t->m->net.tasks; i++) {
        double task = t->total[i] > 0 ? t->sum[i] / t->total[i] : NAN;
        if (mean)
            mean[i] = task;
        if (t->total[i] > 0)
            loss += t->task_weight[i] * task;
        any = any || t->total[i] > 0;
    }
    return any ? loss : NAN;
}

double mtl__trainer_running_loss(const mtl__trainer *t)
{
    return mean_losses(t, NULL);
}

bool mtl__trainer_is_finite(const mtl__trainer *t)
{
    return t->m->ctx->vec->all_finite(t->m->net.params, t->m->values);
}

/* A figure that cannot be computed, of predictions that are not numbers say, is NaN. */
static void push_metric(mtl__trainer *t, const mtl__judge *judge, int64_t task, int64_t entry)
{
    double value;
    if (entry < 0)
        return;
    const char *name = mtl__judge_main_metric(t->m->spec->task[task].kind);
    mtl_status st = mtl__judge_metric(judge, name, task, &value, NULL);
    mtl__report_push(t->report, entry, st == MTL_OK ? value : NAN);
}

static void push_series(mtl__trainer *t)
{
    mtl__report_push(t->report, t->series_train, t->train_loss);
    mtl__report_push(t->report, t->series_rate, t->now.optim.rate);
    if (t->valid)
        mtl__report_push(t->report, t->series_valid, t->valid_loss);
    for (int64_t i = 0; i < t->m->net.tasks; i++) {
        const mtl__task_series *s = &t->series[i];
        if (s->loss_train >= 0)
            mtl__report_push(t->report, s->loss_train, t->epoch_loss[i]);
        if (s->loss_valid >= 0)
            mtl__report_push(t->report, s->loss_valid, t->valid->task_loss[i]);
        push_metric(t, t->valid, i, s->metric_valid);
        push_metric(t, t->train, i, s->metric_train);
    }
    mtl__weighting_push(t);
    mtl__gates_push(t);
}

static bool is_refused(const mtl__judge *j)
{
    return j && j->targets.refused >= 0;
}

/* With an average, this is what is judged, may be the best and is handed out. */
static void finish_epoch(mtl__trainer *t)
{
    t->epoch++;
    mtl__update_epoch(t);
    mtl__update_swap(t);
    t->train_loss = mean_losses(t, t->epoch_loss);
    memcpy(t->last_good, t->m->values, (size_t)t->m->net.params * sizeof(float));
    if (t->valid) {
        mtl__judge_run(t->valid);
        t->valid_loss = t->valid->loss;
    }
    if (t->train)
        mtl__judge_run(t->train);
    if (is_refused(t->valid))
        t->valid_loss = NAN; /* of some of the rows: no figure to be the best by */
    if (!t->reason && (is_refused(t->valid) || is_refused(t->train)))
        t->reason = "cancelled";
    mtl__sched_after_epoch(&t->sched, &t->now.sched, t->valid_loss);
    push_series(t);
    for (int64_t i = 0; i < t->hooks; i++)
        if (t->hook[i].after_epoch)
            t->hook[i].after_epoch(t->hook[i].self, t);
    mtl__update_swap(t);
    if (!t->reason && t->epoch == t->set.epochs)
        t->reason = "epochs";
}

static mtl_status diverged(mtl__trainer *t, mtl_error *err)
{
    memcpy(t->m->values, t->last_good, (size_t)t->m->net.params * sizeof(float));
    return MTL_FAIL(err, MTL_ERR_DIVERGED,
                    "the loss or a parameter is not finite in epoch %lld, step %lld; the model has "
                    "the parameters of epoch %lld",
                    (long long)t->epoch + 1, (long long)t->step, (long long)t->epoch);
}

/* Streamed inputs that could not be read end the fit as a loss that is not finite does. */
static mtl_status check_reading(const mtl__trainer *t, mtl_error *err)
{
    const mtl__binding *const all[] = {&t->bound[0], &t->bound[1], t->valid ? &t->valid->bound : NULL,
                                       t->train ? &t->train->bound : NULL};
    mtl_status st = MTL_OK;
    for (int i = 0; i < MTL__COUNT_OF(all) && st == MTL_OK; i++)
        st = all[i] ? mtl__binding_status(all[i], err) : MTL_OK;
    if (st != MTL_OK)
        memcpy(t->m->values, t->last_good, (size_t)t->m->net.params * sizeof(float));
    return st;
}

static void begin_epoch(mtl__trainer *t)
{
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        t->sum[i] = t->total[i] = 0;
    mtl__feed_begin(&t->feed);
    t->in_epoch = true;
}

static bool is_at_end_of_epoch(const mtl__trainer *t)
{
    return t->feed.source[0].next == t->feed.source[0].rows;
}

/* The next step with what follows from it. */
static mtl_status step_on(mtl__trainer *t, mtl_error *err)
{
    if (!t->in_epoch)
        begin_epoch(t);
    mtl_status st = MTL_OK;
    if (mtl__feed_next(&t->feed)) {
        if ((st = check_reading(t, err)) != MTL_OK)
            return st;
        for (int64_t i = 0; i < t->hooks; i++)
            if (t->hook[i].before_step)
                t->hook[i].before_step(t->hook[i].self, t);
        if ((st = run_step(t, err)) != MTL_OK) {
            memcpy(t->m->values, t->last_good, (size_t)t->m->net.params * sizeof(float));
            return st;
        }
        if (t->feed.batch.targets.refused >= 0) /* the step was not made */
            return mtl__trainer_is_finite(t) ? MTL_OK : diverged(t, err);
        if (!isfinite(t->step_loss))
            return diverged(t, err);
        for (int64_t i = 0; i < t->hooks; i++)
            if (t->hook[i].after_step)
                t->hook[i].after_step(t->hook[i].self, t);
    }
    if ((t->reason || is_at_end_of_epoch(t)) && !mtl__trainer_is_finite(t))
        return diverged(t, err);
    if (is_at_end_of_epoch(t)) {
        finish_epoch(t);
        t->in_epoch = false;
        st = check_reading(t, err);
    }
    for (int64_t i = 0; i < t->hooks && st == MTL_OK; i++)
        if (t->hook[i].at_rest)
            st = t->hook[i].at_rest(t->hook[i].self, t, err);
    return st;
}

mtl_status mtl__trainer_advance(mtl__trainer *t, int64_t steps, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < steps && !t->reason && st == MTL_OK; i++)
        st = step_on(t, err);
    if (st != MTL_OK)
        mtl__log(t->m->ctx, MTL__LOG_WARNING, "training ended in epoch %lld: %s",
                 (long long)t->epoch + 1, mtl__status_name(st));
    return st;
}

static void report_end(mtl__trainer *t)
{
    mtl__report_set_text(t->report, "reason", t->reason);
    mtl__report_set_number(t->report, "epochs", (double)t->epoch);
    mtl__report_set_number(t->report, "steps", (double)t->step);
    mtl__report_set_number(t->report, "best_epoch", t->valid ? (double)t->best_epoch : NAN);
    mtl__report_set_number(t->report, "seconds", mtl__seconds() - t->started);
}

void mtl__trainer_start(mtl__trainer *t)
{
    const mtl_context *ctx = t->m->ctx;
    t->started = mtl__seconds();
    t->rows_before = t->rows_seen;
    for (int i = 0; i < t->feed.sources; i++) {
        mtl__binding_make_ready(&t->bound[i], t->m);
        t->feed.source[i].bound.ready = t->bound[i].ready;
    }
    if (t->valid)
        mtl__binding_make_ready(&t->valid->bound, t->m);
    mtl__log(ctx, MTL__LOG_INFO, "training: %lld rows, %lld tasks, %lld parameters, %s",
             (long long)t->feed.source[0].rows, (long long)t->m->net.tasks,
             (long long)t->m->net.params, ctx->vec->name);
    memcpy(t->last_good, t->m->values, (size_t)t->m->net.params * sizeof(float));
    mtl__update_guards(t, true);
}

void mtl__trainer_end(mtl__trainer *t)
{
    if (!t->reason)
        t->reason = "cancelled";
    if (mtl__trainer_is_finite(t))
        mtl__update_swap(t);
    else /* stopped right behind a step that went astray */
        memcpy(t->m->values, t->last_good, (size_t)t->m->net.params * sizeof(float));
    for (int64_t i = 0; i < t->hooks; i++)
        if (t->hook[i].at_end)
            t->hook[i].at_end(t->hook[i].self, t);
    report_end(t);
    mtl__log(t->m->ctx, MTL__LOG_INFO, "training ended after %lld epochs, %lld steps: %s",
             (long long)t->epoch, (long long)t->step, t->reason);
}

mtl_status mtl__trainer_run(mtl__trainer *t, mtl_error *err)
{
    mtl__trainer_start(t);
    mtl_status st = mtl__trainer_advance(t, INT64_MAX, err);
    if (st == MTL_OK)
        mtl__trainer_end(t);
    return st;
}
