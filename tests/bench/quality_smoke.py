#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""quality_smoke.py MTL_QUALITY: it runs on a table made here, its pieces join, and what another program
finds stands beside. No figure is judged but the line's on a line, and no package is needed."""
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

ROWS, COLUMNS, TASKS = 80, 3, 2

OTHERS = """#!/bin/sh
[ "$3" = forest ] || exit 77
echo "made,forest,$5,0,rrmse,0.5,1.5,0.25"
echo "made,forest,$5,1,rrmse,0.75,1.5,0.25"
"""


def save(path, rows, columns, values):
    """NumPy's format 1.0."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() +
                     struct.pack(f"<{rows * columns}f", *values))


def make(folder):
    draw = random.Random(1)
    x = [[draw.gauss(0, 1) for _ in range(COLUMNS)] for _ in range(ROWS)]
    y = [[2 * r[0] - r[1] + 0.01 * draw.gauss(0, 1),
          float("nan") if i % 5 == 0 else r[2] + 3 + 0.01 * draw.gauss(0, 1)]
         for i, r in enumerate(x)]
    folder.mkdir()
    save(folder / "X.npy", ROWS, COLUMNS, [v for r in x for v in r])
    save(folder / "Y.npy", ROWS, TASKS, [v for r in y for v in r])


def run(*args):
    return subprocess.run([sys.argv[1], *map(str, args)], check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def main():
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        folder, found, others = place / "made", place / "found.csv", place / "others"
        make(folder)
        others.write_text(OTHERS)
        os.chmod(others, 0o755)
        few = ["--recipe", "few|8|1|mini|0|0|epochs=2", "--csv", found, "--python", others]
        run("--splits", 1, "--only", "linear", *few, folder)
        text = run("--splits", 2, "--only", "linear,few,forest,boosting", *few, folder)
        lines = found.read_text().splitlines()
        assert lines[0].startswith("set,method,split,task,metric,value,"), lines[0]
        keys = [tuple(line.split(",")[:4]) for line in lines[1:]]
        assert len(set(keys)) == len(keys) == 2 * 3 * TASKS, keys
        assert all(float(line.split(",")[5]) < 0.05 for line in lines if ",linear," in line), lines
        assert re.search(r"^made +forest +rrmse +0\.6250 \+- 0\.0000  fit +1\.50 s", text, re.M), text
        for rank, name in (1, "linear"), (2, "forest"), (3, "few"):
            assert f"mean rank over 1 sets: {name:20} {rank}.00\n" in text, text
        assert "boosting" not in text, text
        assert run("--splits", 2, "--csv", found).splitlines()[-3:] == text.splitlines()[-3:]
        assert len(found.read_text().splitlines()) == len(lines)


main()
