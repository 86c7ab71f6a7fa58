/* SPDX-License-Identifier: MIT */
/* A run by parts, stopped at any step, killed, and taken up from its file: the bits of one that
   went through. And training on a stream. */
#include "api_testing.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 44, VALID = 20 };

/* Settings that hold every piece of state between two steps. */
static const char *const runs[] = {
    "epochs=4 batch_size=12 seed=3",
    "epochs=3 batch_size=44 shuffle=0 optimizer=sgd:momentum=0.9 schedule=cosine",
    "epochs=4 batch_size=12 seed=5 patience=1 learning_rate=0.05 optimizer=adamw:amsgrad=1",
    "epochs=4 batch_size=10 average=ema:decay=0.8 clip_norm=0.5 schedule=one_cycle warmup=2",
    "epochs=5 batch_size=16 average=swa:start=0.4 l1=0.001 optimizer=nadam",
    ("epochs=5 batch_size=20 schedule=plateau:patience=0,factor=0.5 learning_rate=0.1 "
     "optimizer=rmsprop:momentum=0.5 train_metrics=1"),
    "epochs=3 batch_size=12 seed=4 sampling=balanced:task=grade scaler=robust",
    "epochs=3 batch_size=12 seed=4 weighting=gradvac",
    "epochs=3 batch_size=12 seed=4 weighting=gradvac weighting_scope=layer weighting_every=2",
    "epochs=3 batch_size=12 seed=4 weighting=db_mtl:sigma=0.3",
    "epochs=3 batch_size=12 seed=4 weighting=excess_mtl:eta=1",
    "epochs=4 batch_size=12 seed=4 weighting=famo weighting_every=2",
    "epochs=4 batch_size=12 seed=4 weighting=dwa patience=3",
};
enum { RUNS = sizeof runs / sizeof runs[0] };

typedef struct fixture {
    problem train, valid;
    mtl_dataset *data, *judged;
} fixture;

static fixture make(void)
{
    fixture f = {.train = problem_make(ROWS, 7, 20), .valid = problem_make(VALID, 8, 10)};
    f.data = problem_data(&f.train, NULL);
    f.judged = problem_data(&f.valid, NULL);
    return f;
}

static void release(fixture *f)
{
    mtl_dataset_destroy(f->data);
    mtl_dataset_destroy(f->judged);
    problem_free(&f->train);
    problem_free(&f->valid);
}

static mtl_model *new_model(void)
{
    mtl_spec *s = problem_spec(NULL);
    mtl_model *m = NULL;
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dropout(s, 0.25, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* Everything in a report but the time. */
static void assert_same_report(const mtl_report *a, const mtl_report *b)
{
    ck_assert_int_eq(mtl_report_count(a), mtl_report_count(b));
    for (int64_t i = 0; i < mtl_report_count(a); i++) {
        const char *name = mtl_report_name(a, i);
        ck_assert_str_eq(mtl_report_name(b, i), name);
        if (mtl_report_type(a, name) == MTL_TYPE_STR) {
            ck_assert_str_eq(text_of(a, name), text_of(b, name));
        } else if (strcmp(name, "seconds") != 0) {
            const double *x, *y;
            int64_t n, m;
            done(mtl_report_get_series(a, name, &n, &x, err));
            done(mtl_report_get_series(b, name, &m, &y, err));
            ck_assert_msg(n == m, "%s has %lld and %lld values", name, (long long)n, (long long)m);
            ck_assert_msg(memcmp(x, y, (size_t)n * sizeof *x) == 0, "%s differs", name);
        }
    }
}

/* A run that goes through. */
static mtl_model *straight(const fixture *f, const char *text, mtl_report **report)
{
    mtl_model *m = new_model();
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, f->data, f->judged, o, report, err));
    mtl_options_destroy(o);
    return m;
}

static mtl_trainer *begin(const fixture *f, mtl_model *m, const char *text)
{
    mtl_trainer *t = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_trainer_create(m, f->data, f->judged, o, &t, err));
    mtl_options_destroy(o); /* the trainer has a copy */
    return t;
}

START_TEST(any_parts_are_a_fit)
{
    fixture f = make();
    uint64_t seed = 1;
    for (int r = 0; r < RUNS; r++)
        for (int way = 0; way < 3; way++) {
            mtl_report *want, *got;
            mtl_model *whole = straight(&f, runs[r], &want), *m = new_model();
            mtl_trainer *t = begin(&f, m, runs[r]);
            for (int32_t more = 1; more;)
                if (way == 2 && next_u32(&seed) % 2)
                    done(mtl_trainer_epoch(t, &more, err));
                else
                    done(mtl_trainer_step(t, way ? 1 + next_u32(&seed) % 5 : 1, &more, err));
            done(mtl_trainer_finish(t, &got, err));
            assert_same_model(whole, m);
            assert_same_report(want, got);
            mtl_trainer_destroy(t);
            mtl_report_destroy(want), mtl_report_destroy(got);
            mtl_model_destroy(whole), mtl_model_destroy(m);
        }
    release(&f);
}
END_TEST

/* Take a run to a step, write it, throw it away, take it up from the file. */
static void stop_at(const fixture *f, const char *text, int64_t step, const char *path,
                    const mtl_model *whole, const mtl_report *want)
{
    mtl_model *m = new_model(), *out = NULL;
    mtl_report *got = NULL;
    mtl_trainer *t = begin(f, m, text);
    done(mtl_trainer_step(t, step, NULL, err));
    done(mtl_trainer_checkpoint(t, path, err));
    mtl_trainer_destroy(t);
    mtl_model_destroy(m);
    done(mtl_resume(NULL, path, f->data, f->judged, NULL, &out, &got, err));
    assert_same_model(whole, out);
    assert_same_report(want, got);
    mtl_report_destroy(got);
    mtl_model_destroy(out);
}

START_TEST(stopped_at_every_step)
{
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    for (int r = 0; r < RUNS; r++) {
        mtl_report *want;
        mtl_model *whole = straight(&f, runs[r], &want);
        for (int64_t step = 0; step <= (int64_t)figure(want, "steps"); step++)
            stop_at(&f, runs[r], step, file.path, whole, want);
        mtl_report_destroy(want);
        mtl_model_destroy(whole);
    }
    unlink(file.path);
    release(&f);
}
END_TEST

START_TEST(stopped_at_random_in_a_longer_run)
{
    static const char text[] = "epochs=40 batch_size=5 seed=9 patience=33 average=ema:decay=0.9 "
                               "optimizer=adamw schedule=cosine clip_value=0.2";
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    uint64_t seed = 77;
    mtl_report *want;
    mtl_model *whole = straight(&f, text, &want);
    int64_t steps = (int64_t)figure(want, "steps");
    ck_assert_int_gt(steps, 200);
    for (int i = 0; i < 100; i++)
        stop_at(&f, text, next_u32(&seed) % (steps + 1), file.path, whole, want);
    mtl_report_destroy(want);
    mtl_model_destroy(whole);
    unlink(file.path);
    release(&f);
}
END_TEST

static int32_t give_rows(int64_t first, int64_t rows, float *x, void *user)
{
    const problem *p = user;
    memcpy(x, p->x + first * PROBLEM_INPUTS, (size_t)(rows * PROBLEM_INPUTS) * sizeof *x);
    return MTL_CONTINUE;
}

/* Rows come on request, in windows that are smaller than the data. */
START_TEST(stopped_in_streamed_data)
{
    static const char text[] = "epochs=3 batch_size=6 seed=2";
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    mtl_dataset *memory = f.data;
    mtl_report *want;
    done(mtl_dataset_create_stream(NULL, ROWS, PROBLEM_INPUTS, 10, give_rows, &f.train, &f.data,
                                   err));
    done(mtl_dataset_set_labels(f.data, "fails", 1, f.train.fails, 1, err));
    done(mtl_dataset_set_labels(f.data, "hours", 2, f.train.hours, 2, err));
    mtl_model *whole = straight(&f, text, &want);
    for (int64_t step = 0; step <= (int64_t)figure(want, "steps"); step++)
        stop_at(&f, text, step, file.path, whole, want);
    mtl_model *out = NULL;
    f.train.x[7] += 1; /* other rows behind the same callback are seen, too */
    refused(mtl_resume(NULL, file.path, f.data, f.judged, NULL, &out, NULL, err), MTL_ERR_DATA,
            "train: not the data set");
    mtl_report_destroy(want);
    mtl_model_destroy(whole);
    mtl_dataset_destroy(memory);
    unlink(file.path);
    release(&f);
}
END_TEST

/* The process is gone without a word, at every step of a short run. */
START_TEST(killed_at_every_step)
{
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    char text[512];
    mtl_report *want;
    mtl_model *whole = straight(&f, runs[2], &want);
    int64_t steps = (int64_t)figure(want, "steps");
    snprintf(text, sizeof text, "%s checkpoint=%s checkpoint_steps=1", runs[2], file.path);
    for (int64_t step = 1; step <= steps; step++) {
        pid_t child = fork();
        if (child == 0) {
            mtl_trainer *t = begin(&f, new_model(), text);
            mtl_trainer_step(t, step, NULL, NULL);
            kill(getpid(), SIGKILL);
        }
        int how;
        ck_assert_int_eq(waitpid(child, &how, 0), child);
        ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        mtl_model *out = NULL;
        mtl_report *got = NULL;
        done(mtl_resume(NULL, file.path, f.data, f.judged, NULL, &out, &got, err));
        assert_same_model(whole, out);
        assert_same_report(want, got);
        mtl_report_destroy(got);
        mtl_model_destroy(out);
    }
    mtl_report_destroy(want);
    mtl_model_destroy(whole);
    unlink(file.path);
    release(&f);
}
END_TEST

static int32_t cancel_at(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                         void *user)
{
    (void)step, (void)steps, (void)train, (void)valid;
    return epoch == *(int64_t *)user ? 0 : MTL_CONTINUE;
}

START_TEST(cancelled_and_taken_up)
{
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    char text[512];
    int64_t at = 2;
    mtl_report *want, *cut = NULL, *got = NULL;
    mtl_model *whole = straight(&f, runs[0], &want), *m = new_model(), *out = NULL;
    snprintf(text, sizeof text, "%s checkpoint=%s", runs[0], file.path);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_options_set_progress(o, cancel_at, &at, err));
    done(mtl_fit(m, f.data, f.judged, o, &cut, err));
    ck_assert_str_eq(text_of(cut, "reason"), "cancelled");
    ck_assert_double_eq(figure(cut, "epochs"), 2);
    done(mtl_resume(NULL, file.path, f.data, f.judged, NULL, &out, &got, err));
    assert_same_model(whole, out);
    assert_same_report(want, got);
    /* The file is a model as well. */
    mtl_model *loaded = NULL;
    done(mtl_model_load(NULL, file.path, &loaded, err));
    ck_assert_int_eq(mtl_model_tensor_count(loaded), mtl_model_tensor_count(out));
    assert_same_model(loaded, out); /* the end of the resumed run was written, too */
    mtl_model_destroy(loaded);
    mtl_options_destroy(o);
    mtl_report_destroy(want), mtl_report_destroy(cut), mtl_report_destroy(got);
    mtl_model_destroy(whole), mtl_model_destroy(m), mtl_model_destroy(out);
    unlink(file.path);
    release(&f);
}
END_TEST

START_TEST(what_resume_refuses)
{
    fixture f = make();
    problem other = problem_make(ROWS, 9, 20);
    mtl_dataset *data = problem_data(&other, NULL);
    temp_file file = temp_file_make("", 0);
    mtl_model *m = new_model(), *out = NULL;
    mtl_trainer *t = begin(&f, m, runs[0]);
    done(mtl_trainer_step(t, 3, NULL, err));
    done(mtl_trainer_checkpoint(t, file.path, err));
    refused(mtl_trainer_checkpoint(t, "/nowhere/at/all", err), MTL_ERR_IO, "at/all");
    mtl_trainer_destroy(t);
    refused(mtl_resume(NULL, file.path, data, f.judged, NULL, &out, NULL, err), MTL_ERR_DATA,
            "train: not the data set");
    refused(mtl_resume(NULL, file.path, f.data, NULL, NULL, &out, NULL, err), MTL_ERR_DATA,
            "valid: not the data set that the checkpoint was made with: there was one");
    refused(mtl_resume(NULL, "/nowhere", f.data, f.judged, NULL, &out, NULL, err), MTL_ERR_IO,
            "nowhere");
    refused(mtl_resume(NULL, NULL, f.data, f.judged, NULL, &out, NULL, err), MTL_ERR_INVALID,
            "path");
    done(mtl_model_save(m, file.path, err));
    refused(mtl_resume(NULL, file.path, f.data, f.judged, NULL, &out, NULL, err), MTL_ERR_FORMAT,
            "no checkpoint");
    ck_assert_ptr_null(out);
    mtl_model_destroy(m);
    mtl_dataset_destroy(data);
    problem_free(&other);
    unlink(file.path);
    release(&f);
}
END_TEST

/* Stopped right behind a step that threw the parameters away: what mtl_fit() would leave, and no
   file that nobody could read. */
START_TEST(a_run_stopped_where_it_went_astray)
{
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    mtl_model *m = new_model(), *loaded = NULL;
    char text[256];
    snprintf(
        text, sizeof text,
        "optimizer=sgd learning_rate=1e30 l2=1e30 batch_size=5 checkpoint=%s checkpoint_steps=1",
        file.path);
    mtl_trainer *t = begin(&f, m, text);
    done(mtl_trainer_checkpoint(t, file.path, err));
    done(mtl_trainer_step(t, 1, NULL, err)); /* the loss was finite before it */
    refused(mtl_trainer_checkpoint(t, file.path, err), MTL_ERR_DIVERGED, "no checkpoint");
    done(mtl_model_load(NULL, file.path, &loaded, err));
    mtl_model_destroy(loaded);
    done(mtl_trainer_finish(t, NULL, err));
    mtl_trainer_destroy(t);
    int64_t count;
    float *p = parameters(m, &count);
    for (int64_t i = 0; i < count; i++)
        ck_assert(isfinite(p[i]));
    free(p);
    mtl_model_destroy(m);
    unlink(file.path);
    release(&f);
}
END_TEST

/* Patience that runs out in the last epoch is the reason after resuming too. */
START_TEST(the_reason_of_a_run_that_is_over)
{
    fixture f = make();
    temp_file file = temp_file_make("", 0);
    mtl_model *m = new_model(), *out = NULL;
    mtl_report *want = NULL, *got = NULL;
    mtl_trainer *t = begin(&f, m, "epochs=2 patience=1 learning_rate=0");
    int32_t more = 1;
    while (more)
        done(mtl_trainer_step(t, 1, &more, err));
    done(mtl_trainer_checkpoint(t, file.path, err));
    done(mtl_trainer_finish(t, &want, err));
    mtl_trainer_destroy(t);
    ck_assert_str_eq(text_of(want, "reason"), "patience");
    ck_assert(figure(want, "epochs") == 2);
    done(mtl_resume(NULL, file.path, f.data, f.judged, NULL, &out, &got, err));
    ck_assert_str_eq(text_of(got, "reason"), "patience");
    mtl_report_destroy(want), mtl_report_destroy(got);
    mtl_model_destroy(m), mtl_model_destroy(out);
    unlink(file.path);
    release(&f);
}
END_TEST

START_TEST(a_checkpoint_that_cannot_be_written)
{
    fixture f = make();
    mtl_model *m = new_model();
    float before[1], after[1];
    done(mtl_model_tensor_get(m, "head.fails.bias", 1, before, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 checkpoint=/nowhere/at/all");
    refused(mtl_fit(m, f.data, f.judged, o, NULL, err), MTL_ERR_IO, "at/all");
    done(mtl_model_tensor_get(m, "head.fails.bias", 1, after, err)); /* what was reached stays */
    ck_assert_float_ne(before[0], after[0]);
    fit(m, f.data, "epochs=1");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

static int32_t my_loss(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                       const float *label, const float *weight, double *value, float *gradient,
                       void *user)
{
    (void)outputs, (void)label_cols, (void)weight, (void)user;
    *value = 0;
    for (int64_t i = 0; i < rows; i++) {
        *value += (double)fabsf(z[i] - label[i]);
        if (gradient)
            gradient[i] = z[i] > label[i] ? 1 : -1;
    }
    return MTL_CONTINUE;
}

START_TEST(a_loss_of_the_callers_own)
{
    fixture f = make();
    mtl_model *m = new_model();
    done(mtl_model_set_loss(m, "fails", my_loss, NULL, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 checkpoint=/nowhere/at/all");
    refused(mtl_fit(m, f.data, NULL, o, NULL, err), MTL_ERR_STATE, "\"fails\" has a loss");
    mtl_trainer *t = begin(&f, m, runs[0]);
    refused(mtl_trainer_checkpoint(t, "/nowhere/at/all", err), MTL_ERR_STATE, "\"fails\"");
    mtl_trainer_destroy(t);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    release(&f);
}
END_TEST

START_TEST(claims_and_ends)
{
    fixture f = make();
    mtl_model *m = new_model();
    mtl_trainer *t = begin(&f, m, runs[0]), *second = NULL;
    mtl_report *r = NULL;
    int32_t more = 0;
    double x;
    refused(mtl_fit(m, f.data, NULL, NULL, NULL, err), MTL_ERR_BUSY, "");
    refused(mtl_trainer_create(m, f.data, NULL, NULL, &second, err), MTL_ERR_BUSY, "");
    refused(mtl_trainer_step(t, -1, &more, err), MTL_ERR_RANGE, "-1");
    refused(mtl_trainer_metric(t, "speed", &x, err), MTL_ERR_NAME, "speed");
    done(mtl_trainer_step(t, 0, &more, err));
    ck_assert_int_eq(more, 1);
    done(mtl_trainer_metric(t, "step", &x, err));
    ck_assert_double_eq(x, 0);
    done(mtl_trainer_metric(t, "loss/valid", &x, err));
    ck_assert(isnan(x));
    done(mtl_trainer_step(t, 5, &more, err));
    done(mtl_trainer_metric(t, "steps", &x, err));
    ck_assert_double_eq(x, 16);
    done(mtl_trainer_metric(t, "loss/valid", &x, err));
    ck_assert_double_gt(x, 0);
    done(mtl_trainer_metric(t, "metric/accuracy/fails", &x, err));
    ck_assert(x >= 0 && x <= 1);
    static const char *const positive[] = {"loss/train", "learning_rate", "seconds",
                                           "rows_per_second", "seconds_left"};
    for (int i = 0; i < 5; i++) {
        done(mtl_trainer_metric(t, positive[i], &x, err));
        ck_assert_msg(x > 0, "%s is %g", positive[i], x);
    }
    done(mtl_trainer_finish(t, &r, err));
    ck_assert_str_eq(text_of(r, "reason"), "cancelled");
    refused(mtl_trainer_step(t, 1, &more, err), MTL_ERR_STATE, "finished");
    refused(mtl_trainer_finish(t, NULL, err), MTL_ERR_STATE, "finished");
    fit(m, f.data, "epochs=1"); /* the model is free again */
    mtl_trainer_destroy(t);
    mtl_trainer_destroy(NULL);
    mtl_report_destroy(r);

    t = begin(&f, m, runs[0]);
    done(mtl_trainer_step(t, 2, &more, err));
    mtl_model_destroy(m);
    refused(mtl_trainer_step(t, 1, &more, err), MTL_ERR_STATE, "model is gone");
    mtl_trainer_destroy(t);
    release(&f);
}
END_TEST

START_TEST(the_data_handles_may_go)
{
    fixture f = make();
    mtl_report *want, *got;
    mtl_model *whole = straight(&f, runs[0], &want), *m = new_model();
    mtl_dataset *data = NULL, *judged = NULL;
    mtl_trainer *t = NULL;
    done(mtl_dataset_copy(f.data, &data, err));
    done(mtl_dataset_copy(f.judged, &judged, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, runs[0]);
    done(mtl_trainer_create(m, data, judged, o, &t, err));
    mtl_dataset_destroy(data), mtl_dataset_destroy(judged), mtl_options_destroy(o);
    for (int32_t more = 1; more;)
        done(mtl_trainer_epoch(t, &more, err));
    done(mtl_trainer_finish(t, &got, err));
    assert_same_model(whole, m);
    assert_same_report(want, got);
    mtl_trainer_destroy(t);
    mtl_report_destroy(want), mtl_report_destroy(got);
    mtl_model_destroy(whole), mtl_model_destroy(m);
    release(&f);
}
END_TEST

#define STREAM "epochs=1 batch_size=11 shuffle=0 scale_inputs=0 scale_targets=0 optimizer=adamw"
/* Weightings go on with their state, too. */
static const char *const streams[] = {STREAM, STREAM " weighting=gradnorm:rate=0.3",
                                      STREAM " weighting=famo", STREAM " weighting=upgrad",
                                      STREAM " weighting=gradnorm weighting_scope=layer"};

/* But for dropout, whose stream has the call's number in its seed, both are the same run. */
static void check_stream(const fixture *f, const char *text)
{
    mtl_spec *s = problem_spec(NULL);
    mtl_model *a = NULL, *b = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_model_create(s, &a, err));
    done(mtl_model_create(s, &b, err));
    done(mtl_fit(a, f->data, NULL, o, NULL, err));
    for (int i = 0; i < 4; i++) {
        int64_t rows[11];
        mtl_dataset *part = NULL;
        for (int k = 0; k < 11; k++)
            rows[k] = 11 * i + k;
        done(mtl_dataset_subset(f->data, 11, rows, &part, err));
        done(mtl_partial_fit(b, part, o, NULL, err));
        mtl_dataset_destroy(part);
    }
    assert_same_model(a, b);
    mtl_options_destroy(o);
    mtl_spec_destroy(s);
    mtl_model_destroy(a), mtl_model_destroy(b);
}

START_TEST(a_stream_is_a_long_run)
{
    fixture f = make();
    mtl_model *whole = new_model(), *m = new_model();
    mtl_options *o = options(MTL_OPTIONS_FIT, STREAM);
    done(mtl_fit(whole, f.data, NULL, o, NULL, err));
    for (int i = 0; i < 4; i++) {
        int64_t rows[11];
        mtl_dataset *part = NULL;
        mtl_report *r = NULL;
        for (int k = 0; k < 11; k++)
            rows[k] = 11 * i + k;
        done(mtl_dataset_subset(f.data, 11, rows, &part, err));
        done(mtl_partial_fit(m, part, o, &r, err));
        ck_assert_double_eq(figure(r, "steps"), i + 1);
        mtl_report_destroy(r);
        mtl_dataset_destroy(part);
    }
    mtl_options_destroy(o);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        check_stream(&f, streams[i]);
    static const char *const bad[] = {"schedule=cosine", "average=ema", "checkpoint=/tmp/x",
                                      "validation_split=0.5"};
    for (int i = 0; i < 4; i++) {
        o = options(MTL_OPTIONS_FIT, bad[i]);
        refused(mtl_partial_fit(m, f.data, o, NULL, err), MTL_ERR_INVALID, "partial_fit");
        mtl_options_destroy(o);
    }
    mtl_model_destroy(whole), mtl_model_destroy(m);
    release(&f);
}
END_TEST

/* The first step with momentum is one without, as long as there was none. */
START_TEST(a_stream_may_take_up_momentum)
{
    static const char *const calls[2][2] = {{"rmsprop", "rmsprop"},
                                            {"rmsprop", "rmsprop:momentum=0.5"}};
    fixture f = make();
    mtl_model *m[2] = {new_model(), new_model()};
    for (int i = 0; i < 4; i++) {
        char text[96];
        snprintf(text, sizeof text, "batch_size=1000 optimizer=%s", calls[i / 2][i % 2]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        done(mtl_partial_fit(m[i / 2], f.data, o, NULL, err));
        mtl_options_destroy(o);
    }
    assert_same_model(m[0], m[1]);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    release(&f);
}
END_TEST

/* The order in which labels were set is nobody's; a task's labels under another name are other data. */
START_TEST(the_order_of_labels_does_not_matter)
{
    fixture f = make();
    const problem *p = &f.train;
    temp_file file = temp_file_make("", 0);
    mtl_report *want;
    mtl_model *whole = straight(&f, runs[0], &want), *m = new_model(), *out = NULL;
    mtl_dataset *turned = NULL, *renamed = NULL;
    mtl_trainer *t = begin(&f, m, runs[0]);
    for (int i = 0; i < 2; i++) {
        mtl_dataset *d = NULL;
        done(mtl_dataset_create(NULL, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
        done(mtl_dataset_set_labels(d, i ? "tags" : "hours", 2, p->hours, 2, err));
        done(mtl_dataset_set_labels(d, i ? "hours" : "tags", 2, p->tags, 2, err));
        done(mtl_dataset_set_labels(d, "grade", 1, p->grade, 1, err));
        done(mtl_dataset_set_labels(d, "fails", 1, p->fails, 1, err));
        *(i ? &renamed : &turned) = d;
    }
    done(mtl_trainer_step(t, 3, NULL, err));
    done(mtl_trainer_checkpoint(t, file.path, err));
    mtl_trainer_destroy(t);
    refused(mtl_resume(NULL, file.path, renamed, f.judged, NULL, &out, NULL, err), MTL_ERR_DATA,
            "train");
    done(mtl_resume(NULL, file.path, turned, f.judged, NULL, &out, NULL, err));
    assert_same_model(whole, out);
    mtl_report_destroy(want);
    mtl_model_destroy(whole), mtl_model_destroy(m), mtl_model_destroy(out);
    mtl_dataset_destroy(turned), mtl_dataset_destroy(renamed);
    unlink(file.path);
    release(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_trainer");
    add_case(s, "any parts of a run are a fit", any_parts_are_a_fit);
    add_case(s, "stopped at every step of short runs", stopped_at_every_step);
    add_case(s, "stopped at 200 points of a longer run", stopped_at_random_in_a_longer_run);
    add_case(s, "stopped in streamed data", stopped_in_streamed_data);
    add_case(s, "killed at every step", killed_at_every_step);
    add_case(s, "cancelled and taken up", cancelled_and_taken_up);
    add_case(s, "the order of labels does not matter", the_order_of_labels_does_not_matter);
    add_case(s, "what resume refuses", what_resume_refuses);
    add_case(s, "a run stopped where it went astray", a_run_stopped_where_it_went_astray);
    add_case(s, "the reason of a run that is over", the_reason_of_a_run_that_is_over);
    add_case(s, "a checkpoint that cannot be written", a_checkpoint_that_cannot_be_written);
    add_case(s, "a loss of the caller's own is not written", a_loss_of_the_callers_own);
    add_case(s, "claims and ends", claims_and_ends);
    add_case(s, "the handles of data may go", the_data_handles_may_go);
    add_case(s, "a stream is a long run", a_stream_is_a_long_run);
    add_case(s, "a stream may take up momentum", a_stream_may_take_up_momentum);
    return run_suite(s);
}
