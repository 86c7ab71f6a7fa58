/* SPDX-License-Identifier: MIT */
/* Names of input columns, and transfer to a target with other columns than the source. */
#include "saved.h"

enum { ROWS = 200, FEW = 60, IN = PROBLEM_INPUTS, OUT = PROBLEM_OUTPUTS, MOST = IN + 2 };

static const char *const names[IN] = {"age", "dose", "height", "pulse", "site", "weight"};

/* ---- Names --------------------------------------------------------------------------------- */

static mtl_dataset *named(mtl_dataset *d, const char *const *name)
{
    done(mtl_dataset_set_input_names(d, mtl_dataset_inputs(d), name, err));
    return d;
}

START_TEST(names_are_kept)
{
    problem p = problem_make(ROWS, 1, 0);
    mtl_context *ctx = context("threads=1");
    const char *const other[IN] = {"a", "b", "c", "d", "", "f"};
    mtl_dataset *d = named(named(problem_data(&p, ctx), names), other), *first, *second;
    ck_assert_str_eq(mtl_dataset_input_name(d, 5), "f");
    ck_assert_str_eq(mtl_dataset_input_name(d, IN), "");
    done(mtl_dataset_split(d, 0.5, 1, &first, &second, err));
    ck_assert_str_eq(mtl_dataset_input_name(second, 0), "a");
    mtl_model *m = problem_model(ctx), *copy = NULL, *loaded = NULL;
    ck_assert_str_eq(mtl_model_input_name(m, 0), "");
    fit(m, first, "epochs=1");
    named(second, names);
    fit(m, second, "epochs=1"); /* the first names stay */
    ck_assert_str_eq(mtl_model_input_name(m, 0), "a");
    ck_assert_str_eq(mtl_model_input_name(m, 5), "f");
    ck_assert_str_eq(mtl_model_input_name(m, IN), "");
    ck_assert_str_eq(mtl_model_input_name(m, -1), "");
    ck_assert_str_eq(mtl_model_input_name(NULL, 0), "");
    done(mtl_model_clone(m, &copy, err));
    bytes b = saved(copy);
    done(mtl_model_load_buffer(ctx, b.p, b.size, &loaded, err));
    for (int64_t j = 0; j < IN; j++)
        ck_assert_str_eq(mtl_model_input_name(loaded, j), other[j]);
    free(b.p);
    refused(mtl_dataset_set_input_names(d, IN - 1, names, err), MTL_ERR_SHAPE, "5 names");
    refused(mtl_dataset_set_input_names(d, IN, (const char *const[IN]){"a", "b"}, err),
            MTL_ERR_INVALID, "column 2");
    ck_assert_str_eq(mtl_dataset_input_name(d, 0), "a");
    mtl_model_destroy(m), mtl_model_destroy(copy), mtl_model_destroy(loaded);
    mtl_dataset_destroy(d), mtl_dataset_destroy(first), mtl_dataset_destroy(second);
    mtl_context_destroy(ctx);
    problem_free(&p);
}
END_TEST

START_TEST(files_with_other_names)
{
    problem p = problem_make(ROWS, 1, 0);
    mtl_context *ctx = context("threads=1");
    mtl_dataset *d = named(problem_data(&p, ctx), names);
    mtl_model *m = problem_model(ctx);
    fit(m, d, "epochs=1");
    const struct {
        const char *was, *is;
    } change[] = {{"\\\"age\\\",", "123456,"}, {"\\\"age\\\",\\\"dose\\\"", "\\\"age\\\"+\\\"dose\\\""}};
    for (size_t i = 0; i < 2; i++) {
        bytes b = saved(m);
        char *at = memmem(b.p, (size_t)b.size, change[i].was, strlen(change[i].was));
        ck_assert_ptr_nonnull(at);
        memset(at, ' ', strlen(change[i].was));
        memcpy(at, change[i].is, strlen(change[i].is));
        repair(&b);
        ck_assert_int_eq(load_status(b.p, b.size), MTL_ERR_FORMAT);
        free(b.p);
    }
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    problem_free(&p);
}
END_TEST

/* ---- Other columns ------------------------------------------------------------------------- */

/* Rows of a problem in columns of their own: column[j] of the problem, or -1, numbers that have nothing
   to do with it. */
typedef struct table {
    int64_t cols;
    int column[MOST];
    const char *name[MOST];
} table;

static const table added = {IN + 2, {0, 1, 2, 3, 4, 5, -1, -1},
                            {"age", "dose", "height", "pulse", "site", "weight", "x", "y"}};
static const table turned = {IN + 1, {5, -1, 0, 4, 1, 3, 2},
                             {"weight", "x", "age", "site", "dose", "pulse", "height"}};
static const table fewer = {IN - 1, {0, 1, 3, 4, 5}, {"age", "dose", "pulse", "site", "weight"}};

static float *columns_of(const problem *p, const table *t)
{
    float *x = floats(p->rows * t->cols);
    uint64_t seed = 99;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < t->cols; j++)
            x[i * t->cols + j] =
                t->column[j] < 0 ? 50 + 7 * next_unit(&seed) : p->x[i * IN + t->column[j]];
    return x;
}

typedef struct scene {
    mtl_context *ctx;
    problem p, few;
    mtl_dataset *known, *target;
    mtl_model *source;
    float *x; /* of the target */
    float *y;
} scene;

static mtl_spec *first_norm(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dense(s, 8, "relu", err));
    return s;
}

static mtl_spec *plain(mtl_spec *s)
{
    done(mtl_spec_add_dense(s, 8, "tanh", err));
    return s;
}

static mtl_spec *no_trunk(mtl_spec *s)
{
    return s;
}

static mtl_spec *with_skip(mtl_spec *s)
{
    done(mtl_spec_set_linear_skip(s, 1, err));
    return plain(s);
}

static mtl_spec *with_indicators(mtl_spec *s)
{
    done(mtl_spec_set_missing_indicators(s, 1, err));
    return plain(s);
}

static mtl_spec *tabm(mtl_spec *s)
{
    done(mtl_spec_set_ensemble(s, 3, "tabm", err));
    return plain(s);
}

static mtl_spec *mini(mtl_spec *s)
{
    done(mtl_spec_set_ensemble(s, 3, "mini", err));
    return plain(s);
}

static mtl_spec *members_alone(mtl_spec *s)
{
    done(mtl_spec_set_ensemble(s, 3, "tabm", err));
    return s;
}

static mtl_spec *single(mtl_spec *s)
{
    done(mtl_spec_set_architecture(plain(s), "single", err));
    return s;
}

static mtl_spec *mmoe(mtl_spec *s)
{
    done(mtl_spec_set_architecture(plain(s), "mmoe:experts=3", err));
    return s;
}

static mtl_spec *cgc(mtl_spec *s)
{
    done(mtl_spec_add_dense(s, 5, "relu", err));
    done(mtl_spec_set_architecture(plain(s), "cgc:experts=2,own=1", err));
    return s;
}

static mtl_spec *ple(mtl_spec *s)
{
    done(mtl_spec_add_dropout(s, 0.1, err));
    done(mtl_spec_add_dense(s, 5, "relu", err));
    done(mtl_spec_set_architecture(plain(s), "ple:experts=2,own=1", err));
    return s;
}

static mtl_spec *stitched(mtl_spec *s)
{
    done(mtl_spec_set_architecture(plain(s), "cross_stitch", err));
    return s;
}

static mtl_spec *adapted(mtl_spec *s)
{
    done(mtl_spec_set_architecture(plain(s), "adapter:units=3", err));
    return s;
}

typedef mtl_spec *net(mtl_spec *);
static net *const nets[] = {plain, no_trunk, first_norm, with_skip, with_indicators, tabm, mini,
                            members_alone, single, mmoe, cgc, ple, stitched, adapted};

static scene scene_make(net *build, const table *t, const char *how)
{
    scene s = {.ctx = context("threads=1")};
    mtl_spec *spec = NULL;
    s.p = problem_make(ROWS, 1, 0);
    s.few = problem_make(FEW, 2, 0);
    s.known = named(problem_data(&s.p, s.ctx), names);
    done(mtl_spec_create(s.ctx, IN, &spec, err));
    build(spec);
    done(mtl_spec_add_task(spec, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(spec, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(spec, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(spec, "hours", MTL_REGRESSION, 2, err));
    if (build != no_trunk && build != members_alone)
        done(mtl_spec_task_set_str(spec, "tags", "head", "5:sigmoid", err));
    done(mtl_model_create(spec, &s.source, err));
    mtl_spec_destroy(spec);
    fit(s.source, s.known, how);
    s.x = columns_of(&s.few, t);
    s.y = floats(FEW);
    for (int64_t i = 0; i < FEW; i++)
        s.y[i] = s.few.x[i * IN] - s.few.x[i * IN + 3] + 0.5f * s.x[(i + 1) * t->cols - 1];
    done(mtl_dataset_create(s.ctx, s.x, FEW, t->cols, t->cols, &s.target, err));
    done(mtl_dataset_set_labels(s.target, "new", 1, s.y, 1, err));
    named(s.target, t->name);
    return s;
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->source);
    mtl_dataset_destroy(s->known), mtl_dataset_destroy(s->target);
    mtl_context_destroy(s->ctx);
    problem_free(&s->p), problem_free(&s->few);
    free(s->x), free(s->y);
}

/* Predictions of the known tasks for the few rows. */
static float *known_tasks(const mtl_model *m, int64_t cols, const float *x)
{
    const int64_t outputs = mtl_model_outputs(m);
    float *all = floats(FEW * outputs), *out = floats(FEW * OUT);
    done(mtl_predict(m, FEW, x, cols, all, outputs, err));
    for (int64_t i = 0; i < FEW; i++)
        memcpy(out + i * OUT, all + i * outputs, OUT * sizeof *out);
    free(all);
    return out;
}

/* With the trunk frozen the new model predicts the known tasks as the source does. */
static void predicts_as_source(const scene *s, const table *t, float tolerance)
{
    mtl_report *r = NULL;
    mtl_model *m = transferred(s->source, s->target, NULL,
                               "strategy=probe epochs=2", &r);
    float *x = columns_of(&s->few, &(table){.cols = IN, .column = {0, 1, 2, 3, 4, 5}});
    for (int64_t i = 0; i < FEW && t == &fewer; i++)
        x[i * IN + 2] = NAN;
    float *was = known_tasks(s->source, IN, x), *is = known_tasks(m, t->cols, s->x);
    for (int64_t i = 0; i < FEW * OUT; i++)
        ck_assert_msg(fabsf(was[i] - is[i]) <= tolerance * (1 + fabsf(was[i])), "number %d: %g, not %g",
                      (int)i, (double)is[i], (double)was[i]);
    ck_assert_int_eq(mtl_model_inputs(m), t->cols);
    for (int64_t j = 0; j < t->cols; j++)
        ck_assert_str_eq(mtl_model_input_name(m, j), t->name[j]);
    ck_assert(figure(r, "inputs/kept") == (t == &fewer ? IN - 1 : IN));
    ck_assert(figure(r, "inputs/added") == (double)(t->cols - (t == &fewer ? IN - 1 : IN)));
    ck_assert(figure(r, "inputs/dropped") == (t == &fewer ? 1 : 0));
    free(x), free(was), free(is);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
}

static const char *const fits[] = {"epochs=20 seed=3", "epochs=5 scaler=robust_clip",
                                   "epochs=5 scaler=quantile", "epochs=5 scale_inputs=0"};

START_TEST(new_columns_have_no_weight)
{
    /* In ple the experts of the new task, which are drawn, join those of all. */
    const float joined = nets[_i] == ple ? 0.2f : 0;
    for (size_t f = 0; f < sizeof fits / sizeof *fits; f++) {
        scene s = scene_make(nets[_i], &added, fits[f]);
        predicts_as_source(&s, &added, joined);
        scene_free(&s);
        s = scene_make(nets[_i], &turned, fits[f]);
        predicts_as_source(&s, &turned, joined + 2e-5f);
        scene_free(&s);
        /* Of a missing column the indicator is 1, and a norm makes a constant of it; of one that is gone
           there is neither. */
        if (nets[_i] == with_indicators || nets[_i] == first_norm)
            continue;
        s = scene_make(nets[_i], &fewer, fits[f]);
        predicts_as_source(&s, &fewer, joined);
        scene_free(&s);
    }
}
END_TEST

/* The label depends on the last column, which is new. */
START_TEST(new_columns_are_learnt_from)
{
    scene s = scene_make(plain, &added, fits[0]);
    static const char *const ways[] = {"linear", "fine_tune", "replay", "auto"};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        char text[64];
        snprintf(text, sizeof text, "strategy=%s epochs=300", ways[w]);
        mtl_model *m = transferred(s.source, s.target, s.known, text, NULL);
        const int64_t outputs = mtl_model_outputs(m);
        float *all = floats(FEW * outputs);
        double error = 0, mean = 0, variance = 0;
        done(mtl_predict(m, FEW, s.x, added.cols, all, outputs, err));
        for (int64_t i = 0; i < FEW; i++)
            mean += (double)s.y[i] / FEW;
        for (int64_t i = 0; i < FEW; i++) {
            const double off = (double)(all[(i + 1) * outputs - 1] - s.y[i]);
            error += off * off;
            variance += ((double)s.y[i] - mean) * ((double)s.y[i] - mean);
        }
        ck_assert_msg(error < 0.1 * variance, "%s: %g of %g", ways[w], error, variance);
        free(all);
        mtl_model_destroy(m);
    }
    scene_free(&s);
}
END_TEST

/* Known rows are matched by their own names, or stand in the source's columns. */
START_TEST(known_rows_follow)
{
    scene s = scene_make(plain, &turned, fits[0]);
    float *x = columns_of(&s.p, &turned);
    mtl_dataset *as_target = NULL, *without = problem_data(&s.p, s.ctx);
    done(mtl_dataset_create(s.ctx, x, ROWS, turned.cols, turned.cols, &as_target, err));
    for (int64_t i = 0; i < ROWS; i++)
        x[i * turned.cols + 1] = NAN;
    done(mtl_dataset_set_labels(as_target, "fails", 1, s.p.fails, 1, err));
    done(mtl_dataset_set_labels(as_target, "grade", 1, s.p.grade, 1, err));
    done(mtl_dataset_set_labels(as_target, "tags", 2, s.p.tags, 2, err));
    done(mtl_dataset_set_labels(as_target, "hours", 2, s.p.hours, 2, err));
    named(as_target, turned.name);
    const mtl_dataset *known[] = {s.known, without, as_target};
    uint64_t hash[3];
    for (int k = 0; k < 3; k++) {
        mtl_model *m =
            transferred(s.source, s.target, known[k], "strategy=replay epochs=3", NULL);
        hash[k] = model_hash(m);
        mtl_model_destroy(m);
    }
    ck_assert(hash[0] == hash[1] && hash[1] == hash[2]);
    mtl_dataset_destroy(as_target), mtl_dataset_destroy(without);
    free(x);
    scene_free(&s);
}
END_TEST

static int32_t never(int64_t first, int64_t rows, float *x, void *user)
{
    (void)user, (void)first, (void)rows, (void)x;
    return 1;
}

START_TEST(what_cannot_be_says_why)
{
    scene s = scene_make(plain, &added, fits[0]);
    mtl_model *m = NULL;
    mtl_dataset *wide = NULL, *stream = NULL;
    const uint64_t was = model_hash(s.source);
    const char *const strange[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    const char *const twice[] = {"age", "dose", "age", "pulse", "site", "weight"};
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "strategy=replay");
    named(s.target, strange);
    refused(mtl_transfer(s.source, s.target, s.known, o, &m, NULL, err), MTL_ERR_NAME,
            "none of its 8 input columns is one of the source's 6");
    named(s.target, added.name);
    done(mtl_dataset_create(s.ctx, s.x, FEW, added.cols, added.cols, &wide, err));
    done(mtl_dataset_set_labels(wide, "fails", 1, s.few.fails, 1, err));
    refused(mtl_transfer(s.source, s.target, wide, o, &m, NULL, err), MTL_ERR_SHAPE,
            "known: 8 input columns, the source has 6");
    named(s.known, twice);
    refused(mtl_transfer(s.source, s.target, s.known, o, &m, NULL, err), MTL_ERR_NAME,
            "known: two input columns are named \"age\"");
    done(mtl_dataset_create_stream(s.ctx, ROWS, IN, 0, never, NULL, &stream, err));
    done(mtl_dataset_set_labels(stream, "fails", 1, s.p.fails, 1, err));
    refused(mtl_transfer(s.source, s.target, stream, o, &m, NULL, err), MTL_ERR_STATE,
            "known: streamed rows");
    ck_assert_ptr_null(m);
    ck_assert(model_hash(s.source) == was);
    mtl_options_destroy(o);
    mtl_dataset_destroy(wide), mtl_dataset_destroy(stream);
    scene_free(&s);
}
END_TEST

/* All names differ, and the columns are as many: they are taken as they stand. */
START_TEST(other_names_for_all)
{
    const table same = {IN, {0, 1, 2, 3, 4, 5}, {"a", "b", "c", "d", "e", "f"}};
    scene s = scene_make(plain, &same, fits[0]);
    mtl_model *m = transferred(s.source, s.target, NULL, "strategy=exact_probe", NULL);
    float *was = known_tasks(s.source, IN, s.x), *is = known_tasks(m, IN, s.x);
    assert_same_bits(was, is, FEW * OUT);
    free(was), free(is);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

static mtl_spec *with_embedding(mtl_spec *s)
{
    done(mtl_spec_add_embedding(s, 4, 3, 2, err));
    return plain(s);
}

static mtl_spec *with_layer_norm(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "layer", err));
    return plain(s);
}

/* They make something of all columns together. */
START_TEST(other_first_layers_are_refused)
{
    static net *const first[] = {with_embedding, with_layer_norm};
    static const char *const named_as[] = {"embedding", "layer_norm"};
    scene s = scene_make(plain, &added, fits[0]);
    mtl_spec *spec = NULL;
    mtl_model *source = NULL, *m = NULL;
    for (int64_t i = 0; i < ROWS; i++)
        s.p.x[i * IN + 4] = (float)(i % 3);
    done(mtl_spec_create(s.ctx, IN, &spec, err));
    first[_i](spec);
    done(mtl_spec_add_task(spec, "fails", MTL_BINARY, 1, err));
    done(mtl_model_create(spec, &source, err));
    fit(source, s.known, "epochs=1");
    refused(mtl_transfer(source, s.target, NULL, NULL, &m, NULL, err), MTL_ERR_STATE, named_as[_i]);
    mtl_spec_destroy(spec);
    mtl_model_destroy(source);
    scene_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("columns");
    add_case(s, "names are kept", names_are_kept);
    add_case(s, "files with other names", files_with_other_names);
    TCase *tc = tcase_create("new columns have no weight");
    tcase_add_loop_test(tc, new_columns_have_no_weight, 0, (int)(sizeof nets / sizeof *nets));
    suite_add_tcase(s, tc);
    add_case(s, "new columns are learnt from", new_columns_are_learnt_from);
    add_case(s, "known rows follow", known_rows_follow);
    add_case(s, "what cannot be says why", what_cannot_be_says_why);
    add_case(s, "other names for all columns", other_names_for_all);
    tc = tcase_create("other first layers are refused");
    tcase_add_loop_test(tc, other_first_layers_are_refused, 0, 2);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
