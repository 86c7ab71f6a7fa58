/* SPDX-License-Identifier: MIT */
/* Handles shared by threads, second writers, and fork. Free of races under ThreadSanitizer. */
#include "api_testing.h"

#include <pthread.h>
#include <sys/wait.h>

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#elif __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

enum { THREADS = 16, ROWS = 700 };

typedef struct scene {
    mtl_context *ctx;
    problem p;
    mtl_dataset *data;
    mtl_model *m;
    uint64_t expected; /* of predict_hash */
    atomic_int wrong;
} scene;

static void scene_make(scene *s, const char *text)
{
    *s = (scene){.ctx = context(text), .p = problem_make(ROWS, 5, 10)};
    s->data = problem_data(&s->p, s->ctx);
    s->m = problem_model(s->ctx);
    fit(s->m, s->data, "epochs=2 batch_size=200");
    s->expected = predict_hash(s->m, &s->p);
}

static void scene_free(scene *s)
{
    mtl_model_destroy(s->m);
    mtl_dataset_destroy(s->data);
    mtl_context_destroy(s->ctx);
    problem_free(&s->p);
}

/* Check's assertions are for its own thread: others only count. */
static uint64_t quiet_hash(const mtl_model *m, const problem *p, int64_t rows)
{
    float *out = calloc((size_t)(p->rows * 8), sizeof *out);
    uint64_t hash = 0;
    mtl_status st = MTL_OK;
    for (int64_t r = 0; r < p->rows && st == MTL_OK; r += rows)
        st = mtl_predict(m, rows < p->rows - r ? rows : p->rows - r, p->x + r * PROBLEM_INPUTS,
                         PROBLEM_INPUTS, out + 8 * r, 8, NULL);
    if (st == MTL_OK)
        hash = hash_bytes(HASH_START, out, (size_t)(p->rows * 8) * sizeof *out);
    free(out);
    return hash;
}

static void run_threads(void *(*fn)(void *), void *arg)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, fn, arg), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void *predict_often(void *arg)
{
    static const int64_t rows[] = {ROWS, 300, 37, 256};
    scene *s = arg;
    for (int i = 0; i < 12; i++)
        if (quiet_hash(s->m, &s->p, rows[i % 4]) != s->expected)
            atomic_fetch_add(&s->wrong, 1);
    return NULL;
}

START_TEST(predict_from_many_threads)
{
    static const char *const contexts[] = {"threads=1", "threads=2", "threads=5"};
    for (int i = 0; i < 3; i++) {
        scene s;
        scene_make(&s, contexts[i]);
        run_threads(predict_often, &s);
        ck_assert_int_eq(s.wrong, 0);
        scene_free(&s);
    }
}
END_TEST

/* Every call that takes its handles as const, all at once. */
static void *read_everything(void *arg)
{
    scene *s = arg;
    for (int i = 0; i < 3; i++) {
        mtl_model *clone = NULL, *back = NULL;
        mtl_report *r = NULL;
        mtl_dataset *a = NULL, *b = NULL;
        void *buffer = NULL;
        int64_t bytes;
        char *text = NULL;
        float w[12];
        bool fine = mtl_model_clone(s->m, &clone, NULL) == MTL_OK &&
                    mtl_model_save_buffer(s->m, &buffer, &bytes, NULL) == MTL_OK &&
                    mtl_model_load_buffer(s->ctx, buffer, bytes, &back, NULL) == MTL_OK &&
                    mtl_evaluate(s->m, s->data, NULL, &r, NULL) == MTL_OK &&
                    mtl_report_to_json(r, &text, NULL) == MTL_OK &&
                    mtl_dataset_split(s->data, 0.5, i, &a, &b, NULL) == MTL_OK &&
                    mtl_model_tensor_get(s->m, "trunk.0.bias", 12, w, NULL) == MTL_OK &&
                    quiet_hash(clone, &s->p, ROWS) == s->expected &&
                    quiet_hash(back, &s->p, 100) == s->expected;
        atomic_fetch_add(&s->wrong, !fine);
        mtl_free(text), mtl_free(buffer);
        mtl_report_destroy(r);
        mtl_dataset_destroy(a), mtl_dataset_destroy(b);
        mtl_model_destroy(clone), mtl_model_destroy(back);
    }
    return NULL;
}

START_TEST(read_from_many_threads)
{
    scene s;
    scene_make(&s, "threads=3");
    run_threads(read_everything, &s);
    ck_assert_int_eq(s.wrong, 0);
    scene_free(&s);
}
END_TEST

/* Each thread has a model of its own, all of one context: the pool serves one at a time. */
static void *fit_own(void *arg)
{
    scene *s = arg;
    mtl_model *m = NULL;
    mtl_options *o = NULL;
    mtl_status st = mtl_model_clone(s->m, &m, NULL);
    if (st == MTL_OK)
        st = mtl_options_create(MTL_OPTIONS_FIT, &o, NULL);
    if (st == MTL_OK)
        st = mtl_options_set_i64(o, "epochs", 1, NULL);
    if (st == MTL_OK)
        st = mtl_options_set_i64(o, "batch_size", 350, NULL);
    if (st == MTL_OK)
        st = mtl_fit(m, s->data, NULL, o, NULL, NULL);
    if (st != MTL_OK || quiet_hash(m, &s->p, ROWS) != s->expected)
        atomic_fetch_add(&s->wrong, 1);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    return NULL;
}

START_TEST(fits_beside_each_other)
{
    scene s;
    scene_make(&s, "threads=3");
    mtl_model *m = NULL;
    done(mtl_model_clone(s.m, &m, err));
    fit(m, s.data, "epochs=1 batch_size=350");
    s.expected = predict_hash(m, &s.p);
    run_threads(fit_own, &s);
    ck_assert_int_eq(s.wrong, 0);
    mtl_model_destroy(m);
    scene_free(&s);
}
END_TEST

/* ---- a second writer ----------------------------------------------------------------------------- */

typedef struct writer {
    scene *s;
    int calls;
} writer;

static int32_t write_meanwhile(int64_t epoch, int64_t step, int64_t steps, double train,
                               double valid, void *user)
{
    writer *w = user;
    float bias[12] = {0};
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    w->calls++;
    refused(mtl_fit(w->s->m, w->s->data, NULL, NULL, NULL, err), MTL_ERR_BUSY, "");
    refused(mtl_model_tensor_set(w->s->m, "trunk.0.bias", 12, bias, err), MTL_ERR_BUSY, "");
    refused(mtl_model_freeze(w->s->m, "trunk", 1, err), MTL_ERR_BUSY, "");
    /* Other handles are free. */
    mtl_model *other = problem_model(w->s->ctx);
    fit(other, w->s->data, "epochs=1");
    mtl_model_destroy(other);
    return MTL_CONTINUE;
}

START_TEST(second_writers_are_busy)
{
    scene s;
    scene_make(&s, "threads=2");
    mtl_model *undisturbed = NULL;
    done(mtl_model_clone(s.m, &undisturbed, err));
    writer w = {&s, 0};
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=2 batch_size=400");
    done(mtl_options_set_progress(o, write_meanwhile, &w, err));
    done(mtl_fit(s.m, s.data, NULL, o, NULL, err));
    ck_assert_int_ge(w.calls, 2);
    fit(undisturbed, s.data, "epochs=2 batch_size=400");
    assert_same_model(s.m, undisturbed);
    fit(s.m, s.data, "epochs=1"); /* free again */
    mtl_options_destroy(o);
    mtl_model_destroy(undisturbed);
    scene_free(&s);
}
END_TEST

static void *fit_shared(void *arg)
{
    scene *s = arg;
    mtl_error *err = mtl_error_create();
    mtl_status st = mtl_fit(s->m, s->data, NULL, NULL, NULL, err);
    if ((st != MTL_OK && st != MTL_ERR_BUSY) || mtl_error_code(err) != st)
        atomic_fetch_add(&s->wrong, 1);
    mtl_error_destroy(err);
    return NULL;
}

START_TEST(many_writers)
{
    scene s;
    scene_make(&s, "threads=2");
    run_threads(fit_shared, &s);
    ck_assert_int_eq(s.wrong, 0);
    fit(s.m, s.data, "epochs=1");
    scene_free(&s);
}
END_TEST

/* ---- life time ----------------------------------------------------------------------------------- */

static void *live_and_die(void *arg)
{
    scene *s = arg;
    for (int i = 0; i < 20; i++) {
        mtl_context *ctx = NULL;
        mtl_model *m = NULL;
        mtl_spec *spec = NULL;
        float x[PROBLEM_INPUTS] = {0}, out[2];
        bool fine = mtl_context_create(NULL, &ctx, NULL) == MTL_OK &&
                    mtl_spec_create(i % 2 ? ctx : s->ctx, PROBLEM_INPUTS, &spec, NULL) == MTL_OK &&
                    mtl_spec_add_task(spec, "a", MTL_REGRESSION, 2, NULL) == MTL_OK &&
                    mtl_model_create(spec, &m, NULL) == MTL_OK;
        mtl_context_destroy(ctx);
        mtl_spec_destroy(spec);
        fine = fine && mtl_predict(m, 1, x, PROBLEM_INPUTS, out, 2, NULL) == MTL_OK;
        mtl_model_destroy(m);
        atomic_fetch_add(&s->wrong, !fine);
    }
    return NULL;
}

START_TEST(handles_come_and_go)
{
    scene s;
    scene_make(&s, "threads=2");
    run_threads(live_and_die, &s);
    ck_assert_int_eq(s.wrong, 0);
    scene_free(&s);
}
END_TEST

static int threads_of_process(void)
{
    char line[128];
    int count = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Threads: %d", &count) == 1)
            break;
    if (f)
        fclose(f);
    return count;
}

static void wide_fit(mtl_context *ctx)
{
    enum { N = 512, WIDE = 256 };
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    float *x = floats(N * WIDE), *y = floats(N);
    uint64_t state = 1;
    for (int i = 0; i < N * WIDE; i++)
        x[i] = next_unit(&state);
    done(mtl_spec_create(ctx, WIDE, &s, err));
    done(mtl_spec_add_dense(s, 256, "relu", err));
    done(mtl_spec_add_task(s, "y", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    done(mtl_dataset_create(ctx, x, N, WIDE, WIDE, &d, err));
    done(mtl_dataset_set_labels(d, "y", 1, y, 1, err));
    fit(m, d, "epochs=1 batch_size=512");
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    free(x), free(y);
}

START_TEST(threads_are_lazy_and_joined)
{
    int before = threads_of_process();
    mtl_context *ctx = context("threads=4");
    problem p = problem_make(8, 1, 0);
    mtl_model *m = problem_model(ctx);
    predict_hash(m, &p);
    ck_assert_int_eq(threads_of_process(), before); /* too little work to start one */
    wide_fit(ctx);
    ck_assert_int_gt(threads_of_process(), before);
    ck_assert_int_le(threads_of_process(), before + 3);
    mtl_model_destroy(m);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(threads_of_process(), before);
    problem_free(&p);
}
END_TEST

/* ---- fork ---------------------------------------------------------------------------------------- */

/* In the child: predict and fit with the parent's handles; 0 = right. */
static int child_work(scene *s, uint64_t fitted)
{
    alarm(30); /* a hang is the failure that is feared */
    if (quiet_hash(s->m, &s->p, ROWS) != s->expected)
        return 1;
    mtl_options *o = NULL;
    if (mtl_options_create(MTL_OPTIONS_FIT, &o, NULL) != MTL_OK ||
        mtl_options_set_i64(o, "epochs", 1, NULL) != MTL_OK ||
        mtl_options_set_i64(o, "batch_size", 350, NULL) != MTL_OK ||
        mtl_fit(s->m, s->data, NULL, o, NULL, NULL) != MTL_OK)
        return 2;
    if (quiet_hash(s->m, &s->p, ROWS) != fitted)
        return 3;
    mtl_options_destroy(o);
    wide_fit(s->ctx); /* starts threads of the child's own */
    mtl_model_destroy(s->m);
    mtl_dataset_destroy(s->data);
    mtl_context_destroy(s->ctx);
    return threads_of_process() == 1 ? 0 : 4;
}

START_TEST(fork_after_the_pool_ran)
{
#ifdef WITH_TSAN
    return; /* ThreadSanitizer does not let a child of a process with threads start threads */
#endif
    scene s;
    scene_make(&s, "threads=3");
    wide_fit(s.ctx);
    mtl_model *copy = NULL;
    done(mtl_model_clone(s.m, &copy, err));
    fit(copy, s.data, "epochs=1 batch_size=350");
    uint64_t fitted = predict_hash(copy, &s.p);
    mtl_model_destroy(copy);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_work(&s, fitted));
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: status %x", i,
                      (unsigned)status);
        ck_assert_uint_eq(predict_hash(s.m, &s.p), s.expected); /* the parent goes on */
    }
    wide_fit(s.ctx);
    scene_free(&s);
}
END_TEST

static void *keep_the_pool_running(void *arg)
{
    scene *s = arg;
    for (int i = 0; i < 40; i++)
        if (quiet_hash(s->m, &s->p, ROWS) != s->expected)
            atomic_fetch_add(&s->wrong, 1);
    return NULL;
}

START_TEST(fork_while_the_pool_runs)
{
#if defined(WITH_TSAN) || defined(WITH_ASAN)
    return; /* their allocators, unlike glibc's, may be locked for ever in the child */
#endif
    scene s;
    pthread_t thread;
    scene_make(&s, "threads=3");
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_the_pool_running, &s), 0);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            _exit(quiet_hash(s.m, &s.p, ROWS) != s.expected);
        }
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: status %x", i,
                      (unsigned)status);
    }
    pthread_join(thread, NULL);
    ck_assert_int_eq(s.wrong, 0);
    scene_free(&s);
}
END_TEST

/* A callback runs on the thread that called. */
typedef struct caller {
    pthread_t self;
    bool same;
} caller;

static int32_t note_thread(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                           void *user)
{
    caller *c = user;
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid;
    c->same = c->same && pthread_equal(pthread_self(), c->self);
    return MTL_CONTINUE;
}

START_TEST(callbacks_on_the_calling_thread)
{
    caller c = {pthread_self(), true};
    scene s;
    scene_make(&s, "threads=4");
    mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=3 batch_size=200");
    done(mtl_options_set_progress(o, note_thread, &c, err));
    done(mtl_fit(s.m, s.data, NULL, o, NULL, err));
    ck_assert(c.same);
    mtl_options_destroy(o);
    scene_free(&s);
}
END_TEST

/* Little stack is enough: 64 KiB for every call. */
static void *small_stack(void *arg)
{
    scene *s = arg;
    mtl_model *moved = NULL;
    mtl_dataset *target = NULL;
    mtl_report *r = NULL;
    mtl_model *own = NULL;
    if (mtl_model_clone(s->m, &own, NULL) != MTL_OK ||
        mtl_fit(own, s->data, s->data, NULL, NULL, NULL) != MTL_OK)
        atomic_fetch_add(&s->wrong, 1);
    mtl_model_destroy(own);
    read_everything(s);
    bool fine =
        mtl_dataset_create(s->ctx, s->p.x, 40, PROBLEM_INPUTS, PROBLEM_INPUTS, &target, NULL) ==
            MTL_OK &&
        mtl_dataset_set_labels(target, "new", 1, s->p.fails, 1, NULL) == MTL_OK &&
        mtl_transfer(s->m, target, s->data, NULL, &moved, &r, NULL) == MTL_OK;
    atomic_fetch_add(&s->wrong, !fine);
    mtl_report_destroy(r);
    mtl_model_destroy(moved);
    mtl_dataset_destroy(target);
    return NULL;
}

START_TEST(a_small_stack_is_enough)
{
#if defined(__SANITIZE_ADDRESS__) || defined(WITH_TSAN)
    return; /* sanitizers need more */
#endif
    scene s;
    pthread_t thread;
    pthread_attr_t attr;
    scene_make(&s, "threads=2");
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 64 * 1024), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, small_stack, &s), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    ck_assert_int_eq(s.wrong, 0);
    scene_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_threads");
    add_case(s, "sixteen threads predict with one model", predict_from_many_threads);
    add_case(s, "sixteen threads read everything", read_from_many_threads);
    add_case(s, "sixteen fits beside each other", fits_beside_each_other);
    add_case(s, "a second writer is told so", second_writers_are_busy);
    add_case(s, "sixteen writers of one model", many_writers);
    add_case(s, "contexts and handles come and go", handles_come_and_go);
    add_case(s, "threads are lazy and joined", threads_are_lazy_and_joined);
    add_case(s, "a child works after the pool ran", fork_after_the_pool_ran);
    add_case(s, "a child works while the pool runs", fork_while_the_pool_runs);
    add_case(s, "callbacks run on the calling thread", callbacks_on_the_calling_thread);
    add_case(s, "64 KiB of stack are enough", a_small_stack_is_enough);
    return run_suite(s);
}
