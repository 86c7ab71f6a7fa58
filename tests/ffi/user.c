/* SPDX-License-Identifier: MIT */
/* A user's program, built from an installed copy by pkgconfig.sh. */
#include <stdio.h>

#include <mtl/mtl.h>

int main(void)
{
    static const float x[] = {0, 0, 0, 1, 1, 0, 1, 1}, either[] = {0, 1, 1, 1};
    float out[4];
    int failed = 1;
    mtl_error *err = mtl_error_create();
    mtl_dataset *data = NULL;
    mtl_spec *spec = NULL;
    mtl_model *model = NULL;
    mtl_options *how = NULL;

    if (mtl_dataset_create(NULL, x, 4, 2, 2, &data, err) ||
        mtl_dataset_set_labels(data, "either", 1, either, 1, err) ||
        mtl_spec_create(NULL, 2, &spec, err) || mtl_spec_add_dense(spec, 8, "tanh", err) ||
        mtl_spec_add_task(spec, "either", MTL_BINARY, 1, err) ||
        mtl_model_create(spec, &model, err) || mtl_options_create(MTL_OPTIONS_FIT, &how, err) ||
        mtl_options_set_i64(how, "epochs", 300, err) ||
        mtl_options_set_f64(how, "learning_rate", 0.05, err) ||
        mtl_fit(model, data, NULL, how, NULL, err) ||
        mtl_predict(model, 4, x, 2, out, 1, err))
        goto done;
    failed = 0;
    for (int i = 0; i < 4; i++)
        failed |= (out[i] > 0.5f) != (either[i] > 0.5f);
    printf("libmtl %s: %.2f %.2f %.2f %.2f\n", mtl_version_string(), (double)out[0],
           (double)out[1], (double)out[2], (double)out[3]);
done:
    if (mtl_error_code(err))
        printf("%s\n", mtl_error_message(err));
    mtl_options_destroy(how);
    mtl_model_destroy(model);
    mtl_spec_destroy(spec);
    mtl_dataset_destroy(data);
    mtl_error_destroy(err);
    return failed;
}
