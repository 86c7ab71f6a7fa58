/* SPDX-License-Identifier: MIT */
/* A complete program: two tasks learned together from arrays in memory, one prediction. With an
 * installed libmtl: cc minimal.c $(pkg-config --cflags --libs mtl) */
#include <stdio.h>

#include <mtl/mtl.h>

enum { ROWS = 2000, INPUTS = 2 };
static float x[ROWS][INPUTS], inside[ROWS], sum[ROWS];

/* Points of the square -1 .. 1: are they inside the unit circle, and what is the sum of the two? */
static void make_rows(void)
{
    unsigned state = 1;
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < INPUTS; k++) {
            state = state * 1664525u + 1013904223u;
            x[i][k] = (float)(state >> 8) / 8388608.0f - 1.0f;
        }
        inside[i] = x[i][0] * x[i][0] + x[i][1] * x[i][1] < 1.0f;
        sum[i] = x[i][0] + x[i][1];
    }
}

int main(void)
{
    const float point[INPUTS] = {0.3f, 0.4f};
    float predicted[2]; /* the tasks' outputs side by side, in the order they were added */
    mtl_error *err = mtl_error_create();
    mtl_dataset *data = NULL;
    mtl_spec *spec = NULL;
    mtl_model *model = NULL;
    mtl_options *how = NULL;
    int failed = 1;

    make_rows();
    if (mtl_dataset_create(NULL, x[0], ROWS, INPUTS, INPUTS, &data, err)) goto done;
    if (mtl_dataset_set_labels(data, "inside", 1, inside, 1, err)) goto done;
    if (mtl_dataset_set_labels(data, "sum", 1, sum, 1, err)) goto done;

    if (mtl_spec_create(NULL, INPUTS, &spec, err)) goto done;
    if (mtl_spec_add_dense(spec, 32, "relu", err)) goto done;
    if (mtl_spec_add_task(spec, "inside", MTL_BINARY, 1, err)) goto done;
    if (mtl_spec_add_task(spec, "sum", MTL_REGRESSION, 1, err)) goto done;
    if (mtl_model_create(spec, &model, err)) goto done;

    if (mtl_options_create(MTL_OPTIONS_FIT, &how, err)) goto done;
    if (mtl_options_set_i64(how, "epochs", 100, err)) goto done;
    if (mtl_fit(model, data, NULL, how, NULL, err)) goto done;
    if (mtl_predict(model, 1, point, INPUTS, predicted, 2, err)) goto done;
    printf("(0.3, 0.4): inside with probability %.3f, sum %.3f\n", (double)predicted[0],
           (double)predicted[1]);
    failed = 0;
done:
    if (failed)
        fprintf(stderr, "%s\n", mtl_error_message(err));
    mtl_options_destroy(how);
    mtl_model_destroy(model);
    mtl_spec_destroy(spec);
    mtl_dataset_destroy(data);
    mtl_error_destroy(err);
    return failed;
}
