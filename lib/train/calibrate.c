/* SPDX-License-Identifier: MIT */
#include "train/calibrate.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "base/order.h"
#include "train/report.h"

enum { NONE, TEMPERATURE, PLATT, CONFORMAL = TEMPERATURE };

/* The keys are the names of the kinds. */
static const mtl__option table[] = {
    MTL__OPTION_STR("binary", "temperature", "none|temperature|platt", NULL, "of binary tasks"),
    MTL__OPTION_STR("multiclass", "temperature", "none|temperature", NULL, "of multiclass tasks"),
    MTL__OPTION_STR("multilabel", "temperature", "none|temperature|platt", NULL,
                    "of multilabel tasks; platt: each output by itself"),
    MTL__OPTION_STR("regression", "conformal", "none|conformal", NULL, "of regression tasks"),
    MTL__OPTION_F64("coverage", 0.9, 0.01, 0.9999, "share of new values in their intervals"),
};

const mtl__option_group mtl__calibrate_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_CALIBRATE, "calibrate", table, false);

/* --- the likelihood of slope and shift ---------------------------------------------------------- */

/* Logits and labels of a task, or of one output of it. */
typedef struct points {
    int64_t rows, cols, z_stride, y_stride;
    const float *z, *y, *weight;
    bool is_softmax;  /* one label for all columns */
    double target[2]; /* for labels 0 and 1 */
} points;

/* Sums over labels of weight * log loss, of its slopes and curvatures by slope a and shift b. */
typedef struct sums {
    double weight, loss, a, b, aa, ab, bb;
} sums;

static void add_binary(const points *p, double z, double y, double w, double a, double b, sums *s)
{
    const double v = a * z + b, t = p->target[y > 0.5];
    const double e = mtl__exp_f64(-fabs(v)), high = 1 / (1 + e), low = e / (1 + e);
    const double d = w * ((v > 0 ? high : low) - t), h = w * high * low;
    s->weight += w;
    s->loss += w * ((v > 0 ? v : 0) + mtl__log_f64(1 + e) - t * v);
    s->a += d * z;
    s->b += d;
    s->aa += h * z * z;
    s->ab += h * z;
    s->bb += h;
}

static void add_softmax(const points *p, const float *z, double y, double w, double a, sums *s)
{
    double highest = a * z[0], total = 0, mean = 0, spread = 0;
    for (int64_t j = 1; j < p->cols; j++)
        highest = a * z[j] > highest ? a * z[j] : highest;
    for (int64_t j = 0; j < p->cols; j++) {
        double e = mtl__exp_f64(a * z[j] - highest);
        total += e;
        mean += e * z[j];
    }
    mean /= total;
    for (int64_t j = 0; j < p->cols; j++)
        spread += mtl__exp_f64(a * z[j] - highest) * (z[j] - mean) * (z[j] - mean);
    const double of_label = z[(int64_t)y];
    s->weight += w;
    s->loss += w * (highest - a * of_label + mtl__log_f64(total));
    s->a += w * (mean - of_label);
    s->aa += w * spread / total;
}

static sums measure(const points *p, double a, double b)
{
    sums s = {0};
    for (int64_t i = 0; i < p->rows; i++) {
        const float *z = p->z + i * p->z_stride, *y = p->y + i * p->y_stride;
        const double w = p->weight ? p->weight[i] : 1;
        if (!(w > 0))
            continue;
        if (p->is_softmax && !isnan(y[0]))
            add_softmax(p, z, y[0], w, a, &s);
        for (int64_t j = 0; j < p->cols && !p->is_softmax; j++)
            if (!isnan(y[j]))
                add_binary(p, z[j], y[j], w, a, b, &s);
    }
    return s;
}

/* --- its optimum -------------------------------------------------------------------------------- */

/* The slope of least loss in 0.01 .. 100, without an error among the rows it would be infinite.
   The loss is convex: its derivative has one root, which Newton's method finds; where that leaves
   the bracket or gains less than a bisection would, the bracket is halved. */
static double best_slope(const points *p)
{
    double low = 0.01, high = 100, a = 1, step = high, last;
    if (measure(p, high, 0).a <= 0)
        return high;
    if (measure(p, low, 0).a >= 0)
        return low;
    do {
        const sums s = measure(p, a, 0);
        const double next = a - s.a / s.aa;
        last = step;
        *(s.a > 0 ? &high : &low) = a;
        if (next > low && next < high && fabs(2 * s.a) <= fabs(last * s.aa))
            step = next - a;
        else
            step = (low + high) / 2 - a;
        a += step;
    } while (fabs(step) > 1e-14 * a && high - low > 1e-14 * a);
    return a;
}

/* Newton's method with backtracking from slope *a and shift *b on (Lin, Lin & Weng 2007, algorithm
   1). The loss is convex, so that this is its one optimum. */
static void best_line(const points *p, double *a, double *b)
{
    sums s = measure(p, *a, *b);
    for (int i = 0; i < 100; i++) {
        const double ridge = 1e-12 * s.weight, aa = s.aa + ridge, bb = s.bb + ridge;
        const double det = aa * bb - s.ab * s.ab;
        const double da = (s.ab * s.b - bb * s.a) / det, db = (s.ab * s.a - aa * s.b) / det;
        const double descent = 1e-4 * (s.a * da + s.b * db), rounding = 1e-13 * s.loss;
        double share = 1;
        sums next = measure(p, *a + da, *b + db);
        while (!(next.loss <= s.loss + share * descent + rounding) && share > 1e-10) {
            share /= 2;
            next = measure(p, *a + share * da, *b + share * db);
        }
        *a += share * da;
        *b += share * db;
        s = next;
        if (share * (fabs(da) + fabs(db)) <= 1e-12 * (fabs(*a) + fabs(*b)))
            return;
    }
}

/* --- tasks -------------------------------------------------------------------------------------- */

typedef struct calibration {
    const mtl_model *m;
    const mtl_options *o;
    mtl__judge *judge;
    mtl_report *report;
    float *slope, *shift, *radius; /* as in the pipeline, which they become at the end */
    mtl__ordered *rows;            /* [2 * rows], for sorting */
} calibration;

/* Kinds that no option speaks of are left alone. */
static int64_t method_of(const mtl_options *o, int32_t kind)
{
    int64_t i;
    const char *key = mtl__kind_name(kind);
    if (mtl__option_find(&mtl__calibrate_options, key, &i, NULL) != MTL_OK)
        return NONE;
    return mtl__option_index(o, &mtl__calibrate_options, key);
}

static points column_of(const points *p, int64_t j)
{
    points one = *p;
    one.z += j;
    one.y += j;
    one.cols = 1;
    return one;
}

/* Mean log loss with the slopes and shifts of the outputs. */
static double log_loss(const points *p, const float *slope, const float *shift)
{
    sums all = {0};
    for (int64_t j = 0; j < (p->is_softmax ? 1 : p->cols); j++) {
        const points one = p->is_softmax ? *p : column_of(p, j);
        const sums s = measure(&one, slope[j], shift[j]);
        all.loss += s.loss;
        all.weight += s.weight;
    }
    return all.loss / all.weight;
}

/* One temperature for all outputs (Guo et al. 2017, section 4.2). */
static void fit_temperature(const points *p, float *slope)
{
    const float rounded = (float)best_slope(p);
    const bool is_better = measure(p, rounded, 0).loss < measure(p, 1, 0).loss;
    for (int64_t j = 0; j < p->cols; j++)
        slope[j] = is_better ? rounded : 1;
}

/* Slope and shift of each output towards labels drawn in by what a uniform prior says of so few
   rows (Platt 1999, section 2.2). */
static void fit_platt(const points *p, float *slope, float *shift)
{
    for (int64_t j = 0; j < p->cols; j++) {
        points one = column_of(p, j);
        double weight[2] = {0, 0};
        for (int64_t i = 0; i < p->rows; i++)
            if (!isnan(one.y[i * p->y_stride]))
                weight[one.y[i * p->y_stride] > 0.5f] += p->weight ? p->weight[i] : 1;
        if (weight[0] + weight[1] == 0)
            continue;
        double a = 0, b = mtl__log_f64((weight[1] + 1) / (weight[0] + 1));
        one.target[0] = 1 / (weight[0] + 2);
        one.target[1] = (weight[1] + 1) / (weight[1] + 2);
        best_line(&one, &a, &b);
        slope[j] = (float)a;
        shift[j] = (float)b;
    }
}

static mtl_status push_series(const calibration *c, const char *name, int64_t task,
                              const float *values, mtl_error *err)
{
    const mtl__task_spec *t = &c->m->spec->task[task];
    int64_t entry;
    mtl_status st = mtl__report_series(c->report, name, t->name, NULL, t->outputs, &entry, err);
    for (int64_t j = 0; j < t->outputs && st == MTL_OK; j++)
        mtl__report_push(c->report, entry, values[j]);
    return st;
}

static mtl_status fit_classes(const calibration *c, int64_t task, int64_t method, mtl_error *err)
{
    const mtl__task_spec *t = &c->m->spec->task[task];
    const mtl__metric_args a = mtl__judge_args(c->judge, task);
    const points p = {.rows = a.rows,
                      .cols = a.outputs,
                      .z_stride = a.predicted_stride,
                      .y_stride = a.label_stride,
                      .z = a.predicted,
                      .y = a.label,
                      .weight = a.weight,
                      .is_softmax = t->kind == MTL_MULTICLASS,
                      .target = {0, 1}};
    float *slope = c->slope + c->m->net.task[task].column;
    float *shift = c->shift + c->m->net.task[task].column;
    const sums before = measure(&p, 1, 0);
    mtl_status st;
    if (!(before.weight > 0))
        return MTL_OK;
    if (!isfinite(before.loss))
        return MTL_FAIL(err, MTL_ERR_VALUE, "task \"%.64s\": a prediction is not finite", t->name);
    for (int64_t j = 0; j < t->outputs; j++) {
        slope[j] = 1;
        shift[j] = 0;
    }
    if (method == PLATT)
        fit_platt(&p, slope, shift);
    else
        fit_temperature(&p, slope);
    MTL_TRY(st,
            mtl__report_number(c->report, "log_loss/before", t->name, NULL,
                               before.loss / before.weight, err),
            done);
    MTL_TRY(st,
            mtl__report_number(c->report, "log_loss/after", t->name, NULL,
                               log_loss(&p, slope, shift), err),
            done);
    if (method == TEMPERATURE)
        return mtl__report_number(c->report, "temperature", t->name, NULL, 1 / (double)slope[0],
                                  err);
    MTL_TRY(st, push_series(c, "slope", task, slope, err), done);
    st = push_series(c, "shift", task, shift, err);
done:
    return st;
}

static double error_of(const mtl__metric_args *a, int64_t row, int64_t j)
{
    const float *y = a->label + row * a->label_stride;
    const float *p = a->predicted + row * a->predicted_stride;
    return fabs((double)y[j] - (double)p[j]);
}

/* The error that ceil((n + 1) coverage) of n rows do not exceed (Lei et al. 2018, algorithm 2);
   infinite where that is more than n. */
static float radius_of(const calibration *c, const mtl__metric_args *a, int64_t j, int64_t *n)
{
    mtl__ordered *rows = c->rows;
    *n = 0;
    for (int64_t i = 0; i < a->rows; i++)
        if (!isnan(a->label[i * a->label_stride + j]) && (!a->weight || a->weight[i] > 0))
            rows[(*n)++] = (mtl__ordered){mtl__order_key((float)error_of(a, i, j)), i};
    mtl__order_sort(*n, rows, rows + *n);
    const double coverage = mtl__option_f64(c->o, &mtl__calibrate_options, "coverage");
    const double share = (double)(*n + 1) * coverage;
    int64_t k = (int64_t)share;
    k += (double)k < share; /* 1 at least */
    if (k > *n)
        return INFINITY;
    const double e = error_of(a, rows[k - 1].row, j);
    const float radius = (float)e;
    return isnan(radius) ? INFINITY : radius < e ? radius * (1 + FLT_EPSILON) : radius;
}

static mtl_status fit_values(const calibration *c, int64_t task, mtl_error *err)
{
    const mtl__task_spec *t = &c->m->spec->task[task];
    const mtl__metric_args a = mtl__judge_args(c->judge, task);
    const int64_t column = c->m->net.task[task].column;
    bool is_infinite = false;
    int64_t labels = 0;
    for (int64_t j = 0; j < t->outputs; j++) {
        int64_t n;
        c->radius[column + j] = radius_of(c, &a, j, &n);
        labels += n;
        is_infinite = is_infinite || isinf(c->radius[column + j]);
    }
    if (labels == 0) { /* nothing to learn from: what there was stays */
        memcpy(c->radius + column, c->m->pipe.radius + column,
               (size_t)t->outputs * sizeof *c->radius);
        return MTL_OK;
    }
    if (is_infinite)
        mtl__log(c->m->ctx, MTL__LOG_WARNING,
                 "task \"%.64s\": too few held-out rows for this coverage: intervals are infinite",
                 t->name);
    return push_series(c, "radius", task, c->radius + column, err);
}

static void forget(const calibration *c, int64_t task)
{
    for (int64_t j = 0; j < c->m->spec->task[task].outputs; j++) {
        const int64_t k = c->m->net.task[task].column + j;
        c->slope[k] = 1;
        c->shift[k] = 0;
        c->radius[k] = NAN;
    }
}

/* Tasks of values, or all others. */
static mtl_status fit_tasks(const calibration *c, bool of_values, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < c->m->net.tasks && st == MTL_OK; t++) {
        const mtl__task_spec *task = &c->m->spec->task[t];
        const int32_t kind = task->kind;
        /* Cumulative logits are no logits of classes: ordinal tasks stay as they are. */
        const int64_t method = task->loss->has_thresholds ? NONE : method_of(c->o, kind);
        if ((kind == MTL_REGRESSION) != of_values)
            continue;
        if (method == NONE)
            forget(c, t);
        else if (c->judge->label[t])
            st = of_values ? fit_values(c, t, err) : fit_classes(c, t, method, err);
    }
    return st;
}

static mtl_status run(calibration *c, mtl_error *err)
{
    c->judge->is_raw = true;
    mtl__judge_run(c->judge);
    mtl_status st = fit_tasks(c, false, err);
    mtl__forward_link(&c->m->forward, c->judge->rows, c->judge->predicted, c->m->net.outputs);
    return st == MTL_OK ? fit_tasks(c, true, err) : st;
}

mtl_status mtl__calibrate(mtl_model *m, const mtl_dataset *held_out, const mtl_options *o,
                          mtl_report **report, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const int64_t bytes = 3 * m->net.outputs * (int64_t)sizeof(float);
    const int64_t row_bytes = 2 * held_out->rows * (int64_t)sizeof(mtl__ordered);
    calibration c = {.m = m, .o = o};
    mtl__binding bound;
    mtl_status st;
    MTL_TRY(st, mtl__binding_create(m, held_out, "held_out", &bound, err), done);
    MTL_TRY(st, mtl__judge_create(m, &bound, &c.judge, err), done);
    MTL_TRY(st, mtl__report_create(m->ctx, &c.report, err), done);
    c.slope = mtl__alloc(al, bytes);
    c.rows = mtl__alloc(al, row_bytes);
    if (!c.slope || !c.rows) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for calibrating");
        goto done;
    }
    memcpy(c.slope, m->pipe.slope, (size_t)bytes);
    c.shift = c.slope + m->net.outputs;
    c.radius = c.shift + m->net.outputs;
    MTL_TRY(st, run(&c, err), done);
    memcpy(m->pipe.slope, c.slope, (size_t)bytes);
    mtl__model_calibrated(m);
    if (report) {
        *report = c.report;
        c.report = NULL;
    }
done:
    mtl__free(al, c.slope, bytes);
    mtl__free(al, c.rows, row_bytes);
    mtl__report_destroy(c.report);
    mtl__judge_destroy(c.judge);
    return st;
}
