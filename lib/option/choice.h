/* SPDX-License-Identifier: MIT */
/* A choice with parameters of its own in one text: "adam:beta1=0.9,eps=1e-7". The rows of a table
   begin with an mtl__choice_row; what stands behind it in a row is its folder's affair. */
#ifndef MTL__CHOICE_H
#define MTL__CHOICE_H

#include "base/error.h"

#define MTL__CHOICE_TEXT "*" /* texts of a parameter that is any text */
#define MTL__CHOICE_LIST "/" /* texts of a parameter that is a list of numbers, "0.2/0.3/0.5" */
#define MTL__CHOICE_PARAMS 6 /* at most, with the one that ends the list */

typedef struct mtl__choice_param {
    const char *key; /* NULL ends the list */
    double initial, low, high;
    /* "binary|macro": the value is the number of the text; MTL__CHOICE_TEXT: any text, commas too, up to
       the end of the choice, the value is its length; MTL__CHOICE_LIST: numbers from low to high, the value is
       the place of the first in the choice's text (initial 0 = none); NULL = a number; or
       MTL__CHOICE_WHOLE */
    const char *texts;
} mtl__choice_param;

#define MTL__CHOICE_WHOLE "" /* a whole number */

typedef struct mtl__choice_row {
    const char *name;
    const mtl__choice_param *param; /* NULL = has none */
} mtl__choice_row;

typedef struct mtl__choice_table {
    const char *what; /* "activation", for messages */
    const void *rows;
    int64_t count, row_bytes;
} mtl__choice_table;

#define MTL__CHOICE_TABLE(what, rows)                                                              \
    {                                                                                              \
        what, rows, MTL__COUNT_OF(rows), sizeof((rows)[0])                                         \
    }

/* The row that was chosen, its parameters filled in with the text's values or the initial ones. */
typedef struct mtl__choice {
    const void *row;
    double value[MTL__CHOICE_PARAMS];
} mtl__choice;

/* text is [text, text + length), length < 0 = up to its NUL. MTL_ERR_RANGE for an unknown name or
   parameter (naming the nearest) or a value out of range. */
mtl_status mtl__choice_parse(const mtl__choice_table *table, const char *text, int64_t length,
                             mtl__choice *out, mtl_error *err);

/* The next word, of what blanks separate, from *list on: its first character, and *length; *list
   goes behind it. NULL at the end. */
const char *mtl__next_word(const char **list, int64_t *length);

/* The next number of a list from *list on, which goes behind it; false at the list's end. */
bool mtl__choice_next(const char **list, double *value);

/* Number of [text, text + length) in a list "a|b|c", or -1. */
int64_t mtl__text_index(const char *list, const char *text, int64_t length);

#endif
