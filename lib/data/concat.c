/* SPDX-License-Identifier: MIT */
/* Copies of whole data sets, one after the other. */
#include <math.h>
#include <string.h>

#include "data/array_priv.h"
#include "data/csr.h"

typedef struct joint {
    int64_t count;
    const mtl_dataset *const *parts;
} joint;

static mtl_status no_memory(const mtl_dataset *d, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a copy of %lld rows", (long long)d->rows);
}

static mtl_status check_names(const mtl_dataset *d, const mtl_dataset *part, int64_t number,
                              mtl_error *err)
{
    for (int64_t j = 0; j < d->inputs; j++)
        if (strcmp(d->input_names[j], part->input_names[j]) != 0)
            return MTL_FAIL(err, MTL_ERR_NAME,
                            "part %lld: input column %lld is \"%.64s\", before it was \"%.64s\"",
                            (long long)number, (long long)j, part->input_names[j],
                            d->input_names[j]);
    return MTL_OK;
}

/* Task number t of a part has a place in d that fits, made with all labels missing if need be. */
static mtl_status join_task(mtl_dataset *d, const mtl_dataset *part, int64_t number, int64_t t,
                            mtl_error *err)
{
    mtl_status st = MTL_OK;
    const mtl__labels *from = &part->labels[t];
    int64_t at = mtl__dataset_task(d, from->task);
    if (at < 0) {
        mtl__array y;
        at = d->tasks;
        if (!mtl__array_alloc(&d->ctx->al, d->rows, from->cols, &y))
            return no_memory(d, err);
        mtl__array_fill(mtl__array_own(&y), d->rows * from->cols, NAN);
        st = mtl__dataset_put_labels(d, from->task, from->cols, &y, err);
        if (st != MTL_OK) {
            mtl__array_release(&y);
            return st;
        }
    }
    mtl__labels *to = &d->labels[at];
    if (to->cols != from->cols)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "part %lld: task \"%.64s\" has %lld label columns, before it had %lld",
                        (long long)number, from->task, (long long)from->cols, (long long)to->cols);
    if (from->kind && to->kind && (from->kind != to->kind || from->outputs != to->outputs))
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "part %lld: task \"%.64s\" was stated to be of another kind before",
                        (long long)number, from->task);
    if (from->classes && to->classes && mtl__categories_differ(from->classes, to->classes) >= 0)
        return MTL_FAIL(err, MTL_ERR_NAME,
                        "part %lld: task \"%.64s\" has other classes than before; load it with the "
                        "first as reference",
                        (long long)number, from->task);
    if (from->classes && !to->classes) {
        to->classes = from->classes;
        mtl__categories_ref(to->classes);
    }
    if (from->kind) {
        to->kind = from->kind;
        to->outputs = from->outputs;
    }
    return MTL_OK;
}

/* A number must stand for the same text in all parts that have texts. */
static mtl_status join_categories(mtl_dataset *d, const mtl_dataset *part, int64_t number,
                                  mtl_error *err)
{
    int64_t column = -1;
    if (d->categories && part->categories)
        column = mtl__categories_differ(d->categories, part->categories);
    if (column >= 0)
        return MTL_FAIL(err, MTL_ERR_NAME,
                        "part %lld: input column %lld has other categories than before; load it "
                        "with the first as reference",
                        (long long)number, (long long)column);
    if (!d->categories) {
        d->categories = part->categories;
        mtl__categories_ref(d->categories);
    }
    return MTL_OK;
}

static mtl_status join_part(mtl_dataset *d, const mtl_dataset *part, int64_t number, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (part->inputs != d->inputs)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "part %lld has %lld input columns, part 0 has %lld",
                        (long long)number, (long long)part->inputs, (long long)d->inputs);
    if (part->input_names)
        st = d->input_names ? check_names(d, part, number, err)
                            : mtl__dataset_put_names(d, part->input_names, err);
    if (st == MTL_OK)
        st = join_categories(d, part, number, err);
    for (int64_t t = 0; t < part->tasks && st == MTL_OK; t++)
        st = join_task(d, part, number, t, err);
    return st;
}

/* The weights of a part for the task of that name: its own, or its data set's, or none. */
static const mtl__array *weights_of(const mtl_dataset *part, const char *task, bool *are_own)
{
    int64_t t = task ? mtl__dataset_task(part, task) : -1;
    *are_own = task ? t >= 0 && part->labels[t].weight.p : part->weight.p != NULL;
    if (t >= 0)
        return mtl__dataset_weight(part, t);
    return !task && part->weight.p ? &part->weight : NULL;
}

/* Weights of a task (NULL = of the data set), which are there if any part has such. A task's are
   1 in parts without the task or without any weight. */
static mtl_status join_weights(mtl_dataset *d, const joint *from, const char *task, mtl__array *out,
                               mtl_error *err)
{
    bool are_own, any = false;
    for (int64_t k = 0; k < from->count; k++) {
        weights_of(from->parts[k], task, &are_own);
        any = any || are_own;
    }
    if (!any)
        return MTL_OK;
    if (!mtl__array_alloc(&d->ctx->al, d->rows, 1, out))
        return no_memory(d, err);
    float *to = mtl__array_own(out);
    mtl__array_fill(to, d->rows, 1);
    for (int64_t k = 0; k < from->count; to += from->parts[k]->rows, k++) {
        const mtl__array *w = weights_of(from->parts[k], task, &are_own);
        if (w)
            mtl__array_copy(w, from->parts[k]->rows, 1, to);
    }
    return MTL_OK;
}

static void copy_rows(mtl_dataset *d, const mtl_dataset *part, int64_t first)
{
    if (mtl__dataset_is_sparse(d))
        mtl__csr_copy_rows(part, d, first);
    else
        mtl__array_copy(&part->x, part->rows, d->inputs, mtl__array_own(&d->x) + first * d->inputs);
    for (int64_t t = 0; t < part->tasks; t++) {
        const mtl__labels *from = &part->labels[t];
        const mtl__labels *to = &d->labels[mtl__dataset_task(d, from->task)];
        mtl__array_copy(&from->y, part->rows, to->cols, mtl__array_own(&to->y) + first * to->cols);
    }
}

static mtl_status join(mtl_dataset *d, const joint *from, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t k = 0; k < from->count && st == MTL_OK; k++)
        st = join_part(d, from->parts[k], k, err);
    if (st == MTL_OK)
        st = join_weights(d, from, NULL, &d->weight, err);
    for (int64_t t = 0; t < d->tasks && st == MTL_OK; t++)
        st = join_weights(d, from, d->labels[t].task, &d->labels[t].weight, err);
    if (st != MTL_OK)
        return st;
    int64_t first = 0;
    for (int64_t k = 0; k < from->count; first += from->parts[k]->rows, k++)
        copy_rows(d, from->parts[k], first);
    return MTL_OK;
}

mtl_status mtl__dataset_concat(int64_t count, const mtl_dataset *const *parts, mtl_dataset **out,
                               mtl_error *err)
{
    mtl_dataset *d;
    int64_t rows = 0;
    mtl_status st;
    if (count < 1 || !parts)
        return MTL_FAIL(err, MTL_ERR_INVALID, "concat of %lld parts", (long long)count);
    for (int64_t k = 0; k < count; k++) {
        if (!parts[k])
            return MTL_FAIL(err, MTL_ERR_INVALID, "concat: part %lld is NULL", (long long)k);
        if ((st = mtl__dataset_in_memory(parts[k], "copy", err)) != MTL_OK)
            return st;
        if (mtl__dataset_is_sparse(parts[k]) != mtl__dataset_is_sparse(parts[0]))
            return MTL_FAIL(err, MTL_ERR_INVALID, "part %lld: its inputs are %s, those of part 0 %s",
                            (long long)k, mtl__dataset_is_sparse(parts[k]) ? "sparse" : "dense",
                            mtl__dataset_is_sparse(parts[0]) ? "sparse" : "dense");
        if (!mtl__add_size(rows, parts[k]->rows, &rows))
            return MTL_FAIL(err, MTL_ERR_SHAPE, "concat: too many rows");
    }
    st = mtl__dataset_is_sparse(parts[0])
             ? mtl__csr_make_owner(count, parts, rows, &d, err)
             : mtl__dataset_make_owner(parts[0]->ctx, rows, parts[0]->inputs, &d, err);
    if (st != MTL_OK)
        return st;
    st = join(d, &(joint){count, parts}, err);
    if (st != MTL_OK) {
        mtl__dataset_destroy(d);
        return st;
    }
    *out = d;
    return MTL_OK;
}

mtl_status mtl__dataset_copy(const mtl_dataset *d, mtl_dataset **out, mtl_error *err)
{
    return mtl__dataset_concat(1, &d, out, err);
}
