/* SPDX-License-Identifier: MIT */
/* Data sets from files. */
#include <string.h>

#include "base/text.h"
#include "data/array_priv.h"
#include "io/csv.h"
#include "io/npy.h"
#include "mem/arena.h"

#define LABEL_PREFIX "label:"

static const mtl__option table[] = {
    MTL__OPTION_STR("labels", "", "", NULL,
                    "label columns, separated by commas; empty = those headed \"label:TASK\""),
    MTL__OPTION_STR("ignore", "", "", NULL,
                    "columns to leave out, separated by commas; they may hold any text"),
    MTL__OPTION_STR("categorical", "", "", NULL,
                    "input columns of texts, separated by commas; auto = those with a cell that is "
                    "no number"),
    MTL__OPTION_STR("classes", "", "", NULL,
                    "label columns of texts, separated by commas; auto = those with a cell that is "
                    "no number"),
    MTL__OPTION_STR("separator", ",", "", NULL, "the character between cells"),
};

const mtl__option_group mtl__csv_options = MTL__OPTION_GROUP(MTL_OPTIONS_CSV, "csv", table, false);

/* ---- CSV: what the columns are ---- */

/* A column is an input by default; texts are inputs too, classes labels. */
enum { ROLE_INPUT = 0, ROLE_LABEL, ROLE_IGNORED, ROLE_TEXT, ROLE_CLASS };

/* A file as it is being read. */
typedef struct csv_load {
    const mtl__allocator *al;
    mtl__csv *csv;
    int64_t columns; /* in the file */
    /* Scratch, [columns] each */
    char *role;
    bool *is_text;
    int64_t *input; /* number of the input column, -1 = none */
    int64_t *selected; /* inputs, then labels: what a row gives */
    int64_t *label;    /* the label columns */
    mtl__categories **classes; /* of label columns of texts */
    float *row;
    int64_t inputs, tasks;
    int64_t name_start; /* of the task's name in a label column's */
    mtl__array x, y;    /* [capacity, inputs], [capacity, tasks] */
    int64_t rows, capacity;
    bool find_texts, find_classes; /* categorical and class columns are found by looking */
    const char *path;
    const mtl__csv_dialect *dialect;
    const mtl_dataset *like;     /* NULL, or what inputs and categories have to be */
    mtl__categories *categories; /* NULL without categorical columns */
} csv_load;

static void take_scratch(csv_load *l, mtl__arena *a)
{
    l->role = mtl__arena_take(a, l->columns, sizeof *l->role);
    l->is_text = mtl__arena_take(a, l->columns, sizeof *l->is_text);
    l->input = mtl__arena_take(a, l->columns, sizeof *l->input);
    l->selected = mtl__arena_take(a, l->columns, sizeof *l->selected);
    l->label = mtl__arena_take(a, l->columns, sizeof *l->label);
    l->classes = mtl__arena_take(a, l->columns, sizeof *l->classes);
    l->row = mtl__arena_floats(a, l->columns);
}

static mtl_status no_column(const csv_load *l, const char *option, const char *name, mtl_error *err)
{
    const char *names[64];
    int64_t count = mtl__min(l->columns, MTL__COUNT_OF(names));
    for (int64_t c = 0; c < count; c++)
        names[c] = mtl__csv_column_name(l->csv, c);
    int64_t nearest = mtl__nearest(name, names, count);
    if (nearest >= 0)
        return MTL_FAIL(err, MTL_ERR_NAME,
                        "option \"%s\": no column \"%.64s\"; did you mean \"%.64s\"?", option, name,
                        names[nearest]);
    return MTL_FAIL(err, MTL_ERR_NAME, "option \"%s\": no column \"%.64s\" among %lld", option,
                    name, (long long)l->columns);
}

static mtl_status mark_column(csv_load *l, const char *option, const char *name, char role,
                              mtl_error *err)
{
    int64_t c = 0;
    while (c < l->columns && strcmp(mtl__csv_column_name(l->csv, c), name) != 0)
        c++;
    if (c == l->columns)
        return no_column(l, option, name, err);
    const bool fits = l->role[c] == (role == ROLE_CLASS ? ROLE_LABEL : ROLE_INPUT);
    if (!fits || l->is_text[c])
        return MTL_FAIL(err, MTL_ERR_NAME, "option \"%s\": column \"%.64s\" is %s", option, name,
                        fits || role != ROLE_CLASS ? "listed twice" : "no label column");
    if (role >= ROLE_TEXT)
        l->is_text[c] = true;
    else
        l->role[c] = role;
    if (role == ROLE_LABEL)
        l->label[l->tasks++] = c;
    return MTL_OK;
}

/* Mark the columns of "a, b": blanks around names do not count. */
static mtl_status mark_list(csv_load *l, const mtl_options *o, const char *option, char role,
                            mtl_error *err)
{
    char name[256];
    mtl_status st = MTL_OK;
    const char *p = mtl__option_str(o, &mtl__csv_options, option);
    while (*p && st == MTL_OK) {
        p += strspn(p, " ");
        size_t length = strcspn(p, ","), used = length;
        while (used > 0 && p[used - 1] == ' ')
            used--;
        if (used >= sizeof name)
            return MTL_FAIL(err, MTL_ERR_NAME, "option \"%s\": the name \"%.64s...\" is too long",
                            option, p);
        memcpy(name, p, used);
        name[used] = 0;
        st = mark_column(l, option, name, role, err);
        p += length + (p[length] == ',');
    }
    return st;
}

static mtl_status mark_prefixed(csv_load *l, mtl_error *err)
{
    l->name_start = sizeof LABEL_PREFIX - 1;
    for (int64_t c = 0; c < l->columns; c++) {
        const char *name = mtl__csv_column_name(l->csv, c);
        if (l->role[c] != ROLE_INPUT || strncmp(name, LABEL_PREFIX, sizeof LABEL_PREFIX - 1) != 0)
            continue;
        if (!name[l->name_start])
            return MTL_FAIL(err, MTL_ERR_NAME, "column %lld is headed \"%s\" without a task",
                            (long long)c, name);
        l->role[c] = ROLE_LABEL;
        l->label[l->tasks++] = c;
    }
    return MTL_OK;
}

static mtl_status choose_columns(csv_load *l, const mtl_options *o, mtl_error *err)
{
    mtl_status st = mark_list(l, o, "ignore", ROLE_IGNORED, err);
    if (st == MTL_OK)
        st = mark_list(l, o, "labels", ROLE_LABEL, err);
    if (st == MTL_OK && !*mtl__option_str(o, &mtl__csv_options, "labels"))
        st = mark_prefixed(l, err);
    if (st == MTL_OK && !l->find_texts && !l->like)
        st = mark_list(l, o, "categorical", ROLE_TEXT, err);
    if (st == MTL_OK && !l->find_classes && !l->like)
        st = mark_list(l, o, "classes", ROLE_CLASS, err);
    if (st != MTL_OK)
        return st;
    for (int64_t c = 0; c < l->columns; c++) {
        l->input[c] = l->role[c] == ROLE_INPUT ? l->inputs : -1;
        if (l->role[c] == ROLE_INPUT)
            l->selected[l->inputs++] = c;
    }
    if (l->inputs == 0)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "none of %lld columns is an input",
                        (long long)l->columns);
    memcpy(l->selected + l->inputs, l->label, (size_t)l->tasks * sizeof *l->label);
    return mtl__csv_select(l->csv, l->selected, l->inputs + l->tasks, err);
}

/* ---- CSV: categories ---- */

/* A first pass over the file finds the columns that are not all numbers. */
static mtl_status find_texts(csv_load *l, mtl_error *err)
{
    mtl__csv *csv;
    bool more = true;
    mtl_status st = mtl__csv_open(&csv, l->path, l->dialect, l->al, err);
    if (st != MTL_OK)
        return st;
    if (mtl__csv_column_count(csv) != l->columns)
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "%s: changed while it was read", mtl__path_tail(l->path));
    mtl__csv_set_texts(csv, &(mtl__csv_texts){.found = l->is_text});
    const int64_t first = l->find_texts ? 0 : l->inputs;
    const int64_t end = l->find_classes ? l->inputs + l->tasks : l->inputs;
    if (st == MTL_OK) /* the others have to be what they are said to be: the second pass sees to it */
        st = mtl__csv_select(csv, l->selected + first, end - first, err);
    while (st == MTL_OK && more)
        st = mtl__csv_next(csv, l->row, &more, err);
    mtl__csv_close(csv);
    return st;
}

/* The number of a text in its column: a new one, but of a reference's texts only those are known. */
static mtl_status take_text(void *user, int64_t column, const char *text, float *value,
                            mtl_error *err)
{
    enum { MAX_CATEGORIES = 1 << 24 }; /* a float holds all numbers below */
    const csv_load *l = user;
    const bool is_label = l->role[column] == ROLE_LABEL;
    const int64_t place = is_label ? 0 : l->input[column];
    mtl__categories *all = is_label ? l->classes[column] : l->categories;
    const mtl__names *names = &all->column[place].names;
    int64_t number = mtl__names_find(names, text);
    if (number < 0 && !l->like) {
        number = names->count;
        if (number == MAX_CATEGORIES)
            return MTL_FAIL(err, MTL_ERR_RANGE, "column \"%.64s\" has more than %d categories",
                            mtl__csv_column_name(l->csv, column), MAX_CATEGORIES);
        if (!mtl__categories_add(all, place, text))
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for category %lld", (long long)number);
    }
    if (number < 0 && is_label)
        return MTL_FAIL(err, MTL_ERR_VALUE,
                        "%s: row %lld, column \"%.64s\": \"%.64s\" is no class of the reference",
                        mtl__path_tail(l->path), (long long)mtl__csv_row(l->csv),
                        mtl__csv_column_name(l->csv, column), text);
    *value = number < 0 ? __builtin_nanf("") : (float)number;
    return MTL_OK;
}

static const char *task_name(const csv_load *l, int64_t task)
{
    return mtl__csv_column_name(l->csv, l->label[task]) + l->name_start;
}

/* The inputs have to be those of the reference, and so are the categories. */
static mtl_status follow_reference(csv_load *l, mtl_error *err)
{
    const mtl_dataset *d = l->like;
    if (d->inputs != l->inputs)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%s: %lld input columns, the reference has %lld",
                        mtl__path_tail(l->path), (long long)l->inputs, (long long)d->inputs);
    for (int64_t j = 0; j < l->inputs; j++) {
        const char *name = mtl__csv_column_name(l->csv, l->selected[j]);
        if (d->input_names && strcmp(name, d->input_names[j]) != 0)
            return MTL_FAIL(err, MTL_ERR_NAME,
                            "%s: input column %lld is \"%.64s\", in the reference \"%.64s\"",
                            mtl__path_tail(l->path), (long long)j, name, d->input_names[j]);
        l->is_text[l->selected[j]] = d->categories && d->categories->column[j].is_on;
    }
    l->categories = d->categories;
    mtl__categories_ref(l->categories);
    for (int64_t t = 0; t < l->tasks; t++) {
        const int64_t c = l->label[t], task = mtl__dataset_task(d, task_name(l, t));
        l->classes[c] = task < 0 ? NULL : d->labels[task].classes;
        l->is_text[c] = l->classes[c] != NULL;
        mtl__categories_ref(l->classes[c]);
    }
    return MTL_OK;
}

static mtl_status make_categories(csv_load *l, mtl_error *err)
{
    bool any = false;
    for (int64_t t = 0; t < l->tasks; t++) {
        const int64_t c = l->label[t];
        l->classes[c] = l->is_text[c] ? mtl__categories_create(l->al, 1) : NULL;
        if (l->is_text[c] && !l->classes[c])
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for classes");
    }
    for (int64_t j = 0; j < l->inputs; j++)
        any = any || l->is_text[l->selected[j]];
    if (!any)
        return MTL_OK;
    l->categories = mtl__categories_create(l->al, l->inputs);
    if (!l->categories)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the categories of %lld columns",
                        (long long)l->inputs);
    for (int64_t j = 0; j < l->inputs; j++)
        l->categories->column[j].is_on = l->is_text[l->selected[j]];
    return MTL_OK;
}

static mtl_status choose_texts(csv_load *l, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (l->like)
        st = follow_reference(l, err);
    else if (l->find_texts || l->find_classes)
        st = find_texts(l, err);
    if (st == MTL_OK && !l->like)
        st = make_categories(l, err);
    if (st == MTL_OK)
        mtl__csv_set_texts(l->csv, &(mtl__csv_texts){.is_text = l->is_text, .take = take_text, .user = l});
    return st;
}

/* ---- CSV: rows ---- */

static bool grow(const csv_load *l, mtl__array *a, int64_t cols, int64_t capacity)
{
    mtl__array b;
    if (!mtl__array_alloc(l->al, capacity, cols, &b))
        return false;
    if (a->p)
        mtl__array_copy(a, l->rows, cols, mtl__array_own(&b));
    mtl__array_release(a);
    *a = b;
    return true;
}

static mtl_status read_rows(csv_load *l, mtl_error *err)
{
    for (;;) {
        bool more;
        mtl_status st = mtl__csv_next(l->csv, l->row, &more, err);
        if (st != MTL_OK || !more)
            return st;
        if (l->rows == l->capacity) {
            int64_t capacity = mtl__max(64, 2 * l->capacity);
            if (!grow(l, &l->x, l->inputs, capacity) || !grow(l, &l->y, l->tasks, capacity))
                return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows of %lld columns",
                                (long long)capacity, (long long)(l->inputs + l->tasks));
            l->capacity = capacity;
        }
        memcpy(mtl__array_own(&l->x) + l->rows * l->inputs, l->row,
               (size_t)l->inputs * sizeof *l->row);
        memcpy(mtl__array_own(&l->y) + l->rows * l->tasks, l->row + l->inputs,
               (size_t)l->tasks * sizeof *l->row);
        l->rows++;
    }
}

/* ---- CSV: the data set ---- */

/* Two classes or more say what the task is, also where a part of the rows lacks one. */
static void put_classes(mtl__labels *to, mtl__categories *classes)
{
    const int64_t count = classes ? classes->column[0].names.count : 0;
    to->classes = classes;
    mtl__categories_ref(classes);
    if (count >= 2) {
        to->kind = count == 2 ? MTL_BINARY : MTL_MULTICLASS;
        to->outputs = count == 2 ? 1 : count;
    }
}

static mtl_status put_tasks(const csv_load *l, mtl_dataset *d, mtl_error *err)
{
    for (int64_t t = 0; t < l->tasks; t++) {
        const char *name = task_name(l, t);
        mtl__array y = {.p = l->y.p ? l->y.p + t : NULL, .stride = l->tasks, .owner = l->y.owner};
        mtl_status st = mtl__dataset_put_labels(d, name, 1, &y, err);
        if (st != MTL_OK)
            return st;
        mtl__array_ref(&y);
        put_classes(&d->labels[mtl__dataset_task(d, name)], l->classes[l->label[t]]);
    }
    return MTL_OK;
}

static mtl_status put_input_names(const csv_load *l, mtl_dataset *d, mtl_error *err)
{
    const int64_t bytes = l->inputs * (int64_t)sizeof(char *);
    const char **names = mtl__alloc(l->al, bytes);
    if (!names)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of %lld columns",
                        (long long)l->inputs);
    for (int64_t j = 0; j < l->inputs; j++)
        names[j] = mtl__csv_column_name(l->csv, l->selected[j]);
    mtl_status st = mtl__dataset_put_names(d, names, err);
    mtl__free(l->al, names, bytes);
    return st;
}

static mtl_status make_dataset(csv_load *l, mtl_context *ctx, mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *d;
    mtl_status st = mtl__dataset_make(ctx, l->rows, l->inputs, &l->x, &d, err);
    if (st != MTL_OK)
        return st;
    mtl__array_ref(&d->x);
    d->categories = l->categories;
    mtl__categories_ref(d->categories);
    st = put_input_names(l, d, err);
    if (st == MTL_OK)
        st = put_tasks(l, d, err);
    if (st == MTL_OK)
        *out = d;
    else
        mtl__dataset_destroy(d);
    return st;
}

static mtl_status load_csv(csv_load *l, mtl_context *ctx, const mtl_options *o, mtl_dataset **out,
                           mtl_error *err)
{
    mtl__arena arena = {0};
    mtl_status st;
    l->columns = mtl__csv_column_count(l->csv);
    take_scratch(l, &arena);
    if (!mtl__arena_reserve(&arena, l->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)l->columns);
    take_scratch(l, &arena);
    l->find_texts = strcmp(mtl__option_str(o, &mtl__csv_options, "categorical"), "auto") == 0;
    l->find_classes = strcmp(mtl__option_str(o, &mtl__csv_options, "classes"), "auto") == 0;
    st = choose_columns(l, o, err);
    if (st == MTL_OK)
        st = choose_texts(l, err);
    if (st == MTL_OK)
        st = read_rows(l, err);
    if (st == MTL_OK)
        st = make_dataset(l, ctx, out, err);
    mtl__array_release(&l->x);
    mtl__array_release(&l->y);
    mtl__categories_unref(l->categories);
    for (int64_t c = 0; c < l->columns; c++)
        mtl__categories_unref(l->classes[c]);
    mtl__arena_release(&arena, l->al);
    return st;
}

/* What may stand in a number, in a quoted cell or at the end of a line separates nothing. */
static mtl_status read_dialect(const mtl_options *o, mtl__csv_dialect *dialect, mtl_error *err)
{
    const char *s = mtl__option_str(o, &mtl__csv_options, "separator");
    const bool is_visible = s[0] > ' ' && s[0] < 0x7f && !strchr("\"+-.", s[0]);
    const bool is_letter = (s[0] | 0x20) >= 'a' && (s[0] | 0x20) <= 'z';
    const bool is_digit = s[0] >= '0' && s[0] <= '9';
    if (!s[0] || s[1] || !(s[0] == '\t' || (is_visible && !is_letter && !is_digit)))
        return MTL_FAIL(err, MTL_ERR_RANGE, "option \"separator\": \"%.16s\" cannot separate cells",
                        s);
    dialect->separator = s[0];
    return MTL_OK;
}

mtl_status mtl__dataset_load_csv(mtl_context *ctx, const char *path, const mtl_options *o,
                                 const mtl_dataset *like, mtl_dataset **out, mtl_error *err)
{
    mtl__csv_dialect dialect = {0};
    csv_load l = {.path = path, .dialect = &dialect, .like = like};
    mtl_status st = mtl__options_expect(o, &mtl__csv_options, err);
    if (st == MTL_OK)
        st = read_dialect(o, &dialect, err);
    if (st == MTL_OK)
        st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    l.al = &ctx->al;
    st = mtl__csv_open(&l.csv, path, &dialect, l.al, err);
    if (st == MTL_OK) {
        st = load_csv(&l, ctx, o, out, err);
        mtl__csv_close(l.csv);
    }
    mtl__context_unref(ctx);
    return st;
}

/* ---- npy ---- */

/* The array of a file as floats; owned. */
static mtl_status read_npy(const mtl__allocator *al, const char *path, mtl__array *out,
                           int64_t *rows, int64_t *cols, mtl_error *err)
{
    void *data;
    int64_t size;
    mtl__npy npy;
    mtl_error why = {0};
    mtl_status st = mtl__file_read(path, INT64_MAX, al, &data, &size, err);
    if (st != MTL_OK)
        return st;
    st = mtl__npy_open(&npy, data, size, &why);
    if (st != MTL_OK)
        st = MTL_FAIL(err, st, "%s: %s", mtl__path_tail(path), why.message);
    if (st == MTL_OK && !mtl__array_alloc(al, npy.rows, npy.cols, out))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows of %lld columns",
                      (long long)npy.rows, (long long)npy.cols);
    if (st == MTL_OK) {
        mtl__npy_read(&npy, mtl__array_own(out), npy.cols);
        *rows = npy.rows;
        *cols = npy.cols;
    }
    mtl__free(al, data, size);
    return st;
}

mtl_status mtl__dataset_load_npy(mtl_context *ctx, const char *path, mtl_dataset **out,
                                 mtl_error *err)
{
    mtl__array x;
    int64_t rows, cols;
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    st = read_npy(&ctx->al, path, &x, &rows, &cols, err);
    if (st == MTL_OK) {
        st = mtl__dataset_make(ctx, rows, cols, &x, out, err);
        if (st != MTL_OK)
            mtl__array_release(&x);
    }
    mtl__context_unref(ctx);
    return st;
}

mtl_status mtl__dataset_load_npy_labels(mtl_dataset *d, const char *task, const char *path,
                                        mtl_error *err)
{
    mtl__array y;
    int64_t rows, cols;
    if (!*task)
        return MTL_FAIL(err, MTL_ERR_NAME, "the name of a task must not be empty");
    mtl_status st = read_npy(&d->ctx->al, path, &y, &rows, &cols, err);
    if (st != MTL_OK)
        return st;
    if (rows != d->rows)
        st = MTL_FAIL(err, MTL_ERR_SHAPE, "task \"%.64s\": %s has %lld rows, the data set %lld",
                      task, mtl__path_tail(path), (long long)rows, (long long)d->rows);
    else
        st = mtl__dataset_put_labels(d, task, cols, &y, err);
    if (st != MTL_OK)
        mtl__array_release(&y);
    return st;
}
