/* SPDX-License-Identifier: MIT */
/* A predictor gives the bits of mtl_predict() for every network, number of rows, stride and
   instruction set, keeps the model as it was, and takes no memory while it runs. */
#include "api_testing.h"

#include <pthread.h>

enum { ROWS = 300, MOST_INPUTS = 150 };

static mtl_predictor *predictor(const mtl_model *m, int64_t block_rows)
{
    mtl_predictor *p = NULL;
    done(mtl_predictor_create(m, block_rows, &p, err));
    ck_assert_ptr_nonnull(p);
    return p;
}

/* ---- Networks ------------------------------------------------------------------------------ */

typedef struct net {
    const char *what;
    int inputs;
    int units[3];    /* of the trunk; 0 = no such layer */
    double dropout;  /* behind each of them */
    bool has_towers; /* every other task has layers of its own */
    int classes;
} net;

static const net nets[] = {
    {"plain heads", 20, {64, 64}, 0, false, 3},
    {"odd widths", 7, {33, 1, 19}, 0, false, 2},
    {"wide", 150, {20, 257}, 0, false, 40},
    {"no trunk", 9, {0}, 0, false, 3},
    {"no trunk, own layers", 9, {0}, 0, true, 3},
    {"own layers", 12, {40, 24}, 0, true, 5},
    {"dropout", 12, {40, 24}, 0.3, false, 4},
    {"dropout and own layers", 12, {17}, 0.5, true, 3},
    {"dropout on the inputs alone", 5, {0}, 0.2, true, 3},
};
enum { NETS = sizeof nets / sizeof *nets };

static void add_tasks(mtl_spec *s, const net *n)
{
    static const struct {
        const char *name, *head;
        int32_t kind;
        int outputs;
    } tasks[] = {{"a", NULL, MTL_BINARY, 1},        {"b", "9:tanh", MTL_BINARY, 1},
                 {"c", NULL, MTL_REGRESSION, 3},    {"d", "5:relu,18:sigmoid", MTL_MULTICLASS, 0},
                 {"e", NULL, MTL_MULTICLASS, 0},    {"f", "3:identity", MTL_REGRESSION, 1},
                 {"g", NULL, MTL_MULTILABEL, 2},    {"h", NULL, MTL_BINARY, 1},
                 {"i", "6:relu", MTL_MULTILABEL, 4}};
    for (int t = 0; t < 9; t++) {
        int outputs = tasks[t].outputs ? tasks[t].outputs : n->classes;
        done(mtl_spec_add_task(s, tasks[t].name, tasks[t].kind, outputs, err));
        if (n->has_towers && tasks[t].head)
            done(mtl_spec_task_set_str(s, tasks[t].name, "head", tasks[t].head, err));
    }
}

/* Biases and scales that a fit would leave are wanted too, so it is fitted for one epoch. */
static mtl_model *model_of(const net *n, mtl_context *ctx)
{
    uint64_t seed = 9;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    float *x = floats(40 * n->inputs), *values = floats(40 * 3), *label = floats(40);
    for (int i = 0; i < 40 * n->inputs; i++)
        x[i] = 5 * next_unit(&seed) + 2;
    for (int i = 0; i < 40; i++) {
        label[i] = (float)(next_u32(&seed) % 2);
        for (int j = 0; j < 3; j++)
            values[3 * i + j] = 100 * next_unit(&seed);
    }
    done(mtl_spec_create(ctx, n->inputs, &s, err));
    if (n->dropout > 0)
        done(mtl_spec_add_dropout(s, n->dropout, err));
    for (int i = 0; i < 3 && n->units[i]; i++) {
        done(mtl_spec_add_dense(s, n->units[i], i % 2 ? "tanh" : "relu", err));
        if (n->dropout > 0)
            done(mtl_spec_add_dropout(s, n->dropout, err));
    }
    add_tasks(s, n);
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(ctx, x, 40, n->inputs, n->inputs, &d, err));
    done(mtl_dataset_set_labels(d, "a", 1, label, 1, err));
    done(mtl_dataset_set_labels(d, "c", 3, values, 3, err));
    done(mtl_dataset_set_labels(d, "f", 1, values, 3, err));
    fit(m, d, "epochs=1");
    mtl_dataset_destroy(d);
    mtl_spec_destroy(s);
    free(x), free(values), free(label);
    return m;
}

/* Inputs with missing values, single and whole rows of them, in rows `stride` apart; what lies
   between the rows is infinite. */
static float *inputs_with_gaps(int64_t cols, int64_t stride)
{
    uint64_t seed = 4;
    float *x = floats(ROWS * stride);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < stride; j++) {
            float value = 4 * next_unit(&seed);
            bool missing = r % 50 == 7 || next_u32(&seed) % 10 == 0;
            x[r * stride + j] = j >= cols ? INFINITY : missing ? NAN : value;
        }
    return x;
}

/* ---- The same bits ------------------------------------------------------------------------- */

static void check_run(const char *what, mtl_predictor *p, int64_t rows, const float *x,
                      int64_t x_stride, const float *expected, int64_t cols, int64_t stride)
{
    float *out = floats((rows + 1) * stride);
    for (int64_t i = 0; i < (rows + 1) * stride; i++)
        out[i] = 77;
    done(mtl_predictor_run(p, rows, x, x_stride, out, stride, err));
    for (int64_t r = 0; r <= rows; r++)
        for (int64_t j = 0; j < stride; j++) {
            float right = r < rows && j < cols ? expected[r * cols + j] : 77;
            ck_assert_msg(memcmp(&out[r * stride + j], &right, sizeof right) == 0,
                          "%s, %lld rows, row %lld, column %lld: %a, not %a", what, (long long)rows,
                          (long long)r, (long long)j, (double)out[r * stride + j], (double)right);
        }
    free(out);
}

static void check_net(const net *n, const char *how)
{
    static const int64_t rows[] = {0, 1, 2, 15, 16, 17, 255, 256, 257, ROWS};
    static const int64_t blocks[] = {0, 1, 3, 16, 100, 2000};
    mtl_context *ctx = context(how);
    mtl_model *m = model_of(n, ctx);
    const int64_t cols = mtl_model_outputs(m), x_stride = n->inputs + 3;
    float *x = inputs_with_gaps(n->inputs, x_stride), *expected = floats(ROWS * cols);
    /* Row by row: what the blocks are is then of no account. */
    for (int64_t r = 0; r < ROWS; r++)
        done(mtl_predict(m, 1, x + r * x_stride, x_stride, expected + r * cols, cols, err));
    for (int b = 0; b < 6; b++) {
        mtl_predictor *p = predictor(m, blocks[b]);
        /* Around 256 rows, blocks that have a border there; small ones have theirs around 16. */
        for (int i = 0; i < 10; i++)
            if (rows[i] < 255 || rows[i] > 257 || blocks[b] == 0 || blocks[b] > 16)
                check_run(n->what, p, rows[i], x, x_stride, expected, cols, cols + (i + b) % 3);
        mtl_predictor_destroy(p);
    }
    float *whole = floats(ROWS * cols);
    done(mtl_predict(m, ROWS, x, x_stride, whole, cols, err));
    assert_same_bits(whole, expected, ROWS * cols);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    free(x), free(expected), free(whole);
}

START_TEST(bits_of_predict)
{
    static const char *const how[] = {"threads=1 cpu=c", "threads=1 cpu=avx2", "threads=2"};
    for (int i = 0; i < 3; i++)
        check_net(&nets[_i], how[i]);
}
END_TEST

/* One row, so that the level is all that differs. */
START_TEST(levels_do_not_matter)
{
    static const char *const how[] = {"cpu=c", "cpu=avx2", "threads=1"};
    float *x = inputs_with_gaps(nets[_i].inputs, nets[_i].inputs), out[3][MOST_INPUTS];
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(how[i]);
        mtl_model *m = model_of(&nets[_i], ctx);
        mtl_predictor *p = predictor(m, 1);
        ck_assert_int_le(mtl_model_outputs(m), MOST_INPUTS);
        done(mtl_predictor_run(p, 1, x, nets[_i].inputs, out[i], MOST_INPUTS, err));
        assert_same_bits(out[i], out[0], mtl_model_outputs(m));
        mtl_predictor_destroy(p);
        mtl_model_destroy(m);
        mtl_context_destroy(ctx);
    }
    free(x);
}
END_TEST

START_TEST(one_task_alone)
{
    mtl_model *m = model_of(&nets[_i], NULL);
    const int64_t inputs = nets[_i].inputs, cols = mtl_model_outputs(m);
    float *x = inputs_with_gaps(inputs, inputs), *all = floats(20 * cols), *one = floats(20 * cols);
    done(mtl_predict(m, 20, x, inputs, all, cols, err));
    for (int64_t t = 0, column = 0; t < mtl_model_task_count(m); t++) {
        int64_t n = mtl_model_task_outputs(m, t);
        done(mtl_predict_task(m, t, 20, x, inputs, one, n, err));
        for (int64_t r = 0; r < 20; r++)
            assert_same_bits(one + r * n, all + r * cols + column, n);
        column += n;
    }
    mtl_model_destroy(m);
    free(x), free(all), free(one);
}
END_TEST

/* ---- A copy -------------------------------------------------------------------------------- */

static uint64_t run_hash(mtl_predictor *p, const problem *q, mtl_status *st)
{
    float *out = calloc((size_t)(q->rows * PROBLEM_OUTPUTS), sizeof *out);
    *st = mtl_predictor_run(p, q->rows, q->x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, NULL);
    uint64_t hash = hash_bytes(HASH_START, out, (size_t)(q->rows * PROBLEM_OUTPUTS) * sizeof *out);
    free(out);
    return hash;
}

static void assert_gives(mtl_predictor *p, const problem *q, uint64_t expected)
{
    mtl_status st;
    uint64_t hash = run_hash(p, q, &st);
    ck_assert_int_eq(st, MTL_OK);
    ck_assert_uint_eq(hash, expected);
}

START_TEST(keeps_the_model_as_it_was)
{
    test_memory memory = {0};
    problem q = problem_make(300, 3, 0);
    mtl_context *ctx = counted_context(&memory, "threads=2");
    mtl_dataset *d = problem_data(&q, ctx);
    mtl_model *m = problem_model(ctx);
    mtl_predictor *fresh = predictor(m, 0);
    const uint64_t first = predict_hash(m, &q);
    assert_gives(fresh, &q, first);

    fit(m, d, "epochs=3");
    mtl_predictor *fitted = predictor(m, 0);
    const uint64_t second = predict_hash(m, &q);
    ck_assert_uint_ne(first, second);
    assert_gives(fitted, &q, second);

    const float bias[7] = {1, 2, 3, 4, 5, 6, 7};
    done(mtl_model_tensor_set(m, "trunk.1.bias", 7, bias, err));
    ck_assert_uint_ne(predict_hash(m, &q), second);
    assert_gives(fitted, &q, second);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);

    assert_gives(fresh, &q, first);
    assert_gives(fitted, &q, second);
    mtl_predictor_destroy(fresh);
    ck_assert_int_gt(memory.live, 0);
    mtl_predictor_destroy(fitted);
    ck_assert_int_eq(memory.live, 0);
    problem_free(&q);
}
END_TEST

START_TEST(takes_no_memory)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=2");
    mtl_model *m = model_of(&nets[_i], ctx);
    const int64_t inputs = nets[_i].inputs, cols = mtl_model_outputs(m);
    float *x = inputs_with_gaps(inputs, inputs), *out = floats(ROWS * cols);
    mtl_predictor *p = predictor(m, 0), *small = predictor(m, 1);
    const long long before = memory.calls;
    memory.fail_at = 1; /* whatever is asked for is refused */
    for (int64_t rows = 1; rows <= ROWS; rows += 111) {
        done(mtl_predictor_run(p, rows, x, inputs, out, cols, err));
        done(mtl_predictor_run(small, rows, x, inputs, out, cols, err));
    }
    ck_assert_int_eq(memory.calls, before);
    mtl_predictor_destroy(p), mtl_predictor_destroy(small);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
    free(x), free(out);
}
END_TEST

/* ---- Threads ------------------------------------------------------------------------------- */

typedef struct scene {
    problem q;
    mtl_model *m;
    uint64_t expected;
    atomic_int wrong;
    atomic_bool stop;
} scene;

/* Check's assertions are for its own thread: others only count. */
static void *run_often(void *arg)
{
    scene *s = arg;
    mtl_predictor *p = NULL;
    mtl_status st = mtl_predictor_create(s->m, 64, &p, NULL);
    for (int i = 0; i < 30 && st == MTL_OK; i++)
        if (run_hash(p, &s->q, &st) != s->expected)
            st = MTL_ERR_VALUE;
    atomic_fetch_add(&s->wrong, st != MTL_OK);
    mtl_predictor_destroy(p);
    return NULL;
}

START_TEST(one_for_each_thread)
{
    pthread_t thread[8];
    scene s = {.q = problem_make(200, 3, 0), .m = problem_model(NULL)};
    s.expected = predict_hash(s.m, &s.q);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_often, &s), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(s.wrong, 0);
    mtl_model_destroy(s.m);
    problem_free(&s.q);
}
END_TEST

static void *train_on(void *arg)
{
    scene *s = arg;
    mtl_dataset *d = problem_data(&s->q, NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2");
    while (!atomic_load(&s->stop))
        atomic_fetch_add(&s->wrong, mtl_fit(s->m, d, NULL, o, NULL, NULL) != MTL_OK);
    mtl_options_destroy(o);
    mtl_dataset_destroy(d);
    return NULL;
}

START_TEST(runs_while_the_model_is_trained)
{
    pthread_t thread;
    scene s = {.q = problem_make(200, 3, 0), .m = problem_model(NULL)};
    const uint64_t expected = predict_hash(s.m, &s.q);
    mtl_predictor *p = predictor(s.m, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, train_on, &s), 0);
    for (int i = 0; i < 300; i++)
        assert_gives(p, &s.q, expected);
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(s.wrong, 0);
    ck_assert_uint_ne(predict_hash(s.m, &s.q), expected);
    mtl_model_destroy(s.m);
    assert_gives(p, &s.q, expected);
    mtl_predictor_destroy(p);
    problem_free(&s.q);
}
END_TEST

/* ---- Arguments ----------------------------------------------------------------------------- */

START_TEST(arguments)
{
    mtl_model *m = problem_model(NULL);
    mtl_predictor *p = NULL;
    float x[2 * PROBLEM_INPUTS] = {0}, out[2 * PROBLEM_OUTPUTS] = {0};
    refused(mtl_predictor_create(NULL, 0, &p, err), MTL_ERR_INVALID, "model");
    refused(mtl_predictor_create(m, 0, NULL, err), MTL_ERR_INVALID, "out");
    refused(mtl_predictor_create(m, -1, &p, err), MTL_ERR_RANGE, "-1");
    refused(mtl_predictor_create(m, 16777217, &p, err), MTL_ERR_RANGE, "16777217");
    ck_assert_ptr_null(p);
    p = predictor(m, 0);
    refused(mtl_predictor_run(NULL, 1, x, 6, out, 8, err), MTL_ERR_INVALID, "predictor");
    refused(mtl_predictor_run(p, -1, x, 6, out, 8, err), MTL_ERR_SHAPE, "-1");
    refused(mtl_predictor_run(p, 2, x, 5, out, 8, err), MTL_ERR_SHAPE, "5");
    refused(mtl_predictor_run(p, 2, x, 6, out, 7, err), MTL_ERR_SHAPE, "7");
    refused(mtl_predictor_run(p, INT64_MAX / 8, x, 6, out, 8, err), MTL_ERR_SHAPE, "");
    refused(mtl_predictor_run(p, 2, NULL, 6, out, 8, err), MTL_ERR_INVALID, "x");
    refused(mtl_predictor_run(p, 2, x, 6, NULL, 8, err), MTL_ERR_INVALID, "out");
    done(mtl_predictor_run(p, 0, NULL, 6, NULL, 8, err));
    mtl_predictor_destroy(p);
    mtl_predictor_destroy(NULL);
    mtl_model_destroy(m);
}
END_TEST

static void add_looped(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test, 0, NETS);
    suite_add_tcase(s, tc);
}

/* What overflows predicts a NaN of the same bits, however the CPU came to it. */
START_TEST(one_nan)
{
    static const char *const levels[] = {"threads=1 cpu=c", "threads=1"};
    const float x[4] = {1, 1, 0.5f, -1}, huge[4] = {3e38f, 3e38f, -3e38f, -3e38f}, sum[2] = {3e38f, 3e38f};
    const uint32_t nan = 0x7fc00000u;
    for (int i = 0; i < 2; i++) {
        mtl_context *ctx = context(levels[i]);
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        float out[2], one;
        done(mtl_spec_create(ctx, 2, &s, err));
        done(mtl_spec_add_dense(s, 2, "identity", err));
        done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
        done(mtl_model_create(s, &m, err));
        done(mtl_model_tensor_set(m, "trunk.0.weight", 4, (float[]){huge[0], huge[2], huge[1], huge[3]}, err));
        done(mtl_model_tensor_set(m, "head.y.weight", 2, sum, err));
        done(mtl_predict(m, 2, x, 2, out, 1, err));
        ck_assert_mem_eq(&out[0], &nan, sizeof nan); /* inf - inf */
        done(mtl_predict_task(m, 0, 1, x, 2, &one, 1, err));
        ck_assert_mem_eq(&one, &nan, sizeof nan);
        mtl_predictor *p = predictor(m, 1);
        done(mtl_predictor_run(p, 1, x, 2, &one, 1, err));
        ck_assert_mem_eq(&one, &nan, sizeof nan);
        mtl_predictor_destroy(p);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
        mtl_context_destroy(ctx);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("predictor");
    add_looped(s, "the bits of mtl_predict", bits_of_predict);
    add_looped(s, "instruction sets do not matter", levels_do_not_matter);
    add_looped(s, "one task is its part of all", one_task_alone);
    add_case(s, "it keeps the model as it was", keeps_the_model_as_it_was);
    add_looped(s, "a run takes no memory", takes_no_memory);
    add_case(s, "one for each thread", one_for_each_thread);
    add_case(s, "it runs while the model is trained", runs_while_the_model_is_trained);
    add_case(s, "arguments", arguments);
    add_case(s, "one NaN", one_nan);
    return run_suite(s);
}
