/* SPDX-License-Identifier: MIT */
/* Parameters that are drawn to what they were, alpha / 2 |w - w0|^2, and new heads to 0, beta / 2 |w|^2:
   Li, Grandvalet & Davoine 2018, equation 4. The gradient is added behind the losses'. */
#include <string.h>

#include "transfer/guide.h"

enum { ALPHA, BETA };
enum { CHUNK = 256 };

/* --- what is drawn ------------------------------------------------------------------------------- */

/* A tensor without gaps is one row. */
static mtl__pull pull_of(const mtl__guiding *g, const mtl__trainer *t, const mtl__param *p)
{
    mtl__pull x = {.first = p->offset, .ld = p->ld, .rows = mtl__param_rows(p),
                   .cols = mtl__param_cols(p), .is_held = p->task < 0 || mtl__guide_knows(g, p->task),
                   .is_lazy = t->feed.is_sparse && p->role == MTL__MATRIX &&
                              mtl__network_reads_inputs(&t->m->net, p->layer)};
    if (!x.is_lazy && x.ld == x.cols) {
        x.cols *= x.rows;
        x.rows = 1;
    }
    return x;
}

/* Biases of new heads are free. */
static bool is_drawn(const mtl__guiding *g, const mtl__trainer *t, const mtl__param *p)
{
    return mtl__trainer_trains(t, p) &&
           (p->task < 0 || mtl__guide_knows(g, p->task) || p->role == MTL__MATRIX);
}

static void plan_pulls(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    g->held = mtl__arena_floats(a, t->m->net.params);
    g->pull = mtl__arena_take(a, t->m->params, sizeof *g->pull);
    g->pulls = 0;
    for (int64_t i = 0; g->pull && i < t->m->params; i++)
        if (is_drawn(g, t, &t->m->param[i]))
            g->pull[g->pulls++] = pull_of(g, t, &t->m->param[i]);
}

static mtl_status hold(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    (void)err;
    memcpy(g->held, t->m->values, (size_t)t->m->net.params * sizeof *g->held);
    return MTL_OK;
}

/* --- a step -------------------------------------------------------------------------------------- */

/* What stands where it was has no gradient, to the bit. */
static void pull_run(const mtl__guiding *g, const mtl__trainer *t, const mtl__pull *x, int64_t first,
                     int64_t count)
{
    const mtl__vec *v = t->m->ctx->vec;
    const float strength = (float)g->value[x->is_held ? ALPHA : BETA];
    float part[CHUNK];
    for (int64_t at = first, n; at < first + count; at += n) {
        n = mtl__min(CHUNK, first + count - at);
        memcpy(part, t->m->values + at, (size_t)n * sizeof *part);
        if (x->is_held)
            v->axpy(n, -1, g->held + at, part);
        v->axpy(n, strength, part, t->grads + at);
    }
}

static void pull_all(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    for (int64_t i = 0; i < g->pulls; i++) {
        const mtl__pull *x = &g->pull[i];
        const int64_t rows = x->is_lazy ? t->touched.count : x->rows;
        for (int64_t r = 0; r < rows; r++)
            pull_run(g, t, x, x->first + (x->is_lazy ? t->touched.column[r] : r) * x->ld, x->cols);
    }
}

const struct mtl__guide mtl__l2_sp = {.plan = plan_pulls, .start = hold, .before_update = pull_all};
