/* SPDX-License-Identifier: MIT */
#include "model/forward.h"

#include <string.h>

#include "model/model.h"

/* --- laying out -------------------------------------------------------------------------------- */

/* Append layers [first, first + count) but those for training only; returns where the last one
   leaves its outputs. */
static mtl__place add_layers(mtl__forward *f, const mtl__network *net, int64_t first, int64_t count,
                             int64_t chain, mtl__place from)
{
    for (int64_t i = first; i < first + count; i++) {
        mtl__place to = from == MTL__TURN_0 ? MTL__TURN_1 : MTL__TURN_0;
        if (net->layer[i].type->training_only)
            continue;
        f->step[f->steps++] =
            (mtl__step){.layer = net->layer[i], .from = from, .to = to, .chain = chain};
        from = to;
    }
    return from;
}

static void add_steps(mtl__forward *f, const mtl__network *net)
{
    mtl__place trunk = add_layers(f, net, 0, net->trunk_layers, -1, MTL__INPUTS);
    if (net->heads > 1 && f->steps > 0)
        trunk = f->step[f->steps - 1].to = MTL__TRUNK; /* the heads use the turns */
    for (int64_t i = 0; i < net->heads; i++) {
        const mtl__chain *c = &net->head[i];
        add_layers(f, net, c->first, c->count, i, trunk);
        f->step[f->steps - 1].to = MTL__Z;
        f->step[f->steps - 1].column = c->column;
    }
    f->width[MTL__INPUTS] = f->inputs;
    f->width[MTL__Z] = f->outputs;
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__step *s = &f->step[i];
        f->width[s->to] = mtl__max(f->width[s->to], s->layer.out);
        f->work += s->layer.in * s->layer.out;
    }
}

/* Make `next` part of the outlet before it. */
static bool join(mtl__outlet *before, const mtl__outlet *next)
{
    if (!before->joins || !next->joins || before->link != next->link ||
        !before->mean != !next->mean || before->column + before->cols != next->column)
        return false;
    before->cols += next->cols;
    return true;
}

static void add_outlets(mtl__forward *f, const mtl_model *m, const float *y_mean,
                        const float *y_scale)
{
    f->in_order = true;
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const mtl__task_spec *s = &m->spec->task[t];
        int64_t column = m->net.task[t].column;
        bool scaled = s->kind == MTL_REGRESSION;
        const mtl__outlet next = {.link = s->loss->link,
                                  .joins = s->loss->by_columns != NULL,
                                  .mean = scaled ? y_mean + column : NULL,
                                  .scale = scaled ? y_scale + column : NULL,
                                  .column = column,
                                  .cols = s->outputs,
                                  .out_column = m->out_column[t]};
        f->in_order = f->in_order && column == m->out_column[t];
        if (!f->outlets || !join(&f->outlet[f->outlets - 1], &next))
            f->outlet[f->outlets++] = next;
    }
}

/* A copy of n floats from the arena, the floats themselves, or NULL while planning. */
static const float *keep(mtl__arena *arena, bool copy, const float *x, int64_t n)
{
    if (!copy)
        return x;
    float *y = mtl__arena_floats(arena, n);
    return y ? memcpy(y, x, (size_t)n * sizeof *y) : NULL;
}

/* Weights and biases of all layers in a place of their own, the weights in panels of the GEMM. */
static void keep_layers(mtl__forward *f, const mtl_model *m, mtl__arena *arena)
{
    const mtl__network *net = &m->net;
    int64_t step = 0;
    f->values = (const float *)(const void *)arena->p;
    f->packed = mtl__gemm_packed_floats(f->gemm, 1, 1) > 0;
    for (int64_t i = 0; i < net->layers; i++) {
        const mtl__layer *l = &net->layer[i];
        if (l->type->training_only)
            continue;
        const float *w = m->values + l->weight;
        int64_t floats = mtl__gemm_packed_floats(f->gemm, l->in, l->out);
        float *packed = f->packed ? mtl__arena_floats(arena, floats) : NULL;
        const float *plain = f->packed ? NULL : keep(arena, true, w, l->in * l->out);
        const float *bias = keep(arena, true, m->values + l->bias, l->out);
        if (!bias)
            continue;
        if (packed)
            mtl__gemm_pack_b(f->gemm, l->in, l->out, w, l->out, packed);
        f->step[step].layer.weight = (packed ? packed : plain) - f->values;
        f->step[step++].layer.bias = bias - f->values;
    }
}

static void lay_out(mtl__forward *f, const mtl_model *m, bool copy, mtl__arena *arena)
{
    const mtl__network *net = &m->net;
    *f = (mtl__forward){
        .gemm = m->ctx->gemm, .vec = m->ctx->vec, .inputs = net->inputs, .outputs = net->outputs};
    f->step = mtl__arena_take(arena, net->layers, sizeof *f->step);
    f->outlet = mtl__arena_take(arena, net->tasks, sizeof *f->outlet);
    f->x_mean = keep(arena, copy, m->pipe.x_mean, net->inputs);
    f->x_inverse = keep(arena, copy, m->pipe.x_inverse, net->inputs);
    const float *y_mean = keep(arena, copy, m->pipe.y_mean, net->outputs);
    const float *y_scale = keep(arena, copy, m->pipe.y_scale, net->outputs);
    if (f->step) {
        add_steps(f, net);
        add_outlets(f, m, y_mean, y_scale);
    }
    f->values = m->values;
    if (copy)
        keep_layers(f, m, arena);
}

mtl_status mtl__forward_init(mtl__forward *f, const mtl_model *m, bool copy, mtl_error *err)
{
    mtl__arena arena = {0};
    lay_out(f, m, copy, &arena);
    if (!mtl__arena_reserve_raw(&arena, &m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predicting with %lld layers",
                        (long long)m->net.layers);
    lay_out(f, m, copy, &arena);
    f->arena = arena;
    return MTL_OK;
}

void mtl__forward_free(mtl__forward *f, const mtl__allocator *al)
{
    mtl__arena_release(&f->arena, al);
}

void mtl__forward_plan(const mtl__forward *f, int64_t max_rows, int slots, mtl__arena *arena,
                       mtl__forward_buffers *b)
{
    int64_t work = 0;
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__layer *l = &f->step[i].layer;
        work = mtl__max(work, mtl__layer_workspace(l, f->gemm, max_rows, slots, false));
    }
    for (int i = 0; i < MTL__PLACES; i++)
        b->place[i] = mtl__arena_floats(arena, max_rows * f->width[i]);
    b->gemm_work = mtl__arena_floats(arena, work);
}

/* --- running ----------------------------------------------------------------------------------- */

static void run_steps(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                      int64_t chain, int64_t rows, float *z, int64_t ldz)
{
    /* All members are named for the same reason as in dense.c. */
    const mtl__pass pass = {.gemm = f->gemm,
                            .vec = f->vec,
                            .pool = pool,
                            .gemm_work = b->gemm_work,
                            .params = f->values,
                            .weights_packed = f->packed,
                            .grads = NULL,
                            .seed = 0,
                            .counter = 0};
    for (int64_t i = 0; i < f->steps; i++) {
        const mtl__step *s = &f->step[i];
        const mtl__layer *l = &s->layer;
        bool is_end = s->to == MTL__Z;
        if (chain >= 0 && s->chain >= 0 && s->chain != chain)
            continue;
        const mtl__layer_io io = {.rows = rows,
                                  .x = b->place[s->from],
                                  .ldx = l->in,
                                  .y = is_end ? z + s->column : b->place[s->to],
                                  .ldy = is_end ? ldz : l->out,
                                  .kept = NULL};
        l->type->forward(l, &pass, &io);
    }
}

/* The part of an outlet's columns that lies in [column, column + cols). */
static void link_columns(const mtl__forward *f, const mtl__outlet *o, int64_t column, int64_t cols,
                         int64_t rows, float *z, int64_t ldz)
{
    int64_t from = mtl__max(o->column, column);
    int64_t n = mtl__min(o->column + o->cols, column + cols) - from;
    if (n <= 0)
        return;
    z += from;
    if (o->link)
        o->link(f->vec, rows, n, z, ldz);
    if (!o->mean)
        return;
    const float *mean = o->mean + from - o->column, *scale = o->scale + from - o->column;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++)
            z[r * ldz + j] = z[r * ldz + j] * scale[j] + mean[j];
}

static void copy_columns(int64_t rows, int64_t cols, const float *from, int64_t ldf, float *to,
                         int64_t ldt)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            to[r * ldt + j] = from[r * ldf + j];
}

void mtl__forward_layers(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                         int64_t rows, float *z, int64_t ldz)
{
    run_steps(f, b, pool, -1, rows, z, ldz);
}

void mtl__forward_link(const mtl__forward *f, int64_t rows, float *z, int64_t ldz)
{
    for (int64_t i = 0; i < f->outlets; i++)
        link_columns(f, &f->outlet[i], 0, f->outputs, rows, z, ldz);
}

static void run_part(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                     const mtl__forward_part *part, int64_t rows, float *out, int64_t ldo)
{
    float *z = b->place[MTL__Z];
    run_steps(f, b, pool, part->chain, rows, z, f->outputs);
    for (int64_t i = 0; i < f->outlets; i++)
        link_columns(f, &f->outlet[i], part->column, part->cols, rows, z, f->outputs);
    copy_columns(rows, part->cols, z + part->column, f->outputs, out, ldo);
}

void mtl__forward_run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                      const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx,
                      float *out, int64_t ldo)
{
    float *scaled = b->place[MTL__INPUTS];
    f->vec->standardize(rows, f->inputs, x, ldx, NULL, f->x_mean, f->x_inverse, scaled);
    if (part) {
        run_part(f, b, pool, part, rows, out, ldo);
        return;
    }
    float *z = f->in_order ? out : b->place[MTL__Z];
    int64_t ldz = f->in_order ? ldo : f->outputs;
    mtl__forward_layers(f, b, pool, rows, z, ldz);
    mtl__forward_link(f, rows, z, ldz);
    for (int64_t i = 0; i < f->outlets && !f->in_order; i++) {
        const mtl__outlet *o = &f->outlet[i];
        copy_columns(rows, o->cols, z + o->column, ldz, out + o->out_column, ldo);
    }
}
