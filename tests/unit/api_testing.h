/* SPDX-License-Identifier: MIT */
/* What the suites of the public header share: calls that must succeed or fail with a message, options
   from one text, a small problem with every kind of task and missing labels, and models by their
   bits. Only functions of mtl.h are called here. */
#ifndef MTL_API_TESTING_H
#define MTL_API_TESTING_H

#include "testing.h"

#include <math.h>

#include <mtl/mtl.h>

/* The call fails with this status, the error handle says the same and its message has this text. */
#define refused(call, expected, part)                                                              \
    do {                                                                                           \
        mtl_error *err = mtl_error_create();                                                       \
        mtl_status got_ = (call);                                                                  \
        ck_assert_msg(got_ == (expected), "%s gave %s, not %s: %s", #call, mtl_status_name(got_),  \
                      mtl_status_name(expected), mtl_error_message(err));                          \
        ck_assert_msg(mtl_error_code(err) == got_, "%s gave %s, the error handle %s", #call,       \
                      mtl_status_name(got_), mtl_status_name(mtl_error_code(err)));                \
        ck_assert_msg(strstr(mtl_error_message(err), (part)) && *mtl_error_message(err),           \
                      "%s: \"%s\" is not in \"%s\"", #call, (part), mtl_error_message(err));       \
        mtl_error_destroy(err);                                                                    \
    } while (0)

/* The call succeeds; if not, its message is shown. The call must name the handle `err`. */
#define done(call)                                                                                 \
    do {                                                                                           \
        mtl_error *err = mtl_error_create();                                                       \
        mtl_status got_ = (call);                                                                  \
        ck_assert_msg(got_ == MTL_OK, "%s gave %s: %s", #call, mtl_status_name(got_),              \
                      mtl_error_message(err));                                                     \
        ck_assert_int_eq(mtl_error_code(err), MTL_OK);                                             \
        mtl_error_destroy(err);                                                                    \
    } while (0)

/* ---- Options ------------------------------------------------------------------------------- */

static inline int32_t option_type(int32_t group, const char *key)
{
    for (int64_t i = 0; i < mtl_option_count(group); i++) {
        const char *name;
        int32_t type;
        done(mtl_option_info(group, i, &name, &type, NULL, NULL, NULL, err));
        if (strcmp(name, key) == 0)
            return type;
    }
    ck_abort_msg("no option \"%s\" in group %d", key, (int)group);
    return 0;
}

/* Options from "epochs=3 shuffle=0 optimizer=adam:eps=1"; the type of each stands in the table. */
static inline void set_options(mtl_options *o, int32_t group, const char *text)
{
    char copy[512];
    ck_assert_uint_lt(strlen(text), sizeof copy);
    strcpy(copy, text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        *value++ = 0;
        int32_t type = option_type(group, word);
        if (type == MTL_TYPE_I64)
            done(mtl_options_set_i64(o, word, strtoll(value, NULL, 10), err));
        else if (type == MTL_TYPE_F64)
            done(mtl_options_set_f64(o, word, strtod(value, NULL), err));
        else
            done(mtl_options_set_str(o, word, value, err));
    }
}

static inline mtl_options *options(int32_t group, const char *text)
{
    mtl_options *o = NULL;
    done(mtl_options_create(group, &o, err));
    set_options(o, group, text);
    return o;
}

static inline mtl_model *transferred(const mtl_model *source, const mtl_dataset *target,
                                     const mtl_dataset *known, const char *text,
                                     mtl_report **report)
{
    mtl_model *m = NULL;
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, text);
    done(mtl_transfer(source, target, known, o, &m, report, err));
    mtl_options_destroy(o);
    return m;
}

static inline mtl_context *context(const char *text)
{
    mtl_context *ctx = NULL;
    mtl_options *o = options(MTL_OPTIONS_CONTEXT, text);
    done(mtl_context_create(o, &ctx, err));
    mtl_options_destroy(o);
    return ctx;
}

/* A context whose memory is counted, checked and made to fail by t. */
static inline mtl_context *counted_context(test_memory *t, const char *text)
{
    mtl_context *ctx = context(text);
    done(mtl_context_set_allocator(ctx, test_alloc, test_free, t, err));
    return ctx;
}

/* ---- A problem ----------------------------------------------------------------------------- */

/* Numbers of our own, so that what a test sees does not follow the library's generator. */
static inline uint32_t next_u32(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static inline float next_unit(uint64_t *state) /* in [-1, 1) */
{
    return (float)next_u32(state) / 1073741824.0f - 1;
}

enum { PROBLEM_INPUTS = 6, PROBLEM_TASKS = 4, PROBLEM_OUTPUTS = 8 };

/* fails (binary), grade (3 classes), tags (2 labels), hours (2 values). */
typedef struct problem {
    int64_t rows;
    float *x, *fails, *grade, *tags, *hours, *weight;
} problem;

static inline float *floats(int64_t n)
{
    float *p = calloc((size_t)n, sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

/* `missing` of 100 label values are NaN; the classes can be learned. */
static inline problem problem_make(int64_t rows, uint64_t seed, int missing)
{
    problem p = {rows,         floats(rows * PROBLEM_INPUTS), floats(rows), floats(rows),
                 floats(2 * rows), floats(2 * rows),              floats(rows)};
    for (int64_t r = 0; r < rows; r++) {
        float *x = p.x + r * PROBLEM_INPUTS;
        for (int j = 0; j < PROBLEM_INPUTS; j++)
            x[j] = 2 * next_unit(&seed);
        p.fails[r] = x[0] + x[1] > 0;
        p.grade[r] = x[2] < -0.6f ? 0 : x[2] < 0.6f ? 1 : 2;
        p.tags[2 * r] = x[0] > x[3];
        p.tags[2 * r + 1] = x[4] * x[1] > 0;
        p.hours[2 * r] = 100 + 20 * x[5] + 5 * x[0];
        p.hours[2 * r + 1] = 0.01f * (x[1] - x[2]);
        p.weight[r] = 0.5f + (float)(next_u32(&seed) % 4);
    }
    float *const label[] = {p.fails, p.grade, p.tags, p.hours};
    for (int t = 0; t < 4; t++)
        for (int64_t i = 0; i < rows * (t < 2 ? 1 : 2); i++)
            if ((int)(next_u32(&seed) % 100) < missing)
                label[t][i] = NAN;
    return p;
}

static inline void problem_free(problem *p)
{
    free(p->x), free(p->fails), free(p->grade), free(p->tags), free(p->hours), free(p->weight);
}

static inline mtl_dataset *problem_data(const problem *p, mtl_context *ctx)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "fails", 1, p->fails, 1, err));
    done(mtl_dataset_set_labels(d, "grade", 1, p->grade, 1, err));
    done(mtl_dataset_set_labels(d, "tags", 2, p->tags, 2, err));
    done(mtl_dataset_set_labels(d, "hours", 2, p->hours, 2, err));
    return d;
}

/* Trunk 12 relu, 7 tanh; "tags" has layers of its own; "hours" weighs a half. */
static inline mtl_spec *problem_spec(mtl_context *ctx)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, PROBLEM_INPUTS, &s, err));
    done(mtl_spec_add_dense(s, 12, "relu", err));
    done(mtl_spec_add_dense(s, 7, "tanh", err));
    done(mtl_spec_add_task(s, "fails", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "tags", MTL_MULTILABEL, 2, err));
    done(mtl_spec_add_task(s, "grade", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, err));
    done(mtl_spec_task_set_str(s, "tags", "head", "5:sigmoid", err));
    done(mtl_spec_task_set_f64(s, "hours", "weight", 0.5, err));
    return s;
}

static inline mtl_model *problem_model(mtl_context *ctx)
{
    mtl_model *m = NULL;
    mtl_spec *s = problem_spec(ctx);
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static inline void fit(mtl_model *m, const mtl_dataset *train, const char *text)
{
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, train, NULL, o, NULL, err));
    mtl_options_destroy(o);
}

/* ---- Models by their bits ------------------------------------------------------------------ */

static inline int64_t tensor_size(const mtl_model *m, int64_t index, const char **name)
{
    int64_t rank, size = 1;
    const int64_t *shape;
    done(mtl_model_tensor_info(m, index, name, &rank, &shape, err));
    for (int64_t i = 0; i < rank; i++)
        size *= shape[i];
    return size;
}

/* All tensors one after the other in the order of their numbers; release with free(). */
static inline float *parameters(const mtl_model *m, int64_t *count)
{
    const char *name;
    int64_t total = 0, at = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++)
        total += tensor_size(m, i, &name);
    float *p = floats(total);
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        int64_t size = tensor_size(m, i, &name);
        done(mtl_model_tensor_get(m, name, size, p + at, err));
        at += size;
    }
    *count = total;
    return p;
}

static inline uint64_t hash_bytes(uint64_t hash, const void *p, size_t n) /* FNV-1a */
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ b[i]) * 0x100000001b3u;
    return hash;
}

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t model_hash(const mtl_model *m)
{
    int64_t n;
    float *p = parameters(m, &n);
    uint64_t hash = hash_bytes(HASH_START, p, (size_t)n * sizeof *p);
    free(p);
    return hash;
}

/* Of all predictions of a data problem: parameters and pipeline together. */
static inline uint64_t predict_hash(const mtl_model *m, const problem *p)
{
    int64_t outputs = mtl_model_outputs(m);
    float *out = floats(p->rows * outputs);
    done(mtl_predict(m, p->rows, p->x, PROBLEM_INPUTS, out, outputs, err));
    uint64_t hash = hash_bytes(HASH_START, out, (size_t)(p->rows * outputs) * sizeof *out);
    free(out);
    return hash;
}

static inline void assert_same_model(const mtl_model *a, const mtl_model *b)
{
    int64_t na, nb;
    float *pa = parameters(a, &na), *pb = parameters(b, &nb);
    ck_assert_int_eq(na, nb);
    assert_same_bits(pa, pb, na);
    free(pa), free(pb);
}

static inline float tensor_bits_differ(const mtl_model *a, const mtl_model *b, const char *name)
{
    float x[4096], y[4096], largest = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(a); i++) {
        const char *found;
        int64_t n = tensor_size(a, i, &found);
        if (strcmp(found, name) != 0)
            continue;
        ck_assert_int_le(n, 4096);
        done(mtl_model_tensor_get(a, name, n, x, err));
        done(mtl_model_tensor_get(b, name, n, y, err));
        for (int64_t j = 0; j < n; j++)
            largest = fmaxf(largest, fabsf(x[j] - y[j]));
        return memcmp(x, y, (size_t)n * sizeof *x) == 0 ? 0 : fmaxf(largest, 1e-45f);
    }
    ck_abort_msg("no tensor %s", name);
    return 0;
}

/* A number of a report. */
static inline double figure(const mtl_report *r, const char *name)
{
    double value = 0;
    done(mtl_report_get_f64(r, name, &value, err));
    return value;
}

static inline const char *text_of(const mtl_report *r, const char *name)
{
    const char *value = NULL;
    done(mtl_report_get_str(r, name, &value, err));
    return value;
}

/* --- fits whose memory runs out ------------------------------------------------------------------ */

/* A net for two tasks of problem_make(), with a layer of three or none; without memory, no net. */
static inline mtl_status small_model(mtl_context *ctx, bool has_layer, mtl_model **m)
{
    mtl_spec *s = NULL;
    mtl_status st = mtl_spec_create(ctx, PROBLEM_INPUTS, &s, NULL);
    if (st == MTL_OK && has_layer)
        st = mtl_spec_add_dense(s, 3, "relu", NULL);
    if (st == MTL_OK)
        st = mtl_spec_add_task(s, "fails", MTL_BINARY, 1, NULL);
    if (st == MTL_OK)
        st = mtl_spec_add_task(s, "hours", MTL_REGRESSION, 2, NULL);
    if (st == MTL_OK)
        st = mtl_model_create(s, m, NULL);
    mtl_spec_destroy(s);
    return st;
}

typedef struct fit_tries {
    mtl_context *ctx;
    mtl_dataset *d;
    mtl_options *o;
    bool has_layer;
    uint64_t fresh;
} fit_tries;

static inline mtl_status fit_without_memory(void *arg)
{
    fit_tries *t = arg;
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    mtl_status st = small_model(t->ctx, t->has_layer, &m);
    if (st == MTL_OK)
        st = mtl_fit(m, t->d, NULL, t->o, &r, NULL);
    if (m && st != MTL_OK)
        ck_assert_uint_eq(model_hash(m), t->fresh);
    mtl_report_destroy(r);
    mtl_model_destroy(m);
    return st;
}

/* Each allocation of a fit fails in turn: MTL_ERR_NOMEM, nothing lost and the model as it was. */
static inline void sweep_fit(const char *how, bool has_layer)
{
    test_memory memory = {0};
    fit_tries t = {.ctx = counted_context(&memory, "threads=1"), .has_layer = has_layer};
    problem p = problem_make(24, 6, 10);
    mtl_model *m = NULL;
    t.d = problem_data(&p, t.ctx);
    t.o = options(MTL_OPTIONS_FIT, how);
    ck_assert_int_eq(small_model(t.ctx, has_layer, &m), MTL_OK);
    t.fresh = model_hash(m);
    mtl_model_destroy(m);
    ck_assert_int_gt(sweep_allocations(&memory, fit_without_memory, &t), 100);
    mtl_options_destroy(t.o);
    mtl_dataset_destroy(t.d);
    mtl_context_destroy(t.ctx);
    problem_free(&p);
    ck_assert_int_eq(memory.live, 0);
}

#endif
