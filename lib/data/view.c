/* SPDX-License-Identifier: MIT */
/* Data sets over the arrays of another one. */
#include "data/array_priv.h"
#include "data/csr.h"
#include "data/request.h"

#include <math.h>

mtl_status mtl__dataset_share(const mtl_dataset *d, mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *s;
    mtl_status st = mtl__dataset_make(d->ctx, d->rows, d->inputs, &d->x, &s, err);
    if (st != MTL_OK)
        return st;
    mtl__array_ref(&s->x);
    s->weight = d->weight;
    mtl__array_ref(&s->weight);
    s->csr = d->csr;
    mtl__block_ref(s->csr.owner);
    s->stream = d->stream;
    s->stream_first = d->stream_first;
    mtl__stream_ref(s->stream);
    s->categories = d->categories;
    mtl__categories_ref(s->categories);
    if (d->input_names)
        MTL_TRY(st, mtl__dataset_put_names(s, d->input_names, err), fail);
    for (int64_t t = 0; t < d->tasks; t++) {
        const mtl__labels *l = &d->labels[t];
        MTL_TRY(st, mtl__dataset_put_labels(s, l->task, l->cols, &l->y, err), fail);
        s->labels[t].weight = l->weight;
        s->labels[t].kind = l->kind;
        s->labels[t].outputs = l->outputs;
        s->labels[t].classes = l->classes;
        mtl__categories_ref(l->classes);
        mtl__array_ref(&l->y);
        mtl__array_ref(&l->weight);
    }
    *out = s;
    return MTL_OK;
fail:
    mtl__dataset_destroy(s);
    return st;
}

/* index[rows[i]], or rows[i] where the array stands in order. */
static mtl__block *compose(const mtl__allocator *al, const int64_t *index, int64_t count,
                           const int64_t *rows)
{
    mtl__block *b = mtl__block_create(al, count, sizeof(int64_t));
    int64_t *to = b ? b->p : NULL;
    for (int64_t i = 0; b && i < count; i++)
        to[i] = index ? index[rows[i]] : rows[i];
    return b;
}

/* Arrays that had one index in common have one in common again: each is looked for among the arrays
   of d before it, where the first one is nearly always the one. */
static mtl_status select_rows(mtl_dataset *s, const mtl_dataset *d, int64_t i, int64_t count,
                              const int64_t *rows, mtl_error *err)
{
    mtl__array *a = mtl__array_at(s, i);
    int64_t j = 0;
    while (j < i && (!mtl__array_of(d, j).p || mtl__array_of(d, j).index != a->index))
        j++;
    mtl__block *b;
    if (j < i) {
        b = mtl__array_at(s, j)->index_owner;
        mtl__block_ref(b);
    } else {
        b = compose(&d->ctx->al, a->index, count, rows);
    }
    if (!b)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the numbers of %lld rows",
                        (long long)count);
    mtl__block_unref(a->index_owner);
    a->index_owner = b;
    a->index = b->p;
    return MTL_OK;
}

mtl_status mtl__dataset_subset(const mtl_dataset *d, int64_t count, const int64_t *rows,
                               mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *s;
    mtl_status st = mtl__dataset_in_memory(d, "subset", err);
    if (st != MTL_OK)
        return st;
    if (count < 0 || (count > 0 && !rows))
        return MTL_FAIL(err, MTL_ERR_INVALID, "subset of %lld rows: no row numbers",
                        (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= d->rows)
            return MTL_FAIL(err, MTL_ERR_RANGE, "subset: number %lld of the rows is %lld of %lld",
                            (long long)i, (long long)rows[i], (long long)d->rows);
    st = mtl__dataset_share(d, &s, err);
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < mtl__array_count(s); i++)
        if (mtl__array_at(s, i)->p)
            MTL_TRY(st, select_rows(s, d, i, count, rows, err), fail);
    s->rows = count;
    *out = s;
    return MTL_OK;
fail:
    mtl__dataset_destroy(s);
    return st;
}

mtl_status mtl__dataset_range(const mtl_dataset *d, int64_t first, int64_t count, mtl_dataset **out,
                              mtl_error *err)
{
    mtl_dataset *s;
    if (first < 0 || count < 0 || first > d->rows || count > d->rows - first)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%lld rows from row %lld on: the data set has %lld",
                        (long long)count, (long long)first, (long long)d->rows);
    mtl_status st = mtl__dataset_share(d, &s, err);
    if (st != MTL_OK)
        return st;
    s->stream_first += first;
    if (s->csr.start && !s->x.index)
        s->csr.start += first;
    for (int64_t i = 0; i < mtl__array_count(s); i++) {
        mtl__array *a = mtl__array_at(s, i);
        if (a->index)
            a->index += first;
        else if (a->p)
            a->p += first * a->stride;
    }
    s->rows = count;
    *out = s;
    return MTL_OK;
}

/* Inputs in other columns are another array. */
static mtl_status put_columns(mtl_dataset *s, const mtl_dataset *d, int64_t count,
                              const int64_t *column, mtl_error *err)
{
    mtl__array x;
    if (!mtl__array_alloc(&d->ctx->al, d->rows, count, &x))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows of %lld columns",
                        (long long)d->rows, (long long)count);
    float *to = mtl__array_own(&x);
    for (int64_t i = 0; i < d->rows; i++)
        for (int64_t j = 0; j < count; j++)
            *to++ = column[j] < 0 ? NAN : mtl__array_row(&d->x, i)[column[j]];
    mtl__name_list_free(&s->ctx->al, s->inputs, s->input_names);
    mtl__categories_unref(s->categories);
    mtl__array_release(&s->x);
    s->input_names = NULL;
    s->categories = NULL;
    s->x = x;
    s->inputs = count;
    return MTL_OK;
}

mtl_status mtl__dataset_select_columns(const mtl_dataset *d, const char *what, int64_t count,
                                       const int64_t *column, const char *const *names,
                                       mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *s;
    if (d->stream || mtl__dataset_is_sparse(d))
        return MTL_FAIL(err, MTL_ERR_STATE, "%s: %s rows cannot be put into other columns", what,
                        d->stream ? "streamed" : "sparse");
    mtl_status st = mtl__dataset_share(d, &s, err);
    if (st != MTL_OK)
        return st;
    st = put_columns(s, d, count, column, err);
    if (st == MTL_OK)
        st = mtl__dataset_put_names(s, names, err);
    if (st == MTL_OK)
        *out = s;
    else
        mtl__dataset_destroy(s);
    return st;
}
