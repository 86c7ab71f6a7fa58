/* SPDX-License-Identifier: MIT */
/* The candidates of presets: what trains on parts of the rows and is judged by the rest. */
#ifndef MTL__CANDIDATE_H
#define MTL__CANDIDATE_H

#include "train/mixture.h"
#include "train/preset.h"
#include "train/verdict.h"

typedef struct mtl__part {
    mtl_model *net;
    int kind;
    int64_t part, task; /* part -1 = trained on all rows; task -1 = all */
    int64_t end;        /* tasks from here on it does not serve; 0 = it serves all */
} mtl__part;

/* What a network said of the rows left out, epoch by epoch. */
typedef struct mtl__turn {
    const mtl__allocator *al;
    const mtl_model *net;
    float *p; /* [slots, rows, outputs] */
    int64_t slots, rows, outputs;
    mtl_report *report; /* NULL = no turn */
} mtl__turn;

typedef struct mtl__selection {
    mtl_model *m;
    const mtl_dataset *train;
    const mtl_options *o;
    bool own_shape;
    mtl_dataset *joint; /* training and validation rows, or NULL */
    mtl__binding all;
    mtl__folds folds;
    int64_t run; /* parts that are left out in turn */
    bool *fits;           /* [tasks], all false: no task is scaled anew */
    mtl__scaling scaling; /* for its weights of classes, by all rows */
    mtl__mixture mix;
    mtl__part *list;
    int64_t count, capacity;
    mtl__turn *turns; /* [kinds, run] */
    int kind;         /* being trained */
    int64_t part;
    int64_t *column, columns; /* of more than two values */
    double begun, deadline;   /* 0 = none */
    bool is_cut, is_cancelled, is_part, is_tried; /* is_tried: a network */
    mtl_report *report;
} mtl__selection;

/* A kind of candidate, a row in candidate.c; they run in its order. */
typedef struct mtl__candidate {
    mtl__choice_row choice;
    bool is_exact; /* linear: without the model's layers, and in the end fitted to all rows */
    bool (*serves)(const mtl__task_spec *t); /* NULL = every task */
    mtl_status (*run)(mtl__selection *s, int kind, mtl_error *err);
} mtl__candidate;

extern const mtl__candidate mtl__candidate_rows[MTL__KINDS];

/* --- candidate.c: for their functions ------------------------------------------------------------
 */

bool mtl__selection_is_over(const mtl__selection *s);
bool mtl__part_serves(const mtl__selection *s, const mtl__part *k, int64_t task);
/* Has every task a model? */
bool mtl__selection_is_enough(const mtl__selection *s);
/* Takes the network over, also on failure. */
mtl_status mtl__selection_add(mtl__selection *s, mtl__part k, mtl_error *err);
/* The rows that a part leaves out, from p [rows of the part with a label of `task`, outputs of
 * net]. */
void mtl__selection_put(mtl__selection *s, int kind, int64_t part, int64_t task,
                        const mtl_model *net, const float *p);
/* What is no failure of the call: a candidate that diverges, or has nothing to learn from, is none.
 */
mtl_status mtl__pardon(mtl_status st, const mtl_error *mine, mtl_error *err);

/* --- candidate_linear.c --------------------------------------------------------------------------
 */

mtl_status mtl__run_pooled(mtl__selection *s, int kind, mtl_error *err);
mtl_status mtl__run_linear(mtl__selection *s, int kind, mtl_error *err);
/* A model of all rows in the place of those of parts, where it has a weight. */
mtl_status mtl__refit_linear(mtl__selection *s, int kind, mtl_error *err);

/* --- candidate_network.c -------------------------------------------------------------------------
 */

mtl_status mtl__run_networks(mtl__selection *s, int kind, mtl_error *err);
mtl_status mtl__run_single(mtl__selection *s, int kind, mtl_error *err);
void mtl__selection_free_turns(mtl__selection *s, int kind);

/* --- selection_result.c --------------------------------------------------------------------------
 */

mtl_status mtl__selection_result(mtl__selection *s, mtl_model **out, mtl_error *err);
mtl_status mtl__selection_report(mtl__selection *s, mtl_error *err);

#endif
