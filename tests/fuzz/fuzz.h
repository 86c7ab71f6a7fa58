/* SPDX-License-Identifier: MIT */
/* What the drivers share. An engine or replay.c calls LLVMFuzzerTestOneInput(). */
#ifndef MTL_FUZZ_H
#define MTL_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding, in every build. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#endif
