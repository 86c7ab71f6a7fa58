/* SPDX-License-Identifier: MIT */
/* What moves to a new domain are worth, before it has labels, or enough of them: the way back. The new
   domain's rows with what the source says of them for labels are taken for known ones, the known rows for
   the new domain, with as many labels as the real one has, and every candidate is judged on further
   known rows, whose labels are true (reverse validation: Zhong et al. 2010, section 4). The domains lie
   as far apart as they do, in classes as in inputs; where the source errs in the new one, the way back
   begins with that. */
#include <string.h>

#include "data/csr.h"
#include "rng/rng.h"
#include "transfer/domain.h"
#include "transfer/simulate_priv.h"

typedef struct back {
    mtl__simulation s;
    mtl_dataset *near; /* known rows whose labels are not looked at */
    mtl__arena arena;
    int64_t rows, *order;  /* of the new domain; [all of it] */
    float *x, *out, *y; /* [rows, inputs], [rows, outputs of the network], [rows, label columns of all] */
} back;

/* --- rows of the new domain ---------------------------------------------------------------------- */

static void plan(back *b, const mtl_dataset *bare, mtl__arena *a)
{
    const mtl_model *m = b->s.job->source;
    int64_t cols = 0;
    for (int64_t t = 0; t < m->net.tasks; t++)
        cols += mtl__model_label_cols(m, t);
    b->order = mtl__arena_take(a, bare->rows, sizeof *b->order);
    b->x = mtl__arena_take(a, b->rows, bare->inputs * (int64_t)sizeof(float));
    b->out = mtl__arena_take(a, b->rows, m->net.outputs * (int64_t)sizeof(float));
    b->y = mtl__arena_take(a, b->rows, cols * (int64_t)sizeof(float));
}

/* What a prediction says as a label: the class decided for; a value, of quantiles the middle one. */
static void label_of(const mtl__task_spec *task, int64_t cols, const float *p, float *y)
{
    const int64_t outputs = task->outputs;
    int64_t best = 0;
    for (int64_t j = 1; j < outputs; j++)
        best = p[j] > p[best] ? j : best;
    for (int64_t j = 0; j < cols; j++) {
        y[j] = p[cols == outputs ? j : outputs / 2];
        if (task->kind == MTL_MULTICLASS)
            y[j] = (float)best;
        else if (mtl__kind_is_class(task->kind))
            y[j] = (float)(y[j] >= 0.5f);
    }
}

static mtl_status say(back *b, mtl_error *err)
{
    const mtl_model *m = b->s.job->source;
    mtl_dataset *d = b->s.trunk_rows;
    float *y = b->y;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < b->s.job->tasks && st == MTL_OK; i++) {
        const mtl__new_task *task = &b->s.job->task[i];
        const int64_t t = mtl__spec_task(m->spec, task->name), cols = mtl__model_label_cols(m, t);
        MTL_TRY(st, mtl__model_predict(m, t, b->rows, b->x, d->inputs, b->out, task->outputs, err),
                done);
        for (int64_t r = 0; r < b->rows; r++)
            label_of(&m->spec->task[t], cols, b->out + r * task->outputs, y + r * cols);
        MTL_TRY(st, mtl__dataset_set_labels(d, task->name, cols, y, cols, err), done);
        st = mtl__dataset_set_kind(d, task->name, task->kind, task->outputs, err);
        y += b->rows * cols;
    }
done:
    return st;
}

static mtl_status take_far(back *b, const mtl_dataset *bare, mtl_error *err)
{
    const mtl__job *job = b->s.job;
    const uint64_t seed = (uint64_t)mtl__option_i64(job->o, &mtl__transfer_options, "seed");
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SIMULATE, UINT32_MAX - 1);
    b->rows = mtl__min(bare->rows, MTL__SIMULATE_TRUNK);
    plan(b, bare, &b->arena);
    if (!mtl__arena_reserve(&b->arena, b->s.c->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)b->rows);
    plan(b, bare, &b->arena);
    for (int64_t i = 0; i < bare->rows; i++)
        b->order[i] = i;
    mtl__rng_shuffle(&r, b->order, bare->rows);
    mtl__array_gather(&bare->x, bare->inputs, (mtl__rows){.index = b->order, .count = b->rows}, b->x,
                      bare->inputs);
    mtl_status st = mtl__dataset_create(job->source->ctx, b->x, b->rows, bare->inputs, bare->inputs,
                                        &b->s.trunk_rows, err);
    return st == MTL_OK ? say(b, err) : st;
}

/* --- known rows ---------------------------------------------------------------------------------- */

static bool serves(const mtl__simulation *s, int64_t row)
{
    return mtl__has_label(s->job, s->job->known, row);
}

/* Those to learn from and to judge on, then those whose inputs alone are seen. */
static mtl_status take_near(back *b, mtl_error *err)
{
    const mtl_dataset *known = b->s.job->known;
    mtl_status st = mtl__simulation_share(&b->s, mtl__simulation_order(&b->s, serves), err);
    if (st != MTL_OK)
        return st;
    const int64_t used = b->s.draws * b->s.rows + b->s.test->rows;
    return mtl__dataset_subset(known, mtl__min(known->rows - used, MTL__SIMULATE_TRUNK),
                               b->s.order + used, &b->near, err);
}

static bool can_go_back(const mtl__job *job)
{
    const mtl_spec *s = job->source->spec;
    bool can = job->known && !job->known->stream && !mtl__dataset_is_sparse(job->known);
    for (int64_t i = 0; i < job->tasks && can; i++)
        can = !s->task[mtl__spec_task(s, job->task[i].name)].loss_cb &&
              mtl__dataset_task(job->known, job->task[i].name) >= 0;
    return can;
}

static mtl_status go_back(back *b, mtl_error *err)
{
    mtl__contest *c = b->s.c;
    mtl__job job = *b->s.job;
    mtl_status st = mtl__simulation_source(&b->s, err);
    job.source = b->s.source;
    job.known = b->s.trunk_rows;
    job.domain = b->near;
    job.blind = b->s.rows == 0;
    if (st == MTL_OK)
        st = mtl__draw_near(c, &job, b->near, err);
    if (st == MTL_OK && !c->is_over)
        st = mtl__simulation_run(&b->s, &job, err);
    mtl__drawn_free(&job);
    return st;
}

mtl_status mtl__simulate_back(mtl__contest *c, const mtl__job *job, const mtl_dataset *bare,
                              int64_t rows, mtl_error *err)
{
    back b = {.s = {.c = c, .job = job, .task = -1, .rows = rows}};
    mtl_error why = {0};
    mtl_status st = MTL_OK;
    if (!can_go_back(job))
        return st;
    MTL_TRY(st, mtl__simulation_init(&b.s, &why), done);
    MTL_TRY(st, take_far(&b, bare, &why), done);
    MTL_TRY(st, take_near(&b, &why), done);
    if (b.near->rows > 0 && b.s.test->rows > 0)
        st = go_back(&b, &why);
done:
    mtl__simulation_free(&b.s);
    mtl__dataset_destroy(b.near);
    mtl__arena_release(&b.arena, c->al);
    if (st == MTL_ERR_DATA || st == MTL_ERR_DIVERGED)
        return MTL_OK;
    return st == MTL_OK ? st : MTL_FAIL(err, st, "%s", why.message);
}

/* --- drawing near -------------------------------------------------------------------------------- */

static mtl_status pass_by(void *self, const mtl_model *m, int64_t variant, mtl_error *err)
{
    (void)self, (void)m, (void)variant, (void)err;
    return MTL_OK;
}

/* Where steps do not stay finite, or options of the steps do not go with it, there is none. */
static mtl_status draw(mtl__contest *c, mtl__job *job, const mtl__strategy *how,
                       const mtl_dataset *bare, mtl_error *err)
{
    mtl__watch watch = {NULL, pass_by, false};
    mtl__job blind = *job;
    mtl_model *m = NULL;
    mtl_error why = {0};
    blind.blind = true;
    blind.deadline = c->stop_at;
    mtl_status st = mtl__move(&blind, bare, how, -1, &watch, &m, NULL, &why);
    if (watch.is_cancelled)
        c->is_over = c->is_stopped = true;
    if (st == MTL_OK)
        job->drawn[how->phase[0].align] = m;
    return st == MTL_ERR_NOMEM || st == MTL_ERR_IO ? MTL_FAIL(err, st, "%s", why.message) : MTL_OK;
}

mtl_status mtl__draw_near(mtl__contest *c, mtl__job *job, const mtl_dataset *bare, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < c->candidates && st == MTL_OK && !c->is_over; i++)
        if (mtl__strategy_draws(job, c->how[i])) {
            st = draw(c, job, c->how[i], bare, err);
            c->is_over = c->is_over || (c->stop_at > 0 && mtl__seconds() >= c->stop_at);
        }
    return st;
}

void mtl__drawn_free(mtl__job *job)
{
    for (int i = 0; i < MTL__COUNT_OF(job->drawn); i++) {
        mtl__model_destroy(job->drawn[i]);
        job->drawn[i] = NULL;
    }
}
