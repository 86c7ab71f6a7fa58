/* SPDX-License-Identifier: MIT */
/* Optimizers on whole vectors; what is left behind the last one is done by those of the C level,
   whose vectors have one lane. Included by vec_body.h.

   The update of all but plain Adam waits for memory, so one width serves an architecture:
   VEC_UPDATE is its name, and where VEC_UPDATE_HERE is defined it is made. */
#ifndef MTL__VEC_UPDATE_H
#define MTL__VEC_UPDATE_H

/* --- Adam --------------------------------------------------------------------------------- */

typedef struct adam_lanes {
    vf beta1, rest1, beta2, rest2, eps, step_size, inv_sqrt_bias2, l1, l2;
} adam_lanes;

/* x, but 0 where |x| is below `least`. */
VEC_INLINE vf drop_below(float least, vf x)
{
    return vf_select(vf_lt(vf_abs(x), vf_set1(least)), vf_set1(0.0f), x);
}

/* Where gradients stay 0 (a dead unit), m and v would decay into subnormal numbers, round there to
   themselves for ever, and slow each later step down many times. */
#ifdef MTL__VF_DROP_SUBNORMAL
#define drop_subnormal vf_drop_subnormal
#else
VEC_INLINE vf drop_subnormal(vf x)
{
    return drop_below(0x1p-126f, x);
}
#endif

/* rest g^2, but 0 where it is subnormal or next to it: most of it would be dropped. */
VEC_INLINE vf new_square(vf rest, vf g)
{
    const vf x = drop_below(0x1p-56f, g);
    return vf_mul(vf_mul(rest, x), x);
}

/* `l1` = there is such a penalty: its sign is a fifth of the operations. */
VEC_INLINE void adam_group(const adam_lanes *s, bool l1, float *w, const float *g, float *m,
                           float *v)
{
    const vf zero = vf_set1(0.0f), one = vf_set1(1.0f);
    vf wi = vf_load(w), gi = vf_fma(s->l2, wi, vf_load(g));
    if (l1) {
        vf sign = vf_select(vf_eq(wi, zero), zero, vf_or_sign(one, wi));
        gi = vf_fma(s->l1, sign, gi);
    }
    vf first = drop_subnormal(vf_fma(s->beta1, vf_load(m), vf_mul(s->rest1, gi)));
    vf second = drop_subnormal(vf_fma(s->beta2, vf_load(v), new_square(s->rest2, gi)));
    vf root = vf_fma(vf_sqrt(second), s->inv_sqrt_bias2, s->eps);
    vf_store(m, first);
    vf_store(v, second);
    vf_store(w, vf_fnma(s->step_size, vf_div(first, root), wi));
}

void VEC_ADAM(int64_t n, float *w, const float *g, float *m, float *v, const mtl__adam_step *s)
{
    const adam_lanes lanes = {
        .beta1 = vf_set1(s->beta1),
        .rest1 = vf_set1(1.0f - s->beta1),
        .beta2 = vf_set1(s->beta2),
        .rest2 = vf_set1(1.0f - s->beta2),
        .eps = vf_set1(s->eps),
        .step_size = vf_set1(s->step_size),
        .inv_sqrt_bias2 = vf_set1(s->inv_sqrt_bias2),
        .l1 = vf_set1(s->l1),
        .l2 = vf_set1(s->l2),
    };
    int64_t i = 0;
    if (s->l1 == 0)
        for (; i <= n - LANES; i += LANES)
            adam_group(&lanes, false, w + i, g + i, m + i, v + i);
    else
        for (; i <= n - LANES; i += LANES)
            adam_group(&lanes, true, w + i, g + i, m + i, v + i);
    vf_leave();
    if (i < n)
        mtl__vec_adam_c(n - i, w + i, g + i, m + i, v + i, s);
}

/* --- the other optimizers ----------------------------------------------------------------- */

#ifdef VEC_UPDATE_HERE

VEC_INLINE vf sign_of(vf x)
{
    vm other = vf_lt(vf_set1(0.0f), vf_abs(x));
    return vf_select(other, vf_or_sign(vf_set1(1.0f), x), x); /* 0 and NaN stay */
}

/* v and top of a group; returns the root to divide by. */
VEC_INLINE vf update_power(const mtl__update_step *s, vf e, float *v, float *top)
{
    vf square = new_square(vf_set1(s->v_new), e);
    vf power = drop_subnormal(vf_fma(vf_set1(s->v_keep), vf_load(v), square));
    vf_store(v, power);
    if (top) {
        power = vf_max(vf_load(top), power);
        vf_store(top, power);
    }
    return vf_fma(vf_sqrt(power), vf_set1(s->root_scale), vf_set1(s->eps));
}

/* m of a group; returns the direction. */
VEC_INLINE vf update_moment(const mtl__update_step *s, vf e, float *m)
{
    vf u = vf_mul(vf_set1(s->use_e), e);
    if (!m)
        return u;
    vf before = vf_load(m);
    vf after = vf_fma(vf_set1(s->m_keep), before, vf_mul(vf_set1(s->m_new), e));
    vf_store(m, drop_subnormal(after));
    return vf_fma(vf_set1(s->use_m), before, u);
}

/* The branches are the same for all groups. */
VEC_INLINE void update_group(const mtl__update_step *s, float *w, const float *g, float *m,
                             float *v, float *top)
{
    vf wi = vf_load(w), root = vf_set1(1.0f);
    vf e = vf_fma(vf_set1(s->l1), sign_of(wi), vf_fma(vf_set1(s->l2), wi, vf_load(g)));
    if (v)
        root = update_power(s, e, v, top);
    if (s->divide_first)
        e = vf_div(e, root);
    vf u = update_moment(s, e, m);
    if (!s->divide_first)
        u = vf_div(u, root); /* 1 without v */
    if (s->sign)
        u = sign_of(u);
    vf_store(w, vf_fnma(vf_set1(s->rate), u, vf_mul(vf_set1(s->keep), wi)));
}

void VEC_UPDATE(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                const mtl__update_step *s)
{
    for (; n >= LANES; n -= LANES) {
        update_group(s, w, g, m, v, top);
        w += LANES, g += LANES;
        m = m ? m + LANES : m;
        v = v ? v + LANES : v;
        top = top ? top + LANES : top;
    }
    vf_leave();
    if (n > 0)
        mtl__vec_update_c(n, w, g, m, v, top, s);
}

#endif

#endif
