/* SPDX-License-Identifier: MIT */
/* Other libraries with a matrix product, found at run time: none is needed, none is linked. */
#include "bench.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
typedef void cblas_fn(int, int, int, int, int, int, float, const float *, int, const float *, int,
                      float, float *, int);
typedef int dnnl_fn(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t,
                    const float *, int64_t, float, float *, int64_t);

static struct {
    bench_peer list[BENCH_MAX_PEERS];
    int count;
    bool opened;
} peers;

/* POSIX gives functions as object pointers; copying the bytes is its own way out. */
static bool symbol(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static void call_cblas(const bench_peer *p, const bench_sgemm *q)
{
    cblas_fn *sgemm;
    memcpy(&sgemm, &p->function, sizeof sgemm);
    sgemm(ROW_MAJOR, q->ta ? TRANSPOSE : NO_TRANSPOSE, q->tb ? TRANSPOSE : NO_TRANSPOSE, (int)q->m,
          (int)q->n, (int)q->k, 1.0f, q->a, (int)q->lda, q->b, (int)q->ldb, 0.0f, q->c, (int)q->n);
}

static void call_dnnl(const bench_peer *p, const bench_sgemm *q)
{
    dnnl_fn *sgemm;
    memcpy(&sgemm, &p->function, sizeof sgemm);
    sgemm(q->ta ? 'T' : 'N', q->tb ? 'T' : 'N', q->m, q->n, q->k, 1.0f, q->a, q->lda, q->b, q->ldb,
          0.0f, q->c, q->n);
}

static const struct {
    const char *name, *symbol;
    void (*sgemm)(const bench_peer *, const bench_sgemm *);
} kinds[] = {{"cblas", "cblas_sgemm", call_cblas}, {"dnnl", "dnnl_sgemm", call_dnnl}};

static bool open_peer(const char *label, const char *kind, const char *file)
{
    if (peers.count == BENCH_MAX_PEERS)
        return false;
    bench_peer *p = &peers.list[peers.count];
    /* Two of them have a cblas_sgemm: each is to call its own. */
    p->library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!p->library)
        return false;
    for (int i = 0; i < MTL__COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, kind) == 0 && symbol(p->library, kinds[i].symbol, &p->function)) {
            p->label = label;
            p->sgemm = kinds[i].sgemm;
            peers.count++;
            return true;
        }
    dlclose(p->library);
    return false;
}

bool bench_add_peer(const char *text)
{
    char *copy = strdup(text), *kind = strchr(copy, '='), *file = kind ? strchr(kind, ':') : NULL;
    if (!file)
        return false;
    *kind++ = 0;
    *file++ = 0;
    return open_peer(copy, kind, file); /* the label is kept until the end */
}

int bench_peers(const bench_peer **list)
{
    static const char *const known[][3] = {{"openblas", "cblas", "libopenblas.so.0"},
                                           {"onednn", "dnnl", "libdnnl.so.2"},
                                           {"blis", "cblas", "libblis.so.4"}};
    for (int i = 0; i < MTL__COUNT_OF(known) && !peers.opened; i++)
        if (bench_matches(bench.peers, known[i][0]) &&
            !open_peer(known[i][0], known[i][1], known[i][2]))
            bench_say("left out: %s, no %s here\n", known[i][0], known[i][2]);
    peers.opened = true;
    *list = peers.list;
    return peers.count;
}

void bench_peer_threads(const bench_peer *p, int threads)
{
    /* All that a library knows of itself or of the libraries that it has loaded. */
    static const char *const by_int[] = {"openblas_set_num_threads", "omp_set_num_threads"};
    for (int i = 0; i < MTL__COUNT_OF(by_int); i++) {
        void (*set)(int);
        if (symbol(p->library, by_int[i], &set))
            set(threads);
    }
    void (*set_blis)(int64_t);
    if (symbol(p->library, "bli_thread_set_num_threads", &set_blis))
        set_blis(threads);
}
