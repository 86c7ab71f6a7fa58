/* SPDX-License-Identifier: MIT */
/* What a linear model on the features does on rows left out: the reference of all other scores. */
#include <math.h>

#include "linear/linear.h"
#include "score/score_priv.h"

/* Mean square about the mean of a column; n its labels. */
static double variance_of(const mtl__score_args *a, int64_t col)
{
    double n = 0, mean = 0, square = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < a->rows; i++) {
            const double y = (double)a->label[i * a->label_stride + col];
            if (y != y)
                continue;
            n += pass == 0;
            mean += pass == 0 ? y : 0;
            square += pass == 1 ? (y - mean) * (y - mean) : 0;
        }
        mean /= pass == 0 ? n : 1;
    }
    return square / n;
}

mtl_status mtl__score_probe(const mtl__score_args *a, const double *param, double *score,
                            mtl_error *err)
{
    const int64_t outputs = a->classes > 2 ? a->classes : a->label_cols;
    mtl__linear_problem p = {.family = a->classes > 2   ? MTL__LINEAR_SOFTMAX
                                       : a->classes > 0 ? MTL__LINEAR_LOGISTIC
                                                        : MTL__LINEAR_SQUARE,
                             .rows = a->rows,
                             .cols = a->cols,
                             .outputs = outputs,
                             .x = a->x,
                             .x_stride = a->x_stride,
                             .label = a->label,
                             .label_stride = a->label_stride,
                             .folds = (int32_t)param[0],
                             .tolerance = 1e-7, /* the score is as exact as the others */
                             .al = a->al,
                             .pool = a->pool};
    mtl__arena arena = {0};
    mtl__linear_result made = {0};
    for (int pass = 0; pass < 2; pass++) {
        made.weights = mtl__arena_take(&arena, a->cols * outputs, sizeof(double));
        made.bias = mtl__arena_take(&arena, outputs, sizeof(double));
        made.figure = mtl__arena_take(&arena, outputs, sizeof *made.figure);
        if (pass == 0 && !mtl__arena_reserve(&arena, a->al))
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a probe of %lld columns",
                            (long long)a->cols);
    }
    mtl_status st = mtl__linear_fit(&p, &made, err);
    double sum = 0, used = 0;
    for (int64_t c = 0; c < a->label_cols && st == MTL_OK; c++) {
        const double variance = a->classes > 0 ? 1 : variance_of(a, c);
        if (!(variance > 0))
            continue;
        sum += a->classes > 0 ? -made.figure[c].loss : 1 - made.figure[c].loss / variance;
        used++;
    }
    mtl__arena_release(&arena, a->al);
    if (st == MTL_OK)
        *score = used > 0 ? sum / used : (double)NAN;
    return st;
}
