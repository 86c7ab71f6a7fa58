/* SPDX-License-Identifier: MIT */
#include "base/math64.h"

#include <math.h>
#include <string.h>

#include "base/base.h"

/* ln 2 in two parts: the high one has 21 zero bits at its end, so that k * high is exact for every
   exponent k of a double. */
static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^k for -1022 <= k <= 1023. */
static double power_of_two(int k)
{
    return of_bits((uint64_t)(k + 1023) << 52);
}

/* c[0] + c[1] z + ... */
static double polynomial(const double *c, int64_t count, double z)
{
    double sum = c[count - 1];
    for (int64_t i = count - 2; i >= 0; i--)
        sum = sum * z + c[i];
    return sum;
}

/* With s = f / (2 + f):  log(1 + f) = 2 atanh(s) = 2 s + s R,  R = 2/3 s^2 + 2/5 s^4 + ...
   For |f| < 0.4143, s^2 < 0.0295 and twelve terms leave less than 2^-64 of the result. With
   h = f^2 / 2, 2 s = f - h + s h, so that log(1 + f) = f - (h - s (h + R)): the leading term is
   exact, and the rounding errors of the division and of the series weigh little. */
double mtl__log_f64(double x)
{
    static const double c[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                               2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23, 2.0 / 25};
    if (!(x > 0))
        return x == 0 ? -(double)INFINITY : (double)NAN;
    if (x == (double)INFINITY)
        return x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    /* x = 2^k m with m in [sqrt(1/2), sqrt(2)). */
    uint64_t u = bits_of(x);
    k += (int)(u >> 52) - 1023;
    double m = of_bits((u & 0xfffffffffffff) | 0x3ff0000000000000);
    if (m > 0x1.6a09e667f3bcdp0) {
        m *= 0.5;
        k++;
    }
    double f = m - 1, s = f / (2 + f), z = s * s;
    double r = z * polynomial(c, MTL__COUNT_OF(c), z);
    double h = 0.5 * f * f;
    return k * ln2_high - ((h - (s * (h + r) + k * ln2_low)) - f);
}

/* exp(x) = 2^k exp(r), |r| <= ln 2 / 2, by the series of exp up to r^14 (rest < 2^-63). */
double mtl__exp_f64(double x)
{
    static const double c[] = {1.0 / 2,          1.0 / 6,        1.0 / 24,        1.0 / 120,
                               1.0 / 720,        1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                               1.0 / 3628800,    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
                               1.0 / 87178291200};
    if (x != x || x > 710)
        return x + (x > 0 ? (double)INFINITY : 0);
    if (x < -746)
        return 0;
    double scaled = x * 0x1.71547652b82fep0;
    int k = (int)(scaled + (scaled < 0 ? -0.5 : 0.5));
    double high = x - k * ln2_high, low = k * ln2_low, r = high - low;
    double rest = r * r * polynomial(c, MTL__COUNT_OF(c), r);
    double y = 1 + (high + (rest - low));
    /* Two factors, since 2^k alone may lie outside the normal range. */
    return y * power_of_two(k / 2) * power_of_two(k - k / 2);
}

/* Series of cos and sin up to z^8, z <= (pi / 4)^2 (rest < 2^-58). */
double mtl__cos_pi_f64(double x)
{
    static const double c[] = {1.0,
                               -1.0 / 2,
                               1.0 / 24,
                               -1.0 / 720,
                               1.0 / 40320,
                               -1.0 / 3628800,
                               1.0 / 479001600,
                               -1.0 / 87178291200,
                               1.0 / 20922789888000};
    static const double s[] = {1.0,
                               -1.0 / 6,
                               1.0 / 120,
                               -1.0 / 5040,
                               1.0 / 362880,
                               -1.0 / 39916800,
                               1.0 / 6227020800,
                               -1.0 / 1307674368000};
    const double pi = 0x1.921fb54442d18p+1;
    if (x > 0.5)
        return -mtl__cos_pi_f64(1 - x);
    double r = pi * (x > 0.25 ? 0.5 - x : x);
    return x > 0.25 ? r * polynomial(s, MTL__COUNT_OF(s), r * r)
                    : polynomial(c, MTL__COUNT_OF(c), r * r);
}
