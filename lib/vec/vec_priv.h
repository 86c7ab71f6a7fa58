/* SPDX-License-Identifier: MIT */
/* The tables that the files of c/, x86/ and arm/ define. */
#ifndef MTL__VEC_PRIV_H
#define MTL__VEC_PRIV_H

#include "vec/vec.h"

extern const mtl__vec mtl__vec_c;
#if MTL__ARCH_X86
extern const mtl__vec mtl__vec_avx2;
extern const mtl__vec mtl__vec_avx512;
#elif MTL__ARCH_ARM64
extern const mtl__vec mtl__vec_neon;
#endif

#endif
