/* SPDX-License-Identifier: MIT */
/* What a model's file holds beside its description: tensors, scaling, state and calibration. */
#include "model/model_file_priv.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const calibration_parts[] = {"slope", "shift", "radius"};

static float *part_of(const mtl_model *m, int64_t part, int64_t task)
{
    return m->pipe.slope + part * m->net.outputs + m->net.task[task].column;
}

/* Only of a model that has one. */
static void write_calibration(mtl__bytes *b, const mtl_model *m)
{
    bool is_there = m->pipe.is_calibrated;
    for (int64_t j = 0; j < m->net.outputs; j++)
        is_there = is_there || !isnan(m->pipe.radius[j]);
    if (!is_there)
        return;
    mtl__json_write_key(b, "calibration");
    mtl__bytes_text(b, "{");
    for (int64_t i = 0; i < MTL__COUNT_OF(calibration_parts); i++) {
        mtl__json_write_key(b, calibration_parts[i]);
        mtl__bytes_text(b, "[");
        for (int64_t t = 0; t < m->net.tasks; t++)
            for (int64_t j = 0; j < m->spec->task[t].outputs; j++) {
                mtl__json_write_item(b);
                mtl__json_write_f64(b, part_of(m, i, t)[j]);
            }
        mtl__bytes_text(b, "]");
    }
    mtl__bytes_text(b, "}");
}

/* Only of a model that has them. */
static void write_input_names(mtl__bytes *b, const mtl_model *m)
{
    if (!m->pipe.input_names)
        return;
    mtl__json_write_key(b, "input_names");
    mtl__bytes_text(b, "[");
    for (int64_t i = 0; i < m->net.raw_inputs; i++) {
        mtl__json_write_item(b);
        mtl__json_write_string(b, m->pipe.input_names[i]);
    }
    mtl__bytes_text(b, "]");
}

void mtl__pipeline_write(mtl__bytes *b, const mtl_model *m)
{
    mtl__bytes_text(b, "{");
    mtl__json_write_key(b, "fitted");
    mtl__json_write_bool(b, m->pipe.is_fitted);
    if (m->pipe.is_clipped) {
        mtl__json_write_key(b, "clipped");
        mtl__json_write_bool(b, true);
    }
    mtl__json_write_key(b, "set");
    mtl__json_write_bool(b, m->is_set);
    mtl__json_write_key(b, "frozen");
    mtl__bytes_text(b, "[");
    for (int64_t i = 0; i < m->params && !m->members; i++)
        if (m->param[i].is_frozen) {
            mtl__json_write_item(b);
            mtl__json_write_string(b, m->param[i].name);
        }
    mtl__bytes_text(b, "]");
    write_calibration(b, m);
    write_input_names(b, m);
    mtl__bytes_text(b, "}");
    mtl__bytes_append(b, "", 1);
}

/* --- the tensors ------------------------------------------------------------------------------- */

static void add_vector(mtl__tensor_list *l, const char *a, const char *task, const char *c, float *data,
                       int64_t count)
{
    mtl__bytes name;
    if (l->failed)
        return;
    mtl__bytes_init(&name, l->al);
    mtl__bytes_text(&name, l->prefix);
    mtl__bytes_text(&name, a);
    mtl__bytes_text(&name, task);
    mtl__bytes_text(&name, c);
    mtl__bytes_append(&name, "", 1);
    char *copy = name.failed ? NULL : mtl__strdup(l->al, name.p);
    mtl__bytes_free(&name);
    l->failed = !copy;
    if (!copy)
        return;
    l->made[l->count] = copy;
    l->tensor[l->count++] =
        (mtl__tensor){.name = copy, .rank = 1, .shape = {count}, .data = data, .ld = count};
}

#define WARP "pipeline.input.warp"

static void add_pipeline(mtl__tensor_list *l, const mtl_model *m)
{
    add_vector(l, "pipeline.input", "", ".mean", m->pipe.x_mean, m->net.inputs);
    add_vector(l, "pipeline.input", "", ".scale", m->pipe.x_scale, m->net.inputs);
    if (m->pipe.warp.knots) {
        add_vector(l, WARP, "", "", m->pipe.warp.knot, m->net.raw_inputs);
        if (!l->failed) {
            mtl__tensor *t = &l->tensor[l->count - 1];
            t->rank = 2;
            t->shape[1] = t->ld = m->pipe.warp.knots;
        }
    }
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const mtl__task_spec *spec = &m->spec->task[t];
        int64_t column = m->net.task[t].column;
        const bool scaled = mtl__kind_is_scaled(spec->kind);
        const struct {
            bool is_there;
            const char *what;
            float *data;
        } part[] = {
            {scaled, ".mean", m->pipe.y_mean},
            {scaled, ".scale", m->pipe.y_scale},
            {scaled && m->pipe.is_clipped, ".low", m->pipe.y_low},
            {scaled && m->pipe.is_clipped, ".high", m->pipe.y_high},
            {mtl__spec_is_balanced(spec) && spec->kind != MTL_MULTICLASS, ".zero_weight",
             m->pipe.zero_weight},
            {mtl__spec_is_balanced(spec), ".class_weight", m->pipe.class_weight},
        };
        for (int i = 0; i < MTL__COUNT_OF(part); i++)
            if (part[i].is_there)
                add_vector(l, "pipeline.target.", spec->name, part[i].what, part[i].data + column,
                           spec->outputs);
    }
}

/* A model's own, or those of its members. */
static void add_pipelines(mtl__tensor_list *l, const mtl_model *m)
{
    if (!m->members)
        add_pipeline(l, m);
    for (int64_t k = 0; m->members && k < m->members->count; k++) {
        snprintf(l->prefix, sizeof l->prefix, "member.%lld.", (long long)k);
        add_pipeline(l, m->members->model[k]);
    }
}

static int64_t count_pipelines(const mtl_model *m)
{
    int64_t count = m->members ? 0 : 3 + 6 * m->net.tasks;
    for (int64_t k = 0; m->members && k < m->members->count; k++)
        count += count_pipelines(m->members->model[k]);
    return count;
}

void mtl__tensors_free(mtl__tensor_list *l)
{
    for (int64_t i = 0; l->made && i < l->capacity; i++)
        mtl__strfree(l->al, l->made[i]);
    mtl__free(l->al, l->made, l->capacity * (int64_t)sizeof *l->made);
    mtl__free(l->al, l->tensor, l->capacity * (int64_t)sizeof *l->tensor);
}

/* extra: room for so many more. Free the list whatever the result. */
mtl_status mtl__tensors_list(const mtl_model *m, int64_t extra, mtl__tensor_list *l, mtl_error *err)
{
    *l = (mtl__tensor_list){.al = &m->ctx->al, .capacity = m->params + count_pipelines(m) + extra};
    l->tensor = mtl__alloc_zero(l->al, l->capacity * (int64_t)sizeof *l->tensor);
    l->made = mtl__alloc_zero(l->al, l->capacity * (int64_t)sizeof *l->made);
    l->failed = !l->tensor || !l->made;
    for (int64_t i = 0; i < m->params && !l->failed; i++) {
        const mtl__param *p = &m->param[i];
        l->tensor[l->count++] = (mtl__tensor){.name = p->name,
                                              .rank = (int32_t)p->rank,
                                              .shape = {p->shape[0], p->shape[1]},
                                              .data = mtl__param_values(m, p),
                                              .ld = p->ld};
    }
    if (!l->failed)
        add_pipelines(l, m);
    return l->failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a list of tensors") : MTL_OK;
}

/* Can the number be in that part? Tasks of values have a radius only, the others all but that. */
static bool is_possible(int64_t part, bool of_values, float x)
{
    if (part == 2)
        return of_values ? !(x < 0) : isnan(x);
    return of_values ? x == (float)(1 - part) : isfinite(x);
}

static mtl_status read_calibration(mtl_model *m, mtl__json from, mtl_error *err)
{
    mtl__json list, item;
    mtl_status st;
    for (int64_t i = 0; i < MTL__COUNT_OF(calibration_parts); i++) {
        st = mtl__json_get(from, calibration_parts[i], MTL__JSON_ARRAY, &list, err);
        if (st != MTL_OK)
            return st;
        bool fine = mtl__json_count(list) == m->net.outputs;
        mtl__json_iter it = mtl__json_iterate(list);
        for (int64_t t = 0; t < m->net.tasks; t++)
            for (int64_t j = 0; j < m->spec->task[t].outputs && fine; j++) {
                double x = NAN; /* null */
                mtl__json_next(&it, NULL, &item);
                fine = mtl__json_f64(item, &x) || mtl__json_type_of(item) == MTL__JSON_NULL;
                part_of(m, i, t)[j] = (float)x;
                fine = fine && is_possible(i, m->spec->task[t].kind == MTL_REGRESSION, (float)x);
            }
        if (!fine)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "the calibration's \"%s\" cannot be",
                            calibration_parts[i]);
    }
    mtl__model_calibrated(m);
    return MTL_OK;
}

static mtl_status read_input_names(mtl_model *m, mtl__json list, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const int64_t count = m->net.raw_inputs;
    mtl__json item;
    if (mtl__json_count(list) != count)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "%lld names for %lld input columns",
                        (long long)mtl__json_count(list), (long long)count);
    char **name = mtl__alloc_zero(al, count * (int64_t)sizeof *name);
    mtl_status st = name ? MTL_OK : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for input names");
    mtl__json_iter it = mtl__json_iterate(list);
    for (int64_t i = 0; st == MTL_OK && i < count && mtl__json_next(&it, NULL, &item); i++) {
        if (mtl__json_type_of(item) != MTL__JSON_STRING)
            st = MTL_FAIL(err, MTL_ERR_FORMAT, "the name of input column %lld is no text",
                          (long long)i);
        else if (!(name[i] = mtl__json_strdup(item, al)))
            st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for input names");
    }
    if (st == MTL_OK) {
        const char **names = mtl__name_list_copy(al, count, (const char *const *)name);
        st = names ? MTL_OK : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for input names");
        mtl__model_name_inputs(m, names);
    }
    for (int64_t i = 0; name && i < count; i++)
        mtl__strfree(al, name[i]);
    mtl__free(al, name, count * (int64_t)sizeof *name);
    return st;
}

mtl_status mtl__pipeline_read(mtl_model *m, mtl__json root, mtl_error *err)
{
    mtl__json list, name;
    mtl_status st;
    MTL_TRY(st, mtl__json_get_bool(root, "fitted", &m->pipe.is_fitted, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "clipped")) != MTL__JSON_NONE)
        MTL_TRY(st, mtl__json_get_bool(root, "clipped", &m->pipe.is_clipped, err), done);
    MTL_TRY(st, mtl__json_get_bool(root, "set", &m->is_set, err), done);
    MTL_TRY(st, mtl__json_get(root, "frozen", MTL__JSON_ARRAY, &list, err), done);
    /* The names stand in the order of the tensors, so one pass over both finds them all. */
    mtl__json_iter it = mtl__json_iterate(list);
    for (int64_t i = 0; mtl__json_next(&it, NULL, &name); i++) {
        while (i < m->params && !mtl__json_is(name, m->param[i].name))
            i++;
        if (i == m->params || m->members)
            return MTL_FAIL(err, MTL_ERR_FORMAT, "a frozen tensor is named that is not there");
        m->param[i].is_frozen = true;
    }
    if (mtl__json_type_of(mtl__json_member(root, "calibration")) != MTL__JSON_NONE) {
        MTL_TRY(st, mtl__json_get(root, "calibration", MTL__JSON_OBJECT, &list, err), done);
        MTL_TRY(st, read_calibration(m, list, err), done);
    }
    if (mtl__json_type_of(mtl__json_member(root, "input_names")) != MTL__JSON_NONE) {
        MTL_TRY(st, mtl__json_get(root, "input_names", MTL__JSON_ARRAY, &list, err), done);
        st = read_input_names(m, list, err);
    }
done:
    return st;
}

/* Ascending knots, but for those of a column that is not ranked. */
static bool is_warp(int64_t knots, const float *knot)
{
    bool fine = isfinite(knot[0]) && (knots > 1 || knot[0] <= 0 || knot[0] >= FLT_MIN);
    for (int64_t i = 1; i < knots && fine; i++)
        fine = isfinite(knot[i]) && (knot[i - 1] <= knot[i] || knot[0] > knot[knots - 1]);
    return fine;
}

/* Memory for the warp that the file has, under the tensors' prefix; its size is that of the file. */
static mtl_status make_warp(mtl_model *m, const mtl__safetensors *in, const char *prefix,
                            mtl_error *err)
{
    char name[48 + sizeof WARP];
    mtl__tensor_info info;
    snprintf(name, sizeof name, "%s%s", prefix, WARP);
    if (!mtl__safetensors_find(in, name, &info))
        return MTL_OK;
    if (info.rank != 2 || info.shape[0] != m->net.raw_inputs || info.shape[1] < 1 ||
        info.shape[1] > MTL__WARP_KNOTS)
        return MTL_FAIL(err, MTL_ERR_FORMAT, "the shape of \"%s\" cannot be", name);
    mtl__warp warp = {info.shape[1], mtl__alloc_array(&m->ctx->al, info.count, sizeof(float))};
    if (!warp.knot)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for \"%s\"", name);
    mtl__model_set_warp(m, warp);
    return MTL_OK;
}

static mtl_status make_warps(mtl_model *m, const mtl__safetensors *in, mtl_error *err)
{
    mtl_status st = m->members ? MTL_OK : make_warp(m, in, "", err);
    for (int64_t k = 0; m->members && k < m->members->count && st == MTL_OK; k++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "member.%lld.", (long long)k);
        st = make_warp(m->members->model[k], in, prefix, err);
    }
    return st;
}

/* Numbers that no saved model has. */
static mtl_status check_numbers(const mtl_model *m, mtl_error *err)
{
    const mtl__pipeline *p = &m->pipe;
    bool fine = m->ctx->vec->all_finite(m->net.params, m->values);
    for (int64_t i = 0; i < m->net.inputs && fine; i++)
        fine = isfinite(p->x_mean[i]) && isfinite(p->x_scale[i]) && p->x_scale[i] > 0;
    for (int64_t i = 0; i < m->net.raw_inputs && fine && p->warp.knots; i++)
        fine = is_warp(p->warp.knots, p->warp.knot + i * p->warp.knots);
    for (int64_t i = 0; i < m->net.outputs && fine; i++)
        fine = isfinite(p->y_mean[i]) && isfinite(p->y_scale[i]) && p->y_scale[i] > 0 &&
               isfinite(p->y_low[i]) && isfinite(p->y_high[i]) && p->y_low[i] <= p->y_high[i] &&
               isfinite(p->zero_weight[i]) && p->zero_weight[i] >= 0 &&
               isfinite(p->class_weight[i]) && p->class_weight[i] >= 0;
    return fine ? MTL_OK : MTL_FAIL(err, MTL_ERR_FORMAT, "a number in the file cannot be");
}

/* Tensors of a run in the file (train/checkpoint.c), which are no part of the model. */
static int64_t count_extra(const mtl__safetensors *in)
{
    static const char prefix[] = "training.";
    int64_t count = 0;
    for (int64_t i = 0; i < in->tensor_count; i++) {
        const char *s;
        int64_t size;
        if (mtl__json_plain(mtl__safetensors_at(in, i).name, &s, &size))
            count += size >= (int64_t)strlen(prefix) && memcmp(s, prefix, strlen(prefix)) == 0;
    }
    return count;
}

static mtl_status finish_numbers(mtl_model *m, mtl_error *err)
{
    mtl_status st = check_numbers(m, err);
    if (st == MTL_OK)
        mtl__model_scaled(m);
    return st;
}

mtl_status mtl__tensors_read(mtl_model *m, const mtl__safetensors *in, mtl_error *err)
{
    mtl__tensor_list tensors;
    int64_t in_file = in->tensor_count - count_extra(in);
    mtl_status st = make_warps(m, in, err);
    if (st != MTL_OK)
        return st;
    st = mtl__tensors_list(m, 0, &tensors, err);
    if (st == MTL_OK && tensors.count != in_file)
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "the network has %lld tensors, the file %lld",
                      (long long)tensors.count, (long long)in_file);
    if (st == MTL_OK)
        st = mtl__safetensors_read(in, tensors.tensor, tensors.count, err);
    mtl__tensors_free(&tensors);
    if (st == MTL_OK && !m->members)
        st = finish_numbers(m, err);
    for (int64_t k = 0; m->members && k < m->members->count && st == MTL_OK; k++)
        st = finish_numbers(m->members->model[k], err);
    if (st == MTL_OK && m->members)
        mtl__members_adopt_targets(m);
    return st;
}
