/* SPDX-License-Identifier: MIT */
/* Predict, evaluate, transfer, and what looks for settings. */
#include "api/api.h"

#include "metric/metric.h"
#include "train/affinity.h"
#include "train/calibrate.h"
#include "train/distil.h"
#include "train/preset.h"
#include "train/prune.h"
#include "transfer/transfer.h"

/* A call that reads a model and data and gives a report. */
typedef mtl_status look_fn(const mtl_model *model, const mtl_dataset *data,
                           const mtl_options *options, mtl_report **report, mtl_error *err);

static mtl_status look(look_fn *fn, const mtl__option_group *known, const mtl_model *model,
                       const mtl_dataset *data, const mtl_options *options, mtl_report **report,
                       mtl_error *err)
{
    mtl_status st = mtl__options_expect(options, known, err);
    if (st == MTL_OK && known == &mtl__fit_options)
        st = mtl__preset_refuse(options, "this call trains", err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = fn(model, data, options, report, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_lr_find(const mtl_model *model, const mtl_dataset *train, const mtl_options *options,
                       mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(train);
    REQUIRE(report);
    return look(mtl__lr_find, &mtl__fit_options, model, train, options, report, err);
}

mtl_status mtl_task_affinity(const mtl_model *model, const mtl_dataset *train,
                             const mtl_options *options, mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(train);
    REQUIRE(report);
    return look(mtl__task_affinity, &mtl__fit_options, model, train, options, report, err);
}

static mtl_status check_predict(int64_t rows, int64_t inputs, const float *x, int64_t x_stride,
                                int64_t cols, const float *out, int64_t out_stride, mtl_error *err)
{
    mtl_status st = mtl__check_matrix("x", x, rows, inputs, x_stride, err);
    return st == MTL_OK ? mtl__check_matrix("out", out, rows, cols, out_stride, err) : st;
}

static mtl_status predict(const mtl_model *m, int64_t task, int64_t cols, int64_t rows,
                          const float *x, int64_t x_stride, float *out, int64_t out_stride,
                          mtl_error *err)
{
    mtl_status st = check_predict(rows, m->net.raw_inputs, x, x_stride, cols, out, out_stride, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__model_predict(m, task, rows, x, x_stride, out, out_stride, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_predict(const mtl_model *model, int64_t rows, const float *x, int64_t x_stride,
                       float *out, int64_t out_stride, mtl_error *err)
{
    REQUIRE(model);
    return predict(model, -1, model->net.outputs, rows, x, x_stride, out, out_stride, err);
}

mtl_status mtl_predict_csr(const mtl_model *model, int64_t rows, const int64_t *indptr,
                           const int32_t *indices, const float *values, float *out,
                           int64_t out_stride, mtl_error *err)
{
    REQUIRE(model);
    if (rows > 0)
        REQUIRE(indptr);
    mtl_status st = mtl__check_matrix("out", out, rows, model->net.outputs, out_stride, err);
    if (st != MTL_OK)
        return st;
    const mtl__csr x = {.start = indptr, .column = indices, .value = values};
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__model_predict_csr(model, rows, &x, out, out_stride, err);
    mtl__fp_leave(fp);
    return st;
}

static mtl_status check_task(const mtl_model *m, int64_t task, mtl_error *err)
{
    if (task >= 0 && task < m->net.tasks)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_RANGE, "the model has %lld tasks, none with number %lld",
                    (long long)m->net.tasks, (long long)task);
}

mtl_status mtl_predict_task(const mtl_model *model, int64_t task, int64_t rows, const float *x,
                            int64_t x_stride, float *out, int64_t out_stride, mtl_error *err)
{
    REQUIRE(model);
    mtl_status st = check_task(model, task, err);
    if (st != MTL_OK)
        return st;
    return predict(model, task, model->spec->task[task].outputs, rows, x, x_stride, out, out_stride,
                   err);
}

mtl_status mtl_predict_interval(const mtl_model *model, int64_t task, int64_t rows, const float *x,
                                int64_t x_stride, float *lower, float *upper, int64_t out_stride,
                                mtl_error *err)
{
    REQUIRE(model);
    mtl_status st = check_task(model, task, err);
    if (st != MTL_OK)
        return st;
    const mtl__task_spec *t = &model->spec->task[task];
    const float *radius = model->pipe.radius + model->net.task[task].column;
    if (*radius != *radius)
        return MTL_FAIL(err, MTL_ERR_STATE, "task \"%.64s\" has no intervals: %s", t->name,
                        t->kind == MTL_REGRESSION ? "mtl_model_calibrate() makes them"
                                                  : "they are for regression");
    st = mtl__check_matrix("upper", upper, rows, t->outputs, out_stride, err);
    if (st == MTL_OK)
        st = predict(model, task, t->outputs, rows, x, x_stride, lower, out_stride, err);
    mtl__fpstate fp = mtl__fp_enter();
    for (int64_t r = 0; r < rows && st == MTL_OK; r++)
        for (int64_t j = 0; j < t->outputs; j++) {
            const float value = lower[r * out_stride + j];
            lower[r * out_stride + j] = value - radius[j];
            upper[r * out_stride + j] = value + radius[j];
        }
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_predictor_create(const mtl_model *model, int64_t block_rows, mtl_predictor **out,
                                mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(out);
    if (block_rows < 0 || block_rows > MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "block_rows must be in 0 .. %d, not %lld",
                        MTL__SIZE_MAX, (long long)block_rows);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__predictor_create(model, block_rows, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_predictor_run(mtl_predictor *predictor, int64_t rows, const float *x,
                             int64_t x_stride, float *out, int64_t out_stride, mtl_error *err)
{
    REQUIRE(predictor);
    mtl_status st = check_predict(rows, mtl__predictor_inputs(predictor), x, x_stride,
                                  mtl__predictor_outputs(predictor), out, out_stride, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    mtl__predictor_run(predictor, rows, x, x_stride, out, out_stride);
    mtl__fp_leave(fp);
    return MTL_OK;
}

void mtl_predictor_destroy(mtl_predictor *predictor)
{
    mtl__predictor_destroy(predictor);
}

mtl_status mtl_evaluate(const mtl_model *model, const mtl_dataset *data, const mtl_options *options,
                        mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(data);
    REQUIRE(report);
    return look(mtl__evaluate, &mtl__evaluate_options, model, data, options, report, err);
}

mtl_status mtl_model_calibrate(mtl_model *model, const mtl_dataset *held_out,
                               const mtl_options *options, mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(held_out);
    mtl_status st = mtl__options_expect(options, &mtl__calibrate_options, err);
    if (st == MTL_OK)
        st = mtl__model_acquire(model, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = model->is_set ? mtl__calibrate(model, held_out, options, report, err)
                       : MTL_FAIL(err, MTL_ERR_STATE, "the model was never fitted");
    mtl__fp_leave(fp);
    mtl__model_release(model);
    return st;
}

mtl_status mtl_model_prune(const mtl_model *model, const mtl_dataset *held_out, int64_t most,
                           mtl_model **out, mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(held_out);
    REQUIRE(out);
    const int64_t members = model->net.members;
    if (members < 2)
        return MTL_FAIL(err, MTL_ERR_STATE, "the model has no members in its network to choose from");
    if (most < 1 || most > members)
        return MTL_FAIL(err, MTL_ERR_RANGE, "most must be in 1 .. %lld members, not %lld",
                        (long long)members, (long long)most);
    if (!model->is_set)
        return MTL_FAIL(err, MTL_ERR_STATE, "the model was never fitted");
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__prune(model, held_out, most, out, report, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_model_distil(const mtl_model *teacher, const mtl_dataset *train,
                            const mtl_dataset *valid, const mtl_options *options, mtl_model **out,
                            mtl_report **report, mtl_error *err)
{
    REQUIRE(teacher);
    REQUIRE(train);
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__fit_options, err);
    if (st == MTL_OK)
        st = mtl__preset_refuse(options, "distillation trains", err);
    if (st == MTL_OK && !teacher->is_set)
        st = MTL_FAIL(err, MTL_ERR_STATE, "the teacher was never fitted");
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__distil_fit(teacher, train, valid, options, out, report, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_metric(const char *name, int64_t rows, int64_t outputs, const float *predicted,
                      int64_t predicted_stride, int64_t label_cols, const float *label,
                      int64_t label_stride, const float *weight, double *value,
                      double *standard_error, mtl_error *err)
{
    double unwanted;
    REQUIRE(name);
    REQUIRE(value);
    mtl_status st = mtl__check_matrix("predicted", predicted, rows, outputs, predicted_stride, err);
    if (st == MTL_OK)
        st = mtl__check_matrix("label", label, rows, label_cols, label_stride, err);
    if (st != MTL_OK)
        return st;
    const mtl__metric_args args = {.rows = rows,
                                   .outputs = outputs,
                                   .predicted = predicted,
                                   .predicted_stride = predicted_stride,
                                   .label_cols = label_cols,
                                   .label = label,
                                   .label_stride = label_stride,
                                   .weight = weight,
                                   .al = &mtl__allocator_default};
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__metric_compute(name, &args, value, standard_error ? standard_error : &unwanted, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_transfer(const mtl_model *source, const mtl_dataset *target,
                        const mtl_dataset *known, const mtl_options *options, mtl_model **out,
                        mtl_report **report, mtl_error *err)
{
    REQUIRE(source);
    REQUIRE(target);
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__transfer_options, err);
    if (st != MTL_OK)
        return st;
    if (!source->is_set)
        return MTL_FAIL(err, MTL_ERR_STATE, "source was never fitted: it has nothing to move");
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__transfer(source, target, known, options, out, report, err);
    mtl__fp_leave(fp);
    return st;
}
