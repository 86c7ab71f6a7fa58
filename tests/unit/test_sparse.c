/* SPDX-License-Identifier: MIT */
/* Sparse inputs: what they give is what the same numbers give as dense inputs, bit for bit. */
#include "api_testing.h"

#include "train/binding.h"

enum { ROWS = 90, COLS = 150 };

/* Rows with their labels, dense and compressed. */
typedef struct bag {
    int64_t start[ROWS + 1];
    int32_t column[ROWS * COLS];
    float value[ROWS * COLS];
    float *x, word[ROWS], kind[ROWS], size[2 * ROWS];
} bag;

/* Between no column and some twenty a row; some values are missing, some are zeros that are listed. */
static bag *bag_make(uint64_t seed)
{
    bag *b = calloc(1, sizeof *b);
    b->x = floats(ROWS * COLS);
    int64_t n = b->start[0] = 3; /* need not begin at 0 */
    for (int r = 0; r < ROWS; r++) {
        const uint32_t of_100 = r % 10 == 7 ? 0 : 2 + next_u32(&seed) % 12;
        for (int j = 0; j < COLS; j++) {
            if (next_u32(&seed) % 100 >= of_100)
                continue;
            float v = next_u32(&seed) % 20 == 0   ? NAN
                      : next_u32(&seed) % 15 == 0 ? 0
                                                  : 3 * next_unit(&seed);
            b->column[n] = j;
            b->x[r * COLS + j] = b->value[n++] = v;
        }
        b->start[r + 1] = n;
        b->word[r] = (float)(n - b->start[r] > 10);
        b->kind[r] = (float)(next_u32(&seed) % 4);
        b->size[2 * r] = 50 + 9 * next_unit(&seed);
        b->size[2 * r + 1] = r % 3 ? next_unit(&seed) : NAN;
    }
    return b;
}

static void bag_free(bag *b)
{
    free(b->x);
    free(b);
}

static void add_labels(const bag *b, mtl_dataset *d)
{
    done(mtl_dataset_set_labels(d, "word", 1, b->word, 1, err));
    done(mtl_dataset_set_labels(d, "kind", 1, b->kind, 1, err));
    done(mtl_dataset_set_labels(d, "size", 2, b->size, 2, err));
}

static mtl_dataset *dense_data(const bag *b, mtl_context *ctx)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, b->x, ROWS, COLS, COLS, &d, err));
    add_labels(b, d);
    return d;
}

static mtl_dataset *sparse_data(const bag *b, mtl_context *ctx)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create_csr(ctx, ROWS, COLS, b->start, b->column, b->value, &d, err));
    add_labels(b, d);
    return d;
}

typedef enum shape { TRUNK, LINEAR, WIDE_AND_DEEP, TOWERS, DEEP, SHAPES } shape;

static mtl_model *model_of(shape k, mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, COLS, &s, err));
    if (k == TRUNK || k == WIDE_AND_DEEP || k == DEEP)
        done(mtl_spec_add_dense(s, 19, "relu", err));
    if (k == DEEP) {
        done(mtl_spec_add_norm(s, "batch", err));
        done(mtl_spec_add_dropout(s, 0.2, err));
        done(mtl_spec_add_dense(s, 19, "gelu", err));
        done(mtl_spec_add_residual(s, 1, err));
    }
    done(mtl_spec_set_linear_skip(s, k == WIDE_AND_DEEP || k == TOWERS, err));
    done(mtl_spec_add_task(s, "word", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "kind", MTL_MULTICLASS, 4, err));
    done(mtl_spec_add_task(s, "size", MTL_REGRESSION, 2, err));
    if (k == LINEAR)
        done(mtl_spec_task_set_str(s, "kind", "loss", "ordinal", err));
    if (k == TOWERS)
        done(mtl_spec_task_set_str(s, "kind", "head", "5:gelu", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static uint64_t predictions(const bag *b, const mtl_model *m, bool sparse)
{
    const int64_t outputs = mtl_model_outputs(m);
    float *out = floats(ROWS * outputs);
    if (sparse)
        done(mtl_predict_csr(m, ROWS, b->start, b->column, b->value, out, outputs, err));
    else
        done(mtl_predict(m, ROWS, b->x, COLS, out, outputs, err));
    uint64_t hash = hash_bytes(HASH_START, out, (size_t)(ROWS * outputs) * sizeof *out);
    free(out);
    return hash;
}

static uint64_t outcome(const bag *b, const mtl_dataset *d, shape k, mtl_context *ctx,
                        const char *text, bool sparse)
{
    mtl_model *m = model_of(k, ctx);
    mtl_report *r = NULL;
    fit(m, d, text);
    done(mtl_evaluate(m, d, NULL, &r, err));
    double loss = figure(r, "loss");
    uint64_t hash = hash_bytes(model_hash(m) ^ predictions(b, m, sparse), &loss, sizeof loss);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    return hash;
}

static const char *const everywhere[] = {"cpu=c threads=1", "cpu=avx2 threads=2",
                                         "cpu=auto threads=3"};

static void same_as_dense(const char *const *texts, int count)
{
    bag *b = bag_make(4);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < SHAPES; k++) {
            char text[256], of_dense[256];
            snprintf(of_dense, sizeof of_dense, "%s%s", texts[i],
                     strstr(texts[i], "scale_inputs") ? "" : " scaler=max_abs");
            snprintf(text, sizeof text, "%s", texts[i]);
            mtl_dataset *d = dense_data(b, NULL);
            const uint64_t expected = outcome(b, d, (shape)k, NULL, of_dense, false);
            mtl_dataset_destroy(d);
            for (int h = 0; h < 3; h++) {
                mtl_context *ctx = context(everywhere[h]);
                d = sparse_data(b, ctx);
                ck_assert_msg(outcome(b, d, (shape)k, ctx, text, true) == expected,
                              "shape %d, %s, %s", k, text, everywhere[h]);
                mtl_dataset_destroy(d);
                mtl_context_destroy(ctx);
            }
        }
    bag_free(b);
}

START_TEST(the_dense_rule_has_the_bits_of_dense_inputs)
{
    static const char *const texts[] = {
        "epochs=3 sparse_update=dense learning_rate=0.02",
        "epochs=2 sparse_update=dense optimizer=adamw:amsgrad=1 clip_norm=0.3 clip_value=0.02 "
        "batch_size=17",
        "epochs=3 sparse_update=dense average=ema:decay=0.8 l2=0.01 scale_inputs=0 seed=5",
        "epochs=3 sparse_update=dense optimizer=nadam validation_split=0.3 patience=2 "
        "groups=head.word:rate=0.5",
        "epochs=2 sparse_update=dense weighting=upgrad weighting_scope=features",
        "epochs=2 sparse_update=dense weighting=famo weighting_every=2 average=ema:decay=0.8",
    };
    same_as_dense(texts, 6);
}
END_TEST

START_TEST(the_lazy_rule_is_the_dense_one_where_it_says_so)
{
    static const char *const texts[] = {
        "epochs=3 optimizer=sgd learning_rate=0.05",
        "epochs=3 optimizer=adagrad learning_rate=0.05 average=swa:start=0.3 batch_size=7",
        "epochs=2 optimizer=sgd learning_rate=0.1 clip_value=0.01 scale_inputs=0 "
        "groups=head.word:rate=0.5;head.size:rate=0",
        "epochs=3 optimizer=sgd learning_rate=0.05 validation_split=0.3 patience=1 train_metrics=1 "
        "sampling=balanced",
    };
    same_as_dense(texts, 4);
}
END_TEST

/* A frozen slice of the heads' matrix keeps its bits, others move as in the dense fit. */
START_TEST(slices_can_be_frozen)
{
    bag *b = bag_make(7);
    mtl_dataset *d[2] = {dense_data(b, NULL), sparse_data(b, NULL)};
    mtl_model *m[2], *fresh = model_of(LINEAR, NULL);
    for (int i = 0; i < 2; i++) {
        m[i] = model_of(LINEAR, NULL);
        done(mtl_model_freeze(m[i], "head.size", 1, err));
        fit(m[i], d[i], "epochs=2 optimizer=sgd scaler=max_abs l2=0 learning_rate=0.1");
        ck_assert(tensor_bits_differ(m[i], fresh, "head.size.weight") == 0);
        ck_assert(tensor_bits_differ(m[i], fresh, "head.word.weight") > 0);
    }
    assert_same_model(m[0], m[1]);
    fit(m[1], d[1], "epochs=2 optimizer=adamw:weight_decay=0.5 l1=0.1 clip_norm=0.1");
    ck_assert(tensor_bits_differ(m[1], fresh, "head.size.weight") == 0);
    for (int i = 0; i < 2; i++)
        mtl_model_destroy(m[i]), mtl_dataset_destroy(d[i]);
    mtl_model_destroy(fresh);
    bag_free(b);
}
END_TEST

/* Lazy Adam with a penalty, written out in double: a linear model, batches in order, the loss of
   standardised targets left aside by scale_targets=0. */
typedef struct adam {
    double w[COLS], m[COLS], v[COLS], bias, bias_m, bias_v;
} adam;

static void move(double *w, double *m, double *v, double g, double step, double rate)
{
    const double b1 = 0.9f, b2 = 0.999f;
    *m = b1 * *m + (1 - b1) * g;
    *v = b2 * *v + (1 - b2) * g * g;
    *w -= rate / (1 - pow(b1, step)) * *m / (sqrt(*v / (1 - pow(b2, step))) + 1e-7);
}

static void adam_step(adam *a, const bag *b, int first, int rows, double step, double rate, double l2)
{
    double g[COLS] = {0}, of_bias = 0;
    bool listed[COLS] = {false};
    for (int r = first; r < first + rows; r++) {
        double z = a->bias;
        for (int64_t i = b->start[r]; i < b->start[r + 1]; i++)
            z += isnan(b->value[i]) ? 0 : a->w[b->column[i]] * (double)b->value[i];
        const double slope = (1 / (1 + exp(-z)) - (double)b->word[r]) / rows;
        of_bias += slope;
        for (int64_t i = b->start[r]; i < b->start[r + 1]; i++) {
            listed[b->column[i]] = true;
            g[b->column[i]] += isnan(b->value[i]) ? 0 : slope * (double)b->value[i];
        }
    }
    for (int j = 0; j < COLS; j++)
        if (listed[j])
            move(&a->w[j], &a->m[j], &a->v[j], g[j] + l2 * a->w[j], step, rate);
    move(&a->bias, &a->bias_m, &a->bias_v, of_bias, step, rate);
}

START_TEST(lazy_adam_by_hand)
{
    enum { BATCH = 6, EPOCHS = 3 };
    bag *b = bag_make(11);
    adam a = {0};
    float w[COLS], bias;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = sparse_data(b, NULL);
    done(mtl_spec_create(NULL, COLS, &s, err));
    done(mtl_spec_add_task(s, "word", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    fit(m, d, "epochs=1 learning_rate=0 scale_inputs=0"); /* draws the weights */
    done(mtl_model_tensor_get(m, "head.word.weight", COLS, w, err));
    for (int j = 0; j < COLS; j++)
        a.w[j] = (double)w[j];
    fit(m, d, "epochs=3 shuffle=0 batch_size=6 learning_rate=0.01 l2=0.1");
    double step = 0;
    for (int e = 0; e < EPOCHS; e++)
        for (int r = 0; r < ROWS; r += BATCH)
            adam_step(&a, b, r, BATCH, ++step, 0.01f, 0.1f);
    done(mtl_model_tensor_get(m, "head.word.weight", COLS, w, err));
    done(mtl_model_tensor_get(m, "head.word.bias", 1, &bias, err));
    for (int j = 0; j < COLS; j++)
        assert_near((double)w[j], a.w[j], 1e-5);
    assert_near((double)bias, a.bias, 1e-5);
    mtl_spec_destroy(s);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    bag_free(b);
}
END_TEST

/* The same bits at all levels and numbers of threads with the rule that is lazy. */
START_TEST(lazy_bits_are_the_same_everywhere)
{
    bag *b = bag_make(5);
    for (int k = 0; k < SHAPES; k++) {
        uint64_t hash[3];
        for (int h = 0; h < 3; h++) {
            mtl_context *ctx = context(everywhere[h]);
            mtl_dataset *d = sparse_data(b, ctx);
            hash[h] = outcome(b, d, (shape)k, ctx,
                              "epochs=3 l2=0.01 clip_norm=0.5 optimizer=rmsprop:momentum=0.5 "
                              "average=ema:decay=0.9",
                              true);
            mtl_dataset_destroy(d);
            mtl_context_destroy(ctx);
        }
        ck_assert(hash[0] == hash[1] && hash[1] == hash[2]);
    }
    bag_free(b);
}
END_TEST

/* The average that rests with its row and catches up is that of all steps, but for rounding: judged
   after every epoch, at the end of a run, and in the middle of an epoch. */
START_TEST(lazy_averages_catch_up)
{
    static const char *const decays[] = {"0.9", "0", "1", "0.999"};
    bag *b = bag_make(14);
    mtl_dataset *d = sparse_data(b, NULL);
    for (int i = 0; i < 4 * SHAPES; i++) {
        float *w[2];
        double loss[2];
        int64_t n = 0;
        for (int lazy = 0; lazy < 2; lazy++) {
            char text[160];
            snprintf(text, sizeof text, "epochs=5 batch_size=5 optimizer=sgd learning_rate=0.05 "
                     "average=ema:decay=%s sparse_update=%s", decays[i % 4], lazy ? "lazy" : "dense");
            mtl_model *m = model_of((shape)(i / 4), NULL);
            mtl_options *o = options(MTL_OPTIONS_FIT, text);
            mtl_trainer *t = NULL;
            done(mtl_trainer_create(m, d, d, o, &t, err));
            done(mtl_trainer_step(t, 61, NULL, err));
            done(mtl_trainer_metric(t, "loss/valid", &loss[lazy], err));
            done(mtl_trainer_finish(t, NULL, err));
            w[lazy] = parameters(m, &n);
            mtl_trainer_destroy(t);
            mtl_options_destroy(o);
            mtl_model_destroy(m);
        }
        assert_near(loss[1], loss[0], 1e-5);
        for (int64_t j = 0; j < n; j++)
            assert_near((double)w[1][j], (double)w[0][j], 2e-6);
        free(w[0]), free(w[1]);
    }
    mtl_dataset_destroy(d);
    bag_free(b);
}
END_TEST

/* ---- Data sets --------------------------------------------------------------------------------- */

static void assert_same_inputs(const mtl_dataset *a, const mtl_dataset *b)
{
    const int64_t rows = mtl_dataset_rows(a);
    ck_assert_int_eq(mtl_dataset_rows(b), rows);
    ck_assert_int_eq(mtl_dataset_inputs(b), mtl_dataset_inputs(a));
    float *x = floats(2 * rows * COLS), *y = x + rows * COLS;
    done(mtl_dataset_get_inputs(a, 0, rows, x, COLS, err));
    done(mtl_dataset_get_inputs(b, 0, rows, y, COLS, err));
    assert_same_bits(x, y, rows * COLS);
    free(x);
}

/* Views and copies, also of each other, have the rows that those of dense data have. */
/* Whoever asks for all columns of some rows gets them as those of dense data. */
START_TEST(rows_can_be_unfolded)
{
    static const int64_t some[] = {3, 77, 7, 3, 12};
    bag *b = bag_make(16);
    mtl_dataset *d[2] = {dense_data(b, NULL), sparse_data(b, NULL)};
    mtl_model *m = model_of(TRUNK, NULL);
    float x[2][5 * COLS];
    int64_t scratch[5];
    fit(m, d[1], "epochs=1");
    for (int by_index = 0; by_index < 2; by_index++) {
        for (int i = 0; i < 2; i++) {
            mtl__binding bound;
            assert_ok(mtl__binding_create(m, d[i], "d", &bound, NULL));
            const mtl__rows rows = {.index = by_index ? some : NULL, .first = 70, .count = 5};
            mtl__binding_inputs(&bound, m, rows, scratch, x[i]);
            mtl__binding_free(&bound);
        }
        assert_same_bits(x[0], x[1], 5 * COLS);
    }
    mtl_model_destroy(m);
    mtl_dataset_destroy(d[0]), mtl_dataset_destroy(d[1]);
    bag_free(b);
}
END_TEST

START_TEST(views_and_copies_have_the_rows)
{
    static const int64_t some[] = {5, 5, 0, 89, 7, 33, 12, 12};
    bag *b = bag_make(6);
    mtl_dataset *part[2][8] = {{NULL}};
    for (int i = 0; i < 2; i++) {
        mtl_dataset *d = i ? sparse_data(b, NULL) : dense_data(b, NULL), **p = part[i];
        done(mtl_dataset_split(d, 0.7, 3, &p[0], &p[1], err));
        done(mtl_dataset_kfold_stratified(d, "kind", 3, 1, 2, &p[2], &p[3], err));
        done(mtl_dataset_subset(d, 8, some, &p[4], err));
        done(mtl_dataset_subset(p[0], 6, (int64_t[]){9, 1, 1, 4, 0, 30}, &p[5], err));
        done(mtl_dataset_copy(p[5], &p[6], err));
        done(mtl_dataset_concat(3, (const mtl_dataset *[]){p[6], d, p[4]}, &p[7], err));
        mtl_dataset_destroy(d);
    }
    for (int k = 0; k < 8; k++) {
        assert_same_inputs(part[0][k], part[1][k]);
        mtl_dataset_destroy(part[0][k]);
    }
    /* A copy outlives what was borrowed. */
    float x[6 * COLS], y[6 * COLS];
    done(mtl_dataset_get_inputs(part[1][6], 0, 6, x, COLS, err));
    memset(b->value, 0, sizeof b->value);
    memset(b->start, 0, sizeof b->start);
    done(mtl_dataset_get_inputs(part[1][6], 0, 6, y, COLS, err));
    assert_same_bits(x, y, 6 * COLS);
    for (int k = 0; k < 8; k++)
        mtl_dataset_destroy(part[1][k]);
    bag_free(b);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static const int64_t start[] = {0, 2, 4};
    static const int32_t column[] = {0, 3, 1, 2};
    static const float value[] = {1, 2, 3, 4};
    static const struct {
        int64_t start[3];
        int32_t column[4];
        mtl_status status;
        const char *part;
    } bad[] = {
        {{0, 2, 4}, {3, 0, 1, 2}, MTL_ERR_VALUE, "row 0 has column 0 at offset 1, behind column 3"},
        {{0, 2, 4}, {0, 3, 2, 2}, MTL_ERR_VALUE, "row 1 has column 2 at offset 3, behind column 2"},
        {{0, 2, 4}, {0, 4, 1, 2}, MTL_ERR_RANGE, "row 0 has column 4 at offset 1, outside of 0 .. 3"},
        {{0, 2, 4}, {0, 3, -1, 2}, MTL_ERR_RANGE, "row 1 has column -1"},
        {{0, 2, 1}, {0, 3, 1, 2}, MTL_ERR_SHAPE, "row 1 is from 2 to 1"},
        {{-1, 2, 4}, {0, 3, 1, 2}, MTL_ERR_SHAPE, "row 0 is from -1 to 2"},
        {{0, 2, INT64_MAX}, {0, 3, 1, 2}, MTL_ERR_SHAPE, "row 1 is from 2 to 9223372036854775807"},
        {{INT64_MIN, 2, 4}, {0, 3, 1, 2}, MTL_ERR_SHAPE, "row 0"},
    };
    mtl_dataset *d = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    float out[2];
    done(mtl_spec_create(NULL, 4, &s, err));
    done(mtl_spec_add_task(s, "t", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(mtl_dataset_create_csr(NULL, 2, 4, bad[i].start, bad[i].column, value, &d, err),
                bad[i].status, bad[i].part);
        refused(mtl_predict_csr(m, 2, bad[i].start, bad[i].column, value, out, 1, err),
                bad[i].status, bad[i].part);
    }
    refused(mtl_dataset_create_csr(NULL, -1, 4, start, column, value, &d, err), MTL_ERR_SHAPE, "-1");
    refused(mtl_dataset_create_csr(NULL, INT64_MAX, 4, start, column, value, &d, err), MTL_ERR_SHAPE,
            "rows");
    refused(mtl_dataset_create_csr(NULL, 2, 0, start, column, value, &d, err), MTL_ERR_SHAPE, "0");
    refused(mtl_dataset_create_csr(NULL, 2, 1LL << 31, start, column, value, &d, err), MTL_ERR_SHAPE,
            "2147483648");
    refused(mtl_dataset_create_csr(NULL, 2, 4, NULL, column, value, &d, err), MTL_ERR_INVALID,
            "indptr");
    refused(mtl_dataset_create_csr(NULL, 2, 4, start, NULL, value, &d, err), MTL_ERR_INVALID,
            "indices");
    refused(mtl_dataset_create_csr(NULL, 2, 4, start, column, NULL, &d, err), MTL_ERR_INVALID,
            "values");
    refused(mtl_dataset_create_csr(NULL, 2, 4, start, column, value, NULL, err), MTL_ERR_INVALID,
            "out");
    refused(mtl_predict_csr(NULL, 2, start, column, value, out, 1, err), MTL_ERR_INVALID, "model");
    refused(mtl_predict_csr(m, 2, start, column, value, out, 0, err), MTL_ERR_SHAPE, "out");
    ck_assert_ptr_null(d);
    /* Nothing is a data set too, and rows without values need no arrays. */
    done(mtl_dataset_create_csr(NULL, 0, 4, NULL, NULL, NULL, &d, err));
    refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_DATA, "no rows");
    mtl_dataset_destroy(d);
    done(mtl_predict_csr(m, 0, NULL, NULL, NULL, NULL, 1, err));
    done(mtl_predict_csr(m, 2, (int64_t[3]){0}, NULL, NULL, out, 1, err));
    ck_assert(out[0] == 0.5f && out[1] == 0.5f);
    mtl_spec_destroy(s);
    mtl_model_destroy(m);
}
END_TEST

/* An infinite value is named by row and column. */
START_TEST(infinite_values_are_named)
{
    bag *b = bag_make(3);
    mtl_dataset *d = sparse_data(b, NULL);
    mtl_model *m = model_of(TRUNK, NULL);
    char part[64];
    b->value[b->start[20]] = INFINITY;
    snprintf(part, sizeof part, "row 20, column %d is inf", (int)b->column[b->start[20]]);
    refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_VALUE, part);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    bag_free(b);
}
END_TEST

/* ---- Models that cannot have them -------------------------------------------------------------- */

static mtl_status add_obstacle(mtl_spec *s, int which)
{
    return which == 0   ? mtl_spec_add_dropout(s, 0.5, NULL)
           : which == 1 ? mtl_spec_add_norm(s, "layer", NULL)
           : which == 2 ? mtl_spec_add_embedding(s, 3, 5, 2, NULL)
                        : mtl_spec_set_missing_indicators(s, 1, NULL);
}

START_TEST(models_that_need_dense_inputs_say_so)
{
    static const char *const part[] = {"dropout on", "layer_norm on", "embedding on", "indicators",
                                       "residual on"};
    bag *b = bag_make(3);
    mtl_dataset *d = sparse_data(b, NULL);
    float out[ROWS * 8];
    for (int i = 0; i < 5; i++) {
        mtl_spec *s = NULL;
        mtl_model *m = NULL;
        done(mtl_spec_create(NULL, COLS, &s, err));
        if (i < 4)
            done(add_obstacle(s, i));
        done(mtl_spec_add_dense(s, COLS, "relu", err));
        if (i == 4)
            done(mtl_spec_add_residual(s, 1, err));
        done(mtl_spec_add_task(s, "word", MTL_BINARY, 1, err));
        done(mtl_model_create(s, &m, err));
        refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_STATE, part[i]);
        refused(mtl_fit(m, d, NULL, NULL, NULL, err), MTL_ERR_STATE, "train: sparse inputs");
        refused(mtl_predict_csr(m, ROWS, b->start, b->column, b->value, out, 1, err), MTL_ERR_STATE,
                part[i]);
        mtl_spec_destroy(s);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    bag_free(b);
}
END_TEST

START_TEST(what_moves_zeros_is_refused)
{
    static const char *const scaler[] = {"standard", "robust", "min_max"};
    bag *b = bag_make(3);
    mtl_dataset *sparse = sparse_data(b, NULL), *dense = dense_data(b, NULL), *both = NULL;
    mtl_model *m = model_of(TRUNK, NULL);
    const uint64_t before = model_hash(m);
    float out[ROWS * 8];
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1");
    for (int i = 0; i < 3; i++) {
        done(mtl_options_set_str(o, "scaler", scaler[i], err));
        refused(mtl_fit(m, sparse, NULL, o, NULL, err), MTL_ERR_STATE, "max_abs");
    }
    done(mtl_options_set_str(o, "scaler", "auto", err));
    done(mtl_options_set_str(o, "weighting", "upgrad", err));
    refused(mtl_fit(m, sparse, NULL, o, NULL, err), MTL_ERR_INVALID, "weighting_scope = features");
    refused(mtl_dataset_add_rows(sparse, "word", 1, b->x, COLS, 1, b->word, 1, err), MTL_ERR_STATE,
            "sparse");
    refused(mtl_dataset_concat(2, (const mtl_dataset *[]){dense, sparse}, &both, err),
            MTL_ERR_INVALID, "part 1: its inputs are sparse, those of part 0 dense");
    refused(mtl_fit(m, dense, sparse, NULL, NULL, err), MTL_ERR_STATE, "valid: sparse");
    ck_assert(model_hash(m) == before);
    fit(m, dense, "epochs=1"); /* standard scaling */
    refused(mtl_fit(m, sparse, NULL, NULL, NULL, err), MTL_ERR_STATE, "moves 0");
    refused(mtl_predict_csr(m, ROWS, b->start, b->column, b->value, out, 7, err), MTL_ERR_STATE,
            "moves 0");
    mtl_options_destroy(o);
    mtl_dataset_destroy(sparse), mtl_dataset_destroy(dense);
    mtl_model_destroy(m);
    bag_free(b);
}
END_TEST

/* ---- Around a fit ------------------------------------------------------------------------------ */

START_TEST(files_calibration_and_validation_serve_both)
{
    bag *b = bag_make(8);
    mtl_dataset *sparse = sparse_data(b, NULL), *dense = dense_data(b, NULL);
    mtl_model *m[2] = {model_of(TRUNK, NULL), model_of(TRUNK, NULL)}, *read = NULL;
    mtl_report *r[2] = {NULL};
    void *file = NULL;
    int64_t bytes = 0;
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=4 patience=2");
    for (int i = 0; i < 2; i++) { /* judged on the one or the other */
        done(mtl_fit(m[i], sparse, i ? sparse : dense, o, &r[i], err));
        done(mtl_model_calibrate(m[i], i ? sparse : dense, NULL, NULL, err));
    }
    ck_assert(figure(r[0], "loss/valid") == figure(r[1], "loss/valid"));
    assert_same_model(m[0], m[1]);
    ck_assert(predictions(b, m[0], false) == predictions(b, m[1], true));
    done(mtl_model_save_buffer(m[1], &file, &bytes, err));
    done(mtl_model_load_buffer(NULL, file, bytes, &read, err));
    ck_assert(predictions(b, read, true) == predictions(b, m[0], false));
    mtl_free(file);
    mtl_options_destroy(o);
    for (int i = 0; i < 2; i++)
        mtl_model_destroy(m[i]), mtl_report_destroy(r[i]);
    mtl_model_destroy(read);
    mtl_dataset_destroy(sparse), mtl_dataset_destroy(dense);
    bag_free(b);
}
END_TEST

static const char *const resumed[] = {
    "epochs=3 batch_size=16 validation_split=0.2 patience=3 clip_norm=1 average=swa:start=0.3 "
    "learning_rate=0.02",
    "epochs=3 batch_size=16 validation_split=0.2 average=ema:decay=0.8 learning_rate=0.02",
};

/* Stopped at every step, taken up again: the bits of a run that was not. */
START_TEST(runs_are_taken_up_at_any_step)
{
    bag *b = bag_make(9);
    temp_file file = temp_file_make("", 0);
    mtl_dataset *d = sparse_data(b, NULL), *other = NULL;
    mtl_model *whole = model_of(WIDE_AND_DEEP, NULL);
    mtl_options *o = options(MTL_OPTIONS_FIT, resumed[_i]);
    done(mtl_fit(whole, d, NULL, o, NULL, err));
    for (int64_t steps = 1; steps < 15; steps++) {
        mtl_model *m = model_of(WIDE_AND_DEEP, NULL), *out = NULL;
        mtl_trainer *t = NULL;
        done(mtl_trainer_create(m, d, NULL, o, &t, err));
        done(mtl_trainer_step(t, steps, NULL, err));
        done(mtl_trainer_checkpoint(t, file.path, err));
        mtl_trainer_destroy(t);
        done(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err));
        assert_same_model(out, whole);
        mtl_model_destroy(m), mtl_model_destroy(out);
    }
    mtl_model *out = NULL;
    b->value[b->start[30]] += 1;
    refused(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err), MTL_ERR_DATA, "train");
    b->value[b->start[30]] -= 1;
    b->column[b->start[31] - 1]++;
    done(mtl_dataset_create_csr(NULL, ROWS, COLS + 1, b->start, b->column, b->value, &other, err));
    refused(mtl_resume(NULL, file.path, d, NULL, NULL, &out, NULL, err), MTL_ERR_DATA, "train");
    mtl_dataset_destroy(d), mtl_dataset_destroy(other);
    mtl_options_destroy(o);
    mtl_model_destroy(whole);
    unlink(file.path);
    bag_free(b);
}
END_TEST

START_TEST(a_transfer_takes_them)
{
    bag *b = bag_make(10);
    mtl_dataset *all[2] = {dense_data(b, NULL), sparse_data(b, NULL)}, *target[2];
    mtl_model *m = model_of(TRUNK, NULL), *out[2] = {NULL}, *none = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "epochs=2 strategy=lp_ft optimizer=sgd");
    float label[20];
    for (int i = 0; i < 20; i++)
        label[i] = (float)(i % 3 == 0);
    fit(m, all[1], "epochs=2");
    for (int i = 0; i < 2; i++) {
        int64_t rows[20];
        for (int r = 0; r < 20; r++)
            rows[r] = 2 * r;
        done(mtl_dataset_subset(all[i], 20, rows, &target[i], err));
        done(mtl_dataset_set_labels(target[i], "new", 1, label, 1, err));
        done(mtl_transfer(m, target[i], all[i], o, &out[i], NULL, err));
    }
    assert_same_model(out[0], out[1]);
    refused(mtl_transfer(m, target[1], all[0], o, &none, NULL, err), MTL_ERR_INVALID, "sparse");
    done(mtl_options_set_str(o, "strategy", "scratch", err));
    done(mtl_transfer(m, target[1], NULL, o, &none, NULL, err));
    mtl_options_destroy(o);
    for (int i = 0; i < 2; i++) {
        mtl_model_destroy(out[i]);
        mtl_dataset_destroy(all[i]), mtl_dataset_destroy(target[i]);
    }
    mtl_model_destroy(m), mtl_model_destroy(none);
    bag_free(b);
}
END_TEST

/* A mean of models takes them where every member does. */
START_TEST(averages_of_models_take_them)
{
    bag *b = bag_make(15);
    mtl_dataset *sparse = sparse_data(b, NULL), *dense = dense_data(b, NULL);
    mtl_model *m[3], *mean = NULL, *other = NULL;
    mtl_report *r[2] = {NULL};
    float out[ROWS * 8];
    for (int i = 0; i < 3; i++) {
        m[i] = model_of(i ? TRUNK : WIDE_AND_DEEP, NULL);
        fit(m[i], i < 2 ? sparse : dense, "epochs=2");
    }
    done(mtl_model_create_average((const mtl_model *[]){m[0], m[1]}, 2, NULL, &mean, err));
    done(mtl_model_create_average((const mtl_model *[]){m[0], m[2]}, 2, NULL, &other, err));
    ck_assert(predictions(b, mean, true) == predictions(b, mean, false));
    done(mtl_evaluate(mean, sparse, NULL, &r[0], err));
    done(mtl_evaluate(mean, dense, NULL, &r[1], err));
    ck_assert(figure(r[0], "loss") == figure(r[1], "loss"));
    refused(mtl_predict_csr(other, ROWS, b->start, b->column, b->value, out, 8, err), MTL_ERR_STATE,
            "moves 0");
    for (int i = 0; i < 3; i++)
        mtl_model_destroy(m[i]);
    mtl_report_destroy(r[0]), mtl_report_destroy(r[1]);
    mtl_model_destroy(mean), mtl_model_destroy(other);
    mtl_dataset_destroy(sparse), mtl_dataset_destroy(dense);
    bag_free(b);
}
END_TEST

START_TEST(streams_of_batches_and_rate_finding)
{
    bag *b = bag_make(12);
    mtl_dataset *d[2] = {dense_data(b, NULL), sparse_data(b, NULL)};
    mtl_model *m[2];
    mtl_report *r[2] = {NULL};
    mtl_options *o = options(MTL_OPTIONS_FIT, "optimizer=adagrad scaler=max_abs");
    for (int i = 0; i < 2; i++) {
        m[i] = model_of(TRUNK, NULL);
        done(mtl_partial_fit(m[i], d[i], o, NULL, err));
        done(mtl_partial_fit(m[i], d[i], o, NULL, err));
        done(mtl_lr_find(m[i], d[i], o, &r[i], err));
    }
    assert_same_model(m[0], m[1]);
    ck_assert(figure(r[0], "loss") == figure(r[1], "loss"));
    mtl_options_destroy(o);
    for (int i = 0; i < 2; i++)
        mtl_model_destroy(m[i]), mtl_report_destroy(r[i]), mtl_dataset_destroy(d[i]);
    bag_free(b);
}
END_TEST

START_TEST(a_step_takes_no_memory)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=2");
    bag *b = bag_make(13);
    mtl_dataset *d = sparse_data(b, ctx);
    mtl_model *m = model_of(WIDE_AND_DEEP, ctx);
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=4 batch_size=8 clip_norm=1");
    mtl_trainer *run = NULL;
    done(mtl_trainer_create(m, d, d, o, &run, err));
    const long long before = atomic_load(&t.calls);
    done(mtl_trainer_step(run, 30, NULL, err));
    ck_assert_int_eq(atomic_load(&t.calls), before);
    mtl_trainer_destroy(run);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
    bag_free(b);
}
END_TEST

/* ---- A problem with many columns --------------------------------------------------------------- */

enum { WORDS = 20000, TEXTS = 1500, LENGTH = 30 };

/* Texts of two topics: half of the words of a text are of its topic. */
START_TEST(topics_are_learned)
{
    int64_t *start = calloc(TEXTS + 1, sizeof *start);
    int32_t *column = calloc(TEXTS * LENGTH, sizeof *column);
    float *value = floats(TEXTS * LENGTH), *topic = floats(TEXTS);
    uint64_t seed = 5;
    for (int r = 0; r < TEXTS; r++) {
        topic[r] = (float)(next_u32(&seed) % 2);
        int64_t at = -1;
        for (int i = 0; i < LENGTH; i++) {
            at += 1 + next_u32(&seed) % (WORDS / LENGTH - 2);
            if (at % 2 != (int64_t)topic[r] && next_u32(&seed) % 2)
                at++; /* words of odd number are those of topic 1 */
            column[r * LENGTH + i] = (int32_t)at;
            value[r * LENGTH + i] = 1;
        }
        start[r + 1] = (r + 1) * LENGTH;
    }
    mtl_dataset *d = NULL, *train = NULL, *test = NULL;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    done(mtl_dataset_create_csr(NULL, TEXTS, WORDS, start, column, value, &d, err));
    done(mtl_dataset_set_labels(d, "topic", 1, topic, 1, err));
    done(mtl_dataset_split_stratified(d, "topic", 0.8, 1, &train, &test, err));
    done(mtl_spec_create(NULL, WORDS, &s, err));
    done(mtl_spec_add_dense(s, 16, "relu", err));
    done(mtl_spec_add_task(s, "topic", MTL_BINARY, 1, err));
    done(mtl_model_create(s, &m, err));
    fit(m, train, "epochs=4 learning_rate=0.003");
    done(mtl_evaluate(m, test, NULL, &r, err));
    ck_assert_msg(figure(r, "metric/accuracy/topic") > 0.9, "accuracy %g",
                  figure(r, "metric/accuracy/topic"));
    mtl_report_destroy(r);
    mtl_spec_destroy(s);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d), mtl_dataset_destroy(train), mtl_dataset_destroy(test);
    free(start), free(column), free(value), free(topic);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sparse");
    add_case(s, "the dense rule has the bits of dense inputs",
             the_dense_rule_has_the_bits_of_dense_inputs);
    add_case(s, "the lazy rule is the dense one for sgd and adagrad",
             the_lazy_rule_is_the_dense_one_where_it_says_so);
    add_case(s, "slices of the heads can be frozen", slices_can_be_frozen);
    add_case(s, "lazy Adam equals Adam of the listed columns written out in double",
             lazy_adam_by_hand);
    add_case(s, "the lazy rule has the same bits everywhere", lazy_bits_are_the_same_everywhere);
    add_case(s, "averages catch up with rows that rested", lazy_averages_catch_up);
    add_case(s, "rows can be unfolded", rows_can_be_unfolded);
    add_case(s, "views and copies have the rows", views_and_copies_have_the_rows);
    add_case(s, "rows that cannot be are refused", what_cannot_be_is_refused);
    add_case(s, "infinite values are named", infinite_values_are_named);
    add_case(s, "models that need dense inputs say so", models_that_need_dense_inputs_say_so);
    add_case(s, "what moves zeros is refused", what_moves_zeros_is_refused);
    add_case(s, "files, calibration and validation serve both",
             files_calibration_and_validation_serve_both);
    TCase *tc = tcase_create("runs are taken up at any step");
    tcase_add_loop_test(tc, runs_are_taken_up_at_any_step, 0, 2);
    suite_add_tcase(s, tc);
    add_case(s, "a transfer takes them", a_transfer_takes_them);
    add_case(s, "averages of models take them", averages_of_models_take_them);
    add_case(s, "partial fits and the rate finder take them", streams_of_batches_and_rate_finding);
    add_case(s, "a step takes no memory", a_step_takes_no_memory);
    add_case(s, "topics are learned from words", topics_are_learned);
    return run_suite(s);
}
