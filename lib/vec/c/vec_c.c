/* SPDX-License-Identifier: MIT */
#define VEC_TABLE  mtl__vec_c
#define VEC_NAME   "c"
#define VEC_ADAM   mtl__vec_adam_c
#define VEC_UPDATE_HERE
#define VEC_UPDATE mtl__vec_update_c

#include "vec/c/simd_c.h"

#include "vec/vec_body.h"
