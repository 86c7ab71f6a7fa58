/* SPDX-License-Identifier: MIT */
/* Prediction by blocks of rows: each block runs through the whole network while it is warm. */
#include "data/csr.h"
#include "model/model.h"

typedef struct predict_job {
    const mtl__forward *f;
    const mtl__forward_part *part;
    int64_t rows, block_rows;
    const float *x; /* NULL = csr */
    int64_t x_stride;
    const mtl__csr *csr;
    float *out;
    int64_t out_stride;
    mtl__forward_buffers *lanes; /* one for each slot */
    mtl__pool *inner_pool;       /* for the GEMMs, when there is one block only */
} predict_job;

static void predict_block(void *arg, int64_t block, int slot)
{
    const predict_job *j = arg;
    const int64_t first = block * j->block_rows, rows = mtl__min(j->block_rows, j->rows - first);
    const mtl__forward_buffers *b = &j->lanes[slot];
    for (int64_t r = 0; !j->x && r < rows; r++)
        b->row[r] = mtl__csr_row(j->csr, first + r);
    mtl__forward_run(j->f, b, j->inner_pool, j->part, rows,
                     j->x ? j->x + first * j->x_stride : NULL, j->x_stride,
                     j->out + first * j->out_stride, j->out_stride);
}

static mtl__pool *worth_sharing(const mtl__forward *f, int64_t rows, mtl__pool *pool)
{
    int64_t work;
    if (!mtl__mul_size(rows, f->work, &work))
        work = INT64_MAX;
    return mtl__pool_pays(pool, work) ? pool : NULL;
}

static void plan(predict_job *j, int slots, int inner_slots, mtl__arena *arena)
{
    j->lanes = mtl__arena_take(arena, slots, sizeof *j->lanes);
    for (int s = 0; s < slots; s++) {
        mtl__forward_buffers b;
        mtl__forward_plan(j->f, j->block_rows, inner_slots, !j->x, arena, &b);
        if (j->lanes)
            j->lanes[s] = b;
    }
}

static mtl_status predict(const mtl_model *m, int64_t task, int64_t rows, const float *x,
                          int64_t x_stride, const mtl__csr *csr, float *out, int64_t out_stride,
                          mtl_error *err)
{
    if (rows == 0)
        return MTL_OK;
    const mtl__allocator *al = &m->ctx->al;
    const mtl__net_task *t = task < 0 ? NULL : &m->net.task[task];
    const mtl__forward_part part = {.column = t ? t->column : 0,
                                    .cols = t ? m->spec->task[task].outputs : 0,
                                    .chain = t ? t->chain : -1,
                                    .task = task};
    predict_job job = {.f = &m->forward,
                       .part = t ? &part : NULL,
                       .rows = rows,
                       .block_rows = mtl__min(rows, mtl__forward_block_rows(&m->forward)),
                       .x = x,
                       .x_stride = x_stride,
                       .csr = csr,
                       .out = out,
                       .out_stride = out_stride};
    mtl__pool *pool = worth_sharing(&m->forward, rows, atomic_load(&m->ctx->pool));
    int64_t blocks = (rows + job.block_rows - 1) / job.block_rows;
    int slots = mtl__pool_slots(pool);
    mtl__arena arena = {0};
    /* More blocks than one: every slot has buffers of its own and runs its GEMMs alone. */
    if (blocks == 1)
        job.inner_pool = pool;
    plan(&job, blocks == 1 ? 1 : slots, blocks == 1 ? slots : 1, &arena);
    if (!mtl__arena_reserve_raw(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predicting %lld rows", (long long)rows);
    plan(&job, blocks == 1 ? 1 : slots, blocks == 1 ? slots : 1, &arena);
    if (blocks == 1)
        predict_block(&job, 0, 0);
    else
        mtl__pool_run(pool, blocks, predict_block, &job);
    mtl__arena_release(&arena, al);
    return MTL_OK;
}

mtl_status mtl__model_predict(const mtl_model *m, int64_t task, int64_t rows, const float *x,
                              int64_t x_stride, float *out, int64_t out_stride, mtl_error *err)
{
    return predict(m, task, rows, x, x_stride, NULL, out, out_stride, err);
}

mtl_status mtl__model_predict_csr(const mtl_model *m, int64_t rows, const mtl__csr *csr, float *out,
                                  int64_t out_stride, mtl_error *err)
{
    mtl_status st = mtl__model_takes_sparse(m, "csr", err);
    if (st == MTL_OK)
        st = mtl__csr_check(csr, rows, m->net.raw_inputs, err);
    return st == MTL_OK ? predict(m, -1, rows, NULL, 0, csr, out, out_stride, err) : st;
}
