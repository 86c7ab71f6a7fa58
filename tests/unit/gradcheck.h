/* SPDX-License-Identifier: MIT */
/* Gradients by central differences, for any network, through the public header.

   One step of Adam with eps = 1, rate 1 and no memory (beta = 0) moves a parameter by d = g / (|g| + 1), so the
   step tells the gradient: g = d / (1 - |d|). Rounding the parameter to float32 costs about 6e-8 of
   it, which is the error of the gradient found. */
#ifndef MTL_GRADCHECK_H
#define MTL_GRADCHECK_H

#include "refnet.h"

#define ONE_STEP                                                                                   \
    "epochs=1 batch_size=100000 shuffle=0 scale_inputs=0 scale_targets=0 validation_split=0 "      \
    "learning_rate=1 optimizer=adam:beta1=0,beta2=0,eps=1 "

/* |ours - reference| <= 3e-6 max(1, |reference|) for every parameter: float32 sums over tens of rows
   keep 1e-6, a missing factor, mask or sign does not. */
#define GRADIENT_BOUND 3e-6

/* Gradient of the weighted sum of losses that one step of the model follows. Changes the model. */
static inline double *step_gradient(mtl_model *m, const mtl_dataset *data, int64_t *count)
{
    double *before = ref_parameters(m, count);
    fit(m, data, ONE_STEP);
    double *after = ref_parameters(m, count);
    for (int64_t i = 0; i < *count; i++) {
        double d = before[i] - after[i];
        after[i] = d / (1 - fabs(d));
    }
    free(before);
    return after;
}

/* The weights of an ordinal task's thresholds are not trained: their step is 0. */
static inline void drop_threshold_weights(const ref_net *n, const mtl_model *m, double *gradient)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t size = tensor_size(m, i, &name);
        for (int t = 0; t < ref_tasks(n); t++) {
            char head[64];
            snprintf(head, sizeof head, "head.%s.weight", n->task[t].name);
            for (int64_t k = 0; k < size && ref_is(&n->task[t], "ordinal") && !strcmp(head, name); k++)
                if (k % n->task[t].outputs != 0)
                    gradient[k] = 0;
        }
        gradient += size;
    }
}

static inline void check_gradients(const char *what, const ref_net *n, const ref_data *d,
                                   uint64_t seed)
{
    int64_t count;
    mtl_model *m = ref_model(n, NULL);
    mtl_dataset *data = ref_dataset(n, d, NULL);
    ref_scatter(m, seed);
    double *theta = ref_parameters(m, &count), largest = 0;
    double *expected = ref_gradient(n, theta, count, d);
    drop_threshold_weights(n, m, expected);
    double *found = step_gradient(m, data, &count);
    for (int64_t i = 0; i < count; i++) {
        double bound = GRADIENT_BOUND * fmax(1, fabs(expected[i]));
        ck_assert_msg(fabs(found[i] - expected[i]) <= bound,
                      "%s: parameter %lld: gradient %.9g, by differences %.9g", what, (long long)i,
                      found[i], expected[i]);
        largest = fmax(largest, fabs(expected[i]));
    }
    ck_assert_msg(largest > 0.01, "%s: all gradients are small: nothing was checked", what);
    free(theta), free(expected), free(found);
    mtl_dataset_destroy(data);
    mtl_model_destroy(m);
}

#endif
