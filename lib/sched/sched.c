/* SPDX-License-Identifier: MIT */
#include "sched/sched.h"

#include <math.h>

#include "base/base.h"
#include "base/math64.h"

#define END_PARAM {NULL, 0, 0, 0, NULL}

static double constant(const double *param, const mtl__sched_at *at)
{
    (void)param, (void)at;
    return 1;
}

/* x^n by squaring. */
static double power(double x, int64_t n)
{
    double y = 1;
    for (; n > 0; n /= 2, x *= x)
        if (n % 2)
            y *= x;
    return y;
}

/* --- by epochs -------------------------------------------------------------------------------- */

enum { STEP_EVERY, STEP_GAMMA };
static const mtl__choice_param step_params[] = {[STEP_EVERY] = {"every", 10, 1, 1e6, NULL},
                                                [STEP_GAMMA] = {"gamma", 0.1, 0, 1, NULL},
                                                END_PARAM};

/* torch.optim.lr_scheduler.StepLR */
static double step(const double *param, const mtl__sched_at *at)
{
    return power(param[STEP_GAMMA], at->epoch / (int64_t)param[STEP_EVERY]);
}

static const mtl__choice_param exponential_params[] = {{"gamma", 0.95, 0, 1, NULL}, END_PARAM};

/* ExponentialLR */
static double exponential(const double *param, const mtl__sched_at *at)
{
    return power(param[0], at->epoch);
}

enum { PLATEAU_FACTOR, PLATEAU_PATIENCE, PLATEAU_THRESHOLD, PLATEAU_COOLDOWN, PLATEAU_MIN };
static const mtl__choice_param plateau_params[] = {
    [PLATEAU_FACTOR] = {"factor", 0.1, 0, 1, NULL},
    [PLATEAU_PATIENCE] = {"patience", 10, 0, 1e6, NULL},
    [PLATEAU_THRESHOLD] = {"threshold", 1e-4, 0, 1, NULL},
    [PLATEAU_COOLDOWN] = {"cooldown", 0, 0, 1e6, NULL},
    [PLATEAU_MIN] = {"min", 0, 0, 1, NULL},
    END_PARAM};

static double plateau(const double *param, const mtl__sched_at *at)
{
    (void)param;
    return at->plateau;
}

/* --- by steps --------------------------------------------------------------------------------- */

static const mtl__choice_param final_params[] = {{"final", 0, 0, 1, NULL}, END_PARAM};

/* From a to b on half a wave of the cosine, x = 0 .. 1. */
static double cosine_between(double a, double b, double x)
{
    return b + (a - b) / 2 * (1 + mtl__cos_pi_f64(x));
}

/* CosineAnnealingLR with T_max = all steps: Loshchilov & Hutter 2017, equation 5, without restarts
 */
static double cosine(const double *param, const mtl__sched_at *at)
{
    return cosine_between(1, param[0], (double)at->step / (double)at->steps);
}

static const mtl__choice_param start_params[] = {{"start", 0.5, 0, 1, NULL}, END_PARAM};

/* 1 up to a share of the steps, then half a wave to 0 */
static double flat_cos(const double *param, const mtl__sched_at *at)
{
    double x = (double)at->step / (double)at->steps;
    return x <= param[0] ? 1 : cosine_between(1, 0, (x - param[0]) / (1 - param[0]));
}

static const mtl__choice_param coslog_params[] = {{"cycles", 4, 1, 20, NULL}, END_PARAM};

/* Waves from 0 up and back, each twice as long as the one before: (1 - cos(2 pi log2(1 + (2^cycles - 1)
   x))) / 2, x = 0 .. 1 (Holzmueller, Grinsztajn & Steinwart 2024, coslog4). */
static double coslog(const double *param, const mtl__sched_at *at)
{
    double x = (double)at->step / (double)at->steps;
    double wave = mtl__log_f64(1 + (power(2, (int64_t)param[0]) - 1) * x) / mtl__log_f64(2);
    wave -= (double)(int64_t)wave;
    return 1 - cosine_between(1, 0, wave > 0.5 ? 2 - 2 * wave : 2 * wave);
}

/* LinearLR from 1 to final over all steps */
static double linear(const double *param, const mtl__sched_at *at)
{
    return 1 + (param[0] - 1) * ((double)at->step / (double)at->steps);
}

static const mtl__choice_param geometric_params[] = {{"final", 0.01, 1e-12, 1e12, NULL}, END_PARAM};

/* final^x: equal factors from step to step, the last step has the final one. */
static double geometric(const double *param, const mtl__sched_at *at)
{
    double x = at->steps > 1 ? (double)at->step / (double)(at->steps - 1) : 0;
    return mtl__exp_f64(x * mtl__log_f64(param[0]));
}

enum { CYCLE_START, CYCLE_DIV, CYCLE_FINAL_DIV, CYCLE_MAX, CYCLE_BASE };
static const mtl__choice_param one_cycle_params[] = {
    [CYCLE_START] = {"pct_start", 0.3, 0, 1, NULL},
    [CYCLE_DIV] = {"div", 25, 1, 1e12, NULL},
    [CYCLE_FINAL_DIV] = {"final_div", 1e4, 1, 1e12, NULL},
    [CYCLE_MAX] = {"max_momentum", 0, 0, 0.9999999, NULL},
    [CYCLE_BASE] = {"base_momentum", 0.85, 0, 0.9999999, NULL},
    END_PARAM};

/* OneCycleLR (Smith & Topin 2018), anneal_strategy "cos": from a first value over that at the top, where
   the learning rate is the maximum, to the last. */
static double cycle(const double *param, const mtl__sched_at *at, double first, double middle,
                    double last)
{
    const double top = param[CYCLE_START] * (double)at->steps - 1, end = (double)at->steps - 1;
    const double t = (double)at->step;
    if (t <= top)
        return cosine_between(first, middle, top > 0 ? t / top : 1);
    return cosine_between(middle, last, end > top ? (t - top) / (end - top) : 1);
}

static double one_cycle(const double *param, const mtl__sched_at *at)
{
    const double first = 1 / param[CYCLE_DIV];
    return cycle(param, at, first, 1, first / param[CYCLE_FINAL_DIV]);
}

static double cycle_momentum(const double *param, const mtl__sched_at *at)
{
    const double max = param[CYCLE_MAX];
    return max > 0 ? cycle(param, at, max, param[CYCLE_BASE], max) : 0;
}

/* --- table ------------------------------------------------------------------------------------ */

static const mtl__schedule rows[] = {
    {{"constant", NULL}, constant, false, NULL},
    {{"step", step_params}, step, false, NULL},
    {{"exponential", exponential_params}, exponential, false, NULL},
    {{"cosine", final_params}, cosine, false, NULL},
    {{"flat_cos", start_params}, flat_cos, false, NULL},
    {{"coslog", coslog_params}, coslog, false, NULL},
    {{"linear", final_params}, linear, false, NULL},
    {{"geometric", geometric_params}, geometric, false, NULL},
    {{"one_cycle", one_cycle_params}, one_cycle, false, cycle_momentum},
    {{"plateau", plateau_params}, plateau, true, NULL},
};

const mtl__choice_table mtl__schedules = MTL__CHOICE_TABLE("schedule", rows);

static const mtl__schedule *row_of(const mtl__choice *choice)
{
    return choice->row;
}

void mtl__sched_init(mtl__sched *s, const mtl__choice *choice, double warm_up, int64_t steps,
                     int64_t epoch_steps, mtl__sched_now *now)
{
    double warm = warm_up < 1 ? warm_up * (double)steps : warm_up;
    *s = (mtl__sched){*choice, mtl__min((int64_t)warm, steps), steps, epoch_steps};
    *now = (mtl__sched_now){.factor = 1, .best = (double)INFINITY};
}

bool mtl__sched_needs_validation(const mtl__choice *choice)
{
    return row_of(choice)->needs_validation;
}

bool mtl__sched_sets_momentum(const mtl__choice *choice)
{
    const mtl__schedule *row = choice->row;
    return row->momentum && row->momentum(choice->value, &(mtl__sched_at){.steps = 1}) > 0;
}

static mtl__sched_at at_step(const mtl__sched *s, int64_t step_number)
{
    return (mtl__sched_at){.step = mtl__max(0, step_number - s->warm_up),
                           .steps = mtl__max(1, s->steps - s->warm_up),
                           .epoch = step_number / s->epoch_steps};
}

double mtl__sched_momentum(const mtl__sched *s, int64_t step_number)
{
    const mtl__sched_at at = at_step(s, step_number);
    return row_of(&s->choice)->momentum ? row_of(&s->choice)->momentum(s->choice.value, &at) : 0;
}

double mtl__sched_factor(const mtl__sched *s, const mtl__sched_now *now, int64_t step_number)
{
    mtl__sched_at at = at_step(s, step_number);
    at.plateau = now->factor;
    double factor = row_of(&s->choice)->factor(s->choice.value, &at);
    if (step_number < s->warm_up)
        factor *= (double)(step_number + 1) / (double)s->warm_up;
    return factor;
}

/* torch.optim.lr_scheduler.ReduceLROnPlateau: mode "min", threshold_mode "rel". A loss that is no
   number is not better. */
void mtl__sched_after_epoch(const mtl__sched *s, mtl__sched_now *now, double valid_loss)
{
    const double *param = s->choice.value;
    if (!row_of(&s->choice)->needs_validation)
        return;
    if (valid_loss < now->best * (1 - param[PLATEAU_THRESHOLD])) {
        now->best = valid_loss;
        now->bad = 0;
    } else {
        now->bad++;
    }
    if (now->cooling > 0) {
        now->cooling--;
        now->bad = 0;
    }
    if ((double)now->bad > param[PLATEAU_PATIENCE]) {
        double reduced = now->factor * param[PLATEAU_FACTOR];
        now->factor = reduced > param[PLATEAU_MIN] ? reduced : param[PLATEAU_MIN];
        now->cooling = (int64_t)param[PLATEAU_COOLDOWN];
        now->bad = 0;
    }
}
