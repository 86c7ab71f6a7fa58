/* SPDX-License-Identifier: MIT */
/* Errors of candidates on rows that they have not seen. */
#ifndef MTL__SCORES_H
#define MTL__SCORES_H

#include "transfer/choice_of_strategy.h"
#include "transfer/move.h"

/* The strategies that are looked at, and the errors of all their variants. */
typedef struct mtl__contest {
    const mtl__allocator *al;
    const mtl__job *job;       /* what is chosen for: a simulation has another task */
    const mtl__strategy **how; /* [candidates] */
    int64_t *first;            /* [candidates + 1] */
    int64_t candidates, variants;
    int64_t rows, repeats, at; /* room for rows; how far they are filled */
    float *own;                /* [variants, rows] */
    int64_t simulations, room;
    double *simulated;         /* [room, variants] */
    double stop_at;            /* seconds, 0 = none */
    int64_t done, planned;     /* pieces of work */
    bool is_over;              /* out of time, or stopped */
    bool is_stopped;           /* by the progress callback */
} mtl__contest;

/* How a task's errors are measured: by the variance of its labels and the mean weight of its rows. */
typedef struct mtl__measure {
    double **by; /* [tasks]: [outputs] factors of squared errors */
    bool varies; /* all tasks' labels do */
    mtl__arena arena;
    const mtl__allocator *al;
} mtl__measure;

mtl_status mtl__measure_create(const mtl__job *job, const mtl_dataset *rows, mtl__measure *out,
                               mtl_error *err);
void mtl__measure_free(mtl__measure *m);

/* Every candidate, made from the rows of `train`, on those of `test`: error [variants, stride] from
   its column `at` on, NaN where a candidate cannot be made. */
mtl_status mtl__score_split(mtl__contest *c, const mtl__job *job, const mtl_dataset *train,
                            const mtl_dataset *test, const mtl__measure *measure, float *error,
                            int64_t stride, int64_t at, mtl_error *err);

/* simulate.c: known tasks in turn as the new one, with so many rows. */
mtl_status mtl__simulate(mtl__contest *c, const mtl__job *job, int64_t rows, mtl_error *err);

#endif
