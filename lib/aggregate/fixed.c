/* SPDX-License-Identifier: MIT */
/* Kinds that look at neither gradients nor losses. */
#include "aggregate/aggregate_priv.h"
#include "rng/rng.h"

void mtl__agg_sum(mtl__agg *p)
{
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = 1;
}

void mtl__agg_mean(mtl__agg *p)
{
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = 1 / (double)p->k;
}

void mtl__agg_constant(mtl__agg *p)
{
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = p->pref[i];
}

/* Random loss weighting (Lin et al. 2022): softmax of standard normal numbers. */
void mtl__agg_rlw(mtl__agg *p)
{
    mtl__rng rng = mtl__rng_make(p->a->seed, MTL__RNG_AGGREGATE, (uint32_t)p->a->step);
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = mtl__rng_normal(&rng);
    mtl__agg_softmax(p->k, p->w);
}
