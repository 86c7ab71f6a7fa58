/* SPDX-License-Identifier: MIT */
/* Numbers as text. Both directions work in integers only, so neither the host's locale nor its
   rounding mode can change a digit. Reading: a 128-bit quotient serves nearly every number that
   people write, a small bignum the rest. Writing: the free-format algorithm of Steele & White and
   Burger & Dybvig ("Printing Floating-Point Numbers Quickly and Accurately", 1996, figure 1). */
#include "base/text.h"

#include <string.h>

/* ---- bignum: just what exact conversion needs ---- */

/* Largest: 10^1124, see slow_quotient(), 3734 bits, and one bit more while dividing. */
enum { LIMBS = 118 };

typedef struct big {
    int n; /* limbs in use, the last one not 0 */
    uint32_t d[LIMBS];
} big;

static void big_set(big *a, uint64_t v)
{
    a->n = v >> 32 ? 2 : v ? 1 : 0;
    a->d[0] = (uint32_t)v;
    a->d[1] = (uint32_t)(v >> 32);
}

/* a = a * m + add */
static void big_mul(big *a, uint32_t m, uint32_t add)
{
    uint64_t carry = add;
    for (int i = 0; i < a->n; i++) {
        carry += (uint64_t)a->d[i] * m;
        a->d[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) {
        assert(a->n < LIMBS);
        a->d[a->n++] = (uint32_t)carry;
    }
}

static void big_mul_pow10(big *a, int64_t e)
{
    for (; e >= 9; e -= 9)
        big_mul(a, 1000000000, 0);
    for (; e > 0; e--)
        big_mul(a, 10, 0);
}

static void big_shift_left(big *a, int64_t bits)
{
    int words = (int)(bits / 32), rest = (int)(bits % 32);
    assert(a->n > 0 && a->n + words < LIMBS);
    memmove(a->d + words, a->d, (size_t)a->n * sizeof a->d[0]);
    memset(a->d, 0, (size_t)words * sizeof a->d[0]);
    a->n += words;
    if (rest)
        big_mul(a, UINT32_C(1) << rest, 0);
}

static int64_t big_bits(const big *a)
{
    return a->n ? (int64_t)a->n * 32 - __builtin_clz(a->d[a->n - 1]) : 0;
}

static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->d[i] != b->d[i])
            return a->d[i] < b->d[i] ? -1 : 1;
    return 0;
}

/* a -= b, a >= b */
static void big_subtract(big *a, const big *b)
{
    int64_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        borrow += (int64_t)a->d[i] - (i < b->n ? b->d[i] : 0);
        a->d[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->n > 0 && a->d[a->n - 1] == 0)
        a->n--;
}

/* The sign of (a + b) - c. */
static int big_compare_sum(const big *a, const big *b, const big *c)
{
    big sum;
    int n = a->n > b->n ? a->n : b->n;
    uint64_t carry = 0;
    assert(n < LIMBS);
    for (int i = 0; i < n; i++) {
        carry += (uint64_t)(i < a->n ? a->d[i] : 0) + (i < b->n ? b->d[i] : 0);
        sum.d[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum.d[n] = (uint32_t)carry;
    sum.n = n + (carry != 0);
    return big_compare(&sum, c);
}

/* ---- reading ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Behind `word` (lower case) at the front of [s, end), or NULL. */
static const char *skip_word(const char *s, const char *end, const char *word)
{
    for (; *word; word++, s++)
        if (s == end || lower(*s) != *word)
            return NULL;
    return s;
}

typedef struct format {
    int bits;        /* of the significand, with the leading one */
    int64_t min_exp; /* of the smallest normal number */
    uint64_t inf_bits, nan_bits;
} format;

static const format binary64 = {53, -1022, UINT64_C(0x7ff) << 52, UINT64_C(0xfff) << 51};
static const format binary32 = {24, -126, UINT64_C(0xff) << 23, UINT64_C(0x1ff) << 22};

/* A positive number q * 2^exp, and a little more when `more`; q > 0. */
typedef struct quotient {
    uint64_t q;
    int64_t exp;
    bool more;
} quotient;

/* To nearest, ties to even, gradual underflow, overflow to infinity. */
static uint64_t round_to_bits(quotient v, const format *f)
{
    int zeros = __builtin_clzll(v.q);
    uint64_t q = v.q << zeros;
    int64_t lead = v.exp - zeros + 63; /* 2^lead <= value < 2^(lead + 1) */
    int64_t field = lead - f->min_exp;
    int64_t keep = field >= 0 ? f->bits : f->bits + field;
    if (keep < 0)
        return 0;
    if (field < 0)
        field = 0;
    uint64_t m = keep ? q >> (64 - keep) : 0;
    uint64_t rest = q << keep, half = UINT64_C(1) << 63;
    if (rest > half || (rest == half && (v.more || (m & 1))))
        m++;
    if (field > 2 - 2 * f->min_exp)
        return f->inf_bits;
    /* The leading one of a normal number adds 1 to the exponent field; so does a carry out of m. */
    uint64_t bits = ((uint64_t)field << (f->bits - 1)) + m;
    return bits < f->inf_bits ? bits : f->inf_bits;
}

/* A positive decimal number: [first, last) holds its digits (and perhaps a point), starting with
   the first that is not 0; value = these digits as an integer * 10^exp. */
typedef struct decimal {
    const char *first, *last;
    int64_t digits, exp;
    uint64_t head; /* the number made by the first 19 digits */
} decimal;

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 uint128;

static const uint64_t powers_of_ten[20] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
    10000000000000000000u,
};

static bool fast_quotient(const decimal *d, quotient *out)
{
    if (d->digits > 19 || d->exp < -19 || d->exp > 19)
        return false;
    uint128 v;
    *out = (quotient){0};
    if (d->exp >= 0) {
        v = (uint128)d->head * powers_of_ten[d->exp];
    } else {
        /* The numerator has its top bit set and 10^19 < 2^64, so v has 64 bits or more. */
        int zeros = __builtin_clzll(d->head);
        uint128 numerator = (uint128)(d->head << zeros) << 64;
        v = numerator / powers_of_ten[-d->exp];
        out->more = v * powers_of_ten[-d->exp] != numerator;
        out->exp = -64 - zeros;
    }
    if (v >> 64) {
        int shift = 64 - __builtin_clzll((uint64_t)(v >> 64));
        out->more |= (v & (((uint128)1 << shift) - 1)) != 0;
        out->exp += shift;
        v >>= shift;
    }
    out->q = (uint64_t)v;
    return true;
}
#else
static bool fast_quotient(const decimal *d, quotient *out)
{
    (void)d, (void)out;
    return false;
}
#endif

/* Where two neighbours of a double meet has at most 767 digits, so of a longer number only matters
   whether anything but zeros follows: a digit 1 stands for that. */
enum { MAX_DIGITS = 800 };

static int64_t big_from_digits(big *a, const decimal *d)
{
    int64_t n = 0;
    bool more = false;
    big_set(a, 0);
    if (d->digits <= 19) {
        big_set(a, d->head);
        return d->exp;
    }
    for (const char *s = d->first; s < d->last; s++) {
        if (!is_digit(*s))
            continue;
        if (n == MAX_DIGITS) {
            more |= *s != '0';
            continue;
        }
        big_mul(a, 10, (uint32_t)(*s - '0'));
        n++;
    }
    int64_t exp = d->exp + d->digits - n;
    if (!more)
        return exp;
    big_mul(a, 10, 1);
    return exp - 1;
}

/* num / den to 64 bits by long division. Called for 10^-324 <= value < 10^309; with at most
   MAX_DIGITS + 1 digits that makes den <= 10^1124. */
static quotient slow_quotient(const decimal *d)
{
    big num, den;
    quotient v = {0};
    int64_t exp = big_from_digits(&num, d);
    big_set(&den, 1);
    big_mul_pow10(&num, exp > 0 ? exp : 0);
    big_mul_pow10(&den, exp < 0 ? -exp : 0);
    int64_t shift = big_bits(&num) - big_bits(&den);
    if (shift > 0)
        big_shift_left(&den, shift);
    else
        big_shift_left(&num, -shift);
    /* Now 1/2 < num / den < 2: the first of the 64 bits of q is worth 2^shift. */
    for (int i = 0; i < 64; i++) {
        v.q <<= 1;
        if (big_compare(&num, &den) >= 0) {
            big_subtract(&num, &den);
            v.q |= 1;
        }
        big_mul(&num, 2, 0);
    }
    v.exp = shift - 63;
    v.more = num.n != 0;
    return v;
}

static uint64_t decimal_to_bits(const decimal *d, const format *f)
{
    quotient v;
    int64_t point = d->digits + d->exp; /* 10^(point - 1) <= value < 10^point */
    if (d->digits == 0 || point < -323)
        return 0;
    if (point > 309)
        return f->inf_bits;
    return round_to_bits(fast_quotient(d, &v) ? v : slow_quotient(d), f);
}

/* Larger than any exponent that digits in memory could make up for. */
#define MAX_EXPONENT INT64_C(100000000000000000)

static const char *parse_exponent(const char *s, const char *end, int64_t *exp)
{
    const char *start = s;
    bool negative = false;
    int64_t e = 0;
    if (s == end || lower(*s) != 'e')
        return start;
    s++;
    if (s < end && (*s == '+' || *s == '-'))
        negative = *s++ == '-';
    if (s == end || !is_digit(*s))
        return start;
    for (; s < end && is_digit(*s); s++)
        e = mtl__min(e * 10 + (*s - '0'), MAX_EXPONENT);
    *exp += negative ? -e : e;
    return s;
}

static const char *parse_decimal(const char *s, const char *end, decimal *d)
{
    bool any = false, point = false;
    *d = (decimal){.first = s};
    for (; s < end; s++) {
        if (*s == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(*s))
            break;
        any = true;
        d->exp -= point;
        if (d->digits == 0 && *s == '0')
            continue;
        if (d->digits == 0)
            d->first = s;
        if (d->digits++ < 19)
            d->head = d->head * 10 + (uint64_t)(*s - '0');
    }
    d->last = s;
    return any ? parse_exponent(s, end, &d->exp) : NULL;
}

static const char *parse_bits(const char *s, const char *end, const format *f, bool *negative,
                              uint64_t *bits)
{
    decimal d;
    const char *after;
    *negative = false;
    if (s < end && (*s == '+' || *s == '-'))
        *negative = *s++ == '-';
    if ((after = parse_decimal(s, end, &d)) != NULL) {
        *bits = decimal_to_bits(&d, f);
    } else if ((after = skip_word(s, end, "nan")) != NULL) {
        *bits = f->nan_bits;
        *negative = false;
    } else if ((after = skip_word(s, end, "infinity")) != NULL ||
               (after = skip_word(s, end, "inf")) != NULL) {
        *bits = f->inf_bits;
    }
    return after;
}

const char *mtl__parse_f64(const char *s, const char *end, double *out)
{
    uint64_t bits;
    bool negative;
    s = parse_bits(s, end, &binary64, &negative, &bits);
    if (s) {
        bits |= (uint64_t)negative << 63;
        memcpy(out, &bits, sizeof *out);
    }
    return s;
}

const char *mtl__parse_f32(const char *s, const char *end, float *out)
{
    uint64_t bits;
    bool negative;
    s = parse_bits(s, end, &binary32, &negative, &bits);
    if (s) {
        uint32_t word = (uint32_t)bits | (uint32_t)negative << 31;
        memcpy(out, &word, sizeof *out);
    }
    return s;
}

const char *mtl__parse_i64(const char *s, const char *end, int64_t *out)
{
    int sign = 1;
    int64_t v = 0;
    if (s < end && (*s == '+' || *s == '-'))
        sign = *s++ == '-' ? -1 : 1;
    if (s == end || !is_digit(*s))
        return NULL;
    for (; s < end && is_digit(*s); s++) /* signed all along: INT64_MIN has no positive twin */
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, sign * (*s - '0'), &v))
            return NULL;
    *out = v;
    return s;
}

/* ---- writing ---- */

enum { DIGITS = 17 }; /* always enough for a double */

/* f * 2^e = r / s; half the gap to the next number above and below = up / s, down / s. */
typedef struct scaled {
    big r, s, up, down;
    bool even; /* then a reader rounds the ends of the interval to f too */
} scaled;

static void scale_binary(scaled *x, uint64_t f, int64_t e, bool narrow_below)
{
    big_set(&x->r, f);
    big_set(&x->s, 1);
    big_set(&x->up, 1);
    big_set(&x->down, 1);
    big_shift_left(&x->r, 1 + narrow_below + (e > 0 ? e : 0));
    big_shift_left(&x->s, 1 + narrow_below + (e < 0 ? -e : 0));
    big_shift_left(&x->up, narrow_below + (e > 0 ? e : 0));
    big_shift_left(&x->down, e > 0 ? e : 0);
    x->even = (f & 1) == 0;
}

static bool reaches_next(const scaled *x)
{
    int c = big_compare_sum(&x->r, &x->up, &x->s);
    return c > 0 || (c == 0 && x->even);
}

static bool reaches_below(const scaled *x)
{
    int c = big_compare(&x->r, &x->down);
    return c < 0 || (c == 0 && x->even);
}

/* Bring r / s into [1/10, 1) of the value; returns k with value = r / s * 10^k. */
static int64_t scale_decimal(scaled *x, int64_t bits)
{
    /* 2^(bits - 1) <= value and 1233 / 4096 is log10(2) to five digits: k starts at the right
       answer, floor(log10(value)) + 1, or a little under it, never over. */
    int64_t k = (bits - 1) * 1233 / 4096 - (bits < 1);
    big_mul_pow10(k > 0 ? &x->s : &x->r, k > 0 ? k : -k);
    if (k < 0) {
        big_mul_pow10(&x->up, -k);
        big_mul_pow10(&x->down, -k);
    }
    for (; reaches_next(x); k++)
        big_mul(&x->s, 10, 0);
    return k;
}

/* Digits of the shortest number in the interval, the one nearest to the value; returns how many. */
static int shortest_digits(scaled *x, char digits[DIGITS])
{
    for (int n = 0;;) {
        int digit = 0;
        big_mul(&x->r, 10, 0);
        big_mul(&x->up, 10, 0);
        big_mul(&x->down, 10, 0);
        for (; big_compare(&x->r, &x->s) >= 0; digit++)
            big_subtract(&x->r, &x->s);
        bool low = reaches_below(x), high = reaches_next(x);
        if (low && high) {
            int c = big_compare_sum(&x->r, &x->r, &x->s);
            high = c > 0 || (c == 0 && (digit & 1));
        }
        assert(n < DIGITS);
        digits[n++] = (char)('0' + digit + high);
        if (low || high)
            return n;
    }
}

static int put(char *text, int at, const char *s, int64_t n)
{
    memcpy(text + at, s, (size_t)n);
    return at + (int)n;
}

/* 0.DIGITS * 10^k, laid out as 123, 12.3, 0.00123 or 1.23e-05. */
static int lay_out(char *text, int at, const char *digits, int n, int64_t k)
{
    static const char zeros[] = "0000000000000000";
    if (k > 16 || k < -3) {
        int64_t e = k > 0 ? k - 1 : 1 - k;
        text[at++] = digits[0];
        if (n > 1) {
            text[at++] = '.';
            at = put(text, at, digits + 1, n - 1);
        }
        text[at++] = 'e';
        text[at++] = k > 0 ? '+' : '-';
        if (e >= 100)
            text[at++] = (char)('0' + e / 100);
        text[at++] = (char)('0' + e / 10 % 10);
        text[at++] = (char)('0' + e % 10);
    } else if (k <= 0) {
        at = put(text, at, "0.", 2);
        at = put(text, at, zeros, -k);
        at = put(text, at, digits, n);
    } else {
        at = put(text, at, digits, mtl__min(n, k));
        at = put(text, at, zeros, mtl__max(k - n, 0));
        if (n > k) {
            text[at++] = '.';
            at = put(text, at, digits + k, n - k);
        }
    }
    return at;
}

int mtl__format_f64(double x, char text[MTL__NUM_SIZE])
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t f = bits & ((UINT64_C(1) << 52) - 1);
    int64_t field = (int64_t)(bits >> 52 & 0x7ff);
    int at = 0;
    if (bits >> 63 && !(field == 0x7ff && f))
        text[at++] = '-';
    if (field == 0x7ff) {
        at = put(text, at, f ? "nan" : "inf", 3);
    } else if (field == 0 && f == 0) {
        text[at++] = '0';
    } else {
        bool narrow_below = f == 0 && field > 1;
        if (field)
            f |= UINT64_C(1) << 52;
        int64_t e = mtl__max(field, 1) - 1075;
        char digits[DIGITS];
        scaled v;
        scale_binary(&v, f, e, narrow_below);
        int64_t k = scale_decimal(&v, e + 64 - __builtin_clzll(f));
        int n = shortest_digits(&v, digits);
        at = lay_out(text, at, digits, n, k);
    }
    text[at] = '\0';
    return at;
}

mtl__num_text mtl__num(double x)
{
    mtl__num_text t;
    mtl__format_f64(x, t.text);
    return t;
}

/* ---- names ---- */

enum { NAME_MAX_LENGTH = 64 };

/* Levenshtein's distance, blind to case; one row of the table at a time. */
static int64_t edit_distance(const char *a, int64_t n, const char *b, int64_t m)
{
    int64_t row[NAME_MAX_LENGTH + 1];
    for (int64_t j = 0; j <= m; j++)
        row[j] = j;
    for (int64_t i = 1; i <= n; i++) {
        int64_t diagonal = row[0];
        row[0] = i;
        for (int64_t j = 1; j <= m; j++) {
            int64_t replace = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = row[j];
            row[j] = mtl__min(replace, mtl__min(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

int64_t mtl__nearest(const char *name, const char *const *names, int64_t count)
{
    int64_t best = -1, n = (int64_t)strlen(name);
    int64_t limit = (n + 2) / 3; /* more than about a third wrong is another word */
    for (int64_t i = 0; i < count; i++) {
        int64_t m = (int64_t)strlen(names[i]);
        if (n > NAME_MAX_LENGTH || m > NAME_MAX_LENGTH)
            continue;
        int64_t distance = edit_distance(name, n, names[i], m);
        if (distance < limit || (best < 0 && distance == limit)) {
            best = i;
            limit = distance;
        }
    }
    return best;
}
