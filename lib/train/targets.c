/* SPDX-License-Identifier: MIT */
#include "train/targets.h"

#include <math.h>
#include <string.h>

#include "base/fpstate.h"

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

static bool joins(const mtl__target *g, const mtl__task_spec *t, int64_t column)
{
    return g->loss == t->loss && mtl__loss_is_by_columns(t->loss) && !g->spec->loss_cb &&
           !t->loss_cb && g->column + g->cols == column &&
           memcmp(g->spec->loss_param, t->loss_param, sizeof t->loss_param) == 0;
}

/* Weights of classes leave a loss of the caller's alone. */
static bool has_class_weights(const mtl__task_spec *t)
{
    return t->class_weights.text && !t->loss_cb;
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
    if (mtl__loss_is_by_columns(g->loss))
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
        if (!joins(&g, spec, column)) {
            close_target(x, &g, rows, arena);
            g = (mtl__target){.loss = spec->loss, .spec = spec, .column = column};
        }
        if (x->of_task) {
            x->of_task[t] = x->count;
            x->label[t] = g.labels;
            for (int64_t j = 0; j < spec->outputs; j++)
                x->task_of[column + j] = t;
        }
        g.cols += spec->outputs;
        g.labels += mtl__model_label_cols(m, t);
        g.is_weighted = g.is_weighted || weights_of(x, 0, t) || weights_of(x, 1, t) ||
                        has_class_weights(spec);
        if (spec->loss_cb) {
            x->own.cols = mtl__max(x->own.cols, spec->outputs);
            x->own.rows = rows;
        }
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

/* As much as the callbacks of any task need. */
static void plan_own(mtl__targets *x, mtl__arena *arena)
{
    int64_t rows = x->own.rows, size = rows * x->own.cols;
    x->own.z = mtl__arena_floats(arena, size);
    x->own.y = mtl__arena_floats(arena, size);
    x->own.w = mtl__arena_floats(arena, rows);
    x->own.g = mtl__arena_floats(arena, size);
}

void mtl__targets_plan(mtl__targets *x, const mtl_model *m, const mtl__binding *first,
                       const mtl__binding *second, int64_t max_rows, int64_t members,
                       mtl__arena *arena)
{
    int64_t tasks = m->net.tasks, outputs = m->net.outputs;
    *x = (mtl__targets){
        .m = m, .bound = {first, second}, .members = members, .widest = 1, .refused = -1};
    x->target = mtl__arena_take(arena, tasks, sizeof *x->target);
    x->of_task = mtl__arena_take(arena, tasks, sizeof *x->of_task);
    x->label = mtl__arena_take(arena, tasks, sizeof *x->label);
    x->task_of = mtl__arena_take(arena, outputs, sizeof *x->task_of);
    x->loss = mtl__arena_take(arena, tasks, sizeof *x->loss);
    x->weight = mtl__arena_take(arena, tasks, sizeof *x->weight);
    plan_targets(x, max_rows * members, arena);
    x->scale = mtl__arena_floats(arena, x->widest);
    x->sum = mtl__arena_floats(arena, x->widest);
    x->work = mtl__arena_floats(arena, MTL__COLUMNS_WORK * x->widest);
    plan_own(x, arena);
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

/* Multiply weights by those of the labels' classes. */
static void weigh_classes(const mtl_model *m, int64_t task, int64_t rows, int64_t cols,
                          const float *y, float *w, int64_t ld)
{
    const float *zero = m->pipe.zero_weight + m->net.task[task].column;
    const float *one = m->pipe.class_weight + m->net.task[task].column;
    const bool by_class = m->spec->task[task].kind == MTL_MULTICLASS;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const float label = y[i * ld + j];
            if (!isnan(label))
                w[i * ld + j] *= by_class ? one[(int64_t)label] : label > 0 ? one[j] : zero[j];
        }
}

/* What copying does not do: regression targets are scaled, weights stand beside each label. */
static void finish_task(mtl__targets *x, int64_t task, int source, mtl__rows rows, int64_t at)
{
    const mtl__target *g = &x->target[x->of_task[task]];
    int64_t cols = mtl__model_label_cols(x->m, task), place = at * g->labels + x->label[task];
    if (mtl__kind_is_scaled(x->m->spec->task[task].kind))
        scale_labels(x->m, task, rows.count, cols, g->y + place, g->labels);
    if (g->w)
        fill_weights(weights_of(x, source, task), rows, cols, g->w + place, g->labels);
    if (has_class_weights(&x->m->spec->task[task]))
        weigh_classes(x->m, task, rows.count, cols, g->y + place, g->w + place, g->labels);
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

/* From the last row on, so that none is overwritten before it is read. */
static void spread(float *a, int64_t rows, int64_t cols, int64_t members)
{
    for (int64_t to = rows * members - 1; a && to > 0; to--)
        memmove(a + to * cols, a + to / members * cols, (size_t)cols * sizeof *a);
}

void mtl__targets_spread(mtl__targets *x, int64_t rows)
{
    for (int64_t i = 0; i < x->count && x->members > 1; i++) {
        const mtl__target *g = &x->target[i];
        spread(g->y, rows, g->labels, x->members);
        spread(g->w, rows, g->labels, x->members);
    }
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
    mtl__loss_columns(vec, g->loss, g->spec->loss_param, c);
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
    const mtl__rows_args a = {.rows = c->rows,
                              .cols = g->cols,
                              .z = c->z,
                              .ldz = c->ldz,
                              .y = c->y,
                              .w = c->w,
                              .scale = scale,
                              .g = c->g,
                              .ldg = c->ldg,
                              .param = g->spec->loss_param,
                              .list = g->spec->quantiles.value};
    x->loss[task] = mtl__loss_rows(vec, g->loss, &a);
}

/* --- losses of the caller ------------------------------------------------------------------------ */

static bool has_label(const float *y, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        if (!isnan(y[j]))
            return true;
    return false;
}

/* Pack the rows that have a label; returns their number, and *weight = the sum of the labels'. */
static int64_t pack_rows(const mtl__targets *x, const mtl__target *g, const mtl__columns *c,
                         double *weight)
{
    float *z = x->own.z, *y = x->own.y, *w = x->own.w;
    int64_t n = 0;
    *weight = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        const float *label = c->y + r * g->labels;
        if (!has_label(label, g->labels))
            continue;
        memcpy(z + n * g->cols, c->z + r * c->ldz, (size_t)g->cols * sizeof *z);
        memcpy(y + n * g->labels, label, (size_t)g->labels * sizeof *y);
        w[n] = c->w ? c->w[r * g->labels] : 1;
        for (int64_t j = 0; j < g->labels; j++)
            *weight += isnan(label[j]) ? 0 : (double)w[n];
        n++;
    }
    return n;
}

/* The packed gradient to the rows that it is of. */
static void unpack_gradient(const mtl__targets *x, const mtl__target *g, const mtl__columns *c,
                            float scale)
{
    const float *from = x->own.g;
    for (int64_t r = 0; r < c->rows; r++) {
        const float *label = c->y + r * g->labels;
        float *to = c->g + r * c->ldg;
        const bool is_there = has_label(label, g->labels);
        for (int64_t j = 0; j < g->cols; j++) {
            const bool masked = g->labels == g->cols && isnan(label[j]);
            to[j] = is_there && !masked ? scale * from[j] : 0;
        }
        from += is_there ? g->cols : 0;
    }
}

static void run_own(mtl__targets *x, const mtl__target *g, mtl__columns *c,
                    const double *task_weight)
{
    int64_t task = x->task_of[g->column];
    double value = 0, *weight = &x->weight[task];
    int64_t rows = pack_rows(x, g, c, weight);
    if (c->g)
        memset(x->own.g, 0, (size_t)(rows * g->cols) * sizeof *x->own.g);
    if (rows > 0) {
        int32_t answer = g->spec->loss_cb(rows, g->cols, x->own.z, g->labels, x->own.y, x->own.w,
                                          &value, c->g ? x->own.g : NULL, g->spec->loss_user);
        mtl__fp_enter(); /* whatever the callback did to the state */
        if (answer != MTL_CONTINUE)
            x->refused = task;
    }
    x->loss[task] = value;
    if (c->g)
        unpack_gradient(x, g, c, gradient_scale(task_weight[task], *weight));
}

static void run_target(mtl__targets *x, const mtl__target *g, mtl__columns *c,
                       const double *task_weight)
{
    if (g->spec->loss_cb)
        run_own(x, g, c, task_weight);
    else if (mtl__loss_is_by_columns(g->loss))
        run_columns(x, g, c, task_weight);
    else
        run_rows(x, g, c, task_weight);
}

void mtl__targets_run(mtl__targets *x, int64_t rows, const float *z, const double *task_weight,
                      float *dz)
{
    const int64_t ld = x->m->net.outputs;
    memset(x->loss, 0, (size_t)x->m->net.tasks * sizeof *x->loss);
    memset(x->weight, 0, (size_t)x->m->net.tasks * sizeof *x->weight);
    for (int64_t i = 0; i < x->count && x->refused < 0; i++) {
        const mtl__target *g = &x->target[i];
        mtl__columns c = {.rows = rows * x->members,
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
        run_target(x, g, &c, task_weight);
    }
}
