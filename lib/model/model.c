/* SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

/* --- tensors ----------------------------------------------------------------------------------- */

/* Tensor `number` of a layer, columns [column, column + cols) of it, cols < 0 = all. task: number of
   the task whose name follows the prefix, -1 = none. */
static mtl_status add_param(mtl_model *m, mtl__layer *l, int32_t number, const char *prefix,
                            int64_t task, int64_t column, int64_t cols, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    const mtl__layer_param *what = &l->type->param[number];
    mtl__param *p = &m->param[m->params];
    const mtl__shape shape = mtl__layer_shape(l, number);
    bool has_rows = mtl__role_has_rows(what->role);
    if (cols < 0)
        cols = shape.cols;
    *p = (mtl__param){.rank = has_rows ? 2 : 1,
                      .shape = {has_rows ? shape.rows : cols, has_rows ? cols : 1},
                      .offset = *mtl__layer_offset(l, number) + column,
                      .ld = shape.cols,
                      .task = task,
                      .layer = l->id,
                      .number = number,
                      .role = what->role,
                      .whole = cols == shape.cols};

    mtl__bytes name;
    mtl__bytes_init(&name, al);
    mtl__bytes_text(&name, prefix);
    mtl__bytes_text(&name, task < 0 ? "" : m->spec->task[task].name);
    mtl__bytes_text(&name, ".");
    mtl__bytes_text(&name, what->name);
    mtl__bytes_append(&name, "", 1);
    p->name = name.failed ? NULL : mtl__strdup(al, name.p);
    mtl__bytes_free(&name);
    if (!p->name || !mtl__names_reserve(&m->names, al)) {
        mtl__strfree(al, p->name);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of tensors");
    }
    mtl__names_add(&m->names, p->name);
    m->params++;
    return MTL_OK;
}

static mtl_status add_layer_params(mtl_model *m, mtl__layer *l, const char *prefix, int64_t task,
                                   int64_t column, int64_t cols, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int32_t i = 0; i < l->type->params && st == MTL_OK; i++)
        st = add_param(m, l, i, prefix, task, column, cols, err);
    return st;
}

/* The tensors of columns [column, column + cols) of a layer, all for cols < 0. `name` comes before a
   task's name; in it # stands for a, the next one for b. Not by printf, whose first use costs a new
   process 6 us. */
static mtl_status add_slice(mtl_model *m, mtl__layer *l, int64_t task, int64_t column, int64_t cols,
                            mtl_error *err, const char *name, int64_t a, int64_t b)
{
    char prefix[96];
    size_t n = 0;
    for (; *name; name++) {
        if (*name == '#') {
            const mtl__num_text number = mtl__num((double)a);
            memcpy(prefix + n, number.text, strlen(number.text));
            n += strlen(number.text);
            a = b;
        } else {
            prefix[n++] = *name;
        }
    }
    prefix[n] = '\0';
    return add_layer_params(m, l, prefix, task, column, cols, err);
}

static mtl_status add_task_params(mtl_model *m, int64_t task, mtl_error *err)
{
    mtl__network *net = &m->net;
    const mtl__chain *c = &net->head[net->task[task].chain];
    mtl__layer *output = &net->layer[c->first + c->count - 1];
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < c->count - 1 && st == MTL_OK; i++) {
        st = add_slice(m, &net->layer[c->first + i], task, 0, -1, err, "tower#.", i, 0);
    }
    if (st == MTL_OK)
        st = add_layer_params(m, output, "head.", task, net->task[task].column - c->column,
                      m->spec->task[task].outputs, err);
    return st;
}

/* --- tensors of a layer with streams: slices of its matrix and its vectors ----------------------- */

static mtl_status add_stream_params(mtl_model *m, mtl__layer *l, int64_t number, mtl_error *err)
{
    const int64_t count = mtl__streams_count(l->to), cols = l->cols / count;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < count && st == MTL_OK; i++) {
        const int64_t task = mtl__streams_owner(l->to, i);
        const int64_t expert = task < 0 ? i : (i - l->to.shared) % l->to.own;
        st = add_slice(m, l, task, i * cols, cols, err,
                       task < 0          ? "trunk.#.expert#"
                       : l->to.own == 1 ? "own.#."
                                         : "own.#.expert#.",
                       number, expert);
    }
    return st;
}

/* A gate of all experts: what it gives those of each task is a tensor of its own, which tasks to come
   need not change. */
static mtl_status add_gate_params(mtl_model *m, mtl__layer *l, int64_t number, mtl_error *err)
{
    const int64_t tasks = l->to.tasks, own = l->from.own, each = l->from.shared + own;
    int64_t column = 0;
    mtl_status st = MTL_OK;
    if (l->to.shared) {
        st = add_slice(m, l, -1, 0, l->from.shared, err, "trunk.#.gate", number, 0);
        column = l->from.shared;
        for (int64_t t = 0; t < tasks && st == MTL_OK; t++, column += own)
            st = add_slice(m, l, t, column, own, err, "shared_gate.#.", number, 0);
    }
    for (int64_t t = 0; t < tasks && st == MTL_OK; t++, column += each)
        st = add_slice(m, l, t, column, each, err, "gate.#.", number, 0);
    return st;
}

static mtl_status add_trunk_params(mtl_model *m, mtl__layer *l, int64_t number, mtl_error *err)
{
    if (l->type == &mtl__gate_layer)
        return add_gate_params(m, l, number, err);
    if (l->type == &mtl__stitch_layer) {
        mtl_status st = MTL_OK;
        for (int64_t t = 0; t < l->cols && st == MTL_OK; t++)
            st = add_slice(m, l, t, t, 1, err, "stitch.#.", number, 0);
        return st;
    }
    if (l->to.tasks)
        return add_stream_params(m, l, number, err);
    return add_slice(m, l, -1, 0, -1, err, "trunk.#", number, 0);
}

static mtl_status add_params(mtl_model *m, mtl_error *err)
{
    mtl__network *net = &m->net;
    mtl_status st = MTL_OK;
    int64_t with_params = 0;
    for (int64_t i = 0; i < net->trunk_layers && st == MTL_OK; i++)
        if (net->layer[i].type->params > 0)
            st = add_trunk_params(m, &net->layer[i], with_params++, err);
    for (int64_t t = 0; t < net->tasks && st == MTL_OK; t++)
        st = add_task_params(m, t, err);
    for (int64_t t = 0; t < net->tasks && st == MTL_OK && net->skip >= 0; t++)
        st = add_layer_params(m, &net->layer[net->skip], "skip.", t, net->task[t].column,
                              m->spec->task[t].outputs, err);
    return st;
}

int64_t mtl__model_param(const mtl_model *m, const char *name)
{
    return mtl__names_find(&m->names, name);
}

/* A number at *text, which goes behind it; -1 when there is none. */
static int64_t read_number(const char **text)
{
    int64_t n = -1;
    for (; **text >= '0' && **text <= '9' && n < 1000000; ++*text)
        n = (n < 0 ? 0 : 10 * n) + (**text - '0');
    return n;
}

/* "trunk.A..B": the layers A to B of the trunk. */
static bool is_depth_of(const mtl__param *p, const char *name)
{
    static const char trunk[] = "trunk.";
    const char *own = p->name + sizeof trunk - 1, *at = name + sizeof trunk - 1;
    if (p->task >= 0 || strncmp(name, trunk, sizeof trunk - 1) != 0)
        return false;
    int64_t layer = read_number(&own), first = read_number(&at);
    if (first < 0 || strncmp(at, "..", 2) != 0)
        return false;
    at += 2;
    int64_t last = read_number(&at);
    return *at == 0 && first <= layer && layer <= last;
}

/* A task's name may hold dots, so only three places can end a front part. */
bool mtl__param_matches(const mtl__param *p, const char *name)
{
    if (strncmp(name, "*.", 2) == 0)
        return strcmp(strrchr(p->name, '.'), name + 1) == 0;
    const size_t n = strlen(name), all = strlen(p->name);
    const size_t group = (size_t)(strchr(p->name, '.') - p->name);
    const size_t layer = (size_t)(strrchr(p->name, '.') - p->name);
    return ((n == all || n == layer || n == group) && memcmp(p->name, name, n) == 0) ||
           is_depth_of(p, name);
}

void mtl__param_get(const mtl_model *m, const mtl__param *p, float *out)
{
    int64_t cols = mtl__param_cols(p);
    for (int64_t r = 0; r < mtl__param_rows(p); r++)
        memcpy(out + r * cols, mtl__param_values(m, p) + r * p->ld, (size_t)cols * sizeof *out);
}

void mtl__param_set(mtl_model *m, const mtl__param *p, const float *values)
{
    int64_t cols = mtl__param_cols(p);
    for (int64_t r = 0; r < mtl__param_rows(p); r++)
        memcpy(mtl__param_values(m, p) + r * p->ld, values + r * cols, (size_t)cols * sizeof *values);
}

void mtl__add_product(const mtl__vec *v, int64_t rows, int64_t cols, int64_t rank, float scale,
                      const float *a, const float *b, float *w, int64_t ldw)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < rank; k++)
            v->axpy(cols, scale * a[r * rank + k], b + k * cols, w + r * ldw);
}

/* --- life -------------------------------------------------------------------------------------- */

static int64_t most_params(const mtl__network *net)
{
    enum { OF_A_LAYER = 4, OF_A_TASK = 3 };
    int64_t n = OF_A_LAYER * net->layers + OF_A_TASK * net->tasks;
    for (int64_t i = 0; i < net->trunk_layers && net->has_streams; i++) /* or slices of gates */
        n += OF_A_LAYER * mtl__streams_count(net->layer[i].to);
    return n;
}

void mtl__model_keep_categories(const mtl_model *m, float *mean, float *scale)
{
    for (int64_t i = 0; i < m->net.trunk_layers; i++) {
        const mtl__layer *l = &m->net.layer[i];
        if (l->type != &mtl__embedding_layer)
            continue;
        mean[l->input] = -1;
        scale[l->input] = 1;
    }
}

void mtl__model_keep_unwarped(const mtl_model *m, int64_t knots, float *knot)
{
    for (int64_t i = 0; i < m->net.trunk_layers && knots; i++) {
        const mtl__layer *l = &m->net.layer[i];
        if (l->type != &mtl__embedding_layer)
            continue;
        memset(knot + l->input * knots, 0, (size_t)knots * sizeof *knot);
        if (knots > 1)
            knot[l->input * knots] = 1;
    }
}

void mtl__model_set_warp(mtl_model *m, mtl__warp warp)
{
    mtl__free(&m->ctx->al, m->pipe.warp.knot, mtl__warp_bytes(m->net.raw_inputs, &m->pipe.warp));
    m->pipe.warp = warp;
}

static bool alloc_pipeline(mtl_model *m)
{
    const mtl__allocator *al = &m->ctx->al;
    int64_t in = m->net.inputs, out = m->net.outputs;
    float **const vector[] = {&m->pipe.x_mean, &m->pipe.x_scale, &m->pipe.x_inverse,
                              &m->pipe.y_mean, &m->pipe.y_scale,   &m->pipe.zero_weight,
                              &m->pipe.class_weight, &m->pipe.y_low, &m->pipe.y_high};
    static const float initial[] = {0, 1, 1, 0, 1, 1, 1, -FLT_MAX, FLT_MAX};
    for (int v = 0; v < MTL__COUNT_OF(vector); v++) {
        int64_t n = v < 3 ? in : out;
        float *p = *vector[v] = mtl__alloc_array(al, n, sizeof(float));
        if (!p)
            return false;
        for (int64_t i = 0; i < n; i++)
            p[i] = initial[v];
    }
    mtl__model_keep_categories(m, m->pipe.x_mean, m->pipe.x_scale);
    mtl__model_scaled(m);
    m->pipe.slope = mtl__alloc_array(al, 3 * out, sizeof(float));
    if (!m->pipe.slope)
        return false;
    m->pipe.shift = m->pipe.slope + out;
    m->pipe.radius = m->pipe.shift + out;
    mtl__model_uncalibrate(m);
    return true;
}

bool mtl__moves_zero(int64_t inputs, const float *mean)
{
    int64_t i = 0;
    while (i < inputs && mean[i] == 0)
        i++;
    return i < inputs;
}

void mtl__model_scaled(mtl_model *m)
{
    for (int64_t i = 0; i < m->net.inputs; i++)
        m->pipe.x_inverse[i] = 1 / m->pipe.x_scale[i];
    m->pipe.moves_zero = m->pipe.warp.knots || mtl__moves_zero(m->net.inputs, m->pipe.x_mean);
    m->forward.scale.warp = m->pipe.warp;
    m->forward.is_clipped = m->pipe.is_clipped;
}

void mtl__model_uncalibrate(mtl_model *m)
{
    for (int64_t j = 0; j < m->net.outputs; j++) {
        m->pipe.slope[j] = 1;
        m->pipe.shift[j] = 0;
        m->pipe.radius[j] = NAN;
    }
    mtl__model_calibrated(m);
}

void mtl__model_calibrated(mtl_model *m)
{
    bool is_calibrated = false;
    for (int64_t j = 0; j < m->net.outputs; j++)
        is_calibrated = is_calibrated || m->pipe.slope[j] != 1 || m->pipe.shift[j] != 0;
    m->pipe.is_calibrated = m->forward.is_calibrated = is_calibrated;
}

/* Class weights that the description states. */
static void set_class_weights(mtl_model *m)
{
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const mtl__task_spec *s = &m->spec->task[t];
        const float *stated = s->class_weights.value;
        for (int64_t j = 0; stated && j < s->outputs; j++) {
            int64_t column = m->net.task[t].column + j;
            bool by_class = s->kind == MTL_MULTICLASS;
            m->pipe.class_weight[column] = stated[by_class ? j : 1];
            m->pipe.zero_weight[column] = by_class ? 1 : stated[0];
        }
    }
}

static mtl_status build(mtl_model *m, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl_status st = mtl__network_build(m->spec, &m->net, err);
    if (st != MTL_OK)
        return st;
    m->values = mtl__alloc_zero(al, m->net.params * (int64_t)sizeof(float));
    m->params_capacity = most_params(&m->net);
    m->param = mtl__alloc_zero(al, m->params_capacity * (int64_t)sizeof *m->param);
    m->out_column = mtl__alloc_array(al, m->net.tasks, sizeof *m->out_column);
    if (!m->values || !m->param || !m->out_column || !alloc_pipeline(m))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a model of %lld parameters",
                        (long long)m->net.params);
    set_class_weights(m);
    int64_t column = 0;
    for (int64_t t = 0; t < m->net.tasks; t++) {
        m->out_column[t] = column;
        column += m->spec->task[t].outputs;
    }
    mtl_status added = m->spec->of_members ? MTL_OK : add_params(m, err);
    return added == MTL_OK ? mtl__forward_init(&m->forward, m, false, err) : added;
}

mtl_status mtl__model_create_blank(const mtl_spec *spec, mtl_model **out, mtl_error *err)
{
    return mtl__model_create_in(spec->ctx, spec, out, err);
}

mtl_status mtl__model_create_in(mtl_context *ctx, const mtl_spec *spec, mtl_model **out,
                                mtl_error *err)
{
    if (spec->tasks == 0)
        return MTL_FAIL(err, MTL_ERR_STATE, "a model needs at least one task");
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_model *m = mtl__alloc_zero(&ctx->al, sizeof *m);
    if (!m) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a model");
    }
    m->ctx = ctx;
    m->net.al = ctx->al;
    atomic_init(&m->is_busy, false);
    st = mtl__spec_clone_in(ctx, spec, false, &m->spec, err);
    if (st == MTL_OK)
        st = build(m, err);
    if (st != MTL_OK) {
        mtl__model_destroy(m);
        return st;
    }
    *out = m;
    return MTL_OK;
}

mtl_status mtl__model_create(const mtl_spec *spec, mtl_model **out, mtl_error *err)
{
    mtl_status st = mtl__model_create_blank(spec, out, err);
    if (st == MTL_OK)
        mtl__model_draw(*out, 0);
    return st;
}

void mtl__model_destroy(mtl_model *m)
{
    if (!m)
        return;
    mtl_context *ctx = m->ctx;
    const mtl__allocator *al = &ctx->al;
    int64_t in = m->net.inputs * (int64_t)sizeof(float);
    int64_t out = m->net.outputs * (int64_t)sizeof(float);
    if (m->running)
        m->running_free(m->running);
    if (m->kept)
        m->kept_free(m->kept);
    mtl__model_set_warp(m, (mtl__warp){0});
    mtl__name_list_free(al, m->net.raw_inputs, m->pipe.input_names);
    mtl__free(al, m->pipe.x_mean, in);
    mtl__free(al, m->pipe.x_scale, in);
    mtl__free(al, m->pipe.x_inverse, in);
    mtl__free(al, m->pipe.y_mean, out);
    mtl__free(al, m->pipe.y_scale, out);
    mtl__free(al, m->pipe.y_low, out);
    mtl__free(al, m->pipe.y_high, out);
    mtl__free(al, m->pipe.slope, 3 * out);
    mtl__free(al, m->pipe.zero_weight, out);
    mtl__free(al, m->pipe.class_weight, out);
    mtl__free(al, m->out_column, m->net.tasks * (int64_t)sizeof *m->out_column);
    for (int64_t i = 0; i < m->params; i++)
        mtl__strfree(al, m->param[i].name);
    mtl__names_free(&m->names, al);
    mtl__free(al, m->param, m->params_capacity * (int64_t)sizeof *m->param);
    mtl__free(al, m->values, m->net.params * (int64_t)sizeof(float));
    mtl__forward_free(&m->forward, al);
    mtl__members_free(m->members, al);
    mtl__network_free(&m->net);
    mtl__spec_destroy(m->spec);
    mtl__free(al, m, sizeof *m);
    mtl__context_unref(ctx);
}

mtl_status mtl__model_clone(const mtl_model *m, mtl_model **out, mtl_error *err)
{
    return mtl__model_clone_in(m->ctx, m, out, err);
}

mtl_status mtl__model_clone_in(mtl_context *ctx, const mtl_model *m, mtl_model **out,
                               mtl_error *err)
{
    mtl_status st = m->members ? mtl__members_clone(ctx, m, out, err)
                               : mtl__model_create_in(ctx, m->spec, out, err);
    if (st != MTL_OK)
        return st;
    st = mtl__model_adopt(*out, m, err);
    if (st != MTL_OK) {
        mtl__model_destroy(*out);
        *out = NULL;
        return st;
    }
    memcpy((*out)->pipe.slope, m->pipe.slope, 3 * (size_t)m->net.outputs * sizeof(float));
    mtl__model_calibrated(*out);
    return MTL_OK;
}

/* Of the last layer of a head? */
static bool is_output(const mtl_model *m, const mtl__param *p)
{
    const mtl__chain *c = p->task < 0 ? NULL : &m->net.head[m->net.task[p->task].chain];
    return c && p->layer == c->first + c->count - 1;
}

static void draw_param(mtl_model *m, const mtl__param *p, mtl__rng *rng)
{
    const mtl__layer *l = &m->net.layer[p->layer];
    const mtl__layer_param *what = &l->type->param[p->number];
    float *values = m->values + p->offset, initial = what->initial;
    if (l->starts_at_zero || (m->spec->zero_heads && is_output(m, p)))
        initial = 0;
    if (what->draw)
        what->draw(l, rng, values);
    else if (p->role == MTL__MATRIX && initial != 0)
        /* Of a head one matrix for each member; else all rows are one. */
        for (int64_t r = 0, in = mtl__min(l->in, l->rows); r < l->rows; r += in)
            mtl__initialize(m->spec->initializer, rng, m->ctx->vec->philox, in, p->shape[1],
                            values + r * p->ld, p->ld);
    else
        for (int64_t r = 0; r < mtl__param_rows(p); r++)
            for (int64_t j = 0; j < mtl__param_cols(p); j++)
                values[r * p->ld + j] = initial;
}

mtl_status mtl__model_takes_sparse(const mtl_model *m, const char *what, mtl_error *err)
{
    const mtl__layer_type *other = mtl__network_needs_dense(&m->net);
    mtl_status st = MTL_OK;
    for (int64_t k = 0; m->members && k < m->members->count && st == MTL_OK; k++)
        st = mtl__model_takes_sparse(m->members->model[k], what, err);
    if (st != MTL_OK)
        return st;
    const char *why = m->net.inputs != m->net.raw_inputs ? "missing indicators"
                      : other                            ? other->name
                      : m->pipe.moves_zero               ? "a scaling that moves 0"
                                                         : NULL;
    if (!why)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE, "%s: sparse inputs are not for a model with %s%s", what, why,
                    other ? " on its inputs" : "");
}

bool mtl__model_has_thresholds(const mtl_model *m, const mtl__param *p)
{
    const mtl__network *net = &m->net;
    if (p->task < 0 || p->role != MTL__MATRIX || !m->spec->task[p->task].loss->has_thresholds)
        return false;
    return p->layer == net->skip || is_output(m, p);
}

/* Columns column .. column + cols of a layer's weights, of all rows or of those listed. */
static void clear_columns(const mtl__layer *l, int64_t column, int64_t cols, float *vector,
                          const int32_t *rows, int64_t count)
{
    for (int64_t r = 0; r < (rows ? count : l->in); r++)
        memset(vector + l->weight + (rows ? rows[r] : r) * l->out + column, 0,
               (size_t)cols * sizeof *vector);
}

void mtl__model_clear_fixed(const mtl_model *m, float *vector, const int32_t *rows, int64_t count)
{
    const mtl__network *net = &m->net;
    for (int64_t t = 0; t < net->tasks; t++) {
        const mtl__chain *c = &net->head[net->task[t].chain];
        const int64_t column = net->task[t].column + 1, cols = m->spec->task[t].outputs - 1;
        if (!m->spec->task[t].loss->has_thresholds)
            continue;
        const int64_t last = c->first + c->count - 1;
        clear_columns(&net->layer[last], column - c->column, cols, vector,
                      mtl__network_reads_inputs(net, last) ? rows : NULL, count);
        if (net->skip >= 0)
            clear_columns(&net->layer[net->skip], column, cols, vector, rows, count);
    }
}

void mtl__model_draw(mtl_model *m, uint64_t seed)
{
    for (int64_t i = 0; i < m->params; i++) {
        mtl__rng rng = mtl__rng_make(seed, MTL__RNG_INIT, (uint32_t)i);
        draw_param(m, &m->param[i], &rng);
    }
    mtl__model_clear_fixed(m, m->values, NULL, 0);
}

static bool same_shape(const mtl__param *a, const mtl__param *b)
{
    return a->rank == b->rank && a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1];
}

/* A task takes from the tasks that both have as it did, whatever their numbers. */
static void adopt_stitch(mtl_model *to, mtl__param *p, const mtl_model *from, const mtl__param *q)
{
    for (int64_t u = 0; u < from->net.tasks; u++) {
        const int64_t t = mtl__spec_task(to->spec, from->spec->task[u].name);
        if (t >= 0)
            to->values[p->offset + t * p->ld] = from->values[q->offset + u * q->ld];
    }
    p->is_frozen = q->is_frozen;
}

static bool is_stitch(const mtl_model *m, const mtl__param *p)
{
    return m->net.layer[p->layer].type == &mtl__stitch_layer;
}

static void adopt_param(mtl_model *to, mtl__param *p, const mtl_model *from, const mtl__param *q)
{
    for (int64_t r = 0; r < mtl__param_rows(p); r++)
        memcpy(to->values + p->offset + r * p->ld, from->values + q->offset + r * q->ld,
               (size_t)mtl__param_cols(p) * sizeof(float));
    p->is_frozen = q->is_frozen;
}

void mtl__model_adopt_targets(mtl_model *to, int64_t t, const mtl_model *from, int64_t u)
{
    size_t bytes = (size_t)to->spec->task[t].outputs * sizeof(float);
    int64_t a = to->net.task[t].column, b = from->net.task[u].column;
    memcpy(to->pipe.y_mean + a, from->pipe.y_mean + b, bytes);
    memcpy(to->pipe.y_scale + a, from->pipe.y_scale + b, bytes);
    memcpy(to->pipe.y_low + a, from->pipe.y_low + b, bytes);
    memcpy(to->pipe.y_high + a, from->pipe.y_high + b, bytes);
    to->pipe.is_clipped = to->pipe.is_clipped || from->pipe.is_clipped;
    to->forward.is_clipped = to->pipe.is_clipped;
    memcpy(to->pipe.zero_weight + a, from->pipe.zero_weight + b, bytes);
    memcpy(to->pipe.class_weight + a, from->pipe.class_weight + b, bytes);
}

static mtl_status adopt_warp(mtl_model *to, const mtl_model *from, mtl_error *err)
{
    const int64_t bytes = mtl__warp_bytes(from->net.raw_inputs, &from->pipe.warp);
    mtl__warp copy = {.knots = from->pipe.warp.knots};
    if (bytes) {
        copy.knot = mtl__alloc(&to->ctx->al, bytes);
        if (!copy.knot)
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the scaling of %lld columns",
                            (long long)from->net.raw_inputs);
        memcpy(copy.knot, from->pipe.warp.knot, (size_t)bytes);
    }
    mtl__model_set_warp(to, copy);
    return MTL_OK;
}

void mtl__model_name_inputs(mtl_model *m, const char **names)
{
    if (m->pipe.input_names)
        mtl__name_list_free(&m->ctx->al, m->net.raw_inputs, names);
    else
        m->pipe.input_names = names;
}

mtl_status mtl__model_adopt(mtl_model *to, const mtl_model *from, mtl_error *err)
{
    const mtl__allocator *al = &to->ctx->al;
    const size_t in = (size_t)to->net.inputs * sizeof(float);
    const char **names = NULL;
    if (from->pipe.input_names) {
        names = mtl__name_list_copy(al, from->net.raw_inputs, from->pipe.input_names);
        if (!names)
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of %lld columns",
                            (long long)from->net.raw_inputs);
    }
    mtl_status st = adopt_warp(to, from, err);
    if (st != MTL_OK) {
        mtl__name_list_free(al, from->net.raw_inputs, names);
        return st;
    }
    mtl__model_name_inputs(to, names);
    for (int64_t i = 0; i < to->params && !to->members; i++) {
        int64_t j = mtl__model_param(from, to->param[i].name);
        if (j >= 0 && is_stitch(to, &to->param[i]) && is_stitch(from, &from->param[j]))
            adopt_stitch(to, &to->param[i], from, &from->param[j]);
        else if (j >= 0 && same_shape(&to->param[i], &from->param[j]))
            adopt_param(to, &to->param[i], from, &from->param[j]);
    }
    memcpy(to->pipe.x_mean, from->pipe.x_mean, in);
    memcpy(to->pipe.x_scale, from->pipe.x_scale, in);
    mtl__model_scaled(to);
    for (int64_t t = 0; t < to->net.tasks; t++) {
        int64_t u = mtl__spec_task(from->spec, to->spec->task[t].name);
        if (u < 0 || from->spec->task[u].outputs != to->spec->task[t].outputs)
            continue;
        mtl__model_adopt_targets(to, t, from, u);
    }
    to->pipe.is_fitted = from->pipe.is_fitted;
    to->is_set = from->is_set;
    return MTL_OK;
}

static void forget_kept(mtl_model *m)
{
    if (m->kept)
        m->kept_free(m->kept);
    m->kept = NULL;
}

void mtl__model_swap(mtl_model *a, mtl_model *b)
{
    const bool a_is_busy = atomic_load(&a->is_busy), b_is_busy = atomic_load(&b->is_busy);
    mtl_model other;
    forget_kept(a);
    forget_kept(b);
    memcpy(&other, a, sizeof other);
    memcpy(a, b, sizeof other);
    memcpy(b, &other, sizeof other);
    atomic_store(&a->is_busy, a_is_busy);
    atomic_store(&b->is_busy, b_is_busy);
}

mtl_status mtl__model_acquire(mtl_model *m, mtl_error *err)
{
    if (atomic_exchange(&m->is_busy, true))
        return MTL_FAIL(err, MTL_ERR_BUSY, "another call is writing to the model");
    return MTL_OK;
}

void mtl__model_release(mtl_model *m)
{
    atomic_store(&m->is_busy, false);
}
