/* SPDX-License-Identifier: MIT */
/* Trunks in which tasks have features of their own: gradients by central differences, values by PyTorch
   (make_torch_architectures.py), what an architecture promises, and all that a model goes through. */
#include <unistd.h>

#include "gradcheck.h"
#include "same_model.h"

static const ref_task binary = {.name = "b", .kind = MTL_BINARY, .outputs = 1, .weight = 1};
static const ref_task classes = {.name = "c", .kind = MTL_MULTICLASS, .outputs = 4, .weight = 2};
static const ref_task labels = {.name = "l", .kind = MTL_MULTILABEL, .outputs = 3, .weight = 1};
static const ref_task values = {.name = "v", .kind = MTL_REGRESSION, .outputs = 2, .weight = 1};

static const char *const kinds[] = {"single",           "mmoe:experts=3",       "mmoe:experts=1",
                                    "cgc",              "cgc:experts=1,own=1",  "cgc:experts=3,own=2",
                                    "ple:experts=1,own=1", "ple:experts=2,own=3", "cross_stitch",
                                    "adapter:units=3",  "soft:lambda=0"};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* --- gradients ------------------------------------------------------------------------------------ */

/* The second step finds what the first has left in the buffers. What belongs to task "b" stays where that
   has no labels, whatever other tasks read of it. */
static void check_second_step(const char *what, const ref_net *n, const ref_data *d, uint64_t seed)
{
    int64_t count, at = 0;
    mtl_model *one = ref_model(n, NULL), *two = NULL;
    mtl_dataset *data = ref_dataset(n, d, NULL);
    ref_scatter(one, seed);
    done(mtl_model_clone(one, &two, err));
    fit(one, data, ONE_STEP);
    double *theta = ref_parameters(one, &count), *expected = ref_gradient(n, theta, count, d);
    fit(two, data, ONE_STEP "epochs=2");
    double *found = ref_parameters(two, &count), largest = 0;
    for (int64_t k = 0; k < mtl_model_tensor_count(one) && !d->y[0]; k++) {
        const char *name;
        const int64_t size = tensor_size(one, k, &name);
        for (int64_t i = at; i < at + size && strstr(name, ".b."); i++)
            expected[i] = 0;
        at += size;
    }
    for (int64_t i = 0; i < count; i++) {
        const double step = theta[i] - found[i], g = step / (1 - fabs(step));
        ck_assert_msg(fabs(g - expected[i]) <= 2 * GRADIENT_BOUND * fmax(1, pow(1 + fabs(g), 2)),
                      "%s: parameter %lld: gradient of step 2 %.9g, by differences %.9g", what,
                      (long long)i, g, expected[i]);
        largest = fmax(largest, fabs(expected[i]));
    }
    ck_assert_msg(largest > 0.01, "%s: all gradients are small: nothing was checked", what);
    free(theta), free(expected), free(found);
    mtl_dataset_destroy(data);
    mtl_model_destroy(one), mtl_model_destroy(two);
}

/* Every `by`th architecture from `first` on. */
static void check(const char *what, ref_net n, int64_t rows, int first, int by)
{
    for (int i = first; i < KINDS; i += by) {
        char text[96];
        float w[40];
        n.architecture = kinds[i];
        snprintf(text, sizeof text, "%s, %s", what, kinds[i]);
        ref_data d = ref_random_data(&n, rows, 3 + (uint64_t)i, 20);
        for (int64_t r = 0; r < rows; r++)
            w[r] = (float)(1 + r % 3) / 2;
        d.weight = i % 3 ? w : NULL;
        check_gradients(text, &n, &d, 10 + (uint64_t)i);
        check_second_step(text, &n, &d, 30 + (uint64_t)i);
        const float *y = d.y[0];
        d.y[0] = NULL;
        if (ref_tasks(&n) > 1)
            check_second_step(text, &n, &d, 50 + (uint64_t)i);
        d.y[0] = y;
        ref_data_free(&d);
    }
}

START_TEST(gradients)
{
    static const char *const activations[] = {"relu", "gelu"};
    for (int a = 0; a < 2; a++) {
        ref_net n = {3, {{4, activations[a]}, {3, activations[a]}}, {binary, classes, values}};
        check(activations[a], n, 11, a, 2);
    }
    check("tanh", (ref_net){3, {{4, "tanh"}, {3, "tanh"}}, {binary, values}}, 9, 0, 1);
}
END_TEST

START_TEST(gradients_of_other_shapes)
{
    ref_net towers = {3, {{4, "silu"}}, {binary, classes, labels, values}};
    towers.task[1].head[0] = (ref_layer){4, "elu"};
    towers.task[3].head[0] = (ref_layer){4, "relu"};
    towers.task[3].head[1] = (ref_layer){3, "silu"};
    check("own layers", towers, 12, 1, 3);
    check("three layers", (ref_net){3, {{5, "tanh"}, {4, "silu"}, {3, "tanh"}}, {binary, values}}, 9, 0, 3);
    check("one task", (ref_net){3, {{4, "tanh"}, {4, "gelu"}}, {values}}, 13, 2, 2);
    check("wide", (ref_net){5, {{17, "relu"}, {18, "tanh"}}, {binary, values}}, 3, 1, 5);
}
END_TEST

/* --- predictions ---------------------------------------------------------------------------------- */

START_TEST(predictions)
{
    ref_net n = {5, {{7, "tanh"}, {6, "gelu"}}, {binary, classes, labels, values}};
    n.task[2].head[0] = (ref_layer){4, "tanh"};
    for (int i = 0; i < KINDS; i++) {
        n.architecture = kinds[i];
        ref_data d = ref_random_data(&n, 300, 4, 0);
        int64_t count, outputs = 10;
        mtl_model *m = ref_model(&n, NULL);
        ref_scatter(m, 5);
        double *theta = ref_parameters(m, &count), *want = ref_predictions(&n, theta, &d, outputs);
        float *all = floats(300 * outputs), *other = floats(300 * outputs);
        mtl_predictor *p = NULL;
        done(mtl_predict(m, 300, d.x, 5, all, outputs, err));
        for (int64_t j = 0; j < 300 * outputs; j++)
            ck_assert_double_eq_tol((double)all[j], want[j], 2e-6 * fmax(1, fabs(want[j])));
        done(mtl_predictor_create(m, 7, &p, err));
        done(mtl_predictor_run(p, 300, d.x, 5, other, outputs, err));
        assert_same_bits(all, other, 300 * outputs);
        for (int64_t t = 0, column = 0; t < 4; column += n.task[t++].outputs) {
            memset(other, 0, (size_t)(300 * outputs) * sizeof *other);
            done(mtl_predict_task(m, t, 300, d.x, 5, other + column, outputs, err));
            for (int64_t r = 0; r < 300; r++)
                assert_same_bits(all + r * outputs + column, other + r * outputs + column,
                                 n.task[t].outputs);
        }
        mtl_predictor_destroy(p);
        free(theta), free(want), free(all), free(other);
        ref_data_free(&d);
        mtl_model_destroy(m);
    }
}
END_TEST

/* --- against PyTorch -------------------------------------------------------------------------------- */

static void run_torch(const char *name, const char *architecture)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 5, &s, err));
    done(mtl_spec_add_embedding(s, 1, 4, 2, err));
    done(mtl_spec_add_dense(s, 7, "relu", err));
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dense(s, 7, "gelu", err));
    if (strcmp(name, "ple") != 0)
        done(mtl_spec_add_residual(s, 1, err));
    done(mtl_spec_set_architecture(s, architecture, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "grade", "head", "4:tanh", err));
    check_descent("torch_architectures", name, s, 5, 19, 3e-6);
    mtl_spec_destroy(s);
}

START_TEST(as_in_pytorch)
{
    run_torch("single", "single");
    run_torch("mmoe", "mmoe:experts=3");
    run_torch("cgc", "cgc:experts=2,own=1");
    run_torch("ple", "ple:experts=2,own=2");
    run_torch("cross_stitch", "cross_stitch");
    run_torch("soft", "soft:lambda=0.3");
    run_torch("adapter", "adapter:units=3");
}
END_TEST

/* --- what architectures promise --------------------------------------------------------------------- */

#define FIT "epochs=4 batch_size=33 seed=5 l2=0.01 validation_split=0.2 patience=3 "

static mtl_spec *spec_of(const char *architecture, mtl_context *ctx)
{
    mtl_spec *s = problem_spec(ctx);
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dropout(s, 0.1, err));
    done(mtl_spec_set_architecture(s, architecture, err));
    return s;
}

static mtl_model *model_of(const char *architecture, mtl_context *ctx)
{
    mtl_spec *s = spec_of(architecture, ctx);
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* Copy the tensor "from" of m into "to" of another model. */
static void copy_tensor(const mtl_model *m, const char *from, mtl_model *other, const char *to)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        const int64_t n = tensor_size(m, i, &name);
        if (strcmp(name, from) != 0)
            continue;
        float *x = floats(n);
        done(mtl_model_tensor_get(m, from, n, x, err));
        done(mtl_model_tensor_set(other, to, n, x, err));
        free(x);
        return;
    }
    ck_abort_msg("no tensor %s", from);
}

/* "single" is as many networks, each trained by itself, to the bit. */
START_TEST(single_is_nets_apart)
{
    static const char *const names[] = {"fails", "tags", "grade", "hours"};
    static const int64_t column[] = {0, 1, 3, 6}, cols[] = {1, 2, 3, 2}, label_cols[] = {1, 2, 1, 2};
    problem p = problem_make(150, 3, 0);
    const float *label[] = {p.fails, p.tags, p.grade, p.hours};
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_spec *s = problem_spec(NULL);
    mtl_model *all = NULL;
    float *out = floats(150 * PROBLEM_OUTPUTS), own[150 * 3];
    done(mtl_spec_set_architecture(s, "single", err));
    done(mtl_model_create(s, &all, err));
    mtl_spec_destroy(s);
    ref_scatter(all, 4);
    mtl_model *one[4];
    for (int t = 0; t < 4; t++) {
        static const int32_t kind[] = {MTL_BINARY, MTL_MULTILABEL, MTL_MULTICLASS, MTL_REGRESSION};
        char from[64];
        mtl_spec *spec = NULL;
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &spec, err));
        done(mtl_spec_add_dense(spec, 12, "relu", err));
        done(mtl_spec_add_dense(spec, 7, "tanh", err));
        done(mtl_spec_add_task(spec, names[t], kind[t], cols[t], err));
        if (t == 1)
            done(mtl_spec_task_set_str(spec, "tags", "head", "5:sigmoid", err));
        if (t == 3)
            done(mtl_spec_task_set_f64(spec, "hours", "weight", 0.5, err));
        done(mtl_model_create(spec, &one[t], err));
        mtl_spec_destroy(spec);
        for (int64_t i = 0; i < mtl_model_tensor_count(one[t]); i++) {
            const char *name;
            tensor_size(one[t], i, &name);
            if (strncmp(name, "trunk.", 6) == 0)
                snprintf(from, sizeof from, "own.%c.%s%s", name[6], names[t], strrchr(name, '.'));
            else
                snprintf(from, sizeof from, "%s", name);
            copy_tensor(all, from, one[t], name);
        }
    }
    fit(all, d, "epochs=3 batch_size=32 seed=2 l2=0.01");
    done(mtl_predict(all, 150, p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
    for (int t = 0; t < 4; t++) {
        mtl_dataset *of = NULL;
        done(mtl_dataset_create(NULL, p.x, 150, PROBLEM_INPUTS, PROBLEM_INPUTS, &of, err));
        done(mtl_dataset_set_labels(of, names[t], label_cols[t], label[t], label_cols[t], err));
        fit(one[t], of, "epochs=3 batch_size=32 seed=2 l2=0.01");
        done(mtl_predict(one[t], 150, p.x, PROBLEM_INPUTS, own, cols[t], err));
        for (int64_t r = 0; r < 150; r++)
            assert_same_bits(out + r * PROBLEM_OUTPUTS + column[t], own + r * cols[t], cols[t]);
        mtl_dataset_destroy(of);
        mtl_model_destroy(one[t]);
    }
    free(out);
    mtl_model_destroy(all);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* A mixture of one expert is that expert; one level of "ple" is "cgc". */
START_TEST(equal_architectures)
{
    problem p = problem_make(150, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *mixed = model_of("mmoe:experts=1", NULL), *plain = model_of("shared", NULL);
    ref_scatter(mixed, 4);
    for (int64_t i = 0; i < mtl_model_tensor_count(plain); i++) {
        char from[64];
        const char *name;
        tensor_size(plain, i, &name);
        snprintf(from, sizeof from, "%.7s.expert0%s", name, strrchr(name, '.'));
        copy_tensor(mixed, strncmp(name, "trunk.", 6) ? name : from, plain, name);
    }
    float x[150 * PROBLEM_OUTPUTS], y[150 * PROBLEM_OUTPUTS];
    done(mtl_predict(mixed, 150, p.x, PROBLEM_INPUTS, x, PROBLEM_OUTPUTS, err));
    done(mtl_predict(plain, 150, p.x, PROBLEM_INPUTS, y, PROBLEM_OUTPUTS, err));
    assert_same_bits(x, y, 150 * PROBLEM_OUTPUTS);
    mtl_model_destroy(mixed), mtl_model_destroy(plain);
    mtl_model *pair[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        mtl_spec *s = NULL;
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        done(mtl_spec_add_dense(s, 9, "relu", err));
        done(mtl_spec_set_architecture(s, i ? "ple" : "cgc", err));
        done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
        done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
        done(mtl_model_create(s, &pair[i], err));
        fit(pair[i], d, FIT);
        mtl_spec_destroy(s);
    }
    assert_same_model(pair[0], pair[1]);
    mtl_model_destroy(pair[0]), mtl_model_destroy(pair[1]);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* What starts as nothing: adapters, stitches, the pull on equal trunks. A strong pull makes them equal. */
START_TEST(starts_and_pulls)
{
    static const char *const equal[] = {"cross_stitch", "soft:lambda=5"};
    problem p = problem_make(150, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *single = model_of("single", NULL);
    for (int i = 0; i < 2; i++) {
        mtl_model *m = model_of(equal[i], NULL);
        for (int64_t k = 0; k < mtl_model_tensor_count(m) && i; k++) {
            const char *name;
            tensor_size(m, k, &name);
            copy_tensor(single, name, m, name);
        }
        for (int64_t k = 0; k < mtl_model_tensor_count(single) && !i; k++) {
            const char *name;
            char to[64];
            tensor_size(single, k, &name);
            snprintf(to, sizeof to, "%s", name);
            /* Stitches stand behind layers 0 and 1. */
            if (strncmp(name, "own.", 4) == 0)
                to[4] = name[4] == '1' ? '2' : name[4] == '2' ? '3' : name[4];
            copy_tensor(single, name, m, to);
        }
        ck_assert_uint_eq(predict_hash(m, &p), predict_hash(single, &p));
        mtl_model_destroy(m);
    }
    float apart[2];
    for (int i = 0; i < 2; i++) {
        mtl_model *m = model_of(i ? "soft:lambda=100" : "soft:lambda=0", NULL);
        float a[PROBLEM_INPUTS * 12], b[PROBLEM_INPUTS * 12];
        fit(m, d, "epochs=20 optimizer=sgd learning_rate=0.005 seed=3");
        done(mtl_model_tensor_get(m, "own.0.fails.weight", PROBLEM_INPUTS * 12, a, err));
        done(mtl_model_tensor_get(m, "own.0.hours.weight", PROBLEM_INPUTS * 12, b, err));
        apart[i] = 0;
        for (int j = 0; j < PROBLEM_INPUTS * 12; j++)
            apart[i] = fmaxf(apart[i], fabsf(a[j] - b[j]));
        mtl_model_destroy(m);
    }
    ck_assert(apart[0] > 0.1f && apart[1] < 0.02f);
    mtl_model *m = model_of("adapter", NULL);
    float up[8 * 7];
    done(mtl_model_tensor_get(m, "own.4.hours.weight", 8 * 7, up, err));
    for (int j = 0; j < 8 * 7; j++)
        ck_assert_float_eq(up[j], 0);
    mtl_model_destroy(m), mtl_model_destroy(single);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* Gates start as means, and learn; the report says what they have come to. */
START_TEST(gates)
{
    problem p = problem_make(150, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = model_of("mmoe:experts=4", NULL), *before = NULL;
    float gate[PROBLEM_INPUTS * 4];
    done(mtl_model_tensor_get(m, "gate.3.hours.weight", PROBLEM_INPUTS * 4, gate, err));
    for (int i = 0; i < PROBLEM_INPUTS * 4; i++)
        ck_assert_float_eq(gate[i], 0);
    done(mtl_model_clone(m, &before, err));
    ck_assert(tensor_bits_differ(m, before, "trunk.0.expert0.weight") == 0);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=6 batch_size=33 seed=5 learning_rate=0.05");
    mtl_report *r = NULL;
    done(mtl_fit(m, d, NULL, o, &r, err));
    double first = 0, last = 0, moved = 0;
    for (int e = 0; e < 4; e++) {
        char name[64];
        const double *series;
        int64_t count;
        snprintf(name, sizeof name, "gate.3.hours.weight/%d", e);
        done(mtl_report_get_series(r, name, &count, &series, err));
        ck_assert_int_eq(count, 6);
        first += series[0], last += series[5];
        moved = fmax(moved, fabs(series[5] - 0.25));
    }
    ck_assert_double_eq_tol(first, 1, 1e-6);
    ck_assert_double_eq_tol(last, 1, 1e-6);
    ck_assert_double_gt(moved, 0.01);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    ck_assert(tensor_bits_differ(m, before, "gate.3.hours.weight") > 1e-3f);
    ck_assert(tensor_bits_differ(m, before, "trunk.0.expert3.weight") > 1e-3f);
    ck_assert(tensor_bits_differ(m, before, "trunk.2.expert1.bias") > 1e-3f);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* --- a model's life --------------------------------------------------------------------------------- */

static uint64_t fitted_hash(const char *architecture, const problem *p, mtl_context *ctx)
{
    mtl_dataset *d = problem_data(p, ctx);
    mtl_model *m = model_of(architecture, ctx);
    fit(m, d, FIT);
    const uint64_t hash = model_hash(m) ^ predict_hash(m, p);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    return hash;
}

START_TEST(bits_do_not_depend_on_threads)
{
    static const char *const contexts[] = {"threads=1", "threads=2", "threads=5"};
    problem p = problem_make(400, 3, 15);
    for (int k = 0; k < KINDS; k++) {
        uint64_t want = 0;
        for (int i = 0; i < 3; i++) {
            mtl_context *ctx = context(contexts[i]);
            const uint64_t hash = fitted_hash(kinds[k], &p, ctx);
            want = i ? want : hash;
            ck_assert_uint_eq(hash, want);
            mtl_context_destroy(ctx);
        }
    }
    problem_free(&p);
}
END_TEST

/* Found by this test; every level, compiler and number of threads must give them again. */
START_TEST(bits_for_all_time)
{
    static const struct {
        const char *architecture;
        uint64_t want;
    } row[] = {
        {"single", 0x8b63b156d788b0b1u},
        {"mmoe:experts=3", 0x5aba99f41a9b67a3u},
        {"cgc:experts=3,own=2", 0x7b72832647ced4c1u},
        {"ple:experts=2,own=3", 0x77aa6333a5772c5au},
        {"cross_stitch", 0x64f17f13d6f89152u},
        {"soft:lambda=0.1", 0xb6cda539e851e7f8u},
        {"adapter", 0x2d9f13a3e2e62daeu},
    };
    problem p = problem_make(200, 7, 10);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const uint64_t hash = fitted_hash(row[i].architecture, &p, NULL);
        ck_assert_msg(hash == row[i].want, "%s: 0x%llx", row[i].architecture,
                      (unsigned long long)hash);
    }
    problem_free(&p);
}
END_TEST

START_TEST(files_copies_and_summary)
{
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < KINDS; k++) {
        mtl_model *m = model_of(kinds[k], NULL), *copy[2];
        const bool has_gates = strstr(kinds[k], "experts") || strcmp(kinds[k], "cgc") == 0;
        done(mtl_model_freeze(m, has_gates ? "gate" : "own", 1, err));
        fit(m, d, FIT);
        read_and_clone(m, copy);
        for (int i = 0; i < 2; i++)
            ck_assert_uint_eq(predict_hash(m, &p), predict_hash(copy[i], &p));
        fit(copy[0], d, FIT);
        fit(copy[1], d, FIT);
        assert_same_model(copy[0], copy[1]);
        assert_summary(m, kinds[k]);
        mtl_model_destroy(copy[0]), mtl_model_destroy(copy[1]), mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

static bool has_frozen_name(const char *tensor, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(tensor, name, n) == 0 && (tensor[n] == '.' || !tensor[n]);
}

/* Slices of one matrix are frozen one by one, penalties or not. */
START_TEST(frozen_tensors_stay)
{
    static const char *const frozen[] = {"trunk.0.expert1",   "own.0.expert0.hours",
                                         "own.2.expert1.fails", "gate.1.grade",
                                         "trunk.1.gate",      "shared_gate.1.tags",
                                         "trunk.2.expert0.bias"};
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int i = 0; i < 2; i++) {
        mtl_spec *s = problem_spec(NULL);
        mtl_model *m = NULL, *before = NULL;
        int stayed = 0;
        done(mtl_spec_set_architecture(s, "ple", err));
        done(mtl_model_create(s, &m, err));
        mtl_spec_destroy(s);
        ref_scatter(m, 4);
        for (size_t k = 0; k < sizeof frozen / sizeof *frozen; k++)
            done(mtl_model_freeze(m, frozen[k], 1, err));
        done(mtl_model_clone(m, &before, err));
        fit(m, d, i ? "epochs=3 l2=0.1" : "epochs=3");
        for (int64_t k = 0; k < mtl_model_tensor_count(m); k++) {
            const char *name;
            bool is_frozen = false;
            tensor_size(m, k, &name);
            for (size_t f = 0; f < sizeof frozen / sizeof *frozen; f++)
                is_frozen = is_frozen || has_frozen_name(name, frozen[f]);
            ck_assert_msg((tensor_bits_differ(m, before, name) == 0) == is_frozen, "%s", name);
            stayed += is_frozen;
        }
        ck_assert_int_eq(stayed, 10);
        mtl_model_destroy(m), mtl_model_destroy(before);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(taken_up_again)
{
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < KINDS; k++) {
        mtl_model *m = model_of(kinds[k], NULL), *whole = NULL, *resumed = NULL;
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=33 seed=5");
        mtl_trainer *t = NULL;
        mtl_report *r[2] = {NULL, NULL};
        int32_t more;
        temp_file file = temp_file_make("", 0);
        done(mtl_model_clone(m, &whole, err));
        done(mtl_fit(whole, d, d, o, &r[0], err));
        done(mtl_trainer_create(m, d, d, o, &t, err));
        done(mtl_trainer_step(t, 5, &more, err));
        done(mtl_trainer_checkpoint(t, file.path, err));
        mtl_trainer_destroy(t);
        done(mtl_resume(NULL, file.path, d, d, NULL, &resumed, &r[1], err));
        assert_same_model(whole, resumed);
        for (int e = 0; e < 3 && strcmp(kinds[k], "mmoe:experts=3") == 0; e++) {
            const double *series[2];
            int64_t count;
            char name[64];
            snprintf(name, sizeof name, "gate.3.grade.weight/%d", e);
            for (int i = 0; i < 2; i++)
                done(mtl_report_get_series(r[i], name, &count, &series[i], err));
            ck_assert_int_eq(count, 3);
            ck_assert_mem_eq(series[0], series[1], sizeof(double[3]));
        }
        mtl_report_destroy(r[0]), mtl_report_destroy(r[1]);
        mtl_model_destroy(m), mtl_model_destroy(whole), mtl_model_destroy(resumed);
        mtl_options_destroy(o);
        unlink(file.path);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* --- transfer --------------------------------------------------------------------------------------- */

START_TEST(moved)
{
    static const char *const strategies[] = {"fine_tune", "probe", "lp_ft", "scratch", "auto"};
    problem p = problem_make(120, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL), *target = NULL;
    done(mtl_dataset_create(NULL, p.x, 60, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    for (int k = 0; k < KINDS; k++) {
        mtl_model *m = model_of(kinds[k], NULL);
        fit(m, d, FIT);
        for (int i = 0; i < (k % 3 ? 2 : 5); i++) {
            char text[96];
            const float *x = p.x;
            float known[120 * PROBLEM_OUTPUTS], out[120 * (PROBLEM_OUTPUTS + 1)];
            snprintf(text, sizeof text, "strategy=%s epochs=2 seed=1 folds=2 simulations=1", strategies[i]);
            mtl_model *tuned = transferred(m, target, d, text, NULL);
            const int64_t outputs = mtl_model_outputs(tuned);
            done(mtl_predict(m, 120, x, PROBLEM_INPUTS, known, PROBLEM_OUTPUTS, err));
            done(mtl_predict(tuned, 120, x, PROBLEM_INPUTS, out, outputs, err));
            for (int64_t j = 0; j < 120 * outputs; j++)
                ck_assert(isfinite(out[j]));
            /* Nothing that known tasks stand on is trained. */
            for (int64_t r = 0; i == 1 && r < 120 && strncmp(kinds[k], "ple", 3) != 0; r++)
                assert_same_bits(known + r * PROBLEM_OUTPUTS, out + r * outputs, PROBLEM_OUTPUTS);
            if (i == 1 && k == 0) {
                char name[] = "own.0.new.weight";
                float w[PROBLEM_INPUTS * 12];
                done(mtl_model_tensor_get(tuned, name, PROBLEM_INPUTS * 12, w, err));
            }
            mtl_model_destroy(tuned);
        }
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

/* A probe trains the new task's gate, and its own experts, from where they start. */
START_TEST(a_new_task_has_its_own)
{
    problem p = problem_make(120, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL), *target = NULL;
    mtl_model *m = model_of("cgc:experts=2,own=1", NULL);
    fit(m, d, FIT);
    done(mtl_dataset_create(NULL, p.x, 60, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    mtl_model *few = transferred(m, target, NULL, "strategy=probe epochs=1 seed=1", NULL);
    mtl_model *more = transferred(m, target, NULL, "strategy=probe epochs=3 seed=1", NULL);
    static const char *const moves[] = {"own.0.new.weight", "own.1.new.bias", "own.2.new.weight",
                                        "gate.3.new.weight", "head.new.weight"};
    static const char *const stays[] = {"trunk.0.expert1.weight", "own.0.hours.weight",
                                        "gate.3.fails.weight", "head.fails.bias"};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        ck_assert_msg(tensor_bits_differ(few, more, moves[i]) > 0, "%s", moves[i]);
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++) {
        ck_assert_msg(tensor_bits_differ(few, more, stays[i]) == 0, "%s", stays[i]);
        ck_assert_msg(tensor_bits_differ(few, m, stays[i]) == 0, "%s", stays[i]);
    }
    /* At a rate of its own for what is shared. */
    mtl_model *slow = transferred(m, target, NULL,
                                  "strategy=fine_tune trunk_rate=0.001 epochs=1 seed=1", NULL);
    mtl_model *fast = transferred(m, target, NULL,
                                  "strategy=fine_tune trunk_rate=1 epochs=1 seed=1", NULL);
    const float little = tensor_bits_differ(slow, m, "trunk.0.expert1.weight");
    ck_assert(little > 0 && little < 0.1f * tensor_bits_differ(fast, m, "trunk.0.expert1.weight"));
    ck_assert(tensor_bits_differ(slow, m, "own.0.hours.weight") == 0);
    mtl_model_destroy(few), mtl_model_destroy(more), mtl_model_destroy(m);
    mtl_model_destroy(slow), mtl_model_destroy(fast);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

/* --- what it goes with ------------------------------------------------------------------------------ */

START_TEST(sparse_inputs)
{
    enum { N = 40, COLS = 30 };
    uint64_t seed = 6;
    float x[N * COLS] = {0}, value[N * COLS], y[N], v[N];
    int64_t start[N + 1] = {0};
    int32_t column[N * COLS];
    for (int r = 0; r < N; r++) {
        int64_t n = start[r];
        for (int j = 0; j < COLS; j++)
            if (next_u32(&seed) % 5 == 0) {
                column[n] = j;
                value[n++] = x[r * COLS + j] = 2 * next_unit(&seed);
            }
        start[r + 1] = n;
        y[r] = x[r * COLS] > 0;
        v[r] = x[r * COLS + 1] - x[r * COLS + 2];
    }
    for (int k = 0; k < KINDS; k++) {
        mtl_model *m[2];
        mtl_dataset *d[2] = {NULL, NULL};
        if (strncmp(kinds[k], "soft", 4) == 0)
            continue;
        float out[2][N * 2];
        done(mtl_dataset_create(NULL, x, N, COLS, COLS, &d[0], err));
        done(mtl_dataset_create_csr(NULL, N, COLS, start, column, value, &d[1], err));
        for (int i = 0; i < 2; i++) {
            mtl_spec *s = NULL;
            done(mtl_spec_create(NULL, COLS, &s, err));
            done(mtl_spec_add_dense(s, 9, "relu", err));
            done(mtl_spec_add_dense(s, 6, "tanh", err));
            done(mtl_spec_set_architecture(s, kinds[k], err));
            done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
            done(mtl_spec_add_task(s, "v", MTL_REGRESSION, 1, err));
            done(mtl_model_create(s, &m[i], err));
            mtl_spec_destroy(s);
            done(mtl_dataset_set_labels(d[i], "y", 1, y, 1, err));
            done(mtl_dataset_set_labels(d[i], "v", 1, v, 1, err));
            fit(m[i], d[i], "epochs=3 batch_size=16 seed=2 scale_inputs=0 sparse_update=dense");
            if (i)
                done(mtl_predict_csr(m[i], N, start, column, value, out[i], 2, err));
            else
                done(mtl_predict(m[i], N, x, COLS, out[i], 2, err));
        }
        assert_same_model(m[0], m[1]);
        assert_same_bits(out[0], out[1], N * 2);
        mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
        mtl_dataset_destroy(d[0]), mtl_dataset_destroy(d[1]);
    }
}
END_TEST

/* A weighting by losses, a linear skip, the verdict, calibration, an average with a plain model. */
START_TEST(goes_with)
{
    problem p = problem_make(120, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < KINDS; k += 3) {
        mtl_spec *s = spec_of(kinds[k], NULL);
        mtl_model *m = NULL, *plain = problem_model(NULL), *both = NULL;
        mtl_report *r = NULL;
        done(mtl_spec_set_linear_skip(s, 1, err));
        done(mtl_model_create(s, &m, err));
        fit(m, d, FIT "weighting=uw");
        mtl_model_destroy(m);
        done(mtl_model_create(s, &m, err));
        fit(m, d, "epochs=1 seed=5 weighting=auto:folds=2"); /* of those that serve it */
        fit(plain, d, FIT);
        done(mtl_model_calibrate(m, d, NULL, NULL, err));
        done(mtl_model_create_average((const mtl_model *[]){m, plain}, 2, NULL, &both, err));
        mtl_model_destroy(both);
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 seed=5 judge=1");
        mtl_model_destroy(m);
        done(mtl_model_create(s, &m, err));
        done(mtl_fit(m, d, NULL, o, &r, err));
        ck_assert(isfinite(figure(r, "judge/loss/shared/grade")));
        ck_assert(isfinite(figure(r, "judge/loss/single/grade")));
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_spec_destroy(s);
        mtl_model_destroy(m), mtl_model_destroy(plain);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(refusals)
{
    problem p = problem_make(40, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL), *target = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL, *before = NULL;
    mtl_report *r = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    refused(mtl_spec_set_architecture(NULL, "mmoe", err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_set_architecture(s, NULL, err), MTL_ERR_INVALID, "architecture");
    refused(mtl_spec_set_architecture(s, "mmeo", err), MTL_ERR_RANGE, "\"mmoe\"");
    refused(mtl_spec_set_architecture(s, "mmoe:experts=0", err), MTL_ERR_RANGE, "1 .. 1024");
    refused(mtl_spec_set_architecture(s, "mmoe:experts=2.5", err), MTL_ERR_RANGE, "whole number");
    refused(mtl_spec_set_architecture(s, "mmoe:own=2", err), MTL_ERR_RANGE, "no parameter \"own\"");
    refused(mtl_spec_set_architecture(s, "single:experts=2", err), MTL_ERR_RANGE, "no parameter");
    done(mtl_spec_set_architecture(s, "mmoe", err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "\"mmoe\" needs a dense layer");
    done(mtl_spec_add_dense(s, 3, "relu", err));
    done(mtl_spec_set_ensemble(s, 4, "tabm", err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "does not go with an ensemble");
    done(mtl_spec_set_ensemble(s, 1, "tabm", err));
    done(mtl_spec_add_residual(s, 1, err));
    done(mtl_spec_set_architecture(s, "ple", err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "\"ple\" does not go with residuals");
    done(mtl_spec_set_architecture(s, "cgc", err));
    done(mtl_spec_add_norm(s, "batch", err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "\"cgc\" does not go with batch norm");
    done(mtl_spec_set_architecture(s, "shared", err));
    done(mtl_model_create(s, &m, err));
    mtl_model_destroy(m);
    mtl_spec_destroy(s);

    m = model_of("mmoe", NULL);
    done(mtl_model_clone(m, &before, err));
    refused(mtl_task_affinity(m, d, NULL, &r, err), MTL_ERR_STATE, "do not share all of the trunk");
    mtl_options *o = options(MTL_OPTIONS_FIT, "weighting=upgrad weighting_scope=features");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "\"mmoe\" compares gradients by param");
    set_options(o, MTL_OPTIONS_FIT, "weighting_scope=layer");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "weighting_scope = trunk");
    assert_same_model(m, before);
    static const char *const apart[] = {"single", "soft", "cross_stitch"};
    for (int i = 0; i < 3; i++) {
        mtl_model *other = model_of(apart[i], NULL);
        set_options(o, MTL_OPTIONS_FIT, i ? "weighting=graddrop weighting_scope=trunk"
                                          : "weighting=upgrad weighting_scope=trunk");
        refused(mtl_fit(other, d, NULL, o, NULL, err), MTL_ERR_INVALID, apart[i]);
        mtl_model_destroy(other);
    }
    mtl_options_destroy(o);
    done(mtl_dataset_create(NULL, p.x, 40, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    fit(m, d, "epochs=1");
    o = options(MTL_OPTIONS_TRANSFER, "strategy=exact_probe");
    mtl_model *out = NULL;
    refused(mtl_transfer(m, target, d, o, &out, NULL, err), MTL_ERR_STATE,
            "nor for an architecture other than \"shared\"");
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

/* Memory that fails at each call in turn. */
START_TEST(no_memory)
{
    problem p = problem_make(40, 3, 10);
    for (int64_t fail = 1, ended = 0; !ended; fail += fail < 60 ? 1 : 7) {
        test_memory t = {.fail_at = 0};
        mtl_context *ctx = counted_context(&t, "threads=1");
        mtl_dataset *d = problem_data(&p, ctx);
        mtl_spec *s = spec_of("ple:experts=1,own=1", ctx);
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 seed=5");
        mtl_model *m = NULL;
        void *buffer = NULL;
        int64_t length;
        t.fail_at = atomic_load(&t.calls) + fail;
        mtl_status st = mtl_model_create(s, &m, NULL);
        if (st == MTL_OK)
            st = mtl_fit(m, d, NULL, o, NULL, NULL);
        if (st == MTL_OK)
            st = mtl_model_save_buffer(m, &buffer, &length, NULL);
        ended = atomic_load(&t.calls) < t.fail_at;
        ck_assert(st == (ended ? MTL_OK : MTL_ERR_NOMEM));
        mtl_free(buffer);
        mtl_model_destroy(m);
        mtl_options_destroy(o);
        mtl_spec_destroy(s);
        mtl_dataset_destroy(d);
        mtl_context_destroy(ctx);
        ck_assert_int_eq(atomic_load(&t.live), 0);
    }
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("architecture");
    add_case(s, "gradients, of the second step too", gradients);
    add_case(s, "gradients of other shapes", gradients_of_other_shapes);
    add_case(s, "predictions, the same in every way", predictions);
    add_case(s, "as in PyTorch", as_in_pytorch);
    add_case(s, "single is networks apart", single_is_nets_apart);
    add_case(s, "architectures that are equal", equal_architectures);
    add_case(s, "starts and pulls", starts_and_pulls);
    add_case(s, "gates", gates);
    add_case(s, "the same bits for any threads", bits_do_not_depend_on_threads);
    add_case(s, "the same bits for all time", bits_for_all_time);
    add_case(s, "files, copies and summary", files_copies_and_summary);
    add_case(s, "frozen tensors stay", frozen_tensors_stay);
    add_case(s, "a run taken up again", taken_up_again);
    add_case(s, "moved to a new task", moved);
    add_case(s, "a new task has its own", a_new_task_has_its_own);
    add_case(s, "sparse inputs", sparse_inputs);
    add_case(s, "what it goes with", goes_with);
    add_case(s, "refusals", refusals);
    add_case(s, "no memory", no_memory);
    return run_suite(s);
}
