"""Placement of an object: its pose, and a place in the image with room for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .categories import Category
from .outlines import Part, area, bounding_window

Window = tuple[int, int, int, int]

CUT_OFF = 0.12  # share of objects that may reach beyond the border
_MOST_OVERLAP = 0.15  # largest overlap of two objects, as a share of the smaller box
_MARGIN = 0.95  # largest side of an object sized by its area, as a share of the image's side


@dataclass(frozen=True)
class Shape:
    """Geometry of an object in the image: its parts in pixels, back to front, and its own frame."""

    category_id: int | None  # None for an object without annotation
    parts: tuple[Part, ...]
    origin: tuple[float, float]  # (x, y) of the frame's (0, 0) in pixels
    scale: float  # pixels per unit of the frame
    angle: float  # radians
    mirror: int  # -1 if the object looks to the left, otherwise 1
    window: Window


class Pose(NamedTuple):
    """An object before it has a place: turned, mirrored and stretched, in units of its frame."""

    parts: list[Part]  # as built
    outlines: list[np.ndarray]  # of the parts, turned
    angle: float
    mirror: int

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner (x, y) of the box around all parts."""
        points = np.concatenate(self.outlines)
        return points.min(axis=0), points.max(axis=0)


def draw_pose(rng: np.random.Generator, category: Category) -> Pose:
    """Draw an object of a category and its rotation, mirroring and stretch."""
    parts = category.build(rng)
    angle = float(np.deg2rad(category.tilt) * rng.uniform(-1, 1))
    mirror = -1 if rng.random() < 0.5 else 1
    stretch = rng.uniform(0.88, 1.14)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[mirror * stretch * c, mirror * stretch * s], [-s / stretch, c / stretch]])
    points = np.concatenate([part.outline for part in parts]) @ turn
    ends = np.cumsum([len(part.outline) for part in parts])
    return Pose(parts, np.split(points, ends[:-1]), angle, mirror)


def draw_area(rng: np.random.Generator, least: float, most: float) -> float:
    """Draw the area of an object, as a share of the image; its logarithm is uniform."""
    return float(least * (most / least) ** rng.uniform(0, 1))


def side_for_area(pose: Pose, size: tuple[int, int], share: float) -> float:
    """Return the longer side in pixels with which an object covers a share of the image.

    The side is smaller if the object would otherwise not fit into the image.
    """
    low, high = pose.corners
    extent = high - low
    scale = np.sqrt(share * size[0] * size[1] / area(pose.outlines))
    fitting = (_MARGIN * np.array(size[::-1]) / extent).min()
    return float(min(scale, fitting) * extent.max())


def place(
    rng: np.random.Generator,
    size: tuple[int, int],
    pose: Pose,
    category_id: int | None,
    sides: Sequence[float],
    taken: Sequence[Window],
    cut_off: float = CUT_OFF,
) -> Shape | None:
    """Draw a place where an object overlaps the `taken` windows little.

    Args:   sides: longer side of the object in pixels, one for each attempt.
            cut_off: probability that the object may reach beyond the border.
    Returns: the placed shape, or None if there was no room.
    """
    low, high = pose.corners
    for side in sides:
        scale = float(side / (high - low).max())
        shift = _draw_corner(rng, size, (high - low) * scale, cut_off) - low * scale
        placed = [outline * scale + shift for outline in pose.outlines]
        window = bounding_window(np.concatenate(placed))
        if all(_overlap(window, other) <= _MOST_OVERLAP for other in taken):
            parts = tuple(
                Part(outline, part.slot, part.relief) for outline, part in zip(placed, pose.parts)
            )
            origin = (float(shift[0]), float(shift[1]))
            return Shape(category_id, parts, origin, scale, pose.angle, pose.mirror, window)
    return None


def _draw_corner(
    rng: np.random.Generator, size: tuple[int, int], extent: np.ndarray, cut_off: float
) -> np.ndarray:
    """Draw the upper left corner (x, y) of a box with the given (width, height) in pixels.

    Some boxes reach beyond the border.
    """
    slack = 0.3 * extent if rng.random() < cut_off else np.full(2, -3.0)
    room = np.array(size[::-1]) - extent
    # Beta(0.8, 0.8) favours the sides a little over a uniform draw. Therefore no fixed box fits the
    # objects of many images.
    corner: np.ndarray = -slack + (room + 2 * slack) * rng.beta(0.8, 0.8, 2)
    return corner


def _overlap(first: Window, second: Window) -> float:
    """Return the intersection of two boxes, as a share of the smaller box."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((w[2] - w[0]) * (w[3] - w[1]) for w in (first, second))
    return max(wide, 0) * max(high, 0) / smaller
