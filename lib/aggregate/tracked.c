/* SPDX-License-Identifier: MIT */
/* Kinds that no Gramian can serve: they look at single values of the rows. */
#include "aggregate/aggregate_priv.h"

#include "rng/rng.h"

static const float *row_of(const mtl__agg *p, int64_t i)
{
    return p->rows + p->live[i] * p->row_stride;
}

/* The tracked row of task i: state [m, n]. */
static double *track_of(const mtl__agg *p, int64_t i)
{
    return p->a->state + p->live[i] * p->a->n;
}

/* GradDrop (Chen et al. 2020, algorithm 1): of each value the parts of one sign, drawn by their
   share. Weights: the share of a row's square that stayed. */
void mtl__agg_graddrop(mtl__agg *p)
{
    const double leak = mtl__agg_param(p, 0);
    double *kept = p->work, *whole = p->work + p->k;
    mtl__rng rng = mtl__rng_make(p->a->seed, MTL__RNG_AGGREGATE, (uint32_t)p->a->step);
    for (int64_t i = 0; i < p->k; i++)
        kept[i] = whole[i] = 0;
    for (int64_t j = 0; j < p->a->n; j++) {
        double sum = 0, size = 0, out = 0;
        for (int64_t i = 0; i < p->k; i++) {
            sum += (double)row_of(p, i)[j];
            size += fabs((double)row_of(p, i)[j]);
        }
        const double positive = size > 0 ? 0.5 * (1 + sum / size) : 0.5;
        const bool is_up = positive > mtl__rng_f64(&rng);
        for (int64_t i = 0; i < p->k; i++) {
            const double g = (double)row_of(p, i)[j], part = (g > 0) == is_up ? g : leak * g;
            out += part;
            kept[i] += part * part;
            whole[i] += g * g;
        }
        if (p->update)
            p->update[j] = (float)out;
    }
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = whole[i] > 0 ? kept[i] / whole[i] : 0;
}

static void sum_tracks(const mtl__agg *p)
{
    for (int64_t j = 0; p->update && j < p->a->n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < p->k; i++)
            sum += p->w[i] * track_of(p, i)[j];
        p->update[j] = (float)sum;
    }
}

/* DB-MTL (Lin et al. 2023, section 3): gradients of log losses, averaged over steps, all brought to
   the length of the longest. Weights: of the averaged rows. State: these, and each task's steps. */
void mtl__agg_db(mtl__agg *p)
{
    const double beta = mtl__agg_param(p, 0), sigma = mtl__agg_param(p, 1);
    double *steps = p->a->state + p->a->m * p->a->n, longest = 0;
    for (int64_t i = 0; i < p->k; i++) {
        const double loss = mtl__max_f64(p->loss[i], 1e-8), count = steps[p->live[i]] += 1;
        const double stays = beta * mtl__exp_f64(-sigma * mtl__log_f64(count));
        double *track = track_of(p, i), square = 0;
        for (int64_t j = 0; j < p->a->n; j++) {
            const double g = (double)row_of(p, i)[j] / loss;
            track[j] = g + stays * (track[j] - g);
            square += track[j] * track[j];
        }
        p->w[i] = sqrt(square);
        longest = mtl__max_f64(longest, p->w[i]);
    }
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = p->w[i] > 0 ? longest / p->w[i] : 0;
    sum_tracks(p);
}

/* ExcessMTL (He et al. 2024, algorithm 1): tasks whose excess risk g' H^-1 g is large beside its
   first value gain weight. State: sums of squares [m, n], first values and logarithms of weights
   [m] each. */
void mtl__agg_excess(mtl__agg *p)
{
    const int64_t m = p->a->m, n = p->a->n;
    double *first = p->a->state + m * n, *weight = first + m;
    for (int64_t i = 0; i < p->k; i++) {
        double *track = track_of(p, i), risk = 0;
        const int64_t task = p->live[i];
        for (int64_t j = 0; j < n; j++) {
            const double g = (double)row_of(p, i)[j];
            track[j] += g * g;
            risk += track[j] > 0 ? g * g / sqrt(track[j]) : 0;
        }
        if (first[task] > 0)
            weight[task] += mtl__agg_param(p, 0) * (risk / first[task]);
        else
            first[task] = risk;
        p->w[i] = weight[task];
    }
    mtl__agg_softmax(p->k, p->w);
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] *= (double)p->k;
    for (int64_t j = 0; p->update && j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < p->k; i++)
            sum += p->w[i] * (double)row_of(p, i)[j];
        p->update[j] = (float)sum;
    }
}
