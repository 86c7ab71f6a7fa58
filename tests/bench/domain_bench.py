#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same task in a new domain: for each number of labelled rows of the new domain and each strategy
the accuracy on its test rows, mean and standard error over seeds. All its other training rows are
there without a label.

usage: domain_bench.py libmtl.so FOLDER [--rows 0,10,50,200] [--seeds 10] [--strategies x,y]
FOLDER: X.npy, Y.npy (classes), split.npy (0 = training, 1 = test), domain.npy (0 = known, 1 = new)."""
import argparse
import ctypes
import os
import numpy as np
from transfer_bench import FIT, MULTICLASS, TRANSFER, Library, load

TASK = 'class'


def fitted(lib, x, y, classes, seed):
    data = lib.dataset(x, {TASK: y}, {TASK: (MULTICLASS, classes)})
    spec = lib.make('mtl_spec_create', None, x.shape[1])
    for _ in range(2):
        lib.call('mtl_spec_add_dense', spec, 64, 'relu')
    lib.call('mtl_spec_add_task', spec, TASK, ctypes.c_int32(MULTICLASS), classes)
    model = lib.make('mtl_model_create', spec)
    how = lib.options(FIT, epochs=60, seed=seed, patience=10, validation_split=0.1,
                      validation='random', l2=1e-4)
    lib.call('mtl_fit', model, data, None, how, None)
    lib.free('options', how)
    lib.free('spec', spec)
    return model, data


def accuracy(lib, model, x, y, classes):
    x = np.ascontiguousarray(x, np.float32)
    out = np.zeros((len(x), classes), np.float32)
    lib.call('mtl_predict', model, len(x), x, x.shape[1], out, classes)
    return np.mean(out.argmax(1) == y)


def few_labels(y, n, r):
    """n labels, classes by turns; NaN elsewhere."""
    order = r.permutation(len(y))
    turn = np.zeros(len(y))
    for c in np.unique(y):
        rows = [i for i in order if y[i] == c]
        turn[rows] = np.arange(len(rows))
    few = np.full(len(y), np.nan)
    keep = order[np.argsort(turn[order], kind='stable')][:n]
    few[keep] = y[keep]
    return few


def main():
    p = argparse.ArgumentParser()
    p.add_argument('lib')
    p.add_argument('folder')
    p.add_argument('--rows', default='0,10,50,200')
    p.add_argument('--seeds', type=int, default=10)
    p.add_argument('--strategies',
                   default='auto,as_is,statistics,coral,mmd,tune,replay,fine_tune,linear,scratch')
    a = p.parse_args()
    lib = Library(a.lib)
    names = a.strategies.split(',')
    x, y, split, domain = load(os.path.normpath(a.folder))
    y = y[:, 0]
    classes = int(y.max()) + 1
    new, test = (domain == 1) & (split == 0), (domain == 1) & (split == 1)
    print('rows ' + ' '.join('%12s' % n for n in names))
    result = {}
    for seed in range(a.seeds):
        model, known = fitted(lib, x[domain == 0], y[domain == 0], classes, seed)
        for n in map(int, a.rows.split(',')):
            few = few_labels(y[new], n, np.random.default_rng(1000 + seed))
            target = lib.dataset(x[new], {TASK: few}, {TASK: (MULTICLASS, classes)})
            for name in names:
                how = lib.options(TRANSFER, strategy=name, seed=seed)
                moved = ctypes.c_void_p()
                try:
                    lib.call('mtl_transfer', model, target, known, how, ctypes.byref(moved), None)
                    score = accuracy(lib, moved, x[test], y[test], classes)
                    lib.free('model', moved)
                except RuntimeError:  # needs a label
                    score = np.nan
                result.setdefault((n, name), []).append(score)
                lib.free('options', how)
            lib.free('dataset', target)
        lib.free('model', model)
        lib.free('dataset', known)
    for n in map(int, a.rows.split(',')):
        print('%4d ' % n + ' '.join('%6.3f+-%.3f' % (np.mean(s), np.std(s) / len(s) ** .5)
                                    for s in (result[n, name] for name in names)), flush=True)


if __name__ == '__main__':
    main()
