/* SPDX-License-Identifier: MIT */
/* Kinds that divide the progress fairly: G w = w^(-1 / alpha), w > 0. */
#include "aggregate/aggregate_priv.h"

#include <string.h>

static double power(double x, double e)
{
    return mtl__exp_f64(e * mtl__log_f64(x));
}

/* C x = beta x^-e by Newton's method on the convex 1/2 x'Cx - sum of beta times the integral of
   x^-e. A Pareto point has no solution; a ridge near rounding keeps x below 1e7 then, and J'w near
   0. */
typedef struct bargain {
    int64_t k;
    const double *c;
    double e;
    double *beta, *x, *pull, *step, *trial; /* [k]; pull = beta x^-e */
    double *h;                              /* [k, k] */
    double ridge;
} bargain;

static double slope_at(const bargain *b, const double *x, int64_t i)
{
    return mtl__dot_f64(b->k, b->c + i * b->k, x) + b->ridge * x[i];
}

/* step = -H^-1 gradient; returns its length in the norm of H. */
static double newton_step(bargain *b)
{
    double decrement = 0;
    memcpy(b->h, b->c, (size_t)(b->k * b->k) * sizeof *b->h);
    for (int64_t i = 0; i < b->k; i++) {
        b->pull[i] = b->beta[i] * power(b->x[i], -b->e);
        b->h[i * b->k + i] += b->ridge + b->e * b->pull[i] / b->x[i];
        b->trial[i] = b->step[i] = b->pull[i] - slope_at(b, b->x, i);
    }
    mtl__cholesky(b->k, b->h, b->k, 0);
    mtl__cholesky_solve(b->k, b->h, b->k, b->step);
    for (int64_t i = 0; i < b->k; i++)
        decrement += b->step[i] * b->trial[i];
    return sqrt(mtl__max_f64(0, decrement));
}

/* Slope along the step at x + t step: below 0 = still downhill. */
static double slope_along(bargain *b, double t)
{
    double sum = 0;
    for (int64_t i = 0; i < b->k; i++)
        b->trial[i] = b->x[i] + t * b->step[i];
    for (int64_t i = 0; i < b->k; i++)
        sum += b->step[i] * (slope_at(b, b->trial, i) - b->beta[i] * power(b->trial[i], -b->e));
    return sum;
}

/* As far as the step goes without leaving x > 0 and without climbing more than half as steeply as
   it went down at the start. */
static double length_of_step(bargain *b, double decrement, bool is_near)
{
    double t = 1;
    for (int64_t i = 0; i < b->k; i++)
        if (b->step[i] < 0)
            t = mtl__min_f64(t, -0.9 * b->x[i] / b->step[i]);
    while (!is_near && t > 1e-12 && slope_along(b, t) > 0.5 * decrement * decrement)
        t *= 0.5;
    return t;
}

static double error_of(const bargain *b)
{
    double worst = 0;
    for (int64_t i = 0; i < b->k; i++) {
        double pull = b->beta[i] * power(b->x[i], -b->e);
        worst = mtl__max_f64(worst, fabs(mtl__dot_f64(b->k, b->c + i * b->k, b->x) / pull - 1));
    }
    return worst;
}

static void balance(bargain *b)
{
    for (int64_t i = 0; i < b->k; i++)
        b->x[i] = power(b->beta[i], 1 / (1 + b->e));
    b->ridge = (double)b->k * 0x1p-47;
    double before = (double)INFINITY;
    for (int turn = 0; turn < 300; turn++) {
        double size = 0, decrement = newton_step(b);
        for (int64_t i = 0; i < b->k; i++)
            size += b->pull[i] * b->x[i];
        size = sqrt(size);
        /* Quadratic at the end: one step behind this one is at rounding. */
        if (decrement <= 1e-15 * size || (decrement < 1e-5 * size && decrement >= 0.25 * before))
            return;
        before = decrement;
        double t = length_of_step(b, decrement, decrement < 1e-4 * size);
        for (int64_t i = 0; i < b->k; i++)
            b->x[i] += t * b->step[i];
    }
}

/* FairGrad (Ban & Ji 2024, equation 7). With x = w s: (Cx)_i = s_i^(1/alpha - 1) x_i^(-1/alpha). */
static void fair(mtl__agg *p, double alpha)
{
    const int64_t k = p->k;
    double *v = p->work + k * k;
    bargain b = {k, p->c, 1 / alpha, v, v + k, v + 2 * k, v + 3 * k, v + 4 * k, p->work, 0};
    for (int64_t i = 0; i < k; i++)
        b.beta[i] = alpha == 1 ? 1 : power(p->s[i], b.e - 1);
    balance(&b);
    p->residual = error_of(&b);
    for (int64_t i = 0; i < k; i++)
        p->w[i] = b.x[i] / p->s[i];
}

void mtl__agg_fairgrad(mtl__agg *p)
{
    fair(p, mtl__agg_param(p, 0));
}

/* Nash-MTL (Navon et al. 2022, claim 3.1): G w = 1 / w, with G over its Frobenius norm; the update
   is cut to a length. */
void mtl__agg_nash(mtl__agg *p)
{
    const int64_t k = p->k;
    const double limit = mtl__agg_param(p, 0);
    double *y = p->work, most = 0, square = 0;
    fair(p, 1);
    for (int64_t i = 0; i < k; i++)
        most = mtl__max_f64(most, p->s[i]);
    for (int64_t i = 0; i < k * k; i++)
        square += (p->g[i] / most / most) * (p->g[i] / most / most);
    for (int64_t i = 0; i < k; i++)
        p->w[i] *= most * sqrt(sqrt(square));
    mtl__agg_times(k, p->g, p->w, y);
    const double length = sqrt(mtl__max_f64(0, mtl__dot_f64(k, p->w, y)));
    for (int64_t i = 0; limit > 0 && length > limit && i < k; i++)
        p->w[i] *= limit / length;
}

/* GradNorm (Chen et al. 2018, equation 2): the weights for which the lengths of the weighted
   gradients stand in the ratio of the tasks' rates to the power alpha. They are where that
   objective is 0, so they are taken as such and not by a descent. State: the first losses, the
   weights. */
void mtl__agg_gradnorm(mtl__agg *p)
{
    const int64_t k = p->k, m = p->a->m;
    const double alpha = mtl__agg_param(p, 0), rate = mtl__agg_param(p, 1);
    double *first = p->a->state, *weight = first + m, *r = p->work, mean = 0, sum = 0;
    for (int64_t i = 0; i < k; i++) {
        double *l = &first[p->live[i]];
        *l = *l == 0 ? p->loss[i] : *l;
        r[i] = *l > 0 ? p->loss[i] / *l : 1;
        mean += r[i] / (double)k;
    }
    for (int64_t i = 0; i < k; i++) {
        r[i] = mean > 0 && r[i] > 0 ? power(r[i] / mean, alpha) : 0;
        sum += r[i] /= p->s[i];
    }
    double total = 0;
    for (int64_t i = 0; i < k; i++) {
        double *w = &weight[p->live[i]], target = sum > 0 ? r[i] * (double)k / sum : 1;
        *w = *w == 0 ? (1 - rate) + rate * target : *w + rate * (target - *w);
        total += p->w[i] = *w;
    }
    for (int64_t i = 0; i < k && total > 0; i++)
        p->w[i] *= (double)k / total;
}
