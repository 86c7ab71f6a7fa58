/* SPDX-License-Identifier: MIT */
#include "train/fit.h"

#include <string.h>

#include "train/first_biases.h"
#include "train/preset.h"

enum { VALIDATION_LAST, VALIDATION_RANDOM };

static const mtl__option table[] = {
    MTL__OPTION_I64("epochs", 10, 1, 1000000, "passes over the training rows"),
    MTL__OPTION_I64("batch_size", 32, 1, 16777216, "rows of a step"),
    MTL__OPTION_F64("learning_rate", 0.001, 0, 1e30, "step size"),
    MTL__UPDATE_OPTIONS,
    MTL__OPTION_F64("l1", 0, 0, 1e30, "adds l1 * sum |w| over the weights (not the biases)"),
    MTL__OPTION_F64("l2", 0, 0, 1e30, "adds l2 / 2 * sum w^2 over the weights (not the biases)"),
    MTL__OPTION_I64("shuffle", 1, 0, 1, "1 = a new random order of the rows in each epoch"),
    MTL__OPTION_STR("sampling", "shuffle", "shuffle|balanced:task=NAME|tasks:mix=proportional,t=2,limit=0",
                    &mtl__samplings,
                    "which rows an epoch has: all, classes of a task equally often, or tasks by a "
                    "mixing rule (proportional|sqrt|uniform|temperature); see mtl_fit"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991,
                    "of initial weights, row order, dropout and random split"),
    MTL__OPTION_F64("validation_split", 0, 0, 0.99,
                    "share of the rows to judge on when no validation data set is given"),
    MTL__OPTION_STR("validation", "last", "last|random", NULL, "which rows these are"),
    MTL__OPTION_I64("patience", 0, 0, 1000000,
                    "epochs without a better validation loss before the fit ends with the best "
                    "parameters; 0 = off"),
    MTL__OPTION_F64("time_limit", 0, 0, 1e9, "seconds after which the fit ends; 0 = none"),
    MTL__OPTION_I64("scale_inputs", 1, 0, 1, "1 = scale inputs inside the model, by \"scaler\""),
    MTL__OPTION_STR("scaler", "auto", "auto|standard|robust|min_max|max_abs|robust_clip|quantile",
                    NULL,
                    "mean and deviation, median and interquartile range, the range to -1 .. 1, the "
                    "largest magnitude to 1, robust with ends bent to below 3, or normal numbers by "
                    "rank; auto = standard, max_abs for sparse inputs"),
    MTL__OPTION_I64("scale_targets", 1, 0, 1, "1 = standardise regression targets inside"),
    MTL__OPTION_I64("clip_predictions", 0, 0, 1,
                    "1 = predictions of regression and quantile tasks stay within the labels of the "
                    "first fit's training rows"),
    MTL__OPTION_STR("checkpoint", "", "", NULL,
                    "file that the run is written to, to be taken up by mtl_resume; \"\" = none"),
    MTL__OPTION_I64("checkpoint_steps", 0, 0, 1000000000000,
                    "write it every so many steps; 0 = not by steps"),
    MTL__OPTION_F64("checkpoint_seconds", 0, 0, 1e9,
                    "write it every so many seconds; 0 with checkpoint_steps 0 = after each epoch"),
    MTL__OPTION_I64("judge", 0, 0, 1,
                    "1 = compare the network with one for each task and with linear models, and "
                    "keep the best for each task; see mtl_fit"),
    MTL__OPTION_I64("judge_folds", 5, 2, 20,
                    "parts of the training rows, each judged on once, for judge = 1"),
    MTL__OPTION_I64("judge_groups", 1, 0, 1,
                    "1 = judge = 1 names the groups of tasks that it suggests, see mtl_fit"),
    MTL__OPTION_STR("preset", "auto", "auto|plain|fast|good|best", NULL,
                    "plain = the network as it was built, options as given; else options that were not "
                    "set have the preset's values, and candidates are mixed; auto = good for a model made "
                    "without layers, else plain; see mtl_fit"),
    MTL__OPTION_LIST("candidates", "pooled linear shared numeric single",
                     "pooled|linear|shared|numeric|single", &mtl__candidates,
                     "of presets, separated by spaces"),
    MTL__OPTION_I64("folds", 5, 2, 50, "of presets: parts of the training rows, left out in turn"),
    MTL__OPTION_I64("folds_run", 0, 0, 50, "how many of them have a turn; 0 = all"),
    MTL__OPTION_STR("group_by", "", "", NULL,
                    "of presets: label column whose rows of one value stay in one part; \"\" = none"),
    MTL__OPTION_STR("layers", "", "", NULL,
                    "of presets: trunk of a model made without layers, e.g. 64:relu,64:relu"),
    MTL__OPTION_STR("embedding", "ple", "", NULL,
                    "of presets: in front of these layers for the candidate numeric, see "
                    "mtl_spec_add_numeric_embedding"),
    MTL__OPTION_I64("members", 1, 1, 1024, "of presets: of its ensemble (mini), see "
                                           "mtl_spec_set_ensemble"),
    MTL__OPTION_I64("train_metrics", 0, 0, 1, "1 = metrics of the training rows too, every epoch"),
};

const mtl__option_group mtl__fit_options = MTL__OPTION_GROUP(MTL_OPTIONS_FIT, "fit", table, true);

mtl__weighting_set mtl__read_weighting(const mtl_options *o, const mtl__option_group *g)
{
    const int64_t scope = mtl__option_index(o, g, "weighting_scope");
    return (mtl__weighting_set){.kind = mtl__option_choice(o, g, "weighting"),
                                .text = mtl__option_str(o, g, "weighting"),
                                .features = scope == 1,
                                .by_layer = scope == 2,
                                .every = mtl__option_i64(o, g, "weighting_every")};
}

void mtl__read_update(const mtl_options *o, const mtl__option_group *g, mtl__train_settings *set)
{
    set->optimizer = mtl__option_choice(o, g, "optimizer");
    set->schedule = mtl__option_choice(o, g, "schedule");
    set->dropout_schedule = mtl__option_choice(o, g, "dropout_schedule");
    set->decay_schedule = mtl__option_choice(o, g, "decay_schedule");
    set->average = mtl__option_choice(o, g, "average");
    set->warm_up = mtl__option_f64(o, g, "warmup");
    set->clip_norm = mtl__option_f64(o, g, "clip_norm");
    set->clip_value = mtl__option_f64(o, g, "clip_value");
    set->groups = mtl__option_str(o, g, "groups");
    set->lazy = mtl__option_index(o, g, "sparse_update") == 0;
    set->weighting = mtl__read_weighting(o, g);
}

static mtl__train_settings read_settings(const mtl_options *o)
{
    const mtl__option_group *g = &mtl__fit_options;
    mtl__train_settings set = {
        .epochs = mtl__option_i64(o, g, "epochs"),
        .batch_rows = mtl__option_i64(o, g, "batch_size"),
        .rate = mtl__option_f64(o, g, "learning_rate"),
        .trunk_factor = 1,
        .l1 = mtl__option_f64(o, g, "l1"),
        .l2 = mtl__option_f64(o, g, "l2"),
        .shuffle = mtl__option_i64(o, g, "shuffle") != 0,
        .train_metrics = mtl__option_i64(o, g, "train_metrics") != 0,
        .seed = (uint64_t)mtl__option_i64(o, g, "seed"),
        .patience = mtl__option_i64(o, g, "patience"),
        .time_limit = mtl__option_f64(o, g, "time_limit"),
        .progress = o ? o->progress : NULL,
        .progress_user = o ? o->progress_user : NULL,
    };
    mtl__read_update(o, g, &set);
    return set;
}

static void free_fit(void *running)
{
    mtl__fit *f = running;
    if (f->owner)
        *f->owner = NULL;
    f->m->running = NULL;
    mtl__trainer_destroy(f->trainer);
    mtl__scaling_free(&f->scaling);
    mtl__dataset_destroy(f->split[0]);
    mtl__dataset_destroy(f->split[1]);
    mtl__dataset_destroy(f->view[0]);
    mtl__dataset_destroy(f->view[1]);
    mtl__options_destroy(f->options);
    mtl__free(&f->m->ctx->al, f, sizeof *f);
}

void mtl__fit_free(mtl__fit *f)
{
    if (f)
        free_fit(f);
}

mtl_status mtl__split_validation(const mtl_options *o, const mtl_dataset **train,
                                 const mtl_dataset **valid, mtl_dataset *split[2], mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    double share = mtl__option_f64(o, g, "validation_split");
    int64_t rows = (*train)->rows;
    mtl_status st;
    if (*valid || share == 0)
        return MTL_OK;
    if (rows < 2)
        return MTL_FAIL(err, MTL_ERR_DATA, "validation_split needs at least 2 rows, not %lld",
                        (long long)rows);
    if (mtl__option_index(o, g, "validation") == VALIDATION_RANDOM) {
        uint64_t seed = (uint64_t)mtl__option_i64(o, g, "seed");
        st = mtl__dataset_split(*train, -1, 1 - share, seed, &split[0], &split[1], err);
    } else {
        /* The last rows; the training rows' number is rounded down (Keras' rule). */
        int64_t kept = mtl__min(rows - 1, mtl__max(1, (int64_t)((double)rows * (1 - share))));
        st = mtl__dataset_range(*train, 0, kept, &split[0], err);
        if (st == MTL_OK)
            st = mtl__dataset_range(*train, kept, rows - kept, &split[1], err);
    }
    *train = split[0];
    *valid = split[1];
    return st;
}

mtl_status mtl__fit_scaling(const mtl_model *m, const mtl__binding *train, const mtl_options *o,
                            mtl__scaling *out, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const mtl__allocator *al = &m->ctx->al;
    int64_t tasks = m->net.tasks;
    bool first = !m->pipe.is_fitted;
    bool targets = first && mtl__option_i64(o, g, "scale_targets");
    bool *fit_target = mtl__alloc(al, tasks * (int64_t)sizeof *fit_target);
    if (!fit_target)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for scaling");
    memset(fit_target, targets, (size_t)tasks * sizeof *fit_target);
    mtl_status st = mtl__scaling_create(m, train, first && mtl__option_i64(o, g, "scale_inputs"),
                                        (mtl__scaler_kind)mtl__option_index(o, g, "scaler"),
                                       first && mtl__option_i64(o, g, "clip_predictions"), fit_target,
                                       out, err);
    mtl__free(al, fit_target, tasks * (int64_t)sizeof *fit_target);
    return st;
}

static mtl_status read_sampling(const mtl__fit *f, const mtl__binding *train, const mtl_options *o,
                                mtl__train_settings *set, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const mtl__choice choice = mtl__option_choice(o, g, "sampling");
    const char *text = mtl__option_str(o, g, "sampling");
    mtl_status st = mtl__sampling_resolve(train, f->m, &choice, text, &set->sampling, err);
    if (st == MTL_OK && set->sampling.row)
        st = mtl__dataset_in_memory(train->data, "sampling", err);
    if (st == MTL_OK && set->sampling.row && !set->shuffle)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "sampling \"%.64s\" draws at random: it needs shuffle = 1", text);
    return st;
}

/* All that can fail before the model is changed. */
static mtl_status prepare(mtl__fit *f, const mtl_dataset *train, const mtl_dataset *valid,
                          const mtl_options *o, const mtl__fit_changes *changes, mtl_error *err)
{
    mtl__train_settings set = read_settings(o);
    mtl__binding first = {0}, judged = {0};
    mtl_status st;
    if (changes && changes->settings)
        changes->settings(changes->self, &set);
    MTL_TRY(st, mtl__split_validation(o, &train, &valid, f->split, err), fail);
    if (set.patience && !valid) {
        st = MTL_FAIL(err, MTL_ERR_INVALID, "patience needs validation rows: give a validation "
                                            "data set or the option \"validation_split\"");
        goto fail;
    }
    MTL_TRY(st, mtl__binding_create(f->m, train, "train", &first, err), fail);
    MTL_TRY(st, read_sampling(f, &first, o, &set, err), fail);
    if (valid)
        MTL_TRY(st, mtl__binding_create(f->m, valid, "valid", &judged, err), fail);
    MTL_TRY(st, mtl__first_biases_check(f->m, mtl__binding_is_sparse(&first), err), fail);
    MTL_TRY(st, mtl__fit_scaling(f->m, &first, o, &f->scaling, err), fail);
    if (valid && mtl__binding_is_sparse(&judged) &&
        (f->scaling.x_warp.knots || mtl__moves_zero(f->scaling.inputs, f->scaling.x_mean))) {
        st = MTL_FAIL(err, MTL_ERR_STATE,
                      "valid: sparse inputs are not for a model with a scaling that moves 0, which "
                      "the training rows give it");
        goto fail;
    }
    st = mtl__trainer_create(f->m, &set, &first, NULL, valid ? &judged : NULL, &f->trainer, err);
    if (st == MTL_OK && changes && changes->reserve)
        st = changes->reserve(changes->self, f->trainer, err);
    return st;
fail:
    mtl__binding_free(&first);
    mtl__binding_free(&judged);
    return st;
}

mtl_status mtl__fit_begin(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                          const mtl_options *o, const mtl__fit_changes *changes, mtl__fit **out,
                          mtl_error *err)
{
    mtl_status refused = mtl__members_refuse(m, "training", err);
    if (refused != MTL_OK)
        return refused;
    mtl__fit *f = mtl__alloc_zero(&m->ctx->al, sizeof *f);
    if (!f)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a fit");
    f->m = m;
    m->running = f;
    m->running_free = free_fit;
    mtl__checkpoint_init(&f->checkpoint, o, train, valid);
    mtl_status st = *f->checkpoint.path ? mtl__checkpoint_check(m, err) : MTL_OK;
    if (st == MTL_OK && *f->checkpoint.path)
        st = mtl__checkpoint_prepare(&f->checkpoint, err);
    if (st == MTL_OK)
        st = prepare(f, train, valid, o, changes, err);
    if (st != MTL_OK) {
        free_fit(f);
        return st;
    }
    mtl__scaling_apply(&f->scaling, m);
    mtl__model_uncalibrate(m);
    if (!m->is_set)
        mtl__model_draw(m, f->trainer->set.seed);
    f->trainer->draws_biases = !m->is_set && m->spec->initializer->hull > 0;
    m->is_set = true;
    mtl__trainer_start(f->trainer);
    if (changes && changes->trainer)
        st = changes->trainer(changes->self, f->trainer, err);
    if (st != MTL_OK) {
        free_fit(f);
        return st;
    }
    if (*f->checkpoint.path)
        mtl__checkpoint_hook(&f->checkpoint, f->trainer);
    *out = f;
    return MTL_OK;
}

void mtl__fit_finish(mtl__fit *f, mtl_report **report)
{
    mtl__trainer_end(f->trainer);
    if (report) {
        *report = f->trainer->report;
        f->trainer->report = NULL;
    }
}

mtl_status mtl__fit_changed(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, const mtl__fit_changes *changes,
                            mtl_report **report, mtl_error *err)
{
    mtl__fit *f;
    mtl_status st = mtl__fit_begin(m, train, valid, o, changes, &f, err);
    if (st != MTL_OK)
        return st;
    st = mtl__trainer_advance(f->trainer, INT64_MAX, err);
    if (st == MTL_OK)
        mtl__fit_finish(f, report);
    mtl__fit_free(f);
    return st;
}

mtl_status mtl__fit_all(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                        const mtl_options *o, mtl_report **report, mtl_error *err)
{
    return mtl__fit_changed(m, train, valid, o, NULL, report, err);
}

/* --- taking up a run --------------------------------------------------------------------------- */

static mtl_status restore(void *self, mtl__trainer *t, mtl_error *err)
{
    const mtl_status st = mtl__resumption_restore(self, t, err);
    t->draws_biases = t->step == 0 && mtl__first_biases_are_due(t->m);
    return st;
}

/* A run that was over when it was written is over again. */
static mtl_status resume(mtl__resumption *r, const mtl_dataset *train, const mtl_dataset *valid,
                         mtl_report **report, mtl_error *err)
{
    const mtl__fit_changes changes = {.self = r, .trainer = restore};
    mtl_status st = mtl__resumption_check(r, train, valid, err);
    if (st == MTL_OK)
        st = mtl__fit_changed(r->model, train, valid, r->options, &changes, report, err);
    return st;
}

mtl_status mtl__resume(mtl_context *ctx, const char *path, const mtl_dataset *train,
                       const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                       mtl_report **report, mtl_error *err)
{
    mtl__resumption r;
    mtl_status st = mtl__checkpoint_read(ctx, path, &r, err);
    if (st != MTL_OK)
        return st;
    if (o) {
        r.options->progress = o->progress;
        r.options->progress_user = o->progress_user;
        st = mtl__options_set_number(r.options, "time_limit",
                                     mtl__option_f64(o, &mtl__fit_options, "time_limit"), false, err);
    }
    if (st == MTL_OK)
        st = resume(&r, train, valid, report, err);
    if (st == MTL_OK) {
        *out = r.model;
        r.model = NULL;
    }
    mtl__resumption_free(&r);
    return st;
}
