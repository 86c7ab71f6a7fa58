/* SPDX-License-Identifier: MIT */
/* Strategies that train parts of the trunk, or train them at different rates. */
#include <string.h>

#include "transfer/guide.h"

/* Layers that belong together, and the trunk's number of them from layer `from` up: those that have
   parameters, embeddings of columns being one. */
static int64_t groups_from(const mtl_model *m, int64_t from)
{
    int64_t count = 0;
    for (int64_t i = from; i < m->net.trunk_layers; i++) {
        const mtl__layer_type *type = m->net.layer[i].type;
        const bool goes_on =
            i > from && type == &mtl__embedding_layer && m->net.layer[i - 1].type == type;
        count += type->params > 0 && !goes_on;
    }
    return count;
}

/* 1 for the trunk's top, and so on down; 0 for what is not in the trunk. */
static int64_t height_below_heads(const mtl_model *m, const mtl__param *p)
{
    return p->layer < m->net.trunk_layers ? groups_from(m, p->layer) : 0;
}

/* --- discriminative rates --------------------------------------------------------------------- */

static void rates_by_depth(const mtl__guiding *g, int64_t epoch, double *rate)
{
    (void)epoch;
    for (int64_t i = 0; i < g->m->params; i++)
        for (int64_t k = height_below_heads(g->m, &g->m->param[i]); k > 0; k--)
            rate[i] /= g->value[0];
}

const struct mtl__guide mtl__discriminative = {.rates = rates_by_depth};

/* --- gradual unfreezing ----------------------------------------------------------------------- */

static void rates_by_epoch(const mtl__guiding *g, int64_t epoch, double *rate)
{
    const int64_t thawed = epoch / (int64_t)g->value[0];
    for (int64_t i = 0; i < g->m->params; i++)
        rate[i] = height_below_heads(g->m, &g->m->param[i]) <= thawed;
}

static void thaw(void *self, mtl__trainer *t)
{
    mtl__guiding *g = self;
    if (t->epoch == g->epoch)
        return;
    g->epoch = t->epoch;
    rates_by_epoch(g, g->epoch, g->rate);
    mtl__trainer_select(t);
}

const struct mtl__guide mtl__gradual = {.rates = rates_by_epoch, .before_step = thaw};

/* --- some tensors alone ----------------------------------------------------------------------- */

static bool is_bias(const mtl_model *m, const mtl__param *p)
{
    return strcmp(m->net.layer[p->layer].type->param[p->number].name, "bias") == 0;
}

static bool is_of_norm(const mtl_model *m, const mtl__param *p)
{
    const mtl__layer_type *type = m->net.layer[p->layer].type;
    return type == &mtl__batch_norm_layer || type == &mtl__layer_norm_layer;
}

static void keep_rest(const mtl__guiding *g, double *rate,
                      bool (*is_trained)(const mtl_model *m, const mtl__param *p))
{
    for (int64_t i = 0; i < g->m->params; i++)
        if (height_below_heads(g->m, &g->m->param[i]) > 0)
            rate[i] = is_trained(g->m, &g->m->param[i]);
}

static mtl_status check_any(const mtl__guiding *g, const char *what,
                            bool (*is_trained)(const mtl_model *m, const mtl__param *p),
                            mtl_error *err)
{
    for (int64_t i = 0; i < g->m->params; i++)
        if (height_below_heads(g->m, &g->m->param[i]) > 0 && is_trained(g->m, &g->m->param[i]))
            return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE, "strategy \"%s\": the source's trunk has no %s", g->name,
                    what);
}

static void rates_of_biases(const mtl__guiding *g, int64_t epoch, double *rate)
{
    (void)epoch;
    keep_rest(g, rate, is_bias);
}

static mtl_status check_biases(const mtl__guiding *g, mtl_error *err)
{
    return check_any(g, "bias", is_bias, err);
}

const struct mtl__guide mtl__bias_only = {.check = check_biases, .rates = rates_of_biases};

static void rates_of_norms(const mtl__guiding *g, int64_t epoch, double *rate)
{
    (void)epoch;
    keep_rest(g, rate, is_of_norm);
}

static mtl_status check_norms(const mtl__guiding *g, mtl_error *err)
{
    return check_any(g, "norm", is_of_norm, err);
}

const struct mtl__guide mtl__norm_only = {.check = check_norms, .rates = rates_of_norms};
