/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include "model/spec.h"

mtl_status mtl_spec_create(mtl_context *ctx, int64_t inputs, mtl_spec **out, mtl_error *err)
{
    REQUIRE(out);
    return mtl__spec_create(ctx, inputs, out, err);
}

void mtl_spec_destroy(mtl_spec *spec)
{
    mtl__spec_destroy(spec);
}

mtl_status mtl_spec_add_dense(mtl_spec *spec, int64_t units, const char *activation, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(activation);
    return mtl__spec_add_dense(spec, units, activation, err);
}

mtl_status mtl_spec_add_dropout(mtl_spec *spec, double rate, mtl_error *err)
{
    REQUIRE(spec);
    return mtl__spec_add_dropout(spec, rate, err);
}

mtl_status mtl_spec_add_norm(mtl_spec *spec, const char *kind, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(kind);
    return mtl__spec_add_norm(spec, kind, err);
}

mtl_status mtl_spec_add_residual(mtl_spec *spec, int64_t layers, mtl_error *err)
{
    REQUIRE(spec);
    return mtl__spec_add_residual(spec, layers, err);
}

mtl_status mtl_spec_add_embedding(mtl_spec *spec, int64_t column, int64_t categories, int64_t units,
                                  mtl_error *err)
{
    REQUIRE(spec);
    return mtl__spec_add_embedding(spec, column, categories, units, err);
}

mtl_status mtl_spec_add_numeric_embedding(mtl_spec *spec, const char *kind, int64_t count,
                                          const int64_t *columns, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(kind);
    return mtl__spec_add_numeric(spec, kind, count, columns, err);
}

mtl_status mtl_spec_add_parametric_activation(mtl_spec *spec, const char *activation, double rate,
                                              mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(activation);
    return mtl__spec_add_parametric(spec, activation, rate, err);
}

mtl_status mtl_spec_add_input_scaling(mtl_spec *spec, double rate, mtl_error *err)
{
    REQUIRE(spec);
    return mtl__spec_add_input_scaling(spec, rate, err);
}

static mtl_status set_switch(bool *to, int32_t on, mtl_error *err)
{
    if (on != 0 && on != 1)
        return MTL_FAIL(err, MTL_ERR_RANGE, "on must be 0 or 1, not %d", (int)on);
    *to = on == 1;
    return MTL_OK;
}

mtl_status mtl_spec_set_zero_heads(mtl_spec *spec, int32_t on, mtl_error *err)
{
    REQUIRE(spec);
    return set_switch(&spec->zero_heads, on, err);
}

mtl_status mtl_spec_set_missing_indicators(mtl_spec *spec, int32_t on, mtl_error *err)
{
    bool yes;
    REQUIRE(spec);
    mtl_status st = set_switch(&yes, on, err);
    return st == MTL_OK ? mtl__spec_set_missing_indicators(spec, yes, err) : st;
}

mtl_status mtl_spec_set_linear_skip(mtl_spec *spec, int32_t on, mtl_error *err)
{
    REQUIRE(spec);
    return set_switch(&spec->linear_skip, on, err);
}

mtl_status mtl_spec_set_ensemble(mtl_spec *spec, int64_t members, const char *kind, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(kind);
    return mtl__spec_set_ensemble(spec, members, kind, err);
}

mtl_status mtl_spec_set_architecture(mtl_spec *spec, const char *architecture, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(architecture);
    return mtl__spec_set_architecture(spec, architecture, err);
}

mtl_status mtl_spec_set_initializer(mtl_spec *spec, const char *name, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(name);
    return mtl__spec_set_initializer(spec, name, err);
}

mtl_status mtl_spec_add_task(mtl_spec *spec, const char *name, int32_t kind, int64_t outputs,
                             mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(name);
    return mtl__spec_add_task(spec, name, kind, outputs, err);
}

mtl_status mtl_spec_task_set_i64(mtl_spec *spec, const char *task, const char *key, int64_t value,
                                 mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(task);
    REQUIRE(key);
    return mtl__spec_task_set_number(spec, task, key, (double)value, true, err);
}

mtl_status mtl_spec_task_set_f64(mtl_spec *spec, const char *task, const char *key, double value,
                                 mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(task);
    REQUIRE(key);
    return mtl__spec_task_set_number(spec, task, key, value, false, err);
}

mtl_status mtl_spec_task_set_str(mtl_spec *spec, const char *task, const char *key,
                                 const char *value, mtl_error *err)
{
    REQUIRE(spec);
    REQUIRE(task);
    REQUIRE(key);
    REQUIRE(value);
    return mtl__spec_task_set_text(spec, task, key, value, err);
}
