/* SPDX-License-Identifier: MIT */
/* Which rows an epoch has when it is not every row once: rows fall into strata (the classes of a
   task, or the tasks that rows belong to), and a rule says how many places of the epoch a stratum
   has. */
#ifndef MTL__SAMPLER_H
#define MTL__SAMPLER_H

#include "train/binding.h"

extern const mtl__choice_table mtl__samplings;

typedef struct mtl__sampling_row mtl__sampling_row;

/* A rule with its figures; row NULL = every row once. */
typedef struct mtl__sampling {
    const mtl__sampling_row *row;
    int64_t task;        /* of the model, whose classes are balanced */
    double power, limit; /* a task of n rows counts as min(n, limit)^power */
} mtl__sampling;

/* What the option says, checked against the data. text: the option's value, for the task's name. */
mtl_status mtl__sampling_resolve(const mtl__binding *b, const mtl_model *m,
                                 const mtl__choice *choice, const char *text, mtl__sampling *out,
                                 mtl_error *err);

typedef struct mtl__sampler {
    int64_t strata;
    int64_t *start; /* [strata + 1] in rows */
    int64_t *rows;  /* [rows of the data set] by stratum, then by number */
    double *edge;   /* [strata + 1]: stratum k is expected to have edge[k + 1] - edge[k] places */
} mtl__sampler;

/* Memory comes from the arena (call it again after the arena was reserved). */
void mtl__sampler_plan(mtl__sampler *s, const mtl__sampling *rule, const mtl__binding *b,
                       const mtl_model *m, mtl__arena *arena);

/* The rows of a round in random order, as many as the data set has. They depend on the seed and the
   round's number alone. */
void mtl__sampler_draw(const mtl__sampler *s, uint64_t seed, int64_t round, int64_t *order);

#endif
