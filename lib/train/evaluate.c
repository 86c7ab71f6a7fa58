/* SPDX-License-Identifier: MIT */
#include "train/judge.h"

#include <math.h>
#include <string.h>

#include "train/report.h"

static const mtl__option table[] = {
    MTL__OPTION_LIST(
        "metrics", "auto",
        "auto|accuracy|balanced_accuracy|f1|precision|recall|mcc|roc_auc|average_precision|log_"
        "loss|"
        "brier|ece:bins=10|top_k:k=5|rmse|relative_rmse|mae|median_error|r2|pinball:q=0.5|"
        "poisson_deviance",
        &mtl__metric_table,
        "separated by spaces, see mtl_metric(); auto = the usual ones of each task's kind"),
};

const mtl__option_group mtl__evaluate_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_EVALUATE, "evaluate", table, false);

static const char usual[] = "accuracy f1 roc_auc log_loss rmse mae r2";

/* More classes than this have no confusion matrix in a report. */
enum { CONFUSION_CLASSES = 1000 };

/* The metrics of a list one after another, "auto" being the usual ones. */
typedef struct words {
    const char *list, *inner;
    char name[96];
} words;

static words begin(const char *list)
{
    return (words){.list = list, .inner = ""};
}

static bool next_word(words *w)
{
    int64_t length;
    const char *p = mtl__next_word(&w->inner, &length);
    if (!p)
        p = mtl__next_word(&w->list, &length);
    if (!p)
        return false;
    length = mtl__min(length, (int64_t)sizeof w->name - 1);
    memcpy(w->name, p, (size_t)length);
    w->name[length] = 0;
    if (strcmp(w->name, "auto") != 0)
        return true;
    w->inner = usual;
    return next_word(w);
}

/* The next word that did not occur before. */
static bool next_metric(const char *list, words *at)
{
    while (next_word(at)) {
        words w = begin(list);
        while (next_word(&w) && strcmp(w.name, at->name) != 0) {
        }
        if (w.list == at->list && w.inner == at->inner)
            return true;
    }
    return false;
}

/* What is no metric fits as well, so that it is refused by name. */
static bool fits(const char *name, int32_t kind)
{
    mtl__choice c;
    if (mtl__metric_find(name, &c, NULL) != MTL_OK)
        return true;
    const uint32_t serves = ((const mtl__metric *)c.row)->serves;
    return !mtl__kind_is_class(kind)  ? serves == MTL__METRIC_VALUES
           : kind == MTL_MULTICLASS ? serves & MTL__METRIC_MULTICLASS
                                    : serves == MTL__METRIC_CLASSES;
}

static mtl_status report_metrics(const mtl__judge *j, int64_t task, const char *list, mtl_report *r,
                                 mtl_error *err)
{
    const mtl__task_spec *t = &j->m->spec->task[task];
    mtl_status st = MTL_OK;
    words w = begin(list);
    while (st == MTL_OK && next_metric(list, &w)) {
        double value;
        if (!fits(w.name, t->kind))
            continue;
        st = mtl__judge_metric(j, w.name, task, &value, err);
        if (st == MTL_OK)
            st = mtl__report_number(r, "metric", w.name, t->name, value, err);
    }
    return st;
}

/* "metric/NAME": the mean of the entries "metric/NAME/TASK" that are numbers. */
static mtl_status report_means(const char *list, mtl_report *r, mtl_error *err)
{
    mtl_status st = MTL_OK;
    words w = begin(list);
    while (st == MTL_OK && next_metric(list, &w)) {
        const size_t front = strlen("metric/"), n = strlen(w.name);
        double sum = 0, tasks = 0;
        bool is_there = false;
        for (int64_t i = 0; i < r->count; i++) {
            const mtl__entry *e = &r->entry[i];
            if (strncmp(e->name, "metric/", front) != 0 ||
                strncmp(e->name + front, w.name, n) != 0 || e->name[front + n] != '/')
                continue;
            is_there = true;
            sum += isnan(e->number) ? 0 : e->number;
            tasks += !isnan(e->number);
        }
        if (is_there)
            st = mtl__report_number(r, "metric", w.name, NULL,
                                    tasks > 0 ? sum / tasks : (double)NAN, err);
    }
    return st;
}

static mtl_status report_confusion(const mtl__judge *j, int64_t task, mtl_report *r, mtl_error *err)
{
    const mtl__task_spec *t = &j->m->spec->task[task];
    int64_t entry;
    if (!mtl__kind_is_class(t->kind) || (t->kind == MTL_MULTICLASS && t->outputs > CONFUSION_CLASSES))
        return MTL_OK;
    const mtl__metric_args a = mtl__judge_args(j, task);
    const int64_t cells = mtl__metric_confusion_cells(a.outputs, a.label_cols);
    mtl_status st = mtl__report_series(r, "confusion", t->name, NULL, cells, &entry, err);
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < cells; i++)
        mtl__report_push(r, entry, 0);
    mtl__metric_confusion(&a, r->entry[entry].series);
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
        if (st == MTL_OK)
            st = report_confusion(j, t, r, err);
    }
    if (st == MTL_OK)
        st = report_means(metrics, r, err);
    return st;
}

static mtl_status check_refused(const mtl__judge *j, mtl_error *err)
{
    int64_t task = j->targets.refused;
    if (task < 0)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_STATE, "task \"%.64s\": the callback of its loss did not go on",
                    j->m->spec->task[task].name);
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
    MTL_TRY(st, mtl__binding_status(&judge->bound, err), done);
    MTL_TRY(st, check_refused(judge, err), done);
    MTL_TRY(st, write_report(judge, mtl__option_str(o, &mtl__evaluate_options, "metrics"), r, err),
            done);
    *report = r;
    r = NULL;
done:
    mtl__report_destroy(r);
    mtl__judge_destroy(judge);
    return st;
}
