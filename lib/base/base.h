/* SPDX-License-Identifier: MIT */
/* What every file may use: attributes, checked sizes, small helpers. */
#ifndef MTL__BASE_H
#define MTL__BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define MTL__PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MTL__LIKELY(x) __builtin_expect(!!(x), 1)
#define MTL__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MTL__INLINE static inline __attribute__((always_inline))
#else
#define MTL__PRINTF(f, a)
#define MTL__LIKELY(x) (x)
#define MTL__UNLIKELY(x) (x)
#define MTL__INLINE static inline
#endif

#if defined(__x86_64__)
#define MTL__ARCH_X86 1
#else
#define MTL__ARCH_X86 0
#endif
#if defined(__aarch64__)
#define MTL__ARCH_ARM64 1
#else
#define MTL__ARCH_ARM64 0
#endif

/* Alignment of all arrays of numbers, in bytes and in floats. */
#define MTL__ALIGN 64
#define MTL__ALIGN_FLOATS 16

#define MTL__COUNT_OF(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))

static inline int64_t mtl__min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t mtl__max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* n rounded up to whole cache lines of floats. */
static inline int64_t mtl__round_floats(int64_t n)
{
    return (n + MTL__ALIGN_FLOATS - 1) / MTL__ALIGN_FLOATS * MTL__ALIGN_FLOATS;
}

/* *out = a * b (or a + b); false on overflow or a negative operand, *out then untouched. */
static inline bool mtl__mul_size(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool mtl__add_size(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

#endif
