/* SPDX-License-Identifier: MIT */
#include "optim/average.h"

#include "base/base.h"

static const mtl__choice_param ema_params[] = {{"decay", 0.999, 0, 1, NULL}, {NULL, 0, 0, 0, NULL}};

/* Exponential moving average (Polyak & Juditsky 1992 in its running form). The first one is taken
   whole, as torch.optim.swa_utils.AveragedModel does. */
static double ema_share(const double *param, int64_t count)
{
    return count == 0 ? 1 : 1 - param[0];
}

static const mtl__choice_param swa_params[] = {{"start", 0.75, 0, 1, NULL}, {NULL, 0, 0, 0, NULL}};

/* Stochastic weight averaging: Izmailov et al. 2018, algorithm 1, with a cycle of one epoch. */
static double swa_share(const double *param, int64_t count)
{
    (void)param;
    return 1 / ((double)count + 1);
}

static int64_t swa_first(const double *param, int64_t epochs)
{
    return mtl__min(epochs, (int64_t)(param[0] * (double)epochs) + 1);
}

static const mtl__averaging rows[] = {
    {{"none", NULL}, NULL, NULL, NULL},
    {{"ema", ema_params}, ema_share, NULL, NULL},
    {{"swa", swa_params}, NULL, swa_share, swa_first},
};

const mtl__choice_table mtl__averages = MTL__CHOICE_TABLE("average", rows);
