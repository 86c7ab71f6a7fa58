/* SPDX-License-Identifier: MIT */
#include "thread/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/fpstate.h"
#include "cpu/cpu.h"

/* Turns of the wait loop before a thread goes to sleep, about 50 us: longer than the serial parts
   between two loops of a training step, shorter than a host would notice. */
enum { SPIN_TURNS = 2000, STACK_BYTES = 256 * 1024 };

/* Fewest multiply-adds that are shared with threads that wait, and with threads that sleep. Two
   threads of a Zen 4 against one: warm 1.5 times as fast at 64 cubed and 1.8 at 96; cold 1.4 times
   at 192 cubed and 1.7 at 256, but 0.7 and 0.83 times while another program holds the second core. */
enum { SHARE_WARM = 256 * 1024, SHARE_COLD = 12 << 20 };
/* Work that is too small to wake threads for it alone wakes them where it follows so closely that
   what came within CLOSE ns would have been enough: what comes next then finds them waiting. If
   nothing does, or their CPU is busy, that is tried again RETRY ns later, then after twice as long,
   and so on up to LATEST: a try costs the wake-up, and what a thread spins for where it takes the
   caller's CPU. */
enum { CLOSE = 1000 * 1000, RETRY = 1000 * 1000, LATEST = 64 * 1000 * 1000 };
/* Multiply-adds that take as long as a grain of mtl__pool_ranges. */
enum { GRAIN_WORK = 256 * 1024 };

/* After a loop that was held up the callers stay alone for AFTER times as long as that took, at
   most MOST_ALONE ns: so trying again costs a fifth of the time at worst. A wait is too long from
   twice a job and HELD ns on; one job is what a loop may end with. */
enum { HELD = 50 * 1000, AFTER = 5, MOST_ALONE = 100 * 1000 * 1000 };

typedef struct worker {
    mtl__pool *pool;
    pthread_t thread;
    int slot;
    unsigned seen; /* last loop that it knows of */
} worker;

/* A loop is open while jobs may be taken. A worker that comes while it is open is counted in busy;
   one that comes late finds it closed and touches nothing of it. So the caller never waits for a
   thread that the system has not scheduled. */
struct mtl__pool {
    mtl__allocator al;
    int slots, spin;
    /* The process whose threads and locks these are; -pid while that process makes them anew. */
    atomic_long owner;

    pthread_mutex_t running; /* held by the caller whose loop it is */
    int started;             /* workers that exist; guarded by running */
    bool refused;            /* the system gave no thread: ask no more */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake, idle;
    int sleeping;
    bool open;
    atomic_bool stop;
    atomic_uint loop; /* number of the loop; read without the lock by spinning workers */
    atomic_int busy;  /* workers in the loop; read without the lock by the spinning caller */
    atomic_int spinning;

    mtl__job_fn *fn;
    void *arg;
    int64_t jobs;
    atomic_llong since, passed, retry; /* small work: its begin, in ns; how much; the next wait */
    atomic_llong alone;                     /* until this time, in ns; 0 = was never held up */
    _Alignas(MTL__ALIGN) atomic_llong next; /* job to be taken: a cache line of its own */
    _Alignas(MTL__ALIGN) worker workers[];
};

static int64_t pool_bytes(int slots)
{
    return (int64_t)(sizeof(mtl__pool) + sizeof(worker) * (size_t)slots);
}

static void init_sync(mtl__pool *p)
{
    pthread_mutex_init(&p->running, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
}

mtl__pool *mtl__pool_create(const mtl__allocator *al, int threads)
{
    assert(threads >= 1);
    mtl__pool *p = mtl__alloc_zero(al, pool_bytes(threads));
    if (!p)
        return NULL;
    p->al = *al;
    p->slots = threads;
    /* Spinning helps only while every thread has a CPU to itself. */
    p->spin = threads <= mtl__cpu_count() ? SPIN_TURNS : 0;
    atomic_init(&p->owner, (long)getpid());
    init_sync(p);
    return p;
}

int mtl__pool_slots(const mtl__pool *p)
{
    return p ? p->slots : 1;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool mtl__pool_is_held_up(const mtl__pool *p)
{
    int64_t alone = p ? atomic_load_explicit(&p->alone, memory_order_relaxed) : 0;
    return alone > 0 && now_ns() < alone;
}

bool mtl__pool_is_warm(const mtl__pool *p)
{
    return p && atomic_load_explicit(&p->spinning, memory_order_relaxed) > 0;
}

/* Is it time to wake threads for small work? The numbers are hints: callers that come together may
   lose some. */
static bool has_come_often(mtl__pool *p, int64_t work)
{
    int64_t now = now_ns(), since = atomic_load_explicit(&p->since, memory_order_relaxed);
    if (p->spin == 0 || now < since)
        return false;
    if (now - since > CLOSE) {
        atomic_store_explicit(&p->since, now, memory_order_relaxed);
        atomic_store_explicit(&p->passed, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&p->passed, work, memory_order_relaxed) + work < SHARE_COLD)
        return false;
    int64_t retry = atomic_load_explicit(&p->retry, memory_order_relaxed);
    atomic_store_explicit(&p->since, now + retry, memory_order_relaxed);
    atomic_store_explicit(&p->passed, 0, memory_order_relaxed);
    retry = mtl__max(RETRY, mtl__min(2 * retry, LATEST));
    atomic_store_explicit(&p->retry, retry, memory_order_relaxed);
    return true;
}

bool mtl__pool_pays(mtl__pool *p, int64_t work)
{
    if (mtl__pool_slots(p) == 1 || work < SHARE_WARM || mtl__pool_is_held_up(p))
        return false;
    if (!mtl__pool_is_warm(p))
        return work >= SHARE_COLD || has_come_often(p, work);
    atomic_store_explicit(&p->retry, 0, memory_order_relaxed);
    return true;
}

static void relax(void)
{
#if MTL__ARCH_X86
    __builtin_ia32_pause();
#elif MTL__ARCH_ARM64
    __asm__ volatile("isb");
#endif
}

/* --- jobs --------------------------------------------------------------------------------- */

static void do_all(int64_t jobs, mtl__job_fn *fn, void *arg)
{
    mtl__fpstate fp = mtl__fp_enter();
    for (int64_t job = 0; job < jobs; job++)
        fn(arg, job, 0);
    mtl__fp_leave(fp);
}

/* Returns how many it did. */
static int64_t take_jobs(mtl__pool *p, int slot)
{
    mtl__fpstate fp = mtl__fp_enter();
    int64_t job, done = 0;
    while ((job = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->jobs) {
        p->fn(p->arg, job, slot);
        done++;
    }
    mtl__fp_leave(fp);
    return done;
}

/* --- workers ------------------------------------------------------------------------------ */

/* Wait for a loop after the one last seen; true if it is still open. */
static bool join_loop(mtl__pool *p, worker *w)
{
    atomic_fetch_add_explicit(&p->spinning, 1, memory_order_relaxed);
    for (int i = 0; i < p->spin && atomic_load_explicit(&p->loop, memory_order_relaxed) == w->seen;
         i++)
        relax();
    atomic_fetch_sub_explicit(&p->spinning, 1, memory_order_relaxed);
    pthread_mutex_lock(&p->lock);
    p->sleeping++;
    while (atomic_load(&p->loop) == w->seen)
        pthread_cond_wait(&p->wake, &p->lock);
    p->sleeping--;
    w->seen = atomic_load(&p->loop);
    bool open = p->open;
    if (open)
        atomic_fetch_add(&p->busy, 1);
    pthread_mutex_unlock(&p->lock);
    return open;
}

static void leave_loop(mtl__pool *p)
{
    pthread_mutex_lock(&p->lock);
    if (atomic_fetch_sub(&p->busy, 1) == 1)
        pthread_cond_signal(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    mtl__pool *p = w->pool;
    while (!atomic_load(&p->stop)) {
        if (!join_loop(p, w))
            continue;
        take_jobs(p, w->slot);
        leave_loop(p);
    }
    return NULL;
}

/* The host's signals go to the host's threads. Faults stay open: they belong to the thread that
   makes them, and the host may have a crash handler. */
static void worker_signals(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    sigfillset(set);
    for (int i = 0; i < MTL__COUNT_OF(faults); i++)
        sigdelset(set, faults[i]);
}

static bool start_worker(mtl__pool *p)
{
    worker *w = &p->workers[p->started];
    *w = (worker){.pool = p, .slot = p->started + 1, .seen = atomic_load(&p->loop)};
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int failed = pthread_create(&w->thread, &attr, worker_main, w);
    pthread_attr_destroy(&attr);
    /* Thread-local data of the host can be larger than a small stack. */
    if (failed)
        failed = pthread_create(&w->thread, NULL, worker_main, w);
    return !failed;
}

static void start_workers(mtl__pool *p, int64_t jobs)
{
    int wanted = (int)mtl__min(p->slots, jobs) - 1;
    if (p->started >= wanted || p->refused)
        return;
    sigset_t ours, old;
    worker_signals(&ours);
    pthread_sigmask(SIG_SETMASK, &ours, &old);
    while (p->started < wanted && !p->refused) {
        p->refused = !start_worker(p);
        p->started += !p->refused;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- callers ------------------------------------------------------------------------------ */

/* False when another thread of this process is at it. After fork() the child has no workers, and
   the locks may have been held by threads that it does not have: make them anew, never touch them.
   The first caller does it, without allocating; callers that come meanwhile work alone. */
static bool own(mtl__pool *p)
{
    long self = (long)getpid(), owner = atomic_load(&p->owner);
    if (owner == self)
        return true;
    if (owner == -self || !atomic_compare_exchange_strong(&p->owner, &owner, -self))
        return false;
    init_sync(p);
    p->started = p->sleeping = 0;
    p->refused = p->open = false;
    atomic_store(&p->busy, 0);
    atomic_store(&p->spinning, 0);
    atomic_store(&p->alone, 0);
    atomic_store(&p->owner, self);
    return true;
}

static void open_loop(mtl__pool *p, int64_t jobs, mtl__job_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    p->jobs = jobs;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    pthread_mutex_lock(&p->lock);
    p->open = true;
    atomic_fetch_add(&p->loop, 1);
    int wake = (int)mtl__min(p->sleeping, jobs - 1);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < wake; i++)
        pthread_cond_signal(&p->wake);
}

static void close_loop(mtl__pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->spin && atomic_load(&p->busy) > 0; i++)
        relax();
    if (atomic_load(&p->busy) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy) > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* The caller did `done` jobs in `work` ns and then waited for the rest. */
static void judge_wait(mtl__pool *p, int64_t work, int64_t done, int64_t waited)
{
    if (waited <= HELD + 2 * work / mtl__max(1, done))
        return;
    int64_t alone = now_ns() + mtl__min(AFTER * waited, MOST_ALONE);
    atomic_store_explicit(&p->alone, alone, memory_order_relaxed);
}

void mtl__pool_run(mtl__pool *p, int64_t jobs, mtl__job_fn *fn, void *arg)
{
    if (!p || p->slots == 1 || jobs <= 1 || !own(p) || pthread_mutex_trylock(&p->running) != 0) {
        do_all(jobs, fn, arg);
        return;
    }
    start_workers(p, jobs);
    int64_t begin = now_ns();
    open_loop(p, jobs, fn, arg);
    int64_t done = take_jobs(p, 0), end = now_ns();
    close_loop(p);
    judge_wait(p, end - begin, done, now_ns() - end);
    pthread_mutex_unlock(&p->running);
}

typedef struct ranges {
    int64_t n, part;
    mtl__range_fn *fn;
    void *arg;
} ranges;

static void run_range(void *arg, int64_t job, int slot)
{
    const ranges *r = arg;
    int64_t first = job * r->part;
    (void)slot;
    r->fn(r->arg, first, mtl__min(r->part, r->n - first));
}

void mtl__pool_ranges(mtl__pool *pool, int64_t n, int64_t grain, mtl__range_fn *fn, void *arg)
{
    int64_t grains = n / mtl__max(grain, 1), work;
    if (!mtl__mul_size(grains, GRAIN_WORK, &work))
        work = INT64_MAX;
    if (!mtl__pool_pays(pool, work)) {
        fn(arg, 0, n);
        return;
    }
    int64_t parts = mtl__min(grains, 2 * mtl__pool_slots(pool));
    ranges r = {.n = n, .part = ((n - 1) / parts + 16) / 16 * 16, .fn = fn, .arg = arg};
    mtl__pool_run(pool, (n + r.part - 1) / r.part, run_range, &r);
}

static void stop_workers(mtl__pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->loop, 1); /* p->open is false: nobody joins it */
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->running);
}

void mtl__pool_destroy(mtl__pool *p)
{
    if (!p)
        return;
    if (atomic_load(&p->owner) == (long)getpid())
        stop_workers(p);
    mtl__allocator al = p->al;
    mtl__free(&al, p, pool_bytes(p->slots));
}
