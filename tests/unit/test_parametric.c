/* SPDX-License-Identifier: MIT */
/* Activations of which each column has a share of its own: against PyTorch
   (tests/golden/make_torch_rows.py, float64) after ten steps, against difference quotients also in
   ensembles and architectures, and everything that a model goes through. */
#include "same_model.h"

#define BOUND 2e-5

enum { ROWS = 24, INPUTS = 5, UNITS = 7, OUTPUTS = 2 };

static golden read_file(const char *name, const char *what)
{
    char file[64];
    snprintf(file, sizeof file, "torch_rows/%s%s.npy", name, what);
    return golden_read(file);
}

static mtl_spec *make_spec(mtl_context *ctx, const char *activation)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    for (int i = 0; i < 2; i++) {
        done(mtl_spec_add_dense(s, UNITS, "identity", err));
        done(mtl_spec_add_parametric_activation(s, activation, 0.1, err));
    }
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    return s;
}

static mtl_model *model_of(mtl_spec *s)
{
    mtl_model *m = NULL;
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static mtl_dataset *make_data(mtl_context *ctx, const golden *x, const golden *y)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, x->f, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "y", OUTPUTS, y->f, OUTPUTS, err));
    return d;
}

#define DESCENT "batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 optimizer=sgd "

START_TEST(they_are_pytorchs)
{
    static const char *const names[] = {"relu", "tanh", "mish"};
    golden x = read_file("x", ""), y = read_file("y", "");
    mtl_dataset *d = make_data(NULL, &x, &y);
    for (int k = 0; k < 3; k++) {
        golden start = read_file(names[k], "_params_0"), end = read_file(names[k], "_params_10");
        mtl_model *m = model_of(make_spec(NULL, names[k]));
        set_parameters(m, &start);
        fit(m, d, DESCENT "epochs=10 learning_rate=0.1");
        assert_parameters(m, &end, BOUND, names[k]);
        mtl_model_destroy(m);
        golden_free(&start), golden_free(&end);
    }
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* --- difference quotients ------------------------------------------------------------------------- */

static const struct {
    const char *activation, *ensemble, *architecture;
    bool is_first; /* of the trunk, on the inputs */
} nets[] = {
    {"tanh", NULL, NULL, false},          {"mish", "tabm", NULL, false}, {"tanh", "mini", NULL, false},
    {"elu:alpha=0.5", NULL, "single", false}, {"silu", NULL, "mmoe:experts=2", false},
    {"sigmoid", NULL, NULL, true},        {"gelu", "tabm", NULL, true},
};

static mtl_model *net_of(size_t k)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    if (nets[k].is_first)
        done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
    done(mtl_spec_add_dense(s, 6, "identity", err));
    done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
    done(mtl_spec_add_dense(s, 4, "identity", err));
    done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    if (nets[k].architecture)
        done(mtl_spec_set_architecture(s, nets[k].architecture, err));
    if (nets[k].ensemble)
        done(mtl_spec_set_ensemble(s, 3, nets[k].ensemble, err));
    return model_of(s);
}

static double loss_of(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    double loss;
    done(mtl_evaluate(m, d, NULL, &r, err));
    done(mtl_report_get_f64(r, "loss", &loss, err));
    mtl_report_destroy(r);
    return loss;
}

/* Shares apart from 1 and from each other. */
static void spread_shares(mtl_model *m)
{
    const char *name;
    uint64_t seed = 5;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        int64_t n = tensor_size(m, i, &name);
        float w[64];
        if (!strstr(name, "share"))
            continue;
        for (int64_t j = 0; j < n; j++)
            w[j] = 0.7f + next_unit(&seed);
        done(mtl_model_tensor_set(m, name, n, w, err));
    }
}

/* Of one member's mean loss: with an ensemble the loss that is trained is the members' mean, not that of
   the mean, so only members that agree would have the same; there each is checked as a network alone. */
static void check_net(size_t k, const mtl_dataset *d)
{
    mtl_model *m = net_of(k), *stepped = NULL;
    const char *name;
    spread_shares(m);
    done(mtl_model_clone(m, &stepped, err));
    fit(stepped, d, DESCENT "epochs=1 learning_rate=1");
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        int64_t n = tensor_size(m, i, &name);
        float *w = floats(n), *after = floats(n);
        double largest = 1e-3;
        done(mtl_model_tensor_get(m, name, n, w, err));
        done(mtl_model_tensor_get(stepped, name, n, after, err));
        for (int64_t j = 0; j < n; j++)
            largest = fmax(largest, fabs((double)(w[j] - after[j])));
        for (int64_t j = 0; j < n; j++) {
            const float was = w[j], h = 4e-3f;
            double loss[2];
            for (int side = 0; side < 2; side++) {
                w[j] = side ? was + h : was - h;
                done(mtl_model_tensor_set(m, name, n, w, err));
                loss[side] = loss_of(m, d);
            }
            w[j] = was;
            const double quotient = (loss[1] - loss[0]) / (double)((was + h) - (was - h));
            ck_assert_msg(fabs((double)(was - after[j]) - quotient) < 6e-3 * largest,
                          "%s %s, %s[%lld]: %g instead of %g", nets[k].activation,
                          nets[k].architecture ? nets[k].architecture : "", name, (long long)j,
                          (double)(was - after[j]), quotient);
        }
        done(mtl_model_tensor_set(m, name, n, w, err));
        free(w), free(after);
    }
    mtl_model_destroy(m), mtl_model_destroy(stepped);
}

START_TEST(gradients_are_difference_quotients)
{
    golden x = read_file("x", ""), y = read_file("y", "");
    mtl_dataset *d = make_data(NULL, &x, &y);
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++)
        if (!nets[k].ensemble)
            check_net(k, d);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* The step of an ensemble is that of its members' networks, each alone, at a third of the rate; of what
   they share, the sum of theirs. */
static void check_members(size_t k, const mtl_dataset *d)
{
    const bool is_mini = strcmp(nets[k].ensemble, "mini") == 0;
    mtl_model *m = net_of(k), *after = NULL, *one[3];
    const char *name;
    spread_shares(m);
    for (int i = 0; i < 3; i++) { /* members that are alike but for the shares and the heads */
        mtl_spec *s = NULL;
        done(mtl_spec_create(NULL, INPUTS, &s, err));
        if (nets[k].is_first)
            done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
        done(mtl_spec_add_dense(s, 6, "identity", err));
        done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
        done(mtl_spec_add_dense(s, 4, "identity", err));
        done(mtl_spec_add_parametric_activation(s, nets[k].activation, 1, err));
        done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
        one[i] = model_of(s);
    }
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) { /* factors of 1: members are plain networks */
        int64_t n = tensor_size(m, i, &name);
        float *w = floats(n);
        for (int64_t j = 0; j < n; j++)
            w[j] = 1;
        if (strstr(name, ".scale"))
            done(mtl_model_tensor_set(m, name, n, w, err));
        free(w);
    }
    /* tensors of the plain networks in their order, and which those of the ensemble they are */
    int64_t from = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(one[0]); i++, from++) {
        int64_t n = tensor_size(one[0], i, &name), all;
        const char *ours;
        while (all = tensor_size(m, from, &ours), strstr(ours, ".scale") || strcmp(strrchr(ours, '.'), strrchr(name, '.')) != 0)
            from++;
        float *w = floats(all);
        done(mtl_model_tensor_get(m, ours, all, w, err));
        for (int c = 0; c < 3; c++)
            done(mtl_model_tensor_set(one[c], name, n, all == 3 * n ? w + c * n : w, err));
        free(w);
    }
    done(mtl_model_clone(m, &after, err));
    fit(after, d, DESCENT "epochs=1 learning_rate=0.5");
    from = 0;
    for (int c = 0; c < 3; c++)
        fit(one[c], d, DESCENT "epochs=1 learning_rate=0.5");
    mtl_model *start = one[0];
    for (int64_t i = 0; i < mtl_model_tensor_count(start); i++, from++) {
        int64_t n = tensor_size(start, i, &name), all;
        const char *ours;
        while (all = tensor_size(m, from, &ours), strstr(ours, ".scale") || strcmp(strrchr(ours, '.'), strrchr(name, '.')) != 0)
            from++;
        float *w = floats(all), *moved = floats(all), *alone = floats(n);
        double *sum = malloc((size_t)n * sizeof *sum);
        memset(sum, 0, (size_t)n * sizeof *sum);
        done(mtl_model_tensor_get(m, ours, all, w, err));
        done(mtl_model_tensor_get(after, ours, all, moved, err));
        for (int c = 0; c < 3; c++) {
            done(mtl_model_tensor_get(one[c], name, n, alone, err));
            for (int64_t j = 0; j < n; j++) {
                const int64_t at = all == 3 * n ? c * n + j : j;
                const double step = (double)(alone[j] - w[at]);
                sum[j] += step;
                if (all == 3 * n)
                    ck_assert_msg(fabs((double)(moved[at] - w[at]) - step / 3) < 1e-5 * fmax(1, fabs(step)),
                                  "%s: %g instead of %g", ours, (double)(moved[at] - w[at]), step / 3);
            }
        }
        for (int64_t j = 0; j < n && all == n; j++)
            ck_assert_msg(fabs((double)(moved[j] - w[j]) - sum[j] / 3) < 1e-5 * fmax(1, fabs(sum[j])),
                          "%s: %g instead of %g", ours, (double)(moved[j] - w[j]), sum[j] / 3);
        ck_assert(!strstr(ours, "share") || all == (is_mini ? n : 3 * n));
        free(w), free(moved), free(alone), free(sum);
    }
    for (int c = 0; c < 3; c++)
        mtl_model_destroy(one[c]);
    mtl_model_destroy(m), mtl_model_destroy(after);
}

START_TEST(members_step_as_networks)
{
    golden x = read_file("x", ""), y = read_file("y", "");
    mtl_dataset *d = make_data(NULL, &x, &y);
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++)
        if (nets[k].ensemble)
            check_members(k, d);
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* --- a model's ways -------------------------------------------------------------------------------- */

START_TEST(files_copies_and_predictors)
{
    golden x = read_file("x", ""), y = read_file("y", "");
    mtl_dataset *d = make_data(NULL, &x, &y);
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        float want[ROWS * OUTPUTS], got[ROWS * OUTPUTS];
        mtl_model *m = net_of(k), *copy[2];
        mtl_predictor *p = NULL;
        fit(m, d, "epochs=3");
        done(mtl_predict(m, ROWS, x.f, INPUTS, want, OUTPUTS, err));
        read_and_clone(m, copy);
        done(mtl_predictor_create(m, 5, &p, err));
        assert_summary(m, "a share of ");
        done(mtl_predictor_run(p, ROWS, x.f, INPUTS, got, OUTPUTS, err));
        ck_assert_mem_eq(got, want, sizeof want);
        for (int i = 0; i < 2; i++) {
            done(mtl_predict(copy[i], ROWS, x.f, INPUTS, got, OUTPUTS, err));
            ck_assert_mem_eq(got, want, sizeof want);
            mtl_model_destroy(copy[i]);
        }
        mtl_predictor_destroy(p);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    golden_free(&x), golden_free(&y);
}
END_TEST

/* A rate of 0 leaves f as it is; shares are told by name like everything else, and transferred. */
START_TEST(rates_and_transfer)
{
    golden x = read_file("x", ""), y = read_file("y", "");
    mtl_dataset *d = make_data(NULL, &x, &y), *target = NULL;
    mtl_spec *s = NULL;
    float share[UNITS], moved[UNITS];
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_add_dense(s, UNITS, "identity", err));
    done(mtl_spec_add_parametric_activation(s, "relu", 0, err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, OUTPUTS, err));
    mtl_model *still = model_of(s), *m = model_of(make_spec(NULL, "mish")), *out = NULL;
    fit(still, d, "epochs=3");
    done(mtl_model_tensor_get(still, "trunk.1.share", UNITS, share, err));
    for (int i = 0; i < UNITS; i++)
        ck_assert_float_eq(share[i], 1);
    fit(m, d, "epochs=3 learning_rate=0.01");
    done(mtl_model_tensor_get(m, "trunk.1.share", UNITS, share, err));
    ck_assert_float_ne(share[0], 1);
    done(mtl_dataset_create(NULL, x.f, ROWS, INPUTS, INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, y.f, OUTPUTS, err));
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=probe");
    done(mtl_transfer(m, target, NULL, o, &out, NULL, err));
    done(mtl_model_tensor_get(out, "trunk.1.share", UNITS, moved, err));
    ck_assert_mem_eq(moved, share, sizeof share);
    mtl_options_destroy(o);
    mtl_model_destroy(still), mtl_model_destroy(m), mtl_model_destroy(out);
    mtl_dataset_destroy(d), mtl_dataset_destroy(target);
    golden_free(&x), golden_free(&y);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    for (int n = 1;; n++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        void *buffer = NULL;
        int64_t length;
        memory.calls = 0;
        memory.fail_at = n;
        mtl_status st = mtl_spec_create(ctx, INPUTS, &s, NULL);
        if (st == MTL_OK)
            st = mtl_spec_add_parametric_activation(s, "elu:alpha=0.5", 0.1, NULL);
        if (st == MTL_OK)
            st = mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, NULL);
        if (st == MTL_OK)
            st = mtl_model_create(s, &m, NULL);
        if (st == MTL_OK)
            st = mtl_model_save_buffer(m, &buffer, &length, NULL);
        memory.fail_at = 0;
        mtl_free(buffer);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
        if (st == MTL_OK)
            break;
        ck_assert_int_eq(st, MTL_ERR_NOMEM);
    }
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(what_is_refused)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    refused(mtl_spec_add_parametric_activation(NULL, "relu", 0.1, err), MTL_ERR_INVALID, "spec");
    refused(mtl_spec_add_parametric_activation(s, NULL, 0.1, err), MTL_ERR_INVALID, "activation");
    refused(mtl_spec_add_parametric_activation(s, "rely", 0.1, err), MTL_ERR_RANGE, "relu");
    refused(mtl_spec_add_parametric_activation(s, "relu", -1, err), MTL_ERR_RANGE, "rate");
    refused(mtl_spec_add_parametric_activation(s, "relu", (double)NAN, err), MTL_ERR_RANGE, "rate");
    mtl_spec_destroy(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("parametric");
    add_case(s, "they are PyTorch's", they_are_pytorchs);
    add_case(s, "gradients are difference quotients", gradients_are_difference_quotients);
    add_case(s, "members step as networks do", members_step_as_networks);
    add_case(s, "files, copies and predictors hold them", files_copies_and_predictors);
    add_case(s, "rates and transfer", rates_and_transfer);
    add_case(s, "any allocation may fail", any_allocation_may_fail);
    add_case(s, "what is refused", what_is_refused);
    return run_suite(s);
}
