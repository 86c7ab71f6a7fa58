#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write golden/strategy_choice.h: the average of candidates that lib/transfer/choice_of_strategy.c is to
take, from the same figures, with SciPy's SLSQP for the quadratic programs.

Run with Debian's python3-scipy and python3-numpy: /usr/bin/python3 make_strategy_choice.py
"""
import pathlib

import numpy as np
import scipy
from scipy.optimize import minimize

WORTH, APART = 200, 0.05


def least(g):
    n = len(g)
    best = None
    for start in [np.full(n, 1 / n), *np.eye(n)]:
        r = minimize(lambda w: w @ g @ w, start, jac=lambda w: 2 * g @ w, method='SLSQP',
                     bounds=[(0, 1)] * n, constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1},
                     options={'ftol': 1e-16, 'maxiter': 2000})
        if best is None or r.fun < best.fun:
            best = r
    w = np.where(best.x > 1e-6, best.x, 0)
    support = np.flatnonzero(w)  # exactly, on the support
    k = len(support)
    kkt = np.block([[2 * g[np.ix_(support, support)], -np.ones((k, 1))],
                    [np.ones((1, k)), np.zeros((1, 1))]])
    w[support] = np.linalg.solve(kkt, np.append(np.zeros(k), 1))[:k]
    assert (w >= 0).all()
    return w


def mean_and_variance(x, unit):
    """Of a mean over rows whose units are the draws."""
    n = unit.max() + 1
    rest = np.bincount(unit, x - x.mean(), n)
    return x.mean(), rest @ rest / len(x) ** 2 * n / (n - 1)


def choose(case):
    own, sim, first, unit = case['own'], case['simulated'], case['first'], case['unit']
    s, n = len(sim), unit.max() + 1
    error = (own ** 2).sum(2)

    def weigh(trust):
        own_mean, sim_mean = error.mean(1), np.array([q.diagonal() for q in sim]).mean(0)
        both = np.where(np.isnan(sim_mean), own_mean, trust * own_mean + (1 - trust) * sim_mean)
        pick = [a + int(np.nanargmin(both[a:b])) if np.isfinite(both[a:b]).any() else -1
                for a, b in zip(first, first[1:])]
        at = [p for p in pick if p >= 0]
        r = own[at].reshape(len(at), -1)
        g_own = r @ r.T / own.shape[1]
        g_own += np.diag([mean_and_variance(error[v], unit)[1] ** .5 for v in at])
        g_sim = sim.mean(0)[np.ix_(at, at)]
        g_sim = np.where(np.isnan(g_sim), g_own, g_sim)
        return pick, at, g_own, g_sim, both

    def own_error(at, w):
        return (np.tensordot(w, own[at], 1) ** 2).sum(1)

    _, at, g_own, g_sim, _ = weigh(n / (n + WORTH))
    mean, variance = mean_and_variance(own_error(at, least(g_sim)) - own_error(at, least(g_own)), unit)
    trust = n / (n + WORTH / (1 + max(mean, 0) ** 2 / variance))
    pick, at, g_own, g_sim, both = weigh(trust)
    g = trust * g_own + (1 - trust) * g_sim
    model = [m for m, p in zip(case['model'], pick) if p >= 0]
    taken, value = [], np.inf
    while len(taken) < case['most']:
        found = None
        for m in sorted(set(model) - set(taken)):
            use = [i for i in range(len(at)) if model[i] in taken + [m]]
            v = least(g[np.ix_(use, use)])
            error = v @ g[np.ix_(use, use)] @ v
            if error < value - 1e-12 and (not found or error < found[0]):
                found = error, m, use, v
        if not found:
            break
        value, taken = found[0], taken + [found[1]]
        w = np.zeros(len(at))
        w[found[2]] = found[3]
    floors = [i for i, v in enumerate(at) if case['floor'][pick.index(v)]]
    floor = min(floors, key=lambda i: both[at[i]])
    if case['doubt'] > 0:
        one = np.eye(len(at))[floor]
        m, v = mean_and_variance(own_error(at, one) - own_error(at, w), unit)
        d = np.array([one @ q[np.ix_(at, at)] @ one - w @ q[np.ix_(at, at)] @ w for q in sim])
        sv = (((d - d.mean()) ** 2).sum() + APART ** 2) / s * (1 + 1 / s)
        lead, spread = m, v
        if not np.isnan(d).any():
            lead = trust * m + (1 - trust) * d.mean()
            spread = trust ** 2 * v + (1 - trust) ** 2 * sv
        keep = max(0, 1 - case['doubt'] ** 2 * spread / lead ** 2) if lead > 0 else 0
        w = keep * w + (1 - keep) * one
    while len({m for m, x in zip(model, w) if x > 0}) > case['most']:
        share = {m: sum(x for k, x in zip(model, w) if k == m) for m in set(model)}
        m = min((m for m in share if share[m] > 0), key=lambda m: share[m])
        w = np.where(np.array(model) == m, 0, w)
    w /= w.sum()
    expected = np.array([w @ q[np.ix_(at, at)] @ w for q in sim]).mean()
    mine = own_error(at, w).mean()
    score = 1 - (mine if np.isnan(expected) else trust * mine + (1 - trust) * expected)
    weight = [w[at.index(p)] if p >= 0 else 0 for p in pick]
    variant = [p - a if p >= 0 else -1 for p, a in zip(pick, first)]
    return trust, score, pick.index(at[floor]), weight, variant


def make(seed, most, doubt, groups=False, contrary=False, lost=(), model=(0, 1, 2, 3, 4)):
    """Candidates whose residuals share a part, which averages cannot take away."""
    r = np.random.default_rng(seed)
    first = np.array([0, 1, 3, 4, 6, 8])
    v, rows, width, simulations = first[-1], 14, 2, 3
    size = r.uniform(0.3, 0.8, v)
    own = (0.3 * r.standard_normal((1, rows, width)) + size[:, None, None] *
           r.standard_normal((v, rows, width))).round(3)
    sim = []
    for _ in range(simulations):
        scale = (size[::-1] if contrary else size) * r.uniform(0.9, 1.1, v)
        x = 0.3 * r.standard_normal((1, 60)) + scale[:, None] * r.standard_normal((v, 60))
        sim.append((x @ x.T / 30).round(4))
    sim = np.array(sim)
    for what, candidate in lost:
        a, b = first[candidate], first[candidate + 1]
        if what == 'own':
            own[a:b] = np.nan
        else:
            sim[:, a:b] = np.nan
            sim[:, :, a:b] = np.nan
    unit = np.arange(rows) % 7 if not groups else np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 5, 5, 6])
    return dict(own=own, simulated=sim, first=first, unit=unit, most=most, doubt=doubt,
                model=model, floor=[True, False, True, False, False])


CASES = [make(1, 3, 0.5), make(2, 5, 0), make(3, 1, 0.5), make(4, 2, 0.5, groups=True),
         make(5, 3, 0.5, contrary=True), make(6, 3, 1, lost=[('own', 3)]),
         make(7, 3, 0.5, lost=[('simulated', 1)]), make(8, 1, 0, model=(0, 0, 0, 3, 4)),
         make(9, 2, 0.5, model=(0, 1, 0, 1, 0)), make(10, 2, 2, model=(0, 0, 2, 3, 4))]


def numbers(kind, name, x):
    text = ['NAN' if np.isnan(float(y)) else repr(float(y)) for y in np.ravel(x)]
    if kind == 'float':
        text = [t if t == 'NAN' else f'{float(t):.3f}f' for t in text]
    return f'static const {kind} {name}[] = {{{", ".join(text)}}};'


def main():
    out = ['/* SPDX-License-Identifier: MIT */',
           f'/* Written by make_strategy_choice.py with SciPy {scipy.__version__}, NumPy '
           f'{np.__version__}. Do not edit. */', '', '/* clang-format off */']
    rows = []
    for i, c in enumerate(CASES):
        c['own'] = c['own'].astype(np.float32).astype(float)  # as the library holds them
        trust, score, floor, weight, variant = choose(c)
        out += [numbers('float', f'golden_choice_own_{i}', c['own']),
                numbers('double', f'golden_choice_simulated_{i}', c['simulated'])]
        ints = lambda x: '{' + ', '.join(str(int(y)) for y in x) + '}'
        rows.append(f'    {{{c["most"]}, {c["doubt"]}, {ints(c["model"])}, {ints(c["unit"])}, golden_choice_own_{i}, '
                    f'golden_choice_simulated_{i}, {trust!r}, {score!r}, {floor}, '
                    f'{{{", ".join(repr(float(w)) for w in weight)}}}, {ints(variant)}}},')
        print(i, trust, score, floor, np.round(weight, 3), variant)
    out += ['', 'static const struct golden_choice {', '    int64_t most;', '    double doubt;',
            '    int64_t model[5], unit[14];', '    const float *own;        /* [8, 14, 2] */',
            '    const double *simulated; /* [3, 8, 8] */', '    double trust, score;',
            '    int64_t floor;', '    double weight[5];', '    int64_t variant[5];',
            '} golden_choices[] = {', *rows, '};', '/* clang-format on */', '']
    (pathlib.Path(__file__).parent / 'strategy_choice.h').write_text('\n'.join(out))


main()
