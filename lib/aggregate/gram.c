/* SPDX-License-Identifier: MIT */
#include "aggregate/aggregate.h"

enum { BLOCK = 256, LANES = 4 };

/* Four lanes over a block of both, products of floats being exact. */
static double dot_block(int64_t n, const float *x, const float *y)
{
    double sum[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            sum[l] += (double)x[i + l] * (double)y[i + l];
    for (int l = 0; i < n; i++, l++)
        sum[l] += (double)x[i] * (double)y[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void mtl__gram(int64_t m, int64_t n, const float *rows, int64_t stride, double *gram)
{
    for (int64_t i = 0; i < m * m; i++)
        gram[i] = 0;
    for (int64_t at = 0; at < n; at += BLOCK)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j <= i; j++)
                gram[i * m + j] += dot_block(mtl__min(BLOCK, n - at), rows + i * stride + at,
                                             rows + j * stride + at);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < i; j++)
            gram[j * m + i] = gram[i * m + j];
}
