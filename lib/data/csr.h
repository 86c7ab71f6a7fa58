/* SPDX-License-Identifier: MIT */
/* Sparse inputs: compressed rows. Row i of the arrays has the columns column[start[i]] ..
   column[start[i + 1] - 1], ascending, with the values beside them; all else is 0. */
#ifndef MTL__CSR_H
#define MTL__CSR_H

#include "data/dataset.h"
#include "vec/sparse.h"

/* MTL_ERR_SHAPE, MTL_ERR_RANGE or MTL_ERR_VALUE for starts or columns that cannot be, naming the
   row. */
mtl_status mtl__csr_check(const mtl__csr *c, int64_t rows, int64_t cols, mtl_error *err);
mtl_status mtl__dataset_create_csr(mtl_context *ctx, int64_t rows, int64_t cols, const mtl__csr *c,
                                   mtl_dataset **out, mtl_error *err);

static inline bool mtl__dataset_is_sparse(const mtl_dataset *d)
{
    return d->csr.start != NULL;
}

static inline mtl__sparse_row mtl__csr_row(const mtl__csr *c, int64_t i)
{
    const int64_t count = c->start[i + 1] - c->start[i];
    if (count == 0) /* the arrays may be NULL */
        return (mtl__sparse_row){0};
    return (mtl__sparse_row){count, c->column + c->start[i], c->value + c->start[i]};
}

static inline mtl__sparse_row mtl__dataset_sparse_row(const mtl_dataset *d, int64_t row)
{
    return mtl__csr_row(&d->csr, d->x.index ? d->x.index[row] : row);
}

/* MTL_ERR_STATE for a data set whose inputs are sparse. what: who asks. */
mtl_status mtl__dataset_is_dense(const mtl_dataset *d, const char *what, mtl_error *err);

/* A data set with room for the inputs of the parts, which all are sparse; then those of a part, from
   row `first` on, parts in order. */
mtl_status mtl__csr_make_owner(int64_t count, const mtl_dataset *const *parts, int64_t rows,
                               mtl_dataset **out, mtl_error *err);
void mtl__csr_copy_rows(const mtl_dataset *part, mtl_dataset *to, int64_t first);

/* All columns of a row. */
void mtl__csr_fill_row(const mtl_dataset *d, int64_t row, float *out);

#endif
