/* SPDX-License-Identifier: MIT */
/* What a choice of a strategy is made of. */
#ifndef MTL__AUTO_PRIV_H
#define MTL__AUTO_PRIV_H

#include "transfer/parts.h"
#include "transfer/scores.h"

typedef struct mtl__chooser {
    const mtl__job *job; /* `own` */
    mtl__job own;
    const mtl_dataset *target;
    const mtl__allocator *al;
    uint64_t seed;
    mtl_dataset *rows; /* of the target: labelled ones, NULL = none, in a new domain */
    mtl_dataset *bare; /* in a new domain: the others, where they are as many, or NULL */
    mtl__contest c;
    mtl__measure measure;
    mtl__verdict *verdict; /* [candidates] */
    bool *is_floor;        /* [candidates] */
    int64_t *model;        /* [candidates] numbers of the models that they are of */
    mtl__part *part;       /* [candidates]; the first `parts` are those with weight, the heaviest first */
    int64_t parts;
    int64_t *key;          /* [c.rows] what tells units apart */
    int64_t partial;       /* rows of a fold that was not finished, where none was */
    double *scratch, *weight, *other; /* of the choice; [candidates] */
    mtl__chosen choice;
    double started;
} mtl__chooser;

mtl__evidence mtl__chooser_evidence(const mtl__chooser *x);

/* choice_report.c: what was compared and why it was taken, beside m. */
mtl_status mtl__chooser_report(const mtl__chooser *x, const mtl_model *m, mtl_report *r,
                               mtl_error *err);

#endif
