/* SPDX-License-Identifier: MIT */
/* Ensembles in one network: everything that takes a model or its rows, or refuses it. */
#include "api_testing.h"

#include <unistd.h>

#define FIT "epochs=3 batch_size=33 seed=5 "

static mtl_model *ensemble(mtl_context *ctx, int64_t members)
{
    mtl_spec *s = problem_spec(ctx);
    mtl_model *m = NULL;
    done(mtl_spec_set_ensemble(s, members, "tabm", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

START_TEST(predictions)
{
    static const int64_t blocks[] = {0, 1, 7, 500};
    enum { ROWS = 150 };
    problem p = problem_make(ROWS, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 40); /* blocks of the fewest rows */
    float all[ROWS * PROBLEM_OUTPUTS], out[ROWS * PROBLEM_OUTPUTS];
    fit(m, d, FIT);
    done(mtl_predict(m, ROWS, p.x, PROBLEM_INPUTS, all, PROBLEM_OUTPUTS, err));
    for (int i = 0; i < 4; i++) {
        mtl_predictor *q = NULL;
        done(mtl_predictor_create(m, blocks[i], &q, err));
        done(mtl_predictor_run(q, ROWS, p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
        assert_same_bits(all, out, ROWS * PROBLEM_OUTPUTS);
        mtl_predictor_destroy(q);
    }
    static const int64_t cols[] = {1, 2, 3, 2};
    for (int64_t t = 0, at = 0; t < 4; at += cols[t++]) {
        done(mtl_predict_task(m, t, ROWS, p.x, PROBLEM_INPUTS, out, cols[t], err));
        for (int64_t i = 0; i < ROWS; i++)
            assert_same_bits(all + i * PROBLEM_OUTPUTS + at, out + i * cols[t], cols[t]);
    }
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

START_TEST(calibrated)
{
    enum { ROWS = 150 };
    problem p = problem_make(ROWS, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 4);
    mtl_report *r = NULL;
    float out[ROWS * PROBLEM_OUTPUTS], lower[ROWS * 2], upper[ROWS * 2];
    double loss = 0, n = 0;
    fit(m, d, FIT);
    done(mtl_model_calibrate(m, d, NULL, &r, err));
    done(mtl_predict(m, ROWS, p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
    for (int64_t i = 0; i < ROWS; i++)
        if (!isnan(p.fails[i])) {
            const double of_one = (double)out[i * PROBLEM_OUTPUTS];
            loss -= log(p.fails[i] > 0 ? of_one : 1 - of_one);
            n++;
        }
    ck_assert_double_eq_tol(figure(r, "log_loss/after/fails"), loss / n, 1e-5);
    ck_assert_double_lt(figure(r, "log_loss/after/fails"), figure(r, "log_loss/before/fails"));
    done(mtl_predict_interval(m, 3, ROWS, p.x, PROBLEM_INPUTS, lower, upper, 2, err));
    for (int64_t i = 0; i < ROWS; i++) {
        const float value = out[i * PROBLEM_OUTPUTS + 6];
        ck_assert_float_eq_tol((lower[2 * i] + upper[2 * i]) / 2, value, 1e-3f);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* The mean of an ensemble in one network and of a plain network, also from a file. */
START_TEST(averages)
{
    enum { ROWS = 150 };
    problem p = problem_make(ROWS, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m[] = {ensemble(NULL, 5), problem_model(NULL)}, *both = NULL, *loaded = NULL;
    float out[4][ROWS * PROBLEM_OUTPUTS];
    void *buffer = NULL;
    int64_t bytes;
    for (int k = 0; k < 2; k++) {
        fit(m[k], d, FIT);
        done(mtl_predict(m[k], ROWS, p.x, PROBLEM_INPUTS, out[k], PROBLEM_OUTPUTS, err));
    }
    done(mtl_model_create_average((const mtl_model *const *)m, 2, NULL, &both, err));
    done(mtl_model_save_buffer(both, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &loaded, err));
    done(mtl_predict(both, ROWS, p.x, PROBLEM_INPUTS, out[2], PROBLEM_OUTPUTS, err));
    done(mtl_predict(loaded, ROWS, p.x, PROBLEM_INPUTS, out[3], PROBLEM_OUTPUTS, err));
    assert_same_bits(out[2], out[3], ROWS * PROBLEM_OUTPUTS);
    for (int64_t i = 0; i < ROWS * PROBLEM_OUTPUTS; i++)
        ck_assert_float_eq(out[2][i], (float)(0.5 * (double)out[0][i] + 0.5 * (double)out[1][i]));
    mtl_report *r = NULL;
    double rmse;
    done(mtl_evaluate(both, d, NULL, &r, err));
    done(mtl_metric("rmse", ROWS, 2, out[2] + 6, PROBLEM_OUTPUTS, 2, p.hours, 2, NULL, &rmse, NULL,
                    err));
    ck_assert_double_eq_tol(figure(r, "metric/rmse/hours"), rmse, 1e-5 * rmse);
    mtl_report_destroy(r);
    mtl_free(buffer);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    mtl_model_destroy(both), mtl_model_destroy(loaded);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* --- runs ---------------------------------------------------------------------------------------- */

START_TEST(taken_up_again)
{
    problem p = problem_make(100, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 4), *whole = NULL, *resumed = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, FIT);
    mtl_trainer *t = NULL;
    int32_t more;
    temp_file file = temp_file_make("", 0);
    done(mtl_model_clone(m, &whole, err));
    done(mtl_fit(whole, d, d, o, NULL, err));
    done(mtl_trainer_create(m, d, d, o, &t, err));
    done(mtl_trainer_step(t, 5, &more, err));
    done(mtl_trainer_checkpoint(t, file.path, err));
    mtl_trainer_destroy(t);
    done(mtl_resume(NULL, file.path, d, d, NULL, &resumed, NULL, err));
    assert_same_model(whole, resumed);
    mtl_model_destroy(m), mtl_model_destroy(whole), mtl_model_destroy(resumed);
    mtl_options_destroy(o);
    unlink(file.path);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

typedef struct reader {
    const float *x;
} reader;

static int32_t read_rows(int64_t first, int64_t rows, float *x, void *user)
{
    const reader *r = user;
    memcpy(x, r->x + first * PROBLEM_INPUTS, (size_t)(rows * PROBLEM_INPUTS) * sizeof *x);
    return MTL_CONTINUE;
}

/* Streamed rows, and passes of one call each over them. */
START_TEST(streams)
{
    problem p = problem_make(120, 3, 10);
    reader r = {p.x};
    mtl_dataset *memory = problem_data(&p, NULL), *stream = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 batch_size=33 seed=5");
    done(mtl_dataset_create_stream(NULL, p.rows, PROBLEM_INPUTS, 0, read_rows, &r, &stream, err));
    done(mtl_dataset_set_labels(stream, "fails", 1, p.fails, 1, err));
    done(mtl_dataset_set_labels(stream, "grade", 1, p.grade, 1, err));
    done(mtl_dataset_set_labels(stream, "tags", 2, p.tags, 2, err));
    done(mtl_dataset_set_labels(stream, "hours", 2, p.hours, 2, err));
    for (int passes = 0; passes < 2; passes++) {
        mtl_model *m[] = {ensemble(NULL, 4), ensemble(NULL, 4)}, *before = NULL;
        done(mtl_model_clone(m[0], &before, err));
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 1 + passes; i++)
                done(passes ? mtl_partial_fit(m[k], k ? stream : memory, o, NULL, err)
                            : mtl_fit(m[k], k ? stream : memory, NULL, o, NULL, err));
        assert_same_model(m[0], m[1]);
        ck_assert(tensor_bits_differ(m[0], before, "trunk.0.scale") > 0);
        mtl_model_destroy(m[0]), mtl_model_destroy(m[1]), mtl_model_destroy(before);
    }
    mtl_options_destroy(o);
    mtl_dataset_destroy(memory), mtl_dataset_destroy(stream);
    problem_free(&p);
}
END_TEST

/* The verdict trains the ensemble on all tasks and on each, and linear models beside. */
START_TEST(judged)
{
    problem p = problem_make(120, 3, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 3);
    mtl_options *o = options(MTL_OPTIONS_FIT, FIT "judge=1");
    mtl_report *r = NULL;
    float out[120 * PROBLEM_OUTPUTS];
    done(mtl_fit(m, d, NULL, o, &r, err));
    ck_assert(isfinite(figure(r, "judge/loss/shared/grade")));
    ck_assert(isfinite(figure(r, "judge/loss/single/grade")));
    ck_assert(isfinite(figure(r, "judge/loss/linear/grade")));
    done(mtl_predict(m, 120, p.x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
    for (int64_t i = 0; i < 120 * PROBLEM_OUTPUTS; i++)
        ck_assert(isfinite(out[i]));
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* --- transfer ------------------------------------------------------------------------------------ */

static mtl_dataset *new_task(const problem *p, const char *kind)
{
    mtl_dataset *d = NULL;
    const bool is_class = strcmp(kind, "class") == 0;
    done(mtl_dataset_create(NULL, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "new", 1, is_class ? p->grade : p->hours, is_class ? 1 : 2, err));
    return d;
}

/* Auto has the strategies of steps to choose from, with simulations and without. */
START_TEST(moved)
{
    problem p = problem_make(60, 3, 10), rest = problem_make(200, 4, 10);
    mtl_dataset *known = problem_data(&rest, NULL);
    mtl_model *m = ensemble(NULL, 3);
    fit(m, known, FIT);
    for (int i = 0; i < 4; i++) {
        mtl_dataset *target = new_task(&p, i % 2 ? "class" : "value");
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=4 folds=2 simulations=1 seed=2");
        mtl_model *tuned[2] = {NULL, NULL}, *before = NULL;
        mtl_report *r = NULL;
        done(mtl_model_clone(m, &before, err));
        done(mtl_transfer(m, target, i < 2 ? NULL : known, o, &tuned[0], &r, err));
        done(mtl_transfer(m, target, i < 2 ? NULL : known, o, &tuned[1], NULL, err));
        assert_same_model(tuned[0], tuned[1]);
        assert_same_model(m, before);
        const char *how = text_of(r, "strategy");
        ck_assert(strcmp(how, "fine_tune") == 0 || strcmp(how, "scratch") == 0);
        ck_assert(isfinite(figure(r, "candidate/fine_tune/mean")));
        ck_assert(isfinite(figure(r, "candidate/scratch/mean")));
        ck_assert_double_eq(figure(r, "candidate/scratch/score"), 0);
        ck_assert_int_eq(mtl_report_type(r, "candidate/linear/mean"), 0);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(tuned[0]), mtl_model_destroy(tuned[1]), mtl_model_destroy(before);
        mtl_dataset_destroy(target);
    }
    mtl_model_destroy(m);
    mtl_dataset_destroy(known);
    problem_free(&p), problem_free(&rest);
}
END_TEST

/* Of an average that has an ensemble as its leading member too. */
START_TEST(not_moved)
{
    static const char *const refused_ones[] = {"constant", "linear", "as_is",  "exact_probe",
                                               "shift",    "stacked", "tune", "replay"};
    problem p = problem_make(60, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL), *target = new_task(&p, "value");
    mtl_model *m = ensemble(NULL, 3), *plain = problem_model(NULL), *both = NULL, *out = NULL;
    const mtl_model *pair[] = {m, plain};
    const double weights[] = {0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1};
    fit(m, d, FIT);
    fit(plain, d, FIT);
    done(mtl_model_create_average(pair, 2, weights, &both, err));
    for (int i = 0; i < 16; i++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s", refused_ones[i / 2]);
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
        refused(mtl_transfer(i % 2 ? both : m, target, d, o, &out, NULL, err), MTL_ERR_STATE,
                "is not for an ensemble in one network");
        ck_assert_ptr_null(out);
        mtl_options_destroy(o);
    }
    mtl_model_destroy(m), mtl_model_destroy(plain), mtl_model_destroy(both);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    problem_free(&p);
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------------ */

START_TEST(sparse_inputs)
{
    static const int64_t start[] = {0, 1, 2};
    static const int32_t column[] = {0, 3};
    static const float value[] = {1, 1}, label[] = {0, 1};
    float out[2 * PROBLEM_OUTPUTS];
    problem p = problem_make(40, 3, 0);
    mtl_dataset *sparse = NULL, *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 3), *before = NULL;
    mtl_report *r = NULL;
    done(mtl_dataset_create_csr(NULL, 2, PROBLEM_INPUTS, start, column, value, &sparse, err));
    done(mtl_dataset_set_labels(sparse, "fails", 1, label, 1, err));
    fit(m, d, "epochs=1 scale_inputs=0");
    done(mtl_model_clone(m, &before, err));
    refused(mtl_fit(m, sparse, NULL, NULL, NULL, err), MTL_ERR_STATE, "factors on its inputs");
    refused(mtl_partial_fit(m, sparse, NULL, NULL, err), MTL_ERR_STATE, "factors on its inputs");
    refused(mtl_evaluate(m, sparse, NULL, &r, err), MTL_ERR_STATE, "factors on its inputs");
    refused(mtl_predict_csr(m, 2, start, column, value, out, PROBLEM_OUTPUTS, err), MTL_ERR_STATE,
            "factors on its inputs");
    assert_same_model(m, before);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(sparse), mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* All weightings but the sum, in every call that trains, and what compares tasks' gradients. */
START_TEST(weightings)
{
    static const char *const kinds[] = {"pcgrad", "mgda"};
    problem p = problem_make(40, 3, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = ensemble(NULL, 3), *before = NULL;
    mtl_trainer *t = NULL;
    mtl_report *r = NULL;
    done(mtl_model_clone(m, &before, err));
    refused(mtl_task_affinity(m, d, NULL, &r, err), MTL_ERR_STATE, "an ensemble in one network");
    ck_assert_ptr_null(r);
    assert_same_model(m, before);
    for (int i = 0; i < 2; i++) {
        char text[64];
        snprintf(text, sizeof text, "weighting=%s", kinds[i]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "weighting \"sum\" alone");
        refused(mtl_partial_fit(m, d, o, NULL, err), MTL_ERR_INVALID, "weighting \"sum\" alone");
        refused(mtl_trainer_create(m, d, NULL, o, &t, err), MTL_ERR_INVALID,
                "weighting \"sum\" alone");
        mtl_options_destroy(o);
        assert_same_model(m, before);
    }
    fit(m, d, "epochs=1 weighting=sum");
    fit(before, d, "epochs=1");
    assert_same_model(m, before);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ensemble_uses");
    add_case(s, "every way to predict, the same bits", predictions);
    add_case(s, "calibrated", calibrated);
    add_case(s, "averages with other models", averages);
    add_case(s, "a run taken up again", taken_up_again);
    add_case(s, "streams", streams);
    add_case(s, "judged", judged);
    add_case(s, "moved to new tasks", moved);
    add_case(s, "not moved with exact heads", not_moved);
    add_case(s, "no sparse inputs", sparse_inputs);
    add_case(s, "no weighting but the sum", weightings);
    return run_suite(s);
}
