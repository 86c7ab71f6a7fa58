/* SPDX-License-Identifier: MIT */
#include "layer/initializer.h"

#include <math.h>

static const mtl__initializer rows[] = {
    {{.name = "glorot_uniform"}, .normal = false, .fan_both = true},
    {{.name = "glorot_normal"}, .normal = true, .fan_both = true},
    {{.name = "he_uniform"}, .normal = false, .fan_both = false},
    {{.name = "he_normal"}, .normal = true, .fan_both = false},
};

const mtl__choice_table mtl__initializers = MTL__CHOICE_TABLE("initializer", rows);

/* Glorot & Bengio 2010, eq. 16: variance 2 / (in + out); He et al. 2015, eq. 10: 2 / in. A uniform
   number in [-a, a) has variance a^2 / 3. */
void mtl__initialize(const mtl__initializer *init, mtl__rng *rng, int64_t in, int64_t out, float *w,
                     int64_t ld)
{
    double variance = 2.0 / (double)(init->fan_both ? in + out : in);
    double bound = sqrt(3.0 * variance), deviation = sqrt(variance);
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++)
            w[i * ld + j] = (float)(init->normal ? deviation * mtl__rng_normal(rng)
                                                 : bound * (2.0 * mtl__rng_f64(rng) - 1.0));
}
