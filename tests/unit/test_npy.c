/* SPDX-License-Identifier: MIT */
#include "io/npy.h"

#include "testing.h"

static const mtl__allocator *const plain = &mtl__allocator_default;

typedef struct loaded {
    void *bytes;
    int64_t size;
    mtl__npy npy;
} loaded;

static mtl_status load(const char *name, loaded *l, mtl_error *err)
{
    char file[64], path[512];
    snprintf(file, sizeof file, "npy/%s.npy", name);
    assert_ok(mtl__file_read(data_path(file, path, sizeof path), 1 << 20, plain, &l->bytes,
                             &l->size, NULL));
    mtl_status st = mtl__npy_open(&l->npy, l->bytes, l->size, err);
    if (st != MTL_OK)
        mtl__free(plain, l->bytes, l->size);
    return st;
}

static void check_values(const char *name, int32_t rank, int64_t rows, int64_t cols,
                         const float *want)
{
    loaded l;
    mtl_error err = {0};
    mtl_status st = load(name, &l, &err);
    ck_assert_msg(st == MTL_OK, "%s: %s", name, err.message);
    ck_assert_int_eq(l.npy.rank, rank);
    ck_assert_int_eq(l.npy.rows, rows);
    ck_assert_int_eq(l.npy.cols, cols);
    float out[64];
    int64_t ld = cols + 2; /* what lies between the rows is not ours */
    for (int64_t i = 0; i < 64; i++)
        out[i] = -77;
    mtl__npy_read(&l.npy, out, ld);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < ld; c++) {
            float v = out[r * ld + c], w = c < cols ? want[r * cols + c] : -77;
            ck_assert_msg(memcmp(&v, &w, sizeof v) == 0 || (isnan(v) && isnan(w)),
                          "%s [%d, %d]: %a, not %a", name, (int)r, (int)c, (double)v, (double)w);
        }
    ck_assert(out[rows * ld] == -77);
    mtl__free(plain, l.bytes, l.size);
}

START_TEST(reads_each_type_and_order)
{
    static const float ramp[] = {-2, -1, 0, 1, 2, 3}, high[] = {250, 251, 252, 253, 254, 255},
                       bits[] = {0, 1, 0, 1, 0, 1};
    static const struct {
        const char *name;
        const float *values;
    } rows[] = {{"le_f4", ramp}, {"be_f4", ramp}, {"le_f8", ramp}, {"be_f8", ramp},
                {"le_i4", ramp}, {"be_i4", ramp}, {"le_i8", ramp}, {"be_i8", ramp},
                {"i1", ramp},    {"u1", high},    {"b1", bits}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_c", rows[i].name);
        check_values(name, 2, 2, 3, rows[i].values);
        snprintf(name, sizeof name, "%s_fortran", rows[i].name);
        check_values(name, 2, 2, 3, rows[i].values);
    }
}
END_TEST

START_TEST(reads_each_version_and_layout)
{
    static const float ramp[] = {0, 1, 2, 3, 4, 5}, zero[6] = {0};
    check_values("version2", 2, 2, 3, ramp);
    check_values("version3", 2, 2, 3, ramp);
    check_values("odd_layout", 2, 2, 3, zero);
    check_values("rank1", 1, 3, 1, (float[]){1.5f, NAN, -INFINITY});
}
END_TEST

START_TEST(rounds_to_nearest)
{
    check_values("rounded_f8", 2, 1, 5, (float[]){0.1f, 1, 1 + 0x1p-23f, INFINITY, 0});
    check_values("rounded_i8", 1, 4, 1, (float[]){0x1p24f, 0x1p24f + 4, -0x1p63f, 0x1p63f});
}
END_TEST

START_TEST(refuses_the_rest_with_a_reason)
{
    static const struct {
        const char *name, *message;
    } rows[] = {{"bad_object", "Python objects"},
                {"bad_structured", "structured"},
                {"bad_f2", "'<f2'"},
                {"bad_complex", "'<c8'"},
                {"bad_text", "'<U1'"},
                {"bad_rank0", "single number"},
                {"bad_rank3", "more than two dimensions"},
                {"bad_empty", "empty"},
                {"bad_magic", "not a .npy"},
                {"bad_version", "version 4.0"},
                {"bad_short", "2 by 3 of 'f4' in 23 bytes"},
                {"bad_long", "in 25 bytes"},
                {"bad_twice", "'shape', unknown or twice"},
                {"bad_unknown_key", "'x'"},
                {"bad_missing_key", "missing"},
                {"bad_order", "neither True nor False"},
                {"bad_negative", "malformed shape"},
                {"bad_tuple", "malformed shape"},
                {"bad_shape", "malformed shape"},
                {"bad_overflow", "4611686018427387905 by 4"},
                {"bad_huge", "malformed shape"},
                {"bad_no_order_mark", "'|f4'"},
                {"bad_behind", "behind the header"},
                {"bad_open", "malformed shape"}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        loaded l;
        mtl_error err = {0};
        mtl_status want = strcmp(rows[i].name, "bad_version") ? MTL_ERR_FORMAT : MTL_ERR_VERSION;
        ck_assert_msg(load(rows[i].name, &l, &err) == want, "%s", rows[i].name);
        assert_message(&err, rows[i].message);
    }
}
END_TEST

/* In blocks of exactly the size, so that a sanitizer sees a byte read too far. */
static mtl_status open_copy(const char *bytes, int64_t size)
{
    mtl__npy npy;
    char *copy = malloc(size > 0 ? (size_t)size : 1);
    memcpy(copy, bytes, (size_t)size);
    mtl_status st = mtl__npy_open(&npy, copy, size, NULL);
    if (st == MTL_OK) {
        float *out = malloc((size_t)(npy.rows * npy.cols) * sizeof *out);
        mtl__npy_read(&npy, out, npy.cols);
        free(out);
    }
    free(copy);
    return st;
}

START_TEST(refuses_truncation_and_survives_bit_flips)
{
    static const char *const names[] = {"le_f4_c", "be_f8_fortran", "version3", "rank1"};
    for (int64_t k = 0; k < MTL__COUNT_OF(names); k++) {
        loaded l;
        assert_ok(load(names[k], &l, NULL));
        for (int64_t n = 0; n < l.size; n++)
            ck_assert_int_ne(open_copy(l.bytes, n), MTL_OK);
        int opened = 0;
        char *bytes = l.bytes;
        for (int64_t bit = 0; bit < l.size * 8; bit++) {
            bytes[bit / 8] ^= (char)(1 << bit % 8);
            opened += open_copy(bytes, l.size) == MTL_OK;
            bytes[bit / 8] ^= (char)(1 << bit % 8);
        }
        ck_assert_int_gt(opened, 0); /* flips in the data */
        ck_assert_int_lt(opened, (int)(l.size - 64) * 8);
        mtl__free(plain, l.bytes, l.size);
    }
}
END_TEST

START_TEST(bounds_the_header)
{
    static char file[12 + 10001] = "xNUMPY\2";
    mtl_error err = {0};
    mtl__npy npy;
    file[0] = '\x93';
    memcpy(file + 8, "\x11\x27\0\0", 4); /* 10001 */
    assert_fails(mtl__npy_open(&npy, file, sizeof file, &err), MTL_ERR_FORMAT, &err, "10001 bytes");
    memcpy(file + 8, "\xff\xff\xff\xff", 4);
    assert_fails(mtl__npy_open(&npy, file, sizeof file, &err), MTL_ERR_FORMAT, &err,
                 "inside its header");
}
END_TEST

/* Larger than the blocks it is read by, in both orders, against a plain loop. */
START_TEST(reads_large_arrays)
{
    enum { ROWS = 1200, COLS = 700 };
    static float out[ROWS * COLS], back[ROWS * COLS];
    char header[200];
    for (int fortran = 0; fortran < 2; fortran++) {
        int n = snprintf(header, sizeof header,
                         "xNUMPY\1.xx{'descr':'>i4','fortran_order':%s,"
                         "'shape':(%d,%d)}",
                         fortran ? "True" : "False", ROWS, COLS);
        header[0] = '\x93';
        header[7] = 0;
        header[8] = (char)(n - 10);
        header[9] = 0;
        size_t size = (size_t)n + sizeof out;
        unsigned char *file = malloc(size);
        memcpy(file, header, (size_t)n);
        for (uint32_t i = 0; i < ROWS * COLS; i++)
            for (int j = 0; j < 4; j++)
                file[(uint32_t)n + 4 * i + (uint32_t)j] = (unsigned char)(i >> (24 - 8 * j));
        mtl__npy npy;
        assert_ok(mtl__npy_open(&npy, file, (int64_t)size, NULL));
        mtl__npy_read(&npy, out, COLS);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++)
                back[r * COLS + c] = (float)(fortran ? c * ROWS + r : r * COLS + c);
        ck_assert(memcmp(out, back, sizeof out) == 0);
        free(file);
    }
}
END_TEST

START_TEST(writes_what_numpy_writes)
{
    static const char *const names[] = {"le_f4_c", "rank1"};
    static const float slice[] = {-2, -1, 0, 9, 1, 2, 3, 9};
    const float vector[] = {1.5f, NAN, -INFINITY};
    temp_file f = temp_file_make("", 0);
    for (int k = 0; k < 2; k++) {
        loaded l;
        void *bytes;
        int64_t size;
        assert_ok(load(names[k], &l, NULL));
        assert_ok(k == 0 ? mtl__npy_write(f.path, 2, 2, 3, slice, 4, plain, NULL)
                         : mtl__npy_write(f.path, 1, 3, 1, vector, 1, plain, NULL));
        assert_ok(mtl__file_read(f.path, 1000, plain, &bytes, &size, NULL));
        ck_assert(size == l.size && memcmp(bytes, l.bytes, (size_t)size) == 0);
        mtl__free(plain, bytes, size);
        mtl__free(plain, l.bytes, l.size);
    }
    mtl_error err = {0};
    assert_fails(mtl__npy_write("/nowhere/x.npy", 2, 2, 3, slice, 4, plain, &err), MTL_ERR_IO, &err,
                 "/nowhere/x.npy");
    unlink(f.path);
}
END_TEST

static mtl_status write_one(void *arg)
{
    static const float data[] = {1, 2};
    char path[] = "/tmp/mtl_test_npy_XXXXXX";
    int fd = mkstemp(path);
    close(fd);
    mtl_status st = mtl__npy_write(path, 2, 1, 2, data, 2, arg, NULL);
    unlink(path);
    return st;
}

START_TEST(leaves_nothing_behind_when_memory_is_short)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    ck_assert_int_eq(sweep_allocations(&m, write_one, &al), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("npy");
    add_case(s, "reads each type and order", reads_each_type_and_order);
    add_case(s, "reads each version and layout", reads_each_version_and_layout);
    add_case(s, "rounds to nearest", rounds_to_nearest);
    add_case(s, "refuses the rest with a reason", refuses_the_rest_with_a_reason);
    add_case(s, "refuses truncation, survives bit flips",
             refuses_truncation_and_survives_bit_flips);
    add_case(s, "bounds the header", bounds_the_header);
    add_case(s, "reads large arrays", reads_large_arrays);
    add_case(s, "writes what NumPy writes", writes_what_numpy_writes);
    add_case(s, "leaves nothing when memory is short", leaves_nothing_behind_when_memory_is_short);
    return run_suite(s);
}
