/* SPDX-License-Identifier: MIT */
/* Prediction of few and of many rows. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct job {
    const mtl_model *model;
    mtl_predictor *predictor;
    int64_t rows, inputs, outputs;
    float *x, *out;
} job;

static void by_predict(void *arg)
{
    const job *j = arg;
    bench_check(mtl_predict(j->model, j->rows, j->x, j->inputs, j->out, j->outputs, NULL), NULL);
}

static void by_predictor(void *arg)
{
    const job *j = arg;
    bench_check(mtl_predictor_run(j->predictor, j->rows, j->x, j->inputs, j->out, j->outputs, NULL),
                NULL);
}

static void report(const char *name, const char *peer, const bench_net *net, int64_t rows,
                   int threads, bench_samples *s)
{
    double arithmetic = bench_row_flops(net) * (double)rows / (bench_peak() * 1e9);
    double best = bench_best(s), median = bench_median(s);
    bench_value(name, peer, threads, "us_best", best * 1e6);
    bench_value(name, peer, threads, "us_median", median * 1e6);
    bench_value(name, peer, threads, "x_arithmetic", best / arithmetic);
    bench_say("%-16s %-17s %d %12.3f %12.3f %12.3f %8.2f\n", name, peer, threads, best * 1e6,
              median * 1e6, arithmetic * 1e6, best / arithmetic);
}

/* The predictor never uses more than the caller's thread. */
static void run_rows(const char *name, const bench_net *net, const mtl_model *model, int64_t rows,
                     int threads)
{
    static bench_runner runners[2];
    const int ways = threads == 1 ? 2 : 1;
    job j = {
        .model = model, .rows = rows, .inputs = net->inputs, .outputs = mtl_model_outputs(model)};
    j.x = bench_floats(rows * j.inputs, 7);
    j.out = bench_floats(rows * j.outputs, 8);
    bench_check(mtl_predictor_create(model, 0, &j.predictor, NULL), NULL);
    runners[0] = (bench_runner){.run = by_predict, .arg = &j};
    runners[1] = (bench_runner){.run = by_predictor, .arg = &j};
    bench_interleave(runners, ways, bench.seconds, false);
    report(name, "libmtl", net, rows, threads, &runners[0].samples);
    if (ways == 2)
        report(name, "libmtl-predictor", net, rows, threads, &runners[1].samples);
    mtl_predictor_destroy(j.predictor);
    free(j.x);
    free(j.out);
}

static void run_case(char letter, int threads)
{
    static const int64_t rows[] = {1, 32, 4096};
    const bench_net *net = bench_case(letter);
    mtl_context *ctx = bench_context(threads);
    mtl_model *model = bench_model(net, ctx);
    for (int i = 0; i < MTL__COUNT_OF(rows); i++) {
        char name[32];
        snprintf(name, sizeof name, "predict-%c-b%lld", letter, (long long)rows[i]);
        if (bench_wanted(name))
            run_rows(name, net, model, rows[i], threads);
    }
    mtl_model_destroy(model);
    mtl_context_destroy(ctx);
}

void bench_run_predict(void)
{
    bench_title("Prediction, microseconds per call");
    if (!bench.list)
        bench_say("%-16s %-17s %s %12s %12s %12s %8s\n", "case", "peer", "t", "best", "median",
                  "arithmetic", "ratio");
    for (int i = 0; i < (bench.list ? 1 : bench.thread_counts); i++)
        for (char letter = 'a'; letter <= 'b'; letter++)
            run_case(letter, bench.threads[i]);
}
