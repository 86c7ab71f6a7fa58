/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "../golden/metrics.h"
#include "metric/metric.h"

/* Without top_k, which takes class numbers for several outputs only. */
#define OF_CLASSES                                                                                 \
    "accuracy", "balanced_accuracy", "f1", "f1:average=macro", "f1:average=micro",                 \
        "f1:average=weighted", "precision", "precision:average=macro", "recall",                   \
        "recall:average=weighted", "mcc", "roc_auc", "roc_auc:average=weighted",                   \
        "average_precision", "log_loss", "brier", "ece", "ece:bins=3"
#define OF_VALUES                                                                                  \
    "rmse", "relative_rmse", "mae", "median_error", "r2", "pinball:q=0.2", "poisson_deviance"
/* Those that have a standard error. */
#define WITH_ERROR                                                                                 \
    "accuracy", "balanced_accuracy", "f1", "precision", "recall", "mcc", "roc_auc", "log_loss",    \
        "brier", "rmse", "mae", "pinball:q=0.2", "poisson_deviance"

static mtl_error err;

static mtl__metric_args args_of(int64_t rows, int64_t outputs, const float *p, int64_t label_cols,
                                const float *y)
{
    return (mtl__metric_args){.rows = rows,
                              .outputs = outputs,
                              .predicted = p,
                              .predicted_stride = outputs,
                              .label_cols = label_cols,
                              .label = y,
                              .label_stride = label_cols,
                              .al = &mtl__allocator_default};
}

static double figure(const char *name, const mtl__metric_args *a, double *se)
{
    double value = 777;
    err = (mtl_error){0};
    mtl_status st = mtl__metric_compute(name, a, &value, se, &err);
    ck_assert_msg(st == MTL_OK, "%s: %s", name, err.message);
    return value;
}

/* ---- Against scikit-learn ---- */

static const struct golden_table {
    const char *data;
    const float *p, *y;
    int64_t cols, label_cols;
} golden_tables[] = {
    {"binary", golden_binary_p, golden_binary_y, 1, 1},
    {"classes", golden_classes_p, golden_classes_y, 4, 1},
    {"labels", golden_labels_p, golden_labels_y, 3, 3},
    {"values", golden_values_p, golden_values_y, 3, 3},
    {"counts", golden_counts_p, golden_counts_y, 2, 2},
};

/* The first columns of a golden table: its strides stay those of the whole. */
static mtl__metric_args golden_args(const struct golden_metric *g)
{
    const struct golden_table *t = golden_tables;
    while (strcmp(t->data, g->data) != 0)
        t++;
    mtl__metric_args a = args_of(GOLDEN_ROWS, g->outputs, t->p, g->label_cols, t->y);
    a.predicted_stride = t->cols;
    a.label_stride = t->label_cols;
    a.weight = g->is_weighted ? golden_weight : NULL;
    return a;
}

START_TEST(figures_equal_those_of_scikit_learn)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(golden_metrics); i++) {
        const struct golden_metric *g = &golden_metrics[i];
        mtl__metric_args a = golden_args(g);
        double se, value = figure(g->metric, &a, &se);
        ck_assert_msg(fabs(value - g->value) < 1e-9 * fmax(1, fabs(g->value)),
                      "%s of %s, weighted %d: %.17g, not %.17g", g->metric, g->data, g->is_weighted,
                      value, g->value);
        if (!isnan(g->standard_error))
            ck_assert_msg(fabs(se - g->standard_error) < 1e-9,
                          "standard error of %s of %s: %.17g, not %.17g", g->metric, g->data, se,
                          g->standard_error);
    }
}
END_TEST

/* ---- Decisions and ties ---- */

START_TEST(half_decides_for_class_0)
{
    const float p[] = {0.5f, 0.5000001f}, y[] = {0, 1};
    mtl__metric_args a = args_of(2, 1, p, 1, y);
    ck_assert(figure("accuracy", &a, NULL) == 1);
    ck_assert(figure("f1", &a, NULL) == 1);
}
END_TEST

START_TEST(of_equal_classes_the_first_is_decided_for)
{
    const float p[] = {0.2f, 0.4f, 0.4f}, y[] = {1};
    mtl__metric_args a = args_of(1, 3, p, 1, y);
    ck_assert(figure("accuracy", &a, NULL) == 1);
}
END_TEST

START_TEST(equal_scores_count_half_in_auc)
{
    const float same[] = {0.3f, 0.3f, 0.3f}, zeros[] = {0.0f, -0.0f, -1}, y[] = {1, 0, 0};
    mtl__metric_args a = args_of(3, 1, same, 1, y);
    ck_assert(figure("roc_auc", &a, NULL) == 0.5);
    a.predicted = zeros;
    ck_assert(figure("roc_auc", &a, NULL) == 0.75);
}
END_TEST

START_TEST(auc_takes_any_score)
{
    const float p[] = {-1e30f, 4, INFINITY, -INFINITY}, y[] = {0, 1, 1, 0};
    mtl__metric_args a = args_of(4, 1, p, 1, y);
    ck_assert(figure("roc_auc", &a, NULL) == 1);
}
END_TEST

/* ---- Missing labels and weights ---- */

START_TEST(a_row_without_label_is_as_good_as_gone)
{
    static const char *const names[] = {OF_CLASSES};
    const float p[] = {0.9f, NAN, 0.2f, 7, 0.6f, 0.3f}, y[] = {1, NAN, 0, NAN, 0, 1};
    const float q[] = {0.9f, 0.2f, 0.6f, 0.3f}, z[] = {1, 0, 0, 1};
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++) {
        double se[2];
        mtl__metric_args a = args_of(6, 1, p, 1, y), b = args_of(4, 1, q, 1, z);
        ck_assert(figure(names[i], &a, &se[0]) == figure(names[i], &b, &se[1]));
        ck_assert(se[0] == se[1] || (isnan(se[0]) && isnan(se[1])));
    }
}
END_TEST

START_TEST(a_row_of_weight_2_counts_as_two)
{
    static const char *const names[] = {OF_CLASSES};
    static const char *const values[] = {OF_VALUES};
    const float p[] = {0.9f, 0.2f, 0.6f, 0.3f, 0.5f}, y[] = {1, 0, 0, 1, 0};
    const float w[] = {2, 1, 1, 1, 0};
    const float q[] = {0.9f, 0.9f, 0.2f, 0.6f, 0.3f}, z[] = {1, 1, 0, 0, 1};
    mtl__metric_args a = args_of(5, 1, p, 1, y), b = args_of(5, 1, q, 1, z);
    a.weight = w;
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++)
        assert_near(figure(names[i], &a, NULL), figure(names[i], &b, NULL), 1e-15);
    for (int64_t i = 0; i < MTL__COUNT_OF(values); i++)
        assert_near(figure(values[i], &a, NULL), figure(values[i], &b, NULL), 1e-15);
}
END_TEST

/* ---- Standard errors ---- */

/* All weights 3 is the same as all weights 1. */
START_TEST(standard_errors_do_not_depend_on_the_scale_of_weights)
{
    static const char *const names[] = {WITH_ERROR};
    const float p[] = {0.9f, 0.2f, 0.6f, 0.3f, 0.7f}, y[] = {1, 0, 0, 1, 1}, w[] = {3, 3, 3, 3, 3};
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++) {
        double one, three;
        mtl__metric_args a = args_of(5, 1, p, 1, y);
        figure(names[i], &a, &one);
        a.weight = w;
        figure(names[i], &a, &three);
        ck_assert(one > 0);
        assert_near(three, one, 1e-14);
    }
}
END_TEST

/* A column that stands there twice tells nothing new: the labels of a row are not independent. */
START_TEST(a_column_twice_leaves_the_standard_error)
{
    static const char *const names[] = {WITH_ERROR};
    const float p[] = {0.9f, 0.2f, 0.6f, 0.3f, 0.7f}, y[] = {1, 0, 0, 1, 1};
    float p2[10], y2[10];
    for (int i = 0; i < 10; i++) {
        p2[i] = p[i / 2];
        y2[i] = y[i / 2];
    }
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++) {
        double one, two;
        mtl__metric_args a = args_of(5, 1, p, 1, y), b = args_of(5, 2, p2, 2, y2);
        assert_near(figure(names[i], &b, &two), figure(names[i], &a, &one), 1e-15);
        assert_near(two, one, 1e-15);
    }
}
END_TEST

/* ---- Undefined ---- */

START_TEST(undefined_figures_are_nan)
{
    const float p[] = {0.1f, 0.2f, 0.3f}, none[] = {0, 0, 0}, missing[] = {NAN, NAN, NAN};
    const float zero[] = {0, 0, 0}, half[] = {0.5f, 0.5f, 0.5f};
    static const char *const all[] = {OF_CLASSES, OF_VALUES};
    static const char *const of_one_class[] = {"balanced_accuracy",
                                               "mcc",
                                               "roc_auc",
                                               "recall",
                                               "precision",
                                               "average_precision",
                                               "average_precision:average=weighted"};
    double se = 1;
    mtl__metric_args a = args_of(3, 1, p, 1, none);
    ck_assert(isnan(figure("f1", &a, &se)) && isnan(se));
    for (int64_t i = 0; i < MTL__COUNT_OF(of_one_class); i++) {
        se = 1;
        ck_assert(isnan(figure(of_one_class[i], &a, &se)) && isnan(se));
    }
    a.label = half;
    ck_assert(isnan(figure("r2", &a, &se)) && isnan(se));
    ck_assert(isnan(figure("relative_rmse", &a, &se)) && isnan(se));
    for (int64_t i = 0; i < MTL__COUNT_OF(all); i++) {
        a = args_of(3, 1, p, 1, missing);
        ck_assert(isnan(figure(all[i], &a, &se)) && isnan(se));
        a = args_of(0, 1, NULL, 1, NULL);
        ck_assert(isnan(figure(all[i], &a, &se)) && isnan(se));
        a = args_of(3, 1, p, 1, none);
        a.weight = zero;
        ck_assert(isnan(figure(all[i], &a, &se)) && isnan(se));
    }
}
END_TEST

/* Weights that do not add up exactly must not make a decision that is always the same look
 * otherwise. */
START_TEST(one_decision_has_no_correlation)
{
    float p[99], y[99], w[99];
    for (int i = 0; i < 99; i++) {
        p[i] = 0.9f;
        y[i] = (float)(i % 3 == 0);
        w[i] = 1 / (3 + (float)i);
    }
    mtl__metric_args a = args_of(99, 1, p, 1, y);
    a.weight = w;
    ck_assert(isnan(figure("mcc", &a, NULL)));
    a.predicted = y;
    a.label = p;
    for (int i = 0; i < 99; i++)
        p[i] = 1;
    ck_assert(isnan(figure("mcc", &a, NULL)));
    ck_assert(isnan(figure("balanced_accuracy", &a, NULL)));
    a.label = y;
    assert_near(figure("mcc", &a, NULL), 1, 1e-15);
}
END_TEST

/* A class that nothing is decided for has no precision, and one without rows no recall. */
START_TEST(classes_without_figure_stay_out_of_means)
{
    const float p[] = {1, 0, 0, 1, 0, 0, 0, 1, 0}, y[] = {0, 1, 1};
    mtl__metric_args a = args_of(3, 3, p, 1, y);
    ck_assert(figure("precision", &a, NULL) == 0.75);
    ck_assert(figure("recall", &a, NULL) == 0.75);
    ck_assert(figure("balanced_accuracy", &a, NULL) == 0.75);
    const float z[] = {0, 2, 1};
    a.label = z;
    ck_assert(figure("precision", &a, NULL) == 0.75);
    assert_near(figure("recall", &a, NULL), 2.0 / 3, 1e-15);
    assert_near(figure("precision:average=weighted", &a, NULL), 0.75, 1e-15);
}
END_TEST

START_TEST(a_rate_that_cannot_be_has_no_deviance)
{
    const float p[] = {1, 2, 0, 2}, y[] = {1, 3, NAN, -1}, w[] = {1, 1, 1, 0};
    double se;
    mtl__metric_args a = args_of(3, 1, p, 1, y);
    ck_assert(isfinite(figure("poisson_deviance", &a, &se)) && isfinite(se));
    a.rows = 4;
    ck_assert(isnan(figure("poisson_deviance", &a, &se)) && isnan(se));
    a.weight = w;
    ck_assert(isfinite(figure("poisson_deviance", &a, NULL)));
    a = args_of(2, 1, p + 2, 1, y);
    ck_assert(isnan(figure("poisson_deviance", &a, NULL)));
}
END_TEST

/* One column with a rate that cannot be leaves no figure: to judge by the others would hide it. */
START_TEST(no_column_without_deviance_is_passed_over)
{
    const float p[] = {1, 0, 2, 1}, y[] = {1, 1, 3, 1};
    mtl__metric_args a = args_of(2, 2, p, 2, y);
    ck_assert(isnan(figure("poisson_deviance", &a, NULL)));
}
END_TEST

START_TEST(the_median_halves_the_weight)
{
    const float p[] = {0, 0, 0, 0}, y[] = {1, -2, 4, -8}, w[] = {1, 1, 1, 4}, v[] = {1, 0, 2, 0};
    mtl__metric_args a = args_of(4, 1, p, 1, y);
    ck_assert(figure("median_error", &a, NULL) == 3);
    a.rows = 3;
    ck_assert(figure("median_error", &a, NULL) == 2);
    a.rows = 1;
    ck_assert(figure("median_error", &a, NULL) == 1);
    a.rows = 4;
    a.weight = w;
    ck_assert(figure("median_error", &a, NULL) == 8);
    a.weight = v;
    ck_assert(figure("median_error", &a, NULL) == 4);
}
END_TEST

START_TEST(of_equal_probabilities_the_last_are_on_top)
{
    const float p[] = {0.25f, 0.25f, 0.25f, 0.25f}, y[] = {2};
    mtl__metric_args a = args_of(1, 4, p, 1, y);
    ck_assert(figure("top_k:k=1", &a, NULL) == 0);
    ck_assert(figure("top_k:k=2", &a, NULL) == 1);
}
END_TEST

/* All rows of one score: the precision is the share of positives, whatever their order. */
START_TEST(equal_scores_are_one_step_of_precision)
{
    const float p[] = {0.5f, 0.5f, 0.5f, 0.5f}, y[] = {1, 0, 0, 0}, z[] = {0, 0, 0, 1};
    const float all[] = {1, 1, 1, 1};
    mtl__metric_args a = args_of(4, 1, p, 1, y);
    ck_assert(figure("average_precision", &a, NULL) == 0.25);
    a.label = z;
    ck_assert(figure("average_precision", &a, NULL) == 0.25);
    a.label = all;
    ck_assert(figure("average_precision", &a, NULL) == 1);
}
END_TEST

/* Two classes are one probability: the figure must not know how many outputs tell it. */
START_TEST(two_outputs_judge_like_one)
{
    const float p[] = {0.9f, 0.25f, 0.625f}, y[] = {1, 0, 0};
    float q[6];
    for (int i = 0; i < 3; i++) {
        q[2 * i] = 1 - p[i];
        q[2 * i + 1] = p[i];
    }
    static const char *const names[] = {"accuracy", "brier", "f1", "precision", "mcc", "roc_auc"};
    mtl__metric_args a = args_of(3, 1, p, 1, y), b = args_of(3, 2, q, 1, y);
    for (int64_t i = 0; i < MTL__COUNT_OF(names); i++)
        assert_near(figure(names[i], &a, NULL), figure(names[i], &b, NULL), 1e-7);
}
END_TEST

START_TEST(bins_end_with_their_upper_edge)
{
    const float p[] = {0, 0.5f, 0.5f, 0.75f, 1}, y[] = {0, 1, 0, 1, 1};
    mtl__metric_args a = args_of(5, 1, p, 1, y);
    /* (0, 0.5]: 0, 0.5, 0.5 of which one came true; (0.5, 1]: 0.75 and 1, both. */
    assert_near(figure("ece:bins=2", &a, NULL), 0.25 / 5, 1e-15);
}
END_TEST

/* A weighted mean of equal labels is rounded, and a naive spread is not 0. */
START_TEST(equal_labels_have_no_r2)
{
    float p[99], y[99], w[99];
    for (int i = 0; i < 99; i++) {
        p[i] = 0.2f;
        y[i] = 0.1f;
        w[i] = 1 / (3 + (float)i);
    }
    mtl__metric_args a = args_of(99, 1, p, 1, y);
    ck_assert(isnan(figure("r2", &a, NULL)));
    a.weight = w;
    ck_assert(isnan(figure("r2", &a, NULL)));
}
END_TEST

START_TEST(undefined_columns_stay_out_of_means)
{
    const float p[] = {0.9f, 0.1f, 0.2f, 0.3f, 0.4f, 0.2f}, y[] = {1, 0, 0, 0, 1, 0};
    const float q[] = {0.9f, 0.2f, 0.4f}, z[] = {1, 0, 1};
    mtl__metric_args a = args_of(3, 2, p, 2, y), b = args_of(3, 1, q, 1, z);
    ck_assert(figure("roc_auc", &a, NULL) == figure("roc_auc", &b, NULL));
    ck_assert(figure("f1", &a, NULL) == figure("f1", &b, NULL));
    ck_assert(figure("r2", &a, NULL) < 1);
}
END_TEST

START_TEST(one_row_has_no_sample_error)
{
    const float p[] = {0.9f}, y[] = {1};
    double se;
    mtl__metric_args a = args_of(1, 1, p, 1, y);
    ck_assert(figure("accuracy", &a, &se) == 1 && se == 0);
    figure("log_loss", &a, &se);
    ck_assert(isnan(se));
    figure("rmse", &a, &se);
    ck_assert(isnan(se));
}
END_TEST

/* ---- Refusals ---- */

START_TEST(wrong_arguments_are_refused_with_figures)
{
    const float p[] = {0.1f, 0.2f, 0.3f, 0.4f}, y[] = {0, 1, 2, 0.5f}, bad[] = {1, INFINITY, 1, 1};
    const float nan_p[] = {0.1f, NAN, 0.3f, 0.4f}, w[] = {1, 1, -2, 1}, logit[] = {0, 1, 1.5f, 0};
    double v = 777, se = 777;
    mtl__metric_args a = args_of(2, 1, p, 1, y);
    assert_fails(mtl__metric_compute("acuracy", &a, &v, &se, &err), MTL_ERR_NAME, &err, "accuracy");
    assert_fails(mtl__metric_compute("f1:average=mean", &a, &v, &se, &err), MTL_ERR_NAME, &err,
                 "macro");
    a.rows = 4;
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "row 2");
    a = args_of(2, 2, p, 1, y + 1);
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "row 1");
    a.label = y + 2;
    a.rows = 1;
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_VALUE, &err,
                 "label 2");
    a = args_of(2, 1, nan_p, 1, y);
    assert_fails(mtl__metric_compute("rmse", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "row 1");
    a = args_of(2, 1, p, 1, bad);
    assert_fails(mtl__metric_compute("mae", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "inf");
    a = args_of(3, 1, p, 1, p);
    a.weight = w;
    assert_fails(mtl__metric_compute("r2", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "-2");
    a.weight = bad;
    assert_fails(mtl__metric_compute("r2", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "row 1 has");
    a = args_of(2, 2, p, 1, y);
    assert_fails(mtl__metric_compute("rmse", &a, &v, &se, &err), MTL_ERR_SHAPE, &err, "2 outputs");
    a = args_of(1, 3, p, 2, y);
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_SHAPE, &err, "3 outp");
    a = args_of(1, 3, p, 1, y);
    assert_fails(mtl__metric_compute("f1:average=binary", &a, &v, &se, &err), MTL_ERR_SHAPE, &err,
                 "3 outputs");
    assert_fails(mtl__metric_compute("precision:average=binary", &a, &v, &se, &err), MTL_ERR_SHAPE,
                 &err, "precision");
    a.predicted_stride = 2;
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_SHAPE, &err, "stride");
    a = args_of(2, 1, NULL, 1, y);
    assert_fails(mtl__metric_compute("accuracy", &a, &v, &se, &err), MTL_ERR_INVALID, &err, "NULL");
    a = args_of(4, 1, logit, 1, bad + 2);
    a.rows = 2;
    a.predicted = logit + 2;
    assert_fails(mtl__metric_compute("log_loss", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "1.5");
    assert_fails(mtl__metric_compute("brier", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "1.5");
    assert_fails(mtl__metric_compute("ece", &a, &v, &se, &err), MTL_ERR_VALUE, &err, "ece");
    assert_fails(mtl__metric_compute("top_k", &a, &v, &se, &err), MTL_ERR_SHAPE, &err, "top_k");
    a = args_of(1, 3, p, 3, y);
    assert_fails(mtl__metric_compute("top_k", &a, &v, &se, &err), MTL_ERR_SHAPE, &err, "3 outputs");
    static const char *const bad_names[] = {"ece:bins=2.5",
                                            "ece:bins=0",
                                            "ece:bins=1e9",
                                            "top_k:k=0",
                                            "top_k:k=1.5",
                                            "roc_auc:average=micro",
                                            "pinball:q=1.1",
                                            "pinball:q=nan",
                                            "mcc:k=1",
                                            "auto",
                                            ""};
    for (int64_t i = 0; i < MTL__COUNT_OF(bad_names); i++)
        assert_fails(mtl__metric_compute(bad_names[i], &a, &v, &se, &err), MTL_ERR_NAME, &err, "");
    ck_assert(v == 777 && se == 777); /* written on success only */
}
END_TEST

/* ---- Memory ---- */

static mtl_status every_metric(void *arg)
{
    static const char *const names[] = {OF_CLASSES, OF_VALUES};
    const float p[] = {0.9f, 0.2f, 0.6f, 0.3f}, y[] = {1, 0, 0, 1};
    mtl__metric_args a = args_of(4, 1, p, 1, y);
    const mtl__allocator al = test_allocator(arg);
    mtl_status st = MTL_OK;
    a.al = &al;
    for (int64_t i = 0; i < MTL__COUNT_OF(names) && st == MTL_OK; i++) {
        double v = 777;
        st = mtl__metric_compute(names[i], &a, &v, NULL, NULL);
        ck_assert((st == MTL_OK) == (v != 777));
    }
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    ck_assert_int_ge(sweep_allocations(&t, every_metric, &t), 24);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metric");
    add_case(s, "figures equal those of scikit-learn", figures_equal_those_of_scikit_learn);
    add_case(s, "half decides for class 0", half_decides_for_class_0);
    add_case(s, "of equal classes the first is decided for",
             of_equal_classes_the_first_is_decided_for);
    add_case(s, "equal scores count half in AUC", equal_scores_count_half_in_auc);
    add_case(s, "AUC takes any score", auc_takes_any_score);
    add_case(s, "a row without label is as good as gone", a_row_without_label_is_as_good_as_gone);
    add_case(s, "a row of weight 2 counts as two", a_row_of_weight_2_counts_as_two);
    add_case(s, "standard errors do not depend on the scale of weights",
             standard_errors_do_not_depend_on_the_scale_of_weights);
    add_case(s, "a column twice leaves the standard error",
             a_column_twice_leaves_the_standard_error);
    add_case(s, "undefined figures are NaN", undefined_figures_are_nan);
    add_case(s, "one decision has no correlation", one_decision_has_no_correlation);
    add_case(s, "classes without a figure stay out of means",
             classes_without_figure_stay_out_of_means);
    add_case(s, "a rate that cannot be has no deviance", a_rate_that_cannot_be_has_no_deviance);
    add_case(s, "no column without a deviance is passed over",
             no_column_without_deviance_is_passed_over);
    add_case(s, "the median halves the weight", the_median_halves_the_weight);
    add_case(s, "of equal probabilities the last are on top",
             of_equal_probabilities_the_last_are_on_top);
    add_case(s, "equal scores are one step of precision", equal_scores_are_one_step_of_precision);
    add_case(s, "two outputs judge like one", two_outputs_judge_like_one);
    add_case(s, "bins end with their upper edge", bins_end_with_their_upper_edge);
    add_case(s, "equal labels have no R2", equal_labels_have_no_r2);
    add_case(s, "undefined columns stay out of means", undefined_columns_stay_out_of_means);
    add_case(s, "one row has no sample error", one_row_has_no_sample_error);
    add_case(s, "wrong arguments are refused with figures",
             wrong_arguments_are_refused_with_figures);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
