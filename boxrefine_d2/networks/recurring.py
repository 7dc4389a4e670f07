"""Results for inputs that come back unchanged, computed once."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cachetools import FIFOCache
from torch import Tensor

Row = tuple[Tensor, ...]
T = TypeVar("T")

CACHE_BYTES = 256 * 2**20


class OncePerInput(Generic[T]):
    """A function of inputs that keeps its row of each input that comes back, up to a number of bytes; the oldest go first.

    An input with a name is always computed alone, so that no number depends on the batch that came first: a resumed run
    gets the same bits.

    Attributes: function: what is wrapped, inputs to one row each. Its rows may not change, or `forget` must be called.
    """

    def __init__(
        self, function: Callable[[Sequence[T]], Sequence[Row]], limit_bytes: int = CACHE_BYTES
    ):
        self.function = function
        self._rows: FIFOCache[Hashable, Row] = FIFOCache(limit_bytes, getsizeof=_size)

    def __call__(self, inputs: Sequence[T], names: Sequence[Hashable | None]) -> list[Row]:
        """Return one row an input.

        Args: names: of the inputs. Where one is None, all are computed together, and nothing is kept.
        """
        if any(name is None for name in names):
            return list(self.function(inputs))
        return [self._row(name, one) for name, one in zip(names, inputs, strict=True)]

    def forget(self) -> None:
        """Drop all rows: the function has changed."""
        self._rows.clear()

    def _row(self, name: Hashable, one: T) -> Row:
        row = self._rows.get(name)
        if row is None:
            [row] = self.function([one])
            with suppress(ValueError):  # it alone is above the limit
                self._rows[name] = row
        return row


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
