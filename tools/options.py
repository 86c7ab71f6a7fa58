#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print docs/options.md from the library's own tables, or compare with --check FILE.

  tools/options.py LIBMTL [--check docs/options.md]
"""
import ctypes
import sys

GROUPS = [
    (1, "Context", "mtl_context_create"),
    (2, "Fit", "mtl_fit"),
    (3, "Transfer", "mtl_transfer"),
    (4, "Evaluate", "mtl_evaluate"),
    (5, "CSV", "mtl_dataset_load_csv"),
    (6, "Make classification", "mtl_dataset_make_classification"),
    (7, "Task", "mtl_spec_task_set_i64, _f64, _str"),
    (8, "Calibrate", "mtl_model_calibrate"),
    (9, "Make regression", "mtl_dataset_make_regression"),
    (10, "Make tasks", "mtl_dataset_make_tasks"),
]
TYPES = {1: "whole number", 2: "number", 3: "text"}


def rows(lib, group):
    text = ctypes.c_char_p
    for i in range(lib.mtl_option_count(group)):
        key, default, span, meaning = text(), text(), text(), text()
        kind = ctypes.c_int32()
        status = lib.mtl_option_info(group, ctypes.c_int64(i), ctypes.byref(key),
                                     ctypes.byref(kind), ctypes.byref(default),
                                     ctypes.byref(span), ctypes.byref(meaning), None)
        assert status == 0
        meaning = meaning.value.decode().replace("|", "\\|")
        yield [f"`{key.value.decode()}`", TYPES[kind.value],
               f"`{default.value.decode()}`" if default.value else "",
               span.value.decode().replace("|", ", "), meaning]


def document(lib):
    lib.mtl_option_count.restype = ctypes.c_int64
    lines = ["# Options", "",
             "Printed from the library's own tables by `tools/options.py`; a test holds the two "
             "together. Programs read the same through `mtl_option_count` and "
             "`mtl_option_info`.", ""]
    for group, title, user in GROUPS:
        lines += [f"## {title}", "", f"Read by `{user}`.", "",
                  "| key | type | default | range | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(row) + " |" for row in rows(lib, group)]
        lines.append("")
    return "\n".join(lines)


def main():
    text = document(ctypes.CDLL(sys.argv[1]))
    if len(sys.argv) < 4:
        print(text, end="")
        return 0
    with open(sys.argv[3], encoding="utf-8") as f:
        if f.read() == text:
            print(f"{sys.argv[3]} says what the tables say")
            return 0
    print(f"{sys.argv[3]} differs: make it anew with tools/options.py LIBMTL > {sys.argv[3]}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
