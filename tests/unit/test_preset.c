/* SPDX-License-Identifier: MIT */
/* The option "preset" of mtl_fit(): parts of rows, mixtures of candidates, and the calls around it. */
#include "api_testing.h"

#include "train/mixture.h"
#include "train/preset.h"

/* ---- Data ----------------------------------------------------------------------------------- */

static mtl_dataset *made(mtl_context *ctx, const char *text)
{
    mtl_dataset *d = NULL;
    mtl_options *o = options(MTL_OPTIONS_MAKE_TASKS, text);
    done(mtl_dataset_make_tasks(ctx, o, 0, NULL, &d, err));
    mtl_options_destroy(o);
    return d;
}

/* A model without layers for every label column of the data. */
static mtl_model *bare_model(const mtl_dataset *d, mtl_context *ctx, int32_t kind)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, mtl_dataset_inputs(d), &s, err));
    for (int64_t t = 0; t < mtl_dataset_task_count(d); t++)
        done(mtl_spec_add_task(s, mtl_dataset_task_name(d, t), kind, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static mtl_report *fitted(mtl_model *m, const mtl_dataset *d, const mtl_dataset *valid,
                          const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, d, valid, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

static double of_task(const mtl_report *r, const char *what, const char *task)
{
    char name[128];
    snprintf(name, sizeof name, "mixture/%s/%s", what, task);
    return figure(r, name);
}

/* Two tasks of sin(3 u) on one direction u; what no linear model can do. */
enum { WAVES = 320, WAVE_INPUTS = 4 };

typedef struct waves {
    float *x, *y[2];
    mtl_dataset *d;
} waves;

static waves waves_make(mtl_context *ctx, uint64_t seed)
{
    waves w = {floats(WAVES * WAVE_INPUTS), {floats(WAVES), floats(WAVES)}, NULL};
    for (int64_t i = 0; i < WAVES * WAVE_INPUTS; i++)
        w.x[i] = next_unit(&seed);
    for (int64_t r = 0; r < WAVES; r++) {
        const float *x = w.x + r * WAVE_INPUTS, u = 3 * (x[0] + x[1] + 0.5f * x[2]);
        w.y[0][r] = 50 + 10 * sinf(u) + next_unit(&seed);
        w.y[1][r] = r % 3 ? sinf(u + 1) + 0.1f * next_unit(&seed) : NAN;
    }
    done(mtl_dataset_create(ctx, w.x, WAVES, WAVE_INPUTS, WAVE_INPUTS, &w.d, err));
    done(mtl_dataset_set_labels(w.d, "a", 1, w.y[0], 1, err));
    done(mtl_dataset_set_labels(w.d, "b", 1, w.y[1], 1, err));
    return w;
}

static void waves_free(waves *w)
{
    mtl_dataset_destroy(w->d);
    free(w->x), free(w->y[0]), free(w->y[1]);
}

/* Small enough for every level of CPU. */
#define SMALL "preset=good layers=16:relu members=2 folds=3 epochs=25 patience=6"

/* ---- Parts ---------------------------------------------------------------------------------- */

typedef struct dealt {
    mtl_dataset *d;
    mtl_model *m;
    mtl__binding b;
    mtl__folds f;
} dealt;

static dealt deal(mtl_dataset *d, const int32_t *kind, int64_t tasks, int64_t count, int64_t group,
                  int64_t kept, uint64_t seed)
{
    dealt x = {.d = d};
    mtl_spec *s = NULL;
    done(mtl_spec_create(NULL, mtl_dataset_inputs(d), &s, err));
    for (int64_t t = 0; t < tasks; t++)
        done(mtl_spec_add_task(s, mtl_dataset_task_name(d, t), kind[t], 1, err));
    done(mtl_model_create(s, &x.m, err));
    mtl_spec_destroy(s);
    done(mtl__binding_create(x.m, d, "train", &x.b, err));
    done(mtl__folds_deal(x.m, &x.b, count, group, kept, seed, &x.f, err));
    return x;
}

static void dealt_free(dealt *x)
{
    mtl__folds_free(&x->f);
    mtl__binding_free(&x->b);
    mtl_model_destroy(x->m);
    mtl_dataset_destroy(x->d);
}

/* Rows of one task each, and a rare class: every part has its share of both. */
START_TEST(parts_have_their_share)
{
    enum { ROWS = 400, PARTS = 5 };
    static const int32_t kind[] = {MTL_REGRESSION, MTL_REGRESSION, MTL_BINARY};
    float x[ROWS], y[3][ROWS];
    mtl_dataset *d = NULL;
    for (int64_t r = 0; r < ROWS; r++) {
        x[r] = (float)r;
        y[0][r] = r < 360 ? 1 : NAN; /* 360 rows */
        y[1][r] = r < 360 ? NAN : 2; /* 40 rows */
        y[2][r] = r % 40 == 7;       /* 10 ones */
    }
    done(mtl_dataset_create(NULL, x, ROWS, 1, 1, &d, err));
    for (int t = 0; t < 3; t++)
        done(mtl_dataset_set_labels(d, (const char *[]){"a", "b", "c"}[t], 1, y[t], 1, err));
    dealt s = deal(d, kind, 3, PARTS, -1, 0, 3);
    for (int64_t p = 0; p < PARTS; p++) {
        int64_t rows = 0, ones = 0;
        for (int64_t r = 0; r < ROWS; r++) {
            rows += s.f.of_row[r] == p;
            ones += s.f.of_row[r] == p && y[2][r] == 1;
            ck_assert(mtl__folds_has(&s.f, p, -1, r) == (s.f.of_row[r] == p));
            ck_assert(mtl__folds_has(&s.f, p, 1, r) == (s.f.of_row[r] == p && r >= 360));
        }
        ck_assert_int_eq(rows, 80);
        ck_assert_int_eq(ones, 2);
        ck_assert_int_ge(s.f.labels[p * 3 + 1], 7);
        ck_assert_int_le(s.f.labels[p * 3 + 1], 9);
        ck_assert_int_eq(mtl__folds_labels(&s.f, p, 1), 40 - s.f.labels[p * 3 + 1]);
        mtl_dataset *part[2];
        done(mtl__folds_part(&s.f, p, 1, &part[0], &part[1], err));
        ck_assert_int_eq(mtl_dataset_rows(part[1]), s.f.labels[p * 3 + 1]);
        ck_assert_int_eq(mtl_dataset_rows(part[0]), 40 - s.f.labels[p * 3 + 1]);
        mtl_dataset_destroy(part[0]), mtl_dataset_destroy(part[1]);
    }
    dealt_free(&s);
}
END_TEST

START_TEST(groups_stay_together)
{
    enum { ROWS = 300, PARTS = 4 };
    static const int32_t kind[] = {MTL_REGRESSION};
    float x[ROWS], y[ROWS], g[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        x[r] = y[r] = (float)r;
        g[r] = (float)(r * r % 37);
    }
    for (uint64_t seed = 0; seed < 5; seed++) {
        mtl_dataset *d = NULL;
        done(mtl_dataset_create(NULL, x, ROWS, 1, 1, &d, err));
        done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
        done(mtl_dataset_set_labels(d, "g", 1, g, 1, err));
        dealt s = deal(d, kind, 1, PARTS, 1, 0, seed);
        int64_t rows[PARTS] = {0};
        for (int64_t r = 0; r < ROWS; r++) {
            rows[s.f.of_row[r]]++;
            for (int64_t q = 0; q < r; q++)
                ck_assert(g[q] != g[r] || s.f.of_row[q] == s.f.of_row[r]);
        }
        for (int p = 0; p < PARTS; p++) {
            ck_assert_int_ge(rows[p], 50);
            ck_assert_int_le(rows[p], 100);
        }
        dealt_free(&s);
    }
}
END_TEST

START_TEST(kept_rows_are_never_left_out)
{
    static const int32_t kind[] = {MTL_REGRESSION};
    float x[20];
    mtl_dataset *d = NULL;
    for (int i = 0; i < 20; i++)
        x[i] = (float)i;
    done(mtl_dataset_create(NULL, x, 20, 1, 1, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, x, 1, err));
    dealt s = deal(d, kind, 1, 5, -1, 12, 0);
    ck_assert_int_eq(s.f.count, 1);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(s.f.of_row[i], i < 12 ? -1 : 0);
    ck_assert_int_eq(mtl__folds_labels(&s.f, 0, 0), 12);
    ck_assert_int_eq(mtl__folds_labels(&s.f, -1, 0), 20);
    dealt_free(&s);
}
END_TEST

/* ---- Mixtures ------------------------------------------------------------------------------- */

enum { MIXED = 3000 };

typedef struct mixed {
    dealt s;
    mtl__mixture x;
    float *in, *y, *held[MTL__KINDS], zero, one;
    double weight[MTL__KINDS], loss[MTL__KINDS + 1];
} mixed;

/* Candidates' errors: e0 + own noise of these sizes, 0 = no such candidate. */
static void mixed_make(mixed *m, const float size[MTL__KINDS], int64_t rows)
{
    static const int32_t kind[] = {MTL_REGRESSION};
    uint64_t seed = 5;
    mtl_dataset *d = NULL;
    *m = (mixed){.in = floats(rows), .y = floats(rows), .zero = 1, .one = 1};
    for (int k = 0; k < MTL__KINDS; k++)
        m->held[k] = floats(rows);
    for (int64_t r = 0; r < rows; r++) {
        m->in[r] = (float)r;
        m->y[r] = 3 + 2 * next_unit(&seed);
        for (int k = 0; k < MTL__KINDS; k++)
            m->held[k][r] = size[k] > 0 ? m->y[r] + size[k] * next_unit(&seed) : NAN;
    }
    done(mtl_dataset_create(NULL, m->in, rows, 1, 1, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, m->y, 1, err));
    m->s = deal(d, kind, 1, 5, -1, 0, 1);
    m->x = (mtl__mixture){.m = m->s.m, .folds = &m->s.f, .weight = m->weight, .loss = m->loss,
                          .zero_weight = &m->zero, .class_weight = &m->one};
    for (int k = 0; k < MTL__KINDS; k++)
        m->x.held[k] = size[k] > 0 ? m->held[k] : NULL;
    done(mtl__mixture_solve(&m->x, err));
}

static void mixed_free(mixed *m)
{
    dealt_free(&m->s);
    free(m->in), free(m->y);
    for (int k = 0; k < MTL__KINDS; k++)
        free(m->held[k]);
}

/* Independent errors of variances v: the best weights are proportional to 1 / v. */
START_TEST(weights_are_those_of_least_squares)
{
    mixed m;
    mixed_make(&m, (const float[]){0, 1, 0.5f, 0, 0.5f}, MIXED);
    const double best[] = {0, 1 / 9.0, 4 / 9.0, 0, 4 / 9.0};
    for (int k = 0; k < MTL__KINDS; k++)
        assert_near(m.weight[k], best[k], 0.06);
    assert_near(m.weight[1] + m.weight[2] + m.weight[4], 1, 1e-12);
    /* Losses are in units of the labels' variance, 4/3; those of the candidates v = size^2 / 3. */
    assert_near(m.loss[MTL__LINEAR], 0.25, 0.02);
    assert_near(m.loss[MTL__SHARED], 0.0625, 0.005);
    assert_near(m.loss[MTL__KINDS], 0.25 / 9, 0.004);
    mixed_free(&m);
}
END_TEST

START_TEST(the_simplest_is_taken_where_it_is_as_good)
{
    mixed m;
    mixed_make(&m, (const float[]){0, 0.5f, 2, 0, 2}, MIXED); /* best: 0.89, 0.055, 0.055 */
    ck_assert_double_ge(m.weight[MTL__LINEAR], 0.85);
    mixed_free(&m);
    mixed_make(&m, (const float[]){0, 0.5f, 0, 0, 0.02f}, MIXED);
    ck_assert_double_ge(m.weight[MTL__SINGLE], 0.95);
    ck_assert_double_eq(m.weight[MTL__SHARED], 0);
    ck_assert(isnan(m.loss[MTL__SHARED]));
    mixed_free(&m);
    mixed_make(&m, (const float[]){0, 0, 0.3f, 0, 0}, 40);
    ck_assert_double_eq(m.weight[MTL__SHARED], 1);
    assert_near(m.loss[MTL__KINDS], m.loss[MTL__SHARED], 1e-15);
    mixed_free(&m);
}
END_TEST

/* One in ten is 1, and candidates say .9 and .1 of every row: what is best says .1, or, where the classes
   are to count alike, .5. */
START_TEST(weights_of_classes_count)
{
    enum { ROWS = 1000 };
    static const int32_t kind[] = {MTL_BINARY};
    static const float zero = 1, one[] = {1, 9};
    float x[ROWS], y[ROWS], high[ROWS], low[ROWS];
    double weight[MTL__KINDS], loss[MTL__KINDS + 1];
    mtl_dataset *d = NULL;
    for (int64_t r = 0; r < ROWS; r++) {
        x[r] = (float)r;
        y[r] = r % 10 == 3;
        high[r] = 0.9f;
        low[r] = 0.1f;
    }
    done(mtl_dataset_create(NULL, x, ROWS, 1, 1, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    dealt s = deal(d, kind, 1, 5, -1, 0, 1);
    for (int i = 0; i < 2; i++) {
        mtl__mixture m = {.m = s.m, .folds = &s.f, .weight = weight, .loss = loss,
                          .zero_weight = &zero, .class_weight = &one[i]};
        m.held[MTL__LINEAR] = high;
        m.held[MTL__SHARED] = low;
        done(mtl__mixture_solve(&m, err));
        assert_near(weight[MTL__LINEAR], i ? 0.5 : 0, 0.01);
        assert_near(loss[MTL__KINDS], i ? 1.8 * log(2) : -0.9 * log(0.9) - 0.1 * log(0.1), 0.01);
    }
    dealt_free(&s);
}
END_TEST

/* ---- Fits ----------------------------------------------------------------------------------- */

START_TEST(auto_is_good_without_layers_and_options)
{
    mtl_dataset *d = made(NULL, "rows=20 inputs=3 tasks=2 seed=1");
    mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
    mtl_report *r = fitted(m, d, NULL, "time_limit=0.01");
    ck_assert_str_eq(text_of(r, "preset"), "good");
    ck_assert_str_eq(text_of(r, "preset/batch_size"), "32");
    ck_assert_int_eq(mtl_report_type(r, "preset/judge"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    waves w = waves_make(NULL, 1);
    m = bare_model(w.d, NULL, MTL_REGRESSION);
    r = fitted(m, w.d, NULL, "seed=2 folds=2 layers=16:relu members=2");
    ck_assert_str_eq(text_of(r, "preset"), "good");
    ck_assert_int_gt(mtl_model_member_count(m), 0);
    refused(mtl_fit(m, w.d, NULL, NULL, NULL, err), MTL_ERR_STATE, "members");
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

/* Anything said of how to train, layers, few rows: the network as it is. */
START_TEST(auto_is_plain_elsewhere)
{
    static const char *const texts[] = {"epochs=10", "judge_folds=5 epochs=3", "learning_rate=0.001",
                                        "preset=plain"};
    mtl_dataset *d = made(NULL, "rows=60 inputs=3 tasks=2 seed=1"), *few = NULL;
    for (int i = 0; i < 4; i++) {
        mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
        mtl_report *r = fitted(m, d, NULL, texts[i]);
        ck_assert_int_eq(mtl_model_member_count(m), 0);
        ck_assert_int_eq(mtl_report_type(r, "preset"), 0);
        done(mtl_fit(m, d, NULL, NULL, NULL, err)); /* trained before */
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    const int64_t first[19] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
    done(mtl_dataset_subset(d, 19, first, &few, err));
    mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
    done(mtl_fit(m, few, NULL, NULL, NULL, err));
    ck_assert_int_eq(mtl_model_member_count(m), 0);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d), mtl_dataset_destroy(few);
}
END_TEST

/* What the report prints, set by hand, gives the same model. */
START_TEST(the_row_can_be_taken_and_changed)
{
    waves w = waves_make(NULL, 1);
    mtl_model *m[2] = {bare_model(w.d, NULL, MTL_REGRESSION), bare_model(w.d, NULL, MTL_REGRESSION)};
    mtl_report *r = fitted(m[0], w.d, NULL, SMALL " epochs=60"), *other = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, "preset=fast");
    for (int64_t i = 0; i < mtl_report_count(r); i++) {
        const char *name = mtl_report_name(r, i), *key = name + strlen("preset/");
        if (strncmp(name, "preset/", strlen("preset/")) != 0)
            continue;
        const char *text = text_of(r, name);
        const int32_t type = option_type(MTL_OPTIONS_FIT, key);
        if (type == MTL_TYPE_STR)
            done(mtl_options_set_str(o, key, text, err));
        else if (type == MTL_TYPE_I64)
            done(mtl_options_set_i64(o, key, atoll(text), err));
        else
            done(mtl_options_set_f64(o, key, strtod(text, NULL), err));
    }
    done(mtl_options_set_i64(o, "folds_run", 0, err)); /* which good leaves alone */
    done(mtl_fit(m[1], w.d, NULL, o, &other, err));
    ck_assert_int_gt(mtl_model_member_count(m[0]), 1);
    ck_assert_uint_eq(model_hash(m[0]), model_hash(m[1]));
    ck_assert_str_eq(text_of(r, "preset/epochs"), "60"); /* the user's own */
    ck_assert_str_eq(text_of(r, "preset/optimizer"), "adamw:beta2=0.95,weight_decay=0.0003");
    mtl_report_destroy(r), mtl_report_destroy(other);
    mtl_options_destroy(o);
    mtl_model_destroy(m[0]), mtl_model_destroy(m[1]);
    waves_free(&w);
}
END_TEST

/* Better than the line where the line is wrong; saved, loaded, a start for a transfer. */
/* Larger tables have fewer passes, which end at a falling rate. */
START_TEST(rows_change_the_row)
{
    static const struct {
        const char *data, *preset, *epochs, *members, *schedule, *folds;
    } rows[] = {{"rows=2499", "good", "200", "8", "constant", "5"},
                {"rows=2500", "good", "120", "8", "flat_cos", "5"},
                {"rows=5000", "good", "60", "4", "flat_cos", "3"},
                {"rows=2500", "best", "200", "8", "", "10"},
                {"rows=5000", "fast", "100", "4", "", "5"}};
    for (int i = 0; i < 5; i++) {
        char text[64];
        mtl_dataset *d = made(NULL, rows[i].data);
        mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
        snprintf(text, sizeof text, "candidates=linear preset=%s", rows[i].preset);
        mtl_report *r = fitted(m, d, NULL, text);
        ck_assert_str_eq(text_of(r, "preset/epochs"), rows[i].epochs);
        ck_assert_str_eq(text_of(r, "preset/members"), rows[i].members);
        ck_assert_str_eq(text_of(r, "preset/folds"), rows[i].folds);
        if (*rows[i].schedule)
            ck_assert_str_eq(text_of(r, "preset/schedule"), rows[i].schedule);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
}
END_TEST

START_TEST(waves_take_networks)
{
    waves w = waves_make(NULL, 1);
    mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION), *loaded = NULL, *moved = NULL;
    mtl_report *r = fitted(m, w.d, NULL, "preset=good epochs=60 folds=3 members=2 layers=24:relu,24:relu");
    mtl_dataset *target = NULL;
    void *buffer = NULL;
    int64_t bytes;
    float p[2 * WAVES], q[2 * WAVES];
    for (int t = 0; t < 2; t++) {
        const char *name = t ? "b" : "a";
        ck_assert_double_lt(of_task(r, "weight/linear", name), 0.2);
        ck_assert_double_gt(of_task(r, "loss/linear", name), 0.5);
        ck_assert_double_lt(of_task(r, "loss/mixed", name), 0.25);
    }
    done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, p, 2, err));
    double squares = 0;
    for (int64_t i = 0; i < WAVES; i++)
        squares += pow((double)(p[2 * i] - w.y[0][i]), 2) / WAVES;
    ck_assert_double_lt(squares, 10); /* of 50 */
    done(mtl_model_save_buffer(m, &buffer, &bytes, err));
    done(mtl_model_load_buffer(NULL, buffer, bytes, &loaded, err));
    done(mtl_predict(loaded, WAVES, w.x, WAVE_INPUTS, q, 2, err));
    assert_same_bits(p, q, 2 * WAVES);
    done(mtl_dataset_create(NULL, w.x, 60, WAVE_INPUTS, WAVE_INPUTS, &target, err));
    done(mtl_dataset_set_labels(target, "new", 1, w.y[0], 1, err));
    done(mtl_transfer(m, target, NULL, NULL, &moved, NULL, err));
    ck_assert_int_eq(mtl_model_task_index(moved, "new") >= 0, 1);
    mtl_free(buffer);
    mtl_dataset_destroy(target);
    mtl_report_destroy(r);
    mtl_model_destroy(m), mtl_model_destroy(loaded), mtl_model_destroy(moved);
    waves_free(&w);
}
END_TEST

/* Linear tasks with noise: the line is as good as it gets. */
START_TEST(lines_stay_lines)
{
    mtl_dataset *d = made(NULL, "rows=240 inputs=6 tasks=3 relatedness=0.5 noise=1 seed=4");
    mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
    mtl_report *r = fitted(m, d, NULL, SMALL);
    for (int64_t t = 0; t < 3; t++) {
        const char *name = mtl_dataset_task_name(d, t);
        ck_assert_double_ge(of_task(r, "weight/linear", name), 0.7);
        ck_assert_double_le(of_task(r, "loss/mixed", name), 1.02 * of_task(r, "loss/linear", name));
    }
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

/* Steps of single columns, which joints of an embedding follow: it is found by what rows left out say.
   Columns of two values have none. */
START_TEST(steps_take_embeddings)
{
    enum { ROWS = 400, INPUTS = 3 };
    uint64_t seed = 8;
    float x[ROWS * INPUTS], y[2][ROWS];
    for (int64_t i = 0; i < ROWS * INPUTS; i++)
        x[i] = next_unit(&seed);
    for (int64_t r = 0; r < ROWS; r++) {
        const float a = x[r * INPUTS], b = x[r * INPUTS + 1];
        x[r * INPUTS + 2] = (float)(x[r * INPUTS + 2] > 0);
        y[0][r] = floorf(6 * a) - 2 * (float)((int)floorf(9 * b) % 2) + 0.1f * next_unit(&seed);
        y[1][r] = (float)((int)floorf(7 * b + 20) % 3) + x[r * INPUTS + 2];
    }
    for (int pass = 0; pass < 2; pass++) {
        mtl_dataset *d = NULL;
        for (int64_t i = 0; i < ROWS * INPUTS && pass; i++)
            x[i] = (float)(x[i] > 0);
        done(mtl_dataset_create(NULL, x, ROWS, INPUTS, INPUTS, &d, err));
        done(mtl_dataset_set_labels(d, "a", 1, y[0], 1, err));
        done(mtl_dataset_set_labels(d, "b", 1, y[1], 1, err));
        mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
        mtl_report *r = fitted(m, d, NULL, "preset=good folds=3 members=2 epochs=60 layers=32:relu");
        if (pass) {
            ck_assert(isnan(of_task(r, "loss/numeric", "a")));
            ck_assert_double_eq(of_task(r, "weight/numeric", "a"), 0);
        } else {
            mtl_options *other = options(MTL_OPTIONS_FIT, "preset=good folds=3 members=2 epochs=60 layers=32:relu");
            mtl_model *without = bare_model(d, NULL, MTL_REGRESSION);
            mtl_report *plain = NULL;
            done(mtl_options_set_str(other, "candidates", "linear shared", err));
            done(mtl_fit(without, d, NULL, other, &plain, err));
            for (int t = 0; t < 2; t++) {
                const char *const name = t ? "b" : "a";
                ck_assert(isnan(of_task(r, "loss/shared", name))); /* far worse on the first part */
                ck_assert_double_lt(of_task(r, "loss/numeric", name),
                                    0.8 * of_task(plain, "loss/shared", name));
                ck_assert_double_gt(of_task(r, "weight/numeric", name), 0.5);
            }
            mtl_options_destroy(other);
            mtl_report_destroy(plain), mtl_report_destroy(r);
            mtl_model_destroy(without), mtl_model_destroy(m);
            m = bare_model(d, NULL, MTL_REGRESSION);
            mtl_options *o = options(MTL_OPTIONS_FIT, SMALL " embedding=cosine:size=4");
            done(mtl_options_set_str(o, "candidates", "numeric", err));
            done(mtl_fit(m, d, NULL, o, &r, err));
            ck_assert_double_eq(of_task(r, "weight/numeric", "b"), 1);
            ck_assert(mtl_report_type(r, "loss/valid") != 0); /* told as that of a fit */
            mtl_options_destroy(o);
        }
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
}
END_TEST

/* Inputs that are missing, with columns that say so; an embedding where no column can have one. */
START_TEST(missing_inputs)
{
    waves w = waves_make(NULL, 12);
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    float p[2 * WAVES];
    for (int64_t r = 0; r < WAVES; r += 7)
        w.x[r * WAVE_INPUTS + r % WAVE_INPUTS] = NAN;
    done(mtl_spec_create(NULL, WAVE_INPUTS, &s, err));
    done(mtl_spec_set_missing_indicators(s, 1, err));
    done(mtl_spec_add_task(s, "a", MTL_REGRESSION, 1, err));
    done(mtl_spec_add_task(s, "b", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    mtl_report *r = fitted(m, w.d, NULL, SMALL);
    ck_assert(isfinite(of_task(r, "loss/linear", "a")));
    ck_assert(isfinite(of_task(r, "loss/mixed", "b")));
    done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, p, 2, err));
    for (int64_t i = 0; i < 2 * WAVES; i++)
        ck_assert(isfinite(p[i]));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    for (int64_t i = 0; i < WAVES * WAVE_INPUTS; i++)
        w.x[i] = (float)(w.x[i] > 0);
    m = bare_model(w.d, NULL, MTL_REGRESSION);
    const uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, "preset=good candidates=numeric");
    refused(mtl_fit(m, w.d, NULL, o, NULL, err), MTL_ERR_DATA, "none of the candidates");
    ck_assert_uint_eq(model_hash(m), before);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

/* Tasks of few rows each, with the same slopes in other units: one model for all of them is what plain
   least squares on rows without their task's means gives, and it is taken. */
START_TEST(few_rows_are_pooled)
{
    enum { TASKS = 8, EACH = 30, ROWS = TASKS * EACH, INPUTS = 5 };
    static const double slope[INPUTS] = {1, -2, 0.5, 0, 3};
    uint64_t seed = 3;
    float x[ROWS * INPUTS], y[TASKS][ROWS], p[ROWS * TASKS];
    mtl_dataset *d = NULL;
    for (int64_t i = 0; i < ROWS * INPUTS; i++)
        x[i] = next_unit(&seed);
    for (int64_t i = 0; i < TASKS * ROWS; i++)
        y[i / ROWS][i % ROWS] = NAN;
    for (int64_t r = 0; r < ROWS; r++) {
        double u = 3 * (double)next_unit(&seed);
        for (int j = 0; j < INPUTS; j++)
            u += slope[j] * (double)x[r * INPUTS + j];
        y[r % TASKS][r] = (float)((double)(1 << r % TASKS) * u) + 100 * (float)(r % TASKS);
    }
    done(mtl_dataset_create(NULL, x, ROWS, INPUTS, INPUTS, &d, err));
    for (int t = 0; t < TASKS; t++)
        done(mtl_dataset_set_labels(d, (const char[]){(char)('a' + t), 0}, 1, y[t], 1, err));
    mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
    mtl_report *r = fitted(m, d, NULL, SMALL);
    double better = 0;
    for (int t = 0; t < TASKS; t++) {
        const char *const name = mtl_dataset_task_name(d, t);
        ck_assert_double_ge(of_task(r, "weight/pooled", name), 0.5);
        better += of_task(r, "loss/linear", name) - of_task(r, "loss/pooled", name);
    }
    ck_assert_double_gt(better, 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = bare_model(d, NULL, MTL_REGRESSION);
    mtl_options *o = options(MTL_OPTIONS_FIT, "preset=good candidates=pooled folds=3");
    done(mtl_fit(m, d, NULL, o, NULL, err));
    done(mtl_predict(m, ROWS, x, INPUTS, p, TASKS, err));
    for (int t = 0; t < TASKS; t++) { /* slopes in the task's units; errors of mean 0 within a task */
        double error = 0;
        for (int64_t i = t; i < ROWS; i += TASKS)
            error += (double)(y[t][i] - p[i * TASKS + t]) / EACH;
        assert_near(error / (1 << t), 0, 1e-4);
        for (int j = 0; j < INPUTS; j++) {
            float at[2 * INPUTS] = {0}, q[2 * TASKS];
            at[INPUTS + j] = 1;
            done(mtl_predict(m, 2, at, INPUTS, q, TASKS, err));
            assert_near((double)(q[TASKS + t] - q[t]) / (1 << t), slope[j], 0.9);
        }
    }
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

/* Thresholds have no linear model and no ensemble. */
START_TEST(ordinal_tasks)
{
    problem p = problem_make(120, 5, 10);
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(NULL, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_task_set_str(s, "grade", "loss", "ordinal", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    mtl_report *r = fitted(m, d, NULL, SMALL);
    ck_assert(isnan(of_task(r, "loss/linear", "grade")));
    ck_assert_double_lt(of_task(r, "loss/mixed", "grade"), 1.2);
    ck_assert_double_eq(of_task(r, "weight/linear", "grade"), 0);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* Candidates by name: a line alone is a model with layers of its own, for it is one member. */
START_TEST(candidates_by_name)
{
    waves w = waves_make(NULL, 3);
    mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION);
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, SMALL);
    done(mtl_options_set_str(o, "candidates", "linear", err));
    done(mtl_fit(m, w.d, NULL, o, &r, err));
    ck_assert_int_eq(mtl_model_member_count(m), 0);
    ck_assert_int_eq(mtl_model_tensor_count(m), 4);
    ck_assert_str_eq(text_of(r, "reason"), "solved");
    ck_assert(isnan(of_task(r, "loss/shared", "a")));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    done(mtl_options_set_str(o, "candidates", "shared", err));
    done(mtl_options_set_i64(o, "folds_run", 1, err));
    m = bare_model(w.d, NULL, MTL_REGRESSION);
    done(mtl_fit(m, w.d, NULL, o, &r, err));
    ck_assert_int_eq(mtl_model_member_count(m), 0); /* one network */
    ck_assert_double_eq(of_task(r, "weight/shared", "b"), 1);
    fit(m, w.d, "epochs=1"); /* and it goes on */
    mtl_report_destroy(r);
    refused(mtl_options_set_str(o, "candidates", "forest", err), MTL_ERR_RANGE, "forest");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

/* Layers, heads and every kind of task of the user's own; missing labels and inputs, weights. */
START_TEST(all_kinds_with_own_layers)
{
    problem p = problem_make(260, 5, 20);
    p.x[9] = NAN;
    mtl_dataset *d = problem_data(&p, NULL);
    mtl_spec *s = problem_spec(NULL);
    mtl_model *m = NULL;
    float *count = floats(260);
    for (int64_t i = 0; i < 260; i++)
        count[i] = (float)(i % 4);
    done(mtl_dataset_set_labels(d, "count", 1, count, 1, err));
    done(mtl_dataset_set_labels(d, "range", 1, count, 1, err));
    done(mtl_dataset_set_weights(d, NULL, p.weight, err));
    done(mtl_spec_add_task(s, "count", MTL_COUNT, 1, err));
    done(mtl_spec_add_task(s, "range", MTL_QUANTILE, 3, err));
    done(mtl_spec_add_task(s, "never", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    mtl_report *r = fitted(m, d, NULL, "preset=good folds=3 epochs=12 patience=4");
    static const char *const all[] = {"fails", "tags", "grade", "hours", "count", "range"};
    for (int t = 0; t < 6; t++) {
        ck_assert(isfinite(of_task(r, "loss/mixed", all[t])));
        ck_assert(isfinite(of_task(r, "loss/shared", all[t])));
        ck_assert_int_eq(isfinite(of_task(r, "loss/linear", all[t])), t < 5);
        ck_assert_double_eq(of_task(r, "weight/pooled", all[t]), 0); /* rows have many labels */
        assert_near(of_task(r, "weight/linear", all[t]) + of_task(r, "weight/shared", all[t]) +
                        of_task(r, "weight/single", all[t]), 1, 1e-12);
    }
    ck_assert(isnan(of_task(r, "loss/mixed", "never")));
    float *out = floats(260 * mtl_model_outputs(m));
    done(mtl_predict(m, 260, p.x, PROBLEM_INPUTS, out, mtl_model_outputs(m), err));
    for (int64_t i = 0; i < 260 * mtl_model_outputs(m); i++)
        ck_assert(isfinite(out[i]));
    free(out), free(count);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

/* A validation data set is the one part that is left out. */
START_TEST(validation_rows_of_the_users)
{
    waves w = waves_make(NULL, 4), v = waves_make(NULL, 5);
    mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION), *same = bare_model(w.d, NULL, MTL_REGRESSION);
    mtl_report *r = fitted(m, w.d, v.d, SMALL), *look = NULL;
    /* The line is that of the training rows alone. */
    mtl_report *alone = fitted(same, w.d, v.d, SMALL " candidates=linear");
    done(mtl_evaluate(same, v.d, NULL, &look, err));
    assert_near(of_task(alone, "loss/mixed", "b"), of_task(r, "loss/linear", "b"), 1e-12);
    double mean = 0, squares = 0, n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 2; i++)
            for (int64_t j = 0; j < WAVES; j++) {
                const double y = (double)(i ? v.y[1][j] : w.y[1][j]);
                mean += pass || isnan(y) ? 0 : y;
                n += !pass && !isnan(y);
                squares += pass && !isnan(y) ? (y - mean / n) * (y - mean / n) : 0;
            }
    assert_near(of_task(alone, "loss/mixed", "b"), pow(figure(look, "metric/rmse/b"), 2) / (squares / n),
                1e-4);
    mtl_report_destroy(r), mtl_report_destroy(alone), mtl_report_destroy(look);
    mtl_model_destroy(m), mtl_model_destroy(same);
    waves_free(&w), waves_free(&v);
}
END_TEST

START_TEST(same_bits_everywhere)
{
    uint64_t hash[3];
    static const char *const where[] = {"threads=1", "threads=3", "threads=2 cpu=c"};
    for (int i = 0; i < 3; i++) {
        mtl_context *ctx = context(where[i]);
        waves w = waves_make(ctx, 6);
        mtl_model *m = bare_model(w.d, ctx, MTL_REGRESSION);
        mtl_report *r = fitted(m, w.d, NULL, SMALL " epochs=10");
        float p[2 * WAVES];
        done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, p, 2, err));
        hash[i] = hash_bytes(HASH_START, p, sizeof p);
        const double loss = of_task(r, "loss/mixed", "a");
        hash[i] = hash_bytes(hash[i], &loss, sizeof loss);
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        waves_free(&w);
        mtl_context_destroy(ctx);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(hash[0], hash[2]);
}
END_TEST

/* ---- Limits, callbacks, failures ------------------------------------------------------------ */

typedef struct watcher {
    int calls, most;
} watcher;

static int32_t watch(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                     void *user)
{
    watcher *w = user;
    (void)step, (void)train, (void)valid, (void)epoch, (void)steps;
    return ++w->calls < w->most ? MTL_CONTINUE : 0;
}

START_TEST(cancelled)
{
    for (int most = 1; most < 90; most += 22) {
        waves w = waves_make(NULL, 7);
        mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION);
        mtl_options *o = options(MTL_OPTIONS_FIT, SMALL);
        mtl_report *r = NULL;
        watcher k = {0, most};
        float p[2 * WAVES];
        done(mtl_options_set_progress(o, watch, &k, err));
        done(mtl_fit(m, w.d, NULL, o, &r, err));
        ck_assert_int_le(k.calls, most); /* not asked again */
        if (k.calls == most)
            ck_assert_str_eq(text_of(r, "reason"), "cancelled");
        done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, p, 2, err));
        for (int i = 0; i < 2 * WAVES; i++)
            ck_assert(isfinite(p[i]));
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_model_destroy(m);
        waves_free(&w);
    }
}
END_TEST

START_TEST(out_of_time)
{
    static const char *const texts[] = {"preset=good epochs=100000 patience=0 time_limit=0.1",
                                        "preset=best epochs=100000 time_limit=1e-9"};
    for (int i = 0; i < 2; i++) {
        waves w = waves_make(NULL, 8);
        mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION);
        mtl_report *r = fitted(m, w.d, NULL, texts[i]);
        ck_assert_str_eq(text_of(r, "reason"), "time_limit");
        ck_assert_double_lt(figure(r, "seconds"), 20);
        if (i == 1) { /* the first task's line is always found */
            ck_assert(isfinite(of_task(r, "loss/linear", "a")));
            ck_assert(isnan(of_task(r, "loss/linear", "b")));
            ck_assert_double_eq(of_task(r, "weight/linear", "b"), 0);
        }
        float p[2 * WAVES];
        done(mtl_predict(m, WAVES, w.x, WAVE_INPUTS, p, 2, err));
        for (int k = 0; k < 2 * WAVES; k++)
            ck_assert(isfinite(p[k]));
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        waves_free(&w);
    }
}
END_TEST

START_TEST(diverging_networks_lose)
{
    waves w = waves_make(NULL, 9);
    mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION);
    mtl_report *r = fitted(m, w.d, NULL, SMALL " optimizer=sgd learning_rate=1e20 average=none");
    assert_near(of_task(r, "weight/linear", "a") + of_task(r, "weight/pooled", "a"), 1, 1e-12);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    m = bare_model(w.d, NULL, MTL_REGRESSION);
    const uint64_t before = model_hash(m);
    mtl_options *o = options(MTL_OPTIONS_FIT, SMALL " optimizer=sgd learning_rate=1e20 average=none "
                                              "candidates=shared");
    refused(mtl_fit(m, w.d, NULL, o, NULL, err), MTL_ERR_DIVERGED, "diverged");
    ck_assert_uint_eq(model_hash(m), before);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

/* Few rows, and a task with a single label. */
START_TEST(tiny_data)
{
    static const float x[] = {0, 1, 2, 3, 4}, y[] = {0, 1, 2, 3, 5};
    static const float once[] = {NAN, NAN, 3, NAN, NAN};
    for (int64_t rows = 4; rows <= 5; rows++) {
        mtl_dataset *d = NULL;
        float p[10];
        done(mtl_dataset_create(NULL, x, rows, 1, 1, &d, err));
        done(mtl_dataset_set_labels(d, "a", 1, y, 1, err));
        done(mtl_dataset_set_labels(d, "once", 1, once, 1, err));
        mtl_model *m = bare_model(d, NULL, MTL_REGRESSION);
        mtl_report *r = fitted(m, d, NULL, "preset=good epochs=3");
        done(mtl_predict(m, rows, x, 1, p, 2, err));
        for (int64_t i = 0; i < 2 * rows; i++)
            ck_assert(isfinite(p[i]));
        mtl_report_destroy(r);
        mtl_model_destroy(m);
        mtl_dataset_destroy(d);
    }
}
END_TEST

START_TEST(what_cannot_be)
{
    waves w = waves_make(NULL, 10);
    mtl_model *m = bare_model(w.d, NULL, MTL_REGRESSION);
    mtl_trainer *t = NULL;
    mtl_report *r = NULL;
    static const struct {
        const char *text, *part;
        mtl_status st;
    } row[] = {{"preset=good judge=1", "judge", MTL_ERR_INVALID},
               {"preset=fast checkpoint=x.ckpt", "checkpoint", MTL_ERR_INVALID},
               {"preset=good sampling=tasks", "sampling", MTL_ERR_INVALID},
               {"preset=good layers=8", "layers", MTL_ERR_RANGE},
               {"preset=good embedding=bins", "bins", MTL_ERR_RANGE},
               {"preset=good group_by=c", "group_by", MTL_ERR_NAME},
               {"preset=good group_by=b", "row 0", MTL_ERR_VALUE}};
    const uint64_t before = model_hash(m);
    for (int i = 0; i < 7; i++) {
        mtl_options *o = options(MTL_OPTIONS_FIT, row[i].text);
        refused(mtl_fit(m, w.d, NULL, o, NULL, err), row[i].st, row[i].part);
        mtl_options_destroy(o);
    }
    mtl_options *o = options(MTL_OPTIONS_FIT, "preset=good");
    refused(mtl_trainer_create(m, w.d, NULL, o, &t, err), MTL_ERR_INVALID, "preset");
    refused(mtl_lr_find(m, w.d, o, &r, err), MTL_ERR_INVALID, "preset");
    refused(mtl_partial_fit(m, w.d, o, NULL, err), MTL_ERR_INVALID, "preset");
    refused(mtl_task_affinity(m, w.d, o, &r, err), MTL_ERR_INVALID, "preset");
    ck_assert_uint_eq(model_hash(m), before);
    fit(m, w.d, "epochs=1");
    refused(mtl_fit(m, w.d, NULL, o, NULL, err), MTL_ERR_STATE, "trained");
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    waves_free(&w);
}
END_TEST

START_TEST(memory_runs_out)
{
    sweep_fit("preset=good folds=2 epochs=1 layers=3:relu members=2", false);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("preset");
    add_case(s, "parts have their share", parts_have_their_share);
    add_case(s, "groups stay together", groups_stay_together);
    add_case(s, "kept rows", kept_rows_are_never_left_out);
    add_case(s, "weights are those of least squares", weights_are_those_of_least_squares);
    add_case(s, "the simplest", the_simplest_is_taken_where_it_is_as_good);
    add_case(s, "weights of classes", weights_of_classes_count);
    add_case(s, "auto is good", auto_is_good_without_layers_and_options);
    add_case(s, "auto is plain", auto_is_plain_elsewhere);
    add_case(s, "the row can be taken", the_row_can_be_taken_and_changed);
    add_case(s, "rows change the row", rows_change_the_row);
    add_case(s, "waves take networks", waves_take_networks);
    add_case(s, "lines stay lines", lines_stay_lines);
    add_case(s, "steps take embeddings", steps_take_embeddings);
    add_case(s, "missing inputs", missing_inputs);
    add_case(s, "few rows are pooled", few_rows_are_pooled);
    add_case(s, "ordinal tasks", ordinal_tasks);
    add_case(s, "candidates by name", candidates_by_name);
    add_case(s, "all kinds of tasks", all_kinds_with_own_layers);
    add_case(s, "validation rows", validation_rows_of_the_users);
    add_case(s, "same bits everywhere", same_bits_everywhere);
    add_case(s, "cancelled", cancelled);
    add_case(s, "out of time", out_of_time);
    add_case(s, "diverging networks", diverging_networks_lose);
    add_case(s, "tiny data", tiny_data);
    add_case(s, "what cannot be", what_cannot_be);
    add_case(s, "memory runs out at any point", memory_runs_out);
    return run_suite(s);
}
