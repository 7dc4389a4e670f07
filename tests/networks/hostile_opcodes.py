"""Tools to write hostile weights files: the list of writers, opcodes of pickles, torch archives."""

import io
import operator
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

Writer = Callable[[Path], None]

WRITERS: dict[str, Writer] = {}
BOMBS: set[str] = set()
HUGE = 2**40


def mark_of(path: Path) -> Path:
    """Return the file that exists if code of the file at `path` ran."""
    return path.with_name(f"{path.name}.ran")


def hostile(name: str, *, bomb: bool = False) -> Callable[[Writer], Writer]:
    """Return a decorator that registers a writer."""

    def enter(write: Writer) -> Writer:
        WRITERS[name] = write
        if bomb:
            BOMBS.add(name)
        return write

    return enter


def right_state() -> dict[str, torch.Tensor]:
    """Return valid parameters of a small network."""
    generator = torch.Generator().manual_seed(0)
    return {f"layer{i}.weight": torch.randn(4, 4, generator=generator) for i in range(4)}


class Runs:
    """Object whose pickle is a call that makes the mark."""

    def __init__(self, path: Path, how: str = "mkdir"):
        self.mark, self.how = str(mark_of(path)), how

    def __reduce__(self):
        if self.how == "eval":
            return eval, (f"__import__('os').mkdir({self.mark!r})",)
        if self.how == "methodcaller":
            return operator.methodcaller, ("mkdir", self.mark)
        return os.mkdir, (self.mark,)


def zip_of(path: Path, entries: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> None:
    """Write a zip archive of these entries, in this order."""
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def torch_zip(path: Path, content: bytes, storages: dict[str, bytes] | None = None) -> None:
    """Write an archive with the layout of torch.save around any pickle."""
    entries = [("archive/data.pkl", content), ("archive/byteorder", b"little")]
    entries += [(f"archive/data/{key}", value) for key, value in (storages or {}).items()]
    zip_of(path, [*entries, ("archive/version", b"3\n")])


def entries_of(content: object) -> list[tuple[str, bytes]]:
    """Return the entries of the archive that torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


def text(value: str) -> bytes:
    """Return opcodes that push a text."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    """Return opcodes that push a whole number."""
    return f"I{value}\n".encode()


def numbers(*values: int) -> bytes:
    """Return opcodes that push a tuple of whole numbers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    """Return opcodes that push a storage of torch."""
    named = f"ctorch\n{kind}\n".encode()
    return b"(" + text("storage") + named + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(stored: bytes, offset: int, size: tuple, stride: tuple) -> bytes:
    """Return opcodes that push a tensor of torch."""
    arguments = b"(" + stored + number(offset) + numbers(*size) + numbers(*stride)
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89" + hooks + b"tR"


def item(value: bytes, key: bytes | None = None) -> bytes:
    """Return a pickle of a dictionary with one entry."""
    return b"\x80\x02}" + (key or text("layer0.weight")) + value + b"s."


def saved(name: str, make: Callable[[], object], legacy: bool = False) -> None:
    """Register a file that torch.save itself writes."""

    @hostile(name)
    def write(path: Path) -> None:
        torch.save(make(), path, _use_new_zipfile_serialization=not legacy)


def content(name: str, content: bytes, *, bomb: bool = False) -> None:
    """Register a file of these bytes."""

    @hostile(name, bomb=bomb)
    def write(path: Path) -> None:
        path.write_bytes(content)
