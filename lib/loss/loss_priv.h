/* SPDX-License-Identifier: MIT */
/* The losses that loss.c lists. */
#ifndef MTL__LOSS_PRIV_H
#define MTL__LOSS_PRIV_H

#include "loss/loss.h"

/* What logistic losses are made of, each exact to a few ULP for any finite z. */
typedef struct mtl__logistic {
    float soft[MTL__LOSS_CHUNK];       /* log(1 + exp(z)) */
    float soft_minus[MTL__LOSS_CHUNK]; /* log(1 + exp(-z)) */
    float p[MTL__LOSS_CHUNK];          /* sigmoid(z) */
    float p_minus[MTL__LOSS_CHUNK];    /* sigmoid(-z) */
} mtl__logistic;

void mtl__logistic_of(const mtl__vec *v, int64_t n, const float *z, mtl__logistic *out);

/* elements.c */
mtl__element_fn mtl__binary_elements, mtl__focal_elements, mtl__absolute_elements,
    mtl__huber_elements, mtl__log_cosh_elements, mtl__poisson_elements, mtl__gamma_elements,
    mtl__tweedie_elements;

/* rows.c */
mtl__by_rows_fn mtl__smooth_rows, mtl__focal_rows, mtl__ordinal_rows, mtl__quantile_rows;
mtl__link_fn mtl__ordinal_link, mtl__quantile_link;

/* unlink.c */
mtl__unlink_fn mtl__unlink_sigmoid, mtl__unlink_log, mtl__unlink_ordinal, mtl__unlink_quantile;

#endif
