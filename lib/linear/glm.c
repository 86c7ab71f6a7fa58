/* SPDX-License-Identifier: MIT */
/* Newton's method on generalised linear models with canonical links: the slope of a row is its mean
   less its label, the curvature its variance. Each step is solved by conjugate gradients (truncated
   Newton: Dembo & Steihaug 1983) with the curvature's diagonal as preconditioner: on principal axes
   that is nearly the whole of it. */
#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "linear/linear_priv.h"
#include "solve/solve.h"

#define ABSENT_BIAS     (-60.0) /* of a class without rows, while the others are fitted */
#define LEAST_CURVATURE 1e-12
#define NEWTON_STEPS    100
#define CG_STEPS        500
#define HALVINGS        40

void mtl__glm_take(mtl__glm *g, mtl__arena *a)
{
    const int64_t n = g->d->s->rows, cols = g->d->s->cols, slots = mtl__pool_slots(g->d->pool);
    const int64_t k = g->d->wants_basis ? mtl__min(n, cols) : cols;
    double **const vectors[] = {&g->grad,    &g->step,   &g->direction, &g->rest,
                                &g->precond, &g->curved, &g->diagonal};
    double **const rows[] = {&g->u, &g->along, &g->mean};
    for (int i = 0; i < MTL__COUNT_OF(vectors); i++)
        *vectors[i] = mtl__arena_take(a, g->c * (k + 1), sizeof(double));
    for (int i = 0; i < MTL__COUNT_OF(rows); i++)
        *rows[i] = mtl__arena_take(a, n * g->c, sizeof(double));
    g->part = mtl__arena_take(a, MTL__LINEAR_PARTS * g->c * (k + 1), sizeof(double));
    g->scratch = mtl__arena_take(a, slots * (cols + 2 * g->c), sizeof(double));
    g->is_absent = mtl__arena_take(a, g->c, sizeof(bool));
}

/* ---- Families ---- */

static double log_sum_exp(int64_t c, const double *u)
{
    double most = u[0], sum = 0;
    for (int64_t j = 1; j < c; j++)
        most = u[j] > most ? u[j] : most;
    for (int64_t j = 0; j < c; j++)
        sum += mtl__exp_f64(u[j] - most);
    return most + mtl__log_f64(sum);
}

double mtl__glm_loss(const mtl__glm *g, int64_t row, const double *u)
{
    const double y = g->y[row];
    switch (g->family) {
    case MTL__LINEAR_LOGISTIC:
        return mtl__log_f64(1 + mtl__exp_f64(-fabs(u[0]))) + (u[0] > 0 ? u[0] : 0) - y * u[0];
    case MTL__LINEAR_SOFTMAX:
        return log_sum_exp(g->c, u) - u[(int64_t)y];
    case MTL__LINEAR_POISSON:
        return mtl__exp_f64(u[0]) - y * u[0];
    default:
        return (u[0] - y) * (u[0] - y) / 2;
    }
}

static void mean_of(const mtl__glm *g, const double *u, double *mean)
{
    if (g->family == MTL__LINEAR_SOFTMAX) {
        const double all = log_sum_exp(g->c, u);
        for (int64_t j = 0; j < g->c; j++)
            mean[j] = mtl__exp_f64(u[j] - all);
        return;
    }
    const double e = g->family == MTL__LINEAR_LOGISTIC ? mtl__exp_f64(-fabs(u[0])) : 0;
    mean[0] = g->family == MTL__LINEAR_LOGISTIC  ? (u[0] > 0 ? 1 : e) / (1 + e)
              : g->family == MTL__LINEAR_POISSON ? mtl__exp_f64(u[0])
                                                 : u[0];
}

/* Variance of an output alone: the curvature's diagonal. */
static double variance_of(const mtl__glm *g, double mean)
{
    return g->family == MTL__LINEAR_SQUARE    ? 1
           : g->family == MTL__LINEAR_POISSON ? mean
                                              : mean * (1 - mean);
}

/* The curvature at these means times v, in place. */
static void curve(const mtl__glm *g, const double *mean, double *v)
{
    double common = 0;
    for (int64_t j = 0; j < g->c && g->family == MTL__LINEAR_SOFTMAX; j++)
        common += mean[j] * v[j];
    for (int64_t j = 0; j < g->c; j++)
        v[j] = g->family == MTL__LINEAR_SOFTMAX ? mean[j] * (v[j] - common)
                                                : variance_of(g, mean[j]) * v[j];
}

/* ---- Passes over the rows ---- */

typedef enum pass_kind { OUTPUTS, SLOPE, CURVATURE } pass_kind;

typedef struct pass {
    const mtl__glm *g;
    pass_kind kind;
    const double *v; /* [c, k + 1]; not of SLOPE */
    double *out;     /* [rows, c] of OUTPUTS */
    int64_t block;   /* rows of a part */
} pass;

static void outputs_of(const mtl__glm *g, const double *f, const double *v, double *out)
{
    const int64_t k = g->d->k;
    for (int64_t j = 0; j < g->c; j++)
        out[j] = mtl__dot_f64(k, f, v + j * (k + 1)) + v[j * (k + 1) + k];
}

static void add_row(const mtl__glm *g, double weight, const double *f, const double *r, double *sum)
{
    const int64_t k = g->d->k;
    for (int64_t j = 0; j < g->c; j++) {
        mtl__axpy_f64(k, weight * r[j], f, sum + j * (k + 1));
        sum[j * (k + 1) + k] += weight * r[j];
    }
}

static void pass_row(const pass *p, int64_t i, double *scratch, double *sum)
{
    const mtl__glm *g = p->g;
    const double *f = mtl__design_row(g->d, i, scratch), *mean = g->mean + i * g->c;
    double *r = scratch + g->d->s->cols;
    if (p->kind == OUTPUTS) {
        outputs_of(g, f, p->v, p->out + i * g->c);
        return;
    }
    if (p->kind == CURVATURE) {
        outputs_of(g, f, p->v, r);
        curve(g, mean, r);
    } else {
        for (int64_t j = 0; j < g->c; j++)
            r[j] = mean[j] - (g->family == MTL__LINEAR_SOFTMAX ? g->y[i] == (double)j : g->y[i]);
    }
    add_row(g, g->train[i], f, r, sum);
}

static void pass_job(void *arg, int64_t job, int slot)
{
    const pass *p = arg;
    const mtl__glm *g = p->g;
    const int64_t n = g->d->s->rows, size = g->c * (g->d->k + 1);
    double *scratch = g->scratch + slot * (g->d->s->cols + 2 * g->c), *sum = g->part + job * size;
    if (p->kind != OUTPUTS)
        memset(sum, 0, (size_t)size * sizeof *sum);
    for (int64_t i = job * p->block; i < mtl__min(n, (job + 1) * p->block); i++)
        if (p->kind == OUTPUTS || g->train[i] > 0)
            pass_row(p, i, scratch, sum);
}

/* sum: [c, k + 1], by parts of the rows that do not depend on the threads. */
static void run_pass(const mtl__glm *g, pass_kind kind, const double *v, double *out)
{
    const int64_t n = g->d->s->rows, size = g->c * (g->d->k + 1);
    pass p = {g, kind, v, out, mtl__max((n + MTL__LINEAR_PARTS - 1) / MTL__LINEAR_PARTS, 64)};
    const int64_t jobs = (n + p.block - 1) / p.block;
    mtl__pool_run(mtl__pool_pays(g->d->pool, 4 * n * size) ? g->d->pool : NULL, jobs, pass_job, &p);
    if (kind == OUTPUTS)
        return;
    memcpy(out, g->part, (size_t)size * sizeof *out);
    for (int64_t job = 1; job < jobs; job++)
        mtl__axpy_f64(size, 1, g->part + job * size, out);
}

/* out += lambda v; intercepts are free. */
static void add_penalty(const mtl__glm *g, const double *v, double *out)
{
    const int64_t k = g->d->k;
    for (int64_t j = 0; j < g->c; j++)
        mtl__axpy_f64(k, g->lambda, v + j * (k + 1), out + j * (k + 1));
}

/* Sum over the weights, not the intercepts. */
static double weights_dot(const mtl__glm *g, const double *a, const double *b)
{
    const int64_t k = g->d->k;
    double sum = 0;
    for (int64_t j = 0; j < g->c; j++)
        sum += mtl__dot_f64(k, a + j * (k + 1), b + j * (k + 1));
    return sum;
}

/* ---- Newton ---- */

/* The loss at u + t along. */
static double loss_at(mtl__glm *g, double t)
{
    double sum = 0;
    for (int64_t i = 0; i < g->d->s->rows; i++) {
        if (g->train[i] == 0)
            continue;
        double *u = g->mean + i * g->c; /* scratch here */
        for (int64_t j = 0; j < g->c; j++)
            u[j] = g->u[i * g->c + j] + (t == 0 ? 0 : t * g->along[i * g->c + j]);
        sum += g->train[i] * mtl__glm_loss(g, i, u);
    }
    return sum;
}

/* Means, gradient and the curvature's diagonal at theta, whose outputs are in u. */
static void differentiate(mtl__glm *g)
{
    const int64_t n = g->d->s->rows, k = g->d->k;
    for (int64_t i = 0; i < n; i++)
        mean_of(g, g->u + i * g->c, g->mean + i * g->c);
    run_pass(g, SLOPE, NULL, g->grad);
    add_penalty(g, g->theta, g->grad);
    for (int64_t j = 0; j < g->c; j++) {
        double *diagonal = g->diagonal + j * (k + 1), variance = 0;
        for (int64_t i = 0; i < n; i++)
            variance += g->train[i] * (g->train[i] > 0 ? variance_of(g, g->mean[i * g->c + j]) : 0);
        variance = variance > LEAST_CURVATURE ? variance : LEAST_CURVATURE;
        for (int64_t i = 0; i < k; i++)
            diagonal[i] = variance * (g->d->spread ? g->d->spread[i] : 1) + g->lambda;
        diagonal[k] = variance;
    }
}

/* a = b / diagonal; the sum of a b. */
static double precondition(const mtl__glm *g, const double *b, double *a)
{
    const int64_t size = g->c * (g->d->k + 1);
    for (int64_t i = 0; i < size; i++)
        a[i] = b[i] / g->diagonal[i];
    return mtl__dot_f64(size, a, b);
}

/* step ~ -H^-1 grad, until the rest is `part` of the gradient. */
static void solve_step(mtl__glm *g, double decrement, double part)
{
    const int64_t size = g->c * (g->d->k + 1);
    double rest = decrement, *direction = g->direction;
    memset(g->step, 0, (size_t)size * sizeof(double));
    for (int64_t i = 0; i < size; i++)
        g->rest[i] = -g->grad[i];
    precondition(g, g->rest, direction);
    for (int step = 0; step < CG_STEPS && rest > part * part * decrement; step++) {
        run_pass(g, CURVATURE, direction, g->curved);
        add_penalty(g, direction, g->curved);
        const double curvature = mtl__dot_f64(size, direction, g->curved);
        if (!(curvature > 0))
            return;
        const double t = rest / curvature, before = rest;
        mtl__axpy_f64(size, t, direction, g->step);
        mtl__axpy_f64(size, -t, g->curved, g->rest);
        rest = precondition(g, g->rest, g->precond);
        for (int64_t i = 0; i < size; i++)
            direction[i] = g->precond[i] + rest / before * direction[i];
    }
}

/* Move along the step as far as the loss falls enough (Armijo); false where it does not fall. */
static bool search_line(mtl__glm *g)
{
    const int64_t size = g->c * (g->d->k + 1), outputs = g->d->s->rows * g->c;
    run_pass(g, OUTPUTS, g->step, g->along);
    const double slope = mtl__dot_f64(size, g->grad, g->step), here = loss_at(g, 0);
    const double linear = g->lambda * weights_dot(g, g->theta, g->step);
    const double square = g->lambda / 2 * weights_dot(g, g->step, g->step);
    double t = 1;
    for (int i = 0; i < HALVINGS; i++, t /= 2) {
        const double rise = loss_at(g, t) - here + t * linear + t * t * square;
        if (rise <= 1e-4 * t * slope + 1e-14 * (1 + fabs(here))) {
            mtl__axpy_f64(size, t, g->step, g->theta);
            mtl__axpy_f64(outputs, t, g->along, g->u);
            return slope < 0;
        }
    }
    return false;
}

/* ---- Start and end ---- */

typedef struct labels {
    int64_t rows;
    double mean, variance; /* variance: of the model without inputs, in units of the loss */
    bool is_constant;      /* all 0, or all 1 of a logistic model */
} labels;

static labels look_at_labels(mtl__glm *g)
{
    labels l = {0};
    double square = 0, least = (double)INFINITY, most = -(double)INFINITY;
    double *mass = g->step; /* of the classes */
    const bool is_softmax = g->family == MTL__LINEAR_SOFTMAX;
    memset(mass, 0, (size_t)g->c * sizeof *mass);
    for (int64_t i = 0; i < g->d->s->rows; i++) {
        const double y = g->y[i], w = g->train[i];
        if (w == 0)
            continue;
        l.rows++;
        l.mean += w * y;
        least = y < least ? y : least;
        most = y > most ? y : most;
        mass[is_softmax ? (int64_t)y : 0] += w;
    }
    for (int64_t i = 0; i < g->d->s->rows; i++)
        square += g->train[i] * (g->y[i] - l.mean) * (g->y[i] - l.mean);
    for (int64_t j = 0; j < g->c; j++) {
        g->is_absent[j] = mass[j] == 0;
        l.variance += mass[j] * (1 - mass[j]);
    }
    l.is_constant = (g->family == MTL__LINEAR_LOGISTIC && (least == 1 || most == 0)) ||
                    (g->family == MTL__LINEAR_POISSON && most == 0);
    if (!is_softmax)
        l.variance = g->family == MTL__LINEAR_POISSON ? l.mean : square;
    return l;
}

/* The model without inputs. */
static void start_cold(mtl__glm *g, const labels *l)
{
    const int64_t k = g->d->k;
    const double *mass = g->step;
    memset(g->theta, 0, (size_t)(g->c * (k + 1)) * sizeof(double));
    for (int64_t j = 0; j < g->c; j++)
        g->theta[j * (k + 1) + k] = g->family == MTL__LINEAR_SOFTMAX ? mtl__log_f64(mass[j])
                                    : g->family == MTL__LINEAR_LOGISTIC
                                        ? mtl__log_f64(l->mean / (1 - l->mean))
                                    : g->family == MTL__LINEAR_POISSON ? mtl__log_f64(l->mean)
                                                                       : l->mean;
}

/* What is fitted to labels without any variety, as if half a row spoke against them. */
static void fit_constant(mtl__glm *g, const labels *l)
{
    const double bias = mtl__log_f64(2 * (double)l->rows);
    memset(g->theta, 0, (size_t)(g->d->k + 1) * sizeof(double));
    g->theta[g->d->k] = l->mean > 0 ? bias : -bias;
}

static void set_absent(mtl__glm *g, double bias)
{
    const int64_t k = g->d->k;
    for (int64_t j = 0; j < g->c && g->family == MTL__LINEAR_SOFTMAX; j++) {
        double *theta = g->theta + j * (k + 1);
        if (!g->is_absent[j])
            continue;
        memset(theta, 0, (size_t)k * sizeof *theta);
        theta[k] = bias;
    }
}

/* Classes without rows get half a row together with the intercepts' level; sum of intercepts 0. */
static void finish_classes(mtl__glm *g, const labels *l)
{
    const int64_t k = g->d->k;
    double *bias = g->step, mean = 0;
    for (int64_t j = 0; j < g->c; j++)
        bias[j] = g->theta[j * (k + 1) + k];
    set_absent(g, log_sum_exp(g->c, bias) - mtl__log_f64(2 * (double)l->rows));
    for (int64_t j = 0; j < g->c; j++)
        mean += g->theta[j * (k + 1) + k] / (double)g->c;
    for (int64_t j = 0; j < g->c; j++)
        g->theta[j * (k + 1) + k] -= mean;
}

static void newton(mtl__glm *g, const labels *l, double tolerance)
{
    const double least = tolerance * tolerance * l->variance;
    run_pass(g, OUTPUTS, g->theta, g->u);
    for (int step = 0; step < NEWTON_STEPS; step++) {
        differentiate(g);
        const double decrement = precondition(g, g->grad, g->precond);
        if (!(decrement > least))
            return;
        /* A quadratic needs one step; else each is solved as far as the next will look. */
        const double to_end = sqrt(least / decrement) / 2;
        const double part = sqrt(decrement / l->variance);
        solve_step(g, decrement,
                   g->family == MTL__LINEAR_SQUARE || part < to_end ? to_end
                   : part > 0.1                                     ? 0.1
                                                                    : part);
        if (!search_line(g))
            return;
    }
}

void mtl__glm_fit(mtl__glm *g, bool cold, double tolerance)
{
    const labels l = look_at_labels(g);
    if (l.is_constant) {
        fit_constant(g, &l);
    } else {
        if (cold)
            start_cold(g, &l);
        set_absent(g, ABSENT_BIAS);
        newton(g, &l, tolerance);
        if (g->family == MTL__LINEAR_SOFTMAX)
            finish_classes(g, &l);
    }
    run_pass(g, OUTPUTS, g->theta, g->u);
}
