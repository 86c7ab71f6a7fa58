/* SPDX-License-Identifier: MIT */
#include "rng/rng.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"

/* Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011: the constants
   of Philox4x32 and ten rounds, as recommended there. */
#define MULTIPLIER_0 0xd2511f53u
#define MULTIPLIER_1 0xcd9e8d57u
#define WEYL_0       0x9e3779b9u /* golden ratio */
#define WEYL_1       0xbb67ae85u /* sqrt(3) - 1 */
enum { ROUNDS = 10, WORDS = 4, MANY = 64 };

void mtl__rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
#if defined(__GNUC__) && !defined(__clang__) /* clang does it unasked */
#pragma GCC unroll 10
#endif
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)MULTIPLIER_0 * c0, p1 = (uint64_t)MULTIPLIER_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void one_block(const uint32_t counter[4], const uint32_t key[2], int64_t blocks, uint32_t *out)
{
    (void)blocks;
    mtl__rng_philox(counter, key, out);
}

/* The seed is the key; block number, substream and stream are the counter. Part of the results. */
static void make_blocks(mtl__rng_blocks_fn *blocks, uint64_t seed, uint32_t stream,
                        uint32_t substream, uint64_t number, int64_t count, uint32_t *out)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)number, (uint32_t)(number >> 32), substream, stream};
    blocks(counter, key, count, out);
}

mtl__rng mtl__rng_make(uint64_t seed, uint32_t stream, uint32_t substream)
{
    return (mtl__rng){.seed = seed, .stream = stream, .substream = substream};
}

uint32_t mtl__rng_u32(mtl__rng *r)
{
    if (r->index % WORDS == 0)
        make_blocks(one_block, r->seed, r->stream, r->substream, r->index / WORDS, 1, r->block);
    return r->block[r->index++ % WORDS];
}

uint64_t mtl__rng_u64(mtl__rng *r)
{
    uint64_t low = mtl__rng_u32(r);
    if (r->index % WORDS != 0) /* as nearly always: the other half is in the block */
        return (uint64_t)r->block[r->index++ % WORDS] << 32 | low;
    return (uint64_t)mtl__rng_u32(r) << 32 | low;
}

static float unit_f32(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

float mtl__rng_f32(mtl__rng *r)
{
    return unit_f32(mtl__rng_u32(r));
}

static double unit_f64(uint64_t word)
{
    return (double)(int64_t)(word >> 11) * 0x1p-53;
}

double mtl__rng_f64(mtl__rng *r)
{
    return unit_f64(mtl__rng_u64(r));
}

void mtl__rng_fill_f64(mtl__rng *r, mtl__rng_blocks_fn *blocks, int64_t n, double *out)
{
    uint32_t word[MANY * WORDS];
    while (n > 0 && r->index % WORDS != 0)
        *out++ = mtl__rng_f64(r), n--;
    for (int64_t count; n >= 2; n -= 2 * count, out += 2 * count) {
        count = mtl__min(n / 2, MANY);
        make_blocks(blocks, r->seed, r->stream, r->substream, r->index / WORDS, count, word);
        for (int64_t i = 0; i < count; i++)
            for (int64_t k = 0; k < 2; k++) {
                const uint32_t *low = word + 2 * k * count + i;
                out[2 * i + k] = unit_f64((uint64_t)low[count] << 32 | low[0]);
            }
        r->index += (uint64_t)(count * WORDS);
    }
    if (n > 0)
        *out = mtl__rng_f64(r);
}

/* Lemire 2019, "Fast random integer generation in an interval", algorithm 5: the high half of
   word * n, redrawn for the 2^32 mod n lowest values of the low half, which are one too many. */
static uint32_t below_u32(mtl__rng *r, uint32_t n)
{
    uint64_t product = (uint64_t)mtl__rng_u32(r) * n;
    if ((uint32_t)product < n) {
        const uint32_t excess = (0u - n) % n;
        while ((uint32_t)product < excess)
            product = (uint64_t)mtl__rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

int64_t mtl__rng_below(mtl__rng *r, int64_t n)
{
    assert(n >= 1);
    if (n <= (int64_t)UINT32_MAX)
        return below_u32(r, (uint32_t)n);
    /* Rare: draw as many bits as n - 1 has until they are in range, less than twice on average. */
    uint64_t mask = (uint64_t)n - 1;
    for (int shift = 1; shift < 64; shift *= 2)
        mask |= mask >> shift;
    for (;;) {
        uint64_t value = mtl__rng_u64(r) & mask;
        if (value < (uint64_t)n)
            return (int64_t)value;
    }
}

/* Marsaglia & Bray 1964. The second number of the pair is dropped: a cursor keeps no state beside
   its place in the stream, and each try takes exactly one block. */
double mtl__rng_normal(mtl__rng *r)
{
    for (;;) {
        double u = 2.0 * mtl__rng_f64(r) - 1.0, v = 2.0 * mtl__rng_f64(r) - 1.0;
        double s = u * u + v * v;
        if (s < 1.0 && s > 0.0)
            return u * sqrt(-2.0 * mtl__log_f64(s) / s);
    }
}

void mtl__rng_shuffle(mtl__rng *r, int64_t *values, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = mtl__rng_below(r, i + 1), value = values[i];
        values[i] = values[j];
        values[j] = value;
    }
}

void mtl__rng_dropout(uint64_t seed, uint32_t substream, mtl__rng_blocks_fn *blocks, int64_t first,
                      int64_t n, float p, float *out)
{
    assert(first >= 0 && p >= 0.0f && p <= 1.0f);
    const float kept = 1.0f / (1.0f - p);
    uint32_t word[MANY * WORDS];
    float mask[MANY * WORDS];
    while (n > 0) {
        const int64_t skip = first % WORDS, count = mtl__min(n, MANY * WORDS - skip);
        const int64_t whole = (skip + count + WORDS - 1) / WORDS;
        make_blocks(blocks, seed, MTL__RNG_DROPOUT, substream, (uint64_t)first / WORDS, whole, word);
        for (int64_t i = 0; i < whole; i++)
            for (int64_t k = 0; k < WORDS; k++)
                mask[WORDS * i + k] = unit_f32(word[k * whole + i]) < p ? 0.0f : kept;
        memcpy(out, mask + skip, (size_t)count * sizeof *out);
        first += count;
        out += count;
        n -= count;
    }
}
