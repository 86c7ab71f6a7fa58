/* SPDX-License-Identifier: MIT */
/* mtl_quality: how good predictions are on real tables, beside simpler models. Each set is a folder
   with X.npy [rows, columns] and Y.npy [rows, tasks], NaN = missing, and where each row belongs to one
   task alone task_id.npy [rows] with Y.npy [rows, 1]. A column of labels that are all 0 or 1 is a binary
   task, judged by the area under its ROC curve; any other a regression task, by its error relative to
   that of the training rows' mean (RRMSE). All splits are random, 70 % to train.

   mtl_quality [--splits n] [--only names] [--recipe text]... [--csv file] [--with file] folder...

   --only      a list of methods with commas; --recipe adds one; a '+' in a value is a blank
   --csv       write set, method, split, task, metric, value, seconds of fit and prediction
   --with      read such a file, of quality_sklearn.py say, into the table at the end

   It prints, for each set and method, the mean over splits of the mean over tasks, its standard error
   over splits, and the time of a fit and of a prediction of the test rows; then for each set and task the
   methods' means and standard errors; and the methods' mean rank over the sets that all of them have. */
#include <math.h>
#include <mtl/mtl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_RECIPES = 24, MAX_NAMES = 64, MAX_RECORDS = 1 << 20, NAME = 48 };

/* What is tried: "name|layers|members|kind|folds|own|options", as for the ones below. */
typedef struct recipe {
    char name[NAME];
    char layers[64]; /* units of the trunk: "64,64" */
    int members;     /* of an ensemble */
    char kind[32];   /* its kind; of one member an architecture, or mini */
    int folds;   /* models averaged, each with another fifth to stop on; 0 = options say it */
    bool is_own; /* a model for each task */
    char options[256];
} recipe;

#define STOP "epochs=200 validation_split=0.2 validation=random patience=15"
static const char *const standard[] = {
    "fast||1|mini|0|0|preset=fast",
    "good||1|mini|0|0|preset=good",
    "best||1|mini|0|0|preset=best",
    "linear||1|mini|0|0|preset=good candidates=linear",
    "single|64,64|1|mini|0|1|" STOP,
    "shared|64,64|1|mini|0|0|" STOP,
    "mmoe|64,64|1|mmoe:experts=4|0|0|" STOP,
    "ensemble|128,128|8|tabm|0|0|" STOP,
    "ensemble-mini|128,128|8|mini|0|0|" STOP,
};

/* A finding. */
typedef struct record {
    char set[NAME], method[NAME];
    int split, task;
    char metric[16];
    double value, fit, predict; /* seconds of all tasks */
} record;

static record *records;
static int record_count;
static recipe recipes[MAX_RECIPES];
static int recipe_count;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "mtl_quality: %s: %s\n", what, why);
    exit(1);
}

static void check(mtl_status st, const char *what, mtl_error *err)
{
    if (st != MTL_OK)
        die(what, mtl_error_message(err));
}

static void *need(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        die("memory", "there is none");
    return p;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- data ---------------------------------------------------------------------------------------- */

typedef struct table {
    char name[NAME];
    int64_t rows, cols, tasks;
    float *x, *y;
    bool *is_binary; /* [tasks] */
} table;

/* The library's own reader; NULL when there is no such file and `may_lack`. */
static float *read_npy(const char *folder, const char *file, bool may_lack, int64_t *rows,
                       int64_t *cols)
{
    char path[1024];
    mtl_dataset *d = NULL;
    mtl_error *err = mtl_error_create();
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *probe = fopen(path, "rb");
    if (!probe && may_lack) {
        mtl_error_destroy(err);
        return NULL;
    }
    if (probe)
        fclose(probe);
    check(mtl_dataset_load_npy(NULL, path, &d, err), path, err);
    *rows = mtl_dataset_rows(d);
    *cols = mtl_dataset_inputs(d);
    float *values = need((size_t)(*rows * *cols) * sizeof *values);
    check(mtl_dataset_get_inputs(d, 0, *rows, values, *cols, err), path, err);
    mtl_dataset_destroy(d);
    mtl_error_destroy(err);
    return values;
}

static void spread_tasks(table *t, const float *task)
{
    int64_t most = 0;
    for (int64_t r = 0; r < t->rows; r++)
        most = (int64_t)task[r] > most ? (int64_t)task[r] : most;
    float *y = need((size_t)(t->rows * (most + 1)) * sizeof *y);
    for (int64_t i = 0; i < t->rows * (most + 1); i++)
        y[i] = NAN;
    for (int64_t r = 0; r < t->rows; r++)
        y[r * (most + 1) + (int64_t)task[r]] = t->y[r];
    free(t->y);
    t->y = y;
    t->tasks = most + 1;
}

static table read_table(const char *folder)
{
    table t = {0};
    int64_t rows, one;
    const char *name = strrchr(folder, '/');
    snprintf(t.name, sizeof t.name, "%s", name ? name + 1 : folder);
    t.x = read_npy(folder, "X.npy", false, &t.rows, &t.cols);
    t.y = read_npy(folder, "Y.npy", false, &rows, &t.tasks);
    float *task = read_npy(folder, "task_id.npy", true, &rows, &one);
    if (task)
        spread_tasks(&t, task);
    free(task);
    t.is_binary = need((size_t)t.tasks * sizeof *t.is_binary);
    for (int64_t i = 0; i < t.tasks; i++) {
        t.is_binary[i] = true;
        for (int64_t r = 0; r < t.rows; r++) {
            const float y = t.y[r * t.tasks + i];
            t.is_binary[i] = t.is_binary[i] && (isnan(y) || y == 0 || y == 1);
        }
    }
    return t;
}

static uint64_t next_random(uint64_t *s) /* Knuth's MMIX; quality_sklearn.py has the same */
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

/* Rows in the order of a split: training rows, then test rows. */
static table shuffled(const table *t, int split)
{
    table s = *t;
    uint64_t seed = 1000 + (uint64_t)split;
    int64_t *order = need((size_t)t->rows * sizeof *order);
    for (int64_t r = 0; r < t->rows; r++)
        order[r] = r;
    for (int64_t r = t->rows - 1; r > 0; r--) {
        int64_t other = (int64_t)(next_random(&seed) % (uint64_t)(r + 1)), row = order[r];
        order[r] = order[other];
        order[other] = row;
    }
    s.x = need((size_t)(t->rows * t->cols) * sizeof *s.x);
    s.y = need((size_t)(t->rows * t->tasks) * sizeof *s.y);
    for (int64_t r = 0; r < t->rows; r++) {
        memcpy(s.x + r * t->cols, t->x + order[r] * t->cols, (size_t)t->cols * sizeof *s.x);
        memcpy(s.y + r * t->tasks, t->y + order[r] * t->tasks, (size_t)t->tasks * sizeof *s.y);
    }
    free(order);
    return s;
}

/* --- one recipe on one split ------------------------------------------------------------------------ */

/* Some of the rows and tasks of a table as a data set. */
static mtl_dataset *dataset_of(const table *t, int64_t first, int64_t rows, int64_t task,
                               int64_t tasks, mtl_error *err)
{
    mtl_dataset *d = NULL;
    check(mtl_dataset_create(NULL, t->x + first * t->cols, rows, t->cols, t->cols, &d, err), "data",
          err);
    for (int64_t i = task; i < task + tasks; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)i);
        check(mtl_dataset_set_labels(d, name, 1, t->y + first * t->tasks + i, t->tasks, err), name,
              err);
    }
    return d;
}

static mtl_model *model_of(const table *t, const recipe *how, int64_t task, int64_t tasks,
                           mtl_error *err)
{
    mtl_spec *s = NULL;
    mtl_model *m = NULL;
    char layers[64], *save = NULL;
    snprintf(layers, sizeof layers, "%s", how->layers);
    check(mtl_spec_create(NULL, t->cols, &s, err), "spec", err);
    for (char *p = strtok_r(layers, ",", &save); p; p = strtok_r(NULL, ",", &save))
        check(mtl_spec_add_dense(s, atoi(p), "relu", err), "layer", err);
    if (how->members > 1)
        check(mtl_spec_set_ensemble(s, how->members, how->kind, err), "ensemble", err);
    else if (strcmp(how->kind, "mini") != 0)
        check(mtl_spec_set_architecture(s, how->kind, err), "architecture", err);
    check(mtl_spec_set_initializer(s, "he_uniform", err), "initializer", err);
    for (int64_t i = task; i < task + tasks; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)i);
        check(mtl_spec_add_task(s, name, t->is_binary[i] ? MTL_BINARY : MTL_REGRESSION, 1, err), name,
              err);
    }
    check(mtl_model_create(s, &m, err), "model", err);
    mtl_spec_destroy(s);
    return m;
}

static mtl_options *options_of(const recipe *how, mtl_error *err)
{
    mtl_options *o = NULL;
    char text[256], *save = NULL;
    snprintf(text, sizeof text, "%s", how->options);
    check(mtl_options_create(MTL_OPTIONS_FIT, &o, err), "options", err);
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        char *value = strchr(p, '=');
        if (!value)
            die(p, "an option reads key=value");
        *value++ = 0;
        for (char *blank = value; (blank = strchr(blank, '+')); blank++)
            *blank = ' ';
        char *end;
        double number = strtod(value, &end);
        bool is_number = end != value && *end == 0;
        mtl_status st = is_number ? mtl_options_set_f64(o, p, number, NULL) : MTL_ERR_KEY;
        if (st != MTL_OK && is_number)
            st = mtl_options_set_i64(o, p, (int64_t)number, NULL);
        if (st != MTL_OK)
            check(mtl_options_set_str(o, p, value, err), p, err);
    }
    return o;
}

/* Fit one model and add its predictions of the test rows to `out` [test, t->tasks]. */
static void run_model(const table *t, const recipe *how, int64_t train, int64_t task, int64_t tasks,
                      int fold, float *out, double *fit, double *predict)
{
    mtl_error *err = mtl_error_create();
    const int64_t test = t->rows - train;
    mtl_model *m = model_of(t, how, task, tasks, err);
    mtl_options *o = options_of(how, err);
    mtl_dataset *d = dataset_of(t, 0, train, task, tasks, err), *parts[2] = {d, NULL};
    float *p = need((size_t)(test * tasks) * sizeof *p);
    if (how->folds) {
        int64_t *index = need((size_t)train * sizeof *index), n[2] = {0, 0};
        for (int part = 0; part < 2; part++) {
            for (int64_t r = n[part] = 0; r < train; r++)
                if ((r % 5 == fold) == part)
                    index[n[part]++] = r;
            check(mtl_dataset_subset(d, n[part], index, &parts[part], err), "fold", err);
        }
        free(index);
    }
    double started = seconds();
    check(mtl_fit(m, parts[0], parts[1], o, NULL, err), how->name, err);
    *fit += seconds() - started;
    started = seconds();
    check(mtl_predict(m, test, t->x + train * t->cols, t->cols, p, tasks, err), "predict", err);
    *predict += seconds() - started;
    for (int64_t r = 0; r < test; r++)
        for (int64_t i = 0; i < tasks; i++)
            out[r * t->tasks + task + i] += p[r * tasks + i] / (float)(how->folds ? how->folds : 1);
    free(p);
    if (parts[1])
        mtl_dataset_destroy(parts[0]), mtl_dataset_destroy(parts[1]);
    mtl_dataset_destroy(d);
    mtl_options_destroy(o);
    mtl_model_destroy(m);
    mtl_error_destroy(err);
}

static double judge(const table *t, int64_t train, int64_t task, const float *out)
{
    const float *y = t->y + train * t->tasks + task;
    double value = NAN, mean = 0, n = 0, ours = 0, base = 0;
    if (t->is_binary[task]) {
        mtl_metric("roc_auc", t->rows - train, 1, out + task, t->tasks, 1, y, t->tasks, NULL, &value,
                   NULL, NULL);
        return value;
    }
    for (int64_t r = 0; r < train; r++)
        if (!isnan(t->y[r * t->tasks + task])) {
            mean += (double)t->y[r * t->tasks + task];
            n++;
        }
    mean /= n;
    for (int64_t r = 0; r < t->rows - train; r++)
        if (!isnan(y[r * t->tasks])) {
            ours += pow((double)out[r * t->tasks + task] - (double)y[r * t->tasks], 2);
            base += pow(mean - (double)y[r * t->tasks], 2);
        }
    return sqrt(ours / base);
}

static void add_record(const record *r)
{
    if (record_count == MAX_RECORDS)
        die("records", "too many");
    records[record_count++] = *r;
}

static void run_recipe(const table *t, const recipe *how, int split)
{
    const int64_t train = t->rows * 7 / 10, step = how->is_own ? 1 : t->tasks;
    float *out = need((size_t)((t->rows - train) * t->tasks) * sizeof *out);
    double fit = 0, predict = 0;
    for (int64_t task = 0; task < t->tasks; task += step)
        for (int fold = 0; fold < (how->folds ? how->folds : 1); fold++)
            run_model(t, how, train, task, step, fold, out, &fit, &predict);
    for (int64_t task = 0; task < t->tasks; task++) {
        record r = {.split = split,
                    .task = (int)task,
                    .value = judge(t, train, task, out),
                    .fit = fit,
                    .predict = predict};
        memcpy(r.set, t->name, sizeof r.set);
        memcpy(r.method, how->name, sizeof r.method);
        strcpy(r.metric, t->is_binary[task] ? "auc" : "rrmse");
        add_record(&r);
    }
    free(out);
}

/* --- tables ------------------------------------------------------------------------------------------ */

/* Mean over the tasks of a split that have a figure; NaN without any. */
static double split_mean(const char *set, const char *method, int split, double *fit,
                         double *predict, const char **metric)
{
    double sum = 0, n = 0;
    for (int i = 0; i < record_count; i++) {
        const record *r = &records[i];
        if (r->split != split || strcmp(r->set, set) || strcmp(r->method, method))
            continue;
        *fit = r->fit;
        *predict = r->predict;
        *metric = r->metric;
        if (!isnan(r->value)) {
            sum += r->value;
            n++;
        }
    }
    return n > 0 ? sum / n : NAN;
}

static void print_line(const char *set, const char *method, int splits)
{
    double sum = 0, squares = 0, fits = 0, predicts = 0, n = 0;
    const char *metric = "";
    for (int s = 0; s < splits; s++) {
        double fit = 0, predict = 0, mean = split_mean(set, method, s, &fit, &predict, &metric);
        if (isnan(mean))
            continue;
        sum += mean;
        squares += mean * mean;
        fits += fit;
        predicts += predict;
        n++;
    }
    if (n == 0)
        return;
    double mean = sum / n, variance = n > 1 ? (squares - n * mean * mean) / (n - 1) : NAN;
    printf("%-12s %-20s %-6s %.4f +- %.4f  fit %7.2f s  predict %7.2f ms\n", set, method, metric,
           mean, sqrt(fmax(variance, 0) / n), fits / n, 1e3 * predicts / n);
    fflush(stdout);
}

/* Mean and standard error over splits of one task. */
static void print_task(const char *set, const char *method, int task)
{
    double sum = 0, squares = 0, n = 0;
    for (int i = 0; i < record_count; i++) {
        const record *r = &records[i];
        if (r->task != task || isnan(r->value) || strcmp(r->set, set) || strcmp(r->method, method))
            continue;
        sum += r->value;
        squares += r->value * r->value;
        n++;
    }
    const double mean = sum / n, variance = n > 1 ? (squares - n * mean * mean) / (n - 1) : NAN;
    printf("  %s %.4f +- %.4f", method, mean, sqrt(fmax(variance, 0) / n));
}

/* Names in the order of their first records. */
typedef struct names {
    const char *name[MAX_NAMES];
    int count;
} names;

static void add_name(names *n, const char *name)
{
    for (int i = 0; i < n->count; i++)
        if (!strcmp(n->name[i], name))
            return;
    if (n->count == MAX_NAMES)
        die(name, "too many names");
    n->name[n->count++] = name;
}

static void print_tasks(const char *set, const names *methods)
{
    int tasks = 0;
    for (int i = 0; i < record_count; i++)
        if (!strcmp(records[i].set, set) && records[i].task >= tasks)
            tasks = records[i].task + 1;
    for (int task = 0; task < tasks; task++) {
        printf("%-12s t%-4d", set, task);
        for (int m = 0; m < methods->count; m++)
            print_task(set, methods->name[m], task);
        printf("\n");
    }
}

/* The mean of a method's figures on a set, so that less is better; NaN without any. */
static double mean_of(const char *set, const char *method, int splits)
{
    double sum = 0, n = 0;
    const char *metric = "";
    for (int s = 0; s < splits; s++) {
        double fit, predict, mean = split_mean(set, method, s, &fit, &predict, &metric);
        sum += isnan(mean) ? 0 : mean;
        n += !isnan(mean);
    }
    return n > 0 ? (strcmp(metric, "auc") ? sum / n : -sum / n) : NAN;
}

/* Over the sets that all methods have. */
static void print_ranks(const names *sets, const names *methods, int splits)
{
    double rank[MAX_NAMES] = {0}, used = 0;
    for (int s = 0; s < sets->count; s++) {
        double value[MAX_NAMES];
        bool all = true;
        for (int m = 0; m < methods->count; m++) {
            value[m] = mean_of(sets->name[s], methods->name[m], splits);
            all = all && !isnan(value[m]);
        }
        for (int m = 0; m < methods->count && all; m++) {
            rank[m] += 1;
            for (int k = 0; k < methods->count; k++)
                rank[m] += value[k] < value[m];
        }
        used += all;
    }
    for (int m = 0; m < methods->count; m++)
        printf("mean rank over %.0f sets: %-20s %.2f\n", used, methods->name[m], rank[m] / used);
}

static void print_all(int splits)
{
    names sets = {.count = 0}, methods = {.count = 0};
    for (int i = 0; i < record_count; i++) {
        add_name(&sets, records[i].set);
        add_name(&methods, records[i].method);
    }
    printf("\n");
    for (int s = 0; s < sets.count; s++)
        for (int m = 0; m < methods.count; m++)
            print_line(sets.name[s], methods.name[m], splits);
    printf("\n");
    for (int s = 0; s < sets.count; s++)
        print_tasks(sets.name[s], &methods);
    printf("\n");
    print_ranks(&sets, &methods, splits);
}

static void write_csv(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        die(path, "cannot be written");
    fprintf(f, "set,method,split,task,metric,value,fit_seconds,predict_seconds\n");
    for (int i = 0; i < record_count; i++) {
        const record *r = &records[i];
        fprintf(f, "%s,%s,%d,%d,%s,%.9g,%.4g,%.4g\n", r->set, r->method, r->split, r->task,
                r->metric, r->value, r->fit, r->predict);
    }
    fclose(f);
}

static void read_csv(const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f)
        die(path, "cannot be read");
    while (fgets(line, sizeof line, f)) {
        record r = {0};
        if (sscanf(line, "%47[^,],%47[^,],%d,%d,%15[^,],%lf,%lf,%lf", r.set, r.method, &r.split,
                   &r.task, r.metric, &r.value, &r.fit, &r.predict) == 8)
            add_record(&r);
    }
    fclose(f);
}

/* --- command line -------------------------------------------------------------------------------------- */

static const char *part(const char *text, char *to, size_t size)
{
    size_t n = strcspn(text, "|");
    snprintf(to, size, "%.*s", (int)n, text);
    return text[n] ? text + n + 1 : text + n;
}

static void add_recipe(const char *text)
{
    recipe *r = &recipes[recipe_count];
    char number[16];
    if (recipe_count++ == MAX_RECIPES)
        die("recipes", "too many");
    text = part(text, r->name, sizeof r->name);
    text = part(text, r->layers, sizeof r->layers);
    text = part(text, number, sizeof number);
    r->members = atoi(number);
    text = part(text, r->kind, sizeof r->kind);
    text = part(text, number, sizeof number);
    r->folds = atoi(number);
    text = part(text, number, sizeof number);
    r->is_own = atoi(number) != 0;
    part(text, r->options, sizeof r->options);
}

static bool is_wanted(const char *only, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = only; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && !strncmp(p, name, n))
            return true;
    return !only;
}

int main(int argc, char **argv)
{
    int splits = 5;
    const char *csv = NULL, *only = NULL;
    records = need(MAX_RECORDS * sizeof *records);
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        add_recipe(standard[i]);
    int i = 1;
    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (!strcmp(argv[i], "--splits"))
            splits = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--recipe"))
            add_recipe(argv[i + 1]);
        else if (!strcmp(argv[i], "--csv"))
            csv = argv[i + 1];
        else if (!strcmp(argv[i], "--only"))
            only = argv[i + 1];
        else if (!strcmp(argv[i], "--with"))
            read_csv(argv[i + 1]);
        else
            die(argv[i], "no such option");
    }
    for (; i < argc; i++) {
        table t = read_table(argv[i]);
        for (int r = 0; r < recipe_count; r++) {
            for (int s = 0; s < splits && is_wanted(only, recipes[r].name); s++) {
                table one = shuffled(&t, s);
                run_recipe(&one, &recipes[r], s);
                free(one.x), free(one.y);
            }
            if (is_wanted(only, recipes[r].name))
                print_line(t.name, recipes[r].name, splits);
        }
        free(t.x), free(t.y), free(t.is_binary);
    }
    print_all(splits);
    if (csv)
        write_csv(csv);
    free(records);
    return 0;
}
