/* SPDX-License-Identifier: MIT */
#include "train/gates.h"

#include <stdio.h>

#include "train/trainer.h"

enum { MOST = 4096 }; /* series of gates in a report */

static bool is_gate(const mtl__trainer *t, int64_t layer)
{
    return t->m->net.layer[layer].type == &mtl__gate_layer;
}

void mtl__gates_plan(mtl__trainer *t, mtl__arena *arena)
{
    mtl__gates *g = &t->gates;
    g->count = 0;
    for (int64_t i = 0; i < t->m->net.trunk_layers; i++)
        g->count += is_gate(t, i) ? t->m->net.layer[i].cols : 0;
    g->count = g->count > MOST ? 0 : g->count;
    if (!g->count)
        return;
    g->sum = mtl__arena_take(arena, g->count + 1, sizeof *g->sum);
    g->series = mtl__arena_take(arena, g->count, sizeof *g->series);
    g->part = mtl__arena_floats(arena, g->count);
}

/* By the gates' tensors, whose columns are in the order of the logits. */
mtl_status mtl__gates_series(mtl__trainer *t, mtl_error *err)
{
    mtl__gates *g = &t->gates;
    const mtl_model *m = t->m;
    mtl_status st = MTL_OK;
    int64_t at = 0;
    for (int64_t i = 0; g->count && i < m->params; i++) {
        const mtl__param *p = &m->param[i];
        const int64_t cols =
            p->layer < m->net.trunk_layers && is_gate(t, p->layer) ? p->shape[1] : 0;
        for (int64_t k = 0; k < cols && st == MTL_OK; k++) {
            char number[24];
            snprintf(number, sizeof number, "%lld", (long long)k);
            st = mtl__report_series(t->report, p->name, number, NULL, t->set.epochs,
                                    &g->series[at++], err);
        }
    }
    return st;
}

void mtl__gates_note(mtl__trainer *t)
{
    mtl__gates *g = &t->gates;
    const int64_t rows = t->feed.batch.rows;
    float *part = g->part;
    double *sum = g->sum;
    for (int64_t i = 0; i < t->m->net.trunk_layers; i++) {
        const int64_t cols = t->m->net.layer[i].cols;
        if (!is_gate(t, i))
            continue;
        t->m->ctx->vec->col_sums(rows, cols, t->buffers.kept[i], cols, part, false);
        for (int64_t j = 0; j < cols; j++)
            *sum++ += (double)part[j];
    }
    *sum += (double)rows;
}

void mtl__gates_push(mtl__trainer *t)
{
    mtl__gates *g = &t->gates;
    for (int64_t i = 0; i < g->count; i++) {
        mtl__report_push(t->report, g->series[i], g->sum[i] / g->sum[g->count]);
        g->sum[i] = 0;
    }
    if (g->count)
        g->sum[g->count] = 0;
}
