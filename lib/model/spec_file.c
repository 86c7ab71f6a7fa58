/* SPDX-License-Identifier: MIT */
/* A network's description as JSON: what "mtl.spec" of a model's file says. */
#include "model/model_file_priv.h"

#include "base/text.h"

/* --- the texts --------------------------------------------------------------------------------- */

static void write_text(mtl__bytes *b, const char *key, const char *value)
{
    mtl__json_write_key(b, key);
    mtl__json_write_string(b, value);
}

static void write_i64(mtl__bytes *b, const char *key, int64_t value)
{
    mtl__json_write_key(b, key);
    mtl__json_write_i64(b, value);
}

static void write_f64(mtl__bytes *b, const char *key, double value)
{
    mtl__json_write_key(b, key);
    mtl__json_write_f64(b, value);
}

/* --- layers: how a spec's are written and read, a row for each type ---------------------------- */

static void write_dropout(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_f64(b, "rate", l->rate);
}

static mtl_status read_dropout(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    double rate;
    mtl_status st = mtl__json_get_f64(layer, "rate", &rate, err);
    return st == MTL_OK ? mtl__spec_add_dropout(s, rate, err) : st;
}

static void write_activation(mtl__bytes *b, const mtl__layer_spec *l)
{
    mtl__json_write_key(b, "activation");
    mtl__bytes_text(b, "\"");
    mtl__act_text(&l->act, b); /* nothing in it needs an escape, nor in a norm */
    mtl__bytes_text(b, "\"");
}

static void write_dense(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_i64(b, "units", l->units);
    write_activation(b, l);
}

static mtl_status read_dense(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    int64_t units;
    char *activation = NULL;
    mtl_status st = mtl__json_get_i64(layer, "units", 1, MTL__SIZE_MAX, &units, err);
    if (st == MTL_OK)
        st = mtl__json_get_string(layer, "activation", &s->ctx->al, &activation, err);
    if (st == MTL_OK)
        st = mtl__spec_add_dense(s, units, activation, err);
    mtl__strfree(&s->ctx->al, activation);
    return st;
}

static void write_layer_norm(mtl__bytes *b, const mtl__layer_spec *l)
{
    mtl__json_write_key(b, "norm");
    mtl__bytes_format(b, "\"layer:eps=%s\"", mtl__num(l->eps).text);
}

static void write_batch_norm(mtl__bytes *b, const mtl__layer_spec *l)
{
    mtl__json_write_key(b, "norm");
    mtl__bytes_format(b, "\"batch:eps=%s,momentum=%s\"", mtl__num(l->eps).text,
                      mtl__num(l->momentum).text);
}

static mtl_status read_norm(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    char *norm = NULL;
    mtl_status st = mtl__json_get_string(layer, "norm", &s->ctx->al, &norm, err);
    if (st == MTL_OK)
        st = mtl__spec_add_norm(s, norm, err);
    mtl__strfree(&s->ctx->al, norm);
    return st;
}

static void write_embedding(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_i64(b, "column", l->column);
    write_i64(b, "categories", l->categories);
    write_i64(b, "units", l->units);
}

static mtl_status read_embedding(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    int64_t column, categories, units;
    mtl_status st;
    MTL_TRY(st, mtl__json_get_i64(layer, "column", 0, MTL__SIZE_MAX, &column, err), done);
    MTL_TRY(st, mtl__json_get_i64(layer, "categories", 1, MTL__SIZE_MAX, &categories, err), done);
    MTL_TRY(st, mtl__json_get_i64(layer, "units", 1, MTL__SIZE_MAX, &units, err), done);
    st = mtl__spec_add_embedding(s, column, categories, units, err);
done:
    return st;
}

static void write_numeric(mtl__bytes *b, const mtl__layer_spec *l)
{
    mtl__json_write_key(b, "kind");
    mtl__bytes_text(b, "\"");
    mtl__spec_numeric_text(l, b);
    mtl__bytes_text(b, "\"");
}

static void write_columns(mtl__bytes *b, const mtl_spec *s)
{
    mtl__json_write_key(b, "columns");
    mtl__bytes_text(b, "[");
    for (int64_t i = 0; i < s->numerics; i++) {
        mtl__json_write_item(b);
        mtl__json_write_i64(b, s->numeric[i]);
    }
    mtl__bytes_text(b, "]");
}

static mtl_status read_numeric(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    mtl__json list, item;
    char *kind = NULL;
    int64_t *column = NULL, count = 0, n = 0;
    mtl_status st;
    MTL_TRY(st, mtl__json_get_string(layer, "kind", al, &kind, err), done);
    MTL_TRY(st, mtl__json_get(layer, "columns", MTL__JSON_ARRAY, &list, err), done);
    count = mtl__json_count(list);
    column = mtl__alloc(al, mtl__max(count, 1) * (int64_t)sizeof *column);
    if (!column) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)count);
        goto done;
    }
    mtl__json_iter it = mtl__json_iterate(list);
    while (st == MTL_OK && mtl__json_next(&it, NULL, &item))
        if (!mtl__json_i64(item, &column[n++]))
            st = MTL_FAIL(err, MTL_ERR_FORMAT, "the file has a column that is no number");
    if (st == MTL_OK)
        st = mtl__spec_add_numeric(s, kind, count, column, err);
done:
    if (column)
        mtl__free(al, column, mtl__max(count, 1) * (int64_t)sizeof *column);
    mtl__strfree(al, kind);
    return st;
}

static void write_parametric(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_activation(b, l);
    write_f64(b, "rate", l->rate);
}

static mtl_status read_parametric(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    double rate;
    char *activation = NULL;
    mtl_status st = mtl__json_get_f64(layer, "rate", &rate, err);
    if (st == MTL_OK)
        st = mtl__json_get_string(layer, "activation", &s->ctx->al, &activation, err);
    if (st == MTL_OK)
        st = mtl__spec_add_parametric(s, activation, rate, err);
    mtl__strfree(&s->ctx->al, activation);
    return st;
}

static void write_factors(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_f64(b, "rate", l->rate);
}

static mtl_status read_factors(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    double rate;
    mtl_status st = mtl__json_get_f64(layer, "rate", &rate, err);
    return st == MTL_OK ? mtl__spec_add_input_scaling(s, rate, err) : st;
}

static void write_residual(mtl__bytes *b, const mtl__layer_spec *l)
{
    write_i64(b, "layers", l->back);
}

static mtl_status read_residual(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    int64_t layers;
    mtl_status st = mtl__json_get_i64(layer, "layers", 1, MTL__LAYERS_MAX, &layers, err);
    return st == MTL_OK ? mtl__spec_add_residual(s, layers, err) : st;
}

static const struct {
    const mtl__layer_type *type;
    void (*write)(mtl__bytes *b, const mtl__layer_spec *l);
    mtl_status (*read)(mtl_spec *s, mtl__json layer, mtl_error *err);
} layer_forms[] = {
    {&mtl__dense_layer, write_dense, read_dense},
    {&mtl__dropout_layer, write_dropout, read_dropout},
    {&mtl__layer_norm_layer, write_layer_norm, read_norm},
    {&mtl__batch_norm_layer, write_batch_norm, read_norm},
    {&mtl__embedding_layer, write_embedding, read_embedding},
    {&mtl__parametric_layer, write_parametric, read_parametric},
    {&mtl__residual_layer, write_residual, read_residual},
    {&mtl__factors_layer, write_factors, read_factors},
    {&mtl__cosine_layer, write_numeric, read_numeric},
    {&mtl__plr_layer, write_numeric, read_numeric},
    {&mtl__pbld_layer, write_numeric, read_numeric},
    {&mtl__ple_layer, write_numeric, read_numeric},
};

static void write_layer(mtl__bytes *b, const mtl_spec *s, const mtl__layer_spec *l)
{
    mtl__json_write_item(b);
    mtl__bytes_text(b, "{");
    write_text(b, "type", l->type->name);
    for (int i = 0; i < MTL__COUNT_OF(layer_forms); i++)
        if (layer_forms[i].type == l->type)
            layer_forms[i].write(b, l);
    if (mtl__numeric_of(l->type))
        write_columns(b, s);
    mtl__bytes_text(b, "}");
}

static mtl_status read_layer(mtl_spec *s, mtl__json layer, mtl_error *err)
{
    mtl__json type = mtl__json_member(layer, "type");
    for (int i = 0; i < MTL__COUNT_OF(layer_forms); i++)
        if (mtl__json_is(type, layer_forms[i].type->name))
            return layer_forms[i].read(s, layer, err);
    return MTL_FAIL(err, MTL_ERR_VERSION, "the file has a layer of a type not known here");
}

/* --- writing ----------------------------------------------------------------------------------- */

static void write_task(mtl__bytes *b, const mtl__task_spec *t)
{
    mtl__json_write_item(b);
    mtl__bytes_text(b, "{");
    write_text(b, "name", t->name);
    write_text(b, "kind", mtl__kind_name(t->kind));
    write_i64(b, "outputs", t->outputs);
    mtl__json_write_key(b, "loss");
    mtl__bytes_text(b, "\"");
    mtl__spec_loss_text(t, b);
    mtl__bytes_text(b, "\"");
    write_f64(b, "weight", t->weight);
    write_text(b, "head", t->head);
    if (t->class_weights.text)
        write_text(b, "class_weights", t->class_weights.text);
    if (t->quantiles.text)
        write_text(b, "quantiles", t->quantiles.text);
    mtl__bytes_text(b, "}");
}

/* Of each member an array with its weight for each task. */
static void write_weights(mtl__bytes *b, const mtl__members *s)
{
    mtl__json_write_key(b, "members");
    mtl__bytes_text(b, "[");
    for (int64_t k = 0; k < s->count; k++) {
        mtl__json_write_item(b);
        mtl__bytes_text(b, "[");
        for (int64_t t = 0; t < s->tasks; t++) {
            mtl__json_write_item(b);
            mtl__json_write_f64(b, s->weight[k * s->tasks + t]);
        }
        mtl__bytes_text(b, "]");
    }
    mtl__bytes_text(b, "]");
}

void mtl__spec_write(mtl__bytes *b, const mtl_spec *s, const mtl__members *members)
{
    mtl__bytes_text(b, "{");
    write_i64(b, "inputs", s->inputs);
    write_text(b, "initializer", s->initializer->choice.name);
    if (s->linear_skip) { /* older readers need not be kept from files without it */
        mtl__json_write_key(b, "linear_skip");
        mtl__json_write_bool(b, true);
    }
    if (s->zero_heads) {
        mtl__json_write_key(b, "zero_heads");
        mtl__json_write_bool(b, true);
    }
    if (mtl__spec_has_streams(s)) {
        mtl__json_write_key(b, "architecture");
        mtl__bytes_text(b, "\"");
        mtl__spec_architecture_text(s, b);
        mtl__bytes_text(b, "\"");
    }
    if (s->members > 1) {
        write_i64(b, "ensemble_members", s->members);
        write_text(b, "ensemble", mtl__ensemble_name(s->ensemble));
    }
    if (s->missing_indicators) {
        mtl__json_write_key(b, "missing_indicators");
        mtl__json_write_bool(b, true);
    }
    mtl__json_write_key(b, "trunk");
    mtl__bytes_text(b, "[");
    for (int64_t i = 0; i < s->trunk.count; i++)
        write_layer(b, s, &s->trunk.layer[i]);
    mtl__bytes_text(b, "]");
    mtl__json_write_key(b, "tasks");
    mtl__bytes_text(b, "[");
    for (int64_t t = 0; t < s->tasks; t++)
        write_task(b, &s->task[t]);
    mtl__bytes_text(b, "]");
    if (members)
        write_weights(b, members);
    mtl__bytes_text(b, "}");
    mtl__bytes_append(b, "", 1);
}
/* --- reading ----------------------------------------------------------------------------------- */

/* A text that a file has only where it is not empty. */
static mtl_status read_setting(mtl_spec *s, const char *task, mtl__json json, const char *key,
                               mtl_error *err)
{
    char *text = NULL;
    if (!mtl__json_member(json, key).s)
        return MTL_OK;
    mtl_status st = mtl__json_get_string(json, key, &s->ctx->al, &text, err);
    if (st == MTL_OK)
        st = mtl__spec_task_set_text(s, task, key, text, err);
    mtl__strfree(&s->ctx->al, text);
    return st;
}

static mtl_status read_task(mtl_spec *s, mtl__json task, mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    char *name = NULL, *kind = NULL, *loss = NULL, *head = NULL;
    int64_t outputs;
    double weight;
    mtl_status st;
    MTL_TRY(st, mtl__json_get_string(task, "name", al, &name, err), done);
    MTL_TRY(st, mtl__json_get_string(task, "kind", al, &kind, err), done);
    MTL_TRY(st, mtl__json_get_i64(task, "outputs", 1, MTL__SIZE_MAX, &outputs, err), done);
    MTL_TRY(st, mtl__json_get_string(task, "loss", al, &loss, err), done);
    MTL_TRY(st, mtl__json_get_f64(task, "weight", &weight, err), done);
    MTL_TRY(st, mtl__json_get_string(task, "head", al, &head, err), done);
    MTL_TRY(st, mtl__spec_add_task(s, name, mtl__kind_parse(kind), outputs, err), done);
    MTL_TRY(st, mtl__spec_task_set_text(s, name, "loss", loss, err), done);
    MTL_TRY(st, mtl__spec_task_set_number(s, name, "weight", weight, false, err), done);
    MTL_TRY(st, mtl__spec_task_set_text(s, name, "head", head, err), done);
    MTL_TRY(st, read_setting(s, name, task, "class_weights", err), done);
    MTL_TRY(st, read_setting(s, name, task, "quantiles", err), done);
done:
    mtl__strfree(al, name);
    mtl__strfree(al, kind);
    mtl__strfree(al, loss);
    mtl__strfree(al, head);
    return st;
}

static mtl_status each(mtl_spec *s, mtl__json root, const char *key,
                       mtl_status (*read)(mtl_spec *, mtl__json, mtl_error *), mtl_error *err)
{
    mtl__json list, item;
    mtl_status st = mtl__json_get(root, key, MTL__JSON_ARRAY, &list, err);
    if (st != MTL_OK)
        return st;
    mtl__json_iter it = mtl__json_iterate(list);
    while (st == MTL_OK && mtl__json_next(&it, NULL, &item))
        st = read(s, item, err);
    return st;
}

static mtl_status read_ensemble(mtl_spec *s, mtl__json root, mtl_error *err)
{
    const bool is_mini = mtl__json_is(mtl__json_member(root, "ensemble"), "mini");
    s->ensemble = is_mini ? MTL__MINI : MTL__TABM;
    if (!is_mini && !mtl__json_is(mtl__json_member(root, "ensemble"), "tabm"))
        return MTL_FAIL(err, MTL_ERR_VERSION, "the file has an ensemble of a kind not known here");
    return mtl__json_get_i64(root, "ensemble_members", 1, MTL__MEMBERS_MAX, &s->members, err);
}

/* Its name must be known here: an older library reads the files of a newer one up to that. */
static mtl_status read_architecture(mtl_spec *s, mtl__json root, mtl_error *err)
{
    char *text = NULL;
    mtl_status st = mtl__json_get_string(root, "architecture", &s->ctx->al, &text, err);
    if (st == MTL_OK)
        st = mtl__spec_set_architecture(s, text, err);
    mtl__strfree(&s->ctx->al, text);
    return st;
}

mtl_status mtl__spec_read(mtl_context *ctx, mtl__json root, mtl_spec **out, mtl_error *err)
{
    mtl_spec *s = NULL;
    char *initializer = NULL;
    bool indicators = false;
    int64_t inputs;
    mtl_status st;
    MTL_TRY(st, mtl__json_get_i64(root, "inputs", 1, MTL__SIZE_MAX, &inputs, err), done);
    MTL_TRY(st, mtl__spec_create(ctx, inputs, &s, err), done);
    MTL_TRY(st, mtl__json_get_string(root, "initializer", &ctx->al, &initializer, err), done);
    MTL_TRY(st, mtl__spec_set_initializer(s, initializer, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "linear_skip")) != MTL__JSON_NONE)
        MTL_TRY(st, mtl__json_get_bool(root, "linear_skip", &s->linear_skip, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "zero_heads")) != MTL__JSON_NONE)
        MTL_TRY(st, mtl__json_get_bool(root, "zero_heads", &s->zero_heads, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "architecture")) != MTL__JSON_NONE)
        MTL_TRY(st, read_architecture(s, root, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "ensemble")) != MTL__JSON_NONE)
        MTL_TRY(st, read_ensemble(s, root, err), done);
    if (mtl__json_type_of(mtl__json_member(root, "missing_indicators")) != MTL__JSON_NONE)
        MTL_TRY(st, mtl__json_get_bool(root, "missing_indicators", &indicators, err), done);
    MTL_TRY(st, mtl__spec_set_missing_indicators(s, indicators, err), done);
    MTL_TRY(st, each(s, root, "trunk", read_layer, err), done);
    MTL_TRY(st, each(s, root, "tasks", read_task, err), done);
    if (s->tasks == 0) {
        st = MTL_FAIL(err, MTL_ERR_FORMAT, "the file's network has no tasks");
        goto done;
    }
    *out = s;
    s = NULL;
done:
    mtl__strfree(&ctx->al, initializer);
    mtl__spec_destroy(s);
    return st;
}
