/* SPDX-License-Identifier: MIT */
#include "io/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "io/byteorder.h"
#include "io/crc32c.h"

/* Where the tensors start is a multiple of this, so that a reader may use them in place. The length
   of the header is the first 8 bytes of the file. */
enum { DATA_ALIGN = 64, LENGTH_BYTES = 8, SUM_DIGITS = 8 };

static const char metadata_key[] = "__metadata__";
static const char checksum_key[] = "mtl.checksum";
/* Stands in for the checksum while the sum is made. */
static const char no_sum[SUM_DIGITS + 1] = "00000000";

static void sum_text(uint32_t crc, char text[SUM_DIGITS + 1])
{
    for (int i = 0; i < SUM_DIGITS; i++)
        text[i] = "0123456789abcdef"[crc >> (28 - 4 * i) & 15];
    text[SUM_DIGITS] = '\0';
}

/* "[2, 3]" for messages. */
typedef struct shape_text {
    char text[96];
} shape_text;

static shape_text show_shape(int32_t rank, const int64_t *shape)
{
    shape_text t;
    int at = snprintf(t.text, sizeof t.text, "[");
    for (int32_t i = 0; i < rank; i++)
        at += snprintf(t.text + at, sizeof t.text - (size_t)at, "%s%lld", i ? ", " : "",
                       (long long)shape[i]);
    snprintf(t.text + at, sizeof t.text - (size_t)at, "]");
    return t;
}

/* The product of the dimensions, if that many floats can exist. */
static bool count_floats(int32_t rank, const int64_t *shape, int64_t *count)
{
    int64_t bytes;
    *count = 1;
    for (int32_t i = 0; i < rank; i++)
        if (!mtl__mul_size(*count, shape[i], count))
            return false;
    return mtl__mul_size(*count, 4, &bytes);
}

/* ---- writing ---- */

static mtl_status write_entry(mtl__bytes *b, const mtl__tensor *t, int64_t *offset, mtl_error *err)
{
    int64_t count, end;
    if (t->rank < 0 || t->rank > MTL__TENSOR_RANK || !count_floats(t->rank, t->shape, &count) ||
        !mtl__add_size(*offset, count * 4, &end) || (t->rank == 2 && t->ld < t->shape[1]))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "tensor \"%s\" of rank %d cannot be written", t->name,
                        (int)t->rank);
    mtl__json_write_key(b, t->name);
    mtl__bytes_text(b, "{");
    mtl__json_write_key(b, "dtype");
    mtl__json_write_string(b, "F32");
    mtl__json_write_key(b, "shape");
    mtl__bytes_text(b, "[");
    for (int32_t i = 0; i < t->rank; i++) {
        mtl__json_write_item(b);
        mtl__json_write_i64(b, t->shape[i]);
    }
    mtl__bytes_text(b, "]");
    mtl__json_write_key(b, "data_offsets");
    mtl__bytes_format(b, "[%lld,%lld]}", (long long)*offset, (long long)end);
    *offset = end;
    return MTL_OK;
}

/* The file up to the tensors' data; *sum_at is where the checksum goes, *total the file's size. */
static mtl_status write_header(mtl__bytes *b, const mtl__safetensors_out *what, int64_t *sum_at,
                               int64_t *total, mtl_error *err)
{
    int64_t offset = 0;
    mtl__bytes_append(b, no_sum, LENGTH_BYTES);
    mtl__bytes_text(b, "{");
    mtl__json_write_key(b, metadata_key);
    mtl__bytes_text(b, "{");
    mtl__json_write_key(b, checksum_key);
    *sum_at = b->size + 1;
    mtl__json_write_string(b, no_sum);
    for (int64_t i = 0; i < what->text_count; i++) {
        mtl__json_write_key(b, what->texts[i].key);
        mtl__json_write_string(b, what->texts[i].value);
    }
    mtl__bytes_text(b, "}");
    for (int64_t i = 0; i < what->tensor_count; i++) {
        mtl_status st = write_entry(b, &what->tensors[i], &offset, err);
        if (st != MTL_OK)
            return st;
    }
    mtl__bytes_text(b, "}");
    while (!b->failed && b->size % DATA_ALIGN)
        mtl__bytes_text(b, " ");
    if (b->failed)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the header of the file");
    mtl__store_le64(b->p, (uint64_t)(b->size - LENGTH_BYTES));
    if (!mtl__add_size(b->size, offset, total))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "the tensors are too large for a file");
    return MTL_OK;
}

static mtl_status put_floats(mtl__sink *sink, const float *p, int64_t n, mtl_error *err)
{
    if (!MTL__BIG_ENDIAN)
        return sink->put(sink, p, n * 4, err);
    for (int64_t i = 0; i < n; i++) {
        char bytes[4];
        mtl_status st;
        mtl__copy_le_f32(bytes, p + i, 1);
        if ((st = sink->put(sink, bytes, 4, err)) != MTL_OK)
            return st;
    }
    return MTL_OK;
}

/* A tensor as `rows` runs of `cols` floats, `ld` apart. */
typedef struct runs {
    int64_t rows, cols, ld;
} runs;

static runs runs_of(const mtl__tensor *t)
{
    int64_t count = 0;
    count_floats(t->rank, t->shape, &count);
    if (t->rank == 2 && count > 0 && t->ld > t->shape[1])
        return (runs){t->shape[0], t->shape[1], t->ld};
    return (runs){count > 0, count, count};
}

static mtl_status write_file(mtl__sink *sink, const mtl__bytes *header,
                             const mtl__safetensors_out *what, mtl_error *err)
{
    mtl_status st = sink->put(sink, header->p, header->size, err);
    for (int64_t i = 0; i < what->tensor_count && st == MTL_OK; i++) {
        const mtl__tensor *t = &what->tensors[i];
        runs r = runs_of(t);
        for (int64_t row = 0; row < r.rows && st == MTL_OK; row++)
            st = put_floats(sink, t->data + row * r.ld, r.cols, err);
    }
    return st;
}

typedef struct sum_sink {
    mtl__sink sink;
    uint32_t crc;
} sum_sink;

static mtl_status sum_put(mtl__sink *sink, const void *p, int64_t size, mtl_error *err)
{
    sum_sink *s = (sum_sink *)sink;
    (void)err;
    s->crc = mtl__crc32c(s->crc, p, size);
    return MTL_OK;
}

typedef struct memory_sink {
    mtl__sink sink;
    char *at;
} memory_sink;

static mtl_status memory_put(mtl__sink *sink, const void *p, int64_t size, mtl_error *err)
{
    memory_sink *s = (memory_sink *)sink;
    (void)err;
    if (size > 0)
        memcpy(s->at, p, (size_t)size);
    s->at += size;
    return MTL_OK;
}

/* The whole file but for the tensors, checksum included: the tensors are gone through once for the
   sum and once for the file, and never copied. */
static mtl_status make_header(mtl__bytes *b, const mtl__safetensors_out *what, int64_t *total,
                              const mtl__allocator *al, mtl_error *err)
{
    mtl_status st;
    int64_t sum_at;
    mtl__json root;
    char text[SUM_DIGITS + 1];
    sum_sink sum = {{sum_put}, 0};
    MTL_TRY(st, write_header(b, what, &sum_at, total, err), done);
    /* What the reader would refuse is not written: names twice, text that is no UTF-8. */
    MTL_TRY(st, mtl__json_check(b->p + LENGTH_BYTES, b->size - LENGTH_BYTES, al, &root, err), done);
    MTL_TRY(st, write_file(&sum.sink, b, what, err), done);
    sum_text(sum.crc, text);
    memcpy(b->p + sum_at, text, SUM_DIGITS);
done:
    return st;
}

mtl_status mtl__safetensors_write(const mtl__safetensors_out *what, const char *path,
                                  const mtl__allocator *al, mtl_error *err)
{
    mtl_status st;
    int64_t total;
    mtl__bytes header;
    mtl__file_out file;
    mtl__bytes_init(&header, al);
    MTL_TRY(st, make_header(&header, what, &total, al, err), done);
    MTL_TRY(st, mtl__file_begin(&file, path, al, err), end);
    MTL_TRY(st, write_file(&file.sink, &header, what, err), end);
    st = mtl__file_commit(&file, err);
end:
    mtl__file_end(&file);
done:
    mtl__bytes_free(&header);
    return st;
}

mtl_status mtl__safetensors_write_buffer(const mtl__safetensors_out *what, const mtl__allocator *al,
                                         void **buffer, int64_t *size, mtl_error *err)
{
    mtl_status st;
    int64_t total;
    mtl__bytes header;
    mtl__bytes_init(&header, al);
    MTL_TRY(st, make_header(&header, what, &total, al, err), done);
    memory_sink memory = {{memory_put}, mtl__buffer_alloc(al, total)};
    if (!memory.at) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld bytes", (long long)total);
        goto done;
    }
    *buffer = memory.at;
    *size = total;
    st = write_file(&memory.sink, &header, what, err);
done:
    mtl__bytes_free(&header);
    return st;
}

/* ---- reading ---- */

/* Name of a tensor or key in the file, short enough for a message and without control characters,
   which come as \u escapes in JSON. */
typedef struct name_text {
    char text[64];
} name_text;

static name_text show_name(mtl__json name)
{
    name_text t = {""};
    const char *s = name.s + 1;
    size_t n = 0;
    while (n < sizeof t.text - 8 && s[n] != '"')
        n += s[n] == '\\' ? 2 : 1;
    if (s[n] != '"')
        while (n > 0 && (s[n] & 0xc0) == 0x80)
            n--;
    memcpy(t.text, s, n);
    if (s[n] != '"')
        memcpy(t.text + n, "...", 4);
    return t;
}

static mtl_status bad_tensor(mtl_error *err, mtl__json name, const char *what)
{
    return MTL_FAIL(err, MTL_ERR_FORMAT, "tensor \"%s\": %s", show_name(name).text, what);
}

/* Up to `max` integers >= 0 from a JSON array; -1 when it is anything else. */
static int32_t read_integers(mtl__json v, int64_t *out, int32_t max)
{
    mtl__json_iter it = mtl__json_iterate(v);
    mtl__json value;
    int32_t n = 0;
    if (mtl__json_type_of(v) != MTL__JSON_ARRAY)
        return -1;
    for (; mtl__json_next(&it, NULL, &value); n++)
        if (n == max || !mtl__json_i64(value, &out[n]) || out[n] < 0)
            return -1;
    return n;
}

/* An entry of the header. offsets: of its first byte and behind its last, in the data. */
static mtl_status read_entry(mtl__json name, mtl__json v, mtl__tensor_info *t, int64_t offsets[2],
                             mtl_error *err)
{
    mtl__json dtype = mtl__json_member(v, "dtype"), shape = mtl__json_member(v, "shape");
    mtl__json data_offsets = mtl__json_member(v, "data_offsets");
    *t = (mtl__tensor_info){.name = name};
    if (mtl__json_type_of(v) != MTL__JSON_OBJECT || mtl__json_count(v) != 3 || !dtype.s ||
        !shape.s || !data_offsets.s)
        return bad_tensor(err, name, "expected an object of dtype, shape and data_offsets");
    if (!mtl__json_is(dtype, "F32"))
        return bad_tensor(err, name, "dtype is not F32, the only one that is read");
    t->rank = read_integers(shape, t->shape, MTL__TENSOR_RANK);
    if (t->rank < 0)
        return bad_tensor(err, name, "shape is not a list of up to 4 sizes");
    if (read_integers(data_offsets, offsets, 2) != 2 || offsets[0] > offsets[1])
        return bad_tensor(err, name, "data_offsets are not two ascending offsets");
    if (!count_floats(t->rank, t->shape, &t->count) || t->count * 4 != offsets[1] - offsets[0])
        return bad_tensor(err, name, "shape and data_offsets do not agree");
    return MTL_OK;
}

/* The bytes of a tensor, as offsets in the data. */
typedef struct extent {
    int64_t begin, end;
} extent;

static bool extent_less(const extent *a, const extent *b)
{
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
}

static void sift_extent(extent *a, int64_t root, int64_t n)
{
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && extent_less(&a[child], &a[child + 1]))
            child++;
        if (!extent_less(&a[root], &a[child]))
            return;
        extent swap = a[root];
        a[root] = a[child];
        a[child] = swap;
    }
}

static void sort_extents(extent *a, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_extent(a, i, n);
    for (int64_t i = n - 1; i > 0; i--) {
        extent swap = a[0];
        a[0] = a[i];
        a[i] = swap;
        sift_extent(a, 0, i);
    }
}

/* Laid end to end in some order, the tensors are the data: no hole, no overlap, nothing behind. */
static mtl_status check_extents(extent *a, int64_t n, int64_t data_size, mtl_error *err)
{
    int64_t at = 0;
    bool sorted = true;
    for (int64_t i = 1; i < n && sorted; i++)
        sorted = !extent_less(&a[i], &a[i - 1]);
    if (!sorted)
        sort_extents(a, n);
    for (int64_t i = 0; i < n; i++) {
        if (a[i].begin != at)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "tensors %s at byte %lld of the data",
                            a[i].begin < at ? "overlap" : "leave a hole", (long long)at);
        at = a[i].end;
    }
    if (at != data_size)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the tensors take %lld bytes, the file has %lld",
                        (long long)at, (long long)data_size);
    return MTL_OK;
}

static mtl_status check_entries(mtl__safetensors *in, extent *extents, int64_t data_size,
                                mtl_error *err)
{
    mtl__json_iter it = mtl__json_iterate(in->header);
    mtl__json name, value;
    int64_t n = 0;
    while (mtl__json_next(&it, &name, &value)) {
        mtl__tensor_info t;
        int64_t offsets[2];
        if (mtl__json_is(name, metadata_key))
            continue;
        mtl_status st = read_entry(name, value, &t, offsets, err);
        if (st != MTL_OK)
            return st;
        extents[n] = (extent){offsets[0], offsets[1]};
        in->names[n++] = (uint32_t)(name.s - in->header.s);
    }
    mtl__json_sort(in->header.s, in->header.end, in->names, n);
    return check_extents(extents, n, data_size, err);
}

static mtl_status index_tensors(mtl__safetensors *in, int64_t data_size, mtl_error *err)
{
    mtl_status st;
    int64_t n = in->tensor_count;
    extent *extents = mtl__alloc_array(in->al, n, sizeof *extents);
    in->names = mtl__alloc_array(in->al, n, sizeof *in->names);
    if (extents && in->names)
        st = check_entries(in, extents, data_size, err);
    else
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of %lld tensors", (long long)n);
    mtl__free(in->al, extents, n * (int64_t)sizeof *extents);
    return st;
}

static mtl_status check_texts(const mtl__safetensors *in, mtl_error *err)
{
    mtl__json_iter it = mtl__json_iterate(in->texts);
    mtl__json key, value;
    if (in->texts.s && mtl__json_type_of(in->texts) != MTL__JSON_OBJECT)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "__metadata__ is not an object");
    while (mtl__json_next(&it, &key, &value))
        if (mtl__json_type_of(value) != MTL__JSON_STRING)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "__metadata__: \"%s\" is not a string",
                            show_name(key).text);
    return MTL_OK;
}

/* The sum of all bytes of the file, the eight digits of the sum taken as zeros. */
static mtl_status check_sum(const mtl__safetensors *in, const char *bytes, int64_t size,
                            bool need_checksum, mtl_error *err)
{
    const char *digits;
    int64_t n;
    char text[SUM_DIGITS + 1];
    mtl__json v = mtl__safetensors_text(in, checksum_key);
    if (!v.s && !need_checksum)
        return MTL_OK;
    if (!v.s)
        return MTL_FAIL(err, MTL_ERR_CHECKSUM, "the file has no checksum");
    if (!mtl__json_plain(v, &digits, &n) || n != SUM_DIGITS)
        return MTL_FAIL(err, MTL_ERR_CHECKSUM, "the checksum is not of eight hexadecimal digits");
    uint32_t crc = mtl__crc32c(0, bytes, digits - bytes);
    crc = mtl__crc32c(crc, no_sum, SUM_DIGITS);
    crc = mtl__crc32c(crc, digits + SUM_DIGITS, bytes + size - (digits + SUM_DIGITS));
    sum_text(crc, text);
    if (memcmp(text, digits, SUM_DIGITS) != 0)
        return MTL_FAIL(err, MTL_ERR_CHECKSUM,
                        "the contents do not match their checksum: the file is damaged");
    return MTL_OK;
}

static mtl_status find_header(const char *bytes, int64_t size, int64_t *header, mtl_error *err)
{
    uint64_t length = size >= LENGTH_BYTES ? mtl__load_le64(bytes) : 0;
    if (size < LENGTH_BYTES || length > (uint64_t)(size - LENGTH_BYTES))
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the file ends before its header does");
    if (length > (uint64_t)MTL__JSON_MAX)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the header has %llu bytes, more than the limit",
                        (unsigned long long)length);
    if (length == 0 || bytes[LENGTH_BYTES] != '{')
        return MTL_FAIL(err, MTL_ERR_FORMAT, "not a safetensors file: the header is no object");
    *header = (int64_t)length;
    return MTL_OK;
}

mtl_status mtl__safetensors_open(mtl__safetensors *in, const void *bytes, int64_t size,
                                 bool need_checksum, const mtl__allocator *al, mtl_error *err)
{
    mtl_status st;
    const char *p = bytes;
    int64_t length = 0;
    mtl__safetensors s = {.al = al};
    MTL_TRY(st, find_header(p, size, &length, err), fail);
    MTL_TRY(st, mtl__json_check(p + LENGTH_BYTES, length, al, &s.header, err), fail);
    s.data = p + LENGTH_BYTES + length;
    s.texts = mtl__json_member(s.header, metadata_key);
    s.tensor_count = mtl__json_count(s.header) - (s.texts.s != NULL);
    MTL_TRY(st, check_texts(&s, err), fail);
    MTL_TRY(st, check_sum(&s, p, size, need_checksum, err), fail);
    MTL_TRY(st, index_tensors(&s, p + size - s.data, err), fail);
    *in = s;
    return MTL_OK;
fail:
    mtl__safetensors_close(&s);
    return st;
}

void mtl__safetensors_close(mtl__safetensors *in)
{
    mtl__free(in->al, in->names, in->tensor_count * (int64_t)sizeof *in->names);
    in->names = NULL;
    in->tensor_count = 0;
}

mtl__json mtl__safetensors_text(const mtl__safetensors *in, const char *key)
{
    return mtl__json_member(in->texts, key);
}

mtl__tensor_info mtl__safetensors_at(const mtl__safetensors *in, int64_t i)
{
    mtl__tensor_info t;
    mtl__json name, value;
    int64_t offsets[2] = {0};
    assert(i >= 0 && i < in->tensor_count);
    mtl__json_iter it = {in->header.s + in->names[i], in->header.end, true};
    mtl__json_next(&it, &name, &value);
    read_entry(name, value, &t, offsets, NULL); /* was right when the file was opened */
    t.data = in->data + offsets[0];
    return t;
}

bool mtl__safetensors_find(const mtl__safetensors *in, const char *name, mtl__tensor_info *out)
{
    int64_t low = 0, high = in->tensor_count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        mtl__json at = {in->header.s + in->names[middle], in->header.end};
        int order = mtl__json_compare_text(at, name);
        if (order == 0) {
            *out = mtl__safetensors_at(in, middle);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

mtl_status mtl__safetensors_read(const mtl__safetensors *in, const mtl__tensor *tensors,
                                 int64_t count, mtl_error *err)
{
    mtl__tensor_info info;
    for (int64_t i = 0; i < count; i++) {
        const mtl__tensor *t = &tensors[i];
        if (!mtl__safetensors_find(in, t->name, &info))
            return MTL_FAIL(err, MTL_ERR_FORMAT, "tensor \"%s\" is not in the file", t->name);
        if (info.rank != t->rank ||
            memcmp(info.shape, t->shape, (size_t)t->rank * sizeof t->shape[0]) != 0)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "tensor \"%s\": expected %s, the file has %s",
                            t->name, show_shape(t->rank, t->shape).text,
                            show_shape(info.rank, info.shape).text);
    }
    for (int64_t i = 0; i < count; i++) {
        const mtl__tensor *t = &tensors[i];
        mtl__safetensors_find(in, t->name, &info);
        runs r = runs_of(t);
        for (int64_t row = 0; row < r.rows; row++)
            mtl__copy_le_f32(t->data + row * r.ld, info.data + row * r.cols * 4, r.cols);
    }
    return MTL_OK;
}
