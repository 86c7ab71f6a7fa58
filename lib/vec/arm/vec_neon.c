/* SPDX-License-Identifier: MIT */
#define VEC_TABLE  mtl__vec_neon
#define VEC_NAME   "neon"
#define VEC_ADAM   mtl__vec_adam_neon
#define VEC_UPDATE_HERE
#define VEC_UPDATE mtl__vec_update_neon

#include "vec/arm/simd_neon.h"

#include "vec/vec_body.h"
