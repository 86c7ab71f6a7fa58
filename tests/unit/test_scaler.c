/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include <float.h>

#include "../golden/scalers.h"
#include "data/scaler.h"

static mtl_error err;

enum { ROWS = 500, COLS = 4 };

/* Column 0: large mean, small spread; 1: small numbers with missing ones; 2: constant; 3: missing.
 */
static float x[ROWS * COLS];

static void fill(void)
{
    uint32_t s = 12345;
    for (int i = 0; i < ROWS; i++) {
        s = s * 1664525 + 1013904223;
        float u = (float)(s >> 8) * 0x1p-24f;
        x[i * COLS] = 1e6f + u;
        x[i * COLS + 1] = s % 5 == 0 ? NAN : u * 1e-3f - 0.25e-3f;
        x[i * COLS + 2] = 0.1f;
        x[i * COLS + 3] = NAN;
    }
}

/* The definition, in long double. rows: NULL = 0, 1, ... */
static void reference(int64_t count, const int64_t *rows, int col, double *mean, double *deviation)
{
    long double sum = 0, squares = 0, n = 0;
    for (int64_t i = 0; i < count; i++) {
        float v = x[(rows ? rows[i] : i) * COLS + col];
        sum += isnan(v) ? 0 : (long double)v;
        n += !isnan(v);
    }
    for (int64_t i = 0; i < count; i++) {
        float v = x[(rows ? rows[i] : i) * COLS + col];
        long double d = (long double)v - sum / n;
        squares += isnan(v) ? 0 : d * d;
    }
    *mean = (double)(sum / n);
    *deviation = (double)sqrtl(squares / n);
}

START_TEST(mean_and_deviation_are_exact_to_float)
{
    float mean[COLS], scale[COLS];
    double m, s;
    mtl_dataset *d;
    fill();
    assert_ok(mtl__dataset_create(NULL, x, ROWS, COLS, COLS, &d, &err));
    assert_ok(mtl__scaler_fit_inputs(d, mean, scale, &err));
    for (int j = 0; j < 2; j++) {
        reference(ROWS, NULL, j, &m, &s);
        ck_assert_msg(mean[j] == (float)m, "mean %d: %.9g, not %.9g", j, (double)mean[j], m);
        ck_assert_msg(scale[j] == (float)s, "scale %d: %.9g, not %.9g", j, (double)scale[j], s);
    }
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(columns_that_tell_nothing_have_scale_1)
{
    float mean[COLS], scale[COLS];
    mtl_dataset *d, *one;
    fill();
    assert_ok(mtl__dataset_create(NULL, x, ROWS, COLS, COLS, &d, &err));
    assert_ok(mtl__scaler_fit_inputs(d, mean, scale, &err));
    ck_assert(mean[2] == 0.1f && scale[2] == 1); /* exactly: 500 times 0.1 over 500 is not 0.1 */
    ck_assert(mean[3] == 0 && scale[3] == 1);
    assert_ok(mtl__dataset_range(d, 7, 1, &one, &err));
    assert_ok(mtl__scaler_fit_inputs(one, mean, scale, &err));
    ck_assert(mean[0] == x[7 * COLS] && scale[0] == 1);
    mtl__dataset_destroy(one);
    assert_ok(mtl__dataset_range(d, 7, 0, &one, &err));
    assert_ok(mtl__scaler_fit_inputs(one, mean, scale, &err));
    ck_assert(mean[0] == 0 && scale[0] == 1);
    mtl__dataset_destroy(one);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(only_the_rows_of_a_subset_count)
{
    const int64_t rows[] = {400, 3, 77, 3, 12, 400};
    float mean[COLS], scale[COLS];
    double m, s;
    mtl_dataset *d, *sub;
    fill();
    assert_ok(mtl__dataset_create(NULL, x, ROWS, COLS, COLS, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 2, x, COLS, &err));
    assert_ok(mtl__dataset_subset(d, 6, rows, &sub, &err));
    assert_ok(mtl__scaler_fit_inputs(sub, mean, scale, &err));
    reference(6, rows, 0, &m, &s);
    ck_assert(mean[0] == (float)m && scale[0] == (float)s);
    reference(6, rows, 1, &m, &s);
    ck_assert(mean[1] == (float)m && scale[1] == (float)s);
    float label_mean[2], label_scale[2];
    assert_ok(mtl__scaler_fit_labels(sub, 0, label_mean, label_scale, &err));
    assert_same_bits(label_mean, mean, 2);
    assert_same_bits(label_scale, scale, 2);
    mtl__dataset_destroy(sub);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(the_ends_of_float_stay_finite)
{
    const float ends[] = {FLT_MAX, 1e-45f, -FLT_MAX, 0, FLT_MAX, 0, -FLT_MAX, 0};
    float mean[2], scale[2];
    mtl_dataset *d;
    assert_ok(mtl__dataset_create(NULL, ends, 4, 2, 2, &d, &err));
    assert_ok(mtl__scaler_fit_inputs(d, mean, scale, &err));
    ck_assert(mean[0] == 0 && scale[0] == FLT_MAX);
    ck_assert(isfinite(1 / scale[1]));
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(other_scalers_are_those_of_scikit_learn)
{
    float mean[GOLDEN_COLS], scale[GOLDEN_COLS];
    mtl_dataset *d;
    assert_ok(mtl__dataset_create(NULL, golden_x, GOLDEN_ROWS, GOLDEN_COLS, GOLDEN_COLS, &d, &err));
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_ROBUST, 0, mean, scale, NULL, &err));
    for (int j = 0; j < GOLDEN_COLS; j++) {
        assert_near(mean[j], golden_robust_center[j], 1e-7);
        assert_near(scale[j] / golden_robust_scale[j], 1, 1e-6);
    }
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MIN_MAX, 0, mean, scale, NULL, &err));
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_COLS; i++) {
        int j = i % GOLDEN_COLS;
        if (j != 4) /* constant: scikit-learn puts it at the low end, here it is the center, 0 */
            assert_near(((double)golden_x[i] - mean[j]) / scale[j], golden_min_max[i], 3e-4);
    }
    ck_assert(mean[4] == 0.7f && scale[4] == 1);
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MAX_ABS, 0, mean, scale, NULL, &err));
    for (int j = 0; j < GOLDEN_COLS; j++)
        ck_assert(mean[j] == 0 && scale[j] == golden_max_abs[j]);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(scalers_by_order_have_ends_too)
{
    const float ends[] = {FLT_MAX,  NAN, 3,   -FLT_MAX, NAN, NAN,
                          -FLT_MAX, NAN, NAN, FLT_MAX,  NAN, NAN};
    float mean[3], scale[3];
    mtl_dataset *d;
    assert_ok(mtl__dataset_create(NULL, ends, 4, 3, 3, &d, &err));
    for (int kind = MTL__SCALER_STANDARD; kind <= MTL__SCALER_MIN_MAX; kind++) {
        assert_ok(mtl__scaler_fit_inputs_by(d, (mtl__scaler_kind)kind, 0, mean, scale, NULL, &err));
        ck_assert(mean[0] == 0 && scale[0] == FLT_MAX);
        ck_assert(mean[1] == 0 && scale[1] == 1);
        ck_assert(mean[2] == 3 && scale[2] == 1);
    }
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MAX_ABS, 0, mean, scale, NULL, &err));
    ck_assert(scale[0] == FLT_MAX && scale[1] == 1 && scale[2] == 3 && mean[2] == 0);
    mtl__dataset_destroy(d);
}
END_TEST

/* What a scaler makes of rows of `of`, fitted on d. */
static void warped(const mtl_dataset *d, mtl__scaler_kind kind, int64_t rows, const float *of,
                   float *out)
{
    const mtl__vec *v = mtl__vec_table(MTL__CPU_C);
    const int64_t cols = d->inputs, knots = mtl__scaler_knots(kind, d->rows);
    float mean[GOLDEN_COLS], inverse[GOLDEN_COLS], knot[GOLDEN_COLS * MTL__WARP_KNOTS];
    assert_ok(mtl__scaler_fit_inputs_by(d, kind, knots, mean, inverse, knot, &err));
    for (int64_t j = 0; j < cols; j++)
        inverse[j] = 1 / inverse[j];
    const mtl__warp w = {knots, knot};
    for (int64_t i = 0; i < rows; i++) {
        v->standardize(1, cols, of + i * cols, cols, NULL, mean, inverse, out + i * cols);
        mtl__warp_row(v, &w, cols, of + i * cols, out + i * cols);
    }
}

START_TEST(warps_are_those_of_the_papers)
{
    static float out[GOLDEN_MANY * GOLDEN_MANY_COLS];
    mtl_dataset *few, *many;
    assert_ok(
        mtl__dataset_create(NULL, golden_x, GOLDEN_ROWS, GOLDEN_COLS, GOLDEN_COLS, &few, &err));
    assert_ok(mtl__dataset_create(NULL, golden_many, GOLDEN_MANY, GOLDEN_MANY_COLS,
                                  GOLDEN_MANY_COLS, &many, &err));
    const struct {
        const mtl_dataset *d;
        mtl__scaler_kind kind;
        int rows;
        const float *of, *want;
    } c[] = {
        {few, MTL__SCALER_ROBUST_CLIP, GOLDEN_ROWS, golden_x, golden_clip},
        {many, MTL__SCALER_ROBUST_CLIP, GOLDEN_NEW, golden_new, golden_clip_new},
        {few, MTL__SCALER_QUANTILE, GOLDEN_ROWS, golden_x, golden_quantile},
        {many, MTL__SCALER_QUANTILE, GOLDEN_MANY, golden_many, golden_quantile_many},
        {many, MTL__SCALER_QUANTILE, GOLDEN_NEW, golden_new, golden_quantile_new},
    };
    for (int k = 0; k < MTL__COUNT_OF(c); k++) {
        const int64_t cols = c[k].d->inputs;
        warped(c[k].d, c[k].kind, c[k].rows, c[k].of, out);
        for (int64_t i = 0; i < c[k].rows * cols; i++) {
            /* Constant: scikit-learn puts it at the low end, here it is 0. */
            const double want = cols == GOLDEN_COLS && i % cols == 4 ? 0 : c[k].want[i];
            /* Knots are floats: with means of 5 and 1e4 and deviations of 1e-3 and 100 they are some
               5e-4 and 1e-5 of a deviation apart. */
            static const double bounds[] = {1e-6, 5e-4, 2e-5, 1e-6, 1e-6};
            const double bound = cols == GOLDEN_COLS ? bounds[i % cols] : 1e-6;
            ck_assert_msg(fabs(out[i] - want) <= bound * fmax(1, fabs(want)),
                          "case %d, element %lld: %.9g, not %.9g", k, (long long)i, (double)out[i],
                          want);
        }
    }
    mtl__dataset_destroy(few);
    mtl__dataset_destroy(many);
}
END_TEST

/* Columns: with outliers, without values, of one value, of two, with one row's value alone. */
START_TEST(warps_have_ends_too)
{
    const float ends[] = {FLT_MAX,  NAN, 3, 0, NAN, -FLT_MAX, NAN, 3, 1, 7,
                          -FLT_MAX, NAN, 3, 0, NAN, FLT_MAX,  NAN, 3, 0, NAN};
    const float rows[] = {0,    1e30f, 1e30f,     FLT_MAX, -1e30f,   FLT_MAX, -1, 4,
                          1e9f, 8,     -FLT_MAX, NAN,     -FLT_MAX, -1e9f,   NAN};
    float out[15];
    mtl_dataset *d, *one;
    assert_ok(mtl__dataset_create(NULL, ends, 4, 5, 5, &d, &err));
    assert_ok(mtl__dataset_range(d, 1, 1, &one, &err));
    warped(d, MTL__SCALER_ROBUST_CLIP, 3, rows, out);
    for (int i = 0; i < 15; i++)
        ck_assert_msg(fabsf(out[i]) <= 3, "element %d: %g", i, (double)out[i]);
    for (int i = 0; i < 3; i++)
        ck_assert(out[i * 5 + 1] == 0 && out[i * 5 + 2] == 0 && out[i * 5 + 4] == 0);
    ck_assert(out[3] > 2.999f && out[13] < -2.999f && out[8] > 2.999f);
    warped(d, MTL__SCALER_QUANTILE, 3, rows, out);
    for (int i = 0; i < 3; i++)
        ck_assert(out[i * 5 + 1] == 0 && out[i * 5 + 2] == 0 && out[i * 5 + 4] == 0);
    assert_near(out[3], MTL__WARP_END, 1e-6);
    assert_near(out[10], -MTL__WARP_END, 1e-6);
    assert_near(out[0], 0, 1e-6);
    for (int kind = MTL__SCALER_ROBUST_CLIP; kind <= MTL__SCALER_QUANTILE; kind++) {
        warped(one, (mtl__scaler_kind)kind, 3, rows, out);
        for (int i = 0; i < 15; i++)
            ck_assert(out[i] == 0);
    }
    mtl__dataset_destroy(one);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(normal_quantiles)
{
    static const double known[][2] = {/* SciPy 1.10.1, scipy.stats.norm.ppf */
                                      {0.5, 0},
                                      {0.9, 1.2815515655446004},
                                      {0.925, 1.4395314709384563},
                                      {0.0251, -1.9582558379498325},
                                      {1e-7, -5.1993375821928165},
                                      {1e-12, -7.034483825301131}};
    for (int i = 0; i < MTL__COUNT_OF(known); i++)
        assert_near(mtl__normal_quantile(known[i][0]), known[i][1], 1e-13);
}
END_TEST

static mtl_status try_order(void *arg)
{
    float mean[COLS], scale[COLS];
    return mtl__scaler_fit_inputs_by(arg, MTL__SCALER_ROBUST, 0, mean, scale, NULL, NULL);
}

static mtl_status try_fit(void *arg)
{
    float mean[COLS], scale[COLS];
    return mtl__scaler_fit_inputs(arg, mean, scale, NULL);
}

START_TEST(memory_may_fail)
{
    test_memory t = {0};
    mtl_context *ctx;
    mtl_dataset *d;
    assert_ok(mtl__context_create(NULL, &ctx, &err));
    ctx->threads = 1;
    ctx->al = test_allocator(&t);
    assert_ok(mtl__dataset_create(ctx, x, ROWS, COLS, COLS, &d, &err));
    ck_assert_int_eq(sweep_allocations(&t, try_fit, d), 1);
    ck_assert_int_eq(sweep_allocations(&t, try_order, d), 1);
    mtl__dataset_destroy(d);
    mtl__context_unref(ctx);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scaler");
    add_case(s, "mean and deviation are exact to float", mean_and_deviation_are_exact_to_float);
    add_case(s, "columns that tell nothing have scale 1", columns_that_tell_nothing_have_scale_1);
    add_case(s, "only the rows of a subset count", only_the_rows_of_a_subset_count);
    add_case(s, "the ends of float stay finite", the_ends_of_float_stay_finite);
    add_case(s, "scalers by order are those of scikit-learn",
             other_scalers_are_those_of_scikit_learn);
    add_case(s, "scalers by order have ends too", scalers_by_order_have_ends_too);
    add_case(s, "warps are those of the papers", warps_are_those_of_the_papers);
    add_case(s, "warps have ends too", warps_have_ends_too);
    add_case(s, "normal quantiles", normal_quantiles);
    add_case(s, "memory may fail", memory_may_fail);
    return run_suite(s);
}
