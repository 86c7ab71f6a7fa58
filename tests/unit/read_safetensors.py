# SPDX-License-Identifier: MIT
"""An independent reader of safetensors files, after the format's description: prints what a file
holds, one line for each text and tensor. test_safetensors.c compares that with what it wrote."""
import json
import struct
import sys

raw = open(sys.argv[1], "rb").read()
(length,) = struct.unpack("<Q", raw[:8])
header = raw[8 : 8 + length]
assert length <= 100_000_000 and header[:1] == b"{"
entries = json.loads(header.decode("utf-8"), object_pairs_hook=list)
assert len({name for name, _ in entries}) == len(entries)
data, at = raw[8 + length :], 0
for name, entry in entries:
    if name == "__metadata__":
        for key, value in entry:
            if key != "mtl.checksum":
                print(f"text {key}={value}")
        continue
    entry = dict(entry)
    begin, end = entry["data_offsets"]
    count = 1
    for n in entry["shape"]:
        count *= n
    assert entry["dtype"] == "F32" and begin == at and end - begin == 4 * count
    values = struct.unpack(f"<{count}f", data[begin:end])
    print(f"tensor {name} {entry['shape']} {sum(values):g}")
    at = end
assert at == len(data)
