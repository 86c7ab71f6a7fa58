/* SPDX-License-Identifier: MIT */
/* Groups predict and evaluate. */
#include "refnet.h"

/* float32 through a few layers of tens of units against double. */
#define PREDICT_BOUND 2e-6

static const ref_task binary = {"b", MTL_BINARY, 1, 1, {{0}}};
static const ref_task classes = {"c", MTL_MULTICLASS, 4, 1, {{0}}};
static const ref_task labels = {"l", MTL_MULTILABEL, 3, 1, {{0}}};
static const ref_task values = {"v", MTL_REGRESSION, 2, 1, {{0}}};

/* Predictions of a net with scattered weights against the same in double. */
static void check(const char *what, const ref_net *n, int64_t rows)
{
    ref_data d = ref_random_data(n, rows, 8, 0);
    mtl_model *m = ref_model(n, NULL);
    int64_t count, outputs = mtl_model_outputs(m);
    ref_scatter(m, 6);
    double *theta = ref_parameters(m, &count), *expected = ref_predictions(n, theta, &d, outputs);
    float *out = floats(rows * outputs);
    done(mtl_predict(m, rows, d.x, n->inputs, out, outputs, err));
    for (int64_t i = 0; i < rows * outputs; i++)
        ck_assert_msg(fabs((double)out[i] - expected[i]) <=
                          PREDICT_BOUND * fmax(1, fabs(expected[i])),
                      "%s, row %lld, column %lld: %.9g, not %.9g", what, (long long)(i / outputs),
                      (long long)(i % outputs), (double)out[i], expected[i]);
    free(theta), free(expected), free(out);
    mtl_model_destroy(m);
    ref_data_free(&d);
}

START_TEST(kinds_and_shapes)
{
    const int64_t rows[] = {1, 2, 17, 255, 256, 257, 600};
    ref_net n = {5, {{9, "relu"}, {6, "tanh"}, {7, "sigmoid"}}, {binary, classes, labels, values}};
    for (int i = 0; i < 7; i++)
        check("plain heads", &n, rows[i]);
    n.trunk[0].activation = NULL;
    check("heads on the inputs", &n, 40);
}
END_TEST

START_TEST(own_layers)
{
    ref_net n = {5, {{9, "relu"}, {6, "tanh"}}, {binary, classes, labels, values}};
    n.task[0].head[0] = (ref_layer){4, "sigmoid"};
    n.task[2].head[0] = (ref_layer){3, "tanh"};
    n.task[2].head[1] = (ref_layer){11, "relu"};
    check("two of four heads have own layers", &n, 300);
    for (int depth = 0; depth <= 3; depth++)
        for (int own = 1; own <= 2; own++) {
            /* One head alone: trunk and head share the two buffers of predict. */
            ref_net one = {5, {{0}}, {values}};
            char what[64];
            for (int i = 0; i < depth; i++)
                one.trunk[i] = (ref_layer){6 + i, "tanh"};
            for (int i = 0; i < own; i++)
                one.task[0].head[i] = (ref_layer){9 - i, "tanh"};
            snprintf(what, sizeof what, "one head, %d trunk layers, %d own", depth, own);
            check(what, &one, 20);
        }
}
END_TEST

START_TEST(extreme_outputs)
{
    /* Probabilities stay in [0, 1] and finite for any size of the outputs before the link. */
    ref_net n = {1, {{0}}, {binary, classes, labels}};
    mtl_model *m = ref_model(&n, NULL);
    float w[4] = {1e30f, -1e30f, 0, 1e20f}, x[4] = {0, 1, -1, 1e8f}, out[4 * 8];
    done(mtl_model_tensor_set(m, "head.b.weight", 1, w, err));
    done(mtl_model_tensor_set(m, "head.c.weight", 4, w, err));
    done(mtl_model_tensor_set(m, "head.l.weight", 3, w, err));
    done(mtl_predict(m, 4, x, 1, out, 8, err));
    for (int r = 0; r < 4; r++) {
        float sum = 0;
        for (int j = 0; j < 8; j++)
            ck_assert_msg(out[8 * r + j] >= 0 && out[8 * r + j] <= 1, "row %d, column %d: %g", r, j,
                          (double)out[8 * r + j]);
        for (int j = 1; j < 5; j++)
            sum += out[8 * r + j];
        ck_assert_float_lt(fabsf(sum - 1), 1e-6f);
    }
    mtl_model_destroy(m);
}
END_TEST

/* ---- splits, strides, tasks
 * ---------------------------------------------------------------------- */

typedef struct trained {
    problem p;
    mtl_dataset *data;
    mtl_model *m;
} trained;

static trained trained_make(mtl_context *ctx, int64_t rows)
{
    trained t = {.p = problem_make(rows, 11, 10)};
    t.data = problem_data(&t.p, ctx);
    t.m = problem_model(ctx);
    fit(t.m, t.data, "epochs=5 learning_rate=0.01");
    return t;
}

static void trained_free(trained *t)
{
    mtl_model_destroy(t->m);
    mtl_dataset_destroy(t->data);
    problem_free(&t->p);
}

START_TEST(batch_splits_do_not_matter)
{
    enum { ROWS = 700 };
    trained t = trained_make(NULL, ROWS);
    static const int64_t parts[] = {1, 2, 7, 16, 100, 255, 256, 257, 511, ROWS};
    float *whole = floats(ROWS * 8), *out = floats(ROWS * 8);
    done(mtl_predict(t.m, ROWS, t.p.x, PROBLEM_INPUTS, whole, 8, err));
    for (int i = 0; i < 10; i++) {
        for (int64_t r = 0; r < ROWS; r += parts[i]) {
            int64_t rows = parts[i] < ROWS - r ? parts[i] : ROWS - r;
            done(mtl_predict(t.m, rows, t.p.x + r * PROBLEM_INPUTS, PROBLEM_INPUTS, out + 8 * r, 8,
                             err));
        }
        assert_same_bits(out, whole, ROWS * 8);
    }
    free(whole), free(out);
    trained_free(&t);
}
END_TEST

START_TEST(threads_and_levels_do_not_matter)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=2",          "threads=3",
                                           "threads=7",       "threads=2 cpu=avx2", "threads=1"};
    uint64_t hash[6];
    for (int i = 0; i < 6; i++) {
        mtl_context *ctx = context(contexts[i]);
        trained t = trained_make(ctx, 3000);
        hash[i] = predict_hash(t.m, &t.p);
        ck_assert_uint_eq(hash[i], hash[0]);
        trained_free(&t);
        mtl_context_destroy(ctx);
    }
}
END_TEST

START_TEST(rows_do_not_touch_each_other)
{
    trained t = trained_make(NULL, 64);
    float before[64 * 8], after[64 * 8];
    done(mtl_predict(t.m, 64, t.p.x, PROBLEM_INPUTS, before, 8, err));
    t.p.x[30 * PROBLEM_INPUTS + 1] = INFINITY;
    t.p.x[31 * PROBLEM_INPUTS + 1] = NAN;
    t.p.x[32 * PROBLEM_INPUTS + 1] = 3e38f;
    done(mtl_predict(t.m, 64, t.p.x, PROBLEM_INPUTS, after, 8, err));
    assert_same_bits(before, after, 30 * 8);
    assert_same_bits(before + 33 * 8, after + 33 * 8, 31 * 8);
    trained_free(&t);
}
END_TEST

START_TEST(strides)
{
    enum { ROWS = 300, XS = PROBLEM_INPUTS + 2, OS = 8 + 3 };
    trained t = trained_make(NULL, ROWS);
    float *x = floats(ROWS * XS), *out = floats(ROWS * OS), *plain = floats(ROWS * 8);
    for (int64_t r = 0; r < ROWS; r++)
        for (int j = 0; j < XS; j++)
            x[r * XS + j] = j < PROBLEM_INPUTS ? t.p.x[r * PROBLEM_INPUTS + j] : INFINITY;
    for (int64_t i = 0; i < ROWS * OS; i++)
        out[i] = 77;
    done(mtl_predict(t.m, ROWS, t.p.x, PROBLEM_INPUTS, plain, 8, err));
    /* The last row's gap is not the caller's memory: it need not be there. */
    done(mtl_predict(t.m, ROWS, x, XS, out, OS, err));
    for (int64_t r = 0; r < ROWS; r++) {
        assert_same_bits(out + r * OS, plain + r * 8, 8);
        for (int j = 8; j < OS; j++)
            ck_assert_float_eq(out[r * OS + j], 77);
    }
    free(x), free(out), free(plain);
    trained_free(&t);
}
END_TEST

START_TEST(one_task)
{
    static const int64_t columns[] = {0, 1, 3, 6, 8};
    enum { ROWS = 260 };
    trained t = trained_make(NULL, ROWS);
    float *all = floats(ROWS * 8), *one = floats(ROWS * 4);
    done(mtl_predict(t.m, ROWS, t.p.x, PROBLEM_INPUTS, all, 8, err));
    for (int64_t task = 0; task < 4; task++) {
        int64_t cols = mtl_model_task_outputs(t.m, task);
        ck_assert_int_eq(cols, columns[task + 1] - columns[task]);
        for (int i = 0; i < ROWS * 4; i++)
            one[i] = 55;
        done(mtl_predict_task(t.m, task, ROWS, t.p.x, PROBLEM_INPUTS, one, 4, err));
        for (int r = 0; r < ROWS; r++) {
            assert_same_bits(one + 4 * r, all + 8 * r + columns[task], cols);
            for (int64_t j = cols; j < 4; j++)
                ck_assert_float_eq(one[4 * r + j], 55);
        }
    }
    refused(mtl_predict_task(t.m, 4, 1, t.p.x, 6, one, 4, err), MTL_ERR_RANGE, "4");
    refused(mtl_predict_task(t.m, -1, 1, t.p.x, 6, one, 4, err), MTL_ERR_RANGE, "-1");
    free(all), free(one);
    trained_free(&t);
}
END_TEST

START_TEST(arguments_of_predict)
{
    trained t = trained_make(NULL, 20);
    float out[20 * 8] = {0};
    refused(mtl_predict(t.m, -1, t.p.x, 6, out, 8, err), MTL_ERR_SHAPE, "-1");
    refused(mtl_predict(t.m, 2, t.p.x, 5, out, 8, err), MTL_ERR_SHAPE, "5");
    refused(mtl_predict(t.m, 2, t.p.x, 6, out, 7, err), MTL_ERR_SHAPE, "7");
    refused(mtl_predict(t.m, 2, t.p.x, -6, out, 8, err), MTL_ERR_SHAPE, "-6");
    refused(mtl_predict(t.m, INT64_MAX, t.p.x, 6, out, 8, err), MTL_ERR_SHAPE, "");
    refused(mtl_predict(t.m, INT64_MAX / 8, t.p.x, 6, out, 8, err), MTL_ERR_SHAPE, "");
    refused(mtl_predict(t.m, 2, t.p.x, INT64_MAX, out, 8, err), MTL_ERR_SHAPE, "");
    refused(mtl_predict(t.m, 2, NULL, 6, out, 8, err), MTL_ERR_INVALID, "x");
    refused(mtl_predict(t.m, 2, t.p.x, 6, NULL, 8, err), MTL_ERR_INVALID, "out");
    refused(mtl_predict(NULL, 2, t.p.x, 6, out, 8, err), MTL_ERR_INVALID, "model");
    done(mtl_predict(t.m, 0, NULL, 6, NULL, 8, err));
    done(mtl_predict_task(t.m, 1, 0, NULL, 6, NULL, 2, err));
    trained_free(&t);
}
END_TEST

START_TEST(a_fresh_model_predicts)
{
    problem p = problem_make(10, 1, 0);
    mtl_model *m = problem_model(NULL);
    ck_assert_uint_eq(predict_hash(m, &p), predict_hash(m, &p));
    mtl_model_destroy(m);
    problem_free(&p);
}
END_TEST

/* ---- evaluate
 * ------------------------------------------------------------------------------------ */

static mtl_report *evaluated(const mtl_model *m, const mtl_dataset *d, const char *metrics)
{
    mtl_report *r = NULL;
    mtl_options *o = NULL;
    done(mtl_options_create(MTL_OPTIONS_EVALUATE, &o, err));
    if (metrics)
        done(mtl_options_set_str(o, "metrics", metrics, err));
    done(mtl_evaluate(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

/* A figure of the report is what mtl_metric() says of mtl_predict(). */
static void check_metric(const trained *t, const mtl_report *r, const char *metric, int64_t task,
                         int64_t cols, const float *label, const float *weight)
{
    char name[96];
    double value;
    int64_t outputs = mtl_model_task_outputs(t->m, task);
    float *out = floats(t->p.rows * outputs);
    done(mtl_predict_task(t->m, task, t->p.rows, t->p.x, PROBLEM_INPUTS, out, outputs, err));
    done(mtl_metric(metric, t->p.rows, outputs, out, outputs, cols, label, cols, weight, &value,
                    NULL, err));
    snprintf(name, sizeof name, "metric/%s/%s", metric, mtl_model_task_name(t->m, task));
    ck_assert_msg(figure(r, name) == value || (isnan(value) && isnan(figure(r, name))),
                  "%s: %.17g and %.17g", name, figure(r, name), value);
    free(out);
}

START_TEST(figures_are_those_of_the_metrics)
{
    static const char *const of_classes[] = {"accuracy", "f1", "roc_auc", "log_loss"};
    static const char *const of_values[] = {"rmse", "mae", "r2"};
    trained t = trained_make(NULL, 700);
    for (int weighted = 0; weighted < 2; weighted++) {
        const float *w = weighted ? t.p.weight : NULL;
        done(mtl_dataset_set_weights(t.data, NULL, w, err));
        mtl_report *r = evaluated(t.m, t.data, NULL);
        for (int i = 0; i < 4; i++) {
            check_metric(&t, r, of_classes[i], 0, 1, t.p.fails, w);
            check_metric(&t, r, of_classes[i], 1, 2, t.p.tags, w);
            check_metric(&t, r, of_classes[i], 2, 1, t.p.grade, w);
        }
        for (int i = 0; i < 3; i++)
            check_metric(&t, r, of_values[i], 3, 2, t.p.hours, w);
        ck_assert_int_eq(mtl_report_type(r, "metric/rmse/fails"), 0);
        ck_assert_int_eq(mtl_report_type(r, "metric/accuracy/hours"), 0);
        ck_assert_double_gt(figure(r, "metric/roc_auc/fails"), 0.7);
        mtl_report_destroy(r);
    }
    trained_free(&t);
}
END_TEST

/* Few rows: what a metric asks for is then small, and it may ask for more than one piece. */
START_TEST(figures_of_few_rows)
{
    for (int64_t rows = 1; rows <= 24; rows++) {
        trained t = trained_make(NULL, rows);
        mtl_report *r = evaluated(t.m, t.data, NULL);
        check_metric(&t, r, "roc_auc", 0, 1, t.p.fails, NULL);
        check_metric(&t, r, "roc_auc", 1, 2, t.p.tags, NULL);
        check_metric(&t, r, "roc_auc", 2, 1, t.p.grade, NULL);
        check_metric(&t, r, "f1", 2, 1, t.p.grade, NULL);
        check_metric(&t, r, "r2", 3, 2, t.p.hours, NULL);
        mtl_report_destroy(r);
        trained_free(&t);
    }
}
END_TEST

START_TEST(chosen_metrics)
{
    trained t = trained_make(NULL, 100);
    mtl_report *r = evaluated(t.m, t.data, "f1:average=macro  rmse accuracy");
    check_metric(&t, r, "f1:average=macro", 2, 1, t.p.grade, NULL);
    check_metric(&t, r, "rmse", 3, 2, t.p.hours, NULL);
    check_metric(&t, r, "accuracy", 0, 1, t.p.fails, NULL);
    ck_assert_int_eq(mtl_report_type(r, "metric/log_loss/fails"), 0);
    mtl_report_destroy(r);
    static const char *const bad[] = {"nonsense", "accuracy nonsense", "f1:average=mean",
                                      "accuracy,rmse"};
    for (int i = 0; i < 4; i++) {
        mtl_options *o = NULL;
        r = NULL;
        done(mtl_options_create(MTL_OPTIONS_EVALUATE, &o, err));
        mtl_error *err = mtl_error_create();
        /* Refused when it is set or when it is used, by name. */
        mtl_status st = mtl_options_set_str(o, "metrics", bad[i], err);
        if (st == MTL_OK)
            st = mtl_evaluate(t.m, t.data, o, &r, err);
        ck_assert_msg(st == MTL_ERR_NAME || st == MTL_ERR_RANGE, "%s: %s", bad[i],
                      mtl_status_name(st));
        ck_assert_msg(mtl_error_code(err) == st, "%s: %s, the handle says %s", bad[i],
                      mtl_status_name(st), mtl_status_name(mtl_error_code(err)));
        ck_assert_ptr_null(r);
        mtl_error_destroy(err);
        mtl_options_destroy(o);
    }
    trained_free(&t);
}
END_TEST

/* What every task kind has; the golden test of the metrics has the figures. */
START_TEST(every_metric_in_one_report)
{
    static const char list[] =
        "auto balanced_accuracy precision:average=macro recall:average=weighted mcc "
        "roc_auc:average=weighted average_precision brier ece:bins=5 top_k:k=1 relative_rmse "
        "median_error pinball:q=0.9 poisson_deviance f1 mcc";
    static const char *const of_classes[] = {"balanced_accuracy",
                                             "precision:average=macro",
                                             "recall:average=weighted",
                                             "mcc",
                                             "roc_auc:average=weighted",
                                             "average_precision",
                                             "brier",
                                             "ece:bins=5",
                                             "accuracy",
                                             "f1"};
    static const char *const of_values[] = {"relative_rmse", "median_error", "pinball:q=0.9",
                                            "poisson_deviance", "r2"};
    trained t = trained_make(NULL, 300);
    done(mtl_dataset_set_weights(t.data, NULL, t.p.weight, err));
    mtl_report *r = evaluated(t.m, t.data, list);
    for (size_t i = 0; i < sizeof of_classes / sizeof *of_classes; i++) {
        check_metric(&t, r, of_classes[i], 0, 1, t.p.fails, t.p.weight);
        check_metric(&t, r, of_classes[i], 1, 2, t.p.tags, t.p.weight);
        check_metric(&t, r, of_classes[i], 2, 1, t.p.grade, t.p.weight);
    }
    for (size_t i = 0; i < sizeof of_values / sizeof *of_values; i++)
        check_metric(&t, r, of_values[i], 3, 2, t.p.hours, t.p.weight);
    check_metric(&t, r, "top_k:k=1", 2, 1, t.p.grade, t.p.weight);
    ck_assert_int_eq(mtl_report_type(r, "metric/top_k:k=1/fails"), 0);
    ck_assert_int_eq(mtl_report_type(r, "metric/top_k:k=1/tags"), 0);
    for (int64_t i = 0; i < mtl_report_count(r); i++) /* named twice, told once */
        for (int64_t k = 0; k < i; k++)
            ck_assert_str_ne(mtl_report_name(r, i), mtl_report_name(r, k));
    mtl_report_destroy(r);
    trained_free(&t);
}
END_TEST

START_TEST(means_over_tasks)
{
    trained t = trained_make(NULL, 100);
    mtl_report *r = evaluated(t.m, t.data, "auto mcc top_k:k=2");
    static const char *const three[] = {"accuracy", "f1", "roc_auc", "log_loss", "mcc"};
    char name[96];
    for (int i = 0; i < 5; i++) {
        double sum = 0;
        static const char *const tasks[] = {"fails", "tags", "grade"};
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "metric/%s/%s", three[i], tasks[k]);
            sum += figure(r, name);
        }
        snprintf(name, sizeof name, "metric/%s", three[i]);
        assert_near(figure(r, name), sum / 3, 1e-15);
    }
    ck_assert_double_eq(figure(r, "metric/rmse"), figure(r, "metric/rmse/hours"));
    ck_assert_double_eq(figure(r, "metric/top_k:k=2"), figure(r, "metric/top_k:k=2/grade"));
    mtl_report_destroy(r);
    /* A task without a figure is left out; where none has one, neither has the mean. */
    for (int i = 0; i < 100; i++)
        t.p.fails[i] = 1;
    for (int i = 0; i < 200; i++)
        t.p.hours[i] = NAN;
    r = evaluated(t.m, t.data, NULL);
    assert_near(figure(r, "metric/roc_auc"),
                (figure(r, "metric/roc_auc/tags") + figure(r, "metric/roc_auc/grade")) / 2, 1e-15);
    ck_assert(isnan(figure(r, "metric/rmse")));
    ck_assert_int_eq(mtl_report_type(r, "metric/mcc"), 0);
    mtl_report_destroy(r);
    trained_free(&t);
}
END_TEST

/* Against counting, of predictions that mtl_predict_task() gives. */
static void check_confusion(const trained *t, const mtl_report *r, int64_t task, int64_t n,
                            int64_t cols, const float *label, const float *weight)
{
    const char *task_name = mtl_model_task_name(t->m, task);
    const int64_t outputs = mtl_model_task_outputs(t->m, task);
    const double *cells;
    double want[64] = {0}, sum = 0, right = 0;
    int64_t count;
    char name[64];
    float *out = floats(t->p.rows * outputs);
    done(mtl_predict_task(t->m, task, t->p.rows, t->p.x, PROBLEM_INPUTS, out, outputs, err));
    for (int64_t i = 0; i < t->p.rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const float y = label[i * cols + j], *p = out + i * outputs + j;
            int64_t d = 0;
            if (isnan(y))
                continue;
            if (n == 2)
                d = *p > 0.5f;
            for (int64_t c = 1; n > 2 && c < n; c++)
                d = p[c] > p[d] ? c : d;
            want[(j * n + (int64_t)y) * n + d] += weight ? weight[i] : 1;
        }
    snprintf(name, sizeof name, "confusion/%s", task_name);
    done(mtl_report_get_series(r, name, &count, &cells, err));
    ck_assert_int_eq(count, cols * n * n);
    for (int64_t i = 0; i < count; i++) {
        ck_assert_double_eq(cells[i], want[i]);
        sum += cells[i];
        right += i % (n * n) % (n + 1) == 0 ? cells[i] : 0;
    }
    snprintf(name, sizeof name, "metric/accuracy/%s", task_name);
    assert_near(right / sum, figure(r, name), 1e-15);
    free(out);
}

START_TEST(confusion_matrices)
{
    trained t = trained_make(NULL, 300);
    t.p.fails[3] = t.p.tags[10] = t.p.grade[7] = NAN;
    for (int weighted = 0; weighted < 2; weighted++) {
        const float *w = weighted ? t.p.weight : NULL;
        done(mtl_dataset_set_weights(t.data, NULL, w, err));
        mtl_report *r = evaluated(t.m, t.data, "accuracy rmse");
        check_confusion(&t, r, 0, 2, 1, t.p.fails, w);
        check_confusion(&t, r, 1, 2, 2, t.p.tags, w);
        check_confusion(&t, r, 2, mtl_model_task_outputs(t.m, 2), 1, t.p.grade, w);
        ck_assert_int_eq(mtl_report_type(r, "confusion/hours"), 0);
        mtl_report_destroy(r);
    }
    trained_free(&t);
}
END_TEST

/* A matrix of so many classes would be larger than anything else in a report. */
START_TEST(many_classes_have_no_confusion_matrix)
{
    const float x[] = {1, 2}, y[] = {0, 1000};
    for (int64_t n = 1000; n <= 1001; n++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        mtl_dataset *d = NULL;
        done(mtl_spec_create(NULL, 1, &s, err));
        done(mtl_spec_add_task(s, "many", MTL_MULTICLASS, n, err));
        done(mtl_model_create(s, &m, err));
        done(mtl_dataset_create(NULL, x, n - 999, 1, 1, &d, err));
        done(mtl_dataset_set_labels(d, "many", 1, y, 1, err));
        mtl_report *r = evaluated(m, d, NULL);
        ck_assert_int_eq(mtl_report_type(r, "confusion/many"),
                         n == 1000 ? MTL_TYPE_SERIES : 0);
        mtl_report_destroy(r);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
}
END_TEST

START_TEST(lists_of_metrics_are_checked_when_set)
{
    mtl_options *o = NULL;
    const char *value;
    done(mtl_options_create(MTL_OPTIONS_EVALUATE, &o, err));
    done(mtl_options_get_str(o, "metrics", &value, err));
    ck_assert_str_eq(value, "auto");
    refused(mtl_options_set_str(o, "metrics", "accuracy balanced_acuracy", err), MTL_ERR_RANGE,
            "\"balanced_accuracy\"");
    refused(mtl_options_set_str(o, "metrics", "rmse ece:bins=2.5 mae", err), MTL_ERR_RANGE, "bins");
    refused(mtl_options_set_str(o, "metrics", "top_k:k=0", err), MTL_ERR_RANGE, "k must be");
    refused(mtl_options_set_str(o, "metrics", "auto:k=1", err), MTL_ERR_RANGE, "auto");
    refused(mtl_options_set_str(o, "metrics", "", err), MTL_ERR_RANGE, "empty");
    refused(mtl_options_set_str(o, "metrics", "   ", err), MTL_ERR_RANGE, "empty");
    done(mtl_options_get_str(o, "metrics", &value, err));
    ck_assert_str_eq(value, "auto");
    done(mtl_options_set_str(o, "metrics", " mcc  ece:bins=3 ", err));
    mtl_options_destroy(o);
}
END_TEST

START_TEST(losses_of_evaluate)
{
    ref_net n = {4,
                 {{6, "tanh"}},
                 {{"b", MTL_BINARY, 1, 1, {{0}}},
                  {"c", MTL_MULTICLASS, 3, 2, {{0}}},
                  {"l", MTL_MULTILABEL, 2, 3, {{0}}},
                  {"v", MTL_REGRESSION, 2, 0.5, {{0}}}}};
    float w[600];
    for (int i = 0; i < 600; i++)
        w[i] = (float)(i % 4);
    for (int weighted = 0; weighted < 2; weighted++) {
        ref_data d = ref_random_data(&n, 600, 5, 30);
        d.weight = weighted ? w : NULL;
        mtl_dataset *data = ref_dataset(&n, &d, NULL);
        mtl_model *m = ref_model(&n, NULL);
        int64_t count;
        double losses[REF_TASKS];
        ref_scatter(m, 2);
        double *theta = ref_parameters(m, &count);
        double total = ref_losses(&n, theta, &d, losses);
        mtl_report *r = evaluated(m, data, NULL);
        assert_near(figure(r, "loss"), total, 1e-6);
        assert_near(figure(r, "loss/b"), losses[0], 1e-6);
        assert_near(figure(r, "loss/c"), losses[1], 1e-6);
        assert_near(figure(r, "loss/l"), losses[2], 1e-6);
        assert_near(figure(r, "loss/v"), losses[3], 1e-6);
        mtl_report_destroy(r);
        free(theta);
        mtl_model_destroy(m);
        mtl_dataset_destroy(data);
        ref_data_free(&d);
    }
}
END_TEST

START_TEST(undefined_figures)
{
    trained t = trained_make(NULL, 30);
    for (int i = 0; i < 30; i++)
        t.p.fails[i] = 1;
    for (int i = 0; i < 60; i++)
        t.p.hours[i] = NAN; /* the column is there, the labels are not */
    mtl_report *r = evaluated(t.m, t.data, NULL);
    ck_assert(isnan(figure(r, "metric/roc_auc/fails")));
    ck_assert(isfinite(figure(r, "metric/accuracy/fails")));
    ck_assert(isnan(figure(r, "loss/hours")) && isnan(figure(r, "metric/rmse/hours")));
    ck_assert(isfinite(figure(r, "loss")));
    mtl_report_destroy(r);
    trained_free(&t);
}
END_TEST

START_TEST(arguments_of_evaluate)
{
    trained t = trained_make(NULL, 30);
    uint64_t before = model_hash(t.m);
    mtl_report *r = NULL;
    mtl_dataset *d = NULL;
    refused(mtl_evaluate(NULL, t.data, NULL, &r, err), MTL_ERR_INVALID, "model");
    refused(mtl_evaluate(t.m, NULL, NULL, &r, err), MTL_ERR_INVALID, "data");
    refused(mtl_evaluate(t.m, t.data, NULL, NULL, err), MTL_ERR_INVALID, "report");
    done(mtl_dataset_create(NULL, t.p.x, 30, 6, 6, &d, err));
    refused(mtl_evaluate(t.m, d, NULL, &r, err), MTL_ERR_DATA, "");
    mtl_dataset_destroy(d);
    done(mtl_dataset_create(NULL, t.p.x, 30, 5, 6, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, t.p.fails, 1, err));
    refused(mtl_evaluate(t.m, d, NULL, &r, err), MTL_ERR_SHAPE, "5");
    mtl_dataset_destroy(d);
    t.p.fails[8] = 3;
    refused(mtl_evaluate(t.m, t.data, NULL, &r, err), MTL_ERR_VALUE, "8");
    for (int i = 0; i < 30; i++)
        t.p.fails[i] = NAN;
    done(mtl_dataset_create(NULL, t.p.x, 30, 6, 6, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, t.p.fails, 1, err));
    refused(mtl_evaluate(t.m, d, NULL, &r, err), MTL_ERR_DATA, ""); /* no task has labels */
    mtl_dataset_destroy(d);
    ck_assert_ptr_null(r);
    ck_assert_uint_eq(model_hash(t.m), before);
    trained_free(&t);
}
END_TEST

START_TEST(metric_by_hand)
{
    const float p[] = {0.9f, 0.2f, 0.6f, 0.4f}, y[] = {1, 0, 0, NAN};
    double value, spread;
    done(mtl_metric("accuracy", 4, 1, p, 1, 1, y, 1, NULL, &value, &spread, err));
    assert_near(value, 2.0 / 3, 1e-12);
    const float v[] = {1, 2, 3, 4}, t[] = {1, 4, NAN, 3};
    done(mtl_metric("rmse", 4, 1, v, 1, 1, t, 1, NULL, &value, NULL, err));
    assert_near(value, sqrt(5.0 / 3), 1e-12);
    refused(mtl_metric("rsme", 4, 1, v, 1, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_NAME, "rsme");
    refused(mtl_metric(NULL, 4, 1, v, 1, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_INVALID,
            "name");
    refused(mtl_metric("rmse", -1, 1, v, 1, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_SHAPE, "-1");
    refused(mtl_metric("rmse", 4, 1, v, 0, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_SHAPE, "0");
    refused(mtl_metric("rmse", 4, 1, NULL, 1, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_INVALID,
            "predicted");
    refused(mtl_metric("rmse", 4, 1, v, 1, 1, t, 1, NULL, NULL, NULL, err), MTL_ERR_INVALID,
            "value");
    refused(mtl_metric("accuracy", 4, 1, p, 1, 1, t, 1, NULL, &value, NULL, err), MTL_ERR_VALUE,
            "");
    done(mtl_metric("rmse", 0, 1, NULL, 1, 1, NULL, 1, NULL, &value, NULL, err));
    ck_assert(isnan(value));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_predict_evaluate");
    add_case(s, "every kind of task and number of rows", kinds_and_shapes);
    add_case(s, "heads with own layers", own_layers);
    add_case(s, "probabilities for any size of outputs", extreme_outputs);
    add_case(s, "splits of the rows do not matter", batch_splits_do_not_matter);
    add_case(s, "threads and instruction sets do not matter", threads_and_levels_do_not_matter);
    add_case(s, "rows do not touch each other", rows_do_not_touch_each_other);
    add_case(s, "strides are kept", strides);
    add_case(s, "one task alone is its part of all", one_task);
    add_case(s, "arguments of predict", arguments_of_predict);
    add_case(s, "a fresh model predicts", a_fresh_model_predicts);
    add_case(s, "figures are those of mtl_metric", figures_are_those_of_the_metrics);
    add_case(s, "figures of few rows", figures_of_few_rows);
    add_case(s, "metrics are chosen by name", chosen_metrics);
    add_case(s, "every metric in one report", every_metric_in_one_report);
    add_case(s, "means over tasks", means_over_tasks);
    add_case(s, "confusion matrices", confusion_matrices);
    add_case(s, "many classes have no confusion matrix", many_classes_have_no_confusion_matrix);
    add_case(s, "lists of metrics are checked when set", lists_of_metrics_are_checked_when_set);
    add_case(s, "losses are those of the data", losses_of_evaluate);
    add_case(s, "undefined figures are NaN", undefined_figures);
    add_case(s, "arguments of evaluate", arguments_of_evaluate);
    add_case(s, "mtl_metric by hand", metric_by_hand);
    return run_suite(s);
}
