/* SPDX-License-Identifier: MIT */
/* The fit loop: epochs of steps with hooks around them. It knows no strategy and no option by name;
   those are hooks and figures in mtl__train_settings. */
#ifndef MTL__TRAINER_H
#define MTL__TRAINER_H

#include "optim/average.h"
#include "optim/optim.h"
#include "sched/sched.h"
#include "train/feed.h"
#include "train/gates.h"
#include "train/judge.h"
#include "train/report.h"
#include "train/soft.h"
#include "train/touched.h"
#include "train/weighting.h"

typedef struct mtl__trainer mtl__trainer;

/* Called by the loop; each may be NULL. A hook ends the run by setting t->reason. */
typedef struct mtl__hook {
    void *self;
    /* The batch is there, nothing is computed yet; what it computes in the buffers is lost. */
    void (*before_step)(void *self, mtl__trainer *t);
    /* The losses' gradient is in buffers.dz. What is added to it goes back with it; so does a gradient
       of the trunk's output that is written to buffers.dh, with has_dh set. */
    void (*before_backward)(void *self, mtl__trainer *t);
    /* The gradients of all that is trained are in t->grads, the losses' clipped. */
    void (*before_update)(void *self, mtl__trainer *t);
    void (*after_step)(void *self, mtl__trainer *t);
    void (*after_epoch)(void *self, mtl__trainer *t);
    void (*at_end)(void *self, mtl__trainer *t); /* whatever the reason */
    /* Between two steps, all that an epoch's end asks for being done. A failure ends the run. */
    mtl_status (*at_rest)(void *self, mtl__trainer *t, mtl_error *err);
} mtl__hook;

#define MTL__HOOKS 8

typedef struct mtl__train_settings {
    int64_t epochs, batch_rows;
    double rate;                   /* learning rate */
    double trunk_factor;           /* of the rate for trunk layers; 0 = frozen */
    mtl__choice optimizer, schedule, average;
    mtl__choice dropout_schedule, decay_schedule; /* zeroes: constant */
    double warm_up;               /* steps, or below 1 a share of them */
    double clip_norm, clip_value; /* of the losses' gradient; 0 = none */
    const char *groups;           /* see train/groups.h */
    bool is_part;                 /* of a network in which groups mean tensors */
    double l1, l2;
    bool shuffle, train_metrics;
    bool lazy; /* update of weights that read sparse inputs: rows of columns in the batch */
    mtl__sampling sampling;        /* zeroes: every row once */
    mtl__weighting_set weighting;  /* zeroes: the sum of the losses */
    uint64_t seed;
    const double *task_factor; /* [tasks] of the tasks' weights, or NULL = 1 */
    const double *rates;       /* [tensors of the model]: factors of the rate, of heads' 1; NULL = 1 */
    const bool *unlabelled;    /* [tasks]: trained by a hook where there is no label, or NULL */
    int64_t patience;          /* 0 = none */
    double time_limit;         /* seconds, 0 = none */
    mtl_progress_cb progress;
    void *progress_user;
} mtl__train_settings;

/* A block of a matrix, or a part of a vector, that keeps its numbers where those beside it are trained:
   put back after each step. */
typedef struct mtl__guard {
    int64_t offset, ld, rows, cols;
    float *copy;
} mtl__guard;

typedef struct mtl__task_series {
    int64_t loss_train, loss_valid, metric_valid, metric_train; /* entries of the report, -1 = none */
} mtl__task_series;

/* What changes from step to step beside vectors: figures alone, no pointers, so that a run can be
   taken up from a copy of them. */
typedef struct mtl__train_now {
    mtl__optim_now optim;
    mtl__sched_now sched;
    int64_t averaged; /* parameters in the average */
    int64_t caught_up; /* of those: in that of every row of a lazy matrix */
} mtl__train_now;

struct mtl__trainer {
    mtl_model *m;
    mtl__train_settings set;
    mtl__binding bound[MTL__SOURCES];
    mtl__judge *valid, *train; /* may be NULL */
    mtl__arena arena;
    mtl__feed feed;
    mtl__buffers buffers;
    bool draws_biases; /* the first step is to, from its batch */
    mtl__train_now now;
    mtl__optim optim;
    mtl__sched sched;
    float *average;   /* [net.params], or NULL */
    float *seen;      /* [inputs], or NULL: parameters in the average of a lazy row since caught_up */
    float *block_sum; /* of squares, with clip_norm */
    float *grads, *last_good, *best; /* [net.params]; best only with patience */
    mtl__range *range;
    int64_t ranges;
    mtl__touched touched; /* of the batch, with sparse inputs */
    mtl__guard *guard;
    int64_t guards;
    bool *layer_on, *chain_on;
    mtl__weighting weighting;
    mtl__gates gates;
    float *soft; /* NULL = no pull of the tasks' trunks to each other */
    double *task_weight;      /* [tasks], 0 = takes no part */
    double *sum, *total;      /* [tasks] of this epoch: losses, weights of labels */
    double *epoch_loss;       /* [tasks] of the last finished epoch */
    mtl__hook hook[MTL__HOOKS];
    int64_t hooks;

    bool in_epoch;                  /* begun and not finished */
    int64_t epoch, step, rows_seen; /* finished */
    double train_loss, valid_loss;  /* of the last finished epoch; NaN before */
    double step_loss;
    const char *reason; /* NULL while running */
    int64_t best_epoch; /* with the lowest valid_loss, from 1; 0 = none */
    double best_loss, last_told; /* of the hooks */
    double started;
    int64_t rows_before; /* seen when this process took the run up */

    mtl_report *report;
    int64_t series_train, series_valid, series_rate;
    mtl__task_series *series; /* [tasks] */
};

/* Everything that needs memory. Takes over the bindings (second and valid may be NULL), also on
   failure. Nothing of the model is changed. */
mtl_status mtl__trainer_create(mtl_model *m, const mtl__train_settings *set, mtl__binding *first,
                               mtl__binding *second, mtl__binding *valid, mtl__trainer **out,
                               mtl_error *err);
void mtl__trainer_destroy(mtl__trainer *t);

/* Once more what is trained, between two steps, by settings whose figures changed. What rests keeps what
   the optimizer has for it. */
void mtl__trainer_select(mtl__trainer *t);
/* Whether a tensor, or a task's part of one, is trained. */
bool mtl__trainer_trains(const mtl__trainer *t, const mtl__param *p);
/* What a schedule leaves of something in this step: its factor, at most 1. */
double mtl__trainer_share(const mtl__trainer *t, const mtl__choice *schedule);
/* What the passes of the next step run in. */
mtl__pass mtl__trainer_pass(const mtl__trainer *t);

/* A run: started once, then taken on by so many steps at a time until it has a reason to end
   (t->reason), then ended, which writes the report. MTL_ERR_DIVERGED: the model has the parameters
   of the last epoch in which all was finite. */
void mtl__trainer_start(mtl__trainer *t);
mtl_status mtl__trainer_advance(mtl__trainer *t, int64_t steps, mtl_error *err);
void mtl__trainer_end(mtl__trainer *t);
bool mtl__trainer_is_finite(const mtl__trainer *t); /* all parameters */

/* All of it. */
mtl_status mtl__trainer_run(mtl__trainer *t, mtl_error *err);

/* A figure of the run so far (mtl_trainer_metric in mtl.h lists the names). */
mtl_status mtl__trainer_metric(const mtl__trainer *t, const char *name, double *value,
                               mtl_error *err);

/* Is the layer's matrix trained by the rows that a batch touches? */
bool mtl__trainer_is_lazy(const mtl__trainer *t, int64_t layer);

/* The mean training loss of the epoch so far; NaN before its first step. */
double mtl__trainer_running_loss(const mtl__trainer *t);

/* The vectors that a run goes on from beside the parameters, all as long as these: number `index` by
   name; false when there is none of that number. With t->now they are the whole state of optimizer,
   schedule and average. */
bool mtl__trainer_state(mtl__trainer *t, int64_t index, const char **name, float **values);

/* hooks.c: the ones that every fit has, by the settings. */
void mtl__trainer_add_hooks(mtl__trainer *t);
/* One more, called after those that are there. */
void mtl__trainer_hook(mtl__trainer *t, mtl__hook hook);
double mtl__seconds(void);

#endif
