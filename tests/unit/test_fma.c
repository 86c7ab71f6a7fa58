/* SPDX-License-Identifier: MIT */
/* The FMA by hand gives the bits of the C library's. */
#include "testing.h"

#include "base/fma.h"

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static float of_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Sign and fraction of u, the exponent among `count` from `first` on (127 = 1). */
static float with_exponent(uint32_t u, uint32_t first, uint32_t count)
{
    return of_bits((u & 0x807fffffu) | (first + (u >> 8) % count) << 23);
}

static void check(float a, float b, float c)
{
    float got = mtl__fma_by_hand(a, b, c), want = fmaf(a, b, c);
    ck_assert_msg(memcmp(&got, &want, sizeof got) == 0 || (isnan(got) && isnan(want)),
                  "%a * %a + %a is %a, not %a", (double)a, (double)b, (double)c, (double)want,
                  (double)got);
}

START_TEST(special_values)
{
    const float v[] = {0,        -0.0f,     1,          -1,           INFINITY,        -INFINITY,
                       NAN,      0x1p-149f, -0x1p-149f, 0x1p-126f,    0x1.fffffep127f, 0x1p-75f,
                       0x1p-74f, 0x1p127f,  0x1.8p-75f, 0x1.000002p0f};
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            for (int k = 0; k < 16; k++)
                check(v[i], v[j], v[k]);
}
END_TEST

START_TEST(random_values)
{
    uint64_t s = 3;
    for (int i = 0; i < 1000000; i++) {
        uint32_t a = next(&s), b = next(&s), c = next(&s);
        check(of_bits(a), of_bits(b), of_bits(c));
        check(of_bits(a), of_bits(b), -of_bits(a) * of_bits(b)); /* what rounding took away */
        /* results among the subnormal numbers, and halves of their last place */
        check(with_exponent(a, 40, 60), with_exponent(b, 20, 60),
              of_bits((c & 0x80000000u) | c % 8));
        /* few bits: sums that lie half way between two floats */
        check(of_bits((a & 0x80000fffu) | 0x3f800000u), of_bits((b & 0x80000fffu) | 0x3f800000u),
              with_exponent(c & 0x80f00000u, 100, 60));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fma");
    add_case(s, "zeros, infinities, NaN, ends of the range", special_values);
    add_case(s, "random values, subnormal results and ties", random_values);
    return run_suite(s);
}
