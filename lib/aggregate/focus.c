/* SPDX-License-Identifier: MIT */
/* Some tasks are what it is about, by a list of which those above 0 are; the others are to help
   them, or to be kept. */
#include "aggregate/aggregate_priv.h"

enum { MAIN, DECAY };

/* <g_i, sum of the main gradients> */
static double with_main(const mtl__agg *p, int64_t i)
{
    double sum = 0;
    for (int64_t j = 0; j < p->k; j++)
        sum += p->pref[j] > 0 ? p->g[i * p->k + j] : 0;
    return sum;
}

/* Du et al. 2018, the unweighted form: a task helps while its gradient and that of the main tasks
   have a cosine that is not below 0, which is an exponential average here. */
void mtl__agg_gated(mtl__agg *p)
{
    const double decay = mtl__agg_param(p, DECAY);
    double square = 0;
    for (int64_t i = 0; i < p->k; i++)
        square += p->pref[i] > 0 ? with_main(p, i) : 0;
    for (int64_t i = 0; i < p->k; i++) {
        double *cosine = &p->a->state[p->live[i]];
        if (square > 0)
            *cosine = decay * *cosine + (1 - decay) * with_main(p, i) / (p->s[i] * sqrt(square));
        p->w[i] = p->pref[i] > 0 || *cosine >= 0;
    }
}

/* Chaudhry et al. 2019, equation 11: g - (g'r / r'r) r where g'r < 0, g the main gradients' sum, r
   that of the others; which is how much of r is needed so that these get no worse. */
void mtl__agg_a_gem(mtl__agg *p)
{
    double both = 0, square = 0;
    for (int64_t i = 0; i < p->k; i++)
        for (int64_t j = 0; j < p->k && !(p->pref[i] > 0); j++)
            *(p->pref[j] > 0 ? &both : &square) += p->g[i * p->k + j];
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = p->pref[i] > 0 ? 1 : both < 0 && square > 0 ? -both / square : 0;
}
