/* SPDX-License-Identifier: MIT */
/* The rows of a data set dealt into parts, each of which is left out in turn. */
#ifndef MTL__FOLDS_H
#define MTL__FOLDS_H

#include "train/binding.h"

typedef struct mtl__folds {
    const mtl_dataset *data;
    const int64_t *label; /* [tasks]: the tasks' labels in data, -1 = none; borrowed */
    int64_t tasks, count;
    int32_t *of_row;  /* [rows]: the part; -1 = never left out */
    int64_t *labels;  /* [count, tasks]: rows of a part with a label of a task */
    int64_t *outside; /* [tasks]: of the rows that are never left out */
} mtl__folds;

/* Every part has its share of the labels of each task and of the rows of each class: rows are dealt out
   by the rarest thing that they have of these (after the rarest-first rule of iterative stratification;
   Sechidis, Tsoumakas & Vlahavas 2011). Rows of one group stay together, group being the number of labels
   in data whose values are the groups, -1 = none. The first `kept` rows are never left out; then there
   is one part. The binding's numbers are used as long as the folds are. */
mtl_status mtl__folds_deal(const mtl_model *m, const mtl__binding *b, int64_t count, int64_t group,
                           int64_t kept, uint64_t seed, mtl__folds *out, mtl_error *err);
void mtl__folds_free(mtl__folds *f);

/* Is the row one of a part's, with a label of the task (-1 = any row)? */
bool mtl__folds_has(const mtl__folds *f, int64_t part, int64_t task, int64_t row);
/* Rows outside of a part and of it, those with a label of the task alone; MTL_ERR_DATA when there is
   none. */
mtl_status mtl__folds_part(const mtl__folds *f, int64_t part, int64_t task, mtl_dataset **train,
                           mtl_dataset **held, mtl_error *err);
/* Rows outside of a part that have a label of the task. */
int64_t mtl__folds_labels(const mtl__folds *f, int64_t part, int64_t task);

#endif
