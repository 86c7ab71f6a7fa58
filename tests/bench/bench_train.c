/* SPDX-License-Identifier: MIT */
/* Whole fits: shuffle, gather, forward, losses, backward, Adam. */
#include "bench.h"

#include <stdio.h>

static void report(const char *name, const bench_net *net, int threads, const bench_fit *fit)
{
    double flops = bench_step_flops(net), arithmetic = flops / (fit->peak * 1e9);
    bench_value(name, "fma-peak", threads, "gflops", fit->peak * threads);
    bench_value(name, "libmtl", threads, "samples_per_s", (double)net->batch / fit->best);
    bench_value(name, "libmtl", threads, "us_per_step", fit->best * 1e6);
    bench_value(name, "libmtl", threads, "us_per_step_med", fit->median * 1e6);
    bench_value(name, "libmtl", threads, "gflops", flops / fit->best * 1e-9);
    bench_value(name, "libmtl", threads, "x_arithmetic", fit->best / arithmetic);
    bench_value(name, "libmtl", threads, "last_loss", fit->loss);
    bench_say("%-24s %d %12.2f %12.2f %12.2f %8.2f %8.1f\n", name, threads, fit->best * 1e6,
              fit->median * 1e6, arithmetic * 1e6, fit->best / arithmetic, fit->peak);
}

static void run_net(const char *name, bench_net net)
{
    if (!bench_wanted(name))
        return;
    if (bench.quick) /* a shorter epoch of the same steps */
        net.rows = mtl__min(net.rows, 4 * net.batch + 512);
    bench_data data = bench_make_data(&net);
    for (int i = 0; i < bench.thread_counts; i++) {
        bench_fit fit = bench_time_fit(&net, &data, bench.threads[i], 4 * bench.seconds);
        report(name, &net, bench.threads[i], &fit);
    }
    bench_free_data(&data);
}

static void run_case(char letter)
{
    char name[40];
    snprintf(name, sizeof name, "train-%c", letter);
    run_net(name, *bench_case(letter));
}

static void run_dropout(char letter)
{
    char name[40];
    bench_net net = *bench_case(letter);
    net.dropout = 0.1;
    snprintf(name, sizeof name, "train-%c-dropout", letter);
    run_net(name, net);
}

static void run_weighted(char letter, const char *weighting, const char *scope)
{
    char name[40];
    bench_net net = *bench_case(letter);
    net.weighting = weighting;
    net.scope = scope;
    snprintf(name, sizeof name, "train-%c-%s-%s", letter, weighting, scope);
    run_net(name, net);
}

/* Case a with many tasks; weighting NULL = the plain sum. */
static void run_many(const char *weighting, const char *scope)
{
    char name[40];
    bench_net net = *bench_case('a');
    net.tasks = 16;
    net.weighting = weighting;
    net.scope = scope;
    snprintf(name, sizeof name, "train-a16%s%s%s%s", weighting ? "-" : "", weighting ? weighting : "",
             weighting ? "-" : "", weighting ? scope : "");
    run_net(name, net);
}

void bench_run_train(void)
{
    static const char *const weightings[][2] = {{"upgrad", "trunk"},    {"cagrad", "trunk"},
                                                {"pcgrad", "trunk"},    {"upgrad", "features"},
                                                {"cagrad", "features"}, {"pcgrad", "features"},
                                                {"famo", "features"}};
    bench_title("Training, microseconds per step; arithmetic: at one thread's FMA peak");
    if (!bench.list)
        bench_say("%-24s %s %12s %12s %12s %8s %8s\n", "case", "t", "best", "median", "arithmetic",
                  "ratio", "peak");
    for (char letter = 'a'; letter <= 'c'; letter++)
        run_case(letter);
    for (char letter = 'a'; letter <= 'b'; letter++)
        run_dropout(letter);
    for (char letter = 'a'; letter <= 'b'; letter++)
        for (int i = 0; i < MTL__COUNT_OF(weightings); i++)
            run_weighted(letter, weightings[i][0], weightings[i][1]);
    run_many(NULL, NULL);
    for (int i = 0; i < MTL__COUNT_OF(weightings); i++)
        run_many(weightings[i][0], weightings[i][1]);
}
