/* SPDX-License-Identifier: MIT */
#include "model/subset.h"

#include <string.h>

/* --- several ------------------------------------------------------------------------------------- */

/* Has each member a part of its own in tensor `number`, one below the other? */
static bool is_by_member(const mtl__layer *l, int32_t number)
{
    return l->members > 1 && (l->type == &mtl__member_head_layer ||
                              (l->type->param[number].role == MTL__FACTORS &&
                               !(l->type == &mtl__parametric_layer && l->shares)));
}

static float *tensor(const mtl_model *m, const mtl__layer *l, int32_t number)
{
    mtl__layer copy = *l;
    return m->values + *mtl__layer_offset(&copy, number);
}

static void copy_layer(const mtl_model *m, const mtl__layer *from, mtl_model *to, const mtl__layer *l,
                       const int64_t *member, int64_t count)
{
    for (int32_t i = 0; i < from->type->params; i++) {
        const bool parts = is_by_member(from, i);
        const int64_t floats = mtl__layer_floats(from, i) / (parts ? from->members : 1);
        for (int64_t k = 0; k < (parts ? count : 1); k++)
            memcpy(tensor(to, l, i) + k * floats, tensor(m, from, i) + (parts ? member[k] : 0) * floats,
                   (size_t)floats * sizeof(float));
    }
}

/* --- one alone ----------------------------------------------------------------------------------- */

typedef struct fold {
    const mtl_model *m;
    mtl_model *to;
    int64_t member, next; /* next: layer of `to` */
    float *factor;        /* of the columns that come, for the next product; */
    bool waits;           /* whether there are such */
} fold;

static void add_factors(fold *f, const mtl__layer *l)
{
    const float *own = f->m->values + l->scale + f->member * l->in;
    for (int64_t i = 0; i < l->in; i++)
        f->factor[i] = f->waits ? f->factor[i] * own[i] : own[i];
    f->waits = true;
}

static void fold_product(fold *f, const mtl__layer *l, const mtl__layer *to)
{
    const bool is_head = l->type == &mtl__member_head_layer, is_shared = l->type == &mtl__dense_layer;
    const float *values = f->m->values;
    const float *w = values + l->weight + (is_head ? f->member * l->in * l->out : 0);
    const float *scale = l->type == &mtl__member_dense_layer ? values + l->scale + f->member * l->out : NULL;
    float *out = f->to->values + to->weight;
    for (int64_t i = 0; i < l->in; i++)
        for (int64_t j = 0; j < l->out; j++) {
            const float wij = *w++ * (f->waits ? f->factor[i] : 1);
            *out++ = scale ? wij * scale[j] : wij;
        }
    memcpy(f->to->values + to->bias, values + l->bias + (is_shared ? 0 : f->member * l->out),
           (size_t)l->out * sizeof *out);
    f->waits = false;
}

static bool fold_layers(fold *f, int64_t first, int64_t count)
{
    for (int64_t i = first; i < first + count; i++) {
        const mtl__layer *l = &f->m->net.layer[i];
        if (l->type == &mtl__factors_layer && l->members > 1) {
            add_factors(f, l);
            continue;
        }
        const mtl__layer *to = &f->to->net.layer[f->next++];
        if (l->type->is_product)
            fold_product(f, l, to);
        else if (f->waits && l->type->params > 0)
            return false;
        else
            copy_layer(f->m, l, f->to, to, &f->member, 1);
    }
    return true;
}

static mtl_status fold_one(const mtl_model *m, int64_t member, mtl_model *to, mtl_error *err)
{
    const mtl__network *net = &m->net;
    const int64_t bytes = net->widest * (int64_t)sizeof(float);
    float *trunk = mtl__alloc_array(&m->ctx->al, net->widest, sizeof(float));
    float *own = mtl__alloc_array(&m->ctx->al, net->widest, sizeof(float));
    fold f = {m, to, member, 0, trunk, false};
    bool folds = trunk && own && fold_layers(&f, 0, net->trunk_layers);
    const bool waits = f.waits;
    f.factor = own;
    for (int64_t h = 0; h < net->heads && folds; h++) {
        f.waits = waits;
        if (waits)
            memcpy(own, trunk, (size_t)net->trunk_out * sizeof *own);
        folds = fold_layers(&f, net->head[h].first, net->head[h].count);
    }
    mtl_status st = MTL_OK;
    if (!trunk || !own)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a member's network");
    else if (!folds)
        st = MTL_FAIL(err, MTL_ERR_STATE, "one member alone is no plain network: a norm stands between "
                                          "its factors and the next dense layer; keep two or more");
    mtl__free(&m->ctx->al, trunk, bytes);
    mtl__free(&m->ctx->al, own, bytes);
    return st;
}

mtl_status mtl__model_subset(const mtl_model *m, const int64_t *member, int64_t count, mtl_model **out,
                             mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *to = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__spec_clone(m->spec, false, &spec, err), done);
    spec->members = count;
    MTL_TRY(st, mtl__model_create_blank(spec, &to, err), done);
    MTL_TRY(st, mtl__model_adopt(to, m, err), done);
    for (int64_t i = 0; i < m->net.layers && count > 1; i++)
        copy_layer(m, &m->net.layer[i], to, &to->net.layer[i], member, count);
    if (count == 1)
        MTL_TRY(st, fold_one(m, member[0], to, err), done);
    *out = to;
    to = NULL;
done:
    mtl__model_destroy(to);
    mtl__spec_destroy(spec);
    return st;
}
