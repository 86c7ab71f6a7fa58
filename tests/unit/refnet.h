/* SPDX-License-Identifier: MIT */
/* A network written out in double, one row and one unit at a time: what the library's numbers are
   judged by. It shares no code with the library and reads its parameters through the public header. */
#ifndef MTL_REFNET_H
#define MTL_REFNET_H

#include "api_testing.h"

/* What a task leaves out is 0 on purpose. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum { REF_LAYERS = 5, REF_TASKS = 6, REF_WIDTH = 64 };

typedef struct ref_layer {
    int64_t units;
    const char *activation; /* NULL ends a list */
} ref_layer;

typedef struct ref_task {
    const char *name;
    int32_t kind;
    int64_t outputs;
    double weight;
    ref_layer head[3]; /* own layers */
    const char *loss, *class_weights, *quantiles; /* options, NULL = none */
} ref_task;

typedef struct ref_net {
    int64_t inputs;
    ref_layer trunk[REF_LAYERS];
    ref_task task[REF_TASKS]; /* name NULL ends the list */
    int64_t members; /* of an ensemble, 0 = none */
    bool is_mini;
    const char *architecture; /* NULL = shared */
} ref_net;

static inline int64_t ref_members(const ref_net *n)
{
    return n->members > 1 ? n->members : 1;
}

typedef struct ref_data {
    int64_t rows;
    const float *x;            /* [rows, inputs] */
    const float *y[REF_TASKS]; /* [rows, label columns], NULL = none */
    const float *weight;       /* [rows] or NULL */
} ref_data;

static inline int64_t ref_cols(const ref_task *t)
{
    bool one = t->kind == MTL_BINARY || t->kind == MTL_MULTICLASS || t->kind == MTL_QUANTILE;
    return one ? 1 : t->outputs;
}

static inline int ref_tasks(const ref_net *n)
{
    int count = 0;
    while (count < REF_TASKS && n->task[count].name)
        count++;
    return count;
}

/* ---- the library's model and data of the same shape ------------------------------------------ */

static inline mtl_model *ref_model(const ref_net *n, mtl_context *ctx)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, n->inputs, &s, err));
    for (const ref_layer *l = n->trunk; l->activation; l++)
        done(mtl_spec_add_dense(s, l->units, l->activation, err));
    for (int t = 0; t < ref_tasks(n); t++) {
        const ref_task *task = &n->task[t];
        char head[128] = "";
        for (const ref_layer *l = task->head; l->activation; l++)
            snprintf(head + strlen(head), sizeof head - strlen(head), "%s%lld:%s", *head ? "," : "",
                     (long long)l->units, l->activation);
        done(mtl_spec_add_task(s, task->name, task->kind, task->outputs, err));
        done(mtl_spec_task_set_f64(s, task->name, "weight", task->weight, err));
        done(mtl_spec_task_set_str(s, task->name, "head", head, err));
        if (task->loss)
            done(mtl_spec_task_set_str(s, task->name, "loss", task->loss, err));
        if (task->class_weights)
            done(mtl_spec_task_set_str(s, task->name, "class_weights", task->class_weights, err));
        if (task->quantiles)
            done(mtl_spec_task_set_str(s, task->name, "quantiles", task->quantiles, err));
    }
    if (n->architecture)
        done(mtl_spec_set_architecture(s, n->architecture, err));
    if (n->members)
        done(mtl_spec_set_ensemble(s, n->members, n->is_mini ? "mini" : "tabm", err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

static inline mtl_dataset *ref_dataset(const ref_net *n, const ref_data *d, mtl_context *ctx)
{
    mtl_dataset *data = NULL;
    done(mtl_dataset_create(ctx, d->x, d->rows, n->inputs, n->inputs, &data, err));
    for (int t = 0; t < ref_tasks(n); t++)
        if (d->y[t])
            done(mtl_dataset_set_labels(data, n->task[t].name, ref_cols(&n->task[t]), d->y[t],
                                        ref_cols(&n->task[t]), err));
    if (d->weight)
        done(mtl_dataset_set_weights(data, NULL, d->weight, err));
    return data;
}

/* Labels for every task, `missing` of 100 values NaN; release with ref_data_free(). */
static inline ref_data ref_random_data(const ref_net *n, int64_t rows, uint64_t seed, int missing)
{
    ref_data d = {.rows = rows};
    float *x = floats(rows * n->inputs);
    for (int64_t i = 0; i < rows * n->inputs; i++)
        x[i] = 2 * next_unit(&seed);
    d.x = x;
    for (int t = 0; t < ref_tasks(n); t++) {
        const ref_task *task = &n->task[t];
        float *y = floats(rows * ref_cols(task));
        for (int64_t i = 0; i < rows * ref_cols(task); i++) {
            y[i] = task->kind == MTL_REGRESSION || task->kind == MTL_QUANTILE
                       ? 3 * next_unit(&seed)
                   : task->kind == MTL_COUNT      ? (float)(1 + next_u32(&seed) % 4)
                   : task->kind == MTL_MULTICLASS ? (float)(next_u32(&seed) % task->outputs)
                                                  : (float)(next_u32(&seed) % 2);
            if ((int)(next_u32(&seed) % 100) < missing)
                y[i] = NAN;
        }
        d.y[t] = y;
    }
    return d;
}

static inline void ref_data_free(ref_data *d)
{
    free((void *)(uintptr_t)d->x);
    for (int t = 0; t < REF_TASKS; t++)
        free((void *)(uintptr_t)d->y[t]);
}

/* ---- the numbers ------------------------------------------------------------------------------ */

static inline double ref_activate(const char *name, double x)
{
    const double lambda = 1.0507009873554804934, alpha = 1.6732632423543772848;
    const double cubic = 2 * sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x);
    const struct {
        const char *name;
        double value;
    } row[] = {
        {"relu", fmax(x, 0)},
        {"tanh", tanh(x)},
        {"sigmoid", 1 / (1 + exp(-x))},
        {"leaky_relu", x > 0 ? x : 0.01 * x},
        {"leaky_relu:slope=0.3", x > 0 ? x : 0.3 * x},
        {"elu", x > 0 ? x : expm1(x)},
        {"elu:alpha=1.5", x > 0 ? x : 1.5 * expm1(x)},
        {"selu", lambda * (x > 0 ? x : alpha * expm1(x))},
        {"gelu", x * 0.5 * erfc(-x / sqrt(2))},
        {"gelu_tanh", x / (1 + exp(-cubic))},
        {"silu", x / (1 + exp(-x))},
        {"softplus", fmax(x, 0) + log1p(exp(-fabs(x)))},
        {"hard_swish", x * fmin(fmax(x + 3, 0), 6) / 6},
        {"mish", x * tanh(log1p(exp(x)))},
        {"identity", x},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (strcmp(name, row[i].name) == 0)
            return row[i].value;
    ck_abort_msg("no activation %s here", name);
    return 0;
}

/* h = act(h W + b) in place; *p moves past W [in, units] and b. Returns units. */
static inline int64_t ref_dense(const double **p, double *h, int64_t in, const ref_layer *l)
{
    double y[REF_WIDTH];
    const double *w = *p, *b = w + in * l->units;
    for (int64_t j = 0; j < l->units; j++) {
        y[j] = b[j];
        for (int64_t i = 0; i < in; i++)
            y[j] += h[i] * w[i * l->units + j];
        y[j] = ref_activate(l->activation, y[j]);
    }
    memcpy(h, y, (size_t)l->units * sizeof *h);
    *p = b + l->units;
    return l->units;
}

/* h times the member's factors; *p moves past [members, width]. */
static inline void ref_factors(const ref_net *n, const double **p, double *h, int64_t width,
                               int64_t member)
{
    for (int64_t j = 0; j < width; j++)
        h[j] *= (*p)[member * width + j];
    *p += n->members * width;
}

/* A layer of a member: factors but in the first place, then act(s * (h W) + b). */
static inline int64_t ref_member_dense(const ref_net *n, const double **p, double *h, int64_t in,
                                       const ref_layer *l, bool is_first, int64_t member)
{
    double y[REF_WIDTH];
    const int64_t units = l->units;
    if (!is_first)
        ref_factors(n, p, h, in, member);
    const double *w = *p, *s = w + in * units, *b = s + n->members * units;
    for (int64_t j = 0; j < units; j++) {
        y[j] = 0;
        for (int64_t i = 0; i < in; i++)
            y[j] += h[i] * w[i * units + j];
        y[j] = ref_activate(l->activation, s[member * units + j] * y[j] + b[member * units + j]);
    }
    memcpy(h, y, (size_t)units * sizeof *h);
    *p = b + n->members * units;
    return units;
}

/* The output layer of a member: the matrices of all, then their biases. */
static inline void ref_member_head(const ref_net *n, const double **p, const double *h, int64_t in,
                                   int64_t outputs, int64_t member, double *z)
{
    const double *w = *p + member * in * outputs, *b = *p + n->members * in * outputs;
    for (int64_t j = 0; j < outputs; j++) {
        z[j] = b[member * outputs + j];
        for (int64_t i = 0; i < in; i++)
            z[j] += h[i] * w[i * outputs + j];
    }
    *p = b + n->members * outputs;
}

#include "archnet.h"

static inline int64_t ref_layer_of(const ref_net *n, const double **p, double *h, int64_t in,
                                   const ref_layer *l, bool is_first, int64_t member)
{
    return n->members > 1 && !n->is_mini ? ref_member_dense(n, p, h, in, l, is_first, member)
                                         : ref_dense(p, h, in, l);
}

/* Outputs before the link for one row of a member, tasks side by side. theta: all tensors in the order
   of parameters(): trunk, then for each task its own layers and its output. */
static inline void ref_forward(const ref_net *n, const double *theta, const float *x, int64_t member,
                               double *z)
{
    double h[REF_WIDTH], own[REF_WIDTH];
    int64_t width = n->inputs;
    for (int64_t i = 0; i < width; i++)
        h[i] = (double)x[i];
    if (n->architecture) {
        ref_arch_forward(n, theta, h, z);
        return;
    }
    if (n->members > 1)
        ref_factors(n, &theta, h, width, member);
    for (const ref_layer *l = n->trunk; l->activation; l++)
        width = ref_layer_of(n, &theta, h, width, l, l == n->trunk, member);
    for (int t = 0; t < ref_tasks(n); t++) {
        int64_t in = width;
        memcpy(own, h, sizeof own);
        for (const ref_layer *l = n->task[t].head; l->activation; l++)
            in = ref_layer_of(n, &theta, own, in, l, false, member);
        if (n->members > 1) {
            ref_member_head(n, &theta, own, in, n->task[t].outputs, member, z);
        } else {
            ref_dense(&theta, own, in, &(ref_layer){n->task[t].outputs, "identity"});
            memcpy(z, own, (size_t)n->task[t].outputs * sizeof *z);
        }
        z += n->task[t].outputs;
    }
}

/* log(sum exp(z)) */
static inline double ref_log_sum(const double *z, int64_t n)
{
    double top = z[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        top = fmax(top, z[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(z[i] - top);
    return top + log(sum);
}

/* ---- losses, written as their definitions --------------------------------------------------- */

static inline bool ref_is(const ref_task *t, const char *loss)
{
    size_t n = strlen(loss);
    return t->loss && strncmp(t->loss, loss, n) == 0 && (!t->loss[n] || t->loss[n] == ':');
}

static inline double ref_param(const ref_task *t, const char *key, double initial)
{
    const char *p = t->loss ? strstr(t->loss, key) : NULL;
    return p && p[strlen(key)] == '=' ? strtod(p + strlen(key) + 1, NULL) : initial;
}

/* Number i of "a/b/c". */
static inline double ref_item(const char *list, int64_t i)
{
    while (i-- > 0)
        list = strchr(list, '/') + 1;
    return (double)strtof(list, NULL);
}

static inline double ref_softplus(double x)
{
    return ref_log_sum((double[]){0, x}, 2);
}

static inline double ref_sigmoid(double x)
{
    return exp(-ref_softplus(-x));
}

static inline double ref_value_loss(const ref_task *t, double z, double y)
{
    double d = fabs(z - y), delta = ref_param(t, "delta", 1);
    if (ref_is(t, "absolute_error"))
        return d;
    if (ref_is(t, "huber"))
        return d <= delta ? d * d / 2 : delta * (d - delta / 2);
    return ref_is(t, "log_cosh") ? log(cosh(d)) : d * d;
}

static inline double ref_count_loss(const ref_task *t, double z, double y)
{
    double p = ref_param(t, "power", 1.5);
    if (ref_is(t, "gamma"))
        return z + y * exp(-z);
    if (ref_is(t, "tweedie"))
        return exp((2 - p) * z) / (2 - p) - y * exp((1 - p) * z) / (1 - p);
    return exp(z) - y * z;
}

static inline double ref_binary_loss(const ref_task *t, double z, double y)
{
    double s = ref_param(t, "smoothing", 0), w = ref_param(t, "positive_weight", 1);
    double p = y > 0 ? ref_sigmoid(z) : ref_sigmoid(-z), alpha = ref_param(t, "alpha", 0.25);
    if (ref_is(t, "focal"))
        return -(y > 0 ? alpha : 1 - alpha) * pow(1 - p, ref_param(t, "gamma", 2)) * log(p);
    y = y * (1 - s) + s / 2;
    return w * y * ref_softplus(-z) + (1 - y) * ref_softplus(z);
}

/* P(y <= k) of the ordinal link. */
static inline double ref_cumulative(const double *z, int64_t classes, int64_t k)
{
    double threshold = z[1];
    for (int64_t i = 1; i <= k; i++)
        threshold += i < classes - 1 ? ref_softplus(z[i + 1]) : 0;
    return k < 0 ? 0 : k >= classes - 1 ? 1 : ref_sigmoid(threshold - z[0]);
}

static inline double ref_class_loss(const ref_task *t, const double *z, int64_t y)
{
    double log_sum = ref_log_sum(z, t->outputs), loss = log_sum - z[y], mean = 0;
    double s = ref_param(t, "smoothing", 0);
    if (ref_is(t, "ordinal"))
        return -log(ref_cumulative(z, t->outputs, y) - ref_cumulative(z, t->outputs, y - 1));
    if (ref_is(t, "focal"))
        return pow(1 - exp(-loss), ref_param(t, "gamma", 2)) * loss;
    for (int64_t c = 0; c < t->outputs; c++)
        mean += (log_sum - z[c]) / (double)t->outputs;
    return (1 - s) * loss + s * mean;
}

static inline double ref_quantile_loss(const ref_task *t, const double *z, double y)
{
    double q = 0, sum = 0;
    for (int64_t j = 0; j < t->outputs; j++) {
        double level = t->quantiles ? ref_item(t->quantiles, j)
                                    : (double)(j + 1) / (double)(t->outputs + 1);
        q += j == 0 ? z[0] : ref_softplus(z[j]);
        sum += fmax(level * (y - q), (level - 1) * (y - q));
    }
    return sum / (double)t->outputs;
}

/* Loss of one label value; column is its number among the label columns. */
static inline double ref_loss_of(const ref_task *t, const double *z, int64_t column, double y)
{
    if (t->kind == MTL_REGRESSION)
        return ref_value_loss(t, z[column], y);
    if (t->kind == MTL_COUNT)
        return ref_count_loss(t, z[column], y);
    if (t->kind == MTL_QUANTILE)
        return ref_quantile_loss(t, z, y);
    if (t->kind == MTL_MULTICLASS && t->loss)
        return ref_class_loss(t, z, (int64_t)y);
    if (t->loss)
        return ref_binary_loss(t, z[column], y);
    if (t->kind == MTL_MULTICLASS)
        return ref_log_sum(z, t->outputs) - z[(int64_t)y];
    return ref_log_sum((double[]){0, z[column]}, 2) - y * z[column];
}

/* Mean loss of each task over its labels (NaN without any); returns the weighted sum. */
static inline double ref_losses(const ref_net *n, const double *theta, const ref_data *d,
                                double *losses)
{
    double sum[REF_TASKS] = {0}, weights[REF_TASKS] = {0}, z[REF_WIDTH], total = 0;
    for (int64_t i = 0; i < d->rows * ref_members(n); i++) {
        const int64_t r = i / ref_members(n);
        double w = d->weight ? (double)d->weight[r] : 1;
        const double *own = z;
        ref_forward(n, theta, d->x + r * n->inputs, i % ref_members(n), z);
        for (int t = 0; t < ref_tasks(n); own += n->task[t++].outputs) {
            int64_t cols = ref_cols(&n->task[t]);
            for (int64_t c = 0; d->y[t] && c < cols; c++) {
                double y = (double)d->y[t][r * cols + c];
                if (isnan(y))
                    continue;
                double of_class = n->task[t].class_weights
                                      ? ref_item(n->task[t].class_weights, (int64_t)y)
                                      : 1;
                sum[t] += w * of_class * ref_loss_of(&n->task[t], own, c, y);
                weights[t] += w * of_class;
            }
        }
    }
    for (int t = 0; t < ref_tasks(n); t++) {
        double mean = weights[t] > 0 ? sum[t] / weights[t] : NAN;
        if (weights[t] > 0)
            total += n->task[t].weight * mean;
        if (losses)
            losses[t] = mean;
    }
    return total;
}

/* Central differences of the weighted sum; their error is about 1e-9. Release with free(). */
static inline double *ref_gradient(const ref_net *n, const double *theta, int64_t count,
                                   const ref_data *d)
{
    const double h = 1e-5;
    double *p = malloc((size_t)count * sizeof *p), *g = malloc((size_t)count * sizeof *g);
    memcpy(p, theta, (size_t)count * sizeof *p);
    for (int64_t i = 0; i < count; i++) {
        p[i] = theta[i] + h;
        double above = ref_losses(n, p, d, NULL);
        p[i] = theta[i] - h;
        double below = ref_losses(n, p, d, NULL);
        p[i] = theta[i];
        g[i] = (above - below) / (2 * h);
    }
    free(p);
    return g;
}

/* The model's tensors as doubles. Release with free(). */
static inline double *ref_parameters(const mtl_model *m, int64_t *count)
{
    float *p = parameters(m, count);
    double *theta = malloc((size_t)*count * sizeof *theta);
    for (int64_t i = 0; i < *count; i++)
        theta[i] = (double)p[i];
    free(p);
    return theta;
}

/* What predict gives, [rows, outputs]. Release with free(). */
static inline double *ref_predictions(const ref_net *n, const double *theta, const ref_data *d,
                                      int64_t outputs)
{
    const int64_t members = ref_members(n);
    double *out = calloc((size_t)(d->rows * outputs), sizeof *out), all[REF_WIDTH];
    for (int64_t i = 0; i < d->rows * members; i++) {
        const int64_t r = i / members;
        double *z = all;
        ref_forward(n, theta, d->x + r * n->inputs, i % members, z);
        for (int t = 0; t < ref_tasks(n); z += n->task[t++].outputs) {
            double log_sum = ref_log_sum(z, n->task[t].outputs);
            for (int64_t j = 0; j < n->task[t].outputs; j++)
                if (n->task[t].kind == MTL_MULTICLASS)
                    z[j] = exp(z[j] - log_sum);
                else if (n->task[t].kind != MTL_REGRESSION)
                    z[j] = ref_activate("sigmoid", z[j]);
        }
        for (int64_t j = 0; j < outputs; j++)
            out[r * outputs + j] += all[j] / (double)members;
    }
    return out;
}

/* Biases off zero and weights of a size at which no activation is saturated. */
static inline void ref_scatter(mtl_model *m, uint64_t seed)
{
    for (int64_t i = 0; i < mtl_model_tensor_count(m); i++) {
        const char *name;
        int64_t n = tensor_size(m, i, &name);
        float *values = floats(n);
        for (int64_t j = 0; j < n; j++)
            values[j] = 0.7f * next_unit(&seed);
        done(mtl_model_tensor_set(m, name, n, values, err));
        free(values);
    }
}

#endif
