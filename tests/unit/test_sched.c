/* SPDX-License-Identifier: MIT */
/* Schedules against torch.optim.lr_scheduler (golden/make_optim.py), the warm-up, and the edges. */
#include "testing.h"

#include "../golden/optim_torch.h"
#include "sched/sched.h"

static mtl__sched make(const char *text, double warm_up, int64_t steps, int64_t epoch_steps,
                       mtl__sched_now *now)
{
    mtl__choice c;
    mtl__sched s;
    assert_ok(mtl__choice_parse(&mtl__schedules, text, -1, &c, NULL));
    mtl__sched_init(&s, &c, warm_up, steps, epoch_steps, now);
    return s;
}

START_TEST(golden_schedule)
{
    mtl__sched_now now;
    const char *text = golden_schedules[_i].text;
    mtl__sched s = make(text, 0, GOLDEN_TOTAL, GOLDEN_EPOCH, &now);
    ck_assert_int_eq(mtl__sched_needs_validation(&s.choice), strncmp(text, "plateau", 7) == 0);
    for (int step = 0; step < GOLDEN_TOTAL; step++) {
        double ours = mtl__sched_factor(&s, &now, step), theirs = golden_schedules[_i].factor[step];
        ck_assert_msg(fabs(ours - theirs) < 1e-12, "%s, step %d: %.17g, not %.17g", text, step,
                      ours, theirs);
        if ((step + 1) % GOLDEN_EPOCH == 0)
            mtl__sched_after_epoch(&s, &now, golden_losses[step / GOLDEN_EPOCH]);
    }
}
END_TEST

START_TEST(warm_up)
{
    mtl__sched_now now;
    mtl__sched s = make("linear:final=0.5", 4, 24, 6, &now);
    for (int step = 0; step < 24; step++) {
        double expected = step < 4 ? (step + 1) / 4.0 : 1 - 0.5 * (step - 4) / 20.0;
        assert_near(mtl__sched_factor(&s, &now, step), expected, 1e-15);
    }
    s = make("constant", 0.25, 24, 6, &now); /* a share */
    ck_assert_int_eq(s.warm_up, 6);
    assert_near(mtl__sched_factor(&s, &now, 0), 1 / 6.0, 1e-15);
    ck_assert_double_eq(mtl__sched_factor(&s, &now, 6), 1);
    s = make("step:every=1,gamma=0.5", 3, 24, 2, &now); /* epochs count from the run's start */
    assert_near(mtl__sched_factor(&s, &now, 2), 0.5, 1e-15);
    assert_near(mtl__sched_factor(&s, &now, 4), 0.25, 1e-15);
    s = make("cosine", 1e9, 10, 5, &now); /* longer than the run */
    assert_near(mtl__sched_factor(&s, &now, 9), 1, 1e-15);
}
END_TEST

START_TEST(short_runs)
{
    static const char *const texts[] = {"constant", "step",      "exponential", "cosine",
                                        "linear",   "geometric", "one_cycle",   "plateau",
                                        "flat_cos", "coslog",    "flat_cos:start=0", "flat_cos:start=1"};
    for (int i = 0; i < MTL__COUNT_OF(texts); i++)
        for (int64_t steps = 1; steps < 8; steps++)
            for (int64_t step = 0; step < steps; step++) {
                mtl__sched_now now;
                mtl__sched s = make(texts[i], 0, steps, 1, &now);
                double factor = mtl__sched_factor(&s, &now, step);
                ck_assert_msg(factor >= 0 && factor <= 1, "%s, %lld of %lld: %g", texts[i],
                              (long long)step, (long long)steps, factor);
            }
}
END_TEST

START_TEST(default_is_exactly_one)
{
    mtl__sched_now now;
    mtl__sched s = make("constant", 0, 1000, 10, &now);
    for (int step = 0; step < 1000; step += 37)
        ck_assert_double_eq(mtl__sched_factor(&s, &now, step), 1);
}
END_TEST

START_TEST(a_loss_that_is_no_number)
{
    mtl__sched_now now;
    mtl__sched s = make("plateau:patience=1,factor=0.5", 0, 100, 10, &now);
    mtl__sched_after_epoch(&s, &now, 1);
    mtl__sched_after_epoch(&s, &now, (double)NAN);
    ck_assert_double_eq(now.factor, 1);
    mtl__sched_after_epoch(&s, &now, (double)NAN);
    ck_assert_double_eq(now.factor, 0.5);
    ck_assert_double_eq(now.best, 1);
}
END_TEST

START_TEST(refused_texts)
{
    static const struct {
        const char *text, *part;
    } rows[] = {{"step:every=0", "every"},     {"exponential:gamma=1.5", "gamma"},
                {"cosin", "cosine"},           {"plateau:factor=2", "factor"},
                {"one_cycle:div=0", "div"},    {"constant:x=1", "no parameter"},
                {"geometric:final=0", "final"}, {"flat_cos:start=2", "start"},
                {"coslog:cycles=0", "cycles"}};
    mtl__choice c;
    mtl_error err = {0};
    for (int i = 0; i < MTL__COUNT_OF(rows); i++)
        assert_fails(mtl__choice_parse(&mtl__schedules, rows[i].text, -1, &c, &err), MTL_ERR_RANGE,
                     &err, rows[i].part);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sched");
    TCase *tc = tcase_create("factors are PyTorch's");
    tcase_add_loop_test(tc, golden_schedule, 0, MTL__COUNT_OF(golden_schedules));
    suite_add_tcase(s, tc);
    add_case(s, "the rate grows in the warm-up, by steps or a share", warm_up);
    add_case(s, "a run may be of one step", short_runs);
    add_case(s, "without a schedule the factor is 1, exactly", default_is_exactly_one);
    add_case(s, "a loss that is no number is not better", a_loss_that_is_no_number);
    add_case(s, "what cannot be is refused", refused_texts);
    return run_suite(s);
}
