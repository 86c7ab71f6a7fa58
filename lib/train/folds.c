/* SPDX-License-Identifier: MIT */
#include "train/folds.h"

#include <math.h>
#include <string.h>

#include "base/order.h"
#include "rng/rng.h"

/* --- dealing ----------------------------------------------------------------------------------- */

/* Things that rows have of each task: a label, or one of its classes; those beyond count together. */
enum { CLASSES = 32 };
enum { DEAL_ROWS = 16 }; /* a use of the seed beside those of data/split_priv.h */

typedef struct deal {
    mtl__folds *f;
    const mtl_model *m;
    int64_t rows;     /* that are dealt */
    int64_t kept;
    int64_t *count;   /* [tasks, CLASSES] */
    int64_t *order;   /* [rows] */
    int64_t *size;    /* [rows]: of groups */
    mtl__ordered *a;  /* [2 * rows] */
} deal;

/* The number of what the row has of the task, -1 = nothing. */
static int64_t thing(const deal *d, int64_t task, int64_t row)
{
    const mtl__folds *f = d->f;
    if (f->label[task] < 0 || !mtl__labels_at(&f->data->labels[f->label[task]], row))
        return -1;
    const float y = *mtl__array_row(&f->data->labels[f->label[task]].y, row);
    const bool is_class = mtl__kind_is_class(d->m->spec->task[task].kind) &&
                          d->m->spec->task[task].kind != MTL_MULTILABEL;
    return task * CLASSES + (is_class ? mtl__min((int64_t)y, CLASSES - 1) : 0);
}

/* Rows in random order, behind each other those whose rarest thing is the same. */
static void order_rows(deal *d, uint64_t seed)
{
    const int64_t things = d->f->tasks * CLASSES;
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, DEAL_ROWS);
    for (int64_t i = 0; i < d->rows; i++) {
        d->order[i] = d->kept + i;
        for (int64_t t = 0; t < d->f->tasks; t++) {
            const int64_t k = thing(d, t, d->kept + i);
            if (k >= 0)
                d->count[k]++;
        }
    }
    mtl__rng_shuffle(&r, d->order, d->rows);
    for (int64_t i = 0; i < d->rows; i++) {
        int64_t rarest = things;
        for (int64_t t = 0; t < d->f->tasks; t++) {
            const int64_t k = thing(d, t, d->order[i]);
            if (k >= 0 && (rarest == things || d->count[k] < d->count[rarest]))
                rarest = k;
        }
        d->a[i] = (mtl__ordered){(uint32_t)rarest, d->order[i]};
    }
    mtl__order_sort(d->rows, d->a, d->a + d->rows);
}

static void deal_rows(deal *d)
{
    for (int64_t i = 0; i < d->rows; i++)
        d->f->of_row[d->a[i].row] = (int32_t)(i % d->f->count);
}

/* Groups as they come in the random order of their first rows, each to the part with the fewest
   rows. */
static mtl_status deal_groups(deal *d, int64_t group, mtl_error *err)
{
    mtl__folds *f = d->f;
    const mtl__labels *l = &f->data->labels[group];
    for (int64_t i = 0; i < d->rows; i++) {
        const float y = *mtl__array_row(&l->y, i);
        if (isnan(y))
            return MTL_FAIL(err, MTL_ERR_VALUE,
                            "row %lld has no group: its label of task \"%.64s\" is missing",
                            (long long)i, l->task);
        d->a[i] = (mtl__ordered){mtl__order_key(y), i};
    }
    mtl__order_sort(d->rows, d->a, d->a + d->rows);
    int64_t groups = 0;
    uint32_t before = 0;
    for (int64_t i = 0; i < d->rows; i++) {
        if (i == 0 || d->a[i].key != before)
            d->size[groups++] = 0;
        before = d->a[i].key;
        f->of_row[d->a[i].row] = (int32_t)(groups - 1);
        d->size[groups - 1]++;
    }
    if (groups < f->count)
        return MTL_FAIL(err, MTL_ERR_DATA, "group_by: %lld groups make no %lld parts",
                        (long long)groups, (long long)f->count);
    int64_t *const rows_of = d->count; /* its use is over, and it is long enough */
    int64_t part = 0;
    memset(rows_of, 0, (size_t)f->count * sizeof *rows_of);
    for (int64_t i = 0; i < d->rows; i++) {
        const int32_t g = f->of_row[d->order[i]];
        if (d->size[g] <= 0) /* dealt */
            continue;
        for (int64_t p = part = 0; p < f->count; p++)
            if (rows_of[p] < rows_of[part])
                part = p;
        rows_of[part] += d->size[g];
        d->size[g] = -part;
    }
    for (int64_t i = 0; i < d->rows; i++)
        f->of_row[i] = (int32_t)-d->size[f->of_row[i]];
    return MTL_OK;
}

static void count_labels(mtl__folds *f)
{
    for (int64_t r = 0; r < f->data->rows; r++)
        for (int64_t t = 0; t < f->tasks; t++) {
            int64_t *n = f->of_row[r] < 0 ? f->outside : f->labels + f->of_row[r] * f->tasks;
            if (f->label[t] >= 0)
                n[t] += mtl__labels_at(&f->data->labels[f->label[t]], r);
        }
}

static void take(deal *d, mtl__arena *a)
{
    const int64_t counts = mtl__max(d->f->count, d->f->tasks * CLASSES);
    d->count = mtl__arena_take(a, counts + 1, sizeof *d->count);
    d->order = mtl__arena_take(a, d->rows, sizeof *d->order);
    d->size = mtl__arena_take(a, d->rows, sizeof *d->size);
    d->a = mtl__arena_take(a, 2 * d->rows, sizeof *d->a);
}

mtl_status mtl__folds_deal(const mtl_model *m, const mtl__binding *b, int64_t count, int64_t group,
                           int64_t kept, uint64_t seed, mtl__folds *out, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const int64_t rows = b->data->rows, tasks = m->net.tasks;
    mtl__folds f = {.data = b->data, .label = b->label, .tasks = tasks, .count = kept ? 1 : count};
    deal d = {.f = &f, .m = m, .rows = rows - kept, .kept = kept};
    mtl__arena arena = {0};
    mtl_status st = MTL_OK;
    f.of_row = mtl__alloc_array(al, rows, sizeof *f.of_row);
    f.labels = mtl__alloc_zero(al, (f.count + 1) * tasks * (int64_t)sizeof *f.labels);
    f.outside = f.labels ? f.labels + f.count * tasks : NULL;
    take(&d, &arena);
    if (!f.of_row || !f.labels || !mtl__arena_reserve(&arena, al)) {
        mtl__folds_free(&f);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for parts of %lld rows", (long long)rows);
    }
    take(&d, &arena);
    for (int64_t r = 0; r < kept; r++)
        f.of_row[r] = -1;
    order_rows(&d, seed);
    if (group >= 0 && !kept)
        st = deal_groups(&d, group, err);
    else
        deal_rows(&d);
    mtl__arena_release(&arena, al);
    if (st != MTL_OK) {
        mtl__folds_free(&f);
        return st;
    }
    count_labels(&f);
    *out = f;
    return MTL_OK;
}

void mtl__folds_free(mtl__folds *f)
{
    if (!f->data)
        return;
    const mtl__allocator *al = &f->data->ctx->al;
    mtl__free(al, f->of_row, f->data->rows * (int64_t)sizeof *f->of_row);
    mtl__free(al, f->labels, (f->count + 1) * f->tasks * (int64_t)sizeof *f->labels);
    *f = (mtl__folds){0};
}

/* --- using --------------------------------------------------------------------------------------- */

bool mtl__folds_has(const mtl__folds *f, int64_t part, int64_t task, int64_t row)
{
    return f->of_row[row] == part &&
           (task < 0 || mtl__labels_at(&f->data->labels[f->label[task]], row));
}

int64_t mtl__folds_labels(const mtl__folds *f, int64_t part, int64_t task)
{
    int64_t n = f->outside[task];
    for (int64_t p = 0; p < f->count; p++)
        n += p == part ? 0 : f->labels[p * f->tasks + task];
    return n;
}

static mtl_status subset(const mtl__folds *f, int64_t part, int64_t task, bool held, int64_t *rows,
                         mtl_dataset **out, mtl_error *err)
{
    int64_t count = 0;
    for (int64_t r = 0; r < f->data->rows; r++)
        if ((f->of_row[r] == part) == held &&
            (task < 0 || mtl__labels_at(&f->data->labels[f->label[task]], r)))
            rows[count++] = r;
    return count ? mtl__dataset_subset(f->data, count, rows, out, err)
                 : MTL_FAIL(err, MTL_ERR_DATA, "part %lld has no row", (long long)part);
}

mtl_status mtl__folds_part(const mtl__folds *f, int64_t part, int64_t task, mtl_dataset **train,
                           mtl_dataset **held, mtl_error *err)
{
    const mtl__allocator *al = &f->data->ctx->al;
    const int64_t bytes = f->data->rows * (int64_t)sizeof(int64_t);
    int64_t *rows = mtl__alloc(al, bytes);
    mtl_dataset *a = NULL, *b = NULL;
    if (!rows)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)f->data->rows);
    mtl_status st = subset(f, part, task, false, rows, &a, err);
    if (st == MTL_OK)
        st = subset(f, part, task, true, rows, &b, err);
    mtl__free(al, rows, bytes);
    if (st != MTL_OK) {
        mtl__dataset_destroy(a);
        return st;
    }
    *train = a;
    *held = b;
    return MTL_OK;
}
