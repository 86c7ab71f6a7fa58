/* SPDX-License-Identifier: MIT */
/* The tasks' gradients of the trunk's trained tensors, whole, one row for each task: what takes a look at
   single values of them, or at all of them at once. */
#ifndef MTL__JACOBIAN_H
#define MTL__JACOBIAN_H

#include "mem/arena.h"
#include "model/network.h"

struct mtl__trainer;

/* A trained tensor of the trunk. */
typedef struct mtl__piece {
    int64_t offset, count;
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

#endif
