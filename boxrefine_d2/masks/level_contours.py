"""Contours of a map at all of its grey levels at once.

The pixels above a level form components of 8-connectivity; what lies outside forms regions of
4-connectivity, of which all but the outermost are holes (`level_regions` of the inverted map).

Box and area of a contour are those of OpenCV's contour functions: they belong to the outer contour
of a component, or to the contour around a hole, through the centres of pixels of the component.
`contour_area` reads a single mask in this way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .level_regions import FINE_BITS, GREYS, Floats, Ints, LevelRegions, Pairs, level_regions


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


def level_contours(scores: NDArray[np.floating], highest: int = GREYS - 1) -> LevelContours:
    """Return the contours of a map above each of its levels, the grey values from 0 on.

    The grey value of a pixel is `highest` times its score, truncated. The last level is that below
    the largest grey value.

    Args: scores: (H, W) map in [0, 1].
    """
    fine = (scores * (highest << FINE_BITS)).astype(np.int64)
    fine = np.pad(fine, 1)  # a frame of zeros
    width = fine.shape[1]
    levels = np.arange(fine.max() >> FINE_BITS)
    if not len(levels):
        none = np.zeros(0, np.int64)
        return LevelContours(none, none.reshape(0, 4), none.astype(float), none, none.astype(bool))
    inside, outside = _block_shares(fine >> FINE_BITS)
    components = level_regions(fine, corners=True, levels=levels, shares=inside)
    # the pixels outside of level l are those above GREYS - 2 - l in the inverted map
    inverted = (GREYS << FINE_BITS) - 1 - fine
    background = level_regions(inverted, corners=False, levels=GREYS - 2 - levels, shares=outside)
    hole = np.concatenate([np.zeros(len(components), bool), np.ones(len(background), bool)])
    outermost = len(components) + background.at(levels, np.zeros_like(levels))
    area = _sums_of_subtrees(
        np.concatenate([components.share, background.share]),
        _parents(components, background, width, outermost),
    )
    kept = np.ones(len(hole), bool)
    kept[outermost] = False
    boxes = np.concatenate([components.boxes(width, 0), background.boxes(width, 1)])
    return LevelContours(
        np.concatenate([components.level, background.level])[kept],
        (boxes - [1, 1, 0, 0])[kept],  # without the frame
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
    bits = greys.size.bit_length()
    pixels = np.arange(greys.size).reshape(greys.shape)
    keys = (greys << bits) + pixels
    one, two, three, four = keys[:-1, :-1], keys[:-1, 1:], keys[1:, :-1], keys[1:, 1:]
    lows = np.minimum(one, two), np.minimum(three, four)
    highs = np.maximum(one, two), np.maximum(three, four)
    lowest = np.minimum(*lows).ravel()
    second = np.minimum(np.maximum(*lows), np.minimum(*highs)).ravel()
    pixel = (1 << bits) - 1  # the bits that tell the pixel
    highest = np.maximum(*highs).ravel() & pixel
    inside = [(highest, key >> bits) for key in (lowest, second)]
    outside = [(key & pixel, GREYS - 1 - (key >> bits)) for key in (lowest, second)]
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
