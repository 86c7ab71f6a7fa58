/* SPDX-License-Identifier: MIT */
/* weighting = auto of mtl_fit(): which weighting serves these tasks and rows. */
#ifndef MTL__RACE_H
#define MTL__RACE_H

#include "train/contest.h"

typedef struct mtl__race mtl__race;

/* Do the options ask for one? */
bool mtl__race_is_wanted(const mtl_options *o);
/* What it found, to a report. */
mtl_status mtl__race_tell(const mtl__race *r, mtl_report *report, mtl_error *err);

/* mtl_fit() with such options, judge = 1 too, without the checks of its arguments; the model is claimed. */
mtl_status mtl__race_fit(mtl_model *m, const mtl_dataset *train, const mtl_dataset *valid,
                         const mtl_options *o, mtl_report **report, mtl_error *err);

#endif
