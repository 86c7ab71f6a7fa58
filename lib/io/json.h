/* SPDX-License-Identifier: MIT */
/* JSON as in RFC 8259, strict and bounded. Nothing is built from the text: it is checked once as a
   whole, and from then on a value is a place in it, so that reading costs no memory whatever a file
   holds. The text must outlive the values and not change.

   Stricter than the RFC: UTF-8 only, no duplicate keys, no NUL characters (strings become C
   strings), nesting up to MTL__JSON_DEPTH. */
#ifndef MTL__JSON_H
#define MTL__JSON_H

#include "base/error.h"
#include "mem/alloc.h"

#define MTL__JSON_DEPTH 64
/* Bytes of one text, the limit of safetensors for its header. */
#define MTL__JSON_MAX INT64_C(100000000)

typedef enum mtl__json_type {
    MTL__JSON_NONE, /* no value: what a search that found nothing gives */
    MTL__JSON_OBJECT,
    MTL__JSON_ARRAY,
    MTL__JSON_STRING,
    MTL__JSON_NUMBER,
    MTL__JSON_BOOL,
    MTL__JSON_NULL
} mtl__json_type;

/* A value in a checked text; {NULL, NULL} is none. Each function takes any value and gives "none",
   0 or false when it is of another type. */
typedef struct mtl__json {
    const char *s, *end; /* first character of the value, end of the whole text */
} mtl__json;

/* Check a text that holds one value, blanks around it allowed. MTL_ERR_FORMAT with the offset;
   MTL_ERR_NOMEM (4 bytes per key for the time of the call, less than the text has). */
mtl_status mtl__json_check(const char *text, int64_t size, const mtl__allocator *al,
                           mtl__json *root, mtl_error *err);

mtl__json_type mtl__json_type_of(mtl__json v);
/* Members of an object, elements of an array. */
int64_t mtl__json_count(mtl__json v);
mtl__json mtl__json_member(mtl__json object, const char *key);

/* Elements or members in the order of the text:
       mtl__json_iter it = mtl__json_iterate(v);
       while (mtl__json_next(&it, &key, &value)) ...      key: none in an array; may be NULL    */
typedef struct mtl__json_iter {
    const char *s, *end; /* s: at a key or value, NULL at the end */
    bool object;
} mtl__json_iter;

mtl__json_iter mtl__json_iterate(mtl__json v);
bool mtl__json_next(mtl__json_iter *it, mtl__json *key, mtl__json *value);

bool mtl__json_bool(mtl__json v, bool *out);
/* Only what is written as an integer and fits. */
bool mtl__json_i64(mtl__json v, int64_t *out);
bool mtl__json_f64(mtl__json v, double *out);

/* Strings. The order is that of the code points, which is the order of the UTF-8 bytes. */
int mtl__json_compare(mtl__json a, mtl__json b);
int mtl__json_compare_text(mtl__json a, const char *text);
bool mtl__json_is(mtl__json v, const char *text);
/* The characters between the quotes when none is escaped (then they are those of the string). */
bool mtl__json_plain(mtl__json v, const char **s, int64_t *size);
/* Bytes of the string in UTF-8, written to `out` when it is not NULL, without a zero at the end. */
int64_t mtl__json_string(mtl__json v, char *out);
/* A copy for mtl__strfree(); NULL if memory is short or it is no string. */
char *mtl__json_strdup(mtl__json v, const mtl__allocator *al);

/* A member that must be there: MTL_ERR_FORMAT naming key, wanted type or range. */
mtl_status mtl__json_get(mtl__json object, const char *key, mtl__json_type type, mtl__json *out,
                         mtl_error *err);
mtl_status mtl__json_get_bool(mtl__json object, const char *key, bool *out, mtl_error *err);
mtl_status mtl__json_get_i64(mtl__json object, const char *key, int64_t min, int64_t max,
                             int64_t *out, mtl_error *err);
/* As written by mtl__json_write_f64. */
mtl_status mtl__json_get_f64(mtl__json object, const char *key, double *out, mtl_error *err);
mtl_status mtl__json_get_string(mtl__json object, const char *key, const mtl__allocator *al,
                                char **out, mtl_error *err);

/* Sort the places of n strings in a checked text (offsets of their opening quotes). */
void mtl__json_sort(const char *text, const char *end, uint32_t *at, int64_t n);

/* Is this UTF-8, without NUL, overlong forms and surrogates? */
bool mtl__utf8_is_valid(const char *s, int64_t size);

/* ---- writing: the caller places brackets (mtl__bytes_text), these the rest ---- */

/* A comma unless it is the first in its object or array; then, for a member, key and colon. */
void mtl__json_write_key(mtl__bytes *b, const char *key);
void mtl__json_write_item(mtl__bytes *b);
/* s: UTF-8 */
void mtl__json_write_string(mtl__bytes *b, const char *s);
void mtl__json_write_i64(mtl__bytes *b, int64_t v);
/* The shortest text that reads back; NaN as null, the infinities as 1e999 and -1e999. */
void mtl__json_write_f64(mtl__bytes *b, double v);
void mtl__json_write_bool(mtl__bytes *b, bool v);

#endif
