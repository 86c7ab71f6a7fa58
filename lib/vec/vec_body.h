/* SPDX-License-Identifier: MIT */
/* All kernels and their table, over the LANES lanes of the simd_<isa>.h included before: 1, 4, 8 or
   16. A file per instruction set defines VEC_TABLE, VEC_NAME, VEC_ADAM and VEC_UPDATE and includes
   this one. */
#ifndef MTL__VEC_BODY_H
#define MTL__VEC_BODY_H

#include <math.h>
#include <string.h>

#include "vec/vec_priv.h"

#define VEC_OUTLINE __attribute__((noinline)) static
#include "vec/vec_math.h"
#include "vec/vec_map.h"
#include "vec/vec_curve.h"
#include "vec/vec_sum.h"
#include "vec/vec_loss.h"
#include "vec/vec_softmax.h"
#include "vec/vec_random.h"
#include "vec/vec_update.h"

const mtl__vec VEC_TABLE = {
    .name = VEC_NAME,
    .exp = map_exp,
    .log = map_log,
    .log1p = map_log1p,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
    .bias_identity = bias_identity,
    .bias_relu = bias_relu,
    .bias_tanh = bias_tanh,
    .bias_sigmoid = bias_sigmoid,
    .curve = curve,
    .grad_relu = grad_relu,
    .grad_tanh = grad_tanh,
    .grad_sigmoid = grad_sigmoid,
    .softmax = softmax,
    .axpy = axpy,
    .scale = scale,
    .mul = mul,
    .product = product,
    .add_product = add_product,
    .repeat = repeat,
    .blend = blend,
    .clamp = clamp,
    .sum = sum,
    .dot = dot,
    .all_finite = all_finite,
    .col_sums = col_sums,
    .standardize = standardize,
    .label_weights = label_weights,
    .binary_cross_entropy = binary_cross_entropy,
    .squared_error = squared_error,
    .softmax_cross_entropy = softmax_cross_entropy,
    .philox = philox,
    .adam = VEC_ADAM,
    .update = VEC_UPDATE,
};

#endif
