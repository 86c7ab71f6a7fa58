/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <string.h>

#include "data/csr.h"

static mtl_status check_window(int64_t window, mtl_error *err)
{
    if (window < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "window must be >= 0, not %lld", (long long)window);
    return MTL_OK;
}

mtl_status mtl_dataset_create(mtl_context *ctx, const float *x, int64_t rows, int64_t cols,
                              int64_t row_stride, mtl_dataset **out, mtl_error *err)
{
    REQUIRE(out);
    if (cols < 1)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "x: a data set needs at least one input column, not %lld",
                        (long long)cols);
    mtl_status st = mtl__check_matrix("x", x, rows, cols, row_stride, err);
    return st == MTL_OK ? mtl__dataset_create(ctx, x, rows, cols, row_stride, out, err) : st;
}

mtl_status mtl_dataset_create_csr(mtl_context *ctx, int64_t rows, int64_t cols,
                                  const int64_t *indptr, const int32_t *indices,
                                  const float *values, mtl_dataset **out, mtl_error *err)
{
    REQUIRE(out);
    if (rows < 0 || rows >= INT64_MAX / 16 || cols < 1 || cols > INT32_MAX)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "a data set of %lld rows and %lld input columns",
                        (long long)rows, (long long)cols);
    if (rows > 0)
        REQUIRE(indptr);
    return mtl__dataset_create_csr(
        ctx, rows, cols, &(mtl__csr){.start = indptr, .column = indices, .value = values}, out,
        err);
}

mtl_status mtl_dataset_create_stream(mtl_context *ctx, int64_t rows, int64_t cols, int64_t window,
                                     mtl_rows_cb read, void *user, mtl_dataset **out,
                                     mtl_error *err)
{
    int64_t size;
    REQUIRE(read);
    REQUIRE(out);
    if (rows < 0 || cols < 1 || !mtl__mul_size(rows, cols, &size))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "a data set of %lld rows and %lld input columns",
                        (long long)rows, (long long)cols);
    mtl_status st = check_window(window, err);
    return st == MTL_OK ? mtl__dataset_create_stream(ctx, rows, cols, window, read, user, out, err)
                        : st;
}

mtl_status mtl_dataset_open_npy(mtl_context *ctx, const char *path, int64_t window,
                                mtl_dataset **out, mtl_error *err)
{
    REQUIRE(path);
    REQUIRE(out);
    mtl_status st = check_window(window, err);
    return st == MTL_OK ? mtl__dataset_open_npy(ctx, path, window, out, err) : st;
}

mtl_status mtl_dataset_copy(const mtl_dataset *data, mtl_dataset **out, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(out);
    return mtl__dataset_copy(data, out, err);
}

void mtl_dataset_destroy(mtl_dataset *data)
{
    mtl__dataset_destroy(data);
}

mtl_status mtl_dataset_set_labels(mtl_dataset *data, const char *task, int64_t cols,
                                  const float *label, int64_t row_stride, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    if (cols < 1)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "task \"%.64s\": needs at least one label column", task);
    mtl_status st = mtl__check_matrix("label", label, data->rows, cols, row_stride, err);
    return st == MTL_OK ? mtl__dataset_set_labels(data, task, cols, label, row_stride, err) : st;
}

mtl_status mtl_dataset_set_kind(mtl_dataset *data, const char *task, int32_t kind, int64_t outputs,
                                mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    return mtl__dataset_set_kind(data, task, kind, outputs, err);
}

mtl_status mtl_dataset_set_weights(mtl_dataset *data, const char *task, const float *weight,
                                   mtl_error *err)
{
    REQUIRE(data);
    return mtl__dataset_set_weights(data, task, weight, err);
}

mtl_status mtl_dataset_add_rows(mtl_dataset *data, const char *task, int64_t rows, const float *x,
                                int64_t x_stride, int64_t cols, const float *label,
                                int64_t label_stride, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    if (cols < 1)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "task \"%.64s\": needs at least one label column", task);
    mtl_status st = mtl__check_matrix("x", x, rows, data->inputs, x_stride, err);
    if (st == MTL_OK)
        st = mtl__check_matrix("label", label, rows, cols, label_stride, err);
    if (st == MTL_OK)
        st = mtl__dataset_add_rows(data, task, rows, x, x_stride, cols, label, label_stride, err);
    return st;
}

mtl_status mtl_dataset_set_input_names(mtl_dataset *data, int64_t count, const char *const *names,
                                       mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(names);
    if (count != data->inputs)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "%lld names for %lld input columns", (long long)count,
                        (long long)data->inputs);
    for (int64_t i = 0; i < count; i++)
        if (!names[i])
            return MTL_FAIL(err, MTL_ERR_INVALID, "names: that of input column %lld is NULL",
                            (long long)i);
    return mtl__dataset_put_names(data, names, err);
}

static mtl_status split(const mtl_dataset *data, int64_t stratify, double fraction, int64_t seed,
                        mtl_dataset **first, mtl_dataset **second, mtl_error *err)
{
    REQUIRE(first);
    REQUIRE(second);
    if (seed < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "seed must be >= 0, not %lld", (long long)seed);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st =
        mtl__dataset_split(data, stratify, fraction, (uint64_t)seed, first, second, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_split(const mtl_dataset *data, double fraction, int64_t seed,
                             mtl_dataset **first, mtl_dataset **second, mtl_error *err)
{
    REQUIRE(data);
    return split(data, -1, fraction, seed, first, second, err);
}

/* Number of a task that must have labels. */
static mtl_status find_task(const mtl_dataset *data, const char *task, int64_t *index,
                            mtl_error *err)
{
    *index = mtl__dataset_task(data, task);
    if (*index < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "the data set has no labels of task \"%.64s\"", task);
    return MTL_OK;
}

mtl_status mtl_dataset_split_stratified(const mtl_dataset *data, const char *task, double fraction,
                                        int64_t seed, mtl_dataset **first, mtl_dataset **second,
                                        mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    int64_t index;
    mtl_status st = find_task(data, task, &index, err);
    return st == MTL_OK ? split(data, index, fraction, seed, first, second, err) : st;
}

/* Groups come as numbers or as the label of a task, which must have labels. */
static mtl_status read_groups(const mtl_dataset *data, const int64_t *groups, const char *task,
                              mtl__split_by *by, mtl_error *err)
{
    *by = (mtl__split_by){.task = -1, .groups = groups, .is_grouped = true};
    if (!groups == !task)
        return MTL_FAIL(err, MTL_ERR_INVALID, "groups come from an array or from a task's label: "
                                              "one of the two, not %s", task ? "both" : "none");
    return task ? find_task(data, task, &by->task, err) : MTL_OK;
}

static mtl_status check_seed(int64_t seed, mtl_error *err)
{
    if (seed < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "seed must be >= 0, not %lld", (long long)seed);
    return MTL_OK;
}

mtl_status mtl_dataset_split_grouped(const mtl_dataset *data, const int64_t *groups,
                                     const char *task, double fraction, int64_t seed,
                                     mtl_dataset **first, mtl_dataset **second, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(first);
    REQUIRE(second);
    mtl__split_by by;
    mtl_status st = read_groups(data, groups, task, &by, err);
    if (st == MTL_OK)
        st = check_seed(seed, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__dataset_split_grouped(data, &by, fraction, (uint64_t)seed, first, second, err);
    mtl__fp_leave(fp);
    return st;
}

static mtl_status kfold(const mtl_dataset *data, const mtl__split_by *by, mtl__fold fold,
                        int64_t seed, mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    REQUIRE(train);
    REQUIRE(test);
    mtl_status st = check_seed(seed, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__dataset_kfold(data, by, fold, (uint64_t)seed, train, test, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_kfold(const mtl_dataset *data, int64_t folds, int64_t fold, int64_t seed,
                             mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    REQUIRE(data);
    const mtl__split_by by = {.task = -1};
    return kfold(data, &by, (mtl__fold){folds, fold}, seed, train, test, err);
}

mtl_status mtl_dataset_kfold_stratified(const mtl_dataset *data, const char *task, int64_t folds,
                                        int64_t fold, int64_t seed, mtl_dataset **train,
                                        mtl_dataset **test, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    mtl__split_by by = {0};
    mtl_status st = find_task(data, task, &by.task, err);
    return st == MTL_OK ? kfold(data, &by, (mtl__fold){folds, fold}, seed, train, test, err) : st;
}

mtl_status mtl_dataset_kfold_grouped(const mtl_dataset *data, const int64_t *groups,
                                     const char *task, int64_t folds, int64_t fold, int64_t seed,
                                     mtl_dataset **train, mtl_dataset **test, mtl_error *err)
{
    REQUIRE(data);
    mtl__split_by by;
    mtl_status st = read_groups(data, groups, task, &by, err);
    return st == MTL_OK ? kfold(data, &by, (mtl__fold){folds, fold}, seed, train, test, err) : st;
}

mtl_status mtl_dataset_subset(const mtl_dataset *data, int64_t count, const int64_t *rows,
                              mtl_dataset **out, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(out);
    if (count < 0)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "count must be >= 0, not %lld", (long long)count);
    if (count > 0)
        REQUIRE(rows);
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= data->rows)
            return MTL_FAIL(err, MTL_ERR_RANGE, "rows[%lld] = %lld is not in 0 .. %lld",
                            (long long)i, (long long)rows[i], (long long)data->rows - 1);
    return mtl__dataset_subset(data, count, rows, out, err);
}

mtl_status mtl_dataset_concat(int64_t count, const mtl_dataset *const *parts, mtl_dataset **out,
                              mtl_error *err)
{
    REQUIRE(parts);
    REQUIRE(out);
    if (count < 1)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "concat needs at least one part, not %lld",
                        (long long)count);
    for (int64_t i = 0; i < count; i++)
        REQUIRE(parts[i]);
    return mtl__dataset_concat(count, parts, out, err);
}

static mtl_status load_csv(mtl_context *ctx, const char *path, const mtl_options *options,
                           const mtl_dataset *like, mtl_dataset **out, mtl_error *err)
{
    REQUIRE(path);
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__csv_options, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__dataset_load_csv(ctx, path, options, like, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_load_csv(mtl_context *ctx, const char *path, const mtl_options *options,
                                mtl_dataset **out, mtl_error *err)
{
    return load_csv(ctx, path, options, NULL, out, err);
}

mtl_status mtl_dataset_load_csv_like(mtl_context *ctx, const char *path, const mtl_options *options,
                                     const mtl_dataset *reference, mtl_dataset **out,
                                     mtl_error *err)
{
    REQUIRE(reference);
    return load_csv(ctx, path, options, reference, out, err);
}

mtl_status mtl_dataset_load_npy(mtl_context *ctx, const char *path, mtl_dataset **out,
                                mtl_error *err)
{
    REQUIRE(path);
    REQUIRE(out);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__dataset_load_npy(ctx, path, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_load_npy_labels(mtl_dataset *data, const char *task, const char *path,
                                       mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    REQUIRE(path);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__dataset_load_npy_labels(data, task, path, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_make_classification(mtl_context *ctx, const mtl_options *options,
                                           mtl_dataset **out, mtl_error *err)
{
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__make_classification_options, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__dataset_make_classification(ctx, options, out, err);
    mtl__fp_leave(fp);
    return st;
}

typedef mtl_status make_fn(mtl_context *ctx, const mtl_options *o, int64_t count,
                           float *coefficients, mtl_dataset **out, mtl_error *err);

static mtl_status make(make_fn *fn, const mtl__option_group *group, mtl_context *ctx,
                       const mtl_options *options, int64_t count, float *coefficients,
                       mtl_dataset **out, mtl_error *err)
{
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, group, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = fn(ctx, options, count, coefficients, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_dataset_make_regression(mtl_context *ctx, const mtl_options *options, int64_t count,
                                       float *coefficients, mtl_dataset **out, mtl_error *err)
{
    return make(mtl__dataset_make_regression, &mtl__make_regression_options, ctx, options, count,
                coefficients, out, err);
}

mtl_status mtl_dataset_make_tasks(mtl_context *ctx, const mtl_options *options, int64_t count,
                                  float *coefficients, mtl_dataset **out, mtl_error *err)
{
    return make(mtl__dataset_make_tasks, &mtl__make_tasks_options, ctx, options, count,
                coefficients, out, err);
}

int64_t mtl_dataset_rows(const mtl_dataset *data)
{
    return data ? data->rows : 0;
}

int64_t mtl_dataset_inputs(const mtl_dataset *data)
{
    return data ? data->inputs : 0;
}

const char *mtl_dataset_input_name(const mtl_dataset *data, int64_t column)
{
    bool named = data && data->input_names && column >= 0 && column < data->inputs;
    return named ? data->input_names[column] : "";
}

static const mtl__names *categories_of(const mtl_dataset *data, int64_t column)
{
    static const mtl__names none;
    bool any = data && data->categories && column >= 0 && column < data->inputs;
    return any ? &data->categories->column[column].names : &none;
}

int64_t mtl_dataset_category_count(const mtl_dataset *data, int64_t column)
{
    return categories_of(data, column)->count;
}

const char *mtl_dataset_category_name(const mtl_dataset *data, int64_t column, int64_t category)
{
    const mtl__names *names = categories_of(data, column);
    return category >= 0 && category < names->count ? names->name[category] : NULL;
}

static const mtl__names *classes_of(const mtl_dataset *data, int64_t task)
{
    static const mtl__names none;
    bool any = data && task >= 0 && task < data->tasks && data->labels[task].classes;
    return any ? &data->labels[task].classes->column[0].names : &none;
}

int64_t mtl_dataset_class_count(const mtl_dataset *data, int64_t task)
{
    return classes_of(data, task)->count;
}

const char *mtl_dataset_class_name(const mtl_dataset *data, int64_t task, int64_t number)
{
    const mtl__names *names = classes_of(data, task);
    return number >= 0 && number < names->count ? names->name[number] : NULL;
}

int64_t mtl_dataset_task_count(const mtl_dataset *data)
{
    return data ? data->tasks : 0;
}

static bool has_task(const mtl_dataset *data, int64_t task)
{
    return data && task >= 0 && task < data->tasks;
}

const char *mtl_dataset_task_name(const mtl_dataset *data, int64_t task)
{
    return has_task(data, task) ? data->labels[task].task : NULL;
}

int64_t mtl_dataset_task_cols(const mtl_dataset *data, int64_t task)
{
    return has_task(data, task) ? data->labels[task].cols : 0;
}

static mtl_status check_rows(const mtl_dataset *data, int64_t first, int64_t rows, int64_t cols,
                             const float *out, int64_t out_stride, mtl_error *err)
{
    mtl_status st = mtl__check_matrix("out", out, rows, cols, out_stride, err);
    if (st != MTL_OK)
        return st;
    if (first < 0 || first > data->rows || rows > data->rows - first)
        return MTL_FAIL(err, MTL_ERR_RANGE, "rows %lld .. %lld are not in 0 .. %lld",
                        (long long)first, (long long)(first + rows - 1), (long long)data->rows - 1);
    return MTL_OK;
}

static mtl_status copy_rows(const mtl_dataset *data, const mtl__array *a, int64_t first,
                            int64_t rows, int64_t cols, float *out, int64_t out_stride,
                            mtl_error *err)
{
    mtl_status st = check_rows(data, first, rows, cols, out, out_stride, err);
    for (int64_t r = 0; r < rows && st == MTL_OK; r++)
        memcpy(out + r * out_stride, mtl__array_row(a, first + r), (size_t)cols * sizeof *out);
    return st;
}

mtl_status mtl_dataset_get_inputs(const mtl_dataset *data, int64_t first, int64_t rows, float *out,
                                  int64_t out_stride, mtl_error *err)
{
    REQUIRE(data);
    mtl_status st = mtl__dataset_in_memory(data, "get_inputs", err);
    if (st != MTL_OK)
        return st;
    if (!mtl__dataset_is_sparse(data))
        return copy_rows(data, &data->x, first, rows, data->inputs, out, out_stride, err);
    st = check_rows(data, first, rows, data->inputs, out, out_stride, err);
    for (int64_t r = 0; r < rows && st == MTL_OK; r++)
        mtl__csr_fill_row(data, first + r, out + r * out_stride);
    return st;
}

mtl_status mtl_dataset_get_labels(const mtl_dataset *data, const char *task, int64_t first,
                                  int64_t rows, float *out, int64_t out_stride, mtl_error *err)
{
    REQUIRE(data);
    REQUIRE(task);
    int64_t i;
    mtl_status st = find_task(data, task, &i, err);
    if (st != MTL_OK)
        return st;
    return copy_rows(data, &data->labels[i].y, first, rows, data->labels[i].cols, out, out_stride,
                     err);
}
