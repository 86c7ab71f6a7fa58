/* SPDX-License-Identifier: MIT */
/* Metrics of decisions, which need no more of the rows than their weights by class labelled and
   class decided. A task with one label column has its classes, 0 and 1 if binary; of a multilabel
   task each column has classes 0 and 1.

   Standard errors are sqrt(sum of squares of the rows' influences), where an influence is the
   derivative of the figure by the row's weight times that weight (the infinitesimal jackknife,
   Efron 1982, chapter 6). The columns of a row are not independent: their influences add up. */
#include "metric/metric_priv.h"

/* Weights of the rows of a class: decided right, decided so, labelled so. */
typedef struct tally {
    double hits, decided, labelled;
} tally;

/* The tallies of a column together. */
typedef struct column_sums {
    double all, hits;          /* weights */
    double chance;             /* sum over classes of decided * labelled */
    double decided, labelled;  /* sums over classes of x (all - x) */
    double classes, decisions; /* classes with a label, classes decided for */
    double value;              /* the column's figure */
} column_sums;

typedef struct table {
    const mtl__metric_args *a;
    int64_t columns, classes;
    tally *class; /* [columns, classes] */
    column_sums *column;
    int64_t bytes;
} table;

static table shape(const mtl__metric_args *a)
{
    return (table){.a = a,
                   .columns = a->label_cols,
                   .classes = a->label_cols == 1 ? mtl__max(a->outputs, 2) : 2};
}

/* Class labelled and class decided of a row in a column. */
typedef struct verdict {
    int64_t labelled, decided;
} verdict;

/* False without a label. */
static bool judge(const mtl__metric_args *a, int64_t row, int64_t column, verdict *v)
{
    const float *p = mtl__metric_predicted(a, row), y = mtl__metric_label(a, row)[column];
    if (isnan(y))
        return false;
    v->labelled = (int64_t)y;
    v->decided = a->label_cols == 1 ? mtl__metric_decide(a, p) : p[column] > 0.5f;
    return true;
}

static void count(table *t)
{
    verdict v;
    for (int64_t i = 0; i < t->a->rows; i++) {
        const double w = mtl__metric_weight(t->a, i);
        for (int64_t j = 0; j < t->columns; j++) {
            tally *class = t->class + j * t->classes;
            if (!judge(t->a, i, j, &v))
                continue;
            class[v.decided].decided += w;
            class[v.labelled].labelled += w;
            class[v.labelled].hits += v.decided == v.labelled ? w : 0;
        }
    }
}

static mtl_status open_table(const mtl__metric_args *a, table *t, mtl_error *err)
{
    *t = shape(a);
    const int64_t tallies = t->columns * t->classes * (int64_t)sizeof(tally);
    t->bytes = tallies + t->columns * (int64_t)sizeof(column_sums);
    t->class = mtl__alloc_zero(a->al, t->bytes);
    if (!t->class)
        return mtl__metric_no_memory(a, err);
    t->column = (column_sums *)(void *)((char *)t->class + tallies);
    count(t);
    return MTL_OK;
}

static void close_table(table *t)
{
    mtl__free(t->a->al, t->class, t->bytes);
}

/* What a row adds to the figure by one verdict, over the row's weight. */
typedef double influence_fn(const table *t, const void *of, int64_t column, verdict v);

static double standard_error_of(const table *t, influence_fn *fn, const void *of)
{
    double squares = 0;
    verdict v;
    for (int64_t i = 0; i < t->a->rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < t->columns; j++)
            if (judge(t->a, i, j, &v))
                sum += fn(t, of, j, v);
        sum *= mtl__metric_weight(t->a, i);
        squares += sum * sum;
    }
    return sqrt(squares);
}

/* ---- Ratios of hits, averaged over classes ---- */

enum { AVERAGE_BINARY, AVERAGE_MACRO, AVERAGE_MICRO, AVERAGE_WEIGHTED };

/* hits * weight of hits / (decided * weight decided + labelled * weight labelled). */
typedef struct ratio {
    const char *name;
    double hits, decided, labelled;
    int average;
    int64_t first, step; /* the classes that count, in the table's order */
    double value, total; /* total: of the classes' shares; micro: the ratio's denominator */
} ratio;

static double denominator(const ratio *r, tally t)
{
    return r->decided * t.decided + r->labelled * t.labelled;
}

static double quotient(const ratio *r, tally t)
{
    double d = denominator(r, t);
    return d > 0 ? r->hits * t.hits / d : (double)NAN;
}

static double share(const ratio *r, tally t)
{
    return r->average == AVERAGE_WEIGHTED ? t.labelled : 1;
}

/* Classes without a figure stay out of the means. */
static void average(const table *t, ratio *r)
{
    tally all = {0, 0, 0};
    double sum = 0;
    for (int64_t k = r->first; k < t->columns * t->classes; k += r->step) {
        double figure = quotient(r, t->class[k]), w = share(r, t->class[k]);
        all.hits += t->class[k].hits;
        all.decided += t->class[k].decided;
        all.labelled += t->class[k].labelled;
        if (!isnan(figure)) {
            sum += w * figure;
            r->total += w;
        }
    }
    if (r->average == AVERAGE_MICRO) {
        r->value = quotient(r, all);
        r->total = denominator(r, all);
    } else {
        r->value = r->total > 0 ? sum / r->total : (double)NAN;
    }
}

static double class_influence(const table *t, const ratio *r, int64_t class, bool is_hit,
                              bool is_decided, bool is_labelled)
{
    const int64_t k = class;
    const bool is_micro = r->average == AVERAGE_MICRO;
    double figure = is_micro ? r->value : quotient(r, t->class[k]);
    if (k % r->step != r->first % r->step || isnan(figure))
        return 0;
    double part = r->hits * is_hit - figure * (r->decided * is_decided + r->labelled * is_labelled);
    if (is_micro)
        return part / r->total;
    part *= share(r, t->class[k]) / denominator(r, t->class[k]);
    if (r->average == AVERAGE_WEIGHTED && is_labelled)
        part += figure - r->value;
    return part / r->total;
}

static double ratio_influence(const table *t, const void *of, int64_t column, verdict v)
{
    const int64_t first = column * t->classes;
    if (v.decided == v.labelled)
        return class_influence(t, of, first + v.decided, true, true, true);
    return class_influence(t, of, first + v.decided, false, true, false) +
           class_influence(t, of, first + v.labelled, false, false, true);
}

static mtl_status mean_ratio(const mtl__metric_args *a, ratio r, const double *params,
                             double *value, double *standard_error, mtl_error *err)
{
    table t = shape(a);
    const bool has_two_classes = t.columns == 1 && t.classes == 2;
    r.average = (int)params[0];
    if (r.average < 0)
        r.average = has_two_classes ? AVERAGE_BINARY : AVERAGE_MACRO;
    if (r.average == AVERAGE_BINARY && !has_two_classes)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "%s: average=binary needs two classes, not %lld outputs", r.name,
                        (long long)a->outputs);
    const bool positives = r.average == AVERAGE_BINARY || t.columns > 1;
    r.first = positives ? 1 : 0;
    r.step = positives ? 2 : 1;
    mtl_status st = open_table(a, &t, err);
    if (st != MTL_OK)
        return st;
    average(&t, &r);
    *value = r.value;
    if (!isnan(r.value))
        *standard_error = standard_error_of(&t, ratio_influence, &r);
    close_table(&t);
    return MTL_OK;
}

mtl_status mtl__metric_f1(const mtl__metric_args *a, const double *params, double *value,
                          double *standard_error, mtl_error *err)
{
    const ratio r = {.name = "f1", .hits = 2, .decided = 1, .labelled = 1};
    return mean_ratio(a, r, params, value, standard_error, err);
}

mtl_status mtl__metric_precision(const mtl__metric_args *a, const double *params, double *value,
                                 double *standard_error, mtl_error *err)
{
    const ratio r = {.name = "precision", .hits = 1, .decided = 1, .labelled = 0};
    return mean_ratio(a, r, params, value, standard_error, err);
}

mtl_status mtl__metric_recall(const mtl__metric_args *a, const double *params, double *value,
                              double *standard_error, mtl_error *err)
{
    const ratio r = {.name = "recall", .hits = 1, .decided = 0, .labelled = 1};
    return mean_ratio(a, r, params, value, standard_error, err);
}

/* ---- Figures of a column as a whole ---- */

typedef struct column_metric {
    double (*value)(const table *t, int64_t column);
    double (*influence)(const table *t, int64_t column, verdict v);
    double columns; /* that have a figure */
} column_metric;

static void add_up(table *t, int64_t j)
{
    column_sums *c = &t->column[j];
    const tally *class = t->class + j * t->classes;
    for (int64_t k = 0; k < t->classes; k++) {
        c->all += class[k].labelled;
        c->hits += class[k].hits;
        c->chance += class[k].decided * class[k].labelled;
        c->classes += class[k].labelled > 0;
        c->decisions += class[k].decided > 0;
    }
    for (int64_t k = 0; k < t->classes; k++) {
        c->decided += class[k].decided * (c->all - class[k].decided);
        c->labelled += class[k].labelled * (c->all - class[k].labelled);
    }
}

static double column_influence(const table *t, const void *of, int64_t column, verdict v)
{
    const column_metric *m = of;
    if (isnan(t->column[column].value))
        return 0;
    return m->influence(t, column, v) / m->columns;
}

static mtl_status mean_column(const mtl__metric_args *a, column_metric m, double *value,
                              double *standard_error, mtl_error *err)
{
    table t;
    double sum = 0;
    mtl_status st = open_table(a, &t, err);
    if (st != MTL_OK)
        return st;
    for (int64_t j = 0; j < t.columns; j++) {
        add_up(&t, j);
        double figure = t.column[j].value = m.value(&t, j);
        sum += isnan(figure) ? 0 : figure;
        m.columns += !isnan(figure);
    }
    if (m.columns > 0) {
        *value = sum / m.columns;
        *standard_error = standard_error_of(&t, column_influence, &m);
    }
    close_table(&t);
    return MTL_OK;
}

/* The mean over classes of the share of their rows that is decided right. */
static double balance(const table *t, int64_t column)
{
    const tally *class = t->class + column * t->classes;
    double sum = 0;
    for (int64_t k = 0; k < t->classes; k++)
        sum += class[k].labelled > 0 ? class[k].hits / class[k].labelled : 0;
    return t->column[column].classes > 1 ? sum / t->column[column].classes : (double)NAN;
}

static double balance_influence(const table *t, int64_t column, verdict v)
{
    const tally class = t->class[column * t->classes + v.labelled];
    const bool is_hit = v.decided == v.labelled;
    if (!(class.labelled > 0))
        return 0;
    return (is_hit - class.hits / class.labelled) / class.labelled / t->column[column].classes;
}

mtl_status mtl__metric_balanced_accuracy(const mtl__metric_args *a, const double *params,
                                         double *value, double *standard_error, mtl_error *err)
{
    (void)params;
    const column_metric m = {.value = balance, .influence = balance_influence};
    return mean_column(a, m, value, standard_error, err);
}

/* (hits all - chance) / sqrt(decided labelled): the correlation of decisions and labels (Matthews
   1975; for more classes Gorodkin 2004, equation 8). Undefined where either is always the same. */
static double correlation(const table *t, int64_t column)
{
    const column_sums *c = &t->column[column];
    if (!(c->classes > 1 && c->decisions > 1))
        return (double)NAN;
    return (c->hits * c->all - c->chance) / sqrt(c->decided) / sqrt(c->labelled);
}

static double correlation_influence(const table *t, int64_t column, verdict v)
{
    const column_sums *c = &t->column[column];
    const tally *class = t->class + column * t->classes;
    const bool is_hit = v.decided == v.labelled;
    double top = is_hit * c->all + c->hits - class[v.decided].labelled - class[v.labelled].decided;
    double decided = 2 * (c->all - class[v.decided].decided);
    double labelled = 2 * (c->all - class[v.labelled].labelled);
    return top / sqrt(c->decided) / sqrt(c->labelled) -
           c->value / 2 * (decided / c->decided + labelled / c->labelled);
}

mtl_status mtl__metric_mcc(const mtl__metric_args *a, const double *params, double *value,
                           double *standard_error, mtl_error *err)
{
    (void)params;
    const column_metric m = {.value = correlation, .influence = correlation_influence};
    return mean_column(a, m, value, standard_error, err);
}

/* ---- The matrix itself ---- */

int64_t mtl__metric_confusion_cells(int64_t outputs, int64_t label_cols)
{
    const mtl__metric_args a = {.outputs = outputs, .label_cols = label_cols};
    const table t = shape(&a);
    return t.columns * t.classes * t.classes;
}

void mtl__metric_confusion(const mtl__metric_args *a, double *cells)
{
    const table t = shape(a);
    verdict v;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < t.columns; j++)
            if (judge(a, i, j, &v))
                cells[(j * t.classes + v.labelled) * t.classes + v.decided] +=
                    mtl__metric_weight(a, i);
}
