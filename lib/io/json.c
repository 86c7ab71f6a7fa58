/* SPDX-License-Identifier: MIT */
#include "io/json.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* ---- characters ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *s, const char *end)
{
    while (s < end && is_blank(*s))
        s++;
    return s;
}

/* Length of the UTF-8 character at s, 0 when it is none; its code point in *point. Unicode 15,
   table 3-7: what the first byte allows for the second excludes overlong forms and surrogates. */
static int utf8_length(const char *s, const char *end, uint32_t *point)
{
    static const struct {
        unsigned char first, last, low, high, length;
    } rows[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    unsigned char c = (unsigned char)*s;
    if (c < 0x80) {
        *point = c;
        return c > 0;
    }
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        int length = rows[i].length;
        if (c < rows[i].first || c > rows[i].last)
            continue;
        if (length > end - s)
            return 0;
        uint32_t p = c & (0x7fu >> length);
        for (int j = 1; j < length; j++) {
            unsigned char d = (unsigned char)s[j];
            if (d < (j == 1 ? rows[i].low : 0x80) || d > (j == 1 ? rows[i].high : 0xbf))
                return 0;
            p = p << 6 | (d & 0x3f);
        }
        *point = p;
        return length;
    }
    return 0;
}

static int utf8_encode(uint32_t p, char out[4])
{
    if (p < 0x80) {
        out[0] = (char)p;
        return 1;
    }
    int length = p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, p >>= 6)
        out[i] = (char)(0x80 | (p & 0x3f));
    out[0] = (char)((0xf00u >> length & 0xf0) | p);
    return length;
}

bool mtl__utf8_is_valid(const char *s, int64_t size)
{
    const char *end = s + size;
    uint32_t point;
    while (s < end) {
        int n = utf8_length(s, end, &point);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits of \uXXXX, or -1. */
static int32_t hex4(const char *s, const char *end)
{
    int32_t v = 0;
    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(s[i]);
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static const struct {
    char letter;
    unsigned char point;
} escapes[] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
               {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};

/* s: behind a backslash. Characters used, 0 when it is no escape. */
static int escape_length(const char *s, const char *end, uint32_t *point)
{
    if (s == end)
        return 0;
    for (int64_t i = 0; i < MTL__COUNT_OF(escapes); i++)
        if (escapes[i].letter == *s) {
            *point = escapes[i].point;
            return 1;
        }
    int32_t high = *s == 'u' ? hex4(s + 1, end) : -1;
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *point = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 5;
    int32_t low = end - s >= 11 && s[5] == '\\' && s[6] == 'u' ? hex4(s + 7, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *point = 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 11;
}

/* One character of a string's inside; characters used, 0 when it is not valid there. */
static int string_step(const char *s, const char *end, uint32_t *point)
{
    if (*s == '\\') {
        int n = escape_length(s + 1, end, point);
        return n ? n + 1 : 0;
    }
    return (unsigned char)*s < 0x20 ? 0 : utf8_length(s, end, point);
}

/* ---- checking ---- */

typedef struct checker {
    const char *start, *s, *end;
    uint32_t *keys; /* of the objects that are open, innermost last */
    int64_t count, capacity;
    mtl_error *err;
} checker;

static mtl_status malformed(const checker *c, const char *what)
{
    return MTL_FAIL(c->err, MTL_ERR_FORMAT, "JSON at byte %lld: %s", (long long)(c->s - c->start),
                    what);
}

static mtl_status check_string(checker *c)
{
    uint32_t point;
    if (c->s == c->end || *c->s != '"')
        return malformed(c, "expected a string");
    for (c->s++; c->s < c->end;) {
        if (*c->s == '"') {
            c->s++;
            return MTL_OK;
        }
        int n = string_step(c->s, c->end, &point);
        if (n == 0)
            return malformed(c, "a character or escape that a string cannot hold");
        c->s += n;
    }
    return malformed(c, "the text ends inside a string");
}

static bool take_digits(checker *c)
{
    const char *from = c->s;
    while (c->s < c->end && is_digit(*c->s))
        c->s++;
    return c->s > from;
}

static bool take(checker *c, char a, char b)
{
    if (c->s == c->end || (*c->s != a && *c->s != b))
        return false;
    c->s++;
    return true;
}

static mtl_status check_number(checker *c)
{
    take(c, '-', '-');
    const char *first = c->s;
    if (!take_digits(c) || (*first == '0' && c->s > first + 1))
        return malformed(c, "expected a value");
    if (take(c, '.', '.') && !take_digits(c))
        return malformed(c, "expected a digit");
    if (take(c, 'e', 'E')) {
        take(c, '+', '-');
        if (!take_digits(c))
            return malformed(c, "expected a digit");
    }
    return MTL_OK;
}

static mtl_status check_word(checker *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->s) < n || memcmp(c->s, word, n) != 0)
        return malformed(c, "expected a value");
    c->s += n;
    return MTL_OK;
}

/* The keys of the object that ends here: none twice. They are sorted for it, n log n. */
static mtl_status check_duplicates(checker *c, int64_t first)
{
    uint32_t *keys = c->keys + first;
    int64_t n = c->count - first;
    mtl__json_sort(c->start, c->end, keys, n);
    for (int64_t i = 1; i < n; i++) {
        mtl__json a = {c->start + keys[i - 1], c->end}, b = {c->start + keys[i], c->end};
        if (mtl__json_compare(a, b) == 0) {
            c->s = a.s > b.s ? a.s : b.s;
            return malformed(c, "a key that the object has twice");
        }
    }
    c->count = first;
    return MTL_OK;
}

static mtl_status check_value(checker *c, int depth);

/* A key and its colon, up to the value. */
static mtl_status check_key(checker *c)
{
    const char *key = c->s;
    mtl_status st = check_string(c);
    if (st != MTL_OK)
        return st;
    c->s = skip_blanks(c->s, c->end);
    if (!take(c, ':', ':'))
        return malformed(c, "expected a colon");
    assert(c->count < c->capacity);
    c->keys[c->count++] = (uint32_t)(key - c->start);
    c->s = skip_blanks(c->s, c->end);
    return MTL_OK;
}

static mtl_status check_container(checker *c, bool object, int depth)
{
    mtl_status st;
    int64_t first_key = c->count;
    char close = object ? '}' : ']';
    if (depth == MTL__JSON_DEPTH)
        return malformed(c, "nested too deeply");
    c->s = skip_blanks(c->s + 1, c->end);
    if (take(c, close, close))
        return MTL_OK;
    for (;;) {
        if (object)
            MTL_TRY(st, check_key(c), done);
        MTL_TRY(st, check_value(c, depth + 1), done);
        c->s = skip_blanks(c->s, c->end);
        if (take(c, close, close))
            return object ? check_duplicates(c, first_key) : MTL_OK;
        if (!take(c, ',', ','))
            return malformed(c, object ? "expected a comma or }" : "expected a comma or ]");
        c->s = skip_blanks(c->s, c->end);
    }
done:
    return st;
}

static mtl_status check_value(checker *c, int depth)
{
    switch (c->s < c->end ? *c->s : 0) {
    case '{':
    case '[':
        return check_container(c, *c->s == '{', depth);
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    default:
        return check_number(c);
    }
}

/* Colons outside of strings: as many as the text has keys, up to where it may be malformed. */
static int64_t count_keys(const char *s, const char *end)
{
    bool in_string = false;
    int64_t n = 0;
    for (; s < end; s++) {
        if (*s == '"')
            in_string = !in_string;
        else if (*s == '\\' && in_string && s + 1 < end)
            s++;
        else
            n += *s == ':' && !in_string;
    }
    return n;
}

mtl_status mtl__json_check(const char *text, int64_t size, const mtl__allocator *al,
                           mtl__json *root, mtl_error *err)
{
    checker c = {.start = text, .s = text, .end = text + size, .err = err};
    if (size > MTL__JSON_MAX)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "JSON of %lld bytes, more than the limit of %lld",
                        (long long)size, (long long)MTL__JSON_MAX);
    c.capacity = count_keys(text, c.end);
    c.keys = mtl__alloc_array(al, c.capacity, sizeof *c.keys);
    if (!c.keys)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "JSON: no memory for %lld keys", (long long)c.capacity);
    mtl_status st;
    const char *first = c.s = skip_blanks(c.s, c.end);
    MTL_TRY(st, check_value(&c, 0), done);
    c.s = skip_blanks(c.s, c.end);
    if (c.s < c.end)
        st = malformed(&c, "expected the end of the text");
    else
        *root = (mtl__json){first, c.end};
done:
    mtl__free(al, c.keys, c.capacity * (int64_t)sizeof *c.keys);
    return st;
}

/* ---- values: the text is known to be right, so a step needs no test but where it goes ---- */

/* Behind the closing quote of the string at s. */
static const char *skip_string(const char *s)
{
    for (s++; *s != '"'; s++)
        if (*s == '\\')
            s++;
    return s + 1;
}

static const char *skip_scalar(const char *s, const char *end)
{
    while (s < end && !is_blank(*s) && *s != ',' && *s != ']' && *s != '}')
        s++;
    return s;
}

/* Behind the value at s. */
static const char *skip_value(const char *s, const char *end)
{
    int depth = 0;
    do {
        if (*s == '"') {
            s = skip_string(s);
        } else if (*s == '{' || *s == '[') {
            depth++;
            s++;
        } else if (*s == '}' || *s == ']') {
            depth--;
            s++;
        } else if (*s == ',' || *s == ':' || is_blank(*s)) {
            s++;
        } else {
            s = skip_scalar(s, end);
        }
    } while (depth > 0);
    return s;
}

mtl__json_type mtl__json_type_of(mtl__json v)
{
    switch (v.s ? *v.s : 0) {
    case 0:
        return MTL__JSON_NONE;
    case '{':
        return MTL__JSON_OBJECT;
    case '[':
        return MTL__JSON_ARRAY;
    case '"':
        return MTL__JSON_STRING;
    case 't':
    case 'f':
        return MTL__JSON_BOOL;
    case 'n':
        return MTL__JSON_NULL;
    default:
        return MTL__JSON_NUMBER;
    }
}

mtl__json_iter mtl__json_iterate(mtl__json v)
{
    mtl__json_iter it = {0};
    mtl__json_type type = mtl__json_type_of(v);
    if (type != MTL__JSON_OBJECT && type != MTL__JSON_ARRAY)
        return it;
    const char *s = skip_blanks(v.s + 1, v.end);
    if (*s == '}' || *s == ']')
        return it;
    return (mtl__json_iter){s, v.end, type == MTL__JSON_OBJECT};
}

bool mtl__json_next(mtl__json_iter *it, mtl__json *key, mtl__json *value)
{
    const char *s = it->s, *end = it->end;
    if (!s)
        return false;
    if (key)
        *key = it->object ? (mtl__json){s, end} : (mtl__json){0};
    if (it->object)
        s = skip_blanks(skip_blanks(skip_string(s), end) + 1, end);
    *value = (mtl__json){s, end};
    s = skip_blanks(skip_value(s, end), end);
    it->s = *s == ',' ? skip_blanks(s + 1, end) : NULL;
    return true;
}

int64_t mtl__json_count(mtl__json v)
{
    mtl__json_iter it = mtl__json_iterate(v);
    mtl__json value;
    int64_t n = 0;
    while (mtl__json_next(&it, NULL, &value))
        n++;
    return n;
}

mtl__json mtl__json_member(mtl__json object, const char *key)
{
    mtl__json_iter it = mtl__json_iterate(object);
    mtl__json name, value;
    if (it.object)
        while (mtl__json_next(&it, &name, &value))
            if (mtl__json_is(name, key))
                return value;
    return (mtl__json){0};
}

bool mtl__json_bool(mtl__json v, bool *out)
{
    if (mtl__json_type_of(v) != MTL__JSON_BOOL)
        return false;
    *out = *v.s == 't';
    return true;
}

bool mtl__json_i64(mtl__json v, int64_t *out)
{
    if (mtl__json_type_of(v) != MTL__JSON_NUMBER)
        return false;
    const char *end = skip_scalar(v.s, v.end);
    int64_t x;
    if (mtl__parse_i64(v.s, end, &x) != end)
        return false;
    *out = x;
    return true;
}

bool mtl__json_f64(mtl__json v, double *out)
{
    return mtl__json_type_of(v) == MTL__JSON_NUMBER &&
           mtl__parse_f64(v.s, skip_scalar(v.s, v.end), out) != NULL;
}

/* ---- strings ---- */

/* The next character of a string whose inside starts at *s; 0 at the closing quote. */
static uint32_t next_point(const char **s, const char *end)
{
    uint32_t point = 0;
    const unsigned char c = (unsigned char)**s;
    if (c < 0x80 && c != '"' && c != '\\') /* nearly always */
        return (unsigned char)*(*s)++;
    if (c != '"')
        *s += string_step(*s, end, &point);
    return point;
}

int mtl__json_compare(mtl__json a, mtl__json b)
{
    uint32_t p, q;
    const char *s = a.s + 1, *t = b.s + 1;
    assert(*a.s == '"' && *b.s == '"');
    do {
        p = next_point(&s, a.end);
        q = next_point(&t, b.end);
    } while (p == q && p != 0);
    return (p > q) - (p < q);
}

/* By bytes: `text` is anything a caller asks for, and may not be UTF-8. */
int mtl__json_compare_text(mtl__json a, const char *text)
{
    const char *s = a.s + 1;
    uint32_t p;
    assert(*a.s == '"');
    while ((p = next_point(&s, a.end)) != 0) {
        char bytes[4];
        int n = utf8_encode(p, bytes);
        for (int i = 0; i < n; i++, text++)
            if (bytes[i] != *text)
                return (unsigned char)bytes[i] < (unsigned char)*text ? -1 : 1;
    }
    return *text ? -1 : 0;
}

bool mtl__json_is(mtl__json v, const char *text)
{
    return mtl__json_type_of(v) == MTL__JSON_STRING && mtl__json_compare_text(v, text) == 0;
}

bool mtl__json_plain(mtl__json v, const char **s, int64_t *size)
{
    if (mtl__json_type_of(v) != MTL__JSON_STRING)
        return false;
    const char *first = v.s + 1;
    int64_t n = skip_string(v.s) - 1 - first;
    if (memchr(first, '\\', (size_t)n))
        return false;
    *s = first;
    *size = n;
    return true;
}

int64_t mtl__json_string(mtl__json v, char *out)
{
    int64_t size = 0;
    uint32_t p;
    if (mtl__json_type_of(v) != MTL__JSON_STRING)
        return 0;
    const char *s = v.s + 1;
    while ((p = next_point(&s, v.end)) != 0) {
        char bytes[4];
        int n = utf8_encode(p, bytes);
        if (out)
            memcpy(out + size, bytes, (size_t)n);
        size += n;
    }
    return size;
}

char *mtl__json_strdup(mtl__json v, const mtl__allocator *al)
{
    if (mtl__json_type_of(v) != MTL__JSON_STRING)
        return NULL;
    int64_t n = mtl__json_string(v, NULL);
    char *copy = mtl__alloc(al, n + 1);
    if (copy) {
        mtl__json_string(v, copy);
        copy[n] = '\0';
    }
    return copy;
}

/* Heap sort: no memory, no recursion, and n log n whatever the keys are. */
static void sift_down(const char *text, const char *end, uint32_t *at, int64_t root, int64_t n)
{
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        mtl__json a = {text + at[child], end};
        if (child + 1 < n && mtl__json_compare(a, (mtl__json){text + at[child + 1], end}) < 0)
            a.s = text + at[++child];
        if (mtl__json_compare((mtl__json){text + at[root], end}, a) >= 0)
            return;
        uint32_t swap = at[root];
        at[root] = at[child];
        at[child] = swap;
    }
}

void mtl__json_sort(const char *text, const char *end, uint32_t *at, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_down(text, end, at, i, n);
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t swap = at[0];
        at[0] = at[i];
        at[i] = swap;
        sift_down(text, end, at, 0, i);
    }
}

/* ---- members that must be there ---- */

static const char *const type_names[] = {"nothing",  "an object", "an array", "a string",
                                         "a number", "a boolean", "null"};

mtl_status mtl__json_get(mtl__json object, const char *key, mtl__json_type type, mtl__json *out,
                         mtl_error *err)
{
    mtl__json v = mtl__json_member(object, key);
    if (mtl__json_type_of(v) != type)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "\"%s\": expected %s, found %s", key, type_names[type],
                        type_names[mtl__json_type_of(v)]);
    *out = v;
    return MTL_OK;
}

mtl_status mtl__json_get_bool(mtl__json object, const char *key, bool *out, mtl_error *err)
{
    mtl__json v;
    mtl_status st = mtl__json_get(object, key, MTL__JSON_BOOL, &v, err);
    if (st == MTL_OK)
        mtl__json_bool(v, out);
    return st;
}

mtl_status mtl__json_get_i64(mtl__json object, const char *key, int64_t min, int64_t max,
                             int64_t *out, mtl_error *err)
{
    mtl__json v;
    int64_t x;
    mtl_status st = mtl__json_get(object, key, MTL__JSON_NUMBER, &v, err);
    if (st != MTL_OK)
        return st;
    if (!mtl__json_i64(v, &x) || x < min || x > max)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "\"%s\": expected an integer from %lld to %lld", key,
                        (long long)min, (long long)max);
    *out = x;
    return MTL_OK;
}

mtl_status mtl__json_get_f64(mtl__json object, const char *key, double *out, mtl_error *err)
{
    mtl__json v = mtl__json_member(object, key);
    if (mtl__json_type_of(v) == MTL__JSON_NULL) {
        *out = (double)__builtin_nanf("");
        return MTL_OK;
    }
    mtl_status st = mtl__json_get(object, key, MTL__JSON_NUMBER, &v, err);
    if (st == MTL_OK)
        mtl__json_f64(v, out);
    return st;
}

mtl_status mtl__json_get_string(mtl__json object, const char *key, const mtl__allocator *al,
                                char **out, mtl_error *err)
{
    mtl__json v;
    mtl_status st = mtl__json_get(object, key, MTL__JSON_STRING, &v, err);
    if (st != MTL_OK)
        return st;
    char *copy = mtl__json_strdup(v, al);
    if (!copy)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the string \"%s\"", key);
    *out = copy;
    return MTL_OK;
}

/* ---- writing ---- */

void mtl__json_write_item(mtl__bytes *b)
{
    char last = b->size > 0 ? b->p[b->size - 1] : '[';
    if (last != '[' && last != '{')
        mtl__bytes_text(b, ",");
}

void mtl__json_write_key(mtl__bytes *b, const char *key)
{
    mtl__json_write_item(b);
    mtl__json_write_string(b, key);
    mtl__bytes_text(b, ":");
}

void mtl__json_write_string(mtl__bytes *b, const char *s)
{
    mtl__bytes_text(b, "\"");
    while (*s) {
        const char *run = s;
        while ((unsigned char)*s >= 0x20 && *s != '"' && *s != '\\')
            s++;
        mtl__bytes_append(b, run, s - run);
        if (*s == '"' || *s == '\\')
            mtl__bytes_format(b, "\\%c", *s++);
        else if (*s)
            mtl__bytes_format(b, "\\u%04x", (unsigned)*s++);
    }
    mtl__bytes_text(b, "\"");
}

void mtl__json_write_i64(mtl__bytes *b, int64_t v)
{
    mtl__bytes_format(b, "%lld", (long long)v);
}

void mtl__json_write_f64(mtl__bytes *b, double v)
{
    char text[MTL__NUM_SIZE];
    if (v != v)
        mtl__bytes_text(b, "null");
    else if (v - v != 0) /* infinite */
        mtl__bytes_text(b, v > 0 ? "1e999" : "-1e999");
    else
        mtl__bytes_append(b, text, mtl__format_f64(v, text));
}

void mtl__json_write_bool(mtl__bytes *b, bool v)
{
    mtl__bytes_text(b, v ? "true" : "false");
}
