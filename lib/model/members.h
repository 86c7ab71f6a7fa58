/* SPDX-License-Identifier: MIT */
/* Whole models in the place of a network's layers: its predictions are the weighted mean of theirs,
   task by task. Members have layers; they are no models of members themselves. */
#ifndef MTL__MEMBERS_H
#define MTL__MEMBERS_H

#include "model/spec.h"

typedef struct mtl__members {
    int64_t count, tasks;
    mtl_model **model; /* [count] */
    double *weight;    /* [count, tasks]; the sum over members is 1 for each task */
} mtl__members;

/* Zeroed; accepts what is half filled. */
mtl__members *mtl__members_alloc(const mtl__allocator *al, int64_t count, int64_t tasks);
void mtl__members_free(mtl__members *s, const mtl__allocator *al);

/* The model that stands for members of the same context, taken over also on failure. spec: of the
   whole, as `of_members` says. */
mtl_status mtl__members_model(const mtl_spec *spec, mtl__members *members, mtl_model **out,
                              mtl_error *err);
/* Copies of models with weights [count, tasks], tasks in the order of their first appearance, or NULL
   for equal ones. */
mtl_status mtl__members_average(const mtl_model *const *model, int64_t count, const double *weight,
                                mtl_model **out, mtl_error *err);
mtl_status mtl__members_clone(mtl_context *ctx, const mtl_model *m, mtl_model **out,
                              mtl_error *err);

/* What losses are measured in: of each task the figures of the first member of most weight. */
void mtl__members_adopt_targets(mtl_model *m);

/* The member of most weight among those with a trunk, or among all when none has one; m itself when
   it has no members. */
const mtl_model *mtl__members_leading(const mtl_model *m);

/* MTL_ERR_STATE for a model of members, which cannot do `what`. */
mtl_status mtl__members_refuse(const mtl_model *m, const char *what, mtl_error *err);

#endif
