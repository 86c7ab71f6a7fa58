#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What sharing does on real tables: one net per task, the shared one with every weighting, the judge.

  multitask.py PATH/TO/mtl_quality [--splits N] [--only NAMES] [--per-task] [--csv FILE]
               [--options TEXT] FOLDER...

The nets are trained by mtl_quality, on the same splits and with the same options but for the weighting
(see quality.c for what a folder holds). For each set and method it prints the mean over tasks of the
figure (area under the ROC curve, or RRMSE), delta_m against the nets of single tasks (mean over tasks
of the relative gain, positive = sharing helps), how many tasks are better than alone, and the processor
seconds of a split, fit and prediction; +- is the standard error over splits. In the end the judge, and weighting=auto, against what
they choose from, by pairs of splits. Python alone, no packages."""
import argparse
import csv
import math
import os
import resource
import subprocess
import sys
import tempfile

STOP = "epochs=100 validation_split=0.2 validation=random patience=10"
WEIGHTINGS = [
    "sum", "rlw", "mgda", "mgda:normalise=l2", "pcgrad", "gradvac", "cagrad", "imtl_g", "nash",
    "fairgrad", "aligned_mtl", "upgrad", "dualproj", "config", "gradnorm", "uw", "dwa", "gls", "imtl_l",
    "stch", "famo", "auto",
]
LAYERS = ["upgrad", "gradvac"]  # that have weights for each layer, too


def recipes():
    yield "single", 1, ""
    yield "shared", 0, ""
    for kind in WEIGHTINGS[1:]:
        yield kind, 0, " weighting=" + kind
    for kind in LAYERS:
        yield kind + "/layer", 0, " weighting_scope=layer weighting=" + kind
    yield "judge", 0, " judge=1"
    yield "judge+auto", 0, " judge=1 weighting=auto"


def mean_error(values):
    """Mean and its standard error of what is no NaN."""
    v = [x for x in values if not math.isnan(x)]
    if not v:
        return math.nan, math.nan
    mean = sum(v) / len(v)
    spread = sum((x - mean) ** 2 for x in v)
    return mean, math.sqrt(spread / (len(v) - 1) / len(v)) if len(v) > 1 else math.nan


def run(tool, folder, splits, chosen):
    """{method: {(split, task): value}}, {method: seconds}, the metric; as they come."""
    figures, times, metric = {}, {}, ""
    for name, own, options in chosen:
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "figures.csv")
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            recipe = f"its-{name}|64,64|1|mini|0|{own}|{STOP}{options}"
            done = subprocess.run([tool, "--splits", str(splits), "--recipe", recipe, "--only",
                                   "its-" + name, "--csv", path, folder],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                print(f"{os.path.basename(folder):12} {name:18} {done.stderr.strip()}", flush=True)
                continue
            with open(path, newline="") as f:
                for row in csv.DictReader(f):
                    key = int(row["split"]), int(row["task"])
                    figures.setdefault(name, {})[key] = float(row["value"])
                    metric = row["metric"]
            times[name] = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / splits
        yield name, figures, times, metric


def by_split(values, fn):
    splits = sorted({s for s, _ in values})
    return [mean_error([fn(k, v) for k, v in values.items() if k[0] == s])[0] for s in splits]


def gains(values, base, metric):
    sign = 1 if metric == "auc" else -1
    return {k: sign * (v - base[k]) / base[k] for k, v in values.items()}


def line(folder, name, figures, times, metric):
    values = figures[name]
    mean, error = mean_error(by_split(values, lambda k, v: v))
    text = f"{folder:12} {name:18} {metric:5} {mean:.4f} +- {error:.4f}"
    if "single" in figures:
        g = gains(values, figures["single"], metric)
        delta, spread = mean_error(by_split(g, lambda k, v: v))
        tasks = sorted({t for _, t in g})
        better = sum(mean_error([v for k, v in g.items() if k[1] == t])[0] > 0 for t in tasks)
        text += f"  delta_m {100 * delta:+7.2f} +- {100 * spread:5.2f} %  better {better}/{len(tasks)}"
    print(text + f"  {times[name]:8.2f} s", flush=True)


def versus(folder, name, others, figures, metric):
    """By pairs of splits: positive = the method is better than the better one of the others."""
    there = [o for o in others if o in figures]
    if name not in figures or not there:
        return
    sign = 1 if metric == "auc" else -1
    means = {o: by_split(figures[o], lambda k, v: v) for o in there + [name]}
    best = max(there, key=lambda o: sign * mean_error(means[o])[0])
    mean, error = mean_error([sign * (a - b) for a, b in zip(means[name], means[best])])
    print(f"{folder:12} {name} - {best}: {mean:+.4f} +- {error:.4f}"
          f"{'' if mean >= -error else '  WORSE'}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tool")
    p.add_argument("folder", nargs="+")
    p.add_argument("--splits", type=int, default=5)
    p.add_argument("--only", help="methods, with commas")
    p.add_argument("--per-task", action="store_true")
    p.add_argument("--options", help="of every fit besides, as weighting_scope=features")
    p.add_argument("--csv", help="write set,method,split,task,metric,value,cpu_seconds")
    a = p.parse_args()
    extra = " " + a.options if a.options else ""
    chosen = [(name, own, options + extra) for name, own, options in recipes()
              if not a.only or name in a.only.split(",")]
    out = open(a.csv, "w") if a.csv else None
    for path in a.folder:
        folder = os.path.basename(os.path.normpath(path))
        figures, times, metric = {}, {}, ""
        for name, figures, times, metric in run(a.tool, path, a.splits, chosen):
            line(folder, name, figures, times, metric)
            if out:
                for (s, t), v in sorted(figures[name].items()):
                    out.write(f"{folder},{name},{s},{t},{metric},{v:.9g},{times[name]:.4g}\n")
                out.flush()
        for name in figures if a.per_task else []:
            tasks = sorted({t for _, t in figures[name]})
            row = [mean_error([v for k, v in figures[name].items() if k[1] == t])[0] for t in tasks]
            print(f"{folder:12} {name:18} " + " ".join(f"{v:.3f}" for v in row))
        versus(folder, "judge", ["single", "shared"], figures, metric)
        versus(folder, "judge+auto", ["single", "shared"], figures, metric)
        versus(folder, "auto", ["shared"], figures, metric)
    return 0


sys.exit(main())
