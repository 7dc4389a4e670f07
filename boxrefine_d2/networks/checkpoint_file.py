"""Reader of weights files; it tells formats apart by their content and runs no code of a file.

It refuses a file with the true reason.
"""

import os
import pickle
import string
import zipfile
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import MAX_TEXT_BYTES, check_regular_file, text_stand_in
from boxrefine_d2.files.pickle_values import NamesCodeError
from boxrefine_d2.files.plain_pickle import DAMAGE, PlainUnpickler, damage

from .torch_file import LEGACY_HEAD, ZIP_HEAD, Unpickler, read_torch_file
from .torch_tensors import TorchUnpickler

_HEAD_BYTES = 512
_PICKLE_HEADS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_PRINTABLE = set(string.printable.encode())


def read_checkpoint(path: str | Path) -> dict[Any, Any]:
    """Return the top-level dictionary of a .pth, .pt, .pkl or .safetensors file; run no code of it.

    Raises: UserError if the file is missing, not a regular file, damaged, not a checkpoint, or a
        pickle that holds more than data.
    """
    content = read_content(Path(path), TorchUnpickler)
    if not isinstance(content, dict):
        raise UserError(
            f"weights file {path} holds a {type(content).__name__}; a state dict is needed"
        )
    return content


def read_content(path: Path, unpickler: Unpickler) -> Any:
    """Return the content of a weights file.

    Args: unpickler: reader of the pickles in files of torch.save.
    Raises: UserError if the file is refused.
    """
    check_weights_file(path)
    try:
        return _read(path, unpickler)
    except NamesCodeError as error:
        raise UserError(
            f"weights file {path} is refused: it is a pickle that would run {error.name}; only "
            "tensors, numbers, strings "
            "and containers are read. Save its state dict with torch.save or as safetensors; a "
            "grounding network that was "
            "saved whole is converted by tools/convert_grounding_checkpoint.py"
        ) from error
    except safetensors.SafetensorError as error:
        raise UserError(
            f"weights file {path} is no safetensors file: {error}; was it cut short?"
        ) from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"weights file {path} is refused: it is damaged ({error})") from error
    except OSError as error:
        raise UserError(f"cannot read weights file {path}: {error.strerror or error}") from error
    except (*DAMAGE, RuntimeError) as error:
        raise UserError(f"weights file {path} is refused: {damage(error)}") from error


def check_weights_file(path: Path) -> None:
    """Refuse a path that is not a regular file, an empty file or a text file. Raises: UserError."""
    if not os.path.lexists(path):
        raise UserError(f"no weights file at {path}")
    size = check_regular_file(path, "weights file")
    if not size:
        raise UserError(f"weights file {path} is empty")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UserError(f"cannot read weights file {path}: {error.strerror}") from error
    instead = text_stand_in(head)
    if not instead and set(head) <= _PRINTABLE and not (_is_old_pickle(head) and b"\n" in head):
        instead = "a text file, no checkpoint"
    if instead:
        raise UserError(f"weights file {path} is refused: it is {instead}")


def _is_old_pickle(head: bytes) -> bool:
    """Return True if the file may be a pickle of protocol 0 or 1.

    Such a pickle begins with a group, a name or a container.
    """
    return head[:1] in (b"(", b"c", b"}", b"]")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, copied to memory of their own, and its metadata.

    Raises: SafetensorError for a damaged file.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; {} for a weights file of another format.

    Raises: UserError for a file that is missing, empty or damaged.
    """
    path = Path(path)
    check_weights_file(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"weights file {path} is no safetensors file: {error}") from error


def _read(path: Path, unpickler: Unpickler) -> Any:
    with path.open("rb") as file:
        head = file.read(len(LEGACY_HEAD))
    if head.startswith(ZIP_HEAD) or head == LEGACY_HEAD:
        return read_torch_file(path, unpickler)
    is_pickle = head[:2] in _PICKLE_HEADS or _is_old_pickle(head)
    if head[8:9] == b"{" or (path.suffix == ".safetensors" and not is_pickle):
        return read_safetensors(path)[0]
    if not is_pickle or path.stat().st_size > MAX_TEXT_BYTES:
        raise pickle.UnpicklingError(
            "its format is not read; known: a file of torch.save, safetensors, a pickle of arrays"
        )
    with path.open("rb") as file:
        return PlainUnpickler(file).load()
