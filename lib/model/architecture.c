/* SPDX-License-Identifier: MIT */
/* Trunks in which tasks have features of their own. What the spec's layers become:

      single   x -> stream of each task -> ...                        -> heads
      mmoe     x -> streams of experts  -> ...  -> gate (x)           -> heads
      cgc      the same with experts of all tasks and of each
      ple      x -> experts -> gate (x) -> experts -> gate (streams) -> ... -> heads
      cross_stitch  as single, a unit behind each dense layer and what follows it
      soft     as single
      adapter  x -> trunk of all -> h -> h + adapter(h) of each task -> heads

   Ma et al. 2018 (mmoe), Tang et al. 2020 (cgc, ple), Misra et al. 2016 (cross_stitch), Duong et al. 2015
   (soft), Houlsby et al. 2019 (adapter). */
#include "model/architecture.h"

#include "model/network_priv.h"

/* --- the choice ---------------------------------------------------------------------------------- */

enum { MOST_EXPERTS = 1024 };

static const mtl__choice_param mmoe_params[] = {
    [MTL__SHARED_EXPERTS] = {"experts", 8, 1, MOST_EXPERTS, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__choice_param cgc_params[] = {
    [MTL__SHARED_EXPERTS] = {"experts", 2, 1, MOST_EXPERTS, MTL__CHOICE_WHOLE},
    [MTL__OWN_EXPERTS] = {"own", 2, 1, MOST_EXPERTS, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__choice_param soft_params[] = {
    {"lambda", 0.01, 0, 1e6, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__choice_param adapter_params[] = {
    {"units", 8, 1, MTL__SIZE_MAX, MTL__CHOICE_WHOLE},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__architecture rows[] = {
    {.choice = {"shared", NULL}, .compares = true}, /* the default */
    {.choice = {"single", NULL}, .has_streams = true},
    {.choice = {"mmoe", mmoe_params}, .has_streams = true, .gates = true, .compares = true},
    {.choice = {"cgc", cgc_params}, .has_streams = true, .gates = true, .compares = true},
    {.choice = {"ple", cgc_params}, .has_streams = true, .gates = true, .by_level = true,
     .compares = true},
    {.choice = {"cross_stitch", NULL}, .has_streams = true, .by_level = true, .stitches = true},
    {.choice = {"soft", soft_params}, .has_streams = true, .pulls = true},
    {.choice = {"adapter", adapter_params}, .has_streams = true, .adapts = true, .compares = true},
};

const mtl__choice_table mtl__architectures = MTL__CHOICE_TABLE("architecture", rows);

/* --- what goes together -------------------------------------------------------------------------- */

mtl_status mtl__architecture_check(const mtl_spec *s, mtl_error *err)
{
    const mtl__architecture *row = s->architecture.row;
    const char *what = s->members > 1 ? "an ensemble" : NULL;
    bool has_dense = false;
    if (!row->has_streams || s->of_members)
        return MTL_OK;
    for (int64_t i = 0; i < s->trunk.count; i++) {
        const mtl__layer_type *type = s->trunk.layer[i].type;
        has_dense = has_dense || type == &mtl__dense_layer;
        /* Statistics of a layer follow the rows as one, also those of tasks that are not trained. */
        if (type == &mtl__batch_norm_layer && !row->adapts)
            what = "batch norm";
        if (type == &mtl__residual_layer && row->by_level && row->gates)
            what = "residuals";
    }
    if (what)
        return MTL_FAIL(err, MTL_ERR_STATE, "architecture \"%s\" does not go with %s",
                        row->choice.name, what);
    if (!has_dense)
        return MTL_FAIL(err, MTL_ERR_STATE, "architecture \"%s\" needs a dense layer in the trunk",
                        row->choice.name);
    return MTL_OK;
}

/* --- building ------------------------------------------------------------------------------------ */

/* The row as the next layer finds it, and the level that is open: what its layers began from. */
typedef struct builder {
    mtl__network *net;
    const mtl_spec *s;
    const mtl__architecture *row;
    mtl__streams now, experts, begun_from;
    int64_t width, begun_width; /* of a stream */
    int64_t begun;              /* the layer whose output the level reads; -1 = inputs */
    bool is_open;
    int64_t made_by[MTL__LAYERS_MAX]; /* the layer whose output each of the spec's reads */
} builder;

/* A layer that makes `to` of what is there. */
static bool add(builder *b, mtl__layer l, mtl__streams to, int64_t width)
{
    int64_t all = mtl__streams_count(b->now) * b->width;
    l.in = all;
    l.out = mtl__streams_count(to) * width;
    l.from = b->now;
    l.to = to;
    const bool fits = mtl__network_add(b->net, &l, &all);
    b->now = to;
    b->width = width;
    b->net->widest = mtl__max(b->net->widest, all);
    return fits;
}

/* Layers between it and the one to be added. */
static int64_t back_to(const builder *b, int64_t layer)
{
    return b->net->layers - 1 - layer;
}

static bool close_level(builder *b, bool is_last)
{
    const mtl__streams out = {b->row->by_level && !is_last, b->s->tasks, 1};
    const int64_t tasks = b->s->tasks;
    if (b->is_open && b->row->stitches)
        return add(b, (mtl__layer){.type = &mtl__stitch_layer, .rows = tasks, .cols = tasks}, b->now,
                   b->width);
    if (!b->is_open || !b->row->gates)
        return true;
    mtl__layer gate = {.type = &mtl__gate_layer,
                       .rows = b->begun_width,
                       .column = back_to(b, b->begun),
                       .skip = b->begun_from,
                       .from = b->now,
                       .to = out};
    gate.cols = mtl__gate_logits(&gate);
    return add(b, gate, out, b->width);
}

static void open_level(builder *b)
{
    b->begun = b->net->layers - 1;
    b->begun_from = b->now;
    b->begun_width = b->width;
    b->is_open = true;
}

static bool add_dense(builder *b, const mtl__layer_spec *s)
{
    const mtl__layer l = {.type = s->type,
                          .rows = b->width,
                          .cols = mtl__streams_count(b->experts) * s->units,
                          .act = s->act};
    return add(b, l, b->experts, s->units);
}

/* Layers that leave the width as it is. */
static bool add_other(builder *b, const mtl__layer_spec *s, int64_t number)
{
    mtl__layer l = {.type = s->type,
                    .rows = 1,
                    .cols = mtl__streams_count(b->now) * b->width,
                    .mixed = s->act,
                    .rate = s->rate,
                    .eps = s->eps,
                    .momentum = s->momentum};
    if (s->back) {
        const int64_t source = b->made_by[number - s->back];
        l.column = back_to(b, source);
        l.skip = source < 0 ? (mtl__streams){0} : b->net->layer[source].to;
    }
    return add(b, l, b->now, b->width);
}

static bool add_from_spec(builder *b, int64_t number)
{
    const mtl__layer_spec *s = &b->s->trunk.layer[number];
    const bool is_dense = s->type == &mtl__dense_layer;
    bool fits = true;
    if (is_dense && (!b->is_open || b->row->by_level)) {
        fits = close_level(b, false);
        open_level(b);
    }
    b->made_by[number] = b->net->layers - 1;
    if (!fits)
        return false;
    if (!b->is_open) { /* shared by all: embeddings and the like */
        fits = mtl__network_add_from_spec(b->net, b->s, s, &b->width);
        b->net->widest = mtl__max(b->net->widest, b->width);
        return fits;
    }
    return is_dense ? add_dense(b, s) : add_other(b, s, number);
}

/* Behind the trunk: h + relu(h D + d) U + u for each task, U drawn as 0, so that it starts as h. */
static bool add_adapters(builder *b)
{
    const int64_t h = b->net->layers - 1, width = b->width;
    const mtl__streams tasks = {0, b->s->tasks, 1};
    const int64_t units = (int64_t)b->s->architecture.value[0];
    mtl__layer down = {.type = &mtl__dense_layer, .rows = width, .cols = b->s->tasks * units};
    mtl__layer up = {.type = &mtl__dense_layer,
                     .rows = units,
                     .cols = b->s->tasks * width,
                     .starts_at_zero = true};
    mtl__act_parse("relu", -1, &down.act, NULL);
    mtl__act_parse("identity", -1, &up.act, NULL);
    if (!add(b, down, tasks, units) || !add(b, up, tasks, width))
        return false;
    return add(b, (mtl__layer){.type = &mtl__residual_layer, .rows = 1, .cols = b->s->tasks * width,
                               .column = back_to(b, h)},
               tasks, width);
}

bool mtl__architecture_build(mtl__network *net, const mtl_spec *s)
{
    builder b = {.net = net, .s = s, .row = s->architecture.row, .width = net->inputs};
    bool fits = true;
    b.experts = b.row->gates
                    ? (mtl__streams){(int64_t)s->architecture.value[MTL__SHARED_EXPERTS], s->tasks,
                                     (int64_t)s->architecture.value[MTL__OWN_EXPERTS]}
                    : (mtl__streams){0, b.row->adapts ? 0 : s->tasks, 1};
    for (int64_t i = 0; i < s->trunk.count && fits; i++)
        fits = add_from_spec(&b, i);
    fits = fits && close_level(&b, true) && (!b.row->adapts || add_adapters(&b));
    net->trunk_out = mtl__streams_count(b.now) * b.width;
    net->head_in = b.width;
    return fits;
}
