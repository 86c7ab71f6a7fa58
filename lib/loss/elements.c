/* SPDX-License-Identifier: MIT */
/* Losses that look at one output and its label alone. */
#include <math.h>

#include "loss/loss_priv.h"

/* NaN passes as the second argument. */
static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

void mtl__logistic_of(const mtl__vec *v, int64_t n, const float *z, mtl__logistic *out)
{
    float e[MTL__LOSS_CHUNK];
    for (int64_t i = 0; i < n; i++)
        e[i] = -fabsf(z[i]);
    v->exp(n, e, e);
    v->log1p(n, e, out->soft);
    for (int64_t i = 0; i < n; i++) {
        float l = out->soft[i], near = 1 / (1 + e[i]), far = e[i] / (1 + e[i]);
        out->soft[i] = larger(0, z[i]) + l;
        out->soft_minus[i] = larger(0, -z[i]) + l;
        out->p[i] = z[i] < 0 ? far : near;
        out->p_minus[i] = z[i] < 0 ? near : far;
    }
}

/* --- classes ----------------------------------------------------------------------------------- */

/* -(a log p + (1 - t) log(1 - p)) with t = y (1 - smoothing) + smoothing / 2 and
   a = positive_weight t. */
void mtl__binary_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                          const float *y, float *loss, float *slope)
{
    mtl__logistic s;
    const float keep = (float)(1 - param[0]), half = (float)(param[0] / 2);
    const float positive = (float)param[1];
    mtl__logistic_of(v, n, z, &s);
    for (int64_t i = 0; i < n; i++) {
        float t = y[i] * keep + half, a = positive * t, b = 1 - t;
        loss[i] = a * s.soft_minus[i] + b * s.soft[i];
        slope[i] = b * s.p[i] - a * s.p_minus[i];
    }
}

/* Lin et al. 2017, eq. 5: -alpha_t (1 - p_t)^gamma log p_t. With m = z for class 1 and -z for class
   0, p_t = sigmoid(m) and (1 - p_t)^gamma = exp(-gamma log(1 + exp(m))). */
void mtl__focal_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                         const float *y, float *loss, float *slope)
{
    mtl__logistic s;
    float m[MTL__LOSS_CHUNK], f[MTL__LOSS_CHUNK];
    const float gamma = (float)param[0], alpha = (float)param[1], rest = (float)(1 - param[1]);
    for (int64_t i = 0; i < n; i++)
        m[i] = y[i] > 0 ? z[i] : -z[i];
    mtl__logistic_of(v, n, m, &s);
    for (int64_t i = 0; i < n; i++)
        f[i] = -gamma * s.soft[i];
    v->exp(n, f, f);
    for (int64_t i = 0; i < n; i++) {
        float a = (y[i] > 0 ? alpha : rest) * f[i];
        float down = a * (gamma * s.p[i] * s.soft_minus[i] + s.p_minus[i]);
        loss[i] = a * s.soft_minus[i];
        slope[i] = y[i] > 0 ? -down : down;
    }
}

/* --- values ------------------------------------------------------------------------------------ */

void mtl__absolute_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                            const float *y, float *loss, float *slope)
{
    (void)v, (void)param;
    for (int64_t i = 0; i < n; i++) {
        float d = z[i] - y[i];
        loss[i] = fabsf(d);
        slope[i] = (float)((d > 0) - (d < 0));
    }
}

/* Huber 1964: d^2 / 2 up to delta, delta (|d| - delta / 2) beyond. */
void mtl__huber_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                         const float *y, float *loss, float *slope)
{
    (void)v;
    const float delta = (float)param[0];
    for (int64_t i = 0; i < n; i++) {
        float d = z[i] - y[i], c = larger(-delta, smaller(delta, d));
        loss[i] = c * (d - 0.5f * c);
        slope[i] = c;
    }
}

/* log cosh d, slope tanh d = t. Near 0 it is -log(1 - t^2) / 2, which keeps all bits; else
   |d| + log(1 + exp(-2 |d|)) - log 2. */
void mtl__log_cosh_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                            const float *y, float *loss, float *slope)
{
    float e[MTL__LOSS_CHUNK];
    (void)param;
    for (int64_t i = 0; i < n; i++) {
        slope[i] = z[i] - y[i];
        loss[i] = fabsf(slope[i]);
        e[i] = -2 * loss[i];
    }
    v->exp(n, e, e);
    v->tanh(n, slope, slope);
    for (int64_t i = 0; i < n; i++)
        e[i] = loss[i] < 0.5f ? -(slope[i] * slope[i]) : e[i];
    v->log1p(n, e, e);
    for (int64_t i = 0; i < n; i++)
        loss[i] = loss[i] < 0.5f ? -0.5f * e[i] : loss[i] - 0x1.62e43p-1f + e[i];
}

/* --- counts and amounts: z is the logarithm of the mean ------------------------------------------ */

/* One family (Jorgensen 1987), without what only hangs on y:
   a exp(p z) + b y exp(q z) + c z + d y z,  slope exp(p z) - y exp(q z). */
typedef struct power_terms {
    float p, q, a, b, c, d;
} power_terms;

/* exp(x) up to 60; beyond, exp(60) as slope and the tangent as value, so that a bad start gives
   finite numbers. A mean of 1e26 is in no data. */
static void exponential(const mtl__vec *v, int64_t n, float factor, const float *z, float *value,
                        float *slope)
{
    const float top = 60;
    for (int64_t i = 0; i < n; i++)
        slope[i] = smaller(top, factor * z[i]);
    v->exp(n, slope, slope);
    for (int64_t i = 0; i < n; i++)
        value[i] = slope[i] * (1 + larger(0, factor * z[i] - top));
}

static void power_elements(const mtl__vec *v, const power_terms *t, int64_t n, const float *z,
                           const float *y, float *loss, float *slope)
{
    float up[MTL__LOSS_CHUNK], down[MTL__LOSS_CHUNK], down_slope[MTL__LOSS_CHUNK];
    exponential(v, n, t->p, z, up, slope);
    exponential(v, n, t->q, z, down, down_slope);
    for (int64_t i = 0; i < n; i++) {
        loss[i] = t->a * up[i] + t->b * (y[i] * down[i]) + z[i] * (t->c + t->d * y[i]);
        slope[i] = slope[i] - y[i] * down_slope[i];
    }
}

void mtl__poisson_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                           const float *y, float *loss, float *slope)
{
    (void)param;
    power_elements(v, &(power_terms){.p = 1, .a = 1, .d = -1}, n, z, y, loss, slope);
}

void mtl__gamma_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                         const float *y, float *loss, float *slope)
{
    (void)param;
    power_elements(v, &(power_terms){.q = -1, .b = 1, .c = 1}, n, z, y, loss, slope);
}

void mtl__tweedie_elements(const mtl__vec *v, const double *param, int64_t n, const float *z,
                           const float *y, float *loss, float *slope)
{
    const double p = 2 - param[0], q = 1 - param[0];
    const power_terms t = {(float)p, (float)q, (float)(1 / p), (float)(-1 / q), 0, 0};
    power_elements(v, &t, n, z, y, loss, slope);
}
