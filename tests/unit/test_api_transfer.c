/* SPDX-License-Identifier: MIT */
/* Group transfer. */
#include "api_testing.h"

enum { ROWS = 300, FEW = 40 };

static const char *const trunk_tensors[] = {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight",
                                            "trunk.1.bias"};
static const char *const head_tensors[] = {
    "head.fails.weight",  "head.fails.bias",  "tower0.tags.weight", "tower0.tags.bias",
    "head.tags.weight",   "head.tags.bias",   "head.grade.weight",  "head.grade.bias",
    "head.hours.weight",  "head.hours.bias"};

/* A fitted source, its data, and few rows of a new task that is made of the same parts. */
typedef struct scene {
    problem p, few;
    mtl_dataset *known, *target;
    mtl_model *source;
    float *both;
} scene;

static scene scene_make(mtl_context *ctx)
{
    scene s = {.p = problem_make(ROWS, 21, 0), .few = problem_make(FEW, 22, 0)};
    s.known = problem_data(&s.p, ctx);
    s.source = problem_model(ctx);
    fit(s.source, s.known, "epochs=40 learning_rate=0.01");
    s.both = floats(FEW);
    for (int i = 0; i < FEW; i++)
        s.both[i] = s.few.fails[i] > 0.5f && s.few.grade[i] < 1.5f;
    done(mtl_dataset_create(ctx, s.few.x, FEW, PROBLEM_INPUTS, PROBLEM_INPUTS, &s.target, err));
    done(mtl_dataset_set_labels(s.target, "both", 1, s.both, 1, err));
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    problem_free(&s->p), problem_free(&s->few);
    free(s->both);
}

static mtl_model *moved(const scene *s, const mtl_dataset *known, const char *text,
                        mtl_report **report)
{
    return transferred(s->source, s->target, known, text, report);
}

static void assert_kept(const mtl_model *a, const mtl_model *b, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(tensor_bits_differ(a, b, names[i]) == 0, "%s changed", names[i]);
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

START_TEST(tasks_of_the_result)
{
    scene s = scene_make(NULL);
    mtl_model *m = moved(&s, NULL, "strategy=fine_tune epochs=1", NULL);
    ck_assert_int_eq(mtl_model_task_count(m), 5);
    for (int64_t t = 0; t < 4; t++)
        ck_assert_str_eq(mtl_model_task_name(m, t), mtl_model_task_name(s.source, t));
    ck_assert_str_eq(mtl_model_task_name(m, 4), "both");
    ck_assert_int_eq(mtl_model_task_kind(m, 4), MTL_BINARY);
    ck_assert_int_eq(mtl_model_outputs(m), 9);
    mtl_model_destroy(m);
    m = moved(&s, s.known, "epochs=1 strategy=scratch", NULL);
    ck_assert_int_eq(mtl_model_task_count(m), 1);
    ck_assert_str_eq(mtl_model_task_name(m, 0), "both");
    ck_assert_int_eq(mtl_model_outputs(m), 1);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

START_TEST(probe_keeps_trunk_and_heads)
{
    scene s = scene_make(NULL);
    static const char *const how[] = {"strategy=probe epochs=30", "strategy=probe epochs=5 l2=0.1",
                                      "strategy=probe epochs=5 l1=0.1"};
    float before[ROWS * 8], after[ROWS * 9];
    done(mtl_predict(s.source, ROWS, s.p.x, PROBLEM_INPUTS, before, 8, err));
    for (int i = 0; i < 3; i++)
        for (int with_known = 0; with_known < 2; with_known++) {
            mtl_report *r = NULL;
            mtl_model *m = moved(&s, with_known ? s.known : NULL, how[i], &r);
            assert_kept(s.source, m, trunk_tensors, COUNT(trunk_tensors));
            assert_kept(s.source, m, head_tensors, COUNT(head_tensors));
            /* The whole pipeline of the known tasks: their predictions, bit for bit. */
            done(mtl_predict(m, ROWS, s.p.x, PROBLEM_INPUTS, after, 9, err));
            for (int row = 0; row < ROWS; row++)
                assert_same_bits(after + 9 * row, before + 8 * row, 8);
            ck_assert_str_eq(text_of(r, "strategy"), "probe");
            int64_t count;
            const double *loss;
            done(mtl_report_get_series(r, "loss/train/both", &count, &loss, err));
            ck_assert_double_lt(loss[count - 1], loss[0]); /* its head does learn */
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
    scene_free(&s);
}
END_TEST

START_TEST(the_source_is_untouched)
{
    static const char *const how[] = {"strategy=fine_tune epochs=3", "strategy=probe epochs=3",
                                      "strategy=lp_ft epochs=3", "strategy=scratch epochs=3"};
    scene s = scene_make(NULL);
    mtl_model *copy = NULL;
    done(mtl_model_clone(s.source, &copy, err));
    uint64_t before = predict_hash(s.source, &s.p);
    for (int i = 0; i < 4; i++) {
        mtl_model *m = moved(&s, i % 2 ? NULL : s.known, how[i], NULL);
        assert_same_model(s.source, copy);
        ck_assert_uint_eq(predict_hash(s.source, &s.p), before);
        mtl_model_destroy(m);
    }
    mtl_model_destroy(copy);
    scene_free(&s);
}
END_TEST

START_TEST(fine_tune_moves_the_trunk_slowly)
{
    scene s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *m = moved(&s, NULL, "strategy=fine_tune epochs=1 batch_size=1000", &r);
    ck_assert_str_eq(text_of(r, "strategy"), "fine_tune");
    ck_assert_double_eq(figure(r, "steps"), 1);
    assert_kept(s.source, m, head_tensors, COUNT(head_tensors)); /* without their data */
    /* One Adam step moves a parameter by about its rate: the trunk by a tenth of the heads' .01. */
    float step = tensor_bits_differ(s.source, m, "trunk.1.weight");
    ck_assert_msg(step > 0.0009f && step < 0.0011f, "the trunk moved by %g", (double)step);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = moved(&s, NULL, "strategy=fine_tune epochs=1 batch_size=1000 trunk_rate=0.5", NULL);
    step = tensor_bits_differ(s.source, m, "trunk.1.weight");
    ck_assert_msg(step > 0.0045f && step < 0.0055f, "the trunk moved by %g", (double)step);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

static double accuracy_of(const mtl_model *m, const mtl_dataset *d, const char *name)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    double value = figure(r, name);
    mtl_report_destroy(r);
    return value;
}

START_TEST(replay_keeps_the_known_tasks)
{
    scene s = scene_make(NULL);
    const char *how = "strategy=fine_tune epochs=200 learning_rate=0.02 trunk_rate=1 seed=1";
    double source = accuracy_of(s.source, s.known, "loss");
    mtl_report *r = NULL;
    mtl_model *alone = moved(&s, NULL, how, NULL), *mixed = moved(&s, s.known, how, &r);
    double forgot = accuracy_of(alone, s.known, "loss"), kept = accuracy_of(mixed, s.known, "loss");
    ck_assert_msg(forgot > 2 * source, "nothing to keep: loss %g, then %g", source, forgot);
    ck_assert_msg(kept < source, "with replay the loss went from %g to %g", source, kept);
    ck_assert_double_gt(accuracy_of(mixed, s.target, "metric/accuracy/both"), 0.9);
    ck_assert(isfinite(figure(r, "loss/train/fails")) && isfinite(figure(r, "loss/train/both")));
    ck_assert_float_gt(tensor_bits_differ(mixed, s.source, "head.grade.weight"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(alone), mtl_model_destroy(mixed);
    scene_free(&s);
}
END_TEST

START_TEST(replay_zero)
{
    /* Known rows of weight 0 teach nothing; known heads then stand still. */
    scene s = scene_make(NULL);
    mtl_model *m = moved(&s, s.known, "strategy=fine_tune epochs=3 replay=0", NULL);
    assert_kept(s.source, m, head_tensors, COUNT(head_tensors));
    ck_assert_float_gt(tensor_bits_differ(m, s.source, "trunk.0.weight"), 0);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

START_TEST(lp_ft_probes_first)
{
    /* With no rate for the trunk in its second phase only the first is left of it. */
    scene s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *probe = moved(&s, NULL, "strategy=probe epochs=4 seed=3", NULL);
    mtl_model *both = moved(&s, NULL, "strategy=lp_ft epochs=4 seed=3 trunk_rate=0", &r);
    assert_same_model(probe, both);
    ck_assert_str_eq(text_of(r, "strategy"), "lp_ft");
    mtl_report_destroy(r);
    mtl_model_destroy(both);
    both = moved(&s, NULL, "strategy=lp_ft epochs=4 seed=3", NULL);
    ck_assert_float_gt(tensor_bits_differ(both, probe, "trunk.0.weight"), 0);
    mtl_model_destroy(probe), mtl_model_destroy(both);
    scene_free(&s);
}
END_TEST

START_TEST(scratch_knows_nothing_of_the_source)
{
    /* Two sources of one shape and different contents give the same scratch model. */
    scene s = scene_make(NULL);
    mtl_model *a = moved(&s, NULL, "strategy=scratch epochs=3 seed=5", NULL);
    fit(s.source, s.known, "epochs=3");
    mtl_model *b = moved(&s, NULL, "strategy=scratch epochs=3 seed=5", NULL);
    assert_same_model(a, b);
    ck_assert_uint_eq(predict_hash(a, &s.p), predict_hash(b, &s.p));
    mtl_model_destroy(a), mtl_model_destroy(b);
    /* Not even its input scaling: that is fitted on the target's rows. */
    problem wide = problem_make(ROWS, 4, 0);
    for (int i = 0; i < ROWS * PROBLEM_INPUTS; i++)
        wide.x[i] = wide.x[i] * 1000 + 5000;
    mtl_dataset *other = problem_data(&wide, NULL);
    mtl_model *source = problem_model(NULL);
    fit(source, other, "epochs=1");
    mtl_model *kept = s.source;
    s.source = source;
    a = moved(&s, NULL, "strategy=scratch epochs=3 seed=5", NULL);
    s.source = kept;
    b = moved(&s, NULL, "strategy=scratch epochs=3 seed=5", NULL);
    ck_assert_uint_eq(predict_hash(a, &s.p), predict_hash(b, &s.p));
    mtl_model_destroy(a), mtl_model_destroy(b), mtl_model_destroy(source);
    mtl_dataset_destroy(other);
    problem_free(&wide);
    scene_free(&s);
}
END_TEST

START_TEST(kinds_are_read_off)
{
    scene s = scene_make(NULL);
    float three[FEW], pair[2 * FEW], value[FEW], numbers[FEW];
    for (int i = 0; i < FEW; i++) {
        three[i] = (float)(i % 3);
        pair[2 * i] = (float)(i % 2), pair[2 * i + 1] = (float)(i % 5 == 0);
        value[i] = 100 + 7 * s.few.x[6 * i];
        numbers[i] = (float)(i % 2) * 2; /* 0 and 2 only: not 0 .. c-1, so values */
    }
    three[0] = NAN;
    done(mtl_dataset_set_labels(s.target, "three", 1, three, 1, err));
    done(mtl_dataset_set_labels(s.target, "pair", 2, pair, 2, err));
    done(mtl_dataset_set_labels(s.target, "value", 1, value, 1, err));
    done(mtl_dataset_set_labels(s.target, "numbers", 1, numbers, 1, err));
    static const struct {
        const char *name;
        int32_t kind;
        int64_t outputs;
    } expected[] = {{"both", MTL_BINARY, 1},
                    {"three", MTL_MULTICLASS, 3},
                    {"pair", MTL_MULTILABEL, 2},
                    {"value", MTL_REGRESSION, 1},
                    {"numbers", MTL_REGRESSION, 1}};
    mtl_model *m = moved(&s, NULL, "strategy=fine_tune epochs=60", NULL);
    for (int i = 0; i < 5; i++) {
        int64_t t = mtl_model_task_index(m, expected[i].name);
        ck_assert_int_ge(t, 4);
        ck_assert_int_eq(mtl_model_task_kind(m, t), expected[i].kind);
        ck_assert_int_eq(mtl_model_task_outputs(m, t), expected[i].outputs);
    }
    /* A new regression comes back in its units: 100, not 0. */
    float out[FEW];
    done(mtl_predict_task(m, mtl_model_task_index(m, "value"), FEW, s.few.x, 6, out, 1, err));
    for (int i = 0; i < FEW; i++)
        ck_assert_msg(fabsf(out[i] - 100) < 40, "%g", (double)out[i]);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

START_TEST(kinds_are_stated)
{
    scene s = scene_make(NULL);
    done(mtl_dataset_set_kind(s.target, "both", MTL_MULTICLASS, 4, err));
    mtl_model *m = moved(&s, NULL, "strategy=fine_tune epochs=2", NULL);
    ck_assert_int_eq(mtl_model_task_kind(m, 4), MTL_MULTICLASS);
    ck_assert_int_eq(mtl_model_task_outputs(m, 4), 4);
    mtl_model_destroy(m);
    refused(mtl_dataset_set_kind(s.target, "other", MTL_BINARY, 1, err), MTL_ERR_NAME, "other");
    refused(mtl_dataset_set_kind(s.target, "both", MTL_MULTILABEL, 3, err), MTL_ERR_SHAPE, "");
    s.both[4] = 2;
    done(mtl_dataset_set_kind(s.target, "both", MTL_BINARY, 1, err));
    m = NULL;
    refused(mtl_transfer(s.source, s.target, NULL, NULL, &m, NULL, err), MTL_ERR_VALUE, "both");
    ck_assert_ptr_null(m);
    scene_free(&s);
}
END_TEST

START_TEST(known_labels_in_the_target_count)
{
    scene s = scene_make(NULL);
    done(mtl_dataset_set_labels(s.target, "grade", 1, s.few.grade, 1, err));
    mtl_report *r = NULL;
    mtl_model *m = moved(&s, NULL, "strategy=fine_tune epochs=2", &r);
    ck_assert(isfinite(figure(r, "loss/train/grade")));
    ck_assert_float_gt(tensor_bits_differ(m, s.source, "head.grade.weight"), 0);
    ck_assert_float_eq(tensor_bits_differ(m, s.source, "head.fails.weight"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

static int32_t stop_at_three(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                             void *user)
{
    (void)step, (void)steps, (void)train, (void)valid;
    ++*(int *)user;
    return epoch >= 3 ? 0 : MTL_CONTINUE;
}

START_TEST(cancel_and_deadline)
{
    scene s = scene_make(NULL);
    int calls = 0;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=lp_ft epochs=50");
    done(mtl_options_set_progress(o, stop_at_three, &calls, err));
    done(mtl_transfer(s.source, s.target, s.known, o, &m, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    ck_assert_int_eq(calls, 3); /* the second phase does not start */
    assert_kept(s.source, m, trunk_tensors, COUNT(trunk_tensors));
    mtl_options_destroy(o);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = moved(&s, s.known, "strategy=lp_ft epochs=1000000 time_limit=0.2", &r);
    ck_assert_str_eq(text_of(r, "reason"), "time_limit");
    ck_assert_double_lt(figure(r, "seconds"), 5);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

START_TEST(divergence)
{
    scene s = scene_make(NULL);
    mtl_model *m = NULL, *copy = NULL;
    mtl_report *r = NULL;
    done(mtl_model_clone(s.source, &copy, err));
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=fine_tune learning_rate=1e30 trunk_rate=1");
    refused(mtl_transfer(s.source, s.target, s.known, o, &m, &r, err), MTL_ERR_DIVERGED, "");
    ck_assert(!m && !r);
    assert_same_model(s.source, copy);
    mtl_options_destroy(o);
    mtl_model_destroy(copy);
    scene_free(&s);
}
END_TEST

START_TEST(refusals)
{
    scene s = scene_make(NULL);
    mtl_model *m = NULL, *fresh = problem_model(NULL);
    mtl_report *r = NULL;
    mtl_dataset *d = NULL;
    refused(mtl_transfer(fresh, s.target, NULL, NULL, &m, &r, err), MTL_ERR_STATE, "");
    refused(mtl_transfer(NULL, s.target, NULL, NULL, &m, &r, err), MTL_ERR_INVALID, "source");
    refused(mtl_transfer(s.source, NULL, NULL, NULL, &m, &r, err), MTL_ERR_INVALID, "target");
    refused(mtl_transfer(s.source, s.target, NULL, NULL, NULL, &r, err), MTL_ERR_INVALID, "out");
    done(mtl_dataset_create(NULL, s.few.x, FEW, 5, 6, &d, err));
    done(mtl_dataset_set_labels(d, "both", 1, s.both, 1, err));
    refused(mtl_transfer(s.source, d, NULL, NULL, &m, &r, err), MTL_ERR_SHAPE, "5");
    refused(mtl_transfer(s.source, s.target, d, NULL, &m, &r, err), MTL_ERR_SHAPE, "5");
    mtl_dataset_destroy(d);
    done(mtl_dataset_create(NULL, s.few.x, FEW, 6, 6, &d, err));
    refused(mtl_transfer(s.source, d, NULL, NULL, &m, &r, err), MTL_ERR_DATA, "");
    done(mtl_dataset_set_labels(d, "stranger", 1, s.both, 1, err));
    refused(mtl_transfer(s.source, s.target, d, NULL, &m, &r, err), MTL_ERR_DATA, "known");
    mtl_dataset_destroy(d);
    s.few.x[7 * 6 + 2] = INFINITY;
    refused(mtl_transfer(s.source, s.target, NULL, NULL, &m, &r, err), MTL_ERR_VALUE, "7");
    s.few.x[7 * 6 + 2] = 0;
    s.p.grade[8] = 9;
    refused(mtl_transfer(s.source, s.target, s.known, NULL, &m, &r, err), MTL_ERR_VALUE, "grade");
    ck_assert(!m && !r);
    mtl_model_destroy(fresh);
    scene_free(&s);
}
END_TEST

START_TEST(new_labels_all_missing)
{
    scene s = scene_make(NULL);
    for (int i = 0; i < FEW; i++)
        s.both[i] = NAN;
    mtl_model *m = NULL;
    refused(mtl_transfer(s.source, s.target, s.known, NULL, &m, NULL, err), MTL_ERR_DATA, "");
    ck_assert_ptr_null(m);
    scene_free(&s);
}
END_TEST

START_TEST(same_bits)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=2 cpu=avx2", "threads=3",
                                           "threads=7"};
    uint64_t hash[4];
    for (int i = 0; i < 4; i++) {
        mtl_context *ctx = context(contexts[i]);
        scene s = scene_make(ctx);
        mtl_model *m = moved(&s, s.known, "strategy=lp_ft epochs=5 seed=2", NULL);
        hash[i] = model_hash(m) ^ predict_hash(m, &s.p);
        ck_assert_uint_eq(hash[i], hash[0]);
        mtl_model_destroy(m);
        scene_free(&s);
        mtl_context_destroy(ctx);
    }
}
END_TEST

START_TEST(frozen_stays_frozen)
{
    scene s = scene_make(NULL);
    done(mtl_model_freeze(s.source, "trunk.0", 1, err));
    mtl_model *m = moved(&s, s.known, "strategy=fine_tune epochs=2", NULL);
    assert_kept(s.source, m, trunk_tensors, 2);
    ck_assert_float_gt(tensor_bits_differ(m, s.source, "trunk.1.weight"), 0);
    mtl_model_destroy(m);
    /* From scratch there is nothing of the source to keep. */
    m = moved(&s, NULL, "strategy=scratch epochs=1 seed=9", NULL);
    mtl_model *more = moved(&s, NULL, "strategy=scratch epochs=3 seed=9", NULL);
    ck_assert_float_gt(tensor_bits_differ(m, more, "trunk.0.weight"), 0);
    mtl_model_destroy(m), mtl_model_destroy(more);
    scene_free(&s);
}
END_TEST

START_TEST(again_from_the_result)
{
    scene s = scene_make(NULL);
    mtl_model *m = moved(&s, s.known, "strategy=fine_tune epochs=5", NULL), *second = NULL;
    mtl_dataset *next = NULL;
    done(mtl_dataset_create(NULL, s.few.x, FEW, 6, 6, &next, err));
    done(mtl_dataset_set_labels(next, "another", 1, s.few.fails, 1, err));
    done(mtl_transfer(m, next, s.target, NULL, &second, NULL, err));
    ck_assert_int_eq(mtl_model_task_count(second), 6);
    fit(second, s.known, "epochs=1"); /* and it can be trained on */
    mtl_model_destroy(m), mtl_model_destroy(second);
    mtl_dataset_destroy(next);
    scene_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_transfer");
    add_case(s, "the result has the source's tasks and the new ones", tasks_of_the_result);
    add_case(s, "probe keeps trunk and known heads bit for bit", probe_keeps_trunk_and_heads);
    add_case(s, "the source is untouched", the_source_is_untouched);
    add_case(s, "fine_tune moves the trunk at its own rate", fine_tune_moves_the_trunk_slowly);
    add_case(s, "known rows keep the known tasks", replay_keeps_the_known_tasks);
    add_case(s, "known rows of weight 0 teach nothing", replay_zero);
    add_case(s, "lp_ft is a probe and then fine-tuning", lp_ft_probes_first);
    add_case(s, "scratch knows nothing of the source", scratch_knows_nothing_of_the_source);
    add_case(s, "kinds are read off the labels", kinds_are_read_off);
    add_case(s, "kinds are stated", kinds_are_stated);
    add_case(s, "labels of known tasks in the target count", known_labels_in_the_target_count);
    add_case(s, "a callback and a deadline end it", cancel_and_deadline);
    add_case(s, "divergence gives no model", divergence);
    add_case(s, "arguments and data are checked", refusals);
    add_case(s, "a new task without any label is refused", new_labels_all_missing);
    add_case(s, "same bits for any threads and instruction set", same_bits);
    add_case(s, "what was frozen stays frozen", frozen_stays_frozen);
    add_case(s, "a result can be the next source", again_from_the_result);
    return run_suite(s);
}
