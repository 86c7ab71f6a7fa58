/* SPDX-License-Identifier: MIT */
#include "layer/initializer.h"

#include <math.h>

static const mtl__initializer rows[] = {
    {{.name = "glorot_uniform"}, .normal = false, .fan_both = true},
    {{.name = "glorot_normal"}, .normal = true, .fan_both = true},
    {{.name = "he_uniform"}, .normal = false, .fan_both = false},
    {{.name = "he_normal"}, .normal = true, .fan_both = false},
    {{.name = "ntk"}, .normal = true, .ntk = true},
    {{.name = "ntk_hull"}, .normal = true, .ntk = true, .hull = 5},
    {{.name = "orthogonal"}, .normal = true, .fan_both = true, .orthogonal = true},
};

const mtl__choice_table mtl__initializers = MTL__CHOICE_TABLE("initializer", rows);

/* Rows or columns of w, whichever are fewer. */
typedef struct lines {
    float *w;
    int64_t count, length, between, step;
} lines;

static double dot(const lines *l, int64_t a, int64_t b)
{
    const float *x = l->w + a * l->between, *y = l->w + b * l->between;
    double sum = 0;
    for (int64_t i = 0; i < l->length; i++)
        sum += (double)x[i * l->step] * (double)y[i * l->step];
    return sum;
}

static void take_away(const lines *l, int64_t a, int64_t b, double factor)
{
    float *x = l->w + a * l->between;
    const float *y = l->w + b * l->between;
    for (int64_t i = 0; i < l->length; i++)
        x[i * l->step] = (float)((double)x[i * l->step] - factor * (double)y[i * l->step]);
}

/* Saxe, McClelland & Ganguli 2014: Gram-Schmidt over normal numbers, each line twice, which is
   enough (Giraud et al. 2005). Lines of normal numbers are as good in any direction, so nothing is to
   be done about signs. */
static void make_orthonormal(const lines *l)
{
    for (int64_t a = 0; a < l->count; a++) {
        for (int twice = 0; twice < 2; twice++)
            for (int64_t b = 0; b < a; b++)
                take_away(l, a, b, dot(l, a, b));
        take_away(l, a, a, 1 - 1 / sqrt(dot(l, a, a)));
    }
}

static void draw_uniform(double bound, mtl__rng *rng, mtl__rng_blocks_fn *blocks, int64_t n,
                         float *w)
{
    double unit[64];
    for (int64_t i = 0; i < n; i += MTL__COUNT_OF(unit)) {
        const int64_t count = mtl__min(n - i, MTL__COUNT_OF(unit));
        mtl__rng_fill_f64(rng, blocks, count, unit);
        for (int64_t j = 0; j < count; j++)
            w[i + j] = (float)(bound * (2.0 * unit[j] - 1.0));
    }
}

static void draw_normal(double deviation, mtl__rng *rng, int64_t n, float *w)
{
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)(deviation * mtl__rng_normal(rng));
}

/* Glorot & Bengio 2010, eq. 16: variance 2 / (in + out); He et al. 2015, eq. 10: 2 / in. A uniform
   number in [-a, a) has variance a^2 / 3. */
void mtl__initialize(const mtl__initializer *init, mtl__rng *rng, mtl__rng_blocks_fn *blocks,
                     int64_t in, int64_t out, float *w, int64_t ld)
{
    double variance = (init->ntk ? 1.0 : 2.0) / (double)(init->fan_both ? in + out : in);
    for (int64_t i = 0; i < in; i++)
        if (init->normal)
            draw_normal(sqrt(variance), rng, out, w + i * ld);
        else
            draw_uniform(sqrt(3.0 * variance), rng, blocks, out, w + i * ld);
    if (init->orthogonal)
        make_orthonormal(&(lines){.w = w,
                                  .count = mtl__min(in, out),
                                  .length = mtl__max(in, out),
                                  .between = in < out ? ld : 1,
                                  .step = in < out ? 1 : ld});
}
