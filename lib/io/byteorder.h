/* SPDX-License-Identifier: MIT */
/* Numbers in files have a stated byte order; these work on any host and at any address. */
#ifndef MTL__BYTEORDER_H
#define MTL__BYTEORDER_H

#include <string.h>

#include "base/base.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define MTL__BIG_ENDIAN 1
#else
#define MTL__BIG_ENDIAN 0
#endif

/* Compilers make one load or store of each. */
static inline uint32_t mtl__load_le32(const void *p)
{
    const unsigned char *b = p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t mtl__load_le64(const void *p)
{
    return mtl__load_le32(p) | (uint64_t)mtl__load_le32((const char *)p + 4) << 32;
}

static inline void mtl__store_le64(void *p, uint64_t v)
{
    unsigned char *b = p;
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(v >> (8 * i));
}

/* n floats between memory and little-endian bytes, either way; the two must not overlap. */
static inline void mtl__copy_le_f32(void *to, const void *from, int64_t n)
{
    if (!MTL__BIG_ENDIAN) {
        if (n > 0)
            memcpy(to, from, (size_t)n * 4);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = mtl__load_le32((const char *)from + 4 * i);
        memcpy((char *)to + 4 * i, &v, 4);
    }
}

#endif
