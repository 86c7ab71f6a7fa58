/* SPDX-License-Identifier: MIT */
/* mtl_model_distil(): what the student learns, what is said of it, and every way to fail. */
#include "api_testing.h"

enum { ROWS = 180, SIZE = ROWS * PROBLEM_OUTPUTS };

/* An ensemble of all kinds of tasks, fitted. */
static mtl_model *ensemble(mtl_context *ctx, const mtl_dataset *d, int64_t members, const char *how)
{
    mtl_spec *s = problem_spec(ctx);
    mtl_model *m = NULL;
    done(mtl_spec_set_ensemble(s, members, "tabm", err));
    done(mtl_model_create(s, &m, err));
    fit(m, d, how);
    mtl_spec_destroy(s);
    return m;
}

static mtl_model *distilled(const mtl_model *teacher, const mtl_dataset *d, const mtl_dataset *valid,
                            const char *text, mtl_report **r)
{
    mtl_model *m = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_model_distil(teacher, d, valid, o, &m, r, err));
    mtl_options_destroy(o);
    return m;
}

static void predicted(const mtl_model *m, const float *x, int64_t rows, float *out)
{
    done(mtl_predict(m, rows, x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
}

/* Of all outputs, values in units that make them alike: root of the mean squared difference. */
static double distance(const float *a, const float *b, int64_t rows)
{
    static const double unit[PROBLEM_OUTPUTS] = {1, 1, 1, 1, 1, 1, 20, 0.01};
    double sum = 0;
    for (int64_t i = 0; i < rows * PROBLEM_OUTPUTS; i++)
        sum += pow((double)(a[i] - b[i]) / unit[i % PROBLEM_OUTPUTS], 2);
    return sqrt(sum / (double)(rows * PROBLEM_OUTPUTS));
}

static double loss_of(const mtl_model *m, const mtl_dataset *d, const char *name)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    const double loss = figure(r, name);
    mtl_report_destroy(r);
    return loss;
}

/* It comes near, is a plain network, and both losses are those of mtl_evaluate(). */
START_TEST(the_student_is_near)
{
    static float of_teacher[SIZE], of_train[SIZE], of_student[SIZE];
    problem p = problem_make(ROWS, 1, 20), q = problem_make(ROWS, 2, 20);
    mtl_dataset *d = problem_data(&p, NULL), *valid = problem_data(&q, NULL);
    mtl_model *teacher = ensemble(NULL, d, 4, "epochs=40 learning_rate=0.01"), *near[2];
    const uint64_t before = model_hash(teacher);
    static const char *const how[] = {"epochs=150 patience=0", "epochs=100 patience=0 layers=48:relu,48:relu"};
    predicted(teacher, q.x, ROWS, of_teacher);
    predicted(teacher, p.x, ROWS, of_train);
    for (int i = 0; i < 2; i++) {
        mtl_report *r = NULL;
        near[i] = distilled(teacher, d, valid, how[i], &r);
        predicted(near[i], q.x, ROWS, of_student);
        ck_assert_double_lt(distance(of_student, of_teacher, ROWS), 0.25);
        predicted(near[i], p.x, ROWS, of_student);
        ck_assert_double_lt(distance(of_student, of_train, ROWS), 0.1);
        ck_assert_double_eq_tol(figure(r, "student/loss"), loss_of(near[i], valid, "loss"), 1e-12);
        ck_assert_double_eq_tol(figure(r, "teacher/loss"), loss_of(teacher, valid, "loss"), 1e-12);
        ck_assert_double_eq_tol(figure(r, "student/loss/grade"), loss_of(near[i], valid, "loss/grade"), 1e-12);
        ck_assert_double_lt(figure(r, "student/loss"), 1.2 * figure(r, "teacher/loss"));
        mtl_report_destroy(r);
    }
    mtl_spec *s = problem_spec(NULL); /* the first has the teacher's layers */
    mtl_model *plain = NULL;
    done(mtl_model_create(s, &plain, err));
    ck_assert_int_eq(mtl_model_tensor_count(near[0]), mtl_model_tensor_count(plain));
    ck_assert_uint_eq(model_hash(teacher), before);
    mtl_spec_destroy(s);
    mtl_model_destroy(plain), mtl_model_destroy(near[0]), mtl_model_destroy(near[1]), mtl_model_destroy(teacher);
    mtl_dataset_destroy(d), mtl_dataset_destroy(valid);
    problem_free(&p), problem_free(&q);
}
END_TEST

/* Labels of the training rows are not looked at: none, other ones, the same bits. */
START_TEST(labels_do_not_count)
{
    problem p = problem_make(ROWS, 1, 20), q = problem_make(ROWS, 2, 0), none = problem_make(ROWS, 1, 100);
    mtl_dataset *d = problem_data(&p, NULL), *valid = problem_data(&q, NULL);
    mtl_dataset *bare = NULL, *missing = problem_data(&none, NULL);
    mtl_model *teacher = ensemble(NULL, d, 3, "epochs=5");
    done(mtl_dataset_create(NULL, p.x, ROWS, PROBLEM_INPUTS, PROBLEM_INPUTS, &bare, err));
    const mtl_dataset *const all[] = {d, bare, missing};
    uint64_t hash[3];
    for (int i = 0; i < 3; i++) {
        mtl_model *m = distilled(teacher, all[i], valid, "epochs=4", NULL);
        hash[i] = model_hash(m);
        mtl_model_destroy(m);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
    mtl_model_destroy(teacher);
    mtl_dataset_destroy(d), mtl_dataset_destroy(valid), mtl_dataset_destroy(bare), mtl_dataset_destroy(missing);
    problem_free(&p), problem_free(&q), problem_free(&none);
}
END_TEST

/* Steps of all rows in order, by plain descent, as far as possible on the rows' own units. */
#define PLAIN_STEPS                                                                                \
    "epochs=6 batch_size=100000 shuffle=0 patience=0 optimizer=sgd average=none schedule=constant " \
    "learning_rate=0.5 preset=plain"

/* Cross-entropy towards probabilities p is that of a row for each class, which weighs p: a fit of such
   rows, which knows nothing of teachers, is the same. */
START_TEST(classes_as_rows_with_weights)
{
    enum { CLASSES = 3, MANY = ROWS * CLASSES };
    static float x[MANY * PROBLEM_INPUTS], binary[MANY], class[MANY], value[MANY], weight[2][MANY];
    static float p[ROWS * 5], student[ROWS * 5], other[ROWS * 5];
    problem one = problem_make(ROWS, 3, 0);
    mtl_dataset *d = NULL, *rows = NULL;
    mtl_spec *s = NULL;
    mtl_model *teacher = NULL, *fitted = NULL;
    done(mtl_dataset_create(NULL, one.x, ROWS, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "b", 1, one.fails, 1, err));
    done(mtl_dataset_set_labels(d, "c", 1, one.grade, 1, err));
    done(mtl_dataset_set_labels(d, "v", 1, one.hours, 2, err));
    done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 6, "tanh", err));
    done(mtl_spec_add_task(s, "b", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "c", MTL_MULTICLASS, CLASSES, err));
    done(mtl_spec_add_task(s, "v", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &teacher, err));
    done(mtl_model_create(s, &fitted, err));
    fit(teacher, d, "epochs=20 learning_rate=0.02");
    done(mtl_predict(teacher, ROWS, one.x, PROBLEM_INPUTS, p, 5, err));
    for (int i = 0; i < MANY; i++) {
        const int r = i / CLASSES, k = i % CLASSES;
        memcpy(x + i * PROBLEM_INPUTS, one.x + r * PROBLEM_INPUTS, PROBLEM_INPUTS * sizeof *x);
        binary[i] = k == 1;
        weight[0][i] = k == 0 ? 1 - p[r * 5] : k == 1 ? p[r * 5] : 0;
        class[i] = (float)k;
        weight[1][i] = p[r * 5 + 1 + k];
        value[i] = p[r * 5 + 4];
    }
    done(mtl_dataset_create(NULL, x, MANY, PROBLEM_INPUTS, PROBLEM_INPUTS, &rows, err));
    done(mtl_dataset_set_labels(rows, "b", 1, binary, 1, err));
    done(mtl_dataset_set_labels(rows, "c", 1, class, 1, err));
    done(mtl_dataset_set_labels(rows, "v", 1, value, 1, err));
    done(mtl_dataset_set_weights(rows, "b", weight[0], err));
    done(mtl_dataset_set_weights(rows, "c", weight[1], err));
    mtl_model *m = distilled(teacher, d, d, PLAIN_STEPS, NULL);
    fit(fitted, rows, PLAIN_STEPS);
    done(mtl_predict(m, ROWS, one.x, PROBLEM_INPUTS, student, 5, err));
    done(mtl_predict(fitted, ROWS, one.x, PROBLEM_INPUTS, other, 5, err));
    for (int i = 0; i < ROWS * 5; i++)
        ck_assert_float_eq_tol(student[i], other[i], i % 5 == 4 ? 2e-3f : 2e-5f);
    mtl_spec_destroy(s);
    mtl_model_destroy(m), mtl_model_destroy(teacher), mtl_model_destroy(fitted);
    mtl_dataset_destroy(d), mtl_dataset_destroy(rows);
    problem_free(&one);
}
END_TEST

/* Of a preset's members one network; other kinds of tasks and losses have their own way to z. */
START_TEST(members_become_one)
{
    enum { N = 240 };
    static float x[N * 3], y[4][N], of_teacher[N * 9], of_student[N * 9];
    static const char *const names[] = {"count", "quantile", "ordinal", "absolute"};
    static const int32_t kind[] = {MTL_COUNT, MTL_QUANTILE, MTL_MULTICLASS, MTL_REGRESSION};
    static const int64_t outputs[] = {1, 3, 4, 1};
    uint64_t seed = 5;
    mtl_dataset *d = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 3; j++)
            x[3 * i + j] = next_unit(&seed);
        y[0][i] = floorf(3 + 3 * x[3 * i]);
        y[1][i] = 5 * x[3 * i + 1] + next_unit(&seed);
        y[2][i] = floorf(2 + 1.9f * x[3 * i + 2]);
        y[3][i] = 1000 + 100 * x[3 * i] * x[3 * i + 1];
    }
    done(mtl_dataset_create(NULL, x, N, 3, 3, &d, err));
    done(mtl_spec_create(NULL, 3, &s, err));
    for (int t = 0; t < 4; t++) {
        done(mtl_dataset_set_labels(d, names[t], 1, y[t], 1, err));
        done(mtl_spec_add_task(s, names[t], kind[t], outputs[t], err));
    }
    done(mtl_spec_task_set_str(s, "ordinal", "loss", "ordinal", err));
    done(mtl_spec_task_set_str(s, "absolute", "loss", "absolute_error", err));
    done(mtl_model_create(s, &m, err));
    fit(m, d, "preset=good layers=16:relu folds=3 epochs=60");
    ck_assert_int_gt(mtl_model_member_count(m), 1);
    mtl_model *one = distilled(m, d, NULL, "epochs=150 layers=48:relu,48:relu", &r), *copy = NULL;
    ck_assert_int_eq(mtl_model_member_count(one), 0);
    ck_assert_double_lt(figure(r, "student/loss"), 1.3 * figure(r, "teacher/loss"));
    done(mtl_predict(m, N, x, 3, of_teacher, 9, err));
    done(mtl_predict(one, N, x, 3, of_student, 9, err));
    double sum[9] = {0}, squares[9] = {0}, mean[9] = {0};
    for (int i = 0; i < N * 9; i++)
        mean[i % 9] += (double)of_teacher[i] / N;
    for (int i = 0; i < N * 9; i++) {
        sum[i % 9] += pow((double)(of_student[i] - of_teacher[i]), 2);
        squares[i % 9] += pow((double)of_teacher[i] - mean[i % 9], 2);
    }
    for (int j = 0; j < 9; j++)
        ck_assert_msg(sum[j] < 0.1 * squares[j], "output %d: %g", j, sum[j] / squares[j]);
    void *buffer;
    int64_t bytes;
    done(mtl_model_save_buffer(one, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &copy, err));
    ck_assert_uint_eq(model_hash(copy), model_hash(one));
    mtl_free(buffer);
    mtl_report_destroy(r);
    mtl_spec_destroy(s);
    mtl_model_destroy(m), mtl_model_destroy(one), mtl_model_destroy(copy);
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(same_bits_everywhere)
{
    uint64_t hash[3];
    static const char *const where[] = {"threads=1", "threads=3", "threads=2 cpu=c"};
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(where[i]);
        problem p = problem_make(ROWS, 6, 10);
        mtl_dataset *d = problem_data(&p, ctx);
        mtl_model *teacher = ensemble(ctx, d, 3, "epochs=2");
        mtl_model *m = distilled(teacher, d, NULL, "epochs=3 seed=4", NULL);
        hash[i] = model_hash(m);
        mtl_model_destroy(m), mtl_model_destroy(teacher);
        mtl_dataset_destroy(d);
        problem_free(&p);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
}
END_TEST

START_TEST(what_cannot_be)
{
    problem p = problem_make(40, 1, 10);
    mtl_dataset *d = problem_data(&p, NULL), *narrow = NULL, *bare = NULL;
    mtl_model *fresh = problem_model(NULL), *m = problem_model(NULL), *out = NULL;
    mtl_report *r = NULL;
    mtl_options *none = options(MTL_OPTIONS_FIT, "validation_split=0"), *preset = options(MTL_OPTIONS_FIT, "preset=good");
    mtl_options *wrong = options(MTL_OPTIONS_EVALUATE, ""), *layers = options(MTL_OPTIONS_FIT, "layers=8:none");
    fit(m, d, "epochs=1");
    done(mtl_dataset_create(NULL, p.x, 40, PROBLEM_INPUTS - 1, PROBLEM_INPUTS, &narrow, err));
    done(mtl_dataset_create(NULL, p.x, 40, PROBLEM_INPUTS, PROBLEM_INPUTS, &bare, err));
    refused(mtl_model_distil(fresh, d, NULL, NULL, &out, &r, err), MTL_ERR_STATE, "never fitted");
    refused(mtl_model_distil(NULL, d, NULL, NULL, &out, &r, err), MTL_ERR_INVALID, "teacher");
    refused(mtl_model_distil(m, NULL, NULL, NULL, &out, &r, err), MTL_ERR_INVALID, "train");
    refused(mtl_model_distil(m, d, NULL, NULL, NULL, &r, err), MTL_ERR_INVALID, "out");
    refused(mtl_model_distil(m, d, NULL, none, &out, &r, err), MTL_ERR_INVALID, "validation rows");
    refused(mtl_model_distil(m, d, NULL, preset, &out, &r, err), MTL_ERR_INVALID, "distillation trains one network");
    refused(mtl_model_distil(m, d, NULL, wrong, &out, &r, err), MTL_ERR_TYPE, "fit");
    refused(mtl_model_distil(m, d, NULL, layers, &out, &r, err), MTL_ERR_RANGE, "none");
    refused(mtl_model_distil(m, narrow, NULL, NULL, &out, &r, err), MTL_ERR_SHAPE, "5");
    refused(mtl_model_distil(m, d, narrow, NULL, &out, &r, err), MTL_ERR_SHAPE, "valid");
    refused(mtl_model_distil(m, bare, NULL, NULL, &out, &r, err), MTL_ERR_DATA, "valid");
    ck_assert_ptr_null(out);
    ck_assert_ptr_null(r);
    mtl_options_destroy(none), mtl_options_destroy(preset), mtl_options_destroy(wrong), mtl_options_destroy(layers);
    mtl_model_destroy(fresh), mtl_model_destroy(m);
    mtl_dataset_destroy(d), mtl_dataset_destroy(narrow), mtl_dataset_destroy(bare);
    problem_free(&p);
}
END_TEST

typedef struct tries {
    mtl_model *teacher;
    mtl_dataset *d;
    mtl_options *o;
    uint64_t before;
} tries;

static mtl_status without_memory(void *self)
{
    const tries *t = self;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    const mtl_status st = mtl_model_distil(t->teacher, t->d, NULL, t->o, &m, &r, NULL);
    ck_assert_int_eq(m != NULL, st == MTL_OK);
    ck_assert_int_eq(r != NULL, st == MTL_OK);
    ck_assert_uint_eq(model_hash(t->teacher), t->before);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    return st;
}

START_TEST(memory_runs_out)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    problem p = problem_make(24, 6, 10);
    tries t = {.d = problem_data(&p, ctx), .o = options(MTL_OPTIONS_FIT, "epochs=1 layers=3:relu")};
    t.teacher = ensemble(ctx, t.d, 2, "epochs=1");
    t.before = model_hash(t.teacher);
    ck_assert_int_gt(sweep_allocations(&memory, without_memory, &t), 50);
    mtl_options_destroy(t.o);
    mtl_model_destroy(t.teacher);
    mtl_dataset_destroy(t.d);
    mtl_context_destroy(ctx);
    problem_free(&p);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("distil");
    add_case(s, "the student is near", the_student_is_near);
    add_case(s, "labels do not count", labels_do_not_count);
    add_case(s, "classes as rows with weights", classes_as_rows_with_weights);
    add_case(s, "members become one", members_become_one);
    add_case(s, "same bits everywhere", same_bits_everywhere);
    add_case(s, "what cannot be", what_cannot_be);
    add_case(s, "memory runs out at any point", memory_runs_out);
    return run_suite(s);
}
