/* SPDX-License-Identifier: MIT */
/* Quickstart: learn several tasks together on real data, move what was learned to a new task with few
 * labelled rows, see whether that helped, save the model, read it back and use it.
 *
 *     quickstart [folder with digits_x.npy and digits_y.npy] [file to save the model to]
 *
 * The known tasks see the digits 0 to 6 only. The new task is to tell one of 7, 8, 9 from the other
 * two; each of the three takes its turn. Every figure printed is measured in the run that prints it, on
 * rows that no training has seen.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mtl/mtl.h>

#include "digits.h"

#ifndef QUICKSTART_DATA
#define QUICKSTART_DATA "examples/data/digits"
#endif

enum { REPEATS = 30, BAR = 30 };
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- the known tasks ---- */

static int on_terminal(void)
{
    return isatty(STDERR_FILENO);
}

static void draw_bar(int64_t done, int64_t all, const char *text)
{
    static const char full[BAR + 1] = "##############################";
    int filled = all > 0 ? (int)(BAR * done / all) : 0;
    fprintf(stderr, "\r[%.*s%*s] %s\033[K", filled, full, BAR - filled, "", text);
}

static void clear_bar(void)
{
    if (on_terminal())
        fprintf(stderr, "\r\033[K");
}

static int32_t show_progress(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                             void *user)
{
    char text[128];
    (void)user;
    snprintf(text, sizeof text, "epoch %lld  training loss %.4f  validation loss %.4f",
             (long long)epoch, train, valid);
    draw_bar(step, steps, text);
    return MTL_CONTINUE;
}

static mtl_status describe(mtl_spec **spec, mtl_error *err)
{
    mtl_status status;
    if ((status = mtl_spec_create(NULL, PIXELS, spec, err)) ||
        (status = mtl_spec_add_dense(*spec, 64, "relu", err)) ||
        (status = mtl_spec_add_dense(*spec, 64, "relu", err)) ||
        (status = mtl_spec_add_task(*spec, "digit", MTL_MULTICLASS, KNOWN_DIGITS, err)) ||
        (status = mtl_spec_add_task(*spec, "odd", MTL_BINARY, 1, err)) ||
        (status = mtl_spec_add_task(*spec, "above_four", MTL_BINARY, 1, err)) ||
        (status = mtl_spec_add_task(*spec, "ink", MTL_REGRESSION, 1, err)))
        return status;
    return MTL_OK;
}

/* A fifth of the training rows judges each epoch; the best epoch's parameters are kept. */
static mtl_status fit_options(mtl_options **how, mtl_error *err)
{
    mtl_status status;
    if ((status = mtl_options_create(MTL_OPTIONS_FIT, how, err)) ||
        (status = mtl_options_set_i64(*how, "epochs", 100, err)) ||
        (status = mtl_options_set_f64(*how, "validation_split", 0.2, err)) ||
        (status = mtl_options_set_str(*how, "validation", "random", err)) ||
        (status = mtl_options_set_i64(*how, "patience", 10, err)))
        return status;
    return on_terminal() ? mtl_options_set_progress(*how, show_progress, NULL, err) : MTL_OK;
}

static mtl_status learn_known(const digits *d, mtl_model **out, mtl_error *err)
{
    mtl_spec *spec = NULL;
    mtl_model *model = NULL;
    mtl_options *how = NULL;
    mtl_report *report = NULL;
    const char *reason;
    double epochs, best, seconds;
    mtl_status status;

    if ((status = describe(&spec, err)) || (status = mtl_model_create(spec, &model, err)) ||
        (status = fit_options(&how, err)) ||
        (status = mtl_fit(model, d->known_train, NULL, how, &report, err)))
        goto done;
    clear_bar();
    if ((status = mtl_report_get_str(report, "reason", &reason, err)) ||
        (status = mtl_report_get_f64(report, "epochs", &epochs, err)) ||
        (status = mtl_report_get_f64(report, "best_epoch", &best, err)) ||
        (status = mtl_report_get_f64(report, "seconds", &seconds, err)))
        goto done;
    printf("Learned 4 tasks together from %lld rows (digits 0 to 6) in %.2f s:\n"
           "%.0f epochs, ended by \"%s\", parameters of epoch %.0f kept.\n\n",
           (long long)mtl_dataset_rows(d->known_train), seconds, epochs, reason, best);
    *out = model;
    model = NULL;
done:
    mtl_report_destroy(report);
    mtl_options_destroy(how);
    mtl_model_destroy(model);
    mtl_spec_destroy(spec);
    return status;
}

/* One figure of an evaluation. */
static mtl_status judge(const mtl_model *model, const mtl_dataset *data, const char *name,
                        double *value, mtl_error *err)
{
    mtl_report *report = NULL;
    mtl_status status = mtl_evaluate(model, data, NULL, &report, err);
    if (!status)
        status = mtl_report_get_f64(report, name, value, err);
    mtl_report_destroy(report);
    return status;
}

static mtl_status print_known(const mtl_model *model, const digits *d, mtl_error *err)
{
    static const struct {
        const char *task, *kind, *figure[2];
    } rows[] = {
        {"digit", "7 classes", {"accuracy", "f1"}},
        {"odd", "yes or no", {"accuracy", "roc_auc"}},
        {"above_four", "yes or no", {"accuracy", "roc_auc"}},
        {"ink", "a number", {"rmse", "r2"}},
    };
    printf("Known tasks, %lld test rows\n", (long long)mtl_dataset_rows(d->known_test));
    for (int i = 0; i < COUNT_OF(rows); i++) {
        printf("  %-12s%-12s", rows[i].task, rows[i].kind);
        for (int k = 0; k < 2; k++) {
            char name[64];
            double value;
            snprintf(name, sizeof name, "metric/%s/%s", rows[i].figure[k], rows[i].task);
            mtl_status status = judge(model, d->known_test, name, &value, err);
            if (status)
                return status;
            printf("%10s %.4f", rows[i].figure[k], value);
        }
        printf("\n");
    }
    printf("\n");
    return MTL_OK;
}

/* ---- the new task ---- */

enum { SCRATCH, PROBE, FINE_TUNE, WITH_KNOWN, WAYS };

static const struct {
    const char *label, *strategy;
    int with_known;
} ways[WAYS] = {
    {"from scratch", "scratch", 0},
    {"probe (trunk frozen)", "probe", 0},
    {"fine-tune", "fine_tune", 0},
    {"fine-tune + known data", "fine_tune", 1},
};

static const int64_t sizes[] = {10, 30, 100};
enum { SIZES = COUNT_OF(sizes) };

typedef struct figures {
    double auc[WAYS][SIZES][REPEATS], accuracy[WAYS][SIZES][REPEATS];
    double digit[WAYS][SIZES][REPEATS]; /* accuracy of the known task "digit" afterwards */
} figures;

static mtl_status move(const mtl_model *source, const digits *d, int way, const mtl_dataset *few,
                       int64_t seed, mtl_model **out, mtl_error *err)
{
    const mtl_dataset *known = ways[way].with_known ? d->known_train : NULL;
    mtl_options *how = NULL;
    mtl_status status;
    if ((status = mtl_options_create(MTL_OPTIONS_TRANSFER, &how, err)) ||
        (status = mtl_options_set_str(how, "strategy", ways[way].strategy, err)) ||
        (status = mtl_options_set_i64(how, "seed", seed, err)))
        goto done;
    status = mtl_transfer(source, few, known, how, out, NULL, err);
done:
    mtl_options_destroy(how);
    return status;
}

/* One way on one draw of rows: its figures on the test rows. */
static mtl_status try_way(const mtl_model *source, const digits *d, int way, int size, int repeat,
                          const mtl_dataset *few, figures *f, mtl_model **out, mtl_error *err)
{
    int which = repeat % NEW_DIGITS;
    char auc[64], accuracy[64];
    mtl_status status;
    snprintf(auc, sizeof auc, "metric/roc_auc/%s", new_tasks[which]);
    snprintf(accuracy, sizeof accuracy, "metric/accuracy/%s", new_tasks[which]);
    if ((status = move(source, d, way, few, repeat, out, err)) ||
        (status = judge(*out, d->new_test[which], auc, &f->auc[way][size][repeat], err)) ||
        (status = judge(*out, d->new_test[which], accuracy, &f->accuracy[way][size][repeat], err)))
        return status;
    if (way == SCRATCH) /* knows no other task */
        return MTL_OK;
    return judge(*out, d->known_test, "metric/accuracy/digit", &f->digit[way][size][repeat], err);
}

/* The default, "auto", weighs all ways and the simple answers on the few rows and the known tasks'
   data, and says what it took, and why. */
static mtl_status let_choose(const mtl_model *source, digits *d, int size, mtl_error *err)
{
    const char *task = new_tasks[0], *why;
    double seconds, auc, gain, low, high;
    char name[64];
    mtl_dataset *few = NULL;
    mtl_model *tuned = NULL;
    mtl_report *report = NULL;
    mtl_status status;
    snprintf(name, sizeof name, "metric/roc_auc/%s", task);
    if ((status = draw_labelled(d, 0, sizes[size], 100, &few, err)) ||
        (status = mtl_transfer(source, few, d->known_train, NULL, &tuned, &report, err)) ||
        (status = judge(tuned, d->new_test[0], name, &auc, err)) ||
        (status = mtl_report_get_str(report, "why", &why, err)) ||
        (status = mtl_report_get_f64(report, "gain", &gain, err)) ||
        (status = mtl_report_get_f64(report, "gain/low", &low, err)) ||
        (status = mtl_report_get_f64(report, "gain/high", &high, err)) ||
        (status = mtl_report_get_f64(report, "seconds/all", &seconds, err)))
        goto done;
    printf("  %3lld rows: %s.\n            Error below that of scratch by %+.3f (%+.3f .. %+.3f), by its own "
           "estimate.\n            ROC AUC on test rows %.3f; %.1f s.\n",
           (long long)sizes[size], why, gain, low, high, auc, seconds);
done:
    mtl_report_destroy(report);
    mtl_model_destroy(tuned);
    mtl_dataset_destroy(few);
    return status;
}

static mtl_status let_choose_all(const mtl_model *source, digits *d, mtl_error *err)
{
    mtl_status status = MTL_OK;
    printf("Left to itself (strategy \"auto\", the default), once for each number of rows:\n");
    for (int size = 0; size < SIZES && !status; size++)
        status = let_choose(source, d, size, err);
    printf("\n");
    return status;
}

/* Every way gets the same rows and seed; *kept becomes the model of the last way. */
static mtl_status try_once(const mtl_model *source, digits *d, int size, int repeat, figures *f,
                           mtl_model **kept, mtl_error *err)
{
    mtl_dataset *few = NULL;
    mtl_status status = draw_labelled(d, repeat % NEW_DIGITS, sizes[size], 100 + (uint64_t)repeat,
                                      &few, err);
    for (int way = 0; way < WAYS && !status; way++) {
        mtl_model_destroy(*kept);
        *kept = NULL;
        status = try_way(source, d, way, size, repeat, few, f, kept, err);
    }
    mtl_dataset_destroy(few);
    return status;
}

static mtl_status try_all(const mtl_model *source, digits *d, figures *f, mtl_model **kept,
                          mtl_error *err)
{
    mtl_status status = MTL_OK;
    for (int size = 0; size < SIZES; size++)
        for (int repeat = 0; repeat < REPEATS && !status; repeat++) {
            if (on_terminal())
                draw_bar(size * REPEATS + repeat, SIZES * REPEATS, "the new task, again and again");
            status = try_once(source, d, size, repeat, f, kept, err);
        }
    clear_bar();
    return status;
}

static double mean_of(const double *v, double *standard_error)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < REPEATS; i++)
        mean += v[i] / REPEATS;
    for (int i = 0; i < REPEATS; i++)
        squares += (v[i] - mean) * (v[i] - mean);
    *standard_error = sqrt(squares / (REPEATS - 1) / REPEATS);
    return mean;
}

static void print_head(const char *title)
{
    printf("%-28s", title);
    for (int size = 0; size < SIZES; size++)
        printf("%11lld rows    ", (long long)sizes[size]);
    printf("\n");
}

static void print_figures(const char *title, double v[WAYS][SIZES][REPEATS], int first)
{
    print_head(title);
    for (int way = first; way < WAYS; way++) {
        printf("  %-26s", ways[way].label);
        for (int size = 0; size < SIZES; size++) {
            double error, mean = mean_of(v[way][size], &error);
            printf("   %.3f +- %.3f  ", mean, error);
        }
        printf("\n");
    }
    printf("\n");
}

/* Pairs share their rows, so their differences say more than the two means. */
static void print_against_scratch(double v[WAYS][SIZES][REPEATS])
{
    static const char *const verdict[] = {"behind", "even", "ahead"};
    print_head("ROC AUC minus from scratch");
    for (int way = PROBE; way < WAYS; way++) {
        printf("  %-26s", ways[way].label);
        for (int size = 0; size < SIZES; size++) {
            double difference[REPEATS], error;
            for (int i = 0; i < REPEATS; i++)
                difference[i] = v[way][size][i] - v[SCRATCH][size][i];
            double mean = mean_of(difference, &error);
            int sure = (mean > 2 * error) - (mean < -2 * error);
            printf(" %+.3f+-%.3f %-6s", mean, error, verdict[1 + sure]);
        }
        printf("\n");
    }
    printf("  (\"even\": the mean difference is within two standard errors of 0)\n\n");
}

static void print_new(figures *f, const digits *d)
{
    printf("New task: one of the digits 7, 8, 9 against the other two; a third of the rows show it.\n"
           "Judged on %lld test rows (guessing gives ROC AUC 0.5, accuracy 0.667). Mean +- standard\n"
           "error of %d repeats: each digit in turn, other labelled rows and another seed each time.\n\n",
           (long long)mtl_dataset_rows(d->new_test[0]), REPEATS);
    print_figures("ROC AUC, labelled:", f->auc, SCRATCH);
    print_figures("Accuracy, labelled:", f->accuracy, SCRATCH);
    print_figures("Known task \"digit\" after it", f->digit, PROBE);
    print_against_scratch(f->auc);
}

/* ---- saved and used ---- */

/* Predict all test rows with both models: the model read back must give the same bits. */
static mtl_status same_bits(const mtl_model *a, const mtl_model *b, const digits *d, int *same,
                            mtl_error *err)
{
    int64_t columns = mtl_model_outputs(a);
    size_t bytes = (size_t)(d->rows * columns) * sizeof(float);
    float *from_a = malloc(bytes), *from_b = malloc(bytes);
    mtl_status status = MTL_ERR_NOMEM;
    if (!from_a || !from_b)
        goto done;
    if ((status = mtl_predict(a, d->rows, d->x, PIXELS, from_a, columns, err)) ||
        (status = mtl_predict(b, d->rows, d->x, PIXELS, from_b, columns, err)))
        goto done;
    *same = memcmp(from_a, from_b, bytes) == 0;
done:
    free(from_a);
    free(from_b);
    return status;
}

/* A model that was tuned predicts its new task and the known ones. */
static mtl_status print_predictions(const mtl_model *model, const digits *d, mtl_error *err)
{
    enum { ROWS = 6, WHICH = (REPEATS - 1) % NEW_DIGITS };
    const char *task = new_tasks[WHICH];
    float x[ROWS * PIXELS], label[ROWS], p[ROWS], ink[ROWS];
    mtl_status status;
    if ((status = mtl_dataset_get_inputs(d->new_test[WHICH], 0, ROWS, x, PIXELS, err)) ||
        (status = mtl_dataset_get_labels(d->new_test[WHICH], task, 0, ROWS, label, 1, err)) ||
        (status = mtl_predict_task(model, mtl_model_task_index(model, task), ROWS, x, PIXELS, p, 1,
                                   err)) ||
        (status = mtl_predict_task(model, mtl_model_task_index(model, "ink"), ROWS, x, PIXELS, ink,
                                   1, err)))
        return status;
    printf("  test row   %s   its probability   ink predicted\n", task);
    for (int i = 0; i < ROWS; i++)
        printf("  %8d   %4s   %15.3f   %13.2f\n", i, label[i] > 0 ? "yes" : "no", (double)p[i],
               (double)ink[i]);
    return MTL_OK;
}

static mtl_status save_and_use(const mtl_model *model, const digits *d, const char *path,
                               mtl_error *err)
{
    mtl_model *back = NULL;
    mtl_status status;
    int same = 0;
    if ((status = mtl_model_save(model, path, err)) ||
        (status = mtl_model_load(NULL, path, &back, err)) ||
        (status = same_bits(model, back, d, &same, err)))
        goto done;
    printf("Saved to %s and read back: predictions on %lld rows are %s.\n", path,
           (long long)d->rows, same ? "the same, bit for bit" : "NOT THE SAME");
    if (!same)
        status = MTL_ERR_CHECKSUM;
    else
        status = print_predictions(back, d, err);
done:
    mtl_model_destroy(back);
    return status;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : QUICKSTART_DATA;
    const char *path = argc > 2 ? argv[2] : "digits.mtl";
    mtl_error *err = mtl_error_create();
    mtl_model *source = NULL, *tuned = NULL;
    figures *f = calloc(1, sizeof *f);
    digits d = {0};
    struct timespec start, end;
    mtl_status status = MTL_ERR_NOMEM;

    timespec_get(&start, TIME_UTC);
    if (!f)
        goto done;
    printf("libmtl %s, instruction set %s\n\n", mtl_version_string(), mtl_cpu_level(NULL));
    if ((status = open_digits(&d, folder, err)) || (status = learn_known(&d, &source, err)) ||
        (status = print_known(source, &d, err)) || (status = try_all(source, &d, f, &tuned, err)))
        goto done;
    print_new(f, &d);
    if ((status = let_choose_all(source, &d, err)) ||
        (status = save_and_use(tuned, &d, path, err)))
        goto done;
    timespec_get(&end, TIME_UTC);
    printf("\nAll of this took %.1f s.\n", (double)(end.tv_sec - start.tv_sec) +
                                             1e-9 * (double)(end.tv_nsec - start.tv_nsec));
done:
    if (status)
        fprintf(stderr, "quickstart: %s: %s\n", mtl_status_name(status), mtl_error_message(err));
    mtl_model_destroy(source);
    mtl_model_destroy(tuned);
    close_digits(&d);
    free(f);
    mtl_error_destroy(err);
    return status != MTL_OK;
}
