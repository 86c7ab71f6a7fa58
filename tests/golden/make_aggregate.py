#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write aggregation.h: gradients and losses, and what other solvers make of them.

    /usr/bin/python3 make_aggregate.py > aggregation.h

Quadratic programs are solved by scipy's nnls, CAGrad by SLSQP in the space of the update (the dual of
what the library solves), the bargaining equations by scipy.optimize.root in logarithms, pseudo-inverses
and roots by numpy, losses' weights by torch's autograd and Adam.
"""
import itertools
import sys

import numpy as np
import scipy
import torch
from scipy.optimize import minimize, nnls, root

rng = np.random.default_rng(20240613)
NAN = np.nan
arrays, cases = {}, []  # arrays: text of the values to name


def floats(a, kind='float'):
    values = ', '.join('NAN' if np.isnan(v) else ('%.9g' if kind == 'float' else '%.12g') % v
                       for v in np.ravel(a))
    return arrays.setdefault((kind, values), f'golden_{len(arrays)}')


def case(kind, jacobians, losses, feedback, weights, update):
    """One case: arrays [steps, m, n] and [steps, m]; weights None = not compared."""
    jacobians = np.asarray(jacobians, dtype=np.float32)
    steps, m, n = jacobians.shape
    names = [floats(jacobians)]
    names += ['NULL' if a is None else floats(a, 'double') for a in (losses, feedback, weights, update)]
    cases.append(f'    {{"{kind}", {steps}, {m}, {n}, {", ".join(names)}}},')


def one(kind, j, weights=None, update=None, losses=None):
    if update is None:
        update = np.asarray(weights) @ j
    case(kind, [j], None if losses is None else [losses], None,
         None if weights is None else [weights], update)


# --- solvers ---------------------------------------------------------------------------------------

def mgda(j, lengths=None):
    u = j / np.linalg.norm(j, axis=1)[:, None]
    lengths = np.linalg.norm(j, axis=1) if lengths is None else lengths
    r = lengths.min() / lengths
    x, _ = nnls(np.vstack([u.T, r]), np.r_[np.zeros(j.shape[1]), 1], maxiter=10000)
    w = x * r
    return w / w.sum()


def project(j, g):
    """The nearest to g with J x >= 0: g less its part in the polar cone (Moreau)."""
    u = j / np.linalg.norm(j, axis=1)[:, None]
    size = np.linalg.norm(g)
    v, _ = nnls(-u.T, g / size, maxiter=10000)
    return g + size * (u.T @ v)


def cagrad(j, c):
    m, g0 = len(j), j.mean(axis=0)
    size = np.linalg.norm(g0)
    a, b, r = j / size, g0 / size, c
    best = None
    for start in range(20):
        x0 = np.r_[b + 0.3 * c * rng.standard_normal(len(b)) * (start > 0), 0]
        s = minimize(lambda x: -x[-1], x0, jac=lambda x: np.r_[np.zeros(len(b)), -1], method='SLSQP',
                     constraints=[
                         {'type': 'ineq', 'fun': lambda x: a @ x[:-1] - x[-1],
                          'jac': lambda x: np.c_[a, -np.ones(m)]},
                         {'type': 'ineq', 'fun': lambda x: r * r - (x[:-1] - b) @ (x[:-1] - b),
                          'jac': lambda x: np.r_[-2 * (x[:-1] - b), 0]}],
                     options={'ftol': 1e-16, 'maxiter': 2000})
        violated = max(0, (x := s.x[:-1] - b) @ x - r * r) > 1e-11 or (a @ s.x[:-1] - s.x[-1]).min() < -1e-11
        if not violated and (best is None or s.x[-1] > best[-1]):
            best = s.x
    assert best is not None
    return best[:-1] * size


def fair(g, alpha):
    s = np.sqrt(np.diag(g))
    c = g / np.outer(s, s)

    beta, e = s ** (1 / alpha - 1), 1 / alpha

    def error(z):
        x = np.exp(z)
        return c @ x - beta * x ** -e

    def potential(z):
        x = np.exp(z)
        gain = z if e == 1 else x ** (1 - e) / (1 - e)
        return x @ c @ x / 2 - beta @ gain, x * error(z)

    z = np.log(beta) / (1 + e)
    for _ in range(20):
        z = minimize(potential, z, jac=True, method='BFGS', options={'gtol': 1e-12}).x
        z = root(error, z, jac=lambda z: (c + np.diag(e * beta * np.exp(z * (-e - 1)))) * np.exp(z),
                 tol=1e-15).x
        if np.abs(error(z) / (beta * np.exp(-e * z))).max() < 1e-10:
            return np.exp(z) / s
    raise SystemExit('no solution')


def nash(j, limit):
    g = j @ j.T
    w = fair(g / np.linalg.norm(g), 1)
    length = np.linalg.norm(w @ j)
    return w * (min(1, limit / length) if limit else 1)


def imtl_g(j):
    v = np.linalg.pinv(j @ j.T) @ np.linalg.norm(j, axis=1)
    return v / v.sum()


def aligned(j, mode, pref):
    values, vectors = np.linalg.eigh(j @ j.T)
    kept = values > 1e-12 * values.max()
    values, vectors = values[kept], vectors[:, kept]
    scale = {'min': values.min(), 'median': np.sort(values)[(len(values) - 1) // 2],
             'rmse': values.mean()}[mode]
    return vectors @ ((vectors.T @ pref) * np.sqrt(scale / values))


def config(j, pref):
    d = np.linalg.pinv(j / np.linalg.norm(j, axis=1)[:, None]) @ pref
    d /= np.linalg.norm(d)
    return (j @ d).sum() * d


def surgery(j, order_of):
    out = np.zeros(j.shape[1])
    for i in range(len(j)):
        h = j[i].copy()
        for k in order_of(i):
            if h @ j[k] < 0:
                h -= (h @ j[k]) / (j[k] @ j[k]) * j[k]
        out += h
    return out


def all_orders(j):
    out = np.zeros(j.shape[1])
    for i in range(len(j)):
        orders = list(itertools.permutations([k for k in range(len(j)) if k != i]))
        for order in orders:
            h = j[i].copy()
            for k in order:
                if h @ j[k] < 0:
                    h -= (h @ j[k]) / (j[k] @ j[k]) * j[k]
            out += h / len(orders)
    return out


# --- kinds of one step -----------------------------------------------------------------------------

def as_read(a):
    return np.asarray(a, dtype=np.float32).astype(float)


matrices = []
for m, n in ((2, 5), (3, 6), (4, 9), (6, 12), (8, 10)):
    plain = rng.standard_normal((m, n))
    matrices += [plain, plain * 10.0 ** rng.uniform(-3, 3, (m, 1)),
                 rng.standard_normal((m, n)) + 2 * rng.standard_normal(n)]
flat = rng.standard_normal((5, 2))  # more rows than columns, all on one side
flat[:, 0] = np.abs(flat[:, 0]) + 0.1
matrices.append(flat)
for j in map(as_read, matrices):
    m = len(j)
    full = np.linalg.matrix_rank(j / np.linalg.norm(j, axis=1)[:, None]) == m
    lengths, losses = np.linalg.norm(j, axis=1), as_read(rng.uniform(0.1, 3, m))
    spread = lengths.max() / lengths.min()
    pref = np.round(rng.uniform(0.2, 2, m), 2)
    listed = '/'.join('%g' % v for v in pref)
    one('sum', j, np.ones(m))
    one('mean', j, np.ones(m) / m)
    one('constant:weights=' + listed, j, pref)
    one('mgda', j, mgda(j))
    one('mgda:normalise=l2', j, mgda(j, np.ones(m)))
    one('mgda:normalise=loss', j, mgda(j, lengths / losses), losses=losses)
    one('upgrad', j, update=np.mean([project(j, g) for g in j], axis=0))
    one('upgrad:pref=' + listed, j, update=pref @ np.array([project(j, g) for g in j]))
    one('dualproj', j, update=project(j, j.mean(axis=0)))
    one('dualproj:pref=' + listed, j, update=project(j, pref @ j))
    if spread < 100 and full:
        for c in (0.4, 1, 3):
            d = cagrad(j, c)
            one(f'cagrad:c={c}', j, update=d)
            one(f'cagrad:c={c},rescale=1', j, update=d / (1 + c * c))
            one(f'cagrad:c={c},rescale=2', j, update=d / (1 + c))
    one('pcgrad:order=ascending', j, update=surgery(j, lambda i: [k for k in range(m) if k != i]))
    one('pcgrad:order=descending', j,
        update=surgery(j, lambda i: [k for k in reversed(range(m)) if k != i]))
    if m <= 6:
        one('pcgrad:order=mean', j, update=all_orders(j))
    if full:
        one('nash', j, nash(j, 1))
        one('nash:max_norm=0', j, nash(j, 0))
        for alpha in (0.5, 1, 2, 5):
            one(f'fairgrad:alpha={alpha}', j, fair(j @ j.T, alpha))
        one('config', j, update=config(j, np.ones(m)))
        one('config:pref=' + listed, j, update=config(j, pref))
    if spread < 100:
        if full:
            one('imtl_g', j, imtl_g(j))
        for mode in ('min', 'median', 'rmse'):
            one(f'aligned_mtl:mode={mode}', j, update=aligned(j, mode, np.ones(m) / m) @ j)
            one(f'aligned_mtl:pref={listed},mode={mode}', j, update=aligned(j, mode, pref) @ j)

# --- kinds with state, and of losses -----------------------------------------------------------------


def run(kind, m, n, steps, function, feedback=False):
    j = [as_read(rng.standard_normal((m, n))) for _ in range(steps)]
    losses = as_read(rng.uniform(0.1, 3, (steps, m)))
    after = as_read(losses * rng.uniform(0.7, 1.1, (steps, m))) if feedback else None
    weights, update = function(j, losses, after)
    if update is None:
        update = weights[-1] @ j[-1]
    case(kind, j, losses, after, weights, update)


def gradvac(j, losses, after):
    phi, beta = np.zeros((2, 2)), 0.3
    for g in j:
        out = np.zeros(g.shape[1])
        for i, k in ((0, 1), (1, 0)):
            h = g[i].copy()
            cosine = h @ g[k] / np.linalg.norm(h) / np.linalg.norm(g[k])
            aim = phi[i, k]
            if cosine < aim:
                h += g[k] * np.linalg.norm(h) / np.linalg.norm(g[k]) * \
                    (aim * np.sqrt(1 - cosine ** 2) - cosine * np.sqrt(1 - aim ** 2)) / np.sqrt(1 - aim ** 2)
            phi[i, k] = (1 - beta) * aim + beta * cosine
            out += h
    return None, out


def gradnorm(j, losses, after):
    weights, w = [], np.ones(losses.shape[1])
    for g, loss in zip(j, losses):
        r = loss / losses[0]
        target = (r / r.mean()) ** 1.2 / np.linalg.norm(g, axis=1)
        w = w + 0.3 * (target / target.sum() * len(w) - w)
        weights.append(w / w.sum() * len(w))
    return weights, None


def db_mtl(j, losses, after):
    track, weights = np.zeros_like(j[0]), []
    for step, (g, loss) in enumerate(zip(j, losses)):
        now = g / loss[:, None]
        track = now + 0.8 / (step + 1) ** 0.5 * (track - now)
        length = np.linalg.norm(track, axis=1)
        weights.append(length.max() / length)
    return weights, weights[-1] @ track


def excess_mtl(j, losses, after):
    squares, first, w, weights = np.zeros_like(j[0]), None, np.ones(len(j[0])), []
    for g in j:
        squares += g ** 2
        risk = (g ** 2 / np.sqrt(squares)).sum(axis=1)
        if first is None:
            first = risk
        else:
            w = w * np.exp(0.3 * risk / first)
        weights.append(w / w.sum() * len(w))
    return weights, None


def slope(losses, objective):
    x = torch.tensor(losses, dtype=torch.float64, requires_grad=True)
    objective(x).backward()
    return x.grad.numpy()


def learned(objective, rate):
    def function(j, losses, after):
        s = torch.zeros(losses.shape[1], dtype=torch.float64, requires_grad=True)
        adam, weights = torch.optim.Adam([s], lr=rate), []
        for loss in losses:
            weights.append(slope(loss, lambda x: objective(x, s.detach())))
            adam.zero_grad()
            objective(torch.tensor(loss), s).backward()
            adam.step()
        return weights, None
    return function


def dwa(j, losses, after):
    weights = []
    for step in range(len(losses)):
        epoch = step // 2
        r = np.ones(losses.shape[1])
        if epoch >= 2:
            mean = [losses[2 * e:2 * e + 2].mean(axis=0) for e in (epoch - 1, epoch - 2)]
            r = mean[0] / mean[1]
        e = np.exp(r / 1.5)
        weights.append(len(r) * e / e.sum())
    return weights, None


def stch(j, losses, after):
    return [slope(x, lambda x: 0.7 * torch.logsumexp(x / 0.7, 0)) for x in losses], None


def stch_warm(j, losses, after):
    weights, mean = [], torch.tensor(losses[:3].mean(axis=0))
    for step, loss in enumerate(losses):
        weights.append(slope(loss, lambda x: torch.log(x).sum() if step < 3 else
                             len(x) * 0.7 * torch.logsumexp(torch.log(x / mean) / 0.7, 0)))
    return weights, None


def famo(j, losses, after):
    w = torch.zeros(losses.shape[1], dtype=torch.float64, requires_grad=True)
    adam, weights = torch.optim.Adam([w], lr=0.05, weight_decay=0.01), []
    for before, later in zip(losses, after):
        z = torch.softmax(w, 0)
        weights.append(slope(before, lambda x: (z.detach() * torch.log(x + 1e-8)).sum() /
                             (z.detach() / (torch.tensor(before) + 1e-8)).sum()))
        fall = torch.log(torch.tensor(before + 1e-8)) - torch.log(torch.tensor(later + 1e-8))
        adam.zero_grad()
        z.backward(fall)
        adam.step()
    return weights, None


def gated(jacobians, losses, after):
    """main = tasks 0 and 2"""
    mean, weights = np.zeros(4), []
    for j in jacobians:
        j = j.astype(float)
        target = j[0] + j[2]
        mean = .7 * mean + .3 * (j @ target) / np.linalg.norm(j, axis=1) / np.linalg.norm(target)
        weights.append(np.where([True, False, True, False], 1, mean >= 0).astype(float))
    return weights, None


def a_gem(j, main):
    """The nearest to g that makes r no worse, by nnls as above."""
    main = np.array(main, dtype=bool)
    g, r = j[main].sum(axis=0), j[~main].sum(axis=0)
    return project(r[None], g) if r.any() else g


run('gradvac:beta=0.3', 2, 4, 6, gradvac)
run('gradnorm:alpha=1.2,rate=0.3', 4, 5, 5, gradnorm)
run('db_mtl:beta=0.8,sigma=0.5', 3, 7, 5, db_mtl)
run('excess_mtl:eta=0.3', 3, 7, 5, excess_mtl)
run('uw:rate=0.1', 3, 4, 8, learned(lambda x, s: (x * torch.exp(-s) / 2 + s / 2).sum(), 0.1))
run('imtl_l:rate=0.1', 3, 4, 8, learned(lambda x, s: (x * torch.exp(s) - s).sum(), 0.1))
run('dwa:temperature=1.5,every=2', 3, 4, 9, dwa)
run('gls', 4, 5, 2, lambda j, losses, after: (
    [slope(x, lambda x: torch.exp(torch.log(x).mean())) for x in losses], None))
run('stch:mu=0.7', 3, 4, 3, stch)
run('stch:mu=0.7,warm_up=3', 3, 4, 6, stch_warm)
run('famo:rate=0.05,decay=0.01', 3, 4, 8, famo, feedback=True)
run('gated:main=1/0/1/0,decay=0.7', 4, 3, 6, gated)
for main in [(1, 0), (1, 0, 0), (0, 1, 1), (1, 1, 0, 0, 1), (0, 0, 0, 1)]:
    for turn in range(3):
        j = rng.standard_normal((len(main), 6)).astype(np.float32)
        if turn == 1:
            j[0] -= 2 * j[1]
        one('a_gem:main=' + '/'.join(map(str, main)), j.astype(float), update=a_gem(j.astype(float), main))

print(f'''/* SPDX-License-Identifier: MIT */
/* Written by make_aggregate.py with numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}. */
/* clang-format off */
''')
print('\n'.join(f'static const {kind} {name}[] = {{{values}}};' for (kind, values), name in arrays.items()))
print('''
static const struct golden_aggregate {
    const char *kind;
    int64_t steps, m, n;
    const float *jacobian;                            /* [steps, m, n] */
    const double *losses, *feedback, *weights, *update; /* [steps, m], NULL = none; update [n] of the last */
} golden_aggregates[] = {''')
print('\n'.join(cases))
print('};')
print(len(cases), 'cases', file=sys.stderr)
