/* SPDX-License-Identifier: MIT */
/* The area under the ROC curve: the share of pairs of a positive and a negative row that the score
   puts in the right order, ties counting half (Mann & Whitney). Several columns give the mean over
   those in which both classes occur; a class task has one column per class against the rest. */
#include "base/order.h"
#include "metric/metric_priv.h"

typedef struct ranking {
    const mtl__metric_args *a;
    int64_t column;
    int64_t n;          /* rows that have a label in the column */
    mtl__ordered *rows; /* [n] by score, and as many for sorting */
    double total[2];    /* weight of negatives and positives */
    double total2[2];   /* of the squared weights */
    double *influence;  /* [rows of a] of each row on the sum of the areas */
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

static void sort_column(ranking *r, int64_t column)
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
        r->rows[r->n++] = (mtl__ordered){mtl__order_key(mtl__metric_predicted(a, i)[column]), i};
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

/* The placement of a row is the share of the other class that it stands on the right side of; the
   variance of the area is that of the two means of placements (DeLong, DeLong & Clarke-Pearson
   1988). Influences add over columns, which so need not be independent. */
static void add_influence(ranking *r, double auc)
{
    double below[2] = {0, 0}, factor[2];
    for (int c = 0; c < 2; c++)
        factor[c] = sqrt(mtl__metric_bessel(r->total[c], r->total2[c])) / r->total[c];
    pair w;
    for (int64_t i = 0, end; i < r->n; i = end) {
        end = tie(r, i, &w);
        double of_negative = 1 - (below[1] + 0.5 * w.of[1]) / r->total[1];
        double of_positive = (below[0] + 0.5 * w.of[0]) / r->total[0];
        for (int64_t k = i; k < end; k++) {
            const int64_t row = r->rows[k].row;
            const int c = class_of(r, row);
            double placement = c ? of_positive : of_negative;
            r->influence[row] += factor[c] * mtl__metric_weight(r->a, row) * (placement - auc);
        }
        below[0] += w.of[0];
        below[1] += w.of[1];
    }
}

static void mean_area(ranking *r, double *value, double *standard_error)
{
    double sum = 0, squares = 0, columns = 0;
    for (int64_t j = 0; j < r->a->outputs; j++) {
        sort_column(r, j);
        if (!(r->total[0] > 0 && r->total[1] > 0))
            continue;
        double auc = area(r);
        add_influence(r, auc);
        sum += auc;
        columns++;
    }
    if (columns == 0)
        return;
    for (int64_t i = 0; i < r->a->rows; i++)
        squares += r->influence[i] * r->influence[i];
    *value = sum / columns;
    *standard_error = sqrt(squares) / columns;
}

mtl_status mtl__metric_roc_auc(const mtl__metric_args *a, const double *params, double *value,
                               double *standard_error, mtl_error *err)
{
    (void)params;
    int64_t bytes;
    ranking r = {.a = a};
    if (!mtl__mul_size(a->rows, 2 * sizeof *r.rows, &bytes))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "roc_auc: %lld rows", (long long)a->rows);
    r.rows = mtl__alloc(a->al, bytes);
    r.influence = mtl__alloc_zero(a->al, a->rows * (int64_t)sizeof(double));
    const bool done = r.rows && r.influence;
    if (done)
        mean_area(&r, value, standard_error);
    mtl__free(a->al, r.rows, bytes);
    mtl__free(a->al, r.influence, a->rows * (int64_t)sizeof(double));
    return done ? MTL_OK
                : MTL_FAIL(err, MTL_ERR_NOMEM, "roc_auc: no memory for %lld rows",
                           (long long)a->rows);
}
