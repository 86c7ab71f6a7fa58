/* SPDX-License-Identifier: MIT */
/* Exact heads of new tasks, by strategy. */
#include <math.h>
#include <string.h>

#include "solve/solve.h"
#include "transfer/move.h"

/* One task's rows that have a label, and room for what heads stand on. */
typedef struct maker {
    const mtl__job *job;
    const mtl__sample *s;
    const mtl__new_task *task;
    const mtl__sample_task *from;
    mtl__arena arena;
    int64_t rows, cols, outputs;
    float *phi, *y, *w, *offset;
    double *base, *try, *z; /* [outputs, cols + 1] twice, [outputs] */
    const char *base_name;
} maker;

static void plan(maker *k, mtl__arena *a)
{
    const int64_t rows = k->s->rows, head = k->outputs * (k->cols + 1);
    k->phi = mtl__arena_take(a, rows, k->cols * (int64_t)sizeof(float));
    k->y = mtl__arena_take(a, rows, k->outputs * (int64_t)sizeof(float));
    k->w = mtl__arena_floats(a, rows);
    k->offset = mtl__arena_take(a, rows, k->outputs * (int64_t)sizeof(float));
    k->base = mtl__arena_take(a, head, sizeof(double));
    k->try = mtl__arena_take(a, head, sizeof(double));
    k->z = mtl__arena_take(a, k->outputs, sizeof(double));
}

static bool has_label(const maker *k, int64_t row)
{
    bool any = false;
    for (int64_t j = 0; j < k->outputs; j++)
        any = any || !isnan(k->from->y[row * k->outputs + j]);
    return any;
}

static void take_rows(maker *k)
{
    for (int64_t i = 0; i < k->s->rows; i++) {
        if (!has_label(k, i))
            continue;
        memcpy(k->phi + k->rows * k->cols, k->s->phi + i * k->cols,
               (size_t)k->cols * sizeof *k->phi);
        memcpy(k->y + k->rows * k->outputs, k->from->y + i * k->outputs,
               (size_t)k->outputs * sizeof *k->y);
        k->w[k->rows++] = k->from->w ? k->from->w[i] : 1;
    }
}

/* --- known tasks' heads ------------------------------------------------------------------------- */

/* A head of one layer, every output of which has weights. */
static bool is_plain(const mtl_model *m, int64_t t)
{
    return !m->spec->task[t].loss->has_thresholds &&
           m->net.head[m->net.task[t].chain].count == 1;
}

/* A known task that could stand for the new one: of its kind, its head one layer. */
static bool could_stand(const mtl_model *m, int64_t t, const mtl__new_task *task)
{
    const mtl__task_spec *known = &m->spec->task[t];
    return known->kind == task->kind && known->outputs == task->outputs &&
           mtl__head_serves(known->kind) && is_plain(m, t);
}

static bool is_like(const maker *k, int64_t t)
{
    if (k->job->same && t != mtl__spec_task(k->job->source->spec, k->task->name))
        return false;
    return could_stand(k->job->source, t, k->task);
}

/* Where a one-layer head has its numbers; at: the columns of phi that its weights belong to. */
typedef struct place {
    int64_t weight, bias, ld, rows, at; /* bias -1 = none */
} place;

static int places(const mtl_model *m, int64_t task, const mtl__sample *s, place *out)
{
    const mtl__network *net = &m->net;
    const mtl__chain *c = &net->head[net->task[task].chain];
    const mtl__layer *l = &net->layer[c->first + c->count - 1];
    const int64_t column = net->task[task].column;
    out[0] = (place){l->weight + column - c->column, l->bias + column - c->column, l->cols, l->rows,
                     net->trunk_layers ? s->inputs : 0};
    if (net->skip < 0)
        return 1;
    l = &net->layer[net->skip];
    out[1] = (place){l->weight + column, -1, l->cols, l->rows, 0};
    return 2;
}

/* head += factor * that of a known task, in the source's label units or, without `units`, in each
   task's own. */
static void add_known(const maker *k, int64_t t, double factor, bool units, double *head)
{
    const mtl_model *m = k->job->source;
    const int64_t width = k->cols + 1, column = m->net.task[t].column;
    place p[2];
    const int n = places(m, t, k->s, p);
    for (int64_t c = 0; c < k->outputs; c++) {
        double *to = head + c * width, by = factor;
        if (units && k->task->kind == MTL_REGRESSION) {
            const double scale = (double)k->from->scale[c];
            by *= (double)m->pipe.y_scale[column + c] / scale;
            to[k->cols] += factor * ((double)m->pipe.y_mean[column + c] - (double)k->from->mean[c]) /
                           scale;
        }
        for (int i = 0; i < n; i++) {
            for (int64_t r = 0; r < p[i].rows; r++)
                to[p[i].at + r] += by * (double)m->values[p[i].weight + r * p[i].ld + c];
            if (p[i].bias >= 0)
                to[k->cols] += by * (double)m->values[p[i].bias + c];
        }
    }
}

static void run_head(const maker *k, const double *head, const float *phi, double *z)
{
    for (int64_t c = 0; c < k->outputs; c++) {
        const double *w = head + c * (k->cols + 1);
        z[c] = w[k->cols];
        for (int64_t j = 0; j < k->cols; j++)
            z[c] += w[j] * (double)phi[j];
    }
}

/* Mean squared error on the task's rows; with `shifted` after the best shift of each output. */
static double error_of(const maker *k, const double *head, bool shifted)
{
    double total = 0, weight = 0;
    for (int64_t c = 0; c < k->outputs; c++) {
        double sum = 0, square = 0, n = 0;
        for (int64_t i = 0; i < k->rows; i++) {
            const float y = k->y[i * k->outputs + c];
            if (isnan(y))
                continue;
            run_head(k, head, k->phi + i * k->cols, k->z);
            mtl__head_link(k->task->kind, k->outputs, k->z);
            const double e = k->z[c] - (double)y, w = (double)k->w[i];
            sum += w * e;
            square += w * e * e;
            n += w;
        }
        total += square - (shifted && n > 0 ? sum * sum / n : 0);
        weight += n;
    }
    return weight > 0 ? total / weight : 0;
}

/* The head of one known task, or of the mean of all (only < 0), in label units or own ones. */
static bool known_head(const maker *k, int64_t only, bool units, double *head)
{
    const int64_t tasks = k->job->source->net.tasks;
    int64_t like = 0;
    memset(head, 0, (size_t)(k->outputs * (k->cols + 1)) * sizeof *head);
    for (int64_t t = 0; t < tasks; t++)
        like += is_like(k, t);
    for (int64_t t = 0; t < tasks && only < 0; t++)
        if (is_like(k, t))
            add_known(k, t, 1 / (double)like, units, head);
    if (only >= 0)
        add_known(k, only, 1, units, head);
    return like > 0;
}

/* Variants of a base: the mean of all or the task that is nearest on these rows, each in both units.
   The name of the task, "" for all, NULL when there is none. */
static const char *make_base(const maker *k, int64_t variant, double *head)
{
    const mtl_model *m = k->job->source;
    const bool units = variant % 2 == 0;
    int64_t nearest = -1;
    double least = 0;
    for (int64_t t = 0; t < m->net.tasks && variant >= 2; t++) {
        if (!is_like(k, t))
            continue;
        known_head(k, t, units, head);
        const double error = error_of(k, head, false);
        if (nearest < 0 || error < least) {
            nearest = t;
            least = error;
        }
    }
    if (!known_head(k, nearest, units, head))
        return NULL;
    return nearest < 0 ? "" : m->spec->task[nearest].name;
}

/* The base whose predictions are nearest after a shift. */
static const char *best_base(maker *k)
{
    const char *name = NULL;
    double least = 0;
    for (int64_t v = 0; v < MTL__BASES; v++) {
        const char *made = make_base(k, v, k->try);
        const double error = made ? error_of(k, k->try, k->task->kind == MTL_REGRESSION) : 0;
        if (!made || (name && !(error < least)))
            continue;
        name = made;
        least = error;
        memcpy(k->base, k->try, (size_t)(k->outputs * (k->cols + 1)) * sizeof *k->base);
    }
    return name;
}

/* --- making ------------------------------------------------------------------------------------- */

static mtl__head_data data_of(const maker *k, uint32_t features)
{
    const int64_t inputs = k->s->inputs, hidden = k->s->hidden;
    const bool on_inputs = (features & MTL__ON_INPUTS) || !hidden;
    const bool on_trunk = (features & MTL__ON_TRUNK) && hidden;
    const int64_t cols = (on_inputs ? inputs : 0) + (on_trunk ? hidden : 0);
    return (mtl__head_data){.rows = k->rows,
                            .cols = cols,
                            .ld = k->cols,
                            .outputs = k->outputs,
                            .kind = k->task->kind,
                            .phi = k->phi + (on_inputs ? 0 : inputs),
                            .block = on_inputs && on_trunk ? inputs : cols,
                            .learnt = on_inputs ? inputs : 0,
                            .y = k->y,
                            .w = k->from->w ? k->w : NULL};
}

/* From the columns that the head was fitted on to all of phi, from the last head on, in place: the
   narrow heads stand at the front. */
static void widen(const maker *k, const mtl__head_data *d, int64_t count, double *w)
{
    const int64_t first = d->phi - k->phi;
    for (int64_t i = count * k->outputs - 1; i >= 0; i--) {
        double *to = w + i * (k->cols + 1);
        const double *from = w + i * (d->cols + 1);
        const double intercept = from[d->cols];
        memmove(to + first, from, (size_t)d->cols * sizeof *to);
        for (int64_t j = 0; j < k->cols; j++)
            if (j < first || j >= first + d->cols)
                to[j] = 0;
        to[k->cols] = intercept;
    }
}

static mtl_status fit_heads(maker *k, const mtl__strategy *how, int64_t first, double tolerance,
                            mtl__heads *out, mtl_error *err)
{
    mtl__head_data d = data_of(k, how->features);
    const int64_t head = k->outputs * (k->cols + 1);
    if (how->family == MTL__SHIFT) {
        for (int64_t i = 0; i < k->rows; i++) {
            run_head(k, k->base, k->phi + i * k->cols, k->z);
            for (int64_t c = 0; c < k->outputs; c++)
                k->offset[i * k->outputs + c] = (float)k->z[c];
        }
        d.offset = k->offset;
        for (int64_t i = 0; i < k->rows * k->outputs && k->task->kind == MTL_REGRESSION; i++)
            k->y[i] -= k->offset[i];
        if (k->task->kind == MTL_REGRESSION)
            d.offset = NULL;
    }
    mtl_status st = mtl__head_path(&d, out->al, first, out->count, tolerance, out->w, err);
    if (st != MTL_OK)
        return st;
    widen(k, &d, out->count, out->w);
    for (int64_t i = 0; i < out->count && how->family == MTL__SHIFT; i++)
        mtl__axpy_f64(head, 1, k->base, out->w + i * head);
    return MTL_OK;
}

static mtl_status make_heads(maker *k, const mtl__strategy *how, int64_t first, double tolerance,
                             mtl__heads *out, mtl_error *err)
{
    const int64_t width = k->cols + 1, head = k->outputs * width;
    if (how->family == MTL__CONSTANT || k->rows == 0) {
        const mtl__head_data d = data_of(k, 0);
        mtl_status st = mtl__head_constant(&d, NULL, out->al, k->z, err);
        for (int64_t i = 0; i < out->count * k->outputs; i++)
            out->w[i * width + k->cols] = k->z[i % k->outputs];
        return st;
    }
    if (how->family == MTL__AS_IS) {
        for (int64_t i = 0; i < out->count; i++)
            out->base = make_base(k, first + i, out->w + i * head);
        return MTL_OK;
    }
    return fit_heads(k, how, first, tolerance, out, err);
}

/* Can the strategy serve this task at all? */
static bool serves(const mtl__job *job, const mtl__new_task *task, const mtl__strategy *how)
{
    const mtl_model *source = job->source;
    const int64_t own = job->same ? mtl__spec_task(source->spec, task->name) : -1;
    if (own >= 0 && !is_plain(source, own))
        return false;
    const bool on_known = how->family == MTL__AS_IS || how->family == MTL__SHIFT;
    if (how->family == MTL__CONSTANT)
        return true;
    bool any = !on_known;
    for (int64_t t = 0; t < source->net.tasks && !any; t++)
        any = could_stand(source, t, task);
    return any && mtl__head_serves(task->kind);
}

bool mtl__heads_serve(const mtl__job *job, const mtl__strategy *how)
{
    int64_t t = 0;
    while (t < job->tasks && serves(job, &job->task[t], how))
        t++;
    return t == job->tasks;
}

mtl_status mtl__heads_create(const mtl__job *job, const mtl__sample *s, int64_t task,
                             const mtl__strategy *how, int64_t first, int64_t count,
                             double tolerance, mtl__heads *out, mtl_error *err)
{
    maker k = {.job = job, .s = s, .task = &job->task[task], .from = &s->task[task],
               .cols = s->inputs + s->hidden, .outputs = job->task[task].outputs};
    mtl__heads h = {.al = s->al, .outputs = k.outputs, .cols = k.cols};
    mtl_status st = MTL_OK;
    plan(&k, &k.arena);
    if (!mtl__arena_reserve(&k.arena, s->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for heads");
    plan(&k, &k.arena);
    take_rows(&k);
    if (serves(job, k.task, how)) {
        if (how->family == MTL__AS_IS || how->family == MTL__SHIFT)
            k.base_name = best_base(&k);
        h.count = count;
        h.base = k.base_name;
        h.w = mtl__alloc_zero(s->al, count * h.outputs * (h.cols + 1) * (int64_t)sizeof *h.w);
        st = h.w ? make_heads(&k, how, first, tolerance, &h, err)
                 : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for heads");
    }
    mtl__arena_release(&k.arena, s->al);
    if (st == MTL_OK)
        *out = h;
    else
        mtl__heads_free(&h);
    return st;
}

mtl_status mtl__heads_blend(const mtl__job *job, const mtl__sample *s, int64_t task,
                            double tolerance, mtl__heads *out, mtl_error *err)
{
    const int64_t size = job->task[task].outputs * (s->inputs + s->hidden + 1);
    mtl__heads all = {0};
    mtl_status st = MTL_OK;
    for (int64_t k = 0; k < job->blends && st == MTL_OK; k++) {
        const mtl__part *part = &job->blend[k];
        mtl__heads h = {0};
        st = mtl__heads_create(job, s, task, part->how, part->variant, 1, tolerance, &h, err);
        if (st != MTL_OK || !h.count)
            break;
        for (int64_t i = 0; i < size && k == 0; i++)
            h.w[i] *= part->weight;
        if (k == 0) {
            all = h;
            continue;
        }
        mtl__axpy_f64(size, part->weight, h.w, all.w);
        mtl__heads_free(&h);
    }
    if (st == MTL_OK)
        *out = all;
    else
        mtl__heads_free(&all);
    return st;
}

void mtl__heads_free(mtl__heads *h)
{
    if (h->w)
        mtl__free(h->al, h->w, h->count * h->outputs * (h->cols + 1) * (int64_t)sizeof *h->w);
    *h = (mtl__heads){0};
}

/* --- use ---------------------------------------------------------------------------------------- */

void mtl__heads_predict(const mtl__heads *h, int32_t kind, int64_t variant, const float *phi,
                        const mtl__sample_task *units, double *out)
{
    const maker k = {.cols = h->cols, .outputs = h->outputs};
    run_head(&k, h->w + variant * h->outputs * (h->cols + 1), phi, out);
    mtl__head_link(kind, h->outputs, out);
    for (int64_t c = 0; c < h->outputs; c++)
        out[c] = out[c] * (double)units->scale[c] + (double)units->mean[c];
}

void mtl__heads_write(const mtl__heads *h, int64_t variant, const mtl__sample *s, mtl_model *m,
                      const char *task)
{
    place p[2];
    const int64_t width = h->cols + 1;
    const double *head = h->w + variant * h->outputs * width;
    /* Without a trunk head and skip read the same columns: the skip stays 0. */
    const int found = places(m, mtl__spec_task(m->spec, task), s, p), n = s->hidden ? found : 1;
    for (int64_t c = 0; c < h->outputs; c++)
        for (int i = 0; i < n; i++) {
            for (int64_t r = 0; r < p[i].rows; r++)
                m->values[p[i].weight + r * p[i].ld + c] = (float)head[c * width + p[i].at + r];
            if (p[i].bias >= 0)
                m->values[p[i].bias + c] = (float)head[c * width + h->cols];
        }
}
