/* SPDX-License-Identifier: MIT */
#ifndef MTL__SCORE_PRIV_H
#define MTL__SCORE_PRIV_H

#include "linear/design.h"
#include "score/score.h"

/* The rows that have a label of a column, and the axes of their features where they are wanted. */
typedef struct mtl__score_rows {
    const mtl__score_args *a;
    const double *param;
    int64_t n;
    mtl__standard s;
    mtl__design d;
    int64_t *row; /* [n] */
    double *y;    /* [n] */
    double *size; /* [classes]: rows of each */
    double *room; /* [what the score asked for] */
} mtl__score_rows;

typedef double mtl__score_fn(mtl__score_rows *r);

/* With axes of the features as they are: the evidence of one column of labels, per row. */
mtl__score_fn mtl__score_logme;
/* With axes of the features less their means. */
mtl__score_fn mtl__score_h;
mtl__score_fn mtl__score_transrate;
/* Without any. */
mtl__score_fn mtl__score_leep;
mtl__score_fn mtl__score_nce;

mtl_status mtl__score_probe(const mtl__score_args *a, const double *param, double *score,
                            mtl_error *err);

#endif
