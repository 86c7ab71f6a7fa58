/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "../golden/transferability.h"
#include "rng/rng.h"
#include "score/score.h"

static mtl_error err;

static double score_of(const char *kind, int64_t rows, int64_t cols, const float *x,
                       int64_t classes, int64_t label_cols, const float *y)
{
    double score = 777;
    err = (mtl_error){0};
    mtl_status st = mtl_transferability(kind, rows, cols, x, cols, classes, label_cols, y,
                                        label_cols, &score, &err);
    ck_assert_msg(st == MTL_OK, "%s: %s", kind, err.message);
    ck_assert(score != 777);
    return score;
}

START_TEST(scores_are_those_worked_out_elsewhere)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(golden_scores); i++) {
        const struct golden_score *g = &golden_scores[i];
        const double score =
            score_of(g->kind, g->rows, g->cols, g->x, g->classes, g->label_cols, g->y);
        ck_assert_msg(fabs(score - g->value) <= 1e-6 * fmax(1, fabs(g->value)),
                      "%s of %d x %d, %d classes: %.12g, not %.12g", g->kind, g->rows, g->cols,
                      g->classes, score, g->value);
    }
}
END_TEST

static const char *const of_features[] = {"logme", "h_score", "transrate", "cv_probe"};
static const char *const of_predictions[] = {"leep", "nce"};

/* Features of three classes at a distance, by rows of probability for the rest. */
static void make(int64_t rows, int64_t cols, double distance, float *x, float *y)
{
    mtl__rng r = mtl__rng_make(5, 100, 0);
    for (int64_t i = 0; i < rows; i++) {
        y[i] = (float)(i % 3);
        for (int64_t j = 0; j < cols; j++)
            x[i * cols + j] = (float)(mtl__rng_normal(&r) + (j % 3 == i % 3 ? distance : 0));
    }
}

static void make_probabilities(int64_t rows, double distance, float *x, float *y)
{
    make(rows, 3, distance, x, y);
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int j = 0; j < 3; j++)
            sum += exp((double)x[i * 3 + j]);
        for (int j = 0; j < 3; j++)
            x[i * 3 + j] = (float)(exp((double)x[i * 3 + j]) / sum);
    }
}

START_TEST(features_that_tell_classes_apart_score_higher)
{
    static float x[90 * 7], y[90];
    for (int64_t k = 0; k < MTL__COUNT_OF(of_features); k++) {
        double last = -1e9;
        for (int distance = 0; distance <= 4; distance += 2) {
            make(90, 7, distance, x, y);
            const double score = score_of(of_features[k], 90, 7, x, 3, 1, y);
            ck_assert_msg(score > last, "%s: %g after %g", of_features[k], score, last);
            last = score;
        }
    }
    for (int64_t k = 0; k < MTL__COUNT_OF(of_predictions); k++) {
        double last = -1e9;
        for (int distance = 0; distance <= 4; distance += 2) {
            make_probabilities(90, distance, x, y);
            const double score = score_of(of_predictions[k], 90, 3, x, 3, 1, y);
            ck_assert(score > last && score <= 0);
            last = score;
        }
    }
}
END_TEST

START_TEST(a_source_class_without_mass_has_no_part)
{
    static float x[30 * 3], with_empty[30 * 4], y[30];
    make_probabilities(30, 1, x, y);
    for (int i = 0; i < 30; i++) {
        memcpy(with_empty + 4 * i, x + 3 * i, 3 * sizeof *x);
        with_empty[4 * i + 3] = 0;
    }
    for (int64_t k = 0; k < MTL__COUNT_OF(of_predictions); k++)
        ck_assert(score_of(of_predictions[k], 30, 3, x, 3, 1, y) ==
                  score_of(of_predictions[k], 30, 4, with_empty, 3, 1, y));
}
END_TEST

START_TEST(few_rows_have_finite_scores)
{
    static float x[6 * 50], y[6];
    for (int64_t rows = 2; rows <= 6; rows++)
        for (int64_t cols = 1; cols <= 50; cols += 7) {
            make(rows, cols, 1, x, y);
            for (int64_t k = 0; k < MTL__COUNT_OF(of_features); k++) {
                const double score = score_of(of_features[k], rows, cols, x, 3, 1, y);
                ck_assert_msg(isfinite(score), "%s of %lld x %lld: %g", of_features[k],
                              (long long)rows, (long long)cols, score);
            }
        }
}
END_TEST

START_TEST(an_exact_fit_has_a_finite_score)
{
    static float x[40 * 3], y[40], noise[40];
    make(40, 3, 0, x, y);
    mtl__rng r = mtl__rng_make(6, 100, 0);
    for (int i = 0; i < 40; i++) {
        noise[i] = (float)mtl__rng_normal(&r);
        y[i] = x[3 * i] - 2 * x[3 * i + 1];
    }
    const double exact = score_of("logme", 40, 3, x, 0, 1, y);
    ck_assert(isfinite(exact));
    /* ln of 1e3 per row, less than a unit for the rest. */
    ck_assert(exact > 4 && exact < 7);
    ck_assert(exact > score_of("logme", 40, 3, x, 0, 1, noise) + 3);
    assert_near(score_of("cv_probe", 40, 3, x, 0, 1, y), 1, 1e-6);
}
END_TEST

START_TEST(labels_that_do_not_vary_have_no_score)
{
    static float x[20 * 3], y[20], values[20 * 2];
    make_probabilities(20, 1, x, y);
    for (int i = 0; i < 20; i++) {
        values[2 * i] = 3;
        values[2 * i + 1] = y[i];
    }
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 20; i++)
            y[i] = value == 0 ? NAN : 1;
        for (int64_t k = 0; k < MTL__COUNT_OF(of_features); k++)
            ck_assert(isnan(score_of(of_features[k], 20, 3, x, 3, 1, y)));
        for (int64_t k = 0; k < MTL__COUNT_OF(of_predictions); k++)
            ck_assert(isnan(score_of(of_predictions[k], 20, 3, x, 3, 1, y)));
    }
    ck_assert(isnan(score_of("logme", 20, 3, x, 0, 1, y)));
    ck_assert(isnan(score_of("logme", 0, 3, NULL, 0, 1, NULL)));
    /* A constant column beside one that varies is left out. */
    for (int i = 0; i < 20; i++)
        y[i] = values[2 * i + 1];
    ck_assert(score_of("logme", 20, 3, x, 0, 2, values) == score_of("logme", 20, 3, x, 0, 1, y));
    ck_assert(score_of("cv_probe", 20, 3, x, 0, 2, values) ==
              score_of("cv_probe", 20, 3, x, 0, 1, y));
}
END_TEST

START_TEST(features_without_anything_score_as_none)
{
    static float x[30 * 4], y[30];
    make(30, 4, 1, x, y);
    for (int i = 0; i < 30 * 4; i++)
        x[i] = 2;
    ck_assert(score_of("h_score", 30, 4, x, 3, 1, y) == 0);
    ck_assert(score_of("transrate", 30, 4, x, 3, 1, y) == 0);
    assert_near(score_of("cv_probe:folds=3", 27, 4, x, 3, 1, y), -log(3), 1e-9);
    memset(x, 0, sizeof x);
    /* Each class as a column: ten ones of thirty, normal about 0. */
    assert_near(score_of("logme", 30, 4, x, 3, 1, y),
                -(log(2 * 3.14159265358979323846 / 3) + 1) / 2, 1e-12);
}
END_TEST

START_TEST(rows_without_label_have_no_part_and_strides_are_kept)
{
    static float x[40 * 5], y[40 * 2], less[40 * 3], less_y[40];
    make_probabilities(40, 1, less, less_y);
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j < 5; j++)
            x[5 * i + j] = j < 3 ? less[3 * i + j] : NAN;
        y[2 * i] = less_y[i];
        y[2 * i + 1] = NAN;
    }
    int n = 0;
    for (int i = 0; i < 40; i++) {
        if (i % 4 == 1) {
            y[2 * i] = NAN;
            x[5 * i] = NAN; /* not looked at */
            continue;
        }
        memcpy(less + 3 * n, x + 5 * i, 3 * sizeof *x);
        less_y[n++] = y[2 * i];
    }
    const char *const all[] = {"logme", "h_score", "transrate", "cv_probe", "leep", "nce"};
    for (int64_t k = 0; k < MTL__COUNT_OF(all); k++) {
        double score;
        assert_ok(mtl_transferability(all[k], 40, 3, x, 5, 3, 1, y, 2, &score, &err));
        ck_assert_msg(score == score_of(all[k], n, 3, less, 3, 1, less_y), "%s", all[k]);
    }
}
END_TEST

START_TEST(what_cannot_be_is_refused_by_name)
{
    float x[] = {0.5F, 0.5F, 0.25F, 0.75F}, y[] = {0, 1};
    double score = 5;
#define REFUSED(kind, rows, cols, x, stride, classes, label_cols, y, status, part)                 \
    assert_fails(mtl_transferability(kind, rows, cols, x, stride, classes, label_cols, y,          \
                                     label_cols, &score, &err),                                    \
                 status, &err, part)
    REFUSED(NULL, 2, 2, x, 2, 2, 1, y, MTL_ERR_INVALID, "kind");
    REFUSED("logmi", 2, 2, x, 2, 2, 1, y, MTL_ERR_NAME, "logme");
    REFUSED("h_score:shrinkage=2", 2, 2, x, 2, 2, 1, y, MTL_ERR_NAME, "shrinkage");
    REFUSED("logme", -1, 2, x, 2, 2, 1, y, MTL_ERR_SHAPE, "-1");
    REFUSED("logme", 2, 2, x, 1, 2, 1, y, MTL_ERR_SHAPE, "stride");
    REFUSED("logme", 2, 0, x, 2, 2, 1, y, MTL_ERR_SHAPE, "0 columns");
    REFUSED("logme", 2, 2, x, 2, 2, 2, y, MTL_ERR_SHAPE, "2 label columns");
    REFUSED("logme", 2, 2, x, 2, -1, 1, y, MTL_ERR_SHAPE, "-1 classes");
    REFUSED("logme", 2, 2, NULL, 2, 2, 1, y, MTL_ERR_INVALID, "x is NULL");
    REFUSED("logme", 2, 2, x, 2, 2, 1, NULL, MTL_ERR_INVALID, "label is NULL");
    static const char *const of_classes[] = {"h_score", "transrate", "leep", "nce"};
    for (int64_t k = 0; k < MTL__COUNT_OF(of_classes); k++)
        REFUSED(of_classes[k], 2, 2, x, 2, 0, 1, y, MTL_ERR_SHAPE, "wants classes");
    y[1] = 2;
    REFUSED("logme", 2, 2, x, 2, 2, 1, y, MTL_ERR_VALUE, "row 1, column 0 has label 2");
    y[1] = INFINITY;
    REFUSED("cv_probe", 2, 2, x, 2, 0, 1, y, MTL_ERR_VALUE, "row 1, column 0");
    y[1] = 1;
    x[3] = NAN;
    REFUSED("transrate", 2, 2, x, 2, 2, 1, y, MTL_ERR_VALUE, "row 1, column 1 is nan");
    x[3] = 1.5F;
    REFUSED("nce", 2, 2, x, 2, 2, 1, y, MTL_ERR_VALUE, "row 1, column 1 is 1.5, no probability");
    x[2] = x[3] = 0;
    REFUSED("leep", 2, 2, x, 2, 2, 1, y, MTL_ERR_VALUE, "row 1");
    assert_fails(mtl_transferability("logme", 2, 2, x, 2, 2, 1, y, 1, NULL, &err), MTL_ERR_INVALID,
                 &err, "score");
    ck_assert(score == 5);
}
END_TEST

/* Of one column, and of columns that are all alike, the covariance is what it is shrunk to. */
START_TEST(one_column_has_a_share_of_variance)
{
    static const float x[] = {1, 2, 5, 6, 1, 2, 5, 6}, y[] = {0, 0, 1, 1, 0, 0, 1, 1};
    assert_near(score_of("h_score", 8, 1, x, 2, 1, y), 4 / 4.25, 1e-12);
    ck_assert(score_of("h_score:shrinkage=1", 8, 1, x, 2, 1, y) == 0);
}
END_TEST

static mtl_status score_in(void *arg)
{
    static const char *const kinds[] = {"logme", "transrate", "leep", "cv_probe"};
    static float x[20 * 3], y[20];
    double score = 5;
    mtl_status st = MTL_OK;
    make_probabilities(20, 1, x, y);
    const mtl__score_args a = {20, 3, 3, 3, 1, 1, x, y, arg, NULL};
    for (int64_t k = 0; k < MTL__COUNT_OF(kinds) && st == MTL_OK; k++) {
        score = 5;
        st = mtl__score_compute(kinds[k], &a, &score, NULL);
    }
    ck_assert(st == MTL_OK || score == 5);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl__allocator al = test_allocator(&t);
    ck_assert_int_ge(sweep_allocations(&t, score_in, &al), 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transferability");
    add_case(s, "scores are those worked out elsewhere", scores_are_those_worked_out_elsewhere);
    add_case(s, "better features score higher", features_that_tell_classes_apart_score_higher);
    add_case(s, "a source class without mass", a_source_class_without_mass_has_no_part);
    add_case(s, "few rows", few_rows_have_finite_scores);
    add_case(s, "an exact fit", an_exact_fit_has_a_finite_score);
    add_case(s, "labels that do not vary", labels_that_do_not_vary_have_no_score);
    add_case(s, "features without anything", features_without_anything_score_as_none);
    add_case(s, "rows without label", rows_without_label_have_no_part_and_strides_are_kept);
    add_case(s, "one column", one_column_has_a_share_of_variance);
    add_case(s, "refusals", what_cannot_be_is_refused_by_name);
    add_case(s, "memory may fail", memory_may_fail_anywhere);
    return run_suite(s);
}
