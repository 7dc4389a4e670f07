"""Pickles from outside that hold nothing but data."""

import pickle
from pathlib import Path
from typing import IO, Any

from boxrefine_d2.errors import UserError


class PlainUnpickler(pickle.Unpickler):
    """Admits containers, strings, numbers and NumPy arrays; every other name is refused before it is imported."""

    _allowed = {
        ("collections", "OrderedDict"),
        ("builtins", "set"),
        ("__builtin__", "set"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        *(
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (
                ("multiarray", "_reconstruct"),
                ("multiarray", "scalar"),
                ("numeric", "_frombuffer"),
            )
        ),
    }

    def __init__(self, file: IO[bytes]):
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle of data.

    Raises: UserError for a file that is missing, damaged, or names anything that is no data.
    """
    try:
        with path.open("rb") as file:
            return PlainUnpickler(file).load()
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        raise UserError(f"{str(path)!r} is no pickle of plain data: {error}") from error
