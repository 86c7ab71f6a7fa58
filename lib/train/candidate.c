/* SPDX-License-Identifier: MIT */
#include "train/candidate.h"

#include <string.h>

const mtl__candidate mtl__candidate_rows[MTL__KINDS] = {
    [MTL__POOLED] = {{"pooled", NULL}, true, mtl__floor_pools, mtl__run_pooled},
    [MTL__LINEAR] = {{"linear", NULL}, true, mtl__floor_serves, mtl__run_linear},
    [MTL__SHARED] = {{"shared", NULL}, false, NULL, mtl__run_networks},
    [MTL__NUMERIC] = {{"numeric", NULL}, false, NULL, mtl__run_networks},
    [MTL__SINGLE] = {{"single", NULL}, false, NULL, mtl__run_single},
};

const mtl__choice_table mtl__candidates = MTL__CHOICE_TABLE("candidate", mtl__candidate_rows);

bool mtl__selection_is_over(const mtl__selection *s)
{
    return s->is_cancelled || (s->deadline > 0 && mtl__seconds() >= s->deadline);
}

bool mtl__part_serves(const mtl__selection *s, const mtl__part *k, int64_t task)
{
    const mtl__candidate *c = &mtl__candidate_rows[k->kind];
    return (k->task < 0 || k->task == task) && (!k->end || task < k->end) &&
           s->folds.label[task] >= 0 && mtl__folds_labels(&s->folds, k->part, task) > 0 &&
           (!c->serves || c->serves(&s->m->spec->task[task]));
}

bool mtl__selection_is_enough(const mtl__selection *s)
{
    for (int64_t t = 0; t < s->m->net.tasks; t++) {
        bool any = s->folds.label[t] < 0 && s->count > 0;
        for (int64_t k = 0; k < s->count; k++)
            any = any || mtl__part_serves(s, &s->list[k], t);
        if (!any)
            return false;
    }
    return true;
}

mtl_status mtl__selection_add(mtl__selection *s, mtl__part k, mtl_error *err)
{
    const mtl__allocator *al = &s->m->ctx->al;
    const int64_t size = sizeof *s->list;
    if (s->count == s->capacity) {
        const int64_t more = s->capacity ? 2 * s->capacity : 8;
        void *p = mtl__realloc(al, s->list, s->capacity * size, more * size);
        if (!p) {
            mtl__model_destroy(k.net);
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)more);
        }
        s->list = p;
        s->capacity = more;
    }
    s->list[s->count++] = k;
    return MTL_OK;
}

void mtl__selection_put(mtl__selection *s, int kind, int64_t part, int64_t task,
                        const mtl_model *net, const float *p)
{
    const mtl_model *m = s->m;
    const mtl__part of = {.kind = kind, .part = part, .task = task};
    float *held = s->mix.held[kind];
    for (int64_t r = 0; r < s->folds.data->rows; r++) {
        if (!mtl__folds_has(&s->folds, part, task, r))
            continue;
        for (int64_t t = 0; t < m->net.tasks; t++) {
            const int64_t from = net->net.task[task < 0 ? t : 0].column;
            if (mtl__part_serves(s, &of, t))
                memcpy(held + r * m->net.outputs + m->net.task[t].column, p + from,
                       (size_t)m->spec->task[t].outputs * sizeof *held);
        }
        p += net->net.outputs;
    }
}

mtl_status mtl__pardon(mtl_status st, const mtl_error *mine, mtl_error *err)
{
    if (st == MTL_OK || st == MTL_ERR_DIVERGED || st == MTL_ERR_DATA)
        return MTL_OK;
    return mtl__fail(err, st, "%s", mine->message);
}
