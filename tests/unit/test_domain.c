/* SPDX-License-Identifier: MIT */
/* Transfer of tasks that the source knows to a new domain: with few labels, or none. */
#include "api_testing.h"

#include "../golden/domains.h"
#include "transfer/domain.h"

enum { ROWS = 300, FEW = 80, IN = PROBLEM_INPUTS, OUT = PROBLEM_OUTPUTS };

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* ---- Distances ----------------------------------------------------------------------------- */

static const mtl__distance kinds[] = {MTL__CORAL, MTL__MMD};

static double distance(mtl__distance kind, const mtl__parts *p, double factor, float *gradient)
{
    double *work = calloc((size_t)mtl__distance_room(p->rows, p->cols), sizeof *work);
    const double value = mtl__distance_of(kind, p, work, factor, gradient);
    free(work);
    return value;
}

START_TEST(as_numpy_has_them)
{
    for (size_t i = 0; i < COUNT(golden_domains); i++) {
        const mtl__parts p = {golden_domains[i].rows, golden_domains[i].split,
                              golden_domains[i].cols, golden_domains[i].x};
        const double expected[] = {golden_domains[i].coral, golden_domains[i].mmd};
        for (int k = 0; k < 2; k++) {
            const double value = distance(kinds[k], &p, 1, NULL);
            ck_assert_double_eq_tol(value, expected[k], 1e-11 * (1 + expected[k]));
        }
    }
}
END_TEST

START_TEST(gradients_are_differences)
{
    for (size_t i = 0; i < COUNT(golden_domains); i++)
        for (int k = 0; k < 2; k++) {
            const int n = golden_domains[i].rows * golden_domains[i].cols;
            float x[256], gradient[256];
            memcpy(x, golden_domains[i].x, (size_t)n * sizeof *x);
            const mtl__parts p = {golden_domains[i].rows, golden_domains[i].split,
                                  golden_domains[i].cols, x};
            distance(kinds[k], &p, 3, gradient);
            for (int j = 0; j < n; j++) {
                const float was = x[j];
                x[j] = was + 1e-2f;
                const double up = distance(kinds[k], &p, 1, NULL), high = (double)x[j];
                x[j] = was - 1e-2f;
                const double down = distance(kinds[k], &p, 1, NULL);
                const double slope = 3 * (up - down) / (high - (double)x[j]);
                x[j] = was;
                ck_assert_msg(fabs((double)gradient[j] - slope) < 1e-4 * (1 + fabs(slope)),
                              "table %zu, kind %d, number %d: %g, not %g", i, k, j,
                              (double)gradient[j], slope);
            }
        }
}
END_TEST

START_TEST(equal_parts_are_not_apart)
{
    float x[12] = {1, 2, 3, 4, 5, 7, 1, 2, 3, 4, 5, 7}, same[12] = {0}, gradient[12];
    const mtl__parts p = {6, 3, 2, x}, none = {6, 3, 2, same};
    for (int k = 0; k < 2; k++) {
        ck_assert_double_lt(distance(kinds[k], &p, 1, gradient), 1e-15);
        for (int j = 0; j < 12; j++)
            ck_assert(fabsf(gradient[j]) < 1e-6f);
        ck_assert(distance(kinds[k], &none, 1, gradient) == 0);
        for (int j = 0; j < 12; j++)
            ck_assert(gradient[j] == 0);
    }
}
END_TEST

/* Parts with too few rows have no distance and no gradient. */
START_TEST(rows_too_few)
{
    const float x[8] = {1, 2, 3, 9, 5, 6, 7, 8};
    for (int64_t split = 0; split <= 4; split++)
        for (int k = 0; k < 2; k++) {
            float gradient[8];
            const mtl__parts p = {4, split, 2, x};
            const int64_t least = split < 4 - split ? split : 4 - split;
            const bool any = least >= (kinds[k] == MTL__CORAL ? 2 : 1);
            ck_assert((distance(kinds[k], &p, 1, gradient) > 0) == any);
            for (int j = 0; j < 8; j++)
                ck_assert(isfinite(gradient[j]) && (any || gradient[j] == 0));
        }
}
END_TEST

/* ---- Transfers ----------------------------------------------------------------------------- */

/* A fitted source, its rows, and rows of a domain whose inputs are moved and stretched. */
typedef struct scene {
    problem p, far, test;
    mtl_dataset *known, *target;
    mtl_model *source;
} scene;

static void move_inputs(problem *p)
{
    for (int64_t i = 0; i < p->rows * IN; i++)
        p->x[i] = p->x[i] * (i % IN == 1 ? 2.5f : 1) + (i % IN == 0 ? 3 : 0) - (i % IN == 2 ? 2 : 0);
}

static scene *scene_make(mtl_context *ctx, int64_t few)
{
    scene *s = calloc(1, sizeof *s);
    s->p = problem_make(ROWS, 21, 0);
    s->far = problem_make(few, 22, 0);
    s->test = problem_make(ROWS, 23, 0);
    move_inputs(&s->far), move_inputs(&s->test);
    s->known = problem_data(&s->p, ctx);
    s->source = problem_model(ctx);
    fit(s->source, s->known, "epochs=60 learning_rate=0.01 seed=2");
    done(mtl_dataset_create(ctx, s->far.x, few, IN, IN, &s->target, err));
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    problem_free(&s->p), problem_free(&s->far), problem_free(&s->test);
    free(s);
}

/* The first `labels` rows have theirs. */
static void label_grades(scene *s, int64_t labels)
{
    for (int64_t i = labels; i < s->far.rows; i++)
        s->far.grade[i] = NAN;
    done(mtl_dataset_set_labels(s->target, "grade", 1, s->far.grade, 1, err));
}

static mtl_model *moved(const scene *s, const mtl_dataset *known, const char *text,
                        mtl_report **report)
{
    return transferred(s->source, s->target, known, text, report);
}

static void refuse(const scene *s, const mtl_dataset *known, const char *text, mtl_status status,
                   const char *part)
{
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    refused(mtl_transfer(s->source, s->target, known, o, &m, &r, err), status, part);
    ck_assert(!m && !r);
    mtl_options_destroy(o);
}

static double number_of(const mtl_report *r, const char *name)
{
    double value = NAN;
    done(mtl_report_get_f64(r, name, &value, err));
    return value;
}

static int class_of(const float *p)
{
    return p[1] > p[0] ? (p[2] > p[1] ? 2 : 1) : p[2] > p[0] ? 2 : 0;
}

static double grade_accuracy(const mtl_model *m, const problem *p)
{
    float out[ROWS * 3];
    int64_t right = 0;
    done(mtl_predict_task(m, mtl_model_task_index(m, "grade"), p->rows, p->x, IN, out, 3, err));
    for (int64_t i = 0; i < p->rows; i++)
        right += class_of(out + 3 * i) == (int)p->grade[i];
    return (double)right / (double)p->rows;
}

static void assert_same_predictions(const mtl_model *a, const mtl_model *b, const problem *p)
{
    float x[ROWS * OUT], y[ROWS * OUT];
    done(mtl_predict(a, p->rows, p->x, IN, x, OUT, err));
    done(mtl_predict(b, p->rows, p->x, IN, y, OUT, err));
    assert_same_bits(x, y, p->rows * OUT);
}

/* No label, and nothing to go the way back with: what is taken is the source, its calibration too. */
START_TEST(without_labels_it_is_the_source)
{
    static const struct {
        const char *how;
        bool knows;
    } ways[] = {{"strategy=auto simulations=0", true}, {"strategy=as_is", true},
                {"strategy=auto", false}, {"strategy=as_is", false}};
    for (int calibrated = 0; calibrated < 2; calibrated++) {
        scene *s = scene_make(NULL, FEW);
        label_grades(s, 0);
        if (calibrated)
            done(mtl_model_calibrate(s->source, s->known, NULL, NULL, err));
        for (size_t i = 0; i < COUNT(ways); i++) {
            mtl_report *r = NULL;
            mtl_model *m = moved(s, ways[i].knows ? s->known : NULL, ways[i].how, &r);
            assert_same_predictions(m, s->source, &s->test);
            ck_assert_str_eq(text_of(r, "strategy"), "as_is");
            if (ways[i].knows) {
                ck_assert(number_of(r, "distance/coral/before") > 0);
                ck_assert(number_of(r, "distance/mmd/before") ==
                          number_of(r, "distance/mmd/after"));
            }
            if (i % 2 == 0)
                ck_assert_ptr_nonnull(strstr(text_of(r, "why"), "label"));
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
        scene_free(s);
    }
}
END_TEST

/* Few labels and many rows without: what draws the domains together is compared, on the own rows and on
   the way back, and what is taken is better than the source. */
START_TEST(the_way_back_counts)
{
    scene *s = scene_make(NULL, 400);
    mtl_report *r = NULL;
    label_grades(s, 30);
    mtl_model *m = moved(s, s->known, "strategy=auto epochs=40", &r);
    static const char *const names[] = {"as_is", "statistics", "coral", "mmd", "replay", "linear"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "candidate/%s/mean", names[i]);
        ck_assert_msg(isfinite(number_of(r, name)), "%s", name);
        snprintf(name, sizeof name, "candidate/%s/simulated", names[i]);
        ck_assert_msg(isfinite(number_of(r, name)), "%s", name);
    }
    ck_assert_double_eq(number_of(r, "simulations"), 2);
    ck_assert_double_gt(grade_accuracy(m, &s->test), grade_accuracy(s->source, &s->test) + 0.15);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Rows that are like the known ones: nothing is moved, to the bit. */
START_TEST(no_shift_no_move)
{
    for (uint64_t seed = 31; seed < 34; seed++) {
        scene *s = scene_make(NULL, 400);
        mtl_report *r = NULL;
        problem_free(&s->far);
        s->far = problem_make(400, seed, 0);
        mtl_dataset_destroy(s->target);
        done(mtl_dataset_create(NULL, s->far.x, 400, IN, IN, &s->target, err));
        label_grades(s, 0);
        mtl_model *m = moved(s, s->known, "strategy=auto", &r);
        ck_assert_str_eq(text_of(r, "strategy"), "as_is");
        ck_assert_double_ge(number_of(r, "simulations"), 1);
        assert_same_predictions(m, s->source, &s->test);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        scene_free(s);
    }
}
END_TEST

static void undo_a_shift(const char *scaler)
{
    char text[80];
    scene *s = scene_make(NULL, 2000);
    mtl_report *r = NULL;
    label_grades(s, 0);
    mtl_model_destroy(s->source);
    s->source = problem_model(NULL);
    snprintf(text, sizeof text, "epochs=60 learning_rate=0.01 seed=2 scaler=%s", scaler);
    fit(s->source, s->known, text);
    mtl_model *m = moved(s, s->known, "strategy=statistics", &r);
    problem at_home = problem_make(ROWS, 23, 0);
    const double home = grade_accuracy(s->source, &at_home);
    const double before = grade_accuracy(s->source, &s->test);
    ck_assert_double_gt(home, 0.85);
    ck_assert_double_lt(before, home - 0.2);
    ck_assert_double_gt(grade_accuracy(m, &s->test), home - 0.05);
    ck_assert_double_lt(number_of(r, "distance/coral/after"),
                        0.5 * number_of(r, "distance/coral/before"));
    ck_assert(number_of(r, "distance/mmd/after") < 0.1 * number_of(r, "distance/mmd/before"));
    problem_free(&at_home);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}

/* Inputs that were moved and stretched are seen as what they were, however the source scales them. */
START_TEST(statistics_undo_a_shift)
{
    undo_a_shift("standard");
    undo_a_shift("robust_clip");
    undo_a_shift("quantile");
}
END_TEST

static double deviation(const float *x, int64_t rows, int64_t j, double *mean)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < rows; i++)
        sum += (double)x[i * IN + j];
    *mean = sum / (double)rows;
    for (int64_t i = 0; i < rows; i++)
        square += ((double)x[i * IN + j] - *mean) * ((double)x[i * IN + j] - *mean);
    return sqrt(square / (double)rows);
}

static void get(const mtl_model *m, const char *name, int64_t size, float *out)
{
    done(mtl_model_tensor_get(m, name, size, out, err));
}

/* A batch norm in front: its running figures are those of the target's scaled rows, 16 old rows'
   share kept. */
START_TEST(statistics_of_a_batch_norm)
{
    scene *s = scene_make(NULL, 40);
    mtl_spec *spec = NULL;
    float mean[2][IN], variance[2][IN];
    done(mtl_spec_create(NULL, IN, &spec, err));
    done(mtl_spec_add_norm(spec, "batch", err));
    done(mtl_spec_add_dropout(spec, 0.5, err));
    done(mtl_spec_add_dense(spec, 5, "relu", err));
    done(mtl_spec_add_task(spec, "grade", MTL_MULTICLASS, 3, err));
    mtl_model_destroy(s->source);
    done(mtl_model_create(spec, &s->source, err));
    fit(s->source, s->known, "epochs=3 scale_inputs=0");
    label_grades(s, 0);
    mtl_model *m = moved(s, s->known, "strategy=statistics", NULL);
    get(s->source, "trunk.0.running_mean", IN, mean[0]);
    get(s->source, "trunk.0.running_var", IN, variance[0]);
    get(m, "trunk.0.running_mean", IN, mean[1]);
    get(m, "trunk.0.running_var", IN, variance[1]);
    for (int j = 0; j < IN; j++) {
        double of_known, of_far;
        const double a = deviation(s->p.x, ROWS, j, &of_known);
        double b = deviation(s->far.x, 40, j, &of_far);
        const double was = of_far, own = b;
        of_far = (40 * of_far + 16 * of_known) / 56;
        b = sqrt((40 * b * b + 16 * a * a) / 56);
        const double seen = (was - of_far) / b * a + of_known, spread = own / b * a;
        const double keep = 16.0 / 56;
        ck_assert_double_eq_tol((double)mean[1][j], keep * (double)mean[0][j] + (1 - keep) * seen,
                                1e-4);
        ck_assert_double_eq_tol((double)variance[1][j],
                                keep * (double)variance[0][j] +
                                    (1 - keep) * spread * spread * 40 / 39, 1e-3);
    }
    mtl_spec_destroy(spec);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

static const char *const names[] = {"coral", "mmd"};

static double distance_now(const scene *s, const mtl_model *m, int kind)
{
    mtl_report *r = NULL;
    char name[64];
    done(mtl_evaluate(m, s->known, NULL, &r, err)); /* some report to write to */
    assert_ok(mtl__report_distance(m, s->known, m, s->target, "now", r, NULL));
    snprintf(name, sizeof name, "distance/%s/now", names[kind]);
    const double value = number_of(r, name);
    mtl_report_destroy(r);
    return value;
}

/* What a step of Adam without memory says of the gradient of a tensor (gradcheck.h). */
static void gradient_of(const scene *s, int kind, const char *align, const char *tensor,
                        int64_t size, double *out)
{
    float before[128], after[128];
    char text[256];
    snprintf(text, sizeof text,
             "strategy=%s epochs=1 batch_size=1000 learning_rate=1 trunk_rate=1 "
             "optimizer=adam:beta1=0,beta2=0,eps=1 align=%s", names[kind], align);
    mtl_model *m = moved(s, s->known, text, NULL);
    get(s->source, tensor, size, before), get(m, tensor, size, after);
    for (int64_t i = 0; i < size; i++) {
        const double d = (double)before[i] - (double)after[i];
        out[i] = d / (1 - fabs(d));
    }
    mtl_model_destroy(m);
}

/* What the penalty adds to a step is its gradient down the trunk, by central differences. */
START_TEST(penalties_go_down_the_trunk)
{
    static const char *const tensors[] = {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight"};
    static const int sizes[] = {IN * 9, 9, 9 * 4};
    scene *s = scene_make(NULL, FEW);
    mtl_spec *spec = NULL;
    mtl_dataset *known = NULL;
    done(mtl_spec_create(NULL, IN, &spec, err));
    done(mtl_spec_add_dense(spec, 9, "tanh", err));
    done(mtl_spec_add_dense(spec, 4, "tanh", err));
    done(mtl_spec_add_task(spec, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_dataset_create(NULL, s->p.x, 150, IN, IN, &known, err));
    done(mtl_dataset_set_labels(known, "grade", 1, s->p.grade, 1, err));
    mtl_model_destroy(s->source), mtl_dataset_destroy(s->known);
    s->known = known;
    done(mtl_model_create(spec, &s->source, err));
    fit(s->source, s->known, "epochs=20");
    label_grades(s, 0);
    for (int k = 0; k < 2; k++)
        for (int t = 0; t < 3; t++) {
            double with[128], without[128];
            float value[128];
            gradient_of(s, k, "2", tensors[t], sizes[t], with);
            gradient_of(s, k, "0", tensors[t], sizes[t], without);
            get(s->source, tensors[t], sizes[t], value);
            for (int i = 0; i < sizes[t]; i += 5) {
                mtl_model *m = NULL;
                double side[2];
                done(mtl_model_clone(s->source, &m, err));
                for (int j = 0; j < 2; j++) {
                    const float was = value[i];
                    value[i] += j ? -0.01f : 0.01f;
                    done(mtl_model_tensor_set(m, tensors[t], sizes[t], value, err));
                    side[j] = distance_now(s, m, k);
                    value[i] = was;
                }
                mtl_model_destroy(m);
                const double expected = (side[0] - side[1]) / 0.02;
                ck_assert_msg(fabs((with[i] - without[i]) / 2 - expected) < 2e-4,
                              "%s, %s, number %d: %g, not %g", names[k], tensors[t], i,
                              (with[i] - without[i]) / 2, expected);
            }
        }
    mtl_spec_destroy(spec);
    scene_free(s);
}
END_TEST

START_TEST(penalties_draw_together)
{
    for (int k = 0; k < 2; k++) {
        scene *s = scene_make(NULL, FEW);
        mtl_report *r = NULL;
        char text[256];
        label_grades(s, 0);
        snprintf(text, sizeof text, "strategy=%s epochs=40 align=%s", names[k], k ? "3" : "100");
        mtl_model *m = moved(s, s->known, text, &r);
        char before[64], after[64];
        snprintf(before, sizeof before, "distance/%s/before", names[k]);
        snprintf(after, sizeof after, "distance/%s/after", names[k]);
        ck_assert_double_lt(number_of(r, after), 0.5 * number_of(r, before));
        ck_assert_double_gt(grade_accuracy(m, &s->test), grade_accuracy(s->source, &s->test) + 0.05);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        scene_free(s);
    }
}
END_TEST

/* Labels of the domain are learnt from; the other tasks stay what they were where heads alone are
   solved. */
START_TEST(few_labels)
{
    static const char *const solved[] = {"constant", "linear", "exact_probe", "shift", "stacked"};
    scene *s = scene_make(NULL, FEW);
    float before[ROWS * OUT], after[ROWS * OUT];
    label_grades(s, 60);
    const double source = grade_accuracy(s->source, &s->test);
    done(mtl_predict(s->source, ROWS, s->test.x, IN, before, OUT, err));
    for (size_t i = 0; i < COUNT(solved); i++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s", solved[i]);
        mtl_model *m = moved(s, NULL, text, NULL);
        const int64_t t = mtl_model_task_index(m, "grade");
        done(mtl_predict(m, ROWS, s->test.x, IN, after, OUT, err));
        for (int row = 0; row < ROWS; row++)
            for (int j = 0; j < OUT; j++) /* fails, tags, grade, hours */
                if (j < 3 || j > 5)
                    assert_same_bits(after + row * OUT + j, before + row * OUT + j, 1);
        ck_assert_int_eq(t, 2);
        if (i > 0)
            ck_assert_double_gt(grade_accuracy(m, &s->test), source + 0.05);
        mtl_model_destroy(m);
    }
    static const char *const steps[] = {"probe", "tune", "replay", "coral", "lp_ft", "fine_tune",
                                        "scratch", "auto"};
    for (size_t i = 0; i < COUNT(steps); i++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s", steps[i]);
        mtl_model *m = moved(s, s->known, text, NULL);
        ck_assert_int_eq(mtl_model_task_index(m, "fails") < 0, i == 6);
        ck_assert_msg(grade_accuracy(m, &s->test) > source + 0.05, "%s", steps[i]);
        mtl_model_destroy(m);
    }
    scene_free(s);
}
END_TEST

/* Where the labels say that the source is right, it stays. */
START_TEST(right_is_left_alone)
{
    scene *s = scene_make(NULL, 30);
    mtl_report *r = NULL;
    float out[30 * 3];
    mtl_dataset *near = NULL;
    done(mtl_predict_task(s->source, 2, 30, s->p.x, IN, out, 3, err));
    for (int i = 0; i < 30; i++)
        s->far.grade[i] = (float)class_of(out + 3 * i);
    done(mtl_dataset_create(NULL, s->p.x, 30, IN, IN, &near, err));
    mtl_dataset_destroy(s->target);
    s->target = near;
    label_grades(s, 30);
    mtl_model *m = moved(s, s->known, "strategy=auto", &r);
    ck_assert_str_eq(text_of(r, "strategy"), "as_is");
    assert_same_predictions(m, s->source, &s->test);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

/* Values keep the units that the head has, in every strategy. */
START_TEST(values_in_the_units_of_the_head)
{
    static const char *const all[] = {"linear", "exact_probe", "shift", "stacked", "tune",
                                      "fine_tune", "scratch", "auto"};
    scene *s = scene_make(NULL, 60);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < 2; j++)
            s->far.hours[2 * i + j] += j ? 0 : 30;
    s->far.hours[7] = NAN;
    done(mtl_dataset_set_labels(s->target, "hours", 2, s->far.hours, 2, err));
    for (size_t i = 0; i < COUNT(all); i++) {
        char text[128];
        float out[ROWS * 2];
        double sum = 0;
        snprintf(text, sizeof text, "strategy=%s epochs=400 trunk_rate=1", all[i]);
        mtl_model *m = moved(s, NULL, text, NULL);
        done(mtl_predict_task(m, mtl_model_task_index(m, "hours"), ROWS, s->test.x, IN, out, 2,
                              err));
        for (int row = 0; row < ROWS; row++)
            sum += fabs((double)out[2 * row] - (double)s->test.hours[2 * row] - 30) / ROWS;
        ck_assert_msg(sum < 15, "%s: %g", all[i], sum);
        mtl_model_destroy(m);
    }
    scene_free(s);
}
END_TEST

/* A task with layers of its own has no exact head, but steps; auto finds its way. */
START_TEST(a_task_with_layers_of_its_own)
{
    scene *s = scene_make(NULL, 40);
    mtl_report *r = NULL;
    double value;
    done(mtl_dataset_set_labels(s->target, "tags", 2, s->far.tags, 2, err));
    refuse(s, NULL, "strategy=constant", MTL_ERR_INVALID, "tags");
    refuse(s, NULL, "strategy=linear", MTL_ERR_INVALID, "tags");
    mtl_model *m = moved(s, s->known, "strategy=auto", &r);
    done(mtl_report_get_f64(r, "candidate/as_is/mean", &value, err));
    ck_assert(isfinite(value));
    done(mtl_report_get_f64(r, "candidate/linear/mean", &value, err));
    ck_assert(isnan(value));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    scene_free(s);
}
END_TEST

START_TEST(what_cannot_be_says_why)
{
    scene *s = scene_make(NULL, FEW);
    mtl_dataset *known = s->known;
    refuse(s, known, "strategy=auto", MTL_ERR_DATA, "NaN");
    label_grades(s, 0);
    static const char *const learning[] = {"constant", "linear", "stacked", "tune", "scratch",
                                           "replay"};
    for (size_t i = 0; i < COUNT(learning); i++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s", learning[i]);
        refuse(s, known, text, MTL_ERR_DATA, learning[i]);
    }
    refuse(s, NULL, "strategy=statistics", MTL_ERR_INVALID, "known");
    refuse(s, NULL, "strategy=coral", MTL_ERR_INVALID, "known");
    refuse(s, NULL, "strategy=mmd", MTL_ERR_INVALID, "known");
    refuse(s, known, "strategy=mmd weighting=upgrad weighting_scope=layer", MTL_ERR_INVALID, "penalty");
    done(mtl_dataset_set_labels(s->target, "new", 1, s->far.fails, 1, err));
    refuse(s, known, "strategy=statistics", MTL_ERR_INVALID, "new domain");
    s->far.x[7] = INFINITY;
    refuse(s, known, "strategy=as_is", MTL_ERR_VALUE, "");
    scene_free(s);
}
END_TEST

/* Sources without a trunk and ensembles in one network. */
START_TEST(other_sources)
{
    for (int k = 0; k < 2; k++) {
        scene *s = scene_make(NULL, FEW);
        mtl_spec *spec = NULL;
        mtl_report *r = NULL;
        done(mtl_spec_create(NULL, IN, &spec, err));
        if (k)
            done(mtl_spec_add_dense(spec, 8, "relu", err));
        if (k)
            done(mtl_spec_set_ensemble(spec, 3, "tabm", err));
        done(mtl_spec_add_task(spec, "grade", MTL_MULTICLASS, 3, err));
        mtl_model_destroy(s->source);
        done(mtl_model_create(spec, &s->source, err));
        fit(s->source, s->known, "epochs=10");
        label_grades(s, 50);
        refuse(s, s->known, "strategy=coral", MTL_ERR_STATE, k ? "ensemble" : "trunk");
        refuse(s, s->known, "strategy=mmd", MTL_ERR_STATE, k ? "ensemble" : "trunk");
        static const char *const ways[] = {"as_is", "statistics", "tune", "fine_tune", "auto"};
        for (size_t i = 0; i < COUNT(ways); i++) {
            char text[64];
            snprintf(text, sizeof text, "strategy=%s epochs=20", ways[i]);
            mtl_model *m = moved(s, s->known, text, &r);
            ck_assert(grade_accuracy(m, &s->test) >= grade_accuracy(s->source, &s->test) - 0.1);
            mtl_report_destroy(r);
            mtl_model_destroy(m);
        }
        mtl_spec_destroy(spec);
        scene_free(s);
    }
}
END_TEST

/* One row, with a label and without. */
START_TEST(one_row)
{
    static const char *const ways[] = {"auto", "as_is", "statistics", "coral", "mmd", "tune"};
    for (int labels = 0; labels < 2; labels++) {
        scene *s = scene_make(NULL, 1);
        label_grades(s, labels);
        for (size_t i = 0; i < COUNT(ways) - !labels; i++) {
            char text[64];
            float out[ROWS * OUT];
            snprintf(text, sizeof text, "strategy=%s epochs=3", ways[i]);
            mtl_model *m = moved(s, s->known, text, NULL);
            done(mtl_predict(m, ROWS, s->test.x, IN, out, OUT, err));
            for (int j = 0; j < ROWS * OUT; j++)
                ck_assert(isfinite(out[j]));
            mtl_model_destroy(m);
        }
        scene_free(s);
    }
}
END_TEST

/* Memory that gives out at some call of the way back: an error, or the same bits, and nothing is left. */
START_TEST(memory_gives_out)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=1");
    scene *s = scene_make(ctx, 40);
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=2");
    uint64_t whole = 0;
    int failures = 0;
    label_grades(s, 0);
    for (int64_t n = 0;; n += 1 + n / 8) {
        mtl_model *m = NULL;
        const long long live = t.live;
        t.has_failed = false;
        t.fail_at = n ? t.calls + n : 0;
        const mtl_status st = mtl_transfer(s->source, s->target, s->known, o, &m, NULL, NULL);
        t.fail_at = 0;
        ck_assert_msg(st == MTL_OK || (st == MTL_ERR_NOMEM && t.has_failed && !m), "call %d", (int)n);
        const uint64_t hash = st == MTL_OK ? model_hash(m) : whole;
        whole = n ? whole : hash;
        ck_assert_msg(hash == whole, "other bits after call %d failed", (int)n);
        mtl_model_destroy(m);
        ck_assert_int_eq(t.live, live);
        failures += st != MTL_OK;
        if (n && !t.has_failed)
            break;
    }
    ck_assert_int_gt(failures, 20);
    mtl_options_destroy(o);
    scene_free(s);
    mtl_context_destroy(ctx);
}
END_TEST

START_TEST(same_bits)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=3", "threads=2 cpu=avx2"};
    static const char *const ways[] = {"statistics", "coral", "mmd", "auto"};
    uint64_t hash[COUNT(ways)] = {0};
    for (size_t c = 0; c < COUNT(contexts); c++) {
        mtl_context *ctx = context(contexts[c]);
        scene *s = scene_make(ctx, FEW);
        label_grades(s, 30);
        for (size_t i = 0; i < COUNT(ways); i++) {
            char text[64];
            snprintf(text, sizeof text, "strategy=%s epochs=8", ways[i]);
            mtl_model *m = moved(s, s->known, text, NULL);
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
    Suite *s = suite_create("domain");
    add_case(s, "distances are those worked out elsewhere", as_numpy_has_them);
    add_case(s, "their gradients are those of differences", gradients_are_differences);
    add_case(s, "equal parts are not apart", equal_parts_are_not_apart);
    add_case(s, "parts of few rows", rows_too_few);
    add_case(s, "without labels the source stays as it is", without_labels_it_is_the_source);
    add_case(s, "the way back counts beside few labels", the_way_back_counts);
    add_case(s, "without a shift nothing is moved", no_shift_no_move);
    add_case(s, "memory that gives out on the way back", memory_gives_out);
    add_case(s, "statistics undo a shift", statistics_undo_a_shift);
    add_case(s, "statistics of a batch norm", statistics_of_a_batch_norm);
    add_case(s, "penalties go down the trunk", penalties_go_down_the_trunk);
    add_case(s, "penalties draw the domains together", penalties_draw_together);
    add_case(s, "few labels are learnt from", few_labels);
    add_case(s, "a source that is right stays", right_is_left_alone);
    add_case(s, "values keep the head's units", values_in_the_units_of_the_head);
    add_case(s, "a task with layers of its own", a_task_with_layers_of_its_own);
    add_case(s, "what cannot be says why", what_cannot_be_says_why);
    add_case(s, "sources without a trunk, ensembles", other_sources);
    add_case(s, "one row", one_row);
    add_case(s, "same bits for any threads and instruction set", same_bits);
    return run_suite(s);
}
