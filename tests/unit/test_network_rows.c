/* SPDX-License-Identifier: MIT */
/* Scaled inputs, last layers of zeros, the NTK parametrisation, and dropout and decay on schedules:
   against PyTorch (tests/golden/make_torch_rows.py, float64) after ten steps, and one by one. */
#include "rng/rng.h"
#include "same_model.h"

#define BOUND 2e-5

enum { ROWS = 24, INPUTS = 5, UNITS = 7, OUTPUTS = 2 };

static golden read_file(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "torch_rows/%s.npy", name);
    return golden_read(file);
}

static mtl_dataset *make_data(const golden *x, const golden *y)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(NULL, x->f, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", OUTPUTS, y->f, OUTPUTS, err));
    return d;
}

static mtl_spec *make_spec(void)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_set_initializer(s, "ntk", err));
    done(mtl_spec_add_input_scaling(s, 6, err));
    done(mtl_spec_add_dense(s, UNITS, "mish", err));
    done(mtl_spec_add_dense(s, UNITS, "mish", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    done(mtl_spec_set_zero_heads(s, 1, err));
    return s;
}

static mtl_model *make_model(void)
{
    mtl_spec *s = make_spec();
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

#define FIT "epochs=10 batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 learning_rate=0.04 " \
            "groups=*.bias:rate=0.1 optimizer=adamw:beta2=0.95,eps=1e-12,weight_decay=0.3 "

START_TEST(they_are_pytorchs)
{
    golden x = read_file("x"), y = read_file("y"), start = read_file("params_0");
    golden end = read_file("params_10");
    mtl_dataset *d = make_data(&x, &y);
    mtl_model *m = make_model();
    set_parameters(m, &start);
    fit(m, d, FIT "decay_schedule=flat_cos");
    assert_parameters(m, &end, BOUND, "params_10");
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y), golden_free(&start), golden_free(&end);
}
END_TEST

static uint64_t after(const mtl_dataset *d, const golden *start, const char *how)
{
    mtl_model *m = make_model();
    set_parameters(m, start);
    fit(m, d, how);
    const uint64_t hash = model_hash(m);
    mtl_model_destroy(m);
    return hash;
}

/* That decay is decay alone: a schedule that is 0 from the start is none at all. */
START_TEST(a_schedule_of_the_decay)
{
    golden x = read_file("x"), y = read_file("y"), start = read_file("params_0");
    mtl_dataset *d = make_data(&x, &y);
    const uint64_t constant = after(d, &start, FIT);
    ck_assert_uint_eq(after(d, &start, FIT "decay_schedule=cosine:final=1"), constant);
    ck_assert_uint_ne(after(d, &start, FIT "decay_schedule=cosine"), constant);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y), golden_free(&start);
}
END_TEST

static mtl_model *with_dropout(double rate)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_add_dense(s, UNITS, "relu", err));
    done(mtl_spec_add_dropout(s, rate, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static uint64_t dropped(const mtl_dataset *d, double rate, const char *how)
{
    mtl_model *m = with_dropout(rate);
    fit(m, d, how);
    const uint64_t hash = model_hash(m);
    mtl_model_destroy(m);
    return hash;
}

/* In the first of so many epochs a linear schedule has hardly begun, in the last half is left. */
START_TEST(a_schedule_of_dropout)
{
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = make_data(&x, &y);
    const uint64_t half = dropped(d, 0.5, "epochs=3 batch_size=8");
    ck_assert_uint_ne(dropped(d, 0.5, "epochs=3 batch_size=8 dropout_schedule=linear"), half);
    ck_assert_uint_eq(dropped(d, 0.5, "epochs=3 batch_size=8 dropout_schedule=linear:final=1"), half);
    /* One step: the factor of the first is 1; of "step" with gamma 0.5 the second epoch has half. */
    ck_assert_uint_eq(dropped(d, 0.5, "epochs=1 batch_size=64 dropout_schedule=linear"),
                      dropped(d, 0.5, "epochs=1 batch_size=64"));
    ck_assert_uint_eq(dropped(d, 0.5, "epochs=2 batch_size=64 dropout_schedule=step:every=1,gamma=0.000001"),
                      dropped(d, 0.5, "epochs=2 batch_size=64 "
                                      "dropout_schedule=step:every=1,gamma=0.0000010001"));
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

START_TEST(zero_heads)
{
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = make_data(&x, &y);
    mtl_model *m = make_model();
    float out[ROWS * OUTPUTS], w[UNITS * UNITS], mean[OUTPUTS] = {0};
    done(mtl_predict(m, ROWS, x.f, INPUTS, out, OUTPUTS, err));
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        ck_assert_float_eq(out[i], 0);
    /* A first fit draws anew: rate 0 leaves the heads at 0, so the means are predicted. */
    fit(m, d, "epochs=1 learning_rate=0 optimizer=sgd");
    done(mtl_predict(m, ROWS, x.f, INPUTS, out, OUTPUTS, err));
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        mean[i % OUTPUTS] += y.f[i] / ROWS;
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        ck_assert_float_eq_tol(out[i], mean[i % OUTPUTS], 1e-6f);
    done(mtl_model_tensor_get(m, "trunk.2.weight", UNITS * UNITS, w, err));
    double sum = 0;
    for (int i = 0; i < UNITS * UNITS; i++)
        sum += (double)w[i] * (double)w[i];
    ck_assert_double_eq_tol(sum / UNITS, 1, 0.5); /* variance 1 / in */
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* A rate of 0 holds the factors, and so does the name of them. */
START_TEST(rates_of_the_scale)
{
    static const char *const how[] = {FIT "groups=*.scale:rate=0", FIT, FIT};
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = make_data(&x, &y);
    for (int i = 0; i < 3; i++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        float scale[INPUTS];
        bool moved = false;
        done(mtl_spec_create(NULL, INPUTS, &s, err));
        done(mtl_spec_add_input_scaling(s, i == 1 ? 0 : 6, err));
        done(mtl_spec_add_dense(s, UNITS, "relu", err));
        done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
        done(mtl_model_create(s, &m, err));
        fit(m, d, how[i]);
        done(mtl_model_tensor_get(m, "trunk.0.scale", INPUTS, scale, err));
        for (int j = 0; j < INPUTS; j++)
            moved = moved || scale[j] != 1;
        ck_assert_int_eq(moved, i == 2);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* Members part behind the scale, which they share; files and copies hold all of it. */
START_TEST(ensembles_and_files)
{
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = make_data(&x, &y);
    for (int members = 1; members <= 3; members += 2) {
        float want[ROWS * OUTPUTS], got[ROWS * OUTPUTS], scale[INPUTS];
        mtl_spec *s = make_spec();
        mtl_model *m = NULL, *copy[2];
        done(mtl_spec_set_ensemble(s, members, "tabm", err));
        done(mtl_model_create(s, &m, err));
        fit(m, d, "epochs=3 learning_rate=0.01 batch_size=8");
        done(mtl_model_tensor_get(m, "trunk.0.scale", INPUTS, scale, err));
        done(mtl_predict(m, ROWS, x.f, INPUTS, want, OUTPUTS, err));
        assert_summary(m, "scaling of 5 inputs, 6 times");
        read_and_clone(m, copy);
        for (int i = 0; i < 2; i++) {
            done(mtl_predict(copy[i], ROWS, x.f, INPUTS, got, OUTPUTS, err));
            ck_assert_mem_eq(got, want, sizeof got);
            mtl_model_destroy(copy[i]);
        }
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* Far out, predictions are the least and the largest label; with a missing label, and without any. */
START_TEST(clipped_predictions)
{
    golden x = read_file("x"), y = read_file("y");
    for (int clip = 0; clip < 2; clip++) {
        float far[ROWS * INPUTS], want[ROWS * OUTPUTS], got[ROWS * OUTPUTS], labels[ROWS * OUTPUTS];
        float low = INFINITY, high = -INFINITY;
        mtl_model *m = make_model(), *copy[2] = {NULL, NULL};
        mtl_predictor *p = NULL;
        void *buffer = NULL;
        int64_t length;
        bool is_outside = false;
        for (int i = 0; i < ROWS * INPUTS; i++)
            far[i] = 100 * x.f[i];
        for (int i = 0; i < ROWS * OUTPUTS; i++) {
            labels[i] = i == 2 || i % OUTPUTS ? NAN : y.f[i];
            low = labels[i] < low ? labels[i] : low;
            high = labels[i] > high ? labels[i] : high;
        }
        mtl_dataset *d = NULL;
        done(mtl_dataset_create(NULL, x.f, ROWS, INPUTS, INPUTS, &d, err));
        done(mtl_dataset_set_labels(d, "y", OUTPUTS, labels, OUTPUTS, err));
        fit(m, d, clip ? "epochs=40 learning_rate=0.02 clip_predictions=1" : "epochs=40 learning_rate=0.02");
        for (int i = 0; i < ROWS * OUTPUTS; i++)
            labels[i] *= 2; /* limits are those of the first fit */
        fit(m, d, "epochs=1 learning_rate=0 optimizer=sgd");
        done(mtl_predict(m, ROWS, far, INPUTS, want, OUTPUTS, err));
        for (int r = 0; r < ROWS; r++) {
            is_outside = is_outside || want[r * OUTPUTS] < low || want[r * OUTPUTS] > high;
            ck_assert(!isnan(want[r * OUTPUTS + 1]));
        }
        ck_assert_int_eq(is_outside, !clip);
        done(mtl_model_save_buffer(m, &buffer, &length, err));
        done(mtl_model_load_buffer(NULL, buffer, length, &copy[0], err));
        done(mtl_model_clone(m, &copy[1], err));
        done(mtl_predictor_create(m, 5, &p, err));
        for (int i = 0; i < 3; i++) {
            if (i < 2)
                done(mtl_predict(copy[i], ROWS, far, INPUTS, got, OUTPUTS, err));
            else
                done(mtl_predictor_run(p, ROWS, far, INPUTS, got, OUTPUTS, err));
            ck_assert_mem_eq(got, want, sizeof got);
        }
        mtl_predictor_destroy(p);
        mtl_free(buffer);
        mtl_model_destroy(copy[0]);
        mtl_model_destroy(copy[1]);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
    golden_free(&x), golden_free(&y);
}
END_TEST

START_TEST(refusals)
{
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = make_data(&x, &y);
    mtl_spec *s = NULL;
    mtl_model *m = make_model();
    mtl_options *o = options(MTL_OPTIONS_FIT, "dropout_schedule=plateau validation_split=0.2");
    done(mtl_spec_create(NULL, 3, &s, err));
    refused(mtl_spec_add_input_scaling(s, -1, err), MTL_ERR_RANGE, "rate");
    refused(mtl_spec_add_input_scaling(s, (double)NAN, err), MTL_ERR_RANGE, "rate");
    done(mtl_spec_add_input_scaling(s, 2, err));
    refused(mtl_spec_add_input_scaling(s, 2, err), MTL_ERR_STATE, "behind no layers");
    refused(mtl_spec_set_zero_heads(s, 2, err), MTL_ERR_RANGE, "0 or 1");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_INVALID, "plateau");
    mtl_options_destroy(o);
    o = options(MTL_OPTIONS_FIT, "decay_schedule=cosine");
    refused(mtl_partial_fit(m, d, o, NULL, err), MTL_ERR_INVALID, "decay_schedule");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* --- biases from the data ------------------------------------------------------------------------- */

#define STILL "epochs=1 batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 optimizer=sgd learning_rate=1e-30 "

/* A trunk of two, a head on it and one with a layer of its own. */
static mtl_model *hull_model(mtl_context *ctx, const char *ensemble, bool from_zero)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    done(mtl_spec_set_initializer(s, "ntk_hull", err));
    done(mtl_spec_add_dense(s, UNITS, "tanh", err));
    done(mtl_spec_add_dropout(s, 0.5, err));
    done(mtl_spec_add_dense(s, 4, "relu", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    done(mtl_spec_add_task(s, "z", MTL_REGRESSION, OUTPUTS, err));
    done(mtl_spec_task_set_str(s, "z", "head", "3:tanh", err));
    done(mtl_spec_set_zero_heads(s, from_zero, err));
    if (ensemble)
        done(mtl_spec_set_ensemble(s, 3, ensemble, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static mtl_dataset *hull_data(mtl_context *ctx, const golden *x, const golden *y)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, x->f, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", OUTPUTS, y->f, OUTPUTS, err));
    done(mtl_dataset_set_labels(d, "z", OUTPUTS, y->f, OUTPUTS, err));
    return d;
}

static void tensor(const mtl_model *m, const char *name, int64_t n, float *to)
{
    done(mtl_model_tensor_get(m, name, n, to, err));
}

/* The rule a second time: biases of a layer from x [ROWS, in], and what it makes of x with them. */
static void expect_biases(const mtl_model *m, const char *layer, uint32_t id, int in, int out, const float *x,
                          int act, float *made)
{
    char name[64];
    float w[64], b[16];
    mtl__rng rng = mtl__rng_make(0, MTL__RNG_HULL, id);
    snprintf(name, sizeof name, "%s.weight", layer);
    tensor(m, name, in * out, w);
    snprintf(name, sizeof name, "%s.bias", layer);
    tensor(m, name, out, b);
    for (int j = 0; j < out; j++) {
        double sum = 0, total = 0, low = INFINITY, high = -INFINITY;
        for (int k = 0; k < 5; k++) {
            const int64_t row = mtl__rng_below(&rng, ROWS);
            const double share = -log1p(-mtl__rng_f64(&rng));
            double z = 0;
            for (int i = 0; i < in; i++)
                z += (double)x[row * in + i] * (double)w[i * out + j];
            sum += share * z;
            total += share;
            low = fmin(low, z);
            high = fmax(high, z);
        }
        ck_assert_msg(fabs((double)b[j] + sum / total) < 1e-5, "%s[%d]: %g instead of %g", name, j,
                      (double)b[j], -sum / total);
        ck_assert(-(double)b[j] >= low - 1e-5 && -(double)b[j] <= high + 1e-5);
        for (int r = 0; r < ROWS; r++) {
            float z = b[j];
            for (int i = 0; i < in; i++)
                z += x[r * in + i] * w[i * out + j];
            made[r * out + j] = act == 't' ? tanhf(z) : act == 'r' ? fmaxf(z, 0) : z;
        }
    }
}

START_TEST(biases_where_data_are)
{
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = hull_data(NULL, &x, &y);
    mtl_model *m = hull_model(NULL, NULL, false);
    float first[ROWS * UNITS], second[ROWS * 4], tower[ROWS * 3], out[ROWS * OUTPUTS], zero[UNITS];
    tensor(m, "trunk.0.bias", UNITS, zero);
    for (int i = 0; i < UNITS; i++)
        ck_assert_float_eq(zero[i], 0);
    fit(m, d, STILL "seed=0");
    expect_biases(m, "trunk.0", 0, INPUTS, UNITS, x.f, 't', first); /* layer 1 is dropout */
    expect_biases(m, "trunk.1", 2, UNITS, 4, first, 'r', second);
    expect_biases(m, "head.y", 3, 4, OUTPUTS, second, 'i', out);
    expect_biases(m, "tower0.z", 4, 4, 3, second, 't', tower);
    expect_biases(m, "head.z", 5, 3, OUTPUTS, tower, 'i', out);
    /* a second fit leaves them where they are */
    const uint64_t once = model_hash(m);
    fit(m, d, STILL "seed=0");
    ck_assert_uint_eq(model_hash(m), once);
    mtl_model_destroy(m);
    m = hull_model(NULL, NULL, true);
    fit(m, d, STILL);
    float head[OUTPUTS];
    tensor(m, "head.y.bias", OUTPUTS, head);
    ck_assert_float_eq_tol(head[0], 0, 1e-20f);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* The same bits at every level and number of threads, of ensembles too, whose members have their own. */
START_TEST(biases_of_members)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=1", "threads=2"};
    static const char *const kinds[] = {NULL, "tabm", "mini"};
    golden x = read_file("x"), y = read_file("y");
    for (int k = 0; k < 3; k++) {
        uint64_t want = 0;
        for (int i = 0; i < 3; i++) {
            mtl_context *ctx = context(contexts[i]);
            mtl_dataset *d = hull_data(ctx, &x, &y);
            mtl_model *m = hull_model(ctx, kinds[k], false);
            fit(m, d, "epochs=2 batch_size=8 learning_rate=0.01");
            want = i ? want : model_hash(m);
            ck_assert_uint_eq(model_hash(m), want);
            if (k == 1) {
                float b[3 * UNITS];
                tensor(m, "trunk.1.bias", 3 * UNITS, b);
                ck_assert_float_gt(fabsf(b[0] - b[UNITS]), 1e-4f);
            }
            mtl_model_destroy(m);
            mtl_dataset_destroy(d);
            mtl_context_destroy(ctx);
        }
    }
    golden_free(&x), golden_free(&y);
}
END_TEST

/* A run that is taken up again, before its first step too, has the bits of one that never stopped. */
START_TEST(biases_of_a_run_resumed)
{
    static const char how[] = "epochs=3 batch_size=8 learning_rate=0.01 seed=4";
    golden x = read_file("x"), y = read_file("y");
    mtl_dataset *d = hull_data(NULL, &x, &y);
    mtl_model *whole = hull_model(NULL, "tabm", false);
    temp_file file = temp_file_make("", 0);
    fit(whole, d, how);
    for (int64_t step = 0; step < 6; step += 2) {
        mtl_model *m = hull_model(NULL, "tabm", false), *out = NULL;
        mtl_options *o = options(MTL_OPTIONS_FIT, how);
        mtl_trainer *t = NULL;
        done(mtl_trainer_create(m, d, NULL, o, &t, err));
        if (step)
            done(mtl_trainer_step(t, step, NULL, err));
        done(mtl_trainer_checkpoint(t, file.path, err));
        mtl_trainer_destroy(t);
        mtl_model_destroy(m);
        done(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err));
        ck_assert_uint_eq(model_hash(out), model_hash(whole));
        mtl_options_destroy(o);
        mtl_model_destroy(out);
    }
    unlink(file.path);
    mtl_model_destroy(whole);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

START_TEST(biases_are_refused)
{
    golden x = read_file("x"), y = read_file("y");
    static const char *const why[] = {"batch norm", "an architecture", "sparse inputs"};
    int64_t offset[ROWS + 1];
    int32_t column[ROWS];
    for (int i = 0; i <= ROWS; i++)
        offset[i] = i;
    for (int i = 0; i < ROWS; i++)
        column[i] = i % INPUTS;
    mtl_dataset *d = hull_data(NULL, &x, &y), *sparse = NULL;
    done(mtl_dataset_create_csr(NULL, ROWS, INPUTS, offset, column, x.f, &sparse, err));
    done(mtl_dataset_set_labels(sparse, "y", OUTPUTS, y.f, OUTPUTS, err));
    done(mtl_dataset_set_labels(sparse, "z", OUTPUTS, y.f, OUTPUTS, err));
    for (int i = 0; i < 3; i++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        done(mtl_spec_create(NULL, INPUTS, &s, err));
        done(mtl_spec_set_initializer(s, "ntk_hull", err));
        done(mtl_spec_add_dense(s, UNITS, "tanh", err));
        if (i == 0)
            done(mtl_spec_add_norm(s, "batch", err));
        done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
        done(mtl_spec_add_task(s, "z", MTL_REGRESSION, OUTPUTS, err));
        if (i == 1)
            done(mtl_spec_set_architecture(s, "single", err));
        done(mtl_model_create(s, &m, err));
        const uint64_t before = model_hash(m);
        refused(mtl_fit(m, i == 2 ? sparse : d, NULL, NULL, NULL, err), MTL_ERR_STATE, why[i]);
        ck_assert_uint_eq(model_hash(m), before);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
    mtl_dataset_destroy(d), mtl_dataset_destroy(sparse);
    golden_free(&x), golden_free(&y);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("network_rows");
    add_case(s, "all of them are PyTorch's", they_are_pytorchs);
    add_case(s, "a schedule of the decay", a_schedule_of_the_decay);
    add_case(s, "a schedule of dropout", a_schedule_of_dropout);
    add_case(s, "heads that start at 0", zero_heads);
    add_case(s, "rates of the inputs' scale", rates_of_the_scale);
    add_case(s, "ensembles and files", ensembles_and_files);
    add_case(s, "predictions within the labels", clipped_predictions);
    add_case(s, "what is refused", refusals);
    add_case(s, "biases where data are", biases_where_data_are);
    add_case(s, "biases of members", biases_of_members);
    add_case(s, "biases of a run resumed", biases_of_a_run_resumed);
    add_case(s, "biases that are refused", biases_are_refused);
    return run_suite(s);
}
