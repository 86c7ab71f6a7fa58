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
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_ROBUST, mean, scale, &err));
    for (int j = 0; j < GOLDEN_COLS; j++) {
        assert_near(mean[j], golden_robust_center[j], 1e-7);
        assert_near(scale[j] / golden_robust_scale[j], 1, 1e-6);
    }
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MIN_MAX, mean, scale, &err));
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_COLS; i++) {
        int j = i % GOLDEN_COLS;
        if (j != 4) /* constant: scikit-learn puts it at the low end, here it is the center, 0 */
            assert_near(((double)golden_x[i] - mean[j]) / scale[j], golden_min_max[i], 3e-4);
    }
    ck_assert(mean[4] == 0.7f && scale[4] == 1);
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MAX_ABS, mean, scale, &err));
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
        assert_ok(mtl__scaler_fit_inputs_by(d, (mtl__scaler_kind)kind, mean, scale, &err));
        ck_assert(mean[0] == 0 && scale[0] == FLT_MAX);
        ck_assert(mean[1] == 0 && scale[1] == 1);
        ck_assert(mean[2] == 3 && scale[2] == 1);
    }
    assert_ok(mtl__scaler_fit_inputs_by(d, MTL__SCALER_MAX_ABS, mean, scale, &err));
    ck_assert(scale[0] == FLT_MAX && scale[1] == 1 && scale[2] == 3 && mean[2] == 0);
    mtl__dataset_destroy(d);
}
END_TEST

static mtl_status try_order(void *arg)
{
    float mean[COLS], scale[COLS];
    return mtl__scaler_fit_inputs_by(arg, MTL__SCALER_ROBUST, mean, scale, NULL);
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
    add_case(s, "memory may fail", memory_may_fail);
    return run_suite(s);
}
