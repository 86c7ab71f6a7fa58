/* SPDX-License-Identifier: MIT */
/* Metrics per task on raw arrays; see mtl_metric() in mtl.h for shapes and names. */
#ifndef MTL__METRIC_H
#define MTL__METRIC_H

#include "mem/alloc.h"
#include "option/choice.h"

typedef struct mtl__metric_args {
    int64_t rows, outputs, predicted_stride, label_cols, label_stride;
    const float *predicted, *label, *weight; /* weight may be NULL */
    const mtl__allocator *al;                /* scratch (sorting) */
} mtl__metric_args;

typedef struct mtl__metric {
    mtl__choice_row choice;
    bool for_classes, for_values;
    /* value = NaN and MTL_OK where the figure is undefined. */
    mtl_status (*fn)(const mtl__metric_args *a, const double *params, double *value,
                     double *standard_error, mtl_error *err);
} mtl__metric;

extern const mtl__choice_table mtl__metric_table;

/* Find "f1:average=macro" and compute it. MTL_ERR_NAME for an unknown name; checks shapes and
   labels (MTL_ERR_VALUE names row and column). */
mtl_status mtl__metric_compute(const char *name, const mtl__metric_args *a, double *value,
                               double *standard_error, mtl_error *err);

#endif
