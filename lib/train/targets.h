/* SPDX-License-Identifier: MIT */
/* What the tasks ask for: labels of a batch laid out as the losses read them, and the losses.

   Tasks whose columns of z stand side by side and whose outputs are independent under the same loss
   are one target, one pass for all of them: a step with a thousand binary tasks costs what one task
   with a thousand outputs does. */
#ifndef MTL__TARGETS_H
#define MTL__TARGETS_H

#include "train/binding.h"

typedef struct mtl__target {
    const mtl__loss *loss;
    const mtl__task_spec *spec; /* of its first task */
    int64_t column, cols; /* of z */
    int64_t labels;       /* columns of y */
    bool is_weighted;
    float *y; /* [rows, labels], as the network predicts them, NaN = missing */
    float *w; /* like y; NULL = 1 */
} mtl__target;

/* Label columns that follow each other in a data set and in a target, those of many tasks where they
   are one matrix of the caller's: one copy a row. */
typedef struct mtl__label_run {
    mtl__array from; /* p NULL = the data set has no labels of these tasks */
    int64_t cols;
    float *to;
    int64_t ld;
} mtl__label_run;

/* What callbacks read and write: rows that have a label. */
typedef struct mtl__own_rows {
    int64_t rows, cols; /* room for */
    float *z, *y, *w, *g;
} mtl__own_rows;

#define MTL__SOURCES 2

typedef struct mtl__targets {
    const mtl_model *m;
    const mtl__binding *bound[MTL__SOURCES]; /* the data sets that rows come from, or NULL */
    mtl__label_run *run[MTL__SOURCES];       /* [runs] each */
    int64_t runs[MTL__SOURCES];
    mtl__target *target;
    int64_t count;
    int64_t members;           /* z has so many rows for each row of labels */
    int64_t *of_task;          /* [tasks]: its target, -1 = no labels */
    int64_t *label;            /* [tasks]: its first column of the target's y */
    int64_t *task_of;          /* [columns of z] */
    int64_t widest;            /* columns of the widest target with a loss by columns, at least 1 */
    float *scale, *sum, *work; /* for as many */
    mtl__own_rows own;         /* for callbacks */
    int64_t refused;           /* a task whose callback did not go on, -1 = none; the rest is not run */
    /* of the last run, [tasks]; 0 for a task without labels */
    double *loss;   /* sum of weight * loss */
    double *weight; /* sum of the labels' weights */
} mtl__targets;

/* Set up for batches of max_rows rows whose z has `members` rows for each, for the tasks that either
   binding has labels of (second may be NULL); they stay the caller's. Memory comes from the arena
   (call it again after the arena was reserved). */
void mtl__targets_plan(mtl__targets *x, const mtl_model *m, const mtl__binding *first,
                       const mtl__binding *second, int64_t max_rows, int64_t members,
                       mtl__arena *arena);

/* Has any of the data sets labels of the task? */
bool mtl__targets_has_task(const mtl__targets *x, int64_t task);

/* Labels of some rows of a data set to rows at .. of the batch. */
void mtl__targets_fill(mtl__targets *x, int source, mtl__rows rows, int64_t at);

/* Once a batch of `rows` is filled: give every member of an ensemble its labels. */
void mtl__targets_spread(mtl__targets *x, int64_t rows);

/* Ask the memory for these labels, which will be wanted. */
void mtl__targets_prefetch(const mtl__targets *x, int source, mtl__rows rows);

/* Losses of z [rows * members, outputs], summed over the members; the gradient of sum task_weight *
   mean loss to dz. dz NULL = not wanted, then task_weight is not read. A task without a label in the
   batch has no part in it. */
void mtl__targets_run(mtl__targets *x, int64_t rows, const float *z, const double *task_weight,
                      float *dz);

#endif
