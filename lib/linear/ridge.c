/* SPDX-License-Identifier: MIT */
/* Ridge on the principal axes, where the normal equations are diagonal. What a row's error would be
   had it been left out follows from its leverage h: e / (1 - h) (Allen 1974; Golub, Heath & Wahba
   1979), also with weights and a free intercept, for both only transform the rows. */
#include <math.h>
#include <string.h>

#include "linear/linear_priv.h"
#include "solve/solve.h"

#define LEAST_FREEDOM 1e-9 /* 1 - h, where rounding is all that is left of it */

typedef struct ridge {
    const mtl__design *d;
    int64_t lambdas;
    const double *y, *theta, *hat;
    double *out; /* [rows, lambdas] */
} ridge;

static void run(ridge *r, mtl__job_fn *fn)
{
    const int64_t n = r->d->s->rows, jobs = (n + MTL__LINEAR_BLOCK - 1) / MTL__LINEAR_BLOCK;
    const bool pays = mtl__pool_pays(r->d->pool, n * r->d->k * r->lambdas);
    mtl__pool_run(pays ? r->d->pool : NULL, jobs, fn, r);
}

static void leverage_job(void *arg, int64_t job, int slot)
{
    const ridge *r = arg;
    const mtl__design *d = r->d;
    const int64_t first = job * MTL__LINEAR_BLOCK, k = d->k;
    double *square = d->panel + slot * MTL__LINEAR_BLOCK * d->s->cols;
    for (int64_t i = first; i < mtl__min(d->s->rows, first + MTL__LINEAR_BLOCK); i++) {
        for (int64_t j = 0; j < k; j++)
            square[j] = d->f[i * k + j] * d->f[i * k + j];
        for (int64_t l = 0; l < r->lambdas; l++) /* 1 is the intercept's */
            r->out[i * r->lambdas + l] =
                d->weight[i] * (1 + mtl__dot_f64(k, square, r->theta + l * (k + 1)));
    }
}

void mtl__ridge_leverages(const mtl__design *d, int64_t lambdas, const double *lambda,
                          double *theta, double *hat)
{
    for (int64_t l = 0; l < lambdas; l++)
        for (int64_t j = 0; j < d->k; j++)
            theta[l * (d->k + 1) + j] = 1 / (d->spread[j] + lambda[l]);
    ridge r = {.d = d, .lambdas = lambdas, .theta = theta, .out = hat};
    run(&r, leverage_job);
}

static void error_job(void *arg, int64_t job, int slot)
{
    const ridge *r = arg;
    const mtl__design *d = r->d;
    (void)slot;
    const int64_t first = job * MTL__LINEAR_BLOCK, k = d->k;
    for (int64_t i = first; i < mtl__min(d->s->rows, first + MTL__LINEAR_BLOCK); i++)
        for (int64_t l = 0; l < r->lambdas; l++) {
            const double *theta = r->theta + l * (k + 1);
            const double u = theta[k] + mtl__dot_f64(k, theta, d->f + i * k);
            const double freedom = 1 - r->hat[i * r->lambdas + l];
            const double e = (r->y[i] - u) / (freedom > LEAST_FREEDOM ? freedom : LEAST_FREEDOM);
            r->out[i * r->lambdas + l] = e * e;
        }
}

void mtl__ridge_path(const mtl__design *d, int64_t lambdas, const double *lambda, const double *hat,
                     const double *y, double *theta, double *loss)
{
    const int64_t n = d->s->rows, k = d->k;
    double *moment = d->scratch, mean = 0;
    memset(moment, 0, (size_t)k * sizeof *moment);
    for (int64_t i = 0; i < n; i++)
        mean += d->weight[i] * y[i];
    for (int64_t i = 0; i < n; i++)
        mtl__axpy_f64(k, d->weight[i] * (y[i] - mean), d->f + i * k, moment);
    for (int64_t l = 0; l < lambdas; l++) {
        for (int64_t j = 0; j < k; j++)
            theta[l * (k + 1) + j] = moment[j] / (d->spread[j] + lambda[l]);
        theta[l * (k + 1) + k] = mean;
    }
    ridge r = {d, lambdas, y, theta, hat, loss};
    run(&r, error_job);
}

/* The sums over all rows are diagonal; those of the part are taken off. The penalty is against a mean
   over the rows that are left. */
void mtl__ridge_without(const mtl__design *d, double lambda, const double *y, const int32_t *part,
                        int32_t number, double *normal, double *theta)
{
    const int64_t n = d->s->rows, k = d->k, size = k + 1;
    double *f = d->scratch, left = 0;
    memset(normal, 0, (size_t)(size * size) * sizeof *normal);
    memset(theta, 0, (size_t)size * sizeof *theta);
    for (int64_t i = 0; i < n; i++)
        left += part[i] == number ? 0 : d->weight[i];
    for (int64_t j = 0; j < k; j++)
        normal[j * size + j] = d->spread[j] + lambda * left;
    normal[k * size + k] = 1;
    for (int64_t i = 0; i < n; i++) {
        memcpy(f, d->f + i * k, (size_t)k * sizeof *f);
        f[k] = 1;
        if (part[i] != number) {
            mtl__axpy_f64(size, d->weight[i] * y[i], f, theta);
            continue;
        }
        for (int64_t j = 0; j < size; j++)
            mtl__axpy_f64(j + 1, -d->weight[i] * f[j], f, normal + j * size);
    }
    mtl__cholesky(size, normal, size, MTL__PIVOT_GUARD(size));
    mtl__cholesky_solve(size, normal, size, theta);
}
