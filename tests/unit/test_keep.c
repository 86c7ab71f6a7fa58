/* SPDX-License-Identifier: MIT */
/* Known tasks kept working by a transfer (keep_known). */
#include "api_testing.h"

enum { ROWS = 200, FEW = 40, IN = PROBLEM_INPUTS, KNOWN = 4 };

static const char *const tasks[KNOWN] = {"fails", "grade", "tags", "hours"};

typedef struct scene {
    mtl_context *ctx;
    problem p;
    mtl_dataset *known, *target;
    mtl_model *source;
    float y[FEW];
    double before[KNOWN]; /* losses */
} scene;

static void losses(const mtl_model *m, const mtl_dataset *d, double out[KNOWN])
{
    mtl_report *r = NULL;
    char name[32];
    done(mtl_evaluate(m, d, NULL, &r, err));
    for (int t = 0; t < KNOWN; t++) {
        snprintf(name, sizeof name, "loss/%s", tasks[t]);
        out[t] = figure(r, name);
    }
    mtl_report_destroy(r);
}

/* The new task has nothing to do with the known ones. */
static scene *scene_make(void)
{
    scene *s = calloc(1, sizeof *s);
    uint64_t seed = 5;
    s->ctx = context("threads=1");
    s->p = problem_make(ROWS, 1, 10);
    s->known = problem_data(&s->p, s->ctx);
    s->source = problem_model(s->ctx);
    fit(s->source, s->known, "epochs=60 learning_rate=0.01");
    for (int i = 0; i < FEW; i++)
        s->y[i] = next_unit(&seed);
    done(mtl_dataset_create(s->ctx, s->p.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "new", 1, s->y, 1, err));
    losses(s->source, s->known, s->before);
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    mtl_context_destroy(s->ctx);
    problem_free(&s->p);
    free(s);
}

/* Largest rise of a known task's loss as a share. */
static double rise(const scene *s, const mtl_model *m)
{
    double after[KNOWN], most = -1;
    losses(m, s->known, after);
    for (int t = 0; t < KNOWN; t++)
        most = fmax(most, (after[t] - s->before[t]) / fabs(s->before[t]));
    return most;
}

static double rise_of(const scene *s, const char *text, const char *reason)
{
    mtl_report *r = NULL;
    mtl_model *m = transferred(s->source, s->target, s->known, text, &r);
    const double found = rise(s, m);
    if (reason)
        ck_assert_str_eq(text_of(r, "reason"), reason);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    return found;
}

#define FAST "epochs=50 trunk_rate=1 learning_rate=0.02 replay=0 "

START_TEST(no_loss_rises_more)
{
    scene *s = scene_make();
    static const char *const ways[] = {"fine_tune", "tune", "replay", "lp_ft", "wise"};
    static const char *const averages[] = {"none", "ema"};
    for (int w = 0; w < 5; w++)
        for (int a = 0; a < 2; a++) {
            char text[160];
            snprintf(text, sizeof text, FAST "strategy=%s average=%s", ways[w], averages[a]);
            const bool comes_back = strcmp(ways[w], "wise") == 0; /* by itself, from an unrelated task */
            ck_assert_msg(comes_back || rise_of(s, text, NULL) > 0.3, "%s shows nothing", text);
            snprintf(text, sizeof text, FAST "strategy=%s average=%s keep_known=0.2", ways[w],
                     averages[a]);
            const double kept = rise_of(s, text, comes_back ? NULL : "keep_known");
            ck_assert_msg(kept <= 0.2 + 1e-9, "%s: %g", text, kept);
            snprintf(text, sizeof text, FAST "strategy=%s average=%s keep_known=0", ways[w],
                     averages[a]);
            ck_assert_double_le(rise_of(s, text, NULL), 0);
        }
    scene_free(s);
}
END_TEST

/* A bound that is never reached changes no bit. */
START_TEST(far_bounds_change_nothing)
{
    scene *s = scene_make();
    mtl_model *a = transferred(s->source, s->target, s->known, FAST "strategy=fine_tune", NULL);
    mtl_model *b = transferred(s->source, s->target, s->known,
                               FAST "strategy=fine_tune keep_known=1e9", NULL);
    assert_same_model(a, b);
    mtl_model_destroy(a), mtl_model_destroy(b);
    scene_free(s);
}
END_TEST

static int32_t stop_after_a_step(int64_t epoch, int64_t step, int64_t steps, double loss,
                                 double valid, void *user)
{
    (void)epoch, (void)steps, (void)loss, (void)valid, (void)user;
    return step >= 1 ? !MTL_CONTINUE : MTL_CONTINUE;
}

/* What a run that is cut off leaves is within the bounds too. */
START_TEST(a_run_that_is_cut_off)
{
    scene *s = scene_make();
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=fine_tune epochs=1 batch_size=4 "
                                                   "learning_rate=1 trunk_rate=1 keep_known=0.1");
    mtl_model *m = NULL;
    done(mtl_options_set_progress(o, stop_after_a_step, NULL, err));
    done(mtl_transfer(s->source, s->target, s->known, o, &m, NULL, err));
    ck_assert_double_le(rise(s, m), 0.1 + 1e-9);
    mtl_model_destroy(m);
    mtl_options_destroy(o);
    scene_free(s);
}
END_TEST

START_TEST(auto_keeps_them_too)
{
    scene *s = scene_make();
    mtl_report *r = NULL;
    mtl_model *m = transferred(s->source, s->target, s->known, FAST "folds=2 keep_known=0.05", &r);
    ck_assert_double_le(rise(s, m), 0.05 + 1e-9);
    ck_assert_int_eq(mtl_report_type(r, "candidate/scratch/mean"), 0);
    ck_assert_int_eq(mtl_report_type(r, "candidate/fine_tune/mean"), MTL_TYPE_F64);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(what_cannot_be_says_why)
{
    scene *s = scene_make();
    mtl_model *m = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "keep_known=0.1");
    refused(mtl_transfer(s->source, s->target, NULL, o, &m, NULL, err), MTL_ERR_INVALID,
            "keep_known needs the known tasks' rows");
    refused(mtl_transfer(s->source, s->known, s->known, o, &m, NULL, err), MTL_ERR_INVALID,
            "keep_known is for new tasks");
    set_options(o, MTL_OPTIONS_TRANSFER, "strategy=scratch");
    refused(mtl_transfer(s->source, s->target, s->known, o, &m, NULL, err), MTL_ERR_INVALID,
            "\"scratch\" keeps no known task");
    ck_assert_ptr_null(m);
    mtl_options_destroy(o);
    scene_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keep");
    add_case(s, "no loss rises by more", no_loss_rises_more);
    add_case(s, "far bounds change nothing", far_bounds_change_nothing);
    add_case(s, "a run that is cut off", a_run_that_is_cut_off);
    add_case(s, "auto keeps them too", auto_keeps_them_too);
    add_case(s, "what cannot be says why", what_cannot_be_says_why);
    return run_suite(s);
}
