/* SPDX-License-Identifier: MIT */
/* Eight threads predict with one model at the same time, each a slice of the rows, and then all of them
 * one by one with a predictor of its own. The results must be the bits that one thread gets from one
 * call. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/mtl.h>

enum { THREADS = 8, ROWS = 2000, INPUTS = 20, ROUNDS = 20 };

typedef struct work {
    const mtl_model *model;
    const float *x;
    float *out, *expected; /* [ROWS, outputs] */
    int64_t outputs, first, rows;
    mtl_status status;
    int wrong; /* results that differ */
} work;

/* A thread may have an mtl_error of its own; here the status is enough. */
static void *predict_slice(void *arg)
{
    work *w = arg;
    for (int round = 0; round < ROUNDS && !w->status; round++) {
        const float *x = w->x + w->first * INPUTS;
        float *out = w->out + w->first * w->outputs;
        w->status = mtl_predict(w->model, w->rows, x, INPUTS, out, w->outputs, NULL);
    }
    size_t bytes = (size_t)w->outputs * sizeof(float);
    mtl_predictor *predictor = NULL;
    if (!w->status)
        w->status = mtl_predictor_create(w->model, 1, &predictor, NULL);
    float *one = malloc(bytes);
    if (!one && !w->status)
        w->status = MTL_ERR_NOMEM;
    for (int64_t i = 0; i < ROWS && !w->status; i++) {
        w->status = mtl_predictor_run(predictor, 1, w->x + i * INPUTS, INPUTS, one, w->outputs, NULL);
        w->wrong += !w->status && memcmp(one, w->expected + i * w->outputs, bytes) != 0;
    }
    free(one);
    mtl_predictor_destroy(predictor);
    return NULL;
}

/* Rows of three classes; a task that tells them apart and a quick fit. */
static mtl_status learn(mtl_dataset **data, mtl_model **model, mtl_error *err)
{
    mtl_options *rows = NULL, *how = NULL;
    mtl_spec *spec = NULL;
    mtl_status status;
    if ((status = mtl_options_create(MTL_OPTIONS_MAKE_CLASSIFICATION, &rows, err)) ||
        (status = mtl_options_set_i64(rows, "rows", ROWS, err)) ||
        (status = mtl_options_set_i64(rows, "inputs", INPUTS, err)) ||
        (status = mtl_dataset_make_classification(NULL, rows, data, err)) ||
        (status = mtl_spec_create(NULL, INPUTS, &spec, err)) ||
        (status = mtl_spec_add_dense(spec, 64, "relu", err)) ||
        (status = mtl_spec_add_task(spec, "class", MTL_MULTICLASS, 3, err)) ||
        (status = mtl_model_create(spec, model, err)) ||
        (status = mtl_options_create(MTL_OPTIONS_FIT, &how, err)) ||
        (status = mtl_options_set_i64(how, "epochs", 5, err)))
        goto done;
    status = mtl_fit(*model, *data, NULL, how, NULL, err);
done:
    mtl_options_destroy(how);
    mtl_options_destroy(rows);
    mtl_spec_destroy(spec);
    return status;
}

/* Number of results that are not those of the serial call, or -1. */
static int run_threads(work common)
{
    pthread_t thread[THREADS];
    work part[THREADS];
    int started = 0, wrong = 0;
    for (int i = 0; i < THREADS; i++) {
        part[i] = common;
        part[i].first = (int64_t)ROWS * i / THREADS;
        part[i].rows = (int64_t)ROWS * (i + 1) / THREADS - part[i].first;
        if (pthread_create(&thread[i], NULL, predict_slice, &part[i]))
            break;
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
        wrong += part[i].wrong + (part[i].status != MTL_OK);
    }
    size_t bytes = (size_t)(ROWS * common.outputs) * sizeof(float);
    wrong += memcmp(common.out, common.expected, bytes) != 0;
    return started == THREADS ? wrong : -1;
}

int main(void)
{
    mtl_error *err = mtl_error_create();
    mtl_dataset *data = NULL;
    mtl_model *model = NULL;
    float *x = malloc(sizeof(float) * ROWS * INPUTS), *out = NULL, *expected = NULL;
    int wrong = -1;

    if (!x || learn(&data, &model, err) || mtl_dataset_get_inputs(data, 0, ROWS, x, INPUTS, err))
        goto done;
    int64_t outputs = mtl_model_outputs(model);
    out = calloc((size_t)(ROWS * outputs), sizeof *out);
    expected = calloc((size_t)(ROWS * outputs), sizeof *expected);
    if (!out || !expected || mtl_predict(model, ROWS, x, INPUTS, expected, outputs, err))
        goto done;
    wrong = run_threads((work){.model = model, .x = x, .out = out, .expected = expected,
                               .outputs = outputs});
    printf("%d threads, %d rows each alone and in slices: %d results differ from the serial ones\n",
           THREADS, ROWS, wrong);
done:
    if (wrong)
        fprintf(stderr, "predict_threads: %s\n", mtl_error_message(err));
    mtl_model_destroy(model);
    mtl_dataset_destroy(data);
    free(x);
    free(out);
    free(expected);
    mtl_error_destroy(err);
    return wrong != 0;
}
