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
_WIDTH = 3.4  # width of a panel, inches
_DPI = 120
_LETTERS = 40  # longest title; the rest of a long phrase is left out
_VEIL = 0.55  # opacity of the heatmap over the image


def draw_description(
    image: np.ndarray, objects: Sequence[DescribedObject], title: str, suffix: str = ".png"
) -> bytes:
    """Return a figure of a described image as the bytes of a file; see `encode`.

    Equal objects give equal bytes. The first panel shows the box of each phrase in its colour. Each
    further panel shows one phrase: its heatmap, the box around all its boxes, and its brightest
    point as a cross.

    Args:
        image: (H, W, 3) uint8.
        objects: phrases with their localisations.
        title: title of the first panel.
        suffix: format of the file, one of `FIGURE_SUFFIXES`.
    """
    height, width = image.shape[:2]
    panels = 1 + len(objects)
    columns = min(panels, MOST_COLUMNS)
    rows = math.ceil(panels / columns)
    size = (_WIDTH * columns, (_WIDTH * height / width + 0.35) * rows)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in axes:
        panel.set_axis_off()
    _draw_image(axes[0], image, title, INK)
    for number, described in enumerate(objects):
        colour = COLOURS[number % len(COLOURS)]
        _draw_box(axes[0], described, colour)
        _draw_heatmap(axes[number + 1], image, described, colour)
    return encode(figure, suffix)


def box_text(box: Sequence[float] | None) -> str:
    """Return the place of a box in words. Args: box: XYXY, pixels.

    >>> box_text((10.0, 20.0, 30.4, 50.0)), box_text(None)
    ('x 10 to 30, y 20 to 50', 'no box')
    """
    if box is None:
        return "no box"
    x1, y1, x2, y2 = box
    return f"x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}"


def _draw_image(axes: Axes, image: np.ndarray, title: str, colour: str) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    title = shown_name(title)
    shown = title if len(title) <= _LETTERS else f"{title[: _LETTERS - 1]}…"
    # Yellow letters could not be read. Letters have the ink's colour, and a line beside them is
    # coloured.
    axes.set_title(shown, fontsize=10, color=INK, loc="left")
    axes.plot([0, 0.08 * width], [0, 0], color=colour, linewidth=5, clip_on=False, zorder=5)


def _draw_heatmap(axes: Axes, image: np.ndarray, described: DescribedObject, colour: str) -> None:
    height, width = image.shape[:2]
    _draw_image(axes, image, described.phrase, colour)
    axes.imshow(
        described.heatmap.cpu().numpy(),
        extent=(0, width, height, 0),
        cmap="viridis",
        vmin=0,
        vmax=1,
        alpha=_VEIL,
        interpolation="bilinear",
    )
    _draw_box(axes, described, colour)
    assert described.found.point is not None  # a heatmap always has one
    x, y = described.found.point
    for line, stroke in ((CASING, 4.0), (colour, 2.0)):
        axes.plot(x + 0.5, y + 0.5, marker="x", markersize=9, markeredgewidth=stroke, color=line)


def _draw_box(axes: Axes, described: DescribedObject, colour: str) -> None:
    if described.found.box is not None:
        draw_box(axes, to_xywh(described.found.box), colour)
