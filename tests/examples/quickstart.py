#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The quickstart does what it says: quickstart.py PROGRAM DATA-FOLDER."""
import os
import re
import subprocess
import sys
import tempfile


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def block(text, title):
    """The rows under a title, up to the empty line: label to list of numbers."""
    lines = text[text.index(title):].splitlines()[1:]
    rows = {}
    for line in lines[:lines.index("")]:
        label, rest = line[:28].strip(), line[28:]
        rows[label] = [float(n) for n in re.findall(r"[-+]?\d+\.\d+", rest)]
    return rows


def main(program, data):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "digits.mtl")
        done = run(program, data, path)
        assert done.returncode == 0, done.stderr
        assert os.path.getsize(path) > 10000
        assert done.stderr == "", "a progress bar although this is no terminal"
        missing = run(program, folder, path)
        assert missing.returncode == 1 and "digits_x.npy" in missing.stderr, missing.stderr
    text = done.stdout
    print(text)

    # Well below what was measured, well above what guessing gives (1/7; the two classes about even).
    known = {task: numbers for task, *numbers in re.findall(
        r"^  (\w+) .* (?:accuracy|rmse) (\S+) +(?:f1|roc_auc|r2) (\S+)$", text, re.M)}
    known = {task: [float(n) for n in numbers] for task, numbers in known.items()}
    assert min(known[task][0] for task in ("digit", "odd", "above_four")) > 0.9, known
    assert known["ink"][1] > 0.8, "R2"
    assert "the same, bit for bit" in text

    auc = block(text, "ROC AUC, labelled")
    ways = {"from scratch", "probe (trunk frozen)", "fine-tune", "fine-tune + known data"}
    assert set(auc) == ways
    for numbers in auc.values():
        mean, error = numbers[::2], numbers[1::2]
        assert len(mean) == 3 and all(0.5 < m <= 1 for m in mean) and mean[0] < mean[2]
        assert all(0 < e < 0.1 for e in error)

    # What the table of differences says is what the table of means says.
    differences = block(text, "ROC AUC minus")
    assert set(differences) >= ways - {"from scratch"}
    for way in ways - {"from scratch"}:
        numbers = differences[way]
        for k, difference in enumerate(numbers[::2]):
            expected = auc[way][2 * k] - auc["from scratch"][2 * k]
            assert abs(difference - expected) < 0.0016, (way, k)
    # Chosen by itself: a reason, and test rows told apart.
    chosen = re.findall(r"^ +(\d+) rows: (\w.*) has an expected error of .*\n.*\n +ROC AUC on test rows (\S+);",
                        text, re.M)
    assert [int(rows) for rows, _, _ in chosen] == [10, 30, 100], chosen
    assert all(float(area) > 0.7 for _, _, area in chosen), chosen
    kept = block(text, 'Known task "digit" after it')
    assert abs(kept["probe (trunk frozen)"][0] - known["digit"][0]) < 0.0006, "a frozen trunk moved"
    assert kept["fine-tune + known data"][4] > kept["fine-tune"][4], "the known data does not help"


main(*sys.argv[1:])
