/* SPDX-License-Identifier: MIT */
/* Losses through the public header: what they are minimal at, class weights, settings through files,
   clones and transfers, and losses of the caller's own. */
#include "api_testing.h"

#include <setjmp.h>

/* ---- Constants that minimise ------------------------------------------------------------------- */

/* A model of biases alone: one input that is always 0. */
typedef struct constant {
    mtl_model *m;
    mtl_dataset *d;
} constant;

static constant constant_of(int32_t kind, int64_t outputs, const char *loss, const char *key,
                            const char *value, int64_t rows, const float *y)
{
    static const float zeros[1000];
    constant c = {0};
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 1, &s, err));
    done(mtl_spec_add_task(s, "t", kind, outputs, err));
    done(mtl_spec_task_set_str(s, "t", "loss", loss, err));
    if (key)
        done(mtl_spec_task_set_str(s, "t", key, value, err));
    done(mtl_model_create(s, &c.m, err));
    done(mtl_dataset_create(NULL, zeros, rows, 1, 1, &c.d, err));
    done(mtl_dataset_set_labels(c.d, "t", 1, y, 1, err));
    mtl_spec_destroy(s);
    return c;
}

/* What is predicted after a fit with all rows in each step. */
static void minimise(constant *c, float *out)
{
    static const char *const rates[] = {"0.05", "0.005", "0.0005"};
    for (int i = 0; i < 3; i++) {
        char text[128];
        snprintf(text, sizeof text, "epochs=1500 batch_size=1000 learning_rate=%s", rates[i]);
        fit(c->m, c->d, text);
    }
    done(mtl_predict(c->m, 1, (const float[]){0}, 1, out, mtl_model_outputs(c->m), err));
    mtl_model_destroy(c->m);
    mtl_dataset_destroy(c->d);
}

static void assert_within(const char *what, float x, double low, double high)
{
    ck_assert_msg((double)x >= low && (double)x <= high, "%s: %g is not in %g .. %g", what, (double)x, low,
                  high);
}

START_TEST(minimisers)
{
    /* Squares 0 .. 400: mean, median and quantiles lie far apart. */
    enum { N = 21 };
    float y[N], out[3];
    double mean = 0;
    for (int i = 0; i < N; i++) {
        y[i] = (float)(i * i);
        mean += (double)y[i] / N;
    }
    constant c = constant_of(MTL_REGRESSION, 1, "squared_error", NULL, NULL, N, y);
    minimise(&c, out);
    assert_within("squared error: mean", out[0], mean - 0.5, mean + 0.5);
    c = constant_of(MTL_REGRESSION, 1, "absolute_error", NULL, NULL, N, y);
    minimise(&c, out);
    assert_within("absolute error: median", out[0], 99, 101);
    c = constant_of(MTL_REGRESSION, 1, "huber:delta=0.001", NULL, NULL, N, y);
    minimise(&c, out);
    assert_within("huber with a small delta: median", out[0], 98, 102);
    c = constant_of(MTL_REGRESSION, 1, "huber:delta=1000", NULL, NULL, N, y);
    minimise(&c, out);
    assert_within("huber with a large delta: mean", out[0], mean - 0.5, mean + 0.5);
    c = constant_of(MTL_QUANTILE, 3, "quantile", "quantiles", "0.12/0.5/0.88", N, y);
    minimise(&c, out);
    assert_within("quantile 0.12", out[0], 3, 6); /* 0.12 * 21 = 2.52: the third value, 4 */
    assert_within("quantile 0.5", out[1], 98, 102);
    assert_within("quantile 0.88", out[2], 321, 327); /* 18.48: the nineteenth value, 324 */
    static const char *const of_counts[] = {"poisson", "tweedie", "gamma"};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < N; k++)
            y[k] = (float)(k + (i == 2));
        mean = 10 + (i == 2);
        c = constant_of(MTL_COUNT, 1, of_counts[i], NULL, NULL, N, y);
        minimise(&c, out);
        assert_within(of_counts[i], out[0], mean - 0.05, mean + 0.05);
    }
}
END_TEST

START_TEST(ordinal_shares)
{
    /* Without inputs the thresholds give each class its share of the rows. */
    float y[100], out[4];
    static const int shares[] = {10, 40, 30, 20};
    for (int c = 0, at = 0; c < 4; c++)
        for (int i = 0; i < shares[c]; i++)
            y[at++] = (float)c;
    constant c = constant_of(MTL_MULTICLASS, 4, "ordinal", NULL, NULL, 100, y);
    minimise(&c, out);
    for (int i = 0; i < 4; i++)
        assert_within("share", out[i], shares[i] / 100.0 - 0.005, shares[i] / 100.0 + 0.005);
}
END_TEST

/* ---- A model with everything ----------------------------------------------------------------- */

/* risk (binary), grade (multiclass), stage (ordinal), tags (multilabel), visits (count), cost (count),
   level (quantile), score (regression). */
enum { ROWS = 120, INPUTS = 5, TASKS = 8, OUTPUTS = 16 };

static const struct task {
    const char *name;
    int32_t kind;
    int64_t outputs, cols;
    const char *loss, *class_weights, *quantiles;
} tasks[TASKS] = {
    {"risk", MTL_BINARY, 1, 1, "binary_cross_entropy:smoothing=0.05,positive_weight=2.5", "balanced", ""},
    {"grade", MTL_MULTICLASS, 3, 1, "cross_entropy:smoothing=0.1", "balanced", ""},
    {"stage", MTL_MULTICLASS, 4, 1, "ordinal", "1/2/0.5/1", ""},
    {"tags", MTL_MULTILABEL, 2, 2, "focal:gamma=1.5", "balanced", ""},
    {"visits", MTL_COUNT, 1, 1, "auto", "", ""},
    {"cost", MTL_COUNT, 1, 1, "tweedie:power=1.3", "", ""},
    {"level", MTL_QUANTILE, 3, 1, "auto", "", "0.1/0.5/0.9"},
    {"score", MTL_REGRESSION, 1, 1, "huber:delta=0.1", "", ""},
};

typedef struct scene {
    mtl_context *ctx;
    mtl_spec *spec;
    mtl_model *m;
    mtl_dataset *d;
    float x[ROWS * INPUTS], y[TASKS][ROWS * 2];
} scene;

static void fill_labels(scene *s)
{
    uint64_t state = 4;
    for (int i = 0; i < ROWS * INPUTS; i++)
        s->x[i] = 2 * next_unit(&state);
    for (int r = 0; r < ROWS; r++) {
        const float *x = s->x + r * INPUTS;
        s->y[0][r] = x[0] > 1;
        s->y[1][r] = x[1] < -1 ? 0 : x[1] < 0.5f ? 1 : 2;
        s->y[2][r] = x[2] < -1 ? 0 : x[2] < 0 ? 1 : x[2] < 1 ? 2 : 3;
        s->y[3][2 * r] = x[3] > 0;
        s->y[3][2 * r + 1] = x[4] > 1.5f;
        s->y[4][r] = (float)(next_u32(&state) % 5);
        s->y[5][r] = x[0] > 0 ? 100 * x[0] : 0;
        s->y[6][r] = 1000 + 100 * x[1] + 50 * next_unit(&state);
        s->y[7][r] = 3 * x[2] - x[3];
    }
    for (int t = 0; t < TASKS; t++)
        for (int i = 0; i < ROWS * 2; i++)
            if (next_u32(&state) % 8 == 0)
                s->y[t][i] = NAN;
}

static mtl_status make_spec(const scene *s, mtl_spec **out, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_status st = mtl_spec_create(s->ctx, INPUTS, &spec, err);
    if (st == MTL_OK)
        st = mtl_spec_add_dense(spec, 9, "tanh", err);
    for (int t = 0; t < TASKS && st == MTL_OK; t++) {
        const struct task *k = &tasks[t];
        st = mtl_spec_add_task(spec, k->name, k->kind, k->outputs, err);
        if (st == MTL_OK)
            st = mtl_spec_task_set_str(spec, k->name, "loss", k->loss, err);
        if (st == MTL_OK)
            st = mtl_spec_task_set_str(spec, k->name, "class_weights", k->class_weights, err);
        if (st == MTL_OK)
            st = mtl_spec_task_set_str(spec, k->name, "quantiles", k->quantiles, err);
    }
    if (st == MTL_OK)
        *out = spec;
    else
        mtl_spec_destroy(spec);
    return st;
}

static void scene_data(scene *s)
{
    done(mtl_dataset_create(s->ctx, s->x, ROWS, INPUTS, INPUTS, &s->d, err));
    for (int t = 0; t < TASKS; t++)
        done(mtl_dataset_set_labels(s->d, tasks[t].name, tasks[t].cols, s->y[t], tasks[t].cols, err));
}

static void scene_make(scene *s, mtl_context *ctx)
{
    *s = (scene){.ctx = ctx};
    fill_labels(s);
    done(make_spec(s, &s->spec, err));
    done(mtl_model_create(s->spec, &s->m, err));
    scene_data(s);
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->m);
    mtl_spec_destroy(s->spec);
    mtl_dataset_destroy(s->d);
    mtl_context_destroy(s->ctx);
}

static double loss_of(const mtl_model *m, const mtl_dataset *d, const char *name)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    double loss = figure(r, name);
    mtl_report_destroy(r);
    return loss;
}

static void assert_predicts(const scene *s, const mtl_model *m)
{
    float out[ROWS * OUTPUTS];
    done(mtl_predict(m, ROWS, s->x, INPUTS, out, OUTPUTS, err));
    for (int r = 0; r < ROWS; r++) {
        const float *p = out + r * OUTPUTS;
        assert_near((double)(p[1] + p[2] + p[3]), 1, 1e-6);
        assert_near((double)(p[4] + p[5] + p[6] + p[7]), 1, 1e-6);
        ck_assert(p[0] > 0 && p[0] < 1 && p[10] > 0 && p[11] > 0);
        ck_assert(p[12] <= p[13] && p[13] <= p[14]);
        for (int j = 4; j < 8; j++)
            ck_assert(p[j] >= 0);
    }
}

START_TEST(learns)
{
    scene s;
    scene_make(&s, NULL);
    double before[TASKS];
    char name[64];
    assert_predicts(&s, s.m);
    fit(s.m, s.d, "epochs=1 learning_rate=0");
    for (int t = 0; t < TASKS; t++) {
        snprintf(name, sizeof name, "loss/%s", tasks[t].name);
        before[t] = loss_of(s.m, s.d, name);
    }
    fit(s.m, s.d, "epochs=60 learning_rate=0.01");
    for (int t = 0; t < TASKS; t++) {
        snprintf(name, sizeof name, "loss/%s", tasks[t].name);
        double after = loss_of(s.m, s.d, name);
        ck_assert_msg(isfinite(after) && after < before[t], "%s: %g, then %g", name, before[t], after);
    }
    assert_predicts(&s, s.m);
    scene_free(&s);
}
END_TEST

START_TEST(thresholds_do_not_see_the_inputs)
{
    scene s;
    float w[9 * 4], b[4], skip[INPUTS * 4];
    scene_make(&s, NULL);
    mtl_model_destroy(s.m);
    done(mtl_spec_set_linear_skip(s.spec, 1, err));
    done(mtl_model_create(s.spec, &s.m, err));
    fit(s.m, s.d, "epochs=5 learning_rate=0.05 l2=0.01");
    done(mtl_model_tensor_get(s.m, "skip.stage.weight", INPUTS * 4, skip, err));
    for (int i = 0; i < INPUTS * 4; i++)
        ck_assert_msg((skip[i] != 0) == (i % 4 == 0), "weight %d of the skip is %g", i, (double)skip[i]);
    done(mtl_model_tensor_get(s.m, "head.stage.weight", 36, w, err));
    done(mtl_model_tensor_get(s.m, "head.stage.bias", 4, b, err));
    for (int i = 0; i < 36; i++)
        ck_assert_msg((w[i] != 0) == (i % 4 == 0), "weight %d is %g", i, (double)w[i]);
    for (int j = 0; j < 4; j++)
        ck_assert(b[j] != 0);
    scene_free(&s);
}
END_TEST

START_TEST(same_bits_everywhere)
{
    static const char *const contexts[] = {"cpu=c threads=1", "cpu=avx2 threads=2", "threads=3"};
    uint64_t hash[3];
    for (int i = 0; i < 3; i++) {
        scene s;
        float out[ROWS * OUTPUTS];
        scene_make(&s, context(contexts[i]));
        fit(s.m, s.d, "epochs=4 learning_rate=0.01 validation_split=0.2");
        done(mtl_predict(s.m, ROWS, s.x, INPUTS, out, OUTPUTS, err));
        hash[i] = hash_bytes(model_hash(s.m), out, sizeof out);
        scene_free(&s);
    }
    ck_assert_msg(hash[0] == hash[1] && hash[1] == hash[2], "%llx %llx %llx",
                  (unsigned long long)hash[0], (unsigned long long)hash[1],
                  (unsigned long long)hash[2]);
}
END_TEST

START_TEST(files_and_clones)
{
    scene s;
    void *file[2] = {NULL, NULL};
    int64_t bytes[2];
    mtl_model *loaded = NULL, *clone = NULL;
    scene_make(&s, NULL);
    fit(s.m, s.d, "epochs=3");
    done(mtl_model_save_buffer(s.m, &file[0], &bytes[0], err));
    done(mtl_model_load_buffer(NULL, file[0], bytes[0], &loaded, err));
    done(mtl_model_save_buffer(loaded, &file[1], &bytes[1], err));
    ck_assert_int_eq(bytes[0], bytes[1]);
    ck_assert_int_eq(memcmp(file[0], file[1], (size_t)bytes[0]), 0);
    done(mtl_model_clone(s.m, &clone, err));
    ck_assert(loss_of(loaded, s.d, "loss") == loss_of(s.m, s.d, "loss"));
    ck_assert(loss_of(clone, s.d, "loss") == loss_of(s.m, s.d, "loss"));
    /* All three go on alike: losses, class weights and quantiles are the same. */
    fit(s.m, s.d, "epochs=2 seed=5"), fit(loaded, s.d, "epochs=2 seed=5");
    fit(clone, s.d, "epochs=2 seed=5");
    assert_same_model(s.m, loaded);
    assert_same_model(s.m, clone);
    mtl_free(file[0]), mtl_free(file[1]);
    mtl_model_destroy(loaded), mtl_model_destroy(clone);
    scene_free(&s);
}
END_TEST

static bool holds(const void *file, int64_t bytes, const char *text)
{
    size_t n = strlen(text);
    for (int64_t i = 0; i + (int64_t)n <= bytes; i++)
        if (memcmp((const char *)file + i, text, n) == 0)
            return true;
    return false;
}

START_TEST(plain_files_are_as_before)
{
    /* A model without any of the settings has the file that it always had. */
    problem p = problem_make(20, 1, 0);
    mtl_model *m = problem_model(NULL);
    void *file = NULL;
    int64_t bytes;
    done(mtl_model_save_buffer(m, &file, &bytes, err));
    ck_assert(holds(file, bytes, "\\\"loss\\\":\\\"binary_cross_entropy\\\",\\\"weight\\\":1,\\\"head\\\":\\\"\\\"}"));
    ck_assert(!holds(file, bytes, "class_weight"));
    ck_assert(!holds(file, bytes, "quantiles"));
    mtl_free(file);
    mtl_model_destroy(m);
    problem_free(&p);
}
END_TEST

START_TEST(transfers)
{
    scene s;
    mtl_dataset *target = NULL;
    mtl_model *moved = NULL;
    scene_make(&s, NULL);
    fit(s.m, s.d, "epochs=3");
    done(mtl_dataset_create(NULL, s.x, ROWS, INPUTS, INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "spread", 1, s.y[6], 1, err));
    done(mtl_dataset_set_kind(target, "spread", MTL_QUANTILE, 2, err));
    done(mtl_dataset_set_labels(target, "calls", 1, s.y[4], 1, err));
    done(mtl_dataset_set_kind(target, "calls", MTL_COUNT, 1, err));
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=5 replay=0.5 trunk_rate=0");
    done(mtl_transfer(s.m, target, s.d, o, &moved, NULL, err));
    ck_assert_int_eq(mtl_model_outputs(moved), OUTPUTS + 3);
    ck_assert_int_eq(mtl_model_task_kind(moved, TASKS), MTL_QUANTILE);
    ck_assert_int_eq(mtl_model_task_kind(moved, TASKS + 1), MTL_COUNT);
    float out[OUTPUTS + 3];
    done(mtl_predict(moved, 1, s.x, INPUTS, out, OUTPUTS + 3, err));
    ck_assert(out[OUTPUTS] <= out[OUTPUTS + 1] && out[OUTPUTS] > 500 && out[OUTPUTS + 1] < 1500);
    ck_assert(out[OUTPUTS + 2] > 0);
    mtl_options_destroy(o);
    mtl_model_destroy(moved);
    mtl_dataset_destroy(target);
    scene_free(&s);
}
END_TEST

/* ---- Class weights ----------------------------------------------------------------------------- */

static mtl_model *weighted_model(const problem *p, int32_t kind, int64_t outputs, const char *task,
                                 const char *weights, const float *row_weight, double *loss)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = problem_data(p, NULL);
    done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 5, "tanh", err));
    done(mtl_spec_add_task(s, task, kind, outputs, err));
    done(mtl_spec_task_set_str(s, task, "class_weights", weights, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_set_weights(d, NULL, row_weight, err));
    fit(m, d, "epochs=3 learning_rate=0.01");
    *loss = loss_of(m, d, "loss");
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
    return m;
}

START_TEST(class_weights)
{
    /* Class weights are row weights, the same bits; and "balanced" is scikit-learn's formula. */
    problem p = problem_make(64, 5, 20);
    static const float of_class[] = {0.5f, 2, 1.25f};
    float w[64];
    double a, b, count[3] = {0}, labels = 0;
    for (int r = 0; r < 64; r++) {
        w[r] = isnan(p.grade[r]) ? 1 : of_class[(int)p.grade[r]];
        if (!isnan(p.grade[r])) {
            count[(int)p.grade[r]]++;
            labels++;
        }
    }
    mtl_model *m = weighted_model(&p, MTL_MULTICLASS, 3, "grade", "0.5/2/1.25", NULL, &a);
    mtl_model *n = weighted_model(&p, MTL_MULTICLASS, 3, "grade", "", w, &b);
    assert_same_model(m, n);
    ck_assert(a == b);
    mtl_model_destroy(m), mtl_model_destroy(n);
    for (int r = 0; r < 64; r++)
        w[r] = isnan(p.grade[r]) ? 1 : (float)(labels / (3 * count[(int)p.grade[r]]));
    m = weighted_model(&p, MTL_MULTICLASS, 3, "grade", "balanced", NULL, &a);
    n = weighted_model(&p, MTL_MULTICLASS, 3, "grade", "", w, &b);
    assert_same_model(m, n);
    ck_assert(a == b);
    mtl_model_destroy(m), mtl_model_destroy(n);
    for (int r = 0; r < 64; r++)
        w[r] = p.weight[r] * (isnan(p.fails[r]) ? 1 : p.fails[r] > 0 ? 3.0f : 0.25f);
    m = weighted_model(&p, MTL_BINARY, 1, "fails", "0.25/3", p.weight, &a);
    n = weighted_model(&p, MTL_BINARY, 1, "fails", "", w, &b);
    assert_same_model(m, n);
    ck_assert(a == b);
    mtl_model_destroy(m), mtl_model_destroy(n);
    problem_free(&p);
}
END_TEST

START_TEST(balanced_from_training_rows_only)
{
    /* The last rows, which only judge, have another share of classes: they change nothing. */
    problem p = problem_make(60, 5, 0);
    mtl_model *m[2];
    for (int i = 0; i < 2; i++) {
        mtl_spec *s = NULL;
        mtl_dataset *d = problem_data(&p, NULL);
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
        done(mtl_spec_task_set_str(s, "fails", "class_weights", "balanced", err));
        done(mtl_model_create(s, &m[i], err));
        fit(m[i], d, "epochs=2 validation_split=0.5");
        mtl_spec_destroy(s);
        mtl_dataset_destroy(d);
        for (int r = 30; r < 60; r++)
            p.fails[r] = 1;
    }
    assert_same_model(m[0], m[1]);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    problem_free(&p);
}
END_TEST

/* ---- Refusals ----------------------------------------------------------------------------------- */

START_TEST(settings_refused)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 2, &s, err));
    for (int t = 0; t < TASKS; t++)
        done(mtl_spec_add_task(s, tasks[t].name, tasks[t].kind, tasks[t].outputs, err));
    refused(mtl_spec_add_task(s, "none", MTL_QUANTILE, 0, err), MTL_ERR_RANGE, "quantile");
    refused(mtl_spec_task_set_str(s, "risk", "loss", "huber", err), MTL_ERR_RANGE, "risk");
    refused(mtl_spec_task_set_str(s, "score", "loss", "huber:delta=-1", err), MTL_ERR_RANGE, "delta");
    refused(mtl_spec_task_set_str(s, "score", "class_weights", "1/2", err), MTL_ERR_RANGE,
            "task \"score\": a regression task has no class_weights");
    refused(mtl_spec_task_set_str(s, "grade", "class_weights", "1/2", err), MTL_ERR_RANGE,
            "task \"grade\": class_weights has 2 numbers, not 3");
    refused(mtl_spec_task_set_str(s, "grade", "class_weights", "1/x/2", err), MTL_ERR_RANGE,
            "\"x\" is not a number");
    refused(mtl_spec_task_set_str(s, "grade", "class_weights", "1/-1/2", err), MTL_ERR_RANGE, "-1");
    refused(mtl_spec_task_set_str(s, "grade", "class_weights", "1/nan/2", err), MTL_ERR_RANGE, "nan");
    refused(mtl_spec_task_set_str(s, "grade", "quantiles", "0.1/0.2/0.3", err), MTL_ERR_RANGE,
            "a multiclass task has no quantiles");
    refused(mtl_spec_task_set_str(s, "level", "quantiles", "0.1/0.5", err), MTL_ERR_RANGE, "2 numbers");
    refused(mtl_spec_task_set_str(s, "level", "quantiles", "0.1/0.5/1", err), MTL_ERR_RANGE, "quantiles");
    refused(mtl_spec_task_set_str(s, "level", "quantiles", "0.1/0.5/0.5", err), MTL_ERR_RANGE, "ascend");
    refused(mtl_spec_task_set_str(s, "level", "quantiles", "0.1//0.5", err), MTL_ERR_RANGE, "\"\"");
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(labels_refused)
{
    scene s;
    scene_make(&s, NULL);
    s.y[4][7] = -1;
    refused(mtl_fit(s.m, s.d, NULL, NULL, NULL, err), MTL_ERR_VALUE,
            "task \"visits\": row 7, column 0 is -1, not finite and >= 0");
    s.y[4][7] = 0;
    s.y[6][3] = INFINITY;
    refused(mtl_fit(s.m, s.d, NULL, NULL, NULL, err), MTL_ERR_VALUE, "task \"level\": row 3");
    s.y[6][3] = 0;
    done(mtl_spec_task_set_str(s.spec, "cost", "loss", "gamma", err));
    mtl_model_destroy(s.m);
    done(mtl_model_create(s.spec, &s.m, err));
    refused(mtl_fit(s.m, s.d, NULL, NULL, NULL, err), MTL_ERR_VALUE, "task \"cost\": row");
    scene_free(&s);
}
END_TEST

START_TEST(default_metrics)
{
    scene s;
    mtl_report *r = NULL;
    float out[ROWS * OUTPUTS];
    double sum = 0, n = 0;
    scene_make(&s, NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 validation_split=0.25");
    done(mtl_fit(s.m, s.d, NULL, o, &r, err));
    ck_assert_int_eq(mtl_report_type(r, "metric/mae/level"), MTL_TYPE_SERIES);
    ck_assert_int_eq(mtl_report_type(r, "metric/rmse/visits"), MTL_TYPE_SERIES);
    ck_assert_int_eq(mtl_report_type(r, "metric/accuracy/stage"), MTL_TYPE_SERIES);
    mtl_report_destroy(r);
    done(mtl_evaluate(s.m, s.d, NULL, &r, err));
    done(mtl_predict(s.m, ROWS, s.x, INPUTS, out, OUTPUTS, err));
    for (int i = 0; i < ROWS; i++)
        if (!isnan(s.y[6][i])) {
            sum += fabs((double)s.y[6][i] - (double)out[i * OUTPUTS + 13]);
            n++;
        }
    assert_near(figure(r, "metric/mae/level"), sum / n, 1e-6);
    ck_assert(isfinite(figure(r, "metric/rmse/visits")) && isfinite(figure(r, "metric/r2/cost")));
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    scene_free(&s);
}
END_TEST

/* ---- Losses of the caller ---------------------------------------------------------------------- */

typedef struct own_loss {
    int64_t calls, stop_at; /* stop_at 0 = never */
    int64_t outputs, label_cols;
    bool jump;
    jmp_buf out;
} own_loss;

/* The squared error. */
static int32_t squares(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                       const float *label, const float *weight, double *value, float *gradient,
                       void *user)
{
    own_loss *own = user;
    own->calls++;
    ck_assert_int_ge(rows, 1);
    ck_assert_int_eq(outputs, own->outputs);
    ck_assert_int_eq(label_cols, own->label_cols);
    if (own->calls == own->stop_at && own->jump)
        longjmp(own->out, 1);
    *value = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t labels = 0;
        for (int64_t j = 0; j < outputs; j++) {
            float y = label[r * label_cols + j], d = z[r * outputs + j] - y;
            labels += !isnan(y);
            *value += isnan(y) ? 0 : (double)(weight[r] * (d * d));
            if (gradient) {
                ck_assert(gradient[r * outputs + j] == 0);
                gradient[r * outputs + j] = weight[r] * (d + d); /* NaN where there is no label */
            }
        }
        ck_assert_int_ge(labels, 1);
    }
    return own->calls == own->stop_at ? 0 : MTL_CONTINUE;
}

static mtl_model *values_model(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 6, "tanh", err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

START_TEST(own_loss_is_the_builtin_one)
{
    problem p = problem_make(70, 6, 30);
    mtl_dataset *d = problem_data(&p, NULL);
    own_loss own = {.outputs = 2, .label_cols = 2};
    mtl_model *a = values_model(NULL), *b = values_model(NULL), *clone = NULL;
    int64_t n, k;
    done(mtl_dataset_set_weights(d, NULL, p.weight, err));
    done(mtl_model_set_loss(b, "hours", squares, &own, err));
    fit(a, d, "epochs=1 batch_size=16 shuffle=0 learning_rate=0.01 validation_split=0.2");
    fit(b, d, "epochs=1 batch_size=16 shuffle=0 learning_rate=0.01 validation_split=0.2");
    ck_assert_int_eq(own.calls, 4 + 1); /* 56 rows in batches, 14 to judge */
    float *pa = parameters(a, &n), *pb = parameters(b, &k);
    for (int64_t i = 0; i < n; i++)
        assert_near((double)pb[i], (double)pa[i], 1e-6);
    assert_near(loss_of(b, d, "loss/hours"), loss_of(a, d, "loss/hours"), 1e-6);
    /* A clone has it, a file has not; NULL is back to the task's own. */
    int64_t calls = own.calls;
    done(mtl_model_clone(b, &clone, err));
    loss_of(clone, d, "loss");
    ck_assert_int_eq(own.calls, calls + 1);
    done(mtl_model_set_loss(clone, "hours", NULL, NULL, err));
    loss_of(clone, d, "loss");
    ck_assert_int_eq(own.calls, calls + 1);
    refused(mtl_model_set_loss(clone, "days", squares, &own, err), MTL_ERR_NAME, "days");
    refused(mtl_model_set_loss(NULL, "days", squares, &own, err), MTL_ERR_INVALID, "model");
    refused(mtl_model_set_loss(clone, NULL, squares, &own, err), MTL_ERR_INVALID, "task");
    free(pa), free(pb);
    mtl_model_destroy(a), mtl_model_destroy(b), mtl_model_destroy(clone);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(own_loss_stops)
{
    problem p = problem_make(64, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_report *r = NULL;
    own_loss own = {.outputs = 2, .label_cols = 2, .stop_at = 7}, never = {.outputs = 2, .label_cols = 2};
    mtl_model *a = values_model(NULL), *b = values_model(NULL);
    done(mtl_model_set_loss(a, "hours", squares, &own, err));
    done(mtl_model_set_loss(b, "hours", squares, &never, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=16");
    done(mtl_fit(a, d, NULL, o, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert(figure(r, "steps") == 6 && figure(r, "epochs") == 1);
    mtl_report_destroy(r);
    /* Stopped in the middle: not the model of one epoch any more; judged, the model is refused. */
    own.stop_at = own.calls + 1;
    refused(mtl_evaluate(a, d, NULL, &r, err), MTL_ERR_STATE, "task \"hours\"");
    /* Stopped at the first call: nothing moved but the start. */
    own.stop_at = own.calls + 1;
    mtl_model *c = values_model(NULL), *start = values_model(NULL);
    done(mtl_model_set_loss(c, "hours", squares, &own, err));
    fit(c, d, "epochs=3 batch_size=16");
    assert_same_model(c, start);
    /* Stopped while judging: 48 rows in three batches, then the validation rows. */
    own.stop_at = own.calls + 4;
    set_options(o, MTL_OPTIONS_FIT, "validation_split=0.25");
    done(mtl_fit(c, d, NULL, o, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert(figure(r, "steps") == 3 && figure(r, "epochs") == 1);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(a), mtl_model_destroy(b), mtl_model_destroy(c), mtl_model_destroy(start);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* A refused batch has no part in the loss told; a stream goes on from the steps that were made. */
START_TEST(own_loss_stops_between_steps)
{
    problem p = problem_make(64, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL), *begun = NULL;
    own_loss own = {.outputs = 2, .label_cols = 2, .stop_at = 7}, never = {.outputs = 2, .label_cols = 2};
    mtl_model *a = values_model(NULL), *b = values_model(NULL);
    mtl_trainer *t = NULL;
    double before, after;
    done(mtl_model_set_loss(a, "hours", squares, &own, err));
    done(mtl_model_set_loss(b, "hours", squares, &never, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=16 shuffle=0 learning_rate=0.01");
    done(mtl_trainer_create(a, d, NULL, o, &t, err));
    done(mtl_trainer_step(t, 6, NULL, err));
    done(mtl_trainer_metric(t, "loss/train", &before, err));
    done(mtl_trainer_step(t, 1, NULL, err));
    done(mtl_trainer_metric(t, "loss/train", &after, err));
    ck_assert(before == after && before > 0);
    mtl_trainer_destroy(t);
    mtl_model_destroy(a);
    a = values_model(NULL);
    done(mtl_model_set_loss(a, "hours", squares, &own, err));
    own.stop_at = own.calls + 3;
    done(mtl_dataset_subset(d, 32, (int64_t[32]){0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
                            &begun, err));
    set_options(o, MTL_OPTIONS_FIT, "scale_inputs=0 scale_targets=0");
    done(mtl_partial_fit(a, d, o, NULL, err));
    done(mtl_partial_fit(b, begun, o, NULL, err));
    assert_same_model(a, b);
    done(mtl_partial_fit(a, d, o, NULL, err));
    done(mtl_partial_fit(b, d, o, NULL, err));
    assert_same_model(a, b);
    mtl_options_destroy(o);
    mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_dataset_destroy(d), mtl_dataset_destroy(begun);
    problem_free(&p);
}
END_TEST

/* Weights of thresholds that were set keep their bits, whatever shrinks the others. */
START_TEST(thresholds_are_not_shrunk)
{
    static const char *const texts[] = {"epochs=3 l2=0.5", "epochs=3 optimizer=adamw:weight_decay=1",
                                        "epochs=2 l1=0.1 optimizer=sgd average=ema:decay=0.5"};
    for (int k = 0; k < 3; k++) {
        scene s;
        float before[36], after[36], skip[INPUTS * 4], skip_after[INPUTS * 4];
        scene_make(&s, NULL);
        mtl_model_destroy(s.m);
        done(mtl_spec_set_linear_skip(s.spec, 1, err));
        done(mtl_model_create(s.spec, &s.m, err));
        done(mtl_model_tensor_get(s.m, "head.stage.weight", 36, before, err));
        done(mtl_model_tensor_get(s.m, "skip.stage.weight", INPUTS * 4, skip, err));
        for (int i = 0; i < 36; i++)
            before[i] = 0.25f + (float)i / 8;
        for (int i = 0; i < INPUTS * 4; i++)
            skip[i] = i % 4 == 2 ? 0.5f : 0;
        done(mtl_model_tensor_set(s.m, "head.stage.weight", 36, before, err));
        done(mtl_model_tensor_set(s.m, "skip.stage.weight", INPUTS * 4, skip, err));
        fit(s.m, s.d, texts[k]);
        done(mtl_model_tensor_get(s.m, "head.stage.weight", 36, after, err));
        done(mtl_model_tensor_get(s.m, "skip.stage.weight", INPUTS * 4, skip_after, err));
        for (int i = 0; i < 36; i++)
            ck_assert((before[i] == after[i]) == (i % 4 != 0));
        for (int i = 0; i < INPUTS * 4; i++)
            ck_assert((skip[i] == skip_after[i]) == (i % 4 != 0));
        scene_free(&s);
    }
}
END_TEST

static int32_t not_finite(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                          const float *label, const float *weight, double *value, float *gradient,
                          void *user)
{
    (void)rows, (void)outputs, (void)z, (void)label_cols, (void)label, (void)weight, (void)gradient;
    *value = ++*(int *)user > 4 ? (double)NAN : 1;
    return MTL_CONTINUE;
}

START_TEST(own_loss_diverges)
{
    problem p = problem_make(64, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = values_model(NULL);
    int calls = 0;
    done(mtl_model_set_loss(m, "fails", not_finite, &calls, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=16");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_DIVERGED, "epoch 2");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(own_loss_left_by_a_jump)
{
    /* What an exception does: the model can only be destroyed then, and nothing is lost. */
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=1");
    problem p = problem_make(64, 6, 10);
    mtl_dataset *d = problem_data(&p, ctx);
    mtl_model *m = values_model(ctx);
    own_loss *own = calloc(1, sizeof *own);
    *own = (own_loss){.outputs = 2, .label_cols = 2, .stop_at = 3, .jump = true};
    done(mtl_model_set_loss(m, "hours", squares, own, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=16 validation_split=0.2");
    if (setjmp(own->out) == 0) {
        mtl_fit(m, d, NULL, o, NULL, NULL);
        ck_abort_msg("the callback did not jump");
    }
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
    free(own);
    problem_free(&p);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------------------- */

START_TEST(steps_allocate_nothing)
{
    /* As many allocations for one epoch as for twenty. */
    long long calls[2];
    for (int i = 0; i < 2; i++) {
        test_memory t = {0};
        scene s;
        own_loss own = {.outputs = 1, .label_cols = 1};
        scene_make(&s, counted_context(&t, "threads=1"));
        done(mtl_model_set_loss(s.m, "score", squares, &own, err));
        long long before = atomic_load(&t.calls);
        fit(s.m, s.d, i ? "epochs=20 batch_size=16" : "epochs=1 batch_size=16");
        calls[i] = atomic_load(&t.calls) - before;
        ck_assert_int_eq(own.calls, i ? 160 : 8);
        scene_free(&s);
        ck_assert_int_eq(atomic_load(&t.live), 0);
    }
    ck_assert_int_eq(calls[0], calls[1]);
}
END_TEST

typedef struct sweep {
    scene *s;
    own_loss own;
} sweep;

static mtl_status whole_life(void *arg)
{
    sweep *w = arg;
    mtl_spec *spec = NULL;
    mtl_model *m = NULL, *copy = NULL;
    mtl_report *r = NULL;
    void *file = NULL;
    int64_t bytes = 0;
    mtl_status st = make_spec(w->s, &spec, NULL);
    if (st == MTL_OK)
        st = mtl_model_create(spec, &m, NULL);
    if (st == MTL_OK)
        st = mtl_model_set_loss(m, "score", squares, &w->own, NULL);
    if (st == MTL_OK)
        st = mtl_fit(m, w->s->d, NULL, NULL, NULL, NULL);
    if (st == MTL_OK)
        st = mtl_model_save_buffer(m, &file, &bytes, NULL);
    if (st == MTL_OK)
        st = mtl_model_load_buffer(w->s->ctx, file, bytes, &copy, NULL);
    if (st == MTL_OK)
        st = mtl_evaluate(copy, w->s->d, NULL, &r, NULL);
    mtl_free(file);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(copy);
    mtl_spec_destroy(spec);
    return st;
}

START_TEST(memory_runs_out)
{
    test_memory t = {0};
    scene s;
    scene_make(&s, counted_context(&t, "threads=1"));
    sweep w = {&s, {.outputs = 1, .label_cols = 1}};
    ck_assert_int_gt(sweep_allocations(&t, whole_life, &w), 50);
    scene_free(&s);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_loss");
    add_case(s, "constants that minimise: mean, median, quantile, rate", minimisers);
    add_case(s, "ordinal thresholds find the shares of the classes", ordinal_shares);
    add_case(s, "every loss falls, predictions are ready to use", learns);
    add_case(s, "ordinal thresholds do not see the inputs", thresholds_do_not_see_the_inputs);
    add_case(s, "the same bits on every level and thread count", same_bits_everywhere);
    add_case(s, "files and clones keep losses, class weights, quantiles", files_and_clones);
    add_case(s, "plain models have plain files", plain_files_are_as_before);
    add_case(s, "transfer to and with the new kinds", transfers);
    add_case(s, "class weights are row weights, balanced as scikit-learn", class_weights);
    add_case(s, "balanced looks at the training rows only", balanced_from_training_rows_only);
    add_case(s, "settings that are refused", settings_refused);
    add_case(s, "labels that are refused", labels_refused);
    add_case(s, "metrics of the new kinds", default_metrics);
    add_case(s, "a loss of the caller's with the built-in's numbers", own_loss_is_the_builtin_one);
    add_case(s, "a loss of the caller's that stops", own_loss_stops);
    add_case(s, "a loss of the caller's that is not finite", own_loss_diverges);
    add_case(s, "a loss of the caller's that is left by a jump", own_loss_left_by_a_jump);
    add_case(s, "a step allocates nothing", steps_allocate_nothing);
    add_case(s, "memory that runs out anywhere", memory_runs_out);
    add_case(s, "a refused batch is no part of anything", own_loss_stops_between_steps);
    add_case(s, "thresholds that were set are not shrunk", thresholds_are_not_shrunk);
    return run_suite(s);
}
