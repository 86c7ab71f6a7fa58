/* SPDX-License-Identifier: MIT */
/* Group transfer: the strategies that are solved, and the choice between all of them. */
#include "api_testing.h"

enum { ROWS = 300, FEW = 40 };

/* A fitted source, its data, and few rows of new tasks that are made of the same parts. */
typedef struct scene {
    problem p, few;
    mtl_dataset *known, *target;
    mtl_model *source;
    float both[FEW], value[FEW];
} scene;

static void add(mtl_dataset *d, const char *name, float *y)
{
    done(mtl_dataset_set_labels(d, name, 1, y, 1, err));
}

static mtl_dataset *rows_of(mtl_context *ctx, const problem *p)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    return d;
}

static scene *scene_make(mtl_context *ctx)
{
    scene *s = calloc(1, sizeof *s);
    s->p = problem_make(ROWS, 21, 0);
    s->few = problem_make(FEW, 22, 0);
    s->known = problem_data(&s->p, ctx);
    s->source = problem_model(ctx);
    fit(s->source, s->known, "epochs=40 learning_rate=0.01");
    for (int i = 0; i < FEW; i++) {
        const float *x = s->few.x + i * PROBLEM_INPUTS;
        s->both[i] = s->few.fails[i] > 0.5f && s->few.grade[i] < 1.5f;
        s->value[i] = 50 + 3 * x[0] - 4 * x[2] + 0.5f * x[4];
    }
    s->target = rows_of(ctx, &s->few);
    add(s->target, "both", s->both);
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    problem_free(&s->p), problem_free(&s->few);
    free(s);
}

static mtl_model *moved(const scene *s, const mtl_dataset *known, const char *text,
                        mtl_report **report)
{
    return transferred(s->source, s->target, known, text, report);
}

static void refuse(const scene *s, const char *text, mtl_status status, const char *part)
{
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    refused(mtl_transfer(s->source, s->target, NULL, o, &m, &r, err), status, part);
    ck_assert(!m && !r);
    mtl_options_destroy(o);
}

static void predict(const mtl_model *m, const char *task, const problem *p, float *out)
{
    done(mtl_predict_task(m, mtl_model_task_index(m, task), p->rows, p->x, PROBLEM_INPUTS, out, 1,
                          err));
}

/* Mean squared error of a task's predictions. */
static double error_of(const mtl_model *m, const char *task, const problem *p, const float *y)
{
    float out[ROWS];
    double sum = 0;
    predict(m, task, p, out);
    for (int64_t i = 0; i < p->rows; i++)
        sum += (double)(out[i] - y[i]) * (double)(out[i] - y[i]);
    return sum / (double)p->rows;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const char *const solved[] = {"constant", "linear", "exact_probe", "stacked"};

START_TEST(solved_keeps_what_is_known)
{
    scene *s = scene_make(NULL);
    float before[ROWS * 8], after[ROWS * 9];
    done(mtl_predict(s->source, ROWS, s->p.x, PROBLEM_INPUTS, before, 8, err));
    for (size_t i = 0; i < COUNT(solved); i++) {
        char text[64];
        mtl_report *r = NULL;
        snprintf(text, sizeof text, "strategy=%s", solved[i]);
        mtl_model *m = moved(s, s->known, text, &r);
        ck_assert_str_eq(text_of(r, "strategy"), solved[i]);
        done(mtl_predict(m, ROWS, s->p.x, PROBLEM_INPUTS, after, 9, err));
        for (int row = 0; row < ROWS; row++)
            assert_same_bits(after + 9 * row, before + 8 * row, 8);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    scene_free(s);
}
END_TEST

START_TEST(constant_is_the_rate)
{
    scene *s = scene_make(NULL);
    double sum = 0;
    float out[FEW];
    for (int i = 0; i < FEW; i++)
        sum += (double)s->both[i];
    mtl_model *m = moved(s, NULL, "strategy=constant", NULL);
    predict(m, "both", &s->few, out);
    for (int i = 0; i < FEW; i++)
        ck_assert_double_eq_tol((double)out[i], (sum + 0.5) / (FEW + 1), 1e-6);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(linear_finds_a_line)
{
    scene *s = scene_make(NULL);
    float y[ROWS];
    for (int i = 0; i < ROWS; i++) {
        const float *x = s->p.x + i * PROBLEM_INPUTS;
        y[i] = 50 + 3 * x[0] - 4 * x[2] + 0.5f * x[4];
    }
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "value", s->value);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, NULL, "strategy=linear", &r);
    ck_assert_double_lt(error_of(m, "value", &s->p, y), 1e-3);
    ck_assert_double_lt(figure(r, "candidate/linear/mean"), 1e-3);
    ck_assert_double_eq(figure(r, "candidate/linear/cut"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    /* Auto takes it, knowing that there is nothing better. */
    m = moved(s, s->known, "epochs=20", &r);
    ck_assert_str_eq(text_of(r, "strategy"), "linear");
    ck_assert_double_lt(error_of(m, "value", &s->p, y), 1e-3);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* The new task is a known one under another name: its head serves as it is, in its units. */
START_TEST(as_is_takes_the_task_that_fits)
{
    scene *s = scene_make(NULL);
    float known[ROWS * 8], out[ROWS];
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "again", s->few.fails);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, NULL, "strategy=as_is", &r);
    done(mtl_predict(s->source, ROWS, s->p.x, PROBLEM_INPUTS, known, 8, err));
    predict(m, "again", &s->p, out);
    for (int i = 0; i < ROWS; i++)
        ck_assert_float_eq_tol(out[i], known[8 * i], 1e-5f);
    ck_assert_int_ge(figure(r, "candidate/as_is/variant"), 0);
    if (figure(r, "candidate/as_is/variant") >= 2) /* the nearest */
        ck_assert_str_eq(text_of(r, "candidate/as_is/known_task/again"), "fails");
    else
        ck_assert_str_eq(text_of(r, "candidate/as_is/known_task/again"), "");
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(strategies_that_cannot_serve)
{
    scene *s = scene_make(NULL);
    refuse(s, "strategy=replay", MTL_ERR_INVALID, "known");
    refuse(s, "group_by=nobody", MTL_ERR_NAME, "nobody");
    for (int i = 0; i < FEW; i++)
        s->value[i] = (float)(i % 4);
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "events", s->value);
    done(mtl_dataset_set_kind(s->target, "events", MTL_COUNT, 1, err));
    refuse(s, "strategy=linear", MTL_ERR_INVALID, "events");
    refuse(s, "strategy=as_is", MTL_ERR_INVALID, "events");
    mtl_report *r = NULL;
    mtl_model *m = moved(s, NULL, "epochs=5", &r); /* there are others */
    ck_assert_double_eq(figure(r, "candidate/linear/variant"), -1);
    ck_assert_double_ge(figure(r, "candidate/scratch/variant"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(report_says_why)
{
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=20", &r);
    static const char *const names[] = {"constant", "linear",  "as_is",  "exact_probe", "shift",
                                        "stacked",  "tune",    "replay", "fine_tune",   "scratch"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "candidate/%s/mean", names[i]);
        ck_assert(isfinite(figure(r, name)) && figure(r, name) > 0);
        /* No other known task is binary, so none could stand for one. */
        snprintf(name, sizeof name, "candidate/%s/simulated", names[i]);
        ck_assert_msg((isfinite(figure(r, name)) != 0) == (i != 2 && i != 4), "%s: %g", name, figure(r, name));
        snprintf(name, sizeof name, "candidate/%s/standard_error", names[i]);
        ck_assert_double_gt(figure(r, name), 0);
    }
    ck_assert_double_eq_tol(figure(r, "candidate/constant/mean"), 1, 0.15);
    ck_assert_ptr_nonnull(strstr(text_of(r, "why"), text_of(r, "strategy")));
    ck_assert_double_gt(figure(r, "simulations"), 0);
    ck_assert_double_le(figure(r, "gain/low"), figure(r, "gain"));
    ck_assert_double_le(figure(r, "gain"), figure(r, "gain/high"));
    ck_assert_double_gt(figure(r, "known/before/fails"), 0.8);
    ck_assert_double_gt(figure(r, "known/after/fails"), 0.7);
    ck_assert_double_gt(figure(r, "seconds/all"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Half of a known task's labels at most are the rows that it moves with. */
START_TEST(simulations_with_fewer_rows)
{
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=2 folds=2", &r);
    const double trust = figure(r, "chosen/trust");
    ck_assert_double_eq(figure(r, "simulations/share"), 1);
    mtl_model_destroy(m);
    mtl_report_destroy(r);
    for (int i = FEW; i < ROWS; i++)
        s->p.fails[i] = NAN;
    mtl_dataset_destroy(s->known);
    s->known = problem_data(&s->p, NULL);
    m = moved(s, s->known, "epochs=2 folds=2", &r);
    ck_assert_double_eq(figure(r, "simulations/share"), 0.5);
    ck_assert_double_gt(figure(r, "chosen/trust"), trust);
    mtl_model_destroy(m);
    mtl_report_destroy(r);
    scene_free(s);
}
END_TEST

/* Labels that nothing can tell: no candidate is believed, whatever its fit to the rows. */
START_TEST(noise_is_seen_through)
{
    scene *s = scene_make(NULL);
    uint64_t seed = 5;
    for (int i = 0; i < FEW; i++)
        s->both[i] = next_u32(&seed) % 2;
    mtl_report *r = NULL;
    mtl_model *m = moved(s, NULL, "epochs=20", &r);
    ck_assert_double_gt(figure(r, "candidate/stacked/mean"), 0.8);
    ck_assert_double_gt(figure(r, "candidate/scratch/mean"), 0.8);
    ck_assert_str_eq(text_of(r, "strategy"), "constant");
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Five rows of each entity, with one label each that says nothing of other entities. Folds that part
   them know the answers; folds by entity do not. */
START_TEST(leaks_between_rows_of_a_group)
{
    enum { GROUPS = 12, EACH = 5, N = GROUPS * EACH };
    scene *s = scene_make(NULL);
    float x[N * PROBLEM_INPUTS], y[N], group[N];
    uint64_t seed = 9;
    for (int g = 0; g < GROUPS; g++) {
        float at[PROBLEM_INPUTS], label = 10 * next_unit(&seed);
        for (int j = 0; j < PROBLEM_INPUTS; j++)
            at[j] = 2 * next_unit(&seed);
        for (int i = g * EACH; i < (g + 1) * EACH; i++) {
            for (int j = 0; j < PROBLEM_INPUTS; j++)
                x[i * PROBLEM_INPUTS + j] = at[j] + 0.01f * next_unit(&seed);
            y[i] = label;
            group[i] = (float)g;
        }
    }
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, x, N, PROBLEM_INPUTS, PROBLEM_INPUTS, &s->target, err));
    add(s->target, "value", y), add(s->target, "entity", group);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, NULL, "strategy=stacked group_by=entity", &r);
    const double honest = figure(r, "candidate/stacked/mean");
    ck_assert_int_eq(mtl_model_task_index(m, "entity"), -1);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, x, N, PROBLEM_INPUTS, PROBLEM_INPUTS, &s->target, err));
    add(s->target, "value", y);
    m = moved(s, NULL, "strategy=stacked", &r);
    const double leaky = figure(r, "candidate/stacked/mean");
    ck_assert_msg(leaky < 0.6 && honest > 0.8, "parted %g, by entity %g", leaky, honest);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Known rows that carry the new task's labels, those of held-out rows too, change nothing. */
START_TEST(known_rows_cannot_leak)
{
    scene *s = scene_make(NULL);
    float answers[ROWS];
    for (int i = 0; i < ROWS; i++)
        answers[i] = s->p.fails[i] > 0.5f && s->p.grade[i] < 1.5f;
    mtl_report *r = NULL;
    mtl_model *a = moved(s, s->known, "epochs=10", &r);
    const double before = figure(r, "candidate/replay/mean");
    mtl_report_destroy(r);
    add(s->known, "both", answers);
    mtl_model *b = moved(s, s->known, "epochs=10", &r);
    ck_assert_double_eq(figure(r, "candidate/replay/mean"), before);
    assert_same_model(a, b);
    mtl_report_destroy(r);
    mtl_model_destroy(a), mtl_model_destroy(b);
    scene_free(s);
}
END_TEST

START_TEST(few_rows)
{
    scene *s = scene_make(NULL);
    for (int n = 1; n <= 4; n++) {
        mtl_dataset *all = s->target;
        mtl_report *r = NULL;
        static const int64_t order[] = {0, 1, 2, 3};
        done(mtl_dataset_subset(all, n, order, &s->target, err));
        done(mtl_dataset_set_kind(s->target, "both", MTL_BINARY, 1, err));
        for (int with_known = 0; with_known < 2; with_known++) {
            mtl_model *m = moved(s, with_known ? s->known : NULL, "epochs=5", &r);
            float out[FEW];
            predict(m, "both", &s->few, out);
            for (int i = 0; i < FEW; i++)
                ck_assert(out[i] > 0 && out[i] < 1);
            if (n == 1 && !with_known)
                ck_assert_str_eq(text_of(r, "strategy"), "constant");
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
        mtl_dataset_destroy(s->target);
        s->target = all;
    }
    scene_free(s);
}
END_TEST

START_TEST(several_new_tasks)
{
    scene *s = scene_make(NULL);
    float pair[2 * FEW];
    for (int i = 0; i < FEW; i++) {
        pair[2 * i] = i % 7 == 0 ? NAN : s->value[i];
        pair[2 * i + 1] = i % 5 == 0 ? NAN : -s->value[i];
        s->both[i] = i % 3 == 0 ? NAN : s->both[i];
    }
    done(mtl_dataset_set_labels(s->target, "pair", 2, pair, 2, err));
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=10", &r);
    ck_assert_int_ge(mtl_model_task_index(m, "pair"), 0);
    ck_assert_int_ge(mtl_model_task_index(m, "both"), 0);
    ck_assert(isfinite(figure(r, "candidate/stacked/mean")));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

static int32_t stop_later(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                          void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    return ++*(int *)user < 5 ? MTL_CONTINUE : 0;
}

START_TEST(stopped_early)
{
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "time_limit=0.000001", &r);
    ck_assert_str_eq(text_of(r, "strategy"), "constant"); /* scored first */
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = NULL;
    int calls = 0;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=5");
    done(mtl_options_set_progress(o, stop_later, &calls, err));
    done(mtl_transfer(s->source, s->target, s->known, o, &m, &r, err));
    ck_assert_ptr_nonnull(m);
    mtl_options_destroy(o);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Stops once, in a simulation; what follows would go on. */
static int32_t stop_once(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                         void *user)
{
    int *calls = user;
    (void)step, (void)steps, (void)valid;
    *calls += epoch == 0 && isnan(train);
    return *calls == 3 ? 0 : MTL_CONTINUE;
}

START_TEST(stopped_once_is_stopped)
{
    scene *s = scene_make(NULL);
    mtl_model *m = NULL;
    int calls = 0;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=2");
    done(mtl_options_set_progress(o, stop_once, &calls, err));
    done(mtl_transfer(s->source, s->target, s->known, o, &m, NULL, err));
    ck_assert_int_eq(calls, 3);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Simulations with a binary task tell what exact heads are worth there; counts have none. */
START_TEST(one_task_without_exact_heads)
{
    scene *s = scene_make(NULL);
    float events[FEW];
    for (int i = 0; i < FEW; i++) {
        events[i] = (float)(i % 4);
        s->both[i] = s->few.x[i * PROBLEM_INPUTS] > 0;
    }
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "both", s->both), add(s->target, "events", events);
    done(mtl_dataset_set_kind(s->target, "events", MTL_COUNT, 1, err));
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=3", &r);
    static const char *const names[] = {"linear", "as_is", "exact_probe", "shift", "stacked"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "candidate/%s/variant", names[i]);
        ck_assert_double_eq(figure(r, name), -1);
        snprintf(name, sizeof name, "candidate/%s/simulated", names[i]);
        ck_assert(isnan(figure(r, name)));
    }
    ck_assert_double_ge(figure(r, "candidate/scratch/variant"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(labels_all_the_same)
{
    scene *s = scene_make(NULL);
    for (int i = 0; i < FEW; i++) {
        s->both[i] = 0;
        s->value[i] = 500;
    }
    done(mtl_dataset_set_kind(s->target, "both", MTL_BINARY, 1, err));
    add(s->target, "value", s->value);
    done(mtl_dataset_set_kind(s->target, "value", MTL_REGRESSION, 1, err));
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=5", &r);
    ck_assert_double_lt(figure(r, "candidate/constant/mean"), 0.01);
    ck_assert_double_lt(figure(r, "candidate/scratch/mean"), 10);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Folds without the one label of a task have its mean, 0, for it. */
START_TEST(a_task_with_one_label)
{
    scene *s = scene_make(NULL);
    for (int i = 0; i < FEW; i++)
        s->value[i] = i == 7 ? 3 : NAN;
    add(s->target, "value", s->value);
    mtl_report *r = NULL;
    mtl_model *m = moved(s, s->known, "epochs=5", &r);
    ck_assert(figure(r, "candidate/linear/mean") < 10);
    ck_assert(figure(r, "candidate/stacked/mean") < 10);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Weights say what rows count beside each other: their unit is no matter. */
START_TEST(unit_of_weights)
{
    scene *s = scene_make(NULL);
    float w[FEW];
    double mean[2], score[2];
    for (int k = 0; k < 2; k++) {
        mtl_report *r = NULL;
        for (int i = 0; i < FEW; i++)
            w[i] = (k ? 1024.0f : 1) * (float)(1 + i % 3);
        done(mtl_dataset_set_weights(s->target, NULL, w, err));
        mtl_model *m = moved(s, s->known, "epochs=5", &r);
        mean[k] = figure(r, "candidate/stacked/mean");
        score[k] = figure(r, "candidate/stacked/score");
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    ck_assert_double_eq_tol(mean[1], mean[0], 1e-5);
    ck_assert_double_eq_tol(score[1], score[0], 5e-5); /* by all candidates' errors, and their spread */
    scene_free(s);
}
END_TEST

/* Without a trunk, heads and the skip read the same columns: not twice. */
START_TEST(skip_without_a_trunk)
{
    float out[2][FEW];
    scene *s = scene_make(NULL);
    mtl_model *trunk = s->source;
    for (int skip = 0; skip < 2; skip++) {
        mtl_spec *spec = NULL;
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &spec, err));
        done(mtl_spec_set_linear_skip(spec, skip, err));
        done(mtl_spec_add_task(spec, "fails", MTL_BINARY, 1, err));
        done(mtl_model_create(spec, &s->source, err));
        fit(s->source, s->known, "epochs=2");
        mtl_model *m = moved(s, NULL, "strategy=linear", NULL);
        predict(m, "both", &s->few, out[skip]);
        mtl_model_destroy(m), mtl_model_destroy(s->source);
        mtl_spec_destroy(spec);
    }
    for (int i = 0; i < FEW; i++)
        ck_assert_float_eq_tol(out[0][i], out[1][i], 1e-6f);
    s->source = trunk;
    scene_free(s);
}
END_TEST

/* Nor need labels of the new task in known rows fit it. */
START_TEST(known_rows_with_another_task_of_the_name)
{
    scene *s = scene_make(NULL);
    float pair[2 * ROWS];
    for (int i = 0; i < 2 * ROWS; i++)
        pair[i] = (float)i;
    done(mtl_dataset_set_labels(s->known, "both", 2, pair, 2, err));
    mtl_model *m = moved(s, s->known, "epochs=2", NULL);
    mtl_model_destroy(m);
    m = moved(s, s->known, "strategy=replay epochs=2", NULL);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(row_without_a_group)
{
    scene *s = scene_make(NULL);
    float group[FEW];
    for (int i = 0; i < FEW; i++)
        group[i] = i == 9 ? NAN : (float)(i / 4);
    s->both[2] = s->both[4] = NAN; /* rows that are no matter do not count */
    add(s->target, "entity", group);
    refuse(s, "group_by=entity", MTL_ERR_VALUE, "row 9 ");
    scene_free(s);
}
END_TEST

static const char *const candidates[] = {"constant", "linear", "as_is", "exact_probe", "shift",
                                         "stacked", "tune", "replay", "fine_tune", "scratch"};

static double figure_of(mtl_report *r, const char *candidate, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "candidate/%s/%s", candidate, what);
    return figure(r, name);
}

/* Weights of sum 1; each member predicts for itself, and the model their mean. Known tasks are of one
   member alone. */
START_TEST(several_are_averaged)
{
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    float whole[FEW], part[FEW], known[FEW];
    double sum = 0, mean[FEW] = {0};
    for (int i = 0; i < FEW; i++) { /* counts have no exact heads */
        const float *x = s->few.x + i * PROBLEM_INPUTS;
        s->value[i] = floorf(3 + fabsf(2 * x[0] + x[1]) + (float)(i * 7 % 3));
    }
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "events", s->value);
    done(mtl_dataset_set_kind(s->target, "events", MTL_COUNT, 1, err));
    mtl_model *m = moved(s, NULL, "epochs=40 members=4", &r);
    const int64_t members = mtl_model_member_count(m);
    const int64_t task = mtl_model_task_index(m, "events"), old = mtl_model_task_index(m, "fails");
    int64_t used = 0;
    ck_assert_int_ge(members, 2);
    ck_assert_int_le(members, 4);
    for (size_t i = 0; i < COUNT(candidates); i++) {
        if (i == 7) /* replay: there are no known rows */
            continue;
        const double w = figure_of(r, candidates[i], "weight");
        ck_assert(w >= 0);
        sum += w;
        used += w > 0;
        if (strcmp(candidates[i], text_of(r, "strategy")) == 0)
            for (size_t k = 0; k < COUNT(candidates); k++)
                ck_assert(k == 7 || w >= figure_of(r, candidates[k], "weight"));
    }
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    ck_assert_int_eq(used, members);
    predict(m, "events", &s->few, whole);
    for (int64_t k = 0; k < members; k++) {
        const mtl_model *member = mtl_model_member(m, k);
        const double w = mtl_model_member_weight(m, k, task), v = mtl_model_member_weight(m, k, old);
        predict(member, "events", &s->few, part);
        ck_assert(w > 0 && v == (k == 0));
        for (int i = 0; i < FEW; i++)
            mean[i] += w * (double)part[i];
    }
    for (int i = 0; i < FEW; i++)
        ck_assert_double_eq_tol((double)whole[i], mean[i], 1e-6);
    predict(mtl_model_member(m, 0), "fails", &s->few, part);
    predict(m, "fails", &s->few, known);
    for (int i = 0; i < FEW; i++)
        ck_assert_float_eq(part[i], known[i]);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = moved(s, NULL, "epochs=40 members=1", &r);
    ck_assert_int_eq(mtl_model_member_count(m), 0);
    ck_assert_double_eq(figure_of(r, text_of(r, "strategy"), "weight"), 1);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Exact heads are averaged in one plain model: of values its predictions are the mean of theirs. */
START_TEST(heads_are_averaged_in_one)
{
    scene *s = scene_make(NULL);
    static const char *const heads[] = {"constant", "linear", "exact_probe", "stacked"};
    mtl_report *r = NULL, *one = NULL;
    float whole[ROWS], part[ROWS];
    double mean[ROWS] = {0}, sum = 0;
    int64_t used = 0;
    for (int i = 0; i < FEW; i++) {
        const float *x = s->few.x + i * PROBLEM_INPUTS;
        s->value[i] = 50 + 3 * x[3] - 2 * x[4] + x[5] * x[3] + (float)(i * 7 % 5);
    }
    mtl_dataset_destroy(s->target);
    s->target = rows_of(NULL, &s->few);
    add(s->target, "value", s->value);
    mtl_model *m = moved(s, NULL, "epochs=2 trunk_rate=0 learning_rate=0.00001", &r);
    ck_assert_int_eq(mtl_model_member_count(m), 0);
    predict(m, "value", &s->p, whole);
    for (size_t k = 0; k < COUNT(heads); k++) {
        char how[64];
        const double w = figure_of(r, heads[k], "weight");
        snprintf(how, sizeof how, "strategy=%s", heads[k]);
        mtl_model *single = moved(s, NULL, how, &one);
        predict(single, "value", &s->p, part);
        if (k > 0) /* with the same variant, as nothing is simulated */
            ck_assert_double_eq(figure_of(one, heads[k], "variant"), figure_of(r, heads[k], "variant"));
        for (int i = 0; i < ROWS; i++)
            mean[i] += w * (double)part[i];
        sum += w;
        used += w > 0;
        mtl_report_destroy(one);
        mtl_model_destroy(single);
    }
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    ck_assert_int_ge(used, 2);
    for (int i = 0; i < ROWS; i++)
        ck_assert_double_eq_tol((double)whole[i], mean[i], 1e-4);
    mtl_report_destroy(r);
    fit(m, s->known, "epochs=1"); /* it can be trained on */
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

typedef struct stopper {
    int64_t calls, stop_at;
} stopper;

static int32_t stop_at_call(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                            void *user)
{
    stopper *x = user;
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    return ++x->calls == x->stop_at ? 0 : MTL_CONTINUE;
}

/* Nine candidates, no simulations: the call after 14 pieces of work is in the second fold. */
START_TEST(finished_folds_count)
{
    scene *s = scene_make(NULL);
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=5");
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    stopper x = {.stop_at = 14};
    done(mtl_options_set_progress(o, stop_at_call, &x, err));
    done(mtl_transfer(s->source, s->target, NULL, o, &m, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    for (size_t i = 0; i < COUNT(candidates); i++)
        if (i != 7) /* replay: there are no known rows */
            ck_assert_double_ge(figure_of(r, candidates[i], "variant"), 0);
    ck_assert_double_eq(figure(r, "chosen/trust"), 1);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_options_destroy(o);
    scene_free(s);
}
END_TEST

static int32_t own_loss(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                        const float *label, const float *weight, double *value, float *gradient,
                        void *user)
{
    stopper *x = user;
    *value = 0;
    for (int64_t i = 0; i < rows * outputs; i++) {
        const float d = z[i] - label[i / outputs * label_cols];
        *value += (double)(weight[i / outputs] * d * d);
        if (gradient)
            gradient[i] = 2 * weight[i / outputs] * d;
    }
    return ++x->calls == x->stop_at ? 0 : MTL_CONTINUE;
}

/* A loss of a known task that does not go on ends the choice, not just the candidate that met it. */
START_TEST(a_loss_ends_the_choice)
{
    scene *s = scene_make(NULL);
    const uint64_t before = model_hash(s->source);
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    stopper loss = {.stop_at = 3}, work = {0};
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=5");
    done(mtl_model_set_loss(s->source, "fails", own_loss, &loss, err));
    done(mtl_options_set_progress(o, stop_at_call, &work, err));
    done(mtl_transfer(s->source, s->target, s->known, o, &m, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_double_eq(figure_of(r, "scratch", "variant"), -1); /* comes behind replay */
    ck_assert_double_eq(figure_of(r, "replay", "variant"), -1);
    ck_assert_double_ge(figure_of(r, "linear", "variant"), 0);
    ck_assert_uint_eq(model_hash(s->source), before);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_options_destroy(o);
    scene_free(s);
}
END_TEST

/* Groups of rows that say one thing are no more than one row each: less sure, and less trusted. */
START_TEST(errors_are_of_groups)
{
    scene *s = scene_make(NULL);
    float group[FEW];
    double error[2], mean[2];
    for (int k = 0; k < 2; k++) {
        mtl_report *r = NULL;
        for (int i = 0; i < FEW; i++) {
            s->value[i] = 1.5f * (float)(i % 8) + 0.3f;
            group[i] = (float)(k ? i % 8 : i);
        }
        mtl_dataset_destroy(s->target);
        s->target = rows_of(NULL, &s->few);
        add(s->target, "value", s->value), add(s->target, "entity", group);
        mtl_model *m = moved(s, NULL, "strategy=stacked group_by=entity", &r);
        error[k] = figure(r, "candidate/stacked/standard_error");
        mean[k] = figure(r, "candidate/stacked/mean");
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    ck_assert(mean[0] > 0.5 && mean[1] > 0.5);
    ck_assert_msg(error[1] > 1.3 * error[0], "by group %g, by row %g", error[1], error[0]);
    scene_free(s);
}
END_TEST

START_TEST(same_bits)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=2 cpu=avx2", "threads=3",
                                           "threads=7"};
    static const char *const how[] = {"epochs=8 seed=2", "strategy=shift seed=1",
                                      "strategy=stacked", "strategy=tune epochs=5"};
    uint64_t first[COUNT(how)] = {0};
    for (int i = 0; i < 4; i++) {
        mtl_context *ctx = context(contexts[i]);
        scene *s = scene_make(ctx);
        for (size_t k = 0; k < COUNT(how); k++) {
            mtl_report *r = NULL;
            mtl_model *m = moved(s, s->known, how[k], &r);
            const double score = k == 0 ? figure(r, "candidate/tune/score") : 0;
            uint64_t hash = model_hash(m) ^ predict_hash(m, &s->p);
            hash = hash_bytes(hash, &score, sizeof score);
            first[k] = i ? first[k] : hash;
            ck_assert_msg(hash == first[k], "%s differs with %s", how[k], contexts[i]);
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
        scene_free(s);
        mtl_context_destroy(ctx);
    }
}
END_TEST

START_TEST(result_is_a_plain_model)
{
    scene *s = scene_make(NULL);
    mtl_model *m = moved(s, NULL, "strategy=stacked", NULL), *loaded = NULL;
    void *buffer = NULL;
    int64_t bytes;
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &loaded, err));
    assert_same_model(m, loaded);
    ck_assert_uint_eq(predict_hash(m, &s->p), predict_hash(loaded, &s->p));
    mtl_dataset *target = s->target;
    mtl_model *source = s->source;
    s->source = loaded; /* a chain: its own tasks are now known */
    s->target = rows_of(NULL, &s->few);
    add(s->target, "value", s->value);
    mtl_model *next = moved(s, s->known, "epochs=5", NULL);
    ck_assert_int_ge(mtl_model_task_index(next, "value"), 0);
    mtl_dataset_destroy(s->target);
    s->target = target;
    s->source = source;
    mtl_free(buffer);
    mtl_model_destroy(m), mtl_model_destroy(loaded), mtl_model_destroy(next);
    scene_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transfer_auto");
    add_case(s, "a solved strategy keeps the known tasks bit for bit", solved_keeps_what_is_known);
    add_case(s, "constant is the smoothed rate", constant_is_the_rate);
    add_case(s, "linear finds a line, and auto takes it", linear_finds_a_line);
    add_case(s, "as_is takes the task that fits", as_is_takes_the_task_that_fits);
    add_case(s, "strategies that cannot serve say so", strategies_that_cannot_serve);
    add_case(s, "the report has every candidate and says why", report_says_why);
    add_case(s, "simulations with fewer rows", simulations_with_fewer_rows);
    add_case(s, "noise is seen through", noise_is_seen_through);
    add_case(s, "folds by group do not leak", leaks_between_rows_of_a_group);
    add_case(s, "labels of the new task in known rows do not leak", known_rows_cannot_leak);
    add_case(s, "one row and a few", few_rows);
    add_case(s, "several new tasks with missing labels", several_new_tasks);
    add_case(s, "a deadline and a callback end the choice", stopped_early);
    add_case(s, "a callback that stopped once has stopped", stopped_once_is_stopped);
    add_case(s, "a task that has no exact heads", one_task_without_exact_heads);
    add_case(s, "labels that are all the same", labels_all_the_same);
    add_case(s, "a task with one label", a_task_with_one_label);
    add_case(s, "the unit of weights is no matter", unit_of_weights);
    add_case(s, "a linear skip without a trunk", skip_without_a_trunk);
    add_case(s, "known rows with another task of the name", known_rows_with_another_task_of_the_name);
    add_case(s, "a row without a group is named", row_without_a_group);
    add_case(s, "several are averaged", several_are_averaged);
    add_case(s, "exact heads are averaged in one", heads_are_averaged_in_one);
    add_case(s, "finished folds count when it is stopped", finished_folds_count);
    add_case(s, "a loss that does not go on ends the choice", a_loss_ends_the_choice);
    add_case(s, "standard errors are of groups", errors_are_of_groups);
    add_case(s, "same bits for any threads and instruction set", same_bits);
    add_case(s, "the result is a plain model", result_is_a_plain_model);
    return run_suite(s);
}
