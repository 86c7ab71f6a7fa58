/* SPDX-License-Identifier: MIT */
#include "transfer/transfer.h"

#include <math.h>
#include <string.h>

/* --- strategies -------------------------------------------------------------------------------- */

typedef struct phase {
    double trunk;    /* factor of the trunk's rate; TRUNK_RATE = the option's value; 0 = frozen */
    double all;      /* factor of all rates, likewise */
    bool known;      /* the known tasks take part: their data if given, and the target's labels */
} phase;

#define TRUNK_RATE (-1.0)
#define PHASES 2

typedef struct strategy {
    mtl__choice_row choice;
    bool fresh; /* a new network for the new tasks alone */
    int phases;
    phase phase[PHASES];
} strategy;

static const strategy strategies[] = {
    {{.name = "fine_tune"}, false, 1, {{TRUNK_RATE, 1, true}}},
    /* The trunk as it is; only the new heads are trained. */
    {{.name = "probe"}, false, 1, {{0, 1, false}}},
    /* Kumar et al. 2022: first the head, then everything from there with a small rate. */
    {{.name = "lp_ft"}, false, 2, {{0, 1, false}, {1, TRUNK_RATE, true}}},
    /* No transfer: what it has to be compared with. */
    {{.name = "scratch"}, true, 1, {{1, TRUNK_RATE, false}}},
};

static const mtl__choice_table strategy_table = MTL__CHOICE_TABLE("strategy", strategies);

static const mtl__option table[] = {
    MTL__OPTION_STR("strategy", "fine_tune", "fine_tune|probe|lp_ft|scratch", &strategy_table,
                    "how the source's network is used"),
    MTL__OPTION_I64("epochs", 100, 1, 1000000, "passes over the target rows in each phase"),
    MTL__OPTION_I64("batch_size", 32, 1, 16777216, "target rows of a step, and known rows beside"),
    MTL__OPTION_F64("learning_rate", 0.01, 0, 1e30, "step size of the heads"),
    MTL__OPTION_F64("trunk_rate", 0.1, 0, 1, "the trunk's step size as a factor of the heads'"),
    MTL__OPTION_F64("replay", 1, 0, 1e6, "factor of the known tasks' losses"),
    MTL__UPDATE_OPTIONS,
    MTL__OPTION_F64("l1", 0, 0, 1e30, "adds l1 * sum |w| over the trained weights"),
    MTL__OPTION_F64("l2", 0, 0, 1e30, "adds l2 / 2 * sum w^2 over the trained weights"),
    MTL__OPTION_I64("shuffle", 1, 0, 1, "1 = a new random order of the rows in each epoch"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991, "of new weights, row order and dropout"),
    MTL__OPTION_F64("time_limit", 0, 0, 1e9, "seconds after which it ends; 0 = none"),
};

const mtl__option_group mtl__transfer_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_TRANSFER, "transfer", table, true);

/* --- the new model ----------------------------------------------------------------------------- */

/* Add the label columns that the source does not know as tasks. */
static mtl_status add_new_tasks(mtl_spec *spec, const mtl_model *source, const mtl_dataset *target,
                                mtl_error *err)
{
    int64_t added = 0;
    for (int64_t i = 0; i < target->tasks; i++) {
        const char *name = target->labels[i].task;
        int32_t kind;
        int64_t outputs;
        if (mtl__spec_task(source->spec, name) >= 0)
            continue;
        mtl_status st = mtl__dataset_kind(target, i, &kind, &outputs, err);
        if (st == MTL_OK)
            st = mtl__spec_add_task(spec, name, kind, outputs, err);
        if (st != MTL_OK)
            return st;
        added++;
    }
    if (added == 0)
        return MTL_FAIL(err, MTL_ERR_DATA,
                        "target: the data set has labels of no task that is new to the model");
    return MTL_OK;
}

static mtl_status make_model(const mtl_model *source, const mtl_dataset *target,
                             const strategy *how, uint64_t seed, mtl_model **out, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *m = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__spec_clone(source->spec, how->fresh, &spec, err), done);
    MTL_TRY(st, add_new_tasks(spec, source, target, err), done);
    MTL_TRY(st, mtl__model_create_blank(spec, &m, err), done);
    mtl__model_draw(m, seed);
    if (!how->fresh)
        mtl__model_adopt(m, source);
    m->is_set = true;
    *out = m;
done:
    mtl__spec_destroy(spec);
    return st;
}

/* --- running ----------------------------------------------------------------------------------- */

/* What a transfer holds while it runs. */
typedef struct transfer {
    mtl_model *m; /* the new one */
    const mtl_model *source;
    const mtl_dataset *target, *known;
    const strategy *how;
    const mtl_options *o;
    mtl__scaling scaling;
    double *task_factor; /* [tasks of m] */
    mtl__trainer *trainer;
    mtl_report *report; /* of the last phase */
    double deadline;    /* 0 = none */
} transfer;

static double of_trunk_rate(const transfer *x, double factor)
{
    if (factor != TRUNK_RATE)
        return factor;
    return mtl__option_f64(x->o, &mtl__transfer_options, "trunk_rate");
}

static mtl__train_settings settings_of(const transfer *x, const phase *p)
{
    const mtl__option_group *g = &mtl__transfer_options;
    const mtl_options *o = x->o;
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
        .progress = o ? o->progress : NULL,
        .progress_user = o ? o->progress_user : NULL,
    };
    mtl__read_update(o, g, &set);
    if (x->deadline > 0) {
        double left = x->deadline - mtl__seconds();
        set.time_limit = left > 1e-9 ? left : 1e-9; /* at least one step */
    }
    return set;
}

static mtl_status prepare(transfer *x, mtl_error *err)
{
    const mtl__allocator *al = &x->m->ctx->al;
    int64_t tasks = x->m->net.tasks;
    mtl__binding target = {0};
    double replay = mtl__option_f64(x->o, &mtl__transfer_options, "replay");
    mtl_status st = mtl__binding_create(x->m, x->target, "target", &target, err);
    bool *is_new = mtl__alloc(al, tasks * (int64_t)sizeof *is_new);
    x->task_factor = mtl__alloc(al, tasks * (int64_t)sizeof *x->task_factor);
    if (st == MTL_OK && (!is_new || !x->task_factor))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a transfer");
    if (st == MTL_OK) {
        for (int64_t t = 0; t < tasks; t++) {
            is_new[t] = mtl__spec_task(x->source->spec, x->m->spec->task[t].name) < 0;
            x->task_factor[t] = is_new[t] ? 1 : replay;
        }
        st = mtl__scaling_create(x->m, &target, x->how->fresh, MTL__SCALER_AUTO, is_new,
                                 &x->scaling, err);
    }
    if (is_new)
        mtl__free(al, is_new, tasks * (int64_t)sizeof *is_new);
    mtl__binding_free(&target);
    return st;
}

static mtl_status make_trainer(transfer *x, const phase *p, mtl_error *err)
{
    mtl__train_settings set = settings_of(x, p);
    mtl__binding first = {0}, second = {0};
    bool with_known = x->known && p->known;
    mtl_status st = mtl__binding_create(x->m, x->target, "target", &first, err);
    for (int64_t t = 0; t < first.tasks && !p->known; t++)
        if (mtl__spec_task(x->source->spec, x->m->spec->task[t].name) >= 0)
            first.label[t] = -1;
    if (st == MTL_OK && with_known)
        st = mtl__binding_create(x->m, x->known, "known", &second, err);
    if (st == MTL_OK)
        return mtl__trainer_create(x->m, &set, &first, with_known ? &second : NULL, NULL,
                                   &x->trainer, err);
    mtl__binding_free(&first);
    return st;
}

static mtl_status run_phase(transfer *x, const phase *p, bool *go_on, mtl_error *err)
{
    mtl_status st = make_trainer(x, p, err);
    if (st == MTL_OK)
        st = mtl__trainer_run(x->trainer, err);
    if (st != MTL_OK)
        return st;
    *go_on = strcmp(x->trainer->reason, "epochs") == 0;
    mtl__report_destroy(x->report);
    x->report = x->trainer->report;
    x->trainer->report = NULL;
    mtl__trainer_destroy(x->trainer);
    x->trainer = NULL;
    return MTL_OK;
}

static void free_transfer(transfer *x)
{
    const mtl__allocator *al = &x->m->ctx->al;
    mtl__trainer_destroy(x->trainer);
    mtl__report_destroy(x->report);
    mtl__scaling_free(&x->scaling);
    if (x->task_factor)
        mtl__free(al, x->task_factor, x->m->net.tasks * (int64_t)sizeof *x->task_factor);
    mtl__free(al, x, sizeof *x);
}

static mtl_status run(transfer *x, mtl_report **report, mtl_error *err)
{
    bool go_on = true;
    double limit = mtl__option_f64(x->o, &mtl__transfer_options, "time_limit");
    x->deadline = limit > 0 ? mtl__seconds() + limit : 0;
    mtl_status st = prepare(x, err);
    if (st == MTL_OK)
        mtl__scaling_apply(&x->scaling, x->m);
    for (int i = 0; i < x->how->phases && st == MTL_OK && go_on; i++)
        st = run_phase(x, &x->how->phase[i], &go_on, err);
    if (st == MTL_OK)
        st = mtl__report_text(x->report, "strategy", x->how->choice.name, err);
    if (st == MTL_OK && report) {
        *report = x->report;
        x->report = NULL;
    }
    return st;
}

mtl_status mtl__transfer(const mtl_model *source, const mtl_dataset *target,
                         const mtl_dataset *known, const mtl_options *o, mtl_model **out,
                         mtl_report **report, mtl_error *err)
{
    const mtl__option_group *g = &mtl__transfer_options;
    const strategy *how = mtl__option_choice(o, g, "strategy").row;
    mtl_model *m;
    source = mtl__members_leading(source);
    mtl_status st =
        make_model(source, target, how, (uint64_t)mtl__option_i64(o, g, "seed"), &m, err);
    if (st != MTL_OK)
        return st;
    transfer *x = mtl__alloc_zero(&m->ctx->al, sizeof *x);
    if (!x) {
        mtl__model_destroy(m);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a transfer");
    }
    *x = (transfer){
        .m = m, .source = source, .target = target, .known = known, .how = how, .o = o};
    st = run(x, report, err);
    free_transfer(x);
    if (st == MTL_OK)
        *out = m;
    else
        mtl__model_destroy(m);
    return st;
}
