/* SPDX-License-Identifier: MIT */
/* The example that libmtl comes from: 20 inputs, two shared layers of 64, three tasks "is the row of
 * class t?", trained on the sum of their losses. data/seed/README.md says how the rows were made.
 *
 *     seed [--seeds 20] [--epochs 10] [--data examples/data/seed]
 *
 * prints for each seed, on the 200 test rows: the accuracy of the three rounded probabilities, the
 * accuracy of the class with the highest one, and the summed loss; then their means.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/mtl.h>

#ifndef SEED_DATA
#define SEED_DATA "examples/data/seed"
#endif

enum { TASKS = 3, FIGURES = 3 };
static const char *const task_names[TASKS] = {"class_0", "class_1", "class_2"};

/* Rows, and one column of 0 and 1 per task. */
typedef struct part {
    int64_t rows, inputs;
    float *x, *class_number, *label[TASKS];
    mtl_dataset *data;
} part;

static void close_part(part *p)
{
    mtl_dataset_destroy(p->data);
    free(p->x); /* the other columns lie behind it */
}

/* The files hold the class number: the tasks' labels are one-against-rest. */
static mtl_status open_part(part *p, const char *folder, const char *which, mtl_error *err)
{
    char path[4096];
    mtl_dataset *file = NULL;
    mtl_status status;

    snprintf(path, sizeof path, "%s/X_%s.npy", folder, which);
    if ((status = mtl_dataset_load_npy(NULL, path, &file, err)))
        return status;
    snprintf(path, sizeof path, "%s/y_%s.npy", folder, which);
    if ((status = mtl_dataset_load_npy_labels(file, "class", path, err)))
        goto done;

    p->rows = mtl_dataset_rows(file);
    p->inputs = mtl_dataset_inputs(file);
    p->x = malloc((size_t)(p->rows * (p->inputs + 1 + TASKS)) * sizeof *p->x);
    status = MTL_ERR_NOMEM;
    if (!p->x)
        goto done;
    p->class_number = p->x + p->rows * p->inputs;
    if ((status = mtl_dataset_get_inputs(file, 0, p->rows, p->x, p->inputs, err)) ||
        (status = mtl_dataset_get_labels(file, "class", 0, p->rows, p->class_number, 1, err)) ||
        (status = mtl_dataset_create(NULL, p->x, p->rows, p->inputs, p->inputs, &p->data, err)))
        goto done;
    for (int t = 0; t < TASKS && !status; t++) {
        p->label[t] = p->class_number + p->rows * (1 + t);
        for (int64_t i = 0; i < p->rows; i++)
            p->label[t][i] = (float)((int)p->class_number[i] == t);
        status = mtl_dataset_set_labels(p->data, task_names[t], 1, p->label[t], 1, err);
    }
done:
    mtl_dataset_destroy(file);
    return status;
}

static mtl_status describe(int64_t inputs, mtl_spec **spec, mtl_error *err)
{
    mtl_status status;
    if ((status = mtl_spec_create(NULL, inputs, spec, err)) ||
        (status = mtl_spec_set_initializer(*spec, "glorot_uniform", err)) ||
        (status = mtl_spec_add_dense(*spec, 64, "relu", err)) ||
        (status = mtl_spec_add_dense(*spec, 64, "relu", err)))
        return status;
    for (int t = 0; t < TASKS && !status; t++)
        status = mtl_spec_add_task(*spec, task_names[t], MTL_BINARY, 1, err);
    return status;
}

/* The document's settings. The rows are scaled already; no early stopping. */
static mtl_status fit_options(int64_t epochs, mtl_options **how, mtl_error *err)
{
    mtl_status status;
    if ((status = mtl_options_create(MTL_OPTIONS_FIT, how, err)) ||
        (status = mtl_options_set_i64(*how, "epochs", epochs, err)) ||
        (status = mtl_options_set_i64(*how, "batch_size", 32, err)) ||
        (status = mtl_options_set_str(*how, "optimizer", "adam:eps=1e-7", err)) ||
        (status = mtl_options_set_f64(*how, "learning_rate", 1e-3, err)) ||
        (status = mtl_options_set_f64(*how, "validation_split", 0.2, err)) ||
        (status = mtl_options_set_str(*how, "validation", "last", err)) ||
        (status = mtl_options_set_i64(*how, "patience", 0, err)) ||
        (status = mtl_options_set_i64(*how, "scale_inputs", 0, err)))
        return status;
    return MTL_OK;
}

static mtl_status judge(const mtl_model *model, const part *test, double figure[FIGURES],
                        mtl_error *err)
{
    mtl_report *report = NULL;
    int64_t rounded = 0, highest = 0;
    float *p = malloc((size_t)test->rows * TASKS * sizeof *p);
    mtl_status status = MTL_ERR_NOMEM;
    if (!p)
        return status;
    if ((status = mtl_predict(model, test->rows, test->x, test->inputs, p, TASKS, err)) ||
        (status = mtl_evaluate(model, test->data, NULL, &report, err)) ||
        (status = mtl_report_get_f64(report, "loss", &figure[2], err)))
        goto done;
    for (int64_t i = 0; i < test->rows; i++) {
        int best = 0;
        for (int t = 0; t < TASKS; t++) {
            rounded += (p[i * TASKS + t] > 0.5f) == (test->label[t][i] > 0.5f);
            if (p[i * TASKS + t] > p[i * TASKS + best])
                best = t;
        }
        highest += best == (int)test->class_number[i];
    }
    figure[0] = (double)rounded / (double)(test->rows * TASKS);
    figure[1] = (double)highest / (double)test->rows;
done:
    mtl_report_destroy(report);
    free(p);
    return status;
}

static mtl_status run(const mtl_spec *spec, const part *train, const part *test, mtl_options *how,
                      int64_t seed, double figure[FIGURES], mtl_error *err)
{
    mtl_model *model = NULL;
    mtl_status status;
    if ((status = mtl_options_set_i64(how, "seed", seed, err)) ||
        (status = mtl_model_create(spec, &model, err)) ||
        (status = mtl_fit(model, train->data, NULL, how, NULL, err)))
        goto done;
    status = judge(model, test, figure, err);
done:
    mtl_model_destroy(model);
    return status;
}

static mtl_status run_all(const part *train, const part *test, int64_t seeds, int64_t epochs,
                          mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_options *how = NULL;
    double sum[FIGURES] = {0}, squares[FIGURES] = {0};
    mtl_status status;

    if ((status = describe(train->inputs, &spec, err)) || (status = fit_options(epochs, &how, err)))
        goto done;
    printf("seed      rounded     argmax       loss\n");
    for (int64_t seed = 0; seed < seeds; seed++) {
        double figure[FIGURES];
        if ((status = run(spec, train, test, how, seed, figure, err)))
            goto done;
        printf("%4lld  %11.6f%11.6f%11.6f\n", (long long)seed, figure[0], figure[1], figure[2]);
        for (int k = 0; k < FIGURES; k++) {
            sum[k] += figure[k];
            squares[k] += figure[k] * figure[k];
        }
    }
    printf("mean  ");
    for (int k = 0; k < FIGURES; k++)
        printf("%11.6f", sum[k] / (double)seeds);
    printf("\nsd    ");
    for (int k = 0; k < FIGURES; k++) {
        double excess = squares[k] - sum[k] * sum[k] / (double)seeds;
        printf("%11.6f", seeds > 1 ? sqrt(fmax(excess, 0) / (double)(seeds - 1)) : 0.0);
    }
    printf("\n");
done:
    mtl_options_destroy(how);
    mtl_spec_destroy(spec);
    return status;
}

int main(int argc, char **argv)
{
    const char *folder = SEED_DATA;
    int64_t seeds = 20, epochs = 10;
    part train = {0}, test = {0};
    mtl_error *err = NULL;
    mtl_status status;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = atoi(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--epochs") == 0)
            epochs = atoi(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--data") == 0)
            folder = argv[i + 1];
        else
            seeds = 0;
    }
    if (seeds < 1 || epochs < 1) {
        fprintf(stderr, "use: seed [--seeds N] [--epochs N] [--data FOLDER]\n");
        return 2;
    }
    err = mtl_error_create();
    if ((status = open_part(&train, folder, "train", err)) ||
        (status = open_part(&test, folder, "test", err)))
        goto done;
    status = run_all(&train, &test, seeds, epochs, err);
done:
    if (status)
        fprintf(stderr, "seed: %s: %s\n", mtl_status_name(status), mtl_error_message(err));
    close_part(&train);
    close_part(&test);
    mtl_error_destroy(err);
    return status != MTL_OK;
}
