/* SPDX-License-Identifier: MIT */
/* Small dense linear algebra in double: Cholesky, the symmetric eigenproblem, triangular systems.
   Matrices are row-major with a stride in elements; of a symmetric one the lower triangle alone is
   read. All work goes along rows by the three functions on top, whose sums have a fixed order, so
   the bits are the same everywhere. Nothing is allocated. */
#ifndef MTL__SOLVE_H
#define MTL__SOLVE_H

#include "base/base.h"

/* Sum of a[i] b[i]: eight lanes and one tree. */
double mtl__dot_f64(int64_t n, const double *a, const double *b);
/* y += s x */
void mtl__axpy_f64(int64_t n, double s, const double *x, double *y);
/* (a, b) = (c a - s b, s a + c b) for each element. */
void mtl__rotate_f64(int64_t n, double c, double s, double *a, double *b);

/* The default of `guard` below: what rounding leaves of a pivot that is zero. */
#define MTL__PIVOT_GUARD(n) ((double)(n)*0x1p-52)

/* A = L L' for a positive semidefinite A [n, n]: L replaces the lower triangle. A pivot not above
   guard times its diagonal element belongs to a row that depends on those before it: its column of
   L becomes zero, and solving gives 0 for its unknown. Returns the number of the other pivots, the
   rank; 0 where an element is not finite. */
int64_t mtl__cholesky(int64_t n, double *a, int64_t lda, double guard);
/* x = L^-1 x, and x = L'^-1 x. */
void mtl__lower_solve(int64_t n, const double *l, int64_t ldl, double *x);
void mtl__lower_solve_transposed(int64_t n, const double *l, int64_t ldl, double *x);
/* x = (L L')^-1 x */
void mtl__cholesky_solve(int64_t n, const double *l, int64_t ldl, double *x);

/* A = sum of value_i v_i v_i' for a symmetric A [n, n]: its rows become the vectors v_i of length
   1, the values ascend. scratch: n. False, and nothing of use in A, where an element is not finite.
   Householder's tridiagonal form, then QL with implicit shifts (Bowdler, Martin, Reinsch &
   Wilkinson 1968; Wilkinson & Reinsch 1971, II/2 and II/4): about 2 n^3 multiply-adds. */
bool mtl__eigen_symmetric(int64_t n, double *a, int64_t lda, double *values, double *scratch);

#endif
