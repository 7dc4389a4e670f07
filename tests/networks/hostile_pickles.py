"""Pickles that would run code, are damaged, exhaust the reader, or hold strange arrays."""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from .hostile_opcodes import (
    HUGE,
    Runs,
    content,
    hostile,
    item,
    mark_of,
    number,
    numbers,
    right_state,
    text,
    torch_zip,
)

for protocol in range(6):
    for how in ("mkdir", "eval", "methodcaller"):

        @hostile(f"pickle {how}, protocol {protocol}")
        def _(path: Path, protocol: int = protocol, how: str = how) -> None:
            content = {"model": {"layer0.weight": Runs(path, how)}}
            path.write_bytes(pickle.dumps(content, protocol=protocol))


@hostile("torch zip with code")
def _(path: Path) -> None:
    torch.save({"model": Runs(path)}, path)


@hostile("torch stream with code")
def _(path: Path) -> None:
    torch.save({"model": Runs(path)}, path, _use_new_zipfile_serialization=False)


@hostile("code by INST")
def _(path: Path) -> None:
    path.write_bytes(b"(" + f"V{mark_of(path)}\n".encode() + b"ios\nmkdir\n.")


@hostile("code by OBJ")
def _(path: Path) -> None:
    path.write_bytes(b"(cos\nmkdir\n" + f"V{mark_of(path)}\n".encode() + b"o.")


@hostile("code by STACK_GLOBAL")
def _(path: Path) -> None:
    called = text("os") + text("mkdir") + b"\x93" + b"(" + text(str(mark_of(path))) + b"tR"
    path.write_bytes(b"\x80\x04" + called + b".")


@hostile("code by BUILD")
def _(path: Path) -> None:
    """Write a pickle that sets an attribute of a library's function."""
    content = b"\x80\x02cnumpy.core.numeric\n_frombuffer\n}" + text("__code__") + text("x") + b"sb."
    path.write_bytes(content)


@hostile("code in data.pkl by NEWOBJ")
def _(path: Path) -> None:
    torch_zip(path, b"\x80\x02csubprocess\nPopen\n(" + text(f"touch {mark_of(path)}") + b"t\x81.")


@hostile("attributes that shadow methods")
def _(path: Path) -> None:
    content = b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + number(3) + b"sb."
    torch_zip(path, content)


@hostile("versions that are none")
def _(path: Path) -> None:
    state = OrderedDict(right_state())
    state._metadata = {"": 3, "layer0": {"version": "x"}}  # type: ignore[attr-defined]
    torch.save(state, path)


content("extension registry", b"\x80\x02\x82\x01.")
content("persistent id as text", b"Pabc\n.")
content("persistent id as value", b"\x80\x02" + text("x") + b"Q.")

content("memo far away", b"\x80\x02}r\xff\xff\xff\xff.", bomb=True)
content("memo that is not there", b"\x80\x02h\x07.")
content("text announced of gigabytes", b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"x.", bomb=True)
content("bytes announced of gigabytes", b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b".", bomb=True)
content("bytearray of gigabytes", b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".", bomb=True)
content("frame of gigabytes", b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"}.", bomb=True)
content("number of gigabytes", b"\x80\x02\x8b\xff\xff\xff\x7f.", bomb=True)
content("number of negative length", b"\x80\x02\x8b\xff\xff\xff\xff.")
content("number of 5000 digits", b"}I1" + b"0" * 5000 + b"\nNs.")
content("unknown instruction", b"\x80\x02\xfe.")
content("future protocol", b"\x80\xff}.")
content("nothing on the stack", b"\x80\x02.")
content("stack underflow", b"\x80\x02R.")
content("items without a mark", b"\x80\x02}u.")
content("odd items", b"\x80\x02}(" + text("a") + b"u.")
content("append to a number", b"\x80\x02K\x01K\x02a.")
content("unhashable key", b"\x80\x02}]K\x01s.")
content("tuple nested as a key", b"\x80\x02}" + b")" + b"\x85" * 30_000 + b"Ns.")
content("tuple doubled as a key", b"\x80\x02}" + b"K\x01" + b"2\x86" * 60 + b"Ns.")
content("lists nested deep", b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".")
content("no end", b"\x80\x02}")
content(
    "unknown codec", b"\x80\x02}K\x01c_codecs\nencode\n" + b"(" + text("x") + text("zz") + b"tRs."
)
content(
    "codec that is slow", b"\x80\x02c_codecs\nencode\n(" + text("a" * 9) + text("idna") + b"tR."
)
content("set of nested tuples", b"\x80\x02cbuiltins\nset\n(]" + b")" + b"\x85" * 20_000 + b"atR.")
content("ordered dictionary of numbers", b"\x80\x02ccollections\nOrderedDict\n(K\x03tR.")
content("a number as content", b"\x80\x02K\x03.")
content("a list as content", b"\x80\x02](K\x01K\x02e.")
content("text that is no UTF-8", b"\x80\x02}X\x02\x00\x00\x00\xff\xfeNs.")
content("name with a line break", b"\x80\x04" + text("o\ns") + text("a" * 5000) + b"\x93.")


@hostile("dictionary in itself")
def _(path: Path) -> None:
    content: dict = {}
    content["model"] = content["state_dict"] = content["teacher"] = content
    torch.save(content, path)


def array(shape: bytes, dtype: str, content: bytes, made: bytes | None = None) -> bytes:
    """Return opcodes that push a NumPy array. Args: made: the shape that `_reconstruct` gets."""
    empty = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        + (made or numbers(0))
        + text("b")
        + b"tR"
    )
    kind = b"cnumpy\ndtype\n(" + text(dtype) + b"I00\nI01\ntR"
    return empty + b"(" + number(1) + shape + kind + b"I00\n" + content + b"tb"


def raw(count: int) -> bytes:
    """Return opcodes that push `count` bytes."""
    return b"T" + struct.pack("<i", count) + bytes(count)


content("array of terabytes", item(array(numbers(HUGE), "f4", raw(4))), bomb=True)
content("array made of terabytes", item(array(numbers(1), "f4", raw(4), numbers(HUGE))), bomb=True)
content("array of a negative side", item(array(numbers(-1), "f4", raw(4))))
content("array of sides whose product overflows", item(array(numbers(2**62, 4), "f4", raw(0))))
content("array of objects", item(array(numbers(1), "O8", b"]Na")))
content("array of an unknown type", item(array(numbers(1), "q9", raw(4))))
content("array of fields", item(array(numbers(1), "f4,f4", raw(8))))
content("array of text", item(array(numbers(1), "U1", raw(4))))
content("array of dates", item(array(numbers(1), "M8", raw(8))))
content("array of a shape of lists", item(array(b"]", "f4", raw(4))))
# one text of a mebibyte, and 2**11 arrays over it
content(
    "arrays that share their bytes",
    b"\x80\x02" + raw(2**20) + b"p1\n0](" + array(numbers(2**20), "u1", b"g1\n") * 2**11 + b"e.",
    bomb=True,
)
content("array without content", item(array(numbers(1), "f4", b"N")))
content("array of not a number", item(array(numbers(1), "f4", b"T\x04\0\0\0" + b"\0\0\xc0\x7f")))
content("reconstructor without arguments", item(b"cnumpy.core.multiarray\n_reconstruct\n)R"))
content("scalar of too few bytes", item(b"cnumpy.core.multiarray\nscalar\n(NNtR"))
content("type with a wild state", item(b"cnumpy\ndtype\n(" + text("f4") + b"tRNb"))


@hostile("NumPy archive")
def _(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: value.numpy() for name, value in right_state().items()})


@hostile("NumPy array of objects")
def _(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Runs(path)], dtype=object), allow_pickle=True)
