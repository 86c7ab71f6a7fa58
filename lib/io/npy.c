/* SPDX-License-Identifier: MIT */
#include "io/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "io/byteorder.h"

/* ---- types ---- */

/* n elements, in the host's byte order, at no particular address. */
typedef void convert_fn(const char *from, int64_t n, float *to);

#define CONVERT(name, type, expression)                                                            \
    static void name(const char *from, int64_t n, float *to)                                       \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type v;                                                                                \
            memcpy(&v, from + i * (int64_t)sizeof v, sizeof v);                                    \
            to[i] = (expression);                                                                  \
        }                                                                                          \
    }

CONVERT(from_f4, float, v)
CONVERT(from_f8, double, (float)v)
CONVERT(from_i4, int32_t, (float)v)
CONVERT(from_i8, int64_t, (float)v)
CONVERT(from_i1, int8_t, (float)v)
CONVERT(from_u1, uint8_t, (float)v)
CONVERT(from_b1, uint8_t, (float)(v != 0))

struct mtl__npy_type {
    char code[3];
    int size;
    convert_fn *convert;
};

static const struct mtl__npy_type types[] = {
    {"f4", 4, from_f4}, {"f8", 8, from_f8}, {"i4", 4, from_i4}, {"i8", 8, from_i8},
    {"i1", 1, from_i1}, {"u1", 1, from_u1}, {"b1", 1, from_b1},
};

/* ---- header: a Python dict of three known keys, in any order ---- */

enum { MAGIC_BYTES = 8, MAX_RANK = 2, SHOWN = 24 };

/* NumPy itself reads no header longer than this without being told to. */
#define MAX_HEADER 10000

typedef struct cursor {
    const char *s, *end;
} cursor;

static bool take(cursor *c, char x)
{
    while (c->s < c->end && (*c->s == ' ' || *c->s == '\n'))
        c->s++;
    if (c->s == c->end || *c->s != x)
        return false;
    c->s++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    size_t n = strlen(word);
    if (n == 0 || !take(c, word[0]))
        return false;
    if ((size_t)(c->end - c->s) < n - 1 || memcmp(c->s, word + 1, n - 1) != 0)
        return false;
    c->s += n - 1;
    return true;
}

/* 'text' or "text", without escapes. */
static bool take_string(cursor *c, cursor *text)
{
    char quote = take(c, '\'') ? '\'' : take(c, '"') ? '"' : 0;
    if (!quote)
        return false;
    const char *close = memchr(c->s, quote, (size_t)(c->end - c->s));
    if (!close || memchr(c->s, '\\', (size_t)(close - c->s)))
        return false;
    *text = (cursor){c->s, close};
    c->s = close + 1;
    return true;
}

static bool equals(const cursor *text, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(text->end - text->s) == n && memcmp(text->s, word, n) == 0;
}

static mtl_status parse_descr(mtl__npy *in, cursor *c, mtl_error *err)
{
    cursor text;
    if (!take_string(c, &text))
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: structured types are not read");
    int n = (int)mtl__min(text.end - text.s, SHOWN);
    if (n >= 2 && text.s[1] == 'O')
        return MTL_FAIL(err, MTL_ERR_FORMAT,
                        "npy: the array holds Python objects (a pickle), which are not read");
    for (int64_t i = 0; i < MTL__COUNT_OF(types) && n == 3; i++) {
        char order = text.s[0];
        if (memcmp(text.s + 1, types[i].code, 2) != 0)
            continue;
        if (order != '<' && order != '>' && (order != '|' || types[i].size > 1))
            break;
        in->type = &types[i];
        in->big_endian = order == '>';
        return MTL_OK;
    }
    return MTL_FAIL(err, MTL_ERR_FORMAT,
                    "npy: type '%.*s' is not one of f4, f8, i4, i8, i1, u1, b1", n, text.s);
}

static mtl_status parse_order(mtl__npy *in, cursor *c, mtl_error *err)
{
    in->fortran_order = take_word(c, "True");
    if (in->fortran_order || take_word(c, "False"))
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: fortran_order is neither True nor False");
}

/* (rows,) or (rows, cols), a comma at the end allowed. */
static mtl_status parse_shape(mtl__npy *in, cursor *c, mtl_error *err)
{
    int64_t shape[MAX_RANK] = {1, 1};
    int32_t rank = 0;
    bool more = true;
    if (!take(c, '('))
        goto bad;
    while (!take(c, ')')) {
        if (!more)
            goto bad;
        if (rank == MAX_RANK)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: more than two dimensions are not read");
        const char *after = mtl__parse_i64(c->s, c->end, &shape[rank]);
        if (!after || *c->s == '+' || *c->s == '-')
            goto bad;
        c->s = after;
        rank++;
        more = take(c, ',');
    }
    if (rank == 0)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: a single number is no array of rows");
    if (rank == 1 && !more)
        goto bad; /* "(3)" is a number in Python */
    in->rank = rank;
    in->rows = shape[0];
    in->cols = shape[1];
    return MTL_OK;
bad:
    return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: malformed shape");
}

static const struct {
    const char *key;
    mtl_status (*parse)(mtl__npy *in, cursor *c, mtl_error *err);
} keys[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};

static mtl_status parse_member(mtl__npy *in, cursor *c, unsigned *seen, mtl_error *err)
{
    cursor key;
    if (!take_string(c, &key) || !take(c, ':'))
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: malformed header");
    for (int i = 0; i < MTL__COUNT_OF(keys); i++)
        if (equals(&key, keys[i].key) && !(*seen & 1u << i)) {
            *seen |= 1u << i;
            return keys[i].parse(in, c, err);
        }
    return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: header has '%.*s', unknown or twice",
                    (int)mtl__min(key.end - key.s, SHOWN), key.s);
}

static mtl_status parse_header(mtl__npy *in, cursor c, mtl_error *err)
{
    unsigned seen = 0;
    if (!take(&c, '{'))
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: the header is no dict");
    for (bool more = true; !take(&c, '}'); more = take(&c, ',')) {
        if (!more)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: malformed header");
        mtl_status st = parse_member(in, &c, &seen, err);
        if (st != MTL_OK)
            return st;
    }
    if (seen != 7)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: descr, fortran_order or shape is missing");
    take(&c, '\0'); /* goes over the blanks; there is no such character */
    if (c.s != c.end)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: text behind the header's dict");
    return MTL_OK;
}

/* Where the dict lies: 2 bytes of length in version 1, 4 in versions 2 and 3. */
static mtl_status find_header(const char *p, int64_t size, cursor *header, mtl_error *err)
{
    if (size < MAGIC_BYTES + 4 || memcmp(p, "\x93NUMPY", 6) != 0)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: not a .npy file");
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return MTL_FAIL(err, MTL_ERR_VERSION, "npy: version %d.%d is not read", (unsigned char)p[6],
                        (unsigned char)p[7]);
    int64_t start = p[6] == 1 ? MAGIC_BYTES + 2 : MAGIC_BYTES + 4;
    int64_t length = mtl__load_le32(p + MAGIC_BYTES);
    if (p[6] == 1)
        length &= 0xffff;
    if (length > size - start)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: the file ends inside its header");
    if (length > MAX_HEADER)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: a header of %lld bytes", (long long)length);
    *header = (cursor){p + start, p + start + length};
    return MTL_OK;
}

mtl_status mtl__npy_open(mtl__npy *in, const void *bytes, int64_t size, mtl_error *err)
{
    const char *p = bytes;
    mtl_status st;
    cursor header = {0};
    mtl__npy a = {0};
    int64_t want = 0, have;
    MTL_TRY(st, find_header(p, size, &header, err), fail);
    MTL_TRY(st, parse_header(&a, header, err), fail);
    have = p + size - header.end;
    /* Without elements the data would set no bound to the other dimension. */
    if (a.rows == 0 || a.cols == 0)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: the array is empty");
    if (!mtl__mul_size(a.rows, a.cols, &want) || !mtl__mul_size(want, a.type->size, &want) ||
        want != have)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "npy: %lld by %lld of '%s' in %lld bytes of data",
                        (long long)a.rows, (long long)a.cols, a.type->code, (long long)have);
    a.data = header.end;
    *in = a;
fail:
    return st;
}

int64_t mtl__npy_element_bytes(const mtl__npy *in)
{
    return in->type->size;
}

/* ---- elements ---- */

enum { BLOCK = 512 };

/* n elements from number `first` on, in the order of the file. */
static void read_block(const mtl__npy *in, int64_t first, int64_t n, float *out)
{
    char swapped[BLOCK * 8];
    int size = in->type->size;
    const char *from = in->data + first * size;
    if (size > 1 && in->big_endian != MTL__BIG_ENDIAN) {
        for (int64_t i = 0; i < n * size; i += size)
            for (int j = 0; j < size; j++)
                swapped[i + j] = from[i + size - 1 - j];
        from = swapped;
    }
    in->type->convert(from, n, out);
}

void mtl__npy_read(const mtl__npy *in, float *out, int64_t ld)
{
    float block[BLOCK];
    int64_t runs = in->fortran_order ? in->cols : in->rows;
    int64_t length = in->fortran_order ? in->rows : in->cols;
    int64_t run_step = in->fortran_order ? 1 : ld, step = in->fortran_order ? ld : 1;
    for (int64_t run = 0; run < runs; run++)
        for (int64_t i = 0; i < length; i += BLOCK) {
            int64_t n = mtl__min(BLOCK, length - i);
            read_block(in, run * length + i, n, block);
            for (int64_t j = 0; j < n; j++)
                out[run * run_step + (i + j) * step] = block[j];
        }
}

/* ---- writing ---- */

mtl_status mtl__npy_write(const char *path, int32_t rank, int64_t rows, int64_t cols,
                          const float *data, int64_t ld, const mtl__allocator *al, mtl_error *err)
{
    enum { HEADER = 128 }; /* a multiple of 64, as NumPy's own */
    char header[HEADER + 1], shape[64];
    mtl__file_out f;
    mtl_status st;
    assert((rank == 1 && cols == 1) || rank == 2);
    if (rank == 1)
        snprintf(shape, sizeof shape, "%lld,", (long long)rows);
    else
        snprintf(shape, sizeof shape, "%lld, %lld", (long long)rows, (long long)cols);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = HEADER - 10 */
    int n = snprintf(header + 10, sizeof header - 10,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape);
    memset(header + 10 + n, ' ', (size_t)(HEADER - 11 - n));
    header[HEADER - 1] = '\n';
    MTL_TRY(st, mtl__file_begin(&f, path, al, err), done);
    MTL_TRY(st, f.sink.put(&f.sink, header, HEADER, err), done);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < cols; i += BLOCK) {
            float block[BLOCK];
            int64_t part = mtl__min(BLOCK, cols - i);
            mtl__copy_le_f32(block, data + row * ld + i, part);
            MTL_TRY(st, f.sink.put(&f.sink, block, part * 4, err), done);
        }
    st = mtl__file_commit(&f, err);
done:
    mtl__file_end(&f);
    return st;
}
