/* SPDX-License-Identifier: MIT */
/* mtl_task_groups against every partition there is, and mtl_task_affinity against fits of single
   tasks. */
#include "api_testing.h"

/* ---- Groups ---- */

enum { MOST_TASKS = 40 };

static double score_of(int64_t n, const double *a, int64_t ld, const int64_t *group)
{
    double score = 0;
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        int64_t others = 0;
        for (int64_t i = 0; i < n; i++)
            if (i != j && group[i] == group[j]) {
                sum += a[i * ld + j];
                others++;
            }
        score += others ? sum / (double)others : a[j * ld + j];
    }
    return score;
}

static int64_t count_of(int64_t n, const int64_t *group)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        ck_assert(group[i] >= 0 && group[i] <= most);
        most = group[i] == most ? most + 1 : most;
    }
    return most;
}

/* The highest score of all partitions that give task `at` and those behind it a group. */
static double best_from(int64_t n, const double *a, int64_t most, int64_t at, int64_t groups,
                        int64_t *group)
{
    double best = -(double)INFINITY;
    if (at == n)
        return score_of(n, a, n, group);
    for (int64_t g = 0; g <= groups && g < most; g++) {
        group[at] = g;
        best = fmax(best, best_from(n, a, most, at + 1, groups + (g == groups), group));
    }
    return best;
}

static void random_affinity(int64_t n, uint64_t *seed, double shift, double *a)
{
    for (int64_t i = 0; i < n * n; i++)
        a[i] = (double)next_unit(seed) + shift;
}

START_TEST(no_partition_is_better)
{
    uint64_t seed = 7;
    double a[64], score;
    int64_t group[8], work[8];
    for (int64_t n = 1; n <= 8; n++)
        for (int trial = 0; trial < (n < 8 ? 12 : 2); trial++)
            for (int64_t most = 0; most <= n + 1; most++) {
                random_affinity(n, &seed, 0.3 * (trial % 3), a);
                done(mtl_task_groups(n, a, n, most, group, &score, err));
                const double best = best_from(n, a, most ? most : n, 0, 0, work);
                ck_assert_double_eq_tol(score, best, 1e-12);
                ck_assert_double_eq_tol(score_of(n, a, n, group), best, 1e-12);
                ck_assert_int_le(count_of(n, group), most ? most : n);
            }
}
END_TEST

static void check_groups(int64_t n, const double *a, int64_t most, const char *want, double score)
{
    int64_t group[12];
    double got;
    char text[13] = "";
    done(mtl_task_groups(n, a, n, most, group, &got, err));
    for (int64_t i = 0; i < n; i++)
        text[i] = (char)('0' + group[i]);
    text[n] = 0;
    ck_assert_str_eq(text, want);
    ck_assert_double_eq_tol(got, score, 1e-12);
}

START_TEST(groups_by_hand)
{
    static const double zeros[16];
    static const double two[] = {0, -2, 1, -2, -2, 0, -2, 3, 1, -2, 0, -2, -2, 1, -2, 0};
    static const double bad[] = {0, -1, -1, -1, 0, -1, -1, -1, 0};
    static const double alone[] = {5, 1, 1, 1, 0, 1, 1, 1, 0};
    static const double one_way[] = {0, 3, 0, -2, 0, 0, 0, 0, 0};
    check_groups(4, zeros, 0, "0000", 0); /* equal partitions: the fewest groups */
    check_groups(4, two, 0, "0101", 6);
    check_groups(4, two, 1, "0000", (-2 * 8 + 1 + 3 + 1 + 1) / 3.0);
    check_groups(3, bad, 0, "012", 0);
    check_groups(3, bad, 2, "010", -2); /* or another pair: the same each time */
    check_groups(3, alone, 0, "011", 7);
    check_groups(3, alone, 1, "000", 3);
    check_groups(3, one_way, 2, "001", 1); /* the mean of what both do */
    check_groups(1, two, 1, "0", 0);
}
END_TEST

/* Tasks i and j belong together where i % blocks == j % blocks. */
static void planted(int64_t n, int64_t blocks, uint64_t seed, double *a)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            a[i * n + j] = (i % blocks == j % blocks ? 1 : -1) + 0.8 * (double)next_unit(&seed);
    for (int64_t i = 0; i < n; i++)
        a[i * n + i] = 0;
}

START_TEST(many_tasks_fall_into_their_blocks)
{
    static double a[MOST_TASKS * MOST_TASKS];
    int64_t group[MOST_TASKS];
    double score, finer;
    for (int64_t n = 12; n <= MOST_TASKS; n += 7)
        for (int64_t blocks = 1; blocks <= 5; blocks++) {
            planted(n, blocks, (uint64_t)(n + blocks), a);
            done(mtl_task_groups(n, a, n, blocks, group, &score, err));
            for (int64_t i = 0; i < n; i++)
                ck_assert_int_eq(group[i], i % blocks);
            ck_assert_double_eq_tol(score, score_of(n, a, n, group), 1e-9);
            /* Parts of blocks may score more, never with a stranger among them. */
            done(mtl_task_groups(n, a, n, 0, group, &finer, err));
            for (int64_t i = 0; i < n * n; i++)
                ck_assert(group[i / n] != group[i % n] || i / n % blocks == i % n % blocks);
            ck_assert_double_ge(finer, score - 1e-9);
        }
}
END_TEST

START_TEST(no_move_of_a_task_improves_what_the_search_finds)
{
    static double a[MOST_TASKS * MOST_TASKS];
    int64_t group[MOST_TASKS];
    uint64_t seed = 3;
    double score;
    for (int trial = 0; trial < 12; trial++) {
        const int64_t n = 13 + 2 * trial, most = trial % 3 ? trial % 6 + 1 : n;
        random_affinity(n, &seed, 0.1 * (trial % 4 - 1), a);
        done(mtl_task_groups(n, a, n, most, group, &score, err));
        const int64_t groups = count_of(n, group);
        ck_assert_int_le(groups, most);
        ck_assert_double_eq_tol(score, score_of(n, a, n, group), 1e-9);
        for (int64_t i = 0; i < n; i++) {
            const int64_t own = group[i];
            for (int64_t g = 0; g <= groups && g < most; g++) {
                group[i] = g;
                ck_assert_double_le(score_of(n, a, n, group), score + 1e-9);
            }
            group[i] = own;
        }
    }
}
END_TEST

START_TEST(rows_may_be_apart_and_failures_are_named)
{
    double a[3 * 5];
    int64_t group[3] = {7, 7, 7};
    double score = 9;
    for (int i = 0; i < 15; i++)
        a[i] = i % 5 < 3 ? 0 : NAN;
    a[2] = a[10] = 1;
    a[1] = -1;
    done(mtl_task_groups(3, a, 5, 0, group, &score, err));
    ck_assert(group[0] == 0 && group[1] == 1 && group[2] == 0 && score == 2);
    score = 9;
    refused(mtl_task_groups(3, a, 4, 0, group, &score, err), MTL_ERR_VALUE,
            "task 1 to task 0");
    refused(mtl_task_groups(3, a, 2, 0, group, &score, err), MTL_ERR_SHAPE, "stride");
    refused(mtl_task_groups(0, a, 5, 0, group, &score, err), MTL_ERR_RANGE, "tasks");
    refused(mtl_task_groups(1001, a, 1001, 0, group, &score, err), MTL_ERR_RANGE, "1000");
    refused(mtl_task_groups(3, a, 5, -1, group, &score, err), MTL_ERR_RANGE, "most_groups");
    refused(mtl_task_groups(3, NULL, 5, 0, group, &score, err), MTL_ERR_INVALID, "affinity");
    refused(mtl_task_groups(3, a, 5, 0, NULL, &score, err), MTL_ERR_INVALID, "group");
    a[6] = -INFINITY;
    refused(mtl_task_groups(3, a, 5, 0, group, &score, err), MTL_ERR_VALUE, "task 1 to task 1");
    ck_assert(group[0] == 0 && group[1] == 1 && group[2] == 0 && score == 9);
}
END_TEST

/* ---- Affinity, one step against fits of single tasks ---- */

enum { ROWS = 40, MOST = 1024 };

#define ONE_STEP                                                                                   \
    "epochs=1 batch_size=40 shuffle=0 seed=3 optimizer=sgd scale_inputs=0 scale_targets=0 "

static const char *const names[] = {"fails", "tags", "grade", "hours"};

typedef void spec_fn(mtl_spec *s);

static void plain(mtl_spec *s)
{
    done(mtl_spec_task_set_str(s, "fails", "head", "6:relu,5:tanh", err));
}

static void with_norms(mtl_spec *s)
{
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dense(s, 7, "gelu", err));
    done(mtl_spec_add_norm(s, "layer", err));
}

static void with_dropout(mtl_spec *s)
{
    done(mtl_spec_add_dropout(s, 0.3, err));
    done(mtl_spec_add_dense(s, 7, "relu", err));
    done(mtl_spec_add_residual(s, 2, err));
}

static void with_skip(mtl_spec *s)
{
    done(mtl_spec_set_linear_skip(s, 1, err));
}

static const struct net {
    const char *name;
    spec_fn *fn;
    const char *frozen;
} nets[] = {{"plain", plain, NULL},
            {"norms", with_norms, NULL},
            {"dropout and residual", with_dropout, NULL},
            {"linear skip", with_skip, NULL},
            {"frozen below", plain, "trunk.0"},
            {"frozen bias", plain, "trunk.1.bias"}};

static mtl_model *make_model(const struct net *net, mtl_context *ctx)
{
    mtl_spec *s = problem_spec(ctx);
    mtl_model *m = NULL;
    net->fn(s);
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    if (net->frozen)
        done(mtl_model_freeze(m, net->frozen, 1, err));
    return m;
}

static problem make_problem(int missing)
{
    problem p = problem_make(ROWS, 5, missing);
    for (int64_t r = 0; r < ROWS; r++) {
        p.hours[2 * r] = (p.hours[2 * r] - 100) / 10;
        p.hours[2 * r + 1] *= 100;
    }
    return p;
}

/* The labels of the tasks of which `mask` has the bit. */
static mtl_dataset *data_of(const problem *p, mtl_context *ctx, int mask)
{
    const float *const label[] = {p->fails, p->tags, p->grade, p->hours};
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, p->x, p->rows, PROBLEM_INPUTS, PROBLEM_INPUTS, &d, err));
    for (int t = 0; t < 4; t++)
        if (mask >> t & 1) {
            int64_t cols = t % 2 ? 2 : 1;
            done(mtl_dataset_set_labels(d, names[t], cols, label[t], cols, err));
        }
    return d;
}

static mtl_report *fit_reported(mtl_model *m, const problem *p, int mask, const char *text)
{
    mtl_report *r = NULL;
    mtl_dataset *d = data_of(p, NULL, mask);
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_fit(m, d, NULL, o, &r, err));
    mtl_options_destroy(o);
    mtl_dataset_destroy(d);
    return r;
}

static mtl_report *affinity_of(const mtl_model *m, const mtl_dataset *d, const char *text)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    done(mtl_task_affinity(m, d, o, &r, err));
    mtl_options_destroy(o);
    return r;
}

static bool is_of_trunk(const char *name)
{
    return strncmp(name, "trunk.", 6) == 0 && !strstr(name, "running");
}

/* Trunk of `to` = a - rate * (a - b); also a - b. */
static int64_t step_trunk(const mtl_model *a, const mtl_model *b, float rate, mtl_model *to,
                          float *gradient)
{
    static float x[MOST], y[MOST];
    int64_t n = 0;
    for (int64_t i = 0; i < mtl_model_tensor_count(a); i++) {
        const char *name;
        const int64_t size = tensor_size(a, i, &name);
        if (!is_of_trunk(name))
            continue;
        ck_assert_int_le(n + size, MOST);
        done(mtl_model_tensor_get(a, name, size, x, err));
        done(mtl_model_tensor_get(b, name, size, y, err));
        for (int64_t k = 0; k < size; k++) {
            gradient[n + k] = x[k] - y[k];
            x[k] -= rate * gradient[n + k];
        }
        n += size;
        done(mtl_model_tensor_set(to, name, size, x, err));
    }
    return n;
}

typedef struct expected {
    double cosine[4][4], magnitude[4][4], affinity[4][4];
} expected;

static double loss_of(const mtl_report *r, int task)
{
    char key[64];
    snprintf(key, sizeof key, "loss/train/%s", names[task]);
    return figure(r, key);
}

static expected expect(const struct net *net, const problem *p, int mask, float rate)
{
    static float gradient[4][MOST];
    expected e;
    int64_t n = 0;
    mtl_model *fresh = make_model(net, NULL);
    mtl_report *before = fit_reported(fresh, p, mask, ONE_STEP "learning_rate=0");
    for (int i = 0; i < 4; i++) {
        mtl_model *one = make_model(net, NULL), *moved = NULL;
        for (int j = 0; j < 4; j++)
            e.cosine[i][j] = e.magnitude[i][j] = e.affinity[i][j] = NAN;
        if (mask >> i & 1) {
            mtl_report_destroy(fit_reported(one, p, 1 << i, ONE_STEP "learning_rate=1"));
            done(mtl_model_clone(fresh, &moved, err));
            n = step_trunk(fresh, one, rate, moved, gradient[i]);
            mtl_report *after = fit_reported(moved, p, mask, ONE_STEP "learning_rate=0");
            for (int j = 0; j < 4; j++)
                if (mask >> j & 1)
                    e.affinity[i][j] = 1 - loss_of(after, j) / loss_of(before, j);
            mtl_report_destroy(after);
        }
        mtl_model_destroy(one), mtl_model_destroy(moved);
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double ab = 0, a = 0, b = 0;
            for (int64_t k = 0; k < n && (mask >> i & mask >> j & 1); k++) {
                ab += (double)gradient[i][k] * (double)gradient[j][k];
                a += (double)gradient[i][k] * (double)gradient[i][k];
                b += (double)gradient[j][k] * (double)gradient[j][k];
            }
            e.cosine[i][j] = ab / sqrt(a * b);
            e.magnitude[i][j] = 2 * sqrt(a * b) / (a + b);
        }
    mtl_report_destroy(before);
    mtl_model_destroy(fresh);
    return e;
}

static void check_figure(const mtl_report *r, const char *what, int i, int j, double want,
                         double tolerance, const char *net)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%s/%s", what, names[i], names[j]);
    const double got = figure(r, key);
    if (isnan(want))
        ck_assert_msg(isnan(got), "%s, %s: %g, not NaN", net, key, got);
    else
        ck_assert_msg(fabs(got - want) <= tolerance, "%s, %s: %.9g, not %.9g", net, key, got, want);
}

static void check_step(const struct net *net, const problem *p, int mask)
{
    const expected e = expect(net, p, mask, 0.25f);
    mtl_model *m = make_model(net, NULL);
    mtl_dataset *d = data_of(p, NULL, mask);
    mtl_report *r = affinity_of(m, d, ONE_STEP "learning_rate=0.25");
    double matrix[16], score;
    int64_t group[4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            check_figure(r, "affinity", i, j, e.affinity[i][j], 2e-5, net->name);
            matrix[4 * i + j] = i == j || isnan(e.affinity[i][j]) ? 0 : e.affinity[i][j];
            if (j <= i)
                continue;
            check_figure(r, "cosine", i, j, e.cosine[i][j], 1e-4, net->name);
            check_figure(r, "magnitude", i, j, e.magnitude[i][j], 1e-4, net->name);
            check_figure(r, "conflict", i, j,
                         isnan(e.cosine[i][j]) ? (double)NAN : e.cosine[i][j] < 0, 0, net->name);
        }
    double best;
    done(mtl_task_groups(4, matrix, 4, 0, group, &best, err));
    for (int64_t most = 1; most <= 4; most++) {
        done(mtl_task_groups(4, matrix, 4, most, group, &score, err));
        if (score >= 0.9 * best)
            break;
    }
    for (int i = 0; i < 4; i++) {
        char key[64];
        snprintf(key, sizeof key, "group/%s", names[i]);
        ck_assert_double_eq(figure(r, key), (double)group[i]);
    }
    ck_assert_double_eq_tol(figure(r, "groups/score"), score, 1e-4);
    ck_assert(figure(r, "groups") == (double)count_of(4, group) && figure(r, "observed") == 1 &&
              figure(r, "steps") == 1 && figure(r, "epochs") == 1);
    ck_assert_str_eq(text_of(r, "reason"), "epochs");
    mtl_report_destroy(r);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
}

START_TEST(a_step_is_what_single_fits_say)
{
    problem p = make_problem(15);
    check_step(&nets[_i], &p, 15);
    problem_free(&p);
}
END_TEST

START_TEST(tasks_without_labels_have_no_figures)
{
    problem p = make_problem(15);
    check_step(&nets[0], &p, 11);
    check_step(&nets[1], &p, 4);
    problem_free(&p);
}
END_TEST

/* ---- It only looks ---- */

typedef struct losses {
    double value[4];
    int64_t count;
} losses;

static int32_t keep_loss(int64_t epoch, int64_t step, int64_t steps, double train_loss,
                         double valid_loss, void *user)
{
    losses *l = user;
    (void)steps, (void)valid_loss;
    if (step == 4 * epoch && epoch > l->count)
        l->value[l->count++] = train_loss;
    return 1;
}

START_TEST(it_trains_as_a_fit_and_changes_nothing)
{
    problem p = make_problem(10);
    for (int n = 0; n < MTL__COUNT_OF(nets); n++) {
        losses a = {0}, b = {0};
        mtl_model *m = make_model(&nets[n], NULL), *other = make_model(&nets[n], NULL);
        mtl_dataset *d = data_of(&p, NULL, 15);
        mtl_report *r = NULL;
        mtl_options *o = options(MTL_OPTIONS_FIT, "epochs=4 batch_size=10 seed=3 weighting=upgrad "
                                                  "learning_rate=0.02 average=ema:decay=0.5");
        done(mtl_options_set_progress(o, keep_loss, &a, err));
        const uint64_t before = model_hash(m);
        done(mtl_task_affinity(m, d, o, &r, err));
        ck_assert(model_hash(m) == before);
        ck_assert(figure(r, "observed") == 16 && figure(r, "steps") == 16);
        done(mtl_options_set_progress(o, keep_loss, &b, err));
        done(mtl_fit(m, d, NULL, o, NULL, err));
        done(mtl_fit(other, d, NULL, o, NULL, err));
        assert_same_model(m, other);
        ck_assert_int_eq(a.count, 4);
        ck_assert(memcmp(a.value, b.value, sizeof a.value) == 0);
        mtl_report_destroy(r);
        mtl_options_destroy(o);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m), mtl_model_destroy(other);
    }
    problem_free(&p);
}
END_TEST

START_TEST(steps_may_be_left_out_of_sight)
{
    problem p = make_problem(10);
    mtl_model *m = make_model(&nets[0], NULL);
    mtl_dataset *d = data_of(&p, NULL, 15);
    mtl_report *r = affinity_of(m, d, "epochs=2 batch_size=10 weighting_every=3");
    ck_assert(figure(r, "observed") == 3 && figure(r, "steps") == 8);
    mtl_report_destroy(r);
    mtl_dataset_destroy(d);
    mtl_model_destroy(m);
    problem_free(&p);
}
END_TEST

/* ---- What it finds ---- */

/* a0 and a1 are made of the first input, b0 and b1 of the second, and the trunk has one unit. */
START_TEST(tasks_are_grouped_by_what_they_need)
{
    enum { N = 200 };
    static const char *const task[] = {"a0", "b0", "a1", "b1"};
    static float x[2 * N], y[4][N];
    uint64_t seed = 11;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    mtl_dataset *d = NULL;
    for (int64_t r = 0; r < N; r++)
        for (int t = 0; t < 4; t++) {
            x[2 * r + t % 2] = t < 2 ? next_unit(&seed) : x[2 * r + t % 2];
            y[t][r] = x[2 * r + t % 2] * (t < 2 ? 1.0f : -2.0f) + 0.1f * next_unit(&seed);
        }
    done(mtl_spec_create(NULL, 2, &s, err));
    done(mtl_spec_add_dense(s, 1, "identity", err));
    done(mtl_dataset_create(NULL, x, N, 2, 2, &d, err));
    for (int t = 0; t < 4; t++) {
        done(mtl_spec_add_task(s, task[t], MTL_REGRESSION, 1, err));
        done(mtl_dataset_set_labels(d, task[t], 1, y[t], 1, err));
    }
    done(mtl_model_create(s, &m, err));
    mtl_report *r = affinity_of(m, d, "epochs=20 batch_size=20 optimizer=sgd learning_rate=0.05");
    ck_assert(figure(r, "cosine/a0/a1") > 0.5 && figure(r, "cosine/b0/b1") > 0.5);
    ck_assert(figure(r, "cosine/a0/b0") < -0.2 && figure(r, "cosine/a1/b1") < -0.2);
    ck_assert(figure(r, "conflict/a0/a1") < 0.2 && figure(r, "conflict/a0/b0") > 0.5);
    ck_assert(figure(r, "affinity/a0/a1") > 0 && figure(r, "affinity/a1/a0") > 0);
    ck_assert(figure(r, "affinity/a0/b0") < 0 && figure(r, "affinity/b1/a1") < 0);
    ck_assert(figure(r, "groups") == 2 && figure(r, "group/a0") == 0 &&
              figure(r, "group/b0") == 1 && figure(r, "group/a1") == 0 &&
              figure(r, "group/b1") == 1);
    mtl_report_destroy(r);
    mtl_spec_destroy(s);
    mtl_model_destroy(m);
    mtl_dataset_destroy(d);
}
END_TEST

/* ---- Machines and failures ---- */

START_TEST(the_bits_do_not_depend_on_the_machine)
{
    static const char *const contexts[] = {"threads=1 cpu=c", "threads=1 cpu=avx2", "threads=2",
                                           "threads=1 cpu=avx512", "threads=7"};
    problem p = make_problem(10);
    char *first = NULL;
    for (int c = 0; c < MTL__COUNT_OF(contexts); c++) {
        mtl_context *ctx = context(contexts[c]);
        mtl_model *m = make_model(&nets[1], ctx);
        mtl_dataset *d = data_of(&p, ctx, 15);
        mtl_report *r = affinity_of(m, d, "epochs=3 batch_size=16 seed=3 weighting=mgda");
        char *text = NULL;
        done(mtl_report_to_json(r, &text, err));
        if (first)
            ck_assert_str_eq(text, first);
        else
            first = text;
        if (text != first)
            mtl_free(text);
        mtl_report_destroy(r);
        mtl_dataset_destroy(d);
        mtl_model_destroy(m);
        mtl_context_destroy(ctx);
    }
    mtl_free(first);
    problem_free(&p);
}
END_TEST

static void refuse(const mtl_model *m, const mtl_dataset *d, const char *text, mtl_status st,
                   const char *part)
{
    mtl_report *r = NULL;
    mtl_options *o = options(MTL_OPTIONS_FIT, text);
    refused(mtl_task_affinity(m, d, o, &r, err), st, part);
    ck_assert_ptr_null(r);
    mtl_options_destroy(o);
}

START_TEST(what_cannot_be_is_refused)
{
    static const struct net frozen = {"frozen", plain, "trunk"};
    problem p = make_problem(0);
    mtl_report *r = NULL;
    mtl_model *m = make_model(&nets[0], NULL), *still = make_model(&frozen, NULL);
    mtl_dataset *d = data_of(&p, NULL, 15), *bare = data_of(&p, NULL, 0);
    mtl_options *o = options(MTL_OPTIONS_TRANSFER, "");
    refused(mtl_task_affinity(NULL, d, NULL, &r, err), MTL_ERR_INVALID, "model");
    refused(mtl_task_affinity(m, NULL, NULL, &r, err), MTL_ERR_INVALID, "train");
    refused(mtl_task_affinity(m, d, NULL, NULL, err), MTL_ERR_INVALID, "report");
    refused(mtl_task_affinity(m, d, o, &r, err), MTL_ERR_TYPE, "transfer");
    ck_assert_ptr_null(r);
    refuse(m, bare, "", MTL_ERR_DATA, "");
    refuse(m, d, "judge=1", MTL_ERR_INVALID, "judge");
    refuse(m, d, "checkpoint=x", MTL_ERR_INVALID, "checkpoint");
    refuse(m, d, "weighting=graddrop weighting_every=2", MTL_ERR_INVALID, "graddrop");
    refuse(still, d, "", MTL_ERR_INVALID, "trunk");
    refuse(m, d, "learning_rate=1e30 optimizer=sgd", MTL_ERR_DIVERGED, "finite");
    int64_t start[ROWS + 1] = {0};
    int32_t column = 0;
    float value = 1;
    mtl_dataset *sparse = NULL;
    for (int64_t i = 1; i <= ROWS; i++)
        start[i] = 1;
    done(mtl_dataset_create_csr(NULL, ROWS, PROBLEM_INPUTS, start, &column, &value, &sparse, err));
    done(mtl_dataset_set_labels(sparse, "fails", 1, p.fails, 1, err));
    refuse(m, sparse, "", MTL_ERR_INVALID, "sparse");
    mtl_dataset_destroy(sparse), mtl_dataset_destroy(d), mtl_dataset_destroy(bare);
    mtl_options_destroy(o);
    mtl_model_destroy(m), mtl_model_destroy(still);
    problem_free(&p);
}
END_TEST

/* Goes on `calls` times. */
static int32_t limited(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                       const float *y, const float *w, double *loss, float *gradient, void *user)
{
    int64_t *calls = user;
    (void)label_cols;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < outputs; j++) {
            if (isnan(y[r * outputs + j]))
                continue;
            const float error = z[r * outputs + j] - y[r * outputs + j];
            *loss += (double)(w[r] * error * error / 2);
            if (gradient)
                gradient[r * outputs + j] = w[r] * error;
        }
    return (*calls)-- > 0;
}

START_TEST(a_loss_of_the_callers_may_stop_it_anywhere)
{
    problem p = make_problem(10);
    mtl_dataset *d = data_of(&p, NULL, 15);
    for (int64_t most = 0; most < 30; most++) {
        int64_t calls = most;
        mtl_model *m = make_model(&nets[0], NULL);
        done(mtl_model_set_loss(m, "hours", limited, &calls, err));
        mtl_report *r = affinity_of(m, d, "epochs=1 batch_size=10");
        ck_assert_str_eq(text_of(r, "reason"), most < 24 ? "cancelled" : "epochs");
        /* Six calls a step, the last one by the step itself. */
        ck_assert_double_eq(figure(r, "observed"), (double)(most < 23 ? (most + 1) / 6 : 4));
        mtl_report_destroy(r);
        mtl_model_destroy(m);
    }
    mtl_dataset_destroy(d);
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("groups");
    add_case(s, "no partition is better", no_partition_is_better);
    add_case(s, "by hand", groups_by_hand);
    add_case(s, "blocks of many tasks", many_tasks_fall_into_their_blocks);
    add_case(s, "no move improves", no_move_of_a_task_improves_what_the_search_finds);
    add_case(s, "strides and failures of groups", rows_may_be_apart_and_failures_are_named);
    TCase *steps = tcase_create("a step is what single fits say");
    tcase_add_loop_test(steps, a_step_is_what_single_fits_say, 0, MTL__COUNT_OF(nets));
    suite_add_tcase(s, steps);
    add_case(s, "absent tasks", tasks_without_labels_have_no_figures);
    add_case(s, "it only looks", it_trains_as_a_fit_and_changes_nothing);
    add_case(s, "every few steps", steps_may_be_left_out_of_sight);
    add_case(s, "what it finds", tasks_are_grouped_by_what_they_need);
    add_case(s, "machines", the_bits_do_not_depend_on_the_machine);
    add_case(s, "failures", what_cannot_be_is_refused);
    add_case(s, "stopped", a_loss_of_the_callers_may_stop_it_anywhere);
    return run_suite(s);
}
