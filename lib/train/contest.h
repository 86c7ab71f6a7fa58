/* SPDX-License-Identifier: MIT */
/* Candidates that are trained on folds of the training rows and judged on the rows left out: what the
   options share that compare fits, with a deadline and a callback that hold for all of them. */
#ifndef MTL__CONTEST_H
#define MTL__CONTEST_H

#include "mem/arena.h"
#include "train/fit.h"

typedef struct mtl__contest {
    const mtl_model *m;
    const mtl_dataset *train;
    const mtl_options *o;
    int64_t tasks, kinds, folds; /* of the model; of candidates */
    int64_t done;                /* folds in which nothing was cut off */
    double *figure;              /* [2, kinds, tasks, folds]: losses, main metrics; NaN = none */
    double limit;                /* seconds for all of it, 0 = none */
    double after;                /* what comes after all folds, as a share of the time of one */
    double deadline;             /* 0 = none */
    double until;                /* when the net being trained has to be done */
    bool is_cut, is_cancelled;
} mtl__contest;

/* How much smaller y is than x, by pairs of folds. */
typedef struct mtl__gain {
    double mean, error, half; /* half of the 95 % interval */
    int64_t folds;
} mtl__gain;

/* As many as were asked for, at most half the rows. */
int64_t mtl__contest_count(int64_t wanted, const mtl_dataset *train);
void mtl__contest_take(mtl__contest *f, mtl__arena *a);
/* Once the arena is reserved: no figure is known. */
void mtl__contest_clear(mtl__contest *f);

/* One row of figures; what: 0 = losses, 1 = main metrics. */
static inline double *mtl__contest_row(const mtl__contest *f, int64_t what, int64_t kind, int64_t task)
{
    return f->figure + ((what * f->kinds + kind) * f->tasks + task) * f->folds;
}

/* Fold number f->done: part[0] trains, part[1] judges. */
typedef mtl_status mtl__fold_fn(void *self, mtl_dataset *const part[2], mtl_error *err);
/* All folds that there is time for. */
mtl_status mtl__contest_run(mtl__contest *f, mtl__fold_fn *fn, void *self, mtl_error *err);
/* A callback that stops. */
int32_t mtl__contest_stop(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user);
/* What deadline and callback ask of the settings of a candidate; what its report says of them. */
void mtl__contest_limit(const mtl__contest *f, mtl__train_settings *set);
void mtl__contest_note(mtl__contest *f, const mtl_report *r);
/* The figures of a candidate whose training ended with st, *why: of one task, or -1 = all. Without labels
   it has none; one that diverged has lost. Other failures are the call's. */
mtl_status mtl__contest_judge(mtl__contest *f, int64_t kind, int64_t task, mtl_status st, mtl_error *why,
                            const mtl_model *net, const mtl_dataset *rows, mtl_error *err);

mtl__gain mtl__contest_compare(const mtl__contest *f, const double *x, const double *y);
/* Of what is no NaN. */
double mtl__contest_mean(const mtl__contest *f, const double *x);
/* Two folds at least, and no failure where `other` has a figure? */
bool mtl__contest_complete(const mtl__contest *f, const double *x, const double *other);

#endif
