/* SPDX-License-Identifier: MIT */
#include "model/model.h"

struct mtl_predictor {
    mtl_context *ctx;
    mtl__forward forward; /* a copy of the model's numbers */
    int64_t block_rows;
    mtl__forward_buffers buffers;
    mtl__arena arena; /* of the buffers */
};

static mtl_status build(mtl_predictor *p, const mtl_model *m, int64_t block_rows, mtl_error *err)
{
    const mtl__allocator *al = &p->ctx->al;
    mtl_status st = mtl__forward_init(&p->forward, m, true, err);
    if (st != MTL_OK)
        return st;
    p->block_rows = block_rows ? block_rows : mtl__forward_block_rows(&p->forward);
    mtl__arena arena = {0};
    mtl__forward_plan(&p->forward, p->block_rows, 1, false, &arena, &p->buffers);
    if (!mtl__arena_reserve_raw(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predicting %lld rows at once",
                        (long long)p->block_rows);
    mtl__forward_plan(&p->forward, p->block_rows, 1, false, &arena, &p->buffers);
    p->arena = arena;
    return MTL_OK;
}

mtl_status mtl__predictor_create(const mtl_model *m, int64_t block_rows, mtl_predictor **out,
                                 mtl_error *err)
{
    mtl_context *ctx;
    mtl_status st = mtl__context_ref(m->ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_predictor *p = mtl__alloc_zero(&ctx->al, sizeof *p);
    if (!p) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a predictor");
    }
    p->ctx = ctx;
    st = build(p, m, block_rows, err);
    if (st == MTL_OK)
        *out = p;
    else
        mtl__predictor_destroy(p);
    return st;
}

void mtl__predictor_destroy(mtl_predictor *p)
{
    if (!p)
        return;
    mtl_context *ctx = p->ctx;
    mtl__arena_release(&p->arena, &ctx->al);
    mtl__forward_free(&p->forward, &ctx->al);
    mtl__free(&ctx->al, p, sizeof *p);
    mtl__context_unref(ctx);
}

int64_t mtl__predictor_inputs(const mtl_predictor *p)
{
    return p->forward.raw_inputs;
}

int64_t mtl__predictor_outputs(const mtl_predictor *p)
{
    return p->forward.outputs;
}

void mtl__predictor_run(mtl_predictor *p, int64_t rows, const float *x, int64_t x_stride,
                        float *out, int64_t out_stride)
{
    for (int64_t first = 0; first < rows; first += p->block_rows)
        mtl__forward_run(&p->forward, &p->buffers, NULL, NULL,
                         mtl__min(p->block_rows, rows - first), x + first * x_stride, x_stride,
                         out + first * out_stride, out_stride);
}
