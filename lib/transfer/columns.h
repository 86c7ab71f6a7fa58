/* SPDX-License-Identifier: MIT */
/* A target with other input columns than the source, matched by their names. */
#ifndef MTL__COLUMNS_H
#define MTL__COLUMNS_H

#include "model/model.h"

/* The source over the target's columns: weights of a column that both have are the source's, those of a
   new one are 0, and scaling is that of the target's rows for it; so rows that have the source's columns
   are predicted as by the source. And the known tasks' rows in those columns, NaN where they have none.
   NULL = as they are. */
typedef struct mtl__column_match {
    mtl_model *source;
    mtl_dataset *known;
    int64_t kept, added, dropped; /* of the target's and the source's columns */
} mtl__column_match;

/* Nothing is made where names are missing, or equal, or none is the same and the columns are as many.
   known may be NULL. */
mtl_status mtl__column_match_make(const mtl_model *source, const mtl_dataset *target,
                              const mtl_dataset *known, mtl__column_match *out, mtl_error *err);
void mtl__column_match_free(mtl__column_match *c);

#endif
