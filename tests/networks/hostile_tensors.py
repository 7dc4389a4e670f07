"""Tensors that reach beyond their storage, are expanded to gigabytes, or cannot be parameters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .hostile_opcodes import (
    hostile,
    item,
    number,
    numbers,
    right_state,
    saved,
    storage,
    tensor,
    text,
    torch_zip,
)
from .hostile_pickles import array, raw


def _tensor(
    name: str, offset: int, size: tuple, stride: tuple, count: int = 16, bomb: bool = False
) -> None:
    """Register a torch archive with one tensor over a storage of 16 numbers."""

    @hostile(name, bomb=bomb)
    def write(path: Path) -> None:
        content = item(tensor(storage("0", count), offset, size, stride))
        torch_zip(path, content, {"0": bytes(64)})


_tensor("tensor beyond its storage", 0, (5, 4), (4, 1))
_tensor("tensor far beyond its storage", 0, (2, 2), (2**40, 1))
_tensor("tensor at a negative offset", -8, (2, 2), (2, 1))
_tensor("tensor at an offset beyond", 17, (1,), (1,))
_tensor("tensor of negative strides", 15, (4, 4), (-4, -1))
_tensor("tensor of a negative side", 0, (-4, 4), (4, 1))
_tensor("tensor expanded to terabytes", 0, (2**20, 2**20), (0, 0), bomb=True)
_tensor("tensor overlapping to terabytes", 0, (8, 8) * 7, (1, 1) * 7, bomb=True)
_tensor("tensor of an overflowing shape", 0, (2**62, 2**62), (0, 0), bomb=True)
_tensor("tensor of 100 axes", 0, (1,) * 100, (1,) * 100)
_tensor("tensor of unequal shape and strides", 0, (4, 4), (1,))
_tensor("storage larger than its entry", 0, (4, 4), (4, 1), count=2**30, bomb=True)
_tensor("storage smaller than its entry", 0, (2, 2), (2, 1), count=4)
_tensor("storage of a negative size", 0, (2, 2), (2, 1), count=-4)


@hostile("shape of text")
def _(path: Path) -> None:
    content = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage("0", 16) + number(0)
    torch_zip(path, item(content + text("ab") + text("cd") + b"tR"), {"0": bytes(64)})


@hostile("tensor rebuilt without arguments")
def _(path: Path) -> None:
    torch_zip(path, item(b"ctorch._utils\n_rebuild_tensor_v2\n)R"))


@hostile("tensor made by its class", bomb=True)
def _(path: Path) -> None:
    torch_zip(path, item(b"ctorch\nFloatTensor\n(" + number(2**33) + b"tR"))


@hostile("bytearray made by its class", bomb=True)
def _(path: Path) -> None:
    torch_zip(path, item(b"cbuiltins\nbytearray\n(" + number(2**33) + b"tR"))


@hostile("storage of an unknown kind")
def _(path: Path) -> None:
    torch_zip(path, item(tensor(storage("0", 16, "QUInt4x2Storage"), 0, (4, 4), (4, 1))))


@hostile("storage that is missing")
def _(path: Path) -> None:
    torch_zip(path, item(tensor(storage("7", 16), 0, (4, 4), (4, 1))), {"0": bytes(64)})


@hostile("storage of two types")
def _(path: Path) -> None:
    both = tensor(storage("0", 16), 0, (4, 4), (4, 1))
    other = tensor(storage("0", 16, "IntStorage"), 0, (4, 4), (4, 1))
    content = b"\x80\x02}(" + text("a") + both + text("b") + other + b"u."
    torch_zip(path, content, {"0": bytes(64)})


@hostile("storage by a path upwards")
def _(path: Path) -> None:
    torch_zip(path, item(tensor(storage("../../etc/passwd", 16), 0, (4, 4), (4, 1))))


def _with(**changes: object) -> Callable[[], object]:
    return lambda: right_state() | {name.replace("__", "."): x for name, x in changes.items()}


saved("complex numbers", _with(layer0__weight=torch.ones(4, 4, dtype=torch.complex64)))
saved("not a number", _with(layer0__weight=torch.full((4, 4), torch.nan)))
saved("infinity", _with(layer0__weight=torch.full((4, 4), torch.inf)))
saved("beyond float32", _with(layer0__weight=torch.full((4, 4), 1e300, dtype=torch.float64)))
saved("small whole numbers", _with(layer0__weight=torch.ones(4, 4, dtype=torch.int8)))
saved("truth values", _with(layer0__weight=torch.ones(4, 4, dtype=torch.bool)))
saved("single numbers", _with(layer0__weight=torch.tensor(1.0)))
saved("texts in place of tensors", _with(layer0__weight="weights"))
saved("None in place of tensors", _with(layer0__weight=None))
saved("sparse tensors", _with(layer0__weight=torch.eye(4).to_sparse()))
saved("tensors without memory", _with(layer0__weight=torch.ones(4, 4, device="meta")))
saved("empty tensors", _with(layer0__weight=torch.ones(0, 4)))
saved("numbers as keys", lambda: dict(enumerate(right_state().values())))
saved("tuples as keys", lambda: {(i, "a"): x for i, x in enumerate(right_state().values())})
saved("numbers as keys, wrapped", lambda: {"model": {3: torch.ones(1)}, "iteration": 3})
saved("None as a key", lambda: {None: torch.ones(1)})
saved("an empty dictionary", dict)
saved("an empty model", lambda: {"model": {}})
saved("a model that is a list", lambda: {"model": [torch.ones(1)]})
saved("a tensor alone", lambda: torch.ones(2))


def _module() -> torch.nn.Module:
    module = torch.nn.Linear(2, 2)
    for parameter in module.parameters():  # every run writes the same file
        torch.nn.init.zeros_(parameter)
    return module


saved("a whole module", _module)
saved("a whole module, old", _module, legacy=True)
saved("names of a megabyte", lambda: {"x" * 2**20: torch.ones(1)})
saved("names with line breaks", lambda: {"a\nb\x00\udcff": torch.ones(1)})
saved("another network", lambda: {"stem.conv1.weight": torch.ones(3, 3)})
saved("trainer that is none", lambda: {"model": right_state(), "trainer": 3, "iteration": "x"})


class OnDevice:
    """Object whose pickle is that of a tensor on an XLA device."""

    def __init__(self, how: str, data: object, dtype: torch.dtype = torch.float32):
        self.how, self.arguments = how, (data, dtype, "xla:0", False)

    def __reduce__(self):
        return getattr(torch._utils, f"_rebuild_{self.how}"), self.arguments


FROM_ARRAY, FROM_TENSOR = "device_tensor_from_numpy", "device_tensor_from_cpu_tensor"
for old in (False, True):
    saved(
        f"tensors of a device, as arrays, {'old' if old else 'new'}",
        lambda: {k: OnDevice(FROM_ARRAY, x.numpy()) for k, x in right_state().items()},
        legacy=old,
    )
saved(
    "tensors of a device, as tensors",
    lambda: {k: OnDevice(FROM_TENSOR, x) for k, x in right_state().items()},
)
saved("text of a device", _with(layer0__weight=OnDevice(FROM_ARRAY, np.array(["a"]))))
saved("a list of a device", _with(layer0__weight=OnDevice(FROM_TENSOR, [1.0])))
saved("complex numbers of a device", _with(layer0__weight=OnDevice(FROM_ARRAY, 1j * np.eye(4))))


@hostile("tensor of a device beyond its bytes", bomb=True)
def _(path: Path) -> None:
    lying = array(numbers(2**20, 2**20), "f4", raw(64))
    call = b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n(" + lying + b"tR"
    torch_zip(path, item(call))


@hostile("thousands of tensors of a device over one array", bomb=True)
def _(path: Path) -> None:
    """Write an array of bytes that the tensors read as numbers of sixteen bytes each."""
    maker = b"ctorch._utils\n_rebuild_device_tensor_from_numpy\np1\n0"
    shared = array(numbers(2**20), "u1", raw(2**20)) + b"p2\n0"
    kind = b"ctorch\ncomplex128\np3\n0"
    calls = b"g1\n(g2\ng3\ntR" * 2**12
    torch_zip(path, b"\x80\x02" + maker + shared + kind + b"](" + calls + b"e.")


@hostile("quantised tensors")
def _(path: Path) -> None:
    content = b"ctorch._utils\n_rebuild_qtensor\n(" + storage("0", 16, "QInt8Storage") + b"tR"
    torch_zip(path, item(content), {"0": bytes(16)})
