/* SPDX-License-Identifier: MIT */
/* Losses against PyTorch and scikit-learn (tests/golden/make_losses.py), and what holds for all of them:
   the same bits at every level, in place, beside other columns; finite for any output; links that give
   what they promise. */
#include "testing.h"

#include "../golden/losses.h"
#include "loss/loss.h"

enum { ROWS = GOLDEN_LOSS_ROWS, MOST = 40, CASES = MTL__COUNT_OF(golden_losses) };

typedef struct chosen {
    const mtl__loss *row;
    double param[MTL__CHOICE_PARAMS];
} chosen;

static chosen choose(const char *text, int32_t kind)
{
    chosen c;
    assert_ok(mtl__loss_choose(text, "t", kind, &c.row, c.param, NULL));
    return c;
}

static uint64_t state = 1;

static float unit(void) /* in [-1, 1) */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(uint32_t)(state >> 33) / 1073741824.0f - 1;
}

/* A batch of a golden case's shape. z and g have `gap` columns more. */
typedef struct batch {
    int64_t rows, outputs, labels, gap;
    const float *y, *w, *list;
    float scale;
    float *z, *g; /* [rows, outputs + gap] */
} batch;

/* Sum of weight * loss; the gradient to b->g if it is there. */
static double run(const mtl__vec *v, const chosen *c, const batch *b)
{
    float work[MTL__COLUMNS_WORK * MOST], scale[MOST], sums[MOST];
    const int64_t ld = b->outputs + b->gap;
    double sum = 0;
    if (!mtl__loss_is_by_columns(c->row)) {
        const mtl__rows_args a = {b->rows, b->outputs, b->z, ld, b->y, b->w, b->scale, b->g, ld, c->param, b->list};
        return mtl__loss_rows(v, c->row, &a);
    }
    for (int64_t j = 0; j < b->outputs; j++)
        scale[j] = b->scale;
    const mtl__columns a = {b->rows, b->outputs, b->z, ld, b->y, b->w, scale, b->g, ld, sums, work};
    mtl__loss_columns(v, c->row, c->param, &a);
    for (int64_t j = 0; j < b->outputs; j++)
        sum += (double)sums[j];
    return sum;
}

static const mtl__vec *best(void)
{
    return mtl__vec_table(mtl__cpu_choose("auto"));
}

START_TEST(golden)
{
    for (int i = 0; i < CASES; i++) {
        const struct golden_loss *t = &golden_losses[i];
        float z[ROWS * MOST], g[ROWS * MOST];
        const int64_t n = ROWS * t->outputs;
        const chosen c = choose(t->text, t->kind);
        memcpy(z, t->z, (size_t)n * sizeof *z);
        batch b = {ROWS, t->outputs, t->label_cols, 0, t->y, t->w, t->quantiles, 1, z, g};
        double value = run(best(), &c, &b);
        ck_assert_msg(fabs(value - t->value) <= 2e-6 * fmax(1, fabs(t->value)), "%s: %.9g, not %.9g",
                      t->text, value, t->value);
        for (int64_t k = 0; k < n; k++)
            ck_assert_msg(fabs((double)g[k] - t->g[k]) <= 2e-6 * fmax(1, fabs(t->g[k])),
                          "%s: gradient %lld is %.9g, not %.9g", t->text, (long long)k, (double)g[k], t->g[k]);
        b.g = NULL;
        ck_assert_msg(run(best(), &c, &b) == value, "%s: another value without a gradient", t->text);
    }
}
END_TEST

/* Random labels that the kind allows, some missing. */
static float random_label(int32_t kind, int64_t outputs)
{
    float u = 0.5f * (unit() + 1);
    if (unit() < -0.7f)
        return NAN;
    return kind == MTL_BINARY || kind == MTL_MULTILABEL ? (float)(u > 0.5f)
           : kind == MTL_MULTICLASS                     ? floorf(u * (float)outputs)
           : kind == MTL_COUNT                          ? floorf(6 * u) + 1
                                                        : 4 * u - 2;
}

START_TEST(levels)
{
    /* Rows below, at and above the blocks of 16, 64 and 256 elements; a stride; in place. */
    static const int64_t rows[] = {1, 15, 64, 65, 200, 531};
    for (int i = 0; i < CASES; i++)
        for (int r = 0; r < MTL__COUNT_OF(rows); r++) {
            const struct golden_loss *t = &golden_losses[i];
            const chosen c = choose(t->text, t->kind);
            const int64_t gap = 3, ld = t->outputs + gap, n = rows[r] * ld;
            float *z = malloc((size_t)n * 4), *y = malloc((size_t)(rows[r] * t->label_cols) * 4);
            float *w = malloc((size_t)(rows[r] * t->label_cols) * 4);
            float *want = calloc((size_t)n, 4), *got = calloc((size_t)n, 4);
            for (int64_t k = 0; k < n; k++)
                z[k] = 5 * unit();
            for (int64_t k = 0; k < rows[r] * t->label_cols; k++) {
                y[k] = random_label(t->kind, t->outputs);
                w[k] = 1 + unit();
            }
            batch b = {rows[r], t->outputs, t->label_cols, gap, y, w, t->quantiles, 0.7f, z, want};
            double value = run(mtl__vec_table(MTL__CPU_C), &c, &b);
            ck_assert_msg(isfinite(value), "%s", t->text);
            for (int level = MTL__CPU_C; level <= (int)mtl__cpu_choose("auto"); level++) {
                b.g = got;
                memset(got, 0, (size_t)n * 4);
                double again = run(mtl__vec_table((mtl__cpu_level)level), &c, &b);
                ck_assert_msg(again == value, "%s, %lld rows: %a at level %d, %a in C", t->text,
                              (long long)rows[r], again, level, value);
                assert_same_bits(got, want, n);
            }
            if (mtl__loss_is_by_columns(c.row)) {
                b.g = z;
                ck_assert(run(best(), &c, &b) == value);
                for (int64_t k = 0; k < n; k++)
                    if (k % ld < t->outputs)
                        assert_same_bits(&z[k], &want[k], 1);
            }
            free(z), free(y), free(w), free(want), free(got);
        }
}
END_TEST

START_TEST(columns_alone)
{
    /* A column has the same sum and gradient beside others as alone. */
    for (int i = 0; i < CASES; i++) {
        const struct golden_loss *t = &golden_losses[i];
        const chosen c = choose(t->text, t->kind);
        float work[MTL__COLUMNS_WORK * MOST], scale[MOST] = {0.5f, 2, 1}, sums[MOST], alone;
        float g[ROWS * MOST], own[ROWS], y[ROWS], w[ROWS];
        if (!mtl__loss_is_by_columns(c.row))
            continue;
        mtl__loss_columns(best(), c.row, c.param,
                          &(mtl__columns){ROWS, t->outputs, t->z, t->outputs, t->y, t->w, scale, g,
                                          t->outputs, sums, work});
        for (int64_t j = 0; j < t->outputs; j++) {
            for (int r = 0; r < ROWS; r++) {
                y[r] = t->y[r * t->outputs + j];
                w[r] = t->w[r * t->outputs + j];
            }
            mtl__loss_columns(best(), c.row, c.param,
                              &(mtl__columns){ROWS, 1, t->z + j, t->outputs, y, w, scale + j, own, 1,
                                              &alone, work});
            assert_same_bits(&alone, &sums[j], 1);
            for (int r = 0; r < ROWS; r++)
                assert_same_bits(&own[r], &g[r * t->outputs + j], 1);
        }
    }
}
END_TEST

START_TEST(masks)
{
    /* A missing label has no part, whatever stands in its place: its gradient is 0, and a NaN output
       there is not seen. Where a label is, a NaN output gives a NaN loss. */
    for (int i = 0; i < CASES; i++) {
        const struct golden_loss *t = &golden_losses[i];
        const chosen c = choose(t->text, t->kind);
        float z[ROWS * MOST], g[ROWS * MOST], y[ROWS * MOST];
        memcpy(z, t->z, (size_t)(ROWS * t->outputs) * sizeof *z);
        memcpy(y, t->y, (size_t)(ROWS * t->label_cols) * sizeof *y);
        for (int64_t k = 0; k < t->label_cols; k++)
            y[k] = NAN;
        for (int64_t k = 0; k < t->outputs; k++)
            z[k] = NAN;
        batch b = {ROWS, t->outputs, t->label_cols, 0, y, NULL, t->quantiles, 1, z, g};
        ck_assert_msg(isfinite(run(best(), &c, &b)), "%s", t->text);
        for (int64_t k = 0; k < t->outputs; k++)
            ck_assert_msg(g[k] == 0, "%s: gradient %g", t->text, (double)g[k]);
        for (int64_t k = 0; k < t->label_cols; k++)
            y[k] = 1;
        ck_assert_msg(isnan(run(best(), &c, &b)), "%s hides a NaN", t->text);
    }
}
END_TEST

START_TEST(stability)
{
    static const float far[] = {0, -0.0f, 1e-30f, 1e-3f, 17, 60, 88, 104, 1e3f, 1e4f};
    for (int i = 0; i < CASES; i++) {
        const struct golden_loss *t = &golden_losses[i];
        const chosen c = choose(t->text, t->kind);
        for (int k = 0; k < 400; k++) {
            float z[MOST], g[MOST], y[MOST], w[MOST];
            for (int64_t j = 0; j < t->outputs; j++)
                z[j] = far[(int)(5 + 5 * unit())] * (unit() < 0 ? -1.0f : 1.0f);
            for (int64_t j = 0; j < t->label_cols; j++) {
                y[j] = random_label(t->kind, t->outputs);
                w[j] = 1;
            }
            batch b = {1, t->outputs, t->label_cols, 0, y, w, t->quantiles, 1, z, g};
            double value = run(best(), &c, &b);
            ck_assert_msg(isfinite(value), "%s: loss %g for z %g, y %g", t->text, value, (double)z[0],
                          (double)y[0]);
            ck_assert_msg(value >= 0 || t->kind == MTL_COUNT, "%s: loss %g", t->text, value);
            for (int64_t j = 0; j < t->outputs; j++)
                ck_assert_msg(isfinite(g[j]), "%s: gradient %g for z %g, y %g", t->text, (double)g[j],
                              (double)z[j], (double)y[0]);
        }
    }
}
END_TEST

START_TEST(parameters_at_the_start_use_the_kernel)
{
    /* A text with the initial values has the bits of the text without. */
    static const struct {
        const char *plain, *full;
        int32_t kind;
    } same[] = {{"binary_cross_entropy", "binary_cross_entropy:smoothing=0,positive_weight=1", MTL_BINARY},
                {"cross_entropy", "cross_entropy:smoothing=0", MTL_MULTICLASS},
                {"auto", "cross_entropy", MTL_MULTICLASS},
                {"auto", "poisson", MTL_COUNT},
                {"auto", "squared_error", MTL_REGRESSION}};
    for (int i = 0; i < MTL__COUNT_OF(same); i++) {
        float z[64], y[16], g[2][64];
        chosen c[2] = {choose(same[i].plain, same[i].kind), choose(same[i].full, same[i].kind)};
        const int64_t outputs = same[i].kind == MTL_MULTICLASS ? 4 : 1;
        double value[2];
        for (int k = 0; k < 64; k++)
            z[k] = 4 * unit();
        for (int k = 0; k < 16; k++)
            y[k] = random_label(same[i].kind, outputs);
        for (int k = 0; k < 2; k++)
            value[k] = run(best(), &c[k], &(batch){16, outputs, 1, 0, y, NULL, NULL, 1, z, g[k]});
        ck_assert(value[0] == value[1]);
        assert_same_bits(g[0], g[1], 16 * outputs);
    }
}
END_TEST

START_TEST(links)
{
    enum { N = 200, COLS = 7, LD = 9 };
    static const float size[] = {1, 10, 1e4f};
    for (int s = 0; s < 3; s++) {
        float z[N * LD], p[N * LD], one[COLS];
        for (int k = 0; k < N * LD; k++)
            z[k] = size[s] * unit();
        memcpy(p, z, sizeof p);
        choose("ordinal", MTL_MULTICLASS).row->link(best(), N, COLS, p, LD);
        for (int r = 0; r < N; r++) {
            double sum = 0;
            for (int j = 0; j < COLS; j++) {
                ck_assert(p[r * LD + j] >= 0 && p[r * LD + j] <= 1);
                sum += (double)p[r * LD + j];
            }
            ck_assert_double_le(fabs(sum - 1), 1e-6);
            memcpy(one, z + r * LD, sizeof one);
            choose("ordinal", MTL_MULTICLASS).row->link(best(), 1, COLS, one, COLS);
            assert_same_bits(one, p + r * LD, COLS);
            assert_same_bits(p + r * LD + COLS, z + r * LD + COLS, LD - COLS);
        }
        memcpy(p, z, sizeof p);
        choose("quantile", MTL_QUANTILE).row->link(best(), N, COLS, p, LD);
        for (int r = 0; r < N; r++)
            for (int j = 0; j < COLS; j++) {
                ck_assert(isfinite(p[r * LD + j]));
                ck_assert(j == 0 ? p[r * LD] == z[r * LD] : p[r * LD + j] >= p[r * LD + j - 1]);
            }
        memcpy(p, z, sizeof p);
        choose("poisson", MTL_COUNT).row->link(best(), N, COLS, p, LD);
        for (int r = 0; r < N; r++)
            for (int j = 0; j < COLS; j++)
                ck_assert(p[r * LD + j] > 0 && isfinite(p[r * LD + j]));
    }
}
END_TEST

START_TEST(ordinal_link_is_the_loss)
{
    /* The loss of a row is minus the logarithm of what the link gives its class. */
    const chosen c = choose("ordinal", MTL_MULTICLASS);
    for (int k = 2; k < 9; k++)
        for (int i = 0; i < 50; i++) {
            float z[9], p[9], y = floorf(0.5f * (unit() + 1) * (float)k);
            for (int j = 0; j < k; j++)
                p[j] = z[j] = 3 * unit();
            c.row->link(best(), 1, k, p, k);
            double loss = run(best(), &c, &(batch){1, k, 1, 0, &y, NULL, NULL, 1, z, NULL});
            assert_near(loss, -log((double)p[(int)y]), 1e-5);
        }
}
END_TEST

START_TEST(texts)
{
    mtl_error e;
    const mtl__loss *row;
    double param[MTL__CHOICE_PARAMS];
    assert_fails(mtl__loss_choose("ordinal", "age", MTL_BINARY, &row, param, &e), MTL_ERR_RANGE, &e,
                 "task \"age\": loss ordinal does not serve its kind");
    assert_fails(mtl__loss_choose("hubert", "age", MTL_REGRESSION, &row, param, &e), MTL_ERR_RANGE, &e,
                 "did you mean \"huber\"");
    assert_fails(mtl__loss_choose("huber:delta=0", "age", MTL_REGRESSION, &row, param, &e), MTL_ERR_RANGE,
                 &e, "delta must be in 1e-06 .. 1000000, not 0");
    assert_fails(mtl__loss_choose("focal:alpha=0.5", "age", MTL_MULTICLASS, &row, param, &e),
                 MTL_ERR_RANGE, &e, "focal has no parameter \"alpha\"");
    assert_fails(mtl__loss_choose("tweedie:power=2", "age", MTL_COUNT, &row, param, &e), MTL_ERR_RANGE, &e,
                 "power");
    assert_fails(mtl__loss_choose("squared_error", "age", MTL_QUANTILE, &row, param, &e), MTL_ERR_RANGE, &e,
                 "age");
    assert_ok(mtl__loss_choose("focal:gamma=1,alpha=0.5", "age", MTL_BINARY, &row, param, &e));
    ck_assert(param[0] == 1 && param[1] == 0.5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loss");
    add_case(s, "values and gradients are PyTorch's", golden);
    add_case(s, "the same bits at every level, with strides, in place", levels);
    add_case(s, "a column does not see the columns beside it", columns_alone);
    add_case(s, "missing labels have no part", masks);
    add_case(s, "finite for outputs up to 1e4", stability);
    add_case(s, "initial parameters change no bit", parameters_at_the_start_use_the_kernel);
    add_case(s, "probabilities sum to 1, quantiles do not cross, means are positive", links);
    add_case(s, "the ordinal loss is the logarithm of its link", ordinal_link_is_the_loss);
    add_case(s, "texts that are refused", texts);
    return run_suite(s);
}
