/* SPDX-License-Identifier: MIT */
/* Prediction by blocks of rows: each block runs through the whole network while it is warm. */
#include "model/model.h"

#include <string.h>

/* Rows of a block: enough for the GEMM to run well, few enough for the caches. */
enum { BLOCK_ROWS = 256 };

typedef struct lane {
    float *x; /* [BLOCK_ROWS, inputs], scaled */
    mtl__buffers buffers;
} lane;

typedef struct predict_job {
    const mtl_model *m;
    int64_t task, rows, x_stride, out_stride;
    const float *x;
    float *out;
    lane *lanes;
    mtl__pool *inner_pool; /* for the GEMMs, when there is one block only */
} predict_job;

static void write_task(const predict_job *j, const lane *l, int64_t task, int64_t first,
                       int64_t rows, int64_t out_column)
{
    const mtl_model *m = j->m;
    int64_t cols = m->spec->task[task].outputs, ldz = m->net.outputs;
    float *z = l->buffers.z + m->net.task[task].column;
    mtl__model_link(m, task, rows, z, ldz);
    for (int64_t r = 0; r < rows; r++)
        memcpy(j->out + (first + r) * j->out_stride + out_column, z + r * ldz,
               (size_t)cols * sizeof *z);
}

static void predict_block(void *arg, int64_t block, int slot)
{
    const predict_job *j = arg;
    const mtl_model *m = j->m;
    const lane *l = &j->lanes[slot];
    int64_t first = block * BLOCK_ROWS, rows = mtl__min(BLOCK_ROWS, j->rows - first);
    const mtl__pass pass = {.gemm = m->ctx->gemm,
                            .vec = m->ctx->vec,
                            .pool = j->inner_pool,
                            .gemm_work = l->buffers.gemm_work,
                            .params = m->values};
    mtl__pipeline_inputs(m, rows, j->x + first * j->x_stride, j->x_stride, l->x);
    mtl__network_predict(&m->net, &pass, &l->buffers, rows, l->x, m->net.inputs);
    if (j->task >= 0) {
        write_task(j, l, j->task, first, rows, 0);
        return;
    }
    for (int64_t t = 0; t < m->net.tasks; t++)
        write_task(j, l, t, first, rows, m->out_column[t]);
}

static void plan(const mtl_model *m, int64_t slots, int64_t inner_slots, int64_t rows,
                 mtl__arena *arena, lane **lanes)
{
    *lanes = mtl__arena_take(arena, slots, sizeof **lanes);
    for (int64_t s = 0; s < slots; s++) {
        lane l;
        l.x = mtl__arena_floats(arena, rows * m->net.inputs);
        mtl__network_plan(&m->net, m->ctx->gemm, (int)inner_slots, rows, false, arena, &l.buffers);
        if (*lanes)
            (*lanes)[s] = l;
    }
}

mtl_status mtl__model_predict(const mtl_model *m, int64_t task, int64_t rows, const float *x,
                              int64_t x_stride, float *out, int64_t out_stride, mtl_error *err)
{
    if (rows == 0)
        return MTL_OK;
    mtl__pool *pool = atomic_load(&m->ctx->pool);
    int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int64_t slots = blocks == 1 ? 1 : mtl__pool_slots(pool);
    int64_t inner_slots = blocks == 1 ? mtl__pool_slots(pool) : 1;
    predict_job job = {.m = m,
                       .task = task,
                       .rows = rows,
                       .x = x,
                       .x_stride = x_stride,
                       .out = out,
                       .out_stride = out_stride,
                       .inner_pool = blocks == 1 ? pool : NULL};
    mtl__arena arena = {0};
    plan(m, slots, inner_slots, mtl__min(rows, BLOCK_ROWS), &arena, &job.lanes);
    if (!mtl__arena_reserve(&arena, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predicting %lld rows", (long long)rows);
    plan(m, slots, inner_slots, mtl__min(rows, BLOCK_ROWS), &arena, &job.lanes);
    /* More blocks than one: every slot has buffers of its own and runs its GEMMs alone. */
    if (blocks == 1)
        predict_block(&job, 0, 0);
    else
        mtl__pool_run(pool, blocks, predict_block, &job);
    mtl__arena_release(&arena, &m->ctx->al);
    return MTL_OK;
}
