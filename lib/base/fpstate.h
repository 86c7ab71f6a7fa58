/* SPDX-License-Identifier: MIT */
/* The floating-point control state. Every public entry that computes, and every worker, runs under
   the default (round to nearest, no flush to zero, traps masked) and gives back what it found. */
#ifndef MTL__FPSTATE_H
#define MTL__FPSTATE_H

#include "base/base.h"

#if MTL__ARCH_X86
#include <xmmintrin.h>
#elif !MTL__ARCH_ARM64
#include <fenv.h>
#endif

typedef struct mtl__fpstate {
#if MTL__ARCH_X86
    unsigned int mxcsr;
#elif MTL__ARCH_ARM64
    uint64_t fpcr;
#else
    fenv_t env;
#endif
} mtl__fpstate;

/* No floating-point work of ours uses the x87 unit, so MXCSR is the whole state on x86-64. */
#define MTL__MXCSR_DEFAULT 0x1f80u

static inline mtl__fpstate mtl__fp_enter(void)
{
    mtl__fpstate s;
#if MTL__ARCH_X86
    s.mxcsr = _mm_getcsr();
    if (s.mxcsr != MTL__MXCSR_DEFAULT)
        _mm_setcsr(MTL__MXCSR_DEFAULT);
#elif MTL__ARCH_ARM64
    __asm__ volatile("mrs %0, fpcr" : "=r"(s.fpcr));
    if (s.fpcr != 0)
        __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
#else
    fegetenv(&s.env);
    fesetenv(FE_DFL_ENV);
#endif
    return s;
}

static inline void mtl__fp_leave(mtl__fpstate s)
{
#if MTL__ARCH_X86
    /* Also drops the exception flags that our arithmetic raised. */
    if (_mm_getcsr() != s.mxcsr)
        _mm_setcsr(s.mxcsr);
#elif MTL__ARCH_ARM64
    if (s.fpcr != 0)
        __asm__ volatile("msr fpcr, %0" ::"r"(s.fpcr));
#else
    fesetenv(&s.env);
#endif
}

#endif
