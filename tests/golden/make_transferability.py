#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write transferability.h: small tables and their scores, worked out with NumPy, SciPy and scikit-learn.

    /usr/bin/python3 make_transferability.py > transferability.h

LogME is the maximum, by a search, of the density of a normal distribution with the covariance that the
model has, from determinants and solved systems; no eigenvalues. H-score inverts scikit-learn's LedoitWolf. TransRate takes
determinants. The probe refits scikit-learn's models without each row.
"""
import warnings

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression, RidgeCV

warnings.simplefilter('ignore')
rng = np.random.default_rng(20250214)
NAN = np.nan


def f32(a):
    return np.asarray(a, dtype=np.float32).astype(np.float64)


arrays, cases = {}, []


def table(name, a):
    arrays[name] = f32(a)
    return arrays[name]


def case(kind, x, y, classes, rows, cols, label_cols, value):
    cases.append((kind, x, y, classes, rows, cols, label_cols, float(value)))


def evidence(f, y, log_ratio, bound):
    """Of the best b for a ratio a / b: y is normal with covariance (I + F F' b / a) / b."""
    n = len(y)
    c = np.eye(n) + f @ f.T / np.exp(log_ratio)
    form = y @ np.linalg.solve(c, y)
    b = min(n / form, bound)
    return 0.5 * (n * np.log(b / (2 * np.pi)) - np.linalg.slogdet(c)[1] - b * form)


def logme_column(f, y):
    bound = 1e6 / np.mean(y ** 2)  # of b
    low, high = np.log(np.linalg.norm(f, 2) ** 2) + np.log([1e-12, 1e12])
    fn = lambda t: -evidence(f, y, t, bound)
    grid = np.linspace(low, high, 100)
    at = grid[np.argmin([fn(t) for t in grid])]
    best = minimize_scalar(fn, bounds=(max(at - 0.6, low), min(at + 0.6, high)), method='bounded',
                           options={'xatol': 1e-9})
    return -best.fun / len(y)


def one_hot(y, classes):
    return [(y == c).astype(float) for c in range(classes) if (y == c).any()]


def h_score(f, y, shrink=None):
    f = f - f.mean(axis=0)
    n, d = f.shape
    means = np.array([f[y == c].mean(axis=0) for c in y])
    between = means.T @ means / n
    if shrink is None:
        lw = LedoitWolf(assume_centered=True).fit(f)
        cov, shrink = lw.covariance_, lw.shrinkage_
    else:
        s = f.T @ f / n
        cov = (1 - shrink) * s + shrink * np.trace(s) / d * np.eye(d)
    return (1 - shrink) * np.trace(np.linalg.pinv(cov, rcond=1e-11) @ between)


def transrate(f, y, eps=1e-4, scale=True):
    f = f - f.mean(axis=0)
    if scale:
        sd = f.std(axis=0)
        f = f / np.where(sd > 0, sd, np.inf)

    def rate(z):
        n, d = z.shape
        return 0.5 * np.linalg.slogdet(np.eye(d) + z.T @ z / (n * eps))[1]
    return rate(f) - np.mean([rate(f[y == c]) for c in np.unique(y)])


def leep(p, y, classes):
    n = len(y)
    joint = np.array([p[y == c].sum(axis=0) / n for c in range(classes)])
    mass = joint.sum(axis=0)
    given = np.divide(joint, mass, where=mass > 0, out=np.zeros_like(joint))
    return np.mean([np.log(given[int(y[i])] @ p[i]) for i in range(n)])


def nce(p, y, classes):
    z, n, h = p.argmax(axis=1), len(y), 0.0
    for k in np.unique(z):
        for c in range(classes):
            count = np.sum((z == k) & (y == c))
            if count:
                h -= count / n * np.log(count / np.sum(z == k))
    return -h


def standard(f):
    sd = f.std(axis=0)
    return (f - f.mean(axis=0)) / np.where(sd > 1e-9, sd, np.inf)


def probe_values(f, y):
    lam = 10.0 ** (4 - np.arange(21) / 2)
    m = RidgeCV(alphas=lam * len(y), store_cv_values=True).fit(standard(f), y)
    return 1 - m.cv_values_.mean(axis=0).min() / y.var()


def polish(m, lam, z, y, w):
    """Newton steps on all of a softmax model, since scikit-learn's solvers stop short of the minimum."""
    a = np.hstack([z, np.ones((len(z), 1))])
    k, c = a.shape[1], len(m.classes_)
    theta = np.vstack([m.coef_.T, m.intercept_])
    penalty = lam * np.diag(np.append(np.ones(k - 1), 0))
    w = w / w.sum()
    for _ in range(20):
        u = a @ theta
        p = np.exp(u - u.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        grad = a.T @ (w[:, None] * (p - (y[:, None] == m.classes_))) + penalty @ theta
        hess = np.zeros((k, c, k, c))
        for i in range(c):
            for j in range(c):
                h = w * p[:, i] * ((i == j) - p[:, j])
                hess[:, i, :, j] = (a * h[:, None]).T @ a + (penalty if i == j else 0)
        step = np.linalg.lstsq(hess.reshape(k * c, k * c), grad.ravel(), rcond=1e-14)[0]
        theta -= step.reshape(k, c)
    assert np.abs(step).max() < 1e-10
    m.coef_, m.intercept_ = theta[:-1].T, theta[-1]
    return m


def probe_classes(f, y, classes):
    """Down to the penalty below which things get worse; the library's list goes on to 1e-5."""
    z, n, scores = standard(f), len(y), []
    for lam in 10.0 ** np.arange(3, -3, -1.0):
        total = 0
        for i in range(n):
            keep = np.arange(n) != i
            m = LogisticRegression(C=1 / (lam * (n - 1)), tol=1e-9, max_iter=300,
                                   solver='lbfgs' if classes > 2 else 'newton-cholesky',
                                   multi_class='multinomial' if classes > 2 else 'ovr').fit(z[keep], y[keep])
            if classes > 2:
                m = polish(m, lam, z[keep], y[keep], np.ones(n - 1))
            total += m.predict_log_proba(z[i:i + 1])[0, int(y[i])]
        scores.append(total / n)
    assert np.argmax(scores) < len(scores) - 2, scores
    return max(scores)


for name, n, d in (('tall', 60, 6), ('wide', 18, 40), ('square', 24, 24)):
    x = table(f'{name}_x', np.maximum(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + 0.3, 0))
    if name == 'tall':  # a constant column
        x[:, 2] = arrays['tall_x'][:, 2] = 0.75
    signal = standard(x) @ rng.normal(size=(d, 3)) / np.sqrt(d)
    y = np.argmax(signal + 0.4 * rng.normal(size=(n, 3)), axis=1).astype(float)
    y = table(f'{name}_class', y)
    two = table(f'{name}_two', (signal[:, 0] + 0.6 * rng.normal(size=n) > 0).astype(float))
    v = table(f'{name}_value', signal[:, :2] * [2, 30] + rng.normal(size=(n, 2)) * [0.7, 5] + [1, -20])
    for kind, value in (
            ('logme', np.mean([logme_column(x, c) for c in one_hot(y, 3)])),
            ('h_score', h_score(x, y)), ('h_score:shrinkage=0', h_score(x, y, 0.0)),
            ('h_score:shrinkage=0.25', h_score(x, y, 0.25)),
            ('transrate', transrate(x, y)), ('transrate:eps=0.1,scale=0', transrate(x, y, 0.1, False))):
        case(kind, f'{name}_x', f'{name}_class', 3, n, d, 1, value)
    # A class that no row is of changes nothing.
    case('transrate', f'{name}_x', f'{name}_class', 5, n, d, 1, transrate(x, y))
    case('h_score', f'{name}_x', f'{name}_class', 5, n, d, 1, h_score(x, y))
    case('logme', f'{name}_x', f'{name}_value', 0, n, d, 2, np.mean([logme_column(x, v[:, k]) for k in (0, 1)]))
    case('cv_probe', f'{name}_x', f'{name}_value', 0, n, d, 2, np.mean([probe_values(x, v[:, k]) for k in (0, 1)]))
    if name != 'tall':
        case(f'cv_probe:folds={n}', f'{name}_x', f'{name}_class', 3, n, d, 1, probe_classes(x, y, 3))
        case(f'cv_probe:folds={n}', f'{name}_x', f'{name}_two', 2, n, d, 1, probe_classes(x, two, 2))

# Probabilities, a source class with no mass and one that is never the likeliest among them.
n = 50
y = table('p_class', rng.integers(0, 3, n))
p = softmax(2 * np.eye(5)[rng.permutation(5)[y.astype(int)]] + rng.normal(size=(n, 5)), axis=1)
p[:, 3] = 0
p = table('p_x', p / p.sum(axis=1, keepdims=True))
one = table('p_one', rng.uniform(size=(n, 1)).round(2))
for kind, fn in (('leep', leep), ('nce', nce)):
    for classes in (3, 4):
        case(kind, 'p_x', 'p_class', classes, n, 5, 1, fn(p, y, classes))
    case(kind, 'p_one', 'p_class', 3, n, 1, 1, fn(np.hstack([1 - one, one]), y, 3))


def number32(x):
    return 'NAN' if np.isnan(x) else '%sf' % repr(float('%.9g' % x))


print('/* SPDX-License-Identifier: MIT */')
print('/* Written by make_transferability.py with NumPy %s, SciPy %s, scikit-learn %s. Do not edit. */'
      % (np.__version__, scipy.__version__, sklearn.__version__))
print('/* clang-format off */')
for name, a in arrays.items():
    print('static const float %s[] = {' % name)
    texts = [number32(x) for x in a.ravel()]
    for i in range(0, len(texts), 10):
        print('    %s,' % ', '.join(texts[i:i + 10]))
    print('};')
print('static const struct golden_score {\n    const char *kind;\n    const float *x, *y;')
print('    int classes, rows, cols, label_cols;\n    double value;\n} golden_scores[] = {')
for kind, x, y, classes, rows, cols, label_cols, value in cases:
    print('    {"%s", %s, %s, %d, %d, %d, %d, %r},' % (kind, x, y, classes, rows, cols, label_cols, value))
print('};')
