/* SPDX-License-Identifier: MIT */
#include "io/json.h"

#include <time.h>

#include "testing.h"

/* Texts are checked in blocks of exactly their size, so that a sanitizer sees an over-read. */
static mtl_status check_exact(const char *text, size_t size, mtl_error *err)
{
    mtl__json root;
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    mtl_status st = mtl__json_check(copy, (int64_t)size, &mtl__allocator_default, &root, err);
    free(copy);
    return st;
}

/* A checked text, valid as long as `text`. */
static mtl__json parse(const char *text)
{
    mtl__json root;
    mtl_error err = {0};
    mtl_status st =
        mtl__json_check(text, (int64_t)strlen(text), &mtl__allocator_default, &root, &err);
    ck_assert_msg(st == MTL_OK, "%s: %s", text, err.message);
    return root;
}

static const char document[] =
    " { \"name\" : \"trunk.0\" , \"size\":[ 64,-3 ,0.5e1],\r\n\t\"deep\":{\"a\":{\"b\":[[],{}]}},"
    "\"yes\":true,\"no\":false,\"none\":null,\"\":\"empty\",\"t\\u0065xt\":\"a\\n\\\"\\u00e4\\ud83d"
    "\\ude00\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\\/\\\\\" } ";

START_TEST(takes_what_the_rfc_allows)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        " [ ] ",
                                        "0",
                                        "-0",
                                        "-0.0e-00",
                                        "1E+5",
                                        "10.25",
                                        "\"\"",
                                        "true",
                                        "false",
                                        "null",
                                        "\t\n\r 1 \t\n\r",
                                        "[1,[2,[3,{\"a\":[]}]]]",
                                        "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}",
                                        "\"\x7f\"",
                                        "\"\xf4\x8f\xbf\xbf\"",
                                        "\"\\ud800\\udc00\"",
                                        "\"\\uDBFF\\uDFFF\"",
                                        "\"\xed\x9f\xbf\xee\x80\x80\"",
                                        "123456789012345678901234567890",
                                        "1e999999",
                                        document};
    for (int64_t i = 0; i < MTL__COUNT_OF(texts); i++) {
        mtl_error err = {0};
        ck_assert_msg(check_exact(texts[i], strlen(texts[i]), &err) == MTL_OK, "%s: %s", texts[i],
                      err.message);
    }
}
END_TEST

START_TEST(refuses_everything_else)
{
    static const struct {
        const char *text;
        int at; /* the byte that the message names */
    } rows[] = {{"", 0},
                {" ", 1},
                {"x", 0},
                {"[1,]", 3},
                {"[,1]", 1},
                {"[1 2]", 3},
                {"[1", 2},
                {"[", 1},
                {"]", 0},
                {"{", 1},
                {"}", 0},
                {"{\"a\"}", 4},
                {"{\"a\":}", 5},
                {"{\"a\":1,}", 7},
                {"{,}", 1},
                {"{a:1}", 1},
                {"{1:1}", 1},
                {"{\"a\" 1}", 5},
                {"{\"a\":1 \"b\":2}", 7},
                {"[1}", 2},
                {"{\"a\":1]", 6},
                {"1 2", 2},
                {"{}{}", 2},
                {"01", 2},
                {"-", 1},
                {"+1", 0},
                {".5", 0},
                {"1.", 2},
                {"1.e5", 2},
                {"1e", 2},
                {"1e+", 3},
                {"-x", 1},
                {"0x10", 1},
                {"nan", 0},
                {"NaN", 0},
                {"inf", 0},
                {"Infinity", 0},
                {"tru", 0},
                {"truex", 4},
                {"True", 0},
                {"nul", 0},
                {"'a'", 0},
                {"\"", 1},
                {"\"a", 2},
                {"\"\\", 1},
                {"\"\\\"", 3},
                {"\"\\x\"", 1},
                {"\"\\u12\"", 1},
                {"\"\\u12g4\"", 1},
                {"\"\\u0000\"", 1},
                {"\"\n\"", 1},
                {"\"\x1f\"", 1},
                {"\"\\ud800\"", 1},
                {"\"\\ud800x\"", 1},
                {"\"\\ud800\\ue000\"", 1},
                {"\"\\ud800\\u0041\"", 1},
                {"\"\\udc00\"", 1},
                {"\"\\ud800\\ud800\"", 1},
                {"\"\\ud800\\\"", 1},
                {"\"\x80\"", 1},
                {"\"\xc0\xaf\"", 1},
                {"\"\xc1\xbf\"", 1},
                {"\"\xe0\x9f\xbf\"", 1},
                {"\"\xed\xa0\x80\"", 1},
                {"\"a\xc3\"", 2},
                {"\"\xf0\x8f\xbf\xbf\"", 1},
                {"\"\xf4\x90\x80\x80\"", 1},
                {"\"\xf5\x80\x80\x80\"", 1},
                {"\"\xff\"", 1},
                {"\"\xe2\x82\"", 1},
                {"\"\xe2\x82", 1},
                {"/* */1", 0},
                {"1//", 1},
                {"\xef\xbb\xbf{}", 0},
                {"{\"a\":1,\"a\":2}", 7},
                {"{\"a\":1,\"\\u0061\":2}", -1},
                {"[{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]", -1},
                {"[1,2\v]", 4},
                {"{\"a\":1,\"b\":1,\"\":1,\"\":2}", -1}};
    for (int64_t i = 0; i < MTL__COUNT_OF(rows); i++) {
        mtl_error err = {0};
        char at[40];
        ck_assert_msg(check_exact(rows[i].text, strlen(rows[i].text), &err) == MTL_ERR_FORMAT, "%s",
                      rows[i].text);
        snprintf(at, sizeof at, "byte %d:", rows[i].at);
        ck_assert_msg(rows[i].at < 0 || strstr(err.message, at), "%s: %s, not at %d", rows[i].text,
                      err.message, rows[i].at);
    }
    ck_assert_int_eq(check_exact("[1]\0", 4, NULL), MTL_ERR_FORMAT);
    ck_assert_int_eq(check_exact("\"a\0b\"", 5, NULL), MTL_ERR_FORMAT);
}
END_TEST

START_TEST(refuses_every_truncation)
{
    size_t size = strlen(document);
    while (document[size - 1] == ' ')
        size--;
    for (size_t n = 0; n < size; n++)
        ck_assert_int_eq(check_exact(document, n, NULL), MTL_ERR_FORMAT);
    ck_assert_int_eq(check_exact(document, size, NULL), MTL_OK);
}
END_TEST

START_TEST(bounds_the_depth)
{
    static char text[2 * 100000 + 1];
    for (int depth = MTL__JSON_DEPTH - 1; depth <= MTL__JSON_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        ck_assert_int_eq(check_exact(text, 2 * (size_t)depth, NULL),
                         depth <= MTL__JSON_DEPTH ? MTL_OK : MTL_ERR_FORMAT);
    }
    memset(text, '[', sizeof text);
    ck_assert_int_eq(check_exact(text, sizeof text, NULL), MTL_ERR_FORMAT);
}
END_TEST

START_TEST(finds_members_and_elements)
{
    mtl__json root = parse(document), v, key;
    int64_t i = 0;
    double x = 0;
    bool b = false;
    ck_assert_int_eq(mtl__json_type_of(root), MTL__JSON_OBJECT);
    ck_assert_int_eq(mtl__json_count(root), 8);
    ck_assert(mtl__json_is(mtl__json_member(root, "name"), "trunk.0"));
    ck_assert(mtl__json_is(mtl__json_member(root, ""), "empty"));
    ck_assert(mtl__json_is(mtl__json_member(root, "text"),
                           "a\n\"\xc3\xa4\xf0\x9f\x98\x80\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80/\\"));
    ck_assert(mtl__json_bool(mtl__json_member(root, "yes"), &b) && b);
    ck_assert(mtl__json_bool(mtl__json_member(root, "no"), &b) && !b);
    ck_assert_int_eq(mtl__json_type_of(mtl__json_member(root, "none")), MTL__JSON_NULL);

    mtl__json sizes = mtl__json_member(root, "size");
    ck_assert_int_eq(mtl__json_count(sizes), 3);
    mtl__json_iter it = mtl__json_iterate(sizes);
    ck_assert(mtl__json_next(&it, &key, &v) && mtl__json_i64(v, &i) && i == 64 && !key.s);
    ck_assert(mtl__json_next(&it, NULL, &v) && mtl__json_i64(v, &i) && i == -3);
    ck_assert(mtl__json_next(&it, NULL, &v) && !mtl__json_i64(v, &i) && mtl__json_f64(v, &x));
    ck_assert(x == 5 && i == -3 && !mtl__json_next(&it, NULL, &v));

    v = mtl__json_member(mtl__json_member(mtl__json_member(root, "deep"), "a"), "b");
    ck_assert_int_eq(mtl__json_count(v), 2);
    ck_assert_int_eq(mtl__json_count(mtl__json_member(root, "deep")), 1);
    ck_assert_int_eq(mtl__json_count(parse("[]")), 0);

    static const char *const keys[] = {"name", "size", "deep", "yes", "no", "none", "", "text"};
    it = mtl__json_iterate(root);
    for (int k = 0; mtl__json_next(&it, &key, &v); k++)
        ck_assert(mtl__json_is(key, keys[k]));
}
END_TEST

START_TEST(gives_nothing_for_what_is_not_there)
{
    mtl__json root = parse(document), none = {0}, v;
    int64_t i = 7;
    double x = 7;
    bool b = true;
    const char *s;
    ck_assert_ptr_null(mtl__json_member(root, "nam").s);
    ck_assert_ptr_null(mtl__json_member(root, "names").s);
    ck_assert_ptr_null(mtl__json_member(root, "b").s); /* only deeper down */
    ck_assert_ptr_null(mtl__json_member(mtl__json_member(root, "name"), "x").s);
    ck_assert_ptr_null(mtl__json_member(mtl__json_member(root, "size"), "64").s);
    ck_assert_ptr_null(mtl__json_member(none, "x").s);
    ck_assert_int_eq(mtl__json_type_of(none), MTL__JSON_NONE);
    mtl__json others[] = {none, root, mtl__json_member(root, "none")};
    for (int64_t k = 0; k < MTL__COUNT_OF(others); k++) {
        v = others[k];
        ck_assert(!mtl__json_i64(v, &i) && !mtl__json_f64(v, &x) && !mtl__json_bool(v, &b));
        ck_assert(!mtl__json_is(v, "") && mtl__json_string(v, NULL) == 0);
        ck_assert(!mtl__json_plain(v, &s, &i) && !mtl__json_strdup(v, &mtl__allocator_default));
    }
    ck_assert(!mtl__json_i64(mtl__json_member(root, "name"), &i));
    ck_assert(i == 7 && x == 7 && b);
}
END_TEST

START_TEST(reads_integers_and_doubles)
{
    int64_t i;
    double x;
    ck_assert(mtl__json_i64(parse("9223372036854775807"), &i) && i == INT64_MAX);
    ck_assert(mtl__json_i64(parse("-9223372036854775808"), &i) && i == INT64_MIN);
    ck_assert(!mtl__json_i64(parse("9223372036854775808"), &i));
    ck_assert(!mtl__json_i64(parse("1.0"), &i) && !mtl__json_i64(parse("1e2"), &i));
    ck_assert(mtl__json_f64(parse("0.1"), &x) && x == 0.1);
    ck_assert(mtl__json_f64(parse("1e999"), &x) && isinf(x));
    ck_assert(mtl__json_f64(parse("-0"), &x) && x == 0 && signbit(x));
}
END_TEST

START_TEST(copies_and_compares_strings)
{
    mtl__json a = parse("\"a\\u00e4\""), b = parse("\"a\xc3\xa4\""),
              c = parse("\"a\xc3\xa4\\u0001\"");
    const char *s;
    int64_t n;
    ck_assert_int_eq(mtl__json_compare(a, b), 0);
    ck_assert_int_lt(mtl__json_compare(a, c), 0);
    ck_assert_int_gt(mtl__json_compare(c, b), 0);
    ck_assert_int_eq(mtl__json_compare_text(a, "a\xc3\xa4"), 0);
    ck_assert_int_lt(mtl__json_compare_text(a, "a\xc3\xa4z"), 0);
    ck_assert_int_gt(mtl__json_compare_text(a, "a\xc3"), 0);
    ck_assert_int_gt(mtl__json_compare_text(a, ""), 0);
    ck_assert_int_lt(mtl__json_compare_text(a, "a\xff"), 0);
    /* UTF-8 order, not UTF-16 order */
    ck_assert_int_lt(mtl__json_compare(parse("\"\\uffff\""), parse("\"\\ud800\\udc00\"")), 0);
    ck_assert(mtl__json_plain(b, &s, &n) && n == 3 && s == b.s + 1);
    ck_assert(!mtl__json_plain(a, &s, &n));
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    char *copy = mtl__json_strdup(a, &al);
    ck_assert_str_eq(copy, "a\xc3\xa4");
    mtl__strfree(&al, copy);
    ck_assert_int_eq(m.live, 0);
}
END_TEST

START_TEST(names_what_is_missing_or_wrong)
{
    mtl__json root = parse("{\"n\":5,\"x\":0.5,\"s\":\"t\",\"b\":true,\"o\":{},\"null\":null}"), v;
    mtl_error err = {0};
    int64_t n = 0;
    double x = 0;
    bool b = false;
    char *s = NULL;
    const mtl__allocator *al = &mtl__allocator_default;
    assert_ok(mtl__json_get_i64(root, "n", 5, 5, &n, &err));
    assert_ok(mtl__json_get_f64(root, "x", &x, &err));
    assert_ok(mtl__json_get_bool(root, "b", &b, &err));
    assert_ok(mtl__json_get_string(root, "s", al, &s, &err));
    assert_ok(mtl__json_get(root, "o", MTL__JSON_OBJECT, &v, &err));
    ck_assert(n == 5 && x == 0.5 && b && strcmp(s, "t") == 0);
    mtl__strfree(al, s);
    assert_ok(mtl__json_get_f64(root, "null", &x, &err));
    ck_assert(isnan(x));
    assert_fails(mtl__json_get_i64(root, "n", 6, 9, &n, &err), MTL_ERR_FORMAT, &err, "from 6 to 9");
    assert_fails(mtl__json_get_i64(root, "n", 0, 4, &n, &err), MTL_ERR_FORMAT, &err, "\"n\"");
    assert_fails(mtl__json_get_i64(root, "x", 0, 4, &n, &err), MTL_ERR_FORMAT, &err, "an integer");
    assert_fails(mtl__json_get_i64(root, "s", 0, 4, &n, &err), MTL_ERR_FORMAT, &err,
                 "\"s\": expected a number, found a string");
    assert_fails(mtl__json_get_f64(root, "y", &x, &err), MTL_ERR_FORMAT, &err, "found nothing");
    assert_fails(mtl__json_get_bool(root, "n", &b, &err), MTL_ERR_FORMAT, &err, "a boolean");
    assert_fails(mtl__json_get_string(root, "o", al, &s, &err), MTL_ERR_FORMAT, &err, "a string");
    assert_fails(mtl__json_get(root, "n", MTL__JSON_ARRAY, &v, &err), MTL_ERR_FORMAT, &err,
                 "an array");
    ck_assert_int_eq(n, 5);
}
END_TEST

START_TEST(writes_what_it_reads)
{
    mtl__bytes b;
    static const char text[] = "\x01\x1f \"\\/\n\x7f\xc3\xa4\xf0\x9f\x98\x80";
    mtl__bytes_init(&b, &mtl__allocator_default);
    mtl__bytes_text(&b, "{");
    mtl__json_write_key(&b, "a\"b");
    mtl__json_write_string(&b, text);
    mtl__json_write_key(&b, "list");
    mtl__bytes_text(&b, "[");
    mtl__json_write_item(&b);
    mtl__json_write_i64(&b, INT64_MIN);
    mtl__json_write_item(&b);
    mtl__json_write_f64(&b, 0.1);
    mtl__json_write_item(&b);
    mtl__json_write_f64(&b, NAN);
    mtl__json_write_item(&b);
    mtl__json_write_f64(&b, -INFINITY);
    mtl__json_write_item(&b);
    mtl__json_write_bool(&b, true);
    mtl__bytes_text(&b, "]");
    mtl__json_write_key(&b, "empty");
    mtl__bytes_text(&b, "{}");
    mtl__json_write_key(&b, "ends with [");
    mtl__json_write_string(&b, "[");
    mtl__json_write_key(&b, "last");
    mtl__json_write_bool(&b, false);
    mtl__bytes_text(&b, "}");
    mtl__bytes_append(&b, "", 1);
    ck_assert_str_eq(b.p,
                     "{\"a\\\"b\":\"\\u0001\\u001f \\\"\\\\/\\u000a\x7f\xc3\xa4\xf0\x9f\x98\x80\","
                     "\"list\":[-9223372036854775808,0.1,null,-1e999,true],\"empty\":{},"
                     "\"ends with [\":\"[\",\"last\":false}");
    ck_assert(mtl__json_is(mtl__json_member(parse(b.p), "a\"b"), text));
    mtl__bytes_free(&b);
}
END_TEST

START_TEST(knows_utf8)
{
    ck_assert(mtl__utf8_is_valid("a\xc3\xa4\xf4\x8f\xbf\xbf", 7) && mtl__utf8_is_valid("", 0));
    ck_assert(!mtl__utf8_is_valid("\xc3", 1) && !mtl__utf8_is_valid("a\0b", 3));
    /* every two-byte sequence against the definition */
    for (int a = 0; a < 256; a++)
        for (int c = 0; c < 256; c++) {
            char s[2] = {(char)a, (char)c};
            bool want = (a > 0 && a < 0x80 && c > 0 && c < 0x80) ||
                        (a >= 0xc2 && a <= 0xdf && c >= 0x80 && c <= 0xbf);
            ck_assert_int_eq(mtl__utf8_is_valid(s, 2), want);
        }
}
END_TEST

static mtl_status check_document(void *arg)
{
    mtl__json root;
    mtl_error err = {0};
    mtl_status st = mtl__json_check(document, sizeof document - 1, arg, &root, &err);
    char *copy = NULL;
    if (st == MTL_OK)
        st = mtl__json_get_string(root, "name", arg, &copy, &err);
    mtl__strfree(arg, copy);
    return st;
}

START_TEST(leaves_nothing_behind_when_memory_is_short)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    ck_assert_int_eq(sweep_allocations(&m, check_document, &al), 2);
}
END_TEST

static size_t largest; /* of the blocks asked for */

static void *count_alloc(size_t bytes, size_t align, void *user)
{
    (void)user;
    largest = bytes > largest ? bytes : largest;
    return aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void count_free(void *p, size_t bytes, size_t align, void *user)
{
    (void)bytes, (void)align, (void)user;
    free(p);
}

/* What a hostile text can make us take and do: memory below its size, time n log n. */
START_TEST(stays_small_and_quick_on_hostile_texts)
{
    enum { N = 200000 };
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    mtl__bytes b;
    mtl__json root;
    mtl__bytes_init(&b, &mtl__allocator_default);
    mtl__bytes_text(&b, "{");
    for (int i = 0; i < N; i++) { /* descending, with long common beginnings */
        char key[32];
        snprintf(key, sizeof key, "%09d", N - i);
        mtl__json_write_key(&b, key);
        mtl__bytes_text(&b, "\"::::::::::::\"");
    }
    mtl__bytes_text(&b, "}");
    double start = (double)clock() / CLOCKS_PER_SEC;
    assert_ok(mtl__json_check(b.p, b.size, &al, &root, NULL));
    ck_assert_double_lt((double)clock() / CLOCKS_PER_SEC - start, 5);
    ck_assert_int_eq(m.calls, 1);
    ck_assert_int_eq(mtl__json_count(root), N);
    ck_assert(mtl__json_member(root, "000000001").s != NULL);
    /* the last key again: found among all */
    b.size--;
    mtl__json_write_key(&b, "000100000");
    mtl__bytes_text(&b, "1}");
    mtl_error err = {0};
    assert_fails(mtl__json_check(b.p, b.size, &al, &root, &err), MTL_ERR_FORMAT, &err, "twice");
    mtl__bytes_free(&b);

    /* colons in strings are no keys: nothing may be taken for them */
    static char colons[100000];
    memset(colons, ':', sizeof colons);
    colons[0] = colons[sizeof colons - 1] = '"';
    largest = 0;
    mtl__allocator counting = {count_alloc, count_free, NULL};
    ck_assert_int_eq(mtl__json_check(colons, sizeof colons, &counting, &root, NULL), MTL_OK);
    ck_assert_uint_eq(largest, 1);
    assert_status(mtl__json_check(colons, MTL__JSON_MAX + 1, &al, &root, NULL), MTL_ERR_FORMAT);
}
END_TEST

START_TEST(sorts_strings)
{
    mtl__bytes b;
    uint32_t at[1000];
    uint64_t x = 1;
    mtl__bytes_init(&b, &mtl__allocator_default);
    for (int i = 0; i < 1000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        char text[16];
        snprintf(text, sizeof text, "%x", (unsigned)(x >> 44) % 700); /* some are equal */
        at[i] = (uint32_t)b.size;
        mtl__json_write_string(&b, text);
    }
    for (int n = 0; n <= 1000; n += n < 20 ? 1 : 245) {
        mtl__json_sort(b.p, b.p + b.size, at, n);
        for (int i = 1; i < n; i++) {
            mtl__json p = {b.p + at[i - 1], b.p + b.size}, q = {b.p + at[i], b.p + b.size};
            ck_assert_int_le(mtl__json_compare(p, q), 0);
        }
    }
    uint64_t sum = 0; /* still the same thousand */
    for (int i = 0; i < 1000; i++)
        sum += at[i];
    uint64_t want = 0;
    for (uint32_t i = 0, k = 0; i < (uint32_t)b.size; i++)
        if (b.p[i] == '"' && k++ % 2 == 0)
            want += i;
    ck_assert_uint_eq(sum, want);
    mtl__bytes_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    add_case(s, "takes what the RFC allows", takes_what_the_rfc_allows);
    add_case(s, "refuses everything else", refuses_everything_else);
    add_case(s, "refuses every truncation", refuses_every_truncation);
    add_case(s, "bounds the depth", bounds_the_depth);
    add_case(s, "finds members and elements", finds_members_and_elements);
    add_case(s, "gives nothing for what is not there", gives_nothing_for_what_is_not_there);
    add_case(s, "reads integers and doubles", reads_integers_and_doubles);
    add_case(s, "copies and compares strings", copies_and_compares_strings);
    add_case(s, "names what is missing or wrong", names_what_is_missing_or_wrong);
    add_case(s, "writes what it reads", writes_what_it_reads);
    add_case(s, "knows UTF-8", knows_utf8);
    add_case(s, "leaves nothing when memory is short", leaves_nothing_behind_when_memory_is_short);
    add_case(s, "stays small and quick", stays_small_and_quick_on_hostile_texts);
    add_case(s, "sorts strings", sorts_strings);
    return run_suite(s);
}
