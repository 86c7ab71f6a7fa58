/* SPDX-License-Identifier: MIT */
#include "transfer/move.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "data/csr.h"
#include "model/architecture.h"
#include "train/update.h"
#include "transfer/domain.h"
#include "transfer/guide.h"
#include "transfer/keep.h"

/* The penalty that the head has from which steps begin: they go on from there, so it need not be the
   best one. */
enum { START_PENALTY = 3 };

static const double stop_share[MTL__STOPS] = {0.125, 0.25, 0.5, 1};

int64_t mtl__variants(const mtl__strategy *how)
{
    static const int64_t counts[] = {[MTL__STEPS] = MTL__STOPS,
                                     [MTL__CONSTANT] = 1,
                                     [MTL__AS_IS] = MTL__BASES,
                                     [MTL__HEAD] = MTL__HEAD_PENALTIES,
                                     [MTL__SHIFT] = MTL__HEAD_PENALTIES,
                                     [MTL__STATISTICS] = 1};
    return how->walks ? MTL__WAY : counts[how->family];
}

bool mtl__strategy_needs_trunk(const mtl__strategy *how)
{
    return how->guide || how->walks || how->adapts || how->scores || how->phase[0].align;
}

/* Has the source adapters already? Those of new tasks are put beside them. */
static bool is_adapted(const mtl__job *job)
{
    const mtl__architecture *row = job->source->spec->architecture.row;
    return row->adapts;
}

double mtl__keeps_known(const mtl__job *job)
{
    return mtl__option_f64(job->o, &mtl__transfer_options, "keep_known");
}

bool mtl__strategy_learns(const mtl__job *job, const mtl__strategy *how)
{
    return how->phases ? !how->phase[0].align : mtl__solves_heads(job, how);
}

bool mtl__strategy_draws(const mtl__job *job, const mtl__strategy *how)
{
    return job->same && how->phase[0].align;
}

bool mtl__strategy_serves(const mtl__job *job, const mtl__strategy *how)
{
    if ((how->fresh || how->cuts) && mtl__keeps_known(job) >= 0)
        return false;
    if (how->cuts && (job->same || mtl__cut_depths(job->source->spec) < 2))
        return false;
    if (how->family == MTL__STATISTICS)
        return job->same &&
               !(job->known && (job->known->stream || mtl__dataset_is_sparse(job->known)));
    if (mtl__strategy_needs_trunk(how) &&
        (!job->source->net.trunk_layers ||
         (job->source->net.has_streams && !(how->adapts && is_adapted(job)))))
        return false;
    return mtl__network_has_features(&job->source->net) || !(mtl__solves_heads(job, how) || how->phase[0].align);
}

bool mtl__solves_heads(const mtl__job *job, const mtl__strategy *how)
{
    if (how->family == MTL__STEPS)
        return how->features && !job->same && !(how->adapts && is_adapted(job));
    return how->family != MTL__STATISTICS && !(how->family == MTL__AS_IS && job->same);
}

/* --- the new model ----------------------------------------------------------------------------- */

/* A task that the source knows is there already; in a new network it is to be what it was. */
static mtl_status add_task(const mtl__job *job, const mtl__new_task *t, bool fresh, mtl_spec *spec,
                           mtl_error *err)
{
    const mtl_spec *from = job->source->spec;
    if (!job->same)
        return mtl__spec_add_task(spec, t->name, t->kind, t->outputs, err);
    return fresh ? mtl__spec_copy_task(spec, &from->task[mtl__spec_task(from, t->name)], true, err)
                 : MTL_OK;
}

static const mtl_model *start_of(const mtl__job *job, const mtl__strategy *how)
{
    const mtl_model *drawn = mtl__strategy_draws(job, how) ? job->drawn[how->phase[0].align] : NULL;
    return drawn ? drawn : job->source;
}

static mtl_status set_adapter(const mtl__job *job, const mtl__strategy *how, mtl_spec *spec, mtl_error *err)
{
    double value[MTL__CHOICE_PARAMS];
    mtl__strategy_values(job->o, how, value);
    mtl_status st = mtl__spec_set_architecture(spec, "adapter", err);
    spec->architecture.value[0] = value[0];
    return st;
}

static mtl_status make_model(const mtl__job *job, const mtl__strategy *how, mtl_model **out,
                             mtl_error *err)
{
    const uint64_t seed = (uint64_t)mtl__option_i64(job->o, &mtl__transfer_options, "seed");
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__spec_clone(job->source->spec, how->fresh || job->is_cut, &spec, err), done);
    if ((how->features & MTL__ON_INPUTS) && spec->trunk.count > 0)
        spec->linear_skip = true; /* inputs reach the heads past the trunk */
    if (how->adapts && !is_adapted(job))
        MTL_TRY(st, set_adapter(job, how, spec, err), done);
    for (int64_t i = 0; i < job->tasks; i++)
        MTL_TRY(st, add_task(job, &job->task[i], how->fresh, spec, err), done);
    MTL_TRY(st, mtl__model_create_blank(spec, &m, err), done);
    mtl__model_draw(m, seed);
    if (!how->fresh)
        MTL_TRY(st, mtl__model_adopt(m, start_of(job, how), err), done);
    m->is_set = true;
    *out = m;
    m = NULL;
done:
    mtl__model_destroy(m);
    mtl__spec_destroy(spec);
    return st;
}

/* --- running ----------------------------------------------------------------------------------- */

/* What a run holds. */
typedef struct run {
    const mtl__job *job;
    mtl_model *m; /* the new one */
    const mtl_dataset *target;
    mtl_dataset *labelled; /* in a new domain: its rows with a label, or NULL */
    mtl_dataset *some;     /* rows that are drawn near, where not all are */
    const mtl__strategy *how;
    int64_t variant;
    mtl__watch *watch;
    mtl__scaling scaling;
    double *task_factor; /* [tasks of m] */
    double *promise;     /* [tasks of the source], where these count by it, or NULL */
    mtl__trainer *trainer;
    mtl__aligner aligner;
    mtl__guiding guiding;
    float *ends[2]; /* [net.params] each, of a way: where steps began, and came to; or NULL */
    mtl__keeper keeper;
    mtl_report *report; /* of the last phase */
} run;

static double of_trunk_rate(const run *x, double factor)
{
    if (factor != MTL__TRUNK_RATE)
        return factor;
    return mtl__option_f64(x->job->o, &mtl__transfer_options, "trunk_rate");
}

/* Of a new domain all rows are drawn near, those with a label are learnt from. */
static const mtl_dataset *rows_of(const run *x, const mtl__phase *p)
{
    if (p->align)
        return x->some ? x->some : x->target;
    return x->job->same ? x->labelled : x->target;
}

static mtl__train_settings settings_of(const run *x, const mtl__phase *p)
{
    const mtl__option_group *g = &mtl__transfer_options;
    const mtl_options *o = x->job->o;
    mtl__train_settings set = {
        .epochs = mtl__option_i64(o, g, "epochs"),
        .batch_rows = mtl__option_i64(o, g, "batch_size"),
        .rate = mtl__option_f64(o, g, "learning_rate") * of_trunk_rate(x, p->all),
        .trunk_factor = of_trunk_rate(x, p->trunk),
        .l1 = mtl__option_f64(o, g, "l1"),
        .l2 = mtl__option_f64(o, g, "l2"),
        .shuffle = mtl__option_i64(o, g, "shuffle") != 0,
        .seed = (uint64_t)mtl__option_i64(o, g, "seed"),
        .task_factor = x->task_factor,
        .progress = o && !x->watch ? o->progress : NULL,
        .progress_user = o ? o->progress_user : NULL,
    };
    if (p->align && x->job->draw_steps) {
        const int64_t epoch = (rows_of(x, p)->rows + set.batch_rows - 1) / set.batch_rows;
        set.epochs = mtl__min(set.epochs, mtl__max(1, x->job->draw_steps / epoch));
    }
    mtl__read_update(o, g, &set);
    if (x->job->deadline > 0) {
        double left = x->job->deadline - mtl__seconds();
        set.time_limit = left > 1e-9 ? left : 1e-9; /* at least one step */
    }
    return set;
}

static bool is_known(const run *x, int64_t t)
{
    return !x->job->is_cut &&
           mtl__spec_task(x->job->source->spec, x->m->spec->task[t].name) >= 0;
}

bool mtl__job_means(const mtl__job *job, const char *name)
{
    int64_t i = 0;
    while (i < job->tasks && strcmp(job->task[i].name, name) != 0)
        i++;
    return i < job->tasks;
}

static bool is_meant(const run *x, int64_t t)
{
    return mtl__job_means(x->job, x->m->spec->task[t].name);
}

/* Rows of a new domain need no label. */
static mtl_status bind_target(const run *x, const mtl_dataset *d, mtl__binding *out, mtl_error *err)
{
    return x->job->same ? mtl__binding_create_bare(x->m, d, "target", out, err)
                        : mtl__binding_create(x->m, d, "target", out, err);
}

/* No more rows than there are steps for, from all over the data set. */
static mtl_status take_some(run *x, mtl_error *err)
{
    const mtl__allocator *al = &x->m->ctx->al;
    const int64_t batch = mtl__option_i64(x->job->o, &mtl__transfer_options, "batch_size");
    const int64_t rows = batch * x->job->draw_steps; /* of 16777216 at most */
    if (!rows || !x->how->phase[0].align || x->target->rows <= rows)
        return MTL_OK;
    int64_t *index = mtl__alloc_array(al, rows, sizeof *index);
    if (!index)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld rows", (long long)rows);
    mtl__spread(x->target->rows, rows, index);
    mtl_status st = mtl__dataset_subset(x->target, rows, index, &x->some, err);
    mtl__free(al, index, rows * (int64_t)sizeof *index);
    return st;
}

/* Known tasks count by exp(score / temperature), 1 on average; one whose score is not known as the mean. */
static void weigh_known(run *x, double temperature)
{
    const int64_t tasks = x->job->source->net.tasks;
    double most = -INFINITY, sum = 0, known = 0;
    for (int64_t t = 0; t < tasks; t++)
        most = isfinite(x->promise[t]) && x->promise[t] > most ? x->promise[t] : most;
    for (int64_t t = 0; t < tasks; t++)
        if (isfinite(x->promise[t])) {
            sum += mtl__exp_f64((x->promise[t] - most) / temperature);
            known++;
        }
    for (int64_t t = 0; t < x->m->net.tasks; t++) {
        const int64_t from = mtl__spec_task(x->job->source->spec, x->m->spec->task[t].name);
        if (from >= 0 && isfinite(x->promise[from]))
            x->task_factor[t] *= known * mtl__exp_f64((x->promise[from] - most) / temperature) / sum;
    }
}

static mtl_status score_known(run *x, mtl_error *err)
{
    double value[MTL__CHOICE_PARAMS];
    if (!x->how->scores)
        return MTL_OK;
    x->promise = mtl__alloc_array(&x->m->ctx->al, x->job->source->net.tasks, sizeof *x->promise);
    if (!x->promise)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scores");
    mtl__strategy_values(x->job->o, x->how, value);
    mtl_status st = mtl__promise_of_tasks(x->job, x->target, x->promise, err);
    if (st == MTL_OK)
        weigh_known(x, value[0]);
    return st;
}

static mtl_status report_known_scores(const run *x, mtl_error *err)
{
    const mtl_spec *from = x->job->source->spec;
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < from->tasks && x->promise && st == MTL_OK; t++) {
        const char *name = from->task[t].name;
        st = mtl__report_number(x->report, "source", name, "score", x->promise[t], err);
        if (st == MTL_OK)
            st = mtl__report_number(x->report, "source", name, "weight",
                                    x->task_factor[mtl__spec_task(x->m->spec, name)], err);
    }
    return st;
}

static mtl_status prepare(run *x, mtl_error *err)
{
    const mtl__allocator *al = &x->m->ctx->al;
    int64_t tasks = x->m->net.tasks;
    mtl__binding target = {0};
    double replay = mtl__option_f64(x->job->o, &mtl__transfer_options, "replay");
    mtl_status st = bind_target(x, x->target, &target, err);
    bool *is_new = mtl__alloc(al, tasks * (int64_t)sizeof *is_new);
    x->task_factor = mtl__alloc(al, tasks * (int64_t)sizeof *x->task_factor);
    if (st == MTL_OK && (!is_new || !x->task_factor))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a transfer");
    if (st == MTL_OK) {
        for (int64_t t = 0; t < tasks; t++) {
            is_new[t] = x->how->fresh || !is_known(x, t);
            x->task_factor[t] = is_meant(x, t) ? 1 : replay;
        }
        st = mtl__scaling_create(x->m, &target, x->how->fresh, mtl__scaler_of_knots(x->job->source->pipe.warp.knots),
                                 x->job->source->pipe.is_clipped, is_new, &x->scaling, err);
    }
    if (st == MTL_OK)
        st = score_known(x, err);
    if (is_new)
        mtl__free(al, is_new, tasks * (int64_t)sizeof *is_new);
    mtl__binding_free(&target);
    if (st == MTL_OK && x->job->same && !x->job->blind)
        st = mtl__labelled_rows(x->job, x->target, &x->labelled, err);
    return st == MTL_OK ? take_some(x, err) : st;
}

/* --- steps ------------------------------------------------------------------------------------- */

static mtl_status make_trainer(run *x, const mtl__phase *p, mtl_error *err)
{
    mtl__train_settings set = settings_of(x, p);
    mtl__binding first = {0}, second = {0};
    const mtl_dataset *known = p->known ? x->job->known : NULL;
    mtl_status st = bind_target(x, rows_of(x, p), &first, err);
    for (int64_t t = 0; t < first.tasks && (!p->known || x->job->alone || x->job->blind); t++)
        if (x->job->blind || (is_known(x, t) && !is_meant(x, t)))
            first.label[t] = -1;
    if (st == MTL_OK && known)
        st = mtl__binding_create_of(x->m, x->job->source->spec, known, "known", &second, err);
    if (st == MTL_OK) {
        double value[MTL__CHOICE_PARAMS];
        mtl__strategy_values(x->job->o, x->how, value);
        st = mtl__guide_begin(&x->guiding, x->how->guide, x->job, x->how->choice.name, value, x->m,
                              x->target, &set, err);
    }
    if (st != MTL_OK) {
        mtl__binding_free(&first);
        mtl__binding_free(&second);
        return st;
    }
    st = mtl__trainer_create(x->m, &set, &first, known ? &second : NULL, NULL, &x->trainer, err);
    if (st == MTL_OK)
        mtl__keeper_watch(&x->keeper, x->trainer);
    if (st == MTL_OK && p->align)
        st = mtl__align(x->trainer, p->align,
                        mtl__option_f64(x->job->o, &mtl__transfer_options, "align"), &x->aligner,
                        err);
    return st == MTL_OK ? mtl__guide_hang(&x->guiding, x->trainer, err) : st;
}

static int64_t stop_at(const mtl__trainer *t, int64_t variant)
{
    const double steps = (double)(t->set.epochs * t->feed.steps);
    return mtl__max(1, (int64_t)(steps * stop_share[variant]));
}

/* As mtl__trainer_run(), looked at on the way, or ended there. With an average that is what is judged. */
static mtl_status run_stops(run *x, mtl_error *err)
{
    mtl__trainer *t = x->trainer;
    const int64_t last = x->watch ? MTL__STOPS - 1 : x->variant;
    mtl_status st = MTL_OK;
    mtl__trainer_start(t);
    for (int64_t v = x->watch ? 0 : last; v <= last && st == MTL_OK; v++) {
        st = mtl__trainer_advance(t, stop_at(t, v) - t->step, err);
        if (st != MTL_OK || !x->watch)
            continue;
        mtl__update_swap(t);
        st = x->watch->look(x->watch->self, x->m, v, err);
        mtl__update_swap(t);
    }
    if (!t->reason)
        t->reason = "epochs";
    if (st == MTL_OK)
        mtl__trainer_end(t);
    return st;
}

/* --- the way back ------------------------------------------------------------------------------ */

static mtl_status make_ends(run *x, mtl_error *err)
{
    for (int i = 0; i < 2 && x->how->walks; i++) {
        x->ends[i] = mtl__alloc(&x->m->ctx->al, x->m->net.params * (int64_t)sizeof(float));
        if (!x->ends[i])
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a way between two networks");
        memcpy(x->ends[i], x->m->values, (size_t)x->m->net.params * sizeof(float));
    }
    return MTL_OK;
}

/* (1 - a) w0 + a w1 for all parameters, running statistics too: Wortsman et al. 2022, equation 1. At
   either end to the bit. */
static void stand_at(const run *x, int64_t variant)
{
    const mtl_model *m = x->m;
    const bool is_end = variant == MTL__WAY - 1;
    memcpy(m->values, x->ends[is_end], (size_t)m->net.params * sizeof(float));
    if (!is_end)
        m->ctx->vec->blend(m->net.params, (float)variant / (MTL__WAY - 1), x->ends[1], m->values);
}

static mtl_status walk(run *x, mtl_error *err)
{
    mtl_status st = MTL_OK;
    if (!x->how->walks)
        return st;
    memcpy(x->ends[1], x->m->values, (size_t)x->m->net.params * sizeof(float));
    for (int64_t v = 0; x->watch && v < MTL__WAY && st == MTL_OK; v++) {
        stand_at(x, v);
        st = x->watch->look(x->watch->self, x->m, v, err);
    }
    if (x->variant >= 0)
        stand_at(x, x->variant);
    return st;
}

/* All stops are where it stands. */
static mtl_status look_everywhere(const run *x, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t v = 0; v < MTL__STOPS && st == MTL_OK; v++)
        st = x->watch->look(x->watch->self, x->m, v, err);
    return st;
}

static mtl_status run_phase(run *x, int number, bool *go_on, mtl_error *err)
{
    const bool in_parts = number + 1 == x->how->phases && (x->watch || x->variant >= 0) &&
                          !x->how->walks;
    if (!rows_of(x, &x->how->phase[number])) /* nothing to learn from */
        return in_parts && x->watch ? look_everywhere(x, err) : MTL_OK;
    mtl_status st = make_trainer(x, &x->how->phase[number], err);
    if (st == MTL_OK)
        st = in_parts ? run_stops(x, err) : mtl__trainer_run(x->trainer, err);
    if (st != MTL_OK)
        return st;
    *go_on = strcmp(x->trainer->reason, "epochs") == 0;
    if (x->watch && strcmp(x->trainer->reason, "cancelled") == 0)
        x->watch->is_cancelled = true;
    mtl__report_destroy(x->report);
    x->report = x->trainer->report;
    x->trainer->report = NULL;
    mtl__trainer_destroy(x->trainer);
    x->trainer = NULL;
    mtl__align_free(&x->aligner);
    mtl__guide_end(&x->guiding);
    return MTL_OK;
}

/* --- exact heads ------------------------------------------------------------------------------- */

/* A task that they do not serve keeps what it has. */
static mtl_status write_heads(run *x, int64_t variant, mtl_error *err)
{
    const mtl__job *job = x->job;
    mtl__sample s = {0};
    mtl_status st = mtl__sample_create(job, x->target, &s, err);
    for (int64_t i = 0; i < job->tasks && st == MTL_OK; i++) {
        mtl__heads h = {0};
        st = job->blend ? mtl__heads_blend(job, &s, i, 1e-7, &h, err)
                        : mtl__heads_create(job, &s, i, x->how, variant, 1, 1e-7, &h, err);
        if (st == MTL_OK && h.count)
            mtl__heads_write(&h, 0, &s, x->m, job->task[i].name);
        else if (st == MTL_OK && x->how->family != MTL__STEPS)
            st = MTL_FAIL(err, MTL_ERR_INVALID,
                          "strategy \"%s\" does not serve task \"%.64s\": its kind has no such "
                          "head, or no known task is of that kind",
                          x->how->choice.name, job->task[i].name);
        mtl__heads_free(&h);
    }
    mtl__sample_free(&s);
    return st;
}

static mtl_status start_report(run *x, mtl_error *err)
{
    mtl_status st = mtl__report_create(x->m->ctx, &x->report, err);
    if (st == MTL_OK)
        st = mtl__report_text(x->report, "reason", "solved", err);
    return st;
}

/* --- all of it --------------------------------------------------------------------------------- */

static void free_run(run *x)
{
    const mtl__allocator *al = &x->m->ctx->al;
    mtl__trainer_destroy(x->trainer);
    mtl__align_free(&x->aligner);
    mtl__guide_end(&x->guiding);
    for (int i = 0; i < 2; i++)
        if (x->ends[i])
            mtl__free(al, x->ends[i], x->m->net.params * (int64_t)sizeof(float));
    mtl__keeper_free(&x->keeper);
    mtl__dataset_destroy(x->labelled);
    mtl__dataset_destroy(x->some);
    mtl__report_destroy(x->report);
    mtl__scaling_free(&x->scaling);
    if (x->task_factor)
        mtl__free(al, x->task_factor, x->m->net.tasks * (int64_t)sizeof *x->task_factor);
    mtl__free(al, x->promise, x->job->source->net.tasks * (int64_t)sizeof *x->promise);
    mtl__free(al, x, sizeof *x);
}

/* A calibration is of the outputs as they were. */
static void keep_calibration(run *x)
{
    memcpy(x->m->pipe.slope, x->job->source->pipe.slope,
           3 * (size_t)x->m->net.outputs * sizeof(float));
    mtl__model_calibrated(x->m);
}

/* All but the phases. */
static mtl_status begin(run *x, mtl_error *err)
{
    const mtl__strategy *how = x->how;
    const bool steps = how->family == MTL__STEPS;
    const mtl_dataset *rows = x->job->domain ? x->job->domain : x->target;
    mtl_status st = prepare(x, err);
    if (st == MTL_OK && x->job->same && !x->labelled && mtl__strategy_learns(x->job, how))
        st = MTL_FAIL(err, MTL_ERR_DATA, "target: no row has a label for strategy \"%s\"",
                      how->choice.name);
    if (st == MTL_OK)
        mtl__scaling_apply(&x->scaling, x->m);
    if (st == MTL_OK && mtl__solves_heads(x->job, how))
        st = write_heads(x, steps ? START_PENALTY : x->variant, err);
    else if (st == MTL_OK && !steps)
        keep_calibration(x);
    if (st == MTL_OK && how->family == MTL__STATISTICS)
        st = mtl__restate(x->m, x->job->known, rows, err);
    return st == MTL_OK && !steps ? start_report(x, err) : st;
}

/* How far the domains lie apart, where that is what it is about. */
static mtl_status report_distances(const run *x, mtl_error *err)
{
    const mtl_model *source = x->job->source;
    if (!x->job->known || !(x->job->same || x->how->phase[0].align))
        return MTL_OK;
    mtl_status st = mtl__report_distance(source, x->job->known, source, x->target, "before",
                                         x->report, err);
    if (st == MTL_OK && !x->how->fresh) /* figures of one domain are not for the other */
        st = mtl__report_distance(x->how->family == MTL__STATISTICS ? source : x->m, x->job->known,
                                  x->m, x->target, "after", x->report, err);
    return st;
}

static mtl_status run_all(run *x, mtl_report **report, mtl_error *err)
{
    bool go_on = true;
    mtl_status st = begin(x, err);
    if (st == MTL_OK)
        st = make_ends(x, err);
    const double share = mtl__keeps_known(x->job);
    if (st == MTL_OK && share >= 0 && x->how->phases && x->job->known)
        st = mtl__keeper_create(x->m, x->job->source->spec, x->job->known, share, &x->keeper, err);
    const bool is_drawn = start_of(x->job, x->how) != x->job->source;
    if (st == MTL_OK && is_drawn) /* where no label is left to learn from */
        st = start_report(x, err);
    for (int i = is_drawn; i < x->how->phases && st == MTL_OK && go_on; i++)
        st = run_phase(x, i, &go_on, err);
    if (st == MTL_OK)
        st = walk(x, err);
    if (st == MTL_OK && x->how->walks)
        mtl__keeper_hold(&x->keeper, x->m); /* between two good places there may be a bad one */
    if (st == MTL_OK)
        st = mtl__report_text(x->report, "strategy", x->how->choice.name, err);
    if (st == MTL_OK)
        st = report_known_scores(x, err);
    if (st == MTL_OK && x->how->walks && x->variant >= 0)
        st = mtl__report_number(x->report, "alpha", NULL, NULL,
                                (double)x->variant / (MTL__WAY - 1), err);
    if (st == MTL_OK && report)
        st = report_distances(x, err);
    if (st == MTL_OK && report) {
        *report = x->report;
        x->report = NULL;
    }
    return st;
}

static mtl_status move(const mtl__job *job, const mtl_dataset *target, const mtl__strategy *how,
                       int64_t variant, mtl__watch *watch, mtl_model **out, mtl_report **report,
                       mtl_error *err)
{
    mtl_model *m;
    mtl_status st = make_model(job, how, &m, err);
    if (st != MTL_OK)
        return st;
    run *x = mtl__alloc_zero(&m->ctx->al, sizeof *x);
    if (!x) {
        mtl__model_destroy(m);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a transfer");
    }
    *x = (run){.job = job, .m = m, .target = target, .how = how, .variant = variant, .watch = watch};
    st = run_all(x, report, err);
    free_run(x);
    if (st == MTL_OK)
        *out = m;
    else
        mtl__model_destroy(m);
    return st;
}

mtl_status mtl__move(const mtl__job *job, const mtl_dataset *target, const mtl__strategy *how,
                     int64_t variant, mtl__watch *watch, mtl_model **out,
                     mtl_report **report, mtl_error *err)
{
    mtl__job part = *job;
    mtl_model *cut = NULL;
    mtl_status st = how->cuts ? mtl__cut(job, target, &cut, err) : MTL_OK;
    if (cut) {
        part.source = cut;
        part.is_cut = true;
    }
    if (st == MTL_OK)
        st = move(&part, target, how, variant, watch, out, report, err);
    mtl__model_destroy(cut);
    return st;
}
