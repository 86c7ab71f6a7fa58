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
    mtl_model *m = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    done(mtl_transfer(s->source, s->target, known, o, &m, report, err));
    mtl_options_destroy(o);
    return m;
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
    add_case(s, "noise is seen through", noise_is_seen_through);
    add_case(s, "folds by group do not leak", leaks_between_rows_of_a_group);
    add_case(s, "labels of the new task in known rows do not leak", known_rows_cannot_leak);
    add_case(s, "one row and a few", few_rows);
    add_case(s, "several new tasks with missing labels", several_new_tasks);
    add_case(s, "a deadline and a callback end the choice", stopped_early);
    add_case(s, "same bits for any threads and instruction set", same_bits);
    add_case(s, "the result is a plain model", result_is_a_plain_model);
    return run_suite(s);
}
