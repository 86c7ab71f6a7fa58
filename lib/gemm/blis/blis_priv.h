/* SPDX-License-Identifier: MIT */
/* What libmtl declares of BLIS by itself. Integers are 64 bits wide, which is asked at run time. */
#ifndef MTL__BLIS_PRIV_H
#define MTL__BLIS_PRIV_H

#include <stdint.h>

enum { MTL__BLIS_NO_TRANSPOSE = 0 }; /* trans_t, an enum of int size */

/* c = beta c + alpha a b; strides between rows, then between columns. */
typedef void mtl__blis_sgemm_fn(int transa, int transb, int64_t m, int64_t n, int64_t k,
                                float *alpha, float *a, int64_t rsa, int64_t csa, float *b,
                                int64_t rsb, int64_t csb, float *beta, float *c, int64_t rsc,
                                int64_t csc);
typedef int64_t mtl__blis_int_size_fn(void);
typedef char *mtl__blis_version_fn(void);

#endif
