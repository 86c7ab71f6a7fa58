/* SPDX-License-Identifier: MIT */
#include "train/sampler.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"
#include "rng/rng.h"

/* ---- Rules ---- */

/* Strata of a rule; the last one is of rows that belong to none. */
struct mtl__sampling_row {
    mtl__choice_row choice;
    int64_t (*strata)(const mtl__sampling *rule, const mtl_model *m);
    int64_t (*stratum)(const mtl__sampling *rule, const mtl__binding *b, int64_t row);
    /* Shares of the strata to share [strata], up to a factor; stratum k has start[k + 1] - start[k]
       rows. */
    void (*shares)(const mtl__sampling *rule, const int64_t *start, int64_t strata, double *share);
    mtl_status (*resolve)(mtl__sampling *rule, const mtl__binding *b, const mtl_model *m,
                          const mtl__choice *choice, const char *text, mtl_error *err);
};

static int64_t count_classes(const mtl__sampling *rule, const mtl_model *m)
{
    const mtl__task_spec *t = &m->spec->task[rule->task];
    return (t->kind == MTL_BINARY ? 2 : t->outputs) + 1;
}

static int64_t class_of(const mtl__sampling *rule, const mtl__binding *b, int64_t row)
{
    float y = *mtl__array_row(&b->data->labels[b->label[rule->task]].y, row);
    return isnan(y) ? -1 : (int64_t)y;
}

/* Rows without the label keep their places; the classes that are there have equal shares of the
   others. */
static void share_equally(const mtl__sampling *rule, const int64_t *start, int64_t strata,
                          double *share)
{
    (void)rule;
    const int64_t last = strata - 1, rows = start[last];
    int64_t classes = 0;
    for (int64_t k = 0; k < last; k++)
        classes += start[k + 1] > start[k];
    for (int64_t k = 0; k < last; k++)
        share[k] = start[k + 1] > start[k] ? (double)rows / (double)classes : 0;
    share[last] = (double)(start[strata] - rows);
}

/* The first task of the model with classes and labels. */
static int64_t first_task(const mtl__binding *b, const mtl_model *m)
{
    for (int64_t t = 0; t < m->net.tasks; t++) {
        int32_t kind = m->spec->task[t].kind;
        if (b->label[t] >= 0 && (kind == MTL_BINARY || kind == MTL_MULTICLASS))
            return t;
    }
    return -1;
}

static int64_t find_task(const mtl_model *m, const char *name)
{
    int64_t t = m->net.tasks - 1;
    while (t >= 0 && strcmp(m->spec->task[t].name, name) != 0)
        t--;
    return t;
}

static bool has_row_label(const mtl__binding *b, int64_t task, int64_t row)
{
    if (b->label[task] < 0)
        return false;
    const mtl__labels *l = &b->data->labels[b->label[task]];
    const float *y = mtl__array_row(&l->y, row);
    int64_t j = 0;
    while (j < l->cols && isnan(y[j]))
        j++;
    return j < l->cols;
}

static mtl_status resolve_balanced(mtl__sampling *rule, const mtl__binding *b, const mtl_model *m,
                                   const mtl__choice *choice, const char *text, mtl_error *err)
{
    int64_t length = (int64_t)choice->value[0], row = 0;
    const char *name = text + strlen(text) - length;
    rule->task = length ? find_task(m, name) : first_task(b, m);
    if (rule->task < 0)
        return MTL_FAIL(err, MTL_ERR_NAME, "sampling \"balanced\": the model has no task %s%.64s%s",
                        length ? "\"" : "with classes that has labels", length ? name : "",
                        length ? "\"" : "");
    const mtl__task_spec *t = &m->spec->task[rule->task];
    if (t->kind != MTL_BINARY && t->kind != MTL_MULTICLASS)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "sampling \"balanced\": task \"%.64s\" is neither binary nor multiclass",
                        t->name);
    while (row < b->data->rows && !has_row_label(b, rule->task, row))
        row++;
    if (row == b->data->rows)
        return MTL_FAIL(err, MTL_ERR_DATA, "sampling \"balanced\": task \"%.64s\" has no label",
                        t->name);
    return MTL_OK;
}

static int64_t count_tasks(const mtl__sampling *rule, const mtl_model *m)
{
    (void)rule;
    return m->net.tasks + 1;
}

static int64_t task_of(const mtl__sampling *rule, const mtl__binding *b, int64_t row)
{
    (void)rule;
    for (int64_t t = 0; t < b->tasks; t++)
        if (has_row_label(b, t, row))
            return t;
    return -1;
}

static void share_by_power(const mtl__sampling *rule, const int64_t *start, int64_t strata,
                           double *share)
{
    for (int64_t k = 0; k < strata - 1; k++) {
        double n = (double)(start[k + 1] - start[k]);
        if (rule->limit > 0 && n > rule->limit)
            n = rule->limit;
        if (n > 0 && rule->power < 1)
            n = rule->power > 0 ? mtl__exp_f64(rule->power * mtl__log_f64(n)) : 1;
        share[k] = n;
    }
    share[strata - 1] = 0;
}

enum { MIX_PROPORTIONAL, MIX_SQRT, MIX_UNIFORM, MIX_TEMPERATURE };
enum { PARAM_MIX, PARAM_T, PARAM_LIMIT };

static mtl_status resolve_tasks(mtl__sampling *rule, const mtl__binding *b, const mtl_model *m,
                                const mtl__choice *choice, const char *text, mtl_error *err)
{
    (void)text;
    const double powers[] = {1, 0.5, 0, 1 / choice->value[PARAM_T]};
    rule->power = powers[(int)choice->value[PARAM_MIX]];
    rule->limit = choice->value[PARAM_LIMIT];
    for (int64_t row = 0; row < b->data->rows; row++) {
        int64_t first = task_of(rule, b, row), t = first + 1;
        while (first >= 0 && t < b->tasks && !has_row_label(b, t, row))
            t++;
        if (first >= 0 && t < b->tasks)
            return MTL_FAIL(
                err, MTL_ERR_VALUE,
                "sampling \"tasks\" needs rows of one task each: row %lld has labels of "
                "\"%.64s\" and \"%.64s\"",
                (long long)row, m->spec->task[first].name, m->spec->task[t].name);
    }
    return MTL_OK;
}

static const mtl__choice_param balanced_params[] = {{"task", 0, 0, 0, MTL__CHOICE_TEXT}, {0}};
static const mtl__choice_param tasks_params[] = {
    {"mix", MIX_PROPORTIONAL, 0, 0, "proportional|sqrt|uniform|temperature"},
    {"t", 2, 1, 1e6, NULL},
    {"limit", 0, 0, 1e15, NULL},
    {0}};

static const mtl__sampling_row rows[] = {
    {{"shuffle", NULL}, NULL, NULL, NULL, NULL},
    {{"balanced", balanced_params}, count_classes, class_of, share_equally, resolve_balanced},
    {{"tasks", tasks_params}, count_tasks, task_of, share_by_power, resolve_tasks},
};

const mtl__choice_table mtl__samplings = MTL__CHOICE_TABLE("sampling", rows);

mtl_status mtl__sampling_resolve(const mtl__binding *b, const mtl_model *m,
                                 const mtl__choice *choice, const char *text, mtl__sampling *out,
                                 mtl_error *err)
{
    const mtl__sampling_row *row = choice->row;
    *out = (mtl__sampling){0};
    if (!row->resolve)
        return MTL_OK;
    out->row = row;
    return row->resolve(out, b, m, choice, text, err);
}

/* ---- Strata ---- */

static int64_t stratum_of(const mtl__sampler *s, const mtl__sampling *rule, const mtl__binding *b,
                          int64_t row)
{
    int64_t k = rule->row->stratum(rule, b, row);
    return k < 0 ? s->strata - 1 : k;
}

/* Counting sort; start[k + 1] first counts the rows of k, then runs through their places. */
static void sort_rows(mtl__sampler *s, const mtl__sampling *rule, const mtl__binding *b)
{
    const int64_t n = b->data->rows;
    memset(s->start, 0, (size_t)(s->strata + 1) * sizeof *s->start);
    for (int64_t i = 0; i < n; i++)
        s->start[stratum_of(s, rule, b, i)]++;
    int64_t at = 0;
    for (int64_t k = 0; k <= s->strata; k++) {
        int64_t size = s->start[k];
        s->start[k] = at;
        at += size;
    }
    for (int64_t i = 0; i < n; i++)
        s->rows[s->start[stratum_of(s, rule, b, i)]++] = i;
    memmove(s->start + 1, s->start, (size_t)s->strata * sizeof *s->start);
    s->start[0] = 0;
}

/* Running sums of the shares, as places. From the last stratum with a share on they are exactly the
   number of rows, whatever was rounded before. */
static void set_edges(mtl__sampler *s, const mtl__sampling *rule, int64_t places)
{
    double *share = s->edge + 1, sum = 0, total = 0;
    int64_t last = 0;
    rule->row->shares(rule, s->start, s->strata, share);
    for (int64_t k = 0; k < s->strata; k++) {
        total += share[k];
        if (share[k] > 0)
            last = k;
    }
    s->edge[0] = 0;
    for (int64_t k = 0; k < s->strata; k++) {
        sum += share[k];
        s->edge[k + 1] = k < last ? (double)places * (sum / total) : (double)places;
    }
}

void mtl__sampler_plan(mtl__sampler *s, const mtl__sampling *rule, const mtl__binding *b,
                       const mtl_model *m, mtl__arena *arena)
{
    const int64_t n = b->data->rows;
    *s = (mtl__sampler){.strata = rule->row->strata(rule, m)};
    s->start = mtl__arena_take(arena, s->strata + 1, sizeof *s->start);
    s->edge = mtl__arena_take(arena, s->strata + 1, sizeof *s->edge);
    s->rows = mtl__arena_take(arena, n, sizeof *s->rows);
    if (!s->rows)
        return;
    sort_rows(s, rule, b);
    set_edges(s, rule, n);
}

/* ---- Draws ---- */

/* `take` of count rows without repeats, every choice equally likely (Knuth, The Art of Computer
   Programming, volume 2, 3.4.2, algorithm S). */
static void choose(mtl__rng *r, const int64_t *from, int64_t count, int64_t take, int64_t *to)
{
    for (int64_t i = 0, left = take; left > 0; i++)
        if (mtl__rng_below(r, count - i) < left) {
            *to++ = from[i];
            left--;
        }
}

/* Systematic sampling over the strata from a random start: each has floor or ceil of its expected
   places, and in the mean of all rounds exactly those. Within a stratum rows come all equally
   often, give or take one. */
void mtl__sampler_draw(const mtl__sampler *s, uint64_t seed, int64_t round, int64_t *order)
{
    mtl__rng r = mtl__rng_make(seed, MTL__RNG_SAMPLE, (uint32_t)round);
    const double phase = mtl__rng_f64(&r);
    const int64_t places = s->start[s->strata];
    int64_t at = 0;
    for (int64_t k = 0; k < s->strata; k++) {
        /* The sum may be rounded up to the next whole number. */
        const int64_t end = mtl__min(places, (int64_t)(s->edge[k + 1] + phase)),
                      count = s->start[k + 1] - s->start[k];
        const int64_t *from = s->rows + s->start[k];
        for (; end - at >= count && count > 0; at += count)
            memcpy(order + at, from, (size_t)count * sizeof *order);
        choose(&r, from, count, end - at, order + at);
        at = end;
    }
    mtl__rng_shuffle(&r, order, at);
}
