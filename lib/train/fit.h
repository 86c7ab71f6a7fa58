/* SPDX-License-Identifier: MIT */
/* From options and data sets to a trainer, and the pipeline's fitting. */
#ifndef MTL__FIT_H
#define MTL__FIT_H

#include "train/checkpoint.h"

extern const mtl__option_group mtl__fit_options;

/* Rows that every group of options has whose calls train, and their reading. */
#define MTL__UPDATE_OPTIONS                                                                        \
    MTL__OPTION_STR("optimizer", "adam",                                                           \
                    "adam:beta1=0.9,beta2=0.999,eps=1e-07,amsgrad=0|"                              \
                    "adamw:beta1=0.9,beta2=0.999,eps=1e-07,weight_decay=0.01,amsgrad=0|"           \
                    "nadam:beta1=0.9,beta2=0.999,eps=1e-07,momentum_decay=0.004|"                  \
                    "sgd:momentum=0,nesterov=0|rmsprop:alpha=0.99,momentum=0,eps=1e-07|"           \
                    "adagrad:eps=1e-07|lion:beta1=0.9,beta2=0.99,weight_decay=0",                  \
                    &mtl__optimizers,                                                              \
                    "how gradients become steps; weight_decay (decoupled) spares the biases"),     \
    MTL__OPTION_STR("schedule", "constant",                                                        \
                    "constant|step:every=10,gamma=0.1|exponential:gamma=0.95|cosine:final=0|"      \
                    "flat_cos:start=0.5|coslog:cycles=4|linear:final=0|geometric:final=0.01|"      \
                    "one_cycle:pct_start=0.3,div=25,final_div=10000,max_momentum=0,"               \
                    "base_momentum=0.85|"                                                          \
                    "plateau:factor=0.1,patience=10,threshold=0.0001,cooldown=0,min=0",            \
                    &mtl__schedules,                                                               \
                    "factor of learning_rate; step, exponential and plateau (of the validation "   \
                    "loss) go by epochs, the others by steps; max_momentum (0 = off): momentum or " \
                    "beta1 go from there to base_momentum and back"),                              \
    MTL__OPTION_F64("warmup", 0, 0, 1e12,                                                          \
                    "first steps (below 1: share of all) with a linearly growing rate; schedules " \
                    "by steps begin after them"),                                                  \
    MTL__OPTION_STR("dropout_schedule", "constant",                                                \
                    "constant|step:every=10,gamma=0.1|exponential:gamma=0.95|cosine:final=0|"      \
                    "flat_cos:start=0.5|coslog:cycles=4|linear:final=0|geometric:final=0.01",      \
                    &mtl__schedules,                                                                \
                    "factor of the rates of dropout, above 1 as 1"),                               \
    MTL__OPTION_STR("decay_schedule", "constant",                                                  \
                    "constant|step:every=10,gamma=0.1|exponential:gamma=0.95|cosine:final=0|"      \
                    "flat_cos:start=0.5|coslog:cycles=4|linear:final=0|geometric:final=0.01",      \
                    &mtl__schedules,                                                                \
                    "factor of the optimizer's weight_decay, above 1 as 1"),                       \
    MTL__OPTION_F64("clip_norm", 0, 0, 1e30,                                                       \
                    "largest norm of the losses' gradient; 0 = any"),                              \
    MTL__OPTION_F64("clip_value", 0, 0, 1e30,                                                      \
                    "largest part of the losses' gradient, cut before the norm; 0 = any"),         \
    MTL__OPTION_STR("average", "none", "none|ema:decay=0.999|swa:start=0.75", &mtl__averages,      \
                    "parameters to judge and hand out: ema over steps, swa over epochs from a "     \
                    "share on"),                                                                   \
    MTL__OPTION_STR("sparse_update", "lazy", "lazy|dense", NULL,                                   \
                    "of weights on sparse inputs a step changes those of its batch's columns "     \
                    "(lazy), or all; see mtl_dataset_create_csr"),                                 \
    MTL__OPTION_STR("weighting", "sum",                                                            \
                    "sum|mean|constant:weights=1/1|rlw|mgda:normalise=none|"                   \
                    "pcgrad:order=seed|gradvac:beta=0.5|cagrad:c=0.4,rescale=0|imtl_g|"            \
                    "nash:max_norm=1|fairgrad:alpha=1|aligned_mtl:mode=min|upgrad|dualproj|"       \
                    "config|gradnorm:alpha=1.5,rate=1|gated:main=1/0,decay=0.9|a_gem:main=1/0|"   \
                    "graddrop:leak=0|db_mtl:beta=0.9,sigma=0|excess_mtl:eta=0.01|"                 \
                    "uw:rate=0.01|dwa:temperature=2|gls|"                                          \
                    "imtl_l:rate=0.01|stch:mu=1,warm_up=0|famo:rate=0.025,decay=0.001|auto:folds=5",\
                    &mtl__aggregate_table,                                                         \
                    "weights of the tasks' gradients in the trunk, see mtl_aggregate; heads get "  \
                    "their own gradient; auto: mtl_fit chooses, see there"),                       \
    MTL__OPTION_STR("weighting_scope", "trunk", "trunk|features|layer", NULL,                      \
                    "which gradients it compares: by the trunk's parameters, at less cost by its " \
                    "output, or by the parameters of each layer for weights of its own"),          \
    MTL__OPTION_I64("weighting_every", 1, 1, 1000000,                                              \
                    "steps from one comparison to the next; the weights stay meanwhile"),          \
    MTL__OPTION_STR("groups", "", "", NULL,                                                        \
                    "factors of the learning rate (0 = frozen) and of l1, l2 and weight_decay of " \
                    "named tensors, e.g. trunk.0:rate=0.1,decay=0;head:rate=2;*.bias:rate=0.1")

mtl__weighting_set mtl__read_weighting(const mtl_options *o, const mtl__option_group *g);
void mtl__read_update(const mtl_options *o, const mtl__option_group *g, mtl__train_settings *set);

/* mtl_fit() without the checks of its arguments; the model is claimed. */
mtl_status mtl__fit_all(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                        const mtl_options *o, mtl_report **report, mtl_error *err);
/* mtl_resume() likewise. */
mtl_status mtl__resume(mtl_context *ctx, const char *path, const mtl_dataset *train,
                       const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                       mtl_report **report, mtl_error *err);

/* Take the validation rows off the training rows where the options say so and *valid is NULL; then both
   are data sets in `split`, which the caller destroys. */
mtl_status mtl__split_validation(const mtl_options *o, const mtl_dataset **train,
                                 const mtl_dataset **valid, mtl_dataset *split[2], mtl_error *err);

/* What a caller changes of a fit: settings before they are used, the trainer before it runs. */
typedef struct mtl__fit_changes {
    void *self;
    void (*settings)(void *self, mtl__train_settings *set); /* NULL = none */
    mtl_status (*trainer)(void *self, mtl__trainer *t, mtl_error *err);
    mtl_status (*reserve)(void *self, mtl__trainer *t, mtl_error *err); /* NULL = none; a failure
                                                                           leaves the model as it was */
} mtl__fit_changes;

mtl_status mtl__fit_changed(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                            const mtl_options *o, const mtl__fit_changes *changes,
                            mtl_report **report, mtl_error *err);

/* New scaling figures beside the model's, so that a failure changes nothing. */
typedef struct mtl__scaling {
    const mtl__allocator *al;
    int64_t inputs, outputs;
    float *x_mean, *x_scale, *y_mean, *y_scale, *zero_weight, *class_weight;
    float *y_low, *y_high;
    bool is_clipped;
    bool fits_inputs;  /* else the model's warp stays */
    int64_t raw_inputs;
    mtl__warp x_warp;
    float *edges; /* of the network's layer of bins, as its tensor; NULL = none, or they stay */
    int64_t edge_floats;
    const char **input_names; /* [raw_inputs], for a model without */
} mtl__scaling;

/* A fit in parts: begun, its trainer advanced until it has a reason to end, finished, freed. It hangs
   on the model, so one that an exception cuts off is freed with that, and *owner becomes NULL. */
typedef struct mtl__fit {
    mtl_model *m;
    mtl_dataset *split[2]; /* made by validation_split */
    mtl_dataset *view[2];  /* a trainer handle's hold on the caller's data */
    mtl_options *options;  /* a trainer handle's copy */
    mtl__trainer *trainer;
    mtl__scaling scaling;
    mtl__checkpoint checkpoint;
    struct mtl__fit **owner;
} mtl__fit;

mtl_status mtl__fit_begin(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                          const mtl_options *o, const mtl__fit_changes *changes, mtl__fit **out,
                          mtl_error *err);
void mtl__fit_finish(mtl__fit *f, mtl_report **report); /* report may be NULL */
void mtl__fit_free(mtl__fit *f);

/* lr_find.c: mtl_lr_find() without the checks of its arguments. */
mtl_status mtl__lr_find(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                        mtl_report **report, mtl_error *err);

/* Those of the model, then fitted on data: inputs by kind if fit_inputs; the targets of regression tasks
   for which fit_target [tasks] says so, and their limits if clip; balanced class weights if no fit was before. */
mtl_status mtl__scaling_create(const mtl_model *m, const mtl__binding *b, bool fit_inputs,
                               mtl__scaler_kind kind, bool clip, const bool *fit_target, mtl__scaling *out, mtl_error *err);
/* The scaling that the options of a fit ask for. */
mtl_status mtl__fit_scaling(const mtl_model *m, const mtl__binding *train, const mtl_options *o,
                            mtl__scaling *out, mtl_error *err);
/* Gives its knots away. */
void mtl__scaling_apply(mtl__scaling *s, mtl_model *m);
void mtl__scaling_free(mtl__scaling *s);

#endif
