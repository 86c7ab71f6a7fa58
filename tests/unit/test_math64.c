/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include <float.h>

#include "base/math64.h"

/* A xorshift generator (Marsaglia 2003): the library's own is not what is tested here. */
static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static double unit(uint64_t *s)
{
    return (double)(next(s) >> 11) * 0x1p-53;
}

/* Distance to a value known to 64 bits or more, in units of the last place of a double. */
static double ulps(double x, long double exact)
{
    int e;
    frexp((double)exact, &e);
    return (double)(fabsl((long double)x - exact) /
                    (long double)ldexp(1, (e < -1021 ? -1021 : e) - 53));
}

START_TEST(log_is_within_one_ulp)
{
    uint64_t s = 88172645463325252u;
    for (int i = 0; i < 300000; i++) {
        double x;
        uint64_t bits = next(&s) & INT64_MAX;
        memcpy(&x, &bits, sizeof x); /* every exponent, subnormals too */
        if (i % 3 == 1)
            x = 0.5 + unit(&s); /* where the result is near 0 */
        if (i % 3 == 2)
            x = 1 + ldexp(unit(&s) - 0.5, -(int)(next(&s) % 52));
        if (isfinite(x) && x > 0)
            ck_assert_msg(ulps(mtl__log_f64(x), logl((long double)x)) < 1, "log(%a) = %a", x,
                          mtl__log_f64(x));
    }
}
END_TEST

START_TEST(log_of_special_values)
{
    ck_assert(mtl__log_f64(1) == 0 && !signbit(mtl__log_f64(1)));
    ck_assert(mtl__log_f64(0.0) == (double)-INFINITY && mtl__log_f64(-0.0) == (double)-INFINITY);
    ck_assert(mtl__log_f64(INFINITY) == (double)INFINITY);
    ck_assert(isnan(mtl__log_f64(-1)) && isnan(mtl__log_f64(NAN)));
    ck_assert(isnan(mtl__log_f64(-(double)INFINITY)));
}
END_TEST

START_TEST(exp_is_within_one_ulp)
{
    uint64_t s = 88172645463325252u;
    for (int i = 0; i < 300000; i++) {
        double x = (unit(&s) - 0.5) * (i % 2 ? 4 : 1416);
        long double exact = expl((long double)x);
        if (exact >= (long double)DBL_MIN && exact <= (long double)DBL_MAX)
            ck_assert_msg(ulps(mtl__exp_f64(x), exact) < 1, "exp(%a) = %a", x, mtl__exp_f64(x));
        else
            ck_assert_msg(ulps(mtl__exp_f64(x), exact) <= 1 || isinf(mtl__exp_f64(x)), "exp(%a)",
                          x);
    }
}
END_TEST

START_TEST(exp_of_special_values)
{
    ck_assert(mtl__exp_f64(0) == 1 && mtl__exp_f64(-0.0) == 1);
    ck_assert(mtl__exp_f64(709.782712893384) <= DBL_MAX);
    ck_assert(mtl__exp_f64(709.782712893385) == (double)INFINITY);
    ck_assert(mtl__exp_f64(INFINITY) == (double)INFINITY);
    ck_assert(mtl__exp_f64(-(double)INFINITY) == 0 && mtl__exp_f64(-1e300) == 0);
    ck_assert(mtl__exp_f64(-744) > 0); /* subnormal */
    ck_assert(isnan(mtl__exp_f64(NAN)));
}
END_TEST

START_TEST(cos_of_parts_of_pi)
{
    const long double pi = 3.141592653589793238462643383279502884L;
    uint64_t s = 88172645463325252u;
    ck_assert(mtl__cos_pi_f64(0) == 1 && mtl__cos_pi_f64(0.5) == 0 && mtl__cos_pi_f64(1) == -1);
    for (int i = 0; i < 300000; i++) {
        double x = unit(&s);
        long double error = (long double)mtl__cos_pi_f64(x) - cosl(pi * (long double)x);
        ck_assert_msg(fabsl(error) < 0x1p-52L, "cos(pi %a) = %a", x, mtl__cos_pi_f64(x));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("math64");
    add_case(s, "log is within one ULP", log_is_within_one_ulp);
    add_case(s, "log of special values", log_of_special_values);
    add_case(s, "exp is within one ULP", exp_is_within_one_ulp);
    add_case(s, "exp of special values", exp_of_special_values);
    add_case(s, "cos of parts of pi is within 2^-52", cos_of_parts_of_pi);
    return run_suite(s);
}
