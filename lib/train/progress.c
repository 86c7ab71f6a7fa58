/* SPDX-License-Identifier: MIT */
/* How far a run is, by name. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

static double epochs(const mtl__trainer *t)
{
    return (double)t->epoch;
}

static double step(const mtl__trainer *t)
{
    return (double)t->step;
}

static double steps(const mtl__trainer *t)
{
    return (double)(t->set.epochs * t->feed.steps);
}

static double train_loss(const mtl__trainer *t)
{
    double running = mtl__trainer_running_loss(t);
    return t->in_epoch ? running : t->train_loss;
}

static double valid_loss(const mtl__trainer *t)
{
    return t->valid_loss;
}

static double learning_rate(const mtl__trainer *t)
{
    return t->step > 0 ? t->now.optim.rate : t->set.rate;
}

static double seconds(const mtl__trainer *t)
{
    return mtl__seconds() - t->started;
}

static double rows_per_second(const mtl__trainer *t)
{
    double rows = (double)(t->rows_seen - t->rows_before);
    return rows > 0 ? rows / seconds(t) : NAN;
}

/* At the speed so far, to the planned end. */
static double seconds_left(const mtl__trainer *t)
{
    double rows = (double)(t->rows_seen - t->rows_before), all = (double)t->rows_seen;
    double left = t->step > 0 ? all / (double)t->step * (steps(t) - (double)t->step) : NAN;
    return t->reason ? 0 : seconds(t) / rows * left;
}

static const struct {
    const char *name;
    double (*figure)(const mtl__trainer *t);
} rows[] = {
    {"epochs", epochs},
    {"step", step},
    {"steps", steps},
    {"loss/train", train_loss},
    {"loss/valid", valid_loss},
    {"learning_rate", learning_rate},
    {"seconds", seconds},
    {"rows_per_second", rows_per_second},
    {"seconds_left", seconds_left},
};

mtl_status mtl__trainer_metric(const mtl__trainer *t, const char *name, double *value,
                               mtl_error *err)
{
    for (int i = 0; i < MTL__COUNT_OF(rows); i++)
        if (strcmp(name, rows[i].name) == 0) {
            *value = rows[i].figure(t);
            return MTL_OK;
        }
    const mtl__entry *e = mtl__report_find(t->report, name);
    if (!e || e->type != MTL_TYPE_SERIES)
        return MTL_FAIL(err, MTL_ERR_NAME, "a trainer has no figure \"%.64s\"", name);
    *value = e->count > 0 ? e->series[e->count - 1] : NAN;
    return MTL_OK;
}
