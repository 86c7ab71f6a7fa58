/* SPDX-License-Identifier: MIT */
/* Philox4x32-10, LANES blocks at once; rng/rng.c says what it is. Included by vec_body.h. */
#ifndef MTL__VEC_RANDOM_H
#define MTL__VEC_RANDOM_H

/* Blocks from a counter on whose first word does not wrap before; the last group may be made in full. */
VEC_INLINE void philox_group(const uint32_t counter[4], const uint32_t key[2], vi c[4])
{
    static const uint32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vi m0 = vi_set1(0xd2511f53u), m1 = vi_set1(0xcd9e8d57u);
    vi k0 = vi_set1(key[0]), k1 = vi_set1(key[1]);
    c[0] = vi_add(vi_set1(counter[0]), vi_load(lane));
    for (int k = 1; k < 4; k++)
        c[k] = vi_set1(counter[k]);
    for (int round = 0; round < 10; round++) {
        vi high0, high1, low0 = vi_mul_wide(m0, c[0], &high0), low1 = vi_mul_wide(m1, c[2], &high1);
        c[0] = vi_xor(vi_xor(high1, c[1]), k0);
        c[2] = vi_xor(vi_xor(high0, c[3]), k1);
        c[1] = low1;
        c[3] = low0;
        k0 = vi_add(k0, vi_set1(0x9e3779b9u));
        k1 = vi_add(k1, vi_set1(0xbb67ae85u));
    }
}

static void philox(const uint32_t counter[4], const uint32_t key[2], int64_t blocks, uint32_t *out)
{
    uint32_t at[4] = {counter[0], counter[1], counter[2], counter[3]}, part[LANES];
    for (int64_t i = 0, count; i < blocks; i += count) {
        const int64_t wraps = (INT64_C(1) << 32) - at[0];
        vi word[4];
        count = mtl__min(mtl__min(blocks - i, LANES), wraps);
        philox_group(at, key, word);
        for (int k = 0; k < 4; k++) {
            vi_store(count == LANES ? out + k * blocks + i : part, word[k]);
            if (count < LANES)
                memcpy(out + k * blocks + i, part, (size_t)count * sizeof *part);
        }
        at[0] += (uint32_t)count;
        at[1] += at[0] == 0;
    }
    vf_leave();
}

#endif
