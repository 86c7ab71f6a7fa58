/* SPDX-License-Identifier: MIT */
#include "aggregate/aggregate_priv.h"

#include <string.h>

static const double epsilon = 0x1p-52;

static double *factor_row(const mtl__qp *q, int64_t i)
{
    return q->factor + i * q->k;
}

/* Free variable j; not where its row depends on those that are free. */
static bool add(mtl__qp *q, int64_t j)
{
    const int64_t n = q->free;
    double *l = factor_row(q, n);
    for (int64_t i = 0; i < n; i++)
        l[i] = q->a[j * q->k + q->set[i]];
    mtl__lower_solve(n, q->factor, q->k, l);
    double pivot = q->a[j * q->k + j] - mtl__dot_f64(n, l, l);
    if (!(pivot > q->a[j * q->k + j] * (double)(n + 1) * 16 * epsilon))
        return false;
    l[n] = sqrt(pivot);
    q->set[q->free++] = j;
    q->is_free[j] = true;
    return true;
}

/* Set the variable at a place of the set to 0. Without its row the factor has one element too many
   in each row below, which rotations of neighbouring columns take away. */
static void drop(mtl__qp *q, int64_t place)
{
    q->is_free[q->set[place]] = false;
    q->x[q->set[place]] = 0;
    q->free--;
    for (int64_t i = place; i < q->free; i++) {
        q->set[i] = q->set[i + 1];
        memcpy(factor_row(q, i), factor_row(q, i + 1), (size_t)(i + 2) * sizeof(double));
    }
    for (int64_t i = place; i < q->free; i++) {
        double *l = factor_row(q, i);
        const double length = sqrt(l[i] * l[i] + l[i + 1] * l[i + 1]);
        const double cosine = l[i] / length, sine = l[i + 1] / length;
        l[i] = length;
        for (int64_t r = i + 1; r < q->free; r++) {
            double *m = factor_row(q, r), x = m[i], y = m[i + 1];
            m[i] = cosine * x + sine * y;
            m[i + 1] = cosine * y - sine * x;
        }
    }
}

/* z[0 .. free) = A[set, set]^-1 b[set] by place. */
static void solve_places(const mtl__qp *q, const double *b, double *z)
{
    for (int64_t i = 0; i < q->free; i++)
        z[i] = b[q->set[i]];
    mtl__cholesky_solve(q->free, q->factor, q->k, z);
}

void mtl__qp_solve_free(const mtl__qp *q, const double *rhs, double *out)
{
    memset(out, 0, (size_t)q->k * sizeof *out);
    solve_places(q, rhs, q->z);
    for (int64_t i = 0; i < q->free; i++)
        out[q->set[i]] = q->z[i];
}

/* slope = b - A x; *noise = what rounding may have made of element j. */
static double slope_of(const mtl__qp *q, int64_t j, double *noise)
{
    const double *a = q->a + j * q->k;
    double sum = q->b[j], size = fabs(sum);
    for (int64_t i = 0; i < q->free; i++) {
        double term = a[q->set[i]] * q->x[q->set[i]];
        sum -= term;
        size += fabs(term);
    }
    *noise = 8 * epsilon * size;
    return sum;
}

/* The bound variable with the steepest slope above rounding, or -1. */
static int64_t steepest(const mtl__qp *q)
{
    int64_t best = -1;
    double most = 0;
    for (int64_t j = 0; j < q->k; j++) {
        double noise, slope;
        if (q->is_free[j] || q->is_shut[j])
            continue;
        slope = slope_of(q, j, &noise);
        if (slope > noise && slope > most) {
            most = slope;
            best = j;
        }
    }
    return best;
}

/* Go towards z, the minimum over the free variables, up to the first bound; true = z is reached. */
static bool walk(mtl__qp *q)
{
    double share = 1;
    int64_t first = -1;
    for (int64_t i = 0; i < q->free; i++) {
        double x = q->x[q->set[i]], t = x > 0 ? x / (x - q->z[i]) : 0;
        if (q->z[i] <= 0 && (first < 0 || t < share)) {
            share = t;
            first = i;
        }
    }
    for (int64_t i = 0; i < q->free; i++)
        q->x[q->set[i]] += share * (q->z[i] - q->x[q->set[i]]);
    if (first < 0)
        return true;
    for (int64_t i = q->free - 1; i >= 0; i--)
        if (i == first || q->x[q->set[i]] <= 0)
            drop(q, i);
    return false;
}

/* One step of refinement, where it stays inside. */
static void refine(mtl__qp *q)
{
    double noise;
    for (int64_t i = 0; i < q->free; i++)
        q->slope[q->set[i]] = slope_of(q, q->set[i], &noise);
    solve_places(q, q->slope, q->z);
    for (int64_t i = 0; i < q->free; i++)
        if (!(q->x[q->set[i]] + q->z[i] > 0))
            return;
    for (int64_t i = 0; i < q->free; i++)
        q->x[q->set[i]] += q->z[i];
}

/* The row of j depends on those that are free. Along x_j = t, x = x - t A^-1 a_j nothing bends:
   where j has a slope the way leads down until a free variable comes to 0, whose place j takes. */
static bool exchange(mtl__qp *q, int64_t j)
{
    double *z = q->z, share = (double)INFINITY;
    int64_t first = -1;
    solve_places(q, q->a + j * q->k, z);
    for (int64_t i = 0; i < q->free; i++) {
        const double t = q->x[q->set[i]] / z[i];
        if (z[i] > 0 && t < share) {
            share = t;
            first = i;
        }
    }
    if (first < 0)
        return false;
    for (int64_t i = 0; i < q->free; i++)
        q->x[q->set[i]] = mtl__max_f64(0, q->x[q->set[i]] - share * z[i]);
    drop(q, first);
    if (!add(q, j))
        return false;
    q->x[j] = share;
    return true;
}

static double violation(const mtl__qp *q)
{
    double worst = 0, size = 0, noise;
    for (int64_t j = 0; j < q->k; j++) {
        double slope = slope_of(q, j, &noise);
        worst = mtl__max_f64(worst, q->is_free[j] ? fabs(slope) : slope);
        size = mtl__max_f64(size, fabs(q->b[j]));
    }
    return size > 0 ? worst / size : 0;
}

double mtl__qp_solve(mtl__qp *q)
{
    q->free = 0;
    memset(q->x, 0, (size_t)q->k * sizeof *q->x);
    memset(q->is_free, 0, (size_t)q->k * sizeof *q->is_free);
    memset(q->is_shut, 0, (size_t)q->k * sizeof *q->is_shut);
    for (int64_t turn = 0; turn < 20 * q->k + 100; turn++) {
        const int64_t j = steepest(q);
        if (j < 0)
            break;
        if (!add(q, j) && !exchange(q, j)) {
            q->is_shut[j] = true;
            continue;
        }
        do
            solve_places(q, q->b, q->z);
        while (!walk(q));
        /* Where only rounding moved it, it would move it for ever. */
        if (!q->is_free[j])
            q->is_shut[j] = true;
        else
            memset(q->is_shut, 0, (size_t)q->k * sizeof *q->is_shut);
    }
    refine(q);
    return violation(q);
}
