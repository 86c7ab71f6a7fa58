/* SPDX-License-Identifier: MIT */
#include "optim/optim.h"

#include <math.h>

/* Adam: Kingma & Ba 2015, algorithm 1, eps outside the bias-corrected root (as in PyTorch). */
enum { BETA1, BETA2, EPS };

/* The betas count as the floats that the kernel works with: else 1 - beta there and 1 - beta^t here
   would be of two different numbers, which shows when beta is near 1. */
static void adam_begin(mtl__optim *o, double rate)
{
    const double beta[] = {(double)(float)o->param[BETA1], (double)(float)o->param[BETA2]};
    for (int i = 0; i < 2; i++)
        o->power[i] = o->step == 0 ? beta[i] : o->power[i] * beta[i];
    o->rate = rate;
    o->step++;
}

static void adam_apply(const mtl__optim *o, const mtl__vec *v, const mtl__range *r, float *params,
                       const float *grads)
{
    const mtl__adam_step s = {
        .beta1 = (float)o->param[BETA1],
        .beta2 = (float)o->param[BETA2],
        .eps = (float)o->param[EPS],
        .step_size = (float)(o->rate * r->rate_factor / (1.0 - o->power[0])),
        .inv_sqrt_bias2 = (float)(1.0 / sqrt(1.0 - o->power[1])),
        .l1 = (float)r->l1,
        .l2 = (float)r->l2,
    };
    v->adam(r->count, params + r->first, grads + r->first, o->state[0] + r->first,
            o->state[1] + r->first, &s);
}

static const mtl__choice_param adam_params[] = {
    [BETA1] = {"beta1", 0.9, 0, 0.9999999, NULL},
    [BETA2] = {"beta2", 0.999, 0, 0.9999999, NULL},
    [EPS] = {"eps", 1e-7, 1e-30, 1, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const mtl__optimizer rows[] = {
    {
        .choice = {.name = "adam", .param = adam_params},
        .vectors = 2,
        .begin_step = adam_begin,
        .apply = adam_apply,
    },
};

const mtl__choice_table mtl__optimizers = MTL__CHOICE_TABLE("optimizer", rows);

void mtl__optim_init(mtl__optim *o, const mtl__choice *choice, int64_t params, mtl__arena *arena)
{
    *o = (mtl__optim){.row = choice->row};
    for (int i = 0; i < MTL__CHOICE_PARAMS; i++)
        o->param[i] = choice->value[i];
    for (int i = 0; i < o->row->vectors; i++)
        o->state[i] = mtl__arena_floats(arena, params);
}
