/* SPDX-License-Identifier: MIT */
/* What random splits and folds share. */
#ifndef MTL__SPLIT_PRIV_H
#define MTL__SPLIT_PRIV_H

#include "data/dataset.h"

/* Uses of the seed, each with a substream. Part of the results: never renumber. */
enum {
    MTL__SPLIT_ROWS = 0,
    MTL__SPLIT_CLASSES = 1,
    MTL__SPLIT_START = 2,
    MTL__SPLIT_MIX = 3,
    MTL__SPLIT_GROUPS = 4,
};

/* All row numbers to rows [d->rows] in random order; with a task, class after class of its labels
   (stratify >= 0), classes and the rows of each in random order. false when memory is short. */
bool mtl__split_order(const mtl_dataset *d, int64_t stratify, uint64_t seed, int64_t *rows);

/* Two views: the first `take` of rows [d->rows], and the others. */
mtl_status mtl__split_cut(const mtl_dataset *d, const int64_t *rows, int64_t take,
                          mtl_dataset **first, mtl_dataset **second, mtl_error *err);

/* Rows of a fraction, at least one in each part. */
int64_t mtl__split_take(const mtl_dataset *d, double fraction);
mtl_status mtl__split_check(const mtl_dataset *d, double fraction, mtl_error *err);
/* MTL_ERR_SHAPE when the task (-1 = none) has several label columns. what: for the message. */
mtl_status mtl__split_check_classes(const mtl_dataset *d, const char *what, int64_t task,
                                    mtl_error *err);

#endif
