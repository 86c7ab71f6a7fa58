#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch_rows/*.npy: a net in the NTK parametrisation with scaled inputs and a last layer of
zeros, trained by AdamW with rates of its own for biases and scale and a decay that ends, as RealMLP-TD-S
does it; and nets with parametric activations, x + a (f(x) - x), trained by plain descent, a at a tenth of
the rate; computed by PyTorch in float64.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch_rows.py
The weights that are written are W / sqrt(in). Tensors lie one after the other in the order of `p`.
"""

import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from torch_tasks import flat

OUT = pathlib.Path(__file__).resolve().parent / 'torch_rows'
ROWS, INPUTS, UNITS, STEPS = 24, 5, 7, 10
RATE, DECAY = 0.04, 0.3


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(11)
    torch.set_num_threads(1)
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    y = rng.standard_normal((ROWS, 2)).astype(np.float32)
    start = {'scale': np.ones((1, INPUTS)),
             'w0': rng.standard_normal((INPUTS, UNITS)), 'b0': 0.3 * rng.standard_normal(UNITS),
             'w1': rng.standard_normal((UNITS, UNITS)), 'b1': 0.3 * rng.standard_normal(UNITS),
             'w2': np.zeros((UNITS, 2)), 'b2': np.zeros(2)}
    fan = lambda n, v: math.sqrt(v.shape[0]) if n[0] == 'w' else 1
    # What is given to the library is float32, so PyTorch starts from what that is.
    given = {n: (v / fan(n, v)).astype(np.float32) for n, v in start.items()}
    p = {n: torch.tensor(v.astype(np.float64) * fan(n, v), requires_grad=True) for n, v in given.items()}
    rate = lambda n: RATE * {'s': 6, 'w': 1, 'b': 0.1}[n[0]]
    adam = torch.optim.AdamW([{'params': [p[n]], 'lr': rate(n), 'decays': n[0] == 'w', 'weight_decay': 0}
                              for n in p], betas=(0.9, 0.95), eps=1e-12)
    written = lambda: flat({n: v / fan(n, v) for n, v in p.items()})
    np.save(OUT / 'x.npy', x)
    np.save(OUT / 'y.npy', y)
    np.save(OUT / 'params_0.npy', written().astype(np.float32))
    for step in range(STEPS):
        t = step / STEPS
        for g in adam.param_groups:  # flat_cos
            share = 1 if t <= 0.5 else (1 + math.cos(math.pi * (t - 0.5) / 0.5)) / 2
            g['weight_decay'] = DECAY * share if g['decays'] else 0
        h = torch.tensor(x, dtype=torch.float64) * p['scale']
        h = F.mish(h @ p['w0'] / math.sqrt(INPUTS) + p['b0'])
        h = F.mish(h @ p['w1'] / math.sqrt(UNITS) + p['b1'])
        z = h @ p['w2'] / math.sqrt(UNITS) + p['b2']
        loss = ((z - torch.tensor(y, dtype=torch.float64)) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    np.save(OUT / f'params_{STEPS}.npy', written())
    for name, f in [('relu', torch.relu), ('tanh', torch.tanh), ('mish', F.mish)]:
        parametric(rng, x, y, name, f)
    print(torch.__version__, np.__version__)


def parametric(rng, x, y, name, f):
    given = {'w0': 0.5 * rng.standard_normal((INPUTS, UNITS)), 'b0': 0.3 * rng.standard_normal(UNITS),
             'a0': 1 + 0.5 * rng.standard_normal((1, UNITS)),
             'w1': 0.5 * rng.standard_normal((UNITS, UNITS)), 'b1': 0.3 * rng.standard_normal(UNITS),
             'a1': 1 + 0.5 * rng.standard_normal((1, UNITS)),
             'w2': 0.5 * rng.standard_normal((UNITS, 2)), 'b2': np.zeros(2)}
    given = {n: v.astype(np.float32) for n, v in given.items()}
    p = {n: torch.tensor(v.astype(np.float64), requires_grad=True) for n, v in given.items()}
    descent = torch.optim.SGD([{'params': [p[n]], 'lr': 0.1 * (0.1 if n[0] == 'a' else 1)} for n in p], lr=0.1)
    np.save(OUT / f'{name}_params_0.npy', np.concatenate([v.ravel() for v in given.values()]))
    for step in range(STEPS):
        h = torch.tensor(x, dtype=torch.float64)
        for i in '01':
            u = h @ p['w' + i] + p['b' + i]
            h = u + p['a' + i] * (f(u) - u)
        loss = ((h @ p['w2'] + p['b2'] - torch.tensor(y, dtype=torch.float64)) ** 2).mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
    np.save(OUT / f'{name}_params_{STEPS}.npy', flat(p))


if __name__ == '__main__':
    main()
