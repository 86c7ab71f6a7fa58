/* SPDX-License-Identifier: MIT */
/* Optimizers: one row each, applied to ranges of the flat parameter vector. */
#ifndef MTL__OPTIM_H
#define MTL__OPTIM_H

#include "mem/arena.h"
#include "option/choice.h"
#include "vec/vec.h"

typedef struct mtl__optim mtl__optim;

/* A run of parameters that share their settings. */
typedef struct mtl__range {
    int64_t first, count;
    double rate_factor; /* of the learning rate; 0 = frozen */
    double l1, l2;      /* penalties in force, 0 for biases */
} mtl__range;

typedef struct mtl__optimizer {
    mtl__choice_row choice;
    int32_t vectors; /* of state, each as long as the parameters */
    void (*begin_step)(mtl__optim *o, double rate);
    void (*apply)(const mtl__optim *o, const mtl__vec *v, const mtl__range *r, float *params,
                  const float *grads);
} mtl__optimizer;

#define MTL__OPTIM_VECTORS 2

struct mtl__optim {
    const mtl__optimizer *row;
    double param[MTL__CHOICE_PARAMS];
    int64_t step;          /* steps begun */
    double rate, power[2]; /* of this step */
    float *state[MTL__OPTIM_VECTORS];
};

extern const mtl__choice_table mtl__optimizers;

/* State vectors from the arena (zeroed when it was reserved). */
void mtl__optim_init(mtl__optim *o, const mtl__choice *choice, int64_t params, mtl__arena *arena);

#endif
