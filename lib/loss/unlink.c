/* SPDX-License-Identifier: MIT */
/* From predictions back to what the network would have given, in double and rounded once. A
   probability counts as at least TINY and at most 1 - TINY, half a unit in the last place of 1, so
   that all results are finite. */
#include "loss/loss_priv.h"

#include "base/math64.h"

#define TINY 0x1p-25

static double within(double p)
{
    return p < TINY ? TINY : p > 1 - TINY ? 1 - TINY : p;
}

static double logit(double p)
{
    p = within(p);
    return mtl__log_f64(p / (1 - p));
}

/* The x of which log(1 + exp(x)) is s. */
static double unsoft(double s)
{
    s = s < TINY ? TINY : s;
    return s > 40 ? s : mtl__log_f64(mtl__exp_f64(s) - 1);
}

void mtl__unlink_sigmoid(int64_t cols, float *p)
{
    for (int64_t j = 0; j < cols; j++)
        p[j] = (float)logit((double)p[j]);
}

/* Of softmax too, whose logits are logarithms of probabilities up to a constant. */
void mtl__unlink_log(int64_t cols, float *p)
{
    for (int64_t j = 0; j < cols; j++)
        p[j] = (float)mtl__log_f64((double)p[j] < 1e-37 ? 1e-37 : (double)p[j]);
}

/* Score 0, the first threshold, then the steps between thresholds. */
void mtl__unlink_ordinal(int64_t cols, float *p)
{
    double below = (double)p[0], last = 0;
    p[0] = 0;
    for (int64_t k = 1; k < cols; k++) {
        const double threshold = logit(below);
        below += (double)p[k];
        p[k] = (float)(k == 1 ? threshold : unsoft(threshold - last));
        last = threshold;
    }
}

void mtl__unlink_quantile(int64_t cols, float *q)
{
    for (int64_t k = cols - 1; k > 0; k--)
        q[k] = (float)unsoft((double)q[k] - (double)q[k - 1]);
}
