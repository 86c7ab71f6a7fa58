/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "data/dataset.h"

static mtl_error err;

/* ---- Files ---- */

/* Load a text as a CSV file; settings are key, value, ..., NULL. */
static mtl_status load_text(mtl_context *ctx, const char *text, const char *const *settings,
                            mtl_dataset **out)
{
    temp_file f = temp_file_make(text, strlen(text));
    mtl_options *o = mtl__options_create(&mtl__csv_options);
    for (; settings && *settings; settings += 2)
        assert_ok(mtl__options_set_text(o, settings[0], settings[1], &err));
    mtl_status st = mtl__dataset_load_csv(ctx, f.path, o, NULL, out, &err);
    mtl__options_destroy(o);
    unlink(f.path);
    return st;
}

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A .npy file, version 1, of little-endian data. */
static temp_file npy_file(const char *type, const char *shape, const void *data, size_t size)
{
    char file[4096], header[118];
    int n = snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    memset(header + n, ' ', sizeof header - (size_t)n);
    header[sizeof header - 1] = '\n';
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (char)sizeof header;
    file[9] = 0;
    memcpy(file + 10, header, sizeof header);
    memcpy(file + 10 + sizeof header, data, size);
    return temp_file_make(file, 10 + sizeof header + size);
}

static float x_of(const mtl_dataset *d, int64_t row, int64_t col)
{
    return mtl__array_row(&d->x, row)[col];
}

static float y_of(const mtl_dataset *d, int64_t task, int64_t row)
{
    return *mtl__array_row(&d->labels[task].y, row);
}

/* ---- CSV ---- */

START_TEST(headers_that_start_with_label_are_labels)
{
    mtl_dataset *d;
    assert_ok(load_text(NULL,
                        "a,label:size,b,label:kind\n"
                        "1,0.5,2,1\n"
                        ",1.5,-3e2,\n"
                        "nan,NA,4,0\n",
                        NULL, &d));
    ck_assert(d->rows == 3 && d->inputs == 2 && d->tasks == 2);
    ck_assert_str_eq(d->labels[0].task, "size");
    ck_assert_str_eq(d->labels[1].task, "kind");
    ck_assert_str_eq(d->input_names[0], "a");
    ck_assert_str_eq(d->input_names[1], "b");
    ck_assert(x_of(d, 0, 0) == 1 && x_of(d, 1, 1) == -300 && x_of(d, 2, 1) == 4);
    ck_assert(isnan(x_of(d, 1, 0)) && isnan(x_of(d, 2, 0)));
    ck_assert(y_of(d, 0, 1) == 1.5f && isnan(y_of(d, 0, 2)));
    ck_assert(y_of(d, 1, 0) == 1 && isnan(y_of(d, 1, 1)) && y_of(d, 1, 2) == 0);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(listed_columns_are_labels_in_the_order_of_the_list)
{
    mtl_dataset *d;
    assert_ok(load_text(NULL, "id;c;label:x;a\nfoo;1;2;3\n\"b;ar\";4;5;6\n",
                        SETTINGS("labels", " a , c ", "ignore", "id", "separator", ";"), &d));
    ck_assert(d->rows == 2 && d->inputs == 1 && d->tasks == 2);
    ck_assert_str_eq(d->labels[0].task, "a");
    ck_assert_str_eq(d->labels[1].task, "c");
    ck_assert_str_eq(d->input_names[0], "label:x"); /* all else is an input */
    ck_assert(y_of(d, 0, 1) == 6 && y_of(d, 1, 1) == 4 && x_of(d, 1, 0) == 5);
    mtl__dataset_destroy(d);
    assert_ok(load_text(NULL, "x\ty\n1\t2\n", SETTINGS("separator", "\t"), &d));
    ck_assert(d->rows == 1 && d->inputs == 2 && d->tasks == 0);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(an_ignored_label_column_is_no_label)
{
    mtl_dataset *d;
    assert_ok(load_text(NULL, "x,label:a,label:b\n1,red,3\n", SETTINGS("ignore", "label:a"), &d));
    ck_assert(d->tasks == 1 && d->inputs == 1 && y_of(d, 0, 0) == 3);
    mtl__dataset_destroy(d);
}
END_TEST

/* More rows than the first blocks hold, so that they grow several times. */
START_TEST(long_files_keep_every_row)
{
    enum { ROWS = 5000 };
    static char text[ROWS * 32 + 32];
    int at = snprintf(text, sizeof text, "x,label:a,y\n");
    for (int i = 0; i < ROWS; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%d,%d,%d.5\n", i, i % 7, -i);
    mtl_dataset *d;
    assert_ok(load_text(NULL, text, NULL, &d));
    ck_assert_int_eq(d->rows, ROWS);
    for (int i = 0; i < ROWS; i++)
        ck_assert(x_of(d, i, 0) == (float)i && y_of(d, 0, i) == (float)(i % 7) &&
                  x_of(d, i, 1) == (float)-i - (i ? 0.5f : -0.5f));
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(a_header_alone_has_no_rows)
{
    mtl_dataset *d;
    assert_ok(load_text(NULL, "a,label:b\n", NULL, &d));
    ck_assert(d->rows == 0 && d->inputs == 1 && d->tasks == 1);
    const float x = 1, y = 2;
    assert_ok(mtl__dataset_add_rows(d, "b", 1, &x, 1, 1, &y, 1, &err));
    ck_assert(y_of(d, 0, 0) == 2);
    mtl__dataset_destroy(d);
}
END_TEST

/* Labels of a file lie side by side in one array: they must come apart well. */
START_TEST(loaded_data_can_be_changed)
{
    mtl_dataset *d, *s;
    const int64_t rows[] = {1, 0};
    const float other[] = {8, 9};
    assert_ok(load_text(NULL, "a,label:b,label:c\n1,2,3\n4,5,6\n", NULL, &d));
    assert_ok(mtl__dataset_set_labels(d, "b", 1, other, 1, &err));
    assert_ok(mtl__dataset_subset(d, 2, rows, &s, &err));
    assert_ok(mtl__dataset_add_rows(d, "c", 1, other, 1, 1, other, 1, &err));
    mtl__dataset_destroy(d);
    ck_assert(y_of(s, 0, 0) == 9 && y_of(s, 1, 0) == 6 && x_of(s, 1, 0) == 1);
    ck_assert_str_eq(s->input_names[0], "a");
    mtl__dataset_destroy(s);
}
END_TEST

START_TEST(parts_with_other_headers_do_not_mix)
{
    mtl_dataset *parts[2], *j = NULL;
    assert_ok(load_text(NULL, "a,b,label:t\n1,2,0\n", NULL, &parts[0]));
    assert_ok(load_text(NULL, "b,a,label:t\n1,2,0\n", NULL, &parts[1]));
    const mtl_dataset *both[] = {parts[0], parts[1]}, *same[] = {parts[0], parts[0]};
    assert_fails(mtl__dataset_concat(2, both, &j, &err), MTL_ERR_NAME, &err,
                 "part 1: input column 0 is \"b\"");
    assert_ok(mtl__dataset_concat(2, same, &j, &err));
    ck_assert_str_eq(j->input_names[1], "b");
    mtl__dataset_destroy(j);
    mtl__dataset_destroy(parts[0]);
    mtl__dataset_destroy(parts[1]);
}
END_TEST

static void assert_refused(const char *text, const char *const *settings, mtl_status expected,
                           const char *part)
{
    mtl_dataset *d = NULL;
    assert_fails(load_text(NULL, text, settings, &d), expected, &err, part);
    ck_assert_ptr_null(d);
}

START_TEST(bad_files_and_options_are_refused)
{
    mtl_dataset *d = NULL;
    const char *text = "alpha,beta\n1,2\n";
    assert_refused(text, SETTINGS("labels", "alpa"), MTL_ERR_NAME, "did you mean \"alpha\"");
    assert_refused(text, SETTINGS("labels", "zzzzzzzz"), MTL_ERR_NAME, "\"zzzzzzzz\"");
    assert_refused(text, SETTINGS("labels", "beta,beta"), MTL_ERR_NAME, "twice");
    assert_refused(text, SETTINGS("labels", "beta", "ignore", "beta"), MTL_ERR_NAME, "twice");
    assert_refused(text, SETTINGS("labels", "beta,alpha"), MTL_ERR_FORMAT, "none of 2 columns");
    assert_refused(text, SETTINGS("separator", ""), MTL_ERR_RANGE, "separator");
    assert_refused(text, SETTINGS("separator", ";;"), MTL_ERR_RANGE, ";;");
    assert_refused(text, SETTINGS("separator", "e"), MTL_ERR_RANGE, "\"e\"");
    assert_refused(text, SETTINGS("separator", "\""), MTL_ERR_RANGE, "separate");
    assert_refused("a,label:\n1,2\n", NULL, MTL_ERR_NAME, "without a task");
    assert_refused("a,b\n1,2\n3,x\n", NULL, MTL_ERR_FORMAT, "row 2, column 2");
    assert_refused("a,b\n1,2\n3\n", NULL, MTL_ERR_FORMAT, "row 2");
    assert_fails(mtl__dataset_load_csv(NULL, "/nowhere/at/all.csv", NULL, NULL, &d, &err), MTL_ERR_IO,
                 &err, "all.csv");
    mtl_options *o = mtl__options_create(&mtl__make_classification_options);
    assert_fails(mtl__dataset_load_csv(NULL, "all.csv", o, NULL, &d, &err), MTL_ERR_TYPE, &err, "csv");
    mtl__options_destroy(o);
    ck_assert_ptr_null(d);
}
END_TEST

/* ---- npy ---- */

START_TEST(npy_inputs_and_labels)
{
    const float x[] = {1, 2, 3, 4, NAN, 6};
    const int64_t y[] = {2, 0, 1};
    const unsigned char z[] = {1, 0, 0, 1, 1, 1};
    temp_file fx = npy_file("<f4", "3, 2", x, sizeof x), fy = npy_file("<i8", "3,", y, sizeof y);
    temp_file fz = npy_file("|b1", "3, 2", z, sizeof z);
    mtl_dataset *d;
    assert_ok(mtl__dataset_load_npy(NULL, fx.path, &d, &err));
    assert_ok(mtl__dataset_load_npy_labels(d, "y", fy.path, &err));
    assert_ok(mtl__dataset_load_npy_labels(d, "z", fz.path, &err));
    ck_assert(d->rows == 3 && d->inputs == 2 && d->tasks == 2 && d->labels[1].cols == 2);
    ck_assert(x_of(d, 1, 0) == 3 && isnan(x_of(d, 2, 0)) && y_of(d, 0, 0) == 2);
    ck_assert(y_of(d, 1, 1) == 0 && mtl__array_row(&d->labels[1].y, 1)[1] == 1);
    assert_ok(mtl__dataset_load_npy_labels(d, "z", fy.path, &err)); /* replaced */
    ck_assert(d->tasks == 2 && d->labels[1].cols == 1 && y_of(d, 1, 2) == 1);
    mtl__dataset_destroy(d);
    assert_ok(mtl__dataset_load_npy(NULL, fy.path, &d, &err)); /* one dimension: one column */
    ck_assert(d->rows == 3 && d->inputs == 1 && x_of(d, 0, 0) == 2);
    mtl__dataset_destroy(d);
    unlink(fx.path), unlink(fy.path), unlink(fz.path);
}
END_TEST

START_TEST(npy_files_must_fit)
{
    const float x[] = {1, 2, 3, 4, 5, 6};
    temp_file three = npy_file("<f4", "3, 2", x, sizeof x),
              two = npy_file("<f4", "2, 3", x, sizeof x);
    temp_file cut = npy_file("<f4", "3, 2", x, sizeof x - 1);
    mtl_dataset *d, *e = NULL;
    assert_ok(mtl__dataset_load_npy(NULL, three.path, &d, &err));
    assert_fails(mtl__dataset_load_npy_labels(d, "y", two.path, &err), MTL_ERR_SHAPE, &err,
                 "has 2 rows, the data set 3");
    assert_fails(mtl__dataset_load_npy_labels(d, "", three.path, &err), MTL_ERR_NAME, &err,
                 "empty");
    assert_fails(mtl__dataset_load_npy_labels(d, "y", "/nowhere/y.npy", &err), MTL_ERR_IO, &err,
                 "y.npy");
    ck_assert_int_eq(d->tasks, 0);
    assert_fails(mtl__dataset_load_npy(NULL, cut.path, &e, &err), MTL_ERR_FORMAT, &err,
                 "mtl_test_");
    ck_assert_ptr_null(e);
    mtl__dataset_destroy(d);
    unlink(three.path), unlink(two.path), unlink(cut.path);
}
END_TEST

/* ---- Memory ---- */

typedef struct attempt {
    mtl_context *ctx;
    temp_file csv, npy;
} attempt;

static mtl_status try_load(void *arg)
{
    const attempt *a = arg;
    mtl_dataset *d = NULL, *e = NULL;
    mtl_status st = mtl__dataset_load_csv(a->ctx, a->csv.path, NULL, NULL, &d, NULL);
    ck_assert((st == MTL_OK) == (d != NULL));
    if (st == MTL_OK)
        st = mtl__dataset_load_npy(a->ctx, a->npy.path, &e, NULL);
    if (st == MTL_OK)
        st = mtl__dataset_load_npy_labels(d, "b", a->npy.path, NULL);
    if (d) /* replaced as a whole or not at all */
        ck_assert(d->tasks == 2 && d->labels[0].cols == (st == MTL_OK ? 2 : 1) &&
                  y_of(d, 0, 1) == (st == MTL_OK ? 30 : 5));
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(e);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    static const char text[] = "a,label:b,label:c\n1,2,3\n4,5,6\n";
    const float x[] = {10, 20, 30, 40};
    test_memory t = {0};
    attempt a = {.csv = temp_file_make(text, sizeof text - 1),
                 .npy = npy_file("<f4", "2, 2", x, sizeof x)};
    assert_ok(mtl__context_create(NULL, &a.ctx, &err));
    a.ctx->threads = 1;
    a.ctx->al = test_allocator(&t);
    ck_assert_int_ge(sweep_allocations(&t, try_load, &a), 20);
    mtl__context_unref(a.ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
    unlink(a.csv.path), unlink(a.npy.path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("load");
    add_case(s, "headers that start with label: are labels",
             headers_that_start_with_label_are_labels);
    add_case(s, "listed columns are labels in the order of the list",
             listed_columns_are_labels_in_the_order_of_the_list);
    add_case(s, "an ignored label column is no label", an_ignored_label_column_is_no_label);
    add_case(s, "long files keep every row", long_files_keep_every_row);
    add_case(s, "a header alone has no rows", a_header_alone_has_no_rows);
    add_case(s, "loaded data can be changed", loaded_data_can_be_changed);
    add_case(s, "parts with other headers do not mix", parts_with_other_headers_do_not_mix);
    add_case(s, "bad files and options are refused", bad_files_and_options_are_refused);
    add_case(s, "npy inputs and labels", npy_inputs_and_labels);
    add_case(s, "npy files must fit", npy_files_must_fit);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
