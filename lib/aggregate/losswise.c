/* SPDX-License-Identifier: MIT */
/* Kinds that look at the losses alone. State of absent tasks stays as it is. */
#include "aggregate/aggregate_priv.h"

/* --- numbers that are learned --------------------------------------------------------------------
 */

/* Adam (Kingma & Ba 2015, algorithm 1) on one number a task: state [4, m] = number, m, v, steps. */
static void descend(mtl__agg *p, int64_t i, double slope, double rate)
{
    const int64_t m = p->a->m;
    double *x = p->a->state + p->live[i], *first = x + m, *second = x + 2 * m, *steps = x + 3 * m;
    *first = 0.9 * *first + 0.1 * slope;
    *second = 0.999 * *second + 0.001 * slope * slope;
    *steps += 1;
    const double mean = *first / (1 - mtl__exp_f64(*steps * -0.10536051565782628)), /* log 0.9 */
        square = *second / (1 - mtl__exp_f64(*steps * -0.0010005003335835335));     /* log 0.999 */
    *x -= rate * mean / (sqrt(square) + 1e-8);
}

/* Homoscedastic uncertainty (Kendall, Gal & Cipolla 2018, equation 10): sum of L e^-s / 2 + s / 2.
 */
void mtl__agg_uw(mtl__agg *p)
{
    for (int64_t i = 0; i < p->k; i++) {
        const double precision = mtl__exp_f64(-p->a->state[p->live[i]]);
        p->w[i] = 0.5 * precision;
        descend(p, i, 0.5 - 0.5 * p->loss[i] * precision, mtl__agg_param(p, 0));
    }
}

/* IMTL-L (Liu et al. 2021, equation 8): sum of e^s L - s. */
void mtl__agg_imtl_l(mtl__agg *p)
{
    for (int64_t i = 0; i < p->k; i++) {
        p->w[i] = mtl__exp_f64(p->a->state[p->live[i]]);
        descend(p, i, p->loss[i] * p->w[i] - 1, mtl__agg_param(p, 0));
    }
}

/* --- from the losses' course ---------------------------------------------------------------------
 */

/* Dynamic weight average (Liu, Johns & Davison 2019, equation 7). State, each [m]: sum and number
   of the losses of this epoch, the mean of the last one and of the one before. */
void mtl__agg_dwa(mtl__agg *p)
{
    const int64_t m = p->a->m;
    double *sum = p->a->state, *count = sum + m, *last = sum + 2 * m, *before = sum + 3 * m;
    if (p->a->step % mtl__max(1, p->a->epoch_steps) == 0 && p->a->step > 0)
        for (int64_t i = 0; i < m; i++) {
            before[i] = count[i] > 0 ? last[i] : before[i];
            last[i] = count[i] > 0 ? sum[i] / count[i] : last[i];
            sum[i] = count[i] = 0;
        }
    for (int64_t i = 0; i < p->k; i++) {
        const int64_t j = p->live[i];
        const double rise = before[j] > 0 ? mtl__min_f64(last[j] / before[j], 1e6) : 1;
        p->w[i] = rise / mtl__agg_param(p, 0);
        sum[j] += p->loss[i];
        count[j] += 1;
    }
    mtl__agg_softmax(p->k, p->w);
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] *= (double)p->k;
}

/* --- functions of the losses ---------------------------------------------------------------------
 */

/* Geometric mean (Chennupati et al. 2019, equation 3) in logs; its slope by a loss is GLS / (m L).
   A loss of 0 is as low as it gets and stands aside. */
void mtl__agg_gls(mtl__agg *p)
{
    double mean = 0, count = 0;
    for (int64_t i = 0; i < p->k; i++)
        count += p->loss[i] > 0;
    for (int64_t i = 0; i < p->k; i++)
        mean += p->loss[i] > 0 ? mtl__log_f64(p->loss[i]) / count : 0;
    for (int64_t i = 0; i < p->k; i++)
        if (p->loss[i] > 0)
            p->w[i] = mtl__exp_f64(mtl__min_f64(mean - mtl__log_f64(p->loss[i]), 700)) / count;
}

/* Smooth Tchebycheff (Lin et al. 2024, equation 6): mu log sum of exp(L / mu), or after a warm-up k
   times that of log(L / mean loss of the warm-up), in which it is the sum of log L. State, each
   [m]: sum and number of the losses of the warm-up. */
void mtl__agg_stch(mtl__agg *p)
{
    const int64_t m = p->a->m;
    const double mu = mtl__agg_param(p, 0), warm_up = mtl__agg_param(p, 1);
    double *sum = p->a->state, *count = sum + m;
    if (warm_up == 0) {
        for (int64_t i = 0; i < p->k; i++)
            p->w[i] = p->loss[i] / mu;
        mtl__agg_softmax(p->k, p->w);
        return;
    }
    const bool is_warm = (double)p->a->step >= warm_up;
    for (int64_t i = 0; i < p->k; i++) {
        const int64_t j = p->live[i];
        const double loss = mtl__max_f64(p->loss[i], 1e-20);
        if (!is_warm || count[j] == 0) {
            sum[j] += loss;
            count[j] += 1;
        }
        p->w[i] = (mtl__log_f64(loss) - mtl__log_f64(sum[j] / count[j])) / mu;
    }
    mtl__agg_softmax(p->k, p->w);
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = (is_warm ? p->w[i] * (double)p->k : 1) / mtl__max_f64(p->loss[i], 1e-20);
}

/* --- FAMO (Liu et al. 2023, algorithm 1) ---------------------------------------------------------
 */

static const double famo_least = 1e-8; /* as the authors' code; the losses' lower bound is 0 */

/* State: four of descend(), the logarithms of the losses before the update (NaN = none). */
void mtl__agg_famo(mtl__agg *p)
{
    double sum = 0, *before = p->a->state + 4 * p->a->m;
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] = p->a->state[p->live[i]];
    mtl__agg_softmax(p->k, p->w);
    for (int64_t i = 0; i < p->a->m; i++)
        before[i] = 0;
    for (int64_t i = 0; i < p->k; i++) {
        p->w[i] /= p->loss[i] + famo_least;
        sum += p->w[i];
        before[p->live[i]] = p->loss[i] + famo_least;
    }
    for (int64_t i = 0; i < p->k; i++)
        p->w[i] /= sum;
}

/* How the losses fell tells the logits where to go. */
void mtl__aggregator_feedback(struct mtl_aggregator *a, const double *losses)
{
    if (!(a->row->uses & MTL__AGG_FEEDBACK))
        return;
    mtl__agg p = {.a = a, .live = a->live, .w = a->w};
    const double rate = a->choice.value[0], decay = a->choice.value[1];
    double *logit = a->state, *before = a->state + 4 * a->m, *fall = a->work, mean = 0;
    for (int64_t i = 0; i < a->m; i++)
        if (before[i] > 0 && losses[i] >= 0 && losses[i] < (double)INFINITY) {
            a->live[p.k] = i;
            a->w[p.k] = logit[i];
            fall[p.k++] = mtl__log_f64(before[i]) - mtl__log_f64(losses[i] + famo_least);
        }
    if (p.k == 0)
        return;
    mtl__agg_softmax(p.k, a->w);
    for (int64_t i = 0; i < p.k; i++)
        mean += a->w[i] * fall[i];
    for (int64_t i = 0; i < p.k; i++)
        descend(&p, i, a->w[i] * (fall[i] - mean) + decay * logit[a->live[i]], rate);
    for (int64_t i = 0; i < a->m; i++)
        before[i] = 0;
}
