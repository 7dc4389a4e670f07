"""Contours at all levels against connected components, level by level."""

import numpy as np
import pytest
from scipy import ndimage

from boxrefine_d2.masks.level_contours import level_contours

EIGHT = np.ones((3, 3))


def block_area(filled: np.ndarray) -> float:
    """Return the area of the polygon through the pixel centres of a region without holes."""
    padded = np.pad(filled, 1).astype(int)
    held = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
    return (held == 4).sum() + 0.5 * (held == 3).sum()


def contours_by_components(greys: np.ndarray) -> list[tuple]:
    """Return (level, x, y, width, height, area, hole) of each contour, sorted.

    The area of a contour around a hole is None.
    """
    found = []
    for level in range(int(greys.max())):
        inside = np.pad(greys > level, 1)
        ids, count = ndimage.label(inside, EIGHT)
        for component in (ids == number for number in range(1, count + 1)):
            area = block_area(ndimage.binary_fill_holes(component))
            found.append((level, *box_of(component, 0), area, False))
        ids, count = ndimage.label(~inside)
        for number in range(1, count + 1):
            if number != ids[0, 0]:
                found.append((level, *box_of(ids == number, 1), None, True))
    return sorted(found, key=str)


def box_of(region: np.ndarray, margin: int) -> tuple[int, ...]:
    rows, columns = np.nonzero(region)
    left, top = columns.min() - 1 - margin, rows.min() - 1 - margin
    return (left, top, np.ptp(columns) + 1 + 2 * margin, np.ptp(rows) + 1 + 2 * margin)


def contours(scores: np.ndarray, greys: np.ndarray) -> list[tuple]:
    found = level_contours(scores, greys)
    rows = zip(found.level, found.box, found.area, found.hole, strict=True)
    return sorted(
        [(level, *box, None if hole else area, bool(hole)) for level, box, area, hole in rows],
        key=str,
    )


def mask_contours(rows: list[str]) -> list[tuple]:
    mask = np.array([[cell == "#" for cell in row] for row in rows])
    return contours(mask.astype(float), mask.astype(np.uint8))


@pytest.mark.parametrize("seed", range(60))
def test_random_maps_have_the_contours_of_their_components(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random(rng.integers(1, 14, size=2))
    if seed % 3 == 0:
        scores = ndimage.gaussian_filter(scores, 1)
    if seed % 4 == 0:  # plateaus and ties
        steps = rng.integers(1, 6)
        scores = np.floor(scores * steps) / steps
    scores = (scores - scores.min()) / (np.ptp(scores) or 1)
    greys = (scores * rng.choice([1, 3, 10, 255])).astype(np.uint8)
    assert contours(scores, greys) == contours_by_components(greys)


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        (["#" * 12], 0),
        (["####"] * 3, 6),
        (["####"] * 4, 9),
        (["#" * 5, *["#...#"] * 3, "#" * 5], 16),
    ],
    ids=["line", "4 x 3 block", "4 x 4 block", "ring"],
)
def test_the_area_is_that_of_the_outer_contour(rows, area):
    outer = [contour for contour in mask_contours(rows) if not contour[-1]]
    assert [contour[5] for contour in outer] == [area]


def test_an_island_in_a_hole_counts_for_the_outer_contour():
    rows = ["#######", "#.....#", "#.###.#", "#.###.#", "#.....#", "#######"]
    found = mask_contours(rows)
    assert sorted(contour[1:6] for contour in found if not contour[-1]) == [
        (0, 0, 7, 6, 30.0),
        (2, 2, 3, 2, 2.0),
    ]
    assert [contour[1:5] for contour in found if contour[-1]] == [(0, 0, 7, 6)]


def test_the_last_of_equal_contours_is_the_largest_one():
    block = np.array([[1, 1], [1, 1]])
    mask = np.zeros((7, 7), np.uint8)
    for row, column in ((0, 0), (0, 5), (5, 0), (5, 5)):
        mask[row : row + 2, column : column + 2] = block
    found = level_contours(mask.astype(float), mask)
    assert found.box[found.largest()].tolist() == [[5, 5, 2, 2]]


def test_a_map_of_zeros_has_no_contour():
    found = level_contours(np.zeros((4, 5)), np.zeros((4, 5), np.uint8))
    assert len(found.level) == 0
    assert len(found.largest()) == 0
