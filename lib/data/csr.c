/* SPDX-License-Identifier: MIT */
#include "data/csr.h"

#include <string.h>

#include "data/array_priv.h"

/* --- checks ------------------------------------------------------------------------------------ */

static mtl_status check_columns(const mtl__csr *c, int64_t row, int64_t cols, mtl_error *err)
{
    const mtl__sparse_row r = mtl__csr_row(c, row);
    int64_t last = -1;
    for (int64_t i = 0; i < r.count; i++) {
        const int64_t column = r.column[i];
        const bool is_there = column >= 0 && column < cols;
        if (!is_there || column <= last)
            return MTL_FAIL(err, is_there ? MTL_ERR_VALUE : MTL_ERR_RANGE,
                            "indices: row %lld has column %lld at offset %lld, %s %lld",
                            (long long)row, (long long)column, (long long)(c->start[row] + i),
                            is_there ? "behind column" : "outside of 0 ..",
                            (long long)(is_there ? last : cols - 1));
        last = column;
    }
    return MTL_OK;
}

mtl_status mtl__csr_check(const mtl__csr *c, int64_t rows, int64_t cols, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < rows; i++)
        if (c->start[i] < 0 || c->start[i + 1] < c->start[i] ||
            c->start[i + 1] > INT64_MAX / (int64_t)sizeof(double))
            return MTL_FAIL(err, MTL_ERR_SHAPE, "indptr: row %lld is from %lld to %lld",
                            (long long)i, (long long)c->start[i], (long long)c->start[i + 1]);
    if (rows > 0 && c->start[rows] > c->start[0] && (!c->column || !c->value))
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s is NULL", c->column ? "values" : "indices");
    for (int64_t i = 0; i < rows && st == MTL_OK; i++)
        st = check_columns(c, i, cols, err);
    return st;
}

mtl_status mtl__dataset_is_dense(const mtl_dataset *d, const char *what, mtl_error *err)
{
    if (mtl__dataset_is_sparse(d))
        return MTL_FAIL(err, MTL_ERR_STATE, "%s: the inputs of the data set are sparse", what);
    return MTL_OK;
}

/* --- making ------------------------------------------------------------------------------------ */

/* What stands for x: views select rows by its index, nobody reads it. */
static const float no_values[1];

static mtl_status make(mtl_context *ctx, int64_t rows, int64_t cols, const mtl__csr *c,
                       mtl_dataset **out, mtl_error *err)
{
    mtl_status st = mtl__dataset_make(ctx, rows, cols, &(mtl__array){.p = no_values}, out, err);
    if (st == MTL_OK)
        (*out)->csr = *c;
    return st;
}

mtl_status mtl__dataset_create_csr(mtl_context *ctx, int64_t rows, int64_t cols, const mtl__csr *c,
                                   mtl_dataset **out, mtl_error *err)
{
    static const int64_t none[1];
    mtl__csr own = *c;
    mtl_status st = mtl__csr_check(c, rows, cols, err);
    if (rows == 0)
        own.start = none;
    return st == MTL_OK ? make(ctx, rows, cols, &own, out, err) : st;
}

static bool count_values(int64_t count, const mtl_dataset *const *parts, int64_t *values)
{
    *values = 0;
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < parts[k]->rows; i++)
            if (!mtl__add_size(*values, mtl__dataset_sparse_row(parts[k], i).count, values))
                return false;
    return true;
}

mtl_status mtl__csr_make_owner(int64_t count, const mtl_dataset *const *parts, int64_t rows,
                               mtl_dataset **out, mtl_error *err)
{
    int64_t values, bytes, starts;
    mtl__block *b = NULL;
    if (count_values(count, parts, &values) && mtl__add_size(rows, 1 + values, &bytes) &&
        mtl__mul_size(bytes, sizeof(int64_t), &bytes))
        b = mtl__block_create(&parts[0]->ctx->al, bytes, 1);
    if (!b)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a copy of %lld rows", (long long)rows);
    starts = (rows + 1) * (int64_t)sizeof(int64_t);
    float *value = (float *)(void *)((char *)b->p + starts);
    const mtl__csr c = {b->p, (int32_t *)(void *)(value + values), value, b};
    *(int64_t *)b->p = 0;
    mtl_status st = make(parts[0]->ctx, rows, parts[0]->inputs, &c, out, err);
    if (st != MTL_OK)
        mtl__block_unref(b);
    return st;
}

/* The writable place of what an owner's arrays point to. */
static void *own(const mtl__csr *c, const void *p)
{
    return (char *)c->owner->p + ((const char *)p - (const char *)c->owner->p);
}

void mtl__csr_copy_rows(const mtl_dataset *part, mtl_dataset *to, int64_t first)
{
    int64_t *start = (int64_t *)own(&to->csr, to->csr.start) + first;
    for (int64_t i = 0; i < part->rows; i++) {
        const mtl__sparse_row r = mtl__dataset_sparse_row(part, i);
        start[i + 1] = start[i] + r.count;
        if (r.count == 0)
            continue; /* whose arrays may be NULL */
        memcpy(own(&to->csr, to->csr.column + start[i]), r.column, (size_t)r.count * sizeof *r.column);
        memcpy(own(&to->csr, to->csr.value + start[i]), r.value, (size_t)r.count * sizeof *r.value);
    }
}

void mtl__csr_fill_row(const mtl_dataset *d, int64_t row, float *out)
{
    const mtl__sparse_row r = mtl__dataset_sparse_row(d, row);
    mtl__array_fill(out, d->inputs, 0);
    for (int64_t i = 0; i < r.count; i++)
        out[r.column[i]] = r.value[i];
}
