/* SPDX-License-Identifier: MIT */
#include "io/crc32c.h"

#include "io/byteorder.h"

/* Slicing by 4: table[j][n] is what byte n leaves behind once j more bytes have gone through. CRCs
   are linear, so an entry is the sum of those for the single bits of n, and these are one sequence:
   each follows from the one before by one step of the shift register, x >> 1 ^ (x & 1) *
   0x82f63b78. The compiler makes the tables of it. */
#define T1(n, a, b, c, d, e, f, g, h)                                                              \
    ((n)&128 ? a : 0) ^ ((n)&64 ? b : 0) ^ ((n)&32 ? c : 0) ^ ((n)&16 ? d : 0) ^ ((n)&8 ? e : 0) ^ \
        ((n)&4 ? f : 0) ^ ((n)&2 ? g : 0) ^ ((n)&1 ? h : 0)
#define T4(n, ...)                                                                                 \
    T1(n, __VA_ARGS__), T1(n + 1, __VA_ARGS__), T1(n + 2, __VA_ARGS__), T1(n + 3, __VA_ARGS__)
#define T16(n, ...)                                                                                \
    T4(n, __VA_ARGS__), T4(n + 4, __VA_ARGS__), T4(n + 8, __VA_ARGS__), T4(n + 12, __VA_ARGS__)
#define T64(n, ...)                                                                                \
    T16(n, __VA_ARGS__), T16(n + 16, __VA_ARGS__), T16(n + 32, __VA_ARGS__),                       \
        T16(n + 48, __VA_ARGS__)
#define T256(...)                                                                                  \
    T64(0, __VA_ARGS__), T64(64, __VA_ARGS__), T64(128, __VA_ARGS__), T64(192, __VA_ARGS__)

static const uint32_t table[4][256] = {
    {T256(0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f, 0x8ad958cf, 0xc79a971f, 0xe13b70f7,
          0xf26b8303)},
    {T256(0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181, 0x9d14c3b8, 0x4e8a61dc, 0x274530ee,
          0x13a29877)},
    {T256(0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a, 0x38513ec5, 0x9edea41a, 0x4f6f520d,
          0xa541927e)},
    {T256(0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d, 0xf64463e6, 0x7b2231f3, 0xbf672381,
          0xdd45aab8)},
};

uint32_t mtl__crc32c(uint32_t crc, const void *p, int64_t size)
{
    const unsigned char *s = p;
    crc = ~crc;
    for (; size >= 4; size -= 4, s += 4) {
        uint32_t a = crc ^ mtl__load_le32(s);
        crc = table[3][a & 255] ^ table[2][a >> 8 & 255] ^ table[1][a >> 16 & 255] ^
              table[0][a >> 24];
    }
    for (; size > 0; size--, s++)
        crc = crc >> 8 ^ table[0][(crc ^ *s) & 255];
    return ~crc;
}
