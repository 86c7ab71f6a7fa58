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

/* What a metric serves, as bits. Binary tasks have one label column of 0 and 1 for one output,
   multilabel ones such a column for each output, multiclass ones a class number for several. */
enum {
    MTL__METRIC_VALUES = 1,
    MTL__METRIC_MULTICLASS = 2,
    MTL__METRIC_CLASSES = 4 | MTL__METRIC_MULTICLASS
};

typedef struct mtl__metric {
    mtl__choice_row choice;
    uint32_t serves; /* MTL__METRIC_* */
    bool wants_probabilities;
    /* value = NaN and MTL_OK where the figure is undefined. */
    mtl_status (*fn)(const mtl__metric_args *a, const double *params, double *value,
                     double *standard_error, mtl_error *err);
} mtl__metric;

extern const mtl__choice_table mtl__metric_table;

/* The row and the parameters that "f1:average=macro" means; MTL_ERR_NAME when there is none. */
mtl_status mtl__metric_find(const char *name, mtl__choice *out, mtl_error *err);

/* Find "f1:average=macro" and compute it. MTL_ERR_NAME for an unknown name; checks shapes and
   labels (MTL_ERR_VALUE names row and column). */
mtl_status mtl__metric_compute(const char *name, const mtl__metric_args *a, double *value,
                               double *standard_error, mtl_error *err);

/* The weights of the rows by true class (rows) and by the class decided for (columns), added to
   cells: classes x classes; of a multilabel task a 2 x 2 matrix for each output, one after another.
 */
void mtl__metric_confusion(const mtl__metric_args *a, double *cells);
int64_t mtl__metric_confusion_cells(int64_t outputs, int64_t label_cols);

#endif
