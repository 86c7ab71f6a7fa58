#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write linear_models.h: small tables and scikit-learn's linear models of them.

    /usr/bin/python3 make_linear.py > linear_models.h

scikit-learn sees columns standardised by the rows' weights, with missing inputs at the mean and no
constant column; its weights are written for the columns as given. Its penalties are
alpha = lambda * sum of weights (Ridge), C = 1 / (lambda * sum of weights) (LogisticRegression) and
alpha = lambda (PoissonRegressor).
"""
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, RidgeCV

warnings.simplefilter('error')
rng = np.random.default_rng(20240923)
NAN = np.nan
LAMBDAS = [1.0, 0.03, 1e-4]


def f32(a):
    return np.asarray(a, dtype=np.float32).astype(np.float64)


def inputs(rows, cols):
    mix = rng.normal(size=(cols, cols)) / np.sqrt(cols)
    x = rng.normal(size=(rows, cols)) @ mix * rng.uniform(0.1, 30, cols) + rng.normal(size=cols) * 20
    return f32(x)


# Tall: a constant column, a copy, some missing inputs. Wide: more columns than rows.
tall, wide = inputs(40, 7), inputs(14, 30)
tall[:, 3] = 2.7
tall[:, 5] = tall[:, 1]
tall = f32(tall)
tall[3, 0] = tall[9, 2] = tall[10, 2] = NAN
tables = {'tall': tall, 'wide': wide}
weights = {'tall': f32(np.round(rng.uniform(0, 3, 40), 2)), 'wide': f32(np.round(rng.uniform(0.5, 2, 14), 2))}
weights['tall'][[4, 17]] = 0
labels = {}


def standardise(x, w):
    present = ~np.isnan(x)
    z = np.zeros_like(x)
    mean, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for j in range(x.shape[1]):
        p = present[:, j]
        mean[j] = np.average(x[p, j], weights=w[p])
        sd = np.sqrt(np.average((x[p, j] - mean[j]) ** 2, weights=w[p]))
        scale[j] = sd if sd > 1e-12 * abs(mean[j]) else np.inf
        z[p, j] = (x[p, j] - mean[j]) / scale[j]
    return z, mean, scale


for name, x in tables.items():
    z = standardise(x, np.ones(len(x)))[0]
    n = len(x)
    signal = z @ rng.normal(size=(z.shape[1], 4)) / np.sqrt(z.shape[1])
    values = 3 * signal[:, :2] + rng.normal(size=(n, 2)) * 0.5 + [10, -4]
    values[1:n:5, 1] = NAN
    labels[name, 'values'] = f32(values)
    binary = (signal[:, :2] + rng.normal(size=(n, 2)) * 0.4 > [[0.1, -0.3]]).astype(float)
    binary[2, 0] = NAN
    labels[name, 'binary'] = binary
    classes = np.argmax(signal[:, :3] + 0.5 * rng.normal(size=(n, 3)), axis=1).astype(float)
    classes[5] = NAN
    labels[name, 'classes'] = classes[:, None]
    labels[name, 'counts'] = rng.poisson(np.exp(0.5 + 0.4 * signal[:, :1])).astype(float)

cases = []


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


def model(family, lam, z, y, w):
    total = w.sum()
    if family == 'values':
        # Minimised exactly, also for columns that depend on each other.
        m = Ridge(alpha=lam * total, solver='cholesky' if z.shape[1] <= len(z) else 'svd', tol=1e-14)
    elif family == 'counts':
        m = PoissonRegressor(alpha=lam, tol=1e-13, max_iter=1000, solver='newton-cholesky')
    else:
        several = family == 'classes'
        m = LogisticRegression(C=1 / (lam * total), tol=1e-13, max_iter=10000,
                               solver='newton-cg' if several else 'newton-cholesky',
                               multi_class='multinomial' if several else 'ovr')
    m.fit(z, y, sample_weight=w)
    return polish(m, lam, z, y, w) if family == 'classes' else m


for (name, family), all_y in labels.items():
    for weighted in (False, True):
        for lam in LAMBDAS:
            outs = []
            for col in range(all_y.shape[1]):
                y = all_y[:, col]
                w = weights[name] if weighted else np.ones(len(y))
                rows = ~np.isnan(y) & (w > 0)
                y, w, x = y[rows], w[rows], tables[name][rows]
                z, mean, scale = standardise(x, w)
                warnings.simplefilter('ignore')
                m = model(family, lam, z, y, w)
                warnings.simplefilter('error')
                coef = np.atleast_2d(m.coef_) / scale
                bias = np.atleast_1d(m.intercept_) - coef @ mean
                if family == 'classes':  # their level is free
                    level = np.mean(np.atleast_1d(m.intercept_))
                    bias -= level
                loss = NAN
                if family == 'values':
                    cv = RidgeCV(alphas=[lam * w.sum()], store_cv_values=True).fit(z, y, sample_weight=w)
                    loss = cv.cv_values_.sum() / w.sum()
                outs.append((coef, bias, loss))
            coef = np.vstack([o[0] for o in outs]).T
            bias = np.concatenate([o[1] for o in outs])
            cases.append((name, family, weighted, lam, coef, bias, [o[2] for o in outs]))

# Mean losses of five folds that are given, at one lambda.
FOLD_LAMBDA = 0.03
fold = np.arange(40) % 5
held_out = []
for family in ('values', 'binary', 'classes', 'counts'):
    y = labels['tall', family][:, 0]
    rows = ~np.isnan(y)
    y, f = y[rows], fold[rows]
    w = np.ones(len(y))
    z = standardise(tables['tall'][rows], w)[0]
    losses = np.zeros(len(y))
    for k in range(5):
        out = f == k
        warnings.simplefilter('ignore')
        m = model(family, FOLD_LAMBDA, z[~out], y[~out], w[~out])
        warnings.simplefilter('error')
        if family in ('binary', 'classes'):
            p = m.predict_proba(z[out])
            losses[out] = -np.log(p[np.arange(len(p)), y[out].astype(int)])
        elif family == 'counts':
            mu = m.predict(z[out])
            losses[out] = mu - y[out] * np.log(mu)
        else:
            losses[out] = (m.predict(z[out]) - y[out]) ** 2
    held_out.append((family, losses.mean(), losses.std(ddof=1) / np.sqrt(len(losses))))


def number(v):
    return 'NAN' if np.isnan(v) else repr(float(v))


def number32(v):
    return 'NAN' if np.isnan(v) else (lambda t: (t if '.' in t or 'e' in t else t + '.0') + 'f')('%.9g' % v)


def flat32(v):
    return ', '.join(number32(x) for x in np.ravel(v))


def flat(v):
    return ', '.join(number(x) for x in np.ravel(v))


print('/* SPDX-License-Identifier: MIT */')
print(f'/* Made by make_linear.py with scikit-learn {sklearn.__version__} and numpy {np.__version__}. */')
print('/* clang-format off */')
for name, x in tables.items():
    print(f'static const float linear_{name}_x[] = {{{flat32(x)}}};')
    print(f'static const float linear_{name}_w[] = {{{flat32(weights[name])}}};')
for (name, family), y in labels.items():
    print(f'static const float linear_{name}_{family}[] = {{{flat32(y)}}};')
print('static const struct linear_case {\n    const char *table, *family;\n    int is_weighted;\n'
      '    double lambda, weights[90], bias[3], loss[3];\n} linear_cases[] = {')
for name, family, weighted, lam, coef, bias, loss in cases:
    print(f'    {{"{name}", "{family}", {int(weighted)}, {lam!r}, {{{flat(coef)}}}, {{{flat(bias)}}}, {{{flat(loss)}}}}},')
print('};')
print(f'#define LINEAR_FOLD_LAMBDA {FOLD_LAMBDA!r}')
print('static const struct linear_fold {\n    const char *family;\n    double loss, standard_error;\n} linear_folds[] = {')
for family, loss, error in held_out:
    print(f'    {{"{family}", {loss!r}, {error!r}}},')
print('};')
