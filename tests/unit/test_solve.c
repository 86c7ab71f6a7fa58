/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "rng/rng.h"
#include "solve/solve.h"

#define MOST 70

static double a[MOST * MOST], kept[MOST * MOST], values[MOST], scratch[MOST];

/* A = F F' with F [n, rank] of normal numbers; the upper triangle is NaN, which nothing may read.
 */
static void make(int64_t n, int64_t rank, int64_t lda)
{
    mtl__rng r = mtl__rng_make((uint64_t)(n * 1000 + rank), 100, 0);
    static double f[MOST * MOST];
    for (int64_t i = 0; i < n * rank; i++)
        f[i] = mtl__rng_normal(&r);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < lda; j++)
            a[i * lda + j] = j <= i ? mtl__dot_f64(rank, f + i * rank, f + j * rank) : (double)NAN;
    memcpy(kept, a, sizeof kept);
}

static double original(int64_t i, int64_t j, int64_t lda)
{
    return kept[i > j ? i * lda + j : j * lda + i];
}

START_TEST(rows_are_summed_and_rotated)
{
    double x[21], y[21], z[21];
    for (int n = 0; n <= 20; n++) {
        double sum = 0;
        for (int i = 0; i <= n; i++) {
            x[i] = i + 1;
            y[i] = z[i] = 2 * i - 7;
            sum += i < n ? x[i] * y[i] : 0;
        }
        ck_assert(mtl__dot_f64(n, x, y) == sum);
        mtl__axpy_f64(n, 3, x, y);
        for (int i = 0; i <= n; i++)
            ck_assert(y[i] == z[i] + (i < n ? 3 * x[i] : 0));
        mtl__rotate_f64(n, 3, 4, x, z);
        for (int i = 0; i < n; i++) {
            ck_assert(x[i] == 3 * (i + 1) - 4 * (2 * i - 7));
            ck_assert(z[i] == 4 * (i + 1) + 3 * (2 * i - 7));
        }
        ck_assert(x[n] == n + 1 && z[n] == 2 * n - 7);
    }
}
END_TEST

START_TEST(cholesky_gives_back_the_matrix)
{
    for (int64_t n = 1; n <= 40; n++) {
        const int64_t lda = n + n % 3;
        make(n, n + 3, lda);
        ck_assert_int_eq(mtl__cholesky(n, a, lda, MTL__PIVOT_GUARD(n)), n);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                assert_near(mtl__dot_f64(j + 1, a + i * lda, a + j * lda), original(i, j, lda),
                            1e-13);
    }
}
END_TEST

START_TEST(systems_are_solved)
{
    double x[MOST], b[MOST];
    for (int64_t n = 1; n <= 40; n++) {
        make(n, n + 20, n);
        for (int64_t i = 0; i < n; i++)
            b[i] = x[i] = (double)(i % 7) - 2;
        ck_assert_int_eq(mtl__cholesky(n, a, n, MTL__PIVOT_GUARD(n)), n);
        mtl__cholesky_solve(n, a, n, x);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++)
                sum += original(i, j, n) * x[j];
            assert_near(sum, b[i], 1e-10);
        }
    }
}
END_TEST

START_TEST(dependent_rows_are_counted_and_left_out)
{
    double x[12], b[12];
    make(12, 5, 12);
    /* A right-hand side in the range: A times ones. */
    for (int64_t i = 0; i < 12; i++) {
        b[i] = 0;
        for (int64_t j = 0; j < 12; j++)
            b[i] += original(i, j, 12);
        x[i] = b[i];
    }
    ck_assert_int_eq(mtl__cholesky(12, a, 12, 1e-10), 5);
    mtl__cholesky_solve(12, a, 12, x);
    for (int64_t i = 0; i < 12; i++) {
        double sum = 0;
        for (int64_t j = 0; j < 12; j++)
            sum += original(i, j, 12) * x[j];
        assert_near(sum, b[i], 1e-9);
        ck_assert(i < 5 || x[i] == 0);
    }
    memset(a, 0, sizeof a);
    ck_assert_int_eq(mtl__cholesky(3, a, 3, MTL__PIVOT_GUARD(3)), 0);
    x[0] = 1;
    mtl__cholesky_solve(3, a, 3, x);
    ck_assert(x[0] == 0 && x[1] == 0 && x[2] == 0);
}
END_TEST

START_TEST(cholesky_refuses_what_is_not_finite)
{
    make(5, 8, 5);
    a[3 * 5 + 1] = (double)NAN;
    ck_assert_int_eq(mtl__cholesky(5, a, 5, 0), 0);
    make(5, 8, 5);
    a[4 * 5 + 4] = (double)INFINITY;
    ck_assert_int_eq(mtl__cholesky(5, a, 5, 0), 0);
}
END_TEST

/* Rows of a are orthonormal, values ascend, and the sum of value v v' is the matrix. */
static void assert_decomposed(int64_t n, int64_t lda, double size)
{
    for (int64_t i = 0; i < n; i++) {
        ck_assert(i == 0 || values[i] >= values[i - 1]);
        for (int64_t j = 0; j <= i; j++)
            assert_near(mtl__dot_f64(n, a + i * lda, a + j * lda), i == j, 1e-13);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += values[k] * a[k * lda + i] * a[k * lda + j];
            ck_assert_msg(fabs(sum - original(i, j, lda)) <= 1e-13 * size, "%lld of %lld: %g",
                          (long long)i, (long long)n, sum - original(i, j, lda));
        }
}

START_TEST(eigenvectors_give_back_the_matrix)
{
    for (int64_t n = 0; n <= MOST; n += 1 + n / 8)
        for (int64_t rank = 1; rank <= n; rank += 1 + n / 2) {
            const int64_t lda = n < MOST ? n + n % 2 : n;
            make(n, rank, lda);
            ck_assert(mtl__eigen_symmetric(n, a, lda, values, scratch));
            assert_decomposed(n, lda, (double)(n * rank));
        }
}
END_TEST

START_TEST(eigenvalues_by_hand)
{
    /* The second difference: 2 - 2 cos(k pi / (n + 1)). */
    const int64_t n = 5;
    memset(a, 0, sizeof a);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + i] = 2;
        if (i > 0)
            a[i * n + i - 1] = -1;
    }
    memcpy(kept, a, sizeof a);
    ck_assert(mtl__eigen_symmetric(n, a, n, values, scratch));
    const double expected[] = {2 - sqrt(3), 1, 2, 3, 2 + sqrt(3)};
    for (int64_t i = 0; i < n; i++)
        assert_near(values[i], expected[i], 1e-15);
    assert_decomposed(n, n, 1);
}
END_TEST

START_TEST(eigenvalues_of_any_size_and_equal_ones)
{
    const double sizes[] = {0, 1e-300, 1e-160, 1e160, 1e300};
    for (int64_t k = 0; k < MTL__COUNT_OF(sizes); k++) {
        const double figure[] = {2, 0, 1, 1, 0, 2, 0, 0, 0};
        for (int64_t i = 0; i < 9; i++)
            a[i] = kept[i] = figure[i] * sizes[k];
        a[3] = kept[3] = sizes[k]; /* lower triangle: 2; 1 0; 0 0 0 */
        ck_assert(mtl__eigen_symmetric(3, a, 3, values, scratch));
        assert_decomposed(3, 3, sizes[k]);
    }
    memset(a, 0, sizeof a);
    for (int64_t i = 0; i < 6; i++)
        a[i * 6 + i] = kept[i * 6 + i] = 7;
    ck_assert(mtl__eigen_symmetric(6, a, 6, values, scratch));
    for (int64_t i = 0; i < 6; i++)
        ck_assert(values[i] == 7);
}
END_TEST

START_TEST(eigen_refuses_what_is_not_finite)
{
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int64_t k = 0; k < 3; k++)
        for (int64_t at = 0; at < 3; at++) {
            make(3, 4, 3);
            a[2 * 3 + at] = bad[k];
            ck_assert(!mtl__eigen_symmetric(3, a, 3, values, scratch));
        }
}
END_TEST

/* FNV-1a of a decomposition: a change of the bits is a change of what models are fitted to. */
START_TEST(bits_are_these)
{
    make(30, 40, 30);
    ck_assert(mtl__eigen_symmetric(30, a, 30, values, scratch));
    uint64_t hash = 0xcbf29ce484222325;
    for (int64_t i = 0; i < 30 * 31; i++) {
        uint64_t bits;
        memcpy(&bits, i < 900 ? &a[i] : &values[i - 900], sizeof bits);
        hash = (hash ^ bits) * 0x100000001b3;
    }
    ck_assert_msg(hash == 0x25ff0faa66933342, "hash %llx", (unsigned long long)hash);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("solve");
    add_case(s, "rows are summed and rotated", rows_are_summed_and_rotated);
    add_case(s, "Cholesky gives back the matrix", cholesky_gives_back_the_matrix);
    add_case(s, "systems are solved", systems_are_solved);
    add_case(s, "dependent rows are left out", dependent_rows_are_counted_and_left_out);
    add_case(s, "Cholesky refuses what is not finite", cholesky_refuses_what_is_not_finite);
    add_case(s, "eigenvectors give back the matrix", eigenvectors_give_back_the_matrix);
    add_case(s, "eigenvalues by hand", eigenvalues_by_hand);
    add_case(s, "eigenvalues of any size", eigenvalues_of_any_size_and_equal_ones);
    add_case(s, "the eigenproblem refuses what is not finite", eigen_refuses_what_is_not_finite);
    add_case(s, "bits are these", bits_are_these);
    return run_suite(s);
}
