/* SPDX-License-Identifier: MIT */
/* Elementary functions over the lanes of a vector, from IEEE operations alone, so the same bits
   everywhere. Included after a simd_<isa>.h. Polynomials were fitted for least relative error with
   coefficients held to floats (Sollya, fpminimax).

   Largest error over all floats, in units of the last place of the exact result. Measured by
   mtl_checkkern, which fails above the bound:

       exp      bound 1.02  gradual underflow; below 2^-150 0, above the largest float inf
       log      bound 1.0   log(0) = -inf, log(x < 0) = NaN; subnormal x are exact inputs
       log1p    bound 1.5   log1p(-1) = -inf, log1p(x < -1) = NaN, log1p(-0) = -0
       tanh     bound 1.5   odd, never beyond +-1; tanh(-0) = -0
       sigmoid  bound 2.5   gradual underflow, never beyond 1

   Each gives NaN for NaN. */
#ifndef MTL__VEC_MATH_H
#define MTL__VEC_MATH_H

/* Adding and taking away 1.5 * 2^23 rounds |x| < 2^22 to an integer; between the two, the integer
   stands in the low bits. */
#define ROUNDER 0x1.8p23f

/* One step of Horner's rule. Written out below, as not every compiler unrolls a loop of them. */
VEC_INLINE vf step(vf sum, vf x, float c)
{
    return vf_fma(sum, x, vf_set1(c));
}

VEC_INLINE vf vf_abs(vf x)
{
    return vi_floats(vi_and(vf_bits(x), vi_set1(0x7fffffffu)));
}

/* -|x| */
VEC_INLINE vf vf_minus_abs(vf x)
{
    return vi_floats(vi_or(vf_bits(x), vi_set1(0x80000000u)));
}

/* x with its sign bit also set where that of s is. */
VEC_INLINE vf vf_or_sign(vf x, vf s)
{
    return vi_floats(vi_or(vf_bits(x), vi_and(vf_bits(s), vi_set1(0x80000000u))));
}

#ifndef MTL__VF_LDEXP
/* a 2^n, rounded once, for a in [0.5, 2) and an integer n in [-150, 129]; NaN for a = NaN. In two
   steps, as 2^n need not be a normal number; only the second can round. */
VEC_INLINE vf vf_ldexp(vf a, vf n)
{
    const vi one = vi_set1(0x3f800000u);
    vi k = vi_sub(vf_bits(vf_add(n, vf_set1(ROUNDER))), vf_bits(vf_set1(ROUNDER)));
    vi half = vi_sar(k, 1), rest = vi_sub(k, half);
    a = vf_mul(a, vi_floats(vi_add(vi_shl(half, 23), one)));
    return vf_mul(a, vi_floats(vi_add(vi_shl(rest, 23), one)));
}
#endif

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2. The high part of ln 2 has 15 bits: n times it is exact. */
VEC_INLINE vf vf_exp(vf x)
{
    /* exp of the limits is inf and 0; NaN passes, as the second operand of both. */
    x = vf_max(vf_set1(-104.0f), vf_min(vf_set1(89.0f), x));
    vf n = vf_fma(x, vf_set1(0x1.715476p0f), vf_set1(ROUNDER));
    n = vf_sub(n, vf_set1(ROUNDER));
    vf r = vf_fnma(n, vf_set1(0x1.62e4p-1f), x);
    r = vf_fnma(n, vf_set1(0x1.7f7d1cp-20f), r);
    vf q = vf_set1(0x1.6a624cp-10f);
    q = step(q, r, 0x1.123abcp-7f);
    q = step(q, r, 0x1.55589ep-5f);
    q = step(q, r, 0x1.55549p-3f);
    q = step(q, r, 0x1.fffffcp-2f);
    vf p = vf_add(vf_fma(q, vf_mul(r, r), r), vf_set1(1.0f));
    return vf_ldexp(p, n);
}

/* exp(x), 0 for x below `least`. */
VEC_INLINE vf vf_exp_from(vf least, vf x)
{
    return vf_select(vf_lt(x, least), vf_set1(0.0f), vf_exp(vf_max(least, x)));
}

/* A logit so far below another has no probability to a loss. Squares of those above, and their products
   with what comes back through a network, are no subnormal numbers; and beside a gradient that moves a
   weight they are lost in the rounding. */
#define NO_LOGIT (-43.0f)

/* k ln 2 + log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)). ln 2 as a float is off by 0.05 ULP. */
VEC_INLINE vf log_sum(vf k, vf f)
{
    vf q = vf_set1(-0x1.2861e8p-4f);
    q = step(q, f, 0x1.00c666p-3f);
    q = step(q, f, -0x1.0ebe6cp-3f);
    q = step(q, f, 0x1.23b8dcp-3f);
    q = step(q, f, -0x1.546556p-3f);
    q = step(q, f, 0x1.99929ep-3f);
    q = step(q, f, -0x1.000236p-2f);
    q = step(q, f, 0x1.555574p-2f);
    q = step(q, f, -0.5f);
    vf p = vf_fma(q, vf_mul(f, f), f);
    return vf_fma(k, vf_set1(0x1.62e43p-1f), p);
}

/* The bits of sqrt(1/2): exponents are split so that x = 2^k m with m in [sqrt(1/2), sqrt(2)). */
#define SQRT_HALF 0x3f3504f3u

/* r where x is between low and infinity, -inf at low, NaN below it, else (inf, NaN) x. */
VEC_INLINE vf log_limits(vf x, vf low, vf r)
{
    const vf inf = vf_set1((float)INFINITY);
    vf below = vf_select(vf_eq(x, low), vf_set1(-(float)INFINITY), vf_set1((float)NAN));
    r = vf_select(vf_lt(x, inf), r, x);
    return vf_select(vf_le(x, low), below, r);
}

VEC_INLINE vf vf_log(vf x)
{
    const vm tiny = vf_lt(x, vf_set1(0x1p-126f));
    vi bits = vf_bits(vf_select(tiny, vf_mul(x, vf_set1(0x1p23f)), x));
    vi k = vi_sar(vi_sub(bits, vi_set1(SQRT_HALF)), 23);
    vf m = vi_floats(vi_sub(bits, vi_shl(k, 23)));
    vf e = vf_sub(vi_convert(k), vf_select(tiny, vf_set1(23.0f), vf_set1(0.0f)));
    return log_limits(x, vf_set1(0.0f), log_sum(e, vf_sub(m, vf_set1(1.0f))));
}

/* For finite x > -1: with 1 + x = 2^k (1 + f), f = 2^-k x + (2^-k - 1) keeps the bits of x that
   1 + x loses. 2^-k x is formed on the exponent of x, and 2^-k from 4 * 2^-k, normal for any k. */
VEC_INLINE vf log1p_finite(vf x)
{
    vi u = vf_bits(vf_add(vf_set1(1.0f), x));
    vi k = vi_sar(vi_sub(u, vi_set1(SQRT_HALF)), 23), shift = vi_shl(k, 23);
    vf scaled = vi_floats(vi_sub(vf_bits(x), shift));
    vf four = vi_floats(vi_sub(vf_bits(vf_set1(4.0f)), shift));
    vf f = vf_add(scaled, vf_fma(vf_set1(0.25f), four, vf_set1(-1.0f)));
    return log_sum(vi_convert(k), f);
}

VEC_INLINE vf vf_log1p(vf x)
{
    return vf_or_sign(log_limits(x, vf_set1(-1.0f), log1p_finite(x)), x);
}

/* Near 0 x + x^3 P(x^2), so that small x come back unchanged; else 1 - 2 / (exp(2 |x|) + 1), where
   what rounds is no larger than the result. The result rounds to 1 from 9.02 on. */
VEC_INLINE vf vf_tanh(vf x)
{
    const vf one = vf_set1(1.0f), two = vf_set1(2.0f);
    vf a = vf_abs(x), t = vf_mul(a, a);
    vf p = vf_set1(-0x1.75438ap-8f);
    p = step(p, t, 0x1.52034ep-6f);
    p = step(p, t, -0x1.b836e8p-5f);
    p = step(p, t, 0x1.1106fcp-3f);
    p = step(p, t, -0x1.555532p-2f);
    vf near = vf_fma(p, vf_mul(t, a), a);
    vf e = vf_exp(vf_add(a, a));
    vf far = vf_sub(one, vf_div(two, vf_add(e, one)));
    return vf_or_sign(vf_select(vf_lt(a, vf_set1(0.625f)), near, far), x);
}

/* 1 / (1 + exp(-x)) from e = exp(-|x|), which cannot overflow. */
VEC_INLINE vf sigmoid_from(vf x, vf e)
{
    const vf one = vf_set1(1.0f);
    return vf_div(vf_select(vf_lt(x, vf_set1(0.0f)), e, one), vf_add(one, e));
}

VEC_INLINE vf vf_sigmoid(vf x)
{
    return sigmoid_from(x, vf_exp(vf_minus_abs(x)));
}

#endif
