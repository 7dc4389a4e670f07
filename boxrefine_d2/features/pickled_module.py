"""The tensors of a network that was saved whole (`torch.save(network)`), read without running any code of the file.

Such a file names the classes of its author, which `torch.load` would import. Here every class is a stand-in that keeps
its attributes and does nothing; tensors are put together by ourselves.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boxrefine_d2.errors import UserError

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class _StandIn:
    """In place of any class: takes whatever it is made from and given, and runs nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        """Arguments are dropped: they are no weights."""

    def __call__(self, *args: Any, **kwargs: Any) -> "_StandIn":
        return self

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...

    def extend(self, values: Any) -> None: ...


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    """As torch._utils._rebuild_tensor_v2: a view of the storage."""
    return storage.as_strided(size, stride, offset)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    """As torch._utils._rebuild_parameter, without the parameter."""
    return data


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Reader(pickle.Unpickler):
    """Of the data.pkl in a file of torch.save."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _ALLOWED.get((module, name), _StandIn)

    def persistent_load(self, saved: Any) -> Tensor:
        """A storage as a tensor of one dimension."""
        kind, dtype, key, _, count = saved
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"a storage of an unknown kind, {kind}")
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._root}/data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype, count=count)
        return self._storages[key]


def read_pickled_module(path: str | Path) -> dict[str, Tensor]:
    """Names and tensors as `network.state_dict()` would have given them, "module." of DataParallel included.

    Raises: UserError if the file is missing, not of torch.save since version 1.6, or holds no network.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            [entry] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            content = _Reader(archive, entry.removesuffix("/data.pkl")).load()
    except FileNotFoundError as error:
        raise UserError(f"no weights file at {path}") from error
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a file that torch.save wrote since version 1.6; load it with its own code once and save "
            "network.state_dict()"
        ) from error
    except (
        pickle.UnpicklingError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        EOFError,
        RuntimeError,
    ) as error:
        raise UserError(f"{path} cannot be read as a saved network: {error}") from error
    if isinstance(content, dict):
        raise UserError(f"{path} holds a state dict, no whole network: it is read as it is")
    found = dict(_state(content, ""))
    if not found:
        raise UserError(f"{path} holds no network with parameters")
    return {name: value.clone() for name, value in found.items()}


def _state(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """As `state_dict`: parameters, then persistent buffers, then the children's."""
    attributes = vars(module) if isinstance(module, _StandIn) else {}
    forgotten = attributes.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, value in (attributes.get(kind) or {}).items():
            if isinstance(value, Tensor) and not (kind == "_buffers" and name in forgotten):
                yield prefix + name, value
    for name, child in (attributes.get("_modules") or {}).items():
        yield from _state(child, f"{prefix}{name}.")
