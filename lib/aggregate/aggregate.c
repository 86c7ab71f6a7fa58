/* SPDX-License-Identifier: MIT */
#include "aggregate/aggregate.h"

#include <string.h>

#include "aggregate/aggregate_priv.h"
#include "base/text.h"

/* --- the table -----------------------------------------------------------------------------------
 */

#define END                                                                                        \
    {                                                                                              \
        NULL, 0, 0, 0, NULL                                                                        \
    }
#define PREF                                                                                       \
    {                                                                                              \
        "pref", 0, 1e-6, 1e6, MTL__CHOICE_LIST                                                     \
    }
static const mtl__choice_param
    constant[] = {{"weights", 0, 0, 1e9, MTL__CHOICE_LIST}, END},
    mgda[] = {{"normalise", 0, 0, 2, "none|l2|loss"}, END},
    order[] = {{"order", 0, 0, 3, "seed|mean|ascending|descending"}, END},
    gradvac[] = {{"beta", 0.5, 0, 1, NULL}, END},
    cagrad[] = {{"c", 0.4, 0, 1000, NULL}, {"rescale", 0, 0, 2, MTL__CHOICE_WHOLE}, END},
    nash[] = {{"max_norm", 1, 0, 1e30, NULL}, END},
    fairgrad[] = {{"alpha", 1, 0.1, 100, NULL}, END},
    aligned[] = {{"mode", 0, 0, 2, "min|median|rmse"}, PREF, END}, pref[] = {PREF, END},
    gradnorm[] = {{"alpha", 1.5, 0, 10, NULL}, {"rate", 1, 0, 1, NULL}, END},
    gated[] = {{"main", 0, 0, 1, MTL__CHOICE_LIST}, {"decay", 0.9, 0, 0.9999, NULL}, END},
    a_gem[] = {{"main", 0, 0, 1, MTL__CHOICE_LIST}, END},
    graddrop[] = {{"leak", 0, 0, 1, NULL}, END},
    db[] = {{"beta", 0.9, 0, 1, NULL}, {"sigma", 0, 0, 10, NULL}, END},
    excess[] = {{"eta", 0.01, 0, 1000, NULL}, END}, learned[] = {{"rate", 0.01, 0, 1, NULL}, END},
    dwa[] = {{"temperature", 2, 1e-3, 1e6, NULL}, {"every", 0, 0, 1e9, MTL__CHOICE_WHOLE}, END},
    stch[] = {{"mu", 1, 1e-6, 1e6, NULL}, {"warm_up", 0, 0, 1e9, MTL__CHOICE_WHOLE}, END},
    famo[] = {{"rate", 0.025, 0, 1, NULL}, {"decay", 1e-3, 0, 1, NULL}, END},
    by_folds[] = {{"folds", 5, 2, 20, MTL__CHOICE_WHOLE}, END};

enum {
    LOSSES = MTL__AGG_LOSSES | MTL__AGG_POSITIVE,
    GRAM = MTL__AGG_GRAM,
    JACOBIAN = MTL__AGG_JACOBIAN,
    TRACKS = MTL__AGG_JACOBIAN | MTL__AGG_TRACKS,
    PREF_MEAN = MTL__AGG_PREF_MEAN,
    FEEDBACK = MTL__AGG_FEEDBACK,
};

static const mtl__aggregation rows[] = {
    {{"sum", NULL}, MTL__AGG_PLAIN, mtl__agg_sum, 0, 0, 0},
    {{"mean", NULL}, 0, mtl__agg_mean, 0, 0, 0},
    {{"constant", constant}, 0, mtl__agg_constant, 0, 0, 0},
    {{"rlw", NULL}, 0, mtl__agg_rlw, 0, 0, 0},
    {{"mgda", mgda}, GRAM, mtl__agg_mgda, 0, 0, 0},
    {{"pcgrad", order}, GRAM, mtl__agg_pcgrad, 0, 0, 0},
    {{"gradvac", gradvac}, GRAM, mtl__agg_gradvac, 0, 1, 0},
    {{"cagrad", cagrad}, GRAM, mtl__agg_cagrad, 0, 0, 0},
    {{"imtl_g", NULL}, GRAM, mtl__agg_imtl_g, 0, 0, 0},
    {{"nash", nash}, GRAM, mtl__agg_nash, 0, 0, 0},
    {{"fairgrad", fairgrad}, GRAM, mtl__agg_fairgrad, 0, 0, 0},
    {{"aligned_mtl", aligned}, GRAM | PREF_MEAN, mtl__agg_aligned, 0, 0, 0},
    {{"upgrad", pref}, GRAM | PREF_MEAN, mtl__agg_upgrad, 0, 0, 0},
    {{"dualproj", pref}, GRAM | PREF_MEAN, mtl__agg_dualproj, 0, 0, 0},
    {{"config", pref}, GRAM, mtl__agg_config, 0, 0, 0},
    {{"gradnorm", gradnorm}, GRAM | LOSSES, mtl__agg_gradnorm, 2, 0, 0},
    {{"gated", gated}, GRAM, mtl__agg_gated, 1, 0, 0},
    {{"a_gem", a_gem}, GRAM, mtl__agg_a_gem, 0, 0, 0},
    {{"graddrop", graddrop}, JACOBIAN, mtl__agg_graddrop, 0, 0, 0},
    {{"db_mtl", db}, TRACKS | LOSSES, mtl__agg_db, 1, 0, 1},
    {{"excess_mtl", excess}, TRACKS, mtl__agg_excess, 2, 0, 1},
    {{"uw", learned}, MTL__AGG_LOSSES, mtl__agg_uw, 4, 0, 0},
    {{"dwa", dwa}, LOSSES, mtl__agg_dwa, 4, 0, 0},
    {{"gls", NULL}, LOSSES, mtl__agg_gls, 0, 0, 0},
    {{"imtl_l", learned}, MTL__AGG_LOSSES, mtl__agg_imtl_l, 4, 0, 0},
    {{"stch", stch}, LOSSES, mtl__agg_stch, 2, 0, 0},
    {{"famo", famo}, LOSSES | FEEDBACK, mtl__agg_famo, 5, 0, 0},
    {{"auto", by_folds}, MTL__AGG_CHOICE, NULL, 0, 0, 0},
};

const mtl__choice_table mtl__aggregate_table = MTL__CHOICE_TABLE("aggregation", rows);

int32_t mtl__aggregation_uses(const mtl__choice *choice)
{
    const mtl__aggregation *row = choice->row;
    return row->uses | (row->choice.param == mgda && choice->value[0] == 2 ? LOSSES : 0);
}

/* --- parameters ----------------------------------------------------------------------------------
 */

/* The list among the parameters of a choice, NULL = none given. */
static const char *list_of(const mtl__choice *choice, const char *kind)
{
    const mtl__aggregation *row = choice->row;
    for (int i = 0; row->choice.param && row->choice.param[i].key; i++) {
        const char *texts = row->choice.param[i].texts;
        if (texts && *texts == *MTL__CHOICE_LIST && choice->value[i] > 0)
            return kind + (int64_t)choice->value[i];
    }
    return NULL;
}

enum { MOST_FOR_ALL_ORDERS = 10, MOST_FOR_GRAM = 2048 };

mtl_status mtl__aggregator_check(const mtl__choice *choice, const char *kind, int64_t m,
                                 mtl_error *err)
{
    const mtl__aggregation *row = choice->row;
    const char *list = list_of(choice, kind);
    double value, sum = 0;
    int64_t count = 0;
    if (!row->fn)
        return MTL_FAIL(err, MTL_ERR_INVALID,
                        "\"%s\" is chosen by fits of candidates: mtl_fit() alone does that",
                        row->choice.name);
    if (m > MOST_FOR_GRAM && (row->uses & GRAM))
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: %lld tasks are too many, at most %d",
                        row->choice.name, (long long)m, MOST_FOR_GRAM);
    for (; list && mtl__choice_next(&list, &value); count++)
        sum += value;
    if (count && count != m)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: %lld numbers are listed for %lld tasks",
                        row->choice.name, (long long)count, (long long)m);
    if (count && !(sum > 0))
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: all numbers of the list are 0", row->choice.name);
    if (row->choice.param == order && choice->value[0] == 1 && m > MOST_FOR_ALL_ORDERS)
        return MTL_FAIL(err, MTL_ERR_RANGE, "%s: all orders of %lld tasks are too many, at most %d",
                        row->choice.name, (long long)m, MOST_FOR_ALL_ORDERS);
    return MTL_OK;
}

/* --- memory --------------------------------------------------------------------------------------
 */

static double *take(mtl__arena *arena, int64_t count)
{
    return mtl__arena_take(arena, count, sizeof(double));
}

/* Products whose overflow the arena is to see. */
static int64_t product(mtl__arena *arena, int64_t x, int64_t y)
{
    int64_t count = 0;
    if (!mtl__mul_size(x, y, &count) || count > INT64_MAX / 64)
        arena->overflow = true;
    return arena->overflow ? 0 : count;
}

static void plan_qp(struct mtl_aggregator *a, mtl__arena *arena)
{
    const int64_t m = a->m, pairs = product(arena, m, m);
    mtl__qp *q = a->qp = mtl__arena_take(arena, 1, sizeof *q);
    mtl__qp plan = {.b = take(arena, m),
                    .x = take(arena, m),
                    .set = mtl__arena_take(arena, m, sizeof(int64_t)),
                    .is_free = mtl__arena_take(arena, m, sizeof(bool)),
                    .is_shut = mtl__arena_take(arena, m, sizeof(bool)),
                    .factor = take(arena, pairs),
                    .slope = take(arena, m),
                    .z = take(arena, m)};
    if (q)
        *q = plan;
}

void mtl__aggregator_plan(struct mtl_aggregator *a, const mtl__choice *choice, const char *kind,
                          int64_t m, int64_t n, uint64_t seed, mtl__arena *arena)
{
    const mtl__aggregation *row = choice->row;
    const int64_t pairs = product(arena, m, m);
    a->row = row;
    a->choice = *choice;
    a->kind = kind;
    a->m = m;
    a->n = n;
    a->seed = seed;
    a->epoch_steps = row->choice.param == dwa ? (int64_t)choice->value[1] : 0;
    a->states = row->per_task * m + row->per_pair * pairs;
    if (row->per_value)
        a->states += product(arena, m, n);
    a->state = take(arena, a->states);
    const char *list = list_of(choice, kind);
    a->pref = list ? take(arena, m) : NULL;
    for (int64_t i = 0; a->pref && i < m; i++)
        mtl__choice_next(&list, &a->pref[i]);
    a->live = mtl__arena_take(arena, m, sizeof *a->live);
    a->norm = take(arena, m);
    a->loss = take(arena, m);
    a->part = take(arena, m);
    a->w = take(arena, m);
    a->work = take(arena, 16 * m + (row->uses & GRAM ? 2 * pairs : 0));
    if (row->uses & GRAM) {
        a->gram = take(arena, pairs);
        a->unit = take(arena, pairs);
        plan_qp(a, arena);
    }
}

void mtl__aggregator_reset(struct mtl_aggregator *a)
{
    a->step = 0;
    memset(a->state, 0, (size_t)a->states * sizeof *a->state);
}

mtl_status mtl__aggregator_create(const char *kind, int64_t m, int64_t n, uint64_t seed,
                                  const mtl__allocator *al, struct mtl_aggregator **out,
                                  mtl_error *err)
{
    mtl_error why = {0};
    mtl__choice choice;
    mtl__arena arena = {0};
    struct mtl_aggregator *a = NULL, plan = {0};
    mtl_status st;
    /* The name alone first: no such kind, or a parameter that it does not take? */
    if (mtl__choice_parse(&mtl__aggregate_table, kind, (int64_t)strcspn(kind, ":"), &choice, &why))
        return MTL_FAIL(err, MTL_ERR_NAME, "%s", why.message);
    MTL_TRY(st, mtl__choice_parse(&mtl__aggregate_table, kind, -1, &choice, err), done);
    MTL_TRY(st, mtl__aggregator_check(&choice, kind, m, err), done);

    const int64_t length = (int64_t)strlen(kind) + 1;
    a = mtl__arena_take(&arena, 1, sizeof *a);
    char *text = mtl__arena_take(&arena, length, 1);
    mtl__aggregator_plan(&plan, &choice, kind, m, n, seed, &arena);
    if (!mtl__arena_reserve(&arena, al))
        return MTL_FAIL(err, MTL_ERR_NOMEM, "no memory to aggregate %lld tasks", (long long)m);
    a = mtl__arena_take(&arena, 1, sizeof *a);
    text = mtl__arena_take(&arena, length, 1);
    memcpy(text, kind, (size_t)length);
    mtl__aggregator_plan(a, &choice, text, m, n, seed, &arena);
    a->arena = arena;
    *out = a;
done:
    return st;
}

void mtl__aggregator_destroy(struct mtl_aggregator *a, const mtl__allocator *al)
{
    if (!a)
        return;
    mtl__arena arena = a->arena; /* a itself lies in it */
    mtl__arena_release(&arena, al);
}

/* --- one step ------------------------------------------------------------------------------------
 */

/* "task 3", or "task 3 (NAME)". */
static const char *name_of(const mtl__agg_step *s, int64_t i)
{
    return s->names ? s->names[i] : "";
}

static mtl_status check_loss(const struct mtl_aggregator *a, const mtl__agg_step *s, int64_t i,
                             mtl_error *err)
{
    const double loss = s->losses[i];
    const bool positive = mtl__aggregation_uses(&a->choice) & MTL__AGG_POSITIVE;
    if (isfinite(loss) && !(positive && loss < 0))
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_VALUE, "%s: the loss of task %lld%s%s is %s%s",
                    a->row->choice.name, (long long)i, s->names ? ", " : "", name_of(s, i),
                    mtl__num(loss).text, positive ? "; it must not be below 0" : "");
}

static mtl_status check_rows(const struct mtl_aggregator *a, const mtl__agg_step *s, int64_t i,
                             mtl_error *err)
{
    const float *row = s->rows + i * s->row_stride;
    for (int64_t j = 0; j < a->n; j++)
        if (!isfinite(row[j]))
            return MTL_FAIL(err, MTL_ERR_VALUE, "jacobian: row %lld, column %lld is %s",
                            (long long)i, (long long)j, mtl__num((double)row[j]).text);
    return MTL_OK;
}

/* a->live = the tasks that take part; NaN losses are of tasks that do not. */
static mtl_status find_live(struct mtl_aggregator *a, const mtl__agg_step *s, int64_t *count,
                            mtl_error *err)
{
    const bool wants_losses = mtl__aggregation_uses(&a->choice) & MTL__AGG_LOSSES;
    mtl_status st = MTL_OK;
    int64_t k = 0;
    if (wants_losses && !s->losses)
        return MTL_FAIL(err, MTL_ERR_INVALID, "%s needs the losses", a->row->choice.name);
    for (int64_t i = 0; i < a->m && st == MTL_OK; i++) {
        if (s->losses && isnan(s->losses[i]))
            continue;
        if (wants_losses)
            st = check_loss(a, s, i, err);
        if (s->rows && st == MTL_OK)
            st = check_rows(a, s, i, err);
        a->loss[k] = s->losses ? s->losses[i] : 0;
        a->live[k++] = i;
    }
    *count = k;
    return st;
}

static mtl_status check_entry(double x, double y, double most, int64_t i, int64_t j, mtl_error *err)
{
    if (isfinite(x) && fabs(x - y) <= 1e-6 * most && fabs(x) <= (1 + 1e-6) * most)
        return MTL_OK;
    return MTL_FAIL(
        err, MTL_ERR_VALUE, "gram: [%lld, %lld] is %s, [%lld, %lld] is %s: this is no Gramian",
        (long long)i, (long long)j, mtl__num(x).text, (long long)j, (long long)i, mtl__num(y).text);
}

/* The Gramian of the live tasks to the front of a->gram and, of rows scaled to length 1, a->unit.
   Rows of zeroes are left out. */
static mtl_status take_gram(struct mtl_aggregator *a, const double *gram, int64_t stride,
                            int64_t *count, mtl_error *err)
{
    int64_t k = 0;
    for (int64_t i = 0; i < *count; i++) {
        const int64_t task = a->live[i];
        const double square = gram[task * stride + task];
        if (!(square >= 0 && isfinite(square)))
            return check_entry(square, square, square, task, task, err);
        a->loss[k] = a->loss[i];
        a->norm[k] = sqrt(square);
        a->live[k] = task;
        k += square > 0;
    }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            const int64_t p = a->live[i], q = a->live[j];
            const double x = gram[p * stride + q], y = gram[q * stride + p];
            mtl_status st = check_entry(x, y, a->norm[i] * a->norm[j], p, q, err);
            if (st != MTL_OK)
                return st;
            const double cosine =
                i == j ? 1 : mtl__max_f64(-1, mtl__min_f64(1, x / a->norm[i] / a->norm[j]));
            a->unit[i * k + j] = a->unit[j * k + i] = cosine;
        }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++)
            a->gram[i * k + j] = a->unit[i * k + j] * a->norm[i] * a->norm[j];
    *count = k;
    return MTL_OK;
}

static void apply(const struct mtl_aggregator *a, const mtl__agg_step *s, int64_t k, float *update)
{
    for (int64_t j = 0; j < a->n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++)
            sum += a->w[i] * (double)s->rows[a->live[i] * s->row_stride + j];
        update[j] = (float)sum;
    }
}

mtl_status mtl__aggregator_run(struct mtl_aggregator *a, const mtl__agg_step *s, double *weights,
                               float *update, double *residual, mtl_error *err)
{
    int64_t k;
    mtl_status st = find_live(a, s, &k, err);
    if (st == MTL_OK && (a->row->uses & GRAM)) {
        if (s->rows)
            mtl__gram(a->m, a->n, s->rows, s->row_stride, a->gram);
        if (s->rows || s->gram)
            st = take_gram(a, s->rows ? a->gram : s->gram, s->rows ? a->m : s->gram_stride, &k, err);
        else
            k = 0; /* rows without columns are rows of zeroes */
    }
    if (st != MTL_OK)
        return st;
    for (int64_t i = 0; i < k; i++) {
        const double one = a->row->uses & PREF_MEAN ? 1 / (double)k : 1;
        a->part[i] = a->pref ? a->pref[a->live[i]] : one;
        a->w[i] = 0;
    }
    if (a->qp)
        a->qp->k = k;
    mtl__agg p = {a,       k,    a->live, a->gram, a->unit, a->norm,       a->loss,
                  a->part, a->w, 0,       a->work, s->rows, s->row_stride, update};
    for (int64_t j = 0; update && k == 0 && j < a->n; j++)
        update[j] = 0;
    if (k > 0)
        a->row->fn(&p);
    for (int64_t i = 0; weights && i < a->m; i++)
        weights[i] = 0;
    for (int64_t i = 0; weights && i < k; i++)
        weights[a->live[i]] = a->w[i];
    if (update && k > 0 && !(a->row->uses & JACOBIAN))
        apply(a, s, k, update);
    if (residual)
        *residual = p.residual;
    a->step++;
    return MTL_OK;
}
