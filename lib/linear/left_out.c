/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "linear/linear_priv.h"

/* Weighted mean R and its error sqrt(sum of (w (l - R))^2 * n / (n - 1)) / sum of w. */
void mtl__left_out_mean(const mtl__left_out *o, int64_t l, double *mean, double *error)
{
    double sum = 0, total = 0, square = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < o->rows; i++) {
        if (o->weight[i] == 0)
            continue;
        sum += o->weight[i] * o->loss[i * o->lambdas + l];
        total += o->weight[i];
        n++;
    }
    *mean = n > 0 ? sum / total : (double)NAN;
    for (int64_t i = 0; i < o->rows; i++) {
        const double e =
            o->weight[i] == 0 ? 0 : o->weight[i] * (o->loss[i * o->lambdas + l] - *mean);
        square += e * e;
    }
    *error = n > 1 ? sqrt(square * (double)n / (double)(n - 1)) / total : (double)NAN;
}

int64_t mtl__left_out_choose(const mtl__left_out *o, int64_t tried, bool one_se)
{
    double mean, error, least = (double)INFINITY, least_error = 0;
    int64_t best = 0;
    for (int64_t l = 0; l < tried; l++) {
        mtl__left_out_mean(o, l, &mean, &error);
        if (mean < least) {
            least = mean;
            least_error = error;
            best = l;
        }
    }
    for (int64_t l = 0; l < best && one_se; l++) {
        mtl__left_out_mean(o, l, &mean, &error);
        if (mean <= least + least_error)
            return l;
    }
    return best;
}
