/* SPDX-License-Identifier: MIT */
/* What simulations have in common: a source trained anew, and rows of a task that is known. */
#ifndef MTL__SIMULATE_PRIV_H
#define MTL__SIMULATE_PRIV_H

#include "transfer/scores.h"

enum {
    MTL__SIMULATE_TEST = 300, /* rows at most, to judge on */
    MTL__SIMULATE_TRUNK = 1500, /* rows at most, to train a trunk on */
    MTL__SIMULATE_FEW = 30, /* up to so many rows each task is taken twice, with other rows */
};

typedef struct mtl__simulation {
    mtl__contest *c;
    const mtl__job *job;
    int64_t task;        /* of the source, that is taken for a new one; -1 = those of the job */
    int64_t draws, rows; /* targets; rows of each */
    int64_t wanted;      /* rows that the target has */
    int64_t *order;      /* [rows of known] */
    mtl_dataset *trunk_rows, *target, *test;
    mtl_model *source;
    mtl_options *fit;
} mtl__simulation;

mtl_status mtl__simulation_init(mtl__simulation *s, mtl_error *err);
void mtl__simulation_free(mtl__simulation *s);

/* All known rows in random order to `order`, those that may serve before the others; how many may. */
int64_t mtl__simulation_order(mtl__simulation *s, bool (*serves)(const mtl__simulation *s, int64_t row));
/* How many draws there are and of how many rows, from what may serve; rows to judge on come behind them. */
mtl_status mtl__simulation_share(mtl__simulation *s, int64_t labelled, mtl_error *err);
/* The source's network, trained anew on trunk_rows: without the task, or with those of the job alone. */
mtl_status mtl__simulation_source(mtl__simulation *s, mtl_error *err);
/* Every draw of `job`, whose target's rows change. */
mtl_status mtl__simulation_run(mtl__simulation *s, mtl__job *job, mtl_error *err);

#endif
