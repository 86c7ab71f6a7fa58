/* SPDX-License-Identifier: MIT */
/* k folds, and parts that keep groups of rows whole. */
#include <math.h>

#include "base/order.h"
#include "data/array_priv.h"
#include "data/split_priv.h"
#include "mem/arena.h"
#include "rng/rng.h"

/* ---- Groups ---- */

typedef struct grouping {
    const mtl_dataset *d;
    int64_t count; /* groups found */
    /* Scratch, [rows] each */
    int64_t *key;         /* what tells groups apart */
    int64_t *of_row;      /* number of a row's group */
    int64_t *size;        /* [count] */
    int64_t *order;       /* [count] groups in random order */
    int64_t *rows;        /* the rows of the parts */
    int64_t *chosen;      /* [count]: in the first part or, of folds, which */
    mtl__ordered *sorted; /* twice as many */
} grouping;

static void take_scratch(grouping *g, mtl__arena *a)
{
    const int64_t n = g->d->rows;
    int64_t **const list[] = {&g->key, &g->of_row, &g->size, &g->order, &g->rows, &g->chosen};
    for (int i = 0; i < MTL__COUNT_OF(list); i++)
        *list[i] = mtl__arena_take(a, n, sizeof(int64_t));
    g->sorted = mtl__arena_take(a, 2 * n, sizeof *g->sorted);
}

static mtl_status read_keys(grouping *g, const mtl__split_by *by, mtl_error *err)
{
    const mtl_dataset *d = g->d;
    for (int64_t i = 0; i < d->rows; i++) {
        if (by->groups) {
            g->key[i] = by->groups[i];
            continue;
        }
        float y = *mtl__array_row(&d->labels[by->task].y, i);
        if (isnan(y))
            return MTL_FAIL(err, MTL_ERR_VALUE,
                            "row %lld has no group: its label of task \"%.64s\" is missing",
                            (long long)i, d->labels[by->task].task);
        g->key[i] = mtl__order_key(y);
    }
    return MTL_OK;
}

/* Sort by the low half of the key, then, since sorting is stable, by the high half. */
static void number_groups(grouping *g)
{
    const int64_t n = g->d->rows;
    mtl__ordered *a = g->sorted;
    for (int64_t i = 0; i < n; i++)
        a[i] = (mtl__ordered){(uint32_t)(uint64_t)g->key[i], i};
    mtl__order_sort(n, a, a + n);
    for (int64_t i = 0; i < n; i++)
        a[i].key = (uint32_t)((uint64_t)g->key[a[i].row] >> 32);
    mtl__order_sort(n, a, a + n);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || g->key[a[i].row] != g->key[a[i - 1].row])
            g->size[g->count++] = 0;
        g->of_row[a[i].row] = g->count - 1;
        g->size[g->count - 1]++;
    }
}

static void draw_order(grouping *g, uint64_t seed)
{
    for (int64_t i = 0; i < g->count; i++)
        g->order[i] = i;
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, MTL__SPLIT_GROUPS);
    mtl__rng_shuffle(&r, g->order, g->count);
}

static mtl_status find_groups(grouping *g, const mtl__split_by *by, uint64_t seed, mtl_error *err)
{
    mtl_status st = read_keys(g, by, err);
    if (st == MTL_OK) {
        number_groups(g);
        draw_order(g, seed);
    }
    return st;
}

/* ---- Two parts ---- */

/* Groups in random order, each taken when that brings the first part nearer to `take` rows. */
static void choose_groups(grouping *g, int64_t take)
{
    int64_t rows = 0, chosen = 0, smallest = 0;
    for (int64_t i = 0; i < g->count; i++) {
        int64_t group = g->order[i], size = g->size[group];
        bool nearer = size < 2 * (take - rows);
        g->chosen[group] = nearer;
        rows += nearer ? size : 0;
        chosen += nearer;
        if (size < g->size[smallest])
            smallest = group;
    }
    if (chosen == 0 || chosen == g->count) /* each part has a group */
        g->chosen[smallest] = chosen == 0;
}

/* Rows of the chosen part to the front, in the order of the data set; returns their number. */
static int64_t gather_part(const mtl_dataset *d, const int64_t *part_of, int64_t part,
                           int64_t *rows)
{
    int64_t front = 0;
    for (int64_t i = 0; i < d->rows; i++)
        front += part_of[i] == part;
    int64_t at = 0, behind = front;
    for (int64_t i = 0; i < d->rows; i++)
        rows[part_of[i] == part ? at++ : behind++] = i;
    return front;
}

/* part_of of the rows, from the groups'. It overwrites the numbers of the groups. */
static void spread_parts(grouping *g)
{
    for (int64_t i = 0; i < g->d->rows; i++)
        g->of_row[i] = g->chosen[g->of_row[i]];
}

static mtl_status no_memory(const mtl_dataset *d, const char *what, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory for %lld rows", what, (long long)d->rows);
}

static mtl_status split_groups(grouping *g, const mtl__split_by *by, double fraction, uint64_t seed,
                               mtl_dataset **first, mtl_dataset **second, mtl_error *err)
{
    mtl_status st = find_groups(g, by, seed, err);
    if (st != MTL_OK)
        return st;
    if (g->count < 2)
        return MTL_FAIL(err, MTL_ERR_DATA, "split: all %lld rows are of one group",
                        (long long)g->d->rows);
    choose_groups(g, mtl__split_take(g->d, fraction));
    spread_parts(g);
    int64_t take = gather_part(g->d, g->of_row, 1, g->rows);
    return mtl__split_cut(g->d, g->rows, take, first, second, err);
}

mtl_status mtl__dataset_split_grouped(const mtl_dataset *d, const mtl__split_by *by,
                                      double fraction, uint64_t seed, mtl_dataset **first,
                                      mtl_dataset **second, mtl_error *err)
{
    grouping g = {.d = d};
    mtl__arena arena = {0};
    mtl_status st = mtl__split_check(d, fraction, err);
    if (st == MTL_OK && !by->groups)
        st = mtl__split_check_classes(d, "split", by->task, err);
    if (st != MTL_OK)
        return st;
    take_scratch(&g, &arena);
    if (!mtl__arena_reserve_raw(&arena, &d->ctx->al))
        return no_memory(d, "split", err);
    take_scratch(&g, &arena);
    st = split_groups(&g, by, fraction, seed, first, second, err);
    mtl__arena_release(&arena, &d->ctx->al);
    return st;
}

/* ---- Folds ---- */

/* Largest groups first, those of one size in random order. */
static void order_by_size(grouping *g)
{
    mtl__ordered *a = g->sorted;
    for (int64_t i = 0; i < g->count; i++) {
        int64_t size = mtl__min(g->size[g->order[i]], (int64_t)UINT32_MAX);
        a[i] = (mtl__ordered){UINT32_MAX - (uint32_t)size, g->order[i]};
    }
    mtl__order_sort(g->count, a, a + g->count);
    for (int64_t i = 0; i < g->count; i++)
        g->order[i] = a[i].row;
}

/* Heap of folds with the one of fewest rows (then of the lowest number) at the root. */
typedef struct heap {
    int64_t *fold, *rows; /* [count]; rows by fold */
    int64_t count;
} heap;

static bool comes_first(const heap *h, int64_t a, int64_t b)
{
    return h->rows[a] < h->rows[b] || (h->rows[a] == h->rows[b] && a < b);
}

static void sift_root(heap *h)
{
    int64_t *fold = h->fold;
    for (int64_t root = 0, child; (child = 2 * root + 1) < h->count; root = child) {
        if (child + 1 < h->count && comes_first(h, fold[child + 1], fold[child]))
            child++;
        if (comes_first(h, fold[root], fold[child]))
            return;
        int64_t swap = fold[root];
        fold[root] = fold[child];
        fold[child] = swap;
    }
}

/* Each group, the largest first, goes to the fold that has the fewest rows. */
static void deal_groups(grouping *g, int64_t folds)
{
    heap h = {.fold = g->rows, .rows = g->key, .count = folds}; /* their use is over */
    order_by_size(g);
    for (int64_t f = 0; f < folds; f++) {
        h.fold[f] = f;
        h.rows[f] = 0;
    }
    for (int64_t i = 0; i < g->count; i++) {
        int64_t group = g->order[i], fold = h.fold[0];
        g->chosen[group] = fold;
        h.rows[fold] += g->size[group];
        sift_root(&h);
    }
    spread_parts(g);
}

/* Rows in random order are dealt out like cards; those of a class lie together, so that each fold
   gets floor or ceil of its share of every class. */
static bool deal_rows(grouping *g, int64_t stratify, int64_t folds, uint64_t seed)
{
    if (!mtl__split_order(g->d, stratify, seed, g->rows))
        return false;
    for (int64_t i = 0; i < g->d->rows; i++)
        g->of_row[g->rows[i]] = i % folds;
    return true;
}

static mtl_status cut_fold(grouping *g, int64_t fold, mtl_dataset **train, mtl_dataset **test,
                           mtl_error *err)
{
    int64_t take = gather_part(g->d, g->of_row, fold, g->rows);
    return mtl__split_cut(g->d, g->rows, take, test, train, err);
}

static mtl_status make_fold(grouping *g, const mtl__split_by *by, mtl__fold fold, uint64_t seed,
                            mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    if (!by->is_grouped) {
        if (!deal_rows(g, by->task, fold.count, seed))
            return no_memory(g->d, "kfold", err);
        return cut_fold(g, fold.number, train, test, err);
    }
    mtl_status st = find_groups(g, by, seed, err);
    if (st != MTL_OK)
        return st;
    if (g->count < fold.count)
        return MTL_FAIL(err, MTL_ERR_DATA, "kfold: %lld groups make no %lld folds",
                        (long long)g->count, (long long)fold.count);
    deal_groups(g, fold.count);
    return cut_fold(g, fold.number, train, test, err);
}

static mtl_status check_fold(const mtl_dataset *d, mtl__fold fold, mtl_error *err)
{
    if (fold.count < 2)
        return MTL_FAIL(err, MTL_ERR_RANGE, "kfold: at least 2 folds, not %lld",
                        (long long)fold.count);
    if (fold.number < 0 || fold.number >= fold.count)
        return MTL_FAIL(err, MTL_ERR_RANGE, "kfold: fold %lld is not in 0 .. %lld",
                        (long long)fold.number, (long long)fold.count - 1);
    if (fold.count > d->rows)
        return MTL_FAIL(err, MTL_ERR_DATA, "kfold: %lld rows make no %lld folds",
                        (long long)d->rows, (long long)fold.count);
    return MTL_OK;
}

mtl_status mtl__dataset_kfold(const mtl_dataset *d, const mtl__split_by *by, mtl__fold fold,
                              uint64_t seed, mtl_dataset **train, mtl_dataset **test,
                              mtl_error *err)
{
    grouping g = {.d = d};
    mtl__arena arena = {0};
    mtl_status st = check_fold(d, fold, err);
    if (st == MTL_OK && !by->groups)
        st = mtl__split_check_classes(d, "kfold", by->task, err);
    if (st != MTL_OK)
        return st;
    take_scratch(&g, &arena);
    if (!mtl__arena_reserve_raw(&arena, &d->ctx->al))
        return no_memory(d, "kfold", err);
    take_scratch(&g, &arena);
    st = make_fold(&g, by, fold, seed, train, test, err);
    mtl__arena_release(&arena, &d->ctx->al);
    return st;
}
