/* SPDX-License-Identifier: MIT */
/* Ensembles in one network: gradients by central differences, values by PyTorch (make_torch_tabm.py),
   predictions as the mean of the members', and everything that a model goes through. */
#include "gradcheck.h"
#include "same_model.h"

static const ref_task binary = {.name = "b", .kind = MTL_BINARY, .outputs = 1, .weight = 1};
static const ref_task classes = {.name = "c", .kind = MTL_MULTICLASS, .outputs = 4, .weight = 2};
static const ref_task labels = {.name = "l", .kind = MTL_MULTILABEL, .outputs = 3, .weight = 1};
static const ref_task values = {.name = "v", .kind = MTL_REGRESSION, .outputs = 2, .weight = 1};

/* --- gradients ------------------------------------------------------------------------------------ */

static void check(const char *what, ref_net n, int64_t rows)
{
    static const int64_t members[] = {2, 5};
    for (int i = 0; i < 4; i++) {
        char text[96];
        float w[40];
        n.members = members[i / 2];
        n.is_mini = i % 2;
        snprintf(text, sizeof text, "%s, %d members, %s", what, (int)n.members,
                 n.is_mini ? "mini" : "tabm");
        ref_data d = ref_random_data(&n, rows, 3 + (uint64_t)i, 20);
        for (int64_t r = 0; r < rows; r++)
            w[r] = (float)(1 + r % 3) / 2;
        d.weight = i % 3 ? w : NULL;
        check_gradients(text, &n, &d, 10 + (uint64_t)i);
        ref_data_free(&d);
    }
}

START_TEST(gradients)
{
    static const char *const activations[] = {"relu", "tanh", "gelu"};
    for (int a = 0; a < 3; a++) {
        ref_net n = {4, {{6, activations[a]}, {5, activations[a]}}, {binary, classes, values}};
        check(activations[a], n, 17);
    }
    ref_net towers = {4, {{6, "silu"}}, {binary, classes, labels, values}};
    towers.task[1].head[0] = (ref_layer){5, "elu"};
    towers.task[3].head[0] = (ref_layer){4, "relu"};
    towers.task[3].head[1] = (ref_layer){3, "silu"};
    check("own layers", towers, 19);
    check("heads on the inputs", (ref_net){5, {{0}}, {binary, values}}, 21);
    check("wide inputs", (ref_net){40, {{3, "relu"}, {2, "tanh"}}, {values}}, 9);
    check("wide layers", (ref_net){3, {{17, "relu"}, {3, "tanh"}}, {values}}, 7);
}
END_TEST

START_TEST(gradients_of_losses)
{
    static const ref_task tasks[] = {
        {.kind = MTL_BINARY, .loss = "focal"},
        {.kind = MTL_MULTICLASS, .outputs = 3, .loss = "cross_entropy", .class_weights = "1/2/3"},
        {.kind = MTL_REGRESSION, .outputs = 2, .loss = "huber:delta=0.7"},
        {.kind = MTL_COUNT, .outputs = 2, .loss = "poisson"},
        {.kind = MTL_QUANTILE, .outputs = 3},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        ref_net n = {4, {{6, "tanh"}}, {tasks[i], values}};
        n.task[0].name = "t";
        n.task[0].weight = 1.5;
        n.task[0].outputs += n.task[0].outputs == 0;
        check(tasks[i].loss ? tasks[i].loss : "quantile", n, 15);
    }
}
END_TEST

/* --- predictions ---------------------------------------------------------------------------------- */

START_TEST(prediction_is_the_mean)
{
    ref_net n = {5, {{7, "tanh"}, {6, "relu"}}, {binary, classes, labels, values}};
    n.task[2].head[0] = (ref_layer){4, "tanh"};
    for (int i = 0; i < 4; i++) {
        n.members = i < 2 ? 3 : 32;
        n.is_mini = i % 2;
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
            done(mtl_predict_task(m, t, 300, d.x, 5, other + column, outputs, err));
        }
        assert_same_bits(all, other, 300 * outputs);
        mtl_predictor_destroy(p);
        free(theta), free(want), free(all), free(other);
        ref_data_free(&d);
        mtl_model_destroy(m);
    }
}
END_TEST

/* Far out, where a probability rounds to 0 or 1, it stays one, and the loss stays finite. */
START_TEST(sure_members)
{
    const float x = 1, y[] = {0, 1}, rows[] = {1, 1};
    float out[4];
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    mtl_report *r = NULL;
    done(mtl_spec_create(NULL, 1, &s, err));
    done(mtl_spec_set_ensemble(s, 2, "mini", err));
    done(mtl_spec_add_task(s, "b", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "c", MTL_MULTICLASS, 3, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_model_tensor_set(m, "trunk.0.scale", 2, (float[]){1, 1}, err));
    done(mtl_model_tensor_set(m, "head.b.weight", 2, (float[]){200, 300}, err));
    done(mtl_model_tensor_set(m, "head.c.weight", 6, (float[]){-200, 0, 200, -300, 0, 300}, err));
    done(mtl_predict(m, 1, &x, 1, out, 4, err));
    ck_assert_float_eq_tol(out[0], 1, 1e-6f);
    ck_assert_float_eq_tol(out[1], 0, 1e-6f);
    ck_assert_float_eq_tol(out[2], 0, 1e-6f);
    ck_assert_float_eq_tol(out[3], 1, 1e-6f);
    done(mtl_dataset_create(NULL, rows, 2, 1, 1, &d, err));
    done(mtl_dataset_set_labels(d, "b", 1, y, 1, err));
    done(mtl_dataset_set_labels(d, "c", 1, y, 1, err));
    done(mtl_evaluate(m, d, NULL, &r, err));
    ck_assert(isfinite(figure(r, "loss/b")) && figure(r, "loss/b") > 5);
    ck_assert(isfinite(figure(r, "loss/c")) && figure(r, "loss/c") > 5);
    mtl_report_destroy(r);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* --- against PyTorch -------------------------------------------------------------------------------- */

static void run_torch(const char *kind)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 5, &s, err));
    done(mtl_spec_add_embedding(s, 1, 4, 2, err));
    done(mtl_spec_add_dense(s, 7, "relu", err));
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dense(s, 6, "gelu", err));
    done(mtl_spec_set_ensemble(s, 3, kind, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "grade", "head", "4:tanh", err));
    check_descent("torch_tabm", kind, s, 5, 19, 3e-6);
    mtl_spec_destroy(s);
}

START_TEST(tabm_as_in_pytorch)
{
    run_torch("tabm");
}
END_TEST

START_TEST(mini_as_in_pytorch)
{
    run_torch("mini");
}
END_TEST

/* --- a model's life --------------------------------------------------------------------------------- */

static mtl_model *ensemble(mtl_context *ctx, const char *kind)
{
    mtl_spec *s = problem_spec(ctx);
    mtl_model *m = NULL;
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dropout(s, 0.1, err));
    done(mtl_spec_set_ensemble(s, 4, kind, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* Found by this test; every level, compiler and number of threads must give them again. */
#define GOLDEN_TABM 0x47ba264d37ad3dc1u
#define GOLDEN_MINI 0x85cf38f3c430d565u

#define FIT "epochs=4 batch_size=33 seed=5 l2=0.01 validation_split=0.2 patience=3 "

START_TEST(bits_do_not_depend_on_threads)
{
    static const char *const contexts[] = {"threads=1", "threads=2", "threads=5"};
    problem p = problem_make(400, 3, 15);
    for (int kind = 0; kind < 2; kind++) {
        uint64_t want = 0;
        for (int i = 0; i < 3; i++) {
            mtl_context *ctx = context(contexts[i]);
            mtl_dataset *d = problem_data(&p, ctx);
            mtl_model *m = ensemble(ctx, kind ? "mini" : "tabm");
            fit(m, d, FIT);
            uint64_t hash = model_hash(m) ^ predict_hash(m, &p);
            want = i ? want : hash;
            ck_assert_uint_eq(hash, want);
            mtl_model_destroy(m);
            mtl_dataset_destroy(d);
            mtl_context_destroy(ctx);
        }
    }
    problem_free(&p);
}
END_TEST

START_TEST(bits_for_all_time)
{
    static const uint64_t want[] = {GOLDEN_TABM, GOLDEN_MINI};
    problem p = problem_make(200, 7, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int kind = 0; kind < 2; kind++) {
        mtl_model *m = ensemble(NULL, kind ? "mini" : "tabm");
        fit(m, d, FIT);
        uint64_t hash = model_hash(m) ^ predict_hash(m, &p);
        ck_assert_msg(hash == want[kind], "%d: 0x%llx", kind, (unsigned long long)hash);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(validation_judges_the_mean)
{
    problem p = problem_make(300, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, "tabm");
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3");
    mtl_report *r = NULL;
    int64_t count, column = 1 + 2 + 3;
    const double *series;
    float out[300 * PROBLEM_OUTPUTS];
    double rmse, mse = 0, n = 0, loss = 0;
    done(mtl_fit(m, d, d, o, &r, err));
    done(mtl_predict(m, 300, p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
    done(mtl_metric("rmse", 300, 2, out + column, PROBLEM_OUTPUTS, 2, p.hours, 2, NULL, &rmse, NULL,
                    err));
    done(mtl_report_get_series(r, "metric/rmse/hours", &count, &series, err));
    ck_assert_double_eq_tol(series[count - 1], rmse, 1e-5 * rmse);
    for (int i = 0; i < 300; i++)
        if (!isnan(p.fails[i])) {
            mse -= log(p.fails[i] > 0 ? (double)out[i * PROBLEM_OUTPUTS]
                                      : 1 - (double)out[i * PROBLEM_OUTPUTS]);
            n++;
        }
    done(mtl_report_get_series(r, "loss/valid/fails", &count, &series, err));
    loss = series[count - 1];
    ck_assert_double_eq_tol(loss, mse / n, 1e-5);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(files_copies_and_summary)
{
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int kind = 0; kind < 2; kind++) {
        mtl_model *m = ensemble(NULL, kind ? "mini" : "tabm"), *copy[2];
        done(mtl_model_freeze(m, "trunk.0", 1, err));
        fit(m, d, FIT);
        read_and_clone(m, copy);
        for (int i = 0; i < 2; i++)
            ck_assert_uint_eq(predict_hash(m, &p), predict_hash(copy[i], &p));
        fit(copy[0], d, FIT);
        fit(copy[1], d, FIT);
        assert_same_model(copy[0], copy[1]);
        assert_summary(m, kind ? "mini, 4 members" : "tabm, 4 members");
        mtl_model_destroy(copy[0]), mtl_model_destroy(copy[1]), mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(members_differ_and_the_frozen_stay)
{
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, "tabm"), *before = NULL;
    float scale[4 * PROBLEM_INPUTS];
    done(mtl_model_clone(m, &before, err));
    done(mtl_model_freeze(m, "trunk.1.scale", 1, err));
    done(mtl_model_freeze(m, "head.grade", 1, err));
    fit(m, d, "epochs=3 l2=0.1");
    ck_assert(tensor_bits_differ(m, before, "trunk.1.scale") == 0);
    ck_assert(tensor_bits_differ(m, before, "head.grade.weight") == 0);
    ck_assert(tensor_bits_differ(m, before, "trunk.0.scale") > 0);
    ck_assert(tensor_bits_differ(m, before, "trunk.1.weight") > 0);
    ck_assert(tensor_bits_differ(m, before, "trunk.1.bias") > 0);
    ck_assert(tensor_bits_differ(m, before, "trunk.2.scale") > 0);
    ck_assert(tensor_bits_differ(m, before, "head.fails.weight") > 0);
    done(mtl_model_tensor_get(before, "trunk.0.scale", 4 * PROBLEM_INPUTS, scale, err));
    int negative = 0;
    for (int i = 0; i < 4 * PROBLEM_INPUTS; i++) {
        ck_assert(fabsf(scale[i]) == 1);
        negative += scale[i] < 0;
    }
    ck_assert(negative > 4 && negative < 20);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(transfer_and_calibration)
{
    static const char *const strategies[] = {"fine_tune", "probe", "lp_ft", "scratch"};
    problem p = problem_make(120, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL), *target = NULL;
    mtl_model *m = ensemble(NULL, "tabm");
    fit(m, d, FIT);
    done(mtl_dataset_create(NULL, p.x, 60, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    for (int i = 0; i < 4; i++) {
        char text[64];
        mtl_model *tuned = NULL;
        float out[120 * (PROBLEM_OUTPUTS + 1)];
        snprintf(text, sizeof text, "strategy=%s epochs=2 seed=1", strategies[i]);
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
        done(mtl_transfer(m, target, d, o, &tuned, NULL, err));
        done(mtl_predict(tuned, 120, p.x, PROBLEM_INPUTS, out, mtl_model_outputs(tuned), err));
        for (int64_t j = 0; j < 120 * mtl_model_outputs(tuned); j++)
            ck_assert(isfinite(out[j]));
        if (i == 1)
            ck_assert(tensor_bits_differ(m, tuned, "trunk.1.weight") == 0);
        mtl_options_destroy(o);
        mtl_model_destroy(tuned);
    }
    done(mtl_model_calibrate(m, d, NULL, NULL, err));
    mtl_model_destroy(m);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

START_TEST(it_learns)
{
    problem p = problem_make(600, 9, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, "tabm");
    mtl_report *r = NULL;
    fit(m, d, "epochs=60 learning_rate=0.01");
    done(mtl_evaluate(m, d, NULL, &r, err));
    ck_assert_double_gt(figure(r, "metric/accuracy/fails"), 0.95);
    ck_assert_double_gt(figure(r, "metric/accuracy/grade"), 0.85);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

static int32_t own_loss(int64_t rows, int64_t cols, const float *z, int64_t ycols, const float *y,
                        const float *w, double *value, float *gradient, void *user)
{
    (void)cols, (void)ycols;
    *value = 0;
    for (int64_t i = 0; i < rows; i++) {
        *value += (double)(w[i] * (z[i] - y[i]) * (z[i] - y[i]));
        if (gradient)
            gradient[i] = w[i] * 2 * (z[i] - y[i]);
    }
    *(int64_t *)user = rows > *(int64_t *)user ? rows : *(int64_t *)user;
    return MTL_CONTINUE;
}

/* The same numbers as the library's own squared error. */
START_TEST(loss_of_the_caller)
{
    ref_net n = {4, {{6, "tanh"}}, {{.name = "v", .kind = MTL_REGRESSION, .outputs = 1, .weight = 1}}};
    n.members = 5;
    ref_data d = ref_random_data(&n, 16, 4, 10);
    mtl_dataset *data = ref_dataset(&n, &d, NULL);
    mtl_model *m = ref_model(&n, NULL), *own = ref_model(&n, NULL);
    int64_t most = 0, count;
    done(mtl_model_set_loss(own, "v", own_loss, &most, err));
    fit(m, data, "epochs=3 batch_size=16");
    fit(own, data, "epochs=3 batch_size=16");
    float *a = parameters(m, &count), *b = parameters(own, &count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_float_eq_tol(a[i], b[i], 1e-5f);
    ck_assert_int_gt(most, 16);
    ck_assert_int_eq(most % 5, 0);
    free(a), free(b);
    mtl_model_destroy(m), mtl_model_destroy(own);
    mtl_dataset_destroy(data);
    ref_data_free(&d);
}
END_TEST

START_TEST(refusals)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    refused(mtl_spec_set_ensemble(s, 0, "tabm", err), MTL_ERR_RANGE, "members must be in 1 .. 1024");
    refused(mtl_spec_set_ensemble(s, 1025, "tabm", err), MTL_ERR_RANGE, "not 1025");
    refused(mtl_spec_set_ensemble(s, 4, "bag", err), MTL_ERR_RANGE, "not \"bag\"");
    refused(mtl_spec_set_ensemble(s, 4, NULL, err), MTL_ERR_INVALID, "kind");
    refused(mtl_spec_set_ensemble(NULL, 4, "tabm", err), MTL_ERR_INVALID, "spec");
    done(mtl_spec_set_ensemble(s, 4, "tabm", err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_set_linear_skip(s, 1, err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "linear skip");
    done(mtl_spec_set_linear_skip(s, 0, err));
    done(mtl_spec_task_set_str(s, "grade", "loss", "ordinal", err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "the loss \"ordinal\"");
    done(mtl_spec_task_set_str(s, "grade", "loss", "auto", err));
    done(mtl_spec_add_dense(s, 3, "relu", err));
    done(mtl_spec_add_residual(s, 1, err));
    refused(mtl_model_create(s, &m, err), MTL_ERR_STATE, "residuals");
    problem p = problem_make(20, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *tabm = ensemble(NULL, "tabm");
    mtl_options *o = options(MTL_OPTIONS_FIT, "weighting=pcgrad");
    refused(mtl_fit(tabm, d, NULL, o, NULL, err), MTL_ERR_INVALID, "an ensemble in one network");
    mtl_options_destroy(o);
    mtl_model_destroy(tabm);
    mtl_dataset_destroy(d);
    problem_free(&p);
    done(mtl_spec_set_ensemble(s, 1, "tabm", err));
    done(mtl_model_create(s, &m, err));
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

static mtl_model *deep_ensemble(const char *activation)
{
    mtl_spec *s = problem_spec(NULL);
    mtl_model *m = NULL;
    done(mtl_spec_add_dense(s, 7, activation, err));
    done(mtl_spec_add_dense(s, 6, activation, err));
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dense(s, 5, activation, err));
    done(mtl_spec_set_ensemble(s, 4, "tabm", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* A step of descent moves each tensor by its own gradient, whichever others are frozen. */
START_TEST(one_tensor_alone)
{
    static const char *const activations[] = {"relu", "tanh", "mish", "identity"};
    static const char how[] = "epochs=1 batch_size=100 optimizer=sgd learning_rate=0.1";
    problem p = problem_make(50, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    for (int a = 0; a < 4; a++) {
        mtl_model *all = deep_ensemble(activations[a]);
        fit(all, d, how);
        for (int64_t i = 0; i < mtl_model_tensor_count(all); i++) {
            const char *name, *other;
            const int64_t n = tensor_size(all, i, &name);
            float *want = floats(n), *got = floats(n), *start = floats(n);
            mtl_model *one = deep_ensemble(activations[a]);
            for (int64_t k = 0; k < mtl_model_tensor_count(one); k++) {
                tensor_size(one, k, &other);
                done(mtl_model_freeze(one, other, k != i, err));
            }
            done(mtl_model_tensor_get(all, name, n, want, err));
            done(mtl_model_tensor_get(one, name, n, start, err));
            fit(one, d, how);
            done(mtl_model_tensor_get(one, name, n, got, err));
            ck_assert_msg(memcmp(got, want, (size_t)n * sizeof *got) == 0, "%s, %s", activations[a], name);
            ck_assert_msg(memcmp(got, start, (size_t)n * sizeof *got) != 0, "%s, %s stays", activations[a],
                          name);
            free(want), free(got), free(start);
            mtl_model_destroy(one);
        }
        mtl_model_destroy(all);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ensemble");
    add_case(s, "gradients of both kinds", gradients);
    add_case(s, "gradients of losses", gradients_of_losses);
    add_case(s, "a prediction is the mean of the members'", prediction_is_the_mean);
    add_case(s, "members that are sure", sure_members);
    add_case(s, "tabm as in PyTorch", tabm_as_in_pytorch);
    add_case(s, "mini as in PyTorch", mini_as_in_pytorch);
    add_case(s, "the same bits for any threads", bits_do_not_depend_on_threads);
    add_case(s, "the same bits for all time", bits_for_all_time);
    add_case(s, "validation judges the mean", validation_judges_the_mean);
    add_case(s, "files, copies and summary", files_copies_and_summary);
    add_case(s, "members differ, frozen tensors stay", members_differ_and_the_frozen_stay);
    add_case(s, "transfer and calibration", transfer_and_calibration);
    add_case(s, "it learns", it_learns);
    add_case(s, "a loss of the caller", loss_of_the_caller);
    add_case(s, "one tensor alone has its gradient", one_tensor_alone);
    add_case(s, "refusals", refusals);
    return run_suite(s);
}
