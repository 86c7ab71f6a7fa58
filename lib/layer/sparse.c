/* SPDX-License-Identifier: MIT */
/* Products with sparse inputs: of each sum the terms that are not 0, in the order of the dense
   product, so with its bits (but for the sign of a sum that rounds to 0). */
#include "layer/layer.h"

#include <string.h>

typedef struct sparse_job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
    mtl__gemm_epilogue_fn *epilogue;
    const void *epilogue_arg;
} sparse_job;

/* Parts that take some 5 us, of all the terms of a batch. */
static int64_t grain(const mtl__layer *l, const mtl__pass *p, int64_t rows, int64_t parts)
{
    enum { TERMS = 1 << 13 };
    int64_t terms = 0;
    for (int64_t r = 0; r < rows; r++)
        terms += p->sparse->row[r].count;
    return 1 + TERMS * parts / (1 + terms * l->out);
}

static void multiply_rows(void *arg, int64_t first, int64_t count)
{
    const sparse_job *job = arg;
    const mtl__sparse *x = job->p->sparse;
    const int64_t out = job->l->out;
    const float *w = job->p->params + job->l->weight;
    for (int64_t r = first; r < first + count; r++) {
        const mtl__sparse_row *row = &x->row[r];
        float *y = job->io->y + r * job->io->ldy;
        if (!job->l->adds)
            memset(y, 0, (size_t)out * sizeof *y);
        for (int64_t i = 0; i < row->count; i++)
            job->p->vec->axpy(out, mtl__sparse_value(x, row, i), w + row->column[i] * out, y);
        if (job->epilogue)
            job->epilogue(job->epilogue_arg, 1, out, y, job->io->ldy, r, 0);
    }
}

void mtl__layer_sparse_product(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                               mtl__gemm_epilogue_fn *epilogue, const void *arg)
{
    sparse_job job = {l, p, io, NULL, epilogue, arg};
    mtl__pool_ranges(p->pool, io->rows, grain(l, p, io->rows, io->rows), multiply_rows, &job);
}

/* Units first .. first + count of all terms. */
static void add_gradients(void *arg, int64_t first, int64_t count)
{
    const sparse_job *job = arg;
    const mtl__sparse *x = job->p->sparse;
    const int64_t out = job->l->out;
    float *dw = job->p->grads + job->l->weight + first;
    for (int64_t r = 0; r < job->io->rows; r++) {
        const mtl__sparse_row *row = &x->row[r];
        const float *dy = job->g->dy + r * job->g->lddy + first;
        for (int64_t i = 0; i < row->count; i++)
            job->p->vec->axpy(count, mtl__sparse_value(x, row, i), dy, dw + row->column[i] * out);
    }
}

void mtl__layer_sparse_gradient(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                                const mtl__layer_grad *g)
{
    sparse_job job = {l, p, io, g, NULL, NULL};
    mtl__pool_ranges(p->pool, l->out, grain(l, p, io->rows, l->out), add_gradients, &job);
}
