/* SPDX-License-Identifier: MIT */
/* Inner products of the tasks' gradients in the trunk, without a matrix of tasks times parameters.

   Layer by layer on the way down, and of a layer some columns at a time, the gradients of its outputs
   lie one after the other for all tasks: D_1 .. D_T, each [rows, columns]. With the layer's input A
   the products of the weights' gradients A'D_i come from slices of them, or, when there are fewer
   rows than inputs, from <D_i, (A A') D_j>. Tasks' gradients as wide as a layer are only kept where
   they cannot be had again from the layer above for little. */
#ifndef MTL__GRAMIAN_H
#define MTL__GRAMIAN_H

#include "mem/arena.h"
#include "model/network.h"

struct mtl__trainer;

typedef struct mtl__gramian {
    bool features;   /* gradients by the trunk's output, not by its parameters */
    bool is_stack;   /* the trunk is dense layers alone */
    bool is_product; /* features: of two small matrices, see compare_heads() */
    int64_t *live;   /* [tasks]: those that are compared */
    double *sum;     /* [tasks, tasks] in the rows and columns of the live ones */
    double *layer, *bound; /* of one layer, [tasks, tasks]; what it can be at most, [tasks] */
    mtl__buffers *own;     /* [tasks], of those with rows held */
    mtl__way_back *way;    /* [tasks]; dy NULL = to be had from the outputs' gradient */
    float **held, *spare;  /* [tasks]: rows as wide as any layer, NULL where that need not be; one more */
    float *block, *part, *row_products;
    int64_t block_floats, part_floats, row_most;
    uint8_t *trained; /* [layers]: bit k = tensor k is trained */
    bool *off;        /* [layers] */
    double *scale;    /* [tasks], by layer: of the live ones */
    float *mix;       /* by layer: [rows, widest dense layer] */
} mtl__gramian;

/* by_layer: also for mtl__gramian_layers(). */
void mtl__gramian_plan(struct mtl__trainer *t, bool features, bool by_layer, mtl__arena *arena,
                       mtl__gramian *g);
/* Once the layers to train are known. */
void mtl__gramian_start(const struct mtl__trainer *t, mtl__gramian *g);
/* g->sum of the `count` live tasks, from the losses' gradient in the trainer's buffers, which stays. */
void mtl__gramian_run(const struct mtl__trainer *t, const mtl__pass *p, mtl__gramian *g,
                      int64_t count);

/* With g->sum of a layer's parameters alone (asks = false: without), from the top down: the weights of
   the live tasks into scale [count]. The layer's gradient is then the sum of theirs with these. false =
   no further. */
typedef bool mtl__gramian_fn(void *self, int64_t layer, double *scale);
void mtl__gramian_layers(const struct mtl__trainer *t, const mtl__pass *p, mtl__gramian *g,
                         int64_t count, bool asks, mtl__gramian_fn *fn, void *self);

#endif
