#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the arrays of this folder by scikit-learn's generator. Other versions of it may draw other
numbers: the README names the ones that were used.

Debian: apt-get install python3-sklearn; python3 make.py
"""
import pathlib

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

FOLDER = pathlib.Path(__file__).resolve().parent

x, y = make_classification(n_samples=1000, n_features=20, n_informative=2, n_redundant=2,
                           n_classes=3, n_clusters_per_class=1, flip_y=0.1, random_state=42)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(x_train)

for name, array in {"X_train": scaler.transform(x_train), "X_test": scaler.transform(x_test),
                    "y_train": y_train, "y_test": y_test}.items():
    np.save(FOLDER / f"{name}.npy", array.astype(np.float32))
