/* SPDX-License-Identifier: MIT */
/* The description that networks are built from. */
#ifndef MTL__SPEC_H
#define MTL__SPEC_H

#include "ctx/context.h"
#include "layer/initializer.h"
#include "layer/layer.h"
#include "loss/loss.h"
#include "mem/names.h"

#define MTL__SIZE_MAX 16777216 /* of inputs, units and outputs */
#define MTL__LAYERS_MAX 256
#define MTL__TASKS_MAX 65536

typedef struct mtl__layer_spec {
    const mtl__layer_type *type;
    int64_t units; /* dense, embeddings */
    mtl__act act;
    double rate;                /* dropout; input scaling: factor of the learning rate */
    double eps, momentum;       /* norms */
    int64_t column, categories; /* embedding: of the inputs */
    int64_t back;               /* residual */
    int64_t features;           /* numeric embedding: frequencies or bins, of a column */
    double spread;              /* the same, of the first frequencies */
    bool shares;                /* the same, one matrix for all columns */
} mtl__layer_spec;

typedef struct mtl__layer_list {
    mtl__layer_spec *layer;
    int64_t count, capacity;
} mtl__layer_list;

/* How the members of an ensemble in one network differ (docs/architecture.md). */
typedef enum mtl__ensemble_kind {
    MTL__TABM, /* scales and biases of their own in every layer */
    MTL__MINI  /* only factors of the inputs, and heads */
} mtl__ensemble_kind;
#define MTL__MEMBERS_MAX 1024

/* "1/2/0.5": numbers, or a word in their place. */
typedef struct mtl__numbers {
    char *text;   /* as given, NULL = "" */
    float *value; /* NULL = "" or a word */
    int64_t count;
} mtl__numbers;

#define MTL__BALANCED "balanced"

typedef struct mtl__task_spec {
    char *name;
    int32_t kind;
    int64_t outputs;
    double weight;
    const mtl__loss *loss;
    double loss_param[MTL__CHOICE_PARAMS];
    char *head; /* as given, "" = none */
    mtl__layer_list tower;
    mtl__numbers class_weights, quantiles;
    mtl_loss_cb loss_cb; /* in the place of loss, NULL = none */
    void *loss_user;
} mtl__task_spec;

struct mtl_spec {
    mtl_context *ctx;
    int64_t inputs;
    mtl__layer_list trunk;
    mtl__task_spec *task;
    int64_t tasks, tasks_capacity;
    mtl__names names; /* of the tasks, by their numbers */
    const mtl__initializer *initializer;
    mtl__choice architecture; /* rows: mtl__architecture */
    bool linear_skip;
    bool zero_heads; /* last layers start at 0 */
    bool of_members;         /* no layers of its own: members stand in for them */
    int64_t members; /* of the ensemble; 1 = none */
    mtl__ensemble_kind ensemble;
    int64_t *numeric, numerics; /* input columns of the numeric embedding, ascending */
    bool missing_indicators; /* a second column for each input: 1 where it is missing */
};

extern const mtl__option_group mtl__task_options;

mtl_status mtl__spec_create(mtl_context *ctx, int64_t inputs, mtl_spec **out, mtl_error *err);
void mtl__spec_destroy(mtl_spec *s);
mtl_status mtl__spec_set_missing_indicators(mtl_spec *s, bool on, mtl_error *err);
/* Columns that the first layer sees. */
static inline int64_t mtl__spec_width(const mtl_spec *s)
{
    return s->missing_indicators ? 2 * s->inputs : s->inputs;
}
/* Without its tasks if trunk_only. */
mtl_status mtl__spec_clone_in(mtl_context *ctx, const mtl_spec *s, bool trunk_only, mtl_spec **out,
                              mtl_error *err);
mtl_status mtl__spec_clone(const mtl_spec *s, bool trunk_only, mtl_spec **out, mtl_error *err);
mtl_status mtl__spec_add_dense(mtl_spec *s, int64_t units, const char *activation, mtl_error *err);
/* Dense ones by one text, "64:relu,32:relu"; those before a mistake in it are there. */
mtl_status mtl__spec_add_layers(mtl_spec *s, const char *text, mtl_error *err);
mtl_status mtl__spec_add_dropout(mtl_spec *s, double rate, mtl_error *err);
mtl_status mtl__spec_add_norm(mtl_spec *s, const char *kind, mtl_error *err);
mtl_status mtl__spec_add_residual(mtl_spec *s, int64_t layers, mtl_error *err);
mtl_status mtl__spec_add_embedding(mtl_spec *s, int64_t column, int64_t categories, int64_t units,
                                   mtl_error *err);
/* columns NULL = all that have no embedding. */
mtl_status mtl__spec_add_numeric(mtl_spec *s, const char *kind, int64_t count,
                                 const int64_t *columns, mtl_error *err);
/* As a text that mtl__spec_add_numeric() takes. */
void mtl__spec_numeric_text(const mtl__layer_spec *l, mtl__bytes *out);
mtl_status mtl__spec_add_input_scaling(mtl_spec *s, double rate, mtl_error *err);
mtl_status mtl__spec_add_parametric(mtl_spec *s, const char *activation, double rate, mtl_error *err);
mtl_status mtl__spec_set_ensemble(mtl_spec *s, int64_t members, const char *kind, mtl_error *err);
extern const mtl__choice_table mtl__architectures;
mtl_status mtl__spec_set_architecture(mtl_spec *s, const char *text, mtl_error *err);
/* As a text that this takes. */
void mtl__spec_architecture_text(const mtl_spec *s, mtl__bytes *out);
/* Is it another one than "shared"? */
static inline bool mtl__spec_has_streams(const mtl_spec *s)
{
    return s->architecture.row != mtl__architectures.rows;
}
static inline const char *mtl__ensemble_name(mtl__ensemble_kind kind)
{
    return kind == MTL__MINI ? "mini" : "tabm";
}
mtl_status mtl__spec_set_initializer(mtl_spec *s, const char *name, mtl_error *err);
mtl_status mtl__spec_add_task(mtl_spec *s, const char *name, int32_t kind, int64_t outputs,
                              mtl_error *err);
/* One more task like t, without its own layers if !with_head. */
mtl_status mtl__spec_copy_task(mtl_spec *to, const mtl__task_spec *t, bool with_head,
                               mtl_error *err);
mtl_status mtl__spec_task_set_number(mtl_spec *s, const char *task, const char *key, double value,
                                     bool whole, mtl_error *err);
mtl_status mtl__spec_task_set_text(mtl_spec *s, const char *task, const char *key,
                                   const char *value, mtl_error *err);
/* Number of the task of that name, or -1. */
int64_t mtl__spec_task(const mtl_spec *s, const char *name);
/* The loss as a text that mtl__spec_task_set_text() takes: "huber:delta=2". */
void mtl__spec_loss_text(const mtl__task_spec *t, mtl__bytes *out);
static inline bool mtl__spec_is_balanced(const mtl__task_spec *t)
{
    return t->class_weights.text && !t->class_weights.value;
}

/* Kinds of task: "binary", ...; NULL and 0 for unknown ones. */
const char *mtl__kind_name(int32_t kind);
int32_t mtl__kind_parse(const char *name);

/* Label columns that a task of this kind has. */
static inline int64_t mtl__label_cols(int32_t kind, int64_t outputs)
{
    return kind == MTL_BINARY || kind == MTL_MULTICLASS || kind == MTL_QUANTILE ? 1 : outputs;
}

/* Are labels class numbers, and predictions probabilities? */
static inline bool mtl__kind_is_class(int32_t kind)
{
    return kind == MTL_BINARY || kind == MTL_MULTICLASS || kind == MTL_MULTILABEL;
}

/* Are targets standardised inside the model? */
static inline bool mtl__kind_is_scaled(int32_t kind)
{
    return kind == MTL_REGRESSION || kind == MTL_QUANTILE;
}

#endif
