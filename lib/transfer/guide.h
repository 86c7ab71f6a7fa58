/* SPDX-License-Identifier: MIT */
/* What the steps of a strategy do beside following the losses: rates of layers, gradients of
   penalties that are added to those of the losses. One row for each strategy that does more than
   its phases say; what one of them holds while its steps run is an mtl__guiding. */
#ifndef MTL__GUIDE_H
#define MTL__GUIDE_H

#include "train/trainer.h"
#include "transfer/move.h"

typedef struct mtl__guiding mtl__guiding;

struct mtl__guide {
    /* Why it is not for this job, if it is not; m: the new model, its heads solved. NULL = it is.
     */
    mtl_status (*check)(const mtl__guiding *g, mtl_error *err);
    /* Factors of the rates of the trunk's tensors in an epoch, 0 = frozen; all are 1 before. */
    void (*rates)(const mtl__guiding *g, int64_t epoch, double *rate);
    bool (*teaches)(const mtl__guiding *g,
                    int64_t task); /* which train without labels; NULL = none */
    const char
        *weighting; /* of aggregate/ that is told which tasks are the job's; NULL = the options' */
    /* Memory, called again once the arena was reserved; then what it begins with. */
    void (*plan)(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a);
    mtl_status (*start)(mtl__guiding *g, mtl__trainer *t, mtl_error *err);
    /* As in mtl__hook. */
    void (*before_step)(void *self, mtl__trainer *t);
    void (*before_backward)(void *self, mtl__trainer *t);
    void (*before_update)(void *self, mtl__trainer *t);
    void (*at_end)(void *self, mtl__trainer *t);
};

/* Numbers of a matrix, or a stretch, that are drawn to what they were, or to 0. */
typedef struct mtl__pull {
    int64_t first, ld, rows, cols;
    bool is_held; /* to what they were */
    bool is_lazy; /* rows that the batch touches alone: others have no gradient */
} mtl__pull;

/* A network that stays what it was, seeing the batches. */
typedef struct mtl__teacher {
    mtl_model *m;
    mtl__buffers seen;
    bool *chain_on, *trains; /* [heads] all, [layers] none */
} mtl__teacher;

/* What the source says of rows of each class of a new task, on average: [classes, outputs of the
   network]; NULL = the task has no classes. */
typedef struct mtl__relation {
    float *of_class;
    int64_t classes;
} mtl__relation;

struct mtl__guiding {
    const struct mtl__guide *row;
    const mtl__job *job;
    mtl_model *m;
    const mtl_dataset *target;
    const char *name; /* of the strategy */
    double value[MTL__CHOICE_PARAMS];
    mtl__arena about, arena; /* what the trainer is told; what plan() asks for */
    double *rate;            /* [tensors of m], or NULL */
    bool *unlabelled;        /* [tasks of m], or NULL */
    int64_t epoch;           /* that the rates are of */
    mtl__pull *pull;
    int64_t pulls;
    float *held;   /* [net.params] */
    float *fisher; /* the same, or NULL: factors of the pulls */
    mtl__teacher teacher;
    mtl__relation *relation; /* [tasks]: of the new ones to the source's */
    float *work;
    double *sum;            /* of an eigenproblem */
    char *text;             /* of the weighting */
    float *adapter, *slope; /* of all layers one behind the other: A, B; their gradients */
    int64_t *series;        /* of the report: A and B of each */
    mtl__optim optim;
    mtl__optim_now now;
};

/* Before the trainer is made: what its settings are told. row NULL = nothing is done. */
mtl_status mtl__guide_begin(mtl__guiding *g, const struct mtl__guide *row, const mtl__job *job,
                            const char *name, const double *value, mtl_model *m,
                            const mtl_dataset *target, mtl__train_settings *set, mtl_error *err);
/* Hangs it into the trainer, which must end first. */
mtl_status mtl__guide_hang(mtl__guiding *g, mtl__trainer *t, mtl_error *err);
void mtl__guide_end(mtl__guiding *g);

/* Is task t of the new model one that the source has? */
bool mtl__guide_knows(const mtl__guiding *g, int64_t task);

/* rates.c */
extern const struct mtl__guide mtl__discriminative, mtl__gradual, mtl__bias_only, mtl__norm_only;
/* anchor.c */
extern const struct mtl__guide mtl__l2_sp, mtl__l2_sp_fisher, mtl__ewc;
/* teacher.c */
extern const struct mtl__guide mtl__distil, mtl__delta, mtl__co_tuning;
/* spectrum.c */
extern const struct mtl__guide mtl__bss;
/* lora.c */
extern const struct mtl__guide mtl__lora;
/* guide.c */
extern const struct mtl__guide mtl__gated, mtl__a_gem;

#endif
