/* SPDX-License-Identifier: MIT */
/* Strategies that hold the network to what the source says of the same rows. */
#include <string.h>

#include "transfer/guide.h"

/* --- the teacher --------------------------------------------------------------------------------- */

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

/* --- distillation -------------------------------------------------------------------------------- */

enum { ALPHA, TEMPERATURE };

static void plan_distil(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    plan_teacher(g, t, a);
    g->work = mtl__arena_floats(a, mtl__feed_max_rows(&t->feed) * t->m->net.members *
                                       t->m->net.outputs);
}

/* Outputs of a task, with gaps, to what is compared: probabilities at the temperature, or as they
   are. */
static void soften(const mtl__vec *v, bool is_softmax, bool is_sigmoid, double temperature,
                   int64_t rows, int64_t cols, float *z, int64_t ld)
{
    for (int64_t r = 0; r < rows && (is_softmax || is_sigmoid); r++) {
        v->scale(cols, (float)(1 / temperature), z + r * ld);
        if (is_sigmoid)
            v->sigmoid(cols, z + r * ld, z + r * ld);
    }
    if (is_softmax)
        v->softmax(rows, cols, z, ld);
}

/* weight * alpha T^2 KL(teacher | student), means over rows (and labels), by z; of what is no class
   the mean squared difference. Columns without labels keep what was last written. */
static void distil_task(const mtl__guiding *g, mtl__trainer *t, int64_t task)
{
    const mtl__vec *v = t->m->ctx->vec;
    const mtl__task_spec *spec = &t->m->spec->task[task];
    const int64_t rows = rows_of(t), cols = spec->outputs, ld = t->m->net.outputs;
    const int64_t column = t->m->net.task[task].column;
    const bool plain = spec->loss->has_thresholds;
    const bool softmax = !plain && spec->kind == MTL_MULTICLASS;
    const bool sigmoid = !plain && (spec->kind == MTL_BINARY || spec->kind == MTL_MULTILABEL);
    const double slope = softmax || sigmoid ? g->value[TEMPERATURE] : 2;
    const double parts = (double)rows * (softmax ? 1 : (double)cols);
    const float factor = (float)(g->value[ALPHA] * t->task_weight[task] * slope / parts);
    float *want = g->teacher.seen.z + column, *have = g->work + column, *dz = t->buffers.dz + column;
    soften(v, softmax, sigmoid, g->value[TEMPERATURE], rows, cols, want, ld);
    soften(v, softmax, sigmoid, g->value[TEMPERATURE], rows, cols, have, ld);
    const bool adds = mtl__targets_has_task(&t->feed.batch.targets, task);
    for (int64_t r = 0; r < rows; r++) {
        float *d = dz + r * ld;
        v->axpy(cols, -1, want + r * ld, have + r * ld);
        if (!adds)
            memset(d, 0, (size_t)cols * sizeof *d);
        v->axpy(cols, factor, have + r * ld, d);
    }
}

static void distil(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    ask(g, t);
    memcpy(g->work, t->buffers.z, (size_t)(rows_of(t) * t->m->net.outputs) * sizeof *g->work);
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        if (g->unlabelled[i])
            distil_task(g, t, i);
}

const struct mtl__guide mtl__distil = {.distils = true, .plan = plan_distil, .start = start_teacher,
                                       .before_backward = distil};
