/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "data/dataset.h"

static mtl_error err;

typedef struct setting {
    const char *key;
    double value;
} setting;

/* Options of a problem that is easy to read: nothing shuffled, nothing flipped, then as listed. */
static mtl_options *options(int count, const setting *settings)
{
    const setting plain[] = {{"shuffle", 0}, {"flip", 0}};
    mtl_options *o = mtl__options_create(&mtl__make_classification_options);
    ck_assert_ptr_nonnull(o);
    for (int i = 0; i < 2; i++)
        assert_ok(mtl__options_set_number(o, plain[i].key, plain[i].value, true, &err));
    for (int i = 0; i < count; i++)
        assert_ok(mtl__options_set_number(o, settings[i].key, settings[i].value,
                                          settings[i].value == floor(settings[i].value), &err));
    return o;
}

static mtl_dataset *generate(int count, const setting *settings)
{
    mtl_dataset *d;
    mtl_options *o = options(count, settings);
    assert_ok(mtl__dataset_make_classification(NULL, o, &d, &err));
    mtl__options_destroy(o);
    return d;
}

#define GENERATE(...)                                                                              \
    generate((int)(sizeof((setting[]){__VA_ARGS__}) / sizeof(setting)), (setting[]){__VA_ARGS__})

static const float *x_of(const mtl_dataset *d, int64_t row)
{
    return mtl__array_row(&d->x, row);
}

static float y_of(const mtl_dataset *d, int64_t task, int64_t row)
{
    return *mtl__array_row(&d->labels[task].y, row);
}

START_TEST(defaults_are_those_of_the_document)
{
    mtl_dataset *d;
    assert_ok(mtl__dataset_make_classification(NULL, NULL, &d, &err));
    ck_assert(d->rows == 1000 && d->inputs == 20 && d->tasks == 1 && d->labels[0].cols == 1);
    ck_assert_str_eq(d->labels[0].task, "class");
    ck_assert(d->labels[0].kind == MTL_MULTICLASS && d->labels[0].outputs == 3);
    assert_ok(mtl__dataset_check_inputs(d, &err));
    assert_ok(mtl__dataset_check_labels(d, 0, MTL_MULTICLASS, 3, &err));
    mtl__dataset_destroy(d);
    d = GENERATE({"classes", 2});
    ck_assert(d->labels[0].kind == MTL_BINARY && d->labels[0].outputs == 1);
    mtl__dataset_destroy(d);
}
END_TEST

/* Far apart, the signs of the informative columns name the corner. */
static int64_t corner_of(const float *x, int64_t informative)
{
    int64_t corner = 0;
    for (int64_t j = 0; j < informative; j++)
        corner |= (int64_t)(x[j] > 0) << j;
    return corner;
}

START_TEST(every_cluster_has_a_corner_and_every_class_its_share)
{
    enum { CLASSES = 5, CLUSTERS = 10, ROWS = 1003 };
    for (int seed = 0; seed < 20; seed++) {
        mtl_dataset *d = GENERATE({"rows", ROWS}, {"classes", CLASSES}, {"clusters_per_class", 2},
                                  {"informative", 4}, {"separation", 100}, {"seed", seed});
        int64_t rows_at[16] = {0}, class_at[16], rows_of[CLASSES] = {0}, corners = 0;
        for (int64_t i = 0; i < ROWS; i++) {
            int64_t corner = corner_of(x_of(d, i), 4), class = (int64_t)y_of(d, 0, i);
            for (int j = 0; j < 4; j++)
                ck_assert(fabsf(fabsf(x_of(d, i)[j]) - 100) < 20);
            if (rows_at[corner]++ == 0)
                class_at[corner] = class;
            ck_assert_msg(class_at[corner] == class, "two classes at one corner");
            rows_of[class]++;
        }
        for (int c = 0; c < 16; c++) {
            corners += rows_at[c] > 0;
            ck_assert(rows_at[c] == 0 || rows_at[c] == 100 || rows_at[c] == 101);
        }
        ck_assert_int_eq(corners, CLUSTERS);
        for (int c = 0; c < CLASSES; c++)
            ck_assert(rows_of[c] >= 200 && rows_of[c] <= 201);
        mtl__dataset_destroy(d);
    }
}
END_TEST

/* As many clusters as corners, nearly: every one must be found, and none twice. */
START_TEST(many_clusters_find_their_corners)
{
    enum { CLUSTERS = 1020 };
    static bool seen[1024];
    mtl_dataset *d = GENERATE({"rows", CLUSTERS}, {"classes", CLUSTERS / 2},
                              {"clusters_per_class", 2}, {"informative", 10}, {"separation", 1000});
    for (int64_t i = 0; i < CLUSTERS; i++) {
        int64_t corner = corner_of(x_of(d, i), 10);
        ck_assert(!seen[corner]);
        seen[corner] = true;
    }
    mtl__dataset_destroy(d);
    /* Past 30 columns corners have more coordinates than their numbers have bits. */
    d = GENERATE({"rows", 50}, {"informative", 50}, {"redundant", 0}, {"inputs", 50},
                 {"separation", 1000}, {"classes", 50});
    int64_t ups = 0;
    for (int64_t i = 0; i < 50; i++)
        for (int j = 30; j < 50; j++)
            ups += x_of(d, i)[j] > 0;
    ck_assert(ups > 400 && ups < 600); /* 500 expected of 1000, standard deviation 16 */
    mtl__dataset_destroy(d);
}
END_TEST

/* Columns 2 and 3 are a x0 + b x1; a and b follow from two rows and hold for the others. */
START_TEST(redundant_columns_are_combinations_of_the_informative)
{
    mtl_dataset *d = GENERATE({"rows", 200}, {"seed", 3});
    const float *p = x_of(d, 0), *q = x_of(d, 100);
    double det = (double)p[0] * q[1] - (double)p[1] * q[0];
    ck_assert(fabs(det) > 1e-3);
    for (int j = 2; j < 4; j++) {
        double a = ((double)p[j] * q[1] - (double)p[1] * q[j]) / det;
        double b = ((double)p[0] * q[j] - (double)p[j] * q[0]) / det;
        ck_assert(fabs(a) <= 1.001 && fabs(b) <= 1.001 && fabs(a) + fabs(b) > 0.01);
        for (int64_t i = 0; i < 200; i++) {
            const float *x = x_of(d, i);
            assert_near(x[j], a * x[0] + b * x[1], 1e-4);
        }
    }
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(the_other_columns_are_standard_normal_noise)
{
    enum { ROWS = 20000 };
    mtl_dataset *d = GENERATE({"rows", ROWS}, {"inputs", 7});
    double product = 0;
    for (int j = 4; j < 7; j++) {
        double sum = 0, squares = 0, fourths = 0;
        for (int64_t i = 0; i < ROWS; i++) {
            double x = x_of(d, i)[j];
            sum += x, squares += x * x, fourths += x * x * x * x;
        }
        /* Standard errors are 0.007, 0.01 and 0.07. */
        ck_assert(fabs(sum / ROWS) < 0.035 && fabs(squares / ROWS - 1) < 0.05);
        ck_assert(fabs(fourths / ROWS - 3) < 0.35);
    }
    for (int64_t i = 0; i < ROWS; i++)
        product += (double)x_of(d, i)[4] * x_of(d, i)[5];
    ck_assert(fabs(product / ROWS) < 0.035);
    mtl__dataset_destroy(d);
}
END_TEST

/* Clusters are normal points times a matrix of their own. */
START_TEST(clusters_differ_in_shape)
{
    mtl_dataset *d = GENERATE({"rows", 3000}, {"seed", 1});
    double spread[3] = {0};
    for (int64_t k = 0; k < 3; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = 1000 * k; i < 1000 * (k + 1); i++) {
            sum += x_of(d, i)[0];
            squares += (double)x_of(d, i)[0] * x_of(d, i)[0];
        }
        spread[k] = squares / 1000 - sum * sum / 1e6;
        ck_assert(fabs(fabs(sum / 1000) - 1) < 0.25);
    }
    ck_assert(fabs(spread[0] / spread[1] - 1) > 0.1 || fabs(spread[1] / spread[2] - 1) > 0.1);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(flip_changes_labels_and_nothing_else)
{
    enum { ROWS = 20000 };
    mtl_dataset *plain = GENERATE({"rows", ROWS}), *tenth = GENERATE({"rows", ROWS}, {"flip", 0.1});
    mtl_dataset *fifth = GENERATE({"rows", ROWS}, {"flip", 0.2}),
                *all = GENERATE({"rows", ROWS}, {"flip", 1});
    int64_t changed[3] = {0}, of_class[3] = {0};
    assert_same_bits(plain->x.p, tenth->x.p, ROWS * 20);
    assert_same_bits(plain->x.p, all->x.p, ROWS * 20);
    for (int64_t i = 0; i < ROWS; i++) {
        float y = y_of(plain, 0, i);
        changed[0] += y_of(tenth, 0, i) != y;
        changed[1] += y_of(fifth, 0, i) != y;
        changed[2] += y_of(all, 0, i) != y;
        of_class[(int)y_of(all, 0, i)]++;
        ck_assert(y_of(tenth, 0, i) == y || y_of(tenth, 0, i) == y_of(fifth, 0, i));
    }
    /* A flipped row draws its own class again in one case of three. */
    ck_assert(fabs((double)changed[0] / ROWS - 0.1 * 2 / 3) < 0.009);
    ck_assert(fabs((double)changed[1] / ROWS - 0.2 * 2 / 3) < 0.012);
    ck_assert(fabs((double)changed[2] / ROWS - 1.0 * 2 / 3) < 0.017);
    for (int c = 0; c < 3; c++)
        ck_assert(fabs((double)of_class[c] / ROWS - 1.0 / 3) < 0.017);
    mtl__dataset_destroy(plain);
    mtl__dataset_destroy(tenth);
    mtl__dataset_destroy(fifth);
    mtl__dataset_destroy(all);
}
END_TEST

/* The shuffled problem is the plain one with its rows and columns elsewhere. */
START_TEST(shuffle_moves_rows_and_columns)
{
    enum { ROWS = 60, COLS = 6 };
    mtl_dataset *plain = GENERATE({"rows", ROWS}, {"inputs", COLS});
    mtl_dataset *mixed = GENERATE({"rows", ROWS}, {"inputs", COLS}, {"shuffle", 1});
    int64_t to[COLS], home_rows = 0, home_cols = 0;
    for (int64_t j = 0; j < COLS; j++) {
        to[j] = -1;
        for (int64_t k = 0; k < COLS; k++)
            for (int64_t i = 0; i < ROWS; i++)
                if (x_of(mixed, i)[k] == x_of(plain, 0)[j])
                    to[j] = k;
        ck_assert_int_ge(to[j], 0);
        home_cols += to[j] == j;
    }
    for (int64_t i = 0; i < ROWS; i++) {
        int64_t at = -1;
        for (int64_t k = 0; k < ROWS; k++)
            if (x_of(mixed, k)[to[0]] == x_of(plain, i)[0])
                at = k;
        ck_assert_int_ge(at, 0);
        for (int64_t j = 0; j < COLS; j++)
            ck_assert(x_of(mixed, at)[to[j]] == x_of(plain, i)[j]);
        ck_assert(y_of(mixed, 0, at) == y_of(plain, 0, i));
        home_rows += at == i;
    }
    ck_assert(home_rows < 10 && home_cols < COLS);
    mtl__dataset_destroy(plain);
    mtl__dataset_destroy(mixed);
}
END_TEST

START_TEST(the_seed_decides)
{
    mtl_dataset *a = GENERATE({"seed", 5}, {"shuffle", 1}),
                *b = GENERATE({"seed", 5}, {"shuffle", 1});
    mtl_dataset *c = GENERATE({"seed", 6}, {"shuffle", 1});
    assert_same_bits(a->x.p, b->x.p, 20000);
    assert_same_bits(a->labels[0].y.p, b->labels[0].y.p, 1000);
    ck_assert_int_ne(memcmp(a->x.p, c->x.p, 20000 * sizeof(float)), 0);
    ck_assert_int_ne(memcmp(a->labels[0].y.p, c->labels[0].y.p, 1000 * sizeof(float)), 0);
    mtl__dataset_destroy(a);
    mtl__dataset_destroy(b);
    mtl__dataset_destroy(c);
}
END_TEST

/* FNV-1a: these numbers must never change unless the changelog says so, on any machine. */
static uint64_t hash(uint64_t h, const float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &p[i], sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    }
    return h;
}

START_TEST(the_bits_are_the_same_everywhere)
{
    mtl_dataset *d;
    assert_ok(mtl__dataset_make_classification(NULL, NULL, &d, &err));
    uint64_t h = hash(0xcbf29ce484222325u, d->x.p, 20000);
    h = hash(h, d->labels[0].y.p, 1000);
    ck_assert_msg(h == 0x4c66cc7c9239385eu, "%#llx", (unsigned long long)h);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(one_vs_rest_makes_a_task_of_each_class)
{
    const setting flip[] = {{"flip", 0.1}};
    mtl_options *o = options(1, flip);
    mtl_dataset *d, *e;
    char name[16];
    assert_ok(mtl__dataset_make_classification(NULL, o, &d, &err));
    assert_ok(mtl__options_set_text(o, "labels", "one_vs_rest", &err));
    assert_ok(mtl__dataset_make_classification(NULL, o, &e, &err));
    mtl__options_destroy(o);
    assert_same_bits(d->x.p, e->x.p, 20000);
    ck_assert_int_eq(e->tasks, 3);
    for (int64_t t = 0; t < 3; t++) {
        snprintf(name, sizeof name, "class_%d", (int)t);
        ck_assert_str_eq(e->labels[t].task, name);
        ck_assert(e->labels[t].kind == MTL_BINARY && e->labels[t].cols == 1);
        for (int64_t i = 0; i < 1000; i++)
            ck_assert(y_of(e, t, i) == (y_of(d, 0, i) == (float)t));
    }
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(e);
}
END_TEST

static void assert_refused(int count, const setting *settings, mtl_status expected,
                           const char *part)
{
    mtl_dataset *d = NULL;
    mtl_options *o = options(count, settings);
    assert_fails(mtl__dataset_make_classification(NULL, o, &d, &err), expected, &err, part);
    ck_assert_ptr_null(d);
    mtl__options_destroy(o);
}

START_TEST(impossible_problems_are_refused)
{
    assert_refused(2, (setting[]){{"inputs", 3}, {"redundant", 2}}, MTL_ERR_RANGE,
                   "2 informative and 2 redundant of 3");
    assert_refused(1, (setting[]){{"classes", 5}}, MTL_ERR_RANGE, "have 4");
    assert_refused(2, (setting[]){{"classes", 2}, {"clusters_per_class", 3}}, MTL_ERR_RANGE,
                   "6 clusters");
    assert_refused(3,
                   (setting[]){{"classes", 1000}, {"clusters_per_class", 11}, {"informative", 18}},
                   MTL_ERR_RANGE, "at most 10000");
    mtl_options *o = mtl__options_create(&mtl__csv_options);
    mtl_dataset *d = NULL;
    assert_fails(mtl__dataset_make_classification(NULL, o, &d, &err), MTL_ERR_TYPE, &err, "csv");
    mtl__options_destroy(o);
}
END_TEST

typedef struct attempt {
    mtl_context *ctx;
    mtl_options *o;
} attempt;

static mtl_status try_generate(void *arg)
{
    const attempt *a = arg;
    mtl_dataset *d = NULL;
    mtl_status st = mtl__dataset_make_classification(a->ctx, a->o, &d, NULL);
    ck_assert((st == MTL_OK) == (d != NULL));
    mtl__dataset_destroy(d);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    static const char *const kinds[] = {"class", "one_vs_rest"};
    test_memory t = {0};
    attempt a = {.o = options(1, (setting[]){{"rows", 20}})};
    assert_ok(mtl__context_create(NULL, &a.ctx, &err));
    a.ctx->threads = 1;
    a.ctx->al = test_allocator(&t);
    for (int k = 0; k < 2; k++) {
        assert_ok(mtl__options_set_text(a.o, "labels", kinds[k], &err));
        ck_assert_int_ge(sweep_allocations(&t, try_generate, &a), 6);
    }
    mtl__context_unref(a.ctx);
    mtl__options_destroy(a.o);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("generate");
    add_case(s, "defaults are those of the document", defaults_are_those_of_the_document);
    add_case(s, "every cluster has a corner and every class its share",
             every_cluster_has_a_corner_and_every_class_its_share);
    add_case(s, "many clusters find their corners", many_clusters_find_their_corners);
    add_case(s, "redundant columns are combinations of the informative",
             redundant_columns_are_combinations_of_the_informative);
    add_case(s, "the other columns are standard normal noise",
             the_other_columns_are_standard_normal_noise);
    add_case(s, "clusters differ in shape", clusters_differ_in_shape);
    add_case(s, "flip changes labels and nothing else", flip_changes_labels_and_nothing_else);
    add_case(s, "shuffle moves rows and columns", shuffle_moves_rows_and_columns);
    add_case(s, "the seed decides", the_seed_decides);
    add_case(s, "the bits are the same everywhere", the_bits_are_the_same_everywhere);
    add_case(s, "one_vs_rest makes a task of each class", one_vs_rest_makes_a_task_of_each_class);
    add_case(s, "impossible problems are refused", impossible_problems_are_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
