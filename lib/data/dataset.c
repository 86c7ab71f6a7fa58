/* SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <string.h>

#include "base/text.h"
#include "data/array_priv.h"
#include "data/request.h"

/* ---- Life ---- */

mtl_status mtl__dataset_make(mtl_context *ctx, int64_t rows, int64_t inputs, const mtl__array *x,
                             mtl_dataset **out, mtl_error *err)
{
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_dataset *d = mtl__alloc_zero(&ctx->al, sizeof *d);
    if (!d) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a data set");
    }
    d->ctx = ctx;
    d->rows = rows;
    d->inputs = inputs;
    d->x = *x;
    *out = d;
    return MTL_OK;
}

mtl_status mtl__dataset_make_owner(mtl_context *ctx, int64_t rows, int64_t inputs,
                                   mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *d = NULL;
    mtl_status st = mtl__dataset_make(ctx, rows, inputs, &(mtl__array){0}, &d, err);
    if (st != MTL_OK)
        return st;
    if (!mtl__array_alloc(&d->ctx->al, rows, inputs, &d->x)) {
        mtl__dataset_destroy(d);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows of %lld columns",
                        (long long)rows, (long long)inputs);
    }
    *out = d;
    return MTL_OK;
}

mtl_status mtl__dataset_create(mtl_context *ctx, const float *x, int64_t rows, int64_t cols,
                               int64_t row_stride, mtl_dataset **out, mtl_error *err)
{
    mtl_status st = mtl__array_check(NULL, x, rows, cols, row_stride, err);
    if (st != MTL_OK)
        return st;
    return mtl__dataset_make(ctx, rows, cols, &(mtl__array){.p = x, .stride = row_stride}, out,
                             err);
}

mtl_status mtl__dataset_put_names(mtl_dataset *d, const char *const *names, mtl_error *err)
{
    const char **copy = mtl__name_list_copy(&d->ctx->al, d->inputs, names);
    if (!copy)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of %lld columns",
                        (long long)d->inputs);
    mtl__name_list_free(&d->ctx->al, d->inputs, d->input_names);
    d->input_names = copy;
    return MTL_OK;
}

void mtl__dataset_destroy(mtl_dataset *d)
{
    if (!d)
        return;
    mtl_context *ctx = d->ctx;
    for (int64_t i = 0; i < mtl__array_count(d); i++)
        mtl__array_release(mtl__array_at(d, i));
    for (int64_t t = 0; t < d->tasks; t++) {
        mtl__categories_unref(d->labels[t].classes);
        mtl__strfree(&ctx->al, d->labels[t].task);
    }
    mtl__block_unref(d->csr.owner);
    mtl__categories_unref(d->categories);
    mtl__stream_unref(d->stream);
    mtl__names_free(&d->names, &ctx->al);
    mtl__free(&ctx->al, d->labels, d->tasks_capacity * (int64_t)sizeof *d->labels);
    mtl__name_list_free(&ctx->al, d->inputs, d->input_names);
    mtl__free(&ctx->al, d, sizeof *d);
    mtl__context_unref(ctx);
}

/* ---- Tasks ---- */

int64_t mtl__dataset_task(const mtl_dataset *d, const char *name)
{
    return mtl__names_find(&d->names, name);
}

mtl_status mtl__dataset_find(const mtl_dataset *d, const char *task, int64_t *number,
                             mtl_error *err)
{
    const char *names[64];
    int64_t t = mtl__dataset_task(d, task), count = mtl__min(d->tasks, MTL__COUNT_OF(names));
    if (t >= 0) {
        *number = t;
        return MTL_OK;
    }
    for (int64_t i = 0; i < count; i++)
        names[i] = d->labels[i].task;
    int64_t nearest = mtl__nearest(task, names, count);
    if (nearest >= 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "no labels of task \"%.64s\"; did you mean \"%.64s\"?",
                        task, names[nearest]);
    return MTL_FAIL(err, MTL_ERR_NAME, "no labels of task \"%.64s\" among %lld tasks", task,
                    (long long)d->tasks);
}

mtl_status mtl__dataset_reserve_task(mtl_dataset *d, mtl_error *err)
{
    const int64_t size = sizeof *d->labels;
    if (!mtl__names_reserve(&d->names, &d->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of tasks");
    if (d->tasks < d->tasks_capacity)
        return MTL_OK;
    int64_t capacity = mtl__max(4, 2 * d->tasks_capacity);
    mtl__labels *p =
        mtl__realloc(&d->ctx->al, d->labels, d->tasks_capacity * size, capacity * size);
    if (!p)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld tasks", (long long)capacity);
    d->labels = p;
    d->tasks_capacity = capacity;
    return MTL_OK;
}

static mtl_status add_task(mtl_dataset *d, const char *task, int64_t cols, const mtl__array *y,
                           mtl_error *err)
{
    mtl_status st = mtl__dataset_reserve_task(d, err);
    if (st != MTL_OK)
        return st;
    char *name = mtl__strdup(&d->ctx->al, task);
    if (!name)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "task \"%.64s\": no memory for its name", task);
    d->labels[d->tasks++] = (mtl__labels){.task = name, .cols = cols, .y = *y};
    mtl__names_add(&d->names, name);
    return MTL_OK;
}

mtl_status mtl__dataset_put_labels(mtl_dataset *d, const char *task, int64_t cols,
                                   const mtl__array *y, mtl_error *err)
{
    int64_t t = mtl__dataset_task(d, task);
    if (t < 0)
        return add_task(d, task, cols, y, err);
    mtl__labels *l = &d->labels[t];
    mtl__array_release(&l->y);
    mtl__categories_unref(l->classes);
    l->classes = NULL;
    l->y = *y;
    if (l->cols != cols)
        l->kind = 0; /* what was stated cannot hold for another number of columns */
    l->cols = cols;
    return MTL_OK;
}

mtl_status mtl__dataset_set_labels(mtl_dataset *d, const char *task, int64_t cols, const float *y,
                                   int64_t stride, mtl_error *err)
{
    if (!*task)
        return MTL_FAIL(err, MTL_ERR_NAME, "the name of a task must not be empty");
    mtl_status st = mtl__array_check(task, y, d->rows, cols, stride, err);
    if (st != MTL_OK)
        return st;
    return mtl__dataset_put_labels(d, task, cols, &(mtl__array){.p = y, .stride = stride}, err);
}

mtl_status mtl__dataset_set_kind(mtl_dataset *d, const char *task, int32_t kind, int64_t outputs,
                                 mtl_error *err)
{
    int64_t t;
    mtl_status st = mtl__dataset_find(d, task, &t, err);
    if (st == MTL_OK)
        st = mtl__array_check_kind(task, d->labels[t].cols, kind, outputs, err);
    if (st != MTL_OK)
        return st;
    d->labels[t].kind = kind;
    d->labels[t].outputs = outputs;
    return MTL_OK;
}

mtl_status mtl__dataset_set_weights(mtl_dataset *d, const char *task, const float *weight,
                                    mtl_error *err)
{
    int64_t t = 0;
    mtl__array w = {.p = weight, .stride = 1};
    mtl_status st = task ? mtl__dataset_find(d, task, &t, err) : MTL_OK;
    if (st == MTL_OK && weight)
        st = mtl__array_check_weights(task, &w, d->rows, err);
    if (st != MTL_OK)
        return st;
    mtl__array *place = task ? &d->labels[t].weight : &d->weight;
    mtl__array_release(place);
    if (weight)
        *place = w;
    return MTL_OK;
}
