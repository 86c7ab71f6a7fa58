/* SPDX-License-Identifier: MIT */
/* A small net with masks against PyTorch (tests/golden/make_torch.py): predictions, losses per task
   and parameters after 1, 2 and 10 Adam steps, plain, with both penalties and with row weights.
   All bounds: max |ours - theirs| / max |theirs|, for each tensor. PyTorch's own float32 run differs
   from its float64 run, which the files hold, by up to 5e-7. */
#include "same_model.h"

#define BOUND 1e-5
/* On the change since the start, which is a thousandth of the weights: rounding a weight near 1 to
   float32 costs 6e-8 a step, that is 6e-5 of a first step of 1e-3. A wrong constant in Adam or in a
   gradient shows here long before it shows in the weights. */
#define CHANGE_BOUND 2e-4

enum { ROWS = 24, INPUTS = 5, TASKS = 5, OUTPUTS = 9 };

static const struct {
    const char *name;
    int32_t kind;
    int64_t outputs, cols;
    double weight;
} tasks[TASKS] = {
    {"fails", MTL_BINARY, 1, 1, 1},       {"grade", MTL_MULTICLASS, 3, 1, 0.5},
    {"tags", MTL_MULTILABEL, 2, 2, 2},    {"hours", MTL_REGRESSION, 2, 2, 0.25},
    {"silent", MTL_BINARY, 1, 1, 1},
};

typedef struct fixture {
    golden x, y[TASKS], row_weight, start;
    mtl_dataset *data;
    mtl_model *model;
} fixture;

static const char *variant_file(const char *variant, const char *name)
{
    static char file[128];
    snprintf(file, sizeof file, "torch/%s_%s.npy", variant, name);
    return file;
}

static fixture make(bool weighted)
{
    fixture f = {.x = golden_read("torch/x.npy"),
                 .row_weight = golden_read("torch/row_weight.npy"),
                 .start = golden_read("torch/params_0.npy")};
    mtl_spec *s = NULL;
    done(mtl_dataset_create(NULL, f.x.f, ROWS, INPUTS, INPUTS, &f.data, err));
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 8, "relu", err));
    done(mtl_spec_add_dense(s, 6, "tanh", err));
    for (int t = 0; t < TASKS; t++) {
        char file[64];
        snprintf(file, sizeof file, "torch/y_%s.npy", tasks[t].name);
        f.y[t] = golden_read(file);
        ck_assert_int_eq(f.y[t].count, ROWS * tasks[t].cols);
        done(mtl_dataset_set_labels(f.data, tasks[t].name, tasks[t].cols, f.y[t].f, tasks[t].cols,
                                    err));
        done(mtl_spec_add_task(s, tasks[t].name, tasks[t].kind, tasks[t].outputs, err));
        done(mtl_spec_task_set_f64(s, tasks[t].name, "weight", tasks[t].weight, err));
    }
    if (weighted)
        done(mtl_dataset_set_weights(f.data, NULL, f.row_weight.f, err));
    done(mtl_model_create(s, &f.model, err));
    set_parameters(f.model, &f.start);
    mtl_spec_destroy(s);
    return f;
}

static void release(fixture *f)
{
    mtl_model_destroy(f->model);
    mtl_dataset_destroy(f->data);
    for (int t = 0; t < TASKS; t++)
        golden_free(&f->y[t]);
    golden_free(&f->x), golden_free(&f->row_weight), golden_free(&f->start);
}

static void compare_parameters(const fixture *f, const char *variant, int64_t steps)
{
    char name[32];
    int64_t n;
    snprintf(name, sizeof name, "params_%lld", (long long)steps);
    golden g = golden_read(variant_file(variant, name));
    assert_parameters(f->model, &g, BOUND, variant_file(variant, name));
    float *p = parameters(f->model, &n);
    for (int64_t i = 0; i < n; i++) {
        p[i] -= f->start.f[i];
        g.d[i] -= f->start.d[i];
    }
    double distance = golden_distance(n, p, g.d);
    ck_assert_msg(distance < CHANGE_BOUND, "%s: change in %lld steps is off by %g", variant,
                  (long long)steps, distance);
    free(p);
    golden_free(&g);
}

static void compare_outputs(const fixture *f, const char *file)
{
    float out[ROWS * OUTPUTS];
    golden g = golden_read(file);
    ck_assert_int_eq(mtl_model_outputs(f->model), OUTPUTS);
    ck_assert_int_eq(g.count, ROWS * OUTPUTS);
    done(mtl_predict(f->model, ROWS, f->x.f, INPUTS, out, OUTPUTS, err));
    double distance = golden_distance(g.count, out, g.d);
    ck_assert_msg(distance < BOUND, "%s: off by %g", file, distance);
    golden_free(&g);
}

/* Series of the report against losses.npy [steps, tasks]. */
static void compare_losses(const mtl_report *r, const char *variant, int64_t steps)
{
    golden g = golden_read(variant_file(variant, "losses"));
    double total[10] = {0};
    const double *ours;
    int64_t count;
    for (int t = 0; t < TASKS; t++) {
        char name[64];
        snprintf(name, sizeof name, "loss/train/%s", tasks[t].name);
        done(mtl_report_get_series(r, name, &count, &ours, err));
        ck_assert_int_eq(count, steps);
        for (int64_t s = 0; s < steps; s++) {
            double theirs = g.d[s * TASKS + t];
            assert_near(ours[s], theirs, BOUND);
            if (!isnan(theirs))
                total[s] += tasks[t].weight * theirs;
        }
    }
    done(mtl_report_get_series(r, "loss/train", &count, &ours, err));
    ck_assert_int_eq(count, steps);
    for (int64_t s = 0; s < steps; s++)
        assert_near(ours[s], total[s], BOUND);
    golden_free(&g);
}

static void run(const char *variant, bool weighted, const char *more)
{
    static const int64_t steps[] = {1, 2, 10};
    char text[256];
    for (int i = 0; i < 3; i++) {
        fixture f = make(weighted);
        mtl_report *r = NULL;
        snprintf(text, sizeof text,
                 "epochs=%lld batch_size=24 shuffle=0 scale_inputs=0 scale_targets=0 "
                 "validation_split=0 learning_rate=0.001 optimizer=adam:beta1=0.9,beta2=0.999,"
                 "eps=1e-7 %s",
                 (long long)steps[i], more);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        compare_outputs(&f, variant_file(variant, "out_0"));
        done(mtl_fit(f.model, f.data, NULL, o, &r, err));
        ck_assert_double_eq(figure(r, "steps"), (double)steps[i]);
        compare_parameters(&f, variant, steps[i]);
        compare_losses(r, variant, steps[i]);
        if (steps[i] == 10)
            compare_outputs(&f, variant_file(variant, "out_10"));
        mtl_options_destroy(o);
        mtl_report_destroy(r);
        release(&f);
    }
}

START_TEST(plain)
{
    run("plain", false, "");
}
END_TEST

START_TEST(penalties)
{
    run("penalty", false, "l1=0.003 l2=0.01");
}
END_TEST

START_TEST(row_weights)
{
    run("weighted", true, "");
}
END_TEST

START_TEST(gradients)
{
    /* One step with eps = 1, rate 1 and no memory moves each parameter by g / (|g| + 1), so the
       step tells the gradient: g = d / (1 - |d|). */
    static const struct {
        const char *name, *more;
        bool weighted;
    } variant[] = {{"plain", "", false}, {"penalty", "l1=0.003 l2=0.01", false},
                   {"weighted", "", true}};
    for (int v = 0; v < 3; v++) {
        char text[256];
        int64_t n;
        fixture f = make(variant[v].weighted);
        snprintf(text, sizeof text,
                 "epochs=1 batch_size=24 shuffle=0 scale_inputs=0 scale_targets=0 "
                 "validation_split=0 learning_rate=1 optimizer=adam:beta1=0,beta2=0,eps=1 %s",
                 variant[v].more);
        fit(f.model, f.data, text);
        golden g = golden_read(variant_file(variant[v].name, "grads"));
        float *p = parameters(f.model, &n);
        ck_assert_int_eq(n, g.count);
        for (int64_t i = 0; i < n; i++) {
            float d = f.start.f[i] - p[i];
            p[i] = d / (1 - fabsf(d));
        }
        double distance = golden_distance(n, p, g.d);
        ck_assert_msg(distance < BOUND, "%s: gradients off by %g", variant[v].name, distance);
        free(p);
        golden_free(&g);
        release(&f);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden_torch");
    add_case(s, "forward, losses and Adam steps are PyTorch's", plain);
    add_case(s, "l1 and l2 act on weights, not on biases, and stay out of the losses", penalties);
    add_case(s, "row weights enter as sum(w loss) / sum(w)", row_weights);
    add_case(s, "gradients are PyTorch's", gradients);
    return run_suite(s);
}
