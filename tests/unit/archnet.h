/* SPDX-License-Identifier: MIT */
/* Networks whose tasks have features of their own, for refnet.h: one row, one stream and one unit at a
   time, in double. It shares no code with the library. */
#ifndef MTL_ARCHNET_H
#define MTL_ARCHNET_H

enum { REF_STREAMS = 24 };

typedef struct ref_streams {
    int count; /* 1, or those of all tasks in front, then each task's */
    int64_t width;
    double h[REF_STREAMS][REF_WIDTH];
} ref_streams;

static inline bool ref_arch_is(const ref_net *n, const char *kind)
{
    return strncmp(n->architecture, kind, strlen(kind)) == 0;
}

static inline int ref_arch_number(const ref_net *n, const char *key, int initial)
{
    char text[32];
    snprintf(text, sizeof text, "%s=", key);
    const char *p = strstr(n->architecture, text);
    return p ? atoi(p + strlen(text)) : initial;
}

static inline void ref_softmax(double *x, int count)
{
    double top = x[0], sum = 0;
    for (int i = 1; i < count; i++)
        top = fmax(top, x[i]);
    for (int i = 0; i < count; i++)
        sum += x[i] = exp(x[i] - top);
    for (int i = 0; i < count; i++)
        x[i] /= sum;
}

/* logits[k] = x W, W [width, count]; *p moves past it. */
static inline void ref_logits(const double **p, const double *x, int64_t width, int count,
                              double *logits)
{
    for (int k = 0; k < count; k++) {
        logits[k] = 0;
        for (int64_t i = 0; i < width; i++)
            logits[k] += x[i] * (*p)[i * count + k];
    }
    *p += width * count;
}

static inline void ref_mix(const ref_streams *experts, const int *which, int count,
                           const double *chance, double *y)
{
    for (int64_t j = 0; j < experts->width; j++) {
        y[j] = 0;
        for (int k = 0; k < count; k++)
            y[j] += chance[k] * experts->h[which[k]][j];
    }
}

/* Gates over experts: `shared` of all tasks, then `own` of each. seen: what the experts read. */
static inline void ref_gates(const ref_net *n, const double **p, const ref_streams *seen,
                             const ref_streams *experts, int shared, int own, bool is_last,
                             ref_streams *out)
{
    const int tasks = ref_tasks(n), all = shared + tasks * own;
    const bool has_shared = !is_last && ref_arch_is(n, "ple");
    double chance[REF_STREAMS];
    int which[REF_STREAMS];
    out->count = tasks + has_shared;
    out->width = experts->width;
    if (has_shared) {
        ref_logits(p, seen->h[0], seen->width, shared, chance);
        for (int t = 0; t < tasks; t++)
            ref_logits(p, seen->h[0], seen->width, own, chance + shared + t * own);
        for (int k = 0; k < all; k++)
            which[k] = k;
        ref_softmax(chance, all);
        ref_mix(experts, which, all, chance, out->h[0]);
    }
    for (int t = 0; t < tasks; t++) {
        const double *x = seen->h[seen->count == 1 ? 0 : t + 1];
        for (int k = 0; k < shared + own; k++)
            which[k] = k < shared ? k : k + t * own;
        ref_logits(p, x, seen->width, shared + own, chance);
        ref_softmax(chance, shared + own);
        ref_mix(experts, which, shared + own, chance, out->h[t + has_shared]);
    }
}

/* h_t + what the task takes of all; *p moves past [tasks] of each task. */
static inline void ref_stitch(const ref_net *n, const double **p, ref_streams *now)
{
    const ref_streams before = *now;
    for (int t = 0; t < ref_tasks(n); t++, *p += ref_tasks(n))
        for (int64_t j = 0; j < now->width; j++)
            for (int s = 0; s < ref_tasks(n); s++)
                now->h[t][j] += (*p)[s] * before.h[s][j];
}

/* The trunk of all tasks, then h + relu(h D + d) U + u for each. */
static inline void ref_adapters(const ref_net *n, const double **p, const double *x, ref_streams *now)
{
    const ref_layer down = {ref_arch_number(n, "units", 8), "relu"};
    double h[REF_WIDTH], low[REF_STREAMS][REF_WIDTH];
    int64_t width = n->inputs;
    memcpy(h, x, sizeof h);
    for (const ref_layer *l = n->trunk; l->activation; l++)
        width = ref_dense(p, h, width, l);
    for (int t = 0; t < ref_tasks(n); t++) {
        memcpy(low[t], h, sizeof h);
        ref_dense(p, low[t], width, &down);
    }
    *now = (ref_streams){.count = ref_tasks(n), .width = width};
    for (int t = 0; t < ref_tasks(n); t++) {
        ref_dense(p, low[t], down.units, &(ref_layer){width, "identity"});
        for (int64_t j = 0; j < width; j++)
            now->h[t][j] = h[j] + low[t][j];
    }
}

/* Each task's features of a row. */
static inline void ref_features(const ref_net *n, const double **p, const double *x, ref_streams *now)
{
    const bool gates = !ref_arch_is(n, "single") && !ref_arch_is(n, "cross_stitch") &&
                       !ref_arch_is(n, "soft");
    const bool levels = ref_arch_is(n, "ple");
    const bool is_mmoe = ref_arch_is(n, "mmoe");
    const int shared = gates ? ref_arch_number(n, "experts", is_mmoe ? 8 : 2) : 0;
    const int own = !gates ? 1 : is_mmoe ? 0 : ref_arch_number(n, "own", 2);
    const int all = shared + ref_tasks(n) * own;
    if (ref_arch_is(n, "adapter")) {
        ref_adapters(n, p, x, now);
        return;
    }
    ref_streams seen, experts;
    *now = (ref_streams){.count = 1, .width = n->inputs};
    memcpy(now->h[0], x, sizeof now->h[0]);
    for (const ref_layer *l = n->trunk; l->activation; l++) {
        const bool is_last = !l[1].activation;
        if (levels || l == n->trunk) {
            seen = *now;
            for (int e = 0; e < all; e++) {
                int from = seen.count == 1 || e < shared ? 0 : 1 + (e - shared) / own;
                memcpy(experts.h[e], seen.h[from], sizeof experts.h[e]);
            }
            experts.count = all;
            experts.width = seen.width;
        }
        for (int e = 0; e < all; e++)
            ref_dense(p, experts.h[e], experts.width, l);
        experts.width = l->units;
        if (ref_arch_is(n, "cross_stitch"))
            ref_stitch(n, p, &experts);
        if (gates && (levels || is_last))
            ref_gates(n, p, &seen, &experts, shared, own, is_last, now);
    }
    if (!gates)
        *now = experts;
}

static inline void ref_arch_forward(const ref_net *n, const double *theta, const double *x, double *z)
{
    ref_streams now;
    ref_features(n, &theta, x, &now);
    for (int t = 0; t < ref_tasks(n); t++) {
        int64_t in = now.width;
        for (const ref_layer *l = n->task[t].head; l->activation; l++)
            in = ref_dense(&theta, now.h[t], in, l);
        ref_dense(&theta, now.h[t], in, &(ref_layer){n->task[t].outputs, "identity"});
        memcpy(z, now.h[t], (size_t)n->task[t].outputs * sizeof *z);
        z += n->task[t].outputs;
    }
}

#endif
