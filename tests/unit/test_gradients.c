/* SPDX-License-Identifier: MIT */
/* Gradients by central differences for every activation, kind of task, depth and mix of heads. */
#include "gradcheck.h"

static const char *const activations[] = {
    "relu", "tanh",      "sigmoid", "identity", "leaky_relu", "leaky_relu:slope=0.3", "elu:alpha=1.5",
    "selu", "gelu", "gelu_tanh", "silu", "softplus", "hard_swish", "mish"};

static const ref_task binary = {.name = "b", .kind = MTL_BINARY, .outputs = 1, .weight = 1};
static const ref_task classes = {.name = "c", .kind = MTL_MULTICLASS, .outputs = 4, .weight = 1};
static const ref_task labels = {.name = "l", .kind = MTL_MULTILABEL, .outputs = 3, .weight = 1};
static const ref_task values = {.name = "v", .kind = MTL_REGRESSION, .outputs = 2, .weight = 1};

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

/* Every loss in a task of its own, with plain heads and with own layers, masks, weights of rows. */
START_TEST(every_loss)
{
    static const ref_task tasks[] = {
        {.kind = MTL_BINARY, .loss = "binary_cross_entropy:smoothing=0.1,positive_weight=2"},
        {.kind = MTL_BINARY, .loss = "focal"},
        {.kind = MTL_BINARY, .loss = "binary_cross_entropy", .class_weights = "0.5/3"},
        {.kind = MTL_MULTILABEL, .outputs = 3, .loss = "focal:gamma=1,alpha=0.6"},
        {.kind = MTL_MULTILABEL, .outputs = 3, .loss = "focal", .class_weights = "2/0.25"},
        {.kind = MTL_MULTICLASS, .outputs = 4, .loss = "cross_entropy:smoothing=0.2"},
        {.kind = MTL_MULTICLASS, .outputs = 4, .loss = "cross_entropy", .class_weights = "1/2/0/3.5"},
        {.kind = MTL_MULTICLASS, .outputs = 4, .loss = "focal:gamma=1.5", .class_weights = "1/2/0.5/3"},
        {.kind = MTL_MULTICLASS, .outputs = 2, .loss = "ordinal"},
        {.kind = MTL_MULTICLASS, .outputs = 5, .loss = "ordinal", .class_weights = "1/2/1/2/3"},
        {.kind = MTL_REGRESSION, .outputs = 2, .loss = "absolute_error"},
        {.kind = MTL_REGRESSION, .outputs = 2, .loss = "huber:delta=0.7"},
        {.kind = MTL_REGRESSION, .outputs = 2, .loss = "log_cosh"},
        {.kind = MTL_COUNT, .outputs = 2, .loss = "poisson"},
        {.kind = MTL_COUNT, .outputs = 2, .loss = "gamma"},
        {.kind = MTL_COUNT, .outputs = 1, .loss = "tweedie:power=1.3"},
        {.kind = MTL_QUANTILE, .outputs = 3},
        {.kind = MTL_QUANTILE, .outputs = 4, .quantiles = "0.05/0.4/0.5/0.99"},
    };
    float w[29];
    uint64_t state = 8;
    for (int i = 0; i < 29; i++)
        w[i] = (float)(1 + next_u32(&state) % 4) / 2;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        for (int own = 0; own < 2; own++) {
            ref_net n = {4, {{6, "tanh"}}, {tasks[i], classes}};
            n.task[0].name = "t";
            n.task[0].weight = 1.5;
            n.task[0].outputs += n.task[0].outputs == 0;
            if (own)
                n.task[0].head[0] = (ref_layer){5, "tanh"};
            ref_data d = ref_random_data(&n, 29, 3 + i, 20);
            d.weight = own ? w : NULL;
            check_gradients(tasks[i].loss ? tasks[i].loss : "quantile", &n, &d, 11);
            ref_data_free(&d);
        }
}
END_TEST

START_TEST(losses_side_by_side)
{
    /* Tasks that share a pass, and such that must not. */
    ref_net n = {4, {{6, "tanh"}}, {binary, binary, binary, values, values, values}};
    static const char *const losses[] = {
        "focal", "focal", "binary_cross_entropy:positive_weight=2", "huber:delta=0.7", "huber:delta=0.4",
        "huber:delta=0.4"};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    for (int t = 0; t < 6; t++) {
        n.task[t].name = names[t];
        n.task[t].loss = losses[t];
    }
    n.task[1].class_weights = "1/2";
    ref_data d = ref_random_data(&n, 29, 3, 20);
    check_gradients("losses side by side", &n, &d, 12);
    ref_data_free(&d);
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
    add_case(s, "every loss", every_loss);
    add_case(s, "losses with their own parameters side by side", losses_side_by_side);
    return run_suite(s);
}
