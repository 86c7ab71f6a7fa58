/* SPDX-License-Identifier: MIT */
/* The option "judge" of mtl_fit(). */
#include "api_testing.h"

#include "train/verdict.h"

static mtl_dataset *made(const char *text)
{
    mtl_dataset *d = NULL;
    mtl_options *o = options(MTL_OPTIONS_MAKE_TASKS, text);
    done(mtl_dataset_make_tasks(NULL, o, 0, NULL, &d, err));
    mtl_options_destroy(o);
    return d;
}

/* A trunk for all label columns of the data. */
static mtl_model *model_for(const mtl_dataset *d, mtl_context *ctx, int64_t units, int32_t kind)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, mtl_dataset_inputs(d), &s, err));
    if (units)
        done(mtl_spec_add_dense(s, units, "tanh", err));
    for (int64_t t = 0; t < mtl_dataset_task_count(d); t++)
        done(mtl_spec_add_task(s, mtl_dataset_task_name(d, t), kind, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static mtl_report *judged(mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_options_set_i64(o, "judge", 1, err));
    done(mtl_fit(m, d, NULL, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

static double of_task(const mtl_report *r, const char *what, const char *task)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s", what, task);
    return figure(r, name);
}

static const char *choice(const mtl_report *r, const char *task)
{
    char name[128];
    snprintf(name, sizeof name, "judge/choice/%s", task);
    return text_of(r, name);
}

/* The rule, from the figures that were told: of the two networks the better one, or a mixture of them
   where that is better than both, or the linear model. */
static void check_choice(const mtl_report *r, const char *task)
{
    const double shared = of_task(r, "judge/loss/shared", task);
    const double single = of_task(r, "judge/loss/single", task);
    const double mixture = of_task(r, "judge/loss/mixture", task);
    const double share = of_task(r, "judge/share_of_single", task);
    const char *chosen = choice(r, task);
    if (strcmp(chosen, "shared") == 0) {
        ck_assert(!(single < shared));
        ck_assert_double_eq(share, 0);
    } else if (strcmp(chosen, "single") == 0) {
        ck_assert_double_lt(single, shared);
        ck_assert_double_eq(share, 1);
    } else if (strcmp(chosen, "mixture") == 0) {
        ck_assert_double_lt(mixture, fmin(shared, single));
        ck_assert(share == 0.25 || share == 0.5 || share == 0.75);
    } else {
        ck_assert_str_eq(chosen, "linear");
        ck_assert_double_eq(share, 0);
    }
}

/* Labels sin(3 u x): nothing for a linear model. Tasks that share the direction u with the first
   one learn from its rows; they have labels for few rows themselves. */
enum { WAVES = 600, WAVE_INPUTS = 8 };

typedef struct waves {
    float *x, *y[4];
    mtl_dataset *d;
} waves;

static waves waves_make(int tasks, int labelled, bool opposed, uint64_t seed)
{
    static const char *const name[] = {"a", "b", "c", "d"};
    waves w = {.x = floats(WAVES * WAVE_INPUTS)};
    for (int64_t i = 0; i < WAVES * WAVE_INPUTS; i++)
        w.x[i] = next_unit(&seed);
    done(mtl_dataset_create(NULL, w.x, WAVES, WAVE_INPUTS, WAVE_INPUTS, &w.d, err));
    for (int t = 0; t < tasks; t++) {
        w.y[t] = floats(WAVES);
        for (int64_t r = 0; r < WAVES; r++) {
            const float *x = w.x + r * WAVE_INPUTS;
            const float u = opposed ? x[2 * t] + x[2 * t + 1] : x[0] + x[1] + 0.5f * x[2];
            const float noise = 0.1f * next_unit(&seed);
            const bool has = t == 0 || r % (WAVES / labelled) == 0;
            w.y[t][r] = has ? sinf(3 * u) + noise : NAN;
        }
        done(mtl_dataset_set_labels(w.d, name[t], 1, w.y[t], 1, err));
    }
    return w;
}

static void waves_free(waves *w)
{
    mtl_dataset_destroy(w->d);
    free(w->x);
    for (int t = 0; t < 4; t++)
        free(w->y[t]);
}

START_TEST(related_tasks_share)
{
    waves w = waves_make(4, 100, false, 1);
    mtl_model *m = model_for(w.d, NULL, 24, MTL_REGRESSION);
    mtl_model *plain = model_for(w.d, NULL, 24, MTL_REGRESSION);
    static const char how[] = "epochs=60 learning_rate=0.01 batch_size=32 seed=3";
    mtl_report *r = judged(m, w.d, how);
    static const char *const few[] = {"b", "c", "d"};
    ck_assert_double_eq(figure(r, "judge/folds"), 5);
    for (int t = 0; t < 3; t++) {
        ck_assert_str_eq(choice(r, few[t]), "shared");
        ck_assert_double_gt(of_task(r, "judge/gain", few[t]),
                            of_task(r, "judge/gain_error", few[t]));
        ck_assert_double_lt(of_task(r, "judge/loss/shared", few[t]),
                            of_task(r, "judge/loss/single", few[t]));
        ck_assert_double_lt(of_task(r, "judge/loss/shared", few[t]),
                            of_task(r, "judge/loss/linear", few[t]));
        ck_assert_double_eq(of_task(r, "judge/negative_transfer", few[t]), 0);
    }
    ck_assert_double_gt(figure(r, "judge/delta_m"), 0.1);
    if (strcmp(choice(r, "a"), "shared") == 0) { /* then it is the network of a fit alone */
        fit(plain, w.d, how);
        ck_assert_int_eq(mtl_model_member_count(m), 0);
        assert_same_model(m, plain);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(plain);
    waves_free(&w);
}
END_TEST

START_TEST(tasks_that_disturb_each_other_part)
{
    waves w = waves_make(4, WAVES, true, 2);
    mtl_model *m = model_for(w.d, NULL, 5, MTL_REGRESSION); /* too narrow for four */
    mtl_report *r = judged(m, w.d, "epochs=80 learning_rate=0.02 seed=1");
    static const char *const all[] = {"a", "b", "c", "d"};
    int parted = 0, together = 0, negative = 0;
    for (int t = 0; t < 4; t++) {
        check_choice(r, all[t]);
        parted += strcmp(choice(r, all[t]), "shared") != 0;
        together += strcmp(choice(r, all[t]), "single") != 0;
        negative += of_task(r, "judge/negative_transfer", all[t]) == 1;
        ck_assert_double_ge(of_task(r, "judge/share_of_single", all[t]), 0.5);
        ck_assert_double_lt(of_task(r, "judge/gain", all[t]), -of_task(r, "judge/gain_error", all[t]));
        ck_assert_int_eq(of_task(r, "judge/negative_transfer", all[t]) == 1,
                         of_task(r, "judge/gain_high", all[t]) < 0);
    }
    ck_assert_int_ge(parted, 3);
    ck_assert_int_ge(negative, 1);
    ck_assert_double_lt(figure(r, "judge/delta_m"), 0);
    ck_assert_int_eq(mtl_model_member_count(m), parted + (together > 0));
    ck_assert_int_eq(mtl_model_task_count(m), 4);
    ck_assert_str_eq(mtl_model_task_name(m, 2), "c");
    /* Usable, saved, loaded, a start for a transfer. */
    void *buffer = NULL;
    int64_t bytes;
    mtl_model *loaded = NULL, *moved = NULL;
    mtl_dataset *target = NULL;
    float a[4 * WAVES], b[4 * WAVES];
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &loaded, err));
    done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, a, 4, err));
    done(mtl_predict(loaded, WAVES, w.x, WAVE_INPUTS, b, 4, err));
    assert_same_bits(a, b, 4 * WAVES);
    double squares = 0;
    for (int64_t i = 0; i < WAVES; i++)
        squares += pow((double)(a[4 * i + 1] - w.y[1][i]), 2) / WAVES;
    ck_assert_double_lt(squares, 0.1); /* of 0.5 */
    done(mtl_dataset_create(NULL, w.x, 60, WAVE_INPUTS, WAVE_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, w.y[0], 1, err));
    done(mtl_transfer(m, target, NULL, NULL, &moved, NULL, err));
    refused(mtl_fit(m, w.d, NULL, NULL, NULL, err), MTL_ERR_STATE, "members");
    mtl_free(buffer);
    mtl_dataset_destroy(target);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(loaded), mtl_model_destroy(moved);
    waves_free(&w);
}
END_TEST

/* The mean squared error of each task on fresh rows. */
static void errors_of(const mtl_model *m, const waves *fresh, int tasks, double *error)
{
    float *out = floats(4 * WAVES);
    done(mtl_predict(m, WAVES, fresh->x, WAVE_INPUTS, out, tasks, err));
    for (int t = 0; t < tasks; t++) {
        error[t] = 0;
        for (int64_t i = 0; i < WAVES; i++)
            error[t] += pow((double)(out[tasks * i + t] - fresh->y[t][i]), 2) / WAVES;
    }
    free(out);
}

/* A network of the task alone, trained as the judge's. */
static double error_alone(const waves *w, int task, int64_t units, const char *how, const waves *fresh)
{
    static const char *const name[] = {"a", "b", "c", "d"};
    waves one = {.x = w->x, .y = {fresh->y[task]}};
    double error;
    done(mtl_dataset_create(NULL, w->x, WAVES, WAVE_INPUTS, WAVE_INPUTS, &one.d, err));
    done(mtl_dataset_set_labels(one.d, name[task], 1, w->y[task], 1, err));
    mtl_model *m = model_for(one.d, NULL, units, MTL_REGRESSION);
    fit(m, one.d, how);
    one.x = fresh->x;
    errors_of(m, &one, 1, &error);
    mtl_model_destroy(m);
    mtl_dataset_destroy(one.d);
    return error;
}

/* On fresh rows what it gives is as good as the better of both networks, whichever that is, for tables
   where alone is better by little, by much, and not at all. */
START_TEST(never_worse_than_either_network)
{
    static const char how[] = "epochs=40 learning_rate=0.01 batch_size=32 seed=3";
    static const char *const all[] = {"a", "b", "c", "d"};
    static const struct {
        int tasks, labelled;
        bool opposed;
        int64_t units;
    } table[] = {{2, WAVES, true, 24}, {3, WAVES, true, 6}, {3, 60, false, 24}};
    double excess = 0;
    int choices = 0;
    for (int i = 0; i < 3; i++) {
        const int tasks = table[i].tasks;
        waves w = waves_make(tasks, table[i].labelled, table[i].opposed, (uint64_t)(10 + i));
        waves fresh = waves_make(tasks, WAVES, table[i].opposed, (uint64_t)(20 + i));
        mtl_model *m = model_for(w.d, NULL, table[i].units, MTL_REGRESSION);
        mtl_model *plain = model_for(w.d, NULL, table[i].units, MTL_REGRESSION);
        mtl_report *r = judged(m, w.d, how);
        double judge[4], shared[4];
        fit(plain, w.d, how);
        errors_of(m, &fresh, tasks, judge);
        errors_of(plain, &fresh, tasks, shared);
        for (int t = 0; t < tasks; t++) {
            const double single = error_alone(&w, t, table[i].units, how, &fresh);
            check_choice(r, all[t]);
            choices |= strcmp(choice(r, all[t]), "shared") ? 1 : 2;
            excess += judge[t] / fmin(shared[t], single) - 1;
            ck_assert_double_lt(judge[t], 1.2 * fmin(shared[t], single));
        }
        mtl_report_destroy(r);
        mtl_model_destroy(m), mtl_model_destroy(plain);
        waves_free(&w), waves_free(&fresh);
    }
    ck_assert_double_lt(excess / 8, 0.01);
    ck_assert_int_eq(choices, 3);
}
END_TEST

/* Linear tasks: the floor is within an error of the best, so it is taken; its numbers are the exact
   ones, whatever else was trained. */
START_TEST(linear_tasks_take_the_floor)
{
    mtl_dataset *d = made("rows=300 inputs=10 tasks=3 relatedness=0 noise=0.5 seed=4");
    mtl_model *m = model_for(d, NULL, 16, MTL_REGRESSION);
    mtl_report *r = judged(m, d, "epochs=15 learning_rate=0.01");
    ck_assert_int_eq(mtl_model_member_count(m), 3);
    float x[300 * 10], y[300], p[300 * 3];
    done(mtl_dataset_get_inputs(d, 0, 300, x, 10, err));
    done(mtl_predict(m, 300, x, 10, p, 3, err));
    for (int64_t t = 0; t < 3; t++) {
        const char *name = mtl_dataset_task_name(d, t);
        ck_assert_str_eq(choice(r, name), "linear");
        done(mtl_dataset_get_labels(d, name, 0, 300, y, 1, err));
        double square = 0, cross[10] = {0};
        for (int64_t i = 0; i < 300; i++) {
            const double e = (double)y[i] - (double)p[3 * i + t];
            square += e * e / 300;
            for (int j = 0; j < 10; j++)
                cross[j] += e * (double)x[10 * i + j] / 300;
        }
        ck_assert_double_lt(square, 0.3); /* noise 0.25 */
        for (int j = 0; j < 10; j++) /* least squares, nearly: errors know nothing of the inputs */
            ck_assert_double_lt(fabs(cross[j]), 0.02);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

/* Every kind of task, missing labels and inputs, weights; quantiles have no floor. */
START_TEST(all_kinds)
{
    problem p = problem_make(200, 5, 20);
    p.x[9] = NAN;
    mtl_dataset *d = problem_data(&p, NULL);
    float *count = floats(200);
    for (int64_t i = 0; i < 200; i++)
        count[i] = (float)(i % 4);
    done(mtl_dataset_set_labels(d, "count", 1, count, 1, err));
    done(mtl_dataset_set_labels(d, "range", 1, count, 1, err));
    done(mtl_dataset_set_weights(d, NULL, p.weight, err));
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_set_missing_indicators(s, 1, err));
    done(mtl_spec_add_dense(s, 7, "tanh", err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "tags", "head", "5:sigmoid", err));
    done(mtl_spec_add_task(s, "count", MTL_COUNT, 1, err));
    done(mtl_spec_add_task(s, "range", MTL_QUANTILE, 3, err));
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    mtl_report *r = judged(m, d, "epochs=6 judge_folds=3");
    static const char *const all[] = {"fails", "tags", "grade", "hours", "count", "range"};
    for (int t = 0; t < 6; t++) {
        ck_assert(isfinite(of_task(r, "judge/loss/shared", all[t])));
        ck_assert(isfinite(of_task(r, "judge/loss/single", all[t])));
        ck_assert(isfinite(of_task(r, "judge/metric/shared", all[t])));
        ck_assert_int_eq(isfinite(of_task(r, "judge/loss/linear", all[t])), t < 5);
        ck_assert_ptr_nonnull(choice(r, all[t]));
    }
    ck_assert_str_ne(choice(r, "range"), "linear");
    float *out = floats(200 * mtl_model_outputs(m));
    done(mtl_predict(m, 200, p.x, PROBLEM_INPUTS, out, mtl_model_outputs(m), err));
    for (int64_t i = 0; i < 200 * mtl_model_outputs(m); i++)
        ck_assert(isfinite(out[i]));
    free(out), free(count);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(one_task_only)
{
    waves w = waves_make(1, 1, false, 3);
    mtl_model *m = model_for(w.d, NULL, 24, MTL_REGRESSION);
    mtl_report *r = judged(m, w.d, "epochs=60 learning_rate=0.01");
    ck_assert_double_eq(figure(r, "judge/gain/a"), 0);
    ck_assert_double_eq(figure(r, "judge/loss/single/a"), figure(r, "judge/loss/shared/a"));
    ck_assert_double_eq(figure(r, "judge/delta_m"), 0);
    ck_assert_str_eq(choice(r, "a"), "shared");
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

/* Few rows: as many folds as halves of them; a task with a single label stays with the others. */
START_TEST(tiny_data)
{
    static const float x[] = {0, 1, 2, 3, 4}, y[] = {0, 1, 2, 3, 5};
    static const float once[] = {NAN, NAN, 3, NAN, NAN};
    for (int64_t rows = 4; rows <= 5; rows++) {
        mtl_dataset *d = NULL;
        done(mtl_dataset_create(NULL, x, rows, 1, 1, &d, err));
        done(mtl_dataset_set_labels(d, "a", 1, y, 1, err));
        done(mtl_dataset_set_labels(d, "once", 1, once, 1, err));
        mtl_model *m = model_for(d, NULL, 2, MTL_REGRESSION);
        mtl_report *r = judged(m, d, "epochs=2");
        ck_assert_double_eq(figure(r, "judge/folds"), 2);
        ck_assert_str_eq(choice(r, "once"), "shared");
        ck_assert(isnan(of_task(r, "judge/gain", "once")) ||
                  isnan(of_task(r, "judge/gain_error", "once")));
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
}
END_TEST

/* The arithmetic of gain, error and interval, from series that a second look computes. */
START_TEST(same_bits_everywhere)
{
    uint64_t hash[3];
    double gain[3];
    static const char *const where[] = {"threads=1", "threads=3", "threads=2 cpu=c"};
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(where[i]);
        problem p = problem_make(120, 6, 10);
        mtl_dataset *d = problem_data(&p, ctx);
        mtl_model *m = problem_model(ctx);
        mtl_report *r = judged(m, d, "epochs=8 judge_folds=4 validation_split=0.2 patience=3");
        hash[i] = predict_hash(m, &p);
        gain[i] = figure(r, "judge/gain/hours");
        const double error = figure(r, "judge/gain_error/hours");
        assert_near(figure(r, "judge/gain_high/hours"), gain[i] + 3.182 * error, 1e-6);
        assert_near(figure(r, "judge/gain_low/hours"), gain[i] - 3.182 * error, 1e-6);
        assert_near(gain[i],
                    figure(r, "judge/loss/single/hours") - figure(r, "judge/loss/shared/hours"),
                    1e-12);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
        problem_free(&p);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
    ck_assert_double_eq(gain[0], gain[1]);
    ck_assert_double_eq(gain[0], gain[2]);
}
END_TEST

/* The rows of d with a label of hours, and the batch that gives an epoch the steps it has with all. */
static mtl_dataset *with_hours(const mtl_dataset *d, int64_t *batch)
{
    const int64_t rows = mtl_dataset_rows(d);
    float y[2 * 100];
    int64_t own[100], count = 0;
    mtl_dataset *s = NULL;
    done(mtl_dataset_get_labels(d, "hours", 0, rows, y, 2, err));
    for (int64_t r = 0; r < rows; r++)
        if (!isnan(y[2 * r]) || !isnan(y[2 * r + 1]))
            own[count++] = r;
    ck_assert_int_lt(count, rows);
    *batch = (int64_t)(20.0 * ((double)count / (double)rows));
    done(mtl_dataset_subset(d, count, own, &s, err));
    return s;
}

/* Figures by hand: the folds, the fits and the looks, one after the other. */
START_TEST(figures_by_hand)
{
    problem p = problem_make(90, 7, 45);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = judged(m, d, "epochs=5 judge_folds=3 seed=11 batch_size=20");
    double difference[3], mean = 0, squares = 0, shared_loss = 0;
    for (int f = 0; f < 3; f++) {
        mtl_dataset *part[2];
        mtl_report *look[2];
        mtl_model *net[2] = {problem_model(NULL), NULL};
        mtl_spec *s = NULL;
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        done(mtl_spec_add_dense(s, 12, "relu", err));
        done(mtl_spec_add_dense(s, 7, "tanh", err));
        done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
        done(mtl_spec_task_set_f64(s, "hours", "weight", 0.5, err));
        done(mtl_model_create(s, &net[1], err));
        done(mtl_dataset_kfold(d, 3, f, 11, &part[0], &part[1], err));
        int64_t batch;
        char how[80];
        mtl_dataset *own = with_hours(part[0], &batch);
        snprintf(how, sizeof how, "epochs=5 seed=11 batch_size=%lld", (long long)batch);
        fit(net[0], part[0], "epochs=5 seed=11 batch_size=20");
        fit(net[1], own, how);
        for (int i = 0; i < 2; i++)
            done(mtl_evaluate(net[i], part[1], NULL, &look[i], err));
        mtl_dataset_destroy(own);
        difference[f] = figure(look[1], "loss/hours") - figure(look[0], "loss/hours");
        shared_loss += figure(look[0], "loss/hours") / 3;
        mean += difference[f] / 3;
        for (int i = 0; i < 2; i++) {
            mtl_report_destroy(look[i]);
            mtl_model_destroy(net[i]);
            mtl_dataset_destroy(part[i]);
        }
        mtl_spec_destroy(s);
    }
    for (int f = 0; f < 3; f++)
        squares += pow(difference[f] - mean, 2) / 2;
    assert_near(figure(r, "judge/loss/shared/hours"), shared_loss, 1e-12);
    assert_near(figure(r, "judge/gain/hours"), mean, 1e-12);
    assert_near(figure(r, "judge/gain_error/hours"), sqrt(squares * (1.0 / 3 + 1.0 / 2)), 1e-12);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- Groups ---------------------------------------------------------------------------------- */

static const char *const pairs[] = {"a0", "b0", "a1", "b1"};

/* a0 and a1 are made of the first input, b0 and b1 of the second. */
static mtl_dataset *two_pairs(float x[2 * WAVES], float y[4][WAVES])
{
    uint64_t seed = 11;
    mtl_dataset *d = NULL;
    for (int64_t r = 0; r < WAVES; r++)
        for (int t = 0; t < 4; t++) {
            x[2 * r + t % 2] = t < 2 ? next_unit(&seed) : x[2 * r + t % 2];
            y[t][r] = x[2 * r + t % 2] * (t < 2 ? 1.0f : -2.0f) + 0.1f * next_unit(&seed);
        }
    done(mtl_dataset_create(NULL, x, WAVES, 2, 2, &d, err));
    for (int t = 0; t < 4; t++)
        done(mtl_dataset_set_labels(d, pairs[t], 1, y[t], 1, err));
    return d;
}

/* By the judge as by mtl_task_affinity() that looks as often, and nothing else is changed by it. */
START_TEST(groups_are_named)
{
    static float x[2 * WAVES], y[4][WAVES];
    static const char how[] = "epochs=20 batch_size=20 optimizer=sgd learning_rate=0.05 judge_folds=2";
    mtl_dataset *d = two_pairs(x, y);
    mtl_model *m[2];
    mtl_report *r[2], *affinity = NULL;
    char text[256];
    for (int i = 0; i < 2; i++) {
        m[i] = model_for(d, NULL, 1, MTL_REGRESSION);
        snprintf(text, sizeof text, "%s judge_groups=%d", how, 1 - i);
        r[i] = judged(m[i], d, text);
    }
    snprintf(text, sizeof text, "%s weighting_every=4", how);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    mtl_model *fresh = model_for(d, NULL, 1, MTL_REGRESSION);
    done(mtl_task_affinity(fresh, d, o, &affinity, err));
    ck_assert_double_eq(figure(r[0], "judge/groups"), 2);
    ck_assert_double_eq(figure(r[0], "judge/groups_score"), figure(affinity, "groups/score"));
    for (int t = 0; t < 4; t++) {
        ck_assert_double_eq(of_task(r[0], "judge/group", pairs[t]), t % 2);
        ck_assert_double_eq(of_task(affinity, "group", pairs[t]), t % 2);
        ck_assert_double_eq(of_task(r[0], "judge/loss/shared", pairs[t]),
                            of_task(r[1], "judge/loss/shared", pairs[t]));
    }
    ck_assert_int_eq(mtl_report_type(r[1], "judge/groups"), 0);
    float a[4 * WAVES], b[4 * WAVES];
    done(mtl_predict(m[0], WAVES, x, 2, a, 4, err));
    done(mtl_predict(m[1], WAVES, x, 2, b, 4, err));
    assert_same_bits(a, b, 4 * WAVES);
    mtl_options_destroy(o);
    for (int i = 0; i < 2; i++) {
        mtl_report_destroy(r[i]);
        mtl_model_destroy(m[i]);
    }
    mtl_report_destroy(affinity);
    mtl_model_destroy(fresh);
    mtl_dataset_destroy(d);
}
END_TEST

/* Nothing is shared without a trunk. */
START_TEST(no_trunk_no_groups)
{
    static float x[2 * WAVES], y[4][WAVES];
    mtl_dataset *d = two_pairs(x, y);
    mtl_model *m = model_for(d, NULL, 0, MTL_REGRESSION);
    mtl_report *r = judged(m, d, "epochs=2 judge_folds=2");
    ck_assert_int_eq(mtl_report_type(r, "judge/groups"), 0);
    ck_assert_int_eq(mtl_report_type(r, "judge/group/a0"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

/* ---- Limits, callbacks, failures ------------------------------------------------------------ */

typedef struct watcher {
    int calls, most;
} watcher;

static int32_t watch(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                     void *user)
{
    watcher *w = user;
    (void)step, (void)train, (void)valid, (void)epoch;
    ck_assert_int_gt(steps, 0);
    return ++w->calls < w->most ? MTL_CONTINUE : 0;
}

START_TEST(cancelled)
{
    for (int most = 1; most < 60; most += 19) {
        problem p = problem_make(80, 6, 10);
        mtl_dataset *d = problem_data(&p, NULL);
        mtl_model *m = problem_model(NULL);
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=4 judge=1");
        mtl_report *r = NULL;
        watcher w = {0, most};
        done(mtl_options_set_progress(o, watch, &w, err));
        done(mtl_fit(m, d, NULL, o, &r, err));
        ck_assert_int_eq(w.calls, most); /* not asked again */
        ck_assert_str_eq(text_of(r, "reason"), "cancelled");
        ck_assert_str_eq(choice(r, "hours"), "shared");
        ck_assert_int_eq(mtl_model_member_count(m), 0);
        predict_hash(m, &p);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
        problem_free(&p);
    }
}
END_TEST

typedef struct counter {
    int64_t epoch;
    int nets, most;
} counter;

static int32_t count_nets(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                          void *user)
{
    counter *c = user;
    (void)step, (void)steps, (void)train, (void)valid;
    c->nets += epoch < c->epoch;
    c->epoch = epoch;
    return c->nets < c->most ? MTL_CONTINUE : 0;
}

/* What was chosen is being trained: no task is left with a network that is half trained. */
START_TEST(cancelled_at_the_choice)
{
    waves w = waves_make(4, WAVES, true, 2);
    mtl_model *m[2];
    const char *text = "epochs=80 learning_rate=0.02 seed=1";
    for (int i = 0; i < 2; i++)
        m[i] = model_for(w.d, NULL, 5, MTL_REGRESSION);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    mtl_report *r = NULL;
    counter c = {.most = 5 * (1 + 4) + 1}; /* then the first of the chosen ones */
    done(mtl_options_set_i64(o, "judge", 1, err));
    done(mtl_options_set_progress(o, count_nets, &c, err));
    done(mtl_fit(m[0], w.d, NULL, o, &r, err));
    fit(m[1], w.d, text);
    ck_assert_int_eq(c.nets, c.most);
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_str_eq(choice(r, "a"), "shared");
    ck_assert_int_eq(mtl_model_member_count(m[0]), 0);
    ck_assert_uint_eq(model_hash(m[0]), model_hash(m[1]));
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    waves_free(&w);
}
END_TEST

/* Tensors of one task's head are none of the other tasks' networks. */
START_TEST(groups_may_name_a_task)
{
    waves w = waves_make(2, WAVES, false, 3);
    mtl_model *m = model_for(w.d, NULL, 5, MTL_REGRESSION);
    mtl_report *r = judged(m, w.d, "epochs=2 judge_folds=2 groups=head.b:rate=0.5");
    ck_assert(isfinite(of_task(r, "judge/loss/single", "a")));
    mtl_options *o = options(MTL_OPTIONS_FIT, "judge=1 groups=head.c:rate=0.5");
    mtl_model *other = model_for(w.d, NULL, 5, MTL_REGRESSION);
    refused(mtl_fit(other, w.d, NULL, o, NULL, err), MTL_ERR_NAME, "head.c");
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(other);
    waves_free(&w);
}
END_TEST

/* So little time that no fold ends: everything stays with the shared network. */
START_TEST(out_of_time)
{
    problem p = problem_make(80, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    mtl_report *r = judged(m, d, "epochs=1000000 time_limit=0.05");
    ck_assert_double_eq(figure(r, "judge/folds"), 0);
    ck_assert_str_eq(text_of(r, "reason"), "time_limit");
    ck_assert_str_eq(choice(r, "fails"), "shared");
    ck_assert(isnan(figure(r, "judge/gain/fails")));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(diverging_candidates_lose)
{
    waves w = waves_make(2, WAVES, false, 5);
    mtl_model *m = model_for(w.d, NULL, 4, MTL_REGRESSION);
    mtl_options *o = options(MTL_OPTIONS_FIT, "judge=1 epochs=30 optimizer=sgd learning_rate=1e20");
    const uint64_t before = model_hash(m);
    refused(mtl_fit(m, w.d, NULL, o, NULL, err), MTL_ERR_DIVERGED, "");
    ck_assert_uint_eq(model_hash(m), before);
    fit(m, w.d, "epochs=1"); /* as a fresh one */
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

START_TEST(failures)
{
    problem p = problem_make(40, 6, 10);
    mtl_dataset *d = problem_data(&p, NULL), *few = NULL, *none = NULL;
    mtl_model *m = problem_model(NULL), *used = problem_model(NULL);
    const uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, "judge=1 epochs=2");
    mtl_trainer *t = NULL;
    fit(used, d, "epochs=1");
    refused(mtl_fit(used, d, NULL, o, NULL, err), MTL_ERR_STATE, "begin anew");
    refused(mtl_trainer_create(m, d, NULL, o, &t, err), MTL_ERR_INVALID, "judge");
    refused(mtl_partial_fit(m, d, o, NULL, err), MTL_ERR_INVALID, "judge");
    done(mtl_dataset_create(NULL, p.x, 3, PROBLEM_INPUTS, PROBLEM_INPUTS, &few, err));
    done(mtl_dataset_set_labels(few, "fails", 1, p.fails, 1, err));
    refused(mtl_fit(m, few, NULL, o, NULL, err), MTL_ERR_DATA, "not 3");
    done(mtl_dataset_create(NULL, p.x, 40, PROBLEM_INPUTS, PROBLEM_INPUTS, &none, err));
    refused(mtl_fit(m, none, NULL, o, NULL, err), MTL_ERR_DATA, "labels of no task");
    p.grade[17] = 3;
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_VALUE, "row 17");
    p.grade[17] = 0;
    set_options(o, MTL_OPTIONS_FIT, "patience=3");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "patience");
    set_options(o, MTL_OPTIONS_FIT, "patience=0 sampling=balanced:task=fails");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "sampling");
    set_options(o, MTL_OPTIONS_FIT, "sampling=shuffle checkpoint=/nowhere/x");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "checkpoint");
    refused(mtl_options_set_i64(o, "judge", 2, err), MTL_ERR_RANGE, "judge");
    refused(mtl_options_set_i64(o, "judge_folds", 1, err), MTL_ERR_RANGE, "judge_folds");
    ck_assert_uint_eq(model_hash(m), before);
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(used);
    mtl_dataset_destroy(d), mtl_dataset_destroy(few), mtl_dataset_destroy(none);
    problem_free(&p);
}
END_TEST

START_TEST(memory_runs_out)
{
    sweep_fit("judge=1 judge_folds=2 epochs=1", true);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verdict");
    add_case(s, "related tasks share", related_tasks_share);
    add_case(s, "tasks that disturb each other part", tasks_that_disturb_each_other_part);
    add_case(s, "never worse than either network", never_worse_than_either_network);
    add_case(s, "linear tasks take the exact floor", linear_tasks_take_the_floor);
    add_case(s, "all kinds of tasks", all_kinds);
    add_case(s, "one task", one_task_only);
    add_case(s, "tiny data", tiny_data);
    add_case(s, "same bits everywhere, figures agree", same_bits_everywhere);
    add_case(s, "figures by hand", figures_by_hand);
    add_case(s, "groups are named", groups_are_named);
    add_case(s, "no trunk, no groups", no_trunk_no_groups);
    add_case(s, "cancelled", cancelled);
    add_case(s, "cancelled at the choice", cancelled_at_the_choice);
    add_case(s, "groups of a task's tensors", groups_may_name_a_task);
    add_case(s, "out of time", out_of_time);
    add_case(s, "diverging networks", diverging_candidates_lose);
    add_case(s, "failures leave the model", failures);
    add_case(s, "memory runs out at any point", memory_runs_out);
    return run_suite(s);
}
