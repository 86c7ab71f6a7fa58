/* SPDX-License-Identifier: MIT */
/* A network with its numbers and the pipeline around it. */
#ifndef MTL__MODEL_H
#define MTL__MODEL_H

#include <stdatomic.h>

#include "data/scaler.h"
#include "io/safetensors.h"
#include "model/forward.h"
#include "model/members.h"

/* A named view into the flat vector. */
typedef struct mtl__param {
    char *name;
    int64_t rank, shape[2];
    int64_t offset, ld; /* rows are ld apart */
    int64_t task; /* whose head it belongs to, -1 = trunk */
    int64_t member; /* whose it is, in a model of members */
    int32_t layer, number; /* which of its layer's tensors */
    mtl__param_role role;
    bool whole; /* all of its stretch of the vector: not a slice of the plain heads' matrix */
    bool is_frozen;
} mtl__param;

/* Input and target scaling. Missing inputs become the mean, that is 0 after scaling. */
typedef struct mtl__pipeline {
    bool is_fitted;
    float *x_mean, *x_scale, *x_inverse; /* [inputs]; x_inverse = 1 / x_scale */
    mtl__warp warp;                      /* of the raw inputs; its knots are the model's */
    bool moves_zero;                     /* a column has a mean, or is warped */
    const char **input_names;            /* [raw inputs], of the rows it was fitted on; NULL = none */
    bool is_clipped;                     /* predictions stay within: */
    float *y_low, *y_high;               /* [outputs], in label units; +-FLT_MAX = any */
    float *y_mean, *y_scale;             /* [outputs], by column of z; 0 and 1 but for regression */
    /* Calibration, [outputs] by column of z, one block of memory: a class task's logits become slope *
       z + shift before the link; radius: half an interval around a value, NaN = none. */
    float *slope, *shift, *radius;
    bool is_calibrated; /* some logit changes by it */
    /* Weights of classes, [outputs] by column of z: of class j of a multiclass task class_weight of
       its column j; of others those of the labels 0 (zero_weight) and 1. 1 without class weights. */
    float *zero_weight, *class_weight;
} mtl__pipeline;

struct mtl_model {
    mtl_context *ctx;
    mtl_spec *spec;
    mtl__network net;
    mtl__param *param;
    int64_t params, params_capacity;
    mtl__names names; /* of the tensors, by their numbers */
    float *values; /* [net.params] */
    mtl__pipeline pipe;
    mtl__forward forward; /* of the numbers above */
    mtl__members *members; /* in the place of layers, NULL = none */
    int64_t *out_column; /* [tasks]: first column of each task in what predict gives */
    bool is_set;         /* trained, or a tensor was set: weights are not drawn again */
    atomic_bool is_busy; /* a writer is at work */
    /* What a running call keeps on the heap stands here, so that an exception which leaves through a
       callback loses nothing: it is freed with the model. */
    void *running;
    void (*running_free)(void *running);
    void *kept; /* what a call leaves for the next one (train/partial_fit.c); freed with the model */
    void (*kept_free)(void *kept);
};

/* How a model scales its inputs; its members do that, where it has such. */
static inline mtl__input_scale mtl__model_scale(const mtl_model *m)
{
    return (mtl__input_scale){.raw_inputs = m->net.raw_inputs,
                              .inputs = m->net.inputs,
                              .mean = m->members ? NULL : m->pipe.x_mean,
                              .inverse = m->pipe.x_inverse,
                              .warp = m->pipe.warp};
}

mtl_status mtl__model_create(const mtl_spec *spec, mtl_model **out, mtl_error *err);
/* The same with all weights 0, for one whose weights come from elsewhere. */
mtl_status mtl__model_create_blank(const mtl_spec *spec, mtl_model **out, mtl_error *err);
mtl_status mtl__model_create_in(mtl_context *ctx, const mtl_spec *spec, mtl_model **out,
                                mtl_error *err);
void mtl__model_destroy(mtl_model *m);
mtl_status mtl__model_clone(const mtl_model *m, mtl_model **out, mtl_error *err);
/* The same in another context. */
mtl_status mtl__model_clone_in(mtl_context *ctx, const mtl_model *m, mtl_model **out,
                               mtl_error *err);

/* Draw all weights from the seed; biases 0. */
void mtl__model_draw(mtl_model *m, uint64_t seed);

/* Input columns with an embedding are numbers, not figures: they are moved by one, so that 0 is left
   for the missing ones, and not scaled. */
void mtl__model_keep_categories(const mtl_model *m, float *mean, float *scale);
/* The knots of such columns, for which nothing is done. */
void mtl__model_keep_unwarped(const mtl_model *m, int64_t knots, float *knot);
/* Another warp, with knots from the model's allocator. mtl__model_scaled() is still to be called. */
void mtl__model_set_warp(mtl_model *m, mtl__warp warp);

/* MTL_ERR_STATE when sparse inputs are not for the model: another layer than dense reads them, it has
   missing indicators, or its scaling moves zeros. what: the inputs. */
mtl_status mtl__model_takes_sparse(const mtl_model *m, const char *what, mtl_error *err);
/* Has a scaling by these means another value for 0? */
bool mtl__moves_zero(int64_t inputs, const float *mean);

/* Set to 0, in a vector as long as the parameters, the weights that are not trained: those of the
   thresholds of ordinal tasks. Of layers that read the inputs only the `count` rows listed, where rows
   is not NULL. */
void mtl__model_clear_fixed(const mtl_model *m, float *vector, const int32_t *rows, int64_t count);

/* Is the tensor a matrix of which all columns but the first are those of thresholds? */
bool mtl__model_has_thresholds(const mtl_model *m, const mtl__param *p);

/* Number of the tensor of that name, or -1. */
int64_t mtl__model_param(const mtl_model *m, const char *name);
/* Where the parameter begins. */
static inline float *mtl__param_values(const mtl_model *m, const mtl__param *p)
{
    return (m->members ? m->members->model[p->member]->values : m->values) + p->offset;
}

/* A vector is one row. */
static inline int64_t mtl__param_rows(const mtl__param *p)
{
    return mtl__role_has_rows(p->role) ? p->shape[0] : 1;
}

static inline int64_t mtl__param_cols(const mtl__param *p)
{
    return mtl__role_has_rows(p->role) ? p->shape[1] : p->shape[0];
}

void mtl__param_get(const mtl_model *m, const mtl__param *p, float *out);
void mtl__param_set(mtl_model *m, const mtl__param *p, const float *values);
/* W [rows, cols] += scale A B with A [rows, rank] and B [rank, cols]: an FMA for each number and rank. */
void mtl__add_product(const mtl__vec *v, int64_t rows, int64_t cols, int64_t rank, float scale,
                      const float *a, const float *b, float *w, int64_t ldw);
/* Does `name` mean the tensor: its name (trunk.0.weight), its layer (trunk.0), its depth
   (trunk.0..2), its group (trunk) or all of its kind (*.bias)? */
bool mtl__param_matches(const mtl__param *p, const char *name);

/* Each becomes the other; claims stay, what calls keep with a model is freed. Neither is running. */
void mtl__model_swap(mtl_model *a, mtl_model *b);

/* The writer's claim on the model: MTL_ERR_BUSY when another has it. */
mtl_status mtl__model_acquire(mtl_model *m, mtl_error *err);
void mtl__model_release(mtl_model *m);

/* After means and scales of the inputs were written. */
void mtl__model_scaled(mtl_model *m);
/* Forget the calibration. Whatever changes weights calls it. */
void mtl__model_uncalibrate(mtl_model *m);
/* After slopes and shifts were written. */
void mtl__model_calibrated(mtl_model *m);

/* Take names of the raw inputs (mtl__name_list_copy) where the model has none, else free them. */
void mtl__model_name_inputs(mtl_model *m, const char **names);

/* Copy the targets' figures of task u to task t, which has as many outputs. */
void mtl__model_adopt_targets(mtl_model *to, int64_t t, const mtl_model *from, int64_t u);
/* Copy tensors and scaling of every task and layer that both have with equal shapes; a failure changes
   nothing. */
mtl_status mtl__model_adopt(mtl_model *to, const mtl_model *from, mtl_error *err);

/* predict.c. task -1 = all, side by side. */
mtl_status mtl__model_predict(const mtl_model *m, int64_t task, int64_t rows, const float *x,
                              int64_t x_stride, float *out, int64_t out_stride, mtl_error *err);

mtl_status mtl__model_predict_csr(const mtl_model *m, int64_t rows, const mtl__csr *csr, float *out,
                                  int64_t out_stride, mtl_error *err);

/* Label columns of a task. */
static inline int64_t mtl__model_label_cols(const mtl_model *m, int64_t task)
{
    return mtl__label_cols(m->spec->task[task].kind, m->spec->task[task].outputs);
}

/* predictor.c */
mtl_status mtl__predictor_create(const mtl_model *m, int64_t block_rows, mtl_predictor **out,
                                 mtl_error *err);
void mtl__predictor_destroy(mtl_predictor *p);
int64_t mtl__predictor_inputs(const mtl_predictor *p);
int64_t mtl__predictor_outputs(const mtl_predictor *p);
void mtl__predictor_run(mtl_predictor *p, int64_t rows, const float *x, int64_t x_stride,
                        float *out, int64_t out_stride);

/* model_file.c */
/* What else a file holds that has a model in it: tensors whose names begin with "training." and a
   text. A reader of models passes over them. */
typedef struct mtl__model_extra {
    const mtl__tensor *tensor;
    int64_t tensors;
    const char *key, *text;
} mtl__model_extra;
mtl_status mtl__model_save_with(const mtl_model *m, const mtl__model_extra *extra, const char *path,
                                mtl_error *err);
mtl_status mtl__model_save(const mtl_model *m, const char *path, mtl_error *err);
mtl_status mtl__model_save_buffer(const mtl_model *m, void **buffer, int64_t *bytes,
                                  mtl_error *err);
mtl_status mtl__model_load(mtl_context *ctx, const char *path, mtl_model **out, mtl_error *err);
mtl_status mtl__model_load_buffer(mtl_context *ctx, const void *buffer, int64_t bytes,
                                  mtl_model **out, mtl_error *err);

/* summary.c: text from mtl__buffer_alloc. */
mtl_status mtl__model_summary(const mtl_model *m, char **text, mtl_error *err);

#endif
