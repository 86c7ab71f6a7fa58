/* SPDX-License-Identifier: MIT */
/* The weighted mean of members' predictions, laid out for predict. */
#ifndef MTL__MIX_H
#define MTL__MIX_H

#include "model/model.h"

/* What a member's prediction of a task counts; there is one for each weight above 0. */
typedef struct mtl__share {
    int64_t member, task;
    double weight;
    int64_t from;               /* first column in what the member predicts */
    int64_t column, cols;       /* in the mixture's outputs */
    mtl__forward_part part;     /* of the member */
} mtl__share;

struct mtl__mix {
    const mtl__forward **member; /* [members] */
    mtl__forward *copy;          /* [members]: a predictor's own, NULL = those of the models */
    int64_t members;
    mtl__share *share; /* by members */
    int64_t shares;
    int64_t widest; /* outputs of a member */
};

/* NULL while planning; then to be filled by mtl__mix_init(), which may fail half-way. */
mtl__mix *mtl__mix_lay_out(const mtl_model *m, bool copy, mtl__arena *arena);
mtl_status mtl__mix_init(mtl__forward *f, const mtl_model *m, mtl_error *err);
void mtl__mix_free(mtl__mix *x, const mtl__allocator *al);

void mtl__mix_plan(const mtl__forward *f, int64_t max_rows, int slots, bool is_sparse,
                   mtl__arena *arena, mtl__forward_buffers *b);

/* As mtl__forward_run(), without the mixture's own calibration. */
void mtl__mix_run(const mtl__forward *f, const mtl__forward_buffers *b, mtl__pool *pool,
                  const mtl__forward_part *part, int64_t rows, const float *x, int64_t ldx,
                  float *out, int64_t ldo);
/* Of tasks whose logits it changes: back to logits, which are those of the mean. */
void mtl__mix_calibrate(const mtl__forward *f, const mtl__forward_part *part, int64_t rows,
                        float *out, int64_t ldo);

#endif
