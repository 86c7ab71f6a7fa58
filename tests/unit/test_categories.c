/* SPDX-License-Identifier: MIT */
/* Categorical columns of CSV files. */
#include "api_testing.h"

static mtl_status load(mtl_context *ctx, const char *text, const char *categorical,
                       const mtl_dataset *like, mtl_dataset **out, mtl_error *why)
{
    temp_file f = temp_file_make(text, strlen(text));
    mtl_options *o = options(MTL_OPTIONS_CSV, "");
    done(mtl_options_set_str(o, "categorical", categorical, err));
    mtl_status st = like ? mtl_dataset_load_csv_like(ctx, f.path, o, like, out, why)
                         : mtl_dataset_load_csv(ctx, f.path, o, out, why);
    mtl_options_destroy(o);
    unlink(f.path);
    return st;
}

static mtl_dataset *loaded(const char *text, const char *categorical, const mtl_dataset *like)
{
    mtl_dataset *d = NULL;
    done(load(NULL, text, categorical, like, &d, err));
    return d;
}

/* Numbers of a column as text, "-" for a missing one. */
static void assert_column(const mtl_dataset *d, int64_t column, const char *expected)
{
    char found[256] = "";
    int64_t rows = mtl_dataset_rows(d), cols = mtl_dataset_inputs(d);
    float *x = floats(rows * cols);
    done(mtl_dataset_get_inputs(d, 0, rows, x, cols, err));
    for (int64_t i = 0; i < rows; i++) {
        float v = x[i * cols + column];
        size_t n = strlen(found);
        snprintf(found + n, sizeof found - n, isnan(v) ? "-" : "%g", (double)v);
    }
    ck_assert_str_eq(found, expected);
    free(x);
}

static void assert_names(const mtl_dataset *d, int64_t column, const char *expected)
{
    char found[256] = "";
    int64_t n = mtl_dataset_category_count(d, column);
    for (int64_t k = 0; k < n; k++) {
        strcat(found, k ? "|" : "");
        strcat(found, mtl_dataset_category_name(d, column, k));
    }
    ck_assert_str_eq(found, expected);
    ck_assert_ptr_null(mtl_dataset_category_name(d, column, n));
    ck_assert_ptr_null(mtl_dataset_category_name(d, column, -1));
}

static const char plants[] = "size,color,label:y,soil\n"
                             "1, red ,0,3\n"
                             "2,\"bl\"\"ue, dark\",1,clay\n"
                             "3,,0,3\n"
                             "4,NA,1,sand\n"
                             "5,gr\xc3\xbcn,0,\n"
                             "6,red,1,clay";

static void assert_plants(const mtl_dataset *d)
{
    assert_column(d, 0, "123456");
    assert_column(d, 1, "01--20");
    assert_names(d, 0, "");
    assert_names(d, 1, "red|bl\"ue, dark|gr\xc3\xbcn");
}

START_TEST(texts_are_numbered_as_they_appear)
{
    mtl_dataset *listed = loaded(plants, "soil, color", NULL),
                *found = loaded(plants, "auto", NULL);
    for (int k = 0; k < 2; k++) {
        assert_plants(k ? found : listed);
        assert_column(k ? found : listed, 2, "0102-1");
        assert_names(k ? found : listed, 2, "3|clay|sand");
    }
    mtl_dataset_destroy(listed), mtl_dataset_destroy(found);
}
END_TEST

START_TEST(auto_leaves_numbers_alone)
{
    mtl_dataset *d = loaded("a,b,label:c\n1,x,1\n,2,0\n", "auto", NULL);
    assert_column(d, 0, "1-");
    assert_column(d, 1, "01");
    ck_assert_int_eq(mtl_dataset_category_count(d, 0), 0);
    mtl_dataset_destroy(d);
    d = loaded("a,b\n1,2\n", "auto", NULL);
    ck_assert_int_eq(mtl_dataset_category_count(d, 1), 0);
    mtl_dataset_destroy(d);
    ck_assert_int_eq(mtl_dataset_category_count(NULL, 0), 0);
}
END_TEST

START_TEST(a_second_file_gets_the_same_numbers)
{
    mtl_dataset *first = loaded(plants, "auto", NULL);
    mtl_dataset *second = loaded(
        "size,color,soil,label:y\n7,gr\xc3\xbcn,sand,0\n8,pink,3,1\n9,red,loam,1\n", "", first);
    assert_column(second, 0, "789");
    assert_column(second, 1, "2-0");
    assert_column(second, 2, "20-");
    assert_names(second, 1, "red|bl\"ue, dark|gr\xc3\xbcn");
    mtl_dataset_destroy(first); /* what is shared stays */
    assert_names(second, 2, "3|clay|sand");
    /* a reference without categories asks for numbers */
    mtl_dataset *plain = loaded("a,b\n1,2\n", "", NULL), *none = NULL;
    refused(load(NULL, "a,b\n1,x\n", "auto", plain, &none, err), MTL_ERR_FORMAT, "not a number");
    mtl_dataset_destroy(plain), mtl_dataset_destroy(second);
}
END_TEST

START_TEST(parts_and_copies_keep_the_names)
{
    mtl_dataset *d = loaded(plants, "auto", NULL), *a = NULL, *b = NULL, *c = NULL, *e = NULL;
    done(mtl_dataset_split(d, 0.5, 1, &a, &b, err));
    done(mtl_dataset_copy(d, &c, err));
    mtl_dataset_destroy(d);
    assert_plants(c);
    assert_names(a, 2, "3|clay|sand");
    done(mtl_dataset_concat(3, (const mtl_dataset *const[]){a, c, b}, &e, err));
    assert_names(e, 2, "3|clay|sand");
    mtl_dataset_destroy(e);
    e = NULL;
    d = loaded("size,color,soil,label:y\n1,blue,clay,0\n", "auto", NULL);
    refused(mtl_dataset_concat(2, (const mtl_dataset *const[]){a, d}, &e, err), MTL_ERR_NAME,
            "part 1: input column 1");
    ck_assert_ptr_null(e);
    mtl_dataset_destroy(a), mtl_dataset_destroy(b), mtl_dataset_destroy(c), mtl_dataset_destroy(d);
}
END_TEST

START_TEST(many_categories)
{
    enum { N = 3000 };
    char *text = calloc(N, 24), *p = text;
    p += sprintf(p, "a,b\n");
    for (int i = 0; i < N; i++)
        p += sprintf(p, "name %d,%d\n", i * 7919 % N, i);
    mtl_dataset *d = loaded(text, "a", NULL), *e = loaded(text, "", d);
    float x[2];
    ck_assert_int_eq(mtl_dataset_category_count(d, 0), N);
    for (int i = 0; i < N; i += 97) {
        char name[32];
        sprintf(name, "name %d", i * 7919 % N);
        done(mtl_dataset_get_inputs(e, i, 1, x, 2, err));
        ck_assert_str_eq(mtl_dataset_category_name(d, 0, (int64_t)x[0]), name);
    }
    mtl_dataset_destroy(d), mtl_dataset_destroy(e);
    free(text);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    mtl_dataset *d = NULL, *like = loaded(plants, "auto", NULL);
    refused(load(NULL, plants, "colour", NULL, &d, err), MTL_ERR_NAME, "did you mean \"color\"");
    refused(load(NULL, plants, "color,color", NULL, &d, err), MTL_ERR_NAME, "twice");
    refused(load(NULL, plants, "label:y", NULL, &d, err), MTL_ERR_NAME, "label:y");
    refused(load(NULL, plants, "color", NULL, &d, err), MTL_ERR_FORMAT, "\"soil\": \"clay\"");
    refused(load(NULL, "a,label:y\n1,x\n", "auto", NULL, &d, err), MTL_ERR_FORMAT, "label:y");
    refused(load(NULL, "a\n\xff\n", "auto", NULL, &d, err), MTL_ERR_FORMAT, "not UTF-8");
    refused(load(NULL, "a\nx\n", "", like, &d, err), MTL_ERR_SHAPE, "1 input columns");
    refused(load(NULL, "size,soil,color\n1,x,y\n", "", like, &d, err), MTL_ERR_NAME,
            "column 1 is \"soil\"");
    refused(mtl_dataset_load_csv_like(NULL, "x", NULL, NULL, &d, err), MTL_ERR_INVALID,
            "reference");
    ck_assert_ptr_null(d);
    mtl_dataset_destroy(like);
}
END_TEST

/* ---- Classes ----------------------------------------------------------------------------------- */

static mtl_status load_classes(mtl_context *ctx, const char *text, const char *classes,
                               const mtl_dataset *like, mtl_dataset **out, mtl_error *why)
{
    temp_file f = temp_file_make(text, strlen(text));
    mtl_options *o = options(MTL_OPTIONS_CSV, "");
    done(mtl_options_set_str(o, "classes", classes, err));
    mtl_status st = like ? mtl_dataset_load_csv_like(ctx, f.path, o, like, out, why)
                         : mtl_dataset_load_csv(ctx, f.path, o, out, why);
    mtl_options_destroy(o);
    unlink(f.path);
    return st;
}

static const char iris[] = "a,label:kind,label:ripe,label:n\n"
                           "1, setosa ,yes,3\n"
                           "2,\"vir,ginica\",no,1\n"
                           "3,,yes,0\n"
                           "4,versicolor,,2\n"
                           "5,setosa,no,1\n";

/* Labels of a task and its classes: "0-1|a|b". */
static void assert_classes(const mtl_dataset *d, const char *task, const char *expected)
{
    char found[256] = "";
    float y[16];
    int64_t t = 0, rows = mtl_dataset_rows(d);
    while (strcmp(mtl_dataset_task_name(d, t), task) != 0)
        t++;
    done(mtl_dataset_get_labels(d, task, 0, rows, y, 1, err));
    for (int64_t i = 0; i < rows; i++)
        sprintf(found + strlen(found), isnan(y[i]) ? "-" : "%g", (double)y[i]);
    for (int64_t k = 0; k < mtl_dataset_class_count(d, t); k++)
        sprintf(found + strlen(found), "|%s", mtl_dataset_class_name(d, t, k));
    ck_assert_str_eq(found, expected);
    ck_assert_ptr_null(mtl_dataset_class_name(d, t, mtl_dataset_class_count(d, t)));
    ck_assert_ptr_null(mtl_dataset_class_name(d, t, -1));
}

START_TEST(labels_can_be_texts)
{
    static const float again[] = {1, 0};
    mtl_dataset *d = NULL, *e = NULL, *part = NULL, *rest = NULL, *copy = NULL;
    mtl_model *m = NULL, *moved = NULL;
    mtl_spec *s = NULL;
    done(load_classes(NULL, iris, "auto", NULL, &d, err));
    assert_classes(d, "kind", "01-20|setosa|vir,ginica|versicolor");
    assert_classes(d, "ripe", "010-1|yes|no");
    assert_classes(d, "n", "31021");
    ck_assert_int_eq(mtl_dataset_class_count(d, 3), 0);
    ck_assert_int_eq(mtl_dataset_class_count(NULL, 0), 0);
    done(load_classes(NULL, iris, "label:ripe , label:kind", NULL, &e, err));
    assert_classes(e, "kind", "01-20|setosa|vir,ginica|versicolor");
    mtl_dataset_destroy(e);
    /* Parts, copies and a second file keep them. */
    done(mtl_dataset_subset(d, 2, (int64_t[]){4, 0}, &part, err));
    done(mtl_dataset_copy(part, &copy, err));
    mtl_dataset_destroy(part);
    assert_classes(copy, "kind", "00|setosa|vir,ginica|versicolor");
    done(load_classes(NULL, "a,label:kind,label:n\n7,versicolor,2\n8,NA,1\n", "", d, &rest, err));
    assert_classes(rest, "kind", "2-|setosa|vir,ginica|versicolor");
    done(mtl_dataset_concat(2, (const mtl_dataset *[]){copy, rest}, &e, err));
    assert_classes(e, "kind", "002-|setosa|vir,ginica|versicolor");
    /* Kinds are stated: a part with one class only makes a task of three. */
    done(mtl_spec_create(NULL, 1, &s, err));
    done(mtl_spec_add_task(s, "n", MTL_REGRESSION, 1, err));
    done(mtl_model_create(s, &m, err));
    fit(m, d, "epochs=1");
    done(mtl_transfer(m, copy, NULL, NULL, &moved, NULL, err));
    int64_t kind = mtl_model_task_index(moved, "kind"), ripe = mtl_model_task_index(moved, "ripe");
    ck_assert_int_eq(mtl_model_task_outputs(moved, kind), 3);
    ck_assert_int_eq(mtl_model_task_kind(moved, ripe), MTL_BINARY);
    /* Labels set anew have no texts. */
    done(mtl_dataset_set_labels(copy, "kind", 1, again, 1, err));
    assert_classes(copy, "kind", "10");
    mtl_spec_destroy(s);
    mtl_model_destroy(m), mtl_model_destroy(moved);
    mtl_dataset_destroy(d), mtl_dataset_destroy(e), mtl_dataset_destroy(copy);
    mtl_dataset_destroy(rest);
}
END_TEST

START_TEST(classes_that_cannot_be_are_refused)
{
    mtl_dataset *d = NULL, *e = NULL, *f = NULL;
    refused(load_classes(NULL, iris, "a", NULL, &d, err), MTL_ERR_NAME, "no label column");
    refused(load_classes(NULL, iris, "label:kind,label:kind", NULL, &d, err), MTL_ERR_NAME, "twice");
    refused(load_classes(NULL, iris, "kind", NULL, &d, err), MTL_ERR_NAME, "no column");
    refused(load_classes(NULL, iris, "label:kind", NULL, &d, err), MTL_ERR_FORMAT, "label:ripe");
    refused(load_classes(NULL, "a,label:y\nx,u\n", "auto", NULL, &d, err), MTL_ERR_FORMAT, "\"a\"");
    done(load_classes(NULL, iris, "auto", NULL, &d, err));
    refused(load_classes(NULL, "a,label:kind\n1,setosa\n2,rose\n", "", d, &e, err), MTL_ERR_VALUE,
            "row 2, column \"label:kind\": \"rose\"");
    done(load_classes(NULL, "a,label:kind\n1,rose\n", "auto", NULL, &e, err));
    refused(mtl_dataset_concat(2, (const mtl_dataset *[]){d, e}, &f, err), MTL_ERR_NAME,
            "part 1: task \"kind\" has other classes");
    ck_assert_ptr_null(f);
    mtl_dataset_destroy(d), mtl_dataset_destroy(e);
}
END_TEST

static mtl_status try_load(void *ctx)
{
    mtl_dataset *a = NULL, *b = NULL, *c = NULL;
    mtl_status st = load(ctx, plants, "auto", NULL, &a, NULL);
    if (st == MTL_OK)
        st = load(ctx, plants, "", a, &b, NULL);
    if (st == MTL_OK)
        st = mtl_dataset_concat(2, (const mtl_dataset *const[]){a, b}, &c, NULL);
    mtl_dataset_destroy(a), mtl_dataset_destroy(b), mtl_dataset_destroy(c);
    a = b = c = NULL;
    if (st == MTL_OK)
        st = load_classes(ctx, iris, "auto", NULL, &a, NULL);
    if (st == MTL_OK)
        st = load_classes(ctx, iris, "", a, &b, NULL);
    if (st == MTL_OK)
        st = mtl_dataset_concat(2, (const mtl_dataset *const[]){a, b}, &c, NULL);
    mtl_dataset_destroy(a), mtl_dataset_destroy(b), mtl_dataset_destroy(c);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl_context *ctx = counted_context(&t, "threads=1");
    mtl_dataset *first = NULL; /* the context is in use from now on */
    done(mtl_dataset_create(ctx, (float[]){1}, 1, 1, 1, &first, err));
    ck_assert_int_ge(sweep_allocations(&t, try_load, ctx), 30);
    mtl_dataset_destroy(first);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("categories");
    add_case(s, "texts are numbered as they appear", texts_are_numbered_as_they_appear);
    add_case(s, "auto leaves numbers alone", auto_leaves_numbers_alone);
    add_case(s, "a second file gets the same numbers", a_second_file_gets_the_same_numbers);
    add_case(s, "parts and copies keep the names", parts_and_copies_keep_the_names);
    add_case(s, "many categories", many_categories);
    add_case(s, "what makes no sense is refused", what_makes_no_sense_is_refused);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    add_case(s, "labels can be texts", labels_can_be_texts);
    add_case(s, "classes that cannot be are refused", classes_that_cannot_be_are_refused);
    return run_suite(s);
}
