/* SPDX-License-Identifier: MIT */
/* Networks, data and timed fits, through the public interface alone. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const bench_net *bench_case(char name)
{
    static const bench_net nets[] = {
        {.inputs = 20,
         .widths = {64, 64},
         .tasks = 3,
         .classes = 1,
         .rows = 640,
         .batch = 32,
         .epochs = 10},
        {.inputs = 128,
         .widths = {256, 256},
         .tasks = 8,
         .classes = 1,
         .rows = 100000,
         .batch = 256,
         .epochs = 1},
        {.inputs = 512,
         .widths = {1024, 1024, 1024},
         .tasks = 16,
         .classes = 10,
         .rows = 20000,
         .batch = 1024,
         .epochs = 1},
    };
    return &nets[name - 'a'];
}

/* Below an embedding or factors the first layer's input gradient is wanted too. */
static double flops(const bench_net *net, int first_passes, int passes)
{
    double sum = passes * 2.0 * (double)(net->inputs * net->terms);
    int64_t in = net->inputs * mtl__max(net->units, 1);
    if (net->numeric || net->ensemble)
        first_passes = passes;
    for (int i = 0; i < MTL__COUNT_OF(net->widths) && net->widths[i] > 0; i++) {
        sum += (i == 0 ? first_passes : passes) * 2.0 * (double)in * (double)net->widths[i];
        in = net->widths[i];
    }
    sum += passes * 2.0 * (double)in * (double)(net->tasks * net->classes);
    return sum * (double)mtl__max(net->members, 1);
}

double bench_step_flops(const bench_net *net)
{
    return flops(net, 2, 3) * (double)mtl__min(net->batch, net->rows);
}

double bench_row_flops(const bench_net *net)
{
    return flops(net, 1, 1);
}

void bench_check(mtl_status status, mtl_error *err)
{
    if (status != MTL_OK)
        bench_die("%s: %s", mtl_status_name(status), mtl_error_message(err));
}

mtl_context *bench_context(int threads)
{
    mtl_error *err = mtl_error_create();
    mtl_options *o;
    mtl_context *ctx;
    bench_check(mtl_options_create(MTL_OPTIONS_CONTEXT, &o, err), err);
    bench_check(mtl_options_set_i64(o, "threads", threads, err), err);
    bench_check(mtl_options_set_str(o, "cpu", mtl__cpu_name(bench.level), err), err);
    bench_check(mtl_context_create(o, &ctx, err), err);
    mtl_options_destroy(o);
    mtl_error_destroy(err);
    return ctx;
}

static void task_name(char out[16], int64_t task)
{
    snprintf(out, 16, "t%lld", (long long)task);
}

mtl_model *bench_model(const bench_net *net, mtl_context *ctx)
{
    mtl_error *err = mtl_error_create();
    mtl_spec *spec;
    mtl_model *model;
    char name[16];
    bench_check(mtl_spec_create(ctx, net->inputs, &spec, err), err);
    if (net->numeric)
        bench_check(mtl_spec_add_numeric_embedding(spec, net->numeric, 0, NULL, err), err);
    if (net->ensemble)
        bench_check(mtl_spec_set_ensemble(spec, net->members, net->ensemble, err), err);
    for (int i = 0; i < MTL__COUNT_OF(net->widths) && net->widths[i] > 0; i++) {
        bench_check(mtl_spec_add_dense(spec, net->widths[i], "relu", err), err);
        if (net->dropout > 0)
            bench_check(mtl_spec_add_dropout(spec, net->dropout, err), err);
    }
    for (int64_t t = 0; t < net->tasks; t++) {
        task_name(name, t);
        bench_check(mtl_spec_add_task(spec, name, net->classes > 1 ? MTL_MULTICLASS : MTL_BINARY,
                                      net->classes, err),
                    err);
    }
    bench_check(mtl_model_create(spec, &model, err), err);
    mtl_spec_destroy(spec);
    mtl_error_destroy(err);
    return model;
}

/* Something to learn, and cheap to make: the sign of an input, or which of some is the largest. */
static float label_of(const bench_net *net, const float *row, int64_t task)
{
    int64_t best = 0, first = task * net->classes;
    if (net->classes == 1)
        return row[task % net->inputs] > 0.0f;
    for (int64_t c = 1; c < net->classes; c++)
        if (row[(first + c) % net->inputs] > row[(first + best) % net->inputs])
            best = c;
    return (float)best;
}

bench_data bench_make_data(const bench_net *net)
{
    mtl_error *err = mtl_error_create();
    bench_data d = {.x = bench_floats(net->rows * net->inputs, 5),
                    .y = bench_floats(net->rows * net->tasks, 6)};
    char name[16];
    for (int64_t r = 0; r < net->rows; r++)
        for (int64_t t = 0; t < net->tasks; t++)
            d.y[r * net->tasks + t] = label_of(net, d.x + r * net->inputs, t);
    bench_check(mtl_dataset_create(NULL, d.x, net->rows, net->inputs, net->inputs, &d.set, err),
                err);
    for (int64_t t = 0; t < net->tasks; t++) {
        task_name(name, t);
        bench_check(mtl_dataset_set_labels(d.set, name, 1, d.y + t, net->tasks, err), err);
    }
    mtl_error_destroy(err);
    return d;
}

void bench_free_data(bench_data *data)
{
    mtl_dataset_destroy(data->set);
    free(data->x);
    free(data->y);
}

/* --- a timed fit -------------------------------------------------------------------------- */

typedef struct watch {
    int64_t epochs;      /* of one timing */
    int64_t epoch, step; /* where the running timing began */
    double began;        /* likewise */
    double seconds, end; /* how long to go on, so until when */
    double loss;
    bench_samples steps;
} watch;

enum { FEWEST = 2 }; /* timings */

/* Called by mtl_fit after each epoch, and in between when an epoch is long. The first epoch is
   warm-up. */
static int32_t on_progress(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                           void *user)
{
    watch *w = user;
    double time = bench_now();
    (void)steps, (void)valid;
    if (epoch < w->epoch + (w->epoch == 0 ? 1 : w->epochs))
        return MTL_CONTINUE;
    if (w->epoch == 0)
        w->end = time + w->seconds;
    else
        bench_add(&w->steps, (time - w->began) / (double)(step - w->step));
    w->loss = train;
    w->epoch = epoch;
    w->step = step;
    bench_peak_observe();
    w->began = bench_now();
    return w->began < w->end || w->steps.count < FEWEST ? MTL_CONTINUE : 0;
}

static mtl_options *fit_options(const bench_net *net, watch *w)
{
    mtl_error *err = mtl_error_create();
    mtl_options *o;
    bench_check(mtl_options_create(MTL_OPTIONS_FIT, &o, err), err);
    bench_check(mtl_options_set_i64(o, "epochs", 1000000, err), err);
    bench_check(mtl_options_set_i64(o, "batch_size", net->batch, err), err);
    if (net->weighting) {
        bench_check(mtl_options_set_str(o, "weighting", net->weighting, err), err);
        bench_check(mtl_options_set_str(o, "weighting_scope", net->scope, err), err);
    }
    bench_check(mtl_options_set_progress(o, on_progress, w, err), err);
    mtl_error_destroy(err);
    return o;
}

bench_fit bench_time_fit(const bench_net *net, const bench_data *data, int threads, double seconds)
{
    static watch w;
    w = (watch){.epochs = mtl__max(net->epochs, 1), .seconds = seconds};
    mtl_error *err = mtl_error_create();
    mtl_context *ctx = bench_context(threads);
    mtl_model *model = bench_model(net, ctx);
    mtl_options *o = fit_options(net, &w);
    bench_peak_reset();
    bench_check(mtl_fit(model, data->set, NULL, o, NULL, err), err);
    mtl_options_destroy(o);
    mtl_model_destroy(model);
    mtl_context_destroy(ctx);
    mtl_error_destroy(err);
    return (bench_fit){.best = bench_best(&w.steps),
                       .median = bench_median(&w.steps),
                       .peak = bench_peak(),
                       .loss = w.loss};
}
