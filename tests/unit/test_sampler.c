/* SPDX-License-Identifier: MIT */
/* Which rows an epoch has under the option "sampling". */
#include "api_testing.h"

#include "train/trainer.h"

enum { MAX_ROWS = 600, ROUNDS = 400 };

static float x[MAX_ROWS], y[4][MAX_ROWS];

/* Tasks "class" (3 classes), "b" and "c" (binary), "v" (a value); labels as in y. */
static mtl_dataset *make_data(mtl_context *ctx, int64_t rows)
{
    static const char *const names[] = {"class", "b", "c", "v"};
    mtl_dataset *d = NULL;
    uint64_t seed = 1;
    for (int64_t i = 0; i < rows; i++)
        x[i] = next_unit(&seed);
    done(mtl_dataset_create(ctx, x, rows, 1, 1, &d, err));
    for (int t = 0; t < 4; t++)
        done(mtl_dataset_set_labels(d, names[t], 1, y[t], 1, err));
    return d;
}

static mtl_model *make_model(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, 1, &s, err));
    done(mtl_spec_add_dense(s, 4, "tanh", err));
    done(mtl_spec_add_task(s, "v", MTL_REGRESSION, 1, err));
    done(mtl_spec_add_task(s, "class", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "b", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "c", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static void clear_labels(void)
{
    for (int t = 0; t < 4; t++)
        for (int64_t i = 0; i < MAX_ROWS; i++)
            y[t][i] = NAN;
}

/* Row i belongs to the task that `sizes` says; the rows behind them to none. */
static void one_label_each(const int64_t *sizes)
{
    int64_t at = 0;
    clear_labels();
    for (int t = 0; t < 4; t++)
        for (int64_t i = 0; i < sizes[t]; i++, at++)
            y[t][at] = (float)(i % 2);
}

/* times[row] over `rounds` rounds; per_round, when given, sees every round. */
typedef void see_fn(const int64_t *order, int64_t rows);

static void draw(const char *text, int64_t rows, int64_t rounds, int64_t *times, see_fn *see)
{
    mtl_dataset *d = make_data(NULL, rows);
    mtl_model *m = make_model(NULL);
    mtl__binding b;
    mtl__choice choice;
    mtl__sampling rule;
    mtl__sampler s;
    mtl__arena arena = {0};
    int64_t order[MAX_ROWS];
    assert_ok(mtl__binding_create(m, d, "train", &b, NULL));
    assert_ok(mtl__choice_parse(&mtl__samplings, text, -1, &choice, NULL));
    assert_ok(mtl__sampling_resolve(&b, m, &choice, text, &rule, NULL));
    mtl__sampler_plan(&s, &rule, &b, m, &arena);
    ck_assert(mtl__arena_reserve(&arena, &m->ctx->al));
    mtl__sampler_plan(&s, &rule, &b, m, &arena);
    memset(times, 0, (size_t)rows * sizeof *times);
    for (int64_t r = 0; r < rounds; r++) {
        for (int64_t i = 0; i < rows; i++)
            order[i] = -1;
        mtl__sampler_draw(&s, 7, r, order);
        for (int64_t i = 0; i < rows; i++) {
            if (order[i] < 0 || order[i] >= rows)
                ck_abort_msg("place %d of round %d: row %d", (int)i, (int)r, (int)order[i]);
            times[order[i]]++;
        }
        if (see)
            see(order, rows);
    }
    mtl__arena_release(&arena, &m->ctx->al);
    mtl__binding_free(&b);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}

static int64_t sum_of(const int64_t *times, int64_t first, int64_t count)
{
    int64_t sum = 0;
    for (int64_t i = first; i < first + count; i++)
        sum += times[i];
    return sum;
}

/* 240 rows of class 0, 40 of class 1, 5 of class 2, 15 without the label. */
static void make_classes(void)
{
    clear_labels();
    for (int64_t i = 0; i < 300; i++) {
        y[0][i] = i < 240 ? 0 : i < 280 ? 1 : i < 285 ? 2 : NAN;
        y[1][i] = 1;
    }
}

START_TEST(classes_are_drawn_equally_often)
{
    int64_t times[MAX_ROWS];
    make_classes();
    draw("balanced:task=class", 300, 1, times, NULL);
    ck_assert_int_eq(sum_of(times, 0, 240), 95);
    ck_assert_int_eq(sum_of(times, 240, 40), 95);
    ck_assert_int_eq(sum_of(times, 280, 5), 95);
    for (int64_t i = 0; i < 300; i++) {
        int64_t low = i < 240 ? 0 : i < 280 ? 2 : i < 285 ? 19 : 1;
        ck_assert(times[i] == low || (i < 280 && times[i] == low + 1));
    }
    draw("balanced", 300, 1, times, NULL); /* the model's first task with classes */
    ck_assert_int_eq(sum_of(times, 280, 5), 95);
    draw("balanced:task=b", 300, 1, times, NULL); /* one class only: every row once */
    for (int64_t i = 0; i < 300; i++)
        ck_assert_int_eq(times[i], 1);
}
END_TEST

/* Over many rounds every row of a class has the same chance: 95 of 240 places, so 158 of 400
   rounds, standard deviation below 10. */
START_TEST(rows_of_a_class_are_drawn_equally_often)
{
    int64_t times[MAX_ROWS];
    make_classes();
    draw("balanced", 300, ROUNDS, times, NULL);
    for (int64_t i = 0; i < 240; i++)
        ck_assert_msg(times[i] > 108 && times[i] < 208, "row %d: %d", (int)i, (int)times[i]);
    for (int64_t i = 280; i < 285; i++)
        ck_assert_int_eq(times[i], 19 * ROUNDS);
}
END_TEST

static int64_t first_places[3];

static void see_first(const int64_t *order, int64_t rows)
{
    (void)rows;
    for (int i = 0; i < 30; i++)
        first_places[order[i] < 240 ? 0 : order[i] < 280 ? 1 : 2]++;
}

START_TEST(places_are_in_random_order)
{
    int64_t times[MAX_ROWS];
    make_classes();
    memset(first_places, 0, sizeof first_places);
    draw("balanced", 285, ROUNDS, times, see_first);
    for (int k = 0; k < 3; k++) /* 4000 expected, standard deviation about 50 */
        ck_assert(first_places[k] > 3750 && first_places[k] < 4250);
}
END_TEST

/* 400 rows of the first task, 100 of the second, 4 of the third, 1 of the fourth, 15 of none. */
static const int64_t task_rows[] = {400, 100, 4, 1};

static const struct {
    const char *text;
    double share[4]; /* up to a factor */
} mixes[] = {
    {"tasks", {400, 100, 4, 1}},
    {"tasks:mix=proportional", {400, 100, 4, 1}},
    {"tasks:mix=proportional,limit=50", {50, 50, 4, 1}},
    {"tasks:mix=sqrt", {20, 10, 2, 1}},
    {"tasks:mix=uniform", {1, 1, 1, 1}},
    {"tasks:mix=temperature", {20, 10, 2, 1}},
    {"tasks:mix=temperature,t=1", {400, 100, 4, 1}},
    {"tasks:mix=temperature,t=3,limit=64", {4, 4, 1.5874010519681994, 1}},
};

static double expected[4];

static void see_shares(const int64_t *order, int64_t rows)
{
    int64_t count[4] = {0};
    for (int64_t i = 0; i < rows; i++)
        count[order[i] < 400 ? 0 : order[i] < 500 ? 1 : order[i] < 504 ? 2 : 3]++;
    for (int t = 0; t < 4; t++)
        ck_assert_msg(fabs((double)count[t] - expected[t]) < 1 + 1e-6, "task %d: %d of %g", t,
                      (int)count[t], expected[t]);
}

START_TEST(tasks_are_mixed_by_the_rule)
{
    int64_t times[MAX_ROWS];
    double sum = 0;
    one_label_each(task_rows);
    for (int t = 0; t < 4; t++)
        sum += mixes[_i].share[t];
    for (int t = 0; t < 4; t++)
        expected[t] = 520 * mixes[_i].share[t] / sum;
    draw(mixes[_i].text, 520, ROUNDS, times, see_shares);
    ck_assert_int_eq(sum_of(times, 505, 15), 0); /* rows without labels */
    for (int64_t t = 0, at = 0; t < 4; at += task_rows[t], t++) {
        double mean = (double)sum_of(times, at, task_rows[t]) / ROUNDS;
        ck_assert_msg(fabs(mean - expected[t]) < 0.12, "task %d: %g of %g", (int)t, mean,
                      expected[t]);
    }
}
END_TEST

START_TEST(an_epoch_has_as_many_steps)
{
    one_label_each(task_rows);
    mtl_dataset *d = make_data(NULL, 505);
    static const char *const texts[] = {"epochs=3 seed=4 batch_size=32",
                                        "epochs=3 seed=4 batch_size=32 sampling=shuffle",
                                        "epochs=3 seed=4 batch_size=32 sampling=tasks:mix=uniform",
                                        "epochs=3 seed=4 batch_size=32 sampling=balanced:task=b"};
    uint64_t hash[4];
    for (int k = 0; k < 4; k++)
        for (int threads = 1; threads < 4; threads += 2) {
            mtl_context *ctx = context(threads == 1 ? "threads=1" : "threads=3");
            mtl_model *m = make_model(ctx);
            mtl_options *o = options(MTL_OPTIONS_FIT, texts[k]);
            mtl_report *r = NULL;
            done(mtl_fit(m, d, NULL, o, &r, err));
            ck_assert(figure(r, "steps") == 48);
            ck_assert(threads == 1 || hash[k] == model_hash(m));
            hash[k] = model_hash(m);
            mtl_report_destroy(r);
            mtl_options_destroy(o);
            mtl_model_destroy(m);
            mtl_context_destroy(ctx);
        }
    ck_assert(hash[0] == hash[1] && hash[0] != hash[2] && hash[0] != hash[3] && hash[2] != hash[3]);
    mtl_dataset_destroy(d);
}
END_TEST

static void refuse(mtl_model *m, const mtl_dataset *d, const char *text, mtl_status status,
                   const char *part)
{
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    uint64_t before = model_hash(m);
    refused(mtl_fit(m, d, NULL, o, NULL, err), status, part);
    ck_assert(model_hash(m) == before);
    mtl_options_destroy(o);
}

START_TEST(what_makes_no_sense_is_refused)
{
    make_classes();
    mtl_dataset *d = make_data(NULL, 300);
    mtl_model *m = make_model(NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, "");
    refuse(m, d, "sampling=balanced:task=a,b", MTL_ERR_NAME, "\"a,b\"");
    refuse(m, d, "sampling=balanced:task=v", MTL_ERR_INVALID, "\"v\" is neither");
    refuse(m, d, "sampling=balanced:task=c", MTL_ERR_DATA, "\"c\" has no label");
    refuse(m, d, "sampling=balanced shuffle=0", MTL_ERR_INVALID, "shuffle = 1");
    refuse(m, d, "sampling=tasks", MTL_ERR_VALUE, "row 0 has labels of \"class\" and \"b\"");
    refused(mtl_options_set_str(o, "sampling", "balance", err), MTL_ERR_RANGE, "balanced");
    refused(mtl_options_set_str(o, "sampling", "balanced:tusk=1", err), MTL_ERR_RANGE, "tusk");
    refused(mtl_options_set_str(o, "sampling", "tasks:mix=all", err), MTL_ERR_RANGE, "sqrt");
    refused(mtl_options_set_str(o, "sampling", "tasks:t=0.5", err), MTL_ERR_RANGE, "0.5");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

static mtl_status try_fit(void *arg)
{
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 sampling=balanced");
    mtl_dataset *d = make_data(NULL, 300);
    mtl_status st = mtl_fit(arg, d, NULL, o, NULL, NULL);
    mtl_dataset_destroy(d);
    mtl_options_destroy(o);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    make_classes();
    mtl_context *ctx = counted_context(&t, "threads=1");
    mtl_model *m = make_model(ctx);
    ck_assert_int_ge(sweep_allocations(&t, try_fit, m), 5);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sampler");
    add_case(s, "classes are drawn equally often", classes_are_drawn_equally_often);
    add_case(s, "rows of a class are drawn equally often", rows_of_a_class_are_drawn_equally_often);
    add_case(s, "places are in random order", places_are_in_random_order);
    TCase *tc = tcase_create("tasks are mixed by the rule");
    tcase_add_loop_test(tc, tasks_are_mixed_by_the_rule, 0, sizeof mixes / sizeof *mixes);
    suite_add_tcase(s, tc);
    add_case(s, "an epoch has as many steps", an_epoch_has_as_many_steps);
    add_case(s, "what makes no sense is refused", what_makes_no_sense_is_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
