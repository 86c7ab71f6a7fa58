/* SPDX-License-Identifier: MIT */
/* Clocks, rounds, processes. A machine is seldom idle, so what is compared takes turns of about a
   millisecond, and the best and the median turn are kept. */
#include "bench.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peak.h"

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_nap(double seconds)
{
    struct timespec t = {.tv_nsec = (long)(seconds * 1e9)};
    nanosleep(&t, NULL);
}

/* --- the yardstick ------------------------------------------------------------------------ */

static double best_peak, best_avx2;

void bench_peak_reset(void)
{
    best_peak = best_avx2 = 0.0;
}

void bench_peak_observe(void)
{
    best_peak = fmax(best_peak, ck_peak(bench.level));
    if (bench.level >= MTL__CPU_AVX2)
        best_avx2 = fmax(best_avx2, ck_peak(MTL__CPU_AVX2));
}

double bench_peak_avx2(void)
{
    return best_avx2;
}

double bench_peak(void)
{
    if (best_peak <= 0.0)
        bench_peak_observe();
    return best_peak;
}

static void *observe_in_thread(void *rate)
{
    double *best = rate;
    for (double end = bench_now() + 0.05; bench_now() < end;)
        *best = fmax(*best, ck_peak(bench.level));
    return NULL;
}

/* All threads at once: does the clock hold when all cores work? */
static double peak_of(int threads)
{
    pthread_t thread[BENCH_MAX_THREADS];
    double rate[BENCH_MAX_THREADS] = {0}, sum = 0.0;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, observe_in_thread, &rate[i]) != 0)
            bench_die("no thread");
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        sum += rate[i];
    }
    return sum;
}

void bench_run_peak(void)
{
    bench_title("FMA from registers, GFLOP/s: the yardstick");
    for (int i = 0; i < bench.thread_counts; i++) {
        int threads = bench.threads[i];
        double rate = peak_of(threads);
        bench_value("peak", "fma-peak", threads, "gflops", rate);
        bench_say("%-8s %d thread%s %10.1f\n", mtl__cpu_name(bench.level), threads,
                  threads > 1 ? "s" : " ", rate);
    }
}

/* --- samples ------------------------------------------------------------------------------ */

void bench_add(bench_samples *s, double seconds)
{
    if (s->count < BENCH_SAMPLES)
        s->seconds[s->count++] = seconds;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_best(const bench_samples *s)
{
    double best = HUGE_VAL;
    for (int i = 0; i < s->count; i++)
        best = fmin(best, s->seconds[i]);
    return best;
}

double bench_median(bench_samples *s)
{
    if (s->count == 0)
        return NAN;
    qsort(s->seconds, (size_t)s->count, sizeof s->seconds[0], compare_doubles);
    return s->seconds[s->count / 2];
}

/* --- rounds ------------------------------------------------------------------------------- */

/* Long beside the clock's 20 ns, short beside a time slice. */
#define ROUND 1e-3

static void calibrate(bench_runner *r)
{
    r->samples.count = 0;
    int64_t calls = 0;
    double start = bench_now(), spent;
    do {
        r->run(r->arg);
        calls++;
        spent = bench_now() - start;
    } while (spent < ROUND);
    r->calls = mtl__max((int64_t)(ROUND / spent * (double)calls), 1);
    if (spent > 100 * ROUND) /* too dear to throw away, and too long to matter as a warm-up */
        bench_add(&r->samples, spent);
}

static void round_of(bench_runner *r)
{
    double start = bench_now();
    for (int64_t i = 0; i < r->calls; i++)
        r->run(r->arg);
    bench_add(&r->samples, (bench_now() - start) / (double)r->calls);
}

static void in_short_turns(bench_runner *runners, int count, double seconds)
{
    enum { FEWEST = 3 };
    for (int i = 0; i < count; i++)
        calibrate(&runners[i]);
    double end = bench_now() + seconds;
    for (int round = 0; runners[0].samples.count < FEWEST || bench_now() < end; round++) {
        for (int i = 0; i < count; i++)
            round_of(&runners[i]);
        if (round % 4 == 0)
            bench_peak_observe();
    }
}

/* Some libraries keep their threads spinning after a call, OpenBLAS for 26 ms, and take long to
   wake them: so a pause, and calls that do not count. */
static void long_turn(bench_runner *r, double seconds)
{
    const double pause = 0.04, warm_up = 0.02;
    bench_nap(pause);
    if (r->samples.count == 0)
        calibrate(r);
    for (double end = bench_now() + warm_up; r->calls > 1 && bench_now() < end;)
        r->run(r->arg);
    bench_peak_observe();
    double end = bench_now() + seconds;
    do
        round_of(r);
    while (bench_now() < end);
}

static void in_long_turns(bench_runner *runners, int count, double seconds)
{
    enum { TURNS = 2 };
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < count; i++)
            long_turn(&runners[i], seconds / (TURNS * count));
}

void bench_interleave(bench_runner *runners, int count, double seconds, bool apart)
{
    bench_peak_reset();
    (apart && count > 1 ? in_long_turns : in_short_turns)(runners, count, seconds);
}

/* --- processes ---------------------------------------------------------------------------- */

bench_child bench_fork(double (*fn)(const void *arg), const void *arg)
{
    int ends[2];
    if (pipe(ends) != 0)
        bench_die("no pipe");
    bench_child child = {.pid = fork(), .pipe = ends[0]};
    if (child.pid < 0)
        bench_die("no process");
    if (child.pid > 0) {
        close(ends[1]);
        return child;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    double result = fn(arg);
    _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
}

double bench_join(bench_child child)
{
    double result = NAN;
    if (read(child.pipe, &result, sizeof result) != sizeof result)
        result = NAN;
    close(child.pipe);
    waitpid(child.pid, NULL, 0);
    return result;
}

void bench_kill(bench_child child)
{
    kill(child.pid, SIGKILL);
    bench_join(child);
}

/* --- numbers ------------------------------------------------------------------------------ */

float *bench_floats(int64_t n, uint32_t seed)
{
    void *p;
    if (posix_memalign(&p, MTL__ALIGN, (size_t)mtl__max(n, 1) * sizeof(float)) != 0)
        bench_die("no memory for %lld numbers", (long long)n);
    float *x = p;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}
