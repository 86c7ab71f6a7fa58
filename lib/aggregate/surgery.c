/* SPDX-License-Identifier: MIT */
/* Kinds that take from each row what points against others, one after the other. A row on its way
   is h = s_i (a_1 e_1 + ...) of unit rows e; t_j = <h, e_j> / s_i goes along. */
#include "aggregate/aggregate_priv.h"

#include <string.h>

#include "rng/rng.h"

enum { ORDER_SEED, ORDER_MEAN, ORDER_ASCENDING, ORDER_DESCENDING };

typedef struct row {
    int64_t k;
    double *a, *t; /* [k] */
} row;

static void start_row(const mtl__agg *p, row *h, int64_t i)
{
    memset(h->a, 0, (size_t)p->k * sizeof *h->a);
    h->a[i] = 1;
    memcpy(h->t, p->c + i * p->k, (size_t)p->k * sizeof *h->t);
}

static void add_to_row(const mtl__agg *p, row *h, int64_t j, double amount)
{
    h->a[j] += amount;
    for (int64_t r = 0; r < p->k; r++)
        h->t[r] += amount * p->c[j * p->k + r];
}

static void take_row(mtl__agg *p, const row *h, int64_t i, double share)
{
    for (int64_t j = 0; j < p->k; j++)
        p->w[j] += share * p->s[i] * h->a[j] / p->s[j];
}

/* The others in the order in which row i meets them; order [k - 1]. */
static void make_order(const mtl__agg *p, int64_t i, int how, mtl__rng *rng, int64_t *order)
{
    int64_t n = 0;
    for (int64_t j = 0; j < p->k; j++) {
        const int64_t other = how == ORDER_DESCENDING ? p->k - 1 - j : j;
        if (other != i)
            order[n++] = other;
    }
    if (how == ORDER_SEED)
        mtl__rng_shuffle(rng, order, n);
}

static void project(const mtl__agg *p, row *h, int64_t j)
{
    if (h->t[j] < 0)
        add_to_row(p, h, j, -h->t[j] / p->c[j * p->k + j]);
}

/* The mean over all orders of what is left to meet. at: room for the rows on the way. */
static void all_orders(mtl__agg *p, const row *h, int64_t i, uint32_t left, double share,
                       double *at)
{
    const int64_t k = p->k;
    row next = {k, at, at + k};
    int count = 0;
    for (int64_t j = 0; j < k; j++)
        count += (int)(left >> j & 1);
    if (count == 0)
        take_row(p, h, i, share);
    for (int64_t j = 0; j < k; j++) {
        if (!(left >> j & 1))
            continue;
        memcpy(next.a, h->a, (size_t)(2 * k) * sizeof *at);
        project(p, &next, j);
        all_orders(p, &next, i, left & ~(1u << j), share / count, at + 2 * k);
    }
}

/* PCGrad (Yu et al. 2020, algorithm 1); the sum. */
void mtl__agg_pcgrad(mtl__agg *p)
{
    const int how = (int)mtl__agg_param(p, 0);
    mtl__rng rng = mtl__rng_make(p->a->seed, MTL__RNG_AGGREGATE, (uint32_t)p->a->step);
    row h = {p->k, p->work, p->work + p->k};
    int64_t *order = (int64_t *)(void *)(p->work + 2 * p->k);
    for (int64_t i = 0; i < p->k; i++) {
        start_row(p, &h, i);
        if (how == ORDER_MEAN) {
            all_orders(p, &h, i, ((1u << p->k) - 1) & ~(1u << i), 1, p->work + 2 * p->k);
            continue;
        }
        make_order(p, i, how, &rng, order);
        for (int64_t j = 0; j < p->k - 1; j++)
            project(p, &h, order[j]);
        take_row(p, &h, i, 1);
    }
}

/* Bring the cosine of h and row j up to what it usually is (equation 3); for a row to be had, that
   is kept from 1. */
static void vaccinate(const mtl__agg *p, row *h, int64_t j, double beta, double *usual)
{
    const double length = sqrt(mtl__max_f64(0, mtl__dot_f64(p->k, h->a, h->t)));
    const double cosine = length > 0 ? mtl__min_f64(1, mtl__max_f64(-1, h->t[j] / length)) : 0;
    const double aim = mtl__min_f64(*usual, 0.9999), side = sqrt(1 - aim * aim);
    if (length > 0 && cosine < aim)
        add_to_row(p, h, j, length * (aim * sqrt(1 - cosine * cosine) - cosine * side) / side);
    *usual = (1 - beta) * *usual + beta * cosine;
}

/* GradVac (Wang et al. 2021, algorithm 1); state: the usual cosines [m, m]. */
void mtl__agg_gradvac(mtl__agg *p)
{
    const double beta = mtl__agg_param(p, 0);
    mtl__rng rng = mtl__rng_make(p->a->seed, MTL__RNG_AGGREGATE, (uint32_t)p->a->step);
    row h = {p->k, p->work, p->work + p->k};
    int64_t *order = (int64_t *)(void *)(p->work + 2 * p->k);
    for (int64_t i = 0; i < p->k; i++) {
        start_row(p, &h, i);
        make_order(p, i, ORDER_SEED, &rng, order);
        for (int64_t j = 0; j < p->k - 1; j++)
            vaccinate(p, &h, order[j], beta,
                      &p->a->state[p->live[i] * p->a->m + p->live[order[j]]]);
        take_row(p, &h, i, 1);
    }
}
