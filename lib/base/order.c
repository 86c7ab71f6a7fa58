/* SPDX-License-Identifier: MIT */
#include "base/order.h"

#include <string.h>

uint32_t mtl__order_key(float x)
{
    uint32_t u;
    if (x != x)
        return UINT32_MAX;
    x += 0.0f; /* -0 becomes 0 */
    memcpy(&u, &x, sizeof u);
    return u >> 31 ? ~u : u | 0x80000000u;
}

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

/* One pass of a radix sort: stable by the digit at `shift`. False, and nothing moved, when all have
   the same digit. */
static bool sort_by_digit(int64_t n, const mtl__ordered *from, mtl__ordered *to, int shift)
{
    int64_t start[DIGITS] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++)
        start[from[i].key >> shift & (DIGITS - 1)]++;
    for (int d = 0; d < DIGITS; d++) {
        int64_t count = start[d];
        if (count == n)
            return false;
        start[d] = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++)
        to[start[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
    return true;
}

void mtl__order_sort(int64_t n, mtl__ordered *a, mtl__ordered *scratch)
{
    mtl__ordered *from = a, *to = scratch;
    for (int shift = 0; n > 1 && shift < 32; shift += DIGIT_BITS)
        if (sort_by_digit(n, from, to, shift)) {
            mtl__ordered *swap = from;
            from = to;
            to = swap;
        }
    if (from != a)
        memcpy(a, from, (size_t)n * sizeof *a);
}
