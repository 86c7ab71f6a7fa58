/* SPDX-License-Identifier: MIT */
#include "train/soft.h"

#include <string.h>

#include "model/architecture.h"
#include "train/trainer.h"

/* The mean of a row of the tasks' tensors, and one's distance from it. */
float *mtl__soft_plan(const mtl__trainer *t, mtl__arena *arena)
{
    const mtl__architecture *row = t->m->spec->architecture.row;
    return row->pulls ? mtl__arena_floats(arena, 2 * t->m->net.widest) : NULL;
}

/* A row of as many parts as there are tasks. The sum of the distances is 0, so that the mean's own part
   in the gradient is, too. */
static void pull_row(const mtl__trainer *t, int64_t tasks, int64_t cols, int64_t at)
{
    const mtl__vec *v = t->m->ctx->vec;
    const float lambda = (float)t->m->spec->architecture.value[0], *w = t->m->values + at;
    float *mean = t->soft, *apart = mean + cols;
    memcpy(mean, w, (size_t)cols * sizeof *mean);
    for (int64_t i = 1; i < tasks; i++)
        v->axpy(cols, 1, w + i * cols, mean);
    v->scale(cols, 1 / (float)tasks, mean);
    for (int64_t i = 0; i < tasks; i++) {
        memcpy(apart, w + i * cols, (size_t)cols * sizeof *apart);
        v->axpy(cols, -1, mean, apart);
        v->axpy(cols, lambda, apart, t->grads + at + i * cols);
    }
}

static void pull(void *self, mtl__trainer *t)
{
    (void)self;
    for (int64_t i = 0; i < t->m->net.trunk_layers; i++) {
        mtl__layer l = t->m->net.layer[i];
        for (int32_t k = 0; k < l.type->params && l.to.tasks && t->layer_on[i]; k++)
            for (int64_t r = 0; r < mtl__layer_shape(&l, k).rows; r++)
                pull_row(t, l.to.tasks, l.cols / l.to.tasks, *mtl__layer_offset(&l, k) + r * l.cols);
    }
}

void mtl__soft_hang(mtl__trainer *t)
{
    if (t->soft)
        mtl__trainer_hook(t, (mtl__hook){.before_update = pull});
}
