/* SPDX-License-Identifier: MIT */
/* Optimizers, schedules, clipping, averages and groups through mtl_fit and mtl_transfer, and
   mtl_lr_find. The formulas are judged in test_optim.c and test_sched.c. */
#include "api_testing.h"

/* One batch is all rows, so that an epoch is a step. */
#define WHOLE "batch_size=1000 shuffle=0 scale_inputs=0 scale_targets=0 seed=1 "

static const char *const optimizers[] = {"adam",
                                         "adam:amsgrad=1",
                                         "adamw:weight_decay=0.5",
                                         "nadam",
                                         "sgd",
                                         "sgd:momentum=0.9,nesterov=1",
                                         "rmsprop",
                                         "rmsprop:momentum=0.5",
                                         "adagrad",
                                         "lion:weight_decay=0.5"};
enum { OPTIMIZERS = (int)(sizeof optimizers / sizeof *optimizers) };

static bool with_batch_norm; /* in a test's next wide models; tests may share a process */

typedef struct fixture {
    problem p;
    mtl_context *ctx;
    mtl_dataset *data, *valid;
} fixture;

static fixture make(mtl_context *ctx)
{
    fixture f = {.p = problem_make(60, 4, 10), .ctx = ctx};
    with_batch_norm = false;
    f.data = problem_data(&f.p, ctx);
    f.valid = NULL;
    done(mtl_dataset_subset(f.data, 5, (int64_t[]){1, 3, 5, 7, 9}, &f.valid, err));
    return f;
}

static void release(fixture *f)
{
    mtl_dataset_destroy(f->data), mtl_dataset_destroy(f->valid);
    problem_free(&f->p);
}

/* Trunk of 6 to 150 to 20, so that a norm has more than one block. */
static mtl_model *wide_model(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 150, "relu", err));
    if (with_batch_norm)
        done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dense(s, 20, "tanh", err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(s, "silent", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "tags", "head", "5:sigmoid", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* A wide model with the weights of seed 1, names frozen ("" = none), fitted. */
static mtl_model *fitted(const fixture *f, const char *frozen, const char *text, mtl_report **r)
{
    mtl_model *m = wide_model(f->ctx);
    fit(m, f->data, WHOLE "epochs=1 learning_rate=0");
    char names[256], how[512];
    strcpy(names, frozen);
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        done(mtl_model_freeze(m, name, 1, err));
    snprintf(how, sizeof how, WHOLE "%s", text);
    mtl_options *o = options(MTL_OPTIONS_FIT, how);
    done(mtl_fit(m, f->data, strstr(text, "validation") ? NULL : f->valid, o, r, err));
    mtl_options_destroy(o);
    return m;
}

static float *fitted_parameters(const fixture *f, const char *frozen, const char *text, int64_t *n)
{
    mtl_model *m = fitted(f, frozen, text, NULL);
    float *p = parameters(m, n);
    mtl_model_destroy(m);
    return p;
}

/* a = a - b */
static void subtract(int64_t n, float *a, const float *b)
{
    for (int64_t i = 0; i < n; i++)
        a[i] -= b[i];
}

/* What one step of sgd at rate 1 changes. */
static float *change(const fixture *f, const char *frozen, const char *more, int64_t *n)
{
    char text[256];
    snprintf(text, sizeof text, "epochs=1 learning_rate=1 optimizer=sgd %s", more);
    float *start = fitted_parameters(f, "", "epochs=1 learning_rate=0", n);
    float *p = fitted_parameters(f, frozen, text, n);
    subtract(*n, p, start);
    free(start);
    return p;
}

static double norm(int64_t n, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* ---- clipping -------------------------------------------------------------------------------- */

START_TEST(clipping)
{
    int64_t n;
    fixture f = make(NULL);
    float *g = change(&f, "", "", &n), *value = change(&f, "", "clip_value=0.01", &n);
    float *length = change(&f, "", "clip_norm=0.25", &n),
          *loose = change(&f, "", "clip_norm=1e9", &n);
    float *both = change(&f, "", "clip_value=0.01 clip_norm=0.05", &n);
    double all = norm(n, g), cut = norm(n, value);
    ck_assert(all > 1 && cut > 0.1 && n > 4000);
    assert_same_bits(loose, g, n);
    for (int64_t i = 0; i < n; i++) {
        double clamped = fmax(-0.01, fmin(0.01, (double)g[i]));
        assert_near(value[i], clamped, 1e-6);
        assert_near(length[i], g[i] * 0.25 / (all + 1e-6), 1e-6);
        assert_near(both[i], clamped * 0.05 / (cut + 1e-6), 1e-6);
    }
    assert_near(norm(n, length), 0.25, 1e-4);
    free(g), free(value), free(length), free(loose), free(both);
    release(&f);
}
END_TEST

START_TEST(norm_of_what_is_trained)
{
    /* A frozen slice of the heads' matrix has a gradient, which is no part of the norm. */
    int64_t n;
    fixture f = make(NULL);
    static const char *const frozen[] = {"head.hours", "trunk.0", "head.fails trunk.1.weight"};
    for (int i = 0; i < 3; i++) {
        float *g = change(&f, frozen[i], "", &n),
              *cut = change(&f, frozen[i], "clip_norm=0.01", &n);
        double all = norm(n, g);
        for (int64_t k = 0; k < n; k++)
            assert_near(cut[k], g[k] * 0.01 / (all + 1e-6), 2e-7);
        assert_near(norm(n, cut), 0.01, 1e-4);
        free(g), free(cut);
    }
    release(&f);
}
END_TEST

START_TEST(penalties_are_not_clipped)
{
    int64_t n;
    fixture f = make(NULL);
    float *cut = change(&f, "", "clip_value=0.01", &n),
          *with = change(&f, "", "clip_value=0.01 l1=0.5", &n);
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)with[i] - (double)cut[i]));
    assert_near(largest, 0.5, 1e-5);
    free(cut), free(with);
    release(&f);
}
END_TEST

/* ---- what must not move ---------------------------------------------------------------------- */

START_TEST(frozen_bits)
{
    static const char *const averages[] = {"none", "ema:decay=0.5", "swa:start=0.3"};
    fixture f = make(NULL);
    char text[256];
    mtl_model *start = fitted(&f, "", "epochs=1 learning_rate=0", NULL);
    for (int a = 0; a < 3; a++) {
        snprintf(text, sizeof text,
                 "epochs=5 learning_rate=0.05 %s clip_norm=3 schedule=cosine warmup=2 "
                 "optimizer=%s average=%s groups=head.tags:rate=0",
                 a ? "l1=0.01 l2=0.1" : "l1=0", optimizers[_i], averages[a]);
        mtl_model *m = fitted(&f, "head.grade trunk.0.weight trunk.1.bias", text, NULL);
        for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
            const char *name;
            tensor_size(m, i, &name);
            bool moves = !strstr(name, "head.grade") && !strstr(name, "silent") &&
                         !strstr(name, "head.tags") && strcmp(name, "trunk.0.weight") != 0 &&
                         strcmp(name, "trunk.1.bias") != 0;
            ck_assert_msg((tensor_bits_differ(m, start, name) > 0) == moves, "%s with %s: %s",
                          optimizers[_i], averages[a], name);
        }
        mtl_model_destroy(m);
    }
    mtl_model_destroy(start);
    release(&f);
}
END_TEST

START_TEST(decay_of_weights_alone)
{
    /* Where nothing has a gradient, decay is all there is: w (1 - rate decay). */
    fixture f = make(NULL);
    static const char *const how[] = {"adamw:weight_decay=0.5", "lion:weight_decay=0.5"};
    for (int i = 0; i < 2; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "epochs=1 learning_rate=0.1 clip_value=1e-30 optimizer=%s "
                 "groups=trunk.1:decay=0;trunk.0:rate=2",
                 how[i]);
        mtl_model *start = fitted(&f, "", "epochs=1 learning_rate=0", NULL);
        mtl_model *m = fitted(&f, "", text, NULL);
        float a[900], b[900];
        done(mtl_model_tensor_get(start, "trunk.0.weight", 900, a, err));
        done(mtl_model_tensor_get(m, "trunk.0.weight", 900, b, err));
        for (int k = 0; k < 900 && i == 0; k++)
            assert_near(b[k], a[k] * 0.9, 1e-6);
        for (int k = 0; k < 900 && i == 1; k++) /* the sign of the smallest gradient counts */
            ck_assert(fabs((double)b[k] - (double)a[k] * 0.9) < 0.2 + 1e-6);
        if (i == 0)
            ck_assert(tensor_bits_differ(start, m, "trunk.1.weight") < 1e-20f);
        mtl_model_destroy(start), mtl_model_destroy(m);
    }
    release(&f);
}
END_TEST

/* ---- averages -------------------------------------------------------------------------------- */

enum { EPOCHS = 6 };

START_TEST(averages_of_the_steps)
{
    int64_t n;
    fixture f = make(NULL);
    float *at[EPOCHS];
    with_batch_norm = _i == 1; /* its running statistics, too */
    for (int e = 0; e < EPOCHS; e++) {
        char text[64];
        snprintf(text, sizeof text, "epochs=%d learning_rate=0.05", e + 1);
        at[e] = fitted_parameters(&f, "", text, &n);
    }
    float *ema = fitted_parameters(&f, "", "epochs=6 learning_rate=0.05 average=ema:decay=0.7", &n);
    float *swa = fitted_parameters(&f, "", "epochs=6 learning_rate=0.05 average=swa:start=0.5", &n);
    float *late = fitted_parameters(&f, "", "epochs=6 learning_rate=0.05 average=swa:start=1", &n);
    for (int64_t i = 0; i < n; i++) {
        double mean = (double)at[0][i];
        for (int e = 1; e < EPOCHS; e++)
            mean = 0.7 * mean + 0.3 * (double)at[e][i];
        assert_near(ema[i], mean, 1e-6);
        assert_near(swa[i], ((double)at[3][i] + (double)at[4][i] + (double)at[5][i]) / 3, 1e-6);
    }
    assert_same_bits(late, at[EPOCHS - 1], n);
    for (int e = 0; e < EPOCHS; e++)
        free(at[e]);
    free(ema), free(swa), free(late);
    release(&f);
}
END_TEST

static double loss_of(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    double loss = figure(r, "loss");
    mtl_report_destroy(r);
    return loss;
}

START_TEST(averages_are_judged)
{
    static const char *const averages[] = {"none", "ema:decay=0.8", "swa:start=0.5"};
    fixture f = make(NULL);
    const double *plain, *train, *valid;
    mtl_report *first = NULL;
    int64_t count;
    mtl_model_destroy(fitted(&f, "", "epochs=12 learning_rate=0.05", &first));
    done(mtl_report_get_series(first, "loss/train", &count, &plain, err));
    for (int a = 0; a < 3; a++)
        for (int patience = 0; patience < 2; patience++) {
            char text[128];
            mtl_report *r = NULL;
            snprintf(text, sizeof text, "epochs=12 learning_rate=0.05 average=%s patience=%d",
                     averages[a], patience ? 100 : 0);
            mtl_model *m = fitted(&f, "", text, &r);
            done(mtl_report_get_series(r, "loss/train", &count, &train, err));
            done(mtl_report_get_series(r, "loss/valid", &count, &valid, err));
            double handed_out = valid[11];
            for (int e = 0; e < 12; e++) {
                ck_assert_double_eq(train[e], plain[e]); /* the steps go on undisturbed */
                if (patience)
                    handed_out = fmin(handed_out, valid[e]);
            }
            ck_assert_double_eq(loss_of(m, f.valid), handed_out);
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
    mtl_report_destroy(first);
    release(&f);
}
END_TEST

static int32_t stop_after_two(int64_t epoch, int64_t step, int64_t steps, double train_loss,
                              double valid_loss, void *user)
{
    (void)step, (void)steps, (void)train_loss, (void)valid_loss, (void)user;
    return epoch < 2 ? MTL_CONTINUE : 0;
}

START_TEST(averages_when_stopped)
{
    static const char *const averages[] = {"ema:decay=0.8", "swa:start=0"};
    fixture f = make(NULL);
    for (int a = 0; a < 2; a++) {
        char text[128];
        mtl_model *m = wide_model(NULL);
        fit(m, f.data, WHOLE "epochs=1 learning_rate=0");
        snprintf(text, sizeof text, WHOLE "epochs=9 learning_rate=0.05 average=%s", averages[a]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        done(mtl_options_set_progress(o, stop_after_two, NULL, err));
        done(mtl_fit(m, f.data, NULL, o, NULL, err));
        snprintf(text, sizeof text, "epochs=2 learning_rate=0.05 average=%s", averages[a]);
        mtl_model *two = fitted(&f, "", text, NULL);
        assert_same_model(m, two);
        mtl_options_destroy(o);
        mtl_model_destroy(m), mtl_model_destroy(two);
    }
    release(&f);
}
END_TEST

/* ---- schedules ------------------------------------------------------------------------------- */

static void expect_rates(const fixture *f, const char *text, int count, const double *expected)
{
    mtl_report *r = NULL;
    const double *rate;
    int64_t n;
    mtl_model_destroy(fitted(f, "", text, &r));
    done(mtl_report_get_series(r, "learning_rate", &n, &rate, err));
    ck_assert_int_eq(n, count);
    for (int i = 0; i < count; i++)
        assert_near(rate[i] / expected[i], 1, 1e-12);
    mtl_report_destroy(r);
}

START_TEST(rates_in_the_report)
{
    fixture f = make(NULL);
    expect_rates(&f, "epochs=3 learning_rate=0.25", 3, (double[]){0.25, 0.25, 0.25});
    expect_rates(&f, "epochs=4 learning_rate=0.25 schedule=step:every=2,gamma=0.5", 4,
                 (double[]){0.25, 0.25, 0.125, 0.125});
    expect_rates(&f, "epochs=4 learning_rate=0.25 warmup=2 schedule=linear:final=0.5", 4,
                 (double[]){0.125, 0.25, 0.25, 0.1875});
    expect_rates(&f, "epochs=3 batch_size=20 learning_rate=1 schedule=linear",
                 3, /* last step of 3 */
                 (double[]){7 / 9.0, 4 / 9.0, 1 / 9.0});
    /* a rate of next to nothing: no epoch is better than the first */
    expect_rates(&f, "epochs=5 learning_rate=1e-30 schedule=plateau:patience=1,factor=0.5", 5,
                 (double[]){1e-30, 1e-30, 1e-30, 0.5e-30, 0.5e-30});
    expect_rates(&f,
                 "epochs=3 learning_rate=1e-30 schedule=plateau:patience=0 validation_split=0.2", 3,
                 (double[]){1e-30, 1e-30, 1e-31});
    release(&f);
}
END_TEST

START_TEST(rates_are_used)
{
    int64_t n;
    fixture f = make(NULL);
    float *one = fitted_parameters(&f, "", "epochs=1 optimizer=sgd", &n);
    float *five =
        fitted_parameters(&f, "", "epochs=5 optimizer=sgd schedule=exponential:gamma=0", &n);
    assert_same_bits(one, five, n);
    float *half = fitted_parameters(&f, "", "epochs=1 optimizer=sgd learning_rate=0.0005", &n);
    float *warm =
        fitted_parameters(&f, "", "epochs=1 optimizer=sgd learning_rate=0.001 warmup=0.9", &n);
    assert_same_bits(one, warm, n); /* less than a step */
    free(one), free(five), free(half), free(warm);
    release(&f);
}
END_TEST

START_TEST(plateau_needs_validation)
{
    fixture f = make(NULL);
    mtl_model *m = wide_model(NULL), *out = NULL;
    uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, "schedule=plateau");
    mtl_options *moved = options(MTL_OPTIONS_TRANSFER, "schedule=plateau epochs=2");
    refused(mtl_fit(m, f.data, NULL, o, NULL, err), MTL_ERR_INVALID, "validation_split");
    ck_assert_uint_eq(model_hash(m), before);
    fit(m, f.data, "epochs=1");
    mtl_dataset *target = NULL;
    done(mtl_dataset_create(NULL, f.p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, f.p.fails, 1, err));
    refused(mtl_transfer(m, target, NULL, moved, &out, NULL, err), MTL_ERR_INVALID, "plateau");
    mtl_options_destroy(o), mtl_options_destroy(moved);
    mtl_dataset_destroy(target);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

START_TEST(transfer_has_them_too)
{
    fixture f = make(NULL);
    mtl_model *m = fitted(&f, "", "epochs=2", NULL), *out = NULL;
    mtl_report *r = NULL;
    mtl_dataset *target = NULL;
    const double *rate;
    int64_t n;
    done(mtl_dataset_create(NULL, f.p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, f.p.fails, 1, err));
    mtl_options *o =
        options(MTL_OPTIONS_TRANSFER,
                "strategy=fine_tune epochs=2 schedule=step:every=1,gamma=0.5 learning_rate=0.5 batch_size=64 "
                "optimizer=adamw:weight_decay=0.1 average=ema clip_norm=1 warmup=0.1 "
                "groups=trunk.0:rate=0;head.new:rate=2,decay=0");
    done(mtl_transfer(m, target, f.data, o, &out, &r, err));
    done(mtl_report_get_series(r, "learning_rate", &n, &rate, err));
    ck_assert(n == 2 && rate[0] == 0.5 && rate[1] == 0.25);
    ck_assert(tensor_bits_differ(m, out, "trunk.0.weight") == 0);
    ck_assert(tensor_bits_differ(m, out, "trunk.1.weight") > 0);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_dataset_destroy(target);
    mtl_model_destroy(m), mtl_model_destroy(out);
    release(&f);
}
END_TEST

/* ---- groups ---------------------------------------------------------------------------------- */

/* Compare two changes tensor by tensor: expected factors by name, 1 where not named. */
static void expect_factors(const fixture *f, const char *groups, const char *more, int count,
                           const char *const *name, const double *factor)
{
    char text[256];
    int64_t n, at = 0;
    snprintf(text, sizeof text, "%s groups=%s", more, groups);
    float *plain = change(f, "", more, &n), *grouped = change(f, "", text, &n);
    mtl_model *m = wide_model(NULL);
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *tensor;
        int64_t size = tensor_size(m, i, &tensor);
        double expected = 1;
        for (int k = 0; k < count; k++)
            if (strstr(tensor, name[k]))
                expected = factor[k];
        for (int64_t k = 0; k < size; k++)
            ck_assert_msg(fabs((double)grouped[at + k] - expected * (double)plain[at + k]) < 1e-6,
                          "%s: %s[%d] %g, not %g times %g", groups, tensor, (int)k,
                          (double)grouped[at + k], expected, (double)plain[at + k]);
        at += size;
    }
    mtl_model_destroy(m);
    free(plain), free(grouped);
}

START_TEST(rates_of_groups)
{
    fixture f = make(NULL);
    expect_factors(&f, "trunk.0:rate=0.5", "", 1, (const char *[]){"trunk.0"}, (double[]){0.5});
    expect_factors(&f, "trunk.0..1:rate=0.25", "", 1, (const char *[]){"trunk"}, (double[]){0.25});
    expect_factors(&f, "trunk:rate=0;head.tags.bias:rate=3", "", 2,
                   (const char *[]){"trunk", "head.tags.bias"}, (double[]){0, 3});
    /* slices of one matrix, and the last entry that means a tensor */
    expect_factors(&f, "head:rate=3;head.hours:rate=0.5;head.grade:rate=0", "", 3,
                   (const char *[]){"head", "head.hours", "head.grade"}, (double[]){3, 0.5, 0});
    expect_factors(&f, "head.fails.weight:rate=2;", "clip_norm=1e9", 1,
                   (const char *[]){"head.fails.weight"}, (double[]){2});
    expect_factors(&f, "head.silent", "", 0, NULL, NULL);
    release(&f);
}
END_TEST

START_TEST(decay_of_groups)
{
    int64_t n, at = 0;
    fixture f = make(NULL);
    float *none = change(&f, "", "", &n), *l2 = change(&f, "", "l2=0.5", &n);
    float *some = change(&f, "", "l2=0.5 groups=trunk.0:decay=0;head.hours:decay=2", &n);
    mtl_model *m = wide_model(NULL);
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t size = tensor_size(m, i, &name);
        double factor = strstr(name, "trunk.0") ? 0 : strstr(name, "head.hours") ? 2 : 1;
        for (int64_t k = at; k < at + size; k++)
            assert_near((double)some[k] - (double)none[k],
                        factor * ((double)l2[k] - (double)none[k]), 1e-6);
        at += size;
    }
    mtl_model_destroy(m);
    free(none), free(l2), free(some);
    release(&f);
}
END_TEST

START_TEST(groups_that_cannot_be)
{
    static const struct {
        const char *text;
        mtl_status status;
        const char *part;
    } rows[] = {{"stem:rate=1", MTL_ERR_NAME, "stem"},
                {"trunk:rate=0.5;head.none:rate=1", MTL_ERR_NAME, "head.none"},
                {"trunk.2..3:rate=1", MTL_ERR_NAME, "trunk.2..3"},
                {"trunk:speed=1", MTL_ERR_RANGE, "speed"},
                {"trunk:rate=-1", MTL_ERR_RANGE, "-1"},
                {"trunk:rate=x", MTL_ERR_RANGE, "rate"},
                {";trunk", MTL_ERR_RANGE, "name"},
                {":rate=1", MTL_ERR_RANGE, "name"}};
    fixture f = make(NULL);
    mtl_model *m = wide_model(NULL);
    uint64_t before = model_hash(m);
    char longer[400] = {0};
    memset(longer, 'x', 300);
    for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
        bool last = i == sizeof rows / sizeof *rows;
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1");
        done(mtl_options_set_str(o, "groups", last ? longer : rows[i].text, err));
        refused(mtl_fit(m, f.data, NULL, o, NULL, err), last ? MTL_ERR_RANGE : rows[i].status,
                last ? "too long" : rows[i].part);
        mtl_options_destroy(o);
    }
    ck_assert_uint_eq(model_hash(m), before);
    fit(m, f.data, "epochs=1");
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

START_TEST(freezing_by_depth)
{
    static const char *const wrong[] = {"trunk.1..0",  "trunk..1",   "trunk.0..",
                                        "trunk.0..1x", "trunk.2..9", "trunk.0...1",
                                        "trunk.0.1",   "head.0..1",  "trunk.x..1"};
    fixture f = make(NULL);
    mtl_model *m = fitted(&f, "trunk.0..1", "epochs=1", NULL);
    mtl_model *start = fitted(&f, "", "epochs=1 learning_rate=0", NULL);
    ck_assert(tensor_bits_differ(m, start, "trunk.0.weight") == 0);
    ck_assert(tensor_bits_differ(m, start, "trunk.1.bias") == 0);
    ck_assert(tensor_bits_differ(m, start, "head.hours.weight") > 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(mtl_model_freeze(m, wrong[i], 1, err), MTL_ERR_NAME, wrong[i]);
    done(mtl_model_freeze(m, "trunk.1..1", 0, err));
    fit(m, f.data, WHOLE "epochs=1");
    ck_assert(tensor_bits_differ(m, start, "trunk.0.weight") == 0);
    ck_assert(tensor_bits_differ(m, start, "trunk.1.weight") > 0);
    mtl_model_destroy(m), mtl_model_destroy(start);
    release(&f);
}
END_TEST

/* ---- the momentum of one_cycle ------------------------------------------------------------------ */

START_TEST(momentum_is_cycled)
{
    static const char *const refuse[] = {"schedule=one_cycle:max_momentum=0.95 optimizer=adagrad",
                                         "schedule=one_cycle:max_momentum=0.95 optimizer=sgd"};
    fixture f = make(NULL);
    for (int i = 0; i < 2; i++) {
        mtl_model *m = wide_model(NULL);
        mtl_options *o = options(MTL_OPTIONS_FIT, refuse[i]);
        refused(mtl_fit(m, f.data, NULL, o, NULL, err), MTL_ERR_INVALID, "max_momentum");
        mtl_options_destroy(o);
        mtl_model_destroy(m);
    }
    /* A cycle that stays where the optimizer is anyway is none; another one is another run. */
    const char *const texts[] = {
        "epochs=2 optimizer=sgd:momentum=0.8 schedule=one_cycle",
        "epochs=2 optimizer=sgd:momentum=0.8 schedule=one_cycle:max_momentum=0.8,base_momentum=0.8",
        "epochs=2 optimizer=sgd:momentum=0.3 schedule=one_cycle:max_momentum=0.8,base_momentum=0.8",
        "epochs=2 optimizer=sgd:momentum=0.8 schedule=one_cycle:max_momentum=0.9",
    };
    uint64_t hash[4];
    for (int i = 0; i < 4; i++) {
        mtl_model *m = fitted(&f, "", texts[i], NULL);
        hash[i] = model_hash(m);
        mtl_model_destroy(m);
    }
    ck_assert(hash[0] == hash[1] && hash[1] == hash[2] && hash[2] != hash[3]);
    release(&f);
}
END_TEST

/* ---- bits and memory ------------------------------------------------------------------------- */

START_TEST(same_bits_everywhere)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=1 cpu=avx2", "threads=2",
                                           "threads=3 cpu=c"};
    uint64_t first = 0;
    for (int c = 0; c < 4; c++) {
        char text[256];
        mtl_context *ctx = context(contexts[c]);
        fixture f = make(ctx);
        snprintf(text, sizeof text,
                 "epochs=4 batch_size=16 learning_rate=0.02 l1=1e-4 l2=1e-3 clip_norm=0.5 "
                 "clip_value=0.2 "
                 "schedule=one_cycle warmup=3 average=%s groups=trunk.0:rate=0.5;head.grade:rate=2 "
                 "optimizer=%s",
                 _i % 2 ? "swa:start=0.4" : "ema:decay=0.9", optimizers[_i]);
        mtl_model *m = fitted(&f, "head.fails", text, NULL);
        uint64_t hash = model_hash(m);
        first = c == 0 ? hash : first;
        ck_assert_msg(hash == first, "%s with %s: other bits", optimizers[_i], contexts[c]);
        mtl_model_destroy(m);
        release(&f);
        mtl_context_destroy(ctx);
    }
}
END_TEST

static long long calls_of_fit(int epochs, int optimizer)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=2");
    fixture f = make(ctx);
    mtl_model *m = wide_model(ctx);
    char text[256];
    snprintf(text, sizeof text,
             "epochs=%d batch_size=7 clip_norm=1 clip_value=1 schedule=plateau warmup=3 average=%s "
             "optimizer=%s validation_split=0.2 patience=100 groups=head.grade:rate=2",
             epochs, optimizer % 2 ? "ema" : "swa", optimizers[optimizer]);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    mtl_report *r = NULL;
    long long before = t.calls;
    done(mtl_fit(m, f.data, NULL, o, &r, err));
    long long calls = t.calls - before;
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    release(&f);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(t.live, 0);
    return calls;
}

START_TEST(no_allocation_in_a_step)
{
    ck_assert_int_eq(calls_of_fit(1, _i), calls_of_fit(20, _i));
}
END_TEST

/* ---- the range test -------------------------------------------------------------------------- */

static mtl_report *found(const mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_lr_find(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

static int64_t series(const mtl_report *r, const char *name, const double **values)
{
    int64_t n;
    done(mtl_report_get_series(r, name, &n, values, err));
    return n;
}

START_TEST(a_rate_is_found)
{
    fixture f = make(NULL);
    mtl_model *m = wide_model(NULL);
    const double *rate, *loss, *smooth;
    mtl_report *r = found(m, f.data, "batch_size=16");
    int64_t n = series(r, "learning_rate", &rate);
    ck_assert(n > 50 && n <= 100 && series(r, "loss", &loss) == n &&
              series(r, "loss/smooth", &smooth) == n);
    double mean = 0, weight = 0, lowest = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        assert_near(rate[i] / (1e-7 * pow(1e8, (double)i / 99)), 1, 1e-12);
        mean = 0.9 * mean + 0.1 * loss[i];
        weight = 0.9 * weight + 0.1;
        assert_near(smooth[i], mean / weight, 1e-12);
        ck_assert(i + 1 == n || smooth[i] <= 4 * fmin(lowest, smooth[i]));
        lowest = fmin(lowest, smooth[i]);
    }
    const char *reason = text_of(r, "reason");
    if (n == 100)
        ck_assert_str_eq(reason, "steps");
    else
        ck_assert(strcmp(reason, "diverged") == 0 && smooth[n - 1] > 4 * lowest);
    double suggested = figure(r, "suggested");
    ck_assert_msg(suggested > 1e-5 && suggested < 1, "suggested %g", suggested);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

START_TEST(nothing_is_touched)
{
    /* Unfitted, then fitted: bits, pipeline and the fits to come. */
    fixture f = make(NULL);
    mtl_model *a = wide_model(NULL), *b = wide_model(NULL);
    for (int round = 0; round < 2; round++) {
        mtl_report_destroy(found(a, f.data, "batch_size=16 seed=5 shuffle=1 optimizer=sgd"));
        assert_same_model(a, b);
        ck_assert_uint_eq(predict_hash(a, &f.p), predict_hash(b, &f.p));
        fit(a, f.data, "epochs=2 seed=3"), fit(b, f.data, "epochs=2 seed=3");
        assert_same_model(a, b);
    }
    mtl_model_destroy(a), mtl_model_destroy(b);
    release(&f);
}
END_TEST

START_TEST(found_twice_alike)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=3"};
    char *text[2] = {NULL, NULL};
    for (int c = 0; c < 2; c++) {
        mtl_context *ctx = context(contexts[c]);
        fixture f = make(ctx);
        mtl_model *m = wide_model(ctx);
        /* options that are not looked at */
        mtl_report *r = found(m, f.data,
                              c ? "learning_rate=5 epochs=1 schedule=plateau warmup=7 average=swa "
                                  "patience=3 train_metrics=1"
                                : "");
        done(mtl_report_to_json(r, &text[c], err));
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        release(&f);
        mtl_context_destroy(ctx);
    }
    ck_assert_str_eq(text[0], text[1]);
    mtl_free(text[0]), mtl_free(text[1]);
}
END_TEST

START_TEST(a_sweep_that_explodes)
{
    /* Targets of 1e6 without scaling: plain gradients explode soon, and only the sweep ends. */
    fixture f = make(NULL);
    for (int64_t i = 0; i < 2 * f.p.rows; i++)
        f.p.hours[i] *= 1e6f;
    mtl_model *m = wide_model(NULL);
    mtl_report *r = found(m, f.data, "optimizer=sgd scale_targets=0");
    const double *rate;
    ck_assert_str_eq(text_of(r, "reason"), "diverged");
    ck_assert_int_lt(series(r, "learning_rate", &rate), 100);
    mtl_report_destroy(r);
    for (int64_t i = 0; i < 2 * f.p.rows; i++) /* not even a first loss */
        f.p.hours[i] = 3e38f;
    mtl_options *o = options(MTL_OPTIONS_FIT, "scale_targets=0");
    r = NULL;
    refused(mtl_lr_find(m, f.data, o, &r, err), MTL_ERR_DIVERGED, "finite");
    ck_assert_ptr_null(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

static int32_t stop(int64_t epoch, int64_t step, int64_t steps, double train_loss,
                    double valid_loss, void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train_loss, (void)valid_loss, (void)user;
    return 0;
}

START_TEST(sweeps_refused_and_stopped)
{
    fixture f = make(NULL);
    mtl_model *m = wide_model(NULL);
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, ""),
                *how = options(MTL_OPTIONS_FIT, "batch_size=20");
    refused(mtl_lr_find(NULL, f.data, NULL, &r, err), MTL_ERR_INVALID, "model");
    refused(mtl_lr_find(m, NULL, NULL, &r, err), MTL_ERR_INVALID, "train");
    refused(mtl_lr_find(m, f.data, NULL, NULL, err), MTL_ERR_INVALID, "report");
    refused(mtl_lr_find(m, f.data, o, &r, err), MTL_ERR_TYPE, "transfer");
    mtl_dataset *bare = NULL;
    done(mtl_dataset_create(NULL, f.p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &bare, err));
    refused(mtl_lr_find(m, bare, NULL, &r, err), MTL_ERR_DATA, "");
    ck_assert_ptr_null(r);
    done(mtl_options_set_progress(how, stop, NULL, err));
    done(mtl_lr_find(m, f.data, how, &r, err));
    const double *rate;
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_int_eq(series(r, "learning_rate", &rate), 3); /* an epoch */
    ck_assert(isnan(figure(r, "suggested")));
    mtl_report_destroy(r);
    mtl_options_destroy(o), mtl_options_destroy(how);
    mtl_dataset_destroy(bare);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

static void add_loop(Suite *s, const char *name, const TTest *test, int count)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test, 0, count);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("api_optim");
    add_case(s, "gradients are cut to a size and to a norm", clipping);
    add_case(s, "the norm is of what is trained", norm_of_what_is_trained);
    add_case(s, "penalties are added behind the clipping", penalties_are_not_clipped);
    add_loop(s, "what is frozen or has no label keeps its bits", frozen_bits, OPTIMIZERS);
    add_case(s, "decoupled decay is of weights, by groups", decay_of_weights_alone);
    add_loop(s, "ema is of steps, swa of epochs' ends", averages_of_the_steps, 2);
    add_case(s, "averages are judged, picked from and handed out", averages_are_judged);
    add_case(s, "a stopped fit hands out its average", averages_when_stopped);
    add_case(s, "the report has the rates", rates_in_the_report);
    add_case(s, "the rates are used", rates_are_used);
    add_case(s, "plateau needs validation rows", plateau_needs_validation);
    add_case(s, "one_cycle takes the momentum along", momentum_is_cycled);
    add_case(s, "a transfer has all of it", transfer_has_them_too);
    add_case(s, "groups have rates", rates_of_groups);
    add_case(s, "groups have decays", decay_of_groups);
    add_case(s, "groups that cannot be are refused", groups_that_cannot_be);
    add_case(s, "the trunk is frozen by depth", freezing_by_depth);
    add_loop(s, "the same bits for any threads and level", same_bits_everywhere, OPTIMIZERS);
    add_loop(s, "a step allocates nothing", no_allocation_in_a_step, OPTIMIZERS);
    add_case(s, "a rate is found", a_rate_is_found);
    add_case(s, "the range test touches nothing", nothing_is_touched);
    add_case(s, "the range test has the same bits everywhere", found_twice_alike);
    add_case(s, "a sweep that explodes ends", a_sweep_that_explodes);
    add_case(s, "sweeps are refused and stopped", sweeps_refused_and_stopped);
    return run_suite(s);
}
