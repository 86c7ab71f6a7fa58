/* SPDX-License-Identifier: MIT */
/* Losses and metrics of a model on a data set. Everything is reserved when it is made, so that it can
   run after every epoch. */
#ifndef MTL__JUDGE_H
#define MTL__JUDGE_H

#include "metric/metric.h"
#include "train/targets.h"

typedef struct mtl__judge {
    const mtl_model *m;
    mtl__binding bound;
    mtl__arena arena;
    int64_t rows, block_rows;
    float *predicted;  /* [rows, outputs], columns as in z */
    float **label;     /* [tasks] -> [rows, label columns], label units; NULL = not bound */
    float **weight;    /* [tasks] -> [rows], NULL = 1 */
    mtl__targets targets; /* of one block */
    double *sum, *total;  /* [tasks]: of losses and of weights, while running */
    mtl__allocator scratch_al; /* for metrics: gives out scratch, so that an epoch allocates nothing */
    void *scratch;
    int64_t scratch_bytes;
    bool scratch_taken;
    bool is_raw; /* a run leaves z itself in predicted: no calibration, no link, no loss */
    mtl__forward_buffers buffers;
    /* results of the last run */
    double loss;       /* sum of task weight * task loss */
    double *task_loss; /* [tasks], NaN = no label */
} mtl__judge;

/* Takes over the binding, also on failure. */
mtl_status mtl__judge_create(const mtl_model *m, mtl__binding *bound, mtl__judge **out,
                             mtl_error *err);
void mtl__judge_destroy(mtl__judge *j);

/* Predict all rows; leaves losses and predictions in j. */
void mtl__judge_run(mtl__judge *j);

/* A judge of a data set that has run; *out is to be destroyed, also on failure. */
mtl_status mtl__judge_data(const mtl_model *m, const mtl_dataset *data, const char *what,
                           mtl__judge **out, mtl_error *err);
/* Losses of the last run as NAME and NAME/TASK. */
mtl_status mtl__judge_report(const mtl__judge *j, const char *name, mtl_report *r, mtl_error *err);

/* What a metric of the last run is made of, for a task that is bound. */
mtl__metric_args mtl__judge_args(const mtl__judge *j, int64_t task);

/* A metric of the last run; NaN when the task is not bound. */
mtl_status mtl__judge_metric(const mtl__judge *j, const char *name, int64_t task, double *value,
                             mtl_error *err);

/* The metric that a fit follows: accuracy or rmse. */
const char *mtl__judge_main_metric(int32_t kind);

extern const mtl__option_group mtl__evaluate_options;

/* mtl_evaluate() without the checks of its arguments. */
mtl_status mtl__evaluate(const mtl_model *m, const mtl_dataset *data, const mtl_options *o,
                         mtl_report **report, mtl_error *err);

#endif
