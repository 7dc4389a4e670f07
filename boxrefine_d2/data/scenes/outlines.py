"""Closed outlines of objects and clutter: points (k, 2) as (x, y), with y pointing down.

The functions return exact geometry in the frame of the caller. Only `coverage` converts it to
pixels. A curve is a closed Catmull-Rom spline. It passes through its control points, and the code
therefore shows the shape in numbers.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

# Sub-pixels per pixel side. A pixel belongs to a mask if at least half of its sub-pixels do.
SUPERSAMPLING = 2
_FINE = 64  # pixels per unit with which `area` measures
_STEPS = 6  # points drawn per control point of a curve


class Part(NamedTuple):
    """One part of an object.

    Attributes:
        outline: (k, 2) points.
        slot: material slot: "main" (with the colour and pattern that the phrase names), "accent",
            "dark", "light", "glass", "wood" or "leaf".
        relief: roundness of the shading, from 0 (flat) to 1 (round).
    """

    outline: np.ndarray
    slot: str
    relief: float


_TIMES = np.arange(_STEPS, dtype=np.float64) / _STEPS
# Row: one step. Columns: weights of the previous, own, next and second next control point
# (Catmull-Rom, tension 1/2).
_SPLINE = 0.5 * np.stack(
    [
        -_TIMES + 2 * _TIMES**2 - _TIMES**3,
        2 - 5 * _TIMES**2 + 3 * _TIMES**3,
        _TIMES + 4 * _TIMES**2 - 3 * _TIMES**3,
        -(_TIMES**2) + _TIMES**3,
    ],
    axis=1,
)
_ANGLES = np.arange(28) * (2 * np.pi / 28)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def polygon(points: Iterable[Sequence[float]]) -> np.ndarray:
    """Return an outline with straight edges between the points, (k, 2)."""
    return np.array(list(points), dtype=np.float64)


def curve(points: Iterable[Sequence[float]]) -> np.ndarray:
    """Return a smooth closed curve through the points, (6 k, 2)."""
    control = polygon(points)
    count = len(control)
    index = np.arange(count)[:, None] + np.arange(-1, 3)[None, :]
    smooth: np.ndarray = (_SPLINE @ control[index % count]).reshape(count * _STEPS, 2)
    return smooth


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """Return an ellipse with centre (x, y), half-axes (rx, ry) and angle in radians, (28, 2)."""
    points = _CIRCLE * (rx, ry)
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        points = points @ np.array([[c, s], [-s, c]])
    return points + (x, y)


def limb(points: Iterable[Sequence[float]]) -> np.ndarray:
    """Return a stroke through k points (x, y, half_width), as one outline of 2 k points.

    Legs, stems and blades of grass are such strokes.
    """
    spine = polygon(points)
    along = np.empty((len(spine), 2))
    along[1:-1] = spine[2:, :2] - spine[:-2, :2]
    along[0], along[-1] = spine[1, :2] - spine[0, :2], spine[-1, :2] - spine[-2, :2]
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * spine[:, 2:]
    return np.concatenate([spine[:, :2] + across, (spine[:, :2] - across)[::-1]])


def arc_band(
    x: float, y: float, rx: float, ry: float, start: float, stop: float, thickness: float
) -> np.ndarray:
    """Return the part of an elliptic ring between two angles in radians, such as a handle."""
    angles = np.linspace(start, stop, 14)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = ring * (max(rx - thickness, 0.01), max(ry - thickness, 0.01))
    return np.concatenate([ring * (rx, ry), inner[::-1]]) + (x, y)


def coverage(outlines: Iterable[np.ndarray], window: tuple[int, int, int, int]) -> np.ndarray:
    """Return the share of each pixel that the union of the outlines covers, in quarters.

    The border of an outline counts as inside.

    Args:   outlines: (k, 2) points in pixels, pixel i spanning [i, i + 1).
            window: (x1, y1, x2, y2), half-open, in the same frame; it may leave the image.
    Returns: (y2 - y1, x2 - x1) uint8, 0 to 255.
    """
    x1, y1, x2, y2 = window
    scale = SUPERSAMPLING
    canvas = Image.new("L", ((x2 - x1) * scale, (y2 - y1) * scale))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        draw.polygon(to_subpixels(outline, x1, y1), fill=255)
    return np.asarray(canvas.reduce(scale))


def area(outlines: Sequence[np.ndarray]) -> float:
    """Return the area that the union of the outlines covers, in square units of their frame.

    The frame is about [-1, 1] x [-1, 1]. The area is that of an object about 128 pixels wide.
    """
    fine = [outline * _FINE for outline in outlines]
    covered = coverage(fine, bounding_window(np.concatenate(fine)))
    return float(covered.sum(dtype=np.int64)) / (255 * _FINE**2)


def to_subpixels(outline: np.ndarray, x1: float = 0, y1: float = 0) -> list[float]:
    """Return the outline as PIL's flat list x, y, x, y, ... on a canvas with origin (x1, y1)."""
    # PIL truncates vertices to integers and takes them for pixel centres. `floor` selects the
    # sub-pixel that contains the vertex.
    return np.floor((outline - (x1, y1)) * SUPERSAMPLING).ravel().tolist()


def bounding_window(points: np.ndarray) -> tuple[int, int, int, int]:
    """Return the half-open window (x1, y1, x2, y2) of whole pixels around points (k, 2)."""
    x1, y1 = np.floor(points.min(axis=0)).astype(int).tolist()
    x2, y2 = np.ceil(points.max(axis=0)).astype(int).tolist()
    return x1, y1, x2 + 1, y2 + 1
