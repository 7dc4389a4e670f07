"""Points of the highest and of the lowest representer values, in memory for these points only.

Shapes: B images, N cells of each, K points that are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.discovery.representer import PointValues


@dataclass(frozen=True)
class PointTable:
    """Cells of images with their parts in one activation.

    Attributes:
        places: (K,) place of the image in its data set.
        cells: (K,) place of the cell on the grid, in row-major order.
        similarity, importance, value: (K,) see `PointValues`.
    """

    places: NDArray[np.int64]
    cells: NDArray[np.int64]
    similarity: NDArray[np.float64]
    importance: NDArray[np.float64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    def rows(self, chosen: NDArray[np.int64]) -> "PointTable":
        """Return the points of the given rows, in their order."""
        columns: list[Any] = [column[chosen] for column in self._columns()]
        return PointTable(*columns)

    def joined(self, other: "PointTable") -> "PointTable":
        """Return these points, then the others."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        columns: list[Any] = [np.concatenate(pair) for pair in pairs]
        return PointTable(*columns)

    def each(self) -> Iterator[tuple[int, int, float, float, float]]:
        """Yield (place, cell, similarity, importance, value) of each point."""
        return zip(*(column.tolist() for column in self._columns()), strict=True)

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.places, self.cells, self.similarity, self.importance, self.value


class ExtremePoints:
    """The points of the extreme values among all that were added.

    Of equal values, the one first in the data set counts. The order of the batches therefore
    changes nothing.

    Attributes:
        highest: points of the highest values, the highest first.
        lowest: points of the lowest values, the lowest first.
        points: number of points that were added.
        excitatory, inhibitory: sum of the positive and of the negative values.
    """

    def __init__(self, highest: int, lowest: int):
        """Start without points. Args: highest, lowest: numbers of points to keep, from 0."""
        whole, real = np.empty(0, np.int64), np.empty(0)
        nothing = PointTable(whole, whole, real, real, real)
        self.highest, self.lowest = nothing, nothing
        self._counts = highest, lowest
        self.points, self.excitatory, self.inhibitory = 0, 0.0, 0.0

    def add(self, places: Sequence[int], parts: PointValues) -> None:
        """Add all cells of a batch. Args: places: of its images.  parts: (B, N)."""
        similarity, importance, value = (
            part.cpu().numpy().ravel() for part in (parts.similarity, parts.importance, parts.value)
        )
        cells = len(value) // len(places)
        new = PointTable(
            np.repeat(np.asarray(places, np.int64), cells),
            np.tile(np.arange(cells), len(places)),
            similarity,
            importance,
            value,
        )
        self.points += len(new)
        self.excitatory += float(value[value > 0].sum())
        self.inhibitory += float(value[value < 0].sum())
        high, low = self._counts
        self.highest = _first(self.highest.joined(new), -1.0, high)
        self.lowest = _first(self.lowest.joined(new), 1.0, low)


def _first(points: PointTable, sign: float, count: int) -> PointTable:
    """Return the points of the least sign * value."""
    order = np.lexsort((points.cells, points.places, sign * points.value))
    return points.rows(order[:count])
