/* SPDX-License-Identifier: MIT */
/* Numeric embeddings of cosines of a column, of frequencies w that are learned:

     cosine  a * [x, cos(2 pi (x w + b))] + c, element by element
     plr     relu(W [cos(2 pi x w), sin(2 pi x w)] + b)
     pbld    [x, W cos(2 pi x w + phase) + b]

   The cosines of a column are a product with one term whose write-out is a curve; they are not kept for
   the way back but made again, which takes less than to carry them through memory. */
#include "layer/layer.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define TWO_PI 6.283185307179586f

/* Where a column's numbers stand while it is at work. */
typedef struct room {
    float *turns; /* [features]: phases, in turns */
    float *wave;  /* [rows, width]: cosines, and beside them sines */
    float *slope; /* [rows, features]: derivatives of the cosines */
    float *grad;  /* [rows, width]: gradient of the waves, then, [rows, features], of their arguments */
    float *gemm;
} room;

static bool has_sines(const mtl__layer *l)
{
    return l->type == &mtl__plr_layer;
}

/* Does x come first among a column's outputs? */
static int64_t skips(const mtl__layer *l)
{
    return l->type != &mtl__plr_layer;
}

static int64_t width_of(const mtl__layer *l)
{
    return has_sines(l) ? 2 * l->features : l->features;
}

static int64_t made(const mtl__layer *l)
{
    return l->units - skips(l);
}

static room lay(const mtl__layer *l, int64_t rows, bool training, float *work)
{
    room r;
    r.turns = work;
    r.wave = r.turns + mtl__round_floats(l->features);
    r.slope = r.wave + mtl__round_floats(rows * width_of(l));
    r.grad = r.slope + mtl__round_floats(rows * l->features);
    r.gemm = r.grad + (training ? mtl__round_floats(rows * width_of(l)) : 0);
    return r;
}

static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    const int64_t width = width_of(l), units = l->units, features = l->features;
    const int64_t call[][4] = {{MTL__GEMM_NN, rows, features, 1},
                               {MTL__GEMM_NN, rows, units, width},
                               {MTL__GEMM_TN, width, units, rows},
                               {MTL__GEMM_TN, 1, features, rows},
                               {MTL__GEMM_NT, rows, width, units}};
    const int64_t own = mtl__round_floats(features) +
                        (training ? 2 : 1) * mtl__round_floats(rows * width) +
                        mtl__round_floats(rows * features);
    int64_t most = 0;
    for (int i = 0; i < (training ? MTL__COUNT_OF(call) : 2); i++)
        most = mtl__max(most, mtl__gemm_workspace(g, (mtl__gemm_kind)call[i][0], call[i][1],
                                                  call[i][2], call[i][3], slots));
    return own + most;
}

/* First output of embedded column c, and its part of a tensor with so many numbers for each. */
static int64_t output_of(const mtl__layer *l, int64_t c)
{
    return mtl__numeric_rest(l) + c * l->units;
}

static int64_t part_of(const mtl__layer *l, int64_t c, int64_t each)
{
    return l->shares ? 0 : c * each;
}

typedef struct wave_arg {
    const mtl__vec *vec;
    const float *turns;
    float *slope; /* NULL = not wanted */
    int64_t features;
} wave_arg;

static void take_cosine(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                        int64_t row0, int64_t col0)
{
    static const mtl__curve cosine = {MTL__CURVE_COS, 0, 0};
    const wave_arg *w = arg;
    w->vec->curve(&cosine, rows, cols, c, ldc, w->turns + col0,
                  w->slope ? w->slope + row0 * w->features + col0 : NULL, w->features);
}

static void make_waves(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                       const room *r, int64_t c, bool with_slope, float *to, int64_t ldto)
{
    const int64_t features = l->features;
    const wave_arg arg = {p->vec, r->turns, with_slope || has_sines(l) ? r->slope : NULL, features};
    const mtl__gemm_call call = {.kind = MTL__GEMM_NN,
                                 .m = io->rows,
                                 .n = features,
                                 .k = 1,
                                 .a = io->x + l->columns[c],
                                 .lda = io->ldx,
                                 .b = p->params + l->frequency + c * features,
                                 .ldb = features,
                                 .c = to,
                                 .ldc = ldto,
                                 .epilogue = take_cosine,
                                 .epilogue_arg = &arg};
    if (has_sines(l)) {
        memset(r->turns, 0, (size_t)features * sizeof *r->turns);
    } else {
        memcpy(r->turns, p->params + l->phase + c * features, (size_t)features * sizeof *r->turns);
        p->vec->scale(features, l->type == &mtl__pbld_layer ? 1 / TWO_PI : 1, r->turns);
    }
    mtl__gemm_run(p->gemm, &call, p->pool, r->gemm);
    for (int64_t i = 0; i < io->rows && has_sines(l); i++) {
        float *sine = to + i * ldto + features;
        memcpy(sine, r->slope + i * features, (size_t)features * sizeof *sine);
        p->vec->scale(features, -1 / TWO_PI, sine);
    }
}

static void pass_column(const mtl__layer *l, const mtl__layer_io *io, int64_t c)
{
    const int64_t from = l->columns[c], to = output_of(l, c);
    for (int64_t i = 0; i < io->rows && skips(l); i++)
        io->y[i * io->ldy + to] = io->x[i * io->ldx + from];
}

/* --- without a matrix ---------------------------------------------------------------------------- */

static void cosine_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const room r = lay(l, io->rows, false, p->gemm_work);
    const int64_t all = l->embeds * l->units;
    mtl__numeric_pass(l, io);
    for (int64_t c = 0; c < l->embeds; c++) {
        pass_column(l, io, c);
        make_waves(l, p, io, &r, c, false, io->y + output_of(l, c) + 1, io->ldy);
    }
    for (int64_t i = 0; i < io->rows; i++) {
        float *y = io->y + i * io->ldy + mtl__numeric_rest(l);
        p->vec->mul(all, p->params + l->scale, y);
        p->vec->axpy(all, 1, p->params + l->bias, y);
    }
}

/* dy * a is the gradient of the cosines; a multiplies the sums, which are fewer. */
static void cosine_column(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                          const mtl__layer_grad *g, const room *r, int64_t c)
{
    const int64_t features = l->features, floats = io->rows * features;
    const float *dy = g->dy + output_of(l, c), *a = p->params + l->scale + c * l->units + 1;
    float *da = p->grads + l->scale + c * l->units, *dw = p->grads + l->frequency + c * features;
    float *db = p->grads + l->phase + c * features;
    make_waves(l, p, io, r, c, true, r->wave, features);
    for (int64_t i = 0; i < io->rows; i++)
        memcpy(r->grad + i * features, dy + i * g->lddy + 1, (size_t)features * sizeof *dy);
    p->vec->mul(floats, r->grad, r->wave);
    p->vec->col_sums(io->rows, features, r->wave, features, da + 1, false);
    mtl__numeric_gradient(l, p, io, c, dy, g->lddy, 1, da, r->gemm);
    p->vec->mul(floats, r->slope, r->grad);
    p->vec->col_sums(io->rows, features, r->grad, features, db, false);
    mtl__numeric_gradient(l, p, io, c, r->grad, features, features, dw, r->gemm);
    p->vec->mul(features, a, db);
    p->vec->mul(features, a, dw);
}

static void cosine_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g)
{
    const room r = lay(l, io->rows, true, p->gemm_work);
    for (int64_t c = 0; c < l->embeds && g->want_params; c++)
        cosine_column(l, p, io, g, &r, c);
    if (g->want_params)
        p->vec->col_sums(io->rows, l->embeds * l->units, g->dy + mtl__numeric_rest(l), g->lddy,
                         p->grads + l->bias, false);
    mtl__numeric_hand_down(l, p, io, g);
}

/* --- with one ------------------------------------------------------------------------------------- */

typedef struct write_out {
    const mtl__vec *vec;
    mtl__bias_act_fn *fn;
    const float *bias;
} write_out;

static void add_bias(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                     int64_t row0, int64_t col0)
{
    const write_out *w = arg;
    (void)row0;
    w->fn(rows, cols, c, ldc, w->bias + col0);
}

static void product_forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    const room r = lay(l, io->rows, false, p->gemm_work);
    const int64_t width = width_of(l), units = made(l);
    mtl__numeric_pass(l, io);
    for (int64_t c = 0; c < l->embeds; c++) {
        const write_out arg = {p->vec, has_sines(l) ? p->vec->bias_relu : p->vec->bias_identity,
                               p->params + l->bias + part_of(l, c, units)};
        const mtl__gemm_call call = {.kind = MTL__GEMM_NN,
                                     .m = io->rows,
                                     .n = units,
                                     .k = width,
                                     .a = r.wave,
                                     .lda = width,
                                     .b = p->params + l->weight + part_of(l, c, width * units),
                                     .ldb = units,
                                     .c = io->y + output_of(l, c) + skips(l),
                                     .ldc = io->ldy,
                                     .epilogue = add_bias,
                                     .epilogue_arg = &arg};
        make_waves(l, p, io, &r, c, false, r.wave, width);
        pass_column(l, io, c);
        mtl__gemm_run(p->gemm, &call, p->pool, r.gemm);
    }
}

/* From the gradient of the waves to that of what they are of, in place. */
static void through_waves(const mtl__layer *l, const mtl__vec *vec, int64_t rows, const room *r)
{
    const int64_t features = l->features, width = width_of(l);
    for (int64_t i = 0; i < rows; i++) {
        float *d = r->grad + i * width;
        vec->mul(features, r->slope + i * features, d);
        if (!has_sines(l))
            continue;
        vec->mul(features, r->wave + i * width, d + features);
        vec->axpy(features, TWO_PI, d + features, d);
    }
}

static void product_column(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                           const mtl__layer_grad *g, const room *r, int64_t c)
{
    const int64_t width = width_of(l), units = made(l), features = l->features;
    const int64_t weight = l->weight + part_of(l, c, width * units);
    const bool adds = l->shares && c > 0;
    const float *dy = g->dy + output_of(l, c) + skips(l);
    const mtl__gemm_call of_weight = {.kind = MTL__GEMM_TN,
                                      .m = width,
                                      .n = units,
                                      .k = io->rows,
                                      .a = r->wave,
                                      .lda = width,
                                      .b = dy,
                                      .ldb = g->lddy,
                                      .c = p->grads + weight,
                                      .ldc = units,
                                      .accumulate = adds};
    const mtl__gemm_call of_waves = {.kind = MTL__GEMM_NT,
                                     .m = io->rows,
                                     .n = width,
                                     .k = units,
                                     .a = dy,
                                     .lda = g->lddy,
                                     .b = p->params + weight,
                                     .ldb = units,
                                     .c = r->grad,
                                     .ldc = width};
    make_waves(l, p, io, r, c, true, r->wave, width);
    p->vec->col_sums(io->rows, units, dy, g->lddy, p->grads + l->bias + part_of(l, c, units), adds);
    mtl__gemm_run(p->gemm, &of_weight, p->pool, r->gemm);
    mtl__gemm_run(p->gemm, &of_waves, p->pool, r->gemm);
    through_waves(l, p->vec, io->rows, r);
    mtl__numeric_gradient(l, p, io, c, r->grad, width, features, p->grads + l->frequency + c * features,
                       r->gemm);
    if (has_sines(l))
        return;
    float *phase = p->grads + l->phase + c * features;
    p->vec->col_sums(io->rows, features, r->grad, width, phase, false);
    p->vec->scale(features, 1 / TWO_PI, phase);
}

static void product_backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                             const mtl__layer_grad *g)
{
    const room r = lay(l, io->rows, true, p->gemm_work);
    const int64_t rest = mtl__numeric_rest(l);
    if (g->want_params && has_sines(l))
        p->vec->grad_relu(io->rows, l->embeds * l->units, io->y + rest, io->ldy, g->dy + rest, g->lddy);
    for (int64_t c = 0; c < l->embeds && g->want_params; c++)
        product_column(l, p, io, g, &r, c);
    mtl__numeric_hand_down(l, p, io, g);
}

/* --- tensors -------------------------------------------------------------------------------------- */

static mtl__shape of_features(const mtl__layer *l)
{
    return (mtl__shape){l->embeds, l->features};
}

static mtl__shape of_units(const mtl__layer *l)
{
    return (mtl__shape){l->embeds, l->units};
}

static mtl__shape of_matrix(const mtl__layer *l)
{
    return (mtl__shape){(l->shares ? 1 : l->embeds) * width_of(l), made(l)};
}

static mtl__shape of_bias(const mtl__layer *l)
{
    return (mtl__shape){l->shares ? 1 : l->embeds, made(l)};
}

/* Normal; but for pbld without what is further out than 3 deviations. */
static void draw_frequencies(const mtl__layer *l, mtl__rng *rng, float *w)
{
    const double limit = l->type == &mtl__pbld_layer ? INFINITY : 3;
    for (int64_t i = 0; i < l->embeds * l->features; i++) {
        double z;
        do
            z = mtl__rng_normal(rng);
        while (fabs(z) > limit);
        w[i] = (float)(l->spread * z);
    }
}

static void draw_phases(const mtl__layer *l, mtl__rng *rng, float *w)
{
    mtl__numeric_draw(rng, l->embeds * l->features, (double)TWO_PI / 2, w);
}

static double bound_of(const mtl__layer *l)
{
    return 1 / sqrt((double)width_of(l));
}

static void draw_matrix(const mtl__layer *l, mtl__rng *rng, float *w)
{
    const mtl__shape s = of_matrix(l);
    mtl__numeric_draw(rng, s.rows * s.cols, bound_of(l), w);
}

static void draw_bias(const mtl__layer *l, mtl__rng *rng, float *w)
{
    const mtl__shape s = of_bias(l);
    mtl__numeric_draw(rng, s.rows * s.cols, bound_of(l), w);
}

static int64_t keeps_nothing(const mtl__layer *l)
{
    (void)l;
    return 0;
}

#define FREQUENCY                                                                                  \
    {                                                                                              \
        "frequency", offsetof(mtl__layer, frequency), MTL__FACTORS, 1, of_features, draw_frequencies \
    }
#define MATRIX                                                                                     \
    {                                                                                              \
        "weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, of_matrix, draw_matrix             \
    }
#define BIAS                                                                                       \
    {                                                                                              \
        "bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, of_bias, draw_bias                    \
    }

static const mtl__layer_param cosine_params[] = {
    FREQUENCY,
    {"phase", offsetof(mtl__layer, phase), MTL__FACTORS, 0, of_features, NULL},
    {"scale", offsetof(mtl__layer, scale), MTL__FACTORS, 1, of_units, NULL},
    {"bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, of_units, NULL},
};
static const mtl__layer_param plr_params[] = {FREQUENCY, MATRIX, BIAS};
static const mtl__layer_param pbld_params[] = {
    FREQUENCY,
    {"phase", offsetof(mtl__layer, phase), MTL__FACTORS, 0, of_features, draw_phases},
    MATRIX,
    BIAS,
};

#define TYPE(kind, way)                                                                            \
    const mtl__layer_type mtl__##kind##_layer = {.name = #kind,                                    \
                                                 .param = kind##_params,                           \
                                                 .params = MTL__COUNT_OF(kind##_params),           \
                                                 .workspace = workspace,                           \
                                                 .kept_per_row = keeps_nothing,                    \
                                                 .forward = way##_forward,                         \
                                                 .backward = way##_backward}

TYPE(cosine, cosine);
TYPE(plr, product);
TYPE(pbld, product);
