/* SPDX-License-Identifier: MIT */
/* The network that a spec describes: a trunk, then chains of layers for the heads. All heads that
   are a single layer on the trunk are one chain of one matrix.

      x -> trunk -> h -> chain 0: all plain heads -> columns 0 .. of z
                      -> chain 1: tower, output   -> its columns of z
                      -> ...
      x -> linear skip -> z, to which the chains' last layers then add

   With an ensemble each row becomes one for every member in front of the first layer that is no
   embedding, member i of row r being row r * members + i from there on to z.

   With an architecture (architecture.h) tasks have streams of the trunk's output, and each reads its own:
   then every head is a chain.

   The network holds no numbers; forward and backward run on buffers laid out by a plan. */
#ifndef MTL__NETWORK_H
#define MTL__NETWORK_H

#include "mem/arena.h"
#include "model/spec.h"

typedef struct mtl__chain {
    int64_t first, count; /* layers */
    int64_t column;       /* first one in z */
    int64_t input;        /* first column of what it reads of the trunk's output */
} mtl__chain;

typedef struct mtl__net_task {
    int64_t column; /* first one in z */
    int64_t chain;  /* number of the head chain */
} mtl__net_task;

typedef struct mtl__network {
    mtl__allocator al;
    int64_t raw_inputs;                 /* columns that the caller gives */
    int64_t inputs, trunk_out, outputs; /* inputs: with indicators; outputs: columns of z */
    int64_t head_in;                    /* columns that a head reads of trunk_out */
    bool has_streams;                   /* those are the task's own */
    int64_t members;                    /* of an ensemble, 1 = none */
    int64_t widest;                     /* of all layers but the heads' last, with what a row of
                                           the network has of rows there */
    mtl__layer *layer;
    int64_t layers, layers_capacity;
    int64_t trunk_layers; /* the first ones of layer[] */
    int64_t skip;         /* number of the linear skip's layer, -1 = none */
    mtl__chain *head;
    int64_t heads;
    mtl__net_task *task;
    int64_t *column, columns; /* of the numeric embedding: their places in its x */
    int64_t *by_column; /* [tasks]: their numbers in the order of their columns */
    int64_t tasks;
    int64_t params; /* length of the flat vector; every tensor starts on a cache line */
} mtl__network;

mtl_status mtl__network_build(const mtl_spec *s, mtl__network *net, mtl_error *err);
void mtl__network_free(mtl__network *net);

/* Is the trunk's output one row for all tasks, of features that any head could read? */
static inline bool mtl__network_has_features(const mtl__network *net)
{
    return net->members == 1 && !net->has_streams;
}

/* Is the network's input that of the layer? */
bool mtl__network_reads_inputs(const mtl__network *net, int64_t layer);
/* A layer that reads the inputs and cannot have sparse ones: its type; NULL = there is none. */
const mtl__layer_type *mtl__network_needs_dense(const mtl__network *net);

/* Buffers for training on batches of up to max_rows, from an arena (which may be only planning). */
typedef struct mtl__buffers {
    float *z;       /* [max_rows * members, outputs] */
    float *dz;      /* the same; zero until a loss writes it */
    float *dh;      /* [max_rows * members, trunk_out] */
    bool has_dh;    /* dh holds a gradient already, to which those of the heads are added */
    float *turn[2]; /* [max_rows, widest]: gradients of layers' outputs by turns */
    float **y;      /* [layers]: output of each layer; of a head's last one its columns of z */
    float **kept;   /* [layers] */
    float **later;  /* [layers]: gradient of a layer's output that one which reads back hands to it */
    bool *has_later;
    float *gemm_work;
} mtl__buffers;

void mtl__network_plan(const mtl__network *net, const mtl__gemm *gemm, int slots, int64_t max_rows,
                       mtl__arena *arena, mtl__buffers *b);

/* z = network(x), x [rows, inputs] or NULL (the pass has sparse ones), keeping what backward needs. chain_on [heads] = chains to run.
   Prediction has its own form (forward.h). */
void mtl__network_forward(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                          const bool *chain_on, int64_t rows, const float *x, int64_t ldx);

/* Gradients of all parameters from b->dz into p->grads. layer_on [layers] = layers whose parameters
   are wanted; nothing is computed below the lowest of them. Overwrites dz and the layers' outputs'
   gradients. Parameters of layers and chains that are off keep the gradient that they had. */
void mtl__network_backward(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                           const bool *chain_on, const bool *layer_on, int64_t rows,
                           const float *x, int64_t ldx);

/* The gradient of one task alone on its way down the trunk, layer by layer, so that those of many
   tasks can be compared at each: buffers of its own, of which the caller gives the two turns, and where
   it is. b may be NULL (a plan). */
typedef struct mtl__way_back {
    mtl__layer_grad g; /* dy: of the output of the layer that is next */
    int turn;
} mtl__way_back;

void mtl__network_plan_task(const mtl__network *net, int64_t max_rows, mtl__arena *arena,
                            const mtl__buffers *all, mtl__buffers *b);
/* From the task's columns of all->dz to the trunk's output, or through the activation that made it.
   layer_on is of the towers, which are dense layers. */
void mtl__network_task_begin(const mtl__network *net, const mtl__pass *p, const mtl__buffers *all,
                             const mtl__buffers *own, const bool *layer_on, int64_t task,
                             int64_t outputs, bool through_activation, int64_t rows, const float *x,
                             int64_t ldx, mtl__way_back *way);
/* Through a layer of the trunk, the next one down; of layer `stop` no dx is wanted. */
void mtl__network_task_step(const mtl__network *net, const mtl__pass *p, const mtl__buffers *own,
                            const bool *layer_on, int64_t layer, int64_t stop, int64_t rows,
                            const float *x, int64_t ldx, mtl__way_back *way);
/* Lowest layer of the trunk that is on, or the number of the trunk's layers. */
int64_t mtl__network_trunk_stop(const mtl__network *net, const bool *layer_on);
mtl__layer_io mtl__network_trunk_io(const mtl__network *net, const mtl__buffers *b, int64_t layer,
                                    int64_t rows, const float *x, int64_t ldx);
/* The same for any layer: chain NULL = of the trunk. */
mtl__layer_io mtl__network_layer_io(const mtl__network *net, const mtl__buffers *b, const mtl__chain *chain,
                                    int64_t layer, int64_t rows, const float *x, int64_t ldx);

#endif
