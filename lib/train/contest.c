/* SPDX-License-Identifier: MIT */
#include "train/contest.h"

#include <math.h>
#include <string.h>

#include "base/math64.h"

/* --- figures ------------------------------------------------------------------------------------- */

int64_t mtl__contest_count(int64_t wanted, const mtl_dataset *train)
{
    return mtl__min(wanted, train->rows / 2);
}

void mtl__contest_take(mtl__contest *f, mtl__arena *a)
{
    f->figure = mtl__arena_take(a, 2 * f->kinds * f->folds, f->tasks * (int64_t)sizeof *f->figure);
}

void mtl__contest_clear(mtl__contest *f)
{
    for (int64_t i = 0; i < 2 * f->kinds * f->tasks * f->folds; i++)
        f->figure[i] = NAN;
}

/* Half of the 95 % interval of Student's t, by degrees of freedom. */
static const float student[] = {NAN,   12.71f, 4.303f, 3.182f, 2.776f, 2.571f, 2.447f,
                                2.365f, 2.306f, 2.262f, 2.228f, 2.201f, 2.179f, 2.160f,
                                2.145f, 2.131f, 2.120f, 2.110f, 2.101f, 2.093f};

/* Training rows overlap between folds, so the variance of the mean is that of folds times 1 / folds +
   judged rows / training rows (Nadeau & Bengio 2003). */
mtl__gain mtl__contest_compare(const mtl__contest *f, const double *x, const double *y)
{
    mtl__gain g = {0};
    double squares = 0;
    for (int64_t i = 0; i < f->done; i++)
        if (!isnan(x[i] - y[i])) {
            g.mean += x[i] - y[i];
            g.folds++;
        }
    g.mean /= (double)g.folds; /* NaN without any */
    for (int64_t i = 0; i < f->done; i++)
        if (!isnan(x[i] - y[i]))
            squares += (x[i] - y[i] - g.mean) * (x[i] - y[i] - g.mean);
    g.error = sqrt(squares / (double)(g.folds - 1) *
                   (1 / (double)g.folds + 1 / (double)(f->folds - 1)));
    if (g.folds < 2)
        g.error = NAN;
    g.half = g.error * (double)student[g.folds < 2 ? 0 : g.folds - 1];
    return g;
}

double mtl__contest_mean(const mtl__contest *f, const double *x)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < f->done; i++) {
        sum += isnan(x[i]) ? 0 : x[i];
        n += !isnan(x[i]);
    }
    return n ? sum / (double)n : (double)NAN;
}

bool mtl__contest_complete(const mtl__contest *f, const double *x, const double *other)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->done; i++) {
        if (isnan(x[i]) && isnan(other[i]))
            continue;
        if (!isfinite(x[i]))
            return false;
        n++;
    }
    return n > 1;
}

/* --- deadline and callback ----------------------------------------------------------------------- */

int32_t mtl__contest_stop(int64_t epoch, int64_t step, int64_t steps, double train, double valid,
                        void *user)
{
    (void)epoch, (void)step, (void)steps, (void)train, (void)valid, (void)user;
    return 0;
}

void mtl__contest_limit(const mtl__contest *f, mtl__train_settings *set)
{
    if (f->is_cancelled)
        set->progress = mtl__contest_stop;
    if (f->deadline > 0) {
        const double left = f->until - mtl__seconds();
        set->time_limit = left > 1e-9 ? left : 1e-9;
    }
}

void mtl__contest_note(mtl__contest *f, const mtl_report *r)
{
    const char *reason = mtl__report_find(r, "reason")->text;
    f->is_cancelled = f->is_cancelled || strcmp(reason, "cancelled") == 0;
    f->is_cut = f->is_cut || f->is_cancelled || strcmp(reason, "time_limit") == 0;
}

/* --- folds ------------------------------------------------------------------------------------- */

static mtl_status look(mtl__contest *f, int64_t kind, const mtl_model *net, const mtl_dataset *rows,
                       mtl_error *err)
{
    mtl__binding bound;
    mtl__judge *j = NULL;
    mtl_status st = mtl__binding_create(net, rows, "train", &bound, err);
    if (st == MTL_OK)
        st = mtl__judge_create(net, &bound, &j, err);
    if (st != MTL_OK)
        return st;
    mtl__judge_run(j);
    st = mtl__binding_status(&j->bound, err);
    f->is_cancelled = f->is_cancelled || j->targets.refused >= 0;
    f->is_cut = f->is_cut || f->is_cancelled;
    for (int64_t t = 0; t < net->net.tasks && st == MTL_OK; t++) {
        const mtl__task_spec *task = &net->spec->task[t];
        const int64_t own = mtl__spec_task(f->m->spec, task->name);
        mtl__contest_row(f, 0, kind, own)[f->done] = j->task_loss[t];
        st = mtl__judge_metric(j, mtl__judge_main_metric(task->kind), t,
                               &mtl__contest_row(f, 1, kind, own)[f->done], err);
    }
    mtl__judge_destroy(j);
    return st;
}

mtl_status mtl__contest_judge(mtl__contest *f, int64_t kind, int64_t task, mtl_status st, mtl_error *why,
                            const mtl_model *net, const mtl_dataset *rows, mtl_error *err)
{
    if (st == MTL_OK)
        st = look(f, kind, net, rows, why);
    if (st == MTL_ERR_DIVERGED)
        for (int64_t t = 0; t < f->tasks; t++)
            if (task < 0 || task == t)
                mtl__contest_row(f, 0, kind, t)[f->done] = INFINITY;
    if (st == MTL_OK || st == MTL_ERR_DIVERGED || st == MTL_ERR_DATA)
        return MTL_OK;
    return mtl__fail(err, st, "%s", why->message);
}

static mtl_status run_fold(mtl__contest *f, mtl__fold_fn *fn, void *self, mtl_error *err)
{
    const mtl__split_by by = {.task = -1};
    const uint64_t seed = (uint64_t)mtl__option_i64(f->o, &mtl__fit_options, "seed");
    mtl_dataset *part[2] = {NULL, NULL};
    mtl_status st = mtl__dataset_kfold(f->train, &by, (mtl__fold){f->folds, f->done}, seed,
                                       &part[0], &part[1], err);
    if (st == MTL_OK)
        st = fn(self, part, err);
    mtl__dataset_destroy(part[0]);
    mtl__dataset_destroy(part[1]);
    return st;
}

/* The first fold has a third of the time; a later one begins when it and what comes after all folds can
   be expected to fit. */
mtl_status mtl__contest_run(mtl__contest *f, mtl__fold_fn *fn, void *self, mtl_error *err)
{
    const double begun = mtl__seconds();
    double fold = 0;
    mtl_status st = MTL_OK;
    f->deadline = f->limit > 0 ? begun + f->limit : 0;
    while (st == MTL_OK && f->done < f->folds && !f->is_cut) {
        const double now = mtl__seconds(), after = fold * f->after;
        f->until = f->done ? f->deadline - after : begun + f->limit / 3;
        if (f->limit > 0 && now + fold > f->until)
            break;
        st = run_fold(f, fn, self, err);
        fold = mtl__max_f64(fold, mtl__seconds() - now);
        f->done += st == MTL_OK && !f->is_cut;
    }
    f->until = f->deadline;
    return st;
}
