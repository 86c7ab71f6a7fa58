/* SPDX-License-Identifier: MIT */
/* Judge: the C library's strtod, strtof and printf, which are exact in glibc, in the C locale. */
#include "base/text.h"

#include <fenv.h>

#include "testing.h"

/* Check notes down every assertion that it passes: too slow for millions. */
#define must(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

static uint64_t bits64(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static double from_bits64(uint64_t b)
{
    double x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static uint32_t bits32(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Both parsers against the judge, and where they stop. */
static void check_number(const char *text)
{
    size_t n = strlen(text);
    double x = -7;
    float y = -7;
    char *stop;
    double want = strtod(text, &stop);
    const char *after = mtl__parse_f64(text, text + n, &x);
    must(after == stop, "%s: stopped in another place", text);
    must(bits64(x) == bits64(want), "%s: %a, not %a", text, x, want);
    after = mtl__parse_f32(text, text + n, &y);
    must(after == stop, "%s: stopped in another place", text);
    float want_f = strtof(text, NULL);
    must(bits32(y) == bits32(want_f), "%s: float %a, not %a", text, (double)y, (double)want_f);
}

START_TEST(reads_what_people_write)
{
    static const char *const texts[] = {"0",
                                        "-0",
                                        "+0",
                                        "1",
                                        "-1",
                                        "+1",
                                        "10",
                                        "0.1",
                                        ".5",
                                        "5.",
                                        "-.5e1",
                                        "1e5",
                                        "1E5",
                                        "1e+5",
                                        "1e-5",
                                        "00012.500",
                                        "0.000",
                                        "0e99",
                                        "1e",
                                        "1e+",
                                        "1ex",
                                        "1.2.3",
                                        "1,5",
                                        "12abc",
                                        "3.14 ",
                                        "1e22",
                                        "1e23",
                                        "123456789012345678",
                                        "1234567890123456789",
                                        "12345678901234567890",
                                        "0.00000000000000000001",
                                        "9999999999999999999e19",
                                        "9999999999999999999e-19",
                                        "9999999999999999999e20",
                                        "1e19",
                                        "1e-19",
                                        "1e20",
                                        "1e-20",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "99999999999999999999",
                                        "inf",
                                        "-INF",
                                        "Infinity",
                                        "infinit",
                                        "+inFinitY0",
                                        "0.3",
                                        "16777217",
                                        "16777219",
                                        "33554435",
                                        "9007199254740993",
                                        "9007199254740995",
                                        "1e00000000000000000001",
                                        "1e-0"};
    for (int64_t i = 0; i < MTL__COUNT_OF(texts); i++)
        check_number(texts[i]);
}
END_TEST

/* Exactly between two neighbours, and a hair to either side, at the seams of the format. */
START_TEST(rounds_halfway_cases_to_even)
{
    static const char *const texts[] = {
        /* 2^53 + 1 and its surroundings */
        "9007199254740992.99999999999999999999999999999999999", "9007199254740993.0000000000000000",
        "9007199254740993.0000000000000000000000000000000001", "9007199254740995e0",
        /* 1 + 2^-53 and 1 + 2^-24 */
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126", "1.000000059604644775390625",
        "1.000000059604644775390624", "1.000000059604644775390626",
        /* rounded to double first, this would be a tie for float and go down */
        "1.0000000596046447753906250000000000001", "1.000000178813934326171875",
        "1.0000001788139343261718749999999999999",
        /* the largest, and half a step past it */
        "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
        "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
        "342711559699508093042880",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
        "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
        "342711559699508093042879.99999999999999999999999999",
        "3.4028234663852886e38", "340282356779733661637539395458142568447",
        "340282356779733661637539395458142568448", "3.4028235677973366e38", "3.4028235677973367e38",
        /* smallest normal and denormal numbers */
        "2.2250738585072014e-308", "2.2250738585072011e-308", "2.2250738585072012e-308",
        "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
        "7.4109846876186981e-324", "7.4109846876186982e-324", "1e-323", "1e-324", "3e-324",
        "1.1754943508222875e-38", "1.1754942807573643e-38", "1.401298464324817e-45",
        "7.00649232162408535461864791644958065640130970938257885878534141944895541342930300743319e"
        "-46",
        "7.00649232162408535461864791644958065640130970938257885878534141944895541342930300743320e"
        "-46",
        "7.006492321624085e-46", "7.006492321624086e-46", "2e-46", "1e-400", "1e400",
        "1e-99999999999999999999999", "1e99999999999999999999999", "0e99999999999999999999999"};
    for (int64_t i = 0; i < MTL__COUNT_OF(texts); i++)
        check_number(texts[i]);
}
END_TEST

/* x and the midpoint above it, written out in full: up to 767 digits. */
START_TEST(rounds_midpoints_written_in_full)
{
    uint64_t state = 11;
    static char text[1300], longer[1310];
    for (int i = 0; i < 3000; i++) {
        uint64_t b = next_random(&state) & (UINT64_MAX >> 1);
        if (i % 4 == 0)
            b &= (UINT64_C(1) << 54) - 1; /* denormals and their neighbours */
        double low = from_bits64(b), high = from_bits64(b + 1);
        if (!isfinite(high))
            continue;
        long double middle = ((long double)low + (long double)high) / 2;
        snprintf(text, sizeof text, "%.1100Le", middle);
        check_number(text);
        char *e = strchr(text, 'e');
        size_t at = (size_t)(e - text);
        memcpy(longer, text, at);
        snprintf(longer + at, sizeof longer - at, "01%s", e); /* a hair above */
        check_number(longer);
        e[-1] = '0';
        for (char *s = e - 1; s > text + 2; s--) /* a hair below: the last digit one less */
            if (*s > '0') {
                *s = (char)(*s - 1);
                break;
            }
        check_number(text);
    }
}
END_TEST

START_TEST(reads_random_decimals)
{
    uint64_t state = 5;
    char text[128];
    for (int i = 0; i < 100000; i++) {
        int digits = 1 + (int)(next_random(&state) % (i % 8 ? 19 : 60)), at = 0;
        int point = (int)(next_random(&state) % (uint64_t)(digits + 1));
        for (int d = 0; d < digits; d++) {
            if (d == point)
                text[at++] = '.';
            text[at++] = (char)('0' + next_random(&state) % 10);
        }
        text[at] = '\0';
        if (i % 3)
            snprintf(text + at, sizeof text - (size_t)at, "e%d",
                     (int)(next_random(&state) % (i % 2 ? 50 : 700)) - (i % 2 ? 25 : 360));
        check_number(text);
    }
}
END_TEST

/* A number of n digits that reads back, for no n under the one that was printed. */
static void check_shortest(double x)
{
    char text[MTL__NUM_SIZE], other[64];
    double back;
    int n = mtl__format_f64(x, text);
    must(n == (int)strlen(text) && n < MTL__NUM_SIZE, "%s: %d", text, n);
    must(mtl__parse_f64(text, text + n, &back) == text + n && bits64(back) == bits64(x),
         "%a -> %s -> %a", x, text, back);
    must(bits64(strtod(text, NULL)) == bits64(x), "%a -> %s", x, text);
    int digits = 0;
    bool leading = true;
    int zeros = 0;
    for (const char *s = text; *s && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (leading && *s == '0'))
            continue;
        leading = false;
        zeros = *s == '0' ? zeros + 1 : 0;
        digits++;
    }
    digits -= zeros;
    /* printf's digits are the nearest of their number; if they read back, ours must be they. */
    snprintf(other, sizeof other, "%.*e", digits - 1, x);
    if (bits64(strtod(other, NULL)) == bits64(x)) {
        char ours[64];
        snprintf(ours, sizeof ours, "%.*e", digits - 1, strtod(text, NULL));
        must(strcmp(ours, other) == 0, "%s, not %s", ours, other);
    }
    if (digits > 1) {
        snprintf(other, sizeof other, "%.*e", digits - 2, x);
        must(bits64(strtod(other, NULL)) != bits64(x), "%s is longer than %s", text, other);
    }
}

START_TEST(prints_the_shortest_text_that_reads_back)
{
    uint64_t state = 3;
    for (int i = 0; i < 60000; i++) {
        double x = from_bits64(next_random(&state));
        if (isfinite(x) && x != 0)
            check_shortest(x);
        check_shortest((double)(next_random(&state) % 2000000 + 1) / 1000);
    }
    for (int e = -1074; e < 1024; e++) { /* the gap below a power of two is half as wide */
        check_shortest(ldexp(1, e));
        check_shortest(nextafter(ldexp(1, e), 0) > 0 ? nextafter(ldexp(1, e), 0) : 1);
    }
    for (int e = -323; e < 309; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        check_shortest(strtod(text, NULL));
    }
}
END_TEST

START_TEST(lays_numbers_out_as_documented)
{
    static const struct {
        double x;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {1, "1"},
                {-1, "-1"},
                {3, "3"},
                {10, "10"},
                {0.1, "0.1"},
                {1e-7, "1e-07"},
                {0.0001, "0.0001"},
                {0.00001, "1e-05"},
                {123.456, "123.456"},
                {1e15, "1000000000000000"},
                {1e16, "1e+16"},
                {1234567890123456, "1234567890123456"},
                {5e-324, "5e-324"},
                {0x1p-44, "5.684341886080802e-14"},
                {0.3, "0.3"},
                {0x1.fffffffffffffp1023, "1.7976931348623157e+308"},
                {1.0 / 3, "0.3333333333333333"},
                {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
                {9e22, "9e+22"},
                {INFINITY, "inf"},
                {-INFINITY, "-inf"},
                {NAN, "nan"},
                {-NAN, "nan"},
                {9007199254740993.0, "9007199254740992"},
                {2e-5, "2e-05"},
                {100, "100"}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++)
        ck_assert_str_eq(mtl__num(rows[i].x).text, rows[i].text);
}
END_TEST

START_TEST(takes_only_what_is_a_number)
{
    static const char *const none[] = {"",   "-", "+",  ".",  "e5",  "-e5", "+-1",
                                       " 1", "x", "na", "in", ".e1", "--1", "\xff"};
    double x = 4;
    for (int64_t i = 0; i < MTL__COUNT_OF(none); i++)
        ck_assert_msg(!mtl__parse_f64(none[i], none[i] + strlen(none[i]), &x) && x == 4, "%s",
                      none[i]);
    /* hexadecimal is not read: the 0 is, and the x stops it */
    const char *hex = "0x1p3";
    ck_assert_ptr_eq(mtl__parse_f64(hex, hex + 5, &x), hex + 1);
    const char *nan = "-NaN(7)";
    ck_assert_ptr_eq(mtl__parse_f64(nan, nan + 7, &x), nan + 4);
    ck_assert(isnan(x) && !signbit(x));
}
END_TEST

/* The text need not end in a zero: one guard digit behind the end would change the number. */
START_TEST(stops_at_the_end_given)
{
    const char text[] = "12345e678infinity";
    double x;
    int64_t n;
    for (int size = 0; size <= 5; size++) {
        const char *after = mtl__parse_f64(text, text + size, &x);
        ck_assert_ptr_eq(after, size ? text + size : NULL);
        ck_assert_ptr_eq(mtl__parse_i64(text, text + size, &n), after);
    }
    ck_assert_ptr_eq(mtl__parse_f64(text, text + 6, &x), text + 5);
    ck_assert_ptr_eq(mtl__parse_f64(text, text + 7, &x), text + 7);
    ck_assert_double_eq(x, 12345e6);
    ck_assert_ptr_eq(mtl__parse_f64(text + 9, text + 14, &x), text + 12);
}
END_TEST

START_TEST(reads_integers_to_the_last_bit)
{
    static const struct {
        const char *text;
        int64_t value;
        int used; /* 0 = refused */
    } rows[] = {{"0", 0, 1},
                {"-0", 0, 2},
                {"+7", 7, 2},
                {"42abc", 42, 2},
                {"007", 7, 3},
                {"9223372036854775807", INT64_MAX, 19},
                {"-9223372036854775808", INT64_MIN, 20},
                {"9223372036854775808", 0, 0},
                {"-9223372036854775809", 0, 0},
                {"", 0, 0},
                {"-", 0, 0},
                {"x", 0, 0},
                {"99999999999999999999", 0, 0},
                {"1.5", 1, 1}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        int64_t v = 99;
        const char *s = rows[i].text, *after = mtl__parse_i64(s, s + strlen(s), &v);
        ck_assert_ptr_eq(after, rows[i].used ? s + rows[i].used : NULL);
        ck_assert_int_eq(v, rows[i].used ? rows[i].value : 99);
    }
}
END_TEST

START_TEST(does_not_follow_the_rounding_mode)
{
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (int i = 0; i < 3; i++) {
        double x;
        float y;
        const char *text = "0.1";
        fesetround(modes[i]);
        mtl__parse_f64(text, text + 3, &x);
        mtl__parse_f32(text, text + 3, &y);
        mtl__num_text printed = mtl__num(1.0000000000000002);
        fesetround(FE_TONEAREST);
        ck_assert(bits64(x) == UINT64_C(0x3fb999999999999a) && bits32(y) == 0x3dcccccdu);
        ck_assert_str_eq(printed.text, "1.0000000000000002");
    }
}
END_TEST

START_TEST(finds_the_name_that_was_meant)
{
    static const char *const names[] = {"epochs", "batch_size", "learning_rate",
                                        "seed",   "l1",         "l2"};
    static const struct {
        const char *name;
        int64_t nearest;
    } rows[] = {{"epoch", 0},        {"Epochs", 0},    {"epohcs", 0},
                {"lerning_rate", 2}, {"batchsize", 1}, {"learning-rate", 2},
                {"sed", 3},          {"colour", -1},   {"", -1},
                {"x", -1},           {"l2", 5},        {"momentum", -1}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++)
        ck_assert_msg(mtl__nearest(rows[i].name, names, 6) == rows[i].nearest, "%s", rows[i].name);
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[299] = '\0';
    ck_assert_int_eq(mtl__nearest(longer, names, 6), -1);
    ck_assert_int_eq(mtl__nearest("epochs", names, 0), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    add_case(s, "reads what people write", reads_what_people_write);
    add_case(s, "rounds halfway cases to even", rounds_halfway_cases_to_even);
    add_case(s, "rounds midpoints written in full", rounds_midpoints_written_in_full);
    add_case(s, "reads random decimals", reads_random_decimals);
    add_case(s, "prints the shortest text", prints_the_shortest_text_that_reads_back);
    add_case(s, "lays numbers out as documented", lays_numbers_out_as_documented);
    add_case(s, "takes only what is a number", takes_only_what_is_a_number);
    add_case(s, "stops at the end given", stops_at_the_end_given);
    add_case(s, "reads integers to the last bit", reads_integers_to_the_last_bit);
    add_case(s, "does not follow the rounding mode", does_not_follow_the_rounding_mode);
    add_case(s, "finds the name that was meant", finds_the_name_that_was_meant);
    return run_suite(s);
}
