/* SPDX-License-Identifier: MIT */
#include "train/judge.h"

#include <math.h>
#include <string.h>

#include "model/mix.h"
#include "train/report.h"

/* The scratch holds one block; a second one, or a larger one than was foreseen, comes from the
   context. */
static void *scratch_alloc(size_t bytes, size_t align, void *user)
{
    mtl__judge *j = user;
    const mtl__allocator *al = &j->m->ctx->al;
    if (j->scratch_taken || bytes > (size_t)j->scratch_bytes)
        return al->alloc(bytes, align, al->user);
    j->scratch_taken = true;
    return j->scratch;
}

static void scratch_free(void *p, size_t bytes, size_t align, void *user)
{
    mtl__judge *j = user;
    const mtl__allocator *al = &j->m->ctx->al;
    if (p == j->scratch)
        j->scratch_taken = false;
    else
        al->free(p, bytes, align, al->user);
}

static int64_t widest_task(const mtl_model *m)
{
    int64_t widest = 1;
    for (int64_t t = 0; t < m->net.tasks; t++)
        widest = mtl__max(widest, m->spec->task[t].outputs);
    return widest;
}

static void plan(mtl__judge *j, mtl__arena *arena)
{
    const mtl_model *m = j->m;
    int64_t tasks = m->net.tasks;
    j->predicted = mtl__arena_take(arena, j->rows, m->net.outputs * (int64_t)sizeof(float));
    j->label = mtl__arena_take(arena, tasks, sizeof *j->label);
    j->weight = mtl__arena_take(arena, tasks, sizeof *j->weight);
    j->task_loss = mtl__arena_take(arena, tasks, sizeof *j->task_loss);
    j->sum = mtl__arena_take(arena, tasks, sizeof *j->sum);
    j->total = mtl__arena_take(arena, tasks, sizeof *j->total);
    j->scratch_bytes = widest_task(m) * 64; /* the sums of one column of rmse */
    j->scratch = mtl__arena_take(arena, 1, j->scratch_bytes);
    for (int64_t t = 0; t < tasks; t++) {
        if (j->bound.label[t] < 0)
            continue;
        int64_t bytes = mtl__model_label_cols(m, t) * (int64_t)sizeof(float);
        float *label = mtl__arena_take(arena, j->rows, bytes);
        float *weight = NULL;
        if (mtl__dataset_weight(j->bound.data, j->bound.label[t]))
            weight = mtl__arena_floats(arena, j->rows);
        if (j->label) {
            j->label[t] = label;
            j->weight[t] = weight;
        }
    }
    mtl__targets_plan(&j->targets, m, &j->bound, NULL, j->block_rows, 1, arena);
    mtl__forward_plan(&m->forward, j->block_rows, mtl__pool_slots(atomic_load(&m->ctx->pool)),
                      mtl__binding_is_sparse(&j->bound), arena, &j->buffers);
}

static void read_labels(mtl__judge *j)
{
    const mtl__rows all = {.count = j->rows};
    for (int64_t t = 0; t < j->m->net.tasks; t++) {
        int64_t label = j->bound.label[t], cols = mtl__model_label_cols(j->m, t);
        if (label >= 0)
            mtl__array_gather(&j->bound.data->labels[label].y, cols, all, j->label[t], cols);
        if (j->weight[t])
            mtl__array_gather(mtl__dataset_weight(j->bound.data, label), 1, all, j->weight[t], 1);
    }
}

mtl_status mtl__judge_create(const mtl_model *m, mtl__binding *bound, mtl__judge **out,
                             mtl_error *err)
{
    mtl__judge *j = mtl__alloc_zero(&m->ctx->al, sizeof *j);
    if (!j) {
        mtl__binding_free(bound);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for judging");
    }
    j->m = m;
    j->bound = *bound;
    j->rows = bound->data->rows;
    j->block_rows = mtl__min(j->rows, mtl__forward_block_rows(&m->forward));
    mtl__arena arena = {0};
    plan(j, &arena);
    if (!mtl__arena_reserve(&arena, &m->ctx->al)) {
        mtl__fail(err, MTL_ERR_NOMEM, "no memory for judging %lld rows", (long long)j->rows);
        mtl__judge_destroy(j);
        return MTL_ERR_NOMEM;
    }
    plan(j, &arena);
    j->arena = arena;
    j->scratch_al = (mtl__allocator){scratch_alloc, scratch_free, j};
    read_labels(j);
    *out = j;
    return MTL_OK;
}

void mtl__judge_destroy(mtl__judge *j)
{
    if (!j)
        return;
    const mtl__allocator *al = &j->m->ctx->al;
    mtl__arena_release(&j->arena, al);
    mtl__binding_free(&j->bound);
    mtl__free(al, j, sizeof *j);
}

static void add_losses(mtl__judge *j, int64_t rows, const float *z)
{
    mtl__targets_run(&j->targets, rows, z, NULL, NULL);
    for (int64_t t = 0; t < j->m->net.tasks; t++) {
        j->sum[t] += j->targets.loss[t];
        j->total[t] += j->targets.weight[t];
    }
}

/* Losses are those of outputs that would give the members' mean. */
static void run_members(mtl__judge *j, int64_t rows, float *predicted)
{
    const mtl__forward *f = &j->m->forward;
    const float *x = j->buffers.place[MTL__INPUTS];
    mtl__pool *pool = atomic_load(&j->m->ctx->pool);
    float *z = j->buffers.place[MTL__Z];
    mtl__mix_run(f, &j->buffers, pool, NULL, rows, x, f->inputs, predicted, f->outputs);
    if (j->is_raw) {
        mtl__forward_unlink(f, rows, predicted, f->outputs);
        return;
    }
    mtl__mix_calibrate(f, NULL, rows, predicted, f->outputs);
    memcpy(z, predicted, (size_t)(rows * f->outputs) * sizeof *z);
    mtl__forward_unlink(f, rows, z, f->outputs);
    add_losses(j, rows, z);
}

static void run_block(mtl__judge *j, int64_t first, int64_t rows)
{
    const mtl_model *m = j->m;
    const mtl__rows some = {.first = first, .count = rows};
    int64_t outputs = m->net.outputs;
    float *z = j->predicted + first * outputs;
    mtl__binding_load(&j->bound, first, rows);
    if (j->buffers.row)
        mtl__binding_sparse(&j->bound, some, j->buffers.row);
    else
        mtl__binding_inputs(&j->bound, m, some, NULL, j->buffers.place[MTL__INPUTS]);
    mtl__targets_fill(&j->targets, 0, some, 0);
    if (m->members) {
        run_members(j, rows, z);
        return;
    }
    mtl__forward_layers(&m->forward, &j->buffers, atomic_load(&m->ctx->pool), rows, z, outputs);
    if (j->is_raw)
        return;
    mtl__forward_calibrate(&m->forward, rows, z, outputs);
    add_losses(j, rows, z);
    mtl__forward_link(&m->forward, rows, z, outputs);
}

void mtl__judge_run(mtl__judge *j)
{
    const mtl_model *m = j->m;
    for (int64_t t = 0; t < m->net.tasks; t++)
        j->sum[t] = j->total[t] = 0;
    j->targets.refused = -1;
    for (int64_t first = 0; first < j->rows; first += j->block_rows)
        run_block(j, first, mtl__min(j->block_rows, j->rows - first));
    j->loss = 0;
    for (int64_t t = 0; t < m->net.tasks; t++) {
        j->task_loss[t] = j->total[t] > 0 ? j->sum[t] / j->total[t] : NAN;
        if (j->total[t] > 0)
            j->loss += m->spec->task[t].weight * j->task_loss[t];
    }
}

mtl_status mtl__judge_data(const mtl_model *m, const mtl_dataset *data, const char *what,
                           mtl__judge **out, mtl_error *err)
{
    mtl__binding bound;
    mtl_status st = mtl__binding_create(m, data, what, &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(m, &bound, out, err);
    if (st != MTL_OK)
        return st;
    mtl__judge_run(*out);
    st = mtl__binding_status(&(*out)->bound, err);
    const int64_t refused = (*out)->targets.refused;
    if (st == MTL_OK && refused >= 0)
        st = MTL_FAIL(err, MTL_ERR_STATE, "task \"%.64s\": the callback of its loss did not go on",
                      m->spec->task[refused].name);
    return st;
}

mtl_status mtl__judge_report(const mtl__judge *j, const char *name, mtl_report *r, mtl_error *err)
{
    mtl_status st = mtl__report_number(r, name, NULL, NULL, j->loss, err);
    for (int64_t t = 0; t < j->m->net.tasks && st == MTL_OK; t++)
        if (j->label[t])
            st = mtl__report_number(r, name, j->m->spec->task[t].name, NULL, j->task_loss[t], err);
    return st;
}

mtl__metric_args mtl__judge_args(const mtl__judge *j, int64_t task)
{
    const mtl_model *m = j->m;
    int64_t cols = mtl__model_label_cols(m, task), column = m->net.task[task].column;
    int64_t outputs = m->spec->task[task].outputs;
    if (m->spec->task[task].kind == MTL_QUANTILE) { /* the middle one stands for the value */
        column += outputs / 2;
        outputs = 1;
    }
    return (mtl__metric_args){.rows = j->rows,
                              .outputs = outputs,
                              .predicted = j->predicted + column,
                              .predicted_stride = m->net.outputs,
                              .label_cols = cols,
                              .label = j->label[task],
                              .label_stride = cols,
                              .weight = j->weight[task],
                              .al = &j->scratch_al};
}

mtl_status mtl__judge_metric(const mtl__judge *j, const char *name, int64_t task, double *value,
                             mtl_error *err)
{
    *value = NAN;
    if (!j->label[task])
        return MTL_OK;
    const mtl__metric_args args = mtl__judge_args(j, task);
    return mtl__metric_compute(name, &args, value, NULL, err);
}

const char *mtl__judge_main_metric(int32_t kind)
{
    return kind == MTL_QUANTILE ? "mae" : mtl__kind_is_class(kind) ? "accuracy" : "rmse";
}
