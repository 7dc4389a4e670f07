"""Results for inputs that come back unchanged, computed once."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from cachetools import FIFOCache
from torch import Tensor

Row = tuple[Tensor, ...]
T = TypeVar("T")

CACHE_BYTES = 256 * 2**20


class RecurringInputs:
    """Keeps what a fixed network made of each input, up to a number of bytes; the oldest go first.

    An input is always computed alone, so that no number depends on the batch that came first: a resumed run gets the
    same bits.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES):
        self._rows: FIFOCache[Hashable, Row] = FIFOCache(limit_bytes, getsizeof=_size)

    def clear(self) -> None:
        """Forgets all, when the network has changed."""
        self._rows.clear()

    def rows(
        self,
        names: Iterable[Hashable],
        inputs: Iterable[T],
        compute: Callable[[T], Row],
    ) -> list[Row]:
        """One row an input; `compute` makes the row of an input whose name is new."""
        found = []
        for name, thing in zip(names, inputs, strict=True):
            row = self._rows.get(name)
            if row is None:
                row = compute(thing)
                with suppress(ValueError):  # it alone is above the limit
                    self._rows[name] = row
            found.append(row)
        return found

    def batch(
        self,
        names: Sequence[Hashable | None],
        inputs: Sequence[T],
        compute: Callable[[Sequence[T]], list[Row]],
    ) -> list[Row]:
        """Return one row an input; `compute` makes the rows of several inputs.

        Where an input has no name, all are computed together, and nothing is kept.
        """
        if any(name is None for name in names):
            return compute(inputs)
        return self.rows(names, inputs, lambda one: compute([one])[0])


def input_names(batched_inputs: Sequence[dict[str, Any]]) -> list[Hashable | None]:
    """Return the names of inputs that come back unchanged; None for an input that does not."""
    return [x.get("input_key") for x in batched_inputs]


def pair_names(
    names: Sequence[Hashable | None], phrases: Sequence[str]
) -> list[tuple[Hashable, str] | None]:
    """Return the names of inputs with their phrases; None for an input that does not come back."""
    return [
        None if name is None else (name, phrase)
        for name, phrase in zip(names, phrases, strict=True)
    ]


def _size(row: Row) -> int:
    """Bytes held; an expanded view holds its storage."""
    return sum(tensor.untyped_storage().nbytes() for tensor in row)
