/* SPDX-License-Identifier: MIT */
/* k folds and parts that keep groups whole. Inputs are the numbers of the rows. */
#include "api_testing.h"

enum { MAX_ROWS = 600 };

static float numbers[MAX_ROWS], labels[MAX_ROWS];
static int64_t groups[MAX_ROWS];

static mtl_dataset *make(mtl_context *ctx, int64_t rows)
{
    mtl_dataset *d = NULL;
    for (int64_t i = 0; i < rows; i++)
        numbers[i] = (float)i;
    done(mtl_dataset_create(ctx, numbers, rows, 1, 1, &d, err));
    done(mtl_dataset_set_labels(d, "class", 1, labels, 1, err));
    return d;
}

/* Row numbers of a part, which must stand in order; their labels go with them. */
static int64_t rows_of(const mtl_dataset *part, int64_t *rows)
{
    static float x[MAX_ROWS], y[MAX_ROWS];
    int64_t n = mtl_dataset_rows(part);
    done(mtl_dataset_get_inputs(part, 0, n, x, 1, err));
    done(mtl_dataset_get_labels(part, "class", 0, n, y, 1, err));
    bool in_order = true, same = true;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (int64_t)x[i];
        in_order = in_order && (i == 0 || rows[i] > rows[i - 1]);
        same = same && memcmp(&y[i], &labels[rows[i]], sizeof *y) == 0;
    }
    ck_assert(in_order && same);
    return n;
}

typedef mtl_status fold_fn(const mtl_dataset *d, int64_t folds, int64_t fold, int64_t seed,
                           mtl_dataset **train, mtl_dataset **test, mtl_error *err);

static mtl_status by_class(const mtl_dataset *d, int64_t folds, int64_t fold, int64_t seed,
                           mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    return mtl_dataset_kfold_stratified(d, "class", folds, fold, seed, train, test, err);
}

static mtl_status by_group(const mtl_dataset *d, int64_t folds, int64_t fold, int64_t seed,
                           mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    return mtl_dataset_kfold_grouped(d, groups, NULL, folds, fold, seed, train, test, err);
}

static fold_fn *const kinds[] = {mtl_dataset_kfold, by_class, by_group};

/* fold_of [rows]; every row is in one test part, and in the train part of all other folds. */
static void fold_all(fold_fn *fn, const mtl_dataset *d, int64_t folds, int64_t seed,
                     int64_t *fold_of, int64_t *sizes)
{
    int64_t n = mtl_dataset_rows(d), rows[MAX_ROWS];
    for (int64_t i = 0; i < n; i++)
        fold_of[i] = -1;
    for (int64_t f = 0; f < folds; f++) {
        mtl_dataset *train = NULL, *test = NULL;
        bool tested[MAX_ROWS] = {false};
        done(fn(d, folds, f, seed, &train, &test, err));
        sizes[f] = rows_of(test, rows);
        bool once = true;
        for (int64_t i = 0; i < sizes[f]; i++) {
            once = once && fold_of[rows[i]] == -1;
            fold_of[rows[i]] = f;
            tested[rows[i]] = true;
        }
        ck_assert(once);
        ck_assert_int_eq(rows_of(train, rows), n - sizes[f]);
        bool apart = true;
        for (int64_t i = 0; i < n - sizes[f]; i++)
            apart = apart && !tested[rows[i]];
        ck_assert(apart);
        mtl_dataset_destroy(train), mtl_dataset_destroy(test);
    }
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_ge(fold_of[i], 0);
}

static int64_t spread(const int64_t *sizes, int64_t n)
{
    int64_t low = sizes[0], high = sizes[0];
    for (int64_t i = 1; i < n; i++) {
        low = sizes[i] < low ? sizes[i] : low;
        high = sizes[i] > high ? sizes[i] : high;
    }
    return high - low;
}

START_TEST(every_row_is_tested_once)
{
    static const int64_t cases[][2] = {{2, 2}, {10, 3}, {600, 7}, {101, 101}, {600, 5}};
    int64_t fold_of[MAX_ROWS], sizes[MAX_ROWS];
    for (int64_t i = 0; i < MAX_ROWS; i++) {
        labels[i] = i % 17 == 0 ? NAN : (float)(i % 3);
        groups[i] = i; /* groups of one row are no groups */
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int k = 0; k < 3; k++) {
            mtl_dataset *d = make(NULL, cases[c][0]);
            fold_all(kinds[k], d, cases[c][1], (int64_t)c, fold_of, sizes);
            ck_assert_int_le(spread(sizes, cases[c][1]), 1);
            mtl_dataset_destroy(d);
        }
}
END_TEST

START_TEST(the_seed_decides)
{
    int64_t a[MAX_ROWS], b[MAX_ROWS], c[MAX_ROWS], sizes[MAX_ROWS];
    for (int64_t i = 0; i < MAX_ROWS; i++) {
        labels[i] = (float)(i % 3);
        groups[i] = i / 3;
    }
    mtl_dataset *d = make(NULL, 90);
    for (int k = 0; k < 3; k++) {
        fold_all(kinds[k], d, 5, 7, a, sizes);
        fold_all(kinds[k], d, 5, 7, b, sizes);
        fold_all(kinds[k], d, 5, 8, c, sizes);
        ck_assert(memcmp(a, b, 90 * sizeof *a) == 0);
        ck_assert(memcmp(a, c, 90 * sizeof *a) != 0);
    }
    mtl_dataset_destroy(d);
}
END_TEST

/* Part of the results: never to change unless the changelog says so. */
START_TEST(the_folds_are_the_same_everywhere)
{
    static const char *const expected[] = {"221022010110", "100011222012", "002211221100"};
    int64_t fold_of[MAX_ROWS], sizes[MAX_ROWS];
    for (int64_t i = 0; i < 12; i++) {
        labels[i] = (float)(i % 3);
        groups[i] = i / 2;
    }
    mtl_dataset *d = make(NULL, 12);
    for (int k = 0; k < 3; k++) {
        char found[13] = {0};
        fold_all(kinds[k], d, 3, 42, fold_of, sizes);
        for (int i = 0; i < 12; i++)
            found[i] = (char)('0' + fold_of[i]);
        ck_assert_str_eq(found, expected[k]);
    }
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(classes_are_shared_out_evenly)
{
    static const struct {
        float label;
        int64_t rows;
    } classes[] = {{0, 400}, {1, 37}, {-2.5f, 3}, {NAN, 60}, {7, 1}, {8, 1}, {9, 98}};
    enum { CLASSES = sizeof classes / sizeof *classes };
    int64_t fold_of[MAX_ROWS], sizes[MAX_ROWS], class_of[MAX_ROWS], at = 0;
    for (int64_t c = 0; c < CLASSES; c++)
        for (int64_t i = 0; i < classes[c].rows; i++, at++) {
            labels[at] = classes[c].label;
            class_of[at] = c;
        }
    ck_assert_int_eq(at, MAX_ROWS);
    mtl_dataset *d = make(NULL, MAX_ROWS);
    for (int64_t folds = 2; folds < 12; folds++) {
        int64_t count[CLASSES][12] = {{0}};
        fold_all(by_class, d, folds, folds, fold_of, sizes);
        ck_assert_int_le(spread(sizes, folds), 1);
        for (int64_t i = 0; i < MAX_ROWS; i++)
            count[class_of[i]][fold_of[i]]++;
        for (int64_t c = 0; c < CLASSES; c++)
            ck_assert_int_le(spread(count[c], folds), 1);
    }
    mtl_dataset_destroy(d);
}
END_TEST

/* Groups of 1 .. 24 rows that do not lie together; numbers that differ in either half alone. */
static int64_t make_groups(int64_t rows)
{
    int64_t largest = 0, size[MAX_ROWS] = {0};
    for (int64_t i = 0; i < rows; i++) {
        int64_t g = (i * i) % 41;
        groups[i] = g % 2 ? g : -(g << 33);
        labels[i] = (float)g - 20;
        largest = ++size[g] > largest ? size[g] : largest;
    }
    return largest;
}

/* Whether rows of one group are in one part. */
static bool are_whole(const int64_t *part_of)
{
    for (int64_t i = 0; i < 500; i++)
        for (int64_t j = 0; j < i; j++)
            if (groups[i] == groups[j] && part_of[i] != part_of[j])
                return false;
    return true;
}

START_TEST(groups_stay_whole_in_folds)
{
    int64_t fold_of[MAX_ROWS], again[MAX_ROWS], sizes[MAX_ROWS];
    int64_t largest = make_groups(500);
    mtl_dataset *d = make(NULL, 500);
    for (int64_t folds = 2; folds < 10; folds++) {
        fold_all(by_group, d, folds, 3, fold_of, sizes);
        ck_assert_int_le(spread(sizes, folds), largest);
        ck_assert(are_whole(fold_of));
        for (int64_t f = 0; f < folds; f++) { /* a label tells groups apart like a number */
            mtl_dataset *train = NULL, *test = NULL;
            done(mtl_dataset_kfold_grouped(d, NULL, "class", folds, f, 3, &train, &test, err));
            bool tested[MAX_ROWS] = {false};
            int64_t n = rows_of(test, again);
            for (int64_t i = 0; i < n; i++)
                tested[(int)labels[again[i]] + 20] = true;
            n = rows_of(train, again);
            bool apart = true;
            for (int64_t i = 0; i < n; i++)
                apart = apart && !tested[(int)labels[again[i]] + 20];
            ck_assert(apart);
            mtl_dataset_destroy(train), mtl_dataset_destroy(test);
        }
    }
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(groups_stay_whole_in_splits)
{
    static const double fractions[] = {0.001, 0.2, 0.5, 0.8, 0.999};
    int64_t rows[MAX_ROWS], largest = make_groups(500);
    mtl_dataset *d = make(NULL, 500);
    for (int f = 0; f < 5; f++)
        for (int64_t seed = 0; seed < 20; seed++) {
            mtl_dataset *a = NULL, *b = NULL;
            int64_t first[MAX_ROWS] = {0};
            done(mtl_dataset_split_grouped(d, groups, NULL, fractions[f], seed, &a, &b, err));
            int64_t n = rows_of(a, rows);
            for (int64_t i = 0; i < n; i++)
                first[rows[i]] = 1;
            ck_assert_int_eq(n + rows_of(b, rows), 500);
            ck_assert(n > 0 && n < 500);
            ck_assert_int_le(llabs(n - (int64_t)(fractions[f] * 500)), (largest + 1) / 2 + 1);
            ck_assert(are_whole(first));
            mtl_dataset_destroy(a), mtl_dataset_destroy(b);
        }
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(one_large_group_leaves_the_other_part_something)
{
    int64_t rows[MAX_ROWS];
    for (int64_t i = 0; i < 10; i++)
        groups[i] = i == 4 ? 1 : 7;
    mtl_dataset *d = make(NULL, 10), *a = NULL, *b = NULL;
    for (int64_t seed = 0; seed < 10; seed++)
        for (int f = 1; f < 10; f++) {
            done(mtl_dataset_split_grouped(d, groups, NULL, 0.1 * f, seed, &a, &b, err));
            int64_t n = rows_of(a, rows);
            ck_assert(n == 1 || n == 9);
            if (f >= 6 || f <= 4)
                ck_assert_int_eq(n, f >= 6 ? 9 : 1);
            mtl_dataset_destroy(a), mtl_dataset_destroy(b);
        }
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(what_cannot_be_folded_is_refused)
{
    mtl_dataset *d = make(NULL, 10), *a = NULL, *b = NULL;
    for (int i = 0; i < 10; i++) {
        groups[i] = i % 2;
        labels[i] = 1;
    }
    refused(mtl_dataset_kfold(NULL, 2, 0, 0, &a, &b, err), MTL_ERR_INVALID, "data");
    refused(mtl_dataset_kfold(d, 2, 0, 0, NULL, &b, err), MTL_ERR_INVALID, "train");
    refused(mtl_dataset_kfold(d, 2, 0, 0, &a, NULL, err), MTL_ERR_INVALID, "test");
    refused(mtl_dataset_kfold(d, 1, 0, 0, &a, &b, err), MTL_ERR_RANGE, "not 1");
    refused(mtl_dataset_kfold(d, 3, 3, 0, &a, &b, err), MTL_ERR_RANGE, "fold 3");
    refused(mtl_dataset_kfold(d, 3, -1, 0, &a, &b, err), MTL_ERR_RANGE, "0 .. 2");
    refused(mtl_dataset_kfold(d, 11, 0, 0, &a, &b, err), MTL_ERR_DATA, "10 rows make no 11");
    refused(mtl_dataset_kfold(d, 2, 0, -1, &a, &b, err), MTL_ERR_RANGE, "seed");
    refused(by_group(d, 3, 0, 0, &a, &b, err), MTL_ERR_DATA, "2 groups make no 3");
    refused(mtl_dataset_kfold_stratified(d, "clas", 2, 0, 0, &a, &b, err), MTL_ERR_NAME, "clas");
    refused(mtl_dataset_kfold_grouped(d, NULL, NULL, 2, 0, 0, &a, &b, err), MTL_ERR_INVALID,
            "none");
    refused(mtl_dataset_kfold_grouped(d, groups, "class", 2, 0, 0, &a, &b, err), MTL_ERR_INVALID,
            "both");
    refused(mtl_dataset_split_grouped(d, NULL, "class", 0.5, 0, &a, &b, err), MTL_ERR_DATA,
            "one group");
    refused(mtl_dataset_split_grouped(d, groups, NULL, 1, 0, &a, &b, err), MTL_ERR_RANGE,
            "fraction");
    refused(mtl_dataset_split_grouped(d, groups, NULL, 0.5, -1, &a, &b, err), MTL_ERR_RANGE,
            "seed");
    labels[6] = NAN;
    refused(mtl_dataset_split_grouped(d, NULL, "class", 0.5, 0, &a, &b, err), MTL_ERR_VALUE,
            "row 6");
    done(mtl_dataset_set_labels(d, "two", 2, numbers, 2, err));
    refused(mtl_dataset_kfold_stratified(d, "two", 2, 0, 0, &a, &b, err), MTL_ERR_SHAPE, "\"two\"");
    refused(mtl_dataset_kfold_grouped(d, NULL, "two", 2, 0, 0, &a, &b, err), MTL_ERR_SHAPE,
            "2 label");
    ck_assert(!a && !b);
    mtl_dataset_destroy(d);
}
END_TEST

static mtl_status try_all(void *arg)
{
    mtl_status st = MTL_OK;
    for (int k = 0; k < 4 && st == MTL_OK; k++) {
        mtl_dataset *a = NULL, *b = NULL;
        st = k < 3 ? kinds[k](arg, 3, 1, 0, &a, &b, NULL)
                   : mtl_dataset_split_grouped(arg, groups, NULL, 0.5, 0, &a, &b, NULL);
        ck_assert((st == MTL_OK) == (a && b) && !a == !b);
        mtl_dataset_destroy(a), mtl_dataset_destroy(b);
    }
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=1");
    make_groups(30);
    mtl_dataset *d = make(ctx, 30);
    ck_assert_int_ge(sweep_allocations(&t, try_all, d), 20);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fold");
    add_case(s, "every row is tested once", every_row_is_tested_once);
    add_case(s, "the seed decides", the_seed_decides);
    add_case(s, "the folds are the same everywhere", the_folds_are_the_same_everywhere);
    add_case(s, "classes are shared out evenly", classes_are_shared_out_evenly);
    add_case(s, "groups stay whole in folds", groups_stay_whole_in_folds);
    add_case(s, "groups stay whole in splits", groups_stay_whole_in_splits);
    add_case(s, "one large group leaves the other part something",
             one_large_group_leaves_the_other_part_something);
    add_case(s, "what cannot be folded is refused", what_cannot_be_folded_is_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
