/* SPDX-License-Identifier: MIT */
/* lib/transfer/choice_of_strategy.c: which candidates, and how much of each, on figures alone. */
#include "testing.h"

#include "../golden/strategy_choice.h"
#include "transfer/choice_of_strategy.h"

enum { ROWS = 20, SIMULATIONS = 3, MOST = 5 };

static double scratch[4096];
static int64_t own_units[ROWS * 4];
static bool is_flat;
static double lacking; /* in choose_between() */

static void number_units(int64_t rows, int64_t units)
{
    for (int64_t i = 0; i < rows; i++)
        own_units[i] = i % units;
}

START_TEST(as_numpy_has_it)
{
    static const int64_t first[] = {0, 1, 3, 4, 6, 8};
    static const bool is_floor[] = {true, false, true, false, false};
    for (size_t k = 0; k < sizeof golden_choices / sizeof *golden_choices; k++) {
        const struct golden_choice *g = &golden_choices[k];
        mtl__verdict v[MOST];
        const mtl__evidence e = {.candidates = 5, .first = first, .is_floor = is_floor, .model = g->model, .rows = 14,
                                 .room = 14, .width = 2, .own = g->own, .units = 7, .unit = g->unit,
                                 .simulations = 3, .simulated = g->simulated, .doubt = g->doubt,
                                 .scratch = scratch};
        ck_assert_int_le(mtl__choice_scratch(5, 14), (int64_t)(sizeof scratch / sizeof *scratch));
        const mtl__chosen c = mtl__choose(&e, g->most, v);
        ck_assert_double_eq_tol(c.trust, g->trust, 1e-6);
        ck_assert_double_eq_tol(c.score, g->score, 1e-6);
        ck_assert_int_eq(c.floor, g->floor);
        for (int i = 0; i < 5; i++) {
            ck_assert_int_eq(v[i].variant, g->variant[i]);
            ck_assert_msg(fabs(v[i].weight - g->weight[i]) < 1e-5, "case %zu, candidate %d: %.9g, not %.9g",
                          k, i, v[i].weight, g->weight[i]);
            ck_assert(v[c.winner].weight >= v[i].weight);
        }
    }
}
END_TEST

/* Two candidates of one variant each, the first a floor: residuals of a and b, more or less noise. What
   is wrong with one is wrong with the other, too, unless they are apart. */
static mtl__chosen choose_between(float a, float b, float noise, bool apart, const double *simulated,
                                  int64_t most, mtl__verdict *v)
{
    static const int64_t first[] = {0, 1, 2};
    static const bool is_floor[] = {true, false};
    static const int64_t model[] = {0, 1};
    float own[2 * ROWS];
    number_units(ROWS, ROWS);
    for (int i = 0; i < ROWS; i++) {
        own[i] = a + (i % 2 ? noise : -noise);
        own[ROWS + i] = (apart && i % 4 < 2 ? -1 : 1) * (b + (i % 3 ? noise : -noise));
    }
    const mtl__evidence e = {.candidates = 2, .first = first, .is_floor = is_floor, .model = model, .rows = ROWS,
                             .room = ROWS, .width = 1, .own = own, .units = ROWS, .unit = own_units,
                             .is_flat = is_flat,
                             .simulations = simulated ? SIMULATIONS : 0, .simulated = simulated,
                             .lacking = lacking, .doubt = simulated ? 0.5 : 0, .scratch = scratch};
    return mtl__choose(&e, most, v);
}

START_TEST(the_better_one_and_both)
{
    mtl__verdict v[2];
    ck_assert_int_eq(choose_between(1, 0.2f, 0.01f, false, NULL, 1, v).winner, 1);
    ck_assert_double_eq(v[1].weight, 1);
    ck_assert_int_eq(choose_between(0.2f, 1, 0.01f, false, NULL, 1, v).winner, 0);
    ck_assert_int_eq(choose_between(0.2f, NAN, 0.01f, false, NULL, 3, v).winner, 0);
    ck_assert_double_eq(v[0].weight, 1);
    ck_assert_int_eq(v[1].variant, -1);
    const mtl__chosen none = choose_between(NAN, NAN, 0, false, NULL, 3, v);
    ck_assert_int_eq(none.winner, -1);
    ck_assert_int_eq(none.floor, -1);
    /* Errors of their own cancel: as good as each other, half of each. */
    const mtl__chosen c = choose_between(1, 1, 0, true, NULL, 2, v);
    ck_assert_double_eq_tol(v[0].weight, 0.5, 1e-9);
    ck_assert_double_eq_tol(c.score, 0.5, 1e-9);
}
END_TEST

/* Mean products: errors, and 0 between the two. */
static void simulate(double *to, const double *errors)
{
    for (int i = 0; i < SIMULATIONS; i++) {
        to[4 * i] = errors[2 * i];
        to[4 * i + 3] = errors[2 * i + 1];
        to[4 * i + 1] = to[4 * i + 2] = 0.9 * errors[2 * i + 1];
    }
}

START_TEST(simulations_weigh_with_few_rows)
{
    mtl__verdict v[2];
    static const double for_second[] = {1, 0.5, 0.9, 0.4, 1.1, 0.6};
    double simulated[4 * SIMULATIONS];
    simulate(simulated, for_second);
    /* Own rows are unsure, simulations agree. */
    ck_assert_int_eq(choose_between(1, 1.01f, 0.9f, false, NULL, 1, v).winner, 0);
    mtl__chosen c = choose_between(1, 1.01f, 0.9f, false, simulated, 1, v);
    ck_assert_int_eq(c.winner, 1);
    ck_assert_double_eq_tol(v[1].simulated, 0.5, 1e-9);
    ck_assert_double_lt(c.trust, 0.3);
    /* Rows that they count as are fewer where they had fewer. */
    const double worth = ROWS / c.trust - ROWS;
    lacking = 0.75;
    c = choose_between(1, 1.01f, 0.9f, false, simulated, 1, v);
    lacking = 0;
    ck_assert_double_eq_tol(ROWS / c.trust - ROWS, worth / 4, 1e-9);
    /* Sure rows are not talked out of it. */
    c = choose_between(0.3f, 1, 0.01f, false, simulated, 1, v);
    ck_assert_int_eq(c.winner, 0);
    ck_assert_double_gt(c.trust, 0.9);
    /* Labels that are all the same say nothing, however sure they look. */
    is_flat = true;
    c = choose_between(0.3f, 1, 0.01f, false, simulated, 1, v);
    is_flat = false;
    ck_assert_int_eq(c.winner, 1);
    ck_assert_double_eq(c.trust, 0);
}
END_TEST

/* An average whose lead is not sure is drawn to the floor; without any doubt it is not. */
START_TEST(the_floor_is_left_for_what_is_sure)
{
    mtl__verdict v[2];
    static const double unsure[] = {1, 0.2, 0.6, 1, 1, 0.8}, sure[] = {1, 0.5, 1, 0.5, 1, 0.5};
    double simulated[4 * SIMULATIONS];
    simulate(simulated, sure);
    choose_between(1, 0.9f, 0.3f, false, simulated, 2, v);
    ck_assert_double_lt(v[0].weight, 0.15);
    simulate(simulated, unsure);
    choose_between(1, 0.9f, 0.3f, false, simulated, 2, v);
    ck_assert_double_gt(v[0].weight, 0.2);
}
END_TEST

/* Rows that stand there four times say as much as once; so do those of a group that says one thing. */
START_TEST(repeats_are_no_rows)
{
    static const int64_t first[] = {0, 1, 2};
    static const bool is_floor[] = {true, false};
    float own[8 * ROWS];
    double once, more, difference[2];
    const double a[] = {1, 0}, b[] = {0, 1};
    for (int i = 0; i < 8 * ROWS; i++)
        own[i] = (float)(i % ROWS % 7);
    for (int i = 4 * ROWS; i < 8 * ROWS; i++)
        own[i] = (float)(i % ROWS % 3);
    mtl__verdict v[2] = {{.variant = 0}, {.variant = 0}};
    mtl__evidence e = {.candidates = 2, .first = first, .is_floor = is_floor, .rows = ROWS,
                       .room = 4 * ROWS, .width = 1, .own = own, .units = ROWS, .unit = own_units,
                       .scratch = scratch};
    number_units(4 * ROWS, ROWS);
    mtl__compare(&e, v, 1, a, b, &difference[0], &once);
    e.rows = 4 * ROWS;
    mtl__compare(&e, v, 1, a, b, &difference[1], &more);
    ck_assert_double_eq(difference[1], difference[0]);
    ck_assert_double_eq_tol(more, once, 1e-12);
    ck_assert_double_gt(once, 0);
    /* The same figures as those of independent rows. */
    e.units = e.rows;
    number_units(e.rows, e.units);
    mtl__compare(&e, v, 1, a, b, &difference[1], &more);
    ck_assert_double_eq_tol(more / once, sqrt((ROWS - 1) / (4.0 * ROWS - 1)), 1e-9);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("strategy_choice");
    add_case(s, "as NumPy and SciPy have it", as_numpy_has_it);
    add_case(s, "the better one, or both", the_better_one_and_both);
    add_case(s, "simulations weigh with few rows", simulations_weigh_with_few_rows);
    add_case(s, "the floor is left for what is sure", the_floor_is_left_for_what_is_sure);
    add_case(s, "repeats add no certainty", repeats_are_no_rows);
    return run_suite(s);
}
