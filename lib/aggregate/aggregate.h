/* SPDX-License-Identifier: MIT */
/* From the gradients of m tasks, or their Gramian, or their losses, to one weight a task. A kind is
   a row of a table. All in double; no step takes memory. */
#ifndef MTL__AGGREGATE_H
#define MTL__AGGREGATE_H

#include "mem/arena.h"
#include "option/choice.h"

enum {
    MTL__AGG_LOSSES = 1,     /* reads the losses */
    MTL__AGG_POSITIVE = 2,   /* of which none may be below 0 */
    MTL__AGG_GRAM = 4,       /* reads the Gramian; rows of zeroes are left out */
    MTL__AGG_JACOBIAN = 8,   /* reads the rows themselves and makes the update */
    MTL__AGG_TRACKS = 16,    /* keeps a row for each task: its steps must be of the same values */
    MTL__AGG_FEEDBACK = 32,  /* is told the losses after the update */
    MTL__AGG_PREF_MEAN = 64, /* preferences that are not given are 1 / m, not 1 */
    MTL__AGG_PLAIN = 128,    /* all weights are 1 */
    MTL__AGG_CHOICE = 256,   /* no aggregation: stands for one that a fit has to find */
};

struct mtl_aggregator;
struct mtl__agg;

typedef struct mtl__aggregation {
    mtl__choice_row choice;
    int32_t uses; /* of the above */
    /* Weights (or, with JACOBIAN, weights and update) of one step. */
    void (*fn)(struct mtl__agg *p);
    int32_t per_task, per_pair, per_value; /* doubles of state for each, all 0 at the start */
} mtl__aggregation;

extern const mtl__choice_table mtl__aggregate_table;

/* Public as mtl_aggregator. */
struct mtl_aggregator {
    const mtl__aggregation *row;
    mtl__choice choice;
    const char *kind; /* the text of the choice */
    int64_t m, n;
    uint64_t seed;
    int64_t epoch_steps; /* steps that "dwa" takes as an epoch, 0 = 1 */
    int64_t step;        /* taken so far */
    double *state;       /* [states] */
    int64_t states;
    double *pref; /* [m] of the parameter "pref" or "weights", or NULL */
    /* work of a step */
    int64_t *live;                  /* [m] */
    double *gram, *unit;            /* [m, m], with GRAM */
    double *norm, *loss, *part, *w; /* [m] */
    double *work;                   /* 16 [m], with GRAM 2 [m, m] more */
    struct mtl__qp *qp;
    mtl__arena arena; /* of a handle of its own */
};

/* What one step sees. Tasks whose loss is NaN take no part, nor does their row. */
typedef struct mtl__agg_step {
    const double *gram; /* [m, m] with a stride, or NULL */
    int64_t gram_stride;
    const float *rows; /* [m, n] with a stride, or NULL; the kinds with JACOBIAN need them */
    int64_t row_stride;
    const double *losses;     /* [m] or NULL */
    const char *const *names; /* of the tasks, for messages, or NULL */
} mtl__agg_step;

/* The choice must come from the table; kind is its text and must stay. n is of no concern but to
   kinds with JACOBIAN. Call it again once the arena is reserved; mtl__aggregator_reset() then. */
void mtl__aggregator_plan(struct mtl_aggregator *a, const mtl__choice *choice, const char *kind,
                          int64_t m, int64_t n, uint64_t seed, mtl__arena *arena);
/* Parameters that do not fit m tasks: MTL_ERR_RANGE. */
mtl_status mtl__aggregator_check(const mtl__choice *choice, const char *kind, int64_t m,
                                 mtl_error *err);
void mtl__aggregator_reset(struct mtl_aggregator *a);

/* What a choice uses of the above. */
int32_t mtl__aggregation_uses(const mtl__choice *choice);

/* weights [m]: of tasks that take no part 0. update [n] may be NULL. MTL_ERR_VALUE for a loss or
   gradient that cannot be; the state is then as it was. */
mtl_status mtl__aggregator_run(struct mtl_aggregator *a, const mtl__agg_step *step, double *weights,
                               float *update, double *residual, mtl_error *err);
/* The losses of the same rows after the update, NaN = took no part. */
void mtl__aggregator_feedback(struct mtl_aggregator *a, const double *losses);

/* A handle with memory of its own. */
mtl_status mtl__aggregator_create(const char *kind, int64_t m, int64_t n, uint64_t seed,
                                  const mtl__allocator *al, struct mtl_aggregator **out,
                                  mtl_error *err);
void mtl__aggregator_destroy(struct mtl_aggregator *a, const mtl__allocator *al);

/* gram [m, m] of rows [m, n], summed in blocks. */
void mtl__gram(int64_t m, int64_t n, const float *rows, int64_t stride, double *gram);

#endif
