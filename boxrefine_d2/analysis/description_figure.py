"""The figure of a described image: all boxes on it, then the heatmap of each phrase."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boxrefine_d2.files.names import shown_name
from boxrefine_d2.structures import DescribedObject, to_xywh

from .figures import CASING, COLOURS, INK, draw_box, encode

MOST_COLUMNS = 4
_WIDTH = 3.4  # of a panel, inches
_DPI = 120
_LETTERS = 40  # of a title; the rest of a long phrase is left out
_VEIL = 0.55  # opacity of the heatmap over the picture


def draw_description(
    picture: np.ndarray, objects: Sequence[DescribedObject], title: str, suffix: str = ".png"
) -> bytes:
    """A figure, as `encode` gives it; equal objects give equal bytes.

    The first panel has every box in its phrase's colour; each further one a phrase with its heatmap, the box around all of
    its boxes, and the brightest point as a cross.

    Args: picture: (H, W, 3) uint8.  title: of the first panel.
    """
    height, width = picture.shape[:2]
    panels = 1 + len(objects)
    columns = min(panels, MOST_COLUMNS)
    rows = math.ceil(panels / columns)
    size = (_WIDTH * columns, (_WIDTH * height / width + 0.35) * rows)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in axes:
        panel.set_axis_off()
    _photograph(axes[0], picture, title, INK)
    for number, described in enumerate(objects):
        colour = COLOURS[number % len(COLOURS)]
        _box(axes[0], described, colour)
        _heatmap(axes[number + 1], picture, described, colour)
    return encode(figure, suffix)


def box_text(box: Sequence[float] | None) -> str:
    """Where it is. Args: box: XYXY, pixels.

    >>> box_text((10.0, 20.0, 30.4, 50.0)), box_text(None)
    ('x 10 to 30, y 20 to 50', 'no box')
    """
    if box is None:
        return "no box"
    x1, y1, x2, y2 = box
    return f"x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}"


def _photograph(axes: Axes, picture: np.ndarray, title: str, colour: str) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    title = shown_name(title)
    shown = title if len(title) <= _LETTERS else f"{title[: _LETTERS - 1]}…"
    # yellow letters could not be read: they are ink, and the colour is a line beside them
    axes.set_title(shown, fontsize=10, color=INK, loc="left")
    axes.plot([0, 0.08 * width], [0, 0], color=colour, linewidth=5, clip_on=False, zorder=5)


def _heatmap(axes: Axes, picture: np.ndarray, described: DescribedObject, colour: str) -> None:
    height, width = picture.shape[:2]
    _photograph(axes, picture, described.phrase, colour)
    axes.imshow(
        described.heatmap.cpu().numpy(),
        extent=(0, width, height, 0),
        cmap="viridis",
        vmin=0,
        vmax=1,
        alpha=_VEIL,
        interpolation="bilinear",
    )
    _box(axes, described, colour)
    assert described.found.point is not None  # of a heatmap
    x, y = described.found.point
    for line, stroke in ((CASING, 4.0), (colour, 2.0)):
        axes.plot(x + 0.5, y + 0.5, marker="x", markersize=9, markeredgewidth=stroke, color=line)


def _box(axes: Axes, described: DescribedObject, colour: str) -> None:
    if described.found.box is not None:
        draw_box(axes, to_xywh(described.found.box), colour)
