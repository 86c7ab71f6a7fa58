/* SPDX-License-Identifier: MIT */
/* Activations whose derivative does not follow from their output alone, or that have a parameter:
   value and derivative at once, from the argument. Included by vec_body.h.

   gelu takes the normal distribution from its Mills ratio, (1 - Phi(t)) / phi(t) = u P(u) with
   u = 1 / (1 + 0.35 t), t = |x|: a fit for least relative error, 5e-8 up to t = 14.5, where the
   density leaves the floats. What is far out in the tail therefore keeps its relative accuracy. */
#ifndef MTL__VEC_CURVE_H
#define MTL__VEC_CURVE_H

/* x > 0 ? above : below; NaN chooses below. */
VEC_INLINE vf by_sign(vf x, vf above, vf below)
{
    return vf_select(vf_lt(vf_set1(0.0f), x), above, below);
}

VEC_INLINE vf leaky_value(const mtl__curve *f, vf x, vf *slope)
{
    const vf a = vf_set1(f->a);
    *slope = by_sign(x, vf_set1(1.0f), a);
    return by_sign(x, x, vf_mul(a, x));
}

/* b x above 0, a b (exp(x) - 1) below. */
VEC_INLINE vf elu_value(const mtl__curve *f, vf x, vf *slope)
{
    const vf b = vf_set1(f->b), ab = vf_set1(f->a * f->b);
    vf e = vf_exp(by_sign(x, vf_set1(0.0f), x));
    *slope = by_sign(x, b, vf_mul(ab, e));
    return by_sign(x, vf_mul(b, x), vf_mul(ab, vf_sub(e, vf_set1(1.0f))));
}

VEC_INLINE vf gelu_value(vf x, vf *slope)
{
    const vf one = vf_set1(1.0f);
    vf t = vf_abs(x), u = vf_div(one, vf_fma(t, vf_set1(0.35f), one));
    vf q = vf_set1(-0x1.2b5e58p-4f);
    q = step(q, u, 0x1.71b26ap-2f);
    q = step(q, u, -0x1.4857a4p-1f);
    q = step(q, u, 0x1.98f0b0p-2f);
    q = step(q, u, -0x1.dca6cap-5f);
    q = step(q, u, 0x1.0eee52p-2f);
    q = step(q, u, 0x1.338e46p-2f);
    q = step(q, u, 0x1.66fffap-2f);
    q = step(q, u, 0x1.6660d2p-2f);
    vf density = vf_mul(vf_exp(vf_mul(vf_mul(t, vf_set1(-0.5f)), t)), vf_set1(0x1.988454p-2f));
    vf tail = vf_mul(vf_mul(q, u), density);
    vf below = by_sign(x, vf_sub(one, tail), tail);
    *slope = vf_fma(x, density, below);
    return vf_mul(x, below);
}

/* x s with s = sigmoid(v), and its derivative where v has the derivative dv. */
VEC_INLINE vf gated_value(vf x, vf v, vf dv, vf *slope)
{
    vf s = vf_sigmoid(v);
    *slope = vf_fma(vf_mul(x, dv), vf_fnma(s, s, s), s);
    return vf_mul(x, s);
}

/* x / 2 (1 + tanh(v / 2)) = x sigmoid(v), v = 2 sqrt(2 / pi) (x + 0.044715 x^3). */
VEC_INLINE vf gelu_tanh_value(vf x, vf *slope)
{
    const vf k = vf_set1(0x1.988454p+0f), c = vf_set1(0x1.2444f2p-4f), c3 = vf_set1(0x1.b6676cp-3f);
    vf square = vf_mul(x, x);
    return gated_value(x, vf_mul(x, vf_fma(c, square, k)), vf_fma(c3, square, k), slope);
}

VEC_INLINE vf softplus_value(vf x, vf *slope)
{
    vf e = vf_exp(vf_minus_abs(x));
    *slope = sigmoid_from(x, e);
    return vf_add(vf_max(vf_set1(0.0f), x), vf_log1p(e));
}

VEC_INLINE vf hard_swish_value(vf x, vf *slope)
{
    const vf three = vf_set1(3.0f), sixth = vf_set1(0x1.555556p-3f);
    vf ramp = vf_min(vf_set1(6.0f), vf_max(vf_set1(0.0f), vf_add(x, three)));
    vf inside = vf_mul(vf_fma(x, vf_set1(2.0f), three), sixth);
    vf left = vf_select(vf_le(x, vf_set1(-3.0f)), vf_set1(0.0f), inside);
    *slope = vf_select(vf_le(three, x), vf_set1(1.0f), left);
    return vf_mul(vf_mul(x, ramp), sixth);
}

/* x tanh(softplus(x)) = x (1 - 2 / (w^2 + 1)) with w = 1 + exp(x); beyond 20 the tanh rounds to 1. */
VEC_INLINE vf mish_value(vf x, vf *slope)
{
    const vf one = vf_set1(1.0f), two = vf_set1(2.0f);
    vf e = vf_exp(vf_min(vf_set1(20.0f), x)), n = vf_mul(e, vf_add(e, two));
    vf inverse = vf_div(one, vf_add(n, two)), t = vf_mul(n, inverse);
    /* t' = (1 - t^2) sigmoid(x), and 1 - t^2 = 4 (n + 1) / (n + 2)^2, n + 1 = (1 + e)^2 */
    vf rise = vf_mul(vf_mul(vf_set1(4.0f), vf_mul(e, vf_add(e, one))), vf_mul(inverse, inverse));
    *slope = vf_fma(x, rise, t);
    return vf_mul(x, t);
}

/* x / sqrt(1 + (a x)^2): as x near 0, never beyond 1 / a. */
VEC_INLINE vf soft_clip_value(const mtl__curve *f, vf x, vf *slope)
{
    const vf one = vf_set1(1.0f), far = vf_set1(0x1p40f);
    x = vf_max(vf_set1(-0x1p40f), vf_min(far, x));
    vf t = vf_mul(x, vf_set1(f->a));
    vf inverse = vf_div(one, vf_sqrt(vf_fma(t, t, one)));
    *slope = vf_mul(vf_mul(inverse, inverse), inverse);
    return vf_mul(x, inverse);
}

/* cos(2 pi x): x = q / 4 + r with |r| <= 1/8, so that sine and cosine of 2 pi r are short polynomials
   and q says which of them it is. Beyond 2^20 a float tells eighths of a turn at most: 1. */
VEC_INLINE vf cos_value(vf x, vf *slope)
{
    const vi one = vi_set1(1), two = vi_set1(2), bits_of_one = vi_set1(0x3f800000u);
    x = vf_max(vf_set1(-0x1p20f), vf_min(vf_set1(0x1p20f), x));
    vf shifted = vf_fma(x, vf_set1(4.0f), vf_set1(ROUNDER));
    vi q = vf_bits(shifted);
    vf r = vf_fnma(vf_sub(shifted, vf_set1(ROUNDER)), vf_set1(0.25f), x), t = vf_mul(r, r);
    vf p = vf_set1(-0x1.32f65cp+6f);
    p = step(p, t, 0x1.467fdcp+6f);
    p = step(p, t, -0x1.4abc22p+5f);
    vf sine = vf_mul(r, step(p, t, 0x1.921fb6p+2f));
    p = vf_set1(0x1.d47480p+5f);
    p = step(p, t, -0x1.55b138p+6f);
    p = step(p, t, 0x1.03c1aep+6f);
    p = step(p, t, -0x1.3bd3ccp+4f);
    vf cosine = step(p, t, 1.0f);
    const vm even = vf_eq(vi_convert(vi_and(q, one)), vf_set1(0.0f));
    vf cos_sign = vi_floats(vi_or(bits_of_one, vi_shl(vi_and(vi_add(q, one), two), 30)));
    vf sin_sign = vi_floats(vi_or(bits_of_one, vi_shl(vi_and(q, two), 30)));
    *slope = vf_mul(vf_mul(sin_sign, vf_set1(-0x1.921fb6p+2f)), vf_select(even, sine, cosine));
    return vf_mul(cos_sign, vf_select(even, cosine, sine));
}

VEC_INLINE vf curve_value(const mtl__curve *f, vf x, vf *slope)
{
    switch (f->kind) {
    case MTL__CURVE_LEAKY_RELU:
        return leaky_value(f, x, slope);
    case MTL__CURVE_ELU:
        return elu_value(f, x, slope);
    case MTL__CURVE_GELU:
        return gelu_value(x, slope);
    case MTL__CURVE_GELU_TANH:
        return gelu_tanh_value(x, slope);
    case MTL__CURVE_SILU:
        return gated_value(x, x, vf_set1(1.0f), slope);
    case MTL__CURVE_SOFTPLUS:
        return softplus_value(x, slope);
    case MTL__CURVE_MISH:
        return mish_value(x, slope);
    case MTL__CURVE_SOFT_CLIP:
        return soft_clip_value(f, x, slope);
    case MTL__CURVE_COS:
        return cos_value(x, slope);
    default:
        return hard_swish_value(x, slope);
    }
}

VEC_INLINE void curve_group(const mtl__curve *f, const float *bias, float *c, float *slope,
                            int64_t j, int n)
{
    vf d, x = take(c + j, n);
    if (bias)
        x = vf_add(x, take(bias + j, n));
    put(c + j, n, curve_value(f, x, &d));
    if (slope)
        put(slope + j, n, d);
}

static void curve(const mtl__curve *f, int64_t rows, int64_t cols, float *c, int64_t ldc,
                  const float *bias, float *slope, int64_t lds)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_GROUP_HEAVY(cols, curve_group, f, bias, c + r * ldc, slope ? slope + r * lds : NULL);
    vf_leave();
}

#endif
