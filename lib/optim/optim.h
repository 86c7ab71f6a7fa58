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
    double decay;       /* factor of the optimizer's decoupled decay, 0 for biases */
    int64_t ld;         /* not 0: `count` of each row of a matrix, rows so far apart, where a step takes the
                           rows that it touches */
} mtl__range;

/* Vectors of state, each as long as the parameters. */
enum { MTL__OPTIM_M, MTL__OPTIM_V, MTL__OPTIM_TOP, MTL__OPTIM_VECTORS };

/* Who has a vector: all, none, or those whose parameter of that number is not 0. */
enum { MTL__OPTIM_ALWAYS = -1, MTL__OPTIM_NEVER = -2 };

typedef struct mtl__optimizer {
    mtl__choice_row choice;
    int8_t vector[MTL__OPTIM_VECTORS];
    int8_t decay, momentum;       /* numbers of the parameters, or MTL__OPTIM_NEVER */
    void (*begin)(mtl__optim *o); /* figures of the next step; NULL = none */
    /* Constants of an update at this rate; those left 0 are not in use. */
    void (*fill)(const mtl__optim *o, double rate, mtl__update_step *s);
} mtl__optimizer;

/* What changes from step to step beside the vectors: figures alone, so that they can be written to
   a file as they are. */
typedef struct mtl__optim_now {
    int64_t step;          /* steps begun */
    double rate, power[2]; /* of this step: learning rate, betas to the power of the step */
    double mu, next_mu, mu_product; /* of nadam */
} mtl__optim_now;

struct mtl__optim {
    const mtl__optimizer *row;
    double param[MTL__CHOICE_PARAMS];
    mtl__optim_now *now;
    double decay_share; /* of the decoupled decay, in this step */
    float root_scale;   /* of this step: 1 / sqrt(1 - beta2^t), for Adam and its kin */
    float *state[MTL__OPTIM_VECTORS]; /* NULL = not in use */
};

extern const mtl__choice_table mtl__optimizers;
/* Names of the vectors. */
extern const char *const mtl__optim_vector_names[MTL__OPTIM_VECTORS];

/* State vectors from the arena (zeroed when it was reserved). */
void mtl__optim_init(mtl__optim *o, const mtl__choice *choice, mtl__optim_now *now, int64_t params,
                     mtl__arena *arena);

/* Has the choice a momentum that can be set? And set it, before a step. */
bool mtl__optim_has_momentum(const mtl__choice *choice);
void mtl__optim_set_momentum(mtl__optim *o, double momentum);

/* Begin a step, then apply it to ranges in any order and from any threads. */
void mtl__optim_begin(mtl__optim *o, double rate);
void mtl__optim_apply(const mtl__optim *o, const mtl__vec *v, const mtl__range *r, float *params,
                      const float *grads);

/* The decoupled weight decay that was chosen; 0 for an optimizer without. */
double mtl__optim_decay(const mtl__choice *choice);

#endif
