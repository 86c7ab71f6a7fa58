/* SPDX-License-Identifier: MIT */
/* The host's floating-point state: it does not change our bits, and we do not change it. */
#include "api_testing.h"

#include <fenv.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#define FLUSH_BITS 0x8040u /* flush to zero, denormals are zero */
#endif

typedef struct state {
    const char *name;
    int rounding;
    bool flush, traps;
} state;

static const state states[] = {
    {"upward", FE_UPWARD, false, false},
    {"downward", FE_DOWNWARD, false, false},
    {"toward zero", FE_TOWARDZERO, false, false},
    {"flush to zero", FE_TONEAREST, true, false},
    {"traps", FE_TONEAREST, false, true},
    {"all at once", FE_UPWARD, true, true},
};

static void enter(const state *s)
{
    fesetround(s->rounding);
#ifdef FLUSH_BITS
    if (s->flush)
        _mm_setcsr(_mm_getcsr() | FLUSH_BITS);
#endif
    feclearexcept(FE_ALL_EXCEPT);
    if (s->traps)
        feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
}

static void leave(void)
{
    fedisableexcept(FE_ALL_EXCEPT);
    fesetenv(FE_DFL_ENV);
}

/* Is the state as it was set, flags included? Read before anything of ours can change it. */
static uint64_t snapshot(void)
{
    uint64_t bits = (uint64_t)fegetround() << 32;
#ifdef FLUSH_BITS
    bits |= _mm_getcsr();
#else
    bits |= (uint64_t)fetestexcept(FE_ALL_EXCEPT) | (uint64_t)fegetexcept() << 16;
#endif
    return bits;
}

/* Everything is prepared under the default state; then one call runs under the host's. */
typedef struct scene {
    problem p;
    mtl_context *ctx;
    mtl_dataset *data, *target;
    mtl_model *m;
    mtl_options *fit, *transfer, *made;
    mtl_error *err;
    float *out;
    char path[64];
    uint64_t after; /* state after the call */
} scene;

static const char csv_text[] = "a,b,label:y\n0.1,1e-40,1\n123456789.123456789,-0.3,0\n1e-5,7e22,1\n"
                               "0.1000000014901161,3.4028235e38,0\n";

static void scene_make(scene *s, const char *threads)
{
    *s = (scene){.p = problem_make(300, 5, 15), .ctx = context(threads)};
    s->data = problem_data(&s->p, s->ctx);
    s->m = problem_model(s->ctx);
    fit(s->m, s->data, "epochs=2");
    done(mtl_dataset_create(s->ctx, s->p.x, 50, PROBLEM_INPUTS, PROBLEM_INPUTS, &s->target, err));
    done(mtl_dataset_set_labels(s->target, "new", 1, s->p.tags, 2, err));
    s->fit = options(MTL_OPTIONS_FIT,
                     "epochs=3 batch_size=100 seed=1 l2=0.001 optimizer=adam:beta1=0.85,eps=3e-8 "
                     "validation_split=0.29 validation=random patience=2");
    s->transfer = options(MTL_OPTIONS_TRANSFER, "epochs=3 strategy=lp_ft");
    s->made = options(MTL_OPTIONS_MAKE_CLASSIFICATION, "");
    s->err = mtl_error_create();
    s->out = floats(s->p.rows * 8);
    strcpy(s->path, "/tmp/mtl_fp_XXXXXX");
    int fd = mkstemp(s->path);
    ck_assert_int_eq(write(fd, csv_text, strlen(csv_text)), (ssize_t)strlen(csv_text));
    close(fd);
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->m);
    mtl_dataset_destroy(s->data), mtl_dataset_destroy(s->target);
    mtl_options_destroy(s->fit), mtl_options_destroy(s->transfer), mtl_options_destroy(s->made);
    mtl_error_destroy(s->err);
    mtl_context_destroy(s->ctx);
    problem_free(&s->p);
    free(s->out);
    unlink(s->path);
}

/* CALL runs under the host's state; what follows runs under the default one. */
#define UNDER(host, s, call)                                                                       \
    do {                                                                                           \
        if (host)                                                                                  \
            enter(host);                                                                           \
        uint64_t before_ = snapshot();                                                             \
        mtl_status st_ = (call);                                                                   \
        (s)->after = snapshot();                                                                   \
        leave();                                                                                   \
        ck_assert_msg(st_ == MTL_OK, "%s under %s: %s: %s", #call, (host) ? (host)->name : "default", \
                      mtl_status_name(st_), mtl_error_message((s)->err));                          \
        ck_assert_msg((s)->after == before_, "%s under %s: the state went from %llx to %llx", #call, \
                      (host) ? (host)->name : "default", (unsigned long long)before_,              \
                      (unsigned long long)(s)->after);                                             \
    } while (0)

static uint64_t model_bits(scene *s, mtl_model *m)
{
    uint64_t hash = model_hash(m) ^ predict_hash(m, &s->p);
    mtl_model_destroy(m);
    return hash;
}

static uint64_t text_bits(char *text)
{
    uint64_t hash = hash_bytes(HASH_START, text, strlen(text));
    mtl_free(text);
    return hash;
}

static uint64_t data_bits(mtl_dataset *d)
{
    int64_t n = mtl_dataset_inputs(d), rows = mtl_dataset_rows(d);
    float *x = floats(rows * n);
    done(mtl_dataset_get_inputs(d, 0, rows, x, n, err));
    uint64_t hash = hash_bytes(HASH_START, x, (size_t)(rows * n) * sizeof *x);
    free(x);
    mtl_dataset_destroy(d);
    return hash;
}

typedef uint64_t call_fn(scene *s, const state *host);

static uint64_t call_create(scene *s, const state *host)
{
    mtl_spec *spec = problem_spec(s->ctx);
    mtl_model *m = NULL;
    UNDER(host, s, mtl_model_create(spec, &m, s->err));
    mtl_spec_destroy(spec);
    return model_bits(s, m);
}

static uint64_t call_fit(scene *s, const state *host)
{
    mtl_model *m = problem_model(s->ctx);
    UNDER(host, s, mtl_fit(m, s->data, NULL, s->fit, NULL, s->err));
    return model_bits(s, m);
}

static uint64_t call_predict(scene *s, const state *host)
{
    UNDER(host, s, mtl_predict(s->m, 300, s->p.x, PROBLEM_INPUTS, s->out, 8, s->err));
    return hash_bytes(HASH_START, s->out, 300 * 8 * sizeof *s->out);
}

static uint64_t call_predict_task(scene *s, const state *host)
{
    UNDER(host, s, mtl_predict_task(s->m, 2, 300, s->p.x, PROBLEM_INPUTS, s->out, 3, s->err));
    return hash_bytes(HASH_START, s->out, 300 * 3 * sizeof *s->out);
}

static uint64_t call_evaluate(scene *s, const state *host)
{
    mtl_report *r = NULL;
    char *text = NULL;
    UNDER(host, s, mtl_evaluate(s->m, s->data, NULL, &r, s->err));
    UNDER(host, s, mtl_report_to_json(r, &text, s->err));
    mtl_report_destroy(r);
    return text_bits(text);
}

static uint64_t call_transfer(scene *s, const state *host)
{
    mtl_model *m = NULL;
    UNDER(host, s, mtl_transfer(s->m, s->target, s->data, s->transfer, &m, NULL, s->err));
    return model_bits(s, m);
}

static uint64_t call_clone(scene *s, const state *host)
{
    mtl_model *m = NULL;
    UNDER(host, s, mtl_model_clone(s->m, &m, s->err));
    return model_bits(s, m);
}

static uint64_t call_save_load(scene *s, const state *host)
{
    mtl_model *m = NULL;
    void *buffer = NULL;
    int64_t bytes;
    UNDER(host, s, mtl_model_save_buffer(s->m, &buffer, &bytes, s->err));
    UNDER(host, s, mtl_model_load_buffer(s->ctx, buffer, bytes, &m, s->err));
    uint64_t hash = hash_bytes(HASH_START, buffer, (size_t)bytes);
    mtl_free(buffer);
    return hash ^ model_bits(s, m);
}

static uint64_t call_metric(scene *s, const state *host)
{
    double value = 0, spread = 0;
    call_predict(s, NULL);
    UNDER(host, s, mtl_metric("log_loss", 300, 1, s->out, 8, 1, s->p.fails, 1, s->p.weight, &value,
                              &spread, s->err));
    uint64_t hash = hash_bytes(HASH_START, &value, sizeof value);
    UNDER(host, s, mtl_metric("roc_auc", 300, 1, s->out, 8, 1, s->p.fails, 1, s->p.weight, &value,
                              &spread, s->err));
    hash = hash_bytes(hash, &value, sizeof value);
    UNDER(host, s, mtl_metric("rmse", 300, 2, s->out + 6, 8, 2, s->p.hours, 2, NULL, &value, &spread,
                              s->err));
    return hash_bytes(hash, &value, sizeof value);
}

static uint64_t call_calibrate(scene *s, const state *host)
{
    mtl_model *m = NULL;
    mtl_report *r = NULL;
    char *text = NULL;
    float lower[600], upper[600];
    done(mtl_model_clone(s->m, &m, s->err));
    UNDER(host, s, mtl_model_calibrate(m, s->data, NULL, &r, s->err));
    UNDER(host, s, mtl_report_to_json(r, &text, s->err));
    UNDER(host, s, mtl_predict_interval(m, 3, 300, s->p.x, PROBLEM_INPUTS, lower, upper, 2, s->err));
    mtl_report_destroy(r);
    uint64_t hash = hash_bytes(hash_bytes(HASH_START, lower, sizeof lower), upper, sizeof upper);
    return hash ^ text_bits(text) ^ model_bits(s, m);
}

static uint64_t call_generate(scene *s, const state *host)
{
    mtl_dataset *d = NULL;
    UNDER(host, s, mtl_dataset_make_classification(s->ctx, s->made, &d, s->err));
    return data_bits(d);
}

static uint64_t call_split(scene *s, const state *host)
{
    mtl_dataset *a = NULL, *b = NULL;
    UNDER(host, s, mtl_dataset_split(s->data, 0.29, 7, &a, &b, s->err));
    uint64_t hash = data_bits(a) * 31 + data_bits(b);
    UNDER(host, s, mtl_dataset_split_stratified(s->data, "grade", 0.29, 7, &a, &b, s->err));
    return hash * 31 + data_bits(a) * 31 + data_bits(b);
}

static uint64_t call_csv(scene *s, const state *host)
{
    mtl_dataset *d = NULL;
    UNDER(host, s, mtl_dataset_load_csv(s->ctx, s->path, NULL, &d, s->err));
    return data_bits(d);
}

static uint64_t call_options(scene *s, const state *host)
{
    /* Numbers in texts are read when they are set and when they are used. */
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=1");
    mtl_model *m = problem_model(s->ctx);
    UNDER(host, s, mtl_options_set_str(o, "optimizer", "adam:beta1=0.3,beta2=0.1,eps=1e-3", s->err));
    UNDER(host, s, mtl_fit(m, s->data, NULL, o, NULL, s->err));
    mtl_options_destroy(o);
    return model_bits(s, m);
}

static const struct {
    const char *name;
    call_fn *fn;
} calls[] = {
    {"model_create", call_create},   {"fit", call_fit},           {"predict", call_predict},
    {"predict_task", call_predict_task}, {"evaluate", call_evaluate}, {"transfer", call_transfer},
    {"clone", call_clone},           {"save, load", call_save_load}, {"metric", call_metric},
    {"make_classification", call_generate}, {"split", call_split}, {"csv", call_csv},
    {"options", call_options},       {"calibrate", call_calibrate},
};

START_TEST(any_state)
{
    static const char *const threads[] = {"threads=1 cpu=c", "threads=3"};
    for (int t = 0; t < 2; t++) {
        scene s;
        scene_make(&s, threads[t]);
        uint64_t expected = calls[_i].fn(&s, NULL);
        for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
            uint64_t hash = calls[_i].fn(&s, &states[i]);
            ck_assert_msg(hash == expected, "%s: other bits under %s with %s", calls[_i].name,
                          states[i].name, threads[t]);
        }
        scene_free(&s);
    }
}
END_TEST

static int32_t leave_a_state(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                             void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    (void)user;
    fesetround(FE_DOWNWARD); /* and leaves another one behind */
    return MTL_CONTINUE;
}

START_TEST(callbacks_do_no_harm)
{
    scene s;
    scene_make(&s, "threads=1");
    uint64_t expected = call_fit(&s, NULL);
    mtl_model *m = problem_model(s.ctx);
    done(mtl_options_set_progress(s.fit, leave_a_state, NULL, err));
    mtl_status st = mtl_fit(m, s.data, NULL, s.fit, NULL, s.err);
    leave();
    ck_assert_int_eq(st, MTL_OK);
    ck_assert_msg(model_bits(&s, m) == expected, "a callback's rounding mode changed the fit");
    scene_free(&s);
}
END_TEST

START_TEST(the_test_can_fail)
{
    /* The states do what they are meant to: sums round otherwise, denormals vanish. */
    volatile float third = 1.0f / 3, tenth = 0.1f, tiny = 1e-40f;
    float near = third + tenth;
    enter(&states[0]);
    volatile float up = third + tenth;
    leave();
    enter(&states[1]);
    volatile float down = third + tenth;
    leave();
    ck_assert(up != down && (near == up || near == down));
#ifdef FLUSH_BITS
    enter(&states[3]);
    volatile float flushed = tiny * 0.5f;
    leave();
    ck_assert_float_eq(flushed, 0);
#endif
    (void)tiny;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_fpstate");
    TCase *tc = tcase_create("no state of the host changes bits, none is changed");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, any_state, 0, sizeof calls / sizeof *calls);
    suite_add_tcase(s, tc);
    add_case(s, "callbacks do no harm to the numbers", callbacks_do_no_harm);
    add_case(s, "the states do what they are meant to", the_test_can_fail);
    return run_suite(s);
}
