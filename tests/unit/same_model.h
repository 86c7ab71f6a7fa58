/* SPDX-License-Identifier: MIT */
/* Models held against what another program found, and against what a file or a copy of them gives. */
#ifndef MTL_SAME_MODEL_H
#define MTL_SAME_MODEL_H

#include "golden.h"
#include "saved.h"

/* All tensors one after the other in the order of their numbers. */
static inline void set_parameters(mtl_model *m, const golden *all)
{
    const char *name;
    const float *values = all->f;
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const int64_t n = tensor_size(m, i, &name);
        done(mtl_model_tensor_set(m, name, n, values, err));
        values += n;
    }
    ck_assert_int_eq(values - all->f, all->count);
}

/* Tensor by tensor, so that a small bias is not judged by a large weight. */
static inline void assert_parameters(const mtl_model *m, const golden *all, double bound, const char *what)
{
    const char *name;
    int64_t count, at = 0;
    float *p = parameters(m, &count);
    ck_assert_int_eq(count, all->count);
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const int64_t n = tensor_size(m, i, &name);
        const double distance = golden_distance(n, p + at, all->d + at);
        ck_assert_msg(distance < bound, "%s, %s: off by %g", what, name, distance);
        at += n;
    }
    free(p);
}

/* The model from its own file and its clone: its tensors, and its file again to the byte. The caller
   destroys both. */
static inline void read_and_clone(const mtl_model *m, mtl_model *copy[2])
{
    bytes file = saved(m);
    copy[0] = copy[1] = NULL;
    done(mtl_model_load_buffer(NULL, file.p, file.size, &copy[0], err));
    done(mtl_model_clone(m, &copy[1], err));
    for (int i = 0; i < 2; i++) {
        bytes again = saved(copy[i]);
        assert_same_model(m, copy[i]);
        ck_assert_int_eq(again.size, file.size);
        ck_assert_mem_eq(again.p, file.p, (size_t)file.size);
        free(again.p);
    }
    free(file.p);
}

/* A golden folder's x [rows, inputs] with the tasks "fails", "grade" and "hours". */
typedef struct torch_data {
    golden x, y[3];
    mtl_dataset *d;
} torch_data;

static inline torch_data torch_data_make(const char *folder, int64_t rows, int64_t inputs)
{
    static const char *const task[] = {"fails", "grade", "hours"};
    char file[96];
    torch_data data = {.d = NULL};
    snprintf(file, sizeof file, "%s/x.npy", folder);
    data.x = golden_read(file);
    ck_assert_int_eq(data.x.count, rows * inputs);
    done(mtl_dataset_create(NULL, data.x.f, rows, inputs, inputs, &data.d, err));
    for (int t = 0; t < 3; t++) {
        const int64_t cols = t == 2 ? 2 : 1;
        snprintf(file, sizeof file, "%s/y_%s.npy", folder, task[t]);
        data.y[t] = golden_read(file);
        ck_assert_int_eq(data.y[t].count, rows * cols);
        done(mtl_dataset_set_labels(data.d, task[t], cols, data.y[t].f, cols, err));
    }
    return data;
}

static inline void torch_data_free(torch_data *data)
{
    mtl_dataset_destroy(data->d);
    for (int t = 0; t < 3; t++)
        golden_free(&data->y[t]);
    golden_free(&data->x);
}

/* A model of three tasks, 6 outputs in all, after 0, 1 and 10 steps of descent from kind_params_0.npy:
   kind_params_1.npy, kind_out_1.npy and so on in that folder. */
static inline void check_descent(const char *folder, const char *kind, const mtl_spec *s, int64_t inputs,
                                 int64_t rows, double bound)
{
    static const int steps[] = {0, 1, 10};
    char file[128], text[128];
    torch_data data = torch_data_make(folder, rows, inputs);
    snprintf(file, sizeof file, "%s/%s_params_0.npy", folder, kind);
    golden start = golden_read(file);
    float *out = floats(rows * 6);
    for (int i = 0; i < 3; i++) {
        mtl_model *m = NULL;
        done(mtl_model_create(s, &m, err));
        set_parameters(m, &start);
        snprintf(text, sizeof text,
                 "epochs=%d batch_size=64 shuffle=0 scale_inputs=0 scale_targets=0 "
                 "learning_rate=0.05 optimizer=sgd", steps[i]);
        if (steps[i])
            fit(m, data.d, text);
        snprintf(file, sizeof file, "%s/%s_params_%d.npy", folder, kind, steps[i]);
        golden g = golden_read(file);
        assert_parameters(m, &g, bound, file);
        golden_free(&g);
        snprintf(file, sizeof file, "%s/%s_out_%d.npy", folder, kind, steps[i]);
        g = golden_read(file);
        ck_assert_int_eq(g.count, rows * 6);
        done(mtl_predict(m, rows, data.x.f, inputs, out, 6, err));
        ck_assert_msg(golden_distance(g.count, out, g.d) < bound, "%s: off by %g", file,
                      golden_distance(g.count, out, g.d));
        golden_free(&g);
        mtl_model_destroy(m);
    }
    free(out);
    golden_free(&start);
    torch_data_free(&data);
}

static inline void assert_summary(const mtl_model *m, const char *part)
{
    char *text = NULL;
    done(mtl_model_summary(m, &text, err));
    ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in \"%s\"", part, text);
    mtl_free(text);
}

#endif
