/* SPDX-License-Identifier: MIT */
/* Numbers as text, exact in both directions and blind to the locale. */
#ifndef MTL__TEXT_H
#define MTL__TEXT_H

#include "base/base.h"

/* Longest text of mtl__format_f64 with its end, e.g. "-2.2250738585072014e-308". */
#define MTL__NUM_SIZE 32

/* The shortest decimal text that reads back as x: "0.1", "1e-07", "3", "nan", "inf", "-inf".
   Returns its length. */
int mtl__format_f64(double x, char text[MTL__NUM_SIZE]);

/* For messages: mtl__num(x).text in a %s. */
typedef struct mtl__num_text {
    char text[MTL__NUM_SIZE];
} mtl__num_text;
mtl__num_text mtl__num(double x);

/* Read a number at the front of [s, end): optional sign, digits with an optional point, optional
   exponent; or nan, inf, infinity in any case. Correctly rounded (to nearest, ties to even); past
   the range it gives an infinity or zero as IEEE rounding does. Returns the first character not
   used, or NULL when there is no number. Leading blanks are not skipped. */
const char *mtl__parse_f64(const char *s, const char *end, double *out);

/* The same rounded once, straight to float. */
const char *mtl__parse_f32(const char *s, const char *end, float *out);

/* Optional sign and decimal digits; NULL when there is none or it does not fit. */
const char *mtl__parse_i64(const char *s, const char *end, int64_t *out);

/* Which of the names is nearest to `name` by edit distance (for "did you mean"); -1 if none is
   near enough to be meant. names: count strings. */
int64_t mtl__nearest(const char *name, const char *const *names, int64_t count);

#endif
