#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole work through FFI with Python's standard library alone: fit with a callback, predict from
threads, transfer, save, load. usage: test_ctypes.py libmtl.so"""

import array
import ctypes
import math
import os
import random
import sys
import tempfile
import threading

OPTIONS_FIT, OPTIONS_TRANSFER = 2, 3
BINARY, MULTICLASS, REGRESSION = 1, 2, 4
CONTINUE = 1
RANGE, KEY, VALUE, STATE, FORMAT = -11, -13, -16, -31, -41

ROWS, INPUTS = 300, 4
PROGRESS = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                            ctypes.c_double, ctypes.c_double, ctypes.c_void_p)

mtl = ctypes.CDLL(sys.argv[1])
for returns_text in ('mtl_error_message', 'mtl_version_string', 'mtl_model_task_name',
                     'mtl_status_name'):
    getattr(mtl, returns_text).restype = ctypes.c_char_p
for returns_pointer in ('mtl_error_create',):
    getattr(mtl, returns_pointer).restype = ctypes.c_void_p
for returns_count in ('mtl_model_tensor_count', 'mtl_model_outputs', 'mtl_option_count',
                      'mtl_model_task_count', 'mtl_model_member_count'):
    getattr(mtl, returns_count).restype = ctypes.c_int64


class Failure(Exception):
    def __init__(self, status, message):
        super().__init__(f'{status}: {message}')
        self.status, self.message = status, message


def call(name, *args):
    """Call a function that returns a status; pointers and counts are wide enough for any ABI."""
    err = ctypes.c_void_p(mtl.mtl_error_create())
    wide = [ctypes.c_int64(a) if isinstance(a, int) else a for a in args]
    status = getattr(mtl, name)(*wide, err)
    message = mtl.mtl_error_message(err).decode()
    mtl.mtl_error_destroy(err)
    if status:
        raise Failure(status, message)


def made(name, *args):
    """Call a function whose last argument before the error is a new handle."""
    handle = ctypes.c_void_p()
    call(name, *args, ctypes.byref(handle))
    assert handle.value
    return handle


def fails(status, part, name, *args):
    try:
        call(name, *args)
    except Failure as f:
        assert f.status == status and part in f.message, f
    else:
        raise AssertionError(f'{name} did not fail')


def pointer(numbers):
    return ctypes.c_void_p(numbers.buffer_info()[0])


def floats(values):
    return array.array('f', values)


def make_data():
    rng = random.Random(1)
    x = floats(rng.uniform(-1, 1) for _ in range(ROWS * INPUTS))
    rows = [x[i * INPUTS:(i + 1) * INPUTS] for i in range(ROWS)]
    nan = math.nan
    return x, {
        'up': floats(float(r[0] > 0) for r in rows),
        'third': floats(nan if i % 5 == 0 else float((r[1] > -0.3) + (r[1] > 0.3))
                        for i, r in enumerate(rows)),
        'level': floats(10 + 3 * r[2] - r[3] for r in rows),
        'both': floats(float(r[0] > 0 and r[1] > 0) for r in rows),
    }


def dataset(x, labels, names, rows=ROWS):
    data = made('mtl_dataset_create', None, pointer(x), rows, INPUTS, INPUTS)
    for name in names:
        call('mtl_dataset_set_labels', data, name.encode(), 1, pointer(labels[name]), 1)
    return data


def make_model():
    spec = made('mtl_spec_create', None, INPUTS)
    call('mtl_spec_add_dense', spec, 16, b'relu')
    call('mtl_spec_add_task', spec, b'up', ctypes.c_int32(BINARY), 1)
    call('mtl_spec_add_task', spec, b'third', ctypes.c_int32(MULTICLASS), 3)
    call('mtl_spec_add_task', spec, b'level', ctypes.c_int32(REGRESSION), 1)
    model = made('mtl_model_create', spec)
    mtl.mtl_spec_destroy(spec)
    return model


def options(group, **values):
    handle = made('mtl_options_create', ctypes.c_int32(group))
    for key, value in values.items():
        if isinstance(value, int):
            call('mtl_options_set_i64', handle, key.encode(), value)
        elif isinstance(value, float):
            call('mtl_options_set_f64', handle, key.encode(), ctypes.c_double(value))
        else:
            call('mtl_options_set_str', handle, key.encode(), value.encode())
    return handle


def figure(report, name):
    value = ctypes.c_double()
    call('mtl_report_get_f64', report, name.encode(), ctypes.byref(value))
    return value.value


def text_of(report, name):
    value = ctypes.c_char_p()
    call('mtl_report_get_str', report, name.encode(), ctypes.byref(value))
    return value.value.decode()


def predict(model, x, rows=ROWS):
    outputs = mtl.mtl_model_outputs(model)
    out = array.array('f', bytes(4 * rows * outputs))
    call('mtl_predict', model, rows, pointer(x), INPUTS, pointer(out), outputs)
    return out


def check_fit(x, labels):
    data = dataset(x, labels, ('up', 'third', 'level'))
    model, calls = make_model(), []

    def progress(epoch, step, steps, train, valid, user):
        calls.append((epoch, step, steps, train, valid))
        return CONTINUE

    callback = PROGRESS(progress)
    how = options(OPTIONS_FIT, epochs=80, learning_rate=0.01, seed=3)
    call('mtl_options_set_progress', how, callback, None)
    report = ctypes.c_void_p()
    call('mtl_fit', model, data, None, how, ctypes.byref(report))
    assert len(calls) >= 80 and calls[-1][0] == 80 and calls[-1][1] == calls[-1][2], calls[-1]
    assert text_of(report, 'reason') == 'epochs'
    out = predict(model, x)
    right = sum((out[5 * i] > 0.5) == (labels['up'][i] == 1) for i in range(ROWS)) / ROWS
    level = sum((out[5 * i + 4] - labels['level'][i]) ** 2 for i in range(ROWS)) / ROWS
    assert right > 0.9 and level < 0.2, (right, level)
    mtl.mtl_report_destroy(report)

    # An exception in a callback is printed by ctypes and seen as 0 by C: it stops the fit.
    def broken(*_):
        raise RuntimeError('on purpose')

    callback = PROGRESS(broken)
    call('mtl_options_set_progress', how, callback, None)
    sys.unraisablehook = lambda _: None
    call('mtl_fit', model, data, None, how, ctypes.byref(report))
    assert text_of(report, 'reason') == 'cancelled' and figure(report, 'epochs') < 80
    mtl.mtl_report_destroy(report)
    mtl.mtl_options_destroy(how)
    return model, data


def check_sparse(model, x):
    """All inputs listed as compressed rows; a column listed twice is named."""
    start = array.array('q', range(0, ROWS * INPUTS + 1, INPUTS))
    column = array.array('i', list(range(INPUTS)) * ROWS)
    data = made('mtl_dataset_create_csr', None, ROWS, INPUTS, pointer(start), pointer(column),
                pointer(x))
    again = floats([0.0]) * (ROWS * INPUTS)
    call('mtl_dataset_get_inputs', data, 0, ROWS, pointer(again), INPUTS)
    assert again == x
    out = floats([0.0]) * (ROWS * 5)
    fails(STATE, 'moves 0', 'mtl_predict_csr', model, ROWS, pointer(start), pointer(column),
          pointer(x), pointer(out), 5)
    column[1] = 0
    fails(VALUE, 'row 0 has column 0 at offset 1', 'mtl_dataset_create_csr', None, ROWS, INPUTS,
          pointer(start), pointer(column), pointer(x), ctypes.byref(ctypes.c_void_p()))
    mtl.mtl_dataset_destroy(data)


def check_threads(model, x):
    expected, wrong = predict(model, x).tobytes(), []

    def work():
        for _ in range(20):
            if predict(model, x).tobytes() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def check_transfer(model, data, x, labels):
    target = dataset(x, labels, ('both',), rows=60)
    how = options(OPTIONS_TRANSFER, strategy='probe', epochs=50)
    before = predict(model, x)
    tuned, report = ctypes.c_void_p(), ctypes.c_void_p()
    call('mtl_transfer', model, target, data, how, ctypes.byref(tuned), ctypes.byref(report))
    assert text_of(report, 'strategy') == 'probe'
    assert mtl.mtl_model_task_count(tuned) == 4
    assert mtl.mtl_model_task_name(tuned, ctypes.c_int64(3)) == b'both'
    assert predict(model, x) == before
    out = predict(tuned, x)
    assert all(out[6 * i:6 * i + 5] == before[5 * i:5 * i + 5] for i in range(ROWS))
    mtl.mtl_report_destroy(report)
    mtl.mtl_options_destroy(how)
    mtl.mtl_dataset_destroy(target)
    return tuned


def check_files(model, x):
    expected = predict(model, x).tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.mtl').encode()
        call('mtl_model_save', model, path)
        assert os.listdir(folder) == ['model.mtl']
        loaded = made('mtl_model_load', None, path)
        assert predict(loaded, x).tobytes() == expected
        mtl.mtl_model_destroy(loaded)
    buffer, size = ctypes.c_void_p(), ctypes.c_int64()
    call('mtl_model_save_buffer', model, ctypes.byref(buffer), ctypes.byref(size))
    data = ctypes.string_at(buffer, size.value)
    mtl.mtl_free(buffer)
    loaded = made('mtl_model_load_buffer', None, data, len(data))
    assert predict(loaded, x).tobytes() == expected
    mtl.mtl_model_destroy(loaded)
    try:
        made('mtl_model_load_buffer', None, data[:40], 40)
    except Failure as f:
        assert f.status == FORMAT, f
    else:
        raise AssertionError('a cut buffer was read')


def check_aggregate():
    """Two tasks that pull apart: no update of UPGrad makes either worse."""
    rows = array.array('f', [1, 0, 0, -1, 1, 0])
    weights, update, residual = (ctypes.c_double * 2)(), (ctypes.c_float * 3)(), ctypes.c_double()
    address = rows.buffer_info()[0]
    call('mtl_aggregate', b'upgrad', 2, 3, ctypes.c_void_p(address), 3, None, weights, update,
         ctypes.byref(residual))
    assert [round(v, 6) for v in update] == [0.25, 0.75, 0], list(update)
    assert abs(residual.value) < 1e-12
    agg = made('mtl_aggregator_create', b'dwa', 2, 0, 1)
    losses = (ctypes.c_double * 2)(1, 2)
    call('mtl_aggregator_step', agg, None, 0, losses, weights, None, None)
    assert list(weights) == [1, 1], list(weights)
    mtl.mtl_aggregator_destroy(agg)
    affinity = (ctypes.c_double * 9)(0, -1, 1, -1, 0, -1, 1, -1, 0)
    group, score = (ctypes.c_int64 * 3)(), ctypes.c_double()
    call('mtl_task_groups', 3, affinity, 3, 0, group, ctypes.byref(score))
    assert list(group) == [0, 1, 0] and score.value == 2, (list(group), score.value)


def check_members(model, tuned, x):
    """The mean of two models, each with all of the tasks that it has."""
    pair = (ctypes.c_void_p * 2)(model, tuned)
    mean = made('mtl_model_create_average', pair, 2, None)
    assert mtl.mtl_model_member_count(mean) == 2
    assert mtl.mtl_model_task_count(mean) == mtl.mtl_model_task_count(tuned)
    a, b, m = predict(model, x), predict(tuned, x), predict(mean, x)
    assert abs(m[0] - (a[0] + b[0]) / 2) < 1e-6, (a[0], b[0], m[0])
    fails(STATE, 'members', 'mtl_model_freeze', mean, b'trunk', 1)
    mtl.mtl_model_destroy(mean)


def check_transferability():
    """A column that says the class is worth more than one that does not."""
    x = array.array('f', [1, 2, 5, 6, 1, 2, 5, 6])
    scores = []
    for classes in ([0, 0, 1, 1, 0, 0, 1, 1], [0, 1, 1, 0, 1, 0, 0, 1]):
        y, score = array.array('f', classes), ctypes.c_double()
        call('mtl_transferability', b'h_score', 8, 1, ctypes.c_void_p(x.buffer_info()[0]), 1, 2, 1,
             ctypes.c_void_p(y.buffer_info()[0]), 1, ctypes.byref(score))
        scores.append(score.value)
    assert scores[0] > 0.9 and abs(scores[1]) < 1e-9, scores


def main():
    version = mtl.mtl_version_string().decode()
    assert mtl.mtl_version() == sum(
        int(v) * f for v, f in zip(version.split('.'), (10000, 100, 1)))
    x, labels = make_data()
    model, data = check_fit(x, labels)
    check_sparse(model, x)
    check_threads(model, x)
    how = options(OPTIONS_FIT)
    fails(KEY, 'epochs', 'mtl_options_set_i64', how, b'epoch', 3)
    fails(RANGE, 'epochs', 'mtl_options_set_i64', how, b'epochs', -3)
    labels['up'][7] = 0.5
    fails(VALUE, 'up', 'mtl_fit', model, data, None, None, None)
    labels['up'][7] = 0
    mtl.mtl_options_destroy(how)
    tuned = check_transfer(model, data, x, labels)
    check_files(tuned, x)
    check_members(model, tuned, x)
    for handle in (model, tuned):
        mtl.mtl_model_destroy(handle)
    mtl.mtl_dataset_destroy(data)
    check_aggregate()
    check_transferability()
    print('fit, threads, transfer and files through ctypes: as they should be')


if __name__ == '__main__':
    main()
