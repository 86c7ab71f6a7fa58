/* SPDX-License-Identifier: MIT */
#include "transfer/choice_of_strategy.h"

#include <math.h>
#include <string.h>

/* Simulations with as many rows as the target count as so many of them, as long as these do not contradict. */
static const double WORTH = 200;

/* Deviation that is expected between simulations and the task itself, whatever they agree on among
   themselves: a share of the labels' variance. */
static const double SIMULATED_APART = 0.05;

enum { STEPS = 5000, MATRICES = 3, VECTORS = 3 };

typedef struct figures {
    double mean, variance; /* NaN = nothing is known */
} figures;

typedef struct weigher {
    const mtl__evidence *e;
    mtl__verdict *v;
    int64_t n;                       /* candidates */
    double trust;
    double *own, *simulated, *both;  /* [n, n] mean products of the candidates' best variants */
    double *a, *b, *slope;           /* [n] */
} weigher;

int64_t mtl__choice_scratch(int64_t candidates, int64_t rows)
{
    return MATRICES * candidates * candidates + VECTORS * candidates + 2 * rows;
}

/* Behind all else; as many as rows will do, since each unit has one. */
static double *unit_sums(const mtl__evidence *e)
{
    return e->scratch + MATRICES * e->candidates * e->candidates + VECTORS * e->candidates;
}

/* --- figures ----------------------------------------------------------------------------------- */

/* Mean over rows of what was added up by units, and the variance of that mean. Rows of a unit, repeats of
   a row among them, are taken as one draw (the ratio of two means: Cochran 1977, equation 6.13). */
static figures of_units(const mtl__evidence *e)
{
    const double *sum = unit_sums(e), *count = sum + e->units, n = (double)e->units;
    double total = 0, square = 0, rows = (double)e->rows;
    for (int64_t u = 0; u < e->units; u++)
        total += sum[u];
    for (int64_t u = 0; u < e->units; u++) {
        const double d = sum[u] - count[u] * total / rows;
        square += d * d;
    }
    return (figures){total / rows, e->units > 1 ? square / (rows * rows) * n / (n - 1) : INFINITY};
}

/* Of a row, w = NULL: of the variant `at` alone. */
static double row_error(const mtl__evidence *e, const mtl__verdict *v, int64_t at, const double *w,
                        int64_t row)
{
    const int64_t variants = w ? e->candidates : 1;
    double error = 0;
    for (int64_t j = 0; j < e->width; j++) {
        double r = 0;
        for (int64_t i = 0; i < variants; i++) {
            if (w && w[i] == 0)
                continue;
            const int64_t from = w ? e->first[i] + v[i].variant : at;
            r += (w ? w[i] : 1) * (double)e->own[(from * e->room + row) * e->width + j];
        }
        error += r * r;
    }
    return error;
}

/* Own errors of an average, less those of another unless b = NULL. */
static figures of_rows(const mtl__evidence *e, const mtl__verdict *v, int64_t at, const double *a,
                       const double *b)
{
    double *sum = unit_sums(e), *count = sum + e->units;
    if (e->rows == 0)
        return (figures){NAN, NAN};
    memset(sum, 0, (size_t)(2 * e->units) * sizeof *sum);
    for (int64_t i = 0; i < e->rows; i++) {
        sum[e->unit[i]] += row_error(e, v, at, a, i) - (b ? row_error(e, v, 0, b, i) : 0);
        count[e->unit[i]]++;
    }
    return of_units(e);
}

static double product(const mtl__evidence *e, int64_t simulation, int64_t a, int64_t b)
{
    const int64_t variants = e->first[e->candidates];
    return e->simulated[(simulation * variants + a) * variants + b];
}

static double simulated_error(const mtl__evidence *e, const mtl__verdict *v, int64_t simulation,
                              const double *w)
{
    double sum = 0;
    for (int64_t i = 0; i < e->candidates; i++)
        for (int64_t j = 0; j < e->candidates; j++)
            if (w[i] != 0 && w[j] != 0)
                sum += w[i] * w[j] * product(e, simulation, e->first[i] + v[i].variant,
                                             e->first[j] + v[j].variant);
    return sum;
}

/* A simulated task is a draw from the tasks that there are, and so is the new one: the spread between
   them is that of the prediction. */
static figures of_simulations(const mtl__evidence *e, const mtl__verdict *v, const double *a,
                              const double *b)
{
    const double n = (double)e->simulations;
    double sum = 0, square = 0;
    for (int64_t s = 0; s < e->simulations; s++) {
        const double d = simulated_error(e, v, s, a) - simulated_error(e, v, s, b);
        sum += d;
        square += d * d;
    }
    square -= sum * sum / n;
    square = (square > 0 ? square : 0) + SIMULATED_APART * SIMULATED_APART;
    return (figures){n > 0 ? sum / n : NAN, n > 0 ? square / n * (1 + 1 / n) : NAN};
}

void mtl__compare(const mtl__evidence *e, const mtl__verdict *verdict, double trust, const double *a,
                  const double *b, double *difference, double *error)
{
    const figures own = of_rows(e, verdict, 0, a, b);
    const figures other = of_simulations(e, verdict, a, b);
    const double share = isnan(own.mean) ? 0 : isnan(other.mean) ? 1 : trust, rest = 1 - share;
    *difference = (share > 0 ? share * own.mean : 0) + (rest > 0 ? rest * other.mean : 0);
    *error = sqrt((share > 0 ? share * share * own.variance : 0) +
                  (rest > 0 ? rest * rest * other.variance : 0));
}

/* --- candidates -------------------------------------------------------------------------------- */

/* Mean over simulations; NaN where one of them lacks it. */
static double mean_product(const mtl__evidence *e, int64_t a, int64_t b)
{
    double sum = 0;
    for (int64_t s = 0; s < e->simulations; s++)
        sum += product(e, s, a, b);
    return e->simulations ? sum / (double)e->simulations : (double)NAN;
}

/* The error that is expected, from what there is. */
static double expect(const weigher *x, double own, double simulated)
{
    return x->e->rows == 0 ? simulated : isnan(simulated) ? own : x->trust * own +
                                                                      (1 - x->trust) * simulated;
}

/* The variant of a candidate with the least error expected. */
static void judge(weigher *x, int64_t candidate)
{
    const mtl__evidence *e = x->e;
    mtl__verdict *v = &x->v[candidate];
    double least = INFINITY;
    *v = (mtl__verdict){.variant = -1, .mean = NAN, .error = NAN, .simulated = NAN, .score = NAN};
    for (int64_t i = e->first[candidate]; i < e->first[candidate + 1]; i++) {
        const figures own = of_rows(e, x->v, i, NULL, NULL);
        const double simulated = mean_product(e, i, i), error = expect(x, own.mean, simulated);
        if (!(error < least))
            continue;
        least = error;
        *v = (mtl__verdict){.variant = i - e->first[candidate],
                            .mean = own.mean,
                            .error = sqrt(own.variance),
                            .simulated = simulated,
                            .score = 1 - error,
                            .is_in = true};
    }
}

static double own_product(const mtl__evidence *e, int64_t a, int64_t b)
{
    const float *x = e->own + a * e->room * e->width, *y = e->own + b * e->room * e->width;
    double sum = 0;
    for (int64_t i = 0; i < e->rows * e->width; i++)
        sum += (double)x[i] * (double)y[i];
    return sum / (double)e->rows;
}

static void fill(weigher *x)
{
    const mtl__evidence *e = x->e;
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t j = 0; j <= i; j++) {
            const int64_t a = e->first[i] + x->v[i].variant, b = e->first[j] + x->v[j].variant;
            if (!x->v[i].is_in || !x->v[j].is_in)
                continue;
            const double doubt = i == j && isfinite(x->v[i].error) ? x->v[i].error : 0;
            const double other = mean_product(e, a, b);
            const double own = e->rows ? own_product(e, a, b) + doubt : other;
            x->own[i * x->n + j] = x->own[j * x->n + i] = own;
            x->simulated[i * x->n + j] = x->simulated[j * x->n + i] = isnan(other) ? own : other;
        }
}

static void judge_all(weigher *x, double trust)
{
    x->trust = trust;
    for (int64_t i = 0; i < x->n; i++)
        judge(x, i);
    fill(x);
    for (int64_t i = 0; i < x->n * x->n; i++)
        x->both[i] = trust * x->own[i] + (1 - trust) * x->simulated[i];
}

/* --- averages ---------------------------------------------------------------------------------- */

static double times(const weigher *x, const double *g, const double *w, int64_t i)
{
    double sum = 0;
    for (int64_t j = 0; j < x->n; j++)
        sum += x->v[j].is_in ? g[i * x->n + j] * w[j] : 0;
    return sum;
}

/* Of those that are in: where the slope of w' G w is least, and where it is most among those with weight. */
static void find_step(const weigher *x, const double *w, int64_t *up, int64_t *down)
{
    *up = *down = -1;
    for (int64_t i = 0; i < x->n; i++) {
        if (!x->v[i].is_in)
            continue;
        if (*up < 0 || x->slope[i] < x->slope[*up])
            *up = i;
        if (w[i] > 1e-12 && (*down < 0 || x->slope[i] > x->slope[*down]))
            *down = i;
    }
}

/* Weights of sum 1, none negative, that make w' G w least, of those that are in: from equal ones on,
   weight goes from one candidate to another, to the least there is between these two. Returns the least. */
static double minimise(const weigher *x, const double *g, double *w)
{
    const int64_t n = x->n;
    int64_t in = 0, i, j;
    double least = 0;
    for (int64_t k = 0; k < n; k++)
        in += x->v[k].is_in;
    for (int64_t k = 0; k < n; k++)
        w[k] = x->v[k].is_in ? 1 / (double)in : 0;
    for (int64_t k = 0; k < n; k++)
        x->slope[k] = times(x, g, w, k);
    for (int step = 0; step < STEPS; step++) {
        find_step(x, w, &i, &j);
        if (i < 0 || !(x->slope[j] - x->slope[i] >= 1e-9))
            break;
        const double bend = g[i * n + i] + g[j * n + j] - 2 * g[i * n + j];
        const double most = w[j], best = (x->slope[j] - x->slope[i]) / (bend > 1e-12 ? bend : 1e-12);
        const double by = best < most ? best : most;
        w[i] += by;
        w[j] = by < most ? w[j] - by : 0;
        for (int64_t k = 0; k < n; k++)
            x->slope[k] += by * (g[i * n + k] - g[j * n + k]);
    }
    for (int64_t k = 0; k < n; k++)
        w[k] = w[k] > 1e-9 ? w[k] : 0;
    for (int64_t k = 0; k < n; k++)
        least += w[k] > 0 ? w[k] * times(x, g, w, k) : 0;
    return least;
}

/* Those that may have weight: of what is taken, and of one model more. */
static void let_in(const weigher *x, int64_t model)
{
    for (int64_t i = 0; i < x->n; i++)
        x->v[i].is_in = x->v[i].variant >= 0 && (x->v[i].is_taken || x->e->model[i] == model);
}

/* The model that brings the least error together with those that are taken; -1 when none helps. */
static int64_t next_model(const weigher *x, double *least, double *w)
{
    int64_t best = -1;
    for (int64_t i = 0; i < x->n; i++) {
        if (x->v[i].variant < 0 || x->v[i].is_taken || x->e->model[i] == best)
            continue;
        let_in(x, x->e->model[i]);
        const double error = minimise(x, x->both, w);
        if (error < *least - 1e-12) {
            *least = error;
            best = x->e->model[i];
        }
    }
    return best;
}

static void minimise_few(const weigher *x, int64_t most, double *w)
{
    double least = INFINITY;
    for (int64_t k = 0; k < most; k++) {
        const int64_t model = next_model(x, &least, w);
        if (model < 0)
            break;
        for (int64_t i = 0; i < x->n; i++)
            x->v[i].is_taken = x->v[i].is_taken || (x->v[i].variant >= 0 && x->e->model[i] == model);
    }
    let_in(x, -1);
    minimise(x, x->both, w);
}

static double weight_of(const weigher *x, const double *w, int64_t model)
{
    double sum = 0;
    for (int64_t i = 0; i < x->n; i++)
        sum += x->e->model[i] == model ? w[i] : 0;
    return sum;
}

/* The last model of those with the least weight above 0, and how many have weight. */
static int64_t smallest(const weigher *x, const double *w, int64_t *count)
{
    int64_t least = -1;
    double most = INFINITY;
    *count = 0;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t k = 0;
        while (k < i && x->e->model[k] != x->e->model[i])
            k++;
        const double weight = weight_of(x, w, x->e->model[i]);
        if (k < i || !(weight > 0))
            continue;
        ++*count;
        if (weight <= most) {
            most = weight;
            least = x->e->model[i];
        }
    }
    return least;
}

/* Less of what simulations say where the own rows contradict it. */
static double trust_of(weigher *x)
{
    const mtl__evidence *e = x->e;
    const double n = (double)e->units;
    double worth = WORTH * (1 - e->lacking);
    if (e->rows == 0 || e->simulations == 0)
        return e->rows ? 1 : 0;
    if (e->is_flat)
        return 0;
    judge_all(x, n / (n + worth));
    minimise(x, x->simulated, x->a);
    minimise(x, x->own, x->b);
    const figures f = of_rows(e, x->v, 0, x->a, x->b);
    if (f.mean > 0 && f.variance > 0)
        worth /= 1 + f.mean * f.mean / f.variance;
    return n / (n + worth);
}

static int64_t best_floor(const weigher *x)
{
    int64_t best = -1;
    for (int64_t i = 0; i < x->n; i++)
        if (x->e->is_floor[i] && x->v[i].variant >= 0 &&
            (best < 0 || x->v[i].score > x->v[best].score))
            best = i;
    return best;
}

/* Drawn to the floor; then models of least weight go. */
static void be_cautious(weigher *x, int64_t floor, int64_t most, double *w)
{
    double lead, error, sum = 0;
    int64_t count, model;
    memset(x->b, 0, (size_t)x->n * sizeof *x->b);
    if (floor >= 0 && x->e->doubt > 0) {
        x->b[floor] = 1;
        mtl__compare(x->e, x->v, x->trust, x->b, w, &lead, &error);
        const double by = x->e->doubt * error / lead;
        const double keep = lead > 0 && by < 1 ? 1 - by * by : 0;
        for (int64_t i = 0; i < x->n; i++)
            w[i] = keep * w[i] + (i == floor ? 1 - keep : 0);
    }
    while (model = smallest(x, w, &count), count > most)
        for (int64_t i = 0; i < x->n; i++)
            w[i] = x->e->model[i] == model ? 0 : w[i];
    for (int64_t i = 0; i < x->n; i++)
        sum += w[i];
    for (int64_t i = 0; i < x->n; i++)
        w[i] /= sum;
}

mtl__chosen mtl__choose(const mtl__evidence *e, int64_t most, mtl__verdict *verdict)
{
    const int64_t n = e->candidates;
    double *s = e->scratch;
    weigher x = {.e = e, .v = verdict, .n = n,
                 .own = s, .simulated = s + n * n, .both = s + 2 * n * n,
                 .a = s + 3 * n * n, .b = s + 3 * n * n + n, .slope = s + 3 * n * n + 2 * n};
    mtl__chosen c = {.winner = -1, .floor = -1, .score = NAN};
    int64_t in = 0;
    memset(s, 0, (size_t)(MATRICES * n * n + VECTORS * n) * sizeof *s);
    c.trust = trust_of(&x);
    judge_all(&x, c.trust);
    for (int64_t i = 0; i < n; i++)
        in += verdict[i].is_in;
    if (in == 0)
        return c;
    c.floor = best_floor(&x);
    minimise_few(&x, most, x.a);
    be_cautious(&x, c.floor, most, x.a);
    c.score = 1;
    for (int64_t i = 0; i < n; i++) {
        verdict[i].weight = x.a[i];
        if (c.winner < 0 || x.a[i] > x.a[c.winner])
            c.winner = i;
    }
    const double own = of_rows(e, verdict, 0, x.a, NULL).mean;
    double simulated = 0;
    for (int64_t i = 0; i < e->simulations; i++)
        simulated += simulated_error(e, verdict, i, x.a) / (double)e->simulations;
    c.score = 1 - expect(&x, own, e->simulations ? simulated : (double)NAN);
    return c;
}
