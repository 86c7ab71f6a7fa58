/* SPDX-License-Identifier: MIT */
/* Which tasks to train together, from what each does to the others. */
#ifndef MTL__GROUPING_H
#define MTL__GROUPING_H

#include "base/error.h"
#include "mem/arena.h"

/* The partition of the tasks into 1 .. most groups that scores highest: a group of one scores its
   own affinity[i, i], a larger one the sum over its tasks of the mean affinity of the others to it.
   Values are finite and at most MTL__MOST_AFFINITY in size. */
#define MTL__MOST_AFFINITY 1e150
mtl_status mtl__task_groups(int64_t tasks, const double *affinity, int64_t stride, int64_t most,
                            int64_t *group, double *score, const mtl__allocator *al,
                            mtl_error *err);

#endif
