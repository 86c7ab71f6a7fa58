/* SPDX-License-Identifier: MIT */
#include "train/weighting.h"

#include <math.h>
#include <string.h>

#include "train/trainer.h"

/* --- memory --------------------------------------------------------------------------------------
 */

enum {
    PART_FLOATS =
        1 << 16,       /* of slices, or one row of a layer's matrix for each task if that is more */
    CHUNK = 1024,      /* floats of one inner product, which are added in double */
    MOST_COSINES = 16, /* tasks of which the report has all cosines */
};

mtl_status mtl__weighting_check(const mtl__weighting_set *set, int64_t tasks, bool is_sparse,
                                mtl_error *err)
{
    const mtl__aggregation *row = set->kind.row;
    if (row->uses & MTL__AGG_JACOBIAN)
        return MTL_FAIL(
            err, MTL_ERR_INVALID,
            "weighting \"%s\" needs every value of every task's gradient, which training "
            "does not keep; mtl_aggregate() has it",
            row->choice.name);
    if (is_sparse && !set->features && (row->uses & MTL__AGG_GRAM))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "weighting \"%s\" of sparse inputs compares gradients by the trunk's output alone: "
                        "weighting_scope = features",
                        row->choice.name);
    return mtl__aggregator_check(&set->kind, set->text, tasks, err);
}

/* Floats of the gradients of a layer's tensors that are compared whole. */
static int64_t tensor_floats(const mtl__layer *l)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < l->type->params; k++)
        if (l->type->param[k].role != MTL__STATE)
            sum += mtl__round_floats(l->type->param[k].role == MTL__MATRIX ? l->rows * l->cols
                                                                           : l->cols);
    return sum;
}

static int64_t part_floats(const mtl__network *net)
{
    int64_t most = 0;
    for (int64_t i = 0; i < net->trunk_layers; i++) {
        const mtl__layer *l = &net->layer[i];
        const bool in_slices = l->type == &mtl__dense_layer;
        const int64_t least = in_slices ? l->out : tensor_floats(l);
        most =
            mtl__max(most, in_slices ? mtl__max(net->tasks * least,
                                                mtl__min(PART_FLOATS, net->tasks * l->in * l->out))
                                     : net->tasks * least);
    }
    return most;
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
                                    .weight = figures(w, &at, tasks),
                                    .sum = figures(w, &at, tasks),
                                    .count = figures(w, &at, tasks),
                                    .cosine = figures(w, &at, pairs),
                                    .pairs = figures(w, &at, pairs),
                                    .conflicts = figures(w, &at, 1),
                                    .compared = figures(w, &at, 1)};
}

static void plan_gram(mtl__trainer *t, mtl__arena *arena)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    const int64_t rows = mtl__feed_max_rows(&t->feed);
    w->gram = mtl__arena_take(arena, net->tasks * net->tasks, sizeof *w->gram);
    w->cosines = mtl__arena_take(arena, net->tasks * net->tasks, sizeof *w->cosines);
    w->own = mtl__arena_take(arena, net->tasks, sizeof *w->own);
    w->way = mtl__arena_take(arena, net->tasks, sizeof *w->way);
    for (int64_t i = 0; i < net->tasks; i++)
        mtl__network_plan_task(net, rows, arena, &t->buffers, w->own ? &w->own[i] : NULL);
    w->part_floats = t->set.weighting.features ? 0 : part_floats(net);
    w->part = mtl__arena_floats(arena, w->part_floats);
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
    mtl__aggregator_plan(&w->agg, &t->set.weighting.kind, t->set.weighting.text, net->tasks, 0,
                         t->set.seed, arena);
    if (w->agg.epoch_steps == 0)
        w->agg.epoch_steps = mtl__max(1, t->feed.steps / t->set.weighting.every);
    lay_out(w, net->tasks, NULL);
    w->figure = mtl__arena_take(arena, w->figures, sizeof *w->figure);
    lay_out(w, net->tasks, w->figure);
    w->name = mtl__arena_take(arena, net->tasks, sizeof *w->name);
    w->loss = mtl__arena_take(arena, net->tasks, sizeof *w->loss);
    w->scale = mtl__arena_take(arena, net->tasks, sizeof *w->scale);
    w->live = mtl__arena_take(arena, net->tasks, sizeof *w->live);
    w->series = mtl__arena_take(arena, net->tasks, sizeof *w->series);
    w->dz = mtl__arena_floats(arena, mtl__feed_max_rows(&t->feed) * net->outputs);
    w->state = row->uses & MTL__AGG_FEEDBACK ? mtl__arena_floats(arena, net->params) : NULL;
    w->off = mtl__arena_take(arena, net->layers, sizeof *w->off);
    w->heads_on = mtl__arena_take(arena, net->layers, sizeof *w->heads_on);
    w->trunk_on = mtl__arena_take(arena, net->layers, sizeof *w->trunk_on);
    w->trained = mtl__arena_take(arena, net->layers, sizeof *w->trained);
    if (w->wants_gram)
        plan_gram(t, arena);
}

void mtl__weighting_start(mtl__trainer *t)
{
    mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    if (!w->is_on)
        return;
    mtl__aggregator_reset(&w->agg);
    for (int64_t i = 0; i < net->tasks; i++) {
        w->name[i] = t->m->spec->task[i].name;
        w->kept.weight[i] = 1;
    }
    for (int64_t i = 0; i < net->layers; i++) {
        const bool in_trunk = i < net->trunk_layers;
        w->heads_on[i] = t->layer_on[i] && !in_trunk;
        w->trunk_on[i] = t->layer_on[i] && in_trunk;
    }
    for (int64_t i = 0; i < t->m->params; i++)
        if (mtl__trainer_trains(t, &t->m->param[i]))
            w->trained[t->m->param[i].layer] |= (uint8_t)(1 << t->m->param[i].number);
}

/* --- the Gramian ---------------------------------------------------------------------------------
 */

/* gram += inner products of count vectors of n floats, `ld` apart. */
static void add_products(const mtl__trainer *t, int64_t count, const float *x, int64_t ld,
                         int64_t n)
{
    const mtl__weighting *w = &t->weighting;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t at = 0; at < n; at += CHUNK)
                w->gram[i * count + j] += (double)t->m->ctx->vec->dot(
                    mtl__min(CHUNK, n - at), x + i * ld + at, x + j * ld + at);
}

/* A dense layer's gradients by slices of its matrix's rows. */
static void compare_dense(const mtl__trainer *t, const mtl__pass *p, const mtl__layer *l,
                          const mtl__layer_io *io, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    const int64_t most = w->part_floats / (count * l->out);
    for (int64_t row = 0; row < l->in && (w->trained[l->id] & 1); row += most) {
        const int64_t rows = mtl__min(most, l->in - row), n = rows * l->out;
        for (int64_t i = 0; i < count; i++)
            mtl__dense_weight_rows(l, p, io, &w->way[i].g, row, rows, w->part + i * n);
        add_products(t, count, w->part, n, n);
    }
    if (!(w->trained[l->id] & 2))
        return;
    for (int64_t i = 0; i < count; i++)
        p->vec->col_sums(io->rows, l->out, w->way[i].g.dy, w->way[i].g.lddy, w->part + i * l->out,
                         false);
    add_products(t, count, w->part, l->out, l->out);
}

/* What the layer's backward pass has left of the trained tensors' gradients for one task; returns
   its length. */
static int64_t take_tensors(const mtl__trainer *t, const mtl__pass *p, int64_t layer, float *to)
{
    mtl__layer l = t->m->net.layer[layer];
    int64_t n = 0;
    for (int32_t k = 0; k < l.type->params; k++) {
        const int64_t count = l.type->param[k].role == MTL__MATRIX ? l.rows * l.cols : l.cols;
        if (l.type->param[k].role == MTL__STATE || !(t->weighting.trained[layer] >> k & 1))
            continue;
        memcpy(to + n, p->grads + *mtl__layer_offset(&l, k), (size_t)count * sizeof *to);
        n += count;
    }
    return n;
}

/* All tasks' gradients through the trunk, a layer after the other. */
static void compare_trunk(const mtl__trainer *t, const mtl__pass *p, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const int64_t stop = mtl__network_trunk_stop(net, t->layer_on);
    for (int64_t layer = net->trunk_layers - 1; layer >= stop; layer--) {
        const mtl__layer *l = &net->layer[layer];
        const bool in_slices = l->type == &mtl__dense_layer;
        const mtl__layer_io io =
            mtl__network_trunk_io(net, &t->buffers, layer, b->rows, b->x, net->inputs);
        const int64_t ld = tensor_floats(l);
        int64_t n = 0;
        if (in_slices && t->layer_on[layer])
            compare_dense(t, p, l, &io, count);
        for (int64_t i = 0; i < count; i++) {
            mtl__network_task_step(net, p, &w->own[w->live[i]], in_slices ? w->off : t->layer_on,
                                   layer, stop, b->rows, b->x, net->inputs, &w->way[i]);
            if (!in_slices && t->layer_on[layer])
                n = take_tensors(t, p, layer, w->part + i * ld);
        }
        add_products(t, count, w->part, ld, n);
    }
}

/* The Gramian of the tasks that have a label here, in the rows and columns of these alone. */
static void compare(const mtl__trainer *t, const mtl__pass *p, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const bool features = t->set.weighting.features;
    memset(w->gram, 0, (size_t)(count * count) * sizeof *w->gram);
    for (int64_t i = 0; i < count; i++)
        mtl__network_task_begin(net, p, &t->buffers, &w->own[w->live[i]], w->off, w->live[i],
                                t->m->spec->task[w->live[i]].outputs, !features, b->rows, b->x,
                                net->inputs, &w->way[i]);
    if (!features)
        compare_trunk(t, p, count);
    for (int64_t i = 0; i < count && features; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t r = 0; r < b->rows; r++)
                w->gram[i * count + j] +=
                    (double)p->vec->dot(net->trunk_out, w->way[i].g.dy + r * net->trunk_out,
                                        w->way[j].g.dy + r * net->trunk_out);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++)
            w->gram[j * count + i] = w->gram[i * count + j];
}

/* --- weights -------------------------------------------------------------------------------------
 */

/* Cosines and conflicts of this step to the epoch's sums. */
static void note_cosines(mtl__trainer *t, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++) {
            const double size = sqrt(w->gram[i * count + i]) * sqrt(w->gram[j * count + j]);
            const int64_t at = w->live[i] * t->m->net.tasks + w->live[j];
            if (!(size > 0))
                continue;
            w->kept.cosine[at] += w->gram[i * count + j] / size;
            w->kept.pairs[at] += 1;
            *w->kept.conflicts += w->gram[i * count + j] < 0;
            *w->kept.compared += 1;
        }
}

/* From the Gramian of the live tasks to one of all: what is absent is not looked at, its loss being
   NaN. In place, from the end. */
static void spread(const mtl__trainer *t, int64_t count)
{
    const mtl__weighting *w = &t->weighting;
    const int64_t tasks = t->m->net.tasks;
    for (int64_t i = count - 1; i >= 0; i--)
        for (int64_t j = count - 1; j >= 0; j--)
            w->gram[w->live[i] * tasks + w->live[j]] = w->gram[i * count + j];
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

/* New weights of the live tasks; w->scale is room for them. */
static mtl_status weigh(mtl__trainer *t, const mtl__pass *p, int64_t count, mtl_error *err)
{
    mtl__weighting *w = &t->weighting;
    const mtl__agg_step step = {
        .gram = w->gram, .gram_stride = t->m->net.tasks, .losses = w->loss, .names = w->name};
    if (w->wants_gram && count > 0) {
        compare(t, p, count);
        if (!is_finite(w->gram, count * count)) {
            t->step_loss = (double)INFINITY; /* and so the run ends */
            return MTL_OK;
        }
        note_cosines(t, count);
        spread(t, count);
    }
    mtl_status st = mtl__aggregator_run(&w->agg, &step, w->scale, NULL, NULL, err);
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
    for (int64_t i = 0; i < t->m->net.tasks; i++) {
        const float factor = (float)w->kept.weight[i];
        float *dz = t->buffers.dz + t->m->net.task[i].column;
        for (int64_t r = 0; r < t->feed.batch.rows; r++)
            t->m->ctx->vec->scale(t->m->spec->task[i].outputs, factor, dz + r * ld);
    }
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
    if (mtl__network_trunk_stop(net, t->layer_on) < net->trunk_layers) {
        if (t->step % t->set.weighting.every == 0)
            st = weigh(t, p, count, err);
        if (st != MTL_OK || !isfinite(t->step_loss))
            return st;
        for (int64_t i = 0; i < count; i++) {
            w->kept.sum[w->live[i]] += w->kept.weight[w->live[i]];
            w->kept.count[w->live[i]] += 1;
        }
        memcpy(w->dz, t->buffers.dz, bytes);
        scale_dz(t);
        mtl__network_backward(net, p, &t->buffers, t->chain_on, w->trunk_on, b->rows, b->x,
                              net->inputs);
        memcpy(t->buffers.dz, w->dz, bytes);
    }
    mtl__network_backward(net, p, &t->buffers, t->chain_on, w->heads_on, b->rows, b->x,
                          net->inputs);
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
    p.state = w->state;
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
    *values = index == 0 ? w->figure : w->agg.state;
    *count = index == 0 ? w->figures : w->agg.states;
    return w->is_on && index < 2;
}

bool mtl__weighting_resume(mtl__weighting *w)
{
    if (!w->is_on)
        return true;
    const double step = *w->kept.step;
    if (!is_finite(w->figure, w->figures) || !is_finite(w->agg.state, w->agg.states) ||
        !(step >= 0 && step < 0x1p53) || step != (double)(int64_t)step)
        return false;
    w->agg.step = (int64_t)step;
    return true;
}
