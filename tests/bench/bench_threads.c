/* SPDX-License-Identifier: MIT */
/* Two threads against one: alone, beside a program that keeps a CPU busy, and two fits at once. */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "gemm/gemm.h"

enum { THREADS = 2 };

/* --- products ----------------------------------------------------------------------------- */

typedef struct square {
    const mtl__gemm *g;
    mtl__gemm_call call;
    mtl__pool *pool;
    float *work;
} square;

static void run_square(void *arg)
{
    const square *s = arg;
    mtl__gemm_run(s->g, &s->call, s->pool, s->work);
}

static square make_square(int64_t n, mtl__pool *pool)
{
    const mtl__gemm *g = mtl__gemm_native(bench.level);
    /* The operands are the same for all: where they lie has a say in the time of small ones. */
    static float *a, *b, *c;
    static int64_t made;
    if (made != n) {
        free(a), free(b), free(c);
        a = bench_floats(n * n, 1), b = bench_floats(n * n, 2), c = bench_floats(n * n, 3);
        made = n;
    }
    return (square){
        .g = g,
        .call = {.kind = MTL__GEMM_NN,
                 .m = n,
                 .n = n,
                 .k = n,
                 .a = a,
                 .lda = n,
                 .b = b,
                 .ldb = n,
                 .c = c,
                 .ldc = n},
        .pool = pool,
        .work =
            bench_floats(mtl__gemm_workspace(g, MTL__GEMM_NN, n, n, n, mtl__pool_slots(pool)), 4),
    };
}

/* --- beside a busy program ---------------------------------------------------------------- */

/* The other program keeps the last CPU busy. One thread then has the first to itself, which is
   what two threads, free to go anywhere, are held against. */
typedef enum company { ALONE, BUSY } company;

/* A program with real-time priority would push the other one aside and measure nothing. */
static void give_up_priority(void)
{
    struct sched_param none = {0};
    sched_setscheduler(0, SCHED_OTHER, &none);
}

static void stay_on(bool last)
{
    cpu_set_t set;
    int chosen = -1;
    sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set) && (last || chosen < 0))
            chosen = i;
    CPU_ZERO(&set);
    CPU_SET(chosen, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static double burn(const void *arg)
{
    volatile double x = 1.0;
    (void)arg;
    give_up_priority();
    stay_on(true);
    while (x > 0.0)
        x = x * 0.999 + 1.0;
    return x;
}

static void settle(company with, int threads)
{
    if (with == ALONE)
        return;
    give_up_priority();
    if (threads == 1)
        stay_on(false);
}

/* fn(arg) in a process of its own, which calls settle(). */
static double measure(double (*fn)(const void *arg), const void *arg, company with)
{
    if (with == ALONE)
        return bench_join(bench_fork(fn, arg));
    bench_child burner = bench_fork(burn, NULL);
    double result = bench_join(bench_fork(fn, arg));
    bench_kill(burner);
    return result;
}

static void report(const char *name, double one, double two, double busy)
{
    bench_value(name, "libmtl", 1, "us", one * 1e6);
    bench_value(name, "libmtl", THREADS, "us", two * 1e6);
    bench_value(name, "libmtl", THREADS, "x_one_thread", two / one);
    bench_value(name, "libmtl", THREADS, "x_busy", busy);
    bench_say("%-20s %12.2f %12.2f %8.3f %8.3f\n", name, one * 1e6, two * 1e6, two / one, busy);
}

/* --- products, by turns ------------------------------------------------------------------- */

static void time_squares(int64_t n, double seconds[2])
{
    static bench_runner runners[2];
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, THREADS);
    square s[2] = {make_square(n, NULL), make_square(n, pool)};
    for (int i = 0; i < 2; i++)
        runners[i] = (bench_runner){.run = run_square, .arg = &s[i]};
    bench_interleave(runners, 2, bench.seconds, false);
    for (int i = 0; i < 2; i++) {
        seconds[i] = bench_best(&runners[i].samples);
        free(s[i].work);
    }
    mtl__pool_destroy(pool);
}

typedef struct square_job {
    int64_t n;
    int threads;
} square_job;

static double busy_square(const void *arg)
{
    static bench_runner runner;
    const square_job *j = arg;
    settle(BUSY, j->threads);
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, j->threads);
    square s = make_square(j->n, pool);
    runner = (bench_runner){.run = run_square, .arg = &s};
    bench_interleave(&runner, 1, bench.seconds / 2, false);
    free(s.work);
    mtl__pool_destroy(pool);
    return bench_median(&runner.samples);
}

static void run_squares(void)
{
    static const int64_t sizes[] = {8,   16,  32,  48,  64,  80,  96,  112,  128,
                                    144, 160, 192, 224, 256, 384, 512, 1024, 2048};
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++) {
        char name[32];
        double seconds[2];
        square_job one = {sizes[i], 1}, two = {sizes[i], THREADS};
        snprintf(name, sizeof name, "threads-sq%lld-NN", (long long)sizes[i]);
        if ((bench.quick && (i % 3 != 1 || sizes[i] > 1024)) || !bench_wanted(name))
            continue;
        time_squares(sizes[i], seconds);
        report(name, seconds[0], seconds[1],
               measure(busy_square, &two, BUSY) / measure(busy_square, &one, BUSY));
    }
}

/* --- fits --------------------------------------------------------------------------------- */

/* Data are made once, before the processes part. */
typedef struct fit_job {
    bench_net net;
    bench_data data;
    int threads;
    company with;
} fit_job;

static double time_fit(const void *arg)
{
    const fit_job *j = arg;
    settle(j->with, j->threads);
    bench_fit fit = bench_time_fit(&j->net, &j->data, j->threads, 3 * bench.seconds);
    return j->with == ALONE ? fit.best : fit.median;
}

static double fit_seconds(fit_job job, int threads, company with)
{
    job.threads = threads;
    job.with = with;
    return measure(time_fit, &job, with);
}

static fit_job make_job(char letter)
{
    fit_job j = {.net = *bench_case(letter)};
    j.net.rows = mtl__min(j.net.rows, 50 * j.net.batch); /* several timings in the time given */
    j.data = bench_make_data(&j.net);
    return j;
}

static void run_fit(char letter)
{
    char name[32];
    snprintf(name, sizeof name, "threads-train-%c", letter);
    if (!bench_wanted(name))
        return;
    fit_job j = make_job(letter);
    report(name, fit_seconds(j, 1, ALONE), fit_seconds(j, THREADS, ALONE),
           fit_seconds(j, THREADS, BUSY) / fit_seconds(j, 1, BUSY));
    bench_free_data(&j.data);
}

/* Two hosts that each use all CPUs, against one with one thread beside a busy program: the fair
   share of each is one CPU. */
static void run_processes(char letter)
{
    char name[32];
    snprintf(name, sizeof name, "processes-train-%c", letter);
    if (!bench_wanted(name))
        return;
    fit_job j = make_job(letter);
    double one = fit_seconds(j, 1, BUSY);
    j.threads = THREADS;
    j.with = BUSY; /* each is the other's company */
    bench_child first = bench_fork(time_fit, &j), second = bench_fork(time_fit, &j);
    double slower = fmax(bench_join(first), bench_join(second));
    bench_value(name, "libmtl", THREADS, "us_per_step_med", slower * 1e6);
    bench_value(name, "libmtl", THREADS, "x_one_thread", slower / one);
    bench_say("%-20s %12.2f %12.2f %8.3f\n", name, one * 1e6, slower * 1e6, slower / one);
    bench_free_data(&j.data);
}

void bench_run_threads(void)
{
    if (!bench.list && mtl__cpu_count() < THREADS) {
        bench_say("left out: threads, this process has one CPU\n");
        return;
    }
    bench_title("Two threads against one, microseconds; busy: another program keeps a CPU busy");
    if (!bench.list)
        bench_say("%-20s %12s %12s %8s %8s\n", "case", "1 thread", "2 threads", "2 / 1", "busy");
    run_squares();
    for (char letter = 'a'; letter <= 'b'; letter++)
        run_fit(letter);
    for (char letter = 'a'; letter <= 'b'; letter++)
        run_processes(letter);
}
