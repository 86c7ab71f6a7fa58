/* SPDX-License-Identifier: MIT */
/* Inputs that are read on request: from a callback, from a file, larger than memory. */
#include "api_testing.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- A callback over a problem's inputs ---- */

typedef struct reader {
    const float *x;
    int64_t rows, calls, fail_from; /* fail_from: number of the call, 0 = never */
    int times[4096];                /* that a row was read */
} reader;

static int32_t read_rows(int64_t first, int64_t rows, float *x, void *user)
{
    reader *r = user;
    ck_assert(first >= 0 && rows >= 1 && first + rows <= r->rows);
    if (++r->calls >= r->fail_from && r->fail_from)
        return 0;
    memcpy(x, r->x + first * PROBLEM_INPUTS, (size_t)(rows * PROBLEM_INPUTS) * sizeof *x);
    for (int64_t i = first; i < first + rows; i++)
        r->times[i]++;
    return MTL_CONTINUE;
}

static mtl_dataset *streamed(const problem *p, mtl_context *ctx, reader *r, int64_t window)
{
    mtl_dataset *d = NULL;
    *r = (reader){.x = p->x, .rows = p->rows};
    done(mtl_dataset_create_stream(ctx, p->rows, PROBLEM_INPUTS, window, read_rows, r, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, p->fails, 1, err));
    done(mtl_dataset_set_labels(d, "grade", 1, p->grade, 1, err));
    done(mtl_dataset_set_labels(d, "tags", 2, p->tags, 2, err));
    done(mtl_dataset_set_labels(d, "hours", 2, p->hours, 2, err));
    return d;
}

static uint64_t fit_hash(const problem *p, mtl_context *ctx, const mtl_dataset *d, const char *text)
{
    mtl_model *m = problem_model(ctx);
    fit(m, d, text);
    uint64_t hash = model_hash(m) ^ predict_hash(m, p);
    mtl_model_destroy(m);
    return hash;
}

START_TEST(one_window_gives_the_bits_of_memory)
{
    static const char *const texts[] = {"epochs=3 seed=2", "epochs=2 shuffle=0 batch_size=7",
                                        "epochs=3 validation_split=0.3 patience=2",
                                        "epochs=2 train_metrics=1 scale_inputs=0"};
    problem p = problem_make(700, 3, 10);
    p.x[5] = NAN;
    reader r;
    mtl_dataset *memory = problem_data(&p, NULL), *stream = streamed(&p, NULL, &r, 0);
    for (int k = 0; k < 4; k++)
        ck_assert(fit_hash(&p, NULL, memory, texts[k]) == fit_hash(&p, NULL, stream, texts[k]));
    mtl_dataset_destroy(memory), mtl_dataset_destroy(stream);
    problem_free(&p);
}
END_TEST

/* In the order of the file windows make no difference at all, wherever they end in a batch. */
START_TEST(windows_do_not_matter_without_shuffling)
{
    problem p = problem_make(2100, 3, 10);
    reader r;
    mtl_dataset *memory = problem_data(&p, NULL);
    uint64_t expected = fit_hash(&p, NULL, memory, "epochs=2 shuffle=0 validation_split=0.3");
    for (int64_t window = 1; window < 2000; window += 640) {
        mtl_dataset *stream = streamed(&p, NULL, &r, window);
        ck_assert(fit_hash(&p, NULL, stream, "epochs=2 shuffle=0 validation_split=0.3") ==
                  expected);
        mtl_dataset_destroy(stream);
    }
    mtl_dataset_destroy(memory);
    problem_free(&p);
}
END_TEST

START_TEST(every_epoch_reads_every_row_once_at_most)
{
    problem p = problem_make(2100, 3, 10);
    reader r;
    mtl_dataset *d = streamed(&p, NULL, &r, 600);
    uint64_t hash = 0;
    for (int threads = 1; threads < 4; threads += 2) {
        mtl_context *ctx = context(threads == 1 ? "threads=1" : "threads=3");
        memset(r.times, 0, sizeof r.times);
        uint64_t found = fit_hash(&p, ctx, d, "epochs=5 batch_size=50");
        for (int i = 0; i < 2100; i++)
            /* To check, for mean and deviation, and five times; a window that is still there when
               the next epoch begins with it is not read again. */
            ck_assert(r.times[i] <= 5 + 3 && r.times[i] > 3);
        ck_assert(threads == 1 || found == hash);
        hash = found;
        mtl_context_destroy(ctx);
    }
    ck_assert(hash != fit_hash(&p, NULL, d, "epochs=5 batch_size=50 seed=1"));
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(evaluate_and_transfer_read_streams_too)
{
    problem p = problem_make(1500, 4, 10);
    reader r, q;
    mtl_dataset *memory = problem_data(&p, NULL), *stream = streamed(&p, NULL, &r, 0);
    mtl_dataset *target = NULL, *known = streamed(&p, NULL, &q, 0);
    mtl_model *m = problem_model(NULL), *a = NULL, *b = NULL;
    mtl_report *x = NULL, *y = NULL;
    fit(m, memory, "epochs=1");
    done(mtl_evaluate(m, memory, NULL, &x, err));
    done(mtl_evaluate(m, stream, NULL, &y, err));
    ck_assert(figure(x, "loss") == figure(y, "loss"));
    ck_assert(figure(x, "metric/roc_auc/fails") == figure(y, "metric/roc_auc/fails"));
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=fine_tune epochs=2");
    done(mtl_dataset_subset(memory, 20, (int64_t[20]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    done(mtl_transfer(m, target, memory, o, &a, NULL, err));
    done(mtl_transfer(m, target, known, o, &b, NULL, err));
    assert_same_model(a, b);
    mtl_options_destroy(o);
    mtl_report_destroy(x), mtl_report_destroy(y);
    mtl_model_destroy(m), mtl_model_destroy(a), mtl_model_destroy(b);
    mtl_dataset_destroy(memory), mtl_dataset_destroy(stream);
    mtl_dataset_destroy(target), mtl_dataset_destroy(known);
    problem_free(&p);
}
END_TEST

/* Whatever call fails: the model is as it was, or as the last finished epoch left it. */
/* Other inputs are other data, and so are windows that would bring rows in another order. */
START_TEST(a_checkpoint_knows_its_stream)
{
    problem p = problem_make(700, 3, 10), q = problem_make(700, 4, 10);
    reader r, a, b;
    temp_file file = temp_file_make("", 0);
    mtl_dataset *d = streamed(&p, NULL, &r, 300), *wide = streamed(&p, NULL, &a, 400);
    mtl_dataset *other = streamed(&p, NULL, &b, 300);
    b.x = q.x;
    mtl_model *m = problem_model(NULL), *out = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=100");
    mtl_trainer *t = NULL;
    done(mtl_trainer_create(m, d, NULL, o, &t, err));
    done(mtl_trainer_step(t, 11, NULL, err));
    r.fail_from = 1;
    refused(mtl_trainer_checkpoint(t, file.path, err), MTL_ERR_IO, "could not be read");
    r.fail_from = 0;
    done(mtl_trainer_checkpoint(t, file.path, err));
    done(mtl_trainer_step(t, 100, NULL, err));
    done(mtl_trainer_finish(t, NULL, err));
    mtl_trainer_destroy(t);
    refused(mtl_resume(NULL, file.path, other, NULL, NULL, &out, NULL, err), MTL_ERR_DATA,
            "not the data set");
    refused(mtl_resume(NULL, file.path, wide, NULL, NULL, &out, NULL, err), MTL_ERR_DATA,
            "not the data set");
    ck_assert_ptr_null(out);
    done(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err));
    assert_same_model(m, out);
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(out);
    mtl_dataset_destroy(d), mtl_dataset_destroy(wide), mtl_dataset_destroy(other);
    unlink(file.path);
    problem_free(&p), problem_free(&q);
}
END_TEST

START_TEST(a_failure_to_read_ends_the_fit)
{
    problem p = problem_make(2100, 3, 10);
    reader r;
    const char *text = "epochs=2 validation_split=0.3";
    mtl_dataset *d = streamed(&p, NULL, &r, 1024);
    mtl_options *o = options(MTL_OPTIONS_FIT, text),
                *one = options(MTL_OPTIONS_FIT, "epochs=1 validation_split=0.3");
    mtl_model *fresh = problem_model(NULL), *after = problem_model(NULL);
    done(mtl_fit(after, d, NULL, one, NULL, err));
    uint64_t states[2] = {model_hash(fresh), model_hash(after)};
    int64_t failures = 0;
    bool got_through = false, seen[2] = {false};
    for (int64_t n = 1; !got_through; n++) {
        mtl_model *m = problem_model(NULL);
        mtl_error *e = mtl_error_create();
        r.calls = 0;
        r.fail_from = n;
        mtl_status st = mtl_fit(m, d, NULL, o, NULL, e);
        got_through = st == MTL_OK;
        if (!got_through) {
            ck_assert_int_eq(st, MTL_ERR_IO);
            ck_assert_ptr_nonnull(strstr(mtl_error_message(e), "could not be read"));
            uint64_t hash = model_hash(m);
            ck_assert(hash == states[0] || hash == states[1]);
            seen[hash == states[1]] = true;
            failures++;
            r.fail_from = 0;
            done(mtl_fit(m, d, NULL, o, NULL, err)); /* a later call may succeed */
        }
        mtl_error_destroy(e);
        mtl_model_destroy(m);
    }
    ck_assert(failures >= 8 && seen[0] && seen[1]);
    mtl_report *report = NULL;
    r.calls = 0;
    r.fail_from = 2;
    refused(mtl_evaluate(after, d, NULL, &report, err), MTL_ERR_IO, "rows 0 .. 1023");
    mtl_options_destroy(o), mtl_options_destroy(one);
    mtl_model_destroy(fresh), mtl_model_destroy(after);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(what_needs_memory_is_refused)
{
    problem p = problem_make(50, 3, 0);
    reader r;
    float x[6];
    mtl_dataset *d = streamed(&p, NULL, &r, 0), *a = NULL, *b = NULL;
    mtl_model *m = problem_model(NULL);
    static const char *const texts[] = {"scaler=robust", "scaler=quantile", "sampling=balanced",
                                        "validation=random validation_split=0.5"};
    for (int k = 0; k < 4; k++) {
        mtl_options *o = options(MTL_OPTIONS_FIT, texts[k]);
        refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_STATE, "not in memory");
        mtl_options_destroy(o);
    }
    refused(mtl_dataset_copy(d, &a, err), MTL_ERR_STATE, "copy");
    refused(mtl_dataset_split(d, 0.5, 0, &a, &b, err), MTL_ERR_STATE, "subset");
    refused(mtl_dataset_kfold(d, 2, 0, 0, &a, &b, err), MTL_ERR_STATE, "subset");
    refused(mtl_dataset_get_inputs(d, 0, 1, x, 6, err), MTL_ERR_STATE, "get_inputs");
    refused(mtl_dataset_add_rows(d, "fails", 1, x, 6, 1, x, 1, err), MTL_ERR_STATE, "add_rows");
    refused(mtl_dataset_create_stream(NULL, 1, 0, 0, read_rows, &r, &a, err), MTL_ERR_SHAPE,
            "0 input");
    refused(mtl_dataset_create_stream(NULL, -1, 1, 0, read_rows, &r, &a, err), MTL_ERR_SHAPE, "-1");
    refused(mtl_dataset_create_stream(NULL, 1, 1, -1, read_rows, &r, &a, err), MTL_ERR_RANGE, "-1");
    refused(mtl_dataset_create_stream(NULL, 1, 1, 0, NULL, &r, &a, err), MTL_ERR_INVALID, "read");
    ck_assert(!a && !b);
    p.x[6 * 33 + 2] = INFINITY;
    refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_VALUE, "row 33, column 2");
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- Files ---- */

static temp_file npy(const char *type, bool fortran, int64_t rows, int64_t cols, const void *data,
                     size_t size)
{
    char header[129];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    int n = snprintf(header + 10, 110, "{'descr': '%s', 'fortran_order': %s, 'shape': (%d, %d), }",
                     type, fortran ? "True" : "False", (int)rows, (int)cols);
    header[10 + n] = ' ';
    header[127] = '\n';
    char *all = malloc(128 + size);
    memcpy(all, header, 128);
    memcpy(all + 128, data, size);
    temp_file f = temp_file_make(all, 128 + size);
    free(all);
    return f;
}

START_TEST(a_file_is_read_as_it_is_loaded)
{
    enum { ROWS = 1300, COLS = 7 };
    double *x = calloc(ROWS * COLS, sizeof *x);
    float y[ROWS], out[3][4];
    uint64_t seed = 5;
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = next_unit(&seed);
    for (int i = 0; i < ROWS; i++)
        y[i] = x[i * COLS] > 0;
    temp_file f = npy("<f8", false, ROWS, COLS, x, ROWS * COLS * sizeof *x);
    mtl_dataset *data[3] = {NULL};
    done(mtl_dataset_load_npy(NULL, f.path, &data[0], err));
    done(mtl_dataset_open_npy(NULL, f.path, 0, &data[1], err));
    done(mtl_dataset_open_npy(NULL, f.path, 1, &data[2], err));
    for (int k = 0; k < 3; k++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        mtl_report *r = NULL;
        ck_assert(mtl_dataset_rows(data[k]) == ROWS && mtl_dataset_inputs(data[k]) == COLS);
        done(mtl_dataset_set_labels(data[k], "y", 1, y, 1, err));
        done(mtl_spec_create(NULL, COLS, &s, err));
        done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
        done(mtl_model_create(s, &m, err));
        fit(m, data[k], "epochs=2 shuffle=0");
        float probe[4 * COLS];
        for (int i = 0; i < 4 * COLS; i++)
            probe[i] = (float)x[i];
        done(mtl_predict(m, 4, probe, COLS, out[k], 1, err));
        ck_assert(k == 0 || memcmp(out[k], out[0], sizeof out[0]) == 0);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
    /* cut off behind its beginning while it is open: a failure to read, no crash */
    ck_assert_int_eq(truncate(f.path, 5000), 0);
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, COLS, &s, err));
    done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    refused(mtl_fit(m, data[1], NULL, NULL, NULL, err), MTL_ERR_IO, "could not be read");
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    for (int k = 0; k < 3; k++)
        mtl_dataset_destroy(data[k]);
    unlink(f.path);
    free(x);
}
END_TEST

START_TEST(bad_files_are_refused)
{
    const float x[] = {1, 2, 3, 4};
    mtl_dataset *d = NULL;
    temp_file good = npy("<f4", false, 2, 2, x, sizeof x),
              turned = npy("<f4", true, 2, 2, x, sizeof x);
    temp_file cut = npy("<f4", false, 2, 2, x, sizeof x - 1), none = temp_file_make("x", 1);
    refused(mtl_dataset_open_npy(NULL, turned.path, 0, &d, err), MTL_ERR_FORMAT, "Fortran");
    refused(mtl_dataset_open_npy(NULL, cut.path, 0, &d, err), MTL_ERR_FORMAT, "15 bytes");
    refused(mtl_dataset_open_npy(NULL, none.path, 0, &d, err), MTL_ERR_FORMAT, "not a .npy");
    refused(mtl_dataset_open_npy(NULL, "/nowhere/x.npy", 0, &d, err), MTL_ERR_IO, "x.npy");
    refused(mtl_dataset_open_npy(NULL, "/tmp", 0, &d, err), MTL_ERR_IO, "regular");
    refused(mtl_dataset_open_npy(NULL, good.path, -1, &d, err), MTL_ERR_RANGE, "window");
    ck_assert_ptr_null(d);
    unlink(good.path), unlink(turned.path), unlink(cut.path), unlink(none.path);
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
#define LIMITED 0 /* the shadow memory does not fit into a limit */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMITED 0
#endif
#endif
#ifndef LIMITED
#define LIMITED 1
#endif

/* 256 MB of inputs under a limit of 128 MB for all of the process. Column 0 says the label. */
START_TEST(a_file_larger_than_memory_trains)
{
    enum { ROWS = 1 << 16, COLS = 1 << 10 };
    static float row[COLS], y[ROWS];
    uint64_t seed = 1;
    temp_file f = npy("<f4", false, ROWS, COLS, row, 0);
    FILE *file = fopen(f.path, "ab");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < ROWS; i++) {
        row[0] = next_unit(&seed);
        y[i] = row[0] > 0;
        ck_assert_uint_eq(fwrite(row, sizeof row, 1, file), 1);
    }
    fclose(file);
    struct stat st;
    ck_assert_int_eq(stat(f.path, &st), 0);
    struct rlimit limit = {128 << 20, 128 << 20};
    ck_assert(st.st_size > 2 * (off_t)limit.rlim_cur - 4096);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);

    mtl_context *ctx = context("threads=1");
    mtl_dataset *d = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    refused(mtl_dataset_load_npy(ctx, f.path, &d, err), MTL_ERR_NOMEM, "memory");
    done(mtl_dataset_open_npy(ctx, f.path, 2048, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    done(mtl_spec_create(ctx, COLS, &s, err));
    done(mtl_spec_add_dense(s, 8, "relu", err));
    done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 batch_size=128 learning_rate=0.01 "
                                              "validation_split=0.02");
    done(mtl_fit(m, d, NULL, o, &r, err));
    ck_assert(figure(r, "metric/accuracy/y") > 0.95);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    unlink(f.path);
}
END_TEST

typedef struct attempt {
    mtl_context *ctx;
    problem p;
    temp_file f;
    mtl_model *m;
} attempt;

static mtl_status try_all(void *arg)
{
    const attempt *a = arg;
    reader r = {.x = a->p.x, .rows = a->p.rows};
    mtl_dataset *d = NULL, *e = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 validation_split=0.3");
    mtl_status st =
        mtl_dataset_create_stream(a->ctx, a->p.rows, PROBLEM_INPUTS, 0, read_rows, &r, &d, NULL);
    if (st == MTL_OK)
        st = mtl_dataset_set_labels(d, "fails", 1, a->p.fails, 1, NULL);
    if (st == MTL_OK)
        st = mtl_fit(a->m, d, NULL, o, NULL, NULL);
    if (st == MTL_OK)
        st = mtl_dataset_open_npy(a->ctx, a->f.path, 0, &e, NULL);
    mtl_dataset_destroy(d), mtl_dataset_destroy(e);
    mtl_options_destroy(o);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    const float x[] = {1, 2, 3, 4};
    test_memory t = {0};
    attempt a = {.ctx = counted_context(&t, "threads=1"), .p = problem_make(60, 3, 0)};
    a.f = npy("<f4", false, 2, 2, x, sizeof x);
    a.m = problem_model(a.ctx);
    ck_assert_int_ge(sweep_allocations(&t, try_all, &a), 20);
    mtl_model_destroy(a.m);
    mtl_context_destroy(a.ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
    unlink(a.f.path);
    problem_free(&a.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    add_case(s, "one window gives the bits of memory", one_window_gives_the_bits_of_memory);
    add_case(s, "windows do not matter without shuffling", windows_do_not_matter_without_shuffling);
    add_case(s, "every epoch reads every row once at most",
             every_epoch_reads_every_row_once_at_most);
    add_case(s, "evaluate and transfer read streams too", evaluate_and_transfer_read_streams_too);
    add_case(s, "a checkpoint knows its stream", a_checkpoint_knows_its_stream);
    add_case(s, "a failure to read ends the fit", a_failure_to_read_ends_the_fit);
    add_case(s, "what needs memory is refused", what_needs_memory_is_refused);
    add_case(s, "a file is read as it is loaded", a_file_is_read_as_it_is_loaded);
    add_case(s, "bad files are refused", bad_files_are_refused);
    if (LIMITED)
        add_case(s, "a file larger than memory trains", a_file_larger_than_memory_trains);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
