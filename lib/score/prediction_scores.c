/* SPDX-License-Identifier: MIT */
/* Scores of a source task's probabilities. One column is the probability of class 1 of two. */
#include <string.h>

#include "base/math64.h"
#include "score/score_priv.h"

static int64_t source_classes(const mtl__score_rows *r)
{
    return r->s.cols == 1 ? 2 : r->s.cols;
}

static double probability(const mtl__score_rows *r, int64_t i, int64_t z)
{
    const float *x = r->a->x + r->row[i] * r->a->x_stride;
    return r->s.cols > 1 ? (double)x[z] : z == 1 ? (double)x[0] : 1 - (double)x[0];
}

/* The mean log probability of the labels, source classes being dummies: P(y | z) from the sums of
   theta, [classes, z], and their sums over classes, [z]. */
double mtl__score_leep(mtl__score_rows *r)
{
    const int64_t zs = source_classes(r);
    double *joint = r->room, *mass = joint + r->a->classes * zs, sum = 0;
    memset(joint, 0, (size_t)((r->a->classes + 1) * zs) * sizeof *joint);
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t z = 0; z < zs; z++) {
            joint[(int64_t)r->y[i] * zs + z] += probability(r, i, z);
            mass[z] += probability(r, i, z);
        }
    for (int64_t i = 0; i < r->n; i++) {
        double p = 0;
        for (int64_t z = 0; z < zs; z++)
            if (mass[z] > 0)
                p += joint[(int64_t)r->y[i] * zs + z] / mass[z] * probability(r, i, z);
        sum += mtl__log_f64(p);
    }
    return sum / (double)r->n;
}

/* -H(Y | Z) of counts, Z the likeliest source class, the first of equal ones. */
double mtl__score_nce(mtl__score_rows *r)
{
    const int64_t zs = source_classes(r), classes = r->a->classes;
    double *joint = r->room, *mass = joint + classes * zs, sum = 0;
    memset(joint, 0, (size_t)((classes + 1) * zs) * sizeof *joint);
    for (int64_t i = 0; i < r->n; i++) {
        int64_t best = 0;
        for (int64_t z = 1; z < zs; z++)
            if (probability(r, i, z) > probability(r, i, best))
                best = z;
        joint[(int64_t)r->y[i] * zs + best]++;
        mass[best]++;
    }
    for (int64_t i = 0; i < classes * zs; i++)
        if (joint[i] > 0)
            sum += joint[i] * mtl__log_f64(joint[i] / mass[i % zs]);
    return sum / (double)r->n;
}
