/* SPDX-License-Identifier: MIT */
/* Losses: one row each, with the link that turns the network's output into what predict gives. */
#ifndef MTL__LOSS_H
#define MTL__LOSS_H

#include "base/error.h"
#include "option/choice.h"
#include "vec/vec.h"

typedef void mtl__link_fn(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz);

/* One of by_columns and by_rows is there, but for "auto". */
typedef struct mtl__loss {
    mtl__choice_row choice;
    uint32_t kinds; /* bit 1 << kind for each kind of task that it serves */
    mtl__columns_fn *(*by_columns)(const mtl__vec *);  /* outputs are independent of each other */
    mtl__rows_loss_fn *(*by_rows)(const mtl__vec *); /* one label for all outputs */
    mtl__link_fn *link;                              /* in place; NULL = identity */
} mtl__loss;

/* Row 0 is "auto": the first loss below it that serves the task's kind. */
extern const mtl__choice_table mtl__losses;

/* The loss of that name for a kind of task. MTL_ERR_RANGE when it does not serve the kind. */
mtl_status mtl__loss_choose(const char *text, const char *task, int32_t kind, const mtl__loss **out,
                            mtl_error *err);

#endif
