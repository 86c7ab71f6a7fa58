/* SPDX-License-Identifier: MIT */
/* Kinds that invert the Gramian, or a root of it, over the space that the rows span. Its dimension
   is taken from the rows scaled to length 1, so that short rows do not pass for dependent ones. */
#include "aggregate/aggregate_priv.h"

#include <string.h>

/* Cyclic Jacobi method (Golub & Van Loan, section 8.5): a = V diag V', rows of v the vectors. It
   finds small eigenvalues of a graded matrix to their own size (Demmel & Veselić 1992), which these
   are. */
static void rotate(int64_t k, double *a, double *v, int64_t p, int64_t q)
{
    const double apq = a[p * k + q], theta = (a[q * k + q] - a[p * k + p]) / (2 * apq);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double cosine = 1 / sqrt(t * t + 1), sine = t * cosine;
    for (int64_t i = 0; i < k; i++) {
        const double x = a[i * k + p], y = a[i * k + q];
        a[i * k + p] = cosine * x - sine * y;
        a[i * k + q] = sine * x + cosine * y;
    }
    for (int64_t i = 0; i < k; i++) {
        const double x = a[p * k + i], y = a[q * k + i];
        a[p * k + i] = cosine * x - sine * y;
        a[q * k + i] = sine * x + cosine * y;
    }
    for (int64_t i = 0; i < k; i++) {
        const double x = v[p * k + i], y = v[q * k + i];
        v[p * k + i] = cosine * x - sine * y;
        v[q * k + i] = sine * x + cosine * y;
    }
    a[p * k + q] = a[q * k + p] = 0;
}

/* Overwrites a; its diagonal becomes the eigenvalues. */
static void eigen(int64_t k, double *a, double *v)
{
    double trace = 0;
    for (int64_t i = 0; i < k * k; i++)
        v[i] = i % (k + 1) == 0;
    for (int64_t i = 0; i < k; i++)
        trace += a[i * k + i];
    for (int sweep = 0, rotations = 1; rotations > 0 && sweep < 60; sweep++) {
        rotations = 0;
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = p + 1; q < k; q++) {
                const double size = sqrt(fabs(a[p * k + p])) * sqrt(fabs(a[q * k + q]));
                if (fabs(a[p * k + q]) > 0x1p-53 * size + 0x1p-96 * trace) {
                    rotate(k, a, v, p, q);
                    rotations++;
                }
            }
    }
}

/* Eigenvalues above rounding are the rank's; of the others the inverse is taken as 0. Returns the
 *rank; least = the smallest eigenvalue that counts. */
static int64_t rank_of_units(mtl__agg *p, double *a, double *v, double *least)
{
    const int64_t k = p->k;
    int64_t rank = 0;
    double most = 0;
    memcpy(a, p->c, (size_t)(k * k) * sizeof *a);
    eigen(k, a, v);
    for (int64_t i = 0; i < k; i++)
        most = mtl__max_f64(most, a[i * k + i]);
    *least = most;
    for (int64_t i = 0; i < k; i++)
        if (a[i * k + i] > (double)k * 0x1p-46 * most) {
            rank++;
            *least = mtl__min_f64(*least, a[i * k + i]);
        }
    return rank;
}

/* x += sum over eigenvalues >= least of v v'b lambda^-1, or with a root lambda^-1/2. */
static void apply_inverse(int64_t k, const double *a, const double *v, double least, bool root,
                          const double *b, double *x)
{
    memset(x, 0, (size_t)k * sizeof *x);
    for (int64_t i = 0; i < k; i++) {
        const double lambda = a[i * k + i], *row = v + i * k;
        if (!(lambda >= least))
            continue;
        const double part = mtl__dot_f64(k, row, b) / (root ? sqrt(lambda) : lambda);
        for (int64_t j = 0; j < k; j++)
            x[j] += part * row[j];
    }
}

/* The eigenvalue of G that is number `rank` from above: those below it are dropped. */
static double nth_largest(int64_t k, const double *a, int64_t rank)
{
    for (int64_t i = 0; i < k; i++) {
        int64_t above = 0;
        for (int64_t j = 0; j < k; j++)
            above += a[j * k + j] > a[i * k + i] || (a[j * k + j] == a[i * k + i] && j < i);
        if (above == rank - 1)
            return a[i * k + i];
    }
    return 0;
}

/* G in eigenvectors with the rank of the unit rows; returns the smallest eigenvalue kept. */
static double decompose(mtl__agg *p, double *a, double *v, int64_t *rank)
{
    double least;
    *rank = rank_of_units(p, a, v, &least);
    memcpy(a, p->g, (size_t)(p->k * p->k) * sizeof *a);
    eigen(p->k, a, v);
    return nth_largest(p->k, a, *rank);
}

/* Aligned-MTL (Senushkin et al. 2023, equation 11): w = sigma B pref, B = G^-1/2, sigma the root of
   the smallest, the median or the mean eigenvalue. */
void mtl__agg_aligned(mtl__agg *p)
{
    enum { MIN, MEDIAN, MEAN };
    const int64_t k = p->k;
    const int mode = (int)mtl__agg_param(p, 0);
    double *a = p->work, *v = a + k * k, *x = v + k * k, *y = x + k;
    int64_t rank;
    const double least = decompose(p, a, v, &rank);
    double scale = least, sum = 0;
    if (mode == MEDIAN) /* the lower one of two */
        scale = nth_largest(k, a, rank / 2 + 1);
    for (int64_t i = 0; i < k; i++)
        sum += a[i * k + i] >= least ? a[i * k + i] / (double)rank : 0;
    if (mode == MEAN)
        scale = sum;
    apply_inverse(k, a, v, least, true, p->pref, p->w);
    /* G^1/2 G^1/2 B B pref is pref again, as far as the rows span. */
    apply_inverse(k, a, v, least, true, p->w, x);
    mtl__agg_times(k, p->g, x, y);
    for (int64_t i = 0; i < k; i++) {
        const double *row = v + i * k;
        const double error = mtl__dot_f64(k, row, y) - mtl__dot_f64(k, row, p->pref);
        p->residual = mtl__max_f64(p->residual, a[i * k + i] >= least ? fabs(error) : 0);
    }
    p->residual /= sqrt(mtl__dot_f64(k, p->pref, p->pref));
    for (int64_t i = 0; i < k; i++)
        p->w[i] *= sqrt(scale);
}

/* ConFIG (Liu et al. 2024, equation 4): the direction whose cosines with the rows stand as pref, as
   long as the rows' parts along it together. Opposite rows leave none: then 0. */
void mtl__agg_config(mtl__agg *p)
{
    const int64_t k = p->k;
    double *a = p->work, *v = a + k * k, *x = v + k * k, *y = x + k, least, along = 0;
    rank_of_units(p, a, v, &least);
    apply_inverse(k, a, v, least, false, p->pref, x);
    mtl__agg_times(k, p->c, x, y);
    const double square = mtl__dot_f64(k, x, y);
    for (int64_t i = 0; i < k; i++)
        along += p->s[i] * y[i];
    if (!(square > 0x1p-80 * mtl__dot_f64(k, p->pref, p->pref)))
        return;
    for (int64_t i = 0; i < k; i++)
        p->w[i] = x[i] / p->s[i] * (along / square);
    /* Normal equations, relative. */
    double *z = y + k;
    for (int64_t i = 0; i < k; i++)
        y[i] -= p->pref[i];
    mtl__agg_times(k, p->c, y, z);
    p->residual = sqrt(mtl__dot_f64(k, z, z) / mtl__dot_f64(k, p->pref, p->pref));
}

/* IMTL-G (Liu et al. 2021, equation 6): the same projection on every unit row, weights of sum 1, so
   w ~ G^+ s. Where no direction has it, or the weights have no sum, the nearest point of the hull.
 */
void mtl__agg_imtl_g(mtl__agg *p)
{
    const int64_t k = p->k;
    double *a = p->work, *v = a + k * k, *x = v + k * k, *y = x + k, least, sum = 0, size = 0;
    int64_t rank = rank_of_units(p, a, v, &least);
    for (int64_t i = 0; i < k; i++)
        y[i] = 1;
    apply_inverse(k, a, v, least, false, y, x);
    if (rank == k)
        for (int64_t i = 0; i < k; i++)
            x[i] /= p->s[i];
    else {
        least = decompose(p, a, v, &rank);
        apply_inverse(k, a, v, least, false, p->s, x);
    }
    for (int64_t i = 0; i < k; i++) {
        sum += x[i];
        size += fabs(x[i]);
        y[i] = x[i] * p->s[i];
    }
    double *z = y + k;
    mtl__agg_times(k, p->c, y, z);
    for (int64_t i = 0; i < k; i++)
        p->residual = mtl__max_f64(p->residual, fabs(z[i] - 1));
    if (!(fabs(sum) > 1e-9 * size) || p->residual > 1e-3) {
        mtl__agg_mgda(p);
        return;
    }
    for (int64_t i = 0; i < k; i++)
        p->w[i] = x[i] / sum;
}
