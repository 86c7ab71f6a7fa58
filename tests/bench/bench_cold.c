/* SPDX-License-Identifier: MIT */
/* What a host pays before the first result: a new process that loads libmtl.so, makes a context and
   model a and predicts one row; and the size of the library. */
#include "bench.h"

#include <dlfcn.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --- in the new process ------------------------------------------------------------------- */

/* The calls as the shared library has them, not this program's own copies. */
#define CALLS(X)                                                                                   \
    X(mtl_context_create)                                                                          \
    X(mtl_spec_create)                                                                             \
    X(mtl_spec_add_dense)                                                                          \
    X(mtl_spec_add_task)                                                                           \
    X(mtl_model_create)                                                                            \
    X(mtl_predict)

static struct {
#define MEMBER(name) __typeof__(&name) name;
    CALLS(MEMBER)
#undef MEMBER
} lib;

static bool find(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static bool load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
#define FIND(name)                                                                                 \
    if (!find(library, #name, &lib.name))                                                          \
        return false;
    CALLS(FIND)
#undef FIND
    return true;
}

static bool predict_once(void)
{
    static const char *const tasks[] = {"t0", "t1", "t2"};
    mtl_context *ctx;
    mtl_spec *spec;
    mtl_model *model;
    float x[20] = {0.5f}, out[3];
    if (lib.mtl_context_create(NULL, &ctx, NULL) || lib.mtl_spec_create(ctx, 20, &spec, NULL) ||
        lib.mtl_spec_add_dense(spec, 64, "relu", NULL) ||
        lib.mtl_spec_add_dense(spec, 64, "relu", NULL))
        return false;
    for (int i = 0; i < 3; i++)
        if (lib.mtl_spec_add_task(spec, tasks[i], MTL_BINARY, 1, NULL))
            return false;
    return !lib.mtl_model_create(spec, &model, NULL) &&
           !lib.mtl_predict(model, 1, x, 20, out, 3, NULL);
}

int bench_cold_child(const char *library)
{
    double start = bench_now(), loaded, seconds[2];
    if (!load(library))
        return EXIT_FAILURE;
    loaded = bench_now();
    if (!predict_once())
        return EXIT_FAILURE;
    seconds[0] = loaded - start;
    seconds[1] = bench_now() - start;
    return write(STDOUT_FILENO, seconds, sizeof seconds) == sizeof seconds ? EXIT_SUCCESS
                                                                           : EXIT_FAILURE;
}

/* --- in this one -------------------------------------------------------------------------- */

static int run_program(const char *const *argv, int out)
{
    char *copy[8] = {NULL};
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_t actions;
    for (int i = 0; argv[i]; i++)
        copy[i] = strdup(argv[i]);
    posix_spawn_file_actions_init(&actions);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (posix_spawnp(&pid, copy[0], &actions, NULL, copy, environ) == 0)
        waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; copy[i]; i++)
        free(copy[i]);
    return status;
}

/* seconds: of dlopen, to the first prediction, of the whole process. */
static bool start_once(double seconds[3])
{
    const char *const argv[] = {"/proc/self/exe", "--cold-child", bench.library, NULL};
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    double start = bench_now();
    int status = run_program(argv, ends[1]);
    seconds[2] = bench_now() - start;
    close(ends[1]);
    bool got = status == 0 && read(ends[0], seconds, 2 * sizeof *seconds) == 2 * sizeof *seconds;
    close(ends[0]);
    return got;
}

static void run_start(void)
{
    enum { TIMES = 31, KINDS = 3 };
    static const char *const metrics[KINDS] = {"us_dlopen", "us_main_to_first", "us_process"};
    static bench_samples samples[KINDS];
    double seconds[KINDS];
    for (int i = 0; i < TIMES; i++) {
        if (!start_once(seconds)) {
            bench_say("left out: cold start, %s cannot be loaded\n", bench.library);
            return;
        }
        for (int k = 0; i > 0 && k < KINDS; k++) /* the first one reads the file */
            bench_add(&samples[k], seconds[k]);
    }
    for (int k = 0; k < KINDS; k++) {
        double median = bench_median(&samples[k]) * 1e6;
        bench_value("cold-a", "libmtl", 1, metrics[k], median);
        bench_say("%-18s %10.1f us, median of %d\n", metrics[k], median, TIMES - 1);
    }
}

static double stripped_size(const char *path)
{
    char copy[] = "/tmp/mtl_bench_XXXXXX";
    struct stat info;
    int file = mkstemp(copy);
    if (file < 0)
        return NAN;
    close(file);
    const char *const argv[] = {"strip", "-o", copy, path, NULL};
    bool made = run_program(argv, -1) == 0 && stat(copy, &info) == 0;
    unlink(copy);
    return made ? (double)info.st_size : NAN;
}

static void run_size(void)
{
    double size = stripped_size(bench.library);
    if (isnan(size)) {
        bench_say("left out: size, no strip here\n");
        return;
    }
    bench_value("weight", "libmtl", 0, "mb", size * 1e-6);
    bench_value("weight", "libmtl", 0, "files", 1);
    bench_say("%-18s %10.1f kB stripped\n", "size", size * 1e-3);
}

void bench_run_cold(void)
{
    bench_title("Cold start of a new process, and size");
    if (bench_wanted("cold-a"))
        run_start();
    if (bench_wanted("weight"))
        run_size();
}
