/* SPDX-License-Identifier: MIT */
/* Columns that say which inputs are missing, inside the model. */
#include "api_testing.h"

enum { ROWS = 240, COLS = 3 };

/* Column 0 is missing at random, and that is the label; column 2 is missing now and then. */
static float x[ROWS * COLS], wide[ROWS * 2 * COLS], y[ROWS];

static void fill(void)
{
    uint64_t seed = 3;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            bool missing = j != 1 && next_u32(&seed) % (j ? 7 : 2) == 0;
            float v = next_unit(&seed);
            x[i * COLS + j] = missing ? NAN : v;
            wide[i * 2 * COLS + j] = missing ? 0 : v;
            wide[i * 2 * COLS + COLS + j] = missing;
            y[i] = j ? y[i] : missing;
        }
}

static mtl_dataset *data_of(const float *inputs, int64_t cols)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, inputs, ROWS, cols, cols, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    return d;
}

static mtl_model *model_of(mtl_context *ctx, int64_t inputs, int32_t on, int64_t categories)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, inputs, &s, err));
    done(mtl_spec_set_missing_indicators(s, on, err));
    if (categories)
        done(mtl_spec_add_embedding(s, 1, categories, 2, err));
    done(mtl_spec_add_dense(s, 5, "tanh", err));
    done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
    done(mtl_spec_set_linear_skip(s, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static void predict(const mtl_model *m, const float *inputs, int64_t cols, float *out)
{
    ck_assert_int_eq(mtl_model_inputs(m), cols);
    done(mtl_predict(m, ROWS, inputs, cols, out, 1, err));
}

START_TEST(they_are_what_columns_by_hand_are)
{
    float a[ROWS], b[ROWS];
    fill();
    mtl_dataset *narrow = data_of(x, COLS), *by_hand = data_of(wide, 2 * COLS);
    mtl_model *m = model_of(NULL, COLS, 1, 0), *n = model_of(NULL, 2 * COLS, 0, 0);
    fit(m, narrow, "epochs=3 scale_inputs=0");
    fit(n, by_hand, "epochs=3 scale_inputs=0");
    assert_same_model(m, n);
    predict(m, x, COLS, a);
    predict(n, wide, 2 * COLS, b);
    assert_same_bits(a, b, ROWS);
    mtl_model_destroy(m), mtl_model_destroy(n);
    mtl_dataset_destroy(narrow), mtl_dataset_destroy(by_hand);
}
END_TEST

static double accuracy(int32_t on)
{
    double value = 0;
    float out[ROWS];
    mtl_dataset *d = data_of(x, COLS);
    mtl_model *m = model_of(NULL, COLS, on, 0);
    fit(m, d, "epochs=100 learning_rate=0.02 l2=0.001");
    predict(m, x, COLS, out);
    done(mtl_metric("accuracy", ROWS, 1, out, 1, 1, y, 1, NULL, &value, NULL, err));
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    return value;
}

START_TEST(missingness_can_be_learned)
{
    fill();
    for (int i = 0; i < ROWS; i++) /* so that where it is says nothing */
        x[i * COLS] = isnan(x[i * COLS]) ? NAN : 0.5f;
    ck_assert(accuracy(1) > 0.99);
    ck_assert(accuracy(0) < 0.8);
}
END_TEST

static int32_t read_rows(int64_t first, int64_t rows, float *to, void *user)
{
    (void)user;
    memcpy(to, x + first * COLS, (size_t)(rows * COLS) * sizeof *to);
    return MTL_CONTINUE;
}

/* Saved, read, cloned, laid out for prediction, transferred, trained from a stream: one model. */
START_TEST(they_go_with_the_model)
{
    float a[ROWS], b[ROWS];
    void *file = NULL;
    char *text = NULL;
    int64_t bytes = 0;
    fill();
    for (int i = 0; i < ROWS; i++) /* a column of categories among them */
        x[i * COLS + 1] = (float)(i % 4);
    mtl_dataset *d = data_of(x, COLS), *stream = NULL, *target = data_of(x, COLS);
    mtl_model *m = model_of(NULL, COLS, 1, 4), *other = NULL;
    fit(m, d, "epochs=3 scaler=robust");
    predict(m, x, COLS, a);
    done(mtl_model_save_buffer(m, &file, &bytes, err));
    done(mtl_model_load_buffer(NULL, file, bytes, &other, err));
    predict(other, x, COLS, b);
    assert_same_bits(a, b, ROWS);
    mtl_model_destroy(other);
    done(mtl_model_clone(m, &other, err));
    predict(other, x, COLS, b);
    assert_same_bits(a, b, ROWS);
    mtl_model_destroy(other);
    mtl_predictor *p = NULL;
    done(mtl_predictor_create(m, 7, &p, err));
    done(mtl_predictor_run(p, ROWS, x, COLS, b, 1, err));
    assert_same_bits(a, b, ROWS);
    mtl_predictor_destroy(p);
    done(mtl_model_summary(m, &text, err));
    ck_assert(strstr(text, "missing indicators") && strstr(text, " 3 columns"));
    mtl_free(text), mtl_free(file);

    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=2");
    done(mtl_dataset_set_labels(target, "new", 1, y, 1, err));
    done(mtl_transfer(m, target, NULL, o, &other, NULL, err));
    ck_assert_int_eq(mtl_model_inputs(other), COLS);
    mtl_model_destroy(other);
    mtl_options_destroy(o);

    done(mtl_dataset_create_stream(NULL, ROWS, COLS, 0, read_rows, NULL, &stream, err));
    done(mtl_dataset_set_labels(stream, "y", 1, y, 1, err));
    mtl_model *n = model_of(NULL, COLS, 1, 4);
    other = model_of(NULL, COLS, 1, 4);
    fit(n, d, "epochs=2 validation_split=0.2");
    fit(other, stream, "epochs=2 validation_split=0.2");
    assert_same_model(n, other);
    mtl_model_destroy(m), mtl_model_destroy(n), mtl_model_destroy(other);
    mtl_dataset_destroy(d), mtl_dataset_destroy(stream), mtl_dataset_destroy(target);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    mtl_spec *s = NULL, *large = NULL;
    done(mtl_spec_create(NULL, COLS, &s, err));
    refused(mtl_spec_set_missing_indicators(NULL, 1, err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_set_missing_indicators(s, 2, err), MTL_ERR_RANGE, "not 2");
    done(mtl_spec_set_missing_indicators(s, 1, err));
    done(mtl_spec_add_dense(s, 2 * COLS, "relu", err));
    done(mtl_spec_add_residual(s, 1, err)); /* as wide as inputs and indicators */
    refused(mtl_spec_set_missing_indicators(s, 0, err), MTL_ERR_STATE, "before all layers");
    done(mtl_spec_create(NULL, 8388609, &large, err));
    refused(mtl_spec_set_missing_indicators(large, 1, err), MTL_ERR_RANGE, "8388609");
    mtl_spec_destroy(s), mtl_spec_destroy(large);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("indicators");
    add_case(s, "they are what columns by hand are", they_are_what_columns_by_hand_are);
    add_case(s, "missingness can be learned", missingness_can_be_learned);
    add_case(s, "they go with the model", they_go_with_the_model);
    add_case(s, "what makes no sense is refused", what_makes_no_sense_is_refused);
    return run_suite(s);
}
