/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bench_options bench = {.library = MTL_BENCH_LIBRARY};

static const struct {
    const char *name;
    void (*run)(void);
    const char *meaning;
} groups[] = {
    {"gemm", bench_run_gemm, "matrix products, beside the BLAS libraries of this machine"},
    {"train", bench_run_train, "steps of whole fits, cases a, b, c"},
    {"predict", bench_run_predict, "1, 32, 4096 rows of cases a, b"},
    {"cold", bench_run_cold, "from dlopen to the first prediction; size of the library"},
    {"threads", bench_run_threads, "two threads against one, also on a busy machine"},
    {"scale", bench_run_scale, "cost of a step against width, batch, tasks and rows"},
    {"rows", bench_run_rows, "cost of a step with numeric embeddings and with ensembles"},
    {"sparse", bench_run_sparse, "cost of a step on sparse inputs against their columns"},
};

/* One pattern of a comma-separated list. */
static bool next_pattern(const char **list, char *out, size_t size)
{
    size_t n = strcspn(*list, ",");
    if (n == 0 || n >= size)
        return false;
    memcpy(out, *list, n);
    out[n] = 0;
    *list += n + ((*list)[n] == ',');
    return true;
}

bool bench_matches(const char *patterns, const char *name)
{
    char one[64];
    if (!patterns)
        return true;
    while (next_pattern(&patterns, one, sizeof one))
        if (fnmatch(one, name, 0) == 0)
            return true;
    return false;
}

bool bench_wanted(const char *name)
{
    bool wanted = bench_matches(bench.filter, name);
    if (wanted && bench.list)
        printf("    %s\n", name);
    return wanted && !bench.list;
}

static const char usage[] =
    "usage: mtl_bench [--only=GROUP,...] [--filter=PATTERN,...] [--cpu=c|neon|avx2|avx512]\n"
    "                 [--threads=N,...] [--quick] [--seconds=F] [--csv] [--list]\n"
    "                 [--peers=LABEL,...] [--peer=LABEL=cblas|dnnl:FILE] [--library=libmtl.so]\n"
    "--quick    fewer and smaller cases: under a minute in all\n"
    "--seconds  time given to each case\n"
    "--peers    which of openblas, onednn, blis to look for; --peer adds one\n"
    "--csv      lines of case,peer,threads,metric,value instead of tables\n"
    "Groups:\n";

static int print_usage(void)
{
    fputs(usage, stderr);
    for (int i = 0; i < MTL__COUNT_OF(groups); i++)
        fprintf(stderr, "    %-8s  %s\n", groups[i].name, groups[i].meaning);
    return EXIT_FAILURE;
}

static const char *value_of(const char *arg, const char *key)
{
    size_t n = strlen(key);
    return strncmp(arg, key, n) == 0 ? arg + n : NULL;
}

static bool read_threads(const char *list)
{
    char number[16];
    bench.thread_counts = 0;
    while (bench.thread_counts < BENCH_MAX_THREADS && next_pattern(&list, number, sizeof number)) {
        int threads = atoi(number);
        if (threads < 1 || threads > BENCH_MAX_THREADS)
            return false;
        bench.threads[bench.thread_counts++] = threads;
    }
    return bench.thread_counts > 0 && *list == 0;
}

static bool read_level(const char *name)
{
    int level = mtl__cpu_parse(name);
    if (level < 0 || mtl__cpu_choose(name) != (mtl__cpu_level)level)
        return false;
    bench.level = (mtl__cpu_level)level;
    return true;
}

static bool read_flag(const char *arg)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--quick", &bench.quick}, {"--csv", &bench.csv}, {"--list", &bench.list}};
    for (int i = 0; i < MTL__COUNT_OF(flags); i++)
        if (strcmp(arg, flags[i].name) == 0)
            return *flags[i].flag = true, true;
    return false;
}

static bool read_text(const char *arg)
{
    const struct {
        const char *key, **text;
    } texts[] = {{"--only=", &bench.only},
                 {"--filter=", &bench.filter},
                 {"--peers=", &bench.peers},
                 {"--library=", &bench.library}};
    for (int i = 0; i < MTL__COUNT_OF(texts); i++)
        if (value_of(arg, texts[i].key))
            return *texts[i].text = value_of(arg, texts[i].key), true;
    return false;
}

static bool read_option(const char *arg)
{
    const char *v;
    if (read_flag(arg) || read_text(arg))
        return true;
    if ((v = value_of(arg, "--seconds=")))
        return (bench.seconds = atof(v)) > 0;
    if ((v = value_of(arg, "--threads=")))
        return read_threads(v);
    if ((v = value_of(arg, "--cpu=")))
        return read_level(v);
    if ((v = value_of(arg, "--peer=")))
        return bench_add_peer(v);
    return false;
}

/* More threads than CPUs would measure the scheduler. */
static void limit_threads(void)
{
    int kept = 0;
    for (int i = 0; i < bench.thread_counts; i++) {
        if (bench.threads[i] <= mtl__cpu_count())
            bench.threads[kept++] = bench.threads[i];
        else
            bench_say("left out: %d threads, this process has %d CPUs\n", bench.threads[i],
                      mtl__cpu_count());
    }
    bench.thread_counts = kept;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--cold-child") == 0)
        return bench_cold_child(argv[2]);
    bench.level = mtl__cpu_choose("auto");
    read_threads("1,2");
    for (int i = 1; i < argc; i++)
        if (!read_option(argv[i]))
            return print_usage();
    if (bench.seconds <= 0)
        bench.seconds = bench.quick ? 0.1 : 0.5;
    limit_threads();
    if (bench.csv && !bench.list)
        puts("case,peer,threads,metric,value");
    if (!bench.list)
        bench_run_peak();
    for (int i = 0; i < MTL__COUNT_OF(groups); i++)
        if (bench_matches(bench.only, groups[i].name)) {
            if (bench.list)
                printf("%s: %s\n", groups[i].name, groups[i].meaning);
            groups[i].run();
        }
    if (!bench.list)
        bench_targets();
    return EXIT_SUCCESS;
}
