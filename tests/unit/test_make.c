/* SPDX-License-Identifier: MIT */
/* Linear problems: make_regression and make_tasks. */
#include "api_testing.h"

enum { MAX = 40 };

typedef mtl_status make_fn(mtl_context *ctx, const mtl_options *o, int64_t count,
                           float *coefficients, mtl_dataset **out, mtl_error *err);

static mtl_dataset *make(make_fn *fn, int32_t group, const char *text, int64_t count, float *w)
{
    mtl_dataset *d = NULL;
    mtl_options *o = options(group, text);
    done(fn(NULL, o, count, w, &d, err));
    mtl_options_destroy(o);
    return d;
}

static mtl_dataset *regression(const char *text, int64_t count, float *w)
{
    return make(mtl_dataset_make_regression, MTL_OPTIONS_MAKE_REGRESSION, text, count, w);
}

static mtl_dataset *tasks(const char *text, int64_t count, float *w)
{
    return make(mtl_dataset_make_tasks, MTL_OPTIONS_MAKE_TASKS, text, count, w);
}

static float *inputs_of(const mtl_dataset *d)
{
    int64_t rows = mtl_dataset_rows(d), cols = mtl_dataset_inputs(d);
    float *x = floats(rows * cols);
    done(mtl_dataset_get_inputs(d, 0, rows, x, cols, err));
    return x;
}

static float *labels_of(const mtl_dataset *d, const char *task, int64_t cols)
{
    float *y = floats(mtl_dataset_rows(d) * cols);
    done(mtl_dataset_get_labels(d, task, 0, mtl_dataset_rows(d), y, cols, err));
    return y;
}

static double correlation(const float *a, const float *b, int64_t n, int64_t stride)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, k = 0;
    for (int64_t i = 0; i < n * stride; i += stride) {
        double x = a[i], y = b[i];
        sa += x, sb += y, saa += x * x, sbb += y * y, sab += x * y, k++;
    }
    return (sab - sa * sb / k) / sqrt((saa - sa * sa / k) * (sbb - sb * sb / k));
}

static double cosine(const float *a, const float *b, int64_t n, int64_t stride)
{
    double aa = 0, bb = 0, ab = 0;
    for (int64_t i = 0; i < n * stride; i += stride) {
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
        ab += (double)a[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

START_TEST(labels_are_the_inputs_times_the_coefficients)
{
    float w[12 * 3];
    mtl_dataset *d = regression("rows=50 inputs=12 informative=5 targets=3 bias=7 seed=3", 36, w);
    ck_assert(mtl_dataset_rows(d) == 50 && mtl_dataset_inputs(d) == 12);
    ck_assert_int_eq(mtl_dataset_task_cols(d, 0), 3);
    float *x = inputs_of(d), *y = labels_of(d, "target", 3);
    for (int i = 0; i < 50; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 7;
            for (int k = 0; k < 12; k++)
                sum += (double)x[i * 12 + k] * w[k * 3 + j];
            assert_near(y[i * 3 + j], sum, 1e-5);
        }
    int informative = 0;
    for (int k = 0; k < 12; k++) {
        informative += w[3 * k] != 0;
        for (int j = 0; j < 3; j++)
            ck_assert((w[3 * k] != 0) == (w[3 * k + j] != 0) && w[3 * k + j] < 100);
    }
    ck_assert_int_eq(informative, 5);
    free(x), free(y);
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(inputs_are_normal_and_noise_has_its_size)
{
    float w[4];
    mtl_dataset *plain = regression("rows=20000 inputs=4 informative=9", 4, w);
    mtl_dataset *noisy = regression("rows=20000 inputs=4 informative=9 noise=3", 4, w);
    float *x = inputs_of(plain), *y = labels_of(plain, "target", 1),
          *z = labels_of(noisy, "target", 1);
    double sum = 0, squares = 0, noise = 0;
    for (int i = 0; i < 80000; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    for (int i = 0; i < 20000; i++)
        noise += ((double)z[i] - y[i]) * ((double)z[i] - y[i]);
    ck_assert(fabs(sum / 80000) < 0.02 && fabs(squares / 80000 - 1) < 0.03);
    assert_near(sqrt(noise / 20000), 3, 0.03);
    ck_assert(w[0] > 0 && w[1] > 0 && w[2] > 0 && w[3] > 0); /* at most all are informative */
    free(x), free(y), free(z);
    mtl_dataset_destroy(plain), mtl_dataset_destroy(noisy);
}
END_TEST

START_TEST(shuffle_and_seed_decide)
{
    float a[20], b[20], c[20];
    mtl_dataset_destroy(regression("informative=3 shuffle=0", 20, a));
    mtl_dataset_destroy(regression("informative=3 seed=1", 20, b));
    mtl_dataset_destroy(regression("informative=3 seed=2", 20, c));
    for (int i = 0; i < 20; i++)
        ck_assert((a[i] != 0) == (i < 3));
    ck_assert(memcmp(b, c, sizeof b) != 0);
    ck_assert(!(b[0] != 0 && b[1] != 0 && b[2] != 0));
}
END_TEST

START_TEST(relatedness_is_the_cosine_of_the_coefficients)
{
    static const double wanted[] = {-1, -0.5, 0, 0.3, 0.9, 1};
    float w[10 * 5];
    for (int k = 0; k < 6; k++) {
        char text[128];
        snprintf(text, sizeof text,
                 "rows=20000 inputs=10 tasks=5 unrelated=2 noise=0 relatedness=%g", wanted[k]);
        mtl_dataset *d = tasks(text, 50, w);
        double r = wanted[k];
        const double pairs[5][5] = {{1, r, r, 0, 0},
                                    {r, 1, r * r, 0, 0},
                                    {r, r * r, 1, 0, 0},
                                    {0, 0, 0, 1, 0},
                                    {0, 0, 0, 0, 1}};
        float *y[5];
        for (int t = 0; t < 5; t++)
            y[t] = labels_of(d, mtl_dataset_task_name(d, t), 1);
        for (int s = 0; s < 5; s++)
            for (int t = 0; t < 5; t++) {
                ck_assert(fabs(cosine(w + s, w + t, 10, 5) - pairs[s][t]) < 1e-6);
                ck_assert(fabs(correlation(y[s], y[t], 20000, 1) - pairs[s][t]) < 0.03);
            }
        for (int t = 0; t < 5; t++)
            free(y[t]);
        mtl_dataset_destroy(d);
    }
}
END_TEST

START_TEST(binary_tasks_have_the_sign_and_rows_may_have_one_label)
{
    mtl_dataset *values = tasks("rows=90 tasks=3 seed=5", 0, NULL);
    mtl_dataset *signs = tasks("rows=90 tasks=3 seed=5 kind=binary labels=one", 0, NULL);
    for (int t = 0; t < 3; t++) {
        char name[16];
        snprintf(name, sizeof name, "task_%d", t);
        ck_assert_str_eq(mtl_dataset_task_name(signs, t), name);
        float *y = labels_of(values, name, 1), *b = labels_of(signs, name, 1);
        for (int i = 0; i < 90; i++)
            if (i % 3 == t)
                ck_assert(b[i] == (float)(y[i] > 0));
            else
                ck_assert(isnan(b[i]) && !isnan(y[i]));
        free(y), free(b);
    }
    mtl_dataset_destroy(values), mtl_dataset_destroy(signs);
}
END_TEST

/* Part of the results: never to change unless the changelog says so. */
START_TEST(the_bits_are_the_same_everywhere)
{
    static const uint64_t expected[2] = {0x3365c36eff61e9b5, 0x6f9b31c5f7798006};
    for (int k = 0; k < 2; k++) {
        mtl_dataset *d = k ? tasks("rows=30 noise=0.5 seed=9", 0, NULL)
                           : regression("rows=30 noise=0.5 seed=9", 0, NULL);
        float *x = inputs_of(d), *y = labels_of(d, mtl_dataset_task_name(d, k), 1);
        uint64_t hash = hash_bytes(hash_bytes(HASH_START, x, 600 * sizeof *x), y, 30 * sizeof *y);
        ck_assert_msg(hash == expected[k], "%d: %#llx", k, (unsigned long long)hash);
        free(x), free(y);
        mtl_dataset_destroy(d);
    }
}
END_TEST

START_TEST(impossible_problems_are_refused)
{
    float w[MAX];
    mtl_dataset *d = NULL;
    mtl_options *o = options(MTL_OPTIONS_MAKE_TASKS, "inputs=3 tasks=4");
    mtl_options *p = options(MTL_OPTIONS_MAKE_TASKS, "tasks=2 unrelated=2");
    refused(mtl_dataset_make_tasks(NULL, o, 0, NULL, &d, err), MTL_ERR_RANGE, "3 inputs");
    refused(mtl_dataset_make_tasks(NULL, p, 0, NULL, &d, err), MTL_ERR_RANGE, "2 unrelated");
    refused(mtl_dataset_make_tasks(NULL, NULL, 39, w, &d, err), MTL_ERR_SHAPE,
            "20 inputs and 2 tasks");
    refused(mtl_dataset_make_regression(NULL, NULL, 21, w, &d, err), MTL_ERR_SHAPE, "have 20");
    refused(mtl_dataset_make_regression(NULL, o, 0, NULL, &d, err), MTL_ERR_TYPE, "make_tasks");
    refused(mtl_dataset_make_regression(NULL, NULL, 0, NULL, NULL, err), MTL_ERR_INVALID, "out");
    ck_assert_ptr_null(d);
    mtl_options_destroy(o), mtl_options_destroy(p);
}
END_TEST

static mtl_status try_both(void *ctx)
{
    mtl_dataset *a = NULL, *b = NULL;
    mtl_status st = mtl_dataset_make_regression(ctx, NULL, 0, NULL, &a, NULL);
    if (st == MTL_OK)
        st = mtl_dataset_make_tasks(ctx, NULL, 0, NULL, &b, NULL);
    ck_assert((st == MTL_OK) == (a && b));
    mtl_dataset_destroy(a), mtl_dataset_destroy(b);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=1");
    ck_assert_int_ge(sweep_allocations(&t, try_both, ctx), 12);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("make");
    add_case(s, "labels are the inputs times the coefficients",
             labels_are_the_inputs_times_the_coefficients);
    add_case(s, "inputs are normal and noise has its size",
             inputs_are_normal_and_noise_has_its_size);
    add_case(s, "shuffle and seed decide", shuffle_and_seed_decide);
    add_case(s, "relatedness is the cosine of the coefficients",
             relatedness_is_the_cosine_of_the_coefficients);
    add_case(s, "binary tasks have the sign and rows may have one label",
             binary_tasks_have_the_sign_and_rows_may_have_one_label);
    add_case(s, "the bits are the same everywhere", the_bits_are_the_same_everywhere);
    add_case(s, "impossible problems are refused", impossible_problems_are_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
