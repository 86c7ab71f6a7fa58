/* SPDX-License-Identifier: MIT */
#include "loss/loss.h"

#include <math.h>
#include <string.h>

#include "loss/loss_priv.h"

#define KIND(kind) (1u << (kind))

/* --- kernels ------------------------------------------------------------------------------------- */

static mtl__columns_fn *fn_binary(const mtl__vec *v)
{
    return v->binary_cross_entropy;
}

static mtl__rows_loss_fn *fn_softmax(const mtl__vec *v)
{
    return v->softmax_cross_entropy;
}

static mtl__columns_fn *fn_squared(const mtl__vec *v)
{
    return v->squared_error;
}

/* --- links --------------------------------------------------------------------------------------- */

static void map_rows(mtl__map_fn *map, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    if (ldz == cols) {
        map(rows * cols, z, z);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        map(cols, z + r * ldz, z + r * ldz);
}

static void link_sigmoid(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    map_rows(v->sigmoid, rows, cols, z, ldz);
}

static void link_softmax(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    v->softmax(rows, cols, z, ldz);
}

/* Always a positive finite number (or NaN for NaN). */
static void link_exp(const mtl__vec *v, int64_t rows, int64_t cols, float *z, int64_t ldz)
{
    const float end = 80;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++) {
            float *x = z + r * ldz + j;
            *x = *x > end ? end : *x < -end ? -end : *x;
        }
    map_rows(v->exp, rows, cols, z, ldz);
}

mtl__unlink_fn *mtl__loss_unlink(mtl__link_fn *link)
{
    return link == link_sigmoid          ? mtl__unlink_sigmoid
           : link == mtl__ordinal_link   ? mtl__unlink_ordinal
           : link == mtl__quantile_link  ? mtl__unlink_quantile
           : link                        ? mtl__unlink_log
                                         : NULL;
}

/* --- the table ----------------------------------------------------------------------------------- */

static const mtl__choice_param binary_params[] = {
    {"smoothing", 0, 0, 1, NULL},
    {"positive_weight", 1, 0, 1e6, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param smoothing_params[] = {
    {"smoothing", 0, 0, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param focal_params[] = {
    {"gamma", 2, 0, 100, NULL},
    {"alpha", 0.25, 0, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param gamma_params[] = {
    {"gamma", 2, 0, 100, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param huber_params[] = {
    {"delta", 1, 1e-6, 1e6, NULL},
    {NULL, 0, 0, 0, NULL},
};
static const mtl__choice_param tweedie_params[] = {
    {"power", 1.5, 1.01, 1.99, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define TWO_CLASSES (KIND(MTL_BINARY) | KIND(MTL_MULTILABEL))

static const mtl__loss rows[] = {
    {.choice = {.name = "auto"}, .kinds = ~0u},
    {.choice = {.name = "binary_cross_entropy", .param = binary_params},
     .kinds = TWO_CLASSES,
     .columns_kernel = fn_binary,
     .element = mtl__binary_elements,
     .link = link_sigmoid},
    {.choice = {.name = "cross_entropy", .param = smoothing_params},
     .kinds = KIND(MTL_MULTICLASS),
     .rows_kernel = fn_softmax,
     .by_rows = mtl__smooth_rows,
     .link = link_softmax},
    {.choice = {.name = "focal", .param = focal_params},
     .kinds = TWO_CLASSES,
     .element = mtl__focal_elements,
     .link = link_sigmoid},
    {.choice = {.name = "focal", .param = gamma_params},
     .kinds = KIND(MTL_MULTICLASS),
     .by_rows = mtl__focal_rows,
     .link = link_softmax},
    {.choice = {.name = "ordinal"},
     .kinds = KIND(MTL_MULTICLASS),
     .by_rows = mtl__ordinal_rows,
     .link = mtl__ordinal_link,
     .has_thresholds = true},
    {.choice = {.name = "squared_error"},
     .kinds = KIND(MTL_REGRESSION),
     .columns_kernel = fn_squared},
    {.choice = {.name = "absolute_error"},
     .kinds = KIND(MTL_REGRESSION),
     .element = mtl__absolute_elements},
    {.choice = {.name = "huber", .param = huber_params},
     .kinds = KIND(MTL_REGRESSION),
     .element = mtl__huber_elements},
    {.choice = {.name = "log_cosh"},
     .kinds = KIND(MTL_REGRESSION),
     .element = mtl__log_cosh_elements},
    {.choice = {.name = "poisson"},
     .kinds = KIND(MTL_COUNT),
     .element = mtl__poisson_elements,
     .link = link_exp},
    {.choice = {.name = "gamma"},
     .kinds = KIND(MTL_COUNT),
     .element = mtl__gamma_elements,
     .link = link_exp,
     .is_positive = true},
    {.choice = {.name = "tweedie", .param = tweedie_params},
     .kinds = KIND(MTL_COUNT),
     .element = mtl__tweedie_elements,
     .link = link_exp},
    {.choice = {.name = "quantile"},
     .kinds = KIND(MTL_QUANTILE),
     .by_rows = mtl__quantile_rows,
     .link = mtl__quantile_link},
};

const mtl__choice_table mtl__losses = MTL__CHOICE_TABLE("loss", rows);

bool mtl__loss_is_initial(const mtl__loss *loss, const double *param, int i)
{
    const mtl__choice_param *p = loss->choice.param;
    for (int k = 0; p && p[k].key; k++)
        if (k == i)
            return param[k] == p[k].initial;
    return true;
}

static bool serves(const mtl__loss *loss, int32_t kind)
{
    return loss->kinds & KIND(kind);
}

/* The row of a text for a kind, "auto" being the first one that serves it; NULL for none. */
static const mtl__loss *find(const mtl__loss *named, int32_t kind)
{
    for (int64_t i = 1; i < MTL__COUNT_OF(rows); i++)
        if (serves(&rows[i], kind) &&
            (named == &rows[0] || strcmp(rows[i].choice.name, named->choice.name) == 0))
            return &rows[i];
    return NULL;
}

mtl_status mtl__loss_choose(const char *text, const char *task, int32_t kind, const mtl__loss **out,
                            double param[MTL__CHOICE_PARAMS], mtl_error *err)
{
    mtl__choice c;
    mtl_status st = mtl__choice_parse(&mtl__losses, text, -1, &c, err);
    if (st != MTL_OK)
        return st;
    const mtl__loss *loss = find(c.row, kind);
    if (!loss)
        return MTL_FAIL(err, MTL_ERR_RANGE, "task \"%.64s\": loss %s does not serve its kind", task,
                        ((const mtl__loss *)c.row)->choice.name);
    /* Once more by the parameters of the kind's own row. */
    const mtl__choice_table own = {mtl__losses.what, loss, 1, mtl__losses.row_bytes};
    st = mtl__choice_parse(&own, c.row == &rows[0] ? loss->choice.name : text, -1, &c, err);
    if (st != MTL_OK)
        return st;
    *out = loss;
    memcpy(param, c.value, sizeof c.value);
    return MTL_OK;
}

/* --- running ------------------------------------------------------------------------------------- */

static bool all_initial(const mtl__loss *loss, const double *param)
{
    for (int i = 0; i < MTL__CHOICE_PARAMS; i++)
        if (!mtl__loss_is_initial(loss, param, i))
            return false;
    return true;
}

/* A place among rows of outputs. */
typedef struct place {
    int64_t row, col, lane; /* lane: of the sums, 16 for each column */
} place;

static void advance(place *p, int64_t cols)
{
    p->col++;
    p->lane++;
    if (p->col < cols)
        return;
    p->col = 0;
    if (++p->row % 16 == 0)
        p->lane = 0;
}

/* Elements at .. at + n of c, whose loss and slope are known; p is moved behind them. */
static void finish_elements(const mtl__columns *c, int64_t at, int64_t n, const float *loss,
                            const float *slope, place *p)
{
    for (int64_t i = 0; i < n; i++) {
        const bool labelled = !isnan(c->y[at + i]);
        const float w = c->w ? c->w[at + i] : 1;
        if (labelled)
            c->work[p->lane] += w * loss[i];
        if (c->g)
            c->g[p->row * c->ldg + p->col] = labelled ? (c->scale[p->col] * w) * slope[i] : 0;
        advance(p, c->cols);
    }
}

/* The sums are those of the kernels of vec: 16 lanes by the row, and their tree. */
static void run_elements(const mtl__vec *v, mtl__element_fn *f, const double *param,
                         const mtl__columns *c)
{
    float z[MTL__LOSS_CHUNK], loss[MTL__LOSS_CHUNK], slope[MTL__LOSS_CHUNK];
    const int64_t cols = c->cols, count = c->rows * cols;
    place read = {0}, write = {0};
    memset(c->work, 0, (size_t)(16 * cols) * sizeof *c->work);
    for (int64_t at = 0; at < count; at += MTL__LOSS_CHUNK) {
        const int64_t n = mtl__min(MTL__LOSS_CHUNK, count - at);
        for (int64_t i = 0; i < n; i++, advance(&read, cols))
            z[i] = c->z[read.row * c->ldz + read.col];
        f(v, param, n, z, c->y + at, loss, slope);
        finish_elements(c, at, n, loss, slope, &write);
    }
    for (int64_t n = 8 * cols; n >= cols && n > 0; n /= 2)
        v->axpy(n, 1.0f, c->work + n, c->work);
    memcpy(c->sum, c->work, (size_t)cols * sizeof *c->sum);
}

void mtl__loss_columns(const mtl__vec *v, const mtl__loss *loss, const double *param,
                       const mtl__columns *c)
{
    if (loss->columns_kernel && all_initial(loss, param))
        loss->columns_kernel(v)(c);
    else
        run_elements(v, loss->element, param, c);
}

double mtl__loss_rows(const mtl__vec *v, const mtl__loss *loss, const mtl__rows_args *a)
{
    if (loss->rows_kernel && all_initial(loss, a->param))
        return (double)loss->rows_kernel(v)(a->rows, a->cols, a->z, a->ldz, a->y, a->w, a->scale,
                                            a->g, a->ldg);
    return loss->by_rows(v, a);
}
