/* SPDX-License-Identifier: MIT */
/* mtl_quality: how good predictions are on real tables, beside simpler models and scikit-learn's.
   Each set is a folder with X.npy [rows, columns] and Y.npy [rows, tasks], NaN = missing, and where
   each row belongs to one task alone task_id.npy [rows] with Y.npy [rows, 1]. A column of labels
   that are all 0 or 1 is a binary task, judged by the area under its ROC curve; any other a
   regression task, by its error relative to that of the training rows' mean (RRMSE). All splits are
   random, 70 % to train.

   mtl_quality [--splits n] [--only names] [--recipe text]... [--csv file] [--python program]
   folder...

   --only      methods, with commas; without it those of `usual` and what --recipe adds
   --recipe    one more, as `standard` has them; a '+' in a value is a blank
   --csv       add set, method, split, task, metric, value, seconds of fit and prediction; what the
   file has already is not measured again and stands in the tables, so that pieces join
   --python    which one has numpy and scikit-learn, python3 by default; without them, without
   forests

   It prints, for each set and method, the mean over splits of the mean over tasks, its standard
   error over splits, and the processor time, of one thread, of a fit and of a prediction of the
   test rows; then for each set and task the methods' means and standard errors; what presets gain
   on the best of the simpler methods and of scikit-learn's, by pairs of splits; and the methods'
   mean rank over the sets that all of them have. */
#include <math.h>
#include <mtl/mtl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RECIPES = 24, MAX_NAMES = 64, MAX_RECORDS = 1 << 20, NAME = 48 };

/* What is tried: "name|layers|members|kind|folds|own|options", as for the ones below. */
typedef struct recipe {
    char name[NAME];
    char layers[64]; /* units of the trunk: "64,64" */
    int members;     /* of an ensemble */
    char kind[32];   /* its kind; of one member an architecture, mini, or distil: one network of it */
    int folds;       /* models averaged, each with another fifth to stop on; 0 = options say it */
    bool is_own;     /* a model for each task */
    char options[256];
} recipe;

#define STOP "epochs=200 validation_split=0.2 validation=random patience=15"
static const char *const standard[] = {
    "linear||1|mini|0|0|preset=good candidates=linear",
    "single|64,64|1|mini|0|1|" STOP,
    "shared|64,64|1|mini|0|0|" STOP,
    "plain|64,64|1|mini|0|0|preset=plain",
    "fast||1|mini|0|0|preset=fast",
    "good||1|mini|0|0|preset=good",
    "best||1|mini|0|0|preset=best",
    "good-distilled||1|distil|0|0|preset=good",
    "mmoe|64,64|1|mmoe:experts=4|0|0|" STOP,
    "ensemble|128,128|8|tabm|0|0|" STOP,
    "ensemble-mini|128,128|8|mini|0|0|" STOP,
};
/* By quality_sklearn.py. */
static const char *const peers[] = {"forest", "boosting", "gbm", "sklearn-linear"};
static const char usual[] = "linear,single,shared,plain,fast,good,best,forest,boosting";

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
static mtl_context *ctx; /* of one thread */
static FILE *csv;

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
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- records ---------------------------------------------------------------------------------- */

static void add_record(const record *r)
{
    if (record_count == MAX_RECORDS)
        die("records", "too many");
    records[record_count++] = *r;
}

static bool has_record(const char *set, const char *method, int split)
{
    for (int i = 0; i < record_count; i++)
        if (records[i].split == split && !strcmp(records[i].set, set) &&
            !strcmp(records[i].method, method))
            return true;
    return false;
}

static void write_record(const record *r)
{
    if (csv)
        fprintf(csv, "%s,%s,%d,%d,%s,%.9g,%.4g,%.4g\n", r->set, r->method, r->split, r->task,
                r->metric, r->value, r->fit, r->predict);
}

/* Its lines; others are left out. */
static void read_records(FILE *f, bool is_new)
{
    char line[256];
    while (fgets(line, sizeof line, f)) {
        record r = {0};
        if (sscanf(line, "%47[^,],%47[^,],%d,%d,%15[^,],%lf,%lf,%lf", r.set, r.method, &r.split,
                   &r.task, r.metric, &r.value, &r.fit, &r.predict) != 8)
            continue;
        add_record(&r);
        if (is_new)
            write_record(&r);
    }
}

static void open_csv(const char *path)
{
    csv = fopen(path, "a+");
    if (!csv)
        die(path, "cannot be written");
    read_records(csv, false);
    if (ftell(csv) == 0)
        fprintf(csv, "set,method,split,task,metric,value,fit_seconds,predict_seconds\n");
}

/* --- data -------------------------------------------------------------------------------------- */

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
    check(mtl_dataset_load_npy(ctx, path, &d, err), path, err);
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

/* --- one recipe on one split ------------------------------------------------------------------ */

/* Some of the rows and tasks of a table as a data set. */
static mtl_dataset *dataset_of(const table *t, int64_t first, int64_t rows, int64_t task,
                               int64_t tasks, mtl_error *err)
{
    mtl_dataset *d = NULL;
    check(mtl_dataset_create(ctx, t->x + first * t->cols, rows, t->cols, t->cols, &d, err), "data",
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
    check(mtl_spec_create(ctx, t->cols, &s, err), "spec", err);
    for (char *p = strtok_r(layers, ",", &save); p; p = strtok_r(NULL, ",", &save))
        check(mtl_spec_add_dense(s, atoi(p), "relu", err), "layer", err);
    if (how->members > 1)
        check(mtl_spec_set_ensemble(s, how->members, how->kind, err), "ensemble", err);
    else if (strcmp(how->kind, "mini") != 0 && strcmp(how->kind, "distil") != 0)
        check(mtl_spec_set_architecture(s, how->kind, err), "architecture", err);
    check(mtl_spec_set_initializer(s, "he_uniform", err), "initializer", err);
    for (int64_t i = task; i < task + tasks; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)i);
        check(mtl_spec_add_task(s, name, t->is_binary[i] ? MTL_BINARY : MTL_REGRESSION, 1, err),
              name, err);
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
    if (strcmp(how->kind, "distil") == 0) {
        mtl_model *one = NULL;
        check(mtl_model_distil(m, d, NULL, NULL, &one, NULL, err), how->name, err);
        mtl_model_destroy(m);
        m = one;
    }
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
        mtl_metric("roc_auc", t->rows - train, 1, out + task, t->tasks, 1, y, t->tasks, NULL,
                   &value, NULL, NULL);
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
        write_record(&r);
    }
    if (csv)
        fflush(csv); /* what is measured is kept, whatever comes */
    free(out);
}

/* --- scikit-learn ----------------------------------------------------------------------------- */

/* One of its models on a split; false where it is not installed. */
static bool run_peer(const char *python, const char *method, int split, const char *folder)
{
    int ends[2], status = 0;
    char number[16];
    snprintf(number, sizeof number, "%d", split);
    fflush(NULL);
    if (pipe(ends))
        die("pipe", "there is none");
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]), close(ends[1]);
        execlp(python, python, MTL_QUALITY_SKLEARN, "--only", method, "--split", number, folder,
               (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    if (child < 0 || !f)
        die(python, "cannot be run");
    read_records(f, true);
    fclose(f);
    if (csv)
        fflush(csv);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        die(method, "was ended");
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 77)
        die(method, "failed");
    return WEXITSTATUS(status) == 0;
}

/* --- tables ----------------------------------------------------------------------------------- */

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
    if (n == 0)
        return;
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

/* Against the best of some others, by pairs of splits; above 0 = better. */
static void print_gain(const char *set, const char *method, const char *const *others, int splits)
{
    const char *best = NULL, *metric = "";
    double sum = 0, squares = 0, n = 0, fit, predict;
    for (; *others; others++) {
        const double value = mean_of(set, *others, splits);
        if (!isnan(value) && (!best || value < mean_of(set, best, splits)))
            best = *others;
    }
    for (int s = 0; best && s < splits; s++) {
        const double theirs = split_mean(set, best, s, &fit, &predict, &metric);
        const double ours = split_mean(set, method, s, &fit, &predict, &metric);
        const double gain = strcmp(metric, "auc") ? theirs - ours : ours - theirs;
        if (isnan(gain))
            continue;
        sum += gain;
        squares += gain * gain;
        n++;
    }
    if (n < 2)
        return;
    const double error = sqrt(fmax(squares - sum * sum / n, 0) / (n - 1) / n);
    printf("%-12s %s against %s: %+.4f +- %.4f%s\n", set, method, best, sum / n, error,
           sum / n < -error ? "  WORSE" : "");
}

static void print_gains(const names *sets, int splits)
{
    static const char *const presets[] = {"fast", "good", "best"};
    static const char *const simpler[] = {"linear", "single", "shared", NULL};
    static const char *const trees[] = {"forest", "boosting", NULL};
    for (int s = 0; s < sets->count; s++)
        for (int p = 0; p < 3; p++) {
            print_gain(sets->name[s], presets[p], simpler, splits);
            print_gain(sets->name[s], presets[p], trees, splits);
        }
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
    print_gains(&sets, splits);
    printf("\n");
    print_ranks(&sets, &methods, splits);
}

/* --- command line ----------------------------------------------------------------------------- */

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
    for (const char *p = only; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && !strncmp(p, name, n))
            return true;
    return false;
}

static void run_folder(const char *folder, const char *only, int first, int splits,
                       const char *python)
{
    table t = read_table(folder);
    for (int r = 0; r < recipe_count; r++) {
        const char *name = recipes[r].name;
        if (!is_wanted(only ? only : usual, name) && (only || r < first))
            continue;
        for (int s = 0; s < splits; s++) {
            if (has_record(t.name, name, s))
                continue;
            table one = shuffled(&t, s);
            run_recipe(&one, &recipes[r], s);
            free(one.x), free(one.y);
        }
        print_line(t.name, name, splits);
    }
    for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
        bool is_there = is_wanted(only ? only : usual, peers[p]);
        for (int s = 0; s < splits && is_there; s++)
            is_there = has_record(t.name, peers[p], s) || run_peer(python, peers[p], s, folder);
        if (is_there)
            print_line(t.name, peers[p], splits);
    }
    free(t.x), free(t.y), free(t.is_binary);
}

static mtl_context *one_thread(void)
{
    mtl_options *o = NULL;
    mtl_context *c = NULL;
    mtl_error *err = mtl_error_create();
    check(mtl_options_create(MTL_OPTIONS_CONTEXT, &o, err), "options", err);
    check(mtl_options_set_i64(o, "threads", 1, err), "threads", err);
    check(mtl_context_create(o, &c, err), "context", err);
    mtl_options_destroy(o);
    mtl_error_destroy(err);
    return c;
}

int main(int argc, char **argv)
{
    int splits = 5;
    const char *only = NULL, *python = "python3";
    records = need(MAX_RECORDS * sizeof *records);
    ctx = one_thread();
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        add_recipe(standard[i]);
    const int first = recipe_count;
    int i = 1;
    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (!strcmp(argv[i], "--splits"))
            splits = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--recipe"))
            add_recipe(argv[i + 1]);
        else if (!strcmp(argv[i], "--csv"))
            open_csv(argv[i + 1]);
        else if (!strcmp(argv[i], "--only"))
            only = argv[i + 1];
        else if (!strcmp(argv[i], "--python"))
            python = argv[i + 1];
        else
            die(argv[i], "no such option");
    }
    for (; i < argc; i++)
        run_folder(argv[i], only, first, splits, python);
    print_all(splits);
    if (csv)
        fclose(csv);
    free(records);
    mtl_context_destroy(ctx);
    return 0;
}
