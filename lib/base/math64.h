/* SPDX-License-Identifier: MIT */
/* exp and log in double from plain arithmetic: the same bits wherever IEEE 754 holds, which the C
   library does not promise. For statistics and random numbers, not for inner loops. */
#ifndef MTL__MATH64_H
#define MTL__MATH64_H

/* Error below 1 ULP. log(0) = -inf, of a negative number or NaN: NaN. Subnormals are exact inputs.
 */
double mtl__log_f64(double x);

/* Error below 1 ULP where the result is normal; below that one more rounding. */
double mtl__exp_f64(double x);

/* cos(pi x) for 0 <= x <= 1. Error below 2^-52, and exact at 0, 1/2 and 1. */
double mtl__cos_pi_f64(double x);

/* fmax and fmin, for which libm would be loaded: of a number and NaN, the number. */
static inline double mtl__max_f64(double a, double b)
{
    return a > b || b != b ? a : b;
}

static inline double mtl__min_f64(double a, double b)
{
    return a < b || b != b ? a : b;
}

#endif
