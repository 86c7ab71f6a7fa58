/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>

#include "solve/solve.h"

/* sqrt(a^2 + b^2) without overflow. */
static double length(double a, double b)
{
    a = fabs(a);
    b = fabs(b);
    const double x = a > b ? a : b, y = a > b ? b : a, q = x > 0 ? y / x : 0;
    return x * sqrt(1 + q * q);
}

/* The largest |element| of the lower triangle; not finite where an element is not. */
static double largest(int64_t n, const double *a, int64_t lda)
{
    double most = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            const double x = fabs(a[i * lda + j]);
            most = x > most ? x : most;
            sum += x - x; /* 0, or NaN */
        }
    return most + sum;
}

/* Reflect x [n] onto its last element: x becomes v of H = I - beta v v', *alpha that element. */
static double reflector(int64_t n, double *x, double *alpha)
{
    const double square = mtl__dot_f64(n - 1, x, x), last = x[n - 1];
    *alpha = last;
    if (square == 0)
        return 0;
    const double norm = sqrt(square + last * last);
    *alpha = last > 0 ? -norm : norm;
    x[n - 1] = last - *alpha;
    return 2 / (square + x[n - 1] * x[n - 1]);
}

/* B = H B H for the lower triangle of B [n, n]; p: n of scratch. */
static void reflect_both_sides(int64_t n, double *b, int64_t ldb, const double *v, double beta,
                               double *p)
{
    for (int64_t i = 0; i < n; i++) {
        const double *row = b + i * ldb;
        p[i] = mtl__dot_f64(i + 1, row, v);
        mtl__axpy_f64(i, v[i], row, p);
    }
    const double half = beta * mtl__dot_f64(n, p, v) / 2;
    for (int64_t i = 0; i < n; i++)
        p[i] = beta * (p[i] - half * v[i]);
    for (int64_t i = 0; i < n; i++) {
        mtl__axpy_f64(i + 1, -v[i], p, b + i * ldb);
        mtl__axpy_f64(i + 1, -p[i], v, b + i * ldb);
    }
}

/* A becomes tridiagonal: diagonal d, e[i] between i and i + 1. Row i of A keeps the vector of its
   reflection, and in its diagonal element the reflection's beta. */
static void tridiagonal(int64_t n, double *a, int64_t lda, double *d, double *e)
{
    e[n - 1] = 0;
    for (int64_t i = n - 1; i > 0; i--) {
        double *v = a + i * lda;
        const double beta = reflector(i, v, &e[i - 1]);
        if (beta != 0)
            reflect_both_sides(i, a, lda, v, beta, d); /* d[0 .. i) is not known yet */
        d[i] = v[i];
        v[i] = beta;
    }
    d[0] = a[0];
}

/* The product of the reflections in their place, the first row's on the left. */
static void expand(int64_t n, double *a, int64_t lda)
{
    for (int64_t i = 0; i < n; i++) {
        double *v = a + i * lda;
        for (int64_t r = 0; r < i; r++) {
            double *row = a + r * lda;
            row[i] = 0;
            mtl__axpy_f64(i, -v[i] * mtl__dot_f64(i, row, v), v, row);
        }
        for (int64_t j = 0; j < i; j++)
            v[j] = 0;
        v[i] = 1;
    }
}

/* One QL step on the block l .. m; rows of A take part. Returns what is added to all values. */
static double ql_step(int64_t n, double *a, int64_t lda, double *d, double *e, int64_t l, int64_t m)
{
    const double g = d[l], q = (d[l + 1] - g) / (2 * e[l]);
    const double r = q < 0 ? -length(q, 1) : length(q, 1);
    d[l] = e[l] / (q + r);
    d[l + 1] = e[l] * (q + r);
    const double below = d[l + 1], e_below = e[l + 1], shift = g - d[l];
    for (int64_t i = l + 2; i < n; i++)
        d[i] -= shift;
    double p = d[m], c = 1, c2 = 1, c3 = 1, s = 0, s2 = 0;
    for (int64_t i = m - 1; i >= l; i--) {
        c3 = c2;
        c2 = c;
        s2 = s;
        const double ce = c * e[i], cp = c * p, size = length(p, e[i]);
        e[i + 1] = s * size;
        s = size > 0 ? e[i] / size : 0;
        c = size > 0 ? p / size : 1;
        p = c * d[i] - s * ce;
        d[i + 1] = cp + s * (c * ce + s * d[i]);
        mtl__rotate_f64(n, c, s, a + i * lda, a + (i + 1) * lda);
    }
    p = -s * s2 * c3 * e_below * e[l] / below;
    e[l] = s * p;
    d[l] = c * p;
    return shift;
}

static bool diagonal(int64_t n, double *a, int64_t lda, double *d, double *e)
{
    double shift = 0, size = 0;
    for (int64_t l = 0; l < n; l++) {
        const double here = fabs(d[l]) + fabs(e[l]);
        size = here > size ? here : size;
        int64_t m = l;
        while (fabs(e[m]) > DBL_EPSILON * size)
            m++;
        for (int step = 0; m > l && fabs(e[l]) > DBL_EPSILON * size; step++) {
            if (step == 100)
                return false;
            shift += ql_step(n, a, lda, d, e, l, m);
        }
        d[l] += shift;
        e[l] = 0;
    }
    return true;
}

static void sort_ascending(int64_t n, double *a, int64_t lda, double *d)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t least = i;
        for (int64_t j = i + 1; j < n; j++)
            if (d[j] < d[least])
                least = j;
        if (least == i)
            continue;
        const double value = d[i];
        d[i] = d[least];
        d[least] = value;
        mtl__rotate_f64(n, 0, 1, a + i * lda, a + least * lda); /* they change places, one turned */
    }
}

bool mtl__eigen_symmetric(int64_t n, double *a, int64_t lda, double *values, double *scratch)
{
    const double size = largest(n, a, lda);
    if (!isfinite(size))
        return false;
    for (int64_t i = 0; i < n && size > 0; i++)
        for (int64_t j = 0; j <= i; j++)
            a[i * lda + j] /= size; /* so that no square overflows */
    if (n == 0)
        return true;
    tridiagonal(n, a, lda, values, scratch);
    expand(n, a, lda);
    if (!diagonal(n, a, lda, values, scratch))
        return false;
    sort_ascending(n, a, lda, values);
    for (int64_t i = 0; i < n; i++)
        values[i] *= size;
    return true;
}
