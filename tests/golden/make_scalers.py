#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write scalers.h: a small table with missing values, and what scikit-learn's scalers learn from it.

    /usr/bin/python3 make_scalers.py > scalers.h
"""
import numpy as np
import sklearn
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, RobustScaler

rng = np.random.default_rng(20240611)
ROWS, COLS = 23, 5
x = rng.normal(size=(ROWS, COLS)) * [1, 1e-3, 100, 1, 1] + [0, 5, -1e4, 0, 0]
x[:, 3] = np.round(x[:, 3])  # many equal values
x[:, 4] = 0.7                # constant
x[rng.random(x.shape) < 0.15] = np.nan
x = x.astype(np.float32)


def table(name, values):
    text = ", ".join("NAN" if np.isnan(v) else repr(float(np.float32(v))) for v in np.ravel(values))
    print(f"static const float {name}[] = {{{text}}};")


print("/* SPDX-License-Identifier: MIT */")
print(f"/* Written by make_scalers.py with scikit-learn {sklearn.__version__}, NumPy "
      f"{np.__version__}. Do not edit. */")
print("#include <math.h>\n\n/* clang-format off */")
print(f"enum {{ GOLDEN_ROWS = {ROWS}, GOLDEN_COLS = {COLS} }};")
table("golden_x", x)
robust = RobustScaler().fit(x.astype(np.float64))
table("golden_robust_center", robust.center_)
table("golden_robust_scale", robust.scale_)
low_high = MinMaxScaler(feature_range=(-1, 1)).fit(x.astype(np.float64))
table("golden_min_max", low_high.transform(x.astype(np.float64)))
table("golden_max_abs", MaxAbsScaler().fit(x).scale_)


def clipped(fit_on, of):
    """RealMLP's robust scale with smooth clip (Holzmueller et al. 2024), written out."""
    low, mid, high = np.nanpercentile(fit_on, [25, 50, 75], axis=0)
    half = (np.nanmax(fit_on, axis=0) - np.nanmin(fit_on, axis=0)) / 2
    scale = np.where(high > low, high - low, half)
    z = np.where(scale > 0, (of - mid) / np.where(scale > 0, scale, 1), 0)
    return np.nan_to_num(z / np.sqrt(1 + (z / 3) ** 2))


# A second table: many rows, equal values, one that nearly all rows have; and rows not fitted on.
rng = np.random.default_rng(7)
many = np.stack([rng.normal(size=400), np.round(rng.normal(size=400), 1),
                 np.where(rng.random(400) < 0.9, 2.5, rng.random(400))], 1)
many[rng.random(many.shape) < 0.1] = np.nan
many = many.astype(np.float32)
new = np.stack([np.linspace(-5, 5, 21), np.linspace(-3, 3, 21), np.linspace(-1, 4, 21)],
               1).astype(np.float32)
print("enum { GOLDEN_MANY = 400, GOLDEN_NEW = 21, GOLDEN_MANY_COLS = 3 };")
table("golden_many", many)
table("golden_new", new)
table("golden_clip", clipped(x.astype(np.float64), x.astype(np.float64)))
table("golden_clip_new", clipped(many.astype(np.float64), new.astype(np.float64)))
for name, knots, fit_on, of in (("", 10, x, x), ("_many", 13, many, many), ("_new", 13, many, new)):
    ranks = QuantileTransformer(n_quantiles=knots, output_distribution="normal", subsample=10**9)
    table("golden_quantile" + name,
          np.nan_to_num(ranks.fit(fit_on.astype(np.float64)).transform(of.astype(np.float64))))
