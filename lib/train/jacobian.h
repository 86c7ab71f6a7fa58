/* SPDX-License-Identifier: MIT */
/* The tasks' gradients of the trained tensors of the trunk that no task owns, whole, one row for each task:
   what takes a look at single values of them, or at all of them at once. */
#ifndef MTL__JACOBIAN_H
#define MTL__JACOBIAN_H

#include "mem/arena.h"
#include "model/network.h"

struct mtl__trainer;

/* A trained tensor of the trunk: rows of cols values, ld apart. */
typedef struct mtl__piece {
    int64_t offset, rows, cols, ld;
    double rate; /* factor of the learning rate */
} mtl__piece;

typedef struct mtl__jacobian {
    mtl__piece *piece;
    int64_t pieces, floats; /* floats: length of a row */
    bool *trunk_on, *chain_on; /* [layers], [heads] */
    float *grad;               /* [tasks, floats] */
    float *dz;                 /* [rows, outputs] */
} mtl__jacobian;

void mtl__jacobian_plan(const struct mtl__trainer *t, mtl__arena *arena, mtl__jacobian *j);
/* Once the layers to train are known. */
void mtl__jacobian_start(const struct mtl__trainer *t, mtl__jacobian *j);
/* The rows of the tasks for which `loss` [tasks] is no NaN, from the losses' gradient in the trainer's
   buffers, which stays. What the pass has of gradients is lost. */
void mtl__jacobian_run(const struct mtl__trainer *t, const mtl__pass *p, const double *loss,
                       mtl__jacobian *j);

/* From a vector of all parameters to a row, and back. */
void mtl__jacobian_get(const mtl__jacobian *j, const float *from, float *row);
void mtl__jacobian_put(const mtl__jacobian *j, const float *row, float *to);
/* Inner product of the rows of two tasks. */
double mtl__jacobian_dot(const mtl__jacobian *j, const mtl__vec *v, int64_t a, int64_t b);

#endif
