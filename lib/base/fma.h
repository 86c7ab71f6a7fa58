/* SPDX-License-Identifier: MIT */
/* a b + c, rounded once. Where the compiler has an instruction for it, that; elsewhere by hand, so
   that libm is not needed: to load it takes a host as long as to load this library. */
#ifndef MTL__FMA_H
#define MTL__FMA_H

#include <math.h>
#include <string.h>

#include "base/base.h"

/* The product is exact in double. The sum is rounded there to odd: where it is not exact, its last
   bit is set, away from what was lost. The 53 bits are two and more beyond the 24 of a float, so
   the second rounding then gives what one alone would (Boldo & Melquiond 2008, "Emulation of FMA
   and correctly rounded sums: proved algorithms using rounding to odd"), subnormal results too. */
static inline float mtl__fma_by_hand(float a, float b, float c)
{
    const double p = (double)a * b, z = c, sum = p + z;
    const double back = sum - p,
                 lost = (p - (sum - back)) + (z - back); /* Knuth's two-sum: exact */
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (lost != 0 && !(bits & 1) && sum - sum == 0) { /* neither infinite nor NaN */
        bits += (lost > 0) == (sum > 0) ? 1 : (uint64_t)-1;
        double odd;
        memcpy(&odd, &bits, sizeof odd);
        return (float)odd;
    }
    return (float)sum;
}

static inline float mtl__fma(float a, float b, float c)
{
#ifdef FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    return mtl__fma_by_hand(a, b, c);
#endif
}

#endif
