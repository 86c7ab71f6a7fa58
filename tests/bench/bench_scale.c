/* SPDX-License-Identifier: MIT */
/* The cost of a training step as one measure of the problem grows: where it does not follow the
   arithmetic, the last column says so. */
#include "bench.h"

#include <math.h>
#include <stdio.h>

typedef struct series {
    const char *name;
    int64_t sizes[16];
    int64_t quick_most;
    bench_net (*net)(int64_t size);
} series;

static bench_net by_width(int64_t width)
{
    return (bench_net){
        .inputs = 64, .widths = {width, width}, .tasks = 3, .classes = 1, .rows = 640, .batch = 64};
}

static bench_net by_batch(int64_t batch)
{
    return (bench_net){.inputs = 64,
                       .widths = {128, 128},
                       .tasks = 4,
                       .classes = 1,
                       .rows = mtl__max(2048, 2 * batch),
                       .batch = batch};
}

static bench_net by_tasks(int64_t tasks)
{
    return (bench_net){.inputs = 64,
                       .widths = {128, 128},
                       .tasks = tasks,
                       .classes = 1,
                       .rows = 1280,
                       .batch = 64};
}

static bench_net by_classes(int64_t classes)
{
    return (bench_net){.inputs = 64,
                       .widths = {128, 128},
                       .tasks = 4,
                       .classes = classes,
                       .rows = 1280,
                       .batch = 64};
}

/* Beyond 1e6 rows the data, 800 MB of inputs at 1e7, are larger than any cache. */
static bench_net by_rows(int64_t rows)
{
    return (bench_net){
        .inputs = 20, .widths = {64, 64}, .tasks = 3, .classes = 1, .rows = rows, .batch = 32};
}

static const series all[] = {
    {"width", {16, 32, 64, 128, 256, 512, 1024, 2048, 4096}, 1024, by_width},
    {"batch", {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}, 1024, by_batch},
    {"tasks", {1, 3, 10, 30, 100, 300, 1000}, 1000, by_tasks},
    {"classes", {2, 10, 30, 100, 300, 1000}, 1000, by_classes},
    {"rows", {1000, 10000, 100000, 1000000, 10000000}, 100000, by_rows},
};

/* Returns microseconds per million of operations. */
static double run_size(const series *s, int64_t size, double least)
{
    char name[32];
    snprintf(name, sizeof name, "scale-%s-%lld", s->name, (long long)size);
    if (!bench_wanted(name))
        return HUGE_VAL;
    bench_net net = s->net(size);
    net.epochs = mtl__max(20 * net.batch / net.rows, 1); /* 20 steps of a timing at least */
    bench_data data = bench_make_data(&net);
    bench_fit fit = bench_time_fit(&net, &data, 1, bench.seconds);
    bench_free_data(&data);
    double us = fit.best * 1e6, mflops = bench_step_flops(&net) * 1e-6;
    bench_value(name, "libmtl", 1, "us_per_step", us);
    bench_value(name, "libmtl", 1, "us_per_mflop", us / mflops);
    bench_value(name, "libmtl", 1, "x_arithmetic", us / mflops * fit.peak * 1e-3);
    bench_say("%-20s %14.2f %12.3f %10.3f %10.2f %10.2f\n", name, us, mflops, us / mflops,
              us / mflops * fit.peak * 1e-3, us / mflops / fmin(least, us / mflops));
    return us / mflops;
}

void bench_run_scale(void)
{
    bench_title(
        "Scaling of a training step, one thread; last column: cost of an operation against\n"
        "the cheapest of the smaller sizes, 1 or less where the cost follows the arithmetic");
    if (!bench.list)
        bench_say("%-20s %14s %12s %10s %10s %10s\n", "case", "us per step", "MFLOP", "us/MFLOP",
                  "ratio", "growth");
    for (int i = 0; i < MTL__COUNT_OF(all); i++) {
        double least = HUGE_VAL;
        for (int k = 0; k < MTL__COUNT_OF(all[i].sizes) && all[i].sizes[k] > 0; k++)
            if (!bench.quick || all[i].sizes[k] <= all[i].quick_most)
                least = fmin(least, run_size(&all[i], all[i].sizes[k], least));
    }
}
