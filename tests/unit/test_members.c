/* SPDX-License-Identifier: MIT */
/* Models of members: their predictions against means made by hand, and every call on them. */
#include "same_model.h"

#include <pthread.h>

#include "loss/loss.h"
#include "model/model.h"

enum { MEMBERS = 3, ALL = PROBLEM_OUTPUTS };

typedef struct scene {
    problem p;
    mtl_context *ctx;
    mtl_dataset *data;
    mtl_model *one[MEMBERS]; /* with a trunk; linear; of two tasks in another order */
    mtl_model *mean;
} scene;

static mtl_model *fitted(mtl_spec *s, const mtl_dataset *d, const char *how)
{
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    fit(m, d, how);
    return m;
}

static mtl_spec *linear_spec(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    return s;
}

static mtl_spec *two_tasks_spec(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_set_missing_indicators(s, 1, err));
    done(mtl_spec_add_dense(s, 9, "tanh", err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_task_set_str(s, "grade", "loss", "ordinal", err));
    return s;
}

/* Tasks in the order fails, tags, grade, hours; the last member lacks the first two. */
static const double weights[MEMBERS][PROBLEM_TASKS] = {
    {1, 0, 2, 0.25}, {3, 1, 0, 0.25}, {0, 0, 1, 0.5}};
static const int64_t first_column[PROBLEM_TASKS + 1] = {0, 1, 3, 6, 8};

static scene scene_make(mtl_context *ctx)
{
    scene s = {.p = problem_make(300, 8, 10), .ctx = ctx};
    s.p.x[7] = NAN;
    s.data = problem_data(&s.p, ctx);
    s.one[0] = fitted(problem_spec(ctx), s.data, "epochs=4");
    s.one[1] = fitted(linear_spec(ctx), s.data, "epochs=4 seed=3");
    s.one[2] = fitted(two_tasks_spec(ctx), s.data, "epochs=4 seed=4 scaler=robust");
    done(mtl_model_create_average((const mtl_model *const *)s.one, MEMBERS, weights[0], &s.mean,
                                  err));
    return s;
}

static void scene_free(scene *s)
{
    for (int k = 0; k < MEMBERS; k++)
        mtl_model_destroy(s->one[k]);
    mtl_model_destroy(s->mean);
    mtl_dataset_destroy(s->data);
    problem_free(&s->p);
}

static float *predicted(const mtl_model *m, const problem *p)
{
    int64_t cols = mtl_model_outputs(m);
    float *out = floats(p->rows * cols);
    done(mtl_predict(m, p->rows, p->x, PROBLEM_INPUTS, out, cols, err));
    return out;
}

/* The mean by hand, in double. */
static float *by_hand(const scene *s)
{
    double *sum = calloc((size_t)(s->p.rows * ALL), sizeof *sum);
    float *out = floats(s->p.rows * ALL);
    for (int k = 0; k < MEMBERS; k++) {
        float *p = predicted(s->one[k], &s->p);
        int64_t cols = mtl_model_outputs(s->one[k]);
        for (int t = 0; t < PROBLEM_TASKS; t++) {
            const double all = weights[0][t] + weights[1][t] + weights[2][t];
            const int64_t from = k < 2 ? first_column[t] : t == 3 ? 0 : 2;
            for (int64_t r = 0; r < s->p.rows && weights[k][t] > 0; r++)
                for (int64_t j = 0; j < first_column[t + 1] - first_column[t]; j++)
                    sum[r * ALL + first_column[t] + j] +=
                        weights[k][t] / all * (double)p[r * cols + from + j];
        }
        free(p);
    }
    for (int64_t i = 0; i < s->p.rows * ALL; i++)
        out[i] = (float)sum[i];
    free(sum);
    return out;
}

START_TEST(is_the_mean)
{
    scene s = scene_make(NULL);
    float *got = predicted(s.mean, &s.p), *want = by_hand(&s);
    assert_same_bits(got, want, s.p.rows * ALL);
    ck_assert_int_eq(mtl_model_member_count(s.mean), MEMBERS);
    ck_assert_int_eq(mtl_model_inputs(s.mean), PROBLEM_INPUTS);
    ck_assert_int_eq(mtl_model_task_count(s.mean), PROBLEM_TASKS);
    ck_assert_str_eq(mtl_model_task_name(s.mean, 1), "tags");
    ck_assert_double_eq(mtl_model_member_weight(s.mean, 1, 0), 0.75);
    ck_assert_double_eq(mtl_model_member_weight(s.mean, 2, 3), 0.5);
    ck_assert_double_eq(mtl_model_member_weight(s.mean, 3, 0), 0);
    ck_assert_double_eq(mtl_model_member_weight(s.mean, -1, 0), 0);
    ck_assert_double_eq(mtl_model_member_weight(s.mean, 0, 4), 0);
    assert_same_model(mtl_model_member(s.mean, 2), s.one[2]);
    ck_assert_ptr_null(mtl_model_member(s.mean, 3));
    ck_assert_ptr_null(mtl_model_member(s.one[0], 0));
    ck_assert_int_eq(mtl_model_member_count(s.one[0]), 0);
    ck_assert_int_eq(mtl_model_member_count(NULL), 0);
    free(got), free(want);
    scene_free(&s);
}
END_TEST

START_TEST(one_task_alone)
{
    scene s = scene_make(NULL);
    float *all = predicted(s.mean, &s.p), *one = floats(s.p.rows * 4);
    for (int t = 0; t < PROBLEM_TASKS; t++) {
        const int64_t cols = first_column[t + 1] - first_column[t];
        done(mtl_predict_task(s.mean, t, s.p.rows, s.p.x, PROBLEM_INPUTS, one, 4, err));
        for (int64_t r = 0; r < s.p.rows; r++)
            assert_same_bits(one + 4 * r, all + r * ALL + first_column[t], cols);
    }
    free(all), free(one);
    scene_free(&s);
}
END_TEST

/* With a weight of 1 a prediction has the member's bits. */
START_TEST(one_hot_weights_pick)
{
    static const double pick[MEMBERS][PROBLEM_TASKS] = {{1, 0, 0, 0}, {0, 7, 0, 0}, {0, 0, 1, 1e-9}};
    scene s = scene_make(NULL);
    mtl_model *m = NULL;
    done(mtl_model_create_average((const mtl_model *const *)s.one, MEMBERS, pick[0], &m, err));
    float *got = predicted(m, &s.p), *member[MEMBERS];
    for (int k = 0; k < MEMBERS; k++)
        member[k] = predicted(s.one[k], &s.p);
    for (int64_t r = 0; r < s.p.rows; r++) {
        assert_same_bits(got + r * ALL, member[0] + r * ALL, 1);
        assert_same_bits(got + r * ALL + 1, member[1] + r * ALL + 1, 2);
        assert_same_bits(got + r * ALL + 3, member[2] + r * 5 + 2, 3);
        assert_same_bits(got + r * ALL + 6, member[2] + r * 5, 2);
    }
    free(got);
    for (int k = 0; k < MEMBERS; k++)
        free(member[k]);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

/* An average of averages counts the members with the product of the weights. */
START_TEST(averages_are_taken_apart)
{
    scene s = scene_make(NULL);
    mtl_model *outer = NULL, *flat = NULL;
    const mtl_model *pair[] = {s.mean, s.one[1]};
    double direct[MEMBERS + 1][PROBLEM_TASKS];
    for (int t = 0; t < PROBLEM_TASKS; t++) {
        for (int k = 0; k < MEMBERS; k++)
            direct[k][t] = mtl_model_member_weight(s.mean, k, t) / 2;
        direct[MEMBERS][t] = 0.5;
    }
    const mtl_model *all[] = {s.one[0], s.one[1], s.one[2], s.one[1]};
    done(mtl_model_create_average(pair, 2, NULL, &outer, err));
    done(mtl_model_create_average(all, 4, direct[0], &flat, err));
    ck_assert_int_eq(mtl_model_member_count(outer), 4);
    for (int k = 0; k < 4; k++)
        for (int t = 0; t < PROBLEM_TASKS; t++)
            ck_assert_double_eq_tol(mtl_model_member_weight(outer, k, t), direct[k][t], 1e-15);
    ck_assert_uint_eq(predict_hash(outer, &s.p), predict_hash(flat, &s.p));
    mtl_model_destroy(outer), mtl_model_destroy(flat);
    scene_free(&s);
}
END_TEST

static void run_predictor(const mtl_model *m, const problem *p, int64_t block, float *out)
{
    mtl_predictor *pr = NULL;
    done(mtl_predictor_create(m, block, &pr, err));
    done(mtl_predictor_run(pr, p->rows, p->x, PROBLEM_INPUTS, out, ALL, err));
    mtl_predictor_destroy(pr);
}

START_TEST(predictors)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=2");
    scene s = scene_make(ctx);
    float *want = predicted(s.mean, &s.p), *got = floats(s.p.rows * ALL);
    for (int64_t block = 0; block < 400; block += 133) {
        run_predictor(s.mean, &s.p, block, got);
        assert_same_bits(got, want, s.p.rows * ALL);
    }
    mtl_predictor *pr = NULL;
    done(mtl_predictor_create(s.mean, 7, &pr, err));
    mtl_model_destroy(s.mean); /* a predictor goes on alone */
    for (int k = 0; k < MEMBERS; k++)
        mtl_model_destroy(s.one[k]), s.one[k] = NULL;
    s.mean = NULL;
    const long long before = memory.calls;
    memory.fail_at = 1;
    memset(got, 0, (size_t)(s.p.rows * ALL) * sizeof *got);
    done(mtl_predictor_run(pr, s.p.rows, s.p.x, PROBLEM_INPUTS, got, ALL, err));
    ck_assert_int_eq(memory.calls, before);
    memory.fail_at = 0;
    assert_same_bits(got, want, s.p.rows * ALL);
    mtl_predictor_destroy(pr);
    free(got), free(want);
    scene_free(&s);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(threads_do_not_matter)
{
    uint64_t hash[3];
    static const char *const how[] = {"threads=1", "threads=4", "threads=3 cpu=c"};
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(how[i]);
        scene s = scene_make(ctx);
        problem big = problem_make(3000, 5, 0);
        hash[i] = predict_hash(s.mean, &big);
        problem_free(&big);
        scene_free(&s);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
}
END_TEST

typedef struct reader {
    const scene *s;
    uint64_t hash;
} reader;

static void *read_often(void *arg)
{
    reader *r = arg;
    float *out = malloc((size_t)(r->s->p.rows * ALL) * sizeof *out);
    for (int i = 0; i < 20; i++) {
        if (mtl_predict(r->s->mean, r->s->p.rows, r->s->p.x, PROBLEM_INPUTS, out, ALL, NULL))
            out[0] = -1;
        r->hash = hash_bytes(HASH_START, out, (size_t)(r->s->p.rows * ALL) * sizeof *out);
    }
    free(out);
    return NULL;
}

START_TEST(many_readers)
{
    scene s = scene_make(NULL);
    pthread_t thread[4];
    reader r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = (reader){&s, 0};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_often, &r[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        ck_assert_uint_eq(r[i].hash, predict_hash(s.mean, &s.p));
    }
    scene_free(&s);
}
END_TEST

/* All columns of the rows as compressed rows. */
START_TEST(sparse_rows)
{
    problem p = problem_make(300, 8, 10);
    mtl_dataset *dense = problem_data(&p, NULL), *sparse = NULL;
    mtl_model *one[2], *mean = NULL;
    int64_t *start = calloc(301, sizeof *start);
    int32_t *column = calloc(300 * PROBLEM_INPUTS, sizeof *column);
    for (int64_t r = 0; r <= p.rows; r++)
        start[r] = r * PROBLEM_INPUTS;
    for (int64_t i = 0; i < p.rows * PROBLEM_INPUTS; i++)
        column[i] = (int32_t)(i % PROBLEM_INPUTS);
    one[0] = fitted(problem_spec(NULL), dense, "epochs=3 scaler=max_abs");
    one[1] = fitted(linear_spec(NULL), dense, "epochs=3 scale_inputs=0");
    done(mtl_model_create_average((const mtl_model *const *)one, 2, NULL, &mean, err));
    float *want = predicted(mean, &p), *got = floats(p.rows * ALL);
    done(mtl_predict_csr(mean, p.rows, start, column, p.x, got, ALL, err));
    assert_same_bits(got, want, p.rows * ALL);
    done(mtl_dataset_create_csr(NULL, p.rows, PROBLEM_INPUTS, start, column, p.x, &sparse, err));
    done(mtl_dataset_set_labels(sparse, "hours", 2, p.hours, 2, err));
    mtl_report *a = NULL, *b = NULL;
    done(mtl_evaluate(mean, sparse, NULL, &a, err));
    done(mtl_evaluate(mean, dense, NULL, &b, err));
    ck_assert_double_eq(figure(a, "loss/hours"), figure(b, "loss/hours"));
    mtl_report_destroy(a), mtl_report_destroy(b);
    mtl_model_destroy(mean);
    mtl_model_destroy(one[1]);
    one[1] = fitted(linear_spec(NULL), dense, "epochs=3"); /* moves columns */
    done(mtl_model_create_average((const mtl_model *const *)one, 2, NULL, &mean, err));
    refused(mtl_predict_csr(mean, p.rows, start, column, p.x, got, ALL, err), MTL_ERR_STATE, "moves");
    free(want), free(got), free(start), free(column);
    mtl_model_destroy(one[0]), mtl_model_destroy(one[1]), mtl_model_destroy(mean);
    mtl_dataset_destroy(dense), mtl_dataset_destroy(sparse);
    problem_free(&p);
}
END_TEST

static int32_t give_rows(int64_t first, int64_t rows, float *x, void *user)
{
    const problem *p = user;
    memcpy(x, p->x + first * PROBLEM_INPUTS, (size_t)(rows * PROBLEM_INPUTS) * sizeof *x);
    return MTL_CONTINUE;
}

/* Rows that come by windows, missing inputs among them. */
START_TEST(streamed_rows)
{
    scene s = scene_make(NULL);
    mtl_dataset *d = NULL;
    done(mtl_dataset_create_stream(NULL, s.p.rows, PROBLEM_INPUTS, 70, give_rows, &s.p, &d, err));
    done(mtl_dataset_set_labels(d, "grade", 1, s.p.grade, 1, err));
    done(mtl_dataset_set_labels(d, "hours", 2, s.p.hours, 2, err));
    mtl_report *a = NULL, *b = NULL;
    done(mtl_evaluate(s.mean, d, NULL, &a, err));
    done(mtl_evaluate(s.mean, s.data, NULL, &b, err));
    ck_assert_double_eq(figure(a, "loss/grade"), figure(b, "loss/grade"));
    ck_assert_double_eq(figure(a, "metric/rmse/hours"), figure(b, "metric/rmse/hours"));
    mtl_report_destroy(a), mtl_report_destroy(b);
    mtl_dataset_destroy(d);
    scene_free(&s);
}
END_TEST

/* ---- Evaluate and calibrate ---------------------------------------------------------------- */

static mtl_report *evaluated(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_EVALUATE, "");
    done(mtl_options_set_str(o, "metrics", "auto", err));
    done(mtl_evaluate(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

START_TEST(evaluates)
{
    scene s = scene_make(NULL);
    mtl_report *r = evaluated(s.mean, s.data);
    float *p = predicted(s.mean, &s.p);
    double value, loss = 0;
    static const char *const rmse[] = {"rmse", "mae", "r2"};
    for (int i = 0; i < 3; i++) {
        char name[40];
        snprintf(name, sizeof name, "metric/%s/hours", rmse[i]);
        done(mtl_metric(rmse[i], s.p.rows, 2, p + 6, ALL, 2, s.p.hours, 2, NULL, &value, NULL, err));
        ck_assert_double_eq(figure(r, name), value);
    }
    done(mtl_metric("roc_auc", s.p.rows, 1, p, ALL, 1, s.p.fails, 1, NULL, &value, NULL, err));
    ck_assert_double_eq(figure(r, "metric/roc_auc/fails"), value);
    /* The losses are the log losses of the mean probabilities. */
    done(mtl_metric("log_loss", s.p.rows, 1, p, ALL, 1, s.p.fails, 1, NULL, &value, NULL, err));
    assert_near(figure(r, "loss/fails"), value, 1e-6);
    loss += value;
    done(mtl_metric("log_loss", s.p.rows, 3, p + 3, ALL, 1, s.p.grade, 1, NULL, &value, NULL, err));
    assert_near(figure(r, "loss/grade"), value, 1e-6);
    loss += value + figure(r, "loss/tags") + 0.5 * figure(r, "loss/hours");
    assert_near(figure(r, "loss"), loss, 1e-6);
    mtl_report_destroy(r);
    free(p);
    scene_free(&s);
}
END_TEST

/* A member alone has its own losses. */
START_TEST(losses_of_one_member)
{
    scene s = scene_make(NULL);
    for (int k = 0; k < MEMBERS; k++) {
        mtl_model *m = NULL;
        const mtl_model *one = s.one[k];
        done(mtl_model_create_average(&one, 1, NULL, &m, err));
        mtl_report *a = evaluated(m, s.data), *b = evaluated(one, s.data);
        ck_assert_int_eq(mtl_report_count(a), mtl_report_count(b));
        for (int64_t i = 0; i < mtl_report_count(a); i++) {
            const char *name = mtl_report_name(a, i);
            if (mtl_report_type(a, name) == MTL_TYPE_F64)
                assert_near(figure(a, name), figure(b, name), 2e-6);
        }
        mtl_report_destroy(a), mtl_report_destroy(b);
        mtl_model_destroy(m);
    }
    scene_free(&s);
}
END_TEST

/* Links and their ways back, for every link. */
START_TEST(links_have_ways_back)
{
    static const struct {
        const char *loss;
        int32_t kind;
    } all[] = {{"auto", MTL_BINARY},    {"auto", MTL_MULTICLASS}, {"ordinal", MTL_MULTICLASS},
               {"auto", MTL_MULTILABEL}, {"auto", MTL_REGRESSION}, {"auto", MTL_COUNT},
               {"auto", MTL_QUANTILE}};
    uint64_t state = 5;
    const mtl__vec *vec = mtl__vec_table(MTL__CPU_C);
    for (int i = 0; i < MTL__COUNT_OF(all); i++) {
        enum { ROWS = 50, COLS = 4 };
        float z[ROWS * COLS], p[ROWS * COLS], q[ROWS * COLS];
        const mtl__loss *loss;
        double param[MTL__CHOICE_PARAMS];
        assert_ok(mtl__loss_choose(all[i].loss, "t", all[i].kind, &loss, param, NULL));
        for (int j = 0; j < ROWS * COLS; j++)
            z[j] = 3 * next_unit(&state);
        memcpy(p, z, sizeof p);
        if (loss->link)
            loss->link(vec, ROWS, COLS, p, COLS);
        memcpy(q, p, sizeof q);
        mtl__unlink_fn *back = mtl__loss_unlink(loss->link);
        ck_assert((back != NULL) == (loss->link != NULL));
        for (int r = 0; back && r < ROWS; r++)
            back(COLS, q + r * COLS);
        if (loss->link)
            loss->link(vec, ROWS, COLS, q, COLS);
        for (int j = 0; j < ROWS * COLS; j++)
            assert_near((double)q[j], (double)p[j], 2e-6);
    }
}
END_TEST

START_TEST(links_at_their_ends)
{
    static const float ends[][3] = {{0, 0, 1}, {1, 0, 0}, {0, 1, 0}, {0.5f, 0.5f, 0.5f}};
    static const char *const losses[] = {"cross_entropy", "ordinal"};
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < 4; i++) {
            float z[3];
            const mtl__loss *loss;
            double param[MTL__CHOICE_PARAMS];
            assert_ok(mtl__loss_choose(losses[l], "t", MTL_MULTICLASS, &loss, param, NULL));
            memcpy(z, ends[i], sizeof z);
            mtl__loss_unlink(loss->link)(3, z);
            for (int j = 0; j < 3; j++)
                ck_assert(isfinite(z[j]));
        }
}
END_TEST

START_TEST(calibrates)
{
    scene s = scene_make(NULL);
    mtl_options *o = options(MTL_OPTIONS_CALIBRATE, "binary=platt coverage=0.8");
    float *before = predicted(s.mean, &s.p), *lower = floats(2 * s.p.rows);
    float *upper = floats(2 * s.p.rows);
    mtl_report *r = NULL, *e;
    done(mtl_model_calibrate(s.mean, s.data, o, &r, err));
    float *after = predicted(s.mean, &s.p);
    const double slope = figure(r, "slope/fails"), shift = figure(r, "shift/fails");
    const double t = figure(r, "temperature/grade");
    for (int64_t row = 0; row < s.p.rows; row++) {
        const float *b = before + row * ALL, *a = after + row * ALL;
        const double z = log((double)b[0] / (1 - (double)b[0]));
        double sum = 0, powers[3];
        assert_near((double)a[0], 1 / (1 + exp(-(slope * z + shift))), 1e-6);
        for (int j = 0; j < 3; j++)
            sum += powers[j] = pow((double)b[3 + j], 1 / t);
        for (int j = 0; j < 3; j++)
            assert_near((double)a[3 + j], powers[j] / sum, 1e-6);
        assert_same_bits(a + 6, b + 6, 2); /* values stay */
    }
    e = evaluated(s.mean, s.data);
    assert_near(figure(e, "loss/fails"), figure(r, "log_loss/after/fails"), 1e-5);
    ck_assert_double_le(figure(r, "log_loss/after/grade"), figure(r, "log_loss/before/grade"));
    done(mtl_predict_interval(s.mean, 3, s.p.rows, s.p.x, PROBLEM_INPUTS, lower, upper, 2, err));
    int64_t inside = 0, labels = 0;
    for (int64_t i = 0; i < 2 * s.p.rows; i++) {
        labels += !isnan(s.p.hours[i]);
        inside += s.p.hours[i] >= lower[i] && s.p.hours[i] <= upper[i];
    }
    ck_assert_int_ge(inside, (int64_t)(0.79 * (double)labels));
    ck_assert_int_le(inside, (int64_t)(0.82 * (double)labels) + 2);
    /* Saved, loaded, cloned and in predictors. */
    bytes b = saved(s.mean);
    mtl_model *loaded = NULL, *copy = NULL;
    done(mtl_model_load_buffer(NULL, b.p, b.size, &loaded, err));
    done(mtl_model_clone(s.mean, &copy, err));
    float *got = floats(s.p.rows * ALL);
    run_predictor(s.mean, &s.p, 0, got);
    assert_same_bits(got, after, s.p.rows * ALL);
    ck_assert_uint_eq(predict_hash(loaded, &s.p), predict_hash(s.mean, &s.p));
    ck_assert_uint_eq(predict_hash(copy, &s.p), predict_hash(s.mean, &s.p));
    mtl_model *outer = NULL;
    const mtl_model *one = s.mean;
    refused(mtl_model_create_average(&one, 1, NULL, &outer, err), MTL_ERR_STATE, "calibrated");
    mtl_model_destroy(loaded), mtl_model_destroy(copy);
    mtl_report_destroy(r), mtl_report_destroy(e);
    mtl_options_destroy(o);
    free(b.p), free(before), free(after), free(got), free(lower), free(upper);
    scene_free(&s);
}
END_TEST

/* ---- Tensors, files ------------------------------------------------------------------------ */

START_TEST(tensors_of_members)
{
    scene s = scene_make(NULL);
    int64_t total = 0, n;
    for (int k = 0; k < MEMBERS; k++)
        total += mtl_model_tensor_count(s.one[k]);
    ck_assert_int_eq(mtl_model_tensor_count(s.mean), total);
    float all[4096], own[4096];
    done(mtl_model_tensor_get(s.mean, "member.2.trunk.0.weight", 12 * 9, all, err));
    done(mtl_model_tensor_get(s.one[2], "trunk.0.weight", 12 * 9, own, err));
    assert_same_bits(all, own, 12 * 9);
    float *a = parameters(s.mean, &n);
    free(a);
    done(mtl_model_tensor_get(s.one[0], "head.fails.bias", 1, own, err));
    own[0] += 2;
    const uint64_t before = predict_hash(s.mean, &s.p);
    done(mtl_model_tensor_set(s.mean, "member.0.head.fails.bias", 1, own, err));
    done(mtl_model_tensor_set(s.one[0], "head.fails.bias", 1, own, err));
    ck_assert_uint_ne(predict_hash(s.mean, &s.p), before);
    float *got = predicted(s.mean, &s.p), *want = by_hand(&s);
    assert_same_bits(got, want, s.p.rows * ALL);
    refused(mtl_model_tensor_get(s.mean, "trunk.0.weight", 72, all, err), MTL_ERR_NAME, "trunk.0");
    refused(mtl_model_tensor_get(s.mean, "member.3.trunk.0.weight", 72, all, err), MTL_ERR_NAME, "");
    char *text = NULL;
    done(mtl_model_summary(s.mean, &text, err));
    ck_assert_ptr_nonnull(strstr(text, "member.1, 0.75 of fails, 1 of tags, 0.25 of hours"));
    mtl_free(text);
    free(got), free(want);
    scene_free(&s);
}
END_TEST

START_TEST(saved_and_loaded)
{
    scene s = scene_make(NULL);
    mtl_model *same[2];
    done(mtl_model_freeze(s.one[1], "head.tags", 1, err));
    mtl_model_destroy(s.mean);
    done(mtl_model_create_average((const mtl_model *const *)s.one, MEMBERS, weights[0], &s.mean,
                                  err));
    read_and_clone(s.mean, same);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(predict_hash(same[i], &s.p), predict_hash(s.mean, &s.p));
        mtl_report *x = evaluated(same[i], s.data), *y = evaluated(s.mean, s.data);
        ck_assert_double_eq(figure(x, "loss"), figure(y, "loss"));
        mtl_report_destroy(x), mtl_report_destroy(y);
    }
    char path[] = "/tmp/mtl_members_XXXXXX";
    close(mkstemp(path));
    done(mtl_model_save(s.mean, path, err));
    mtl_model_destroy(same[0]);
    done(mtl_model_load(NULL, path, &same[0], err));
    assert_same_model(same[0], s.mean);
    unlink(path);
    mtl_model_destroy(same[0]), mtl_model_destroy(same[1]);
    scene_free(&s);
}
END_TEST

START_TEST(every_cut_is_refused)
{
    scene s = scene_make(NULL);
    bytes b = saved(s.mean);
    for (int64_t n = 0; n < b.size; n += 1 + n / 50)
        ck_assert_int_ne(load_status(b.p, n), MTL_OK);
    for (int64_t bit = 0; bit < 8 * b.size; bit += 97) {
        b.p[bit / 8] ^= (char)(1 << bit % 8);
        ck_assert_int_ne(load_status(b.p, b.size), MTL_OK);
        b.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    ck_assert_int_eq(load_status(b.p, b.size), MTL_OK);
    free(b.p);
    scene_free(&s);
}
END_TEST

START_TEST(hostile_members)
{
    static const struct {
        const char *from, *to;
        mtl_status expected;
    } changes[] = {
        {"\"mtl.format\":\"2\"", "\"mtl.format\":\"1\"", MTL_ERR_FORMAT},
        {"\"mtl.format\":\"2\"", "\"mtl.format\":\"3\"", MTL_ERR_VERSION},
        {"\"mtl.member.1.spec\"", "\"mtl.member.9.spec\"", MTL_ERR_FORMAT},
        {"\"mtl.member.2.pipeline\"", "\"mtl.member.3.pipeline\"", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[", "\\\"member\\\":[[", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[", "\\\"members\\\":[[0,", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[", "\\\"members\\\":[1,[", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[", "\\\"members\\\":[[],[", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[", "\\\"members\\\":[[0,0,0,0],[", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[0.25,", "\\\"members\\\":[[0.5,", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[0.25,", "\\\"members\\\":[[-0.25,", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[0.25,", "\\\"members\\\":[[1e999,", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[0.25,", "\\\"members\\\":[[null,", MTL_ERR_FORMAT},
        {"\\\"members\\\":[[0.25,", "\\\"members\\\":[[\\\"1\\\",", MTL_ERR_FORMAT},
        {",[0,0,0.3", ",[0.5,0,0.3", MTL_ERR_FORMAT},
        {"\\\"trunk\\\":[]", "\\\"trunk\\\":[{\\\"type\\\":\\\"dropout\\\",\\\"rate\\\":0.1}]",
         MTL_ERR_FORMAT},
        {"\\\"trunk\\\":[]", "\\\"linear_skip\\\":true,\\\"trunk\\\":[]", MTL_ERR_FORMAT},
        {"\\\"trunk\\\":[]",
         "\\\"ensemble\\\":\\\"tabm\\\",\\\"ensemble_members\\\":4,\\\"trunk\\\":[]",
         MTL_ERR_FORMAT},
        {"\\\"inputs\\\":6", "\\\"inputs\\\":7", MTL_ERR_FORMAT},
        {"\\\"kind\\\":\\\"binary\\\"", "\\\"kind\\\":\\\"multilabel\\\"", MTL_ERR_FORMAT},
        {"\\\"name\\\":\\\"fails\\\"", "\\\"name\\\":\\\"other\\\"", MTL_ERR_FORMAT},
        {"\\\"units\\\":12", "\\\"units\\\":16777216", MTL_ERR_FORMAT},
        {"\\\"units\\\":12", "\\\"units\\\":13", MTL_ERR_FORMAT},
        {"\\\"frozen\\\":[]", "\\\"frozen\\\":[\\\"member.0.trunk.0.weight\\\"]", MTL_ERR_FORMAT},
        {"\"member.1.head.fails.bias\"", "\"member.1.head.fails.bios\"", MTL_ERR_FORMAT},
        {"\"member.1.pipeline.input.mean\"", "\"member.7.pipeline.input.mean\"", MTL_ERR_FORMAT},
    };
    scene s = scene_make(NULL);
    bytes b = saved(s.mean);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        bytes c = changed(&b, changes[i].from, changes[i].to);
        mtl_status st = load_status(c.p, c.size);
        ck_assert_msg(st == changes[i].expected, "%s to %s: %s, not %s", changes[i].from,
                      changes[i].to, mtl_status_name(st), mtl_status_name(changes[i].expected));
        free(c.p);
    }
    /* A member that claims to have members. */
    const char *key = "\"mtl.member.0.spec\":\"{";
    bytes c = changed(&b, key, "\"mtl.member.0.spec\":\"{\\\"members\\\":[[1,1,1,1]],");
    refused(mtl_model_load_buffer(NULL, c.p, c.size, &(mtl_model *){NULL}, err), MTL_ERR_FORMAT,
            "member 0 has members");
    free(b.p), free(c.p);
    scene_free(&s);
}
END_TEST

/* ---- What is refused, what goes on --------------------------------------------------------- */

START_TEST(is_not_trained)
{
    scene s = scene_make(NULL);
    mtl_trainer *t = NULL;
    mtl_report *r = NULL;
    const uint64_t before = predict_hash(s.mean, &s.p);
    refused(mtl_fit(s.mean, s.data, NULL, NULL, NULL, err), MTL_ERR_STATE, "3 members");
    refused(mtl_partial_fit(s.mean, s.data, NULL, NULL, err), MTL_ERR_STATE, "3 members");
    refused(mtl_trainer_create(s.mean, s.data, NULL, NULL, &t, err), MTL_ERR_STATE, "3 members");
    refused(mtl_lr_find(s.mean, s.data, NULL, &r, err), MTL_ERR_STATE, "3 members");
    refused(mtl_model_freeze(s.mean, "member.0.trunk", 1, err), MTL_ERR_STATE, "3 members");
    ck_assert_uint_eq(predict_hash(s.mean, &s.p), before);
    mtl_model_destroy(s.mean); /* nothing of it is left claimed */
    s.mean = NULL;
    scene_free(&s);
}
END_TEST

START_TEST(transfer_takes_the_leading_member)
{
    static const double most[MEMBERS][PROBLEM_TASKS] = {
        {1, 1, 0, 0}, {9, 9, 1, 1}, {0, 0, 9, 9}}; /* most weight: the linear one */
    scene s = scene_make(NULL);
    mtl_model *m = NULL, *from_mean = NULL, *from_member = NULL;
    mtl_dataset *target = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=fine_tune epochs=3");
    done(mtl_dataset_create(NULL, s.p.x, 30, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, s.p.hours, 2, err));
    done(mtl_model_create_average((const mtl_model *const *)s.one, MEMBERS, most[0], &m, err));
    done(mtl_transfer(m, target, NULL, o, &from_mean, NULL, err));
    done(mtl_transfer(s.one[2], target, NULL, o, &from_member, NULL, err));
    assert_same_model(from_mean, from_member);
    ck_assert_int_eq(mtl_model_member_count(from_mean), 0);
    mtl_model_destroy(m), mtl_model_destroy(from_mean), mtl_model_destroy(from_member);
    mtl_dataset_destroy(target);
    mtl_options_destroy(o);
    scene_free(&s);
}
END_TEST

static mtl_model *other_model(int64_t inputs, int32_t kind, int64_t outputs, const char *quantiles)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, inputs, &s, err));
    done(mtl_spec_add_task(s, "fails", kind, outputs, err));
    if (quantiles)
        done(mtl_spec_task_set_str(s, "fails", "quantiles", quantiles, err));
    done(mtl_model_create(s, &m, err));
    float zero = 0;
    mtl_spec_destroy(s);
    if (outputs == 1)
        done(mtl_model_tensor_set(m, "head.fails.bias", 1, &zero, err));
    else
        done(mtl_model_tensor_set(m, "head.fails.bias", outputs, (float[4]){0}, err));
    return m;
}

START_TEST(arguments)
{
    scene s = scene_make(NULL);
    mtl_model *m = NULL, *fresh = problem_model(NULL);
    mtl_model *wide = other_model(7, MTL_BINARY, 1, NULL);
    mtl_model *value = other_model(PROBLEM_INPUTS, MTL_REGRESSION, 1, NULL);
    mtl_model *low = other_model(PROBLEM_INPUTS, MTL_QUANTILE, 2, "0.1/0.5");
    mtl_model *high = other_model(PROBLEM_INPUTS, MTL_QUANTILE, 2, "0.5/0.9");
    const mtl_model *pair[2] = {s.one[0], s.one[1]};
    double w[2][PROBLEM_TASKS] = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    refused(mtl_model_create_average(NULL, 2, NULL, &m, err), MTL_ERR_INVALID, "members");
    refused(mtl_model_create_average(pair, 2, NULL, NULL, err), MTL_ERR_INVALID, "out");
    refused(mtl_model_create_average(pair, 0, NULL, &m, err), MTL_ERR_RANGE, "not 0");
    refused(mtl_model_create_average(pair, -1, NULL, &m, err), MTL_ERR_RANGE, "not -1");
    static const double bad[] = {-1, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        w[1][2] = bad[i];
        refused(mtl_model_create_average(pair, 2, w[0], &m, err), MTL_ERR_VALUE, "grade");
    }
    w[0][2] = w[1][2] = 0;
    refused(mtl_model_create_average(pair, 2, w[0], &m, err), MTL_ERR_VALUE, "grade");
    w[0][2] = 1;
    pair[1] = NULL;
    refused(mtl_model_create_average(pair, 2, NULL, &m, err), MTL_ERR_INVALID, "member 1 is NULL");
    pair[1] = s.one[2];
    refused(mtl_model_create_average(pair, 2, w[0], &m, err), MTL_ERR_NAME, "fails");
    pair[1] = fresh;
    refused(mtl_model_create_average(pair, 2, NULL, &m, err), MTL_ERR_STATE, "never fitted");
    pair[1] = wide;
    refused(mtl_model_create_average(pair, 2, NULL, &m, err), MTL_ERR_SHAPE, "7 inputs");
    pair[1] = value;
    refused(mtl_model_create_average(pair, 2, NULL, &m, err), MTL_ERR_SHAPE, "regression");
    pair[0] = low, pair[1] = high;
    refused(mtl_model_create_average(pair, 2, NULL, &m, err), MTL_ERR_SHAPE, "quantiles");
    ck_assert_ptr_null(m);
    mtl_model_destroy(fresh), mtl_model_destroy(wide), mtl_model_destroy(value);
    mtl_model_destroy(low), mtl_model_destroy(high);
    scene_free(&s);
}
END_TEST

/* ---- Memory -------------------------------------------------------------------------------- */

typedef struct tries {
    scene s;
    bytes file;
    float *out;
} tries;

static mtl_status without_memory(void *arg)
{
    tries *t = arg;
    scene *s = &t->s;
    mtl_model *m = NULL, *copy = NULL, *loaded = NULL;
    mtl_predictor *p = NULL;
    void *buffer = NULL;
    int64_t size;
    mtl_report *r = NULL;
    char *text = NULL;
    mtl_status st = mtl_model_create_average((const mtl_model *const *)s->one, MEMBERS, weights[0],
                                             &m, NULL);
    if (st == MTL_OK)
        st = mtl_model_clone(m, &copy, NULL);
    if (st == MTL_OK)
        st = mtl_predict(m, s->p.rows, s->p.x, PROBLEM_INPUTS, t->out, ALL, NULL);
    if (st == MTL_OK)
        st = mtl_predictor_create(m, 8, &p, NULL);
    if (st == MTL_OK)
        st = mtl_model_save_buffer(m, &buffer, &size, NULL);
    if (st == MTL_OK)
        st = mtl_model_load_buffer(s->ctx, t->file.p, t->file.size, &loaded, NULL);
    if (st == MTL_OK)
        st = mtl_evaluate(m, s->data, NULL, &r, NULL);
    if (st == MTL_OK)
        st = mtl_model_calibrate(m, s->data, NULL, NULL, NULL);
    if (st == MTL_OK)
        st = mtl_model_summary(m, &text, NULL);
    mtl_free(text);
    mtl_report_destroy(r);
    mtl_free(buffer);
    mtl_predictor_destroy(p);
    mtl_model_destroy(m), mtl_model_destroy(copy), mtl_model_destroy(loaded);
    return st;
}

START_TEST(memory_runs_out)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    tries t = {.s = scene_make(ctx)};
    t.file = saved(t.s.mean);
    t.out = floats(t.s.p.rows * ALL);
    ck_assert_int_gt(sweep_allocations(&memory, without_memory, &t), 100);
    float *want = by_hand(&t.s);
    assert_same_bits(t.out, want, t.s.p.rows * ALL);
    free(want), free(t.out), free(t.file.p);
    scene_free(&t.s);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("members");
    add_case(s, "a prediction is the mean by hand, bit for bit", is_the_mean);
    add_case(s, "a task alone has the same bits", one_task_alone);
    add_case(s, "weight 1 gives the member's bits", one_hot_weights_pick);
    add_case(s, "averages of averages", averages_are_taken_apart);
    add_case(s, "predictors: same bits, no memory, no model", predictors);
    add_case(s, "threads and levels do not matter", threads_do_not_matter);
    add_case(s, "many readers at once", many_readers);
    add_case(s, "sparse rows", sparse_rows);
    add_case(s, "streamed rows", streamed_rows);
    add_case(s, "evaluate", evaluates);
    add_case(s, "one member has its own losses", losses_of_one_member);
    add_case(s, "links have ways back", links_have_ways_back);
    add_case(s, "ways back at the ends are finite", links_at_their_ends);
    add_case(s, "calibrate", calibrates);
    add_case(s, "tensors of members", tensors_of_members);
    add_case(s, "saved, loaded, cloned", saved_and_loaded);
    add_case(s, "every cut and flipped bit is refused", every_cut_is_refused);
    add_case(s, "hostile files", hostile_members);
    add_case(s, "no training", is_not_trained);
    add_case(s, "transfer from the leading member", transfer_takes_the_leading_member);
    add_case(s, "arguments", arguments);
    add_case(s, "memory runs out at any point", memory_runs_out);
    return run_suite(s);
}
