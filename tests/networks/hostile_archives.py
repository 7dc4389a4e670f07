"""Archives, streams and safetensors that are damaged or announce too much, and foreign files."""

import io
import os
import pickle
import random
import socket
import struct
import warnings
import zipfile
from functools import cache
from pathlib import Path

import safetensors.torch
import torch

from .hostile_opcodes import (
    HUGE,
    content,
    entries_of,
    hostile,
    item,
    right_state,
    storage,
    tensor,
    text,
    zip_of,
)


@cache
def compressed(name: str, filling: bytes, *others: tuple[str, bytes]) -> bytes:
    """Return a zip archive of a few megabytes with an entry of a gigabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other in others:
            archive.writestr(*other)
        with archive.open(name, "w", force_zip64=True) as file:
            for _ in range(2**10):
                file.write(filling * 2**20)
    return buffer.getvalue()


@hostile("archive compressed", bomb=True)
def _(path: Path) -> None:
    stored = item(tensor(storage("0", 2**28), 0, (2**28,), (1,)))
    path.write_bytes(compressed("archive/data/0", b"\0", ("archive/data.pkl", stored)))


@hostile("data.pkl compressed", bomb=True)
def _(path: Path) -> None:
    path.write_bytes(compressed("archive/data.pkl", b"]"))


@hostile("archive with an entry twice")
def _(path: Path) -> None:
    entries = entries_of(right_state())
    with warnings.catch_warnings(action="ignore"):
        zip_of(path, [*entries, entries[-3]])


@hostile("archive with an entry renamed")
def _(path: Path) -> None:
    entries = entries_of(right_state())
    zip_of(path, [(name.replace("data/0", "data/00"), content) for name, content in entries])


@hostile("archive with two roots")
def _(path: Path) -> None:
    entries = entries_of(right_state())
    zip_of(path, [*entries, ("other/data.pkl", b"\x80\x02}.")])


@hostile("archive without data.pkl")
def _(path: Path) -> None:
    zip_of(path, [entry for entry in entries_of(right_state()) if "data.pkl" not in entry[0]])


@hostile("archive with paths upwards")
def _(path: Path) -> None:
    zip_of(path, [(f"../../{name}", content) for name, content in entries_of(right_state())])


@hostile("archive of another byte order")
def _(path: Path) -> None:
    entries = dict(entries_of(right_state()))
    zip_of(path, [(k, b"big" if k.endswith("byteorder") else v) for k, v in entries.items()])


@hostile("archive of a program")
def _(path: Path) -> None:
    zip_of(path, [*entries_of({}), ("archive/constants.pkl", b"\x80\x02).")])


@hostile("archive with a byte changed")
def _(path: Path) -> None:
    torch.save({"layer0.weight": torch.ones(64, 64)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


@hostile("archive encrypted")
def _(path: Path) -> None:
    torch.save(right_state(), path)
    content = bytearray(path.read_bytes())
    start = 0
    while (start := content.find(b"PK\x01\x02", start)) >= 0:
        content[start + 8] |= 1
        start += 4
    path.write_bytes(content)


@hostile("archive of 5000 entries")
def _(path: Path) -> None:
    zip_of(path, [("archive/data.pkl", b"\x80\x02}."), *((f"{i}", b"") for i in range(5_000))])


for legacy in (False, True):
    for part in (0.02, 0.3, 0.7, 0.98):

        @hostile(f"cut to {part:.0%}, {'stream' if legacy else 'archive'}")
        def _(path: Path, legacy: bool = legacy, part: float = part) -> None:
            torch.save(right_state(), path, _use_new_zipfile_serialization=not legacy)
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    for seed in range(4):

        @hostile(f"bytes changed {seed}, {'stream' if legacy else 'archive'}")
        def _(path: Path, legacy: bool = legacy, seed: int = seed) -> None:
            torch.save(right_state(), path, _use_new_zipfile_serialization=not legacy)
            content, draw = bytearray(path.read_bytes()), random.Random(seed)
            for _ in range(8):
                content[draw.randrange(len(content))] = draw.randrange(256)
            path.write_bytes(content)


@hostile("stream of terabytes", bomb=True)
def _(path: Path) -> None:
    torch.save({}, path, _use_new_zipfile_serialization=False)
    head = path.read_bytes().split(b"\x80\x02}q\x00.")[0]
    view = storage("0", 2**40)[:-2] + b"NtQ"
    path.write_bytes(
        head + item(tensor(view, 0, (4, 4), (4, 1))) + b"\x80\x02]" + text("0") + b"a."
    )


@hostile("stream of another magic number")
def _(path: Path) -> None:
    path.write_bytes(pickle.dumps(3, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2))


def header(content: str | bytes, length: int | None = None, body: bytes = b"") -> bytes:
    """Return a safetensors file with the given header."""
    encoded = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + body


def entry(shape: str = "[4,4]", dtype: str = "F32", offsets: str = "[0,64]") -> str:
    """Return a safetensors header of one tensor."""
    return f'{{"layer0.weight":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'


content("header beyond the file", header("{}", length=HUGE), bomb=True)
content("header of no length", header("{}", length=0))
content("header that is no JSON", header("{layer0", body=bytes(64)))
content("header that is no UTF-8", header(b'{"\xff":1}', body=bytes(64)))
content("header that is a list", header("{[]}", body=bytes(64)))
content("header that nests deep", header('{"a":' + "[" * 100_000, body=bytes(64)))
content("offsets beyond the file", header(entry(offsets="[0,6400]"), body=bytes(64)))
content(
    "offsets of terabytes", header(entry("[1099511627776]", offsets="[0,4398046511104]")), bomb=True
)
content("offsets backwards", header(entry(offsets="[64,0]"), body=bytes(64)))
content("offsets that do not fit the shape", header(entry("[5,5]"), body=bytes(64)))
content("shape that is negative", header(entry("[-4,4]"), body=bytes(64)))
content(
    "shape that overflows", header(entry("[4294967296,4294967296,4]"), body=bytes(64)), bomb=True
)
content("unknown type", header(entry(dtype="F7"), body=bytes(64)))
content("bytes after the last tensor", header(entry(), body=bytes(128)))
content("safetensors of not a number", header(entry("[16]"), body=b"\0\0\xc0\x7f" * 16))


@hostile("safetensors cut short")
def _(path: Path) -> None:
    content = safetensors.torch.save(right_state())
    path.write_bytes(content[: len(content) - 30])


content("nothing", b"")
content("one byte", b"\x80")
content("git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
content("login page", b"<!DOCTYPE html><html><title>Sign in</title></html>")
content("text", b"hello, these are no weights\n")
content("JSON", b'{"model": {"layer0.weight": [1, 2, 3]}}\n')
content("gzip", b"\x1f\x8b\x08\x00" + bytes(100))
content("PNG", b"\x89PNG\r\n\x1a\n" + bytes(100))
content("noise", random.Random(0).randbytes(4000))
content("zeros", bytes(4000))


@hostile("gigabytes of zeros", bomb=True)
def _(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(7 * 2**30)


@hostile("folder")
def _(path: Path) -> None:
    path.mkdir()


@hostile("pipe")
def _(path: Path) -> None:
    os.mkfifo(path)


@hostile("socket")
def _(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


@hostile("device")
def _(path: Path) -> None:
    path.symlink_to("/dev/zero")


@hostile("link to itself")
def _(path: Path) -> None:
    path.symlink_to(path.name)


@hostile("link to nothing")
def _(path: Path) -> None:
    path.symlink_to("gone")
