/* SPDX-License-Identifier: MIT */
/* Several strategies on one target, averaged. */
#ifndef MTL__PARTS_H
#define MTL__PARTS_H

#include "transfer/move.h"

enum { MTL__MOST_MEMBERS = 16 }; /* at most */

/* Exact heads: the mean of such is one, so that a plain model has it. */
bool mtl__is_head(const mtl__job *job, const mtl__strategy *how);

/* The mean of all parts with their weights: of exact heads one head in one model, with others a model
   of members, MTL__MOST_MEMBERS at most. Its other tasks than those of the job are of the member that leaves
   them most as they were. Made in the order given, which the time left is shared by; a part that is
   cancelled is the last one. The report is the first member's. */
mtl_status mtl__move_average(const mtl__job *job, const mtl_dataset *target, const mtl__part *part,
                             int64_t count, mtl_model **out, mtl_report **report, mtl_error *err);

#endif
