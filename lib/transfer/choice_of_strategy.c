/* SPDX-License-Identifier: MIT */
#include "transfer/choice_of_strategy.h"

#include <math.h>

/* Deviation that is expected between simulations and the task itself, whatever they agree on among
   themselves: a share of the labels' variance. */
static const double SIMULATED_APART = 0.05;

typedef struct estimate {
    double mean, variance; /* infinite = nothing is known */
} estimate;

static estimate nothing(void)
{
    return (estimate){0, INFINITY};
}

/* Of own errors of a (less those of b, unless b < 0). Repeats see the same rows, so they add nothing to
   how sure it is. */
static estimate of_rows(const mtl__evidence *e, int64_t a, int64_t b)
{
    const float *x = e->own + a * e->rows, *y = b < 0 ? NULL : e->own + b * e->rows;
    double sum = 0, square = 0;
    if (e->rows < 2)
        return nothing();
    for (int64_t i = 0; i < e->rows; i++)
        sum += (double)x[i] - (y ? (double)y[i] : 0);
    const double mean = sum / (double)e->rows;
    if (isnan(mean))
        return nothing();
    for (int64_t i = 0; i < e->rows; i++) {
        const double d = (double)x[i] - (y ? (double)y[i] : 0) - mean;
        square += d * d;
    }
    const double n = (double)e->rows / (double)e->repeats;
    return (estimate){mean, n > 1 ? square / (double)e->rows / (n - 1) : INFINITY};
}

/* A simulated task is a draw from the tasks that there are, and so is the new one: the spread between
   them is that of the prediction. */
static estimate of_simulations(const mtl__evidence *e, int64_t a, int64_t b)
{
    const int64_t variants = e->first[e->candidates];
    double sum = 0, square = 0, n = (double)e->simulations;
    if (e->simulations == 0)
        return nothing();
    for (int64_t i = 0; i < e->simulations; i++) {
        const double *m = e->simulated + i * variants;
        sum += m[a] - (b < 0 ? 0 : m[b]);
    }
    if (isnan(sum))
        return nothing();
    for (int64_t i = 0; i < e->simulations; i++) {
        const double *m = e->simulated + i * variants;
        const double d = m[a] - (b < 0 ? 0 : m[b]) - sum / n;
        square += d * d;
    }
    const double apart = SIMULATED_APART * SIMULATED_APART;
    return (estimate){sum / n, (square + apart) / n * (1 + 1 / n) + apart / n};
}

static estimate together(estimate a, estimate b)
{
    const double wa = 1 / a.variance, wb = 1 / b.variance, w = wa + wb;
    if (!(w > 0))
        return nothing();
    if (isinf(w)) /* a difference of exactly nothing */
        return isinf(wa) ? a : b;
    return (estimate){(wa * a.mean + wb * b.mean) / w, 1 / w};
}

void mtl__compare(const mtl__evidence *e, int64_t a, int64_t b, double *difference, double *error)
{
    const estimate both = together(of_rows(e, a, b), of_simulations(e, a, b));
    *difference = both.mean;
    *error = sqrt(both.variance);
}

/* The variant of a candidate that is farthest below the reference. */
static void judge(const mtl__evidence *e, int64_t candidate, mtl__verdict *v)
{
    double least = INFINITY;
    *v = (mtl__verdict){NAN, NAN, NAN, NAN, -1};
    for (int64_t i = e->first[candidate]; i < e->first[candidate + 1]; i++) {
        double difference, error;
        mtl__compare(e, i, e->reference, &difference, &error);
        if (isinf(error) || !(difference < least))
            continue;
        least = difference;
        v->variant = i - e->first[candidate];
    }
    if (v->variant < 0)
        return;
    const int64_t best = e->first[candidate] + v->variant;
    const estimate own = of_rows(e, best, -1), other = of_simulations(e, best, -1);
    v->mean = isinf(own.variance) ? NAN : own.mean;
    v->error = isinf(own.variance) ? NAN : sqrt(own.variance);
    v->simulated = isinf(other.variance) ? NAN : other.mean;
    v->score = -least;
}

int64_t mtl__choose(const mtl__evidence *e, mtl__verdict *verdict, int64_t *best)
{
    double difference, error;
    *best = -1;
    for (int64_t i = 0; i < e->candidates; i++) {
        judge(e, i, &verdict[i]);
        if (verdict[i].variant >= 0 && (*best < 0 || verdict[i].score > verdict[*best].score))
            *best = i;
    }
    for (int64_t i = 0; i < *best; i++) {
        if (verdict[i].variant < 0)
            continue;
        mtl__compare(e, e->first[i] + verdict[i].variant,
                     e->first[*best] + verdict[*best].variant, &difference, &error);
        if (difference <= error)
            return i;
    }
    return *best;
}
