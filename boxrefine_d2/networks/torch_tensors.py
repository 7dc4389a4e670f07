"""Tensors in files of `torch.save`, built by our own code from the storages that the file holds."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.files.pickle_values import Maker, Unfinished, of_kind
from boxrefine_d2.files.plain_pickle import PlainUnpickler

STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_MAX_AXES = 64  # limit of PyTorch
# A tensor may be expanded from fewer numbers, such as CLIP's position ids. It takes memory only if
# a network has that shape. A tensor that is larger than any layer's is an attack.
_MAX_EXPANDED = 2**27
_OTHER_TENSORS = {
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "meta",
    "_rebuild_wrapper_subclass": "wrapped",
}


def view_of(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a view of a storage, as `torch._utils._rebuild_tensor_v2` does.

    Raises: UnpicklingError if the tensor reaches beyond the storage, or is expanded to far more
        numbers than the storage holds.
    """
    storage, size, stride = of_kind(Tensor, storage), tuple(size), tuple(stride)
    if not all(type(x) is int and x >= 0 for x in (offset, *size, *stride)):
        raise pickle.UnpicklingError(
            "a tensor's offset, shape or stride is not a whole number of 0 or more"
        )
    if len(size) != len(stride) or len(size) > _MAX_AXES or storage.ndim != 1:
        raise pickle.UnpicklingError("a tensor's shape does not fit its strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (last >= len(storage)) if count else (offset > len(storage)):
        raise pickle.UnpicklingError(
            f"a tensor of shape {size} reaches beyond its {len(storage)} numbers"
        )
    if count > max(len(storage), _MAX_EXPANDED):
        raise pickle.UnpicklingError(
            f"a tensor of shape {size} is expanded from {len(storage)} numbers"
        )
    if count:
        view: Tensor = storage.as_strided(size, stride, offset)
    else:
        view = storage.new_empty(0).expand(0).reshape(size)
    return view


def _typed_view(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """Return a view of a storage of bytes, as `torch._utils._rebuild_tensor_v3` does.

    The type follows after two arguments that are not read.
    """
    dtype = of_kind(torch.dtype, rest[2])
    return view_of(of_kind(Tensor, storage).view(dtype), offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    """Return the tensor of a parameter."""
    return of_kind(Tensor, data)


def _of_device(data: Any, *_: Any) -> Tensor:
    """Return the numbers of a tensor on a device without storages, such as an XLA device.

    The file may hold an array of another type than the tensor's, such as float32 for bfloat16. It
    is not converted, because a file could ask for any number of copies of one array. A network
    converts numbers to its own type.
    """
    return torch.from_numpy(data) if isinstance(data, np.ndarray) else of_kind(Tensor, data)


def _with_attributes(rebuild: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    """Return the tensor without its attributes."""
    return of_kind(Maker, rebuild).make(*of_kind(tuple, arguments))


def _size(*sides: Any) -> tuple[Any, ...]:
    return tuple(*sides)


class Dropped(Unfinished):
    """Stand-in for settings of a program, such as argparse.Namespace; they are not weights."""

    def __init__(self, *_: Any, **__: Any):
        super().__init__()

    def finished(self, state: Any) -> "Dropped":
        """Return the stand-in itself; its state is dropped."""
        return self


class TorchUnpickler(PlainUnpickler):
    """Unpickler that accepts everything that `PlainUnpickler` accepts, and tensors.

    Args: storage: returns the numbers of a storage, with one axis, for a key, a type and a count.
    """

    makers = {
        **PlainUnpickler.makers,
        ("torch._utils", "_rebuild_tensor"): Maker(view_of),
        ("torch._utils", "_rebuild_tensor_v2"): Maker(view_of),
        ("torch._utils", "_rebuild_tensor_v3"): Maker(_typed_view),
        ("torch._utils", "_rebuild_parameter"): Maker(_parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): Maker(_parameter),
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): Maker(_of_device),
        ("torch._utils", "_rebuild_device_tensor_from_numpy"): Maker(_of_device),
        ("torch._utils", "_rebuild_xla_tensor"): Maker(_of_device),  # the older name
        ("torch._tensor", "_rebuild_from_type_v2"): Maker(_with_attributes),
        ("torch", "Size"): Maker(_size),
        ("torch", "device"): Maker(Dropped),
        ("torch", "Tensor"): "torch.Tensor",
        ("torch.nn.parameter", "Parameter"): "torch.nn.Parameter",
        ("argparse", "Namespace"): Maker(Dropped),
        **{("torch", name): dtype for name, dtype in STORAGES.items()},
        ("torch", "UntypedStorage"): torch.uint8,
        ("torch.storage", "UntypedStorage"): torch.uint8,
        **{
            ("torch", str(dtype).removeprefix("torch.")): dtype
            for dtype in vars(torch).values()
            if isinstance(dtype, torch.dtype)
        },
    }

    def __init__(self, source: Any, storage: Callable[[str, torch.dtype, int], Tensor]):
        super().__init__(source)
        self._storage = storage

    def find(self, module: str, name: str) -> Any:
        """Return the object of a name, see `PickleMachine`.

        The error for a tensor that is not stored as plain numbers names the tensor's kind.
        """
        if module == "torch._utils" and name in _OTHER_TENSORS:
            raise pickle.UnpicklingError(
                f"it holds a {_OTHER_TENSORS[name]} tensor; save dense tensors of numbers"
            )
        known = (module, name) in self.makers
        if module == "torch" and not known and name.endswith(("Storage", "Tensor")):
            raise pickle.UnpicklingError(
                f"it holds numbers as torch.{name[:50]}, which is not read"
            )
        return super().find(module, name)

    def persistent(self, saved: Any) -> Any:
        """Return a storage as a tensor of one axis; return a module that was saved whole as is."""
        kind, *rest = of_kind(tuple, saved)
        if kind == "module" and rest:
            return rest[0]
        if kind != "storage" or len(rest) < 4:
            raise pickle.UnpicklingError("it refers to data of an unknown kind")
        dtype, key, _, count, *views = rest
        if type(count) is not int or count < 0:
            raise pickle.UnpicklingError("a storage's size is not a whole number of 0 or more")
        whole = self._storage(str(key), of_kind(torch.dtype, dtype), count)
        if not views or views[0] is None:
            return whole
        _, start, length = of_kind(tuple, views[0])
        return view_of(whole, start, (length,), (1,))
