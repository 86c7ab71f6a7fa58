/* SPDX-License-Identifier: MIT */
#include "checkkern.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SKIP = 77 };

static const ck_test *const tables[] = {ck_gemm_tests, ck_vec_tests};

static struct {
    uint64_t seed;
    const char *filter;
    int only; /* level of --cpu=, -1 = all */
    bool bench, list, digest;
} options = {.only = -1};

static struct {
    const char *test;
    mtl__cpu_level level;
    char what[256];
    sigjmp_buf escape;
    volatile sig_atomic_t armed;
    uint64_t random, digest;
    int checked, failed;
} run;

/* --- failures ----------------------------------------------------------------------------- */

void ck_case(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(run.what, sizeof run.what, format, args);
    va_end(args);
}

static void report(const char *message)
{
    printf("FAIL %s [%s] %s: %s\n", run.test, mtl__cpu_name(run.level), run.what, message);
    fflush(stdout);
}

void ck_fail(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report(text);
    siglongjmp(run.escape, 1);
}

/* The three are synchronous: they come from the kernel under test, which holds no lock, so leaving
   by siglongjmp is sound. A worker thread blocks signals and would end the process instead. */
static void on_signal(int number)
{
    if (!run.armed) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    run.armed = 0;
    siglongjmp(run.escape, number);
}

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    for (int i = 0; i < MTL__COUNT_OF(fatal_signals); i++)
        sigaction(fatal_signals[i], &action, NULL);
}

/* --- random values ------------------------------------------------------------------------ */

static uint64_t fnv(uint64_t hash, const void *p, size_t bytes)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ s[i]) * 0x100000001b3u;
    return hash;
}

#define FNV_START 0xcbf29ce484222325u

uint32_t ck_u32(void)
{
    run.random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = run.random;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

int64_t ck_below(int64_t n)
{
    return (int64_t)((uint64_t)ck_u32() * (uint64_t)n >> 32);
}

float ck_uniform(float low, float high)
{
    return low + (high - low) * ((float)(ck_u32() >> 8) * 0x1p-24f);
}

static float uniform(void)
{
    return ck_uniform(-1.0f, 1.0f);
}

static float mixed(void)
{
    /* Powers of two, not pow(): the same inputs on every machine. */
    float x = uniform(); /* before the exponent: arguments have no order */
    return ldexpf(x, (int)ck_below(101) - 50);
}

static float denormal(void)
{
    return uniform() * FLT_MIN;
}

static float zero(void)
{
    return ck_u32() & 1 ? 0.0f : -0.0f;
}

static float one(void)
{
    return 1.0f;
}

static const struct {
    const char *name;
    float (*draw)(void);
} values[CK_VALUES_COUNT] = {
    [CK_UNIFORM] = {"uniform", uniform}, [CK_MIXED] = {"mixed", mixed},
    [CK_DENORMAL] = {"denormal", denormal}, [CK_ZEROS] = {"zeros", zero},
    [CK_ONES] = {"ones", one}, [CK_SPECIAL] = {"special", uniform},
};

const char *ck_values_name(ck_values kind)
{
    return values[kind].name;
}

void ck_fill(ck_values kind, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = values[kind].draw();
    if (kind != CK_SPECIAL || n == 0)
        return;
    static const float special[] = {INFINITY, -INFINITY, NAN};
    for (int i = 0; i < MTL__COUNT_OF(special); i++)
        x[ck_below(n)] = special[i];
}

/* --- guarded memory ----------------------------------------------------------------------- */

/* A quiet NaN that no kernel makes by itself. */
#define GUARD_BITS 0x7fc5a5a5u
#define GUARD_FLOATS 64

/* One reserve of address space; pages are touched as they are used. */
#define HEAP_BYTES ((size_t)1 << 32)
static struct {
    char *start, *next;
} heap;

/* Matrices at the end of a page: fixed slots, each with a PROT_NONE page behind it. */
enum { SLOTS = 16, SLOT_BYTES = 1 << 22 };
static struct {
    char *start;
    int used;
} slots;

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "checkkern: mmap: %s\n", strerror(errno));
        exit(EXIT_FAILURE);
    }
    return p;
}

static void make_memory(void)
{
    heap.start = heap.next = map(HEAP_BYTES);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    slots.start = map((size_t)SLOTS * SLOT_BYTES);
    for (int i = 1; i <= SLOTS; i++)
        if (mprotect(slots.start + (size_t)i * SLOT_BYTES - page, page, PROT_NONE) != 0)
            ck_fail("mprotect: %s", strerror(errno));
}

void ck_reset(void)
{
    heap.next = heap.start;
    slots.used = 0;
}

static void paint_guard(float *p, int64_t n)
{
    uint32_t *bits = (uint32_t *)(void *)p;
    for (int64_t i = 0; i < n; i++)
        bits[i] = GUARD_BITS;
}

static bool is_guard(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits == GUARD_BITS;
}

static float *page_end_block(int64_t floats)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)floats * sizeof(float);
    if (slots.used == SLOTS || bytes > SLOT_BYTES - page)
        ck_fail("test asks for more page-end memory than there is");
    char *end = slots.start + (size_t)++slots.used * SLOT_BYTES - page;
    return (float *)(void *)(end - bytes);
}

static float *heap_block(int64_t floats, int64_t shift)
{
    size_t bytes = ((size_t)(floats + shift) * sizeof(float) + 63) & ~(size_t)63;
    if (bytes > HEAP_BYTES - (size_t)(heap.next - heap.start))
        ck_fail("test asks for more memory than there is");
    float *p = (float *)(void *)heap.next + shift;
    heap.next += bytes;
    return p;
}

ck_mat ck_matrix(int64_t rows, int64_t cols, int64_t ld, enum ck_place place)
{
    /* The last row ends with its last column: what lies behind it is not the caller's to read. */
    int64_t inside = rows > 0 ? (rows - 1) * ld + cols : 0;
    bool page_end = place == CK_PAGE_END;
    ck_mat m = {.rows = rows, .cols = cols, .ld = ld};
    m.size = GUARD_FLOATS + inside + (page_end ? 0 : GUARD_FLOATS);
    m.block = page_end ? page_end_block(m.size) : heap_block(m.size, place == CK_SHIFTED);
    m.p = m.block + GUARD_FLOATS;
    paint_guard(m.block, m.size);
    return m;
}

void ck_fill_mat(ck_values kind, ck_mat *m)
{
    for (int64_t r = 0; r < m->rows; r++)
        ck_fill(kind == CK_SPECIAL && r > 0 ? CK_UNIFORM : kind, m->cols, m->p + r * m->ld);
}

void ck_copy_mat(const ck_mat *from, ck_mat *to)
{
    for (int64_t r = 0; r < from->rows; r++)
        memcpy(to->p + r * to->ld, from->p + r * from->ld, (size_t)from->cols * sizeof(float));
}

void ck_guards(const ck_mat *m, const char *name)
{
    for (int64_t i = 0; i < m->size; i++) {
        int64_t at = i - GUARD_FLOATS;
        int64_t row = at < 0 || m->ld == 0 ? 0 : at / m->ld, col = m->ld == 0 ? at : at - row * m->ld;
        if (at >= 0 && row < m->rows && col < m->cols)
            continue;
        if (!is_guard(m->block[i]))
            ck_fail("%s: wrote %s at row %lld, column %lld", name,
                    at < 0 ? "before the first row" : row >= m->rows - 1 && col >= m->cols
                             ? "behind the last row"
                             : "right of a row",
                    (long long)row, (long long)col);
    }
}

/* --- comparisons -------------------------------------------------------------------------- */

bool ck_equal_f32(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

void ck_same_f32(int64_t n, const float *want, const float *got, const char *name)
{
    if (memcmp(want, got, (size_t)n * sizeof *want) == 0)
        return;
    for (int64_t i = 0; i < n; i++)
        if (!ck_equal_f32(want[i], got[i]))
            ck_fail("%s[%lld] is %a, the C level has %a", name, (long long)i, (double)got[i],
                    (double)want[i]);
}

void ck_same_mat(const ck_mat *want, const ck_mat *got, const char *name)
{
    for (int64_t r = 0; r < want->rows; r++)
        for (int64_t c = 0; c < want->cols; c++) {
            float x = want->p[r * want->ld + c], y = got->p[r * got->ld + c];
            if (!ck_equal_f32(x, y))
                ck_fail("%s[%lld][%lld] is %a, the C level has %a", name, (long long)r,
                        (long long)c, (double)y, (double)x);
        }
}

double ck_ulp(float got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want) ? 0.0 : HUGE_VAL;
    if ((double)got == want || (float)want == got)
        return fabs((double)got - want) == 0.0 || isinf(got)
                   ? 0.0
                   : fabs((double)got - want) / ldexp(1.0, ilogb(fmax(fabs(want), FLT_MIN)) - 23);
    if (isinf(got) || isinf(want))
        return HUGE_VAL;
    return fabs((double)got - want) / ldexp(1.0, ilogb(fmax(fabs(want), FLT_MIN)) - 23);
}

/* --- digest ------------------------------------------------------------------------------- */

void ck_digest_f32(int64_t n, const float *x)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        if (isnan(x[i]))
            bits = 0x7fc00000u; /* x86 and arm make NaN of different signs */
        /* Byte by byte, so that it does not depend on the byte order. */
        unsigned char bytes[4] = {bits & 255, bits >> 8 & 255, bits >> 16 & 255, bits >> 24};
        run.digest = fnv(run.digest, bytes, sizeof bytes);
    }
}

void ck_digest_mat(const ck_mat *m)
{
    for (int64_t r = 0; r < m->rows; r++)
        ck_digest_f32(m->cols, m->p + r * m->ld);
}

bool ck_digest_only(void)
{
    return options.digest;
}

/* --- timing ------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return x[n / 2];
}

static double empty_timing(void)
{
    double t[101];
    for (int i = 0; i < 101; i++) {
        double start = now();
        t[i] = now() - start;
    }
    return median(t, 101);
}

static double seconds_per_call(void (*fn)(void *), void *arg)
{
    enum { ROUNDS = 31 };
    const double round = 1e-3; /* long beside the clock's 20 ns, short beside a time slice */
    double t[ROUNDS], empty = empty_timing();
    fn(arg); /* warm-up, and a first idea of the cost */
    double start = now();
    fn(arg);
    double once = fmax(now() - start - empty, 1e-9);
    int64_t calls = once < round ? (int64_t)(round / once) + 1 : 1;
    int rounds = once > 0.05 ? 3 : ROUNDS;
    for (int i = 0; i < rounds; i++) {
        start = now();
        for (int64_t c = 0; c < calls; c++)
            fn(arg);
        t[i] = (now() - start - empty) / (double)calls;
    }
    return median(t, rounds);
}

/* Rates of the C level, for the ratio printed at the levels above. */
static struct {
    char what[96];
    double rate;
} plain[1024];
static int plain_count;

static double plain_rate(const char *what, double rate)
{
    for (int i = 0; i < plain_count; i++)
        if (strcmp(plain[i].what, what) == 0)
            return plain[i].rate;
    if (run.level == MTL__CPU_C && plain_count < MTL__COUNT_OF(plain)) {
        snprintf(plain[plain_count].what, sizeof plain[0].what, "%s", what);
        plain[plain_count++].rate = rate;
        return rate;
    }
    return 0.0;
}

double ck_bench(const char *what, double work, const char *unit, void (*fn)(void *), void *arg)
{
    double seconds = seconds_per_call(fn, arg), rate = work / seconds * 1e-9;
    double base = plain_rate(what, rate);
    printf("%-34s %-7s %10.2f %-8s", what, mtl__cpu_name(run.level), rate, unit);
    if (base > 0.0)
        printf(" %7.1fx", rate / base);
    else
        printf(" %8s", "");
    if (strcmp(unit, "GFLOP/s") == 0)
        printf(" %5.1f %% of peak", 100.0 * rate / ck_peak(run.level));
    printf("  %10.3f us\n", seconds * 1e6);
    fflush(stdout);
    return seconds;
}

/* --- runner ------------------------------------------------------------------------------- */

static void run_test(const ck_test *t, mtl__cpu_level level)
{
    run.test = t->name;
    run.level = level;
    run.what[0] = 0;
    run.random = fnv(options.seed, t->name, strlen(t->name));
    ck_reset();
    int left = sigsetjmp(run.escape, 1);
    if (left == 0) {
        run.armed = 1;
        (options.bench ? t->bench : t->check)(level);
    } else if (left != 1) {
        report(strsignal(left));
    }
    run.armed = 0;
    run.checked++;
    run.failed += left != 0;
    if (!options.bench && !options.digest && left == 0)
        printf("ok   %s [%s]\n", t->name, mtl__cpu_name(level));
    fflush(stdout);
}

static bool wanted(const ck_test *t)
{
    return (!options.filter || strstr(t->name, options.filter)) && (!options.bench || t->bench);
}

static void run_level(mtl__cpu_level level)
{
    for (int i = 0; i < MTL__COUNT_OF(tables); i++)
        for (const ck_test *t = tables[i]; t->name; t++)
            if (wanted(t))
                run_test(t, level);
}

static int list_tests(void)
{
    for (int i = 0; i < MTL__COUNT_OF(tables); i++)
        for (const ck_test *t = tables[i]; t->name; t++)
            if (wanted(t))
                printf("%s%s\n", t->name, t->bench ? " (bench)" : "");
    return EXIT_SUCCESS;
}

/* Levels are not a chain of numbers across architectures: neon is none of an x86's. */
static bool has_level(mtl__cpu_level level)
{
    mtl__cpu_level best = mtl__cpu_detect();
    return level == MTL__CPU_C || level == best ||
           (level < best && level != MTL__CPU_NEON && best >= MTL__CPU_AVX2);
}

static const char usage[] =
    "usage: mtl_checkkern [--seed=N] [--filter=TEXT] [--cpu=c|neon|avx2|avx512] [--list]\n"
    "                     [--bench] [--digest]\n"
    "Runs every test at the C level and then at each level of this CPU, or at one of them.\n"
    "--digest prints a hash of all results; it is the same at every level and architecture.\n";

static bool value_of(const char *arg, const char *key, const char **value)
{
    size_t n = strlen(key);
    if (strncmp(arg, key, n) != 0)
        return false;
    *value = arg + n;
    return true;
}

static bool read_options(int argc, char **argv)
{
    options.seed = (uint64_t)time(NULL) * 1000003u ^ (uint64_t)getpid();
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--bench") == 0)
            options.bench = true;
        else if (strcmp(argv[i], "--list") == 0)
            options.list = true;
        else if (strcmp(argv[i], "--digest") == 0)
            options.digest = true;
        else if (value_of(argv[i], "--seed=", &value))
            options.seed = strtoull(value, NULL, 0);
        else if (value_of(argv[i], "--filter=", &value))
            options.filter = value;
        else if (value_of(argv[i], "--cpu=", &value) && mtl__cpu_parse(value) >= 0)
            options.only = mtl__cpu_parse(value);
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (options.list)
        return list_tests();
    if (options.only >= 0 && !has_level((mtl__cpu_level)options.only)) {
        printf("SKIP: this CPU has no level %s\n", mtl__cpu_name((mtl__cpu_level)options.only));
        return EXIT_SKIP;
    }
    catch_signals();
    make_memory();
    if (!options.digest)
        printf("seed %llu (repeat with --seed=%llu)\n", (unsigned long long)options.seed,
               (unsigned long long)options.seed);
    run.digest = FNV_START;
    mtl__cpu_level first = MTL__CPU_C, last = mtl__cpu_detect();
    if (options.digest)
        first = last; /* one digest is one level's */
    if (options.only >= 0)
        first = last = (mtl__cpu_level)options.only;
    for (int level = (int)first; level <= (int)last; level++)
        if (has_level((mtl__cpu_level)level))
            run_level((mtl__cpu_level)level);
    if (options.digest)
        printf("digest %016llx\n", (unsigned long long)run.digest);
    else if (!options.bench)
        printf("%d run, %d failed\n", run.checked, run.failed);
    return run.failed || run.checked == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
