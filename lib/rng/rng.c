/* SPDX-License-Identifier: MIT */
#include "rng/rng.h"

#include <math.h>

#include "base/math64.h"

/* Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011: the constants
   of Philox4x32 and ten rounds, as recommended there. */
#define MULTIPLIER_0 0xd2511f53u
#define MULTIPLIER_1 0xcd9e8d57u
#define WEYL_0       0x9e3779b9u /* golden ratio */
#define WEYL_1       0xbb67ae85u /* sqrt(3) - 1 */
enum { ROUNDS = 10, WORDS = 4 };

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

/* The seed is the key; block number, substream and stream are the counter. Part of the results. */
static void make_block(uint64_t seed, uint32_t stream, uint32_t substream, uint64_t number,
                       uint32_t out[WORDS])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)number, (uint32_t)(number >> 32), substream, stream};
    mtl__rng_philox(counter, key, out);
}

mtl__rng mtl__rng_make(uint64_t seed, uint32_t stream, uint32_t substream)
{
    return (mtl__rng){.seed = seed, .stream = stream, .substream = substream};
}

uint32_t mtl__rng_u32(mtl__rng *r)
{
    if (r->index % WORDS == 0)
        make_block(r->seed, r->stream, r->substream, r->index / WORDS, r->block);
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

void mtl__rng_fill_f64(mtl__rng *r, int64_t n, double *out)
{
    int64_t i = 0;
    if (r->index % WORDS == 0)
        for (; i + 2 <= n; i += 2, r->index += WORDS) {
            uint32_t block[WORDS];
            make_block(r->seed, r->stream, r->substream, r->index / WORDS, block);
            out[i] = unit_f64((uint64_t)block[1] << 32 | block[0]);
            out[i + 1] = unit_f64((uint64_t)block[3] << 32 | block[2]);
        }
    for (; i < n; i++)
        out[i] = mtl__rng_f64(r);
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

void mtl__rng_dropout(uint64_t seed, uint32_t substream, int64_t first, int64_t n, float p,
                      float *out)
{
    assert(first >= 0 && p >= 0.0f && p <= 1.0f);
    const float kept = 1.0f / (1.0f - p);
    const int64_t end = first + n;
    for (int64_t i = first; i < end;) {
        uint32_t block[WORDS];
        make_block(seed, MTL__RNG_DROPOUT, substream, (uint64_t)i / WORDS, block);
        do {
            out[i - first] = unit_f32(block[i % WORDS]) < p ? 0.0f : kept;
        } while (++i < end && i % WORDS != 0);
    }
}
