/* SPDX-License-Identifier: MIT */
#include "train/jacobian.h"

#include <math.h>
#include <string.h>

#include "train/groups.h"
#include "train/trainer.h"

enum { CHUNK = 1024 }; /* floats of one inner product, which are added in double */

static void list_pieces(const mtl__trainer *t, mtl__jacobian *j)
{
    j->pieces = j->floats = 0;
    for (int64_t i = 0; i < t->m->params; i++) {
        const mtl__param *p = &t->m->param[i];
        if (p->layer >= t->m->net.trunk_layers || p->task >= 0 || !mtl__trainer_trains(t, p))
            continue;
        const int64_t rows = mtl__param_rows(p), cols = mtl__param_cols(p);
        const mtl__piece one = {.offset = p->offset,
                                .rows = p->whole ? 1 : rows,
                                .cols = p->whole ? mtl__round_floats(rows * cols) : cols,
                                .ld = p->ld,
                                .rate = mtl__group_of(t->set.groups, p).rate};
        if (j->piece)
            j->piece[j->pieces] = one;
        j->pieces++;
        j->floats += mtl__round_floats(one.rows * one.cols);
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

/* Between a row, which begins each tensor on a cache line, and the vector. */
static void copy(const mtl__jacobian *j, const float *from, float *to, bool is_get)
{
    for (int64_t i = 0; i < j->pieces; i++) {
        const mtl__piece *p = &j->piece[i];
        const int64_t in_row = p->cols, in_vector = p->ld;
        for (int64_t r = 0; r < p->rows; r++)
            memcpy(to + (is_get ? r * in_row : p->offset + r * in_vector),
                   from + (is_get ? p->offset + r * in_vector : r * in_row),
                   (size_t)p->cols * sizeof *to);
        to += is_get ? mtl__round_floats(p->rows * p->cols) : 0;
        from += is_get ? 0 : mtl__round_floats(p->rows * p->cols);
    }
}

void mtl__jacobian_get(const mtl__jacobian *j, const float *from, float *row)
{
    copy(j, from, row, true);
}

void mtl__jacobian_put(const mtl__jacobian *j, const float *row, float *to)
{
    copy(j, row, to, false);
}

double mtl__jacobian_dot(const mtl__jacobian *j, const mtl__vec *v, int64_t a, int64_t b)
{
    const int64_t n = j->floats;
    double sum = 0;
    for (int64_t k = 0; k < n; k += CHUNK)
        sum += (double)v->dot(mtl__min(CHUNK, n - k), j->grad + a * n + k, j->grad + b * n + k);
    return sum;
}

/* From the task's columns of the outputs' gradient alone. */
static void take_gradient(const mtl__trainer *t, const mtl__pass *p, int64_t task, mtl__jacobian *j)
{
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    const int64_t ld = net->outputs, column = net->task[task].column;
    const size_t bytes = (size_t)t->m->spec->task[task].outputs * sizeof(float);
    memset(t->buffers.dz, 0, (size_t)(b->rows * ld) * sizeof(float));
    for (int64_t r = 0; r < b->rows; r++)
        memcpy(t->buffers.dz + r * ld + column, j->dz + r * ld + column, bytes);
    j->chain_on[net->task[task].chain] = true;
    mtl__network_backward(net, p, &t->buffers, j->chain_on, j->trunk_on, b->rows, b->x, net->inputs);
    j->chain_on[net->task[task].chain] = false;
    mtl__jacobian_get(j, p->grads, j->grad + task * j->floats);
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
