/* SPDX-License-Identifier: MIT */
/* Groups spec and model: names, shapes, tensors, freezing, copies, refusals. */
#include "api_testing.h"

static mtl_spec *spec_of(int64_t inputs)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, inputs, &s, err));
    return s;
}

static mtl_model *model_of(const mtl_spec *s)
{
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    return m;
}

/* ---- spec ------------------------------------------------------------------------------------ */

START_TEST(spec_sizes)
{
    mtl_spec *s = NULL;
    refused(mtl_spec_create(NULL, 0, &s, err), MTL_ERR_RANGE, "0");
    refused(mtl_spec_create(NULL, -1, &s, err), MTL_ERR_RANGE, "-1");
    refused(mtl_spec_create(NULL, 16777217, &s, err), MTL_ERR_RANGE, "16777217");
    refused(mtl_spec_create(NULL, INT64_MAX, &s, err), MTL_ERR_RANGE, "");
    refused(mtl_spec_create(NULL, 3, NULL, err), MTL_ERR_INVALID, "out");
    ck_assert_ptr_null(s);
    s = spec_of(16777216);
    refused(mtl_spec_add_dense(s, 0, "relu", err), MTL_ERR_RANGE, "0");
    refused(mtl_spec_add_dense(s, -5, "relu", err), MTL_ERR_RANGE, "-5");
    refused(mtl_spec_add_dense(s, 16777217, "relu", err), MTL_ERR_RANGE, "16777217");
    refused(mtl_spec_add_dense(s, 4, "rleu", err), MTL_ERR_RANGE, "relu");
    refused(mtl_spec_add_dense(s, 4, "", err), MTL_ERR_RANGE, "");
    refused(mtl_spec_add_dense(s, 4, NULL, err), MTL_ERR_INVALID, "activation");
    refused(mtl_spec_add_dense(NULL, 4, "relu", err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_add_dropout(s, 1, err), MTL_ERR_RANGE, "1");
    refused(mtl_spec_add_dropout(s, -0.1, err), MTL_ERR_RANGE, "-0.1");
    refused(mtl_spec_add_dropout(s, NAN, err), MTL_ERR_RANGE, "");
    refused(mtl_spec_add_dropout(NULL, 0.5, err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_set_initializer(s, "xavier", err), MTL_ERR_RANGE, "xavier");
    refused(mtl_spec_set_initializer(s, NULL, err), MTL_ERR_INVALID, "name");
    mtl_spec_destroy(s);
    mtl_spec_destroy(NULL);
}
END_TEST

START_TEST(spec_tasks)
{
    mtl_spec *s = spec_of(3);
    refused(mtl_spec_add_task(s, "", MTL_BINARY, 1, err), MTL_ERR_NAME, "");
    refused(mtl_spec_add_task(s, NULL, MTL_BINARY, 1, err), MTL_ERR_INVALID, "name");
    refused(mtl_spec_add_task(NULL, "a", MTL_BINARY, 1, err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_add_task(s, "a", 0, 1, err), MTL_ERR_RANGE, "a");
    refused(mtl_spec_add_task(s, "a", 7, 1, err), MTL_ERR_RANGE, "7");
    refused(mtl_spec_add_task(s, "a", MTL_BINARY, 2, err), MTL_ERR_RANGE, "2");
    refused(mtl_spec_add_task(s, "a", MTL_BINARY, 0, err), MTL_ERR_RANGE, "0");
    refused(mtl_spec_add_task(s, "a", MTL_MULTICLASS, 1, err), MTL_ERR_RANGE, "1");
    refused(mtl_spec_add_task(s, "a", MTL_MULTILABEL, 0, err), MTL_ERR_RANGE, "0");
    refused(mtl_spec_add_task(s, "a", MTL_REGRESSION, -1, err), MTL_ERR_RANGE, "-1");
    done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
    refused(mtl_spec_add_task(s, "a", MTL_REGRESSION, 1, err), MTL_ERR_NAME, "\"a\"");
    char name[] = "b";
    done(mtl_spec_add_task(s, name, MTL_REGRESSION, 2, err));
    name[0] = 'x'; /* names are copied */
    mtl_model *m = model_of(s);
    ck_assert_str_eq(mtl_model_task_name(m, 1), "b");
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(spec_task_settings)
{
    mtl_spec *s = spec_of(3);
    done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
    refused(mtl_spec_task_set_f64(s, "b", "weight", 1, err), MTL_ERR_NAME, "\"b\"");
    refused(mtl_spec_task_set_f64(s, "a", "wieght", 1, err), MTL_ERR_KEY, "weight");
    refused(mtl_spec_task_set_f64(s, "a", "weight", -1, err), MTL_ERR_RANGE, "weight");
    refused(mtl_spec_task_set_f64(s, "a", "weight", NAN, err), MTL_ERR_RANGE, "weight");
    refused(mtl_spec_task_set_str(s, "a", "weight", "1", err), MTL_ERR_TYPE, "weight");
    refused(mtl_spec_task_set_f64(s, "a", "head", 1, err), MTL_ERR_TYPE, "head");
    refused(mtl_spec_task_set_i64(s, "a", "loss", 1, err), MTL_ERR_TYPE, "loss");
    refused(mtl_spec_task_set_str(s, "a", "loss", "squared_error", err), MTL_ERR_RANGE, "\"a\"");
    refused(mtl_spec_task_set_str(s, "a", "loss", "squarederror", err), MTL_ERR_RANGE, "squared");
    refused(mtl_spec_task_set_str(s, "a", "head", NULL, err), MTL_ERR_INVALID, "value");
    static const char *const bad_heads[] = {"8",         "8:",       ":relu",     "8:relu,,4:relu",
                                            "0:relu",    "-1:relu",  "8:rule",    "8 :relu",
                                            "8:relu,4",  "1e3:relu", "8:relu;4:relu",
                                            "99999999999999999999:relu", "8:relu,"};
    for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++)
        refused(mtl_spec_task_set_str(s, "a", "head", bad_heads[i], err), MTL_ERR_RANGE, "");
    done(mtl_spec_task_set_i64(s, "a", "weight", 2, err));
    done(mtl_spec_task_set_f64(s, "a", "weight", 0.5, err));
    done(mtl_spec_task_set_str(s, "a", "loss", "binary_cross_entropy", err));
    done(mtl_spec_task_set_str(s, "a", "head", "8:relu,4:tanh", err));
    done(mtl_spec_task_set_str(s, "a", "head", "5:tanh", err)); /* replaces */
    mtl_model *m = model_of(s);
    ck_assert_int_eq(mtl_model_tensor_count(m), 4);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* ---- model ----------------------------------------------------------------------------------- */

START_TEST(tensors_by_name)
{
    static const struct {
        const char *name;
        int64_t rank, shape[2];
    } expected[] = {
        {"trunk.0.weight", 2, {6, 12}},     {"trunk.0.bias", 1, {12, 0}},
        {"trunk.1.weight", 2, {12, 7}},     {"trunk.1.bias", 1, {7, 0}},
        {"head.fails.weight", 2, {7, 1}},   {"head.fails.bias", 1, {1, 0}},
        {"tower0.tags.weight", 2, {7, 5}},  {"tower0.tags.bias", 1, {5, 0}},
        {"head.tags.weight", 2, {5, 2}},    {"head.tags.bias", 1, {2, 0}},
        {"head.grade.weight", 2, {7, 3}},   {"head.grade.bias", 1, {3, 0}},
        {"head.hours.weight", 2, {7, 2}},   {"head.hours.bias", 1, {2, 0}},
    };
    const int64_t count = sizeof expected / sizeof *expected;
    mtl_model *m = problem_model(NULL);
    ck_assert_int_eq(mtl_model_tensor_count(m), count);
    for (int64_t i = 0; i < count; i++) {
        const char *name;
        int64_t rank;
        const int64_t *shape;
        done(mtl_model_tensor_info(m, i, &name, &rank, &shape, err));
        ck_assert_str_eq(name, expected[i].name);
        ck_assert_int_eq(rank, expected[i].rank);
        for (int64_t d = 0; d < rank; d++)
            ck_assert_int_eq(shape[d], expected[i].shape[d]);
    }
    done(mtl_model_tensor_info(m, 0, NULL, NULL, NULL, err));
    refused(mtl_model_tensor_info(m, count, NULL, NULL, NULL, err), MTL_ERR_RANGE, "14");
    refused(mtl_model_tensor_info(m, -1, NULL, NULL, NULL, err), MTL_ERR_RANGE, "-1");
    refused(mtl_model_tensor_info(NULL, 0, NULL, NULL, NULL, err), MTL_ERR_INVALID, "model");
    mtl_model_destroy(m);
}
END_TEST

START_TEST(trunk_numbers_skip_dropout)
{
    mtl_spec *s = spec_of(3);
    const char *name;
    done(mtl_spec_add_dropout(s, 0.2, err));
    done(mtl_spec_add_dense(s, 4, "relu", err));
    done(mtl_spec_add_dropout(s, 0.5, err));
    done(mtl_spec_add_dense(s, 2, "relu", err));
    done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
    mtl_model *m = model_of(s);
    ck_assert_int_eq(mtl_model_tensor_count(m), 6);
    done(mtl_model_tensor_info(m, 2, &name, NULL, NULL, err));
    ck_assert_str_eq(name, "trunk.1.weight");
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(figures)
{
    mtl_model *m = problem_model(NULL);
    ck_assert_int_eq(mtl_model_inputs(m), 6);
    ck_assert_int_eq(mtl_model_outputs(m), 8);
    ck_assert_int_eq(mtl_model_task_count(m), 4);
    ck_assert_str_eq(mtl_model_task_name(m, 1), "tags");
    ck_assert_int_eq(mtl_model_task_index(m, "grade"), 2);
    ck_assert_int_eq(mtl_model_task_index(m, "Grade"), -1);
    ck_assert_int_eq(mtl_model_task_index(m, NULL), -1);
    ck_assert_int_eq(mtl_model_task_kind(m, 1), MTL_MULTILABEL);
    ck_assert_int_eq(mtl_model_task_outputs(m, 2), 3);
    ck_assert_ptr_null(mtl_model_task_name(m, 4));
    ck_assert_ptr_null(mtl_model_task_name(m, -1));
    ck_assert_int_eq(mtl_model_task_kind(m, 4), 0);
    ck_assert_int_eq(mtl_model_task_outputs(m, -1), 0);
    ck_assert_int_eq(mtl_model_inputs(NULL) + mtl_model_outputs(NULL), 0);
    ck_assert_int_eq(mtl_model_task_count(NULL) + mtl_model_tensor_count(NULL), 0);
    ck_assert_int_eq(mtl_model_task_index(NULL, "a"), -1);
    ck_assert_ptr_null(mtl_model_task_name(NULL, 0));
    ck_assert_int_eq(mtl_model_task_kind(NULL, 0), 0);
    ck_assert_int_eq(mtl_model_task_outputs(NULL, 0), 0);
    mtl_model_destroy(m);
    mtl_model_destroy(NULL);
}
END_TEST

START_TEST(tensor_get_and_set)
{
    mtl_model *m = problem_model(NULL);
    float w[84], back[84], before[84];
    for (int i = 0; i < 84; i++)
        w[i] = (float)i / 7;
    /* A plain head is a slice of one matrix: its neighbours must not move. */
    float grade[21], fails[7], fails_after[7], hours[14], hours_after[14];
    done(mtl_model_tensor_get(m, "head.fails.weight", 7, fails, err));
    done(mtl_model_tensor_get(m, "head.hours.weight", 14, hours, err));
    for (int i = 0; i < 21; i++)
        grade[i] = (float)(100 + i);
    done(mtl_model_tensor_set(m, "head.grade.weight", 21, grade, err));
    done(mtl_model_tensor_get(m, "head.grade.weight", 21, back, err));
    assert_same_bits(back, grade, 21);
    done(mtl_model_tensor_get(m, "head.fails.weight", 7, fails_after, err));
    done(mtl_model_tensor_get(m, "head.hours.weight", 14, hours_after, err));
    assert_same_bits(fails_after, fails, 7);
    assert_same_bits(hours_after, hours, 14);

    done(mtl_model_tensor_get(m, "trunk.1.weight", 84, before, err));
    refused(mtl_model_tensor_set(m, "trunk.1.weight", 83, w, err), MTL_ERR_SHAPE, "84");
    refused(mtl_model_tensor_get(m, "trunk.1.weight", 85, back, err), MTL_ERR_SHAPE, "85");
    refused(mtl_model_tensor_set(m, "trunk.2.weight", 84, w, err), MTL_ERR_NAME, "trunk.2.weight");
    refused(mtl_model_tensor_get(m, "trunk.1", 84, back, err), MTL_ERR_NAME, "trunk.1");
    refused(mtl_model_tensor_get(m, NULL, 84, back, err), MTL_ERR_INVALID, "name");
    refused(mtl_model_tensor_get(m, "trunk.1.weight", 84, NULL, err), MTL_ERR_INVALID, "out");
    refused(mtl_model_tensor_set(m, "trunk.1.weight", 84, NULL, err), MTL_ERR_INVALID, "values");
    w[83] = INFINITY;
    refused(mtl_model_tensor_set(m, "trunk.1.weight", 84, w, err), MTL_ERR_VALUE, "trunk.1.weight");
    w[83] = NAN;
    refused(mtl_model_tensor_set(m, "trunk.1.weight", 84, w, err), MTL_ERR_VALUE, "");
    done(mtl_model_tensor_get(m, "trunk.1.weight", 84, back, err));
    assert_same_bits(back, before, 84); /* refusals change nothing */
    w[83] = -0.0f;
    done(mtl_model_tensor_set(m, "trunk.1.weight", 84, w, err));
    done(mtl_model_tensor_get(m, "trunk.1.weight", 84, back, err));
    assert_same_bits(back, w, 84);
    mtl_model_destroy(m);
}
END_TEST

/* Mean and variance of a tensor of a fresh model. */
static void moments(const mtl_model *m, const char *name, int64_t n, double *mean, double *variance,
                    double *largest)
{
    float *w = floats(n);
    *mean = *variance = *largest = 0;
    done(mtl_model_tensor_get(m, name, n, w, err));
    for (int64_t i = 0; i < n; i++) {
        *mean += (double)w[i] / (double)n;
        *largest = fmax(*largest, fabs((double)w[i]));
    }
    for (int64_t i = 0; i < n; i++)
        *variance += ((double)w[i] - *mean) * ((double)w[i] - *mean) / (double)n;
    free(w);
}

START_TEST(initializers)
{
    /* in 100, out 300: 2/(in+out) = .005, 2/in = .02; 30000 draws: variance to a few percent. */
    static const struct {
        const char *name;
        double variance;
        bool uniform;
    } rows[] = {{"glorot_uniform", 0.005, true},
                {"glorot_normal", 0.005, false},
                {"he_uniform", 0.02, true},
                {"he_normal", 0.02, false}};
    for (int i = 0; i < 4; i++) {
        double mean, variance, largest;
        mtl_spec *s = spec_of(100);
        done(mtl_spec_add_dense(s, 300, "relu", err));
        done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
        done(mtl_spec_set_initializer(s, rows[i].name, err));
        mtl_model *m = model_of(s);
        moments(m, "trunk.0.weight", 30000, &mean, &variance, &largest);
        ck_assert_msg(fabs(variance / rows[i].variance - 1) < 0.05, "%s: variance %g", rows[i].name,
                      variance);
        ck_assert_msg(fabs(mean) < 4 * sqrt(rows[i].variance / 30000), "%s: mean %g", rows[i].name,
                      mean);
        double bound = sqrt(3 * rows[i].variance);
        ck_assert_msg(rows[i].uniform == (largest <= bound * (1 + 1e-6)), "%s: largest %g",
                      rows[i].name, largest);
        moments(m, "trunk.0.bias", 300, &mean, &variance, &largest);
        ck_assert_double_eq(largest, 0);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
}
END_TEST

START_TEST(layers_are_drawn_apart)
{
    float a[16], b[16];
    mtl_spec *s = spec_of(4);
    done(mtl_spec_add_dense(s, 4, "relu", err));
    done(mtl_spec_add_dense(s, 4, "relu", err));
    done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
    mtl_model *m = model_of(s), *again = model_of(s);
    done(mtl_model_tensor_get(m, "trunk.0.weight", 16, a, err));
    done(mtl_model_tensor_get(m, "trunk.1.weight", 16, b, err));
    for (int i = 0; i < 16; i++)
        ck_assert_float_ne(a[i], b[i]);
    assert_same_model(m, again);
    mtl_model_destroy(m);
    mtl_model_destroy(again);
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(clones_are_independent)
{
    problem p = problem_make(50, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL), *copy = NULL;
    fit(m, d, "epochs=2 seed=3");
    done(mtl_model_freeze(m, "trunk.0", 1, err));
    done(mtl_model_clone(m, &copy, err));
    assert_same_model(m, copy);
    ck_assert_uint_eq(predict_hash(m, &p), predict_hash(copy, &p));
    uint64_t before = model_hash(m);
    fit(copy, d, "epochs=2 seed=3");
    ck_assert_uint_eq(model_hash(m), before);
    ck_assert_uint_ne(model_hash(copy), before);
    ck_assert_float_eq(tensor_bits_differ(m, copy, "trunk.0.weight"), 0); /* frozen marks go along */
    fit(m, d, "epochs=2 seed=3"); /* the same from the same state */
    assert_same_model(m, copy);
    mtl_model_destroy(m);
    fit(copy, d, "epochs=1");
    mtl_model_destroy(copy);
    refused(mtl_model_clone(NULL, &copy, err), MTL_ERR_INVALID, "model");
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(spec_and_model_are_apart)
{
    mtl_spec *s = spec_of(2);
    mtl_model *m = NULL;
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "task");
    refused(mtl_model_create(NULL, &m, err), MTL_ERR_INVALID, "spec");
    done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
    refused(mtl_model_create(s, NULL, err), MTL_ERR_INVALID, "out");
    m = model_of(s);
    done(mtl_spec_add_task(s, "b", MTL_BINARY, 1, err));
    ck_assert_int_eq(mtl_model_task_count(m), 1);
    mtl_spec_destroy(s);
    ck_assert_str_eq(mtl_model_task_name(m, 0), "a");
    mtl_model_destroy(m);
}
END_TEST

START_TEST(more_than_memory)
{
    mtl_model *m = NULL;
    mtl_spec *s = spec_of(16777216);
    for (int i = 0; i < 4; i++)
        done(mtl_spec_add_dense(s, 16777216, "relu", err));
    done(mtl_spec_add_task(s, "a", MTL_REGRESSION, 16777216, err));
    mtl_status st = mtl_model_create(s, &m, NULL);
    ck_assert_msg(st == MTL_ERR_RANGE || st == MTL_ERR_NOMEM, "%s", mtl_status_name(st));
    ck_assert_ptr_null(m);
    mtl_spec_destroy(s);
}
END_TEST

/* ---- freezing -------------------------------------------------------------------------------- */

static void check_frozen(const char *name, const char *more, const char *const *kept,
                         const char *const *moved)
{
    problem p = problem_make(64, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL), *before = NULL;
    fit(m, d, "epochs=1");
    done(mtl_model_clone(m, &before, err));
    done(mtl_model_freeze(m, name, 1, err));
    char text[128];
    snprintf(text, sizeof text, "epochs=2 %s", more);
    fit(m, d, text);
    for (; *kept; kept++)
        ck_assert_msg(tensor_bits_differ(m, before, *kept) == 0, "freeze %s: %s moved", name, *kept);
    for (; *moved; moved++)
        ck_assert_msg(tensor_bits_differ(m, before, *moved) > 0, "freeze %s: %s stood still", name,
                      *moved);
    done(mtl_model_freeze(m, name, 0, err));
    for (kept--; tensor_bits_differ(m, before, *kept) == 0;)
        fit(m, d, "epochs=1"); /* and freed again it moves: an endless loop if not */
    mtl_model_destroy(m);
    mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(frozen_tensors_keep_their_bits)
{
    check_frozen("trunk", "", NAMES("trunk.0.weight", "trunk.0.bias", "trunk.1.weight"),
                 NAMES("head.fails.weight", "tower0.tags.weight", "head.hours.bias"));
    check_frozen("trunk.0", "l2=0.1", NAMES("trunk.0.bias", "trunk.0.weight"),
                 NAMES("trunk.1.weight", "head.fails.weight"));
    check_frozen("trunk.1.weight", "l1=0.1", NAMES("trunk.1.weight"),
                 NAMES("trunk.0.weight", "trunk.1.bias"));
    check_frozen("trunk.1", "", NAMES("trunk.1.weight"), NAMES("trunk.0.weight", "trunk.0.bias"));
    /* One of several heads that are slices of one matrix, with and without a penalty. */
    check_frozen("head.grade", "", NAMES("head.grade.bias", "head.grade.weight"),
                 NAMES("head.fails.weight", "head.hours.weight", "head.hours.bias"));
    check_frozen("head.grade", "l2=0.1", NAMES("head.grade.bias", "head.grade.weight"),
                 NAMES("head.fails.weight", "head.hours.weight", "trunk.0.weight"));
    check_frozen("head.grade.weight", "", NAMES("head.grade.weight"),
                 NAMES("head.grade.bias", "head.fails.bias"));
    check_frozen("head", "", NAMES("head.fails.weight", "head.tags.weight", "head.grade.weight"),
                 NAMES("trunk.0.weight", "tower0.tags.weight"));
    check_frozen("tower0.tags", "", NAMES("tower0.tags.bias", "tower0.tags.weight"),
                 NAMES("head.tags.weight", "trunk.1.weight"));
}
END_TEST

START_TEST(frozen_before_the_first_fit)
{
    /* "A frozen tensor keeps its bits in mtl_fit()", also in the fit that draws the weights. */
    problem p = problem_make(64, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL), *before = NULL;
    done(mtl_model_clone(m, &before, err));
    done(mtl_model_freeze(m, "trunk.0", 1, err));
    fit(m, d, "epochs=1 seed=5");
    ck_assert_float_eq(tensor_bits_differ(m, before, "trunk.0.weight"), 0);
    ck_assert_float_gt(tensor_bits_differ(m, before, "trunk.1.weight"), 0);
    mtl_model_destroy(m);
    mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(everything_frozen)
{
    problem p = problem_make(30, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    fit(m, d, "epochs=1");
    done(mtl_model_freeze(m, "trunk", 1, err));
    done(mtl_model_freeze(m, "head", 1, err));
    done(mtl_model_freeze(m, "tower0", 1, err));
    uint64_t before = model_hash(m);
    mtl_status st = mtl_fit(m, d, NULL, NULL, NULL, NULL); /* may be refused, must change nothing */
    ck_assert_msg(st == MTL_OK || st == MTL_ERR_STATE, "%s", mtl_status_name(st));
    ck_assert_uint_eq(model_hash(m), before);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(freeze_names)
{
    mtl_model *m = problem_model(NULL);
    refused(mtl_model_freeze(m, "trunk.2", 1, err), MTL_ERR_NAME, "trunk.2");
    refused(mtl_model_freeze(m, "trun", 1, err), MTL_ERR_NAME, "trun");
    refused(mtl_model_freeze(m, "trunk.", 1, err), MTL_ERR_NAME, "trunk.");
    refused(mtl_model_freeze(m, "", 1, err), MTL_ERR_NAME, "");
    refused(mtl_model_freeze(m, "head.fail", 1, err), MTL_ERR_NAME, "head.fail");
    refused(mtl_model_freeze(m, NULL, 1, err), MTL_ERR_INVALID, "name");
    refused(mtl_model_freeze(NULL, "trunk", 1, err), MTL_ERR_INVALID, "model");
    mtl_model_destroy(m);
}
END_TEST

START_TEST(summary)
{
    mtl_model *m = problem_model(NULL);
    char *text = NULL;
    done(mtl_model_summary(m, &text, err));
    static const char *const parts[] = {"fails", "tags", "grade", "hours", "relu", "tanh", "sigmoid",
                                        "binary", "multiclass", "multilabel", "regression"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "no \"%s\" in\n%s", parts[i], text);
    /* All parameters: 6*12+12 + 12*7+7 + 7+1 + 7*5+5+5*2+2 + 7*3+3 + 7*2+2 */
    ck_assert_msg(strstr(text, "275") != NULL, "not 275 parameters in\n%s", text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        ck_assert_msg(strlen(line) <= 100, "a long line: %s", line);
    mtl_free(text);
    refused(mtl_model_summary(NULL, &text, err), MTL_ERR_INVALID, "model");
    mtl_model_destroy(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_spec_model");
    add_case(s, "sizes and names of a spec are checked", spec_sizes);
    add_case(s, "tasks of a spec are checked", spec_tasks);
    add_case(s, "settings of a task are checked", spec_task_settings);
    add_case(s, "tensors have their names and shapes", tensors_by_name);
    add_case(s, "trunk numbers count dense layers", trunk_numbers_skip_dropout);
    add_case(s, "figures of a model", figures);
    add_case(s, "tensors are got and set", tensor_get_and_set);
    add_case(s, "initializers have their variance", initializers);
    add_case(s, "layers are drawn apart, models alike", layers_are_drawn_apart);
    add_case(s, "clones are independent", clones_are_independent);
    add_case(s, "a model does not follow its spec", spec_and_model_are_apart);
    add_case(s, "a model larger than memory is refused", more_than_memory);
    add_case(s, "frozen tensors keep their bits", frozen_tensors_keep_their_bits);
    add_case(s, "frozen before the first fit", frozen_before_the_first_fit);
    add_case(s, "a model that is frozen as a whole", everything_frozen);
    add_case(s, "names to freeze are checked", freeze_names);
    add_case(s, "a summary names tasks, layers and parameters", summary);
    return run_suite(s);
}
