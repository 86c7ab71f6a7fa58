/* SPDX-License-Identifier: MIT */
/* Gradients by central differences for every activation, kind of task, depth and mix of heads. */
#include "gradcheck.h"

static const char *const activations[] = {
    "relu", "tanh",      "sigmoid", "identity", "leaky_relu", "leaky_relu:slope=0.3", "elu:alpha=1.5",
    "selu", "gelu", "gelu_tanh", "silu", "softplus", "hard_swish"};

static const ref_task binary = {"b", MTL_BINARY, 1, 1, {{0}}};
static const ref_task classes = {"c", MTL_MULTICLASS, 4, 1, {{0}}};
static const ref_task labels = {"l", MTL_MULTILABEL, 3, 1, {{0}}};
static const ref_task values = {"v", MTL_REGRESSION, 2, 1, {{0}}};

static void check(const char *what, const ref_net *n, int64_t rows, int missing)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ref_data d = ref_random_data(n, rows, seed, missing);
        check_gradients(what, n, &d, seed + 10);
        ref_data_free(&d);
    }
}

START_TEST(every_activation_with_every_kind)
{
    const ref_task kinds[] = {binary, classes, labels, values};
    for (int a = 0; a < (int)(sizeof activations / sizeof *activations); a++)
        for (int k = 0; k < 4; k++) {
            ref_net n = {4, {{6, activations[a]}, {5, activations[a]}}, {kinds[k]}};
            char what[64];
            snprintf(what, sizeof what, "%s, kind %d", activations[a], (int)kinds[k].kind);
            check(what, &n, 13, 0);
        }
}
END_TEST

START_TEST(no_trunk)
{
    ref_net n = {5, {{0}}, {binary, classes, labels, values}};
    check("linear heads on the inputs", &n, 17, 20);
}
END_TEST

START_TEST(deep_trunk)
{
    ref_net n = {3, {{7, "tanh"}, {1, "sigmoid"}, {9, "relu"}, {2, "tanh"}}, {values, binary}};
    check("four layers, one of width 1", &n, 21, 0);
}
END_TEST

START_TEST(mixed_heads)
{
    ref_net n = {4, {{6, "tanh"}}, {binary, classes, labels, values}};
    n.task[1].head[0] = (ref_layer){5, "relu"};
    n.task[3].head[0] = (ref_layer){4, "sigmoid"};
    n.task[3].head[1] = (ref_layer){3, "tanh"};
    check("two plain heads, two with own layers", &n, 19, 25);
}
END_TEST

START_TEST(curves_below_several_heads)
{
    /* The derivative of the trunk's last layer is applied once, to the sum of what the heads give. */
    ref_net n = {4, {{6, "silu"}, {5, "gelu"}}, {binary, classes, labels, values}};
    n.task[1].head[0] = (ref_layer){5, "elu"};
    n.task[3].head[0] = (ref_layer){4, "softplus"};
    n.task[3].head[1] = (ref_layer){3, "hard_swish"};
    check("curves below several heads", &n, 19, 25);
}
END_TEST

START_TEST(only_own_layers)
{
    ref_net one = {4, {{6, "tanh"}}, {values}};
    one.task[0].head[0] = (ref_layer){5, "tanh"};
    check("one head with own layers", &one, 19, 0);
    ref_net two = one;
    two.trunk[0] = (ref_layer){0, NULL};
    check("one head with own layers on the inputs", &two, 19, 0);
    ref_net three = one;
    three.task[0].head[1] = (ref_layer){3, "sigmoid"};
    three.task[1] = classes;
    three.task[1].head[0] = (ref_layer){8, "relu"};
    check("two heads with own layers", &three, 19, 10);
}
END_TEST

START_TEST(task_weights)
{
    ref_net n = {4, {{6, "tanh"}}, {binary, classes, labels, values}};
    n.task[0].weight = 0;
    n.task[1].weight = 3.5;
    n.task[2].weight = 0.25;
    check("task weights", &n, 19, 25);
}
END_TEST

START_TEST(row_weights)
{
    ref_net n = {4, {{6, "tanh"}}, {binary, classes, labels, values}};
    float w[23];
    uint64_t state = 5;
    for (int i = 0; i < 23; i++)
        w[i] = (float)(next_u32(&state) % 5) / 2; /* zeros too */
    ref_data d = ref_random_data(&n, 23, 4, 30);
    d.weight = w;
    check_gradients("row weights", &n, &d, 3);
    ref_data_free(&d);
}
END_TEST

START_TEST(silent_tasks)
{
    /* A task with no label value in the batch, one with a single value, one without a column. */
    ref_net n = {4, {{6, "tanh"}}, {binary, classes, labels, values}};
    ref_data d = ref_random_data(&n, 11, 4, 0);
    float *y = (float *)(uintptr_t)d.y[1], *l = (float *)(uintptr_t)d.y[2];
    for (int i = 0; i < 11; i++)
        y[i] = NAN;
    for (int i = 0; i < 33; i++)
        l[i] = i == 16 ? 1 : NAN;
    free((float *)(uintptr_t)d.y[3]);
    d.y[3] = NULL;
    check_gradients("silent tasks", &n, &d, 3);
    ref_data_free(&d);
}
END_TEST

START_TEST(shapes)
{
    /* Sizes around the kernels' tiles: one row, one column, just below and above 16 and 32. */
    static const int64_t rows[] = {1, 2, 15, 33}, widths[] = {1, 15, 17, 33};
    for (int r = 0; r < 4; r++)
        for (int w = 0; w < 4; w++) {
            ref_net n = {widths[3 - w], {{widths[w], "tanh"}}, {classes, values}};
            ref_data d = ref_random_data(&n, rows[r], 6, 0);
            char what[64];
            snprintf(what, sizeof what, "%lld rows, width %lld", (long long)rows[r],
                     (long long)widths[w]);
            check_gradients(what, &n, &d, 9);
            ref_data_free(&d);
        }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradients");
    add_case(s, "every activation with every kind of task", every_activation_with_every_kind);
    add_case(s, "heads on the inputs", no_trunk);
    add_case(s, "a deep trunk", deep_trunk);
    add_case(s, "plain heads beside heads with own layers", mixed_heads);
    add_case(s, "curves below several heads", curves_below_several_heads);
    add_case(s, "heads with own layers only", only_own_layers);
    add_case(s, "task weights", task_weights);
    add_case(s, "row weights", row_weights);
    add_case(s, "tasks without labels", silent_tasks);
    add_case(s, "shapes around the kernels' tiles", shapes);
    return run_suite(s);
}
