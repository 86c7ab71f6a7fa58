/* SPDX-License-Identifier: MIT */
/* The option "weighting": how much each task's gradient counts in the trunk. Heads and towers
   always get their own gradient. The kinds are rows of aggregate/; here is what they are fed with.

   Gradients of the tasks are compared first (gramian.h); then one backward pass from the weighted
   losses makes the trunk's gradient. Where tasks own a part of the trunk (architectures), weights that
   come from gradients are those of the rest, and that part is like a head; the gradients are then
   compared whole (jacobian.h). */
#ifndef MTL__WEIGHTING_H
#define MTL__WEIGHTING_H

#include "aggregate/aggregate.h"
#include "train/gramian.h"
#include "train/jacobian.h"
#include "train/report.h"
#include "train/targets.h"

struct mtl__trainer;

typedef struct mtl__weighting_set {
    mtl__choice kind;
    const char *text; /* of the kind */
    bool features;    /* gradients by the trunk's output, not by its parameters */
    bool by_layer;    /* weights for each layer of the trunk, by its parameters */
    int64_t every;    /* steps from one comparison to the next */
} mtl__weighting_set;

/* Sums of an epoch, and the weights in force: all that is kept from step to step beside the kind's
   own state; [figures] of doubles. */
typedef struct mtl__weighting_kept {
    double *step;                 /* of the aggregator */
    double *weight;               /* [scopes, tasks] */
    double *sum, *count;          /* [tasks]: weights, steps in which the task took part */
    double *cosine, *pairs;       /* [tasks, tasks], with a Gramian: of the lower triangle */
    double *conflicts, *compared; /* pairs */
} mtl__weighting_kept;

typedef struct mtl__weighting {
    bool is_on; /* anything but "sum" */
    bool wants_gram;
    int64_t scopes;      /* layers of the trunk, or 1 */
    double *state;       /* [scopes, states of the aggregator], which has that of one at a time */
    struct mtl_aggregator agg;
    double *figure;
    int64_t figures;
    mtl__weighting_kept kept;
    const char **name;           /* [tasks] */
    double *loss, *scale; /* [tasks] */
    int64_t *live;        /* [tasks] */
    mtl__gramian gramian;
    bool has_rows; /* a jacobian: of kinds that look at single values, and where tasks own a part of
                      the trunk */
    mtl__jacobian jacobian;
    float *update; /* [jacobian.floats]: the gradient of what all tasks share */
    float *factor;        /* [outputs]: of a row of dz */
    double *gram;         /* by layer: of all of them, [tasks, tasks] */
    float *dz, *values;   /* a copy of dz; parameters for a forward pass that is to leave no trace */
    bool *heads_on, *trunk_on; /* [layers] */
    int64_t *series;           /* [tasks]: "weight/TASK", -1 = none */
    int64_t *cosines;          /* [tasks, tasks], likewise */
    int64_t conflicts;
} mtl__weighting;

/* MTL_ERR_INVALID, MTL_ERR_RANGE for a kind that cannot serve this model or data. */
mtl_status mtl__weighting_check(const mtl__weighting_set *set, const mtl_model *m, bool is_sparse,
                                mtl_error *err);
void mtl__weighting_plan(struct mtl__trainer *t, mtl__arena *arena);
void mtl__weighting_start(struct mtl__trainer *t);
/* Once the layers to train are known, and when they change. */
void mtl__weighting_select(struct mtl__trainer *t);
mtl_status mtl__weighting_series(struct mtl__trainer *t, mtl_error *err);

/* The backward pass of a step with weights, in the place of mtl__network_backward(). Losses and
   their gradient are there. */
mtl_status mtl__weighting_backward(struct mtl__trainer *t, const mtl__pass *p, mtl_error *err);
/* After the update. */
void mtl__weighting_after_step(struct mtl__trainer *t);
/* At an epoch's end: the means to the report. */
void mtl__weighting_push(struct mtl__trainer *t);

/* What a run goes on from: block number 0 or 1, false when there is no such. */
bool mtl__weighting_block(mtl__weighting *w, int index, double **values, int64_t *count);
/* The blocks were read: false when no run has such figures. */
bool mtl__weighting_resume(mtl__weighting *w);

#endif
