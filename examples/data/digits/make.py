#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make digits_x.npy and digits_y.npy from scikit-learn's copy of the UCI optical digits.

Debian: apt-get install python3-sklearn; python3 make.py
"""
import pathlib

import numpy as np
from sklearn.datasets import load_digits

FOLDER = pathlib.Path(__file__).resolve().parent

digits = load_digits()
x = digits.data.astype(np.uint8)
y = digits.target.astype(np.uint8)
assert x.shape == (1797, 64) and x.max() == 16 and np.array_equal(x, digits.data)
np.save(FOLDER / "digits_x.npy", x)
np.save(FOLDER / "digits_y.npy", y)
