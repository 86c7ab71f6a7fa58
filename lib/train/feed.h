/* SPDX-License-Identifier: MIT */
/* Batches: the rows of a first data set in the epoch's order, and beside them rows of a second one
   that is gone round as often as needed (a transfer's known-task data). */
#ifndef MTL__FEED_H
#define MTL__FEED_H

#include "rng/rng.h"
#include "train/sampler.h"
#include "train/targets.h"

typedef struct mtl__feed_source {
    mtl__binding bound;
    int64_t rows, batch; /* rows of the data set; rows of it in a batch */
    int64_t *order;      /* [rows, or those of a window]: row numbers of this round or window */
    int64_t *windows;    /* of streamed inputs: their numbers in the order of this round */
    int64_t begin, end;  /* positions in the round that `order` has; the window's number in it */
    int64_t turn;        /* windows of this round that were begun */
    mtl__rng rng;        /* of this round */
    int64_t round, next; /* rounds begun; position in order */
    uint32_t stream;     /* of the random order */
} mtl__feed_source;

typedef struct mtl__batch {
    int64_t rows;
    float *x; /* [rows, inputs], scaled; NULL = sparse */
    mtl__sparse_row *row; /* [rows] */
    mtl__sparse sparse;   /* over them */
    mtl__targets targets;
} mtl__batch;

typedef struct mtl__feed {
    const mtl_model *m;
    mtl__feed_source source[MTL__SOURCES];
    int32_t sources;
    bool shuffle;
    bool is_sparse;  /* the inputs of all sources */
    bool is_sampled; /* the first source's rounds come from the sampler */
    mtl__sampler sampler;
    uint64_t seed;
    int64_t steps; /* batches of an epoch */
    mtl__batch batch;
    int64_t *scratch; /* [rows of a batch] */
} mtl__feed;

/* Set up from bindings that stay the caller's; memory comes from the arena (call it again after the
   arena was reserved). second may be NULL. The
   sampling concerns the first data set. */
void mtl__feed_plan(mtl__feed *f, const mtl_model *m, const mtl__binding *first,
                    const mtl__binding *second, int64_t batch_rows, bool shuffle,
                    const mtl__sampling *sampling, uint64_t seed, mtl__arena *arena);

/* Rows that the largest batch has. */
int64_t mtl__feed_max_rows(const mtl__feed *f);

/* Begin an epoch, then fill f->batch; false when the epoch is over. */
void mtl__feed_begin(mtl__feed *f);
bool mtl__feed_next(mtl__feed *f);

/* Go to where a source stood: rounds begun, rows of the last one given out. False when it cannot have
   stood there. */
bool mtl__feed_seek(mtl__feed *f, int source, int64_t round, int64_t next);

/* Ask the memory for the next batch's rows, while the present one is still at work. */
void mtl__feed_prefetch(mtl__feed *f);

#endif
