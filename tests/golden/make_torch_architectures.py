#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/torch_architectures/*.npy: trunks with experts and gates, computed by PyTorch in float64.

Made with Debian 12's python3-torch 1.13.0a0 and numpy 1.24.2: /usr/bin/python3 make_torch_architectures.py
Each expert is a network by itself, each gate a softmax, as Ma et al. 2018 and Tang et al. 2020 write them.
Tensors lie one after the other in the order of `initial`, weights as [in, out].
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from torch_tasks import CATEGORIES, INPUTS, UNITS, embedded, link, total_loss, write_kinds

OUT = pathlib.Path(__file__).resolve().parent / 'torch_architectures'
TASKS = ('fails', 'grade', 'hours')
WIDTH = 7
# experts of all tasks, of each; a gate; a gate after each layer
KINDS = {'single': (0, 1, False, False), 'mmoe': (3, 0, True, False), 'cgc': (2, 1, True, False),
         'ple': (2, 2, True, True), 'cross_stitch': (0, 1, False, True), 'soft': (0, 1, False, False),
         'adapter': (0, 1, False, False)}
LAMBDA, LOW = 0.3, 3


def streams(kind):
    """Prefixes of the experts' tensors in their order, with the task each belongs to."""
    shared, own, *_ = KINDS[kind]
    names = [(f'trunk.{{}}.expert{e}', None) for e in range(shared)]
    for t in TASKS:
        names += [(f'own.{{}}.expert{e}.{t}' if own > 1 else f'own.{{}}.{t}', t) for e in range(own)]
    return names


def make_initial(rng, kind):
    shared, own, gates, levels = KINDS[kind]
    n = lambda *shape: rng.standard_normal(shape)
    p, at = {'trunk.0.weight': n(CATEGORIES + 1, UNITS)}, 1

    def gate(number, width, last):
        if not last:
            p[f'trunk.{number}.gate.weight'] = 0.5 * n(width, shared)
            for t in TASKS:
                p[f'shared_gate.{number}.{t}.weight'] = 0.5 * n(width, own)
        for t in TASKS:
            p[f'gate.{number}.{t}.weight'] = 0.5 * n(width, shared + own)

    def heads():
        for t, outputs in zip(TASKS, (1, 3, 2)):
            rows = WIDTH
            if t == 'grade':
                p['tower0.grade.weight'], p['tower0.grade.bias'], rows = 0.5 * n(WIDTH, 4), 0.3 * n(4), 4
            p[f'head.{t}.weight'], p[f'head.{t}.bias'] = 0.5 * n(rows, outputs), 0.3 * n(outputs)
        return {name: v.astype(np.float32) for name, v in p.items()}

    width = INPUTS - 1 + UNITS
    if kind == 'adapter':
        p['trunk.1.weight'], p['trunk.1.bias'] = 0.5 * n(width, WIDTH), 0.3 * n(WIDTH)
        p['trunk.2.weight'], p['trunk.2.bias'] = 1 + 0.3 * n(WIDTH), 0.3 * n(WIDTH)
        p['trunk.3.weight'], p['trunk.3.bias'] = 0.5 * n(WIDTH, WIDTH), 0.3 * n(WIDTH)
        for number, shape in (4, (WIDTH, LOW)), (5, (LOW, WIDTH)):
            for t in TASKS:
                p[f'own.{number}.{t}.weight'], p[f'own.{number}.{t}.bias'] = 0.5 * n(*shape), 0.3 * n(shape[1])
        return heads()
    for name, _ in streams(kind):
        p[name.format(1) + '.weight'], p[name.format(1) + '.bias'] = 0.5 * n(width, WIDTH), 0.3 * n(WIDTH)
    for name, _ in streams(kind):  # layer norm
        p[name.format(2) + '.weight'], p[name.format(2) + '.bias'] = 1 + 0.3 * n(WIDTH), 0.3 * n(WIDTH)
    at = 3
    if levels and gates:
        gate(3, width, False)
        at = 4
    if kind == 'cross_stitch':
        for t in TASKS:
            p[f'stitch.3.{t}.weight'] = 0.3 * n(len(TASKS), 1)
        at = 4
    for name, _ in streams(kind):
        p[name.format(at) + '.weight'] = 0.5 * n(WIDTH, WIDTH)
        p[name.format(at) + '.bias'] = 0.3 * n(WIDTH)
    if gates:
        gate(at + 1, WIDTH if levels else width, True)
    if kind == 'cross_stitch':
        for t in TASKS:
            p[f'stitch.5.{t}.weight'] = 0.3 * n(len(TASKS), 1)
    return heads()


def features(p, x, kind):
    """By task."""
    shared, own, gates, levels = KINDS[kind]
    h = embedded(p, x)
    dense = lambda name, h: h @ p[name + '.weight'] + p[name + '.bias']

    def first(name, h):
        h = torch.relu(dense(name.format(1), h))
        return F.layer_norm(h, (WIDTH,), p[name.format(2) + '.weight'], p[name.format(2) + '.bias'], 1e-5)

    def second(name, number, h, residual):
        y = F.gelu(dense(name.format(number), h))
        return y + h if residual else y

    def mix(number, task, seen, experts):
        """Of a task, or of all (None)."""
        mine = [e for e, owner in zip(experts, streams(kind)) if task is None or owner[1] in (None, task)]
        if task is None:
            logits = torch.cat([seen @ p[f'trunk.{number}.gate.weight']] +
                               [seen @ p[f'shared_gate.{number}.{t}.weight'] for t in TASKS], 1)
        else:
            logits = seen @ p[f'gate.{number}.{task}.weight']
        chance = torch.softmax(logits, 1)
        return sum(chance[:, k:k + 1] * e for k, e in enumerate(mine))

    def stitch(number, h):
        return [h[i] + sum(p[f'stitch.{number}.{t}.weight'][s, 0] * h[s] for s in range(len(TASKS)))
                for i, t in enumerate(TASKS)]

    if kind == 'adapter':
        h = second('trunk.{}', 3, first('trunk.{}', h), True)
        return {t: h + dense(f'own.5.{t}', torch.relu(dense(f'own.4.{t}', h))) for t in TASKS}
    if kind == 'cross_stitch':
        h = stitch(3, [first(name, h) for name, _ in streams(kind)])
        h = stitch(5, [second(name, 4, h[i], True) for i, (name, _) in enumerate(streams(kind))])
        return dict(zip(TASKS, h))
    if levels:
        experts = [first(name, h) for name, _ in streams(kind)]
        state = {t: mix(3, t, h, experts) for t in (None, *TASKS)}
        experts = [second(name, 4, state[owner], False) for name, owner in streams(kind)]
        return {t: mix(5, t, state[t], experts) for t in TASKS}
    experts = [second(name, 3, first(name, h), True) for name, _ in streams(kind)]
    return {t: mix(4, t, h, experts) if gates else experts[i] for i, t in enumerate(TASKS)}


def outputs(p, x, kind):
    h = features(p, x, kind)
    h['grade'] = torch.tanh(h['grade'] @ p['tower0.grade.weight'] + p['tower0.grade.bias'])
    return {t: h[t] @ p[f'head.{t}.weight'] + p[f'head.{t}.bias'] for t in TASKS}


def predictions(p, x, kind):
    return link(outputs(p, x, kind))


def loss(p, x, y, kind):
    total = total_loss(outputs(p, x, kind), y)
    for name in [n for n in p if kind == 'soft' and n.startswith('own.') and '.fails.' in n]:
        each = torch.stack([p[name.replace('fails', t)] for t in TASKS])
        total = total + LAMBDA / 2 * ((each - each.mean(0)) ** 2).sum()
    return total


if __name__ == '__main__':
    write_kinds(OUT, 11, KINDS, make_initial, loss, predictions)
