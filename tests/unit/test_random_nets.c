/* SPDX-License-Identifier: MIT */
/* Networks, tasks and data at random, where one property must hold for the bits of all of them:
   they are the same at every level and number of threads, and however the same rows lie in memory.
 */
#include "api_testing.h"

enum { MOST_TASKS = 9, SHARED_CASES = 12 };

/* Of the cases behind those of one trunk. */
static const char *const architectures[] = {"mmoe:experts=3",  "cgc:experts=1,own=2", "ple",   "soft",
                                            "adapter:units=3", "cross_stitch",        "single"};
enum { CASES = SHARED_CASES + sizeof architectures / sizeof *architectures };

typedef struct random_task {
    char name[8];
    int32_t kind;
    int64_t outputs, cols;
    char head[40];
    bool has_labels, has_weights;
    float *y, *w; /* y into the one matrix of all labels */
} random_task;

/* Everything that a seed decides. */
typedef struct random_case {
    uint64_t seed;
    int64_t inputs, rows, tasks, label_cols;
    int64_t units[3];
    double dropout;
    const char *architecture; /* NULL = one trunk of all tasks */
    bool is_weighted;
    float *x, *labels, *w;
    random_task task[MOST_TASKS];
    char fit[160];
} random_case;

static int64_t pick(uint64_t *seed, int64_t low, int64_t high)
{
    return low + next_u32(seed) % (high - low + 1);
}

static const char *activation(uint64_t *seed)
{
    static const char *const names[] = {"relu", "tanh",     "sigmoid",    "identity",  "elu",
                                        "gelu", "softplus", "hard_swish", "gelu_tanh", "silu"};
    return names[next_u32(seed) % 10];
}

/* Kinds come in runs more often than not, so that targets are joined, and are broken by others. */
static void make_task(random_case *c, int64_t t, uint64_t *seed)
{
    static const int32_t kinds[] = {MTL_BINARY, MTL_MULTILABEL, MTL_REGRESSION, MTL_MULTICLASS};
    random_task *task = &c->task[t];
    snprintf(task->name, sizeof task->name, "t%d", (int)t);
    task->kind = t > 0 && next_u32(seed) % 2 ? c->task[t - 1].kind : kinds[next_u32(seed) % 4];
    task->outputs = task->kind == MTL_BINARY       ? 1
                    : task->kind == MTL_MULTICLASS ? pick(seed, 2, 40)
                                                   : pick(seed, 1, 5);
    task->cols = task->kind == MTL_MULTICLASS ? 1 : task->outputs;
    if (next_u32(seed) % 3 == 0)
        snprintf(task->head, sizeof task->head, "%d:%s", (int)pick(seed, 1, 20), activation(seed));
    task->has_labels = t == 0 || next_u32(seed) % 4;
    task->has_weights = next_u32(seed) % 4 == 0;
}

static float label_value(const random_task *t, uint64_t *seed)
{
    float y = t->kind == MTL_REGRESSION   ? 100 + 30 * next_unit(seed)
              : t->kind == MTL_MULTICLASS ? (float)(next_u32(seed) % t->outputs)
                                          : (float)(next_u32(seed) % 2);
    return next_u32(seed) % 5 == 0 ? NAN : y;
}

static float *random_weights(int64_t rows, uint64_t *seed)
{
    float *w = floats(rows);
    for (int64_t r = 0; r < rows; r++)
        w[r] = (float)(next_u32(seed) % 5) / 2;
    return w;
}

static random_case case_make(uint64_t number)
{
    static const int64_t rows[] = {1, 2, 17, 100, 700, 1500};
    uint64_t seed = number * 7919 + 3;
    random_case c = {.seed = number, .rows = rows[number % 6]};
    c.architecture = number < SHARED_CASES ? NULL : architectures[number - SHARED_CASES];
    const bool is_wide = number % 4 == 0 && !c.architecture;
    c.inputs = pick(&seed, 1, is_wide ? 300 : 20);
    c.tasks = pick(&seed, 1, c.architecture ? 4 : MOST_TASKS);
    for (int64_t i = 0, layers = pick(&seed, c.architecture != NULL, 3); i < layers; i++)
        c.units[i] = pick(&seed, 1, is_wide ? 300 : 40);
    c.dropout = next_u32(&seed) % 3 == 0 ? 0.25 : 0;
    c.is_weighted = next_u32(&seed) % 3 == 0;
    for (int64_t t = 0; t < c.tasks; t++) {
        make_task(&c, t, &seed);
        c.label_cols += c.task[t].cols;
    }
    c.x = floats(c.rows * c.inputs);
    for (int64_t i = 0; i < c.rows * c.inputs; i++)
        c.x[i] = next_u32(&seed) % 20 == 0 ? NAN : 3 * next_unit(&seed);
    c.labels = floats(c.rows * c.label_cols);
    c.w = random_weights(c.rows, &seed);
    for (int64_t t = 0, column = 0; t < c.tasks; column += c.task[t++].cols) {
        c.task[t].y = c.labels + column;
        c.task[t].w = random_weights(c.rows, &seed);
        for (int64_t i = 0; i < c.rows * c.task[t].cols; i++)
            c.labels[i / c.task[t].cols * c.label_cols + column + i % c.task[t].cols] =
                label_value(&c.task[t], &seed);
    }
    c.task[0].y[0] = 1; /* a label at least */
    snprintf(c.fit, sizeof c.fit, "epochs=2 batch_size=%d seed=%d l2=%s learning_rate=0.01",
             (int)(number % 2 ? 3000 : pick(&seed, 1, 900)), (int)number,
             next_u32(&seed) % 3 ? "0" : "0.01");
    return c;
}

static void case_free(random_case *c)
{
    for (int64_t t = 0; t < c->tasks; t++)
        free(c->task[t].w);
    free(c->x), free(c->labels), free(c->w);
}

static mtl_model *case_model(const random_case *c, mtl_context *ctx)
{
    uint64_t seed = c->seed;
    const bool is_ensemble = c->seed % 3 == 0 && !c->architecture;
    const bool is_ple = c->architecture && strcmp(c->architecture, "ple") == 0;
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    done(mtl_spec_create(ctx, c->inputs, &s, err));
    if (c->dropout > 0 && c->seed % 2)
        done(mtl_spec_add_dropout(s, c->dropout, err));
    if (next_u32(&seed) % 3 == 0)
        done(mtl_spec_add_embedding(s, next_u32(&seed) % c->inputs, 3, 5, err));
    if (c->seed % 4 == 1 && !(c->dropout > 0 && c->seed % 2) && c->inputs > 1) {
        static const char *const kinds[] = {"cosine:size=3", "plr:size=6,frequencies=5", "ple:bins=9"};
        done(mtl_spec_add_numeric_embedding(s, kinds[c->seed / 4 % 3], 0, NULL, err));
    }
    for (int i = 0; i < 3 && c->units[i]; i++) {
        done(mtl_spec_add_dense(s, c->units[i], activation(&seed), err));
        if (next_u32(&seed) % 3 == 0)
            done(mtl_spec_add_norm(s, next_u32(&seed) % 2 || c->architecture ? "layer" : "batch", err));
        if (next_u32(&seed) % 3 == 0 && !is_ensemble && !is_ple) {
            done(mtl_spec_add_dense(s, c->units[i], activation(&seed), err));
            done(mtl_spec_add_residual(s, 1, err));
        }
        if (c->dropout > 0)
            done(mtl_spec_add_dropout(s, c->dropout, err));
    }
    for (int64_t t = 0; t < c->tasks; t++) {
        const random_task *task = &c->task[t];
        done(mtl_spec_add_task(s, task->name, task->kind, task->outputs, err));
        if (task->head[0])
            done(mtl_spec_task_set_str(s, task->name, "head", task->head, err));
    }
    done(mtl_spec_set_linear_skip(s, next_u32(&seed) % 3 == 0 && !is_ensemble, err));
    if (is_ensemble)
        done(mtl_spec_set_ensemble(s, 2 + next_u32(&seed) % 5, c->seed % 2 ? "tabm" : "mini", err));
    if (c->architecture)
        done(mtl_spec_set_architecture(s, c->architecture, err));
    done(mtl_model_create(s, &m, err));
    mtl_spec_destroy(s);
    return m;
}

/* How the same data are handed over. */
typedef enum form { AS_IT_IS, SUBSET_OF_SUBSET, COPY_OF_SUBSET, APART, FORMS } form;

static mtl_dataset *plain_data(const random_case *c, mtl_context *ctx, bool apart, float **copies)
{
    mtl_dataset *d = NULL;
    done(mtl_dataset_create(ctx, c->x, c->rows, c->inputs, c->inputs, &d, err));
    for (int64_t i = 0; i < c->tasks; i++) {
        /* In another order too: it is not that of the model's columns. */
        int64_t t = apart ? c->tasks - 1 - i : i, ld = apart ? c->task[t].cols : c->label_cols;
        const random_task *task = &c->task[t];
        const float *y = task->y;
        if (!task->has_labels)
            continue;
        if (apart) {
            copies[t] = floats(c->rows * ld);
            for (int64_t k = 0; k < c->rows * ld; k++)
                copies[t][k] = task->y[k / ld * c->label_cols + k % ld];
            y = copies[t];
        }
        done(mtl_dataset_set_labels(d, task->name, task->cols, y, ld, err));
        if (task->has_weights)
            done(mtl_dataset_set_weights(d, task->name, task->w, err));
    }
    if (c->is_weighted)
        done(mtl_dataset_set_weights(d, NULL, c->w, err));
    return d;
}

/* All rows in their order, by way of two index arrays. */
static mtl_dataset *by_subsets(const mtl_dataset *d, int64_t rows)
{
    mtl_dataset *turned = NULL, *again = NULL;
    int64_t *index = malloc((size_t)rows * sizeof *index);
    for (int64_t i = 0; i < rows; i++)
        index[i] = rows - 1 - i;
    done(mtl_dataset_subset(d, rows, index, &turned, err));
    done(mtl_dataset_subset(turned, rows, index, &again, err));
    mtl_dataset_destroy(turned);
    free(index);
    return again;
}

static uint64_t hash_loss(uint64_t hash, const random_case *c, const mtl_model *m,
                          const mtl_dataset *d)
{
    mtl_report *r = NULL;
    done(mtl_evaluate(m, d, NULL, &r, err));
    for (int64_t t = -1; t < c->tasks; t++) {
        char name[32] = "loss";
        double value = 0;
        if (t >= 0)
            snprintf(name, sizeof name, "loss/%s", c->task[t].name);
        if (t < 0 || c->task[t].has_labels)
            done(mtl_report_get_f64(r, name, &value, err));
        value = isnan(value) ? 77 : value; /* all labels missing; the sign of NaN is nobody's */
        hash = hash_bytes(hash, &value, sizeof value);
    }
    mtl_report_destroy(r);
    return hash;
}

/* predict, predict of each task alone and a predictor agree; returns the hash of what they give. */
static uint64_t hash_predictions(uint64_t hash, const random_case *c, const mtl_model *m)
{
    const int64_t outputs = mtl_model_outputs(m);
    float *all = floats(c->rows * outputs), *other = floats(c->rows * outputs);
    mtl_predictor *p = NULL;
    done(mtl_predict(m, c->rows, c->x, c->inputs, all, outputs, err));
    done(mtl_predictor_create(m, (int64_t)(c->seed % 3) * 50, &p, err));
    done(mtl_predictor_run(p, c->rows, c->x, c->inputs, other, outputs, err));
    assert_same_bits(all, other, c->rows * outputs);
    for (int64_t t = 0, column = 0; t < c->tasks; column += c->task[t++].outputs)
        done(mtl_predict_task(m, t, c->rows, c->x, c->inputs, other + column, outputs, err));
    assert_same_bits(all, other, c->rows * outputs);
    hash = hash_bytes(hash, all, (size_t)(c->rows * outputs) * sizeof *all);
    mtl_predictor_destroy(p);
    free(all), free(other);
    return hash;
}

/* Few rows of a task that the model does not know. */
static mtl_dataset *new_task(const random_case *c, mtl_context *ctx)
{
    const int64_t rows = c->rows < 90 ? c->rows : 90;
    float label[90];
    mtl_dataset *few = NULL, *d = NULL;
    for (int64_t r = 0; r < rows; r++)
        label[r] = (float)(r % 3 == 0);
    done(mtl_dataset_create(ctx, c->x, rows, c->inputs, c->inputs, &few, err));
    done(mtl_dataset_set_labels(few, "new", 1, label, 1, err));
    done(mtl_dataset_copy(few, &d, err));
    mtl_dataset_destroy(few);
    return d;
}

/* Everything that comes of a fit on these data, and of a transfer with them as what is known. */
static uint64_t outcome(const random_case *c, const mtl_dataset *d, mtl_context *ctx)
{
    mtl_model *m = case_model(c, ctx), *moved = NULL;
    fit(m, d, c->fit);
    uint64_t hash = hash_predictions(model_hash(m), c, m);
    hash = hash_loss(hash, c, m, d);
    /* auto trains dozens of networks: once. */
    mtl_options *o = options(MTL_OPTIONS_TRANSFER,
                             c->seed == 2 ? "epochs=2 batch_size=64 simulations=1"
                                          : "epochs=2 batch_size=64 strategy=fine_tune");
    mtl_dataset *target = new_task(c, ctx);
    done(mtl_transfer(m, target, d, o, &moved, NULL, err));
    mtl_dataset_destroy(target);
    uint64_t after = model_hash(moved);
    mtl_options_destroy(o);
    mtl_model_destroy(moved);
    mtl_model_destroy(m);
    return hash_bytes(hash, &after, sizeof after);
}

static uint64_t run(const random_case *c, const char *how, form f)
{
    float *copies[MOST_TASKS] = {NULL};
    mtl_context *ctx = context(how);
    mtl_dataset *d = plain_data(c, ctx, f == APART, copies), *other = NULL;
    if (f == SUBSET_OF_SUBSET || f == COPY_OF_SUBSET) {
        other = by_subsets(d, c->rows);
        mtl_dataset_destroy(d);
        d = other;
    }
    if (f == COPY_OF_SUBSET) {
        done(mtl_dataset_copy(other, &d, err));
        mtl_dataset_destroy(other);
    }
    uint64_t hash = outcome(c, d, ctx);
    mtl_dataset_destroy(d);
    mtl_context_destroy(ctx);
    for (int64_t t = 0; t < c->tasks; t++)
        free(copies[t]);
    return hash;
}

START_TEST(same_bits)
{
    static const char *const how[] = {"cpu=c threads=1", "cpu=avx2 threads=2",
                                      "cpu=auto threads=3"};
    for (uint64_t number = 0; number < CASES; number++) {
        random_case c = case_make(number);
        const uint64_t expected = run(&c, "threads=1", AS_IT_IS);
        for (int h = 0; h < 3; h++)
            ck_assert_msg(run(&c, how[h], AS_IT_IS) == expected, "case %d: other bits with %s",
                          (int)number, how[h]);
        for (int f = 1; f < FORMS; f++)
            ck_assert_msg(run(&c, "threads=2", (form)f) == expected,
                          "case %d: other bits as form %d", (int)number, f);
        case_free(&c);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("random_nets");
    add_case(s, "the same bits for networks at random", same_bits);
    return run_suite(s);
}
