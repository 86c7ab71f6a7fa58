/* SPDX-License-Identifier: MIT */
/* Numeric embeddings of cosines of a column, of frequencies w that are learned, with a matrix:

     plr     relu(W [cos(2 pi x w), sin(2 pi x w)] + b)
     pbld    [x, W cos(2 pi x w + phase) + b]

   A column at a time, some rows of it turned into lines, one for each frequency, so that every pass goes
   along the rows however few the frequencies and outputs are. The cosines are not kept for the way back
   but made again, which takes less than to carry them through memory. */
#include "layer/layer.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define TWO_PI 6.283185307179586f

/* Rows whose lines stay in a second-level cache. */
enum { BLOCK = 256 };

typedef struct job {
    const mtl__layer *l;
    const mtl__pass *p;
    const mtl__layer_io *io;
    const mtl__layer_grad *g;
    mtl__pool *pool;    /* of products; NULL where columns have a thread each */
    int64_t slot_floats;
} job;

/* Where some rows of a column stand while they are at work. */
typedef struct room {
    int64_t row, rows, ld; /* first and number of them, and floats from line to line */
    float *x;              /* [2, ld]: the column, and ones */
    float *terms;          /* [2, features]: frequencies and phases, in turns */
    float *wave;           /* [width, ld]: cosines, and below them sines */
    float *slope;          /* [features, ld]: derivatives of the cosines */
    float *grad;           /* [width, ld]: gradient of the waves, then of their arguments */
    float *dy;             /* [rows, made] */
    float *sums;           /* [features, 2]: gradients of frequencies and phases */
    float *gemm;
} room;

static bool has_sines(const mtl__layer *l)
{
    return l->type == &mtl__plr_layer;
}

/* Does x come first among a column's outputs? */
static int64_t skips(const mtl__layer *l)
{
    return !has_sines(l);
}

static int64_t width_of(const mtl__layer *l)
{
    return has_sines(l) ? 2 * l->features : l->features;
}

static int64_t made(const mtl__layer *l)
{
    return l->units - skips(l);
}

/* Few rows have lines without a gap; else one a number of cache lines apart that is odd, so that they do
   not meet in the same set. */
static int64_t line_of(int64_t rows)
{
    return rows < 64 ? rows : mtl__round_floats(rows) | 16;
}

static int64_t lay(const mtl__layer *l, int64_t rows, bool training, float *work, room *r)
{
    const int64_t ld = line_of(rows), width = width_of(l);
    const int64_t floats[] = {2 * ld,      2 * l->features,           width * ld, l->features * ld,
                              width * ld, mtl__round_floats(rows * made(l)), 2 * l->features};
    float **const at[] = {&r->x, &r->terms, &r->wave, &r->slope, &r->grad, &r->dy, &r->sums};
    int64_t sum = 0;
    for (int i = 0; i < (training ? 7 : 4); i++) {
        *at[i] = work ? work + sum : NULL;
        sum += mtl__round_floats(floats[i]);
    }
    r->rows = rows;
    r->ld = ld;
    r->gemm = work ? work + sum : NULL;
    return sum;
}

static int64_t slot_floats(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                           bool training)
{
    const int64_t width = width_of(l), units = made(l), features = l->features;
    const int64_t call[][4] = {{MTL__GEMM_TN, features, rows, 2},
                               {MTL__GEMM_TN, rows, units, width},
                               {MTL__GEMM_NN, width, units, rows},
                               {MTL__GEMM_NT, width, rows, units},
                               {MTL__GEMM_NT, features, 2, rows}};
    int64_t most = 0;
    room r;
    for (int i = 0; i < (training ? MTL__COUNT_OF(call) : 2); i++)
        most = mtl__max(most, mtl__gemm_workspace(g, (mtl__gemm_kind)call[i][0], call[i][1],
                                                  call[i][2], call[i][3], slots));
    return lay(l, rows, training, NULL, &r) + mtl__round_floats(most);
}

/* Columns of one thread each, or one column after the other with all threads in its products. */
static int64_t workspace(const mtl__layer *l, const mtl__gemm *g, int64_t rows, int slots,
                         bool training)
{
    rows = mtl__min(rows, BLOCK);
    return mtl__max(slots * slot_floats(l, g, rows, 1, training),
                    slot_floats(l, g, rows, slots, training));
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

/* Lines of wave or slope one by one, or as one where there is no gap. */
static int64_t lines_in(const room *r, int64_t lines)
{
    return r->ld == r->rows ? 1 : lines;
}

static int64_t floats_in(const room *r, int64_t lines)
{
    return r->ld == r->rows ? r->rows * lines : r->rows;
}

static void make_waves(const job *j, const room *r, int64_t c)
{
    static const mtl__curve cosine = {MTL__CURVE_COS, 0, 0};
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t features = l->features, lines = lines_in(r, features), n = floats_in(r, features);
    const mtl__gemm_call call = {.kind = MTL__GEMM_TN,
                                 .m = features,
                                 .n = r->rows,
                                 .k = 2 - has_sines(l),
                                 .a = r->terms,
                                 .lda = features,
                                 .b = r->x,
                                 .ldb = r->ld,
                                 .c = r->wave,
                                 .ldc = r->ld};
    for (int64_t i = 0; i < r->rows; i++) {
        r->x[i] = j->io->x[(r->row + i) * j->io->ldx + l->columns[c]];
        r->x[r->ld + i] = 1;
    }
    memcpy(r->terms, j->p->params + l->frequency + c * features, (size_t)features * sizeof *r->terms);
    if (!has_sines(l)) {
        memcpy(r->terms + features, j->p->params + l->phase + c * features,
               (size_t)features * sizeof *r->terms);
        v->scale(features, 1 / TWO_PI, r->terms + features);
    }
    mtl__gemm_run(j->p->gemm, &call, j->pool, r->gemm);
    v->curve(&cosine, lines, n, r->wave, r->ld, NULL, r->slope, r->ld);
    for (int64_t i = 0; i < lines && has_sines(l); i++) {
        float *sine = r->wave + features * r->ld + i * r->ld;
        memcpy(sine, r->slope + i * r->ld, (size_t)n * sizeof *sine);
        v->scale(n, -1 / TWO_PI, sine);
    }
}

typedef struct write_out {
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

static void forward_rows(const job *j, const room *r, int64_t c)
{
    const mtl__layer *l = j->l;
    const int64_t width = width_of(l), units = made(l);
    float *y = j->io->y + r->row * j->io->ldy + output_of(l, c);
    const write_out arg = {has_sines(l) ? j->p->vec->bias_relu : j->p->vec->bias_identity,
                           j->p->params + l->bias + part_of(l, c, units)};
    const mtl__gemm_call call = {.kind = r->ld == 1 ? MTL__GEMM_NN : MTL__GEMM_TN,
                                 .m = r->rows,
                                 .n = units,
                                 .k = width,
                                 .a = r->wave,
                                 .lda = r->ld == 1 ? width : r->ld,
                                 .b = j->p->params + l->weight + part_of(l, c, width * units),
                                 .ldb = units,
                                 .c = y + skips(l),
                                 .ldc = j->io->ldy,
                                 .epilogue = add_bias,
                                 .epilogue_arg = &arg};
    make_waves(j, r, c);
    mtl__gemm_run(j->p->gemm, &call, j->pool, r->gemm);
    for (int64_t i = 0; i < r->rows && skips(l); i++)
        y[i * j->io->ldy] = r->x[i];
}

/* From the gradient of the waves to that of what they are of, in place. */
static void through_waves(const job *j, const room *r)
{
    const mtl__vec *v = j->p->vec;
    const int64_t features = j->l->features, n = floats_in(r, features);
    for (int64_t i = 0; i < lines_in(r, features); i++) {
        float *d = r->grad + i * r->ld, *sine = d + features * r->ld;
        v->mul(n, r->slope + i * r->ld, d);
        if (!has_sines(j->l))
            continue;
        v->mul(n, r->wave + i * r->ld, sine);
        v->axpy(n, TWO_PI, sine, d);
    }
}

/* Sums over the rows go on from those of the rows before. */
static void backward_rows(const job *j, const room *r, int64_t c)
{
    const mtl__layer *l = j->l;
    const mtl__vec *v = j->p->vec;
    const int64_t width = width_of(l), units = made(l), ldy = j->io->ldy, lddy = j->g->lddy;
    const int64_t weight = l->weight + part_of(l, c, width * units), first = output_of(l, c) + skips(l);
    const bool adds = r->row > 0, also = adds || (l->shares && c > 0);
    const mtl__gemm_call of_weight = {.kind = MTL__GEMM_NN,
                                      .m = width,
                                      .n = units,
                                      .k = r->rows,
                                      .a = r->wave,
                                      .lda = r->ld,
                                      .b = r->dy,
                                      .ldb = units,
                                      .c = j->p->grads + weight,
                                      .ldc = units,
                                      .accumulate = also};
    const mtl__gemm_call of_waves = {.kind = MTL__GEMM_NT,
                                     .m = width,
                                     .n = r->rows,
                                     .k = units,
                                     .a = j->p->params + weight,
                                     .lda = units,
                                     .b = r->dy,
                                     .ldb = units,
                                     .c = r->grad,
                                     .ldc = r->ld};
    const mtl__gemm_call of_terms = {.kind = MTL__GEMM_NT,
                                     .m = l->features,
                                     .n = 2 - has_sines(l),
                                     .k = r->rows,
                                     .a = r->grad,
                                     .lda = r->ld,
                                     .b = r->x,
                                     .ldb = r->ld,
                                     .c = r->sums,
                                     .ldc = 2,
                                     .accumulate = adds};
    make_waves(j, r, c);
    for (int64_t i = 0; i < r->rows; i++)
        memcpy(r->dy + i * units, j->g->dy + (r->row + i) * lddy + first, (size_t)units * sizeof *r->dy);
    if (has_sines(l))
        v->grad_relu(r->rows, units, j->io->y + r->row * ldy + first, ldy, r->dy, units);
    v->col_sums(r->rows, units, r->dy, units, j->p->grads + l->bias + part_of(l, c, units), also);
    mtl__gemm_run(j->p->gemm, &of_weight, j->pool, r->gemm);
    mtl__gemm_run(j->p->gemm, &of_waves, j->pool, r->gemm);
    through_waves(j, r);
    mtl__gemm_run(j->p->gemm, &of_terms, j->pool, r->gemm);
}

static void hand_out(const job *j, const room *r, int64_t c)
{
    const int64_t features = j->l->features, at = c * features;
    for (int64_t f = 0; f < features; f++) {
        j->p->grads[j->l->frequency + at + f] = r->sums[2 * f];
        if (!has_sines(j->l))
            j->p->grads[j->l->phase + at + f] = r->sums[2 * f + 1] * (1 / TWO_PI);
    }
}

static void run_column(void *arg, int64_t c, int slot)
{
    const job *j = arg;
    room r;
    lay(j->l, mtl__min(BLOCK, j->io->rows), j->g != NULL,
        j->p->gemm_work + slot * j->slot_floats, &r);
    for (r.row = 0; r.row < j->io->rows; r.row += r.rows) {
        r.rows = mtl__min(BLOCK, j->io->rows - r.row);
        if (j->g)
            backward_rows(j, &r, c);
        else
            forward_rows(j, &r, c);
    }
    if (j->g)
        hand_out(j, &r, c);
}

/* All columns: a job each for the pool where that pays and they share no sums. */
static void run_columns(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                        const mtl__layer_grad *g)
{
    job j = {l, p, io, g, NULL, 0};
    const int64_t macs = l->embeds * io->rows * width_of(l) * (made(l) + 16);
    if (!(g && l->shares) && mtl__pool_pays(p->pool, macs)) {
        j.slot_floats = slot_floats(l, p->gemm, mtl__min(BLOCK, io->rows), 1, g != NULL);
        mtl__pool_run(p->pool, l->embeds, run_column, &j);
        return;
    }
    j.pool = p->pool;
    for (int64_t c = 0; c < l->embeds; c++)
        run_column(&j, c, 0);
}

static void forward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io)
{
    mtl__numeric_pass(l, io);
    run_columns(l, p, io, NULL);
}

static void backward(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                     const mtl__layer_grad *g)
{
    if (g->want_params)
        run_columns(l, p, io, g);
    mtl__numeric_hand_down(l, p, io, g);
}

/* --- tensors -------------------------------------------------------------------------------------- */

static mtl__shape of_matrix(const mtl__layer *l)
{
    return (mtl__shape){(l->shares ? 1 : l->embeds) * width_of(l), made(l)};
}

static mtl__shape of_bias(const mtl__layer *l)
{
    return (mtl__shape){l->shares ? 1 : l->embeds, made(l)};
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
        "frequency", offsetof(mtl__layer, frequency), MTL__FACTORS, 1, mtl__numeric_features,       \
            mtl__numeric_draw_frequencies                                                          \
    }
#define MATRIX                                                                                     \
    {                                                                                              \
        "weight", offsetof(mtl__layer, weight), MTL__MATRIX, 1, of_matrix, draw_matrix             \
    }
#define BIAS                                                                                       \
    {                                                                                              \
        "bias", offsetof(mtl__layer, bias), MTL__FACTORS, 0, of_bias, draw_bias                    \
    }

static const mtl__layer_param plr_params[] = {FREQUENCY, MATRIX, BIAS};
static const mtl__layer_param pbld_params[] = {
    FREQUENCY,
    {"phase", offsetof(mtl__layer, phase), MTL__FACTORS, 0, mtl__numeric_features, draw_phases},
    MATRIX,
    BIAS,
};

#define TYPE(kind)                                                                                 \
    const mtl__layer_type mtl__##kind##_layer = {.name = #kind,                                    \
                                                 .param = kind##_params,                           \
                                                 .params = MTL__COUNT_OF(kind##_params),           \
                                                 .workspace = workspace,                           \
                                                 .kept_per_row = keeps_nothing,                    \
                                                 .forward = forward,                               \
                                                 .backward = backward}

TYPE(plr);
TYPE(pbld);
