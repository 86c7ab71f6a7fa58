/* SPDX-License-Identifier: MIT */
#include "transfer/keep.h"

#include <math.h>
#include <string.h>

static bool is_within(mtl__keeper *k)
{
    mtl__judge_run(k->judge);
    bool fine = true;
    for (int64_t t = 0; t < k->tasks && fine; t++)
        fine = isnan(k->bound[t]) || k->judge->task_loss[t] <= k->bound[t];
    return fine;
}

bool mtl__keeper_hold(mtl__keeper *k, mtl_model *m)
{
    const size_t bytes = (size_t)k->params * sizeof *k->values;
    const bool fine = !k->judge || is_within(k);
    if (k->judge)
        memcpy(fine ? k->values : m->values, fine ? m->values : k->values, bytes);
    return fine;
}

/* The model's parameters are those that would be handed out: the average, where there is one. */
static void look(void *self, mtl__trainer *t)
{
    if (!mtl__keeper_hold(self, t->m))
        t->reason = "keep_known";
}

/* A run may end within an epoch. */
static void look_at_end(void *self, mtl__trainer *t)
{
    if (strcmp(t->reason, "keep_known") != 0)
        look(self, t);
}

mtl_status mtl__keeper_create(const mtl_model *m, const mtl_spec *source, const mtl_dataset *known,
                              double share, mtl__keeper *out, mtl_error *err)
{
    const mtl__allocator *al = &m->ctx->al;
    mtl__keeper k = {.al = al, .tasks = m->net.tasks, .params = m->net.params};
    mtl__binding bound = {0};
    mtl_status st = mtl__binding_create_of(m, source, known, "known", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(m, &bound, &k.judge, err);
    if (st != MTL_OK)
        return st;
    k.bound = mtl__alloc_array(al, k.tasks, sizeof *k.bound);
    k.values = mtl__alloc_array(al, k.params, sizeof *k.values);
    if (!k.bound || !k.values) {
        mtl__keeper_free(&k);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory to keep %lld parameters",
                        (long long)k.params);
    }
    mtl__judge_run(k.judge);
    for (int64_t t = 0; t < k.tasks; t++) {
        const double loss = k.judge->task_loss[t];
        k.bound[t] = k.judge->label[t] ? loss + share * fabs(loss) : NAN;
    }
    memcpy(k.values, m->values, (size_t)k.params * sizeof *k.values);
    st = mtl__binding_status(&k.judge->bound, err);
    if (st == MTL_OK)
        *out = k;
    else
        mtl__keeper_free(&k);
    return st;
}

void mtl__keeper_watch(mtl__keeper *k, mtl__trainer *t)
{
    if (k->judge)
        mtl__trainer_hook(t, (mtl__hook){.self = k, .after_epoch = look, .at_end = look_at_end});
}

void mtl__keeper_free(mtl__keeper *k)
{
    if (!k->al)
        return;
    mtl__judge_destroy(k->judge);
    mtl__free(k->al, k->bound, k->tasks * (int64_t)sizeof *k->bound);
    mtl__free(k->al, k->values, k->params * (int64_t)sizeof *k->values);
    *k = (mtl__keeper){0};
}
