/* SPDX-License-Identifier: MIT */
#define VEC_TABLE mtl__vec_c
#define VEC_NAME  "c"

#include "vec/c/simd_c.h"

#include "vec/vec_body.h"
