/* SPDX-License-Identifier: MIT */
#include "aggregate/grouping.h"

#include <math.h>

enum { MOST_EXACT = 12 };

typedef struct grouping {
    int64_t n, most;
    const double *a;
    int64_t ld;
    int64_t *group; /* [n] */
} grouping;

/* What two tasks are to a group that has both. */
static double pair(const grouping *p, int64_t i, int64_t j)
{
    return p->a[i * p->ld + j] + p->a[j * p->ld + i];
}

/* Of a group of so many tasks from the sum of its pairs; `sum` of the tasks' numbers is the task
   itself where it is alone. */
static double score_of(const grouping *p, int64_t size, double pairs, int64_t sum)
{
    if (size < 2)
        return size ? p->a[sum * p->ld + sum] : 0;
    return pairs / (double)(size - 1);
}

static double total(const grouping *p)
{
    double score = 0;
    for (int64_t g = 0; g < p->n; g++) {
        double pairs = 0;
        int64_t size = 0, sum = 0;
        for (int64_t i = 0; i < p->n; i++) {
            if (p->group[i] != g)
                continue;
            for (int64_t j = 0; j < i; j++)
                pairs += p->group[j] == g ? pair(p, i, j) : 0;
            size++;
            sum += i;
        }
        score += score_of(p, size, pairs, sum);
    }
    return score;
}

/* --- exactly: a set of tasks is a number, bit i = task i ----------------------------------------- */

typedef struct subsets {
    double *value; /* [2^n]: score of the set as one group */
    double *best;  /* [most + 1, 2^n]: of the set in so many groups, -infinity where it cannot be */
} subsets;

static void score_sets(const grouping *p, double *value)
{
    const int64_t sets = (int64_t)1 << p->n;
    value[0] = 0;
    for (int64_t s = 1; s < sets; s++) {
        int64_t low = 0;
        while (!(s >> low & 1))
            low++;
        value[s] = value[s & (s - 1)];
        for (int64_t j = low + 1; j < p->n; j++)
            value[s] += s >> j & 1 ? pair(p, low, j) : 0;
    }
    for (int64_t s = 1; s < sets; s++) {
        int64_t size = 0, sum = 0;
        for (int64_t i = 0; i < p->n; i++)
            if (s >> i & 1) {
                size++;
                sum += i;
            }
        value[s] = score_of(p, size, value[s], sum);
    }
}

/* The best first group of set s, the one with its lowest task, when the others make k - 1 groups. */
static int64_t first_group(const subsets *x, int64_t n, int64_t k, int64_t s, double *score)
{
    const double *rest = x->best + (k - 1) * ((int64_t)1 << n);
    const int64_t low = s & -s, others = s ^ low;
    int64_t best = 0;
    *score = -(double)INFINITY;
    for (int64_t part = others;; part = (part - 1) & others) {
        const double value = x->value[part | low] + rest[others ^ part];
        if (value > *score) {
            *score = value;
            best = part | low;
        }
        if (part == 0)
            return best;
    }
}

static void take_subsets(const grouping *p, mtl__arena *arena, subsets *x)
{
    const int64_t sets = (int64_t)1 << p->n;
    x->value = mtl__arena_take(arena, sets, sizeof *x->value);
    x->best = mtl__arena_take(arena, (p->most + 1) * sets, sizeof *x->best);
}

static void group_exactly(const grouping *p, const subsets *x)
{
    const int64_t sets = (int64_t)1 << p->n;
    int64_t k = 1, s = sets - 1;
    double score;
    score_sets(p, x->value);
    for (int64_t i = 0; i < sets; i++)
        x->best[i] = i ? -(double)INFINITY : 0;
    for (int64_t i = 1; i <= p->most; i++) {
        x->best[i * sets] = -(double)INFINITY;
        for (int64_t set = 1; set < sets; set++)
            first_group(x, p->n, i, set, &x->best[i * sets + set]);
        k = x->best[i * sets + s] > x->best[k * sets + s] ? i : k;
    }
    for (int64_t g = 0; s; g++, k--) {
        const int64_t part = first_group(x, p->n, k, s, &score);
        for (int64_t i = 0; i < p->n; i++)
            if (part >> i & 1)
                p->group[i] = g;
        s ^= part;
    }
}

/* --- by merging groups, then moving tasks -------------------------------------------------------- */

typedef struct search {
    int64_t *size, *sum; /* [n]: of each group, of numbers of its tasks */
    double *pairs;       /* [n] */
    double *link;        /* [n, n]: pairs between groups, then of tasks with groups */
    int64_t groups;
    double least; /* what an improvement has to be above */
} search;

static void take_search(const grouping *p, mtl__arena *arena, search *x)
{
    x->size = mtl__arena_take(arena, p->n, sizeof *x->size);
    x->sum = mtl__arena_take(arena, p->n, sizeof *x->sum);
    x->pairs = mtl__arena_take(arena, p->n, sizeof *x->pairs);
    x->link = mtl__arena_take(arena, p->n, p->n * (int64_t)sizeof *x->link);
}

static double group_score(const grouping *p, const search *x, int64_t g)
{
    return score_of(p, x->size[g], x->pairs[g], x->sum[g]);
}

static void start_alone(const grouping *p, search *x)
{
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        p->group[i] = x->sum[i] = i;
        x->size[i] = 1;
        x->pairs[i] = 0;
        for (int64_t j = 0; j < p->n; j++) {
            x->link[i * p->n + j] = i == j ? 0 : pair(p, i, j);
            sum += fabs(p->a[i * p->ld + j]);
        }
    }
    x->groups = p->n;
    x->least = 1e-12 * sum;
}

static double merger_gain(const grouping *p, const search *x, int64_t g, int64_t h)
{
    return score_of(p, x->size[g] + x->size[h],
                    x->pairs[g] + x->pairs[h] + x->link[g * p->n + h], 0) -
           group_score(p, x, g) - group_score(p, x, h);
}

/* Group h becomes part of group g. */
static void merge(const grouping *p, search *x, int64_t g, int64_t h)
{
    x->pairs[g] += x->pairs[h] + x->link[g * p->n + h];
    x->size[g] += x->size[h];
    x->sum[g] += x->sum[h];
    x->size[h] = 0;
    x->groups--;
    for (int64_t i = 0; i < p->n; i++) {
        x->link[g * p->n + i] += x->link[h * p->n + i];
        x->link[i * p->n + g] = x->link[g * p->n + i];
        p->group[i] = p->group[i] == h ? g : p->group[i];
    }
}

/* The two groups whose merger gains most, as long as there are too many or it gains at all. */
static bool merge_best(const grouping *p, search *x)
{
    int64_t best_g = -1, best_h = -1;
    double best = 0;
    for (int64_t g = 0; g < p->n; g++)
        for (int64_t h = g + 1; h < p->n && x->size[g]; h++) {
            if (!x->size[h])
                continue;
            const double gain = merger_gain(p, x, g, h);
            if (best_g < 0 || gain > best) {
                best = gain;
                best_g = g;
                best_h = h;
            }
        }
    if (best_g < 0 || (x->groups <= p->most && !(best > x->least)))
        return false;
    merge(p, x, best_g, best_h);
    return true;
}

static void link_tasks(const grouping *p, search *x)
{
    for (int64_t i = 0; i < p->n; i++) {
        for (int64_t g = 0; g < p->n; g++)
            x->link[i * p->n + g] = 0;
        for (int64_t j = 0; j < p->n; j++)
            x->link[i * p->n + p->group[j]] += i == j ? 0 : pair(p, i, j);
    }
}

/* What a task's move gains. */
static double move_gain(const grouping *p, const search *x, int64_t i, int64_t to)
{
    const int64_t g = p->group[i];
    const double *link = x->link + i * p->n;
    return score_of(p, x->size[to] + 1, x->pairs[to] + link[to], x->sum[to] + i) +
           score_of(p, x->size[g] - 1, x->pairs[g] - link[g], x->sum[g] - i) -
           group_score(p, x, to) - group_score(p, x, g);
}

static void move(const grouping *p, search *x, int64_t i, int64_t to)
{
    const int64_t g = p->group[i];
    x->pairs[to] += x->link[i * p->n + to];
    x->pairs[g] -= x->link[i * p->n + g];
    x->groups += (x->size[to] == 0) - (x->size[g] == 1);
    x->size[to]++, x->size[g]--;
    x->sum[to] += i, x->sum[g] -= i;
    p->group[i] = to;
    for (int64_t j = 0; j < p->n; j++) {
        x->link[j * p->n + to] += j == i ? 0 : pair(p, i, j);
        x->link[j * p->n + g] -= j == i ? 0 : pair(p, i, j);
    }
}

/* The move of one task, to another group or to one of its own, that gains most. */
static bool move_best(const grouping *p, search *x)
{
    int64_t best_i = -1, best_to = -1, empty = 0;
    double best = x->least;
    while (empty < p->n && x->size[empty])
        empty++;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t to = 0; to < p->n; to++) {
            const bool is_new = to == empty && x->groups < p->most && x->size[p->group[i]] > 1;
            if (to == p->group[i] || (!x->size[to] && !is_new))
                continue;
            const double gain = move_gain(p, x, i, to);
            if (gain > best) {
                best = gain;
                best_i = i;
                best_to = to;
            }
        }
    if (best_i >= 0)
        move(p, x, best_i, best_to);
    return best_i >= 0;
}

static void group_by_search(const grouping *p, search *x)
{
    start_alone(p, x);
    while (merge_best(p, x))
        ;
    link_tasks(p, x);
    while (move_best(p, x))
        ;
}

/* --- the call ------------------------------------------------------------------------------------ */

/* Groups by their first tasks: 0, 1, ... ; number [n] is work. */
static void renumber(const grouping *p, int64_t *number)
{
    int64_t groups = 0;
    for (int64_t i = 0; i < p->n; i++)
        number[i] = -1;
    for (int64_t i = 0; i < p->n; i++) {
        int64_t *of = &number[p->group[i]];
        if (*of < 0)
            *of = groups++;
        p->group[i] = *of;
    }
}

mtl_status mtl__task_groups(int64_t tasks, const double *affinity, int64_t stride, int64_t most,
                            int64_t *group, double *score, const mtl__allocator *al,
                            mtl_error *err)
{
    grouping p = {tasks, most, affinity, stride, NULL};
    const bool is_exact = tasks <= MOST_EXACT;
    mtl__arena arena = {0};
    subsets sets;
    search near;
    int64_t *number = NULL;
    for (int pass = 0; pass < 2; pass++) {
        p.group = mtl__arena_take(&arena, tasks, sizeof *p.group);
        number = mtl__arena_take(&arena, tasks, sizeof *number);
        if (is_exact)
            take_subsets(&p, &arena, &sets);
        else
            take_search(&p, &arena, &near);
        if (pass == 0 && !mtl__arena_reserve_raw(&arena, al))
            return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory for groups of %lld tasks",
                            (long long)tasks);
    }
    if (is_exact)
        group_exactly(&p, &sets);
    else
        group_by_search(&p, &near);
    renumber(&p, number);
    for (int64_t i = 0; i < tasks; i++)
        group[i] = p.group[i];
    if (score)
        *score = total(&p);
    mtl__arena_release(&arena, al);
    return MTL_OK;
}
