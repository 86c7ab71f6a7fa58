/* SPDX-License-Identifier: MIT */
/* How tasks share the trunk: all of it, nothing, or experts that each task mixes in its own way. */
#ifndef MTL__ARCHITECTURE_H
#define MTL__ARCHITECTURE_H

#include "model/network.h"

typedef struct mtl__architecture {
    mtl__choice_row choice;
    bool has_streams; /* tasks have features of their own; else the trunk is one of all */
    bool gates;       /* these are mixtures; else layers of the task alone */
    bool by_level;    /* after each dense layer, not once at the end */
    bool stitches;    /* units in which tasks take from each other's */
    bool adapts;      /* one trunk, behind it an adapter for each task: units are value 0 */
    bool pulls;       /* a penalty on the distance of the tasks' layers: value 0 of the choice */
    bool compares;    /* there are experts or layers that all tasks share */
} mtl__architecture;

enum { MTL__SHARED_EXPERTS, MTL__OWN_EXPERTS }; /* values of the choice, with gates */

/* What goes with the architecture; MTL_ERR_STATE. */
mtl_status mtl__architecture_check(const mtl_spec *s, mtl_error *err);
/* The trunk's layers, with those that the architecture adds; false when they do not fit. */
bool mtl__architecture_build(mtl__network *net, const mtl_spec *s);

#endif
