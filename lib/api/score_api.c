/* SPDX-License-Identifier: MIT */
#include "api/api.h"
#include "score/score.h"

mtl_status mtl_transferability(const char *kind, int64_t rows, int64_t cols, const float *x,
                               int64_t x_stride, int64_t classes, int64_t label_cols,
                               const float *label, int64_t label_stride, double *score,
                               mtl_error *err)
{
    REQUIRE(kind);
    REQUIRE(score);
    mtl_status st = mtl__check_matrix("x", x, rows, cols, x_stride, err);
    if (st == MTL_OK)
        st = mtl__check_matrix("label", label, rows, label_cols, label_stride, err);
    if (st != MTL_OK)
        return st;
    const mtl__score_args args = {.rows = rows,
                                  .cols = cols,
                                  .x_stride = x_stride,
                                  .classes = classes,
                                  .label_cols = label_cols,
                                  .label_stride = label_stride,
                                  .x = x,
                                  .label = label,
                                  .al = &mtl__allocator_default};
    mtl__fpstate fp = mtl__fp_enter();
    st = mtl__score_compute(kind, &args, score, err);
    mtl__fp_leave(fp);
    return st;
}
