/* SPDX-License-Identifier: MIT */
/* Optimizers, one element after the other: the text of vec.h. */
#ifndef MTL__UPDATE_C_H
#define MTL__UPDATE_C_H

static float normal_or_zero(float x)
{
    return fabsf(x) < 0x1p-126f ? 0.0f : x;
}

static float sign_of(float x)
{
    return fabsf(x) > 0 ? copysignf(1.0f, x) : x; /* 0 and NaN stay */
}

static void adam_element(const mtl__adam_step *s, float *w, float g, float *m, float *v)
{
    const float rest1 = 1.0f - s->beta1, rest2 = 1.0f - s->beta2;
    float sign = *w == 0 ? 0.0f : copysignf(1.0f, *w);
    float e = mtl__fma(s->l1, sign, mtl__fma(s->l2, *w, g));
    *m = normal_or_zero(mtl__fma(s->beta1, *m, rest1 * e));
    *v = normal_or_zero(mtl__fma(s->beta2, *v, rest2 * e * e));
    float root = mtl__fma(sqrtf(*v), s->inv_sqrt_bias2, s->eps);
    *w = mtl__fma(-s->step_size, *m / root, *w);
}

void mtl__vec_adam_c(int64_t n, float *w, const float *g, float *m, float *v,
                     const mtl__adam_step *s)
{
    for (int64_t i = 0; i < n; i++)
        adam_element(s, w + i, g[i], m + i, v + i);
}

static void update_element(const mtl__update_step *s, float *w, float g, float *m, float *v,
                           float *top)
{
    float e = mtl__fma(s->l1, sign_of(*w), mtl__fma(s->l2, *w, g)), root = 1;
    if (v) {
        float power = normal_or_zero(mtl__fma(s->v_keep, *v, s->v_new * e * e));
        *v = power;
        if (top)
            *top = power = *top > power ? *top : power;
        root = mtl__fma(sqrtf(power), s->root_scale, s->eps);
    }
    if (s->divide_first)
        e /= root;
    float u = s->use_e * e;
    if (m) {
        u = mtl__fma(s->use_m, *m, u);
        *m = normal_or_zero(mtl__fma(s->m_keep, *m, s->m_new * e));
    }
    if (!s->divide_first)
        u /= root; /* 1 without v */
    if (s->sign)
        u = sign_of(u);
    *w = mtl__fma(-s->rate, u, s->keep * *w);
}

void mtl__vec_update_c(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                       const mtl__update_step *s)
{
    for (int64_t i = 0; i < n; i++)
        update_element(s, w + i, g[i], m ? m + i : NULL, v ? v + i : NULL, top ? top + i : NULL);
}

#endif
