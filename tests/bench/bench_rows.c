/* SPDX-License-Identifier: MIT */
/* What the rows of tabular networks cost: a training step behind a numeric embedding of 64 columns, beside
   that of a plain net whose first layer has as many inputs, and a step of an ensemble beside its
   arithmetic. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "vec/vec.h"

enum { COLUMNS = 64, WIDTH = 256, BATCH = 256, TASKS = 4, EPOCH_ROWS = 4096, LINE = 1024 };

static const bench_net plain_net = {.inputs = COLUMNS,
                                    .widths = {WIDTH, WIDTH},
                                    .tasks = TASKS,
                                    .classes = 1,
                                    .rows = EPOCH_ROWS,
                                    .batch = BATCH,
                                    .epochs = 1};

static bench_fit time_net(const bench_net *net, int threads)
{
    bench_data data = bench_make_data(net);
    bench_fit fit = bench_time_fit(net, &data, threads, 4 * bench.seconds);
    bench_free_data(&data);
    return fit;
}

/* --- numeric embeddings ------------------------------------------------------------------------- */

typedef struct waves {
    const mtl__vec *vec;
    float *x, *y, *slope;
} waves;

static void take_waves(void *arg)
{
    static const mtl__curve cosine = {MTL__CURVE_COS, 0, 0};
    const waves *w = arg;
    w->vec->curve(&cosine, 1, LINE, w->y, LINE, w->x, w->slope, LINE);
}

/* Seconds of a cosine with its slope, in the cache. */
static double time_of_wave(void)
{
    static bench_runner runner;
    waves w = {mtl__vec_table(bench.level), bench_floats(LINE, 1), bench_floats(LINE, 2),
               bench_floats(LINE, 3)};
    runner = (bench_runner){.run = take_waves, .arg = &w};
    bench_interleave(&runner, 1, bench.seconds, false);
    free(w.x), free(w.y), free(w.slope);
    return bench_best(&runner.samples) / LINE;
}

/* waves: cosines of a column, each taken forward and again on the way back. */
static void run_numeric(const char *kind, int64_t units, int64_t terms, int64_t waves_of_column,
                        int threads)
{
    char name[32];
    bench_net net = plain_net, plain = plain_net;
    snprintf(name, sizeof name, "numeric-%s", kind);
    if (!bench_wanted(name))
        return;
    net.numeric = kind;
    net.units = units;
    net.terms = terms;
    plain.inputs *= units;
    const bench_fit with = time_net(&net, threads), without = time_net(&plain, threads);
    const double wave = (double)(BATCH * COLUMNS * waves_of_column) * 2 * time_of_wave() / threads;
    const double own = bench_step_flops(&net) / (with.peak * 1e9 * threads) + wave;
    const double share = own / (bench_step_flops(&plain) / (without.peak * 1e9 * threads));
    const double ratio = with.best / without.best;
    bench_value(name, "libmtl", threads, "us_per_step", with.best * 1e6);
    bench_value(name, "libmtl", threads, "us_per_step_plain", without.best * 1e6);
    bench_value(name, "libmtl", threads, "x_plain", ratio);
    bench_value(name, "libmtl", threads, "x_share", ratio / share);
    bench_say("%-20s %d %12.1f %12.1f %10.2f %10.2f %10.2f\n", name, threads, with.best * 1e6,
              without.best * 1e6, ratio, share, ratio / share);
}

/* --- ensembles ------------------------------------------------------------------------------------ */

static void run_ensemble(const char *kind, int64_t members, int64_t width, int threads)
{
    char name[40];
    bench_net net = plain_net;
    snprintf(name, sizeof name, "%s-k%lld-%lld", kind, (long long)members, (long long)width);
    if (!bench_wanted(name))
        return;
    net.ensemble = kind;
    net.members = members;
    net.widths[0] = net.widths[1] = width;
    const bench_fit fit = time_net(&net, threads);
    const double ratio = fit.best * fit.peak * 1e9 / bench_step_flops(&net);
    bench_value(name, "libmtl", threads, "us_per_step", fit.best * 1e6);
    bench_value(name, "libmtl", threads, "x_arithmetic", ratio);
    bench_say("%-20s %d %12.1f %12.2f\n", name, threads, fit.best * 1e6, ratio);
}

void bench_run_rows(void)
{
    static const int64_t members[] = {8, 16, 32};
    bench_title("A step with a numeric embedding of 64 columns, beside a plain net with as many inputs;\n"
                "share: what its arithmetic takes of the plain net's; last column: ratio / share");
    if (!bench.list)
        bench_say("%-20s %s %12s %12s %10s %10s %10s\n", "case", "t", "us per step", "plain", "ratio",
                  "share", "x share");
    for (int i = 0; i < bench.thread_counts; i++) {
        run_numeric("cosine", 8, 0, 7, bench.threads[i]);
        run_numeric("pbld", 4, 16 * 3, 16, bench.threads[i]);
        run_numeric("plr", 24, 96 * 24, 48, bench.threads[i]);
        run_numeric("ple", 16, 0, 0, bench.threads[i]);
    }
    bench_title("A step of an ensemble of networks on 64 inputs beside its arithmetic");
    if (!bench.list)
        bench_say("%-20s %s %12s %12s\n", "case", "t", "us per step", "x arithmetic");
    for (int i = 0; i < bench.thread_counts; i++)
        for (int k = 0; k < MTL__COUNT_OF(members); k++) {
            run_ensemble("tabm", members[k], 128, bench.threads[i]);
            run_ensemble("tabm", members[k], 256, bench.threads[i]);
            run_ensemble("mini", members[k], 256, bench.threads[i]);
        }
}
