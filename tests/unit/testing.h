/* SPDX-License-Identifier: MIT */
/* What the Check suites share: the main function, an allocator that counts and fails on demand, and
   comparisons with a useful message. */
#ifndef MTL_TESTING_H
#define MTL_TESTING_H

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/error.h"
#include "mem/alloc.h"

/* ---- Suites -------------------------------------------------------------------------------- */

/* One test case per behaviour: its name says what holds. Give the test as START_TEST named it. */
static inline void add_case(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 300); /* meson has the tighter ones, which know of load */
    tcase_add_test(tc, test);
    suite_add_tcase(s, tc);
}

/* The result of main(). Check itself honours CK_FORK and CK_RUN_CASE; MTL_TEST_TAP=1 gives TAP. */
static inline int run_suite(Suite *s)
{
    SRunner *sr = srunner_create(s);
    if (getenv("MTL_TEST_TAP"))
        srunner_set_tap(sr, "-");
    srunner_run_all(sr, getenv("MTL_TEST_TAP") ? CK_SILENT : CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- Comparisons --------------------------------------------------------------------------- */

#define assert_status(call, expected)                                                              \
    do {                                                                                           \
        mtl_status status_ = (call), expected_ = (expected);                                       \
        ck_assert_msg(status_ == expected_, "%s gave %s, not %s", #call,                           \
                      mtl__status_name(status_), mtl__status_name(expected_));                     \
    } while (0)

#define assert_ok(call) assert_status(call, MTL_OK)

/* The failure's message holds a text, such as a figure or a name. */
#define assert_message(err, part)                                                                  \
    ck_assert_msg(strstr((err)->message, (part)) != NULL, "\"%s\" is not in \"%s\"", (part),       \
                  (err)->message)

/* The call fails with this status and a message that has this text. */
#define assert_fails(call, expected, err, part)                                                    \
    do {                                                                                           \
        *(err) = (mtl_error){0};                                                                   \
        assert_status(call, expected);                                                             \
        assert_message(err, part);                                                                 \
        *(err) = (mtl_error){0};                                                                   \
    } while (0)

/* Equal bit for bit, NaN payloads included. */
static inline void assert_same_bits(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(memcmp(&a[i], &b[i], sizeof *a) == 0, "element %lld: %a and %a", (long long)i,
                      (double)a[i], (double)b[i]);
}

/* |a - b| <= tolerance * max(1, |b|), or both NaN. */
#define assert_near(a, b, tolerance)                                                               \
    do {                                                                                           \
        double a_ = (a), b_ = (b), t_ = (tolerance)*fmax(1, fabs(b_));                             \
        ck_assert_msg(fabs(a_ - b_) <= t_ || a_ == b_ || (isnan(a_) && isnan(b_)),                 \
                      "%s is %.17g, not %.17g", #a, a_, b_);                                       \
    } while (0)

/* ---- Files --------------------------------------------------------------------------------- */

/* Path of a golden file; the folder is MTL_TEST_DATA, by default tests/golden. */
static inline const char *data_path(const char *file, char *buffer, size_t size)
{
    const char *folder = getenv("MTL_TEST_DATA");
    snprintf(buffer, size, "%s/%s", folder ? folder : "tests/golden", file);
    return buffer;
}

/* A new file with these contents, to be removed by its user with unlink(path). */
typedef struct temp_file {
    char path[256];
} temp_file;

static inline temp_file temp_file_make(const void *contents, size_t size)
{
    temp_file f;
    const char *folder = getenv("TMPDIR");
    snprintf(f.path, sizeof f.path, "%s/mtl_test_XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(f.path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, contents, size), (ssize_t)size);
    close(fd);
    return f;
}

/* ---- Allocator ----------------------------------------------------------------------------- */

/* Counts what is live, checks the figures that come back on free and a guard behind every block,
   fills new memory with garbage, and fails at call number fail_at and at all later ones (failing
   only once would let a second attempt hide the first). */
typedef struct test_memory {
    atomic_llong live, live_bytes, calls;
    long long fail_at; /* counted from 1; 0 = never */
    atomic_bool has_failed;
} test_memory;

typedef struct test_block {
    size_t bytes, align, offset;
    uint64_t magic;
} test_block;

#define TEST_MAGIC 0x6c62746d656d6f72u
#define TEST_GUARD "\xde\xad\xbe\xef\xde\xad\xbe"

static inline void *test_alloc(size_t bytes, size_t align, void *user)
{
    test_memory *t = user;
    ck_assert(bytes >= 1 && align >= 8 && (align & (align - 1)) == 0);
    if (atomic_fetch_add(&t->calls, 1) + 1 >= t->fail_at && t->fail_at > 0) {
        atomic_store(&t->has_failed, true);
        return NULL;
    }
    void *start = NULL;
    size_t offset = align > sizeof(test_block) ? align : sizeof(test_block);
    if (posix_memalign(&start, align, offset + bytes + sizeof TEST_GUARD) != 0)
        return NULL;
    char *p = (char *)start + offset;
    test_block head = {bytes, align, offset, TEST_MAGIC};
    memcpy(p - sizeof head, &head, sizeof head);
    memset(p, 0xa5, bytes);
    memcpy(p + bytes, TEST_GUARD, sizeof TEST_GUARD);
    atomic_fetch_add(&t->live, 1);
    atomic_fetch_add(&t->live_bytes, (long long)bytes);
    return p;
}

static inline void test_free(void *p, size_t bytes, size_t align, void *user)
{
    test_memory *t = user;
    test_block head;
    ck_assert_ptr_nonnull(p);
    memcpy(&head, (char *)p - sizeof head, sizeof head);
    ck_assert_msg(head.magic == TEST_MAGIC, "freed twice, or not ours");
    ck_assert_msg(head.bytes == bytes && head.align == align, "%zu bytes came back as %zu",
                  head.bytes, bytes);
    ck_assert_msg(memcmp((char *)p + bytes, TEST_GUARD, sizeof TEST_GUARD) == 0,
                  "written past the end of %zu bytes", bytes);
    memset((char *)p - sizeof head, 0x5a, sizeof head + bytes);
    atomic_fetch_sub(&t->live, 1);
    atomic_fetch_sub(&t->live_bytes, (long long)bytes);
    free((char *)p - head.offset);
}

static inline mtl__allocator test_allocator(test_memory *t)
{
    return (mtl__allocator){test_alloc, test_free, t};
}

/* The allocation to fail behind number n. After the first hundred, slower configurations go by steps:
   MTL_TEST_STRIDE, from the set-ups in tests/meson.build; without it every allocation fails in turn. */
static inline int next_failure(int n)
{
    const char *stride = getenv("MTL_TEST_STRIDE");
    return n + (n < 100 || !stride ? 1 : atoi(stride));
}

/* Run `body` with memory that fails at the first, second, ... call until it gets through. The body
   returns its status and gives back all that it made; it checks for itself that what it was to
   change has stayed as it was after a failure. Returns how many allocations there are, about, so that
   a caller can assert that there was something to fail. */
typedef mtl_status sweep_body(void *arg);

static inline int sweep_allocations(test_memory *t, sweep_body *body, void *arg)
{
    long long live = atomic_load(&t->live);
    for (int n = 1; n < 10000; n = next_failure(n)) {
        atomic_store(&t->calls, 0);
        atomic_store(&t->has_failed, false);
        t->fail_at = n;
        mtl_status st = body(arg);
        t->fail_at = 0;
        ck_assert_msg(atomic_load(&t->live) == live, "run %d left %lld blocks", n,
                      (long long)atomic_load(&t->live) - live);
        if (!atomic_load(&t->has_failed)) {
            assert_status(st, MTL_OK);
            return n - 1;
        }
        ck_assert_msg(st == MTL_ERR_NOMEM, "allocation %d failed and the call gave %s", n,
                      mtl__status_name(st));
    }
    ck_abort_msg("still failing after 10000 runs");
    return 0;
}

#endif
