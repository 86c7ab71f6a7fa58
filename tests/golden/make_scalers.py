#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write scalers.h: a small table with missing values, and what scikit-learn's scalers learn from it.

    /usr/bin/python3 make_scalers.py > scalers.h
"""
import numpy as np
import sklearn
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler

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
