"""Checkpoints that are damaged, hostile, far too large, or not regular files."""

import collections
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from .mutation import NUMBERS, TEXTS, damaged, damaged_tree
from .sandbox import ESCAPE

State = dict[str, Tensor]


class _Call:
    """An object that is pickled as a call of any function; unpickling runs the call."""

    def __init__(self, module: str, name: str, *arguments: Any):
        self.module, self.name, self.arguments = module, name, arguments


class _Pickler(pickle._Pickler):  # the Python version, which can write opcodes by hand
    def save(self, value: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, _Call):
            return super().save(value, *args, **kwargs)
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        self.save(tuple(value.arguments))
        self.write(b"R")
        return None


def hostile_pickles(mark: str) -> dict[str, Any]:
    """Return objects by the effect of their unpickling.

    Args: mark: path of the file that their code makes.
    """
    touch, python = f"touch '{mark}'", f"open({mark!r}, 'w')"
    huge = _Call("torch", "FloatStorage", 2**45)
    view = ("torch._utils", "_rebuild_tensor_v2")
    return {
        "os.system": _Call("os", "system", touch),
        "posix.system": _Call("posix", "system", touch),
        "builtins.eval": _Call("builtins", "eval", python),
        "builtins.exec": _Call("builtins", "exec", python),
        "subprocess": _Call("subprocess", "check_call", ["touch", mark]),
        "importlib": _Call("importlib", "import_module", "antigravity"),
        "attrgetter": _Call("operator", "attrgetter", "__class__"),
        "functools.partial": _Call(
            "functools", "partial", _Call("builtins", "getattr", _Call("os", "getcwd"), "join")
        ),
        "numpy.load": _Call("numpy", "load", mark),
        "torch.load": _Call("torch", "load", mark),
        "runpy": _Call("runpy", "run_path", mark),
        "code below a key": {"model": {"a": _Call("os", "system", touch)}},
        "wrong arguments of OrderedDict": _Call("collections", "OrderedDict", 1, 2, 3),
        "wrong arguments of a tensor": _Call(*view, 1, 2, 3),
        "no arguments of a tensor": _Call(*view),
        "an unknown codec": _Call("_codecs", "encode", "x", "nothing"),
        "a codec of bytes": _Call("_codecs", "encode", "x", "zlib"),
        "an array of terabytes": _Call("numpy", "zeros", 2**45),
        "a storage of terabytes": huge,
        "a tensor of terabytes": _Call("torch", "zeros", 2**45),
        "_reconstruct": _Call(
            "numpy._core.multiarray", "_reconstruct", _Call("builtins", "object"), 1, 2
        ),
        "scalar": _Call("numpy._core.multiarray", "scalar", "f8", b"x"),
        "dtype": _Call("numpy", "dtype", "O8", False, True),
        "bytes of a gigabyte": _Call("builtins", "bytearray", 2**33),
        "range": _Call("builtins", "range", 10**12),
        "parameter": _Call("torch._utils", "_rebuild_parameter", 1, 2, 3),
        "device": _Call("torch", "device", "cuda:99"),
        "set": _Call("builtins", "set", 5),
    }


def strange_states(state: State, draw: random.Random) -> dict[str, Any]:
    """Return contents without code that a network does not expect, by title."""
    names = sorted(state)
    name = draw.choice(names)
    some = {key: state[key] for key in names}
    tensor = some[name]
    huge = torch.zeros(1).expand(2**40)
    return {
        "a number as key": {1: tensor, **some},
        "a tuple as key": {(1, 2): tensor, **some},
        "None as key": {None: tensor},
        "bytes as key": {b"a": tensor, **some},
        "a surrogate as key": {"\ud800": tensor, **some},
        "a text for a tensor": some | {name: "x"},
        "a list for a tensor": some | {name: [1, 2]},
        "None for a tensor": some | {name: None},
        "an expanded tensor": some | {name: huge},
        "an expanded tensor of its shape": some | {name: torch.zeros(1).expand(tensor.shape)},
        "not a number": some | {name: torch.full_like(tensor, float("nan"))},
        "infinite": some | {name: torch.full_like(tensor, float("inf"))},
        "complex": some | {name: tensor.to(torch.complex64)},
        "whole numbers": some | {name: tensor.long()},
        "booleans": some | {name: tensor.bool()},
        "double": {key: value.double() for key, value in some.items()},
        "half": {key: value.half() for key, value in some.items()},
        "sparse": some | {name: tensor.to_sparse()},
        "meta": some | {name: tensor.to("meta")},
        "another shape": some | {name: torch.zeros(3, 5, 7)},
        "no dimension": some | {name: torch.tensor(1.0)},
        "no element": some | {name: torch.zeros(0)},
        "one is missing": {key: value for key, value in some.items() if key != name},
        "one more": some | {draw.choice(TEXTS): tensor},
        "empty": {},
        "a list": [tensor],
        "a tensor": tensor,
        "a number": draw.choice(NUMBERS),
        "a text": draw.choice(TEXTS),
        "nested": {"model": {"state_dict": {"model": some}}},
        "nested without end": _nested(some),
        "wrapped": {
            draw.choice(("model", "state_dict", "teacher", "student", "module", "ema")): some
        },
        "prefixed": {
            f"{draw.choice(('module.', 'backbone.', '_orig_mod.', 'a.'))}{k}": v
            for k, v in some.items()
        },
        "with its iteration": {
            "model": some,
            "iteration": draw.choice(NUMBERS),
            "trainer": draw.choice(TEXTS),
        },
        "with a strange trainer": {
            "model": some,
            "iteration": 1,
            "trainer": {"optimizer": {"state": 1, "param_groups": [{}]}},
        },
    }


class WeightFiles:
    """Source of odd checkpoints, made from the shipped network's weights."""

    def __init__(self, shipped: Path, also: dict[str, bytes]):
        """Make valid files. Args: shipped: a safetensors file.  also: checkpoints by name."""
        self.state = load_file(shipped)
        small = {key: value[:2] for key, value in self.state.items()}
        self.valid = {
            "whole.safetensors": shipped.read_bytes(),
            "small.safetensors": save({key: value.contiguous() for key, value in small.items()}),
            "whole.pth": saved(self.state),
            "small.pth": saved(small),
            "legacy.pth": saved(small, zipped=False),
            "plain.pkl": pickle.dumps(
                {"model": {k: v.numpy() for k, v in small.items()}, "__author__": "x"}
            ),
        } | also

    def draw(self, draw: random.Random, path: Path, mark: str) -> str:
        """Make a file, pipe, link or folder at a path and return its title."""
        ways: dict[Callable[..., str], float] = {
            self._damage: 30,
            self._strange: 25,
            self._hostile: 20,
            self._header: 10,
            self._archive: 8,
            self._special: 7,
        }
        return draw.choices(list(ways), list(ways.values()))[0](draw, path, mark)

    def _damage(self, draw: random.Random, path: Path, mark: str) -> str:
        name = draw.choice(sorted(self.valid))
        path.write_bytes(damaged(self.valid[name], draw))
        return f"damaged {name}"

    def _strange(self, draw: random.Random, path: Path, mark: str) -> str:
        states = strange_states(self.state, draw)
        name = draw.choice(sorted(states))
        path.write_bytes(saved(states[name], zipped=draw.random() < 0.8))
        return f"content: {name}"

    def _hostile(self, draw: random.Random, path: Path, mark: str) -> str:
        """Write a pickle alone, in torch's archive, or in place of the tensors of a legacy file."""
        pickles = hostile_pickles(mark)
        name = draw.choice(sorted(pickles))
        data = pickled(pickles[name], draw.choice((0, 2, 4)))
        where = draw.choice(("plain", "archive", "legacy"))
        if where == "archive":
            data = _replaced(self.valid["small.pth"], "data.pkl", data)
        elif where == "legacy":
            head = (0x1950A86A20F9469CFC6C, 1001, {})
            data = b"".join(pickle.dumps(part, 2) for part in head) + data
        path.write_bytes(data)
        return f"pickle ({where}): {name}"

    def _header(self, draw: random.Random, path: Path, mark: str) -> str:
        """Write a safetensors file with a damaged header or a wrong header length."""
        data = self.valid["small.safetensors"]
        (length,) = struct.unpack_from("<Q", data)
        header = damaged_tree(json.loads(data[8 : 8 + length]), draw)
        text = json.dumps(header).encode()
        size = draw.choice((len(text), len(text), len(text), 0, 2**40, 2**64 - 1, len(text) - 1))
        path.write_bytes(struct.pack("<Q", size) + text + data[8 + length :])
        return "safetensors header"

    def _archive(self, draw: random.Random, path: Path, mark: str) -> str:
        """Write a zip of zeros, of many names, of names that lead out, or without a record."""
        kind = draw.choice(("zeros", "many", "names", "missing", "pickle of zeros"))
        if kind == "missing":
            with zipfile.ZipFile(io.BytesIO(self.valid["small.pth"])) as archive:
                names = archive.namelist()
            path.write_bytes(_replaced(self.valid["small.pth"], draw.choice(names), None))
            return "archive: missing"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            if kind in ("zeros", "pickle of zeros"):
                name = "archive/data/0" if kind == "zeros" else "archive/data.pkl"
                with archive.open(_entry(name), "w", force_zip64=True) as file:
                    for _ in range(400):
                        file.write(bytes(2**20))
            if kind != "pickle of zeros":
                archive.writestr(_entry("archive/data.pkl"), pickled({"a": 1}, 2))
            archive.writestr(_entry("archive/version"), "3\n")
            for number in range(3000 if kind == "many" else 1):
                name = f"../../{ESCAPE}{number}" if kind == "names" else f"archive/data/{number}x"
                archive.writestr(_entry(name), b"x")
        return f"archive: {kind}"

    def _special(self, draw: random.Random, path: Path, mark: str) -> str:
        specials: dict[str, Callable[[], object]] = {
            "pipe": lambda: os.mkfifo(path),
            "link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
            "link to itself": lambda: path.symlink_to(path.name),
            "dangling link": lambda: path.symlink_to("nowhere"),
            "folder": lambda: path.mkdir(),
            "empty": lambda: path.touch(),
            "git-lfs pointer": lambda: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
            ),
            "page": lambda: path.write_text("<!DOCTYPE html><html><title>Sign in</title></html>"),
            "4 GiB of zeros": lambda: _zeros(path),
            "text": lambda: path.write_text(
                draw.choice(TEXTS).encode("utf-8", "ignore").decode() * 3
            ),
        }
        name = draw.choice(sorted(specials))
        specials[name]()
        return name


def saved(content: Any, *, zipped: bool = True) -> bytes:
    """Return the bytes that `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def pickled(content: Any, protocol: int) -> bytes:
    """Return a pickle in which each `_Call` is the opcode of a call."""
    file = io.BytesIO()
    _Pickler(file, protocol).dump(content)
    return file.getvalue()


def _replaced(archive: bytes, name: str, data: bytes | None) -> bytes:
    """Return a zip with one record, named by the end of its name, replaced or left out."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.namelist():
            if not entry.endswith(name):
                new.writestr(_entry(entry), old.read(entry))
            elif data is not None:
                new.writestr(_entry(entry), data)
    return made.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a record without the time of day."""
    entry = zipfile.ZipInfo(name)
    deflated = name.startswith("archive/data")
    entry.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    return entry


def _nested(state: State) -> dict[str, Any]:
    content: dict[str, Any] = collections.OrderedDict(state)
    for _ in range(200):
        content = {"model": content}
    return content


def _zeros(path: Path) -> None:
    with path.open("wb") as file, suppress(OSError):
        file.truncate(2**32 - 1)
