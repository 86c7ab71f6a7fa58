/* SPDX-License-Identifier: MIT */
#include "transfer/columns.h"

#include <math.h>
#include <string.h>

/* --- by name ----------------------------------------------------------------------------------- */

/* Of each name in `to` its number in `from`, -1 = not there. */
static mtl_status match(const mtl__allocator *al, const char *whose, int64_t n_from,
                        const char *const *from, int64_t n_to, const char *const *to, int64_t *number,
                        mtl_error *err)
{
    mtl__names index = {0};
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < n_from && st == MTL_OK; i++) {
        if (mtl__names_find(&index, from[i]) >= 0)
            st = MTL_FAIL(err, MTL_ERR_NAME, "%s: two input columns are named \"%.64s\"", whose,
                          from[i]);
        else if (!mtl__names_reserve(&index, al))
            st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of columns");
        else
            mtl__names_add(&index, from[i]);
    }
    for (int64_t i = 0; i < n_to && st == MTL_OK; i++)
        number[i] = mtl__names_find(&index, to[i]);
    mtl__names_free(&index, al);
    return st;
}

static bool same_names(int64_t n, const char *const *a, int64_t m, const char *const *b)
{
    int64_t i = 0;
    while (i < n && n == m && strcmp(a[i], b[i]) == 0)
        i++;
    return i == n && n == m;
}

/* --- the network ------------------------------------------------------------------------------- */

/* Columns of the network's input, indicators included: where each comes from. */
typedef struct mapping {
    const mtl_model *from;
    mtl_model *to;
    const int64_t *raw; /* [raw inputs of to] */
} mapping;

static int64_t source_of(const mapping *x, int64_t column)
{
    const int64_t raw = x->to->net.raw_inputs;
    if (column < raw)
        return x->raw[column];
    const int64_t i = x->raw[column - raw];
    return i < 0 ? i : x->from->net.raw_inputs + i;
}

/* Does the layer do the same to each column by itself? */
static bool keeps_columns(const mtl__layer *l)
{
    return l->type == &mtl__factors_layer || l->type == &mtl__batch_norm_layer ||
           l->type == &mtl__parametric_layer ||
           l->type->params == 0;
}

/* The layer of the trunk that is the first to mix columns, or the number of them. */
static int64_t first_mixing(const mtl__network *net)
{
    int64_t i = 0;
    while (i < net->trunk_layers && keeps_columns(&net->layer[i]))
        i++;
    return i;
}

/* Has the tensor something of each input column, and does it stand beside another, not below it? */
static bool is_of_inputs(const mtl_model *m, const mtl__param *p, bool *by_columns)
{
    const mtl__network *net = &m->net;
    const int64_t mixing = first_mixing(net), layer = p->layer;
    bool of_inputs = layer <= mixing;
    if (layer < net->trunk_layers && net->layer[layer].type->reads_back) /* a gate, by what experts saw */
        of_inputs = layer - net->layer[layer].column - 1 < mixing;
    if (layer >= net->trunk_layers) {
        const mtl__chain *c = net->head;
        while (c < net->head + net->heads && (layer < c->first || layer >= c->first + c->count))
            c++;
        const bool is_first = c < net->head + net->heads && layer == c->first;
        of_inputs = layer == net->skip || (mixing == net->trunk_layers && is_first);
    }
    *by_columns = layer < mixing;
    return of_inputs && (*by_columns || p->role == MTL__MATRIX);
}

static void map_param(const mapping *x, mtl__param *p)
{
    const mtl__param *q = &x->from->param[mtl__model_param(x->from, p->name)];
    float *to = mtl__param_values(x->to, p);
    const float *from = mtl__param_values(x->from, q);
    const int64_t rows = mtl__param_rows(p), cols = mtl__param_cols(p);
    const int64_t in = x->to->net.inputs, in_from = x->from->net.inputs;
    const float initial = x->to->net.layer[p->layer].type->param[p->number].initial;
    bool by_columns;
    p->is_frozen = q->is_frozen;
    if (!is_of_inputs(x->to, p, &by_columns)) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * p->ld, from + r * q->ld, (size_t)cols * sizeof *to);
        return;
    }
    /* Heads of members stand one below the other. */
    for (int64_t r = 0; r < rows && !by_columns; r++) {
        const int64_t i = source_of(x, r % in);
        if (i >= 0)
            memcpy(to + r * p->ld, from + (r / in * in_from + i) * q->ld, (size_t)cols * sizeof *to);
    }
    for (int64_t r = 0; r < rows && by_columns; r++)
        for (int64_t j = 0; j < cols; j++) {
            const int64_t i = source_of(x, j);
            to[r * p->ld + j] = i >= 0 ? from[r * q->ld + i] : initial;
        }
}

/* --- scaling ----------------------------------------------------------------------------------- */

/* Inputs of a fit that left them as they are. */
static bool is_unscaled(const mtl_model *m)
{
    int64_t i = 0;
    while (i < m->net.raw_inputs && m->pipe.x_mean[i] == 0 && m->pipe.x_scale[i] == 1)
        i++;
    return i == m->net.raw_inputs && !m->pipe.warp.knots;
}

static mtl_status map_scaling(const mapping *x, const mtl_dataset *target, mtl_error *err)
{
    const mtl__pipeline *from = &x->from->pipe;
    mtl__pipeline *to = &x->to->pipe;
    const int64_t knots = from->warp.knots, inputs = x->to->net.raw_inputs;
    mtl__warp warp = {.knots = knots};
    int64_t count = 0;
    mtl_status st = MTL_OK;
    if (knots && mtl__mul_size(inputs, knots, &count))
        warp.knot = mtl__alloc_array(&x->to->ctx->al, count, sizeof *warp.knot);
    if (knots && !warp.knot)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scaling of %lld columns",
                        (long long)inputs);
    if (!is_unscaled(x->from))
        st = mtl__scaler_fit_inputs_by(target, mtl__scaler_of_knots(knots), knots, to->x_mean,
                                       to->x_scale, warp.knot, err);
    for (int64_t j = 0; j < x->to->net.inputs && st == MTL_OK; j++) {
        const int64_t i = source_of(x, j);
        if (i < 0)
            continue;
        to->x_mean[j] = from->x_mean[i];
        to->x_scale[j] = from->x_scale[i];
        if (j < inputs && knots)
            memcpy(warp.knot + j * knots, from->warp.knot + i * knots,
                   (size_t)knots * sizeof *warp.knot);
    }
    mtl__model_set_warp(x->to, warp);
    mtl__model_scaled(x->to);
    return st;
}

/* --- the source and the rows -------------------------------------------------------------------- */

static mtl_status check_source(const mtl_model *m, mtl_error *err)
{
    const mtl__network *net = &m->net;
    const int64_t mixing = first_mixing(net);
    const mtl__layer_type *type = mixing < net->trunk_layers ? net->layer[mixing].type : NULL;
    if (type && type != &mtl__dense_layer && type != &mtl__member_dense_layer)
        return MTL_FAIL(err, MTL_ERR_STATE,
                        "source: its layer of type %s cannot have other input columns", type->name);
    return MTL_OK;
}

static mtl_status widen(const mtl_model *source, const mtl_dataset *target, const int64_t *raw,
                        mtl_model **out, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    const char **names = NULL;
    mtl_status st = check_source(source, err);
    if (st == MTL_OK)
        st = mtl__spec_clone(source->spec, false, &spec, err);
    if (st != MTL_OK)
        return st;
    spec->inputs = target->inputs;
    MTL_TRY(st, mtl__model_create_blank(spec, &m, err), done);
    const mapping x = {source, m, raw};
    MTL_TRY(st, map_scaling(&x, target, err), done);
    for (int64_t i = 0; i < m->params; i++)
        map_param(&x, &m->param[i]);
    for (int64_t t = 0; t < m->net.tasks; t++)
        mtl__model_adopt_targets(m, t, source, t);
    memcpy(m->pipe.slope, source->pipe.slope, 3 * (size_t)m->net.outputs * sizeof(float));
    mtl__model_calibrated(m);
    names = mtl__name_list_copy(&m->ctx->al, target->inputs, target->input_names);
    if (!names)
        MTL_TRY(st, MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of columns"), done);
    mtl__model_name_inputs(m, names);
    m->pipe.is_fitted = source->pipe.is_fitted;
    m->is_set = true;
    *out = m;
    m = NULL;
done:
    mtl__model_destroy(m);
    mtl__spec_destroy(spec);
    return st;
}

/* Known rows without names stand in the source's columns. */
static mtl_status match_known(const mtl_model *source, const mtl_dataset *target,
                              const mtl_dataset *known, int64_t *column, mtl_dataset **out,
                              mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (known->input_names)
        st = match(&target->ctx->al, "known", known->inputs, known->input_names, target->inputs,
                   target->input_names, column, err);
    else if (known->inputs != source->net.raw_inputs)
        st = MTL_FAIL(err, MTL_ERR_SHAPE, "known: %lld input columns, the source has %lld",
                      (long long)known->inputs, (long long)source->net.raw_inputs);
    if (st == MTL_OK)
        st = mtl__dataset_select_columns(known, "known", target->inputs, column, target->input_names,
                                         out, err);
    return st;
}

mtl_status mtl__column_match_make(const mtl_model *source, const mtl_dataset *target,
                              const mtl_dataset *known, mtl__column_match *out, mtl_error *err)
{
    const mtl__allocator *al = &source->ctx->al;
    const char *const *names = source->pipe.input_names;
    const int64_t inputs = source->net.raw_inputs;
    mtl__column_match c = {0};
    *out = c;
    if (!names || !target->input_names)
        return MTL_OK;
    const bool differs = !same_names(inputs, names, target->inputs, target->input_names);
    const bool known_differs = known && known->input_names &&
                               !same_names(known->inputs, known->input_names, target->inputs,
                                           target->input_names);
    if (!differs && !known_differs)
        return MTL_OK;
    int64_t *column = mtl__alloc_array(al, target->inputs, sizeof *column);
    if (!column)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)target->inputs);
    mtl_status st = match(al, "source", inputs, names, target->inputs, target->input_names, column, err);
    for (int64_t j = 0; j < target->inputs && st == MTL_OK; j++)
        c.kept += column[j] >= 0;
    c.added = target->inputs - c.kept;
    c.dropped = inputs - c.kept;
    if (st == MTL_OK && c.kept == 0 && inputs != target->inputs)
        st = MTL_FAIL(err, MTL_ERR_NAME,
                      "target: none of its %lld input columns is one of the source's %lld by name",
                      (long long)target->inputs, (long long)inputs);
    if (st == MTL_OK && c.kept && differs)
        st = widen(source, target, column, &c.source, err);
    if (st == MTL_OK && c.kept && known)
        st = match_known(source, target, known, column, &c.known, err);
    mtl__free(al, column, target->inputs * (int64_t)sizeof *column);
    if (st == MTL_OK)
        *out = c;
    else
        mtl__column_match_free(&c);
    return st;
}

void mtl__column_match_free(mtl__column_match *c)
{
    mtl__model_destroy(c->source);
    mtl__dataset_destroy(c->known);
    *c = (mtl__column_match){0};
}
