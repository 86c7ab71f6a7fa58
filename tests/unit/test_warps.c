/* SPDX-License-Identifier: MIT */
/* Inputs scaled to what has a bound ("scaler" = robust_clip, quantile): their place in a model's life.
   tests/unit/test_scaler.c has their values. */
#include "saved.h"

enum { ROWS = 70 };
static const char *const kinds[] = {"robust_clip", "quantile"};

static void fit_by(mtl_model *m, const mtl_dataset *d, const char *kind, const char *more)
{
    char text[128];
    snprintf(text, sizeof text, "epochs=3 scaler=%s %s", kind, more);
    fit(m, d, text);
}

/* A problem with an outlier, a missing value, and a constant column. */
static problem rough(void)
{
    problem p = problem_make(ROWS, 11, 10);
    for (int r = 0; r < ROWS; r++)
        p.x[r * PROBLEM_INPUTS + 3] = 2.5f;
    p.x[0] = 1e6f;
    p.x[8] = NAN;
    return p;
}

START_TEST(they_go_with_the_model)
{
    problem p = rough();
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < 2; k++) {
        mtl_model *m = problem_model(NULL), *other = NULL;
        fit_by(m, d, kinds[k], "");
        const uint64_t want = predict_hash(m, &p);
        bytes file = saved(m);
        done(mtl_model_load_buffer(NULL, file.p, file.size, &other, err));
        ck_assert(predict_hash(other, &p) == want);
        bytes again = saved(other);
        ck_assert(again.size == file.size && !memcmp(again.p, file.p, (size_t)file.size));
        /* A fit goes on with what the first one found. */
        fit(m, d, "epochs=1 scaler=standard");
        fit_by(other, d, kinds[!k], "epochs=1");
        assert_same_model(m, other);
        ck_assert(predict_hash(other, &p) == predict_hash(m, &p));
        mtl_model_destroy(other);
        done(mtl_model_clone(m, &other, err));
        ck_assert(predict_hash(other, &p) == predict_hash(m, &p));
        mtl_predictor *run = NULL;
        float *a = floats(ROWS * PROBLEM_OUTPUTS), *b = floats(ROWS * PROBLEM_OUTPUTS);
        done(mtl_predictor_create(m, 7, &run, err));
        mtl_model_destroy(m);
        done(mtl_predictor_run(run, ROWS, p.x, PROBLEM_INPUTS, a, PROBLEM_OUTPUTS, err));
        done(mtl_predict(other, ROWS, p.x, PROBLEM_INPUTS, b, PROBLEM_OUTPUTS, err));
        ck_assert(memcmp(a, b, (size_t)(ROWS * PROBLEM_OUTPUTS) * sizeof *a) == 0);
        mtl_predictor_destroy(run);
        mtl_model_destroy(other);
        free(a), free(b), free(file.p), free(again.p);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* Far away, or in a column that was constant, nothing blows up. */
START_TEST(what_is_far_stays_near)
{
    problem p = rough();
    mtl_dataset *d = problem_data(&p, NULL);
    for (int k = 0; k < 2; k++) {
        mtl_model *m = problem_model(NULL);
        float x[4 * PROBLEM_INPUTS], out[4 * PROBLEM_OUTPUTS];
        fit_by(m, d, kinds[k], "");
        for (int i = 0; i < 4; i++)
            memcpy(x + i * PROBLEM_INPUTS, p.x + 5 * PROBLEM_INPUTS, PROBLEM_INPUTS * sizeof *x);
        x[1 * PROBLEM_INPUTS + 3] = 1e30f;
        x[2 * PROBLEM_INPUTS + 3] = NAN;
        x[3 * PROBLEM_INPUTS + 4] = 1e30f;
        done(mtl_predict(m, 4, x, PROBLEM_INPUTS, out, PROBLEM_OUTPUTS, err));
        for (int j = 0; j < PROBLEM_OUTPUTS; j++) {
            ck_assert(out[PROBLEM_OUTPUTS + j] == out[j] && out[2 * PROBLEM_OUTPUTS + j] == out[j]);
            ck_assert(fabsf(out[3 * PROBLEM_OUTPUTS + j]) < 1000);
        }
        ck_assert(memcmp(out, out + 3 * PROBLEM_OUTPUTS, sizeof out / 4) != 0);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

static uint64_t fit_in(const problem *p, const char *kind, const char *context_text)
{
    mtl_context *ctx = context(context_text);
    mtl_dataset *d = problem_data(p, ctx);
    mtl_model *m = problem_model(ctx);
    fit_by(m, d, kind, "validation_split=0.3 patience=2 validation=random");
    const uint64_t hash = predict_hash(m, p) ^ model_hash(m);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    return hash;
}

START_TEST(same_bits_everywhere)
{
    static const char *const places[] = {"threads=2 cpu=avx2", "threads=2 cpu=avx512", "cpu=auto"};
    problem p = rough();
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++)
            ck_assert(fit_in(&p, kinds[k], places[i]) == fit_in(&p, kinds[k], "threads=1 cpu=c"));
    problem_free(&p);
}
END_TEST

/* Beside missing indicators and a column of categories, which they leave alone. */
START_TEST(other_columns_stay)
{
    problem p = rough();
    for (int r = 0; r < ROWS; r++)
        p.x[r * PROBLEM_INPUTS + 1] = (float)(r % 3);
    for (int k = 0; k < 2; k++) {
        mtl_dataset *d = problem_data(&p, NULL);
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        float x[2 * PROBLEM_INPUTS], out[2];
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        done(mtl_spec_set_missing_indicators(s, 1, err));
        done(mtl_spec_add_embedding(s, 1, 3, 1, err));
        done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
        done(mtl_model_create(s, &m, err));
        /* Only the category's row of the table and an indicator have a weight. */
        float table[4] = {0, 1, 3, 8}, head[2 * PROBLEM_INPUTS] = {0};
        head[2 * PROBLEM_INPUTS - 1] = 1;
        head[PROBLEM_INPUTS - 1 + 2] = 100;
        done(mtl_model_tensor_set(m, "trunk.0.weight", 4, table, err));
        done(mtl_model_tensor_set(m, "head.fails.weight", 2 * PROBLEM_INPUTS, head, err));
        fit_by(m, d, kinds[k], "learning_rate=0");
        memcpy(x, p.x + 9 * PROBLEM_INPUTS, sizeof x / 2);
        memcpy(x + PROBLEM_INPUTS, x, sizeof x / 2);
        x[1] = 1;
        x[PROBLEM_INPUTS + 1] = 2;
        x[PROBLEM_INPUTS + 2] = NAN;
        done(mtl_predict(m, 2, x, PROBLEM_INPUTS, out, 1, err));
        ck_assert_msg(fabsf(out[0] - 1 / (1 + expf(-3))) < 1e-6f, "%g", (double)out[0]);
        ck_assert(out[1] == 1);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
        mtl_dataset_destroy(d);
    }
    problem_free(&p);
}
END_TEST

START_TEST(sparse_inputs_are_refused)
{
    problem p = rough();
    const int64_t indptr[] = {0, 1, 2};
    const int32_t indices[] = {0, 1};
    const float values[] = {1, 2}, label[] = {0, 1};
    float out[2 * PROBLEM_OUTPUTS];
    mtl_dataset *d = problem_data(&p, NULL), *sparse = NULL;
    done(mtl_dataset_create_csr(NULL, 2, PROBLEM_INPUTS, indptr, indices, values, &sparse, err));
    done(mtl_dataset_set_labels(sparse, "fails", 1, label, 1, err));
    for (int k = 0; k < 2; k++) {
        char text[64];
        mtl_model *m = problem_model(NULL);
        snprintf(text, sizeof text, "epochs=1 scaler=%s", kinds[k]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        const uint64_t before = model_hash(m);
        refused(mtl_fit(m, sparse, NULL, o, NULL, err), MTL_ERR_STATE, "max_abs");
        refused(mtl_fit(m, d, sparse, o, NULL, err), MTL_ERR_STATE, "valid: sparse");
        ck_assert(model_hash(m) == before);
        done(mtl_fit(m, d, NULL, o, NULL, err));
        refused(mtl_predict_csr(m, 2, indptr, indices, values, out, PROBLEM_OUTPUTS, err),
                MTL_ERR_STATE, "moves 0");
        mtl_options_destroy(o);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d), mtl_dataset_destroy(sparse);
    problem_free(&p);
}
END_TEST

/* In models of members, with judge, and in transfers. */
START_TEST(they_go_with_other_calls)
{
    problem p = rough();
    mtl_dataset *d = problem_data(&p, NULL), *target = problem_data(&p, NULL);
    done(mtl_dataset_set_labels(target, "new", 1, p.hours, 2, err));
    mtl_model *m[3] = {NULL}, *both = NULL, *read = NULL, *moved = NULL;
    for (int k = 0; k < 3; k++) {
        m[k] = problem_model(NULL);
        fit_by(m[k], d, k < 2 ? kinds[k] : "standard", "");
    }
    done(mtl_model_create_average((const mtl_model *const *)m, 3, NULL, &both, err));
    bytes file = saved(both);
    done(mtl_model_load_buffer(NULL, file.p, file.size, &read, err));
    ck_assert(predict_hash(read, &p) == predict_hash(both, &p));
    static const char *const strategies[] = {"scratch", "fine_tune", "lp_ft"};
    for (int k = 0; k < 3 * 2; k++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s epochs=2", strategies[k / 2]);
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
        done(mtl_transfer(m[k % 2], target, NULL, o, &moved, NULL, err));
        bytes b = saved(moved);
        ck_assert_ptr_nonnull(memmem(b.p, (size_t)b.size, "pipeline.input.warp", 19));
        free(b.p);
        mtl_model_destroy(moved);
        mtl_options_destroy(o);
    }
    mtl_model *judged = problem_model(NULL);
    fit_by(judged, d, "quantile", "judge=1 judge_folds=2");
    for (int k = 0; k < 3; k++)
        mtl_model_destroy(m[k]);
    mtl_model_destroy(both), mtl_model_destroy(read), mtl_model_destroy(judged);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    free(file.p);
    problem_free(&p);
}
END_TEST

START_TEST(forged_files)
{
    problem p = rough();
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_model *m = problem_model(NULL);
    fit_by(m, d, "quantile", "");
    bytes file = saved(m);
    static const struct {
        const char *from, *to;
    } change[] = {
        {"\"pipeline.input.warp\":{\"dtype\":\"F32\",\"shape\":[6,10]",
         "\"pipeline.input.warp\":{\"dtype\":\"F32\",\"shape\":[10,6]"},
        {"\"pipeline.input.warp\":{\"dtype\":\"F32\",\"shape\":[6,10]",
         "\"pipeline.input.warp\":{\"dtype\":\"F32\",\"shape\":[60]"},
        {"pipeline.input.warp", "pipeline.input.wrap"},
    };
    for (int i = 0; i < MTL__COUNT_OF(change); i++) {
        bytes bad = changed(&file, change[i].from, change[i].to);
        ck_assert_int_eq(load_status(bad.p, bad.size), MTL_ERR_FORMAT);
        free(bad.p);
    }
    /* Knots that do not ascend, or are no numbers: the first column's, whose values lie in -2 .. 2 but
       for the last, 1e6. */
    const float last = 1e6f;
    char *at = memmem(file.p, (size_t)file.size, &last, 4);
    ck_assert_ptr_nonnull(at);
    static const float bad[] = {NAN, INFINITY, 3e6f};
    for (int i = 0; i < 3; i++) {
        memcpy(at - 8, &bad[i], 4);
        repair(&file);
        ck_assert_int_eq(load_status(file.p, file.size), MTL_ERR_FORMAT);
    }
    free(file.p);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("warps");
    add_case(s, "they go with the model", they_go_with_the_model);
    add_case(s, "what is far stays near", what_is_far_stays_near);
    add_case(s, "same bits everywhere", same_bits_everywhere);
    add_case(s, "other columns stay", other_columns_stay);
    add_case(s, "sparse inputs are refused", sparse_inputs_are_refused);
    add_case(s, "they go with other calls", they_go_with_other_calls);
    add_case(s, "forged files", forged_files);
    return run_suite(s);
}
