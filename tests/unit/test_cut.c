/* SPDX-License-Identifier: MIT */
/* Transfer of the trunk's first layers: cut where the features are that the new task needs. */
#include "api_testing.h"

#include "transfer/move.h"

enum { ROWS = 400, FEW = 60, IN = 4, WIDE = 16, NARROW = 3 };

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* A source whose first layer is rich in features and whose second has left next to nothing of them; a
   task that is made of the features of one of them. */
typedef struct scene {
    mtl_dataset *known, *target;
    mtl_model *source;
    float x[ROWS * IN], old[ROWS], value[ROWS], class[ROWS];
} scene;

static void set(mtl_model *m, const char *name, uint64_t seed, float scale)
{
    float values[WIDE * WIDE];
    int64_t size = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *it;
        const int64_t n = tensor_size(m, i, &it);
        size = strcmp(it, name) == 0 ? n : size;
    }
    ck_assert_int_gt(size, 0);
    for (int64_t i = 0; i < size; i++)
        values[i] = scale * next_unit(&seed);
    done(mtl_model_tensor_set(m, name, size, values, err));
}

/* The trunk's outputs, of all layers or of those that a cut leaves. */
static int64_t features(const mtl_model *eye, const scene *s, float *h)
{
    done(mtl_predict(eye, ROWS, s->x, IN, h, eye->net.outputs, err));
    return eye->net.outputs;
}

static mtl_model *eye_of(const scene *s, const char *by, const float *y, bool cut)
{
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    if (!cut) {
        assert_ok(mtl__model_eye(s->source, &m, NULL));
        return m;
    }
    const mtl__new_task task = {by, MTL_REGRESSION, 1};
    const mtl__job job = {.source = s->source, .task = &task, .tasks = 1};
    done(mtl_dataset_create(NULL, s->x, ROWS, IN, IN, &d, err));
    done(mtl_dataset_set_labels(d, by, 1, y, 1, err));
    assert_ok(mtl__cut(&job, d, &m, NULL));
    mtl_dataset_destroy(d);
    return m;
}

static void use_features(scene *s, const mtl_model *eye)
{
    static float h[ROWS * WIDE];
    uint64_t seed = 77;
    float w[WIDE];
    double mean = 0;
    const int64_t cols = features(eye, s, h);
    for (int j = 0; j < WIDE; j++)
        w[j] = next_unit(&seed);
    for (int i = 0; i < ROWS; i++) {
        s->value[i] = 0.02f * next_unit(&seed);
        for (int64_t j = 0; j < cols; j++)
            s->value[i] += w[j] * h[i * cols + j];
        mean += (double)s->value[i] / ROWS;
    }
    for (int i = 0; i < ROWS; i++)
        s->class[i] = (double)s->value[i] > mean;
}

static scene *scene_make(mtl_context *ctx, const char *tasks)
{
    scene *s = calloc(1, sizeof *s);
    mtl_spec *spec = NULL;
    uint64_t seed = 3;
    for (int i = 0; i < ROWS * IN; i++)
        s->x[i] = 2 * next_unit(&seed);
    for (int i = 0; i < ROWS; i++)
        s->old[i] = s->x[i * IN] + 0.1f * next_unit(&seed);
    done(mtl_spec_create(ctx, IN, &spec, err));
    done(mtl_spec_add_dense(spec, WIDE, "relu", err));
    done(mtl_spec_add_dropout(spec, 0.1, err));
    done(mtl_spec_add_dense(spec, NARROW, "relu", err));
    done(mtl_spec_add_task(spec, "old", MTL_REGRESSION, 1, err));
    done(mtl_model_create(spec, &s->source, err));
    mtl_spec_destroy(spec);
    done(mtl_dataset_create(ctx, s->x, ROWS, IN, IN, &s->known, err));
    done(mtl_dataset_set_labels(s->known, "old", 1, s->old, 1, err));
    fit(s->source, s->known, "epochs=1");
    set(s->source, "trunk.0.weight", 5, 2), set(s->source, "trunk.0.bias", 6, 2);
    set(s->source, "trunk.1.weight", 7, 1), set(s->source, "trunk.1.bias", 8, 1);
    mtl_model *all = eye_of(s, NULL, NULL, false);
    use_features(s, all); /* so that cutting is of use for old alone */
    mtl_model *first = eye_of(s, "x", s->old, true);
    ck_assert_ptr_nonnull(first);
    ck_assert_int_eq(first->net.outputs, WIDE);
    if (strcmp(tasks, "of the last layer") != 0)
        use_features(s, first);
    mtl_model_destroy(all), mtl_model_destroy(first);
    done(mtl_dataset_create(ctx, s->x, FEW, IN, IN, &s->target, err));
    if (strcmp(tasks, "classes") != 0)
        done(mtl_dataset_set_labels(s->target, "value", 1, s->value, 1, err));
    if (strcmp(tasks, "of the last layer") != 0 && strcmp(tasks, "values") != 0)
        done(mtl_dataset_set_labels(s->target, "class", 1, s->class, 1, err));
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    free(s);
}

/* Share of the variance that is left, on rows that were not seen. */
static double error_of(const mtl_model *m, const scene *s)
{
    float out[ROWS];
    double sum = 0, mean = 0, variance = 0;
    const int64_t n = ROWS - FEW;
    done(mtl_predict_task(m, mtl_model_task_index(m, "value"), n, s->x + FEW * IN, IN, out, 1, err));
    for (int64_t i = 0; i < n; i++)
        mean += (double)s->value[FEW + i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        sum += pow((double)(out[i] - s->value[FEW + i]), 2);
        variance += pow((double)s->value[FEW + i] - mean, 2);
    }
    return sum / variance;
}

/* Features of the first layer alone serve: it is found, used, and said. */
START_TEST(the_first_layer_is_found)
{
    scene *s = scene_make(NULL, "values");
    mtl_report *r = NULL;
    mtl_model *m = transferred(s->source, s->target, NULL, "epochs=20", &r);
    ck_assert_str_eq(text_of(r, "strategy"), "cut_probe");
    ck_assert_double_eq(figure(r, "candidate/cut_probe/cut"), 2); /* with the dropout */
    ck_assert_double_eq(figure(r, "candidate/exact_probe/cut"), 3);
    ck_assert_double_lt(figure(r, "candidate/cut_probe/mean"),
                        0.5 * figure(r, "candidate/exact_probe/mean"));
    ck_assert_double_lt(error_of(m, s), 0.1);
    ck_assert_int_eq(m->net.trunk_layers, 2);
    ck_assert_int_eq(mtl_model_task_count(m), 1);
    mtl_model *named = transferred(s->source, s->target, NULL, "strategy=cut_probe", NULL);
    ck_assert_double_lt(error_of(named, s), 0.1);
    mtl_model *whole = transferred(s->source, s->target, NULL, "strategy=exact_probe", NULL);
    ck_assert_double_gt(error_of(whole, s), 0.3);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(named), mtl_model_destroy(whole);
    scene_free(s);
}
END_TEST

/* Where the last layer serves best nothing is cut: the model is that of exact_probe. */
START_TEST(nothing_is_cut_for_nothing)
{
    scene *s = scene_make(NULL, "of the last layer");
    mtl_report *r = NULL;
    mtl_model *m = transferred(s->source, s->target, NULL, "strategy=cut_probe", &r);
    mtl_model *whole = transferred(s->source, s->target, NULL, "strategy=exact_probe", NULL);
    ck_assert_double_eq(figure(r, "candidate/cut_probe/cut"), 3);
    assert_same_model(m, whole);
    ck_assert_double_lt(error_of(m, s), 0.1);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(whole);
    scene_free(s);
}
END_TEST

/* The depth is that of the highest log evidence, of classes and of several tasks by the mean. */
START_TEST(by_the_log_evidence)
{
    static const char *const kinds[] = {"values", "of the last layer"};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        scene *s = scene_make(NULL, kinds[k]);
        static float h[ROWS * WIDE];
        double score[2], mean = 0, square = 0;
        float y[ROWS];
        mtl_model *eye[2] = {eye_of(s, NULL, NULL, false), eye_of(s, "x", s->old, true)};
        mtl_model *cut = eye_of(s, "x", s->value, true);
        for (int i = 0; i < ROWS; i++)
            mean += (double)s->value[i] / ROWS;
        for (int i = 0; i < ROWS; i++)
            square += pow((double)s->value[i] - mean, 2) / ROWS;
        for (int i = 0; i < ROWS; i++)
            y[i] = (float)(((double)s->value[i] - mean) / sqrt(square));
        for (int i = 0; i < 2; i++) {
            const int64_t cols = features(eye[i], s, h);
            for (int64_t j = 0; j < cols; j++) {
                double sum = 0;
                for (int row = 0; row < ROWS; row++)
                    sum += (double)h[row * cols + j] / ROWS;
                for (int row = 0; row < ROWS; row++)
                    h[row * cols + j] -= (float)sum;
            }
            done(mtl_transferability("logme", ROWS, cols, h, cols, 0, 1, y, 1, &score[i], err));
        }
        ck_assert_int_eq(score[1] > score[0], cut != NULL);
        ck_assert_int_eq(cut != NULL, k == 0);
        mtl_model_destroy(eye[0]), mtl_model_destroy(eye[1]), mtl_model_destroy(cut);
        scene_free(s);
    }
}
END_TEST

START_TEST(classes_and_several_tasks)
{
    static const char *const kinds[] = {"classes", "both"};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        scene *s = scene_make(NULL, kinds[k]);
        float out[ROWS];
        int right = 0;
        mtl_model *m = transferred(s->source, s->target, s->known, "strategy=cut_probe", NULL);
        ck_assert_int_eq(mtl_model_task_count(m), k + 1);
        done(mtl_predict_task(m, mtl_model_task_index(m, "class"), ROWS, s->x, IN, out, 1, err));
        for (int i = FEW; i < ROWS; i++)
            right += (out[i] > 0.5f) == (s->class[i] > 0.5f);
        ck_assert_int_gt(right, (ROWS - FEW) * 85 / 100);
        mtl_model_destroy(m);
        scene_free(s);
    }
}
END_TEST

static void refuse(const mtl_model *m, const mtl_dataset *target, const mtl_dataset *known,
                   const char *text, mtl_status status, const char *part)
{
    mtl_model *out = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    refused(mtl_transfer(m, target, known, o, &out, NULL, err), status, part);
    ck_assert_ptr_null(out);
    mtl_options_destroy(o);
}

START_TEST(what_cannot_be_says_why)
{
    scene *s = scene_make(NULL, "values");
    problem p = problem_make(40, 1, 0);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    refuse(s->source, s->target, s->known, "strategy=cut_probe keep_known=0.1", MTL_ERR_INVALID,
           "cut_probe");
    refuse(s->source, s->known, s->known, "strategy=cut_probe", MTL_ERR_INVALID, "new tasks");
    done(mtl_spec_create(NULL, IN, &spec, err));
    done(mtl_spec_add_dense(spec, 8, "relu", err));
    done(mtl_spec_add_task(spec, "old", MTL_REGRESSION, 1, err));
    done(mtl_model_create(spec, &m, err));
    fit(m, s->known, "epochs=1");
    refuse(m, s->target, NULL, "strategy=cut_probe", MTL_ERR_STATE, "two dense");
    mtl_model *chosen = transferred(m, s->target, s->known, "epochs=2", NULL); /* no candidate */
    mtl_model_destroy(chosen);
    mtl_model_destroy(m);
    mtl_spec_destroy(spec);
    mtl_dataset_destroy(d);
    problem_free(&p);
    scene_free(s);
}
END_TEST

START_TEST(same_bits)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=2 cpu=avx2", "threads=3"};
    uint64_t first = 0;
    for (size_t i = 0; i < COUNT(contexts); i++) {
        mtl_context *ctx = context(contexts[i]);
        scene *s = scene_make(ctx, "both");
        mtl_model *m = transferred(s->source, s->target, NULL, "strategy=cut_probe", NULL);
        first = i ? first : model_hash(m);
        ck_assert_msg(model_hash(m) == first, "%s", contexts[i]);
        mtl_model_destroy(m);
        scene_free(s);
        mtl_context_destroy(ctx);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cut");
    add_case(s, "the first layer is found where it alone serves", the_first_layer_is_found);
    add_case(s, "nothing is cut where the last layer serves best", nothing_is_cut_for_nothing);
    add_case(s, "the depth is that of the highest log evidence", by_the_log_evidence);
    add_case(s, "classes, and several tasks", classes_and_several_tasks);
    add_case(s, "what cannot be says why", what_cannot_be_says_why);
    add_case(s, "the same bits at every level", same_bits);
    return run_suite(s);
}
