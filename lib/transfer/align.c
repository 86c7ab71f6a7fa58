/* SPDX-License-Identifier: MIT */
/* Both distances are sums over pairs of rows, with a sign by their parts: for CORAL

     |C1 - C2|_F^2 = sum over i, j of s_i s_j <z_i, z_j>^2,   z = (x - mean of its part) / sqrt(n - 1),

   which costs rows^2 cols instead of rows cols^2, and shares its loop with MMD. */
#include "transfer/align.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "solve/solve.h"

/* --- the distance ------------------------------------------------------------------------------ */

typedef struct pairs {
    mtl__distance kind;
    int64_t rows, split, cols;
    double *z, *g; /* [rows, cols]; g NULL = no gradient */
    double *apart; /* [cols]: z_i - z_j */
    double scale[2]; /* of z, by part */
    double weight[2];
    double width; /* mean squared distance, for MMD */
    double by_width; /* the distance's derivative by it */
} pairs;

int64_t mtl__distance_room(int64_t rows, int64_t cols)
{
    return 2 * rows * cols + cols;
}

static int part_of(const pairs *p, int64_t row)
{
    return row >= p->split;
}

/* Rows less their mean, times a scale. */
static void centre(const pairs *p, int64_t first, int64_t end, double scale)
{
    memset(p->apart, 0, (size_t)p->cols * sizeof *p->apart);
    for (int64_t i = first; i < end; i++)
        mtl__axpy_f64(p->cols, 1 / (double)(end - first), p->z + i * p->cols, p->apart);
    for (int64_t i = first; i < end; i++)
        for (int64_t j = 0; j < p->cols; j++)
            p->z[i * p->cols + j] = (p->z[i * p->cols + j] - p->apart[j]) * scale;
}

static void load(pairs *p, const float *x)
{
    const int64_t n[2] = {p->split, p->rows - p->split};
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        p->z[i] = (double)x[i];
    for (int k = 0; k < 2; k++) {
        p->scale[k] = p->kind == MTL__CORAL ? 1 / sqrt((double)(n[k] - 1)) : 1;
        p->weight[k] = (k ? -1 : 1) / (p->kind == MTL__CORAL ? 2 * (double)p->cols : (double)n[k]);
    }
    if (p->kind == MTL__CORAL) {
        centre(p, 0, p->split, p->scale[0]);
        centre(p, p->split, p->rows, p->scale[1]);
    } else {
        centre(p, 0, p->rows, 1);
        p->width = 2 * mtl__dot_f64(p->rows * p->cols, p->z, p->z) / (double)(p->rows - 1);
    }
}

/* The kernel of rows i and j; c times twice its derivative by either of them to the gradient. */
static double pair(pairs *p, int64_t i, int64_t j, double c)
{
    const double *a = p->z + i * p->cols, *b = p->z + j * p->cols;
    if (p->kind == MTL__CORAL) {
        const double k = mtl__dot_f64(p->cols, a, b);
        if (p->g)
            mtl__axpy_f64(p->cols, 4 * c * k, b, p->g + i * p->cols);
        if (p->g && i != j)
            mtl__axpy_f64(p->cols, 4 * c * k, a, p->g + j * p->cols);
        return k * k;
    }
    memcpy(p->apart, a, (size_t)p->cols * sizeof *a);
    mtl__axpy_f64(p->cols, -1, b, p->apart);
    const double square = mtl__dot_f64(p->cols, p->apart, p->apart);
    const double e = mtl__exp_f64(-square / (4 * p->width));
    const double slope = -(e / 4 + e * e / 2 + e * e * e * e) / p->width;
    p->by_width -= 2 * c * slope * square / p->width;
    if (p->g) {
        mtl__axpy_f64(p->cols, 4 * c * slope, p->apart, p->g + i * p->cols);
        mtl__axpy_f64(p->cols, -4 * c * slope, p->apart, p->g + j * p->cols);
    }
    return e + e * e + e * e * e * e;
}

static double all_pairs(pairs *p)
{
    double sum = 0;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j <= i; j++) {
            const double c = p->weight[part_of(p, i)] * p->weight[part_of(p, j)];
            sum += (i == j ? 1 : 2) * c * pair(p, i, j, c);
        }
    if (p->g)
        mtl__axpy_f64(p->rows * p->cols, 4 * p->by_width / (double)(p->rows - 1), p->z, p->g);
    return sum > 0 ? sum : 0;
}

double mtl__distance_of(mtl__distance kind, const mtl__parts *of, double *work, double factor,
                        float *gradient)
{
    const int64_t size = of->rows * of->cols, least = kind == MTL__CORAL ? 2 : 1;
    pairs p = {.kind = kind, .rows = of->rows, .split = of->split, .cols = of->cols, .z = work,
               .g = gradient ? work + size : NULL, .apart = work + 2 * size};
    if (gradient)
        memset(gradient, 0, (size_t)size * sizeof *gradient);
    if (of->split < least || of->rows - of->split < least)
        return 0;
    if (gradient)
        memset(p.g, 0, (size_t)size * sizeof *p.g);
    load(&p, of->x);
    if (kind == MTL__MMD && !(p.width > 0))
        return 0;
    const double distance = all_pairs(&p);
    for (int64_t i = 0; i < size && gradient; i++)
        gradient[i] = (float)(factor * p.scale[part_of(&p, i / of->cols)] * p.g[i]);
    return distance;
}

/* --- the penalty ------------------------------------------------------------------------------- */

static void draw_together(void *self, mtl__trainer *t)
{
    const mtl__aligner *a = self;
    const mtl__network *net = &t->m->net;
    const mtl__parts p = {.rows = t->feed.batch.rows,
                          .split = t->feed.batch.rows - t->feed.source[1].batch,
                          .cols = net->trunk_out,
                          .x = t->buffers.y[net->trunk_layers - 1]};
    mtl__distance_of(a->kind, &p, a->work, a->weight, t->buffers.dh);
    t->buffers.has_dh = true;
}

mtl_status mtl__align(mtl__trainer *t, mtl__distance kind, double weight, mtl__aligner *out,
                      mtl_error *err)
{
    const int64_t room = mtl__distance_room(mtl__feed_max_rows(&t->feed), t->m->net.trunk_out);
    *out = (mtl__aligner){&t->m->ctx->al, kind, weight, NULL, room};
    out->work = mtl__alloc_array(out->al, room, sizeof *out->work);
    if (!out->work)
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for a distance of domains");
    mtl__trainer_hook(t, (mtl__hook){.self = out, .before_backward = draw_together});
    return MTL_OK;
}

void mtl__align_free(mtl__aligner *a)
{
    if (a->work)
        mtl__free(a->al, a->work, a->room * (int64_t)sizeof *a->work);
    *a = (mtl__aligner){0};
}
