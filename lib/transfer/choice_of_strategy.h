/* SPDX-License-Identifier: MIT */
/* Which candidate to take, from errors on held-out rows and from simulations. Figures alone. */
#ifndef MTL__CHOICE_OF_STRATEGY_H
#define MTL__CHOICE_OF_STRATEGY_H

#include "base/base.h"

/* Candidates stand in the order of their simplicity, each with its variants side by side. Errors are
   shares of the labels' variance; NaN = not scored. */
typedef struct mtl__evidence {
    int64_t candidates;
    const int64_t *first; /* [candidates + 1]: number of the first variant */
    int64_t rows, repeats; /* held-out rows, counted once for each repeat; repeats of the folds */
    const float *own;      /* [variants, rows] */
    int64_t simulations;
    const double *simulated; /* [simulations, variants] mean errors */
    int64_t reference;       /* variant that the others are measured against */
} mtl__evidence;

typedef struct mtl__verdict {
    double mean, error;     /* of the candidate's best variant on the own rows, and its standard error */
    double simulated;       /* mean over simulations */
    double score;           /* both together: 1 - error */
    int64_t variant;        /* the best one, counted from the candidate's first; -1 = not scored */
} mtl__verdict;

/* Difference of two variants' errors, a - b, and its standard error, own rows and simulations weighed by
   how sure they are. Infinite errors where nothing is known. */
void mtl__compare(const mtl__evidence *e, int64_t a, int64_t b, double *difference, double *error);

/* Verdicts [candidates]; returns the number of the one to take: the simplest that is not worse than
   the best by more than one standard error of their difference; -1 when none was scored. */
int64_t mtl__choose(const mtl__evidence *e, mtl__verdict *verdict, int64_t *best);

#endif
