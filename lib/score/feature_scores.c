/* SPDX-License-Identifier: MIT */
/* Scores of features, in the coordinates of their principal axes: f [n, k] with mean squares
 * spread. */
#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "score/score_priv.h"
#include "solve/solve.h"

/* ---- LogME ---- */

#define LOG_2_PI    1.8378770664093453
#define LEAST_NOISE 1e-6  /* of the labels' mean square: b beyond it would be rounding's */
#define STEPS       64    /* of the first look at the evidence, over LOWEST .. 1 / LOWEST */
#define LOWEST      1e-12 /* ratio a / b over the largest eigenvalue */
#define GOLDEN      0.6180339887498949

typedef struct evidence {
    const mtl__score_rows *r;
    const double *square; /* [k]: of the labels' parts along the axes */
    double rest, least;   /* what lies beside them; sum of squares that counts as noise */
} evidence;

/* The log evidence where a / b = exp(log_ratio) and b is the best for that: labels are normal with
   covariance (I + F F' b / a) / b, so 1 / b = y' (I + F F' b / a)^-1 y / n. */
static double evidence_at(const evidence *e, double log_ratio)
{
    const mtl__design *d = &e->r->d;
    const double n = (double)e->r->n, ratio = mtl__exp_f64(log_ratio);
    double form = e->rest, log_det = 0;
    for (int64_t j = 0; j < d->k; j++) {
        const double stretch = 1 + n * d->spread[j] / ratio;
        form += e->square[j] / stretch;
        log_det += mtl__log_f64(stretch);
    }
    const double b = n / (form > e->least ? form : e->least);
    return (n * (mtl__log_f64(b) - LOG_2_PI) - b * form - log_det) / 2;
}

/* The highest point of a grid, and golden section between its neighbours. */
static double best_evidence(const evidence *e, double largest)
{
    const double low = mtl__log_f64(largest * LOWEST), width = -2 * mtl__log_f64(LOWEST) / STEPS;
    int best = 0;
    double most = evidence_at(e, low);
    for (int i = 1; i <= STEPS; i++) {
        const double here = evidence_at(e, low + i * width);
        best = here > most ? i : best;
        most = here > most ? here : most;
    }
    double from = low + (best - 1) * width, to = from + 2 * width;
    for (int i = 0; i < 60; i++) {
        const double cut = GOLDEN * (to - from), left = to - cut, right = from + cut;
        const double of_left = evidence_at(e, left), of_right = evidence_at(e, right);
        most = of_left > most ? of_left : most;
        most = of_right > most ? of_right : most;
        if (of_left > of_right)
            to = right;
        else
            from = left;
    }
    return most;
}

double mtl__score_logme(mtl__score_rows *r)
{
    const mtl__design *d = &r->d;
    double *square = r->room, all = 0, within = 0;
    memset(square, 0, (size_t)d->k * sizeof *square);
    for (int64_t i = 0; i < r->n; i++) {
        mtl__axpy_f64(d->k, r->y[i], d->f + i * d->k, square);
        all += r->y[i] * r->y[i];
    }
    for (int64_t j = 0; j < d->k; j++) {
        square[j] *= square[j] / ((double)r->n * d->spread[j]);
        within += square[j];
    }
    const double rest = all > within ? all - within : 0;
    const evidence e = {r, square, rest, LEAST_NOISE * all};
    const double largest = d->k > 0 ? (double)r->n * d->spread[d->k - 1] : 1;
    return best_evidence(&e, largest) / (double)r->n;
}

/* ---- H-score ---- */

/* Shrinkage of a covariance towards a multiple of the unit matrix (Ledoit & Wolf 2004, lemma 3.2 to
   3.4), from what does not depend on the axes. */
static double ledoit_wolf(const mtl__score_rows *r, double mean_spread)
{
    const mtl__design *d = &r->d;
    const double p = (double)r->s.cols, n = (double)r->n;
    double fourth = 0, square = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const double length = mtl__dot_f64(d->k, d->f + i * d->k, d->f + i * d->k);
        fourth += length * length;
    }
    for (int64_t j = 0; j < d->k; j++)
        square += d->spread[j] * d->spread[j];
    const double off = (square - p * mean_spread * mean_spread) / p; /* delta^2 */
    const double noise = (fourth / n - square) / (n * p);            /* beta^2 */
    const double most = noise < off ? noise : off;
    return most > 0 ? most / off : 0;
}

double mtl__score_h(mtl__score_rows *r)
{
    const mtl__design *d = &r->d;
    double *mean = r->room, sum = 0, total = 0; /* [classes, k] */
    for (int64_t j = 0; j < d->k; j++)
        total += d->spread[j];
    const double mean_spread = total / (double)r->s.cols;
    const double shrink = r->param[0] < 0 ? ledoit_wolf(r, mean_spread) : r->param[0];
    memset(mean, 0, (size_t)(r->a->classes * d->k) * sizeof *mean);
    for (int64_t i = 0; i < r->n; i++)
        mtl__axpy_f64(d->k, 1, d->f + i * d->k, mean + (int64_t)r->y[i] * d->k);
    for (int64_t c = 0; c < r->a->classes; c++)
        for (int64_t j = 0; j < d->k && r->size[c] > 0; j++)
            sum += mean[c * d->k + j] * mean[c * d->k + j] / (r->size[c] * (double)r->n) /
                   ((1 - shrink) * d->spread[j] + shrink * mean_spread);
    return (1 - shrink) * sum;
}

/* ---- TransRate ---- */

/* ln det(I + F_c' F_c / (n_c eps)) / 2 over the rows of a class, from the smaller of the products
   of columns and of rows. g: [m, m]; list: [n_c] row numbers. */
static double coding_rate(const mtl__score_rows *r, int64_t rows, const double *list, double *g)
{
    const mtl__design *d = &r->d;
    const int64_t k = d->k, m = mtl__min(rows, k);
    const double scale = 1 / ((double)rows * r->param[0]);
    double sum = 0;
    memset(g, 0, (size_t)(m * m) * sizeof *g);
    for (int64_t i = 0; i < rows; i++) {
        const double *f = d->f + (int64_t)list[i] * k;
        for (int64_t j = 0; j < (rows > k ? k : i + 1); j++) {
            if (rows > k)
                mtl__axpy_f64(j + 1, scale * f[j], f, g + j * m);
            else
                g[i * m + j] = scale * mtl__dot_f64(k, f, d->f + (int64_t)list[j] * k);
        }
    }
    for (int64_t i = 0; i < m; i++)
        g[i * m + i] += 1;
    mtl__cholesky(m, g, m, 0);
    for (int64_t i = 0; i < m; i++)
        sum += mtl__log_f64(g[i * m + i]);
    return sum;
}

double mtl__score_transrate(mtl__score_rows *r)
{
    const mtl__design *d = &r->d;
    double *list = r->room, all = 0, of_classes = 0, present = 0;
    for (int64_t j = 0; j < d->k; j++)
        all += mtl__log_f64(1 + d->spread[j] / r->param[0]) / 2;
    for (int64_t c = 0; c < r->a->classes; c++) {
        int64_t rows = 0;
        for (int64_t i = 0; i < r->n; i++)
            if (r->y[i] == (double)c)
                list[rows++] = (double)i;
        present += rows > 0;
        of_classes += rows > 0 ? coding_rate(r, rows, list, list + r->n) : 0;
    }
    return all - of_classes / present;
}
