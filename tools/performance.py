#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the tables and the plot of docs/performance.md from what mtl_bench measured.

  mtl_bench --csv > figures.csv
  tools/performance.py figures.csv ...                prints the Markdown tables
  tools/performance.py --write docs figures.csv ...   puts them into docs/performance.md, between the
                                                      marks of each table, and draws docs/gemm.svg
  tools/performance.py --page docs/performance-emerald-rapids.md figures.csv ...
                                                      puts those that the page has marks for into it
Of several files the later ones count. A table without figures stays as it is. "-" is the input.
"""
import argparse
import csv
import math
import pathlib
import re
import sys

KINDS = ("NN", "NT", "TN")
ROLES = (("fwd", "NN"), ("dW", "TN"), ("dX", "NT"))


def read(files):
    """{(case, peer, threads, metric): value}, in the order of the files."""
    values = {}
    for name in files:
        lines = sys.stdin if name == "-" else open(name, encoding="utf-8")
        for row in csv.reader(lines):
            if len(row) == 5 and row[0] != "case":
                values[row[0], row[1], int(row[2]), row[3]] = float(row[4])
    return values


def table(head, rows):
    """A Markdown table; nothing without rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head)] + rows
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def number(x, digits=3):
    """Three significant digits, thousands whole."""
    if x is None or not math.isfinite(x):
        return "-"
    places = max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else 0
    return f"{x:,.{places}f}"


def names(values, pattern):
    """What the pattern's groups took, each once, in order."""
    found = (re.fullmatch(pattern, key[0]) for key in values)
    return list(dict.fromkeys(match.groups() for match in found if match))


def peers(values, case, threads):
    return [p for (c, p, t, m) in values
            if (c, t, m) == (case, threads, "pct_peak") and not p.startswith("libmtl")]


def share(values, case, threads):
    """libmtl's share of the peak, and the best other library's."""
    own = values.get((case, "libmtl", threads, "pct_peak"))
    if own is None:
        return "-"
    others = [(values[case, p, threads, "pct_peak"], p) for p in peers(values, case, threads)]
    return f"**{own:.0f}**" + (f" ({max(others)[1]} {max(others)[0]:.0f})" if others else "")


def squares(values, threads):
    rows = []
    for (size,) in names(values, r"sq(\d+)-NN"):
        if (f"sq{size}-NN", "libmtl", threads, "pct_peak") not in values:
            continue
        row = [size] + [share(values, f"sq{size}-{kind}", threads) for kind in KINDS]
        if threads == 1:
            avx2 = [values.get((f"sq{size}-{k}", "libmtl-avx2", 1, "pct_peak")) for k in KINDS]
            row.append(" / ".join(f"{x:.0f}" for x in avx2 if x is not None))
        rows.append(row)
    return table(["n", *KINDS] + (["AVX2 level"] if threads == 1 else []), rows)


def layers(values, threads):
    rows = [[name] + [share(values, f"{role}-{name}-{kind}", threads) for role, kind in ROLES]
            for (name,) in names(values, r"fwd-(.*)-NN")
            if (f"fwd-{name}-NN", "libmtl", threads, "pct_peak") in values]
    return table(["batch x in x out", "forward", "dW", "dX"], rows)


def steps(values):
    rows = []
    for (case, peer, threads, metric), best in values.items():
        if metric == "us_per_step" and case.startswith("train-"):
            get = lambda name: values.get((case, peer, threads, name))
            rows.append([case.removeprefix("train-"), str(threads), number(best), number(get("us_per_step_med")),
                         number(get("samples_per_s")), number(get("gflops")),
                         f"**{get('x_arithmetic'):.2f}**"])
    return table(["case", "threads", "us / step, best", "median", "samples / s", "GFLOP/s",
                  "time / arithmetic"], rows)


def predictions(values):
    rows = []
    for (case, peer, threads, metric), best in values.items():
        if metric == "us_best" and case.startswith("predict-"):
            net, count = re.fullmatch(r"predict-(.)-b(\d+)", case).groups()
            call = "predictor" if peer.endswith("predictor") else "mtl_predict"
            rows.append([net, count, call, str(threads), number(best),
                         number(values[case, peer, threads, "us_median"]),
                         f"**{values[case, peer, threads, 'x_arithmetic']:.2f}**"])
    return table(["case", "rows", "call", "threads", "us, best", "median", "time / arithmetic"], rows)


def cold(values):
    lines = (("us_dlopen", "dlopen"), ("us_main_to_first", "main to the first prediction"),
             ("us_process", "whole process, start to end"))
    rows = [[text, f"{values['cold-a', 'libmtl', 1, metric]:.0f} us"] for metric, text in lines
            if ("cold-a", "libmtl", 1, metric) in values]
    size = values.get(("weight", "libmtl", 0, "mb"))
    if size:
        rows.append(["libmtl.so, stripped", f"{size * 1000:.0f} kB"])
    return table(["what", "figure"], rows)


def threads(values):
    rows = []
    for (case,) in names(values, r"threads-(.*)"):
        get = lambda count, metric: values[f"threads-{case}", "libmtl", count, metric]
        rows.append([case, number(get(1, "us")), number(get(2, "us")),
                     f"{get(2, 'x_one_thread'):.2f}", f"{get(2, 'x_busy'):.2f}"])
    for (case,) in names(values, r"processes-(.*)"):
        key = f"processes-{case}", "libmtl", 2
        rows.append([f"{case}, two processes at once", "-", number(values[key + ("us_per_step_med",)]),
                     f"{values[key + ('x_one_thread',)]:.2f}", "-"])
    return table(["case", "1 thread, us", "2 threads", "2 / 1", "2 / 1, busy"], rows)


def scaling(values):
    rows, least = [], {}
    for series, size in names(values, r"scale-(\w+)-(\d+)"):
        key = f"scale-{series}-{size}", "libmtl", 1
        cost = values[key + ("us_per_mflop",)]
        growth = cost / min(least.get(series, cost), cost)
        least[series] = min(least.get(series, cost), cost)
        rows.append([series, f"{int(size):,}", number(values[key + ("us_per_step",)]), number(cost),
                     f"{values[key + ('x_arithmetic',)]:.2f}", f"{growth:.2f}"])
    return table(["grows", "to", "us / step", "us / MFLOP", "time / arithmetic", "growth"], rows)


def targets(values):
    rows = []
    for (case, peer, count, metric), limit in values.items():
        kind, _, name = metric.partition("_")
        measured = values.get((case, peer, count, name))
        if kind not in ("least", "most") or measured is None:
            continue
        reached = measured / limit if kind == "least" else limit / measured
        rows.append([case, peer, str(count), name, f"{'≥' if kind == 'least' else '≤'} {limit:g}",
                     number(measured), f"{reached:.2f}", "met" if reached >= 1 else "**missed**"])
    missed = sum(row[-1] != "met" for row in rows)
    return table(["case", "of", "threads", "figure", "target", "measured", "reached", ""],
                 rows) + (f"\n{len(rows) - missed} of {len(rows)} met.\n" if rows else "")


TABLES = {
    "squares-1": lambda v: squares(v, 1), "squares-2": lambda v: squares(v, 2),
    "layers-1": lambda v: layers(v, 1), "layers-2": lambda v: layers(v, 2),
    "training": steps, "prediction": predictions, "cold": cold, "threads": threads,
    "scaling": scaling, "targets": targets,
}


# --- the plot: one panel for each kind of product, rate against size ---------------------------

COLOURS = {"libmtl": "#0b5fa5", "libmtl-avx2": "#7fb2dd", "openblas": "#d1495b", "onednn": "#2e8b57",
           "blis": "#b8860b"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 250, 60, 66, 24
SMALLEST, LARGEST = 8, 4096


def colour(peer):
    return COLOURS.get(peer, "#777777")


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{words}</text>'


def place(panel, size, percent):
    across = math.log2(size / SMALLEST) / math.log2(LARGEST / SMALLEST)
    return LEFT + panel * (WIDTH + GAP) + across * WIDTH, TOP + HEIGHT * (1 - percent / 100)


def axes(panel, kind, what):
    x0, x1 = place(panel, SMALLEST, 0)[0], place(panel, LARGEST, 0)[0]
    out = [text((x0 + x1) / 2, TOP - 10, f"{kind}: {what}", more='font-weight="bold"')]
    for percent in range(0, 101, 20):
        y = place(panel, SMALLEST, percent)[1]
        out.append(f'<path d="M{x0} {y:.1f}H{x1:.1f}" stroke="#{"888" if percent in (0, 100) else "ddd"}"/>')
        if panel == 0:
            out.append(text(x0 - 6, y + 4, str(percent), "end"))
    for power in range(3, 13):
        x, y = place(panel, 2**power, 0)
        out.append(f'<path d="M{x:.1f} {y}v4" stroke="#888"/>')
        if power % 2:
            out.append(text(x, y + 17, str(2**power)))
    out.append(text((x0 + x1) / 2, TOP + HEIGHT + 36, "n (n x n times n x n)"))
    return out


def curve(values, panel, kind, peer):
    sizes = [int(size) for (size,) in names(values, rf"sq(\d+)-{kind}")]
    points = [(s, values[f"sq{s}-{kind}", peer, 1, "pct_peak"]) for s in sorted(sizes)
              if (f"sq{s}-{kind}", peer, 1, "pct_peak") in values]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(panel, *p) for p in points))
    width = 3 if peer == "libmtl" else 1.6
    return (f'<polyline points="{line}" fill="none" stroke="{colour(peer)}" '
            f'stroke-width="{width}" stroke-linejoin="round"/>')


def legend(shown):
    out, x = [], LEFT
    for peer in shown:
        out.append(f'<path d="M{x} 22h24" stroke="{colour(peer)}" stroke-width="3"/>')
        out.append(text(x + 30, 26, peer, "start"))
        x += 55 + 8 * len(peer)
    return out


def plot(values):
    """The SVG, or nothing without figures of square products on one thread."""
    shown = list(dict.fromkeys(p for (c, p, t, m) in values
                               if c.startswith("sq") and t == 1 and m == "pct_peak"))
    if not shown:
        return ""
    width, height = LEFT + 3 * (WIDTH + GAP), TOP + HEIGHT + 50
    body = [f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *legend(shown)]
    for panel, what in enumerate(("A B", "A B&#8242;", "A&#8242; B")):
        body += axes(panel, KINDS[panel], what)
        body += [curve(values, panel, KINDS[panel], peer) for peer in reversed(shown)]
    middle = TOP + HEIGHT / 2
    body.append(text(18, middle, "% of the FMA peak, 1 thread",
                     more=f'transform="rotate(-90 18 {middle})"'))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12" fill="#222">\n' + "\n".join(body) + "\n</svg>\n")


# -----------------------------------------------------------------------------------------------

def fill(document, name, body):
    """The document with what lies between the marks of a table exchanged."""
    mark = f"<!-- figures: {name} -->\n"
    pattern = re.escape(mark) + r".*?(?=<!-- end -->)"
    return re.sub(pattern, lambda _: mark + body, document, flags=re.S)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="DOCS", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("figures", nargs="+")
    arguments = parser.parse_args()
    values = read(arguments.figures)
    made = {name: body for name, make in TABLES.items() if (body := make(values))}
    page = arguments.page or arguments.write and arguments.write / "performance.md"
    if not page:
        print("\n".join(f"## {name}\n\n{body}" for name, body in made.items()), end="")
        return
    document = page.read_text(encoding="utf-8")
    for name, body in made.items():
        if arguments.write and f"<!-- figures: {name} -->" not in document:
            sys.exit(f"performance.py: no place for {name}")
        document = fill(document, name, body)
    page.write_text(document, encoding="utf-8")
    if arguments.write and (svg := plot(values)):
        (arguments.write / "gemm.svg").write_text(svg, encoding="utf-8")


main()
