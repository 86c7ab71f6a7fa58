/* SPDX-License-Identifier: MIT */
#include "data/warp.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"

static double ratio(double r, const double over[8], const double under[8])
{
    double a = over[7], b = under[7];
    for (int i = 6; i >= 0; i--) {
        a = a * r + over[i];
        b = b * r + under[i];
    }
    return a / b;
}

/* PPND16 */
double mtl__normal_quantile(double p)
{
    static const double mid[2][8] = {
        {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
         1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
         3.3430575583588128105e4, 2.5090809287301226727e3},
        {1, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
         2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
         5.2264952788528545610e3}};
    static const double out[2][8] = {
        {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
         2.27238449892691845833e-2, 7.74545014278341407640e-4},
        {1, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
         1.05075007164441684324e-9}};
    static const double tail[2][8] = {
        {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
         2.71155556874348757815e-5, 2.01033439929228813265e-7},
        {1, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
         2.04426310338993978564e-15}};
    const double q = p - 0.5;
    if (q >= -0.425 && q <= 0.425)
        return q * ratio(0.180625 - q * q, mid[0], mid[1]);
    const double r = sqrt(-mtl__log_f64(q < 0 ? p : 1 - p));
    const double x = r <= 5 ? ratio(r - 1.6, out[0], out[1]) : ratio(r - 5, tail[0], tail[1]);
    return q < 0 ? -x : x;
}

/* Knots below x, or, with `equal`, not above it. */
static int64_t count_below(const float *knot, int64_t n, float x, bool equal)
{
    int64_t low = 0;
    while (n > 0) {
        const int64_t half = n / 2;
        const bool is_below = knot[low + half] < x || (equal && knot[low + half] == x);
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low;
}

/* The rank of x, 0 .. 1, for knots of which the first is below and the last above it. */
static double rank_of(const float *knot, int64_t n, float x)
{
    const int64_t first = count_below(knot, n, x, false), end = count_below(knot, n, x, true);
    if (first < end) /* it is a knot, or several */
        return (double)(first + end - 1) / (2 * (double)(n - 1));
    const double low = knot[first - 1], high = knot[first];
    return ((double)(first - 1) + ((double)x - low) / (high - low)) / (double)(n - 1);
}

static float normal_of(const float *knot, int64_t n, float x)
{
    if (isnan(x) || knot[0] == knot[n - 1])
        return 0;
    if (x <= knot[0] || x >= knot[n - 1])
        return (float)(x <= knot[0] ? -MTL__WARP_END : MTL__WARP_END);
    const double z = mtl__normal_quantile(rank_of(knot, n, x));
    return (float)(z < -MTL__WARP_END ? -MTL__WARP_END : z > MTL__WARP_END ? MTL__WARP_END : z);
}

void mtl__warp_row(const mtl__vec *vec, const mtl__warp *w, int64_t cols, const float *x, float *y)
{
    static const float zero[32] = {0};
    for (int64_t j = 0, n; j < cols; j += n) {
        const float *knot = w->knot + j * w->knots;
        n = 1;
        if (w->knots > 1) {
            y[j] = knot[0] > knot[w->knots - 1] ? y[j] : normal_of(knot, w->knots, x[j]);
            continue;
        }
        while (j + n < cols && n < MTL__COUNT_OF(zero) && knot[n] == knot[0])
            n++;
        const mtl__curve clip = {MTL__CURVE_SOFT_CLIP, 1 / knot[0], 0};
        if (knot[0] > 0)
            vec->curve(&clip, 1, n, y + j, n, zero, NULL, 0);
        else if (knot[0] < 0)
            memset(y + j, 0, (size_t)n * sizeof *y);
    }
}
