/* SPDX-License-Identifier: MIT */
/* Rows appended to a data set: all memory is found first, then nothing can fail. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "data/array_priv.h"
#include "data/csr.h"

/* Rows to append, of one task. */
typedef struct addition {
    const char *task;
    int64_t number; /* of the task; d->tasks when it is new */
    int64_t rows, cols, x_stride, y_stride;
    const float *x, *y;
} addition;

/* An array that holds a's rows and has room for `more`: a itself where nobody else uses it and its
   block is long enough, else a new one, at least twice as long, so that appending row by row costs
   constant time per row. */
static mtl_status make_room(const mtl_dataset *d, const mtl__array *a, int64_t cols, int64_t more,
                            mtl__array *out, mtl_error *err)
{
    int64_t total = d->rows + more, row_bytes = a->stride * (int64_t)sizeof(float);
    if (a->owner && atomic_load(&a->owner->refs) == 1 && !a->index && a->p == a->owner->p &&
        a->stride == cols && total <= a->owner->bytes / row_bytes) {
        *out = *a;
        return MTL_OK;
    }
    if (!mtl__array_alloc(&d->ctx->al, mtl__max(total, 2 * d->rows), cols, out))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows of %lld columns",
                        (long long)total, (long long)cols);
    if (a->p)
        mtl__array_copy(a, d->rows, cols, mtl__array_own(out));
    else
        mtl__array_fill(mtl__array_own(out), d->rows * cols, NAN); /* labels of a new task */
    return MTL_OK;
}

/* Write the new rows of array i into `to`. */
static void write_rows(const mtl_dataset *d, int64_t i, const addition *add, float *to)
{
    int64_t cols = mtl__array_cols(d, i);
    const bool is_x = i == MTL__ARRAY_X, is_y = i == 2 + 2 * add->number;
    to += d->rows * cols;
    if (!is_x && !is_y) {
        mtl__array_fill(to, add->rows * cols, i % 2 ? 1 : NAN);
        return;
    }
    mtl__array from = {.p = is_x ? add->x : add->y, .stride = is_x ? add->x_stride : add->y_stride};
    mtl__array_copy(&from, add->rows, cols, to);
}

/* Weights that are not there stay so; all else gets a place in grown[]. */
static bool has_array(const mtl_dataset *d, int64_t i)
{
    return i % 2 == 0 || mtl__array_of(d, i).p;
}

static void give_up(const mtl_dataset *d, mtl__array *grown, int64_t count)
{
    for (int64_t i = 0; grown && i < count; i++)
        if (grown[i].owner != mtl__array_of(d, i).owner)
            mtl__array_release(&grown[i]);
}

static void commit(mtl_dataset *d, const mtl__array *grown, const addition *add)
{
    for (int64_t i = 0; i < mtl__array_count(d); i++) {
        mtl__array *a = mtl__array_at(d, i);
        if (!has_array(d, i))
            continue;
        write_rows(d, i, add, mtl__array_own(&grown[i]));
        if (grown[i].owner != a->owner) {
            mtl__array_release(a);
            *a = grown[i];
        }
    }
    d->rows += add->rows;
}

static mtl_status append(mtl_dataset *d, const addition *add, mtl_error *err)
{
    mtl_status st = MTL_OK;
    int64_t count = mtl__array_count(d), bytes = count * (int64_t)sizeof(mtl__array);
    mtl__array *grown = mtl__alloc_zero(&d->ctx->al, bytes);
    if (!grown)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld tasks", (long long)d->tasks);
    for (int64_t i = 0; i < count && st == MTL_OK; i++) {
        mtl__array a = mtl__array_of(d, i);
        if (has_array(d, i))
            st = make_room(d, &a, mtl__array_cols(d, i), add->rows, &grown[i], err);
    }
    if (st == MTL_OK)
        commit(d, grown, add);
    else
        give_up(d, grown, count);
    mtl__free(&d->ctx->al, grown, bytes);
    return st;
}

mtl_status mtl__dataset_add_rows(mtl_dataset *d, const char *task, int64_t rows, const float *x,
                                 int64_t x_stride, int64_t cols, const float *y, int64_t y_stride,
                                 mtl_error *err)
{
    int64_t total, t = mtl__dataset_task(d, task), tasks = d->tasks;
    mtl_status st = mtl__dataset_in_memory(d, "add_rows", err);
    if (st == MTL_OK)
        st = mtl__dataset_is_dense(d, "add_rows", err);
    if (st == MTL_OK)
        st = mtl__array_check(NULL, x, rows, d->inputs, x_stride, err);
    if (st == MTL_OK)
        st = mtl__array_check(task, y, rows, cols, y_stride, err);
    if (st != MTL_OK)
        return st;
    if (!*task)
        return MTL_FAIL(err, MTL_ERR_NAME, "the name of a task must not be empty");
    if (t >= 0 && d->labels[t].cols != cols)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "task \"%.64s\": %lld label columns, it has %lld", task,
                        (long long)cols, (long long)d->labels[t].cols);
    if (!mtl__add_size(d->rows, rows, &total) || total > INT64_MAX / 4)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%lld rows and %lld more exceed memory",
                        (long long)d->rows, (long long)rows);
    /* A new task is added without an array, which the append then makes, or is taken back. */
    if (t < 0)
        st = mtl__dataset_put_labels(d, task, cols, &(mtl__array){.stride = cols}, err);
    if (st == MTL_OK)
        st = append(d, &(addition){task, t < 0 ? tasks : t, rows, cols, x_stride, y_stride, x, y},
                    err);
    if (st != MTL_OK && d->tasks > tasks) {
        mtl__names_drop_last(&d->names);
        mtl__strfree(&d->ctx->al, d->labels[--d->tasks].task);
    }
    return st;
}
