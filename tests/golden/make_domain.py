#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write domains.h: features of two parts and how far these lie apart, worked out with NumPy.

    /usr/bin/python3 make_domain.py > domains.h

CORAL from the two covariance matrices, MMD from the whole kernel matrix.
"""
import sys

import numpy as np

rng = np.random.default_rng(20251125)


def coral(a, b):
    apart = np.cov(a, rowvar=False).reshape(a.shape[1], -1) - np.cov(b, rowvar=False).reshape(
        b.shape[1], -1)
    return (apart ** 2).sum() / (4 * a.shape[1] ** 2)


def mmd(a, b):
    x = np.vstack([a, b])
    square = ((x[:, None] - x[None]) ** 2).sum(2)
    width = square[~np.eye(len(x), dtype=bool)].mean()
    k = sum(np.exp(-square / (2 * f * width)) for f in (.5, 1, 2))
    n = len(a)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


print('/* SPDX-License-Identifier: MIT */')
print(f'/* Written by make_domain.py with Python {sys.version.split()[0]}, NumPy {np.__version__}. */')
rows = []
for i, (n, m, d) in enumerate([(5, 4, 3), (2, 9, 1), (12, 7, 6), (3, 3, 20), (8, 8, 4)]):
    x = np.vstack([rng.normal(size=(n, d)), 1.5 * rng.normal(size=(m, d)) + 10 * (i == 4) + .5])
    x = x.astype(np.float32)
    print(f'static const float domain_x{i}[] = {{' + ', '.join(f'{float(v)!r}f' for v in x.ravel()) +
          '};')
    a, b = x[:n].astype(float), x[n:].astype(float)
    rows.append(f'    {{{n + m}, {n}, {d}, domain_x{i}, {coral(a, b)!r}, {mmd(a, b)!r}}},')
print('static const struct {\n    int rows, split, cols;\n    const float *x;\n'
      '    double coral, mmd;\n} golden_domains[] = {\n' + '\n'.join(rows) + '\n};')
