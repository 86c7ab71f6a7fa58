/* SPDX-License-Identifier: MIT */
/* The option "preset" of mtl_fit(): rows of values of the other options, under which candidates are
   trained on parts of the rows and mixed by what they predict of those left out. */
#ifndef MTL__PRESET_H
#define MTL__PRESET_H

#include "train/fit.h"

extern const mtl__choice_table mtl__candidates;

typedef struct mtl__preset mtl__preset;

/* The preset that a fit has by its options, model and data; *out = NULL for a plain one. An error where
   one was asked for that cannot be. */
mtl_status mtl__preset_find(const mtl_model *m, const mtl_dataset *train, const mtl_options *o,
                            const mtl__preset **out, mtl_error *err);
/* MTL_ERR_INVALID where one was asked for by name; what: that trains one network. */
mtl_status mtl__preset_refuse(const mtl_options *o, const char *what, mtl_error *err);

/* Options that were not set, as "good" has them for so many rows. */
mtl_status mtl__preset_fill(int64_t rows, mtl_options *o, mtl_error *err);

/* A fit with it; the model is claimed. */
mtl_status mtl__preset_fit(mtl_model *m, const mtl__preset *p, const mtl_dataset *train,
                           const mtl_dataset *valid, const mtl_options *o, mtl_report **report,
                           mtl_error *err);

/* selection.c: with options that are filled in, and layers by them where own_shape says so, the model
   that m is to become. */
mtl_status mtl__selection_run(mtl_model *m, bool own_shape, const mtl_dataset *train,
                              const mtl_dataset *valid, const mtl_options *o, mtl_model **out,
                              mtl_report **report, mtl_error *err);

#endif
