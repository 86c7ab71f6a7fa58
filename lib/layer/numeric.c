/* SPDX-License-Identifier: MIT */
/* Numeric embeddings: each of some columns becomes several. What they share, and the table of them. */
#include "layer/layer.h"

#include <math.h>
#include <string.h>

static const mtl__choice_param cosine_params[] = {{"size", 8, 2, 4096, MTL__CHOICE_WHOLE},
                                                  {"scale", 1, 0, 1e6, NULL},
                                                  {NULL, 0, 0, 0, NULL}};
static const mtl__choice_param plr_params[] = {{"size", 24, 1, 4096, MTL__CHOICE_WHOLE},
                                               {"scale", 0.01, 0, 1e6, NULL},
                                               {"frequencies", 48, 1, 4096, MTL__CHOICE_WHOLE},
                                               {"lite", 0, 0, 1, MTL__CHOICE_WHOLE},
                                               {NULL, 0, 0, 0, NULL}};
static const mtl__choice_param pbld_params[] = {{"size", 4, 2, 4096, MTL__CHOICE_WHOLE},
                                                {"scale", 0.1, 0, 1e6, NULL},
                                                {"frequencies", 16, 1, 4096, MTL__CHOICE_WHOLE},
                                                {NULL, 0, 0, 0, NULL}};

static const mtl__choice_param ple_params[] = {{"size", 16, 1, 4096, MTL__CHOICE_WHOLE},
                                               {"bins", 48, 1, 4096, MTL__CHOICE_WHOLE},
                                               {NULL, 0, 0, 0, NULL}};

static const mtl__numeric rows[] = {
    /* Gorishniy et al. 2026, TabPack */
    {{"cosine", cosine_params}, &mtl__cosine_layer, -1, 1, -1},
    /* Gorishniy, Rubachev & Babenko 2022, section 3.3; lite: Gorishniy et al. 2023, TabR */
    {{"plr", plr_params}, &mtl__plr_layer, 2, 1, 3},
    /* Holzmueller, Grinsztajn & Steinwart 2024, RealMLP, section 3 */
    {{"pbld", pbld_params}, &mtl__pbld_layer, 2, 1, -1},
    /* See piecewise.c */
    {{"ple", ple_params}, &mtl__ple_layer, 1, -1, -1},
};

const mtl__choice_table mtl__numerics = MTL__CHOICE_TABLE("numeric embedding", rows);

const mtl__numeric *mtl__numeric_of(const mtl__layer_type *type)
{
    for (int i = 0; i < MTL__COUNT_OF(rows); i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

/* The stretches between the columns that are embedded, in order. */
static int64_t next_stretch(const mtl__layer *l, int64_t c, int64_t *from)
{
    *from = c > 0 ? l->columns[c - 1] + 1 : 0;
    return (c < l->embeds ? l->columns[c] : l->in) - *from;
}

void mtl__numeric_pass(const mtl__layer *l, const mtl__layer_io *io)
{
    for (int64_t r = 0; r < io->rows && mtl__numeric_rest(l) > 0; r++) {
        const float *x = io->x + r * io->ldx;
        float *y = io->y + r * io->ldy;
        for (int64_t c = 0, from, n; c <= l->embeds; c++) {
            n = next_stretch(l, c, &from);
            if (n > 0)
                memcpy(y, x + from, (size_t)n * sizeof *y);
            y += n;
        }
    }
}

void mtl__numeric_hand_down(const mtl__layer *l, const mtl__pass *p, const mtl__layer_io *io,
                            const mtl__layer_grad *g)
{
    for (int64_t r = 0; r < io->rows && g->dx; r++) {
        const float *dy = g->dy + r * g->lddy;
        float *dx = g->dx + r * g->lddx;
        if (!g->dx_adds)
            memset(dx, 0, (size_t)l->in * sizeof *dx);
        for (int64_t c = 0, from, n; c <= l->embeds; c++) {
            n = next_stretch(l, c, &from);
            p->vec->axpy(n, 1, dy, dx + from);
            dy += n;
        }
    }
}

void mtl__numeric_draw(mtl__rng *rng, int64_t n, double bound, float *w)
{
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)(bound * (2 * mtl__rng_f64(rng) - 1));
}

mtl__shape mtl__numeric_features(const mtl__layer *l)
{
    return (mtl__shape){l->embeds, l->features};
}

/* Normal; but for pbld without what is further out than 3 deviations. */
void mtl__numeric_draw_frequencies(const mtl__layer *l, mtl__rng *rng, float *w)
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
