"""Connected regions of a map above all of its grey levels at once.

From one level to the next lower one the regions grow and merge. Each region is a union of basins: a
basin holds the pixels that climb to the same peak of the map. Therefore one pass over the pixels
and the saddles between the basins give the regions of all levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pairs = tuple[Ints, Ints]

GREYS = 256
FINE_BITS = 15  # a fine grey value is 2 ** FINE_BITS times as large as its grey value
_PIXEL_BITS = 32


@dataclass(frozen=True)
class LevelRegions:
    """Regions of a map above each of L levels: R rows; K basins, P pixels.

    Attributes:
        level: (R,) place of the level of each region.
        first: (R,) first pixel in raster order.
        last: (R,) last pixel in raster order.
        left: (R,) first column.
        right: (R,) last column.
        share: (R,) sum of the shares of 2 x 2 blocks that lie in the region.
        row: (L, K + 1) row of the region that a basin belongs to; -1 if it lies below the level.
        basin: (P,) basin of each pixel; K where the grey value is 0.
    """

    level: Ints
    first: Ints
    last: Ints
    left: Ints
    right: Ints
    share: Floats
    row: Ints
    basin: Ints

    def __len__(self) -> int:
        return len(self.level)

    def at(self, levels: Ints, pixels: Ints) -> Ints:
        """Return the rows of the regions that hold the pixels; the pixels lie above the levels."""
        rows: Ints = self.row[levels, self.basin[pixels]]
        return rows

    def boxes(self, width: int, margin: int) -> Ints:
        """Return left, top, width and height with a margin around the regions, (R, 4).

        Args: width: number of columns of the map.
        """
        left, top = self.left - margin, self.first // width - margin
        right, bottom = self.right + margin, self.last // width + margin
        return np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)


def level_regions(
    fine: Ints, *, corners: bool, levels: Ints, shares: Sequence[Pairs]
) -> LevelRegions:
    """Return the regions above each level.

    Args:
        fine: (H, W) int64 fine grey values of the map, framed by zeros or by the largest value.
        corners: True if pixels that touch at a corner are neighbours.
        levels: (L,) grey values.
        shares: pairs of (pixels, grey values up to which half a block belongs to the pixel).
    """
    width = fine.shape[1]
    greys = fine >> FINE_BITS
    basin, count = _basins(fine, greys.ravel(), corners)
    name = _names(basin, count, greys, corners, levels)
    place = basin * GREYS + greys.ravel()
    peak = np.zeros(count + 1, np.int64)
    np.maximum.at(peak, basin, greys.ravel())
    of_level, of_basin = np.nonzero(peak[:count] > levels[:, None])
    key = of_level * count + name[of_level, of_basin]
    keys = np.flatnonzero(np.bincount(key, minlength=len(levels) * count))
    row_of_key = np.full(len(levels) * count, -1)
    row_of_key[keys] = np.arange(len(keys))
    of_row = row_of_key[key]
    row = np.full((len(levels), count + 1), -1)
    row[of_level, of_basin] = of_row
    above_level = of_basin * GREYS + levels[of_level] + 1

    def reduced(ufunc: np.ufunc, start: int, amounts: Ints) -> Ints:
        table = np.full((count + 1) * GREYS, start)
        ufunc.at(table, place, amounts)
        above = ufunc.accumulate(table.reshape(-1, GREYS)[:, ::-1], axis=1)[:, ::-1]
        result = np.full(len(keys), start)
        ufunc.at(result, of_row, np.take(above, above_level))
        return result

    places = [np.take(basin, owner, mode="clip") * GREYS + limit for owner, limit in shares]
    halves = np.bincount(np.concatenate(places), minlength=(count + 1) * GREYS)
    above = np.cumsum(halves.reshape(-1, GREYS)[:, ::-1], axis=1)[:, ::-1]
    share = np.bincount(of_row, np.take(above, above_level), minlength=len(keys)) / 2
    pixels, columns = np.arange(fine.size), np.tile(np.arange(width), len(fine))
    return LevelRegions(
        level=keys // max(count, 1),
        first=reduced(np.minimum, fine.size, pixels),
        last=reduced(np.maximum, -1, pixels),
        left=reduced(np.minimum, width, columns),
        right=reduced(np.maximum, -1, columns),
        share=share,
        row=row,
        basin=basin,
    )


def _basins(fine: Ints, grey: Ints, corners: bool) -> tuple[Ints, int]:
    """Return the basin of each pixel, (P,), and the number of basins K.

    Each pixel points to its highest neighbour or to itself; the later pixel is the higher one among
    equals. A pixel with the grey value 0 has the basin K.
    """
    pixels = np.arange(fine.size)
    height = (fine << _PIXEL_BITS) + pixels.reshape(fine.shape)
    best = height.copy()
    np.maximum(best[:-1], height[1:], out=best[:-1])
    np.maximum(best[1:], height[:-1], out=best[1:])
    sides = best.copy() if corners else height
    np.maximum(best[:, :-1], sides[:, 1:], out=best[:, :-1])
    np.maximum(best[:, 1:], sides[:, :-1], out=best[:, 1:])
    pointer = best.ravel() & ((1 << _PIXEL_BITS) - 1)
    while True:
        further = np.take(pointer, pointer, mode="clip")
        if np.array_equal(further, pointer):
            break
        pointer = further
    peaks = np.flatnonzero((pointer == pixels) & (grey > 0))
    number = np.full(fine.size, len(peaks))
    number[peaks] = np.arange(len(peaks))
    return np.take(number, pointer, mode="clip"), len(peaks)


def _names(basin: Ints, count: int, greys: Ints, corners: bool, levels: Ints) -> Ints:
    """Return for each level a name of the region that each basin belongs to, (L, K).

    Two basins are of one region above a level if a path of saddles above the level joins them.
    """
    names = np.empty((len(levels), count), np.int64)
    name, done = np.arange(count), 0
    saddle, one, other = _highest_saddles(basin, count, greys, corners)
    for row in np.argsort(-levels, kind="stable"):
        while done < len(saddle) and saddle[done] > levels[row]:
            name[name == name[one[done]]] = name[other[done]]
            done += 1
        names[row] = name
    return names


def _highest_saddles(
    basin: Ints, count: int, greys: Ints, corners: bool
) -> tuple[list[int], list[int], list[int]]:
    """Return the saddles that join the basins as early as any, in descending order.

    A saddle of two basins is the higher one of the lower pixels of neighbouring pairs.
    """
    grey, width = greys.ravel(), greys.shape[1]
    found = []
    # The frame has one basin or none: a pair that goes round the edge of the map joins nothing new.
    for step in (1, width, width + 1, width - 1)[: 4 if corners else 2]:
        back = np.flatnonzero(basin[step:] != basin[:-step])
        front = back + step
        one, other = basin[back], basin[front]
        weight = np.minimum(grey[back], grey[front])
        pair = np.minimum(one, other) * count + np.maximum(one, other)
        found.append((pair * GREYS + weight)[weight > 0])
    key = np.sort(np.concatenate(found))
    pair = key // GREYS
    key = key[np.append(pair[1:] != pair[:-1], True)[: len(key)]]
    if not len(key):
        return [], [], []
    pair, weight = key // GREYS, key % GREYS
    places = (pair // count, pair % count)
    graph = coo_array((-weight.astype(np.float64), places), (count, count))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    order = np.argsort(tree.data, kind="stable")
    one, other = (part[order].tolist() for part in tree.coords)
    return (-tree.data[order]).astype(int).tolist(), one, other
