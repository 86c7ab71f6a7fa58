/* SPDX-License-Identifier: MIT */
/* Philox4x32-10 (Salmon et al., SC 2011): a random number is a pure function of (seed, stream,
   index), so neither threads nor call order can change it. */
#ifndef MTL__RNG_H
#define MTL__RNG_H

#include "base/base.h"

/* Streams keep uses of one seed apart. Numbers are part of the results: never renumber. */
enum {
    MTL__RNG_INIT = 1,
    MTL__RNG_SHUFFLE = 2,
    MTL__RNG_DROPOUT = 3,
    MTL__RNG_SPLIT = 4,
    MTL__RNG_GENERATE = 5,
    MTL__RNG_REPLAY = 6,
    MTL__RNG_SAMPLE = 10,
    MTL__RNG_LINEAR = 17,
    MTL__RNG_AGGREGATE = 20,
    MTL__RNG_SIMULATE = 30,
    MTL__RNG_ADAPTER = 41,
    MTL__RNG_HULL = 50,
};

/* A cursor over one stream; substream tells apart layers, epochs, tasks ... */
typedef struct mtl__rng {
    uint64_t seed, index;
    uint32_t stream, substream;
    uint32_t block[4]; /* of index / 4 */
} mtl__rng;

/* The block function itself: ten rounds of Philox4x32. */
void mtl__rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A kernel of `vec` that makes many blocks at once: out [4, blocks], word k of block i at
   out[k * blocks + i], from `counter` on, whose first two words are the block's number. */
typedef void mtl__rng_blocks_fn(const uint32_t counter[4], const uint32_t key[2], int64_t blocks,
                                uint32_t *out);

mtl__rng mtl__rng_make(uint64_t seed, uint32_t stream, uint32_t substream);
uint32_t mtl__rng_u32(mtl__rng *r);
uint64_t mtl__rng_u64(mtl__rng *r);
/* In [0, 1), 24 bits / 53 bits. */
float mtl__rng_f32(mtl__rng *r);
double mtl__rng_f64(mtl__rng *r);
/* The next n of mtl__rng_f64, by whole blocks. */
void mtl__rng_fill_f64(mtl__rng *r, mtl__rng_blocks_fn *blocks, int64_t n, double *out);
/* In [0, n), every value equally likely; n >= 1. */
int64_t mtl__rng_below(mtl__rng *r, int64_t n);
/* Standard normal (Marsaglia polar method on exact arithmetic of our own: no libm). */
double mtl__rng_normal(mtl__rng *r);
/* Fisher-Yates on values[0 .. n). */
void mtl__rng_shuffle(mtl__rng *r, int64_t *values, int64_t n);

/* out[i] = 0 with probability p, else 1 / (1 - p), for element number first + i of the stream: a
   mask does not depend on how it is split into calls. 0 <= p <= 1. */
void mtl__rng_dropout(uint64_t seed, uint32_t substream, mtl__rng_blocks_fn *blocks, int64_t first,
                      int64_t n, float p, float *out);

#endif
