/* SPDX-License-Identifier: MIT */
/* Memory that runs out at any point of a call, once or for good: MTL_ERR_NOMEM, nothing lost, nothing
   changed, and the next try gives the bits of a run that was never disturbed. */
#include "api_testing.h"

/* A context's memory: call number fail_at of test_memory fails, and all later ones unless `once`. */
typedef struct failing {
    test_memory memory;
    bool once;
} failing;

static void *failing_alloc(size_t bytes, size_t align, void *user)
{
    failing *f = user;
    void *p = test_alloc(bytes, align, &f->memory);
    if (!p && f->once)
        f->memory.fail_at = 0;
    return p;
}

static void failing_free(void *p, size_t bytes, size_t align, void *user)
{
    failing *f = user;
    test_free(p, bytes, align, &f->memory);
}

/* What the calls work on; all of it from the failing context. */
typedef struct scene {
    failing f;
    mtl_context *ctx;
    problem p;
    mtl_dataset *data, *valid, *target, *domain;
    mtl_spec *spec;
    mtl_model *model; /* fitted */
    mtl_options *fit, *transfer, *choose, *evaluate;
    mtl_options *statistics, *mmd;
    void *file;
    int64_t file_bytes;
    float *out;
    char path[64];
} scene;

static void scene_make(scene *s)
{
    *s = (scene){.p = problem_make(40, 3, 10), .ctx = context("threads=2")};
    done(mtl_context_set_allocator(s->ctx, failing_alloc, failing_free, &s->f, err));
    s->data = problem_data(&s->p, s->ctx);
    s->valid = problem_data(&s->p, s->ctx);
    done(mtl_dataset_set_input_names(s->data, PROBLEM_INPUTS,
                                     (const char *const[]){"a", "b", "c", "d", "e", "f"}, err));
    done(mtl_dataset_create(s->ctx, s->p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "new", 1, s->p.hours, 2, err));
    done(mtl_dataset_set_labels(s->target, "newer", 2, s->p.tags, 2, err));
    done(mtl_dataset_set_labels(s->target, "newest", 1, s->p.fails, 1, err));
    done(mtl_dataset_create(s->ctx, s->p.x, 20, PROBLEM_INPUTS, PROBLEM_INPUTS, &s->domain, err));
    done(mtl_dataset_set_labels(s->domain, "grade", 1, s->p.grade, 1, err));
    s->spec = problem_spec(s->ctx);
    s->model = problem_model(s->ctx);
    fit(s->model, s->data, "epochs=2 scaler=quantile");
    s->fit = options(MTL_OPTIONS_FIT, "epochs=2 seed=3 validation_split=0.25 patience=9 "
                                      "train_metrics=1 validation=random average=ema "
                                      "optimizer=adamw:amsgrad=1 clip_norm=1 "
                                      "schedule=plateau groups=head.fails:rate=2 scaler=robust_clip");
    s->transfer = options(MTL_OPTIONS_TRANSFER, "strategy=lp_ft epochs=2 seed=1");
    s->choose = options(MTL_OPTIONS_TRANSFER, "strategy=stacked folds=2");
    s->statistics = options(MTL_OPTIONS_TRANSFER, "strategy=statistics");
    s->mmd = options(MTL_OPTIONS_TRANSFER, "strategy=mmd epochs=1");
    s->evaluate = options(MTL_OPTIONS_EVALUATE, "");
    done(mtl_options_set_str(s->evaluate, "metrics",
                             "auto mcc precision ece average_precision median_error", err));
    done(mtl_model_save_buffer(s->model, &s->file, &s->file_bytes, err));
    s->out = floats(s->p.rows * 8);
    strcpy(s->path, "/tmp/mtl_alloc_XXXXXX");
    close(mkstemp(s->path));
}

static void scene_free(scene *s)
{
    mtl_free(s->file);
    mtl_options_destroy(s->fit), mtl_options_destroy(s->transfer), mtl_options_destroy(s->choose), mtl_options_destroy(s->evaluate);
    mtl_options_destroy(s->statistics), mtl_options_destroy(s->mmd);
    mtl_model_destroy(s->model);
    mtl_spec_destroy(s->spec);
    mtl_dataset_destroy(s->data), mtl_dataset_destroy(s->valid), mtl_dataset_destroy(s->target), mtl_dataset_destroy(s->domain);
    mtl_context_destroy(s->ctx);
    ck_assert_int_eq(s->f.memory.live, 0);
    problem_free(&s->p);
    free(s->out);
    unlink(s->path);
}

/* The n-th allocation from now on fails; 0 = none. */
static void arm(scene *s, long long n)
{
    s->f.memory.calls = 0;
    s->f.memory.fail_at = n;
}

/* One call: *hash says what it made; nothing of it is left behind. */
typedef mtl_status call_fn(scene *s, uint64_t *hash, mtl_error *err);

static uint64_t take_model(scene *s, mtl_model *m)
{
    s->f.memory.fail_at = 0; /* looking at the result is not part of the call */
    uint64_t hash = model_hash(m) ^ predict_hash(m, &s->p);
    mtl_model_destroy(m);
    return hash;
}

static uint64_t take_data(mtl_dataset *d)
{
    float x[64 * PROBLEM_INPUTS];
    int64_t rows = mtl_dataset_rows(d);
    ck_assert_int_le(rows, 64);
    done(mtl_dataset_get_inputs(d, 0, rows, x, PROBLEM_INPUTS, err));
    mtl_dataset_destroy(d);
    return hash_bytes(HASH_START, x, (size_t)(rows * PROBLEM_INPUTS) * sizeof *x);
}

static mtl_status spec_calls(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_status st = mtl_spec_create(s->ctx, 4, &spec, err);
    if (st == MTL_OK)
        st = mtl_spec_add_embedding(spec, 1, 5, 2, err);
    if (st == MTL_OK)
        st = mtl_spec_add_numeric_embedding(spec, "plr:size=3", 0, NULL, err);
    for (int i = 0; i < 6 && st == MTL_OK; i++)
        st = mtl_spec_add_dense(spec, 3 + i, "relu", err);
    if (st == MTL_OK)
        st = mtl_spec_add_norm(spec, "batch", err);
    if (st == MTL_OK)
        st = mtl_spec_set_ensemble(spec, 3, "tabm", err);
    if (st == MTL_OK)
        st = mtl_spec_add_residual(spec, 1, err);
    for (int i = 0; i < 6 && st == MTL_OK; i++)
        st = mtl_spec_add_task(spec, (char[]){(char)('a' + i), 0}, MTL_BINARY, 1, err);
    if (st == MTL_OK)
        st = mtl_spec_task_set_str(spec, "c", "head", "4:relu,4:relu,4:relu,4:relu,4:relu", err);
    if (st == MTL_OK)
        st = mtl_spec_task_set_str(spec, "c", "head", "5:tanh", err);
    *hash = 0;
    mtl_spec_destroy(spec);
    return st;
}

static mtl_status model_create(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_status st = mtl_model_create(s->spec, &m, err);
    ck_assert((st == MTL_OK) == (m != NULL));
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status model_clone(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_status st = mtl_model_clone(s->model, &m, err);
    ck_assert((st == MTL_OK) == (m != NULL));
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status add_product(scene *s, uint64_t *hash, mtl_error *err)
{
    static const float a[PROBLEM_INPUTS] = {1, 2}, b[12] = {3, 4};
    mtl_model *m = NULL;
    mtl_status st = mtl_model_clone(s->model, &m, err);
    if (st == MTL_OK)
        st = mtl_model_tensor_add_product(m, "trunk.0.weight", 1, 1, a, b, err);
    if (st == MTL_OK)
        *hash = take_model(s, m);
    else
        mtl_model_destroy(m);
    return st;
}

static mtl_status model_summary(scene *s, uint64_t *hash, mtl_error *err)
{
    char *text = NULL;
    mtl_status st = mtl_model_summary(s->model, &text, err);
    ck_assert((st == MTL_OK) == (text != NULL));
    if (text)
        *hash = hash_bytes(HASH_START, text, strlen(text));
    mtl_free(text);
    return st;
}

static mtl_status predict(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_status st = mtl_predict(s->model, s->p.rows, s->p.x, PROBLEM_INPUTS, s->out, 8, err);
    if (st == MTL_OK)
        *hash = hash_bytes(HASH_START, s->out, (size_t)(s->p.rows * 8) * sizeof *s->out);
    return st;
}

static mtl_status predictor(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_predictor *p = NULL;
    mtl_status st = mtl_predictor_create(s->model, 7, &p, err);
    ck_assert((st == MTL_OK) == (p != NULL));
    if (st == MTL_OK)
        st = mtl_predictor_run(p, s->p.rows, s->p.x, PROBLEM_INPUTS, s->out, 8, err);
    if (st == MTL_OK)
        *hash = hash_bytes(HASH_START, s->out, (size_t)(s->p.rows * 8) * sizeof *s->out);
    mtl_predictor_destroy(p);
    return st;
}

static mtl_status save_buffer(scene *s, uint64_t *hash, mtl_error *err)
{
    void *buffer = NULL;
    int64_t bytes = 0;
    mtl_status st = mtl_model_save_buffer(s->model, &buffer, &bytes, err);
    ck_assert((st == MTL_OK) == (buffer != NULL));
    *hash = hash_bytes(HASH_START, buffer, (size_t)bytes);
    mtl_free(buffer);
    return st;
}

static mtl_status load_buffer(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_status st = mtl_model_load_buffer(s->ctx, s->file, s->file_bytes, &m, err);
    ck_assert((st == MTL_OK) == (m != NULL));
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status save_and_load(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_status st = mtl_model_save(s->model, s->path, err);
    if (st == MTL_OK)
        st = mtl_model_load(s->ctx, s->path, &m, err);
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status data_calls(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_dataset *a = NULL, *b = NULL, *c = NULL, *d = NULL, *e = NULL;
    mtl_status st = mtl_dataset_split(s->data, 0.5, 3, &a, &b, err);
    if (st == MTL_OK)
        st = mtl_dataset_concat(2, (const mtl_dataset *[]){b, a}, &c, err);
    if (st == MTL_OK)
        st = mtl_dataset_copy(s->valid, &d, err);
    if (st == MTL_OK)
        st = mtl_dataset_subset(d, 3, (int64_t[]){2, 1, 2}, &e, err);
    if (st == MTL_OK)
        st = mtl_dataset_add_rows(e, "more", 2, s->p.x, PROBLEM_INPUTS, 1, s->p.fails, 1, err);
    if (st == MTL_OK)
        st = mtl_dataset_set_labels(d, "late", 1, s->p.fails, 1, err);
    mtl_dataset_destroy(a), mtl_dataset_destroy(b), mtl_dataset_destroy(d);
    s->f.memory.fail_at = st == MTL_OK ? 0 : s->f.memory.fail_at;
    if (st == MTL_OK)
        *hash = take_data(c) ^ take_data(e);
    else
        mtl_dataset_destroy(c), mtl_dataset_destroy(e);
    return st;
}

static mtl_status stratified(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_dataset *a = NULL, *b = NULL;
    mtl_status st = mtl_dataset_split_stratified(s->data, "grade", 0.5, 3, &a, &b, err);
    ck_assert((st == MTL_OK) == (a && b) && !a == !b);
    if (a)
        *hash = take_data(a) ^ take_data(b);
    return st;
}

static mtl_status made_data(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_dataset *d = NULL;
    mtl_status st = mtl_dataset_make_classification(s->ctx, NULL, &d, err);
    ck_assert((st == MTL_OK) == (d != NULL));
    *hash = 0;
    mtl_dataset_destroy(d);
    return st;
}

/* Of a model that is to be trained: refused, it is as it was; it is trained on afterwards. */
static mtl_status fit_once(scene *s, mtl_model *m, const mtl_dataset *valid, uint64_t *hash,
                           mtl_error *err)
{
    long long fail_at = s->f.memory.fail_at;
    mtl_report *r = NULL;
    s->f.memory.fail_at = 0;
    uint64_t before = model_hash(m) ^ predict_hash(m, &s->p);
    arm(s, fail_at);
    mtl_status st = mtl_fit(m, s->data, valid, s->fit, &r, err);
    ck_assert((st == MTL_OK) == (r != NULL));
    s->f.memory.fail_at = 0;
    uint64_t after = model_hash(m) ^ predict_hash(m, &s->p);
    if (st == MTL_OK)
        *hash = after;
    else
        ck_assert_msg(after == before, "call %lld failed and the model changed", fail_at);
    mtl_report_destroy(r);
    return st;
}

/* The model comes from a file: without the failing calls of its making. */
static mtl_model *model_of_file(scene *s, bool fresh)
{
    long long fail_at = s->f.memory.fail_at;
    mtl_model *m = NULL;
    s->f.memory.fail_at = 0;
    if (fresh)
        done(mtl_model_create(s->spec, &m, err));
    else
        done(mtl_model_load_buffer(s->ctx, s->file, s->file_bytes, &m, err));
    s->f.memory.fail_at = fail_at;
    return m;
}

static mtl_status fit_fresh(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = model_of_file(s, true);
    mtl_status st = fit_once(s, m, NULL, hash, err);
    if (st != MTL_OK) { /* the retry, undisturbed, on the very same handle */
        uint64_t retry = 0;
        ck_assert_int_eq(fit_once(s, m, NULL, &retry, NULL), MTL_OK);
        *hash = retry;
    }
    mtl_model_destroy(m);
    return st;
}

static mtl_status fit_again(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = model_of_file(s, false);
    mtl_status st = fit_once(s, m, s->valid, hash, err);
    if (st != MTL_OK) {
        uint64_t retry = 0;
        ck_assert_int_eq(fit_once(s, m, s->valid, &retry, NULL), MTL_OK);
        *hash = retry;
    }
    mtl_model_destroy(m);
    return st;
}

/* By parts, with a checkpoint, which is then taken up. */
static mtl_status trainer(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = model_of_file(s, false), *out = NULL;
    mtl_trainer *t = NULL;
    mtl_report *r = NULL;
    mtl_status st = mtl_trainer_create(m, s->data, NULL, s->fit, &t, err);
    ck_assert((st == MTL_OK) == (t != NULL));
    if (st == MTL_OK)
        st = mtl_trainer_step(t, 1, NULL, err);
    if (st == MTL_OK)
        st = mtl_trainer_checkpoint(t, s->path, err);
    mtl_trainer_destroy(t);
    if (st == MTL_OK)
        st = mtl_resume(s->ctx, s->path, s->data, NULL, NULL, &out, &r, err);
    ck_assert((st == MTL_OK) == (r != NULL));
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    if (out)
        *hash = take_model(s, out);
    return st;
}

static mtl_status partial_fit(scene *s, uint64_t *hash, mtl_error *err)
{
    const long long fail_at = s->f.memory.fail_at;
    mtl_model *m = model_of_file(s, true);
    s->f.memory.fail_at = 0;
    uint64_t before = predict_hash(m, &s->p);
    arm(s, fail_at);
    mtl_status st = mtl_partial_fit(m, s->data, NULL, NULL, err);
    if (st != MTL_OK) {
        s->f.memory.fail_at = 0;
        ck_assert_uint_eq(predict_hash(m, &s->p), before);
    }
    if (st == MTL_OK)
        st = mtl_partial_fit(m, s->data, NULL, NULL, err);
    s->f.memory.fail_at = 0;
    *hash = model_hash(m);
    mtl_model_destroy(m);
    return st;
}

static mtl_status lr_find(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_report *r = NULL;
    char *text = NULL;
    mtl_status st = mtl_lr_find(s->model, s->data, s->fit, &r, err);
    ck_assert((st == MTL_OK) == (r != NULL));
    if (st == MTL_OK)
        st = mtl_report_to_json(r, &text, err);
    if (text)
        *hash = hash_bytes(HASH_START, text, strlen(text));
    mtl_free(text);
    mtl_report_destroy(r);
    return st;
}

static mtl_status affinity(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_report *r = NULL;
    char *text = NULL;
    mtl_status st = mtl_task_affinity(s->model, s->data, s->fit, &r, err);
    ck_assert((st == MTL_OK) == (r != NULL));
    if (st == MTL_OK)
        st = mtl_report_to_json(r, &text, err);
    if (text)
        *hash = hash_bytes(HASH_START, text, strlen(text));
    mtl_free(text);
    mtl_report_destroy(r);
    return st;
}

static mtl_status evaluate(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_report *r = NULL;
    char *text = NULL;
    mtl_status st = mtl_evaluate(s->model, s->data, s->evaluate, &r, err);
    ck_assert((st == MTL_OK) == (r != NULL));
    if (st == MTL_OK)
        st = mtl_report_to_json(r, &text, err);
    if (text)
        *hash = hash_bytes(HASH_START, text, strlen(text));
    mtl_free(text);
    mtl_report_destroy(r);
    return st;
}

/* On failure the model is as it was. */
static mtl_status calibrate(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = model_of_file(s, false);
    mtl_report *r = NULL;
    const long long fail_at = s->f.memory.fail_at;
    s->f.memory.fail_at = 0;
    const uint64_t before = predict_hash(m, &s->p);
    arm(s, fail_at);
    mtl_status st = mtl_model_calibrate(m, s->data, NULL, &r, err);
    s->f.memory.fail_at = 0;
    ck_assert((st == MTL_OK) == (r != NULL));
    ck_assert((st == MTL_OK) == (predict_hash(m, &s->p) != before));
    *hash = predict_hash(m, &s->p);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    return st;
}

/* Sparse inputs: a row with each column of its number, and one without; fit, copies, prediction. */
static mtl_status sparse(scene *s, uint64_t *hash, mtl_error *err)
{
    enum { SPARSE_ROWS = PROBLEM_INPUTS + 1 };
    int64_t start[SPARSE_ROWS + 1];
    int32_t column[PROBLEM_INPUTS];
    float value[PROBLEM_INPUTS], out[SPARSE_ROWS * PROBLEM_OUTPUTS] = {0};
    mtl_dataset *d = NULL, *copy = NULL, *both = NULL;
    mtl_model *m = NULL;
    for (int i = 0; i <= SPARSE_ROWS; i++)
        start[i] = i < PROBLEM_INPUTS ? i : PROBLEM_INPUTS;
    for (int i = 0; i < PROBLEM_INPUTS; i++)
        column[i] = i, value[i] = (float)i + 0.5f;
    mtl_status st =
        mtl_dataset_create_csr(s->ctx, SPARSE_ROWS, PROBLEM_INPUTS, start, column, value, &d, err);
    if (st == MTL_OK)
        st = mtl_dataset_set_labels(d, "fails", 1, s->p.fails, 1, err);
    if (st == MTL_OK)
        st = mtl_dataset_copy(d, &copy, err);
    if (st == MTL_OK)
        st = mtl_dataset_concat(2, (const mtl_dataset *[]){copy, d}, &both, err);
    if (st == MTL_OK)
        st = mtl_model_create(s->spec, &m, err);
    if (st == MTL_OK)
        st = mtl_fit(m, both, copy, NULL, NULL, err);
    if (st == MTL_OK)
        st = mtl_predict_csr(m, SPARSE_ROWS, start, column, value, out, PROBLEM_OUTPUTS, err);
    *hash = hash_bytes(HASH_START, out, sizeof out);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d), mtl_dataset_destroy(copy), mtl_dataset_destroy(both);
    return st;
}

static mtl_status transfer(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_status st = mtl_transfer(s->model, s->target, s->data, s->transfer, &m, &r, err);
    ck_assert((st == MTL_OK) == (m != NULL) && !m == !r);
    mtl_report_destroy(r);
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status choose(scene *s, uint64_t *hash, mtl_error *err)
{
    mtl_options *how = s->transfer;
    s->transfer = s->choose;
    mtl_status st = transfer(s, hash, err);
    s->transfer = how;
    return st;
}

static mtl_status by_strategy(scene *s, const char *strategy, uint64_t *hash, mtl_error *err)
{
    ck_assert_int_eq(mtl_options_set_str(s->transfer, "strategy", strategy, NULL), MTL_OK);
    mtl_status st = transfer(s, hash, err);
    ck_assert_int_eq(mtl_options_set_str(s->transfer, "strategy", "lp_ft", NULL), MTL_OK);
    return st;
}

static mtl_status gradual(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "gradual", hash, err);
}

static mtl_status l2_sp(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "l2_sp", hash, err);
}

static mtl_status distil(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "distil", hash, err);
}

static mtl_status ewc(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "ewc", hash, err);
}

static mtl_status bss(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "bss", hash, err);
}

static mtl_status co_tuning(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "co_tuning", hash, err);
}

static mtl_status gated(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "gated", hash, err);
}

static mtl_status lora(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "lora", hash, err);
}

static mtl_status bottleneck(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "bottleneck", hash, err);
}

static mtl_status scored(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_strategy(s, "scored", hash, err);
}

static int32_t stop(int64_t epoch, int64_t step, int64_t steps, double train, double valid, void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return 0;
}

/* One fold, and the model itself. */
static mtl_status by_one_fold(scene *s, const char *text, uint64_t *hash, mtl_error *err)
{
    mtl_options *how = s->transfer;
    s->transfer = options(MTL_OPTIONS_TRANSFER, text);
    ck_assert_int_eq(mtl_options_set_progress(s->transfer, stop, NULL, NULL), MTL_OK);
    mtl_status st = transfer(s, hash, err);
    mtl_options_destroy(s->transfer);
    s->transfer = how;
    return st;
}

static mtl_status wise(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_one_fold(s, "strategy=wise folds=2 epochs=1", hash, err);
}

static mtl_status cut_probe(scene *s, uint64_t *hash, mtl_error *err)
{
    return by_one_fold(s, "strategy=cut_probe folds=2", hash, err);
}

/* Tasks that the model knows, in a new domain. */
static mtl_status to_domain(scene *s, mtl_options *how, uint64_t *hash, mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_status st = mtl_transfer(s->model, s->domain, s->data, how, &m, &r, err);
    ck_assert((st == MTL_OK) == (m != NULL) && !m == !r);
    mtl_report_destroy(r);
    if (m)
        *hash = take_model(s, m);
    return st;
}

static mtl_status domain_statistics(scene *s, uint64_t *hash, mtl_error *err)
{
    return to_domain(s, s->statistics, hash, err);
}

static mtl_status domain_mmd(scene *s, uint64_t *hash, mtl_error *err)
{
    return to_domain(s, s->mmd, hash, err);
}

static mtl_status other_columns(scene *s, uint64_t *hash, mtl_error *err)
{
    const char *const names[] = {"b", "a", "c", "new", "e", "f"};
    mtl_status st = mtl_dataset_set_input_names(s->target, PROBLEM_INPUTS, names, err);
    return st == MTL_OK ? transfer(s, hash, err) : st;
}

static const struct {
    const char *name;
    call_fn *fn;
    int fewest; /* points of failure that there must be at least */
    bool hash_of_retry;
} calls[] = {
    {"spec", spec_calls, 10, false},
    {"model_create", model_create, 10, false},
    {"model_clone", model_clone, 10, false},
    {"model_tensor_add_product", add_product, 10, false},
    {"model_summary", model_summary, 1, false},
    {"predict", predict, 1, false},
    {"predictor", predictor, 3, false},
    {"save_buffer", save_buffer, 3, false},
    {"load_buffer", load_buffer, 10, false},
    {"save and load", save_and_load, 10, false},
    {"data sets", data_calls, 10, false},
    {"split_stratified", stratified, 2, false},
    {"make_classification", made_data, 2, false},
    {"fit of a fresh model", fit_fresh, 15, true},
    {"fit of a fitted model", fit_again, 15, true},
    {"trainer, checkpoint and resume", trainer, 30, false},
    {"partial_fit", partial_fit, 20, false},
    {"lr_find", lr_find, 25, false},
    {"task_affinity", affinity, 25, false},
    {"evaluate", evaluate, 5, false},
    {"calibrate", calibrate, 8, false},
    {"sparse inputs", sparse, 40, false},
    {"transfer", transfer, 20, false},
    {"transfer with a choice", choose, 60, false},
    {"transfer by gradual", gradual, 40, false},
    {"transfer by l2_sp", l2_sp, 40, false},
    {"transfer by distil", distil, 40, false},
    {"transfer by ewc", ewc, 40, false},
    {"transfer by bss", bss, 40, false},
    {"transfer by co_tuning", co_tuning, 40, false},
    {"transfer by gated", gated, 40, false},
    {"transfer by lora", lora, 40, false},
    {"transfer by bottleneck", bottleneck, 40, false},
    {"transfer by scored", scored, 40, false},
    {"transfer by wise", wise, 100, false},
    {"transfer to other columns", other_columns, 50, false},
    {"transfer to a domain, statistics", domain_statistics, 30, false},
    {"transfer to a domain, mmd", domain_mmd, 40, false},
    {"transfer by cut_probe", cut_probe, 40, false},
};

/* Runs one call with its n-th allocation failing; false when there is no such allocation. A call may do
   without memory that only makes it quick, with the same bits. */
static bool run_failing(scene *s, int row, int n, bool once, uint64_t expected)
{
    uint64_t hash = 0;
    long long live = s->f.memory.live;
    mtl_error *err = mtl_error_create();
    arm(s, n);
    s->f.memory.has_failed = false;
    s->f.once = once;
    mtl_status st = calls[row].fn(s, &hash, err);
    s->f.memory.fail_at = 0;
    bool failed = s->f.memory.has_failed;
    const char *how = once ? "once" : "for good";
    ck_assert_msg(st == MTL_OK || (failed && st == MTL_ERR_NOMEM),
                  "%s, allocation %d failed %s: %s (%s)", calls[row].name, n, how, mtl_status_name(st),
                  mtl_error_message(err));
    ck_assert_msg(mtl_error_code(err) == st, "%s, allocation %d: the handle says %s",
                  calls[row].name, n, mtl_status_name(mtl_error_code(err)));
    ck_assert_msg(s->f.memory.live == live, "%s, allocation %d failed %s: %lld blocks lost",
                  calls[row].name, n, how, (long long)s->f.memory.live - live);
    if (st == MTL_OK || calls[row].hash_of_retry)
        ck_assert_msg(hash == expected, "%s: other bits after allocation %d failed %s",
                      calls[row].name, n, how);
    mtl_error_destroy(err);
    return failed;
}

START_TEST(every_allocation)
{
    scene s;
    uint64_t expected = 0, again = 0;
    scene_make(&s);
    ck_assert_int_eq(calls[_i].fn(&s, &expected, NULL), MTL_OK);
    for (int once = 0; once < 2; once++) {
        int n = 1;
        while (run_failing(&s, _i, n, once, expected))
            n = next_failure(n);
        ck_assert_msg(n > calls[_i].fewest, "%s has %d allocations", calls[_i].name, n - 1);
    }
    /* All handles are as usable as before, and give the same bits. */
    ck_assert_int_eq(calls[_i].fn(&s, &again, NULL), MTL_OK);
    ck_assert_uint_eq(again, expected);
    scene_free(&s);
}
END_TEST

START_TEST(first_use_of_a_context)
{
    /* The pool is made with the first handle: that, too, may fail and be tried again. */
    for (int once = 0; once < 2; once++)
        for (int n = 1;; n++) {
            failing f = {.once = once};
            mtl_context *ctx = context("threads=3");
            mtl_spec *spec = NULL;
            done(mtl_context_set_allocator(ctx, failing_alloc, failing_free, &f, err));
            f.memory.fail_at = n;
            mtl_status st = mtl_spec_create(ctx, 3, &spec, NULL);
            f.memory.fail_at = 0;
            bool failed = f.memory.has_failed;
            ck_assert_int_eq(st, failed ? MTL_ERR_NOMEM : MTL_OK);
            if (failed)
                done(mtl_spec_create(ctx, 3, &spec, err));
            mtl_spec_destroy(spec);
            mtl_context_destroy(ctx);
            ck_assert_int_eq(f.memory.live, 0);
            if (!failed) {
                ck_assert_int_gt(n, 2);
                break;
            }
        }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_alloc");
    TCase *tc = tcase_create("any allocation may fail");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_allocation, 0, sizeof calls / sizeof *calls);
    suite_add_tcase(s, tc);
    add_case(s, "the first use of a context may fail", first_use_of_a_context);
    return run_suite(s);
}
