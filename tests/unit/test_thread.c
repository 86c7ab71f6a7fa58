/* SPDX-License-Identifier: MIT */
#include "thread/pool.h"

#include "testing.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "cpu/cpu.h"

enum { THREADS = 4, JOBS = 1000 };

/* Threads do not survive the fork between tests: each has its own pool. */
static test_memory memory;
static mtl__pool *pool;

static mtl__pool *new_pool(int threads)
{
    mtl__allocator al = test_allocator(&memory);
    mtl__pool *p = mtl__pool_create(&al, threads);
    ck_assert_ptr_nonnull(p);
    return p;
}

static void setup(void)
{
    pool = new_pool(THREADS);
}

static void teardown(void)
{
    mtl__pool_destroy(pool);
    ck_assert_int_eq(atomic_load(&memory.live), 0);
}

/* The one call of the pool that the system may refuse. */
static atomic_int creations_allowed = 1000000;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof real);
    if (atomic_fetch_sub(&creations_allowed, 1) <= 0)
        return EAGAIN;
    return real(thread, attr, start, arg);
}

static int threads_of_process(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Joined threads vanish from /proc a little later. */
static bool threads_fall_to(int n)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 5000 && threads_of_process() > n; i++)
        nanosleep(&pause, NULL);
    return threads_of_process() <= n;
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

typedef struct tally {
    atomic_int done[JOBS]; /* times that a job was run */
    atomic_int in_slot[THREADS + 8], clashes, wrong_slots;
    int slots;
    int plain[JOBS]; /* not atomic: must be visible to the caller afterwards all the same */
} tally;

static void count_job(void *arg, int64_t job, int slot)
{
    tally *t = arg;
    if (slot < 0 || slot >= t->slots) {
        atomic_fetch_add(&t->wrong_slots, 1);
        return;
    }
    if (atomic_fetch_add(&t->in_slot[slot], 1) != 0)
        atomic_fetch_add(&t->clashes, 1);
    atomic_fetch_add(&t->done[job], 1);
    t->plain[job] += (int)job + 1;
    atomic_fetch_sub(&t->in_slot[slot], 1);
}

/* True if jobs 0 .. jobs-1 ran once each, in slots of their own. */
static bool run_counts(mtl__pool *p, int64_t jobs)
{
    static _Thread_local tally t;
    memset(&t, 0, sizeof t);
    t.slots = mtl__pool_slots(p);
    mtl__pool_run(p, jobs, count_job, &t);
    bool ok = t.clashes == 0 && t.wrong_slots == 0;
    for (int64_t i = 0; i < JOBS; i++)
        ok = ok && t.done[i] == (i < jobs) && t.plain[i] == (i < jobs ? (int)i + 1 : 0);
    return ok;
}

START_TEST(each_job_runs_once)
{
    for (int64_t jobs = 0; jobs <= JOBS; jobs = jobs * 3 + 1)
        ck_assert(run_counts(pool, jobs));
}
END_TEST

START_TEST(no_pool_is_the_caller)
{
    ck_assert_int_eq(mtl__pool_slots(NULL), 1);
    ck_assert(run_counts(NULL, 17));
    mtl__pool_destroy(NULL);
}
END_TEST

/* Loops so short that workers come late to many of them: a late one must touch nothing. */
START_TEST(short_loops_follow_each_other)
{
    for (int i = 0; i < 4000; i++)
        ck_assert(run_counts(pool, i % 7));
}
END_TEST

/* More threads than this machine has CPUs. */
START_TEST(many_threads)
{
    mtl__pool *many = new_pool(THREADS + 7);
    for (int i = 0; i < 300; i++)
        ck_assert(run_counts(many, 50));
    mtl__pool_destroy(many);
}
END_TEST

/* ---- Threads ------------------------------------------------------------------------------- */

/* A job that returns true when `wanted` jobs were inside at once, or false after some seconds. */
typedef struct meeting {
    atomic_int inside, met, wanted;
} meeting;

static void meet(void *arg, int64_t job, int slot)
{
    meeting *m = arg;
    const struct timespec pause = {.tv_nsec = 100000};
    (void)job, (void)slot;
    atomic_fetch_add(&m->inside, 1);
    for (int i = 0; i < 50000 && atomic_load(&m->inside) < atomic_load(&m->wanted); i++)
        nanosleep(&pause, NULL);
    if (atomic_load(&m->inside) >= atomic_load(&m->wanted))
        atomic_fetch_add(&m->met, 1);
}

static bool meeting_of(mtl__pool *p, int n)
{
    meeting m = {.wanted = n};
    mtl__pool_run(p, n, meet, &m);
    return m.met == n;
}

START_TEST(all_threads_work_at_once)
{
    ck_assert(meeting_of(pool, THREADS));
}
END_TEST

START_TEST(sleeping_workers_wake)
{
    const struct timespec nap = {.tv_nsec = 30000000};
    for (int i = 0; i < 3; i++) {
        ck_assert(meeting_of(pool, THREADS));
        nanosleep(&nap, NULL);
    }
}
END_TEST

/* Looks often, and naps between: where other programs leave the test one CPU, only a thread that
   wakes up is run in the middle of a worker's spin. */
typedef struct observer {
    mtl__pool *pool;
    atomic_bool has_seen, stop;
} observer;

static void *observe(void *arg)
{
    observer *o = arg;
    const struct timespec nap = {.tv_nsec = 10000};
    for (int i = 1; !atomic_load(&o->stop) && !atomic_load(&o->has_seen); i++) {
        if (mtl__pool_is_warm(o->pool))
            atomic_store(&o->has_seen, true);
        if (i % 64 == 0)
            nanosleep(&nap, NULL);
    }
    return NULL;
}

START_TEST(warm_only_for_a_moment)
{
    const struct timespec nap = {.tv_nsec = 50000000}, little = {.tv_nsec = 100000};
    ck_assert(!mtl__pool_is_warm(NULL));
    ck_assert(!mtl__pool_is_warm(pool));
    if (mtl__cpu_count() < 2) /* it never spins there */
        return;
    observer o = {.pool = new_pool(2)};
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, observe, &o), 0);
    for (int i = 0; i < 20000 && !atomic_load(&o.has_seen); i++) {
        ck_assert(meeting_of(o.pool, 2));
        nanosleep(&little, NULL);
    }
    atomic_store(&o.stop, true);
    pthread_join(t, NULL);
    ck_assert(o.has_seen);
    /* A worker that the system does not run stays in its spin for as long. */
    for (int i = 0; i < 400 && mtl__pool_is_warm(o.pool); i++)
        nanosleep(&nap, NULL);
    ck_assert(!mtl__pool_is_warm(o.pool));
    mtl__pool_destroy(o.pool);
}
END_TEST

static void be_held_up(void *arg, int64_t job, int slot)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    meet(arg, job, slot);
    if (slot > 0)
        nanosleep(&nap, NULL);
}

START_TEST(held_up_for_a_while)
{
    ck_assert(!mtl__pool_is_held_up(NULL));
    ck_assert(!mtl__pool_is_held_up(pool));
    /* Often enough: on a loaded machine it is the meeting that takes long. */
    bool held = false;
    for (int i = 0; i < 200 && !held; i++) {
        meeting m = {.wanted = 2};
        mtl__pool_run(pool, 2, be_held_up, &m);
        held = mtl__pool_is_held_up(pool);
    }
    ck_assert(held);
    const struct timespec nap = {.tv_nsec = 10000000};
    for (int i = 0; i < 1000 && mtl__pool_is_held_up(pool); i++)
        nanosleep(&nap, NULL);
    ck_assert(!mtl__pool_is_held_up(pool));
    ck_assert(meeting_of(pool, THREADS));
}
END_TEST

START_TEST(idle_workers_sleep)
{
    const struct timespec nap = {.tv_nsec = 300000000};
    struct timespec before, after;
    run_counts(pool, JOBS);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double used = difftime(after.tv_sec, before.tv_sec) +
                  1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    ck_assert_msg(used < 0.1, "%.3f s of CPU in 0.3 s of rest", used);
}
END_TEST

START_TEST(threads_start_when_needed_and_are_joined)
{
    int before = threads_of_process();
    mtl__pool *p = new_pool(THREADS);
    ck_assert_int_eq(threads_of_process(), before);
    run_counts(p, 0);
    run_counts(p, 1);
    ck_assert_int_eq(threads_of_process(), before);
    run_counts(p, 2); /* the caller and one more */
    ck_assert_int_eq(threads_of_process(), before + 1);
    run_counts(p, JOBS);
    ck_assert_int_eq(threads_of_process(), before + THREADS - 1);
    mtl__pool_destroy(p);
    ck_assert(threads_fall_to(before));
}
END_TEST

START_TEST(refused_threads_are_done_without)
{
    int before = threads_of_process();
    atomic_store(&creations_allowed, 1);
    ck_assert(run_counts(pool, JOBS));
    ck_assert_int_eq(threads_of_process(), before + 1);
    ck_assert(meeting_of(pool, 2));
    atomic_store(&creations_allowed, 0);
    mtl__pool *alone = new_pool(THREADS);
    ck_assert(run_counts(alone, JOBS));
    mtl__pool_destroy(alone);
    atomic_store(&creations_allowed, 1000000);
}
END_TEST

/* ---- Callers at the same time -------------------------------------------------------------- */

typedef struct nested {
    pthread_t outer;
    atomic_int ran, elsewhere, wrong_slots;
} nested;

static void inner_job(void *arg, int64_t job, int slot)
{
    nested *n = arg;
    (void)job;
    atomic_fetch_add(&n->ran, 1);
    if (!pthread_equal(n->outer, pthread_self()))
        atomic_fetch_add(&n->elsewhere, 1);
    if (slot != 0)
        atomic_fetch_add(&n->wrong_slots, 1);
}

static void outer_job(void *arg, int64_t job, int slot)
{
    atomic_int *good = arg;
    (void)job, (void)slot;
    nested n = {.outer = pthread_self()};
    mtl__pool_run(pool, 9, inner_job, &n);
    if (n.ran == 9 && n.elsewhere == 0 && n.wrong_slots == 0)
        atomic_fetch_add(good, 1);
}

START_TEST(a_loop_in_a_job_stays_in_its_thread)
{
    atomic_int good = 0;
    mtl__pool_run(pool, 20, outer_job, &good);
    ck_assert_int_eq(good, 20);
}
END_TEST

typedef struct holder {
    atomic_int inside, release;
} holder;

static void hold(void *arg, int64_t job, int slot)
{
    holder *h = arg;
    const struct timespec pause = {.tv_nsec = 100000};
    (void)job, (void)slot;
    atomic_fetch_add(&h->inside, 1);
    while (!atomic_load(&h->release))
        nanosleep(&pause, NULL);
}

static void *hold_pool(void *arg)
{
    mtl__pool_run(pool, 2, hold, arg);
    return NULL;
}

/* A thread that is in a loop until `release` is set. */
static pthread_t occupy(holder *h)
{
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, hold_pool, h), 0);
    while (atomic_load(&h->inside) < 2)
        sched_yield();
    return t;
}

START_TEST(a_second_caller_works_alone)
{
    holder h = {0};
    pthread_t t = occupy(&h);
    nested n = {.outer = pthread_self()};
    mtl__pool_run(pool, 9, inner_job, &n); /* would wait for ever for the other */
    ck_assert(n.ran == 9 && n.elsewhere == 0 && n.wrong_slots == 0);
    atomic_store(&h.release, 1);
    pthread_join(t, NULL);
    ck_assert(run_counts(pool, JOBS));
}
END_TEST

static void *call_often(void *arg)
{
    atomic_int *bad = arg;
    for (int i = 0; i < 300; i++)
        if (!run_counts(pool, i % 50))
            atomic_fetch_add(bad, 1);
    return NULL;
}

static int call_from_threads(void)
{
    pthread_t t[3];
    atomic_int bad = 0;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&t[i], NULL, call_often, &bad) != 0)
            return -1;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    return bad;
}

START_TEST(callers_from_many_threads)
{
    ck_assert_int_eq(call_from_threads(), 0);
}
END_TEST

/* ---- State of the host --------------------------------------------------------------------- */

/* How float arithmetic rounds, by doing some: fegetround() on x86 asks the x87 unit, which does none
   of it. */
static int rounding(void)
{
    volatile float one = 1.0f, little = 0x1p-30f;
    volatile float up = one + little, down = one - little;
    return up > one ? FE_UPWARD : down < one ? FE_DOWNWARD : FE_TONEAREST;
}

/* Counts what is not to nearest, and leaves it changed, which must not spoil the next loop. */
static void check_rounding(void *arg, int64_t job, int slot)
{
    atomic_int *wrong = ((atomic_int **)arg)[0];
    if (rounding() != FE_TONEAREST)
        atomic_fetch_add(wrong, 1);
    fesetround(FE_UPWARD);
    meet(((meeting **)arg)[1], job, slot);
}

START_TEST(jobs_round_to_nearest_and_the_host_keeps_its_mode)
{
    atomic_int wrong = 0, bad_host = 0;
    static const int jobs[] = {1, THREADS, 1, THREADS, THREADS};
    ck_assert_int_eq(rounding(), FE_TONEAREST);
    fesetround(FE_DOWNWARD); /* the workers' starter has it: threads inherit it */
    for (int i = 0; i < MTL__COUNT_OF(jobs); i++) {
        meeting m = {.wanted = jobs[i]};
        void *args[] = {&wrong, &m};
        mtl__pool_run(pool, jobs[i], check_rounding, args);
        bad_host += rounding() != FE_DOWNWARD || m.met != jobs[i];
    }
    fesetround(FE_TONEAREST);
    ck_assert_int_eq(bad_host, 0);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

static void check_signals(void *arg, int64_t job, int slot)
{
    atomic_int *open = ((atomic_int **)arg)[0];
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    static const int host[] = {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGUSR1, SIGHUP, SIGPROF};
    for (int i = 0; i < MTL__COUNT_OF(host); i++)
        if (slot > 0 && !sigismember(&set, host[i]))
            atomic_fetch_add(open, 1);
    if (slot > 0 && sigismember(&set, SIGSEGV))
        atomic_fetch_add(open, 1);
    meet(((meeting **)arg)[1], job, slot);
}

START_TEST(workers_take_no_signals_of_the_host)
{
    atomic_int open = 0;
    meeting m = {.wanted = THREADS};
    void *args[] = {&open, &m};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    mtl__pool_run(pool, THREADS, check_signals, args);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(m.met, THREADS);
    ck_assert_int_eq(open, 0);
    for (int s = 1; s < 32; s++)
        ck_assert_int_eq(sigismember(&before, s), sigismember(&after, s));
}
END_TEST

/* ---- fork() -------------------------------------------------------------------------------- */

/* ThreadSanitizer supports no threads in the child of a process that had some. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#if !UNDER_TSAN

/* Exit status of a child that runs `body`; a child that hangs is killed by its alarm. */
static int in_child(int (*body)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(20);
        _exit(body());
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(!WIFSIGNALED(status), "the child ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int use_pool(void)
{
    if (!run_counts(pool, JOBS) || !meeting_of(pool, THREADS))
        return 1;
    mtl__pool_destroy(pool);
    return 0;
}

static int destroy_only(void)
{
    mtl__pool_destroy(pool);
    return 0;
}

static int use_from_threads(void)
{
    int bad = call_from_threads();
    if (!meeting_of(pool, THREADS))
        return 2;
    return bad != 0;
}

START_TEST(a_child_has_threads_of_its_own)
{
    ck_assert(run_counts(pool, JOBS));
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(in_child(use_pool), 0);
        ck_assert(run_counts(pool, JOBS));
    }
    ck_assert(meeting_of(pool, THREADS));
}
END_TEST

START_TEST(a_child_may_just_destroy)
{
    ck_assert(run_counts(pool, JOBS));
    ck_assert_int_eq(in_child(destroy_only), 0);
    ck_assert(run_counts(pool, JOBS));
}
END_TEST

START_TEST(a_fork_in_the_middle_of_a_loop)
{
    holder h = {0};
    pthread_t t = occupy(&h); /* locks are held by a thread that the child does not have */
    ck_assert_int_eq(in_child(use_pool), 0);
    ck_assert_int_eq(in_child(destroy_only), 0);
    atomic_store(&h.release, 1);
    pthread_join(t, NULL);
    ck_assert(run_counts(pool, JOBS));
}
END_TEST

START_TEST(threads_of_a_child_race_for_the_pool)
{
    ck_assert(run_counts(pool, JOBS));
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(in_child(use_from_threads), 0);
}
END_TEST

#endif

/* ---- Ranges -------------------------------------------------------------------------------- */

enum { LONGEST = 5000 };

typedef struct coverage {
    atomic_int seen[LONGEST];
    atomic_int parts, odd; /* odd: parts that begin at no multiple of 16 */
} coverage;

static void cover(void *arg, int64_t first, int64_t count)
{
    coverage *c = arg;
    atomic_fetch_add(&c->parts, 1);
    atomic_fetch_add(&c->odd, first % 16 != 0);
    for (int64_t i = first; i < first + count; i++)
        atomic_fetch_add(&c->seen[i], 1);
}

static int parts_of(mtl__pool *p, int64_t n, int64_t grain)
{
    static coverage c;
    memset(&c, 0, sizeof c);
    mtl__pool_ranges(p, n, grain, cover, &c);
    for (int64_t i = 0; i < LONGEST; i++)
        ck_assert_int_eq(atomic_load(&c.seen[i]), i < n);
    ck_assert_int_eq(atomic_load(&c.odd), 0);
    return atomic_load(&c.parts);
}

START_TEST(sharing_pays_for_large_work)
{
    mtl__pool *one = new_pool(1);
    ck_assert(!mtl__pool_pays(NULL, INT64_MAX));
    ck_assert(!mtl__pool_pays(one, INT64_MAX));
    ck_assert(!mtl__pool_pays(pool, 0));
    ck_assert(!mtl__pool_pays(pool, 1 << 20)); /* no thread is awake, none even made */
    ck_assert(mtl__pool_pays(pool, INT64_MAX));
    mtl__pool_destroy(one);
}
END_TEST

/* Whether small work asked for again and again is shared at last. A millisecond may pass between two
   questions where other programs run, so many are asked. */
static bool comes_to_pay(mtl__pool *p, int64_t work, int times)
{
    bool pays = false;
    for (int i = 0; i < times && !pays; i++)
        pays = mtl__pool_pays(p, work);
    return pays;
}

START_TEST(sharing_comes_to_pay_for_much_small_work)
{
    mtl__pool *two = new_pool(2), *crowd = new_pool(mtl__cpu_count() + 1);
    if (mtl__cpu_count() >= 2) {
        ck_assert(!mtl__pool_pays(two, 1 << 20));
        ck_assert(comes_to_pay(two, 1 << 20, 10000000));
        ck_assert(!mtl__pool_pays(two, 1 << 20)); /* no loop came of it: not at once again */
    }
    ck_assert(!comes_to_pay(two, 1 << 10, 1000));
    ck_assert(!comes_to_pay(crowd, 1 << 20, 1000)); /* its threads never wait awake */
    mtl__pool_destroy(two);
    mtl__pool_destroy(crowd);
}
END_TEST

START_TEST(ranges_cover_all_once)
{
    for (int64_t n = 0; n <= LONGEST; n += 1 + n / 7)
        for (int64_t grain = 1; grain <= LONGEST; grain *= 3) {
            int parts = parts_of(pool, n, grain);
            ck_assert_int_le(parts, 2 * THREADS);
            if (n < 2 * grain)
                ck_assert_int_eq(parts, 1);
        }
    ck_assert_int_gt(parts_of(pool, LONGEST, 16), 1);
    ck_assert_int_eq(parts_of(NULL, LONGEST, 16), 1);
}
END_TEST

/* ---- Memory -------------------------------------------------------------------------------- */

START_TEST(only_create_allocates)
{
    long long calls = atomic_load(&memory.calls);
    ck_assert(run_counts(pool, JOBS));
    ck_assert_int_eq(atomic_load(&memory.calls), calls);
    mtl__allocator al = test_allocator(&memory);
    memory.fail_at = calls + 1;
    ck_assert_ptr_null(mtl__pool_create(&al, 3));
    memory.fail_at = 0;
}
END_TEST

static void add_pool_case(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("thread");
    add_pool_case(s, "each job runs once", each_job_runs_once);
    add_pool_case(s, "no pool is the caller", no_pool_is_the_caller);
    add_pool_case(s, "short loops follow each other", short_loops_follow_each_other);
    add_pool_case(s, "more threads than CPUs", many_threads);
    add_pool_case(s, "all threads work at once", all_threads_work_at_once);
    add_pool_case(s, "sleeping workers wake", sleeping_workers_wake);
    add_pool_case(s, "warm only for a moment", warm_only_for_a_moment);
    add_pool_case(s, "held up for a while", held_up_for_a_while);
    add_pool_case(s, "idle workers sleep", idle_workers_sleep);
    add_pool_case(s, "threads start when needed and are joined",
                  threads_start_when_needed_and_are_joined);
    add_pool_case(s, "refused threads are done without", refused_threads_are_done_without);
    add_pool_case(s, "a loop in a job stays in its thread", a_loop_in_a_job_stays_in_its_thread);
    add_pool_case(s, "a second caller works alone", a_second_caller_works_alone);
    add_pool_case(s, "callers from many threads", callers_from_many_threads);
    add_pool_case(s, "jobs round to nearest, the host as it likes",
                  jobs_round_to_nearest_and_the_host_keeps_its_mode);
    add_pool_case(s, "workers take no signals of the host", workers_take_no_signals_of_the_host);
#if !UNDER_TSAN
    add_pool_case(s, "a child has threads of its own", a_child_has_threads_of_its_own);
    add_pool_case(s, "a child may just destroy", a_child_may_just_destroy);
    add_pool_case(s, "a fork in the middle of a loop", a_fork_in_the_middle_of_a_loop);
    add_pool_case(s, "threads of a child race for the pool", threads_of_a_child_race_for_the_pool);
#endif
    add_pool_case(s, "sharing pays for large work", sharing_pays_for_large_work);
    add_pool_case(s, "sharing pays for much small work", sharing_comes_to_pay_for_much_small_work);
    add_pool_case(s, "ranges cover all once", ranges_cover_all_once);
    add_pool_case(s, "only create allocates", only_create_allocates);
    return run_suite(s);
}
