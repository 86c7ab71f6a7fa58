/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "solve/solve.h"

int64_t mtl__cholesky(int64_t n, double *a, int64_t lda, double guard)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < n; i++) {
        double *row = a + i * lda;
        for (int64_t j = 0; j < i; j++) {
            const double *above = a + j * lda;
            const double rest = row[j] - mtl__dot_f64(j, row, above);
            row[j] = above[j] > 0 ? rest / above[j] : 0;
        }
        const double pivot = row[i] - mtl__dot_f64(i, row, row);
        if (!isfinite(pivot))
            return 0;
        const bool is_new = pivot > guard * row[i] && pivot > 0;
        row[i] = is_new ? sqrt(pivot) : 0;
        rank += is_new;
    }
    return rank;
}

void mtl__lower_solve(int64_t n, const double *l, int64_t ldl, double *x)
{
    for (int64_t i = 0; i < n; i++) {
        const double *row = l + i * ldl;
        x[i] = row[i] > 0 ? (x[i] - mtl__dot_f64(i, row, x)) / row[i] : 0;
    }
}

void mtl__lower_solve_transposed(int64_t n, const double *l, int64_t ldl, double *x)
{
    for (int64_t i = n - 1; i >= 0; i--) {
        const double *row = l + i * ldl;
        x[i] = row[i] > 0 ? x[i] / row[i] : 0;
        mtl__axpy_f64(i, -x[i], row, x);
    }
}

void mtl__cholesky_solve(int64_t n, const double *l, int64_t ldl, double *x)
{
    mtl__lower_solve(n, l, ldl, x);
    mtl__lower_solve_transposed(n, l, ldl, x);
}
