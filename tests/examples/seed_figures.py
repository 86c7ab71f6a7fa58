#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The document's example over 20 seeds against PyTorch: the means must lie within two standard errors
of their difference.

    seed_figures.py SEED-PROGRAM EPOCHS DATA-FOLDER

The reference is results_by_epochs of examples/data/seed/meta.json (PyTorch 1.13.0a0, CPU, 20 seeds,
the same rows, network and settings), written out here so that both have to change together.
"""
import json
import math
import pathlib
import subprocess
import sys

SEEDS = 20
#             (mean, standard deviation over the seeds)
PYTORCH = {10: {"rounded": (0.834166657924652, 0.012253421184624613),
                "argmax": (0.7632499933242798, 0.017341392259165513),
                "loss": (1.1441410183906555, 0.03165149677580119)},
           50: {"rounded": (0.8598333418369293, 0.009364301925753866),
                "argmax": (0.79375, 0.016533466374617792),
                "loss": (1.3412004113197327, 0.06267757179799513)}}
COLUMNS = ["rounded", "argmax", "loss"]


def figures(text):
    """The rows of the program's table, and its own mean and sd lines."""
    rows, summary = [], {}
    for line in text.splitlines()[1:]:
        first, *numbers = line.split()
        numbers = [float(number) for number in numbers]
        if first in ("mean", "sd"):
            summary[first] = numbers
        else:
            rows.append(numbers)
    return rows, summary


def mean_sd(values):
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def main(program, epochs, folder):
    reference = PYTORCH[epochs]
    meta = json.loads((pathlib.Path(folder) / "meta.json").read_text())["results_by_epochs"]
    for name, (mean, sd) in reference.items():
        assert meta[str(epochs)][name]["mean"] == mean and meta[str(epochs)][name]["sd"] == sd, name

    text = subprocess.run([program, "--seeds", str(SEEDS), "--epochs", str(epochs),
                           "--data", folder], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows, summary = figures(text)
    assert len(rows) == SEEDS
    assert len({tuple(row) for row in rows}) > SEEDS // 2, "the seeds do not differ"
    worst = 0
    for k, name in enumerate(COLUMNS):
        mean, sd = mean_sd([row[k] for row in rows])
        assert abs(mean - summary["mean"][k]) < 2e-6 and abs(sd - summary["sd"][k]) < 2e-6
        theirs, their_sd = reference[name]
        error = math.sqrt((sd ** 2 + their_sd ** 2) / SEEDS)
        distance = (mean - theirs) / error
        print(f"{epochs} epochs, {name}: libmtl {mean:.4f} +- {sd:.4f}, PyTorch {theirs:.4f} "
              f"+- {their_sd:.4f}: {distance:+.2f} standard errors apart")
        worst = max(worst, abs(distance))
    return 0 if worst <= 2 else 1


sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
