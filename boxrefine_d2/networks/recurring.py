"""Cache of results for inputs that come back unchanged; each result is computed once."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cachetools import FIFOCache
from torch import Tensor

Row = tuple[Tensor, ...]
T = TypeVar("T")

CACHE_BYTES = 256 * 2**20


class OncePerInput(Generic[T]):
    """Function of inputs that stores the rows of inputs that come back, up to a number of bytes.

    The oldest rows are dropped first. An input with a name is always computed alone. No number then
    depends on the batch in which the input came first, and a resumed run gets the same bits.

    Attributes: function: the wrapped function from inputs to one row each. Its rows must not
        change; if they do, call `forget`.
    """

    def __init__(
        self, function: Callable[[Sequence[T]], Sequence[Row]], limit_bytes: int = CACHE_BYTES
    ):
        self.function = function
        self._rows: FIFOCache[Hashable, Row] = FIFOCache(limit_bytes, getsizeof=_size)

    def __call__(self, inputs: Sequence[T], names: Sequence[Hashable | None]) -> list[Row]:
        """Return one row per input.

        Args: names: names of the inputs. If one is None, all inputs are computed together, and no
            row is stored.
        """
        if any(name is None for name in names):
            return list(self.function(inputs))
        return [self._row(name, one) for name, one in zip(names, inputs, strict=True)]

    def forget(self) -> None:
        """Drop all rows, after the function has changed."""
        self._rows.clear()

    def _row(self, name: Hashable, one: T) -> Row:
        row = self._rows.get(name)
        if row is None:
            [row] = self.function([one])
            with suppress(ValueError):  # this row alone exceeds the limit
                self._rows[name] = row
        return row


def input_names(batched_inputs: Sequence[dict[str, Any]]) -> list[Hashable | None]:
    """Return the names of inputs that come back unchanged; None for an input that does not."""
    return [x.get("input_key") for x in batched_inputs]


def pair_names(
    names: Sequence[Hashable | None], phrases: Sequence[str]
) -> list[tuple[Hashable, str] | None]:
    """Return pairs of an input's name and its phrase; None for an input that does not come back."""
    return [
        None if name is None else (name, phrase)
        for name, phrase in zip(names, phrases, strict=True)
    ]


def _size(row: Row) -> int:
    """Return the bytes that a row occupies; an expanded view occupies its whole storage."""
    return sum(tensor.untyped_storage().nbytes() for tensor in row)
