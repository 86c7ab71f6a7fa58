/* SPDX-License-Identifier: MIT */
/* Group training. The numbers of a step are judged by tests of gradients and golden values; here is
   what surrounds them. */
#include "refnet.h"

#include <time.h>

typedef struct set {
    problem p;
    mtl_dataset *data;
} set;

static set set_make(int64_t rows, int missing)
{
    set s = {.p = problem_make(rows, 7, missing)};
    s.data = problem_data(&s.p, NULL);
    return s;
}

static void set_free(set *s)
{
    mtl_dataset_destroy(s->data);
    problem_free(&s->p);
}

static mtl_report *fit_report(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                              const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, train, valid, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

/* The model after a fit of fresh weights, by its bits. */
static uint64_t fitted_hash(const set *s, mtl_context *ctx, const char *text)
{
    mtl_model *m = problem_model(ctx);
    mtl_dataset *d = problem_data(&s->p, ctx);
    fit(m, d, text);
    uint64_t hash = model_hash(m) ^ predict_hash(m, &s->p);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    return hash;
}

/* ---- one step by hand ------------------------------------------------------------------------- */

START_TEST(adam_by_hand)
{
    /* A net with everything in it, three full-batch steps in double: gradients by differences,
       Kingma & Ba's algorithm 1 written out, l1 and l2 on weights only. */
    ref_net n = {3,
                 {{5, "tanh"}, {4, "sigmoid"}},
                 {{"b", MTL_BINARY, 1, 1, {{0}}},
                  {"c", MTL_MULTICLASS, 3, 2, {{0}}},
                  {"v", MTL_REGRESSION, 2, 0.5, {{3, "tanh"}}}}};
    const double b1 = 0.7, b2 = 0.9, eps = 0.01, rate = 0.1, l1 = 0.02, l2 = 0.3;
    ref_data d = ref_random_data(&n, 12, 2, 20);
    mtl_model *m = ref_model(&n, NULL);
    mtl_dataset *data = ref_dataset(&n, &d, NULL);
    int64_t count;
    ref_scatter(m, 4);
    double *theta = ref_parameters(m, &count), *mean = calloc((size_t)count, sizeof *mean),
           *square = calloc((size_t)count, sizeof *square);
    bool *is_weight = calloc((size_t)count, sizeof *is_weight);
    for (int64_t i = 0, at = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t size = tensor_size(m, i, &name);
        for (int64_t j = 0; j < size; j++)
            is_weight[at++] = strstr(name, ".weight") != NULL;
    }
    for (int step = 1; step <= 3; step++) {
        double *g = ref_gradient(&n, theta, count, &d);
        for (int64_t i = 0; i < count; i++) {
            if (is_weight[i])
                g[i] += l2 * theta[i] + l1 * ((theta[i] > 0) - (theta[i] < 0));
            mean[i] = b1 * mean[i] + (1 - b1) * g[i];
            square[i] = b2 * square[i] + (1 - b2) * g[i] * g[i];
            theta[i] -= rate * (mean[i] / (1 - pow(b1, step))) /
                        (sqrt(square[i] / (1 - pow(b2, step))) + eps);
        }
        free(g);
    }
    fit(m, data,
        "epochs=3 batch_size=12 shuffle=0 scale_inputs=0 scale_targets=0 validation_split=0 "
        "learning_rate=0.1 l1=0.02 l2=0.3 optimizer=adam:beta1=0.7,beta2=0.9,eps=0.01");
    double *found = ref_parameters(m, &count);
    for (int64_t i = 0; i < count; i++)
        assert_near(found[i], theta[i], 2e-6);
    free(theta), free(mean), free(square), free(is_weight), free(found);
    mtl_dataset_destroy(data);
    mtl_model_destroy(m);
    ref_data_free(&d);
}
END_TEST

START_TEST(adam_near_one)
{
    /* The first step moves every parameter by the rate, however near to 1 the betas are: the 1 - beta
       of the averages must be that of the bias correction. Rounded to float32 before it is taken
       from 1, the 1 - beta of 0.999999 is 1.3 % off. */
    ref_net n = {3, {{5, "tanh"}}, {{"v", MTL_REGRESSION, 2, 1, {{0}}}}};
    ref_data d = ref_random_data(&n, 12, 2, 0);
    mtl_model *m = ref_model(&n, NULL);
    mtl_dataset *data = ref_dataset(&n, &d, NULL);
    int64_t count;
    ref_scatter(m, 4);
    double *before = ref_parameters(m, &count), *g = ref_gradient(&n, before, count, &d);
    fit(m, data,
        "epochs=1 batch_size=12 shuffle=0 scale_inputs=0 scale_targets=0 learning_rate=0.1 "
        "optimizer=adam:beta1=0.99999,beta2=0.999999,eps=1e-12");
    double *after = ref_parameters(m, &count);
    for (int64_t i = 0; i < count; i++)
        if (fabs(g[i]) > 1e-3)
            assert_near(10 * fabs(after[i] - before[i]), 1, 1e-5);
    free(before), free(after), free(g);
    mtl_dataset_destroy(data);
    mtl_model_destroy(m);
    ref_data_free(&d);
}
END_TEST

START_TEST(batches_in_order)
{
    /* Without shuffling the epoch is its batches in order, the last one short: the same as fits of
       one epoch each on the parts would give, were it not for Adam's memory; so beta = 0. */
    set s = set_make(25, 0);
    mtl_model *whole = problem_model(NULL), *parts = NULL;
    mtl_report *r;
    const char *how = "epochs=1 batch_size=10 shuffle=0 scale_inputs=0 scale_targets=0 "
                      "validation_split=0 optimizer=adam:beta1=0,beta2=0,eps=1";
    ref_scatter(whole, 3);
    done(mtl_model_clone(whole, &parts, err));
    r = fit_report(whole, s.data, NULL, how);
    ck_assert_double_eq(figure(r, "steps"), 3);
    mtl_report_destroy(r);
    for (int64_t first = 0; first < 25; first += 10) {
        int64_t rows[10], count = first == 20 ? 5 : 10;
        mtl_dataset *part = NULL;
        for (int64_t i = 0; i < count; i++)
            rows[i] = first + i;
        done(mtl_dataset_subset(s.data, count, rows, &part, err));
        fit(parts, part, how);
        mtl_dataset_destroy(part);
    }
    assert_same_model(whole, parts);
    mtl_model_destroy(whole);
    mtl_model_destroy(parts);
    set_free(&s);
}
END_TEST

START_TEST(shuffle_changes_the_order)
{
    set s = set_make(40, 0);
    const char *kept = "epochs=2 batch_size=8 shuffle=0 seed=1";
    const char *shuffled = "epochs=2 batch_size=8 shuffle=1 seed=1";
    ck_assert_uint_ne(fitted_hash(&s, NULL, kept), fitted_hash(&s, NULL, shuffled));
    ck_assert_uint_ne(fitted_hash(&s, NULL, "epochs=2 seed=1"),
                      fitted_hash(&s, NULL, "epochs=2 seed=2"));
    ck_assert_uint_eq(fitted_hash(&s, NULL, shuffled), fitted_hash(&s, NULL, shuffled));
    set_free(&s);
}
END_TEST

/* ---- the objective and the report -------------------------------------------------------------- */

START_TEST(losses_of_an_epoch)
{
    /* Full batch: the epoch's training loss is that before its step; validation that after it. */
    ref_net n = {4,
                 {{6, "tanh"}},
                 {{"b", MTL_BINARY, 1, 1, {{0}}},
                  {"l", MTL_MULTILABEL, 2, 3, {{0}}},
                  {"v", MTL_REGRESSION, 1, 0.5, {{0}}}}};
    ref_data d = ref_random_data(&n, 30, 5, 30), judged = ref_random_data(&n, 11, 6, 30);
    float w[30];
    for (int i = 0; i < 30; i++)
        w[i] = (float)(i % 3);
    d.weight = w;
    mtl_dataset *train = ref_dataset(&n, &d, NULL), *valid = ref_dataset(&n, &judged, NULL);
    mtl_model *m = ref_model(&n, NULL);
    int64_t count;
    double losses[REF_TASKS];
    ref_scatter(m, 2);
    for (int epoch = 0; epoch < 3; epoch++) {
        double *theta = ref_parameters(m, &count);
        double total = ref_losses(&n, theta, &d, losses);
        mtl_report *r = fit_report(m, train, valid,
                                   "epochs=1 batch_size=30 shuffle=0 scale_inputs=0 "
                                   "scale_targets=0 learning_rate=0.1 l2=0.5");
        assert_near(figure(r, "loss/train"), total, 1e-5);
        assert_near(figure(r, "loss/train/b"), losses[0], 1e-5);
        assert_near(figure(r, "loss/train/l"), losses[1], 1e-5);
        assert_near(figure(r, "loss/train/v"), losses[2], 1e-5);
        free(theta);
        theta = ref_parameters(m, &count);
        total = ref_losses(&n, theta, &judged, losses);
        assert_near(figure(r, "loss/valid"), total, 1e-5);
        assert_near(figure(r, "loss/valid/b"), losses[0], 1e-5);
        assert_near(figure(r, "loss/valid/v"), losses[2], 1e-5);
        free(theta);
        mtl_report_destroy(r);
    }
    mtl_model_destroy(m);
    mtl_dataset_destroy(train), mtl_dataset_destroy(valid);
    ref_data_free(&d), ref_data_free(&judged);
}
END_TEST

START_TEST(report_of_a_fit)
{
    set s = set_make(100, 10);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = fit_report(m, s.data, NULL, "epochs=7 batch_size=20 validation_split=0.2");
    static const char *const series[] = {
        "loss/train", "loss/valid", "loss/train/fails", "loss/valid/tags", "loss/train/hours",
        "metric/accuracy/fails", "metric/accuracy/grade", "metric/accuracy/tags",
        "metric/rmse/hours"};
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        int64_t count = 0;
        const double *values = NULL;
        done(mtl_report_get_series(r, series[i], &count, &values, err));
        ck_assert_int_eq(count, 7);
        ck_assert_int_eq(mtl_report_type(r, series[i]), MTL_TYPE_SERIES);
        ck_assert_double_eq(figure(r, series[i]), values[6]);
        for (int64_t e = 0; e < count; e++)
            ck_assert_msg(isfinite(values[e]), "%s[%lld]", series[i], (long long)e);
    }
    ck_assert_str_eq(text_of(r, "reason"), "epochs");
    ck_assert_double_eq(figure(r, "epochs"), 7);
    ck_assert_double_eq(figure(r, "steps"), 7 * 4);
    ck_assert(figure(r, "seconds") >= 0 && figure(r, "seconds") < 60);
    ck_assert(figure(r, "best_epoch") >= 1 && figure(r, "best_epoch") <= 7);
    ck_assert_int_eq(mtl_report_type(r, "reason"), MTL_TYPE_STR);
    ck_assert_int_eq(mtl_report_type(r, "epochs"), MTL_TYPE_F64);
    ck_assert_int_eq(mtl_report_type(r, "nothing"), 0);
    for (int64_t i = 0; i < mtl_report_count(r); i++) {
        ck_assert_int_ne(mtl_report_type(r, mtl_report_name(r, i)), 0);
        for (int64_t j = 0; j < i; j++)
            ck_assert_str_ne(mtl_report_name(r, i), mtl_report_name(r, j));
    }
    ck_assert_ptr_null(mtl_report_name(r, mtl_report_count(r)));
    ck_assert_ptr_null(mtl_report_name(r, -1));
    double x;
    const char *text;
    int64_t count;
    const double *values;
    refused(mtl_report_get_f64(r, "loss", &x, err), MTL_ERR_NAME, "loss");
    refused(mtl_report_get_f64(r, "reason", &x, err), MTL_ERR_TYPE, "reason");
    refused(mtl_report_get_str(r, "epochs", &text, err), MTL_ERR_TYPE, "epochs");
    refused(mtl_report_get_series(r, "reason", &count, &values, err), MTL_ERR_TYPE, "reason");
    done(mtl_report_get_series(r, "epochs", &count, &values, err));
    ck_assert(count == 1 && values[0] == 7);
    refused(mtl_report_get_f64(NULL, "epochs", &x, err), MTL_ERR_INVALID, "report");
    refused(mtl_report_get_f64(r, NULL, &x, err), MTL_ERR_INVALID, "name");
    char *json = NULL;
    done(mtl_report_to_json(r, &json, err));
    ck_assert(json[0] == '{' && strstr(json, "\"reason\": \"epochs\""));
    ck_assert_ptr_nonnull(strstr(json, "\"loss/train\": ["));
    mtl_free(json);
    mtl_report_destroy(r);
    mtl_report_destroy(NULL);
    ck_assert_int_eq(mtl_report_count(NULL), 0);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(it_learns)
{
    set s = set_make(400, 20);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = fit_report(m, s.data, NULL,
                               "epochs=60 learning_rate=0.01 validation_split=0.25 seed=4");
    ck_assert_double_gt(figure(r, "metric/accuracy/fails"), 0.9);
    ck_assert_double_gt(figure(r, "metric/accuracy/grade"), 0.8);
    ck_assert_double_lt(figure(r, "metric/rmse/hours"), 5); /* of a spread of 24 */
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(training_metrics)
{
    set s = set_make(60, 0);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = fit_report(m, s.data, NULL, "epochs=2 train_metrics=1"), *judged = NULL;
    done(mtl_evaluate(m, s.data, NULL, &judged, err));
    ck_assert_double_eq(figure(r, "metric/train/accuracy/grade"),
                        figure(judged, "metric/accuracy/grade"));
    ck_assert_double_eq(figure(r, "metric/train/rmse/hours"), figure(judged, "metric/rmse/hours"));
    mtl_report_destroy(r);
    mtl_report_destroy(judged);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

/* ---- validation, early stopping ---------------------------------------------------------------- */

START_TEST(validation_last)
{
    /* The last fifth judged, the first four fifths trained: as if both were given by hand. */
    set s = set_make(50, 10);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    mtl_dataset *first = NULL, *last = NULL;
    int64_t rows[50];
    for (int i = 0; i < 50; i++)
        rows[i] = i;
    done(mtl_dataset_subset(s.data, 40, rows, &first, err));
    done(mtl_dataset_subset(s.data, 10, rows + 40, &last, err));
    mtl_report *ra = fit_report(a, s.data, NULL, "epochs=3 seed=2 validation_split=0.2");
    mtl_report *rb = fit_report(b, first, last, "epochs=3 seed=2");
    assert_same_model(a, b);
    ck_assert_double_eq(figure(ra, "loss/valid"), figure(rb, "loss/valid"));
    ck_assert_uint_eq(predict_hash(a, &s.p), predict_hash(b, &s.p)); /* scaling too */
    mtl_report_destroy(ra), mtl_report_destroy(rb);
    mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_dataset_destroy(first), mtl_dataset_destroy(last);
    set_free(&s);
}
END_TEST

START_TEST(validation_random)
{
    set s = set_make(50, 0);
    const char *random = "epochs=2 seed=2 validation_split=0.2 validation=random";
    ck_assert_uint_ne(fitted_hash(&s, NULL, "epochs=2 seed=2 validation_split=0.2"),
                      fitted_hash(&s, NULL, random));
    ck_assert_uint_eq(fitted_hash(&s, NULL, random), fitted_hash(&s, NULL, random));
    set_free(&s);
}
END_TEST

START_TEST(a_data_set_goes_before_the_split)
{
    set s = set_make(50, 0), v = set_make(20, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    mtl_report *ra = fit_report(a, s.data, v.data, "epochs=2 validation_split=0.5");
    mtl_report *rb = fit_report(b, s.data, v.data, "epochs=2");
    assert_same_model(a, b);
    mtl_report_destroy(ra), mtl_report_destroy(rb);
    mtl_model_destroy(a), mtl_model_destroy(b);
    set_free(&s), set_free(&v);
}
END_TEST

START_TEST(smallest_split)
{
    set s = set_make(2, 0);
    mtl_model *m = problem_model(NULL);
    fit(m, s.data, "epochs=1 validation_split=0.01");
    fit(m, s.data, "epochs=1 validation_split=0.99");
    fit(m, s.data, "epochs=1 validation_split=0.5 validation=random");
    mtl_model_destroy(m);
    set_free(&s);
    s = set_make(1, 0);
    m = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "validation_split=0.5");
    refused(mtl_fit(m, s.data, NULL, o, NULL, err), MTL_ERR_DATA, "");
    fit(m, s.data, "epochs=1");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(early_stopping)
{
    /* Labels without sense and many steps: the validation loss rises soon. */
    problem p = problem_make(60, 5, 0);
    uint64_t state = 9;
    for (int i = 0; i < 60; i++)
        p.fails[i] = (float)(next_u32(&state) % 2);
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, p.x, 60, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, p.fails, 1, err));
    mtl_model *stopped = problem_model(NULL), *exact = problem_model(NULL);
    const char *how = "epochs=500 learning_rate=0.02 validation_split=0.3 seed=1 patience=5";
    mtl_report *r = fit_report(stopped, d, NULL, how);
    int64_t count, best = (int64_t)figure(r, "best_epoch");
    const double *valid;
    done(mtl_report_get_series(r, "loss/valid", &count, &valid, err));
    ck_assert_str_eq(text_of(r, "reason"), "patience");
    ck_assert_int_lt(count, 500);
    ck_assert_int_eq(count, best + 5);
    ck_assert_double_eq(figure(r, "epochs"), (double)count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(i + 1 == best || valid[best - 1] <= valid[i], "epoch %lld was better",
                      (long long)i + 1);
    /* The parameters are those of the best epoch, bit for bit. */
    char text[128];
    snprintf(text, sizeof text, "epochs=%lld learning_rate=0.02 validation_split=0.3 seed=1",
             (long long)best);
    fit(exact, d, text);
    assert_same_model(stopped, exact);
    mtl_report_destroy(r);
    mtl_model_destroy(stopped), mtl_model_destroy(exact);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(patience_runs_out_of_epochs)
{
    /* Ended by "epochs" the best parameters are restored all the same. */
    set s = set_make(60, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    mtl_report *r =
        fit_report(a, s.data, NULL, "epochs=9 learning_rate=0.5 validation_split=0.3 patience=50");
    ck_assert_str_eq(text_of(r, "reason"), "epochs");
    char text[128];
    snprintf(text, sizeof text, "epochs=%g learning_rate=0.5 validation_split=0.3",
             figure(r, "best_epoch"));
    fit(b, s.data, text);
    assert_same_model(a, b);
    mtl_report_destroy(r);
    mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_options *o = options(MTL_OPTIONS_FIT, "patience=3");
    a = problem_model(NULL);
    refused(mtl_fit(a, s.data, NULL, o, NULL, err), MTL_ERR_INVALID, "patience");
    mtl_options_destroy(o);
    mtl_model_destroy(a);
    set_free(&s);
}
END_TEST

/* ---- cancel, deadline, divergence -------------------------------------------------------------- */

typedef struct watch {
    int64_t calls, stop_at; /* stop at this call, from 1; 0 = never */
    int64_t epoch, step, steps;
    double train, valid;
    int32_t answer;
} watch;

static int32_t watching(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user)
{
    watch *w = user;
    w->calls++;
    ck_assert_msg(epoch >= w->epoch && step >= w->step, "progress went back");
    ck_assert(step <= steps);
    w->epoch = epoch, w->step = step, w->steps = steps, w->train = train, w->valid = valid;
    return w->calls == w->stop_at ? w->answer : MTL_CONTINUE;
}

START_TEST(progress)
{
    set s = set_make(50, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=6 batch_size=16 validation_split=0.2");
    watch w = {0};
    mtl_report *r = NULL;
    done(mtl_options_set_progress(o, watching, &w, err));
    done(mtl_fit(a, s.data, NULL, o, &r, err));
    ck_assert_int_ge(w.calls, 6);
    ck_assert_int_eq(w.epoch, 6);
    ck_assert_int_eq(w.step, 18);
    ck_assert_int_eq(w.steps, 18);
    ck_assert_double_eq(w.train, figure(r, "loss/train"));
    ck_assert_double_eq(w.valid, figure(r, "loss/valid"));
    fit(b, s.data, "epochs=6 batch_size=16 validation_split=0.2");
    assert_same_model(a, b); /* being asked changes nothing */
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(a), mtl_model_destroy(b);
    set_free(&s);
}
END_TEST

START_TEST(cancel_at_every_epoch)
{
    static const int32_t answers[] = {0, 2, -1, INT32_MIN};
    set s = set_make(50, 0);
    for (int64_t stop = 1; stop <= 5; stop++) {
        mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=5 seed=3");
        watch w = {.stop_at = stop, .answer = answers[stop % 4]};
        mtl_report *r = NULL;
        char text[64];
        done(mtl_options_set_progress(o, watching, &w, err));
        done(mtl_fit(a, s.data, NULL, o, &r, err));
        ck_assert_int_eq(w.calls, stop); /* not asked again */
        ck_assert_str_eq(text_of(r, "reason"), "cancelled");
        ck_assert_double_eq(figure(r, "epochs"), (double)stop);
        snprintf(text, sizeof text, "epochs=%lld seed=3", (long long)stop);
        fit(b, s.data, text);
        assert_same_model(a, b);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(a), mtl_model_destroy(b);
    }
    set_free(&s);
}
END_TEST

/* Takes so long that every call but an epoch's end comes from inside an epoch. */
static int32_t slow_stop(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                         void *user)
{
    watch *w = user;
    (void)steps, (void)valid;
    w->calls++;
    w->epoch = epoch, w->step = step, w->train = train;
    return epoch == 0 ? 0 : MTL_CONTINUE;
}

/* A fit of one epoch that a callback stops: w and r say how it ended. */
static void cancel_one_epoch(mtl_model *a, const set *s, watch *w, mtl_report **r)
{
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 batch_size=1");
    *w = (watch){0};
    done(mtl_options_set_progress(o, slow_stop, w, err));
    done(mtl_fit(a, s->data, NULL, o, r, err));
    mtl_options_destroy(o);
}

START_TEST(cancel_inside_an_epoch)
{
    /* An epoch of more than a tenth of a second tells of itself before its end. How many rows that
       takes depends on the machine: more of them until it does. */
    watch w = {0};
    mtl_report *r = NULL;
    mtl_model *a = NULL;
    for (int64_t rows = 60000; rows <= 16 * 60000; rows *= 2) {
        set s = set_make(rows, 0);
        mtl_report_destroy(r);
        mtl_model_destroy(a);
        a = problem_model(NULL);
        cancel_one_epoch(a, &s, &w, &r);
        set_free(&s);
        if (w.epoch == 0)
            break;
    }
    ck_assert_int_eq(w.calls, 1);
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_double_eq(figure(r, "epochs"), 0);
    ck_assert_double_eq(figure(r, "steps"), (double)w.step);
    ck_assert(w.step > 0 && isfinite(w.train));
    int64_t count;
    const double *values;
    done(mtl_report_get_series(r, "loss/train", &count, &values, err));
    ck_assert_int_eq(count, 0);
    ck_assert(isnan(figure(r, "loss/train")));
    mtl_report_destroy(r);
    mtl_model_destroy(a);
}
END_TEST

START_TEST(cancel_keeps_the_best)
{
    /* With patience a cancelled fit, too, ends with the best parameters so far. */
    set s = set_make(60, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    const char *how = "epochs=30 learning_rate=0.5 validation_split=0.3 patience=1000 seed=1";
    mtl_options *o = options(MTL_OPTIONS_FIT, how);
    watch w = {.stop_at = 20};
    mtl_report *r = NULL;
    char text[128];
    done(mtl_options_set_progress(o, watching, &w, err));
    done(mtl_fit(a, s.data, NULL, o, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_double_lt(figure(r, "best_epoch"), figure(r, "epochs"));
    snprintf(text, sizeof text, "epochs=%g learning_rate=0.5 validation_split=0.3 seed=1",
             figure(r, "best_epoch"));
    fit(b, s.data, text);
    assert_same_model(a, b);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(a), mtl_model_destroy(b);
    set_free(&s);
}
END_TEST

START_TEST(deadline)
{
    set s = set_make(500, 0);
    mtl_model *m = problem_model(NULL);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    mtl_report *r = fit_report(m, s.data, NULL, "epochs=1000000 time_limit=0.3");
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) +
                     1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    ck_assert_str_eq(text_of(r, "reason"), "time_limit");
    ck_assert_msg(seconds >= 0.3 && seconds < 5, "%g seconds", seconds);
    ck_assert_double_ge(figure(r, "steps"), 1);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

static void assert_finite_model(const mtl_model *m)
{
    int64_t n;
    float *p = parameters(m, &n);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(isfinite(p[i]), "parameter %lld is %g", (long long)i, (double)p[i]);
    free(p);
}

START_TEST(divergence)
{
    set s = set_make(64, 0);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = NULL;
    fit(m, s.data, "epochs=2");
    uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=50 learning_rate=1e30");
    refused(mtl_fit(m, s.data, NULL, o, &r, err), MTL_ERR_DIVERGED, "epoch");
    ck_assert_ptr_null(r);
    assert_finite_model(m);
    ck_assert_uint_eq(model_hash(m), before); /* no epoch was good */
    fit(m, s.data, "epochs=1");               /* usable as ever */
    ck_assert_uint_ne(model_hash(m), before);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(divergence_after_good_epochs)
{
    /* One step of 1e19 leaves finite weights whose loss is past float32's range. The message names
       the last good epoch; its parameters are what a fit of so many epochs gives. */
    ref_net n = {6, {{0}}, {{"v", MTL_REGRESSION, 1, 1, {{0}}}}};
    ref_data d = ref_random_data(&n, 16, 3, 0);
    mtl_dataset *data = ref_dataset(&n, &d, NULL);
    mtl_model *m = ref_model(&n, NULL), *exact = ref_model(&n, NULL);
    const char *how = "batch_size=16 shuffle=0 scale_inputs=0 scale_targets=0 learning_rate=1e19";
    char text[160];
    snprintf(text, sizeof text, "epochs=1000 %s", how);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    mtl_error *err = mtl_error_create();
    ck_assert_int_eq(mtl_fit(m, data, NULL, o, NULL, err), MTL_ERR_DIVERGED);
    const char *tail = strstr(mtl_error_message(err), "parameters of epoch ");
    ck_assert_ptr_nonnull(tail);
    long long good = strtoll(tail + strlen("parameters of epoch "), NULL, 10);
    ck_assert_int_ge(good, 1);
    assert_finite_model(m);
    snprintf(text, sizeof text, "epochs=%lld %s", good, how);
    fit(exact, data, text);
    assert_same_model(m, exact);
    mtl_error_destroy(err);
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(exact);
    mtl_dataset_destroy(data);
    ref_data_free(&d);
}
END_TEST

/* ---- same bits --------------------------------------------------------------------------------- */

/* Layers and batches so large that threads are worth starting. */
static uint64_t large_fit(const char *context_text)
{
    enum { ROWS = 600, INPUTS = 90 };
    mtl_context *ctx = context(context_text);
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    uint64_t state = 3;
    float *x = floats(ROWS * INPUTS), *y = floats(ROWS), *z = floats(ROWS), *out = floats(5 * ROWS);
    for (int i = 0; i < ROWS * INPUTS; i++)
        x[i] = next_unit(&state);
    for (int i = 0; i < ROWS; i++)
        y[i] = i % 7 ? (float)(next_u32(&state) % 4) : NAN, z[i] = x[i * INPUTS];
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 200, "relu", err));
    done(mtl_spec_add_dropout(s, 0.3, err));
    done(mtl_spec_add_dense(s, 130, "tanh", err));
    done(mtl_spec_add_task(s, "y", MTL_MULTICLASS, 4, err));
    done(mtl_spec_add_task(s, "z", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(ctx, x, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    done(mtl_dataset_set_labels(d, "z", 1, z, 1, err));
    fit(m, d, "epochs=2 batch_size=256 validation_split=0.2 seed=5");
    done(mtl_predict(m, ROWS, x, INPUTS, out, 5, err));
    uint64_t hash = hash_bytes(model_hash(m), out, (size_t)(5 * ROWS) * sizeof *out);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    free(x), free(y), free(z), free(out);
    return hash;
}

START_TEST(same_bits_for_any_threads)
{
    uint64_t one = large_fit("threads=1");
    ck_assert_uint_eq(large_fit("threads=2"), one);
    ck_assert_uint_eq(large_fit("threads=3"), one);
    ck_assert_uint_eq(large_fit("threads=7"), one);
}
END_TEST

START_TEST(same_bits_for_any_level)
{
    uint64_t plain = large_fit("threads=1 cpu=c");
    ck_assert_uint_eq(large_fit("threads=2 cpu=avx2"), plain);
    ck_assert_uint_eq(large_fit("threads=2 cpu=avx512"), plain);
    ck_assert_uint_eq(large_fit("threads=2 cpu=neon"), plain);
    ck_assert_uint_eq(large_fit("cpu=auto"), plain);
}
END_TEST

START_TEST(same_bits_for_any_memory)
{
    /* Strided and misaligned inputs and labels, copies and subsets give the same fit. */
    set s = set_make(60, 15);
    enum { STRIDE = PROBLEM_INPUTS + 3 };
    float *wide = floats(60 * STRIDE + 1), *x = wide + 1;
    for (int r = 0; r < 60; r++)
        for (int j = 0; j < STRIDE; j++)
            x[r * STRIDE + j] = j < PROBLEM_INPUTS ? s.p.x[r * PROBLEM_INPUTS + j] : NAN;
    mtl_dataset *strided = NULL, *copy = NULL, *subset = NULL;
    int64_t rows[60];
    for (int i = 0; i < 60; i++)
        rows[i] = i;
    done(mtl_dataset_create(NULL, x, 60, PROBLEM_INPUTS, STRIDE, &strided, err));
    done(mtl_dataset_set_labels(strided, "hours", 2, s.p.hours, 2, err));
    done(mtl_dataset_set_labels(strided, "tags", 2, s.p.tags, 2, err));
    done(mtl_dataset_set_labels(strided, "grade", 1, s.p.grade, 1, err));
    done(mtl_dataset_set_labels(strided, "fails", 1, s.p.fails, 1, err));
    done(mtl_dataset_copy(strided, &copy, err));
    done(mtl_dataset_subset(strided, 60, rows, &subset, err));
    const mtl_dataset *const all[] = {s.data, strided, copy, subset};
    uint64_t hash[4];
    for (int i = 0; i < 4; i++) {
        mtl_model *m = problem_model(NULL);
        fit(m, all[i], "epochs=3 seed=2");
        hash[i] = model_hash(m);
        mtl_model_destroy(m);
        ck_assert_uint_eq(hash[i], hash[0]);
    }
    mtl_dataset_destroy(strided), mtl_dataset_destroy(copy), mtl_dataset_destroy(subset);
    free(wide);
    set_free(&s);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------ */

static long long calls_of_fit(int epochs, const char *more)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=2");
    problem p = problem_make(64, 2, 10);
    mtl_dataset *d = problem_data(&p, ctx);
    mtl_model *m = problem_model(ctx);
    char text[128];
    snprintf(text, sizeof text, "epochs=%d %s", epochs, more);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    mtl_report *r = NULL;
    long long before = t.calls;
    done(mtl_fit(m, d, NULL, o, &r, err));
    long long calls = t.calls - before;
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(t.live, 0);
    problem_free(&p);
    return calls;
}

START_TEST(no_allocation_in_a_step)
{
    static const char *const how[] = {"batch_size=64", "batch_size=3",
                                      "validation_split=0.2 patience=1000 batch_size=5",
                                      "train_metrics=1 validation_split=0.3 time_limit=100"};
    for (int i = 0; i < 4; i++)
        ck_assert_msg(calls_of_fit(1, how[i]) == calls_of_fit(20, how[i]),
                      "%s: %lld calls in 1 epoch, %lld in 20", how[i], calls_of_fit(1, how[i]),
                      calls_of_fit(20, how[i]));
}
END_TEST

/* ---- the pipeline ------------------------------------------------------------------------------ */

START_TEST(scaler_of_training_rows_only)
{
    set s = set_make(50, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    fit(a, s.data, "epochs=1 validation_split=0.2");
    for (int r = 40; r < 50; r++) { /* other numbers in the validation rows */
        for (int j = 0; j < PROBLEM_INPUTS; j++)
            s.p.x[r * PROBLEM_INPUTS + j] += 1000;
        s.p.hours[2 * r] += 1000;
    }
    fit(b, s.data, "epochs=1 validation_split=0.2");
    assert_same_model(a, b);
    for (int i = 0; i < 40 * PROBLEM_INPUTS; i++) /* the first 40 rows are as they were */
        ck_assert_float_lt(fabsf(s.p.x[i]), 10);
    s.p.rows = 40;
    ck_assert_uint_eq(predict_hash(a, &s.p), predict_hash(b, &s.p));
    mtl_model_destroy(a), mtl_model_destroy(b);
    set_free(&s);
}
END_TEST

START_TEST(units_do_not_matter)
{
    /* Inputs and targets in other units: scaled by powers of two the fit is the same, bit for bit,
       and predictions come back in the other unit. */
    set s = set_make(50, 10);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    float pa[50 * 8], pb[50 * 8];
    fit(a, s.data, "epochs=5");
    done(mtl_predict(a, 50, s.p.x, PROBLEM_INPUTS, pa, 8, err));
    for (int i = 0; i < 50 * PROBLEM_INPUTS; i++)
        s.p.x[i] *= 1024;
    for (int i = 0; i < 100; i++)
        s.p.hours[i] *= 0.25f;
    fit(b, s.data, "epochs=5");
    done(mtl_predict(b, 50, s.p.x, PROBLEM_INPUTS, pb, 8, err));
    assert_same_model(a, b);
    for (int i = 0; i < 50 * 8; i++)
        ck_assert_float_eq(pb[i], i % 8 < 6 ? pa[i] : pa[i] * 0.25f);
    mtl_model_destroy(a), mtl_model_destroy(b);
    set_free(&s);
}
END_TEST

START_TEST(later_fits_keep_the_scaling)
{
    set s = set_make(50, 0);
    mtl_model *m = problem_model(NULL), *copy = NULL;
    fit(m, s.data, "epochs=2");
    done(mtl_model_clone(m, &copy, err));
    uint64_t before = predict_hash(m, &s.p);
    for (int i = 0; i < 50 * PROBLEM_INPUTS; i++)
        s.p.x[i] = s.p.x[i] * 3 + 5;
    fit(m, s.data, "epochs=1 learning_rate=0"); /* nothing is learned from the new rows */
    assert_same_model(m, copy);
    for (int i = 0; i < 50 * PROBLEM_INPUTS; i++)
        s.p.x[i] = (s.p.x[i] - 5) / 3;
    float x[6] = {0.5f, 1, -1, 2, 0, 0.25f}, a[8], b[8];
    done(mtl_predict(m, 1, x, 6, a, 8, err));
    done(mtl_predict(copy, 1, x, 6, b, 8, err));
    assert_same_bits(a, b, 8);
    (void)before;
    mtl_model_destroy(m), mtl_model_destroy(copy);
    set_free(&s);
}
END_TEST

START_TEST(missing_inputs_are_the_mean)
{
    set s = set_make(40, 0);
    mtl_model *m = problem_model(NULL);
    double sum = 0;
    for (int r = 0; r < 40; r++) {
        if (r % 3 == 0)
            s.p.x[r * PROBLEM_INPUTS + 2] = NAN;
        else
            sum += (double)s.p.x[r * PROBLEM_INPUTS + 2];
    }
    fit(m, s.data, "epochs=3");
    int present = 40 - 14;
    float x[2 * PROBLEM_INPUTS] = {0}, out[16];
    x[2] = NAN;
    x[PROBLEM_INPUTS + 2] = (float)(sum / present);
    done(mtl_predict(m, 2, x, PROBLEM_INPUTS, out, 8, err));
    for (int j = 0; j < 8; j++) {
        ck_assert(isfinite(out[j]));
        assert_near(out[j], out[8 + j], 1e-5);
    }
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(constant_and_empty_columns)
{
    set s = set_make(40, 0);
    mtl_model *m = problem_model(NULL);
    for (int r = 0; r < 40; r++) {
        s.p.x[r * PROBLEM_INPUTS] = 5;
        s.p.x[r * PROBLEM_INPUTS + 1] = NAN;
        s.p.hours[2 * r] = 3; /* a constant target */
    }
    fit(m, s.data, "epochs=200 learning_rate=0.01");
    assert_finite_model(m);
    float out[40 * 8];
    done(mtl_predict(m, 40, s.p.x, PROBLEM_INPUTS, out, 8, err));
    for (int r = 0; r < 40; r++)
        ck_assert_float_lt(fabsf(out[r * 8 + 6] - 3), 0.3f);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(dropout_while_training_only)
{
    mtl_spec *s = NULL;
    mtl_model *a = NULL, *b = NULL;
    set data = set_make(64, 0);
    done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 16, "relu", err));
    done(mtl_spec_add_dropout(s, 0.5, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &a, err));
    done(mtl_model_create(s, &b, err));
    float one[64], two[64];
    done(mtl_predict(a, 64, data.p.x, PROBLEM_INPUTS, one, 1, err));
    done(mtl_predict(a, 64, data.p.x, PROBLEM_INPUTS, two, 1, err));
    assert_same_bits(one, two, 64);
    fit(a, data.data, "epochs=40 learning_rate=0.02 seed=1");
    fit(b, data.data, "epochs=40 learning_rate=0.02 seed=1");
    assert_same_model(a, b);
    done(mtl_predict(a, 64, data.p.x, PROBLEM_INPUTS, one, 1, err));
    int right = 0;
    for (int i = 0; i < 64; i++)
        right += (one[i] > 0.5f) == (data.p.fails[i] > 0.5f);
    ck_assert_int_gt(right, 54); /* it learns through the noise */
    mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_spec_destroy(s);
    set_free(&data);
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------------- */

/* The fit is refused, and the model is as it was. */
static void check_refused(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                          const char *text, mtl_status expected, const char *part)
{
    uint64_t before = model_hash(m);
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    refused(mtl_fit(m, train, valid, o, &r, err), expected, part);
    ck_assert_ptr_null(r);
    ck_assert_uint_eq(model_hash(m), before);
    mtl_options_destroy(o);
}

START_TEST(bad_labels_are_named)
{
    set s = set_make(30, 0), good = set_make(30, 0);
    mtl_model *m = problem_model(NULL);
    static const struct {
        char label;
        int row;
        float value;
        const char *task, *row_text;
    } bad[] = {
        {'f', 17, 0.5f, "fails", "17"},  {'f', 3, 2, "fails", "3"},
        {'f', 29, -1, "fails", "29"},    {'f', 4, INFINITY, "fails", "4"},
        {'g', 11, 3, "grade", "11"},     {'g', 12, -1, "grade", "12"},
        {'g', 13, 1.5f, "grade", "13"},  {'g', 14, -INFINITY, "grade", "14"},
        {'g', 14, 1e30f, "grade", "14"}, {'h', 19, INFINITY, "hours", "19"},
        {'t', 21, 0.5f, "tags", "21"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float *y = bad[i].label == 'f'   ? s.p.fails + bad[i].row
                   : bad[i].label == 'g' ? s.p.grade + bad[i].row
                   : bad[i].label == 'h' ? s.p.hours + 2 * bad[i].row + 1
                                         : s.p.tags + 2 * bad[i].row + 1;
        float kept = *y;
        *y = bad[i].value;
        check_refused(m, s.data, NULL, "", MTL_ERR_VALUE, bad[i].task);
        check_refused(m, s.data, NULL, "", MTL_ERR_VALUE, bad[i].row_text);
        check_refused(m, good.data, s.data, "", MTL_ERR_VALUE, bad[i].task);
        *y = kept;
    }
    fit(m, s.data, "epochs=1");
    mtl_model_destroy(m);
    set_free(&s), set_free(&good);
}
END_TEST

START_TEST(bad_inputs_are_named)
{
    set s = set_make(30, 0);
    mtl_model *m = problem_model(NULL);
    s.p.x[23 * PROBLEM_INPUTS + 4] = INFINITY;
    check_refused(m, s.data, NULL, "", MTL_ERR_VALUE, "23");
    check_refused(m, s.data, NULL, "", MTL_ERR_VALUE, "4");
    s.p.x[23 * PROBLEM_INPUTS + 4] = -INFINITY;
    check_refused(m, s.data, NULL, "", MTL_ERR_VALUE, "23");
    s.p.x[23 * PROBLEM_INPUTS + 4] = NAN;
    fit(m, s.data, "epochs=1");
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(row_numbers_are_the_callers)
{
    /* Of a subset the message names the row of the subset, as the caller counts. */
    set s = set_make(30, 0);
    mtl_model *m = problem_model(NULL);
    mtl_dataset *part = NULL;
    done(mtl_dataset_subset(s.data, 3, (int64_t[]){20, 5, 9}, &part, err));
    s.p.fails[9] = 7;
    check_refused(m, part, NULL, "", MTL_ERR_VALUE, "row 2");
    mtl_dataset_destroy(part);
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(shapes_are_checked)
{
    set s = set_make(30, 0);
    mtl_model *m = problem_model(NULL);
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, s.p.x, 30, 5, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, s.p.fails, 1, err));
    check_refused(m, d, NULL, "", MTL_ERR_SHAPE, "5");
    check_refused(m, s.data, d, "", MTL_ERR_SHAPE, "5");
    mtl_dataset_destroy(d);
    done(mtl_dataset_create(NULL, s.p.x, 30, 6, PROBLEM_INPUTS, &d, err));
    check_refused(m, d, NULL, "", MTL_ERR_DATA, "label"); /* no labels at all */
    done(mtl_dataset_set_labels(d, "other", 1, s.p.fails, 1, err));
    check_refused(m, d, NULL, "", MTL_ERR_DATA, "label"); /* of no task of the model */
    done(mtl_dataset_set_labels(d, "hours", 1, s.p.fails, 1, err));
    check_refused(m, d, NULL, "", MTL_ERR_SHAPE, "hours");
    mtl_dataset_destroy(d);
    done(mtl_dataset_create(NULL, NULL, 0, 6, 6, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, NULL, 1, err));
    check_refused(m, d, NULL, "", MTL_ERR_DATA, "row");
    check_refused(m, s.data, d, "", MTL_ERR_DATA, "row");
    mtl_dataset_destroy(d);
    refused(mtl_fit(NULL, s.data, NULL, NULL, NULL, err), MTL_ERR_INVALID, "model");
    refused(mtl_fit(m, NULL, NULL, NULL, NULL, err), MTL_ERR_INVALID, "train");
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(no_label_at_all)
{
    /* Columns are there, every value is missing: too few data. */
    set s = set_make(20, 100);
    mtl_model *m = problem_model(NULL);
    check_refused(m, s.data, NULL, "", MTL_ERR_DATA, "label");
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

START_TEST(validation_without_labels)
{
    /* Nothing to judge on cannot choose a best epoch. */
    set s = set_make(30, 0), v = set_make(20, 100);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = NULL;
    mtl_error *err = mtl_error_create();
    mtl_status st = mtl_fit(m, s.data, v.data, NULL, &r, err);
    if (st == MTL_OK)
        ck_assert_msg(isnan(figure(r, "loss/valid")), "a loss of %g of no label",
                      figure(r, "loss/valid"));
    else
        ck_assert_int_eq(st, MTL_ERR_DATA);
    mtl_error_destroy(err);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    set_free(&s), set_free(&v);
}
END_TEST

START_TEST(own_rows_for_a_task)
{
    /* Rows that belong to one task only, and tasks that the data set does not have. */
    set s = set_make(40, 0);
    mtl_model *m = problem_model(NULL), *before = NULL;
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, s.p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, s.p.fails, 1, err));
    done(mtl_dataset_add_rows(d, "grade", 20, s.p.x + 20 * PROBLEM_INPUTS, PROBLEM_INPUTS, 1,
                              s.p.grade + 20, 1, err));
    fit(m, s.data, "epochs=1");
    done(mtl_model_clone(m, &before, err));
    mtl_report *r = fit_report(m, d, NULL, "epochs=2 batch_size=8");
    ck_assert(isfinite(figure(r, "loss/train/fails")) && isfinite(figure(r, "loss/train/grade")));
    ck_assert_int_eq(mtl_report_type(r, "loss/train/hours"), 0);
    ck_assert_float_eq(tensor_bits_differ(m, before, "head.hours.weight"), 0);
    ck_assert_float_eq(tensor_bits_differ(m, before, "tower0.tags.weight"), 0);
    ck_assert_float_gt(tensor_bits_differ(m, before, "head.grade.weight"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    set_free(&s);
}
END_TEST

/* ---- row weights ------------------------------------------------------------------------------- */

START_TEST(weight_zero_is_absence)
{
    set s = set_make(40, 0);
    mtl_model *a = problem_model(NULL), *b = problem_model(NULL);
    mtl_dataset *part = NULL;
    int64_t rows[30];
    for (int i = 0; i < 40; i++)
        s.p.weight[i] = i < 30;
    for (int i = 0; i < 30; i++)
        rows[i] = i;
    done(mtl_dataset_subset(s.data, 30, rows, &part, err));
    done(mtl_dataset_set_weights(s.data, NULL, s.p.weight, err));
    const char *how = "epochs=4 batch_size=40 shuffle=0 scale_inputs=0 scale_targets=0";
    fit(a, s.data, how);
    fit(b, part, how);
    int64_t n;
    float *pa = parameters(a, &n), *pb = parameters(b, &n);
    for (int64_t i = 0; i < n; i++)
        assert_near(pa[i], pb[i], 1e-5);
    free(pa), free(pb);
    mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_dataset_destroy(part);
    set_free(&s);
}
END_TEST

START_TEST(bad_weights)
{
    static const float bad[] = {-1, NAN, INFINITY};
    set s = set_make(20, 0);
    mtl_model *m = problem_model(NULL);
    for (int i = 0; i < 3; i++) {
        s.p.weight[13] = bad[i];
        mtl_error *err = mtl_error_create();
        mtl_status st = mtl_dataset_set_weights(s.data, NULL, s.p.weight, err);
        if (st == MTL_OK)
            st = mtl_fit(m, s.data, NULL, NULL, NULL, err);
        ck_assert_msg(st == MTL_ERR_VALUE, "weight %g: %s", (double)bad[i], mtl_status_name(st));
        ck_assert_ptr_nonnull(strstr(mtl_error_message(err), "13"));
        mtl_error_destroy(err);
    }
    mtl_model_destroy(m);
    set_free(&s);
}
END_TEST

/* One outlier among the inputs: the robust scale does not follow it, the others do. Saved and read, a
   model scales as before. */
START_TEST(the_scaler_is_chosen_and_kept)
{
    static const char *const names[] = {"standard", "robust", "min_max"};
    problem p = problem_make(60, 5, 0);
    float near[PROBLEM_INPUTS] = {0}, spread[3];
    p.x[0] = 1e6f;
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < 3; k++) {
        char text[64];
        mtl_model *m = problem_model(NULL), *read = NULL;
        void *file = NULL;
        int64_t bytes = 0;
        snprintf(text, sizeof text, "epochs=1 learning_rate=0 scaler=%s", names[k]);
        fit(m, d, text);
        float low[PROBLEM_OUTPUTS], high[PROBLEM_OUTPUTS];
        near[0] = -2;
        done(mtl_predict(m, 1, near, PROBLEM_INPUTS, low, PROBLEM_OUTPUTS, err));
        near[0] = 2;
        done(mtl_predict(m, 1, near, PROBLEM_INPUTS, high, PROBLEM_OUTPUTS, err));
        spread[k] = fabsf(high[0] - low[0]);
        done(mtl_model_save_buffer(m, &file, &bytes, err));
        done(mtl_model_load_buffer(NULL, file, bytes, &read, err));
        ck_assert(predict_hash(read, &p) == predict_hash(m, &p));
        mtl_free(file);
        mtl_model_destroy(m), mtl_model_destroy(read);
    }
    ck_assert(spread[1] > 100 * spread[0] && spread[1] > 100 * spread[2]);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_fit");
    add_case(s, "three steps equal Adam written out in double", adam_by_hand);
    add_case(s, "Adam's first step is the rate for any beta", adam_near_one);
    add_case(s, "an epoch is its batches in order", batches_in_order);
    add_case(s, "shuffle and seed change the order", shuffle_changes_the_order);
    add_case(s, "losses are those of the data, per task and in sum", losses_of_an_epoch);
    add_case(s, "the report has its entries", report_of_a_fit);
    add_case(s, "a fit learns", it_learns);
    add_case(s, "metrics of training rows on demand", training_metrics);
    add_case(s, "validation_split takes the last rows", validation_last);
    add_case(s, "validation_split takes random rows", validation_random);
    add_case(s, "a validation data set goes before the split", a_data_set_goes_before_the_split);
    add_case(s, "both parts of a split have a row", smallest_split);
    add_case(s, "early stopping restores the best epoch", early_stopping);
    add_case(s, "patience restores the best epoch at the end", patience_runs_out_of_epochs);
    add_case(s, "progress is told and changes nothing", progress);
    add_case(s, "a callback cancels at any epoch", cancel_at_every_epoch);
    add_case(s, "a callback cancels inside an epoch", cancel_inside_an_epoch);
    add_case(s, "a cancelled fit keeps the best epoch", cancel_keeps_the_best);
    add_case(s, "a time limit ends the fit", deadline);
    add_case(s, "divergence keeps the last good parameters", divergence);
    add_case(s, "divergence after good epochs", divergence_after_good_epochs);
    add_case(s, "same bits for any number of threads", same_bits_for_any_threads);
    add_case(s, "same bits for any instruction set", same_bits_for_any_level);
    add_case(s, "same bits for any layout in memory", same_bits_for_any_memory);
    add_case(s, "no allocation in a step or epoch", no_allocation_in_a_step);
    add_case(s, "scaling is fitted on the training rows only", scaler_of_training_rows_only);
    add_case(s, "units of inputs and targets do not matter", units_do_not_matter);
    add_case(s, "later fits keep the scaling", later_fits_keep_the_scaling);
    add_case(s, "missing inputs count as the mean", missing_inputs_are_the_mean);
    add_case(s, "constant and empty columns do no harm", constant_and_empty_columns);
    add_case(s, "dropout acts while training only", dropout_while_training_only);
    add_case(s, "bad labels are named with task and row", bad_labels_are_named);
    add_case(s, "bad inputs are named with row and column", bad_inputs_are_named);
    add_case(s, "row numbers are those of the caller", row_numbers_are_the_callers);
    add_case(s, "shapes are checked", shapes_are_checked);
    add_case(s, "data without any label are refused", no_label_at_all);
    add_case(s, "validation rows without any label", validation_without_labels);
    add_case(s, "tasks may bring rows of their own", own_rows_for_a_task);
    add_case(s, "a row of weight 0 takes no part", weight_zero_is_absence);
    add_case(s, "bad row weights are refused", bad_weights);
    add_case(s, "the scaler is chosen and kept", the_scaler_is_chosen_and_kept);
    return run_suite(s);
}
