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

/* Those of the C level also do the elements behind the last whole vector. */
void mtl__vec_adam_c(int64_t n, float *w, const float *g, float *m, float *v,
                     const mtl__adam_step *s);
void mtl__vec_adam_avx2(int64_t n, float *w, const float *g, float *m, float *v,
                        const mtl__adam_step *s);
void mtl__vec_adam_avx512(int64_t n, float *w, const float *g, float *m, float *v,
                          const mtl__adam_step *s);
void mtl__vec_adam_neon(int64_t n, float *w, const float *g, float *m, float *v,
                        const mtl__adam_step *s);
/* vec_update.h: one for each architecture. */
void mtl__vec_update_c(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                       const mtl__update_step *s);
void mtl__vec_update_avx2(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                          const mtl__update_step *s);
void mtl__vec_update_neon(int64_t n, float *w, const float *g, float *m, float *v, float *top,
                          const mtl__update_step *s);

#endif
