/* SPDX-License-Identifier: MIT */
#define VEC_TABLE  mtl__vec_avx512
#define VEC_NAME   "avx512"
#define VEC_ADAM   mtl__vec_adam_avx512
#define VEC_UPDATE mtl__vec_update_avx2

#include "vec/x86/simd_avx512.h"

#include "vec/vec_body.h"
