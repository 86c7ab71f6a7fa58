# SPDX-License-Identifier: MIT
# Made the .npy files beside it, with NumPy 1.24.2 (Debian 12): python3 make.py, in this folder.
# tests/unit/test_npy.c knows what each holds.
import struct
import numpy as np

ramp = np.arange(6).reshape(2, 3)
for code in ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<i8", ">i8", "|i1", "|u1", "|b1"]:
    name = {"<": "le_", ">": "be_", "|": ""}[code[0]] + code[1:]
    values = ramp % 2 if code == "|b1" else (ramp - 2 if "u" not in code else ramp + 250)
    np.save(f"{name}_c.npy", values.astype(code))
    np.save(f"{name}_fortran.npy", np.asfortranarray(values.astype(code)))
np.save("rank1.npy", np.array([1.5, np.nan, -np.inf], "<f4"))
np.save("rounded_f8.npy", np.array([[0.1, 1 + 2**-24, 1 + 2**-24 + 2**-50, 1e300, 1e-46]]))
np.save("rounded_i8.npy", np.array([2**24 + 1, 2**24 + 3, -2**63, 2**63 - 1]))
with open("version2.npy", "wb") as f:
    np.lib.format.write_array(f, ramp.astype("<f4"), (2, 0))
with open("version3.npy", "wb") as f:
    np.lib.format.write_array(f, ramp.astype("<f4"), (3, 0))

np.save("bad_object.npy", np.array([{}, None]), allow_pickle=True)
np.save("bad_structured.npy", np.zeros(2, [("a", "<f4")]))
np.save("bad_f2.npy", np.zeros(2, "<f2"))
np.save("bad_complex.npy", np.zeros(2, "<c8"))
np.save("bad_text.npy", np.array(["a", "b"]))
np.save("bad_rank0.npy", np.float32(1))
np.save("bad_rank3.npy", np.zeros((1, 1, 1), "<f4"))
np.save("bad_empty.npy", np.zeros((3, 0), "<f4"))


def raw(name, header, data=b"\0" * 24, version=(1, 0), magic=b"\x93NUMPY"):
    length = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    open(f"{name}.npy", "wb").write(magic + bytes(version) + length + header.encode() + data)


def dict_text(descr="'<f4'", order="False", shape="(2, 3)", rest=""):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {rest}}}\n"


raw("odd_layout", '{ "shape":(2,3,),"fortran_order":False,"descr":"<f4"}')
raw("bad_magic", dict_text(), magic=b"\x93NUMPX")
raw("bad_version", dict_text(), version=(4, 0))
raw("bad_short", dict_text(), b"\0" * 23)
raw("bad_long", dict_text(), b"\0" * 25)
raw("bad_twice", dict_text(rest="'shape': (2, 3)"))
raw("bad_unknown_key", dict_text(rest="'x': 1"))
raw("bad_missing_key", "{'descr': '<f4', 'shape': (2, 3)}")
raw("bad_order", dict_text(order="true"))
raw("bad_negative", dict_text(shape="(-2, -3)"))
raw("bad_tuple", dict_text(shape="(6)"))
raw("bad_shape", dict_text(shape="(2 3)"))
raw("bad_overflow", dict_text(shape="(4611686018427387905, 4)"))
raw("bad_huge", dict_text(shape="(99999999999999999999, 1)"))
raw("bad_no_order_mark", dict_text(descr="'|f4'"))
raw("bad_behind", dict_text() + "x")
raw("bad_open", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3")
