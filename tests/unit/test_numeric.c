/* SPDX-License-Identifier: MIT */
/* Numeric embeddings: against PyTorch (tests/golden/make_torch_numeric.py, float64) after 1, 2 and 10
   steps of plain descent, against difference quotients, in files, copies, predictors and ensembles. */
#include "same_model.h"

/* max |ours - theirs| / max |theirs| for each tensor. */
#define BOUND 1e-5

enum { ROWS = 23, INPUTS = 6, OUTPUTS = 2, KINDS = 5 };

static const struct {
    const char *name, *text;
} kinds[KINDS] = {
    {"cosine", "cosine:size=5"},
    {"plr", "plr:size=5,frequencies=7"},
    {"lite", "plr:size=5,frequencies=7,lite=1"},
    {"pbld", "pbld:frequencies=6"},
    {"ple", "ple:bins=5,size=4"},
};

static const int64_t columns[] = {4, 1, 2}; /* in any order */

static mtl_spec *make_spec(mtl_context *ctx, const char *kind)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    done(mtl_spec_add_embedding(s, 3, 4, 2, err));
    done(mtl_spec_add_numeric_embedding(s, kind, 3, columns, err));
    done(mtl_spec_add_dense(s, 7, "tanh", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    return s;
}

static mtl_model *make_model(mtl_context *ctx, const char *kind)
{
    mtl_spec *s = make_spec(ctx, kind);
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static golden read_file(const char *kind, const char *what)
{
    char file[128];
    snprintf(file, sizeof file, "torch_numeric/%s%s.npy", kind, what);
    return golden_read(file);
}

static mtl_model *golden_model(int k)
{
    mtl_model *m = make_model(NULL, kinds[k].text);
    golden start = read_file(kinds[k].name, "_params_0");
    set_parameters(m, &start);
    golden_free(&start);
    return m;
}

static mtl_dataset *golden_data(const golden *x, const golden *y)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, x->f, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", OUTPUTS, y->f, OUTPUTS, err));
    return d;
}

static void compare(const mtl_model *m, int k, int64_t steps)
{
    char what[32], text[64];
    snprintf(what, sizeof what, "_params_%lld", (long long)steps);
    snprintf(text, sizeof text, "%s%s", kinds[k].name, what);
    golden g = read_file(kinds[k].name, what);
    assert_parameters(m, &g, BOUND, text);
    golden_free(&g);
}

START_TEST(every_kind_is_pytorchs)
{
    static const int64_t steps[] = {1, 2, 10};
    golden x = read_file("", "x"), y = read_file("", "y");
    mtl_dataset *data = golden_data(&x, &y);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < 3; i++) {
            char text[256];
            float out[ROWS * OUTPUTS];
            mtl_model *m = golden_model(k);
            snprintf(text, sizeof text,
                     "epochs=%lld batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 "
                     "learning_rate=0.05 optimizer=sgd",
                     (long long)steps[i]);
            fit(m, data, text);
            compare(m, k, steps[i]);
            golden g = read_file(kinds[k].name, "_out");
            done(mtl_predict(m, ROWS, x.f, INPUTS, out, OUTPUTS, err));
            if (steps[i] == 10)
                ck_assert_double_lt(golden_distance(g.count, out, g.d), BOUND);
            golden_free(&g);
            mtl_model_destroy(m);
        }
    mtl_dataset_destroy(data);
    golden_free(&x), golden_free(&y);
}
END_TEST

static double loss_of(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    double loss;
    done(mtl_evaluate(m, d, NULL, &r, err));
    done(mtl_report_get_f64(r, "loss", &loss, err));
    mtl_report_destroy(r);
    return loss;
}

/* The edges that a fit gives. */
static void set_edges(mtl_model *m)
{
    golden g = read_file("ple", "_params_1");
    const char *name;
    int64_t at = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        int64_t n = tensor_size(m, i, &name);
        if (strcmp(name, "trunk.1.edges") == 0)
            done(mtl_model_tensor_set(m, name, n, g.f + at, err));
        at += n;
    }
    golden_free(&g);
}

/* Units of plr far on one side of 0 or on the other. */
static void set_sides(mtl_model *m)
{
    float bias[15];
    const char *name;
    for (int i = 0; i < 15; i++)
        bias[i] = i % 2 ? 6 : -6;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        int64_t n = tensor_size(m, i, &name);
        if (strcmp(name, "trunk.1.bias") == 0)
            done(mtl_model_tensor_set(m, name, n, bias, err));
    }
}

/* One step of descent at rate 1 is the gradient. */
static void check_tensor(int k, const mtl_dataset *data, const char *name, int64_t n)
{
    const float h = 5e-3f;
    float *w = floats(n), *after = floats(n), *quotient = floats(n), *gradient = floats(n);
    double largest = 1e-3;
    mtl_model *m = golden_model(k);
    if (strncmp(kinds[k].text, "plr", 3) == 0) /* no unit changes sides within h */
        set_sides(m);
    if (strcmp(kinds[k].name, "ple") == 0)
        set_edges(m);
    done(mtl_model_tensor_get(m, name, n, w, err));
    for (int64_t i = 0; i < n; i++) {
        const float was = w[i];
        double loss[2];
        for (int side = 0; side < 2; side++) {
            w[i] = side ? was + h : was - h;
            done(mtl_model_tensor_set(m, name, n, w, err));
            loss[side] = loss_of(m, data);
        }
        quotient[i] = (float)((loss[1] - loss[0]) / (double)((was + h) - (was - h)));
        w[i] = was;
    }
    done(mtl_model_tensor_set(m, name, n, w, err));
    fit(m, data, "epochs=1 batch_size=64 scale_inputs=0 scale_targets=0 learning_rate=1 optimizer=sgd");
    done(mtl_model_tensor_get(m, name, n, after, err));
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = w[i] - after[i];
        largest = fmax(largest, fabs((double)gradient[i]));
    }
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs((double)(gradient[i] - quotient[i])) < 5e-3 * largest,
                      "%s, %s[%lld]: %g instead of %g", kinds[k].name, name, (long long)i,
                      (double)gradient[i], (double)quotient[i]);
    free(w), free(after), free(quotient), free(gradient);
    mtl_model_destroy(m);
}

START_TEST(gradients_are_difference_quotients)
{
    golden x = read_file("", "x"), y = read_file("", "y");
    mtl_dataset *data = golden_data(&x, &y);
    for (int k = 0; k < KINDS; k++) {
        mtl_model *m = golden_model(k);
        for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
            const char *name;
            int64_t n = tensor_size(m, i, &name);
            const bool is_state = strcmp(name, "trunk.1.edges") == 0;
            if (!is_state && (strncmp(name, "trunk.0", 7) == 0 || strncmp(name, "trunk.1", 7) == 0))
                check_tensor(k, data, name, n);
        }
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(data);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* What a residual hands to an embedding's input is added to what comes through the embedding. */
START_TEST(residual_over_an_embedding)
{
    enum { N = 8 };
    static const float x[2 * N] = {0, 0, 1, 2, 2, 1, 0, 1, 1, 1, 2, 2, 0, 2, 1, 0};
    static const float y[N] = {1, -1, 0.5f, 2, 0, 1, -2, 0.25f};
    const char how[] = "epochs=1 batch_size=64 scale_inputs=0 scale_targets=0 learning_rate=1 optimizer=sgd";
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    float w[4], after[4], v;
    done(mtl_spec_create(NULL, 2, &s, err));
    done(mtl_spec_add_embedding(s, 0, 3, 1, err));
    done(mtl_spec_add_embedding(s, 1, 3, 1, err));
    done(mtl_spec_add_residual(s, 1, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(NULL, x, N, 2, 2, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    done(mtl_model_tensor_get(m, "trunk.0.weight", 4, w, err));
    double quotient[4];
    for (int i = 0; i < 4; i++) {
        double loss[2];
        for (int side = 0; side < 2; side++) {
            v = w[i];
            w[i] += side ? 0.01f : -0.01f;
            done(mtl_model_tensor_set(m, "trunk.0.weight", 4, w, err));
            loss[side] = loss_of(m, d);
            w[i] = v;
        }
        quotient[i] = (loss[1] - loss[0]) / 0.02;
    }
    done(mtl_model_tensor_set(m, "trunk.0.weight", 4, w, err));
    fit(m, d, how);
    done(mtl_model_tensor_get(m, "trunk.0.weight", 4, after, err));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol((double)(w[i] - after[i]), quotient[i], 1e-3);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

static void same_predictions(const mtl_model *m, const float *x, const float *want)
{
    float got[ROWS * OUTPUTS];
    done(mtl_predict(m, ROWS, x, INPUTS, got, OUTPUTS, err));
    ck_assert_mem_eq(got, want, sizeof got);
}

START_TEST(files_copies_and_predictors)
{
    golden x = read_file("", "x");
    for (int k = 0; k < KINDS; k++) {
        float want[ROWS * OUTPUTS], row[OUTPUTS];
        mtl_model *m = golden_model(k), *copy[2];
        mtl_predictor *p = NULL;
        done(mtl_predict(m, ROWS, x.f, INPUTS, want, OUTPUTS, err));
        read_and_clone(m, copy);
        done(mtl_predictor_create(m, 1, &p, err));
        assert_summary(m, " of 3 columns -> ");
        mtl_model_destroy(m); /* a predictor needs it no more */
        for (int64_t r = 0; r < ROWS; r++) {
            done(mtl_predictor_run(p, 1, x.f + r * INPUTS, INPUTS, row, OUTPUTS, err));
            ck_assert_mem_eq(row, want + r * OUTPUTS, sizeof row);
        }
        for (int i = 0; i < 2; i++) {
            same_predictions(copy[i], x.f, want);
            mtl_model_destroy(copy[i]);
        }
        mtl_predictor_destroy(p);
    }
    golden_free(&x);
}
END_TEST

/* A file whose columns are not what they must be is malformed. */
START_TEST(files_with_other_columns)
{
    static const char *const lists[] = {"[1,2,6]", "[1,2,2]", "[1,2,3]", "[1,2,a]", "[]     ", "[1,2,-]"};
    mtl_model *m = make_model(NULL, "cosine:size=5"), *copy = NULL;
    void *buffer = NULL;
    int64_t length;
    done(mtl_model_save_buffer(m, &buffer, &length, err));
    char *at = NULL;
    for (int64_t i = 0; i + 7 < length && !at; i++)
        if (memcmp((char *)buffer + i, "[1,2,4]", 7) == 0)
            at = (char *)buffer + i;
    ck_assert_ptr_nonnull(at);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        memcpy(at, lists[i], 7);
        ck_assert_int_ne(mtl_model_load_buffer(NULL, buffer, length, &copy, NULL), MTL_OK);
    }
    mtl_free(buffer);
    mtl_model_destroy(m);
}
END_TEST

/* What an embedding of two columns must be worth: the target is periodic in one of them. */
static void periodic(float *x, float *y, int64_t rows, uint64_t seed)
{
    for (int64_t r = 0; r < rows; r++) {
        x[2 * r] = next_unit(&seed);
        x[2 * r + 1] = next_unit(&seed);
        y[r] = (float)sin(9 * (double)x[2 * r]) + 0.5f * x[2 * r + 1];
    }
}

static double error_of(const char *kind, int64_t members)
{
    enum { N = 300 };
    float x[2 * N], y[N], test[2 * N], want[N], out[N];
    double error = 0;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    periodic(x, y, N, 1);
    periodic(test, want, N, 2);
    done(mtl_spec_create(NULL, 2, &s, err));
    if (kind)
        done(mtl_spec_add_numeric_embedding(s, kind, 0, NULL, err));
    done(mtl_spec_add_dense(s, 16, "relu", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    if (members > 1)
        done(mtl_spec_set_ensemble(s, members, "tabm", err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(NULL, x, N, 2, 2, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    fit(m, d, "epochs=60 learning_rate=0.01 batch_size=32");
    done(mtl_predict(m, N, test, 2, out, 1, err));
    for (int i = 0; i < N; i++)
        error += pow((double)(out[i] - want[i]), 2) / N;
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    return error;
}

START_TEST(what_is_periodic_is_learned)
{
    const double without = error_of(NULL, 1);
    ck_assert_double_lt(error_of("cosine:scale=0.5", 1), 0.3 * without);
    ck_assert_double_lt(error_of("plr:scale=0.5,frequencies=16,size=8", 1), 0.3 * without);
    ck_assert_double_lt(error_of("plr:scale=0.5,frequencies=16,size=8,lite=1", 1), 0.3 * without);
    ck_assert_double_lt(error_of("pbld:scale=0.5,size=6", 1), 0.3 * without);
    ck_assert_double_lt(error_of("ple:bins=16", 1), 0.3 * without);
    ck_assert_double_lt(error_of("ple:bins=16", 4), 0.3 * without);
    ck_assert_double_lt(error_of("cosine:scale=0.5", 4), 0.3 * without);
}
END_TEST

/* First values of the tensors, by their distributions. */
START_TEST(first_values)
{
    enum { COLS = 60 };
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    float f[COLS * 48], w[COLS * 96 * 24];
    double sum = 0, furthest = 0;
    done(mtl_spec_create(NULL, COLS, &s, err));
    done(mtl_spec_add_numeric_embedding(s, "plr:scale=0.5", 0, NULL, err));
    done(mtl_spec_add_task(s, "y", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_model_tensor_get(m, "trunk.0.frequency", COLS * 48, f, err));
    for (int i = 0; i < COLS * 48; i++) {
        sum += (double)f[i] * (double)f[i] / (COLS * 48);
        furthest = fmax(furthest, fabs((double)f[i]));
    }
    ck_assert_double_eq_tol(sqrt(sum), 0.493, 0.02);
    ck_assert_double_le(furthest, 1.5);
    ck_assert_double_gt(furthest, 1.3);
    done(mtl_model_tensor_get(m, "trunk.0.weight", COLS * 96 * 24, w, err));
    furthest = 0;
    for (int i = 0; i < COLS * 96 * 24; i++)
        furthest = fmax(furthest, fabs((double)w[i]));
    ck_assert_double_le(furthest, 1 / sqrt(96) + 1e-6);
    ck_assert_double_gt(furthest, 0.99 / sqrt(96));
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* Edges are the quantiles of what the scaler gives, whichever it is; a column of one value has none, and
   fits after the first leave them alone. The map starts as a linear one. */
START_TEST(bins)
{
    enum { N = 101, BINS = 4 };
    static const char *const scalers[] = {"standard", "robust", "robust_clip", "quantile", "min_max"};
    float x[3 * N], y[N], edge[3 * (BINS + 1)], again[3 * (BINS + 1)];
    for (int i = 0; i < N; i++) {
        x[3 * i] = (float)(i * i);
        x[3 * i + 1] = 7;
        x[3 * i + 2] = i < 2 ? NAN : (float)(i % 2);
        y[i] = (float)i;
    }
    for (int k = 0; k < 5; k++) {
        char text[128];
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        mtl_dataset *d = NULL;
        float out[4], at[12] = {0, 7, 0, 2500, 7, 0, 5625, 7, 0, 1250, 7, 0};
        done(mtl_spec_create(NULL, 3, &s, err));
        done(mtl_spec_add_numeric_embedding(s, "ple:bins=4", 0, NULL, err));
        done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
        done(mtl_model_create(s, &m, err));
        done(mtl_dataset_create(NULL, x, N, 3, 3, &d, err));
        done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
        snprintf(text, sizeof text, "epochs=1 learning_rate=0 optimizer=sgd scaler=%s", scalers[k]);
        fit(m, d, text);
        done(mtl_model_tensor_get(m, "trunk.0.edges", 3 * (BINS + 1), edge, err));
        for (int i = 0; i < BINS; i++)
            ck_assert_float_lt(edge[i], edge[i + 1]);
        for (int i = 0; i < BINS; i++) {
            ck_assert_float_eq(edge[BINS + 1 + i], edge[BINS + 2 + i]);
            ck_assert_msg((edge[2 * BINS + 2 + i] < edge[2 * BINS + 3 + i]) == (i == 0), "%s", scalers[k]);
        }
        if (k == 0) { /* the middle of three points in a line */
            done(mtl_predict(m, 4, at, 3, out, 1, err));
            ck_assert_float_eq_tol(out[1] + out[0], 2 * out[3], 1e-3);
        }
        if (k == 4) /* quantiles 0, 25, 50, 75, 100 of -1 .. 1 */
            for (int i = 0; i <= BINS; i++)
                ck_assert_float_eq_tol(edge[i], (float)(25 * i * 25 * i) / 5000 - 1, 1e-6f);
        for (int i = 0; i < 3 * N; i++)
            x[i] *= 2;
        fit(m, d, "epochs=2");
        done(mtl_model_tensor_get(m, "trunk.0.edges", 3 * (BINS + 1), again, err));
        ck_assert_mem_eq(edge, again, sizeof edge);
        for (int i = 0; i < 3 * N; i++)
            x[i] /= 2;
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
}
END_TEST

/* Bins need their column in order: not of a stream. The model stays as it was. */
static int32_t read_rows(int64_t first, int64_t rows, float *to, void *user)
{
    (void)user;
    for (int64_t i = 0; i < 3 * rows; i++)
        to[i] = (float)(first + i);
    return MTL_CONTINUE;
}

START_TEST(bins_of_a_stream)
{
    float y[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    done(mtl_spec_add_numeric_embedding(s, "ple", 0, NULL, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create_stream(NULL, 8, 3, 0, read_rows, NULL, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    const uint64_t before = model_hash(m);
    refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_STATE, "quantiles of columns");
    ck_assert_uint_eq(model_hash(m), before);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* Every allocation of a first fit, a copy and a file may fail: nothing has changed. */
static mtl_status fit_copy_and_save(mtl_model *m, const mtl_dataset *d)
{
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1");
    mtl_model *copy[2] = {NULL, NULL};
    mtl_predictor *p = NULL;
    void *buffer = NULL;
    int64_t length;
    mtl_status st = mtl_model_clone(m, &copy[0], NULL);
    if (st == MTL_OK)
        st = mtl_model_save_buffer(m, &buffer, &length, NULL);
    if (st == MTL_OK)
        st = mtl_model_clone(m, &copy[1], NULL);
    if (st == MTL_OK)
        st = mtl_predictor_create(m, 4, &p, NULL);
    if (st == MTL_OK)
        st = mtl_fit(m, d, NULL, o, NULL, NULL);
    mtl_predictor_destroy(p);
    mtl_free(buffer);
    mtl_model_destroy(copy[0]);
    mtl_model_destroy(copy[1]);
    mtl_options_destroy(o);
    return st;
}

START_TEST(any_allocation_may_fail)
{
    golden x = read_file("", "x"), y = read_file("", "y");
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    mtl_model *m = make_model(ctx, "ple:bins=5,size=4");
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, x.f, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", OUTPUTS, y.f, OUTPUTS, err));
    const uint64_t before = model_hash(m);
    for (int n = 1;; n++) {
        memory.calls = 0;
        memory.fail_at = n;
        const mtl_status st = fit_copy_and_save(m, d);
        memory.fail_at = 0;
        if (st == MTL_OK)
            break;
        ck_assert_int_eq(st, MTL_ERR_NOMEM);
        ck_assert_uint_eq(model_hash(m), before);
    }
    ck_assert_uint_ne(model_hash(m), before);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* A member has one factor for all that an input has become. */
START_TEST(members_part_by_inputs)
{
    enum { WIDTH = 4 + 3 * 5, MEMBERS = 3 };
    mtl_spec *s = make_spec(NULL, "cosine:size=5");
    mtl_model *m = NULL;
    float f[MEMBERS * WIDTH];
    done(mtl_spec_set_ensemble(s, MEMBERS, "mini", err));
    done(mtl_model_create(s, &m, err));
    done(mtl_model_tensor_get(m, "trunk.2.scale", MEMBERS * WIDTH, f, err));
    for (int i = 0; i < MEMBERS * WIDTH; i++) {
        const int column = i % WIDTH, unit = (column - 4) % 5;
        ck_assert_msg(fabsf(f[i]) != 1, "factor %d is a sign", i);
        if (column > 4)
            ck_assert_msg((f[i] == f[i - 1]) == (unit != 0), "factor %d", i);
    }
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(refusals)
{
    static const int64_t twice[] = {1, 1}, far[] = {3}, category[] = {0};
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    done(mtl_spec_add_embedding(s, 0, 4, 2, err));
    refused(mtl_spec_add_numeric_embedding(s, NULL, 0, NULL, err), MTL_ERR_INVALID, "kind");
    refused(mtl_spec_add_numeric_embedding(s, "cosin", 0, NULL, err), MTL_ERR_RANGE, "cosine");
    refused(mtl_spec_add_numeric_embedding(s, "cosine:size=1", 0, NULL, err), MTL_ERR_RANGE, "size");
    refused(mtl_spec_add_numeric_embedding(s, "plr:lite=0.5", 0, NULL, err), MTL_ERR_RANGE, "lite");
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 2, twice, err), MTL_ERR_RANGE, "twice");
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 1, far, err), MTL_ERR_RANGE, "0 .. 2, not 3");
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 0, far, err), MTL_ERR_RANGE, "count");
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 1, category, err), MTL_ERR_STATE,
            "column 0 has an embedding");
    done(mtl_spec_add_numeric_embedding(s, "cosine", 0, NULL, err));
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 0, NULL, err), MTL_ERR_STATE, "already");
    refused(mtl_spec_add_embedding(s, 1, 4, 2, err), MTL_ERR_STATE, "before all other layers");
    mtl_spec_destroy(s);
    s = NULL;
    done(mtl_spec_create(NULL, 1, &s, err));
    done(mtl_spec_add_embedding(s, 0, 4, 2, err));
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 0, NULL, err), MTL_ERR_STATE, "no column");
    mtl_spec_destroy(s);
    s = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    done(mtl_spec_add_dense(s, 3, "relu", err));
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 0, NULL, err), MTL_ERR_STATE, "behind no");
    mtl_spec_destroy(s);
    s = NULL;
    done(mtl_spec_create(NULL, 16000000, &s, err));
    refused(mtl_spec_add_numeric_embedding(s, "cosine", 0, NULL, err), MTL_ERR_RANGE, "more than");
    mtl_spec_destroy(s);
}
END_TEST

START_TEST(sparse_inputs_are_refused)
{
    static const int64_t offset[] = {0, 1};
    static const int32_t column[] = {1};
    static const float value[] = {1};
    float out[OUTPUTS];
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, 3, &s, err));
    done(mtl_spec_add_numeric_embedding(s, "pbld", 0, NULL, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    done(mtl_model_create(s, &m, err));
    refused(mtl_predict_csr(m, 1, offset, column, value, out, OUTPUTS, err), MTL_ERR_STATE,
            "pbld on its inputs");
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
}
END_TEST

/* The same bits for every number of threads, and where members' gradients are compared. */
START_TEST(threads)
{
    enum { N = 400 };
    for (int k = 0; k < KINDS; k++) {
        uint64_t hash[2];
        for (int i = 0; i < 2; i++) {
            mtl_context *ctx = context(i ? "threads=3" : "threads=1");
            mtl_model *m = make_model(ctx, kinds[k].text);
            mtl_dataset *d = NULL;
            uint64_t seed = 3;
            float *x = floats(N * INPUTS), *y = floats(N * OUTPUTS);
            for (int j = 0; j < N * INPUTS; j++)
                x[j] = j % INPUTS == 3 ? (float)(j % 4) : j % 31 ? next_unit(&seed) : NAN;
            for (int j = 0; j < N * OUTPUTS; j++)
                y[j] = next_unit(&seed);
            done(mtl_dataset_create(ctx, x, N, INPUTS, INPUTS, &d, err));
            done(mtl_dataset_set_labels(d, "y", OUTPUTS, y, OUTPUTS, err));
            fit(m, d, "epochs=2 batch_size=150 clip_norm=1");
            hash[i] = model_hash(m);
            mtl_dataset_destroy(d);
            mtl_model_destroy(m);
            mtl_context_destroy(ctx);
            free(x), free(y);
        }
        ck_assert_uint_eq(hash[0], hash[1]);
    }
}
END_TEST

enum { MANY = 70, DISTINCT = 150 };

/* Every column begins as the first one, in the embedding and in the layer behind it. */
static void make_alike(mtl_model *m)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t n = tensor_size(m, i, &name);
        float *w = floats(n);
        done(mtl_model_tensor_get(m, name, n, w, err));
        for (int64_t k = n / MANY; n % MANY == 0 && k < n; k++)
            w[k] = w[k - n / MANY];
        done(mtl_model_tensor_set(m, name, n, w, err));
        free(w);
    }
}

static void expect_alike(const mtl_model *m, const char *kind)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t n = tensor_size(m, i, &name), each = n / MANY;
        float *w = floats(n);
        done(mtl_model_tensor_get(m, name, n, w, err));
        for (int64_t c = 1; n % MANY == 0 && c < MANY; c++)
            ck_assert_msg(memcmp(w, w + c * each, (size_t)each * sizeof *w) == 0,
                          "%s, %s: column %lld is another", kind, name, (long long)c);
        free(w);
    }
}

static mtl_model *fit_alike(const char *kind, int copies)
{
    const int64_t rows = copies * DISTINCT;
    float *x = floats(rows * MANY), *y = floats(rows);
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    uint64_t seed = 3;
    for (int64_t r = 0; r < rows; r++) {
        const float unit = r < DISTINCT ? next_unit(&seed) : x[(r - DISTINCT) * MANY];
        y[r] = r < DISTINCT ? unit * unit + next_unit(&seed) : y[r - DISTINCT];
        for (int64_t c = 0; c < MANY; c++)
            x[r * MANY + c] = unit;
    }
    done(mtl_spec_create(NULL, MANY, &s, err));
    done(mtl_spec_add_numeric_embedding(s, kind, 0, NULL, err));
    done(mtl_spec_add_dense(s, 3, "tanh", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    make_alike(m);
    done(mtl_dataset_create(NULL, x, rows, MANY, MANY, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    fit(m, d, "epochs=3 batch_size=1000 shuffle=0 optimizer=sgd learning_rate=0.02 scale_inputs=0");
    mtl_dataset_destroy(d);
    mtl_spec_destroy(s);
    free(x), free(y);
    return m;
}

/* More columns and rows than one block of either: columns that are alike stay so to the bit, and rows that
   come twice have the gradient of once. */
START_TEST(blocks_of_columns_and_rows)
{
    static const char *const many[] = {"cosine", "cosine:size=30", "plr:scale=0.5",
                                       "plr:lite=1,size=7,frequencies=4", "pbld", "ple", "ple:bins=5"};
    for (size_t k = 0; k < sizeof many / sizeof *many; k++) {
        mtl_model *once = fit_alike(many[k], 1), *twice = fit_alike(many[k], 2);
        int64_t n, same;
        float *a = parameters(once, &n), *b = parameters(twice, &same);
        expect_alike(twice, many[k]);
        /* not ple's: quantiles of rows that come twice are others */
        for (int64_t i = 0; i < n && strncmp(many[k], "ple", 3) != 0; i++)
            ck_assert_msg(fabs((double)(a[i] - b[i])) < 1e-5 * fmax(1, fabs((double)a[i])),
                          "%s, %lld: %g and %g", many[k], (long long)i, (double)a[i], (double)b[i]);
        free(a), free(b);
        mtl_model_destroy(once), mtl_model_destroy(twice);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("numeric");
    add_case(s, "every kind is PyTorch's", every_kind_is_pytorchs);
    add_case(s, "gradients are difference quotients", gradients_are_difference_quotients);
    add_case(s, "a residual over an embedding", residual_over_an_embedding);
    add_case(s, "files, copies and predictors hold them", files_copies_and_predictors);
    add_case(s, "files with other columns are refused", files_with_other_columns);
    add_case(s, "what is periodic is learned", what_is_periodic_is_learned);
    add_case(s, "first values", first_values);
    add_case(s, "bins are quantiles", bins);
    add_case(s, "bins of a stream are refused", bins_of_a_stream);
    add_case(s, "any allocation may fail", any_allocation_may_fail);
    add_case(s, "members part by inputs", members_part_by_inputs);
    add_case(s, "what is refused", refusals);
    add_case(s, "sparse inputs are refused", sparse_inputs_are_refused);
    add_case(s, "any number of threads", threads);
    add_case(s, "blocks of columns and of rows", blocks_of_columns_and_rows);
    return run_suite(s);
}
