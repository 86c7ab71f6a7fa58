/* SPDX-License-Identifier: MIT */
/* A network that learns what another model predicts. */
#ifndef MTL__DISTIL_H
#define MTL__DISTIL_H

#include "train/fit.h"

/* mtl_model_distil() without the checks of its arguments. */
mtl_status mtl__distil_fit(const mtl_model *teacher, const mtl_dataset *train,
                           const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                           mtl_report **report, mtl_error *err);

/* Outputs of a task, with gaps, to what is compared: probabilities at the temperature, or as they
   are. */
void mtl__soften(const mtl__vec *v, bool is_softmax, bool is_sigmoid, double temperature,
                 int64_t rows, int64_t cols, float *z, int64_t ld);
/* Before the way back, of the batch: weight * alpha T^2 KL(teacher | student), means over rows (and
   labels), by z; of what is no class the mean squared difference. Its gradient is added to dz, or
   (!adds) put there. want, have: z of both [rows, outputs], which do not outlast it. */
void mtl__teach_task(mtl__trainer *t, int64_t task, double alpha, double temperature, bool adds,
                     float *want, float *have);

#endif
