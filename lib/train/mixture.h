/* SPDX-License-Identifier: MIT */
/* How much of each kind of candidate a task takes, from predictions of rows that were left out
   (stacking; Breiman 1996, "Stacked regressions", with weights that are a mean's). */
#ifndef MTL__MIXTURE_H
#define MTL__MIXTURE_H

#include "train/folds.h"

/* Kinds of candidate, from simple to costly. */
enum { MTL__POOLED, MTL__LINEAR, MTL__SHARED, MTL__NUMERIC, MTL__SINGLE, MTL__KINDS };

typedef struct mtl__mixture {
    const mtl_model *m; /* whose tasks they are; columns of predictions are as in its z */
    const mtl__folds *folds;
    float *held[MTL__KINDS]; /* [rows, outputs]; NaN = not left out, NULL = no such candidate */
    const float *zero_weight, *class_weight; /* [outputs] as in mtl__pipeline */
    double *weight;          /* out, [KINDS, tasks]; the sum is 1, or 0 for a task without any figure */
    double *loss;            /* out, [KINDS + 1, tasks]: of each, then of the mixture; NaN = none */
} mtl__mixture;

/* Loss of a row by what mtl_predict() gives of the task, values in units [outputs]; zero, one: weights of
   its classes [outputs], as in mtl__pipeline; NaN without a label. */
double mtl__row_loss(const mtl__task_spec *t, const float *y, const double *p, const double *unit,
                     const float *zero, const float *one);

/* Mean losses of left-out rows, with the weights of rows and classes: cross-entropy of classes, mean
   squared error of values in units of
   their deviation, absolute or pinball loss where the task has such, Poisson's for counts. Weights are
   found for all tasks together that have the same candidates, by the mean of their relative losses, and
   go towards the simplest candidate as far as a standard error over parts allows; then for
   each task, in between by its labels. */
mtl_status mtl__mixture_solve(mtl__mixture *x, mtl_error *err);

#endif
