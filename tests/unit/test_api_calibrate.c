/* SPDX-License-Identifier: MIT */
/* Group calibrate, and mtl_predict_interval(). */
#include "api_testing.h"

#include "../golden/calibration.h"

/* ---- A model whose logits are its inputs ------------------------------------------------------- */

enum { Z_COLS = 7 };

/* Inputs 0: "one", 1 .. 3: "three", 4, 5: "two", 6: "value". */
static mtl_model *mirror(mtl_context *ctx)
{
    static const struct {
        const char *name, *weight;
        int32_t kind;
        int64_t outputs;
    } tasks[] = {{"one", "head.one.weight", MTL_BINARY, 1},
                 {"three", "head.three.weight", MTL_MULTICLASS, 3},
                 {"two", "head.two.weight", MTL_MULTILABEL, 2},
                 {"value", "head.value.weight", MTL_REGRESSION, 1}};
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, Z_COLS, &s, err));
    for (int t = 0; t < 4; t++)
        done(mtl_spec_add_task(s, tasks[t].name, tasks[t].kind, tasks[t].outputs, err));
    done(mtl_model_create(s, &m, err));
    for (int64_t t = 0, column = 0; t < 4; column += tasks[t++].outputs) {
        float w[Z_COLS * 3] = {0};
        const int64_t n = tasks[t].outputs;
        for (int64_t j = 0; j < n; j++)
            w[(column + j) * n + j] = 1;
        done(mtl_model_tensor_set(m, tasks[t].weight, Z_COLS * n, w, err));
    }
    mtl_spec_destroy(s);
    return m;
}

static mtl_dataset *golden_data(mtl_context *ctx, const float *weight)
{
    static float x[GOLDEN_ROWS * Z_COLS];
    mtl_dataset *d = NULL;
    for (int i = 0; i < GOLDEN_ROWS; i++)
        for (int j = 0; j < 6; j++)
            x[i * Z_COLS + j] = golden_z[i * 6 + j];
    done(mtl_dataset_create(ctx, x, GOLDEN_ROWS, Z_COLS, Z_COLS, &d, err));
    done(mtl_dataset_set_labels(d, "one", 1, golden_binary, 1, err));
    done(mtl_dataset_set_labels(d, "three", 1, golden_classes, 1, err));
    done(mtl_dataset_set_labels(d, "two", 2, golden_labels, 2, err));
    done(mtl_dataset_set_weights(d, NULL, weight, err));
    return d;
}

static mtl_report *calibrated(mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_CALIBRATE, text);
    done(mtl_model_calibrate(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

static void calibrate(mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report_destroy(calibrated(m, d, text));
}

static double in_series(const mtl_report *r, const char *name, int64_t i)
{
    const double *values;
    int64_t count;
    done(mtl_report_get_series(r, name, &count, &values, err));
    ck_assert_int_lt(i, count);
    return values[i];
}

static void near(double value, double want, double relative)
{
    ck_assert_msg(fabs(value - want) <= relative * fabs(want), "%.12g, not %.12g", value, want);
}

/* ---- Values ------------------------------------------------------------------------------------ */

START_TEST(parameters_are_the_best_ones)
{
    for (int weighted = 0; weighted < 2; weighted++) {
        const struct golden_calibration *g = &golden_calibrations[weighted];
        mtl_model *m = mirror(NULL);
        mtl_dataset *d = golden_data(NULL, weighted ? golden_weight : NULL);
        mtl_report *r = calibrated(m, d, "");
        near(figure(r, "temperature/one"), g->binary, 1e-6);
        near(figure(r, "temperature/three"), g->classes, 1e-6);
        near(figure(r, "temperature/two"), g->labels, 1e-6);
        mtl_report_destroy(r);
        r = calibrated(m, d, "binary=platt multilabel=platt");
        near(in_series(r, "slope/one", 0), g->slope[0], 1e-6);
        near(in_series(r, "shift/one", 0), g->shift[0], 1e-6);
        for (int j = 0; j < 2; j++) {
            near(in_series(r, "slope/two", j), g->slope[j + 1], 1e-6);
            near(in_series(r, "shift/two", j), g->shift[j + 1], 1e-6);
        }
        mtl_report_destroy(r);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
    }
}
END_TEST

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* predict, predict_task, predictor and evaluate say the same, and it is the calibrated one. */
START_TEST(every_prediction_is_calibrated)
{
    mtl_model *m = mirror(NULL);
    mtl_dataset *d = golden_data(NULL, golden_weight);
    mtl_report *r = calibrated(m, d, "multilabel=platt"), *judged = NULL;
    float x[GOLDEN_ROWS * Z_COLS], all[GOLDEN_ROWS * Z_COLS], same[GOLDEN_ROWS * Z_COLS];
    mtl_predictor *p = NULL;
    done(mtl_dataset_get_inputs(d, 0, GOLDEN_ROWS, x, Z_COLS, err));
    done(mtl_predict(m, GOLDEN_ROWS, x, Z_COLS, all, Z_COLS, err));
    done(mtl_predictor_create(m, 7, &p, err));
    done(mtl_predictor_run(p, GOLDEN_ROWS, x, Z_COLS, same, Z_COLS, err));
    assert_same_bits(all, same, GOLDEN_ROWS * Z_COLS);
    for (int64_t t = 0, column = 0; t < 4; column += mtl_model_task_outputs(m, t++))
        done(mtl_predict_task(m, t, GOLDEN_ROWS, x, Z_COLS, same + column, Z_COLS, err));
    assert_same_bits(all, same, GOLDEN_ROWS * Z_COLS);
    for (int i = 0; i < GOLDEN_ROWS; i++) {
        const float *z = x + i * Z_COLS, *q = all + i * Z_COLS;
        double total = 0, t = figure(r, "temperature/three");
        for (int c = 1; c < 4; c++)
            total += exp(z[c] / t);
        ck_assert_double_eq_tol(q[0], sigmoid(z[0] / figure(r, "temperature/one")), 1e-6);
        for (int c = 1; c < 4; c++)
            ck_assert_double_eq_tol(q[c], exp(z[c] / t) / total, 1e-6);
        for (int c = 0; c < 2; c++)
            ck_assert_double_eq_tol(
                q[4 + c],
                sigmoid(z[4 + c] * in_series(r, "slope/two", c) + in_series(r, "shift/two", c)),
                1e-6);
        ck_assert(q[6] == z[6]);
    }
    done(mtl_evaluate(m, d, NULL, &judged, err));
    static const char *const tasks[] = {"one", "three", "two"};
    for (int t = 0; t < 3; t++) {
        char name[64];
        snprintf(name, sizeof name, "log_loss/after/%s", tasks[t]);
        double after = figure(r, name);
        snprintf(name, sizeof name, "metric/log_loss/%s", tasks[t]);
        near(figure(judged, name), after, 1e-5);
        snprintf(name, sizeof name, "loss/%s", tasks[t]);
        near(figure(judged, name), after, 1e-5);
    }
    mtl_report_destroy(judged);
    mtl_report_destroy(r);
    mtl_predictor_destroy(p);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
}
END_TEST

/* ---- Properties -------------------------------------------------------------------------------- */

/* Labels drawn as the logits over `heat` say. */
static void draw(int64_t rows, uint64_t seed, double heat, float *x, float *one, float *three)
{
    for (int64_t i = 0; i < rows; i++) {
        float *z = x + i * Z_COLS;
        double sum = 0, u = (next_unit(&seed) + 1) / 2, total = 0;
        for (int j = 0; j < Z_COLS; j++)
            z[j] = 6 * next_unit(&seed);
        one[i] = (next_unit(&seed) + 1) / 2 < sigmoid(z[0] / heat);
        for (int c = 1; c < 4; c++)
            total += exp(z[c] / heat);
        three[i] = 2;
        for (int c = 3; c > 0; c--) {
            sum += exp(z[c] / heat) / total;
            if (u < sum) {
                three[i] = (float)(c - 1);
                break;
            }
        }
    }
}

static mtl_report *judged(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    mtl_options *o = NULL;
    done(mtl_options_create(MTL_OPTIONS_EVALUATE, &o, err));
    done(mtl_options_set_str(o, "metrics", "ece log_loss accuracy", err));
    done(mtl_evaluate(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

START_TEST(log_loss_never_rises_and_ece_falls)
{
    static const double heats[] = {0.3, 0.999, 1, 1.001, 2, 8};
    for (int h = 0; h < 6; h++)
        for (int64_t rows = 3; rows <= 3000; rows *= 10) {
            float *x = floats(rows * Z_COLS), *one = floats(rows), *three = floats(rows);
            mtl_dataset *d = NULL;
            mtl_model *m = mirror(NULL);
            draw(rows, (uint64_t)(100 * h + rows), heats[h], x, one, three);
            done(mtl_dataset_create(NULL, x, rows, Z_COLS, Z_COLS, &d, err));
            done(mtl_dataset_set_labels(d, "one", 1, one, 1, err));
            done(mtl_dataset_set_labels(d, "three", 1, three, 1, err));
            mtl_report *before = judged(m, d), *r = calibrated(m, d, ""), *after = judged(m, d);
            ck_assert_double_le(figure(r, "log_loss/after/one"), figure(r, "log_loss/before/one"));
            ck_assert_double_le(figure(r, "log_loss/after/three"),
                                figure(r, "log_loss/before/three"));
            ck_assert_double_eq(figure(before, "metric/accuracy/three"),
                                figure(after, "metric/accuracy/three"));
            if (heats[h] == 8 && rows == 3000) { /* a net that is far too sure */
                near(figure(r, "temperature/one"), 8, 0.15);
                near(figure(r, "temperature/three"), 8, 0.15);
                ck_assert_double_lt(figure(after, "metric/ece/one"),
                                    figure(before, "metric/ece/one") / 2);
                ck_assert_double_lt(figure(after, "metric/ece/three"),
                                    figure(before, "metric/ece/three") / 2);
            }
            mtl_report_destroy(before), mtl_report_destroy(r), mtl_report_destroy(after);
            mtl_dataset_destroy(d);
            mtl_model_destroy(m);
            free(x), free(one), free(three);
        }
}
END_TEST

/* All rows right: the best temperature would be 0; all wrong: infinite. */
START_TEST(temperatures_have_bounds)
{
    float x[4 * Z_COLS] = {0}, right[4], wrong[4];
    for (int i = 0; i < 4; i++) {
        x[i * Z_COLS] = i % 2 ? 2 : -2;
        right[i] = (float)(i % 2);
        wrong[i] = 1 - right[i];
    }
    mtl_dataset *d = NULL;
    mtl_model *m = mirror(NULL);
    done(mtl_dataset_create(NULL, x, 4, Z_COLS, Z_COLS, &d, err));
    done(mtl_dataset_set_labels(d, "one", 1, right, 1, err));
    mtl_report *r = calibrated(m, d, "");
    near(figure(r, "temperature/one"), 0.01, 1e-6);
    mtl_report_destroy(r);
    r = calibrated(m, d, "binary=platt"); /* its smoothed labels need no bound */
    ck_assert(in_series(r, "slope/one", 0) > 0 && in_series(r, "slope/one", 0) < 2);
    near(in_series(r, "slope/one", 0), log(3) / 2, 1e-6); /* sigmoid(2 a) = 3 / 4 */
    mtl_report_destroy(r);
    done(mtl_dataset_set_labels(d, "one", 1, wrong, 1, err));
    r = calibrated(m, d, "");
    near(figure(r, "temperature/one"), 100, 1e-6);
    mtl_report_destroy(r);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
}
END_TEST

/* ---- Intervals --------------------------------------------------------------------------------- */

/* Predictions are inputs, so that errors are what the test adds. */
static mtl_dataset *values(int64_t rows, uint64_t *seed, float *x, float *y)
{
    mtl_dataset *d = NULL;
    for (int64_t i = 0; i < rows; i++) {
        for (int j = 0; j < Z_COLS; j++)
            x[i * Z_COLS + j] = 3 * next_unit(seed);
        float e = next_unit(seed);
        y[i] = x[i * Z_COLS + 6] + e * e * e * 5;
    }
    done(mtl_dataset_create(NULL, x, rows, Z_COLS, Z_COLS, &d, err));
    done(mtl_dataset_set_labels(d, "value", 1, y, 1, err));
    return d;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

START_TEST(the_radius_is_the_quantile_of_errors)
{
    static const struct {
        int64_t rows;
        const char *options;
        int64_t place; /* from 1; 0 = infinite */
    } cases[] = {{9, "coverage=0.9", 9},   {8, "coverage=0.9", 0},
                 {99, "coverage=0.9", 90}, {100, "coverage=0.9", 91},
                 {99, "coverage=0.5", 50}, {1, "coverage=0.5", 1},
                 {1, "coverage=0.6", 0},   {20, "", 19},
                 {5, "coverage=0.01", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t n = cases[i].rows;
        uint64_t seed = i;
        float x[100 * Z_COLS], y[100], e[100], lower[100], upper[100];
        mtl_model *m = mirror(NULL);
        mtl_dataset *d = values(n, &seed, x, y);
        mtl_report *r = calibrated(m, d, cases[i].options);
        for (int64_t k = 0; k < n; k++)
            e[k] = (float)fabs((double)y[k] - (double)x[k * Z_COLS + 6]);
        qsort(e, (size_t)n, sizeof *e, by_size);
        const double radius = in_series(r, "radius/value", 0);
        done(mtl_predict_interval(m, 3, n, x, Z_COLS, lower, upper, 1, err));
        if (cases[i].place)
            near(radius, e[cases[i].place - 1], 1e-6);
        else
            ck_assert(isinf(radius));
        int64_t inside = 0;
        for (int64_t k = 0; k < n; k++) {
            ck_assert(lower[k] == x[k * Z_COLS + 6] - (float)radius);
            ck_assert(upper[k] == x[k * Z_COLS + 6] + (float)radius);
            inside += fabs((double)y[k] - (double)x[k * Z_COLS + 6]) <= radius;
        }
        ck_assert_int_eq(inside, cases[i].place ? cases[i].place : n);
        mtl_report_destroy(r);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
    }
}
END_TEST

/* The share of new rows inside, over many calibrations with 49 rows: 45 of 50 places, so 0.9
   exactly. It is the mean of 200 draws from Beta(45, 5), each seen through 50 rows: 5 standard
   deviations. */
START_TEST(coverage_is_as_promised)
{
    enum { TIMES = 200, ROWS = 49, NEW = 50 };
    float x[NEW * Z_COLS], y[NEW], lower[NEW], upper[NEW];
    uint64_t seed = 5;
    double inside = 0;
    mtl_model *m = mirror(NULL);
    for (int t = 0; t < TIMES; t++) {
        mtl_dataset *d = values(ROWS, &seed, x, y);
        calibrate(m, d, "");
        mtl_dataset_destroy(d);
        mtl_dataset_destroy(values(NEW, &seed, x, y));
        done(mtl_predict_interval(m, 3, NEW, x, Z_COLS, lower, upper, 1, err));
        for (int i = 0; i < NEW; i++)
            inside += lower[i] <= y[i] && y[i] <= upper[i];
    }
    const double variance = (45.0 * 5 / (50 * 50 * 51) + 0.09 / NEW) / TIMES;
    ck_assert_double_eq_tol(inside / (TIMES * NEW), 0.9, 5 * sqrt(variance));
    mtl_model_destroy(m);
}
END_TEST

/* Label units, several outputs, missing labels, rows without weight. */
START_TEST(intervals_of_a_scaled_model)
{
    problem p = problem_make(400, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    p.weight[0] = p.weight[7] = 0;
    done(mtl_dataset_set_weights(d, "hours", p.weight, err));
    fit(m, d, "epochs=3");
    mtl_report *r = calibrated(m, d, "coverage=0.8");
    float *out = floats(800), *lower = floats(1200), *upper = floats(1200);
    done(mtl_predict_task(m, 3, 400, p.x, PROBLEM_INPUTS, out, 2, err));
    done(mtl_predict_interval(m, 3, 400, p.x, PROBLEM_INPUTS, lower, upper, 3, err));
    for (int j = 0; j < 2; j++) {
        float e[400];
        int64_t n = 0;
        for (int i = 0; i < 400; i++)
            if (!isnan(p.hours[2 * i + j]) && p.weight[i] > 0)
                e[n++] = (float)fabs((double)p.hours[2 * i + j] - (double)out[2 * i + j]);
        qsort(e, (size_t)n, sizeof *e, by_size);
        const float radius = (float)in_series(r, "radius/hours", j);
        near(radius, e[(int64_t)ceil((double)(n + 1) * 0.8) - 1], 1e-6);
        for (int i = 0; i < 400; i++) {
            ck_assert(lower[3 * i + j] == out[2 * i + j] - radius);
            ck_assert(upper[3 * i + j] == out[2 * i + j] + radius);
            ck_assert(lower[3 * i + 2] == 0 && upper[3 * i + 2] == 0);
        }
    }
    free(out), free(lower), free(upper);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- Life -------------------------------------------------------------------------------------- */

typedef struct scene {
    problem p;
    mtl_dataset *data, *held_out;
    mtl_model *m;
    uint64_t plain; /* hash of its predictions before calibration */
} scene;

static scene scene_make(void)
{
    scene s = {.p = problem_make(120, 3, 10)};
    s.data = problem_data(&s.p, NULL);
    s.held_out = problem_data(&s.p, NULL);
    s.m = problem_model(NULL);
    fit(s.m, s.data, "epochs=4");
    s.plain = predict_hash(s.m, &s.p);
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->m);
    mtl_dataset_destroy(s->data), mtl_dataset_destroy(s->held_out);
    problem_free(&s->p);
}

static uint64_t interval_hash(const mtl_model *m, const problem *p)
{
    float lower[240], upper[240];
    done(mtl_predict_interval(m, 3, 120, p->x, PROBLEM_INPUTS, lower, upper, 2, err));
    return hash_bytes(hash_bytes(HASH_START, lower, sizeof lower), upper, sizeof upper);
}

static void assert_uncalibrated(const scene *s, const mtl_model *m)
{
    float out[240], other[240];
    (void)s;
    refused(mtl_predict_interval(m, 3, 120, s->p.x, PROBLEM_INPUTS, out, other, 2, err),
            MTL_ERR_STATE, "hours");
}

START_TEST(files_and_clones_keep_it)
{
    scene s = scene_make();
    void *file, *again, *plain;
    int64_t bytes, more, fewer;
    mtl_model *loaded = NULL, *clone = NULL;
    done(mtl_model_save_buffer(s.m, &plain, &fewer, err));
    ck_assert_ptr_null(memmem(plain, (size_t)fewer, "calibration", 11));
    calibrate(s.m, s.held_out, "binary=platt coverage=0.999");
    ck_assert_uint_ne(predict_hash(s.m, &s.p), s.plain);
    done(mtl_model_save_buffer(s.m, &file, &bytes, err));
    done(mtl_model_load_buffer(NULL, file, bytes, &loaded, err));
    done(mtl_model_clone(s.m, &clone, err));
    ck_assert_uint_eq(predict_hash(loaded, &s.p), predict_hash(s.m, &s.p));
    ck_assert_uint_eq(predict_hash(clone, &s.p), predict_hash(s.m, &s.p));
    ck_assert_uint_eq(interval_hash(loaded, &s.p), interval_hash(s.m, &s.p)); /* infinite */
    ck_assert_uint_eq(interval_hash(clone, &s.p), interval_hash(s.m, &s.p));
    done(mtl_model_save_buffer(loaded, &again, &more, err));
    ck_assert_int_eq(bytes, more);
    ck_assert_mem_eq(file, again, (size_t)bytes);
    mtl_free(again);
    /* Taken away again, the model is what it was, to the byte. */
    calibrate(s.m, s.held_out, "binary=none multiclass=none multilabel=none regression=none");
    ck_assert_uint_eq(predict_hash(s.m, &s.p), s.plain);
    done(mtl_model_save_buffer(s.m, &again, &more, err));
    ck_assert_int_eq(fewer, more);
    ck_assert_mem_eq(plain, again, (size_t)more);
    mtl_free(plain), mtl_free(file), mtl_free(again);
    mtl_model_destroy(loaded), mtl_model_destroy(clone);
    scene_free(&s);
}
END_TEST

START_TEST(same_bits_on_every_level_and_thread_count)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=3"};
    void *file[2];
    int64_t bytes[2];
    uint64_t hash[2], interval[2];
    problem p = problem_make(120, 3, 10);
    for (int i = 0; i < 2; i++) {
        mtl_context *ctx = context(contexts[i]);
        mtl_dataset *d = problem_data(&p, ctx);
        mtl_model *m = problem_model(ctx);
        fit(m, d, "epochs=2");
        calibrate(m, d, "binary=platt");
        hash[i] = predict_hash(m, &p);
        interval[i] = interval_hash(m, &p);
        done(mtl_model_save_buffer(m, &file[i], &bytes[i], err));
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(interval[0], interval[1]);
    ck_assert_int_eq(bytes[0], bytes[1]);
    ck_assert_mem_eq(file[0], file[1], (size_t)bytes[0]);
    mtl_free(file[0]), mtl_free(file[1]);
    problem_free(&p);
}
END_TEST

START_TEST(new_weights_drop_it)
{
    scene s = scene_make();
    mtl_model *twin = NULL, *moved = NULL;
    done(mtl_model_clone(s.m, &twin, err));
    calibrate(s.m, s.held_out, "");
    const uint64_t kept = predict_hash(s.m, &s.p), interval = interval_hash(s.m, &s.p);
    mtl_dataset *none = NULL;
    done(mtl_dataset_create(NULL, s.p.x, 9, PROBLEM_INPUTS, PROBLEM_INPUTS, &none, err));
    refused(mtl_fit(s.m, none, NULL, NULL, NULL, err), MTL_ERR_DATA, ""); /* changes nothing */
    ck_assert_uint_eq(predict_hash(s.m, &s.p), kept);
    ck_assert_uint_eq(interval_hash(s.m, &s.p), interval);
    done(mtl_dataset_set_labels(none, "new", 1, s.p.fails, 1, err));
    done(mtl_transfer(s.m, none, NULL, NULL, &moved, NULL, err));
    assert_uncalibrated(&s, moved);
    ck_assert_uint_eq(predict_hash(s.m, &s.p), kept);
    fit(s.m, s.data, "epochs=1 seed=4");
    fit(twin, s.data, "epochs=1 seed=4");
    assert_same_model(s.m, twin); /* nor does training see it */
    ck_assert_uint_eq(predict_hash(s.m, &s.p), predict_hash(twin, &s.p));
    assert_uncalibrated(&s, s.m);
    calibrate(s.m, s.held_out, "");
    const float bias[7] = {0};
    done(mtl_model_tensor_set(s.m, "trunk.1.bias", 7, bias, err));
    done(mtl_model_tensor_set(twin, "trunk.1.bias", 7, bias, err));
    ck_assert_uint_eq(predict_hash(s.m, &s.p), predict_hash(twin, &s.p));
    assert_uncalibrated(&s, s.m);
    mtl_model_destroy(twin), mtl_model_destroy(moved);
    mtl_dataset_destroy(none);
    scene_free(&s);
}
END_TEST

/* Again from the logits, not from what was calibrated already; a predictor stays what it is. */
START_TEST(calibrating_twice_is_calibrating_once)
{
    scene s = scene_make();
    mtl_predictor *p = NULL;
    float out[120 * PROBLEM_OUTPUTS];
    calibrate(s.m, s.held_out, "");
    const uint64_t once = predict_hash(s.m, &s.p), interval = interval_hash(s.m, &s.p);
    calibrate(s.m, s.held_out, "binary=platt multilabel=platt coverage=0.5");
    ck_assert_uint_ne(predict_hash(s.m, &s.p), once);
    ck_assert_uint_ne(interval_hash(s.m, &s.p), interval);
    done(mtl_predictor_create(s.m, 0, &p, err));
    const uint64_t twice = predict_hash(s.m, &s.p);
    calibrate(s.m, s.held_out, "");
    ck_assert_uint_eq(predict_hash(s.m, &s.p), once);
    ck_assert_uint_eq(interval_hash(s.m, &s.p), interval);
    done(mtl_predictor_run(p, 120, s.p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
    ck_assert_uint_eq(hash_bytes(HASH_START, out, sizeof out), twice);
    mtl_predictor_destroy(p);
    scene_free(&s);
}
END_TEST

START_TEST(tasks_without_labels_keep_theirs)
{
    scene s = scene_make();
    mtl_dataset *some = NULL;
    float before[240], after[240];
    calibrate(s.m, s.held_out, "");
    const uint64_t interval = interval_hash(s.m, &s.p);
    done(mtl_predict_task(s.m, 1, 120, s.p.x, PROBLEM_INPUTS, before, 2, err));
    for (int i = 0; i < 240; i++)
        s.p.hours[i] = s.p.tags[i] = NAN;
    done(mtl_dataset_create(NULL, s.p.x, 50, PROBLEM_INPUTS, PROBLEM_INPUTS, &some, err));
    done(mtl_dataset_set_labels(some, "grade", 1, s.p.grade, 1, err));
    done(mtl_dataset_set_labels(some, "hours", 2, s.p.hours, 2, err));
    done(mtl_dataset_set_labels(some, "tags", 2, s.p.tags, 2, err));
    mtl_report *r = calibrated(s.m, some, "");
    ck_assert_int_eq(mtl_report_type(r, "temperature/grade"), MTL_TYPE_F64);
    ck_assert_int_eq(mtl_report_type(r, "temperature/fails"), 0);
    ck_assert_int_eq(mtl_report_type(r, "temperature/tags"), 0);
    ck_assert_int_eq(mtl_report_type(r, "radius/hours"), 0);
    mtl_report_destroy(r);
    ck_assert_uint_eq(interval_hash(s.m, &s.p), interval);
    done(mtl_predict_task(s.m, 1, 120, s.p.x, PROBLEM_INPUTS, after, 2, err));
    assert_same_bits(before, after, 240);
    calibrate(s.m, some, "regression=none");
    assert_uncalibrated(&s, s.m);
    mtl_dataset_destroy(some);
    scene_free(&s);
}
END_TEST

/* ---- Refusals ---------------------------------------------------------------------------------- */

START_TEST(infinite_logits_are_refused)
{
    const float w[Z_COLS] = {3e38f}, x[2 * Z_COLS] = {100}, y[2] = {1, 0};
    mtl_model *m = mirror(NULL);
    mtl_dataset *d = NULL;
    done(mtl_model_tensor_set(m, "head.one.weight", Z_COLS, w, err));
    done(mtl_dataset_create(NULL, x, 2, Z_COLS, Z_COLS, &d, err));
    done(mtl_dataset_set_labels(d, "one", 1, y, 1, err));
    refused(mtl_model_calibrate(m, d, NULL, NULL, err), MTL_ERR_VALUE, "one");
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
}
END_TEST

START_TEST(wrong_arguments)
{
    scene s = scene_make();
    mtl_model *fresh = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, ""), *c = options(MTL_OPTIONS_CALIBRATE, "");
    mtl_dataset *empty = NULL, *narrow = NULL;
    float a[240], b[240];
    refused(mtl_model_calibrate(NULL, s.data, NULL, NULL, err), MTL_ERR_INVALID, "model");
    refused(mtl_model_calibrate(s.m, NULL, NULL, NULL, err), MTL_ERR_INVALID, "held_out");
    refused(mtl_model_calibrate(s.m, s.data, o, NULL, err), MTL_ERR_TYPE, "calibrate");
    refused(mtl_model_calibrate(fresh, s.data, NULL, NULL, err), MTL_ERR_STATE, "fitted");
    done(mtl_dataset_create(NULL, s.p.x, 9, PROBLEM_INPUTS, PROBLEM_INPUTS, &empty, err));
    refused(mtl_model_calibrate(s.m, empty, NULL, NULL, err), MTL_ERR_DATA, "held_out");
    done(mtl_dataset_create(NULL, s.p.x, 9, 5, PROBLEM_INPUTS, &narrow, err));
    done(mtl_dataset_set_labels(narrow, "fails", 1, s.p.fails, 1, err));
    refused(mtl_model_calibrate(s.m, narrow, NULL, NULL, err), MTL_ERR_SHAPE, "5");
    refused(mtl_options_set_str(c, "multiclass", "platt", err), MTL_ERR_RANGE, "platt");
    refused(mtl_options_set_f64(c, "coverage", 1, err), MTL_ERR_RANGE, "coverage");
    ck_assert_uint_eq(predict_hash(s.m, &s.p), s.plain);
    done(mtl_model_calibrate(s.m, s.data, NULL, NULL, err));
    refused(mtl_predict_interval(NULL, 3, 1, s.p.x, 6, a, b, 2, err), MTL_ERR_INVALID, "model");
    refused(mtl_predict_interval(s.m, 4, 1, s.p.x, 6, a, b, 2, err), MTL_ERR_RANGE, "4");
    refused(mtl_predict_interval(s.m, -1, 1, s.p.x, 6, a, b, 2, err), MTL_ERR_RANGE, "-1");
    refused(mtl_predict_interval(s.m, 0, 1, s.p.x, 6, a, b, 2, err), MTL_ERR_STATE, "fails");
    refused(mtl_predict_interval(s.m, 3, 1, s.p.x, 6, NULL, b, 2, err), MTL_ERR_INVALID, "out");
    refused(mtl_predict_interval(s.m, 3, 1, s.p.x, 6, a, NULL, 2, err), MTL_ERR_INVALID, "upper");
    refused(mtl_predict_interval(s.m, 3, 1, s.p.x, 6, a, b, 1, err), MTL_ERR_SHAPE, "1");
    refused(mtl_predict_interval(s.m, 3, 1, s.p.x, 5, a, b, 2, err), MTL_ERR_SHAPE, "5");
    done(mtl_predict_interval(s.m, 3, 0, NULL, 6, NULL, NULL, 2, err));
    mtl_dataset_destroy(empty), mtl_dataset_destroy(narrow);
    mtl_options_destroy(o), mtl_options_destroy(c);
    mtl_model_destroy(fresh);
    scene_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_calibrate");
    add_case(s, "parameters are the best ones", parameters_are_the_best_ones);
    add_case(s, "every prediction is calibrated", every_prediction_is_calibrated);
    add_case(s, "log loss never rises and ECE falls", log_loss_never_rises_and_ece_falls);
    add_case(s, "temperatures have bounds", temperatures_have_bounds);
    add_case(s, "the radius is the quantile of errors", the_radius_is_the_quantile_of_errors);
    add_case(s, "coverage is as promised", coverage_is_as_promised);
    add_case(s, "intervals of a scaled model", intervals_of_a_scaled_model);
    add_case(s, "files and clones keep it", files_and_clones_keep_it);
    add_case(s, "same bits on every level and thread count",
             same_bits_on_every_level_and_thread_count);
    add_case(s, "new weights drop it", new_weights_drop_it);
    add_case(s, "calibrating twice is calibrating once", calibrating_twice_is_calibrating_once);
    add_case(s, "tasks without labels keep theirs", tasks_without_labels_keep_theirs);
    add_case(s, "infinite logits are refused", infinite_logits_are_refused);
    add_case(s, "wrong arguments", wrong_arguments);
    return run_suite(s);
}
