/* SPDX-License-Identifier: MIT */
/* Strategies that hold the network to what the source says of the same rows. */
#include <string.h>

#include "train/distil.h"
#include "transfer/guide.h"

/* --- the teacher ------------------------------------------------------------------------------ */

static int64_t rows_of(const mtl__trainer *t)
{
    return t->feed.batch.rows * t->m->net.members;
}

static void plan_teacher(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    const mtl__network *net = &t->m->net;
    mtl__teacher *x = &g->teacher;
    mtl__network_plan(net, t->m->ctx->gemm, mtl__pool_slots(atomic_load(&t->m->ctx->pool)),
                      mtl__feed_max_rows(&t->feed), a, &x->seen);
    x->chain_on = mtl__arena_take(a, net->heads, sizeof *x->chain_on);
    x->trains = mtl__arena_take(a, net->layers, sizeof *x->trains);
}

/* It drops nothing, and its norms have the figures that they had. */
static mtl_status start_teacher(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    mtl_status st = mtl__model_clone(t->m, &g->teacher.m, err);
    if (st != MTL_OK)
        return st;
    const mtl__network *net = &g->teacher.m->net;
    for (int64_t i = 0; i < net->layers; i++)
        net->layer[i].rate = 0;
    for (int64_t i = 0; i < net->heads; i++)
        g->teacher.chain_on[i] = true;
    return MTL_OK;
}

static void ask(const mtl__guiding *g, const mtl__trainer *t)
{
    const mtl__teacher *x = &g->teacher;
    const mtl__network *net = &x->m->net;
    mtl__pass p = mtl__trainer_pass(t);
    p.gemm_work = x->seen.gemm_work;
    p.params = p.state = x->m->values;
    p.trains = x->trains;
    mtl__network_forward(net, &p, &x->seen, x->chain_on, t->feed.batch.rows, t->feed.batch.x,
                         net->inputs);
}

/* --- distillation ----------------------------------------------------------------------------- */

enum { ALPHA, TEMPERATURE };

static void plan_distil(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    plan_teacher(g, t, a);
    g->work =
        mtl__arena_floats(a, mtl__feed_max_rows(&t->feed) * t->m->net.members * t->m->net.outputs);
}

static void distil(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    ask(g, t);
    memcpy(g->work, t->buffers.z, (size_t)(rows_of(t) * t->m->net.outputs) * sizeof *g->work);
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        if (g->unlabelled[i])
            /* columns without labels keep what was last written */
            mtl__teach_task(t, i, g->value[ALPHA], g->value[TEMPERATURE],
                            mtl__targets_has_task(&t->feed.batch.targets, i), g->teacher.seen.z,
                            g->work);
}

const struct mtl__guide mtl__distil = {.teaches = mtl__guide_knows,
                                       .plan = plan_distil,
                                       .start = start_teacher,
                                       .before_backward = distil};

/* --- features --------------------------------------------------------------------------------- */

/* alpha / 2 times the mean over rows of |h - h0|^2, h the trunk's outputs: Li et al. 2019, equation
   4, all of them counting alike. */
static void hold_features(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    const mtl__network *net = &t->m->net;
    const mtl__vec *v = t->m->ctx->vec;
    const int64_t n = rows_of(t) * net->trunk_out, top = net->trunk_layers - 1;
    float *dh = t->buffers.dh;
    ask(g, t);
    memcpy(dh, t->buffers.y[top], (size_t)n * sizeof *dh);
    v->axpy(n, -1, g->teacher.seen.y[top], dh);
    v->scale(n, (float)(g->value[ALPHA] / (double)rows_of(t)), dh);
    t->buffers.has_dh = true;
}

const struct mtl__guide mtl__delta = {
    .plan = plan_teacher, .start = start_teacher, .before_backward = hold_features};

/* --- classes of new and known tasks ----------------------------------------------------------- */

/* You et al. 2020, equation 3: the known heads learn p(known class | new class), which is told by
   the source's predictions for the target's rows ("direct approach" there). */

static bool has_classes(const mtl__task_spec *t)
{
    return (t->kind == MTL_BINARY || t->kind == MTL_MULTICLASS) && !t->loss->has_thresholds;
}

static bool is_related(const mtl__guiding *g, int64_t task)
{
    return mtl__guide_knows(g, task) && has_classes(&g->m->spec->task[task]);
}

static bool is_new(const mtl__guiding *g, int64_t task)
{
    return !mtl__guide_knows(g, task) && has_classes(&g->m->spec->task[task]);
}

static int64_t count_of(const mtl__guiding *g, bool (*is)(const mtl__guiding *g, int64_t task))
{
    int64_t count = 0;
    for (int64_t i = 0; i < g->m->net.tasks; i++)
        count += is(g, i);
    return count;
}

static mtl_status check_relation(const mtl__guiding *g, mtl_error *err)
{
    if (count_of(g, is_new) && count_of(g, is_related))
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_INVALID,
                    "strategy \"%s\" is for a new binary or multiclass task and a source with such",
                    g->name);
}

static void plan_relation(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    const mtl__network *net = &t->m->net;
    mtl__relation *to = g->relation = mtl__arena_take(a, net->tasks, sizeof *g->relation);
    for (int64_t i = 0; i < net->tasks; i++) {
        const mtl__task_spec *spec = &t->m->spec->task[i];
        const int64_t classes = spec->kind == MTL_BINARY ? 2 : spec->outputs;
        float *of_class = is_new(g, i) ? mtl__arena_floats(a, classes * net->outputs) : NULL;
        if (to)
            to[i] = (mtl__relation){of_class, classes};
    }
    g->work = mtl__arena_floats(a, mtl__max(g->target->rows, mtl__feed_max_rows(&t->feed)) *
                                       net->outputs);
}

/* Means of the predictions for rows of each class of a new task; a class without a row is never
   looked up. */
static void relate(const mtl__guiding *g, int64_t task, int64_t known, const float *p)
{
    const mtl_dataset *d = g->target;
    const mtl__relation *to = &g->relation[task];
    const mtl__array *y = &d->labels[mtl__dataset_task(d, g->m->spec->task[task].name)].y;
    const int64_t cols = g->m->spec->task[known].outputs, ld = g->m->net.outputs;
    for (int64_t c = 0; c < to->classes; c++) {
        float *mean = to->of_class + c * ld + g->m->net.task[known].column;
        int64_t count = 0;
        for (int64_t r = 0; r < d->rows; r++) {
            if (*mtl__array_row(y, r) != (float)c)
                continue;
            count++;
            for (int64_t j = 0; j < cols; j++)
                mean[j] += (p[r * cols + j] - mean[j]) / (float)count;
        }
    }
}

static mtl_status start_relation(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    const mtl_dataset *d = g->target;
    const int64_t inputs = d->inputs, rows = d->rows;
    const mtl__allocator *al = &t->m->ctx->al;
    float *x = mtl__alloc_array(al, rows, inputs * (int64_t)sizeof *x);
    mtl_status st =
        x ? MTL_OK : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)rows);
    if (x)
        mtl__array_gather(&d->x, inputs, (mtl__rows){.count = rows}, x, inputs);
    for (int64_t k = 0; k < t->m->net.tasks && st == MTL_OK; k++) {
        if (!is_related(g, k))
            continue;
        st =
            mtl__model_predict(t->m, k, rows, x, inputs, g->work, t->m->spec->task[k].outputs, err);
        for (int64_t i = 0; i < t->m->net.tasks && st == MTL_OK; i++)
            if (g->relation[i].of_class)
                relate(g, i, k, g->work);
    }
    mtl__free(al, x, rows * inputs * (int64_t)sizeof *x);
    return st;
}

/* factor * (p - p(known class | the row's class)) to the columns of a known task. */
static void draw_to_relation(const mtl__guiding *g, mtl__trainer *t, int64_t known, int64_t task,
                             float factor)
{
    const mtl__targets *x = &t->feed.batch.targets;
    const mtl__target *of = &x->target[x->of_task[task]];
    const int64_t ld = t->m->net.outputs, column = t->m->net.task[known].column;
    const int64_t cols = t->m->spec->task[known].outputs;
    for (int64_t r = 0; r < rows_of(t); r++) {
        const float label = of->y[r * of->labels + x->label[task]];
        if (!(label >= 0))
            continue;
        const float *q = g->relation[task].of_class + (int64_t)label * ld + column;
        for (int64_t j = 0; j < cols; j++)
            t->buffers.dz[r * ld + column + j] += factor * (g->work[r * ld + column + j] - q[j]);
    }
}

static void co_tune(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    const mtl__network *net = &t->m->net;
    const mtl__targets *x = &t->feed.batch.targets;
    const int64_t ld = net->outputs, rows = rows_of(t), known = count_of(g, is_related);
    memcpy(g->work, t->buffers.z, (size_t)(rows * ld) * sizeof *g->work);
    for (int64_t k = 0; k < net->tasks; k++) {
        const mtl__task_spec *spec = &t->m->spec->task[k];
        float *p = g->work + net->task[k].column;
        if (!g->unlabelled[k])
            continue;
        mtl__soften(t->m->ctx->vec, spec->kind == MTL_MULTICLASS, spec->kind == MTL_BINARY, 1, rows,
                    spec->outputs, p, ld);
        for (int64_t r = 0; r < rows; r++)
            memset(t->buffers.dz + r * ld + net->task[k].column, 0,
                   (size_t)spec->outputs * sizeof *p);
        for (int64_t i = 0; i < net->tasks; i++)
            if (g->relation[i].of_class && x->weight[i] > 0)
                draw_to_relation(g, t, k, i,
                                 (float)(g->value[ALPHA] / ((double)known * (double)rows)));
    }
}

const struct mtl__guide mtl__co_tuning = {.check = check_relation,
                                          .teaches = is_related,
                                          .plan = plan_relation,
                                          .start = start_relation,
                                          .before_backward = co_tune};
