#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What scikit-learn's forests, boosting and linear models reach where mtl_quality is run, on the same
splits; that runs it: quality_sklearn.py --only NAME --split NUMBER FOLDER prints lines of its --csv.

A model per task, with scikit-learn's defaults but 200 trees, and ridge and logistic regression with
their penalty chosen by cross-validation on standardised columns; missing inputs become the mean. One
thread, whose processor time is printed. Without numpy or scikit-learn it ends with 77.
"""

import os

os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MKL_NUM_THREADS='1')

import argparse
import pathlib
import sys
import time
import warnings

try:
    import numpy as np
    from sklearn.ensemble import (GradientBoostingClassifier, GradientBoostingRegressor,
                                  HistGradientBoostingClassifier, HistGradientBoostingRegressor,
                                  RandomForestClassifier, RandomForestRegressor)
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
except ImportError as missing:
    print('left out:', missing, file=sys.stderr)
    sys.exit(77)

MODELS = {
    'sklearn-linear': (
        lambda: make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=8, max_iter=500)),
        lambda: make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-3, 4, 15)))),
    'forest': (lambda: RandomForestClassifier(200, random_state=0),
               lambda: RandomForestRegressor(200, max_features=1 / 3, random_state=0)),
    'boosting': (lambda: HistGradientBoostingClassifier(random_state=0),
                 lambda: HistGradientBoostingRegressor(random_state=0)),
    'gbm': (lambda: GradientBoostingClassifier(n_estimators=200, random_state=0),
            lambda: GradientBoostingRegressor(n_estimators=200, random_state=0)),
}


def read(folder):
    x, y = np.load(folder / 'X.npy'), np.load(folder / 'Y.npy')
    if (folder / 'task_id.npy').exists():
        task = np.load(folder / 'task_id.npy')
        wide = np.full((len(y), task.max() + 1), np.nan, np.float32)
        wide[np.arange(len(y)), task] = y[:, 0]
        y = wide
    return x, y


def order_of(rows, split):
    """The shuffle of quality.c."""
    state, order = 1000 + split, list(range(rows))
    for r in range(rows - 1, 0, -1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        other = (state >> 33) % (r + 1)
        order[r], order[other] = order[other], order[r]
    return np.array(order)


def one_task(make, x, y, train, is_binary):
    """Value of the test rows, seconds of fit and prediction."""
    have = ~np.isnan(y)
    fit, test = have[:train], have[train:]
    mean = np.nan_to_num(np.nanmean(x[:train], 0))
    x = np.where(np.isnan(x), mean, x)
    xf, yf, xt, yt = x[:train][fit], y[:train][fit], x[train:][test], y[train:][test]
    started = time.process_time()
    if len(np.unique(yf)) < 2:
        predict = lambda rows: np.full(len(rows), yf.mean() if len(yf) else 0.0)
    else:
        model = make().fit(xf, yf)
        predict = (lambda rows: model.predict_proba(rows)[:, 1]) if is_binary else model.predict
    fitted = time.process_time()
    out = predict(xt)
    done = time.process_time()
    if is_binary:
        value = roc_auc_score(yt, out) if len(np.unique(yt)) == 2 else np.nan
    else:
        value = np.sqrt(((out - yt) ** 2).sum() / ((yf.mean() - yt) ** 2).sum())
    return value, fitted - started, done - fitted


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument('--split', type=int, default=0)
    args.add_argument('--only', choices=MODELS, required=True)
    args.add_argument('folder', type=pathlib.Path)
    args = args.parse_args()
    warnings.simplefilter('ignore')  # of iterations that did not suffice
    x, y = read(args.folder)
    order, train = order_of(len(x), args.split), len(x) * 7 // 10
    found = []
    for t in range(y.shape[1]):
        have = y[~np.isnan(y[:, t]), t]
        is_binary = bool(np.isin(have, (0, 1)).all())
        make = MODELS[args.only][0 if is_binary else 1]
        value, fit, predict = one_task(make, x[order], y[order, t], train, is_binary)
        found.append(('auc' if is_binary else 'rrmse', value, fit, predict))
    fit, predict = sum(v[2] for v in found), sum(v[3] for v in found)
    for t, (metric, value, _, _) in enumerate(found):
        print(f'{args.folder.name},{args.only},{args.split},{t},{metric},{value:.9g},{fit:.4g},'
              f'{predict:.4g}')


if __name__ == '__main__':
    main()
