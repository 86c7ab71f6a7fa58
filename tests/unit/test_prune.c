/* SPDX-License-Identifier: MIT */
/* mtl_model_prune(): which members remain, what they predict, and every way to fail. */
#include "api_testing.h"
#include "model/subset.h"

enum { ROWS = 160, INPUTS = 3, OUTPUTS = 1 + 3 + 2, MEMBERS = 5 };

typedef struct table {
    float x[ROWS * INPUTS], binary[ROWS], class[ROWS], value[2 * ROWS];
} table;

static table make_table(uint64_t seed)
{
    table t;
    for (int r = 0; r < ROWS; r++) {
        float *x = t.x + r * INPUTS;
        for (int j = 0; j < INPUTS; j++)
            x[j] = next_unit(&seed);
        t.binary[r] = r % 11 == 0 ? NAN : x[0] + x[1] > 0;
        t.class[r] = (float)((x[1] > 0) + (x[2] > 0));
        t.value[2 * r] = x[0] * x[1];
        t.value[2 * r + 1] = r % 7 == 0 ? NAN : 10 * x[2];
    }
    return t;
}

static mtl_dataset *data_of(const table *t, mtl_context *ctx)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, t->x, ROWS, INPUTS, INPUTS, &d, err));
    done(mtl_dataset_set_labels(d, "b", 1, t->binary, 1, err));
    done(mtl_dataset_set_labels(d, "c", 1, t->class, 1, err));
    done(mtl_dataset_set_labels(d, "v", 2, t->value, 2, err));
    return d;
}

static void add_tasks(mtl_spec *s)
{
    done(mtl_spec_add_task(s, "b", MTL_BINARY, 1, err));
    done(mtl_spec_add_task(s, "c", MTL_MULTICLASS, 3, err));
    done(mtl_spec_add_task(s, "v", MTL_REGRESSION, 2, err));
}

/* Networks of all that stands between members and their heads. */
enum { PLAIN, TOWERS, EMBEDDED, HEADS, SHAPES };

static mtl_spec *spec_of(mtl_context *ctx, int shape, const char *kind, int64_t members)
{
    mtl_spec *s = NULL;
    done(mtl_spec_create(ctx, INPUTS, &s, err));
    if (shape == EMBEDDED) {
        done(mtl_spec_add_numeric_embedding(s, "ple:bins=4,size=3", 0, NULL, err));
        done(mtl_spec_add_input_scaling(s, 2, err));
    }
    if (shape != HEADS) {
        done(mtl_spec_add_dense(s, 7, "relu", err));
        if (shape == EMBEDDED)
            done(mtl_spec_add_parametric_activation(s, "elu", 0.5, err));
        done(mtl_spec_add_dropout(s, 0.1, err));
        done(mtl_spec_add_dense(s, 6, "mish", err));
    }
    add_tasks(s);
    if (shape == TOWERS) {
        done(mtl_spec_task_set_str(s, "c", "head", "5:tanh,4:relu", err));
        done(mtl_spec_task_set_str(s, "v", "head", "3:relu", err));
    }
    done(mtl_spec_set_ensemble(s, members, kind, err));
    return s;
}

static mtl_model *ensemble(int shape, const char *kind, const table *t)
{
    mtl_spec *s = spec_of(NULL, shape, kind, MEMBERS);
    mtl_model *m = NULL;
    mtl_dataset *d = data_of(t, NULL);
    done(mtl_model_create(s, &m, err));
    fit(m, d, "epochs=6 batch_size=16 learning_rate=0.01 validation_split=0.2 seed=3");
    mtl_dataset_destroy(d);
    mtl_spec_destroy(s);
    return m;
}

static mtl_model *prune(const mtl_model *m, const mtl_dataset *d, int64_t most, mtl_report **r)
{
    mtl_model *out = NULL;
    done(mtl_model_prune(m, d, most, &out, r, err));
    return out;
}

static double number(const mtl_report *r, const char *name)
{
    double value;
    done(mtl_report_get_f64(r, name, &value, err));
    return value;
}

static double evaluated(const mtl_model *m, const mtl_dataset *d)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    const double loss = number(r, "loss");
    mtl_report_destroy(r);
    return loss;
}

static mtl_model *subset(const mtl_model *m, const int64_t *member, int64_t count)
{
    mtl_model *out = NULL;
    done(mtl__model_subset(m, member, count, &out, err));
    return out;
}

static void predict_with(const mtl_model *m, const table *t, float *out)
{
    done(mtl_predict(m, ROWS, t->x, INPUTS, out, OUTPUTS, err));
}

static float largest_distance(const float *a, const float *b)
{
    float most = 0;
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        most = fmaxf(most, fabsf(a[i] - b[i]) / fmaxf(1, fabsf(b[i])));
    return most;
}

/* What each predicts as a plain network, and [MEMBERS][ROWS * OUTPUTS] their mean. */
static void singles(const mtl_model *m, const table *t, float each[MEMBERS][ROWS * OUTPUTS], float *mean)
{
    for (int64_t k = 0; k < MEMBERS; k++) {
        mtl_model *one = subset(m, &k, 1);
        predict_with(one, t, each[k]);
        mtl_model_destroy(one);
    }
    for (int i = 0; i < ROWS * OUTPUTS; i++) {
        double sum = 0;
        for (int k = 0; k < MEMBERS; k++)
            sum += (double)each[k][i];
        mean[i] = (float)(sum / MEMBERS);
    }
}

static const char *const kinds[] = {"tabm", "mini"};

/* A whole is the mean of its members as networks of their own; all of them are the whole, to the bit. */
START_TEST(members_are_networks)
{
    static float each[MEMBERS][ROWS * OUTPUTS], mean[ROWS * OUTPUTS], got[ROWS * OUTPUTS], two[ROWS * OUTPUTS];
    static const int64_t everyone[MEMBERS] = {0, 1, 2, 3, 4}, pair[2] = {3, 1};
    const table t = make_table(1), other = make_table(2);
    for (int i = 0; i < 2 * SHAPES; i++) {
        mtl_model *m = ensemble(i / 2, kinds[i % 2], &t);
        mtl_model *same = subset(m, everyone, MEMBERS), *some = subset(m, pair, 2);
        singles(m, &other, each, mean);
        predict_with(m, &other, got);
        ck_assert_msg(largest_distance(got, mean) < 2e-5f, "%d, %s: %g", i / 2, kinds[i % 2],
                      (double)largest_distance(got, mean));
        ck_assert_float_gt(largest_distance(each[0], each[1]), 1e-3f);
        ck_assert_uint_eq(model_hash(m), model_hash(same));
        predict_with(same, &other, mean);
        ck_assert_mem_eq(got, mean, sizeof got);
        for (int k = 0; k < ROWS * OUTPUTS; k++)
            two[k] = (each[3][k] + each[1][k]) / 2;
        predict_with(some, &other, got);
        ck_assert_float_lt(largest_distance(got, two), 2e-5f);
        mtl_model_destroy(m), mtl_model_destroy(same), mtl_model_destroy(some);
    }
}
END_TEST

/* The tensors of one are those of a network that was made plain; it goes on like any other. */
START_TEST(one_is_plain)
{
    static float want[ROWS * OUTPUTS], got[ROWS * OUTPUTS];
    const table t = make_table(1);
    mtl_dataset *d = data_of(&t, NULL);
    for (int i = 0; i < 2 * SHAPES; i++) {
        mtl_model *m = ensemble(i / 2, kinds[i % 2], &t), *one = prune(m, d, 1, NULL), *plain = NULL, *copy = NULL;
        mtl_spec *s = spec_of(NULL, i / 2, kinds[i % 2], 1);
        const char *name, *same;
        void *buffer;
        int64_t bytes;
        done(mtl_model_create(s, &plain, err));
        ck_assert_int_eq(mtl_model_tensor_count(one), mtl_model_tensor_count(plain));
        for (int64_t k = 0; k < mtl_model_tensor_count(one); k++) {
            ck_assert_int_eq(tensor_size(one, k, &name), tensor_size(plain, k, &same));
            ck_assert_str_eq(name, same);
        }
        predict_with(one, &t, want);
        done(mtl_model_save_buffer(one, &buffer, &bytes, err));
        done(mtl_model_load_buffer(NULL, buffer, bytes, &copy, err));
        predict_with(copy, &t, got);
        ck_assert_mem_eq(got, want, sizeof got);
        fit(copy, d, "epochs=1");
        mtl_free(buffer);
        mtl_spec_destroy(s);
        mtl_model_destroy(m), mtl_model_destroy(one), mtl_model_destroy(plain), mtl_model_destroy(copy);
    }
    mtl_dataset_destroy(d);
}
END_TEST

/* Mean of the tasks' losses of the mean of some members, each as a share of base. */
static double loss_of(const table *t, float each[MEMBERS][ROWS * OUTPUTS], const int *chosen, int count,
                      const double *deviation, const double *base, double *of_task)
{
    double sum[3] = {0}, total[3] = {0}, share = 0;
    for (int r = 0; r < ROWS; r++) {
        double p[OUTPUTS] = {0}, square = 0;
        int values = 0;
        for (int i = 0; i < count; i++)
            for (int j = 0; j < OUTPUTS; j++)
                p[j] += (double)each[chosen[i]][r * OUTPUTS + j] / count;
        if (!isnan(t->binary[r])) {
            sum[0] -= log(t->binary[r] > 0 ? p[0] : 1 - p[0]);
            total[0]++;
        }
        sum[1] -= log(p[1 + (int)t->class[r]]);
        total[1]++;
        for (int j = 0; j < 2; j++)
            if (!isnan(t->value[2 * r + j])) {
                square += pow((p[4 + j] - (double)t->value[2 * r + j]) / deviation[j], 2);
                values++;
            }
        sum[2] += square / values;
        total[2]++;
    }
    for (int k = 0; k < 3; k++) {
        of_task[k] = sum[k] / total[k];
        share += base ? of_task[k] / base[k] / 3 : 0;
    }
    return share;
}

START_TEST(greedy_choice)
{
    static float each[MEMBERS][ROWS * OUTPUTS], mean[ROWS * OUTPUTS];
    const table t = make_table(1), other = make_table(7);
    mtl_dataset *d = data_of(&other, NULL);
    for (int i = 0; i < 2; i++) {
        mtl_model *m = ensemble(PLAIN, kinds[i], &t);
        const double deviation[2] = {(double)m->pipe.y_scale[4], (double)m->pipe.y_scale[5]};
        int chosen[MEMBERS] = {0, 1, 2, 3, 4}, count = 0;
        double base[3], unused[3], best = INFINITY;
        mtl_report *r = NULL;
        int64_t kept;
        const double *member;
        singles(m, &other, each, mean);
        loss_of(&other, each, chosen, MEMBERS, deviation, NULL, base);
        while (count < MEMBERS) {
            int next = -1;
            for (int k = 0; k < MEMBERS; k++) {
                bool is_in = false;
                for (int c = 0; c < count; c++)
                    is_in = is_in || chosen[c] == k;
                chosen[count] = k;
                const double now = is_in ? INFINITY : loss_of(&other, each, chosen, count + 1, deviation, base, unused);
                next = now < best ? k : next;
                best = fmin(best, now);
            }
            if (next < 0)
                break;
            chosen[count++] = next;
        }
        mtl_model *few = prune(m, d, MEMBERS, &r), *again = prune(m, d, 2, NULL);
        done(mtl_report_get_series(r, "member", &kept, &member, err));
        ck_assert_int_eq(kept, count);
        for (int k = 0; k < count; k++)
            ck_assert_double_eq(member[k], chosen[k]);
        ck_assert_double_eq_tol(number(r, "loss"), evaluated(few, d), 1e-12);
        ck_assert_double_eq_tol(number(r, "loss_of_all"), evaluated(m, d), 1e-12);
        ck_assert_double_gt(number(r, "loss_of_all/v"), 0);
        const int64_t kept_numbers[2] = {chosen[0], chosen[1]};
        mtl_model *first_two = subset(m, kept_numbers, count < 2 ? 1 : 2);
        ck_assert_uint_eq(model_hash(again), model_hash(first_two));
        mtl_report_destroy(r);
        mtl_model_destroy(m), mtl_model_destroy(few), mtl_model_destroy(again), mtl_model_destroy(first_two);
    }
    mtl_dataset_destroy(d);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    const table t = make_table(1);
    test_memory memory = {0};
    mtl_context *ctx = counted_context(&memory, "threads=1");
    mtl_spec *s = spec_of(ctx, EMBEDDED, "tabm", 3);
    mtl_model *m = NULL, *out = NULL;
    mtl_dataset *d = data_of(&t, ctx);
    mtl_report *r = NULL;
    done(mtl_model_create(s, &m, err));
    fit(m, d, "epochs=1");
    const uint64_t before = model_hash(m);
    for (int n = 1;; n++) {
        memory.calls = 0;
        memory.fail_at = n;
        const mtl_status st = mtl_model_prune(m, d, 1, &out, &r, NULL);
        memory.fail_at = 0;
        if (st == MTL_OK)
            break;
        ck_assert_int_eq(st, MTL_ERR_NOMEM);
        ck_assert_ptr_null(out);
        ck_assert_ptr_null(r);
        ck_assert_uint_eq(model_hash(m), before);
    }
    mtl_report_destroy(r);
    mtl_model_destroy(out), mtl_model_destroy(m);
    mtl_dataset_destroy(d);
    mtl_spec_destroy(s);
    mtl_context_destroy(ctx);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(what_is_refused)
{
    const table t = make_table(1);
    mtl_dataset *d = data_of(&t, NULL), *narrow = NULL;
    mtl_spec *s = spec_of(NULL, PLAIN, "tabm", 4), *plain = spec_of(NULL, PLAIN, "tabm", 1);
    mtl_model *m = NULL, *one = NULL, *out = NULL;
    done(mtl_model_create(s, &m, err));
    done(mtl_model_create(plain, &one, err));
    refused(mtl_model_prune(m, d, 2, &out, NULL, err), MTL_ERR_STATE, "never fitted");
    fit(m, d, "epochs=1");
    fit(one, d, "epochs=1");
    refused(mtl_model_prune(one, d, 1, &out, NULL, err), MTL_ERR_STATE, "no members");
    refused(mtl_model_prune(m, d, 0, &out, NULL, err), MTL_ERR_RANGE, "1 .. 4 members, not 0");
    refused(mtl_model_prune(m, d, 5, &out, NULL, err), MTL_ERR_RANGE, "not 5");
    done(mtl_dataset_create(NULL, t.x, ROWS, INPUTS - 1, INPUTS, &narrow, err));
    done(mtl_dataset_set_labels(narrow, "c", 1, t.class, 1, err));
    refused(mtl_model_prune(m, narrow, 2, &out, NULL, err), MTL_ERR_SHAPE, "3");
    refused(mtl_model_prune(NULL, d, 2, &out, NULL, err), MTL_ERR_INVALID, "model");
    refused(mtl_model_prune(m, NULL, 2, &out, NULL, err), MTL_ERR_INVALID, "held_out");
    refused(mtl_model_prune(m, d, 2, NULL, NULL, err), MTL_ERR_INVALID, "out");
    ck_assert_ptr_null(out);
    mtl_model_destroy(m), mtl_model_destroy(one);
    mtl_dataset_destroy(d), mtl_dataset_destroy(narrow);
    mtl_spec_destroy(s), mtl_spec_destroy(plain);
}
END_TEST

/* Factors that a norm reads cannot go into a matrix: two stay. */
START_TEST(a_norm_between)
{
    const table t = make_table(1);
    mtl_dataset *d = data_of(&t, NULL);
    mtl_spec *s = NULL;
    mtl_model *m = NULL, *out = NULL;
    done(mtl_spec_create(NULL, INPUTS, &s, err));
    done(mtl_spec_add_norm(s, "batch", err));
    done(mtl_spec_add_dense(s, 5, "relu", err));
    add_tasks(s);
    done(mtl_spec_set_ensemble(s, 3, "tabm", err));
    done(mtl_model_create(s, &m, err));
    fit(m, d, "epochs=2");
    refused(mtl_model_prune(m, d, 1, &out, NULL, err), MTL_ERR_STATE, "a norm stands between");
    ck_assert_ptr_null(out);
    done(mtl_model_prune(m, d, 3, &out, NULL, err));
    mtl_model_destroy(out);
    mtl_model_destroy(m);
    mtl_spec_destroy(s);
    mtl_dataset_destroy(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("prune");
    add_case(s, "members are networks of their own", members_are_networks);
    add_case(s, "one is a plain network", one_is_plain);
    add_case(s, "who is chosen", greedy_choice);
    add_case(s, "any allocation may fail", any_allocation_may_fail);
    add_case(s, "what is refused", what_is_refused);
    add_case(s, "a norm between", a_norm_between);
    return run_suite(s);
}
