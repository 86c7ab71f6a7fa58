/* SPDX-License-Identifier: MIT */
/* Random splits. */
#include <string.h>

#include "base/order.h"
#include "base/text.h"
#include "data/array_priv.h"
#include "data/split_priv.h"
#include "rng/rng.h"

/* Replace the sorted keys by the numbers of their classes, 0, 1, ...; returns how many there are.
 */
static int64_t number_classes(int64_t n, mtl__ordered *a)
{
    int64_t classes = 0;
    uint32_t key = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || a[i].key != key)
            classes++;
        key = a[i].key;
        a[i].key = (uint32_t)(classes - 1);
    }
    return classes;
}

/* Group rows by their label in that task, classes in random order. `rows` comes shuffled; sorting
   is stable, so that the rows of a class keep a random order. */
static bool group_by_class(const mtl_dataset *d, int64_t task, uint64_t seed, int64_t *rows)
{
    const mtl__allocator *al = &d->ctx->al;
    const int64_t n = d->rows, bytes = 2 * n * (int64_t)sizeof(mtl__ordered);
    mtl__ordered *a = mtl__alloc(al, bytes);
    int64_t *order = mtl__alloc_array(al, n, sizeof *order);
    const bool done = a && order;
    if (done) {
        for (int64_t i = 0; i < n; i++) {
            float y = *mtl__array_row(&d->labels[task].y, rows[i]);
            a[i] = (mtl__ordered){mtl__order_key(y), rows[i]};
        }
        mtl__order_sort(n, a, a + n);
        int64_t classes = number_classes(n, a);
        for (int64_t c = 0; c < classes; c++)
            order[c] = c;
        mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, MTL__SPLIT_CLASSES);
        mtl__rng_shuffle(&r, order, classes);
        for (int64_t i = 0; i < n; i++)
            a[i].key = (uint32_t)order[a[i].key];
        mtl__order_sort(n, a, a + n);
        for (int64_t i = 0; i < n; i++)
            rows[i] = a[i].row;
    }
    mtl__free(al, a, bytes);
    mtl__free(al, order, n * (int64_t)sizeof *order);
    return done;
}

/* Systematic sampling: `take` of the n rows, evenly spread from a random start, go to the front.
   Any stretch of m rows, so every class, gives floor or ceil of its share m * take / n. */
static bool pick_evenly(const mtl_dataset *d, int64_t take, uint64_t seed, int64_t *rows)
{
    const int64_t n = d->rows;
    int64_t *picked = mtl__alloc_array(&d->ctx->al, n, sizeof *picked);
    if (!picked)
        return false;
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, MTL__SPLIT_START);
    int64_t phase = mtl__rng_below(&r, n), front = 0, back = take;
    for (int64_t i = 0; i < n; i++) {
        bool is_taken = phase >= n - take; /* phase + take >= n, which cannot overflow so */
        picked[is_taken ? front++ : back++] = rows[i];
        phase += is_taken ? take - n : take;
    }
    assert(front == take && back == n);
    memcpy(rows, picked, (size_t)n * sizeof *rows);
    mtl__free(&d->ctx->al, picked, n * (int64_t)sizeof *picked);
    r = mtl__rng_make(seed, MTL__RNG_SPLIT, MTL__SPLIT_MIX);
    mtl__rng_shuffle(&r, rows, take);
    mtl__rng_shuffle(&r, rows + take, n - take);
    return true;
}

bool mtl__split_order(const mtl_dataset *d, int64_t stratify, uint64_t seed, int64_t *rows)
{
    for (int64_t i = 0; i < d->rows; i++)
        rows[i] = i;
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, MTL__SPLIT_ROWS);
    mtl__rng_shuffle(&r, rows, d->rows);
    return stratify < 0 || group_by_class(d, stratify, seed, rows);
}

mtl_status mtl__split_cut(const mtl_dataset *d, const int64_t *rows, int64_t take,
                          mtl_dataset **first, mtl_dataset **second, mtl_error *err)
{
    mtl_dataset *a, *b;
    mtl_status st = mtl__dataset_subset(d, take, rows, &a, err);
    if (st != MTL_OK)
        return st;
    st = mtl__dataset_subset(d, d->rows - take, rows + take, &b, err);
    if (st != MTL_OK) {
        mtl__dataset_destroy(a);
        return st;
    }
    *first = a;
    *second = b;
    return MTL_OK;
}

mtl_status mtl__split_check_classes(const mtl_dataset *d, const char *what, int64_t task,
                                    mtl_error *err)
{
    if (task >= 0 && d->labels[task].cols != 1)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "%s: task \"%.64s\" has %lld label columns, classes have one", what,
                        d->labels[task].task, (long long)d->labels[task].cols);
    return MTL_OK;
}

mtl_status mtl__split_check(const mtl_dataset *d, double fraction, mtl_error *err)
{
    if (!(fraction > 0 && fraction < 1))
        return MTL_FAIL(err, MTL_ERR_RANGE, "split: the fraction must be between 0 and 1, not %s",
                        mtl__num(fraction).text);
    if (d->rows < 2)
        return MTL_FAIL(err, MTL_ERR_DATA, "split: %lld rows make no two parts",
                        (long long)d->rows);
    return MTL_OK;
}

int64_t mtl__split_take(const mtl_dataset *d, double fraction)
{
    int64_t take = (int64_t)(fraction * (double)d->rows + 0.5);
    return mtl__max(1, mtl__min(take, d->rows - 1));
}

mtl_status mtl__dataset_split(const mtl_dataset *d, int64_t stratify, double fraction,
                              uint64_t seed, mtl_dataset **first, mtl_dataset **second,
                              mtl_error *err)
{
    mtl_status st = mtl__split_check(d, fraction, err);
    if (st == MTL_OK)
        st = mtl__split_check_classes(d, "split", stratify, err);
    if (st != MTL_OK)
        return st;
    const int64_t n = d->rows, bytes = n * (int64_t)sizeof(int64_t);
    const int64_t take = mtl__split_take(d, fraction);
    int64_t *rows = mtl__alloc(&d->ctx->al, bytes);
    bool done = rows && mtl__split_order(d, stratify, seed, rows) &&
                (stratify < 0 || pick_evenly(d, take, seed, rows));
    st = done ? mtl__split_cut(d, rows, take, first, second, err)
              : MTL_FAIL(err, MTL_ERR_NOMEM, "split: no memory for %lld rows", (long long)n);
    mtl__free(&d->ctx->al, rows, bytes);
    return st;
}
