/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "data/dataset.h"

static mtl_error err;

enum { MAX_ROWS = 1000 };

/* Inputs are the numbers of the rows: a split can be read off them. */
static float numbers[MAX_ROWS], labels[MAX_ROWS];

static mtl_dataset *make(mtl_context *ctx, int64_t rows)
{
    mtl_dataset *d;
    for (int64_t i = 0; i < rows; i++)
        numbers[i] = (float)i;
    assert_ok(mtl__dataset_create(ctx, numbers, rows, 1, 1, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, labels, 1, &err));
    return d;
}

static int64_t row_of(const mtl_dataset *d, int64_t i)
{
    return (int64_t)*mtl__array_row(&d->x, i);
}

static void assert_partition(const mtl_dataset *first, const mtl_dataset *second, int64_t rows)
{
    bool seen[MAX_ROWS] = {false};
    const mtl_dataset *parts[] = {first, second};
    ck_assert_int_eq(first->rows + second->rows, rows);
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < parts[k]->rows; i++) {
            int64_t row = row_of(parts[k], i);
            ck_assert_msg(!seen[row], "row %lld twice", (long long)row);
            seen[row] = true;
            ck_assert(memcmp(mtl__array_row(&parts[k]->labels[0].y, i), &labels[row],
                             sizeof(float)) == 0);
        }
}

static int64_t count_label(const mtl_dataset *d, float label)
{
    int64_t count = 0;
    for (int64_t i = 0; i < d->rows; i++) {
        float y = *mtl__array_row(&d->labels[0].y, i);
        count += isnan(label) ? isnan(y) : y == label;
    }
    return count;
}

/* Split, check that nothing is lost, and give back the rows of the first part in order. */
static int64_t split(const mtl_dataset *d, int64_t stratify, double fraction, uint64_t seed,
                     int64_t *rows)
{
    mtl_dataset *a, *b;
    assert_ok(mtl__dataset_split(d, stratify, fraction, seed, &a, &b, &err));
    assert_partition(a, b, d->rows);
    for (int64_t i = 0; i < a->rows; i++)
        rows[i] = row_of(a, i);
    int64_t count = a->rows;
    mtl__dataset_destroy(a);
    mtl__dataset_destroy(b);
    return count;
}

START_TEST(parts_are_as_long_as_asked_for)
{
    static const struct {
        int64_t rows;
        double fraction;
        int64_t first;
    } cases[] = {{1000, 0.8, 800}, {10, 0.75, 8},    {10, 0.999, 9}, {10, 0.001, 1},
                 {2, 0.99, 1},     {2, 0.01, 1},     {3, 0.5, 2},    {1000, 0.1, 100},
                 {999, 1e-9, 1},   {999, 0.333, 333}};
    int64_t rows[MAX_ROWS];
    for (int64_t i = 0; i < MAX_ROWS; i++)
        labels[i] = (float)(i % 3);
    for (int64_t i = 0; i < MTL__COUNT_OF(cases); i++)
        for (int64_t stratify = -1; stratify <= 0; stratify++) {
            mtl_dataset *d = make(NULL, cases[i].rows);
            ck_assert_int_eq(split(d, stratify, cases[i].fraction, 1, rows), cases[i].first);
            mtl__dataset_destroy(d);
        }
}
END_TEST

START_TEST(the_seed_decides)
{
    int64_t a[MAX_ROWS], b[MAX_ROWS], c[MAX_ROWS];
    mtl_dataset *d = make(NULL, 100);
    for (int64_t stratify = -1; stratify <= 0; stratify++) {
        split(d, stratify, 0.5, 7, a);
        split(d, stratify, 0.5, 7, b);
        split(d, stratify, 0.5, 8, c);
        ck_assert_int_eq(memcmp(a, b, 50 * sizeof *a), 0);
        ck_assert_int_ne(memcmp(a, c, 50 * sizeof *a), 0);
    }
    mtl__dataset_destroy(d);
}
END_TEST

/* These numbers must never change unless the changelog says so, on any machine. */
START_TEST(the_split_is_the_same_everywhere)
{
    static const int64_t expected[2][5] = {{5, 8, 1, 0, 6}, {4, 2, 5, 6, 3}};
    int64_t rows[MAX_ROWS];
    for (int64_t i = 0; i < 10; i++)
        labels[i] = (float)(i % 3);
    mtl_dataset *d = make(NULL, 10);
    for (int64_t stratify = -1; stratify <= 0; stratify++) {
        ck_assert_int_eq(split(d, stratify, 0.5, 42, rows), 5);
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(rows[i], expected[stratify + 1][i]);
    }
    mtl__dataset_destroy(d);
}
END_TEST

/* Each row should be in the first part in 200 of 400 splits, standard deviation 10; and a row's
   place among the others should be random too. */
START_TEST(every_row_has_the_same_chance)
{
    enum { ROWS = 40, SEEDS = 400 };
    int64_t rows[MAX_ROWS];
    for (int64_t i = 0; i < ROWS; i++)
        labels[i] = i < 13 ? 0 : i < 14 ? NAN : (float)i;
    mtl_dataset *d = make(NULL, ROWS);
    for (int64_t stratify = -1; stratify <= 0; stratify++) {
        int64_t times[ROWS] = {0}, ascents = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            int64_t count = split(d, stratify, 0.5, seed, rows);
            for (int64_t i = 0; i < count; i++)
                times[rows[i]]++;
            for (int64_t i = 1; i < count; i++)
                ascents += rows[i] > rows[i - 1];
        }
        for (int64_t i = 0; i < ROWS; i++)
            ck_assert_msg(times[i] > 150 && times[i] < 250, "row %lld: %lld", (long long)i,
                          (long long)times[i]);
        ck_assert_int_gt(ascents, SEEDS * 19 * 45 / 100);
        ck_assert_int_lt(ascents, SEEDS * 19 * 55 / 100);
    }
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(classes_are_shared_out_in_proportion)
{
    static const struct {
        float label;
        int64_t rows;
    } classes[] = {{0, 500}, {1, 37}, {-2.5f, 3}, {NAN, 60}, {7, 1}, {8, 1}, {9, 398}};
    static const double fractions[] = {0.8, 0.5, 0.123, 0.01};
    int64_t at = 0;
    for (int64_t c = 0; c < MTL__COUNT_OF(classes); c++)
        for (int64_t i = 0; i < classes[c].rows; i++)
            labels[at++] = classes[c].label;
    ck_assert_int_eq(at, MAX_ROWS);
    mtl_dataset *d = make(NULL, MAX_ROWS), *a, *b;
    for (int64_t f = 0; f < MTL__COUNT_OF(fractions); f++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            assert_ok(mtl__dataset_split(d, 0, fractions[f], seed, &a, &b, &err));
            assert_partition(a, b, MAX_ROWS);
            ck_assert_int_eq(a->rows, (int64_t)(fractions[f] * MAX_ROWS + 0.5));
            for (int64_t c = 0; c < MTL__COUNT_OF(classes); c++) {
                double share = (double)(a->rows * classes[c].rows) / MAX_ROWS;
                double got = (double)count_label(a, classes[c].label);
                ck_assert_msg(fabs(got - share) < 1, "class %lld: %g of %g", (long long)c, got,
                              share);
            }
            mtl__dataset_destroy(a);
            mtl__dataset_destroy(b);
        }
    mtl__dataset_destroy(d);
}
END_TEST

/* Were -0 a class of its own, its three rows and the one of 0 would not always give two together.
 */
START_TEST(zero_has_one_class_whatever_its_sign)
{
    static const float y[] = {0.0f, -0.0f, -0.0f, -0.0f, 1, 2, 3, 4};
    memcpy(labels, y, sizeof y);
    mtl_dataset *d = make(NULL, 8), *a, *b;
    for (uint64_t seed = 0; seed < 50; seed++) {
        assert_ok(mtl__dataset_split(d, 0, 0.5, seed, &a, &b, &err));
        ck_assert_int_eq(count_label(a, 0), 2);
        mtl__dataset_destroy(a);
        mtl__dataset_destroy(b);
    }
    mtl__dataset_destroy(d);
}
END_TEST

/* 1 row of 10 is worth 0.9 of the first 9: it must be there nine times of ten (standard deviation
   over 400 seeds: 6). */
START_TEST(a_rare_class_is_not_kept_out)
{
    mtl_dataset *d, *a, *b;
    int64_t times = 0;
    for (int64_t i = 0; i < 10; i++)
        labels[i] = (float)(i == 3);
    d = make(NULL, 10);
    for (uint64_t seed = 0; seed < 400; seed++) {
        assert_ok(mtl__dataset_split(d, 0, 0.9, seed, &a, &b, &err));
        times += count_label(a, 1);
        mtl__dataset_destroy(a);
        mtl__dataset_destroy(b);
    }
    ck_assert_int_gt(times, 330);
    ck_assert_int_lt(times, 390);
    mtl__dataset_destroy(d);
}
END_TEST

/* Labels that are all different say nothing: neighbours must go together as often as without. */
START_TEST(different_labels_split_like_none)
{
    int64_t rows[MAX_ROWS], together = 0;
    for (int64_t i = 0; i < 40; i++)
        labels[i] = (float)i;
    mtl_dataset *d = make(NULL, 40);
    for (uint64_t seed = 0; seed < 100; seed++) {
        bool first[41] = {false};
        int64_t count = split(d, 0, 0.5, seed, rows);
        for (int64_t i = 0; i < count; i++)
            first[rows[i]] = true;
        for (int64_t i = 0; i < 39; i++)
            together += first[i] && first[i + 1];
    }
    ck_assert_int_gt(together, 3900 * 21 / 100); /* expected: 20/40 * 19/39 = 0.244 */
    ck_assert_int_lt(together, 3900 * 28 / 100);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(a_subset_can_be_split_by_its_labels)
{
    const int64_t rows[] = {9, 8, 7, 6, 5, 4, 3, 2};
    for (int64_t i = 0; i < 10; i++)
        labels[i] = (float)(i % 2);
    mtl_dataset *d = make(NULL, 10), *s, *a, *b;
    assert_ok(mtl__dataset_subset(d, 8, rows, &s, &err));
    mtl__dataset_destroy(d);
    assert_ok(mtl__dataset_split(s, 0, 0.5, 3, &a, &b, &err));
    mtl__dataset_destroy(s);
    assert_partition(a, b, 8);
    ck_assert(count_label(a, 0) == 2 && count_label(b, 1) == 2);
    mtl__dataset_destroy(a);
    mtl__dataset_destroy(b);
}
END_TEST

START_TEST(what_cannot_be_split_is_refused)
{
    mtl_dataset *d = make(NULL, 10), *one = make(NULL, 1), *a = NULL, *b = NULL;
    static const double bad[] = {0, 1, -0.5, 1.5, NAN};
    for (int64_t i = 0; i < MTL__COUNT_OF(bad); i++)
        assert_fails(mtl__dataset_split(d, -1, bad[i], 0, &a, &b, &err), MTL_ERR_RANGE, &err,
                     "between 0 and 1");
    assert_fails(mtl__dataset_split(one, -1, 0.5, 0, &a, &b, &err), MTL_ERR_DATA, &err, "1 rows");
    assert_ok(mtl__dataset_set_labels(d, "two", 2, numbers, 2, &err));
    assert_fails(mtl__dataset_split(d, 1, 0.5, 0, &a, &b, &err), MTL_ERR_SHAPE, &err, "\"two\"");
    ck_assert(!a && !b);
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(one);
}
END_TEST

static mtl_status try_split(void *arg)
{
    mtl_dataset *a = NULL, *b = NULL;
    mtl_status st = mtl__dataset_split(arg, -1, 0.5, 0, &a, &b, NULL);
    ck_assert((st == MTL_OK) == (a && b) && (a || !b));
    mtl__dataset_destroy(a);
    mtl__dataset_destroy(b);
    a = b = NULL;
    if (st == MTL_OK)
        st = mtl__dataset_split(arg, 0, 0.5, 0, &a, &b, NULL);
    mtl__dataset_destroy(a);
    mtl__dataset_destroy(b);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl_context *ctx;
    assert_ok(mtl__context_create(NULL, &ctx, &err));
    ctx->threads = 1;
    ctx->al = test_allocator(&t);
    mtl_dataset *d = make(ctx, 10);
    ck_assert_int_ge(sweep_allocations(&t, try_split, d), 10);
    mtl__dataset_destroy(d);
    mtl__context_unref(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("split");
    add_case(s, "parts are as long as asked for", parts_are_as_long_as_asked_for);
    add_case(s, "the seed decides", the_seed_decides);
    add_case(s, "the split is the same everywhere", the_split_is_the_same_everywhere);
    add_case(s, "every row has the same chance", every_row_has_the_same_chance);
    add_case(s, "classes are shared out in proportion", classes_are_shared_out_in_proportion);
    add_case(s, "zero has one class whatever its sign", zero_has_one_class_whatever_its_sign);
    add_case(s, "a rare class is not kept out", a_rare_class_is_not_kept_out);
    add_case(s, "different labels split like none", different_labels_split_like_none);
    add_case(s, "a subset can be split by its labels", a_subset_can_be_split_by_its_labels);
    add_case(s, "what cannot be split is refused", what_cannot_be_split_is_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
