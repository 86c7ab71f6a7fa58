/* SPDX-License-Identifier: MIT */
#include "train/targets.h"

#include <math.h>
#include <string.h>

/* --- layout ------------------------------------------------------------------------------------ */

bool mtl__targets_has_task(const mtl__targets *x, int64_t task)
{
    for (int i = 0; i < MTL__SOURCES; i++)
        if (x->bound[i] && x->bound[i]->label[task] >= 0)
            return true;
    return false;
}

/* The weights of a task's labels, NULL = all 1. */
static const mtl__array *weights_of(const mtl__targets *x, int source, int64_t task)
{
    const mtl__binding *b = x->bound[source];
    return b && b->label[task] >= 0 ? mtl__dataset_weight(b->data, b->label[task]) : NULL;
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

static void plan_targets(mtl__targets *x, int64_t rows, mtl__arena *arena)
{
    const mtl_model *m = x->m;
    mtl__target g = {0};
    for (int64_t i = 0; i < m->net.tasks; i++) {
        int64_t t = m->net.by_column[i], column = m->net.task[t].column;
        const mtl__task_spec *spec = &m->spec->task[t];
        if (x->of_task)
            x->of_task[t] = -1;
        if (!mtl__targets_has_task(x, t))
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
        g.labels += mtl__model_label_cols(m, t);
        g.is_weighted = g.is_weighted || weights_of(x, 0, t) || weights_of(x, 1, t);
    }
    close_target(x, &g, rows, arena);
}

static bool continues(const mtl__label_run *r, const mtl__label_run *next)
{
    return r->from.p && next->from.p == r->from.p + r->cols &&
           next->from.stride == r->from.stride && next->from.index == r->from.index &&
           next->to == r->to + r->cols && next->ld == r->ld;
}

static void make_runs(mtl__targets *x, int source)
{
    const mtl__binding *b = x->bound[source];
    mtl__label_run *last = NULL;
    for (int64_t i = 0; i < x->m->net.tasks; i++) {
        int64_t task = x->m->net.by_column[i], label = b->label[task];
        if (x->of_task[task] < 0)
            continue;
        const mtl__target *g = &x->target[x->of_task[task]];
        mtl__label_run next = {.cols = mtl__model_label_cols(x->m, task),
                               .to = g->y + x->label[task],
                               .ld = g->labels};
        if (label >= 0)
            next.from = b->data->labels[label].y;
        if (last && continues(last, &next)) {
            last->cols += next.cols;
        } else {
            last = &x->run[source][x->runs[source]++];
            *last = next;
        }
    }
}

void mtl__targets_plan(mtl__targets *x, const mtl_model *m, const mtl__binding *first,
                       const mtl__binding *second, int64_t max_rows, mtl__arena *arena)
{
    int64_t tasks = m->net.tasks, outputs = m->net.outputs;
    *x = (mtl__targets){.m = m, .bound = {first, second}, .widest = 1};
    x->target = mtl__arena_take(arena, tasks, sizeof *x->target);
    x->of_task = mtl__arena_take(arena, tasks, sizeof *x->of_task);
    x->label = mtl__arena_take(arena, tasks, sizeof *x->label);
    x->task_of = mtl__arena_take(arena, outputs, sizeof *x->task_of);
    x->loss = mtl__arena_take(arena, tasks, sizeof *x->loss);
    x->weight = mtl__arena_take(arena, tasks, sizeof *x->weight);
    plan_targets(x, max_rows, arena);
    x->scale = mtl__arena_floats(arena, x->widest);
    x->sum = mtl__arena_floats(arena, x->widest);
    x->work = mtl__arena_floats(arena, MTL__COLUMNS_WORK * x->widest);
    for (int i = 0; i < MTL__SOURCES; i++) {
        x->run[i] = mtl__arena_take(arena, x->bound[i] ? tasks : 0, sizeof *x->run[i]);
        if (x->target && x->bound[i])
            make_runs(x, i);
    }
}

/* --- labels ------------------------------------------------------------------------------------ */

static void fill_columns(float *y, int64_t ld, int64_t rows, int64_t cols, float value)
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
        fill_columns(w, ld, rows.count, cols, 1);
}

/* What copying does not do: regression targets are scaled, weights stand beside each label. */
static void finish_task(mtl__targets *x, int64_t task, int source, mtl__rows rows, int64_t at)
{
    const mtl__target *g = &x->target[x->of_task[task]];
    int64_t cols = mtl__model_label_cols(x->m, task), place = at * g->labels + x->label[task];
    if (x->m->spec->task[task].kind == MTL_REGRESSION)
        scale_labels(x->m, task, rows.count, cols, g->y + place, g->labels);
    if (g->w)
        fill_weights(weights_of(x, source, task), rows, cols, g->w + place, g->labels);
}

void mtl__targets_fill(mtl__targets *x, int source, mtl__rows rows, int64_t at)
{
    for (int64_t i = 0; i < x->runs[source]; i++) {
        const mtl__label_run *r = &x->run[source][i];
        if (r->from.p)
            mtl__array_gather(&r->from, r->cols, rows, r->to + at * r->ld, r->ld);
        else
            fill_columns(r->to + at * r->ld, r->ld, rows.count, r->cols, NAN);
    }
    for (int64_t t = 0; t < x->m->net.tasks; t++)
        if (x->of_task[t] >= 0)
            finish_task(x, t, source, rows, at);
}

void mtl__targets_prefetch(const mtl__targets *x, int source, mtl__rows rows)
{
    for (int64_t i = 0; i < x->runs[source]; i++)
        if (x->run[source][i].from.p)
            mtl__array_prefetch(&x->run[source][i].from, x->run[source][i].cols, rows);
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
