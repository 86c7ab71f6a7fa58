/* SPDX-License-Identifier: MIT */
/* Judges lib/vec: every function of the table, on all sizes to 67 and some large ones, on awkward
   values, against plain loops that spell out the rules of vec.h (bit for bit), against libm in
   double (within stated bounds) and against the C level (bit for bit).

   CK_EXHAUSTIVE=1 in the environment tries the elementary functions on all 2^32 floats. */
#include "checkkern.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vec/vec.h"

static const mtl__vec *plain_table(void)
{
    return mtl__vec_table(MTL__CPU_C);
}

/* All sizes around the group of 16 and its multiples, then a few that fill caches. */
enum { SMALL_SIZES = 68 };
static const int64_t large_sizes[] = {100, 255, 1000, 4099};
enum { SIZES = SMALL_SIZES + (int)(sizeof large_sizes / sizeof large_sizes[0]) };

static int64_t size_at(int i)
{
    return i < SMALL_SIZES ? i : large_sizes[i - SMALL_SIZES];
}

static ck_mat vector(int64_t n, enum ck_place place, ck_values kind)
{
    ck_mat m = ck_matrix(1, n, n, place);
    ck_fill_mat(kind, &m);
    return m;
}

static ck_mat copy_of(const ck_mat *m, enum ck_place place)
{
    ck_mat c = ck_matrix(m->rows, m->cols, m->ld, place);
    ck_copy_mat(m, &c);
    return c;
}

/* Outputs: guards, digest, and the bits of the plain rule. */
static void judge(const char *name, const ck_mat *want, const ck_mat *got)
{
    ck_guards(got, name);
    ck_digest_mat(got);
    for (int64_t r = 0; r < want->rows; r++)
        for (int64_t c = 0; c < want->cols; c++) {
            float x = want->p[r * want->ld + c], y = got->p[r * got->ld + c];
            if (!ck_equal_f32(x, y))
                ck_fail("%s[%lld][%lld] is %a, the rule gives %a", name, (long long)r, (long long)c,
                        (double)y, (double)x);
        }
}

static void judge_number(const char *name, float want, float got)
{
    ck_digest_f32(1, &got);
    if (!ck_equal_f32(want, got))
        ck_fail("%s is %a, the rule gives %a", name, (double)got, (double)want);
}

/* --- the rule for sums -------------------------------------------------------------------- */

static float add_halves(const float *lane, int count)
{
    float half[8];
    if (count == 1)
        return lane[0];
    for (int i = 0; i < count / 2; i++)
        half[i] = lane[i] + lane[count / 2 + i];
    return add_halves(half, count / 2);
}

/* Terms x[i] added, or x[i] y[i] fused; the last group is filled up with zeros. */
static float lane_sum(int64_t n, const float *x, const float *y)
{
    float lane[16] = {0};
    /* Not "i < n || i % 16 != 0", of which clang 14 makes a loop that skips element 16. */
    for (int64_t i = 0; i < mtl__round_floats(n); i++) {
        float a = i < n ? x[i] : 0.0f, b = i < n && y ? y[i] : 0.0f;
        lane[i % 16] = y ? fmaf(a, b, lane[i % 16]) : lane[i % 16] + a;
    }
    return add_halves(lane, 16);
}

/* --- elementary functions ----------------------------------------------------------------- */

static double sigmoid_f64(double x)
{
    return x >= 0 ? 1.0 / (1.0 + exp(-x)) : exp(x) / (1.0 + exp(x));
}

typedef struct function {
    const char *name;
    size_t member; /* of mtl__vec */
    double (*reference)(double);
    double bound; /* ULP, as stated in vec_math.h */
} function;

/* Reasons for the bounds, in ULP of the result, from the last roundings backwards:
   exp      1 + t: 0.5, t: 0.25, the reduced argument: 0.25, polynomial 0.02
   log      sum with k ln 2: 0.5, the polynomial part: 0.3 to 0.5 where k = +-1 cancels
   log1p    the same and the rounding of f, magnified up to 1.4 times where k = 1 cancels
   tanh     the last subtraction: 0.5, half of the quotient's 0.5 + 0.5 + exp's 1 at the seam
   sigmoid  quotient 0.5, 1 + e up to 0.5 twice (binade of the quotient), e 1 */
static const function functions[] = {
    {"exp", offsetof(mtl__vec, exp), exp, 1.02},
    {"log", offsetof(mtl__vec, log), log, 1.0},
    {"log1p", offsetof(mtl__vec, log1p), log1p, 1.5},
    {"tanh", offsetof(mtl__vec, tanh), tanh, 1.5},
    {"sigmoid", offsetof(mtl__vec, sigmoid), sigmoid_f64, 2.5},
};

static mtl__map_fn *pick(const mtl__vec *v, const function *f)
{
    mtl__map_fn *fn;
    memcpy(&fn, (const char *)v + f->member, sizeof fn);
    return fn;
}

static void judge_block(const function *f, mtl__cpu_level level, int64_t n, const float *x)
{
    static float y[4096], want[4096];
    pick(mtl__vec_table(level), f)(n, x, y);
    ck_digest_f32(n, y);
    if (ck_digest_only())
        return;
    if (level != MTL__CPU_C) {
        pick(plain_table(), f)(n, x, want);
        ck_same_f32(n, want, y, f->name);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double reference = f->reference((double)x[i]);
        /* Beyond the range, what the exact result rounds to is right. */
        if (isfinite(reference) && isinf((float)reference))
            reference = copysign(HUGE_VAL, reference);
        double ulp = ck_ulp(y[i], reference);
        if (!(ulp <= f->bound))
            ck_fail("%s(%a) = %a, off by %.3f ULP", f->name, (double)x[i], (double)y[i], ulp);
    }
}

static void try_range(const function *f, mtl__cpu_level level, uint64_t first, uint64_t last,
                      uint64_t step)
{
    static float x[4096];
    for (uint64_t bits = first; bits <= last;) {
        int64_t n = 0;
        for (; n < 4096 && bits <= last; bits += step) {
            const uint32_t b = (uint32_t)bits;
            memcpy(&x[n++], &b, sizeof b);
        }
        judge_block(f, level, n, x);
    }
}

/* A step through the bits of a float that is no power of two visits all exponents and both signs
   with ever different fractions. */
static void check_range(mtl__cpu_level level)
{
    const uint64_t coarse = ck_digest_only() ? 10 : 1;
    const uint64_t step = getenv("CK_EXHAUSTIVE") ? 1 : 5003 * coarse;
    for (int i = 0; i < MTL__COUNT_OF(functions); i++) {
        ck_case("%s over all exponents", functions[i].name);
        try_range(&functions[i], level, 0, UINT32_MAX, step);
        /* -87 .. -104.5: the levels make subnormal results of exp in different ways. */
        try_range(&functions[i], level, 0xc2ae0000, 0xc2d10000, 61 * coarse);
    }
}

#define INF ((float)INFINITY)

/* Exact results at the corners. */
static const struct {
    const char *name;
    float x, y;
} corners[] = {
    {"exp", -INF, 0.0f},
    {"exp", INF, INF},
    {"exp", 0.0f, 1.0f},
    {"exp", -0.0f, 1.0f},
    {"exp", 88.72284f, INF},
    {"exp", 1e30f, INF},
    {"exp", -1e30f, 0.0f},
    {"exp", -103.97208f, FLT_TRUE_MIN},
    {"exp", -103.97209f, 0.0f},
    {"log", 0.0f, -INF},
    {"log", -0.0f, -INF},
    {"log", 1.0f, 0.0f},
    {"log", INF, INF},
    {"log", -INF, (float)NAN},
    {"log", -FLT_TRUE_MIN, (float)NAN},
    {"log1p", 0.0f, 0.0f},
    {"log1p", -0.0f, -0.0f},
    {"log1p", -1.0f, -INF},
    {"log1p", -1.0000001f, (float)NAN},
    {"log1p", INF, INF},
    {"log1p", -INF, (float)NAN},
    {"log1p", FLT_TRUE_MIN, FLT_TRUE_MIN},
    {"log1p", -1e-20f, -1e-20f},
    {"tanh", -0.0f, -0.0f},
    {"tanh", FLT_TRUE_MIN, FLT_TRUE_MIN},
    {"tanh", -1e-20f, -1e-20f},
    {"tanh", 9.5f, 1.0f},
    {"tanh", -INF, -1.0f},
    {"tanh", INF, 1.0f},
    {"sigmoid", -INF, 0.0f},
    {"sigmoid", INF, 1.0f},
    {"sigmoid", 0.0f, 0.5f},
    {"sigmoid", -0.0f, 0.5f},
    {"sigmoid", 20.0f, 1.0f},
    {"sigmoid", -1e30f, 0.0f},
};

static void check_corners(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int f = 0; f < MTL__COUNT_OF(functions); f++) {
        const float nan = (float)NAN;
        float y;
        pick(v, &functions[f])(1, &nan, &y);
        ck_case("%s(NaN)", functions[f].name);
        judge_number("result", nan, y);
        for (int i = 0; i < MTL__COUNT_OF(corners); i++) {
            if (strcmp(corners[i].name, functions[f].name) != 0)
                continue;
            pick(v, &functions[f])(1, &corners[i].x, &y);
            ck_case("%s(%a)", corners[i].name, (double)corners[i].x);
            judge_number("result", corners[i].y, y);
        }
    }
}

/* Any length, any place, in place too: each element as if it were alone. */
static void check_maps(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int f = 0; f < MTL__COUNT_OF(functions); f++)
        for (int i = 0; i < SIZES; i++) {
            const int64_t n = size_at(i);
            const enum ck_place place = (enum ck_place)(i % CK_PLACE_COUNT);
            const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
            ck_case("%s n %lld %s", functions[f].name, (long long)n, ck_values_name(kind));
            ck_reset();
            ck_mat x = vector(n, place, kind), y = ck_matrix(1, n, n, place);
            ck_mat before = copy_of(&x, CK_ALIGNED), want = ck_matrix(1, n, n, CK_ALIGNED);
            mtl__map_fn *fn = pick(v, &functions[f]);
            for (int64_t k = 0; k < n; k++)
                pick(plain_table(), &functions[f])(1, x.p + k, want.p + k);
            fn(n, x.p, y.p);
            judge("y", &want, &y);
            judge("x", &before, &x);
            fn(n, x.p, x.p);
            judge("x in place", &want, &x);
        }
}

/* --- bias, activation and their derivatives ------------------------------------------------- */

/* One element, by the C level. */
typedef float scalar_fn(float x);

static float plain_identity(float x)
{
    return x;
}

static float plain_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

static float plain_tanh(float x)
{
    plain_table()->tanh(1, &x, &x);
    return x;
}

static float plain_sigmoid(float x)
{
    plain_table()->sigmoid(1, &x, &x);
    return x;
}

/* derivative from the output */
static float slope_relu(float y, float d)
{
    return y <= 0.0f ? 0.0f : d;
}

static float slope_tanh(float y, float d)
{
    return d * fmaf(-y, y, 1.0f);
}

static float slope_sigmoid(float y, float d)
{
    return d * fmaf(-y, y, y);
}

static const struct {
    const char *name;
    size_t bias, grad; /* members of mtl__vec; grad 0 = none */
    scalar_fn *act;
    float (*slope)(float y, float d);
    double (*exact)(double);
} activations[] = {
    {"identity", offsetof(mtl__vec, bias_identity), 0, plain_identity, NULL, NULL},
    {"relu", offsetof(mtl__vec, bias_relu), offsetof(mtl__vec, grad_relu), plain_relu, slope_relu,
     NULL},
    {"tanh", offsetof(mtl__vec, bias_tanh), offsetof(mtl__vec, grad_tanh), plain_tanh, slope_tanh,
     tanh},
    {"sigmoid", offsetof(mtl__vec, bias_sigmoid), offsetof(mtl__vec, grad_sigmoid), plain_sigmoid,
     slope_sigmoid, sigmoid_f64},
};

static mtl__bias_act_fn *pick_bias(const mtl__vec *v, int a)
{
    mtl__bias_act_fn *fn;
    memcpy(&fn, (const char *)v + activations[a].bias, sizeof fn);
    return fn;
}

static mtl__act_grad_fn *pick_grad(const mtl__vec *v, int a)
{
    mtl__act_grad_fn *fn;
    memcpy(&fn, (const char *)v + activations[a].grad, sizeof fn);
    return fn;
}

static void try_bias(const mtl__vec *v, int a, int64_t rows, int64_t cols, int64_t gap,
                     ck_values kind)
{
    const enum ck_place place = (enum ck_place)(cols % CK_PLACE_COUNT);
    ck_mat c = ck_matrix(rows, cols, cols + gap, place), bias = vector(cols, place, CK_UNIFORM);
    ck_fill_mat(kind, &c);
    for (int with = 0; with < 2; with++) {
        ck_mat got = copy_of(&c, place), want = copy_of(&c, CK_ALIGNED);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < cols; j++) {
                float *x = want.p + r * want.ld + j;
                *x = activations[a].act(with ? *x + bias.p[j] : *x);
            }
        ck_case("%s %lldx%lld ld+%lld %s bias", activations[a].name, (long long)rows,
                (long long)cols, (long long)gap, with ? "with" : "no");
        pick_bias(v, a)(rows, cols, got.p, got.ld, with ? bias.p : NULL);
        judge("c", &want, &got);
    }
}

static void try_slope(const mtl__vec *v, int a, int64_t rows, int64_t cols, int64_t gap,
                      ck_values kind)
{
    const enum ck_place place = (enum ck_place)(cols % CK_PLACE_COUNT);
    ck_mat y = ck_matrix(rows, cols, cols + gap, place);
    ck_mat d = ck_matrix(rows, cols, cols + 2 * gap, place);
    ck_fill_mat(CK_UNIFORM, &y);
    ck_fill_mat(kind, &d);
    for (int64_t j = 0; j < cols && rows > 0; j += 3) {
        y.p[j] = 0.0f;
        d.p[j] = j % 2 ? INF : 1.0f; /* a dead unit stays dead */
    }
    ck_mat got = copy_of(&d, place), want = copy_of(&d, CK_ALIGNED);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            want.p[r * want.ld + j] = activations[a].slope(y.p[r * y.ld + j], d.p[r * d.ld + j]);
    ck_case("grad %s %lldx%lld ld+%lld", activations[a].name, (long long)rows, (long long)cols,
            (long long)gap);
    pick_grad(v, a)(rows, cols, y.p, y.ld, got.p, got.ld);
    judge("d", &want, &got);
    ck_guards(&y, "y");
}

static void check_activations(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int a = 0; a < MTL__COUNT_OF(activations); a++)
        for (int64_t cols = 0; cols <= 67; cols++) {
            const int64_t rows = ck_below(4), gap = ck_below(3);
            const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
            ck_reset();
            try_bias(v, a, rows, cols, gap, kind);
            if (cols < 20) /* short rows without a gap go by 16 */
                try_bias(v, a, ck_below(50), cols, 0, kind);
            if (activations[a].slope)
                try_slope(v, a, rows, cols, gap, kind);
        }
}

/* The derivative from the output against the difference quotient of the exact function. */
static void check_slopes(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int a = 0; a < MTL__COUNT_OF(activations) && !ck_digest_only(); a++)
        for (int i = -60; activations[a].exact && i <= 60; i++) {
            const double x = 0.1 * i, h = 1e-5;
            float y = (float)activations[a].exact(x), d = 1.0f;
            pick_grad(v, a)(1, 1, &y, 1, &d, 1);
            double want = (activations[a].exact(x + h) - activations[a].exact(x - h)) / (2 * h);
            ck_case("%s'(%g)", activations[a].name, x);
            /* y rounded to float moves 1 - y^2 by 2^-23 at most. */
            if (!(fabs((double)d - want) <= 2.0 * FLT_EPSILON))
                ck_fail("%a instead of %a", (double)d, want);
        }
}

/* --- curves: value and derivative at once --------------------------------------------------- */

static double leaky_f64(double x)
{
    return x > 0 ? x : 0.125 * x;
}

static double elu_f64(double x)
{
    return 1.5 * (x > 0 ? x : 0.75 * expm1(x));
}

static double gelu_f64(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2.0));
}

static double gelu_tanh_f64(double x)
{
    /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), which does not cancel */
    return x / (1 + exp(-2 * sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

static double silu_f64(double x)
{
    return x / (1 + exp(-x));
}

static double softplus_f64(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double hard_swish_f64(double x)
{
    return x * fmin(fmax(x + 3, 0), 6) / 6;
}

static double mish_f64(double x)
{
    return x * tanh(softplus_f64(x));
}

static double soft_clip_f64(double x)
{
    return x / sqrt(1 + x * x / 9);
}

static double cos_f64(double x)
{
    return cos(2 * acos(-1.0) * (x - rint(x)));
}

static const struct {
    const char *name;
    mtl__curve f;
    double (*exact)(double);
    double kink; /* where the derivative jumps: |x| */
} curves[] = {
    {"leaky_relu", {MTL__CURVE_LEAKY_RELU, 0.125f, 0}, leaky_f64, 0},
    {"elu", {MTL__CURVE_ELU, 0.75f, 1.5f}, elu_f64, 0},
    {"gelu", {MTL__CURVE_GELU, 0, 0}, gelu_f64, -1},
    {"gelu_tanh", {MTL__CURVE_GELU_TANH, 0, 0}, gelu_tanh_f64, -1},
    {"silu", {MTL__CURVE_SILU, 0, 0}, silu_f64, -1},
    {"softplus", {MTL__CURVE_SOFTPLUS, 0, 0}, softplus_f64, -1},
    {"hard_swish", {MTL__CURVE_HARD_SWISH, 0, 0}, hard_swish_f64, 3},
    {"mish", {MTL__CURVE_MISH, 0, 0}, mish_f64, -1},
    {"soft_clip", {MTL__CURVE_SOFT_CLIP, 1.0f / 3, 0}, soft_clip_f64, -1},
    {"cos", {MTL__CURVE_COS, 0, 0}, cos_f64, -1},
};

/* Each element of a matrix against the same element alone at the C level. */
static void try_curve(const mtl__vec *v, int a, int64_t rows, int64_t cols, int64_t gap,
                      ck_values kind)
{
    const enum ck_place place = (enum ck_place)(cols % CK_PLACE_COUNT);
    ck_mat c = ck_matrix(rows, cols, cols + gap, place), bias = vector(cols, place, CK_UNIFORM);
    ck_mat d = ck_matrix(rows, cols, cols + 2 * gap, place);
    ck_mat want_d = ck_matrix(rows, cols, cols + 2 * gap, CK_ALIGNED);
    ck_fill_mat(kind, &c);
    ck_mat got = copy_of(&c, place), alone = copy_of(&c, place), want = copy_of(&c, CK_ALIGNED);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            plain_table()->curve(&curves[a].f, 1, 1, want.p + r * want.ld + j, 1, bias.p + j,
                                 want_d.p + r * want_d.ld + j, 1);
    ck_case("%s %lldx%lld ld+%lld", curves[a].name, (long long)rows, (long long)cols,
            (long long)gap);
    v->curve(&curves[a].f, rows, cols, got.p, got.ld, bias.p, d.p, d.ld);
    judge("c", &want, &got);
    judge("slope", &want_d, &d);
    v->curve(&curves[a].f, rows, cols, alone.p, alone.ld, bias.p, NULL, 0);
    judge("c without its slope", &want, &alone);
    ck_mat bare = copy_of(&c, place), zero = vector(cols, place, CK_UNIFORM);
    for (int64_t j = 0; j < cols; j++)
        zero.p[j] = -0.0f;
    want = copy_of(&c, CK_ALIGNED);
    plain_table()->curve(&curves[a].f, rows, cols, want.p, want.ld, zero.p, NULL, 0);
    v->curve(&curves[a].f, rows, cols, bare.p, bare.ld, NULL, NULL, 0);
    judge("c without a bias", &want, &bare);
}

static void check_curves(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int a = 0; a < MTL__COUNT_OF(curves); a++)
        for (int64_t cols = 0; cols <= 67; cols++) {
            const int64_t rows = ck_below(4), gap = ck_below(3);
            ck_reset();
            try_curve(v, a, rows, cols, gap, (ck_values)ck_below(CK_VALUES_COUNT));
        }
}

/* The bounds that vec.h states, and the derivative against the difference quotient. */
static void check_curve_values(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    const double h = 1e-5;
    for (int a = 0; a < MTL__COUNT_OF(curves) && !ck_digest_only(); a++)
        for (int i = -2000; i <= 2000; i++) {
            const float zero = 0.0f, x = 0.01f * (float)i;
            float y = x, d;
            double want = curves[a].exact((double)x);
            v->curve(&curves[a].f, 1, 1, &y, 1, &zero, &d, 1);
            ck_case("%s(%g)", curves[a].name, (double)x);
            double error = fabs((double)y - want);
            if (!(error <= 3e-7 * fmax(1, fabs(want))) ||
                (curves[a].f.kind != MTL__CURVE_ELU && curves[a].f.kind != MTL__CURVE_COS &&
                 error > 1e-5 * fabs(want) + 1e-36))
                ck_fail("%a instead of %a", (double)y, want);
            if (fabs(fabs((double)x) - curves[a].kink) < 2 * h)
                continue;
            double slope =
                (curves[a].exact((double)x + h) - curves[a].exact((double)x - h)) / (2 * h);
            if (!(fabs((double)d - slope) <= 2e-6))
                ck_fail("derivative %a instead of %a", (double)d, slope);
        }
}

/* --- streams ------------------------------------------------------------------------------ */

static void check_streams(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < SIZES * 2; i++) {
        const int64_t n = size_at(i / 2);
        const enum ck_place place = (enum ck_place)(i % CK_PLACE_COUNT);
        const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
        const float a = ck_uniform(-2.0f, 2.0f);
        ck_reset();
        ck_mat x = vector(n, place, kind), y = vector(n, place, CK_MIXED);
        ck_mat mean = vector(n, place, CK_UNIFORM), inverse = vector(n, place, CK_UNIFORM);
        ck_mat got = copy_of(&y, place), want = ck_matrix(1, n, n, CK_ALIGNED);
        ck_case("axpy n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = fmaf(a, x.p[k], y.p[k]);
        v->axpy(n, a, x.p, got.p);
        judge("y", &want, &got);

        ck_case("mul n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = got.p[k] * x.p[k];
        v->mul(n, x.p, got.p);
        judge("y", &want, &got);

        ck_case("product n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = x.p[k] * y.p[k];
        v->product(n, x.p, y.p, got.p);
        judge("y", &want, &got);

        ck_case("add_product n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++) {
            const volatile float rounded = x.p[k] * mean.p[k];
            want.p[k] = got.p[k] + rounded;
        }
        v->add_product(n, x.p, mean.p, got.p);
        judge("y", &want, &got);

        int64_t at[3] = {n / 2, 0, n - 1};
        const int64_t times = n / 3;
        ck_case("repeat n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = k < 3 * times ? x.p[at[k / times]] : got.p[k];
        v->repeat(times ? 3 : 0, times, x.p, at, got.p);
        judge("y", &want, &got);

        ck_case("standardize n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = isnan(x.p[k]) ? 0.0f : (x.p[k] - mean.p[k]) * inverse.p[k];
        v->standardize(1, n, x.p, n, NULL, mean.p, inverse.p, got.p);
        judge("y", &want, &got);

        ck_case("blend n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = fmaf(a, x.p[k] - got.p[k], got.p[k]);
        v->blend(n, a, x.p, got.p);
        judge("y", &want, &got);

        ck_case("clamp n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = got.p[k] > 0.5f ? 0.5f : got.p[k] < -0.5f ? -0.5f : got.p[k];
        v->clamp(n, 0.5f, got.p);
        judge("y", &want, &got);

        ck_case("scale n %lld %s", (long long)n, ck_values_name(kind));
        for (int64_t k = 0; k < n; k++)
            want.p[k] = a * x.p[k];
        v->scale(n, a, x.p);
        judge("x", &want, &x);
    }
}

/* --- sums --------------------------------------------------------------------------------- */

static bool plain_finite(int64_t n, const float *x)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite = finite && isfinite(x[i]);
    return finite;
}

static void check_sums(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < SIZES * 3; i++) {
        const int64_t n = size_at(i / 3);
        const enum ck_place place = (enum ck_place)(i % CK_PLACE_COUNT);
        const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
        ck_reset();
        ck_mat x = vector(n, place, kind), y = vector(n, place, CK_MIXED);
        ck_case("n %lld %s", (long long)n, ck_values_name(kind));
        judge_number("sum", lane_sum(n, x.p, NULL), v->sum(n, x.p));
        judge_number("dot", lane_sum(n, x.p, y.p), v->dot(n, x.p, y.p));
        if (v->all_finite(n, x.p) != plain_finite(n, x.p))
            ck_fail("all_finite is wrong");
    }
}

/* One bad element at any place is found. */
static void check_finite(mtl__cpu_level level)
{
    static const float bad[] = {(float)NAN, INF, -INF};
    const mtl__vec *v = mtl__vec_table(level);
    for (int64_t n = 1; n <= 67; n++)
        for (int64_t at = 0; at < n; at++) {
            ck_reset();
            ck_mat x = vector(n, CK_PAGE_END, at % 2 ? CK_MIXED : CK_DENORMAL);
            ck_case("n %lld at %lld", (long long)n, (long long)at);
            if (!v->all_finite(n, x.p))
                ck_fail("finite numbers are called not finite");
            x.p[at] = bad[(n + at) % MTL__COUNT_OF(bad)];
            if (v->all_finite(n, x.p))
                ck_fail("%g was not found", (double)x.p[at]);
        }
}

static void try_columns(const mtl__vec *v, int64_t rows, int64_t cols, int64_t gap, bool accumulate)
{
    const enum ck_place place = (enum ck_place)(cols % CK_PLACE_COUNT);
    ck_mat x = ck_matrix(rows, cols, cols + gap, place);
    ck_fill_mat((ck_values)ck_below(CK_VALUES_COUNT), &x);
    ck_mat out = vector(cols, place, CK_UNIFORM), want = copy_of(&out, CK_ALIGNED);
    for (int64_t j = 0; j < cols; j++) {
        float s = accumulate ? want.p[j] : 0.0f;
        for (int64_t r = 0; r < rows; r++)
            s += x.p[r * x.ld + j];
        want.p[j] = s;
        if (!accumulate)
            out.p[j] = (float)NAN; /* must not be read */
    }
    ck_case("%lldx%lld ld+%lld%s", (long long)rows, (long long)cols, (long long)gap,
            accumulate ? " accumulate" : "");
    v->col_sums(rows, cols, x.p, x.ld, out.p, accumulate);
    judge("out", &want, &out);
}

static void check_columns(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int64_t cols = 0; cols <= 150; cols++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            ck_reset();
            const int64_t rows = ck_below(20), gap = ck_below(3);
            try_columns(v, rows, cols, gap, accumulate);
        }
}

/* --- rows of inputs --------------------------------------------------------------------------- */

static void try_standardize(const mtl__vec *v, int64_t rows, int64_t cols, bool scattered)
{
    const enum ck_place place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    int64_t index[64], gap = ck_below(3);
    ck_mat x = ck_matrix(rows, cols, cols + gap, place), mean = ck_matrix(1, cols, cols, place);
    ck_mat inverse = ck_matrix(1, cols, cols, place), got = ck_matrix(rows, cols, cols, place);
    ck_mat want = ck_matrix(rows, cols, cols, CK_ALIGNED);
    ck_fill_mat(CK_SPECIAL, &x);
    ck_fill_mat(CK_UNIFORM, &mean);
    ck_fill_mat(CK_UNIFORM, &inverse);
    ck_case("standardize %lldx%lld ld+%lld %s", (long long)rows, (long long)cols, (long long)gap,
            scattered ? "by index" : "in order");
    for (int64_t r = 0; r < rows; r++) {
        index[r] = scattered ? ck_below(rows) : r;
        for (int64_t j = 0; j < cols; j++) {
            float from = x.p[index[r] * x.ld + j];
            want.p[r * cols + j] = isnan(from) ? 0.0f : (from - mean.p[j]) * inverse.p[j];
        }
    }
    v->standardize(rows, cols, x.p, x.ld, scattered ? index : NULL, mean.p, inverse.p, got.p);
    judge("y", &want, &got);
}

static void check_standardize(mtl__cpu_level level)
{
    for (int64_t cols = 0; cols <= 40; cols++)
        for (int64_t rows = 0; rows <= 64; rows += 1 + ck_below(20)) {
            ck_reset();
            try_standardize(mtl__vec_table(level), rows, cols, ck_below(2));
        }
}

/* --- losses of independent outputs ---------------------------------------------------------- */

/* The text of vec.h. */
static double binary_f64(double z, double y)
{
    return fmax(z, 0.0) - z * y + (fabs(z) > 43 ? 0 : log1p(exp(-fabs(z))));
}

static double squared_f64(double z, double y)
{
    return (z - y) * (z - y);
}

static const struct {
    const char *name;
    size_t member;
    double (*reference)(double z, double y);
    /* Error of the loss in ULP, and of the gradient in units of FLT_EPSILON (1 + |gradient|).
       Binary: the linear part is one rounding, log1p 1.5 of its own and up to 1 from exp, the sum
       0.5; sigmoid's 2.5 ULP of at most 1 (so half an epsilon each) and the rounding of the
       difference. Squared: the difference, twice, and the product. */
    double loss_ulp, grad_eps;
} losses[] = {
    {"binary_cross_entropy", offsetof(mtl__vec, binary_cross_entropy), binary_f64, 4.0, 2.0},
    {"squared_error", offsetof(mtl__vec, squared_error), squared_f64, 2.5, 1.0},
};

static mtl__columns_fn *pick_loss(const mtl__vec *v, int k)
{
    mtl__columns_fn *fn;
    memcpy(&fn, (const char *)v + losses[k].member, sizeof fn);
    return fn;
}

/* One element through the kernel. */
static float one_loss(const mtl__vec *v, int k, float z, float y, float *g)
{
    const float one = 1.0f;
    float loss, work[MTL__COLUMNS_WORK];
    const mtl__columns c = {.rows = 1,
                            .cols = 1,
                            .z = &z,
                            .ldz = 1,
                            .y = &y,
                            .scale = &one,
                            .g = g,
                            .ldg = 1,
                            .sum = &loss,
                            .work = work};
    pick_loss(v, k)(&c);
    return loss;
}

/* The difference quotient in double, with a step that the curvature allows. */
static double quotient(double (*f)(double, double), double z, double y)
{
    const double h = 1e-5 * fmax(1.0, fabs(z));
    return (f(z + h, y) - f(z - h, y)) / (2 * h);
}

static void judge_loss(const mtl__vec *v, int k, float z, float y)
{
    float g, loss = one_loss(v, k, z, y, &g);
    ck_case("%s z %a y %a", losses[k].name, (double)z, (double)y);
    double want = losses[k].reference((double)z, (double)y);
    if (want > (double)FLT_MAX)
        want = HUGE_VAL;
    if (!(ck_ulp(loss, want) <= losses[k].loss_ulp))
        ck_fail("loss %a instead of %a, off by %.2f ULP", (double)loss, want, ck_ulp(loss, want));
    if (fabs((double)z) > 1e6)
        return; /* beyond the reach of a difference quotient */
    double slope = quotient(losses[k].reference, (double)z, (double)y);
    /* 1e-9: the quotient's own error. */
    double allowed = (1 + fabs(slope)) * (losses[k].grad_eps * FLT_EPSILON + 1e-9);
    if (!(fabs((double)g - slope) <= allowed))
        ck_fail("gradient %a instead of %a", (double)g, slope);
}

static void check_loss_values(mtl__cpu_level level)
{
    static const float labels[] = {0.0f, 1.0f, 0.5f, 0.1f, 0.999f};
    static const float logits[] = {0.0f,  -0.0f,  1e-30f, -1e-30f, 16.0f, -16.0f,
                                   87.0f, -87.0f, 104.0f, -104.0f, 1e10f, -1e10f};
    const mtl__vec *v = mtl__vec_table(level);
    for (int k = 0; k < MTL__COUNT_OF(losses) && !ck_digest_only(); k++)
        for (int l = 0; l < MTL__COUNT_OF(labels); l++) {
            for (int i = 0; i < MTL__COUNT_OF(logits); i++)
                judge_loss(v, k, logits[i], labels[l]);
            for (int i = 0; i < 3000; i++)
                judge_loss(v, k, ck_uniform(-30.0f, 30.0f), labels[l]);
        }
}

/* What must come out exactly, however large the logit. */
static void check_loss_corners(mtl__cpu_level level)
{
    static const struct {
        float z, y, loss, g;
    } rows[] = {
        {1e30f, 1.0f, 0.0f, 0.0f},      {1e30f, 0.0f, 1e30f, 1.0f}, {-1e30f, 0.0f, 0.0f, 0.0f},
        {-1e30f, 1.0f, 1e30f, -1.0f},   {1e30f, (float)NAN, 0, 0},  {INF, (float)NAN, 0, 0},
        {(float)NAN, (float)NAN, 0, 0}, {-43.1f, 0.0f, 0.0f, 0.0f}, {44.0f, 1.0f, 0.0f, 0.0f},
    };
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < MTL__COUNT_OF(rows); i++) {
        ck_case("binary_cross_entropy z %g y %g", (double)rows[i].z, (double)rows[i].y);
        float g, loss = one_loss(v, 0, rows[i].z, rows[i].y, &g);
        judge_number("loss", rows[i].loss, loss);
        judge_number("gradient", rows[i].g, g);
    }
    float g, loss = one_loss(v, 0, (float)NAN, 1.0f, &g);
    ck_case("a NaN logit");
    if (!isnan(loss) || !isnan(g))
        ck_fail("is hidden: loss %g, gradient %g", (double)loss, (double)g);
}

/* Nothing comes back from classes without a probability to speak of, by rows and down rows. */
static void check_entropy_corners(mtl__cpu_level level)
{
    enum { ROWS = 17, COLS = 3 };
    static const float row[COLS] = {1.0f, -42.1f, -99.0f};
    const mtl__vec *v = mtl__vec_table(level);
    float z[ROWS * COLS], y[ROWS] = {0}, g[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++)
        z[i] = row[i % COLS];
    float loss = v->softmax_cross_entropy(ROWS, COLS, z, COLS, y, NULL, 1.0f, g, COLS);
    judge_number("loss", 0.0f, loss);
    for (int i = 0; i < ROWS * COLS; i++) {
        ck_case("element %d", i);
        judge_number("gradient", 0.0f, g[i]);
    }
}

static void fill_logits(ck_mat *z)
{
    for (int64_t r = 0; r < z->rows; r++)
        for (int64_t j = 0; j < z->cols; j++)
            z->p[r * z->ld + j] = ck_uniform(-20.0f, 20.0f);
}

static float random_label(void)
{
    static const float labels[] = {0.0f, 1.0f, 0.25f, (float)NAN};
    return labels[ck_below(MTL__COUNT_OF(labels))];
}

/* z and g have rows with gaps or without, y and w without. */
typedef struct columns_case {
    ck_mat z, y, w, g, scale, sum, work;
    mtl__columns args;
} columns_case;

static columns_case make_columns_case(int64_t rows, int64_t cols)
{
    const enum ck_place place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    int64_t gap_z = ck_below(3), gap_g = ck_below(3);
    columns_case c = {
        .z = ck_matrix(rows, cols, cols + gap_z, place),
        .y = ck_matrix(rows, cols, cols, place),
        .w = ck_matrix(rows, cols, cols, place),
        .g = ck_matrix(rows, cols, cols + gap_g, place),
        .scale = ck_matrix(1, cols, cols, place),
        .sum = ck_matrix(1, cols, cols, place),
        .work = ck_matrix(1, MTL__COLUMNS_WORK * cols, MTL__COLUMNS_WORK * cols, place),
    };
    ck_fill_mat(CK_UNIFORM, &c.w);
    ck_fill_mat(CK_UNIFORM, &c.scale);
    fill_logits(&c.z);
    for (int64_t i = 0; i < rows * cols; i++)
        c.y.p[i] = random_label();
    const bool weights = ck_below(2);
    c.args = (mtl__columns){.rows = rows,
                            .cols = cols,
                            .z = c.z.p,
                            .ldz = c.z.ld,
                            .y = c.y.p,
                            .w = weights ? c.w.p : NULL,
                            .scale = c.scale.p,
                            .g = c.g.p,
                            .ldg = c.g.ld,
                            .sum = c.sum.p,
                            .work = c.work.p};
    ck_case("%lldx%lld ld+%lld,%lld %s", (long long)rows, (long long)cols, (long long)gap_z,
            (long long)gap_g, weights ? "weights" : "no weights");
    return c;
}

/* What vec.h promises, from one element at a time. */
typedef struct columns_want {
    ck_mat loss, weight; /* [1, cols] */
    ck_mat g;
} columns_want;

static columns_want plain_columns(const columns_case *c, int k)
{
    const int64_t rows = c->args.rows, cols = c->args.cols;
    columns_want want = {ck_matrix(1, cols, cols, CK_ALIGNED), ck_matrix(1, cols, cols, CK_ALIGNED),
                         ck_matrix(rows, cols, cols, CK_ALIGNED)};
    ck_mat terms = ck_matrix(1, rows, rows, CK_ALIGNED),
           counts = ck_matrix(1, rows, rows, CK_ALIGNED);
    for (int64_t j = 0; j < cols; j++) {
        for (int64_t r = 0; r < rows; r++) {
            const float y = c->y.p[r * cols + j], w = c->args.w ? c->w.p[r * cols + j] : 1.0f;
            float g, loss = one_loss(plain_table(), k, c->z.p[r * c->z.ld + j], y, &g);
            terms.p[r] = isnan(y) ? 0.0f : w * loss;
            counts.p[r] = isnan(y) ? 0.0f : w;
            want.g.p[r * cols + j] = isnan(y) ? 0.0f : c->scale.p[j] * w * g;
        }
        want.loss.p[j] = lane_sum(rows, terms.p, NULL);
        want.weight.p[j] = lane_sum(rows, counts.p, NULL);
    }
    return want;
}

/* A loss with a gradient, without, and with the gradient over the logits. */
static void try_loss(const mtl__vec *v, int k, int64_t rows, int64_t cols)
{
    columns_case c = make_columns_case(rows, cols);
    const columns_want want = plain_columns(&c, k);
    v->label_weights(&c.args);
    judge("label_weights", &want.weight, &c.sum);
    pick_loss(v, k)(&c.args);
    judge("loss", &want.loss, &c.sum);
    judge("g", &want.g, &c.g);
    c.args.g = NULL;
    pick_loss(v, k)(&c.args);
    judge("loss without gradient", &want.loss, &c.sum);
    c.args.g = c.z.p;
    c.args.ldg = c.z.ld;
    pick_loss(v, k)(&c.args);
    judge("loss in place", &want.loss, &c.sum);
    judge("g in place", &want.g, &c.z);
    ck_guards(&c.y, "y");
    ck_guards(&c.w, "w");
    ck_guards(&c.scale, "scale");
    ck_guards(&c.work, "work");
}

static void check_losses(mtl__cpu_level level)
{
    for (int k = 0; k < MTL__COUNT_OF(losses); k++) {
        for (int64_t rows = 0; rows <= 67; rows++)
            for (int64_t cols = 1; cols <= 3; cols++) {
                ck_reset();
                try_loss(mtl__vec_table(level), k, rows, cols);
            }
        for (int64_t cols = 0; cols <= 40; cols++) {
            ck_reset();
            try_loss(mtl__vec_table(level), k, ck_below(30), cols);
        }
    }
}

/* --- softmax ------------------------------------------------------------------------------ */

/* The rule of vec.h for one row, with exp and, for the loss, log of the C level. */
typedef struct plain_row {
    float p[1200]; /* probabilities */
    float top, total;
} plain_row;

static void plain_softmax(int64_t cols, const float *z, plain_row *row)
{
    row->top = -INF;
    for (int64_t c = 0; c < cols; c++)
        row->top = fmaxf(row->top, z[c]);
    for (int64_t c = 0; c < cols; c++)
        row->p[c] = z[c] - row->top;
    plain_table()->exp(cols, row->p, row->p);
    row->total = lane_sum(cols, row->p, NULL);
    for (int64_t c = 0; c < cols; c++)
        row->p[c] /= row->total;
}

static const int64_t class_counts[] = {1,  2,  3,  4,  5,  7,  8,  9,  10, 15,  16,  17,
                                       24, 30, 31, 32, 33, 47, 48, 64, 65, 100, 1000};

/* One element, drawn in a fixed order. */
static void spoil(ck_mat *z)
{
    const int64_t r = ck_below(z->rows), c = ck_below(z->cols);
    z->p[r * z->ld + c] = ck_below(2) ? INF : (float)NAN;
}

static void try_softmax(const mtl__vec *v, int64_t rows, int64_t cols, int kind)
{
    static plain_row row;
    const enum ck_place place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    ck_mat z = ck_matrix(rows, cols, cols + ck_below(3), place);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            z.p[r * z.ld + c] = kind == 0 ? ck_uniform(-5.0f, 5.0f) : ck_uniform(-1e3f, 1e3f);
    if (kind == 2 && rows > 0) /* one row is spoilt, the others are not */
        spoil(&z);
    if (kind == 3)
        for (int64_t r = 0; r < rows; r++)
            z.p[r * z.ld + ck_below(cols)] = -INF;
    ck_mat want = ck_matrix(rows, cols, cols, CK_ALIGNED);
    for (int64_t r = 0; r < rows; r++) {
        plain_softmax(cols, z.p + r * z.ld, &row);
        memcpy(want.p + r * cols, row.p, (size_t)cols * sizeof(float));
    }
    ck_case("%lldx%lld kind %d", (long long)rows, (long long)cols, kind);
    v->softmax(rows, cols, z.p, z.ld);
    judge("p", &want, &z);
}

static void check_softmax(mtl__cpu_level level)
{
    static const int64_t rows[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 50};
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < MTL__COUNT_OF(class_counts); i++)
        for (int r = 0; r < MTL__COUNT_OF(rows); r++)
            for (int kind = 0; kind < 4; kind++) {
                ck_reset();
                if (class_counts[i] < 1000 || rows[r] < 18)
                    try_softmax(v, rows[r], class_counts[i], kind);
            }
    v->softmax(5, 0, NULL, 0);
}

/* Against double: an error of half an ULP in z - top makes one of |z - top| / 2 epsilon in exp. */
static void check_softmax_values(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < MTL__COUNT_OF(class_counts) && !ck_digest_only(); i++) {
        const int64_t cols = class_counts[i];
        float z[1000], p[1000];
        double total = 0, top = -HUGE_VAL;
        for (int64_t c = 0; c < cols; c++) {
            p[c] = z[c] = ck_uniform(-40.0f, 40.0f);
            top = fmax(top, (double)z[c]);
        }
        for (int64_t c = 0; c < cols; c++)
            total += exp((double)z[c] - top);
        v->softmax(1, cols, p, cols);
        for (int64_t c = 0; c < cols; c++) {
            double want = exp((double)z[c] - top) / total;
            double allowed = want * FLT_EPSILON *
                             (3 + 0.5 * (top - (double)z[c]) + 0.5 * (4 + (double)cols / 16));
            ck_case("%lld classes", (long long)cols);
            if (!(fabs((double)p[c] - want) <= allowed + FLT_TRUE_MIN))
                ck_fail("p[%lld] %a instead of %a", (long long)c, (double)p[c], want);
        }
    }
}

typedef struct loss_case {
    ck_mat z, y, w, g;
    const float *weights; /* w.p or NULL */
    float scale;
} loss_case;

static loss_case make_loss_case(int64_t rows, int64_t cols)
{
    const enum ck_place place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    int64_t gap_z = ck_below(3), gap_g = ck_below(3);
    loss_case c = {
        .z = ck_matrix(rows, cols, cols + gap_z, place),
        .y = ck_matrix(1, rows, rows, place),
        .g = ck_matrix(rows, cols, cols + gap_g, place),
        .w = ck_matrix(1, rows, rows, place),
    };
    /* One draw per statement: the order of draws must not be the compiler's. */
    ck_fill_mat(CK_UNIFORM, &c.w);
    c.scale = ck_uniform(0.1f, 2.0f);
    fill_logits(&c.z);
    c.weights = ck_below(2) ? c.w.p : NULL;
    ck_case("%lldx%lld ld+%lld,%lld %s", (long long)rows, (long long)cols, (long long)gap_z,
            (long long)gap_g, c.weights ? "weights" : "no weights");
    return c;
}

/* Run the loss with a gradient, without, and with the gradient over the logits. */
static void judge_loss_case(mtl__rows_loss_fn *fn, loss_case *c, float want_loss,
                            const ck_mat *want_g)
{
    const int64_t rows = c->z.rows, cols = c->z.cols;
    const float *w = c->weights;
    float loss = fn(rows, cols, c->z.p, c->z.ld, c->y.p, w, c->scale, c->g.p, c->g.ld);
    judge_number("loss", want_loss, loss);
    judge("g", want_g, &c->g);
    loss = fn(rows, cols, c->z.p, c->z.ld, c->y.p, w, c->scale, NULL, 0);
    judge_number("loss without gradient", want_loss, loss);
    loss = fn(rows, cols, c->z.p, c->z.ld, c->y.p, w, c->scale, c->z.p, c->z.ld);
    judge_number("loss in place", want_loss, loss);
    judge("g in place", want_g, &c->z);
    ck_guards(&c->y, "y");
    ck_guards(&c->w, "w");
}

static void try_entropy(const mtl__vec *v, int64_t rows, int64_t cols)
{
    static plain_row row;
    loss_case c = make_loss_case(rows, cols);
    ck_mat want = ck_matrix(rows, cols, cols, CK_ALIGNED);
    ck_mat terms = ck_matrix(1, rows, rows, CK_ALIGNED);
    for (int64_t r = 0; r < rows; r++) {
        const float w = c.weights ? c.w.p[r] : 1.0f, *z = c.z.p + r * c.z.ld;
        const int64_t label = ck_below(cols + cols / 2 + 1); /* a third is missing */
        const bool missing = label >= cols;
        c.y.p[r] = missing ? (float)NAN : (float)label;
        plain_softmax(cols, z, &row);
        plain_table()->log(1, &row.total, &row.total);
        terms.p[r] = missing ? 0.0f : w * (row.total - (z[label] - row.top));
        for (int64_t j = 0; j < cols; j++) {
            float g = c.scale * w * (row.p[j] - (j == label ? 1.0f : 0.0f));
            want.p[r * cols + j] = missing ? 0.0f : g;
        }
    }
    judge_loss_case(v->softmax_cross_entropy, &c, lane_sum(rows, terms.p, NULL), &want);
}

static void check_entropy(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < MTL__COUNT_OF(class_counts); i++)
        for (int64_t rows = 0; rows <= (class_counts[i] < 100 ? 50 : 18); rows++) {
            ck_reset();
            try_entropy(v, rows, class_counts[i]);
        }
    const float labels[16] = {0};
    ck_case("no classes");
    judge_number("loss", 0.0f,
                 v->softmax_cross_entropy(16, 0, NULL, 0, labels, NULL, 1.0f, NULL, 0));
}

static double entropy_f64(int64_t cols, const double *z, int64_t label)
{
    double top = -HUGE_VAL, total = 0;
    for (int64_t c = 0; c < cols; c++)
        top = fmax(top, z[c]);
    for (int64_t c = 0; c < cols; c++)
        total += exp(z[c] - top);
    return log(total) - (z[label] - top);
}

/* Loss and gradient of one row against double and against difference quotients. */
static void check_entropy_values(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < 400 && !ck_digest_only(); i++) {
        const int64_t cols = 1 + ck_below(40), label = ck_below(cols);
        float z[40], g[40], y = (float)label;
        double d[40];
        for (int64_t c = 0; c < cols; c++)
            d[c] = (double)(z[c] = ck_uniform(-8.0f, 8.0f));
        float loss = v->softmax_cross_entropy(1, cols, z, cols, &y, NULL, 1.0f, g, cols);
        double want = entropy_f64(cols, d, label);
        ck_case("%lld classes, label %lld", (long long)cols, (long long)label);
        /* 16 = z_label - top at most; the sum of up to 40 terms >= 1 costs the rest. */
        if (!(fabs((double)loss - want) <= 16 * FLT_EPSILON))
            ck_fail("loss %a instead of %a", (double)loss, want);
        for (int64_t c = 0; c < cols; c++) {
            const double h = 1e-5, x = d[c];
            d[c] = x + h;
            double above = entropy_f64(cols, d, label);
            d[c] = x - h;
            double slope = (above - entropy_f64(cols, d, label)) / (2 * h);
            d[c] = x;
            if (!(fabs((double)g[c] - slope) <= 16 * FLT_EPSILON))
                ck_fail("gradient[%lld] %a instead of %a", (long long)c, (double)g[c], slope);
        }
    }
}

/* Labels that are no class: the loss says so, and nothing outside is touched. */
static void check_entropy_labels(mtl__cpu_level level)
{
    static const float labels[] = {-1.0f, 1.5f, 40.0f, 1e30f, -1e30f, INF, -INF, 16777216.0f};
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < MTL__COUNT_OF(labels); i++)
        for (int64_t cols = 1; cols <= 40; cols += 3)
            for (int64_t rows = 1; rows <= 17; rows += 16) {
                ck_reset();
                loss_case c = make_loss_case(rows, cols);
                for (int64_t r = 0; r < rows; r++)
                    c.y.p[r] = 0.0f;
                c.y.p[0] = labels[i];
                float loss = v->softmax_cross_entropy(rows, cols, c.z.p, c.z.ld, c.y.p, c.weights,
                                                      1.0f, c.g.p, c.g.ld);
                if (!isnan(loss))
                    ck_fail("label %g gave the loss %g", (double)labels[i], (double)loss);
                ck_guards(&c.g, "g");
                ck_digest_mat(&c.g);
            }
}

/* --- Adam --------------------------------------------------------------------------------- */

static float normal_or_zero(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

static float plain_square(float rest, float d)
{
    const float x = fabsf(d) < 0x1p-56f ? 0.0f : d;
    return rest * x * x;
}

/* The text of vec.h. */
static void plain_adam(int64_t i, float *w, const float *g, float *m, float *v,
                       const mtl__adam_step *s)
{
    float sign = w[i] > 0 ? 1.0f : w[i] < 0 ? -1.0f : 0.0f;
    float d = fmaf(s->l1, sign, fmaf(s->l2, w[i], g[i]));
    m[i] = normal_or_zero(fmaf(s->beta1, m[i], (1.0f - s->beta1) * d));
    v[i] = normal_or_zero(fmaf(s->beta2, v[i], plain_square(1.0f - s->beta2, d)));
    w[i] = fmaf(-s->step_size, m[i] / fmaf(sqrtf(v[i]), s->inv_sqrt_bias2, s->eps), w[i]);
}

static void check_adam(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < SIZES * 2; i++) {
        const int64_t n = size_at(i / 2);
        const enum ck_place place = (enum ck_place)(i % CK_PLACE_COUNT);
        const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
        const float penalty = i % 2 ? 0.01f : 0.0f;
        const mtl__adam_step s = {0.9f, 0.999f, 1e-7f, 1e-3f, 2.0f, penalty, 2.0f * penalty};
        ck_reset();
        ck_mat w = vector(n, place, i % 4 < 2 ? CK_UNIFORM : CK_ZEROS), g = vector(n, place, kind);
        ck_mat m = vector(n, place, i % 3 ? CK_UNIFORM : CK_DENORMAL);
        ck_mat u = vector(n, place, i % 5 ? CK_UNIFORM : CK_DENORMAL);
        for (int64_t k = 0; k < n; k++) {
            u.p[k] = fabsf(u.p[k]);
            if (i % 7 == 0)
                g.p[k] *= 0x1p-56f; /* on both sides of what has no square */
        }
        ck_mat want_w = copy_of(&w, CK_ALIGNED), want_m = copy_of(&m, CK_ALIGNED);
        ck_mat want_u = copy_of(&u, CK_ALIGNED), same_g = copy_of(&g, CK_ALIGNED);
        for (int64_t k = 0; k < n; k++)
            plain_adam(k, want_w.p, g.p, want_m.p, want_u.p, &s);
        ck_case("n %lld %s penalty %g", (long long)n, ck_values_name(kind), (double)penalty);
        v->adam(n, w.p, g.p, m.p, u.p, &s);
        judge("w", &want_w, &w);
        judge("m", &want_m, &m);
        judge("v", &want_u, &u);
        judge("g", &same_g, &g);
    }
}

static float plain_sign(float x)
{
    return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
}

/* The text of vec.h. */
static void plain_update(int64_t i, float *w, const float *g, float *m, float *v, float *top,
                         const mtl__update_step *s)
{
    float e = fmaf(s->l1, plain_sign(w[i]), fmaf(s->l2, w[i], g[i])), root = 0;
    if (v) {
        v[i] = normal_or_zero(fmaf(s->v_keep, v[i], plain_square(s->v_new, e)));
        if (top)
            top[i] = top[i] > v[i] ? top[i] : v[i];
        root = fmaf(sqrtf(top ? top[i] : v[i]), s->root_scale, s->eps);
        e = s->divide_first ? e / root : e;
    }
    float u = s->use_e * e;
    if (m) {
        u = fmaf(s->use_m, m[i], u);
        m[i] = normal_or_zero(fmaf(s->m_keep, m[i], s->m_new * e));
    }
    if (v && !s->divide_first)
        u /= root;
    w[i] = fmaf(-s->rate, s->sign ? plain_sign(u) : u, s->keep * w[i]);
}

/* All forms: with or without each vector, dividing before or behind, signs. */
static void check_update(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    for (int i = 0; i < SIZES * 24; i++) {
        const int64_t n = size_at(i / 24);
        const int form = i % 24;
        const enum ck_place place = (enum ck_place)(i % CK_PLACE_COUNT);
        const ck_values kind = (ck_values)ck_below(CK_VALUES_COUNT);
        const bool has_m = form % 2, has_v = form / 2 % 3 > 0, has_top = form / 2 % 3 > 1;
        const mtl__update_step s = {.l1 = 0.01f, .l2 = 0.02f, .keep = 0.99f, .rate = 0.1f,
                                    .m_keep = 0.9f, .m_new = 0.1f, .use_m = 0.8f, .use_e = 0.3f,
                                    .v_keep = 0.95f, .v_new = 0.05f, .root_scale = 1.5f,
                                    .eps = 1e-7f, .divide_first = form / 6 % 2,
                                    .sign = form / 12};
        ck_reset();
        ck_mat a[5]; /* w, m, v, top, g */
        ck_mat want[5];
        for (int k = 0; k < 5; k++)
            a[k] = vector(n, place, k == 4 ? kind : i % 5 ? CK_UNIFORM : CK_DENORMAL);
        for (int64_t k = 0; k < n; k++) {
            a[2].p[k] = fabsf(a[2].p[k]);
            a[3].p[k] = fabsf(a[3].p[k]);
        }
        for (int k = 0; k < 5; k++)
            want[k] = copy_of(&a[k], CK_ALIGNED);
        for (int64_t k = 0; k < n; k++)
            plain_update(k, want[0].p, a[4].p, has_m ? want[1].p : NULL, has_v ? want[2].p : NULL,
                         has_top ? want[3].p : NULL, &s);
        ck_case("n %lld %s form %d", (long long)n, ck_values_name(kind), form);
        v->update(n, a[0].p, a[4].p, has_m ? a[1].p : NULL, has_v ? a[2].p : NULL,
                  has_top ? a[3].p : NULL, &s);
        judge("w", &want[0], &a[0]);
        judge("m", &want[1], &a[1]);
        judge("v", &want[2], &a[2]);
        judge("top", &want[3], &a[3]);
        judge("g", &want[4], &a[4]);
    }
}

/* Ten steps against the algorithm of the paper in double. */
static void check_adam_steps(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    float w[8] = {0}, m[8] = {0}, u[8] = {0}, g[8];
    double dw[8] = {0}, dm[8] = {0}, du[8] = {0};
    const double b1 = (double)0.9f, b2 = (double)0.999f, eps = 1e-7, rate = 1e-2;
    for (int t = 1; t <= 10 && !ck_digest_only(); t++) {
        mtl__adam_step s = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = (float)eps};
        s.step_size = (float)(rate / (1 - pow(b1, t)));
        s.inv_sqrt_bias2 = (float)(1 / sqrt(1 - pow(b2, t)));
        for (int i = 0; i < 8; i++)
            g[i] = ck_uniform(-1.0f, 1.0f);
        v->adam(8, w, g, m, u, &s);
        for (int i = 0; i < 8; i++) {
            const double d = (double)g[i];
            dm[i] = b1 * dm[i] + (1 - b1) * d;
            du[i] = b2 * du[i] + (1 - b2) * d * d;
            double mean = dm[i] / (1 - pow(b1, t)), power = du[i] / (1 - pow(b2, t));
            dw[i] -= rate * mean / (sqrt(power) + eps);
            ck_case("step %d", t);
            /* each step moves by about the rate, with some ten roundings */
            if (!(fabs((double)w[i] - dw[i]) <= t * rate * 10 * FLT_EPSILON))
                ck_fail("w[%d] %a instead of %a", i, (double)w[i], dw[i]);
        }
    }
}

/* --- every level has every function --------------------------------------------------------- */

static void check_table(mtl__cpu_level level)
{
    const mtl__vec *v = mtl__vec_table(level);
    ck_case("table");
    if (strcmp(v->name, mtl__cpu_name(level)) != 0)
        ck_fail("the table is called %s", v->name);
    for (size_t at = offsetof(mtl__vec, exp); at < sizeof *v; at += sizeof(mtl__map_fn *)) {
        mtl__map_fn *fn;
        memcpy(&fn, (const char *)v + at, sizeof fn);
        if (!fn)
            ck_fail("no function at offset %d", (int)at);
    }
}

/* --- speed -------------------------------------------------------------------------------- */

enum { BENCH = 4096, BENCH_LARGE = 1 << 22 };

typedef struct bench_args {
    const mtl__vec *v;
    mtl__map_fn *map;
    mtl__columns_fn *loss;
    int64_t n, rows, cols;
    float *x, *y, *m, *u;
    float sink;
} bench_args;

static bench_args make_bench(mtl__cpu_level level, int64_t n)
{
    bench_args a = {.v = mtl__vec_table(level), .n = n};
    float **arrays[] = {&a.x, &a.y, &a.m, &a.u};
    ck_reset();
    for (int i = 0; i < MTL__COUNT_OF(arrays); i++)
        *arrays[i] = vector(n, CK_ALIGNED, CK_UNIFORM).p;
    for (int64_t i = 0; i < n; i++) {
        a.y[i] = i % 2 ? 1.0f : 0.0f;
        a.u[i] = fabsf(a.u[i]);
    }
    return a;
}

static void run_map(void *arg)
{
    const bench_args *a = arg;
    a->map(a->n, a->x, a->m);
}

static void bench_maps(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    for (int f = 0; f < MTL__COUNT_OF(functions); f++) {
        a.map = pick(a.v, &functions[f]);
        ck_bench(functions[f].name, (double)a.n, "Gelem/s", run_map, &a);
    }
}

static void run_axpy(void *arg)
{
    const bench_args *a = arg;
    a->v->axpy(a->n, 1e-6f, a->x, a->m);
}

static void bench_streams(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("axpy", (double)a.n, "Gelem/s", run_axpy, &a);
}

static void run_dot(void *arg)
{
    bench_args *a = arg;
    a->sink = a->v->dot(a->n, a->x, a->m);
}

static void run_columns(void *arg)
{
    const bench_args *a = arg;
    a->v->col_sums(a->rows, a->cols, a->x, a->cols, a->m, false);
}

static void bench_sums(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("dot", (double)a.n, "Gelem/s", run_dot, &a);
    a.rows = a.cols = 64;
    ck_bench("col_sums 64x64", (double)a.n, "Gelem/s", run_columns, &a);
}

static void run_bias(void *arg)
{
    const bench_args *a = arg;
    a->v->bias_relu(64, 64, a->m, 64, a->x);
}

static void bench_activations(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("bias_relu 64x64", (double)a.n, "Gelem/s", run_bias, &a);
}

static void run_loss(void *arg)
{
    bench_args *a = arg;
    static float work[MTL__COLUMNS_WORK * 64], sum[64], scale[64];
    const mtl__columns c = {.rows = a->rows,
                            .cols = a->cols,
                            .z = a->x,
                            .ldz = a->cols,
                            .y = a->y,
                            .scale = scale,
                            .g = a->m,
                            .ldg = a->cols,
                            .sum = sum,
                            .work = work};
    a->loss(&c);
}

static void bench_losses(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    for (int k = 0; k < MTL__COUNT_OF(losses); k++)
        for (a.cols = 1; a.cols <= 64; a.cols *= 8) {
            char label[64];
            a.rows = BENCH / a.cols;
            a.loss = pick_loss(a.v, k);
            snprintf(label, sizeof label, "%s %lld columns", losses[k].name, (long long)a.cols);
            ck_bench(label, (double)a.n, "Gelem/s", run_loss, &a);
        }
}

static void run_softmax(void *arg)
{
    const bench_args *a = arg;
    a->v->softmax(a->rows, a->cols, a->m, a->cols);
}

static void run_entropy(void *arg)
{
    bench_args *a = arg;
    a->sink = a->v->softmax_cross_entropy(a->rows, a->cols, a->x, a->cols, a->y, NULL, 1.0f, a->m,
                                          a->cols);
}

static void bench_softmax(mtl__cpu_level level)
{
    static const int64_t classes[] = {2, 3, 10, 16, 31, 32, 100, 1000};
    bench_args a = make_bench(level, BENCH);
    for (int i = 0; i < MTL__COUNT_OF(classes); i++) {
        char label[64];
        a.cols = classes[i];
        a.rows = BENCH / a.cols;
        snprintf(label, sizeof label, "softmax %lld classes", (long long)a.cols);
        ck_bench(label, (double)(a.rows * a.cols), "Gelem/s", run_softmax, &a);
        snprintf(label, sizeof label, "cross-entropy %lld classes", (long long)a.cols);
        ck_bench(label, (double)(a.rows * a.cols), "Gelem/s", run_entropy, &a);
    }
}

static void run_adam(void *arg)
{
    const bench_args *a = arg;
    const mtl__adam_step s = {0.9f, 0.999f, 1e-7f, 1e-6f, 1.0f, 0.0f, 0.0f};
    a->v->adam(a->n, a->x, a->y, a->m, a->u, &s);
}

/* Four arrays read, three written. */
static void bench_adam(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("adam 4096", (double)a.n * 28, "GB/s", run_adam, &a);
    a = make_bench(level, BENCH_LARGE);
    ck_bench("adam 4194304", (double)a.n * 28, "GB/s", run_adam, &a);
}

static void run_update(void *arg)
{
    const bench_args *a = arg;
    const mtl__update_step s = {.keep = 0.999f, .rate = 1e-6f, .m_keep = 0.9f, .m_new = 0.1f,
                                .use_m = 0.9f, .use_e = 0.1f, .v_keep = 0.999f, .v_new = 0.001f,
                                .root_scale = 1, .eps = 1e-7f};
    a->v->update(a->n, a->x, a->y, a->m, a->u, NULL, &s);
}

static void bench_update(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("update 4096", (double)a.n * 28, "GB/s", run_update, &a);
    a = make_bench(level, BENCH_LARGE);
    ck_bench("update 4194304", (double)a.n * 28, "GB/s", run_update, &a);
}

/* --- random words --------------------------------------------------------------------------- */

/* Salmon et al. 2011, word for word. */
static void plain_philox(const uint32_t counter[4], uint64_t number, const uint32_t key[2],
                         uint32_t out[4])
{
    uint32_t c[4] = {(uint32_t)number, (uint32_t)(number >> 32), counter[2], counter[3]};
    uint32_t k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xd2511f53u * c[0], p1 = (uint64_t)0xcd9e8d57u * c[2];
        const uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                                  (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    memcpy(out, c, sizeof c);
}

/* As floats of 16 bits, which are none of those that a digest cannot tell apart. */
static void digest_words(int64_t n, const uint32_t *word)
{
    for (int64_t i = 0; i < n; i++) {
        const float halves[2] = {(float)(word[i] >> 16), (float)(word[i] & 0xffff)};
        ck_digest_f32(2, halves);
    }
}

/* All counts around the lanes, the first word of the number passing its end or not. */
static void check_philox(mtl__cpu_level level)
{
    enum { MOST = 40 };
    for (int64_t n = 0; n <= MOST; n++)
        for (uint32_t before = 0; before < 20; before++) {
            const uint32_t counter[4] = {0u - before, 0xfffffff7u + before, 3, 0x80000001u};
            const uint32_t key[2] = {0xfedcba98u + before, (uint32_t)n};
            const uint64_t first = (uint64_t)counter[1] << 32 | counter[0];
            uint32_t out[4 * MOST + 4], want[4];
            memset(out, 0x5a, sizeof out);
            mtl__vec_table(level)->philox(counter, key, n, out);
            ck_case("%lld blocks, %u before the end of a word", (long long)n, before);
            for (int64_t i = 0; i < n; i++) {
                plain_philox(counter, first + (uint64_t)i, key, want);
                for (int64_t k = 0; k < 4; k++)
                    if (out[k * n + i] != want[k])
                        ck_fail("word %lld of block %lld", (long long)k, (long long)i);
            }
            for (int64_t k = 0; k < 4; k++)
                if (out[4 * n + k] != 0x5a5a5a5au)
                    ck_fail("wrote behind the last block");
            digest_words(4 * n, out);
        }
}

static void run_philox(void *arg)
{
    const bench_args *a = arg;
    const uint32_t counter[4] = {0}, key[2] = {0};
    a->v->philox(counter, key, a->n / 4, (uint32_t *)(void *)a->x);
}

static void bench_philox(mtl__cpu_level level)
{
    bench_args a = make_bench(level, BENCH);
    ck_bench("philox 4096", (double)a.n * 4, "GB/s", run_philox, &a);
}

const ck_test ck_vec_tests[] = {
    {"vec.table", check_table, NULL},
    {"vec.math.range", check_range, bench_maps},
    {"vec.math.corners", check_corners, NULL},
    {"vec.math.sizes", check_maps, NULL},
    {"vec.activation", check_activations, bench_activations},
    {"vec.activation.slope", check_slopes, NULL},
    {"vec.curve", check_curves, NULL},
    {"vec.curve.values", check_curve_values, NULL},
    {"vec.stream", check_streams, bench_streams},
    {"vec.sum", check_sums, bench_sums},
    {"vec.sum.finite", check_finite, NULL},
    {"vec.sum.columns", check_columns, NULL},
    {"vec.standardize", check_standardize, NULL},
    {"vec.loss", check_losses, bench_losses},
    {"vec.loss.values", check_loss_values, NULL},
    {"vec.loss.entropy_corners", check_entropy_corners, NULL},
    {"vec.loss.corners", check_loss_corners, NULL},
    {"vec.softmax", check_softmax, bench_softmax},
    {"vec.softmax.values", check_softmax_values, NULL},
    {"vec.entropy", check_entropy, NULL},
    {"vec.entropy.values", check_entropy_values, NULL},
    {"vec.entropy.labels", check_entropy_labels, NULL},
    {"vec.philox", check_philox, bench_philox},
    {"vec.adam", check_adam, bench_adam},
    {"vec.adam.steps", check_adam_steps, NULL},
    {"vec.update", check_update, bench_update},
    {NULL, NULL, NULL},
};
