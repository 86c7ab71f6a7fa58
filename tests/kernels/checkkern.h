/* SPDX-License-Identifier: MIT */
/* mtl_checkkern: every kernel, at every level of this CPU, against the C level bit for bit, and the
   C level against an independent reference (double, or another formula). One table of tests per
   check_*.c file; a test runs once per level, C first. */
#ifndef CHECKKERN_H
#define CHECKKERN_H

#include "base/base.h"
#include "cpu/cpu.h"
#include "peak.h"

typedef struct ck_test {
    const char *name; /* "gemm.driver"; --filter= looks for a part of it. NULL ends a table. */
    /* Run the kernels of `level`; at MTL__CPU_C judge them by a reference, above that by the C
       level with ck_same_f32(). Leaves through ck_fail() at the first fault. */
    void (*check)(mtl__cpu_level level);
    void (*bench)(mtl__cpu_level level); /* calls ck_bench(); may be NULL */
} ck_test;

extern const ck_test ck_gemm_tests[];
extern const ck_test ck_vec_tests[];

/* What is being tried, printed with a failure or a signal: "NN 5x7x3 ld+2". */
void ck_case(const char *format, ...) MTL__PRINTF(1, 2);
/* Print test, level, case and message; give up this test and go on with the next. */
_Noreturn void ck_fail(const char *format, ...) MTL__PRINTF(1, 2);

/* Random numbers, the same for each level: reseeded for every test from --seed= and its name. */
uint32_t ck_u32(void);
int64_t ck_below(int64_t n); /* in [0, n) */
float ck_uniform(float low, float high);

/* Values that break different things. Draw CK_UNIFORM most of the time. */
typedef enum ck_values {
    CK_UNIFORM,  /* [-1, 1) */
    CK_MIXED,    /* magnitudes from 1e-15 to 1e15, both signs */
    CK_DENORMAL, /* below FLT_MIN, both signs */
    CK_ZEROS,    /* 0 and -0 mixed */
    CK_ONES,     /* finds a wrong k */
    CK_SPECIAL,  /* uniform with one NaN, one inf, one -inf put at random places (n permitting) */
    CK_VALUES_COUNT
} ck_values;
const char *ck_values_name(ck_values kind);
void ck_fill(ck_values kind, int64_t n, float *x);

/* A rows x cols matrix (or a vector: rows = 1) inside a larger block. All of the block that is not
   the matrix, so also the gap between cols and ld, is guard. */
typedef struct ck_mat {
    float *p;
    int64_t rows, cols, ld;
    float *block;
    int64_t size; /* floats in block */
} ck_mat;

enum ck_place {
    CK_ALIGNED,  /* p on a cache line */
    CK_SHIFTED,  /* p one element after a cache line */
    CK_PAGE_END, /* the last element is the last before a PROT_NONE page */
    CK_PLACE_COUNT
};

/* All matrices live until the test ends, or until ck_reset(). The guard is NaN of one bit pattern,
   so that an over-read poisons a result and an over-write is seen; the matrix itself holds that
   NaN too until it is filled. ld >= cols. */
ck_mat ck_matrix(int64_t rows, int64_t cols, int64_t ld, enum ck_place place);
void ck_reset(void);

void ck_fill_mat(ck_values kind, ck_mat *m); /* row by row, the guard is kept */
void ck_copy_mat(const ck_mat *from, ck_mat *to);
/* Fail, naming the side, if anything of the guard has changed. */
void ck_guards(const ck_mat *m, const char *name);

/* Bits equal, except that any NaN equals any NaN (its sign and payload are the hardware's). */
bool ck_equal_f32(float a, float b);
void ck_same_f32(int64_t n, const float *want, const float *got, const char *name);
void ck_same_mat(const ck_mat *want, const ck_mat *got, const char *name);
/* |a - b| in units of the last place of `want`; 0 for two NaN, huge when only one is. */
double ck_ulp(float got, double want);

/* Results enter the digest that --digest prints; the same on every level and architecture, so
   give only results of kernels to it, never of libm or of the reference. */
void ck_digest_f32(int64_t n, const float *x);
void ck_digest_mat(const ck_mat *m);
bool ck_digest_only(void); /* --digest: comparisons with other levels may be left out */

/* Time fn(arg): warm-up, median of many, the cost of an empty timing taken off. Prints a line with
   work / time in units of 1e9 / s ("GFLOP/s", "Gelem/s", "GB/s"), its ratio to the C level and,
   for "GFLOP/s", to the peak of FMA from registers at this level measured beside it. Returns
   seconds per call. */
double ck_bench(const char *what, double work, const char *unit, void (*fn)(void *arg), void *arg);
#endif
