/* SPDX-License-Identifier: MIT */
/* Metrics of the order that scores put the rows in. A class task has one column per class against
   the rest; several columns give the mean over those that have a figure, "weighted": by the weight
   of their positive rows. */
#include "metric/metric_priv.h"

typedef struct ranking {
    const mtl__metric_args *a;
    int64_t column;
    int64_t n;          /* rows that have a label in the column */
    mtl__ordered *rows; /* [n] by score, and as many for sorting */
    double total[2];    /* weight of negatives and positives */
    double total2[2];   /* of the squared weights */
    double *influence;  /* [rows of a] of each row on the sum of share * area */
    double *pull;       /* [rows of a] of each row on the sum of the shares */
} ranking;

/* Weights of negatives and positives of one score, or of all scores below. */
typedef struct pair {
    double of[2];
} pair;

static int class_of(const ranking *r, int64_t row)
{
    const float *y = mtl__metric_label(r->a, row);
    return mtl__metric_is_multiclass(r->a) ? y[0] == (float)r->column : y[r->column] > 0.5f;
}

/* By ascending score, or with all bits of `flip` by descending score. */
static void sort_column(ranking *r, int64_t column, uint32_t flip)
{
    const mtl__metric_args *a = r->a;
    const int64_t label = mtl__metric_is_multiclass(a) ? 0 : column;
    r->column = column;
    r->n = 0;
    for (int c = 0; c < 2; c++)
        r->total[c] = r->total2[c] = 0;
    for (int64_t i = 0; i < a->rows; i++) {
        if (isnan(mtl__metric_label(a, i)[label]))
            continue;
        const double w = mtl__metric_weight(a, i);
        const int c = class_of(r, i);
        r->total[c] += w;
        r->total2[c] += w * w;
        const uint32_t key = mtl__order_key(mtl__metric_predicted(a, i)[column]);
        r->rows[r->n++] = (mtl__ordered){key ^ flip, i};
    }
    mtl__order_sort(r->n, r->rows, r->rows + r->n);
}

/* End of the rows that have the score of row `start`; their weights. */
static int64_t tie(const ranking *r, int64_t start, pair *weights)
{
    int64_t end = start;
    *weights = (pair){{0, 0}};
    for (; end < r->n && r->rows[end].key == r->rows[start].key; end++)
        weights->of[class_of(r, r->rows[end].row)] += mtl__metric_weight(r->a, r->rows[end].row);
    return end;
}

/* The area under the ROC curve: the share of pairs of a positive and a negative row that the score
   puts in the right order, ties counting half (Mann & Whitney). */
static double area(const ranking *r)
{
    double sum = 0, below = 0;
    pair w;
    for (int64_t i = 0; i < r->n;) {
        i = tie(r, i, &w);
        sum += w.of[1] * (below + 0.5 * w.of[0]);
        below += w.of[0];
    }
    return sum / (r->total[0] * r->total[1]);
}

/* The mean over positive rows of the precision among the rows that score as high or higher: the
   sum of precision times growth of recall, without interpolation. */
static double precision(const ranking *r)
{
    double sum = 0, hits = 0, decided = 0;
    pair w;
    for (int64_t i = 0; i < r->n;) {
        i = tie(r, i, &w);
        hits += w.of[1];
        decided += w.of[0] + w.of[1];
        sum += w.of[1] > 0 ? w.of[1] * (hits / decided) : 0;
    }
    return sum / r->total[1];
}

/* The placement of a row is the share of the other class that it stands on the right side of; the
   variance of the area is that of the two means of placements (DeLong, DeLong & Clarke-Pearson
   1988). Influences add over columns, which so need not be independent. */
static void add_influence(ranking *r, double auc, bool is_weighted)
{
    double below[2] = {0, 0}, factor[2];
    for (int c = 0; c < 2; c++)
        factor[c] = sqrt(mtl__metric_bessel(r->total[c], r->total2[c])) / r->total[c] *
                    (is_weighted ? r->total[1] : 1);
    pair w;
    for (int64_t i = 0, end; i < r->n; i = end) {
        end = tie(r, i, &w);
        double of_negative = 1 - (below[1] + 0.5 * w.of[1]) / r->total[1];
        double of_positive = (below[0] + 0.5 * w.of[0]) / r->total[0];
        for (int64_t k = i; k < end; k++) {
            const int64_t row = r->rows[k].row;
            const int c = class_of(r, row);
            double placement = c ? of_positive : of_negative;
            const double w_row = mtl__metric_weight(r->a, row);
            r->influence[row] += factor[c] * w_row * (placement - auc);
            if (c && is_weighted) {
                r->influence[row] += w_row * auc;
                r->pull[row] += w_row;
            }
        }
        below[0] += w.of[0];
        below[1] += w.of[1];
    }
}

static void mean_area(ranking *r, bool is_weighted, double *value, double *standard_error)
{
    double sum = 0, squares = 0, shares = 0;
    for (int64_t j = 0; j < r->a->outputs; j++) {
        sort_column(r, j, 0);
        if (!(r->total[0] > 0 && r->total[1] > 0))
            continue;
        double auc = area(r), share = is_weighted ? r->total[1] : 1;
        add_influence(r, auc, is_weighted);
        sum += share * auc;
        shares += share;
    }
    if (shares == 0)
        return;
    *value = sum / shares;
    for (int64_t i = 0; i < r->a->rows; i++) {
        double d = r->influence[i] - *value * r->pull[i];
        squares += d * d;
    }
    *standard_error = sqrt(squares) / shares;
}

static void mean_precision(ranking *r, bool is_weighted, double *value, double *standard_error)
{
    double sum = 0, shares = 0;
    (void)standard_error; /* none is defined */
    for (int64_t j = 0; j < r->a->outputs; j++) {
        sort_column(r, j, UINT32_MAX);
        if (!(r->total[1] > 0))
            continue;
        double share = is_weighted ? r->total[1] : 1;
        sum += share * precision(r);
        shares += share;
    }
    if (shares > 0)
        *value = sum / shares;
}

typedef void mean_fn(ranking *r, bool is_weighted, double *value, double *standard_error);

static mtl_status with_memory(const mtl__metric_args *a, mean_fn *fn, const double *params,
                              double *value, double *standard_error, mtl_error *err)
{
    int64_t bytes;
    ranking r = {.a = a, .rows = mtl__metric_ordered(a, &bytes)};
    const int64_t influences = 2 * a->rows * (int64_t)sizeof(double); /* less than bytes */
    r.influence = r.rows ? mtl__alloc_zero(a->al, influences) : NULL;
    const bool done = r.influence != NULL;
    if (done) {
        r.pull = r.influence + a->rows;
        fn(&r, params[0] == 1, value, standard_error);
    }
    if (r.rows)
        mtl__free(a->al, r.rows, bytes);
    if (done)
        mtl__free(a->al, r.influence, influences);
    return done ? MTL_OK : mtl__metric_no_memory(a, err);
}

mtl_status mtl__metric_roc_auc(const mtl__metric_args *a, const double *params, double *value,
                               double *standard_error, mtl_error *err)
{
    return with_memory(a, mean_area, params, value, standard_error, err);
}

mtl_status mtl__metric_average_precision(const mtl__metric_args *a, const double *params,
                                         double *value, double *standard_error, mtl_error *err)
{
    return with_memory(a, mean_precision, params, value, standard_error, err);
}
