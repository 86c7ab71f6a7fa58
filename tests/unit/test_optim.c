/* SPDX-License-Identifier: MIT */
/* Optimizers, their state and averages on a vector of parameters: PyTorch's values after twelve
   steps with clipping and penalties (golden/make_optim.py), the same bits at every level. */
#include "testing.h"

#include "../golden/optim_torch.h"
#include "optim/average.h"
#include "optim/optim.h"
#include "sched/sched.h"

/* The rule of make_optim.py. */
static float gradient(int step, int i)
{
    return (float)((7 * step + 5 * i * i + 3 * i * step) % 16 - 8) / 8;
}

typedef struct fixture {
    test_memory memory;
    mtl__allocator al;
    mtl__arena arena;
    mtl__optim optim;
    mtl__optim_now now;
    const mtl__vec *vec;
    float w[GOLDEN_SIZE], g[GOLDEN_SIZE];
} fixture;

static mtl__choice parse(const mtl__choice_table *table, const char *text)
{
    mtl__choice c;
    assert_ok(mtl__choice_parse(table, text, -1, &c, NULL));
    return c;
}

static void make(fixture *f, const char *text, mtl__cpu_level level)
{
    mtl__choice c = parse(&mtl__optimizers, text);
    *f = (fixture){.vec = mtl__vec_table(level)};
    f->al = test_allocator(&f->memory);
    mtl__optim_init(&f->optim, &c, &f->now, GOLDEN_SIZE, &f->arena);
    ck_assert(mtl__arena_reserve(&f->arena, &f->al) || f->arena.used == 0);
    mtl__optim_init(&f->optim, &c, &f->now, GOLDEN_SIZE, &f->arena);
    for (int i = 0; i < GOLDEN_SIZE; i++)
        f->w[i] = (float)(i - 2) / 4;
}

static void release(fixture *f)
{
    mtl__arena_release(&f->arena, &f->al);
    ck_assert_int_eq(f->memory.live, 0);
}

static void set_gradient(fixture *f, int step)
{
    for (int i = 0; i < GOLDEN_SIZE; i++)
        f->g[i] = gradient(step, i);
    f->vec->clamp(GOLDEN_SIZE, (float)GOLDEN_VALUE, f->g);
    double norm = sqrt((double)f->vec->dot(GOLDEN_SIZE, f->g, f->g));
    if (norm + 1e-6 > GOLDEN_NORM)
        f->vec->scale(GOLDEN_SIZE, (float)(GOLDEN_NORM / (norm + 1e-6)), f->g);
}

static void run_steps(fixture *f, const mtl__range *r)
{
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        set_gradient(f, step);
        mtl__optim_begin(&f->optim, GOLDEN_RATE);
        mtl__optim_apply(&f->optim, f->vec, r, f->w, f->g);
    }
}

static mtl__cpu_level levels[3];
static int level_count;

static void find_levels(void)
{
    static const char *const names[] = {"c", "avx2", "avx512", "neon"};
    level_count = 0;
    for (int i = 0; i < 4; i++) {
        mtl__cpu_level level = mtl__cpu_choose(names[i]);
        if (strcmp(mtl__cpu_name(level), names[i]) == 0)
            levels[level_count++] = level;
    }
    ck_assert_int_ge(level_count, 1);
}

START_TEST(golden_steps)
{
    const mtl__range all = {0, GOLDEN_SIZE, 1, GOLDEN_L1, GOLDEN_L2, 1, 0};
    float first[GOLDEN_SIZE];
    find_levels();
    for (int l = 0; l < level_count; l++) {
        fixture f;
        make(&f, golden_optimizers[_i].text, levels[l]);
        run_steps(&f, &all);
        for (int i = 0; i < GOLDEN_SIZE; i++)
            /* twelve steps of some ten roundings each, of weights up to 2.5 */
            ck_assert_msg(fabs((double)f.w[i] - golden_optimizers[_i].w[i]) < 3e-6,
                          "%s: w[%d] is %.9g, not %.9g", golden_optimizers[_i].text, i,
                          (double)f.w[i], golden_optimizers[_i].w[i]);
        ck_assert_int_eq(f.now.step, GOLDEN_STEPS);
        if (l == 0)
            memcpy(first, f.w, sizeof first);
        assert_same_bits(first, f.w, GOLDEN_SIZE);
        release(&f);
    }
}
END_TEST

START_TEST(taken_up_from_a_copy)
{
    /* Vectors and figures are the whole state. */
    const mtl__range all = {0, GOLDEN_SIZE, 1, GOLDEN_L1, GOLDEN_L2, 1, 0};
    fixture a, b;
    make(&a, golden_optimizers[_i].text, MTL__CPU_C);
    make(&b, golden_optimizers[_i].text, MTL__CPU_C);
    run_steps(&a, &all);
    memcpy(b.w, a.w, sizeof a.w);
    memcpy(&b.now, &a.now, sizeof a.now);
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++)
        if (a.optim.state[i])
            memcpy(b.optim.state[i], a.optim.state[i], sizeof a.w);
    run_steps(&a, &all);
    run_steps(&b, &all);
    assert_same_bits(a.w, b.w, GOLDEN_SIZE);
    release(&a), release(&b);
}
END_TEST

START_TEST(parts_are_the_whole)
{
    /* In two ranges, the second without penalties and decay, at twice the rate. */
    const mtl__range left = {0, 2, 1, GOLDEN_L1, GOLDEN_L2, 1, 0}, right = {2, 3, 2, 0, 0, 0, 0};
    const mtl__range all = {0, GOLDEN_SIZE, 1, GOLDEN_L1, GOLDEN_L2, 1, 0};
    const mtl__range bare = {0, GOLDEN_SIZE, 2, 0, 0, 0, 0};
    fixture parts, whole, other;
    make(&parts, golden_optimizers[_i].text, MTL__CPU_C);
    make(&whole, golden_optimizers[_i].text, MTL__CPU_C);
    make(&other, golden_optimizers[_i].text, MTL__CPU_C);
    run_steps(&whole, &all);
    run_steps(&other, &bare);
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        set_gradient(&parts, step);
        mtl__optim_begin(&parts.optim, GOLDEN_RATE);
        mtl__optim_apply(&parts.optim, parts.vec, &right, parts.w, parts.g);
        mtl__optim_apply(&parts.optim, parts.vec, &left, parts.w, parts.g);
    }
    assert_same_bits(parts.w, whole.w, 2);
    assert_same_bits(parts.w + 2, other.w + 2, 3);
    ck_assert_int_ne(memcmp(whole.w, other.w, sizeof whole.w), 0);
    release(&parts), release(&whole), release(&other);
}
END_TEST

START_TEST(memory_by_need)
{
    static const struct {
        const char *text;
        int vectors;
    } rows[] = {{"sgd", 0},     {"sgd:momentum=0.9", 1},
                {"rmsprop", 1}, {"rmsprop:momentum=0.1", 2},
                {"adagrad", 1}, {"adam", 2},
                {"adamw", 2},   {"adam:amsgrad=1", 3},
                {"nadam", 2},   {"adamw:amsgrad=1", 3},
                {"lion", 1}};
    for (int i = 0; i < MTL__COUNT_OF(rows); i++) {
        fixture f;
        make(&f, rows[i].text, MTL__CPU_C);
        ck_assert_int_eq(f.arena.capacity, rows[i].vectors * 64);
        release(&f);
    }
}
END_TEST

START_TEST(adam_is_one)
{
    /* The kernel of its own and the one for all others agree to rounding. */
    const mtl__range all = {0, GOLDEN_SIZE, 1, GOLDEN_L1, GOLDEN_L2, 1, 0};
    fixture a, b;
    make(&a, "adam", MTL__CPU_C);
    make(&b, "adamw:weight_decay=0", MTL__CPU_C);
    run_steps(&a, &all), run_steps(&b, &all);
    for (int i = 0; i < GOLDEN_SIZE; i++)
        assert_near(a.w[i], b.w[i], 1e-6);
    release(&a), release(&b);
}
END_TEST

START_TEST(decay_that_was_chosen)
{
    mtl__choice c = parse(&mtl__optimizers, "adamw");
    ck_assert_double_eq(mtl__optim_decay(&c), 0.01);
    c = parse(&mtl__optimizers, "lion:weight_decay=0.5");
    ck_assert_double_eq(mtl__optim_decay(&c), 0.5);
    c = parse(&mtl__optimizers, "sgd:momentum=0.5");
    ck_assert_double_eq(mtl__optim_decay(&c), 0);
}
END_TEST

START_TEST(refused_texts)
{
    static const struct {
        const char *text, *part;
    } rows[] = {{"sgd:momentum=1", "momentum"},  {"sgd:nesterov=2", "0|1"},
                {"adam:amsgrad=yes", "amsgrad"}, {"lion:beta3=0", "beta1"},
                {"adamw:weight_decay=-1", "-1"}, {"rmsprob", "rmsprop"},
                {"adagrad:eps=0", "eps"},        {"nadam:momentum_decay=2", "momentum_decay"}};
    mtl__choice c;
    mtl_error err = {0};
    for (int i = 0; i < MTL__COUNT_OF(rows); i++)
        assert_fails(mtl__choice_parse(&mtl__optimizers, rows[i].text, -1, &c, &err), MTL_ERR_RANGE,
                     &err, rows[i].part);
}
END_TEST

START_TEST(golden_average)
{
    const mtl__range all = {0, GOLDEN_SIZE, 1, 0, 0, 1, 0};
    const mtl__choice c = parse(&mtl__averages, golden_averages[_i].text);
    const mtl__averaging *row = c.row;
    double (*share)(const double *, int64_t) = row->after_step ? row->after_step : row->after_epoch;
    float average[GOLDEN_SIZE] = {0};
    fixture f;
    make(&f, "sgd", mtl__cpu_detect());
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        set_gradient(&f, step);
        mtl__optim_begin(&f.optim, GOLDEN_RATE);
        mtl__optim_apply(&f.optim, f.vec, &all, f.w, f.g);
        ck_assert(step > 0 || share(c.value, 0) == 1);
        f.vec->blend(GOLDEN_SIZE, (float)share(c.value, step), f.w, average);
        for (int i = 0; i < GOLDEN_SIZE; i++)
            assert_near(average[i], golden_averages[_i].w[step][i], 1e-6);
    }
    release(&f);
}
END_TEST

/* The momentum that one_cycle gives each step, and SGD's way with it. */
START_TEST(golden_momentum)
{
    const mtl__range all = {0, GOLDEN_SIZE, 1, 0, 0, 1, 0};
    const mtl__choice c = parse(&mtl__schedules, golden_momenta[_i].text);
    mtl__sched s;
    mtl__sched_now now;
    fixture f;
    make(&f, "sgd:momentum=0.5", mtl__cpu_detect());
    mtl__sched_init(&s, &c, 0, GOLDEN_TOTAL, GOLDEN_TOTAL, &now);
    ck_assert(mtl__sched_sets_momentum(&c));
    for (int step = 0; step < GOLDEN_TOTAL; step++) {
        const double momentum = mtl__sched_momentum(&s, step);
        assert_near(momentum, golden_momenta[_i].momentum[step], 1e-12);
        for (int i = 0; i < GOLDEN_SIZE; i++)
            f.g[i] = gradient(step, i);
        mtl__optim_set_momentum(&f.optim, momentum);
        mtl__optim_begin(&f.optim, GOLDEN_RATE * mtl__sched_factor(&s, &now, step));
        mtl__optim_apply(&f.optim, f.vec, &all, f.w, f.g);
    }
    for (int i = 0; i < GOLDEN_SIZE; i++)
        assert_near((double)f.w[i], golden_momenta[_i].w[i], 1e-5);
    release(&f);
}
END_TEST

/* With a beta1 for each step the first moment's weights sum to 1 less the product of them all, by
   which it is corrected: written out in double, adam and amsgrad by its other kernel. */
START_TEST(adam_with_a_beta_for_each_step)
{
    static const char *const texts[] = {"adam", "adam:amsgrad=1"};
    const mtl__range all = {0, GOLDEN_SIZE, 1, 0, 0, 1, 0};
    for (int k = 0; k < 2; k++) {
        double w[GOLDEN_SIZE], m[GOLDEN_SIZE] = {0}, v[GOLDEN_SIZE] = {0}, top[GOLDEN_SIZE] = {0};
        double product = 1, second = 1;
        fixture f;
        make(&f, texts[k], mtl__cpu_detect());
        for (int i = 0; i < GOLDEN_SIZE; i++)
            w[i] = (double)f.w[i];
        for (int step = 0; step < GOLDEN_STEPS; step++) {
            const double beta = (double)(float)(0.95 - 0.1 * step / GOLDEN_STEPS);
            set_gradient(&f, step);
            mtl__optim_set_momentum(&f.optim, beta);
            mtl__optim_begin(&f.optim, 0.01);
            mtl__optim_apply(&f.optim, f.vec, &all, f.w, f.g);
            product *= beta;
            second *= 0.999f;
            for (int i = 0; i < GOLDEN_SIZE; i++) {
                const double g = (double)f.g[i];
                m[i] = beta * m[i] + (1 - beta) * g;
                v[i] = 0.999f * v[i] + (1 - 0.999f) * g * g;
                top[i] = k ? fmax(top[i], v[i]) : v[i];
                w[i] -= 0.01 * m[i] / (1 - product) / (sqrt(top[i] / (1 - second)) + 1e-7);
            }
        }
        for (int i = 0; i < GOLDEN_SIZE; i++)
            assert_near((double)f.w[i], w[i], 2e-6);
        release(&f);
    }
}
END_TEST

START_TEST(first_epoch_of_swa)
{
    static const struct {
        const char *text;
        int64_t epochs, first;
    } rows[] = {{"swa", 20, 16},
                {"swa:start=0", 20, 1},
                {"swa:start=1", 20, 20},
                {"swa", 1, 1},
                {"swa:start=0.5", 5, 3}};
    for (int i = 0; i < MTL__COUNT_OF(rows); i++) {
        mtl__choice c = parse(&mtl__averages, rows[i].text);
        const mtl__averaging *row = c.row;
        ck_assert_int_eq(row->first_epoch(c.value, rows[i].epochs), rows[i].first);
    }
}
END_TEST

static void add_loop(Suite *s, const char *name, const TTest *test, int count)
{
    TCase *tc = tcase_create(name);
    tcase_add_loop_test(tc, test, 0, count);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("optim");
    add_loop(s, "steps are PyTorch's, at every level", golden_steps,
             MTL__COUNT_OF(golden_optimizers));
    add_loop(s, "vectors and figures are the state", taken_up_from_a_copy,
             MTL__COUNT_OF(golden_optimizers));
    add_loop(s, "ranges are independent", parts_are_the_whole, MTL__COUNT_OF(golden_optimizers));
    add_case(s, "an optimizer has the vectors that it needs", memory_by_need);
    add_case(s, "both kernels give Adam", adam_is_one);
    add_case(s, "the decoupled decay can be asked for", decay_that_was_chosen);
    add_case(s, "what cannot be is refused", refused_texts);
    add_loop(s, "averages are PyTorch's", golden_average, MTL__COUNT_OF(golden_averages));
    add_loop(s, "a momentum for each step is PyTorch's", golden_momentum,
             MTL__COUNT_OF(golden_momenta));
    add_case(s, "Adam takes a beta1 for each step", adam_with_a_beta_for_each_step);
    add_case(s, "swa begins after its share", first_epoch_of_swa);
    return run_suite(s);
}
