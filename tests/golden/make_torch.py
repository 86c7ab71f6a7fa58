#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch/*.npy: one small network with masks, computed by PyTorch.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch.py
The values that tests compare with are computed in float64; the script also runs the same in float32
and prints how far that is off, which is what a float32 library can be expected to reach.

Tensors lie one after the other in the order of NAMES, weights as [in, out].
"""

import pathlib

import numpy as np
import torch

from torch_tasks import flat

OUT = pathlib.Path(__file__).resolve().parent / 'torch'
ROWS, INPUTS = 24, 5
TRUNK = [(8, torch.relu), (6, torch.tanh)]
# name: (kind, outputs, weight)
TASKS = {
    'fails': ('binary', 1, 1.0),
    'grade': ('multiclass', 3, 0.5),
    'tags': ('multilabel', 2, 2.0),
    'hours': ('regression', 2, 0.25),
    'silent': ('binary', 1, 1.0),  # no label in any row
}
RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-7
L1, L2 = 0.003, 0.01
STEPS = (1, 2, 10)


def tensor_shapes():
    shapes, width = {}, INPUTS
    for i, (units, _) in enumerate(TRUNK):
        shapes[f'trunk.{i}.weight'], shapes[f'trunk.{i}.bias'] = (width, units), (units,)
        width = units
    for name, (_, outputs, _) in TASKS.items():
        shapes[f'head.{name}.weight'], shapes[f'head.{name}.bias'] = (width, outputs), (outputs,)
    return shapes


def make_data(rng):
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    y = {
        'fails': rng.integers(0, 2, (ROWS, 1)),
        'grade': rng.integers(0, 3, (ROWS, 1)),
        'tags': rng.integers(0, 2, (ROWS, 2)),
        'hours': rng.standard_normal((ROWS, 2)) * 2 + 1,
        'silent': np.full((ROWS, 1), np.nan),
    }
    y = {name: label.astype(np.float32) for name, label in y.items()}
    for label in y.values():
        label[rng.random(label.shape) < 0.3] = np.nan  # single values, so rows with half a label
    return x, y, (rng.random(ROWS) * 2).astype(np.float32)


def forward(p, x):
    h = x
    for i, (_, activation) in enumerate(TRUNK):
        h = activation(h @ p[f'trunk.{i}.weight'] + p[f'trunk.{i}.bias'])
    return {t: h @ p[f'head.{t}.weight'] + p[f'head.{t}.bias'] for t in TASKS}


def element_loss(kind, z, y):
    """Loss of each label value; whatever stands at missing ones."""
    known = torch.nan_to_num(y)
    if kind == 'regression':
        return (z - known) ** 2
    if kind == 'multiclass':
        return torch.nn.functional.cross_entropy(z, known[:, 0].long(), reduction='none')[:, None]
    return torch.nn.functional.binary_cross_entropy_with_logits(z, known, reduction='none')


def task_losses(p, x, y, row_weight):
    z = forward(p, x)
    losses = {}
    for name, (kind, _, _) in TASKS.items():
        present = ~torch.isnan(y[name])
        w = present * (torch.ones(ROWS, dtype=x.dtype) if row_weight is None else row_weight)[:, None]
        loss = torch.where(present, element_loss(kind, z[name], y[name]), torch.zeros_like(w))
        losses[name] = (w * loss).sum() / w.sum() if present.any() else None
    return losses


def predictions(p, x):
    z = forward(p, x)
    link = {'binary': torch.sigmoid, 'multilabel': torch.sigmoid, 'regression': lambda v: v,
            'multiclass': lambda v: torch.softmax(v, 1)}
    return torch.cat([link[TASKS[t][0]](z[t]) for t in TASKS], 1)


def run(data, initial, dtype, l1=0.0, l2=0.0, weighted=False):
    """All that is to be compared, by file name."""
    x, y, row_weight = data
    x, row_weight = torch.tensor(x, dtype=dtype), torch.tensor(row_weight, dtype=dtype)
    y = {name: torch.tensor(label, dtype=dtype) for name, label in y.items()}
    p = {n: torch.tensor(v, dtype=dtype, requires_grad=True) for n, v in initial.items()}
    adam = torch.optim.Adam(p.values(), lr=RATE, betas=(BETA1, BETA2), eps=EPS)
    found, losses = {'out_0': predictions(p, x).detach().numpy()}, []
    for step in range(1, max(STEPS) + 1):
        loss = task_losses(p, x, y, row_weight if weighted else None)
        losses.append([np.nan if v is None else v.item() for v in loss.values()])
        total = sum(TASKS[n][2] * v for n, v in loss.items() if v is not None)
        for name, tensor in p.items():
            if name.endswith('.weight'):  # biases are not penalised
                total = total + l2 / 2 * (tensor ** 2).sum() + l1 * tensor.abs().sum()
        adam.zero_grad()
        total.backward()
        for tensor in p.values():
            if tensor.grad is None:  # the silent head without penalties
                tensor.grad = torch.zeros_like(tensor)
        if step == 1:
            found['grads'] = flat({n: t.grad for n, t in p.items()})
        adam.step()
        if step in STEPS:
            found[f'params_{step}'] = flat(p)
    found['losses'] = np.array(losses)
    found[f'out_{max(STEPS)}'] = predictions(p, x).detach().numpy()
    return found


def distance(name, a, b, shapes):
    """Largest difference over largest value: per tensor for parameters, else over all."""
    pieces = [(a, b)]
    if name.startswith(('params', 'grads')):
        ends = np.cumsum([np.prod(s) for s in shapes.values()])[:-1]
        pieces = zip(np.split(a, ends), np.split(b, ends))
    return max(np.nanmax(np.abs(u - v)) / max(np.nanmax(np.abs(v)), 1e-30) for u, v in pieces)


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(2)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shapes = tensor_shapes()
    data = make_data(rng)
    initial = {n: (rng.standard_normal(s) * 0.4).astype(np.float32) for n, s in shapes.items()}
    x, y, row_weight = data
    np.save(OUT / 'x.npy', x)
    np.save(OUT / 'row_weight.npy', row_weight)
    for name, label in y.items():
        np.save(OUT / f'y_{name}.npy', label)
    np.save(OUT / 'params_0.npy', np.concatenate([v.ravel() for v in initial.values()]))
    variants = {'plain': {}, 'penalty': {'l1': L1, 'l2': L2}, 'weighted': {'weighted': True}}
    for variant, settings in variants.items():
        exact = run(data, initial, torch.float64, **settings)
        single = run(data, initial, torch.float32, **settings)
        for name, value in exact.items():
            print(f'{variant:9}{name:10} float32 differs by {distance(name, single[name], value, shapes):.1e}')
            np.save(OUT / f'{variant}_{name}.npy', value)
    print(torch.__version__, np.__version__)


if __name__ == '__main__':
    main()
