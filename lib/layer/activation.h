/* SPDX-License-Identifier: MIT */
/* Activations: one row each. */
#ifndef MTL__ACTIVATION_H
#define MTL__ACTIVATION_H

#include "mem/alloc.h"
#include "option/choice.h"
#include "vec/vec.h"

/* Either forward and backward, whose derivative follows from the output, or a curve, which gives it
   beside the value and has it kept. */
typedef struct mtl__activation {
    mtl__choice_row choice;
    mtl__bias_act_fn *(*forward)(const mtl__vec *v);  /* c = act(c + bias), in place; NULL = curve */
    mtl__act_grad_fn *(*backward)(const mtl__vec *v); /* from the output; NULL: derivative is 1 */
    mtl__curve curve; /* a is the parameter if there is one */
} mtl__activation;

/* One with its parameter; row NULL = none. */
typedef struct mtl__act {
    const mtl__activation *row;
    mtl__curve curve;
} mtl__act;

extern const mtl__choice_table mtl__activations;

/* "elu:alpha=1.5"; text as in mtl__choice_parse. */
mtl_status mtl__act_parse(const char *text, int64_t length, mtl__act *out, mtl_error *err);
/* The same as text again. */
void mtl__act_text(const mtl__act *a, mtl__bytes *out);

static inline bool mtl__act_is_curve(const mtl__act *a)
{
    return a->row && !a->row->forward;
}

#endif
