/* SPDX-License-Identifier: MIT */
/* Batch spectral shrinkage (Chen et al. 2019, equation 5): eta times the sum of the k smallest
   squared singular values of a batch's features, directions in which they hardly differ being what
   is not worth to be moved. With F = U S V' their gradient is 2 U U' F over those of them, or 2 F V
   V'. */
#include <string.h>

#include "solve/solve.h"
#include "transfer/guide.h"

enum { ETA, SMALLEST };

static void plan(mtl__guiding *g, const mtl__trainer *t, mtl__arena *a)
{
    const int64_t rows = mtl__feed_max_rows(&t->feed) * t->m->net.members,
                  cols = t->m->net.trunk_out;
    const int64_t n = mtl__min(rows, cols);
    g->sum = mtl__arena_take(a, n * n + 2 * n + mtl__max(rows, cols), sizeof *g->sum);
}

/* F [count, n], numbers `step` and vectors `ld` apart: the Gramian's vectors [n, n] of length 1, by
   ascending values. */
static bool spectrum_of(const float *f, int64_t n, int64_t ld, int64_t count, int64_t step,
                        double *gram)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t k = 0; k < count; k++)
                sum += (double)f[i * ld + k * step] * (double)f[j * ld + k * step];
            gram[i * n + j] = sum;
        }
    return mtl__eigen_symmetric(n, gram, n, gram + n * n, gram + n * n + n);
}

static void shrink(void *self, mtl__trainer *t)
{
    const mtl__guiding *g = self;
    const int64_t rows = t->feed.batch.rows * t->m->net.members, cols = t->m->net.trunk_out;
    const bool by_rows = rows <= cols;
    const int64_t n = by_rows ? rows : cols, count = by_rows ? cols : rows;
    const int64_t ld = by_rows ? cols : 1, step = by_rows ? 1 : cols;
    const float *f = t->buffers.y[t->m->net.trunk_layers - 1];
    double *along = g->sum + n * n + 2 * n;
    memset(t->buffers.dh, 0, (size_t)(rows * cols) * sizeof(float));
    t->buffers.has_dh = true;
    if (!spectrum_of(f, n, ld, count, step, g->sum))
        return; /* the loss is not finite either */
    for (int64_t s = 0; s < mtl__min(n, (int64_t)g->value[SMALLEST]); s++) {
        const double *u = g->sum + s * n;
        memset(along, 0, (size_t)count * sizeof *along);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < count; k++)
                along[k] += u[i] * (double)f[i * ld + k * step];
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < count; k++)
                t->buffers.dh[i * ld + k * step] += (float)(2 * g->value[ETA] * u[i] * along[k]);
    }
}

const struct mtl__guide mtl__bss = {.plan = plan, .before_backward = shrink};
