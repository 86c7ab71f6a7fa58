/* SPDX-License-Identifier: MIT */
/* Learning rate schedules: factors of the learning rate as pure functions of the step, one row
   each. Only "plateau" has a state. */
#ifndef MTL__SCHED_H
#define MTL__SCHED_H

#include "option/choice.h"

/* The state: figures alone, so that it can be written to a file as it is. */
typedef struct mtl__sched_now {
    double factor;        /* by which the plateaus have reduced the rate */
    double best;          /* validation loss */
    int64_t bad, cooling; /* epochs without a better one; epochs that do not count yet */
} mtl__sched_now;

/* Where a run is. */
typedef struct mtl__sched_at {
    int64_t step, steps; /* after the warm-up: number of this step, of how many */
    int64_t epoch;       /* finished epochs, the warm-up's too */
    double plateau;      /* mtl__sched_now.factor */
} mtl__sched_at;

typedef struct mtl__schedule {
    mtl__choice_row choice;
    double (*factor)(const double *param, const mtl__sched_at *at);
    bool needs_validation;
    /* The optimizer's momentum; NULL or 0 = what it has. */
    double (*momentum)(const double *param, const mtl__sched_at *at);
} mtl__schedule;

extern const mtl__choice_table mtl__schedules;

typedef struct mtl__sched {
    mtl__choice choice;
    int64_t warm_up;            /* steps */
    int64_t steps, epoch_steps; /* of the whole run; of an epoch */
} mtl__sched;

/* warm_up: below 1 a share of all steps, else a number of steps. */
void mtl__sched_init(mtl__sched *s, const mtl__choice *choice, double warm_up, int64_t steps,
                     int64_t epoch_steps, mtl__sched_now *now);

bool mtl__sched_needs_validation(const mtl__choice *choice);
bool mtl__sched_sets_momentum(const mtl__choice *choice);

/* Factor of the learning rate in step number `step`, from 0. */
double mtl__sched_factor(const mtl__sched *s, const mtl__sched_now *now, int64_t step);

/* The momentum of step number `step`; 0 = the optimizer's own. */
double mtl__sched_momentum(const mtl__sched *s, int64_t step);

/* Tell the validation loss of an epoch. */
void mtl__sched_after_epoch(const mtl__sched *s, mtl__sched_now *now, double valid_loss);

#endif
