/* SPDX-License-Identifier: MIT */
/* weighting=auto of mtl_fit(). */
#include "api_testing.h"

enum { KINDS = 9, FIRST_OF_GRADIENTS = 7, TASKS = 4 };

static const char *const kinds[KINDS] = {"sum", "inverse_root", "inverse", "uw",      "imtl_l",
                                         "gls", "famo",         "upgrad",  "fairgrad"};
static const char *const tasks[TASKS] = {"fails", "tags", "grade", "hours"};
static const double own_weight[TASKS] = {1, 1, 1, 0.5};

static double of_kind(const mtl_report *r, const char *what, int kind)
{
    char name[128];
    snprintf(name, sizeof name, "race/%s/%s", what, kinds[kind]);
    return figure(r, name);
}

static bool was_there(const mtl_report *r, int kind)
{
    char name[128];
    snprintf(name, sizeof name, "race/gain/%s", kinds[kind]);
    return mtl_report_type(r, name) == MTL_TYPE_F64;
}

static mtl_report *raced(mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, d, NULL, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

/* ---- By hand -------------------------------------------------------------------------------- */

/* "constant:weights=..": losses to a power, mean 1, three digits, at most 100 times each other. */
static void constant_text(const double *loss, double power, char text[128])
{
    double w[TASKS], most = 0, sum = 0;
    for (int t = 0; t < TASKS; t++)
        most = fmax(most, w[t] = pow(loss[t], power));
    for (int t = 0; t < TASKS; t++)
        sum += w[t] = fmax(w[t], most / 100);
    strcpy(text, "constant:weights=");
    for (int t = 0; t < TASKS; t++)
        sprintf(text + strlen(text), "%s%.10g", t ? "/" : "", round(4000 * w[t] / sum) / 1000);
}

static void fit_fold(mtl_dataset *const part[2], const char *weighting, double train[TASKS],
                     double valid[TASKS])
{
    char text[256];
    mtl_report *r, *look = NULL;
    mtl_model *m = problem_model(NULL);
    snprintf(text, sizeof text, "epochs=6 learning_rate=0.01 seed=3 weighting=%s", weighting);
    r = raced(m, part[0], text);
    done(mtl_evaluate(m, part[1], NULL, &look, err));
    for (int t = 0; t < TASKS; t++) {
        const double *series;
        int64_t count;
        snprintf(text, sizeof text, "loss/train/%s", tasks[t]);
        done(mtl_report_get_series(r, text, &count, &series, err));
        if (train)
            train[t] = series[count - 1];
        snprintf(text, sizeof text, "loss/%s", tasks[t]);
        valid[t] = figure(look, text);
    }
    mtl_report_destroy(r), mtl_report_destroy(look);
    mtl_model_destroy(m);
}

/* Two folds, of which all see the end. */
START_TEST(figures_by_hand)
{
    problem p = problem_make(120, 7, 25);
    mtl_dataset *d = problem_data(&p, NULL);
    double loss[KINDS][2][TASKS], train[2][TASKS], score[KINDS][2];
    char text[2][128];
    for (int f = 0; f < 2; f++) {
        mtl_dataset *part[2];
        done(mtl_dataset_kfold(d, 2, f, 3, &part[0], &part[1], err));
        fit_fold(part, "sum", train[f], loss[0][f]);
        for (int i = 0; i < 2; i++)
            constant_text(train[f], i ? -1 : -0.5, text[i]);
        for (int k = 1; k < KINDS; k++)
            fit_fold(part, k < 3 ? text[k - 1] : kinds[k], NULL, loss[k][f]);
        mtl_dataset_destroy(part[0]), mtl_dataset_destroy(part[1]);
    }
    mtl_model *m = problem_model(NULL), *plain = problem_model(NULL);
    mtl_report *r = raced(m, d, "epochs=6 learning_rate=0.01 seed=3 weighting=auto:folds=2");
    ck_assert_double_eq(figure(r, "race/folds"), 2);
    int best = 0, winner = 0;
    for (int k = 0; k < KINDS; k++) {
        for (int f = 0; f < 2; f++) {
            score[k][f] = 0;
            for (int t = 0; t < TASKS; t++)
                score[k][f] += own_weight[t] * (loss[k][f][t] - loss[0][f][t]) /
                               ((loss[k][f][t] + loss[0][f][t]) / 2) / 3.5;
        }
        const double a = score[0][0] - score[k][0], b = score[0][1] - score[k][1];
        assert_near(of_kind(r, "gain", k), (a + b) / 2, 1e-12);
        /* standard deviation of two, times the root of 1/2 + 1/1 */
        assert_near(of_kind(r, "gain_error", k), fabs(a - b) / sqrt(2) * sqrt(1.5), 1e-12);
        if (score[k][0] + score[k][1] < score[best][0] + score[best][1])
            best = k;
        winner = k < FIRST_OF_GRADIENTS ? best : winner;
    }
    const double a = score[winner][0] - score[best][0], b = score[winner][1] - score[best][1];
    if ((a + b) / 2 > fabs(a - b) / sqrt(2) * sqrt(1.5))
        winner = best;
    ck_assert_str_eq(text_of(r, "race/winner"), kinds[winner]);
    ck_assert_double_eq(of_kind(r, "gain", 0), 0);
    /* The model is what the winner's name gives. */
    char again[256];
    snprintf(again, sizeof again, "epochs=6 learning_rate=0.01 seed=3 weighting=%s",
             text_of(r, "race/weighting"));
    fit(plain, d, again);
    assert_same_model(m, plain);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(plain);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- What it is for ------------------------------------------------------------------------- */

enum { ROWS = 400, INPUTS = 6 };

/* a: sin(2 u), b: the same times size, and noise. */
static mtl_dataset *scaled_tasks(float size, float noise, float *x, float *y[2])
{
    static const char *const name[] = {"a", "b"};
    uint64_t seed = 11;
    mtl_dataset *d = NULL;
    for (int64_t i = 0; i < ROWS * INPUTS; i++)
        x[i] = next_unit(&seed);
    done(mtl_dataset_create(NULL, x, ROWS, INPUTS, INPUTS, &d, err));
    for (int t = 0; t < 2; t++) {
        y[t] = floats(ROWS);
        for (int64_t r = 0; r < ROWS; r++) {
            const float *at = x + r * INPUTS;
            const float u = t ? at[2] + at[3] : at[0] + at[1];
            y[t][r] = (t ? size : 1) * (sinf(2 * u) + (t ? noise : 0.1f) * next_unit(&seed));
        }
        done(mtl_dataset_set_labels(d, name[t], 1, y[t], 1, err));
    }
    return d;
}

static mtl_model *two_tasks(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 12, "tanh", err));
    done(mtl_spec_add_task(s, "a", MTL_REGRESSION, 1, err));
    done(mtl_spec_add_task(s, "b", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* A task of large and noisy labels drowns another one in the sum. */
START_TEST(a_drowned_task_is_saved)
{
    float *x = floats(ROWS * INPUTS), *y[2];
    mtl_dataset *d = scaled_tasks(30, 2, x, y);
    mtl_model *m = two_tasks(NULL);
    mtl_report *r = raced(m, d, "epochs=40 learning_rate=0.01 scale_targets=0 weighting=auto:folds=3");
    ck_assert_str_ne(text_of(r, "race/winner"), "sum");
    ck_assert_ptr_nonnull(strstr(text_of(r, "race/why"), "loss"));
    int winner = 0;
    for (int k = 0; k < KINDS; k++)
        winner = strcmp(text_of(r, "race/winner"), kinds[k]) ? winner : k;
    ck_assert_double_gt(of_kind(r, "gain", winner), of_kind(r, "gain_error", winner));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    free(x), free(y[0]), free(y[1]);
}
END_TEST

/* With everything in the trunk frozen all weightings are one: it is the sum, and the model that of a
   plain fit. */
START_TEST(the_sum_stays_where_nothing_is_gained)
{
    float *x = floats(ROWS * INPUTS), *y[2];
    mtl_dataset *d = scaled_tasks(1, 0.1f, x, y);
    mtl_model *m = two_tasks(NULL), *plain = two_tasks(NULL);
    done(mtl_model_freeze(m, "trunk", 1, err));
    done(mtl_model_freeze(plain, "trunk", 1, err));
    mtl_report *r = raced(m, d, "epochs=10 learning_rate=0.01 weighting=auto:folds=3");
    fit(plain, d, "epochs=10 learning_rate=0.01");
    ck_assert_str_eq(text_of(r, "race/winner"), "sum");
    ck_assert_str_eq(text_of(r, "race/weighting"), "sum");
    for (int k = 0; k < KINDS; k++)
        ck_assert_double_eq(of_kind(r, "gain", k), 0);
    assert_same_model(m, plain);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(plain);
    mtl_dataset_destroy(d);
    free(x), free(y[0]), free(y[1]);
}
END_TEST

static int32_t count_epochs(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                            void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    ++*(int *)user;
    return MTL_CONTINUE;
}

/* After three folds half of the eight stay beside the sum: 9 + 9 + 9 + 5 fits, and the last. */
START_TEST(half_of_them_leave)
{
    problem p = problem_make(120, 7, 25);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 learning_rate=0.01 weighting=auto:folds=4");
    int calls = 0;
    mtl_report *r = NULL;
    done(mtl_options_set_progress(o, count_epochs, &calls, err));
    done(mtl_fit(m, d, NULL, o, &r, err));
    ck_assert_int_eq(calls, 2 * (9 + 9 + 9 + 5 + 1));
    ck_assert_double_eq(figure(r, "race/folds"), 4);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(same_bits_everywhere)
{
    static const char *const where[] = {"threads=1", "threads=3", "threads=2 cpu=c"};
    uint64_t hash[3];
    double gain[3];
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(where[i]);
        problem p = problem_make(100, 6, 10);
        mtl_dataset *d = problem_data(&p, ctx);
        mtl_model *m = problem_model(ctx);
        mtl_report *r = raced(m, d, "epochs=6 weighting=auto:folds=3 validation_split=0.2 patience=3 "
                                    "learning_rate=0.02");
        hash[i] = predict_hash(m, &p);
        gain[i] = of_kind(r, "gain", 7);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
        problem_free(&p);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
    ck_assert_double_eq(gain[0], gain[1]);
    ck_assert_double_eq(gain[0], gain[2]);
}
END_TEST

/* What was trained goes on; what is frozen stays. */
START_TEST(a_trained_model_goes_on)
{
    problem p = problem_make(100, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m[3];
    for (int i = 0; i < 3; i++) {
        m[i] = problem_model(NULL);
        fit(m[i], d, "epochs=3");
        done(mtl_model_freeze(m[i], "trunk.0", 1, err));
    }
    mtl_report *r = raced(m[0], d, "epochs=3 seed=5 weighting=auto:folds=2 learning_rate=0.01");
    char text[256];
    snprintf(text, sizeof text, "epochs=3 seed=5 learning_rate=0.01 weighting=%s",
             text_of(r, "race/weighting"));
    fit(m[1], d, text);
    assert_same_model(m[0], m[1]);
    ck_assert(tensor_bits_differ(m[0], m[2], "trunk.0.weight") == 0);
    ck_assert(tensor_bits_differ(m[0], m[2], "trunk.1.weight") > 0);
    mtl_report_destroy(r);
    for (int i = 0; i < 3; i++)
        mtl_model_destroy(m[i]);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* The verdict is of the network with the weighting that won. */
START_TEST(with_a_verdict)
{
    problem p = problem_make(80, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m[2] = {problem_model(NULL), problem_model(NULL)};
    mtl_report *r[2];
    r[0] = raced(m[0], d, "epochs=4 learning_rate=0.02 weighting=auto:folds=2 judge=1 judge_folds=2");
    char text[256];
    snprintf(text, sizeof text, "epochs=4 learning_rate=0.02 judge=1 judge_folds=2 weighting=%s",
             text_of(r[0], "race/weighting"));
    r[1] = raced(m[1], d, text);
    ck_assert_double_eq(figure(r[0], "judge/delta_m"), figure(r[1], "judge/delta_m"));
    ck_assert_uint_eq(predict_hash(m[0], &p), predict_hash(m[1], &p));
    for (int i = 0; i < 2; i++) {
        mtl_report_destroy(r[i]);
        mtl_model_destroy(m[i]);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- Who takes part -------------------------------------------------------------------------- */

static void expect_alone(mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = raced(m, d, "epochs=2 weighting=auto");
    ck_assert_str_eq(text_of(r, "race/winner"), "sum");
    ck_assert_ptr_nonnull(strstr(text_of(r, "race/why"), "no other"));
    ck_assert_double_eq(figure(r, "race/folds"), 0);
    for (int k = 0; k < KINDS; k++)
        ck_assert(!was_there(r, k));
    mtl_report_destroy(r);
}

/* One task, no trunk, members that learn side by side: there is the sum alone, and no fold is fitted. */
START_TEST(where_there_is_no_choice)
{
    problem p = problem_make(60, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int i = 0; i < 3; i++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        if (i != 1)
            done(mtl_spec_add_dense(s, 5, "relu", err));
        done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
        if (i > 0)
            done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
        if (i == 2)
            done(mtl_spec_set_ensemble(s, 2, "mini", err));
        done(mtl_model_create(s, &m, err));
        expect_alone(m, d);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* A count's loss may be below 0: gls, famo and constant weights cannot be, the others can. */
START_TEST(losses_below_zero)
{
    float x[80 * 2], y[2][80];
    uint64_t seed = 4;
    for (int i = 0; i < 80; i++) {
        x[2 * i] = next_unit(&seed);
        x[2 * i + 1] = next_unit(&seed);
        y[0][i] = x[2 * i] > 0 ? 40 : 20;
        y[1][i] = x[2 * i + 1];
    }
    mtl_dataset *d = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_dataset_create(NULL, x, 80, 2, 2, &d, err));
    done(mtl_dataset_set_labels(d, "n", 1, y[0], 1, err));
    done(mtl_dataset_set_labels(d, "v", 1, y[1], 1, err));
    done(mtl_spec_create(NULL, 2, &s, err));
    done(mtl_spec_add_dense(s, 6, "tanh", err));
    done(mtl_spec_add_task(s, "n", MTL_COUNT, 1, err));
    done(mtl_spec_add_task(s, "v", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_report *r = raced(m, d, "epochs=30 learning_rate=0.1 weighting=auto:folds=2");
    const double *series;
    int64_t count;
    done(mtl_report_get_series(r, "loss/train/n", &count, &series, err));
    ck_assert_double_lt(series[count - 1], 0);
    ck_assert(was_there(r, 0) && was_there(r, 3) && was_there(r, 4) && was_there(r, 7));
    ck_assert(!was_there(r, 1) && !was_there(r, 2));
    ck_assert_double_eq(of_kind(r, "gain", 5), -INFINITY);
    ck_assert_double_eq(of_kind(r, "gain", 6), -INFINITY);
    ck_assert(strcmp(text_of(r, "race/winner"), "famo") != 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
}
END_TEST

/* Sparse inputs: what compares gradients by parameters is not in the race. */
START_TEST(sparse_inputs)
{
    static int64_t start[41];
    static int32_t column[80];
    static float value[80], y[2][40];
    for (int i = 0; i < 40; i++) {
        start[i + 1] = 2 * i + 2;
        column[2 * i] = i % 5;
        column[2 * i + 1] = 5 + i % 7;
        value[2 * i] = value[2 * i + 1] = 1;
        y[0][i] = (float)(i % 5);
        y[1][i] = (float)(i % 7);
    }
    mtl_dataset *d = NULL;
    mtl_spec *s = NULL;
    done(mtl_dataset_create_csr(NULL, 40, 12, start, column, value, &d, err));
    done(mtl_dataset_set_labels(d, "a", 1, y[0], 1, err));
    done(mtl_dataset_set_labels(d, "b", 1, y[1], 1, err));
    done(mtl_spec_create(NULL, 12, &s, err));
    done(mtl_spec_add_dense(s, 6, "tanh", err));
    done(mtl_spec_add_task(s, "a", MTL_REGRESSION, 1, err));
    done(mtl_spec_add_task(s, "b", MTL_REGRESSION, 1, err));
    for (int i = 0; i < 2; i++) {
        mtl_model *m = NULL;
        done(mtl_model_create(s, &m, err));
        mtl_report *r = raced(m, d, i ? "epochs=2 weighting=auto:folds=2 weighting_scope=features"
                                      : "epochs=2 weighting=auto:folds=2");
        ck_assert(was_there(r, 0) && was_there(r, 2) && was_there(r, 6));
        ck_assert_int_eq(was_there(r, 7), i);
        ck_assert_int_eq(was_there(r, 8), i);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
}
END_TEST

/* ---- Limits, callbacks, failures ------------------------------------------------------------ */

typedef struct watcher {
    int calls, most;
} watcher;

static int32_t watch(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                     void *user)
{
    watcher *w = user;
    (void)step, (void)steps, (void)train, (void)valid, (void)epoch;
    return ++w->calls < w->most ? MTL_CONTINUE : 0;
}

/* In the race or behind it: not asked again, and the model is that of a fit with the sum. */
START_TEST(cancelled)
{
    for (int i = 0; i < 4; i++) {
        problem p = problem_make(80, 6, 10);
        mtl_dataset *d = problem_data(&p, NULL);
        mtl_model *m = problem_model(NULL);
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=4 weighting=auto:folds=3");
        if (i % 2)
            done(mtl_options_set_i64(o, "judge", 1, err));
        mtl_report *r = NULL;
        watcher w = {0, i < 2 ? 1 : 40};
        done(mtl_options_set_progress(o, watch, &w, err));
        done(mtl_fit(m, d, NULL, o, &r, err));
        ck_assert_int_eq(w.calls, w.most);
        ck_assert_str_eq(text_of(r, "reason"), "cancelled");
        ck_assert_str_eq(text_of(r, "race/winner"), "sum");
        ck_assert_ptr_nonnull(strstr(text_of(r, "race/why"), "callback"));
        ck_assert_double_eq(figure(r, "race/folds"), i / 2);
        ck_assert_double_eq(figure(r, "epochs"), 1);
        mtl_model *one = problem_model(NULL);
        fit(one, d, "epochs=1");
        assert_same_model(m, one);
        mtl_model_destroy(one);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
        problem_free(&p);
    }
}
END_TEST

START_TEST(out_of_time)
{
    problem p = problem_make(80, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int judge = 0; judge < 2; judge++) {
        mtl_model *m = problem_model(NULL);
        mtl_report *r = raced(m, d, judge ? "epochs=1000000 time_limit=0.1 weighting=auto judge=1"
                                          : "epochs=1000000 time_limit=0.1 weighting=auto");
        ck_assert_double_eq(figure(r, "race/folds"), 0);
        ck_assert_str_eq(text_of(r, "race/winner"), "sum");
        ck_assert_ptr_nonnull(strstr(text_of(r, "race/why"), "time"));
        ck_assert_str_eq(text_of(r, "reason"), "time_limit");
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(diverging)
{
    problem p = problem_make(80, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "weighting=auto:folds=2 epochs=10 optimizer=sgd "
                                              "learning_rate=1e25");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_DIVERGED, "not finite");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(failures)
{
    problem p = problem_make(40, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL), *few = NULL, *target = NULL;
    mtl_model *m = problem_model(NULL), *used = problem_model(NULL), *moved = NULL;
    const uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, "weighting=auto epochs=2");
    mtl_options *t = options(MTL_OPTIONS_TRANSFER, "weighting=auto");
    mtl_trainer *trainer = NULL;
    mtl_report *r = NULL;
    double w[2];
    const double gram[4] = {1, 0, 0, 1};
    refused(mtl_trainer_create(m, d, NULL, o, &trainer, err), MTL_ERR_INVALID, "mtl_fit() alone");
    refused(mtl_partial_fit(m, d, o, NULL, err), MTL_ERR_INVALID, "mtl_fit() alone");
    refused(mtl_lr_find(m, d, o, &r, err), MTL_ERR_INVALID, "mtl_fit() alone");
    refused(mtl_task_affinity(m, d, o, &r, err), MTL_ERR_INVALID, "mtl_fit() alone");
    refused(mtl_aggregate_gram("auto", 2, gram, 2, NULL, w, NULL, err), MTL_ERR_INVALID, "auto");
    fit(used, d, "epochs=1");
    done(mtl_dataset_create(NULL, p.x, 40, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.fails, 1, err));
    refused(mtl_transfer(used, target, NULL, t, &moved, NULL, err), MTL_ERR_INVALID, "mtl_fit() alone");
    done(mtl_dataset_create(NULL, p.x, 3, PROBLEM_INPUTS, PROBLEM_INPUTS, &few, err));
    done(mtl_dataset_set_labels(few, "fails", 1, p.fails, 1, err));
    refused(mtl_fit(m, few, NULL, o, NULL, err), MTL_ERR_DATA, "not 3");
    p.grade[17] = 3;
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_VALUE, "row 17");
    p.grade[17] = 0;
    set_options(o, MTL_OPTIONS_FIT, "patience=3");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "patience");
    set_options(o, MTL_OPTIONS_FIT, "patience=0 checkpoint=/nowhere/x");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "checkpoint");
    refused(mtl_options_set_str(o, "weighting", "auto:folds=1", err), MTL_ERR_RANGE, "folds");
    refused(mtl_options_set_str(o, "weighting", "auto:folds=2.5", err), MTL_ERR_RANGE, "whole");
    ck_assert_uint_eq(model_hash(m), before);
    mtl_options_destroy(o), mtl_options_destroy(t);
    mtl_model_destroy(m), mtl_model_destroy(used);
    mtl_dataset_destroy(d), mtl_dataset_destroy(few), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

START_TEST(memory_runs_out)
{
    sweep_fit("weighting=auto:folds=2 epochs=1", true);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("race");
    add_case(s, "figures by hand", figures_by_hand);
    add_case(s, "a drowned task is saved", a_drowned_task_is_saved);
    add_case(s, "the sum stays where nothing is gained", the_sum_stays_where_nothing_is_gained);
    add_case(s, "half of them leave", half_of_them_leave);
    add_case(s, "same bits everywhere", same_bits_everywhere);
    add_case(s, "a trained model goes on", a_trained_model_goes_on);
    add_case(s, "with a verdict", with_a_verdict);
    add_case(s, "where there is no choice", where_there_is_no_choice);
    add_case(s, "losses below 0", losses_below_zero);
    add_case(s, "sparse inputs", sparse_inputs);
    add_case(s, "cancelled", cancelled);
    add_case(s, "out of time", out_of_time);
    add_case(s, "diverging", diverging);
    add_case(s, "failures leave the model", failures);
    add_case(s, "memory runs out at any point", memory_runs_out);
    return run_suite(s);
}
