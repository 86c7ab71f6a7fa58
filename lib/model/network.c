/* SPDX-License-Identifier: MIT */
#include "model/network.h"

#include <string.h>

#include "model/architecture.h"
#include "model/network_priv.h"

/* --- building ---------------------------------------------------------------------------------- */

static bool is_plain(const mtl__task_spec *t)
{
    return t->tower.count == 0;
}

/* The next stretch of the flat vector; false when it does not fit. */
static bool reserve_params(mtl__network *net, int64_t rows, int64_t cols, int64_t *offset)
{
    int64_t count, end;
    if (!mtl__mul_size(rows, cols, &count) || !mtl__add_size(count, MTL__ALIGN_FLOATS, &end) ||
        !mtl__add_size(net->params, mtl__round_floats(count), &end) ||
        end > INT64_MAX / 64) /* a model has a handful of such vectors of floats */
        return false;
    *offset = net->params;
    net->params = end;
    return true;
}

bool mtl__network_add(mtl__network *net, const mtl__layer *what, int64_t *width)
{
    mtl__layer *l = &net->layer[net->layers];
    bool fits = true;
    *l = *what;
    l->id = (int32_t)net->layers++;
    l->weight = l->bias = l->scale = l->mean = l->variance = l->frequency = l->phase = l->edges = -1;
    for (int32_t i = 0; i < l->type->params && fits; i++) {
        const mtl__shape s = mtl__layer_shape(l, i);
        fits = reserve_params(net, s.rows, s.cols, mtl__layer_offset(l, i));
    }
    *width = l->out;
    return fits;
}

static bool add_dense(mtl__network *net, const mtl__layer_type *type, int64_t members,
                      const mtl__act *act, int64_t units, int64_t *width)
{
    bool is_head = type == &mtl__member_head_layer;
    return mtl__network_add(net,
                            &(mtl__layer){.type = type,
                                          .in = *width,
                                          .out = units,
                                          .rows = is_head ? *width * members : *width,
                                          .cols = units,
                                          .members = members,
                                          .act = *act},
                            width);
}

/* Of each member, or, with members = 1, of the inputs, at a rate of their own. */
static bool add_factors(mtl__network *net, int64_t members, bool expands, double rate,
                        int64_t *width)
{
    const mtl__layer *below = net->layers ? &net->layer[net->layers - 1] : NULL;
    const bool behind_numeric = below && below->embeds > 0 && expands;
    net->widest = mtl__max(net->widest, *width * members);
    return mtl__network_add(net,
                     &(mtl__layer){.type = &mtl__factors_layer,
                                   .embeds = behind_numeric ? below->embeds : 0,
                                   .units = behind_numeric ? below->units : 0,
                                   .in = *width,
                                   .out = *width,
                                   .rows = 1,
                                   .cols = *width,
                                   .rate = rate,
                                   .members = members,
                                   .expands = expands},
                     width);
}

/* A dense layer of all members; where they have just parted, factors are there already. */
static bool add_member_dense(mtl__network *net, const mtl__layer_spec *s, int64_t *width)
{
    const mtl__layer *before = &net->layer[net->layers - 1];
    return ((before->expands && before->members > 1) || add_factors(net, net->members, false, 0, width)) &&
           add_dense(net, &mtl__member_dense_layer, net->members, &s->act, s->units, width);
}

/* An input column's place once the columns with embeddings before this one are gone. */
static int64_t place_of_column(const mtl__network *net, int64_t column)
{
    int64_t place = column;
    for (int64_t i = 0; i < net->layers; i++)
        place -= net->layer[i].input < column;
    return place;
}

static bool add_embedding(mtl__network *net, const mtl__layer_spec *s, int64_t *width)
{
    return mtl__network_add(net,
                            &(mtl__layer){.type = s->type,
                                          .in = *width,
                                          .out = *width - 1 + s->units,
                                          .rows = s->categories + 1,
                                          .cols = s->units,
                                          .column = place_of_column(net, s->column),
                                          .input = s->column},
                            width);
}

static bool add_numeric(mtl__network *net, const mtl_spec *spec, const mtl__layer_spec *s,
                        int64_t *width)
{
    for (int64_t i = 0; i < net->columns; i++)
        net->column[i] = place_of_column(net, spec->numeric[i]);
    return mtl__network_add(net,
                     &(mtl__layer){.type = s->type,
                                   .in = *width,
                                   .out = *width + net->columns * (s->units - 1),
                                   .columns = net->column,
                                   .embeds = net->columns,
                                   .units = s->units,
                                   .features = s->features,
                                   .spread = s->spread,
                                   .shares = s->shares},
                     width);
}

/* Layers that leave the width as it is. */
static bool add_other(mtl__network *net, const mtl_spec *spec, const mtl__layer_spec *s, int64_t *width)
{
    return mtl__network_add(net,
                            &(mtl__layer){.type = s->type,
                                          .in = *width,
                                          .out = *width,
                                          .rows = 1,
                                          .cols = *width,
                                          .members = spec->members,
                                          .mixed = s->act,
                                          .shares = spec->ensemble != MTL__TABM,
                                          .rate = s->rate,
                                          .eps = s->eps,
                                          .momentum = s->momentum,
                                          .column = s->back},
                            width);
}

bool mtl__network_add_from_spec(mtl__network *net, const mtl_spec *spec, const mtl__layer_spec *s,
                          int64_t *width)
{
    if (s->type == &mtl__embedding_layer)
        return add_embedding(net, s, width);
    if (mtl__numeric_of(s->type))
        return add_numeric(net, spec, s, width);
    if (s->type == &mtl__factors_layer)
        return add_factors(net, 1, true, s->rate, width);
    if (s->type != &mtl__dense_layer)
        return add_other(net, spec, s, width);
    if (spec->members > 1 && spec->ensemble == MTL__TABM)
        return add_member_dense(net, s, width);
    return add_dense(net, &mtl__dense_layer, spec->members, &s->act, s->units, width);
}

static bool comes_before_members(const mtl__layer_type *type)
{
    return mtl__type_is_embedding(type) || type == &mtl__factors_layer;
}

/* Append the layers of a list; *width is the input's and becomes the output's. *parted: members have
   rows of their own by now. */
static bool add_list(mtl__network *net, const mtl_spec *spec, const mtl__layer_list *list,
                     bool *parted, int64_t *width)
{
    bool fits = true;
    for (int64_t i = 0; i <= list->count && fits; i++) {
        const mtl__layer_spec *s = i < list->count ? &list->layer[i] : NULL;
        if (!*parted && !(s && comes_before_members(s->type))) {
            fits = add_factors(net, net->members, true, 0, width);
            *parted = true;
        }
        if (fits && s)
            fits = mtl__network_add_from_spec(net, spec, s, width);
        if (s)
            net->widest = mtl__max(net->widest, *width * (*parted ? net->members : 1));
    }
    return fits;
}

static mtl__act identity(void)
{
    mtl__act act = {0};
    mtl__act_parse("identity", -1, &act, NULL);
    return act;
}

/* A last layer, which the linear skip may have begun. */
static bool add_output(mtl__network *net, const mtl_spec *s, int64_t outputs, int64_t *width)
{
    const mtl__act linear = identity();
    const mtl__layer_type *type = s->members > 1 ? &mtl__member_head_layer : &mtl__dense_layer;
    bool fits = add_dense(net, type, s->members, &linear, outputs, width);
    net->layer[net->layers - 1].adds = s->linear_skip;
    return fits;
}

/* The matrix of all plain heads, then a chain for each tower; a chain for each task that reads a stream
   of its own. */
static bool add_heads(mtl__network *net, const mtl_spec *s)
{
    bool parted = true;
    int64_t plain = 0, *order = net->by_column;
    for (int64_t t = 0; t < s->tasks; t++)
        if (is_plain(&s->task[t]) && !net->has_streams) {
            *order++ = t;
            net->task[t] = (mtl__net_task){.column = plain, .chain = 0};
            plain += s->task[t].outputs;
        }
    if (plain && !s->of_members) {
        net->head[net->heads++] = (mtl__chain){.first = net->layers, .count = 1, .column = 0};
        int64_t width = net->trunk_out;
        if (!add_output(net, s, plain, &width))
            return false;
    }
    net->outputs = plain;
    for (int64_t t = 0; t < s->tasks; t++) {
        if (is_plain(&s->task[t]) && !net->has_streams)
            continue;
        *order++ = t;
        int64_t width = net->head_in, first = net->layers;
        if (!add_list(net, s, &s->task[t].tower, &parted, &width) ||
            !add_output(net, s, s->task[t].outputs, &width))
            return false;
        net->task[t] = (mtl__net_task){.column = net->outputs, .chain = net->heads};
        net->head[net->heads++] = (mtl__chain){first, net->layers - first, net->outputs,
                                               net->has_streams ? t * net->head_in : 0};
        net->outputs += s->task[t].outputs;
    }
    return true;
}

/* Factors that stand right behind a dense layer of members: its y goes through memory once, not twice. */
static void join_factors(mtl__network *net, int64_t first, int64_t count)
{
    for (int64_t i = first + 1; i < first + count; i++) {
        mtl__layer *l = &net->layer[i];
        l->joined = l->type == &mtl__factors_layer && !l->expands && l[-1].type == &mtl__member_dense_layer;
    }
}

static bool add_skip(mtl__network *net)
{
    int64_t width;
    net->skip = net->layers;
    return mtl__network_add(net,
                            &(mtl__layer){.type = &mtl__skip_layer,
                                          .in = net->inputs,
                                          .out = net->outputs,
                                          .rows = net->inputs,
                                          .cols = net->outputs},
                            &width);
}

/* What an ensemble does not go with. */
static mtl_status check_ensemble(const mtl_spec *s, mtl_error *err)
{
    if (s->members == 1)
        return MTL_OK;
    const char *what = s->linear_skip ? "a linear skip" : NULL;
    for (int64_t i = 0; i < s->trunk.count; i++)
        if (s->trunk.layer[i].type == &mtl__residual_layer)
            what = "residuals";
    for (int64_t t = 0; t < s->tasks; t++)
        if (s->task[t].loss->has_thresholds)
            what = "the loss \"ordinal\"";
    return what ? MTL_FAIL(err, MTL_ERR_STATE, "an ensemble does not go with %s", what) : MTL_OK;
}

/* Layers that the spec's become at most: each may have factors in front, or a gate behind it; there are
   adapters. */
static int64_t most_layers(const mtl_spec *s)
{
    int64_t count = s->trunk.count;
    for (int64_t t = 0; t < s->tasks; t++)
        count += s->task[t].tower.count;
    return (s->members > 1 || mtl__spec_has_streams(s) ? 2 * count + 3 : count) + s->tasks + 2;
}

mtl_status mtl__network_build(const mtl_spec *s, mtl__network *net, mtl_error *err)
{
    const int64_t capacity = most_layers(s);
    bool parted = s->members == 1;
    mtl_status st = check_ensemble(s, err);
    if (st == MTL_OK)
        st = mtl__architecture_check(s, err);
    if (st != MTL_OK) {
        *net = (mtl__network){.al = s->ctx->al};
        return st;
    }
    *net = (mtl__network){.al = s->ctx->al,
                          .raw_inputs = s->inputs,
                          .inputs = mtl__spec_width(s),
                          .members = s->members,
                          .has_streams = mtl__spec_has_streams(s) && !s->of_members,
                          .layers_capacity = capacity,
                          .columns = s->numerics,
                          .skip = -1,
                          .tasks = s->tasks};
    net->layer = mtl__alloc_zero(&net->al, capacity * (int64_t)sizeof *net->layer);
    net->head = mtl__alloc_zero(&net->al, (s->tasks + 1) * (int64_t)sizeof *net->head);
    net->task = mtl__alloc_zero(&net->al, s->tasks * (int64_t)sizeof *net->task);
    net->by_column = mtl__alloc_zero(&net->al, s->tasks * (int64_t)sizeof *net->by_column);
    if (s->numerics)
        net->column = mtl__alloc_zero(&net->al, s->numerics * (int64_t)sizeof *net->column);
    if (!net->layer || !net->head || !net->task || !net->by_column || (s->numerics && !net->column)) {
        mtl__network_free(net);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a network of %lld layers",
                        (long long)capacity);
    }
    bool fits;
    if (net->has_streams) {
        fits = mtl__architecture_build(net, s);
    } else {
        net->trunk_out = net->inputs;
        fits = add_list(net, s, &s->trunk, &parted, &net->trunk_out);
        net->head_in = net->trunk_out;
    }
    net->trunk_layers = net->layers;
    fits = fits && add_heads(net, s) && (!s->linear_skip || add_skip(net));
    join_factors(net, 0, net->trunk_layers);
    for (int64_t i = 0; i < net->heads; i++)
        join_factors(net, net->head[i].first, net->head[i].count);
    if (fits)
        return MTL_OK;
    mtl__network_free(net);
    return MTL_FAIL(err, MTL_ERR_RANGE, "the network has more parameters than memory can hold");
}

void mtl__network_free(mtl__network *net)
{
    mtl__free(&net->al, net->layer, net->layers_capacity * (int64_t)sizeof *net->layer);
    mtl__free(&net->al, net->head, (net->tasks + 1) * (int64_t)sizeof *net->head);
    mtl__free(&net->al, net->task, net->tasks * (int64_t)sizeof *net->task);
    mtl__free(&net->al, net->by_column, net->tasks * (int64_t)sizeof *net->by_column);
    mtl__free(&net->al, net->column, net->columns * (int64_t)sizeof *net->column);
    *net = (mtl__network){.al = net->al};
}

/* --- running ----------------------------------------------------------------------------------- */

static int64_t last_layer(const mtl__chain *c)
{
    return c->first + c->count - 1;
}

/* The layer whose output layer i reads beside its x; -1 = the network's inputs. */
static int64_t source_of(const mtl__network *net, int64_t i)
{
    return i - net->layer[i].column - 1;
}

static bool reads_back(const mtl__network *net, int64_t i)
{
    return net->layer[i].type->reads_back;
}

bool mtl__network_reads_inputs(const mtl__network *net, int64_t layer)
{
    if (layer == net->skip || net->trunk_layers)
        return layer == net->skip || layer == 0 || (reads_back(net, layer) && source_of(net, layer) < 0);
    int64_t h = 0;
    while (h < net->heads && net->head[h].first != layer)
        h++;
    return h < net->heads;
}

/* Does the layer above take part in what this one writes out? */
static bool is_joined(const mtl__network *net, int64_t i)
{
    return i + 1 < net->layers && net->layer[i + 1].joined;
}

static void plan_later(const mtl__network *net, int64_t max_rows, mtl__arena *arena,
                           mtl__buffers *b)
{
    b->later = mtl__arena_take(arena, net->layers, sizeof *b->later);
    b->has_later = mtl__arena_take(arena, net->layers, sizeof *b->has_later);
    /* Two such layers with one source take two stretches and use one: rare, and the plan stays plain. */
    for (int64_t i = 0; i < net->layers; i++) {
        int64_t source = reads_back(net, i) ? source_of(net, i) : -1;
        if (source < 0)
            continue;
        float *later = mtl__arena_floats(arena, max_rows * net->layer[source].out);
        if (b->later)
            b->later[source] = later;
    }
}

static void plan_layers(const mtl__network *net, int64_t max_rows, mtl__arena *arena,
                        mtl__buffers *b)
{
    b->y = mtl__arena_take(arena, net->layers, sizeof *b->y);
    b->kept = mtl__arena_take(arena, net->layers, sizeof *b->kept);
    for (int64_t i = 0; i < net->layers; i++) {
        const mtl__layer *l = &net->layer[i];
        int64_t rows = max_rows * mtl__layer_members(l);
        float *y = mtl__arena_floats(arena, i == net->skip || is_joined(net, i) ? 0 : rows * l->out);
        float *kept = mtl__arena_floats(arena, rows * mtl__layer_kept(l));
        if (b->y) {
            b->y[i] = y;
            b->kept[i] = kept;
        }
    }
    for (int64_t h = 0; b->y && h < net->heads; h++)
        b->y[last_layer(&net->head[h])] = b->z + net->head[h].column;
    if (b->y && net->skip >= 0)
        b->y[net->skip] = b->z;
}

void mtl__network_plan(const mtl__network *net, const mtl__gemm *gemm, int slots, int64_t max_rows,
                       mtl__arena *arena, mtl__buffers *b)
{
    int64_t work = 0;
    for (int64_t i = 0; i < net->layers; i++)
        work = mtl__max(work, mtl__layer_workspace(&net->layer[i], gemm,
                                                   max_rows * mtl__layer_members(&net->layer[i]),
                                                   slots, true));
    b->gemm_work = mtl__arena_floats(arena, work);
    b->z = mtl__arena_floats(arena, max_rows * net->members * net->outputs);
    b->dz = mtl__arena_floats(arena, max_rows * net->members * net->outputs);
    b->dh = mtl__arena_floats(
        arena, net->trunk_layers ? max_rows * net->members * net->trunk_out : 0);
    for (int i = 0; i < 2; i++)
        b->turn[i] = mtl__arena_floats(arena, max_rows * net->widest);
    b->has_dh = false;
    plan_layers(net, max_rows, arena, b);
    plan_later(net, max_rows, arena, b);
}

/* Stride of a layer's output: the last layers of heads write into z. */
static int64_t stride_of(const mtl__network *net, const mtl__buffers *b, int64_t i)
{
    bool in_z = b->y[i] >= b->z && b->y[i] < b->z + net->outputs;
    return in_z ? net->outputs : net->layer[i].out;
}

const mtl__layer_type *mtl__network_needs_dense(const mtl__network *net)
{
    for (int64_t i = 0; i < net->layers; i++) {
        const mtl__layer_type *type = net->layer[i].type;
        if (mtl__network_reads_inputs(net, i) && !type->is_product && type != &mtl__gate_layer)
            return type;
    }
    return NULL;
}

/* How layer i of a chain that starts at `first` with input x sees the batch. */
static mtl__layer_io io_of(const mtl__network *net, const mtl__buffers *b, int64_t first, int64_t i,
                           int64_t rows, const float *x, int64_t ldx)
{
    const int64_t from = reads_back(net, i) ? source_of(net, i) : -1, to = i + is_joined(net, i);
    return (mtl__layer_io){.rows = rows * mtl__layer_members(&net->layer[i]),
                           .x = i == first ? x : b->y[i - 1],
                           .ldx = i == first ? ldx : stride_of(net, b, i - 1),
                           .y = b->y[to],
                           .ldy = stride_of(net, b, to),
                           .skip = from < 0 ? x : b->y[from],
                           .ldskip = from < 0 ? ldx : net->layer[from].out,
                           .kept = b->kept[i]};
}

/* With the factors that it applies for the layer above. */
static mtl__layer_io io_in_pass(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                                int64_t first, int64_t i, int64_t rows, const float *x, int64_t ldx)
{
    mtl__layer_io io = io_of(net, b, first, i, rows, x, ldx);
    if (is_joined(net, i))
        io.after = p->params + net->layer[i + 1].scale;
    return io;
}

static void forward_chain(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                          int64_t first, int64_t count, int64_t rows, const float *x, int64_t ldx)
{
    for (int64_t i = first; i < first + count; i++) {
        const mtl__layer_io io = io_in_pass(net, p, b, first, i, rows, x, ldx);
        if (!net->layer[i].joined)
            mtl__layer_forward(&net->layer[i], p, &io);
    }
}

/* What the heads read: the trunk's output, or the inputs of a network without trunk. */
static const float *trunk_output(const mtl__network *net, const mtl__buffers *b, const float *x)
{
    return net->trunk_layers ? b->y[net->trunk_layers - 1] : x;
}

void mtl__network_forward(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                          const bool *chain_on, int64_t rows, const float *x, int64_t ldx)
{
    forward_chain(net, p, b, 0, net->trunk_layers, rows, x, ldx);
    const float *h = trunk_output(net, b, x);
    int64_t ldh = net->trunk_layers ? net->trunk_out : ldx;
    if (net->skip >= 0)
        forward_chain(net, p, b, net->skip, 1, rows, x, ldx);
    for (int64_t i = 0; i < net->heads; i++)
        if (chain_on[i])
            forward_chain(net, p, b, net->head[i].first, net->head[i].count, rows,
                          h ? h + net->head[i].input : NULL, ldh);
}

/* Lowest layer of [first, first + count) whose parameters are wanted, or which finds those of the one above;
   or first + count. */
static int64_t lowest_on(const mtl__network *net, const bool *layer_on, int64_t first, int64_t count)
{
    int64_t i = first;
    while (i < first + count && !layer_on[i])
        i++;
    return i < first + count && net->layer[i].joined ? i - 1 : i;
}

/* What layer i reads back has a gradient from it as well, to which it comes when the layer above its
   source is done: that one adds to it. A residual's is its own output's; where it adds one row to
   several streams, their sum. */
static void hand_to_source(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                           int64_t i, int64_t stop, int64_t rows, mtl__layer_grad *g)
{
    const mtl__layer *l = &net->layer[i];
    const int64_t source = source_of(net, i), width = mtl__residual_width(l);
    g->dskip = NULL;
    if (source < stop)
        return;
    if (l->type != &mtl__residual_layer) {
        g->dskip = b->later[source];
        g->lddskip = net->layer[source].out;
        g->dskip_adds = b->has_later[source];
    }
    for (int64_t r = 0; r < rows && !g->dskip; r++)
        for (int64_t at = 0; at < l->out; at += width) {
            float *to = b->later[source] + r * width;
            const float *dy = g->dy + r * g->lddy + at;
            if (b->has_later[source] || at > 0)
                p->vec->axpy(width, 1, dy, to);
            else
                memcpy(to, dy, (size_t)width * sizeof *to);
        }
    b->has_later[source] = true;
}

/* Where the gradient of layer i's x goes within a chain: to a turn, or to what waits for it. */
static void choose_dx(const mtl__network *net, const mtl__buffers *b, int64_t i, float *turn,
                      mtl__layer_grad *g)
{
    bool waits = b->has_later[i - 1];
    g->dx = waits ? b->later[i - 1] : turn;
    g->lddx = net->layer[i].in;
    g->dx_adds = waits;
    g->made_by = &net->layer[i - 1].act;
    g->made_slope = b->kept[i - 1];
    g->ldslope = net->layer[i].in;
    b->has_later[i - 1] = false;
}

/* Backward through layer i of a chain that starts at `first`; way->g has the gradient of its output
   and then that of its x. *end tells what is wanted of the chain's input. */
static void step_back(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                      const bool *layer_on, int64_t first, int64_t i, int64_t stop, int64_t rows,
                      const float *x, int64_t ldx, const mtl__layer_grad *end, mtl__way_back *way)
{
    const mtl__layer *l = &net->layer[i];
    const mtl__layer_io io = io_in_pass(net, p, b, first, i, rows, x, ldx);
    mtl__layer_grad *g = &way->g;
    if (l->joined)
        return;
    if (reads_back(net, i))
        hand_to_source(net, p, b, i, stop, rows, g);
    if (i > first) {
        choose_dx(net, b, i, b->turn[way->turn], g);
        g->dx = i == stop ? NULL : g->dx;
    } else {
        g->dx = end->dx;
        g->lddx = end->lddx;
        g->dx_adds = end->dx_adds;
        g->made_by = end->made_by;
        g->made_slope = end->made_slope;
        g->ldslope = end->ldslope;
    }
    g->want_params = layer_on[i];
    g->dafter = io.after && layer_on[i + 1] ? p->grads + net->layer[i + 1].scale : NULL;
    if (mtl__layer_is_split(l))
        mtl__streams_backward(l, p, &io, g);
    else
        l->type->backward(l, p, &io, g);
    g->dy = g->dx;
    g->lddy = g->lddx;
    way->turn = !way->turn;
}

/* Backward through layers first+count-1 .. stop. *end holds the gradient of the last one's output
   and what is wanted of the input's, which is reached when the chain is followed to its start. */
static void backward_chain(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                           const bool *layer_on, int64_t first, int64_t count, int64_t stop,
                           int64_t rows, const float *x, int64_t ldx, const mtl__layer_grad *end)
{
    mtl__way_back way = {.g = {.dy = end->dy, .lddy = end->lddy}};
    for (int64_t i = first + count - 1; i >= stop; i--)
        step_back(net, p, b, layer_on, first, i, stop, rows, x, ldx, end, &way);
}

/* The activation that made what the heads read, and its derivative where it is kept. */
static const mtl__act *trunk_act(const mtl__network *net)
{
    return net->trunk_layers ? &net->layer[net->trunk_layers - 1].act : NULL;
}

static const float *trunk_slope(const mtl__network *net, const mtl__buffers *b)
{
    return net->trunk_layers ? b->kept[net->trunk_layers - 1] : NULL;
}

/* The last chain that is on: it finishes the gradient of the trunk's output. -1 = none. */
static int64_t last_chain(const mtl__network *net, const bool *chain_on)
{
    int64_t i = net->heads - 1;
    while (i >= 0 && !chain_on[i])
        i--;
    return i;
}

/* A task that takes no part has no gradient in its stream. */
static void clear_stream(const mtl__network *net, const mtl__buffers *b, const mtl__chain *c,
                         int64_t rows)
{
    for (int64_t r = 0; r < rows && !b->has_dh; r++)
        memset(b->dh + r * net->trunk_out + c->input, 0, (size_t)net->head_in * sizeof *b->dh);
}

void mtl__network_backward(const mtl__network *net, const mtl__pass *p, const mtl__buffers *b,
                           const bool *chain_on, const bool *layer_on, int64_t rows,
                           const float *x, int64_t ldx)
{
    const float *h = trunk_output(net, b, x);
    int64_t ldh = net->trunk_layers ? net->trunk_out : ldx;
    int64_t trunk_stop = lowest_on(net, layer_on, 0, net->trunk_layers);
    bool want_trunk = trunk_stop < net->trunk_layers, started = b->has_dh;
    int64_t last = last_chain(net, chain_on);

    memset(b->has_later, 0, (size_t)net->layers * sizeof *b->has_later);
    if (net->skip >= 0 && layer_on[net->skip]) {
        const mtl__layer_grad end = {.dy = b->dz, .lddy = net->outputs};
        backward_chain(net, p, b, layer_on, net->skip, 1, net->skip, rows, x, ldx, &end);
    }
    for (int64_t i = 0; i < net->heads; i++) {
        const mtl__chain *c = &net->head[i];
        /* Of a stream that only this chain reads it is first and last. */
        const bool is_last = i == last || net->has_streams;
        if (!chain_on[i]) {
            if (want_trunk && net->has_streams)
                clear_stream(net, b, c, rows);
            continue;
        }
        int64_t stop = want_trunk ? c->first : lowest_on(net, layer_on, c->first, c->count);
        const mtl__layer_grad end = {
            .dy = b->dz + c->column,
            .lddy = net->outputs,
            .dx = want_trunk ? b->dh + c->input : NULL,
            .lddx = net->trunk_out,
            .dx_adds = net->has_streams ? b->has_dh : started,
            .made_by = want_trunk && is_last ? trunk_act(net) : NULL,
            .made_slope = trunk_slope(net, b) ? trunk_slope(net, b) + c->input : NULL,
            .ldslope = net->trunk_out};
        backward_chain(net, p, b, layer_on, c->first, c->count, stop, rows,
                       h ? h + c->input : NULL, ldh, &end);
        started = true;
    }
    if (want_trunk && started) {
        const mtl__layer_grad end = {.dy = b->dh, .lddy = net->trunk_out};
        backward_chain(net, p, b, layer_on, 0, net->trunk_layers, trunk_stop, rows, x, ldx, &end);
    }
}

/* --- one task alone ---------------------------------------------------------------------------- */

void mtl__network_plan_task(const mtl__network *net, int64_t max_rows, mtl__arena *arena,
                            const mtl__buffers *all, mtl__buffers *b)
{
    mtl__buffers own = *all;
    plan_later(net, max_rows, arena, &own);
    if (b)
        *b = own;
}

mtl__layer_io mtl__network_trunk_io(const mtl__network *net, const mtl__buffers *b, int64_t layer,
                                    int64_t rows, const float *x, int64_t ldx)
{
    return io_of(net, b, 0, layer, rows, x, ldx);
}

mtl__layer_io mtl__network_layer_io(const mtl__network *net, const mtl__buffers *b, const mtl__chain *chain,
                                    int64_t layer, int64_t rows, const float *x, int64_t ldx)
{
    if (!chain)
        return io_of(net, b, 0, layer, rows, x, ldx);
    return io_of(net, b, chain->first, layer, rows, trunk_output(net, b, x) + chain->input,
                 net->trunk_layers ? net->trunk_out : ldx);
}

int64_t mtl__network_trunk_stop(const mtl__network *net, const bool *layer_on)
{
    return lowest_on(net, layer_on, 0, net->trunk_layers);
}

void mtl__network_task_begin(const mtl__network *net, const mtl__pass *p, const mtl__buffers *all,
                             const mtl__buffers *own, const bool *layer_on, int64_t task,
                             int64_t outputs, bool through_activation, int64_t rows, const float *x,
                             int64_t ldx, mtl__way_back *way)
{
    const mtl__chain *c = &net->head[net->task[task].chain];
    const int64_t column = net->task[task].column;
    const mtl__layer_grad end = {.dy = all->dz + column,
                                 .lddy = net->outputs,
                                 .dx = own->turn[1],
                                 .lddx = net->trunk_out,
                                 .made_by = through_activation ? trunk_act(net) : NULL,
                                 .made_slope = trunk_slope(net, all),
                                 .ldslope = net->trunk_out};
    const float *h = trunk_output(net, all, x);
    const int64_t ldh = net->trunk_layers ? net->trunk_out : ldx;
    memset(all->has_later, 0, (size_t)net->layers * sizeof *all->has_later);
    memset(own->has_later, 0, (size_t)net->layers * sizeof *own->has_later);
    if (c->count == 1) /* the matrix of all plain heads */
        mtl__dense_input_gradient(&net->layer[c->first], p,
                                  (mtl__dense_part){0, net->trunk_out, column - c->column, outputs},
                                  &(mtl__layer_io){.rows = rows, .x = h, .ldx = ldh}, &end);
    else
        backward_chain(net, p, all, layer_on, c->first, c->count, c->first, rows, h, ldh, &end);
    *way = (mtl__way_back){.g = {.dy = own->turn[1], .lddy = net->trunk_out}};
}

void mtl__network_task_step(const mtl__network *net, const mtl__pass *p, const mtl__buffers *own,
                            const bool *layer_on, int64_t layer, int64_t stop, int64_t rows,
                            const float *x, int64_t ldx, mtl__way_back *way)
{
    const mtl__layer_grad end = {0};
    step_back(net, p, own, layer_on, 0, layer, stop, rows, x, ldx, &end, way);
}
