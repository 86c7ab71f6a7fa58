/* SPDX-License-Identifier: MIT */
#include "train/feed.h"

int64_t mtl__feed_max_rows(const mtl__feed *f)
{
    int64_t rows = 0;
    for (int i = 0; i < f->sources; i++)
        rows += f->source[i].batch;
    return rows;
}

static void plan_source(mtl__feed_source *s, const mtl__binding *bound, int64_t batch_rows,
                        uint32_t stream, mtl__arena *arena)
{
    *s = (mtl__feed_source){.bound = *bound, .rows = bound->data->rows, .stream = stream};
    s->batch = mtl__min(batch_rows, s->rows);
    s->next = s->rows; /* the first batch begins a round */
    int64_t window = bound->window ? bound->window->capacity : s->rows;
    s->order = mtl__arena_take(arena, window, sizeof *s->order);
    s->windows = mtl__arena_take(arena, (s->rows + window - 1) / window, sizeof *s->windows);
}

static void plan_batch(mtl__feed *f, mtl__arena *arena)
{
    const mtl__binding *second = f->sources > 1 ? &f->source[1].bound : NULL;
    int64_t rows = mtl__feed_max_rows(f);
    f->batch = (mtl__batch){0};
    if (f->is_sparse)
        f->batch.row = mtl__arena_take(arena, rows, sizeof *f->batch.row);
    else
        f->batch.x = mtl__arena_floats(arena, rows * f->m->net.inputs);
    f->batch.sparse = (mtl__sparse){f->batch.row, f->m->pipe.x_inverse};
    f->scratch = mtl__arena_take(arena, rows, sizeof *f->scratch);
    mtl__targets_plan(&f->batch.targets, f->m, &f->source[0].bound, second, rows, f->m->net.members,
                      arena);
}

void mtl__feed_plan(mtl__feed *f, const mtl_model *m, const mtl__binding *first,
                    const mtl__binding *second, int64_t batch_rows, bool shuffle,
                    const mtl__sampling *sampling, uint64_t seed, mtl__arena *arena)
{
    *f = (mtl__feed){.m = m, .shuffle = shuffle, .seed = seed, .sources = second ? 2 : 1};
    plan_source(&f->source[0], first, batch_rows, MTL__RNG_SHUFFLE, arena);
    if (second)
        plan_source(&f->source[1], second, batch_rows, MTL__RNG_REPLAY, arena);
    f->is_sparse = mtl__binding_is_sparse(first);
    f->steps = (f->source[0].rows + f->source[0].batch - 1) / f->source[0].batch;
    f->is_sampled = sampling->row != NULL;
    if (f->is_sampled)
        mtl__sampler_plan(&f->sampler, sampling, first, m, arena);
    plan_batch(f, arena);
}

/* first, first + 1, ... in this round's random order or as they stand. */
static void put_in_order(const mtl__feed *f, mtl__feed_source *s, int64_t first, int64_t count,
                         int64_t *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = first + i;
    if (f->shuffle)
        mtl__rng_shuffle(&s->rng, to, count);
}

/* All rows are one window; streamed inputs have several, in random order and each of them in random
   order. One window alone gives the same order as data in memory. */
static void next_window(const mtl__feed *f, mtl__feed_source *s)
{
    const mtl__window *w = s->bound.window;
    const int64_t size = w ? w->capacity : s->rows, first = s->windows[s->turn++] * size;
    const int64_t count = mtl__min(size, s->rows - first);
    put_in_order(f, s, first, count, s->order);
    mtl__binding_load(&s->bound, first, count);
    s->begin = s->next;
    s->end = s->next + count;
}

/* The order of a round depends on its number alone, so a run can be taken up at any round. */
static void begin_round(const mtl__feed *f, mtl__feed_source *s)
{
    const bool sampled = f->is_sampled && s == &f->source[0];
    const int64_t window = s->bound.window ? s->bound.window->capacity : s->rows;
    if (sampled)
        mtl__sampler_draw(&f->sampler, f->seed, s->round, s->order);
    s->rng = mtl__rng_make(f->seed, s->stream, (uint32_t)s->round);
    s->round++;
    s->next = s->begin = s->turn = 0;
    s->end = sampled ? s->rows : 0;
    if (!sampled)
        put_in_order(f, s, 0, (s->rows + window - 1) / window, s->windows);
}

bool mtl__feed_seek(mtl__feed *f, int source, int64_t round, int64_t next)
{
    mtl__feed_source *s = &f->source[source];
    if (round < 0 || next < 0 || next > s->rows || (round == 0 && next < s->rows))
        return false;
    s->round = round;
    s->next = s->rows;
    if (round > 0) {
        s->round--;
        begin_round(f, s);
        for (; s->end < next; s->next = s->end) /* the windows before, for their random numbers */
            next_window(f, s);
        s->next = next;
    }
    return true;
}

void mtl__feed_begin(mtl__feed *f)
{
    begin_round(f, &f->source[0]);
}

/* Some of the next rows of a source, to be filled in or asked for. */
typedef struct part {
    mtl__feed *f;
    int source;
} part;

static mtl__rows rows_of(const part *p, int64_t first, int64_t count)
{
    const mtl__feed_source *s = &p->f->source[p->source];
    return (mtl__rows){.index = s->order + (s->next - s->begin) + first, .count = count};
}

/* Rows that take some 5 us to fill. */
static int64_t row_grain(const mtl__feed *f)
{
    return 1 + 8192 / ((f->is_sparse ? 8 : f->m->net.inputs) + 8 * f->m->net.tasks);
}

static void fill_rows(void *arg, int64_t first, int64_t count)
{
    const part *p = arg;
    mtl__feed *f = p->f;
    const mtl__rows rows = rows_of(p, first, count);
    int64_t at = f->batch.rows + first;
    const mtl__binding *bound = &f->source[p->source].bound;
    if (f->is_sparse)
        mtl__binding_sparse(bound, rows, f->batch.row + at);
    else
        mtl__binding_inputs(bound, f->m, rows, f->scratch + at,
                            f->batch.x + at * f->m->net.inputs);
    mtl__targets_fill(&f->batch.targets, p->source, rows, at);
}

/* Append the next `count` rows of a source to the batch. */
static void append(mtl__feed *f, int source, int64_t count)
{
    part p = {f, source};
    mtl__feed_source *s = &f->source[source];
    while (count > 0) {
        if (s->next == s->end)
            next_window(f, s);
        int64_t some = mtl__min(count, s->end - s->next);
        mtl__pool_ranges(atomic_load(&f->m->ctx->pool), some, row_grain(f), fill_rows, &p);
        s->next += some;
        f->batch.rows += some;
        count -= some;
    }
}

bool mtl__feed_next(mtl__feed *f)
{
    mtl__feed_source *first = &f->source[0], *second = &f->source[1];
    int64_t count = mtl__min(first->batch, first->rows - first->next);
    if (count == 0)
        return false;
    f->batch.rows = 0;
    append(f, 0, count);
    for (int64_t left = f->sources < 2 ? 0 : second->batch; left > 0; left -= count) {
        if (second->next == second->rows)
            begin_round(f, second);
        count = mtl__min(left, second->rows - second->next);
        append(f, 1, count);
    }
    mtl__targets_spread(&f->batch.targets, f->batch.rows);
    return true;
}

/* Bytes that the rows of a batch take from memory, where a label costs a cache line. */
static int64_t bytes_of_rows(const mtl__feed *f, int64_t rows)
{
    return rows * (f->m->net.inputs * (int64_t)sizeof(float) + MTL__ALIGN * f->m->net.tasks);
}

static void prefetch_rows(void *arg, int64_t first, int64_t count)
{
    const part *p = arg;
    const mtl__feed *f = p->f;
    const mtl__rows rows = rows_of(p, first, count);
    mtl__array_prefetch(&f->source[p->source].bound.data->x, f->m->net.raw_inputs, rows);
    mtl__targets_prefetch(&f->batch.targets, p->source, rows);
}

void mtl__feed_prefetch(mtl__feed *f)
{
    /* A set that stays in the cache need not be asked for; a large batch would push out what is at
       work. */
    enum { SMALL_SET = 1 << 20, LARGE_BATCH = 1 << 19 };
    for (int i = 0; i < f->sources; i++) {
        const mtl__feed_source *s = &f->source[i];
        int64_t count = mtl__min(s->batch, s->rows - s->next);
        part p = {f, i};
        if (f->is_sparse || s->bound.window || s->next == s->end) /* what is to be read is not there */
            continue;
        if (bytes_of_rows(f, s->rows) >= SMALL_SET && bytes_of_rows(f, count) <= LARGE_BATCH)
            mtl__pool_ranges(atomic_load(&f->m->ctx->pool), count, row_grain(f), prefetch_rows, &p);
    }
}
