#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_smoke.py MTL_BENCH: it runs, small; its CSV is well formed. No time is judged."""
import csv
import io
import math
import subprocess
import sys

CASES = ["sq8-N?", "sq48-TN", "sq96-NN", "fwd-32x64x3-NN", "train-a", "predict-a-b1",
         "predict-a-b32", "cold-a", "weight", "threads-sq16-NN", "scale-tasks-3", "scale-batch-8",
         "numeric-ple", "tabm-k8-128"]
# What has to be there on any machine.
WANTED = [("sq8-NN", "gflops"), ("sq8-NT", "pct_peak"), ("sq48-TN", "gflops_med"),
          ("train-a", "us_per_step"), ("predict-a-b1", "us_median"), ("scale-tasks-3", "us_per_mflop"),
          ("numeric-ple", "x_plain"), ("tabm-k8-128", "x_arithmetic")]


def run(*args):
    return subprocess.run([sys.argv[1], *args], check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def main():
    listed = run("--list")
    text = run("--csv", "--quick", "--seconds=0.005", "--filter=" + ",".join(CASES))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["case", "peer", "threads", "metric", "value"], rows[0]
    seen = set()
    for row in rows[1:]:
        assert len(row) == 5 and all(row), row
        assert int(row[2]) >= 0 and math.isfinite(float(row[4])), row
        key = tuple(row[:4])
        assert key not in seen, f"twice: {key}"
        seen.add(key)
    for name, metric in WANTED:
        assert f"    {name}\n" in listed, f"not listed: {name}"
        # at a level below the CPU's best products go by another name: libmtl-avx2
        assert any(key[0] == name and key[1].startswith("libmtl") and key[2:] == ("1", metric)
                   for key in seen), f"not measured: {name}, {metric}"
    assert "Targets" in run("--quick", "--seconds=0.005", "--filter=sq16-NN", "--only=gemm")
    print(f"{len(rows) - 1} values")


main()
