/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include <float.h>

#include "base/order.h"

/* A xorshift generator (Marsaglia 2003): the library's own is not what is tested here. */
static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

START_TEST(keys_compare_as_the_numbers_do)
{
    static const float x[] = {-INFINITY, -FLT_MAX, -1, -FLT_MIN, -1e-45f, 0, 1e-45f, 1, INFINITY};
    for (int i = 1; i < (int)MTL__COUNT_OF(x); i++)
        ck_assert(mtl__order_key(x[i - 1]) < mtl__order_key(x[i]));
    ck_assert(mtl__order_key(-0.0f) == mtl__order_key(0.0f));
    ck_assert(mtl__order_key(INFINITY) < mtl__order_key(NAN));
    ck_assert(mtl__order_key(-NAN) == mtl__order_key(NAN));
}
END_TEST

START_TEST(sorting_is_stable)
{
    enum { N = 3000 };
    static mtl__ordered a[2 * N];
    uint64_t s = 5;
    for (int bits = 0; bits <= 32; bits += 4) { /* from all equal to hardly any equal */
        for (int i = 0; i < N; i++)
            a[i] = (mtl__ordered){(uint32_t)(next(&s) >> 32 >> (32 - bits)), i};
        mtl__order_sort(N, a, a + N);
        for (int i = 1; i < N; i++)
            ck_assert(a[i - 1].key < a[i].key ||
                      (a[i - 1].key == a[i].key && a[i - 1].row < a[i].row));
    }
    mtl__order_sort(0, a, a + N);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("order");
    add_case(s, "keys compare as the numbers do", keys_compare_as_the_numbers_do);
    add_case(s, "sorting is stable", sorting_is_stable);
    return run_suite(s);
}
