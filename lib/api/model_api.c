/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <math.h>
#include <string.h>

#include "model/model.h"

mtl_status mtl_model_create(const mtl_spec *spec, mtl_model **out, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(out);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__model_create(spec, out, err);
    mtl__fp_leave(fp);
    return st;
}

void mtl_model_destroy(mtl_model *model)
{
    mtl__model_destroy(model);
}

mtl_status mtl_model_clone(const mtl_model *model, mtl_model **out, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(out);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__model_clone(model, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_model_create_average(const mtl_model *const *members, int64_t count,
                                    const double *weights, mtl_model **out, mtl_error *err)
{
    REQUIRE(members);
    REQUIRE(out);
    if (count < 1 || count > MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "count must be in 1 .. %d, not %lld", MTL__SIZE_MAX,
                        (long long)count);
    for (int64_t k = 0; k < count; k++)
        if (!members[k])
            return MTL_FAIL(err, MTL_ERR_INVALID, "member %lld is NULL", (long long)k);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__members_average(members, count, weights, out, err);
    mtl__fp_leave(fp);
    return st;
}

int64_t mtl_model_member_count(const mtl_model *model)
{
    return model && model->members ? model->members->count : 0;
}

const mtl_model *mtl_model_member(const mtl_model *model, int64_t index)
{
    return index >= 0 && index < mtl_model_member_count(model) ? model->members->model[index] : NULL;
}

double mtl_model_member_weight(const mtl_model *model, int64_t index, int64_t task)
{
    if (!mtl_model_member(model, index) || task < 0 || task >= model->net.tasks)
        return 0;
    return model->members->weight[index * model->net.tasks + task];
}

mtl_status mtl_model_save(const mtl_model *model, const char *path, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(path);
    return mtl__model_save(model, path, err);
}

mtl_status mtl_model_save_buffer(const mtl_model *model, void **buffer, int64_t *bytes,
                                 mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(buffer);
    REQUIRE(bytes);
    return mtl__model_save_buffer(model, buffer, bytes, err);
}

mtl_status mtl_model_load(mtl_context *ctx, const char *path, mtl_model **out, mtl_error *err)
{
    REQUIRE(path);
    REQUIRE(out);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__model_load(ctx, path, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_model_load_buffer(mtl_context *ctx, const void *buffer, int64_t bytes,
                                 mtl_model **out, mtl_error *err)
{
    REQUIRE(buffer);
    REQUIRE(out);
    if (bytes < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "bytes must be >= 0, not %lld", (long long)bytes);
    mtl__fpstate fp = mtl__fp_enter();
    mtl_status st = mtl__model_load_buffer(ctx, buffer, bytes, out, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_model_set_loss(mtl_model *model, const char *task, mtl_loss_cb cb, void *user,
                              mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(task);
    int64_t t = mtl__spec_task(model->spec, task);
    if (t < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "no task is called \"%.64s\"", task);
    mtl_status st = mtl__model_acquire(model, err);
    if (st != MTL_OK)
        return st;
    model->spec->task[t].loss_cb = cb;
    model->spec->task[t].loss_user = user;
    mtl__model_release(model);
    return MTL_OK;
}

int64_t mtl_model_inputs(const mtl_model *model)
{
    return model ? model->net.raw_inputs : 0;
}

const char *mtl_model_input_name(const mtl_model *model, int64_t column)
{
    const mtl_model *m = model ? mtl__members_leading(model) : NULL;
    const bool named = m && m->pipe.input_names && column >= 0 && column < m->net.raw_inputs;
    return named ? m->pipe.input_names[column] : "";
}

int64_t mtl_model_outputs(const mtl_model *model)
{
    return model ? model->net.outputs : 0;
}

int64_t mtl_model_task_count(const mtl_model *model)
{
    return model ? model->net.tasks : 0;
}

static const mtl__task_spec *task_at(const mtl_model *model, int64_t task)
{
    return model && task >= 0 && task < model->net.tasks ? &model->spec->task[task] : NULL;
}

const char *mtl_model_task_name(const mtl_model *model, int64_t task)
{
    const mtl__task_spec *t = task_at(model, task);
    return t ? t->name : NULL;
}

int64_t mtl_model_task_index(const mtl_model *model, const char *name)
{
    return model && name ? mtl__spec_task(model->spec, name) : -1;
}

int32_t mtl_model_task_kind(const mtl_model *model, int64_t task)
{
    const mtl__task_spec *t = task_at(model, task);
    return t ? t->kind : 0;
}

int64_t mtl_model_task_outputs(const mtl_model *model, int64_t task)
{
    const mtl__task_spec *t = task_at(model, task);
    return t ? t->outputs : 0;
}

mtl_status mtl_model_summary(const mtl_model *model, char **text, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(text);
    return mtl__model_summary(model, text, err);
}

int64_t mtl_model_tensor_count(const mtl_model *model)
{
    return model ? model->params : 0;
}

mtl_status mtl_model_tensor_info(const mtl_model *model, int64_t index, const char **name,
                                 int64_t *rank, const int64_t **shape, mtl_error *err)
{
    REQUIRE(model);
    if (index < 0 || index >= model->params)
        return MTL_FAIL(err, MTL_ERR_RANGE, "the model has %lld tensors, none with number %lld",
                        (long long)model->params, (long long)index);
    const mtl__param *p = &model->param[index];
    if (name)
        *name = p->name;
    if (rank)
        *rank = p->rank;
    if (shape)
        *shape = p->shape;
    return MTL_OK;
}

static mtl_status find_tensor(const mtl_model *model, const char *name, int64_t count,
                              const mtl__param **out, mtl_error *err)
{
    int64_t i = mtl__model_param(model, name);
    if (i < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "the model has no tensor \"%.96s\"", name);
    const mtl__param *p = &model->param[i];
    if (count != p->shape[0] * p->shape[1])
        return MTL_FAIL(err, MTL_ERR_SHAPE, "tensor \"%.96s\" has %lld elements, not %lld", name,
                        (long long)(p->shape[0] * p->shape[1]), (long long)count);
    *out = p;
    return MTL_OK;
}

mtl_status mtl_model_tensor_get(const mtl_model *model, const char *name, int64_t count, float *out,
                                mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(name);
    REQUIRE(out);
    const mtl__param *p;
    mtl_status st = find_tensor(model, name, count, &p, err);
    if (st == MTL_OK)
        mtl__param_get(model, p, out);
    return st;
}

static void set_tensor(mtl_model *model, const mtl__param *p, const float *values)
{
    mtl__param_set(model, p, values);
    mtl__model_uncalibrate(model);
    if (model->members)
        mtl__model_uncalibrate(model->members->model[p->member]);
    model->is_set = true;
}

mtl_status mtl_model_tensor_set(mtl_model *model, const char *name, int64_t count,
                                const float *values, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(name);
    REQUIRE(values);
    const mtl__param *p;
    mtl_status st = find_tensor(model, name, count, &p, err);
    if (st != MTL_OK)
        return st;
    if (!model->ctx->vec->all_finite(count, values))
        return MTL_FAIL(err, MTL_ERR_VALUE, "tensor \"%.96s\": a value is not finite", name);
    st = mtl__model_acquire(model, err);
    if (st != MTL_OK)
        return st;
    set_tensor(model, p, values);
    mtl__model_release(model);
    return MTL_OK;
}

enum { MOST_RANK = 1 << 20 };


mtl_status mtl_model_tensor_add_product(mtl_model *model, const char *name, int64_t rank, double scale,
                                        const float *a, const float *b, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(name);
    REQUIRE(a);
    REQUIRE(b);
    const int64_t number = mtl__model_param(model, name);
    if (number < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "no tensor is called \"%.96s\"", name);
    const mtl__param *p = &model->param[number];
    const int64_t rows = mtl__param_rows(p), cols = mtl__param_cols(p);
    const mtl__allocator *al = &model->ctx->al;
    const mtl__vec *v = model->ctx->vec;
    if (p->rank != 2 || rank < 1 || rank > MOST_RANK)
        return MTL_FAIL(err, MTL_ERR_SHAPE, "tensor \"%.96s\" has %lld dimensions, not 2, or the rank is %lld, "
                                            "not 1 .. %d", name, (long long)p->rank, (long long)rank, MOST_RANK);
    if (!isfinite((float)scale) || !v->all_finite(rows * rank, a) || !v->all_finite(rank * cols, b))
        return MTL_FAIL(err, MTL_ERR_VALUE, "tensor \"%.96s\": the scale or a number of the product is not finite",
                        name);
    float *w = mtl__alloc_array(al, rows, cols * (int64_t)sizeof *w);
    mtl_status st = w ? mtl__model_acquire(model, err)
                      : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for tensor \"%.96s\"", name);
    if (st == MTL_OK) {
        mtl__param_get(model, p, w);
        mtl__add_product(v, rows, cols, rank, (float)scale, a, b, w, cols);
        if (v->all_finite(rows * cols, w))
            set_tensor(model, p, w);
        else
            st = MTL_FAIL(err, MTL_ERR_VALUE, "tensor \"%.96s\": the sum is not finite", name);
        mtl__model_release(model);
    }
    mtl__free(al, w, rows * cols * (int64_t)sizeof *w);
    return st;
}

mtl_status mtl_model_freeze(mtl_model *model, const char *name, int32_t frozen, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(name);
    bool any = false;
    mtl_status st = mtl__members_refuse(model, "freezing", err);
    if (st == MTL_OK)
        st = mtl__model_acquire(model, err);
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < model->params; i++)
        if (mtl__param_matches(&model->param[i], name)) {
            model->param[i].is_frozen = frozen != 0;
            model->is_set = true; /* what is frozen is not to be drawn again */
            any = true;
        }
    mtl__model_release(model);
    return any ? MTL_OK : MTL_FAIL(err, MTL_ERR_NAME, "no tensor is meant by \"%.96s\"", name);
}
