"""Reader of files of `torch.save` that does not use `torch.load`.

It runs no code of a file, and it takes no more memory than the file holds. Since PyTorch 1.6 such a
file is a zip archive without compression. It holds ROOT/data.pkl and one entry per storage,
ROOT/data/KEY. An older file is a sequence of pickles, followed by the storages, each after its
count.
"""

import io
import os
import pickle
import struct
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from .torch_tensors import TorchUnpickler

ZIP_HEAD = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_HEAD = pickle.dumps(_MAGIC, protocol=2)[:-1]
_PROTOCOL = 1001
_MAX_DIRECTORY_BYTES = 2**26  # of a zip archive; its entries take about ten times that in memory

Unpickler = Callable[[Any, Callable[[str, torch.dtype, int], Tensor]], TorchUnpickler]


def read_torch_file(path: Path, unpickler: Unpickler = TorchUnpickler) -> Any:
    """Return the saved object; its tensors lie in memory of their own.

    Args: path: a regular file that begins with `ZIP_HEAD` or `LEGACY_HEAD`.
    Raises: UnpicklingError, zipfile.BadZipFile, and the errors of `PickleMachine.load`.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP_HEAD)) == ZIP_HEAD
        file.seek(0)
        return _read_zip(file, unpickler) if zipped else _read_legacy(file, unpickler)


def _read_zip(file: IO[bytes], unpickler: Unpickler) -> Any:
    size = os.fstat(file.fileno()).st_size
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is None:
        raise pickle.UnpicklingError("it is cut short: its directory, which ends it, is missing")
    if end[zipfile._ECD_SIZE] > _MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
        raise pickle.UnpicklingError("it is an archive of far too many entries")
    with zipfile.ZipFile(file) as archive:
        root = _checked_root(archive, size)
        storages: dict[str, Tensor] = {}

        def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in storages:
                storages[key] = _read_entry(archive, f"{root}data/{key}", dtype, count)
            return _as_asked(storages[key], dtype, count)

        content = archive.read(f"{root}data.pkl")
        return unpickler(io.BytesIO(content), storage).load()


def _checked_root(archive: zipfile.ZipFile, size: int) -> str:
    """Return the folder of the archive's entries, "NAME/".

    Raises: UnpicklingError for an archive that `torch.save` did not write.
    """
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        kind = "a NumPy archive" if any(name.endswith(".npy") for name in names) else "an archive"
        raise pickle.UnpicklingError(f"it is {kind} that torch.save did not write")
    if f"{roots[0]}constants.pkl" in names:
        raise pickle.UnpicklingError("it is a TorchScript program; save its state dict")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise pickle.UnpicklingError(f"its entry {twice[0][:100]!r} is there more than once")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise pickle.UnpicklingError("it is compressed, which torch.save never does")
    if sum(entry.file_size for entry in entries) > size:
        raise pickle.UnpicklingError("it announces more than it holds")
    order = f"{roots[0]}byteorder"
    if order in names and archive.read(order).decode("latin1") != sys.byteorder:
        raise pickle.UnpicklingError("it comes from a machine of another byte order")
    return roots[0]


def _read_entry(archive: zipfile.ZipFile, name: str, dtype: torch.dtype, count: int) -> Tensor:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise pickle.UnpicklingError(f"its entry {name[:100]!r} is missing") from None
    if entry.file_size != count * dtype.itemsize:
        raise pickle.UnpicklingError(
            f"its entry {name[:100]!r} has {entry.file_size} bytes, not {count} numbers of {dtype}"
        )
    with archive.open(entry) as stored:
        return _filled(torch.empty(count, dtype=dtype), stored)


def _filled(tensor: Tensor, source: Any) -> Tensor:
    """Return the tensor, filled from the source. Raises: UnpicklingError for too few bytes."""
    if tensor.numel() and not _fill(tensor.view(torch.uint8).numpy().data, source):
        raise pickle.UnpicklingError("it is cut short")
    return tensor


def _fill(buffer: memoryview, source: Any) -> bool:
    done = 0
    while done < len(buffer):
        got = source.readinto(buffer[done : done + 2**24])
        if not got:
            return False
        done += got
    return True


def _as_asked(storage: Tensor, dtype: torch.dtype, count: int) -> Tensor:
    if storage.dtype != dtype or len(storage) != count:
        raise pickle.UnpicklingError("it gives one storage two types or sizes")
    return storage


def _read_legacy(file: IO[bytes], unpickler: Unpickler) -> Any:
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, Tensor] = {}
    announced = 0

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        nonlocal announced
        if key not in storages:
            announced += count * dtype.itemsize
            if announced > size:
                raise pickle.UnpicklingError("it announces more than it holds")
            storages[key] = torch.empty(count, dtype=dtype)
        return _as_asked(storages[key], dtype, count)

    machine = unpickler(file, storage)
    magic, protocol, system = machine.load(), machine.load(), machine.load()
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise pickle.UnpicklingError("its header is not one that torch.save writes")
    if system.get("little_endian") is not (sys.byteorder == "little"):
        raise pickle.UnpicklingError("it comes from a machine of another byte order")
    content, keys = machine.load(), machine.load()
    for key in keys:
        tensor = storages.pop(str(key))
        (count,) = struct.unpack("<q", file.read(8))
        if count != len(tensor):
            raise pickle.UnpicklingError("a storage has another size than it announces")
        _filled(tensor, file)
    if storages:
        raise pickle.UnpicklingError("it is cut short: numbers of a tensor are missing")
    return content
