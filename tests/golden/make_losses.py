#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/losses.h: losses with parameters, weights and masks, computed in float64 by PyTorch.

Run with Debian's python3-torch, python3-sklearn and python3-numpy: /usr/bin/python3 make_losses.py
Where scikit-learn has the loss too (deviances, pinball) the script holds PyTorch's value against it.
"""

import pathlib

import numpy as np
import sklearn
import sklearn.metrics as skm
import torch
from torch.nn import functional as F

ROWS = 21


def focal_binary(z, y, gamma, alpha):
    p = torch.sigmoid(z)
    p_t = p * y + (1 - p) * (1 - y)
    alpha_t = alpha * y + (1 - alpha) * (1 - y)
    ce = F.binary_cross_entropy_with_logits(z, y, reduction='none')
    return alpha_t * (1 - p_t) ** gamma * ce


def focal_classes(z, y, gamma):
    ce = F.cross_entropy(z, y[:, 0].long(), reduction='none')[:, None]
    return (1 - torch.exp(-ce)) ** gamma * ce


def smoothed_binary(z, y, smoothing, positive_weight):
    return F.binary_cross_entropy_with_logits(z, y * (1 - smoothing) + smoothing / 2, reduction='none',
                                              pos_weight=torch.tensor(positive_weight, dtype=z.dtype))


def smoothed_classes(z, y, smoothing):
    return F.cross_entropy(z, y[:, 0].long(), reduction='none', label_smoothing=smoothing)[:, None]


def ordinal(z, y):
    steps = torch.cat([z[:, 1:2], F.softplus(z[:, 2:])], 1)
    below = torch.sigmoid(torch.cumsum(steps, 1) - z[:, :1])
    one, none = torch.ones_like(z[:, :1]), torch.zeros_like(z[:, :1])
    p = torch.cat([below, one], 1) - torch.cat([none, below], 1)
    return -torch.log(torch.gather(p, 1, y.long()))


def quantile(z, y, levels):
    q = torch.cumsum(torch.cat([z[:, :1], F.softplus(z[:, 1:])], 1), 1)
    levels = torch.tensor(levels, dtype=z.dtype)
    loss = torch.maximum(levels * (y - q), (levels - 1) * (y - q))
    for j, level in enumerate(levels):
        theirs = skm.mean_pinball_loss(y[:, 0].numpy(), q[:, j].detach().numpy(), alpha=float(level))
        assert abs(theirs - loss[:, j].mean().item()) < 1e-12
    return loss.mean(1, keepdim=True)


def tweedie(z, y, power):
    if power == 1:
        loss = F.poisson_nll_loss(z, y, log_input=True, full=False, reduction='none')
        rest = torch.xlogy(y, y) - y
    elif power == 2:
        loss, rest = z + y * torch.exp(-z), -torch.log(y) - 1
    else:
        loss = torch.exp((2 - power) * z) / (2 - power) - y * torch.exp((1 - power) * z) / (1 - power)
        rest = y ** (2 - power) / ((1 - power) * (2 - power))
    half = loss + rest
    theirs = skm.mean_tweedie_deviance(y.numpy().ravel(), torch.exp(z).detach().numpy().ravel(), power=power)
    assert abs(2 * half.mean().item() - theirs) < 1e-10 * max(1, theirs)
    return loss


# name: (kind, outputs, kind of label, quantiles, loss of each label)
CASES = {
    'binary_cross_entropy:smoothing=0.1,positive_weight=3': (
        'BINARY', 1, 'bit', None, lambda z, y: smoothed_binary(z, y, 0.1, 3.0)),
    'binary_cross_entropy:positive_weight=0.25': (
        'MULTILABEL', 3, 'bit', None, lambda z, y: smoothed_binary(z, y, 0.0, 0.25)),
    'binary_cross_entropy': ('MULTILABEL', 3, 'bit', None, lambda z, y: smoothed_binary(z, y, 0.0, 1.0)),
    'focal': ('BINARY', 1, 'bit', None, lambda z, y: focal_binary(z, y, 2, 0.25)),
    'focal:gamma=0.5,alpha=0.6': ('MULTILABEL', 3, 'bit', None, lambda z, y: focal_binary(z, y, 0.5, 0.6)),
    'cross_entropy:smoothing=0.1': ('MULTICLASS', 4, 'class', None, lambda z, y: smoothed_classes(z, y, 0.1)),
    'cross_entropy:smoothing=0.3': ('MULTICLASS', 33, 'class', None, lambda z, y: smoothed_classes(z, y, 0.3)),
    'cross_entropy': ('MULTICLASS', 4, 'class', None, lambda z, y: smoothed_classes(z, y, 0.0)),
    'focal:gamma=2': ('MULTICLASS', 4, 'class', None, lambda z, y: focal_classes(z, y, 2)),
    'focal:gamma=0.5': ('MULTICLASS', 33, 'class', None, lambda z, y: focal_classes(z, y, 0.5)),
    'focal:gamma=0': ('MULTICLASS', 3, 'class', None, lambda z, y: smoothed_classes(z, y, 0.0)),
    'ordinal': ('MULTICLASS', 5, 'class', None, ordinal),
    'squared_error': ('REGRESSION', 2, 'value', None, lambda z, y: (z - y) ** 2),
    'absolute_error': ('REGRESSION', 2, 'value', None, lambda z, y: F.l1_loss(z, y, reduction='none')),
    'huber': ('REGRESSION', 2, 'value', None, lambda z, y: F.huber_loss(z, y, reduction='none')),
    'huber:delta=0.3': ('REGRESSION', 1, 'value', None, lambda z, y: F.huber_loss(z, y, reduction='none', delta=0.3)),
    'log_cosh': ('REGRESSION', 2, 'value', None, lambda z, y: torch.logaddexp(z - y, y - z) - np.log(2)),
    'poisson': ('COUNT', 2, 'count', None, lambda z, y: tweedie(z, y, 1)),
    'gamma': ('COUNT', 1, 'amount', None, lambda z, y: tweedie(z, y, 2)),
    'tweedie': ('COUNT', 1, 'count', None, lambda z, y: tweedie(z, y, 1.5)),
    'tweedie:power=1.2': ('COUNT', 2, 'count', None, lambda z, y: tweedie(z, y, 1.2)),
    'quantile': ('QUANTILE', 3, 'value', None, lambda z, y: quantile(z, y, [0.25, 0.5, 0.75])),
    'quantile ': ('QUANTILE', 4, 'value', [0.05, 0.3, 0.5, 0.9],
                  lambda z, y: quantile(z, y, np.float32([0.05, 0.3, 0.5, 0.9]).astype(float))),
}


def labels(rng, kind, outputs):
    one = kind in ('class',) or outputs == 1
    shape = (ROWS, 1 if one else outputs)
    return {'bit': lambda: rng.integers(0, 2, shape),
            'class': lambda: rng.integers(0, outputs, (ROWS, 1)),
            'value': lambda: rng.standard_normal(shape) * 2,
            'count': lambda: rng.poisson(2.0, shape),
            'amount': lambda: rng.gamma(2.0, 1.0, shape) + 0.01}[kind]().astype(np.float32)


def case(rng, text):
    kind, outputs, label_kind, quantiles, loss_of = CASES[text]
    z = (rng.standard_normal((ROWS, outputs)) * 2).astype(np.float32)
    y = labels(rng, label_kind, 1 if kind == 'QUANTILE' else outputs)
    w = (rng.integers(0, 9, y.shape) / 4).astype(np.float32)
    tz = torch.tensor(z.astype(np.float64), requires_grad=True)
    loss = loss_of(tz, torch.tensor(y.astype(np.float64)))
    assert loss.shape == y.shape, text
    missing = rng.random(y.shape) < 0.25
    total = (torch.where(torch.tensor(missing), torch.zeros_like(loss), loss) * torch.tensor(w.astype(np.float64))).sum()
    total.backward()
    y[missing] = np.nan
    return z, y, w, quantiles, total.item(), tz.grad.numpy()


def array(values, single):
    def text(v):
        return 'NAN' if np.isnan(v) else np.format_float_positional(v, unique=True, trim='0') + ('f' if single else '')
    return ', '.join(text(v) for v in np.asarray(values).ravel())


def main():
    rng = np.random.default_rng(7)
    torch.set_num_threads(1)
    out = ['/* SPDX-License-Identifier: MIT */',
           f'/* Written by make_losses.py with PyTorch {torch.__version__}, scikit-learn {sklearn.__version__}, '
           f'NumPy {np.__version__}. Do not edit. */', '#include <math.h>', '',
           '/* clang-format off */', f'enum {{ GOLDEN_LOSS_ROWS = {ROWS} }};', '']
    table = []
    for i, text in enumerate(CASES):
        z, y, w, quantiles, value, grad = case(rng, text)
        kind, outputs = CASES[text][:2]
        for name, values in (('z', z), ('y', y), ('w', w)):
            out.append(f'static const float golden_loss_{name}_{i}[] = {{{array(values, True)}}};')
        out.append(f'static const double golden_loss_g_{i}[] = {{{array(grad, False)}}};')
        q = 'NULL'
        if quantiles:
            q = f'golden_loss_q_{i}'
            out.append(f'static const float {q}[] = {{{array(np.float32(quantiles), True)}}};')
        table.append(f'    {{"{text.strip()}", MTL_{kind}, {outputs}, {y.shape[1]}, golden_loss_z_{i}, golden_loss_y_{i}, '
                     f'golden_loss_w_{i}, {q}, {value!r}, golden_loss_g_{i}}},')
    out += ['', 'static const struct golden_loss {', '    const char *text;', '    int32_t kind;',
            '    int64_t outputs, label_cols;', '    const float *z, *y, *w, *quantiles;',
            '    double value;    /* sum of weight * loss */', '    const double *g; /* its gradient */',
            '} golden_losses[] = {', *table, '};', '']
    path = pathlib.Path(__file__).resolve().parent / 'losses.h'
    path.write_text('\n'.join(out))


if __name__ == '__main__':
    main()
