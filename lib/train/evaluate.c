/* SPDX-License-Identifier: MIT */
#include "train/judge.h"

#include <string.h>

#include "metric/metric.h"
#include "train/report.h"

static const mtl__option table[] = {
    MTL__OPTION_STR("metrics", "", "", NULL,
                    "metrics separated by spaces; empty = the usual ones of each task's kind"),
};

const mtl__option_group mtl__evaluate_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_EVALUATE, "evaluate", table, false);

static const char usual_for_classes[] = "accuracy f1 roc_auc log_loss";
static const char usual_for_values[] = "rmse mae r2";

/* Copy the next word of *list to word; false at the end. */
static bool next_word(const char **list, char *word, size_t size)
{
    const char *p = *list + strspn(*list, " ");
    size_t n = strcspn(p, " ");
    *list = p + n;
    n = n < size ? n : size - 1;
    memcpy(word, p, n);
    word[n] = 0;
    return n > 0;
}

/* MTL_ERR_NAME for a metric that is not there; *fits = it serves the kind. */
static mtl_status check_metric(const char *name, int32_t kind, bool *fits, mtl_error *err)
{
    mtl__choice c;
    mtl_error why = {0};
    if (mtl__choice_parse(&mtl__metric_table, name, -1, &c, &why) != MTL_OK)
        return MTL_FAIL(err, MTL_ERR_NAME, "%s", why.message);
    const mtl__metric *metric = c.row;
    *fits = kind == MTL_REGRESSION ? metric->for_values : metric->for_classes;
    return MTL_OK;
}

static mtl_status report_metrics(const mtl__judge *j, int64_t task, const char *list, mtl_report *r,
                                 mtl_error *err)
{
    const mtl__task_spec *t = &j->m->spec->task[task];
    char name[64];
    if (!*list)
        list = t->kind == MTL_REGRESSION ? usual_for_values : usual_for_classes;
    while (next_word(&list, name, sizeof name)) {
        double value;
        bool fits;
        mtl_status st = check_metric(name, t->kind, &fits, err);
        if (st == MTL_OK && !fits)
            continue;
        if (st == MTL_OK)
            st = mtl__judge_metric(j, name, task, &value, err);
        if (st == MTL_OK)
            st = mtl__report_number(r, "metric", name, t->name, value, err);
        if (st != MTL_OK)
            return st;
    }
    return MTL_OK;
}

static mtl_status write_report(const mtl__judge *j, const char *metrics, mtl_report *r,
                               mtl_error *err)
{
    const mtl_model *m = j->m;
    mtl_status st = mtl__report_number(r, "loss", NULL, NULL, j->loss, err);
    for (int64_t t = 0; t < m->net.tasks && st == MTL_OK; t++) {
        if (!j->label[t])
            continue;
        st = mtl__report_number(r, "loss", m->spec->task[t].name, NULL, j->task_loss[t], err);
        if (st == MTL_OK)
            st = report_metrics(j, t, metrics, r, err);
    }
    return st;
}

mtl_status mtl__evaluate(const mtl_model *m, const mtl_dataset *data, const mtl_options *o,
                         mtl_report **report, mtl_error *err)
{
    mtl__binding bound;
    mtl__judge *judge = NULL;
    mtl_report *r = NULL;
    mtl_status st;
    MTL_TRY(st, mtl__binding_create(m, data, "data", &bound, err), done);
    MTL_TRY(st, mtl__judge_create(m, &bound, &judge, err), done);
    MTL_TRY(st, mtl__report_create(m->ctx, &r, err), done);
    mtl__judge_run(judge);
    MTL_TRY(st, write_report(judge, mtl__option_str(o, &mtl__evaluate_options, "metrics"), r, err),
            done);
    *report = r;
    r = NULL;
done:
    mtl__report_destroy(r);
    mtl__judge_destroy(judge);
    return st;
}
