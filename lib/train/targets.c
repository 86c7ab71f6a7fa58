/* SPDX-License-Identifier: MIT */
#include "train/targets.h"

#include <math.h>
#include <string.h>

static int64_t label_cols(const mtl_model *m, int64_t task)
{
    return mtl__label_cols(m->spec->task[task].kind, m->spec->task[task].outputs);
}

/* --- layout ------------------------------------------------------------------------------------ */

static bool has_labels(const mtl__binding *const *bound, int32_t bindings, int64_t task)
{
    for (int32_t i = 0; i < bindings; i++)
        if (bound[i]->label[task] >= 0)
            return true;
    return false;
}

static bool has_weights(const mtl__binding *const *bound, int32_t bindings, int64_t task)
{
    for (int32_t i = 0; i < bindings; i++) {
        int64_t label = bound[i]->label[task];
        if (label >= 0 && mtl__dataset_weight(bound[i]->data, label))
            return true;
    }
    return false;
}

static bool joins(const mtl__target *g, const mtl__loss *loss, int64_t column)
{
    return g->loss == loss && loss->by_columns && g->column + g->cols == column;
}

/* Memory of a target that is complete. */
static void close_target(mtl__targets *x, mtl__target *g, int64_t rows, mtl__arena *arena)
{
    if (!g->loss)
        return;
    g->y = mtl__arena_floats(arena, rows * g->labels);
    g->w = g->is_weighted ? mtl__arena_floats(arena, rows * g->labels) : NULL;
    if (x->target)
        x->target[x->count] = *g;
    x->count++;
    if (g->loss->by_columns)
        x->widest = mtl__max(x->widest, g->cols);
}

static void plan_targets(mtl__targets *x, const mtl__binding *const *bound, int32_t bindings,
                         int64_t rows, mtl__arena *arena)
{
    const mtl_model *m = x->m;
    mtl__target g = {0};
    for (int64_t i = 0; i < m->net.tasks; i++) {
        int64_t t = m->net.by_column[i], column = m->net.task[t].column;
        const mtl__task_spec *spec = &m->spec->task[t];
        bool wanted = has_labels(bound, bindings, t);
        if (x->of_task)
            x->of_task[t] = -1;
        if (!wanted)
            continue;
        if (!joins(&g, spec->loss, column)) {
            close_target(x, &g, rows, arena);
            g = (mtl__target){.loss = spec->loss, .column = column};
        }
        if (x->of_task) {
            x->of_task[t] = x->count;
            x->label[t] = g.labels;
            for (int64_t j = 0; j < spec->outputs; j++)
                x->task_of[column + j] = t;
        }
        g.cols += spec->outputs;
        g.labels += label_cols(m, t);
        g.is_weighted = g.is_weighted || has_weights(bound, bindings, t);
    }
    close_target(x, &g, rows, arena);
}

void mtl__targets_plan(mtl__targets *x, const mtl_model *m, const mtl__binding *const *bound,
                       int32_t bindings, int64_t max_rows, mtl__arena *arena)
{
    int64_t tasks = m->net.tasks, outputs = m->net.outputs;
    *x = (mtl__targets){.m = m, .widest = 1};
    x->target = mtl__arena_take(arena, tasks, sizeof *x->target);
    x->of_task = mtl__arena_take(arena, tasks, sizeof *x->of_task);
    x->label = mtl__arena_take(arena, tasks, sizeof *x->label);
    x->task_of = mtl__arena_take(arena, outputs, sizeof *x->task_of);
    x->loss = mtl__arena_take(arena, tasks, sizeof *x->loss);
    x->weight = mtl__arena_take(arena, tasks, sizeof *x->weight);
    plan_targets(x, bound, bindings, max_rows, arena);
    x->scale = mtl__arena_floats(arena, x->widest);
    x->sum = mtl__arena_floats(arena, x->widest);
    x->work = mtl__arena_floats(arena, MTL__COLUMNS_WORK * x->widest);
}

/* --- labels ------------------------------------------------------------------------------------ */

static void fill_column(float *y, int64_t ld, int64_t rows, int64_t cols, float value)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[i * ld + j] = value;
}

static void scale_labels(const mtl_model *m, int64_t task, int64_t rows, int64_t cols, float *y,
                         int64_t ld)
{
    const float *mean = m->pipe.y_mean + m->net.task[task].column;
    const float *scale = m->pipe.y_scale + m->net.task[task].column;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[i * ld + j] = (y[i * ld + j] - mean[j]) / scale[j];
}

static void fill_weights(const mtl__array *weight, mtl__rows rows, int64_t cols, float *w,
                         int64_t ld)
{
    for (int64_t j = 0; weight && j < cols; j++)
        mtl__array_gather(weight, 1, rows, w + j, ld);
    if (!weight)
        fill_column(w, ld, rows.count, cols, 1);
}

/* Columns to copy that follow each other, there and here: the labels of many tasks are often one
   matrix of the caller's, and so one copy a row. */
typedef struct run {
    mtl__array from;
    int64_t cols;
    float *to;
    int64_t ld;
} run;

static bool continues(const run *r, const mtl__array *from, const float *to, int64_t ld)
{
    return r->cols > 0 && from->p == r->from.p + r->cols && from->stride == r->from.stride &&
           from->index == r->from.index && to == r->to + r->cols && ld == r->ld;
}

static void add_to_run(run *r, mtl__rows rows, const mtl__array *from, int64_t cols, float *to,
                       int64_t ld)
{
    if (!continues(r, from, to, ld)) {
        mtl__array_gather(&r->from, r->cols, rows, r->to, r->ld);
        *r = (run){.from = *from, .to = to, .ld = ld};
    }
    r->cols += cols;
}

static void copy_labels(mtl__targets *x, const mtl__binding *b, mtl__rows rows, int64_t at)
{
    run r = {.cols = 0};
    for (int64_t i = 0; i < x->m->net.tasks; i++) {
        int64_t task = x->m->net.by_column[i], label = b->label[task];
        int64_t cols = label_cols(x->m, task);
        if (x->of_task[task] < 0)
            continue;
        const mtl__target *g = &x->target[x->of_task[task]];
        float *y = g->y + at * g->labels + x->label[task];
        if (label < 0)
            fill_column(y, g->labels, rows.count, cols, NAN);
        else
            add_to_run(&r, rows, &b->data->labels[label].y, cols, y, g->labels);
    }
    mtl__array_gather(&r.from, r.cols, rows, r.to, r.ld);
}

/* What copying does not do: regression targets are scaled, weights stand beside each label. */
static void finish_task(mtl__targets *x, int64_t task, const mtl__binding *b, mtl__rows rows,
                        int64_t at)
{
    const mtl__target *g = &x->target[x->of_task[task]];
    int64_t label = b->label[task], cols = label_cols(x->m, task);
    int64_t place = at * g->labels + x->label[task];
    if (x->m->spec->task[task].kind == MTL_REGRESSION)
        scale_labels(x->m, task, rows.count, cols, g->y + place, g->labels);
    if (g->w)
        fill_weights(label < 0 ? NULL : mtl__dataset_weight(b->data, label), rows, cols,
                     g->w + place, g->labels);
}

void mtl__targets_fill(mtl__targets *x, const mtl__binding *b, mtl__rows rows, int64_t at)
{
    copy_labels(x, b, rows, at);
    for (int64_t t = 0; t < x->m->net.tasks; t++)
        if (x->of_task[t] >= 0)
            finish_task(x, t, b, rows, at);
}

void mtl__targets_prefetch(const mtl__targets *x, const mtl__binding *b, mtl__rows rows)
{
    for (int64_t t = 0; t < x->m->net.tasks; t++)
        if (b->label[t] >= 0)
            mtl__array_prefetch(&b->data->labels[b->label[t]].y, label_cols(x->m, t), rows);
}

/* --- losses ------------------------------------------------------------------------------------ */

static float gradient_scale(double task_weight, double weight)
{
    return weight > 0 ? (float)(task_weight / weight) : 0;
}

static void run_columns(mtl__targets *x, const mtl__target *g, mtl__columns *c,
                        const double *task_weight)
{
    const mtl__vec *vec = x->m->ctx->vec;
    const int64_t *task = x->task_of + g->column;
    vec->label_weights(c);
    for (int64_t j = 0; j < g->cols; j++)
        x->weight[task[j]] += (double)c->sum[j];
    for (int64_t j = 0; c->g && j < g->cols; j++)
        x->scale[j] = gradient_scale(task_weight[task[j]], x->weight[task[j]]);
    g->loss->by_columns(vec)(c);
    for (int64_t j = 0; j < g->cols; j++)
        x->loss[task[j]] += (double)c->sum[j];
}

static void run_rows(mtl__targets *x, const mtl__target *g, mtl__columns *c,
                     const double *task_weight)
{
    const mtl__vec *vec = x->m->ctx->vec;
    int64_t task = x->task_of[g->column];
    c->cols = 1;
    vec->label_weights(c);
    double weight = (double)c->sum[0];
    float scale = c->g ? gradient_scale(task_weight[task], weight) : 0;
    x->weight[task] = weight;
    x->loss[task] = (double)g->loss->by_rows(vec)(c->rows, g->cols, c->z, c->ldz, c->y, c->w, scale,
                                                  c->g, c->ldg);
}

void mtl__targets_run(mtl__targets *x, int64_t rows, const float *z, const double *task_weight,
                      float *dz)
{
    const int64_t ld = x->m->net.outputs;
    memset(x->loss, 0, (size_t)x->m->net.tasks * sizeof *x->loss);
    memset(x->weight, 0, (size_t)x->m->net.tasks * sizeof *x->weight);
    for (int64_t i = 0; i < x->count; i++) {
        const mtl__target *g = &x->target[i];
        mtl__columns c = {.rows = rows,
                          .cols = g->cols,
                          .z = z + g->column,
                          .ldz = ld,
                          .y = g->y,
                          .w = g->w,
                          .scale = x->scale,
                          .g = dz ? dz + g->column : NULL,
                          .ldg = ld,
                          .sum = x->sum,
                          .work = x->work};
        (g->loss->by_columns ? run_columns : run_rows)(x, g, &c, task_weight);
    }
}
