/* SPDX-License-Identifier: MIT */
/* Embeddings, norms, residuals, curves, own layers and the linear skip in one net against PyTorch
   (tests/golden/make_torch_layers.py, float64): predictions, parameters and running statistics after
   1, 2 and 10 Adam steps, batch norm trained and frozen. */
#include "same_model.h"

/* max |ours - theirs| / max |theirs| for each tensor; float32 sums and ten steps keep 3e-6. */
#define BOUND 2e-5

enum { ROWS = 21, INPUTS = 6, TASKS = 3, OUTPUTS = 6 };

static const struct {
    const char *name;
    int32_t kind;
    int64_t outputs, cols;
} tasks[TASKS] = {
    {"fails", MTL_BINARY, 1, 1}, {"grade", MTL_MULTICLASS, 3, 1}, {"hours", MTL_REGRESSION, 2, 2}};

static mtl_spec *make_spec(void)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_add_embedding(s, 2, 4, 3, err));
    done(mtl_spec_add_embedding(s, 5, 3, 2, err));
    done(mtl_spec_add_dense(s, 8, "gelu", err));
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dense(s, 8, "silu", err));
    done(mtl_spec_add_residual(s, 2, err));
    done(mtl_spec_add_dense(s, 8, "tanh", err));
    done(mtl_spec_add_residual(s, 4, err));
    done(mtl_spec_add_norm(s, "batch:momentum=0.2", err));
    done(mtl_spec_add_norm(s, "layer:eps=1e-3", err));
    done(mtl_spec_add_dense(s, 6, "elu:alpha=1.5", err));
    for (int t = 0; t < TASKS; t++)
        done(mtl_spec_add_task(s, tasks[t].name, tasks[t].kind, tasks[t].outputs, err));
    done(mtl_spec_task_set_str(s, "grade", "head", "5:leaky_relu:slope=0.2", err));
    done(mtl_spec_set_linear_skip(s, 1, err));
    return s;
}

static mtl_model *make_model(void)
{
    mtl_spec *s = make_spec();
    mtl_model *m = NULL;
    golden start = golden_read("torch_layers/params_0.npy");
    done(mtl_model_create(s, &m, err));
    set_parameters(m, &start);
    golden_free(&start);
    mtl_spec_destroy(s);
    return m;
}

static golden read_variant(const char *variant, const char *what, int64_t steps)
{
    char file[128];
    snprintf(file, sizeof file, "torch_layers/%s_%s_%lld.npy", variant, what, (long long)steps);
    return golden_read(file);
}

static void compare_parameters(const mtl_model *m, const char *variant, int64_t steps)
{
    char what[64];
    golden g = read_variant(variant, "params", steps);
    snprintf(what, sizeof what, "%s, %lld steps", variant, (long long)steps);
    assert_parameters(m, &g, BOUND, what);
    golden_free(&g);
}

static void compare_outputs(const mtl_model *m, const float *x, const char *variant, int64_t steps)
{
    float out[ROWS * OUTPUTS], one[OUTPUTS], alone[OUTPUTS];
    golden g = read_variant(variant, "out", steps);
    mtl_predictor *p = NULL;
    done(mtl_predict(m, ROWS, x, INPUTS, out, OUTPUTS, err));
    double distance = golden_distance(g.count, out, g.d);
    ck_assert_msg(distance < BOUND, "%s, %lld steps: predictions off by %g", variant,
                  (long long)steps, distance);
    /* A row alone, by a predictor and by task has the same bits. */
    done(mtl_predictor_create(m, 1, &p, err));
    for (int64_t r = 0; r < ROWS; r++) {
        done(mtl_predictor_run(p, 1, x + r * INPUTS, INPUTS, one, OUTPUTS, err));
        ck_assert_mem_eq(one, out + r * OUTPUTS, sizeof one);
        int64_t column = 0;
        for (int t = 0; t < TASKS; t++) {
            done(mtl_predict_task(m, t, 1, x + r * INPUTS, INPUTS, alone, OUTPUTS, err));
            ck_assert_mem_eq(alone, one + column, (size_t)tasks[t].outputs * sizeof *one);
            column += tasks[t].outputs;
        }
    }
    mtl_predictor_destroy(p);
    golden_free(&g);
}

static void run(const char *variant, bool frozen)
{
    static const int64_t steps[] = {1, 2, 10};
    torch_data data = torch_data_make("torch_layers", ROWS, INPUTS);
    for (int i = 0; i < 3; i++) {
        char text[256];
        mtl_model *m = make_model();
        snprintf(text, sizeof text,
                 "epochs=%lld batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 "
                 "learning_rate=0.01 optimizer=adam:eps=1e-7",
                 (long long)steps[i]);
        compare_outputs(m, data.x.f, variant, 0);
        if (frozen)
            done(mtl_model_freeze(m, "trunk.6", 1, err));
        fit(m, data.d, text);
        compare_parameters(m, variant, steps[i]);
        if (steps[i] == 10)
            compare_outputs(m, data.x.f, variant, 10);
        mtl_model_destroy(m);
    }
    torch_data_free(&data);
}

START_TEST(trained)
{
    run("trained", false);
}
END_TEST

START_TEST(frozen_batch_norm)
{
    run("frozen", true);
}
END_TEST

START_TEST(files_and_copies)
{
    golden x = golden_read("torch_layers/x.npy");
    float want[ROWS * OUTPUTS], got[ROWS * OUTPUTS];
    mtl_model *m = make_model(), *copy[2];
    done(mtl_predict(m, ROWS, x.f, INPUTS, want, OUTPUTS, err));
    read_and_clone(m, copy);
    for (int i = 0; i < 2; i++) {
        done(mtl_predict(copy[i], ROWS, x.f, INPUTS, got, OUTPUTS, err));
        ck_assert_mem_eq(got, want, sizeof got);
        mtl_model_destroy(copy[i]);
    }
    mtl_model_destroy(m);
    golden_free(&x);
}
END_TEST

START_TEST(refusals)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    refused(mtl_spec_add_residual(s, 1, err), MTL_ERR_RANGE, "1 .. 0 layers");
    refused(mtl_spec_add_embedding(s, 3, 4, 2, err), MTL_ERR_RANGE, "column must be in 0 .. 2, not 3");
    refused(mtl_spec_add_embedding(s, -1, 4, 2, err), MTL_ERR_RANGE, "not -1");
    refused(mtl_spec_add_embedding(s, 1, 0, 2, err), MTL_ERR_RANGE, "categories must be in 1");
    refused(mtl_spec_add_embedding(s, 1, 4, 0, err), MTL_ERR_RANGE, "units must be in 1");
    done(mtl_spec_add_embedding(s, 1, 4, 2, err));
    refused(mtl_spec_add_embedding(s, 1, 4, 2, err), MTL_ERR_STATE, "column 1 has an embedding");
    done(mtl_spec_add_dense(s, 5, "relu", err));
    refused(mtl_spec_add_embedding(s, 0, 4, 2, err), MTL_ERR_STATE, "before all other layers");
    refused(mtl_spec_add_residual(s, 1, err), MTL_ERR_SHAPE, "adds 4 columns to 5");
    refused(mtl_spec_add_residual(s, 3, err), MTL_ERR_RANGE, "1 .. 2 layers");
    refused(mtl_spec_add_norm(s, "group", err), MTL_ERR_RANGE, "group");
    refused(mtl_spec_add_norm(s, "layer:eps=0", err), MTL_ERR_RANGE, "eps");
    refused(mtl_spec_add_norm(s, "layer:momentum=0.1", err), MTL_ERR_RANGE, "momentum");
    refused(mtl_spec_add_norm(s, NULL, err), MTL_ERR_INVALID, "kind");
    refused(mtl_spec_set_linear_skip(s, 2, err), MTL_ERR_RANGE, "0 or 1");
    refused(mtl_spec_add_dense(s, 5, "elu:alpha=-1", err), MTL_ERR_RANGE, "alpha");
    refused(mtl_spec_add_dense(s, 5, "gelu:alpha=1", err), MTL_ERR_RANGE, "alpha");
    mtl_spec_destroy(s);
}
END_TEST

/* The scaler leaves category numbers alone, and missing ones are the unknown category. */
START_TEST(categories_are_not_scaled)
{
    enum { N = 60 };
    float x[N * 2], y[N], out[3], row[2] = {0, NAN};
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    for (int i = 0; i < N; i++) {
        x[2 * i] = (float)(i % 7);
        x[2 * i + 1] = (float)(i % 3);
        y[i] = (float)(i % 3 == 1 ? 5 : -5);
    }
    done(mtl_spec_create(NULL, 2, &s, err));
    done(mtl_spec_add_embedding(s, 1, 3, 4, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(NULL, x, N, 2, 2, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    fit(m, d, "epochs=200 learning_rate=0.02 batch_size=20");
    for (int c = 0; c < 3; c++) {
        row[1] = (float)c;
        done(mtl_predict(m, 1, row, 2, &out[c], 1, err));
    }
    ck_assert_float_gt(out[1], 4);
    ck_assert_float_lt(out[0], -4);
    ck_assert_float_lt(out[2], -4);
    float unknown, far;
    row[1] = NAN;
    done(mtl_predict(m, 1, row, 2, &unknown, 1, err));
    row[1] = 3;
    done(mtl_predict(m, 1, row, 2, &far, 1, err));
    ck_assert_float_eq(unknown, far);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* Orthonormal columns where there are fewer of them, else rows. */
START_TEST(orthogonal_weights)
{
    static const int64_t shapes[][2] = {{9, 4}, {4, 9}, {6, 6}, {1, 5}};
    for (int i = 0; i < 4; i++) {
        int64_t in = shapes[i][0], out = shapes[i][1], few = in < out ? in : out;
        float w[64];
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        done(mtl_spec_create(NULL, in, &s, err));
        done(mtl_spec_set_initializer(s, "orthogonal", err));
        done(mtl_spec_add_dense(s, out, "relu", err));
        done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
        done(mtl_model_create(s, &m, err));
        done(mtl_model_tensor_get(m, "trunk.0.weight", in * out, w, err));
        for (int64_t a = 0; a < few; a++)
            for (int64_t b = 0; b <= a; b++) {
                double dot = 0;
                for (int64_t k = 0; k < (in < out ? out : in); k++)
                    dot += in < out ? (double)w[a * out + k] * (double)w[b * out + k]
                                    : (double)w[k * out + a] * (double)w[k * out + b];
                ck_assert_double_eq_tol(dot, a == b, 1e-6);
            }
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden_layers");
    add_case(s, "every kind of layer is PyTorch's", trained);
    add_case(s, "frozen batch norm behaves as in evaluation", frozen_batch_norm);
    add_case(s, "files and copies hold every kind of layer", files_and_copies);
    add_case(s, "what layers refuse", refusals);
    add_case(s, "category numbers are not scaled", categories_are_not_scaled);
    add_case(s, "orthogonal weights are", orthogonal_weights);
    return run_suite(s);
}
