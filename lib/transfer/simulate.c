/* SPDX-License-Identifier: MIT */
/* What transfers to tasks like these are worth: known tasks in turn are taken for new ones, with as
   many rows as the new one has, and every candidate is judged on further rows of theirs.

   The source's own trunk has seen those tasks, so it would flatter every use of it. A trunk is
   trained for each without the task and without the rows that it is judged on: on fewer rows and in
   fewer steps than the source, so that, if anything, the candidates that use it look too bad. */
#include <math.h>
#include <string.h>

#include "data/csr.h"
#include "rng/rng.h"
#include "transfer/simulate_priv.h"

enum {
    TRUNK_STEPS = 800,
    TRUNK_BATCH = 64,
    LEAST_ROWS = 12,  /* of a task that is taken */
};

mtl_status mtl__simulation_init(mtl__simulation *s, mtl_error *err)
{
    const int64_t rows = s->job->known->rows;
    s->order = mtl__alloc_array(s->c->al, rows, sizeof *s->order);
    return s->order ? MTL_OK
                    : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)rows);
}

void mtl__simulation_free(mtl__simulation *s)
{
    mtl__dataset_destroy(s->trunk_rows);
    mtl__dataset_destroy(s->target);
    mtl__dataset_destroy(s->test);
    mtl__model_destroy(s->source);
    mtl__options_destroy(s->fit);
    mtl__free(s->c->al, s->order, s->job->known->rows * (int64_t)sizeof *s->order);
}

/* --- rows -------------------------------------------------------------------------------------- */

static bool has_label(const mtl__labels *l, int64_t row)
{
    for (int64_t j = 0; j < l->cols; j++)
        if (!isnan(mtl__array_row(&l->y, row)[j]))
            return true;
    return false;
}

static int64_t count_labels(const mtl_dataset *d, int64_t label)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->rows; i++)
        n += has_label(&d->labels[label], i);
    return n;
}

static bool has_the_task(const mtl__simulation *s, int64_t row)
{
    const mtl_dataset *known = s->job->known;
    return has_label(&known->labels[mtl__dataset_task(known, s->job->source->spec->task[s->task].name)],
                     row);
}

int64_t mtl__simulation_order(mtl__simulation *s, bool (*serves)(const mtl__simulation *s, int64_t row))
{
    const mtl_dataset *known = s->job->known;
    const uint64_t seed = (uint64_t)mtl__option_i64(s->job->o, &mtl__transfer_options, "seed");
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SIMULATE, (uint32_t)s->task);
    for (int64_t i = 0; i < known->rows; i++)
        s->order[i] = i;
    mtl__rng_shuffle(&r, s->order, known->rows);
    int64_t front = 0;
    for (int64_t i = 0; i < known->rows; i++) {
        const int64_t row = s->order[i];
        if (serves(s, row)) {
            s->order[i] = s->order[front];
            s->order[front++] = row;
        }
    }
    return front;
}

mtl_status mtl__simulation_share(mtl__simulation *s, int64_t labelled, mtl_error *err)
{
    s->wanted = s->rows;
    s->rows = mtl__min(s->rows, labelled / 2);
    s->draws = s->rows && s->rows <= MTL__SIMULATE_FEW && labelled >= 4 * s->rows ? 2 : 1;
    const int64_t used = s->draws * s->rows;
    const int64_t test = mtl__min(MTL__SIMULATE_TEST, (labelled - used + 2) / 3);
    return mtl__dataset_subset(s->job->known, test, s->order + used, &s->test, err);
}

static mtl_status take_rows(mtl__simulation *s, mtl_error *err)
{
    const mtl_dataset *known = s->job->known;
    mtl_status st = mtl__simulation_share(s, mtl__simulation_order(s, has_the_task), err);
    const int64_t left = st == MTL_OK ? known->rows - s->draws * s->rows - s->test->rows : 0;
    const int64_t trunk = mtl__min(MTL__SIMULATE_TRUNK, left);
    if (st == MTL_OK)
        st = mtl__dataset_subset(known, trunk, s->order + known->rows - trunk, &s->trunk_rows, err);
    return st;
}

/* --- the trunk --------------------------------------------------------------------------------- */

/* As a time limit: 0 = none. */
static double time_left(const mtl__contest *c)
{
    const double left = c->stop_at > 0 ? c->stop_at - mtl__seconds() : 0;
    return c->stop_at > 0 && left < 1e-9 ? 1e-9 : left;
}

static mtl_status set_options(mtl__simulation *s, mtl_error *err)
{
    const mtl__job *job = s->job;
    const int64_t steps = (s->trunk_rows->rows + TRUNK_BATCH - 1) / TRUNK_BATCH;
    const struct {
        const char *key;
        double value;
        bool whole;
    } set[] = {
        {"epochs", (double)mtl__max(1, TRUNK_STEPS / mtl__max(1, steps)), true},
        {"batch_size", TRUNK_BATCH, true},
        {"learning_rate", 0.003, false},
        {"seed", (double)mtl__option_i64(job->o, &mtl__transfer_options, "seed"), true},
        {"time_limit", time_left(s->c), false},
        /* Labels that a source gave are not all right, and not to be learnt by heart. */
        {"validation_split", s->task < 0 ? 0.1 : 0, false},
        {"patience", s->task < 0 ? 10 : 0, true},
    };
    s->fit = mtl__options_create(&mtl__fit_options);
    if (!s->fit)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for options");
    mtl_status st = MTL_OK;
    for (int i = 0; i < MTL__COUNT_OF(set) && st == MTL_OK; i++)
        st = mtl__options_set_number(s->fit, set[i].key, set[i].value, set[i].whole, err);
    return st;
}

mtl_status mtl__simulation_source(mtl__simulation *s, mtl_error *err)
{
    const mtl_spec *from = s->job->source->spec;
    mtl_spec *spec = NULL;
    mtl_status st;
    MTL_TRY(st, set_options(s, err), done);
    MTL_TRY(st, mtl__spec_clone(from, true, &spec, err), done);
    for (int64_t t = 0; t < from->tasks; t++)
        if (s->task < 0 ? mtl__job_means(s->job, from->task[t].name) : t != s->task)
            MTL_TRY(st, mtl__spec_copy_task(spec, &from->task[t], true, err), done);
    MTL_TRY(st, mtl__model_create(spec, &s->source, err), done);
    st = mtl__fit_all(s->source, s->trunk_rows, NULL, s->fit, NULL, err);
    s->c->is_over = s->c->is_over || (s->c->stop_at > 0 && mtl__seconds() >= s->c->stop_at);
done:
    mtl__spec_destroy(spec);
    return st;
}

/* --- a task ------------------------------------------------------------------------------------ */

/* Of all pairs of variants the mean over rows. */
static void mean_products(const mtl__contest *c, const float *residual, int64_t rows, int64_t size,
                          double *to)
{
    for (int64_t a = 0; a < c->variants; a++)
        for (int64_t b = 0; b <= a; b++) {
            const float *x = residual + a * size, *y = residual + b * size;
            double sum = 0;
            for (int64_t i = 0; i < size; i++)
                sum += (double)x[i] * (double)y[i];
            to[a * c->variants + b] = to[b * c->variants + a] = sum / (double)rows;
        }
}

static mtl_status judge_draw(mtl__simulation *s, const mtl__job *job, const mtl__measure *measure,
                             mtl_error *err)
{
    mtl__contest *c = s->c;
    const int64_t rows = s->test->rows, size = rows * mtl__job_width(job);
    float *residual = mtl__alloc_array(c->al, c->variants, size * (int64_t)sizeof *residual);
    if (!residual)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    for (int64_t i = 0; i < c->variants * size; i++)
        residual[i] = NAN;
    mtl_status st = mtl__score_split(c, job, job->blind ? job->domain : s->target, s->test, measure,
                                     residual, rows, 0, err);
    if (st == MTL_OK && c->is_whole) {
        mean_products(c, residual, rows, size,
                      c->simulated + c->simulations++ * c->variants * c->variants);
        c->lacking += s->wanted ? 1 - (double)s->rows / (double)s->wanted : 0;
    }
    mtl__free(c->al, residual, c->variants * size * (int64_t)sizeof *residual);
    return st;
}

mtl_status mtl__simulation_run(mtl__simulation *s, mtl__job *job, mtl_error *err)
{
    mtl__measure measure = {0};
    mtl_status st = mtl__measure_create(job, s->test, &measure, err);
    job->deadline = s->c->stop_at;
    /* Labels to judge on that are all the same tell nothing. */
    for (int64_t i = 0; i < s->draws && st == MTL_OK && measure.varies && !s->c->is_over; i++) {
        st = mtl__dataset_subset(s->job->known, s->rows, s->order + i * s->rows, &s->target, err);
        if (st == MTL_OK)
            st = judge_draw(s, job, &measure, err);
        mtl__dataset_destroy(s->target);
        s->target = NULL;
    }
    mtl__measure_free(&measure);
    return st;
}

/* What the rows left over cannot train is not simulated. */
static mtl_status simulate_task(mtl__contest *c, const mtl__job *job, int64_t task, int64_t rows,
                                mtl_error *err)
{
    mtl__simulation s = {.c = c, .job = job, .task = task, .rows = rows};
    const mtl__task_spec *t = &job->source->spec->task[task];
    const mtl__new_task as_new = {t->name, t->kind, t->outputs};
    mtl__job part = *job;
    mtl_error why = {0};
    mtl_status st = mtl__simulation_init(&s, &why);
    if (st == MTL_OK)
        st = take_rows(&s, &why);
    if (st == MTL_OK && s.trunk_rows->rows > 0 && s.rows > 0) {
        st = mtl__simulation_source(&s, &why);
        part.source = s.source;
        part.known = s.trunk_rows;
        part.task = &as_new;
        part.tasks = 1;
        part.alone = true;
        if (st == MTL_OK)
            st = mtl__simulation_run(&s, &part, &why);
    }
    mtl__simulation_free(&s);
    if (st == MTL_ERR_DATA || st == MTL_ERR_DIVERGED)
        return MTL_OK;
    return st == MTL_OK ? st : MTL_FAIL(err, st, "%s", why.message);
}

/* --- all of them ------------------------------------------------------------------------------- */

/* Tasks of the new one's kind tell most; others only where there are none. */
static bool is_taken(const mtl__job *job, int64_t t, bool of_kind)
{
    const mtl__task_spec *task = &job->source->spec->task[t];
    const int64_t label = mtl__dataset_task(job->known, task->name);
    return label >= 0 && !task->loss_cb && (!of_kind || task->kind == job->task[0].kind) &&
           count_labels(job->known, label) >= LEAST_ROWS;
}

static bool can_simulate(const mtl__job *job)
{
    const mtl_spec *s = job->source->spec;
    bool can = job->known && !job->known->stream && !mtl__dataset_is_sparse(job->known) && s->tasks > 1;
    for (int64_t t = 0; t < s->tasks && can; t++)
        can = !s->task[t].loss_cb;
    return can;
}

mtl_status mtl__simulate(mtl__contest *c, const mtl__job *job, int64_t rows, mtl_error *err)
{
    const int64_t tasks = job->source->spec->tasks;
    int64_t count = 0, seen = 0;
    bool of_kind = true;
    mtl_status st = MTL_OK;
    if (!can_simulate(job))
        return MTL_OK;
    for (int pass = 0; pass < 2 && count == 0; pass++) {
        of_kind = pass == 0;
        for (int64_t t = 0; t < tasks; t++)
            count += is_taken(job, t, of_kind);
    }
    const int64_t wanted = mtl__min(count, c->room / 2);
    /* Evenly over the tasks that can be taken. */
    for (int64_t t = 0; t < tasks && st == MTL_OK && !c->is_over; t++) {
        if (!is_taken(job, t, of_kind))
            continue;
        if (seen * wanted / count != (seen + 1) * wanted / count)
            st = simulate_task(c, job, t, rows, err);
        seen++;
    }
    return st;
}
