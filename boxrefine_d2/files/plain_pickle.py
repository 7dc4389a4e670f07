"""Pickles from outside that hold data only."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError

from .inputs import MAX_TEXT_BYTES, check_regular_file
from .pickle_machine import PickleMachine
from .pickle_values import CONTAINERS, MISFIT, Maker, NamesCodeError, Unfinished

# errors that a damaged or hostile pickle can cause; all of them are faults of the file
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
_NUMBER = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[SUV][1-9]\d{0,5})")


class _Dtype(Unfinished):
    """Type of an array's numbers: simple numbers only, no objects and no fields."""

    def __init__(self, code: Any, *_: Any):
        super().__init__()
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise pickle.UnpicklingError(f"it has an array of type {str(code)[:50]!r}, not numbers")
        self.dtype = np.dtype(code)

    def finished(self, state: Any) -> "_Dtype":
        """Return the type in the byte order of the state (version, order, ...)."""
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")
        return self


class _Array(Unfinished):
    """An array whose numbers are not known yet."""

    def __init__(self, *_: Any):
        super().__init__()

    def finished(self, state: Any) -> np.ndarray:
        """Return the array of (version, shape, dtype, Fortran order, bytes)."""
        _, shape, dtype, fortran, content = state
        return _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Return an array with its own memory, in native byte order.

    Raises: UnpicklingError unless the bytes fill the array exactly.
    """
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("it has an array without a type")
    content = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("it has an array of objects, not numbers")
    count = 1
    for side in shape:
        if type(side) is not int or side < 0:
            raise pickle.UnpicklingError("it has an array with a side that is no whole number")
        count *= side
    if count * dtype.dtype.itemsize != len(content):
        raise pickle.UnpicklingError(
            f"it announces an array of {count} numbers and holds {len(content)} bytes of it"
        )
    numbers = np.frombuffer(content, dtype.dtype, count).reshape(shape, order=order)
    return numbers.astype(dtype.dtype.newbyteorder("="))


def _scalar(dtype: Any, content: Any) -> Any:
    return _array(content, dtype, (), "C")[()]


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    """Return the bytes that Python 3 writes as text in the older protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it has bytes in the encoding {encoding[:50]!r}")
    return text.encode("latin1")


class PlainUnpickler(PickleMachine):
    """Machine that accepts containers, strings, numbers and NumPy arrays of numbers only."""

    makers = {
        **CONTAINERS,
        ("numpy", "ndarray"): Maker(_Array),
        ("numpy", "dtype"): Maker(_Dtype),
        ("_codecs", "encode"): Maker(_bytes),
        **{
            (f"numpy.{core}.{module}", name): Maker(make)
            for core in ("core", "_core")
            for module, name, make in (
                ("multiarray", "_reconstruct", _Array),
                ("multiarray", "scalar", _scalar),
                ("numeric", "_frombuffer", _array),
            )
        },
    }


def read_plain_pickle(path: Path) -> Any:
    """Return the content of a pickle of data.

    Raises: UserError for a file that is missing, no regular file, or damaged, or that names
        anything other than data.
    """
    shown = repr(str(path))
    check_regular_file(path, "pickle", MAX_TEXT_BYTES)
    try:
        with path.open("rb") as file:
            return PlainUnpickler(file).load()
    except OSError as error:
        raise UserError(f"cannot read {shown}: {error.strerror}") from error
    except DAMAGE as error:
        raise UserError(f"{shown} is no pickle of plain data: {damage(error)}") from error


def damage(error: Exception) -> str:
    """Describe the fault of a pickle, in a short text that is never only the name of an error."""
    if isinstance(error, NamesCodeError):
        return str(error)
    if isinstance(error, MemoryError | OverflowError):
        return "it announces more than memory holds"
    if isinstance(error, TypeError | LookupError | AttributeError | RecursionError):
        return f"it is damaged: {MISFIT}"
    text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return text if isinstance(error, pickle.UnpicklingError) else f"it is damaged ({text})"
