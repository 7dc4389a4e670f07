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
# offsets (rows, columns) of a pixel and its neighbours, in raster order
CORNERS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
SIDES = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))


@dataclass(frozen=True)
class LevelRegions:
    """Regions of a framed map above each of L levels: R rows; K basins, P pixels.

    Attributes:
        level: (R,) level of each region.
        first: (R,) first pixel in raster order.
        last: (R,) last pixel in raster order.
        left: (R,) first column.
        right: (R,) last column.
        share: (R,) sum of the shares of 2 x 2 blocks that lie in the region.
        row: (L, K) row of the region that a basin belongs to; -1 if the basin lies below the level.
        basin: (P,) basin of each pixel; -1 where the grey value is 0.
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
        """Return left, top, width and height in the map without its frame, (R, 4)."""
        left, top = self.left - 1 - margin, self.first // width - 1 - margin
        right, bottom = self.right - 1 + margin, self.last // width - 1 + margin
        return np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)


def level_regions(
    values: Floats,
    greys: Ints,
    neighbours: Sequence[tuple[int, int]],
    levels: Ints,
    shares: Sequence[Pairs],
) -> LevelRegions:
    """Return the regions above each level.

    Args:
        values: (H, W) framed map.
        greys: (H, W) framed map in whole numbers.
        neighbours: offsets of a pixel and its neighbours.
        levels: (L,) grey values.
        shares: pairs of (pixels, grey values up to which half a block belongs to the pixel).
    """
    grey = greys.ravel()
    basin, count = _basins(values, grey, neighbours)
    name = _names(basin, count, greys, neighbours, levels)
    pixels = np.flatnonzero(basin >= 0)
    columns = pixels % greys.shape[1]
    place = basin[pixels] * GREYS + grey[pixels]
    peak = np.zeros(count, np.int64)
    np.maximum.at(peak, basin[pixels], grey[pixels])
    of_level, of_basin = np.nonzero(peak > levels[:, None])
    key = of_level * count + name[of_level, of_basin]
    keys = np.flatnonzero(np.bincount(key, minlength=len(levels) * count))
    row = np.full(len(levels) * count, -1)
    row[keys] = np.arange(len(keys))
    of_row = row[key]
    rows = np.full((len(levels), count), -1)
    rows[of_level, of_basin] = of_row

    def reduced(ufunc: np.ufunc, start: int, amounts: Ints) -> Ints:
        table = np.full(count * GREYS, start)
        ufunc.at(table, place, amounts)
        above = ufunc.accumulate(table.reshape(count, GREYS)[:, ::-1], axis=1)[:, ::-1]
        result = np.full(len(keys), start)
        ufunc.at(result, of_row, above[of_basin, levels[of_level] + 1])
        return result

    halves = np.zeros(count * GREYS)
    for owner, limit in shares:
        held = (basin[owner] >= 0) & (limit > 0)
        halves += np.bincount(basin[owner[held]] * GREYS + limit[held], minlength=len(halves))
    above = np.cumsum(halves.reshape(count, GREYS)[:, ::-1], axis=1)[:, ::-1] / 2
    amounts = above[of_basin, levels[of_level] + 1]
    share = np.bincount(of_row, amounts, minlength=len(keys)).astype(np.float64)
    return LevelRegions(
        level=keys // max(count, 1),
        first=reduced(np.minimum, greys.size, pixels),
        last=reduced(np.maximum, -1, pixels),
        left=reduced(np.minimum, greys.size, columns),
        right=reduced(np.maximum, -1, columns),
        share=share,
        row=rows,
        basin=basin,
    )


def _basins(values: Floats, grey: Ints, neighbours: Sequence[tuple[int, int]]) -> tuple[Ints, int]:
    """Return the basin of each pixel, (P,), and the number of basins.

    Each pixel points to its highest neighbour or to itself; the later pixel is the higher one among
    equals. A pixel with the grey value 0 has the basin -1.
    """
    height, width = values.shape
    padded = np.pad(values, 1, constant_values=-np.inf)
    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    best, step = np.full((height, width), -np.inf), np.zeros((height, width), np.int32)
    for down, right in neighbours:
        shifted = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        higher = shifted >= best
        np.copyto(best, shifted, where=higher)
        np.copyto(step, down * width + right, where=higher)
    step[np.isneginf(values)] = 0
    pointer = (pixels + step).ravel()
    while True:
        further = pointer[pointer]
        if np.array_equal(further, pointer):
            break
        pointer = further
    peaks = np.flatnonzero((pointer == pixels.ravel()) & (grey > 0))
    number = np.full(len(grey), -1)
    number[peaks] = np.arange(len(peaks))
    return np.where(grey > 0, number[pointer], -1), len(peaks)


def _names(
    basin: Ints, count: int, greys: Ints, neighbours: Sequence[tuple[int, int]], levels: Ints
) -> Ints:
    """Return for each level a name of the region that each basin belongs to, (L, K).

    Two basins are of one region above a level if a path of saddles above the level joins them. A
    saddle is the higher one of the lower pixels of neighbouring pairs.
    """
    height, width = greys.shape
    low, high, saddle = [], [], []
    basins = basin.reshape(height, width)
    for down, right in neighbours[len(neighbours) // 2 + 1 :]:
        rows, columns = slice(down, height), slice(max(right, 0), width + min(right, 0))
        back = slice(0, height - down), slice(max(-right, 0), width - max(right, 0))
        one, other = basins[back], basins[rows, columns]
        apart = (one != other) & (one >= 0) & (other >= 0)
        pair = np.stack([one[apart], other[apart]])
        low.append(pair.min(axis=0))
        high.append(pair.max(axis=0))
        saddle.append(np.minimum(greys[back][apart], greys[rows, columns][apart]))
    key, weight = np.concatenate(low) * count + np.concatenate(high), np.concatenate(saddle)
    order = np.lexsort((weight, key))
    last = np.append(key[order][1:] != key[order][:-1], True)[: len(order)]
    key, weight = key[order][last], weight[order][last]
    shape = (count, count)
    graph = coo_array((-weight.astype(float), (key // max(count, 1), key % max(count, 1))), shape)
    tree = minimum_spanning_tree(graph.tocsr()).tocoo() if count else graph
    joins = np.argsort(tree.data, kind="stable")
    names = np.empty((len(levels), count), np.int64)
    name, done = np.arange(count), 0
    for row in np.argsort(-levels, kind="stable"):
        while done < len(joins) and -tree.data[joins[done]] > levels[row]:
            one, other = name[tree.row[joins[done]]], name[tree.col[joins[done]]]
            name[name == one] = other
            done += 1
        names[row] = name
    return names
