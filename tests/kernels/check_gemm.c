/* SPDX-License-Identifier: MIT */
/* Every level is held against chain(): the number rule of gemm.h written down once more, straight.
   At the C level the chain itself is held against double. */
#include "checkkern.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "gemm/gemm.h"
#include "gemm/gemm_kernel.h"

static const char *const kind_names[] = {"NN", "NT", "TN"};

typedef struct shape {
    mtl__gemm_kind kind;
    int64_t m, n, k;
    int64_t gap; /* ld = columns + gap */
    bool accumulate;
    ck_values values;
    enum ck_place place;
} shape;

typedef struct problem {
    shape s;
    ck_mat a, b, c, want;
    mtl__gemm_call call;
} problem;

static void describe(const shape *s, const char *more)
{
    ck_case("%s m=%lld n=%lld k=%lld gap=%lld%s %s place=%d%s", kind_names[s->kind],
            (long long)s->m, (long long)s->n, (long long)s->k, (long long)s->gap,
            s->accumulate ? " accumulate" : "", ck_values_name(s->values), (int)s->place, more);
}

static float element_a(const problem *q, int64_t i, int64_t p)
{
    return q->s.kind == MTL__GEMM_TN ? q->a.p[p * q->a.ld + i] : q->a.p[i * q->a.ld + p];
}

static float element_b(const problem *q, int64_t p, int64_t j)
{
    return q->s.kind == MTL__GEMM_NT ? q->b.p[j * q->b.ld + p] : q->b.p[p * q->b.ld + j];
}

/* The rule. q->want holds C before, or NaN when C must not be read. */
static void chain(problem *q)
{
    for (int64_t i = 0; i < q->s.m; i++) {
        float *c = q->want.p + i * q->want.ld;
        for (int64_t j = 0; j < q->s.n && !q->s.accumulate; j++)
            c[j] = 0.0f;
        for (int64_t p = 0; p < q->s.k; p++) {
            float x = element_a(q, i, p);
            for (int64_t j = 0; j < q->s.n; j++)
                c[j] = fmaf(x, element_b(q, p, j), c[j]);
        }
    }
}

/* Each of the k+1 roundings of a chain is at most eps/2 of a partial sum, which is at most
   (|A||B| + |C|); the factor 4 over that allows other orders of summation (BLIS). */
static void bounded(const problem *q, const ck_mat *before, const ck_mat *got)
{
    for (int64_t i = 0; i < q->s.m; i++)
        for (int64_t j = 0; j < q->s.n; j++) {
            double sum = q->s.accumulate ? (double)before->p[i * before->ld + j] : 0.0;
            double size = fabs(sum);
            for (int64_t p = 0; p < q->s.k; p++) {
                double term = (double)element_a(q, i, p) * (double)element_b(q, p, j);
                sum += term;
                size += fabs(term);
            }
            double c = (double)got->p[i * got->ld + j];
            double bound = 2.0 * (double)(q->s.k + 2) * (double)FLT_EPSILON * size + (double)FLT_MIN;
            if (isfinite(size) && size < (double)FLT_MAX ? !(fabs(c - sum) <= bound)
                                                         : isnan(sum) != isnan(c))
                ck_fail("C[%lld][%lld] is %.9g, in double %.17g", (long long)i, (long long)j, c,
                        sum);
        }
}

static problem make(shape s)
{
    problem q = {.s = s};
    bool ta = s.kind == MTL__GEMM_TN, tb = s.kind == MTL__GEMM_NT;
    int64_t ar = ta ? s.k : s.m, ac = ta ? s.m : s.k, br = tb ? s.n : s.k, bc = tb ? s.k : s.n;
    q.a = ck_matrix(ar, ac, ac + s.gap, s.place);
    q.b = ck_matrix(br, bc, bc + s.gap, s.place);
    q.c = ck_matrix(s.m, s.n, s.n + s.gap, s.place);
    q.want = ck_matrix(s.m, s.n, s.n, CK_ALIGNED);
    ck_fill_mat(s.values, &q.a);
    ck_fill_mat(s.values, &q.b);
    if (s.accumulate)
        ck_fill_mat(s.values, &q.c);
    ck_copy_mat(&q.c, &q.want);
    q.call = (mtl__gemm_call){.kind = s.kind, .m = s.m, .n = s.n, .k = s.k,
                              .a = q.a.p, .lda = q.a.ld, .b = q.b.p, .ldb = q.b.ld,
                              .c = q.c.p, .ldc = q.c.ld, .accumulate = s.accumulate};
    return q;
}

static void run_with(const mtl__gemm *g, problem *q, mtl__pool *pool)
{
    const shape *s = &q->s;
    int64_t floats = mtl__gemm_workspace(g, s->kind, s->m, s->n, s->k, mtl__pool_slots(pool));
    ck_mat work = ck_matrix(1, floats, floats, CK_ALIGNED);
    mtl__gemm_run(g, &q->call, pool, work.p);
    ck_guards(&work, "workspace");
    ck_guards(&q->a, "A");
    ck_guards(&q->b, "B");
    ck_guards(&q->c, "C");
}

static void check_shape(mtl__cpu_level level, shape s)
{
    ck_reset();
    describe(&s, "");
    problem q = make(s);
    ck_mat before = ck_matrix(s.m, s.n, s.n, CK_ALIGNED);
    ck_copy_mat(&q.c, &before);
    run_with(mtl__gemm_native(level), &q, NULL);
    ck_digest_mat(&q.c);
    if (ck_digest_only())
        return;
    chain(&q);
    ck_same_mat(&q.want, &q.c, "C");
    if (level == MTL__CPU_C)
        bounded(&q, &before, &q.c);
}

/* One draw to a statement: the order inside an initialiser is the compiler's to choose, and the
   digest must not depend on it. */
static shape random_shape(int64_t m, int64_t n, int64_t k)
{
    shape s = {.m = m, .n = n, .k = k};
    s.kind = (mtl__gemm_kind)ck_below(3);
    if (ck_below(2))
        s.gap = 1 + ck_below(20);
    s.accumulate = ck_below(2);
    /* Mostly uniform values: the others hide a wrong index behind an overflow or a zero. */
    if (ck_below(3) == 0)
        s.values = (ck_values)ck_below(CK_VALUES_COUNT);
    s.place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    return s;
}

/* Every small m with every small n: all shapes of tile, all masks, both roles. */
static void check_small(mtl__cpu_level level)
{
    static const int64_t ks[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 33, 64};
    for (int64_t m = 1; m <= 33; m++)
        for (int64_t n = 1; n <= 97; n++)
            check_shape(level, random_shape(m, n, ks[ck_below(MTL__COUNT_OF(ks))]));
}

/* A narrow C under many rows: made transposed by the driver. */
static void check_narrow(mtl__cpu_level level)
{
    for (int64_t n = 1; n <= 36; n++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t m = 17 + ck_below(100);
            shape s = random_shape(m, n, ck_below(40));
            s.kind = (mtl__gemm_kind)kind;
            check_shape(level, s);
        }
}

/* Blocks of k begin and end where a chain must go on through C; sizes on both sides of a block. */
static void check_blocks(mtl__cpu_level level)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 50}, {67, 100}, {130, 33}, {9, 490}, {530, 5}};
    static const int64_t ks[] = {191, 192, 193, 255, 256, 257, 384, 385, 513};
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++)
        for (int j = 0; j < MTL__COUNT_OF(ks); j++)
            check_shape(level, random_shape(sizes[i][0], sizes[i][1], ks[j]));
    for (int kind = 0; kind < 3; kind++) {
        shape s = {.kind = (mtl__gemm_kind)kind, .m = 71, .n = 1000, .k = 300, .gap = 5};
        check_shape(level, s);
        s.accumulate = true;
        s.n = 500;
        check_shape(level, s);
    }
    /* Rows of A that are a power of two apart. */
    for (int64_t n = 4; n <= 40; n += 4)
        check_shape(level, (shape){.kind = MTL__GEMM_NN, .m = 43, .n = n, .k = 1024});
    /* A packed by columns, in two parts of its rows and two blocks of k. */
    check_shape(level, (shape){.kind = MTL__GEMM_TN, .m = 1100, .n = 100, .k = 1030});
}

static void check_values(mtl__cpu_level level)
{
    for (int values = 0; values < CK_VALUES_COUNT; values++)
        for (int kind = 0; kind < 3; kind++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                shape s = random_shape(13, 29, 21);
                s.kind = (mtl__gemm_kind)kind;
                s.values = (ck_values)values;
                s.accumulate = accumulate;
                check_shape(level, s);
            }
}

static void check_empty(mtl__cpu_level level)
{
    for (int kind = 0; kind < 3; kind++)
        for (int bits = 0; bits < 16; bits++) {
            shape s = {.kind = (mtl__gemm_kind)kind, .m = bits & 1 ? 20 : 0,
                       .n = bits & 2 ? 70 : 0, .k = bits & 4 ? 5 : 0, .accumulate = bits & 8};
            check_shape(level, s);
        }
}

/* --- kernels by themselves ---------------------------------------------------------------- */

static void check_one_tile(const mtl__gemm *g, int rows, int cols, int64_t k, bool by_cols)
{
    shape s = {.kind = by_cols ? MTL__GEMM_TN : MTL__GEMM_NN, .m = rows, .n = cols, .k = k,
               .gap = ck_below(3), .place = CK_PAGE_END};
    s.accumulate = ck_below(2);
    ck_reset();
    describe(&s, " tile");
    problem q = make(s);
    mtl__gemm_tile t = {.k = k, .r = q.a.p, .s = q.b.p, .ldr = q.a.ld, .lds = q.b.ld,
                        .c = q.c.p, .ldc = q.c.ld, .rows = rows, .cols = cols,
                        .r_by_cols = by_cols, .accumulate = s.accumulate};
    g->tile(&t);
    chain(&q);
    ck_same_mat(&q.want, &q.c, "C");
    ck_guards(&q.c, "C");
}

static int most_rows(const mtl__gemm *g, int cols)
{
    bool half = g->half_rows > 0 && 2 * cols <= mtl__gemm_lanes(g);
    return half ? g->half_rows : g->rows[(cols - 1) / mtl__gemm_lanes(g)];
}

static void check_tiles(mtl__cpu_level level)
{
    static const int64_t ks[] = {0, 1, 2, 7, 33};
    const mtl__gemm *g = mtl__gemm_native(level);
    if (ck_digest_only()) /* shapes differ between levels */
        return;
    for (int cols = 1; cols <= MTL__GEMM_MAX_VECTORS * mtl__gemm_lanes(g); cols++)
        for (int rows = 1; rows <= most_rows(g, cols); rows++)
            for (int by_cols = 0; by_cols < 2; by_cols++)
                check_one_tile(g, rows, cols, ks[ck_below(MTL__COUNT_OF(ks))], by_cols);
    for (int cols = 1; cols <= MTL__GEMM_WIDE * mtl__gemm_lanes(g); cols++)
        check_one_tile(g, 1, cols, ks[ck_below(MTL__COUNT_OF(ks))], cols % 2);
}

static void check_one_packing(const mtl__gemm *g, int64_t width, int64_t depth, bool transpose)
{
    enum ck_place place = (enum ck_place)ck_below(CK_PLACE_COUNT);
    ck_reset();
    ck_case("%s width=%lld depth=%lld", transpose ? "transpose" : "copy", (long long)width,
            (long long)depth);
    int64_t rows = transpose ? width : depth, cols = transpose ? depth : width;
    ck_mat from = ck_matrix(rows, cols, cols + ck_below(3), place);
    ck_mat to = ck_matrix(depth, width, width + ck_below(3), place);
    ck_fill_mat(CK_UNIFORM, &from);
    (transpose ? g->transpose : g->copy)(to.p, to.ld, from.p, from.ld, width, depth);
    ck_guards(&to, "dst");
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = 0; j < width; j++) {
            float want = transpose ? from.p[j * from.ld + p] : from.p[p * from.ld + j];
            if (!ck_equal_f32(want, to.p[p * to.ld + j]))
                ck_fail("dst[%lld][%lld] is wrong", (long long)p, (long long)j);
        }
}

static void check_packing(mtl__cpu_level level)
{
    for (int64_t width = 0; width <= 50; width++)
        for (int64_t depth = 0; depth <= 22; depth++) {
            check_one_packing(mtl__gemm_native(level), width, depth, false);
            check_one_packing(mtl__gemm_native(level), width, depth, true);
        }
}

/* --- B laid out once ---------------------------------------------------------------------- */

/* The call of q with B in panels. What lies behind its last column must not matter. */
static void run_packed(const mtl__gemm *g, problem *q, mtl__pool *pool)
{
    int64_t floats = mtl__gemm_packed_floats(g, q->s.k, q->s.n);
    ck_mat packed = ck_matrix(1, floats, floats, CK_ALIGNED);
    mtl__gemm_pack_b(g, q->s.k, q->s.n, q->b.p, q->b.ld, packed.p);
    ck_guards(&packed, "packed B");
    q->call.b = packed.p;
    q->call.ldb = 0;
    q->call.b_packed = true;
    run_with(g, q, pool);
}

static void check_one_packed(mtl__cpu_level level, shape s, mtl__pool *pool)
{
    ck_reset();
    s.kind = MTL__GEMM_NN;
    describe(&s, " packed");
    problem q = make(s);
    run_packed(mtl__gemm_native(level), &q, pool);
    ck_digest_mat(&q.c);
    if (ck_digest_only())
        return;
    chain(&q);
    ck_same_mat(&q.want, &q.c, "C");
}

static void check_packed(mtl__cpu_level level)
{
    static const int64_t sizes[][3] = {{1, 1, 1},      {1, 64, 20},      {0, 50, 3},
                                       {4, 0, 3},      {5, 7, 0},        {1, 300, 70},
                                       {33, 500, 40},  {100, 3, 65},     {40, 31, 270},
                                       {70, 600, 500}, {130, 1100, 260}, {9, 1100, 520}};
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, 3);
    for (int64_t n = 1; n <= 290; n++) {
        int64_t m = ck_below(3) ? 1 : 1 + ck_below(20);
        check_one_packed(level, random_shape(m, n, ck_below(40)), NULL);
    }
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++)
        for (int threads = 0; threads < 2; threads++) {
            shape s = random_shape(sizes[i][0], sizes[i][1], sizes[i][2]);
            check_one_packed(level, s, threads ? pool : NULL);
        }
    mtl__pool_destroy(pool);
}

/* --- epilogue, threads, BLIS -------------------------------------------------------------- */

typedef struct counts {
    problem *q;
    ck_mat seen;
    atomic_int wrong;
} counts;

/* Adds one to a count for each element it is given, and to the element what its place says. */
static void count_elements(const void *arg, int64_t rows, int64_t cols, float *c, int64_t ldc,
                           int64_t row0, int64_t col0)
{
    counts *k = *(counts *const *)arg;
    if (c != k->q->call.c + row0 * ldc + col0 || ldc != k->q->call.ldc)
        atomic_fetch_add(&k->wrong, 1);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            k->seen.p[(row0 + i) * k->seen.ld + col0 + j] += 1.0f;
            c[i * ldc + j] += (float)(row0 + i) - 2.0f * (float)(col0 + j);
        }
}

static void check_epilogue_once(const mtl__gemm *g, shape s, mtl__pool *pool, bool exact)
{
    ck_reset();
    describe(&s, " epilogue");
    problem q = make(s);
    ck_mat before = ck_matrix(s.m, s.n, s.n, CK_ALIGNED);
    ck_copy_mat(&q.c, &before);
    counts k = {.q = &q, .seen = ck_matrix(s.m, s.n, s.n, CK_ALIGNED)};
    ck_fill_mat(CK_ZEROS, &k.seen);
    counts *arg = &k;
    q.call.epilogue = count_elements;
    q.call.epilogue_arg = &arg;
    run_with(g, &q, pool);
    chain(&q);
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) {
            float times = k.seen.p[i * s.n + j], *want = &q.want.p[i * s.n + j];
            if (times != 1.0f)
                ck_fail("epilogue called %g times for [%lld][%lld]", (double)times, (long long)i,
                        (long long)j);
            *want += (float)i - 2.0f * (float)j; /* had it come before the sum, bits would differ */
        }
    if (atomic_load(&k.wrong))
        ck_fail("epilogue given a wrong place");
    if (exact)
        ck_same_mat(&q.want, &q.c, "C");
}

/* Sizes that reach every way through the driver: direct, packed, blocked, transposed, split. */
static const int64_t driver_sizes[][3] = {{5, 7, 9},     {40, 100, 20}, {100, 3, 50},
                                          {90, 170, 300}, {600, 20, 90}, {1000, 4, 300},
                                          {33, 1100, 40}, {260, 130, 64},
                                          {190, 170, 200}, {40, 600, 1030}};

static void check_epilogue(mtl__cpu_level level)
{
    if (ck_digest_only())
        return;
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, 3);
    for (int i = 0; i < MTL__COUNT_OF(driver_sizes); i++)
        for (int kind = 0; kind < 3; kind++) {
            const int64_t *d = driver_sizes[i];
            shape s = random_shape(d[0], d[1], d[2]);
            s.kind = (mtl__gemm_kind)kind;
            s.values = CK_UNIFORM;
            s.place = CK_SHIFTED;
            check_epilogue_once(mtl__gemm_native(level), s, NULL, true);
            check_epilogue_once(mtl__gemm_native(level), s, pool, true);
        }
    mtl__pool_destroy(pool);
}

static void check_threads(mtl__cpu_level level)
{
    static const int threads[] = {1, 2, 3, 7};
    for (int t = 0; t < MTL__COUNT_OF(threads); t++) {
        mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, threads[t]);
        for (int i = 0; i < MTL__COUNT_OF(driver_sizes); i++) {
            const int64_t *d = driver_sizes[i];
            shape s = {.kind = (mtl__gemm_kind)((t + i) % 3), .m = d[0], .n = d[1], .k = d[2],
                       .gap = i % 3, .accumulate = i % 2};
            ck_reset();
            describe(&s, " threads");
            problem q = make(s);
            run_with(mtl__gemm_native(level), &q, pool);
            ck_digest_mat(&q.c);
            if (ck_digest_only())
                continue;
            chain(&q);
            ck_same_mat(&q.want, &q.c, "C");
        }
        mtl__pool_destroy(pool);
    }
}

static void check_blis(mtl__cpu_level level)
{
    const mtl__gemm *blis = level == MTL__CPU_C && !ck_digest_only() ? mtl__gemm_blis() : NULL;
    if (!blis) /* one run is enough, and there may be no BLIS */
        return;
    for (int i = 0; i < 200; i++) {
        int64_t m = 1 + ck_below(70), n = 1 + ck_below(70);
        shape s = random_shape(m, n, ck_below(70));
        s.values = ck_below(2) ? CK_UNIFORM : CK_ONES;
        s.place = CK_SHIFTED; /* BLIS may over-read */
        ck_reset();
        describe(&s, " blis");
        problem q = make(s);
        ck_mat before = ck_matrix(s.m, s.n, s.n, CK_ALIGNED);
        ck_copy_mat(&q.c, &before);
        run_with(blis, &q, NULL);
        bounded(&q, &before, &q.c);
        check_epilogue_once(blis, s, NULL, false);
    }
}

/* --- bench -------------------------------------------------------------------------------- */

typedef struct job {
    const mtl__gemm *g;
    mtl__gemm_call call;
    mtl__pool *pool;
    float *work;
} job;

static void run_bench(void *arg)
{
    const job *b = arg;
    mtl__gemm_run(b->g, &b->call, b->pool, b->work);
}

static double bench_call(const mtl__gemm *g, const char *what, const problem *q, mtl__pool *pool)
{
    const shape *s = &q->s;
    int64_t floats = mtl__gemm_workspace(g, s->kind, s->m, s->n, s->k, mtl__pool_slots(pool));
    ck_mat work = ck_matrix(1, floats, floats, CK_ALIGNED);
    job b = {.g = g, .call = q->call, .pool = pool, .work = work.p};
    double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k;
    return ck_bench(what, flops, "GFLOP/s", run_bench, &b);
}

static double bench_one(const mtl__gemm *g, const char *label, mtl__gemm_kind kind, int64_t m,
                        int64_t n, int64_t k, mtl__pool *pool)
{
    ck_reset();
    shape s = {.kind = kind, .m = m, .n = n, .k = k};
    problem q = make(s);
    char what[96];
    snprintf(what, sizeof what, "%s-%s", label, kind_names[kind]);
    return bench_call(g, what, &q, pool);
}

/* The C level runs at a hundredth of the machine: only what ends soon. */
static bool too_long(mtl__cpu_level level, double macs)
{
    return level == MTL__CPU_C && macs > 3e6;
}

static void bench_squares(mtl__cpu_level level)
{
    static const int64_t sizes[] = {8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024,
                                    2048};
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t n = sizes[i];
            char label[32];
            snprintf(label, sizeof label, "sq%lld", (long long)n);
            if (!too_long(level, (double)n * (double)n * (double)n))
                bench_one(mtl__gemm_native(level), label, (mtl__gemm_kind)kind, n, n, n, NULL);
        }
}

/* A layer of a network: batch x in -> out, forward, weight gradient and input gradient. */
static void bench_layer(const mtl__gemm *g, int64_t batch, int64_t in, int64_t out,
                        mtl__pool *pool)
{
    char label[64];
    snprintf(label, sizeof label, "fwd-%lldx%lldx%lld", (long long)batch, (long long)in,
             (long long)out);
    bench_one(g, label, MTL__GEMM_NN, batch, out, in, pool);
    memcpy(label, "dW ", 3);
    bench_one(g, label, MTL__GEMM_TN, in, out, batch, pool);
    memcpy(label, "dX ", 3);
    bench_one(g, label, MTL__GEMM_NT, batch, in, out, pool);
}

static const int64_t layers[][3] = {{1, 20, 64},      {1, 64, 64},      {32, 20, 64},
                                    {32, 64, 64},     {32, 64, 1},      {32, 64, 3},
                                    {32, 64, 10},     {256, 256, 8},    {1024, 1024, 160},
                                    {256, 128, 256},  {256, 256, 256},  {512, 256, 256},
                                    {1024, 512, 512}, {4096, 1024, 1024}};

static void bench_layers(mtl__cpu_level level)
{
    for (int i = 0; i < MTL__COUNT_OF(layers); i++) {
        const int64_t *d = layers[i];
        if (!too_long(level, (double)(d[0] * d[1] * d[2])))
            bench_layer(mtl__gemm_native(level), d[0], d[1], d[2], NULL);
    }
}

/* Prediction with weights laid out once. */
static void bench_packed(mtl__cpu_level level)
{
    static const int64_t sizes[][3] = {{1, 64, 20},   {1, 64, 64},     {1, 256, 128},
                                       {1, 256, 256}, {1, 1024, 1024}, {32, 64, 64},
                                       {32, 3, 64},   {32, 256, 256},  {4096, 256, 256}};
    const mtl__gemm *g = mtl__gemm_native(level);
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++) {
        shape s = {.m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2]};
        ck_reset();
        problem q = make(s);
        int64_t floats = mtl__gemm_packed_floats(g, s.k, s.n);
        ck_mat packed = ck_matrix(1, floats, floats, CK_ALIGNED);
        mtl__gemm_pack_b(g, s.k, s.n, q.b.p, q.b.ld, packed.p);
        q.call.b = packed.p;
        q.call.b_packed = true;
        char what[96];
        snprintf(what, sizeof what, "packed-%lldx%lldx%lld", (long long)s.m, (long long)s.k,
                 (long long)s.n);
        if (!too_long(level, (double)(s.m * s.n * s.k)))
            bench_call(g, what, &q, NULL);
    }
}

static void bench_threads(mtl__cpu_level level)
{
    static const int64_t sizes[] = {48, 64, 80, 96, 128, 160, 192, 256, 512, 1024, 2048};
    if (level == MTL__CPU_C)
        return;
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, mtl__cpu_count());
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++)
        for (int threads = 0; threads < 2; threads++) {
            int64_t n = sizes[i];
            char label[64];
            snprintf(label, sizeof label, "sq%lld %s", (long long)n, threads ? "all CPUs" : "alone");
            bench_one(mtl__gemm_native(level), label, MTL__GEMM_NN, n, n, n,
                      threads ? pool : NULL);
        }
    mtl__pool_destroy(pool);
}

static void bench_blis(mtl__cpu_level level)
{
    const mtl__gemm *blis = mtl__gemm_blis();
    if (level != mtl__cpu_detect() || !blis)
        return;
    for (int64_t n = 16; n <= 1024; n *= 4) {
        char label[64];
        snprintf(label, sizeof label, "%s sq%lld", mtl__gemm_name(blis), (long long)n);
        bench_one(blis, label, MTL__GEMM_NN, n, n, n, NULL);
    }
}

const ck_test ck_gemm_tests[] = {
    {"gemm.tile", check_tiles, NULL},
    {"gemm.packing", check_packing, NULL},
    {"gemm.empty", check_empty, NULL},
    {"gemm.values", check_values, NULL},
    {"gemm.square", check_small, bench_squares},
    {"gemm.narrow", check_narrow, NULL},
    {"gemm.layer", check_blocks, bench_layers},
    {"gemm.packed", check_packed, bench_packed},
    {"gemm.epilogue", check_epilogue, NULL},
    {"gemm.threads", check_threads, bench_threads},
    {"gemm.blis", check_blis, bench_blis},
    {NULL, NULL, NULL},
};
