/* SPDX-License-Identifier: MIT */
/* Numbers against the C library's strtod() and strtof(), in the C locale. */
#include "fuzz.h"

#include <string.h>

#include "base/text.h"

/* What only the C library reads: blanks in front, 0x1p3, nan(7). */
static int is_ours(const char *s)
{
    if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
        return 0;
    s += *s == '+' || *s == '-';
    return !(s[0] == '0' && (s[1] | 32) == 'x') && (*s | 32) != 'n';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double x, back;
    float y;
    char *stop, text[MTL__NUM_SIZE];
    if (size >= 8) {
        memcpy(&x, data, 8);
        int n = mtl__format_f64(x, text);
        MUST(n < MTL__NUM_SIZE && mtl__parse_f64(text, text + n, &back) == text + n);
        MUST(x != x ? back != back : memcmp(&x, &back, 8) == 0);
    }
    char *s = malloc(size + 1);
    MUST(s != NULL);
    memcpy(s, data, size);
    s[size] = '\0';
    const char *after = mtl__parse_f64(s, s + strlen(s), &x);
    if (is_ours(s)) {
        double want = strtod(s, &stop);
        MUST(after ? after == stop && memcmp(&x, &want, sizeof x) == 0 : stop == s);
        float want_f = strtof(s, NULL);
        after = mtl__parse_f32(s, s + strlen(s), &y);
        MUST(!after || memcmp(&y, &want_f, sizeof y) == 0);
    }
    free(s);
    return 0;
}
