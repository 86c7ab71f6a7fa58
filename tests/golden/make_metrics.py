#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write metrics.h: small tables of predictions and labels, and scikit-learn's figures for them.

    /usr/bin/python3 make_metrics.py > metrics.h

Where labels are missing, scikit-learn sees the rows (or entries) that are there. scikit-learn knows no
standard errors; those here are worked out from their definitions, in the plainest way: by the jackknife's
infinitesimal form, the derivatives by the rows' weights being taken numerically from scikit-learn's own
figures.
"""
import warnings

import numpy as np
import sklearn
from sklearn import metrics as sk

rng = np.random.default_rng(20240611)
EPS = float(np.finfo(np.float32).eps)
NAN = np.nan
arrays, cases = {}, []


def table(name, a):
    arrays[name] = np.asarray(a, dtype=np.float32)
    return arrays[name].astype(np.float64)


def case(metric, data, outputs, label_cols, weight, value, error=NAN):
    cases.append((metric, data, outputs, label_cols, weight, value, error))


def log_loss(y, p, w):
    classes = [0, 1] if p.ndim == 1 else list(range(p.shape[1]))
    return sk.log_loss(y, p, eps=EPS, sample_weight=w, labels=classes)


def share_error(share, n):
    return np.sqrt(share * (1 - share) / n)


def mean_error(x):
    return np.std(x, ddof=1) / np.sqrt(len(x))


def delong_error(y, score):
    pos, neg = score[y == 1], score[y == 0]
    wins = (pos[:, None] > neg).astype(float) + 0.5 * (pos[:, None] == neg)
    return np.sqrt(np.var(wins.mean(axis=1), ddof=1) / len(pos) +
                   np.var(wins.mean(axis=0), ddof=1) / len(neg))


def column_mean(figures, supports=None):
    return np.average(figures, weights=supports)


# One probability, with many ties, exact 0, 0.5 and 1, and missing labels.
rows = 60
w60 = table("weight", np.round(rng.uniform(0, 3, rows), 2))
w60[7] = arrays["weight"][7] = 0
y = (rng.uniform(size=rows) < 0.4).astype(float)
p = np.clip(np.round(0.35 * y + rng.uniform(0, 0.65, rows), 1), 0, 1)
p[:4], y[:4] = [0, 0.5, 0.5, 1], [0, 1, 0, 1]
p[4], y[4] = 1, 0
y[rng.choice(np.arange(8, rows), 9, replace=False)] = NAN
p, y = table("binary_p", p), table("binary_y", y)
keep = ~np.isnan(y)
for weight in (False, True):
    w = w60[keep] if weight else None
    t, s = y[keep], p[keep]
    d = (s > 0.5).astype(float)
    acc = sk.accuracy_score(t, d, sample_weight=w)
    case("accuracy", "binary", 1, 1, weight, acc, NAN if weight else share_error(acc, len(t)))
    for average in ("binary", "macro", "micro", "weighted"):
        case("f1:average=" + average, "binary", 1, 1, weight,
             sk.f1_score(t, d, average=average, sample_weight=w))
    case("f1", "binary", 1, 1, weight, sk.f1_score(t, d, sample_weight=w))
    case("roc_auc", "binary", 1, 1, weight, sk.roc_auc_score(t, s, sample_weight=w),
         NAN if weight else delong_error(t, s))
    c = np.clip(s, EPS, 1 - EPS)
    case("log_loss", "binary", 1, 1, weight, log_loss(t, s, w),
         NAN if weight else mean_error(-np.where(t == 1, np.log(c), np.log(1 - c))))

# Four classes; probabilities rounded so that the highest is not always the only one.
q = rng.dirichlet([1, 1, 1, 1], rows)
y = rng.integers(0, 4, rows).astype(float)
q[np.arange(rows), y.astype(int)] += rng.uniform(0, 0.6, rows)
q = np.round(q / q.sum(axis=1, keepdims=True), 1)
q[0] = [0, 0, 1, 0]
y[0] = 1
y[rng.choice(np.arange(8, rows), 9, replace=False)] = NAN
q, y = table("classes_p", q), table("classes_y", y)
keep = ~np.isnan(y)
for weight in (False, True):
    w = w60[keep] if weight else None
    t, s = y[keep].astype(int), q[keep]
    d = s.argmax(axis=1)
    acc = sk.accuracy_score(t, d, sample_weight=w)
    case("accuracy", "classes", 4, 1, weight, acc, NAN if weight else share_error(acc, len(t)))
    for average in ("macro", "micro", "weighted"):
        case("f1:average=" + average, "classes", 4, 1, weight,
             sk.f1_score(t, d, average=average, sample_weight=w))
    case("f1", "classes", 4, 1, weight, sk.f1_score(t, d, average="macro", sample_weight=w))
    case("roc_auc", "classes", 4, 1, weight,
         column_mean([sk.roc_auc_score(t == k, s[:, k], sample_weight=w) for k in range(4)]))
    case("log_loss", "classes", 4, 1, weight, log_loss(t, s, w))

# Three labels of their own, missing here and there.
t3 = (rng.uniform(size=(rows, 3)) < [0.3, 0.5, 0.7]).astype(float)
p3 = np.clip(np.round(0.3 * t3 + rng.uniform(0, 0.7, (rows, 3)), 2), 0, 1)
t3[rng.uniform(size=t3.shape) < 0.2] = NAN
p3, t3 = table("labels_p", p3), table("labels_y", t3)
there = ~np.isnan(t3)
for weight in (False, True):
    w3 = np.repeat(w60[:, None], 3, axis=1)
    w = w3[there] if weight else None
    flat_t, flat_p = t3[there], p3[there]
    flat_d = (flat_p > 0.5).astype(float)
    case("accuracy", "labels", 3, 3, weight, sk.accuracy_score(flat_t, flat_d, sample_weight=w))
    case("log_loss", "labels", 3, 3, weight, log_loss(flat_t, flat_p, w))
    f1, auc, support = [], [], []
    for k in range(3):
        m = there[:, k]
        wk = w60[m] if weight else np.ones(m.sum())
        f1.append(sk.f1_score(t3[m, k], p3[m, k] > 0.5, sample_weight=wk))
        auc.append(sk.roc_auc_score(t3[m, k], p3[m, k], sample_weight=wk))
        support.append((wk * t3[m, k]).sum())
    case("f1:average=macro", "labels", 3, 3, weight, column_mean(f1))
    case("f1", "labels", 3, 3, weight, column_mean(f1))
    case("f1:average=weighted", "labels", 3, 3, weight, column_mean(f1, support))
    case("f1:average=micro", "labels", 3, 3, weight, sk.f1_score(flat_t, flat_d, sample_weight=w))
    case("roc_auc", "labels", 3, 3, weight, column_mean(auc))

# Values far from 0, in one column and in three.
v = rng.normal([1000, -3, 0.01], [5, 2, 0.001], (rows, 3))
g = v + rng.normal(0, [3, 1, 0.0005], (rows, 3))
v[rng.uniform(size=v.shape) < 0.2] = NAN
g, v = table("values_p", g), table("values_y", v)
for weight in (False, True):
    figures = {"rmse": [], "mae": [], "r2": []}
    for k in range(3):
        m = ~np.isnan(v[:, k])
        a = (v[m, k], g[m, k])
        w = w60[m] if weight else None
        figures["rmse"].append(sk.mean_squared_error(*a, squared=False, sample_weight=w))
        figures["mae"].append(sk.mean_absolute_error(*a, sample_weight=w))
        figures["r2"].append(sk.r2_score(*a, sample_weight=w))
    m = ~np.isnan(v[:, 0])
    e = v[m, 0] - g[m, 0]
    errors = {"mae": mean_error(np.abs(e)), "r2": NAN,
              "rmse": mean_error(e * e) / (2 * np.sqrt(np.mean(e * e)))}
    for name, f in figures.items():
        case(name, "values", 1, 1, weight, f[0], NAN if weight else errors[name])
        case(name, "values", 3, 3, weight, column_mean(f))


# ---- More metrics on the same tables --------------------------------------------------------------


def derivative_error(figure, w):
    """sqrt(sum of squares of w * d figure / d w), figure being a function of the rows' weights."""
    sum2 = 0
    for i in range(len(w)):
        if w[i] == 0:
            continue
        h = 1e-5 * w[i]
        up, down = w.copy(), w.copy()
        up[i] += h
        down[i] -= h
        sum2 += (w[i] * (figure(up) - figure(down)) / (2 * h)) ** 2
    return np.sqrt(sum2)


def auc_error(hot, score, average):
    """DeLong's placements as the rows' influences, added up over columns; n / (n - 1) by class."""
    influence, pull, sums, shares = np.zeros(len(hot)), np.zeros(len(hot)), 0, 0
    for k in range(hot.shape[1]):
        pos, neg = np.flatnonzero(hot[:, k] == 1), np.flatnonzero(hot[:, k] == 0)
        wins = (score[pos, k][:, None] > score[neg, k]) + 0.5 * (
            score[pos, k][:, None] == score[neg, k])
        auc, share = wins.mean(), len(pos) if average == "weighted" else 1
        for rows_, axis in ((pos, 1), (neg, 0)):
            n = len(rows_)
            influence[rows_] += share * np.sqrt(n / (n - 1)) / n * (wins.mean(axis=axis) - auc)
        if average == "weighted":
            influence[pos] += auc
            pull[pos] += 1
        sums, shares = sums + share * auc, shares + share
    return np.sqrt(((influence - sums / shares * pull) ** 2).sum()) / shares


def as64(name):
    return arrays[name].astype(np.float64)


def ece(hit, confidence, w, bins):
    """Plainly by the definition of Guo et al. 2017, bins (i / bins, (i + 1) / bins]."""
    sum_ = 0
    for i in range(bins):
        m = (confidence > i / bins if i else confidence >= 0) & (confidence <= (i + 1) / bins)
        if w[m].sum() > 0:
            sum_ += w[m].sum() * abs(np.average(hit[m], weights=w[m]) -
                                     np.average(confidence[m], weights=w[m]))
    return sum_ / w.sum()


def decisions(data, outputs, label_cols, t, d, weight, w):
    """Cases of the decisions' metrics; w: weights of the rows, 1 where there are none."""
    averages = ["macro", "micro", "weighted"] + (["binary"] if outputs == 1 else [])
    for name, fn in (("precision", sk.precision_score), ("recall", sk.recall_score),
                     ("f1", sk.f1_score)):
        for average in averages:
            def figure(v):
                return fn(t, d, average=average, sample_weight=v)
            case("%s:average=%s" % (name, average), data, outputs, label_cols, weight, figure(w),
                 derivative_error(figure, w))
    for name, fn in (("balanced_accuracy", sk.balanced_accuracy_score),
                     ("mcc", sk.matthews_corrcoef)):
        def figure(v):
            return fn(t, d, sample_weight=v)
        case(name, data, outputs, label_cols, weight, figure(w), derivative_error(figure, w))


warnings.simplefilter("error")
p, y = as64("binary_p")[:, None], as64("binary_y")
keep = ~np.isnan(y)
for weight in (False, True):
    w = w60[keep] if weight else np.ones(keep.sum())
    t, s = y[keep], p[keep, 0]
    decisions("binary", 1, 1, t, (s > 0.5).astype(float), weight, w)
    case("average_precision", "binary", 1, 1, weight,
         sk.average_precision_score(t, s, sample_weight=w))
    case("brier", "binary", 1, 1, weight, sk.brier_score_loss(t, s, sample_weight=w),
         NAN if weight else mean_error((t - s) ** 2))
    for bins in (10, 7, 1):
        case("ece:bins=%d" % bins, "binary", 1, 1, weight, ece(t, s, w, bins))
    case("ece", "binary", 1, 1, weight, ece(t, s, w, 10))

q, y = as64("classes_p"), as64("classes_y")
keep = ~np.isnan(y)
for weight in (False, True):
    w = w60[keep] if weight else np.ones(keep.sum())
    t, s = y[keep].astype(int), q[keep]
    decisions("classes", 4, 1, t, s.argmax(axis=1), weight, w)
    hot = (t[:, None] == np.arange(4)).astype(float)
    for average in ("macro", "weighted"):
        case("roc_auc:average=" + average, "classes", 4, 1, weight,
             sk.roc_auc_score(hot, s, average=average, sample_weight=w),
             NAN if weight else auc_error(hot, s, average))
        case("average_precision:average=" + average, "classes", 4, 1, weight,
             sk.average_precision_score(hot, s, average=average, sample_weight=w))
    case("average_precision", "classes", 4, 1, weight,
         sk.average_precision_score(hot, s, sample_weight=w))
    square = ((hot - s) ** 2).sum(axis=1)
    case("brier", "classes", 4, 1, weight, np.average(square, weights=w),
         NAN if weight else mean_error(square))
    case("ece", "classes", 4, 1, weight,
         ece((s.argmax(axis=1) == t).astype(float), s.max(axis=1), w, 10))
    for k in (1, 2, 3):
        top = sk.top_k_accuracy_score(t, s, k=k, labels=range(4), sample_weight=w)
        case("top_k:k=%d" % k, "classes", 4, 1, weight, top,
             NAN if weight else share_error(top, len(t)))
    case("top_k", "classes", 4, 1, weight, 1, 0)

p3, t3 = as64("labels_p"), as64("labels_y")
there = ~np.isnan(t3)
for weight in (False, True):
    w3 = w60 if weight else np.ones(rows)

    def columns(fn, v=w3):
        return [fn(t3[there[:, k], k], p3[there[:, k], k], v[there[:, k]]) for k in range(3)]

    def decided(fn, **how):
        return lambda v: np.mean(columns(
            lambda t, s, w: fn(t, s > 0.5, sample_weight=w, **how), v))

    for name, fn in (("precision", sk.precision_score), ("recall", sk.recall_score),
                     ("balanced_accuracy", sk.balanced_accuracy_score),
                     ("mcc", sk.matthews_corrcoef)):
        case(name, "labels", 3, 3, weight, decided(fn)(w3), derivative_error(decided(fn), w3))
    flat_t, flat_d = t3[there], p3[there] > 0.5
    for name, fn in (("precision", sk.precision_score), ("recall", sk.recall_score),
                     ("f1", sk.f1_score)):
        def micro(v):
            return fn(flat_t, flat_d, sample_weight=np.repeat(v[:, None], 3, axis=1)[there])

        def weighted(v):
            supports = columns(lambda t, s, w: (w * t).sum(), v)
            return np.average(columns(lambda t, s, w: fn(t, s > 0.5, sample_weight=w), v),
                              weights=supports)
        case(name + ":average=micro", "labels", 3, 3, weight, micro(w3),
             derivative_error(micro, w3))
        case(name + ":average=weighted", "labels", 3, 3, weight, weighted(w3),
             derivative_error(weighted, w3))
    supports = columns(lambda t, s, w: (w * t).sum())
    for name, fn in (("roc_auc", sk.roc_auc_score),
                     ("average_precision", sk.average_precision_score)):
        f = columns(lambda t, s, w: fn(t, s, sample_weight=w))
        case(name + ":average=macro", "labels", 3, 3, weight, np.mean(f))
        case(name + ":average=weighted", "labels", 3, 3, weight, np.average(f, weights=supports))
    square = (t3 - p3)[there] ** 2
    case("brier", "labels", 3, 3, weight,
         np.average(square, weights=np.repeat(w3[:, None], 3, axis=1)[there]))
    case("ece", "labels", 3, 3, weight, np.mean(columns(lambda t, s, w: ece(t, s, w, 10))))

# Rates and counts for the deviance; errors with ties and an even number of them.
rate = np.round(rng.gamma(2, 2, (rows, 2)) + 0.1, 1)
tally = rng.poisson(rate).astype(float)
tally[rng.choice(rows, 8, replace=False), 1] = NAN
rate, tally = table("counts_p", rate), table("counts_y", tally)
g, v = as64("values_p"), as64("values_y")


def root(t, s, w):
    return sk.mean_squared_error(t, s, squared=False, sample_weight=w)


def against_mean(t, s, w):
    return root(t, s, w) / root(t, np.full(len(t), np.average(t, weights=w)), w)


def median(t, s, w):
    return sk.median_absolute_error(t, s, sample_weight=w)


def pinball(q):
    return lambda t, s, w: sk.mean_pinball_loss(t, s, alpha=q, sample_weight=w)


def deviance(t, s, w):
    return sk.mean_poisson_deviance(t, s, sample_weight=w)


def deviances(t, s):
    return np.array([sk.mean_poisson_deviance(t[i:i + 1], s[i:i + 1]) for i in range(len(t))])


for weight in (False, True):
    for data, t, s, names in (
            ("values", v, g, {"relative_rmse": against_mean, "median_error": median,
                              "pinball": pinball(0.5), "pinball:q=0.1": pinball(0.1),
                              "pinball:q=0.9": pinball(0.9), "pinball:q=1": pinball(1)}),
            ("counts", tally, rate, {"poisson_deviance": deviance, "median_error": median,
                                      "pinball:q=0.25": pinball(0.25)})):
        cols = t.shape[1]
        there = [~np.isnan(t[:, k]) for k in range(cols)]
        for name, fn in names.items():
            f = [fn(t[m, k], s[m, k], w60[m] if weight else
                    None if name == "median_error" else np.ones(m.sum()))
                 for k, m in enumerate(there)]
            error = NAN
            m = there[0]
            if name.startswith("pinball") and not weight:
                error = mean_error(np.array([fn(t[i:i + 1, 0], s[i:i + 1, 0], None)
                                             for i in np.flatnonzero(m)]))
            if name == "poisson_deviance" and not weight:
                error = mean_error(deviances(t[m, 0], s[m, 0]))
            case(name, data, 1, 1, weight, f[0], error)
            case(name, data, cols, cols, weight, column_mean(f))


def number(x):
    return "NAN" if np.isnan(x) else repr(float(x))


def number32(x):
    return "NAN" if np.isnan(x) else "%sf" % repr(float("%.9g" % x))


print("/* SPDX-License-Identifier: MIT */")
print("/* Written by make_metrics.py with scikit-learn %s, NumPy %s. Do not edit. */"
      % (sklearn.__version__, np.__version__))
print("#include <math.h>\n\n/* clang-format off */")
for name, a in arrays.items():
    print("static const float golden_%s[] = {" % name)
    texts = [number32(x) for x in a.ravel()]
    for i in range(0, len(texts), 10):
        print("    %s," % ", ".join(texts[i:i + 10]))
    print("};")
print("enum { GOLDEN_ROWS = %d };" % rows)
print("static const struct golden_metric {")
print("    const char *metric, *data;")
print("    int outputs, label_cols, is_weighted;")
print("    double value, standard_error; /* NAN: not given */")
print("} golden_metrics[] = {")
for metric, data, outputs, label_cols, weight, value, error in cases:
    print('    {"%s", "%s", %d, %d, %d, %s, %s},'
          % (metric, data, outputs, label_cols, weight, number(value), number(error)))
print("};")
