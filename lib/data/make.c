/* SPDX-License-Identifier: MIT */
/* Linear problems: make_regression as scikit-learn documents it, and tasks that are related as in
   Ma et al. 2018, with our own random numbers. Each use of the seed has a substream, so that
   changing one option, such as "noise", leaves the rest of the problem as it was. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/array_priv.h"
#include "mem/arena.h"
#include "rng/rng.h"

enum { KIND_REGRESSION, KIND_BINARY };
enum { LABELS_ALL, LABELS_ONE };

static const mtl__option regression_table[] = {
    MTL__OPTION_I64("rows", 1000, 1, 1000000000, "rows"),
    MTL__OPTION_I64("inputs", 20, 1, 1000000, "input columns, standard normal"),
    MTL__OPTION_I64("informative", 10, 0, 1000000, "columns whose coefficients are not 0"),
    MTL__OPTION_I64("targets", 1, 1, 10000, "columns of the labels"),
    MTL__OPTION_F64("bias", 0, -1e30, 1e30, "added to every label"),
    MTL__OPTION_F64("noise", 0, 0, 1e30, "standard deviation of normal noise in the labels"),
    MTL__OPTION_I64("shuffle", 1, 0, 1, "1 = informative columns in random places, 0 = first"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991, "seed"),
};

static const mtl__option tasks_table[] = {
    MTL__OPTION_I64("rows", 1000, 1, 1000000000, "rows"),
    MTL__OPTION_I64("inputs", 20, 1, 100000,
                    "input columns, standard normal; at least as many as tasks"),
    MTL__OPTION_I64("tasks", 2, 1, 10000,
                    "tasks \"task_0\", \"task_1\", ..., the unrelated included"),
    MTL__OPTION_I64("unrelated", 0, 0, 9999,
                    "how many of them, the last ones, have nothing in common"),
    MTL__OPTION_F64("relatedness", 0.9, -1, 1,
                    "cosine of the other tasks' coefficients with those of task_0"),
    MTL__OPTION_STR("kind", "regression", "regression|binary", NULL, "of the tasks"),
    MTL__OPTION_STR("labels", "all", "all|one", NULL,
                    "all = every row has all labels, one = the label of one task, in turn"),
    MTL__OPTION_F64("noise", 0.1, 0, 1e30, "standard deviation of noise; the signal's is 1"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991, "seed"),
};

const mtl__option_group mtl__make_regression_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_MAKE_REGRESSION, "make_regression", regression_table, false);
const mtl__option_group mtl__make_tasks_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_MAKE_TASKS, "make_tasks", tasks_table, false);

/* Uses of the seed, apart from those of make_classification. Part of the results: never renumber.
 */
enum {
    USE_POINTS = 16,
    USE_COEFFICIENTS = 17,
    USE_NOISE = 18,
    USE_COLUMNS = 19,
    USE_BASIS = 20,
};

/* label j of a row x = bias + sum over i of x[i] * coefficient[i, j] + noise. */
typedef struct plan {
    const char *name; /* of the generator, for messages */
    int64_t rows, inputs, targets, informative, unrelated;
    double bias, noise, relatedness;
    bool is_shuffled, is_binary, one_label;
    uint64_t seed;
    /* Scratch */
    double *coefficient; /* [inputs, targets] */
    double *basis;       /* [targets, inputs] orthonormal rows, of related tasks */
    double *sum;         /* [targets] */
    int64_t *place;      /* [inputs] */
} plan;

static void take_scratch(plan *p, mtl__arena *a)
{
    p->coefficient = mtl__arena_take(a, p->inputs * p->targets, sizeof *p->coefficient);
    p->basis = mtl__arena_take(a, p->inputs * p->targets, sizeof *p->basis);
    p->sum = mtl__arena_take(a, p->targets, sizeof *p->sum);
    p->place = mtl__arena_take(a, p->inputs, sizeof *p->place);
}

static mtl__rng stream(const plan *p, uint32_t use)
{
    return mtl__rng_make(p->seed, MTL__RNG_GENERATE, use);
}

/* ---- Coefficients ---- */

/* Uniform in [0, 100) for the informative columns, 0 for the others. */
static void draw_coefficients(plan *p)
{
    mtl__rng r = stream(p, USE_COEFFICIENTS), columns = stream(p, USE_COLUMNS);
    for (int64_t i = 0; i < p->inputs; i++)
        p->place[i] = i;
    if (p->is_shuffled)
        mtl__rng_shuffle(&columns, p->place, p->inputs);
    for (int64_t i = 0; i < p->informative; i++)
        for (int64_t j = 0; j < p->targets; j++)
            p->coefficient[p->place[i] * p->targets + j] = 100 * mtl__rng_f64(&r);
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* v -= (v . u) u */
static void remove_part(double *v, const double *u, int64_t n)
{
    double part = dot(v, u, n);
    for (int64_t i = 0; i < n; i++)
        v[i] -= part * u[i];
}

/* Random directions made orthonormal by Gram and Schmidt; twice is enough (Giraud et al. 2005). */
static void draw_basis(plan *p)
{
    mtl__rng r = stream(p, USE_BASIS);
    const int64_t n = p->inputs;
    for (int64_t t = 0; t < p->targets; t++) {
        double *v = p->basis + t * n;
        for (int64_t i = 0; i < n; i++)
            v[i] = mtl__rng_normal(&r);
        for (int64_t k = 0; k < 2 * t; k++)
            remove_part(v, p->basis + k % t * n, n);
        double length = sqrt(dot(v, v, n));
        for (int64_t i = 0; i < n; i++)
            v[i] /= length;
    }
}

/* w_0 = u_0; related tasks w_t = r u_0 + sqrt(1 - r^2) u_t; unrelated ones w_t = u_t. */
static void relate_tasks(plan *p)
{
    draw_basis(p);
    for (int64_t t = 0; t < p->targets; t++) {
        bool is_related = t > 0 && t < p->targets - p->unrelated;
        double r = is_related ? p->relatedness : 0, own = sqrt(1 - r * r);
        for (int64_t i = 0; i < p->inputs; i++)
            p->coefficient[i * p->targets + t] =
                r * p->basis[i] + own * p->basis[t * p->inputs + i];
    }
}

/* ---- Rows ---- */

static void make_labels(const plan *p, int64_t row, const float *x, mtl__rng *noise, float *y)
{
    for (int64_t j = 0; j < p->targets; j++)
        p->sum[j] = p->bias;
    for (int64_t i = 0; i < p->inputs; i++)
        for (int64_t j = 0; j < p->targets; j++)
            p->sum[j] += (double)x[i] * p->coefficient[i * p->targets + j];
    for (int64_t j = 0; j < p->targets; j++) {
        /* Drawn in any case: then labels of fewer tasks are the same where they are. */
        double value = p->sum[j] + p->noise * mtl__rng_normal(noise);
        bool is_there = !p->one_label || row % p->targets == j;
        y[j] = !is_there ? NAN : p->is_binary ? (float)(value > 0) : (float)value;
    }
}

static void make_rows(const plan *p, float *x, float *y)
{
    mtl__rng points = stream(p, USE_POINTS), noise = stream(p, USE_NOISE);
    for (int64_t i = 0; i < p->rows; i++, x += p->inputs, y += p->targets) {
        for (int64_t j = 0; j < p->inputs; j++)
            x[j] = (float)mtl__rng_normal(&points);
        make_labels(p, i, x, &noise, y);
    }
}

/* ---- The data set ---- */

static mtl_status put_labels(mtl_dataset *d, const char *name, int64_t cols, const mtl__array *y,
                             int32_t kind, mtl_error *err)
{
    mtl_status st = mtl__dataset_put_labels(d, name, cols, y, err);
    if (st != MTL_OK)
        return st;
    mtl__array_ref(y);
    return mtl__dataset_set_kind(d, name, kind, cols, err);
}

/* Tasks "task_0" ... share one array with a column for each. */
static mtl_status put_tasks(const plan *p, mtl_dataset *d, const mtl__array *y, mtl_error *err)
{
    mtl_status st = MTL_OK;
    for (int64_t t = 0; t < p->targets && st == MTL_OK; t++) {
        char name[32];
        snprintf(name, sizeof name, "task_%lld", (long long)t);
        mtl__array column = {.p = y->p + t, .stride = y->stride, .owner = y->owner};
        st = put_labels(d, name, 1, &column, p->is_binary ? MTL_BINARY : MTL_REGRESSION, err);
    }
    return st;
}

static mtl_status fill(plan *p, float *coefficients, mtl_dataset *d, mtl_error *err)
{
    const bool has_tasks = p->informative < 0;
    const mtl__allocator *al = &d->ctx->al;
    mtl__arena arena = {0};
    mtl__array y = {0};
    mtl_status st;
    take_scratch(p, &arena);
    if (!mtl__arena_reserve(&arena, al) || !mtl__array_alloc(al, p->rows, p->targets, &y)) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory for %lld rows", p->name,
                      (long long)p->rows);
    } else {
        take_scratch(p, &arena);
        (has_tasks ? relate_tasks : draw_coefficients)(p);
        make_rows(p, mtl__array_own(&d->x), mtl__array_own(&y));
        st = has_tasks ? put_tasks(p, d, &y, err)
                       : put_labels(d, "target", p->targets, &y, MTL_REGRESSION, err);
        for (int64_t i = 0; st == MTL_OK && coefficients && i < p->inputs * p->targets; i++)
            coefficients[i] = (float)p->coefficient[i];
    }
    mtl__array_release(&y);
    mtl__arena_release(&arena, al);
    return st;
}

static mtl_status make(mtl_context *ctx, plan *p, int64_t count, float *coefficients,
                       mtl_dataset **out, mtl_error *err)
{
    mtl_dataset *d;
    if (coefficients && count != p->inputs * p->targets)
        return MTL_FAIL(
            err, MTL_ERR_SHAPE, "%s: %lld coefficients, %lld inputs and %lld %s have %lld", p->name,
            (long long)count, (long long)p->inputs, (long long)p->targets,
            p->informative < 0 ? "tasks" : "targets", (long long)(p->inputs * p->targets));
    mtl_status st = mtl__dataset_make_owner(ctx, p->rows, p->inputs, &d, err);
    if (st != MTL_OK)
        return st;
    st = fill(p, coefficients, d, err);
    if (st != MTL_OK) {
        mtl__dataset_destroy(d);
        return st;
    }
    *out = d;
    return MTL_OK;
}

mtl_status mtl__dataset_make_regression(mtl_context *ctx, const mtl_options *o, int64_t count,
                                        float *coefficients, mtl_dataset **out, mtl_error *err)
{
    const mtl__option_group *g = &mtl__make_regression_options;
    plan p = {.name = g->name,
              .rows = mtl__option_i64(o, g, "rows"),
              .inputs = mtl__option_i64(o, g, "inputs"),
              .informative = mtl__option_i64(o, g, "informative"),
              .targets = mtl__option_i64(o, g, "targets"),
              .bias = mtl__option_f64(o, g, "bias"),
              .noise = mtl__option_f64(o, g, "noise"),
              .is_shuffled = mtl__option_i64(o, g, "shuffle") != 0,
              .seed = (uint64_t)mtl__option_i64(o, g, "seed")};
    p.informative = mtl__min(p.informative, p.inputs); /* scikit-learn's rule */
    return make(ctx, &p, count, coefficients, out, err);
}

mtl_status mtl__dataset_make_tasks(mtl_context *ctx, const mtl_options *o, int64_t count,
                                   float *coefficients, mtl_dataset **out, mtl_error *err)
{
    const mtl__option_group *g = &mtl__make_tasks_options;
    plan p = {.name = g->name,
              .rows = mtl__option_i64(o, g, "rows"),
              .inputs = mtl__option_i64(o, g, "inputs"),
              .informative = -1,
              .targets = mtl__option_i64(o, g, "tasks"),
              .unrelated = mtl__option_i64(o, g, "unrelated"),
              .relatedness = mtl__option_f64(o, g, "relatedness"),
              .noise = mtl__option_f64(o, g, "noise"),
              .is_binary = mtl__option_index(o, g, "kind") == KIND_BINARY,
              .one_label = mtl__option_index(o, g, "labels") == LABELS_ONE,
              .seed = (uint64_t)mtl__option_i64(o, g, "seed")};
    if (p.targets > p.inputs)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%lld inputs have no %lld independent directions",
                        (long long)p.inputs, (long long)p.targets);
    if (p.unrelated >= p.targets)
        return MTL_FAIL(err, MTL_ERR_RANGE,
                        "%lld unrelated of %lld tasks: the first one counts as "
                        "related",
                        (long long)p.unrelated, (long long)p.targets);
    return make(ctx, &p, count, coefficients, out, err);
}
