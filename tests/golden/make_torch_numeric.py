#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch_numeric/*.npy: nets with each numeric embedding, computed by PyTorch in float64.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch_numeric.py
Tensors lie one after the other in the order of `initial`, weights as [in, out].
"""

import math
import pathlib

import numpy as np
import torch

from torch_tasks import flat

OUT = pathlib.Path(__file__).resolve().parent / 'torch_numeric'
ROWS, INPUTS, COLUMNS, CATEGORIES = 23, 6, (1, 2, 4), (3, 4)  # categories: column, their number
RATE, STEPS = 0.05, (1, 2, 10)


def tensors(rng, kind):
    """Of the embedding; [columns, ...]."""
    n, r = len(COLUMNS), lambda *s: rng.standard_normal(s)
    if kind == 'cosine':
        return {'frequency': r(n, 4), 'phase': 0.3 * r(n, 4), 'scale': 1 + 0.3 * r(n, 5),
                'bias': 0.3 * r(n, 5)}
    if kind == 'plr':
        return {'frequency': 0.5 * r(n, 7), 'weight': 0.4 * r(n * 14, 5), 'bias': 0.3 * r(n, 5)}
    if kind == 'lite':
        return {'frequency': 0.5 * r(n, 7), 'weight': 0.4 * r(14, 5), 'bias': 0.3 * r(1, 5)}
    if kind == 'ple':
        return {'edges': np.zeros((n, 6)), 'weight': 0.4 * r(n * 5, 4), 'scale': r(n, 4),
                'bias': 0.3 * r(n, 4)}
    return {'frequency': 0.5 * r(n, 6), 'phase': r(n, 6), 'weight': 0.4 * r(n * 6, 3),
            'bias': 0.3 * r(n, 3)}


def edges_of(x):
    """Quantiles of what is there, equal ones merged, the last one repeated."""
    edge = np.unique(np.quantile(x[~np.isnan(x)].astype(np.float64), np.linspace(0, 1, 6)).astype(np.float32))
    return np.append(edge, np.repeat(edge[-1], 6 - len(edge)))


def embed(kind, p, x):
    """x [rows, columns] to [rows, columns, units]."""
    if kind == 'ple':
        made = x[:, :, None] * p['scale'] + p['bias']
        for c in range(len(COLUMNS)):
            edge = torch.unique(p['edges'][c])
            e = (x[:, c, None] - edge[:-1]) / (edge[1:] - edge[:-1])
            if e.shape[1] > 1:
                e = torch.cat([e[:, :1].clamp_max(1), e[:, 1:-1].clamp(0, 1), e[:, -1:].clamp_min(0)], 1)
            made[:, c] += e @ p['weight'][5 * c:5 * c + e.shape[1]]
        return made
    wave = 2 * math.pi * x[:, :, None] * p['frequency']
    if kind == 'cosine':
        wave = torch.cos(wave + 2 * math.pi * p['phase'])
        return p['scale'] * torch.cat([x[:, :, None], wave], 2) + p['bias']
    by_column = lambda h: torch.einsum('rcf,cfu->rcu', h, p['weight'].reshape(len(COLUMNS), -1, p['weight'].shape[1]))
    if kind == 'pbld':
        made = by_column(torch.cos(wave + p['phase'])) + p['bias']
        return torch.cat([x[:, :, None], made], 2)
    wave = torch.cat([torch.cos(wave), torch.sin(wave)], 2)
    return torch.relu((wave @ p['weight'] if kind == 'lite' else by_column(wave)) + p['bias'])


def forward(kind, p, x):
    column, categories = CATEGORIES
    table = np.where(np.isnan(x[:, column]), 0, np.nan_to_num(x[:, column]) + 1).astype(np.int64)
    seen = torch.tensor(np.nan_to_num(x), dtype=torch.float64)
    rest = [i for i in range(INPUTS) if i != column and i not in COLUMNS]
    own = {n[8:]: v for n, v in p.items() if n.startswith('trunk.1.')}
    h = torch.cat([seen[:, rest], p['trunk.0.weight'][table],
                   embed(kind, own, seen[:, COLUMNS]).flatten(1)], 1)
    h = torch.tanh(h @ p['trunk.2.weight'] + p['trunk.2.bias'])
    return h @ p['head.y.weight'] + p['head.y.bias']


def make_initial(rng, kind):
    p = {'trunk.0.weight': rng.standard_normal((CATEGORIES[1] + 1, 2))}
    p.update({'trunk.1.' + n: v for n, v in tensors(rng, kind).items()})
    units = {'cosine': 5, 'plr': 5, 'lite': 5, 'pbld': 4, 'ple': 4}[kind]
    width = INPUTS - 1 - len(COLUMNS) + 2 + len(COLUMNS) * units
    p['trunk.2.weight'], p['trunk.2.bias'] = 0.3 * rng.standard_normal((width, 7)), 0.2 * rng.standard_normal(7)
    p['head.y.weight'], p['head.y.bias'] = 0.4 * rng.standard_normal((7, 2)), rng.standard_normal(2)
    return {n: v.astype(np.float32) for n, v in p.items()}


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    torch.set_num_threads(1)
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    x[:, CATEGORIES[0]] = rng.integers(0, CATEGORIES[1], ROWS)
    x[2, 1], x[3, 4], x[4, 0], x[5, 3] = [np.nan] * 4
    x[:, 2] = np.round(x[:, 2])  # few values, so equal quantiles
    y = (rng.standard_normal((ROWS, 2)) + np.nan_to_num(x[:, 1:3])).astype(np.float32)
    np.save(OUT / 'x.npy', x)
    np.save(OUT / 'y.npy', y)
    target = torch.tensor(y, dtype=torch.float64)
    for kind in ('cosine', 'plr', 'lite', 'pbld', 'ple'):
        initial = make_initial(rng, kind)
        p = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in initial.items()}
        np.save(OUT / f'{kind}_params_0.npy', flat(p).astype(np.float32))
        if kind == 'ple':
            edges = np.stack([edges_of(x[:, c]) for c in COLUMNS])
            p['trunk.1.edges'] = torch.tensor(edges, dtype=torch.float64)
        sgd = torch.optim.SGD([t for t in p.values() if t.requires_grad], lr=RATE)
        for step in range(1, max(STEPS) + 1):
            loss = ((forward(kind, p, x) - target) ** 2).mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            if step in STEPS:
                np.save(OUT / f'{kind}_params_{step}.npy', flat(p))
        np.save(OUT / f'{kind}_out.npy', forward(kind, p, x).detach().numpy())
    print(torch.__version__, np.__version__)


if __name__ == '__main__':
    main()
