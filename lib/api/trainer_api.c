/* SPDX-License-Identifier: MIT */
/* Fit, in one call and by parts; resume and partial fit. */
#include "api/api.h"

#include <math.h>

#include "train/partial_fit.h"
#include "train/preset.h"
#include "train/verdict.h"

/* Check the options and claim the model. */
static mtl_status claim(mtl_model *m, const mtl_options *o, mtl_error *err)
{
    mtl_status st = mtl__options_expect(o, &mtl__fit_options, err);
    return st == MTL_OK ? mtl__model_acquire(m, err) : st;
}

mtl_status mtl_fit(mtl_model *model, const mtl_dataset *train, const mtl_dataset *valid,
                   const mtl_options *options, mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(train);
    mtl_status st = claim(model, options, err);
    if (st != MTL_OK)
        return st;
    const mtl__preset *preset = NULL;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__preset_find(model, train, options, &preset, err);
    if (st == MTL_OK && preset)
        st = mtl__preset_fit(model, preset, train, valid, options, report, err);
    else if (st == MTL_OK && mtl__race_is_wanted(options))
        st = mtl__race_fit(model, train, valid, options, report, err);
    else if (st == MTL_OK && mtl__option_i64(options, &mtl__fit_options, "judge"))
        st = mtl__verdict_fit(model, train, valid, options, NULL, report, err);
    else if (st == MTL_OK)
        st = mtl__fit_all(model, train, valid, options, report, err);
    mtl__fp_leave(fp);
    mtl__model_release(model);
    return st;
}

mtl_status mtl_partial_fit(mtl_model *model, const mtl_dataset *data, const mtl_options *options,
                           mtl_report **report, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(data);
    mtl_status st = claim(model, options, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__preset_refuse(options, "mtl_partial_fit() trains", err);
    if (st == MTL_OK)
        st = mtl__partial_fit(model, data, options, report, err);
    mtl__fp_leave(fp);
    mtl__model_release(model);
    return st;
}

mtl_status mtl_resume(mtl_context *ctx, const char *path, const mtl_dataset *train,
                      const mtl_dataset *valid, const mtl_options *options, mtl_model **out,
                      mtl_report **report, mtl_error *err)
{
    REQUIRE(path);
    REQUIRE(train);
    REQUIRE(out);
    mtl_status st = mtl__options_expect(options, &mtl__fit_options, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__resume(ctx, path, train, valid, options, out, report, err);
    mtl__fp_leave(fp);
    return st;
}

/* --- the trainer ------------------------------------------------------------------------------- */

struct mtl_trainer {
    mtl_context *ctx;
    mtl__fit *fit; /* NULL once finished, failed, or gone with its model */
};

/* The fit ends: the model is free again. */
static void let_go(mtl_trainer *t)
{
    mtl_model *m = t->fit ? t->fit->m : NULL;
    mtl__fit_free(t->fit);
    if (m)
        mtl__model_release(m);
}

static mtl_status begin(mtl_trainer *t, mtl_model *m, const mtl_dataset *train,
                        const mtl_dataset *valid, const mtl_options *o, mtl_error *err)
{
    mtl_dataset *view[2] = {NULL, NULL};
    mtl_options *copy = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__preset_refuse(o, "a trainer trains", err), fail);
    if (mtl__option_i64(o, &mtl__fit_options, "judge"))
        return MTL_FAIL(err, MTL_ERR_INVALID, "a trainer trains one network: judge is for mtl_fit()");
    MTL_TRY(st, mtl__options_copy(o, &mtl__fit_options, &copy, err), fail);
    MTL_TRY(st, mtl__dataset_range(train, 0, train->rows, &view[0], err), fail);
    if (valid)
        MTL_TRY(st, mtl__dataset_range(valid, 0, valid->rows, &view[1], err), fail);
    MTL_TRY(st, mtl__fit_begin(m, view[0], view[1], copy, NULL, &t->fit, err), fail);
    t->fit->owner = &t->fit;
    t->fit->options = copy;
    t->fit->view[0] = view[0];
    t->fit->view[1] = view[1];
    return MTL_OK;
fail:
    mtl__options_destroy(copy);
    mtl__dataset_destroy(view[0]);
    mtl__dataset_destroy(view[1]);
    return st;
}

static mtl_status make(const mtl_model *m, mtl_trainer **out, mtl_error *err)
{
    mtl_context *ctx;
    mtl_status st = mtl__context_ref(m->ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_trainer *t = mtl__alloc_zero(&ctx->al, sizeof *t);
    if (!t) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a trainer");
    }
    t->ctx = ctx;
    *out = t;
    return MTL_OK;
}

mtl_status mtl_trainer_create(mtl_model *model, const mtl_dataset *train, const mtl_dataset *valid,
                              const mtl_options *options, mtl_trainer **out, mtl_error *err)
{
    REQUIRE(model);
    REQUIRE(train);
    REQUIRE(out);
    mtl_status st = claim(model, options, err);
    if (st != MTL_OK)
        return st;
    mtl_trainer *t = NULL;
    st = make(model, &t, err);
    if (st == MTL_OK) {
        mtl__fpstate fp = mtl__fp_enter();
        st = begin(t, model, train, valid, options, err);
        mtl__fp_leave(fp);
    }
    if (st == MTL_OK) {
        *out = t;
        return MTL_OK;
    }
    mtl__model_release(model);
    mtl_trainer_destroy(t);
    return st;
}

static mtl_status check_alive(const mtl_trainer *t, mtl_error *err)
{
    return t->fit ? MTL_OK
                  : MTL_FAIL(err, MTL_ERR_STATE,
                             "the trainer has finished or failed, or its model is gone");
}

static mtl_status advance(mtl_trainer *t, int64_t steps, bool to_epoch, int32_t *more,
                          mtl_error *err)
{
    mtl_status st = check_alive(t, err);
    if (st != MTL_OK)
        return st;
    mtl__trainer *x = t->fit->trainer;
    int64_t epoch = x->epoch;
    mtl__fpstate fp = mtl__fp_enter();
    if (!to_epoch)
        st = mtl__trainer_advance(x, steps, err);
    while (to_epoch && st == MTL_OK && !x->reason && x->epoch == epoch)
        st = mtl__trainer_advance(x, 1, err);
    bool goes_on = st == MTL_OK && !x->reason;
    if (st != MTL_OK)
        let_go(t);
    mtl__fp_leave(fp);
    if (st == MTL_OK && more)
        *more = goes_on;
    return st;
}

mtl_status mtl_trainer_step(mtl_trainer *trainer, int64_t steps, int32_t *more, mtl_error *err)
{
    REQUIRE(trainer);
    if (steps < 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "steps must be 0 or more, not %lld", (long long)steps);
    return advance(trainer, steps, false, more, err);
}

mtl_status mtl_trainer_epoch(mtl_trainer *trainer, int32_t *more, mtl_error *err)
{
    REQUIRE(trainer);
    return advance(trainer, 0, true, more, err);
}

mtl_status mtl_trainer_metric(const mtl_trainer *trainer, const char *name, double *value,
                              mtl_error *err)
{
    REQUIRE(trainer);
    REQUIRE(name);
    REQUIRE(value);
    mtl_status st = check_alive(trainer, err);
    if (st != MTL_OK)
        return st;
    return mtl__trainer_metric(trainer->fit->trainer, name, value, err);
}

mtl_status mtl_trainer_checkpoint(mtl_trainer *trainer, const char *path, mtl_error *err)
{
    REQUIRE(trainer);
    REQUIRE(path);
    mtl_status st = check_alive(trainer, err);
    if (st != MTL_OK)
        return st;
    st = mtl__checkpoint_check(trainer->fit->m, err);
    if (st != MTL_OK)
        return st;
    mtl__checkpoint *c = &trainer->fit->checkpoint;
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__checkpoint_prepare(c, err);
    if (st == MTL_OK)
        st = mtl__checkpoint_write(c, trainer->fit->trainer, path, err);
    mtl__fp_leave(fp);
    return st;
}

mtl_status mtl_trainer_finish(mtl_trainer *trainer, mtl_report **report, mtl_error *err)
{
    REQUIRE(trainer);
    mtl_status st = check_alive(trainer, err);
    if (st != MTL_OK)
        return st;
    mtl__fpstate fp = mtl__fp_enter();
    mtl__fit_finish(trainer->fit, report);
    let_go(trainer);
    mtl__fp_leave(fp);
    return MTL_OK;
}

void mtl_trainer_destroy(mtl_trainer *trainer)
{
    if (!trainer)
        return;
    mtl_context *ctx = trainer->ctx;
    if (trainer->fit) {
        mtl__fpstate fp = mtl__fp_enter();
        mtl__fit_finish(trainer->fit, NULL);
        let_go(trainer);
        mtl__fp_leave(fp);
    }
    mtl__free(&ctx->al, trainer, sizeof *trainer);
    mtl__context_unref(ctx);
}
