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

from torch_tasks import CATEGORIES, INPUTS, UNITS, embedded, link, total_loss, write_kinds

OUT = pathlib.Path(__file__).resolve().parent / 'torch_tabm'
MEMBERS = 3


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


def member(p, x, i, kind):
    """z by task of member i."""
    tabm = kind == 'tabm'
    h = embedded(p, x) * p['trunk.1.scale'][i]

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


def loss(p, x, y, kind):
    return sum(total_loss(member(p, x, i, kind), y) for i in range(MEMBERS)) / MEMBERS


def predictions(p, x, kind):
    return torch.stack([link(member(p, x, i, kind)) for i in range(MEMBERS)]).mean(0)


if __name__ == '__main__':
    write_kinds(OUT, 8, ('tabm', 'mini'), make_initial, loss, predictions)
