/* SPDX-License-Identifier: MIT */
#include "train/feed.h"

#include <math.h>

#include "rng/rng.h"

bool mtl__feed_has_task(const mtl__feed *f, int64_t task)
{
    for (int i = 0; i < f->sources; i++)
        if (f->source[i].bound.label[task] >= 0)
            return true;
    return false;
}

int64_t mtl__feed_max_rows(const mtl__feed *f)
{
    int64_t rows = 0;
    for (int i = 0; i < f->sources; i++)
        rows += f->source[i].batch;
    return rows;
}

static bool has_weights(const mtl__feed *f, int64_t task)
{
    for (int i = 0; i < f->sources; i++) {
        const mtl__binding *b = &f->source[i].bound;
        if (b->label[task] >= 0 && mtl__dataset_weight(b->data, b->label[task]))
            return true;
    }
    return false;
}

static void plan_source(mtl__feed_source *s, const mtl__binding *bound, int64_t batch_rows,
                        uint32_t stream, mtl__arena *arena)
{
    *s = (mtl__feed_source){.bound = *bound, .rows = bound->data->rows, .stream = stream};
    s->batch = mtl__min(batch_rows, s->rows);
    s->next = s->rows; /* the first batch begins a round */
    s->order = mtl__arena_take(arena, s->rows, sizeof *s->order);
}

static void plan_batch(mtl__feed *f, mtl__arena *arena)
{
    const mtl_model *m = f->m;
    mtl__batch *b = &f->batch;
    int64_t rows = mtl__feed_max_rows(f), tasks = m->net.tasks;
    *b = (mtl__batch){.x = mtl__arena_floats(arena, rows * m->net.inputs)};
    b->y = mtl__arena_take(arena, tasks, sizeof *b->y);
    b->weight = mtl__arena_take(arena, tasks, sizeof *b->weight);
    for (int64_t t = 0; t < tasks; t++) {
        const mtl__task_spec *spec = &m->spec->task[t];
        if (!mtl__feed_has_task(f, t))
            continue;
        float *y = mtl__arena_floats(arena, rows * mtl__label_cols(spec->kind, spec->outputs));
        float *weight = has_weights(f, t) ? mtl__arena_floats(arena, rows) : NULL;
        if (b->y) {
            b->y[t] = y;
            b->weight[t] = weight;
        }
    }
}

void mtl__feed_plan(mtl__feed *f, const mtl_model *m, const mtl__binding *first,
                    const mtl__binding *second, int64_t batch_rows, bool shuffle, uint64_t seed,
                    mtl__arena *arena)
{
    *f = (mtl__feed){.m = m, .shuffle = shuffle, .seed = seed, .sources = second ? 2 : 1};
    plan_source(&f->source[0], first, batch_rows, MTL__RNG_SHUFFLE, arena);
    if (second)
        plan_source(&f->source[1], second, batch_rows, MTL__RNG_REPLAY, arena);
    f->steps = (f->source[0].rows + f->source[0].batch - 1) / f->source[0].batch;
    plan_batch(f, arena);
}

/* The order of a round depends on its number alone, so a run can be taken up at any round. */
static void begin_round(const mtl__feed *f, mtl__feed_source *s)
{
    for (int64_t i = 0; i < s->rows; i++)
        s->order[i] = i;
    if (f->shuffle) {
        mtl__rng rng = mtl__rng_make(f->seed, s->stream, (uint32_t)s->round);
        mtl__rng_shuffle(&rng, s->order, s->rows);
    }
    s->round++;
    s->next = 0;
}

void mtl__feed_begin(mtl__feed *f)
{
    begin_round(f, &f->source[0]);
}

static void fill_row(const mtl__feed *f, const mtl__feed_source *s, int64_t row, int64_t at)
{
    const mtl_model *m = f->m;
    const mtl__batch *b = &f->batch;
    mtl__binding_inputs(&s->bound, m, row, 1, b->x + at * m->net.inputs);
    for (int64_t t = 0; t < m->net.tasks; t++) {
        if (!b->y[t])
            continue;
        const mtl__task_spec *spec = &m->spec->task[t];
        int64_t cols = mtl__label_cols(spec->kind, spec->outputs);
        float *y = b->y[t] + at * cols, weight = 1;
        if (s->bound.label[t] >= 0)
            weight = mtl__binding_labels(&s->bound, m, t, row, true, y);
        else
            for (int64_t j = 0; j < cols; j++)
                y[j] = NAN;
        if (b->weight[t])
            b->weight[t][at] = weight;
    }
}

bool mtl__feed_next(mtl__feed *f)
{
    mtl__feed_source *first = &f->source[0];
    int64_t count = mtl__min(first->batch, first->rows - first->next);
    if (count == 0)
        return false;
    f->batch.rows = 0;
    for (int64_t i = 0; i < count; i++)
        fill_row(f, first, first->order[first->next++], f->batch.rows++);
    if (f->sources < 2)
        return true;
    mtl__feed_source *second = &f->source[1];
    for (int64_t i = 0; i < second->batch; i++) {
        if (second->next == second->rows)
            begin_round(f, second);
        fill_row(f, second, second->order[second->next++], f->batch.rows++);
    }
    return true;
}
