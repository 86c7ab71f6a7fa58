/* SPDX-License-Identifier: MIT */
/* Activations: one row each. */
#ifndef MTL__ACTIVATION_H
#define MTL__ACTIVATION_H

#include "option/choice.h"
#include "vec/vec.h"

typedef struct mtl__activation {
    mtl__choice_row choice;
    mtl__bias_act_fn *(*forward)(const mtl__vec *v);  /* c = act(c + bias), in place */
    mtl__act_grad_fn *(*backward)(const mtl__vec *v); /* from the output; NULL: derivative is 1 */
} mtl__activation;

extern const mtl__choice_table mtl__activations;

#endif
