/* SPDX-License-Identifier: MIT */
/* The option "weighting": what the trunk gets is J'w, J put together from fits of single tasks, and
   what the heads get is their own. */
#include "api_testing.h"

enum { ROWS = 40, MOST = 65536 };

#define ONE_STEP                                                                                   \
    "epochs=1 batch_size=40 shuffle=0 seed=3 optimizer=sgd learning_rate=1 scale_inputs=0 "        \
    "scale_targets=0 "

static const char *const names[] = {"fails", "tags", "grade", "hours"};

/* ---- Networks ---- */

typedef void spec_fn(mtl_spec *s);

static void plain(mtl_spec *s)
{
    (void)s;
}

static void with_layer_norm(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_add_dense(s, 9, "gelu", err));
}

static void with_batch_norm(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dense(s, 9, "relu", err));
    done(mtl_spec_add_norm(s, "batch", err));
}

static void with_dropout(mtl_spec *s)
{
    done(mtl_spec_add_dropout(s, 0.3, err));
    done(mtl_spec_add_dense(s, 9, "relu", err));
}

static void with_residuals(mtl_spec *s)
{
    done(mtl_spec_add_dense(s, 7, "relu", err));
    done(mtl_spec_add_dense(s, 7, "tanh", err));
    done(mtl_spec_add_residual(s, 2, err));
    done(mtl_spec_add_dense(s, 7, "identity", err));
    done(mtl_spec_add_residual(s, 4, err));
}

static void with_skip(mtl_spec *s)
{
    done(mtl_spec_set_linear_skip(s, 1, err));
}

static void with_towers(mtl_spec *s)
{
    done(mtl_spec_task_set_str(s, "fails", "head", "6:relu,5:tanh", err));
    done(mtl_spec_task_set_str(s, "grade", "head", "4:relu", err));
}

static void with_embedding(mtl_spec *s)
{
    (void)s; /* has to come first: see make_model */
}

static void with_plain_heads(mtl_spec *s)
{
    done(mtl_spec_task_set_str(s, "tags", "head", "", err));
    done(mtl_spec_add_dense(s, 7, "identity", err));
}

/* More inputs than a batch has rows, more columns than are compared at a time, and gradients of inner
   layers that have to be kept. */
static void with_wide_layers(mtl_spec *s)
{
    with_plain_heads(s);
    done(mtl_spec_add_dense(s, 210, "relu", err));
    done(mtl_spec_add_dense(s, 190, "gelu", err));
}

static void with_wide_layers_and_towers(mtl_spec *s)
{
    done(mtl_spec_add_dense(s, 50, "relu", err));
    with_towers(s);
}

static void with_mmoe(mtl_spec *s)
{
    done(mtl_spec_set_architecture(s, "mmoe:experts=3", err));
}

static void with_cgc(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "layer", err));
    done(mtl_spec_set_architecture(s, "cgc:experts=2,own=1", err));
}

static void with_ple(mtl_spec *s)
{
    done(mtl_spec_set_architecture(s, "ple:experts=2,own=1", err));
}

static void with_adapters(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_set_architecture(s, "adapter:units=3", err));
}

static const struct net {
    const char *name;
    spec_fn *fn;
    const char *frozen;
} nets[] = {
    {"plain", plain, NULL},
    {"layer norm", with_layer_norm, NULL},
    {"batch norm", with_batch_norm, NULL},
    {"dropout", with_dropout, NULL},
    {"residuals", with_residuals, NULL},
    {"linear skip", with_skip, NULL},
    {"towers", with_towers, NULL},
    {"embedding", with_embedding, NULL},
    {"plain heads", with_plain_heads, NULL},
    {"wide", with_wide_layers, NULL},
    {"wide, towers", with_wide_layers_and_towers, NULL},
    {"wide, frozen below", with_wide_layers, "trunk.0"},
    {"wide, frozen between", with_wide_layers, "trunk.3.weight"},
    {"frozen below", plain, "trunk.0"},
    {"frozen bias", with_layer_norm, "trunk.1.bias"},
    {"frozen above", with_layer_norm, "trunk.2"},
    /* Tasks own a part of the trunk: that is among the tensors with their own gradient. */
    {"mmoe", with_mmoe, NULL},
    {"cgc", with_cgc, NULL},
    {"ple", with_ple, NULL},
    {"adapter", with_adapters, NULL},
    {"mmoe, an expert frozen", with_mmoe, "trunk.0.expert1"},
};
enum { SHARED_NETS = 16 };

static mtl_model *make_model(const struct net *net, mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    if (net->fn == with_embedding)
        done(mtl_spec_add_embedding(s, 3, 3, 4, err));
    if (net->fn == with_embedding)
        done(mtl_spec_add_numeric_embedding(s, "pbld", 2, (const int64_t[]){0, 4}, err));
    done(mtl_spec_add_dense(s, 12, "relu", err));
    done(mtl_spec_add_dense(s, 7, "tanh", err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "tags", "head", "5:sigmoid", err));
    done(mtl_spec_task_set_f64(s, "hours", "weight", 0.5, err));
    net->fn(s);
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    if (net->frozen)
        done(mtl_model_freeze(m, net->frozen, 1, err));
    return m;
}

/* ---- Gradients from fits ---- */

/* The labels of the tasks of which `mask` has the bit. */
static mtl_dataset *data_of(const problem *p, mtl_context *ctx, int mask)
{
    const float *const label[] = {p->fails, p->tags, p->grade, p->hours};
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    for (int t = 0; t < 4; t++)
        if (mask >> t & 1) {
            int64_t cols = t % 2 ? 2 : 1;
            done(mtl_dataset_set_labels(d, names[t], cols, label[t], cols, err));
        }
    return d;
}

static problem make_problem(int missing)
{
    problem p = problem_make(ROWS, 5, missing);
    for (int64_t r = 0; r < ROWS; r++) {
        p.x[r * PROBLEM_INPUTS + 3] = (float)(r % 3);
        p.hours[2 * r] = (p.hours[2 * r] - 100) / 10;
        p.hours[2 * r + 1] *= 100;
    }
    return p;
}

static mtl_report *fit_one(const struct net *net, const problem *p, mtl_context *ctx, int mask,
                           const char *text, mtl_model **m)
{
    mtl_report *r = NULL;
    mtl_dataset *d = data_of(p, ctx, mask);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    *m = make_model(net, ctx);
    done(mtl_fit(*m, d, NULL, o, &r, err));
    mtl_options_destroy(o);
    mtl_dataset_destroy(d);
    return r;
}

/* Tensors of the trunk (or of the rest) one after the other, without statistics. */
static int64_t pick(const mtl_model *m, bool trunk, float *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t size = tensor_size(m, i, &name);
        if ((strncmp(name, "trunk.", 6) == 0) != trunk || strstr(name, "running"))
            continue;
        ck_assert(n + size <= MOST);
        done(mtl_model_tensor_get(m, name, size, out + n, err));
        n += size;
    }
    return n;
}

/* What one step at rate 1 changed: the gradient. */
static int64_t change(const mtl_model *before, const mtl_model *after, bool trunk, float *out)
{
    static float x[MOST];
    int64_t n = pick(before, trunk, x);
    pick(after, trunk, out);
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] - out[i];
    return n;
}

typedef struct gradients {
    int64_t n, heads;
    float trunk[4][MOST], head[MOST]; /* head: of all tasks, each by its own fit */
    double loss[4];
} gradients;

/* Of the tasks of the mask, each from a fit of its own. */
static void take_gradients(const struct net *net, const problem *p, int mask, gradients *g,
                           mtl_model **fresh)
{
    static float head[MOST];
    mtl_report_destroy(fit_one(net, p, NULL, mask, ONE_STEP "learning_rate=0", fresh));
    memset(g, 0, sizeof *g);
    for (int t = 0; t < 4; t++) {
        char key[64];
        mtl_model *m;
        g->loss[t] = NAN;
        if (!(mask >> t & 1))
            continue;
        mtl_report *r = fit_one(net, p, NULL, 1 << t, ONE_STEP, &m);
        snprintf(key, sizeof key, "loss/train/%s", names[t]);
        g->loss[t] = figure(r, key) * (t == 3 ? 0.5 : 1);
        g->n = change(*fresh, m, true, g->trunk[t]);
        g->heads = change(*fresh, m, false, head);
        for (int64_t i = 0; i < g->heads; i++)
            g->head[i] += head[i];
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
}

/* Of the sum: in "ple" a task's experts serve others, too, whose fits alone do not train them. */
static void take_own_of_sum(const struct net *net, const problem *p, int mask, const mtl_model *fresh,
                            gradients *g)
{
    mtl_model *m;
    mtl_report_destroy(fit_one(net, p, NULL, mask, ONE_STEP, &m));
    g->heads = change(fresh, m, false, g->head);
    mtl_model_destroy(m);
}

static void check_near(const float *got, const float *want, int64_t n, const char *kind,
                       const char *net)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        error = fmax(error, fabs((double)got[i] - (double)want[i]));
        size = fmax(size, fabs((double)want[i]));
    }
    ck_assert_msg(error <= 3e-5 * fmax(size, 0.1), "%s, %s: %g off, of %g", kind, net, error, size);
}

/* What the aggregation says of the gradients. */
static void expect(const char *kind, const gradients *g, double weights[4], float *want)
{
    static float jacobian[4 * MOST];
    mtl_aggregator *agg = NULL;
    for (int t = 0; t < 4; t++)
        memcpy(jacobian + t * g->n, g->trunk[t], (size_t)g->n * sizeof(float));
    done(mtl_aggregator_create(kind, 4, g->n, 3, &agg, err));
    done(mtl_aggregator_step(agg, jacobian, g->n, g->loss, weights, want, NULL, err));
    mtl_aggregator_destroy(agg);
}

static void check_weights(const mtl_report *r, const double weights[4], int mask, const char *kind,
                          const struct net *net)
{
    for (int t = 0; t < 4; t++) {
        char text[64];
        snprintf(text, sizeof text, "weight/%s", names[t]);
        if (mask >> t & 1)
            ck_assert_msg(fabs(figure(r, text) - weights[t]) <= 2e-4 * fmax(fabs(weights[t]), 0.1),
                          "%s, %s: %s is %g, not %g", kind, net->name, text, figure(r, text),
                          weights[t]);
        else
            ck_assert_int_eq(mtl_report_type(r, text), 0);
    }
}

static void check_step(const struct net *net, const problem *p, int mask, const char *kind)
{
    static gradients g;
    static float want[MOST], got[MOST];
    char text[256];
    double weights[4];
    mtl_model *fresh, *m;
    take_gradients(net, p, mask, &g, &fresh);
    if (net->fn == with_ple)
        take_own_of_sum(net, p, mask, fresh, &g);
    expect(kind, &g, weights, want);
    snprintf(text, sizeof text, ONE_STEP "weighting=%s", kind);
    mtl_report *r = fit_one(net, p, NULL, mask, text, &m);
    change(fresh, m, true, got);
    check_near(got, want, g.n, kind, net->name);
    change(fresh, m, false, got);
    check_near(got, g.head, g.heads, kind, net->name);
    check_weights(r, weights, mask, kind, net);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(fresh);
}

static const char *const kinds[] = {"mean",
                                    "constant:weights=1/2/0.5/3",
                                    "rlw",
                                    "mgda",
                                    "mgda:normalise=loss",
                                    "pcgrad",
                                    "gradvac",
                                    "cagrad",
                                    "imtl_g",
                                    "nash",
                                    "fairgrad:alpha=2",
                                    "upgrad",
                                    "aligned_mtl",
                                    "dualproj",
                                    "config",
                                    "gradnorm",
                                    "gated:main=1/0/0/1",
                                    "a_gem:main=1/0/0/0",
                                    "uw",
                                    "dwa",
                                    "gls",
                                    "imtl_l",
                                    "stch",
                                    "famo",
                                    "db_mtl",
                                    "excess_mtl:eta=0.5",
                                    "upgrad:pref=1/2/3/4"};

START_TEST(the_trunk_gets_what_the_aggregation_says)
{
    problem p = make_problem(15);
    for (int k = 0; k < MTL__COUNT_OF(kinds); k++)
        check_step(&nets[0], &p, 15, kinds[k]);
    problem_free(&p);
}
END_TEST

START_TEST(whatever_the_network_is_made_of)
{
    problem p = make_problem(15);
    for (int n = 1; n < MTL__COUNT_OF(nets); n++) {
        check_step(&nets[n], &p, 15, "upgrad");
        check_step(&nets[n], &p, 15, "mgda:normalise=l2");
        if (n < SHARED_NETS)
            check_step(&nets[n], &p, 15, "gls");
        else
            check_step(&nets[n], &p, 13, "nash");
        check_step(&nets[n], &p, 15, "excess_mtl");
    }
    problem_free(&p);
}
END_TEST

/* All rows are one, and what they ask of the outputs is opposite: of the rows' gradients little is
   left. */
START_TEST(rows_may_cancel)
{
    static gradients g;
    static float want[MOST];
    const struct net net = {"wide", with_wide_layers, NULL};
    problem p = make_problem(0);
    double weights[4];
    mtl_model *fresh, *m;
    for (int64_t r = 0; r < ROWS; r++) {
        memcpy(p.x + r * PROBLEM_INPUTS, p.x, PROBLEM_INPUTS * sizeof *p.x);
        p.hours[2 * r] = 2 * r < ROWS ? 1e6f : -1e6f;
        p.hours[2 * r + 1] = 2 * r < ROWS ? 2e6f : -2e6f;
    }
    take_gradients(&net, &p, 15, &g, &fresh);
    expect("mgda:normalise=l2", &g, weights, want);
    mtl_report *r = fit_one(&net, &p, NULL, 15, ONE_STEP "weighting=mgda:normalise=l2", &m);
    check_weights(r, weights, 15, "mgda:normalise=l2", &net);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(fresh);
    problem_free(&p);
}
END_TEST

START_TEST(absent_tasks_take_no_part)
{
    problem p = make_problem(15);
    static const char *const some[] = {"db_mtl", "mgda", "nash", "upgrad", "gls", "rlw", "mean", "dwa"};
    for (int mask = 1; mask < 15; mask++)
        for (int k = 0; k < MTL__COUNT_OF(some); k++)
            if (mask == 5 || mask == 8 || mask == 14)
                check_step(&nets[0], &p, mask, some[k]);
    /* Labels there are, but none in this batch. */
    for (int64_t i = 0; i < 2 * ROWS; i++)
        p.hours[i] = NAN;
    mtl_model *a, *b;
    mtl_report_destroy(fit_one(&nets[0], &p, NULL, 7, ONE_STEP "weighting=mgda", &a));
    p.rows = ROWS;
    p.hours[0] = 1; /* the row is left to the second batch */
    mtl_report *r = fit_one(&nets[0], &p, NULL, 15, ONE_STEP "weighting=mgda sampling=shuffle", &b);
    ck_assert(figure(r, "weight/hours") >= 0);
    mtl_report_destroy(r);
    mtl_model_destroy(a), mtl_model_destroy(b);
    problem_free(&p);
}
END_TEST

/* ---- Scope "features" ---- */

/* In the first step nobody has a label, or one of weight 0. */
START_TEST(a_step_may_have_no_labels)
{
    static const char *const texts[] = {"weighting=upgrad", "weighting=upgrad weighting_scope=features",
                                        "weighting=dwa", "weighting=famo", "weighting=gradnorm"};
    static const float weight[] = {0, 0, 1, 1};
    float x[4] = {1, 2, 3, 4}, y[2][4] = {{NAN, NAN, 1, 0}, {1, 2, 3, 5}};
    for (int k = 0; k < MTL__COUNT_OF(texts); k++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        mtl_dataset *d = NULL;
        mtl_report *r = NULL;
        done(mtl_spec_create(NULL, 1, &s, err));
        done(mtl_spec_add_dense(s, 3, "tanh", err));
        done(mtl_spec_add_task(s, "a", MTL_BINARY, 1, err));
        done(mtl_spec_add_task(s, "b", MTL_REGRESSION, 1, err));
        done(mtl_model_create(s, &m, err));
        done(mtl_dataset_create(NULL, x, 4, 1, 1, &d, err));
        done(mtl_dataset_set_labels(d, "a", 1, y[0], 1, err));
        done(mtl_dataset_set_labels(d, "b", 1, y[1], 1, err));
        done(mtl_dataset_set_weights(d, "b", weight, err));
        char text[128];
        snprintf(text, sizeof text, "batch_size=2 epochs=2 shuffle=0 %s", texts[k]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        done(mtl_fit(m, d, NULL, o, &r, err));
        ck_assert(isfinite(figure(r, "loss/train")));
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
        mtl_spec_destroy(s);
    }
}
END_TEST

enum { WIDTH = 7, FEATURE_ROWS = 12 };

/* Of one row the gradient by the trunk's output is that by the last layer's bias, if that layer has
   no activation. */
static void take_row(const struct net *net, const char *bias, const problem *p, int64_t row,
                     float *jacobian, int64_t ld)
{
    static gradients g;
    problem one = *p;
    mtl_model *fresh;
    int64_t at = 0;
    one.rows = 1;
    one.x += row * PROBLEM_INPUTS;
    one.fails += row, one.grade += row, one.tags += 2 * row, one.hours += 2 * row;
    take_gradients(net, &one, 15, &g, &fresh);
    for (int64_t i = 0; i < mtl_model_tensor_count(fresh); i++) {
        const char *name;
        int64_t size = tensor_size(fresh, i, &name);
        if (strcmp(name, bias) == 0)
            break;
        at += size;
    }
    for (int t = 0; t < 4; t++)
        memcpy(jacobian + t * ld + row * WIDTH, g.trunk[t] + at, WIDTH * sizeof(float));
    mtl_model_destroy(fresh);
}

static void check_features(const struct net *net, const char *bias, int64_t rows)
{
    static float jacobian[4 * FEATURE_ROWS * WIDTH];
    problem p = make_problem(0);
    const int64_t ld = rows * WIDTH;
    mtl_model *m;
    double weights[4];
    p.rows = rows;
    for (int64_t r = 0; r < rows; r++)
        take_row(net, bias, &p, r, jacobian, ld);
    done(mtl_aggregate("mgda", 4, ld, jacobian, ld, NULL, weights, NULL, NULL, err));
    mtl_report *r =
        fit_one(net, &p, NULL, 15, ONE_STEP "weighting=mgda weighting_scope=features", &m);
    for (int t = 0; t < 4; t++) {
        char key[64];
        snprintf(key, sizeof key, "weight/%s", names[t]);
        ck_assert_msg(fabs(figure(r, key) - weights[t]) < 1e-4, "%s, %s: %g, not %g", net->name,
                      key, figure(r, key), weights[t]);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    problem_free(&p);
}

/* In two small products where all heads are plain and that is less, else row by row. The residual
   hands its gradient on as it is. */
START_TEST(features_are_compared_at_the_trunks_output)
{
    const struct net tower = {"a tower", with_residuals, NULL},
                     heads = {"plain heads", with_plain_heads, NULL};
    check_features(&tower, "trunk.4.bias", 1);
    check_features(&tower, "trunk.4.bias", 5);
    check_features(&heads, "trunk.2.bias", 5);
    check_features(&heads, "trunk.2.bias", FEATURE_ROWS);
}
END_TEST

/* ---- Scope "layer" ---- */

/* Where a layer's tensors stand among those of the trunk, and where they end; false = no such layer. */
static bool layer_range(const mtl_model *m, int layer, int64_t *first, int64_t *end)
{
    char prefix[32];
    int64_t at = 0;
    bool any = false;
    snprintf(prefix, sizeof prefix, "trunk.%d.", layer);
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        const int64_t size = tensor_size(m, i, &name);
        const bool is_its = strncmp(name, prefix, strlen(prefix)) == 0;
        if (strncmp(name, "trunk.", 6) != 0 || strstr(name, "running"))
            continue;
        *first = is_its && !any ? at : *first;
        at += size;
        *end = is_its ? at : *end;
        any = any || is_its;
    }
    return any;
}

/* Each layer's own columns of J, with the weights that the aggregation has for these alone. */
static void expect_by_layer(const char *kind, const gradients *g, const mtl_model *m,
                            double weights[4], float *want)
{
    static gradients part;
    int64_t first = 0, end = 0;
    int layers = 0;
    memset(weights, 0, 4 * sizeof *weights);
    for (int layer = 0; layer_range(m, layer, &first, &end); layer++) {
        double own[4], size = 0;
        memset(&part, 0, sizeof part);
        part.n = end - first;
        memcpy(part.loss, g->loss, sizeof part.loss);
        for (int t = 0; t < 4; t++)
            for (int64_t i = first; i < end; i++) {
                part.trunk[t][i - first] = g->trunk[t][i];
                size += fabs((double)g->trunk[t][i]);
            }
        if (size == 0) { /* frozen */
            memset(want + first, 0, (size_t)part.n * sizeof *want);
            continue;
        }
        expect(kind, &part, own, want + first);
        for (int t = 0; t < 4; t++)
            weights[t] += own[t];
        layers++;
    }
    for (int t = 0; t < 4; t++)
        weights[t] /= layers;
}

static void check_layers(const struct net *net, const problem *p, int mask, const char *kind)
{
    static gradients g;
    static float want[MOST], got[MOST];
    char text[256];
    double weights[4];
    mtl_model *fresh, *m;
    take_gradients(net, p, mask, &g, &fresh);
    expect_by_layer(kind, &g, fresh, weights, want);
    snprintf(text, sizeof text, ONE_STEP "weighting_scope=layer weighting=%s", kind);
    mtl_report *r = fit_one(net, p, NULL, mask, text, &m);
    change(fresh, m, true, got);
    check_near(got, want, g.n, kind, net->name);
    change(fresh, m, false, got);
    check_near(got, g.head, g.heads, kind, net->name);
    check_weights(r, weights, mask, kind, net);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(fresh);
}

START_TEST(each_layer_may_have_weights_of_its_own)
{
    static const char *const of_gradients[] = {"mgda:normalise=l2", "pcgrad",   "cagrad",
                                               "gradvac",           "fairgrad", "gradnorm"};
    problem p = make_problem(15);
    for (int n = 0; n < SHARED_NETS; n++)
        check_layers(&nets[n], &p, 15, "upgrad");
    for (int k = 0; k < MTL__COUNT_OF(of_gradients); k++)
        for (int n = 0; n < 2; n++)
            check_layers(&nets[n], &p, 15, of_gradients[k]);
    check_layers(&nets[0], &p, 13, "imtl_g");
    check_layers(&nets[1], &p, 4, "nash");
    problem_free(&p);
}
END_TEST

/* Of one layer it is the scope "trunk"; and in a step without labels there is nothing to weigh. */
START_TEST(one_layer_is_the_trunk)
{
    problem p = make_problem(15);
    for (int64_t i = 0; i < ROWS / 2; i++) {
        p.fails[i] = p.grade[i] = NAN;
        p.tags[2 * i] = p.tags[2 * i + 1] = p.hours[2 * i] = p.hours[2 * i + 1] = NAN;
    }
    static const struct net one = {"frozen below", with_plain_heads, "trunk.0..1"};
    static const char *const scope[] = {"trunk", "layer"};
    static float x[2][MOST];
    int64_t n = 0;
    for (int i = 0; i < 2; i++) {
        mtl_model *m;
        char text[256];
        snprintf(text, sizeof text, "epochs=2 batch_size=10 shuffle=0 seed=3 weighting=gradvac "
                                    "weighting_every=2 weighting_scope=%s", scope[i]);
        mtl_report_destroy(fit_one(&one, &p, NULL, 15, text, &m));
        n = pick(m, true, x[i]);
        mtl_model_destroy(m);
    }
    check_near(x[1], x[0], n, "gradvac", one.name);
    problem_free(&p);
}
END_TEST

/* ---- Kinds that look at single values ---- */

/* Of each value the parts of one sign: chance, which is not what it is elsewhere, says of which. */
START_TEST(graddrop_keeps_one_sign)
{
    static gradients g;
    static float got[MOST];
    problem p = make_problem(15);
    for (int n = 0; n < 2; n++) {
        mtl_model *fresh, *m;
        int64_t up = 0, down = 0;
        take_gradients(&nets[n], &p, 15, &g, &fresh);
        mtl_report *r = fit_one(&nets[n], &p, NULL, 15, ONE_STEP "weighting=graddrop", &m);
        change(fresh, m, true, got);
        for (int64_t i = 0; i < g.n; i++) {
            float sum[2] = {0, 0};
            for (int t = 0; t < 4; t++)
                sum[g.trunk[t][i] > 0] += g.trunk[t][i];
            const bool is_up = fabsf(got[i] - sum[1]) <= fabsf(got[i] - sum[0]);
            ck_assert_msg(fabsf(got[i] - sum[is_up]) <= 2e-6f + 1e-5f * fabsf(sum[is_up]),
                          "value %lld is %g, not %g or %g", (long long)i, (double)got[i],
                          (double)sum[0], (double)sum[1]);
            up += is_up && sum[0] < -1e-4f && sum[1] > 1e-4f;
            down += !is_up && sum[0] < -1e-4f && sum[1] > 1e-4f;
        }
        ck_assert(up > 3 && down > 3);
        change(fresh, m, false, got);
        check_near(got, g.head, g.heads, "graddrop", nets[n].name);
        mtl_report_destroy(r);
        mtl_model_destroy(m), mtl_model_destroy(fresh);
    }
    problem_free(&p);
}
END_TEST

/* ---- Many tasks ---- */

/* A thousand tasks of which a row has a few: every kind of the losses stays finite and learns. */
START_TEST(a_thousand_tasks)
{
    enum { N = 200, TASKS = 1000, EVERY = 20 };
    static const char *const of_losses[] = {"mean", "rlw", "uw", "dwa", "gls", "imtl_l", "stch",
                                            "famo", "constant"};
    static float x[N * 3], y[TASKS][N];
    uint64_t seed = 5;
    mtl_spec *s = NULL;
    mtl_dataset *d = NULL;
    for (int64_t i = 0; i < 3 * N; i++)
        x[i] = next_unit(&seed);
    done(mtl_spec_create(NULL, 3, &s, err));
    done(mtl_spec_add_dense(s, 8, "tanh", err));
    done(mtl_dataset_create(NULL, x, N, 3, 3, &d, err));
    for (int t = 0; t < TASKS; t++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", t);
        for (int64_t r = 0; r < N; r++)
            y[t][r] = (t + r) % EVERY ? NAN : x[3 * r + t % 3] + x[3 * r + (t + 1) % 3];
        done(mtl_spec_add_task(s, name, MTL_REGRESSION, 1, err));
        done(mtl_dataset_set_labels(d, name, 1, y[t], 1, err));
    }
    for (int k = 0; k < MTL__COUNT_OF(of_losses); k++) {
        mtl_model *m = NULL;
        mtl_report *r = NULL;
        char text[128];
        const double *series;
        int64_t count;
        snprintf(text, sizeof text, "epochs=25 batch_size=50 learning_rate=0.01 weighting=%s",
                 of_losses[k]);
        mtl_options *o = options(MTL_OPTIONS_FIT, text);
        done(mtl_model_create(s, &m, err));
        done(mtl_fit(m, d, NULL, o, &r, err));
        done(mtl_report_get_series(r, "loss/train", &count, &series, err));
        ck_assert_msg(isfinite(series[count - 1]) && series[count - 1] < 0.7 * series[0],
                      "%s: from %g to %g", of_losses[k], series[0], series[count - 1]);
        ck_assert(isfinite(figure(r, "weight/t7")) && figure(r, "weight/t7") > 0);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    mtl_spec_destroy(s);
}
END_TEST

/* ---- The report ---- */

START_TEST(cosines_and_conflicts_are_reported)
{
    static gradients g;
    problem p = make_problem(10);
    mtl_model *fresh, *m;
    take_gradients(&nets[0], &p, 15, &g, &fresh);
    mtl_report *r = fit_one(&nets[0], &p, NULL, 15, ONE_STEP "weighting=upgrad", &m);
    double conflicts = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) {
            char key[64];
            double dot = 0, a = 0, b = 0;
            for (int64_t k = 0; k < g.n; k++) {
                dot += (double)g.trunk[i][k] * (double)g.trunk[j][k];
                a += (double)g.trunk[i][k] * (double)g.trunk[i][k];
                b += (double)g.trunk[j][k] * (double)g.trunk[j][k];
            }
            conflicts += dot < 0;
            snprintf(key, sizeof key, "cosine/%s/%s", names[j], names[i]);
            ck_assert_msg(fabs(figure(r, key) - dot / sqrt(a * b)) < 1e-4, "%s: %g, not %g", key,
                          figure(r, key), dot / sqrt(a * b));
        }
    ck_assert_double_eq_tol(figure(r, "conflicts"), conflicts / 6, 1e-12);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(fresh);
    problem_free(&p);
}
END_TEST

/* ---- What it must not change ---- */

START_TEST(the_sum_and_weights_of_one_are_the_plain_fit)
{
    problem p = make_problem(15);
    mtl_model *a, *b;
    mtl_report_destroy(fit_one(&nets[0], &p, NULL, 15, "epochs=4 seed=2", &a));
    mtl_report *r = fit_one(&nets[0], &p, NULL, 15, "epochs=4 seed=2 weighting=sum", &b);
    ck_assert_int_eq(mtl_report_type(r, "weight/fails"), 0);
    assert_same_model(a, b);
    mtl_report_destroy(r);
    mtl_model_destroy(b);
    mtl_report_destroy(fit_one(&nets[0], &p, NULL, 15, "epochs=4 seed=2 weighting=constant", &b));
    assert_same_model(a, b);
    mtl_model_destroy(b);
    /* One task is always itself, and a trunk that is frozen has nothing to weigh. */
    mtl_model_destroy(a);
    mtl_report_destroy(fit_one(&nets[0], &p, NULL, 1, "epochs=4 seed=2", &a));
    mtl_report_destroy(fit_one(&nets[0], &p, NULL, 1, "epochs=4 seed=2 weighting=upgrad", &b));
    assert_same_model(a, b);
    mtl_model_destroy(a), mtl_model_destroy(b);
    const struct net frozen = {"frozen", plain, "trunk"};
    mtl_report_destroy(fit_one(&frozen, &p, NULL, 15, "epochs=4 seed=2", &a));
    mtl_report_destroy(fit_one(&frozen, &p, NULL, 15, "epochs=4 seed=2 weighting=upgrad", &b));
    assert_same_model(a, b);
    mtl_model_destroy(a), mtl_model_destroy(b);
    problem_free(&p);
}
END_TEST

START_TEST(a_model_without_trunk_has_nothing_to_weigh)
{
    problem p = make_problem(15);
    mtl_model *m[2];
    for (int i = 0; i < 2; i++) {
        mtl_spec *s = NULL;
        mtl_dataset *d = data_of(&p, NULL, 5);
        done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
        done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
        done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
        done(mtl_model_create(s, &m[i], err));
        fit(m[i], d, i ? "epochs=2 weighting=upgrad" : "epochs=2");
        mtl_spec_destroy(s);
        mtl_dataset_destroy(d);
    }
    assert_same_model(m[0], m[1]);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    problem_free(&p);
}
END_TEST

START_TEST(a_judge_weighs_the_shared_network_alone)
{
    problem p = make_problem(5);
    mtl_model *m;
    mtl_report *r = fit_one(&nets[0], &p, NULL, 15,
                            "epochs=2 judge=1 judge_folds=2 weighting=constant:weights=1/2/1/3", &m);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    problem_free(&p);
}
END_TEST

/* ---- Bits ---- */

static const struct golden {
    int net;
    const char *text;
    uint64_t hash;
} goldens[] = {
    {2, "epochs=3 batch_size=12 seed=4 weighting=upgrad", 0x807d590586e7a02a},
    {2, "epochs=3 batch_size=12 seed=4 weighting=cagrad weighting_scope=features", 0x64339b7ef514d268},
    {2, "epochs=3 batch_size=12 seed=4 weighting=pcgrad weighting_every=2", 0x550d26a77cafe9c9},
    {2, "epochs=3 batch_size=12 seed=4 weighting=famo", 0xf3d582221855ae64},
    {2, "epochs=3 batch_size=12 seed=4 weighting=gradnorm", 0x8444431f85a38090},
    {9, "epochs=3 batch_size=12 seed=4 weighting=upgrad", 0xd411d19a046afd7f},
    {8, "epochs=3 batch_size=40 seed=4 weighting=cagrad weighting_scope=features", 0xd1a7f79e82170a1c},
    {10, "epochs=2 batch_size=12 seed=4 weighting=nash", 0x70ae56ecd6171ecd},
    {2, "epochs=3 batch_size=12 seed=4 weighting=db_mtl:sigma=0.5", 0xefd4a731d33d83d7},
    {10, "epochs=3 batch_size=12 seed=4 weighting=excess_mtl:eta=1", 0x5f869988d5c99e9a},
    {1, "epochs=3 batch_size=12 seed=4 weighting=graddrop", 0x0fc9ef97cfa67668},
    {2, "epochs=3 batch_size=12 seed=4 weighting=gradvac weighting_scope=layer", 0x453002137d7edf3a},
    {10, "epochs=2 batch_size=12 seed=4 weighting=upgrad weighting_scope=layer weighting_every=2",
     0xdaac56c76f4187d3},
    {16, "epochs=3 batch_size=12 seed=4 weighting=upgrad", 0xc9cf6c4ff820cd32},
    {18, "epochs=3 batch_size=12 seed=4 weighting=cagrad weighting_every=2", 0x45e986a7287d75d1},
    {17, "epochs=3 batch_size=12 seed=4 weighting=graddrop", 0x8f9352a41d1f0a48},
};

START_TEST(the_bits_do_not_depend_on_the_machine)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=1 cpu=avx2", "threads=2",
                                           "threads=1 cpu=avx512", "threads=7"};
    problem p = make_problem(15);
    for (int g = 0; g < MTL__COUNT_OF(goldens); g++)
        for (int c = 0; c < MTL__COUNT_OF(contexts); c++) {
            mtl_context *ctx = context(contexts[c]);
            mtl_model *m;
            mtl_report_destroy(fit_one(&nets[goldens[g].net], &p, ctx, 15, goldens[g].text, &m));
            const uint64_t hash = model_hash(m);
            if (getenv("MTL_TEST_PRINT") && c == 0)
                printf("    {%d, \"%s\", 0x%016llx},\n", goldens[g].net, goldens[g].text,
                       (unsigned long long)hash);
            else if (!getenv("MTL_TEST_PRINT"))
                ck_assert_msg(hash == goldens[g].hash, "%s with %s: 0x%016llx", goldens[g].text,
                              contexts[c], (unsigned long long)hash);
            mtl_model_destroy(m);
            mtl_context_destroy(ctx);
        }
    problem_free(&p);
}
END_TEST

/* ---- Failures ---- */

START_TEST(kinds_that_cannot_serve_are_refused)
{
    problem p = make_problem(15);
    mtl_dataset *d = data_of(&p, NULL, 15);
    mtl_model *m = make_model(&nets[0], NULL), *before = NULL;
    static const struct {
        const char *text;
        mtl_status status;
        const char *part;
    } bad[] = {
        {"weighting=graddrop weighting_every=2", MTL_ERR_INVALID, "graddrop"},
        {"weighting=db_mtl weighting_scope=features", MTL_ERR_INVALID, "db_mtl"},
        {"weighting=excess_mtl weighting_scope=layer", MTL_ERR_INVALID, "excess_mtl"},
        {"weighting=constant:weights=1/2", MTL_ERR_RANGE, "2 numbers are listed for 4 tasks"},
        {"weighting=uw weighting_scope=layer", MTL_ERR_INVALID, "compare gradients"},
        {"weighting=mean weighting_scope=layer", MTL_ERR_INVALID, "\"mean\""},
    };
    fit(m, d, "epochs=1");
    done(mtl_model_clone(m, &before, err));
    for (int i = 0; i < MTL__COUNT_OF(bad); i++) {
        mtl_options *o = options(MTL_OPTIONS_FIT, bad[i].text);
        refused(mtl_fit(m, d, NULL, o, NULL, err), bad[i].status, bad[i].part);
        mtl_options_destroy(o);
    }
    assert_same_model(m, before);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1");
    refused(mtl_options_set_str(o, "weighting", "upgrat", err), MTL_ERR_RANGE, "upgrad");
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(before);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

static int32_t below_zero(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                          const float *label, const float *weight, double *value, float *gradient,
                          void *user)
{
    (void)outputs, (void)label_cols, (void)weight, (void)user, (void)label;
    *value = 0;
    for (int64_t i = 0; i < rows; i++) {
        *value += (double)z[i] - 100;
        if (gradient)
            gradient[i] = 1;
    }
    return MTL_CONTINUE;
}

START_TEST(a_loss_below_zero_is_named)
{
    problem p = make_problem(0);
    mtl_dataset *d = data_of(&p, NULL, 15);
    mtl_model *m = make_model(&nets[0], NULL);
    done(mtl_model_set_loss(m, "fails", below_zero, NULL, err));
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1 weighting=gls");
    refused(mtl_fit(m, d, NULL, o, NULL, err), MTL_ERR_VALUE, "fails");
    fit(m, d, "epochs=1 weighting=upgrad"); /* which does not look at losses */
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* ---- Memory ---- */

typedef struct swept {
    mtl_context *ctx;
    mtl_dataset *d;
    mtl_model *m;
    const char *text;
} swept;

static mtl_status fit_swept(void *arg)
{
    swept *s = arg;
    mtl_options *o = options(MTL_OPTIONS_FIT, s->text);
    mtl_report *r = NULL;
    mtl_status st = mtl_fit(s->m, s->d, NULL, o, &r, NULL);
    mtl_report_destroy(r);
    mtl_options_destroy(o);
    return st;
}

static long long calls_of(const problem *p, const char *text)
{
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    mtl_model *m;
    mtl_report *r = fit_one(&nets[0], p, ctx, 15, text, &m);
    long long calls = atomic_load(&memory.calls);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    return calls;
}

START_TEST(a_step_takes_no_memory_and_none_fails_unseen)
{
    problem p = make_problem(15);
    test_memory memory = {0};
    swept s = {.ctx = counted_context(&memory, "threads=1")};
    s.d = data_of(&p, s.ctx, 15);
    s.m = make_model(&nets[0], s.ctx);
    static const char *const texts[] = {"epochs=1 weighting=gradvac", "epochs=1 weighting=db_mtl",
                                        "epochs=1 weighting=gradvac weighting_scope=layer"};
    for (int i = 0; i < MTL__COUNT_OF(texts); i++) {
        s.text = texts[i];
        ck_assert_int_gt(sweep_allocations(&memory, fit_swept, &s), 1);
    }
    mtl_model_destroy(s.m);
    mtl_dataset_destroy(s.d);
    mtl_context_destroy(s.ctx);
    ck_assert_int_eq(calls_of(&p, "epochs=1 batch_size=40 weighting=upgrad"),
                     calls_of(&p, "epochs=1 batch_size=2 weighting=upgrad"));
    ck_assert_int_eq(calls_of(&p, "epochs=1 batch_size=40 weighting=upgrad weighting_scope=layer"),
                     calls_of(&p, "epochs=1 batch_size=2 weighting=upgrad weighting_scope=layer"));
    ck_assert_int_eq(calls_of(&p, "epochs=1 batch_size=40 weighting=excess_mtl"),
                     calls_of(&p, "epochs=1 batch_size=2 weighting=excess_mtl"));
    problem_free(&p);
}
END_TEST

enum { MANY = 16, MOST_INPUTS = 128, MANY_ROWS = 256 };

typedef struct held {
    test_memory *memory;
    long long bytes;
} held;

static int32_t note_bytes(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                          void *user)
{
    held *h = user;
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    h->bytes = atomic_load(&h->memory->live_bytes);
    return 1;
}

/* Bytes that are held while a network of two layers learns many tasks. */
static long long bytes_of(int inputs, int units, const char *text)
{
    static float x[MANY_ROWS * MOST_INPUTS], y[MANY_ROWS];
    test_memory memory = {0};
    held h = {.memory = &memory};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    uint64_t state = 1;
    for (int i = 0; i < MANY_ROWS * inputs; i++)
        x[i] = next_unit(&state);
    for (int i = 0; i < MANY_ROWS; i++)
        y[i] = (float)(i % 2);
    done(mtl_dataset_create(ctx, x, MANY_ROWS, inputs, inputs, &d, err));
    done(mtl_spec_create(ctx, inputs, &s, err));
    done(mtl_spec_add_dense(s, units, "relu", err));
    done(mtl_spec_add_dense(s, units, "relu", err));
    for (int t = 0; t < MANY; t++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", t);
        done(mtl_spec_add_task(s, name, MTL_BINARY, 1, err));
        done(mtl_dataset_set_labels(d, name, 1, y, 1, err));
    }
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_options_set_progress(o, note_bytes, &h, err));
    done(mtl_fit(m, d, NULL, o, NULL, err));
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    return h.bytes;
}

/* Of small networks the gradients of sixteen tasks in the trunk's layers are more. */
START_TEST(many_tasks_take_little_more_memory)
{
    static const struct {
        int inputs, units;
        const char *plain;
        double most_trunk;
    } runs[] = {{128, 256, "epochs=1 batch_size=256", 1.3},
                {128, 256, "epochs=1 batch_size=32", 1.3},
                {20, 64, "epochs=1 batch_size=32", 1.5},
                {20, 64, "epochs=1 batch_size=256", 1.5}};
    for (int i = 0; i < MTL__COUNT_OF(runs); i++) {
        const long long plain = bytes_of(runs[i].inputs, runs[i].units, runs[i].plain);
        ck_assert_int_gt(plain, 100000);
        for (int features = 0; features < 2; features++) {
            char text[128];
            snprintf(text, sizeof text, "%s weighting=upgrad weighting_scope=%s", runs[i].plain,
                     features ? "features" : "trunk");
            const long long bytes = bytes_of(runs[i].inputs, runs[i].units, text);
            const double most = features ? 1.25 : runs[i].most_trunk;
            ck_assert_msg((double)bytes < most * (double)plain, "%d inputs, %s: %lld bytes, plain %lld",
                          runs[i].inputs, text, bytes, plain);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("weighting");
    add_case(s, "kinds", the_trunk_gets_what_the_aggregation_says);
    add_case(s, "networks", whatever_the_network_is_made_of);
    add_case(s, "cancellation", rows_may_cancel);
    add_case(s, "absent", absent_tasks_take_no_part);
    add_case(s, "a step without labels", a_step_may_have_no_labels);
    add_case(s, "features", features_are_compared_at_the_trunks_output);
    add_case(s, "layers", each_layer_may_have_weights_of_its_own);
    add_case(s, "one layer", one_layer_is_the_trunk);
    add_case(s, "graddrop", graddrop_keeps_one_sign);
    add_case(s, "a thousand tasks", a_thousand_tasks);
    add_case(s, "cosines", cosines_and_conflicts_are_reported);
    add_case(s, "sum", the_sum_and_weights_of_one_are_the_plain_fit);
    add_case(s, "no trunk", a_model_without_trunk_has_nothing_to_weigh);
    add_case(s, "judge", a_judge_weighs_the_shared_network_alone);
    add_case(s, "bits", the_bits_do_not_depend_on_the_machine);
    add_case(s, "refused", kinds_that_cannot_serve_are_refused);
    add_case(s, "below zero", a_loss_below_zero_is_named);
    add_case(s, "memory", a_step_takes_no_memory_and_none_fails_unseen);
    add_case(s, "many tasks", many_tasks_take_little_more_memory);
    return run_suite(s);
}
