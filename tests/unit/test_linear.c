/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "../golden/linear_models.h"
#include "linear/linear.h"
#include "rng/rng.h"

#define MOST (40 * 1024)

static mtl_error err;
static double weights[MOST], bias[8];
static mtl__linear_figure figure[8];
static const mtl__linear_result out = {.weights = weights, .bias = bias, .figure = figure};

static void done(const mtl__linear_problem *p)
{
    err = (mtl_error){0};
    for (int i = 0; i < 8; i++)
        bias[i] = 777;
    mtl_status st = mtl__linear_fit(p, &out, &err);
    ck_assert_msg(st == MTL_OK, "%s", err.message);
    for (int64_t i = 0; i < p->cols * p->outputs; i++)
        ck_assert(isfinite(weights[i]));
    for (int64_t i = 0; i < p->outputs; i++)
        ck_assert(isfinite(bias[i]) && bias[i] != 777);
}

static mtl__linear_problem problem(mtl__linear_family family, int64_t rows, int64_t cols,
                                   const float *x, int64_t outputs, const float *y)
{
    return (mtl__linear_problem){.family = family,
                                 .rows = rows,
                                 .cols = cols,
                                 .x = x,
                                 .x_stride = cols,
                                 .outputs = outputs,
                                 .label = y,
                                 .label_stride = family == MTL__LINEAR_SOFTMAX ? 1 : outputs,
                                 .al = &mtl__allocator_default};
}

/* ---- Against scikit-learn ---- */

static const struct golden {
    const char *table, *family;
    mtl__linear_family of;
    int64_t rows, cols, outputs;
    const float *x, *w, *y;
} goldens[] = {
#define GOLDEN(table, rows, cols, family, of, outputs)                                             \
    {                                                                                              \
#table, #family, of, rows, cols, outputs, linear_##table##_x, linear_##table##_w,          \
            linear_##table##_##family                                                              \
    }
    GOLDEN(tall, 40, 7, values, MTL__LINEAR_SQUARE, 2),
    GOLDEN(tall, 40, 7, binary, MTL__LINEAR_LOGISTIC, 2),
    GOLDEN(tall, 40, 7, classes, MTL__LINEAR_SOFTMAX, 3),
    GOLDEN(tall, 40, 7, counts, MTL__LINEAR_POISSON, 1),
    GOLDEN(wide, 14, 30, values, MTL__LINEAR_SQUARE, 2),
    GOLDEN(wide, 14, 30, binary, MTL__LINEAR_LOGISTIC, 2),
    GOLDEN(wide, 14, 30, classes, MTL__LINEAR_SOFTMAX, 3),
    GOLDEN(wide, 14, 30, counts, MTL__LINEAR_POISSON, 1),
};

static mtl__linear_problem golden_problem(const char *table, const char *family)
{
    const struct golden *g = goldens;
    while (strcmp(g->table, table) != 0 || strcmp(g->family, family) != 0)
        g++;
    mtl__linear_problem p = problem(g->of, g->rows, g->cols, g->x, g->outputs, g->y);
    p.weight = g->w;
    return p;
}

static double mean_of_column(const mtl__linear_problem *p, int64_t j)
{
    double sum = 0, n = 0;
    for (int64_t i = 0; i < p->rows; i++)
        if (!isnan(p->x[i * p->x_stride + j])) {
            sum += (double)p->x[i * p->x_stride + j];
            n++;
        }
    return sum / n;
}

/* Weights are compared by what a deviation of their column makes of them, and intercepts where the
   columns have their means. */
static void assert_golden(const struct linear_case *c, const mtl__linear_problem *p)
{
    for (int64_t o = 0; o < p->outputs; o++) {
        double at_mean = bias[o], expected = c->bias[o];
        for (int64_t j = 0; j < p->cols; j++) {
            const double a = weights[j * p->outputs + o], b = c->weights[j * p->outputs + o];
            ck_assert_msg(fabs(a - b) <= 1e-6 * fmax(1e-2, fabs(b)),
                          "%s %s %g, weighted %d: column %lld of output %lld is %.12g, not %.12g",
                          c->table, c->family, c->lambda, c->is_weighted, (long long)j,
                          (long long)o, a, b);
            at_mean += a * mean_of_column(p, j);
            expected += b * mean_of_column(p, j);
        }
        ck_assert_msg(fabs(at_mean - expected) <= 1e-6 * fmax(1, fabs(expected)),
                      "%s %s %g, weighted %d: output %lld is %.12g, not %.12g", c->table, c->family,
                      c->lambda, c->is_weighted, (long long)o, at_mean, expected);
        if (p->family == MTL__LINEAR_SQUARE)
            assert_near(figure[o].loss, c->loss[o], 1e-6);
    }
}

START_TEST(models_are_those_of_scikit_learn)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(linear_cases); i++) {
        const struct linear_case *c = &linear_cases[i];
        mtl__linear_problem p = golden_problem(c->table, c->family);
        if (!c->is_weighted)
            p.weight = NULL;
        p.lambda = &c->lambda;
        p.lambdas = p.folds = 1;
        done(&p);
        assert_golden(c, &p);
        const int64_t figures = p.family == MTL__LINEAR_SOFTMAX ? 1 : p.outputs;
        for (int64_t o = 0; o < figures; o++)
            ck_assert(figure[o].lambda == c->lambda &&
                      isnan(figure[o].loss) == (p.family != MTL__LINEAR_SQUARE));
    }
}
END_TEST

START_TEST(losses_of_given_folds_are_those_of_scikit_learn)
{
    int32_t fold[40];
    const double lambda = LINEAR_FOLD_LAMBDA;
    for (int i = 0; i < 40; i++)
        fold[i] = i % 5;
    for (int64_t i = 0; i < MTL__COUNT_OF(linear_folds); i++) {
        mtl__linear_problem p = golden_problem("tall", linear_folds[i].family);
        p.weight = NULL;
        p.lambda = &lambda;
        p.lambdas = 1;
        p.fold = fold;
        p.folds = 5;
        done(&p);
        /* Models that choose are fitted as far as choosing needs. */
        assert_near(figure[0].loss, linear_folds[i].loss, 1e-4);
        assert_near(figure[0].standard_error, linear_folds[i].standard_error, 1e-4);
    }
}
END_TEST

/* ---- The minimum ---- */

static double slope_of(const mtl__linear_problem *p, const double *u, int64_t o, float y)
{
    double most = -1e300, sum = 0;
    switch (p->family) {
    case MTL__LINEAR_LOGISTIC:
        return 1 / (1 + exp(-u[o])) - (double)y;
    case MTL__LINEAR_POISSON:
        return exp(u[o]) - (double)y;
    case MTL__LINEAR_SOFTMAX:
        for (int64_t j = 0; j < p->outputs; j++)
            most = fmax(most, u[j]);
        for (int64_t j = 0; j < p->outputs; j++)
            sum += exp(u[j] - most);
        return exp(u[o] - most) / sum - (y == (float)o);
    default:
        return u[o] - (double)y;
    }
}

/* The largest slope of the objective by the standardised weights; no missing values or weights. */
static double largest_slope(const mtl__linear_problem *p, double lambda)
{
    const int64_t n = p->rows, c = p->outputs;
    double most = 0;
    double *u = calloc((size_t)(n * c), sizeof *u);
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < c; o++) {
            u[i * c + o] = bias[o];
            for (int64_t j = 0; j < p->cols; j++)
                u[i * c + o] += weights[j * c + o] * (double)p->x[i * p->x_stride + j];
        }
    for (int64_t j = 0; j <= p->cols; j++) {
        double mean = j < p->cols ? mean_of_column(p, j) : 0, square = 0;
        for (int64_t i = 0; i < n && j < p->cols; i++)
            square += pow((double)p->x[i * p->x_stride + j] - mean, 2) / (double)n;
        const double sd = sqrt(square);
        for (int64_t o = 0; o < c; o++) {
            double sum = j < p->cols ? lambda * weights[j * c + o] * sd : 0;
            for (int64_t i = 0; i < n; i++) {
                const double z = j < p->cols ? ((double)p->x[i * p->x_stride + j] - mean) / sd : 1;
                const int64_t l = p->family == MTL__LINEAR_SOFTMAX ? i : i * c + o;
                sum += z * slope_of(p, u + i * c, o, p->label[l]) / (double)n;
            }
            most = fmax(most, fabs(sum));
        }
    }
    free(u);
    return most;
}

static void make(int64_t rows, int64_t cols, uint64_t seed, float *x, float *y, int64_t outputs,
                 mtl__linear_family family)
{
    mtl__rng r = mtl__rng_make(seed, 100, 0);
    for (int64_t i = 0; i < rows; i++) {
        double sum[8] = {0};
        for (int64_t j = 0; j < cols; j++) {
            x[i * cols + j] = (float)mtl__rng_normal(&r);
            sum[j % outputs] += (double)x[i * cols + j] / sqrt((double)cols);
        }
        int64_t best = 0;
        for (int64_t o = 0; o < outputs; o++) {
            sum[o] += 0.3 * mtl__rng_normal(&r);
            best = sum[o] > sum[best] ? o : best;
            if (family != MTL__LINEAR_SOFTMAX)
                y[i * outputs + o] = family == MTL__LINEAR_LOGISTIC  ? sum[o] > 0
                                     : family == MTL__LINEAR_POISSON ? (float)(int)exp(1 + sum[o])
                                                                     : (float)(sum[o] * 5 + 3);
        }
        if (family == MTL__LINEAR_SOFTMAX)
            y[i] = (float)best;
    }
}

START_TEST(the_slope_vanishes_on_axes_and_without)
{
    /* The last two shapes have too many rows and columns for axes. */
    static const int64_t shapes[][2] = {{60, 9}, {20, 50}, {300, 40}, {1030, 1040}, {1040, 1030}};
    static float x[1040 * 1040], y[1040 * 3];
    const double lambdas[] = {0.1, 1e-3};
    for (int64_t s = 0; s < MTL__COUNT_OF(shapes); s++)
        for (int f = 0; f < 4; f++)
            for (int l = 0; l < 2; l++) {
                if (s >= 3 && (l > 0 || (s == 4 && f != MTL__LINEAR_SOFTMAX)))
                    continue;
                const int64_t outputs = f == MTL__LINEAR_SOFTMAX ? 3 : s < 3 ? 2 : 1;
                mtl__linear_family family = (mtl__linear_family)f;
                make(shapes[s][0], shapes[s][1], (uint64_t)(s + 1), x, y, outputs, family);
                mtl__linear_problem p = problem(family, shapes[s][0], shapes[s][1], x, outputs, y);
                p.lambda = lambdas + l;
                p.lambdas = p.folds = 1;
                done(&p);
                const double slope = largest_slope(&p, lambdas[l]);
                ck_assert_msg(slope < 1e-8, "shape %lld, family %d, lambda %g: %g", (long long)s, f,
                              lambdas[l], slope);
            }
}
END_TEST

/* ---- The choice ---- */

static double squared_error_without(const mtl__linear_problem *whole, int64_t row, double lambda)
{
    static float x[4000], y[200];
    mtl__linear_problem p = *whole;
    int64_t n = 0;
    for (int64_t i = 0; i < whole->rows; i++) {
        if (i == row)
            continue;
        memcpy(x + n * p.cols, whole->x + i * p.x_stride, (size_t)p.cols * sizeof *x);
        y[n++] = whole->label[i];
    }
    p.x = x;
    p.x_stride = p.cols;
    p.label = y;
    p.rows = n;
    p.lambda = &lambda;
    p.lambdas = p.folds = 1;
    done(&p);
    double u = bias[0];
    for (int64_t j = 0; j < p.cols; j++)
        u += weights[j] * (double)whole->x[row * whole->x_stride + j];
    return pow(u - (double)whole->label[row], 2);
}

/* Without a row the columns are standardised anew and lambda weighs on one row less, so the closed
   form is close to this, not equal; equal to scikit-learn's it is above. */
START_TEST(errors_of_left_out_rows_are_close_to_fitting_without_them)
{
    static float x[50 * 4], y[50];
    make(50, 4, 11, x, y, 1, MTL__LINEAR_SQUARE);
    mtl__linear_problem p = problem(MTL__LINEAR_SQUARE, 50, 4, x, 1, y);
    done(&p);
    const double lambda = figure[0].lambda, loss = figure[0].loss;
    double sum = 0;
    for (int64_t i = 0; i < 50; i++)
        sum += squared_error_without(&p, i, lambda) / 50;
    assert_near(loss, sum, 0.01);
    ck_assert(figure[0].standard_error > 0 && figure[0].standard_error < loss);
}
END_TEST

/* The loss at each lambda alone is what the choice saw; the best of them is taken, or the largest
   within a standard error. */
static bool assert_chosen(mtl__linear_problem p, const double *list, int64_t count)
{
    double loss[8], error[8];
    int64_t best = 0, simple = 0;
    for (int64_t l = 0; l < count; l++) {
        p.lambda = list + l;
        p.lambdas = 1;
        done(&p);
        loss[l] = figure[0].loss;
        error[l] = figure[0].standard_error;
        best = loss[l] < loss[best] ? l : best;
    }
    while (loss[simple] > loss[best] + error[best])
        simple++;
    p.lambda = list;
    p.lambdas = count;
    done(&p);
    ck_assert(figure[0].lambda == list[best]);
    assert_near(figure[0].loss, loss[best], 1e-4);
    p.one_se = true;
    done(&p);
    ck_assert(figure[0].lambda == list[simple]);
    return simple < best;
}

START_TEST(lambda_is_the_best_or_within_a_standard_error)
{
    static const double list[] = {100, 10, 1, 0.1, 0.01, 1e-3};
    static float x[40 * 20], y[40];
    int apart = 0; /* data that tell the two rules apart */
    for (int f = 0; f < 4; f++) {
        mtl__linear_family family = (mtl__linear_family)f;
        const int64_t outputs = family == MTL__LINEAR_SOFTMAX ? 3 : 1;
        make(40, 20, 5, x, y, outputs, family);
        mtl__linear_problem p = problem(family, 40, 20, x, outputs, y);
        apart += assert_chosen(p, list, MTL__COUNT_OF(list));
    }
    ck_assert_int_ge(apart, 2);
}
END_TEST

START_TEST(noise_gets_the_largest_lambda_and_a_clear_line_a_small_one)
{
    static float x[60 * 5], y[60];
    make(60, 5, 3, x, y, 1, MTL__LINEAR_SQUARE);
    for (int i = 0; i < 60; i++)
        y[i] = x[i * 5] * 2 + 1;
    mtl__linear_problem p = problem(MTL__LINEAR_SQUARE, 60, 5, x, 1, y);
    done(&p);
    ck_assert(figure[0].lambda < 1e-5);
    assert_near(weights[0], 2, 1e-4);
    assert_near(bias[0], 1, 1e-4);
    mtl__rng r = mtl__rng_make(9, 100, 0);
    for (int i = 0; i < 60; i++)
        y[i] = (float)mtl__rng_normal(&r);
    p.one_se = true;
    done(&p);
    ck_assert(figure[0].lambda > 9999);
}
END_TEST

/* ---- What can be missing or the same ---- */

START_TEST(rows_without_label_or_weight_have_no_part)
{
    static float x[50 * 3], y[50], less_x[50 * 3], less_y[50], w[50];
    static double kept[3];
    for (int f = 0; f < 4; f++) {
        mtl__linear_family family = (mtl__linear_family)f;
        const int64_t outputs = family == MTL__LINEAR_SOFTMAX ? 2 : 1;
        make(50, 3, 21, x, y, outputs, family);
        int64_t n = 0;
        for (int64_t i = 0; i < 50; i++) {
            w[i] = i % 7 == 0 ? 0 : 1;
            if (i % 5 == 2)
                y[i] = NAN;
            if (i % 7 == 0 || i % 5 == 2)
                continue;
            memcpy(less_x + n * 3, x + i * 3, 3 * sizeof *x);
            less_y[n++] = y[i];
        }
        mtl__linear_problem p = problem(family, n, 3, less_x, outputs, less_y);
        done(&p);
        memcpy(kept, weights, sizeof kept);
        const mtl__linear_figure f0 = figure[0];
        p = problem(family, 50, 3, x, outputs, y);
        p.weight = w;
        done(&p);
        ck_assert_int_eq(figure[0].rows, n);
        ck_assert(figure[0].lambda == f0.lambda && figure[0].loss == f0.loss);
        ck_assert_mem_eq(kept, weights, sizeof kept);
    }
}
END_TEST

START_TEST(tables_without_anything_to_learn_give_their_mean)
{
    static float x[30 * 2], y[30];
    for (int i = 0; i < 30; i++) {
        x[2 * i] = 4;
        x[2 * i + 1] = i % 2 ? 1e30F : NAN; /* constant where it is there */
        y[i] = (float)(i % 3);
    }
    static const double expected[] = {1, 0, 0, 0}; /* mean; equal classes; log of mean 1 */
    for (int f = 0; f < 4; f++) {
        if (f == MTL__LINEAR_LOGISTIC)
            continue;
        const int64_t outputs = f == MTL__LINEAR_SOFTMAX ? 3 : 1;
        mtl__linear_problem p = problem((mtl__linear_family)f, 30, 2, x, outputs, y);
        done(&p);
        for (int64_t i = 0; i < 2 * outputs; i++)
            ck_assert(weights[i] == 0);
        for (int64_t o = 0; o < outputs; o++)
            assert_near(bias[o], expected[f], 1e-8);
        p.cols = 0;
        done(&p);
        assert_near(bias[0], expected[f], 1e-8);
    }
}
END_TEST

START_TEST(one_class_alone_is_half_a_row_short_of_certain)
{
    static float x[12 * 2], y[12], classes[12];
    double at_mean[3];
    make(12, 2, 5, x, y, 1, MTL__LINEAR_LOGISTIC);
    for (int i = 0; i < 12; i++) {
        y[i] = 1;
        classes[i] = (float)(i % 2 * 2); /* 0 and 2; never 1 */
    }
    mtl__linear_problem p = problem(MTL__LINEAR_LOGISTIC, 12, 2, x, 1, y);
    done(&p);
    ck_assert(weights[0] == 0 && weights[1] == 0);
    assert_near(1 / (1 + exp(-bias[0])), 12 / 12.5, 1e-12);
    memset(y, 0, sizeof y);
    done(&p);
    assert_near(1 / (1 + exp(-bias[0])), 0.5 / 12.5, 1e-12);
    p.family = MTL__LINEAR_POISSON;
    done(&p);
    assert_near(exp(bias[0]), 0.5 / 12, 1e-12);
    p = problem(MTL__LINEAR_SOFTMAX, 12, 2, x, 3, classes);
    done(&p);
    ck_assert(weights[1] == 0 && weights[4] == 0);
    for (int64_t o = 0; o < 3; o++)
        at_mean[o] = exp(bias[o] + weights[o] * mean_of_column(&p, 0) +
                         weights[3 + o] * mean_of_column(&p, 1));
    assert_near(at_mean[1] / (at_mean[0] + at_mean[2]), 0.5 / 12, 1e-9);
    ck_assert(isfinite(figure[0].loss));
    for (int i = 0; i < 12; i++)
        classes[i] = 2;
    done(&p);
    assert_near(exp(bias[2]) / (exp(bias[0]) + exp(bias[1]) + exp(bias[2])), 12.0 / 13, 1e-9);
}
END_TEST

START_TEST(one_row_and_none)
{
    static const float x[] = {1, 2, 3}, y[] = {5, 1}, none[] = {NAN, 2};
    for (int f = 0; f < 4; f++) {
        const float one = f == MTL__LINEAR_LOGISTIC || f == MTL__LINEAR_SOFTMAX ? 1 : 5;
        mtl__linear_problem p =
            problem((mtl__linear_family)f, 1, 3, x, f == MTL__LINEAR_SOFTMAX ? 2 : 1, &one);
        done(&p);
        ck_assert(weights[0] == 0 && weights[1] == 0 && weights[2] == 0);
        ck_assert(isnan(figure[0].loss) && figure[0].rows == 1);
        p.rows = 0;
        done(&p);
        ck_assert(bias[0] == 0 && isnan(figure[0].lambda) && figure[0].rows == 0);
    }
    /* No label in the first column, one in the second. */
    mtl__linear_problem p = problem(MTL__LINEAR_SQUARE, 1, 3, x, 2, none);
    done(&p);
    ck_assert(bias[0] == 0 && bias[1] == 2 && figure[0].rows == 0 && figure[1].rows == 1);
    p = problem(MTL__LINEAR_SQUARE, 2, 1, x, 1, y);
    done(&p);
    ck_assert(isfinite(figure[0].loss) && figure[0].rows == 2);
}
END_TEST

START_TEST(separable_classes_stay_finite)
{
    static float x[40 * 2], y[40];
    for (int i = 0; i < 40; i++) {
        y[i] = (float)(i % 2);
        x[2 * i] = (float)(i % 2 * 2 - 1) * (1 + (float)i / 40);
        x[2 * i + 1] = (float)(i % 5);
    }
    const double lambda = 1e-6;
    for (int64_t outputs = 1; outputs <= 2; outputs++) {
        mtl__linear_problem p = problem(outputs == 1 ? MTL__LINEAR_LOGISTIC : MTL__LINEAR_SOFTMAX,
                                        40, 2, x, outputs, y);
        done(&p);
        ck_assert(figure[0].loss < 0.05);
        p.lambda = &lambda;
        p.lambdas = p.folds = 1;
        done(&p);
        ck_assert(largest_slope(&p, lambda) < 1e-8);
    }
}
END_TEST

START_TEST(columns_with_other_rows_are_models_of_their_own)
{
    static float x[40 * 3], y[40 * 3], alone[40];
    static double kept[9];
    make(40, 3, 8, x, y, 3, MTL__LINEAR_SQUARE);
    for (int i = 0; i < 40; i += 4)
        y[i * 3 + 1] = NAN;
    mtl__linear_problem p = problem(MTL__LINEAR_SQUARE, 40, 3, x, 3, y);
    done(&p);
    memcpy(kept, weights, sizeof kept);
    for (int64_t c = 0; c < 3; c++) {
        for (int64_t i = 0; i < 40; i++)
            alone[i] = y[i * 3 + c];
        p = problem(MTL__LINEAR_SQUARE, 40, 3, x, 1, alone);
        done(&p);
        for (int64_t j = 0; j < 3; j++)
            ck_assert(weights[j] == kept[j * 3 + c]);
    }
}
END_TEST

/* The first column's few rows have axes, the second's are too many for them. */
START_TEST(columns_with_and_without_axes_do_not_meet)
{
    enum { ROWS = 1026, COLS = 1025 };
    static float x[ROWS * COLS], y[ROWS * 2], alone[ROWS];
    static double kept[COLS];
    const double lambda = 1;
    make(ROWS, COLS, 9, x, y, 2, MTL__LINEAR_SQUARE);
    for (int i = 0; i < ROWS; i++) {
        alone[i] = y[i * 2 + 1];
        y[i * 2] = i < 7 ? y[i * 2] : NAN;
    }
    mtl__linear_problem p = problem(MTL__LINEAR_SQUARE, ROWS, COLS, x, 2, y);
    p.lambda = &lambda;
    p.lambdas = p.folds = 1;
    done(&p);
    for (int j = 0; j < COLS; j++)
        kept[j] = weights[j * 2 + 1];
    p.outputs = p.label_stride = 1;
    p.label = alone;
    done(&p);
    for (int j = 0; j < COLS; j++)
        ck_assert(weights[j] == kept[j]);
}
END_TEST

/* ---- Bits, refusals, memory ---- */

static const char *bits_of_a_fit(mtl__linear_family family, mtl__pool *pool)
{
    static float x[3000 * 12], y[3000 * 3];
    static char text[2][40];
    static int which;
    const int64_t outputs = 3;
    make(3000, 12, 4, x, y, outputs, family);
    mtl__linear_problem p = problem(family, 3000, 12, x, outputs, y);
    p.pool = pool;
    p.seed = 3;
    done(&p);
    uint64_t hash = 0xcbf29ce484222325;
    for (int64_t i = 0; i < 12 * outputs; i++) {
        uint64_t bits;
        memcpy(&bits, &weights[i], sizeof bits);
        hash = (hash ^ bits) * 0x100000001b3;
    }
    which = !which;
    snprintf(text[which], sizeof text[which], "%016llx", (unsigned long long)hash);
    return text[which];
}

START_TEST(bits_are_these_for_any_threads)
{
    static const char *const expected[] = {"6d1ce9a04338a981", "7bd2b3846f37b1a6",
                                           "88d525c38901ebde", "6434c91dfaadeb7f"};
    mtl__pool *pool = mtl__pool_create(&mtl__allocator_default, 3);
    for (int f = 0; f < 4; f++) {
        mtl__linear_family family = (mtl__linear_family)f;
        ck_assert_str_eq(bits_of_a_fit(family, NULL), expected[f]);
        ck_assert_str_eq(bits_of_a_fit(family, pool), expected[f]);
    }
    mtl__pool_destroy(pool);
}
END_TEST

START_TEST(impossible_numbers_are_named_and_nothing_is_written)
{
    float x[] = {1, 2, 3, 4}, y[] = {0, 1}, w[] = {1, 1};
    mtl__linear_problem p = problem(MTL__LINEAR_LOGISTIC, 2, 2, x, 1, y);
    p.weight = w;
    weights[0] = bias[0] = 5;
    x[3] = INFINITY;
    assert_fails(mtl__linear_fit(&p, &out, &err), MTL_ERR_VALUE, &err, "row 1, column 1");
    x[3] = 4;
    w[1] = -1;
    assert_fails(mtl__linear_fit(&p, &out, &err), MTL_ERR_VALUE, &err, "row 1 has weight -1");
    w[1] = 1;
    const struct {
        mtl__linear_family family;
        float y;
    } bad[] = {{MTL__LINEAR_LOGISTIC, 0.5F},    {MTL__LINEAR_LOGISTIC, 2},
               {MTL__LINEAR_SOFTMAX, 2},        {MTL__LINEAR_SOFTMAX, -1},
               {MTL__LINEAR_SOFTMAX, 0.5F},     {MTL__LINEAR_POISSON, -1},
               {MTL__LINEAR_POISSON, INFINITY}, {MTL__LINEAR_SQUARE, INFINITY},
               {MTL__LINEAR_SQUARE, -INFINITY}};
    for (int64_t i = 0; i < MTL__COUNT_OF(bad); i++) {
        p.family = bad[i].family;
        p.outputs = p.family == MTL__LINEAR_SOFTMAX ? 2 : 1;
        y[1] = bad[i].y;
        assert_fails(mtl__linear_fit(&p, &out, &err), MTL_ERR_VALUE, &err, "row 1, column 0");
    }
    ck_assert(weights[0] == 5 && bias[0] == 5);
}
END_TEST

static mtl_status fit_in(void *arg)
{
    mtl__linear_problem p = golden_problem("tall", "values");
    p.al = arg;
    weights[0] = 5;
    mtl_status st = mtl__linear_fit(&p, &out, NULL);
    ck_assert(st == MTL_OK || weights[0] == 5);
    return st;
}

START_TEST(memory_may_fail_anywhere)
{
    test_memory t = {0};
    mtl__allocator al = test_allocator(&t);
    ck_assert_int_ge(sweep_allocations(&t, fit_in, &al), 3);
}
END_TEST

/* ---- Parts left out ---- */

/* Two copies of the same inputs, standardised alike: what is said of one copy is said by the model of
   the other copy's rows. Rows without a label or a part are left as they are. */
START_TEST(parts_are_predicted_by_the_rest)
{
    enum { COPY = 24, COLS = 5, ROWS = 2 * COPY + 1, OUTPUTS = 3 };
    static const mtl__linear_family family[] = {MTL__LINEAR_SQUARE, MTL__LINEAR_LOGISTIC,
                                                MTL__LINEAR_SOFTMAX, MTL__LINEAR_POISSON};
    static const double lambda[] = {0.1};
    float x[ROWS * COLS], w[ROWS], y[ROWS * OUTPUTS];
    int32_t part[ROWS];
    double held[ROWS * OUTPUTS];
    mtl__rng r = mtl__rng_make(3, 1, 0);
    for (int i = 0; i < 8; i++) {
        const mtl__linear_family f = family[i / 2];
        const bool by_folds = i % 2;
        const int64_t columns = f == MTL__LINEAR_SOFTMAX ? 1 : OUTPUTS;
        for (int64_t k = 0; k < COPY * COLS; k++)
            x[k] = x[COPY * COLS + k] = mtl__rng_normal(&r);
        for (int64_t k = 0; k < COLS; k++)
            x[2 * COPY * COLS + k] = 0;
        for (int64_t k = 0; k < ROWS; k++) {
            w[k] = k == 2 * COPY ? 0 : 1 + (float)(k % COPY % 3);
            part[k] = k / COPY > 1 ? -1 : (int32_t)(k / COPY);
            for (int64_t c = 0; c < columns; c++) {
                const float u = x[k * COLS] + 0.5f * mtl__rng_normal(&r);
                y[k * columns + c] = f == MTL__LINEAR_SQUARE     ? 3 + u
                                     : f == MTL__LINEAR_LOGISTIC ? u > 0
                                     : f == MTL__LINEAR_POISSON  ? (float)(int)(2 + u * u)
                                                                 : (float)((k + (u > 0)) % OUTPUTS);
            }
        }
        mtl__linear_problem p = problem(f, ROWS, COLS, x, OUTPUTS, y);
        p.weight = w;
        p.lambda = lambda;
        p.lambdas = 1;
        p.part = part;
        p.parts = 2;
        p.fold = by_folds ? part : NULL; /* not in closed form */
        p.folds = 2;
        p.rows = by_folds ? ROWS - 1 : ROWS;
        for (int k = 0; k < ROWS * OUTPUTS; k++)
            held[k] = 777;
        mtl__linear_result all = out;
        all.held = held;
        err = (mtl_error){0};
        ck_assert_int_eq(mtl__linear_fit(&p, &all, &err), MTL_OK);
        for (int c = 0; c < OUTPUTS; c++)
            ck_assert_double_eq(held[2 * COPY * OUTPUTS + c], 777);
        for (int copy = 0; copy < 2; copy++) {
            mtl__linear_problem rest = problem(f, COPY, COLS, x, OUTPUTS, y + (1 - copy) * COPY * columns);
            rest.weight = w;
            rest.lambda = lambda;
            rest.lambdas = rest.folds = 1;
            done(&rest);
            for (int64_t k = 0; k < COPY; k++)
                for (int64_t c = 0; c < OUTPUTS; c++) {
                    double u = bias[c];
                    for (int64_t j = 0; j < COLS; j++)
                        u += weights[j * OUTPUTS + c] * (double)x[k * COLS + j];
                    assert_near(held[(copy * COPY + k) * OUTPUTS + c], u,
                                f == MTL__LINEAR_SQUARE && !by_folds ? 1e-9 : 1e-3);
                }
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("linear");
    add_case(s, "models are those of scikit-learn", models_are_those_of_scikit_learn);
    add_case(s, "losses of folds are those of scikit-learn",
             losses_of_given_folds_are_those_of_scikit_learn);
    add_case(s, "the slope vanishes", the_slope_vanishes_on_axes_and_without);
    add_case(s, "errors of left-out rows",
             errors_of_left_out_rows_are_close_to_fitting_without_them);
    add_case(s, "the choice of lambda", lambda_is_the_best_or_within_a_standard_error);
    add_case(s, "noise and a clear line",
             noise_gets_the_largest_lambda_and_a_clear_line_a_small_one);
    add_case(s, "rows without label or weight", rows_without_label_or_weight_have_no_part);
    add_case(s, "nothing to learn", tables_without_anything_to_learn_give_their_mean);
    add_case(s, "one class", one_class_alone_is_half_a_row_short_of_certain);
    add_case(s, "one row and none", one_row_and_none);
    add_case(s, "separable classes", separable_classes_stay_finite);
    add_case(s, "columns with other rows", columns_with_other_rows_are_models_of_their_own);
    add_case(s, "columns with and without axes", columns_with_and_without_axes_do_not_meet);
    add_case(s, "bits are these", bits_are_these_for_any_threads);
    add_case(s, "impossible numbers", impossible_numbers_are_named_and_nothing_is_written);
    add_case(s, "memory may fail", memory_may_fail_anywhere);
    add_case(s, "parts are predicted by the rest", parts_are_predicted_by_the_rest);
    return run_suite(s);
}
