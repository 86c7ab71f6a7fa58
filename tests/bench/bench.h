/* SPDX-License-Identifier: MIT */
/* mtl_bench: how fast libmtl is, against the arithmetic of the machine it runs on and against the
   libraries found there. One file per group of measurements; each reports values by the names
   (case, peer, threads, metric) and prints a line for people as it goes. */
#ifndef BENCH_H
#define BENCH_H

#include <mtl/mtl.h>

#include "base/base.h"
#include "cpu/cpu.h"

enum { BENCH_MAX_THREADS = 8, BENCH_MAX_PEERS = 8 };

/* What the command line asks for. */
typedef struct bench_options {
    const char *only, *filter, *peers; /* patterns of groups, cases, libraries; NULL = all */
    const char *library;               /* libmtl.so, for the cold start and the size */
    mtl__cpu_level level;
    int threads[BENCH_MAX_THREADS], thread_counts;
    double seconds; /* per case, about */
    bool quick, csv, list;
} bench_options;
extern bench_options bench;

/* --- bench_main.c ------------------------------------------------------------------------ */

/* Whether to run the case; with --list prints its name instead. */
bool bench_wanted(const char *name);
bool bench_matches(const char *patterns, const char *name);

/* --- bench_measure.c --------------------------------------------------------------------- */

double bench_now(void); /* seconds */
void bench_nap(double seconds);

/* Best FMA rate of one thread, in GFLOP/s, seen since the last bench_peak_reset(): at the chosen
   level, and at AVX2 (0 where there is none). */
void bench_peak_reset(void);
double bench_peak(void);
double bench_peak_avx2(void);
void bench_peak_observe(void);

/* Times of one thing, in seconds, in the order they were taken. */
enum { BENCH_SAMPLES = 4000 };
typedef struct bench_samples {
    int count;
    double seconds[BENCH_SAMPLES];
} bench_samples;
void bench_add(bench_samples *s, double seconds);
double bench_best(const bench_samples *s);
double bench_median(bench_samples *s);

/* Things to be timed side by side: a round of each in turn, the FMA peak in between. */
typedef struct bench_runner {
    void (*run)(void *arg);
    void *arg;
    int64_t calls; /* of a round, about a millisecond */
    bench_samples samples;
} bench_runner;
/* `apart`: some keep threads spinning after a call, so each gets a long turn of its own with a
   pause before it, instead of short ones. */
void bench_interleave(bench_runner *runners, int count, double seconds, bool apart);

/* Run fn(arg) in a process of its own, its result comes back; NAN when it failed. begin + end, so
   that several run at once. */
typedef struct bench_child {
    int pid, pipe;
} bench_child;
bench_child bench_fork(double (*fn)(const void *arg), const void *arg);
double bench_join(bench_child child);
void bench_kill(bench_child child);

/* 64-byte aligned numbers in [-1, 1), the same in every run; ends the program without memory. */
float *bench_floats(int64_t n, uint32_t seed);

/* --- bench_report.c ---------------------------------------------------------------------- */

void bench_value(const char *name, const char *peer, int threads, const char *metric, double value);
/* NAN when there is none. */
double bench_find(const char *name, const char *peer, int threads, const char *metric);
/* A line for people; nothing with --csv. */
void bench_say(const char *format, ...) MTL__PRINTF(1, 2);
void bench_title(const char *title);
/* All targets that a value was measured for, each with its verdict. */
void bench_targets(void);
/* The end of the program: message on standard error. */
_Noreturn void bench_die(const char *format, ...) MTL__PRINTF(1, 2);

/* --- bench_peers.c ----------------------------------------------------------------------- */

typedef struct bench_sgemm {
    bool ta, tb;
    int64_t m, n, k;
    const float *a, *b;
    int64_t lda, ldb;
    float *c; /* [m, n], stride n */
} bench_sgemm;

typedef struct bench_peer {
    const char *label;
    void (*sgemm)(const struct bench_peer *peer, const bench_sgemm *call);
    void *library, *function;
} bench_peer;

/* The libraries of this machine; those that are missing are named in a line. */
int bench_peers(const bench_peer **peers);
bool bench_add_peer(const char *text); /* LABEL=cblas:FILE or LABEL=dnnl:FILE */
void bench_peer_threads(const bench_peer *peer, int threads);

/* --- bench_net.c ------------------------------------------------------------------------- */

/* A network, its data and how it is trained. */
typedef struct bench_net {
    int64_t inputs, widths[4]; /* of the layers, 0 = no more */
    int64_t tasks, classes;    /* classes = 1: binary tasks */
    int64_t rows, batch;
    int64_t epochs; /* of one timing */
    const char *weighting, *scope; /* NULL = the sum of the losses */
    const char *numeric; /* an embedding of all inputs; NULL = none */
    int64_t units;       /* columns that it makes of one, and its multiply-adds for that */
    int64_t terms;
    double dropout;       /* behind each hidden layer */
    const char *ensemble; /* its kind; NULL = none */
    int64_t members;
} bench_net;

const bench_net *bench_case(char name); /* 'a', 'b', 'c' */
/* Multiply and add counted apart: of a step (forward, weight gradient, input gradient but of the
   first layer), and of a row of prediction. */
double bench_step_flops(const bench_net *net);
double bench_row_flops(const bench_net *net);

typedef struct bench_data {
    float *x, *y;
    mtl_dataset *set;
} bench_data;
void bench_check(mtl_status status, mtl_error *err); /* ends the program when it is not MTL_OK */
mtl_context *bench_context(int threads);
mtl_model *bench_model(const bench_net *net, mtl_context *ctx);
bench_data bench_make_data(const bench_net *net);
void bench_free_data(bench_data *data);

typedef struct bench_fit {
    double best, median; /* seconds of a step */
    double peak;         /* of one thread, in the same seconds */
    double loss;
} bench_fit;
/* Time mtl_fit from one epoch's end to another's: whole loop, no set-up. */
bench_fit bench_time_fit(const bench_net *net, const bench_data *data, int threads, double seconds);

/* --- groups ------------------------------------------------------------------------------- */

void bench_run_peak(void);
void bench_run_gemm(void);
void bench_run_train(void);
void bench_run_predict(void);
void bench_run_cold(void);
int bench_cold_child(const char *library);
void bench_run_threads(void);
void bench_run_scale(void);
void bench_run_sparse(void);
void bench_run_rows(void);

#endif
