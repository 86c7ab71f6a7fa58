/* SPDX-License-Identifier: MIT */
#include "model/spec.h"

#include <string.h>

#include "base/text.h"
#include "io/json.h"

static const mtl__option task_table[] = {
    MTL__OPTION_F64("weight", 1, 0, 1000000, "factor of the task's loss in the sum"),
    MTL__OPTION_STR("loss", "auto",
                    "auto|binary_cross_entropy:smoothing=0,positive_weight=1|"
                    "cross_entropy:smoothing=0|focal:gamma=2,alpha=0.25|ordinal|squared_error|"
                    "absolute_error|huber:delta=1|log_cosh|poisson|gamma|tweedie:power=1.5|"
                    "quantile",
                    &mtl__losses, "loss; auto = the usual one of the task's kind"),
    MTL__OPTION_STR("head", "", "", NULL,
                    "own layers before the output layer, units:activation, e.g. 32:relu,16:relu"),
    MTL__OPTION_STR("class_weights", "", "", NULL,
                    "factor of a label's weight by its class, e.g. 1/2/0.5, or balanced = labels / "
                    "(classes * labels of the class) in the training rows"),
    MTL__OPTION_STR("quantiles", "", "", NULL,
                    "which quantiles, e.g. 0.1/0.5/0.9; empty = evenly spaced, k / (outputs + 1)"),
};

const mtl__option_group mtl__task_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_TASK, "task", task_table, false);

static const char *const kind_names[] = {
    [MTL_BINARY] = "binary",
    [MTL_MULTICLASS] = "multiclass",
    [MTL_MULTILABEL] = "multilabel",
    [MTL_REGRESSION] = "regression",
    [MTL_COUNT] = "count",
    [MTL_QUANTILE] = "quantile",
};

const char *mtl__kind_name(int32_t kind)
{
    return kind >= MTL_BINARY && kind <= MTL_QUANTILE ? kind_names[kind] : NULL;
}

int32_t mtl__kind_parse(const char *name)
{
    for (int32_t kind = MTL_BINARY; kind <= MTL_QUANTILE; kind++)
        if (strcmp(name, kind_names[kind]) == 0)
            return kind;
    return 0;
}

mtl_status mtl__spec_create(mtl_context *ctx, int64_t inputs, mtl_spec **out, mtl_error *err)
{
    if (inputs < 1 || inputs > MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "inputs must be in 1 .. %d, not %lld", MTL__SIZE_MAX,
                        (long long)inputs);
    mtl_status st = mtl__context_ref(ctx, &ctx, err);
    if (st != MTL_OK)
        return st;
    mtl_spec *s = mtl__alloc_zero(&ctx->al, sizeof *s);
    if (!s) {
        mtl__context_unref(ctx);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a spec");
    }
    s->ctx = ctx;
    s->inputs = inputs;
    s->members = 1;
    s->initializer = mtl__initializers.rows; /* the first one is the default, here and below */
    s->architecture.row = mtl__architectures.rows;
    *out = s;
    return MTL_OK;
}

static void free_list(const mtl__allocator *al, mtl__layer_list *list)
{
    mtl__free(al, list->layer, list->capacity * (int64_t)sizeof *list->layer);
    *list = (mtl__layer_list){0};
}

static void free_numbers(const mtl__allocator *al, mtl__numbers *n)
{
    mtl__strfree(al, n->text);
    if (n->value)
        mtl__free(al, n->value, n->count * (int64_t)sizeof *n->value);
    *n = (mtl__numbers){0};
}

static void free_task(const mtl__allocator *al, mtl__task_spec *t)
{
    free_numbers(al, &t->class_weights);
    free_numbers(al, &t->quantiles);
    mtl__strfree(al, t->name);
    mtl__strfree(al, t->head);
    free_list(al, &t->tower);
}

static void forget_numeric(mtl_spec *s)
{
    mtl__free(&s->ctx->al, s->numeric, s->numerics * (int64_t)sizeof *s->numeric);
    s->numeric = NULL;
    s->numerics = 0;
}

void mtl__spec_destroy(mtl_spec *s)
{
    if (!s)
        return;
    mtl_context *ctx = s->ctx;
    for (int64_t t = 0; t < s->tasks; t++)
        free_task(&ctx->al, &s->task[t]);
    mtl__names_free(&s->names, &ctx->al);
    mtl__free(&ctx->al, s->task, s->tasks_capacity * (int64_t)sizeof *s->task);
    free_list(&ctx->al, &s->trunk);
    forget_numeric(s);
    mtl__free(&ctx->al, s, sizeof *s);
    mtl__context_unref(ctx);
}

/* Room for one more element behind count; arrays start with 4 and double. */
static bool grow(const mtl__allocator *al, void **array, int64_t count, int64_t *capacity,
                 int64_t size)
{
    if (count < *capacity)
        return true;
    int64_t more = *capacity ? *capacity * 2 : 4;
    void *p = mtl__realloc(al, *array, *capacity * size, more * size);
    if (!p)
        return false;
    *array = p;
    *capacity = more;
    return true;
}

static mtl_status append_layer(mtl_spec *s, mtl__layer_list *list, const mtl__layer_spec *layer,
                               mtl_error *err)
{
    void *array = list->layer;
    if (list->count >= MTL__LAYERS_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "more than %d layers", MTL__LAYERS_MAX);
    if (!grow(&s->ctx->al, &array, list->count, &list->capacity, sizeof *list->layer))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for layer %lld", (long long)list->count);
    list->layer = array;
    list->layer[list->count++] = *layer;
    return MTL_OK;
}

/* [activation, activation + length), length < 0 = up to its NUL. */
static mtl_status append_dense(mtl_spec *s, mtl__layer_list *list, int64_t units,
                               const char *activation, int64_t length, mtl_error *err)
{
    mtl__act act;
    if (units < 1 || units > MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "units must be in 1 .. %d, not %lld", MTL__SIZE_MAX,
                        (long long)units);
    mtl_status st = mtl__act_parse(activation, length, &act, err);
    if (st != MTL_OK)
        return st;
    const mtl__layer_spec layer = {.type = &mtl__dense_layer, .units = units, .act = act};
    return append_layer(s, list, &layer, err);
}

mtl_status mtl__spec_add_dense(mtl_spec *s, int64_t units, const char *activation, mtl_error *err)
{
    return append_dense(s, &s->trunk, units, activation, -1, err);
}

mtl_status mtl__spec_add_dropout(mtl_spec *s, double rate, mtl_error *err)
{
    if (!(rate >= 0 && rate < 1))
        return MTL_FAIL(err, MTL_ERR_RANGE, "dropout rate must be in 0 <= rate < 1, not %s",
                        mtl__num(rate).text);
    const mtl__layer_spec layer = {.type = &mtl__dropout_layer, .rate = rate};
    return append_layer(s, &s->trunk, &layer, err);
}

mtl_status mtl__spec_add_norm(mtl_spec *s, const char *kind, mtl_error *err)
{
    mtl__choice c;
    mtl_status st = mtl__choice_parse(&mtl__norms, kind, -1, &c, err);
    if (st != MTL_OK)
        return st;
    const mtl__norm *row = c.row;
    bool moves = row->type == &mtl__batch_norm_layer;
    const mtl__layer_spec layer = {.type = row->type,
                                   .eps = c.value[MTL__NORM_EPS],
                                   .momentum = moves ? c.value[MTL__NORM_MOMENTUM] : 0};
    return append_layer(s, &s->trunk, &layer, err);
}

mtl_status mtl__spec_set_missing_indicators(mtl_spec *s, bool on, mtl_error *err)
{
    if (s->trunk.count > 0)
        return MTL_FAIL(err, MTL_ERR_STATE, "missing indicators come before all layers");
    if (on && s->inputs > MTL__SIZE_MAX / 2)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%lld inputs and as many indicators are more than %d",
                        (long long)s->inputs, MTL__SIZE_MAX);
    s->missing_indicators = on;
    return MTL_OK;
}

/* Columns behind the first `count` layers of the trunk. */
static int64_t width_behind(const mtl_spec *s, int64_t count)
{
    int64_t width = mtl__spec_width(s);
    for (int64_t i = 0; i < count; i++) {
        const mtl__layer_spec *l = &s->trunk.layer[i];
        if (l->type == &mtl__dense_layer)
            width = l->units;
        else if (l->type == &mtl__embedding_layer)
            width += l->units - 1;
        else if (mtl__numeric_of(l->type))
            width += s->numerics * (l->units - 1);
    }
    return width;
}

mtl_status mtl__spec_add_residual(mtl_spec *s, int64_t layers, mtl_error *err)
{
    int64_t count = s->trunk.count;
    if (layers < 1 || layers > count)
        return MTL_FAIL(err, MTL_ERR_RANGE,
                        "a residual spans 1 .. %lld layers, those before it, not %lld",
                        (long long)count, (long long)layers);
    int64_t from = width_behind(s, count - layers), to = width_behind(s, count);
    if (from != to)
        return MTL_FAIL(err, MTL_ERR_SHAPE,
                        "a residual over %lld layers adds %lld columns to %lld: they must be as many",
                        (long long)layers, (long long)from, (long long)to);
    const mtl__layer_spec layer = {.type = &mtl__residual_layer, .back = layers};
    return append_layer(s, &s->trunk, &layer, err);
}

static mtl_status check_embedding(const mtl_spec *s, int64_t column, int64_t categories,
                                  int64_t units, mtl_error *err)
{
    if (column < 0 || column >= s->inputs)
        return MTL_FAIL(err, MTL_ERR_RANGE, "column must be in 0 .. %lld, not %lld",
                        (long long)s->inputs - 1, (long long)column);
    if (categories < 1 || categories >= MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "categories must be in 1 .. %d, not %lld",
                        MTL__SIZE_MAX - 1, (long long)categories);
    if (units < 1 || units > MTL__SIZE_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "units must be in 1 .. %d, not %lld", MTL__SIZE_MAX,
                        (long long)units);
    for (int64_t i = 0; i < s->trunk.count; i++) {
        if (s->trunk.layer[i].type != &mtl__embedding_layer)
            return MTL_FAIL(err, MTL_ERR_STATE,
                            "embeddings of categories come before all other layers");
        if (s->trunk.layer[i].column == column)
            return MTL_FAIL(err, MTL_ERR_STATE, "column %lld has an embedding already",
                            (long long)column);
    }
    return MTL_OK;
}

mtl_status mtl__spec_add_embedding(mtl_spec *s, int64_t column, int64_t categories, int64_t units,
                                   mtl_error *err)
{
    mtl_status st = check_embedding(s, column, categories, units, err);
    const mtl__layer_spec layer = {.type = &mtl__embedding_layer,
                                   .units = units,
                                   .column = column,
                                   .categories = categories};
    return st == MTL_OK ? append_layer(s, &s->trunk, &layer, err) : st;
}

mtl_status mtl__spec_add_input_scaling(mtl_spec *s, double rate, mtl_error *err)
{
    if (!(rate >= 0 && rate <= 1e6))
        return MTL_FAIL(err, MTL_ERR_RANGE, "rate must be in 0 .. 1000000, not %s",
                        mtl__num(rate).text);
    for (int64_t i = 0; i < s->trunk.count; i++)
        if (!mtl__type_is_embedding(s->trunk.layer[i].type))
            return MTL_FAIL(err, MTL_ERR_STATE, "inputs are scaled behind no layers but embeddings");
    const mtl__layer_spec layer = {.type = &mtl__factors_layer, .rate = rate};
    return append_layer(s, &s->trunk, &layer, err);
}

mtl_status mtl__spec_add_parametric(mtl_spec *s, const char *activation, double rate, mtl_error *err)
{
    mtl__layer_spec layer = {.type = &mtl__parametric_layer, .rate = rate};
    if (!(rate >= 0 && rate <= 1e6))
        return MTL_FAIL(err, MTL_ERR_RANGE, "rate must be in 0 .. 1000000, not %s",
                        mtl__num(rate).text);
    mtl_status st = mtl__act_parse(activation, -1, &layer.act, err);
    return st == MTL_OK ? append_layer(s, &s->trunk, &layer, err) : st;
}

/* The input columns that are marked, or, with `columns` NULL, all that have no embedding; `mark` [inputs]
   becomes 1 for them. */
static mtl_status mark_columns(const mtl_spec *s, int64_t count, const int64_t *columns, char *mark,
                               mtl_error *err)
{
    memset(mark, columns ? 0 : 1, (size_t)s->inputs);
    for (int64_t i = 0; i < count && columns; i++) {
        if (columns[i] < 0 || columns[i] >= s->inputs)
            return MTL_FAIL(err, MTL_ERR_RANGE, "column must be in 0 .. %lld, not %lld",
                            (long long)s->inputs - 1, (long long)columns[i]);
        if (mark[columns[i]])
            return MTL_FAIL(err, MTL_ERR_RANGE, "column %lld is named twice", (long long)columns[i]);
        mark[columns[i]] = 1;
    }
    for (int64_t i = 0; i < s->trunk.count; i++) {
        const int64_t column = s->trunk.layer[i].column;
        if (columns && mark[column])
            return MTL_FAIL(err, MTL_ERR_STATE, "column %lld has an embedding already",
                            (long long)column);
        mark[column] = 0;
    }
    return MTL_OK;
}

static mtl_status set_numeric(mtl_spec *s, int64_t count, const int64_t *columns, mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    int64_t n = 0;
    char *mark = mtl__alloc(al, s->inputs);
    if (!mark)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)s->inputs);
    mtl_status st = mark_columns(s, count, columns, mark, err);
    for (int64_t j = 0; j < s->inputs && st == MTL_OK; j++)
        n += mark[j];
    if (st == MTL_OK && n == 0)
        st = MTL_FAIL(err, MTL_ERR_STATE, "no column is left for a numeric embedding");
    if (st == MTL_OK) {
        s->numeric = mtl__alloc(al, n * (int64_t)sizeof *s->numeric);
        st = s->numeric ? MTL_OK
                        : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns", (long long)n);
    }
    for (int64_t j = 0; j < s->inputs && st == MTL_OK; j++)
        if (mark[j])
            s->numeric[s->numerics++] = j;
    mtl__free(al, mark, s->inputs);
    return st;
}

static mtl_status check_numeric(const mtl_spec *s, mtl_error *err)
{
    for (int64_t i = 0; i < s->trunk.count; i++)
        if (s->trunk.layer[i].type != &mtl__embedding_layer)
            return MTL_FAIL(err, MTL_ERR_STATE,
                            s->numerics ? "there is a numeric embedding already"
                                        : "a numeric embedding comes behind no layers but embeddings");
    return MTL_OK;
}

mtl_status mtl__spec_add_numeric(mtl_spec *s, const char *kind, int64_t count,
                                 const int64_t *columns, mtl_error *err)
{
    mtl__choice c;
    mtl_status st = check_numeric(s, err);
    if (st == MTL_OK)
        st = mtl__choice_parse(&mtl__numerics, kind, -1, &c, err);
    if (st == MTL_OK && columns && count < 1)
        st = MTL_FAIL(err, MTL_ERR_RANGE, "count must be at least 1, not %lld", (long long)count);
    if (st == MTL_OK)
        st = set_numeric(s, count, columns, err);
    if (st != MTL_OK)
        return st;
    const mtl__numeric *row = c.row;
    const mtl__layer_spec layer = {.type = row->type,
                                   .units = (int64_t)c.value[0],
                                   .features = row->features < 0 ? (int64_t)c.value[0] - 1
                                                                 : (int64_t)c.value[row->features],
                                   .spread = row->spread < 0 ? 0 : c.value[row->spread],
                                   .shares = row->shares >= 0 && c.value[row->shares] == 1};
    if (mtl__spec_width(s) + s->numerics * (layer.units - 1) > MTL__SIZE_MAX)
        st = MTL_FAIL(err, MTL_ERR_RANGE, "%lld columns of %lld numbers are more than %d",
                      (long long)s->numerics, (long long)layer.units, MTL__SIZE_MAX);
    if (st == MTL_OK)
        st = append_layer(s, &s->trunk, &layer, err);
    if (st != MTL_OK)
        forget_numeric(s);
    return st;
}

void mtl__spec_numeric_text(const mtl__layer_spec *l, mtl__bytes *out)
{
    const mtl__numeric *row = mtl__numeric_of(l->type);
    const mtl__choice_param *p = row->choice.param;
    mtl__bytes_text(out, row->choice.name);
    for (int i = 0; p[i].key; i++) {
        const double value = i == row->spread     ? l->spread
                             : i == row->shares   ? l->shares
                             : i == row->features ? (double)l->features
                                                  : (double)l->units;
        mtl__bytes_format(out, "%s%s=%s", i ? "," : ":", p[i].key, mtl__num(value).text);
    }
}

mtl_status mtl__spec_set_ensemble(mtl_spec *s, int64_t members, const char *kind, mtl_error *err)
{
    if (members < 1 || members > MTL__MEMBERS_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "members must be in 1 .. %d, not %lld", MTL__MEMBERS_MAX,
                        (long long)members);
    const bool is_mini = strcmp(kind, "mini") == 0;
    if (!is_mini && strcmp(kind, "tabm") != 0)
        return MTL_FAIL(err, MTL_ERR_RANGE, "an ensemble is tabm or mini, not \"%.64s\"", kind);
    s->members = members;
    s->ensemble = is_mini ? MTL__MINI : MTL__TABM;
    return MTL_OK;
}

mtl_status mtl__spec_set_architecture(mtl_spec *s, const char *text, mtl_error *err)
{
    return mtl__choice_parse(&mtl__architectures, text, -1, &s->architecture, err);
}

void mtl__spec_architecture_text(const mtl_spec *s, mtl__bytes *out)
{
    const mtl__choice_row *row = s->architecture.row;
    mtl__bytes_text(out, row->name);
    for (int i = 0; row->param && row->param[i].key; i++)
        mtl__bytes_format(out, "%s%s=%s", i ? "," : ":", row->param[i].key,
                          mtl__num(s->architecture.value[i]).text);
}

mtl_status mtl__spec_set_initializer(mtl_spec *s, const char *name, mtl_error *err)
{
    mtl__choice c;
    mtl_status st = mtl__choice_parse(&mtl__initializers, name, -1, &c, err);
    if (st == MTL_OK)
        s->initializer = c.row;
    return st;
}

int64_t mtl__spec_task(const mtl_spec *s, const char *name)
{
    return mtl__names_find(&s->names, name);
}

static mtl_status check_task(const mtl_spec *s, const char *name, int32_t kind, int64_t outputs,
                             mtl_error *err)
{
    if (!*name)
        return MTL_FAIL(err, MTL_ERR_NAME, "a task needs a name");
    if (!mtl__utf8_is_valid(name, (int64_t)strlen(name)))
        return MTL_FAIL(err, MTL_ERR_NAME, "a task's name must be UTF-8");
    if (mtl__spec_task(s, name) >= 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "task \"%.64s\" is there already", name);
    if (!mtl__kind_name(kind))
        return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": no kind has number %d", name, kind);
    int64_t low = kind == MTL_MULTICLASS ? 2 : 1, high = kind == MTL_BINARY ? 1 : MTL__SIZE_MAX;
    if (outputs < low || outputs > high)
        return MTL_FAIL(err, MTL_ERR_RANGE,
                        "task \"%.64s\": a %s task has %lld .. %lld outputs, not %lld", name,
                        mtl__kind_name(kind), (long long)low, (long long)high, (long long)outputs);
    if (s->tasks >= MTL__TASKS_MAX)
        return MTL_FAIL(err, MTL_ERR_RANGE, "more than %d tasks", MTL__TASKS_MAX);
    return MTL_OK;
}

mtl_status mtl__spec_add_task(mtl_spec *s, const char *name, int32_t kind, int64_t outputs,
                              mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    mtl__task_spec t = {.kind = kind, .outputs = outputs, .weight = 1};
    void *array = s->task;
    mtl_status st = check_task(s, name, kind, outputs, err);
    if (st == MTL_OK)
        st = mtl__loss_choose("auto", name, kind, &t.loss, t.loss_param, err);
    if (st != MTL_OK)
        return st;
    t.name = mtl__strdup(al, name);
    t.head = mtl__strdup(al, "");
    if (!t.name || !t.head || !mtl__names_reserve(&s->names, al) ||
        !grow(al, &array, s->tasks, &s->tasks_capacity, sizeof *s->task)) {
        free_task(al, &t);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for task \"%.64s\"", name);
    }
    s->task = array;
    s->task[s->tasks++] = t;
    mtl__names_add(&s->names, t.name);
    return MTL_OK;
}

/* "32:relu,16:relu" into a list of dense layers. */
/* task: for messages; NULL = the trunk. */
static mtl_status parse_layers(mtl_spec *s, const char *task, const char *text,
                               mtl__layer_list *out, mtl_error *err)
{
    const char *end = text + strlen(text);
    for (bool more = text < end; more;) {
        int64_t units;
        const char *stop = memchr(text, ',', (size_t)(end - text));
        const char *item_end = stop ? stop : end;
        const char *p = mtl__parse_i64(text, item_end, &units);
        if (!p || p >= item_end || *p != ':')
            return MTL_FAIL(err, MTL_ERR_RANGE,
                            "%s%.64s%s must read units:activation,..., not \"%.64s\"",
                            task ? "task \"" : "", task ? task : "layers", task ? "\": head" : "",
                            text);
        mtl_status st = append_dense(s, out, units, p + 1, item_end - p - 1, err);
        if (st != MTL_OK)
            return st;
        more = stop != NULL;
        text = item_end + 1;
    }
    return MTL_OK;
}

mtl_status mtl__spec_add_layers(mtl_spec *s, const char *text, mtl_error *err)
{
    return parse_layers(s, NULL, text, &s->trunk, err);
}

static mtl_status set_head(mtl_spec *s, mtl__task_spec *t, const char *value, mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    mtl__layer_list tower = {0};
    mtl_status st = parse_layers(s, t->name, value, &tower, err);
    char *copy = st == MTL_OK ? mtl__strdup(al, value) : NULL;
    if (st == MTL_OK && !copy)
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the head of task \"%.64s\"", t->name);
    if (st != MTL_OK) {
        free_list(al, &tower);
        return st;
    }
    free_list(al, &t->tower);
    mtl__strfree(al, t->head);
    t->tower = tower;
    t->head = copy;
    return MTL_OK;
}

static mtl_status set_loss(mtl_spec *s, mtl__task_spec *t, const char *value, mtl_error *err)
{
    (void)s;
    return mtl__loss_choose(value, t->name, t->kind, &t->loss, t->loss_param, err);
}

/* --- lists of numbers ---------------------------------------------------------------------------- */

/* What a list holds: `count` numbers, each in low .. high, each above the one before if they ascend. */
typedef struct list_rule {
    const char *key;
    int64_t count;
    double low, high;
    bool ascend;
} list_rule;

static int64_t count_items(const char *text)
{
    int64_t n = 1;
    for (; *text; text++)
        n += *text == '/';
    return n;
}

static mtl_status read_items(const char *task, const char *text, const list_rule *rule, float *out,
                             mtl_error *err)
{
    for (int64_t i = 0; i < rule->count; i++) {
        const char *end = text + strcspn(text, "/");
        double x;
        if (mtl__parse_f64(text, end, &x) != end || text == end)
            return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": %s: \"%.*s\" is not a number", task,
                            rule->key, (int)mtl__min(end - text, 64), text);
        if (!(x >= rule->low && x <= rule->high))
            return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": %s must be in %s .. %s, not %s",
                            task, rule->key, mtl__num(rule->low).text, mtl__num(rule->high).text,
                            mtl__num(x).text);
        out[i] = (float)x;
        if (rule->ascend && i > 0 && !(out[i] > out[i - 1]))
            return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": %s must ascend; %s comes after %s",
                            task, rule->key, mtl__num(x).text, mtl__num((double)out[i - 1]).text);
        text = end + 1;
    }
    return MTL_OK;
}

/* Replace *list; "" is none, and `word` stands for no numbers. */
static mtl_status set_numbers(mtl_spec *s, const mtl__task_spec *t, mtl__numbers *list,
                              const char *text, const char *word, const list_rule *rule,
                              mtl_error *err)
{
    const mtl__allocator *al = &s->ctx->al;
    const bool has_values = *text && strcmp(text, word) != 0;
    mtl__numbers n = {.count = has_values ? rule->count : 0};
    mtl_status st = MTL_OK;
    if (has_values && count_items(text) != rule->count)
        return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": %s has %lld numbers, not %lld", t->name,
                        rule->key, (long long)count_items(text), (long long)rule->count);
    n.text = *text ? mtl__strdup(al, text) : NULL;
    n.value = has_values ? mtl__alloc_array(al, n.count, sizeof *n.value) : NULL;
    if ((*text && !n.text) || (has_values && !n.value))
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %s of task \"%.64s\"", rule->key, t->name);
    if (st == MTL_OK && has_values)
        st = read_items(t->name, text, rule, n.value, err);
    if (st != MTL_OK) {
        free_numbers(al, &n);
        return st;
    }
    free_numbers(al, list);
    *list = n;
    return MTL_OK;
}

static mtl_status refuse_kind(const mtl__task_spec *t, const char *key, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": a %s task has no %s", t->name,
                    mtl__kind_name(t->kind), key);
}

static mtl_status set_class_weights(mtl_spec *s, mtl__task_spec *t, const char *value,
                                    mtl_error *err)
{
    const list_rule rule = {.key = "class_weights",
                            .count = t->kind == MTL_MULTICLASS ? t->outputs : 2,
                            .high = 1e6};
    if (!mtl__kind_is_class(t->kind) && *value)
        return refuse_kind(t, rule.key, err);
    return set_numbers(s, t, &t->class_weights, value, MTL__BALANCED, &rule, err);
}

static mtl_status set_quantiles(mtl_spec *s, mtl__task_spec *t, const char *value, mtl_error *err)
{
    const list_rule rule = {
        .key = "quantiles", .count = t->outputs, .low = 1e-6, .high = 0.999999, .ascend = true};
    if (t->kind != MTL_QUANTILE && *value)
        return refuse_kind(t, rule.key, err);
    return set_numbers(s, t, &t->quantiles, value, "", &rule, err);
}

/* --- settings ------------------------------------------------------------------------------------ */

static mtl_status find(const mtl_spec *s, const char *task, const char *key, mtl__task_spec **t,
                       const mtl__option **option, mtl_error *err)
{
    int64_t i = mtl__spec_task(s, task), k;
    if (i < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "no task is called \"%.64s\"", task);
    mtl_status st = mtl__option_find(&mtl__task_options, key, &k, err);
    if (st != MTL_OK)
        return st;
    *t = &s->task[i];
    *option = &task_table[k];
    return MTL_OK;
}

mtl_status mtl__spec_task_set_number(mtl_spec *s, const char *task, const char *key, double value,
                                     bool whole, mtl_error *err)
{
    mtl__task_spec *t;
    const mtl__option *option;
    mtl_status st = find(s, task, key, &t, &option, err);
    if (st == MTL_OK)
        st = mtl__option_check_number(option, value, whole, err);
    if (st == MTL_OK)
        t->weight = value; /* the only number in the table */
    return st;
}

static const struct setter {
    const char *key;
    mtl_status (*set)(mtl_spec *s, mtl__task_spec *t, const char *value, mtl_error *err);
} setters[] = {
    {"loss", set_loss},
    {"head", set_head},
    {"class_weights", set_class_weights},
    {"quantiles", set_quantiles},
};

mtl_status mtl__spec_task_set_text(mtl_spec *s, const char *task, const char *key,
                                   const char *value, mtl_error *err)
{
    mtl__task_spec *t;
    const mtl__option *option;
    mtl_status st = find(s, task, key, &t, &option, err);
    if (st == MTL_OK)
        st = mtl__option_check_text(option, value, err);
    if (st != MTL_OK)
        return st;
    for (int i = 0; i < MTL__COUNT_OF(setters); i++)
        if (strcmp(key, setters[i].key) == 0)
            return setters[i].set(s, t, value, err);
    return MTL_FAIL(err, MTL_ERR_KEY, "task options have no text \"%.64s\"", key);
}

void mtl__spec_loss_text(const mtl__task_spec *t, mtl__bytes *out)
{
    const mtl__choice_param *p = t->loss->choice.param;
    const char *before = ":";
    mtl__bytes_text(out, t->loss->choice.name);
    for (int i = 0; p && p[i].key; i++) {
        if (mtl__loss_is_initial(t->loss, t->loss_param, i))
            continue;
        mtl__bytes_text(out, before);
        mtl__bytes_text(out, p[i].key);
        mtl__bytes_text(out, "=");
        mtl__bytes_text(out, mtl__num(t->loss_param[i]).text);
        before = ",";
    }
}

mtl_status mtl__spec_copy_task(mtl_spec *to, const mtl__task_spec *t, bool with_head,
                               mtl_error *err)
{
    mtl_status st = mtl__spec_add_task(to, t->name, t->kind, t->outputs, err);
    if (st != MTL_OK)
        return st;
    mtl__task_spec *copy = &to->task[to->tasks - 1];
    copy->weight = t->weight;
    copy->loss = t->loss;
    memcpy(copy->loss_param, t->loss_param, sizeof copy->loss_param);
    copy->loss_cb = t->loss_cb;
    copy->loss_user = t->loss_user;
    if (with_head)
        st = set_head(to, copy, t->head, err);
    if (st == MTL_OK && t->class_weights.text)
        st = set_class_weights(to, copy, t->class_weights.text, err);
    if (st == MTL_OK && t->quantiles.text)
        st = set_quantiles(to, copy, t->quantiles.text, err);
    return st;
}

mtl_status mtl__spec_clone(const mtl_spec *s, bool trunk_only, mtl_spec **out, mtl_error *err)
{
    return mtl__spec_clone_in(s->ctx, s, trunk_only, out, err);
}

mtl_status mtl__spec_clone_in(mtl_context *ctx, const mtl_spec *s, bool trunk_only, mtl_spec **out,
                              mtl_error *err)
{
    mtl_spec *copy;
    mtl_status st = mtl__spec_create(ctx, s->inputs, &copy, err);
    if (st != MTL_OK)
        return st;
    copy->initializer = s->initializer;
    copy->architecture = s->architecture;
    copy->linear_skip = s->linear_skip;
    copy->zero_heads = s->zero_heads;
    copy->of_members = s->of_members;
    copy->members = s->members;
    copy->ensemble = s->ensemble;
    copy->missing_indicators = s->missing_indicators;
    if (s->numerics) {
        const int64_t bytes = s->numerics * (int64_t)sizeof *s->numeric;
        copy->numeric = mtl__alloc(&copy->ctx->al, bytes);
        if (copy->numeric)
            memcpy(copy->numeric, s->numeric, (size_t)bytes);
        copy->numerics = copy->numeric ? s->numerics : 0;
        st = copy->numeric ? MTL_OK
                           : MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for %lld columns",
                                      (long long)s->numerics);
    }
    for (int64_t i = 0; i < s->trunk.count && st == MTL_OK; i++)
        st = append_layer(copy, &copy->trunk, &s->trunk.layer[i], err);
    for (int64_t t = 0; t < s->tasks && st == MTL_OK && !trunk_only; t++)
        st = mtl__spec_copy_task(copy, &s->task[t], true, err);
    if (st == MTL_OK)
        *out = copy;
    else
        mtl__spec_destroy(copy);
    return st;
}
