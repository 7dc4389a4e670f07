"""Contours of a map at all of its grey levels at once.

The pixels above a level form components of 8-connectivity; what lies outside forms regions of
4-connectivity, of which all but the outermost are holes (`level_regions` of the inverted map).

Box and area of a contour are those of OpenCV's contour functions: they belong to the outer contour
of a component, or to the contour around a hole, through the centres of pixels of the component.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .level_regions import CORNERS, GREYS, SIDES, Floats, Ints, LevelRegions, Pairs, level_regions


@dataclass(frozen=True)
class LevelContours:
    """Contours of a map at its levels, N rows.

    Attributes:
        level: (N,) the grey value above which the pixels of the component lie.
        box: (N, 4) left, top, width and height of the contour in pixels.
        area: (N,) area inside of the contour; a line one pixel wide has none.
        first: (N,) rank in raster order of the first pixel of the region.
        hole: (N,) True for a contour around a hole.
    """

    level: Ints
    box: Ints
    area: Floats
    first: Ints
    hole: NDArray[np.bool_]

    def largest(self) -> Ints:
        """Return the row of the largest contour of each level, in ascending order of levels.

        Among equal areas it is the contour that OpenCV lists first: that of the component whose
        first pixel comes last.
        """
        order = np.lexsort((self.first, self.area, ~self.hole, self.level))
        levels = self.level[order]
        last = np.append(levels[1:] != levels[:-1], True)[: len(levels)]
        rows: Ints = order[last]
        return rows


def level_contours(scores: NDArray[np.floating], greys: NDArray[np.uint8]) -> LevelContours:
    """Return the contours of a map above each of the levels 0 .. max(greys) - 1.

    Args:
        scores: (H, W) finite map.
        greys: (H, W) the same map in whole numbers, equal or higher where `scores` is higher.
    """
    framed = np.pad(greys.astype(np.int64), 1)
    values = np.pad(scores.astype(np.float64), 1, constant_values=-np.inf)
    levels = np.arange(framed.max())
    inside, outside = _block_shares(framed)
    components = level_regions(values, framed, CORNERS, levels, inside)
    # the pixels outside of level l are those above GREYS - 2 - l in the inverted map
    inverted = GREYS - 1 - framed
    background = level_regions(-values, inverted, SIDES, GREYS - 2 - levels, outside)
    hole = np.concatenate([np.zeros(len(components), bool), np.ones(len(background), bool)])
    outermost = len(components) + background.at(levels, np.zeros_like(levels))
    area = _sums_of_subtrees(
        np.concatenate([components.share, background.share]),
        _parents(components, background, framed.shape[1], outermost),
    )
    kept = np.ones(len(hole), bool)
    kept[outermost] = False
    width = framed.shape[1]
    parts = (components.boxes(width, 0), background.boxes(width, 1))
    return LevelContours(
        np.concatenate([components.level, background.level])[kept],
        np.concatenate(parts)[kept],
        area[kept],
        np.concatenate([components.first, background.first])[kept],
        hole[kept],
    )


def _block_shares(greys: Ints) -> tuple[list[Pairs], list[Pairs]]:
    """Return whose the halves of each block of 2 x 2 pixels are, inside and outside of a level.

    The polygon through the centres of the pixels inside holds the whole block if its four pixels
    are inside, and a half if three are. The rest lies outside: a half belongs to the lowest pixel,
    the other half to the second lowest.
    """
    pixels = np.arange(greys.size).reshape(greys.shape)
    keys = greys * greys.size + pixels
    one, two, three, four = keys[:-1, :-1], keys[:-1, 1:], keys[1:, :-1], keys[1:, 1:]
    lows = np.minimum(one, two), np.minimum(three, four)
    highs = np.maximum(one, two), np.maximum(three, four)
    lowest = np.minimum(*lows).ravel()
    second = np.minimum(np.maximum(*lows), np.minimum(*highs)).ravel()
    highest = np.maximum(*highs).ravel() % greys.size
    inside = [(highest, key // greys.size) for key in (lowest, second)]
    outside = [(key % greys.size, GREYS - 1 - key // greys.size) for key in (lowest, second)]
    return inside, outside


def _parents(
    components: LevelRegions, background: LevelRegions, width: int, outermost: Ints
) -> Ints:
    """Return the row of the region around each region, (R,); -1 for a component outside of all."""
    count = len(components)
    around = count + background.at(components.level, components.first - width)
    around[np.isin(around, outermost)] = -1
    holes = np.full(len(background), -1)
    inner = np.ones(len(background), bool)
    inner[outermost - count] = False
    above = background.first[inner] - width
    holes[inner] = components.at(background.level[inner], above)
    return np.concatenate([around, holes])


def _sums_of_subtrees(amounts: Floats, parents: Ints) -> Floats:
    """Return for each row its amount and those of all rows below it."""
    sums, row = amounts.copy(), np.arange(len(parents))
    ancestor = parents.copy()
    while (row := row[ancestor[row] >= 0]).size:
        np.add.at(sums, ancestor[row], amounts[row])
        ancestor[row] = parents[ancestor[row]]
    return sums
