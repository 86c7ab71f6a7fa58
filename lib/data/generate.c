/* SPDX-License-Identifier: MIT */
/* make_classification: the problem of Guyon 2003 as scikit-learn documents it, with our own random
   numbers. Each use of the seed has a substream, so that changing one option, such as "flip",
   leaves the rest of the problem as it was. */
#include <stdio.h>
#include <string.h>

#include "data/array_priv.h"
#include "mem/arena.h"
#include "rng/rng.h"

enum { LABELS_CLASS, LABELS_ONE_VS_REST };

static const mtl__option table[] = {
    MTL__OPTION_I64("rows", 1000, 1, 1000000000, "rows"),
    MTL__OPTION_I64("inputs", 20, 1, 1000000, "input columns; those not named below are noise"),
    MTL__OPTION_I64("informative", 2, 1, 10000, "columns that tell the classes apart"),
    MTL__OPTION_I64("redundant", 2, 0, 1000000, "random combinations of the informative columns"),
    MTL__OPTION_I64("classes", 3, 2, 1000, "classes, in equal shares"),
    MTL__OPTION_I64("clusters_per_class", 1, 1, 1000, "clusters of normal points in a class"),
    MTL__OPTION_F64("flip", 0.1, 0, 1, "share of rows whose class is drawn at random"),
    MTL__OPTION_F64("separation", 1.0, 0, 1000000, "half the side of the hypercube"),
    MTL__OPTION_I64("shuffle", 1, 0, 1, "1 = rows and columns in random order"),
    MTL__OPTION_I64("seed", 0, 0, 9007199254740991, "seed"),
    MTL__OPTION_STR("labels", "class", "class|one_vs_rest", NULL,
                    "one task \"class\", or binary tasks \"class_0\", \"class_1\", ..."),
};

const mtl__option_group mtl__make_classification_options =
    MTL__OPTION_GROUP(MTL_OPTIONS_MAKE_CLASSIFICATION, "make_classification", table, false);

/* Uses of the seed. Part of the results: never renumber. */
enum {
    USE_CORNERS = 0,
    USE_POINTS = 1,
    USE_CLUSTERS = 2,
    USE_REDUNDANT = 3,
    USE_NOISE = 4,
    USE_FLIP = 5,
    USE_ROWS = 6,
    USE_COLUMNS = 7,
};

/* Corners differ in their first CORNER_BITS coordinates at most; the others are drawn freely. */
enum { CORNER_BITS = 30, MAX_CLUSTERS = 10000 };

typedef struct plan {
    int64_t rows, inputs, informative, redundant, classes, clusters, labels;
    double flip, separation;
    bool is_shuffled;
    uint64_t seed;
    /* Scratch */
    int64_t *corner_id;       /* [clusters] */
    double *corner;           /* [clusters, informative] */
    double *mix;              /* [informative, informative], of the running cluster */
    double *combine;          /* [informative, redundant] */
    double *normal, *point;   /* [informative], [inputs], of the running row */
    int64_t *row_at, *col_at; /* [rows], [inputs]: where they go */
} plan;

static mtl__rng stream(const plan *p, uint32_t use)
{
    return mtl__rng_make(p->seed, MTL__RNG_GENERATE, use);
}

/* ---- Options and memory ---- */

static mtl_status read_plan(plan *p, const mtl_options *o, mtl_error *err)
{
    const mtl__option_group *g = &mtl__make_classification_options;
    p->rows = mtl__option_i64(o, g, "rows");
    p->inputs = mtl__option_i64(o, g, "inputs");
    p->informative = mtl__option_i64(o, g, "informative");
    p->redundant = mtl__option_i64(o, g, "redundant");
    p->classes = mtl__option_i64(o, g, "classes");
    p->clusters = p->classes * mtl__option_i64(o, g, "clusters_per_class");
    p->flip = mtl__option_f64(o, g, "flip");
    p->separation = mtl__option_f64(o, g, "separation");
    p->is_shuffled = mtl__option_i64(o, g, "shuffle") != 0;
    p->seed = (uint64_t)mtl__option_i64(o, g, "seed");
    p->labels = mtl__option_index(o, g, "labels");
    if (p->informative + p->redundant > p->inputs)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%lld informative and %lld redundant of %lld inputs",
                        (long long)p->informative, (long long)p->redundant, (long long)p->inputs);
    if (p->informative < 14 && p->clusters > (int64_t)1 << p->informative)
        return MTL_FAIL(err, MTL_ERR_RANGE,
                        "%lld clusters of %lld classes need as many corners; %lld informative "
                        "columns have %lld",
                        (long long)p->clusters, (long long)p->classes, (long long)p->informative,
                        (long long)1 << p->informative);
    if (p->clusters > MAX_CLUSTERS)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%lld clusters, at most %d are possible",
                        (long long)p->clusters, MAX_CLUSTERS);
    return MTL_OK;
}

static void take_scratch(plan *p, mtl__arena *a)
{
    const int64_t f = p->informative;
    p->corner_id = mtl__arena_take(a, p->clusters, sizeof *p->corner_id);
    p->corner = mtl__arena_take(a, p->clusters * f, sizeof *p->corner);
    p->mix = mtl__arena_take(a, f * f, sizeof *p->mix);
    p->combine = mtl__arena_take(a, f * p->redundant, sizeof *p->combine);
    p->normal = mtl__arena_take(a, f, sizeof *p->normal);
    p->point = mtl__arena_take(a, p->inputs, sizeof *p->point);
    p->row_at = mtl__arena_take(a, p->rows, sizeof *p->row_at);
    p->col_at = mtl__arena_take(a, p->inputs, sizeof *p->col_at);
}

/* ---- Draws ---- */

static bool is_taken(const int64_t *ids, int64_t count, int64_t id)
{
    while (count > 0 && ids[count - 1] != id)
        count--;
    return count > 0;
}

/* A different corner of the hypercube, coordinates +-separation, for each cluster. */
static void draw_corners(plan *p)
{
    mtl__rng r = stream(p, USE_CORNERS);
    const int64_t bits = mtl__min(p->informative, CORNER_BITS);
    for (int64_t k = 0; k < p->clusters; k++) {
        do
            p->corner_id[k] = mtl__rng_below(&r, (int64_t)1 << bits);
        while (is_taken(p->corner_id, k, p->corner_id[k]));
        double *corner = p->corner + k * p->informative;
        for (int64_t j = 0; j < p->informative; j++) {
            int64_t bit = j < bits ? p->corner_id[k] >> j & 1 : mtl__rng_below(&r, 2);
            corner[j] = bit ? p->separation : -p->separation;
        }
    }
}

static void draw_uniform(mtl__rng *r, double *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = 2 * mtl__rng_f64(r) - 1;
}

static void draw_order(const plan *p, uint32_t use, int64_t *to, int64_t n)
{
    mtl__rng r = stream(p, use);
    for (int64_t i = 0; i < n; i++)
        to[i] = i;
    if (p->is_shuffled)
        mtl__rng_shuffle(&r, to, n);
}

/* ---- Rows ---- */

/* out [cols] = x [rows] times m [rows, cols], plus out. */
static void add_product(const double *x, const double *m, int64_t rows, int64_t cols, double *out)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            out[j] += x[i] * m[i * cols + j];
}

/* One point of cluster k: informative, redundant, then noise columns. */
static void make_point(plan *p, int64_t k, mtl__rng *points, mtl__rng *noise)
{
    const int64_t f = p->informative, known = f + p->redundant;
    for (int64_t j = 0; j < f; j++)
        p->normal[j] = mtl__rng_normal(points);
    memcpy(p->point, p->corner + k * f, (size_t)f * sizeof *p->point);
    memset(p->point + f, 0, (size_t)p->redundant * sizeof *p->point);
    add_product(p->normal, p->mix, f, f, p->point);
    add_product(p->point, p->combine, f, p->redundant, p->point + f);
    for (int64_t j = known; j < p->inputs; j++)
        p->point[j] = mtl__rng_normal(noise);
}

static void make_rows(plan *p, float *x, float *label)
{
    mtl__rng points = stream(p, USE_POINTS), clusters = stream(p, USE_CLUSTERS);
    mtl__rng noise = stream(p, USE_NOISE), flip = stream(p, USE_FLIP);
    for (int64_t k = 0, i = 0; k < p->clusters; k++) {
        int64_t size = p->rows / p->clusters + (k < p->rows % p->clusters);
        draw_uniform(&clusters, p->mix, p->informative * p->informative);
        for (int64_t end = i + size; i < end; i++) {
            make_point(p, k, &points, &noise);
            for (int64_t j = 0; j < p->inputs; j++)
                x[p->row_at[i] * p->inputs + p->col_at[j]] = (float)p->point[j];
            /* Both are always drawn: then a higher "flip" flips these rows and some more. */
            bool is_flipped = mtl__rng_f64(&flip) < p->flip;
            int64_t other = mtl__rng_below(&flip, p->classes);
            label[p->row_at[i]] = (float)(is_flipped ? other : k % p->classes);
        }
    }
}

static void make_problem(plan *p, float *x, float *label)
{
    draw_corners(p);
    mtl__rng redundant = stream(p, USE_REDUNDANT);
    draw_uniform(&redundant, p->combine, p->informative * p->redundant);
    draw_order(p, USE_ROWS, p->row_at, p->rows);
    draw_order(p, USE_COLUMNS, p->col_at, p->inputs);
    make_rows(p, x, label);
}

/* ---- Labels ---- */

/* Tasks "class_0" ... that share one array with a column for each. */
static mtl_status put_one_vs_rest(const plan *p, const mtl__array *label, mtl_dataset *d,
                                  mtl_error *err)
{
    mtl__array y;
    char name[32];
    if (!mtl__array_alloc(&d->ctx->al, p->rows, p->classes, &y))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for the labels of %lld classes",
                        (long long)p->classes);
    float *to = mtl__array_own(&y);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t c = 0; c < p->classes; c++)
            to[i * p->classes + c] = label->p[i] == (float)c;
    mtl_status st = MTL_OK;
    for (int64_t c = 0; c < p->classes && st == MTL_OK; c++) {
        snprintf(name, sizeof name, "class_%lld", (long long)c);
        mtl__array column = {.p = y.p + c, .stride = y.stride, .owner = y.owner};
        st = mtl__dataset_put_labels(d, name, 1, &column, err);
        if (st == MTL_OK) {
            mtl__array_ref(&column);
            st = mtl__dataset_set_kind(d, name, MTL_BINARY, 1, err);
        }
    }
    mtl__array_release(&y);
    return st;
}

static mtl_status put_class(const plan *p, const mtl__array *label, mtl_dataset *d, mtl_error *err)
{
    const bool is_binary = p->classes == 2;
    mtl_status st = mtl__dataset_put_labels(d, "class", 1, label, err);
    if (st != MTL_OK)
        return st;
    mtl__array_ref(label);
    return mtl__dataset_set_kind(d, "class", is_binary ? MTL_BINARY : MTL_MULTICLASS,
                                 is_binary ? 1 : p->classes, err);
}

static mtl_status fill(plan *p, mtl_dataset *d, mtl_error *err)
{
    const mtl__allocator *al = &d->ctx->al;
    mtl__arena arena = {0};
    mtl__array label = {0};
    mtl_status st;
    take_scratch(p, &arena);
    if (!mtl__arena_reserve(&arena, al) || !mtl__array_alloc(al, p->rows, 1, &label)) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "make_classification: no memory for %lld rows",
                      (long long)p->rows);
    } else {
        take_scratch(p, &arena);
        make_problem(p, mtl__array_own(&d->x), mtl__array_own(&label));
        st = p->labels == LABELS_ONE_VS_REST ? put_one_vs_rest(p, &label, d, err)
                                             : put_class(p, &label, d, err);
    }
    mtl__array_release(&label);
    mtl__arena_release(&arena, al);
    return st;
}

mtl_status mtl__dataset_make_classification(mtl_context *ctx, const mtl_options *o,
                                            mtl_dataset **out, mtl_error *err)
{
    plan p = {0};
    mtl_dataset *d;
    mtl_status st = mtl__options_expect(o, &mtl__make_classification_options, err);
    if (st == MTL_OK)
        st = read_plan(&p, o, err);
    if (st == MTL_OK)
        st = mtl__dataset_make_owner(ctx, p.rows, p.inputs, &d, err);
    if (st != MTL_OK)
        return st;
    st = fill(&p, d, err);
    if (st != MTL_OK) {
        mtl__dataset_destroy(d);
        return st;
    }
    *out = d;
    return MTL_OK;
}
