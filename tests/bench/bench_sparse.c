/* SPDX-License-Identifier: MIT */
/* The cost of a training step on sparse inputs as the number of columns grows: 64 values a row at
   random columns, the worst for the caches, 64 units and a binary task. An epoch is longer than a
   timing, so that no pass over all weights falls into one. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SPARSE_ROWS = 65536, SPARSE_LISTED = 64, SPARSE_BATCH = 32, STEPS = 50 };

typedef struct bag {
    int64_t *start;
    int32_t *column;
    float *value, *y;
    mtl_dataset *set;
} bag;

/* One column of each 64th part of them. */
static bag make_bag(int64_t columns)
{
    const int64_t n = (int64_t)SPARSE_ROWS * SPARSE_LISTED, part = columns / SPARSE_LISTED;
    mtl_error *err = mtl_error_create();
    bag b = {.start = malloc((SPARSE_ROWS + 1) * sizeof *b.start),
             .column = malloc((size_t)n * sizeof *b.column),
             .value = bench_floats(n, 8),
             .y = bench_floats(SPARSE_ROWS, 9)};
    if (!b.start || !b.column)
        bench_die("no memory");
    for (int64_t r = 0; r <= SPARSE_ROWS; r++)
        b.start[r] = r * SPARSE_LISTED;
    for (int64_t i = 0; i < n; i++) {
        double share = fabs((double)b.value[i]);
        b.column[i] = (int32_t)(i % SPARSE_LISTED * part + mtl__min(part - 1, (int64_t)(share * (double)part)));
    }
    for (int64_t r = 0; r < SPARSE_ROWS; r++)
        b.y[r] = b.y[r] > 0;
    bench_check(mtl_dataset_create_csr(NULL, SPARSE_ROWS, columns, b.start, b.column, b.value,
                                       &b.set, err),
                err);
    bench_check(mtl_dataset_set_labels(b.set, "t0", 1, b.y, 1, err), err);
    mtl_error_destroy(err);
    return b;
}

static void free_bag(bag *b)
{
    mtl_dataset_destroy(b->set);
    free(b->start), free(b->column), free(b->value), free(b->y);
}

static double time_steps(const bag *b, int64_t columns, int threads, const char *update)
{
    const bench_net net = {.inputs = columns, .widths = {64}, .tasks = 1, .classes = 1};
    static bench_samples samples;
    mtl_error *err = mtl_error_create();
    mtl_context *ctx = bench_context(threads);
    mtl_model *model = bench_model(&net, ctx);
    mtl_options *o;
    mtl_trainer *t;
    samples.count = 0;
    bench_check(mtl_options_create(MTL_OPTIONS_FIT, &o, err), err);
    bench_check(mtl_options_set_str(o, "sparse_update", update, err), err);
    bench_check(mtl_options_set_i64(o, "batch_size", SPARSE_BATCH, err), err);
    bench_check(mtl_trainer_create(model, b->set, NULL, o, &t, err), err);
    bench_check(mtl_trainer_step(t, STEPS, NULL, err), err);
    const double end = bench_now() + bench.seconds;
    for (int left = SPARSE_ROWS / SPARSE_BATCH / STEPS - 2; left > 0 && (bench_now() < end || samples.count < 2); left--) {
        double began = bench_now();
        bench_check(mtl_trainer_step(t, STEPS, NULL, err), err);
        bench_add(&samples, (bench_now() - began) / STEPS);
    }
    mtl_trainer_destroy(t);
    mtl_options_destroy(o);
    mtl_model_destroy(model);
    mtl_context_destroy(ctx);
    mtl_error_destroy(err);
    return bench_best(&samples);
}

static void run_size(int64_t columns, int threads, double *first)
{
    char name[32];
    snprintf(name, sizeof name, "sparse-%lld", (long long)columns);
    if (!bench_wanted(name))
        return;
    bag b = make_bag(columns);
    double lazy = time_steps(&b, columns, threads, "lazy") * 1e6;
    double dense = columns <= 100000 ? time_steps(&b, columns, threads, "dense") * 1e6 : NAN;
    free_bag(&b);
    *first = isnan(*first) ? lazy : *first;
    bench_value(name, "libmtl", threads, "us_per_step", lazy);
    bench_value(name, "libmtl", threads, "growth", lazy / *first);
    bench_value(name, "libmtl", threads, "us_per_step_dense", dense);
    bench_say("%-16s %8d %14.1f %10.2f %14.1f\n", name, threads, lazy, lazy / *first, dense);
}

void bench_run_sparse(void)
{
    static const int64_t sizes[] = {5000, 20000, 100000, 300000, 1000000};
    bench_title("A training step on sparse inputs, 64 values a row, by their columns; growth: against "
                "the fewest;\nlast column: with sparse_update = dense");
    if (!bench.list)
        bench_say("%-16s %8s %14s %10s %14s\n", "case", "threads", "us per step", "growth",
                  "us, dense rule");
    for (int threads = 1; threads <= 2; threads++) {
        double first = NAN;
        for (int i = 0; i < MTL__COUNT_OF(sizes); i++)
            if (!bench.quick || sizes[i] <= 20000)
                run_size(sizes[i], threads, &first);
    }
}
