#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write calibration.h: logits and labels, and the temperatures and Platt's slopes and shifts that SciPy
finds best for them.

    /usr/bin/python3 make_calibration.py > calibration.h
"""
import numpy as np
import scipy
from scipy import optimize, special

rng = np.random.default_rng(7)
rows = 90
z = rng.normal(0, 3, (rows, 6)).astype(np.float32)
t = np.empty((rows, 4))
for column, source, slope, shift in ((0, 0, 0.4, 0.3), (2, 4, 0.7, -1), (3, 5, 0.2, 0.5)):
    t[:, column] = rng.uniform(size=rows) < special.expit(slope * z[:, source] + shift)
p = special.softmax(0.5 * z[:, 1:4].astype(float), axis=1)
t[:, 1] = [rng.choice(3, p=q) for q in p]
t[rng.uniform(size=t.shape) < 0.15] = np.nan
w = np.round(rng.uniform(0, 3, rows), 2).astype(np.float32)
w[5] = 0
Z, W = z.astype(float), w.astype(float)


def binary(columns, v):
    """Logits, labels, weights of all labels there are."""
    parts = []
    for column, source in columns:
        m = ~np.isnan(t[:, column])
        parts.append((Z[m, source], t[m, column], v[m]))
    return [np.concatenate(x) for x in zip(*parts)]


def temperature(slope_of_loss):
    return 1 / optimize.brentq(slope_of_loss, 1e-3, 1e2, xtol=1e-15, rtol=1e-14)


def of_binary(columns, v):
    x, y, u = binary(columns, v)
    return temperature(lambda a: (u * x * (special.expit(a * x) - y)).sum())


def of_classes(v):
    m = ~np.isnan(t[:, 1])
    x, y, u = Z[m, 1:4], t[m, 1].astype(int), v[m]
    return temperature(lambda a: (u * ((special.softmax(a * x, axis=1) * x).sum(axis=1) -
                                       x[np.arange(len(y)), y])).sum())


def platt(column, source, v):
    x, y, u = binary([(column, source)], v)
    n1, n0 = (u * y).sum(), (u * (1 - y)).sum()
    target = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def gradient(ab):
        d = u * (special.expit(ab[0] * x + ab[1]) - target)
        return [(d * x).sum(), d.sum()]
    found = optimize.root(gradient, [0.1, 0], tol=1e-14)
    assert np.abs(gradient(found.x)).max() < 1e-9
    return found.x


def text(x):
    return "NAN" if np.isnan(x) else "%sf" % repr(float("%.9g" % x))


def table(name, a):
    print("static const float golden_%s[] = {" % name)
    texts = [text(x) for x in a.ravel()]
    for i in range(0, len(texts), 10):
        print("    %s," % ", ".join(texts[i:i + 10]))
    print("};")


print("/* SPDX-License-Identifier: MIT */")
print("/* Written by make_calibration.py with SciPy %s, NumPy %s. Do not edit. */"
      % (scipy.__version__, np.__version__))
print("#include <math.h>\n\n/* clang-format off */")
print("enum { GOLDEN_ROWS = %d };" % rows)
table("z", z)
table("binary", t[:, 0])
table("classes", t[:, 1])
table("labels", t[:, 2:])
table("weight", w)
print("/* [without weights, with weights] */")
print("static const struct golden_calibration {")
print("    double binary, classes, labels; /* temperatures */")
print("    double slope[3], shift[3];      /* of the binary task and both labels */")
print("} golden_calibrations[] = {")
for v in (np.ones(rows), W):
    ab = [platt(column, source, v) for column, source in ((0, 0), (2, 4), (3, 5))]
    print("    {%r, %r, %r, {%s}, {%s}}," % (
        of_binary([(0, 0)], v), of_classes(v), of_binary([(2, 4), (3, 5)], v),
        ", ".join(repr(float(x[0])) for x in ab), ", ".join(repr(float(x[1])) for x in ab)))
print("};")
