#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch_tabm/*.npy: an ensemble in one network, both kinds, computed by PyTorch in float64.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch_tabm.py
Each member is written out by itself, as TabM defines it: y_i = s_i * (W (r_i * x_i)) + b_i. Tensors lie
one after the other in the order of `initial`, weights as [in, out].
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent / 'torch_tabm'
ROWS, INPUTS, MEMBERS, CATEGORIES, UNITS = 19, 5, 3, 4, 2  # column 1 has an embedding
RATE, STEPS = 0.05, (1, 10)


def make_initial(rng, kind):
    p, k = {}, MEMBERS
    n = lambda *shape: rng.standard_normal(shape)
    tabm = kind == 'tabm'
    at = [0]

    def trunk(**tensors):
        for name, value in tensors.items():
            p[f'trunk.{at[0]}.{name}'] = value
        at[0] += 1

    def dense(rows, cols, first):
        if tabm:
            if not first:
                trunk(scale=1 + 0.3 * n(k, rows))
            trunk(weight=0.5 * n(rows, cols), scale=1 + 0.3 * n(k, cols), bias=0.3 * n(k, cols))
        else:
            trunk(weight=0.5 * n(rows, cols), bias=0.3 * n(cols))

    width = INPUTS - 1 + UNITS
    trunk(weight=n(CATEGORIES + 1, UNITS))
    trunk(scale=np.sign(n(k, width)) + 0.1 * n(k, width))
    dense(width, 7, True)
    trunk(weight=1 + 0.3 * n(7), bias=0.3 * n(7))  # layer norm
    dense(7, 6, False)
    p['head.fails.weight'], p['head.fails.bias'] = 0.5 * n(k * 6, 1), 0.3 * n(k, 1)
    if tabm:
        p['tower0.grade.scale'] = 1 + 0.3 * n(k, 6)
        p['tower1.grade.weight'], p['tower1.grade.scale'] = 0.5 * n(6, 4), 1 + 0.3 * n(k, 4)
        p['tower1.grade.bias'] = 0.3 * n(k, 4)
    else:
        p['tower0.grade.weight'], p['tower0.grade.bias'] = 0.5 * n(6, 4), 0.3 * n(4)
    p['head.grade.weight'], p['head.grade.bias'] = 0.5 * n(k * 4, 3), 0.3 * n(k, 3)
    p['head.hours.weight'], p['head.hours.bias'] = 0.5 * n(k * 6, 2), 0.3 * n(k, 2)
    return {name: v.astype(np.float32) for name, v in p.items()}


def make_data(rng):
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    x[:, 1] = rng.integers(0, CATEGORIES, ROWS)
    y = {'fails': rng.integers(0, 2, (ROWS, 1)), 'grade': rng.integers(0, 3, (ROWS, 1)),
         'hours': rng.standard_normal((ROWS, 2)) * 2 + 1}
    y = {n: v.astype(np.float32) for n, v in y.items()}
    for v in y.values():
        v[rng.random(v.shape) < 0.2] = np.nan
    return x, y


def member(p, x, i, kind):
    """z by task of member i."""
    tabm = kind == 'tabm'
    numbers = torch.tensor(np.delete(x, 1, 1), dtype=torch.float64)
    h = torch.cat([numbers, p['trunk.0.weight'][torch.tensor(x[:, 1].astype(np.int64) + 1)]], 1)
    h = h * p['trunk.1.scale'][i]

    def dense(name, factors, act, h):
        if not tabm:
            return act(h @ p[name + '.weight'] + p[name + '.bias'])
        if factors:
            h = h * p[factors + '.scale'][i]
        return act(p[name + '.scale'][i] * (h @ p[name + '.weight']) + p[name + '.bias'][i])

    def head(task, h):
        rows = h.shape[1]
        return h @ p[f'head.{task}.weight'][i * rows:(i + 1) * rows] + p[f'head.{task}.bias'][i]

    h = dense('trunk.2', None, torch.relu, h)
    h = F.layer_norm(h, (7,), p['trunk.3.weight'], p['trunk.3.bias'], 1e-5)
    h = dense('trunk.5', 'trunk.4', F.gelu, h) if tabm else dense('trunk.4', None, F.gelu, h)
    own = dense('tower1.grade', 'tower0.grade', torch.tanh, h) if tabm else \
        dense('tower0.grade', None, torch.tanh, h)
    return {'fails': head('fails', h), 'grade': head('grade', own), 'hours': head('hours', h)}


def total_loss(z, y):
    total = 0
    for t, label in y.items():
        present, known = ~torch.isnan(label), torch.nan_to_num(label)
        if t == 'hours':
            loss = (z[t] - known) ** 2
        elif t == 'grade':
            loss = F.cross_entropy(z[t], known[:, 0].long(), reduction='none')[:, None]
        else:
            loss = F.binary_cross_entropy_with_logits(z[t], known, reduction='none')
        total = total + loss[present].mean()
    return total


def predictions(p, x, kind):
    all_z = [member(p, x, i, kind) for i in range(MEMBERS)]
    of = lambda z: torch.cat([torch.sigmoid(z['fails']), torch.softmax(z['grade'], 1), z['hours']], 1)
    return torch.stack([of(z) for z in all_z]).mean(0).detach().numpy()


def run(initial, x, labels, kind):
    y = {n: torch.tensor(v, dtype=torch.float64) for n, v in labels.items()}
    p = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in initial.items()}
    sgd = torch.optim.SGD(list(p.values()), lr=RATE)
    found = {'out_0': predictions(p, x, kind)}
    for step in range(1, max(STEPS) + 1):
        loss = sum(total_loss(member(p, x, i, kind), y) for i in range(MEMBERS)) / MEMBERS
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        if step in STEPS:
            found[f'params_{step}'] = np.concatenate([t.detach().numpy().ravel() for t in p.values()])
            found[f'out_{step}'] = predictions(p, x, kind)
    return found


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(8)
    torch.set_num_threads(1)
    x, y = make_data(rng)
    np.save(OUT / 'x.npy', x)
    for name, label in y.items():
        np.save(OUT / f'y_{name}.npy', label)
    for kind in ('tabm', 'mini'):
        initial = make_initial(rng, kind)
        np.save(OUT / f'{kind}_params_0.npy', np.concatenate([v.ravel() for v in initial.values()]))
        for name, value in run(initial, x, y, kind).items():
            np.save(OUT / f'{kind}_{name}.npy', value)
    print(torch.__version__, np.__version__)


if __name__ == '__main__':
    main()
