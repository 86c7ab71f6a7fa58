/* SPDX-License-Identifier: MIT */
#include "train/update.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"

/* A pass over some parameters: of one range, first counts from the whole vector. */
typedef struct pass {
    mtl__trainer *t;
    const mtl__range *range;
    float figure;
    mtl__range_fn *fn; /* of a lazy matrix, for runs of rows */
    bool all;          /* rows, not those alone that the batch touches */
} pass;

/* Of whole numbers in floats. */
enum { SEEN_MOST = 1 << 24 };
enum { GRAIN = 16384, ROWS_GRAIN = 2048 }; /* rows here and there come from memory */

static mtl__pool *pool_of(const mtl__trainer *t)
{
    return atomic_load(&t->m->ctx->pool);
}

static const mtl__vec *vec_of(const pass *p)
{
    return p->t->m->ctx->vec;
}

/* Number of the i-th row that is meant. */
static int64_t row_at(const pass *p, int64_t i)
{
    return p->all ? i : p->t->touched.column[i];
}

/* Rows that follow each other without a gap are one run. */
static void some_rows(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    const int64_t ld = p->range->ld, cols = p->range->count, end = first + count;
    for (int64_t i = first, next; i < end; i = next) {
        next = i + 1;
        while (cols == ld && next < end && row_at(p, next) == row_at(p, next - 1) + 1)
            next++;
        p->fn(arg, row_at(p, i) * ld, (next - i - 1) * ld + cols);
    }
}

static void each_row(pass *p)
{
    const mtl__trainer *t = p->t;
    mtl__pool_ranges(pool_of(t), p->all ? t->m->net.inputs : t->touched.count,
                     1 + ROWS_GRAIN / p->range->count, some_rows, p);
}

/* Of lazy matrices the rows that the batch touches, or all. */
static void each_range(mtl__trainer *t, mtl__range_fn *fn, float figure, bool all)
{
    for (int64_t i = 0; i < t->ranges; i++) {
        pass p = {t, &t->range[i], figure, fn, all};
        if (p.range->ld)
            each_row(&p);
        else
            mtl__pool_ranges(pool_of(t), p.range->count, GRAIN, fn, &p);
    }
}

/* --- clipping --------------------------------------------------------------------------------- */

static void clamp_part(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    vec_of(p)->clamp(count, p->figure, p->t->grads + p->range->first + first);
}

static void scale_part(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    vec_of(p)->scale(count, p->figure, p->t->grads + p->range->first + first);
}

/* The sum of squares is taken in blocks of one size, whatever the threads, and then in order. */
enum { BLOCK = 1024 };

static void square_blocks(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    for (int64_t b = first; b < first + count; b++) {
        const float *g = p->t->grads + p->range->first + b * BLOCK;
        int64_t n = mtl__min(BLOCK, p->range->count - b * BLOCK);
        p->t->block_sum[b] = vec_of(p)->dot(n, g, g);
    }
}

/* Of a lazy matrix a row is a block. */
static void square_rows(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    for (int64_t i = first; i < first + count; i++) {
        const float *g = p->t->grads + p->range->first + p->t->touched.column[i] * p->range->ld;
        p->t->block_sum[i] = vec_of(p)->dot(p->range->count, g, g);
    }
}

static double norm_of_gradient(mtl__trainer *t)
{
    double sum = 0;
    for (int64_t i = 0; i < t->ranges; i++) {
        pass p = {t, &t->range[i], 0, NULL, false};
        const bool by_rows = p.range->ld > 0;
        int64_t blocks = by_rows ? t->touched.count : (p.range->count + BLOCK - 1) / BLOCK;
        mtl__pool_ranges(pool_of(t), blocks, by_rows ? 1 + ROWS_GRAIN / p.range->count : GRAIN / BLOCK,
                         by_rows ? square_rows : square_blocks, &p);
        for (int64_t b = 0; b < blocks; b++)
            sum += (double)t->block_sum[b];
    }
    return sqrt(sum);
}

/* Frozen slices inside a range have gradients, which are no part of the norm. */
static void clear_guarded(mtl__trainer *t)
{
    for (int64_t i = 0; i < t->guards; i++) {
        const mtl__guard *g = &t->guard[i];
        for (int64_t r = 0; r < g->rows; r++)
            memset(t->grads + g->offset + r * g->ld, 0, (size_t)g->cols * sizeof(float));
    }
}

void mtl__update_guards(mtl__trainer *t, bool take)
{
    for (int64_t i = 0; i < t->guards; i++) {
        const mtl__guard *g = &t->guard[i];
        for (int64_t r = 0; r < g->rows; r++) {
            float *w = t->m->values + g->offset + r * g->ld, *copy = g->copy + r * g->cols;
            memcpy(take ? copy : w, take ? w : copy, (size_t)g->cols * sizeof *w);
        }
    }
}

/* Pascanu et al. 2013, algorithm 1, with the 1e-6 of torch.nn.utils.clip_grad_norm_. */
static void clip(mtl__trainer *t)
{
    if (t->set.clip_value > 0)
        each_range(t, clamp_part, (float)t->set.clip_value, false);
    if (t->set.clip_norm > 0) {
        clear_guarded(t);
        double factor = t->set.clip_norm / (norm_of_gradient(t) + 1e-6);
        if (!(factor >= 1))
            each_range(t, scale_part, (float)factor, false);
    }
}

/* --- averaging -------------------------------------------------------------------------------- */

static void blend_part(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    int64_t at = p->range->first + first;
    vec_of(p)->blend(count, p->figure, p->t->m->values + at, p->t->average + at);
}

/* What follows the data is averaged like what is trained (use_buffers in PyTorch). */
static void blend_states(mtl__trainer *t, float share)
{
    for (int64_t i = 0; i < t->m->params; i++) {
        const mtl__param *p = &t->m->param[i];
        if (p->role == MTL__STATE)
            t->m->ctx->vec->blend(mtl__param_cols(p), share, t->m->values + p->offset,
                                  t->average + p->offset);
    }
}

static const mtl__averaging *averaging_of(const mtl__trainer *t)
{
    return t->set.average.row;
}

/* A row of a lazy matrix rests while its column is not in a batch, and its average goes on towards it:
   the steps that were missed are taken together, before the row moves. From the second step on an
   average by steps has one share. */
static void catch_up_part(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    mtl__trainer *t = p->t;
    const int64_t ld = p->range->ld;
    const double share = averaging_of(t)->after_step(t->set.average.value, 1);
    for (int64_t i = first; ld && i < first + count; i += ld) {
        const int64_t at = p->range->first + i;
        const int64_t missed = t->now.averaged - t->now.caught_up - (int64_t)t->seen[i / ld];
        double left = missed == 0;
        if (missed > 0 && share < 1)
            left = mtl__exp_f64((double)missed * mtl__log_f64(1 - share));
        vec_of(p)->blend(p->range->count, (float)(1 - left), t->m->values + at, t->average + at);
    }
}

/* The rows of the batch, or all of them. */
static void catch_up(mtl__trainer *t, bool all)
{
    if (!t->seen || t->now.averaged == t->now.caught_up)
        return;
    each_range(t, catch_up_part, 0, all);
    if (all) {
        memset(t->seen, 0, (size_t)t->m->net.inputs * sizeof *t->seen);
        t->now.caught_up = t->now.averaged;
    }
}

static void take_average(mtl__trainer *t, double (*share)(const double *, int64_t))
{
    int64_t count = t->now.averaged++;
    if (count == 0) {
        memcpy(t->average, t->m->values, (size_t)t->m->net.params * sizeof(float));
        t->now.caught_up = 1;
        return;
    }
    float part = (float)share(t->set.average.value, count);
    each_range(t, blend_part, part, !t->seen);
    blend_states(t, part);
    for (int64_t i = 0; t->seen && i < t->touched.count; i++)
        t->seen[t->touched.column[i]] = (float)(t->now.averaged - t->now.caught_up);
    if (t->now.averaged - t->now.caught_up >= SEEN_MOST)
        catch_up(t, true);
}

void mtl__update_epoch(mtl__trainer *t)
{
    const mtl__averaging *a = averaging_of(t);
    if (a->after_epoch && t->epoch >= a->first_epoch(t->set.average.value, t->set.epochs))
        take_average(t, a->after_epoch);
}

void mtl__update_swap(mtl__trainer *t)
{
    float *w = t->m->values, *average = t->average;
    if (!average || t->now.averaged == 0)
        return;
    catch_up(t, true); /* nothing is left to do on the way back */
    for (int64_t i = 0; i < t->m->net.params; i++) {
        float x = w[i];
        w[i] = average[i];
        average[i] = x;
    }
}

/* --- one step --------------------------------------------------------------------------------- */

static void optimize_part(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    mtl__trainer *t = p->t;
    mtl__range part = *p->range;
    part.first += first;
    part.count = count;
    mtl__optim_apply(&t->optim, vec_of(p), &part, t->m->values, t->grads);
}

static void clear_rows(void *arg, int64_t first, int64_t count)
{
    const pass *p = arg;
    memset(p->t->grads + p->range->first + first, 0, (size_t)count * sizeof(float));
}

/* Gradients of weights that read sparse inputs are 0 between steps. */
static void clear_touched(mtl__trainer *t)
{
    const mtl__network *net = &t->m->net;
    for (int64_t i = 0; i < net->layers && t->feed.is_sparse; i++) {
        const mtl__layer *l = &net->layer[i];
        const mtl__range all = {.first = l->weight, .count = l->cols, .ld = l->cols};
        pass p = {t, &all, 0, clear_rows, false};
        if (mtl__network_reads_inputs(net, i) && t->layer_on[i])
            each_row(&p);
    }
}

void mtl__update_run(mtl__trainer *t)
{
    const mtl__averaging *a = averaging_of(t);
    clip(t);
    for (int64_t i = 0; i < t->hooks; i++)
        if (t->hook[i].before_update)
            t->hook[i].before_update(t->hook[i].self, t);
    const double momentum = mtl__sched_momentum(&t->sched, t->step);
    if (momentum > 0)
        mtl__optim_set_momentum(&t->optim, momentum);
    mtl__optim_begin(&t->optim, t->set.rate * mtl__sched_factor(&t->sched, &t->now.sched, t->step));
    t->optim.decay_share = mtl__trainer_share(t, &t->set.decay_schedule);
    catch_up(t, false);
    each_range(t, optimize_part, 0, false);
    mtl__update_guards(t, false);
    if (a->after_step)
        take_average(t, a->after_step);
    clear_touched(t);
}

void mtl__update_plan(mtl__trainer *t, mtl__arena *arena)
{
    const int64_t params = t->m->net.params;
    const mtl__averaging *a = averaging_of(t);
    mtl__optim_init(&t->optim, &t->set.optimizer, &t->now.optim, params, arena);
    mtl__sched_init(&t->sched, &t->set.schedule, t->set.warm_up, t->set.epochs * t->feed.steps,
                    t->feed.steps, &t->now.sched);
    t->grads = mtl__arena_floats(arena, params);
    t->average = a->after_step || a->after_epoch ? mtl__arena_floats(arena, params) : NULL;
    t->seen = t->feed.is_sparse && t->set.lazy && a->after_step
                  ? mtl__arena_floats(arena, t->m->net.inputs)
                  : NULL;
    const int64_t blocks = params / BLOCK + 1, rows = t->feed.is_sparse ? t->m->net.inputs : 0;
    t->block_sum =
        t->set.clip_norm > 0 ? mtl__arena_floats(arena, mtl__max(blocks, rows)) : NULL;
}

/* --- state ------------------------------------------------------------------------------------ */

bool mtl__trainer_state(mtl__trainer *t, int64_t index, const char **name, float **values)
{
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++)
        if (t->optim.state[i] && index-- == 0) {
            *name = mtl__optim_vector_names[i];
            *values = t->optim.state[i];
            return true;
        }
    *name = "training.average";
    *values = t->average;
    return t->average && index == 0;
}
