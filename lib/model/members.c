/* SPDX-License-Identifier: MIT */
#include "model/members.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"

mtl__members *mtl__members_alloc(const mtl__allocator *al, int64_t count, int64_t tasks)
{
    int64_t weights;
    mtl__members *s = mtl__alloc_zero(al, sizeof *s);
    if (!s)
        return NULL;
    *s = (mtl__members){.count = count, .tasks = tasks};
    s->model = mtl__alloc_zero(al, count * (int64_t)sizeof *s->model);
    if (mtl__mul_size(count, tasks, &weights) && weights < INT64_MAX / 16)
        s->weight = mtl__alloc_zero(al, weights * (int64_t)sizeof *s->weight);
    if (s->model && s->weight)
        return s;
    mtl__members_free(s, al);
    return NULL;
}

void mtl__members_free(mtl__members *s, const mtl__allocator *al)
{
    if (!s)
        return;
    for (int64_t k = 0; s->model && k < s->count; k++)
        mtl__model_destroy(s->model[k]);
    mtl__free(al, s->model, s->count * (int64_t)sizeof *s->model);
    mtl__free(al, s->weight, s->count * s->tasks * (int64_t)sizeof *s->weight);
    mtl__free(al, s, sizeof *s);
}

mtl_status mtl__members_refuse(const mtl_model *m, const char *what, mtl_error *err)
{
    if (!m->members)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE,
                    "%s: the model consists of %lld members, which stay as they are; train a model "
                    "with layers of its own, and average again",
                    what, (long long)m->members->count);
}

/* --- checks ------------------------------------------------------------------------------------ */

static mtl_status check_task(const mtl_model *m, int64_t k, const mtl__task_spec *t, mtl_error *err)
{
    const int64_t own = mtl__spec_task(m->spec, t->name);
    if (own < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "member %lld has weight for task \"%.64s\", which it "
                                           "does not have", (long long)k, t->name);
    const mtl__task_spec *u = &m->spec->task[own];
    if (u->kind != t->kind || u->outputs != t->outputs)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "member %lld: task \"%.64s\" is %s of %lld outputs, elsewhere %s of %lld",
                        (long long)k, t->name, mtl__kind_name(u->kind), (long long)u->outputs,
                        mtl__kind_name(t->kind), (long long)t->outputs);
    const size_t bytes = (size_t)t->quantiles.count * sizeof(float);
    if (u->quantiles.count != t->quantiles.count ||
        (bytes && memcmp(u->quantiles.value, t->quantiles.value, bytes) != 0))
        return MTL_FAIL(err, MTL_ERR_SHAPE, "member %lld: task \"%.64s\" has other quantiles",
                        (long long)k, t->name);
    return MTL_OK;
}

static mtl_status check_weights(const mtl_spec *spec, const mtl__members *s, mtl_error *err)
{
    for (int64_t t = 0; t < spec->tasks; t++) {
        double sum = 0;
        for (int64_t k = 0; k < s->count; k++) {
            const double w = s->weight[k * s->tasks + t];
            if (!(w >= 0 && w <= 1))
                return MTL_FAIL(err, MTL_ERR_VALUE, "member %lld: its weight for task \"%.64s\" "
                                                    "cannot be", (long long)k, spec->task[t].name);
            sum += w;
        }
        if (fabs(sum - 1) > 1e-9)
            return MTL_FAIL(err, MTL_ERR_VALUE, "task \"%.64s\": the members' weights have no sum "
                                                "of 1", spec->task[t].name);
    }
    return MTL_OK;
}

static mtl_status check_members(const mtl_spec *spec, const mtl__members *s, mtl_error *err)
{
    mtl_status st = check_weights(spec, s, err);
    for (int64_t k = 0; k < s->count && st == MTL_OK; k++) {
        const mtl_model *m = s->model[k];
        if (m->net.raw_inputs != spec->inputs)
            return MTL_FAIL(err, MTL_ERR_SHAPE, "member %lld has %lld inputs, another one %lld",
                            (long long)k, (long long)m->net.raw_inputs, (long long)spec->inputs);
        for (int64_t t = 0; t < spec->tasks && st == MTL_OK; t++)
            if (s->weight[k * s->tasks + t] > 0)
                st = check_task(m, k, &spec->task[t], err);
    }
    return st;
}

/* --- the whole --------------------------------------------------------------------------------- */

/* The first member of most weight for a task. */
static int64_t leader(const mtl__members *s, int64_t task)
{
    int64_t best = 0;
    for (int64_t k = 1; k < s->count; k++)
        if (s->weight[k * s->tasks + task] > s->weight[best * s->tasks + task])
            best = k;
    return best;
}

void mtl__members_adopt_targets(mtl_model *m)
{
    for (int64_t t = 0; t < m->net.tasks; t++) {
        const mtl_model *from = m->members->model[leader(m->members, t)];
        const int64_t u = mtl__spec_task(from->spec, m->spec->task[t].name);
        mtl__model_adopt_targets(m, t, from, u);
    }
}

static mtl_status add_param(mtl_model *m, int64_t member, const mtl__param *p, mtl_error *err)
{
    char prefix[40];
    mtl__bytes name;
    mtl__param *own = &m->param[m->params];
    snprintf(prefix, sizeof prefix, "member.%lld.", (long long)member);
    mtl__bytes_init(&name, &m->ctx->al);
    mtl__bytes_text(&name, prefix);
    mtl__bytes_append(&name, p->name, (int64_t)strlen(p->name) + 1);
    *own = *p;
    own->member = member;
    own->name = name.failed ? NULL : mtl__strdup(&m->ctx->al, name.p);
    mtl__bytes_free(&name);
    if (!own->name || !mtl__names_reserve(&m->names, &m->ctx->al)) {
        mtl__strfree(&m->ctx->al, own->name);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the names of tensors");
    }
    mtl__names_add(&m->names, own->name);
    m->params++;
    return MTL_OK;
}

/* The members' tensors, which stay where they are. */
static mtl_status add_params(mtl_model *m, mtl_error *err)
{
    const mtl__members *s = m->members;
    const int64_t size = sizeof *m->param;
    int64_t count = 0;
    mtl_status st = MTL_OK;
    for (int64_t k = 0; k < s->count; k++)
        count += s->model[k]->params;
    mtl__free(&m->ctx->al, m->param, m->params_capacity * size);
    m->params_capacity = 0;
    m->param = mtl__alloc_zero(&m->ctx->al, count * size);
    if (!m->param)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld tensors", (long long)count);
    m->params_capacity = count;
    for (int64_t k = 0; k < s->count; k++)
        for (int64_t i = 0; i < s->model[k]->params && st == MTL_OK; i++)
            st = add_param(m, k, &s->model[k]->param[i], err);
    return st;
}

mtl_status mtl__members_model(const mtl_spec *spec, mtl__members *members, mtl_model **out,
                              mtl_error *err)
{
    mtl_model *m = NULL;
    mtl_status st = check_members(spec, members, err);
    if (st == MTL_OK)
        st = mtl__model_create_blank(spec, &m, err);
    if (st != MTL_OK) {
        mtl__members_free(members, &spec->ctx->al);
        return st;
    }
    m->members = members;
    mtl__forward_free(&m->forward, &m->ctx->al);
    st = mtl__forward_init(&m->forward, m, false, err);
    if (st == MTL_OK)
        st = add_params(m, err);
    if (st != MTL_OK) {
        mtl__model_destroy(m);
        return st;
    }
    mtl__members_adopt_targets(m);
    m->is_set = m->pipe.is_fitted = true;
    *out = m;
    return MTL_OK;
}

/* --- averages ---------------------------------------------------------------------------------- */

/* Members of the whole: a model of members is taken apart. */
static int64_t count_parts(const mtl_model *const *model, int64_t count)
{
    int64_t n = 0;
    for (int64_t k = 0; k < count; k++)
        n += model[k]->members ? model[k]->members->count : 1;
    return n;
}

static mtl_status check_models(const mtl_model *const *model, int64_t count, mtl_error *err)
{
    for (int64_t k = 0; k < count; k++) {
        if (!model[k]->is_set)
            return MTL_FAIL(err, MTL_ERR_STATE, "member %lld was never fitted", (long long)k);
        if (model[k]->members && model[k]->pipe.is_calibrated)
            return MTL_FAIL(err, MTL_ERR_STATE,
                            "member %lld is itself an average, and calibrated: average its members "
                            "and calibrate the result", (long long)k);
    }
    return MTL_OK;
}

/* Tasks in the order of their first appearance, as they stand there. */
static mtl_status describe(mtl_context *ctx, const mtl_model *const *model, int64_t count,
                           mtl_spec **out, mtl_error *err)
{
    mtl_spec *s;
    mtl_status st = mtl__spec_create(ctx, model[0]->net.raw_inputs, &s, err);
    if (st != MTL_OK)
        return st;
    s->of_members = true;
    for (int64_t k = 0; k < count; k++)
        for (int64_t t = 0; t < model[k]->net.tasks && st == MTL_OK; t++)
            if (mtl__spec_task(s, model[k]->spec->task[t].name) < 0)
                st = mtl__spec_copy_task(s, &model[k]->spec->task[t], false, err);
    if (st == MTL_OK)
        *out = s;
    else
        mtl__spec_destroy(s);
    return st;
}

/* Weights [count, tasks] of the models, the sum for each task being 1. */
static mtl_status normalise(const mtl_spec *s, const mtl_model *const *model, int64_t count,
                            const double *given, double *weight, mtl_error *err)
{
    for (int64_t t = 0; t < s->tasks; t++) {
        double sum = 0;
        for (int64_t k = 0; k < count; k++) {
            double *w = &weight[k * s->tasks + t];
            *w = given ? given[k * s->tasks + t]
                       : mtl__spec_task(model[k]->spec, s->task[t].name) >= 0;
            if (!(*w >= 0 && *w <= 1e300))
                return MTL_FAIL(err, MTL_ERR_VALUE,
                                "member %lld: the weight for task \"%.64s\" must be 0 or more",
                                (long long)k, s->task[t].name);
            sum += *w;
        }
        if (!(sum > 0 && sum <= 1e300))
            return MTL_FAIL(err, MTL_ERR_VALUE, "task \"%.64s\": no member has weight for it, or "
                                                "too much", s->task[t].name);
        for (int64_t k = 0; k < count; k++)
            weight[k * s->tasks + t] /= sum;
    }
    return MTL_OK;
}

/* Copies of the parts of model k from part `at` on, with their weights. */
static mtl_status add_parts(const mtl_spec *spec, const mtl_model *model, const double *weight,
                            mtl__members *to, int64_t *at, mtl_error *err)
{
    const mtl__members *inner = model->members;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < (inner ? inner->count : 1) && st == MTL_OK; i++, ++*at) {
        for (int64_t t = 0; t < spec->tasks; t++) {
            const int64_t u = mtl__spec_task(model->spec, spec->task[t].name);
            const double share = inner && u >= 0 ? inner->weight[i * inner->tasks + u] : 1;
            to->weight[*at * to->tasks + t] = weight[t] * share;
        }
        st = mtl__model_clone_in(spec->ctx, inner ? inner->model[i] : model, &to->model[*at], err);
    }
    return st;
}

static mtl_status average(mtl_context *ctx, const mtl_model *const *model, int64_t count,
                          const double *weight, mtl_model **out, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl__members *s = NULL;
    double *own = NULL;
    int64_t at = 0;
    mtl_status st;
    MTL_TRY(st, describe(ctx, model, count, &spec, err), done);
    const mtl__allocator *al = &spec->ctx->al;
    own = mtl__alloc_array(al, count * spec->tasks, sizeof *own);
    s = mtl__members_alloc(al, count_parts(model, count), spec->tasks);
    if (!own || !s) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld members", (long long)count);
        goto done;
    }
    MTL_TRY(st, normalise(spec, model, count, weight, own, err), done);
    for (int64_t k = 0; k < count; k++)
        MTL_TRY(st, add_parts(spec, model[k], own + k * spec->tasks, s, &at, err), done);
    st = mtl__members_model(spec, s, out, err);
    s = NULL;
done:
    if (spec) {
        mtl__free(&spec->ctx->al, own, count * spec->tasks * (int64_t)sizeof *own);
        mtl__members_free(s, &spec->ctx->al);
    }
    mtl__spec_destroy(spec);
    return st;
}

mtl_status mtl__members_average(const mtl_model *const *model, int64_t count, const double *weight,
                                mtl_model **out, mtl_error *err)
{
    mtl_status st = check_models(model, count, err);
    return st == MTL_OK ? average(model[0]->ctx, model, count, weight, out, err) : st;
}

mtl_status mtl__members_clone(mtl_context *ctx, const mtl_model *m, mtl_model **out, mtl_error *err)
{
    return average(ctx, &m, 1, NULL, out, err);
}

const mtl_model *mtl__members_leading(const mtl_model *m)
{
    const mtl__members *s = m->members;
    const mtl_model *best = m;
    double most = -1;
    for (int64_t k = 0; s && k < s->count; k++) {
        double weight = s->model[k]->spec->trunk.count > 0 ? 1e6 : 0; /* before any without one */
        for (int64_t t = 0; t < s->tasks; t++)
            weight += s->weight[k * s->tasks + t];
        if (weight > most) {
            most = weight;
            best = s->model[k];
        }
    }
    return best;
}
