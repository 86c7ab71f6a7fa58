/* SPDX-License-Identifier: MIT */
/* From options and data sets to a trainer, and the pipeline's fitting. */
#ifndef MTL__FIT_H
#define MTL__FIT_H

#include "train/trainer.h"

extern const mtl__option_group mtl__fit_options;

/* mtl_fit() without the checks of its arguments; the model is claimed. */
mtl_status mtl__fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                    const mtl_options *o, mtl_report **report, mtl_error *err);

/* New scaling figures beside the model's, so that a failure changes nothing. */
typedef struct mtl__scaling {
    const mtl__allocator *al;
    int64_t inputs, outputs;
    float *x_mean, *x_scale, *y_mean, *y_scale;
} mtl__scaling;

/* Those of the model, then fitted on data: inputs if fit_inputs; the targets of regression tasks for
   which fit_target [tasks] says so. */
mtl_status mtl__scaling_create(const mtl_model *m, const mtl__binding *b, bool fit_inputs,
                               const bool *fit_target, mtl__scaling *out, mtl_error *err);
void mtl__scaling_apply(const mtl__scaling *s, mtl_model *m);
void mtl__scaling_free(mtl__scaling *s);

#endif
