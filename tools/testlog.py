#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Read meson's testlog.json (one JSON object a line): print the logs of the tests that failed in full,
name those that were skipped, and end with one line "OK FAILED SKIPPED"."""
import json
import sys


def main(path):
    counts = {"OK": 0, "SKIP": 0}
    failed, skipped = 0, []
    with open(path, encoding="utf-8") as log:
        for line in filter(str.strip, log):
            test = json.loads(line)
            if test["result"] in counts:
                counts[test["result"]] += 1
                if test["result"] == "SKIP":
                    skipped.append(test["name"])
                continue
            failed += 1  # whatever is neither OK nor SKIP, also results that meson may yet invent
            print(f"==== {test['name']}: {test['result']} (status {test['returncode']})")
            print(" ".join(test["command"]))
            for stream in "stdout", "stderr":
                print(test.get(stream) or "", end="")
            print(f"==== end of {test['name']}")
    if skipped:
        print("   skipped:", ", ".join(skipped))
    print(counts["OK"], failed, counts["SKIP"])


main(sys.argv[1])
