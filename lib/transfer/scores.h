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
    int64_t rows, at;          /* room for rows; how far folds are finished */
    int64_t width;             /* outputs of all new tasks */
    float *own;                /* [variants, rows, width] residuals */
    int64_t *unit, units;      /* [rows] numbers of what is independent, from 0 */
    int64_t simulations, room;
    double *simulated;         /* [room, variants, variants] mean products of residuals */
    double lacking;            /* of all simulations together, the share of rows that they lack */
    double stop_at;            /* seconds, 0 = none */
    int64_t done, planned;     /* pieces of work */
    bool is_whole;             /* every candidate was scored on the last split */
    bool is_over;              /* out of time, or stopped */
    bool is_stopped;           /* by a callback, of progress or of a loss */
} mtl__contest;

/* On average over simulations. */
static inline double mtl__contest_lacks(const mtl__contest *c)
{
    return c->simulations ? c->lacking / (double)c->simulations : 0;
}

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

/* Outputs of all new tasks. */
int64_t mtl__job_width(const mtl__job *job);

/* Every candidate, made from the rows of `train`, on those of `test`: residual [variants, stride, width]
   from its row `at` on, NaN where a candidate cannot be made. */
mtl_status mtl__score_split(mtl__contest *c, const mtl__job *job, const mtl_dataset *train,
                            const mtl_dataset *test, const mtl__measure *measure, float *residual,
                            int64_t stride, int64_t at, mtl_error *err);

/* simulate.c: known tasks in turn as the new one, with so many rows. */
mtl_status mtl__simulate(mtl__contest *c, const mtl__job *job, int64_t rows, mtl_error *err);

/* back.c, of a new domain of which there are `bare` rows without a label: the way back from there, with so
   many rows that have one. Nothing where the known rows do not allow it. */
mtl_status mtl__simulate_back(mtl__contest *c, const mtl__job *job, const mtl_dataset *bare,
                              int64_t rows, mtl_error *err);

/* Models that steps draw near such rows, for candidates to go on from; some of `bare` and not all steps
   where these are many. What cannot be drawn is NULL. */
mtl_status mtl__draw_near(mtl__contest *c, mtl__job *job, const mtl_dataset *bare, mtl_error *err);
void mtl__drawn_free(mtl__job *job);

#endif
