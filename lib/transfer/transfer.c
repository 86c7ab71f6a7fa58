/* SPDX-License-Identifier: MIT */
#include "transfer/transfer.h"

#include <string.h>

#include "transfer/columns.h"
#include "transfer/guide.h"

/* --- strategies -------------------------------------------------------------------------------- */

enum { BOTH = MTL__ON_INPUTS | MTL__ON_TRUNK };

#define END                                                                                        \
    {                                                                                              \
        NULL, 0, 0, 0, NULL                                                                        \
    }
static const mtl__choice_param
    discriminative[] = {{"factor", 2.6, 1, 1000, NULL}, END},
    gradual[] = {{"every", 1, 1, 1000000, MTL__CHOICE_WHOLE}, END},
    l2_sp[] = {{"alpha", 0.1, 0, 1e9, NULL}, {"beta", 0.01, 0, 1e9, NULL}, END},
    l2_sp_fisher[] = {{"alpha", 10, 0, 1e9, NULL}, {"beta", 0.01, 0, 1e9, NULL}, END},
    distil[] = {{"alpha", 1, 0, 1e9, NULL}, {"temperature", 2, 0.01, 1000, NULL}, END},
    ewc[] = {{"lambda", 10, 0, 1e9, NULL}, END}, delta[] = {{"alpha", 0.01, 0, 1e9, NULL}, END},
    co_tuning[] = {{"lambda", 2.3, 0, 1e9, NULL}, END},
    bss[] = {{"eta", 0.001, 0, 1e9, NULL}, {"k", 1, 1, 1000000, MTL__CHOICE_WHOLE}, END},
    lora[] = {{"rank", 8, 1, 65536, MTL__CHOICE_WHOLE}, {"alpha", 8, 0, 1e6, NULL}, END},
    scored[] = {{"temperature", 0.1, 1e-6, 1e6, NULL}, END},
    bottleneck[] = {{"units", 8, 1, MTL__SIZE_MAX, MTL__CHOICE_WHOLE}, END};

static const mtl__strategy strategies[] = {
    /* The best of those below. */
    {.choice = {.name = "auto"}},
    /* Floors: what a transfer has to be compared with. */
    {.choice = {.name = "constant"}, .family = MTL__CONSTANT, .in_auto = true},
    {.choice = {.name = "linear"}, .family = MTL__HEAD, .features = MTL__ON_INPUTS, .in_auto = true},
    {.choice = {.name = "as_is"}, .family = MTL__AS_IS, .in_auto = true},
    {.choice = {.name = "statistics"}, .family = MTL__STATISTICS, .needs_known = true,
     .in_auto = true},
    /* The trunk as it is, and an exact head. */
    {.choice = {.name = "exact_probe"}, .family = MTL__HEAD, .features = MTL__ON_TRUNK,
     .in_auto = true},
    {.choice = {.name = "shift"}, .family = MTL__SHIFT, .features = BOTH, .in_auto = true},
    {.choice = {.name = "stacked"}, .family = MTL__HEAD, .features = BOTH, .in_auto = true},
    /* The same on as many of the trunk's layers as serve best. */
    {.choice = {.name = "cut_probe"}, .family = MTL__HEAD, .features = MTL__ON_TRUNK, .cuts = true,
     .in_auto = true},
    {.choice = {.name = "probe"}, .phases = 1, .phase = {{0, 1, false}}},
    /* The trunk as it is, and behind it an adapter of the task's own (Houlsby et al. 2019). */
    {.choice = {"bottleneck", bottleneck}, .features = MTL__ON_TRUNK, .adapts = true, .phases = 1,
     .phase = {{0, 1, false}}},
    /* "tune" with a few of the trunk's parameters alone. */
    {.choice = {.name = "bias_only"}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__bias_only},
    {.choice = {.name = "norm_only"}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__norm_only},
    /* The exact head first, then everything from there with a small rate (Kumar et al. 2022), by
       itself or with the known tasks. */
    {.choice = {.name = "tune"}, .features = MTL__ON_TRUNK, .in_auto = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}},
    {.choice = {"lora", lora}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__lora},
    /* The same with rates of their own for layers, held to where it began, or gone back towards it. */
    {.choice = {"discriminative", discriminative}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__discriminative},
    {.choice = {"gradual", gradual}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__gradual},
    {.choice = {"l2_sp", l2_sp}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__l2_sp},
    {.choice = {"l2_sp_fisher", l2_sp_fisher}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__l2_sp_fisher},
    {.choice = {"ewc", ewc}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__ewc},
    {.choice = {"delta", delta}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__delta},
    {.choice = {"bss", bss}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__bss},
    {.choice = {"co_tuning", co_tuning}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__co_tuning},
    {.choice = {"distil", distil}, .features = MTL__ON_TRUNK, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}, .guide = &mtl__distil},
    {.choice = {.name = "wise"}, .features = MTL__ON_TRUNK, .walks = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}},
    {.choice = {.name = "replay"}, .features = MTL__ON_TRUNK, .needs_known = true, .in_auto = true,
     .phases = 1, .phase = {{1, MTL__TRUNK_RATE, true}}},
    {.choice = {"scored", scored}, .features = MTL__ON_TRUNK, .needs_known = true, .scores = true,
     .phases = 1, .phase = {{1, MTL__TRUNK_RATE, true}}},
    {.choice = {.name = "gated"}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, true}}, .guide = &mtl__gated},
    {.choice = {.name = "a_gem"}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, true}}, .guide = &mtl__a_gem},
    /* The same with the domains drawn together; then, in a new domain, what its labels say. */
    {.choice = {.name = "coral"}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 2,
     .phase = {{1, MTL__TRUNK_RATE, true, MTL__CORAL}, {1, MTL__TRUNK_RATE, true}}},
    {.choice = {.name = "mmd"}, .features = MTL__ON_TRUNK, .needs_known = true, .phases = 2,
     .phase = {{1, MTL__TRUNK_RATE, true, MTL__MMD}, {1, MTL__TRUNK_RATE, true}}},
    /* The same with the head by steps. */
    {.choice = {.name = "lp_ft"}, .phases = 2,
     .phase = {{0, 1, false}, {1, MTL__TRUNK_RATE, true}}},
    {.choice = {.name = "fine_tune"}, .in_auto = true, .phases = 1,
     .phase = {{MTL__TRUNK_RATE, 1, true}}},
    /* No transfer. */
    {.choice = {.name = "scratch"}, .fresh = true, .in_auto = true, .phases = 1,
     .phase = {{1, MTL__TRUNK_RATE, false}}},
};

const mtl__choice_table mtl__strategies = MTL__CHOICE_TABLE("strategy", strategies);

const mtl__strategy *mtl__strategy_at(int64_t number)
{
    return &strategies[number];
}

void mtl__strategy_values(const mtl_options *o, const mtl__strategy *how,
                          double value[MTL__CHOICE_PARAMS])
{
    const mtl__choice given = mtl__option_choice(o, &mtl__transfer_options, "strategy");
    const mtl__choice_param *p = how->choice.param;
    for (int i = 0; i < MTL__CHOICE_PARAMS; i++)
        value[i] = 0;
    for (int i = 0; p && p[i].key; i++)
        value[i] = given.row == how ? given.value[i] : p[i].initial;
}

int64_t mtl__strategy_count(void)
{
    return MTL__COUNT_OF(strategies);
}

static const mtl__option table[] = {
    MTL__OPTION_STR("strategy", "auto",
                    "auto|constant|linear|as_is|statistics|exact_probe|shift|stacked|cut_probe|probe|"
                    "bottleneck:units=8|bias_only|norm_only|tune|lora:rank=8,alpha=8|discriminative:factor=2.6|gradual:every=1|"
                    "l2_sp:alpha=0.1,beta=0.01|l2_sp_fisher:alpha=10,beta=0.01|ewc:lambda=10|"
                    "delta:alpha=0.01|bss:eta=0.001,k=1|co_tuning:lambda=2.3|"
                    "distil:alpha=1,temperature=2|wise|replay|scored:temperature=0.1|gated|a_gem|coral|mmd|lp_ft|fine_tune|scratch",
                    &mtl__strategies, "how the source's network is used; auto = what serves best"),
    MTL__OPTION_I64("epochs", 100, 1, 1000000, "passes over the target rows in each phase"),
    MTL__OPTION_I64("batch_size", 32, 1, 16777216, "target rows of a step, and known rows beside"),
    MTL__OPTION_F64("learning_rate", 0.01, 0, 1e30, "step size of the heads"),
    MTL__OPTION_F64("trunk_rate", 0.1, 0, 1, "the trunk's step size as a factor of the heads'"),
    MTL__OPTION_F64("replay", 1, 0, 1e6, "factor of the known tasks' losses"),
    MTL__OPTION_F64("keep_known", -1, -1, 1e30,
                    "share by which no known task's loss on the known rows may rise; < 0 = any rise"),
    MTL__OPTION_F64("align", 1, 0, 1e30, "factor of the distance that coral and mmd make small"),
    MTL__OPTION_I64("folds", 5, 2, 100, "parts of the target rows to choose by"),
    MTL__OPTION_STR("group_by", "", "", NULL,
                    "label column of the target whose rows of one value stay in one fold; no task"),
    MTL__OPTION_I64("simulations", 4, 0, 100,
                    "known tasks at most that auto moves to as if they were new, to choose by"),
    MTL__OPTION_I64("members", 1, 1, 16,
                    "models at most that auto averages, exact heads being one together; 1 = one plain model"),
    MTL__UPDATE_OPTIONS,
    MTL__OPTION_F64("l1", 0, 0, 1e30, "adds l1 * sum |w| over the trained weights"),
    MTL__OPTION_F64("l2", 0, 0, 1e30, "adds l2 / 2 * sum w^2 over the trained weights"),
    MTL__OPTION_I64("shuffle", 1, 0, 1, "1 = a new random order of the rows in each epoch"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991, "of new weights, row order, dropout and folds"),
    MTL__OPTION_F64("time_limit", 0, 0, 1e9, "seconds after which it ends; 0 = none"),
};

const mtl__option_group mtl__transfer_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_TRANSFER, "transfer", table, true);

/* --- the call ---------------------------------------------------------------------------------- */

/* The label columns of the target that are meant: those that the source does not know as tasks; or, if
   there is none, those that it does know, in a new domain. */
static mtl_status take_tasks(mtl__job *job, const mtl_dataset *target, mtl__new_task *task,
                             mtl_error *err)
{
    const char *group_by = mtl__option_str(job->o, &mtl__transfer_options, "group_by");
    const mtl_spec *known = job->source->spec;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < target->tasks && st == MTL_OK; i++) {
        mtl__new_task *t = &task[job->tasks];
        t->name = target->labels[i].task;
        const int64_t number = mtl__spec_task(known, t->name);
        if ((number >= 0) != job->same || strcmp(t->name, group_by) == 0)
            continue;
        t->kind = job->same ? known->task[number].kind : 0;
        t->outputs = job->same ? known->task[number].outputs : 0;
        if (!job->same)
            st = mtl__dataset_kind(target, i, &t->kind, &t->outputs, err);
        job->tasks++;
    }
    return st;
}

static mtl_status find_tasks(mtl__job *job, const mtl_dataset *target, mtl__new_task *task,
                             mtl_error *err)
{
    const char *group_by = mtl__option_str(job->o, &mtl__transfer_options, "group_by");
    mtl_status st = take_tasks(job, target, task, err);
    if (st == MTL_OK && job->tasks == 0) {
        job->same = true;
        st = take_tasks(job, target, task, err);
    }
    if (st == MTL_OK && job->tasks == 0)
        st = MTL_FAIL(err, MTL_ERR_DATA,
                      "target: the data set has no labels; rows without any need those of a task of "
                      "the model, all NaN");
    if (st == MTL_OK && mtl__keeps_known(job) >= 0 && (job->same || !job->known))
        st = MTL_FAIL(err, MTL_ERR_INVALID,
                      job->same ? "keep_known is for new tasks, not for known ones in a new domain"
                                : "keep_known needs the known tasks' rows");
    if (st == MTL_OK && *group_by && mtl__dataset_task(target, group_by) < 0)
        st = MTL_FAIL(err, MTL_ERR_NAME, "group_by: the target has no labels \"%.64s\"", group_by);
    return st;
}

/* Why a strategy is not for this source, if it is not. */
static mtl_status check_strategy(const mtl__job *job, const mtl__strategy *how, mtl_error *err)
{
    const char *name = how->choice.name;
    if (how->cuts && mtl__cut_depths(job->source->spec) < 2)
        return MTL_FAIL(err, MTL_ERR_STATE, "strategy \"%s\" needs a trunk of two dense layers", name);
    if ((how->cuts || how->scores) && job->same)
        return MTL_FAIL(err, MTL_ERR_INVALID, "strategy \"%s\" is for new tasks", name);
    if ((how->fresh || how->cuts) && mtl__keeps_known(job) >= 0)
        return MTL_FAIL(err, MTL_ERR_INVALID, "strategy \"%s\" keeps no known task (keep_known)", name);
    if (how->family == MTL__STATISTICS && !job->same)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "strategy \"%s\" is for tasks of the model in a new domain", name);
    if (mtl__strategy_needs_trunk(how) && !job->source->net.trunk_layers)
        return MTL_FAIL(err, MTL_ERR_STATE, "strategy \"%s\" needs a trunk", name);
    if (how->family != MTL__STATISTICS && !mtl__strategy_serves(job, how))
        return MTL_FAIL(err, MTL_ERR_STATE,
                        "strategy \"%s\" is not for an ensemble in one network, nor for an "
                        "architecture other than \"shared\"%s: take auto, probe, lp_ft, fine_tune or "
                        "scratch",
                        name, how->adapts ? " and \"adapter\"" : "");
    if (how->needs_known && !job->known)
        return MTL_FAIL(err, MTL_ERR_INVALID, "strategy \"%s\" needs the known tasks' rows", name);
    return MTL_OK;
}

static mtl_status transfer(const mtl__job *job, const mtl_dataset *target, mtl_model **out,
                           mtl_report **report, mtl_error *err)
{
    const mtl__option_group *g = &mtl__transfer_options;
    const mtl__strategy *how = mtl__option_choice(job->o, g, "strategy").row;
    const bool chooses = how == &strategies[0];
    const mtl__choice weighting = mtl__option_choice(job->o, g, "weighting");
    mtl_status st = chooses ? MTL_OK : check_strategy(job, how, err);
    if (st == MTL_OK && mtl__aggregation_uses(&weighting) & MTL__AGG_CHOICE)
        st = mtl__aggregator_check(&weighting, "", job->tasks, err);
    if (st != MTL_OK)
        return st;
    if (chooses || how->walks || (mtl__variants(how) > 1 && mtl__solves_heads(job, how) &&
                                  how->family != MTL__STEPS))
        return mtl__transfer_chosen(job, target, chooses ? NULL : how, out, report, err);
    return mtl__move(job, target, how, how->family == MTL__STEPS ? -1 : 0, NULL, out, report, err);
}

static mtl_status report_columns(const mtl__column_match *c, mtl_model **out, mtl_report **report,
                                 mtl_error *err)
{
    const struct {
        const char *name;
        int64_t count;
    } part[] = {{"kept", c->kept}, {"added", c->added}, {"dropped", c->dropped}};
    mtl_status st = MTL_OK;
    for (int i = 0; i < MTL__COUNT_OF(part) && st == MTL_OK; i++)
        st = mtl__report_number(*report, "inputs", part[i].name, NULL, (double)part[i].count, err);
    if (st != MTL_OK) {
        mtl__report_destroy(*report);
        mtl__model_destroy(*out);
        *report = NULL;
        *out = NULL;
    }
    return st;
}

mtl_status mtl__transfer(const mtl_model *source, const mtl_dataset *target,
                         const mtl_dataset *known, const mtl_options *o, mtl_model **out,
                         mtl_report **report, mtl_error *err)
{
    const mtl__option_group *g = &mtl__transfer_options;
    const mtl__allocator *al = &source->ctx->al;
    const double limit = mtl__option_f64(o, g, "time_limit");
    const int64_t room = mtl__max(1, target->tasks);
    mtl__new_task *task = mtl__alloc_array(al, room, sizeof *task);
    mtl__job job = {.source = mtl__members_leading(source),
                    .known = known,
                    .o = o,
                    .task = task,
                    .deadline = limit > 0 ? mtl__seconds() + limit : 0};
    mtl__column_match columns = {0};
    if (!task)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld new tasks", (long long)room);
    mtl_status st = find_tasks(&job, target, task, err);
    if (st == MTL_OK)
        st = mtl__column_match_make(job.source, target, known, &columns, err);
    if (columns.source)
        job.source = columns.source;
    if (columns.known)
        job.known = columns.known;
    if (st == MTL_OK)
        st = transfer(&job, target, out, report, err);
    if (st == MTL_OK && columns.source && report)
        st = report_columns(&columns, out, report, err);
    mtl__column_match_free(&columns);
    mtl__free(al, task, room * (int64_t)sizeof *task);
    return st;
}
