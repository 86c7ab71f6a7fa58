/* SPDX-License-Identifier: MIT */
/* One strategy on one set of rows: from a source and a target to a model. */
#ifndef MTL__MOVE_H
#define MTL__MOVE_H

#include "train/fit.h"
#include "transfer/align.h"
#include "transfer/head.h"

/* Where training begins and what it trains; the trainer runs phase after phase. */
typedef struct mtl__phase {
    double trunk;    /* factor of the trunk's rate; TRUNK_RATE = the option's value; 0 = frozen */
    double all;      /* factor of all rates, likewise */
    bool known;      /* the known tasks take part: their data if given, and the target's labels */
    mtl__distance align; /* drawn together meanwhile: known rows and all of the target's */
} mtl__phase;

#define MTL__TRUNK_RATE (-1.0)
#define MTL__PHASES 2

/* What a head is fitted on exactly. */
enum { MTL__ON_INPUTS = 1, MTL__ON_TRUNK = 2 };

typedef enum mtl__family {
    MTL__STEPS,    /* training steps alone */
    MTL__CONSTANT, /* one value */
    MTL__AS_IS,    /* a known task's head, or the mean of all */
    MTL__HEAD,     /* an exact head */
    MTL__SHIFT,    /* an exact head on top of a known task's */
    MTL__STATISTICS, /* the source's network, means and deviations taken anew */
} mtl__family;

struct mtl__guide;

typedef struct mtl__strategy {
    mtl__choice_row choice;
    mtl__family family;
    bool fresh;        /* a new network for the new tasks alone */
    bool cuts;         /* for them alone, too: the first layers of the trunk, as many as serve best */
    bool adapts;       /* the trunk rests, each task has an adapter behind it: units are value 0 */
    uint32_t features; /* of the exact head, also of one that steps begin with */
    bool needs_known;  /* makes sense with the known tasks' rows only */
    bool scores;       /* known tasks count by what they promise; value 0 is the temperature */
    bool in_auto;      /* a candidate there */
    bool walks;        /* back on the way from where steps began: how far is its variant */
    const struct mtl__guide *guide; /* what its steps do beside, or NULL */
    int phases;
    mtl__phase phase[MTL__PHASES];
} mtl__strategy;

/* Parameters of a strategy: those that the options give it, or the initial ones. */
void mtl__strategy_values(const mtl_options *o, const mtl__strategy *how,
                          double value[MTL__CHOICE_PARAMS]);

/* In the order of their simplicity. */
extern const mtl__choice_table mtl__strategies;
const mtl__strategy *mtl__strategy_at(int64_t number);
int64_t mtl__strategy_count(void);

extern const mtl__option_group mtl__transfer_options;

typedef struct mtl__new_task {
    const char *name;
    int32_t kind;
    int64_t outputs;
} mtl__new_task;

/* A share of what is moved. */
typedef struct mtl__part {
    const mtl__strategy *how;
    int64_t variant;
    double weight; /* above 0 */
} mtl__part;

/* What is moved where. Rows of the target change from run to run, the rest does not. */
typedef struct mtl__job {
    const mtl_model *source;
    const mtl_dataset *known; /* or NULL */
    const mtl_options *o;
    const mtl__new_task *task;
    int64_t tasks;
    bool is_cut;    /* the source is such a part, its one task none that is known */
    bool same;      /* they are the source's own, in a new domain: `task` are known tasks */
    const mtl_dataset *domain; /* rows for what needs no labels; NULL = those that are given */
    bool alone;      /* target labels of known tasks are not looked at */
    bool blind;      /* in a new domain: no label of the target is */
    mtl_model *drawn[MTL__MMD + 1]; /* in a new domain, by distance: what steps that draw it near
                                             without a label came to, or NULL; others go on from there */
    int64_t draw_steps; /* such steps at most; 0 = as many as there are epochs for */
    const mtl__part *blend; /* [blends] exact heads whose mean is taken for that of the strategy, or NULL */
    int64_t blends;
    double deadline; /* 0 = none */
} mtl__job;

/* How much of its loss a known task may lose by the transfer, as a share; below 0 = any. */
double mtl__keeps_known(const mtl__job *job);
/* Does a strategy exist for this source at all? Members of an ensemble have heads of their own: nothing
   is fitted exactly for them. Statistics are taken anew for tasks that there are. */
bool mtl__strategy_serves(const mtl__job *job, const mtl__strategy *how);
/* Does it solve heads, or begin with such? In a new domain steps begin with the source's own. */
bool mtl__solves_heads(const mtl__job *job, const mtl__strategy *how);

bool mtl__strategy_needs_trunk(const mtl__strategy *how);
/* Does it learn from the target's labels before all else? */
bool mtl__strategy_learns(const mtl__job *job, const mtl__strategy *how);
/* Does it begin with drawing a new domain near? */
bool mtl__strategy_draws(const mtl__job *job, const mtl__strategy *how);
/* Is it the name of a task of the job? */
bool mtl__job_means(const mtl__job *job, const char *name);

/* Steps are judged after these shares of them; a path of penalties has MTL__HEAD_PENALTIES points, that
   between two networks MTL__WAY. */
enum { MTL__STOPS = 4, MTL__BASES = 4, MTL__WAY = 5, MTL__VARIANTS = MTL__HEAD_PENALTIES };
int64_t mtl__variants(const mtl__strategy *how);

/* Called when a run of steps stands at stop number `variant`. */
typedef struct mtl__watch {
    void *self;
    mtl_status (*look)(void *self, const mtl_model *m, int64_t variant, mtl_error *err);
    bool is_cancelled; /* out: a loss of the caller's did not go on */
} mtl__watch;

/* A model of its own by that strategy on the target's rows. variant < 0: all of the steps. With a
   watch the steps go on to the end, and *out is the last model. */
mtl_status mtl__move(const mtl__job *job, const mtl_dataset *target, const mtl__strategy *how,
                     int64_t variant, mtl__watch *watch, mtl_model **out,
                     mtl_report **report, mtl_error *err);

/* --- features.c --------------------------------------------------------------------------------- */

/* Labels of a new task as its network is to predict them, in units of its own rows. */
typedef struct mtl__sample_task {
    float *y;            /* [rows, outputs]; classes as 0 and 1; NaN = missing */
    float *w;            /* [rows], or NULL */
    float *mean, *scale; /* [outputs]: back to label units */
} mtl__sample_task;

/* Rows as exact heads see them. */
typedef struct mtl__sample {
    const mtl__allocator *al;
    int64_t rows, inputs, hidden; /* columns of phi: inputs, then the trunk's outputs */
    float *phi;
    mtl__sample_task *task; /* [tasks of the job] */
    mtl__arena arena;
} mtl__sample;

/* A model whose one task gives the trunk's outputs as they are. */
mtl_status mtl__model_eye(const mtl_model *source, mtl_model **out, mtl_error *err);

/* Depths that a trunk can be cut at: behind each dense layer and what follows it up to the next one. */
int64_t mtl__cut_depths(const mtl_spec *s);
/* The source's trunk up to where its outputs promise most for the job's tasks by the log evidence ("logme"
   of score/, features and labels less their means) on these rows, as mtl__model_eye() has it; NULL = all
   of it. */
mtl_status mtl__cut(const mtl__job *job, const mtl_dataset *rows, mtl_model **out, mtl_error *err);

/* The same of what the source predicts for each of its tasks: score [tasks of the source]. */
mtl_status mtl__promise_of_tasks(const mtl__job *job, const mtl_dataset *rows, double *score,
                                 mtl_error *err);

mtl_status mtl__sample_create(const mtl__job *job, const mtl_dataset *d, mtl__sample *out,
                              mtl_error *err);
void mtl__sample_free(mtl__sample *s);

/* --- heads.c ------------------------------------------------------------------------------------ */

/* Some variants of the head of one new task. count 0: the strategy does not serve it. */
typedef struct mtl__heads {
    const mtl__allocator *al;
    int64_t count, outputs, cols; /* all columns of phi */
    double *w;                    /* [count, outputs, cols + 1] */
    const char *base;             /* the known task that it stands on, "" = all, NULL = none */
} mtl__heads;

/* Variants first .. first + count of a strategy of a head, or of the head that steps begin with. */
mtl_status mtl__heads_create(const mtl__job *job, const mtl__sample *s, int64_t task,
                             const mtl__strategy *how, int64_t first, int64_t count,
                             double tolerance, mtl__heads *out, mtl_error *err);
/* The mean of the heads of the job's blend: one head, of class tasks the mean of logits. */
mtl_status mtl__heads_blend(const mtl__job *job, const mtl__sample *s, int64_t task,
                            double tolerance, mtl__heads *out, mtl_error *err);
void mtl__heads_free(mtl__heads *h);

/* Has the strategy heads for all new tasks: by their kinds and, where it stands on known ones, theirs? */
bool mtl__heads_serve(const mtl__job *job, const mtl__strategy *how);

/* What predict would give for a row of `of` with the units of `units`. */
void mtl__heads_predict(const mtl__heads *h, int32_t kind, int64_t variant, const float *phi,
                        const mtl__sample_task *units, double *out);

/* Into a model that has the task and, where inputs count, a linear skip. */
void mtl__heads_write(const mtl__heads *h, int64_t variant, const mtl__sample *s, mtl_model *m,
                      const char *task);

#endif
