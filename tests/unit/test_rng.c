/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "rng/rng.h"
#include "vec/vec.h"

/* Statistical tests run on fixed seeds, so they pass or fail for good. Bounds are at least four
   standard deviations away from what a right generator gives. */

static double chi_square(const int64_t *count, int64_t bins, double expected)
{
    double sum = 0;
    for (int64_t i = 0; i < bins; i++)
        sum += (count[i] - expected) * (count[i] - expected) / expected;
    return sum;
}

/* Mean bins - 1, variance 2 (bins - 1); five standard deviations either way: too even is wrong as
   well. */
static void check_even(const int64_t *count, int64_t bins, int64_t total)
{
    double x = chi_square(count, bins, (double)total / (double)bins), mean = (double)(bins - 1);
    ck_assert_msg(fabs(x - mean) < 5 * sqrt(2 * mean), "chi square %g for %d bins", x, (int)bins);
}

/* The one of the best level, or of that in MTL_CPU. */
static mtl__rng_blocks_fn *philox(void)
{
    return mtl__vec_table(mtl__cpu_choose("auto"))->philox;
}

/* ---- The generator --------------------------------------------------------------------------- */

/* Known answers for philox4x32 with ten rounds from the authors' library, Random123. */
START_TEST(philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < MTL__COUNT_OF(rows); i++) {
        uint32_t out[4];
        mtl__rng_philox(rows[i].counter, rows[i].key, out);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(out[k], rows[i].out[k]);
    }
}
END_TEST

/* From any place in the stream, and leaving the cursor where single numbers would. */
START_TEST(fill_gives_what_single_numbers_give)
{
    for (int64_t skipped = 0; skipped < 9; skipped++)
        for (int64_t n = 0; n < 300; n += n < 12 ? 1 : 41) { /* many more than one buffer has */
            mtl__rng one = mtl__rng_make(7, MTL__RNG_INIT, 3), many;
            double out[300];
            for (int64_t i = 0; i < skipped; i++)
                mtl__rng_u32(&one);
            many = one;
            mtl__rng_fill_f64(&many, philox(), n, out);
            for (int64_t i = 0; i < n; i++)
                ck_assert(out[i] == mtl__rng_f64(&one));
            ck_assert_uint_eq(mtl__rng_u32(&many), mtl__rng_u32(&one));
        }
}
END_TEST

/* The layout of key and counter is part of every result ever saved. */
START_TEST(words_come_from_seed_stream_and_index)
{
    const uint64_t seed = 0x0123456789abcdef;
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SPLIT, 77);
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 0, 77, 4};
        uint32_t want[4];
        mtl__rng_philox(counter, key, want);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(mtl__rng_u32(&r), want[k]);
    }
    ck_assert_uint_eq(r.index, 12);
    /* past 2^34 words the block number needs its second word */
    r.index = (uint64_t)5 << 34;
    const uint32_t counter[4] = {0, 5, 77, 4};
    uint32_t want[4];
    mtl__rng_philox(counter, key, want);
    ck_assert_uint_eq(mtl__rng_u32(&r), want[0]);
}
END_TEST

START_TEST(streams_keep_their_numbers)
{
    ck_assert_int_eq(MTL__RNG_INIT, 1);
    ck_assert_int_eq(MTL__RNG_SHUFFLE, 2);
    ck_assert_int_eq(MTL__RNG_DROPOUT, 3);
    ck_assert_int_eq(MTL__RNG_SPLIT, 4);
    ck_assert_int_eq(MTL__RNG_GENERATE, 5);
    ck_assert_int_eq(MTL__RNG_REPLAY, 6);
}
END_TEST

START_TEST(u64_and_fractions_are_built_from_words)
{
    mtl__rng words = mtl__rng_make(3, 1, 1), r = words;
    for (int i = 0; i < 100; i++) {
        uint64_t low = mtl__rng_u32(&words), high = mtl__rng_u32(&words);
        ck_assert(mtl__rng_u64(&r) == (high << 32 | low));
    }
    for (int i = 0; i < 100; i++)
        ck_assert(mtl__rng_f32(&r) == (float)(mtl__rng_u32(&words) >> 8) / 16777216.0f);
    for (int i = 0; i < 100; i++)
        ck_assert(mtl__rng_f64(&r) == (double)(mtl__rng_u64(&words) >> 11) / 9007199254740992.0);
}
END_TEST

START_TEST(a_copy_goes_on_alone)
{
    mtl__rng a = mtl__rng_make(9, 2, 0);
    for (int i = 0; i < 6; i++)
        mtl__rng_u32(&a);
    mtl__rng b = a;
    uint32_t x[9];
    for (int i = 0; i < 9; i++)
        x[i] = mtl__rng_u32(&a);
    for (int i = 0; i < 9; i++)
        ck_assert_uint_eq(mtl__rng_u32(&b), x[i]);
}
END_TEST

/* ---- Uniform numbers ------------------------------------------------------------------------- */

START_TEST(fractions_are_even)
{
    enum { N = 200000, BINS = 256 };
    int64_t count32[BINS] = {0}, count64[BINS] = {0};
    mtl__rng r = mtl__rng_make(11, 1, 0);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        float x = mtl__rng_f32(&r);
        double y = mtl__rng_f64(&r);
        ck_assert(x >= 0 && x < 1 && y >= 0 && y < 1);
        count32[(int)(x * BINS)]++;
        count64[(int)(y * BINS)]++;
        sum += (double)x - 0.5;
    }
    check_even(count32, BINS, N);
    check_even(count64, BINS, N);
    ck_assert(fabs(sum / N) < 4 * sqrt(1.0 / 12 / N));
}
END_TEST

START_TEST(every_bit_is_fair)
{
    enum { N = 100000 };
    int64_t ones[64] = {0};
    mtl__rng r = mtl__rng_make(12, 1, 0);
    for (int i = 0; i < N; i++) {
        uint64_t x = mtl__rng_u64(&r);
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += x >> bit & 1;
    }
    for (int bit = 0; bit < 64; bit++)
        ck_assert(fabs((double)ones[bit] - N / 2) < 5 * sqrt(N / 4.0));
}
END_TEST

static double correlation(mtl__rng a, mtl__rng b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (mtl__rng_f64(&a) - 0.5) * (mtl__rng_f64(&b) - 0.5);
    return sum / n * 12;
}

/* Neighbours in seed, stream and substream share nothing; nor does a sequence with itself. */
START_TEST(neighbours_are_independent)
{
    enum { N = 50000 };
    const double bound = 4.5 / sqrt(N);
    for (uint32_t i = 0; i < 8; i++) {
        mtl__rng r = mtl__rng_make(5, 1, i);
        ck_assert(fabs(correlation(r, mtl__rng_make(5, 1, i + 1), N)) < bound);
        ck_assert(fabs(correlation(r, mtl__rng_make(5, 2, i), N)) < bound);
        ck_assert(fabs(correlation(r, mtl__rng_make(6, 1, i), N)) < bound);
        ck_assert(fabs(correlation(r, mtl__rng_make(5 + ((uint64_t)1 << 32), 1, i), N)) < bound);
        mtl__rng later = r;
        mtl__rng_u64(&later);
        ck_assert(fabs(correlation(r, later, N)) < bound);
    }
}
END_TEST

/* ---- Integers below n ------------------------------------------------------------------------ */

START_TEST(below_covers_its_range)
{
    static const int64_t sizes[] = {1, 2, 3, 7, 10, 100, 255, 1000};
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++) {
        int64_t n = sizes[i], count[1000] = {0};
        mtl__rng r = mtl__rng_make(21, 2, (uint32_t)i);
        for (int64_t k = 0; k < 100 * n; k++) {
            int64_t x = mtl__rng_below(&r, n);
            ck_assert(x >= 0 && x < n);
            count[x]++;
        }
        if (n == 1)
            ck_assert_int_eq(count[0], 100);
        else
            check_even(count, n, 100 * n);
    }
}
END_TEST

/* Where bias is gross: with n = 3 * 2^30 a plain word * n >> 32 gives every third number twice,
   word % n the numbers below 2^30 twice. */
START_TEST(below_is_unbiased_in_32_bits)
{
    enum { N = 60000 };
    const int64_t n = (int64_t)3 << 30;
    int64_t residue[3] = {0}, third[3] = {0};
    mtl__rng r = mtl__rng_make(22, 2, 0);
    for (int i = 0; i < N; i++) {
        int64_t x = mtl__rng_below(&r, n);
        ck_assert(x >= 0 && x < n);
        residue[x % 3]++;
        third[x >> 30]++;
    }
    for (int k = 0; k < 3; k++) {
        ck_assert(fabs((double)residue[k] - N / 3) < 5 * sqrt(N * 2.0 / 9));
        ck_assert(fabs((double)third[k] - N / 3) < 5 * sqrt(N * 2.0 / 9));
    }
}
END_TEST

START_TEST(below_is_unbiased_in_64_bits)
{
    enum { N = 60000 };
    static const int64_t sizes[] = {(int64_t)UINT32_MAX, (int64_t)1 << 32, ((int64_t)1 << 32) + 1,
                                    (int64_t)3 << 32,    (int64_t)3 << 60, INT64_MAX};
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++) {
        mtl__rng r = mtl__rng_make(23, 2, (uint32_t)i);
        int64_t third[3] = {0};
        for (int k = 0; k < N; k++) {
            int64_t x = mtl__rng_below(&r, sizes[i]);
            ck_assert(x >= 0 && x < sizes[i]);
            third[x / (sizes[i] / 3 + 1)]++;
        }
        for (int k = 0; k < 3; k++)
            ck_assert(fabs((double)third[k] - N / 3) < 5 * sqrt(N * 2.0 / 9));
    }
}
END_TEST

/* ---- Shuffle --------------------------------------------------------------------------------- */

/* Which of the 24 orders of 0 1 2 3 this is. */
static int64_t rank4(const int64_t *v)
{
    return v[0] * 6 + (v[1] - (v[1] > v[0])) * 2 + (v[2] > v[3]);
}

/* Swapping with any place instead of the places left makes some orders 15 % too frequent. */
START_TEST(shuffles_are_equally_likely)
{
    enum { N = 48000 };
    int64_t count[24] = {0};
    mtl__rng r = mtl__rng_make(31, 2, 0);
    for (int i = 0; i < N; i++) {
        int64_t v[4] = {0, 1, 2, 3};
        mtl__rng_shuffle(&r, v, 4);
        count[rank4(v)]++;
    }
    check_even(count, 24, N);
}
END_TEST

START_TEST(shuffle_keeps_all_values)
{
    for (int64_t n = 0; n <= 100; n++) {
        int64_t v[100];
        bool seen[100] = {false};
        mtl__rng r = mtl__rng_make(32, 2, (uint32_t)n);
        for (int64_t i = 0; i < n; i++)
            v[i] = i;
        mtl__rng_shuffle(&r, v, n);
        for (int64_t i = 0; i < n; i++) {
            ck_assert(v[i] >= 0 && v[i] < n && !seen[v[i]]);
            seen[v[i]] = true;
        }
    }
}
END_TEST

/* ---- Normal ---------------------------------------------------------------------------------- */

START_TEST(normal_has_its_moments)
{
    enum { N = 200000 };
    mtl__rng r = mtl__rng_make(41, 1, 0);
    double sum[5] = {0};
    for (int i = 0; i < N; i++) {
        double x = mtl__rng_normal(&r), power = 1;
        for (int k = 1; k <= 4; k++)
            sum[k] += power *= x;
    }
    /* variances of the powers: 1, 2, 15, 96 */
    ck_assert(fabs(sum[1] / N) < 4 * sqrt(1.0 / N));
    ck_assert(fabs(sum[2] / N - 1) < 4 * sqrt(2.0 / N));
    ck_assert(fabs(sum[3] / N) < 4 * sqrt(15.0 / N));
    ck_assert(fabs(sum[4] / N - 3) < 4 * sqrt(96.0 / N));
}
END_TEST

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: the largest distance exceeds 1.95 / sqrt(n) once in 1000 times. */
START_TEST(normal_has_its_distribution)
{
    enum { N = 50000 };
    static double x[N];
    mtl__rng r = mtl__rng_make(42, 1, 0);
    for (int i = 0; i < N; i++)
        x[i] = mtl__rng_normal(&r);
    qsort(x, N, sizeof x[0], compare_doubles);
    double worst = 0;
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs(0.5 * erfc(-x[i] / sqrt(2.0)) - (i + 0.5) / N));
    ck_assert_msg(worst < 1.95 / sqrt(N), "distance %g", worst);
    ck_assert(x[0] < -3.5 && x[N - 1] > 3.5);
}
END_TEST

/* ---- Dropout --------------------------------------------------------------------------------- */

/* Element i is word i of the stream, whatever the calls. */
START_TEST(dropout_does_not_depend_on_splits)
{
    enum { N = 300 };
    float whole[N], part[N];
    for (int64_t first = 0; first < 9; first++) {
        mtl__rng r = mtl__rng_make(51, MTL__RNG_DROPOUT, 4);
        for (int64_t i = 0; i < first; i++)
            mtl__rng_u32(&r);
        mtl__rng_dropout(51, 4, philox(), first, N, 0.25f, whole);
        for (int i = 0; i < N; i++)
            ck_assert(whole[i] == (mtl__rng_f32(&r) < 0.25f ? 0.0f : 1.0f / 0.75f));
        for (int64_t cut = 0; cut <= N; cut++) {
            mtl__rng_dropout(51, 4, philox(), first, cut, 0.25f, part);
            mtl__rng_dropout(51, 4, philox(), first + cut, N - cut, 0.25f, part + cut);
            ck_assert(memcmp(whole, part, sizeof whole) == 0);
        }
    }
}
END_TEST

START_TEST(dropout_has_its_rate)
{
    enum { N = 100000 };
    static float mask[N];
    static const float rates[] = {0.1f, 0.5f, 0.9f};
    for (int k = 0; k < MTL__COUNT_OF(rates); k++) {
        const double p = (double)rates[k];
        double zeros = 0, sum = 0;
        mtl__rng_dropout(52, 0, philox(), 0, N, rates[k], mask);
        for (int i = 0; i < N; i++) {
            zeros += mask[i] == 0;
            sum += (double)mask[i];
        }
        ck_assert(fabs(zeros / N - p) < 4 * sqrt(p * (1 - p) / N));
        ck_assert(fabs(sum / N - 1) < 4 * sqrt(p / (1 - p) / N)); /* the mean of a mask is 1 */
    }
}
END_TEST

START_TEST(dropout_of_none_and_all)
{
    float mask[40] = {0};
    mtl__rng_dropout(53, 0, philox(), 0, 40, 0.0f, mask);
    for (int i = 0; i < 40; i++)
        ck_assert(mask[i] == 1.0f);
    mtl__rng_dropout(53, 0, philox(), 0, 40, 1.0f, mask);
    for (int i = 0; i < 40; i++)
        ck_assert(mask[i] == 0.0f);
    mask[0] = 7;
    mtl__rng_dropout(53, 0, philox(), 3, 0, 0.5f, mask);
    ck_assert(mask[0] == 7);
}
END_TEST

START_TEST(dropout_differs_between_substreams_and_seeds)
{
    enum { N = 400 };
    float a[N], b[N], c[N];
    mtl__rng_dropout(54, 0, philox(), 0, N, 0.5f, a);
    mtl__rng_dropout(54, 1, philox(), 0, N, 0.5f, b);
    mtl__rng_dropout(55, 0, philox(), 0, N, 0.5f, c);
    int same_b = 0, same_c = 0;
    for (int i = 0; i < N; i++) {
        same_b += a[i] == b[i];
        same_c += a[i] == c[i];
    }
    ck_assert(abs(same_b - N / 2) < 5 * 10 && abs(same_c - N / 2) < 5 * 10);
}
END_TEST

/* ---- Determinism ----------------------------------------------------------------------------- */

/* Hash of numbers of each kind, to stand on every machine and in every later version. */
START_TEST(numbers_never_change)
{
    uint64_t hash = 0xcbf29ce484222325;
    mtl__rng r = mtl__rng_make(2026, MTL__RNG_GENERATE, 1);
    for (int i = 0; i < 1000; i++) {
        double x[3];
        x[0] = mtl__rng_normal(&r);
        x[1] = mtl__rng_f64(&r);
        x[2] = (double)mtl__rng_below(&r, 1000003);
        for (int k = 0; k < 3; k++) {
            uint64_t bits;
            memcpy(&bits, &x[k], sizeof bits);
            hash = (hash ^ bits) * 0x100000001b3;
        }
    }
    ck_assert_msg(hash == 0x08cab44601c06f07, "hash is now 0x%016llx", (unsigned long long)hash);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rng");
    add_case(s, "philox gives the known answers", philox_known_answers);
    add_case(s, "filling gives what single numbers give", fill_gives_what_single_numbers_give);
    add_case(s, "words come from seed, stream and index", words_come_from_seed_stream_and_index);
    add_case(s, "streams keep their numbers", streams_keep_their_numbers);
    add_case(s, "u64 and fractions are built from words", u64_and_fractions_are_built_from_words);
    add_case(s, "a copy goes on alone", a_copy_goes_on_alone);
    add_case(s, "fractions are even", fractions_are_even);
    add_case(s, "every bit is fair", every_bit_is_fair);
    add_case(s, "neighbours are independent", neighbours_are_independent);
    add_case(s, "below covers its range", below_covers_its_range);
    add_case(s, "below is unbiased in 32 bits", below_is_unbiased_in_32_bits);
    add_case(s, "below is unbiased in 64 bits", below_is_unbiased_in_64_bits);
    add_case(s, "shuffles are equally likely", shuffles_are_equally_likely);
    add_case(s, "shuffle keeps all values", shuffle_keeps_all_values);
    add_case(s, "normal has its moments", normal_has_its_moments);
    add_case(s, "normal has its distribution", normal_has_its_distribution);
    add_case(s, "dropout does not depend on splits", dropout_does_not_depend_on_splits);
    add_case(s, "dropout has its rate", dropout_has_its_rate);
    add_case(s, "dropout of none and of all", dropout_of_none_and_all);
    add_case(s, "dropout differs between substreams and seeds",
             dropout_differs_between_substreams_and_seeds);
    add_case(s, "numbers never change", numbers_never_change);
    return run_suite(s);
}
