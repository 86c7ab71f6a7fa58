#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/optim_torch.h: optimizer steps, schedules and averages of PyTorch on numbers of a fixed rule.

Made with Debian 12's python3-torch 1.13.0a0: /usr/bin/python3 make_optim.py > optim_torch.h
Everything is computed in float64. Lion is not in PyTorch; it is written here from its paper (Chen et
al. 2023, algorithm 2). NAdam is taken with foreach=True, since the other form of 1.13 has mu twice in
the product of the next step, which later versions have put right.
"""

import copy
import math

import torch

STEPS, SIZE = 12, 5
RATE, L1, L2 = 0.05, 0.01, 0.02
NORM, VALUE = 0.9, 0.5


def gradient(step, i):
    """The rule, as the test has it: in [-1, 1), 0 now and then."""
    return ((7 * step + 5 * i * i + 3 * i * step) % 16 - 8) / 8


def start(i):
    return (i - 2) / 4


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group['betas']
            for p in group['params']:
                m = self.state[p].setdefault('m', torch.zeros_like(p))
                direction = torch.sign(b1 * m + (1 - b1) * p.grad)
                p.mul_(1 - group['lr'] * group['weight_decay']).sub_(group['lr'] * direction)
                m.mul_(b2).add_((1 - b2) * p.grad)


# text of the option: (class, arguments)
OPTIMIZERS = {
    'sgd': (torch.optim.SGD, {}),
    'sgd:momentum=0.9': (torch.optim.SGD, dict(momentum=0.9)),
    'sgd:momentum=0.8,nesterov=1': (torch.optim.SGD, dict(momentum=0.8, nesterov=True)),
    'rmsprop': (torch.optim.RMSprop, dict(alpha=0.99, eps=1e-7)),
    'rmsprop:alpha=0.9,momentum=0.5,eps=0.001':
        (torch.optim.RMSprop, dict(alpha=0.9, momentum=0.5, eps=1e-3)),
    'adagrad': (torch.optim.Adagrad, dict(eps=1e-7)),
    'adam:beta2=0.99': (torch.optim.Adam, dict(betas=(0.9, 0.99), eps=1e-7)),
    'adam:beta2=0.9,amsgrad=1': (torch.optim.Adam, dict(betas=(0.9, 0.9), eps=1e-7, amsgrad=True)),
    'adamw:beta2=0.99,weight_decay=0.3':
        (torch.optim.AdamW, dict(betas=(0.9, 0.99), eps=1e-7, weight_decay=0.3)),
    'adamw:beta2=0.9,weight_decay=0.1,amsgrad=1':
        (torch.optim.AdamW, dict(betas=(0.9, 0.9), eps=1e-7, weight_decay=0.1, amsgrad=True)),
    'nadam': (torch.optim.NAdam, dict(eps=1e-7, foreach=True)),
    'nadam:beta1=0.8,beta2=0.95,momentum_decay=0.01':
        (torch.optim.NAdam, dict(betas=(0.8, 0.95), eps=1e-7, momentum_decay=0.01,
                                 foreach=True)),
    'lion': (Lion, dict(betas=(0.9, 0.99), weight_decay=0)),
    'lion:beta1=0.8,beta2=0.95,weight_decay=0.2':
        (Lion, dict(betas=(0.8, 0.95), weight_decay=0.2)),
}


def parameter():
    return torch.tensor([start(i) for i in range(SIZE)], dtype=torch.float64, requires_grad=True)


def steps(optimizer, p, penalties=True):
    """Set the gradient, clip it, add the penalties' part, step."""
    for step in range(STEPS):
        p.grad = torch.tensor([gradient(step, i) for i in range(SIZE)], dtype=torch.float64)
        torch.nn.utils.clip_grad_value_([p], VALUE)
        torch.nn.utils.clip_grad_norm_([p], NORM)
        if penalties:
            p.grad += L2 * p.detach() + L1 * torch.sign(p.detach())
        optimizer.step()
        yield p


def numbers(values):
    return '{' + ', '.join(repr(float(v)) for v in values) + '}'


def print_optimizers():
    print('static const struct {\n    const char *text;\n    double w[GOLDEN_SIZE];\n} golden_optimizers[] = {')
    for text, (kind, arguments) in OPTIMIZERS.items():
        p = parameter()
        for _ in steps(kind([p], lr=RATE, **arguments), p):
            pass
        print(f'    {{"{text}", {numbers(p.detach())}}},')
    print('};\n')


def print_averages():
    """After every step, of the runs of SGD without penalties."""
    rules = {'ema:decay=0.7': lambda a, w, n: 0.7 * a + (1 - 0.7) * w, 'swa': None}
    print('static const struct {\n    const char *text;\n    double w[GOLDEN_STEPS][GOLDEN_SIZE];\n}'
          ' golden_averages[] = {')
    for text, rule in rules.items():
        module = torch.nn.Linear(1, SIZE, bias=False, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(parameter().reshape(SIZE, 1))
        average = torch.optim.swa_utils.AveragedModel(module, avg_fn=rule)
        p, after = parameter(), []
        for w in steps(torch.optim.SGD([p], lr=RATE), p, penalties=False):
            with torch.no_grad():
                module.weight.copy_(w.reshape(SIZE, 1))
            average.update_parameters(module)
            after.append(numbers(average.module.weight.detach().reshape(SIZE)))
        print(f'    {{"{text}",\n     {{' + ',\n      '.join(after) + '}},')
    print('};\n')


EPOCHS, EPOCH_STEPS = 8, 5
TOTAL = EPOCHS * EPOCH_STEPS
LOSSES = [5, 4, 4.1, 3.9999, 4.2, 3, 3, 3]
S = torch.optim.lr_scheduler


def flat_cos(x, start):
    return 1 if x <= start else (1 + math.cos(math.pi * (x - start) / (1 - start))) / 2


def coslog(x, cycles):
    """Holzmueller et al. 2024 (RealMLP), with 4 cycles."""
    return (1 - math.cos(2 * math.pi * math.log2(1 + (2 ** cycles - 1) * x))) / 2


# text: (scheduler, moves after each epoch instead of each step)
SCHEDULES = {
    'constant': (lambda o: S.LambdaLR(o, lambda t: 1), False),
    'step:every=3,gamma=0.5': (lambda o: S.StepLR(o, 3, gamma=0.5), True),
    'exponential:gamma=0.8': (lambda o: S.ExponentialLR(o, 0.8), True),
    'cosine': (lambda o: S.CosineAnnealingLR(o, TOTAL), False),
    'cosine:final=0.1': (lambda o: S.CosineAnnealingLR(o, TOTAL, eta_min=0.1), False),
    'linear:final=0.25': (lambda o: S.LinearLR(o, 1, 0.25, total_iters=TOTAL), False),
    'flat_cos': (lambda o: S.LambdaLR(o, lambda t: flat_cos(t / TOTAL, 0.5)), False),
    'flat_cos:start=0.8': (lambda o: S.LambdaLR(o, lambda t: flat_cos(t / TOTAL, 0.8)), False),
    'coslog': (lambda o: S.LambdaLR(o, lambda t: coslog(t / TOTAL, 4)), False),
    'coslog:cycles=2': (lambda o: S.LambdaLR(o, lambda t: coslog(t / TOTAL, 2)), False),
    'geometric:final=0.02': (lambda o: S.ExponentialLR(o, 0.02 ** (1 / (TOTAL - 1))), False),
    'one_cycle': (lambda o: S.OneCycleLR(o, 1, total_steps=TOTAL, cycle_momentum=False), False),
    'one_cycle:pct_start=0.5,div=10,final_div=100':
        (lambda o: S.OneCycleLR(o, 1, total_steps=TOTAL, pct_start=0.5, div_factor=10,
                                final_div_factor=100, cycle_momentum=False), False),
    'plateau:factor=0.5,patience=1':
        (lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=1), True),
    'plateau:factor=0.2,patience=0,threshold=0.1,cooldown=1,min=0.03':
        (lambda o: S.ReduceLROnPlateau(o, factor=0.2, patience=0, threshold=0.1, cooldown=1,
                                       min_lr=0.03), True),
}


def print_schedules():
    print('static const struct {\n    const char *text;\n    double factor[GOLDEN_TOTAL];\n}'
          ' golden_schedules[] = {')
    for text, (make, by_epochs) in SCHEDULES.items():
        optimizer = torch.optim.SGD([parameter()], lr=1)
        scheduler, found = make(optimizer), []
        for step in range(TOTAL):
            found.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            if by_epochs and (step + 1) % EPOCH_STEPS:
                continue
            if 'plateau' in text:
                scheduler.step(LOSSES[step // EPOCH_STEPS])
            elif step + 1 < TOTAL:
                scheduler.step()
        print(f'    {{"{text}",\n     {numbers(found)}}},')
    print('};\n')


MOMENTA = {
    'one_cycle:max_momentum=0.95': dict(),
    'one_cycle:pct_start=0.5,max_momentum=0.9,base_momentum=0.6':
        dict(pct_start=0.5, max_momentum=0.9, base_momentum=0.6),
}


def print_momenta():
    """The momentum in each step, and SGD's weights after them all."""
    print('static const struct {\n    const char *text;\n    double momentum[GOLDEN_TOTAL], w[GOLDEN_SIZE];'
          '\n} golden_momenta[] = {')
    for text, arguments in MOMENTA.items():
        p, found = parameter(), []
        optimizer = torch.optim.SGD([p], lr=RATE, momentum=0.5)
        scheduler = S.OneCycleLR(optimizer, RATE, total_steps=TOTAL, **arguments)
        for step in range(TOTAL):
            found.append(optimizer.param_groups[0]['momentum'])
            p.grad = torch.tensor([gradient(step, i) for i in range(SIZE)], dtype=torch.float64)
            optimizer.step()
            if step + 1 < TOTAL:
                scheduler.step()
        print(f'    {{"{text}",\n     {numbers(found)},\n     {numbers(p.detach())}}},')
    print('};\n')


def main():
    print(f"""/* SPDX-License-Identifier: MIT */
/* Written by make_optim.py with PyTorch {torch.__version__}, in float64. */
#ifndef MTL_GOLDEN_OPTIM_H
#define MTL_GOLDEN_OPTIM_H

enum {{ GOLDEN_STEPS = {STEPS}, GOLDEN_SIZE = {SIZE}, GOLDEN_TOTAL = {TOTAL}, GOLDEN_EPOCH = {EPOCH_STEPS} }};
#define GOLDEN_RATE  {RATE}
#define GOLDEN_L1    {L1}
#define GOLDEN_L2    {L2}
#define GOLDEN_NORM  {NORM}
#define GOLDEN_VALUE {VALUE}

static const double golden_losses[] = {numbers(LOSSES)};
""")
    print_optimizers()
    print_averages()
    print_schedules()
    print_momenta()
    print('#endif')


if __name__ == '__main__':
    main()
