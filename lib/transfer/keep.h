/* SPDX-License-Identifier: MIT */
/* Known tasks kept working: steps end where the loss of one rises by more than the option "keep_known". */
#ifndef MTL__KEEP_H
#define MTL__KEEP_H

#include "train/trainer.h"

typedef struct mtl__keeper {
    const mtl__allocator *al;
    mtl__judge *judge; /* on the known rows; NULL = there is no bound */
    int64_t tasks, params;
    double *bound;     /* [tasks], NaN = not looked at */
    float *values;     /* [params]: the last ones within the bounds */
} mtl__keeper;

/* Bounds from the losses that m has now on the known rows: above them by no more than that share. */
mtl_status mtl__keeper_create(const mtl_model *m, const mtl_spec *source, const mtl_dataset *known,
                              double share, mtl__keeper *out, mtl_error *err);
/* Watch over a run, which ends with the reason "keep_known" where it oversteps. */
void mtl__keeper_watch(mtl__keeper *k, mtl__trainer *t);
/* Parameters within the bounds are the ones to go back to; others become those. false: they did. */
bool mtl__keeper_hold(mtl__keeper *k, mtl_model *m);
void mtl__keeper_free(mtl__keeper *k);

#endif
