/* SPDX-License-Identifier: MIT */
/* Parameters that are drawn to what they were, alpha / 2 |w - w0|^2, and new heads to 0, beta / 2
   |w|^2: Li, Grandvalet & Davoine 2018, equation 4. The gradient is added behind the losses'. With
   a Fisher information F it is alpha / 2 sum of F (w - w0)^2, as there in section 3.4 and in
   Kirkpatrick et al. 2017, equation 3. */
#include <string.h>

#include "base/math64.h"
#include "data/csr.h"
#include "transfer/guide.h"

enum { ALPHA, BETA }; /* ewc has no beta, which then is 0 */
enum { CHUNK = 256, MOST_ROWS = 1024 };

/* --- what is drawn ---------------------------------------------------------------------------- */

/* A tensor without gaps is one row. */
static mtl__pull pull_of(const mtl__guiding *g, const mtl__trainer *t, const mtl__param *p)
{
    mtl__pull x = {.first = p->offset,
                   .ld = p->ld,
                   .rows = mtl__param_rows(p),
                   .cols = mtl__param_cols(p),
                   .is_held = p->task < 0 || mtl__guide_knows(g, p->task),
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

/* --- the Fisher information ------------------------------------------------------------------- */

static void plan_fisher(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    plan_pulls(g, t, a);
    g->fisher = mtl__arena_floats(a, t->m->net.params);
    g->teacher.trains = mtl__arena_take(a, t->m->net.layers, sizeof *g->teacher.trains);
}

/* A trainer that takes the known rows one by one, of a network that drops nothing. Batch norms have
   their running figures and no gradient of their own then: they are free. */
static mtl_status take_singly(const mtl__guiding *g, const mtl__trainer *t, mtl_model *m,
                              mtl__trainer **out, mtl_error *err)
{
    mtl__binding rows = {0};
    mtl__train_settings set = t->set;
    set.epochs = set.batch_rows = 1;
    set.shuffle = true;
    set.trunk_factor = 1;
    set.weighting = (mtl__weighting_set){0};
    set.task_factor = NULL;
    set.progress = NULL;
    for (int64_t i = 0; i < m->net.layers; i++)
        m->net.layer[i].rate = 0;
    mtl_status st =
        mtl__binding_create_of(m, g->job->source->spec, g->job->known, "known", &rows, err);
    if (st == MTL_OK)
        st = mtl__trainer_create(m, &set, &rows, NULL, NULL, out, err);
    for (int64_t i = 0; i < m->net.layers && st == MTL_OK; i++)
        if (m->net.layer[i].type == &mtl__batch_norm_layer)
            (*out)->layer_on[i] = false;
    return st;
}

/* The squares of one row's gradient. */
static void add_squares(const mtl__guiding *g, mtl__trainer *one)
{
    const mtl__network *net = &one->m->net;
    const mtl__vec *v = one->m->ctx->vec;
    const mtl__batch *b = &one->feed.batch;
    mtl__pass p = mtl__trainer_pass(one);
    float part[CHUNK];
    p.trains = g->teacher.trains;
    mtl__network_forward(net, &p, &one->buffers, one->chain_on, b->rows, b->x, net->inputs);
    mtl__targets_run(&one->feed.batch.targets, b->rows, one->buffers.z, one->task_weight,
                     one->buffers.dz);
    mtl__network_backward(net, &p, &one->buffers, one->chain_on, one->layer_on, b->rows, b->x,
                          net->inputs);
    for (int64_t at = 0, n; at < net->params; at += n) {
        n = mtl__min(CHUNK, net->params - at);
        memcpy(part, one->grads + at, (size_t)n * sizeof *part);
        v->mul(n, part, part);
        v->axpy(n, 1, part, g->fisher + at);
    }
}

/* The mean over known rows of the squared gradient of a row's loss, its labels being those that it
   has. The square of a batch's mean gradient, which is quicker, is another thing. Half of the time that
   is left goes to it at most. */
static mtl_status take_fisher(mtl__guiding *g, mtl__trainer *t, mtl_error *err)
{
    const mtl__vec *v = t->m->ctx->vec;
    const double deadline = g->job->deadline, begun = mtl__seconds();
    mtl_model *m = NULL;
    mtl__trainer *one = NULL;
    int64_t rows = 0;
    mtl_status st = mtl__model_clone(t->m, &m, err);
    if (st == MTL_OK)
        st = take_singly(g, t, m, &one, err);
    if (st == MTL_OK)
        mtl__feed_begin(&one->feed);
    while (st == MTL_OK && rows < MOST_ROWS && mtl__feed_next(&one->feed) &&
           !(deadline > 0 && rows > 0 && mtl__seconds() >= begun + (deadline - begun) / 2)) {
        add_squares(g, one);
        rows++;
        st = mtl__binding_status(&one->bound[0], err);
    }
    if (st == MTL_OK)
        v->scale(t->m->net.params, 1 / (float)rows, g->fisher);
    if (st == MTL_OK && !v->all_finite(t->m->net.params, g->fisher))
        st = MTL_FAIL(err, MTL_ERR_DIVERGED,
                      "strategy \"%s\": a gradient of the known rows is too large", g->name);
    mtl__trainer_destroy(one);
    mtl__model_destroy(m);
    if (deadline > 0) /* what the rows have left */
        t->set.time_limit = mtl__max_f64(1e-9, deadline - mtl__seconds());
    return st == MTL_OK ? hold(g, t, err) : st;
}

static mtl_status check_dense(const mtl__guiding *g, mtl_error *err)
{
    return mtl__dataset_is_dense(g->job->known, "a Fisher information", err);
}

/* --- a step ----------------------------------------------------------------------------------- */

/* What stands where it was has no gradient, to the bit. */
static void pull_run(const mtl__guiding *g, const mtl__trainer *t, const mtl__pull *x,
                     int64_t first, int64_t count)
{
    const mtl__vec *v = t->m->ctx->vec;
    const float strength = (float)g->value[x->is_held ? ALPHA : BETA];
    float part[CHUNK];
    for (int64_t at = first, n; at < first + count; at += n) {
        n = mtl__min(CHUNK, first + count - at);
        memcpy(part, t->m->values + at, (size_t)n * sizeof *part);
        if (x->is_held)
            v->axpy(n, -1, g->held + at, part);
        if (x->is_held && g->fisher)
            v->mul(n, g->fisher + at, part);
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

const struct mtl__guide mtl__l2_sp_fisher = {
    .check = check_dense, .plan = plan_fisher, .start = take_fisher, .before_update = pull_all};
const struct mtl__guide mtl__ewc = {
    .check = check_dense, .plan = plan_fisher, .start = take_fisher, .before_update = pull_all};
const struct mtl__guide mtl__l2_sp = {.plan = plan_pulls, .start = hold, .before_update = pull_all};
