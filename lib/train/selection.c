/* SPDX-License-Identifier: MIT */
/* Candidates on parts of the rows, what they predict of the rows left out, and the model of members
   that follows from it. */
#include <math.h>

#include "train/candidate.h"

/* All rows that take part, every label and input checked where it stands in the caller's data. */
static mtl_status bind(mtl__selection *s, const mtl_dataset *valid, mtl_error *err)
{
    const mtl_dataset *const parts[] = {s->train, valid};
    mtl__binding seen;
    mtl_status st = MTL_OK;
    if (!valid)
        return mtl__binding_create(s->m, s->train, "train", &s->all, err);
    for (int i = 0; i < 2 && st == MTL_OK; i++) {
        st = mtl__binding_create(s->m, parts[i], i ? "valid" : "train", &seen, err);
        if (st == MTL_OK)
            mtl__binding_free(&seen);
    }
    if (st == MTL_OK)
        st = mtl__dataset_concat(2, parts, &s->joint, err);
    return st == MTL_OK ? mtl__binding_create(s->m, s->joint, "valid", &s->all, err) : st;
}

static mtl_status deal(mtl__selection *s, mtl_error *err)
{
    const mtl__option_group *g = &mtl__fit_options;
    const char *group_by = mtl__option_str(s->o, g, "group_by");
    const int64_t group = *group_by ? mtl__dataset_task(s->all.data, group_by) : -1;
    if (*group_by && group < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "group_by: the data has no labels \"%.64s\"", group_by);
    const int64_t count = mtl__min(mtl__option_i64(s->o, g, "folds"), s->train->rows / 2);
    mtl_status st = mtl__folds_deal(s->m, &s->all, count, group, s->joint ? s->train->rows : 0,
                                    (uint64_t)mtl__option_i64(s->o, g, "seed"), &s->folds, err);
    const int64_t run = mtl__option_i64(s->o, g, "folds_run");
    s->run = run ? mtl__min(run, s->folds.count) : s->folds.count;
    return st;
}

static void take(mtl__selection *s, mtl__arena *a)
{
    const mtl_model *m = s->m;
    const char *list = mtl__option_str(s->o, &mtl__fit_options, "candidates"), *word;
    int64_t length;
    s->column = mtl__arena_take(a, s->all.data->inputs, sizeof *s->column);
    s->fits = mtl__arena_take(a, m->net.tasks, sizeof *s->fits);
    s->turns = mtl__arena_take(a, MTL__KINDS * s->run, sizeof *s->turns);
    s->mix.weight = mtl__arena_take(a, MTL__KINDS * m->net.tasks, sizeof *s->mix.weight);
    s->mix.loss = mtl__arena_take(a, (MTL__KINDS + 1) * m->net.tasks, sizeof *s->mix.loss);
    while ((word = mtl__next_word(&list, &length)))
        for (int k = 0; k < MTL__KINDS; k++)
            if (!s->mix.held[k] &&
                mtl__text_index(mtl__candidate_rows[k].choice.name, word, length) == 0)
                s->mix.held[k] =
                    mtl__arena_take(a, s->all.data->rows, m->net.outputs * (int64_t)sizeof(float));
}

static mtl_status reserve(mtl__selection *s, mtl__arena *a, mtl_error *err)
{
    const int64_t numbers = s->all.data->rows * s->m->net.outputs;
    take(s, a);
    if (!mtl__arena_reserve(a, &s->m->ctx->al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for predictions of %lld rows",
                        (long long)s->all.data->rows);
    take(s, a);
    for (int k = 0; k < MTL__KINDS; k++)
        for (int64_t i = 0; s->mix.held[k] && i < numbers; i++)
            s->mix.held[k][i] = NAN;
    return MTL_OK;
}

/* Those that the options name, from simple to costly. */
static mtl_status run_candidates(mtl__selection *s, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int k = 0; k < MTL__KINDS && st == MTL_OK; k++)
        if (s->mix.held[k])
            st = mtl__candidate_rows[k].run(s, k, err);
    return st;
}

mtl_status mtl__selection_run(mtl_model *m, bool own_shape, const mtl_dataset *train,
                              const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                              mtl_report **report, mtl_error *err)
{
    const double limit = mtl__option_f64(o, &mtl__fit_options, "time_limit");
    mtl__selection s = {
        .m = m, .train = train, .o = o, .own_shape = own_shape, .begun = mtl__seconds()};
    mtl__arena arena = {0};
    mtl_model *net = NULL;
    mtl_status st;
    s.deadline = limit > 0 ? s.begun + limit : 0;
    s.mix.m = m;
    s.mix.folds = &s.folds;
    MTL_TRY(st, bind(&s, valid, err), done);
    MTL_TRY(st, deal(&s, err), done);
    MTL_TRY(st, reserve(&s, &arena, err), done);
    MTL_TRY(st, mtl__scaling_create(m, &s.all, false, 0, false, s.fits, &s.scaling, err), done);
    s.mix.zero_weight = s.scaling.zero_weight;
    s.mix.class_weight = s.scaling.class_weight;
    MTL_TRY(st, run_candidates(&s, err), done);
    s.is_cut = s.is_cut || mtl__selection_is_over(&s);
    MTL_TRY(st, mtl__selection_result(&s, &net, err), done);
    MTL_TRY(st, mtl__selection_report(&s, err), done);
    *out = net;
    *report = s.report;
    net = NULL;
    s.report = NULL;
done:
    mtl__model_destroy(net);
    for (int64_t k = 0; k < s.count; k++)
        mtl__model_destroy(s.list[k].net);
    mtl__free(&m->ctx->al, s.list, s.capacity * (int64_t)sizeof *s.list);
    for (int k = 0; k < MTL__KINDS && s.turns; k++)
        mtl__selection_free_turns(&s, k);
    mtl__report_destroy(s.report);
    mtl__arena_release(&arena, &m->ctx->al);
    mtl__scaling_free(&s.scaling);
    mtl__folds_free(&s.folds);
    mtl__binding_free(&s.all);
    mtl__dataset_destroy(s.joint);
    return st;
}
