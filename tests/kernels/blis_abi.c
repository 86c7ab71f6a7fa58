/* SPDX-License-Identifier: MIT */
/* Compiled, never run: what lib/gemm/blis declares by itself against BLIS's own header. */
#include MTL_BLIS_HEADER

#include "gemm/blis/blis_priv.h"

/* trans_t is an enum, so its type is the compiler's choice: of the size of int is what counts. */
_Static_assert(sizeof(trans_t) == sizeof(int) && BLIS_NO_TRANSPOSE == MTL__BLIS_NO_TRANSPOSE,
               "trans_t");
_Static_assert(sizeof(dim_t) == sizeof(int64_t) && sizeof(inc_t) == sizeof(int64_t), "integers");

/* From BLIS 1.0 on what is only read is const. */
#define SGEMM(CONST)                                                                               \
    void (*)(trans_t, trans_t, dim_t, dim_t, dim_t, CONST float *, CONST float *, inc_t, inc_t,    \
             CONST float *, inc_t, inc_t, CONST float *, float *, inc_t, inc_t)
_Static_assert(_Generic(&bli_sgemm, SGEMM() : 1, SGEMM(const) : 1, default : 0), "bli_sgemm");
_Static_assert(_Generic(&bli_info_get_int_type_size, gint_t(*)(void) : 1, default : 0), "int size");
