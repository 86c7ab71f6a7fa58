/* SPDX-License-Identifier: MIT */
#include "testing.h"

#include "../golden/aggregation.h"
#include "aggregate/aggregate.h"
#include "base/math64.h"
#include "rng/rng.h"

enum { MOST_M = 64, MOST_N = 64 };

static mtl_error err;

typedef struct answer {
    double w[MOST_M], residual;
    float u[MOST_N];
} answer;

static answer aggregate(const char *kind, int64_t m, int64_t n, const float *j,
                        const double *losses)
{
    answer a;
    err = (mtl_error){0};
    mtl_status st = mtl_aggregate(kind, m, n, j, n, losses, a.w, a.u, &a.residual, &err);
    ck_assert_msg(st == MTL_OK, "%s: %s", kind, err.message);
    for (int64_t i = 0; i < m; i++)
        ck_assert_msg(isfinite(a.w[i]), "%s: weight %lld is %g", kind, (long long)i, a.w[i]);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(isfinite(a.u[i]), "%s: value %lld is %g", kind, (long long)i, (double)a.u[i]);
    ck_assert(isfinite(a.residual) && a.residual >= 0);
    return a;
}

/* ---- Against other solvers ---- */

static void check_golden(const struct golden_aggregate *g)
{
    mtl_aggregator *agg;
    answer a;
    double size = 0, error = 0;
    assert_ok(mtl_aggregator_create(g->kind, g->m, g->n, 0, &agg, &err));
    for (int64_t s = 0; s < g->steps; s++) {
        mtl_status st = mtl_aggregator_step(agg, g->jacobian + s * g->m * g->n, g->n,
                                            g->losses ? g->losses + s * g->m : NULL, a.w, a.u,
                                            &a.residual, &err);
        ck_assert_msg(st == MTL_OK, "%s: %s", g->kind, err.message);
        if (g->feedback)
            assert_ok(mtl_aggregator_feedback(agg, g->feedback + s * g->m, &err));
        for (int64_t i = 0; g->weights && i < g->m; i++)
            ck_assert_msg(fabs(a.w[i] - g->weights[s * g->m + i]) <=
                              1e-6 * fmax(1e-3, fabs(g->weights[s * g->m + i])),
                          "%s, %lldx%lld, step %lld: weight %lld is %.12g, not %.12g", g->kind,
                          (long long)g->m, (long long)g->n, (long long)s, (long long)i, a.w[i],
                          g->weights[s * g->m + i]);
    }
    for (int64_t j = 0; j < g->n; j++) {
        error = fmax(error, fabs((double)a.u[j] - g->update[j]));
        size = fmax(size, fabs(g->update[j]));
    }
    ck_assert_msg(error <= 1e-6 * size, "%s, %lldx%lld: %g off, of %g", g->kind, (long long)g->m,
                  (long long)g->n, error, size);
    mtl_aggregator_destroy(agg);
}

START_TEST(answers_equal_those_of_other_solvers)
{
    for (int64_t i = 0; i < MTL__COUNT_OF(golden_aggregates); i++)
        check_golden(&golden_aggregates[i]);
}
END_TEST

/* ---- Properties over random matrices ---- */

typedef struct problem {
    int64_t m, n;
    float j[MOST_M * MOST_N];
    double losses[MOST_M];
    mtl__rng rng;
} problem;

static double length_of(int64_t n, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static double inner(int64_t n, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

/* Rows of unlike lengths every other time; now and then of low rank, equal or opposite. */
static void draw(problem *p, int64_t turn, bool full_rank)
{
    *p = (problem){.rng = mtl__rng_make((uint64_t)turn + 1, MTL__RNG_GENERATE, 7)};
    p->m = 1 + mtl__rng_below(&p->rng, 7);
    p->n = full_rank ? p->m + 2 + mtl__rng_below(&p->rng, 8) : 1 + mtl__rng_below(&p->rng, 12);
    for (int64_t i = 0; i < p->m; i++) {
        double scale =
            turn % 2 ? mtl__exp_f64((2 * mtl__rng_f64(&p->rng) - 1) * 6.9) : 1; /* 1e-3 .. 1e3 */
        for (int64_t k = 0; k < p->n; k++)
            p->j[i * p->n + k] = (float)(scale * mtl__rng_normal(&p->rng));
        p->losses[i] = 0.01 + mtl__rng_f64(&p->rng);
    }
    for (int64_t k = 0; k < p->n && !full_rank && turn % 5 == 0; k++)
        p->j[(p->m - 1) * p->n + k] = (turn % 10 ? -2.0f : 1.0f) * p->j[k];
}

static int64_t turns(void)
{
    const char *count = getenv("MTL_AGGREGATE_MATRICES");
    return count ? atoll(count) : 400;
}

/* The least cosine of the update with a row, 1 where there is no update to speak of. */
static double least_cosine(const problem *p, const answer *a)
{
    double least = 1, size = 0;
    const double length = length_of(p->n, a->u);
    for (int64_t i = 0; i < p->m; i++)
        size += fabs(a->w[i]) * length_of(p->n, p->j + i * p->n);
    for (int64_t i = 0; i < p->m; i++) {
        const float *row = p->j + i * p->n;
        if (length > 1e-6 * size && length_of(p->n, row) > 0)
            least = fmin(least, inner(p->n, row, a->u) / length / length_of(p->n, row));
    }
    return least;
}

START_TEST(updates_do_not_conflict_with_any_task)
{
    static const char *const kinds[] = {"upgrad",     "dualproj", "mgda",     "cagrad:c=1",
                                        "cagrad:c=2", "nash",     "fairgrad", "fairgrad:alpha=2"};
    problem p;
    for (int64_t t = 0; t < turns(); t++)
        for (int k = 0; k < MTL__COUNT_OF(kinds); k++) {
            draw(&p, t, false);
            answer a = aggregate(kinds[k], p.m, p.n, p.j, NULL);
            ck_assert_msg(least_cosine(&p, &a) > -2e-6, "%s, matrix %lld: cosine %g", kinds[k],
                          (long long)t, least_cosine(&p, &a));
        }
    for (int64_t t = 0; t < turns(); t++) {
        draw(&p, t, true);
        answer a = aggregate("config", p.m, p.n, p.j, NULL);
        ck_assert_msg(least_cosine(&p, &a) > -1e-6, "config, matrix %lld", (long long)t);
    }
}
END_TEST

/* A(diag(a) J) + A(diag(b) J) = A(diag(a + b) J). */
START_TEST(updates_are_linear_under_scaling_where_promised)
{
    static const char *const kinds[] = {"sum", "mean", "upgrad", "config"};
    problem p;
    for (int64_t t = 0; t < turns(); t++)
        for (int k = 0; k < MTL__COUNT_OF(kinds); k++) {
            static float scaled[3][MOST_M * MOST_N];
            answer part[3];
            draw(&p, 2 * t, true);
            for (int64_t i = 0; i < p.m; i++) {
                float a = (float)(1 + mtl__rng_below(&p.rng, 512)) / 64;
                float b = (float)(1 + mtl__rng_below(&p.rng, 512)) / 64;
                for (int64_t c = 0; c < p.n; c++) {
                    float x = (float)((int)(p.j[i * p.n + c] * 256)) / 256; /* products are exact */
                    scaled[0][i * p.n + c] = a * x;
                    scaled[1][i * p.n + c] = b * x;
                    scaled[2][i * p.n + c] = (a + b) * x;
                }
            }
            for (int s = 0; s < 3; s++)
                part[s] = aggregate(kinds[k], p.m, p.n, scaled[s], NULL);
            double size = length_of(p.n, part[0].u) + length_of(p.n, part[1].u);
            for (int64_t c = 0; c < p.n; c++)
                ck_assert_msg(fabs((double)part[0].u[c] + (double)part[1].u[c] -
                                   (double)part[2].u[c]) <= 1e-5 * size,
                              "%s, matrix %lld", kinds[k], (long long)t);
        }
}
END_TEST

static const char *const deterministic[] = {
    "sum",        "mean",     "mgda",     "mgda:normalise=l2",     "cagrad",
    "cagrad:c=2", "imtl_g",   "nash",     "fairgrad:alpha=2",      "aligned_mtl",
    "upgrad",     "dualproj", "config",   "aligned_mtl:mode=rmse", "pcgrad:order=mean",
    "gls",        "stch",     "gradnorm", "mgda:normalise=loss"};

/* Turning the rows round turns the weights round. */
START_TEST(weights_follow_the_tasks_when_these_change_places)
{
    problem p;
    for (int64_t t = 0; t < turns(); t++)
        for (int k = 0; k < MTL__COUNT_OF(deterministic); k++) {
            static float turned[MOST_M * MOST_N];
            double losses[MOST_M];
            draw(&p, t, true);
            for (int64_t i = 0; i < p.m; i++) {
                memcpy(turned + (p.m - 1 - i) * p.n, p.j + i * p.n, (size_t)p.n * sizeof(float));
                losses[p.m - 1 - i] = p.losses[i];
            }
            if (p.m > 6 && k == 14)
                continue; /* thousands of orders */
            answer a = aggregate(deterministic[k], p.m, p.n, p.j, p.losses);
            answer b = aggregate(deterministic[k], p.m, p.n, turned, losses);
            for (int64_t i = 0; i < p.m; i++)
                ck_assert_msg(fabs(a.w[i] - b.w[p.m - 1 - i]) <= 1e-6 * fabs(a.w[i]) + 1e-9,
                              "%s, matrix %lld: %.12g and %.12g", deterministic[k], (long long)t,
                              a.w[i], b.w[p.m - 1 - i]);
        }
}
END_TEST

/* Strongly stationary: at a point where a task's gradient is 0 for want of the others, UPGrad and
   DualProj still do not stop; they stop only where no row pulls beyond the others. */
START_TEST(only_a_pareto_point_stops_upgrad_and_dualproj)
{
    static const char *const kinds[] = {"upgrad", "dualproj"};
    problem p;
    for (int64_t t = 0; t < turns(); t++)
        for (int k = 0; k < 2; k++) {
            draw(&p, t, true);
            answer a = aggregate(kinds[k], p.m, p.n, p.j, NULL);
            ck_assert_msg(length_of(p.n, a.u) > 0, "%s, matrix %lld", kinds[k], (long long)t);
        }
}
END_TEST

/* ---- Optimality, seen from outside ---- */

START_TEST(solvers_meet_their_conditions)
{
    static const char *const kinds[] = {
        "mgda",   "cagrad",   "cagrad:c=2",       "imtl_g",
        "nash",   "fairgrad", "fairgrad:alpha=2", "fairgrad:alpha=0.5",
        "upgrad", "dualproj", "config",           "aligned_mtl"};
    problem p;
    for (int64_t t = 0; t < turns(); t++)
        for (int k = 0; k < MTL__COUNT_OF(kinds); k++) {
            draw(&p, t, true);
            answer a = aggregate(kinds[k], p.m, p.n, p.j, NULL);
            ck_assert_msg(a.residual < 1e-6, "%s, matrix %lld (%lldx%lld): residual %g", kinds[k],
                          (long long)t, (long long)p.m, (long long)p.n, a.residual);
        }
}
END_TEST

/* No other point of the hull is nearer to 0: <g_i, d> >= |d|^2. */
START_TEST(mgda_is_the_point_of_least_norm)
{
    problem p;
    for (int64_t t = 0; t < turns(); t++) {
        draw(&p, t, false);
        answer a = aggregate("mgda", p.m, p.n, p.j, NULL);
        double square = inner(p.n, a.u, a.u), sum = 0, shortest = INFINITY;
        for (int64_t i = 0; i < p.m; i++) {
            shortest = fmin(shortest, length_of(p.n, p.j + i * p.n));
            sum += a.w[i];
        }
        assert_near(sum, 1, 1e-12);
        for (int64_t i = 0; i < p.m; i++) {
            double length = length_of(p.n, p.j + i * p.n);
            ck_assert_msg(inner(p.n, p.j + i * p.n, a.u) >= square - 1e-6 * shortest * length,
                          "matrix %lld, row %lld", (long long)t, (long long)i);
        }
    }
}
END_TEST

START_TEST(sixty_four_tasks_are_solved_exactly)
{
    static const char *const kinds[] = {"mgda",   "cagrad",   "nash",   "fairgrad:alpha=2",
                                        "upgrad", "dualproj", "config", "aligned_mtl",
                                        "imtl_g"};
    static float j[64 * 64];
    static answer a;
    for (int k = 0; k < MTL__COUNT_OF(kinds); k++)
        for (int64_t m = 40; m <= 64; m += 24) {
            mtl__rng rng = mtl__rng_make(5, MTL__RNG_GENERATE, 1);
            for (int64_t i = 0; i < m * 64; i++)
                j[i] = (float)mtl__rng_normal(&rng) + (i % 64 == 0 ? 3.0f : 0.0f);
            a = aggregate(kinds[k], m, 64, j, NULL);
            ck_assert_msg(a.residual < 1e-6, "%s, %lld tasks: residual %g", kinds[k], (long long)m,
                          a.residual);
        }
}
END_TEST

START_TEST(hundreds_of_tasks_converge)
{
    static const char *const kinds[] = {"mgda", "cagrad", "nash", "dualproj", "imtl_g", "pcgrad"};
    enum { M = 300, N = 320 };
    float *j = malloc(sizeof *j * M * N);
    double *w = malloc(sizeof *w * M), residual;
    mtl__rng rng = mtl__rng_make(6, MTL__RNG_GENERATE, 1);
    for (int64_t i = 0; i < M * N; i++)
        j[i] = (float)mtl__rng_normal(&rng) + (i % N == 0 ? 2.0f : 0.0f);
    for (int k = 0; k < MTL__COUNT_OF(kinds); k++) {
        assert_ok(mtl_aggregate(kinds[k], M, N, j, N, NULL, w, NULL, &residual, &err));
        ck_assert_msg(residual < 1e-6, "%s: residual %g", kinds[k], residual);
    }
    free(j);
    free(w);
}
END_TEST

/* The first task alone is what it is about: the update does the others no harm (Chaudhry et al. 2019),
   and has as much of them as that takes. */
START_TEST(a_gem_does_the_other_tasks_no_harm)
{
    problem p;
    for (int64_t t = 0; t < turns(); t++) {
        static const char *const mains[] = {"", "1", "1/0", "1/0/0", "1/0/0/0", "1/0/0/0/0",
                                            "1/0/0/0/0/0", "1/0/0/0/0/0/0"};
        static const double scales[] = {1, 1e-12, 1e12, 0};
        char kind[64];
        double others = 0, length = 0, size;
        float r[MOST_N] = {0};
        draw(&p, t, false);
        for (int64_t i = 0; i < p.m * p.n; i++)
            p.j[i] *= (float)scales[t / 2 % 4];
        snprintf(kind, sizeof kind, "a_gem:main=%s", mains[p.m]);
        answer a = aggregate(kind, p.m, p.n, p.j, NULL);
        for (int64_t i = 1; i < p.m; i++)
            for (int64_t k = 0; k < p.n; k++)
                r[k] += p.j[i * p.n + k];
        length = length_of(p.n, r), size = length_of(p.n, p.j);
        others = inner(p.n, r, a.u);
        ck_assert_msg(others >= -1e-5 * length * size, "matrix %lld: %g", (long long)t, others);
        if (p.m > 1 && a.w[1] > 0)
            ck_assert(inner(p.n, r, p.j) < 0 && fabs(others) <= 1e-5 * length * size);
        snprintf(kind, sizeof kind, "gated:main=%s", mains[p.m]);
        a = aggregate(kind, p.m, p.n, p.j, NULL);
        for (int64_t i = 0; i < p.m; i++) {
            const double with = inner(p.n, p.j, p.j + i * p.n);
            const double most = size * length_of(p.n, p.j + i * p.n);
            if (fabs(with) > 1e-6 * most)
                ck_assert(a.w[i] == (with > 0));
        }
    }
    answer a;
    assert_fails(mtl_aggregate("a_gem:main=1/0", 3, 2, p.j, 2, NULL, a.w, a.u, NULL, &err),
                 MTL_ERR_RANGE, &err, "2 numbers are listed for 3 tasks");
    assert_fails(mtl_aggregate("gated:main=0/0", 2, 2, p.j, 2, NULL, a.w, a.u, NULL, &err),
                 MTL_ERR_RANGE, &err, "all numbers");
    assert_fails(mtl_aggregate("gated:main=2/0", 2, 2, p.j, 2, NULL, a.w, a.u, NULL, &err),
                 MTL_ERR_RANGE, &err, "main");
}
END_TEST

/* ---- Where there is little to solve ---- */

static const char *const all[] = {"sum",
                                  "mean",
                                  "constant",
                                  "rlw",
                                  "mgda",
                                  "pcgrad",
                                  "gradvac",
                                  "cagrad",
                                  "imtl_g",
                                  "nash",
                                  "fairgrad",
                                  "aligned_mtl",
                                  "upgrad",
                                  "dualproj",
                                  "config",
                                  "gradnorm",
                                  "graddrop",
                                  "db_mtl",
                                  "excess_mtl",
                                  "uw",
                                  "dwa",
                                  "gls",
                                  "imtl_l",
                                  "stch",
                                  "famo",
                                  "pcgrad:order=mean",
                                  "fairgrad:alpha=2",
                                  "cagrad:c=1",
                                  "aligned_mtl:mode=median"};

START_TEST(answers_are_finite_at_any_scale_and_rank)
{
    static const double scales[] = {0, 1e-10, 1e-5, 1, 1e5, 1e10, 1e15};
    static const double losses[] = {1, 0.5, 0, 2, 1e-12};
    for (int k = 0; k < MTL__COUNT_OF(all); k++)
        for (int s = 0; s < MTL__COUNT_OF(scales); s++)
            for (int64_t n = 1; n <= 6; n++)
                for (int rank = 0; rank < 3; rank++) {
                    float j[5 * 6];
                    mtl__rng rng = mtl__rng_make((uint64_t)n, MTL__RNG_GENERATE, 2);
                    for (int64_t i = 0; i < 5 * n; i++) {
                        double x = rank == 0 ? 1 : mtl__rng_normal(&rng);
                        if (rank == 1 && i >= n)
                            x = (double)(j[i % n]) / (scales[s] > 0 ? scales[s] : 1) *
                                (double)(i / n % 2 ? -1 : 2);
                        j[i] = (float)(scales[s] * x);
                    }
                    aggregate(all[k], 5, n, j, losses);
                }
}
END_TEST

START_TEST(scaling_all_rows_scales_the_update)
{
    problem p;
    for (int k = 0; k < MTL__COUNT_OF(deterministic); k++)
        for (int64_t t = 0; t < 20; t++) {
            static float j[MOST_M * MOST_N];
            draw(&p, 2 * t, true);
            answer a = aggregate(deterministic[k], p.m, p.n, p.j, p.losses);
            for (int64_t i = 0; i < p.m * p.n; i++)
                j[i] = p.j[i] * 0x1p30f;
            answer b = aggregate(deterministic[k], p.m, p.n, j, p.losses);
            const bool has_power = k == 7 || k == 8; /* nash's, until it is cut; fairgrad's */
            for (int64_t c = 0; c < p.n && !has_power; c++)
                ck_assert_msg(fabs((double)b.u[c] - 0x1p30 * (double)a.u[c]) <=
                                  1e-5 * 0x1p30 * length_of(p.n, a.u),
                              "%s", deterministic[k]);
        }
}
END_TEST

START_TEST(a_row_of_zeroes_is_as_good_as_none)
{
    static const char *const kinds[] = {"mgda",     "pcgrad",   "cagrad",      "imtl_g",
                                        "nash",     "fairgrad", "aligned_mtl", "upgrad",
                                        "dualproj", "config",   "gradvac"};
    problem p;
    for (int k = 0; k < MTL__COUNT_OF(kinds); k++)
        for (int64_t t = 0; t < 50; t++) {
            static float more[MOST_M * MOST_N];
            draw(&p, t, true);
            const int64_t at = mtl__rng_below(&p.rng, p.m + 1);
            memset(more, 0, sizeof more);
            memcpy(more, p.j, (size_t)(at * p.n) * sizeof(float));
            memcpy(more + (at + 1) * p.n, p.j + at * p.n,
                   (size_t)((p.m - at) * p.n) * sizeof(float));
            answer a = aggregate(kinds[k], p.m, p.n, p.j, NULL);
            answer b = aggregate(kinds[k], p.m + 1, p.n, more, NULL);
            ck_assert(b.w[at] == 0);
            assert_same_bits(b.u, a.u, p.n);
        }
}
END_TEST

START_TEST(gradients_without_values_are_zeroes)
{
    static const double losses[] = {1, 2};
    for (int k = 0; k < MTL__COUNT_OF(all); k++) {
        double w[] = {7, 7}, gram_w[] = {7, 7}, residual = 7;
        static const double gram[4];
        assert_ok(mtl_aggregate(all[k], 2, 0, NULL, 0, losses, w, NULL, &residual, &err));
        ck_assert_msg(isfinite(w[0]) && isfinite(w[1]) && residual == 0, "%s", all[k]);
        if (mtl_aggregate_gram(all[k], 2, gram, 2, losses, gram_w, NULL, NULL) == MTL_OK)
            ck_assert_msg(memcmp(w, gram_w, sizeof w) == 0, "%s", all[k]);
    }
}
END_TEST

START_TEST(equal_rows_share_and_opposite_rows_stop)
{
    static const char *const stops[] = {"mgda",     "imtl_g", "nash",   "fairgrad", "upgrad",
                                        "dualproj", "config", "cagrad", "pcgrad"};
    static const float equal[] = {1, 2, 3, 1, 2, 3}, opposite[] = {1, 2, 3, -1, -2, -3};
    static const char *const kinds[] = {"mean", "imtl_g", "upgrad", "dualproj", "cagrad:c=0"};
    for (int k = 0; k < MTL__COUNT_OF(kinds); k++) {
        answer a = aggregate(kinds[k], 2, 3, equal, NULL);
        for (int c = 0; c < 3; c++)
            assert_near((double)a.u[c], c + 1.0, 1e-6);
    }
    for (int k = 0; k < MTL__COUNT_OF(stops); k++) {
        answer a = aggregate(stops[k], 2, 3, opposite, NULL);
        for (int c = 0; c < 3; c++)
            ck_assert_msg(fabs((double)a.u[c]) < 1e-6, "%s: %g", stops[k], (double)a.u[c]);
    }
}
END_TEST

START_TEST(a_task_whose_loss_is_nan_takes_no_part)
{
    static const float j[] = {1, 2, NAN, INFINITY, -2, 1, 3, 3};
    static const float rest[] = {1, 2, -2, 1, 3, 3};
    static const double losses[] = {1, NAN, 2, 0.5}, of_rest[] = {1, 2, 0.5};
    for (int k = 0; k < MTL__COUNT_OF(all); k++) {
        answer a = aggregate(all[k], 4, 2, j, losses), b = aggregate(all[k], 3, 2, rest, of_rest);
        ck_assert_msg(a.w[1] == 0, "%s", all[k]);
        ck_assert_msg(a.w[0] == b.w[0] && a.w[2] == b.w[1] && a.w[3] == b.w[2], "%s", all[k]);
        assert_same_bits(a.u, b.u, 2);
    }
    static const double none[] = {NAN, NAN, NAN, NAN};
    for (int k = 0; k < MTL__COUNT_OF(all); k++) {
        answer a = aggregate(all[k], 4, 2, j, none);
        ck_assert(a.w[0] == 0 && a.w[3] == 0 && a.u[0] == 0 && a.u[1] == 0);
    }
}
END_TEST

/* ---- Gramian and Jacobian ---- */

START_TEST(the_gramian_alone_gives_the_same_weights)
{
    problem p;
    for (int k = 0; k < MTL__COUNT_OF(all); k++)
        for (int64_t t = 0; t < 20; t++) {
            double gram[MOST_M * MOST_M], w[MOST_M], residual;
            draw(&p, t, false);
            if (strstr("graddrop db_mtl excess_mtl", all[k]))
                continue;
            for (int64_t i = 0; i < p.m * p.m; i++)
                gram[i] = inner(p.n, p.j + i / p.m * p.n, p.j + i % p.m * p.n);
            answer a = aggregate(all[k], p.m, p.n, p.j, p.losses);
            assert_ok(mtl_aggregate_gram(all[k], p.m, gram, p.m, p.losses, w, &residual, &err));
            double size = 0, error = 0;
            for (int64_t c = 0; c < p.n; c++) {
                double sum = 0;
                for (int64_t i = 0; i < p.m; i++) {
                    sum += w[i] * (double)p.j[i * p.n + c];
                    size += fabs(w[i] * (double)p.j[i * p.n + c]);
                }
                error = fmax(error, fabs(sum - (double)a.u[c]));
            }
            ck_assert_msg(error <= 1e-6 * size, "%s, matrix %lld: %g of %g", all[k], (long long)t,
                          error, size);
        }
    double w;
    assert_fails(mtl_aggregate_gram("graddrop", 1, &w, 1, NULL, &w, NULL, &err), MTL_ERR_INVALID,
                 &err, "graddrop needs the Jacobian");
}
END_TEST

START_TEST(strides_are_respected)
{
    const float j[] = {1, 2, 99, -2, 1, 99}, dense[] = {1, 2, -2, 1};
    answer a = aggregate("upgrad", 2, 2, dense, NULL), b;
    assert_ok(mtl_aggregate("upgrad", 2, 2, j, 3, NULL, b.w, b.u, NULL, &err));
    assert_same_bits(a.u, b.u, 2);
}
END_TEST

/* ---- GradDrop and RLW ---- */

START_TEST(graddrop_keeps_the_parts_of_one_sign)
{
    static const float j[] = {1, -2, 3, 0, -1, 3, 2, 0};
    mtl_aggregator *agg;
    answer a;
    int64_t first = 0;
    enum { STEPS = 4000 };
    assert_ok(mtl_aggregator_create("graddrop", 2, 4, 3, &agg, &err));
    for (int s = 0; s < STEPS; s++) {
        assert_ok(mtl_aggregator_step(agg, j, 4, NULL, a.w, a.u, &a.residual, &err));
        ck_assert(a.u[0] == 1 || a.u[0] == -1);
        ck_assert(a.u[1] == -2 || a.u[1] == 3);
        ck_assert(a.u[2] == 5 && a.u[3] == 0);
        first += a.u[1] == 3;
    }
    ck_assert_msg(fabs((double)first / STEPS - 0.6) < 0.03, "%lld",
                  (long long)first); /* 3.9 sigma */
    mtl_aggregator_destroy(agg);
    a = aggregate("graddrop:leak=1", 2, 4, j, NULL);
    ck_assert(a.u[0] == 0 && a.u[1] == 1 && a.u[2] == 5 && a.w[0] == 1);
}
END_TEST

START_TEST(random_weights_are_positive_and_sum_to_one)
{
    mtl_aggregator *agg;
    double w[3], mean[3] = {0}, before = 0;
    assert_ok(mtl_aggregator_create("rlw", 3, 0, 3, &agg, &err));
    for (int s = 0; s < 3000; s++) {
        assert_ok(mtl_aggregator_step_gram(agg, NULL, 0, NULL, w, NULL, &err));
        assert_near(w[0] + w[1] + w[2], 1, 1e-14);
        ck_assert(w[0] > 0 && w[1] > 0 && w[2] > 0 && w[0] != before);
        before = w[0];
        for (int i = 0; i < 3; i++)
            mean[i] += w[i] / 3000;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_msg(fabs(mean[i] - 1.0 / 3) < 0.02, "%g", mean[i]); /* 4 sigma */
    mtl_aggregator_destroy(agg);
}
END_TEST

START_TEST(the_seed_gives_the_order_of_pcgrad)
{
    problem p;
    int differ = 0;
    for (int64_t t = 0; t < 40; t++) {
        answer a, b, c;
        mtl_aggregator *agg;
        draw(&p, t, true);
        for (uint64_t seed = 1; seed < 3; seed++) {
            assert_ok(mtl_aggregator_create("pcgrad", p.m, p.n, seed, &agg, &err));
            assert_ok(mtl_aggregator_step(agg, p.j, p.n, NULL, a.w, a.u, NULL, &err));
            if (seed == 1)
                b = a;
            mtl_aggregator_reset(agg);
            assert_ok(mtl_aggregator_step(agg, p.j, p.n, NULL, c.w, c.u, NULL, &err));
            assert_same_bits(a.u, c.u, p.n);
            mtl_aggregator_destroy(agg);
        }
        differ += memcmp(a.u, b.u, (size_t)p.n * sizeof(float)) != 0;
    }
    ck_assert_int_gt(differ, 10);
}
END_TEST

/* ---- State ---- */

/* Steps from `first` on; outputs of the last. */
static answer steps_of(mtl_aggregator *agg, int64_t first, int64_t count)
{
    answer a;
    problem p;
    for (int64_t s = first; s < first + count; s++) {
        draw(&p, 3, true);
        for (int64_t i = 0; i < p.m; i++) {
            p.losses[i] = i == s % 7 ? NAN : 1.0 / (double)(1 + (s * (i + 3)) % 5);
            p.j[i] += (float)s;
        }
        assert_ok(mtl_aggregator_step(agg, p.j, p.n, p.losses, a.w, a.u, &a.residual, &err));
        assert_ok(mtl_aggregator_feedback(agg, p.losses, &err));
    }
    return a;
}

START_TEST(a_saved_state_goes_on_with_the_same_bits)
{
    problem p;
    draw(&p, 3, true);
    for (int k = 0; k < MTL__COUNT_OF(all); k++)
        for (int64_t at = 0; at < 6; at++) {
            mtl_aggregator *agg, *loaded;
            void *bytes;
            int64_t size;
            assert_ok(mtl_aggregator_create(all[k], p.m, p.n, 11, &agg, &err));
            steps_of(agg, 0, at);
            assert_ok(mtl_aggregator_save_buffer(agg, &bytes, &size, &err));
            assert_ok(mtl_aggregator_load_buffer(bytes, size, &loaded, &err));
            answer a = steps_of(agg, at, 4), b = steps_of(loaded, at, 4);
            assert_same_bits(a.u, b.u, p.n);
            ck_assert(memcmp(a.w, b.w, (size_t)p.m * sizeof *a.w) == 0);
            mtl_free(bytes);
            mtl_aggregator_destroy(loaded);
            mtl_aggregator_reset(agg);
            mtl_aggregator *fresh;
            assert_ok(mtl_aggregator_create(all[k], p.m, p.n, 11, &fresh, &err));
            a = steps_of(agg, 0, 2);
            b = steps_of(fresh, 0, 2);
            assert_same_bits(a.u, b.u, p.n);
            mtl_aggregator_destroy(fresh);
            mtl_aggregator_destroy(agg);
        }
}
END_TEST

START_TEST(bytes_that_were_not_saved_are_refused)
{
    mtl_aggregator *agg, *out = NULL;
    void *buffer;
    int64_t size;
    assert_ok(mtl_aggregator_create("famo", 3, 2, 11, &agg, &err));
    assert_ok(mtl_aggregator_save_buffer(agg, &buffer, &size, &err));
    mtl_aggregator_destroy(agg);
    char *copy = malloc((size_t)size);
    for (int64_t cut = 0; cut < size; cut++) {
        memcpy(copy, buffer, (size_t)cut);
        assert_fails(mtl_aggregator_load_buffer(copy, cut, &out, &err), MTL_ERR_FORMAT, &err, "");
    }
    for (int64_t at = 0; at < size; at++) {
        memcpy(copy, buffer, (size_t)size);
        copy[at] = (char)(copy[at] ^ 0x41);
        err = (mtl_error){0};
        mtl_status st = mtl_aggregator_load_buffer(copy, size, &out, &err);
        ck_assert_msg(st == MTL_ERR_FORMAT || st == MTL_ERR_CHECKSUM || st == MTL_ERR_VERSION,
                      "byte %lld: %s", (long long)at, mtl__status_name(st));
    }
    ck_assert_ptr_null(out);
    free(copy);
    mtl_free(buffer);
    err = (mtl_error){0};
}
END_TEST

/* ---- Failures ---- */

START_TEST(failures_say_what_is_wrong)
{
    const float j[] = {1, 2, 3, INFINITY};
    const double gram[] = {1, 0.5, 0.4, 1}, big[] = {1, 2, 2, 1}, negative[] = {-1, 0, 0, 1};
    const double losses[] = {1, -2}, infinite[] = {1, INFINITY};
    double w[2] = {7, 7};
    float u[2];
    mtl_aggregator *agg = NULL;
    assert_fails(mtl_aggregate("upgrat", 2, 2, j, 2, NULL, w, u, NULL, &err), MTL_ERR_NAME, &err,
                 "upgrad");
    assert_fails(mtl_aggregate("cagrad:d=1", 2, 2, j, 2, NULL, w, u, NULL, &err), MTL_ERR_RANGE,
                 &err, "c");
    assert_fails(mtl_aggregate("cagrad:c=-1", 2, 2, j, 2, NULL, w, u, NULL, &err), MTL_ERR_RANGE,
                 &err, "0 .. 1000");
    assert_fails(mtl_aggregate("upgrad:pref=1/2/3", 2, 2, j, 2, NULL, w, u, NULL, &err),
                 MTL_ERR_RANGE, &err, "3 numbers are listed for 2 tasks");
    assert_fails(mtl_aggregate("constant:weights=0/0", 2, 2, j, 2, NULL, w, u, NULL, &err),
                 MTL_ERR_RANGE, &err, "all numbers");
    assert_fails(mtl_aggregate("constant:weights=1/x", 2, 2, j, 2, NULL, w, u, NULL, &err),
                 MTL_ERR_RANGE, &err, "\"x\"");
    assert_fails(mtl_aggregate("constant:weights=1/", 2, 2, j, 2, NULL, w, u, NULL, &err),
                 MTL_ERR_RANGE, &err, "\"\"");
    assert_fails(mtl_aggregate("sum", 2, 2, j, 2, NULL, w, u, NULL, &err), MTL_ERR_VALUE, &err,
                 "row 1, column 1 is inf");
    assert_fails(mtl_aggregate("upgrad", 2, 2, j, 1, NULL, w, u, NULL, &err), MTL_ERR_SHAPE, &err,
                 "stride");
    assert_fails(mtl_aggregate("upgrad", 0, 2, j, 2, NULL, w, u, NULL, &err), MTL_ERR_RANGE, &err,
                 "m: 0");
    assert_fails(mtl_aggregate("upgrad", 2, -1, j, 2, NULL, w, u, NULL, &err), MTL_ERR_SHAPE, &err,
                 "-1");
    assert_fails(mtl_aggregate("upgrad", 2, 2, NULL, 2, NULL, w, u, NULL, &err), MTL_ERR_INVALID,
                 &err, "jacobian");
    assert_fails(mtl_aggregate("upgrad", 60000, 0, j, 2, NULL, w, u, NULL, &err), MTL_ERR_RANGE,
                 &err, "60000");
    assert_fails(mtl_aggregate("pcgrad:order=mean", 11, 0, j, 2, NULL, w, u, NULL, &err),
                 MTL_ERR_RANGE, &err, "at most 10");
    assert_fails(mtl_aggregate("gls", 2, 1, j, 2, NULL, w, u, NULL, &err), MTL_ERR_INVALID, &err,
                 "needs the losses");
    assert_fails(mtl_aggregate("gls", 2, 1, j, 2, losses, w, u, NULL, &err), MTL_ERR_VALUE, &err,
                 "task 1 is -2");
    assert_fails(mtl_aggregate("uw", 2, 1, j, 2, infinite, w, u, NULL, &err), MTL_ERR_VALUE, &err,
                 "task 1 is inf");
    assert_fails(mtl_aggregate_gram("mgda", 2, gram, 2, NULL, w, NULL, &err), MTL_ERR_VALUE, &err,
                 "[1, 0] is 0.4");
    assert_fails(mtl_aggregate_gram("mgda", 2, big, 2, NULL, w, NULL, &err), MTL_ERR_VALUE, &err,
                 "no Gramian");
    assert_fails(mtl_aggregate_gram("mgda", 2, negative, 2, NULL, w, NULL, &err), MTL_ERR_VALUE,
                 &err, "[0, 0] is -1");
    assert_fails(mtl_aggregator_create("sum", 2, 2, UINT64_MAX, &agg, &err), MTL_ERR_RANGE, &err,
                 "seed");
    assert_fails(mtl_aggregator_create("sum", 2, 2, 0, NULL, &err), MTL_ERR_INVALID, &err, "out");
    assert_fails(mtl_aggregator_create(NULL, 2, 2, 0, &agg, &err), MTL_ERR_INVALID, &err, "kind");
    ck_assert_ptr_null(agg);
    ck_assert(w[0] == 7 && w[1] == 7);
    mtl_aggregator_destroy(NULL);
    mtl_aggregator_reset(NULL);
}
END_TEST

/* What a failing step leaves is what it found. */
START_TEST(a_failed_step_changes_no_state)
{
    const float good[] = {1, 2, -3, 1}, bad[] = {1, 2, NAN, 3};
    const double losses[] = {1, 2}, worse[] = {1, INFINITY};
    for (int k = 0; k < MTL__COUNT_OF(all); k++) {
        mtl_aggregator *agg;
        void *before, *after;
        int64_t size, size_after;
        double w[2];
        assert_ok(mtl_aggregator_create(all[k], 2, 2, 1, &agg, &err));
        assert_ok(mtl_aggregator_step(agg, good, 2, losses, w, NULL, NULL, &err));
        assert_ok(mtl_aggregator_save_buffer(agg, &before, &size, &err));
        assert_fails(mtl_aggregator_step(agg, bad, 2, losses, w, NULL, NULL, &err), MTL_ERR_VALUE,
                     &err, "row 1, column 0 is nan");
        if (mtl_aggregate(all[k], 2, 2, good, 2, NULL, w, NULL, NULL, NULL) == MTL_ERR_INVALID)
            assert_fails(mtl_aggregator_step(agg, good, 2, worse, w, NULL, NULL, &err),
                         MTL_ERR_VALUE, &err, "task 1 is inf");
        assert_ok(mtl_aggregator_save_buffer(agg, &after, &size_after, &err));
        ck_assert(size == size_after && memcmp(before, after, (size_t)size) == 0);
        mtl_free(before);
        mtl_free(after);
        mtl_aggregator_destroy(agg);
    }
}
END_TEST

START_TEST(a_saved_length_of_the_rows_takes_no_memory_unless_it_is_there)
{
    mtl_aggregator *agg, *loaded;
    void *bytes;
    int64_t size;
    assert_ok(mtl_aggregator_create("aligned_mtl", 2, 1000000000000, 1, &agg, &err));
    assert_ok(mtl_aggregator_save_buffer(agg, &bytes, &size, &err));
    assert_ok(mtl_aggregator_load_buffer(bytes, size, &loaded, &err));
    mtl_free(bytes);
    mtl_aggregator_destroy(agg);
    mtl_aggregator_destroy(loaded);
    assert_status(mtl_aggregator_create("db_mtl", 65536, INT64_MAX / 2, 1, &agg, &err),
                  MTL_ERR_NOMEM);
    err = (mtl_error){0};
}
END_TEST

static mtl_status make_one(void *arg)
{
    test_memory *memory = arg;
    const mtl__allocator al = test_allocator(memory);
    struct mtl_aggregator *agg = NULL;
    mtl_status st = mtl__aggregator_create("gradvac", 4, 0, 1, &al, &agg, NULL);
    ck_assert((agg != NULL) == (st == MTL_OK));
    mtl__aggregator_destroy(agg, &al);
    return st;
}

START_TEST(a_handle_takes_memory_once_or_fails)
{
    test_memory memory = {0};
    ck_assert_int_eq(sweep_allocations(&memory, make_one, &memory), 1);
}
END_TEST

/* The bits are the same whatever computes them: of a mean over many steps of all kinds. */
START_TEST(the_bits_are_known)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (int k = 0; k < MTL__COUNT_OF(all); k++) {
        problem p;
        mtl_aggregator *agg;
        draw(&p, 3, true);
        assert_ok(mtl_aggregator_create(all[k], p.m, p.n, 11, &agg, &err));
        answer a = steps_of(agg, 0, 5);
        const unsigned char *bytes = (const unsigned char *)a.w;
        for (int64_t i = 0; i < p.m * (int64_t)sizeof *a.w; i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
        mtl_aggregator_destroy(agg);
    }
    ck_assert_msg(hash == 0x2e10dad7bc4b9decu, "%llx", (unsigned long long)hash);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("aggregate");
    add_case(s, "focus", a_gem_does_the_other_tasks_no_harm);
    add_case(s, "golden", answers_equal_those_of_other_solvers);
    add_case(s, "non-conflicting", updates_do_not_conflict_with_any_task);
    add_case(s, "linear", updates_are_linear_under_scaling_where_promised);
    add_case(s, "permutation", weights_follow_the_tasks_when_these_change_places);
    add_case(s, "stationary", only_a_pareto_point_stops_upgrad_and_dualproj);
    add_case(s, "optimal", solvers_meet_their_conditions);
    add_case(s, "least norm", mgda_is_the_point_of_least_norm);
    add_case(s, "64 tasks", sixty_four_tasks_are_solved_exactly);
    add_case(s, "hundreds", hundreds_of_tasks_converge);
    add_case(s, "finite", answers_are_finite_at_any_scale_and_rank);
    add_case(s, "scale", scaling_all_rows_scales_the_update);
    add_case(s, "zero row", a_row_of_zeroes_is_as_good_as_none);
    add_case(s, "no values", gradients_without_values_are_zeroes);
    add_case(s, "equal and opposite", equal_rows_share_and_opposite_rows_stop);
    add_case(s, "absent", a_task_whose_loss_is_nan_takes_no_part);
    add_case(s, "gramian", the_gramian_alone_gives_the_same_weights);
    add_case(s, "strides", strides_are_respected);
    add_case(s, "graddrop", graddrop_keeps_the_parts_of_one_sign);
    add_case(s, "rlw", random_weights_are_positive_and_sum_to_one);
    add_case(s, "pcgrad", the_seed_gives_the_order_of_pcgrad);
    add_case(s, "state", a_saved_state_goes_on_with_the_same_bits);
    add_case(s, "hostile", bytes_that_were_not_saved_are_refused);
    add_case(s, "failures", failures_say_what_is_wrong);
    add_case(s, "failed step", a_failed_step_changes_no_state);
    add_case(s, "long rows", a_saved_length_of_the_rows_takes_no_memory_unless_it_is_there);
    add_case(s, "memory", a_handle_takes_memory_once_or_fails);
    add_case(s, "bits", the_bits_are_known);
    return run_suite(s);
}
