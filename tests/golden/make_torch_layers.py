#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch_layers/*.npy: a network with every kind of layer, computed by PyTorch in float64.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch_layers.py
Tensors lie one after the other in the order of `initial`, weights as [in, out].
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from torch_tasks import flat, link, make_labels, save, total_loss

OUT = pathlib.Path(__file__).resolve().parent / 'torch_layers'
ROWS, INPUTS = 21, 6
TABLES = {2: (4, 3), 5: (3, 2)}  # column: (categories, units)
RATE, BETAS, EPS, STEPS = 1e-2, (0.9, 0.999), 1e-7, (1, 2, 10)
STATE = ('trunk.6.running_mean', 'trunk.6.running_var')


def make_initial(rng):
    p = {}

    def dense(name, rows, cols):
        p[name + '.weight'] = rng.standard_normal((rows, cols)) * 0.5
        p[name + '.bias'] = rng.standard_normal(cols) * 0.3

    p['trunk.0.weight'] = rng.standard_normal((5, 3))
    p['trunk.1.weight'] = rng.standard_normal((4, 2))
    dense('trunk.2', 9, 8)
    p['trunk.3.weight'], p['trunk.3.bias'] = 1 + 0.3 * rng.standard_normal(8), rng.standard_normal(8)
    dense('trunk.4', 8, 8)
    dense('trunk.5', 8, 8)
    p['trunk.6.weight'], p['trunk.6.bias'] = 1 + 0.3 * rng.standard_normal(8), rng.standard_normal(8)
    p[STATE[0]], p[STATE[1]] = rng.standard_normal(8), 0.5 + rng.random(8)
    p['trunk.7.weight'], p['trunk.7.bias'] = 1 + 0.3 * rng.standard_normal(8), rng.standard_normal(8)
    dense('trunk.8', 8, 6)
    dense('head.fails', 6, 1)
    dense('tower0.grade', 6, 5)
    dense('head.grade', 5, 3)
    dense('head.hours', 6, 2)
    for task, outputs in (('fails', 1), ('grade', 3), ('hours', 2)):
        p[f'skip.{task}.weight'] = rng.standard_normal((INPUTS, outputs)) * 0.3
    return {n: v.astype(np.float32) for n, v in p.items()}


def make_data(rng):
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    x[:, 2], x[:, 5] = rng.integers(0, 4, ROWS), rng.integers(0, 3, ROWS)
    x[3, 2], x[4, 2], x[5, 2], x[6, 5] = np.nan, 4, 1.5, -1  # all of them unknown
    return x, make_labels(rng, ROWS, 0.25)


def rows_of(x, categories):
    known = np.isfinite(x) & (x == np.floor(x)) & (x >= 0) & (x < categories)
    return torch.tensor(np.where(known, np.where(known, x, 0) + 1, 0).astype(np.int64))


def forward(p, x, training):
    """z by task. Running statistics in p move while training."""
    d = lambda n, h: h @ p[n + '.weight'] + p[n + '.bias']
    numbers = torch.tensor(np.delete(x, list(TABLES), 1), dtype=torch.float64)
    h = torch.cat([numbers] + [p[f'trunk.{i}.weight'][rows_of(x[:, c], n)]
                               for i, (c, (n, _)) in enumerate(TABLES.items())], 1)
    a = F.gelu(d('trunk.2', h))
    h = F.layer_norm(a, (8,), p['trunk.3.weight'], p['trunk.3.bias'], 1e-5)
    h = F.silu(d('trunk.4', h)) + a
    h = torch.tanh(d('trunk.5', h)) + a
    h = F.batch_norm(h, p[STATE[0]], p[STATE[1]], p['trunk.6.weight'], p['trunk.6.bias'], training,
                     0.2, 1e-5)
    h = F.layer_norm(h, (8,), p['trunk.7.weight'], p['trunk.7.bias'], 1e-3)
    h = F.elu(d('trunk.8', h), 1.5)
    # The skip sees the inputs as the network does: category numbers moved by one, missing ones 0.
    seen = x + np.isin(np.arange(INPUTS), list(TABLES))
    seen = torch.tensor(np.nan_to_num(seen), dtype=torch.float64)
    z = {'fails': d('head.fails', h),
         'grade': d('head.grade', F.leaky_relu(d('tower0.grade', h), 0.2)),
         'hours': d('head.hours', h)}
    return {t: v + seen @ p[f'skip.{t}.weight'] for t, v in z.items()}


def predictions(p, x):
    return link(forward(p, x, False)).detach().numpy()


def run(initial, x, labels, frozen):
    y = {n: torch.tensor(v, dtype=torch.float64) for n, v in labels.items()}
    p = {n: torch.tensor(v, dtype=torch.float64) for n, v in initial.items()}
    trained = [n for n in p if n not in STATE and not (frozen and n.startswith('trunk.6.'))]
    for n in trained:
        p[n].requires_grad_(True)
    adam = torch.optim.Adam([p[n] for n in trained], lr=RATE, betas=BETAS, eps=EPS)
    found = {'out_0': predictions(p, x)}
    for step in range(1, max(STEPS) + 1):
        loss = total_loss(forward(p, x, not frozen), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step in STEPS:
            found[f'params_{step}'] = flat(p)
    found[f'out_{max(STEPS)}'] = predictions(p, x)
    return found


def main():
    rng = np.random.default_rng(5)
    torch.set_num_threads(1)
    initial = make_initial(rng)
    x, y = make_data(rng)
    save(OUT, {'x': x, 'params_0': np.concatenate([v.ravel() for v in initial.values()])})
    save(OUT, {f'y_{name}': label for name, label in y.items()})
    for variant in ('trained', 'frozen'):
        found = run(initial, x, y, variant == 'frozen')
        save(OUT, {f'{variant}_{name}': value for name, value in found.items()})
    print(torch.__version__, np.__version__)


if __name__ == '__main__':
    main()
