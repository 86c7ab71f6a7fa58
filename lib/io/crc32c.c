/* SPDX-License-Identifier: MIT */
#include "io/crc32c.h"

#include "io/byteorder.h"

/* Slicing by 8 half bytes: table[j][n] is what half byte n leaves behind once j more have gone
   through. CRCs are linear, so an entry is the sum of those for the single bits of n, and these are
   one sequence: each follows from the one before by one step of the shift register, x >> 1 ^ (x & 1)
   * 0x82f63b78. Whole bytes would be twice as fast and take 4 kB. */
#define T1(n, a, b, c, d) ((n)&8 ? a : 0) ^ ((n)&4 ? b : 0) ^ ((n)&2 ? c : 0) ^ ((n)&1 ? d : 0)
#define T4(n, ...)                                                                                 \
    T1(n, __VA_ARGS__), T1(n + 1, __VA_ARGS__), T1(n + 2, __VA_ARGS__), T1(n + 3, __VA_ARGS__)
#define T16(...)                                                                                   \
    T4(0, __VA_ARGS__), T4(4, __VA_ARGS__), T4(8, __VA_ARGS__), T4(12, __VA_ARGS__)

static const uint32_t table[8][16] = {
    {T16(0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f)},
    {T16(0x8ad958cf, 0xc79a971f, 0xe13b70f7, 0xf26b8303)},
    {T16(0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181)},
    {T16(0x9d14c3b8, 0x4e8a61dc, 0x274530ee, 0x13a29877)},
    {T16(0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a)},
    {T16(0x38513ec5, 0x9edea41a, 0x4f6f520d, 0xa541927e)},
    {T16(0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d)},
    {T16(0xf64463e6, 0x7b2231f3, 0xbf672381, 0xdd45aab8)},
};

uint32_t mtl__crc32c(uint32_t crc, const void *p, int64_t size)
{
    const unsigned char *s = p;
    crc = ~crc;
    for (; size >= 4; size -= 4, s += 4) {
        uint32_t a = crc ^ mtl__load_le32(s);
        crc = 0;
        for (int j = 7; j >= 0; j--, a >>= 4)
            crc ^= table[j][a & 15];
    }
    for (; size > 0; size--, s++)
        for (int j = 0; j < 8; j += 4)
            crc = crc >> 4 ^ table[0][(crc ^ *s >> j) & 15];
    return ~crc;
}
