/* SPDX-License-Identifier: MIT */
/* Low-rank adapters (Hu et al. 2022): of each dense layer of the trunk W = W0 + s A B is trained by
   A [in, rank] and B [rank, out] alone, s = alpha / rank. W stands in the model as it is, so
   nothing is left to merge at the end, and the report has A and B for who keeps them apart; from
   W's gradient G come those of A and B, s G B' and s A' G. */
#include <math.h>
#include <string.h>

#include "transfer/guide.h"

enum { RANK, ALPHA };

static int64_t rank_of(const mtl__guiding *g)
{
    return (int64_t)g->value[RANK];
}

static float scale_of(const mtl__guiding *g)
{
    return (float)(g->value[ALPHA] / g->value[RANK]);
}

/* The next matrix from *i on that is adapted, or NULL. */
static const mtl__param *next_matrix(const mtl__guiding *g, int64_t *i)
{
    for (; *i < g->m->params; ++*i) {
        const mtl__param *p = &g->m->param[*i];
        if (p->layer < g->m->net.trunk_layers && p->role == MTL__MATRIX && !p->is_frozen &&
            g->m->net.layer[p->layer].type == &mtl__dense_layer)
            return &g->m->param[(*i)++];
    }
    return NULL;
}

static int64_t numbers_of(const mtl__guiding *g)
{
    int64_t count = 0, i = 0;
    for (const mtl__param *p; (p = next_matrix(g, &i));)
        count += rank_of(g) * (p->shape[0] + p->shape[1]);
    return count;
}

/* The trunk itself rests. */
static void rest(const mtl__guiding *g, int64_t epoch, double *rate)
{
    (void)epoch;
    for (int64_t i = 0; i < g->m->params; i++)
        rate[i] = g->m->param[i].layer >= g->m->net.trunk_layers;
}

static mtl_status check(const mtl__guiding *g, mtl_error *err)
{
    if (numbers_of(g) > 0)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE,
                    "strategy \"%s\": the source's trunk has no dense layer that may move",
                    g->name);
}

static void plan(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    const int64_t n = numbers_of(g);
    g->held = mtl__arena_floats(a, t->m->net.params);
    g->adapter = mtl__arena_floats(a, n);
    g->slope = mtl__arena_floats(a, n);
    g->work = mtl__arena_floats(a, t->m->net.params);
    g->series = mtl__arena_take(a, 2 * t->m->params, sizeof *g->series);
    mtl__optim_init(&g->optim, &t->set.optimizer, &g->now, n, a);
}

/* A as torch.nn.Linear has its weights (uniform up to 1 / sqrt(in)), B = 0: steps begin with W0. */
static void draw(mtl__guiding *g, const mtl__trainer *t)
{
    float *at = g->adapter;
    int64_t i = 0;
    for (const mtl__param *p; (p = next_matrix(g, &i));) {
        const int64_t count = p->shape[0] * rank_of(g);
        const float bound = 1 / sqrtf((float)p->shape[0]);
        mtl__rng r = mtl__rng_make(t->set.seed, MTL__RNG_ADAPTER, (uint32_t)p->layer);
        for (int64_t k = 0; k < count; k++)
            at[k] = bound * (2 * mtl__rng_f32(&r) - 1);
        at += count + rank_of(g) * p->shape[1];
    }
}

static mtl_status start(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    if (t->weighting.is_on || t->average)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "strategy \"%s\" goes with weighting \"sum\" and average "
                        "\"none\" alone",
                        g->name);
    memcpy(g->held, t->m->values, (size_t)t->m->net.params * sizeof *g->held);
    draw(g, t);
    mtl_status st =
        mtl__report_number(t->report, "adapter", "scale", NULL, (double)scale_of(g), err);
    int64_t i = 0, *to = g->series;
    for (const mtl__param *p; st == MTL_OK && (p = next_matrix(g, &i));) {
        t->layer_on[p->layer] =
            true; /* gradients are wanted, the optimizer's ranges leave it out */
        st = mtl__report_series(t->report, "adapter", p->name, "a", p->shape[0] * rank_of(g), to++,
                                err);
        if (st == MTL_OK)
            st = mtl__report_series(t->report, "adapter", p->name, "b", rank_of(g) * p->shape[1],
                                    to++, err);
    }
    return st;
}

/* Gradients of A and B. */
static void go_down(const mtl__guiding *g, const mtl__trainer *t)
{
    const mtl__vec *v = t->m->ctx->vec;
    const int64_t rank = rank_of(g);
    const float scale = scale_of(g);
    int64_t i = 0, at = 0;
    for (const mtl__param *p; (p = next_matrix(g, &i));) {
        const int64_t in = p->shape[0], out = p->shape[1];
        const float *a = g->adapter + at, *b = a + in * rank;
        float *da = g->slope + at, *db = da + in * rank;
        memset(db, 0, (size_t)(rank * out) * sizeof *db);
        for (int64_t r = 0; r < in; r++)
            for (int64_t k = 0; k < rank; k++) {
                const float *dw = t->grads + p->offset + r * p->ld;
                da[r * rank + k] = scale * v->dot(out, dw, b + k * out);
                v->axpy(out, scale * a[r * rank + k], dw, db + k * out);
            }
        at += rank * (in + out);
    }
}

static void put_together(const mtl__guiding *g, const mtl__trainer *t)
{
    const mtl__vec *v = t->m->ctx->vec;
    const int64_t rank = rank_of(g);
    int64_t i = 0, at = 0;
    for (const mtl__param *p; (p = next_matrix(g, &i));) {
        const int64_t in = p->shape[0], out = p->shape[1];
        const float *a = g->adapter + at, *b = a + in * rank;
        float *w = t->m->values + p->offset;
        for (int64_t r = 0; r < in; r++)
            memcpy(w + r * p->ld, g->held + p->offset + r * p->ld, (size_t)out * sizeof *w);
        mtl__add_product(v, in, out, rank, scale_of(g), a, b, w, p->ld);
        at += rank * (in + out);
    }
}

/* The trainer's own update comes behind it, for the heads. */
static void step(void *self, mtl__trainer *t)
{
    mtl__guiding *g = self;
    const double momentum = mtl__sched_momentum(&t->sched, t->step);
    const mtl__range all = {.count = numbers_of(g),
                            .rate_factor = t->set.trunk_factor,
                            .l1 = t->set.l1,
                            .l2 = t->set.l2,
                            .decay = 1};
    go_down(g, t);
    if (momentum > 0)
        mtl__optim_set_momentum(&g->optim, momentum);
    mtl__optim_begin(&g->optim, t->set.rate * mtl__sched_factor(&t->sched, &t->now.sched, t->step));
    mtl__optim_apply(&g->optim, t->m->ctx->vec, &all, g->adapter, g->slope);
    put_together(g, t);
}

/* What the result was made with. It is not told where the run ended with the parameters of an epoch
   before. */
static void tell(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    const size_t bytes = (size_t)t->m->net.params * sizeof(float);
    memcpy(g->work, t->m->values, bytes);
    put_together(g, t);
    const bool is_so = memcmp(g->work, t->m->values, bytes) == 0;
    memcpy(t->m->values, g->work, bytes);
    const float *at = g->adapter;
    int64_t i = 0;
    const int64_t *to = g->series;
    for (const mtl__param *p; is_so && (p = next_matrix(g, &i)); to += 2)
        for (int k = 0; k < 2; k++)
            for (int64_t left = rank_of(g) * p->shape[k]; left > 0; left--)
                mtl__report_push(t->report, to[k], (double)*at++);
}

const struct mtl__guide mtl__lora = {.check = check,
                                     .rates = rest,
                                     .plan = plan,
                                     .start = start,
                                     .before_update = step,
                                     .at_end = tell};
