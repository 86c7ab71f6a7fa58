#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libmtl from Python's standard library alone: declare the functions, fit two tasks, predict from
eight threads, move to a third task, save and read back.

    python3 ctypes_predict.py [path of libmtl.so]
"""
import ctypes as c
import os
import random
import sys
import tempfile
import threading

BINARY, REGRESSION = 1, 4        # MTL_BINARY, MTL_REGRESSION
FIT, TRANSFER = 2, 3             # MTL_OPTIONS_FIT, MTL_OPTIONS_TRANSFER
ROWS, INPUTS, THREADS = 1000, 3, 8

handle, out, text, i32, i64, f64 = (c.c_void_p, c.POINTER(c.c_void_p), c.c_char_p, c.c_int32,
                                    c.c_int64, c.c_double)
floats = c.POINTER(c.c_float)

# Name: arguments before the mtl_error. All of these return a status.
CALLS = {
    "mtl_options_create": [i32, out],
    "mtl_options_set_i64": [handle, text, i64],
    "mtl_options_set_str": [handle, text, text],
    "mtl_dataset_create": [handle, floats, i64, i64, i64, out],
    "mtl_dataset_set_labels": [handle, text, i64, floats, i64],
    "mtl_spec_create": [handle, i64, out],
    "mtl_spec_add_dense": [handle, i64, text],
    "mtl_spec_add_task": [handle, text, i32, i64],
    "mtl_model_create": [handle, out],
    "mtl_fit": [handle, handle, handle, handle, out],
    "mtl_predict": [handle, i64, floats, i64, floats, i64],
    "mtl_transfer": [handle, handle, handle, handle, out, out],
    "mtl_evaluate": [handle, handle, handle, out],
    "mtl_report_get_f64": [handle, text, c.POINTER(f64)],
    "mtl_model_save": [handle, text],
    "mtl_model_load": [handle, text, out],
}


class Error(Exception):
    pass


class Library:
    """The C functions, with a status that is not 0 raised as an exception."""

    def __init__(self, path):
        self.c = c.CDLL(path)
        for name, args in CALLS.items():
            function = getattr(self.c, name)
            function.argtypes, function.restype = args + [handle], i32
        for kind in "options", "dataset", "spec", "model", "report", "error":
            getattr(self.c, f"mtl_{kind}_destroy").argtypes = [handle]
            getattr(self.c, f"mtl_{kind}_destroy").restype = None
        self.c.mtl_error_create.restype = handle
        self.c.mtl_error_message.argtypes, self.c.mtl_error_message.restype = [handle], text
        self.c.mtl_version_string.restype = text
        self.c.mtl_model_outputs.argtypes, self.c.mtl_model_outputs.restype = [handle], i64

    def call(self, name, *args):
        err = self.c.mtl_error_create()
        try:
            if getattr(self.c, name)(*args, err) != 0:
                raise Error(self.c.mtl_error_message(err).decode())
        finally:
            self.c.mtl_error_destroy(err)

    def make(self, name, *args):
        """A call whose last argument before the error is an out pointer."""
        made = handle()
        self.call(name, *args, c.byref(made))
        return made


def dataset(lib, x, labels):
    data = lib.make("mtl_dataset_create", None, x, len(x) // INPUTS, INPUTS, INPUTS)
    for task, column in labels.items():
        lib.call("mtl_dataset_set_labels", data, task, 1, column, 1)
    return data  # borrows: x and the columns have to stay


def predict(lib, model, x):
    rows, outputs = len(x) // INPUTS, lib.c.mtl_model_outputs(model)
    values = (c.c_float * (rows * outputs))()
    lib.call("mtl_predict", model, rows, x, INPUTS, values, outputs)
    return bytes(values)


def predict_from_threads(lib, model, x):
    """ctypes lets go of the interpreter's lock during a call: these run side by side."""
    results = [None] * THREADS

    def work(i):
        for _ in range(20):
            results[i] = predict(lib, model, x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def accuracy(lib, model, data, task):
    report, value = lib.make("mtl_evaluate", model, data, None), f64()
    lib.call("mtl_report_get_f64", report, b"metric/accuracy/" + task, c.byref(value))
    lib.c.mtl_report_destroy(report)
    return value.value


def column(x, function):
    rows = [x[i:i + INPUTS] for i in range(0, len(x), INPUTS)]
    return (c.c_float * len(rows))(*[function(*row) for row in rows])


def main():
    lib = Library(sys.argv[1] if len(sys.argv) > 1 else "libmtl.so.0")
    print("libmtl", lib.c.mtl_version_string().decode())
    random.seed(1)
    x = (c.c_float * (ROWS * INPUTS))(*[random.uniform(-1, 1) for _ in range(ROWS * INPUTS)])
    inside = column(x, lambda a, b, _: float(a * a + b * b < 0.6))
    total = column(x, lambda *row: sum(row))
    far = column(x, lambda a, b, _: float(a * a + b * b > 1))
    known = dataset(lib, x, {b"inside": inside, b"sum": total})
    new = dataset(lib, x, {b"far": far})

    spec = lib.make("mtl_spec_create", None, INPUTS)
    lib.call("mtl_spec_add_dense", spec, 32, b"relu")
    lib.call("mtl_spec_add_task", spec, b"inside", BINARY, 1)
    lib.call("mtl_spec_add_task", spec, b"sum", REGRESSION, 1)
    model = lib.make("mtl_model_create", spec)
    how = lib.make("mtl_options_create", FIT)
    lib.call("mtl_options_set_i64", how, b"epochs", 60)
    lib.call("mtl_fit", model, known, None, how, None)
    learned = accuracy(lib, model, known, b"inside")
    print(f"fitted: accuracy of \"inside\" on the training rows {learned:.3f}")

    serial = predict(lib, model, x)
    same = [result == serial for result in predict_from_threads(lib, model, x)]
    print(f"{sum(same)} of {THREADS} threads predicted the bits of a call alone")

    move = lib.make("mtl_options_create", TRANSFER)
    lib.call("mtl_options_set_str", move, b"strategy", b"fine_tune")
    tuned = handle()
    lib.call("mtl_transfer", model, new, known, move, c.byref(tuned), None)
    moved = accuracy(lib, tuned, new, b"far")
    print(f"transferred: accuracy of \"far\" on the training rows {moved:.3f}")

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tuned.mtl").encode()
        lib.call("mtl_model_save", tuned, path)
        back = lib.make("mtl_model_load", None, path)
    kept = predict(lib, back, x) == predict(lib, tuned, x)
    print("read back:", "the same bits" if kept else "OTHER BITS")

    try:
        lib.call("mtl_options_set_i64", how, b"epoch", 1)
        refused = False
    except Error as error:
        refused = True
        print("a mistake is told:", error)

    for kind, things in {"dataset": [known, new], "spec": [spec], "model": [model, tuned, back],
                         "options": [how, move]}.items():
        for thing in things:
            getattr(lib.c, f"mtl_{kind}_destroy")(thing)
    good = all(same) and kept and refused and learned > 0.9 and moved > 0.8
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
