/* SPDX-License-Identifier: MIT */
/* Scaling of inputs and labels; the standard one is fitted in double down the rows in order (two passes), missing values left out.
 */
#ifndef MTL__SCALER_H
#define MTL__SCALER_H

#include "data/warp.h"

/* Of one column. The mean is that of x - first, its first value, and first: a constant column has
   squares of exactly 0 however many rows it has. */
typedef struct mtl__moments {
    double first, offset, mean, squares; /* squares: sum of squared deviations from the mean */
    int64_t count;
} mtl__moments;

/* Of the input columns: out [inputs], zero before. */
mtl_status mtl__dataset_moments(const mtl_dataset *d, mtl__moments *out, mtl_error *err);
/* Of the population; 0 of fewer than two values. */
double mtl__moments_deviation(const mtl__moments *m);

/* mean [inputs] and scale [inputs]: population standard deviation, 1 for a column that is constant
   or has fewer than two values; mean 0 for a column without values. */
mtl_status mtl__scaler_fit_inputs(const mtl_dataset *d, float *mean, float *scale, mtl_error *err);
/* The same; or, by the order of the values, median and interquartile range; or the middle of the
   range and half of it; or 0 and the largest magnitude, the only one for sparse inputs, whose zeros
   stay what they are (MTL_ERR_STATE for the others). In the order of the option's texts. The last two
   warp what they give (data/warp.h): robust_clip, which has half the range where there is no
   interquartile one, to below 3 in magnitude; quantile, with mean 0 and scale 1, to normal numbers. A
   column that is constant becomes 0. */
typedef enum mtl__scaler_kind {
    MTL__SCALER_AUTO, /* standard; of sparse inputs by the largest magnitude */
    MTL__SCALER_STANDARD,
    MTL__SCALER_ROBUST,
    MTL__SCALER_MIN_MAX,
    MTL__SCALER_MAX_ABS,
    MTL__SCALER_ROBUST_CLIP,
    MTL__SCALER_QUANTILE,
} mtl__scaler_kind;
/* Knots of a column for a warp; 0 = it is none. */
int64_t mtl__scaler_knots(mtl__scaler_kind kind, int64_t rows);
/* The usual one, or what warps inputs by so many knots. */
static inline mtl__scaler_kind mtl__scaler_of_knots(int64_t knots)
{
    return !knots ? MTL__SCALER_AUTO : knots == 1 ? MTL__SCALER_ROBUST_CLIP : MTL__SCALER_QUANTILE;
}
/* knot [inputs, knots], as many as mtl__scaler_knots() says or as another scaling has. */
mtl_status mtl__scaler_fit_inputs_by(const mtl_dataset *d, mtl__scaler_kind kind, int64_t knots,
                                     float *mean, float *scale, float *knot, mtl_error *err);
/* knot [count, knots], knots > 1: the values of the columns at evenly spaced ranks (NumPy's "linear");
   0 for a column without values. */
mtl_status mtl__scaler_quantiles(const mtl_dataset *d, int64_t count, const int64_t *columns,
                                 int64_t knots, float *knot, mtl_error *err);
/* The standard scaling of the label columns of a task. */
mtl_status mtl__scaler_fit_labels(const mtl_dataset *d, int64_t task, float *mean, float *scale,
                                  mtl_error *err);

#endif
