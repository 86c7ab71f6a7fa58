/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "data/dataset.h"

static mtl_error err;

/* ---- Small data sets and a way to compare them ---- */

/* Five rows of two inputs in a matrix of stride 3; labels "a" of one column, "b" of two. */
static const float x5[] = {1, 10, 99, 2, 20, 99, 3, 30, 99, 4, 40, 99, 5, 50, 99};
static const float a5[] = {0, 1, NAN, 1, 0};
static const float b5[] = {0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f, 8.5f, NAN};
static const float w5[] = {1, 2, 3, 4, 5}, v5[] = {0, 0.5f, 0, 0.5f, 0};

static mtl_dataset *make5(mtl_context *ctx)
{
    mtl_dataset *d;
    assert_ok(mtl__dataset_create(ctx, x5, 5, 2, 3, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, a5, 1, &err));
    assert_ok(mtl__dataset_set_labels(d, "b", 2, b5, 2, &err));
    return d;
}

static float x_of(const mtl_dataset *d, int64_t row, int64_t col)
{
    return mtl__array_row(&d->x, row)[col];
}

static float y_of(const mtl_dataset *d, const char *task, int64_t row, int64_t col)
{
    int64_t t = mtl__dataset_task(d, task);
    ck_assert_msg(t >= 0, "no task %s", task);
    return mtl__array_row(&d->labels[t].y, row)[col];
}

static float w_of(const mtl_dataset *d, const char *task, int64_t row)
{
    const mtl__array *w = mtl__dataset_weight(d, mtl__dataset_task(d, task));
    return w ? *mtl__array_row(w, row) : 1;
}

static void assert_float(float a, float b)
{
    ck_assert_msg(a == b || (isnan(a) && isnan(b)), "%g, not %g", (double)a, (double)b);
}

/* Row `row` of d holds row `of` of make5(). */
static void assert_row5(const mtl_dataset *d, int64_t row, int64_t of)
{
    for (int64_t j = 0; j < 2; j++) {
        assert_float(x_of(d, row, j), x5[3 * of + j]);
        assert_float(y_of(d, "b", row, j), b5[2 * of + j]);
    }
    assert_float(y_of(d, "a", row, 0), a5[of]);
}

static bool points_into(const float *p, const float *array, int64_t n)
{
    return p >= array && p < array + n;
}

/* ---- Create and set ---- */

START_TEST(inputs_and_labels_are_borrowed)
{
    mtl_dataset *d = make5(NULL);
    for (int64_t i = 0; i < 5; i++)
        assert_row5(d, i, i);
    ck_assert(d->x.p == x5 && d->labels[0].y.p == a5 && d->labels[1].y.p == b5);
    ck_assert(d->tasks == 2 && d->labels[1].cols == 2 && d->rows == 5 && d->inputs == 2);
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(NULL);
}
END_TEST

START_TEST(shapes_that_cannot_be_are_refused)
{
    mtl_dataset *d = NULL, *e = NULL;
    assert_fails(mtl__dataset_create(NULL, x5, 5, 2, 1, &e, &err), MTL_ERR_SHAPE, &err, "stride 1");
    assert_fails(mtl__dataset_create(NULL, x5, -1, 2, 2, &e, &err), MTL_ERR_SHAPE, &err, "-1 rows");
    assert_fails(mtl__dataset_create(NULL, x5, 5, 0, 2, &e, &err), MTL_ERR_SHAPE, &err, "0 col");
    assert_fails(mtl__dataset_create(NULL, NULL, 5, 2, 2, &e, &err), MTL_ERR_INVALID, &err, "NULL");
    assert_fails(mtl__dataset_create(NULL, x5, INT64_MAX / 4, 2, 3, &e, &err), MTL_ERR_SHAPE, &err,
                 "exceed");
    ck_assert_ptr_null(e);
    d = make5(NULL);
    assert_fails(mtl__dataset_set_labels(d, "c", 2, b5, 1, &err), MTL_ERR_SHAPE, &err, "\"c\"");
    assert_fails(mtl__dataset_set_labels(d, "c", 1, NULL, 1, &err), MTL_ERR_INVALID, &err, "\"c\"");
    assert_fails(mtl__dataset_set_labels(d, "", 1, a5, 1, &err), MTL_ERR_NAME, &err, "empty");
    ck_assert_int_eq(d->tasks, 2);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(no_rows_are_fine)
{
    mtl_dataset *d, *e, *f;
    const mtl_dataset *both[2];
    const float one[] = {1, 2}, label[] = {1};
    assert_ok(mtl__dataset_create(NULL, NULL, 0, 2, 2, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, NULL, 1, &err));
    assert_ok(mtl__dataset_copy(d, &e, &err));
    both[0] = d, both[1] = e;
    assert_ok(mtl__dataset_concat(2, both, &f, &err));
    ck_assert(f->rows == 0 && f->tasks == 1);
    mtl__dataset_destroy(f);
    assert_ok(mtl__dataset_subset(d, 0, NULL, &f, &err));
    assert_ok(mtl__dataset_add_rows(f, "a", 1, one, 2, 1, label, 1, &err));
    assert_ok(mtl__dataset_add_rows(d, "a", 0, NULL, 2, 1, NULL, 1, &err));
    ck_assert(f->rows == 1 && y_of(f, "a", 0, 0) == 1 && d->rows == 0);
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(e);
    mtl__dataset_destroy(f);
}
END_TEST

START_TEST(labels_can_be_replaced)
{
    mtl_dataset *d = make5(NULL);
    assert_ok(mtl__dataset_set_kind(d, "a", MTL_BINARY, 1, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, w5, 1, &err));
    ck_assert(d->tasks == 2 && y_of(d, "a", 4, 0) == 5 && d->labels[0].kind == MTL_BINARY);
    assert_ok(mtl__dataset_set_labels(d, "a", 2, b5, 2, &err));
    ck_assert(d->labels[0].cols == 2 && d->labels[0].kind == 0); /* binary has one column */
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(many_tasks_keep_their_order)
{
    mtl_dataset *d;
    char name[16];
    assert_ok(mtl__dataset_create(NULL, x5, 5, 2, 3, &d, &err));
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_ok(mtl__dataset_set_labels(d, name, 1, i % 2 ? a5 : w5, 1, &err));
    }
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "t%d", i);
        ck_assert_int_eq(mtl__dataset_task(d, name), i);
    }
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(weights_of_a_task_go_before_those_of_all)
{
    mtl_dataset *d = make5(NULL);
    const float bad[] = {1, 1, -1, 1, 1}, worse[] = {1, 1, 1, INFINITY, 1},
                nan[] = {NAN, 1, 1, 1, 1};
    ck_assert_ptr_null(mtl__dataset_weight(d, 0));
    assert_ok(mtl__dataset_set_weights(d, NULL, w5, &err));
    assert_ok(mtl__dataset_set_weights(d, "b", v5, &err));
    ck_assert(w_of(d, "a", 4) == 5 && w_of(d, "b", 3) == 0.5f);
    assert_fails(mtl__dataset_set_weights(d, NULL, bad, &err), MTL_ERR_VALUE, &err, "row 2");
    assert_fails(mtl__dataset_set_weights(d, "b", worse, &err), MTL_ERR_VALUE, &err, "row 3");
    assert_fails(mtl__dataset_set_weights(d, "b", nan, &err), MTL_ERR_VALUE, &err, "\"b\"");
    assert_fails(mtl__dataset_set_weights(d, "c", w5, &err), MTL_ERR_NAME, &err, "\"c\"");
    ck_assert(w_of(d, "a", 4) == 5 && w_of(d, "b", 3) == 0.5f);
    assert_ok(mtl__dataset_set_weights(d, "b", NULL, &err));
    ck_assert(w_of(d, "b", 3) == 4);
    assert_ok(mtl__dataset_set_weights(d, NULL, NULL, &err));
    ck_assert_ptr_null(mtl__dataset_weight(d, 1));
    mtl__dataset_destroy(d);
}
END_TEST

/* ---- Views ---- */

START_TEST(a_subset_borrows_and_keeps_its_order)
{
    const int64_t rows[] = {4, 0, 4, 2};
    mtl_dataset *d = make5(NULL), *s;
    assert_ok(mtl__dataset_set_weights(d, "a", w5, &err));
    assert_ok(mtl__dataset_subset(d, 4, rows, &s, &err));
    mtl__dataset_destroy(d); /* no order of destruction */
    ck_assert_int_eq(s->rows, 4);
    for (int64_t i = 0; i < 4; i++) {
        assert_row5(s, i, rows[i]);
        assert_float(w_of(s, "a", i), w5[rows[i]]);
    }
    ck_assert(points_into(mtl__array_row(&s->x, 0), x5, 15));
    ck_assert(s->x.index == s->labels[0].y.index && s->x.index == s->labels[0].weight.index);
    mtl__dataset_destroy(s);
}
END_TEST

START_TEST(row_numbers_outside_are_refused)
{
    const int64_t rows[] = {0, 5}, low[] = {-1};
    mtl_dataset *d = make5(NULL), *s = NULL;
    assert_fails(mtl__dataset_subset(d, 2, rows, &s, &err), MTL_ERR_RANGE, &err, "5 of 5");
    assert_fails(mtl__dataset_subset(d, 1, low, &s, &err), MTL_ERR_RANGE, &err, "-1");
    assert_fails(mtl__dataset_subset(d, 1, NULL, &s, &err), MTL_ERR_INVALID, &err, "row numbers");
    assert_fails(mtl__dataset_range(d, 4, 2, &s, &err), MTL_ERR_RANGE, &err, "2 rows");
    assert_fails(mtl__dataset_range(d, INT64_MAX, 1, &s, &err), MTL_ERR_RANGE, &err, "1 rows");
    assert_fails(mtl__dataset_range(d, 1, INT64_MAX, &s, &err), MTL_ERR_RANGE, &err, "from row 1");
    ck_assert_ptr_null(s);
    mtl__dataset_destroy(d);
}
END_TEST

/* The labels of the second step have no index, the inputs have that of the first. */
START_TEST(labels_of_a_subset_come_in_its_order)
{
    const int64_t rows[] = {4, 0, 2}, again[] = {2, 1};
    const float c[] = {70, 71, 72}, w[] = {1, 2, 3};
    mtl_dataset *d = make5(NULL), *s, *t;
    assert_ok(mtl__dataset_subset(d, 3, rows, &s, &err));
    assert_ok(mtl__dataset_set_labels(s, "c", 1, c, 1, &err));
    assert_ok(mtl__dataset_set_weights(s, NULL, w, &err));
    assert_ok(mtl__dataset_subset(s, 2, again, &t, &err));
    for (int64_t i = 0; i < 2; i++) {
        assert_row5(t, i, rows[again[i]]);
        assert_float(y_of(t, "c", i, 0), c[again[i]]);
        assert_float(w_of(t, "a", i), w[again[i]]);
    }
    ck_assert_int_eq(d->tasks, 2);
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(d);
    assert_float(y_of(t, "c", 0, 0), 72);
    mtl__dataset_destroy(t);
}
END_TEST

/* Without weights there is an empty array between the inputs and the labels, which has no index. */
START_TEST(a_subset_of_a_subset_needs_no_weights)
{
    const int64_t rows[] = {4, 0, 2}, again[] = {2, 1};
    const float c[] = {70, 71, 72};
    mtl_dataset *d = make5(NULL), *s, *t;
    assert_ok(mtl__dataset_subset(d, 3, rows, &s, &err));
    assert_ok(mtl__dataset_set_labels(s, "c", 1, c, 1, &err));
    assert_ok(mtl__dataset_subset(s, 2, again, &t, &err));
    for (int64_t i = 0; i < 2; i++) {
        assert_row5(t, i, rows[again[i]]);
        assert_float(y_of(t, "c", i, 0), c[again[i]]);
    }
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(t);
}
END_TEST

START_TEST(a_range_needs_no_index)
{
    const int64_t rows[] = {4, 0, 2, 1};
    mtl_dataset *d = make5(NULL), *s, *r, *q;
    assert_ok(mtl__dataset_set_weights(d, NULL, w5, &err));
    assert_ok(mtl__dataset_range(d, 2, 3, &r, &err));
    ck_assert(r->rows == 3 && !r->x.index);
    for (int64_t i = 0; i < 3; i++) {
        assert_row5(r, i, i + 2);
        assert_float(w_of(r, "b", i), w5[i + 2]);
    }
    assert_ok(mtl__dataset_subset(d, 4, rows, &s, &err));
    assert_ok(mtl__dataset_range(s, 1, 2, &q, &err));
    mtl__dataset_destroy(s);
    assert_row5(q, 0, 0);
    assert_row5(q, 1, 2);
    mtl__dataset_destroy(q);
    assert_ok(mtl__dataset_range(d, 5, 0, &q, &err));
    mtl__dataset_destroy(q);
    mtl__dataset_destroy(r);
    mtl__dataset_destroy(d);
}
END_TEST

/* ---- Copies ---- */

START_TEST(a_copy_owns_everything)
{
    float x[] = {1, 2, 3, 4}, y[] = {0, 1}, w[] = {5, 6};
    const int64_t rows[] = {1, 0, 1};
    mtl_dataset *d, *s, *c;
    assert_ok(mtl__dataset_create(NULL, x, 2, 2, 2, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, y, 1, &err));
    assert_ok(mtl__dataset_set_weights(d, "a", w, &err));
    assert_ok(mtl__dataset_set_kind(d, "a", MTL_REGRESSION, 1, &err));
    assert_ok(mtl__dataset_subset(d, 3, rows, &s, &err));
    assert_ok(mtl__dataset_copy(s, &c, &err));
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(d);
    memset(x, 0, sizeof x), memset(y, 0, sizeof y), memset(w, 0, sizeof w);
    ck_assert(c->rows == 3 && x_of(c, 0, 0) == 3 && x_of(c, 1, 1) == 2 && x_of(c, 2, 1) == 4);
    ck_assert(y_of(c, "a", 0, 0) == 1 && y_of(c, "a", 1, 0) == 0 && w_of(c, "a", 2) == 6);
    ck_assert(c->labels[0].kind == MTL_REGRESSION && c->labels[0].outputs == 1);
    mtl__dataset_destroy(c);
}
END_TEST

START_TEST(concat_unites_tasks_and_weights)
{
    const float x[] = {7, 70, 8, 80}, c[] = {6, 7}, w[] = {10, 20};
    const mtl_dataset *parts[3];
    mtl_dataset *d = make5(NULL), *e, *f, *j;
    assert_ok(mtl__dataset_set_weights(d, "b", v5, &err));
    assert_ok(mtl__dataset_create(NULL, x, 2, 2, 2, &e, &err));
    assert_ok(mtl__dataset_set_labels(e, "c", 1, c, 1, &err));
    assert_ok(mtl__dataset_set_labels(e, "b", 2, x, 2, &err));
    assert_ok(mtl__dataset_set_weights(e, NULL, w, &err));
    assert_ok(mtl__dataset_range(d, 1, 1, &f, &err));
    parts[0] = d, parts[1] = e, parts[2] = f;
    assert_ok(mtl__dataset_concat(3, parts, &j, &err));
    ck_assert(j->rows == 8 && j->tasks == 3);
    assert_row5(j, 4, 4);
    assert_row5(j, 7, 1);
    ck_assert(x_of(j, 6, 1) == 80 && y_of(j, "b", 6, 1) == 80 && y_of(j, "c", 5, 0) == 6);
    ck_assert(isnan(y_of(j, "a", 5, 0)) && isnan(y_of(j, "c", 4, 0)) && isnan(y_of(j, "c", 7, 0)));
    /* Every label keeps the weight that it had, whoever gave it. */
    ck_assert(w_of(j, "a", 0) == 1 && w_of(j, "b", 1) == 0.5f && w_of(j, "b", 7) == 0.5f);
    ck_assert(w_of(j, "c", 5) == 10 && w_of(j, "b", 6) == 20 && w_of(j, "a", 7) == 1);
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(e);
    mtl__dataset_destroy(f);
    mtl__dataset_destroy(j);
}
END_TEST

START_TEST(concat_refuses_what_does_not_fit)
{
    const float x[] = {1, 2, 3, 4};
    const mtl_dataset *parts[2];
    mtl_dataset *d = make5(NULL), *e, *j = NULL;
    parts[0] = d;
    parts[1] = NULL;
    assert_fails(mtl__dataset_concat(2, parts, &j, &err), MTL_ERR_INVALID, &err, "part 1");
    assert_fails(mtl__dataset_concat(0, parts, &j, &err), MTL_ERR_INVALID, &err, "0 parts");
    assert_ok(mtl__dataset_create(NULL, x, 1, 4, 4, &e, &err));
    parts[1] = e;
    assert_fails(mtl__dataset_concat(2, parts, &j, &err), MTL_ERR_SHAPE, &err, "4 input");
    mtl__dataset_destroy(e);
    assert_ok(mtl__dataset_create(NULL, x, 2, 2, 2, &e, &err));
    parts[1] = e;
    assert_ok(mtl__dataset_set_labels(e, "a", 2, x, 2, &err));
    assert_fails(mtl__dataset_concat(2, parts, &j, &err), MTL_ERR_SHAPE, &err, "\"a\" has 2");
    assert_ok(mtl__dataset_set_labels(e, "a", 1, x, 1, &err));
    assert_ok(mtl__dataset_set_kind(e, "a", MTL_MULTICLASS, 3, &err));
    assert_ok(mtl__dataset_concat(2, parts, &j, &err));
    ck_assert_int_eq(j->labels[0].outputs, 3); /* stated by one part */
    mtl__dataset_destroy(j);
    assert_ok(mtl__dataset_set_kind(d, "a", MTL_BINARY, 1, &err));
    assert_fails(mtl__dataset_concat(2, parts, &j, &err), MTL_ERR_INVALID, &err, "another kind");
    mtl__dataset_destroy(d);
    mtl__dataset_destroy(e);
}
END_TEST

/* ---- Added rows ---- */

START_TEST(added_rows_have_one_task)
{
    const float x[] = {6, 60, 7, 70}, c[] = {1, 2};
    mtl_dataset *d = make5(NULL);
    assert_ok(mtl__dataset_set_weights(d, NULL, w5, &err));
    assert_ok(mtl__dataset_set_weights(d, "b", v5, &err));
    assert_ok(mtl__dataset_add_rows(d, "c", 2, x, 2, 1, c, 1, &err));
    assert_ok(mtl__dataset_add_rows(d, "b", 1, x, 2, 2, x + 2, 2, &err));
    ck_assert(d->rows == 8 && d->tasks == 3);
    for (int64_t i = 0; i < 5; i++) {
        assert_row5(d, i, i);
        ck_assert(isnan(y_of(d, "c", i, 0)));
        ck_assert(w_of(d, "a", i) == w5[i] && w_of(d, "b", i) == v5[i]);
    }
    ck_assert(x_of(d, 6, 1) == 70 && y_of(d, "c", 6, 0) == 2 && isnan(y_of(d, "b", 6, 1)));
    ck_assert(y_of(d, "b", 7, 1) == 70 && isnan(y_of(d, "c", 7, 0)) && isnan(y_of(d, "a", 7, 0)));
    ck_assert(w_of(d, "c", 5) == 1 && w_of(d, "b", 7) == 1);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(added_rows_must_fit)
{
    mtl_dataset *d = make5(NULL);
    assert_fails(mtl__dataset_add_rows(d, "a", 1, x5, 3, 2, b5, 2, &err), MTL_ERR_SHAPE, &err,
                 "2 label columns, it has 1");
    assert_fails(mtl__dataset_add_rows(d, "a", 1, x5, 1, 1, a5, 1, &err), MTL_ERR_SHAPE, &err,
                 "stride 1");
    assert_fails(mtl__dataset_add_rows(d, "a", 1, x5, 3, 1, NULL, 1, &err), MTL_ERR_INVALID, &err,
                 "\"a\"");
    assert_fails(mtl__dataset_add_rows(d, "a", INT64_MAX / 8, x5, 3, 1, a5, 1, &err), MTL_ERR_SHAPE,
                 &err, "exceed");
    ck_assert(d->rows == 5 && d->tasks == 2 && d->x.p == x5);
    mtl__dataset_destroy(d);
}
END_TEST

/* A view must not see, or be moved by, what its source appends. */
START_TEST(views_stay_as_they_are_when_their_source_grows)
{
    const int64_t rows[] = {5, 0};
    const float x[] = {6, 60, 7, 70}, a[] = {0, 1};
    mtl_dataset *d = make5(NULL), *s, *r;
    assert_ok(mtl__dataset_add_rows(d, "a", 2, x, 2, 1, a, 1, &err));
    assert_ok(mtl__dataset_subset(d, 2, rows, &s, &err));
    assert_ok(mtl__dataset_range(d, 0, 7, &r, &err));
    assert_ok(mtl__dataset_add_rows(d, "a", 2, x, 2, 1, a, 1, &err));
    assert_ok(mtl__dataset_add_rows(r, "a", 1, x5, 3, 1, a5 + 1, 1, &err)); /* both append */
    ck_assert(x_of(s, 0, 0) == 6 && x_of(s, 1, 0) == 1);
    ck_assert(x_of(d, 7, 0) == 6 && x_of(r, 7, 0) == 1);
    ck_assert(y_of(d, "a", 7, 0) == 0 && y_of(r, "a", 7, 0) == 1);
    mtl__dataset_destroy(d);
    ck_assert(x_of(s, 0, 1) == 60 && x_of(r, 6, 1) == 70);
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(r);
}
END_TEST

/* The last user of a block with room left, which does not use it from the front or in order. */
START_TEST(a_view_that_outlives_its_source_can_grow)
{
    const int64_t rows[] = {3, 1};
    const float x[] = {6, 60}, label = 1;
    for (int k = 0; k < 2; k++) {
        mtl_dataset *d, *s, *base = make5(NULL);
        assert_ok(mtl__dataset_copy(base, &d, &err));
        assert_ok(mtl__dataset_add_rows(d, "a", 1, x, 2, 1, &label, 1, &err));
        if (k == 0)
            assert_ok(mtl__dataset_subset(d, 2, rows, &s, &err));
        else
            assert_ok(mtl__dataset_range(d, 1, 2, &s, &err));
        mtl__dataset_destroy(d);
        assert_ok(mtl__dataset_add_rows(s, "a", 1, x, 2, 1, &label, 1, &err));
        assert_row5(s, 0, k == 0 ? 3 : 1);
        assert_row5(s, 1, k == 0 ? 1 : 2);
        ck_assert(s->rows == 3 && x_of(s, 2, 1) == 60 && y_of(s, "a", 2, 0) == 1);
        mtl__dataset_destroy(s);
        mtl__dataset_destroy(base);
    }
}
END_TEST

START_TEST(a_data_set_can_be_appended_to_itself)
{
    mtl_dataset *d;
    const float x[] = {1, 2, 3, 4}, y[] = {0, 1};
    assert_ok(mtl__dataset_create(NULL, NULL, 0, 2, 2, &d, &err));
    assert_ok(mtl__dataset_add_rows(d, "a", 2, x, 2, 1, y, 1, &err));
    for (int i = 0; i < 6; i++)
        assert_ok(mtl__dataset_add_rows(d, "a", d->rows, d->x.p, 2, 1, d->labels[0].y.p, 1, &err));
    ck_assert_int_eq(d->rows, 128);
    for (int64_t i = 0; i < d->rows; i++)
        ck_assert(x_of(d, i, 1) == x[2 * (i % 2) + 1] && y_of(d, "a", i, 0) == y[i % 2]);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(appending_row_by_row_allocates_rarely)
{
    test_memory t = {0};
    mtl_context *ctx;
    mtl_dataset *d;
    assert_ok(mtl__context_create(NULL, &ctx, &err));
    ctx->threads = 1;
    ctx->al = test_allocator(&t);
    assert_ok(mtl__dataset_create(ctx, NULL, 0, 1, 1, &d, &err));
    for (int i = 0; i < 4000; i++) {
        float x = (float)i, y = (float)(i % 3);
        assert_ok(mtl__dataset_add_rows(d, "a", 1, &x, 1, 1, &y, 1, &err));
    }
    ck_assert(x_of(d, 3999, 0) == 3999 && y_of(d, "a", 3998, 0) == 2);
    /* One for the list of arrays in each call, and two blocks of two parts each when they double.
     */
    ck_assert_int_lt(atomic_load(&t.calls), 4000 + 4 * 16);
    mtl__dataset_destroy(d);
    mtl__context_unref(ctx);
    ck_assert_int_eq(atomic_load(&t.live), 0);
}
END_TEST

/* ---- Kinds and checks ---- */

static void assert_kind(int64_t rows, int64_t cols, const float *y, int32_t kind, int64_t outputs)
{
    mtl_dataset *d;
    int32_t k = 0;
    int64_t n = 0;
    assert_ok(mtl__dataset_create(NULL, x5, rows, 1, 1, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", cols, y, cols, &err));
    assert_ok(mtl__dataset_kind(d, 0, &k, &n, &err));
    ck_assert_int_eq(k, kind);
    ck_assert_int_eq(n, outputs);
    assert_ok(mtl__dataset_check_labels(d, 0, k, n, &err)); /* what was read off must be allowed */
    mtl__dataset_destroy(d);
}

START_TEST(kinds_are_read_off_labels)
{
    assert_kind(4, 1, (const float[]){0, 1, NAN, 1}, MTL_BINARY, 1);
    assert_kind(2, 1, (const float[]){1, 1}, MTL_BINARY, 1);
    assert_kind(4, 1, (const float[]){2, 0, NAN, 1}, MTL_MULTICLASS, 3);
    assert_kind(3, 1, (const float[]){2, 0, 2}, MTL_REGRESSION, 1); /* class 1 is not there */
    assert_kind(3, 1, (const float[]){0, 1, 0.5f}, MTL_REGRESSION, 1);
    assert_kind(3, 1, (const float[]){0, 1, -1}, MTL_REGRESSION, 1);
    assert_kind(3, 1, (const float[]){0, 1, 1e30f}, MTL_REGRESSION, 1);
    assert_kind(2, 2, (const float[]){0, 1, NAN, 1}, MTL_MULTILABEL, 2);
    assert_kind(2, 2, (const float[]){0, 1, 2, 1}, MTL_REGRESSION, 2);
    float y[101], x[101] = {0};
    for (int i = 0; i < 101; i++)
        y[i] = (float)i;
    mtl_dataset *d;
    int32_t k;
    int64_t n;
    assert_ok(mtl__dataset_create(NULL, x, 101, 1, 1, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, y, 1, &err));
    assert_ok(mtl__dataset_kind(d, 0, &k, &n, &err));
    ck_assert_int_eq(k, MTL_REGRESSION); /* more than 100 classes */
    y[100] = 99;
    assert_ok(mtl__dataset_kind(d, 0, &k, &n, &err));
    ck_assert(k == MTL_MULTICLASS && n == 100);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(a_stated_kind_is_taken_at_its_word)
{
    mtl_dataset *d = make5(NULL);
    int32_t k;
    int64_t n;
    assert_ok(mtl__dataset_set_kind(d, "a", MTL_MULTICLASS, 7, &err));
    assert_ok(mtl__dataset_kind(d, 0, &k, &n, &err));
    ck_assert(k == MTL_MULTICLASS && n == 7);
    assert_fails(mtl__dataset_set_kind(d, "a", MTL_BINARY, 2, &err), MTL_ERR_SHAPE, &err, "2 outp");
    assert_fails(mtl__dataset_set_kind(d, "a", MTL_MULTICLASS, 1, &err), MTL_ERR_SHAPE, &err,
                 "1 o");
    assert_fails(mtl__dataset_set_kind(d, "b", MTL_BINARY, 1, &err), MTL_ERR_SHAPE, &err,
                 "2 label");
    assert_fails(mtl__dataset_set_kind(d, "b", MTL_MULTILABEL, 3, &err), MTL_ERR_SHAPE, &err, "3");
    assert_fails(mtl__dataset_set_kind(d, "a", 7, 1, &err), MTL_ERR_RANGE, &err, "number 7");
    assert_fails(mtl__dataset_set_kind(d, "c", MTL_BINARY, 1, &err), MTL_ERR_NAME, &err, "\"c\"");
    assert_ok(mtl__dataset_kind(d, 0, &k, &n, &err));
    ck_assert(k == MTL_MULTICLASS && n == 7);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(a_task_without_labels_has_no_kind)
{
    const float none[] = {NAN, NAN, NAN, NAN, NAN};
    mtl_dataset *d = make5(NULL);
    int32_t k = 9;
    int64_t n = 9;
    assert_ok(mtl__dataset_set_labels(d, "a", 1, none, 1, &err));
    assert_fails(mtl__dataset_kind(d, 0, &k, &n, &err), MTL_ERR_DATA, &err, "\"a\"");
    ck_assert(k == 9 && n == 9);
    mtl__dataset_destroy(d);
}
END_TEST

START_TEST(bad_values_are_named_by_row_and_column)
{
    const int64_t rows[] = {4, 1};
    float x[] = {1, 2, 3, NAN, 5, 6, 7, 8, 9, -INFINITY}, y[] = {0, 3, 2, 1, 0.5f};
    mtl_dataset *d, *s;
    assert_ok(mtl__dataset_create(NULL, x, 5, 2, 2, &d, &err));
    assert_ok(mtl__dataset_set_labels(d, "a", 1, y, 1, &err));
    assert_ok(mtl__dataset_set_labels(d, "b", 2, x, 2, &err));
    assert_fails(mtl__dataset_check_inputs(d, &err), MTL_ERR_VALUE, &err,
                 "row 4, column 1 is -inf");
    assert_ok(mtl__dataset_subset(d, 2, rows, &s, &err));
    assert_fails(mtl__dataset_check_inputs(s, &err), MTL_ERR_VALUE, &err, "row 0, column 1");
    mtl__dataset_destroy(s);
    assert_ok(mtl__dataset_range(d, 0, 4, &s, &err));
    assert_ok(mtl__dataset_check_inputs(s, &err));
    assert_ok(mtl__dataset_check_labels(s, 0, MTL_MULTICLASS, 4, &err));
    assert_fails(mtl__dataset_check_labels(s, 0, MTL_MULTICLASS, 3, &err), MTL_ERR_VALUE, &err,
                 "\"a\": row 1, column 0 is 3");
    assert_fails(mtl__dataset_check_labels(d, 0, MTL_MULTICLASS, 4, &err), MTL_ERR_VALUE, &err,
                 "row 4, column 0 is 0.5");
    assert_fails(mtl__dataset_check_labels(d, 0, MTL_BINARY, 1, &err), MTL_ERR_VALUE, &err,
                 "row 1");
    assert_fails(mtl__dataset_check_labels(d, 1, MTL_MULTILABEL, 2, &err), MTL_ERR_VALUE, &err,
                 "row 0, column 1 is 2");
    assert_fails(mtl__dataset_check_labels(d, 1, MTL_REGRESSION, 2, &err), MTL_ERR_VALUE, &err,
                 "row 4, column 1 is -inf");
    assert_fails(mtl__dataset_check_labels(d, 1, MTL_REGRESSION, 3, &err), MTL_ERR_SHAPE, &err,
                 "2 label columns");
    assert_ok(mtl__dataset_set_weights(d, "a", w5, &err));
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(d);
}
END_TEST

/* ---- Memory ---- */

typedef struct fixture {
    test_memory t;
    mtl_context *ctx;
    mtl_dataset *d, *owner; /* make5(), and one that owns and has room to grow */
} fixture;

static void fixture_make(fixture *f)
{
    const float x[] = {6, 60};
    memset(f, 0, sizeof *f);
    assert_ok(mtl__context_create(NULL, &f->ctx, &err));
    f->ctx->threads = 1;
    f->ctx->al = test_allocator(&f->t);
    f->d = make5(f->ctx);
    assert_ok(mtl__dataset_set_weights(f->d, NULL, w5, &err));
    f->owner = make5(f->ctx);
    assert_ok(mtl__dataset_add_rows(f->owner, "a", 1, x, 2, 1, a5, 1, &err));
}

static void fixture_end(fixture *f)
{
    mtl__dataset_destroy(f->d);
    mtl__dataset_destroy(f->owner);
    mtl__context_unref(f->ctx);
    ck_assert_int_eq(atomic_load(&f->t.live), 0);
}

static mtl_status try_create(void *arg)
{
    fixture *f = arg;
    mtl_dataset *d = NULL;
    mtl_status st = mtl__dataset_create(f->ctx, x5, 5, 2, 3, &d, NULL);
    if (st == MTL_OK) {
        st = mtl__dataset_set_labels(d, "a", 1, a5, 1, NULL);
        ck_assert_int_eq(d->tasks, st == MTL_OK);
        st = st == MTL_OK ? mtl__dataset_set_labels(d, "b", 2, b5, 2, NULL) : st;
    }
    mtl__dataset_destroy(d);
    return st;
}

static mtl_status try_copy(void *arg)
{
    fixture *f = arg;
    mtl_dataset *out = NULL;
    mtl_status st = mtl__dataset_copy(f->d, &out, NULL);
    ck_assert((st == MTL_OK) == (out != NULL));
    mtl__dataset_destroy(out);
    return st;
}

static mtl_status try_concat(void *arg)
{
    fixture *f = arg;
    mtl_dataset *out = NULL;
    const mtl_dataset *parts[] = {f->d, f->owner};
    mtl_status st = mtl__dataset_concat(2, parts, &out, NULL);
    ck_assert((st == MTL_OK) == (out != NULL));
    mtl__dataset_destroy(out);
    return st;
}

static mtl_status try_views(void *arg)
{
    fixture *f = arg;
    const int64_t rows[] = {3, 1};
    mtl_dataset *s = NULL, *r = NULL;
    mtl_status st = mtl__dataset_subset(f->d, 2, rows, &s, NULL);
    if (st == MTL_OK)
        st = mtl__dataset_range(f->owner, 1, 2, &r, NULL);
    mtl__dataset_destroy(s);
    mtl__dataset_destroy(r);
    return st;
}

/* A data set to append to: one that borrows, or (odd k) one that owns and has room left. */
static mtl_status make_base(const fixture *f, int k, mtl_dataset **d)
{
    const float x[] = {8, 80}, label = 1;
    mtl_status st =
        k % 2 ? mtl__dataset_copy(f->owner, d, NULL) : mtl__dataset_range(f->d, 0, 5, d, NULL);
    if (st == MTL_OK && k % 2)
        st = mtl__dataset_add_rows(*d, "a", 1, x, 2, 1, &label, 1, NULL);
    return st;
}

/* Adding rows of a known or a new task gets through, or fails and leaves all as it was. */
static mtl_status try_add(void *arg)
{
    static const char *const tasks[] = {"a", "new"};
    const float x[] = {6, 60, 7, 70};
    mtl_status st = MTL_OK;
    for (int k = 0; k < 4 && st == MTL_OK; k++) {
        mtl_dataset *d = NULL;
        const char *task = tasks[k / 2];
        st = make_base(arg, k, &d);
        const int64_t before = d ? d->rows : 0;
        if (st == MTL_OK) {
            st = mtl__dataset_add_rows(d, task, 2, x, 2, 1, x, 1, NULL);
            const bool done = st == MTL_OK;
            ck_assert_int_eq(d->rows, before + (done ? 2 : 0));
            ck_assert_int_eq(d->tasks, done && k >= 2 ? 3 : 2);
            for (int64_t i = 0; i < 5; i++)
                assert_row5(d, i, i);
            ck_assert(!done ||
                      (x_of(d, before + 1, 1) == 70 && y_of(d, task, before + 1, 0) == 60));
        }
        mtl__dataset_destroy(d);
    }
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    static sweep_body *const bodies[] = {try_create, try_copy, try_concat, try_views, try_add};
    fixture f;
    fixture_make(&f);
    for (int64_t i = 0; i < MTL__COUNT_OF(bodies); i++) {
        ck_assert_int_ge(sweep_allocations(&f.t, bodies[i], &f), 3);
        ck_assert(f.d->rows == 5 && f.d->tasks == 2 && f.owner->rows == 6);
        for (int64_t k = 0; k < 5; k++) {
            assert_row5(f.d, k, k);
            assert_row5(f.owner, k, k);
        }
    }
    fixture_end(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dataset");
    add_case(s, "inputs and labels are borrowed", inputs_and_labels_are_borrowed);
    add_case(s, "shapes that cannot be are refused", shapes_that_cannot_be_are_refused);
    add_case(s, "no rows are fine", no_rows_are_fine);
    add_case(s, "labels can be replaced", labels_can_be_replaced);
    add_case(s, "many tasks keep their order", many_tasks_keep_their_order);
    add_case(s, "weights of a task go before those of all",
             weights_of_a_task_go_before_those_of_all);
    add_case(s, "a subset borrows and keeps its order", a_subset_borrows_and_keeps_its_order);
    add_case(s, "row numbers outside are refused", row_numbers_outside_are_refused);
    add_case(s, "labels of a subset come in its order", labels_of_a_subset_come_in_its_order);
    add_case(s, "a subset of a subset needs no weights", a_subset_of_a_subset_needs_no_weights);
    add_case(s, "a range needs no index", a_range_needs_no_index);
    add_case(s, "a copy owns everything", a_copy_owns_everything);
    add_case(s, "concat unites tasks and weights", concat_unites_tasks_and_weights);
    add_case(s, "concat refuses what does not fit", concat_refuses_what_does_not_fit);
    add_case(s, "added rows have one task", added_rows_have_one_task);
    add_case(s, "added rows must fit", added_rows_must_fit);
    add_case(s, "views stay as they are when their source grows",
             views_stay_as_they_are_when_their_source_grows);
    add_case(s, "a view that outlives its source can grow",
             a_view_that_outlives_its_source_can_grow);
    add_case(s, "a data set can be appended to itself", a_data_set_can_be_appended_to_itself);
    add_case(s, "appending row by row allocates rarely", appending_row_by_row_allocates_rarely);
    add_case(s, "kinds are read off labels", kinds_are_read_off_labels);
    add_case(s, "a stated kind is taken at its word", a_stated_kind_is_taken_at_its_word);
    add_case(s, "a task without labels has no kind", a_task_without_labels_has_no_kind);
    add_case(s, "bad values are named by row and column", bad_values_are_named_by_row_and_column);
    add_case(s, "memory may fail anywhere", memory_may_fail_anywhere);
    return run_suite(s);
}
