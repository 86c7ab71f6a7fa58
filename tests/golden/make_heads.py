#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/heads.h: exact heads in float64, minimised by SciPy; scikit-learn's Ridge beside.

Run with Debian's python3-scipy, python3-sklearn and python3-numpy: /usr/bin/python3 make_heads.py
"""
import pathlib

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

PENALTIES = [3, 1, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0001]


def standardise(phi):
    mean, scale = phi.mean(0), phi.std(0)
    scale = np.where(scale > 1e-6 * (1e-6 + abs(mean)), scale, np.inf)
    return mean, scale * np.sqrt(phi.shape[1])


def objective(flat, psi, y, w, kind, penalty):
    n, c = y.shape
    b = flat.reshape(c, -1)
    z = psi @ b[:, :-1].T + b[:, -1]
    if kind == 'MULTICLASS':
        top = z.max(1, keepdims=True)
        lse = top + np.log(np.exp(z - top).sum(1, keepdims=True))
        loss = (lse[:, 0] - (z * y).sum(1)) * w
        d = (np.exp(z - lse) - y) * w[:, None]
    else:
        loss = ((np.logaddexp(0, z) - z * y) * w[:, None]).sum(1)
        d = (1 / (1 + np.exp(-z)) - y) * w[:, None]
    free, c = b[:, -1], len(b)  # half a row of each class at the features' means
    if kind == 'MULTICLASS':
        halves = c / 2 * (np.logaddexp.reduce(free) - free.mean())
        of_halves = c / 2 * (np.exp(free - np.logaddexp.reduce(free)) - 1 / c)
    else:
        halves = (np.logaddexp(0, free) - free / 2).sum()
        of_halves = 1 / (1 + np.exp(-free)) - 0.5
    value = loss.sum() + penalty / 2 * (b[:, :-1] ** 2).sum() + halves
    grad = np.hstack([d.T @ psi + penalty * b[:, :-1], (d.sum(0) + of_halves)[:, None]])
    return value, grad.ravel()


def solve(phi, y, w, kind, penalty):
    mean, scale = standardise(phi)
    psi = (phi - mean) / scale
    w = w / w.mean()
    penalty = penalty * len(phi)
    if kind == 'REGRESSION':
        model = Ridge(alpha=penalty, solver='svd', tol=1e-14).fit(psi, y, sample_weight=w)
        b = np.hstack([model.coef_.reshape(y.shape[1], -1), model.intercept_.reshape(-1, 1)])
    else:
        start = np.zeros(y.shape[1] * (phi.shape[1] + 1))
        found = minimize(objective, start, (psi, y, w, kind, penalty), 'L-BFGS-B', jac=True,
                         options={'ftol': 1e-16, 'gtol': 1e-11, 'maxiter': 20000})
        b = found.x.reshape(y.shape[1], -1)
    weights = b[:, :-1] / scale
    return np.hstack([weights, (b[:, -1] - weights @ mean)[:, None]])


def array(values, is_float):
    text = [np.format_float_positional(v, unique=True, trim='0') + ('f' if is_float else '')
            for v in np.ravel(values)]
    return ', '.join(text)


def main():
    r = np.random.default_rng(5)
    out = ['/* SPDX-License-Identifier: MIT */',
           f'/* Written by make_heads.py with SciPy {scipy.__version__}, scikit-learn '
           f'{sklearn.__version__}, NumPy {np.__version__}. Do not edit. */', '', '/* clang-format off */']
    table = []
    cases = [('REGRESSION', 14, 3, 2, False), ('REGRESSION', 6, 9, 1, False),
             ('REGRESSION', 14, 3, 1, True), ('BINARY', 15, 4, 1, False),
             ('MULTILABEL', 12, 3, 2, False), ('MULTICLASS', 18, 3, 3, False),
             ('BINARY', 7, 10, 1, False), ('MULTICLASS', 18, 3, 3, True)]
    for i, (kind, n, p, c, weighted) in enumerate(cases):
        phi = np.float32(r.standard_normal((n, p)) * r.uniform(0.5, 3, p) + r.standard_normal(p))
        z = phi @ r.standard_normal((p, c)) + r.standard_normal((n, c))
        y = {'REGRESSION': z, 'MULTICLASS': np.eye(c)[z.argmax(1)]}.get(kind, z > np.median(z))
        y = np.float32(y)
        w = np.float32(r.integers(1, 5, n) / 2 if weighted else np.ones(n))
        for k in (1, 5):
            b = solve(np.float64(phi), np.float64(y), np.float64(w), kind, PENALTIES[k])
            tag = f'{i}_{k}'
            out += [f'static const float golden_head_phi_{tag}[] = {{{array(phi, True)}}};',
                    f'static const float golden_head_y_{tag}[] = {{{array(y, True)}}};',
                    f'static const float golden_head_w_{tag}[] = {{{array(w, True)}}};',
                    f'static const double golden_head_b_{tag}[] = {{{array(b, False)}}};']
            table.append(f'    {{MTL_{kind}, {n}, {p}, {c}, {k}, golden_head_phi_{tag}, golden_head_y_{tag}, '
                         f'{f"golden_head_w_{tag}" if weighted else "NULL"}, golden_head_b_{tag}}},')
    out += ['', 'static const struct golden_head {', '    int32_t kind;',
            '    int64_t rows, cols, outputs, penalty;', '    const float *phi, *y, *w;',
            '    const double *b; /* [outputs, cols + 1] */', '} golden_heads[] = {', *table, '};', '']
    path = pathlib.Path(__file__).resolve().parent / 'heads.h'
    text = '\n'.join(out)
    for name in {l.split()[3].split('[')[0] for l in out if l.startswith('static const float golden_head_w')}:
        if text.count(name) == 1:
            text = '\n'.join(l for l in text.split('\n') if name + '[' not in l)
    path.write_text(text)


if __name__ == '__main__':
    main()
