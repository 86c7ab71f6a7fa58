/* SPDX-License-Identifier: MIT */
/* What ends a run early, and what is told of it meanwhile. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/fpstate.h"

double mtl__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- the best epoch, and patience -------------------------------------------------------------- */

static void follow_best(void *self, mtl__trainer *t)
{
    double *best_loss = self;
    if (t->best_epoch == 0 || t->valid_loss < *best_loss) {
        *best_loss = t->valid_loss;
        t->best_epoch = t->epoch;
        if (t->best)
            memcpy(t->best, t->m->values, (size_t)t->m->net.params * sizeof(float));
    } else if (t->set.patience && t->epoch - t->best_epoch >= t->set.patience) {
        t->reason = "patience";
    }
}

static void restore_best(void *self, mtl__trainer *t)
{
    (void)self;
    if (t->best && t->best_epoch)
        memcpy(t->m->values, t->best, (size_t)t->m->net.params * sizeof(float));
}

/* --- deadline ---------------------------------------------------------------------------------- */

static void watch_clock(void *self, mtl__trainer *t)
{
    (void)self;
    if (!t->reason && mtl__seconds() - t->started >= t->set.time_limit)
        t->reason = "time_limit";
}

/* --- progress ---------------------------------------------------------------------------------- */

static void tell(mtl__trainer *t, double loss)
{
    int32_t answer = t->set.progress(t->epoch, t->step, t->set.epochs * t->feed.steps, loss,
                                     t->valid_loss, t->set.progress_user);
    mtl__fp_enter(); /* whatever the callback did to the state */
    if (answer != MTL_CONTINUE && !t->reason)
        t->reason = "cancelled";
}

static void tell_sometimes(void *self, mtl__trainer *t)
{
    double *last = self, now = mtl__seconds();
    if (now - *last < 0.1)
        return;
    *last = now;
    tell(t, mtl__trainer_running_loss(t));
}

static void tell_epoch(void *self, mtl__trainer *t)
{
    double *last = self;
    *last = mtl__seconds();
    tell(t, t->train_loss);
}

void mtl__trainer_hook(mtl__trainer *t, mtl__hook hook)
{
    assert(t->hooks < MTL__HOOKS);
    t->hook[t->hooks++] = hook;
}

void mtl__trainer_add_hooks(mtl__trainer *t)
{
    mtl__soft_hang(t);
    if (t->valid)
        mtl__trainer_hook(t, (mtl__hook){.self = &t->best_loss,
                                         .after_epoch = follow_best,
                                         .at_end = restore_best});
    if (t->set.time_limit > 0)
        mtl__trainer_hook(t, (mtl__hook){.after_step = watch_clock, .after_epoch = watch_clock});
    if (t->set.progress) {
        t->last_told = mtl__seconds();
        mtl__trainer_hook(t, (mtl__hook){.self = &t->last_told,
                                         .after_step = tell_sometimes,
                                         .after_epoch = tell_epoch});
    }
}
