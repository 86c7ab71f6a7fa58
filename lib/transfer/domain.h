/* SPDX-License-Identifier: MIT */
/* Tasks that the source knows, in a new domain: rows of which few have a label, or none. */
#ifndef MTL__DOMAIN_H
#define MTL__DOMAIN_H

#include "transfer/align.h"
#include "transfer/move.h"

/* Has a row a label of a task of the job? */
bool mtl__has_label(const mtl__job *job, const mtl_dataset *d, int64_t row);
/* View on the rows that have one; *out NULL = there is none. */
mtl_status mtl__labelled_rows(const mtl__job *job, const mtl_dataset *d, mtl_dataset **out,
                              mtl_error *err);

/* Numbers of rows from all over a data set. */
void mtl__spread(int64_t all, int64_t rows, int64_t *index);

/* The model's input scaling moved so that inputs of `target` come out with the means and deviations
   that those of `known` have by the scaling that there is; then running statistics of batch norms
   from what comes out. Both as MTL__PSEUDO_ROWS rows with the old figures and those of the target
   would have them together (Schneider et al. 2020, eq. 3). */
enum { MTL__PSEUDO_ROWS = 16 };
mtl_status mtl__restate(mtl_model *m, const mtl_dataset *known, const mtl_dataset *target,
                        mtl_error *err);

/* "distance/coral/WHEN" and "distance/mmd/WHEN": of the trunk's outputs on some rows of both, known
   ones as one model has them and those of the target as another does. Nothing for streamed or sparse
   inputs, without a trunk, or of an ensemble. */
mtl_status mtl__report_distance(const mtl_model *of_known, const mtl_dataset *known,
                                const mtl_model *of_target, const mtl_dataset *target,
                                const char *when, mtl_report *r, mtl_error *err);

#endif
