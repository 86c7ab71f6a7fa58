/* SPDX-License-Identifier: MIT */
#include "train/mixture.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"

/* A task goes by its own labels as far as it has many beside so many. */
#define PRIOR_LABELS 300.0
#define LEAST_WEIGHT 0.05 /* less is not worth the time of a prediction */
enum { STOPS = 5 };       /* on the way from the simplest candidate to the best mixture */
enum { HALVINGS = 6 };    /* of the steps in which weights are found */

typedef struct solver {
    mtl__mixture *x;
    int64_t parts;
    double *unit;        /* [outputs]: of losses of values */
    double *base;        /* [tasks]: loss of equal weights */
    int *mask;           /* [tasks]: kinds that a task has */
    double *sum, *total; /* [parts]: of one task */
    double *of_part;     /* [STOPS, parts] */
    double *p;           /* [widest task] */
} solver;

typedef double weights[MTL__KINDS];

/* --- the loss of one row ------------------------------------------------------------------------- */

static double minus_log(double p)
{
    return -mtl__log_f64(p > 1e-7 ? p : 1e-7); /* as far as single precision tells it from 0 */
}

static bool is_absolute(const mtl__task_spec *t)
{
    const char *name = t->loss->choice.name;
    return strcmp(name, "absolute_error") == 0 || strcmp(name, "huber") == 0 ||
           strcmp(name, "log_cosh") == 0;
}

static double of_value(const mtl__task_spec *t, int64_t j, double y, double p, double unit)
{
    const double e = (y - p) / unit;
    if (t->kind == MTL_QUANTILE) {
        const double q = t->quantiles.value ? (double)t->quantiles.value[j]
                                            : (double)(j + 1) / (double)(t->outputs + 1);
        return e > 0 ? q * e : (q - 1) * e;
    }
    if (t->kind == MTL_COUNT)
        return p + y * minus_log(p);
    return is_absolute(t) ? fabs(e) : e * e;
}

double mtl__row_loss(const mtl__task_spec *t, const float *y, const double *p, const double *unit,
                     const float *zero, const float *one)
{
    double sum = 0;
    int64_t n = 0;
    if (t->kind == MTL_MULTICLASS)
        return isnan(y[0]) ? (double)NAN : (double)one[(int64_t)y[0]] * minus_log(p[(int64_t)y[0]]);
    for (int64_t j = 0; j < t->outputs; j++) {
        const double label = (double)y[t->kind == MTL_QUANTILE ? 0 : j];
        if (isnan(label))
            continue;
        if (mtl__kind_is_class(t->kind))
            sum += label > 0 ? (double)one[j] * minus_log(p[j]) : (double)zero[j] * minus_log(1 - p[j]);
        else
            sum += of_value(t, j, label, p[j], unit[j]);
        n++;
    }
    return n ? sum / (double)n : (double)NAN;
}

/* --- the loss of weights ------------------------------------------------------------------------- */

static bool is_predicted(const mtl__mixture *x, int mask, int64_t at)
{
    for (int k = 0; k < MTL__KINDS; k++)
        if ((mask >> k & 1) && isnan(x->held[k][at]))
            return false;
    return true;
}

/* Sums by part over the rows that all of the task's candidates predicted: of losses, of weights. The
   mean over parts, or NaN. */
static double measure(const solver *s, int64_t task, const double *w)
{
    const mtl__mixture *x = s->x;
    const mtl__task_spec *t = &x->m->spec->task[task];
    const mtl__labels *l = &x->folds->data->labels[x->folds->label[task]];
    const mtl__array *weight = mtl__dataset_weight(x->folds->data, x->folds->label[task]);
    const int64_t column = x->m->net.task[task].column;
    double sum = 0, total = 0;
    memset(s->sum, 0, (size_t)s->parts * sizeof *s->sum);
    memset(s->total, 0, (size_t)s->parts * sizeof *s->total);
    for (int64_t r = 0; r < x->folds->data->rows; r++) {
        const int64_t at = r * x->m->net.outputs + column, part = x->folds->of_row[r];
        if (part < 0 || !mtl__labels_at(l, r) || !is_predicted(x, s->mask[task], at))
            continue;
        memset(s->p, 0, (size_t)t->outputs * sizeof *s->p);
        for (int k = 0; k < MTL__KINDS; k++)
            for (int64_t j = 0; j < t->outputs && w[k] > 0; j++)
                s->p[j] += w[k] * (double)x->held[k][at + j];
        const double of_row = weight ? (double)*mtl__array_row(weight, r) : 1;
        s->sum[part] += of_row * mtl__row_loss(t, mtl__array_row(&l->y, r), s->p, s->unit + column,
                                               x->zero_weight + column, x->class_weight + column);
        s->total[part] += of_row;
    }
    for (int64_t f = 0; f < s->parts; f++) {
        sum += s->sum[f];
        total += s->total[f];
    }
    return total > 0 ? sum / total : (double)NAN;
}

/* Of one task, or (task < 0) the mean over those of a mask, each in units of its base. of_part: the
   parts' means as well, or NULL. */
static double objective(const solver *s, int64_t task, int mask, const double *w, double *of_part)
{
    double sum = 0;
    int64_t n = 0;
    if (task >= 0)
        return measure(s, task, w);
    for (int64_t f = 0; of_part && f < s->parts; f++)
        of_part[f] = 0;
    for (int64_t t = 0; t < s->x->m->net.tasks; t++) {
        if (s->mask[t] != mask || !(s->base[t] > 0))
            continue;
        sum += measure(s, t, w) / s->base[t];
        n++;
        for (int64_t f = 0; of_part && f < s->parts; f++)
            of_part[f] += s->total[f] > 0 ? s->sum[f] / s->total[f] / s->base[t] : 0;
    }
    return n ? sum / (double)n : 0;
}

/* From the best candidate alone by moving weight between pairs, in smaller and smaller steps: what is
   minimised is convex. */
static void descend(const solver *s, int64_t task, int mask, double *w)
{
    weights best = {0};
    double least = INFINITY;
    for (int k = 0; k < MTL__KINDS; k++) {
        weights one = {0};
        if (!(mask >> k & 1))
            continue;
        one[k] = 1;
        const double loss = objective(s, task, mask, one, NULL);
        if (!(least <= loss)) {
            least = loss;
            memcpy(best, one, sizeof best);
        }
    }
    double step = 0.5;
    for (int i = 0; i < HALVINGS; i++, step /= 2)
        for (bool moved = true; moved;) {
            moved = false;
            for (int pair = 0; pair < MTL__KINDS * MTL__KINDS; pair++) {
                const int from = pair / MTL__KINDS, to = pair % MTL__KINDS;
                if (from == to || !(mask >> to & 1) || best[from] < step)
                    continue;
                weights next;
                memcpy(next, best, sizeof next);
                next[from] -= step;
                next[to] += step;
                const double loss = objective(s, task, mask, next, NULL);
                if (loss < least) {
                    least = loss;
                    moved = true;
                    memcpy(best, next, sizeof best);
                }
            }
        }
    memcpy(w, best, sizeof best);
}

/* --- towards the simplest ------------------------------------------------------------------------ */

static int simplest(int mask)
{
    int k = 0;
    while (!(mask >> k & 1))
        k++;
    return k;
}

static void between(const double *w, int from, double share, double *to)
{
    for (int k = 0; k < MTL__KINDS; k++)
        to[k] = share * w[k] + (k == from ? 1 - share : 0);
}

/* The standard error of the mean of differences between parts, whose training rows overlap (Nadeau &
   Bengio 2003): 1 / parts + judged rows / training rows of the variance. */
static double error_of(const double *a, const double *b, int64_t parts, int64_t all)
{
    double mean = 0, squares = 0;
    for (int64_t f = 0; f < parts; f++)
        mean += (a[f] - b[f]) / (double)parts;
    for (int64_t f = 0; f < parts; f++)
        squares += (a[f] - b[f] - mean) * (a[f] - b[f] - mean);
    if (parts < 2)
        return 0;
    return sqrt(squares / (double)(parts - 1) * (1 / (double)parts + 1 / (double)(all - 1)));
}

/* How far it is to go from the simplest candidate to w: the least share whose loss is within a standard
   error of the best's. */
static double share_of(const solver *s, int mask, const double *w)
{
    double loss[STOPS];
    int best = STOPS - 1;
    int64_t parts = 0, n = 0;
    for (int i = 0; i < STOPS; i++) {
        weights at;
        between(w, simplest(mask), (double)i / (STOPS - 1), at);
        loss[i] = objective(s, -1, mask, at, s->of_part + i * s->parts);
        best = loss[i] < loss[best] ? i : best;
    }
    for (int64_t t = 0; t < s->x->m->net.tasks; t++)
        n += s->mask[t] == mask && s->base[t] > 0;
    for (int64_t f = 0; f < s->parts && n; f++) { /* those that were left out */
        if (s->of_part[f] == 0)
            continue;
        for (int i = 0; i < STOPS; i++)
            s->of_part[i * s->parts + parts] = s->of_part[i * s->parts + f] / (double)n;
        parts++;
    }
    for (int i = 0; i < best; i++)
        if (loss[i] - loss[best] <= error_of(s->of_part + i * s->parts,
                                             s->of_part + best * s->parts, parts, s->parts))
            return (double)i / (STOPS - 1);
    return (double)best / (STOPS - 1);
}

/* --- all tasks ----------------------------------------------------------------------------------- */

static int64_t count_labels(const mtl__folds *f, int64_t task)
{
    return mtl__folds_labels(f, -1, task);
}

static int mask_of(const solver *s, int64_t task)
{
    const mtl__mixture *x = s->x;
    const int64_t column = x->m->net.task[task].column;
    int mask = 0;
    for (int k = 0; k < MTL__KINDS; k++)
        for (int64_t r = 0; x->held[k] && r < x->folds->data->rows; r++)
            if (!isnan(x->held[k][r * x->m->net.outputs + column])) {
                mask |= 1 << k;
                break;
            }
    return x->folds->label[task] < 0 ? 0 : mask;
}

/* Deviations of labels, 1 where there is none. */
static void find_units(const solver *s)
{
    const mtl_model *m = s->x->m;
    for (int64_t j = 0; j < m->net.outputs; j++)
        s->unit[j] = 1;
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const int64_t cols = mtl__model_label_cols(m, t), label = s->x->folds->label[t];
        for (int64_t j = 0; j < m->spec->task[t].outputs && label >= 0; j++) {
            double sum = 0, squares = 0, n = 0;
            for (int pass = 0; pass < 2; pass++)
                for (int64_t r = 0; r < s->x->folds->data->rows; r++) {
                    const mtl__array *a = &s->x->folds->data->labels[label].y;
                    const double y = (double)mtl__array_row(a, r)[j % cols];
                    if (isnan(y))
                        continue;
                    sum += pass ? 0 : y;
                    n += pass ? 0 : 1;
                    squares += pass ? (y - sum / n) * (y - sum / n) : 0;
                }
            if (squares > 0 && mtl__kind_is_scaled(m->spec->task[t].kind))
                s->unit[m->net.task[t].column + j] = sqrt(squares / n);
        }
    }
}

static void set_weights(const solver *s, int64_t task, const weights pooled, const weights own)
{
    const double n = (double)count_labels(s->x->folds, task), share = n / (n + PRIOR_LABELS);
    double sum = 0;
    weights w;
    for (int k = 0; k < MTL__KINDS; k++) {
        w[k] = share * own[k] + (1 - share) * pooled[k];
        w[k] = w[k] < LEAST_WEIGHT ? 0 : w[k];
        sum += w[k];
    }
    for (int k = 0; k < MTL__KINDS; k++)
        s->x->weight[k * s->x->m->net.tasks + task] = w[k] /= sum;
    s->x->loss[MTL__KINDS * s->x->m->net.tasks + task] = measure(s, task, w);
}

/* The tasks that have the candidates of a mask. */
static void solve_mask(const solver *s, int mask)
{
    weights pooled, own;
    const int first = simplest(mask);
    descend(s, -1, mask, pooled);
    const double share = share_of(s, mask, pooled);
    between(pooled, first, share, pooled);
    for (int64_t t = 0; t < s->x->m->net.tasks; t++) {
        if (s->mask[t] != mask)
            continue;
        memcpy(own, pooled, sizeof own);
        if (s->base[t] > 0 && share > 0) {
            descend(s, t, mask, own);
            between(own, first, share, own);
        }
        set_weights(s, t, pooled, own);
    }
}

static void start(const solver *s)
{
    const int64_t tasks = s->x->m->net.tasks;
    find_units(s);
    for (int64_t i = 0; i < MTL__KINDS * tasks; i++)
        s->x->weight[i] = 0;
    for (int64_t t = 0; t < tasks; t++) {
        weights equal = {0};
        const int mask = s->mask[t] = mask_of(s, t);
        int kinds = 0;
        for (int k = 0; k < MTL__KINDS; k++)
            kinds += mask >> k & 1;
        for (int k = 0; k <= MTL__KINDS; k++)
            s->x->loss[k * tasks + t] = NAN;
        for (int k = 0; k < MTL__KINDS; k++) {
            weights one = {0};
            if (!(mask >> k & 1))
                continue;
            one[k] = 1;
            s->x->loss[k * tasks + t] = measure(s, t, one);
            equal[k] = 1 / (double)kinds;
        }
        s->base[t] = mask ? measure(s, t, equal) : NAN;
    }
}

static void take(solver *s, mtl__arena *a)
{
    const mtl_model *m = s->x->m;
    s->unit = mtl__arena_take(a, m->net.outputs, sizeof *s->unit);
    s->p = mtl__arena_take(a, m->net.outputs, sizeof *s->p);
    s->base = mtl__arena_take(a, m->net.tasks, sizeof *s->base);
    s->mask = mtl__arena_take(a, m->net.tasks, sizeof *s->mask);
    s->sum = mtl__arena_take(a, s->parts, sizeof *s->sum);
    s->total = mtl__arena_take(a, s->parts, sizeof *s->total);
    s->of_part = mtl__arena_take(a, STOPS * s->parts, sizeof *s->of_part);
}

mtl_status mtl__mixture_solve(mtl__mixture *x, mtl_error *err)
{
    const mtl__allocator *al = &x->m->ctx->al;
    solver s = {.x = x, .parts = x->folds->count};
    mtl__arena arena = {0};
    take(&s, &arena);
    if (!mtl__arena_reserve(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for mixing %lld tasks",
                        (long long)x->m->net.tasks);
    take(&s, &arena);
    start(&s);
    for (int mask = 1; mask < 1 << MTL__KINDS; mask++) {
        bool any = false;
        for (int64_t t = 0; t < x->m->net.tasks; t++)
            any = any || s.mask[t] == mask;
        if (any)
            solve_mask(&s, mask);
    }
    mtl__arena_release(&arena, al);
    return MTL_OK;
}
