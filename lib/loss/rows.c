/* SPDX-License-Identifier: MIT */
/* Losses of a row as a whole: one label for all outputs. Gone through in blocks of rows, and in a
   block column by column, so that the maps have something to work on and no memory is needed. */
#include <math.h>
#include <string.h>

#include "loss/loss_priv.h"

enum { BLOCK = 64 };

static void take(int64_t n, const float *z, int64_t ldz, float *x)
{
    for (int64_t r = 0; r < n; r++)
        x[r] = z[r * ldz];
}

static float weight_of(const mtl__rows_args *a, int64_t row)
{
    return a->w ? a->w[row] : 1;
}

/* Outputs that are not numbers would be seen in the gradient of a row without a label, 0 * NaN. */
static void clear_unlabelled(const mtl__rows_args *a)
{
    for (int64_t r = 0; r < a->rows; r++)
        if (isnan(a->y[r]))
            memset(a->g + r * a->ldg, 0, (size_t)a->cols * sizeof *a->g);
}

static double sum_blocks(const mtl__vec *v, const mtl__rows_args *a, mtl__by_rows_fn *f)
{
    double sum = 0;
    for (int64_t first = 0; first < a->rows; first += BLOCK) {
        mtl__rows_args b = *a;
        b.rows = mtl__min(BLOCK, a->rows - first);
        b.z += first * a->ldz;
        b.y += first;
        b.w = a->w ? a->w + first : NULL;
        b.g = a->g ? a->g + first * a->ldg : NULL;
        sum += f(v, &b);
    }
    return sum;
}

/* --- cross-entropy with label smoothing --------------------------------------------------------- */

/* Szegedy et al. 2016, section 7: the label's share is 1 - s, and s / classes goes to each class. So
   s (z_label - mean z) is added to the cross-entropy of the label. */
double mtl__smooth_rows(const mtl__vec *v, const mtl__rows_args *a)
{
    const float smooth = (float)a->param[0], each = 1 / (float)a->cols;
    double sum = (double)v->softmax_cross_entropy(a->rows, a->cols, a->z, a->ldz, a->y, a->w,
                                                  a->scale, a->g, a->ldg);
    for (int64_t r = 0; r < a->rows; r++) {
        if (isnan(a->y[r]))
            continue;
        const float *z = a->z + r * a->ldz, w = weight_of(a, r) * smooth;
        const int64_t label = (int64_t)a->y[r];
        sum += (double)(w * (z[label] - v->sum(a->cols, z) * each));
        if (!a->g)
            continue;
        float *g = a->g + r * a->ldg;
        const float part = a->scale * w;
        for (int64_t c = 0; c < a->cols; c++)
            g[c] -= part * each;
        g[label] += part;
    }
    return sum;
}

/* --- focal, classes that exclude each other ------------------------------------------------------ */

/* f = (1 - p)^gamma, and rise = the derivative of f l by l, where l = -log p. */
static void focal_factors(const mtl__vec *v, float gamma, int64_t n, const float *l, float *f,
                          float *rise)
{
    float p[BLOCK], rest[BLOCK];
    for (int64_t i = 0; i < n; i++)
        p[i] = -l[i];
    v->exp(n, p, p);
    for (int64_t i = 0; i < n; i++) {
        /* 1 - p; for small l by its series, which keeps the bits that 1 - p loses. */
        float x = l[i] < 0.01f ? l[i] * (1 - l[i] * (0.5f - l[i] / 6)) : 1 - p[i];
        rest[i] = x > 1e-30f ? x : 1e-30f;
    }
    v->log(n, rest, f);
    v->scale(n, gamma, f);
    v->exp(n, f, f);
    for (int64_t i = 0; i < n; i++)
        rise[i] = f[i] + gamma * f[i] * p[i] * (l[i] / rest[i]);
}

static double focal_block(const mtl__vec *v, const mtl__rows_args *a)
{
    float l[BLOCK], f[BLOCK], rise[BLOCK];
    double sum = 0;
    for (int64_t r = 0; r < a->rows; r++)
        l[r] = v->softmax_cross_entropy(1, a->cols, a->z + r * a->ldz, a->ldz, a->y + r, NULL, 1,
                                        a->g ? a->g + r * a->ldg : NULL, a->ldg);
    focal_factors(v, (float)a->param[0], a->rows, l, f, rise);
    for (int64_t r = 0; r < a->rows; r++) {
        sum += (double)(weight_of(a, r) * (f[r] * l[r])); /* l is 0 without a label */
        if (a->g)
            v->scale(a->cols, a->scale * weight_of(a, r) * rise[r], a->g + r * a->ldg);
    }
    return sum;
}

double mtl__focal_rows(const mtl__vec *v, const mtl__rows_args *a)
{
    return sum_blocks(v, a, focal_block);
}

/* --- ordinal ------------------------------------------------------------------------------------- */

/* McCullagh 1980, proportional odds: P(y <= k) = sigmoid(t_k - z_0), where t_0 = z_1 and
   t_k = t_(k-1) + log(1 + exp(z_(k+1))), so that the thresholds ascend. With a = t_k - z_0 and
   b = t_(k-1) - z_0,  P(y = k) = sigmoid(a) sigmoid(-b) sigmoid(z_(k+1)):  a product, so nothing is
   lost by taking a difference, and its logarithm is a sum of logistic losses. The first class has
   the factor of a alone, the last one that of b. */

/* Column k >= 1 of a block: the step to the next threshold, which is added to *t (k = 1: the first
   threshold), and the logits t - z_0. */
static void next_threshold(const mtl__vec *v, int64_t n, int64_t k, const float *z, int64_t ldz,
                           const float *z_0, float *t, mtl__logistic *step, mtl__logistic *logit)
{
    float x[BLOCK];
    take(n, z + k, ldz, x);
    mtl__logistic_of(v, n, x, step);
    for (int64_t r = 0; r < n; r++) {
        t[r] += k == 1 ? x[r] : step->soft[r];
        x[r] = t[r] - z_0[r];
    }
    mtl__logistic_of(v, n, x, logit);
}

static double ordinal_forward(const mtl__vec *v, const mtl__rows_args *a)
{
    mtl__logistic step, logit;
    float t[BLOCK] = {0}, z_0[BLOCK];
    double sum = 0;
    take(a->rows, a->z, a->ldz, z_0);
    for (int64_t k = 1; k < a->cols; k++) {
        next_threshold(v, a->rows, k, a->z, a->ldz, z_0, t, &step, &logit);
        for (int64_t r = 0; r < a->rows; r++) {
            bool below = a->y[r] == (float)(k - 1), above = a->y[r] == (float)k;
            float loss = below ? logit.soft_minus[r] : above ? logit.soft[r] : 0;
            if (below && k > 1)
                loss += step.soft_minus[r];
            sum += (double)(weight_of(a, r) * loss);
            if (a->g)
                a->g[r * a->ldg + k] = below ? -logit.p_minus[r] : above ? logit.p[r] : 0;
        }
    }
    return sum;
}

/* From the slopes by the thresholds, in columns 1 .. of g, to those by z. */
static void ordinal_backward(const mtl__vec *v, const mtl__rows_args *a)
{
    mtl__logistic step;
    float x[BLOCK], total[BLOCK] = {0};
    for (int64_t k = a->cols - 1; k >= 1; k--) {
        take(a->rows, a->z + k, a->ldz, x);
        mtl__logistic_of(v, a->rows, x, &step);
        for (int64_t r = 0; r < a->rows; r++) {
            float *g = a->g + r * a->ldg + k, w = a->scale * weight_of(a, r);
            total[r] += *g;
            float own = a->y[r] == (float)(k - 1) ? step.p_minus[r] : 0;
            *g = k == 1 ? w * total[r] : w * (total[r] * step.p[r] - own);
        }
    }
    for (int64_t r = 0; r < a->rows; r++)
        a->g[r * a->ldg] = -(a->scale * weight_of(a, r)) * total[r];
    clear_unlabelled(a);
}

static double ordinal_block(const mtl__vec *v, const mtl__rows_args *a)
{
    double sum = ordinal_forward(v, a);
    if (a->g)
        ordinal_backward(v, a);
    return sum;
}

double mtl__ordinal_rows(const mtl__vec *v, const mtl__rows_args *a)
{
    return sum_blocks(v, a, ordinal_block);
}

/* The probability of class k takes the place of z_k, which was read for the threshold before. */
static void ordinal_link_block(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    mtl__logistic step, logit;
    float t[BLOCK] = {0}, z_0[BLOCK], above[BLOCK] = {0};
    take(rows, z, ldz, z_0);
    for (int64_t k = 1; k < cols; k++) {
        next_threshold(v, rows, k, z, ldz, z_0, t, &step, &logit);
        for (int64_t r = 0; r < rows; r++) {
            z[r * ldz + k - 1] = k == 1 ? logit.p[r] : logit.p[r] * above[r] * step.p[r];
            above[r] = logit.p_minus[r];
        }
    }
    for (int64_t r = 0; r < rows; r++)
        z[r * ldz + cols - 1] = above[r];
}

void mtl__ordinal_link(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    for (int64_t r = 0; r < rows; r += BLOCK)
        ordinal_link_block(v, mtl__min(BLOCK, rows - r), cols, z + r * ldz, ldz);
}

/* --- quantiles ----------------------------------------------------------------------------------- */

/* Column k of a block: q = z_0, then q += log(1 + exp(z_k)), so that quantiles never cross. */
static void next_quantile(const mtl__vec *v, int64_t n, int64_t k, const float *z, int64_t ldz,
                          float *q)
{
    mtl__logistic step;
    float x[BLOCK];
    take(n, z + k, ldz, x);
    mtl__logistic_of(v, n, x, &step);
    for (int64_t r = 0; r < n; r++)
        q[r] += k == 0 ? x[r] : step.soft[r];
}

/* The quantiles' probabilities; evenly spaced, (k + 1) / (cols + 1), when none were given. */
static float level_of(const mtl__rows_args *a, int64_t k)
{
    return a->list ? a->list[k] : (float)(k + 1) / (float)(a->cols + 1);
}

static double quantile_forward(const mtl__vec *v, const mtl__rows_args *a)
{
    float q[BLOCK] = {0};
    const float each = 1 / (float)a->cols;
    double sum = 0;
    for (int64_t k = 0; k < a->cols; k++) {
        const float level = level_of(a, k);
        next_quantile(v, a->rows, k, a->z, a->ldz, q);
        for (int64_t r = 0; r < a->rows; r++) {
            const float d = a->y[r] - q[r]; /* NaN without a label: neither above nor below */
            const float slope = d > 0 ? -level : d < 0 ? 1 - level : 0;
            if (!isnan(a->y[r]))
                sum -= (double)(weight_of(a, r) * each * (slope * d));
            if (a->g)
                a->g[r * a->ldg + k] = slope;
        }
    }
    return sum;
}

static void quantile_backward(const mtl__vec *v, const mtl__rows_args *a)
{
    float p[BLOCK], total[BLOCK] = {0};
    const float each = 1 / (float)a->cols;
    for (int64_t k = a->cols - 1; k >= 0; k--) {
        take(a->rows, a->z + k, a->ldz, p);
        v->sigmoid(a->rows, p, p);
        for (int64_t r = 0; r < a->rows; r++) {
            float *g = a->g + r * a->ldg + k;
            total[r] += *g;
            *g = a->scale * weight_of(a, r) * each * (k == 0 ? total[r] : total[r] * p[r]);
        }
    }
    clear_unlabelled(a);
}

static double quantile_block(const mtl__vec *v, const mtl__rows_args *a)
{
    double sum = quantile_forward(v, a);
    if (a->g)
        quantile_backward(v, a);
    return sum;
}

/* Koenker & Bassett 1978: level (y - q) above, (1 - level) (q - y) below; the mean over the
   quantiles. */
double mtl__quantile_rows(const mtl__vec *v, const mtl__rows_args *a)
{
    return sum_blocks(v, a, quantile_block);
}

void mtl__quantile_link(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t n = mtl__min(BLOCK, rows - first);
        float q[BLOCK] = {0};
        float *block = z + first * ldz;
        for (int64_t k = 0; k < cols; k++) {
            next_quantile(v, n, k, block, ldz, q);
            for (int64_t r = 0; r < n; r++)
                block[r * ldz + k] = q[r];
        }
    }
}
