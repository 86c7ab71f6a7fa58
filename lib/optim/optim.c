/* SPDX-License-Identifier: MIT */
#include "optim/optim.h"

#include <math.h>

#include "base/math64.h"

/* Formulas are those of PyTorch 1.13 (torch.optim), and for Lion those of its paper. What differs:
   eps is 1e-7 everywhere, and there is no coupled decay here, since that is the option "l2". */

/* Parameters count as the floats that the kernel works with: else 1 - beta there and 1 - beta^t
   here would be of two different numbers, which shows when beta is near 1. */
static double param(const mtl__optim *o, int i)
{
    return (double)(float)o->param[i];
}

#define EPS_PARAM {"eps", 1e-7, 1e-30, 1, NULL}
#define END_PARAM {NULL, 0, 0, 0, NULL}
#define BETA_PARAM(key, initial) {key, initial, 0, 0.9999999, NULL}

/* --- Adam and its kin: Kingma & Ba 2015, algorithm 1, eps outside the bias-corrected root ----- */

enum { BETA1, BETA2, EPS, MORE, MOST }; /* the first three alike for all of them */
enum { ADAM_AMSGRAD = MORE, ADAMW_DECAY = MORE, ADAMW_AMSGRAD = MOST, NADAM_PSI = MORE };

static void adam_begin(mtl__optim *o)
{
    for (int i = 0; i < 2; i++)
        o->now->power[i] = o->now->step == 0 ? param(o, i) : o->now->power[i] * param(o, i);
    o->root_scale = (float)(1.0 / sqrt(1.0 - o->now->power[1]));
}

static double adam_rate(const mtl__optim *o, double rate)
{
    return rate / (1.0 - o->now->power[0]);
}

static void moments(const mtl__optim *o, mtl__update_step *s)
{
    s->m_keep = s->use_m = (float)o->param[BETA1];
    s->m_new = s->use_e = 1.0f - s->m_keep;
    s->v_keep = (float)o->param[BETA2];
    s->v_new = 1.0f - s->v_keep;
    s->root_scale = o->root_scale;
    s->eps = (float)o->param[EPS];
}

static void adam_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    moments(o, s);
    s->rate = (float)adam_rate(o, rate);
}

/* Dozat 2016: the moment that the next step will use stands in for this one's. */
static void nadam_begin(mtl__optim *o)
{
    mtl__optim_now *now = o->now;
    const double fall = o->param[NADAM_PSI] * mtl__log_f64(0.96);
    double t = (double)(now->step + 1);
    adam_begin(o);
    now->mu = param(o, BETA1) * (1 - 0.5 * mtl__exp_f64(t * fall));
    now->next_mu = param(o, BETA1) * (1 - 0.5 * mtl__exp_f64((t + 1) * fall));
    now->mu_product = now->step == 0 ? now->mu : now->mu_product * now->mu;
}

static void nadam_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    const mtl__optim_now *now = o->now;
    const double of_m = now->next_mu / (1 - now->mu_product * now->next_mu);
    const double of_e = (1 - now->mu) / (1 - now->mu_product);
    moments(o, s);
    s->use_m = (float)(of_m * param(o, BETA1)); /* of the m before this step */
    s->use_e = (float)(of_e + of_m * (1 - param(o, BETA1)));
    s->rate = (float)rate;
}

static const mtl__choice_param adam_params[] = {
    [BETA1] = BETA_PARAM("beta1", 0.9),
    [BETA2] = BETA_PARAM("beta2", 0.999),
    [EPS] = EPS_PARAM,
    [ADAM_AMSGRAD] = {"amsgrad", 0, 0, 0, "0|1"},
    END_PARAM,
};

static const mtl__choice_param adamw_params[] = {
    [BETA1] = BETA_PARAM("beta1", 0.9),
    [BETA2] = BETA_PARAM("beta2", 0.999),
    [EPS] = EPS_PARAM,
    [ADAMW_DECAY] = {"weight_decay", 0.01, 0, 1e30, NULL},
    [ADAMW_AMSGRAD] = {"amsgrad", 0, 0, 0, "0|1"},
    END_PARAM,
};

static const mtl__choice_param nadam_params[] = {
    [BETA1] = BETA_PARAM("beta1", 0.9),
    [BETA2] = BETA_PARAM("beta2", 0.999),
    [EPS] = EPS_PARAM,
    [NADAM_PSI] = {"momentum_decay", 0.004, 0, 1, NULL},
    END_PARAM,
};

/* --- SGD: Polyak 1964, Nesterov 1983 as Sutskever et al. 2013 have it ------------------------- */

enum { SGD_MOMENTUM, SGD_NESTEROV };

static void sgd_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    const double mu = o->param[SGD_MOMENTUM];
    const bool nesterov = o->param[SGD_NESTEROV] != 0;
    s->m_keep = (float)mu;
    s->m_new = 1;
    s->use_m = (float)(nesterov ? mu * mu : mu); /* of the m before this step */
    s->use_e = (float)(nesterov ? 1 + mu : 1);
    s->rate = (float)rate;
}

static const mtl__choice_param sgd_params[] = {
    [SGD_MOMENTUM] = BETA_PARAM("momentum", 0),
    [SGD_NESTEROV] = {"nesterov", 0, 0, 0, "0|1"},
    END_PARAM,
};

/* --- RMSprop: Hinton 2012, with the momentum of the steps ------------------------------------- */

enum { RMS_ALPHA, RMS_MOMENTUM, RMS_EPS };

static void rmsprop_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    s->v_keep = (float)o->param[RMS_ALPHA];
    s->v_new = 1.0f - s->v_keep;
    s->root_scale = 1;
    s->eps = (float)o->param[RMS_EPS];
    s->divide_first = true;
    s->m_keep = s->use_m = (float)o->param[RMS_MOMENTUM];
    s->m_new = s->use_e = 1;
    s->rate = (float)rate;
}

static const mtl__choice_param rmsprop_params[] = {
    [RMS_ALPHA] = BETA_PARAM("alpha", 0.99),
    [RMS_MOMENTUM] = BETA_PARAM("momentum", 0),
    [RMS_EPS] = EPS_PARAM,
    END_PARAM,
};

/* --- Adagrad: Duchi et al. 2011 --------------------------------------------------------------- */

enum { ADAGRAD_EPS };

static void adagrad_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    s->v_keep = s->v_new = s->root_scale = s->use_e = 1;
    s->eps = (float)o->param[ADAGRAD_EPS];
    s->rate = (float)rate;
}

static const mtl__choice_param adagrad_params[] = {[ADAGRAD_EPS] = EPS_PARAM, END_PARAM};

/* --- Lion: Chen et al. 2023, algorithm 2 ------------------------------------------------------ */

enum { LION_DECAY = BETA2 + 1 };

static void lion_fill(const mtl__optim *o, double rate, mtl__update_step *s)
{
    s->use_m = (float)o->param[BETA1];
    s->use_e = 1.0f - s->use_m;
    s->m_keep = (float)o->param[BETA2];
    s->m_new = 1.0f - s->m_keep;
    s->sign = true;
    s->rate = (float)rate;
}

static const mtl__choice_param lion_params[] = {
    [BETA1] = BETA_PARAM("beta1", 0.9),
    [BETA2] = BETA_PARAM("beta2", 0.99),
    [LION_DECAY] = {"weight_decay", 0, 0, 1e30, NULL},
    END_PARAM,
};

/* --- table ------------------------------------------------------------------------------------ */

#define YES MTL__OPTIM_ALWAYS
#define NO  MTL__OPTIM_NEVER

static const mtl__optimizer rows[] = {
    {{"adam", adam_params}, {YES, YES, ADAM_AMSGRAD}, NO, BETA1, adam_begin, adam_fill},
    {{"adamw", adamw_params}, {YES, YES, ADAMW_AMSGRAD}, ADAMW_DECAY, BETA1, adam_begin, adam_fill},
    {{"nadam", nadam_params}, {YES, YES, NO}, NO, BETA1, nadam_begin, nadam_fill},
    {{"sgd", sgd_params}, {SGD_MOMENTUM, NO, NO}, NO, SGD_MOMENTUM, NULL, sgd_fill},
    {{"rmsprop", rmsprop_params}, {RMS_MOMENTUM, YES, NO}, NO, RMS_MOMENTUM, NULL, rmsprop_fill},
    {{"adagrad", adagrad_params}, {NO, YES, NO}, NO, NO, NULL, adagrad_fill},
    {{"lion", lion_params}, {YES, NO, NO}, LION_DECAY, BETA1, NULL, lion_fill},
};

const mtl__choice_table mtl__optimizers = MTL__CHOICE_TABLE("optimizer", rows);
const char *const mtl__optim_vector_names[] = {"training.m", "training.v", "training.v_max"};

/* --- use -------------------------------------------------------------------------------------- */

double mtl__optim_decay(const mtl__choice *choice)
{
    int i = ((const mtl__optimizer *)choice->row)->decay;
    return i >= 0 ? choice->value[i] : 0;
}

static bool has_vector(const mtl__optim *o, int i)
{
    int rule = o->row->vector[i];
    return rule == MTL__OPTIM_ALWAYS || (rule >= 0 && o->param[rule] != 0);
}

void mtl__optim_init(mtl__optim *o, const mtl__choice *choice, mtl__optim_now *now, int64_t params,
                     mtl__arena *arena)
{
    *o = (mtl__optim){.row = choice->row, .now = now, .decay_share = 1};
    *now = (mtl__optim_now){0};
    for (int i = 0; i < MTL__CHOICE_PARAMS; i++)
        o->param[i] = choice->value[i];
    for (int i = 0; i < MTL__OPTIM_VECTORS; i++)
        if (has_vector(o, i))
            o->state[i] = mtl__arena_floats(arena, params);
}

bool mtl__optim_has_momentum(const mtl__choice *choice)
{
    const mtl__optimizer *row = choice->row;
    return row->momentum >= 0 && choice->value[row->momentum] > 0;
}

void mtl__optim_set_momentum(mtl__optim *o, double momentum)
{
    assert(o->row->momentum >= 0);
    o->param[o->row->momentum] = momentum;
}

void mtl__optim_begin(mtl__optim *o, double rate)
{
    if (o->row->begin)
        o->row->begin(o);
    o->now->rate = rate;
    o->now->step++;
}

/* Plain Adam has a kernel of its own. */
static void apply_adam(const mtl__optim *o, const mtl__vec *v, const mtl__range *r, float *params,
                       const float *grads)
{
    const mtl__adam_step s = {
        .beta1 = (float)o->param[BETA1],
        .beta2 = (float)o->param[BETA2],
        .eps = (float)o->param[EPS],
        .step_size = (float)adam_rate(o, o->now->rate * r->rate_factor),
        .inv_sqrt_bias2 = o->root_scale,
        .l1 = (float)r->l1,
        .l2 = (float)r->l2,
    };
    v->adam(r->count, params + r->first, grads + r->first, o->state[MTL__OPTIM_M] + r->first,
            o->state[MTL__OPTIM_V] + r->first, &s);
}

static float *state_at(const mtl__optim *o, int i, int64_t first)
{
    return o->state[i] ? o->state[i] + first : NULL;
}

void mtl__optim_apply(const mtl__optim *o, const mtl__vec *v, const mtl__range *r, float *params,
                      const float *grads)
{
    if (o->row == &rows[0] && !o->state[MTL__OPTIM_TOP]) {
        apply_adam(o, v, r, params, grads);
        return;
    }
    const double rate = o->now->rate * r->rate_factor;
    const double decay = o->row->decay >= 0 ? o->param[o->row->decay] * o->decay_share * r->decay : 0;
    mtl__update_step s = {
        .l1 = (float)r->l1, .l2 = (float)r->l2, .keep = (float)(1 - rate * decay)};
    o->row->fill(o, rate, &s);
    v->update(r->count, params + r->first, grads + r->first, state_at(o, MTL__OPTIM_M, r->first),
              state_at(o, MTL__OPTIM_V, r->first), state_at(o, MTL__OPTIM_TOP, r->first), &s);
}
