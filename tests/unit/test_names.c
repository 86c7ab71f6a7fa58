/* SPDX-License-Identifier: MIT */
/* The index of names: finds what was added, by few looks however many there are. */
#include "testing.h"

#include "mem/names.h"

enum { MANY = 50000 };

/* Names as models have them: one front part and a number. */
static char *numbered(const char *front, int i)
{
    static char name[32];
    snprintf(name, sizeof name, "%s%d.weight", front, i);
    return name;
}

/* `own` keeps the strings. */
static void add_numbered(mtl__names *n, const mtl__allocator *al, char **own, int from, int to)
{
    for (int i = from; i < to; i++) {
        own[i] = mtl__strdup(al, numbered("head.task", i));
        ck_assert(own[i] && mtl__names_reserve(n, al));
        mtl__names_add(n, own[i]);
    }
}

static void free_names(mtl__names *n, const mtl__allocator *al, char **own, int count)
{
    for (int i = 0; i < count; i++)
        mtl__strfree(al, own[i]);
    mtl__names_free(n, al);
}

START_TEST(finds_what_was_added)
{
    static char *own[MANY];
    test_memory memory = {0};
    const mtl__allocator al = test_allocator(&memory);
    mtl__names n = {0};
    ck_assert_int_eq(mtl__names_find(&n, "a"), -1);
    for (int count = 0; count < 100; count++) {
        add_numbered(&n, &al, own, count, count + 1);
        for (int i = 0; i < 110; i++)
            ck_assert_int_eq(mtl__names_find(&n, numbered("head.task", i)), i <= count ? i : -1);
        ck_assert_int_eq(mtl__names_find(&n, ""), -1);
    }
    free_names(&n, &al, own, 100);
    ck_assert_int_eq(mtl__names_find(&n, "a"), -1);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(few_looks_for_many_names)
{
    static char *own[MANY];
    const mtl__allocator *al = &mtl__allocator_default;
    int64_t present = 0, absent = 0;
    mtl__names n = {0};
    add_numbered(&n, al, own, 0, MANY);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(mtl__names_find(&n, own[i]), i);
        ck_assert_int_eq(mtl__names_find(&n, numbered("tower0.task", i)), -1);
        present += mtl__names_probes(&n, own[i]);
        absent += mtl__names_probes(&n, numbered("tower0.task", i));
    }
    /* Knuth, The Art of Computer Programming 3, 6.4: half full, 1.5 and 2.5 on average. */
    ck_assert_int_lt(present, 2 * MANY);
    ck_assert_int_lt(absent, 3 * MANY);
    free_names(&n, al, own, MANY);
}
END_TEST

START_TEST(the_last_can_be_dropped)
{
    static char *own[40];
    const mtl__allocator *al = &mtl__allocator_default;
    mtl__names n = {0};
    add_numbered(&n, al, own, 0, 40);
    for (int left = 39; left >= 0; left--) {
        mtl__names_drop_last(&n);
        for (int i = 0; i < 40; i++)
            ck_assert_int_eq(mtl__names_find(&n, own[i]), i < left ? i : -1);
    }
    free_names(&n, al, own, 40);
}
END_TEST

START_TEST(memory_may_run_out)
{
    static char *own[40];
    test_memory memory = {0};
    const mtl__allocator al = test_allocator(&memory);
    mtl__names n = {0};
    add_numbered(&n, &al, own, 0, 8); /* as many as the first block holds */
    memory.calls = 0;
    memory.fail_at = 1;
    ck_assert(!mtl__names_reserve(&n, &al));
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(mtl__names_find(&n, own[i]), i);
    memory.fail_at = 0;
    add_numbered(&n, &al, own, 8, 40);
    ck_assert_int_eq(mtl__names_find(&n, own[39]), 39);
    free_names(&n, &al, own, 40);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("names");
    add_case(s, "names are found by their numbers", finds_what_was_added);
    add_case(s, "few looks for many names", few_looks_for_many_names);
    add_case(s, "the last can be dropped", the_last_can_be_dropped);
    add_case(s, "memory may run out", memory_may_run_out);
    return run_suite(s);
}
