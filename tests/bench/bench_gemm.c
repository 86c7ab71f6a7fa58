/* SPDX-License-Identifier: MIT */
/* Matrix products: libmtl through its internal interface, the machine's BLAS libraries beside it.
   What is timed is also compared: libmtl bit for bit with its rule, the others within rounding. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm.h"

typedef struct product {
    char name[48];
    mtl__gemm_kind kind;
    int64_t m, n, k;
} product;

/* One way to compute the product at hand. */
typedef struct way {
    const char *label;
    const mtl__gemm *g; /* libmtl */
    mtl__gemm_call call;
    mtl__pool *pool;
    float *work;
    const bench_peer *peer; /* or another library */
    bench_sgemm sgemm;
    double level_peak; /* of one thread, for pct_peak; 0 = that of the chosen level */
} way;

typedef struct operands {
    float *a, *b, *c;
    int64_t lda, ldb;
} operands;

enum { MAX_WAYS = BENCH_MAX_PEERS + 2 };

static const char *const kind_names[] = {"NN", "NT", "TN"};

static operands make_operands(const product *p)
{
    return (operands){
        .a = bench_floats(p->m * p->k, 1),
        .b = bench_floats(p->k * p->n, 2),
        .c = bench_floats(p->m * p->n, 3),
        .lda = p->kind == MTL__GEMM_TN ? p->m : p->k,
        .ldb = p->kind == MTL__GEMM_NT ? p->k : p->n,
    };
}

static void free_operands(operands *o)
{
    free(o->a);
    free(o->b);
    free(o->c);
}

static void run_way(void *arg)
{
    const way *w = arg;
    if (w->peer)
        w->peer->sgemm(w->peer, &w->sgemm);
    else
        mtl__gemm_run(w->g, &w->call, w->pool, w->work);
}

static way own_way(const product *p, const operands *o, mtl__cpu_level level, mtl__pool *pool,
                   const char *label)
{
    const mtl__gemm *g = mtl__gemm_native(level);
    int64_t floats = mtl__gemm_workspace(g, p->kind, p->m, p->n, p->k, mtl__pool_slots(pool));
    return (way){
        .label = label,
        .g = g,
        .call = {.kind = p->kind,
                 .m = p->m,
                 .n = p->n,
                 .k = p->k,
                 .a = o->a,
                 .lda = o->lda,
                 .b = o->b,
                 .ldb = o->ldb,
                 .c = o->c,
                 .ldc = p->n},
        .pool = pool,
        .work = bench_floats(floats, 4),
    };
}

static way peer_way(const product *p, const operands *o, const bench_peer *peer)
{
    return (way){
        .label = peer->label,
        .peer = peer,
        .sgemm = {.ta = p->kind == MTL__GEMM_TN,
                  .tb = p->kind == MTL__GEMM_NT,
                  .m = p->m,
                  .n = p->n,
                  .k = p->k,
                  .a = o->a,
                  .lda = o->lda,
                  .b = o->b,
                  .ldb = o->ldb,
                  .c = o->c},
    };
}

/* --- the results -------------------------------------------------------------------------- */

/* The rule, written down once more: one chain of FMAs in ascending k. */
static float chain(const product *p, const operands *o, int64_t i, int64_t j)
{
    int64_t a_step = p->kind == MTL__GEMM_TN ? o->lda : 1,
            b_step = p->kind == MTL__GEMM_NT ? 1 : o->ldb;
    const float *a = o->a + i * (p->kind == MTL__GEMM_TN ? 1 : o->lda);
    const float *b = o->b + j * (p->kind == MTL__GEMM_NT ? o->ldb : 1);
    float sum = 0.0f;
    for (int64_t q = 0; q < p->k; q++)
        sum = fmaf(a[q * a_step], b[q * b_step], sum);
    return sum;
}

/* All outputs of a small product, about 250 of a large one. */
static bool is_right(const product *p, const operands *o, bool to_the_bit)
{
    const int64_t size = p->m * p->n, step = size * p->k > 1 << 18 ? size / 251 + 1 : 1;
    /* Libraries add in an order of their own; all numbers are below 1. */
    const float tolerance = to_the_bit ? 0.0f : 1e-5f * (float)p->k;
    for (int64_t at = 0; at < size; at += step) {
        float want = chain(p, o, at / p->n, at % p->n);
        if (!(fabsf(o->c[at] - want) <= tolerance))
            return false;
    }
    return true;
}

static bool check_way(const product *p, const operands *o, way *w)
{
    memset(o->c, 0xff, (size_t)(p->m * p->n) * sizeof(float)); /* NaN */
    run_way(w);
    if (is_right(p, o, w->peer == NULL))
        return true;
    if (!w->peer)
        bench_die("%s: %s differs from the rule", p->name, w->label);
    bench_say("left out: %s at %s, wrong result\n", w->label, p->name);
    return false;
}

/* --- one case ----------------------------------------------------------------------------- */

/* Below the best level of the CPU the figures go by another name. */
static const char *own_label(void)
{
    static char label[24] = "libmtl";
    if (bench.level != mtl__cpu_detect())
        snprintf(label, sizeof label, "libmtl-%s", mtl__cpu_name(bench.level));
    return label;
}

static double report_way(const product *p, const way *w, int threads, bench_samples *s)
{
    double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k * 1e-9;
    double peak = (w->level_peak > 0 ? w->level_peak : bench_peak()) * threads;
    double rate = flops / bench_best(s);
    bench_value(p->name, w->label, threads, "gflops", rate);
    bench_value(p->name, w->label, threads, "gflops_med", flops / bench_median(s));
    bench_value(p->name, w->label, threads, "pct_peak", 100.0 * rate / peak);
    bench_say("  %s %.1f (%.0f%%)", w->label, rate, 100.0 * rate / peak);
    return rate;
}

static void report_case(const product *p, way *ways, bench_runner *runners, int count, int threads)
{
    double best_peer = 0.0, own = 0.0;
    bench_value(p->name, "fma-peak", threads, "gflops", bench_peak() * threads);
    bench_say("%-24s %d  peak %.1f", p->name, threads, bench_peak() * threads);
    for (int i = 0; i < count; i++) {
        double rate = report_way(p, &ways[i], threads, &runners[i].samples);
        if (ways[i].peer)
            best_peer = fmax(best_peer, rate);
        else if (i == 0)
            own = rate;
    }
    if (best_peer > 0)
        bench_value(p->name, own_label(), threads, "x_best_peer", own / best_peer);
    bench_say("\n");
}

/* AVX2 beside AVX-512, where the products are large enough to have a target. */
static bool wants_avx2(const product *p, int threads)
{
    return MTL__ARCH_X86 && bench.level == MTL__CPU_AVX512 && threads == 1 && p->m >= 96 &&
           p->m == p->n && p->n == p->k;
}

static int make_ways(const product *p, const operands *o, mtl__pool *pool, way *ways)
{
    const int threads = mtl__pool_slots(pool);
    const bench_peer *peers;
    int count = 0, peer_count = bench_peers(&peers);
    ways[count++] = own_way(p, o, bench.level, pool, own_label());
    if (wants_avx2(p, threads))
        ways[count++] = own_way(p, o, MTL__CPU_AVX2, pool, "libmtl-avx2");
    for (int i = 0; i < peer_count; i++) {
        bench_peer_threads(&peers[i], threads);
        ways[count++] = peer_way(p, o, &peers[i]);
    }
    return count;
}

static void run_case(const product *p, mtl__pool *pool)
{
    const int threads = mtl__pool_slots(pool);
    way ways[MAX_WAYS];
    static bench_runner runners[MAX_WAYS];
    operands o = make_operands(p);
    int all = make_ways(p, &o, pool, ways), count = 0;
    for (int i = 0; i < all; i++)
        if (check_way(p, &o, &ways[i])) {
            ways[count] = ways[i];
            runners[count] = (bench_runner){.run = run_way, .arg = &ways[count]};
            count++;
        }
    bench_interleave(runners, count, bench.seconds, threads > 1);
    for (int i = 0; i < count; i++)
        if (ways[i].g && i > 0)
            ways[i].level_peak = bench_peak_avx2();
    report_case(p, ways, runners, count, threads);
    for (int i = 0; i < count; i++)
        free(ways[i].work);
    free_operands(&o);
}

/* --- all cases ---------------------------------------------------------------------------- */

static void run_wanted(mtl__pool *pool, mtl__gemm_kind kind, const char *role,
                       const int64_t size[3], int64_t m, int64_t n, int64_t k)
{
    product p = {.kind = kind, .m = m, .n = n, .k = k};
    if (role)
        snprintf(p.name, sizeof p.name, "%s-%lldx%lldx%lld-%s", role, (long long)size[0],
                 (long long)size[1], (long long)size[2], kind_names[kind]);
    else
        snprintf(p.name, sizeof p.name, "sq%lld-%s", (long long)m, kind_names[kind]);
    if (bench_wanted(p.name))
        run_case(&p, pool);
}

static void run_squares(mtl__pool *pool)
{
    static const int64_t sizes[] = {8,   16,  24,  32,  48,  64,   96,   128,
                                    192, 256, 384, 512, 768, 1024, 2048, 4096};
    const bool shared = mtl__pool_slots(pool) > 1;
    const int64_t most = bench.quick ? 1024 : 4096, least = shared ? 48 : 8;
    for (int i = 0; i < MTL__COUNT_OF(sizes); i++) {
        int64_t n = sizes[i];
        bool left_out = n < least || n > most || (bench.quick && shared && i % 2 == 0);
        for (int kind = 0; kind < 3 && !left_out; kind++)
            run_wanted(pool, (mtl__gemm_kind)kind, NULL, NULL, n, n, n);
    }
}

/* Layers of networks, batch x in x out; the last three are heads. */
static void run_layers(mtl__pool *pool)
{
    static const int64_t layers[][3] = {
        {1, 20, 64},     {32, 20, 64},    {32, 64, 64},      {256, 128, 256},
        {256, 256, 256}, {512, 256, 256}, {1024, 512, 512},  {4096, 1024, 1024},
        {32, 64, 3},     {256, 256, 8},   {1024, 1024, 160},
    };
    for (int i = 0; i < MTL__COUNT_OF(layers); i++) {
        const int64_t *d = layers[i], batch = d[0], in = d[1], out = d[2];
        if (bench.quick && (batch > 1024 || mtl__pool_slots(pool) > 1))
            continue;
        run_wanted(pool, MTL__GEMM_NN, "fwd", d, batch, out, in);
        run_wanted(pool, MTL__GEMM_TN, "dW", d, in, out, batch);
        run_wanted(pool, MTL__GEMM_NT, "dX", d, batch, in, out);
    }
}

void bench_run_gemm(void)
{
    bench_title("Matrix products: GFLOP/s (share of the FMA peak), best round");
    for (int i = 0; i < (bench.list ? 1 : bench.thread_counts); i++) {
        mtl__pool *pool = NULL;
        if (bench.threads[i] > 1)
            pool = mtl__pool_create(&mtl__allocator_default, bench.threads[i]);
        run_squares(pool);
        run_layers(pool);
        mtl__pool_destroy(pool);
    }
}
