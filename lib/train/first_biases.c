/* SPDX-License-Identifier: MIT */
/* RealMLP's "he+5" (Holzmueller, Grinsztajn & Steinwart 2024, appendix; Steinwart 2019, "A sober look at
   neural network initializations"): a unit's kink goes where data are. Its bias is minus a random convex
   mix of what its weights make of some rows, layer by layer, each seeing the biases of those below. */
#include "train/first_biases.h"

#include "base/math64.h"

static bool has_bias(const mtl__layer *l)
{
    return l->type == &mtl__dense_layer || l->type == &mtl__member_dense_layer ||
           l->type == &mtl__member_head_layer;
}

mtl_status mtl__first_biases_check(const mtl_model *m, bool is_sparse, mtl_error *err)
{
    const mtl__initializer *by = m->spec->initializer;
    const char *what = is_sparse ? "sparse inputs" : m->net.has_streams ? "an architecture" : NULL;
    for (int64_t i = 0; i < m->net.layers; i++)
        if (m->net.layer[i].type == &mtl__batch_norm_layer)
            what = "batch norm";
    if (!by->hull || m->is_set || !what)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE, "the initialiser \"%s\" does not go with %s", by->choice.name, what);
}

bool mtl__first_biases_are_due(const mtl_model *m)
{
    bool all_zero = m->spec->initializer->hull > 0;
    for (int64_t i = 0; i < m->net.layers; i++) {
        const mtl__layer *l = &m->net.layer[i];
        const int64_t n = l->type == &mtl__dense_layer ? l->cols : mtl__layer_members(l) * l->cols;
        for (int64_t j = 0; j < n && has_bias(l); j++)
            all_zero = all_zero && m->values[l->bias + j] == 0;
    }
    return all_zero;
}

/* Unit j of a member, over rows [count] of x, which lie so far apart. */
static double mix(const mtl__trainer *t, const mtl__layer *l, int64_t member, int64_t j, int64_t count,
                  const float *x, int64_t ldx, mtl__rng *rng)
{
    const float *w = t->m->values + l->weight + j;
    double sum = 0, total = 0;
    if (l->type == &mtl__member_head_layer)
        w += member * l->in * l->out;
    for (int i = 0; i < t->m->spec->initializer->hull; i++) {
        const float *row = x + mtl__rng_below(rng, count) * ldx;
        const double share = -mtl__log_f64(1 - mtl__rng_f64(rng)); /* exponential */
        double z = 0;
        for (int64_t k = 0; k < l->in; k++)
            z += (double)row[k] * (double)w[k * l->cols];
        sum += share * z;
        total += share;
    }
    return total > 0 ? sum / total : 0;
}

static void set_layer(const mtl__trainer *t, const mtl__layer *l, const mtl__layer_io *io)
{
    const bool is_own = l->type != &mtl__dense_layer;
    const int64_t members = is_own ? l->members : 1, rows = io->rows / members;
    const float *scale = l->type == &mtl__member_dense_layer ? t->m->values + l->scale : NULL;
    mtl__rng rng = mtl__rng_make(t->set.seed, MTL__RNG_HULL, (uint32_t)l->id);
    for (int64_t i = 0; i < members; i++)
        for (int64_t j = 0; j < l->out; j++) {
            const int64_t at = i * l->out + j;
            const double z = mix(t, l, i, j, rows, io->x + i * io->ldx, members * io->ldx, &rng);
            t->m->values[l->bias + at] = (float)(0 - (scale ? (double)scale[at] : 1) * z);
        }
}

static void set_layers(mtl__trainer *t, const mtl__pass *pass, const mtl__chain *chain, int64_t first,
                       int64_t count)
{
    const mtl__network *net = &t->m->net;
    const mtl__batch *b = &t->feed.batch;
    for (int64_t i = first; i < first + count; i++) {
        if (!has_bias(&net->layer[i]))
            continue;
        mtl__network_forward(net, pass, &t->buffers, t->chain_on, b->rows, b->x, net->inputs);
        const mtl__layer_io io =
            mtl__network_layer_io(net, &t->buffers, chain, i, b->rows, b->x, net->inputs);
        set_layer(t, &net->layer[i], &io);
    }
}

void mtl__first_biases(mtl__trainer *t)
{
    const mtl__network *net = &t->m->net;
    mtl__pass pass = mtl__trainer_pass(t);
    pass.dropout = 0;
    set_layers(t, &pass, NULL, 0, net->trunk_layers);
    for (int64_t h = 0; h < net->heads; h++)
        if (t->chain_on[h])
            set_layers(t, &pass, &net->head[h], net->head[h].first, net->head[h].count);
    mtl__model_clear_fixed(t->m, t->m->values, NULL, 0);
}
