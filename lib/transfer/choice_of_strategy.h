/* SPDX-License-Identifier: MIT */
/* Which candidates to take and how much of each, from residuals on held-out rows and in simulations.
   Figures alone. */
#ifndef MTL__CHOICE_OF_STRATEGY_H
#define MTL__CHOICE_OF_STRATEGY_H

#include "base/base.h"

/* Candidates stand in the order of their simplicity, each with its variants side by side. Residuals are
   such that the sum of a row's squares is its error, a share of the labels' variance; NaN = not
   scored. */
typedef struct mtl__evidence {
    int64_t candidates;
    const int64_t *first;    /* [candidates + 1]: number of the first variant */
    const bool *is_floor;    /* [candidates]: a simple answer */
    const int64_t *model;    /* [candidates]: averages of those with one number are one model */
    int64_t rows, room;      /* held-out rows, counted in each repeat; rows that there is room for */
    int64_t width;           /* residuals of a row */
    const float *own;        /* [variants, room, width] */
    int64_t units;           /* what is independent: groups or rows of the target, 0 .. units - 1 */
    const int64_t *unit;     /* [rows] */
    bool is_flat;            /* own labels are all the same: where there are simulations, these decide */
    int64_t simulations;
    const double *simulated; /* [simulations, variants, variants] mean products of residuals */
    double lacking;          /* share of the target's rows that simulations had to do without */
    double doubt;            /* standard errors by which an average has to be better than a floor before
                                it counts at all; 0 = it counts as it is */
    double *scratch;         /* [mtl__choice_scratch()] */
} mtl__evidence;

typedef struct mtl__verdict {
    int64_t variant;      /* the best one, counted from the candidate's first; -1 = not scored */
    double mean, error;   /* of it on the own rows, and its standard error */
    double simulated;     /* mean over simulations */
    double score;         /* both together: 1 - error that is expected */
    double weight;        /* in the average that is taken */
    bool is_in, is_taken; /* may have weight; is of a model that is taken */
} mtl__verdict;

typedef struct mtl__chosen {
    int64_t winner, floor; /* of most weight; the best floor; -1 = none was scored */
    double trust;          /* share that the own rows have in what is expected; the rest is simulations' */
    double score;          /* of the average: 1 - error */
} mtl__chosen;

/* Doubles. */
int64_t mtl__choice_scratch(int64_t candidates, int64_t rows);

/* Verdicts [candidates], and an average in at most `most` models of the least error expected: the best
   model, then as long as it helps the one that helps most.

   The error of any average w is w' G w, where G has the mean products of the candidates' residuals: a
   own rows + (1 - a) simulations, a = n / (n + m) for n units, so that simulations count as m rows: 200
   times the share of the target's rows that they had, since what serves with fewer rows need not serve
   with more, divided by 1 + z^2 where the average that simulations would take is z standard errors worse, on the
   own rows, than the one that these would take. Own errors are taken one standard error higher than
   they are, which keeps few rows from trusting one candidate (stacking: Wolpert 1992; weights not
   negative: Breiman 1996). With a doubt k the average is drawn to the best floor by the factor
   1 - (k s / d)^2 of its weights (James & Stein 1961), d its lead over the floor and s its standard
   error. */
mtl__chosen mtl__choose(const mtl__evidence *e, int64_t most, mtl__verdict *verdict);

/* Difference of the errors expected of two averages, a - b, weights [candidates], and its standard error.
   NaN where nothing is known. */
void mtl__compare(const mtl__evidence *e, const mtl__verdict *verdict, double trust, const double *a,
                  const double *b, double *difference, double *error);

#endif
