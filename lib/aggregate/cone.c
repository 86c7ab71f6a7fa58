/* SPDX-License-Identifier: MIT */
/* Kinds that are a quadratic program over weights >= 0. All are solved for rows of length 1, so
   that tasks of very different scales are as good as any: x[i] = w[i] * s[i]. */
#include "aggregate/aggregate_priv.h"

/* --- MGDA (Désidéri 2012, section 4; Sener & Koltun 2018, equation 3) ---------------------------
 */

enum { NORMALISE_NONE, NORMALISE_L2, NORMALISE_LOSS };

/* Length of row i in the units of which the convex hull is made. */
static double hull_length(const mtl__agg *p, int64_t i, int how)
{
    if (how == NORMALISE_L2)
        return 1;
    return how == NORMALISE_LOSS ? p->s[i] / mtl__max_f64(p->loss[i], 1e-20) : p->s[i];
}

/* The point of the hull of the rows that is nearest to 0. With r = 1 / length, min x'Cx over r'x =
   1 is, up to scale, min 1/2 x'(C + rr')x - r'x (Lawson & Hanson, chapter 23.4: least distance). x
   [k] sums to 1 in the hull's weights; returns the square of the distance; *least is the shortest
   length of a row. */
static double nearest_in_hull(mtl__agg *p, int how, double *x, double *gap)
{
    const int64_t k = p->k;
    mtl__qp *q = p->a->qp;
    double *a = p->work, *y = p->work + k * k, least = hull_length(p, 0, how);
    for (int64_t i = 1; i < k; i++)
        least = mtl__min_f64(least, hull_length(p, i, how));
    for (int64_t i = 0; i < k; i++)
        q->b[i] = least / hull_length(p, i, how);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++)
            a[i * k + j] = p->c[i * k + j] + q->b[i] * q->b[j];
    q->a = a;
    mtl__qp_solve(q);
    const double sum = mtl__dot_f64(k, q->b, q->x);
    for (int64_t i = 0; i < k; i++)
        x[i] = q->x[i] / sum;
    /* Now in units of the shortest row: (J d)_i = y_i / b_i, least by at least |d|^2. */
    mtl__agg_times(k, p->c, x, y);
    double square = mtl__dot_f64(k, x, y), lowest = square;
    for (int64_t i = 0; i < k; i++)
        lowest = mtl__min_f64(lowest, y[i] / q->b[i]);
    *gap = square - lowest;
    for (int64_t i = 0; i < k; i++)
        x[i] *= q->b[i];
    return mtl__max_f64(square, 0) * least * least;
}

void mtl__agg_mgda(mtl__agg *p)
{
    nearest_in_hull(p, (int)mtl__agg_param(p, 0), p->w, &p->residual);
    mtl__agg_to_simplex(p->k, p->w);
}

/* --- the dual cone {d: J d >= 0} ----------------------------------------------------------------
 */

/* d + J'u is the nearest to d in {x: Jx >= level} for u = x / s: min 1/2 x'Cx - b'x with
   b_i = (level - <g_i, d>) / s_i, given in q->b. */
static double project(mtl__agg *p)
{
    mtl__qp *q = p->a->qp;
    q->a = p->c;
    return mtl__qp_solve(q);
}

/* UPGrad (Quinton & Rey 2024, equation 6): the mean of the projections of the rows. */
void mtl__agg_upgrad(mtl__agg *p)
{
    const int64_t k = p->k;
    mtl__qp *q = p->a->qp;
    for (int64_t i = 0; i < k; i++) {
        const double share = p->pref[i] * p->s[i];
        for (int64_t j = 0; j < k; j++)
            q->b[j] = -p->c[i * k + j];
        p->residual = mtl__max_f64(p->residual, project(p));
        p->w[i] += p->pref[i];
        for (int64_t j = 0; j < k; j++)
            p->w[j] += share * (q->x[j] / p->s[j]);
    }
}

/* Projection of the mean (Lopez-Paz & Ranzato 2017, equation 11). */
void mtl__agg_dualproj(mtl__agg *p)
{
    const int64_t k = p->k;
    mtl__qp *q = p->a->qp;
    double *x = p->work, *y = p->work + k, most = 0;
    for (int64_t i = 0; i < k; i++)
        most = mtl__max_f64(most, x[i] = p->pref[i] * p->s[i]);
    for (int64_t i = 0; i < k; i++)
        x[i] /= most;
    mtl__agg_times(k, p->c, x, y);
    for (int64_t i = 0; i < k; i++)
        q->b[i] = -y[i];
    p->residual = project(p);
    for (int64_t i = 0; i < k; i++)
        p->w[i] = p->pref[i] + most * (q->x[i] / p->s[i]);
}

/* --- CAGrad (Liu et al. 2021, equation 2) -------------------------------------------------------
 */

/* max of min_i <g_i, d> over |d - g0| <= c |g0|. For a level mu the shortest step from g0 to where
   J d >= mu is a projection, and its length grows with mu: what is left is to find the level at
   which it is c |g0|. On one set of free variables the square of the length is quadratic in mu, so
   Newton's method on the pieces ends after finitely many. */
typedef struct cagrad {
    mtl__agg *p;
    double *slope;   /* [k]: <g_i, g0> / s_i */
    double *level;   /* [k]: 1 / s_i */
    double *u, *v;   /* [k] */
    double radius;   /* c |g0| */
    double residual; /* of the last projection */
} cagrad;

static double length_at(cagrad *t, double mu)
{
    mtl__qp *q = t->p->a->qp;
    for (int64_t i = 0; i < t->p->k; i++)
        q->b[i] = mu * t->level[i] - t->slope[i];
    t->residual = project(t->p);
    mtl__agg_times(t->p->k, t->p->c, q->x, t->u);
    return sqrt(mtl__max_f64(0, mtl__dot_f64(t->p->k, q->x, t->u)));
}

/* The level at which the present set gives the radius; NaN where none does. */
static double level_of_set(cagrad *t)
{
    const int64_t k = t->p->k;
    const mtl__qp *q = t->p->a->qp;
    mtl__qp_solve_free(q, t->level, t->u);
    mtl__qp_solve_free(q, t->slope, t->v);
    const double a = mtl__dot_f64(k, t->level, t->u), b = mtl__dot_f64(k, t->slope, t->u),
                 c = mtl__dot_f64(k, t->slope, t->v) - t->radius * t->radius;
    return (b + sqrt(mtl__max_f64(0, b * b - a * c))) / a;
}

static void find_level(cagrad *t, double low, double high)
{
    double mu = low > 0 ? low : 0;
    for (int turn = 0; turn < 200; turn++) {
        const double length = length_at(t, mu);
        if (fabs(length - t->radius) <= 1e-14 * t->radius || !(low < high))
            return;
        if (length < t->radius)
            low = mu;
        else
            high = mu;
        const double next = level_of_set(t);
        if (next == mu)
            return;
        const double middle = low + 0.5 * (high - low);
        if (middle == low || middle == high)
            return;
        mu = next > low && next < high ? next : middle;
    }
}

/* The bracket: no step is needed where mu is the least of <g_i, g0>; and by the hull's nearest
   point h to 0, <h, d> >= mu, the step is at least (mu - <h, g0>) / |h|. At a Pareto point (h = 0)
   no level above 0 can be had. */
static void bracket(cagrad *t, double *low, double *high)
{
    mtl__agg *p = t->p;
    double gap;
    *low = (double)INFINITY;
    for (int64_t i = 0; i < p->k; i++)
        *low = mtl__min_f64(*low, t->slope[i] * p->s[i]);
    *high = 0;
    if (length_at(t, 0) >= t->radius)
        return;
    const double square = nearest_in_hull(p, NORMALISE_NONE, t->v, &gap);
    *low = mtl__max_f64(*low, 0);
    *high = t->radius * sqrt(square);
    for (int64_t i = 0; i < p->k; i++)
        *high += t->v[i] * t->slope[i] * p->s[i];
    const double size = mtl__dot_f64(p->k, t->v, p->s);
    if (square <= 1e-13 * (double)p->k * size * size)
        *low = *high = 0;
}

void mtl__agg_cagrad(mtl__agg *p)
{
    const int64_t k = p->k;
    const double c = mtl__agg_param(p, 0);
    const int rescale = (int)mtl__agg_param(p, 1);
    double *at = p->work + k * k + k, low, high, square = 0;
    cagrad t = {.p = p, .slope = at, .level = at + k, .u = at + 2 * k, .v = at + 3 * k};
    const mtl__qp *q = p->a->qp;
    for (int64_t i = 0; i < k; i++) {
        t.level[i] = 1 / p->s[i];
        t.slope[i] = mtl__dot_f64(k, p->c + i * k, p->s) / (double)k;
        square += p->s[i] * t.slope[i] / (double)k;
    }
    t.radius = c * sqrt(mtl__max_f64(0, square));
    for (int64_t i = 0; i < k; i++)
        p->w[i] = 1 / (double)k;
    if (t.radius > 0) {
        bracket(&t, &low, &high);
        find_level(&t, low, high);
        mtl__agg_times(k, p->c, q->x, t.u);
        const double length = sqrt(mtl__max_f64(0, mtl__dot_f64(k, q->x, t.u)));
        p->residual =
            mtl__max_f64(t.residual, high > 0 || low < 0 ? fabs(length / t.radius - 1) : 0);
        for (int64_t i = 0; i < k; i++)
            p->w[i] += q->x[i] / p->s[i];
    }
    const double divisor = rescale == 1 ? 1 + c * c : rescale == 2 ? 1 + c : 1;
    for (int64_t i = 0; i < k; i++)
        p->w[i] /= divisor;
}
