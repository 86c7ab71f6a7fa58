/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli), as in iSCSI, RFC 3720 appendix B.4. */
#ifndef MTL__CRC32C_H
#define MTL__CRC32C_H

#include "base/base.h"

/* The sum of what came before (0 at the start) followed by these bytes. */
uint32_t mtl__crc32c(uint32_t crc, const void *p, int64_t size);

#endif
