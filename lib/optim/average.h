/* SPDX-License-Identifier: MIT */
/* Averages of the parameters over the steps or epochs of a run. */
#ifndef MTL__AVERAGE_H
#define MTL__AVERAGE_H

#include "option/choice.h"

typedef struct mtl__averaging {
    mtl__choice_row choice;
    /* The new parameters' share in the average of `count` ones before; NULL = never taken then. */
    double (*after_step)(const double *param, int64_t count);
    double (*after_epoch)(const double *param, int64_t count);
    /* The first epoch, from 1, at whose end after_epoch counts. */
    int64_t (*first_epoch)(const double *param, int64_t epochs);
} mtl__averaging;

extern const mtl__choice_table mtl__averages;

#endif
