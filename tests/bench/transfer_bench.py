#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Strategies of mtl_transfer against each other: for each case, number of rows and strategy the mean
and standard error over seeds of the share of the test rows' variance that is explained (R^2; of
classes of the squared error of probabilities), and of how much auto lies above the best floor. That
difference has two standard errors: over draws of the rows to learn from, and over the rows to test
on, which are the same in all draws of one task.

usage: transfer_bench.py libmtl.so DATA [--cases a,b] [--rows 10,30] [--seeds 10] [--strategies x,y]
                         [--page FILE]
DATA: a folder of folders with X.npy, Y.npy, split.npy (and task_id.npy or domain.npy)."""
import argparse
import ctypes
import json
import os
import time
import numpy as np

FIT, TRANSFER = 2, 3
REGRESSION, BINARY, MULTICLASS = 4, 1, 2
FLOORS = ['constant', 'as_is', 'linear', 'scratch']


class Library:
    def __init__(self, path):
        self.dll = ctypes.CDLL(path)
        self.dll.mtl_error_message.restype = ctypes.c_char_p
        self.dll.mtl_error_create.restype = ctypes.c_void_p
        self.error = ctypes.c_void_p(self.dll.mtl_error_create())
        self.keep = []

    def call(self, name, *args):
        args = [ctypes.c_int64(a) if isinstance(a, int) else
                ctypes.c_char_p(a.encode()) if isinstance(a, str) else
                ctypes.c_double(a) if isinstance(a, float) else
                a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a
                for a in args]
        if getattr(self.dll, name)(*args, self.error):
            message = self.dll.mtl_error_message(self.error).decode()
            self.dll.mtl_error_clear(self.error)
            raise RuntimeError(f'{name}: {message}')

    def make(self, name, *args):
        out = ctypes.c_void_p()
        self.call(name, *args, ctypes.byref(out))
        return out

    def free(self, kind, handle):
        getattr(self.dll, f'mtl_{kind}_destroy')(handle)

    def options(self, group, **values):
        o = self.make_group(group)
        for key, value in values.items():
            kind = {int: 'i64', float: 'f64', str: 'str'}[type(value)]
            self.call(f'mtl_options_set_{kind}', o, key, value)
        return o

    def make_group(self, group):
        out = ctypes.c_void_p()
        self.call('mtl_options_create', ctypes.c_int32(group), ctypes.byref(out))
        return out

    def dataset(self, x, labels, kinds):
        x = np.ascontiguousarray(x, np.float32)
        d = self.make('mtl_dataset_create', None, x, x.shape[0], x.shape[1], x.shape[1])
        self.keep = self.keep[-400:] + [x]
        for name, y in labels.items():
            y = np.ascontiguousarray(y, np.float32)
            self.keep.append(y)
            self.call('mtl_dataset_set_labels', d, name, 1, y, 1)
            kind, outputs = kinds[name]
            self.call('mtl_dataset_set_kind', d, name, ctypes.c_int32(kind), outputs)
        return d


class Case:
    """Known rows with their labels, rows of the new task to draw from, rows to test on."""

    def __init__(self, known, pool, test, kinds):
        self.known, self.pool, self.test, self.kinds = known, pool, test, kinds


def kind_of(y):
    y = y[~np.isnan(y)]
    values = np.unique(y)
    if set(values) <= {0, 1}:
        return BINARY, 1
    if len(values) <= 20 and np.all(values == np.arange(len(values))):
        return MULTICLASS, len(values)
    return REGRESSION, 1


def load(folder):
    read = {f[:-4]: np.load(os.path.join(folder, f)) for f in os.listdir(folder)
            if f.endswith('.npy')}
    y = read['Y'].reshape(len(read['X']), -1)
    return read['X'], y, read.get('split'), read.get('task_id', read.get('domain'))


def labelled(x, y):
    keep = ~np.isnan(y)
    return x[keep], y[keep]


def cases_of(folder):
    """One column after another is the new task; or parts of the rows with one label are tasks."""
    name = os.path.basename(folder)
    x, y, split, part = load(folder)
    train, test = split == 0, split == 1
    if part is None:
        columns = range(y.shape[1]) if y.shape[1] < 8 else range(0, y.shape[1], 4)
        for new in columns:
            known = {f't{c}': y[train, c] for c in range(y.shape[1]) if c != new}
            kinds = {f't{c}': kind_of(y[:, c]) for c in range(y.shape[1])}
            yield f'{name}/{new}', Case((x[train], known, ), (*labelled(x[train], y[train, new]),
                                                              f't{new}'),
                                        labelled(x[test], y[test, new]), kinds)
        return
    parts = np.unique(part)
    few = len(parts) == 2
    news = parts[-1:] if few else parts[::20]
    known_parts = parts[:1] if few else np.setdiff1d(parts, news)[::4]
    for new in news:
        rows = np.isin(part, known_parts) & (train | few)
        known = {f't{p}': np.where(part[rows] == p, y[rows, 0], np.nan) for p in known_parts}
        kinds = {f't{p}': kind_of(y[:, 0]) for p in parts}
        a, b = (part == new) & train, (part == new) & test
        yield f'{name}/{new}', Case((x[rows], known), (x[a], y[a, 0], f't{new}'),
                                    (x[b], y[b, 0]), kinds)


def made(seed, related):
    """Tasks that are sums of shared nonlinear features, or whose new one has features of its own."""
    r = np.random.default_rng(seed)
    x = r.standard_normal((3000, 20))

    def features():
        return np.tanh(x @ r.standard_normal((20, 8)) / 3) * 2

    shared = features()
    y = shared @ r.standard_normal((8, 6)) + 0.1 * r.standard_normal((3000, 6))
    new = y[:, 5] if related else features() @ r.standard_normal(8)
    known = {f't{c}': y[:1500, c] for c in range(5)}
    kinds = {f't{c}': (REGRESSION, 1) for c in range(6)}
    return Case((x[:1500], known), (x[1500:2000], new[1500:2000], 't5'), (x[2000:], new[2000:]),
                kinds)


class Source:
    def __init__(self, lib, case, seed):
        x, labels = case.known
        self.lib, self.case = lib, case
        self.data = lib.dataset(x, labels, case.kinds)
        spec = lib.make('mtl_spec_create', None, x.shape[1])
        for _ in range(2):
            lib.call('mtl_spec_add_dense', spec, 64, 'relu')
        for name in labels:
            kind, outputs = case.kinds[name]
            lib.call('mtl_spec_add_task', spec, name, ctypes.c_int32(kind), outputs)
        self.model = lib.make('mtl_model_create', spec)
        how = lib.options(FIT, epochs=60, learning_rate=1e-3, seed=seed, patience=10,
                          validation_split=0.1, validation='random', l2=1e-4)
        lib.call('mtl_fit', self.model, self.data, None, how, None)
        lib.free('options', how)
        lib.free('spec', spec)

    def move(self, x, y, how):
        lib, case = self.lib, self.case
        name = case.pool[2]
        target = lib.dataset(x, {name: y}, case.kinds)
        model, report = ctypes.c_void_p(), ctypes.c_void_p()
        options = lib.options(TRANSFER, **how)
        started = time.perf_counter()
        lib.call('mtl_transfer', self.model, target, self.data, options, ctypes.byref(model),
                 ctypes.byref(report))
        seconds = time.perf_counter() - started
        text = ctypes.c_void_p()
        lib.call('mtl_report_to_json', report, ctypes.byref(text))
        found = json.loads(ctypes.string_at(text))
        lib.dll.mtl_free(text)
        errors = self.errors(model, name)
        for kind, handle in ('report', report), ('model', model), ('options', options), (
                'dataset', target):
            lib.free(kind, handle)
        return errors, seconds, found

    def errors(self, model, name):
        """Of each test row, as shares of the variance: R^2 is 1 less their sum."""
        lib, (x, y) = self.lib, self.case.test
        kind, outputs = self.case.kinds[name]
        task = lib.dll.mtl_model_task_index
        task.restype = ctypes.c_int64
        number = task(model, name.encode())
        x = np.ascontiguousarray(x, np.float32)
        out = np.zeros((len(x), outputs), np.float32)
        lib.call('mtl_predict_task', model, number, len(x), x, x.shape[1], out, outputs)
        want = y[:, None] if kind != MULTICLASS else np.eye(outputs)[y.astype(int)]
        return np.sum((out - want) ** 2, 1) / np.sum((want - want.mean(0)) ** 2)

    def free(self):
        self.lib.free('model', self.model)
        self.lib.free('dataset', self.data)


def draw(case, n, seed):
    x, y, name = case.pool
    r = np.random.default_rng(1000 + seed)
    order = r.permutation(len(x))
    if case.kinds[name][0] == MULTICLASS:  # classes by turns, so that every one occurs
        turn = np.zeros(len(x))
        for c in np.unique(y):
            rows = [i for i in order if y[i] == c]
            turn[rows] = np.arange(len(rows))
        order = order[np.argsort(turn[order], kind='stable')]
    return x[order[:n]], y[order[:n]]


def mean_of(x):
    """Mean and its standard error; NaN, of a strategy that is not for such tasks, is left out."""
    x = x[np.isfinite(x)]
    return (x.mean(), x.std() / len(x) ** .5) if len(x) else (np.nan, np.nan)


def over_rows(ours, theirs):
    """Standard error of the mean difference as test rows are drawn, those of each task by themselves."""
    tasks = {}
    for (task, a), (_, b) in zip(ours, theirs):
        tasks.setdefault(task, []).append(b - a)
    variance = [len(d[0]) * np.mean(d, 0).var() for d in tasks.values()]
    return sum(variance) ** .5 / len(tasks)


def write_page(path, names, lines):
    def figure(mean, error):
        return '' if np.isnan(mean) else '%.3f ± %.3f' % (mean, error)

    with open(path, 'w') as f:
        f.write('| | rows | best floor | auto minus it | over draws | over test rows | taken | s |\n')
        f.write('| --- | --- | --- | --- | --- | --- | --- | --- |\n')
        for title, n, _, gain in lines:
            if gain:
                mean, draws, rows, floor, chosen, seconds = gain
                f.write(f'| {title} | {n} | {floor} | {mean:+.3f} | ± {draws:.3f} | ± {rows:.3f} | {chosen} '
                        f'| {seconds:.2f} |\n')
        f.write('\n| strategy | mean of all lines |\n| --- | --- |\n')
        mean = {k: [x[k][0] for _, _, x, _ in lines if np.isfinite(x[k][0])] for k in names}
        for k in sorted(names, key=lambda k: -np.mean(mean[k] or [-9])):
            few = '' if len(mean[k]) == len(lines) else f' ({len(mean[k])} of {len(lines)} lines)'
            if mean[k]:
                f.write(f'| {k} | {np.mean(mean[k]):.3f}{few} |\n')
        for title in dict.fromkeys(t for t, _, _, _ in lines):
            own = [(n, x) for t, n, x, _ in lines if t == title]
            f.write(f'\n| {title} | ' + ' | '.join(f'{n} rows' for n, _ in own) + ' |\n')
            f.write('| --- |' + ' --- |' * len(own) + '\n')
            for k in names:
                f.write(f'| {k} | ' + ' | '.join(figure(*x[k]) for _, x in own) + ' |\n')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('lib')
    p.add_argument('data')
    p.add_argument('--cases', default='made,enb,sarcos4449,yeast,chembl7,school,mnist_usps')
    p.add_argument('--rows', default='10,30,100,200')
    p.add_argument('--seeds', type=int, default=10)
    p.add_argument('--strategies', default='auto,constant,as_is,linear,exact_probe,shift,stacked,'
                                           'tune,bottleneck,bias_only,lora,discriminative,gradual,l2_sp,'
                                           'l2_sp_fisher,ewc,delta,bss,co_tuning,distil,wise,'
                                           'replay,scored,gated,a_gem,lp_ft,fine_tune,scratch',
                   help='by commas, or by blanks where one has parameters of its own')
    p.add_argument('--page', help='the tables once more, in Markdown')
    p.add_argument('--each', action='store_true', help='print every new task too')
    a = p.parse_args()
    lib = Library(a.lib)
    names = a.strategies.split() if ' ' in a.strategies else a.strategies.split(',')
    rows = [int(n) for n in a.rows.split(',')]
    print('%-22s %4s ' % ('case', 'rows') + ' '.join('%12s' % n[:12] for n in names) +
          '  auto - best floor')
    overall = {n: [] for n in names}
    lines = []
    taken = {}
    for group in a.cases.split(','):
        sets = ([('related', None), ('unrelated', None)] if group == 'made' else
                list(cases_of(os.path.join(a.data, group))))
        if group != 'made':
            sets = sets[-3:]
        result = {}
        for title, case in sets:
            for seed in range(a.seeds):
                c = case or made(seed, title == 'related')
                source = Source(lib, c, seed)
                for n in rows:
                    if n > len(c.pool[0]):
                        continue
                    x, y = draw(c, n, seed)
                    key = (title if a.each or case is None else group, n)
                    for name in names:
                        try:
                            errors, seconds, found = source.move(
                                x, y, {'strategy': name, 'seed': seed})
                        except RuntimeError as e:
                            errors, seconds, found = np.full(1, np.nan), 0, {}
                            if seed == 0 and n == rows[0]:
                                print(f'{title} {name}: {e}')
                        task = title if case else (title, seed)
                        result.setdefault(key, {}).setdefault(name, []).append((task, errors))
                        if name == 'auto':
                            taken.setdefault(key, []).append((found.get('strategy'), seconds))
                source.free()
        for (title, n), scores in result.items():
            v = {k: np.array([max(1 - e.sum(), -1) for _, e in runs]) for k, runs in scores.items()}
            figures = {k: mean_of(v[k]) for k in names}
            line = '%-22s %4d ' % (title, n)
            for k in names:
                overall[k].append(figures[k][0])
                line += ' %6.3f+-%.3f' % figures[k]
            floors = [k for k in FLOORS if k in v and np.isfinite(v[k]).all()]
            gain = None
            if 'auto' in v and floors:
                best = max(floors, key=lambda k: v[k].mean())
                chosen = [s for s, _ in taken[title, n]]
                gain = (*mean_of(v['auto'] - v[best]), over_rows(scores['auto'], scores[best]), best,
                        ' '.join(f'{s}:{chosen.count(s)}' for s in sorted(set(chosen))),
                        np.median([s for _, s in taken[title, n]]))
                line += '  %+.3f+-%.3f/%.3f %s  %s %.2fs' % gain
            lines.append((title, n, figures, gain))
            print(line, flush=True)
    print('%-27s ' % 'mean' + ' '.join('%12.3f' % mean_of(np.array(overall[k]))[0] for k in names))
    if a.page:
        write_page(a.page, names, lines)


if __name__ == '__main__':
    main()
