/* SPDX-License-Identifier: MIT */
/* Strategies of transfer that guide the steps: what they train, what they add to the gradients. */
#include "api_testing.h"

#include "model/model.h"
#include "rng/rng.h"
#include "solve/solve.h"
#include "transfer/move.h"

enum { ROWS = 200, FEW = 40, IN = PROBLEM_INPUTS, OUT = PROBLEM_OUTPUTS, NUMBERS = 4096 };

#define COUNT(list) (sizeof(list) / sizeof *(list))
/* Plain gradient descent on all rows, of which each step can be worked out. */
#define PLAIN "batch_size=1000 learning_rate=0.1 trunk_rate=1 shuffle=0 optimizer=sgd "

/* A fitted source, its rows, and few rows of two new tasks. */
typedef struct scene {
    problem p, few;
    mtl_dataset *known, *target;
    mtl_model *source;
    float *both, *sum;
} scene;

static mtl_spec *trunk_of(mtl_context *ctx, const char *norm)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, IN, &s, err));
    done(mtl_spec_add_dense(s, 9, "tanh", err));
    if (norm)
        done(mtl_spec_add_norm(s, norm, err));
    done(mtl_spec_add_dense(s, 5, "tanh", err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_task_set_str(s, "tags", "head", "4:tanh", err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_f64(s, "hours", "weight", 0.5, err));
    return s;
}

static scene *scene_of(mtl_context *ctx, mtl_spec *spec)
{
    scene *s = calloc(1, sizeof *s);
    s->p = problem_make(ROWS, 31, 0), s->few = problem_make(FEW, 32, 0);
    s->both = floats(FEW), s->sum = floats(FEW);
    for (int i = 0; i < FEW; i++) {
        s->both[i] = s->few.fails[i] > 0.5f && s->few.grade[i] < 1.5f;
        s->sum[i] = s->few.hours[2 * i] + 10 * s->few.grade[i];
    }
    s->known = problem_data(&s->p, ctx);
    done(mtl_model_create(spec, &s->source, err));
    mtl_spec_destroy(spec);
    fit(s->source, s->known, "epochs=20 learning_rate=0.01 seed=3");
    done(mtl_dataset_create(ctx, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "both", 1, s->both, 1, err));
    done(mtl_dataset_set_labels(s->target, "sum", 1, s->sum, 1, err));
    return s;
}

static scene *scene_make(mtl_context *ctx)
{
    return scene_of(ctx, trunk_of(ctx, NULL));
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    problem_free(&s->p), problem_free(&s->few);
    free(s->both), free(s->sum), free(s);
}

static mtl_model *moved(const scene *s, const char *strategy, const char *more)
{
    char text[400];
    snprintf(text, sizeof text, "strategy=%s %s", strategy, more);
    return transferred(s->source, s->target, s->known, text, NULL);
}

static void refuse(const scene *s, const char *text, mtl_status status, const char *part)
{
    mtl_model *m = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    refused(mtl_transfer(s->source, s->target, s->known, o, &m, NULL, err), status, part);
    ck_assert_ptr_null(m);
    mtl_options_destroy(o);
}

static int64_t get(const mtl_model *m, const char *name, float *out)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *found;
        const int64_t n = tensor_size(m, i, &found);
        if (strcmp(found, name) != 0)
            continue;
        ck_assert_int_le(n, NUMBERS);
        done(mtl_model_tensor_get(m, name, n, out, err));
        return n;
    }
    ck_abort_msg("no tensor %s", name);
    return 0;
}

static bool changed(const mtl_model *a, const mtl_model *b, const char *name)
{
    return tensor_bits_differ(a, b, name) > 0;
}

/* ---- Rates --------------------------------------------------------------------------------- */

/* Where a strategy has nothing to say it is "tune", to the bit. */
START_TEST(without_effect_it_is_tune)
{
    static const char *const same[] = {"discriminative:factor=1", "l2_sp:alpha=0,beta=0",
                                       "distil:alpha=0"};
    scene *s = scene_make(NULL);
    mtl_model *tune = moved(s, "tune", "epochs=5");
    for (size_t i = 0; i < COUNT(same); i++) {
        mtl_model *m = moved(s, same[i], "epochs=5");
        assert_same_model(m, tune);
        mtl_model_destroy(m);
    }
    mtl_model_destroy(tune);
    scene_free(s);
}
END_TEST

/* One step of plain descent: each layer down moves by so much less. */
START_TEST(discriminative_rates)
{
    static const char *const tensors[] = {"head.both.weight", "trunk.1.weight", "trunk.1.bias",
                                          "trunk.0.weight", "trunk.0.bias"};
    static const double shares[] = {1, 1 / 3.0, 1 / 3.0, 1 / 9.0, 1 / 9.0};
    scene *s = scene_make(NULL);
    mtl_model *start = moved(s, "tune", PLAIN "epochs=1 learning_rate=0");
    mtl_model *tune = moved(s, "tune", PLAIN "epochs=1");
    mtl_model *m = moved(s, "discriminative:factor=3", PLAIN "epochs=1");
    for (size_t i = 0; i < COUNT(tensors); i++) {
        float w0[NUMBERS], w1[NUMBERS], w[NUMBERS], most = 0;
        const int64_t n = get(start, tensors[i], w0);
        get(tune, tensors[i], w1), get(m, tensors[i], w);
        for (int64_t j = 0; j < n; j++) {
            ck_assert_double_eq_tol((double)(w[j] - w0[j]), shares[i] * (double)(w1[j] - w0[j]),
                                    3e-7);
            most = fmaxf(most, fabsf(w1[j] - w0[j]));
        }
        ck_assert_float_gt(most, 1e-4f);
    }
    mtl_model_destroy(start), mtl_model_destroy(tune), mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Layers begin to move one after another from the top; the two new tasks' gradients may be weighed
   meanwhile, and a batch norm that rests has its own figures. */
START_TEST(gradual_unfreezing)
{
    static const char *const layers[][2] = {{"trunk.2.weight", "trunk.2.bias"},
                                            {"trunk.1.weight", "trunk.1.running_mean"},
                                            {"trunk.0.weight", "trunk.0.bias"}};
    static const char *const ways[] = {"", "weighting=mgda", "weighting=mgda l2=0.1"};
    scene *s = scene_of(NULL, trunk_of(NULL, "batch"));
    for (size_t w = 0; w < COUNT(ways); w++)
        for (int epochs = 1; epochs <= 8; epochs++) {
            char more[96];
            snprintf(more, sizeof more, "epochs=%d %s", epochs, ways[w]);
            mtl_model *m = moved(s, "gradual:every=2", more);
            for (int k = 0; k < 3; k++)
                for (int j = 0; j < 2; j++)
                    ck_assert_msg(changed(m, s->source, layers[k][j]) == (epochs > 2 * (k + 1)),
                                  "%s after %d epochs", layers[k][j], epochs);
            mtl_model_destroy(m);
        }
    scene_free(s);
}
END_TEST

/* Some tensors of the trunk alone, and the heads. */
START_TEST(tensors_alone)
{
    static const char *const all[] = {"trunk.0.weight", "trunk.0.bias",   "trunk.1.weight",
                                      "trunk.1.bias",   "trunk.2.weight", "trunk.2.bias"};
    static const bool trained[2][6] = {{false, true, false, true, false, true},
                                       {false, false, true, true, false, false}};
    static const char *const ways[] = {"bias_only", "norm_only"}, *const norms[] = {"layer",
                                                                                    "batch"};
    for (int k = 0; k < 2; k++) {
        scene *s = scene_of(NULL, trunk_of(NULL, norms[k]));
        for (int w = 0; w < 2; w++) {
            mtl_model *start = moved(s, "tune", "epochs=1 learning_rate=0");
            mtl_model *m = moved(s, ways[w], "epochs=4 l2=0.01");
            for (int i = 0; i < 6; i++)
                ck_assert_msg(changed(m, s->source, all[i]) == trained[w][i], "%s: %s", ways[w],
                              all[i]);
            ck_assert(changed(m, start, "head.both.weight"));
            ck_assert(!changed(m, s->source, "head.grade.weight"));
            if (k == 1) /* its figures follow while it is trained */
                ck_assert(changed(m, s->source, "trunk.1.running_mean"));
            mtl_model_destroy(m), mtl_model_destroy(start);
        }
        scene_free(s);
    }
}
END_TEST

/* ---- Penalties ----------------------------------------------------------------------------- */

/* The second step of plain descent is the first that is away from the start: it goes
   rate * alpha * (w1 - w0) less far, and heads rate * beta * w in each. */
START_TEST(l2_sp_gradient)
{
    static const char *const trunk[] = {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight"};
    scene *s = scene_make(NULL);
    mtl_model *w0 = moved(s, "tune", PLAIN "epochs=1 learning_rate=0");
    mtl_model *w1 = moved(s, "tune", PLAIN "epochs=1"), *w2 = moved(s, "tune", PLAIN "epochs=2");
    mtl_model *first = moved(s, "l2_sp:alpha=2,beta=0", PLAIN "epochs=1");
    mtl_model *m = moved(s, "l2_sp:alpha=2,beta=0", PLAIN "epochs=2");
    mtl_model *head = moved(s, "l2_sp:alpha=0,beta=3", PLAIN "epochs=1");
    assert_same_model(first, w1);
    float a[NUMBERS], b[NUMBERS], c[NUMBERS], x[NUMBERS];
    for (size_t i = 0; i < COUNT(trunk); i++) {
        const int64_t n = get(w0, trunk[i], a);
        get(w1, trunk[i], b), get(w2, trunk[i], c), get(m, trunk[i], x);
        for (int64_t j = 0; j < n; j++)
            ck_assert_double_eq_tol((double)(x[j] - c[j]), -0.1 * 2 * (double)(b[j] - a[j]), 3e-7);
    }
    const int64_t n = get(w0, "head.both.weight", a);
    get(w1, "head.both.weight", b), get(head, "head.both.weight", x);
    for (int64_t j = 0; j < n; j++)
        ck_assert_double_eq_tol((double)(x[j] - b[j]), -0.1 * 3 * (double)a[j], 1e-6);
    ck_assert(!changed(head, w1, "head.both.bias") && !changed(head, w1, "trunk.0.weight"));
    mtl_model *cut = moved(s, "l2_sp:alpha=0,beta=3", PLAIN "epochs=1 clip_norm=1e-9");
    get(cut, "head.both.weight", x); /* the losses' gradient is cut, not the pull */
    for (int64_t j = 0; j < n; j++)
        ck_assert_double_eq_tol((double)(x[j] - a[j]), -0.1 * 3 * (double)a[j], 1e-6);
    mtl_model_destroy(cut);
    mtl_model *const all[] = {w0, w1, w2, first, m, head};
    for (size_t i = 0; i < COUNT(all); i++)
        mtl_model_destroy(all[i]);
    scene_free(s);
}
END_TEST

/* Sparse inputs of known tasks in a new domain: rows of weights are drawn back while they are in
   the batch, here always, so it is as with the same inputs dense. */
START_TEST(l2_sp_of_sparse_inputs)
{
    int64_t start[FEW + 1];
    int32_t column[FEW * IN];
    scene *s = scene_make(NULL);
    mtl_model *m[2];
    mtl_model_destroy(s->source);
    mtl_spec *spec = trunk_of(NULL, NULL);
    done(mtl_model_create(spec, &s->source, err));
    mtl_spec_destroy(spec);
    fit(s->source, s->known, "epochs=20 learning_rate=0.01 scale_inputs=0");
    for (int i = 0; i <= FEW; i++)
        start[i] = i * IN;
    for (int i = 0; i < FEW * IN; i++)
        column[i] = i % IN;
    for (int k = 0; k < 2; k++) {
        mtl_dataset_destroy(s->target);
        if (k)
            done(mtl_dataset_create_csr(NULL, FEW, IN, start, column, s->few.x, &s->target, err));
        else
            done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
        done(mtl_dataset_set_labels(s->target, "grade", 1, s->few.grade, 1, err));
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=l2_sp:alpha=5 epochs=20 "
                                                       "optimizer=sgd trunk_rate=1");
        done(mtl_transfer(s->source, s->target, NULL, o, &m[k], NULL, err));
        mtl_options_destroy(o);
    }
    ck_assert(changed(m[0], s->source, "trunk.0.weight"));
    ck_assert_float_lt(tensor_bits_differ(m[0], m[1], "trunk.0.weight"), 1e-5f);
    ck_assert_float_lt(tensor_bits_differ(m[0], m[1], "head.grade.weight"), 1e-5f);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    scene_free(s);
}
END_TEST

static double way_from(const mtl_model *m, const mtl_model *source)
{
    static const char *const trunk[] = {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight",
                                        "trunk.1.bias"};
    double sum = 0;
    for (size_t i = 0; i < COUNT(trunk); i++) {
        float a[NUMBERS], b[NUMBERS];
        const int64_t n = get(m, trunk[i], a);
        get(source, trunk[i], b);
        for (int64_t j = 0; j < n; j++)
            sum += (double)((a[j] - b[j]) * (a[j] - b[j]));
    }
    return sqrt(sum);
}

/* The stronger, the nearer to the source (Li et al. 2018, figure 2). Clipping is of the losses
 * alone. */
START_TEST(l2_sp_stays_near)
{
    static const char *const ways[] = {"tune", "l2_sp", "l2_sp:alpha=1", "l2_sp:alpha=10"};
    scene *s = scene_make(NULL);
    double last = INFINITY;
    for (size_t i = 0; i < COUNT(ways); i++) {
        mtl_model *m =
            moved(s, ways[i], "epochs=200 trunk_rate=1 optimizer=sgd learning_rate=0.05");
        const double way = way_from(m, s->source);
        ck_assert_msg(way < 0.95 * last, "%s: %g after %g", ways[i], way, last);
        last = way;
        mtl_model_destroy(m);
    }
    scene_free(s);
}
END_TEST

/* ---- Distillation -------------------------------------------------------------------------- */

enum { SOFT_TASKS = 4 };
static const int soft_outputs[SOFT_TASKS] = {1, 3, 2, 2};

static double entropy(double t, double s)
{
    return t > 0 ? t * log(t / s) : 0;
}

/* alpha T^2 KL of the source's predictions and the model's at a temperature; of values the mean
   squared difference in units of the network. */
static double distance_to_source(const scene *s, const mtl_model *m, double temperature)
{
    static const double weight[SOFT_TASKS] = {1, 1, 1, 0.5};
    double sum = 0;
    for (int t = 0; t < SOFT_TASKS; t++) {
        const int n = soft_outputs[t];
        float a[FEW * 3], b[FEW * 3];
        double task = 0;
        done(mtl_predict_task(s->source, t, FEW, s->few.x, IN, a, n, err));
        done(mtl_predict_task(m, t, FEW, s->few.x, IN, b, n, err));
        for (int r = 0; r < FEW; r++) {
            double top[2] = {0};
            for (int j = 0; j < n; j++) {
                const double p = (double)a[r * n + j], q = (double)b[r * n + j];
                top[0] += pow(p, 1 / temperature), top[1] += pow(q, 1 / temperature);
            }
            for (int j = 0; j < n; j++) {
                double p = (double)a[r * n + j], q = (double)b[r * n + j];
                if (t == 3) {
                    const double unit = (double)m->pipe.y_scale[m->net.task[t].column + j];
                    task += (p - q) * (p - q) / (unit * unit) / n;
                    continue;
                }
                const double up = pow(p, 1 / temperature), uq = pow(q, 1 / temperature);
                if (t == 1) {
                    task += temperature * temperature * entropy(up / top[0], uq / top[1]);
                    continue;
                }
                const double vp = pow(1 - p, 1 / temperature), vq = pow(1 - q, 1 / temperature);
                p = up / (up + vp), q = uq / (uq + vq);
                task += temperature * temperature * (entropy(p, q) + entropy(1 - p, 1 - q)) / n;
            }
        }
        sum += weight[t] * task / FEW;
    }
    return sum;
}

/* What the second step of plain descent has more than that of "tune" is the distance's gradient
   where the first one ended, by central differences, for trunk and old heads. */
START_TEST(distil_gradient)
{
    static const char *const tensors[] = {"trunk.0.weight",     "trunk.1.bias",
                                          "head.fails.weight",  "head.grade.weight",
                                          "tower0.tags.weight", "head.hours.bias"};
    static const double temperatures[] = {1, 2, 0.7};
    scene *s = scene_make(NULL);
    mtl_model *w1 = moved(s, "tune", PLAIN "epochs=1"), *w2 = moved(s, "tune", PLAIN "epochs=2");
    for (size_t k = 0; k < COUNT(temperatures); k++) {
        char way[64];
        snprintf(way, sizeof way, "distil:alpha=3,temperature=%g", temperatures[k]);
        mtl_model *m = moved(s, way, PLAIN "epochs=2"), *first = moved(s, way, PLAIN "epochs=1");
        assert_same_model(first, w1);
        double most = 0;
        for (size_t i = 0; i < COUNT(tensors); i++) {
            float value[NUMBERS], with[NUMBERS], without[NUMBERS];
            const int64_t n = get(w1, tensors[i], value);
            get(m, tensors[i], with), get(w2, tensors[i], without);
            for (int64_t j = 0; j < n; j += 4) {
                double side[2];
                for (int d = 0; d < 2; d++) {
                    mtl_model *near = NULL;
                    const float was = value[j];
                    done(mtl_model_clone(w1, &near, err));
                    value[j] += d ? -0.005f : 0.005f;
                    done(mtl_model_tensor_set(near, tensors[i], n, value, err));
                    side[d] = distance_to_source(s, near, temperatures[k]);
                    value[j] = was;
                    mtl_model_destroy(near);
                }
                const double expected = (side[0] - side[1]) / 0.01;
                const double found = -(double)(with[j] - without[j]) / 0.1 / 3;
                ck_assert_msg(fabs(found - expected) < 3e-5 + 5e-3 * fabs(expected),
                              "T %g, %s, number %d: %g, not %g", temperatures[k], tensors[i],
                              (int)j, found, expected);
                most = fmax(most, fabs(expected));
            }
        }
        ck_assert_double_gt(most, 1e-3);
        mtl_model_destroy(m), mtl_model_destroy(first);
    }
    mtl_model_destroy(w1), mtl_model_destroy(w2);
    scene_free(s);
}
END_TEST

/* What it is for: the known tasks are not forgotten, without a row of theirs (Li & Hoiem 2016). */
START_TEST(distil_keeps_the_known_tasks)
{
    scene *s = scene_make(NULL);
    const char *how = "epochs=200 learning_rate=0.02 trunk_rate=1";
    mtl_model *tune = moved(s, "tune", how), *m = moved(s, "distil", how);
    const double forgot = distance_to_source(s, tune, 1), kept = distance_to_source(s, m, 1);
    ck_assert_msg(kept < 0.1 * forgot, "%g, by tune %g", kept, forgot);
    ck_assert(changed(m, s->source, "head.grade.weight"));
    mtl_model_destroy(tune), mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* ---- The Fisher information ------------------------------------------------------------------ */

/* The mean over known rows of the squared gradient of one row, by plain descent on it alone. */
static void fisher_of(const scene *s, const char *tensor, double *fisher)
{
    float before[NUMBERS], after[NUMBERS];
    const int64_t n = get(s->source, tensor, before);
    memset(fisher, 0, (size_t)n * sizeof *fisher);
    for (int r = 0; r < ROWS; r++) {
        problem one = {1,
                       s->p.x + r * IN,
                       s->p.fails + r,
                       s->p.grade + r,
                       s->p.tags + 2 * r,
                       s->p.hours + 2 * r,
                       NULL};
        mtl_dataset *d = problem_data(&one, NULL);
        mtl_model *m = NULL;
        done(mtl_model_clone(s->source, &m, err));
        fit(m, d, "epochs=1 batch_size=1 optimizer=sgd learning_rate=1");
        get(m, tensor, after);
        for (int64_t i = 0; i < n; i++)
            fisher[i] += pow((double)(before[i] - after[i]), 2) / ROWS;
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
}

START_TEST(fisher_is_of_single_rows)
{
    static const char *const tensors[] = {"trunk.0.weight", "trunk.1.weight", "trunk.1.bias"};
    scene *s = scene_make(NULL);
    mtl_model *w0 = moved(s, "tune", PLAIN "epochs=1 learning_rate=0");
    mtl_model *w1 = moved(s, "tune", PLAIN "epochs=1"), *w2 = moved(s, "tune", PLAIN "epochs=2");
    mtl_model *m = moved(s, "l2_sp_fisher:alpha=20,beta=0", PLAIN "epochs=2");
    mtl_model *ewc = moved(s, "ewc:lambda=20", PLAIN "epochs=2");
    assert_same_model(ewc, m);
    for (size_t i = 0; i < COUNT(tensors); i++) {
        static double fisher[NUMBERS];
        float a[NUMBERS], b[NUMBERS], c[NUMBERS], x[NUMBERS];
        double most = 0;
        const int64_t n = get(w0, tensors[i], a);
        get(w1, tensors[i], b), get(w2, tensors[i], c), get(m, tensors[i], x);
        fisher_of(s, tensors[i], fisher);
        for (int64_t j = 0; j < n; j++) {
            const double expected = -0.1 * 20 * fisher[j] * (double)(b[j] - a[j]);
            ck_assert_double_eq_tol((double)(x[j] - c[j]), expected, 3e-7 + 2e-3 * fabs(expected));
            most = fmax(most, fabs(expected));
        }
        ck_assert_double_gt(most, 1e-4);
    }
    mtl_model *const all[] = {w0, w1, w2, m, ewc};
    for (size_t i = 0; i < COUNT(all); i++)
        mtl_model_destroy(all[i]);
    scene_free(s);
}
END_TEST

typedef struct reader {
    const float *x;
    int64_t fail_at; /* rows from this one on are not to be had */
} reader;

static int32_t read_rows(int64_t first, int64_t rows, float *x, void *user)
{
    const reader *r = user;
    if (first + rows > r->fail_at)
        return 0;
    memcpy(x, r->x + first * IN, (size_t)(rows * IN) * sizeof *x);
    return MTL_CONTINUE;
}

/* Known rows that are read as they are needed; one that cannot be read ends it. */
START_TEST(fisher_of_a_stream)
{
    scene *s = scene_make(NULL);
    mtl_model *whole = moved(s, "ewc:lambda=100", "epochs=5"), *m = NULL;
    reader r = {s->p.x, ROWS};
    mtl_dataset_destroy(s->known);
    done(mtl_dataset_create_stream(NULL, ROWS, IN, 64, read_rows, &r, &s->known, err));
    done(mtl_dataset_set_labels(s->known, "fails", 1, s->p.fails, 1, err));
    done(mtl_dataset_set_labels(s->known, "grade", 1, s->p.grade, 1, err));
    done(mtl_dataset_set_labels(s->known, "tags", 2, s->p.tags, 2, err));
    done(mtl_dataset_set_labels(s->known, "hours", 2, s->p.hours, 2, err));
    m = moved(s, "ewc:lambda=100", "epochs=5");
    ck_assert_float_lt(tensor_bits_differ(m, whole, "trunk.0.weight"), 1e-5f);
    ck_assert(changed(m, s->source, "trunk.0.weight"));
    r.fail_at = 100;
    refuse(s, "strategy=ewc", MTL_ERR_IO, "");
    mtl_model_destroy(m), mtl_model_destroy(whole);
    scene_free(s);
}
END_TEST

static double known_loss(const scene *s, const mtl_model *m)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, s->known, NULL, &r, err));
    const double loss = figure(r, "loss");
    mtl_report_destroy(r);
    return loss;
}

/* What matters to the known tasks is held, for these to be kept (Kirkpatrick et al. 2017). */
START_TEST(ewc_keeps_the_known_tasks)
{
    const char *how = "epochs=200 learning_rate=0.02 trunk_rate=1";
    scene *s = scene_make(NULL);
    mtl_model *tune = moved(s, "tune", how), *ewc = moved(s, "ewc:lambda=100", how);
    const double before = known_loss(s, s->source);
    const double forgot = known_loss(s, tune) - before, kept = known_loss(s, ewc) - before;
    ck_assert_msg(kept < 0.3 * forgot, "%g more, by tune %g", kept, forgot);
    mtl_model_destroy(tune), mtl_model_destroy(ewc);
    scene_free(s);
}
END_TEST

/* ---- Features ------------------------------------------------------------------------------ */

/* The trunk's outputs for the first rows. */
static int64_t features(const mtl_model *m, const float *x, int64_t rows, float *h)
{
    mtl_model *eye = NULL;
    assert_ok(mtl__model_eye(m, &eye, NULL));
    const int64_t cols = eye->net.outputs;
    done(mtl_predict(eye, rows, x, IN, h, cols, err));
    mtl_model_destroy(eye);
    return cols;
}

static double feature_distance(const scene *s, const mtl_model *m, int64_t rows, int k)
{
    float a[FEW * 8], b[FEW * 8];
    double sum = 0;
    const int64_t n = rows * features(m, s->few.x, rows, a);
    features(s->source, s->few.x, rows, b);
    (void)k;
    for (int64_t i = 0; i < n; i++)
        sum += pow((double)(a[i] - b[i]), 2) / 2 / (double)rows;
    return sum;
}

/* The k smallest squared singular values. */
static double smallest(const scene *s, const mtl_model *m, int64_t rows, int k)
{
    float h[FEW * 8];
    double gram[FEW * FEW] = {0}, value[FEW], scratch[FEW], sum = 0;
    const int64_t cols = features(m, s->few.x, rows, h);
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < cols; j++)
            for (int64_t r = 0; r < rows; r++)
                gram[i * cols + j] += (double)h[r * cols + i] * (double)h[r * cols + j];
    ck_assert(mtl__eigen_symmetric(cols, gram, cols, value, scratch));
    const int64_t none = cols > rows ? cols - rows : 0; /* of the others */
    for (int64_t i = 0; i < k; i++)
        sum += value[none + i];
    return sum;
}

/* mean over related known tasks and rows of the cross entropy of what the source says of the new
   class and what the model says of the row. */
static double relation_entropy(const scene *s, const mtl_model *m, int64_t rows, int k)
{
    static const int outputs[] = {1, 3};
    double sum = 0;
    (void)k;
    for (int t = 0; t < 2; t++) {
        float a[FEW * 3], b[FEW * 3];
        double mean[2][3] = {{0}}, count[2] = {0};
        const int n = outputs[t];
        done(mtl_predict_task(s->source, t, rows, s->few.x, IN, a, n, err));
        done(mtl_predict_task(m, t, rows, s->few.x, IN, b, n, err));
        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < n && !isnan(s->both[r]); j++)
                mean[(int)s->both[r]][j] += (double)a[r * n + j], count[(int)s->both[r]] += j == 0;
        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < n && !isnan(s->both[r]); j++) {
                const double q = mean[(int)s->both[r]][j] / count[(int)s->both[r]];
                const double p = (double)b[r * n + j];
                sum -= (q * log(p) + (n == 1 ? (1 - q) * log(1 - p) : 0)) / (double)rows / 2;
            }
    }
    return sum;
}

typedef double penalty_fn(const scene *s, const mtl_model *m, int64_t rows, int k);

/* What step number `steps` of plain descent has more than that of "tune" is the penalty's gradient
   where the one before ended, by central differences. */
static void check_penalty(const scene *s, const char *way, const char *base, penalty_fn *penalty,
                          int64_t rows, int k, int steps, const char *const *tensors, size_t count,
                          double factor)
{
    char how[2][200];
    double most = 0;
    snprintf(how[0], sizeof how[0], PLAIN "epochs=%d%s", steps > 1 ? steps - 1 : 1,
             steps > 1 ? "" : " learning_rate=0");
    snprintf(how[1], sizeof how[1], PLAIN "epochs=%d", steps);
    mtl_model *at = moved(s, "tune", how[0]), *m = moved(s, way, how[1]);
    mtl_model *without = moved(s, base, how[1]);
    for (size_t i = 0; i < count; i++) {
        float value[NUMBERS], with[NUMBERS], bare[NUMBERS];
        const int64_t n = get(at, tensors[i], value);
        get(m, tensors[i], with), get(without, tensors[i], bare);
        for (int64_t j = 0; j < n; j += 2) {
            double side[2];
            for (int d = 0; d < 2; d++) {
                mtl_model *near = NULL;
                const float was = value[j];
                done(mtl_model_clone(at, &near, err));
                value[j] += d ? -0.005f : 0.005f;
                done(mtl_model_tensor_set(near, tensors[i], n, value, err));
                side[d] = penalty(s, near, rows, k);
                value[j] = was;
                mtl_model_destroy(near);
            }
            const double expected = (side[0] - side[1]) / 0.01;
            const double found = -(double)(with[j] - bare[j]) / 0.1 / factor;
            ck_assert_msg(fabs(found - expected) < 4e-5 + 5e-3 * fabs(expected),
                          "%s, %s, number %d: %g, not %g", way, tensors[i], (int)j, found,
                          expected);
            most = fmax(most, fabs(expected));
        }
    }
    ck_assert_msg(most > 3e-3, "%s: nothing was checked: %g", way, most);
    mtl_model_destroy(at), mtl_model_destroy(m), mtl_model_destroy(without);
}

static const char *const of_trunk[] = {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight",
                                       "trunk.1.bias"};

START_TEST(delta_gradient)
{
    scene *s = scene_make(NULL);
    check_penalty(s, "delta:alpha=2", "tune", feature_distance, FEW, 0, 2, of_trunk,
                  COUNT(of_trunk), 2);
    scene_free(s);
}
END_TEST

/* More rows than features and fewer. */
START_TEST(bss_gradient)
{
    scene *s = scene_make(NULL);
    check_penalty(s, "bss:eta=0.1,k=1", "tune", smallest, FEW, 1, 1, of_trunk, COUNT(of_trunk),
                  0.1);
    check_penalty(s, "bss:eta=0.1,k=3", "tune", smallest, FEW, 3, 1, of_trunk, COUNT(of_trunk),
                  0.1);
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, 4, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "both", 1, s->both, 1, err));
    check_penalty(s, "bss:eta=0.1,k=1", "tune", smallest, 4, 1, 1, of_trunk, COUNT(of_trunk), 0.1);
    check_penalty(s, "bss:eta=0.1,k=2", "tune", smallest, 4, 2, 1, of_trunk, COUNT(of_trunk), 0.1);
    scene_free(s);
}
END_TEST

START_TEST(co_tuning_gradient)
{
    static const char *const tensors[] = {"trunk.0.weight",    "trunk.1.bias",
                                          "head.fails.weight", "head.fails.bias",
                                          "head.grade.weight", "head.grade.bias"};
    scene *s = scene_make(NULL);
    s->both[3] = s->both[17] = NAN;
    check_penalty(s, "co_tuning:lambda=3", "tune", relation_entropy, FEW, 0, 1, tensors,
                  COUNT(tensors), 3);
    mtl_model *m = moved(s, "co_tuning", "epochs=2");
    ck_assert(!changed(m, s->source, "head.tags.weight") &&
              !changed(m, s->source, "head.hours.weight"));
    mtl_model_destroy(m);
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "sum", 1, s->sum, 1, err));
    refuse(s, "strategy=co_tuning", MTL_ERR_INVALID, "new binary");
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "grade", 1, s->few.grade, 1, err));
    refuse(s, "strategy=co_tuning", MTL_ERR_INVALID, "new binary");
    scene_free(s);
}
END_TEST

/* ---- Known tasks that help, or are kept ------------------------------------------------------ */

/* They are "replay" with the weighting of that name, told which tasks are new. */
START_TEST(weighing_known_tasks)
{
    static const char *const names[] = {"gated", "a_gem"};
    scene *s = scene_make(NULL);
    for (int i = 0; i < 2; i++) {
        char more[128], text[64];
        snprintf(more, sizeof more, "epochs=6 weighting=%s:main=0/0/0/0/1/1", names[i]);
        mtl_model *m = moved(s, names[i], "epochs=6"), *same = moved(s, "replay", more);
        mtl_model *replay = moved(s, "replay", "epochs=6");
        assert_same_model(m, same);
        ck_assert(changed(m, replay, "trunk.0.weight"));
        ck_assert(changed(m, s->source, "head.grade.weight"));
        snprintf(text, sizeof text, "strategy=%s weighting=upgrad", names[i]);
        refuse(s, text, MTL_ERR_INVALID, "weigh");
        mtl_model_destroy(m), mtl_model_destroy(same), mtl_model_destroy(replay);
    }
    scene_free(s);
}
END_TEST

/* The known tasks' loss grows less than by "tune" (Chaudhry et al. 2019). */
START_TEST(a_gem_keeps_the_known_tasks)
{
    const char *how = "epochs=200 learning_rate=0.02 trunk_rate=1 batch_size=200 optimizer=sgd";
    scene *s = scene_make(NULL);
    mtl_model *tune = moved(s, "tune", how), *m = moved(s, "a_gem", how);
    const double before = known_loss(s, s->source);
    ck_assert_double_gt(known_loss(s, tune), before + 1e-3);
    ck_assert_double_lt(known_loss(s, m), before + 1e-4);
    mtl_model_destroy(tune), mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* ---- Adapters ------------------------------------------------------------------------------ */

/* Rank of a - b for two models' matrices: singular values above rounding. */
static int rank_of_change(const mtl_model *m, const mtl_model *from, const char *name, int64_t rows)
{
    float a[NUMBERS], b[NUMBERS];
    double gram[16 * 16] = {0}, value[16], scratch[16];
    const int64_t cols = get(m, name, a) / rows;
    int rank = 0;
    get(from, name, b);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t k = 0; k < cols; k++)
                gram[i * rows + j] += ((double)a[i * cols + k] - (double)b[i * cols + k]) *
                                      ((double)a[j * cols + k] - (double)b[j * cols + k]);
    ck_assert(mtl__eigen_symmetric(rows, gram, rows, value, scratch));
    for (int64_t i = 0; i < rows; i++)
        rank += sqrt(fmax(0, value[i])) > 1e-5 * sqrt(value[rows - 1]);
    return rank;
}

START_TEST(lora_is_of_low_rank)
{
    scene *s = scene_make(NULL);
    for (int rank = 1; rank <= 3; rank++) {
        char way[64];
        snprintf(way, sizeof way, "lora:rank=%d", rank);
        mtl_model *m = moved(s, way, "epochs=50");
        ck_assert_int_eq(rank_of_change(m, s->source, "trunk.0.weight", IN), rank);
        ck_assert_int_eq(rank_of_change(m, s->source, "trunk.1.weight", 9), rank);
        ck_assert(!changed(m, s->source, "trunk.0.bias") && !changed(m, s->source, "trunk.1.bias"));
        ck_assert(!changed(m, s->source, "head.grade.weight"));
        mtl_model_destroy(m);
    }
    mtl_model *m = moved(s, "lora:rank=64", "epochs=50"), *frozen;
    ck_assert_int_eq(rank_of_change(m, s->source, "trunk.0.weight", IN), IN);
    mtl_model_destroy(m);
    done(mtl_model_freeze(s->source, "trunk.0", 1, err));
    frozen = moved(s, "lora", "epochs=5");
    ck_assert(!changed(frozen, s->source, "trunk.0.weight"));
    ck_assert(changed(frozen, s->source, "trunk.1.weight"));
    mtl_model_destroy(frozen);
    scene_free(s);
}
END_TEST

enum { RANK = 2 };

/* W0 + s A B from A and B; G of a step of plain descent from m on the target's rows. */
static void low_rank(const double *a, const double *b, double scale, int64_t in, int64_t out,
                     const float *w0, double *w)
{
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            w[i * out + j] = (double)w0[i * out + j];
            for (int k = 0; k < RANK; k++)
                w[i * out + j] += scale * a[i * RANK + k] * b[k * out + j];
        }
}

/* Two steps of plain descent on A and B, worked out from the gradients of W in the places that the
   steps come to. */
START_TEST(lora_steps)
{
    const double scale = 3.0 / RANK, rate = 0.1;
    static const char *const names[] = {"trunk.0.weight", "trunk.1.weight"};
    static const int64_t ins[] = {IN, 9}, outs[] = {9, 5};
    scene *s = scene_make(NULL);
    mtl_model *start = moved(s, "tune", PLAIN "epochs=1 learning_rate=0");
    mtl_model *step[2] = {moved(s, "lora:rank=2,alpha=3", PLAIN "epochs=1 seed=7"),
                          moved(s, "lora:rank=2,alpha=3", PLAIN "epochs=2 seed=7")};
    for (int l = 0; l < 2; l++) {
        const int64_t in = ins[l], out = outs[l], n = in * out;
        double a[9 * RANK], b[RANK * 9] = {0}, w[81];
        float w0[NUMBERS];
        mtl__rng r = mtl__rng_make(7, MTL__RNG_ADAPTER, (uint32_t)l);
        for (int64_t i = 0; i < in * RANK; i++)
            a[i] = (2 * (double)mtl__rng_f32(&r) - 1) / sqrt((double)in);
        get(start, names[l], w0);
        for (int k = 0; k < 2; k++) {
            mtl_model *m = NULL;
            float before[NUMBERS], after[NUMBERS], found[NUMBERS];
            double da[9 * RANK] = {0}, db[RANK * 9] = {0}, most = 0;
            done(mtl_model_clone(k ? step[0] : start, &m, err));
            get(m, names[l], before);
            fit(m, s->target, "epochs=1 batch_size=1000 shuffle=0 optimizer=sgd learning_rate=1");
            get(m, names[l], after);
            for (int64_t i = 0; i < in; i++)
                for (int64_t j = 0; j < out; j++)
                    for (int q = 0; q < RANK; q++) {
                        const double g = (double)(before[i * out + j] - after[i * out + j]);
                        da[i * RANK + q] += scale * g * b[q * out + j];
                        db[q * out + j] += scale * g * a[i * RANK + q];
                    }
            for (int64_t i = 0; i < in * RANK; i++)
                a[i] -= rate * da[i];
            for (int64_t i = 0; i < RANK * out; i++)
                b[i] -= rate * db[i];
            low_rank(a, b, scale, in, out, w0, w);
            get(step[k], names[l], found);
            for (int64_t i = 0; i < n; i++) {
                ck_assert_double_eq_tol((double)found[i], w[i], 1e-6);
                most = fmax(most, fabs(w[i] - (double)w0[i]));
            }
            ck_assert_double_gt(most, 1e-3);
            mtl_model_destroy(m);
        }
    }
    mtl_model_destroy(start), mtl_model_destroy(step[0]), mtl_model_destroy(step[1]);
    scene_free(s);
}
END_TEST

/* ---- Adapters behind the trunk ------------------------------------------------------------- */

enum { UNITS = 3, WIDTH = 5 };

static float *predicted(const scene *s, const mtl_model *m, const char *task, int64_t outputs)
{
    float *out = floats(FEW * outputs);
    done(mtl_predict_task(m, mtl_model_task_index(m, task), FEW, s->few.x, IN, out, outputs, err));
    return out;
}

static void same_predictions(const scene *s, const mtl_model *a, const mtl_model *b, const char *task,
                             int64_t outputs)
{
    float *x = predicted(s, a, task, outputs), *y = predicted(s, b, task, outputs);
    assert_same_bits(x, y, (int)(FEW * outputs));
    free(x), free(y);
}

/* h + relu(h D + d) U + u, then the head, in double from the tensors. */
START_TEST(bottleneck_formula)
{
    scene *s = scene_make(NULL);
    mtl_model *eye = NULL, *m = moved(s, "bottleneck:units=3", "epochs=30");
    float h[FEW * WIDTH], down[WIDTH * UNITS], b[UNITS], up[UNITS * WIDTH], u[WIDTH], w[WIDTH], c[1];
    done(mtl__model_eye(s->source, &eye, err));
    done(mtl__model_predict(eye, -1, FEW, s->few.x, IN, h, WIDTH, err));
    ck_assert_int_eq(get(m, "own.2.sum.weight", down), WIDTH * UNITS);
    get(m, "own.2.sum.bias", b), get(m, "own.3.sum.weight", up), get(m, "own.3.sum.bias", u);
    get(m, "head.sum.weight", w), get(m, "head.sum.bias", c);
    const int64_t column = m->net.task[mtl_model_task_index(m, "sum")].column;
    float *found = predicted(s, m, "sum", 1);
    double apart = 0;
    for (int i = 0; i < FEW; i++) {
        double out = (double)c[0];
        for (int j = 0; j < WIDTH; j++) {
            double y = (double)h[i * WIDTH + j] + (double)u[j];
            for (int k = 0; k < UNITS; k++) {
                double z = (double)b[k];
                for (int q = 0; q < WIDTH; q++)
                    z += (double)h[i * WIDTH + q] * (double)down[q * UNITS + k];
                y += fmax(z, 0) * (double)up[k * WIDTH + j];
            }
            out += y * (double)w[j];
            apart = fmax(apart, fabs(y - (double)h[i * WIDTH + j]));
        }
        out = out * (double)m->pipe.y_scale[column] + (double)m->pipe.y_mean[column];
        ck_assert_double_eq_tol((double)found[i], out, 1e-4);
    }
    ck_assert_double_gt(apart, 1e-2);
    free(found);
    mtl_model_destroy(m), mtl_model_destroy(eye);
    scene_free(s);
}
END_TEST

/* It starts as the exact head on the trunk; the first step moves U, and D only the second. What is known
   keeps its bits, also what was added to the same trunk before. */
START_TEST(bottleneck_leaves_others_alone)
{
    static const char *const known[] = {"fails", "grade", "tags", "hours"};
    scene *s = scene_make(NULL);
    mtl_model *start = moved(s, "bottleneck:units=3", PLAIN "epochs=1 learning_rate=0");
    mtl_model *exact = moved(s, "tune", PLAIN "epochs=1 learning_rate=0");
    same_predictions(s, start, exact, "both", 1);
    same_predictions(s, start, exact, "sum", 1);
    mtl_model *one = moved(s, "bottleneck:units=3", PLAIN "epochs=1");
    mtl_model *two = moved(s, "bottleneck:units=3", PLAIN "epochs=2");
    ck_assert(!changed(one, start, "own.2.sum.weight") && changed(one, start, "own.3.sum.weight"));
    ck_assert(changed(two, start, "own.2.sum.weight") && changed(two, start, "head.sum.weight"));
    for (int t = 0; t < 4; t++)
        same_predictions(s, two, s->source, known[t], t == 1 ? 3 : t < 1 ? 1 : 2);
    ck_assert(!changed(two, s->source, "trunk.0.weight") && !changed(two, s->source, "head.grade.weight"));
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "third", 1, s->sum, 1, err));
    mtl_model *more = transferred(two, s->target, s->known, "strategy=bottleneck:units=7 epochs=20", NULL);
    same_predictions(s, more, two, "both", 1);
    same_predictions(s, more, two, "sum", 1);
    for (int t = 0; t < 4; t++)
        same_predictions(s, more, s->source, known[t], t == 1 ? 3 : t < 1 ? 1 : 2);
    float down[WIDTH * UNITS];
    ck_assert_int_eq(get(more, "own.2.third.weight", down), WIDTH * UNITS);
    ck_assert(changed(more, two, "own.2.sum.weight") == 0);
    mtl_model_destroy(start), mtl_model_destroy(exact);
    mtl_model_destroy(one), mtl_model_destroy(two), mtl_model_destroy(more);
    scene_free(s);
}
END_TEST

/* Beside experts it has no place. */
START_TEST(bottleneck_needs_one_trunk)
{
    mtl_spec *spec = trunk_of(NULL, NULL);
    done(mtl_spec_set_architecture(spec, "cgc", err));
    scene *s = scene_of(NULL, spec);
    refuse(s, "strategy=bottleneck", MTL_ERR_STATE, "bottleneck");
    scene_free(s);
}
END_TEST

/* ---- Known tasks by what they promise ------------------------------------------------------ */

static void centred(float *x, int64_t cols)
{
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0;
        for (int i = 0; i < FEW; i++)
            sum += (double)x[i * cols + j];
        for (int i = 0; i < FEW; i++)
            x[i * cols + j] = (float)((double)x[i * cols + j] - sum / FEW);
    }
}

/* Scores are those of mtl_transferability(), weights exp(s / T) over their mean; a weight of 0 is a task
   that is left out. */
START_TEST(scored_by_log_evidence)
{
    static const char *const known[] = {"fails", "grade", "tags", "hours"};
    static const int64_t outputs[] = {1, 3, 2, 2};
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    double score[4], sum = 0, square = 0;
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "sum", 1, s->sum, 1, err));
    mtl_model *m = transferred(s->source, s->target, s->known,
                               "strategy=scored:temperature=0.5 replay=3 epochs=2", &r);
    float *y = floats(FEW);
    memcpy(y, s->sum, FEW * sizeof *y);
    centred(y, 1);
    for (int i = 0; i < FEW; i++)
        square += (double)y[i] * (double)y[i] / FEW;
    for (int i = 0; i < FEW; i++)
        y[i] /= (float)sqrt(square);
    for (int t = 0; t < 4; t++) {
        char name[64];
        float *x = predicted(s, s->source, known[t], outputs[t]);
        centred(x, outputs[t]);
        done(mtl_transferability("logme", FEW, outputs[t], x, outputs[t], 0, 1, y, 1, &score[t], err));
        snprintf(name, sizeof name, "source/%s/score", known[t]);
        ck_assert_double_eq_tol(figure(r, name), score[t], 1e-3);
        sum += exp(score[t] / 0.5) / 4;
        free(x);
    }
    for (int t = 0; t < 4; t++) {
        char name[64];
        snprintf(name, sizeof name, "source/%s/weight", known[t]);
        ck_assert_double_eq_tol(figure(r, name), 3 * exp(score[t] / 0.5) / sum, 1e-2);
    }
    /* It is made of grade and hours. */
    ck_assert_double_gt(figure(r, "source/grade/weight"), figure(r, "source/tags/weight"));
    mtl_model *hot = moved(s, "scored:temperature=1e6", "epochs=3"), *replay = moved(s, "replay", "epochs=3");
    mtl_model *cold = moved(s, "scored:temperature=1e-6", "epochs=3");
    ck_assert_float_lt(tensor_bits_differ(hot, replay, "trunk.0.weight"), 1e-4f);
    ck_assert_float_gt(tensor_bits_differ(cold, replay, "trunk.0.weight"), 1e-3f);
    free(y);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(hot), mtl_model_destroy(replay), mtl_model_destroy(cold);
    scene_free(s);
}
END_TEST

/* A and B of a tensor from the report, and how often. */
static void add_adapter(mtl_model *m, const mtl_report *r, const char *tensor, int64_t rank,
                        double sign)
{
    float factor[2][NUMBERS];
    for (int k = 0; k < 2; k++) {
        char name[96];
        int64_t count;
        const double *values;
        snprintf(name, sizeof name, "adapter/%s/%s", tensor, k ? "b" : "a");
        done(mtl_report_get_series(r, name, &count, &values, err));
        for (int64_t i = 0; i < count; i++)
            factor[k][i] = (float)values[i];
    }
    done(mtl_model_tensor_add_product(m, tensor, rank, sign * figure(r, "adapter/scale"), factor[0],
                                      factor[1], err));
}

/* What was kept apart makes the same trunk of the source, to the bit, and is taken off again. */
START_TEST(adapters_apart)
{
    static const char *const names[] = {"trunk.0.weight", "trunk.1.weight"};
    scene *s = scene_make(NULL);
    mtl_report *r = NULL;
    mtl_model *m =
        transferred(s->source, s->target, s->known, "strategy=lora:rank=3,alpha=2 epochs=20", &r);
    mtl_model *copy = NULL;
    done(mtl_model_clone(s->source, &copy, err));
    for (int i = 0; i < 2; i++) {
        add_adapter(copy, r, names[i], 3, 1);
        ck_assert(changed(copy, s->source, names[i]) && !changed(copy, m, names[i]));
    }
    for (int i = 0; i < 2; i++) {
        add_adapter(copy, r, names[i], 3, -1);
        ck_assert_float_lt(tensor_bits_differ(copy, s->source, names[i]), 1e-6f);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(copy);
    scene_free(s);
}
END_TEST

START_TEST(products_that_are_refused)
{
    float a[2 * IN] = {1}, b[2 * 9] = {1}, large[2 * 9] = {3e38f}, bad[2 * 9] = {NAN};
    const char *w = "trunk.0.weight";
    scene *s = scene_make(NULL);
    mtl_model *copy = NULL;
    done(mtl_model_clone(s->source, &copy, err));
    refused(mtl_model_tensor_add_product(NULL, w, 2, 1, a, b, err), MTL_ERR_INVALID, "model");
    refused(mtl_model_tensor_add_product(copy, w, 2, 1, NULL, b, err), MTL_ERR_INVALID, "a");
    refused(mtl_model_tensor_add_product(copy, "trunk.7.weight", 2, 1, a, b, err), MTL_ERR_NAME,
            "trunk.7");
    refused(mtl_model_tensor_add_product(copy, "trunk.0.bias", 2, 1, a, b, err), MTL_ERR_SHAPE,
            "bias");
    refused(mtl_model_tensor_add_product(copy, w, 0, 1, a, b, err), MTL_ERR_SHAPE, "rank is 0");
    refused(mtl_model_tensor_add_product(copy, w, 2, 1e300, a, b, err), MTL_ERR_VALUE, "finite");
    refused(mtl_model_tensor_add_product(copy, w, 2, 1, a, bad, err), MTL_ERR_VALUE, "finite");
    refused(mtl_model_tensor_add_product(copy, w, 2, 2, a, large, err), MTL_ERR_VALUE, "sum");
    assert_same_model(copy, s->source);
    done(mtl_model_tensor_add_product(copy, "head.grade.weight", 1, 2, b, b,
                                      err)); /* a slice of a matrix */
    for (int64_t i = 0; i < mtl_model_tensor_count(copy); i++) {
        const char *name;
        tensor_size(copy, i, &name);
        ck_assert(changed(copy, s->source, name) == (strcmp(name, "head.grade.weight") == 0));
    }
    mtl_model_destroy(copy);
    scene_free(s);
}
END_TEST

/* ---- The way back -------------------------------------------------------------------------- */

/* Every parameter stands on the line between where the steps began and came to, at the alpha that
   the report tells; alpha is one of the grid. */
START_TEST(wise_is_on_the_line)
{
    bool seen[5] = {false};
    scene *s = scene_make(NULL);
    for (int k = 0; k < 6; k++) {
        static const char *const how[] = {"epochs=2 seed=1",
                                          "epochs=60 seed=1",
                                          "epochs=300 learning_rate=0.05 trunk_rate=1",
                                          "epochs=20 learning_rate=0.3 trunk_rate=1",
                                          "epochs=30",
                                          "epochs=400 learning_rate=0.02 trunk_rate=0.3"};
        char text[200], still[200];
        mtl_report *r = NULL;
        snprintf(still, sizeof still, "%s learning_rate=0", how[k]);
        snprintf(text, sizeof text, "strategy=wise %s", how[k]);
        mtl_model *w0 = moved(s, "tune", still), *w1 = moved(s, "tune", how[k]);
        mtl_model *m = transferred(s->source, s->target, s->known, text, &r);
        const double alpha = figure(r, "alpha");
        ck_assert(alpha >= 0 && alpha <= 1 && 4 * alpha == floor(4 * alpha));
        ck_assert(figure(r, "candidate/wise/variant") == 4 * alpha);
        ck_assert_str_eq(text_of(r, "strategy"), "wise");
        seen[(int)(4 * alpha)] = true;
        int64_t n;
        float *a = parameters(w0, &n), *b = parameters(w1, &n), *x = parameters(m, &n);
        for (int64_t i = 0; i < n; i++)
            ck_assert_double_eq_tol((double)x[i], (1 - alpha) * (double)a[i] + alpha * (double)b[i],
                                    1e-6 * (1 + fabs((double)b[i])));
        if (alpha == 0 || alpha == 1)
            assert_same_model(m, alpha == 0 ? w0 : w1);
        free(a), free(b), free(x);
        mtl_report_destroy(r);
        mtl_model_destroy(w0), mtl_model_destroy(w1), mtl_model_destroy(m);
    }
    ck_assert(seen[0] + seen[1] + seen[2] + seen[3] + seen[4] >= 2); /* it is a choice */
    scene_free(s);
}
END_TEST

/* ---- All of them --------------------------------------------------------------------------- */

static const char *const ways[] = {
    "bias_only", "discriminative", "gradual", "l2_sp", "l2_sp_fisher", "ewc",   "delta",
    "bss",       "distil",         "wise",    "lora",  "gated",        "a_gem", "co_tuning"};
enum {
    WITH_WEIGHTING = 10,
    IN_DOMAINS = 13
}; /* the first ones go with a weighting; into a domain */

/* The source is not touched, known labels of the target are not looked at, streams of options go
   together. */
START_TEST(what_they_leave_alone)
{
    scene *s = scene_make(NULL);
    mtl_model *copy = NULL;
    done(mtl_model_clone(s->source, &copy, err));
    for (size_t i = 0; i < WITH_WEIGHTING; i++) {
        mtl_model *m =
            moved(s, ways[i], "epochs=3 average=ema weighting=upgrad clip_norm=1 schedule=cosine");
        done(mtl_dataset_set_labels(s->target, "grade", 1, s->few.grade, 1, err));
        mtl_model *with =
            moved(s, ways[i], "epochs=3 average=ema weighting=upgrad clip_norm=1 schedule=cosine");
        mtl_dataset_destroy(s->target);
        done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
        done(mtl_dataset_set_labels(s->target, "both", 1, s->both, 1, err));
        done(mtl_dataset_set_labels(s->target, "sum", 1, s->sum, 1, err));
        assert_same_model(m, with);
        assert_same_model(s->source, copy);
        mtl_model_destroy(m), mtl_model_destroy(with);
    }
    mtl_model_destroy(copy);
    scene_free(s);
}
END_TEST

/* Known tasks in a new domain: the source's own heads are where steps begin, and are what is held.
 */
START_TEST(in_a_new_domain)
{
    scene *s = scene_make(NULL);
    mtl_dataset_destroy(s->target);
    done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "grade", 1, s->few.grade, 1, err));
    for (size_t i = 0; i < IN_DOMAINS; i++) {
        float out[FEW * 3];
        mtl_model *m = moved(s, ways[i], "epochs=5");
        ck_assert_int_eq(mtl_model_task_count(m), 4);
        done(mtl_predict_task(m, 1, FEW, s->few.x, IN, out, 3, err));
        for (int j = 0; j < FEW * 3; j++)
            ck_assert(out[j] >= 0 && out[j] <= 1);
        mtl_model_destroy(m);
    }
    refuse(s, "strategy=scored", MTL_ERR_INVALID, "new tasks");
    mtl_model *held =
        moved(s, "l2_sp:alpha=1000", "epochs=100 optimizer=sgd learning_rate=0.005 trunk_rate=0.1");
    mtl_model *tune =
        moved(s, "tune", "epochs=100 optimizer=sgd learning_rate=0.005 trunk_rate=0.1");
    ck_assert_float_lt(tensor_bits_differ(held, s->source, "head.grade.weight"),
                       0.1f * tensor_bits_differ(tune, s->source, "head.grade.weight"));
    mtl_model_destroy(held), mtl_model_destroy(tune);
    scene_free(s);
}
END_TEST

START_TEST(what_cannot_be_says_why)
{
    scene *s = scene_make(NULL);
    refuse(s, "strategy=norm_only", MTL_ERR_STATE, "norm");
    refuse(s, "strategy=discriminative weighting=db_mtl", MTL_ERR_INVALID, "rates of tensors");
    refuse(s, "strategy=lora average=ema", MTL_ERR_INVALID, "average");
    refuse(s, "strategy=lora weighting=upgrad", MTL_ERR_INVALID, "weighting");
    static const char *const with_known[] = {"l2_sp_fisher", "ewc", "scored", "gated", "a_gem"};
    for (size_t i = 0; i < COUNT(with_known); i++) {
        mtl_model *m = NULL;
        char text[64];
        snprintf(text, sizeof text, "strategy=%s", with_known[i]);
        mtl_options *how = options(MTL_OPTIONS_TRANSFER, text);
        refused(mtl_transfer(s->source, s->target, NULL, how, &m, NULL, err), MTL_ERR_INVALID,
                "known");
        mtl_options_destroy(how);
    }
    static const char *const wrong[] = {"l2_sp:alpha=-1",
                                        "l2_sp:gamma=1",
                                        "gradual:every=0",
                                        "gradual:every=1.5",
                                        "discriminative:factor=0.5",
                                        "distil:temperature=0",
                                        "wise:alpha=1",
                                        "lora:rank=0",
                                        "bottleneck:units=0",
                                        "scored:temperature=0",
                                        "bss:k=0.5",
                                        "co_tuning:alpha=1",
                                        "ewc:lambda=-1",
                                        "tune:rate=1",
                                        "l2sp"};
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "");
    for (size_t i = 0; i < COUNT(wrong); i++)
        refused(mtl_options_set_str(o, "strategy", wrong[i], err), MTL_ERR_RANGE, "");
    mtl_options_destroy(o);
    scene_free(s);
    for (int k = 0; k < 2; k++) {
        mtl_spec *spec = NULL;
        done(mtl_spec_create(NULL, IN, &spec, err));
        if (k)
            done(mtl_spec_add_dense(spec, 4, "relu", err));
        if (k)
            done(mtl_spec_set_ensemble(spec, 3, "tabm", err));
        done(mtl_spec_add_task(spec, "grade", MTL_MULTICLASS, 3, err));
        s = scene_of(NULL, spec);
        for (size_t i = 0; i < COUNT(ways); i++) {
            char text[64];
            snprintf(text, sizeof text, "strategy=%s", ways[i]);
            refuse(s, text, MTL_ERR_STATE, k ? "ensemble" : "trunk");
        }
        /* In a new domain an ensemble goes on from its own heads. */
        mtl_dataset_destroy(s->target);
        done(mtl_dataset_create(NULL, s->few.x, FEW, IN, IN, &s->target, err));
        done(mtl_dataset_set_labels(s->target, "grade", 1, s->few.grade, 1, err));
        for (size_t i = 0; k && i < WITH_WEIGHTING; i++)
            mtl_model_destroy(moved(s, ways[i], "epochs=3"));
        scene_free(s);
    }
}
END_TEST

static int32_t stop_at_two(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                           void *user)
{
    (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return epoch >= 2 ? 0 : MTL_CONTINUE;
}

START_TEST(cancelled)
{
    scene *s = scene_make(NULL);
    for (size_t i = 0; i < COUNT(ways); i++) {
        char text[64];
        mtl_model *m = NULL;
        mtl_report *r = NULL;
        snprintf(text, sizeof text, "strategy=%s epochs=1000", ways[i]);
        mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
        if (strcmp(ways[i], "wise") == 0)
            set_options(o, MTL_OPTIONS_TRANSFER, "epochs=20");
        done(mtl_options_set_progress(o, stop_at_two, NULL, err));
        done(mtl_transfer(s->source, s->target, s->known, o, &m, &r, err));
        ck_assert_str_eq(text_of(r, "reason"), "cancelled");
        mtl_options_destroy(o);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    scene_free(s);
}
END_TEST

START_TEST(same_bits)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=3", "threads=2 cpu=avx2"};
    uint64_t hash[COUNT(ways)] = {0};
    for (size_t c = 0; c < COUNT(contexts); c++) {
        mtl_context *ctx = context(contexts[c]);
        scene *s = scene_make(ctx);
        for (size_t i = 0; i < COUNT(ways); i++) {
            mtl_model *m = moved(s, ways[i], "epochs=4");
            const uint64_t now = model_hash(m);
            ck_assert_msg(c == 0 || now == hash[i], "%s with %s", ways[i], contexts[c]);
            hash[i] = now;
            mtl_model_destroy(m);
        }
        scene_free(s);
        mtl_context_destroy(ctx);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("strategies");
    add_case(s, "without effect a strategy is tune", without_effect_it_is_tune);
    add_case(s, "discriminative rates of layers", discriminative_rates);
    add_case(s, "gradual unfreezing from the top", gradual_unfreezing);
    add_case(s, "biases or norms alone", tensors_alone);
    add_case(s, "l2_sp adds its gradient", l2_sp_gradient);
    add_case(s, "l2_sp of sparse inputs", l2_sp_of_sparse_inputs);
    add_case(s, "l2_sp stays near the source", l2_sp_stays_near);
    add_case(s, "distillation adds its gradient", distil_gradient);
    add_case(s, "distillation keeps the known tasks", distil_keeps_the_known_tasks);
    add_case(s, "a Fisher information is of single rows", fisher_is_of_single_rows);
    add_case(s, "a Fisher information of a stream", fisher_of_a_stream);
    add_case(s, "ewc keeps the known tasks", ewc_keeps_the_known_tasks);
    add_case(s, "delta adds its gradient", delta_gradient);
    add_case(s, "bss adds its gradient", bss_gradient);
    add_case(s, "co_tuning adds its gradient", co_tuning_gradient);
    add_case(s, "known tasks are weighed", weighing_known_tasks);
    add_case(s, "a_gem keeps the known tasks", a_gem_keeps_the_known_tasks);
    add_case(s, "bottleneck's formula", bottleneck_formula);
    add_case(s, "bottleneck leaves others alone", bottleneck_leaves_others_alone);
    add_case(s, "bottleneck needs one trunk", bottleneck_needs_one_trunk);
    add_case(s, "scored by log evidence", scored_by_log_evidence);
    add_case(s, "lora is of low rank", lora_is_of_low_rank);
    add_case(s, "lora steps on A and B", lora_steps);
    add_case(s, "adapters are kept apart", adapters_apart);
    add_case(s, "products that are refused", products_that_are_refused);
    add_case(s, "wise is on the line", wise_is_on_the_line);
    add_case(s, "what strategies leave alone", what_they_leave_alone);
    add_case(s, "in a new domain", in_a_new_domain);
    add_case(s, "what cannot be says why", what_cannot_be_says_why);
    add_case(s, "cancelled", cancelled);
    add_case(s, "same bits for any threads and instruction set", same_bits);
    return run_suite(s);
}
