/* SPDX-License-Identifier: MIT */
#include "io/safetensors.h"

#include <time.h>

#include "io/byteorder.h"
#include "io/crc32c.h"
#include "testing.h"

static const mtl__allocator *const plain = &mtl__allocator_default;

/* ---- a small file with all that can be in one ---- */

enum { BIG_ROWS = 4, BIG_COLS = 6 };

static float big[BIG_ROWS * BIG_COLS], vector[5], scalar[1], cube[12];

/* Tensor 2 and 3 are slices of the columns of `big`. */
static void sample(mtl__tensor t[6])
{
    t[0] = (mtl__tensor){"trunk.0.weight", 2, {BIG_ROWS, 2}, big, BIG_COLS};
    t[1] = (mtl__tensor){"trunk.0.bias", 1, {5}, vector, 0};
    t[2] = (mtl__tensor){"head.\xc3\xa4\"\\\n.weight", 2, {BIG_ROWS, 3}, big + 3, BIG_COLS};
    t[3] = (mtl__tensor){"scalar", 0, {0}, scalar, 0};
    t[4] = (mtl__tensor){"none", 2, {0, 7}, NULL, 7};
    t[5] = (mtl__tensor){"cube", 4, {1, 2, 3, 2}, cube, 0};
}

static const mtl__text_pair texts[] = {
    {"mtl.format", "1"}, {"mtl.spec", "{\"layers\":[64,64]}"}, {"\xe2\x82\xac", ""}};

static void fill(float *p, int64_t n, float first)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = first + (float)i;
}

static void fill_all(void)
{
    fill(big, BIG_ROWS * BIG_COLS, 1);
    fill(vector, 5, 0.5f);
    fill(scalar, 1, -7);
    fill(cube, 12, 1000);
}

typedef struct file {
    char *p;
    int64_t size;
} file;

static file write_sample(void)
{
    mtl__tensor t[6];
    file f;
    void *p;
    fill_all();
    sample(t);
    mtl__safetensors_out what = {t, 6, texts, 3};
    assert_ok(mtl__safetensors_write_buffer(&what, plain, &p, &f.size, NULL));
    f.p = p;
    return f;
}

/* ---- the checksum, made in the simplest way ---- */

static uint32_t slow_crc(const char *p, int64_t n)
{
    uint32_t crc = UINT32_MAX;
    for (int64_t i = 0; i < n; i++) {
        crc ^= (unsigned char)p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static char *find_sum(const char *p, int64_t size)
{
    static const char key[] = "\"mtl.checksum\":\"";
    char *at = memmem(p, (size_t)size, key, sizeof key - 1);
    return at && at - p + (int64_t)sizeof key + 8 < size ? at + sizeof key - 1 : NULL;
}

/* Make the checksum right again, as an attacker would. */
static void repair(char *p, int64_t size)
{
    char *at = find_sum(p, size), digits[9];
    if (!at)
        return;
    memset(at, '0', 8);
    snprintf(digits, sizeof digits, "%08x", slow_crc(p, size));
    memcpy(at, digits, 8);
}

/* Open a copy of exactly this size, so that a sanitizer sees a byte read too far, and look at all
   that is in it. */
static mtl_status open_copy(const char *p, int64_t size, bool need_checksum, mtl_error *err)
{
    mtl__safetensors in;
    char *copy = malloc(size ? (size_t)size : 1);
    memcpy(copy, p, (size_t)size);
    mtl_status st = mtl__safetensors_open(&in, copy, size, need_checksum, plain, err);
    if (st == MTL_OK) {
        int64_t bytes = 0;
        for (int64_t i = 0; i < in.tensor_count; i++) {
            mtl__tensor_info t = mtl__safetensors_at(&in, i), same;
            char *name = mtl__json_strdup(t.name, plain);
            ck_assert(t.data >= in.data && t.count * 4 <= copy + size - t.data);
            ck_assert(mtl__safetensors_find(&in, name, &same) && same.data == t.data);
            mtl__strfree(plain, name);
            bytes += t.count * 4;
        }
        ck_assert_int_eq(bytes, copy + size - in.data);
        mtl__safetensors_close(&in);
    }
    free(copy);
    return st;
}

/* ---- tests ---- */

START_TEST(sums_as_castagnoli_said)
{
    static char p[1000];
    ck_assert_uint_eq(mtl__crc32c(0, "123456789", 9), 0xe3069283u);
    for (int i = 0; i < 1000; i++)
        p[i] = (char)(i * i * 7 >> 2);
    for (int n = 0; n < 1000; n++)
        ck_assert_uint_eq(mtl__crc32c(0, p + n % 8, n - n % 8), slow_crc(p + n % 8, n - n % 8));
    for (int n = 0; n <= 40; n++)
        ck_assert_uint_eq(mtl__crc32c(mtl__crc32c(0, p, n), p + n, 40 - n), slow_crc(p, 40));
    memset(p, 0, 32); /* RFC 3720, B.4 */
    ck_assert_uint_eq(mtl__crc32c(0, p, 32), 0x8a9136aau);
}
END_TEST

START_TEST(writes_these_very_bytes)
{
    float w[] = {1, 2, 3, 4};
    mtl__tensor t = {"w", 2, {2, 1}, w, 2};
    mtl__text_pair text = {"k", "v"};
    mtl__safetensors_out what = {&t, 1, &text, 1};
    void *p;
    int64_t size;
    assert_ok(mtl__safetensors_write_buffer(&what, plain, &p, &size, NULL));
    static const char header[] =
        "{\"__metadata__\":{\"mtl.checksum\":\"00000000\",\"k\":\"v\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}";
    char want[192 + 8] = {0};
    memset(want, ' ', 128);
    memcpy(want, "\x78\0\0\0\0\0\0\0", 8); /* 128 - 8 */
    memcpy(want + 8, header, sizeof header - 1);
    memcpy(want + 128, "\0\0\x80\x3f\0\0\x40\x40", 8); /* 1 and 3 */
    repair(want, 136);
    ck_assert_int_eq(size, 136);
    ck_assert_mem_eq(p, want, 136);
    mtl__buffer_free(p);
}
END_TEST

START_TEST(gives_back_what_was_written)
{
    file f = write_sample();
    mtl__safetensors in;
    mtl__tensor t[6];
    float kept[BIG_ROWS * BIG_COLS];
    assert_ok(mtl__safetensors_open(&in, f.p, f.size, true, plain, NULL));
    ck_assert_int_eq((in.data - f.p) % 64, 0);
    ck_assert_int_eq(in.tensor_count, 6);
    sample(t);
    memcpy(kept, big, sizeof big);
    memset(big, 0xff, sizeof big); /* what lies between the slices stays as it is */
    memset(vector, 0, sizeof vector);
    memset(scalar, 0, sizeof scalar);
    memset(cube, 0, sizeof cube);
    assert_ok(mtl__safetensors_read(&in, t, 6, NULL));
    for (int i = 0; i < BIG_ROWS * BIG_COLS; i++) {
        int col = i % BIG_COLS;
        bool read = col < 2 || (col >= 3 && col < 6);
        ck_assert(read ? big[i] == kept[i] : isnan(big[i]));
    }
    ck_assert(vector[0] == 0.5f && vector[4] == 4.5f && scalar[0] == -7);
    ck_assert(cube[0] == 1000 && cube[11] == 1011);
    for (int i = 0; i < 3; i++)
        ck_assert(mtl__json_is(mtl__safetensors_text(&in, texts[i].key), texts[i].value));
    ck_assert_ptr_null(mtl__safetensors_text(&in, "mtl.specs").s);
    mtl__tensor_info info;
    ck_assert(mtl__safetensors_find(&in, "cube", &info));
    ck_assert(info.rank == 4 && info.shape[2] == 3 && info.count == 12);
    ck_assert(!mtl__safetensors_find(&in, "cub", &info));
    ck_assert(!mtl__safetensors_find(&in, "__metadata__", &info));
    for (int64_t i = 0; i + 1 < in.tensor_count; i++)
        ck_assert_int_lt(mtl__json_compare(mtl__safetensors_at(&in, i).name,
                                           mtl__safetensors_at(&in, i + 1).name),
                         0);
    mtl__safetensors_close(&in);
    mtl__buffer_free(f.p);
}
END_TEST

START_TEST(holds_nothing_at_all)
{
    mtl__safetensors_out what = {NULL, 0, NULL, 0};
    mtl__safetensors in;
    void *p;
    int64_t size;
    assert_ok(mtl__safetensors_write_buffer(&what, plain, &p, &size, NULL));
    ck_assert_int_eq(size, 64);
    assert_ok(mtl__safetensors_open(&in, p, size, true, plain, NULL));
    ck_assert_int_eq(in.tensor_count, 0);
    mtl__safetensors_close(&in);
    mtl__buffer_free(p);
    /* as other programs write it */
    assert_ok(open_copy("\2\0\0\0\0\0\0\0{}", 10, false, NULL));
}
END_TEST

START_TEST(writes_files_like_buffers)
{
    file f = write_sample();
    mtl__tensor t[6];
    void *p;
    int64_t size;
    mtl_error err = {0};
    temp_file temp = temp_file_make("old", 3);
    sample(t);
    mtl__safetensors_out what = {t, 6, texts, 3};
    assert_ok(mtl__safetensors_write(&what, temp.path, plain, NULL));
    assert_ok(mtl__file_read(temp.path, 1 << 20, plain, &p, &size, NULL));
    ck_assert(size == f.size && memcmp(p, f.p, (size_t)size) == 0);
    mtl__free(plain, p, size);
    unlink(temp.path);
    assert_fails(mtl__safetensors_write(&what, "/nowhere/m.mtl", plain, &err), MTL_ERR_IO, &err,
                 "/nowhere/m.mtl");
    mtl__buffer_free(f.p);
}
END_TEST

START_TEST(opens_in_another_program)
{
    char script[512], command[1200], line[200];
    const char *folder = getenv("MTL_TEST_DATA");
    if (!folder || system("command -v python3 >/dev/null 2>&1") != 0)
        return; /* no judge here */
    snprintf(script, sizeof script, "%s/../unit/read_safetensors.py", folder);
    mtl__tensor t[6];
    temp_file temp = temp_file_make("", 0);
    fill_all();
    sample(t);
    t[2].name = "head.\xc3\xa4\"\\.weight"; /* of one line */
    mtl__safetensors_out what = {t, 6, texts, 3};
    assert_ok(mtl__safetensors_write(&what, temp.path, plain, NULL));
    snprintf(command, sizeof command, "PYTHONIOENCODING=utf-8 python3 '%s' '%s'", script,
             temp.path);
    static const char *const want[] = {"text mtl.format=1\n",
                                       "text mtl.spec={\"layers\":[64,64]}\n",
                                       "text \xe2\x82\xac=\n",
                                       "tensor trunk.0.weight [4, 2] 84\n",
                                       "tensor trunk.0.bias [5] 12.5\n",
                                       "tensor head.\xc3\xa4\"\\.weight [4, 3] 168\n",
                                       "tensor scalar [] -7\n",
                                       "tensor none [0, 7] 0\n",
                                       "tensor cube [1, 2, 3, 2] 12066\n"};
    FILE *judge = popen(command, "r");
    for (int i = 0; i < 9; i++) {
        ck_assert_ptr_nonnull(fgets(line, sizeof line, judge));
        ck_assert_str_eq(line, want[i]);
    }
    ck_assert_int_eq(pclose(judge), 0);
    unlink(temp.path);
}
END_TEST

START_TEST(refuses_every_truncation_and_every_extra_byte)
{
    file f = write_sample();
    char *longer = malloc((size_t)f.size + 1);
    memcpy(longer, f.p, (size_t)f.size);
    longer[f.size] = 0;
    for (int64_t n = 0; n < f.size; n++) {
        mtl_error err = {0};
        memcpy(longer, f.p, (size_t)f.size);
        ck_assert_int_ne(open_copy(longer, n, true, &err), MTL_OK);
        ck_assert_int_ne(err.message[0], 0);
        repair(longer, n);
        ck_assert_int_eq(open_copy(longer, n, true, NULL), MTL_ERR_FORMAT);
    }
    memcpy(longer, f.p, (size_t)f.size);
    repair(longer, f.size + 1);
    ck_assert_int_eq(open_copy(longer, f.size + 1, true, NULL), MTL_ERR_FORMAT);
    free(longer);
    mtl__buffer_free(f.p);
}
END_TEST

START_TEST(refuses_every_flipped_bit)
{
    file f = write_sample();
    for (int64_t bit = 0; bit < 8 * f.size; bit++) {
        mtl_error err = {0};
        f.p[bit / 8] ^= (char)(1 << bit % 8);
        mtl_status st = open_copy(f.p, f.size, true, &err);
        ck_assert_msg(st == MTL_ERR_CHECKSUM || st == MTL_ERR_FORMAT, "bit %d of byte %d",
                      (int)(bit % 8), (int)(bit / 8));
        ck_assert_int_ne(err.message[0], 0);
        f.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    mtl__buffer_free(f.p);
}
END_TEST

/* With the checksum repaired a flip is found by the rules of the format, or gives another file that
   is sound. open_copy() looks at all of it. */
START_TEST(survives_flips_with_a_right_checksum)
{
    file f = write_sample();
    char *copy = malloc((size_t)f.size);
    int sound = 0;
    for (int64_t bit = 0; bit < 8 * f.size; bit++) {
        memcpy(copy, f.p, (size_t)f.size);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        repair(copy, f.size);
        sound += open_copy(copy, f.size, true, NULL) == MTL_OK;
    }
    ck_assert_int_gt(sound, 24 * 4 * 8); /* all flips of the data, some of names */
    ck_assert_int_lt(sound, 8 * (int)f.size * 3 / 4);
    free(copy);
    mtl__buffer_free(f.p);
}
END_TEST

/* A file with this header and so many bytes of data, no checksum. */
static mtl_status open_header(const char *header, int64_t data, mtl_error *err)
{
    int64_t n = (int64_t)strlen(header), size = 8 + n + data;
    char *p = calloc(1, (size_t)size);
    mtl__store_le64(p, (uint64_t)n);
    memcpy(p + 8, header, (size_t)n);
    mtl_status st = open_copy(p, size, false, err);
    free(p);
    return st;
}

#define ENTRY(name, dtype, shape, offsets)                                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

START_TEST(takes_sound_headers_of_others)
{
    static const struct {
        const char *header;
        int64_t data;
    } rows[] = {
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "}", 4},
        {"{" ENTRY("a", "F32", "[]", "[0,4]") "}   ", 4},
        {"{" ENTRY("b", "F32", "[1]", "[4,8]") "," ENTRY("a", "F32", "[1]", "[0,4]") "}", 8},
        {"{" ENTRY("b", "F32", "[0]", "[4,4]") "," ENTRY("a", "F32", "[1]", "[0,4]") "}", 4},
        {"{" ENTRY("b", "F32", "[0]", "[0,0]") "," ENTRY("a", "F32", "[1]", "[0,4]") "}", 4},
        {"{\"__metadata__\":{}," ENTRY("", "F32", "[2,3,1,1]", "[0,24]") "}", 24},
        {"{\"__metadata__\":{\"a\":\"\\u00e4\",\"b\":\"\"}}", 0},
        {"{\"a\":{\"data_offsets\":[0,4],\"shape\":[1],\"dtype\":\"F32\"}}", 4},
    };
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        mtl_error err = {0};
        ck_assert_msg(open_header(rows[i].header, rows[i].data, &err) == MTL_OK, "%s: %s",
                      rows[i].header, err.message);
    }
}
END_TEST

START_TEST(refuses_unsound_headers_with_a_reason)
{
    static const struct {
        const char *header;
        int64_t data;
        const char *message;
    } rows[] = {
        {"", 4, "no object"},
        {" {}", 0, "no object"},
        {"[]", 0, "no object"},
        {"{}x", 0, "JSON at byte 2"},
        {"{}", 1, "take 0 bytes, the file has 1"},
        {"{\"a\":1}", 0, "tensor \"a\": expected an object"},
        {"{\"a\":{}}", 0, "tensor \"a\": expected an object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4,
         "an object of"},
        {"{" ENTRY("a", "F16", "[2]", "[0,4]") "}", 4, "tensor \"a\": dtype is not F32"},
        {"{" ENTRY("a", "f32", "[1]", "[0,4]") "}", 4, "dtype"},
        {"{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{" ENTRY("a", "F32", "[1,1,1,1,1]", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "[-1]", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "[1.0]", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "[18446744073709551617]", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "{}", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "\"1\"", "[0,4]") "}", 4, "shape is not"},
        {"{" ENTRY("a", "F32", "[1]", "[0]") "}", 4, "data_offsets are not"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4,4]") "}", 4, "data_offsets are not"},
        {"{" ENTRY("a", "F32", "[1]", "[4,0]") "}", 4, "data_offsets are not"},
        {"{" ENTRY("a", "F32", "[1]", "[-4,0]") "}", 4, "data_offsets are not"},
        {"{" ENTRY("a", "F32", "[2]", "[0,4]") "}", 4, "do not agree"},
        {"{" ENTRY("a", "F32", "[0]", "[0,4]") "}", 4, "do not agree"},
        /* products that wrap to 1, to 0 and past 2^63 only when the 4 comes in */
        {"{" ENTRY("a", "F32", "[4294967297,4294967295,4611686018427387905]", "[0,4]") "}", 4,
         "do not agree"},
        {"{" ENTRY("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "do not agree"},
        {"{" ENTRY("a", "F32", "[4611686018427387905]", "[0,4]") "}", 4, "do not agree"},
        {"{" ENTRY("a", "F32", "[1]", "[4,8]") "}", 8, "leave a hole at byte 0"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "}", 8, "take 4 bytes, the file has 8"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 4, "take 8 bytes, the file has 4"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[0,4]") "}", 4,
         "overlap"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F32", "[1]", "[4,8]") "}", 8,
         "overlap"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[8,12]") "}", 12,
         "hole"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[0]", "[2,2]") "}", 4,
         "overlap"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("a", "F32", "[1]", "[4,8]") "}", 8,
         "twice"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("\\u0061", "F32", "[1]", "[4,8]") "}", 8,
         "twice"},
        /* a long name is cut between characters */
        {"{\"x0123456789012345678901234567890123456789012345678901234"
         "\xc3\xa4\xc3\xa4\":1}",
         0, "1234...\": expected an object"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":null}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "\"k\" is not a string"},
        {"{\"__metadata__\":{\"mtl.checksum\":\"0\"}}", 0, "eight hexadecimal digits"},
        {"{\"__metadata__\":{\"mtl.checksum\":\"\\u0030000000\"}}", 0, "eight hexadecimal digits"},
        {"{\"__metadata__\":{\"mtl.checksum\":\"ABCDEF01\"}}", 0, "do not match"},
    };
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        mtl_error err = {0};
        mtl_status st = open_header(rows[i].header, rows[i].data, &err);
        ck_assert_msg(st == MTL_ERR_FORMAT || st == MTL_ERR_CHECKSUM, "%s", rows[i].header);
        ck_assert_msg(strstr(err.message, rows[i].message) != NULL, "%s: %s", rows[i].header,
                      err.message);
    }
}
END_TEST

START_TEST(bounds_the_length_of_the_header)
{
    static const uint64_t lengths[] = {3,         100000001,  UINT64_C(1) << 31, UINT64_C(1) << 32,
                                       INT64_MAX, UINT64_MAX, UINT64_MAX - 7,    UINT64_C(1) << 63};
    for (int64_t i = 0; i < MTL__COUNT_OF(lengths); i++) {
        char p[10] = "........{}";
        mtl_error err = {0};
        mtl__store_le64(p, lengths[i]);
        assert_fails(open_copy(p, 10, false, &err), MTL_ERR_FORMAT, &err, "ends before its header");
    }
    /* Long enough, but over the limit of the format: refused before the header is looked at. */
    char p[16] = "........{";
    mtl__safetensors in;
    mtl_error err = {0};
    mtl__store_le64(p, 100000001);
    assert_fails(mtl__safetensors_open(&in, p, 200000000, false, plain, &err), MTL_ERR_FORMAT, &err,
                 "100000001 bytes, more than the limit");
    for (int n = 0; n < 8; n++)
        ck_assert_int_eq(open_copy("\0\0\0\0\0\0\0\0", n, false, NULL), MTL_ERR_FORMAT);
}
END_TEST

START_TEST(wants_a_checksum_only_when_told)
{
    static const char header[] = "{\"__metadata__\":{\"mtl.format\":\"1\"}}";
    char p[8 + sizeof header - 1];
    mtl_error err = {0};
    mtl__store_le64(p, sizeof header - 1);
    memcpy(p + 8, header, sizeof header - 1);
    assert_ok(open_copy(p, sizeof p, false, NULL));
    assert_fails(open_copy(p, sizeof p, true, &err), MTL_ERR_CHECKSUM, &err, "no checksum");
}
END_TEST

START_TEST(reads_all_tensors_or_none)
{
    file f = write_sample();
    mtl__safetensors in;
    mtl__tensor t[6];
    mtl_error err = {0};
    assert_ok(mtl__safetensors_open(&in, f.p, f.size, true, plain, NULL));
    sample(t);
    fill(vector, 5, 77);
    t[0] = t[1]; /* the bias first, then what fails */
    t[1].name = "trunk.1.bias";
    assert_fails(mtl__safetensors_read(&in, t, 2, &err), MTL_ERR_FORMAT, &err,
                 "\"trunk.1.bias\" is not in the file");
    sample(t);
    t[0] = t[1];
    t[2].shape[1] = 2;
    assert_fails(mtl__safetensors_read(&in, t, 3, &err), MTL_ERR_FORMAT, &err,
                 "expected [4, 2], the file has [4, 3]");
    t[2] = (mtl__tensor){"cube", 3, {1, 2, 3}, cube, 0};
    assert_fails(mtl__safetensors_read(&in, t, 3, &err), MTL_ERR_FORMAT, &err,
                 "expected [1, 2, 3], the file has [1, 2, 3, 2]");
    ck_assert(vector[0] == 77 && vector[4] == 81);
    mtl__safetensors_close(&in);
    mtl__buffer_free(f.p);
}
END_TEST

START_TEST(writes_nothing_that_it_would_refuse)
{
    float w[4] = {0};
    mtl__tensor same[] = {{"w", 1, {1}, w, 0}, {"w", 1, {1}, w, 0}};
    mtl__tensor latin = {"\xe4", 1, {1}, w, 0}, narrow = {"w", 2, {2, 3}, w, 2};
    mtl__tensor huge = {"w", 2, {INT64_C(1) << 31, INT64_C(1) << 31}, w, INT64_C(1) << 31};
    mtl__tensor minus = {"w", 1, {-1}, w, 0}, deep = {"w", 5, {1}, w, 0};
    mtl__tensor large[] = {{"a", 1, {INT64_C(1) << 60}, w, 0},
                           {"b", 1, {(INT64_C(1) << 60) - 1}, w, 0}};
    mtl__text_pair twice[] = {{"a", "1"}, {"a", "2"}}, sum = {"mtl.checksum", "1"};
    mtl__safetensors_out rows[] = {{same, 2, NULL, 0},  {&latin, 1, NULL, 0}, {&narrow, 1, NULL, 0},
                                   {&huge, 1, NULL, 0}, {&minus, 1, NULL, 0}, {&deep, 1, NULL, 0},
                                   {large, 2, NULL, 0}, {NULL, 0, twice, 2},  {NULL, 0, &sum, 1}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        void *p;
        int64_t size;
        mtl_error err = {0};
        mtl_status st = mtl__safetensors_write_buffer(&rows[i], plain, &p, &size, &err);
        ck_assert_int_eq(st, i >= 2 && i <= 6 ? MTL_ERR_SHAPE : MTL_ERR_FORMAT);
    }
}
END_TEST

static mtl_status write_and_open(void *arg)
{
    mtl__tensor t[6];
    mtl__safetensors in;
    void *p;
    int64_t size;
    temp_file temp = temp_file_make("old", 3);
    sample(t);
    mtl__safetensors_out what = {t, 6, texts, 3};
    mtl_error err = {0};
    mtl_status st = mtl__safetensors_write(&what, temp.path, arg, &err);
    unlink(temp.path);
    if (st != MTL_OK || (st = mtl__safetensors_write_buffer(&what, arg, &p, &size, &err)) != MTL_OK)
        return st;
    st = mtl__safetensors_open(&in, p, size, true, arg, &err);
    if (st == MTL_OK)
        mtl__safetensors_close(&in);
    mtl__buffer_free(p);
    return st;
}

START_TEST(leaves_nothing_behind_when_memory_is_short)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    fill_all();
    ck_assert_int_ge(sweep_allocations(&m, write_and_open, &al), 8);
}
END_TEST

/* ---- hostile files: memory below 2 x size + 64 KiB less the file itself, time n log n ---- */

static struct {
    long long live, peak;
} meter;

static void *meter_alloc(size_t bytes, size_t align, void *user)
{
    (void)user;
    meter.live += (long long)bytes;
    if (meter.live > meter.peak)
        meter.peak = meter.live;
    return aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void meter_free(void *p, size_t bytes, size_t align, void *user)
{
    (void)align, (void)user;
    meter.live -= (long long)bytes;
    free(p);
}

START_TEST(stays_small_and_quick_on_hostile_files)
{
    enum { N = 100000 };
    mtl__allocator al = {meter_alloc, meter_free, NULL};
    for (int kind = 0; kind < 3; kind++) {
        mtl__bytes b;
        mtl__bytes_init(&b, plain);
        mtl__bytes_append(&b, "........{", 9);
        for (int i = 0; i < N; i++) {
            /* many short tensors in every order but the right one; empty ones; many texts */
            static const char *const forms[] = {
                "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
                "%s\"%d\":\"\""};
            int at = (int)((int64_t)i * 7919 % N) * 4;
            if (kind == 2 && i == 0)
                mtl__bytes_text(&b, "\"__metadata__\":{");
            mtl__bytes_format(&b, forms[kind], i ? "," : "", i, at, at + 4);
        }
        mtl__bytes_text(&b, kind == 2 ? "}}" : "}");
        mtl__store_le64(b.p, (uint64_t)(b.size - 8));
        static const char zeros[1000];
        for (int i = 0; kind == 0 && i < N * 4; i += 1000)
            mtl__bytes_append(&b, zeros, 1000);
        mtl__safetensors in;
        mtl_error err = {0};
        meter.live = meter.peak = 0;
        double start = (double)clock() / CLOCKS_PER_SEC;
        mtl_status st = mtl__safetensors_open(&in, b.p, b.size, false, &al, &err);
        ck_assert_msg(st == MTL_OK, "%s", err.message);
        ck_assert_int_eq(in.tensor_count, kind == 2 ? 0 : N);
        mtl__safetensors_close(&in);
        ck_assert_double_lt((double)clock() / CLOCKS_PER_SEC - start, 5);
        ck_assert_int_lt(meter.peak, b.size + 65536);
        ck_assert_int_eq(meter.live, 0);
        mtl__bytes_free(&b);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    add_case(s, "sums as Castagnoli said", sums_as_castagnoli_said);
    add_case(s, "writes these very bytes", writes_these_very_bytes);
    add_case(s, "gives back what was written", gives_back_what_was_written);
    add_case(s, "holds nothing at all", holds_nothing_at_all);
    add_case(s, "writes files like buffers", writes_files_like_buffers);
    add_case(s, "opens in another program", opens_in_another_program);
    add_case(s, "refuses truncation", refuses_every_truncation_and_every_extra_byte);
    add_case(s, "refuses every flipped bit", refuses_every_flipped_bit);
    add_case(s, "survives flips with a right checksum", survives_flips_with_a_right_checksum);
    add_case(s, "takes sound headers of others", takes_sound_headers_of_others);
    add_case(s, "refuses unsound headers", refuses_unsound_headers_with_a_reason);
    add_case(s, "bounds the length of the header", bounds_the_length_of_the_header);
    add_case(s, "wants a checksum only when told", wants_a_checksum_only_when_told);
    add_case(s, "reads all tensors or none", reads_all_tensors_or_none);
    add_case(s, "writes nothing it would refuse", writes_nothing_that_it_would_refuse);
    add_case(s, "leaves nothing when memory is short", leaves_nothing_behind_when_memory_is_short);
    add_case(s, "stays small and quick", stays_small_and_quick_on_hostile_files);
    return run_suite(s);
}
