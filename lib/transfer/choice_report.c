/* SPDX-License-Identifier: MIT */
/* The report of a choice. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "transfer/auto_priv.h"

static int64_t number_of(const mtl__contest *c, const char *name)
{
    for (int64_t i = 0; i < c->candidates; i++)
        if (strcmp(c->how[i]->choice.name, name) == 0)
            return i;
    return -1;
}

/* Of what was chosen less a candidate of its own. */
static void lead_over(const mtl__chooser *x, int64_t candidate, double *lead, double *error)
{
    const mtl__evidence e = mtl__chooser_evidence(x);
    for (int64_t i = 0; i < x->c.candidates; i++) {
        x->weight[i] = x->verdict[i].weight;
        x->other[i] = i == candidate;
    }
    mtl__compare(&e, x->verdict, x->choice.trust, x->other, x->weight, lead, error);
}

/* Layers of the trunk that the model rests on. */
static mtl_status find_cut(const mtl__chooser *x, const mtl__strategy *how, double *layers, mtl_error *err)
{
    mtl_model *cut = NULL;
    const bool uses = how->family == MTL__STEPS || how->family == MTL__AS_IS ||
                      (how->features & MTL__ON_TRUNK);
    *layers = uses ? (double)x->job->source->net.trunk_layers : 0;
    mtl_status st = how->cuts && x->rows ? mtl__cut(x->job, x->rows, &cut, err) : MTL_OK;
    if (cut)
        *layers = (double)cut->net.trunk_layers;
    mtl__model_destroy(cut);
    return st;
}

/* What the others' scores are told against: the linear floor, or else no transfer. */
static double score_of_reference(const mtl__chooser *x)
{
    const int64_t linear = number_of(&x->c, "linear"), scratch = number_of(&x->c, "scratch");
    const int64_t at = linear >= 0 && x->verdict[linear].variant >= 0 ? linear : scratch;
    return at >= 0 && x->verdict[at].variant >= 0 ? x->verdict[at].score : 0;
}

static mtl_status report_candidate(const mtl__chooser *x, int64_t i, mtl_report *r, mtl_error *err)
{
    const mtl__strategy *how = x->c.how[i];
    const mtl__verdict *v = &x->verdict[i];
    double cut;
    mtl_status st = find_cut(x, how, &cut, err);
    const struct {
        const char *what;
        double value;
    } figures[] = {
        {"score", v->score - score_of_reference(x)}, {"mean", v->mean},
        {"standard_error", v->error}, {"simulated", v->simulated},
        {"weight", v->weight},
        {"variant", (double)v->variant}, {"cut", cut},
        {"known_weight", how->needs_known || (how->family == MTL__STEPS && how->phase[0].known &&
                                              x->job->known)
                             ? mtl__option_f64(x->job->o, &mtl__transfer_options, "replay")
                             : 0},
    };
    for (int k = 0; k < MTL__COUNT_OF(figures) && st == MTL_OK; k++)
        st = mtl__report_number(r, "candidate", how->choice.name, figures[k].what,
                                figures[k].value, err);
    return st;
}

/* The known task whose head a candidate stands on, "" = the mean of all that could be it. */
static mtl_status report_base(const mtl__chooser *x, int64_t i, const mtl__sample *s, mtl_report *r,
                              mtl_error *err)
{
    const mtl__strategy *how = x->c.how[i];
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < x->job->tasks && st == MTL_OK; t++) {
        mtl__heads h = {0};
        mtl__bytes name;
        mtl__bytes_init(&name, x->al);
        mtl__bytes_format(&name, "candidate/%s/known_task/%s", how->choice.name, x->job->task[t].name);
        mtl__bytes_append(&name, "", 1);
        st = mtl__heads_create(x->job, s, t, how, x->verdict[i].variant, 1, 1e-3, &h, err);
        if (st == MTL_OK && h.base)
            st = name.failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a report")
                             : mtl__report_text(r, name.p, h.base, err);
        mtl__heads_free(&h);
        mtl__bytes_free(&name);
    }
    return st;
}

static mtl_status report_bases(const mtl__chooser *x, mtl_report *r, mtl_error *err)
{
    mtl__sample s = {0};
    mtl_status st = mtl__sample_create(x->job, x->rows, &s, err);
    for (int64_t i = 0; i < x->c.candidates && st == MTL_OK; i++) {
        const mtl__family family = x->c.how[i]->family;
        if ((family == MTL__AS_IS || family == MTL__SHIFT) && x->verdict[i].variant >= 0)
            st = report_base(x, i, &s, r, err);
    }
    mtl__sample_free(&s);
    return st;
}

/* To three decimals, for people. */
static mtl__num_text short_number(double x)
{
    return mtl__num(fabs(x) < 1e12 ? (double)(int64_t)(x * 1000 + (x < 0 ? -0.5 : 0.5)) / 1000 : x);
}

static void write_parts(const mtl__chooser *x, mtl__bytes *text)
{
    for (int64_t k = 0; k < x->parts; k++)
        mtl__bytes_format(text, "%s%s %s", k ? ", " : "", x->part[k].how->choice.name,
                          short_number(x->part[k].weight).text);
}

static void write_why(const mtl__chooser *x, mtl__bytes *text)
{
    const int64_t floor = x->choice.floor, winner = x->choice.winner;
    const char *name = floor >= 0 ? x->c.how[floor]->choice.name : "";
    double lead, error;
    if (x->parts > 1) {
        mtl__bytes_text(text, "the average ");
        write_parts(x, text);
    } else {
        mtl__bytes_text(text, x->c.how[winner]->choice.name);
    }
    mtl__bytes_format(text, " has an expected error of %s", short_number(1 - x->choice.score).text);
    if (winner == floor && x->parts == 1) {
        mtl__bytes_text(text, "; of the simple answers it is the best, and nothing is surely better");
    } else if (floor >= 0) {
        lead_over(x, floor, &lead, &error);
        mtl__bytes_format(text, ", %s +- %s below that of %s, the best of the simple answers",
                          short_number(lead).text, short_number(error).text, name);
    }
    mtl__bytes_format(text, "; by %lld rows, which count %s, and %lld simulations, which count %s",
                      (long long)(x->rows ? x->rows->rows : 0), short_number(x->choice.trust).text,
                      (long long)x->c.simulations, short_number(1 - x->choice.trust).text);
}

static mtl_status report_why(const mtl__chooser *x, mtl_report *r, mtl_error *err)
{
    mtl__bytes text;
    if (x->choice.winner < 0)
        return mtl__report_text(r, "why",
                                x->rows ? "nothing could be compared: the simplest one"
                                        : "no row has a label to choose by: the source as it is",
                                err);
    mtl__bytes_init(&text, x->al);
    write_why(x, &text);
    mtl__bytes_append(&text, "", 1);
    mtl_status st = text.failed ? MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a report")
                                : mtl__report_text(r, "why", text.p, err);
    mtl__bytes_free(&text);
    return st;
}

/* How much lower the error is than that of a candidate, with an interval of 95 %. */
static mtl_status report_lead(const mtl__chooser *x, const char *name, int64_t over, mtl_report *r,
                              mtl_error *err)
{
    double lead, error;
    if (x->choice.winner < 0 || over < 0 || x->verdict[over].variant < 0)
        return MTL_OK;
    lead_over(x, over, &lead, &error);
    mtl_status st = mtl__report_number(r, name, NULL, NULL, lead, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, name, "low", NULL, lead - 1.96 * error, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, name, "high", NULL, lead + 1.96 * error, err);
    return st;
}

static mtl_status report_choice(const mtl__chooser *x, mtl_report *r, mtl_error *err)
{
    mtl_status st = report_why(x, r, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "chosen", "score", NULL, x->choice.score, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "chosen", "trust", NULL, x->choice.trust, err);
    if (st == MTL_OK)
        st = report_lead(x, "lead", x->choice.floor, r, err);
    if (st == MTL_OK) /* over no transfer */
        st = report_lead(x, "gain", number_of(&x->c, "scratch"), r, err);
    return st;
}

/* The known tasks' main metrics on their rows. */
static mtl_status report_known(const mtl__chooser *x, const mtl_model *m, const char *when,
                               mtl_report *r, mtl_error *err)
{
    mtl__binding bound = {0};
    mtl__judge *j = NULL;
    mtl_status st = mtl__binding_create_of(m, x->job->source->spec, x->job->known,
                                           "known", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(m, &bound, &j, err);
    if (st != MTL_OK)
        return st;
    mtl__judge_run(j);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK; t++) {
        const mtl__task_spec *task = &m->spec->task[t];
        double value;
        if (!j->label[t] || mtl__spec_task(x->job->source->spec, task->name) < 0)
            continue;
        st = mtl__judge_metric(j, mtl__judge_main_metric(task->kind), t, &value, err);
        if (st == MTL_OK)
            st = mtl__report_number(r, "known", when, task->name, value, err);
    }
    if (st == MTL_OK)
        st = mtl__binding_status(&j->bound, err);
    mtl__judge_destroy(j);
    return st;
}

mtl_status mtl__chooser_report(const mtl__chooser *x, const mtl_model *m, mtl_report *r,
                               mtl_error *err)
{
    const bool keeps = mtl__spec_task(m->spec, x->job->source->spec->task[0].name) >= 0;
    mtl_status st = MTL_OK;
    for (int64_t i = 0; i < x->c.candidates && st == MTL_OK; i++)
        st = report_candidate(x, i, r, err);
    if (st == MTL_OK && x->rows && !x->job->same)
        st = report_bases(x, r, err);
    if (st == MTL_OK)
        st = report_choice(x, r, err);
    if (st == MTL_OK && x->job->known)
        st = report_known(x, x->job->source, "before", r, err);
    if (st == MTL_OK && x->job->known && keeps)
        st = report_known(x, m, "after", r, err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "simulations", NULL, NULL, (double)x->c.simulations, err);
    if (st == MTL_OK && x->c.simulations)
        st = mtl__report_number(r, "simulations", "share", NULL, 1 - mtl__contest_lacks(&x->c), err);
    if (st == MTL_OK)
        st = mtl__report_number(r, "seconds", "all", NULL, mtl__seconds() - x->started, err);
    return st;
}
