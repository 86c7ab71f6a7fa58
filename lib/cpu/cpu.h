/* SPDX-License-Identifier: MIT */
/* What this CPU and its operating system can run. The only home of cpuid and of MTL_CPU. */
#ifndef MTL__CPU_H
#define MTL__CPU_H

#include "base/base.h"

/* A level is a bundle that is tested together; each level contains those below it. */
typedef enum mtl__cpu_level {
    MTL__CPU_C = 0,      /* plain C, fmaf() */
    MTL__CPU_NEON = 1,   /* arm64 */
    MTL__CPU_AVX2 = 2,   /* x86-64: AVX2 and FMA */
    MTL__CPU_AVX512 = 3, /* x86-64: AVX-512 F, DQ, BW, VL */
} mtl__cpu_level;

/* The best level that CPU and operating system allow. */
mtl__cpu_level mtl__cpu_detect(void);

/* "c", "neon", "avx2", "avx512"; and back, -1 for an unknown name. */
const char *mtl__cpu_name(mtl__cpu_level level);
int mtl__cpu_parse(const char *name);

/* The level to use: the best one that is present and not above `wanted` ("auto" = any), nor above
   the environment's MTL_CPU. An unknown MTL_CPU is ignored. */
mtl__cpu_level mtl__cpu_choose(const char *wanted);

/* CPUs that this process may run on, at least 1. */
int mtl__cpu_count(void);

#endif
