/* SPDX-License-Identifier: MIT */
#include "train/jacobian.h"

#include <math.h>
#include <string.h>

#include "train/groups.h"
#include "train/trainer.h"

static void list_pieces(const mtl__trainer *t, mtl__jacobian *j)
{
    j->pieces = j->floats = 0;
    for (int64_t i = 0; i < t->m->params; i++) {
        const mtl__param *p = &t->m->param[i];
        if (p->layer >= t->m->net.trunk_layers || !mtl__trainer_trains(t, p))
            continue;
        const mtl__piece one = {p->offset, mtl__round_floats(mtl__param_rows(p) * mtl__param_cols(p)),
                                mtl__group_of(t->set.groups, p).rate};
        if (j->piece)
            j->piece[j->pieces] = one;
        j->pieces++;
        j->floats += one.count;
    }
}

void mtl__jacobian_plan(const mtl__trainer *t, mtl__arena *arena, mtl__jacobian *j)
{
    const mtl__network *net = &t->m->net;
    j->piece = NULL;
    list_pieces(t, j);
    j->piece = mtl__arena_take(arena, j->pieces, sizeof *j->piece);
    j->trunk_on = mtl__arena_take(arena, net->layers, sizeof *j->trunk_on);
    j->chain_on = mtl__arena_take(arena, net->heads, sizeof *j->chain_on);
    j->grad = mtl__arena_take(arena, net->tasks, mtl__max(1, j->floats) * (int64_t)sizeof *j->grad);
    j->dz = mtl__arena_floats(arena, mtl__feed_max_rows(&t->feed) * net->outputs);
}

void mtl__jacobian_start(const mtl__trainer *t, mtl__jacobian *j)
{
    list_pieces(t, j);
    for (int64_t i = 0; i < t->m->net.trunk_layers; i++)
        j->trunk_on[i] = t->layer_on[i];
}

/* From the task's columns of the outputs' gradient alone. */
static void take_gradient(const mtl__trainer *t, const mtl__pass *p, int64_t task, mtl__jacobian *j)
{
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const int64_t ld = net->outputs, column = net->task[task].column;
    const size_t bytes = (size_t)t->m->spec->task[task].outputs * sizeof(float);
    float *to = j->grad + task * j->floats;
    memset(t->buffers.dz, 0, (size_t)(b->rows * ld) * sizeof(float));
    for (int64_t r = 0; r < b->rows; r++)
        memcpy(t->buffers.dz + r * ld + column, j->dz + r * ld + column, bytes);
    j->chain_on[net->task[task].chain] = true;
    mtl__network_backward(net, p, &t->buffers, j->chain_on, j->trunk_on, b->rows, b->x, net->inputs);
    j->chain_on[net->task[task].chain] = false;
    for (int64_t i = 0; i < j->pieces; i++) {
        memcpy(to, p->grads + j->piece[i].offset, (size_t)j->piece[i].count * sizeof *to);
        to += j->piece[i].count;
    }
}

void mtl__jacobian_run(const mtl__trainer *t, const mtl__pass *p, const double *loss,
                       mtl__jacobian *j)
{
    const size_t bytes = (size_t)(t->feed.batch.rows * t->m->net.outputs) * sizeof(float);
    memcpy(j->dz, t->buffers.dz, bytes);
    for (int64_t i = 0; i < t->m->net.tasks; i++)
        if (!isnan(loss[i]))
            take_gradient(t, p, i, j);
    memcpy(t->buffers.dz, j->dz, bytes);
}
